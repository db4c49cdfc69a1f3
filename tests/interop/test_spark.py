"""Spark, the reference implementation of Delta."""
import pytest

pytestmark = pytest.mark.jvm


def test_spark_reads_a_golden_table(spark, conformance):
    table = spark.read.format("delta").load(str(conformance / "delta-golden/basic-decimal-table"))
    rows = sorted(tuple(str(value) for value in row) for row in table.collect())
    assert rows[0] == ("-2342342.23423", "-999.99", "-99999.99999", "-9999999999.9999999999")
    assert len(rows) == 4


def test_spark_writes_and_merges_a_delta_table(spark, lake):
    uri = str(lake / "bronze" / "orders")
    spark.range(5).selectExpr("id", "id * 2 AS amount").write.format("delta").save(uri)
    spark.sql(f"MERGE INTO delta.`{uri}` t USING (SELECT 4 AS id, 100 AS amount) s ON t.id = s.id "
              "WHEN MATCHED THEN UPDATE SET amount = s.amount")
    total = spark.read.format("delta").load(uri).selectExpr("sum(amount)").collect()[0][0]
    assert total == 0 + 2 + 4 + 6 + 100
