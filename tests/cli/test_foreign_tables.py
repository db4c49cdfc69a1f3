"""Tables of other writers, and damaged ones: the right rows, or an error that says what is wrong.

tests/cli/foreign has a folder for each, with the table (`table` or `table.parquet`) and the
expected result. Other tables are made here, with pyarrow and a log of one commit."""
import json
import pathlib
import shutil

import pytest

FOREIGN = pathlib.Path(__file__).parent / "foreign"
NAMES = sorted(folder.name for folder in FOREIGN.iterdir())


def source(name):
    return FOREIGN / name / ("table" if (FOREIGN / name / "table").exists() else "table.parquet")


def scan(path):
    return f"read_parquet('{path}')" if path.suffix == ".parquet" else f"delta_scan('{path}')"


@pytest.mark.parametrize("name", NAMES)
def test_right(smelt, name):
    checks = json.loads((FOREIGN / name / "right.json").read_text())
    assert checks
    for check in checks:
        sql = check["sql"].format(t=scan(source(name)))
        if "error" in check:
            done = smelt("sql", sql, check=False)
            assert done.returncode == 1 and check["error"] in done.stderr, sql
        else:
            assert smelt.sql(sql) == check["rows"], sql


# ---- what becomes of them ---------------------------------------------------------------------


def test_append_only_in_capitals_is_honoured(smelt, tmp_path):
    shutil.copytree(source("append_true"), tmp_path / "lake/g/t")
    (tmp_path / "p.yaml").write_text("name: p\nvars:\n  lake: {type: uri}\nlake: lake\ntasks:\n"
                                     "  - table: g.t\n    sql: t.sql\n")
    (tmp_path / "t.sql").write_text("SELECT 7::BIGINT AS i")
    log = sorted((tmp_path / "lake/g/t/_delta_log").iterdir())
    done = smelt("run", "p.yaml", "--var", "lake=./lake", check=False)
    assert done.returncode == 1
    assert "append-only" in done.stderr and '"TRUE"' in done.stderr
    assert sorted((tmp_path / "lake/g/t/_delta_log").iterdir()) == log


def log_of(folder, fields, mode=None, *, stats=None, protocol=(2, 5), n_rows=2):
    """A table of x.parquet."""
    config = {"delta.columnMapping.mode": mode} if mode else {}
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    actions = [
        {"protocol": {"minReaderVersion": protocol[0], "minWriterVersion": protocol[1]}},
        {"metaData": {"id": "i", "format": {"provider": "parquet", "options": {}}, "schemaString":
                      json.dumps({"type": "struct", "fields": fields}), "partitionColumns": [],
                      "configuration": config}},
        {"add": {"path": "x.parquet", "partitionValues": {}, "modificationTime": 0, "dataChange": True,
                 "size": (folder / "x.parquet").stat().st_size,
                 "stats": json.dumps({"numRecords": n_rows, **(stats or {})})}}]
    (folder / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")
    return folder


def field(name, kind, physical=None, number=None):
    metadata = {}
    if physical:
        metadata["delta.columnMapping.physicalName"] = physical
    if number:
        metadata["delta.columnMapping.id"] = number
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def struct(*fields):
    return {"type": "struct", "fields": list(fields)}


def array(element):
    return {"type": "array", "elementType": element, "containsNull": True}


@pytest.fixture
def nested_swap(tmp_path):
    """Each pair of names stands the other way round in the file: at the top, in a struct, in a list of
    structs, as the values of a map."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pair = pa.struct([("a", pa.int64()), ("b", pa.int64())])
    folder = tmp_path / "nested"
    folder.mkdir()
    pq.write_table(pa.table({
        "t": pa.array([{"a": 1, "b": 10}, {"a": 2, "b": 20}], pair),
        "s": pa.array([[{"a": 3, "b": 30}], []], pa.list_(pair)),
        "m": pa.array([[("k", {"a": 4, "b": 40})], []], pa.map_(pa.string(), pair)),
        'q"\\é': pa.array([5, 6])}), folder / "x.parquet")
    inside = struct(field("a", "long", "b", 11), field("b", "long", "a", 12))
    return log_of(folder, [
        field("s", inside, "t", 1), field("t", array(inside), "s", 2),
        field("m", {"type": "map", "keyType": "string", "valueType": inside,
                    "valueContainsNull": True}, "m", 3),
        field("q", "long", 'q"\\é', 4)], "name")


RIGHT = [{"s": {"a": 10, "b": 1}, "t": [{"a": 30, "b": 3}], "m": {"k": {"a": 40, "b": 4}}, "q": 5},
         {"s": {"a": 20, "b": 2}, "t": [], "m": {}, "q": 6}]


def as_dicts(rows):
    return [{**row, "m": dict(row["m"])} for row in rows]


def test_no_output_has_physical_names(smelt, nested_swap, tmp_path):
    import pyarrow.parquet as pq

    sql = f"SELECT * FROM delta_scan('{nested_swap}')"
    assert as_dicts(smelt.sql(sql)) == RIGHT
    smelt("sql", sql, "-o", tmp_path / "o.parquet")
    written = pq.read_table(tmp_path / "o.parquet")
    assert as_dicts(written.to_pylist()) == RIGHT
    assert "columnMapping" not in str(pq.read_schema(tmp_path / "o.parquet"))
    assert b"columnMapping" not in (tmp_path / "o.parquet").read_bytes()
    smelt("sql", f"SELECT s, t, q FROM delta_scan('{nested_swap}') ORDER BY q DESC LIMIT 1", "-o",
          tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").to_pylist() == [
        {name: RIGHT[1][name] for name in ("s", "t", "q")}]
    smelt("sql", sql, "-o", tmp_path / "o.json")
    assert as_dicts(json.loads((tmp_path / "o.json").read_text())) == RIGHT
    assert smelt("sql", sql, "--format", "csv").stdout.splitlines()[0] == "s,t,m,q"


def test_a_load_from_a_mapped_table_has_its_own_names(smelt, nested_swap, tmp_path):
    """Neither names nor ids nor properties of the table that was read are in the one that is made."""
    (tmp_path / "p.yaml").write_text("name: p\nvars:\n  lake: {type: uri}\nlake: lake\ntasks:\n"
                                     "  - table: a.t\n    sql: t.sql\n")
    (tmp_path / "t.sql").write_text(f"SELECT * FROM delta_scan('{nested_swap}')")
    smelt("run", "p.yaml", "--var", "lake=./lake")
    assert as_dicts(smelt.sql("SELECT * FROM a.t", "--lake", tmp_path / "lake")) == RIGHT
    log = (tmp_path / "lake/a/t/_delta_log" / f"{0:020}.json").read_text()
    assert "columnMapping" not in log


@pytest.mark.parametrize("mode, protocol, right", [
    ("id", (2, 5), [{"a": 2, "b": None}, {"a": 4, "b": None}]),
    ("name", (2, 5), [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    ("none", (2, 5), [{"a": None, "b": 2}, {"a": None, "b": 4}]),
    (None, (1, 2), [{"a": None, "b": 2}, {"a": None, "b": 4}]),
    ("name", (1, 2), [{"a": None, "b": 2}, {"a": None, "b": 4}])])
def test_each_mode_looks_at_its_own(smelt, tmp_path, mode, protocol, right):
    """Ids count in mode id only, physical names in mode name, and neither in others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "t"
    folder.mkdir()
    ids = [{b"PARQUET:field_id": number} for number in (b"2", b"1")]
    schema = pa.schema([pa.field("x", pa.int64(), metadata=ids[0]),
                        pa.field("b", pa.int64(), metadata=ids[1])])
    pq.write_table(pa.table([[1, 3], [2, 4]], schema=schema), folder / "x.parquet")
    log_of(folder, [field("a", "long", "x", 1), field("b", "long", "b", 7)], mode, protocol=protocol)
    assert smelt.sql(f"SELECT * FROM delta_scan('{folder}')") == right


def test_names_that_differ_in_case_can_be_read(smelt, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1], "A": [2], "s": [{"b": 3, "B": 4}]}), folder / "x.parquet")
    log_of(folder, [field("a", "long"), field("A", "long"),
                    field("s", struct(field("b", "long"), field("B", "long")))], n_rows=1)
    sql = f'SELECT "A" AS big, "a" AS small, s."B" AS inner_big FROM delta_scan(\'{folder}\')'
    assert smelt.sql(sql) == [{"big": 2, "small": 1, "inner_big": 4}]


