"""`smelt run` as a user sees it: errors have a place and come before anything is published, loaded
files are not loaded again, and the rows of each file are there exactly once."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from common import wait_until_caught
from shop import PIPELINE, REPORT_KEYS, SQL, data_files, line, transactions

# ---- what is there ----------------------------------------------------------------------------


def test_a_run_makes_its_tables(shop):
    report = shop.run()
    assert list(report) == REPORT_KEYS
    assert 0 < report["mixed_seconds"] < report["seconds"]
    assert report["lines"] == {"read": 6, "kept": 4, "quarantined": 2, "blank": 0}
    assert report["files"] == {"read": 2, "skipped": 0, "ignored": 0}
    assert report["missing_days"] == [f"2022-04-{day:02}" for day in range(3, 31)]
    assert {table["name"]: (table["version"], table["rows"]) for table in report["tables"]} == {
        "raw.orders": (0, 4), "mart.cities": (0, 2), "mart.best": (0, 1), "refused.orders": (0, 2)}
    assert shop.ids() == [1, 2, 3, 4]
    assert sorted((row["city"], row["n"]) for row in shop.rows("mart.cities")) == [
        ("Oslo", 7), ("Rome", 3)]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]
    names = list(shop.rows("refused.orders")[0])
    assert names == ["file", "line", "byte_offset", "column", "reason", "message", "raw",
                     "raw_bytes", "run", "time", "replayed"]
    assert [row["column"] for row in shop.rows("refused.orders")] == [None, "id"]


def test_the_roots_exclude_each_other(shop):
    assert "exclude each other" in shop.fail("--same-root", "--other-root", code=2)


def test_a_morsel_is_a_multiple_of_what_is_hashed(shop):
    assert "not a multiple of 64KiB" in shop.fail("--morsel-size", "100KB", code=2)


def test_without_json_the_summary_is_on_stderr(shop):
    done = shop.process()
    assert done.stdout == ""
    assert "6 read = 4 kept + 2 quarantined + 0 blank" in done.stderr
    assert "missing 2022-04-03" in done.stderr
    assert "raw.orders" in done.stderr
    assert re.search(r"^published 4 tables in \d+\.\d ms$", done.stderr, re.M)
    assert "published" not in shop.process().stderr  # nothing new, no publication


def test_what_a_commit_says_of_its_run(shop):
    shop.run("--date", "2022-04-02")
    commit = (shop.lake / "mart/cities/_delta_log/00000000000000000000.json").read_text()
    info = [json.loads(row)["commitInfo"] for row in commit.splitlines() if "commitInfo" in row][0]
    said = json.loads(info["userMetadata"])
    assert (said["pipeline"], said["month"]) == ("shop", "2022-04")
    assert said["run"].startswith("shop-2022-04-02-") and len(said["run"]) == len("shop-2022-04-02-") + 8
    assert said["inputs"] == [{"table": "raw.orders", "state": f"run {said['run']}"}]


def test_a_table_is_read_behind_the_task_that_makes_it_wherever_it_stands(shop):
    shop.sql("cities", "SELECT city FROM raw.orders GROUP BY city, (SELECT max(id) FROM mart.best) "
                       "ORDER BY city")
    shop.sql("best", "SELECT id FROM raw.orders WHERE id = 1")
    report = shop.run()
    names = [table["name"] for table in report["tables"]]
    assert names.index("mart.best") < names.index("mart.cities")
    assert shop.rows("mart.cities") == [{"city": "Oslo"}, {"city": "Rome"}]


def test_month_is_that_of_the_date(shop):
    done = shop.smelt("run", shop.file, "--date", "2022-04-17", "--json")
    assert json.loads(done.stdout)["files"]["read"] == 2


@pytest.mark.parametrize("date, name", [
    ("2022-04-30T06:00", "2022-04-30T06:00:00Z"),
    ("2022-04-30 06:00:00Z", "2022-04-30T06:00:00Z"),
    ("2022-05-01T01:00+02:00", "2022-04-30T23:00:00Z"),
    ("2022-04-30T00:00", "2022-04-30"),
])
def test_a_date_may_have_a_time(shop, date, name):
    """The month is that of the day in UTC; the run's id has the time where it is not midnight."""
    done = shop.smelt("run", shop.file, "--date", date, "--json")
    assert json.loads(done.stdout)["files"]["read"] == 2
    commit = (shop.lake / "mart/cities/_delta_log/00000000000000000000.json").read_text()
    info = [json.loads(row)["commitInfo"] for row in commit.splitlines() if "commitInfo" in row][0]
    said = json.loads(info["userMetadata"])
    assert said["month"] == "2022-04" and said["run"].startswith(f"shop-{name}-")


