"""The change data feed: table_changes reads what delta-rs recorded, as delta-rs itself reads it, and
what is wrong with a range or with the files of a version is told by name. delta-rs reads what smelt
records, and the changes of a version make the rows of the version before those of the next one.
Feeds of Spark: test_spark.py."""
import collections
import json
import random

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from common import Smelt, load_days

FEED = {"delta.enableChangeDataFeed": "true"}


def key(row):
    """A row without its time; the feeds have rows of one version in no order."""
    return tuple((name, str(value)) for name, value in sorted(row.items())
                 if name != "_commit_timestamp")


def changes(smelt, uri, *versions):
    where = ", ".join([f"'{uri}'", *map(str, versions)])
    return smelt.sql(f"SELECT * FROM table_changes({where})")


def changes_of_deltalake(uri, first, last=None):
    feed = DeltaTable(str(uri)).load_cdf(starting_version=first, ending_version=last)
    return pa.table(feed.read_all()).to_pylist()


def program_of_deltalake(uri, partitioned):
    """Inserts, an update, deletes of rows and of whole files, a merge, a compaction, an overwrite."""
    first = pa.table({"id": [1, 2, 3, 4], "part": ["a", "a", "b", "b"], "v": [1.5, 2.5, 3.5, None]})
    write_deltalake(uri, first, partition_by=["part"] if partitioned else None, configuration=FEED)
    table = DeltaTable(uri)
    table.update(updates={"v": "v + 1"}, predicate="id = 2")
    table.delete("id = 3")
    write_deltalake(uri, pa.table({"id": [9], "part": ["c"], "v": [9.5]}), mode="append")
    table = DeltaTable(uri)
    table.delete("part = 'c'")
    source = pa.table({"id": [1, 7], "part": ["a", "z"], "v": [100.0, 7.0]})
    table.merge(source, "t.id = s.id", source_alias="s", target_alias="t") \
        .when_matched_update_all().when_not_matched_insert_all().execute()
    write_deltalake(uri, pa.table({"id": [8], "part": ["a"], "v": [8.5]}), mode="append")
    DeltaTable(uri).optimize.compact()
    write_deltalake(uri, first, mode="overwrite")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "partitioned"])
def feed_of_deltalake(request, tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("feed") / "t")
    program_of_deltalake(uri, request.param)
    return uri


@pytest.mark.parametrize("first, last", [(0, None), (0, 3), (2, 5), (5, 5), (7, 7), (8, 8)])
def test_the_feed_of_deltalake(smelt, feed_of_deltalake, first, last):
    wanted = changes_of_deltalake(feed_of_deltalake, first, last)
    found = changes(smelt, feed_of_deltalake, first, *([] if last is None else [last]))
    assert sorted(map(key, found)) == sorted(map(key, wanted))
    assert first == 7 or found  # a compaction changes no row
    assert [row["_commit_version"] for row in found] == sorted(
        row["_commit_version"] for row in found)


def test_ranges_by_name_and_by_time(smelt, feed_of_deltalake):
    found = changes(smelt, feed_of_deltalake, 1, 3)
    assert changes(smelt, feed_of_deltalake, "to => 3", "from => 1") == found
    times = {row["_commit_version"]: row["_commit_timestamp"]
             for row in changes(smelt, feed_of_deltalake, 0)}
    assert changes(smelt, feed_of_deltalake, f"'{times[1]}'", f"TIMESTAMP '{times[3][:-3]}'") == found
    assert changes(smelt, feed_of_deltalake, "'2001-01-01'", 2) == changes(
        smelt, feed_of_deltalake, 0, 2)
    assert changes(smelt, feed_of_deltalake, "'2001-01-01'", "'2199-01-01'") == changes(
        smelt, feed_of_deltalake, 0)
    assert changes(smelt, feed_of_deltalake, "'2199-01-01'", "'2199-01-02'") == []