@pytest.mark.parametrize("names, said", [
    ('1 AS a, 2 AS "A"', '"a" and "A" differ in case only'),
    ("NULL AS x", 'column "x" has no type, only NULL'),
    ("x, 1 AS y FROM (SELECT NULL AS x)", 'column "x" has no type, only NULL')])
def test_columns_that_no_table_may_have(smelt, tmp_path, names, said):
    (tmp_path / "p.yaml").write_text("name: p\nvars:\n  lake: {type: uri}\nlake: lake\ntasks:\n"
                                     "  - table: a.t\n    sql: t.sql\n")
    (tmp_path / "t.sql").write_text(f"SELECT {names}")
    done = smelt("run", "p.yaml", "--var", "lake=./lake", check=False)
    assert done.returncode == 1 and said in done.stderr
    assert not (tmp_path / "lake/a/t").exists()


# ---- histories of others ----------------------------------------------------------------------


def test_history_takes_what_commits_say(smelt, tmp_path):
    """Whatever stands in commitInfo, or where there is none."""
    log = tmp_path / "t/_delta_log"
    log.mkdir(parents=True)
    head = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
            {"metaData": {"id": "i", "format": {"provider": "parquet"}, "schemaString":
                          json.dumps(struct(field("a", "long"))), "partitionColumns": [],
                          "configuration": {}}}]
    odd = [{"commitInfo": {"timestamp": "soon", "operation": 7, "operationParameters": "all"}},
           {"commitInfo": None}, {"commitInfo": []}, {"commitInfo": {"timestamp": 1e300}},
           {"commitInfo": {"operation": None, "operationMetrics": None, "userMetadata": {"a": 1}}},
           {"txn": {"appId": "x", "version": 1}}, {"unheard": {"of": 1}},
           {"add": None, "commitInfo": {"operation": "LAST"}}]
    for version, actions in enumerate([head] + [[one] for one in odd]):
        (log / f"{version:020}.json").write_text("".join(json.dumps(one) + "\n" for one in actions))
    (log / f"{99:020}.json.tmp").write_text("half")
    (log / f"{98:020}.00000000-0000-4000-8000-000000000000.json").write_text("staged")
    lines = smelt("table", "history", tmp_path / "t").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [str(n) for n in range(len(odd), -1, -1)]
    assert "LAST" in lines[0]
    assert smelt.sql(f"SELECT count(*) AS n FROM delta_scan('{tmp_path}/t')") == [{"n": 0}]
