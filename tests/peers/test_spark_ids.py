"""Spark and smelt write the same tables by turns: ids of rows, in-commit timestamps and identity values are
what both say they are. Run by `make interop`."""
import pytest

pytestmark = pytest.mark.jvm


def ids_in_spark(spark, table):
    rows = spark.sql(f"SELECT id, _metadata.row_id AS i, _metadata.row_commit_version AS v FROM {table}").collect()
    return {row["id"]: (row["i"], row["v"]) for row in rows}


def test_row_ids_stay_where_smelt_moves_rows(smelt, spark, tmp_path):
    uri = tmp_path / "t"
    table = f"delta.`{uri}`"
    smelt("sql", "--write", f"CREATE TABLE '{uri}' AS SELECT * FROM (VALUES (9, 'a'), (3, 'b'), (7, 'c')) v(id, s)")
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES (1, 'd'), (5, 'e')")
    smelt("table", "alter", uri, "SET TBLPROPERTIES ('delta.enableRowTracking' = 'true', "
          "'delta.enableInCommitTimestamps' = 'true', 'delta.enableDeletionVectors' = 'true')")
    first = ids_in_spark(spark, table)
    assert sorted(first.values()) == [(i, 2) for i in range(5)]
    spark.sql(f"INSERT INTO {table} VALUES (2, 'f'), (4, 'g')")
    spark.sql(f"UPDATE {table} SET s = 'z' WHERE id = 7")
    before = ids_in_spark(spark, table)
    assert {k: i for k, (i, _) in before.items() if k in first} == {k: i for k, (i, _) in first.items()}
    smelt("table", "optimize", uri)
    assert ids_in_spark(spark, table) == before
    smelt("sql", "--write", f"DELETE FROM '{uri}' WHERE id = 3")
    del before[3]
    assert ids_in_spark(spark, table) == before
    smelt("table", "cluster", uri, "--by", "id")
    assert ids_in_spark(spark, table) == before
    spark.sql(f"OPTIMIZE {table}")
    spark.sql(f"INSERT INTO {table} VALUES (8, 'h')")
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES (6, 'i')")
    smelt("table", "optimize", uri)
    after = ids_in_spark(spark, table)
    assert {k: v for k, v in after.items() if k in before} == before
    assert len({i for i, _ in after.values()}) == 8
    times = [row["timestamp"] for row in spark.sql(f"DESCRIBE HISTORY {table}").orderBy("version").collect()]
    assert times == sorted(set(times))
    assert sorted(row["id"] for row in smelt.sql(f"FROM '{uri}'")) == [1, 2, 4, 5, 6, 7, 8, 9]


STATEMENTS = [  # rows (id, s); what changes: {id: s}, None: the row goes
    ("UPDATE {t} SET s = 'u1' WHERE id IN (2, 13)", {2: "u1", 13: "u1"}),
    ("DELETE FROM {t} WHERE id IN (3, 14)", {3: None, 14: None}),
    ("MERGE INTO {t} t USING (SELECT * FROM VALUES (4, 'm1'), (5, 'm1'), (90, 'm1') AS v(id, s)) n ON t.id = n.id "
     "WHEN MATCHED AND n.id = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET s = n.s WHEN NOT MATCHED THEN INSERT *",
     {4: "m1", 5: None, 90: "m1"}),
    ("MERGE INTO {t} t USING (SELECT * FROM VALUES (6, 'x') AS v(id, s)) n ON t.id = n.id "
     "WHEN NOT MATCHED BY SOURCE AND t.id = 7 THEN UPDATE SET s = 'b1'", {7: "b1"}),
    ("UPDATE {t} SET s = 'u2' WHERE id IN (2, 4, 90)", {2: "u2", 4: "u2", 90: "u2"}),
]


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_row_ids_stay_through_statements(smelt, spark, tmp_path, vectors):
    uris = {name: tmp_path / name for name in ("smelt", "spark", "turns")}
    for uri in uris.values():
        spark.sql(f"CREATE TABLE delta.`{uri}` (id INT, s STRING) USING delta TBLPROPERTIES ("
                  f"'delta.enableRowTracking' = 'true', 'delta.enableDeletionVectors' = '{vectors}')")
        for first in (0, 10):
            spark.sql(f"INSERT INTO delta.`{uri}` SELECT /*+ COALESCE(1) */ CAST(id AS INT), 'a' FROM "
                      f"range({first}, {first + 10})")
    for step, (sql, changed) in enumerate(STATEMENTS):
        found = {}
        for name, uri in uris.items():
            table = f"delta.`{uri}`"
            before = ids_in_spark(spark, table)
            if name == "spark" or (name == "turns" and step % 2):
                spark.sql(sql.format(t=table))
            else:
                smelt("sql", "--write", sql.format(t=f"'{uri}'").replace("* FROM VALUES", "* FROM (VALUES")
                      .replace(" AS v(id, s)", ") AS v(id, s)"))
            version = spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").collect()[0]["version"]
            after = found[name] = ids_in_spark(spark, table)
            for id in before.keys() | changed.keys():
                if id not in changed:
                    assert after[id] == before[id], (name, sql, id)
                elif changed[id] is None:
                    assert id not in after
                elif id in before:
                    assert after[id] == (before[id][0], version), (name, sql, id)
                else:
                    assert after[id][1] == version and after[id][0] not in {i for i, _ in before.values()}
        assert found["smelt"].keys() == found["spark"].keys()
        old = range(20)  # new rows may get other ids: those of their files
        assert {k: v for k, v in found["smelt"].items() if k in old} == \
               {k: v for k, v in found["spark"].items() if k in old}, sql
    smelt("table", "fsck", uris["turns"])


def test_identity_values_by_turns(smelt, spark, tmp_path):
    from delta.tables import DeltaTable, IdentityGenerator
    from pyspark.sql.types import LongType

    uri = tmp_path / "t"
    table = f"delta.`{uri}`"
    DeltaTable.create(spark).location(str(uri)).addColumn(
        "id", LongType(), generatedAlwaysAs=IdentityGenerator(start=10, step=5)).addColumn("s", "STRING").execute()
    spark.sql(f"INSERT INTO {table} (s) VALUES ('a')")
    smelt("sql", "--write", f"INSERT INTO '{uri}' (s) VALUES ('b'), ('c')")
    spark.sql(f"INSERT INTO {table} (s) VALUES ('d')")
    smelt("sql", "--write", f"INSERT INTO '{uri}' (s) VALUES ('e')")
    found = {row["s"]: row["id"] for row in spark.sql(f"SELECT * FROM {table}").collect()}
    assert sorted(found) == ["a", "b", "c", "d", "e"] and len(set(found.values())) == 5
    assert all((i - 10) % 5 == 0 for i in found.values())
    assert found["a"] < found["b"] < found["c"] < found["d"] < found["e"]
    assert {row["s"]: row["id"] for row in smelt.sql(f"FROM '{uri}'")} == found
