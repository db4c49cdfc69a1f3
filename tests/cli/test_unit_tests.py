"""`smelt test`: the SQL of a pipeline over rows that are given. Each way in which rows can differ is a test that
must fail, and each mistake in the file is told with its place."""
import json
import shutil

import pytest

from common import ROOT

PIPELINE = """name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month}
  least: {type: integer, default: 0}
lake: lake
sources: [{name: logs, match: '.*'}]
tasks:
  - load: bronze.orders
    from: logs
    by: day
    sql: bronze.sql
  - view: silver.paid
    sql: paid.sql
  - table: gold.days
    sql: days.sql
  - table: gold.other
    sql: other.sql
"""
SQL = {
    "bronze.sql": "SELECT id, city, price, file_date AS day FROM read_json(var('logs'), columns => {id: 'BIGINT', "
                  "city: 'VARCHAR', price: 'DECIMAL(10,2)'}, file_date => true, bad_lines => 'skip')",
    "paid.sql": "SELECT * FROM bronze.orders WHERE price > var('least')",
    "days.sql": "SELECT day, count(*) AS n, sum(price) AS price FROM silver.paid WHERE city <> 'x' GROUP BY day ORDER BY day",
    "other.sql": "SELECT a.*, b.k FROM raw.a AS a LEFT JOIN raw.b AS b ON a.id = b.id",
}
GIVEN = """      - input: bronze.orders
        rows:
          - {id: 1, city: Oslo, price: 1.50, day: 2022-04-01}
          - {id: 2, city: Rome, price: 2, day: 2022-04-01}
          - {id: 3, city: null, price: 3, day: 2022-04-02}
          - {id: 4, city: Rome, price: 4.25, day: 2022-04-03}
"""


@pytest.fixture
def shop(smelt, tmp_path):
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    for name, text in SQL.items():
        (tmp_path / name).write_text(text)

    def run(tests, *args, code=None):
        (tmp_path / "tests.yaml").write_text(tests)
        done = smelt("test", "shop.yaml", *args, cwd=tmp_path, check=False)
        assert code is None or done.returncode == code, done.stderr + done.stdout
        return done
    return run


def case(model="gold.days", given=GIVEN, expect="rows: []", more=""):
    return f"unit_tests:\n  - name: one\n    model: {model}\n{more}    given:\n{given}    expect:\n      {expect}\n"


GOOD = """rows:
        - {day: 2022-04-03, n: 1, price: 4.25}
        - {day: 2022-04-01, n: 2, price: 3.5}"""


def test_rows_that_are_alike(shop):
    done = shop(case(expect=GOOD), code=0)
    assert done.stdout == "ok    gold.days: one\n1 passed, 0 failed\n" and done.stderr == ""
    assert json.loads(shop(case(expect=GOOD), "--json", code=0).stdout) == {
        "tests": [{"name": "one", "model": "gold.days", "outcome": "passed", "rows": 2, "expected": 2, "missing": [],
                   "unexpected": []}], "passed": 1, "failed": 0}


@pytest.mark.parametrize("change, missing, unexpected", [
    (("price: 3.5", "price: 3.51"), ['{"day":"2022-04-01","n":2,"price":3.51}'], ['{"day":"2022-04-01","n":2,"price":3.50}']),
    (("n: 2", "n: null"), ['{"day":"2022-04-01","n":null,"price":3.50}'], ['{"day":"2022-04-01","n":2,"price":3.50}']),
    (("        - {day: 2022-04-03, n: 1, price: 4.25}\n", ""), [], ['{"day":"2022-04-03","n":1,"price":4.25}']),
    (("        - {day: 2022-04-03", "        - {day: 2022-04-03, n: 1, price: 4.25}\n        - {day: 2022-04-03"),
     ['{"day":"2022-04-03","n":1,"price":4.25}'], []),  # twice is not once
])
def test_rows_that_differ(shop, change, missing, unexpected):
    done = shop(case(expect=GOOD.replace(*change)), code=1)
    lines = done.stdout.splitlines()
    assert lines[0] == "FAIL  gold.days: one" and lines[-1] == "0 passed, 1 failed"
    assert [x[4:] for x in lines if x.startswith("  - ")] == missing
    assert [x[4:] for x in lines if x.startswith("  + ")] == unexpected
    assert done.stderr == "smelt: 1 of 1 tests failed\n"
    found = json.loads(shop(case(expect=GOOD.replace(*change)), "--json", code=1).stdout)
    assert found["tests"][0]["outcome"] == "failed" and found["error"]["message"] == "1 of 1 tests failed"
    assert found["tests"][0]["missing"] == [json.loads(x) for x in missing]


