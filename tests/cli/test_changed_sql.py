"""A load whose SQL has changed: it stops before it reads, says what differs, and goes on as the user
chooses; rows of two kinds never stand beside each other unasked."""
import json

import deltalake
import pytest

PIPELINE = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month}
  least: {type: integer, default: '0'}
lake: lake
sources:
  - {name: logs, match: '[.]json$', window: month, quarantine: bad.orders}
tasks:
  - {load: raw.orders, from: logs, sql: orders.sql, by: day}
  - {table: mart.sums, sql: sums.sql}
"""
ORDERS = """\
SELECT id, lower(city) AS city, file_date AS day
FROM read_json(var('logs'), match => '[.]json$', columns => {id: 'BIGINT', city: 'VARCHAR', n: 'BIGINT'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')
WHERE id > var('least')
"""


class Shop:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "logs").mkdir()
        (folder / "shop.yaml").write_text(PIPELINE)
        (folder / "orders.sql").write_text(ORDERS)
        (folder / "sums.sql").write_text("SELECT count(*) AS n FROM raw.orders")
        self.log("20230101", 1, 2)
        self.log("20230201", 3)

    def log(self, date, *ids):
        (self.folder / "logs" / f"{date}.json").write_text(
            "".join(json.dumps({"id": i, "city": "Rome", "n": i}) + "\n" for i in ids) + "broken\n")

    def run(self, *options, month="2023-01", check=True):
        return self.smelt("run", "shop.yaml", "--var", f"month={month}", *options, check=check)

    def change(self, old, new, name="orders.sql"):
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def rows(self, columns="id, city, day", table="raw.orders"):
        return [tuple(row.values()) for row in self.smelt.sql(
            f"SELECT {columns} FROM {table} ORDER BY ALL", "--lake", str(self.lake))]

    def versions(self):
        return {name: deltalake.DeltaTable(str(self.lake / name)).version()
                for name in ("raw/orders", "bad/orders", "mart/sums")}


@pytest.fixture
def shop(smelt, tmp_path):
    s = Shop(smelt, tmp_path)
    s.run()
    return s


FIRST = [(1, "rome", "2023-01-01"), (2, "rome", "2023-01-01")]


# ---- what is the same, and what is another ------------------------------------------------------


@pytest.mark.parametrize("old, new", [
    ("SELECT id, lower(city)", "select\n  id, -- the key\n  LOWER((city))"),
    ("FROM read_json", "FROM /* logs */ read_json"),
    (", match => '[.]json$'", ", match => '[.]json$|x'"),
    ("    file_date => true, bad_lines => 'quarantine'", "    bad_lines => 'quarantine', file_date => true"),
    ("'all')\nWHERE id", "'all') AS o\nWHERE o.id"),
])
def test_another_text_of_the_same_query(shop, old, new):
    shop.change(old, new)
    said = shop.run("--json")
    assert {t["version"] for t in json.loads(said.stdout)["tables"]} == {None}
    shop.run(month="2023-02")
    assert shop.rows() == FIRST + [(3, "rome", "2023-02-01")]


def test_another_place_and_month_are_the_same_query(shop):
    (shop.folder / "logs").rename(shop.folder / "elsewhere")
    shop.run("--var", "logs=./elsewhere", month="2023-02")
    assert shop.rows() == FIRST + [(3, "rome", "2023-02-01")]


@pytest.mark.parametrize("old, new, said", [
    ("lower(city)", "upper(city)", 'column "city" was lower("city"), is upper("city")'),
    ("id > var", "id >= var", "where was >(\"id\", 0), is >=(\"id\", 0)"),
    ("\nWHERE id > var('least')", "", "without where >(\"id\", 0)"),
    ("'all')", "'all', unknown => 'ignore')", "with new unknown: 'ignore'"),
    ("id: 'BIGINT'", "id: 'INTEGER'", "with columns id was 'BIGINT', is 'INTEGER'"),
    ("lower(city) AS city", "lower(city) AS town", 'column "city"'),
    ("id, lower(city) AS city", "lower(city) AS city, id", "another order"),
    ("id, lower", "id, CASE WHEN false THEN 1 END AS one, lower", 'with new column "one"'),
])
@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_another_query_stops_the_run(shop, old, new, said, month):
    before = shop.versions()
    shop.change(old, new)
    failed = shop.run(month=month, check=False)
    assert failed.returncode == 1
    assert "raw.orders" in failed.stderr and said in failed.stderr, failed.stderr
    assert "--full-refresh raw.orders" in failed.stderr and "orders.sql" in failed.stderr
    keeps = {'with new column "one"': "; evolve: add on the task adds", 'column "city"': "the SQL still gives"}
    assert keeps.get(said, "; --keep-old keeps") in failed.stderr
    assert ("--keep-old" in failed.stderr) == (said not in keeps)
    assert shop.versions() == before and shop.rows() == FIRST


def test_a_variable_that_is_no_window_is_part_of_the_query(shop):
    failed = shop.run("--var", "least=1", check=False)
    assert failed.returncode == 1 and 'where was >("id", 0), is >("id", 1)' in failed.stderr


# ---- what the user may choose -------------------------------------------------------------------


def test_keep_old_asks_once(shop):
    shop.change("lower(city)", "upper(city)")
    shop.run("--keep-old")
    assert shop.rows() == FIRST
    shop.run(month="2023-02")
    shop.run()
    assert shop.rows() == FIRST + [(3, "ROME", "2023-02-01")]
    shop.change("upper(city)", "lower(city)")
    assert shop.run(check=False).returncode == 1


def test_keep_old_makes_nothing_anew(shop):
    shop.change("lower(city)", "upper(city)")
    before = shop.versions()
    shop.run("--keep-old")
    assert shop.versions() == {**before, "raw/orders": before["raw/orders"] + 1}  # books, and no row
    assert shop.run().returncode == 0
    assert shop.versions()["mart/sums"] == before["mart/sums"]


def test_full_refresh_loads_all_windows_by_the_new_query(shop):
    shop.run(month="2023-02")
    before = shop.versions()
    shop.change("lower(city)", "upper(city)")
    shop.run("--full-refresh", "raw.orders")
    assert shop.rows() == [(1, "ROME", "2023-01-01"), (2, "ROME", "2023-01-01"), (3, "ROME", "2023-02-01")]
    assert len(shop.rows("raw", "bad.orders")) == 2
    after = shop.versions()
    assert after["raw/orders"] == before["raw/orders"] + 1
    assert after["bad/orders"] == before["bad/orders"] + 1
    shop.run()
    shop.run(month="2023-02")
    assert shop.versions() == after


def test_full_refresh_may_change_the_columns(shop):
    shop.change("id, lower(city) AS city", "n, id")
    shop.run("--full-refresh", "raw.orders")
    assert shop.rows("*") == [(1, 1, "2023-01-01"), (2, 2, "2023-01-01")]


def test_full_refresh_without_a_change(shop):
    before = shop.versions()
    shop.run("--full-refresh", "raw.orders")
    assert shop.rows() == FIRST
    assert shop.versions()["raw/orders"] == before["raw/orders"] + 1


def test_full_refresh_of_twins_and_moved_files(shop):
    logs = shop.folder / "logs"
    (logs / "20230101.json").rename(logs / "shop_20230101.json")
    shop.run("--full-refresh", "raw.orders")
    assert shop.rows() == FIRST


@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_full_refresh_where_a_file_is_gone(shop, month):
    shop.run(month="2023-02")
    before = shop.versions()
    (shop.folder / "logs" / "20230101.json").unlink()
    shop.log("20230102", 9)
    failed = shop.run("--full-refresh", "raw.orders", month=month, check=False)
    assert failed.returncode == 1 and "20230101.json" in failed.stderr
    assert "gone: remove" in failed.stderr
    assert shop.versions() == before


def test_full_refresh_once_rows_of_gone_files_are_out(shop):
    (shop.folder / "logs" / "20230101.json").unlink()
    shop.log("20230102", 9)
    shop.change("lower(city)", "upper(city)")
    assert "gone: remove" in shop.run("--full-refresh", "raw.orders", check=False).stderr
    shop.change("window: month", "window: month, gone: remove", "shop.yaml")
    shop.run("--keep-old")
    shop.run("--full-refresh", "raw.orders")
    assert shop.rows() == [(9, "ROME", "2023-01-02")] and len(shop.rows("raw", "bad.orders")) == 1


def test_full_refresh_reads_one_folder(shop):
    (shop.folder / "host2").mkdir()
    (shop.folder / "host2" / "20230101.json").write_text('{"id":7,"city":"Oslo"}\n')
    shop.run("--var", "logs=./host2")
    before = shop.versions()
    for folder in ("logs", "host2"):
        failed = shop.run("--full-refresh", "raw.orders", "--var", f"logs=./{folder}", check=False)
        assert failed.returncode == 1 and "came from another folder" in failed.stderr
        assert "load each folder again" in failed.stderr
    assert shop.versions() == before


def test_evolve_adds_columns(shop):
    shop.change("by: day}", "by: day, evolve: add}", "shop.yaml")
    shop.change("file_date AS day", "n, n + 1 AS m, file_date AS day")
    shop.run(month="2023-02")
    assert shop.rows("id, n, m") == [(1, None, None), (2, None, None), (3, 3, 4)]
    assert deltalake.DeltaTable(str(shop.lake / "raw/orders")).schema().fields[-2].name == "n"
    shop.log("20230101", 1, 5)
    shop.run()
    assert shop.rows("id, n, m") == [(1, 1, 2), (3, 3, 4), (5, 5, 6)]


def test_evolve_takes_nothing_else(shop):
    shop.change("by: day}", "by: day, evolve: add}", "shop.yaml")
    shop.change("lower(city)", "upper(city)")
    assert shop.run(check=False).returncode == 1
    shop.change("upper(city) AS city", "n")
    assert shop.run(check=False).returncode == 1
    assert shop.rows() == FIRST


def test_a_column_that_is_not_in_the_table_names_what_to_do(shop):
    shop.change("file_date AS day", "n, file_date AS day")
    failed = shop.run("--keep-old", month="2023-02", check=False)
    assert failed.returncode == 1 and 'column "n" is not in the table' in failed.stderr
    assert "evolve: add" in failed.stderr and "--full-refresh raw.orders" in failed.stderr
    said = shop.run(check=False).stderr
    assert "evolve: add" in said and "--keep-old" not in said


@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_a_column_that_is_not_in_the_table_is_told_where_nothing_is_new(shop, month):
    before = shop.versions()
    shop.change("file_date AS day", "n, file_date AS day")
    failed = shop.run("--keep-old", month=month, check=False)
    assert failed.returncode == 1 and 'column "n" is not in the table' in failed.stderr
    assert shop.versions() == before


@pytest.mark.parametrize("old, new, said", [
    ("lower(city) AS city", "lower(city) AS town", 'column "city" of the table is not among'),
    (", lower(city) AS city", "", 'column "city" of the table is not among'),
    ("SELECT id", "SELECT CAST(id AS VARCHAR) AS id", 'column "id" is BIGINT in the table and VARCHAR here'),
])
@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_keep_old_needs_the_columns_of_the_table(shop, old, new, said, month):
    before = shop.versions()
    shop.change(old, new)
    failed = shop.run("--keep-old", month=month, check=False)
    assert failed.returncode == 1 and said in failed.stderr, failed.stderr
    assert "--full-refresh raw.orders" in failed.stderr and "evolve" not in failed.stderr
    assert shop.versions() == before and shop.rows() == FIRST


@pytest.mark.parametrize("old, new, said", [
    ("lower(city)", "lower(town)", 'no column "town"'),
    ("id > var", "di > var", 'no column "di"'),
    ("lower(city)", "lowwer(city)", 'no function "lowwer"'),
    ("id > var('least')", "city < 5", "VARCHAR cannot be compared"),
    ("file_date AS day", "city AS day", "file_date"),
])
@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_a_query_that_means_nothing_offers_no_choice(shop, old, new, said, month):
    shop.change(old, new)
    failed = shop.run(month=month, check=False)
    assert failed.returncode == 1 and said in failed.stderr, failed.stderr
    assert "--keep-old" not in failed.stderr, failed.stderr


def test_columns_that_only_some_days_have_are_no_fault_where_nothing_is_new(shop):
    """Those of a later day are not among what the first files of the folder are found to have."""
    shop.change("columns => {id: 'BIGINT', city: 'VARCHAR', n: 'BIGINT'}", "maximum_sample_files => 1")
    shop.change("id, lower(city) AS city, file_date AS day", "* EXCLUDE (file_date), file_date AS day")
    shop.change("by: day}", "by: day, evolve: add}", "shop.yaml")
    shop.run("--full-refresh", "raw.orders")
    (shop.folder / "logs" / "20230102.json").write_text('{"id":7,"city":"Oslo","n":1,"late":"x"}\n')
    shop.run()
    assert ("x",) in shop.rows("late")
    before = shop.versions()
    shop.run()
    assert shop.versions() == before


# ---- a run that ends well has proved the SQL ----------------------------------------------------


def test_sql_is_bound_where_nothing_is_new(shop):
    """A file beside the SQL that it names is gone: nothing in the text of the load tells it."""
    shop.change("FROM read_json", "FROM mart.lines_of_days, read_json")
    assert shop.run(check=False).returncode == 1


def test_filenames_are_part_of_rows(shop):
    """A query that takes the file's name: a file that was renamed is loaded anew."""
    shop.change("file_date => true", "file_date => true, filename => true")
    shop.change("file_date AS day", "filename, file_date AS day")
    shop.run("--full-refresh", "raw.orders")
    logs = shop.folder / "logs"
    (logs / "20230101.json").rename(logs / "b_20230101.json")
    shop.run()
    assert [(i, name.rsplit("/")[-1]) for i, name in shop.rows("id, filename")] == [
        (1, "b_20230101.json"), (2, "b_20230101.json")]