def test_conditions_on_changes(smelt, feed_of_deltalake):
    feed = f"table_changes('{feed_of_deltalake}', 0)"
    every = smelt.sql(f"SELECT * FROM {feed}")
    for condition, holds in [
            ("_commit_version = 2", lambda row: row["_commit_version"] == 2),
            ("_change_type = 'delete'", lambda row: row["_change_type"] == "delete"),
            ("_change_type LIKE 'update%' AND id = 1",
             lambda row: row["_change_type"].startswith("update") and row["id"] == 1),
            ("part = 'c' AND _commit_version > 3",
             lambda row: row["part"] == "c" and row["_commit_version"] > 3)]:
        wanted = [row for row in every if holds(row)]
        assert wanted and smelt.sql(f"SELECT * FROM {feed} WHERE {condition}") == wanted
    counted = smelt.sql(f"SELECT _change_type AS kind, count(*) AS n FROM {feed} GROUP BY ALL")
    assert sum(row["n"] for row in counted) == len(every)
    assert smelt.sql(f"SELECT count(*) AS n FROM {feed}") == [{"n": len(every)}]


REFUSED = [
    ("'{uri}', 9", "there is no version 9 up to version 8"),
    ("'{uri}', 5, 3", "there is no version 5 up to version 3"),
    ("'{uri}', 0, 11", "11"),
    ("'{uri}', '2199-01-01'", "no version since then"),
    ("'{uri}', -1", "a number of 0 or more"),
    ("'{uri}', 'soon'", "soon"),
    ("'{uri}', 1.5", "by its number or a time"),
    ("'{uri}'", "needs the place of a table and the version"),
    ("'{uri}', 1, 2, 3", "once each"),
    ("'{uri}', since => 1", "\"since\""),
    ("'{uri}x', 1", "no Delta table in"),
]


