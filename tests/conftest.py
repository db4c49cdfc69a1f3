"""Fixtures of all Python tests: the program, a lake to write to, the conformance data, the peers."""
import importlib.metadata
import os
import pathlib
import platform

import pytest

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
