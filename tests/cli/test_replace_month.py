"""What a table keeps of other months: nothing if it is overwritten, which the run reports;
everything with `replace: month`."""
import json
import subprocess

import deltalake
import pytest

PIPELINE = """\
name: visits
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month}
  day: {type: date, default: '2023-01-31'}
  batch: {type: integer, default: '7'}
lake: lake
sources:
  - {name: logs, window: month}
tasks:
  - {load: raw.visits, from: logs, sql: visits.sql, by: day}
  - {view: mart.seen, sql: seen.sql}
  - {table: mart.pages, sql: pages.sql}
  - {table: mart.top, sql: top.sql}
  - {table: mart.all_pages, sql: all_pages.sql}
  - {table: mart.monthly, sql: monthly.sql, replace: month}
"""
SQL = {
    "visits": "SELECT page, file_date AS day FROM read_json(var('logs'), columns => {page: 'VARCHAR'}, "
              "file_date => true)",
    "seen": "SELECT * FROM raw.visits WHERE strftime(day, '%Y-%m') = var('month')",
    "pages": "SELECT page, count(*) AS n FROM mart.seen GROUP BY page",
    "top": "SELECT page FROM mart.pages WHERE n > 1",
    "all_pages": "SELECT page, count(*) AS n FROM raw.visits GROUP BY page",
    "monthly": "SELECT var('month') AS month, page, count(*) AS n FROM mart.seen GROUP BY page",
}


class Visits:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "logs").mkdir()
        (folder / "p.yaml").write_text(PIPELINE)
        for name, text in SQL.items():
            (folder / f"{name}.sql").write_text(text)

    def log(self, date, *pages):
        (self.folder / "logs" / f"{date}.json").write_text(
            "".join(json.dumps({"page": page}) + "\n" for page in pages))

    def run(self, month, *options, check=True):
        return self.smelt("run", "p.yaml", "--var", f"month={month}", *options, check=check)

    def json(self, month, *options):
        return json.loads(self.run(month, "--json", *options).stdout)

    def change(self, name, old, new):
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def rows(self, table, columns="*"):
        return [tuple(row.values()) for row in
                self.smelt.sql(f"SELECT {columns} FROM {table} ORDER BY ALL", "--lake", str(self.lake))]


@pytest.fixture
def visits(smelt, tmp_path):
    v = Visits(smelt, tmp_path)
    v.log("20230101", "a", "a", "b")
    v.log("20230201", "b")
    return v


# ---- overwritten tables -----------------------------------------------------------------------


def test_a_run_says_which_tables_hold_one_month_only(visits):
    said = visits.run("2023-01").stderr
    assert "window  mart.pages, mart.top hold 2023-01 only\n" in said
    tables = {t["name"]: t.get("window") for t in visits.json("2023-02")["tables"]}
    assert tables == {"raw.visits": None, "mart.pages": "2023-02", "mart.top": "2023-02",
                      "mart.all_pages": None, "mart.monthly": None}
    assert visits.rows("mart.pages") == [("b", 1)]
    assert visits.rows("mart.all_pages") == [("a", 2), ("b", 2)]
    # Skipped, and made alone: what it is made of still tells.
    again = {t["name"]: t.get("window") for t in visits.json("2023-02")["tables"]}
    assert again == tables
    alone = visits.json("2023-02", "--task", "mart.top")["tables"]
    assert [(t["name"], t["window"]) for t in alone] == [("mart.top", "2023-02")]


# ---- replaced rows ----------------------------------------------------------------------------


def test_rows_of_other_months_stay(visits):
    visits.run("2023-01")
    visits.run("2023-02")
    assert visits.rows("mart.monthly") == [("2023-01", "a", 2), ("2023-01", "b", 1), ("2023-02", "b", 1)]
    visits.log("20230102", "c")
    visits.run("2023-01")
    assert visits.rows("mart.monthly") == [("2023-01", "a", 2), ("2023-01", "b", 1), ("2023-01", "c", 1),
                                           ("2023-02", "b", 1)]


