"""Tasks with a contract: what is written keeps it, or nothing is published. All ways to write a table,
verdicts in the commit, in JSON and on stderr, what is done again when the contract changes."""
import json
import os
import pathlib
import shutil
import subprocess
import textwrap

import pytest

import contract_shop
from contract_shop import COLUMNS, HEAD, LOAD, ORDERS, WAYS, row
from common import smelt_path

ROOT = pathlib.Path(__file__).resolve().parents[2]
@pytest.fixture
def shop(smelt, tmp_path):
    return contract_shop.Shop(smelt, tmp_path)


def rules(report):
    return {(r["table"], r["rule"]): r for r in report["contracts"]}


# ---- all ways to write --------------------------------------------------------------------------

@pytest.mark.parametrize("way", WAYS)
def test_a_rule_of_rows(shop, way):
    """It is counted in the pass; one that is broken publishes nothing, the next good run does."""
    shop.way(way)
    shop.give("2022-04-01", row(1), row(2, city="Bern"), row(3))
    report = shop.json()
    found = rules(report)
    assert [r["rule"] for r in report["contracts"]] == ["id:unique", "amount:minimum", "city:validValues"]
    assert found["mart.orders", "city:validValues"] == {
        "table": "mart.orders", "rule": "city:validValues", "kind": "validValues", "columns": ["city"],
        "severity": "warning", "action": "warn", "rows": 3, "violations": 1, "share": pytest.approx(1 / 3),
        "allowed": "0", "outcome": "warned", "examples": [{"city": "Bern"}]}
    assert shop.verdict() == {
        "contract": "shop", "version": "1.2.0", "hash": shop.verdict()["hash"], "outcome": "warned", "rows": 3,
        "violations": {"id:unique": 0, "amount:minimum": 0, "city:validValues": 1}}
    assert shop.ids_by_delta_rs() == [1, 2, 3]

    shop.give("2022-04-02", row(4), row(5, amount=-1), row(6, amount=-2, city="Bern"))
    failed = shop.json("2022-04-02", code=3)
    assert failed["error"]["status"] == "CONTRACT" and failed["error"]["place"].endswith("c.yaml:10:66")
    assert "rule amount:minimum is broken: 2 of" in failed["error"]["message"]
    broken = rules(failed)["mart.orders", "amount:minimum"]
    assert (broken["violations"], broken["outcome"], broken["severity"]) == (2, "failed", "error")
    assert broken["examples"] == [{"amount": -1.0}, {"amount": -2.0}]
    assert rules(failed)["mart.orders", "city:validValues"]["outcome"] == "warned", "all rules are told"
    assert failed["tables"] == [] and shop.ids_by_delta_rs() == [1, 2, 3]

    shop.give("2022-04-02", row(4), row(5), row(6))
    shop.json("2022-04-02")
    assert shop.ids_by_delta_rs() == [1, 2, 3, 4, 5, 6]
    assert shop.verdict()["outcome"] == ("warned" if way == "overwrite" else "passed")


@pytest.mark.parametrize("way", ["load", "overwrite", "replace", "append", "partitions"])
def test_a_rule_of_the_table(shop, way):
    """The rows that stay count too: id 1 is there already."""
    shop.way(way)
    shop.give("2022-04-01", row(1), row(2))
    shop.json()
    shop.give("2022-04-02", row(1), row(3))
    failed = rules(shop.json("2022-04-02", code=3))["mart.orders", "id:unique"]
    assert (failed["violations"], failed["outcome"], failed["examples"]) == (1, "failed", [{"id": 1, "count(*)": 2}])
    assert shop.ids_by_delta_rs() == [1, 2]
    shop.give("2022-04-02", row(4), row(3))
    shop.json("2022-04-02")
    assert shop.ids_by_delta_rs() == [1, 2, 3, 4]


def test_merged_rows_are_not_twice(shop):
    """A row that takes the place of another one is no duplicate of it."""
    shop.way("merge")
    shop.give("2022-04-01", row(1), row(2))
    shop.json()
    shop.give("2022-04-02", row(1, amount=9.0), row(3))
    assert rules(shop.json("2022-04-02"))["mart.orders", "id:unique"]["violations"] == 0
    assert shop.ids_by_delta_rs() == [1, 2, 3]


def test_a_date_that_is_replaced(shop):
    """The rows of the date that go are no duplicates of those that come."""
    shop.way("load")
    shop.give("2022-04-01", row(1), row(2))
    shop.give("2022-04-02", row(3))
    shop.json()
    shop.give("2022-04-02", row(3), row(4))
    shop.json()
    assert shop.ids_by_delta_rs() == [1, 2, 3, 4] and shop.verdict()["violations"]["id:unique"] == 0
    shop.give("2022-04-02", row(3), row(2))
    shop.run(code=3)
    assert shop.ids_by_delta_rs() == [1, 2, 3, 4]


def test_a_date_whose_files_are_gone(shop):
    """Rows that leave can break a rule of the table, too."""
    shop.tasks(WAYS["load"], HEAD.replace("lines}", "lines, gone: remove}"))
    shop.contract(ORDERS + "    quality: [{metric: rowCount, mustBeGreaterThan: 2}]\n")
    shop.give("2022-04-01", row(1), row(2))
    shop.give("2022-04-02", row(3))
    shop.json()
    (shop.folder / "in" / "20220402.json").unlink()
    failed = shop.json(code=3)
    assert rules(failed)["mart.orders", "rowCount"]["value"] == 2
    assert shop.ids_by_delta_rs() == [1, 2, 3]
    shop.contract(ORDERS + "    quality: [{metric: rowCount, mustBeGreaterThan: 1}]\n")
    shop.json()
    assert shop.ids_by_delta_rs() == [1, 2] and shop.verdict()["violations"]["rowCount"] == 0


