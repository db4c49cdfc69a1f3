"""Properties that tables are born with or get by a pipeline: CREATE TABLE … TBLPROPERTIES, and
`properties:` of loads and tables."""
import json

import pytest

from shop import actions

PIPELINE = """\
name: days
vars:
  lake: {type: uri, default: ./lake}
  in: {type: uri, default: ./in}
lake: lake
sources:
  - name: in
tasks:
  - load: raw.t
    from: in
    sql: t.sql
    by: day
    properties: {PROPERTIES}
  - table: silver.t
    sql: silver.sql
    properties: {PROPERTIES}
  - table: gold.t
    sql: gold.sql
"""


class Days:
    """A load of days, a table of it with the same properties, and a table of that without any."""

    def __init__(self, smelt, folder):
        self.smelt = smelt
        self.lake = folder / "lake"
        self.folder = folder
        (folder / "in").mkdir()
        (folder / "t.sql").write_text(
            "SELECT id, file_date AS day FROM read_json(var('in'), columns => {id: 'BIGINT'}, file_date => true)")
        (folder / "silver.sql").write_text("SELECT id, day FROM raw.t")
        (folder / "gold.sql").write_text("SELECT count(*) AS n FROM silver.t")
        self.n = 0

    def day(self):
        self.n += 1
        (self.folder / f"in/2022040{self.n}.json").write_text(f'{{"id": {self.n}}}\n')

    def run(self, properties, check=True):
        (self.folder / "p.yaml").write_text(PIPELINE.replace("{PROPERTIES}", properties))
        return self.smelt("run", self.folder / "p.yaml", check=check, cwd=self.folder)

    def tables(self):
        return [self.lake / "raw/t", self.lake / "silver/t"]

    def versions(self):
        return [len(list((self.lake / t / "_delta_log").glob("*.json"))) for t in ("raw/t", "silver/t", "gold/t")]


@pytest.fixture
def days(smelt, tmp_path):
    return Days(smelt, tmp_path)


def last(table, kind):
    """The newest action of that kind."""
    return [a[kind] for a in actions(table) if kind in a][-1]


def config(table):
    return last(table, "metaData")["configuration"]


def log(table):
    """The actions of the newest version."""
    newest = max((table / "_delta_log").glob("*.json"))
    return [json.loads(line) for line in newest.read_text().splitlines()]


# ---- CREATE TABLE --------------------------------------------------------------------------------

def test_a_table_is_made_with_properties_and_their_features(smelt, tmp_path):
    smelt("sql", "--write", "CREATE TABLE 't' TBLPROPERTIES ('delta.appendOnly' = 'true', "
          "delta.enableDeletionVectors = true, 'delta.checkpointInterval' = 20, 'smelt.readers' = 'spark, duckdb', "
          "'owner' = 'me') AS SELECT 1 AS id", cwd=tmp_path)
    table = tmp_path / "t"
    assert config(table) == {"delta.appendOnly": "true", "delta.enableDeletionVectors": "true",
                             "delta.checkpointInterval": "20", "smelt.readers": "spark, duckdb", "owner": "me"}
    protocol = last(table, "protocol")
    assert protocol["readerFeatures"] == ["deletionVectors"]
    assert sorted(protocol["writerFeatures"]) == ["appendOnly", "deletionVectors", "invariants"]
    refused = smelt("sql", "--write", "DELETE FROM 't'", cwd=tmp_path, check=False)
    assert refused.returncode == 1 and "append-only" in refused.stderr
    assert smelt.sql("FROM 't'", cwd=tmp_path) == [{"id": 1}]


def test_a_table_is_made_with_column_mapping(smelt, tmp_path):
    smelt("sql", "--write", "CREATE TABLE 't' TBLPROPERTIES ('delta.columnMapping.mode' = 'name') "
          "AS SELECT 1 AS id, 2 AS a", cwd=tmp_path)
    smelt("table", "alter", "t", "RENAME COLUMN id TO key", cwd=tmp_path)
    smelt("sql", "--write", "INSERT INTO 't' SELECT 3, 4", cwd=tmp_path)
    assert smelt.sql("FROM 't' ORDER BY key", cwd=tmp_path) == [{"key": 1, "a": 2}, {"key": 3, "a": 4}]