def test_an_order_that_counts(shop):
    wrong = GOOD + "\n      ordered: true"
    assert shop(case(expect=wrong), code=1).stdout.count("\n  - ") == 2
    right = "rows: [{day: 2022-04-01}, {day: 2022-04-03}]\n      ordered: true"
    shop(case(expect=right), code=0)
    assert "+ {\"day\":\"2022-04-03\"}" in shop(case(expect=right.replace(", {day: 2022-04-03}", "")), code=1).stdout


def test_columns_that_are_not_named_are_not_looked_at(shop):
    shop(case(expect="rows: [{n: 1}, {n: 2}]"), code=0)
    assert "the SQL gives no column" in shop(case(expect="rows: [{m: 1}, {n: 2}]"), code=1).stdout
    shop(case(expect="rows: []"), code=1)
    shop(case(given="      - {input: bronze.orders, rows: []}\n", expect="rows: []"), code=0)


def test_variables(shop):
    more = "    overrides: {vars: {least: 2}}\n"
    shop(case(expect="rows: [{n: 1, price: 4.25}]", more=more), code=0)
    assert 'no variable "leest"' in shop(case(more=more.replace("least", "leest")), code=1).stdout
    assert "is not a whole number" in shop(case(more=more.replace("2}", "x}")), code=1).stdout


def test_a_source(shop):
    given = """      - input: logs
        as: log-20220403.json
        rows:
          - {id: 1, city: Oslo, price: 1.5, more: 1}
          - {id: x}
      - {input: logs, as: log-20220404.json, file: more.ndjson}
"""
    expect = "rows: [{id: 1, city: Oslo, price: 1.5, day: 2022-04-03}]"
    done = shop(case(model="bronze.orders", given=given, expect=expect), code=1)
    assert "more.ndjson" in done.stderr
    given = given[:given.index("      - {input: logs")]
    shop(case(model="bronze.orders", given=given, expect=expect), code=0)  # the line that is none is skipped


def test_a_source_with_a_file(shop, tmp_path):
    (tmp_path / "more.ndjson").write_text('{"id":7}\n')
    given = "      - {input: logs, as: log-20220404.json, file: more.ndjson}\n      - {input: logs, as: 20220405.json, rows: [{id: 8}]}\n"
    shop(case(model="bronze.orders", given=given, expect="rows: [{id: 7, day: 2022-04-04}, {id: 8, day: 2022-04-05}]"), code=0)
    (tmp_path / "want.ndjson").write_text('{"id":7,"city":null,"price":null,"day":"2022-04-04"}\n')
    given = "      - {input: logs, as: log-20220404.json, file: more.ndjson}\n"
    shop(case(model="bronze.orders", given=given, expect="file: want.ndjson"), code=0)


def test_names_of_files_that_the_source_takes(shop, tmp_path):
    """`match` decides which file is read, and not which columns a table has."""
    sql = SQL["bronze.sql"].replace("file_date => true", "match => '^orders_.*', file_date => true")
    (tmp_path / "bronze.sql").write_text(sql)
    given = "      - {input: logs, rows: [{id: 1}]}\n"
    done = shop(case(model="bronze.orders", given=given, expect="rows: [{id: 1}]"), code=1)
    assert "no file matches" in done.stdout and "input: logs, as: NAME" in done.stdout
    given = given.replace("rows:", "as: orders_20220401.json, rows:")
    shop(case(model="bronze.orders", given=given, expect="rows: [{id: 1, day: 2022-04-01}]"), code=0)
    done = shop(case(given="      - {input: bronze.orders, rows: [{day: 2022-04-01, pricee: 1}]}\n"), code=1)
    assert 'bronze.orders has no column "pricee"' in done.stdout and 'Did you mean "price"?' in done.stdout


