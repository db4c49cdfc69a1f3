"""Rows that a contract takes away: which of them are in a quarantine, with the file, line and byte that they
come from; exactly once, however often a file is read, replaced or a task tried; and which names are refused."""
import gzip
import hashlib
import json
import shutil

import deltalake
import pytest
import quarantined
from quarantined import CITIES_RULES, ORDERS, UNIQUE, order


@pytest.fixture
def shop(smelt, tmp_path):
    return quarantined.Shop(smelt, tmp_path)


def test_rows_and_lines_are_in_one_quarantine(shop):
    shop.put("01", order(1), order(2, n=-5), "{broken\n", "\n", order(None), order(3), order(4, n=-6))
    shop.put("02", order(99, n=-1), order(5, n=-7, s={"x": 1, "y": "é"}))
    report = shop.run()
    assert shop.ids() == [1, 3]
    assert shop.quarantine() == [
        ("20220401.json", 2, "n:minimum"), ("20220401.json", 5, "id:required"), ("20220401.json", 7, "n:minimum"),
        ("20220402.json", 2, "n:minimum"), ("20220401.json", 3, "syntax")]
    assert report["lines"] == {"read": 9, "kept": 7, "quarantined": 1, "blank": 1}
    rows = {row["line"]: row for row in deltalake.DeltaTable(shop.lake / "quarantine/orders").to_pyarrow_table(
    ).to_pylist() if row["file"].endswith("02.json")}
    row = rows[2]
    assert json.loads(row["raw"]) == {"id": 5, "city": "Oslo", "n": -7, "s": {"x": 1, "y": "é"}, "day": "2022-04-02"}
    assert row["raw_bytes"] == len(row["raw"])
    assert (row["column"], row["message"]) == ("n", "minimum: 0, is -7")
    assert row["byte_offset"] == len(order(99, n=-1))
    assert row["replayed"] is None and row["run"].startswith("shop-")
    tables = {table["name"]: table for table in report["tables"]}
    assert tables["quarantine.orders"]["rows"] == 5


BOTH = """\
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true, customProperties: [{property: smelt.onViolation, value: quarantine}]}
      - name: n
        logicalType: integer
        logicalTypeOptions: {minimum: 0, multipleOf: 2}
        customProperties: [{property: smelt.onViolation, value: 'null'}]
      - name: city
        logicalType: string
        quality:
          - {name: known, metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0,
             customProperties: [{property: smelt.onViolation, value: quarantine}]}
"""


def test_a_run_says_how_much_rules_took(shop):
    """Rows and values, each once, however many rules they break: by table, for people and in JSON."""
    shop.contract(BOTH + CITIES_RULES)
    shop.put("01", order(1), order(None, "oslo"), order(2, "oslo"), order(3, n=-1), order(None, n=-4), order(4, n=2))
    done = shop.process()
    assert "contract raw.orders: 0 rules passed, 4 warned, 3 rows quarantined, 2 values made NULL\n" in done.stderr
    assert "contract mart.cities: 1 rule passed\n" in done.stderr
    assert shop.ids() == [1, 3, 4] and len(shop.quarantine()) == 3
    assert sum(row["n"] is None for row in shop.sql("SELECT n FROM raw.orders")) == 2
    shop.put("02", order(5, n=2), order(6, "oslo", n=2), order(7, "Rome", n=22))
    tables = {table["name"]: table for table in shop.run()["tables"]}
    assert (tables["raw.orders"]["quarantined"], tables["raw.orders"]["nulled"]) == (1, 0)
    assert (tables["mart.cities"]["quarantined"], tables["mart.cities"]["nulled"]) == (1, 0)
    assert "quarantined" not in tables["quarantine.orders"]
    tables = {table["name"]: table for table in shop.run()["tables"]}
    assert "quarantined" not in tables["raw.orders"]  # nothing is new, so nothing was looked at


