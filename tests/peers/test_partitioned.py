"""Partitioned tables between smelt and its peers: all types of partition values, NULL, odd texts.
What smelt wrote, delta-rs, DuckDB and Polars read the same; each side appends to tables that the
other one has partitioned."""
import datetime
import json
import math
import os
import shutil
from decimal import Decimal

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

UTC = datetime.timezone.utc
PIPELINE = """\
name: parts
vars:
  lake: {type: uri, default: ./lake}
  rows: {type: uri, default: ./rows.parquet}
lake: lake
tasks:
  - table: l.t
    sql: t.sql
"""
NTZ = "timestampNtz"


class Parts:
    """A pipeline whose one table has the rows of a Parquet file."""

    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        self.uri = self.lake / "l" / "t"
        (folder / "t.sql").write_text("SELECT * FROM read_parquet(var('rows'))")

    def write(self, rows, *keys, check=True, options=()):
        pq.write_table(rows, self.folder / "rows.parquet")
        lines = "".join(f"    {key}\n" for key in keys)
        (self.folder / "p.yaml").write_text(PIPELINE + lines)
        return self.smelt("run", "p.yaml", *options, check=check)

    def rows(self, sql="FROM l.t ORDER BY id"):
        return self.smelt.sql(sql, "--lake", self.lake)

    def adds(self, version=None):
        logs = sorted((self.uri / "_delta_log").glob("*.json"))
        logs = logs if version is None else [logs[version]]
        return [action["add"] for log in logs for action in map(json.loads, log.read_text().splitlines())
                if "add" in action]

    def folders(self):
        return sorted({str(path.parent.relative_to(self.uri)) for path in self.uri.rglob("*.parquet")})


@pytest.fixture
def parts(smelt, tmp_path):
    return Parts(smelt, tmp_path)


def normal(value):
    """A value of any peer as one that compares: instants are in UTC without a zone."""
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else (value, math.copysign(1, value))
    return bytes(value) if isinstance(value, bytearray) else value


def by_id(rows):
    return {row["id"]: normal(row["p"]) for row in rows}


# Values of each type, and how the log has them.
KINDS = {
    "tinyint": (pa.int8(), [-128, 0, 127], ["-128", "0", "127"]),
    "smallint": (pa.int16(), [-32768, 7], ["-32768", "7"]),
    "integer": (pa.int32(), [-2**31, 2**31 - 1], [str(-2**31), str(2**31 - 1)]),
    "bigint": (pa.int64(), [-2**63, 2**63 - 1], [str(-2**63), str(2**63 - 1)]),
    "boolean": (pa.bool_(), [True, False], ["true", "false"]),
    "float": (pa.float32(), [1.5, -0.25, math.inf, -math.inf, math.nan],
              ["1.5", "-0.25", "Infinity", "-Infinity", "NaN"]),
    "double": (pa.float64(), [0.1, -1e300, 5e-324, 0.0, -0.0],
               ["0.1", "-1e+300", "5e-324", "0.0", "-0.0"]),
    "date": (pa.date32(), [datetime.date(1, 1, 1), datetime.date(1969, 12, 31), datetime.date(9999, 12, 31)],
             ["0001-01-01", "1969-12-31", "9999-12-31"]),
    "decimal": (pa.decimal128(18, 3), [Decimal("12.300"), Decimal("0.500")], ["12.300", "0.500"]),
    "timestamptz": (pa.timestamp("us", "UTC"),
                    [datetime.datetime(2022, 4, 1, 17, 5, tzinfo=UTC),
                     datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
                     datetime.datetime(1, 1, 1, tzinfo=UTC),
                     datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
                    ["2022-04-01T17:05:00.000000Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z",
                     "9999-12-31T23:59:59.999999Z"]),
    "timestamp": (pa.timestamp("us"),
                  [datetime.datetime(2022, 4, 1, 17, 5), datetime.datetime(1901, 1, 1, 0, 0, 0, 1),
                   datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)],
                  ["2022-04-01 17:05:00", "1901-01-01 00:00:00.000001", "0001-01-01 00:00:00",
                   "9999-12-31 23:59:59.999999"]),
    "varchar": (pa.string(), ["a", "A", " ", "NULL", "null", "a/b", "a=b", "a%2Fb", "100%", "a:b", "../x",
                              "é漢😀", "a\nb\tc", "{[^]}", "'\"\\", "#?*", "a+b&c", "a b", "\x7f\x01",
                              "__HIVE_DEFAULT_PARTITION", "."], None),
    "blob": (pa.binary(), [b"ab", "é/".encode()], ["ab", "é/"]),
}
# What peers cannot read, whoever wrote it: Polars takes values from the names of folders.
CANNOT = {("polars", "blob")}