def test_a_table_that_is_replaced_gets_further_properties(smelt, tmp_path):
    smelt("sql", "--write", "CREATE TABLE 't' TBLPROPERTIES ('a' = '1') AS SELECT 1 AS id", cwd=tmp_path)
    smelt("sql", "--write", "CREATE OR REPLACE TABLE 't' TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true') "
          "AS SELECT 'x' AS id", cwd=tmp_path)
    assert config(tmp_path / "t") == {"a": "1", "delta.enableChangeDataFeed": "true"}
    assert last(tmp_path / "t", "protocol")["minWriterVersion"] == 4


@pytest.mark.parametrize("properties, said", [
    ("'delta.apendOnly' = 'true'", 'Did you mean "delta.appendOnly"?'),
    ("'delta.appendOnly' = 'yes'", 'the property "delta.appendOnly" cannot be "yes"'),
    ("'delta.minWriterVersion' = '7'", "is not changed"),
    ("'smelt.readers' = 'polars', 'delta.columnMapping.mode' = 'name'",
     "read by polars, which does not know the table feature columnMapping"),
    ("'a' = '1', 'A' = '2'", 'the property "A" is set twice'),
    ("", "expected a property"),
])
def test_properties_that_no_table_may_have(smelt, tmp_path, properties, said):
    done = smelt("sql", "--write", f"CREATE TABLE 't' TBLPROPERTIES ({properties}) AS SELECT 1 AS id",
                 cwd=tmp_path, check=False)
    assert done.returncode == 1 and said in done.stderr
    assert not (tmp_path / "t/_delta_log").exists() and not list(tmp_path.rglob("*.parquet"))


# ---- pipelines -----------------------------------------------------------------------------------

def test_tables_are_born_with_their_properties(days):
    days.day()
    days.run("{delta.enableChangeDataFeed: true, smelt.readers: 'spark,clickhouse', owner: me}")
    for table in days.tables():
        assert config(table) == {"delta.enableChangeDataFeed": "true", "smelt.readers": "spark,clickhouse",
                                 "owner": "me"}
        assert last(table, "protocol")["minWriterVersion"] == 4
    assert days.versions() == [1, 1, 1]


def test_a_difference_is_set_in_the_commit_of_the_run(days):
    days.day()
    days.run("{a: '1'}")
    days.day()
    days.run("{a: '2', delta.enableDeletionVectors: true}")
    for table in days.tables():
        kinds = [next(iter(a)) for a in log(table)]
        assert "add" in kinds and "metaData" in kinds and "protocol" in kinds
        assert config(table) == {"a": "2", "delta.enableDeletionVectors": "true"}
    assert days.versions() == [2, 2, 2]


def test_a_difference_is_set_where_no_row_is_written(days):
    days.day()
    days.run("{a: '1'}")
    days.run("{a: '2'}")
    assert days.versions() == [2, 2, 1]  # gold is made of the same rows
    for table in days.tables():
        assert config(table) == {"a": "2"}
        assert log(table)[0]["commitInfo"]["operation"] == "SET TBLPROPERTIES"
        assert not [a for a in log(table) if "add" in a or "remove" in a]
    days.run("{a: '2'}")
    assert days.versions() == [2, 2, 1]


def test_what_a_user_has_changed_is_set_again(days):
    days.day()
    days.run("{delta.checkpointInterval: 5}")
    for table in days.tables():
        days.smelt("table", "alter", table, "SET TBLPROPERTIES ('delta.checkpointInterval' = 7, 'mine' = 'x')")
    days.run("{delta.checkpointInterval: 5}")
    for table in days.tables():
        assert config(table) == {"delta.checkpointInterval": "5", "mine": "x"}
        assert days.smelt.sql(f"FROM '{table}'") == [{"id": 1, "day": "2022-04-01"}]


def test_a_table_that_becomes_append_only_keeps_its_rows_and_is_let_free_again(days):
    days.day()
    days.run("{}")
    days.run("{delta.appendOnly: true}")
    days.day()
    refused = days.run("{delta.appendOnly: true}", check=False)  # silver is overwritten
    assert refused.returncode == 1 and "append-only" in refused.stderr
    assert days.versions() == [2, 2, 1]
    days.run("{delta.appendOnly: false}")
    assert days.smelt.sql(f"SELECT count(*) AS n FROM '{days.lake}/silver/t'") == [{"n": 2}]


