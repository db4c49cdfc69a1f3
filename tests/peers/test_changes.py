"""Statements that change tables: what peers read afterwards and see in the log, tables of peers that
are changed or refused, and the command line's own rules."""
import json

import pytest

from common import ROOT
from engines import read_with_deltalake


def write(smelt, lake, sql, *args, **kwargs):
    return smelt("sql", "--write", sql, "--lake", lake, *args, **kwargs)


def commits(table):
    """The commitInfo of each version."""
    found = []
    for path in sorted((table / "_delta_log").glob("*.json")):
        lines = map(json.loads, path.read_text().splitlines())
        found += [line["commitInfo"] for line in lines if "commitInfo" in line]
    return found


def make_orders(smelt, lake):
    write(smelt, lake, "CREATE TABLE a.t AS SELECT * FROM (VALUES (1, 'x', DATE '2022-04-01'), "
                       "(2, NULL, DATE '2022-04-02'), (3, 'z', NULL)) v(id, s, d)")
    return lake / "a" / "t"


def by_id(rows):
    return sorted((row["id"], row["s"]) for row in rows)


def test_peers_read_what_statements_made(smelt, lake, delta_peers):
    table = make_orders(smelt, lake)
    write(smelt, lake, "INSERT INTO a.t (id, s) VALUES (4, 'w')")
    write(smelt, lake, "UPDATE a.t SET s = s || '!' WHERE id <> 2")
    write(smelt, lake, "DELETE FROM a.t WHERE d IS NULL AND id = 3")
    write(smelt, lake, "MERGE INTO a.t t USING (VALUES (1, 'm'), (9, 'n')) v(id, s) ON t.id = v.id "
                       "WHEN MATCHED THEN UPDATE SET s = v.s "
                       "WHEN NOT MATCHED THEN INSERT (id, s) VALUES (v.id, v.s)")
    for name, read in delta_peers.items():
        rows = [(row["id"], row["s"]) for row in read(table)]
        assert sorted(rows, key=str) == [(1, "m"), (2, None), (4, "w!"), (9, "n")], name
        assert len(read(table, version=1)) == 4, name


def test_the_log_says_what_was_done(smelt, lake):
    table = make_orders(smelt, lake)
    write(smelt, lake, "UPDATE a.t SET s = 'u' WHERE id = 1")
    write(smelt, lake, "DELETE FROM a.t WHERE id = 2")
    write(smelt, lake, "MERGE INTO a.t t USING (VALUES (3), (7)) v(id) ON t.id = v.id "
                       "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)")
    write(smelt, lake, "CREATE OR REPLACE TABLE a.t AS SELECT 1 AS id")
    create, update, delete, merge, replace = commits(table)
    assert create["operation"] == "CREATE TABLE AS SELECT"
    assert update["operation"] == "UPDATE"
    assert json.loads(update["operationParameters"]["predicate"]) == ['"id" = 1']
    assert update["operationMetrics"]["numUpdatedRows"] == "1"
    assert update["operationMetrics"]["numCopiedRows"] == "2"
    assert delete["operation"] == "DELETE"
    assert delete["operationMetrics"]["numDeletedRows"] == "1"
    assert merge["operation"] == "MERGE"
    counts = {key: merge["operationMetrics"][key] for key in
              ("numSourceRows", "numTargetRowsInserted", "numTargetRowsUpdated",
               "numTargetRowsDeleted", "numTargetRowsCopied", "numOutputRows")}
    assert list(counts.values()) == ["2", "1", "0", "1", "1", "2"], counts
    assert replace["operation"] == "CREATE OR REPLACE TABLE AS SELECT"


def test_types_of_the_columns_are_kept(smelt, lake, delta_peers):
    write(smelt, lake, "CREATE TABLE a.t AS SELECT 1::TINYINT AS t, 2::DECIMAL(9,2) AS c, 3.5::FLOAT "
                       "AS f, TIMESTAMP '2022-04-01 10:00:00' AS ts, 'b'::BLOB AS b, true AS p")
    write(smelt, lake, "INSERT INTO a.t SELECT '7', 1.239, 2, DATE '2022-04-02', 'x', 0")
    write(smelt, lake, "UPDATE a.t SET t = 5.4, c = 8, ts = '2022-04-03' WHERE t = 7")
    done = write(smelt, lake, "UPDATE a.t SET t = 300", check=False)
    assert done.returncode == 1 and "cannot be cast to TINYINT" in done.stderr
    done = write(smelt, lake, "INSERT INTO a.t (t) SELECT t + 1000 FROM a.t", check=False)
    assert done.returncode == 1 and "TINYINT" in done.stderr
    rows = smelt.sql("SELECT t, c, f, ts, b::VARCHAR AS b, p FROM a.t ORDER BY t", "--lake", lake)
    assert [list(map(str, row.values())) for row in rows] == [
        ["1", "2.0", "3.5", "2022-04-01 10:00:00", "b", "True"],
        ["5", "8.0", "2.0", "2022-04-03 00:00:00", "x", "False"]]
    for name, read in delta_peers.items():
        assert sorted(row["t"] for row in read(lake / "a" / "t")) == [1, 5], name


