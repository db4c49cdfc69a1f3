"""Deletion vectors that smelt writes: into a table whose files have vectors of each kind already, and all
that is done with such a table afterwards. Random programs: test_differential_changes.py; Spark:
test_spark.py."""
import json
import random

import pytest

from deletion_vectors import enable_vectors, vectors_added
from test_deletion_vectors import PER_GROUP, ROWS, random_rows, write_table

# Deleted rows of each file, whether as runs, and where: as of other writers.
FILES = [
    (random_rows(500, 1), False, "u"),
    (random_rows(30_000, 2), False, "u"),
    (None, False, None),
    (list(range(30_000, 60_000)), True, "u"),
    ([0, ROWS - 1, PER_GROUP, PER_GROUP - 1], False, "i"),
    (list(range(ROWS)), True, "p"),
    ([], False, "i"),
]


def test_vectors_are_merged(smelt, duckdb_delta, tmp_path):
    """What other writers deleted stays deleted, whatever kind of vector they used."""
    folder = tmp_path / "lake" / "b" / "t"
    left = {id for id, _ in write_table(folder, FILES, partitioned=True)}
    lake = tmp_path / "lake"
    rng = random.Random(5)
    chosen = ", ".join(str(rng.randrange(7 * ROWS)) for _ in range(40))
    steps = [
        (f"DELETE FROM b.t WHERE id IN ({chosen})",
         lambda id, chosen=set(map(int, chosen.split(", "))): id in chosen),
        ("DELETE FROM b.t WHERE id % 17 = 3", lambda id: id % 17 == 3),
        (f"DELETE FROM b.t WHERE id >= {3 * ROWS + 20_000} AND id < {3 * ROWS + 70_000}",
         lambda id: 3 * ROWS + 20_000 <= id < 3 * ROWS + 70_000),
        (f"DELETE FROM b.t WHERE id < {ROWS}", lambda id: id < ROWS),
    ]
    for sql, is_gone in steps:
        n_before = len(vectors_added(folder))
        answer = smelt.json("sql", "--write", sql, "--lake", lake, "--json")
        gone = {id for id in left if is_gone(id)}
        assert answer["rows"]["deleted"] == len(gone)
        assert answer["files"]["marked"] == len(vectors_added(folder)) - n_before
        left -= gone
        query = f"SELECT count(*) AS n, sum(id) AS ids, count(name) AS names FROM delta_scan('{folder}')"
        wanted = (len(left), sum(left), sum(id % 5 != 0 for id in left))
        assert duckdb_delta.query(query) == [wanted]
        assert tuple(smelt.sql(query)[0].values()) == wanted
    assert {vector["storageType"] for vector in vectors_added(folder)} == {"u", "i", "p"}
    assert smelt.json("table", "show", folder, "--json")["rows"] == len(left)
    smelt("table", "fsck", folder, "--data")