@pytest.mark.parametrize("date", ["2022-4-30", "06:00", "epoch", "infinity", "2022-04-31",
                                  "2022-04-30T25:00", "2022-04-30T06:00:00.0000001", ""])
def test_a_date_that_is_none(shop, date):
    assert f'--date "{date}" is not a date' in shop.fail("--date", date, code=2)


# ---- exactly once -----------------------------------------------------------------------------


def test_the_same_run_again_does_nothing(shop):
    shop.run()
    before = shop.versions()
    again = shop.run()
    assert shop.versions() == before
    assert again["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    assert again["lines"] == {"read": 0, "kept": 0, "quarantined": 0, "blank": 0}
    assert {table["name"]: (table["version"], table["rows"]) for table in again["tables"]} == {
        "raw.orders": (None, 4), "mart.cities": (None, 2), "mart.best": (None, 1),
        "refused.orders": (None, 2)}


def test_a_new_file_is_appended(shop):
    shop.run()
    kept = data_files(shop.lake / "raw/orders")
    shop.put("20220402_b.json", line(5), "broken\n")
    report = shop.run()
    assert report["files"] == {"read": 1, "skipped": 2, "ignored": 0}
    assert shop.ids() == [1, 2, 3, 4, 5]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2), ("20220402_b.json", 2)]
    assert kept < data_files(shop.lake / "raw/orders")


def test_a_changed_file_replaces_its_date_from_all_its_files(shop):
    shop.put("20220401_b.json", line(6), "broken too\n")
    shop.run()
    shop.put("20220401.json", "first\n", line(7), "last\n")
    shop.put("20220403.json", line(8))
    report = shop.run()
    assert report["files"] == {"read": 3, "skipped": 1, "ignored": 0}
    assert sorted(shop.ids()) == [3, 4, 6, 7, 8]
    assert shop.refused() == [("20220401.json", 1), ("20220401.json", 3), ("20220401_b.json", 2),
                              ("20220402.json", 2)]
    assert shop.versions() == {"refused/orders": 1, "raw/orders": 1, "mart/cities": 1, "mart/best": 1}
    for table in ("raw/orders", "refused/orders"):
        assert transactions(shop.lake / table) == {
            "20220401.json": 1, "20220401_b.json": 1, "20220402.json": 0, "20220403.json": 0}
    assert shop.run()["files"] == {"read": 0, "skipped": 4, "ignored": 0}


def test_a_touched_file_is_told_by_its_hash(shop):
    shop.run()
    before = shop.versions()
    os.utime(shop.logs / "20220401.json", (1, 1))
    assert shop.run()["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    assert shop.versions() == before


def test_same_size_other_bytes_is_another_file(shop):
    shop.run()
    shop.put("20220401.json", line(9), line(2, "Oslo", 7), "broken\n")
    os.utime(shop.logs / "20220401.json", (1, 1))
    shop.run()
    assert sorted(shop.ids()) == [2, 3, 4, 9]


def test_a_file_that_is_gone_keeps_its_rows(shop):
    shop.run()
    os.remove(shop.logs / "20220401.json")
    done = shop.process()
    assert "gone    20220401.json" in done.stderr
    assert shop.ids() == [1, 2, 3, 4]


def test_a_gone_file_whose_date_is_replaced_comes_back(shop):
    shop.put("20220401_b.json", line(6))
    shop.run()
    data = (shop.logs / "20220401.json").read_text()
    os.remove(shop.logs / "20220401.json")
    shop.put("20220401_b.json", line(6), line(7))
    done = shop.process()
    assert "warning 20220401.json is gone" in done.stderr
    assert sorted(shop.ids()) == [3, 4, 6, 7]
    assert shop.refused() == [("20220402.json", 2)]
    assert "20220401.json" not in shop.process().stderr
    shop.put("20220401.json", data)
    shop.run()
    assert sorted(shop.ids()) == [1, 2, 3, 4, 6, 7]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]