# ---- tables of others ---------------------------------------------------------------------------


def delta_rs_table(lake, rows, **options):
    deltalake = pytest.importorskip("deltalake")
    pyarrow = pytest.importorskip("pyarrow")
    table = lake / "b" / "t"
    schema = pyarrow.schema([pyarrow.field("id", pyarrow.int64(), nullable=False),
                             pyarrow.field("s", pyarrow.string())])
    deltalake.write_deltalake(str(table), pyarrow.Table.from_pylist(rows, schema=schema), **options)
    return table


def test_a_table_of_delta_rs_is_changed(smelt, lake):
    table = delta_rs_table(lake, [{"id": 1, "s": "a"}, {"id": 2, "s": "b"}])
    write(smelt, lake, "UPDATE b.t SET s = 'c' WHERE id = 2")
    write(smelt, lake, "INSERT INTO b.t VALUES (3, NULL)")
    assert sorted((row["id"], row["s"]) for row in read_with_deltalake(table)) == [
        (1, "a"), (2, "c"), (3, None)]
    for sql in ("INSERT INTO b.t (s) VALUES ('x')", "UPDATE b.t SET id = NULL WHERE id = 1",
                "MERGE INTO b.t t USING (VALUES ('q')) v(s) ON t.s = v.s "
                "WHEN NOT MATCHED THEN INSERT (s) VALUES (v.s)"):
        done = write(smelt, lake, sql, check=False)
        assert done.returncode == 1 and 'column "id" of the table is NOT NULL' in done.stderr, sql
    assert len(read_with_deltalake(table)) == 3


def test_a_partitioned_table_is_changed(smelt, lake):
    """Also where a row goes into another partition."""
    deltalake = pytest.importorskip("deltalake")
    pyarrow = pytest.importorskip("pyarrow")
    rows = pyarrow.table({"d": ["x", "x", "y", "z"], "id": pyarrow.array([1, 2, 3, 4], "int64"),
                          "s": ["a", "b", "c", "e"]})
    deltalake.write_deltalake(str(lake / "b" / "t"), rows, partition_by=["d"])
    write(smelt, lake, "UPDATE b.t SET s = 'u', d = 'w' WHERE id = 2")
    write(smelt, lake, "DELETE FROM b.t WHERE d = 'y'")
    write(smelt, lake, "INSERT INTO b.t (id, d) VALUES (7, 'x'), (8, NULL)")
    write(smelt, lake, "MERGE INTO b.t t USING (VALUES ('x', 1, 'm'), ('q', 9, 'n')) v(d, id, s) "
                       "ON t.id = v.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT * "
                       "WHEN NOT MATCHED BY SOURCE AND d = 'z' THEN DELETE")
    rows = read_with_deltalake(lake / "b" / "t")
    assert sorted((row["id"], row["d"], row["s"]) for row in rows) == [
        (1, "x", "m"), (2, "w", "u"), (7, "x", None), (8, None, None), (9, "q", "n")]


def test_delta_rs_changes_what_statements_made(smelt, lake):
    deltalake = pytest.importorskip("deltalake")
    table = make_orders(smelt, lake)
    deltalake.DeltaTable(str(table)).delete("id = 1")
    write(smelt, lake, "UPDATE a.t SET s = 'y' WHERE id = 2")
    deltalake.DeltaTable(str(table)).update(updates={"s": "'w'"}, predicate="id = 3")
    assert smelt.sql("SELECT id, s FROM a.t ORDER BY id", "--lake", lake) == [
        {"id": 2, "s": "y"}, {"id": 3, "s": "w"}]


