"""Spark, the reference implementation of Delta, reads what smelt wrote, and smelt reads what Spark
wrote. The environment has no other peer, so nothing else is imported here."""
import datetime
import decimal
import json
import shutil

import pytest

import feature_tables
from common import ROOT, load_days
from edges import (KINDS, WITHOUT_BOUNDS, few_predicates, make_table, predicates,
                   wrong_filters)
import table_kinds

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


TABLES = ["bronze/viewing_log", "quarantine/viewing_log", "silver/customer_viewing",
          "gold/customer360"]


@pytest.fixture(scope="module")
def lake_of_days(program, tmp_path_factory):
    """A lake to which twelve days were brought, one run each: every table has a checkpoint."""
    folder = tmp_path_factory.mktemp("days")
    program("generate", "logs", folder / "all", "--days", 12, "--rows", 100, "--contracts", 50,
            "--damage", 0.1, "--seed", 6)
    (folder / "logs").mkdir()
    for file in sorted((folder / "all").glob("????????.json")):
        shutil.copy2(file, folder / "logs" / file.name)
        program("run", ROOT / "pipelines/customer360/delta.yaml", "--var", f"logs={folder}/logs",
                "--var", f"lake={folder}/lake", "--var", "month=2022-04")
    return folder / "lake"


def as_json(value):
    """A value as smelt's JSON writes it, then read."""
    return str(value) if isinstance(value, (datetime.date, decimal.Decimal)) else value


def in_order(rows):
    """Rows as sorted tuples, columns by name; NULLs first."""
    def key(value):
        return (0, "") if value is None else (1, as_json(value))
    return sorted(tuple(key(row[name]) for name in sorted(row)) for row in rows)


@pytest.mark.parametrize("table", TABLES)
def test_spark_reads_what_smelt_wrote(smelt, spark, lake_of_days, table):
    """As it is, then with the commits before its last checkpoint gone."""
    uri = lake_of_days / table
    names = [name for name in spark.read.format("delta").load(str(uri)).columns
             if name not in ("raw", "time")]
    wanted = smelt.sql(f"SELECT {', '.join(names)} FROM delta_scan('{uri}')")
    assert len(wanted) > 30
    for is_behind in (False, True):
        if is_behind:
            last = json.loads((uri / "_delta_log/_last_checkpoint").read_text())["version"]
            assert last >= 10
            for version in range(last):
                (uri / "_delta_log" / f"{version:020}.json").unlink()
            spark.sql("CLEAR CACHE")
        frame = spark.read.format("delta").load(str(uri)).select(*names)
        assert in_order([row.asDict() for row in frame.collect()]) == in_order(wanted)


def test_spark_reads_bytes_and_times_of_quarantine(smelt, spark, lake_of_days):
    uri = lake_of_days / "quarantine/viewing_log"
    frame = spark.read.format("delta").load(str(uri)).selectExpr(
        "sum(length(raw)) AS n_bytes", "sum(raw_bytes) AS told", "count(time) AS times",
        "date_format(max(time), 'yyyy-MM-dd HH:mm') AS latest")
    row = frame.collect()[0]
    found = smelt.sql(f"SELECT sum(raw_bytes) AS told, count(time) AS times, max(time) AS latest "
                      f"FROM delta_scan('{uri}')")[0]
    assert row["n_bytes"] == row["told"] == found["told"]
    assert row["times"] == found["times"]
    assert found["latest"].startswith(row["latest"])


def test_spark_goes_on_where_smelt_wrote(smelt, spark, lake_of_days, tmp_path):
    """Spark appends to, deletes from and updates a table of smelt's; smelt reads what came of it."""
    uri = tmp_path / "gold"
    shutil.copytree(lake_of_days / "gold/customer360", uri)
    before = smelt.sql(f"SELECT count(*) AS n FROM delta_scan('{uri}')")[0]["n"]
    names = spark.read.format("delta").load(str(uri)).columns
    spark.read.format("delta").load(str(uri)).limit(3).selectExpr(
        "concat('NEW', Contract) AS Contract", *names[1:]).write.format("delta").mode("append").save(
            str(uri))
    spark.sql(f"UPDATE delta.`{uri}` SET RFM = '000' WHERE Contract LIKE 'NEW%'")
    spark.sql(f"DELETE FROM delta.`{uri}` WHERE RFM = '111'")
    wanted = [row.asDict() for row in spark.read.format("delta").load(str(uri)).collect()]
    found = smelt.sql(f"SELECT * FROM delta_scan('{uri}')")
    assert in_order(found) == in_order(wanted)
    assert sum(row["RFM"] == "000" for row in found) == 3
    assert before > 3


