"""Checkpoints with sidecars, which smelt writes where delta.checkpointPolicy is v2, are read by the
peers that know the feature. (Spark: in test_spark.py.)"""
import pytest

import clickhouse
from engines import read_with_deltalake, read_with_duckdb


@pytest.fixture
def table(smelt, tmp_path):
    """Versions 0 to 11, the first ten of which are known from the checkpoint of version 10 alone."""
    uri = tmp_path / "t"
    smelt("sql", "--write", f"CREATE TABLE '{uri}' AS SELECT 0 AS id, 'é' AS s")
    smelt("table", "alter", uri, "SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')")
    for n in range(2, 12):
        sql = f"DELETE FROM '{uri}' WHERE id = 3" if n == 9 else f"INSERT INTO '{uri}' SELECT {n} AS id, 'x' AS s"
        smelt("sql", "--write", sql)
    log = uri / "_delta_log"
    assert (log / f"{10:020}.checkpoint.parquet").exists() and len([*log.glob("_sidecars/*.parquet")]) == 2
    for version in range(10):
        (log / f"{version:020}.json").unlink()
    return uri


WANTED = sorted([(0, "é"), *((n, "x") for n in (2, 4, 5, 6, 7, 8, 10, 11))])


def test_peers_read_them(smelt, table, duckdb_delta):
    for read in (read_with_deltalake, lambda uri: read_with_duckdb(duckdb_delta, uri), smelt_rows(smelt)):
        assert sorted((row["id"], row["s"]) for row in read(str(table))) == WANTED


def smelt_rows(smelt):
    return lambda uri: smelt.sql(f"SELECT id, s FROM '{uri}'")


def test_clickhouse_reads_them(table):
    clickhouse.require()
    server = clickhouse.ClickHouse(table.parent)
    try:
        assert server.query(f"SELECT count(), sum(id) FROM deltaLakeLocal('{table}') FORMAT CSV") == (
            f"{len(WANTED)},{sum(id for id, _ in WANTED)}")
    finally:
        server.stop()


def test_fsck_and_vacuum_know_them(smelt, table):
    smelt("table", "fsck", table)
    smelt("table", "vacuum", table, "--retention", "0h", "--no-retention-check")
    assert sorted((row["id"], row["s"]) for row in smelt.sql(f"SELECT id, s FROM '{table}'")) == WANTED