# ---- what is told -------------------------------------------------------------------------------

def test_summary(shop):
    shop.way("load")
    shop.give("2022-04-01", row(1), *[row(i, city="Bern") for i in range(2, 7)])
    told = shop.run().stderr
    assert "contract mart.orders: 2 rules passed, 1 warned\n" in told
    assert ("warning mart.orders city:validValues: 5 of 6 rows break it, allowed: 0\n" + '        {"city":"Bern"}\n' * 3
            + "\n") in told
    shop.give("2022-04-02", row(7))
    assert "contract mart.orders: 3 rules passed\n" in shop.run().stderr
    assert "contract" not in shop.run().stderr, "nothing was written, so nothing was judged"
    shop.give("2022-04-03", row(8, city="Bern"))
    quiet = shop.run("2022-04-01", "--quiet").stderr
    assert quiet == "warning mart.orders city:validValues: 1 of 1 row breaks it, allowed: 0\n        {\"city\":\"Bern\"}\n"


def test_failure_is_told(shop):
    shop.way("load")
    shop.give("2022-04-01", row(1, amount=-1), row(1, city="Bern"))
    done = shop.run(code=3)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "failed  mart.orders id:unique: 1 of 2 rows breaks it, allowed: 0",
        '        {"id":1,"count(*)":2}',
        "failed  mart.orders amount:minimum: 1 of 2 rows breaks it, allowed: 0",
        '        {"amount":-1.0}',
        "warning mart.orders city:validValues: 1 of 2 rows breaks it, allowed: 0",
        '        {"city":"Bern"}',
        "smelt: rule id:unique is broken: 1 of 2 rows breaks it, allowed: 0",
        "  at c.yaml:9:42",
        "  in task mart.orders, run 2022-04-01 of pipeline shop",
        "  2 rules are broken in all. Its rows are kept for 7 days: candidate.mart.orders in SQL.",
    ]
    assert not shop.lake.exists() or not shop.files()


def test_tasks_behind_a_failure_are_not_run(shop):
    """Tables before it are judged and told, but not published either."""
    shop.tasks("""\
        - {load: raw.orders, from: in, sql: load.sql, by: day, contract: c.yaml}
        - {table: mart.orders, sql: mart.sql, contract: {file: mart.yaml, table: small}}
        - {table: mart.last, sql: last.sql}
        """)
    shop.sql("mart", "FROM raw.orders")
    shop.sql("last", "FROM mart.orders")
    shop.contract("  - {name: small, quality: [{metric: rowCount, mustBeLessThan: 2}]}\n", "mart.yaml")
    shop.give("2022-04-01", row(1), row(2, city="Bern"))
    failed = shop.json(code=3)
    assert {r["table"]: r["outcome"] for r in failed["contracts"]} == {"raw.orders": "warned", "mart.orders": "failed"}
    assert not shop.files()


def test_what_is_not_checked_is_told(shop):
    shop.way("load")
    shop.contract(ORDERS + "    quality: [{name: odd, type: custom, engine: soda, implementation: x}]\n")
    shop.give("2022-04-01", row(1))
    assert "c.yaml:14:" in shop.run("2022-04-01", "--quiet").stderr
    shop.contract("  - {name: orders}\n")
    shop.give("2022-04-02", row(2))
    assert shop.run("2022-04-01", "--quiet").stderr == "warning the contract of mart.orders has no rules\n"


# ---- other tables -------------------------------------------------------------------------------

TWO = """\
  - name: orders
    physicalName: raw.orders
    properties: [{name: id, logicalType: integer}]
  - name: best
    physicalName: mart.best
    properties:
      - name: id
        logicalType: integer
        relationships: [{to: orders.id}]
    quality:
      - {name: fewer, type: sql, query: 'SELECT (SELECT count(*) FROM {object}) - count(*) FROM raw.orders', mustBeLessThan: 0}
"""


def test_other_tables_of_the_run(shop):
    """Rules see the tables as the run makes them, and their tasks come first though no SQL names them."""
    shop.tasks("""\
        - {table: mart.best, sql: best.sql, contract: c.yaml}
        - {load: raw.orders, from: in, sql: load.sql, by: day, contract: c.yaml}
        """)
    shop.contract(TWO)
    shop.sql("best", "SELECT 1::BIGINT AS id")
    shop.give("2022-04-01", row(1), row(2))
    report = shop.json()
    assert [t["name"] for t in report["tables"]][:2] == ["raw.orders", "mart.best"]
    assert rules(report)["mart.best", "fewer"]["value"] == -1
    assert "contracts" in report and shop.verdict("mart/best")["outcome"] == "passed"
    assert shop.json()["tables"][1]["version"] is None, "nothing has changed"

    shop.give("2022-04-01", row(2), row(3))
    failed = rules(shop.json(code=3))
    assert failed["mart.best", "id:reference"]["examples"] == [{"id": 1}]


# ---- done again ---------------------------------------------------------------------------------

