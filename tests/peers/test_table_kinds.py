"""Tables after each kind of maintenance: what smelt joined, clustered, merged, restored or partitioned is read
the same by every engine, with filters too; and smelt reads, and goes on with, what delta-rs did the same to.
(Spark, both ways: test_spark.py.)"""
import json

import deltalake
import polars as pl
import pyarrow as pa
import pytest

import clickhouse
from table_kinds import COLUMNS, KINDS, NEWS, OLD, Maker, check, merged, smelt_query


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def made(program, home):
    """made(kind): the table and its rows; made once."""
    known = {}

    def get(kind):
        if kind not in known:
            uri = home / "kinds" / kind
            known[kind] = uri, KINDS[kind](Maker(program, uri))
        return known[kind]
    return get


# ---- engines: each gives a function that gives the rows that a filter leaves --------------------


def tuples(rows):
    return [tuple(row[name] for name in COLUMNS) for row in rows]


def by_deltalake(uri):
    query = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(uri)))
    return lambda where: tuples(pa.table(query.execute(f"SELECT * FROM t WHERE {where}").read_all()).to_pylist())


def by_polars(uri):
    where = {"day = '2022-04-02' AND id > 45": "day = DATE '2022-04-02' AND id > 45"}
    return lambda text: tuples(pl.scan_delta(str(uri)).filter(pl.sql_expr(where.get(text, text)))
                               .collect().to_dicts())


@pytest.fixture(scope="module")
def engines(program, home, duckdb_delta):
    clickhouse.require()
    server = clickhouse.ClickHouse(home)
    names = ", ".join(COLUMNS)

    def by_duckdb(uri):
        return lambda where: duckdb_delta.query(f"SELECT {names} FROM delta_scan('{uri}') WHERE {where}")

    def by_clickhouse(uri):
        def query(where):
            text = server.query(f"SELECT {names} FROM deltaLakeLocal('{uri}') WHERE {where} FORMAT JSONCompactEachRow"
                                " SETTINGS output_format_json_quote_64bit_integers = 0")
            return [tuple(json.loads(line)) for line in text.splitlines()]
        return query
    yield {"smelt": lambda uri: smelt_query(program, uri), "delta-rs": by_deltalake, "Polars": by_polars,
           "DuckDB": by_duckdb, "ClickHouse": by_clickhouse}
    server.stop()


@pytest.mark.parametrize("engine", ["smelt", "delta-rs", "Polars", "DuckDB", "ClickHouse"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_smelt_made(engines, made, kind, engine):
    uri, rows = made(kind)
    check(engines[engine](uri), rows)


# ---- tables of delta-rs -------------------------------------------------------------------------


def table_of(rows):
    ids, cities, amounts, days = zip(*rows)
    return pa.table({"id": ids, "city": cities, "amount": amounts,
                     "day": pa.array(days).cast(pa.timestamp("us")).cast(pa.date32())})


def start(uri, keys=None):
    for first in (0, 20, 40):
        deltalake.write_deltalake(str(uri), table_of(OLD[first:first + 20]), mode="append", partition_by=keys)
    return deltalake.DeltaTable(str(uri))


def merge(table):
    (table.merge(table_of(NEWS), "t.id = s.id", source_alias="s", target_alias="t")
     .when_matched_delete("t.id < 55").when_matched_update_all().when_not_matched_insert_all().execute())


def compacted(uri):
    start(uri).optimize.compact()
    return OLD


def zordered(uri):
    start(uri).optimize.z_order(["amount", "city"])
    return OLD


def merged_there(uri):
    merge(start(uri))
    return merged(OLD)


def partitioned(uri):
    table = start(uri, ["city", "day"])
    merge(table)
    table.optimize.compact()
    return merged(OLD)


def restored(uri):
    table = start(uri)
    merge(table)
    table.optimize.compact()
    table.restore(2)
    return OLD


def checkpointed(uri):
    table = start(uri)
    merge(table)
    table.create_checkpoint()
    table.delete("amount < 20")
    return [row for row in merged(OLD) if row[2] >= 20]


@pytest.mark.parametrize("make", [compacted, zordered, merged_there, partitioned, restored, checkpointed])
def test_what_delta_rs_made(smelt, lake, make):
    """Read, then changed and joined by smelt; delta-rs goes on with that."""
    uri = lake / "kinds" / make.__name__
    rows = make(uri)
    check(smelt_query(smelt, uri), rows)
    smelt("table", "fsck", uri, "--data")
    maker = Maker(smelt, uri)
    maker.sql("DELETE FROM {t} WHERE id < 50")
    rows = [row for row in rows if row[0] >= 50]
    maker.table("optimize")
    check(by_deltalake(uri), rows)
    merge(deltalake.DeltaTable(str(uri)))
    check(smelt_query(smelt, uri), merged(rows))
    smelt("table", "fsck", uri, "--data")
