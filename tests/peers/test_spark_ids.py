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
