"""Killed at any call to the store, a pipeline's tables are at their last version or the next, and the
same run started again ends as one that was never disturbed: no row twice, none lost.

Method   A scenario is a lake and a change of the logs. It is run with SMELT_FAULT "kill before (or
         after) the k-th write" for k = 1, 2, … until a run ends by itself. After each kill delta-rs
         opens every table: absent, old or new. Then the run is started again without a fault, twice
         (the second has nothing to do), and the rows are compared with the undisturbed run's.
How many `make test` takes KILLS of the k of each scenario, spread evenly; `make soak` takes all."""
import json
import os
import re
import shutil
import subprocess
import threading

import pyarrow as pa
import pytest

from appended_lines import TABLES, append_in_turn, write_pipeline
from customer360 import generate, log_line, read_table

KILLS = int(os.environ.get("SMELT_KILLS", 8))
MAX_CALLS = 2000


def rows_of(uri):
    """All rows, sorted, without what differs between runs by its meaning; None: no table."""
    table = read_table(uri)
    if table is None:
        return None
    return sorted(json.dumps(row, default=str, sort_keys=True)
                  for row in table.drop_columns([name for name in ("run", "time")
                                                 if name in table.column_names]).to_pylist())


def rows_by_deltalake(uri):
    """The same as delta-rs sees it; it must be able to open what is there."""
    import deltalake

    if not (uri / "_delta_log").exists() or not list((uri / "_delta_log").glob("*.json")):
        return None
    opened = deltalake.DeltaTable(str(uri))
    query = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t")
    table = pa.table(query.read_all())
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in table.drop_columns(
        [name for name in ("run", "time") if name in table.column_names]).to_pylist())


class Scenario:
    """`before` is brought into a lake undisturbed, then `after` is what the killed run finds."""

    def __init__(self, program, folder, before, after):
        self.program, self.folder = program, folder
        self.pipeline = write_pipeline(folder / "pipeline")
        self.logs, self.start = folder / "logs", folder / "start"
        self.start.mkdir()
        if before:
            self.bring(before)
            self.run(self.start)
        self.bring(after)
        self.old = {table: rows_by_deltalake(self.start / table) for table in TABLES}
        undisturbed = folder / "undisturbed"
        shutil.copytree(self.start, undisturbed)
        self.run(undisturbed)
        self.new = {table: rows_by_deltalake(undisturbed / table) for table in TABLES}
        assert self.new["bronze/lines"] and self.new["silver/totals"]
        assert self.new != self.old

    def bring(self, files):
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        for name, data in files.items():
            (self.logs / name).write_bytes(data)
            os.utime(self.logs / name, (1_650_000_000, 1_650_000_000 + len(data)))

    def run(self, lake, fault=None, check=True):
        env = {"SMELT_FAULT": fault} if fault else {}
        return self.program("run", self.pipeline, "--var", f"logs={self.logs}", "--var",
                            f"lake={lake}", "--var", "month=2022-04", "--threads", 2, check=check,
                            env=env)

    def kill(self, k, kind):
        """True where the run was killed, False where it ended before its k-th write."""
        lake = self.folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(self.start, lake)
        done = self.run(lake, f"at={k},kind={kind},writes=1", check=False)
        what = f"{kind} at write {k}"
        assert done.returncode in (0, -9), f"{what}: exit code {done.returncode}\n{done.stderr}"
        for table in TABLES:
            found = rows_by_deltalake(lake / table)
            wanted = [self.new[table]] + ([self.old[table]] if done.returncode else [])
            assert found in wanted, f"{what}: {table} is neither old nor new"
        for _ in range(2):
            again = self.run(lake, check=False)
            assert again.returncode == 0, f"after {what}: {again.stderr}"
            for table in TABLES:
                assert rows_by_deltalake(lake / table) == self.new[table], f"after {what}: {table}"
        return done.returncode == -9

    def count(self, kind):
        """How many writes a run has, by halving."""
        low, high = 1, 2
        while self.kill(high, kind):
            low, high = high, high * 2
            assert high < MAX_CALLS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.kill(middle, kind) else (low, middle)
        return low


def days(program, folder):
    """{name: bytes} of three small days with refused lines, and the second day changed."""
    logs = generate(program, folder / "generated", days=3, rows=300, contracts=40, damage=0.1, seed=3)
    files = {path.name: path.read_bytes() for path in logs.files}
    names = list(files)
    changed = {**files, names[1]: files[names[0]][3:20000].rpartition(b"\n")[0] + b"\nbroken\n"}
    return names, files, changed


def scenario_of(name, program, folder):
    names, files, changed = days(program, folder)
    before, after = {
        "first load": ({}, {n: files[n] for n in names[:2]}),
        "append": ({n: files[n] for n in names[:2]}, files),
        "replace": (files, changed),
    }[name]
    return Scenario(program, folder, before, after)