@pytest.mark.parametrize("properties, line, said", [
    ("{delta.apendOnly: true}", "p.yaml:13:", 'Did you mean "delta.appendOnly"?'),
    ("{delta.appendOnly: maybe}", "p.yaml:13:", "true or false"),
    ("{delta.columnMapping.maxColumnId: 3}", "p.yaml:13:", "is not changed"),
    ("{smelt.readers: polars, delta.enableTypeWidening: true}", "p.yaml:13:",
     "polars, which does not know the table feature typeWidening"),
    ("{owner: me, Owner: you}", "p.yaml:13:", "set twice"),
    ("[a]", "p.yaml:13:", "not a mapping"),
])
def test_properties_that_are_refused_at_once(days, properties, line, said):
    days.day()
    done = days.run(properties, check=False)
    assert done.returncode in (1, 2) and line in done.stderr and said in done.stderr
    assert not days.lake.exists()


def test_a_reader_that_cannot_read_what_the_table_has_is_refused(days):
    days.day()
    days.run("{delta.enableTypeWidening: true}")
    done = days.run("{smelt.readers: polars}", check=False)
    assert done.returncode == 1 and "polars" in done.stderr and "typeWidening" in done.stderr
    days.run("{smelt.readers: spark}")
    assert config(days.tables()[1])["smelt.readers"] == "spark"


def test_mapping_does_not_go_away(days):
    days.day()
    days.run("{delta.columnMapping.mode: name}")
    done = days.run("{delta.columnMapping.mode: none}", check=False)
    assert done.returncode == 1 and "maps its columns" in done.stderr
    days.day()
    days.run("{delta.columnMapping.mode: name}")
    assert [row["id"] for row in days.smelt.sql(f"FROM '{days.lake}/silver/t' ORDER BY id")] == [1, 2]


@pytest.mark.parametrize("how", ["append: n", "replace: n", "merge: {key: id}", "scd2: {key: id, at: DATE '2022-04-01'}",
                                 "partition_by: id, overwrite: partitions"])
def test_each_way_of_writing_a_table(smelt, tmp_path, how):
    (tmp_path / "t.sql").write_text("SELECT var('n') AS id, var('n') AS n, 'x' AS text")

    def run(value, properties):
        (tmp_path / "p.yaml").write_text(
            "name: p\nvars:\n  lake: {type: uri, default: ./lake}\n  n: {type: integer}\nlake: lake\n"
            f"tasks:\n  - {{table: a.t, sql: t.sql, {how}, properties: {properties}}}\n")
        return smelt("run", tmp_path / "p.yaml", "--var", f"n={value}", cwd=tmp_path)

    table = tmp_path / "lake/a/t"
    run(1, "{a: '1'}")
    assert config(table) == {"a": "1"}
    run(1, "{a: '2', delta.enableChangeDataFeed: true}")  # the same rows
    assert config(table)["a"] == "2"
    run(2, "{a: '3'}")
    assert config(table) == {"a": "3", "delta.enableChangeDataFeed": "true"}
    if how != "scd2: {key: id, at: DATE '2022-04-01'}":
        run(2, "{a: '3'}")
    assert len(smelt.sql(f"SELECT id FROM '{table}'")) == 2
    assert len(list((table / "_delta_log").glob("*.json"))) == 3


# ---- turned on later -----------------------------------------------------------------------------

def stamps(table):
    """Of each version, its own timestamp."""
    return [a["commitInfo"].get("inCommitTimestamp") for a in actions(table) if "commitInfo" in a]


def row_ids(table):
    """(first id, version) of each live file, in the order of their names' first appearance."""
    live = {}
    for action in actions(table):
        if "add" in action:
            live[action["add"]["path"]] = (action["add"].get("baseRowId"), action["add"].get("defaultRowCommitVersion"))
        if "remove" in action:
            live.pop(action["remove"]["path"], None)
    return list(live.values())


