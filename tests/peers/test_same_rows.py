"""The shipped pipeline gives the same rows in every way: both pipelines, DuckDB over the same SQL
files, any number of threads, any size of morsel. At one size of morsel the data files have the same
bytes."""
import json

import pyarrow as pa
import pytest

import customer360
from customer360 import (SILVER, assert_same, data_files, duckdb_gold, generate, hashes, log_line,
                         python_gold, read_table, run, run_process, sorted_by)

THREADS = (1, 2, 7)
MORSELS = ("64KiB", "256KiB", "1MiB")
INPUTS = {
    "plain": {"rows": 4000, "contracts": 1500, "seed": 11},
    "mixed": {"rows": 4000, "contracts": 1500, "seed": 12, "mixed": True},
    "damaged": {"rows": 4000, "contracts": 1500, "seed": 13, "mixed": True, "damage": 0.1},
}
GOLD = [*SILVER, "RFM"]


class Input:
    def __init__(self, program, folder, name):
        self.logs = generate(program, folder / name, days=3, **INPUTS[name])
        # The bronze that DuckDB is given: the manifest's, or what Python's own reader makes of it.
        self.bronze = self.logs.kept() if self.logs.manifest else read_with_python(self.logs)
        self.silver, self.gold = duckdb_gold(self.bronze)
        self.n_refused = len(self.logs.with_verdict("refused"))


def read_with_python(logs):
    rows = []
    for file in logs.files:
        date = f"{file.stem[:4]}-{file.stem[4:6]}-{file.stem[6:8]}"
        for _, raw in logs.lines(file):
            line = json.loads(raw)
            source = line.get("_source") or {}
            seconds = source.get("TotalDuration")
            rows.append({"Index": line.get("_index"), "Type": line.get("_type"),
                         "Id": line.get("_id"), "Score": line.get("_score"), **{
                             name: source.get(name) for name in ("AppName", "Contract", "Mac")},
                         "TotalDuration": None if seconds is None else int(seconds), "Date": date})
    table = pa.Table.from_pylist(rows)
    return table.select(customer360.COLUMNS).cast(customer360.BRONZE)


