"""The gate fails when it must: without the conformance data, with a failed goal, with a goal that
counted nothing."""
import os
import shutil
import subprocess

import pytest

from common import ROOT


def run_ci(tmp_path, makefile, data=True):
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    (clone / "Makefile").write_text(makefile)
    folder = tmp_path / "conformance"
    if data:
        folder.mkdir()
        (folder / "README.md").write_text("data\n")
    env = {**os.environ, "SMELT_CONFORMANCE": str(folder), "MAKEFLAGS": ""}
    return subprocess.run([clone / ".ci" / "run"], env=env, capture_output=True, text=True)


GOOD = "test:\n\t@echo '3 passed, 0 failed, 1 skipped'\ninterop:\n\t@echo '2 passed, 0 failed, 0 skipped'\n"


def test_both_goals_are_counted_together(tmp_path):
    done = run_ci(tmp_path, GOOD)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "5 passed, 0 failed, 1 skipped"


def test_without_the_data_nothing_runs(tmp_path):
    done = run_ci(tmp_path, GOOD, data=False)
    assert done.returncode == 1
    assert "no conformance data" in done.stderr


@pytest.mark.parametrize("makefile, closing", [
    (GOOD.replace("3 passed, 0 failed", "3 passed, 1 failed"), "5 passed, 1 failed, 1 skipped"),
    (GOOD.replace("@echo '2 passed, 0 failed, 0 skipped'", "@true"), "3 passed, 1 failed, 1 skipped"),
    (GOOD + "\t@false\n", "5 passed, 0 failed, 1 skipped"),
])
def test_a_failure_of_either_fails_the_gate(tmp_path, makefile, closing):
    done = run_ci(tmp_path, makefile)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == closing


def test_the_data_is_required_of_the_tests(tmp_path):
    makefile = GOOD.replace("@echo '3", "@test \"$$SMELT_REQUIRE_CONFORMANCE\" = 1 && echo '3")
    assert run_ci(tmp_path, makefile).returncode == 0
