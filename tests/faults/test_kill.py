"""A pipeline that is killed at any call to the store leaves each table at its last version or the
next. The same run, started again, ends like an undisturbed one: no row twice, none lost.

Method   A scenario is a lake and a change of the logs. It is run with SMELT_FAULT "kill before (or
         after) the k-th write" for k = 1, 2, … until a run is not killed. After each kill delta-rs
         opens every table: absent, old or new. Then the run is started again without a fault, twice
         (the second has nothing to do), and the rows are compared with those of an undisturbed run.
Number   `make test` takes KILLS values of k per scenario, spread evenly; `make soak` takes all."""
import json
import os
import re
import shutil
import subprocess
import threading

import pyarrow as pa
import pytest

from appended_lines import TABLES, append_in_turn, write_pipeline
from changed_logs import MAX_CALLS, SCENARIOS, rows_by_deltalake, scenario_of
from customer360 import log_line

KILLS = int(os.environ.get("SMELT_KILLS", 8))


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
                assert "Nothing was published: it is safe to run again." in words_of
                assert len(made) < 2, (words_of, made)
        scenario.run(tmp_path / "lake")
        for table in TABLES:
            assert rows_by_deltalake(tmp_path / "lake" / table) == scenario.new[table], (table, said)
    print(codes)


def test_two_writers_lose_no_row(program, tmp_path):
    crowd(program, tmp_path, 12)


@pytest.mark.soak
def test_two_writers_append_fifty_times_each(program, tmp_path):
    crowd(program, tmp_path, 50)