def test_in_commit_timestamps_are_turned_on(smelt, tmp_path):
    smelt("sql", "--write", "CREATE TABLE 't' AS SELECT 1 AS id", cwd=tmp_path)
    smelt("table", "alter", "t", "SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')", cwd=tmp_path)
    smelt("sql", "--write", "INSERT INTO 't' SELECT 2", cwd=tmp_path)
    table = tmp_path / "t"
    first, since, last_one = stamps(table)
    assert first is None and since < last_one
    assert config(table)["delta.inCommitTimestampEnablementVersion"] == "1"
    assert config(table)["delta.inCommitTimestampEnablementTimestamp"] == str(since)
    assert since * 1000000 > (table / "_delta_log/00000000000000000000.json").stat().st_mtime_ns // 10**6 * 10**6
    assert "inCommitTimestamp" in last(table, "protocol")["writerFeatures"]
    smelt("table", "fsck", "t", cwd=tmp_path)
    smelt("table", "restore", "t", "--version", "0", cwd=tmp_path)  # to when they were off
    assert "delta.enableInCommitTimestamps" not in config(table)
    smelt("table", "restore", "t", "--version", "2", cwd=tmp_path)  # and on again, from then on
    assert config(table)["delta.inCommitTimestampEnablementVersion"] == "4"
    assert config(table)["delta.inCommitTimestampEnablementTimestamp"] == str(stamps(table)[4])
    refused = smelt("table", "alter", "t", "SET TBLPROPERTIES ('delta.inCommitTimestampEnablementVersion' = '0')",
                    cwd=tmp_path, check=False)
    assert refused.returncode == 1 and "since when" in refused.stderr


def test_row_tracking_is_turned_on(smelt, tmp_path):
    for n in (1, 2, 3):
        text = "CREATE TABLE 't' AS" if n == 1 else "INSERT INTO 't'"
        smelt("sql", "--write", f"{text} SELECT * FROM (VALUES "
              f"{', '.join(f'({x})' for x in range(n * 10, n * 11))}) v(id)", cwd=tmp_path)
    smelt("table", "alter", "t", "SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')", cwd=tmp_path)
    table = tmp_path / "t"
    assert row_ids(table) == [(0, 3), (1, 3), (3, 3)]
    newest = log(table)
    assert not [a for a in newest if "remove" in a]
    assert not any(a["add"]["dataChange"] for a in newest if "add" in a)
    assert last(table, "domainMetadata")["configuration"] == '{"rowIdHighWaterMark":5}'
    assert {"rowTracking", "domainMetadata"} <= set(last(table, "protocol")["writerFeatures"])
    names = {config(table)[f"delta.rowTracking.materialized{name}ColumnName"] for name in ("RowId", "RowCommitVersion")}
    assert len(names) == 2
    smelt("sql", "--write", "INSERT INTO 't' SELECT 99", cwd=tmp_path)
    assert row_ids(table)[-1] == (6, 4)
    assert [r["id"] for r in smelt.sql("FROM 't'", cwd=tmp_path)] == [10, 20, 21, 30, 31, 32, 99]
    smelt("table", "fsck", "t", cwd=tmp_path)


@pytest.mark.parametrize("properties", ["{delta.enableRowTracking: true, delta.enableInCommitTimestamps: true}"])
def test_a_pipeline_turns_both_on(days, properties):
    days.day()
    days.run("{}")
    days.day()
    days.run(properties)
    raw, silver = days.tables()
    assert row_ids(raw) == [(0, 1), (1, 1)] and row_ids(silver) == [(0, 1)]
    for table in (raw, silver):
        assert stamps(table)[0] is None and str(stamps(table)[1]) == config(table)[
            "delta.inCommitTimestampEnablementTimestamp"]
    days.day()
    days.run(properties)
    assert row_ids(raw)[-1] == (2, 2)
    assert [r["id"] for r in days.smelt.sql(f"FROM '{raw}' ORDER BY id")] == [1, 2, 3]


def test_tables_are_born_with_both(days):
    days.day()
    days.run("{delta.enableRowTracking: true, delta.enableInCommitTimestamps: true}")
    days.day()
    days.run("{delta.enableRowTracking: true, delta.enableInCommitTimestamps: true}")
    raw, silver = days.tables()
    assert row_ids(raw) == [(0, 0), (1, 1)] and row_ids(silver) == [(1, 1)]
    for table in (raw, silver):
        assert stamps(table)[0] < stamps(table)[1]
        assert "delta.inCommitTimestampEnablementVersion" not in config(table)


