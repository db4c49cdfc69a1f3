"""Tables that smelt vacuumed, by other readers: the same rows, now and at earlier versions within the
retention. And delta-rs, asked what it would delete, names the same data files."""
import random

import deltalake
import polars as pl
import pyarrow as pa
import pytest

NOW = ["--retention", "0s", "--no-retention-check"]


def rows_of(uri, version=None):
    return sorted(map(tuple, (
        row.values() for row in deltalake.DeltaTable(str(uri), version=version).to_pyarrow_table()
        .to_pylist())))


def make_table(uri, rng, n_versions):
    """Appends, overwrites of a partition, deletes (whole files and parts of them), compactions."""
    for version in range(n_versions):
        what = rng.random() if version else 0
        new = pa.table({"id": pa.array(rng.sample(range(1000), 5), pa.int64()),
                        "part": pa.array([rng.choice(["a", "b c", "d%/e"])] * 5)})
        if what < 0.5:
            deltalake.write_deltalake(str(uri), new, mode="append", partition_by=["part"])
        elif what < 0.65:
            deltalake.write_deltalake(str(uri), new, mode="overwrite",
                                      predicate=f"part = '{new['part'][0]}'")
        elif what < 0.85:
            deltalake.DeltaTable(str(uri)).delete(f"id < {rng.randrange(500)}")
        else:
            deltalake.DeltaTable(str(uri)).optimize.compact()


@pytest.mark.parametrize("seed", range(6))
def test_peers_read_the_same(smelt, lake, duckdb_delta, seed):
    uri = lake / "shop" / "orders"
    make_table(uri, random.Random(seed), 12)
    wanted = rows_of(uri)
    told = smelt.json("table", "vacuum", uri, "--json", *NOW)
    assert told["failed"] == 0
    assert rows_of(uri) == wanted
    assert sorted(pl.read_delta(str(uri)).rows()) == wanted
    assert sorted(map(tuple, duckdb_delta.query(f"SELECT * FROM delta_scan('{uri}')"))) == wanted
    assert sorted(tuple(row.values()) for row in smelt.sql(f"SELECT * FROM '{uri}'")) == wanted
    left = [path for path in uri.rglob("*.parquet") if "_delta_log" not in path.parts]
    assert len(left) == len(deltalake.DeltaTable(str(uri)).file_uris())


@pytest.mark.parametrize("seed", range(3))
def test_earlier_versions_within_the_retention(smelt, lake, seed):
    uri = lake / "shop" / "orders"
    make_table(uri, random.Random(seed), 8)
    versions = range(deltalake.DeltaTable(str(uri)).version() + 1)
    assert len(versions) > 3
    wanted = [rows_of(uri, version) for version in versions]
    assert smelt.json("table", "vacuum", uri, "--json")["files"] == 0
    assert [rows_of(uri, version) for version in versions] == wanted


@pytest.mark.parametrize("seed", range(3))
def test_deltalake_would_delete_the_same(smelt, lake, seed):
    uri = lake / "shop" / "orders"
    make_table(uri, random.Random(seed), 10)
    table = deltalake.DeltaTable(str(uri))
    theirs = table.vacuum(0, dry_run=True, enforce_retention_duration=False, full=True)
    ours = smelt.json("table", "vacuum", uri, "--dry-run", "--json", *NOW)["names"]
    assert sorted(ours) == sorted(theirs)