def test_identities_survive_commits_of_others_and_a_cleaned_log(shop):
    """The books lie beside the data, and the log's transactions name them: what commits say else may be
    lost. Without their file nobody knows what is in the table."""
    shop.run()
    shop.put("20220403.json", line(5))
    shop.run()
    log = shop.lake / "raw/orders/_delta_log"
    first, second = log / f"{0:020}.json", log / f"{1:020}.json"
    for path in (first, second):  # another writer's commits tell nothing
        rows = [json.loads(row) for row in path.read_text().splitlines()]
        for row in rows if path == first else []:
            row.get("commitInfo", {}).pop("smelt", None)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
    rows = [json.loads(row) for row in second.read_text().splitlines()]
    for row in rows:
        row.get("commitInfo", {}).pop("smelt", None)
    second.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]
    for path in (shop.lake / "raw/orders/_smelt").iterdir():
        path.unlink()
    assert "Without its books" in shop.fail()


@pytest.mark.parametrize("table", ["raw/orders", "refused/orders"])
def test_the_advice_on_lost_books_helps(shop, table):
    shop.run()
    shutil.rmtree(shop.lake / table / "_smelt")
    said = shop.fail()
    assert f"what is in {table.replace('/', '.')}." in said and "move the table's folder away" in said
    assert "Without its books" in shop.fail("--full-refresh", "raw.orders")
    os.rename(shop.lake / table, shop.folder / "away")
    shop.run()
    assert shop.ids() == [1, 2, 3, 4]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]


def test_the_advice_on_an_overwritten_quarantine_helps(shop):
    """Its rows come with those of a load, so the load is what is named."""
    shop.run()
    shop.smelt("sql", "--write", "CREATE OR REPLACE TABLE refused.orders AS SELECT 1 AS a", "--lake", shop.lake)
    said = shop.fail()
    assert "overwritten rows of refused.orders" in said
    assert "Restore the table to version 0, or load all files again: --full-refresh raw.orders." in said
    shop.run("--full-refresh", "raw.orders")
    assert shop.ids() == [1, 2, 3, 4]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]


def test_a_lost_quarantine_is_made_again(shop):
    shop.run()
    shutil.rmtree(shop.lake / "refused")
    shop.run()
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]
    assert shop.versions()["raw/orders"] == 0
    assert shop.ids() == [1, 2, 3, 4]


def test_a_lost_table_is_loaded_again_without_refusing_twice(shop):
    shop.run()
    shutil.rmtree(shop.lake / "raw")
    shop.run()
    assert shop.ids() == [1, 2, 3, 4]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]


def test_an_empty_file_is_a_missing_day(shop):
    shop.put("20220403.json")
    shop.put("20220404.json", "\n", "  \n")
    for _ in range(2):
        missing = shop.run()["missing_days"]
        assert missing == [f"2022-04-{day:02}" for day in range(3, 31)]


def test_other_months_are_not_opened_and_keep_their_rows(shop):
    shop.run()
    shop.put("20220501.json", line(50))
    (shop.logs / "20220331.json").mkdir()
    report = shop.run(month="2022-05")
    assert report["files"] == {"read": 1, "skipped": 0, "ignored": 1}
    assert shop.ids() == [1, 2, 3, 4, 50]
    assert shop.run()["files"] == {"read": 0, "skipped": 2, "ignored": 1}


def test_a_table_is_made_anew_when_its_sql_changes(shop):
    shop.run()
    shop.sql("good", "SELECT * FROM raw.orders WHERE n > 1")
    report = shop.run()
    assert {table["name"]: table["version"] for table in report["tables"]} == {
        "raw.orders": None, "mart.cities": 1, "mart.best": 1, "refused.orders": None}
    assert shop.rows("mart.cities") == [{"city": "Oslo", "n": 7}]


@pytest.mark.parametrize("relation, warns", [
    ("delta_scan('{lake}/raw/orders')", True), ("'{lake}/mart/../raw/orders'", True), ("raw.orders", False),
    ("delta_scan('{lake}/raw/orders', version => 0)", False), ("raw.orders AT (VERSION => 0)", False)])
def test_a_table_of_the_run_by_its_path_is_read_as_published(shop, relation, warns):
    shop.run()
    shop.sql("best", f"SELECT count(*) AS n FROM {relation.format(lake=shop.lake)}")
    shop.put("20220403.json", line(5))
    warning = "warning mart.best names raw.orders by its path, and reads it as it was before this run"
    assert shop.process("--quiet").stderr.count(warning) == warns
    assert shop.rows("mart.best") == [{"n": 5 if relation == "raw.orders" else 4}]