def test_smelt_reads_what_spark_wrote(smelt, spark, lake):
    uri = str(lake / "t")
    frame = spark.range(1000).selectExpr(
        "id", "cast(id % 100 as tinyint) AS tiny", "cast(id as smallint) AS small",
        "cast(id * 3 as int) AS normal", "id / 3.0D AS x", "cast(id / 4 as float) AS f",
        "id % 2 = 0 AS flag", "if(id % 5 = 0, null, concat('é', id)) AS text",
        "date_add(date'2022-04-01', cast(id % 60 as int)) AS day",
        "cast(id as decimal(18,3)) AS price", "timestamp_seconds(1648771200 + id) AS moment",
        "named_struct('a', id, 'b', cast(id as string)) AS s", "id % 4 AS part")
    frame.write.format("delta").partitionBy("part").save(uri)
    frame.where("id < 10").write.format("delta").mode("append").save(uri)
    spark.sql(f"DELETE FROM delta.`{uri}` WHERE id % 10 = 3")
    columns = ["id", "tiny", "small", "normal", "x", "f", "flag", "text", "day", "part"]
    rows = spark.read.format("delta").load(uri).select(*columns).collect()
    wanted = [row.asDict() for row in rows]
    found = smelt.sql(f"SELECT {', '.join(columns)} FROM delta_scan('{uri}')")
    assert len(found) == 909
    assert in_order(found) == in_order(wanted)
    sums = smelt.sql("SELECT sum(s.a) AS a, count(DISTINCT s.b) AS b, min(moment) AS lo, "
                     f"max(price) AS price FROM delta_scan('{uri}')")[0]
    assert sums["a"] == sum(row["id"] for row in wanted)
    assert sums["b"] == 900
    assert sums["lo"].startswith("2022-04-01 00:00:00")
    assert float(sums["price"]) == 999


# ---- filters, over values at the edges of every type ------------------------------------------

SPARK_TYPES = {"VARCHAR": "STRING", "TIMESTAMP": "TIMESTAMP_NTZ", "TIMESTAMPTZ": "TIMESTAMP"}


def literals_of(name, in_spark):
    kind, values = KINDS[name]
    kind = SPARK_TYPES.get(kind, kind) if in_spark else kind
    escape = (lambda text: text.replace("\\", "\\\\").replace("'", "\\'")) if in_spark else (
        lambda text: text.replace("'", "''"))
    return [f"CAST('{escape(value)}' AS {kind})" for value in values]


def query_of_spark(spark):
    return lambda sql: [tuple(row) for row in spark.sql(sql).collect()]


# One of each kind of value: a plan of many scans is slow there.
SPARK_KINDS = ["double", "float", "timestamp", "timestamptz", "decimal_38_10", "varchar", "boolean",
               "bigint", "date"]


@pytest.mark.parametrize("name", SPARK_KINDS)
def test_spark_filters_what_smelt_wrote(program, spark, tmp_path, name):
    uri = make_table(program, tmp_path / name, name)
    filters = few_predicates(literals_of(name, True))
    assert wrong_filters(query_of_spark(spark), f"delta.`{uri}`", filters) == []


@pytest.mark.parametrize("name", WITHOUT_BOUNDS)
def test_spark_filters_without_bounds(program, spark, tmp_path, name):
    uri = make_table(program, tmp_path / name, name)
    filters = [one.format(blob="BINARY") for one in WITHOUT_BOUNDS[name][3]]
    assert wrong_filters(query_of_spark(spark), f"delta.`{uri}`", filters) == []


@pytest.mark.parametrize("name", KINDS)
def test_smelt_filters_what_spark_wrote(smelt, spark, tmp_path, name):
    """A file a value, one of all, one of NULL; Spark's own statistics, and INT96 for instants."""
    values = literals_of(name, True)
    rows = [(i, i, one) for i, one in enumerate(values)]
    rows += [(len(values) + i, len(values), one) for i, one in enumerate(values)]
    rows += [(2 * len(values) + i, len(values) + 1, "NULL") for i in range(2)]
    union = " UNION ALL ".join(f"SELECT {i}L AS id, {part} AS part, {one} AS x" for i, part, one in rows)
    uri = tmp_path / "t"
    spark.sql(union).write.format("delta").partitionBy("part").save(str(uri))

    def query(sql):
        return [tuple(row.values()) for row in smelt.sql(sql)]
    assert wrong_filters(query, f"delta_scan('{uri}')", predicates(literals_of(name, False))) == []


# ---- deletion vectors -------------------------------------------------------------------------


