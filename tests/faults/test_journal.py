"""All tables of a run become visible, or none. The program is killed or stopped at each of its
writes, while others read, write through smelt, and write with delta-rs, which does not know the
journal.

Method   Uses the scenarios of changed_logs.py: a lake of three tables, and a change of the logs. The
         readers of smelt must see all tables as they were before the run, or all as an undisturbed run
         leaves them."""
import hashlib
import json
import os
import shutil
import signal
import subprocess

import pyarrow as pa
import pytest

from appended_lines import TABLES
from changed_logs import (SCENARIOS, rows_by_deltalake, rows_by_smelt, run_other, scenario_of, seen)

KILLS = int(os.environ.get("SMELT_KILLS", 8))


def tree_of(folder):
    """What is in it, by name and content."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


class Watched:
    """A scenario whose lake can be seen before and after."""

    def __init__(self, name, program, folder):
        self.program, self.scenario, self.lake = program, scenario_of(name, program, folder), folder / "lake"
        self.old = seen(program, self.scenario.start)
        self.new = seen(program, folder / "undisturbed")
        assert self.old != self.new

    def other_run(self, folder):
        """Another pipeline's run into the lake; what it tells."""
        return run_other(self.program, folder, self.scenario.logs, self.lake).stderr

    def begin(self, k, kind):
        """The run, started with that fault at its k-th write."""
        shutil.rmtree(self.lake, ignore_errors=True)
        shutil.copytree(self.scenario.start, self.lake)
        return subprocess.Popen(
            [self.program.path, "run", self.scenario.pipeline, "--var", f"logs={self.scenario.logs}",
             "--var", f"lake={self.lake}", "--var", "month=2022-04", "--threads", "2"],
            stderr=subprocess.PIPE, text=True, cwd=self.program.cwd,
            env={**os.environ, "SMELT_FAULT": f"at={k},kind={kind},writes=1"})

    def state(self, what):
        """"old" or "new", as smelt's readers see all tables; nothing else is right."""
        found = seen(self.program, self.lake)
        assert found in (self.old, self.new), f"{what}: half of a publication is seen"
        return "new" if found == self.new else "old"


