"""The peers themselves: each has the pinned version and reads a table of somebody else as its
published answer says. Tests of smelt against a peer mean something only after this."""
import hashlib
import importlib.metadata
import json
import re

import pytest

from common import ROOT

PINS = ROOT / "tests" / "peers"
TABLE = "basic-decimal-table"


def pinned(file, package):
    return re.search(rf"^{package}==(\S+)", (PINS / file).read_text(), re.M).group(1)


@pytest.mark.parametrize("package", ["duckdb", "polars", "deltalake", "pyarrow", "pytest"])
def test_version_is_the_pinned_one(package):
    assert importlib.metadata.version(package) == pinned("requirements.txt", package)


def test_version_of_duckdb_with_delta_is_the_pinned_one(duckdb_delta):
    wanted = pinned("requirements-duckdb-delta.txt", "duckdb")
    assert duckdb_delta.query("SELECT version()") == [("v" + wanted,)]


def sha256_of_rows(rows):
    """As the conformance data defines it, for columns of decimals."""
    lines = sorted(",".join(f"{value:f}" for value in row.values()).encode() for row in rows)
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def published_hash(conformance):
    expected = json.loads((conformance / "delta-golden" / "expected.json").read_text())
    entries = [entry for entry in expected["entries"] if entry["path"] == TABLE]
    return entries[0]["sha256"]


@pytest.mark.parametrize("peer", ["deltalake", "polars", "duckdb"])
def test_peer_reads_a_golden_table(conformance, delta_peers, peer):
    rows = delta_peers[peer](conformance / "delta-golden" / TABLE)
    assert len(rows) == 4
    columns = sorted(rows[0], key=["part", "col1", "col2", "col3"].index)
    ordered = [{name: row[name] for name in columns} for row in rows]
    assert sha256_of_rows(ordered) == published_hash(conformance)


def test_duckdb_says_what_it_cannot_do(duckdb_delta, tmp_path):
    with pytest.raises(RuntimeError, match="DuckDB: "):
        duckdb_delta.query(f"SELECT * FROM delta_scan('{tmp_path}/none')")
