"""`smelt table convert`: folders of Parquet files, written by others, that become Delta tables; peers read them."""
import datetime
import decimal
import json

import deltalake
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest


def rows(first, n=10):
    return pa.table({
        "id": pa.array(range(first, first + n), pa.int64()),
        "name": pa.array([None if i == 3 else f"row {i} é" for i in range(n)]),
        "price": pa.array([decimal.Decimal(i) / 4 for i in range(n)], pa.decimal128(10, 2)),
        "day": pa.array([datetime.date(2022, 4, 1 + i % 3) for i in range(n)]),
        "at": pa.array([datetime.datetime(2022, 4, 1, 12, tzinfo=datetime.timezone.utc)] * n, pa.timestamp("us", "UTC")),
        "items": pa.array([[i, None] for i in range(n)], pa.list_(pa.int32())),
        "s": pa.array([{"a": i, "b": "x"} for i in range(n)]),
    })


def put(folder, name, table):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def state_of(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(lake):
    """Partitioned as Hive does, with names and values that need escapes, and files that are hidden."""
    for i, where in enumerate(["shop=7/day_of=2022-04-01", "shop=8/day_of=2022-04-02",
                               "shop=__HIVE_DEFAULT_PARTITION__/day_of=2022-04-02"]):
        put(lake / "sales", f"{where}/part {i}.parquet", rows(i * 10))
    for name in ("_SUCCESS", "shop=7/.x.parquet.crc", "_temporary/x.parquet", ".hidden/x.parquet", "shop=7/_x.parquet"):
        put(lake / "sales", name, rows(1000))
    (lake / "sales" / "README.md").write_text("sales")
    return lake / "sales"


def test_it_is_a_table_for_all(smelt, folder, delta_peers):
    before = state_of(folder)
    told = smelt.json("table", "convert", folder, "--json")
    assert (told["version"], told["files"], told["rows"], told["other_files"]) == (0, 3, 30, 1)
    assert told["partitioned"] == ["day_of", "shop"]
    assert {c["name"]: c["type"] for c in told["columns"]} == {
        "id": "BIGINT", "name": "VARCHAR", "price": "DECIMAL(10,2)", "day": "DATE",
        "at": "TIMESTAMP WITH TIME ZONE", "items": "INTEGER[]", "s": "STRUCT(a BIGINT, b VARCHAR)",
        "shop": "BIGINT", "day_of": "DATE"}
    after = state_of(folder)
    assert {path: after[path] for path in before} == before  # nothing was written anew
    assert [str(path.relative_to(folder)) for path in after.keys() - before.keys()] == [
        "_delta_log/00000000000000000000.json"]
    ids = list(range(30))
    assert [r["id"] for r in smelt.sql(f"SELECT id FROM '{folder}' ORDER BY id")] == ids
    for name, read in delta_peers.items():
        got = sorted(read(folder), key=lambda r: r["id"])
        assert [r["id"] for r in got] == ids, name
        assert [r["shop"] for r in got] == [7] * 10 + [8] * 10 + [None] * 10, name
        assert got[12]["items"] == [2, None] and got[12]["s"] == {"a": 2, "b": "x"}, name
    assert smelt("table", "fsck", folder, "--data").returncode == 0
    info = deltalake.DeltaTable(str(folder)).history(1)[0]
    assert info["operation"] == "CONVERT" and info["operationMetrics"]["numConvertedFiles"] == "3"


def test_statistics_are_those_of_the_footers(smelt, folder):
    smelt("table", "convert", folder)
    commit = (folder / "_delta_log" / "00000000000000000000.json").read_text().splitlines()
    stats = [json.loads(json.loads(line)["add"]["stats"]) for line in commit if '"add"' in line]
    assert all(s["numRecords"] == 10 and s["nullCount"]["name"] == 1 for s in stats)
    assert sorted(s["minValues"]["id"] for s in stats) == [0, 10, 20]
    plan = smelt("explain", "--analyze", f"SELECT count(*) FROM '{folder}' WHERE id < 5").stdout
    assert "1 file" in plan
    assert smelt.sql(f"SELECT count(*) AS n FROM '{folder}' WHERE shop = 8") == [{"n": 10}]


def test_it_can_be_written_to(smelt, folder):
    smelt("table", "convert", folder, "--partition-by", "shop INTEGER, day_of DATE")
    table = deltalake.DeltaTable(str(folder))
    assert table.metadata().partition_columns == ["shop", "day_of"]
    assert [f.type.type for f in table.schema().fields if f.name == "shop"] == ["integer"]
    deltalake.write_deltalake(str(folder), table.to_pyarrow_table(), mode="append")
    assert smelt.sql(f"SELECT count(*) AS n FROM '{folder}'") == [{"n": 60}]


def test_dry_run(smelt, folder):
    before = state_of(folder)
    told = smelt("table", "convert", folder, "--dry-run").stdout
    assert "version      none: this was a dry run" in told and "partitioned  day_of" in told
    assert state_of(folder) == before


def test_columns_are_united(smelt, lake, delta_peers):
    put(lake / "t", "a.parquet", pa.table({"id": [1], "s": [{"x": 1}], "n": pa.array([None], pa.null())}))
    put(lake / "t", "b.parquet", pa.table({"new": ["x"], "id": [2], "s": [{"y": "b", "x": 2}], "n": [1.5]}))
    smelt("table", "convert", lake / "t")
    rows = smelt.sql(f"SELECT id, s.x AS x, s.y AS y, n, new FROM '{lake / 't'}' ORDER BY id")
    assert rows == [{"id": 1, "x": 1, "y": None, "n": None, "new": None},
                    {"id": 2, "x": 2, "y": "b", "n": 1.5, "new": "x"}]
    assert sorted(r["id"] for r in delta_peers["deltalake"](lake / "t")) == [1, 2]


REFUSED = [
    ("other types", {"a.parquet": pa.table({"x": [1]}), "b/c.parquet": pa.table({"x": ["1"]})}, [],
     "column x is BIGINT in a.parquet and VARCHAR in b/c.parquet"),
    ("a wider type", {"a.parquet": pa.table({"x": pa.array([1], pa.int32())}), "b.parquet": pa.table({"x": [1]})}, [],
     "column x is INTEGER in a.parquet and BIGINT in b.parquet"),
    ("unsigned", {"a.parquet": pa.table({"x": pa.array([1], pa.uint32())})}, [], "unsigned"),
    ("a time", {"a.parquet": pa.table({"x": pa.array([1], pa.time64("us"))})}, [], "x"),
    ("names", {"a.parquet": pa.table({"x": [1], "X": [2]})}, [], "differ in case only"),
    ("other keys", {"k=1/a.parquet": pa.table({"x": [1]}), "b.parquet": pa.table({"x": [1]})}, [], "other keys"),
    ("in both", {"x=1/a.parquet": pa.table({"x": [1]})}, [], "in the names of their folders"),
    ("a value that does not fit", {"k=a/a.parquet": pa.table({"x": [1]})}, ["--partition-by", "k INTEGER"], "k=a/a.parquet"),
    ("an empty value", {"k=/a.parquet": pa.table({"x": [1]})}, ["--partition-by", "k VARCHAR"], "k=/a.parquet"),
    ("no such key", {"k=1/a.parquet": pa.table({"x": [1]})}, ["--partition-by", "j INTEGER"], "no column j"),
    ("too few", {"k=1/j=1/a.parquet": pa.table({"x": [1]})}, ["--partition-by", "k INTEGER"], "2 columns, and 1"),
    ("no types", {"k=1/a.parquet": pa.table({"x": [1]})}, ["--partition-by", "k"], "are no columns with types"),
    ("only NULL", {"a.parquet": pa.table({"x": pa.array([None], pa.null())})}, [], "has no type"),
]


@pytest.mark.parametrize("files, options, words", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(smelt, lake, files, options, words):
    for name, table in files.items():
        put(lake / "t", name, table)
    done = smelt("table", "convert", lake / "t", *options, check=False)
    assert done.returncode in (1, 2) and words in done.stderr
    assert not (lake / "t" / "_delta_log").exists()


def test_damaged_files_are_named(smelt, folder):
    next(folder.glob("shop=8/*/*.parquet")).write_bytes(b"PAR1 and not more")
    done = smelt("table", "convert", folder, check=False)
    assert done.returncode == 1 and "shop=8/day_of=2022-04-02/part 1.parquet" in done.stderr
    assert not (folder / "_delta_log").exists()


def test_a_table_is_not_converted_again(smelt, folder, lake):
    smelt("table", "convert", folder)
    done = smelt("table", "convert", folder, check=False)
    assert done.returncode == 1 and "is a Delta table already" in done.stderr
    put(lake, "more.parquet", rows(0))
    done = smelt("table", "convert", lake, check=False)  # it has one within
    assert done.returncode == 1 and "sales/_delta_log/" in done.stderr


def test_nothing_to_convert(smelt, lake):
    assert smelt("table", "convert", lake, check=False).returncode == 1
    assert smelt("table", "convert", lake / "nothing", check=False).returncode == 1
    (lake / "a.csv").write_text("a\n1\n")
    done = smelt("table", "convert", lake, check=False)
    assert done.returncode == 1 and "no Parquet files" in done.stderr


def test_files_without_statistics_or_rows(smelt, lake, delta_peers):
    pq.write_table(rows(0), put(lake / "t", "a.parquet", rows(0)), write_statistics=False)
    put(lake / "t", "b.parquet", rows(0, 1).slice(0, 0))
    smelt("table", "convert", lake / "t")
    for read in delta_peers.values():
        assert len(read(lake / "t")) == 10
    assert smelt("table", "fsck", lake / "t", "--data").returncode == 0


def test_the_store_fails(smelt, folder):
    """Each k-th call: there is a whole table, or none, and the files stay."""
    before = state_of(folder)
    for at in range(1, 100):
        done = smelt("table", "convert", folder, check=False, env={"SMELT_FAULT": f"at={at},kind=error"})
        after = state_of(folder)
        assert {path: after[path] for path in before} == before
        if (folder / "_delta_log" / "00000000000000000000.json").exists():
            assert smelt.sql(f"SELECT count(*) AS n FROM '{folder}'") == [{"n": 30}]
            if done.returncode == 0:
                break
            (folder / "_delta_log" / "00000000000000000000.json").unlink()
    else:
        pytest.fail("it never succeeded")
    assert at > 8
