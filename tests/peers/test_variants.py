"""Variants are read as their JSON text: DuckDB writes them into Parquet, as bytes alone and with some of
their fields as columns of their own (shredded)."""
import json
import random
import uuid

import pytest

duckdb = pytest.importorskip("duckdb")

# What becomes a variant, and its JSON text.
VALUES = [
    ("7", "7"),
    ("'-12.50'::DECIMAL(9,2)", "-12.5"),
    ("'-12345678901234567890123456789012345.670'::DECIMAL(38,3)", "-12345678901234567890123456789012345.67"),
    ("1.5::FLOAT", "1.5"),
    ("'nan'::DOUBLE", '"NaN"'),
    ("true", "true"),
    ("DATE '2022-04-01'", '"2022-04-01"'),
    ("TIME '10:00:01'", '"10:00:01"'),
    ("TIMESTAMP '2022-04-01 17:05:00.5'", '"2022-04-01 17:05:00.5"'),
    ("TIMESTAMP_NS '2022-04-01 00:00:00.123456789'", '"2022-04-01 00:00:00.123456789"'),
    ("TIMESTAMPTZ '2022-04-01 19:05:00+02'", '"2022-04-01 17:05:00+00:00"'),
    (r"'\x01\x02'::BLOB", '"AQI="'),
    ("'11111111-2222-4333-8444-555555555555'::UUID", '"11111111-2222-4333-8444-555555555555"'),
    ("repeat('long', 50)", json.dumps("long" * 50)),
    ("{'b': 'y', 'a': 5}", '{"a":5,"b":"y"}'),
    ("[1, 2]", "[1,2]"),
    ("NULL", None),
]
SHRED = "STRUCT(a INTEGER, b VARCHAR, d DATE, l INTEGER[], o STRUCT(p DOUBLE, q STRUCT(w VARCHAR)[]))"


@pytest.fixture
def write(tmp_path):
    """write("x.parquet", "SELECT …", "STRUCT(…)"): by DuckDB; the last is how x is shredded."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")

    def copy(name, sql, shred=None):
        connection.execute(f"SET variant_minimum_shredding_size = {0 if shred else -1}")
        options = f", shredding {{x: '{shred}'}}" if shred else ""
        connection.execute(f"COPY ({sql}) TO '{tmp_path / name}' (FORMAT parquet{options})")
        return connection
    return copy


def columns_of(connection, path):
    return [row[0] for row in connection.execute(f"SELECT name FROM parquet_schema('{path}')").fetchall()]


@pytest.mark.parametrize("shred", [None, "INTEGER", "VARCHAR", "DECIMAL(9,2)", "DATE", "TIMESTAMP",
                                   "TIMESTAMPTZ", "BLOB", "UUID", "INTEGER[]", SHRED])
def test_values_of_each_type(smelt, write, tmp_path, shred):
    rows = ", ".join(f"({i}, {sql}::VARIANT)" for i, (sql, _) in enumerate(VALUES))
    connection = write("v.parquet", f"SELECT * FROM (VALUES {rows}) t(id, x)", shred)
    assert shred is None or "typed_value" in columns_of(connection, tmp_path / "v.parquet")
    found = smelt.sql("SELECT x, typeof(x) AS t FROM 'v.parquet' ORDER BY id")
    assert [row["x"] for row in found] == [text for _, text in VALUES]
    assert {row["t"] for row in found} == {"VARCHAR"}


def some_json(chance, depth=0):
    """A value that often has the keys and types of SHRED, and often not."""
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind < 6:
        return chance.choice([None, True, 3, -2**40, 1.25, "text", "é\"\\\n", "", "2022-04-01"])
    if kind == 6:
        return [some_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {key: some_json(chance, depth + 1)
            for key in chance.sample(["a", "b", "d", "l", "o", "p", "q", "w", "z", "Ä"], chance.randrange(6))}


@pytest.mark.parametrize("shred", [None, SHRED])
def test_random_documents(smelt, write, tmp_path, shred):
    chance = random.Random(7)
    documents = [{"a": 1, "o": {"p": 2.5, "q": [{"w": "x"}, {"w": 1, "v": 2}, 3]}, "l": [1, "2"]}]
    documents += [some_json(chance) for _ in range(600)]
    (tmp_path / "d.ndjson").write_text("".join(json.dumps({"id": i, "t": json.dumps(d)}) + "\n"
                                               for i, d in enumerate(documents)))
    connection = write("d.parquet", "SELECT id, t::JSON::VARIANT AS x FROM read_ndjson("
                       f"'{tmp_path}/d.ndjson', columns = {{id: 'BIGINT', t: 'VARCHAR'}})", shred)
    wanted = connection.execute(f"SELECT x::JSON::VARCHAR FROM '{tmp_path}/d.parquet' ORDER BY id").fetchall()
    found = smelt.sql("SELECT x FROM 'd.parquet' ORDER BY id")
    for row, (text,), document in zip(found, wanted, documents, strict=True):
        assert row["x"] is None if text is None else json.loads(row["x"]) == json.loads(text) == document


def delta_table(folder, writer, features=("variantType",), stats=None):
    """A Delta table, of DuckDB's file, as a writer of variants leaves it."""
    writer("t/a.parquet", "SELECT * FROM (VALUES (1, '{\"k\":1}'::JSON::VARIANT), (2, '[2]'::JSON::VARIANT)) t(id, x)",
           SHRED if "variantShredding" in features else None)
    log = folder / "t/_delta_log"
    log.mkdir()
    schema = {"type": "struct", "fields": [
        {"name": "id", "type": "integer", "nullable": True, "metadata": {}},
        {"name": "x", "type": "variant", "nullable": True, "metadata": {}}]}
    lines = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": list(features),
                      "writerFeatures": list(features)}},
        {"metaData": {"id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}},
                      "schemaString": json.dumps(schema), "partitionColumns": [], "configuration": {}}},
        {"add": {"path": "a.parquet", "partitionValues": {}, "dataChange": True, "modificationTime": 1,
                 "size": (folder / "t/a.parquet").stat().st_size, "stats": json.dumps(stats or {"numRecords": 2})}},
    ]
    (log / f"{0:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("features", [("variantType",), ("variantType-preview",),
                                      ("variantType", "variantShredding")])
