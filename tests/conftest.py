"""Fixtures of all Python tests.

smelt         the program, run in a folder of the test's own; `program`: the same for fixtures
lake          an empty lake
conformance   the folder of the conformance data
delta_peers   {name: read} for the peers of this environment; read(uri, version=None) gives the rows of
              the table as dicts of Python values, in no order
duckdb_delta  query(sql) in DuckDB with its Delta reader: rows as tuples
spark         a SparkSession with Delta (only for tests marked jvm)
containers    buildah and podman with a minimal Debian (only for tests marked deploy or airflow)
image         the image of deploy/Dockerfile in there, by its name
minio         a MinIO with a bucket "lake", shared by tests that need no server of their own
"""
import functools
import importlib.metadata
import os
import pathlib
import platform

import pytest

import containers as engine_of_containers
import engines
import s3
from common import ROOT, Smelt, smelt_path

PEERS = ["duckdb", "polars", "deltalake", "pyarrow", "pyspark", "delta-spark"]


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def pytest_report_header(config):
    peers = [f"{name} {version_of(name)}" for name in PEERS if version_of(name)]
    return [f"smelt: {smelt_path()}", f"peers: {', '.join(peers) or 'none'}",
            f"python: {platform.python_version()}"]


@pytest.fixture(scope="session", autouse=True)
def history(tmp_path_factory):
    """Runs of the tests are kept in a folder of the session, not beside the pipelines that it runs."""
    os.environ.setdefault("SMELT_STATE", str(tmp_path_factory.mktemp("history") / ".smelt"))


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The program, for fixtures that many tests share."""
    path = smelt_path()
    if not path.exists():
        pytest.fail(f"no program at {path}: run `make build` or set SMELT_BIN")
    return Smelt(path, tmp_path_factory.mktemp("program"))


@pytest.fixture
def smelt(program, tmp_path):
    """The program, run in a folder of the test's own."""
    return Smelt(program.path, tmp_path)


@pytest.fixture
def lake(tmp_path):
    """An empty lake."""
    folder = tmp_path / "lake"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def conformance():
    """The folder of the conformance data."""
    folder = pathlib.Path(os.environ.get("SMELT_CONFORMANCE", ROOT / "../shared/conformance"))
    if not (folder / "README.md").exists():
        pytest.skip(f"SMELT_CONFORMANCE: no data at {folder}")
    return folder.resolve()


@pytest.fixture(scope="session")
def duckdb_delta():
    server = engines.DuckdbDelta()
    yield server
    server.close()


@pytest.fixture(scope="session")
def delta_peers(duckdb_delta):
    return {"deltalake": engines.read_with_deltalake, "polars": engines.read_with_polars,
            "duckdb": functools.partial(engines.read_with_duckdb, duckdb_delta)}


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    session = engines.start_spark(tmp_path_factory.mktemp("spark"))
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


@pytest.fixture(scope="session")
def containers(tmp_path_factory):
    engine_of_containers.require()
    one = engine_of_containers.Engine(tmp_path_factory.mktemp("containers"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def image(containers):
    containers.build("smelt", "deploy/Dockerfile")
    return "smelt"