def test_a_changed_contract(shop):
    """A table is made and judged again where its contract says something else; a load without new files has
    nothing to do."""
    shop.way("overwrite")
    shop.give("2022-04-01", row(1), row(2, city="Bern"))
    shop.sql("load", LOAD)
    shop.tasks("""\
        - {load: raw.orders, from: in, sql: load.sql, by: day, contract: c.yaml}
        - {table: mart.orders, sql: mart.sql, contract: c.yaml}
        """)
    shop.sql("mart", "FROM raw.orders")

    def versions(code=0):
        report = shop.json(code=code)
        return [t["version"] for t in report["tables"]][:2], report
    assert versions()[0] == [0, 0]
    assert versions()[0] == [None, None]
    text = (shop.folder / "c.yaml").read_text()
    (shop.folder / "c.yaml").write_text("# a word\n" + text.replace("{name: id,", "{ name: id ,"))
    assert versions()[0] == [None, None], "comments and layout do not count"
    (shop.folder / "c.yaml").write_text(text.replace("Rome]", "Rome, Bern]"))
    made, report = versions()
    assert made == [None, 1] and rules(report)["mart.orders", "city:validValues"]["violations"] == 0
    assert ("raw.orders", "id:unique") not in rules(report)
    (shop.folder / "c.yaml").write_text(text.replace("minimum: 0", "minimum: 2"))
    _, report = versions(code=3)
    assert rules(report)["mart.orders", "amount:minimum"]["violations"] == 2


def test_a_variable_of_a_rule(shop):
    """A rule that uses a variable is looked at again where that has another value."""
    shop.tasks("""\
        - {load: raw.orders, from: in, sql: load.sql, by: day}
        - {table: mart.orders, sql: mart.sql, contract: c.yaml}
        """)
    shop.sql("mart", "FROM raw.orders")
    shop.contract("""\
  - name: orders
    quality:
      - {name: early, type: custom, engine: smelt, implementation: "day <= var('day')"}
""")
    shop.give("2022-04-02", row(1))
    assert shop.json("2022-04-02")["tables"][1]["version"] == 0
    assert shop.json("2022-04-02")["tables"][1]["version"] is None
    assert shop.json("2022-04-03")["tables"][1]["version"] == 1
    shop.run("2022-04-01", code=3)


# ---- mistakes -----------------------------------------------------------------------------------

@pytest.mark.parametrize("old, new, told, place", [
    ("name: id,", "name: idd,", 'no column "idd"', ":9:16"),
    ("minimum: 0", "minimum: x", '"x"', ":10:75"),
    ("logicalType: number", "logicalType: date", "logicalType", ":10:16"),
    ("Oslo, Rome", "Oslo, Rome]}, mustBee: 0, arguments: {validValues: [x", "mustBe", ":13"),
])
def test_mistakes_have_a_place(shop, old, new, told, place):
    shop.way("load")
    shop.give("2022-04-01", row(1))
    shop.contract(ORDERS.replace(old, new, 1))
    done = shop.run(code=1)
    assert "c.yaml" + place in done.stderr, done.stderr
    assert not shop.files()


# ---- the same whatever runs it ------------------------------------------------------------------

@pytest.mark.parametrize("way", ["load", "overwrite", "merge"])
def test_any_number_of_threads(shop, way):
    shop.way(way)
    shop.give("2022-04-01", *[row(i, amount=i % 7, city="Bern" if i % 11 == 0 else "Oslo") for i in range(20000)],
              *([row(5), row(9)] if way != "merge" else []))
    shop.contract(ORDERS.replace("unique: true", "unique: true, customProperties: [{property: smelt.onViolation, "
                                                 "value: warn}]"))
    reports = []
    for threads in ["1", "2", "7"]:
        report = shop.json("2022-04-01", "--threads", threads, "--morsel-size", "64KiB", "--full-refresh",
                           "mart.orders")
        reports.append(report["contracts"])
    assert reports[0] == reports[1] == reports[2]
    assert rules({"contracts": reports[0]})["mart.orders", "city:validValues"]["violations"] == 1819


# ---- views --------------------------------------------------------------------------------------

VIEW = """\
    - {view: raw.orders, sql: load.sql, contract: c.yaml}
    - {view: raw.big, sql: big.sql}
    - {table: mart.orders, sql: twice.sql}
"""


def test_a_view(shop):
    """All rules are checked over the rows as they come, once, however often the view is read; nothing that
    reads it is written before."""
    shop.tasks(VIEW)
    shop.sql("big", "FROM raw.orders WHERE amount > 1")
    shop.sql("twice", "SELECT a.id FROM raw.big a JOIN raw.orders b ON a.id = b.id")
    shop.give("2022-04-01", row(1, 2), row(2, 5, "Bern"), row(3, 0), '{"id": "x"}\n')
    report = shop.json()
    assert report["lines"] == {"read": 4, "kept": 3, "quarantined": 1, "blank": 0}
    found = rules(report)
    assert {k: v["violations"] for k, v in found.items()} == {
        ("raw.orders", "id:unique"): 0, ("raw.orders", "amount:minimum"): 0, ("raw.orders", "city:validValues"): 1}
    assert shop.ids_by_delta_rs() == [1, 2] and len(shop.table("quarantine/lines").to_pyarrow_table()) == 1

    shop.give("2022-04-02", row(1), row(4, -1))
    failed = rules(shop.json(code=3))
    assert failed["raw.orders", "id:unique"]["violations"] == 1
    assert failed["raw.orders", "amount:minimum"]["examples"] == [{"amount": -1.0}]


