"""`smelt up`, `down`, `status` and `backfill`: schedules that fire each second, on tiny pipelines."""
import datetime
import json
import os
import re
import signal
import sqlite3
import time

import pytest

from scheduled import Scheduled, wait_for


@pytest.fixture
def scheduled(smelt, tmp_path):
    made = Scheduled(smelt, tmp_path)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def times(runs):
    return [datetime.datetime.fromisoformat(run["logical_date"]) for run in runs]


# ---- when runs are due ------------------------------------------------------------------------


def test_a_run_fires_at_the_end_of_its_interval(scheduled):
    scheduled.up(scheduled.tick())
    runs = scheduled.ended(3, state="success")[:3]
    scheduled.down()
    second = datetime.timedelta(seconds=1)
    assert times(runs)[1] - times(runs)[0] == second and times(runs)[2] - times(runs)[1] == second
    for run in runs:
        assert run["kind"] == "scheduled"
        start, end, queued = (datetime.datetime.fromisoformat(run[k])
                              for k in ("interval_start", "interval_end", "queued"))
        assert end - start == second and end <= queued
        log = scheduled.folder / ".smelt" / "logs" / run["run"] / "1.log"
        assert "gold.tick" in log.read_text()


def test_after_a_pause_only_the_latest_interval_is_run(scheduled):
    file = scheduled.tick()
    scheduled.up(file)
    scheduled.ended(1, state="success")
    scheduled.down()
    time.sleep(3)
    scheduled.up(file)
    assert wait_for(lambda: "are skipped" in scheduled.said())
    scheduled.ended(3, state="success")
    scheduled.down()
    runs = scheduled.runs()
    assert len({run["logical_date"] for run in runs}) == len(runs)
    gaps = [b - a for a, b in zip(times(runs), times(runs)[1:])]
    assert max(gaps) >= datetime.timedelta(seconds=3)


def test_a_pipeline_that_catches_up_runs_each_interval_once(scheduled):
    file = scheduled.tick(schedule="schedule: '* * * * * *'\ncatchup: true\n")
    scheduled.up(file)
    scheduled.ended(1, state="success")
    scheduled.kill()
    time.sleep(3)
    scheduled.up(file)
    scheduled.ended(6, state="success")
    scheduled.down()
    found = times(scheduled.runs())
    assert found == [found[0] + datetime.timedelta(seconds=i) for i in range(len(found))]
    assert "are skipped" not in scheduled.said()


def test_a_pipeline_runs_after_others(scheduled):
    first, second = scheduled.tick(), scheduled.tick("next", "after: [tick]\n")
    scheduled.up(first, second)
    runs = scheduled.ended(2, pipeline="next", state="success")
    scheduled.down()
    ended = {run["logical_date"]: run["ended"] for run in scheduled.runs(pipeline="tick")}
    for run in runs:
        assert run["kind"] == "after" and ended[run["logical_date"]] <= run["queued"]
    assert len({run["logical_date"] for run in runs}) == len(runs)


def test_an_idle_scheduler_is_small(scheduled):
    scheduled.up(scheduled.tick(schedule="schedule: '@yearly'\n"), scheduled.watched())
    time.sleep(2)
    with open(f"/proc/{scheduled.process.pid}/smaps_rollup", encoding="ascii") as rollup:
        private = sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", rollup.read(), re.M))
    scheduled.down()
    if b"__asan_init" not in open(scheduled.call.path, "rb").read():
        assert 0 < private < 10000


# ---- killed, stopped, refused -----------------------------------------------------------------


def test_a_second_scheduler_is_refused_with_the_first_ones_process(scheduled):
    file = scheduled.tick()
    scheduled.up(file)
    failed = scheduled.smelt("up", file, check=False)
    assert failed.returncode == 4 and f"process {scheduled.process.pid}" in failed.stderr
    scheduled.down()
    scheduled.up(file)
    scheduled.down()


TENS = "(VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10))"
SLOW = ("SELECT var('at') AS d, sum(a.x * b.x + c.x) AS one FROM " +
        " CROSS JOIN ".join(f"{TENS} {name}(x)" for name in "abcdefgh"))