@pytest.mark.parametrize("partitioned", [False, True])
def test_rows_that_spark_deleted(smelt, spark, tmp_path, partitioned):
    """Rows deleted in three commits, and an append. Several row groups: test_deletion_vectors.py."""
    uri = tmp_path / "t"
    rows = spark.range(0, 60000, 1, 1).selectExpr("id", "id % 3 AS part", "concat('n', id % 11) AS name",
                                                 "IF(id % 5 = 0, NULL, id / 2) AS half")
    rows = rows.repartition(1, "part") if partitioned else rows
    write = rows.write.format("delta").option("delta.enableDeletionVectors", "true")
    (write.partitionBy("part") if partitioned else write).save(str(uri))
    table = f"delta.`{uri}`"
    for where in ["id % 7 = 3", "id BETWEEN 20000 AND 31000", "half IS NULL AND part = 1"]:
        spark.sql(f"DELETE FROM {table} WHERE {where}")
    spark.sql(f"INSERT INTO {table} VALUES (70000L, 1L, 'last', 1.0D)")
    log = "".join(path.read_text() for path in (uri / "_delta_log").glob("*.json"))
    assert log.count('"storageType":"u"') > 2
    for where in ["true", "id > 59000", "part = 1 AND id % 100 < 3", "name = 'n4' AND half < 500"]:
        query = f"SELECT id, part, name, half FROM {{}} WHERE {where}"
        wanted = [tuple(row) for row in spark.sql(query.format(table)).collect()]
        got = [tuple(row.values()) for row in smelt.sql(query.format(f"delta_scan('{uri}')"))]
        assert len(got) > 0 and sorted(got, key=str) == sorted(wanted, key=str)
    [n] = spark.sql(f"SELECT count(*) FROM {table}").collect()[0]
    assert smelt.json("table", "show", uri, "--json")["rows"] == n


@pytest.mark.parametrize("partitioned", [False, True])
def test_rows_that_smelt_deleted(smelt, spark, lake, partitioned):
    """Spark and smelt delete by turns in the same files; after each both see the same rows."""
    uri = lake / "b" / "t"
    rows = spark.range(0, 30000, 1, 1).selectExpr("id", "id % 3 AS part", "concat('n', id % 11) AS name")
    rows = rows.repartition(1, "part") if partitioned else rows
    write = rows.write.format("delta").option("delta.enableDeletionVectors", "true")
    (write.partitionBy("part") if partitioned else write).save(str(uri))
    table = f"delta.`{uri}`"

    def check():
        query = "SELECT count(*) AS n, sum(id) AS ids, count(name) AS names, sum(part) AS parts FROM {}"
        wanted = tuple(spark.sql(query.format(table)).collect()[0])
        assert tuple(smelt.sql(query.format("b.t"), "--lake", lake)[0].values()) == wanted

    for by_spark, sql in [
            (False, "DELETE FROM {} WHERE id IN (5, 77)"),  # in the log
            (False, "DELETE FROM {} WHERE id % 7 = 3"),
            (True, "DELETE FROM {} WHERE id % 50 = 8"),
            (False, "UPDATE {} SET name = NULL WHERE id % 90 = 1"),
            (True, "UPDATE {} SET name = 'u' WHERE id % 90 = 2"),
            (False, "MERGE INTO {} t USING (SELECT id + 60 AS id FROM b.t WHERE id >= 29900) s "
                    "ON t.id = s.id WHEN MATCHED THEN DELETE "
                    "WHEN NOT MATCHED THEN INSERT (id, part, name) VALUES (s.id, 1, 'new')"),
            (True, "OPTIMIZE {}"),
            (False, "DELETE FROM {} WHERE id % 33 = 0")]:
        if by_spark:
            spark.sql(sql.format(table))
        else:
            smelt("sql", "--write", sql.format("b.t"), "--lake", lake)
        check()
    log = "".join(path.read_text() for path in sorted((uri / "_delta_log").glob("*.json")))
    assert log.count('"storageType":"i"') > 0 and "deletionVector" in log.splitlines()[-1]
    smelt("table", "restore", uri, "--version", 2)
    check()
    spark.sql(f"REORG TABLE {table} APPLY (PURGE)")
    check()


# ---- what a table says of its rows --------------------------------------------------------------

