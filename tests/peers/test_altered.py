"""Tables that smelt altered: the same rows by smelt and by the readers that know the features, filters
that find old and new rows, and rules that other writers keep. Spark's part: test_spark.py."""
import json

import deltalake
import pyarrow as pa
import pytest

from engines import read_with_deltalake, read_with_duckdb

# Each pair of the protocol: the types in SQL, an old and a new value as JSON, and both as they are read.
WIDENED = {
    "a": ("TINYINT", "SMALLINT", -5, 300), "b": ("TINYINT", "INTEGER", 7, 70000),
    "c": ("TINYINT", "BIGINT", 7, 9000000000), "d": ("SMALLINT", "INTEGER", -300, 70000),
    "e": ("SMALLINT", "BIGINT", 300, 9000000000), "f": ("INTEGER", "BIGINT", 70000, 9000000000),
    "g": ("FLOAT", "DOUBLE", 0.1, 0.1), "h": ("TINYINT", "DOUBLE", 7, 0.5),
    "i": ("SMALLINT", "DOUBLE", 300, 0.5), "j": ("INTEGER", "DOUBLE", 70000, 0.5),
    "k": ("DATE", "TIMESTAMP", "2022-04-01", "2022-04-02 10:00:00"),
    "l": ("DECIMAL(10,2)", "DECIMAL(14,4)", 12.34, 0.1234),
    "m": ("TINYINT", "DECIMAL(12,2)", 7, 0.25), "n": ("SMALLINT", "DECIMAL(10,0)", 300, 9999999999),
    "o": ("INTEGER", "DECIMAL(20,10)", 70000, 0.5), "p": ("BIGINT", "DECIMAL(25,5)", 9000000000, 0.5),
}
FLOAT_AS_DOUBLE = 0.10000000149011612


def write_rows(smelt, folder, uri, statement, kinds, values):
    """One row of these types, by way of JSON; in `l` as text, so that no digit is lost."""
    lines = folder / "row.json"
    lines.write_text(json.dumps(values) + "\n")
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in kinds.items())
    smelt("sql", "--write", f"{statement.format(uri)} SELECT * FROM read_json('{lines}', columns => {{{columns}}})")


def as_read(values, old):
    return {name: FLOAT_AS_DOUBLE if name == "g" and old else
            value + " 00:00:00" if name == "k" and old else value for name, value in values.items()}


@pytest.fixture(scope="module")
def widened(program, tmp_path_factory):
    """A table of two files, the first with the narrow types."""
    folder = tmp_path_factory.mktemp("widened")
    uri = folder / "t"
    for place, statement in ((2, "CREATE TABLE '{}' AS"), (3, "INSERT INTO '{}'")):
        kinds = {"id": "INTEGER", **{name: pair[place - 2] for name, pair in WIDENED.items()}}
        values = {"id": place - 1, **{name: pair[place] for name, pair in WIDENED.items()}}
        write_rows(program, folder, uri, statement, kinds, values)
        if place == 2:
            program("table", "alter", uri, "--enable", "type-widening",
                    *(f"ALTER COLUMN {name} TYPE {pair[1]}" for name, pair in WIDENED.items()))
    return uri


def plain(row):
    return {name: str(value)[:19] if name == "k" else float(value) for name, value in row.items()}


def wanted_rows():
    return [{"id": id, **as_read({name: pair[id + 1] for name, pair in WIDENED.items()}, id == 1)} for id in (1, 2)]


def check_rows(smelt, uri):
    rows = smelt.sql(f"SELECT * FROM '{uri}' ORDER BY id")
    assert [plain(row) for row in rows] == [plain(row) for row in wanted_rows()]
    for name in WIDENED:
        for id in (1, 2):
            found = smelt.sql(f"SELECT id FROM '{uri}' WHERE {name} = (SELECT {name} FROM '{uri}' WHERE id = {id})")
            assert found == [{"id": id}], (name, id)
    # A constant, by which files are pruned.
    assert smelt.sql(f"SELECT id FROM '{uri}' WHERE g = {FLOAT_AS_DOUBLE}") == [{"id": 1}]
    assert smelt.sql(f"SELECT id FROM '{uri}' WHERE g = 0.1::DOUBLE") == [{"id": 2}]
    assert smelt.sql(f"SELECT id FROM '{uri}' WHERE k = TIMESTAMP '2022-04-01 00:00:00'") == [{"id": 1}]
    assert smelt.sql(f"SELECT id FROM '{uri}' WHERE l = 0.1234 OR l = 12.34") == [{"id": 1}, {"id": 2}]


