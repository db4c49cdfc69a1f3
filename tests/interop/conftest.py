"""Fixtures of the peers: other engines that read what smelt writes and write what it reads.

delta_peers   {name: read} of the peers of this environment; read(uri, version=None) gives the
              table's rows as dicts of Python values, in no order
duckdb_delta  query(sql) in DuckDB with its Delta reader: rows as tuples
spark         a SparkSession with Delta (tests marked jvm only)
minio         a MinIO with a bucket "lake", for all tests that need no server of their own
"""
import importlib.util
import os
import pathlib
import pickle
import subprocess

import pytest

import s3
from common import ROOT

# Spark has an environment without the other peers: what imports them at its head stays out there.
if importlib.util.find_spec("pyarrow") is None:
    collect_ignore = [path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")
                      if path.name not in ("test_spark.py", "test_peers.py")]

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
        relation = connection.sql(sql)
        answer = relation.columns, relation.project(plain(relation)).fetchall()
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


@pytest.fixture(scope="session")
def duckdb_delta():
    server = DuckdbDelta()
    yield server
    server.close()


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


@pytest.fixture(scope="session")
def delta_peers(duckdb_delta):
    def read_with_duckdb(uri, version=None):
        at = f", version => {version}" if version is not None else ""
        columns, rows = duckdb_delta.columns_and_rows(f"SELECT * FROM delta_scan('{uri}'{at})")
        return [dict(zip(columns, row)) for row in rows]

    return {"deltalake": read_with_deltalake, "polars": read_with_polars,
            "duckdb": read_with_duckdb}


# What Spark must not load: jars of Spark's own dependencies in other versions.
SPARK_JARS = ("delta-", "unitycatalog-", "hadoop-aws", "analyticsaccelerator", "wildfly-openssl",
              "netty-", "http", "reactive-streams", "eventstream")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from pyspark.sql import SparkSession

    home = tmp_path_factory.mktemp("spark")
    jars = [str(jar) for jar in sorted(environment("jars").glob("*.jar"))
            if jar.name.startswith(SPARK_JARS) or jar.stem.endswith("-2.35.4")]
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.jars": ",".join(jars),
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
    }
    builder = SparkSession.builder.master("local[2]").appName("smelt-tests")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    s3.require()
    one = s3.Server("minio", tmp_path_factory.mktemp("minio") / "data")
    try:
        one.make_bucket("lake")
        yield one
    finally:
        one.stop()