ENDLESS = SLOW + " CROSS JOIN " + " CROSS JOIN ".join(f"{TENS} {name}(x)" for name in "ijk")


def test_a_run_lives_on_when_the_scheduler_is_killed(scheduled):
    file = scheduled.tick()
    (scheduled.folder / "tick.sql").write_text(SLOW)
    scheduled.up(file)
    [first, *_] = scheduled.ended(1, state="running")
    scheduled.kill()
    scheduled.up(file)
    wait_for(lambda: scheduled.runs(run=first["run"], state="success"))
    scheduled.down()
    [run] = scheduled.runs(run=first["run"])
    assert run["processes"] == 1


def test_a_run_whose_process_is_killed_is_started_again_and_given_up_at_last(scheduled):
    file = scheduled.tick()
    (scheduled.folder / "tick.sql").write_text(ENDLESS)
    scheduled.up(file)
    [first, *_] = scheduled.ended(1, state="running")
    killed = set()
    while not scheduled.runs(run=first["run"], state="failed"):
        for pid in scheduled.pids():
            if pid not in killed and scheduled.runs(run=first["run"], state="running"):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.05)
        assert len(killed) <= 4
    [run] = scheduled.runs(run=first["run"])
    assert run["processes"] == 3 and "ended 3 times without noting an end" in run["error"]
    for pid in scheduled.pids():
        os.kill(pid, signal.SIGKILL)
    scheduled.kill()


def test_a_scheduler_that_is_stopped_takes_its_runs_along_and_the_next_goes_on(scheduled):
    file = scheduled.tick()
    (scheduled.folder / "tick.sql").write_text(SLOW)
    scheduled.up(file)
    [first, *_] = scheduled.ended(1, state="running")
    scheduled.down()
    assert scheduled.pids() == []
    [run] = scheduled.runs(run=first["run"])
    assert run["state"] == "queued"
    scheduled.up(file)
    wait_for(lambda: scheduled.runs(run=first["run"], state="success"))
    scheduled.down()


def test_a_run_that_is_cancelled_ends(scheduled):
    file = scheduled.tick()
    (scheduled.folder / "tick.sql").write_text(ENDLESS)
    scheduled.up(file)
    [first, *_] = scheduled.ended(1, state="running")
    scheduled.smelt("runs", first["run"], "--cancel", "--project", scheduled.folder)
    wait_for(lambda: scheduled.runs(run=first["run"], state="cancelled"))
    scheduled.kill()
    for pid in scheduled.pids():
        os.kill(pid, signal.SIGKILL)


def test_detached_it_stays_until_it_is_asked_to_end(scheduled):
    file = scheduled.tick()
    assert scheduled.smelt("status", scheduled.folder, check=False).returncode == 1
    up = scheduled.smelt("up", "--detach", file)
    pid = int(re.search(r"process (\d+)", up.stderr)[1])
    state = json.loads(scheduled.smelt("status", scheduled.folder, "--json").stdout)
    assert state["up"] and state["pid"] == pid
    [line] = state["pipelines"]
    assert line["pipeline"] == "tick" and line["next"] and line["timezone"] == "UTC"
    scheduled.ended(1, state="success")
    assert "tick" in scheduled.smelt("status", scheduled.folder).stdout
    assert scheduled.smelt("up", "--detach", file, check=False).returncode == 4
    assert "is down" in scheduled.smelt("down", scheduled.folder).stderr
    assert "no scheduler is up" in scheduled.smelt("down", scheduled.folder).stderr
    assert scheduled.smelt("status", scheduled.folder, "--json", check=False).returncode == 1
    assert " up: 1 pipeline" in (scheduled.folder / ".smelt" / "scheduler.log").read_text()


# ---- files ------------------------------------------------------------------------------------


def test_a_file_that_changes_is_read_again(scheduled):
    file = scheduled.tick(schedule="schedule: '0 0 1 1 *'\n")
    scheduled.up(file)
    time.sleep(1.2)
    scheduled.tick()
    assert scheduled.ended(1, state="success")
    scheduled.down()
    assert "read again" in scheduled.said()