def test_each_pair(smelt, widened, duckdb_delta):
    check_rows(smelt, widened)
    rows = sorted(read_with_duckdb(duckdb_delta, widened), key=lambda row: row["id"])
    assert [plain(row) for row in rows] == [plain(row) for row in wanted_rows()]


def test_each_pair_rewritten(smelt, widened, duckdb_delta):
    """By optimize, which writes the old row with the new types, and from a checkpoint."""
    smelt("table", "alter", widened, "SET TBLPROPERTIES ('delta.checkpointInterval' = 1)")
    check_rows(smelt, widened)
    smelt("table", "optimize", widened)
    check_rows(smelt, widened)
    assert smelt("table", "fsck", widened, "--data").returncode == 0
    rows = sorted(read_with_duckdb(duckdb_delta, widened), key=lambda row: row["id"])
    assert [plain(row) for row in rows] == [plain(row) for row in wanted_rows()]


def test_within_columns(smelt, tmp_path, duckdb_delta):
    """Fields, elements of lists, keys and values of maps, with fields that are added beside them."""
    uri = tmp_path / "t"
    kinds = {"id": "INTEGER", "s": "STRUCT(x SMALLINT, l INTEGER[])", "m": "MAP(VARCHAR, FLOAT)"}
    write_rows(smelt, tmp_path, uri, "CREATE TABLE '{}' AS", kinds,
               {"id": 1, "s": {"x": 1, "l": [1, 2]}, "m": {"k": 0.5}})
    smelt("table", "alter", uri, "--enable", "type-widening", "ALTER COLUMN s.x TYPE BIGINT",
          "ALTER COLUMN s.l.element TYPE DOUBLE", "ALTER COLUMN m.value TYPE DOUBLE", "ADD COLUMN s.y VARCHAR FIRST")
    kinds = {"id": "INTEGER", "s": "STRUCT(y VARCHAR, x BIGINT, l DOUBLE[])", "m": "MAP(VARCHAR, DOUBLE)"}
    write_rows(smelt, tmp_path, uri, "INSERT INTO '{}'", kinds,
               {"id": 2, "s": {"y": "new", "x": 9000000000, "l": [0.5]}, "m": {"k": 0.1}})
    wanted = [(1, None, 1, [1.0, 2.0], 0.5), (2, "new", 9000000000, [0.5], 0.1)]
    assert [tuple(row.values()) for row in smelt.sql(
        f"SELECT id, s.y AS y, s.x AS x, s.l AS l, m['k'] AS v FROM '{uri}' ORDER BY id")] == wanted
    rows = duckdb_delta.query(f"SELECT id, s.y, s.x, s.l, m['k'] FROM delta_scan('{uri}') ORDER BY id")
    assert rows == wanted
    log = json.loads((uri / "_delta_log" / f"{1:020}.json").read_text().splitlines()[2])
    fields = json.loads(log["metaData"]["schemaString"])["fields"]
    assert fields[2]["metadata"]["delta.typeChanges"] == [
        {"fromType": "float", "toType": "double", "fieldPath": "value"}]