@pytest.fixture
def table(smelt, lake, tmp_path):
    """Versions 1 and 2 each mark rows of version 0: 10,000 ids, of which none with 3 or 4 at the end is
    left."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": pa.array(range(10_000), pa.int64())}), tmp_path / "rows.parquet")
    smelt("sql", "--write", "CREATE TABLE b.t AS SELECT * FROM read_parquet('rows.parquet')", "--lake", lake)
    enable_vectors(lake / "b" / "t")
    for digit in (3, 4):
        smelt("sql", "--write", f"DELETE FROM b.t WHERE id % 10 = {digit}", "--lake", lake)
    return lake / "b" / "t"


def ids_of(read, table, version=None):
    return sorted(row["id"] for row in read(table, version=version))


def without(*digits):
    return [id for id in range(10_000) if id % 10 not in digits]


def bins(table):
    return sorted(path.name for path in table.glob("*.bin"))


def test_peers_read_each_version(table, delta_peers):
    for name, read in delta_peers.items():
        for version, digits in ((0, ()), (1, (3,)), (2, (3, 4))):
            assert ids_of(read, table, version) == without(*digits), (name, version)


def test_restore(smelt, table, delta_peers):
    """Back to a version with vectors, and only if their files are still there."""
    smelt("table", "restore", table, "--version", 1)
    smelt("table", "restore", table, "--version", 0)
    smelt("table", "restore", table, "--version", 2)
    for name, read in delta_peers.items():
        assert ids_of(read, table) == without(3, 4), name
        assert ids_of(read, table, 3) == without(3), name
    vector = min(table.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns)
    vector.unlink()
    done = smelt("table", "restore", table, "--version", 1, check=False)
    assert done.returncode == 1 and "cannot be restored" in done.stderr
    assert ids_of(delta_peers["polars"], table) == without(3, 4)


def test_clone(smelt, table, lake):
    smelt("table", "clone", table, lake / "b" / "c")
    smelt("sql", "--write", "DELETE FROM b.c WHERE id % 10 = 5", "--lake", lake)
    count = "SELECT count(*) AS n, sum(id) AS ids FROM b.{}"
    for name, left in (("t", without(3, 4)), ("c", without(3, 4, 5))):
        assert smelt.sql(count.format(name), "--lake", lake) == [{"n": len(left), "ids": sum(left)}]
    smelt("table", "fsck", lake / "b" / "c", "--data")


def test_optimize_and_vacuum(smelt, table, delta_peers):
    """A fifth is deleted, so the file is written anew; then nobody needs the vectors."""
    report = smelt.json("table", "optimize", table, "--json")
    assert report["deletion_vectors"] == 1
    assert len(bins(table)) == 2
    smelt("table", "vacuum", table, "--retention", "0h", "--no-retention-check")
    assert bins(table) == [] and len(list(table.glob("*.parquet"))) == 1
    for name, read in delta_peers.items():
        assert ids_of(read, table) == without(3, 4), name
    smelt("table", "fsck", table, "--data")


def test_optimize_leaves_few_deleted_rows(smelt, table):
    smelt("table", "optimize", table)
    smelt("sql", "--write", "DELETE FROM b.t WHERE id % 100 = 7", "--lake", table.parent.parent)
    assert smelt.json("table", "optimize", table, "--json")["bins"] == 0


def test_vacuum_keeps_vectors_that_are_needed(smelt, table, delta_peers):
    smelt("table", "vacuum", table, "--retention", "0h", "--no-retention-check")
    assert len(bins(table)) == 1
    assert ids_of(delta_peers["duckdb"], table) == without(3, 4)


def test_diff(smelt, table):
    done = smelt.json("table", "diff", table, "--from", 1, "--to", 2, "--by", "id", "--format", "json")
    assert sorted(row["id"] for row in done) == [id for id in range(10_000) if id % 10 == 4]


def test_the_log(table):
    """The statistics are bounds from then on, the file is removed with the vector that it had, and the
    metrics are Spark's."""
    lines = [json.loads(line) for line in
             (table / "_delta_log" / f"{2:020}.json").read_text().splitlines()]
    [info] = [line["commitInfo"] for line in lines if "commitInfo" in line]
    [add] = [line["add"] for line in lines if "add" in line]
    [remove] = [line["remove"] for line in lines if "remove" in line]
    assert info["operationMetrics"]["numDeletionVectorsAdded"] == "1"
    assert info["operationMetrics"]["numRemovedFiles"] == "0"
    assert info["operationMetrics"]["numDeletedRows"] == "1000"
    stats = json.loads(add["stats"])
    assert (stats["numRecords"], stats["tightBounds"]) == (10_000, False)
    assert add["path"] == remove["path"] and add["size"] == remove["size"]
    assert remove["deletionVector"]["cardinality"] == 1000
    assert add["deletionVector"]["cardinality"] == 2000


def test_cluster(smelt, table, delta_peers):
    """Rows that are deleted are not sorted; what is deleted afterwards is marked in sorted files."""
    smelt("table", "cluster", table, "--by", "id")
    smelt("sql", "--write", "DELETE FROM b.t WHERE id % 100 = 9", "--lake", table.parent.parent)
    left = [id for id in without(3, 4) if id % 100 != 9]
    assert len(vectors_added(table)) == 3
    for name, read in delta_peers.items():
        assert ids_of(read, table) == left, name
    smelt("table", "fsck", table, "--data")


def test_new_values_share_files(smelt, lake, delta_peers):
    """An update of a row in each of six files, three loads of two partitions, writes a file for each
    partition; so it does where rows go into other partitions."""
    import deltalake
    import pyarrow as pa

    table = lake / "b" / "t"
    for load in range(3):
        ids = range(load * 100, load * 100 + 100)
        deltalake.write_deltalake(str(table), pa.table({"id": pa.array(ids, pa.int64()),
                                                        "part": [id % 2 for id in ids]}),
                                  partition_by=["part"], mode="append")
    enable_vectors(table)
    rows = {id: id % 2 for id in range(300)}
    for sql, change in [("UPDATE b.t SET id = id + 1000 WHERE id % 100 < 2",
                         lambda id, part: (id + 1000 if id % 100 < 2 else id, part)),
                        ("UPDATE b.t SET part = 1 - part WHERE id % 100 IN (5, 8)",
                         lambda id, part: (id, 1 - part if id % 100 in (5, 8) else part))]:
        answer = smelt.json("sql", "--write", sql, "--lake", lake, "--json")
        assert answer["files"] == {"added": 2, "removed": 0, "marked": 6}
        rows = dict(change(*row) for row in rows.items())
        for name, read in delta_peers.items():
            assert {row["id"]: row["part"] for row in read(table)} == rows, name
