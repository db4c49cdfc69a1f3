"""The other engines: DuckDB with its Delta reader, delta-rs, Polars, Spark. They read what smelt
writes and write what it reads. The fixtures `duckdb_delta`, `delta_peers` and `spark` start
them."""
import os
import pathlib
import pickle
import subprocess

from common import ROOT

# Runs in the environment that has DuckDB's Delta reader: one query in, pickled rows out, until the
# input ends. The extension lies in a package beside, so nothing is fetched.
DUCKDB_SERVER = """
import pickle, pathlib, sys
import duckdb, duckdb_extension_delta, duckdb_extension_httpfs
connection = duckdb.connect(config={"autoinstall_known_extensions": False})
connection.execute("SET enable_progress_bar = false")  # of slow queries, on stdout among the answers
for package in (duckdb_extension_httpfs, duckdb_extension_delta):
    extension = next(pathlib.Path(package.__file__).parent.rglob("*.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")

def plain(relation):
    # An instant as Python's needs a package of time zones; as a time in UTC it does not.
    names = ['"' + name.replace('"', '""') + '"' for name in relation.columns]
    return ", ".join(f"timezone('UTC', {name}) AS {name}" if "TIME ZONE" in str(kind) else name
                     for name, kind in zip(names, relation.types))
while True:
    try:
        sql = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        relation = connection.sql(sql)  # None of a SET, or a PRAGMA
        answer = (relation.columns, relation.project(plain(relation)).fetchall()) if relation else ([], [])
    except duckdb.Error as error:
        answer = str(error)
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def environment(name):
    """The folder that `tools/setup` made for an environment."""
    done = subprocess.run([ROOT / "tools" / "setup", "path", name], capture_output=True, text=True,
                          check=True)
    return pathlib.Path(done.stdout.strip())


class DuckdbDelta:
    """query(sql) in DuckDB with its Delta reader: rows as tuples."""

    def __init__(self):
        python = environment("duckdb-delta") / "bin" / "python"
        self.process = subprocess.Popen([python, "-c", DUCKDB_SERVER], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def columns_and_rows(self, sql):
        pickle.dump(sql, self.process.stdin)
        self.process.stdin.flush()
        answer = pickle.load(self.process.stdout)
        if isinstance(answer, str):
            raise RuntimeError(f"DuckDB: {answer}")
        return answer

    def query(self, sql):
        return self.columns_and_rows(sql)[1]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def read_with_deltalake(uri, version=None):
    import deltalake
    import pyarrow

    # By its own engine: its way through pyarrow reads negative decimals of partitions wrongly.
    table = deltalake.DeltaTable(str(uri), version=version)
    query = deltalake.QueryBuilder().register("t", table).execute("SELECT * FROM t")
    return pyarrow.table(query.read_all()).to_pylist()


def read_with_polars(uri, version=None):
    import polars

    return polars.read_delta(str(uri), version=version).to_dicts()


def read_with_duckdb(server, uri, version=None):
    at = f", version => {version}" if version is not None else ""
    columns, rows = server.columns_and_rows(f"SELECT * FROM delta_scan('{uri}'{at})")
    return [dict(zip(columns, row)) for row in rows]


# What Spark must not load: jars of Spark's own dependencies in other versions.
SPARK_JARS = ("delta-", "unitycatalog-", "hadoop-aws", "analyticsaccelerator", "wildfly-openssl",
              "netty-", "http", "reactive-streams", "eventstream")


def start_spark(home, more_jars=(), more_settings=None):
    """A SparkSession with Delta, whose files are in `home`. Needs a JVM."""
    from pyspark.sql import SparkSession

    jars = [str(jar) for jar in sorted(environment("jars").glob("*.jar"))
            if jar.name.startswith(SPARK_JARS) or jar.stem.endswith("-2.35.4")]
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.jars": ",".join(jars + [str(jar) for jar in more_jars]),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.local.dir": str(home / "local"),
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        **(more_settings or {}),
    }
    builder = SparkSession.builder.master("local[2]").appName("smelt-tests")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