def test_the_same_month_again_is_skipped_whatever_came_between(visits):
    """Each month has a fingerprint of its own; another writer's commit ends what is known."""
    visits.change("p.yaml", "  - {table: mart.monthly", "  - {table: mart.other, sql: other.sql, replace: "
                  "month}\n  - {table: mart.monthly")
    (visits.folder / "other.sql").write_text("SELECT var('month') AS month, 1 AS n")
    version = lambda month: {t["name"]: t["version"] for t in visits.json(month)["tables"]}["mart.other"]  # noqa: E731
    for month in ("2023-01", "2023-02"):
        visits.log(month.replace("-", "") + "09", "x")
    assert [version("2023-01"), version("2023-02")] == [0, 1]
    assert [version("2023-01"), version("2023-02"), version("2023-01")] == [None, None, None]
    deltalake.DeltaTable(str(visits.lake / "mart/other")).delete("month = '2023-01'")
    assert version("2023-01") == 3
    assert visits.rows("mart.other") == [("2023-01", 1), ("2023-02", 1)]


@pytest.mark.parametrize("name, old, new", [
    ("monthly.sql", "count(*) AS n", "count(*) * 100 AS n"),
    ("seen.sql", "WHERE", "WHERE page <> 'z' AND"),  # a view that it is made of
    ("monthly.sql", "FROM mart.seen", "FROM mart.seen WHERE page <> 'z'"),
])
def test_rows_of_another_query_beside_those_of_other_months_are_told(visits, name, old, new):
    visits.run("2023-01")
    assert "warning the SQL" not in visits.run("2023-02").stderr
    visits.change(name, old, new)
    said = visits.run("2023-02", "--quiet").stderr
    assert "warning the SQL of mart.monthly has changed" in said and '"month"' in said
    for month in ("2023-02", "2023-01"):  # once
        assert "warning the SQL" not in visits.run(month).stderr
    visits.change(name, new, old)
    assert "warning the SQL" not in visits.run("2023-01", "--full-refresh", "mart.monthly").stderr


@pytest.mark.parametrize("name, old, new", [
    ("monthly.sql", "SELECT", "select -- a month's\n"),
    ("seen.sql", "*", " * "),
    ("p.yaml", "replace: month", "replace: batch"),
])
def test_the_same_query_is_no_other_one(visits, name, old, new):
    if name == "p.yaml":
        visits.change("monthly.sql", "var('month') AS month", "var('batch') AS batch")
    else:
        visits.run("2023-01")
    visits.change(name, old, new)
    visits.log("20230202", "c")
    visits.run("2023-02")
    assert "warning the SQL" not in visits.run("2023-02", "--var", "batch=8").stderr


def test_a_month_without_rows_takes_its_rows_out(visits):
    visits.run("2023-01")
    visits.run("2023-02")
    visits.change("monthly.sql", "FROM mart.seen", "FROM mart.seen WHERE page = 'a'")
    said = visits.run("2023-02").stderr
    assert "mart.monthly has no rows of this run" in said
    assert visits.rows("mart.monthly") == [("2023-01", "a", 2), ("2023-01", "b", 1)]


def test_a_first_month_without_rows_makes_the_table(visits):
    visits.change("monthly.sql", "FROM mart.seen", "FROM mart.seen WHERE page = 'z'")
    visits.run("2023-01")
    assert visits.rows("mart.monthly") == []


@pytest.mark.parametrize("var, expression, rows", [
    ("month", "CASE WHEN page = 'b' THEN '2022-12' ELSE var('month') END", "'2022-12'"),
    ("month", "CASE WHEN page = 'b' THEN NULL ELSE var('month') END", "NULL"),
    ("day", "CASE WHEN page = 'b' THEN DATE '2020-01-01' ELSE var('day') END", "2020-01-01"),
    ("batch", "var('batch') + CASE WHEN page = 'b' THEN 1 ELSE 0 END", "8"),
])
def test_a_row_of_another_value_is_an_error(visits, var, expression, rows):
    visits.change("p.yaml", "replace: month", f"replace: {var}")
    visits.change("monthly.sql", "var('month') AS month", f"{expression} AS {var}")
    visits.change("monthly.sql", "GROUP BY page", "GROUP BY ALL")
    failed = visits.run("2023-01", check=False)
    assert failed.returncode == 1
    assert f'column "{var}" has the value {rows.strip(chr(39))} in a row, and must have ' in failed.stderr
    assert not (visits.lake / "mart/monthly/_delta_log").exists()


@pytest.mark.parametrize("var, value", [("day", "2023-01-15"), ("batch", "8"), ("month", "2023-01")])
def test_each_type_of_variable(visits, var, value):
    visits.change("p.yaml", "replace: month", f"replace: {var}")
    visits.change("monthly.sql", "var('month') AS month", f"var('{var}') AS {var}")
    visits.run("2023-01")
    visits.run("2023-01", "--var", f"{var}={value}")
    visits.run("2023-01", "--var", f"{var}={value}")
    first = {"day": "2023-01-31", "batch": 7, "month": "2023-01"}[var]
    second = int(value) if var == "batch" else value
    wanted = sorted({(v, page, n) for v in (first, second) for page, n in (("a", 2), ("b", 1))})
    assert visits.rows("mart.monthly") == wanted