def test_rules_of_spark(smelt, spark, lake):
    """Spark declares; smelt keeps to it, computes what is missing, and Spark goes on."""
    uri = str(lake / "raw" / "t")
    spark.sql(f"CREATE TABLE delta.`{uri}` (id BIGINT, amount BIGINT, day DATE, "
              "month INT GENERATED ALWAYS AS (MONTH(day)), kind STRING DEFAULT 'new', "
              "twice BIGINT GENERATED ALWAYS AS (amount * 2L)) USING delta "
              "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')")
    spark.sql(f"ALTER TABLE delta.`{uri}` ADD CONSTRAINT few CHECK "
              "(amount between 0 and 100 AND kind IN ('new', \"old\"))")
    load_days(smelt, lake, [{"id": 1, "amount": 5}, {"id": 2, "amount": 6}])
    done = load_days(smelt, lake, [{"id": 3, "amount": 101}], check=False)
    assert done.returncode == 1 and 'constraint "few"' in done.stderr, done.stderr
    (lake.parent / "in" / "20220402.json").unlink()
    load_days(smelt, lake, [{"id": 4, "amount": 0}])
    spark.sql(f"INSERT INTO delta.`{uri}` (id, amount, day) VALUES (5, 7, DATE '2022-05-01')")
    for bad in ("(6, -1, NULL)", "(6, NULL, NULL)"):  # NULL does not pass either
        with pytest.raises(Exception, match="few"):
            spark.sql(f"INSERT INTO delta.`{uri}` (id, amount, day) VALUES {bad}")
    rows = spark.read.format("delta").load(uri).orderBy("id").collect()
    assert [tuple(row) for row in rows] == [
        (1, 5, datetime.date(2022, 4, 1), 4, "new", 10),
        (2, 6, datetime.date(2022, 4, 1), 4, "new", 12),
        (4, 0, datetime.date(2022, 4, 2), 4, "new", 0),
        (5, 7, datetime.date(2022, 5, 1), 5, "new", 14)]


def test_checksums_of_spark_go_on(smelt, spark, lake):
    """Spark writes checksums, smelt goes on with them, and Spark holds its versions against them."""
    uri = lake / "raw" / "t"
    spark.sql(f"CREATE TABLE delta.`{uri}` (id BIGINT, amount BIGINT, day DATE) USING delta")
    assert (uri / "_delta_log/00000000000000000000.crc").exists()
    load_days(smelt, lake, [{"id": 1, "amount": 5}])
    load_days(smelt, lake, [{"id": 2, "amount": 6}])
    last = max(path.stem for path in (uri / "_delta_log").glob("*.json"))
    told = json.loads((uri / "_delta_log" / f"{last}.crc").read_text())
    sizes = [path.stat().st_size for path in uri.glob("part-*")]
    assert (told["numFiles"], told["tableSizeBytes"]) == (2, sum(sizes))
    spark.sql(f"INSERT INTO delta.`{uri}` VALUES (3, 7, NULL)")
    rows = spark.read.format("delta").load(str(uri)).orderBy("id").collect()
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert smelt.sql(f"SELECT sum(amount) AS s FROM delta_scan('{uri}')") == [{"s": 18}]


@pytest.mark.parametrize("mode", ["name", "id"])
def test_mapped_columns_of_spark(smelt, spark, lake, mode):
    """Columns that Spark renamed and dropped: smelt writes them under the names that files have."""
    uri = lake / "raw" / "t"
    spark.sql(f"CREATE TABLE delta.`{uri}` (id BIGINT, total BIGINT, gone INT, day DATE) "
              f"USING delta TBLPROPERTIES ('delta.columnMapping.mode' = '{mode}')")
    spark.sql(f"INSERT INTO delta.`{uri}` VALUES (1, 5, 1, NULL)")
    spark.sql(f"ALTER TABLE delta.`{uri}` RENAME COLUMN total TO amount")
    spark.sql(f"ALTER TABLE delta.`{uri}` DROP COLUMN gone")
    load_days(smelt, lake, [{"id": 2, "amount": 6}])
    for path in uri.glob("part-*zstd.parquet"):
        names = smelt.sql(f"SELECT * FROM '{path}'")[0]
        assert set(names) & {"id", "amount", "day", "total"} == set(), names
    spark.sql(f"INSERT INTO delta.`{uri}` VALUES (3, 7, NULL)")
    frame = spark.read.format("delta").load(str(uri))
    assert [tuple(row)[:2] for row in frame.orderBy("id").collect()] == [(1, 5), (2, 6), (3, 7)]
    assert frame.where("amount = 6").count() == 1  # by its statistics
    assert smelt.sql(f"SELECT id, amount FROM delta_scan('{uri}') ORDER BY id") == [
        {"id": 1, "amount": 5}, {"id": 2, "amount": 6}, {"id": 3, "amount": 7}]


# ---- tables that were joined, clustered, merged, restored -------------------------------------


def spark_query(spark, uri):
    return lambda where: [tuple(row) for row in spark.sql(
        f"SELECT {', '.join(table_kinds.COLUMNS)} FROM delta.`{uri}` WHERE {where}").collect()]