def test_a_table_is_read_and_not_written(smelt, tmp_path, write, features):
    (tmp_path / "t").mkdir()
    # Bounds of variants are variants in a code of their own: not texts to compare with.
    delta_table(tmp_path, write, features, {"numRecords": 2, "minValues": {"id": 1, "x": "~"},
                                            "maxValues": {"id": 2, "x": "~"}})
    assert smelt.sql("SELECT id, x FROM delta_scan('t') ORDER BY id") == [
        {"id": 1, "x": '{"k":1}'}, {"id": 2, "x": "[2]"}]
    assert smelt.sql("SELECT id FROM delta_scan('t') WHERE x = '[2]'") == [{"id": 2}]
    before = sorted(path.name for path in (tmp_path / "t").rglob("*"))
    for statement in ["INSERT INTO 't' SELECT 3 AS id, 'x' AS x", "DELETE FROM 't' WHERE id = 1",
                      "UPDATE 't' SET x = '{}' WHERE id = 1"]:
        done = smelt("sql", "--write", statement, check=False)
        assert done.returncode == 1
        assert f'the table needs the writer feature "{features[0]}", which is not supported' in done.stderr, done.stderr
    for command in (["optimize", "t"], ["clone", "t", "u"], ["cluster", "t", "--by", "id"]):
        done = smelt("table", *command, check=False)
        assert done.returncode == 1 and features[0] in done.stderr, (command, done.stderr)
    assert sorted(path.name for path in (tmp_path / "t").rglob("*")) == before
    assert not (tmp_path / "u").exists()
    smelt.sql("SELECT count(*) AS n FROM delta_scan('t')")


def test_a_group_that_is_no_variant(smelt, tmp_path, write):
    """The log says variant and the file has something else."""
    (tmp_path / "t").mkdir()
    delta_table(tmp_path, write)
    data, commit = tmp_path / "t/a.parquet", tmp_path / f"t/_delta_log/{0:020}.json"
    connection = duckdb.connect()
    for sql in ("{'metadata': 1, 'value': 2}", "'text'", "[1]"):
        size = data.stat().st_size
        connection.execute(f"COPY (SELECT 1 AS id, {sql} AS x) TO '{data}' (FORMAT parquet)")
        commit.write_text(commit.read_text().replace(f'"size": {size}', f'"size": {data.stat().st_size}'))
        done = smelt("sql", "SELECT x FROM delta_scan('t')", check=False)
        assert done.returncode == 1 and 'column "x"' in done.stderr, (sql, done.stderr)