def test_through_the_views(shop):
    """The view between is the pipeline's own, unless it is given."""
    given = "      - {input: silver.paid, rows: [{day: 2022-04-01, price: -1, city: a}]}\n"
    shop(case(given=given, expect="rows: [{n: 1, price: -1}]"), code=0)
    shop(case(given=given.replace("silver.paid", "ref('silver.paid')"), expect="rows: [{n: 1}]"), code=0)
    shop(case(given=given.replace("silver.paid", "bronze.orders"), expect="rows: []"), code=0)


def test_types_are_those_of_the_pipeline(shop):
    """A DECIMAL of the source is one through all views; a text that looks like a number stays a text."""
    given = "      - {input: silver.paid, rows: [{day: 2022-04-01, price: 0.1, city: 7}, {day: 2022-04-01, price: 0.2, city: 8}]}\n"
    shop(case(given=given, expect="rows: [{price: 0.3}]"), code=0)
    done = shop(case(given=given.replace("0.1", "0.123")), code=1)
    assert "0.123" in done.stdout and "tests.yaml:5:" in done.stdout


def test_tables_of_others(shop):
    """No task makes them: their types are those of the rows, or are said."""
    given = """      - {input: raw.a, rows: [{id: 1, x: a}, {id: 2, x: b}]}
      - {input: "source('raw', 'b')", rows: [{id: 2, k: 5}]}
"""
    shop(case(model="gold.other", given=given, expect="rows: [{id: 1, x: a, k: null}, {id: 2, x: b, k: 5}]"), code=0)
    empty = given.replace("rows: [{id: 2, k: 5}]", "rows: []")
    assert "Say them: columns: {name: TYPE}" in shop(case(model="gold.other", given=empty), code=1).stdout
    said = empty.replace("rows: []", "columns: {id: INTEGER, k: VARCHAR}, rows: []")
    shop(case(model="gold.other", given=said, expect="rows: [{id: 1, k: null}, {id: 2, k: null}]"), code=0)
    assert "has no column \"idd\"" in shop(case(model="gold.other", given=said.replace("rows: []", "rows: [{idd: 1}]")), code=1).stdout


