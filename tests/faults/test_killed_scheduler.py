"""The scheduler and its runs are killed at random moments. Each interval of a pipeline that catches up is
run once, its row is in the table once, and each line that comes into a watched folder is loaded once."""
import datetime
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from scheduled import Scheduled, wait_for

SEED = int(os.environ.get("SMELT_SEED", random.randrange(1 << 32)))
KILLS = [20, pytest.param(500, marks=pytest.mark.soak)]


def kill_one(scheduled, rng, files):
    """Kills the scheduler, or one of its runs, and lets it be up again."""
    if rng.random() < 0.4:
        for pid in scheduled.pids()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    else:
        scheduled.kill()
        time.sleep(rng.random() * 0.5)
        scheduled.up(*files, ready=False)


@pytest.mark.parametrize("kills", KILLS)
def test_each_interval_is_run_once(smelt, tmp_path, kills):
    print(f"SMELT_SEED={SEED}")
    rng = random.Random(SEED)
    scheduled = Scheduled(smelt, tmp_path)
    file = scheduled.tick(schedule="schedule: '* * * * * *'\ncatchup: true\n")
    scheduled.up(file)
    try:
        for _ in range(kills):
            time.sleep(rng.random() * 0.6)
            kill_one(scheduled, rng, [file])
        had = len(scheduled.runs())
        wait_for(lambda: len(scheduled.runs(state="success")) > had, 300)
    finally:
        scheduled.down()
    runs = scheduled.runs()
    assert {run["state"] for run in runs[:-1]} == {"success"}
    found = [datetime.datetime.fromisoformat(run["logical_date"]) for run in runs]
    assert found == [found[0] + datetime.timedelta(seconds=i) for i in range(len(found))]


WRITER = """
import random, sys, time, pathlib
rng, folder = random.Random(int(sys.argv[1])), pathlib.Path(sys.argv[2])
for n in range(100):
    time.sleep(rng.random() * 0.15)
    day = f"2022{n // 28 + 1:02}{n % 28 + 1:02}"
    lines = [f'{{"id": {n * 10 + i}}}\\n' for i in range(10)]
    if rng.random() < 0.5:  # written where it is read
        with open(folder / f"{day}.json", "w") as out:
            for line in lines:
                out.write(line)
                out.flush()
                time.sleep(rng.random() * 0.01)
    else:  # moved into place
        hidden = folder.parent / f"{day}.part"
        hidden.write_text("".join(lines))
        hidden.rename(folder / f"{day}.json")
"""


def test_each_line_of_a_watched_folder_is_loaded_once(smelt, tmp_path):
    print(f"SMELT_SEED={SEED}")
    rng = random.Random(SEED)
    scheduled = Scheduled(smelt, tmp_path)
    file = scheduled.watched()
    scheduled.up(file)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(SEED), str(tmp_path / "logs")])
    count = "SELECT count(*) AS n, count(DISTINCT id) AS d FROM raw.lines"
    try:
        while writer.poll() is None:
            time.sleep(rng.random())
            kill_one(scheduled, rng, [file])
        assert writer.wait() == 0
        wait_for(lambda: scheduled.rows(count)[0]["d"] == 1000, 120)
        wait_for(lambda: not scheduled.runs(state="running") and not scheduled.runs(state="queued"))
    finally:
        scheduled.down()
    assert scheduled.rows(count) == [{"n": 1000, "d": 1000}]
    assert not scheduled.runs(state="failed")
