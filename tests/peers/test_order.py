"""ORDER BY against DuckDB: keys of every type and width, alone and together, up and down, NULLS
FIRST and LAST, with common prefixes, with zero bytes, with most bits in use. Equal rows keep the
order of the input. 100,000 rows, which make several sorted runs, at 1 and 7 threads."""
import random

import duckdb
import pytest

ROWS = 100_000
KEYS = {
    "few": "h(i) % 3",
    "tiny": "CAST(h(i + 1) % 200 - 100 AS TINYINT)",
    "wide": "h(i + 2) * (1 - 2 * CAST(i % 2 AS BIGINT))",
    "huge": "hash(i + 3)",
    "d": "CASE h(i + 4) % 50 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'inf'::DOUBLE WHEN 2 THEN '-inf'::DOUBLE "
         "ELSE (h(i + 4) % 2000 - 1000) / 7.0 END",
    "f": "CAST((h(i + 5) % 1000) / 3.0 AS FLOAT)",
    "dec": "CAST(h(i + 6) % 10000 - 5000 AS DECIMAL(12, 2))",
    "wide_dec": "CAST(h(i + 7) % 1000 - 500 AS DECIMAL(30, 5)) * 1000000000000",
    "flag": "h(i + 8) % 2 = 0",
    "day": "DATE '2020-01-01' + CAST(h(i + 9) % 700 AS INTEGER)",
    "t": "TIMESTAMP '2020-01-01' + to_microseconds(CAST(h(i + 10) % 1000000007 AS BIGINT))",
    "short": "chr(CAST(97 + h(i + 11) % 26 AS INTEGER))",
    "prefixed": "printf('a common beginning %05d', CAST(h(i + 12) % 5000 AS INTEGER))",
    "long": "'text ' || h(i + 13) % 70001 || ' and more of it'",
    "zero": "'z' || repeat(chr(0), CAST(h(i + 14) % 3 AS INTEGER)) || CASE WHEN i % 2 = 0 THEN '' ELSE 'b' END",
    "same": "'the same'",
    "none": "CAST(NULL AS BIGINT)",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("order") / "t.parquet"
    columns = ", ".join(f"{text} AS {name}, CASE WHEN h(i + 99) % 7 = 0 THEN NULL ELSE {text} END AS {name}_n"
                        for name, text in KEYS.items())
    with duckdb.connect() as db:
        db.execute("SET threads = 1")
        db.execute("CREATE MACRO h(x) AS CAST(hash(x) >> 1 AS BIGINT)")
        db.execute(f"COPY (SELECT i AS id, {columns} FROM range({ROWS}) r(i)) TO '{path}' (ROW_GROUP_SIZE 10000)")
    return path


def orders():
    """Each key alone in each way, then keys behind one another by chance."""
    some = random.Random(7)
    ways = ["", " DESC", " NULLS FIRST", " DESC NULLS FIRST", " DESC NULLS LAST"]
    names = [name + end for name in KEYS for end in ("", "_n")]
    for name in names:
        yield name + some.choice(ways)
    for _ in range(40):
        yield ", ".join(name + some.choice(ways) for name in some.sample(names, some.randint(2, 6)))


@pytest.mark.parametrize("order", list(orders()))
def test_as_duckdb(smelt, file, order):
    query = f"SELECT id FROM '{file}' ORDER BY {order}"
    with duckdb.connect() as db:
        wanted = [str(row[0]) for row in db.sql(query + ", id").fetchall()]
    for threads in (1, 7):
        got = smelt("sql", query, "--format", "csv", "--threads", threads).stdout.split()[1:]
        assert got == wanted