@pytest.mark.parametrize("kind", table_kinds.KINDS)
def test_spark_reads_each_kind_of_table(program, spark, tmp_path, kind):
    uri = tmp_path / "kinds" / kind
    rows = table_kinds.KINDS[kind](table_kinds.Maker(program, uri))
    table_kinds.check(spark_query(spark, uri), rows, table_kinds.FEW_FILTERS)


def compacted(run):
    run("OPTIMIZE {t}")
    return table_kinds.OLD


def zordered(run):
    run("OPTIMIZE {t} ZORDER BY (amount, city)")
    return table_kinds.OLD


def merged(run):
    run(table_kinds.MERGE, news=table_kinds.values(table_kinds.NEWS))
    return table_kinds.merged(table_kinds.OLD)


def restored(run):
    merged(run)
    run("OPTIMIZE {t}")
    run("RESTORE {t} TO VERSION AS OF 2")
    return table_kinds.OLD


BY_TWO = "PARTITIONED BY (city, day)"


@pytest.mark.parametrize("make, keys", [
    (compacted, ""), (zordered, ""), (merged, ""), (restored, ""), (compacted, BY_TWO), (restored, BY_TWO)])
def test_smelt_goes_on_with_each_kind_of_spark(smelt, spark, tmp_path, make, keys):
    """Read, then changed and joined by smelt; Spark reads that, and goes on with it."""
    uri = tmp_path / "kinds" / "t"

    def run(text, **names):
        spark.sql(text.format(t=f"delta.`{uri}`", **names))

    run("CREATE TABLE {t} USING delta {keys} AS " + table_kinds.values(table_kinds.OLD[:20]), keys=keys)
    for first in (20, 40):
        run("INSERT INTO {t} " + table_kinds.values(table_kinds.OLD[first:first + 20]))
    rows = make(run)
    table_kinds.check(table_kinds.smelt_query(smelt, uri), rows)
    smelt("table", "fsck", uri, "--data")
    maker = table_kinds.Maker(smelt, uri)
    maker.sql("DELETE FROM {t} WHERE id < 50")
    maker.table("optimize")
    rows = [row for row in rows if row[0] >= 50]
    table_kinds.check(spark_query(spark, uri), rows, table_kinds.FEW_FILTERS)
    merged(run)
    table_kinds.check(table_kinds.smelt_query(smelt, uri), table_kinds.merged(rows))


# ---- features, wider types, altered tables ----------------------------------------------------


@pytest.mark.parametrize("feature", feature_tables.MAKERS)
def test_spark_knows(program, spark, tmp_path, feature):
    """Its row of src/delta/readers.def; those of the others: test_readers.py."""
    cells = (ROOT / "src" / "delta" / "readers.def").read_text().split('SM_READER("spark", ')[1]
    assert cells.split(")")[0] == ", ".join(["true"] * len(feature_tables.MAKERS))
    wanted = feature_tables.MAKERS[feature](program, tmp_path / "t")
    assert feature_tables.texts(spark.read.format("delta").load(str(tmp_path / "t")).collect()) == wanted


# A column of each pair of the protocol: types, an old and a new value.
WIDENED = {
    "a": ("BYTE", "SHORT", "-5", "300"), "b": ("BYTE", "INT", "7", "70000"),
    "c": ("BYTE", "LONG", "7", "9000000000"), "d": ("SHORT", "INT", "-300", "70000"),
    "e": ("SHORT", "LONG", "300", "9000000000"), "f": ("INT", "LONG", "70000", "9000000000"),
    "g": ("FLOAT", "DOUBLE", "CAST(0.1 AS FLOAT)", "0.1D"), "h": ("BYTE", "DOUBLE", "7", "0.5D"),
    "i": ("SHORT", "DOUBLE", "300", "0.5D"), "j": ("INT", "DOUBLE", "70000", "0.5D"),
    "k": ("DATE", "TIMESTAMP_NTZ", "DATE'2022-04-01'", "TIMESTAMP_NTZ'2022-04-02 10:00:00'"),
    "l": ("DECIMAL(10,2)", "DECIMAL(14,4)", "12.34", "0.1234"),
    "m": ("BYTE", "DECIMAL(12,2)", "7", "0.25"), "n": ("SHORT", "DECIMAL(10,0)", "300", "9999999999"),
    "o": ("INT", "DECIMAL(20,10)", "70000", "0.5"), "p": ("LONG", "DECIMAL(25,5)", "9000000000", "0.5"),
}