@pytest.mark.parametrize("args, what", REFUSED)
def test_ranges_that_are_refused(smelt, feed_of_deltalake, args, what):
    args = args.format(uri=feed_of_deltalake)
    done = smelt("sql", f"SELECT * FROM table_changes({args})", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert what in done.stderr, done.stderr


def test_a_table_that_records_nothing(smelt, tmp_path):
    uri = str(tmp_path / "t")
    write_deltalake(uri, pa.table({"id": [1]}))
    done = smelt("sql", f"SELECT * FROM table_changes('{uri}', 0)", check=False)
    assert done.returncode == 1
    assert "did not record its changes in version 0" in done.stderr
    assert "delta.enableChangeDataFeed" in done.stderr


def test_files_that_are_gone_are_told_with_their_version(smelt, tmp_path):
    uri = tmp_path / "t"
    program_of_deltalake(str(uri), False)
    log = (uri / "_delta_log" / f"{2:020}.json").read_text()
    gone = next(json.loads(line)["cdc"]["path"] for line in log.splitlines() if '"cdc"' in line)
    (uri / gone).unlink()
    done = smelt("sql", f"SELECT * FROM table_changes('{uri}', 0)", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert gone in done.stderr and "in the changes of version 2\n" in done.stderr, done.stderr
    assert changes(smelt, uri, 3)  # the others are there


def test_the_feed_in_little_memory(program, tmp_path):
    """A million rows of changes, in the order of versions, within the least memory that a scan needs."""
    smelt = Smelt(program.path, tmp_path)
    uri = str(tmp_path / "t")
    n = 250_000
    for version in range(2):
        write_deltalake(uri, pa.table({"id": range(version * n, version * n + n)}), mode="append",
                        configuration=FEED)
    DeltaTable(uri).update(updates={"id": "id + 1000000"})
    found = smelt.sql(f"SELECT _change_type AS kind, count(*) AS n, min(id) AS low, max(id) AS high "
                      f"FROM table_changes('{uri}', 0) GROUP BY ALL ORDER BY kind",
                      "--memory-limit", "96MB")
    assert [tuple(row.values()) for row in found] == [
        ("insert", 2 * n, 0, 2 * n - 1),
        ("update_postimage", 2 * n, 1_000_000, 1_000_000 + 2 * n - 1),
        ("update_preimage", 2 * n, 0, 2 * n - 1)]


# ---- recorded by smelt ------------------------------------------------------------------------


def counted(rows, kinds=None):
    """How often each row is there, without the columns of changes."""
    return collections.Counter(
        tuple((name, str(value)) for name, value in sorted(row.items()) if name[0] != "_")
        for row in rows if kinds is None or row["_change_type"] in kinds)


def check_versions(smelt, uri, first, last):
    """The changes of each version, applied to the version before, give the version."""
    feed = changes(smelt, uri, first, last)
    before = counted(smelt.sql(f"SELECT * FROM delta_scan('{uri}', version => {first - 1})"))
    for version in range(first, last + 1):
        of_version = [row for row in feed if row["_commit_version"] == version]
        went = counted(of_version, ["delete", "update_preimage"])
        came = counted(of_version, ["insert", "update_postimage"])
        assert not went - before, version  # what goes was there
        before = before - went + came
        assert before == counted(
            smelt.sql(f"SELECT * FROM delta_scan('{uri}', version => {version})")), version
    return feed


def statement(rng):
    low = rng.randrange(60)
    where = rng.choice([f"id BETWEEN {low} AND {low + rng.randrange(12)}", f"part = '{rng.choice('abc')}'",
                        f"id = {low}", f"v > {low}", f"id % 7 = {low % 7} AND v IS NOT NULL"])
    source = ", ".join(f"({rng.randrange(80)}, {rng.randrange(100)}.5)" for _ in range(5))
    return rng.choice([
        f"DELETE FROM b.t WHERE {where}",
        f"UPDATE b.t SET v = v + 1, part = '{rng.choice('abc')}' WHERE {where}",
        f"UPDATE b.t SET v = NULL WHERE {where}",
        f"INSERT INTO b.t SELECT x + {low}, 'b', x FROM (VALUES (1), (2), (NULL)) s(x)",
        f"MERGE INTO b.t t USING (SELECT k, max(x) AS x FROM (VALUES {source}) s(k, x) GROUP BY k) s "
        f"ON t.id = s.k WHEN MATCHED AND t.v > {low} THEN DELETE "
        "WHEN MATCHED THEN UPDATE SET v = s.x "
        "WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.k, s.x)"])


def make_table(uri, partitioned):
    rows = {"id": list(range(60)), "part": ["abc"[i % 3] for i in range(60)],
            "v": [i + 0.25 if i % 5 else None for i in range(60)]}
    write_deltalake(uri, pa.table(rows), partition_by=["part"] if partitioned else None,
                    configuration=FEED)


@pytest.mark.parametrize("partitioned, vectors", [(False, False), (True, False), (False, True)],
                         ids=["plain", "partitioned", "vectors"])
def test_random_statements(smelt, lake, partitioned, vectors):
    uri = str(lake / "b" / "t")
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # in the report of a failure
    rng = random.Random(seed)
    make_table(uri, partitioned)
    first = 1
    if vectors:
        smelt("sql", "ALTER TABLE b.t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
              "--lake", lake, "--write")
        first = smelt.json("table", "show", uri, "--json")["version"] + 1
    for _ in range(12):
        smelt("sql", statement(rng), "--lake", lake, "--write")
    last = smelt.json("table", "show", uri, "--json")["version"]
    feed = check_versions(smelt, uri, first, last)
    if not vectors:  # delta-rs reads no feed of a table with deletion vectors
        assert sorted(map(key, feed)) == sorted(map(key, changes_of_deltalake(uri, 1)))
    updates = collections.Counter(row["_change_type"] for row in feed)
    assert updates["update_preimage"] == updates["update_postimage"]


WITHOUT_CHANGES = [  # files tell all that changed
    ("INSERT INTO b.t VALUES (70, 'a', 1)", 1),
    ("DELETE FROM b.t WHERE part = 'a'", 20),
    ("DELETE FROM b.t", 60),
    ("MERGE INTO b.t t USING (VALUES (99)) s(k) ON t.id = s.k "
     "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.k)", 1),
]


@pytest.mark.parametrize("sql, n", WITHOUT_CHANGES)
def test_whole_files_need_no_files_of_changes(smelt, lake, sql, n):
    uri = lake / "b" / "t"
    make_table(str(uri), True)
    smelt("sql", sql, "--lake", lake, "--write")
    assert not (uri / "_change_data").exists()
    assert len(check_versions(smelt, uri, 1, 1)) == n


def test_operations_that_keep_the_rows(smelt, lake):
    """optimize and cluster change no row; a restore changes those that it brings back."""
    uri = lake / "b" / "t"
    make_table(str(uri), False)
    smelt("sql", "INSERT INTO b.t VALUES (70, 'a', 1)", "--lake", lake, "--write")
    smelt("table", "optimize", uri)
    smelt("table", "cluster", uri, "--by", "id")
    last = DeltaTable(str(uri)).version()
    assert last >= 3 and changes(smelt, uri, 2, last) == []
    smelt("sql", "DELETE FROM b.t WHERE id = 70", "--lake", lake, "--write")
    smelt("table", "restore", uri, "--version", 0)
    check_versions(smelt, uri, 1, last + 2)
    kinds = counted(changes(smelt, uri, last + 1, last + 1))
    assert list(kinds.values()) == [1]


def test_a_load_that_replaces_rows_in_files_of_others(smelt, lake):
    for day in range(3):
        load_days(smelt, lake, [{"id": 10 * day + i, "amount": i} for i in range(3)])
    uri = lake / "raw" / "t"
    DeltaTable(str(uri)).alter.set_table_properties(FEED)
    smelt("table", "optimize", uri)
    before = DeltaTable(str(uri)).version()
    (lake.parent / "in" / "20220402.json").write_text('{"id": 11, "amount": 1}\n{"id": 99}\n')
    smelt("run", lake.parent / "days.yaml", "--var", f"lake={lake}", "--var",
          f"in={lake.parent / 'in'}")
    assert (uri / "_change_data").exists()
    feed = check_versions(smelt, uri, before + 1, DeltaTable(str(uri)).version())
    assert sorted((row["_change_type"], row["id"]) for row in feed) == [
        ("delete", 10), ("delete", 11), ("delete", 12), ("insert", 11), ("insert", 99)]
    assert sorted(map(key, feed)) == sorted(map(key, changes_of_deltalake(uri, before + 1)))


def test_vacuum_deletes_old_changes(smelt, lake):
    uri = lake / "b" / "t"
    make_table(str(uri), True)
    smelt("sql", "UPDATE b.t SET v = 0 WHERE id < 10", "--lake", lake, "--write")
    files = [file for file in (uri / "_change_data").rglob("*") if file.is_file()]
    assert len(files) == 6  # before and after, for each partition
    smelt("table", "vacuum", uri)
    assert all(file.exists() for file in files)
    smelt("table", "vacuum", uri, "--retention", "0s", "--no-retention-check")
    assert not any(file.exists() for file in files)
    done = smelt("sql", f"SELECT * FROM table_changes('{uri}', 1)", check=False)
    assert done.returncode == 1 and "in the changes of version 1" in done.stderr


def test_files_that_were_repaired_away_have_no_changes(smelt, lake):
    uri = lake / "b" / "t"
    make_table(str(uri), True)
    next(uri.glob("part=a/*.parquet")).unlink()
    smelt("table", "fsck", uri, "--repair", "--rows", 20)
    assert DeltaTable(str(uri)).version() == 1
    done = smelt("sql", f"SELECT * FROM table_changes('{uri}', 1)", check=False)
    assert done.returncode == 1 and "in the changes of version 1\n" in done.stderr


def test_a_failed_statement_leaves_no_file_of_changes(smelt, lake):
    uri = lake / "b" / "t"
    make_table(str(uri), False)
    done = smelt("sql", "UPDATE b.t SET v = 1 / (id - 3) WHERE id < 9 AND id::VARCHAR::INTEGER < 8 "
                 "AND CASE WHEN id = 7 THEN part::INTEGER = 1 ELSE true END", "--lake", lake,
                 "--write", check=False)
    assert done.returncode == 1
    assert not list(uri.rglob("*.parquet"))[1:] and DeltaTable(str(uri)).version() == 0