def spread(watched):
    """The k of the writes that a run has: some, and all of the last ones, which are the
    publication's."""
    n = watched.scenario.count("kill")
    step = max(1, n * 2 // KILLS)
    return sorted(set(range(1, n + 1, step)) | set(range(max(1, n - 9), n + 1)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_a_write(program, tmp_path, name):
    """Readers see all of it or nothing, and change nothing; the next run completes it."""
    watched = Watched(name, program, tmp_path)
    completed = 0
    for k in spread(watched):
        process = watched.begin(k, "kill")
        process.communicate(timeout=120)
        assert process.returncode == -9
        what = f"killed at write {k}"
        before = tree_of(watched.lake)
        watched.state(what)
        assert tree_of(watched.lake) == before, f"{what}: a reader has written"
        again = watched.scenario.run(watched.lake)
        completed += "a publication that was left open" in again.stderr
        assert watched.state(f"after {what}") == "new"
        for table in TABLES:
            assert rows_by_deltalake(watched.lake / table) == watched.scenario.new[table], what
    assert completed >= 3


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_slow_publisher(program, tmp_path, name):
    """It sleeps before a write; another run completes what it has begun, and publishes; it goes on."""
    watched = Watched(name, program, tmp_path)
    helped = 0
    for k in spread(watched):
        process = watched.begin(k, "stop")
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        what = f"stopped before write {k}"
        if not os.WIFSTOPPED(status):
            pytest.fail(f"{what}: it ended, {status}")
        watched.state(what)
        told = watched.other_run(tmp_path)
        state = watched.state(f"{what}, another run")
        helped += "a publication that was left open" in told
        os.kill(process.pid, signal.SIGCONT)
        error = process.communicate(timeout=120)[1]
        assert process.returncode in (0, 4), f"{what}: {process.returncode} {error}"
        assert state == "old" or process.returncode == 0, f"{what}: {error}"
        assert watched.state(f"{what}, gone on") == ("new" if process.returncode == 0 else "old")
        watched.scenario.run(watched.lake)
        assert watched.state(f"{what}, run again") == "new"
    assert helped >= 3


def delete_by_deltalake(table):
    import deltalake

    if rows_by_deltalake(table) is not None:
        deltalake.DeltaTable(str(table)).delete()


def append_by_deltalake(table):
    """A copy of one of its rows."""
    import deltalake

    if not rows_by_deltalake(table):
        return
    opened = deltalake.DeltaTable(str(table))
    rows = pa.table(deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t LIMIT 1").read_all())
    deltalake.write_deltalake(str(table), rows, mode="append")


@pytest.mark.parametrize("kind", ["append", "delete"])
def test_delta_rs_comes_between(program, tmp_path, kind):
    """Killed at each write, then delta-rs writes to the last table (or the first one): whoever comes
    next completes the publication, or takes all of it back; the tables that delta-rs left alone
    say which."""
    watched = Watched("append", program, tmp_path)
    outcomes = set()
    for k in spread(watched):
        process = watched.begin(k, "kill")
        process.communicate(timeout=120)
        what = f"{kind} after a kill at write {k}"
        state = watched.state(what)
        touched = "silver/totals"
        {"append": append_by_deltalake, "delete": delete_by_deltalake}[kind](watched.lake / touched)
        left = [table for table in TABLES if table != touched]
        found = seen(program, watched.lake)
        assert [found[table] for table in left] == [getattr(watched, state)[table] for table in left], what
        told = watched.other_run(tmp_path)
        found = seen(program, watched.lake)
        is_new = found[left[0]] == watched.new[left[0]]
        wanted = watched.new if is_new else watched.old
        assert [found[table] for table in left] == [wanted[table] for table in left], (what, told)
        assert is_new or state == "old", what
        for table in left:  # now others see it too
            by_others = rows_by_deltalake(watched.lake / table)
            assert by_others == (watched.scenario.new if is_new else watched.scenario.old)[table], what
        outcomes.add("taken back" if "was taken back" in told else "completed" if "was completed" in told
                     else "abandoned" if "was abandoned" in told else "nothing open")
        # What was loaded, and what was not, is known all the same.
        again = watched.scenario.run(watched.lake)
        assert rows_by_smelt(program, watched.lake, "bronze/lines") == watched.new["bronze/lines"], (
            what, again.stderr)
    print(kind, outcomes)
    assert {"append": {"taken back", "abandoned"}, "delete": {"taken back", "abandoned"}}[kind] <= outcomes


def test_new_tables_are_taken_back(program, tmp_path):
    """delta-rs makes the last table first: those that the publication made are left empty, and what
    was loaded into them is known to be gone."""
    import deltalake

    watched = Watched("first load", program, tmp_path)
    made = deltalake.DeltaTable(str(tmp_path / "undisturbed/silver/totals"))
    rows = pa.table(deltalake.QueryBuilder().register("t", made).execute("SELECT * FROM t").read_all())
    taken_back = 0
    for k in spread(watched):
        watched.begin(k, "kill").communicate(timeout=120)
        totals = watched.lake / "silver/totals"
        if (totals / "_delta_log").exists() and list((totals / "_delta_log").glob("*.json")):
            continue
        deltalake.write_deltalake(str(totals), rows)
        told = watched.other_run(tmp_path)
        if "was taken back" in told:
            taken_back += 1
            assert rows_by_smelt(program, watched.lake, "bronze/lines") == []
            assert rows_by_deltalake(watched.lake / "bronze/lines") == []
        else:
            assert rows_by_smelt(program, watched.lake, "bronze/lines") is None
        watched.scenario.run(watched.lake)
        assert watched.state(f"killed at write {k}, run again") == "new"
    assert taken_back > 0


def test_a_read_only_lake(program, tmp_path):
    """With a publication open in it, it can be read as it was."""
    watched = Watched("append", program, tmp_path)
    for k in reversed(spread(watched)):
        watched.begin(k, "kill").communicate(timeout=120)
        journal = watched.lake / "_smelt/journal"
        entries = sorted(path.name for path in journal.iterdir()) if journal.exists() else []
        if entries and not any(name.startswith(entries[-1][:20]) and name.endswith(".done") for name in entries):
            break
    else:
        pytest.fail("no publication was left open")
    for folder, _, files in os.walk(watched.lake):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    try:
        # Permissions hold for who is not root.
        user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        for path in [tmp_path, *tmp_path.parents][:3]:
            os.chmod(path, 0o755)
        for table in TABLES:
            done = subprocess.run([program.path, "sql", f"SELECT count(*) AS n FROM {table.replace('/', '.')}",
                                   "--lake", str(watched.lake), "--format", "json", "--quiet"],
                                  capture_output=True, text=True, cwd="/", timeout=60, **user)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)[0]["n"] == len(watched.old[table])
    finally:
        for folder, _, _ in os.walk(watched.lake):
            os.chmod(folder, 0o755)