def test_a_task_may_read_its_own_table_by_its_path(shop):
    shop.run()
    shop.sql("best", "SELECT 1 AS n")
    shop.run()
    shop.sql("best", f"SELECT n + 1 AS n FROM '{shop.lake}/mart/best'")
    assert [shop.process("--quiet").stderr for _ in range(2)] == ["", ""]
    assert shop.rows("mart.best") == [{"n": 3}]


# ---- what is no file ---------------------------------------------------------------------------


def test_what_is_no_file_is_ignored_and_counted(shop):
    """A folder, a link to one, links to nowhere and in a circle, a pipe: whatever their names."""
    (shop.logs / "20220403.json").mkdir()
    (shop.logs / "20220403.json/20220404.json").write_text(line(9))
    (shop.logs / "20220405.json").symlink_to("20220403.json")
    (shop.logs / "20220406.json").symlink_to("nowhere")
    (shop.logs / "20220407.json").symlink_to("20220407.json")
    os.mkfifo(shop.logs / "20220408.json")
    (shop.logs / "notes.txt").write_text("x")
    elsewhere = shop.folder / "elsewhere"
    elsewhere.write_text(line(5))
    (shop.logs / "20220409.json").symlink_to(elsewhere)
    report = shop.run()
    assert report["files"] == {"read": 3, "skipped": 0, "ignored": 6}
    assert shop.ids() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("n, others", [(0, "0 others"), (1, "1 other"), (2, "2 others")])
def test_a_folder_without_logs_tells_what_is_there(shop, n, others):
    for log in shop.logs.iterdir():
        log.unlink()
    for i in range(n):
        (shop.logs / f"notes{i}.txt").write_text("x")
    error = shop.fail()
    assert f"It has no file whose name matches, and {others}." in error


def test_a_folder_in_a_circle_is_read_once(shop):
    (shop.logs / "again").symlink_to(".")
    (shop.logs / "up").symlink_to("..")
    rows = shop.smelt.sql(f"SELECT count(*) AS n FROM read_json('{shop.logs}/**/*.json', "
                          "columns => {id: 'BIGINT'}, bad_lines => 'skip', validate => 'all')")
    assert rows == [{"n": 4}]


# ---- one task ---------------------------------------------------------------------------------


def test_one_task(shop):
    shop.run("--task", "raw.orders")
    assert shop.versions() == {"refused/orders": 0, "raw/orders": 0, "mart/cities": -1, "mart/best": -1}
    report = shop.run("--task", "mart.cities")
    assert [table["name"] for table in report["tables"]] == ["mart.cities"]
    assert shop.versions()["mart/best"] == -1
    report = shop.run("--task", "mart.good+")
    assert [table["name"] for table in report["tables"]] == ["mart.cities", "mart.best"]
    assert shop.rows("mart.best") == [{"city": "Oslo"}]


def test_a_task_that_is_none(shop):
    assert "Did you mean \"raw.orders\"?" in shop.fail("--task", "raw.order")


def test_a_task_whose_input_is_not_there(shop):
    assert "no table \"raw.orders\"" in shop.fail("--task", "mart.cities")


# ---- what is wrong ----------------------------------------------------------------------------


def test_no_folder(shop):
    shutil.rmtree(shop.logs)
    assert str(shop.logs) in shop.fail()


def test_no_file_of_the_month(shop):
    said = shop.fail(month="2022-06")
    assert str(shop.logs) in said and "2022-06-01 to 2022-06-30" in said
    assert "2022-04-01 to 2022-04-02" in said


@pytest.mark.parametrize("name", ["orders.json", "20220432.json", "20220401_20220402.json"])
def test_a_file_without_one_date(shop, name):
    shop.put(name, line(1))
    said = shop.fail()
    assert name in said and "like 20220401, or leave the file out with match" in said


def test_a_file_that_is_cut_says_what_to_do(shop):
    whole = gzip.compress(line(1).encode() * 1000)
    (shop.logs / "20220403.json.gz").write_bytes(whole[:-20])
    said = shop.fail()
    assert "20220403.json.gz" in said and "ends too early" in said and "Copy the file again" in said
    (shop.logs / "20220403.json.gz").write_bytes(whole)
    assert shop.run()["lines"]["read"] == 1006