@pytest.mark.parametrize("threads", ["1", "2", "4"])
@pytest.mark.parametrize("rules", [ORDERS, ORDERS + UNIQUE.replace("city", "id2").replace("string", "integer")])
def test_the_origin_is_that_of_the_line(shop, threads, rules):
    """Over many morsels, plain and compressed, with all kinds of lines, and behind a window."""
    shop.contract(rules + CITIES_RULES)
    shop.write("load.sql", quarantined.LOAD.replace("SELECT id,", "SELECT id, id AS id2,"))
    want = {}
    for day, suffix in (("01", "json"), ("02", "json.gz")):
        lines, at = [], 0
        for i in range(40000):
            number = 100 + i % 39000 if "id2" in rules else 100 + i
            text = ("{\n" if i % 1000 == 7 else " \r\n" if i % 1000 == 9 else
                    order(number, n=-1 if i % 50 == 0 else 1, city="x" * (i % 70)))
            if i % 1000 == 7:
                want[f"202204{day}.{suffix}", i + 1] = ("syntax", at)
            elif i % 1000 != 9 and i % 50 == 0:
                want[f"202204{day}.{suffix}", i + 1] = ("n:minimum", at)
            lines.append(text)
            at += len(text)
        data = "".join(lines).encode()
        (shop.folder / "in" / f"202204{day}.{suffix}").write_bytes(gzip.compress(data) if "gz" in suffix else data)
    shop.process("--threads", threads)
    found, unique = {}, set()
    for row in shop.sql("SELECT file, line, byte_offset, reason, raw FROM quarantine.orders"):
        place = row["file"].rpartition("/")[2], row["line"]
        assert place not in found and place not in unique
        if row["reason"] == "id2:unique":
            unique.add(place)
        else:
            found[place] = row["reason"], row["byte_offset"]
    assert found == want
    if "id2" in rules:  # the second day has all numbers again, and each day 1,000 of its own
        assert len(unique) > 39000


def test_the_files_are_the_same_at_any_number_of_threads(shop):
    shop.contract(ORDERS + UNIQUE + CITIES_RULES)
    for day in ("01", "02", "03"):
        shop.put(day, *(order(i, n=i % 7 - 3, city=f"c{i * 7 % 5000}") if i % 11 else "{\n" for i in range(30000)))
    sums = set()
    for i, threads in enumerate(("1", "4")):
        lake = shop.folder / f"lake{i}"
        shop.process("--threads", threads, "--var", f"lake={lake}", "--var", "month=2022-04")
        table = deltalake.DeltaTable(lake / "quarantine/orders")
        rows = table.to_pyarrow_table().drop(["run", "time"])
        sums.add((rows.num_rows, hashlib.sha256(repr(rows.to_pylist()).encode()).hexdigest()))
    assert len(sums) == 1, sums


def test_a_file_is_there_once(shop):
    shop.put("01", order(1, n=-1), "{\n")
    shop.run()
    before = shop.versions()
    shop.run()
    assert shop.versions() == before
    shop.put("02", order(2, n=-1))
    shop.run()
    assert sorted(shop.quarantine()) == [("20220401.json", 1, "n:minimum"), ("20220401.json", 2, "syntax"),
                                         ("20220402.json", 1, "n:minimum")]


def test_a_replaced_date_replaces_its_rows(shop):
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.put("b-20220401.json", order(3, n=-3))
    shop.put("02", order(4, n=-4))
    shop.run()
    assert len(shop.quarantine()) == 4
    shop.put("01", order(1), order(2, n=-2), "[]\n", order(5, n=-5))
    shop.run()
    assert shop.ids() == [1]
    assert sorted(shop.quarantine()) == [
        ("20220401.json", 2, "n:minimum"), ("20220401.json", 3, "not_object"), ("20220401.json", 4, "n:minimum"),
        ("20220402.json", 1, "n:minimum"), ("b-20220401.json", 1, "n:minimum")]
    (shop.folder / "in" / "b-20220401.json").unlink()  # its date is replaced, so its rows leave
    shop.put("01", order(1))
    shop.run()
    assert sorted(shop.quarantine()) == [("20220402.json", 1, "n:minimum")]


def test_a_moved_file_is_known_by_its_old_path(shop):
    """So its rows leave with those of the file that is there now; both are read again."""
    shop.put("01", order(1, n=-1), order(2))
    shop.run()
    (shop.folder / "in" / "20220401.json").rename(shop.folder / "in" / "b-20220401.json")
    shop.run()
    assert shop.quarantine() == [("20220401.json", 1, "n:minimum")]
    shop.put("01", order(3, n=-3))
    shop.run()
    shop.put("01", order(4), order(5, n=-5))
    shop.run()
    assert shop.ids() == [2, 4]
    assert sorted(shop.quarantine()) == [("20220401.json", 2, "n:minimum"), ("b-20220401.json", 1, "n:minimum")]


def test_a_moved_file_of_another_root_is_there_once(shop):
    """It is read again with its date; its rows leave by the URI that they have, not by that of today."""
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.run()
    (shop.folder / "in" / "20220401.json").rename(shop.folder / "in" / "b-20220401.json")
    shop.run()
    (shop.folder / "in2").mkdir()
    for text in (order(3, n=-3), order(4, n=-4) + order(5)):
        (shop.folder / "in2" / "c-20220401.json").write_text(text)
        shop.run("--var", "in=./in2", "--other-root")
        assert sorted((line, reason) for _, line, reason in shop.quarantine()) == [
            (1, "n:minimum"), (1, "n:minimum"), (2, "syntax")]
    assert shop.ids() == [2, 5]


