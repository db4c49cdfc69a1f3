"""Logical types of Parquet in files of DuckDB and PyArrow: they are read as DuckDB shows them, or
refused by name where they are read, and only there."""
import uuid

import pytest

duckdb = pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture
def write(tmp_path):
    """write("x.parquet", "SELECT …"): by DuckDB."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")

    def copy(name, sql, options=""):
        connection.execute(f"COPY ({sql}) TO '{tmp_path / name}' (FORMAT parquet{options})")
        return connection
    return copy


def texts(connection, path):
    return [row[0] for row in connection.execute(f"SELECT x::VARCHAR FROM '{path}'").fetchall()]


@pytest.mark.parametrize("sql", [
    "SELECT md5(i::VARCHAR)::UUID AS x FROM range(5000) t(i)",
    "SELECT md5((i % 7)::VARCHAR)::UUID AS x FROM range(5000) t(i)",
    "SELECT CASE WHEN i % 3 > 0 THEN md5((i % 50)::VARCHAR)::UUID END AS x FROM range(5000) t(i)",
    "SELECT CASE WHEN i < 2500 THEN '00000000-0000-0000-0000-000000000000'::UUID ELSE md5(i::VARCHAR)::UUID END AS x FROM range(5000) t(i)",
])
def test_uuid_is_its_text(smelt, write, tmp_path, sql):
    connection = write("u.parquet", sql)
    rows = smelt.sql("SELECT x, typeof(x) AS t FROM 'u.parquet'")
    assert [row["x"] for row in rows] == texts(connection, tmp_path / "u.parquet")
    assert {row["t"] for row in rows} == {"VARCHAR"}
    one = next(row["x"] for row in rows if row["x"])
    want = connection.execute(f"SELECT count(*) FROM '{tmp_path / 'u.parquet'}' WHERE x = '{one}'").fetchone()[0]
    assert smelt.sql(f"SELECT count(*) AS n FROM 'u.parquet' WHERE x = '{one}'") == [{"n": want}]


def test_uuid_in_every_encoding_and_nested(smelt, tmp_path):
    import pyarrow.parquet as parquet

    ids = [uuid.UUID(int=n * 0x1234567890ABCDEF1234567) for n in range(300)]
    column = pyarrow.array([i.bytes for i in ids], pyarrow.binary(16))
    table = pyarrow.table({"x": pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), column)})
    for encoding in ["PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY"]:
        parquet.write_table(table, tmp_path / "u.parquet", use_dictionary=False, column_encoding={"x": encoding})
        assert [row["x"] for row in smelt.sql("SELECT x FROM 'u.parquet'")] == [str(i) for i in ids], encoding


def test_uuid_in_lists(smelt, write, tmp_path):
    write("l.parquet", "SELECT [md5(i::VARCHAR)::UUID, NULL, md5('a')::UUID] AS x FROM range(300) t(i)")
    rows = smelt.sql("SELECT x FROM 'l.parquet'")
    wanted = duckdb.execute(f"SELECT x FROM '{tmp_path / 'l.parquet'}'").fetchall()
    assert [row["x"] for row in rows] == [[v and str(v) for v in row[0]] for row in wanted]


FOREIGN = {
    "INTERVAL": ("INTERVAL '1 month 2 days'", "BLOB"),
    "TIME WITH TIME ZONE": ("'14:38:00+02'::TIMETZ", "TIME"),
    "GEOMETRY": ("'POINT(1 2)'::GEOMETRY", "BLOB"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_type_that_there_is_not_is_refused_where_it_is_read(smelt, write, name):
    value, stored = FOREIGN[name]
    write("f.parquet", f"SELECT 7 AS n, {value} AS x, {{'y': {value}}} AS s")
    assert smelt.sql("SELECT n FROM 'f.parquet'") == [{"n": 7}]
    places = ["x"] if name == "GEOMETRY" else ["x", "s.y"]  # GeoParquet names whole columns
    for place in places:
        for query in (f"SELECT {place} FROM 'f.parquet'", "SELECT * FROM 'f.parquet'",
                      f"SELECT n FROM 'f.parquet' WHERE {place} IS NOT NULL"):
            done = smelt("sql", query, check=False)
            assert done.returncode == 1, query
            assert f"is {name} in the file" in done.stderr and "columns =>" in done.stderr
    rows = smelt.sql(f"SELECT x FROM read_parquet('f.parquet', columns => {{x: '{stored}'}})")
    assert len(rows) == 1 and rows[0]["x"] is not None
    if stored == "TIME":
        assert rows == [{"x": "12:38:00"}]


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_MS", "TIMESTAMP_S", "TIMESTAMP_NS"])
def test_infinity_is_read_compared_written(smelt, write, tmp_path, kind):
    values = ["-infinity", "1970-01-02", "2026-04-29", "infinity"]
    connection = write("i.parquet", "SELECT x FROM (VALUES " + ", ".join(f"('{v}'::{kind})" for v in values) + ") t(x)")
    wanted = texts(connection, tmp_path / "i.parquet")
    assert [row["x"] for row in smelt.sql("SELECT x::VARCHAR AS x FROM 'i.parquet'")] == wanted
    for text in values:
        for sign in ("<", "=", ">", ">="):
            where = f"x {sign} '{text}'"
            want = connection.execute(f"SELECT count(*) FROM '{tmp_path / 'i.parquet'}' WHERE {where}").fetchone()[0]
            assert smelt.sql(f"SELECT count(*) AS n FROM 'i.parquet' WHERE {where}") == [{"n": want}], where
    smelt("sql", "SELECT x FROM 'i.parquet'", "-o", "out.parquet")
    assert texts(connection, tmp_path / "out.parquet") == wanted


def test_nanoseconds_are_rounded_down(smelt, write):
    write("n.parquet", "SELECT '2026-04-29 14:38:00.123456789'::TIMESTAMP_NS AS a, "
                       "'1969-12-31 23:59:59.999999999'::TIMESTAMP_NS AS b, '14:38:00.123456789'::TIME_NS AS c")
    assert smelt.sql("SELECT a, b, c FROM 'n.parquet'") == [
        {"a": "2026-04-29 14:38:00.123456", "b": "1969-12-31 23:59:59.999999", "c": "14:38:00.123456"}]
