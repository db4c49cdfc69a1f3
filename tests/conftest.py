"""Fixtures of all Python tests: the program, a lake to write to, the conformance data, the peers."""
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
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


def smelt_path():
    return pathlib.Path(os.environ.get("SMELT_BIN", ROOT / "build" / "smelt")).resolve()


class Smelt:
    """The program under test: smelt("sql", "SELECT 1") gives a CompletedProcess with text output."""

    def __init__(self, path, cwd):
        self.path = path
        self.cwd = cwd

    def __call__(self, *args, check=True, env=None, cwd=None, timeout=120, **kwargs):
        """check: fail the test, with stderr in the report, where the exit code is not 0."""
        command = [str(self.path), *map(str, args)]
        done = subprocess.run(command, cwd=cwd or self.cwd, env={**os.environ, **(env or {})},
                              timeout=timeout, capture_output=True, text=True, **kwargs)
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return done

    def json(self, *args, **kwargs):
        """The one JSON value that the command prints."""
        return json.loads(self(*args, **kwargs).stdout)

    def sql(self, text, *args, **kwargs):
        """The rows of a query, as a list of dicts."""
        return self.json("sql", text, "--format", "json", *args, **kwargs)


@pytest.fixture
def smelt(tmp_path):
    """The program, run in a folder of the test's own."""
    path = smelt_path()
    if not path.exists():
        pytest.fail(f"no program at {path}: run `make build` or set SMELT_BIN")
    return Smelt(path, tmp_path)


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