WATCHED = """\
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true, customProperties: [{property: smelt.onViolation, value: warn}]}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: smelt.failAbove, value: "90%"}, {property: smelt.sharePer, value: day}]
      - name: city
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, severity: warning}]
      - {name: day, logicalType: date, unique: true, customProperties: [{property: smelt.onViolation, value: warn}]}
    quality:
      - {name: same, metric: duplicateValues, arguments: {properties: [id, day]}, mustBe: 0,
         customProperties: [{property: smelt.failAbove, value: "90%"}, {property: smelt.sharePer, value: day}]}
      - {name: ids, metric: duplicateValues, arguments: {properties: [id]}, mustBe: 0, severity: warning}
      - {name: whole, metric: duplicateValues, arguments: {properties: [id, city, amount, day]}, mustBe: 0,
         severity: warning}
      - {name: worth, type: custom, engine: smelt, implementation: "amount * id < 4000", severity: warning}
      - {name: many, metric: rowCount, mustBeGreaterThan: 1}
      - {name: lines, type: sql, mustBeGreaterThan: 0,
         query: "SELECT sum(lines * 1000 + kept * 100 + refused * 10 + blank) FROM {files}"}
"""
READERS = {
    "all": "FROM raw.orders",
    "few": "SELECT city FROM raw.orders WHERE amount > 5",
    "one day": "SELECT id FROM raw.orders WHERE day = DATE '2022-04-02'",
    "limit": "SELECT id FROM raw.orders WHERE amount > 5 LIMIT 3",
    "groups": "SELECT city, sum(amount) AS amount FROM raw.orders GROUP BY city",
    "twice": "SELECT a.id, b.city FROM raw.orders a JOIN raw.orders b ON a.id = b.id AND a.day = b.day",
    "view of it": "SELECT id + 1 AS next FROM raw.big",
    "some rows": "SELECT id FROM raw.orders UNION ALL SELECT 7",
    "count": "SELECT count(*) AS n FROM raw.orders",
    "no rows": "SELECT id FROM raw.orders WHERE 1 = 2",
    "other files": "SELECT o.id FROM raw.orders o JOIN read_json('other.json') c ON c.id = o.id",
}


def give_many(shop):
    """Days with NULLs, values that are out of range, duplicates within a day and across days, lines that are none.
    Returns the rows that are kept."""
    kept = []
    for day in ["2022-04-01", "2022-04-02", "2022-04-03"]:
        rows = [row(i % 1900 if i % 7 else None, i % 90 - 1.5, ["Oslo", "Rome", "Bern"][i % 3])
                for i in range(2000 * int(day[-1]))]
        shop.give(day, *rows, "\n", '{"id": "x"}\n', row(1), '{"id": ')
        kept += [(r["id"], r["city"], r["amount"], day) for r in rows + [row(1)]]
    (shop.folder / "other.json").write_text('{"id": 5}\n')
    return kept


def judge_apart(shop, kept):
    """The verdict of a view that no table reads."""
    shop.tasks("""\
        - {view: raw.orders, sql: load.sql, contract: c.yaml}
        - {table: mart.orders, sql: one.sql}
        """)
    shop.sql("one", "SELECT 1 AS one")
    found = rules(shop.json())
    same = [(r[0], r[3]) for r in kept if r[0] is not None]
    assert found["raw.orders", "id:required"]["violations"] == len(kept) - len(same)
    assert found["raw.orders", "amount:minimum"]["violations"] == sum(r[2] < 0 for r in kept)
    assert found["raw.orders", "same"]["violations"] == len(same) - len(set(same))
    assert found["raw.orders", "ids"]["violations"] == len(same) - len({i for i, _ in same})
    assert found["raw.orders", "day:unique"]["violations"] == len(kept) - 3
    return list(found.values())


@pytest.mark.parametrize("reader", READERS)
def test_a_view_is_judged_the_same_by_whoever_reads_it(shop, reader):
    """Rules are checked as a table reads the view; its rows are those that it has without a contract."""
    kept = give_many(shop)
    shop.contract(WATCHED)
    apart = judge_apart(shop, kept)
    shop.sql("read", READERS[reader])
    shop.sql("big", "SELECT id, amount FROM raw.orders WHERE amount > 1")
    tasks = "- {view: raw.orders, sql: load.sql, contract: c.yaml}\n- {view: raw.big, sql: big.sql}\n"
    tables = "- {table: mart.orders, sql: read.sql}\n- {table: mart.more, sql: read.sql}\n"
    shop.tasks(tasks.replace(", contract: c.yaml", "") + tables)
    shop.json()
    wanted = shop.table("mart/orders").to_pyarrow_table()
    shop.tasks(tasks + tables)
    for threads in ["1", "2", "7"]:
        report = shop.json("2022-04-01", "--threads", threads, "--morsel-size", "64KiB", "--full-refresh",
                           "mart.orders")
        assert report["contracts"] == apart
        assert shop.table("mart/orders").to_pyarrow_table() == wanted


@pytest.mark.parametrize("reader, task", [("few", "mart.orders"), ("groups", "mart.orders"), ("count", None)])
def test_which_task_a_broken_view_fails(shop, reader, task):
    """The one that reads it; where its plan cannot have the checks, the run, before anything is published."""
    shop.tasks(VIEW.replace("twice", "read"))
    shop.sql("big", "SELECT 1 AS one")
    shop.sql("read", READERS[reader])
    shop.give("2022-04-01", row(1, -1), row(2))
    done = shop.run(code=3)
    assert "rule amount:minimum is broken: 1 of 2 rows breaks it" in done.stderr and "in view raw.orders" in done.stderr
    assert ("task mart.orders" in done.stderr) == (task is not None)


