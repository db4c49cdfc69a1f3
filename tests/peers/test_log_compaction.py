"""Log compaction files that smelt writes between two checkpoints are files that others read: the same
rows by each peer, also where the commits are damaged that a peer need not read. (Spark: in
test_spark.py.)"""
import json

import deltalake
import pyarrow
import pytest

from engines import read_with_deltalake


def rows_of(smelt, uri):
    return [tuple(row.values()) for row in smelt.sql(f"SELECT id, s FROM '{uri}'")]


@pytest.fixture
def table(smelt, tmp_path):
    """14 versions without a checkpoint: rows that are added, deleted, updated and joined."""
    uri = tmp_path / "t"

    def write(sql):
        smelt("sql", "--write", sql)

    write(f"CREATE TABLE '{uri}' AS SELECT i AS id, 'é \"' || i AS s FROM (VALUES (0), (1), (2), (3)) r(i)")
    write(f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = 100, "
          "'delta.enableChangeDataFeed' = 'true')")
    for n in range(4):
        write(f"INSERT INTO '{uri}' SELECT {10 + n} AS id, 'x' AS s")
    write(f"DELETE FROM '{uri}' WHERE id IN (2, 11)")
    smelt("table", "optimize", uri)
    write(f"UPDATE '{uri}' SET s = 'z' WHERE id = 12")
    for n in range(5):
        write(f"INSERT INTO '{uri}' SELECT {20 + n} AS id, 'y' AS s")
    return uri


def test_peers_read_it(smelt, table, delta_peers):
    log = table / "_delta_log"
    compacted = log / f"{1:020}.{10:020}.compacted.json"
    assert [path.name for path in log.glob("*.compacted.json")] == [compacted.name]
    assert not list(log.glob("*.checkpoint.*"))
    rows = rows_of(smelt, table)
    compacted.rename(log.parent / "aside")
    assert rows_of(smelt, table) == rows  # in the same order
    (log.parent / "aside").rename(compacted)
    for name, read in delta_peers.items():
        assert sorted((row["id"], row["s"]) for row in read(str(table))) == sorted(rows), name
    deltalake.write_deltalake(str(table), pyarrow.table({"id": [30], "s": ["w"]}), mode="append")
    assert rows_of(smelt, table) == [*rows, (30, "w")]
    commit = log / f"{5:020}.json"
    commit.write_text("damaged")
    assert rows_of(smelt, table) == [*rows, (30, "w")]
    compacted.write_text(compacted.read_text() + "damaged")
    done = smelt("sql", f"SELECT count(*) FROM '{table}'", check=False, env={"SMELT_LOG": "warn"})
    assert done.returncode == 1 and commit.name in done.stderr
    assert f"{compacted.name} of {table}: passed over" in done.stderr


def test_history_and_changes_come_from_the_commits(smelt, table):
    wanted = [smelt("table", "history", table, "--json").stdout,
              smelt.sql(f"SELECT id, _change_type, _commit_version FROM table_changes('{table}', 8)")]
    (next((table / "_delta_log").glob("*.compacted.json"))).write_text("damaged")
    assert [smelt("table", "history", table, "--json").stdout,
            smelt.sql(f"SELECT id, _change_type, _commit_version FROM table_changes('{table}', 8)")] == wanted
    assert len(json.loads(wanted[0])["commits"]) == 14
    assert read_with_deltalake(str(table))