SCENARIOS = ["first load", "append", "replace"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_spread_over_a_run(program, tmp_path, name):
    scenario = scenario_of(name, program, tmp_path)
    n_writes = scenario.count("kill")
    print(f"{name}: {n_writes} writes")
    assert n_writes >= 5
    step = max(1, n_writes // KILLS)
    for k in range(1, n_writes + 1, step):
        assert scenario.kill(k, "kill_after")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "kill_after"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_at_every_write(program, tmp_path, name, kind):
    scenario = scenario_of(name, program, tmp_path)
    k = 1
    while scenario.kill(k, kind):
        k += 1
        assert k < MAX_CALLS
    print(f"{name}, {kind}: {k - 1} kills")
    assert k > 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_end_in_an_error_and_change_nothing_by_half(program, tmp_path, name):
    """A write that fails, is torn, finds the disk full, or whose answer never came."""
    scenario = scenario_of(name, program, tmp_path)
    lake = tmp_path / "lake"
    n_failed = 0
    for kind in ("error", "torn", "disk_full", "lost"):
        for k in (1, 2, 3, 5, 8, 13):
            shutil.rmtree(lake, ignore_errors=True)
            shutil.copytree(scenario.start, lake)
            done = scenario.run(lake, f"at={k},kind={kind},writes=1", check=False)
            what = f"{kind} at write {k}"
            assert done.returncode in (0, 1, 4), f"{what}: {done.returncode}\n{done.stderr}"
            if done.returncode:
                n_failed += 1
                assert done.stderr.startswith("smelt: "), what
            for table in TABLES:
                assert rows_by_deltalake(lake / table) in (scenario.old[table], scenario.new[table])
            scenario.run(lake)
            for table in TABLES:
                assert rows_by_deltalake(lake / table) == scenario.new[table], f"after {what}: {table}"
    assert n_failed >= 8


# ---- crowds -----------------------------------------------------------------------------------


def crowd(program, folder, n_runs):
    lake = folder / "lake"
    threads, failures, wanted = [], [], []
    for number, writer in enumerate(("north", "south")):
        pipeline = write_pipeline(folder / writer, writer, tasks=("load",))
        source = folder / f"{writer}-files"
        source.mkdir()
        for n in range(n_runs):
            line = log_line(f"{writer}{n}", n + 1, number=n)
            (source / f"{writer}_2022040{number + 1}_{n:03}.json").write_text(line + "broken\n")
            wanted.append((f"{writer}{n}", n + 1))
        threads.append(threading.Thread(target=append_in_turn, args=(
            program, pipeline, source, folder / f"{writer}-logs", lake, n_runs, failures)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    import deltalake

    opened = deltalake.DeltaTable(str(lake / "bronze/lines"))
    query = deltalake.QueryBuilder().register("t", opened).execute("SELECT who, seconds FROM t")
    rows = pa.table(query.read_all()).to_pylist()
    assert sorted((row["who"], row["seconds"]) for row in rows) == sorted(wanted)
    history = [path for path in (lake / "bronze/lines/_delta_log").glob("*.json") if path.stem.isdigit()]
    assert len(history) == opened.version() + 1 == 2 * n_runs
    quarantine = pa.table(deltalake.QueryBuilder().register("t", deltalake.DeltaTable(
        str(lake / "quarantine/lines"))).execute("SELECT file, line FROM t").read_all())
    assert quarantine.num_rows == 2 * n_runs
    assert len(set(quarantine["file"].to_pylist())) == 2 * n_runs


def commits_by_run(lake):
    """{run: {"bronze.lines@v3", …}}, of the commits that loads and tables have made."""
    runs = {}
    for table in TABLES:
        for path in sorted((lake / table / "_delta_log").glob("*.json")):
            for line in path.read_text().splitlines() if path.stem.isdigit() else ():
                run = json.loads(line).get("commitInfo", {}).get("smelt", {}).get("run")
                if run:
                    runs.setdefault(run, set()).add(f"{table.replace('/', '.')}@v{int(path.stem)}")
    return runs


def published_as_said(said):
    """What a run that lost says that it has published; it must say something."""
    if "Nothing was published: it is safe to run again." in said:
        return set()
    found = re.search(r"(\d+) of \d+ tables were published \(([^)]*)\): the same run again does", said)
    assert found, said
    names = set(found[2].split(", "))
    assert len(names) == int(found[1]), said
    return names


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_run_twice_at_once_loads_once(program, tmp_path, name):
    """One of the two wins each table; the other finds its work done or says conflict (exit code 4)."""
    scenario = scenario_of(name, program, tmp_path)
    words = [program.path, "run", scenario.pipeline, "--var", f"logs={scenario.logs}", "--var",
             f"lake={tmp_path}/lake", "--var", "month=2022-04", "--threads", "1"]
    codes = []
    for _ in range(5):
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        shutil.copytree(scenario.start, tmp_path / "lake")
        earlier = commits_by_run(tmp_path / "lake")
        both = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=120)[1] for process in both]
        codes.append(sorted(process.returncode for process in both))
        assert codes[-1] in ([0, 0], [0, 4], [4, 4]), said
        made = [names for run, names in commits_by_run(tmp_path / "lake").items() if run not in earlier]
        for process, words_of in zip(both, said):
            if process.returncode == 4:
                claimed = published_as_said(words_of)
                assert not claimed or claimed in made, (words_of, made)
                assert claimed or len(made) < 2, (words_of, made)
        scenario.run(tmp_path / "lake")
        for table in TABLES:
            assert rows_by_deltalake(tmp_path / "lake" / table) == scenario.new[table], (table, said)
    print(codes)


def test_two_writers_lose_no_row(program, tmp_path):
    crowd(program, tmp_path, 12)


@pytest.mark.soak
def test_two_writers_append_fifty_times_each(program, tmp_path):
    crowd(program, tmp_path, 50)
