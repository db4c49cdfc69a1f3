"""The runner of tests/sql finds each kind of mistake: a wrong answer of smelt, a wrong answer in
the file, an error without its place, an answer that depends on threads."""
import os
import shutil
import subprocess
import sys

import pytest

from common import ROOT

RIGHT = "== query\nSELECT 1 AS a, NULL AS b\n----\na,b\n1,\n"


def run_case(tmp_path, case, says, code=0):
    """Runs a case file against a program that prints `says` (stderr where code is not 0)."""
    shutil.copy(ROOT / "tests/sql/conftest.py", tmp_path)
    (tmp_path / "one.test").write_text("What it is about.\n\n" + case)
    program = tmp_path / "smelt"
    program.write_text(f"#!/bin/sh\nprintf '{says}' {'>&2' if code else ''}\nexit {code}\n")
    program.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "SMELT_BIN": str(program)}
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           tmp_path], env=env, cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.parametrize("case, says, code", [
    (RIGHT, "a,b\\n1,\\n", 0),
    ("== query\nSELECT NULL AS a\n----\na\n\n", "a\\n\\n", 0),
    ("== query unordered\nSELECT unnest([1, 2]) AS a\n----\na\n2\n1\n", "a\\n1\\n2\\n", 0),
    ("== query not duckdb: says two\nSELECT 1 AS a\n----\na\n2\n", "a\\n2\\n", 0),
    ("== error 1\nSELECT x\n----\n\"x\"\n1:8\n", "no column \"x\"\\n  at query:1:8\\n", 1),
])
def test_right_passes(tmp_path, case, says, code):
    done = run_case(tmp_path, case, says, code)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("case, says, code, why", [
    (RIGHT, "a,b\\n2,\\n", 0, "smelt with 1 threads gives"),
    (RIGHT, "a,b\\n1,\"\"\\n", 0, "smelt with 1 threads gives"),  # an empty text is no NULL
    (RIGHT, "a,b\\n1,\\n1,\\n", 0, "smelt with 1 threads gives"),
    (RIGHT, "broken", 1, "exit code 1"),
    (RIGHT, "a,b\\n'$SMELT_THREADS',\\n", 0, "smelt with 3 threads gives"),
    ("== query\nSELECT 1 AS a\n----\na\n2\n", "a\\n2\\n", 0, "DuckDB gives"),
    ("== query\nSELECT unnest([1, 2]) AS a\n----\na\n1\n2\n", "a\\n2\\n1\\n", 0, "smelt with 1"),
    ("== error 1\nSELECT x\n----\n\"x\"\n1:8\n", "no column \"x\"\\n", 1, "stderr lacks ['1:8']"),
    ("== error 1\nSELECT x\n----\n", "no column\\n", 1, "stderr lacks"),
    ("== error 1\nSELECT x\n----\n\"x\"\n", "no \"x\"\\n", 2, "exit code 2, not 1"),
    ("== error 1\nSELECT 1 AS a\n----\nno\n", "no\\n", 1, "DuckDB does not refuse it"),
    ("== querry\nSELECT 1\n----\n1\n", "1\\n", 0, "no block"),
    ("nothing\n", "", 0, "no block"),
])
def test_wrong_fails(tmp_path, case, says, code, why):
    done = run_case(tmp_path, case, says, code)
    assert done.returncode != 0
    assert why in done.stdout