@pytest.mark.parametrize("old, new, said", [
    ("var('month') AS month, ", "", 'its SQL has no column "month"'),
    ("var('month') AS month", "var('month') AS Month", 'its SQL has no column "month"'),
    ("var('month') AS month", "1 AS month", 'column "month" is INTEGER, the variable is VARCHAR'),
])
def test_a_column_of_another_name_or_type(visits, old, new, said):
    visits.change("monthly.sql", old, new)
    failed = visits.run("2023-01", check=False)
    assert failed.returncode == 1 and said in failed.stderr


def test_a_table_that_had_no_such_column(visits):
    visits.change("p.yaml", ", replace: month", "")
    visits.change("monthly.sql", "var('month') AS month, ", "")
    visits.run("2023-01")
    visits.change("p.yaml", "sql: monthly.sql", "sql: monthly.sql, replace: month")
    visits.change("monthly.sql", "SELECT ", "SELECT var('month') AS month, ")
    failed = visits.run("2023-01", check=False)
    assert failed.returncode == 1 and "--full-refresh mart.monthly" in failed.stderr
    assert "window" in visits.run("2023-01", "--full-refresh", "mart.monthly").stderr
    assert visits.rows("mart.monthly") == [("2023-01", "a", 2), ("2023-01", "b", 1)]


def test_two_months_at_once(visits):
    visits.run("2023-01")
    visits.run("2023-02")
    visits.log("20230102", "c")
    visits.log("20230202", "d")
    runs = [subprocess.Popen([visits.smelt.path, "run", "p.yaml", "--var", f"month={month}"],
                             cwd=visits.folder, stderr=subprocess.PIPE, text=True)
            for month in ("2023-01", "2023-02")]
    said = [run.communicate(timeout=60)[1] for run in runs]
    assert all(run.returncode in (0, 4) for run in runs), said
    for month in ("2023-01", "2023-02"):
        visits.run(month)
    assert visits.rows("mart.monthly") == [("2023-01", "a", 2), ("2023-01", "b", 1), ("2023-01", "c", 1),
                                           ("2023-02", "b", 1), ("2023-02", "d", 1)]


# ---- made anew --------------------------------------------------------------------------------


def test_a_full_refresh_of_a_table(visits):
    visits.run("2023-01")
    tables = {t["name"]: t["version"] for t in visits.json("2023-01", "--full-refresh", "mart.pages")["tables"]}
    assert tables == {"raw.visits": None, "mart.pages": 1, "mart.top": 1, "mart.all_pages": None, "mart.monthly": None}
    visits.run("2023-02")
    said = visits.run("2023-01", "--full-refresh", "mart.monthly").stderr
    assert "mart.monthly was made anew with the rows of 2023-01 only" in said
    assert visits.rows("mart.monthly", "DISTINCT month") == [("2023-01",)]


@pytest.mark.parametrize("options, said", [
    (["--full-refresh", "mart.page"], 'Did you mean "mart.pages"?'),
    (["--full-refresh", "mart.seen"], 'no task of this run makes the table "mart.seen"'),
    (["--full-refresh", "mart.pages", "--task", "mart.top"], 'no task of this run makes the table "mart.pages"'),
])
def test_a_table_that_the_run_does_not_make(visits, options, said):
    visits.run("2023-01")
    failed = visits.run("2023-01", *options, check=False)
    assert failed.returncode == 2 and said in failed.stderr


@pytest.mark.parametrize("task, said", [
    ("{table: mart.pages, sql: pages.sql, replace: mont}", 'Did you mean "month"?'),
    ("{table: mart.pages, sql: pages.sql, replace: logs}", "is a place, not a value"),
    ("{view: mart.pages, sql: pages.sql, replace: month}", "replace is for tables only"),
    ("{table: mart.pages, sql: pages.sql, evolve: add}", "evolve is for loads only"),
])
def test_keys_for_other_tasks(visits, task, said):
    visits.change("p.yaml", "{table: mart.pages, sql: pages.sql}", task)
    failed = visits.run("2023-01", check=False)
    assert failed.returncode == 1 and said in failed.stderr and "p.yaml:" in failed.stderr