def test_partition_columns(smelt, tmp_path, duckdb_delta):
    uri = tmp_path / "t"
    table = pa.table({"id": pa.array([1, 2], pa.int32()), "n": pa.array([5, 7], pa.int32()),
                      "day": pa.array([19083, 19084], pa.date32()), "f": pa.array([0.1, 0.2], pa.float32())})
    deltalake.write_deltalake(str(uri), table, partition_by=["n", "day", "f"])
    smelt("table", "alter", uri, "--enable", "type-widening", "--enable", "column-mapping",
          "ALTER COLUMN n TYPE BIGINT", "ALTER COLUMN id FIRST")
    for change, said in (("ALTER COLUMN f TYPE DOUBLE", "values of partitions"),
                         ("ALTER COLUMN n TYPE DECIMAL(22,2)", "values of partitions"),
                         ("ALTER COLUMN day TYPE TIMESTAMP", "values of partitions"),
                         ("RENAME COLUMN n TO m", "used by the partitions"), ("DROP COLUMN n", "used by the partitions")):
        done = smelt("table", "alter", uri, change, check=False)
        assert done.returncode == 1 and said in done.stderr
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES (3, -9000000000, DATE '2022-04-03', 0.5)")
    smelt("table", "alter", uri, "ALTER COLUMN n TYPE DECIMAL(20,0)")
    assert [tuple(row.values()) for row in smelt.sql(f"SELECT id, n, day FROM '{uri}' WHERE n < 6 ORDER BY id")] == [
        (1, 5, "2022-04-01"), (3, -9000000000, "2022-04-03")]
    rows = duckdb_delta.query(f"SELECT id, n, day::VARCHAR FROM delta_scan('{uri}') ORDER BY id")
    assert rows == [(1, 5, "2022-04-01"), (2, 7, "2022-04-02"), (3, -9000000000, "2022-04-03")]


def test_other_columns(smelt, tmp_path, duckdb_delta):
    """Renamed, dropped, added again by the same name, moved; read by all that know column mapping."""
    uri = tmp_path / "t"
    table = pa.table({"id": pa.array([1, 2], pa.int64()), "x": ["a", "b"], "gone": pa.array([5, 6], pa.int64())})
    deltalake.write_deltalake(str(uri), table)
    smelt("table", "alter", uri, "--enable", "column-mapping", "RENAME COLUMN x TO y", "DROP COLUMN gone",
          "ADD COLUMN gone VARCHAR", "ALTER COLUMN y FIRST", "ADD COLUMN x BIGINT AFTER y")
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES ('c', 7, 3, 'new')")
    smelt("sql", "--write", f"UPDATE '{uri}' SET gone = 'set' WHERE id = 2")
    wanted = [{"y": "a", "x": None, "id": 1, "gone": None}, {"y": "b", "x": None, "id": 2, "gone": "set"},
              {"y": "c", "x": 7, "id": 3, "gone": "new"}]
    assert smelt.sql(f"SELECT * FROM '{uri}' ORDER BY id") == wanted
    for rows in (read_with_duckdb(duckdb_delta, uri), read_with_deltalake(uri)):
        assert sorted(rows, key=lambda row: row["id"]) == wanted
    assert [list(row) for row in smelt.sql(f"SELECT * FROM '{uri}' LIMIT 1")] == [list(wanted[0])]


def test_rules_that_others_keep(smelt, tmp_path):
    """A constraint and a property: delta-rs writes what keeps them, and fails on what does not."""
    uri = tmp_path / "t"
    table = pa.table({"id": pa.array([1, 2], pa.int64())})
    deltalake.write_deltalake(str(uri), table)
    smelt("table", "alter", uri, "ADD CONSTRAINT few CHECK (id < 100)")
    deltalake.write_deltalake(str(uri), pa.table({"id": pa.array([3], pa.int64())}), mode="append")
    with pytest.raises(Exception, match="failed validation"):
        deltalake.write_deltalake(str(uri), pa.table({"id": pa.array([300], pa.int64())}), mode="append")
    smelt("table", "alter", uri, "DROP CONSTRAINT few", "SET TBLPROPERTIES ('delta.appendOnly' = 'true')")
    with pytest.raises(Exception, match="append"):
        deltalake.DeltaTable(str(uri)).delete("id = 1")
    smelt("table", "alter", uri, "UNSET TBLPROPERTIES ('delta.appendOnly')", "ALTER COLUMN id COMMENT 'the key'")
    assert deltalake.DeltaTable(str(uri)).delete("id = 1")["num_deleted_rows"] == 1
    assert deltalake.DeltaTable(str(uri)).schema().fields[0].metadata == {"comment": "the key"}