def pq_rows(parts):
    """smelt's rows, by Parquet."""
    parts.smelt("sql", "FROM l.t ORDER BY id", "--lake", parts.lake, "-o", "out.parquet")
    return pq.read_table(parts.folder / "out.parquet").to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_each_type(parts, delta_peers, kind):
    arrow, values, texts = KINDS[kind]
    values = [*values, None]
    rows = pa.table({"id": range(len(values)), "p": pa.array(values, arrow), "x": ["x"] * len(values)})
    parts.write(rows, "partition_by: p")
    wanted = {i: normal(value) for i, value in enumerate(values)}

    said = {add["partitionValues"]["p"] for add in parts.adds()}
    assert said == {*(texts or values[:-1]), None}
    for add in parts.adds():
        assert set(json.loads(add["stats"])["nullCount"]) == {"id", "x"}
    assert by_id(pq_rows(parts)) == wanted
    for name, read in delta_peers.items():
        if (name, kind) not in CANNOT:
            assert by_id(read(parts.uri)) == wanted, name
    assert all(pq.read_schema(path).names == ["id", "x"] for path in parts.uri.rglob("*.parquet"))



@pytest.mark.parametrize("kind", KINDS)
def test_deltalake_and_smelt_append_to_each_other(parts, delta_peers, kind, smelt):
    """delta-rs makes the table and appends to what smelt has written; a partition stays one."""
    arrow, values, _ = KINDS[kind]
    values = [value for value in values if value not in (b"ab", "\x7f\x01")]
    if kind == "double":
        values = [0.1, 0.0, -0.0]  # delta-rs writes all digits: folders' names may be too long
    if kind == "blob":
        pytest.skip("delta-rs writes \\u escapes, and reads them as they stand")
    rows = pa.table({"id": range(len(values)), "p": pa.array(values, arrow), "x": ["x"] * len(values)})
    later = rows.set_column(0, "id", pa.array([row + 100 for row in range(len(rows))]))
    deltalake.write_deltalake(str(parts.uri), rows, partition_by=["p"])
    made = {add["partitionValues"]["p"] for add in parts.adds()}
    parts.write(later, "overwrite: partitions", "partition_by: p")
    assert by_id(pq_rows(parts)) == by_id(later.to_pylist())
    if kind not in ("float", "double", "timestamp", "timestamptz"):  # which have more than one text
        assert {add["partitionValues"]["p"] for add in parts.adds(1)} == made
    deltalake.write_deltalake(str(parts.uri), rows, mode="append")
    wanted = {**by_id(rows.to_pylist()), **by_id(later.to_pylist())}
    assert by_id(pq_rows(parts)) == wanted
    for name, read in delta_peers.items():
        assert by_id(read(parts.uri)) == wanted, name


