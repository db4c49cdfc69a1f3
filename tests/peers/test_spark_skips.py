"""How much Spark reads for a query on one customer, before and after the table is clustered: its files and rows as
the metrics of its scan tell, and the row groups that parquet-mr, its Parquet library, keeps of these files by the
filter. (smelt and DuckDB: test_skipped_groups.py.)"""
import pytest

from skipped_groups import DAYS, LEAST_SKIPPED, ViewingLog

pytestmark = pytest.mark.jvm


@pytest.fixture
def plain_spark(spark):
    """Spark whose plans are as they were made, with no stage that hides the one below it."""
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    yield spark
    spark.conf.unset("spark.sql.adaptive.enabled")


def scan_of(plan):
    if plan.getClass().getSimpleName() == "FileSourceScanExec":
        return plan
    children = plan.children()
    found = [scan_of(children.apply(i)) for i in range(children.size())]
    return next((scan for scan in found if scan), None)


class Reader:
    """What Spark says of queries over one table."""

    def __init__(self, spark, log):
        self.spark, self.log, self.jvm = spark, log, spark.sparkContext._jvm

    def read(self, where, by_pages=False):
        """The answer, and of its scan: files, rows. by_pages: pages are left out too, not only row groups."""
        self.spark.sparkContext._jsc.hadoopConfiguration().set("parquet.filter.columnindex.enabled",
                                                               str(by_pages).lower())
        frame = (self.spark.read.format("delta").load(str(self.log.uri)).where(where)
                 .selectExpr("count(*)", "sum(TotalDuration)"))
        answer = tuple(frame.collect()[0])
        metrics = scan_of(frame._jdf.queryExecution().executedPlan()).metrics()
        return answer, metrics.apply("numFiles").value(), metrics.apply("numOutputRows").value()

    def groups(self, contract=None):
        """How many row groups parquet-mr keeps of the table's files, and the rows in them."""
        java, hadoop = self.jvm, self.spark.sparkContext._jsc.hadoopConfiguration()
        options = java.org.apache.parquet.HadoopReadOptions.builder(hadoop)
        if contract:
            api = java.org.apache.parquet.filter2.predicate.FilterApi
            equal = api.eq(api.binaryColumn("Contract"), java.org.apache.parquet.io.api.Binary.fromString(contract))
            options = options.withRecordFilter(java.org.apache.parquet.filter2.compat.FilterCompat.get(equal))
        n_groups = n_rows = 0
        for path in self.spark.read.format("delta").load(str(self.log.uri)).inputFiles():
            file = java.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(
                java.org.apache.hadoop.fs.Path(path), hadoop)
            reader = java.org.apache.parquet.hadoop.ParquetFileReader.open(file, options.build())
            n_groups += reader.getRowGroups().size()
            n_rows += reader.getRecordCount()
            reader.close()
        return n_groups, n_rows


def test_most_row_groups_are_left_out(program, plain_spark, tmp_path):
    log = ViewingLog(program, tmp_path)
    reader, one = Reader(plain_spark, log), f"Contract = '{log.contract}'"
    told = {}
    for when in ("before", "after"):
        answer, files, rows = reader.read(one)
        assert answer == (log.rows, log.seconds)
        _, all_files, all_rows = reader.read("true")
        told[when] = {"files": (files, all_files), "rows": (rows, all_rows),
                      "rows of pages": reader.read(one, by_pages=True)[2],
                      "row groups": (reader.groups(log.contract)[0], reader.groups()[0])}
        assert rows == reader.groups(log.contract)[1]  # the row groups that it keeps are those that Spark reads
        if when == "before":
            log.cluster()
    print(f"\nread of (one customer, the whole table): {told}")
    assert told["before"]["files"] == told["before"]["row groups"] == (DAYS, DAYS)
    few, groups = told["after"]["row groups"]
    assert groups > 100 and few <= (1 - LEAST_SKIPPED) * groups, told
    few, rows = told["after"]["rows"]
    assert few <= (1 - LEAST_SKIPPED) * rows and told["after"]["rows of pages"] <= few, told
    few, files = told["after"]["files"]
    assert few <= files / 2, told
