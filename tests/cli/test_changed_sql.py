"""A load whose SQL has changed stops before it loads, says what differs, and continues as the user
chooses. Rows of the old and the new SQL are never mixed unasked."""
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

    def log(self, date, *ids, folder="logs"):
        (self.folder / folder / f"{date}.json").write_text(
            "".join(json.dumps({"id": i, "city": "Rome", "n": i}) + "\n" for i in ids) + "broken\n")

    def run(self, *options, month="2023-01", folder="logs", check=True):
        return self.smelt("run", "shop.yaml", "--var", f"month={month}", "--var", f"logs=./{folder}", *options,
                          check=check)

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
    shop.run(folder="elsewhere", month="2023-02")
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
    keeps = {'with new column "one"': "; evolve: add on the task adds", 'column "city"': "the SQL still has"}
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


# ---- of several folders -------------------------------------------------------------------------


@pytest.fixture
def hosts(shop):
    """Two folders of two months each, a damaged line in every file."""
    (shop.folder / "host2").mkdir()
    shop.log("20230101", 7, folder="host2")
    shop.log("20230202", 8, folder="host2")
    for folder in ("logs", "host2"):
        for month in ("2023-01", "2023-02"):
            shop.run(month=month, folder=folder)
    return shop


HOSTS = [(1, "2023-01-01"), (2, "2023-01-01"), (3, "2023-02-01"), (7, "2023-01-01"), (8, "2023-02-02")]
FILES = ["host2/20230101.json", "host2/20230202.json", "logs/20230101.json", "logs/20230201.json"]


def refused_files(shop, table="bad.orders"):
    return sorted("/".join(name.rsplit("/", 2)[1:]) for name, in shop.rows("file", table))


def assert_settled(shop):
    """No run over any of the folders has anything to do."""
    before = shop.versions()
    for folder in ("logs", "host2"):
        for month in ("2023-01", "2023-02"):
            shop.run(month=month, folder=folder)
    assert shop.versions() == before


@pytest.mark.parametrize("folder", ["logs", "host2"])
@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_full_refresh_of_several_folders(hosts, folder, month):
    before = hosts.versions()
    assert refused_files(hosts) == FILES
    hosts.change("lower(city)", "upper(city)")
    said = json.loads(hosts.run("--full-refresh", "raw.orders", "--json", folder=folder, month=month).stdout)
    assert said["lines"] == {"read": 9, "kept": 5, "quarantined": 4, "blank": 0}
    assert hosts.rows() == [(number, "ROME", day) for number, day in HOSTS]
    assert refused_files(hosts) == FILES
    after = hosts.versions()
    assert after == {**before, "raw/orders": before["raw/orders"] + 1, "bad/orders": before["bad/orders"] + 1,
                     "mart/sums": before["mart/sums"] + 1}
    assert_settled(hosts)
    hosts.log("20230202", 9, folder="host2")
    hosts.run(month="2023-02", folder="host2")
    assert hosts.rows("id, city") == [(i, "ROME") for i in (1, 2, 3, 7, 9)]
    assert refused_files(hosts) == FILES


def test_full_refresh_reads_other_folders_as_they_are_now(hosts):
    hosts.log("20230202", 8, 9, folder="host2")
    with open(hosts.folder / "host2" / "20230202.json", "a") as file:
        file.write("broken too\n")
    hosts.run("--full-refresh", "raw.orders")
    assert hosts.rows("id") == [(i,) for i in (1, 2, 3, 7, 8, 9)]
    assert refused_files(hosts) == sorted(FILES + FILES[1:2])
    assert_settled(hosts)


def test_full_refresh_of_a_folder_that_is_new(hosts):
    (hosts.folder / "host3").mkdir()
    hosts.log("20230105", 10, folder="host3")
    hosts.run("--full-refresh", "raw.orders", folder="host3")
    assert hosts.rows("id, day") == HOSTS + [(10, "2023-01-05")]
    assert refused_files(hosts) == FILES[:2] + ["host3/20230105.json"] + FILES[2:]
    assert_settled(hosts)


def test_full_refresh_where_a_folder_has_moved(hosts):
    (hosts.folder / "host2").rename(hosts.folder / "elsewhere")
    hosts.run("--full-refresh", "raw.orders", folder="elsewhere")
    assert hosts.rows("id, day") == HOSTS
    (hosts.folder / "elsewhere").rename(hosts.folder / "host2")
    hosts.run("--same-root", folder="host2")
    assert_settled(hosts)


@pytest.mark.parametrize("lost", ["20230101.json", "20230202.json", ""])
@pytest.mark.parametrize("month", ["2023-01", "2023-02"])
def test_full_refresh_where_a_file_of_another_folder_is_gone(hosts, lost, month):
    host = hosts.folder / "host2"
    (host / lost if lost else host).rename(hosts.folder / "away")
    before = hosts.versions()
    failed = hosts.run("--full-refresh", "raw.orders", month=month, check=False)
    assert failed.returncode == 1 and "cannot be loaded again" in failed.stderr
    assert f"{host}/{lost or '20230101.json'}" in failed.stderr and "Bring it back" in failed.stderr
    assert hosts.versions() == before
    (hosts.folder / "away").rename(host / lost if lost else host)
    hosts.run("--full-refresh", "raw.orders", month=month)
    assert hosts.rows("id, day") == HOSTS


