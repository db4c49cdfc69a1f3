"""Tables with `append:`: the rows of each value of the variable are added once, whatever is run again
and however often. The rows are compared with DuckDB doing the same by SQL."""
import json
import os
import subprocess

import deltalake
import duckdb
import pytest

PIPELINE = """\
name: visits
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  day: {type: date}
lake: lake
sources:
  - {name: logs}
tasks:
  - {load: raw.visits, from: logs, sql: visits.sql, by: day}
  - {table: mart.days, sql: days.sql, append: day}
"""
SQL = {
    "visits": "SELECT page, file_date AS day FROM read_json(var('logs'), columns => {page: 'VARCHAR'}, "
              "file_date => true)",
    "days": "SELECT page, day, count(*) AS n FROM raw.visits WHERE day = var('day') GROUP BY page, day",
}
PAGES = {"2023-01-01": "aab", "2023-01-02": "bc", "2023-01-03": "ccc"}


class Visits:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "logs").mkdir()
        (folder / "p.yaml").write_text(PIPELINE)
        for name, text in SQL.items():
            (folder / f"{name}.sql").write_text(text)
        for day, pages in PAGES.items():
            self.log(day, pages)

    def log(self, day, pages):
        (self.folder / "logs" / f"{day.replace('-', '')}.json").write_text(
            "".join(json.dumps({"page": page}) + "\n" for page in pages))

    def change(self, name, old, new):
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def run(self, day, *options, check=True, **kwargs):
        return self.smelt("run", "p.yaml", "--date", day, *options, check=check, **kwargs)

    def version(self, day, *options):
        """Of mart.days; None: nothing was written."""
        said = json.loads(self.run(day, "--json", *options).stdout)
        return {t["name"]: t["version"] for t in said["tables"]}["mart.days"]

    def rows(self):
        return [(row["page"], row["day"], row["n"]) for row in
                self.smelt.sql("SELECT * FROM mart.days ORDER BY ALL", "--lake", str(self.lake))]

    def wanted(self, *days):
        """What DuckDB adds for these days."""
        peer = duckdb.connect()
        peer.execute("CREATE TABLE days (page VARCHAR, day VARCHAR, n BIGINT)")
        for day in days:
            peer.execute("INSERT INTO days SELECT page, ?, count(*) FROM "
                         "(SELECT unnest(string_split(?, '')) AS page) GROUP BY page", [day, PAGES[day]])
        return peer.execute("SELECT * FROM days ORDER BY ALL").fetchall()


@pytest.fixture
def visits(smelt, tmp_path):
    return Visits(smelt, tmp_path)


DAYS = list(PAGES)


def test_each_day_is_added_once_in_any_order(visits):
    """A late day, days again, and all of them once more: no row twice, and nothing is said."""
    assert [visits.version(day) for day in (DAYS[0], DAYS[2], DAYS[1])] == [0, 1, 2]
    assert visits.rows() == visits.wanted(*DAYS)
    for day in DAYS:
        again = visits.run(day, "--quiet")
        assert (again.stdout, again.stderr) == ("", "")
        assert visits.version(day) is None
    assert visits.rows() == visits.wanted(*DAYS)


def test_rows_that_were_added_stay_and_the_run_says_so(visits):
    visits.run(DAYS[0])
    visits.log(DAYS[0], "zz")
    said = visits.run(DAYS[0], "--quiet").stderr
    assert "warning version 0 of mart.days has added the rows of day=2023-01-01: they stay" in said
    assert visits.rows() == visits.wanted(DAYS[0])


def test_a_day_without_rows_may_get_them_later(visits):
    visits.log(DAYS[1], "")
    visits.run(DAYS[0])
    assert "mart.days has no rows of this run" in visits.run(DAYS[1]).stderr
    visits.log(DAYS[1], PAGES[DAYS[1]])
    assert visits.version(DAYS[1]) == 1
    assert visits.rows() == visits.wanted(DAYS[0], DAYS[1])


def test_a_restored_table_gets_the_rows_again_that_it_lost(visits):
    for day in DAYS:
        visits.run(day)
    visits.smelt("table", "restore", str(visits.lake / "mart/days"), "--version", "0")
    assert visits.rows() == visits.wanted(DAYS[0])
    assert [visits.version(day) for day in DAYS] == [None, 4, 5]
    assert visits.rows() == visits.wanted(*DAYS)


def test_a_full_refresh_begins_anew(visits):
    for day in DAYS[:2]:
        visits.run(day)
    said = visits.run(DAYS[2], "--full-refresh", "mart.days").stderr
    assert "was made anew with the rows of 2023-01-03 only" in said
    assert visits.rows() == visits.wanted(DAYS[2])
    assert [visits.version(day) for day in DAYS] == [3, 4, None]
    assert visits.rows() == visits.wanted(*DAYS)


def test_others_may_change_rows_but_not_overwrite_them(visits):
    visits.run(DAYS[0])
    table = deltalake.DeltaTable(str(visits.lake / "mart/days"))
    table.delete("page = 'a'")
    assert visits.version(DAYS[0]) is None
    rows = table.to_pyarrow_table()
    deltalake.write_deltalake(table, rows, mode="overwrite")
    failed = visits.run(DAYS[0], check=False)
    assert failed.returncode == 1
    assert ("version 2, by another writer, has overwritten rows of mart.days, so it is not known whether "
            "it still has those of day=2023-01-01") in failed.stderr
    assert "Restore it to version 1" in failed.stderr
    assert visits.version(DAYS[1]) == 3  # rows that it never had


@pytest.mark.parametrize("before, said", [
    ("", "has rows that version 0 has written as a whole"),
    (", append: batch", "has rows that version 0 has added for batch=7"),
])
def test_rows_that_another_form_of_the_task_wrote_are_not_added_again(visits, before, said):
    visits.change("p.yaml", "  day: {type: date}", "  day: {type: date}\n  batch: {type: integer, default: '7'}")
    visits.change("p.yaml", ", append: day", before)
    visits.run(DAYS[0])
    rows = visits.rows()
    visits.change("p.yaml", "sql: days.sql" + before, "sql: days.sql, append: day")
    failed = visits.run(DAYS[0], check=False)
    assert failed.returncode == 1 and said in failed.stderr and "--full-refresh mart.days" in failed.stderr
    assert visits.rows() == rows


def test_two_runs_at_once_add_the_rows_once(visits):
    """Each ends well or with a conflict; a conflict is run again."""
    visits.run(DAYS[0])
    env = {**os.environ}
    command = [str(visits.smelt.path), "run", "p.yaml", "--date", DAYS[1]]
    both = [subprocess.Popen(command, cwd=visits.folder, env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(p.communicate(timeout=60)[1], p.returncode) for p in both]
    assert {code for _, code in ends} <= {0, 4}, ends
    assert 0 in {code for _, code in ends}, ends
    visits.run(DAYS[1])
    assert visits.rows() == visits.wanted(DAYS[0], DAYS[1])


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_a_killed_run_adds_the_rows_once(visits, kind):
    visits.run(DAYS[0])
    for k in range(1, 40):
        done = visits.run(DAYS[1], check=False, env={"SMELT_FAULT": f"at={k},kind={kind},writes=1"})
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        visits.run(DAYS[1])
        assert visits.rows() == visits.wanted(DAYS[0], DAYS[1]), f"after a kill at write {k}"
        visits.smelt("table", "restore", str(visits.lake / "mart/days"), "--version", "0")
    assert k > 5