def test_an_append_only_table_takes_only_inserts(smelt, lake):
    table = delta_rs_table(lake, [{"id": 1, "s": "a"}],
                           configuration={"delta.appendOnly": "true"})
    write(smelt, lake, "INSERT INTO b.t VALUES (2, 'b')")
    write(smelt, lake, "MERGE INTO b.t t USING (VALUES (2, 'x'), (3, 'c')) v(id, s) ON t.id = v.id "
                       "WHEN NOT MATCHED THEN INSERT *")
    for sql in ("DELETE FROM b.t WHERE id = 7", "UPDATE b.t SET s = 'x'",
                "MERGE INTO b.t t USING (VALUES (2)) v(id) ON t.id = v.id WHEN MATCHED THEN DELETE"):
        done = write(smelt, lake, sql, check=False)
        assert done.returncode == 1 and "append" in done.stderr, (sql, done.stderr)
    assert sorted((row["id"], row["s"]) for row in read_with_deltalake(table)) == [
        (1, "a"), (2, "b"), (3, "c")]


def test_what_cannot_be_written_is_refused_before_it_is_read(smelt, lake):
    table = delta_rs_table(lake, [{"id": 1, "s": "a"}])
    log = table / "_delta_log" / f"{0:020}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            line["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7,
                                "readerFeatures": ["deletionVectors"],
                                "writerFeatures": ["deletionVectors", "icebergCompatV1"]}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for data in table.glob("*.parquet"):
        data.write_bytes(b"never read")
    for sql in ("INSERT INTO b.t VALUES (2, 'b')", "DELETE FROM b.t WHERE s = 'a'",
                "UPDATE b.t SET s = upper(s)",
                "MERGE INTO b.t t USING b.t u ON t.id = u.id WHEN MATCHED THEN DELETE"):
        done = write(smelt, lake, sql, check=False)
        assert done.returncode == 1 and "icebergCompatV1" in done.stderr, (sql, done.stderr)


# ---- the command --------------------------------------------------------------------------------


def test_nothing_is_changed_without_write(smelt, lake):
    make_orders(smelt, lake)
    for sql in ("INSERT INTO a.t (id) VALUES (4)", "UPDATE a.t SET s = 'x'", "DELETE FROM a.t",
                "CREATE OR REPLACE TABLE a.t AS SELECT 1 AS id", "COPY a.t TO 'out.csv'",
                "MERGE INTO a.t t USING a.t u ON t.id = u.id WHEN MATCHED THEN DELETE"):
        done = smelt("sql", sql, "--lake", lake, check=False)
        assert done.returncode == 1 and "--write" in done.stderr and not done.stdout, sql
        plan = smelt("explain", sql, "--lake", lake).stdout
        assert plan.split(" ")[0] == sql.split(" ")[0], plan
        done = smelt("explain", "--analyze", sql, "--lake", lake, check=False)
        assert done.returncode == 2, sql
    assert len(smelt.sql("FROM a.t", "--lake", lake)) == 3
    assert not (smelt.cwd / "out.csv").exists()


def test_copy(smelt, lake):
    make_orders(smelt, lake)
    write(smelt, lake, "COPY a.t TO 'all.parquet'")
    write(smelt, lake, "COPY (SELECT id FROM a.t WHERE id > 1 ORDER BY id) TO 'ids' (FORMAT csv)")
    assert (smelt.cwd / "ids").read_text() == "id\n2\n3\n"
    assert len(smelt.sql("FROM 'all.parquet'")) == 3
    done = write(smelt, lake, "COPY a.t TO 'x'", check=False)
    assert done.returncode == 2 and "format" in done.stderr
    done = write(smelt, lake, "DELETE FROM a.t", "-o", "x.csv", check=False)
    assert done.returncode == 2 and "--output" in done.stderr


def test_a_path_in_place_of_a_name(smelt, lake):
    write(smelt, lake, "CREATE TABLE 'alone/t' AS SELECT 1 AS id")
    write(smelt, lake, "INSERT INTO 'alone/t' VALUES (2)")
    write(smelt, lake, "DELETE FROM 'alone/t' WHERE id = 1")
    assert smelt.sql("FROM 'alone/t'") == [{"id": 2}]