# ---- rows that move ------------------------------------------------------------------------------

parquet = pytest.importorskip("pyarrow.parquet")


def ids_of(table):
    """{id: (row id, version)} of all rows, as the protocol says: what files have of it, else what the log says."""
    names = [config(table)[f"delta.rowTracking.materialized{name}ColumnName"] for name in ("RowId", "RowCommitVersion")]
    live = {}
    for action in actions(table):
        if "add" in action:
            live[action["add"]["path"]] = action["add"]
        if "remove" in action:
            live.pop(action["remove"]["path"], None)
    found = {}
    for path, add in live.items():
        assert "deletionVector" not in add
        rows = parquet.read_table(table / path).to_pylist()
        for i, row in enumerate(rows):
            row_id, version = (row.get(name) for name in names)
            row_id = add["baseRowId"] + i if row_id is None else row_id
            version = add["defaultRowCommitVersion"] if version is None else version
            assert row["id"] not in found
            found[row["id"]] = (row_id, version)
    assert len({row_id for row_id, _ in found.values()}) == len(found)
    return found


@pytest.mark.parametrize("how", ["", "PARTITION", "delta.columnMapping.mode", "delta.enableDeletionVectors"])
def test_rows_keep_their_ids_where_they_move(smelt, tmp_path, how):
    table = tmp_path / "t"
    more = {"": "", "PARTITION": ""}.get(how, f", '{how}' = '{'name' if 'Mapping' in how else 'true'}'")
    made = {9: "x", 3: "y", 7: "x"} | {id: "y" for id in range(20, 30)}
    values = f"(VALUES {', '.join(f'({id}, {s!r})' for id, s in made.items())}) v(id, s)"
    if how == "PARTITION":
        (tmp_path / "t.sql").write_text(f"SELECT * FROM {values}")
        (tmp_path / "p.yaml").write_text(
            "name: p\nvars: {lake: {type: uri, default: .}}\nlake: lake\ntasks:\n  - {table: a.t, sql: t.sql, "
            "partition_by: s, properties: {delta.enableRowTracking: true}}\n")
        smelt("run", "p.yaml", cwd=tmp_path)
        table = tmp_path / "a/t"
    else:
        smelt("sql", "--write", f"CREATE TABLE 't' TBLPROPERTIES ('delta.enableRowTracking' = 'true'{more}) AS "
              f"SELECT * FROM {values}", cwd=tmp_path)
    smelt("sql", "--write", f"INSERT INTO '{table}' VALUES (1, 'y'), (5, 'x')", cwd=tmp_path)
    smelt("sql", "--write", f"INSERT INTO '{table}' VALUES (2, 'x')", cwd=tmp_path)
    gone = {}
    if how == "delta.enableDeletionVectors":
        gone = {3: ids_of(table)[3]}
    first = ids_of(table)
    assert {v for _, v in first.values()} == {0, 1, 2}
    if gone:  # the place of a row counts the deleted ones before it
        smelt("sql", "--write", f"DELETE FROM '{table}' WHERE id = 3", cwd=tmp_path)
        assert [a for a in log(table) if a.get("add", {}).get("deletionVector")]
    smelt("table", "optimize", table, cwd=tmp_path)
    assert len([a for a in log(table) if "add" in a]) == (2 if how == "PARTITION" else 1)
    assert ids_of(table) == {k: v for k, v in first.items() if k not in gone}
    smelt("sql", "--write", f"INSERT INTO '{table}' VALUES (4, 'x')", cwd=tmp_path)
    second = ids_of(table)
    assert second[4][0] not in {v[0] for v in first.values()}
    if how == "PARTITION":
        smelt("table", "optimize", table, cwd=tmp_path)
    else:  # moves rows a second time, and in another order
        smelt("table", "cluster", table, "--by", "id", cwd=tmp_path)
    assert ids_of(table) == second
    rows = {row["id"]: row["s"] for row in smelt.sql(f"FROM '{table}'", cwd=tmp_path)}
    made |= {1: "y", 5: "x", 2: "x", 4: "x"}
    assert rows == {k: v for k, v in made.items() if k not in gone}
    assert log(table)[0]["commitInfo"]["tags"] == {"delta.rowTracking.preserved": "true"}
    smelt("table", "fsck", table, "--data", cwd=tmp_path)