COUNTED = {  # what reads raw.cities of 3 rows, by how much its rows are more, and how often the files are read
    "as it is": ("FROM raw.cities", 0, 1),
    "with more": ("SELECT c.*, m.top FROM raw.cities c JOIN (SELECT city, max(amount) AS top FROM raw.orders "
                  "WHERE city > '' GROUP BY city) m ON m.city = c.city", 0, 1),
    "not all": ("FROM raw.cities WHERE n > 3999", -1, 1),
    "the first": ("FROM raw.cities LIMIT 1", -2, 1),
    "of fewer groups": ("FROM raw.cities WHERE city <> 'Bern'", -1, 2),
    "of fewer rows": ("SELECT city, count(*) AS n FROM raw.orders WHERE amount > 80 GROUP BY city", 0, 2),
    "in two parts": ("FROM raw.cities UNION ALL FROM raw.cities", 3, 2),
}


@pytest.mark.parametrize("reader", COUNTED)
@pytest.mark.parametrize("has_contract", [False, True])
def test_a_rule_that_counts_a_view(shop, reader, has_contract):
    """A rule that asks how many rows a view has does not read it again where the task's plan has these rows."""
    sql, more, times = COUNTED[reader]
    give_many(shop)
    shop.sql("cities", "SELECT city, count(*) AS n FROM raw.orders WHERE city > '' GROUP BY city")
    shop.sql("read", sql)
    shop.contract("""\
  - name: orders
    quality: [{name: as many, type: sql, mustBe: 0, query: "SELECT count(*) - (SELECT count(*) FROM raw.cities) FROM {object}"}]
""")
    shop.contract("""\
  - name: cities
    properties: [{name: n, logicalType: integer, logicalTypeOptions: {minimum: 1}}]
    quality: [{name: three, type: sql, mustBe: 3, query: "SELECT count(*) FROM {object}"}]
""", "v.yaml")
    shop.tasks("- {view: raw.orders, sql: load.sql}\n"
               f"- {{view: raw.cities, sql: cities.sql{', contract: v.yaml' if has_contract else ''}}}\n"
               "- {table: mart.orders, sql: read.sql, contract: c.yaml}\n")
    anew = ["--full-refresh", "mart.orders"]
    for threads in ["1", "3"]:
        report = shop.json("2022-04-01", "--threads", threads, *anew, code=3 if more else 0)
        assert rules(report)["mart.orders", "as many"]["value"] == more
        if has_contract and not (times == 2 and more == -1):  # this one fails before the view is judged
            assert rules(report)["raw.cities", "three"]["value"] == 3
            assert rules(report)["raw.cities", "n:minimum"]["rows"] == 3
    env = {**os.environ, "SMELT_STATE": str(shop.folder / "none_yet")}  # what is read of a history is not counted
    process = subprocess.Popen([smelt_path(), "run", "p.yaml", "--date", "2022-04-01", "-q", *anew],
                               cwd=shop.folder, stderr=subprocess.DEVNULL, env=env)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    read = int(pathlib.Path(f"/proc/{process.pid}/io").read_text().split()[1])
    assert process.wait() == (3 if more else 0)
    size = sum(p.stat().st_size for p in (shop.folder / "in").iterdir())
    assert round(read / size) == times + (has_contract and reader == "of fewer rows")  # which judges the view apart


def test_a_view_is_counted_for_all_tasks(shop):
    """Also for one that does not read it; of a view that no task reads, the rule reads the rows."""
    give_many(shop)
    shop.sql("cities", "SELECT city FROM raw.orders GROUP BY city")
    shop.sql("days", "SELECT day FROM raw.orders GROUP BY day HAVING count(*) > 2001")
    shop.sql("read", "FROM raw.cities")
    shop.sql("one", "SELECT 1 AS one")
    for name, view, n in [("c", "cities", 3), ("d", "days", 2)]:
        shop.contract(f"""\
  - name: orders
    quality: [{{name: rows, type: sql, mustBe: {n}, query: "SELECT count(*) FROM raw.{view}"}}]
""", f"{name}.yaml")
    shop.tasks("""\
        - {view: raw.orders, sql: load.sql}
        - {view: raw.cities, sql: cities.sql}
        - {view: raw.days, sql: days.sql}
        - {table: mart.cities, sql: read.sql}
        - {table: mart.one, sql: one.sql, contract: c.yaml}
        - {table: mart.two, sql: one.sql, contract: d.yaml}
        """)
    found = rules(shop.json())
    assert found["mart.one", "rows"]["value"] == 3 and found["mart.two", "rows"]["value"] == 2


@pytest.mark.parametrize("action", ["quarantine", "null"])
def test_a_view_takes_no_rows_away(shop, action):
    shop.tasks(VIEW)
    shop.contract(ORDERS.replace("minimum: 0}", "minimum: 0}, customProperties: [{property: smelt.onViolation, "
                                                f"value: {action}}}]"))
    told = shop.run(code=1).stderr
    assert f"rule amount:minimum cannot be '{action}': raw.orders is a view" in told and "c.yaml:10:" in told


@pytest.mark.parametrize("word", ["derive, value: id + 1", "default, value: 3", "cast, value: true"])
def test_a_view_makes_no_columns(shop, word):
    shop.tasks(VIEW)
    shop.contract(ORDERS.replace("minimum: 0}", "minimum: 0}, physicalType: DOUBLE, customProperties: "
                                                f"[{{property: smelt.{word}}}]"))
    told = shop.run(code=1).stderr
    assert "column amount cannot be made: raw.orders is a view" in told and "c.yaml:10:" in told


