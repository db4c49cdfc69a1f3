"""The history of runs: what `smelt run` notes of itself beside the pipeline, what `smelt runs` shows of
it and does with it, and a run that goes on in another process."""
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from common import smelt_path
from shop import Shop, line

SEED = int(os.environ.get("SMELT_SEED", random.randrange(1 << 32)))
HERE = {"SMELT_STATE": ""}  # beside the pipeline, not in the folder of the session


class Kept(Shop):
    """A shop whose runs are kept beside its pipeline."""

    def process(self, *options, env=None, **kwargs):
        return super().process(*options, env={**HERE, **(env or {})}, **kwargs)

    def runs(self, *options, check=True):
        return self.smelt("runs", *options, "--project", self.file, env=HERE, check=check)

    def history(self, *options):
        return json.loads(self.runs(*options, "--json").stdout)

    def start(self, *options):
        return subprocess.Popen([smelt_path(), "run", self.file, *options], cwd=self.folder, text=True,
                                env={**os.environ, **HERE}, stderr=subprocess.PIPE)

    def commits(self, table):
        return len(list((self.lake / table / "_delta_log").glob("*.json")))


@pytest.fixture
def kept(smelt, tmp_path):
    made = Kept(smelt, tmp_path)
    made.put("20220401.json", line(1), line(2, "Oslo", 7))
    return made


# ---- what a run notes -------------------------------------------------------------------------


def test_a_run_is_kept(kept):
    kept.process("--date", "2022-04-30", "--task", "raw.orders")
    [run] = kept.history()
    assert re.fullmatch("shop-2022-04-30-[0-9a-f]{8}", run["run"])
    assert run["pipeline"] == "shop" and run["logical_date"] == "2022-04-30"
    assert run["file"] == str(kept.file)
    assert run["interval_start"] == "2022-04-30T00:00:00Z" and run["interval_end"] == "2022-05-01T00:00:00Z"
    assert run["state"] == "success" and run["kind"] == "manual" and run["error"] is None
    assert run["arguments"] == ["--var", f"logs={kept.logs}", "--var", f"lake={kept.lake}", "--var",
                                "month=2022-04", "--select", "raw.orders"]
    assert run["queued"] <= run["started"] <= run["ended"]
    [task] = run["tasks"]
    assert task["task"] == "raw.orders" and task["state"] == "success" and task["rows"] == 2
    assert task["process"] == task["attempt"] == 1 and task["bytes"] > 0
    assert json.loads(kept.runs(run["run"], "--report").stdout)["lines"]["read"] == 2
    assert run["run"] in kept.smelt("table", "history", kept.lake / "raw/orders").stdout


def test_the_latest_runs_come_first(kept):
    for day in range(1, 5):
        kept.process("--date", f"2022-04-0{day}")
    assert [run["logical_date"][-1] for run in kept.history()] == list("4321")
    assert [run["logical_date"][-1] for run in kept.history("--limit", "2")] == list("43")
    assert kept.history("--pipeline", "other") == []
    assert len(kept.history("--state", "success")) == 4 and kept.history("--state", "failed") == []
    assert "none of queued" in kept.runs("--state", "good", check=False).stderr
    head, *lines = kept.runs().stdout.splitlines()
    assert head.split()[0] == "run" and len(lines) == 4 and " success " in lines[0]


def test_a_failure_is_kept_with_its_text(kept):
    kept.sql("best", "SELECT nothing FROM mart.cities")
    text = kept.fail()
    [run] = kept.history()
    assert run["state"] == "failed" and run["error"] + "\n" == text
    assert [task["state"] for task in run["tasks"]] == ["success", "success", "success", "failed"]
    assert "nothing" in run["tasks"][-1]["error"]
    shown = kept.runs(run["run"][:-1]).stdout  # the beginning is enough
    assert "nothing" in shown and "mart.best" in shown


def test_two_pipelines_of_a_folder_share_the_state(kept):
    (kept.folder / "other.yaml").write_text(kept.file.read_text().replace("name: shop", "name: other"))
    kept.process()
    kept.smelt("run", "other.yaml", "--var", "month=2022-04", env=HERE, cwd=kept.folder)
    found = json.loads(kept.smelt("runs", "--json", env=HERE, cwd=kept.folder).stdout)
    assert [run["pipeline"] for run in found] == ["other", "shop"]


def test_the_folder_can_be_named(kept, tmp_path):
    kept.process(env={"SMELT_STATE": str(tmp_path / "elsewhere")})
    assert not (kept.folder / ".smelt").exists()
    assert (tmp_path / "elsewhere" / "state.sqlite").exists()


@pytest.mark.parametrize("state", ["/proc/none", "shop.yaml"])
def test_a_history_that_cannot_be_kept_does_not_stop_a_run(kept, state):
    done = kept.process("--quiet", env={"SMELT_STATE": state}, cwd=kept.folder)
    assert done.stderr.startswith("warning this run is not kept in the history: ")
    assert kept.ids() == [1, 2]