def test_a_broken_file_waits_and_never_stops_the_others(scheduled):
    good, bad = scheduled.tick(), scheduled.tick("odd", "schedule: '* * * * * *'\ncatchup: true\n")
    whole = bad.read_text()
    scheduled.up(good, bad)
    scheduled.ended(1, pipeline="odd", state="success")
    bad.write_text(whole[:-30])
    wait_for(lambda: re.search(r"odd.yaml:\d+:\d+: .*its runs wait", scheduled.said()))
    had, n = len(scheduled.runs(pipeline="odd", state="success")), len(scheduled.runs(pipeline="tick"))
    scheduled.ended(n + 3, pipeline="tick", state="success")
    assert len(scheduled.runs(pipeline="odd", state="success")) == had
    assert scheduled.runs(pipeline="odd", state="failed") == []
    assert len(re.findall("its runs wait", scheduled.said())) == 1
    bad.write_text(whole)
    scheduled.ended(had + 4, pipeline="odd", state="success")
    scheduled.down()
    found = times(scheduled.runs(pipeline="odd"))
    assert found == [found[0] + datetime.timedelta(seconds=i) for i in range(len(found))]


def test_a_file_that_is_broken_at_the_start_is_read_when_it_is_whole(scheduled):
    good, bad = scheduled.tick(), scheduled.tick("odd")
    whole = bad.read_text()
    bad.write_text("name: [")
    scheduled.up(good, bad)
    scheduled.ended(1, pipeline="tick", state="success")
    bad.write_text(whole)
    scheduled.ended(1, pipeline="odd", state="success")
    bad.unlink()
    wait_for(lambda: "odd.yaml: " in scheduled.said())
    scheduled.ended(len(scheduled.runs(pipeline="tick")) + 2, pipeline="tick")
    scheduled.down()


@pytest.mark.parametrize("files, words", [
    ({"a": "after: [b]\n", "b": "after: [a]\n"}, "in a circle"),
    ({"a": "after: [c]\n"}, 'names "c"'),
    ({"a": "schedule: 0 0 30 2 *\n"}, "never fires"),
])
def test_pipelines_that_cannot_be_up(scheduled, files, words):
    made = [scheduled.tick(name, text) for name, text in files.items()]
    failed = scheduled.smelt("up", *made, check=False)
    assert failed.returncode in (1, 2) and words in failed.stderr
    assert scheduled.smelt("up", "--detach", *made, check=False).returncode in (1, 2)


def test_two_pipelines_of_one_name_cannot_be_up(scheduled):
    file = scheduled.tick()
    other = scheduled.folder / "other.yaml"
    other.write_text(file.read_text())
    failed = scheduled.smelt("up", file, other, check=False)
    assert failed.returncode == 1 and 'two pipelines have the name "tick"' in failed.stderr


def test_a_damaged_state_is_refused(scheduled):
    file = scheduled.tick()
    (scheduled.folder / ".smelt").mkdir()
    (scheduled.folder / ".smelt" / "state.sqlite").write_bytes(b"no database" * 1000)
    failed = scheduled.smelt("up", file, check=False)
    assert failed.returncode == 1 and "damaged" in failed.stderr


