"""The shipped pipeline against the manifest of a damaged log: every line is kept, refused or blank
as the generator says, with the same values, place and reason.

SMELT_MANIFEST_LINES is the number of lines (60,000; the soak takes 1,000,000, one of them longer
than 16 MiB). The manifest itself is compared with viewing_line.py, which reads the lines."""
import collections
import datetime
import os
import urllib.parse

import pyarrow as pa
import pytest

import customer360
import viewing_line
from customer360 import COLUMNS, KEPT_RAW_BYTES, assert_same, generate, read_table, run

DAYS = 3
LINES = int(os.environ.get("SMELT_MANIFEST_LINES", 60_000))
SOAK_LINES = 1_000_000
SEED = int(os.environ.get("SMELT_SEED", 1))

# What each kind of damage that is kept adds to the counts of unknown keys.
UNKNOWN = {"unknown_key": ["_extra"], "unknown_source_key": ["_source.Session", "_source.Tags"],
           "deep_unknown": ["_deep"]}


class Case:
    """Damaged logs, the run of the delta form over them, and the tables that it made."""

    def __init__(self, smelt, folder, lines):
        print(f"seed {SEED}, {lines} lines")
        self.logs = generate(smelt, folder / "logs", days=DAYS, rows=lines // DAYS,
                             contracts=max(100, lines // 20), damage=0.02, mixed=True, seed=SEED)
        self.lake = folder / "lake"
        self.report = run(smelt, "delta", self.logs.folder, self.lake, timeout=600)
        self.loaded = {table["name"]: table["version"] for table in self.report["tables"]}
        self.bronze_uri = self.lake / "bronze" / "viewing_log"
        self.bronze = read_table(self.bronze_uri, self.loaded["bronze.viewing_log"])
        self.quarantine = read_table(self.lake / "quarantine" / "viewing_log")
        self.lines = {file.name: self.logs.lines(file) for file in self.logs.files}


@pytest.fixture(scope="module", params=[LINES, pytest.param(SOAK_LINES, marks=pytest.mark.soak)])
def case(request, program, tmp_path_factory):
    return Case(program, tmp_path_factory.mktemp("manifest"), request.param)


def test_manifest_says_what_the_lines_say(case):
    """Each damaged line, and one in fifty of the others, judged by the reference."""
    manifest = iter(case.logs.manifest)
    n_judged = 0
    for file, lines in case.lines.items():
        for number, (_, raw) in enumerate(lines, 1):
            entry = next(manifest)
            assert (entry["file"], entry["line"]) == (file, number)
            if not entry["damage"] and number % 50:
                continue
            n_judged += 1
            found = viewing_line.judge(raw)
            told = (entry["verdict"], entry.get("reason"), entry.get("column"))
            assert (found.kind, found.reason, found.column) == told, (entry, raw[:300])
            if found.kind == "kept":
                wanted = {column: entry[column] for column in viewing_line.ORDER}
                assert found.values == wanted, (entry, raw[:300])
    assert next(manifest, None) is None
    assert n_judged > len(case.logs.manifest) // 50


def test_every_line_is_counted(case):
    read = sum(len(lines) for lines in case.lines.values())
    told = case.report["lines"]
    assert told == {"read": read, "kept": len(case.logs.with_verdict("kept")),
                    "quarantined": len(case.logs.with_verdict("refused")),
                    "blank": len(case.logs.with_verdict("blank"))}
    assert told["read"] == told["kept"] + told["quarantined"] + told["blank"]
    assert case.report["files"] == {"read": DAYS, "skipped": 0, "ignored": 1}  # the manifest
    in_april = [str(datetime.date(2022, 4, day)) for day in range(1, 31)]
    assert case.report["missing_days"] == in_april[DAYS:]


def test_unknown_keys_are_counted(case):
    paths, n_lines = collections.Counter(), 0
    for entry in case.logs.with_verdict("kept"):
        found = UNKNOWN.get(entry["damage"], [])
        paths.update(found)
        n_lines += bool(found)
    assert n_lines > 0
    assert case.report["unknown"] == {"lines": n_lines, "paths": dict(paths)}


def test_bronze_is_the_kept_lines_in_their_order(case):
    assert case.bronze.column_names == COLUMNS
    assert_same(case.bronze, case.logs.kept(), "bronze")


def test_sorted_bronze_has_the_same_rows(case):
    """Many rows are sorted after the load, in a version of its own."""
    done, = case.report["clustered"]
    is_sorted = done["version"] is not None
    assert is_sorted == (case.bronze.num_rows > 262_144)
    newest = read_table(case.bronze_uri)
    by = [(name, "ascending") for name in COLUMNS]
    assert_same(newest.sort_by(by), case.bronze.sort_by(by), "bronze, sorted")
    assert newest.equals(case.bronze) != is_sorted


def test_no_data_file_of_bronze_has_two_dates(case):
    import pyarrow.parquet as pq

    for path in customer360.data_files(case.bronze_uri, case.loaded["bronze.viewing_log"]):
        assert len(pq.read_table(path, columns=["Date"], partitioning=None)["Date"].unique()) == 1


def test_quarantine_has_the_refused_lines_and_no_other(case):
    assert case.quarantine.column_names == customer360.QUARANTINE
    kinds = dict(zip(case.quarantine.column_names, case.quarantine.schema.types))
    assert kinds == {"file": pa.string(), "line": pa.int64(), "byte_offset": pa.int64(),
                     "column": pa.string(), "reason": pa.string(), "message": pa.string(),
                     "raw": pa.binary(), "raw_bytes": pa.int64(), "run": pa.string(),
                     "time": pa.timestamp("us", tz="UTC"), "replayed": pa.string()}
    wanted = {}
    for entry in case.logs.with_verdict("refused"):
        offset, raw = case.lines[entry["file"]][entry["line"] - 1]
        is_too_long = entry["reason"] == "too_long"
        wanted[entry["file"], entry["line"]] = {
            "byte_offset": offset, "column": entry.get("column"), "reason": entry["reason"],
            "raw": raw[:KEPT_RAW_BYTES] if is_too_long else raw, "raw_bytes": len(raw)}
    rows = case.quarantine.to_pylist()
    found = {(row["file"].rsplit("/", 1)[-1], row["line"]): row for row in rows}
    assert len(found) == len(rows), "a line twice"
    assert sorted(found) == sorted(wanted)
    for place, row in found.items():
        assert {name: row[name] for name in wanted[place]} == wanted[place], place


def test_quarantine_says_where_when_and_why(case):
    now = datetime.datetime.now(datetime.timezone.utc)
    rows = case.quarantine.to_pylist()
    uris = {urllib.parse.unquote(row["file"].removeprefix("file://")) for row in rows}
    assert uris <= {str(file) for file in case.logs.files}
    assert len({row["run"] for row in rows}) == 1 and rows[0]["run"]
    for row in rows:
        assert row["message"]
        assert now - datetime.timedelta(minutes=30) < row["time"] <= now


def test_tables_of_the_report_are_those_of_the_lake(case):
    told = {table["name"]: table for table in case.report["tables"]}
    assert sorted(told) == ["bronze.viewing_log", "gold.customer360", "quarantine.viewing_log",
                            "silver.customer_viewing"]
    sorted_as = {done["name"].removesuffix(":cluster"): done["version"] for done in case.report["clustered"]}
    for name, table in told.items():
        uri = case.lake / name.replace(".", "/")
        newest = table["version"] if sorted_as.get(name) is None else sorted_as[name]
        assert newest == max(customer360.versions(uri))
        assert table["rows"] == read_table(uri, table["version"]).num_rows == read_table(uri).num_rows
        files = customer360.data_files(uri, table["version"])
        assert table["bytes"] == sum(path.stat().st_size for path in files)


def test_gold_is_by_definition(case):
    gold = read_table(case.lake / "gold" / "customer360").to_pylist()
    found = {row["Contract"]: tuple(row[name] for name in (*customer360.SILVER[1:], "RFM"))
             for row in gold}
    assert len(found) == len(gold)
    assert found == customer360.python_gold(case.logs.kept().to_pylist())