def days(first, n, per_day=2, x="x"):
    ids = range(first * per_day, (first + n) * per_day)
    day = [datetime.date(2022, 4, 1) + datetime.timedelta(row // per_day) for row in ids]
    return pa.table({"id": ids, "day": day, "shop": [row % 2 for row in ids], "x": [x] * len(ids)})


def test_a_query_opens_only_the_files_of_its_partitions(parts):
    parts.write(days(0, 5), "partition_by: [day, shop]")
    assert len(parts.adds()) == 10
    shutil.rmtree(parts.uri / "day=2022-04-02")
    sql = "SELECT id FROM l.t WHERE day {} ORDER BY id"
    assert parts.rows(sql.format("= DATE '2022-04-01'")) == [{"id": 0}, {"id": 1}]
    assert parts.rows(sql.format("> DATE '2022-04-03' AND shop = 1")) == [{"id": 7}, {"id": 9}]
    done = parts.smelt("sql", sql.format("<= DATE '2022-04-02'"), "--lake", parts.lake, check=False)
    assert done.returncode == 1 and "day=2022-04-02" in done.stderr


def test_rows_in_any_order_make_one_file_a_partition(parts):
    rows = days(0, 7, per_day=20)
    mixed = rows.take([i * 37 % len(rows) for i in range(len(rows))])
    parts.write(mixed, "partition_by: DAY")  # as in SQL, in any case
    assert len(parts.adds()) == 7
    assert parts.rows() == [{**row, "day": str(row["day"])} for row in rows.to_pylist()]
    for day in range(7):  # a partition's rows stay in their order
        date = datetime.date(2022, 4, 1 + day)
        wanted = [row["id"] for row in mixed.to_pylist() if row["day"] == date]
        assert [row["id"] for row in parts.rows(f"SELECT id FROM l.t WHERE day = DATE '{date}'")] == wanted


def hashes(parts):
    return sorted((str(path.relative_to(parts.uri).parent), path.read_bytes())
                  for path in parts.uri.rglob("*.parquet"))


def test_same_bytes_at_any_number_of_threads(parts):
    rows = days(0, 40, per_day=3000)
    rows = rows.take([i * 7919 % len(rows) for i in range(len(rows))])
    found = []
    for options in ([], ["--threads", "1"], ["--threads", "3"], ["--threads", "2", "--memory-limit", "96MB"]):
        shutil.rmtree(parts.lake, ignore_errors=True)
        parts.write(rows, "partition_by: [shop, day]", options=options)
        found.append(hashes(parts))
    assert len(found[0]) == 80
    assert all(one == found[0] for one in found[1:])


@pytest.mark.parametrize("keys, said", [
    (["partition_by: [day, dya]"], 'no column "dya" to partition by\n  at p.yaml:9:5'),
    (["partition_by: [day, Day]"], 'partitioned by "day" twice'),
    (["partition_by: [id, day, shop, x]"], "the table would have partition columns only"),
    (["partition_by: []"], "partition_by is empty\n  at p.yaml:9:5"),
    (["partition_by: {day: 1}"], "partition_by is not a text\n  at p.yaml:9:5"),
    (["partiton_by: day"], 'a task has no key "partiton_by"\n  at p.yaml:9:5\n  '
                           'Did you mean "partition_by"?'),
    (["partition_by: day", "overwrite: all"], 'overwrite is "partitions", not "all"\n  at p.yaml:10:16'),
    (["overwrite: partitions"], "overwrite: partitions needs the key partition_by"),
])
def test_refused_before_a_row_is_read(parts, keys, said):
    done = parts.write(days(0, 1), *keys, check=False)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert not parts.uri.exists() or not list(parts.uri.rglob("*.parquet"))


@pytest.mark.parametrize("value, said", [
    ("", 'partition column "p" has an empty text in a row'),
    ("__HIVE_DEFAULT_PARTITION__", 'partition column "p" has the value __HIVE_DEFAULT_PARTITION__'),
    ("ä" * 140, 'partition column "p" has a value whose folder\'s name has 282 bytes'),
    (b"\xff", 'partition column "p" has the value \\xFF'),
    (b"", "has an empty text"),
])
def test_values_that_would_be_lost_are_refused(parts, value, said):
    kind = pa.string() if isinstance(value, str) else pa.binary()
    rows = pa.table({"id": [1, 2], "p": pa.array([value[:0] + type(value)(b"a" if kind == pa.binary() else "a"),
                                                  value], kind)})
    done = parts.write(rows, "partition_by: p", check=False)
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert not list(parts.uri.rglob("*.parquet")) and not list(parts.uri.rglob("*.json"))


def test_dates_that_others_cannot_read_are_refused(parts, smelt):
    pq.write_table(days(0, 1), parts.folder / "rows.parquet")
    (parts.folder / "p.yaml").write_text(PIPELINE + "    partition_by: p\n")
    for value in ("DATE '10000-01-01'", "TIMESTAMP 'infinity'", "TIMESTAMPTZ '-infinity'"):
        (parts.folder / "t.sql").write_text(f"SELECT 1 AS id, {value} AS p")
        done = smelt("run", "p.yaml", check=False)
        assert done.returncode == 1 and 'partition column "p" has the value' in done.stderr, done.stderr


def test_partitions_change_with_an_overwrite_only(parts):
    parts.write(days(0, 2), "partition_by: day")
    parts.write(days(0, 3))  # keeps what is there
    assert [add["partitionValues"].keys() for add in parts.adds(1)] == [{"day"}] * 3
    done = parts.write(days(0, 2), "partition_by: shop", "overwrite: partitions", check=False)
    assert done.returncode == 1
    assert 'the table is partitioned by "day", not by "shop"' in done.stderr
    assert "--full-refresh l.t makes it anew" in done.stderr
    parts.write(days(0, 2), "partition_by: [shop]")
    assert [add["partitionValues"].keys() for add in parts.adds(2)] == [{"shop"}] * 2
    done = parts.smelt("table", "show", parts.uri)
    assert "partitioned  shop" in done.stdout
    assert len(deltalake.DeltaTable(str(parts.uri)).file_uris()) == 2
    assert deltalake.DeltaTable(str(parts.uri)).metadata().partition_columns == ["shop"]


def test_overwrite_partitions(parts, delta_peers):
    parts.write(days(0, 4, x="old"), "partition_by: day", "overwrite: partitions")
    parts.write(days(2, 4, x="new"), "partition_by: day", "overwrite: partitions")
    wanted = days(0, 2, x="old").to_pylist() + days(2, 4, x="new").to_pylist()
    assert parts.rows() == [{**row, "day": str(row["day"])} for row in wanted]
    for name, read in delta_peers.items():
        assert sorted(read(parts.uri), key=lambda row: row["id"]) == wanted, name
    parameters = deltalake.DeltaTable(str(parts.uri)).history(1)[0]["operationParameters"]
    assert parameters["mode"] == "Overwrite" and json.loads(parameters["partitionBy"]) == ["day"]
    assert parameters["isDynamicPartitionOverwrite"] is True

    done = parts.write(days(9, 1), "partition_by: day", "overwrite: partitions",
                       options=["--full-refresh", "l.t"])
    assert "was made anew with the partitions of this run only" in done.stderr
    assert len(parts.rows()) == 2


def test_history_restore_and_vacuum(parts, smelt):
    parts.write(days(0, 4, x="old"), "partition_by: [_day, x]".replace("_day", "day"))
    parts.write(days(2, 1, x="new"), "partition_by: [day, x]")
    assert len(parts.rows()) == 2
    smelt("table", "restore", parts.uri, "--version", "0")
    assert [row["x"] for row in parts.rows()] == ["old"] * 8
    assert len(smelt("table", "history", parts.uri).stdout.splitlines()) >= 3
    for path in parts.uri.rglob("*.parquet"):
        os.utime(path, (1, 1))
    stray = parts.uri / "day=2022-04-01" / "x=old" / "part-00009-stray.parquet"
    stray.write_bytes(b"x")
    os.utime(stray, (1, 1))
    smelt("table", "vacuum", parts.uri, "--retention", "0h", "--no-retention-check")
    assert not stray.exists()
    assert not (parts.uri / "day=2022-04-03" / "x=new").exists() or not list(
        (parts.uri / "day=2022-04-03" / "x=new").iterdir())
    assert [row["x"] for row in parts.rows()] == ["old"] * 8


def test_vacuum_knows_folders_that_look_hidden(parts, smelt):
    """A folder that begins with _ is left alone, unless it is one of a partition column."""
    parts.write(days(0, 2).rename_columns(["id", "_d:1", "shop", "x"]), "partition_by: '_d:1'")
    assert parts.folders() == ["_d%3A1=2022-04-01", "_d%3A1=2022-04-02"]
    before = parts.rows()
    strays = [parts.uri / folder / "part-00009-stray.parquet" for folder in ("_d%3A1=2022-04-01", "_other")]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
        os.utime(stray, (1, 1))
    smelt("table", "vacuum", parts.uri)
    assert [stray.exists() for stray in strays] == [False, True]
    assert parts.rows() == before and len(before) == 4


def test_behind_a_checkpoint(parts, delta_peers):
    """Partition values stand in checkpoints too, the tenth version has one."""
    moments = [datetime.datetime(2022, 4, 1, 12, tzinfo=UTC), None, datetime.datetime(2022, 4, 2, tzinfo=UTC)]
    wanted = {}
    for version in range(12):
        rows = pa.table({"id": range(version * 3, version * 3 + 3), "x": ["x"] * 3,
                         "p": pa.array(moments, pa.timestamp("us", "UTC")), "q": [f"{version}/%"] * 3})
        parts.write(rows, "partition_by: [q, p]", "overwrite: partitions")
        wanted.update(by_id(rows.to_pylist()))
    assert (parts.uri / "_delta_log" / "00000000000000000010.checkpoint.parquet").exists()
    for log in sorted((parts.uri / "_delta_log").glob("*.json"))[:9]:
        log.unlink()
    assert len(wanted) == 36 and by_id(pq_rows(parts)) == wanted
    for name, read in delta_peers.items():
        assert by_id(read(parts.uri)) == wanted, name
    assert len(parts.rows("SELECT id FROM l.t WHERE q = '11/%' AND p IS NULL")) == 1


def test_partitions_made_and_replaced_by_statements(smelt, tmp_path):
    table = tmp_path / "t"
    smelt("sql", "--write", f"CREATE TABLE '{table}' PARTITIONED BY (day, shop) AS SELECT * FROM (VALUES "
          "(DATE '2022-04-01', 'a/b c', 1), (DATE '2022-04-01', 'x', 2), (NULL, 'x', 3)) v(day, shop, n)")
    smelt("sql", "--write", f"INSERT INTO '{table}' REPLACE USING (day, shop) "
          "VALUES (DATE '2022-04-01', 'a/b c', 10), (NULL, 'x', 30)")
    theirs = deltalake.DeltaTable(str(table))
    assert theirs.metadata().partition_columns == ["day", "shop"]
    rows = theirs.to_pyarrow_table().sort_by("n").to_pylist()
    day = datetime.date(2022, 4, 1)
    assert rows == [{"day": day, "shop": "x", "n": 2}, {"day": day, "shop": "a/b c", "n": 10},
                    {"day": None, "shop": "x", "n": 30}]
    assert theirs.history()[0]["operationParameters"]["mode"] == "Overwrite"