def test_columns_that_spark_widened(smelt, spark, tmp_path):
    """Each pair: smelt reads the old and the new rows, and finds each row by its value."""
    uri = str(tmp_path / "t")
    columns = ", ".join(f"{name} {kinds[0]}" for name, kinds in WIDENED.items())
    spark.sql(f"CREATE TABLE delta.`{uri}` (id INT, {columns}) USING DELTA "
              "TBLPROPERTIES ('delta.enableTypeWidening' = 'true', 'delta.feature.timestampNtz' = 'supported')")
    for id, place in ((1, 2), (2, 3)):
        values = ", ".join(kinds[place] for kinds in WIDENED.values())
        spark.sql(f"INSERT INTO delta.`{uri}` VALUES ({id}, {values})")
        for name, kinds in WIDENED.items() if id == 1 else ():
            spark.sql(f"ALTER TABLE delta.`{uri}` CHANGE COLUMN {name} TYPE {kinds[1]}")
    wanted = spark.read.format("delta").load(uri).orderBy("id").collect()
    rows = smelt.sql(f"SELECT * FROM '{uri}' ORDER BY id")
    for name in WIDENED:
        got = [row[name] for row in rows]
        if name == "k":
            assert got == ["2022-04-01 00:00:00", "2022-04-02 10:00:00"]
        else:
            assert [float(value) for value in got] == [float(row[name]) for row in wanted], name
        for id in (1, 2):
            assert smelt.sql(f"SELECT id FROM '{uri}' WHERE {name} = (SELECT {name} FROM '{uri}' WHERE id = {id})"
                             ) == [{"id": id}], name
    smelt("sql", "--write", f"DELETE FROM '{uri}' WHERE f = 70000")
    assert [row.id for row in spark.read.format("delta").load(uri).collect()] == [2]


def test_spark_goes_on_where_smelt_altered(smelt, spark, tmp_path):
    """Columns that smelt added, renamed, dropped, moved, widened and gave a default; a constraint."""
    uri = str(tmp_path / "t")
    feature_tables.plain(smelt, tmp_path / "t")
    smelt("table", "alter", uri, "--enable", "column-mapping", "--enable", "type-widening",
          "RENAME COLUMN x TO y", "ALTER COLUMN id TYPE DECIMAL(12, 2)",
          "ADD COLUMN n BIGINT COMMENT 'c' DEFAULT 7 FIRST", "ADD COLUMN gone VARCHAR")
    smelt("table", "alter", uri, "DROP COLUMN gone")
    smelt("table", "alter", uri, "ADD CONSTRAINT few CHECK (id < 100)")
    spark.sql(f"INSERT INTO delta.`{uri}` (id, y) VALUES (3.25, 'three')")
    with pytest.raises(Exception, match="few"):
        spark.sql(f"INSERT INTO delta.`{uri}` (id, y) VALUES (300, 'many')")
    spark.sql(f"ALTER TABLE delta.`{uri}` RENAME COLUMN y TO z")
    spark.sql(f"ALTER TABLE delta.`{uri}` ADD COLUMN more INT")
    smelt("table", "alter", uri, "ADD COLUMN last DATE")
    rows = [tuple(row)[:3] for row in spark.read.format("delta").load(uri).orderBy("id").collect()]
    assert rows == [(None, decimal.Decimal("1.00"), "2022-04-01"),
                    (None, decimal.Decimal("2.00"), "2022-04-02"), (7, decimal.Decimal("3.25"), "three")]
    assert [row["id"] for row in smelt.sql(f"SELECT id, z, more, last FROM '{uri}' ORDER BY id")] == [1, 2, 3.25]


def test_clustered_tables_of_spark(smelt, spark, lake):
    """By the columns that Spark says, and Spark goes on with the table."""
    uri = str(lake / "shop" / "sales")
    spark.sql(f"CREATE TABLE delta.`{uri}` (day INT, name STRING, amount BIGINT) USING delta "
              "CLUSTER BY (day, name)")
    spark.sql(f"INSERT INTO delta.`{uri}` SELECT CAST(id * 7 % 31 AS INT), "
              "concat('n', id * 131 % 997), id FROM range(20000)")

    def answer(where="true"):
        return tuple(spark.read.format("delta").load(uri).where(where)
                     .selectExpr("count(*)", "sum(amount)").collect()[0])

    few = answer("day = 7 AND name < 'n5'")
    assert answer() == (20000, 19999 * 10000) and few[0] > 100
    told = smelt.json("table", "cluster", uri, "--json")
    assert told["by"] == ["day", "name"] and told["rows"] == 20000
    assert answer() == (20000, 19999 * 10000) and answer("day = 7 AND name < 'n5'") == few
    spark.sql(f"INSERT INTO delta.`{uri}` VALUES (1, 'spark', 0)")
    spark.sql(f"OPTIMIZE delta.`{uri}`")
    assert answer() == (20001, 19999 * 10000)
    adds = spark.read.json(f"{uri}/_delta_log/*.json").where("add IS NOT NULL")
    assert "smelt" in {row[0] for row in adds.selectExpr("add.clusteringProvider").collect()}
    smelt("table", "fsck", uri, "--data")