def test_damaged_history(kept):
    kept.process()
    for name in ("state.sqlite-wal", "state.sqlite-shm"):
        (kept.folder / ".smelt" / name).unlink()
    (kept.folder / ".smelt" / "state.sqlite").write_bytes(b"no database at all, and long enough " * 99)
    failed = kept.runs(check=False)
    assert failed.returncode == 1 and "state.sqlite" in failed.stderr and "Move the file away" in failed.stderr
    assert "not kept" in kept.process("--quiet").stderr


def test_no_history(kept):
    failed = kept.runs(check=False)
    assert failed.returncode == 1 and "no run was noted here yet" in failed.stderr
    assert not (kept.folder / ".smelt").exists()


# ---- orders -----------------------------------------------------------------------------------


def test_mark_clear_cancel(kept):
    kept.process()
    run = kept.history()[0]["run"]
    assert kept.history(run, "--mark", "failed")[0]["state"] == "failed"
    assert "success nor failed" in kept.runs(run, "--mark", "good", check=False).stderr
    assert "no task" in kept.runs(run, "--clear", "--from", "mart.nothing", check=False).stderr
    cleared = kept.history(run, "--clear", "--from", "mart.cities")[0]
    assert cleared["state"] == "queued" and cleared["arguments"][-2:] == ["--select", "mart.cities+"]
    assert cleared["ended"] is None
    assert "cannot be cleared: it is queued" in kept.runs(run, "--clear", check=False).stderr
    kept.process("--run-id", run, "--select", "mart.cities+")
    again = kept.history(run)[0]
    assert again["state"] == "success" and again["processes"] == 2
    assert [task["task"] for task in again["tasks"] if task["process"] == 2] == ["mart.cities", "mart.best"]
    assert "cannot be cancelled: it has ended" in kept.runs(run, "--cancel", check=False).stderr


def test_a_cleared_run_says_how_to_run_it(kept):
    kept.process("--date", "2022-04-30")
    run = kept.history()[0]["run"]
    command = kept.runs(run, "--clear").stdout.splitlines()[-1]
    subprocess.run(["sh", "-c", command.replace("smelt", str(smelt_path()), 1)], check=True, cwd="/",
                   env={**os.environ, **HERE}, capture_output=True)
    assert kept.history()[0]["state"] == "success" and kept.history()[0]["processes"] == 2


def test_usage(kept):
    kept.process()
    for words, text in ((["--cancel"], "name the run"), (["x", "--from", "y"], "--from belongs"),
                        (["x", "--logs", "--report"], "exclude each other"), (["x"], 'no run "x"'),
                        (["--forget", "soon"], "is not a time"), (["x", "--limit", "3"], "for all runs"),
                        (["--limit", "-3"], "below 0"), (["shop-", "--logs"], "has no log")):
        failed = kept.runs(*words, check=False)
        assert failed.returncode != 0 and text in failed.stderr, failed.stderr


def test_forget(kept):
    kept.process()
    assert kept.history()
    assert kept.runs("--forget", "1d").stdout == "forgot 0 runs\n"
    assert kept.runs("--forget", "0s").stdout == "forgot 1 run\n"
    assert kept.history() == []


# ---- other processes --------------------------------------------------------------------------


def endless(kept):
    """The last task ends only when it is told to."""
    (kept.folder / "n.json").write_text("".join(f'{{"n":{n}}}\n' for n in range(300)))
    kept.sql("best", f"WITH n AS (SELECT * FROM '{kept.folder}/n.json') SELECT count(*) AS n, sum(a.n) AS city "
                     "FROM n a, n b, n c, n d")


def wait_for(kept, what):
    for _ in range(500):
        if (kept.folder / ".smelt" / "state.sqlite").exists():
            runs = kept.runs("--json", check=False)
            if runs.returncode == 0 and any(what(run) for run in json.loads(runs.stdout)):
                return next(run for run in json.loads(runs.stdout) if what(run))
        time.sleep(0.02)
    raise AssertionError("it never came")


def in_last_task(run):
    return [task["state"] for task in run["tasks"]][-1:] == ["running"] and len(run["tasks"]) == 4


@pytest.mark.parametrize("way", ["signal", "order"])
def test_cancel_a_running_run(kept, way):
    endless(kept)
    process = kept.start("--var", "month=2022-04")
    run = wait_for(kept, in_last_task)
    assert run["state"] == "running"
    assert "is running" in kept.runs(run["run"], "--clear", check=False).stderr
    if way == "signal":
        process.send_signal(signal.SIGINT)
    else:
        assert re.search("is asked to end|is cancelled", kept.runs(run["run"], "--cancel").stdout)
    assert process.wait(20) == 130
    process.stderr.close()
    [run] = kept.history()
    assert run["state"] == "cancelled" and "interrupted" in run["error"]
    assert kept.versions()["raw/orders"] == -1


