"""Tasks that failed are done again as often as the pipeline says, where that can help; the tables are then what they
are without the failure."""
import os
import signal
import subprocess
import time

import pytest

PIPELINE = """name: shop
{}
vars:
  logs: {{type: uri, default: ./logs}}
  lake: {{type: uri, default: ./lake}}
lake: lake
sources: [{{name: logs, quarantine: quarantine.orders}}]
tasks:
  - {{load: bronze.orders, from: logs, by: day, sql: bronze.sql}}
  - {{table: gold.days, sql: days.sql}}
"""
# Nobody listens there.
AWAY = "  - {{table: gold.away, sql: away.sql{}}}\n"
NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
QUICK = "retries: 3\nretry_delay: 0s"
ROWS = [("bronze.orders", 3), ("gold.days", 2), ("quarantine.orders", 1)]


@pytest.fixture
def shop(tmp_path):
    def pipeline(keys=QUICK, of_task="", more=""):
        (tmp_path / "shop.yaml").write_text(PIPELINE.format(keys) + more.format(of_task))

    (tmp_path / "bronze.sql").write_text("SELECT id, file_date AS day FROM read_json(var('logs'), columns => {id: "
                                         "'BIGINT'}, file_date => true, bad_lines => 'quarantine', validate => 'all')")
    (tmp_path / "days.sql").write_text("SELECT day, count(*) AS n FROM bronze.orders GROUP BY day")
    (tmp_path / "away.sql").write_text("SELECT * FROM delta_scan('s3://away/days')")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/20240501.json").write_text('{"id":1}\n{"id":2}\n{"id":"x"}\n')
    (tmp_path / "logs/20240502.json").write_text('{"id":3}\n')
    pipeline()
    return tmp_path, pipeline


def rows(smelt, folder):
    return [(table, smelt.sql(f"SELECT count(*) AS n FROM {table}", cwd=folder)[0]["n"]) for table, _ in ROWS]


def test_each_call_of_a_task_may_fail_once(smelt, shop):
    """What fails before the tasks or in the publication ends the run; what fails in one is done again."""
    n_again = 0
    for k in range(1, 80):
        folder, _ = shop
        done = smelt("run", "shop.yaml", "--var", f"lake=./lake{k}", "--threads", "1", cwd=folder, check=False,
                     env={"SMELT_FAULT": f"at={k},kind=error"})
        if "\nagain " in "\n" + done.stderr:
            n_again += 1
            assert done.returncode == 0, done.stderr
            assert "failed in attempt 1 of 4" in done.stderr
            tables = [smelt.sql(f"SELECT count(*) AS n FROM {t}", "--lake", f"./lake{k}", cwd=folder)[0]["n"]
                      for t, _ in ROWS]
            assert tables == [n for _, n in ROWS], k
    assert n_again >= 10


@pytest.mark.parametrize("keys, of_task, n_attempts", [
    ("", "", 1), ("retries: 2\nretry_delay: 0s", "", 3), ("retries: 2\nretry_delay: 0s", ", retries: 0", 1),
    ("", ", retries: 1, retry_delay: 0 s", 2)])
def test_as_often_as_the_pipeline_says(smelt, shop, keys, of_task, n_attempts):
    folder, pipeline = shop
    pipeline(keys, of_task, AWAY)
    done = smelt("run", "shop.yaml", cwd=folder, check=False, env=NOBODY)
    assert done.returncode == 1
    assert done.stderr.count("again   gold.away") == n_attempts - 1, done.stderr


def test_a_mistake_comes_again_so_it_is_not_tried_again(smelt, shop):
    folder, _ = shop
    (folder / "days.sql").write_text("SELECT CAST('x' AS BIGINT) AS n FROM bronze.orders")
    done = smelt("run", "shop.yaml", cwd=folder, check=False)
    assert done.returncode == 1 and "again" not in done.stderr


def test_the_wait_ends_at_once_by_ctrl_c(smelt, shop):
    folder, pipeline = shop
    pipeline("retries: 3\nretry_delay: 1h", "", AWAY)
    run = subprocess.Popen([str(smelt.path), "run", "shop.yaml"], cwd=folder, text=True,
                           stderr=subprocess.PIPE, env={**os.environ, **NOBODY})
    line = run.stderr.readline()
    assert line.startswith("again   gold.away in ") and 1800 <= float(line.split(" in ")[1].split()[0]) <= 3600
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert time.monotonic() - started < 30
    run.stderr.close()