# ---- a contract that changed --------------------------------------------------------------------

TOLD = "warning the contract of mart.orders is another one than that by which its rows were judged, and no file is new: "


def test_a_load_without_new_files_says_that_its_contract_is_another_one(shop):
    """Until its rows were judged by it; `smelt check` is what it names."""
    shop.tasks(WAYS["load"])
    shop.give("2022-04-01", row(1), row(2, 5.0))
    shop.run()
    assert "another one" not in shop.run().stderr
    shop.contract("# only a comment\n" + ORDERS)
    assert "another one" not in shop.run().stderr
    shop.contract(ORDERS.replace("minimum: 0", "minimum: 2"))
    for options in ([], ["--quiet"], ["--json"]):
        told = shop.run("2022-04-01", *options).stderr
        assert TOLD in told
    command = told[told.index(TOLD) + len(TOLD):].splitlines()[0].split()
    assert command[:2] == ["smelt", "check"] and len(command) == 4
    done = shop.smelt(*command[1:], check=False)
    assert done.returncode == 3 and "rule amount:minimum is broken: 1 of 2 rows breaks it" in done.stderr
    shop.give("2022-04-02", row(3, 7.0))
    assert "another one" not in shop.run("2022-04-02").stderr
    assert "another one" not in shop.run("2022-04-02").stderr  # the newest rows were judged by it


def test_a_load_that_had_no_contract_says_it_too(shop):
    shop.tasks(WAYS["load"].replace(", contract: c.yaml", ""))
    shop.give("2022-04-01", row(1))
    shop.run()
    shop.contract(ORDERS + ORDERS.replace("orders", "others"))
    shop.tasks(WAYS["load"])
    assert TOLD in (told := shop.run().stderr) and " --table orders\n" in told
    shop.smelt("table", "optimize", "lake/mart/orders")
    assert TOLD in shop.run().stderr
    shop.smelt("sql", "--write", "DELETE FROM 'lake/mart/orders' WHERE id = 1")  # who wrote last, knows
    assert TOLD not in shop.run().stderr


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("load", "append")])
def test_other_tables_are_made_and_judged_again(shop, way):
    """Of a table that keeps rows of other runs, those of this run; a view is judged in each run."""
    shop.way(way)
    shop.give("2022-04-01", row(1), row(2, 5.0))
    shop.run()
    shop.contract(ORDERS.replace("minimum: 0", "minimum: 2"))
    assert "rule amount:minimum is broken: 1 of 2 rows breaks it" in shop.run(code=3).stderr


def test_rows_that_were_added_stay_and_are_not_judged_again(shop):
    shop.way("append")
    shop.give("2022-04-01", row(1))
    shop.run()
    shop.contract(ORDERS.replace("minimum: 0", "minimum: 2"))
    assert "they stay, and none are added, though what they are made from may have changed" in shop.run().stderr


def test_all_rows_of_a_history_are_judged_by_run_and_check_alike(shop):
    """Rows that have ended too; for those of now there is a view."""
    shop.way("scd2")
    shop.sql("now", "SELECT * FROM mart.orders WHERE is_current")
    shop.give("2022-04-01", row(1), row(2))
    shop.give("2022-04-02", row(1, 9.0), row(2))
    shop.sql("keyed", "SELECT id, amount, city FROM read_json(var('in')) WHERE filename LIKE '%' || "
             "strftime(var('day'), '%Y%m%d') || '%'".replace("var('in'))", "var('in'), filename => true)"))
    shop.run()
    told = "rule id:unique is broken: 1 of 3 rows breaks it"
    assert told in shop.run("2022-04-02", code=3).stderr
    done = shop.smelt("check", "c.yaml", "candidate.mart.orders", "--lake", "lake", check=False)
    assert done.returncode == 3 and told in done.stderr
    shop.tasks(WAYS["scd2"].replace(", contract: c.yaml", "") +
               "\n- {view: mart.now, sql: now.sql, contract: c.yaml}")
    assert rules(shop.json("2022-04-02"))["mart.now", "id:unique"]["outcome"] == "passed"
    assert len(shop.ids()) == 3


# ---- files --------------------------------------------------------------------------------------

FILES = """\
  - name: orders
    quality:
      - name: some_line_of_each
        type: sql
        query: SELECT count(*) FROM {files} WHERE lines > blank AND kept = 0
        mustBe: 0
      - name: in_april
        type: sql
        query: SELECT count(*) FROM {files} WHERE NOT again AND month(date) <> 4
        mustBe: 0
      - name: lines
        type: sql
        query: SELECT sum(lines * 1000 + kept * 100 + refused * 10 + blank) FROM {files}
        mustBeGreaterThan: 0
"""


@pytest.mark.parametrize("way", ["load", "view"])
def test_files_that_were_read(shop, way):
    shop.way("load")
    if way == "view":
        shop.tasks("""\
            - {view: mart.orders, sql: load.sql, contract: c.yaml}
            - {table: mart.copy, sql: copy.sql}
            """)
        shop.sql("copy", "FROM mart.orders")
    shop.contract(FILES)
    shop.give("2022-04-01", row(1), "\n", '{"id": "x"}\n')
    shop.give("2022-04-02", row(2))
    shop.give("2022-04-03", " \n")
    assert rules(shop.json())["mart.orders", "lines"]["value"] == 5000 + 200 + 10 + 2
    shop.give("2022-04-04", '{"id": "x"}\n')
    broken = {k[1]: v["outcome"] for k, v in rules(shop.json(code=3)).items()}
    assert broken == {"some_line_of_each": "failed", "in_april": "passed", "lines": "passed"}
    shop.give("2022-04-04", row(4))
    shop.give("2022-05-01", row(5))
    assert rules(shop.json(code=3))["mart.orders", "in_april"]["value"] == 1