def test_a_queued_run_whose_process_is_asked_to_end_goes_on_later(kept):
    endless(kept)
    process = kept.start("--var", "month=2022-04", "--run-id", "mine")
    wait_for(kept, in_last_task)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 130
    process.stderr.close()
    assert kept.history()[0]["state"] == "queued"
    kept.sql("best", "SELECT 'Rome' AS city")
    kept.process("--run-id", "mine")
    assert kept.history()[0]["state"] == "success"


def test_lost(kept):
    endless(kept)
    process = kept.start("--var", "month=2022-04", "--run-id", "mine")
    run = wait_for(kept, in_last_task)
    second = kept.process("--run-id", "mine", check=False)
    assert second.returncode == 4 and "running already" in second.stderr
    process.kill()
    process.wait()
    process.stderr.close()
    assert kept.history()[0]["state"] == "lost"
    kept.sql("best", "SELECT 'Rome' AS city")
    kept.process("--run-id", "mine")
    [run] = kept.history()
    assert run["state"] == "success" and run["processes"] == 2
    assert [task["state"] for task in run["tasks"]] == ["success"] * 3 + ["lost"] + ["success"] * 4
    ended = kept.process("--run-id", "mine", check=False)
    assert ended.returncode == 1 and "has ended: success" in ended.stderr


def test_a_pipeline_that_cannot_be_read_ends_its_queued_run(kept):
    kept.process()
    run = kept.history()[0]["run"]
    kept.runs(run, "--clear")
    kept.write("name: [\n")
    assert kept.process("--run-id", run, check=False).returncode == 1
    assert kept.history(run)[0]["state"] == "failed" and "shop.yaml" in kept.history(run)[0]["error"]


# ---- a run that is killed goes on -------------------------------------------------------------

ADDS = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month, default: 2022-04}
lake: lake
sources:
  - {name: logs, match: '^[^.].*[.]json(.gz)?$', window: month, quarantine: refused.orders}
tasks:
  - {load: raw.orders, from: logs, sql: orders.sql, by: day}
  - {cluster: raw.orders, by: [city]}
  - {table: mart.cities, sql: cities.sql}
  - {cluster: mart.cities, by: [city]}
"""


def test_killed_at_any_moment_it_publishes_once(kept):
    """SIGKILL at random moments; the next process of the same run goes on. At the end each table has
    one commit of rows, and no task behind the publication was done again that had succeeded."""
    draw = random.Random(SEED)
    kept.write(ADDS)
    kept.sql("cities", "SELECT city, n FROM raw.orders")
    kept.put("20220401.json", *(line(i, f"c{i % 7}") for i in range(20000)))
    begin = time.monotonic()
    kept.process("--run-id", "whole")
    took = time.monotonic() - begin
    n_killed = 0
    for round_ in range(12):
        run = f"run-{round_}"
        shutil.rmtree(kept.lake, ignore_errors=True)
        for turn in range(8):
            process = kept.start("--run-id", run, "--quiet")
            try:
                code = process.wait(draw.uniform(0, 0.9) * took if turn < 5 else 60)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            stderr = process.stderr.read()
            process.stderr.close()
            if code == 0 or "has ended: success" in stderr:
                break
            assert code == -signal.SIGKILL, f"SMELT_SEED={SEED}: {code} {stderr}"
            n_killed += 1
        found = next(r for r in kept.history("--limit", "0") if r["run"] == run)
        assert found["state"] == "success", f"SMELT_SEED={SEED}"
        assert len(kept.ids()) == 20000 and len(kept.rows("mart.cities")) == 20000
        for table in ("raw/orders", "mart/cities"):
            commits = kept.smelt.json("table", "history", kept.lake / table, "--json")["commits"]
            written = [v for v in commits if v["operation"] != "OPTIMIZE"]
            assert len(written) == 1, f"SMELT_SEED={SEED} {commits}"
        behind = [task["task"] for task in found["tasks"]
                  if task["state"] == "success" and task["task"].endswith(":cluster")]
        assert sorted(behind) == ["mart.cities:cluster", "raw.orders:cluster"], f"SMELT_SEED={SEED}"
    assert n_killed > 3, SEED


def test_the_state_is_whole_after_kills(kept):
    """The database after the kills of many runs at once."""
    draw = random.Random(SEED + 1)
    processes = []
    for i in range(20):
        processes.append(kept.start("--var", "month=2022-04", "--task", "mart.nothing" if i % 5 == 0 else "raw.orders",
                                    "--run-id", f"r{i}"))
        time.sleep(draw.uniform(0, 0.02))
        draw.choice(processes).kill()
    for process in processes:
        process.wait()
        process.stderr.close()
    with sqlite3.connect(kept.folder / ".smelt" / "state.sqlite") as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {run["state"] for run in kept.history()} <= {"success", "failed", "lost"}
