"""`smelt run --html`: one page of all verdicts of a run, whatever became of it, with what the run wrote drawn beside
the rules. The page itself is told by test_check_page.py and test_page_in_browser.py."""
import json
import os

import pytest

import contract_shop
from page import Page, all_of, cells, text_of

TASKS = """\
- {load: raw.orders, from: in, sql: load.sql, by: day, contract: raw.yaml}
- {view: mart.cheap, sql: cheap.sql, contract: cheap.yaml}
- {table: mart.orders, sql: orders.sql, contract: c.yaml}
- {table: mart.free, sql: free.sql}
"""
RAW = """\
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: smelt.onViolation, value: quarantine}]
      - name: city
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, severity: warning}]
"""
CHEAP = """\
  - name: cheap
    properties:
      - {name: amount, logicalType: number, logicalTypeOptions: {maximum: 5}}
"""


@pytest.fixture
def shop(smelt, tmp_path):
    shop = contract_shop.Shop(smelt, tmp_path, contract_shop.AMOUNTS)
    shop.tasks(TASKS)
    shop.contract(RAW, "raw.yaml")
    shop.contract(CHEAP, "cheap.yaml")
    shop.sql("cheap", "SELECT * FROM raw.orders WHERE amount < 5")
    shop.sql("orders", "SELECT id, amount FROM mart.cheap UNION ALL SELECT id, amount FROM raw.orders WHERE amount >= 5")
    shop.sql("free", "SELECT count(*) AS n FROM mart.orders")
    return shop


def page_of(shop, *options, code=0, day="2022-04-01", name="page.html"):
    done = shop.process(day, "--html", name, *options)
    assert done.returncode == code, done.stderr
    return Page((shop.folder / name).read_text(encoding="utf-8")), done


def tables(page):
    """{name: its article}."""
    return {text_of(all_of(article, "h1")[0]): article for article in all_of(page.root, "article")}


def outcomes(article):
    """{rule: (rows, broken, verdict)}."""
    rows = cells(all_of(article, "table", kind="rules")[0])[1:]
    return {row[0]: (row[1], row[2], row[-1]) for row in rows}


def facts(article):
    names, values = all_of(article, "dt"), all_of(article, "dd")
    return dict(zip(map(text_of, names), map(text_of, values)))


def test_all_tables_of_a_run(shop):
    shop.give("2022-04-01", contract_shop.row(1), contract_shop.row(2, amount=-1), contract_shop.row(3, city="Bern"),
              contract_shop.row(4, amount=7.5))
    page, done = page_of(shop, "--json")
    found = tables(page)
    assert list(found) == ["raw.orders", "mart.cheap", "mart.orders"], "those with a contract, in the pipeline's order"
    told = json.loads(done.stdout)["contracts"]
    for name, article in found.items():
        rules = {r["rule"]: (str(r["rows"]), str(r["violations"]), r["outcome"]) for r in told if r["table"] == name}
        assert rules and outcomes(article) == rules
        assert facts(article)["Checked"][:2] == "20"
    assert outcomes(found["raw.orders"])["city:validValues"] == ("4", "1", "warned")
    assert facts(found["raw.orders"])["Quarantined"] == "1"
    assert "Quarantined" not in facts(found["mart.orders"])
    head = text_of(all_of(page.root, "main")[0])
    assert "The run has published its tables." in head
    assert text_of(all_of(page.root, "title")[0]) == text_of(all_of(page.root, "h1")[0])
    assert text_of(all_of(page.root, "h1")[0]).startswith("shop-2022-04-01-")
    assert [a[1]["href"] for a in all_of(page.root, "a")] == ["#table0", "#table1", "#table2"]
    uris = [text_of(all_of(article, "p", kind="uri")[0]) for article in found.values()]
    assert [uri.split("/lake/")[-1] for uri in uris] == ["raw/orders", "a view", "mart/orders"]


def numbers(article, column):
    """The table of numbers below the drawings of a column."""
    [card] = [card for card in all_of(article, "section", kind="column") if text_of(all_of(card, "h3")[0]) == column]
    assert all_of(card, "svg"), "a drawing"
    return [row for table in all_of(card, "table", kind="numbers") for row in cells(table)]