def test_spark_reads_log_compaction_files(smelt, spark, tmp_path):
    """It reads them in place of the commits: here one of these is damaged. And it writes behind them."""
    uri = tmp_path / "t"
    smelt("sql", "--write", f"CREATE TABLE '{uri}' AS SELECT 0 AS id")
    smelt("sql", "--write", f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = 100)")
    for n in range(2, 14):
        sql = f"DELETE FROM '{uri}' WHERE id = 2" if n == 4 else f"INSERT INTO '{uri}' SELECT {n} AS id"
        smelt("sql", "--write", sql)
    assert (uri / f"_delta_log/{1:020}.{10:020}.compacted.json").exists()
    commit = uri / f"_delta_log/{5:020}.json"
    text = commit.read_text()
    commit.write_text("damaged")
    wanted = [0, 3, *range(5, 14)]
    assert sorted(row[0] for row in spark.sql(f"SELECT id FROM delta.`{uri}`").collect()) == wanted
    commit.write_text(text)
    spark.sql(f"INSERT INTO delta.`{uri}` VALUES (99)")
    assert [row["id"] for row in smelt.sql(f"SELECT id FROM '{uri}'")] == [*wanted, 99]


def test_spark_reads_checkpoints_with_sidecars(smelt, spark, tmp_path):
    """All that it can know of the first versions is in smelt's checkpoint: the commits are gone."""
    uri = tmp_path / "t"
    smelt("sql", "--write", f"CREATE TABLE '{uri}' AS SELECT 0 AS id")
    smelt("sql", "--write", f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = 5, "
          "'delta.checkpointPolicy' = 'v2')")
    for n in range(2, 8):
        sql = f"DELETE FROM '{uri}' WHERE id = 2" if n == 4 else f"INSERT INTO '{uri}' SELECT {n} AS id"
        smelt("sql", "--write", sql)
    log = uri / "_delta_log"
    assert (log / f"{5:020}.checkpoint.parquet").exists() and len([*log.glob("_sidecars/*.parquet")]) == 2
    for version in range(5):
        (log / f"{version:020}.json").unlink()
    wanted = [0, 3, 5, 6, 7]
    assert sorted(row[0] for row in spark.sql(f"SELECT id FROM delta.`{uri}`").collect()) == wanted
    for n in range(8, 12):  # it writes a checkpoint of its own
        spark.sql(f"INSERT INTO delta.`{uri}` VALUES ({n})")
        wanted.append(n)
    assert [*log.glob(f"{10:020}.checkpoint.*.json")]
    assert sorted(row["id"] for row in smelt.sql(f"SELECT id FROM '{uri}'")) == wanted
    assert sorted(row[0] for row in spark.sql(f"SELECT id FROM delta.`{uri}`").collect()) == wanted


BESIDE = {
    "rowTracking": "'delta.enableRowTracking' = 'true'",
    "inCommitTimestamp": "'delta.enableInCommitTimestamps' = 'true'",
    "v2Checkpoint": "'delta.checkpointPolicy' = 'v2'",
}


