"""A table that reads the files of a source itself is not made again where nothing has changed: not its
files, its SQL, its contract or those of the views that it reads. A run that skips it says what the run
said that made it, and the quarantine keeps each refused line once."""
import gzip
import json
import os
import shutil
import subprocess
import textwrap

import deltalake
import pytest

HEAD = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
  month: {type: month, default: 2022-04}
  least: {type: integer, default: '0'}
lake: lake
sources:
  - {name: logs, match: '^[^.].*[.]json(.gz)?$', window: month, quarantine: bad.orders}
tasks:
"""
TASKS = """\
- {view: raw.orders, sql: orders.sql, contract: c.yaml}
- {view: raw.good, sql: good.sql}
- {table: mart.cities, sql: cities.sql, contract: cities.yaml}
"""
SQL = {
    "orders": """SELECT id, city, n, file_date AS day
FROM read_json(var('logs'), match => '^[^.].*[.]json(.gz)?$', columns => {id: 'BIGINT', city: 'VARCHAR', n: 'BIGINT'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')""",
    "good": "SELECT * FROM raw.orders WHERE n > var('least')",
    "cities": "SELECT city, CAST(sum(n) AS BIGINT) AS n, count(*) AS orders FROM raw.good GROUP BY city",
}
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
schema:
"""
ORDERS = """\
  - name: raw.orders
    properties:
      - name: id
        logicalType: integer
        required: true
      - name: n
        logicalType: integer
        logicalTypeOptions: {maximum: 100}
        quality: [{metric: invalidValues, arguments: {validValues: [1, 2, 3]}, mustBe: 0, severity: warning}]
"""
CITIES = """\
  - name: mart.cities
    properties: [{name: city, logicalType: string, unique: true}]
    quality:
      - {name: no more than orders, type: sql, mustBe: 0, severity: error,
         query: "SELECT CASE WHEN sum(orders) > (SELECT count(*) FROM raw.orders) THEN 1 ELSE 0 END FROM mart.cities"}
"""
BROKEN = "broken\n"


def line(number, city="Rome", n=1):
    return json.dumps({"id": number, "city": city, "n": n}) + "\n"


class Shop:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.logs, self.lake = smelt, folder, folder / "logs", folder / "lake"
        self.logs.mkdir()
        self.tasks(TASKS)
        for name, text in SQL.items():
            self.sql(name, text)
        self.contract(ORDERS)
        self.contract(CITIES, "cities.yaml")
        self.put("20220401.json", line(1), line(2, "Oslo", 7), BROKEN)
        self.put("20220402.json", line(3), '{"id":1.5}\n', line(4, n=-1))
        self.put("20220403.json", "\n \n")

    # ---- its files

    def tasks(self, text, head=HEAD):
        (self.folder / "shop.yaml").write_text(head + textwrap.indent(text, "  "))

    def sql(self, name, text):
        (self.folder / f"{name}.sql").write_text(text)

    def contract(self, tables, name="c.yaml"):
        (self.folder / name).write_text(CONTRACT + tables)

    def put(self, name, *lines):
        (self.logs / name).write_text("".join(lines))

    # ---- runs

    def process(self, *options, **kwargs):
        return self.smelt("run", "shop.yaml", *options, **kwargs)

    def run(self, *options, code=0, **kwargs):
        done = self.process("--json", *options, check=False, **kwargs)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def skips(self, *options, like=None, n=3):
        """Nothing is read or written, and what is said is what the run said that made the tables."""
        before = self.versions()
        report = self.run(*options)
        assert self.versions() == before
        assert report["lines"] == {"read": 0, "kept": 0, "quarantined": 0, "blank": 0}
        assert report["files"]["read"] == 0 and report["files"]["skipped"] == n
        assert {t["version"] for t in report["tables"]} == {None}
        for key in ("missing_days", "gone", "copies", "contracts") if like else ():
            said = like[key] if key != "contracts" else [r for r in like[key] if r["table"].startswith("raw.")]
            assert report[key] == said, key
        return report

    # ---- what is there

    def versions(self):
        return {path.parent.relative_to(self.lake).as_posix(): len(list(path.glob("*.json")))
                for path in sorted(self.lake.glob("*/*/_delta_log"))}

    def rows(self, table="mart.cities", columns="*"):
        return [tuple(row.values()) for row in self.smelt.sql(f"SELECT {columns} FROM {table} ORDER BY ALL",
                                                              "--lake", self.lake)]

    def expected(self, least=0, folder=None, month="202204"):
        """Rows and refused lines, from the files as they are."""
        sums, refused = {}, []
        for path in sorted((folder or self.logs).iterdir()):
            text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
            for number, one in enumerate(text.splitlines() if month in path.name else [], 1):
                if one.strip() == "":
                    continue
                if one == BROKEN.strip() or "1.5" in one:
                    refused.append(number)
                elif json.loads(one)["n"] > least:
                    row = json.loads(one)
                    n, orders = sums.get(row["city"], (0, 0))
                    sums[row["city"]] = (n + row["n"], orders + 1)
        return sorted((city, *sums[city]) for city in sums), sorted(refused)

    def is_right(self, **kwargs):
        rows, refused = self.expected(**kwargs)
        assert self.rows() == rows
        assert sorted(n for n, in self.rows("bad.orders", "line")) == refused


@pytest.fixture
def shop(smelt, tmp_path):
    return Shop(smelt, tmp_path)


# ---- nothing has changed ------------------------------------------------------------------------


def test_the_same_run_again_reads_nothing_and_says_the_same(shop):
    first = shop.run()
    shop.is_right()
    assert [(r["table"], r["rule"], r["outcome"]) for r in first["contracts"]] == [
        ("raw.orders", "id:required", "passed"), ("raw.orders", "n:maximum", "passed"),
        ("raw.orders", "n:validValues", "warned"), ("mart.cities", "city:unique", "passed"),
        ("mart.cities", "no more than orders", "passed")]
    assert "2022-04-03" in first["missing_days"] and "2022-04-02" not in first["missing_days"]
    for _ in range(2):
        shop.skips(like=first)
    shop.is_right()


def test_what_people_read(shop):
    made, again = shop.process().stderr, shop.process().stderr
    said = [row for row in made.splitlines() if row.startswith(("warning", "        {", "missing"))]
    assert said and said == [row for row in again.splitlines()
                             if row.startswith(("warning", "        {", "missing"))]
    assert "contract raw.orders: 2 rules passed, 1 warned\n" in again
    assert "files   0 read, 3 unchanged and skipped" in again
    assert [row.split() for row in again.splitlines() if "same" in row] == [
        ["mart.cities", "same"], ["bad.orders", "same"]]
    assert shop.process("--quiet").stderr.splitlines() == [row for row in said if not row.startswith("missing")]


def test_another_day_of_the_month_is_the_same_run(shop):
    shop.tasks(TASKS, HEAD.replace(", default: 2022-04}", "}"))
    first = shop.run("--date", "2022-04-02")
    shop.skips("--date", "2022-04-30", like=first)
    assert shop.run("--date", "2022-05-01", code=1)["error"]["status"] == "NOT_FOUND"


def test_the_relation_of_folder_and_lake_to_where_the_run_is_does_not_matter(shop):
    first = shop.run()
    (shop.folder / "sub").mkdir()
    # the same folder by another path: it may be read again, and is right
    shop.run("--var", f"logs={shop.logs}", "--var", f"lake={shop.lake}")
    shop.is_right()
    shop.skips("--var", f"logs={shop.logs}", "--var", f"lake={shop.lake}", like=first)


def test_the_same_words_for_another_folder(shop):
    """./logs of another working directory."""
    shop.run()
    other = shop.folder / "other"
    shutil.copytree(shop.folder, other, ignore=shutil.ignore_patterns("other", "lake"))
    (other / "logs" / "20220402.json").write_text(line(9, "Bern", 3))
    (other / "logs" / "20220403.json").unlink()
    shop.run("--var", f"lake={shop.lake}", "--other-root", cwd=other)
    assert shop.rows() == shop.expected(folder=other / "logs")[0]


# ---- files --------------------------------------------------------------------------------------


def append(shop):
    with open(shop.logs / "20220402.json", "a", encoding="utf-8") as file:
        file.write(line(5, "Bern") + BROKEN)


def in_place(shop):
    """The same size, the same time of change."""
    path = shop.logs / "20220402.json"
    was = path.stat()
    text = path.read_text()
    with open(path, "r+", encoding="utf-8") as file:
        file.write(text.replace("Rome", "Bern"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)


def put_in_place(shop):
    path, new = shop.logs / "20220402.json", shop.folder / "new"
    was = path.stat()
    new.write_text(path.read_text().replace("Rome", "Bern"))
    os.utime(new, ns=(was.st_atime_ns, was.st_mtime_ns))
    new.rename(path)


def compress(shop):
    path = shop.logs / "20220401.json"
    (shop.logs / "20220401.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def more_than_one(shop):
    (shop.logs / "20220401.json").unlink()
    append(shop)
    shop.put("20220405.json", line(8, "Bern"), BROKEN)


FILES = {
    "a new file": lambda shop: shop.put("20220404.json", line(5, "Bern"), BROKEN),
    "an appended one": append,
    "a rewritten one": lambda shop: shop.put("20220401.json", line(6, "Bern")),
    "changed in place": in_place,
    "put in place": put_in_place,
    "a file less": lambda shop: (shop.logs / "20220401.json").unlink(),
    "renamed": lambda shop: (shop.logs / "20220401.json").rename(shop.logs / "a-20220401.json"),
    "another date": lambda shop: (shop.logs / "20220401.json").rename(shop.logs / "20220430.json"),
    "another month": lambda shop: (shop.logs / "20220401.json").rename(shop.logs / "20220501.json"),
    "touched": lambda shop: os.utime(shop.logs / "20220401.json", (1, 1)),
    "compressed": compress,
    "copied": lambda shop: shutil.copy(shop.logs / "20220401.json", shop.logs / "b-20220401.json"),
    "several": more_than_one,
}


@pytest.mark.parametrize("change", FILES)
def test_files_that_change(shop, change):
    shop.run()
    FILES[change](shop)
    shop.run()
    n = sum("202204" in path.name for path in shop.logs.iterdir())
    if change in ("a file less", "another month", "several"):
        assert shop.rows() == shop.expected()[0]  # refused lines of files that are gone stay
    else:
        shop.is_right()
    shop.skips(n=n)
    assert shop.rows() == shop.expected()[0]


def test_files_that_are_none_of_the_run(shop):
    first = shop.run()
    shop.put("20220501.json", line(9))
    shop.put(".20220404.json", line(9))
    assert shop.skips(n=3)["files"]["ignored"] == first["files"]["ignored"] + 1


def test_a_twin(shop):
    """The content of x.json.gz is that of x.json: one file."""
    shop.run()
    (shop.logs / "20220401.json.gz").write_bytes(gzip.compress((shop.logs / "20220401.json").read_bytes()))
    shop.run()
    (shop.logs / "20220401.json.gz").unlink()
    shop.run()
    shop.is_right()
    shop.skips()


def test_the_folder_is_elsewhere(shop):
    shop.run()
    shop.logs.rename(shop.folder / "mounted")
    shop.logs = shop.folder / "mounted"
    shop.run("--var", "logs=./mounted")
    shop.is_right()
    shop.skips("--var", "logs=./mounted")


# ---- SQL, variables, contracts ------------------------------------------------------------------


@pytest.mark.parametrize("name, text", [
    ("cities", SQL["cities"].replace("SELECT city", "-- by city\nselect  city")),
    ("good", SQL["good"] + "  /* of raw.orders */"),
    ("orders", SQL["orders"].replace("bad_lines => 'quarantine', validate => 'all'",
                                     "validate => 'all', bad_lines => 'quarantine'")),
])
def test_sql_that_means_the_same(shop, name, text):
    first = shop.run()
    shop.sql(name, text)
    shop.skips(like=first)


@pytest.mark.parametrize("name, old, new", [
    ("cities", "AS orders", "AS order_lines"), ("good", "n > var", "n >= var"),
    ("orders", "SELECT id, city", "SELECT id, upper(city) AS city"),
])
def test_sql_that_means_something_else(shop, name, old, new):
    shop.contract(CITIES.replace("sum(orders) >", "count(*) >"), "cities.yaml")
    shop.run()
    shop.sql(name, SQL[name].replace(old, new))
    assert shop.run()["files"]["read"] == 3
    shop.skips()


def test_views_of_views(shop):
    """One that is far below counts like the SQL of the table."""
    views = [f"- {{view: raw.v{i}, sql: v{i}.sql}}\n" for i in range(100)]
    shop.sql("v0", SQL["good"])
    for i in range(1, 100):
        shop.sql(f"v{i}", f"SELECT * FROM (SELECT * FROM (SELECT * FROM raw.v{i - 1}))")
    shop.sql("cities", SQL["cities"].replace("raw.good", "raw.v99"))
    shop.tasks(TASKS + "".join(views))
    first = shop.run()
    shop.is_right()
    shop.skips(like=first)
    shop.sql("v5", "-- of all\nSELECT * FROM (SELECT * FROM (SELECT * FROM raw.v4))")
    shop.skips(like=first)
    shop.sql("v7", "SELECT * FROM raw.v6 WHERE city <> 'Oslo'")
    shop.run()
    assert shop.rows() == [("Rome", 2, 2)]
    shop.skips()


def test_a_variable(shop):
    shop.run()
    assert shop.run("--var", "least=1")["files"]["read"] == 3
    shop.is_right(least=1)
    shop.skips("--var", "least=1")
    shop.run()
    shop.is_right()


def test_the_layout_of_a_contract(shop):
    first = shop.run()
    shop.contract("# of orders\n" + ORDERS.replace("[1, 2, 3]", "[1,  2,  3]"))
    shop.contract(CITIES + "# the end\n", "cities.yaml")
    shop.skips(like=first)


@pytest.mark.parametrize("name, text, outcomes", [
    ("c.yaml", ORDERS.replace("[1, 2, 3]", "[1, 2]").replace("severity: warning", "severity: error"), None),
    ("c.yaml", ORDERS.replace("[1, 2, 3]", "[1, 7, -1]"), ["passed"] * 5),
    ("c.yaml", ORDERS.replace("maximum: 100", "maximum: 5"), None),
    ("cities.yaml", CITIES.replace("sum(orders) >", "1 + sum(orders) >"), ["passed", "passed", "warned", "passed", "passed"]),
])
def test_a_contract_that_has_changed(shop, name, text, outcomes):
    first = shop.run()
    shop.contract(text, name)
    if outcomes:
        again = shop.run()
        assert [r["outcome"] for r in again["contracts"]] == outcomes and again["files"]["read"] == 3
        shop.skips(like=again)
        return
    for _ in range(2):  # a verdict that fails is none of a run that published
        failed = shop.run(code=3)
        assert failed["error"]["status"] == "CONTRACT" and failed["tables"] == []
    shop.contract(ORDERS)
    shop.skips(like=first)


def test_a_contract_comes_and_goes(shop):
    shop.tasks(TASKS.replace(", contract: c.yaml", ""))
    assert not [r for r in shop.run()["contracts"] if r["table"] == "raw.orders"]
    shop.tasks(TASKS)
    judged = shop.run()
    assert [r for r in judged["contracts"] if r["table"] == "raw.orders"]
    shop.skips(like=judged)
    shop.tasks(TASKS.replace(", contract: c.yaml", ""))
    assert shop.run()["contracts"] and not [r for r in shop.skips()["contracts"]]


def test_a_view_that_was_not_judged_is(shop):
    """A run of the table alone does not judge the view."""
    alone = shop.run("--task", "mart.cities")
    assert {r["table"] for r in alone["contracts"]} == {"mart.cities"}
    whole = shop.run()
    assert {r["table"] for r in whole["contracts"]} == {"raw.orders", "mart.cities"}
    shop.skips(like=whole)


def test_a_rule_over_a_file_is_judged_in_each_run(shop):
    """Nobody knows whether the file has changed."""
    (shop.folder / "most.json").write_text('{"most":10}\n')
    shop.contract(ORDERS + """\
    quality:
      - {name: most, type: sql, mustBe: 0, severity: error,
         query: "SELECT count(*) FROM raw.orders WHERE n > (SELECT max(most) FROM read_json('most.json'))"}
""")
    shop.run()
    shop.run()
    (shop.folder / "most.json").write_text('{"most":5}\n')
    assert "rule most is broken" in shop.run(code=3)["error"]["message"]


def test_a_rule_over_a_file_for_a_table(shop):
    (shop.folder / "most.json").write_text('{"most":10}\n')
    shop.contract(CITIES + """\
      - {name: most, type: sql, mustBe: 0, severity: error,
         query: "SELECT count(*) FROM mart.cities WHERE n > (SELECT max(most) FROM read_json('most.json'))"}
""", "cities.yaml")
    shop.run()
    (shop.folder / "most.json").write_text('{"most":5}\n')
    assert "rule most is broken" in shop.run(code=3)["error"]["message"]


def test_a_rule_about_the_time_is_judged_in_each_run(shop):
    shop.contract(ORDERS.replace("    properties:\n", """\
    customProperties: []
    properties:
""") + """\
      - {name: day, logicalType: date}
slaProperties:
  - {property: latency, value: 100000, unit: d, element: raw.orders.day}
""")
    said = shop.run()
    ages = [r["value"] for r in said["contracts"] if r["kind"] == "freshness"]
    assert len(ages) == 1
    assert [r["kind"] for r in shop.run()["contracts"] if r["table"] == "raw.orders"].count("freshness") == 1


def test_a_page_of_the_verdicts(shop):
    """It is drawn of the rows of a view, which are read for it; no table is made again."""
    first = shop.run()
    before = shop.versions()
    again = shop.run("--html", "page.html")
    assert shop.versions() == before
    assert again["contracts"] == [r for r in first["contracts"] if r["table"] == "raw.orders"]
    assert "n:validValues" in (shop.folder / "page.html").read_text()


# ---- the quarantine -----------------------------------------------------------------------------


def test_a_quarantine_that_is_gone_is_made_again(shop):
    first = shop.run()
    shutil.rmtree(shop.lake / "bad")
    assert shop.run()["files"]["read"] == 3
    shop.is_right()
    shop.skips(like=first)


def test_a_quarantine_that_comes_later(shop):
    shop.tasks(TASKS, HEAD.replace(", quarantine: bad.orders", ""))
    first = shop.run()
    assert not (shop.lake / "bad").exists()
    shop.skips(like={**first, "warnings": None})
    shop.tasks(TASKS)
    assert shop.run()["files"]["read"] == 3
    shop.is_right()
    shop.skips(like=first)


def test_files_that_no_plan_reads(shop):
    """WHERE excludes their dates: they are in no quarantine, and that is no reason to run again."""
    shop.sql("good", SQL["good"] + " AND day = DATE '2022-04-01'")
    shop.tasks(TASKS.replace(", contract: c.yaml", "").replace(", contract: cities.yaml", ""))
    shop.run()
    before = shop.rows(), shop.rows("bad.orders", "line")
    shop.skips()
    shop.sql("good", SQL["good"])
    shop.run()
    shop.is_right()
    assert before == ([("Oslo", 7, 1), ("Rome", 1, 1)], [(3,)])


def test_the_quarantine_of_a_table(shop):
    """Rows that its contract takes away are there once, however often nothing changes."""
    shop.contract(CITIES.replace("unique: true", "unique: true, quality: [{metric: invalidValues, arguments: {validValues: "
                                 "[Oslo]}, mustBe: 0, customProperties: [{property: smelt.onViolation, value: quarantine}]}]"),
                  "cities.yaml")
    shop.run()
    assert shop.rows("quarantine.cities", "reason") == [("city:validValues",)] and shop.rows() == [("Oslo", 7, 1)]
    shop.skips()
    assert len(shop.rows("quarantine.cities", "reason")) == 1


# ---- several tasks, several ways ----------------------------------------------------------------


def test_only_the_task_that_has_changed_is_done(shop):
    shop.tasks(TASKS + "- {table: mart.n, sql: n.sql}\n")
    shop.sql("n", "SELECT count(*) AS n FROM raw.good")
    first = shop.run()
    shop.skips(like=first)
    shop.sql("n", "SELECT 1 + count(*) AS n FROM raw.good")
    again = shop.run()
    assert {t["name"]: t["version"] for t in again["tables"]} == {"mart.cities": None, "mart.n": 1, "bad.orders": None}
    assert again["files"] == {"read": 3, "skipped": 0, "ignored": 0}
    assert [r for r in again["contracts"] if r["table"] == "raw.orders"] == [
        r for r in first["contracts"] if r["table"] == "raw.orders"]
    shop.skips(like=first)
    shop.is_right()


def test_a_table_of_a_table(shop):
    shop.tasks(TASKS + "- {table: mart.n, sql: n.sql}\n")
    shop.sql("n", "SELECT count(*) AS n FROM mart.cities")
    shop.run()
    shop.skips()
    shop.put("20220404.json", line(5, "Bern"))
    shop.run()
    assert shop.rows("mart.n") == [(3,)]
    shop.skips(n=4)


def test_beside_a_load(shop):
    """A load of the source and a table that reads it itself."""
    shop.sql("load", SQL["orders"])
    shop.tasks("- {load: kept.orders, from: logs, sql: load.sql, by: day}\n" + TASKS)
    first = shop.run()
    shop.skips(like=first)
    shop.put("20220404.json", line(5, "Bern"), BROKEN)
    shop.run()
    shop.is_right()
    shop.skips(n=4)
    shop.run("--full-refresh", "kept.orders")
    shop.is_right()
    shop.skips(n=4)


def test_two_sources(shop):
    """Their files may have the same names. One is read by the table, the other by a rule alone."""
    shop.tasks(TASKS + "- {view: raw.names, sql: names.sql}\n", HEAD.replace("  month:", """\
  names: {type: uri, default: ./names}
  month:""").replace("tasks:", "  - {name: names, match: '[.]json$', window: month, quarantine: bad.names}\ntasks:"))
    shop.sql("names", """SELECT city, 1 AS one FROM read_json(var('names'), columns => {city: 'VARCHAR'}, match => '[.]json$',
        bad_lines => 'quarantine', validate => 'all')""")
    shop.contract(CITIES + """\
      - {name: known, type: sql, mustBe: 0, severity: error,
         query: "SELECT count(*) FROM mart.cities LEFT JOIN raw.names AS n USING (city) WHERE n.one IS NULL"}
""", "cities.yaml")
    names = shop.folder / "names" / "20220402.json"
    names.parent.mkdir()
    names.write_text(line(0) + line(0, "Oslo"))
    first = shop.run()
    shop.skips(like={**first, "missing_days": shop.run()["missing_days"]}, n=4)
    names.write_text(line(0))
    assert "rule known is broken" in shop.run(code=3)["error"]["message"]
    names.write_text(line(0, "Oslo") + line(0))
    shop.run()
    shop.skips(n=4)
    append(shop)
    assert "rule known is broken" in shop.run(code=3)["error"]["message"]
    names.write_text(line(0, "Oslo") + line(0) + line(0, "Bern"))
    shop.run()
    shop.is_right()
    shop.skips(n=4)


def test_the_policy_of_a_source(shop):
    shop.put("20220404.json", '{"id":7,"city":"Bern","n":1,"more":2}\n')
    shop.run()
    shop.tasks(TASKS, HEAD.replace(", window", ", unknown: fail, window"))
    assert "more" in shop.run(code=1)["error"]["message"]
    shop.tasks(TASKS)
    shop.skips(n=4)


def test_full_refresh(shop):
    shop.run()
    assert shop.run("--full-refresh", "mart.cities")["files"]["read"] == 3
    shop.is_right()
    shop.skips()


def test_months_that_are_replaced(shop):
    """Each month has a commit of its own, which says what was said of it."""
    shop.put("20220501.json", line(7, "Bern", 3))
    shop.sql("cities", "SELECT var('month') AS month, city, CAST(sum(n) AS BIGINT) AS n FROM raw.good GROUP BY city")
    shop.tasks(TASKS.replace("cities.sql, contract: cities.yaml", "cities.sql, replace: month"))
    april, may = shop.run(), shop.run("--var", "month=2022-05")
    assert [r["outcome"] for r in april["contracts"]] == ["passed", "passed", "warned"]
    assert [r["outcome"] for r in may["contracts"]] == ["passed"] * 3
    for _ in range(2):
        shop.skips(like=april)
        shop.skips("--var", "month=2022-05", like=may, n=1)
    assert shop.rows(columns="month, city") == [("2022-04", "Oslo"), ("2022-04", "Rome"), ("2022-05", "Bern")]


def test_months_that_are_added(shop):
    shop.put("20220501.json", line(7, "Bern", 3))
    shop.sql("cities", "SELECT city, CAST(sum(n) AS BIGINT) AS n FROM raw.good GROUP BY city")
    shop.tasks(TASKS.replace("cities.sql, contract: cities.yaml", "cities.sql, append: month"))
    april, may = shop.run(), shop.run("--var", "month=2022-05")
    for options, first, n in [((), april, 3), (("--var", "month=2022-05"), may, 1)]:
        shop.skips(*options, like=first, n=n)
        assert "they stay" not in shop.process(*options).stderr
    shop.put("20220501.json", line(7, "Bern", 4))
    assert "they stay" in shop.process("--var", "month=2022-05").stderr


def test_rows_that_are_merged(shop):
    shop.tasks(TASKS.replace("cities.sql, contract: cities.yaml", "cities.sql, merge: {key: city}"))
    shop.run()
    shop.is_right()
    before = shop.versions()
    report = shop.run()
    assert shop.versions() == before and {t["version"] for t in report["tables"]} == {None}
    assert [r["outcome"] for r in report["contracts"]] == ["passed", "passed", "warned"]
    shop.put("20220402.json", line(3, "Rome", 2))
    shop.run()
    assert shop.rows() == [("Oslo", 7, 1), ("Rome", 3, 2)]


def test_files_of_no_source(shop):
    """Nobody knows whether they have changed: the table is made in each run."""
    shop.sql("cities", "SELECT city FROM read_json('logs/20220401.json', columns => {city: 'VARCHAR'}, "
             "bad_lines => 'skip')")
    shop.tasks("- {table: mart.cities, sql: cities.sql}\n")
    shop.run()
    shop.put("20220401.json", line(1, "Bern"))
    shop.run()
    assert shop.rows() == [("Bern",)]


def test_a_source_and_a_file_of_none(shop):
    (shop.folder / "names.json").write_text('{"city":"Rome","name":"Roma"}\n')
    shop.sql("cities", "SELECT name FROM raw.good JOIN 'names.json' USING (city)")
    shop.tasks(TASKS.replace(", contract: cities.yaml", ""))
    shop.run()
    (shop.folder / "names.json").write_text('{"city":"Rome","name":"Rom"}\n')
    shop.run()
    assert set(shop.rows()) == {("Rom",)}


# ---- what others do -----------------------------------------------------------------------------


def overwrite(shop):
    at = str(shop.lake / "mart/cities")
    deltalake.write_deltalake(at, deltalake.DeltaTable(at).to_pyarrow_table().slice(0, 1), mode="overwrite")


def restore(shop):
    shop.smelt("table", "restore", shop.lake / "mart/cities", "--version", "0")


OTHERS = {
    "overwritten": overwrite,
    "deleted": lambda shop: deltalake.DeltaTable(str(shop.lake / "mart/cities")).delete("city = 'Rome'"),
    "restored": restore,
    "gone": lambda shop: shutil.rmtree(shop.lake / "mart"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_table_was_changed_by_another_writer(shop, other):
    shop.run()
    append(shop)
    shop.run()
    OTHERS[other](shop)
    assert shop.run()["files"]["read"] == 3
    shop.is_right()
    shop.skips()


def test_files_of_the_table_were_compacted(shop):
    shop.tasks(TASKS.replace("cities.sql, contract: cities.yaml", "cities.sql, partition_by: city"))
    first = shop.run()
    shop.smelt("table", "optimize", shop.lake / "mart/cities")
    deltalake.DeltaTable(str(shop.lake / "mart/cities")).optimize.compact()
    shop.smelt("table", "cluster", shop.lake / "mart/cities", "--by", "n")
    shop.skips(like=first)


def test_two_runs_at_once(shop):
    shop.run()
    append(shop)
    command = [str(shop.smelt.path), "run", "shop.yaml", "--quiet"]
    both = [subprocess.Popen(command, cwd=shop.folder, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    codes = sorted((process.communicate()[1], process.returncode) for process in both)
    assert {code for _, code in codes} <= {0, 4}, codes
    shop.is_right()
    shop.run()
    shop.skips()
    shop.is_right()


def test_a_commit_that_says_less(shop):
    """As one of an earlier smelt, or of one that has changed what it says."""
    shop.run()
    path = shop.lake / "mart/cities/_delta_log/00000000000000000000.json"
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    info = [row["commitInfo"] for row in rows if "commitInfo" in row][0]["smelt"]
    del info["views"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path.parent / ".00000000000000000000.json.crc").unlink(missing_ok=True)
    before = shop.versions()
    report = shop.run()
    assert shop.versions() == before
    assert [r["outcome"] for r in report["contracts"]] == ["passed", "passed", "warned"], "by a pass of its own"
    info["fingerprint"] = "0" * 32
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert shop.run()["files"]["read"] == 3
    shop.skips()