def test_full_refresh_where_a_file_of_another_folder_has_become_another(hosts):
    """Its rows are there, but its path is that of another file, which must not be read for it."""
    host = hosts.folder / "host2"
    hosts.log("20230101_b", 11, folder="host2")
    hosts.run(folder="host2")
    (host / "20230101_b.json").rename(host / "20230101.json")
    hosts.run(folder="host2")
    before = hosts.versions()
    failed = hosts.run("--full-refresh", "raw.orders", check=False)
    assert failed.returncode == 1 and f"{host}/20230101.json" in failed.stderr
    assert "has become another file" in failed.stderr
    assert hosts.versions() == before


def test_full_refresh_where_a_file_of_another_folder_was_renamed(hosts):
    """A run over its folder finds it again."""
    host = hosts.folder / "host2"
    (host / "20230101.json").rename(host / "a_20230101.json")
    hosts.change("lower(city)", "upper(city)")
    failed = hosts.run("--full-refresh", "raw.orders", check=False)
    assert f"{host}/20230101.json" in failed.stderr and "run over its folder with --keep-old" in failed.stderr
    hosts.run("--keep-old", folder="host2")
    hosts.run("--full-refresh", "raw.orders")
    assert hosts.rows() == [(number, "ROME", day) for number, day in HOSTS]
    assert refused_files(hosts) == sorted(FILES[1:] + ["host2/a_20230101.json"])
    assert_settled(hosts)


def test_full_refresh_killed_between_its_commits(hosts):
    """The quarantine is published first: the table is the old one then, and the same run does the rest."""
    before = hosts.rows()
    hosts.change("lower(city)", "upper(city)")
    hosts.run("--full-refresh", "raw.orders")
    wanted = hosts.rows()
    for folder, table in (("raw", "orders"), ("mart", "sums")):
        (hosts.lake / folder / table / "_delta_log" / f"{hosts.versions()[f'{folder}/{table}']:020}.json").unlink()
    assert hosts.rows() == before and refused_files(hosts) == FILES
    assert "--full-refresh raw.orders" in hosts.run(check=False).stderr
    hosts.run("--full-refresh", "raw.orders", folder="host2")
    assert hosts.rows() == wanted and refused_files(hosts) == FILES
    assert_settled(hosts)


def test_full_refresh_of_one_of_two_tables_keeps_the_quarantine(hosts):
    """It has lines of files that only the other table was loaded from."""
    hosts.change("  - {table: mart", "  - {load: raw.copies, from: logs, sql: orders.sql, by: day}\n  - {table: mart",
                 "shop.yaml")
    (hosts.folder / "host3").mkdir()
    hosts.log("20230103", 12, folder="host3")
    hosts.run("--task", "raw.copies", folder="host3")
    assert (12, "2023-01-03") not in hosts.rows("id, day")
    for folder in ("logs", "host2", "host3"):
        hosts.run("--full-refresh", "raw.orders", "--task", "raw.orders", folder=folder)
        assert refused_files(hosts) == FILES[:2] + ["host3/20230103.json"] + FILES[2:]
    hosts.run()
    assert_settled(hosts)


def test_full_refresh_with_a_quarantine_that_is_new(hosts):
    """It takes the files of each folder when a run comes there, as without a refresh."""
    hosts.change("quarantine: bad.orders", "quarantine: bad.lines", "shop.yaml")
    hosts.run("--full-refresh", "raw.orders")
    assert hosts.rows("id, day") == HOSTS
    for folder, month in (("logs", "2023-02"), ("host2", "2023-01"), ("host2", "2023-02")):
        hosts.run(folder=folder, month=month)
    assert refused_files(hosts, "bad.lines") == FILES


def test_full_refresh_by_another_pipeline_holds_for_all_folders(hosts):
    hosts.change("name: shop", "name: store", "shop.yaml")
    hosts.change("lower(city)", "upper(city)")
    hosts.run("--full-refresh", "raw.orders")
    hosts.change("name: store", "name: shop", "shop.yaml")
    hosts.run(folder="host2")
    hosts.change("upper(city)", "lower(city)")
    failed = hosts.run(folder="host2", check=False)
    assert failed.returncode == 1 and 'was upper("city"), is lower("city")' in failed.stderr


@pytest.mark.parametrize("folder", ["logs", "host2"])
def test_full_refresh_where_the_original_of_a_copy_has_changed(hosts, folder):
    """It is outside the window, or in another folder: what counts is what it has by now."""
    date = "20230201" if folder == "logs" else "20230202"
    hosts.change("window: month", "window: month, copies: skip", "shop.yaml")
    original = hosts.folder / folder / f"{date}.json"
    (hosts.folder / "logs" / "20230102.json").write_bytes(original.read_bytes())
    hosts.log(date, 20, folder=folder)
    hosts.run("--full-refresh", "raw.orders")
    moved = 3 if folder == "logs" else 8
    wanted = [(number, day) for number, day in HOSTS if number != moved]
    wanted += [(moved, "2023-01-02"), (20, f"2023-02-{date[-2:]}")]
    assert hosts.rows("id, day") == sorted(wanted)
    assert refused_files(hosts) == sorted([*FILES, "logs/20230102.json"])
    assert_settled(hosts)