def test_what_is_drawn(shop):
    """What the run wrote: not the row that left, nor those of the day before."""
    shop.give("2022-04-01", *(contract_shop.row(i, amount=3, city="Rome") for i in range(1, 8)))
    page_of(shop)
    shop.give("2022-04-02", contract_shop.row(11), contract_shop.row(12, amount=-1), contract_shop.row(13, city="Bern"))
    page, _ = page_of(shop, day="2022-04-02")
    found = tables(page)
    city = {row[0]: row[1] for row in numbers(found["raw.orders"], "city")}
    assert (city["Oslo"], city["Bern"]) == ("1", "1") and "Rome" not in city
    amounts = numbers(found["raw.orders"], "amount")
    assert sum(int(row[1]) for row in amounts if row[1].isdigit()) == 2
    # a view, and a table that is made anew, have all rows
    assert outcomes(found["mart.cheap"])["amount:maximum"][0] == "9"
    assert sum(int(row[1]) for row in numbers(found["mart.cheap"], "amount") if row[1].isdigit()) == 9
    assert sum(int(row[1]) for row in numbers(found["mart.orders"], "amount") if row[1].isdigit()) == 9


def test_a_run_that_fails_has_its_page(shop):
    shop.contract(contract_shop.AMOUNTS.replace("minimum: 0", "minimum: 2"))
    shop.give("2022-04-01", contract_shop.row(1), contract_shop.row(2, amount=7))
    page, done = page_of(shop, "--json", code=3)
    found = tables(page)
    assert outcomes(found["mart.orders"])["amount:minimum"] == ("2", "1", "failed")
    assert numbers(found["mart.orders"], "amount"), "the rows that were not published can be drawn"
    assert outcomes(found["raw.orders"])["amount:minimum"][2] == "passed"
    assert "The run has published nothing." in text_of(all_of(page.root, "main")[0])
    assert json.loads(done.stdout)["error"]["status"] == "CONTRACT"
    assert not (shop.lake / "mart/orders/_delta_log").exists()


def test_a_view_that_no_table_reads(shop):
    """It is judged by a pass of its own, and one that fails ends the run."""
    shop.tasks("\n".join(TASKS.splitlines()[:2]))
    shop.sql("cheap", "SELECT * FROM raw.orders")
    shop.give("2022-04-01", contract_shop.row(1), contract_shop.row(2, amount=7))
    page, _ = page_of(shop, code=3)
    assert outcomes(tables(page)["mart.cheap"])["amount:maximum"] == ("2", "1", "failed")
    assert numbers(tables(page)["mart.cheap"], "amount")


def test_a_run_that_judges_nothing(shop):
    shop.tasks(TASKS.splitlines()[0])
    shop.give("2022-04-01", contract_shop.row(1))
    page_of(shop)
    page, _ = page_of(shop)
    assert list(tables(page)) == [], "nothing had changed"
    assert "It has judged no table." in text_of(all_of(page.root, "main")[0])


def test_a_run_that_fails_before(shop):
    """Elsewhere than at a contract: the page says so. A run that did not begin has none."""
    shop.sql("free", "SELECT nothing FROM mart.orders")
    shop.give("2022-04-01", contract_shop.row(1))
    page, _ = page_of(shop, code=1)
    assert "The run has published nothing." in text_of(all_of(page.root, "main")[0])
    assert set(tables(page)) == {"raw.orders", "mart.cheap", "mart.orders"}
    assert shop.process("2022-04-01", "--html", "no.html", "--select", "mart.none").returncode == 1
    assert not (shop.folder / "no.html").exists()


def test_a_cast(shop):
    """The rule that a cast makes is on the page too."""
    shop.contract("""\
  - name: orders
    properties:
      - {name: id, physicalType: INTEGER, logicalType: integer,
         customProperties: [{property: smelt.cast, value: true}, {property: smelt.onViolation, value: "null"}]}
      - {name: amount, logicalType: number}
""")
    shop.give("2022-04-01", contract_shop.row(1), contract_shop.row(2**40))
    page, _ = page_of(shop)
    article = tables(page)["mart.orders"]
    assert outcomes(article)["id:cast"] == ("2", "1", "warned")
    assert facts(article)["Made NULL"] == "1"


def test_a_page_that_cannot_be_written(shop):
    """The run is done, and says so; one that failed fails as it did."""
    shop.give("2022-04-01", contract_shop.row(1))
    (shop.folder / "file").write_text("")
    done = shop.process("2022-04-01", "--html", "file/page.html")
    assert done.returncode == 1 and "the page of the verdict at file/page.html" in done.stderr
    assert "its tables are published" in done.stderr
    assert shop.ids() == [1]
    shop.contract(contract_shop.AMOUNTS.replace("minimum: 0", "minimum: 2"))
    done = shop.process("2022-04-01", "--html", "file/page.html")
    assert done.returncode == 3 and "the page could not be written" in done.stderr


def test_the_same_verdict_without_a_page(shop):
    shop.give("2022-04-01", contract_shop.row(1), contract_shop.row(2, amount=-1), contract_shop.row(3, city="Bern"))
    with_page = json.loads(page_of(shop, "--json")[1].stdout)
    os.rename(shop.lake, shop.folder / "other")
    without = shop.json()
    assert with_page["contracts"] == without["contracts"]