def test_files_that_are_read_again(shop):
    """A file of another month that is read because its date is replaced, or the table made anew, is no mistake."""
    shop.way("load")
    shop.give("2022-05-01", row(1))
    shop.give("2022-05-01", row(2), name="b-20220501.json")
    shop.contract(FILES.replace("<> 4", "<> 5"))
    shop.json()
    shop.contract(FILES)
    shop.give("2022-05-01", row(3))
    report = shop.json()
    assert report["files"]["read"] == 2 and rules(report)["mart.orders", "in_april"]["value"] == 0
    shop.give("2022-04-01", row(9))
    assert rules(shop.json("2022-04-01", "--full-refresh", "mart.orders"))["mart.orders", "in_april"]["value"] == 0
    assert shop.ids_by_delta_rs() == [2, 3, 9]


def test_files_are_of_a_run(shop):
    """Outside a run nobody knows them: the rules are told as not checked."""
    shop.way("load")
    shop.contract(FILES)
    shop.give("2022-04-01", row(1))
    shop.json()
    done = shop.smelt("check", "c.yaml", "lake/mart/orders", "--json")
    answer = json.loads(done.stdout)
    assert answer["contracts"] == []
    assert answer["not_checked"] == [f'rule "{r}" is of the files that a run reads'
                                     for r in ["some_line_of_each", "in_april", "lines"]]
    assert 'warning: c.yaml:9:' in done.stderr


# ---- the past ------------------------------------------------------------------------------------


def test_the_number_of_rows_is_held_against_earlier_versions(shop):
    """The first version has nothing to be held against, which is told; one that is too large is not published."""
    shop.contract(ORDERS + "    quality: [{type: custom, engine: smelt, implementation: {volume: {within: 20%}}}]\n")
    shop.sql("all", "SELECT * FROM read_json(var('in'), columns => " + COLUMNS + ", file_date => true)")
    shop.tasks("- {table: mart.orders, sql: all.sql, contract: c.yaml}")
    shop.give("2022-04-01", *(row(i) for i in range(10)))
    assert "contract mart.orders: 3 rules passed, 1 not checked\n" in shop.run().stderr
    shutil.rmtree(shop.lake)
    first = shop.json()
    told = rules(first)["mart.orders", "volume"]
    assert told["outcome"] == "unchecked" and "no earlier version" in told["detail"]
    shop.give("2022-04-02", row(10), row(11))
    assert rules(shop.json("2022-04-02"))["mart.orders", "volume"]["detail"] == "12 rows, and 10 in the version before"
    shop.give("2022-04-03", *(row(i) for i in range(20, 40)))
    told = rules(shop.json("2022-04-03", code=3))["mart.orders", "volume"]
    assert told["outcome"] == "failed" and told["detail"] == "32 rows, and 11 on average in 2 versions before"
    assert len(shop.ids_by_delta_rs()) == 12


# ---- rows that leave, values that become NULL ----------------------------------------------------

def with_action(action, rule="unique: true"):
    return ORDERS.replace(rule, f"{rule}, customProperties: [{{property: smelt.onViolation, value: {action}}}]")


@pytest.mark.parametrize("way", WAYS)
def test_values_that_become_null(shop, way):
    shop.way(way)
    shop.contract(with_action("null", "logicalTypeOptions: {minimum: 0}"))
    shop.give("2022-04-01", row(1), row(2, amount=-5), row(3, amount=7))
    found = rules(shop.json())["mart.orders", "amount:minimum"]
    assert (found["violations"], found["outcome"], found["action"]) == (1, "warned", "null")
    table = shop.table("mart/orders").to_pyarrow_table()
    assert dict(zip(table["id"].to_pylist(), table["amount"].to_pylist())) == {1: 1.0, 2: None, 3: 7.0}


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_leave(shop, way):
    shop.way(way)
    shop.contract(with_action("quarantine", "logicalTypeOptions: {minimum: 0}"))
    shop.give("2022-04-01", row(1), row(2, amount=-5), row(3, amount=7))
    found = rules(shop.json())["mart.orders", "amount:minimum"]
    assert (found["violations"], found["rows"], found["outcome"]) == (1, 3, "warned")
    assert shop.ids_by_delta_rs() == [1, 3]
    kept = shop.table("quarantine/lines" if way == "load" else "quarantine/orders").to_pyarrow_table().to_pylist()
    assert [(r["reason"], json.loads(r["raw"])["id"]) for r in kept] == [("amount:minimum", 2)]