@pytest.mark.parametrize("changes", [("in", "in2"), ("in",), ("in", "in2", "in", "in2"), ("in2", "in", "in2")])
def test_a_file_of_another_root_that_changed_is_there_once(shop, changes):
    """A run of one root replaces the date, and reads the file of the other again as it is now. What that has is no
    news to the next run of its own root, whose quarantine would have it twice."""
    (shop.folder / "in2").mkdir()
    texts = {"in": "{one\n" + order(1, n=-1), "in2": "{two\n" + order(2, n=-2)}
    paths = {"in": shop.folder / "in/20220401.json", "in2": shop.folder / "in2/b-20220401.json"}
    runs = {"in": [], "in2": ["--var", "in=./in2"]}
    for root, text in texts.items():
        paths[root].write_text(text)
        shop.run(*runs[root], *(["--other-root"] if root == "in2" else []))
    for i, root in enumerate(changes):
        for at in (changes if i == 0 else (root,)):
            texts[at] += order(10 + i, n=-10 - i)
            paths[at].write_text(texts[at])
        shop.run(*runs[root])
        shop.run(*runs["in" if root == "in2" else "in2"])
        assert sorted((name, line) for name, line, _ in shop.quarantine()) == sorted(
            (paths[at].name, n + 1) for at, text in texts.items() for n in range(text.count("\n")))
    before = sorted(shop.quarantine())
    shop.run("--full-refresh", "raw.orders")
    assert sorted(shop.quarantine()) == before


def test_a_second_load_leaves_the_rows_of_the_first(shop):
    """It has no rule and reads the same files, later; what the first one's rules took is none of its own."""
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.run()
    before = shop.quarantine()
    shop.pipeline("tasks:\n", "tasks:\n  - {load: raw.copies, from: in, sql: load.sql, by: day}\n")
    shop.run()
    assert shop.sql("SELECT count(*) AS n FROM raw.copies") == [{"n": 2}]
    assert shop.quarantine() == before and len(before) == 2
    assert shop.ids() == [2]
    refused = shop.process("--full-refresh", "raw.copies", code=1).stderr  # it would make the quarantine anew
    assert "quarantine.orders has rows that the rules of raw.orders took" in refused
    assert shop.quarantine() == before


def test_a_full_refresh_makes_both_anew(shop):
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.run()
    shop.contract(ORDERS.replace("minimum: 0", "minimum: -1") + CITIES_RULES)
    shop.run("--full-refresh", "raw.orders")
    assert shop.ids() == [1, 2] and shop.quarantine() == [("20220401.json", 2, "syntax")]


def test_what_one_table_lost_both_get_again(shop):
    """The table is gone, the quarantine still has the file: neither loses a row nor has one twice."""
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.run()
    shutil.rmtree(shop.lake / "raw/orders")
    shop.run()
    assert shop.ids() == [2]
    assert sorted(shop.quarantine()) == [("20220401.json", 1, "n:minimum"), ("20220401.json", 2, "syntax")]
    shutil.rmtree(shop.lake / "quarantine/orders")  # only the lines are read again: the rows are of the load
    shop.run()
    assert shop.ids() == [2] and shop.quarantine() == [("20220401.json", 2, "syntax")]


def test_a_failed_task_leaves_nothing(shop):
    """The load succeeds, then a table fails: no row is published, and the next run has each once."""
    shop.put("01", order(1, n=-1), "{\n", order(2))
    shop.write("cities.sql", "SELECT city, CAST('x' || city AS BIGINT) AS n FROM raw.orders")
    shop.process(code=1)
    assert not list(shop.lake.rglob("*.json"))
    assert not list(shop.lake.rglob("*.parquet"))
    shop.write("cities.sql", quarantined.CITIES)
    shop.run()
    assert sorted(shop.quarantine()) == [("20220401.json", 1, "n:minimum"), ("20220401.json", 2, "syntax")]


def test_rows_of_a_table_stay_over_runs(shop):
    shop.put("01", order(1, n=50), order(2, city="Rome"))
    shop.run()
    assert shop.sql("SELECT city FROM mart.cities") == [{"city": "Rome"}]
    shop.put("02", order(3, city="Rome", n=60))
    shop.run()
    assert shop.sql("SELECT city FROM mart.cities") == []
    rows = shop.sql('SELECT file, line, byte_offset, "column", reason, message, run '
                    'FROM quarantine.cities ORDER BY time, message')
    assert [row["message"] for row in rows] == ["maximum: 10, is 50", "maximum: 10, is 50", "maximum: 10, is 61"]
    assert {row["file"] for row in rows} == {None} and len({row["run"] for row in rows}) == 2


