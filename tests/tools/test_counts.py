"""tools/test counts every case of every runner, and counts nothing as passed that did not pass. It puts
the files of tests into memory where that has room."""
import importlib.machinery
import importlib.util
import os
import pathlib

import pytest

from common import ROOT


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.delenv("SMELT_REQUIRE_CONFORMANCE", raising=False)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("smelt_test_runner", str(ROOT / "tools" / "test"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


CASES = """\
[==========] Running 4 test(s).
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] reads_golden

 1 SKIPPED TEST(S)
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] adds

 1 FAILED TEST(S)
"""
PASSED = "[==========] Running 3 test(s).\n[  PASSED  ] 3 test(s).\n"

# meson's result, the program's output, passed, failed, skipped
RECORDS = [
    ("FAIL", CASES, 2, 1, 1),
    ("OK", PASSED, 3, 0, 0),
    ("FAIL", PASSED + "SUMMARY: AddressSanitizer: 8 byte(s) leaked\n", 3, 1, 0),
    ("OK", "no cmocka\n", 1, 0, 0),
    ("FAIL", "", 0, 1, 0),
    ("TIMEOUT", PASSED, 3, 1, 0),
    ("ERROR", "", 0, 1, 0),
    ("SKIP", "SMELT_CONFORMANCE: no data\n", 0, 0, 1),
]


@pytest.mark.parametrize("result, output, passed, failed, skipped", RECORDS)
def test_a_program_is_counted_by_its_cases(runner, result, output, passed, failed, skipped):
    count = runner.Count()
    runner.count_program(count, "x_test", {"result": result, "stdout": "", "stderr": output})
    assert (count.passed, count.failed, len(count.skips)) == (passed, failed, skipped)


def test_the_closing_line_stands_alone_at_the_end(runner, capsys):
    count = runner.Count()
    count.add("a", passed=2)
    count.add("b", failed=1)
    count.add("c", skips=["no IPv6"])
    assert count.close() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["failed: b", "skipped: c: no IPv6", "2 passed, 1 failed, 1 skipped"]


def test_all_passed_is_success_and_nothing_is_not(runner):
    count = runner.Count()
    assert count.close() == 1
    count.add("a", passed=1)
    assert count.close() == 0


@pytest.mark.parametrize("name, reason, failed", [
    ("build parquet (conformance)", "", 1),
    ("tests.peers.test_peers.test_a", "SMELT_CONFORMANCE: no data at x", 1),
    ("tests.cli.test_b", "needs root", 0),
])
def test_a_skip_for_the_conformance_data_can_be_a_failure(runner, monkeypatch, name, reason, failed):
    monkeypatch.setenv("SMELT_REQUIRE_CONFORMANCE", "1")
    count = runner.Count()
    count.add(name, skips=[reason])
    assert (count.failed, len(count.skips)) == (failed, 1 - failed)


def test_a_command_that_is_not_there_is_a_failed_step(runner):
    count = runner.Count()
    assert not runner.step(count, "none", ["/nowhere/none"])
    assert count.failed == 1


@pytest.mark.parametrize("folder, marks", [("tests/none", ""), ("tests/tools", "jvm")])
def test_pytest_without_a_test_is_a_failure(runner, folder, marks):
    count = runner.Count()
    runner.pytest(count, "of nothing", "peers", [folder], marks, {})
    assert (count.passed, count.failed, count.failures) == (0, 1, ["pytest of nothing"])


def test_files_are_in_memory_and_gone_at_the_end(runner, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(runner, "ROOM_BYTES", 1)
    with runner.in_memory():
        folder = pathlib.Path(os.environ["TMPDIR"])
        assert folder.parent == pathlib.Path("/dev/shm")
        (folder / "file").write_text("x")
    assert "TMPDIR" not in os.environ and not folder.exists()


@pytest.mark.parametrize("place, room", [("/nowhere", 1), (None, 1 << 60)])
def test_files_stay_where_the_user_or_the_room_wants_them(runner, monkeypatch, place, room):
    monkeypatch.delenv("TMPDIR", raising=False)
    if place:
        monkeypatch.setenv("TMPDIR", place)
    monkeypatch.setattr(runner, "ROOM_BYTES", room)
    with runner.in_memory():
        assert os.environ.get("TMPDIR") == place
    assert os.environ.get("TMPDIR") == place


def test_each_folder_is_run_once_and_all_is_counted(runner, monkeypatch):
    """A folder that is new needs no line in the runner."""
    ran = []

    def pytest(count, title, environment, folders, marks, env, is_beside=False):
        ran.append((title.split()[0], folders))
        count.add(title, passed=2, failed=1, skips=["why"])

    monkeypatch.setattr(runner, "pytest", pytest)
    count = runner.Count()
    runner.python_tests(count)
    with_tests = {str(path.parent.relative_to(ROOT)) for pattern in ("test_*.py", "*.test")
                  for path in (ROOT / "tests").rglob(pattern)}
    release = [folder for title, folders in ran if title == "release" for folder in folders]
    assert sorted(release) == sorted(with_tests)
    assert ("asan", ["tests/cli", "tests/sql"]) in ran and ("tsan", ["tests/network"]) in ran
    assert (count.passed, count.failed, len(count.skips)) == (2 * len(ran), len(ran), len(ran))