def test_a_state_that_is_locked_for_a_while_stops_nothing(scheduled):
    scheduled.up(scheduled.tick())
    scheduled.ended(1, state="success")
    with sqlite3.connect(scheduled.folder / ".smelt" / "state.sqlite", isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")
        time.sleep(2)
        db.execute("ROLLBACK")
    scheduled.ended(len(scheduled.runs(state="success")) + 2, state="success")
    scheduled.down()


# ---- backfill ---------------------------------------------------------------------------------

DAYS = "schedule: '@daily'\ntimezone: Europe/Paris\n"


def test_backfill_shows_what_it_would_run(scheduled):
    file = scheduled.tick(schedule=DAYS)
    out = scheduled.smelt("backfill", file, "--from", "2022-03-26", "--to", "2022-03-28", "--dry-run")
    assert out.stdout.split() == ["2022-03-26", "2022-03-27", "2022-03-28"]
    out = scheduled.smelt("backfill", file, "--from", "2022-03-26", "--to", "2022-03-28", "--dry-run",
                          "--reverse", "--json")
    assert json.loads(out.stdout) == ["2022-03-28", "2022-03-27", "2022-03-26"]
    assert not (scheduled.folder / ".smelt").exists()


def test_a_month_is_made_day_by_day(scheduled):
    file = scheduled.tick(schedule=DAYS)
    scheduled.smelt("backfill", file, "--from", "2022-04-01", "--to", "2022-04-30")
    runs = scheduled.runs()
    assert [run["logical_date"] for run in runs] == [f"2022-04-{d:02}" for d in range(1, 31)]
    assert {(run["kind"], run["state"]) for run in runs} == {("backfill", "success")}
    assert all(a["ended"] <= b["started"] for a, b in zip(runs, runs[1:]))
    assert runs[0]["interval_start"].startswith("2022-03-31T22:00")  # midnight in Paris
    days = scheduled.rows("SELECT d::VARCHAR AS d, count(*) AS n FROM gold.tick GROUP BY ALL ORDER BY d")
    assert days == [{"d": f"2022-04-{d:02}", "n": 1} for d in range(1, 31)]


def test_a_backfill_in_parallel_and_one_that_fails(scheduled):
    file = scheduled.tick(schedule=DAYS)
    scheduled.smelt("backfill", file, "--from", "2022-04-01", "--to", "2022-04-06", "--parallel", "3")
    assert len(scheduled.runs(state="success")) == 6
    (scheduled.folder / "tick.sql").write_text("SELECT var('at') AS d, 1 // 0 AS one, nope")
    failed = scheduled.smelt("backfill", file, "--from", "2022-04-07", "--to", "2022-04-08", check=False)
    assert failed.returncode == 1 and "2 of 2 runs have failed" in failed.stderr


def test_a_scheduler_that_is_up_makes_the_runs_of_a_backfill(scheduled):
    file, other = scheduled.tick(schedule=DAYS), scheduled.tick("other", DAYS)
    scheduled.up(file)
    for one in (file, other):  # also of a pipeline that is not its own
        scheduled.smelt("backfill", one, "--from", "2022-04-01", "--to", "2022-04-03")
    assert len(scheduled.runs(state="success", kind="backfill")) == 6
    failed = scheduled.smelt("backfill", file, "--from", "2022-04-01", "--to", "2022-04-03",
                             "--parallel", "2", check=False)
    assert failed.returncode == 2
    scheduled.down()


@pytest.mark.parametrize("options, words", [
    (["--from", "2022-04-31", "--to", "2022-05-01"], "--from needs a date"),
    (["--from", "2022-04-03", "--to", "2022-04-01"], "is before"),
    (["--from", "2022-04-03"], "--to needs a date"),
])
def test_a_span_that_is_none(scheduled, options, words):
    failed = scheduled.smelt("backfill", scheduled.tick(schedule=DAYS), *options, check=False)
    assert failed.returncode == 2 and words in failed.stderr


# ---- files that come --------------------------------------------------------------------------


def test_files_start_a_run_as_they_come(scheduled):
    file = scheduled.watched()
    scheduled.up(file)
    for n in range(3):
        (scheduled.folder / "logs" / f"2022040{n + 1}.json").write_text(f'{{"id": {n}}}\n')
        wait_for(lambda: len(scheduled.runs(kind="watch", state="success")) > n)
    scheduled.down()
    assert scheduled.rows("SELECT id FROM raw.lines ORDER BY id") == [{"id": n} for n in range(3)]


def test_a_file_that_is_still_written_is_not_taken(scheduled):
    file = scheduled.watched()
    scheduled.up(file)
    (scheduled.folder / "logs" / "20220401.json").write_text('{"id": 1}\n')
    wait_for(lambda: scheduled.runs(kind="watch", state="success"))
    with (scheduled.folder / "logs" / "20220402.json").open("w") as slow:
        for n in range(30):
            slow.write(f'{{"id": {100 + n}}}\n')
            slow.flush()
            time.sleep(0.1)
        assert len(scheduled.runs(kind="watch")) == 1
    wait_for(lambda: len(scheduled.runs(kind="watch", state="success")) == 2)
    scheduled.down()
    assert scheduled.rows("SELECT count(*) AS n, count(DISTINCT id) AS d FROM raw.lines") == [
        {"n": 31, "d": 31}]