def test_a_table_straight_from_lines_has_the_origin(shop):
    shop.write("cities.sql", quarantined.LOAD.replace("id IS NULL", "id > 0 OR id IS NULL"))
    shop.put("01", order(1), "{\n", order(2, n=11))
    shop.run()
    assert shop.quarantine("cities") == [("20220401.json", 3, "n:maximum")]
    assert shop.quarantine() == [("20220401.json", 2, "syntax")]


def test_old_rows_are_deleted_where_the_table_is_written(shop):
    shop.pipeline("lake: lake\n", "lake: lake\nquarantine_retention: 12 hours\n")
    shop.put("01", order(1, n=-1), "{\n", order(2, n=50))
    shop.run()
    old = "UPDATE quarantine.{} SET time = TIMESTAMP '2022-01-01 00:00:00'"
    for table in ("orders", "cities"):
        shop.smelt("sql", "--write", old.format(table), "--lake", shop.lake)
    before = shop.versions()
    shop.run()
    assert shop.versions() == before  # nothing is written, so nothing is deleted
    shop.put("02", order(3, n=-3), order(4, n=70, city="Rome"))
    shop.run()
    assert shop.quarantine() == [("20220402.json", 1, "n:minimum")]
    assert [row["message"] for row in shop.sql("SELECT message FROM quarantine.cities ORDER BY message")] == [
        "maximum: 10, is 50", "maximum: 10, is 70"]
    assert len({row["run"] for row in shop.sql("SELECT run FROM quarantine.cities")}) == 1


@pytest.mark.parametrize("value", ["30", "days", "0 days", "-1 days", "30 months", "1.5 days", "30 daysx"])
def test_a_retention_is_a_time(shop, value):
    shop.pipeline("lake: lake\n", f"lake: lake\nquarantine_retention: {value}\n")
    shop.put("01", order(1))
    assert "quarantine_retention is a time like" in shop.process(code=1).stderr


def test_a_source_without_a_quarantine_gets_the_table_s(shop):
    shop.pipeline(", quarantine: quarantine.orders", "")
    shop.put("01", order(1, n=-1), "{\n")
    shop.run()
    assert sorted(shop.quarantine()) == [("20220401.json", 1, "n:minimum"), ("20220401.json", 2, "syntax")]


def test_names_that_are_shared_are_refused(shop):
    shop.put("01", order(1))
    shop.pipeline("mart.cities", "raw2.orders")
    text = shop.process(code=1).stderr
    assert "rows of raw.orders would go to quarantine.orders, as those of raw2.orders do" in text
    assert "p.yaml:10:" in text


def test_a_table_s_name_is_not_a_quarantine(shop):
    shop.put("01", order(1))
    shop.write("other.sql", "SELECT 1 AS x")
    with open(shop.folder / "p.yaml", "a") as f:
        f.write("  - {table: quarantine.cities, sql: other.sql}\n")
    text = shop.process(code=1).stderr
    assert "rows of mart.cities would go to quarantine.cities, as those of the task quarantine.cities do" in text


@pytest.mark.parametrize("name", ["orders", "cities"])
def test_a_foreign_table_has_the_quarantine_s_name(shop, name):
    """Of a source, and of a table's own: it stays, and nothing is published."""
    shop.smelt("sql", "--write", f"CREATE TABLE 'lake/quarantine/{name}' AS SELECT 1 AS x")
    shop.put("01", order(1, n=-1), "{\n", order(2, n=50))
    told = shop.process(code=1).stderr
    assert 'column "x" of the table is missing here' in told and f"quarantine quarantine.{name}" in told
    assert "move the table away, or give the quarantine another name" in told
    assert shop.sql(f"SELECT * FROM quarantine.{name}") == [{"x": 1}]
    assert not (shop.lake / "raw/orders/_delta_log").exists()


def test_a_rule_is_not_called_as_a_reason(shop):
    shop.put("01", order(1))
    shop.contract(ORDERS + """\
        quality: [{type: custom, engine: smelt, name: syntax, implementation: "n < 5",
                   customProperties: [{property: smelt.onViolation, value: quarantine}]}]
""" + CITIES_RULES)
    text = shop.process(code=1).stderr
    assert 'the rule is called "syntax"' in text and "c.yaml:" in text