@pytest.mark.parametrize("way, is_other", [("load", True), ("append", True), ("replace", True), ("overwrite", False)])
def test_duplicates_that_leave(shop, way, is_other):
    """Rows that stay in the table come before all new ones; those that are replaced do not count."""
    shop.way(way)
    shop.contract(with_action("quarantine"))
    shop.give("2022-04-01", row(1), row(2), row(1))
    assert rules(shop.json())["mart.orders", "id:unique"]["violations"] == 1
    assert shop.ids_by_delta_rs() == [1, 2]
    shop.give("2022-04-02", row(2), row(3))
    found = rules(shop.json("2022-04-02"))["mart.orders", "id:unique"]
    assert (found["violations"], found["outcome"]) == (1 if is_other else 2, "warned")
    assert shop.ids_by_delta_rs() == [1, 2, 3]
    if way in ("load", "replace"):
        shop.give("2022-04-02", row(3), row(4))
        assert rules(shop.json("2022-04-02"))["mart.orders", "id:unique"]["violations"] == 0
        assert shop.ids_by_delta_rs() == [1, 2, 3, 4]


@pytest.mark.parametrize("way, column", [("partitions", "day"), ("merge", "id"), ("scd2", "id")])
def test_duplicates_where_it_is_not_known_what_stays(shop, way, column):
    """A rule with all columns by which rows are replaced has no duplicates among those that stay; any other is
    refused, with its place. (A table that is not there yet has none.)"""
    shop.way(way)
    rule = """\
  - name: orders
    properties: [{{name: id}}, {{name: city}}{day}]
    quality:
      - metric: duplicateValues
        arguments: {{properties: [{columns}]}}
        mustBe: 0
        customProperties: [{{property: smelt.onViolation, value: quarantine}}]
"""
    day = ", {name: day}" if way == "partitions" else ""
    shop.contract(rule.format(columns=f"city, {column}", day=day))
    shop.give("2022-04-01", row(1), row(2, city="Rome"))
    shop.json()
    shop.give("2022-04-02", row(1 if way == "merge" else 3), row(4))
    shop.json("2022-04-02")
    shop.contract(rule.format(columns="city", day=day))
    told = shop.run("2022-04-03", code=1).stderr
    assert f"add the column {column} to it" in told and "c.yaml:10:" in told


# ---- the pipelines of customer360 ---------------------------------------------------------------

def test_both_forms_judge_alike(smelt, tmp_path, lake):
    """Damaged logs: the rules of bronze and gold are broken by the same rows, whatever the form and threads."""
    smelt("generate", "logs", "logs", "--month", "2022-04", "--days", "3", "--rows", "3000", "--contracts", "200",
          "--damage", "0.05", "--seed", "5")
    extra = [{"_id": "a", "_score": -1, "_source": {"Contract": "xy", "TotalDuration": 90000, "AppName": "VOD"}},
             {"_score": 1, "_source": {"Contract": "AB", "TotalDuration": -1}}] + [{"_id": "a", "_score": 0}]
    with (tmp_path / "logs" / "20220402.json").open("a") as file:
        file.write("\n" + "".join(json.dumps(line) + "\n" for line in extra))
    found = {}
    for form in ["delta", "direct"]:
        for threads in ["1", "3"]:
            report = json.loads(smelt("run", f"{ROOT}/pipelines/customer360/{form}.yaml", "--var", "logs=logs", "--var",
                                      f"lake={tmp_path}/{form}{threads}", "--var", "month=2022-04", "--threads",
                                      threads, "--json").stdout)
            found[form + threads] = rules(report)
    assert found["delta1"] == found["delta3"] and found["direct1"] == found["direct3"]
    for key, rule in found["direct1"].items():
        assert rule == found["delta1"][key]
    bronze = {k[1]: v["violations"] for k, v in found["direct1"].items() if k[0] == "bronze.viewing_log"}
    assert bronze["Score:minimum"] == bronze["TotalDuration:maximum"] == bronze["TotalDuration:minimum"] == 1
    assert bronze["Id unique within a Date"] == 1 and bronze["Id:required"] > 1
    assert found["delta1"]["silver.customer_viewing", "Contract is well formed"]["outcome"] == "warned"


def test_customer360_fails(smelt, tmp_path):
    """A file without a line that can be read, and an Id that is there too often within a day."""
    logs = tmp_path / "logs"
    logs.mkdir()
    line = '{"_id":"%s","_score":0,"_source":{"Contract":"AB1","TotalDuration":5,"AppName":"VOD"}}\n'
    (logs / "20220401.json").write_text("".join(line % i for i in range(1000)))
    (logs / "20220402.json").write_text("\n\n")
    run = ["run", f"{ROOT}/pipelines/customer360/delta.yaml", "--var", "month=2022-04", "--json"]
    assert smelt(*run, check=False).returncode == 0
    (logs / "20220403.json").write_text("no JSON\n")
    done = smelt(*run, check=False)
    assert done.returncode == 3
    assert rules(json.loads(done.stdout))["bronze.viewing_log", "a kept line in each file"]["value"] == 1
    (logs / "20220403.json").write_text("".join(line % i for i in range(999)) + line % 0)
    assert rules(json.loads(smelt(*run).stdout))["bronze.viewing_log", "Id unique within a Date"]["outcome"] == "warned"
    (logs / "20220404.json").write_text("".join(line % i for i in range(998)) + line % 0 * 2)
    done = smelt(*run, check=False)
    assert done.returncode == 3
    broken = rules(json.loads(done.stdout))["bronze.viewing_log", "Id unique within a Date"]
    assert (broken["violations"], broken["outcome"]) == (2, "failed")


def test_the_times_of_a_history_are_not_in_its_contract(shop):
    shop.way("scd2")
    shop.contract(ORDERS.replace("    properties:\n", "    properties:\n      - {name: valid_from, logicalType: date}\n", 1))
    shop.give("2022-04-01", row(1))
    assert 'no column "valid_from"' in shop.run(code=1).stderr