@pytest.fixture(scope="module")
def inputs(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {name: Input(program, folder, name) for name in INPUTS}


def test_duckdb_gives_what_the_definition_gives(inputs):
    """The yardstick, measured: DuckDB over the SQL files, and the definition in Python."""
    for name, one in inputs.items():
        wanted = python_gold(one.bronze.to_pylist())
        found = {row["Contract"]: tuple(row[column] for column in GOLD[1:])
                 for row in one.gold.to_pylist()}
        assert found == wanted, name
        assert len(found) > 1000


@pytest.mark.parametrize("morsel", MORSELS)
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("form", ["direct", "delta"])
def test_rows_are_duckdbs_and_bytes_do_not_depend_on_threads(smelt, lake, inputs, form, name, morsel):
    one = inputs[name]
    tables = ["gold/customer360"]
    if form == "delta":
        tables += ["silver/customer_viewing", "bronze/viewing_log"]
    files = {}
    for threads in THREADS:
        here = lake / str(threads)
        report = run(smelt, form, one.logs.folder, here, "--threads", threads, "--morsel-size", morsel)
        what = f"{form}, {name}, {threads} threads, morsels of {morsel}"
        assert report["lines"]["quarantined"] == one.n_refused, what
        gold = read_table(here / "gold" / "customer360")
        assert gold.column_names == GOLD
        assert_same(sorted_by(gold, "Contract"), one.gold, f"gold, {what}")
        if form == "delta":
            silver = read_table(here / "silver" / "customer_viewing")
            assert_same(sorted_by(silver, "Contract"), one.silver, f"silver, {what}")
            assert_same(read_table(here / "bronze" / "viewing_log"), one.bronze, f"bronze, {what}")
        quarantine = read_table(here / "quarantine" / "viewing_log")
        files[threads] = {table: hashes(here / table) for table in tables}
        files[threads]["quarantine"] = [] if quarantine is None else quarantine.drop_columns(
            ["run", "time"]).to_pylist()
    assert files[2] == files[1]
    assert files[7] == files[1]


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_memory_limit_does_not_change_the_bytes(smelt, lake, inputs, form):
    logs = inputs["damaged"].logs.folder
    for limit in ("96MB", "2GB"):
        run(smelt, form, logs, lake / limit, "--memory-limit", limit, "--threads", 2)
    assert hashes(lake / "96MB/gold/customer360") == hashes(lake / "2GB/gold/customer360")


def test_direct_and_delta_refuse_the_same_lines(smelt, lake, inputs):
    found = {}
    for form in ("direct", "delta"):
        run(smelt, form, inputs["damaged"].logs.folder, lake / form)
        rows = read_table(lake / form / "quarantine" / "viewing_log").drop_columns(["run", "time"])
        found[form] = sorted_by(rows, "file", "line")
    assert_same(found["direct"], found["delta"], "quarantine")


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_no_row_that_counts_gives_empty_tables(smelt, lake, tmp_path, form):
    """n = 0: the tables have their schema, there is a warning, and the exit code is 0."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220405.json").write_text(log_line("0", 5) + log_line("HN1", 0)
                                        + log_line("HN1", 5, "APP") + log_line("H", 5))
    done = run_process(smelt, form, logs, lake)
    assert json.loads(done.stdout)["lines"] == {"read": 4, "kept": 4, "quarantined": 0, "blank": 0}
    gold = read_table(lake / "gold" / "customer360")
    assert gold.num_rows == 0
    fields = customer360.schema_of(lake / "gold" / "customer360")["fields"]
    assert [(field["name"], field["type"], field["nullable"]) for field in fields] == [
        (name, "long" if name.endswith("Duration") else "string", True) for name in GOLD]
    if form == "delta":
        assert read_table(lake / "silver" / "customer_viewing").num_rows == 0
    told = run_process(smelt, form, logs, tmp_path / "again").stderr
    assert "warning" in told.lower() or "warning" in done.stderr.lower()


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_one_contract_is_311(smelt, lake, tmp_path, form):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220430.json").write_text(log_line("HNH1", 30, "VOD") + log_line("HNH1", 12, "SPORT"))
    run(smelt, form, logs, lake)
    assert read_table(lake / "gold" / "customer360").to_pylist() == [
        {"Contract": "HNH1", "TVDuration": 0, "ChildDuration": 0, "MovieDuration": 30,
         "RelaxDuration": 0, "SportDuration": 12, "MostWatch": "Movie", "RFM": "311"}]


def test_the_first_kind_of_equal_sums_is_most_watched(smelt, lake, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    apps = {"TV": "DSHD", "Child": "CHILD", "Movie": "DANET", "Relax": "RELAX", "Sport": "SPORT"}
    order = list(apps)
    lines = [log_line(f"AA{first}", 7, apps[kind]) for first in range(5)
             for kind in reversed(order[first:])]
    (logs / "20220410.json").write_text("".join(lines))
    run(smelt, "delta", logs, lake)
    rows = {row["Contract"]: row["MostWatch"]
            for row in read_table(lake / "gold" / "customer360").to_pylist()}
    assert rows == {f"AA{n}": kind for n, kind in enumerate(order)}


def test_sums_beyond_64_bits_fail_naming_the_contract(smelt, lake, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    large = 2**63 - 1
    for form, lines in {"kind": [("BIG7", large, "VOD"), ("BIG7", 1, "FIMS")],
                        "monetary": [("BIG8", large, "VOD"), ("BIG8", 1, "RELAX")]}.items():
        (logs / "20220410.json").write_text(
            log_line("AA11", 3) + "".join(log_line(*line) for line in lines))
        for pipeline in ("direct", "delta"):
            here = lake / form / pipeline
            done = run_process(smelt, pipeline, logs, here, check=False)
            assert done.returncode == 1, done.stderr
            assert lines[0][0] in done.stderr
            assert read_table(here / "gold" / "customer360") is None


def test_the_largest_sum_is_exact(smelt, lake, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220410.json").write_text(log_line("BIG9", 2**63 - 3) + log_line("BIG9", 2))
    run(smelt, "delta", logs, lake)
    row = read_table(lake / "gold" / "customer360").to_pylist()[0]
    assert row["TVDuration"] == 2**63 - 1


def test_files_of_the_folder(smelt, lake, tmp_path):
    """Names, dates, the window: what is read, skipped, ignored, missing."""
    import gzip

    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220401.json").write_text(log_line("AA01", 3))
    (logs / "tv-20220402-b.json").write_text(log_line("AA02", 3))
    (logs / "tv-20220402-a.json.gz").write_bytes(gzip.compress(log_line("AA03", 3).encode()))
    (logs / "20220403.json").write_text("")
    (logs / "20220331.json").write_text("this is not opened")
    (logs / ".20220405.json").write_text("hidden")
    (logs / "20220406.txt").write_text("another suffix")
    (logs / "20220407.json").mkdir()
    report = run(smelt, "delta", logs, lake)
    assert report["lines"]["read"] == 3
    assert report["files"] == {"read": 4, "skipped": 0, "ignored": 3}
    assert report["missing_days"] == [f"2022-04-{day:02}" for day in range(3, 31)]
    bronze = read_table(lake / "bronze" / "viewing_log").to_pylist()
    assert [(str(row["Date"]), row["Contract"]) for row in bronze] == [
        ("2022-04-01", "AA01"), ("2022-04-02", "AA03"), ("2022-04-02", "AA02")]
    again = run(smelt, "delta", logs, lake)
    assert again["files"] == {"read": 0, "skipped": 4, "ignored": 3}
    assert again["lines"] == {"read": 0, "kept": 0, "quarantined": 0, "blank": 0}


@pytest.mark.parametrize("name", ["viewing.json", "20220431.json", "20220401-20220402.json",
                                  "2022-04-01.json", "202204011.json"])
@pytest.mark.parametrize("form", ["direct", "delta"])
def test_a_file_without_one_date_is_an_error(smelt, lake, tmp_path, form, name):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220401.json").write_text(log_line("AA01", 3))
    (logs / name).write_text(log_line("AA01", 3))
    done = run_process(smelt, form, logs, lake, check=False)
    assert done.returncode == 1
    assert name in done.stderr
    assert not lake.exists() or not [path for path in lake.rglob("*.json")]


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_no_file_in_the_window_is_an_error(smelt, lake, tmp_path, form):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220401.json").write_text(log_line("AA01", 3))
    done = run_process(smelt, form, logs, lake, month="2022-05", check=False)
    assert done.returncode == 1
    assert "2022-05" in done.stderr
    missing = run_process(smelt, form, tmp_path / "nowhere", lake, check=False)
    assert missing.returncode == 1 and "nowhere" in missing.stderr


def test_a_changed_file_replaces_its_day_and_only_it(smelt, lake, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    day = {1: logs / "20220401.json", 2: logs / "20220402.json"}
    day[1].write_text(log_line("AA01", 3) + "broken\n")
    day[2].write_text(log_line("AA02", 3) + "broken too\n")
    run(smelt, "delta", logs, lake)
    second = [path for path in data_files(lake / "bronze" / "viewing_log")
              if "AA02" in read_file(path)]
    day[1].write_text("not even now\n" + log_line("AA03", 3) + log_line("AA04", 4) + "nor here\n")
    report = run(smelt, "delta", logs, lake)
    assert report["files"] == {"read": 1, "skipped": 1, "ignored": 0}
    assert report["lines"] == {"read": 4, "kept": 2, "quarantined": 2, "blank": 0}
    bronze = read_table(lake / "bronze" / "viewing_log").to_pylist()
    assert sorted(row["Contract"] for row in bronze) == ["AA02", "AA03", "AA04"]
    assert second[0] in data_files(lake / "bronze" / "viewing_log"), "the other day was written anew"
    quarantine = read_table(lake / "quarantine" / "viewing_log").to_pylist()
    assert sorted(row["raw"] for row in quarantine) == [b"broken too", b"nor here", b"not even now"]
    gold = read_table(lake / "gold" / "customer360").to_pylist()
    assert sorted(row["Contract"] for row in gold) == ["AA02", "AA03", "AA04"]


def read_file(path):
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=["Contract"], partitioning=None)["Contract"].to_pylist()


def test_touching_a_file_loads_nothing(smelt, lake, tmp_path):
    import os

    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "20220401.json").write_text(log_line("AA01", 3))
    run(smelt, "delta", logs, lake)
    before = customer360.versions(lake / "bronze" / "viewing_log")
    os.utime(logs / "20220401.json", (1_600_000_000, 1_600_000_000))
    report = run(smelt, "delta", logs, lake)
    assert report["files"] == {"read": 0, "skipped": 1, "ignored": 0}
    bronze = read_table(lake / "bronze" / "viewing_log")
    assert bronze.num_rows == 1
    assert len(customer360.versions(lake / "bronze" / "viewing_log")) <= len(before) + 1


def test_transactions_of_files_stand_in_bronze_and_quarantine(smelt, lake, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    direct, delta = (f"smelt:{name}:20220401.json" for name in ("customer360_direct", "customer360"))
    (logs / "20220401.json").write_text(log_line("AA01", 3) + "broken\n")
    run(smelt, "direct", logs, lake / "direct")
    run(smelt, "delta", logs, lake / "delta")
    first = transactions(lake / "direct" / "quarantine/viewing_log")
    assert list(first) == [direct]
    for table in ("quarantine/viewing_log", "bronze/viewing_log"):
        assert transactions(lake / "delta" / table) == {delta: first[direct]}, table
    (logs / "20220401.json").write_text(log_line("AA02", 3))
    run(smelt, "direct", logs, lake / "direct")
    run(smelt, "delta", logs, lake / "delta")
    assert transactions(lake / "direct" / "quarantine/viewing_log") == {direct: first[direct] + 1}
    for table in ("quarantine/viewing_log", "bronze/viewing_log"):
        assert transactions(lake / "delta" / table) == {delta: first[direct] + 1}, table
        assert read_table(lake / "delta" / table).num_rows == (table[0] == "b")


def transactions(uri):
    """Of files; the one that names the books has the run's number, not a version."""
    found = {}
    for actions in customer360.versions(uri).values():
        for action in actions:
            if "txn" in action and action["txn"]["appId"] != "smelt:books":
                found[action["txn"]["appId"]] = action["txn"]["version"]
    return found