# ---- files that WHERE leaves out by their dates ---------------------------------------------------


def test_a_run_over_a_file_that_is_left_out_has_nothing_to_do(shop):
    shop.log("20230102", 4)
    shop.change("WHERE", "WHERE file_date < DATE '2023-01-02' AND")
    shop.run("--keep-old")
    before = shop.versions()
    assert shop.rows() == FIRST and refused_files(shop) == ["logs/20230101.json"]
    shop.run()
    assert shop.versions() == before


def test_refused_lines_of_files_that_are_left_out_leave_the_books_too(hosts):
    """They come back when the files are read once more."""
    narrow = "WHERE file_date < DATE '2023-02-01' AND"
    hosts.change("WHERE", narrow)
    hosts.run("--full-refresh", "raw.orders")
    assert hosts.rows("id") == [(1,), (2,), (7,)] and refused_files(hosts) == [FILES[0], FILES[2]]
    assert_settled(hosts)
    hosts.change(narrow, "WHERE")
    hosts.run("--keep-old", month="2023-02")
    assert refused_files(hosts) == [FILES[0], *FILES[2:]]
    hosts.run(folder="host2", month="2023-02")
    assert refused_files(hosts) == FILES
    assert_settled(hosts)


def test_refused_lines_of_a_changed_file_that_is_left_out(shop):
    narrow = "WHERE file_date < DATE '2023-01-01' AND"
    shop.change("WHERE", narrow)
    shop.log("20230101", 1, 2, 4)
    shop.run("--keep-old")
    before = shop.versions()
    assert shop.rows() == [] and refused_files(shop) == []
    shop.run()
    assert shop.versions() == before
    shop.change(narrow, "WHERE")
    shop.run("--keep-old")
    assert shop.rows() == [] and refused_files(shop) == ["logs/20230101.json"]


# ---- what the SQL takes from variables that differ from run to run --------------------------------


@pytest.mark.parametrize("old, new", [
    ("file_date AS day", "var('logs') AS host, file_date AS day"),
    ("var('least')", "var('least') AND var('logs') <> 'x'"),
])
def test_full_refresh_where_rows_have_the_folders_variable(hosts, old, new):
    before = hosts.versions()
    hosts.change(old, new)
    failed = hosts.run("--full-refresh", "raw.orders", check=False)
    assert failed.returncode == 1, failed.stderr
    assert "var('logs') decides the rows of raw.orders" in failed.stderr and "not known" in failed.stderr
    assert f"{hosts.folder}/host2/20230101.json" in failed.stderr and "filename => true" in failed.stderr
    assert hosts.versions() == before


def test_a_date_of_two_folders_where_rows_have_the_folders_variable(shop):
    shop.change("file_date AS day", "var('logs') AS host, file_date AS day")
    shop.run("--full-refresh", "raw.orders")
    (shop.folder / "host2").mkdir()
    shop.log("20230101", 7, folder="host2")
    shop.run(folder="host2")
    wanted = [(1, "./logs"), (2, "./logs"), (7, "./host2")]
    assert shop.rows("id, host") == wanted
    shop.log("20230101", 1, 2, 4)
    failed = shop.run(check=False)
    assert failed.returncode == 1 and "var('logs') decides the rows of raw.orders" in failed.stderr
    assert f"{shop.folder}/host2/20230101.json" in failed.stderr
    assert shop.rows("id, host") == wanted


def test_full_refresh_where_rows_have_the_windows_variable(shop):
    shop.change("file_date AS day", "var('month') AS month, file_date AS day")
    shop.run("--full-refresh", "raw.orders")
    shop.run("--full-refresh", "raw.orders")
    (shop.folder / "host2").mkdir()
    shop.log("20230103", 7, folder="host2")
    shop.run(folder="host2")
    shop.run("--full-refresh", "raw.orders")
    wanted = [(1, "2023-01"), (2, "2023-01"), (7, "2023-01")]
    assert shop.rows("id, month") == wanted
    shop.run(month="2023-02")
    for month, name in (("2023-01", "logs/20230201.json"), ("2023-02", "logs/20230101.json")):
        failed = shop.run("--full-refresh", "raw.orders", month=month, check=False)
        assert failed.returncode == 1 and "var('month') decides the rows of raw.orders" in failed.stderr
        assert name in failed.stderr
    assert shop.rows("id, month") == sorted(wanted + [(3, "2023-02")])


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
    ("lower(city) AS city", "lower(city) AS town", 'column "city" of the table is missing'),
    (", lower(city) AS city", "", 'column "city" of the table is missing'),
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