def test_a_merge_of_two_rows_is_an_error(smelt, lake):
    table = make_orders(smelt, lake)
    before = sorted(path.name for path in table.glob("*"))
    done = write(smelt, lake, "MERGE INTO a.t t USING (VALUES (1), (2), (2)) v(id) ON t.id = v.id "
                              "WHEN MATCHED THEN UPDATE SET s = 'x'", "--json", check=False)
    assert done.returncode == 1
    assert "several rows of the source match one row of the table: id = 2" in done.stderr
    assert sorted(path.name for path in table.glob("*")) == before


def test_large_merge(smelt, lake):
    """The source does not fit into memory beside the table: its rows go to a scratch file."""
    logs = smelt.cwd / "rows.ndjson"
    with open(logs, "w", encoding="utf-8") as out:
        for n in range(300_000):
            out.write(f'{{"id":{n * 7919 % 300_000},"s":"{"text " * 20}{n}"}}\n')
    read = f"read_json('{logs}', columns => {{id: 'BIGINT', s: 'VARCHAR'}})"
    write(smelt, lake, f"CREATE TABLE a.t AS SELECT id, s FROM {read} WHERE id % 3 <> 0")
    done = write(smelt, lake, f"MERGE INTO a.t t USING {read} v ON t.id = v.id "
                              "WHEN MATCHED AND v.id % 3 = 1 THEN UPDATE SET s = 'u' "
                              "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT *",
                 "--memory-limit", "128MB", "--threads", "2", "--json")
    assert json.loads(done.stdout)["rows"] == {
        "inserted": 100_000, "updated": 100_000, "deleted": 100_000}
    rows = smelt.sql("SELECT s = 'u' AS u, id % 3 AS m, count(*) AS n, count(DISTINCT id) AS k "
                     "FROM a.t GROUP BY ALL ORDER BY ALL", "--lake", lake)
    assert [tuple(row.values()) for row in rows] == [
        (False, 0, 100_000, 100_000), (True, 1, 100_000, 100_000)]


def test_help_names_the_statements(smelt):
    text = smelt("sql", "--help").stdout
    assert "--write" in text and "MERGE INTO" in text
    assert "INSERT INTO" in (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")


# ---- what a table says of its rows --------------------------------------------------------------


def test_rules_of_a_table_hold_for_statements(smelt, lake):
    """A constraint, a generated column and a default: checked and computed as in a load."""
    table = delta_rs_table(lake, [{"id": 1, "s": "a"}, {"id": 2, "s": "b"}])
    log = table / "_delta_log" / f"{0:020}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            line["protocol"] = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": [
                "checkConstraints", "generatedColumns", "allowColumnDefaults"]}
        if "metaData" in line:
            line["metaData"]["configuration"]["delta.constraints.small"] = "id < 100"
            schema = json.loads(line["metaData"]["schemaString"])
            schema["fields"] += [
                {"name": "twice", "type": "long", "nullable": True,
                 "metadata": {"delta.generationExpression": "id * 2"}},
                {"name": "kind", "type": "string", "nullable": True,
                 "metadata": {"CURRENT_DEFAULT": "'plain'"}}]
            line["metaData"]["schemaString"] = json.dumps(schema)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(smelt, lake, "DELETE FROM b.t")
    write(smelt, lake, "INSERT INTO b.t (id, s) VALUES (1, 'a'), (2, 'b')")
    write(smelt, lake, "UPDATE b.t SET id = 7 WHERE s = 'b'")
    write(smelt, lake, "MERGE INTO b.t t USING (VALUES (1, 'm'), (9, 'n')) v(id, s) ON t.id = v.id "
                       "WHEN MATCHED THEN UPDATE SET s = v.s, kind = 'merged' "
                       "WHEN NOT MATCHED THEN INSERT (id, s) VALUES (v.id, v.s)")
    for sql, words in [
            ("INSERT INTO b.t (id) VALUES (100)", 'constraint "small"'),
            ("UPDATE b.t SET id = 100 WHERE id = 1", 'constraint "small"'),
            ("INSERT INTO b.t (id, twice) VALUES (4, 9)", 'generated column "twice"'),
            ("UPDATE b.t SET twice = 0", 'generated column "twice"')]:
        done = write(smelt, lake, sql, check=False)
        assert done.returncode == 1 and words in done.stderr, (sql, done.stderr)
    rows = smelt.sql("SELECT id, s, twice, kind FROM b.t ORDER BY id", "--lake", lake)
    assert [tuple(row.values()) for row in rows] == [
        (1, "m", 2, "merged"), (7, "b", 14, "plain"), (9, "n", 18, "plain")]