@pytest.mark.parametrize("old, new, place, says", [
    ("name: shop", "name: [shop", "shop.yaml:", "not YAML"),
    ("    by: day", "    bye: day", "shop.yaml:16:5", "Did you mean \"by\"?"),
    ("from: logs", "from: log", "shop.yaml:14:11", "Did you mean \"logs\"?"),
    ("lake: lake", "lake: lakes", "shop.yaml:6:7", "Did you mean \"lake\"?"),
    ("sql: good.sql", "sql: god.sql", "god.sql", "mart.good"),
])
def test_broken_yaml(shop, old, new, place, says):
    shop.write(PIPELINE.replace(old, new, 1))
    said = shop.fail()
    assert place in said and says in said


def test_tasks_in_a_circle(shop):
    shop.sql("orders", "SELECT * FROM mart.best")
    said = shop.fail()
    for name in ("raw.orders", "mart.good", "mart.cities", "mart.best"):
        assert name in said


@pytest.mark.parametrize("name, text, place, says", [
    ("cities", "SELECT ctiy, count(*) AS n\nFROM mart.good GROUP BY 1", "cities.sql:1:8", "\"city\""),
    ("good", "SELECT *\nFROM raw.orders WHERE ctiy > 0", "good.sql:2:23", "\"city\""),
    ("best", "SELECT city FRM mart.cities", "best.sql:1:", ""),
])
def test_wrong_sql(shop, name, text, place, says):
    shop.sql(name, text)
    said = shop.fail()
    assert place in said and says in said


@pytest.mark.parametrize("text, says", [
    (SQL["orders"].replace("SELECT id,", "SELECT DISTINCT id,"), "one by one|file by file"),
    (SQL["orders"].replace("file_date AS day", "DATE '2022-04-01' AS day"), "not file_date"),
    (SQL["orders"].replace("AS day", "AS date"), "no column"),
])
def test_a_load_that_is_not_by_file(shop, text, says):
    shop.sql("orders", text)
    said = shop.fail()
    assert any(part in said for part in says.split("|")), said


def test_a_table_with_another_schema(shop):
    shop.run()
    shop.sql("orders", SQL["orders"].replace("item.n AS n", "CAST(item.n AS DOUBLE) AS n"))
    shop.put("20220403.json", line(5))
    said = shop.fail()
    assert "\"n\"" in said and "raw.orders" in said


def test_wrong_words(shop):
    assert "Did you mean \"month\"?" in shop.fail("--var", "mnth=2022-04", code=2)
    assert "like 2022-04" in shop.fail(month="2022-4", code=2)
    assert "K=V" in shop.fail("--var", "month", code=2)
    assert "--task" in shop.fail("--tsk", "x", code=2)
    assert "Did you mean \"run\"?" in shop.smelt("rum", check=False).stderr


def test_a_lake_that_may_not_be_written(shop):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    shop.lake.mkdir(mode=0o755)
    for folder in [shop.folder, *shop.folder.parents]:
        if folder != folder.parent and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    history = shop.folder / "history"
    history.mkdir()
    history.chmod(0o777)
    said = shop.fail(user="nobody", group="nogroup", env={"SMELT_STATE": str(history)})
    assert "permission" in said.lower() and str(shop.lake) in said


def test_a_full_disk(shop):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    shop.lake.mkdir()
    shop.put("20220403.json", *(line(n, os.urandom(40).hex()) for n in range(20000)))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", shop.lake]).returncode:
        pytest.skip("cannot mount here")
    try:
        said = shop.fail()
        assert "space" in said.lower() or "full" in said.lower()
        left = [path for path in shop.lake.rglob("*") if path.is_file()]
        assert not left, "files of the failed run are left"
    finally:
        subprocess.run(["umount", shop.lake], check=True)


def test_interrupt(shop):
    """Ctrl-C in the midst of a slow run: 130, nothing published."""
    shop.put("20220403.json", *(line(n, "x" * 50) for n in range(300_000)))
    command = [str(shop.smelt.path), "run", str(shop.file), "--var", f"logs={shop.logs}", "--var",
               f"lake={shop.lake}", "--var", "month=2022-04", "--threads", "1"]
    slow = {**os.environ, "SMELT_FAULT": "bytes_per_s=4000000"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=slow) as process:
        wait_until_caught(process, signal.SIGINT)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert set(shop.versions().values()) == {-1}
    assert not list(shop.lake.rglob("*.parquet"))
