"""How much a query reads: one of ten columns, one of thirty days, and of a sorted column only the
pages with a range of values. EXPLAIN ANALYZE counts the bytes requested from the store. The rows
are those of DuckDB, over files of smelt and files of delta-rs with the page indexes of arrow-rs."""
import re

import deltalake
import duckdb
import pyarrow as pa
import pytest

from customer360 import generate, run

UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}
ROWS = 600_000


def bytes_read(smelt, query):
    told = smelt("explain", "--analyze", query).stdout
    return sum(float(n) * UNITS[unit] for n, unit in re.findall(r"read ([0-9.]+) ([KMG]?B)", told))


@pytest.fixture(scope="module")
def sorted_file(program, tmp_path_factory):
    """Three row groups, sorted by id, and by s; n has NULLs and a stretch of nothing else; st is a struct."""
    folder = tmp_path_factory.mktemp("pages")
    with duckdb.connect() as db:
        db.execute(f"""COPY (SELECT i AS id, printf('key %09d', i * 7) AS s, i % 1000 AS few,
            CASE WHEN i % 3 = 0 OR i BETWEEN 100000 AND 300000 THEN NULL ELSE i // 5 END AS n,
            hash(i) AS h, hash(i + 1) AS h2, {{'a': hash(i + 2), 'b': 'text ' || i}} AS st
            FROM range({ROWS}) r(i)) TO '{folder}/in.parquet'""")
    program("sql", f"SELECT * FROM '{folder}/in.parquet' ORDER BY id", "--format", "parquet", "--output",
            folder / "t.parquet")
    return folder / "t.parquet"


RANGES = [
    "id = 314159",
    "id BETWEEN 262140 AND 262150",
    "id >= 599990",
    "id < 7",
    "id > 30000 AND id < 30010",
    "s = 'key 003141593'",
    "s >= 'key 004199900'",
    "n = 77777",
    "n IS NOT NULL AND id BETWEEN 150000 AND 150020",
    "id = -5",
    "id BETWEEN 20479 AND 20481 AND few > 400",
]


@pytest.mark.parametrize("where", RANGES)
def test_pages_by_their_index(smelt, sorted_file, where):
    query = f"SELECT id, s, few, n, h, st FROM '{sorted_file}' WHERE {where}"
    got = smelt.sql(query)
    with duckdb.connect() as db:
        wanted = db.sql(query).to_arrow_table().to_pylist()
    assert got == wanted
    whole = bytes_read(smelt, f"SELECT id, s, few, n, h, st FROM '{sorted_file}'")
    assert bytes_read(smelt, query) < whole / 4


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_pages_of_arrow_rs(smelt, tmp_path, threads):
    table = pa.table({"id": pa.array(range(ROWS), pa.int64()),
                      "s": pa.array([f"s{i:07d}" for i in range(ROWS)]),
                      "l": pa.array([[i, i + 1] for i in range(ROWS)])})
    deltalake.write_deltalake(str(tmp_path / "t"), table, writer_properties=deltalake.WriterProperties(
        data_page_size_limit=20_000, write_batch_size=1000))
    for columns in ("id, s", "id, s, l"):  # repeated values: no pages are left out
        query = f"SELECT {columns} FROM delta_scan('{tmp_path}/t') WHERE id BETWEEN 299999 AND 300002 ORDER BY id"
        got = smelt.sql(query, "--threads", threads)
        assert [row["id"] for row in got] == [299999, 300000, 300001, 300002]
        assert [row["s"] for row in got] == ["s0299999", "s0300000", "s0300001", "s0300002"]


def test_one_column_of_ten(smelt, tmp_path):
    columns = ", ".join(f"hash(i + {k}) AS c{k}" for k in range(10))
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT {columns} FROM range(300000) r(i)) TO '{tmp_path}/t.parquet'")
    whole = bytes_read(smelt, f"SELECT * FROM '{tmp_path}/t.parquet'")
    one = bytes_read(smelt, f"SELECT sum(c7 % 10) AS s FROM '{tmp_path}/t.parquet'")
    assert whole * 0.09 < one < whole * 0.11


def test_one_day_of_thirty(smelt, lake, tmp_path):
    logs = generate(smelt, tmp_path / "logs", days=30, rows=3000, contracts=500, seed=3)
    run(smelt, "delta", logs.folder, lake)
    table = f"delta_scan('{lake}/bronze/viewing_log')"
    whole = bytes_read(smelt, f"SELECT Contract, TotalDuration FROM {table}")
    query = f"SELECT count(*) AS n FROM (SELECT Contract, TotalDuration, \"Date\" FROM {table}) WHERE \"Date\" = DATE '2022-04-17' AND Contract >= '' AND TotalDuration > -1"
    assert smelt.sql(query) == [{"n": 3000}]
    assert 0 < bytes_read(smelt, query) < whole / 15