@pytest.mark.parametrize("feature", BESIDE)
def test_smelt_and_spark_write_by_turns(smelt, spark, tmp_path, feature):
    """Tables of Spark with a feature that asks something of each commit, past a checkpoint of each."""
    uri = tmp_path / "t"
    table = f"delta.`{uri}`"

    def check(wanted):
        assert sorted(row["id"] for row in smelt.sql(f"SELECT id FROM delta_scan('{uri}')")) == wanted
        assert sorted(row[0] for row in spark.sql(f"SELECT id FROM {table}").collect()) == wanted

    spark.sql(f"CREATE TABLE {table} (id BIGINT, s STRING) USING delta TBLPROPERTIES ({BESIDE[feature]}, "
              "'delta.checkpointInterval' = '3')")
    spark.sql(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    smelt("sql", "--write", f"INSERT INTO '{uri}' SELECT 3 AS id, 'c' AS s UNION ALL SELECT 4, 'd'")
    check([1, 2, 3, 4])
    spark.sql(f"UPDATE {table} SET s = 'z' WHERE id = 1")
    smelt("sql", "--write", f"INSERT INTO '{uri}' SELECT 5 AS id, 'e' AS s")
    smelt("sql", "--write", f"DELETE FROM '{uri}' WHERE id IN (3, 4)")
    spark.sql(f"INSERT INTO {table} VALUES (6, 'f')")
    smelt("table", "restore", uri, "--version", "5")
    check([1, 2, 5])
    spark.sql(f"INSERT INTO {table} VALUES (7, 'g')")
    check([1, 2, 5, 7])
    newest = max(int(path.stem) for path in (uri / "_delta_log").glob("0*.json") if path.stem.isdigit())
    if feature == "rowTracking":
        rows = spark.sql(f"SELECT id, _metadata.row_id AS i, _metadata.row_commit_version AS v FROM {table}").collect()
        found = {row["id"]: (row["i"], row["v"]) for row in rows}
        assert len({i for i, _ in found.values()}) == 4
        assert found[5][1] == 4 and found[7][1] == newest  # the versions that brought these rows
        smelt("sql", "--write", f"UPDATE '{uri}' SET s = 'y' WHERE id = 1")
        after = spark.sql(f"SELECT id, _metadata.row_id AS i, _metadata.row_commit_version AS v FROM {table}").collect()
        assert {row["id"]: (row["i"], row["v"]) for row in after} == {**found, 1: (found[1][0], newest + 1)}
    if feature == "inCommitTimestamp":
        times = [row["timestamp"] for row in
                 spark.sql(f"DESCRIBE HISTORY {table}").orderBy("version").collect()]
        assert times == sorted(set(times)) and len(times) == newest + 1
        told = json.loads((uri / f"_delta_log/{4:020}.json").read_text().splitlines()[0])
        when = told["commitInfo"]["inCommitTimestamp"]
        text = datetime.datetime.fromtimestamp(when / 1000, datetime.timezone.utc).isoformat()
        ids = spark.sql(f"SELECT id FROM {table} TIMESTAMP AS OF '{text}'").collect()
        assert sorted(row[0] for row in ids) == [1, 2, 3, 4, 5]
        assert len(smelt.sql(f"SELECT id FROM delta_scan('{uri}', timestamp => '{text}')")) == 5


VARIANTS = """SELECT id, parse_json(t) AS v FROM VALUES (1, '{"a": 1, "b": "x", "c": [1, 2.5, null, true]}'),
    (2, '[1, "two", {"three": 1e300}]'), (3, NULL), (4, 'null'), (5, '"é\\\\\\\\"'), (6, '{"a": "text", "z": {}}'),
    (7, '{"a": 7, "b": null}'), (8, '12.50'), (9, '99999999999999999999.125') AS r(id, t)
    UNION ALL SELECT 10, CAST(DATE'2022-04-01' AS VARIANT) UNION ALL SELECT 11, CAST(X'0102' AS VARIANT)
    UNION ALL SELECT 12, CAST(TIMESTAMP'2022-04-01 17:05:00.5Z' AS VARIANT)
    UNION ALL SELECT 13, CAST(TIMESTAMP_NTZ'2022-04-01 17:05:00' AS VARIANT)
    UNION ALL SELECT 14, CAST(0.00BD AS VARIANT) UNION ALL SELECT 15, CAST(FLOAT('1.5') AS VARIANT)"""


@pytest.mark.parametrize("is_shredded", [False, True])
def test_variants_of_spark_are_their_json(smelt, spark, tmp_path, is_shredded):
    uri = tmp_path / "t"
    table = f"delta.`{uri}`"
    settings = {"spark.sql.variant.writeShredding.enabled": "true",
                "spark.sql.variant.forceShreddingSchemaForTest": "a INT, b STRING"} if is_shredded else {}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        more = ", 'delta.enableVariantShredding' = 'true'" if is_shredded else ""
        spark.sql(f"CREATE TABLE {table} (id INT, v VARIANT) USING delta TBLPROPERTIES ('a' = 'b'{more})")
        spark.sql(f"INSERT INTO {table} {VARIANTS}")
    finally:
        for key in settings:
            spark.conf.unset(key)
    wanted = {row["id"]: row["j"] for row in spark.sql(f"SELECT id, to_json(v) AS j FROM {table}").collect()}
    found = {row["id"]: row["v"] for row in smelt.sql(f"SELECT id, v FROM delta_scan('{uri}')")}
    assert len(wanted) == 15
    for key, text in wanted.items():
        if key == 2:  # Spark writes 1.0E300
            assert json.loads(found[key]) == json.loads(text)
        else:
            assert found[key] == text, key
    done = smelt("sql", "--write", f"INSERT INTO '{uri}' SELECT 1 AS id, 'x' AS v", check=False)
    assert done.returncode == 1 and "variant" in done.stderr
