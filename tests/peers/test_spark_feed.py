"""Change data feeds beside Spark: smelt reads what Spark recorded as Spark does, with deletion vectors
and column mapping too, and Spark reads what smelt recorded."""
import datetime

import pytest

pytestmark = pytest.mark.jvm

FEED = "delta.enableChangeDataFeed = true"
VECTORS = f"{FEED}, delta.enableDeletionVectors = true"
MAPPED = f"{FEED}, delta.columnMapping.mode = 'name'"
WITHOUT_VECTORS = f"{FEED}, delta.enableDeletionVectors = false"


def plain(value):
    if isinstance(value, datetime.datetime):  # a session in UTC
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".") + "+00"
    return str(value)


def in_order(rows):
    return sorted(tuple((name, plain(row[name])) for name in sorted(row)) for row in rows)


def changes_of_spark(spark, uri, first, last):
    frame = (spark.read.format("delta").option("readChangeFeed", "true")
             .option("startingVersion", first).option("endingVersion", last).load(str(uri)))
    return in_order(row.asDict() for row in frame.collect())


def changes(smelt, uri, first, last):
    return in_order(smelt.sql(f"SELECT * FROM table_changes('{uri}', {first}, {last})"))


def make_table(spark, uri, properties, partitioned):
    spark.sql(f"CREATE TABLE delta.`{uri}` (id BIGINT, part STRING, v DOUBLE, day DATE) USING delta "
              + ("PARTITIONED BY (part) " if partitioned else "") + f"TBLPROPERTIES ({properties})")
    for first in (0, 30):
        spark.range(first, first + 30).selectExpr(
            "id", "elt(cast(id % 3 as int) + 1, 'a', 'b', 'c') AS part",
            "if(id % 5 = 0, null, id + 0.25D) AS v",
            "date_add(date'2022-04-01', cast(id as int)) AS day").coalesce(1).write.format(
                "delta").mode("append").save(str(uri))


@pytest.mark.parametrize("properties, partitioned", [
    (WITHOUT_VECTORS, True), (VECTORS, False), (VECTORS, True), (MAPPED, True)],
    ids=["partitioned", "vectors", "vectors and partitions", "mapped"])
def test_smelt_reads_the_feed_of_spark(smelt, spark, lake, properties, partitioned):
    uri = lake / "b" / "t"
    make_table(spark, uri, properties, partitioned)
    t = f"delta.`{uri}`"
    spark.sql(f"UPDATE {t} SET v = v + 1 WHERE id BETWEEN 3 AND 12")
    spark.sql(f"DELETE FROM {t} WHERE id % 4 = 1")
    spark.sql(f"DELETE FROM {t} WHERE id % 8 = 2")
    spark.sql(f"MERGE INTO {t} t USING (SELECT id * 3 AS k, 'c' AS p FROM range(25)) s ON t.id = s.k "
              "WHEN MATCHED AND t.id > 50 THEN DELETE WHEN MATCHED THEN UPDATE SET part = s.p "
              "WHEN NOT MATCHED THEN INSERT (id, part) VALUES (s.k, s.p)")
    spark.sql(f"OPTIMIZE {t}")
    spark.sql(f"DELETE FROM {t} WHERE part = 'b'")
    spark.sql(f"RESTORE TABLE {t} TO VERSION AS OF 4")
    if properties == MAPPED:
        spark.sql(f"ALTER TABLE {t} ADD COLUMN more STRING")
        spark.sql(f"INSERT INTO {t} VALUES (200, 'a', 1, date'2022-05-01', 'x')")
    last = spark.sql(f"DESCRIBE HISTORY {t}").selectExpr("max(version)").collect()[0][0]
    wanted = changes_of_spark(spark, uri, 0, last)
    assert len(wanted) > 150
    assert changes(smelt, uri, 0, last) == wanted
    for version in range(1, last + 1):
        assert changes(smelt, uri, version, version) == changes_of_spark(spark, uri, version, version)
    if properties == MAPPED:
        spark.sql(f"ALTER TABLE {t} RENAME COLUMN v TO w")
        done = smelt("sql", f"SELECT * FROM table_changes('{uri}', {last})", check=False)
        assert done.returncode == 1
        assert f"in version {last} column \"v\" is not as in version {last + 1}" in done.stderr


@pytest.mark.parametrize("properties, partitioned", [
    (WITHOUT_VECTORS, False), (WITHOUT_VECTORS, True), (MAPPED.replace("'name'", "'id'"), True)],
    ids=["plain", "partitioned", "mapped"])
def test_spark_reads_the_feed_of_smelt(smelt, spark, lake, properties, partitioned):
    uri = lake / "b" / "t"
    make_table(spark, uri, properties + ", delta.enableDeletionVectors = false"
               if "Vectors" not in properties else properties, partitioned)
    for sql in ["UPDATE b.t SET v = v + 1 WHERE id BETWEEN 3 AND 12",
                "DELETE FROM b.t WHERE id % 4 = 1",
                "MERGE INTO b.t t USING (SELECT x AS k, 'c' AS p FROM (VALUES (6), (9), (55), (90)) v(x)) s "
                "ON t.id = s.k WHEN MATCHED AND t.id > 50 THEN DELETE "
                "WHEN MATCHED THEN UPDATE SET part = s.p "
                "WHEN NOT MATCHED THEN INSERT (id, part) VALUES (s.k, s.p)",
                "INSERT INTO b.t (id, day) VALUES (100, DATE '2022-06-01')",
                "DELETE FROM b.t WHERE part = 'b'",
                "UPDATE b.t SET day = day + 1"]:
        smelt("sql", sql, "--lake", lake, "--write")
    last = spark.sql(f"DESCRIBE HISTORY delta.`{uri}`").selectExpr("max(version)").collect()[0][0]
    assert last == 8
    found = changes(smelt, uri, 0, last)
    assert len(found) > 150
    assert changes_of_spark(spark, uri, 0, last) == found
    spark.sql(f"UPDATE delta.`{uri}` SET v = 0 WHERE id < 3")
    assert changes(smelt, uri, 9, 9) == changes_of_spark(spark, uri, 9, 9)