def test_nothing_else_is_read(smelt, shop, tmp_path):
    """Neither a table of the lake nor the folder of a source."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/20220401.json").write_text('{"id":1,"city":"Oslo","price":1}\n')
    smelt("run", "shop.yaml", "--task", "bronze.orders", cwd=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = shop(case(given="      []\n"), code=1)
    assert "the SQL reads table bronze.orders, of which the test gives no rows" in done.stdout
    done = shop(case(model="bronze.orders", given="      []\n"), code=1)
    assert "the SQL reads source logs, of which the test gives no rows" in done.stdout
    shop(case(expect=GOOD), code=0)
    assert sorted(tmp_path.rglob("*")) == sorted(set(before) | {tmp_path / "tests.yaml"})


def test_an_error_of_a_run_is_that_of_its_test(shop):
    """The other tests go on."""
    given = "      - {input: silver.paid, rows: [{day: x, price: 1, city: a}]}\n"
    both = case(given=given) + case(expect=GOOD).replace("unit_tests:\n", "").replace("name: one", "name: two")
    done = shop(both, code=1)
    assert "FAIL  gold.days: one\n" in done.stdout and "ok    gold.days: two\n" in done.stdout
    assert 'in column day, row 1 of input silver.paid, test "one"' in done.stdout and "1 passed, 1 failed" in done.stdout
    found = json.loads(shop(both, "--json", code=1).stdout)
    assert [t["outcome"] for t in found["tests"]] == ["error", "passed"]
    assert found["tests"][0]["error"]["place"].startswith("tests.yaml:5:")
    assert shop(both, "-s", "two", code=0).stdout.endswith("1 passed, 0 failed\n")
    shop(both, "--select", "gold.days", code=1)
    assert 'there is no test "three"' in shop(both, "-s", "three", code=1).stderr


@pytest.mark.parametrize("text, told", [
    ("unit_tests: [{name: a, model: gold.day, expect: {rows: []}}]", 'no task with SQL called "gold.day"'),
    ("unit_tests: [{name: a, model: gold.days}]", "a unit test has no expect"),
    ("unit_tests: [{model: gold.days, expect: {rows: []}}]", "a unit test has no name"),
    ("unit_tests: [{name: a, model: gold.days, expect: {row: []}}]", '"row"'),
    ("unit_tests: [{name: a, model: gold.days, expect: {rows: [], file: x}}]", "either rows or file"),
    ("unit_tests: [{name: a, model: gold.days, expect: {rows: [1]}}]", "a row"),
    ("unit_tests: [{name: a, model: gold.days, expect: {rows: [], ordered: yes}}]", "ordered is true or false"),
    ("unit_tests: [{name: a, model: gold.days, overrides: {date: x}, expect: {rows: []}}]", "is no date"),
    ("unit_tests: [{name: a, model: gold.days, given: [{input: b, rows: []}, {input: B, rows: []}], expect: {rows: []}}]",
     "given twice"),
    ("unit_tests: [{name: a, model: gold.days, given: [{input: b, columns: {x: BIGINTT}, rows: []}], expect: {rows: []}}]",
     "BIGINTT"),
    ("unit_tests: [{name: a, model: gold.days, expect: {rows: []}}, {name: a, model: gold.days, expect: {rows: []}}]",
     'two tests are called "a"'),
    ("unit_tests: {}", "unit_tests"), ("tests: []", '"tests"'), ("unit_tests: [", "tests.yaml"),
    ("unit_tests: []", "the file has no tests")])
def test_files_that_are_none(shop, text, told):
    done = shop(text, code=1)
    assert told in done.stderr
    assert "has no tests" in told or "tests.yaml:1:" in done.stderr or text.endswith("[")


def test_usage(smelt, shop, tmp_path):
    shop(case(expect=GOOD), "tests.yaml", code=0)
    assert "none.yaml" in shop(case(expect=GOOD), "none.yaml", code=1).stderr
    assert smelt("test", check=False).returncode == 2


MUTATIONS = [("viewing.sql", "TotalDuration > 0", "TotalDuration >= 0"), ("viewing.sql", ">= 2", ">= 1"),
             ("viewing.sql", "Contract <> '0'\n  AND length(Contract) >= 2", "length(Contract) >= 1"),
             ("viewing.sql", '"Date" <= last_day(CAST(var(\'month\') || \'-01\' AS DATE))', "true"),
             ("viewing.sql", "'KPLUS', 'KPlus', 'DSHD') THEN", "'KPLUS', 'DSHD') THEN"), ("silver.sql", "'Sport'), 0)", "'Sport'), 1)"),
             ("silver.sql", "WHEN TVDuration THEN 'TV'\n", "\n"), ("gold.sql", "4 - qcut", "qcut"),
             ("bronze.sql", "_score AS", "1 AS")]


@pytest.mark.parametrize("file, old, new", [("", "", ""), *MUTATIONS])
def test_the_shipped_tests(smelt, tmp_path, file, old, new):
    """They pass; and where the SQL is broken, one of them fails."""
    folder = tmp_path / "customer360"
    shutil.copytree(ROOT / "pipelines/customer360", folder)
    if file:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    done = smelt("test", folder / "delta.yaml", check=False)
    assert done.returncode == (1 if file else 0), done.stdout
    assert not file or "error" not in done.stdout
