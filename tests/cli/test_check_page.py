"""`smelt check --html`: the page is whole, needs nothing from elsewhere and runs nothing; it shows each rule and what
the columns look like, with the counts of a plain count in Python; text of the data is only text."""
import datetime
import json
import random

import pytest

from page import Page, all_of, cells, text_of

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: shop\nversion: 1.2.3\nstatus: active\nschema:\n"


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def check(smelt, tmp_path, contract, rows, *words, code=0, name="page.html"):
    (tmp_path / "c.yaml").write_text(contract)
    done = smelt("check", "c.yaml", put(tmp_path / "rows.json", rows), "--html", name, *words, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    return Page((tmp_path / name).read_text(encoding="utf-8"))


def column(page, name):
    """The card of a column."""
    cards = [card for card in all_of(page.root, "section", kind="column")
             if text_of(all_of(card, "h3")[0]) == name]
    assert len(cards) == 1
    return cards[0]


def numbers(card, which=0):
    """The numbers below a drawing: {label: (rows, broken)}."""
    table = cells(all_of(card, "table", kind="numbers")[which])
    return {label: (int(n.replace(",", "")), int(broken.replace(",", ""))) for label, n, broken in table[1:]}


SHOP = HEAD + """\
  - name: orders
    description: All orders.
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0, maximum: 1000}
      - name: n
        logicalType: integer
        logicalTypeOptions: {minimum: 0, exclusiveMaximum: 100}
        customProperties: [{property: smelt.onViolation, value: warn}]
      - name: city
        logicalType: string
        quality:
          - {metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, description: Towns.}
      - {name: code, logicalType: string, logicalTypeOptions: {minLength: 2, maxLength: 6}}
      - {name: day, logicalType: date, logicalTypeOptions: {minimum: '2022-04-01', maximum: '2022-04-30'}}
      - {name: paid, logicalType: boolean}
    quality:
      - {metric: rowCount, mustBeGreaterThan: 10}
      - {name: known, type: custom, engine: smelt, implementation: amount < 900 OR paid}
      - {name: enough, type: custom, engine: smelt, implementation: {groupBy: [city, paid], check: count(*) > 1}}
      - {type: custom, engine: soda, implementation: x}
"""


def shop_rows(n, seed=1):
    r = random.Random(seed)
    return [{"id": i, "amount": None if i % 50 == 0 else round(r.gauss(300, 300), 2),
             "n": r.randint(-3, 103) if r.random() > 0.01 else r.choice([-10**9, 10**12]),
             "city": r.choice(["Oslo"] * 9 + ["Rome"] * 5 + ["oslo", None]), "code": "x" * r.randint(1, 8),
             "day": str(datetime.date(2022, 4, 1) + datetime.timedelta(days=r.randint(-1, 31))),
             "paid": r.random() > 0.5} for i in range(n)]


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_and_runs_nothing(smelt, tmp_path):
    page = check(smelt, tmp_path, SHOP, shop_rows(500), code=3)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    for word in ("http:", "https:", "//", "url(", "@import", "javascript"):
        assert word not in text
    for tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base"):
        assert not all_of(page.root, tag)
    policy = [meta[1]["content"] for meta in all_of(page.root, "meta") if "http-equiv" in meta[1]]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]

    def look(element):
        for child in element[2]:
            if isinstance(child, tuple):
                assert not {"src", "href", "style", "xlink:href"} & child[1].keys()
                assert not any(key.startswith("on") for key in child[1])
                look(child)
    look(page.root)


def test_the_head_and_all_rules(smelt, tmp_path):
    rows = shop_rows(500)
    page = check(smelt, tmp_path, SHOP, rows, "--now", "2022-05-01 12:00:00", code=3)
    told = json.loads(smelt("check", "c.yaml", "rows.json", "--json", "--now", "2022-05-01T12:00:00Z",
                            check=False).stdout)
    assert told["checked_at"] == "2022-05-01 12:00:00"
    assert [text_of(h) for h in all_of(page.root, "h1")] == ["orders"]
    facts = {text_of(all_of(fact, "dt")[0]): text_of(all_of(fact, "dd")[0])
             for fact in all_of(all_of(page.root, "dl")[0], "div")}
    failed = sum(rule["outcome"] == "failed" for rule in told["contracts"])
    warned = sum(rule["outcome"] == "warned" for rule in told["contracts"])
    assert facts == {"Rows": "500", "Rules": str(len(told["contracts"])), "Failed": str(failed),
                     "Warned": str(warned), "Data contract": "shop 1.2.3", "Checked": "2022-05-01 12:00:00 UTC"}
    table = cells(all_of(page.root, "table", kind="rules")[0])[1:]
    assert [(row[0], row[-1], row[-2], row[-3]) for row in table] == [
        (rule["rule"], rule["outcome"], rule["action"], rule["severity"]) for rule in told["contracts"]]
    assert [row[2] for row in table if row[2]] == [
        str(rule["violations"]) for rule in told["contracts"] if "value" not in rule]
    items = [text_of(item) for item in all_of(page.root, "li")]
    for rule in told["contracts"]:
        kind = rule["kind"]
        shown = [item for item in items if item.startswith((kind, rule["rule"]))]
        assert shown, rule
        examples = [json.dumps(e, separators=(",", ":")) for e in rule["examples"]]
        if rule["outcome"] != "passed":
            assert any(all(example in item for example in examples) for item in shown)
    assert any("Towns." in item for item in items)
    assert "the rule for engine soda is not checked" in text_of(page.root)
    assert "rows.json" in text_of(page.root) and "All orders." in text_of(page.root)


def test_drawings_are_told_in_words(smelt, tmp_path):
    page = check(smelt, tmp_path, SHOP, shop_rows(500), code=3)
    drawings = all_of(page.root, "svg", kind="draw")
    assert len(drawings) == 8  # one a column; of code the lengths and the values
    ids = []
    for drawing in drawings:
        assert drawing[1]["role"] == "img" and drawing[1]["viewbox"].startswith("0 0 360 ")
        title, desc = all_of(drawing, "title")[0], all_of(drawing, "desc")[0]
        assert drawing[1]["aria-labelledby"] == f"{title[1]['id']} {desc[1]['id']}"
        assert text_of(title) and text_of(desc).endswith(".")
        ids += [title[1]["id"], desc[1]["id"]]
    assert len(set(ids)) == len(ids)


def test_a_page_is_the_same_at_any_number_of_threads(smelt, tmp_path):
    pages = []
    for threads in ("1", "4"):
        check(smelt, tmp_path, SHOP, shop_rows(30_000), "--threads", threads, "--now", "2022-05-01", code=3)
        pages.append((tmp_path / "page.html").read_bytes())
    assert pages[0] == pages[1]


# ---- counts ---------------------------------------------------------------------------------------------------------


def number(text):
    return float(text.replace(",", ""))


def holds(label, value, read):
    """Is the value in the bar of that label?"""
    if " to below " in label:
        low, high = map(read, label.split(" to below "))
        return low <= value < high
    low, high = map(read, label.split(" to ")) if " to " in label else (read(label),) * 2
    return low <= value <= high


def compare(found, values, read, keeps):
    """Each bar's counts against those of Python; returns how many rows are in bars."""
    total = 0
    for label, counts in found.items():
        if label.startswith("far "):
            assert counts[0] == counts[1]
            continue
        there = [value for value in values if holds(label, value, read)]
        assert counts == (len(there), sum(not keeps(value) for value in there)), label
        total += len(there)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_bars_are_counted_exactly(smelt, tmp_path, seed):
    rows = shop_rows(3000, seed)
    page = check(smelt, tmp_path, SHOP, rows, code=3)
    amounts = [row["amount"] for row in rows if row["amount"] is not None]
    assert compare(numbers(column(page, "amount")), amounts, number, lambda v: 0 <= v <= 1000) == len(amounts)
    assert "DOUBLE, 2% NULL (60 rows)" in text_of(column(page, "amount"))
    days = [row["day"] for row in rows]
    assert compare(numbers(column(page, "day")), days, str, lambda v: "2022-04-01" <= v <= "2022-04-30") == len(days)
    lengths = [len(row["code"]) for row in rows]
    assert compare(numbers(column(page, "code")), lengths, number, lambda v: 2 <= v <= 6) == len(lengths)
    found = numbers(column(page, "n"))
    drawn = compare(found, [row["n"] for row in rows], number, lambda v: 0 <= v < 100)
    assert found["far below"] == (sum(row["n"] < -1000 for row in rows),) * 2
    assert found["far above"] == (sum(row["n"] > 1000 for row in rows),) * 2
    assert drawn + found["far below"][0] + found["far above"][0] == len(rows)
    bad = sum(broken for _, broken in found.values())
    assert f"beyond the bounds: {bad:,} row" in text_of(column(page, "n"))


def test_values_are_counted_exactly(smelt, tmp_path):
    rows = shop_rows(3000)
    page = check(smelt, tmp_path, SHOP, rows, code=3)
    want = {city: sum(row["city"] == city for row in rows) for city in ("Oslo", "Rome", "oslo")}
    assert numbers(column(page, "city")) == {"Oslo": (want["Oslo"], 0), "Rome": (want["Rome"], 0),
                                             "oslo": (want["oslo"], want["oslo"])}
    assert f"all {sum(want.values()):,} rows with a value" in text_of(column(page, "city"))
    paid = sum(row["paid"] for row in rows)
    assert numbers(column(page, "paid")) == {"true": (paid, 0), "false": (len(rows) - paid, 0)}


MANY = HEAD + "  - {name: t, properties: [{name: c, logicalType: string, logicalTypeOptions: {pattern: '^x'}}]}\n"


def test_of_many_values_a_sample_is_counted(smelt, tmp_path):
    """Over 1,000 values in the first 10,000 rows: the first 100,000 rows are counted, and the page says so."""
    rows = [{"c": "x" if i % 4 == 0 else f"x{i}"} for i in range(120_000)] + [{"c": "late"}] * 5000
    page = check(smelt, tmp_path, MANY, rows, code=3)
    text = text_of(column(page, "c"))
    assert "a sample, the first 100,000 rows with a value" in text
    assert numbers(column(page, "c"), 1) == {"x": (25_000, 0), "others": (75_000, 0)}
    assert "Lengths in characters: from 1 to 7" in text


def test_few_values_among_many_rows_are_counted_in_all(smelt, tmp_path):
    rows = [{"c": f"x{i % 20}"} for i in range(120_000)] + [{"c": "late"}] * 3
    found = numbers(column(check(smelt, tmp_path, MANY, rows, code=3), "c"))
    assert found["others"] == (72_000, 0) and found["late"] == (3, 3) and len(found) == 10


# ---- edges ----------------------------------------------------------------------------------------------------------


def test_types_at_their_ends(smelt, tmp_path):
    """The least and greatest value of each type, NaN, infinities, one value alone, and no row."""
    smelt("sql", "--write", """COPY (SELECT a::TINYINT AS i8, b::UBIGINT AS u64, c::BIGINT AS i64, d::DECIMAL(38,2) AS dec,
        e::DOUBLE AS f64, e::FLOAT AS f32, f::DATE AS day, g::TIMESTAMP AS ts, h::TIME AS tm, 5 AS one,
        NULL::VARCHAR AS nul FROM (VALUES
        (-128, '0', '-9223372036854775808', '-999999999999999999999999999999999999.99', 'nan', '-infinity',
         '1969-12-31 23:59:59.999999', '00:00:00'),
        (127, '18446744073709551615', '9223372036854775807', '999999999999999999999999999999999999.99', '-inf',
         '9999-12-31', 'infinity', '23:59:59.999999'),
        (1, '7', '0', '0.5', '0.25', '0001-01-01', '1970-01-01', '12:00:00')) v(a, b, c, d, e, f, g, h)) TO 't.parquet'""")
    names = "i8 u64 i64 dec f64 f32 day ts tm one nul".split()
    (tmp_path / "c.yaml").write_text(
        HEAD + "  - {name: t, properties: [" + ", ".join(f"{{name: {name}}}" for name in names) + "]}\n")
    smelt("check", "c.yaml", "t.parquet", "--html", "p.html")
    page = Page((tmp_path / "p.html").read_text(encoding="utf-8"))
    rows = {name: sum(n for n, _ in numbers(column(page, name)).values()) for name in names if name not in ("nul", "dec")}
    assert rows == {"i8": 3, "u64": 3, "i64": 3, "f64": 1, "f32": 1, "day": 2, "ts": 2, "tm": 3, "one": 3}
    for name in ("f64", "f32"):
        assert "NaN or infinite: 2" in text_of(column(page, name))
    assert "100% NULL (3 rows)" in text_of(column(page, "nul"))
    assert "From -9,223,372,036,854,775,808 to 9,223,372,036,854,775,807." in text_of(column(page, "i64"))
    smelt("sql", "--write", "COPY (FROM 't.parquet' WHERE one = 6) TO 'none.parquet'")
    smelt("check", "c.yaml", "none.parquet", "--html", "p.html")
    page = Page((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert not all_of(page.root, "svg") and len(all_of(page.root, "h3")) == len(names)


def test_numbers_that_are_none_are_counted_without_a_drawing(smelt, tmp_path):
    """Also where a column has no other values, and where its values are drawn one by one."""
    smelt("sql", "--write", """COPY (SELECT 'nan'::DOUBLE AS a, 'inf'::FLOAT AS b, c::DOUBLE AS c
        FROM (VALUES ('nan'), ('1'), ('-inf'), (NULL)) v(c)) TO 't.parquet'""")
    (tmp_path / "c.yaml").write_text(HEAD + """  - name: t
    properties:
      - {name: a}
      - {name: b}
      - {name: c, quality: [{metric: invalidValues, arguments: {validValues: [1]}, mustBe: 2}]}
""")
    smelt("check", "c.yaml", "t.parquet", "--html", "p.html")
    page = Page((tmp_path / "p.html").read_text(encoding="utf-8"))
    for name, n, kind in (("a", 4, "DOUBLE"), ("b", 4, "FLOAT")):
        assert f"{kind}, no NULL, NaN or infinite: {n}" in text_of(column(page, name))
        assert not all_of(column(page, name), "svg")
    assert "DOUBLE, 25% NULL (1 row), NaN or infinite: 2" in text_of(column(page, "c"))
    assert all_of(column(page, "c"), "svg")


def test_a_number_in_a_drawing_is_never_cut(smelt, tmp_path):
    rows = [{"n": -2**63}, {"n": 2**63 - 1}, {"n": 0}]
    page = check(smelt, tmp_path, HEAD + "  - name: t\n    properties:\n      - {name: n, logicalType: integer, "
                 "logicalTypeOptions: {minimum: -9100000000000000000, maximum: 9000000000000000001}}\n", rows, code=3)
    labels = [text_of(label) for label in all_of(page.root, "text", kind="label")]
    assert labels == ["min -9.1e+18", "max 9e+18", "-9.223e+18 to 9.223e+18"]
    assert "From -9,223,372,036,854,775,808 to 9,223,372,036,854,775,807" in text_of(page.root)


HOSTILE = ["<script>alert(1)</script>", "\" onload=\"x", "'", "&lt;", "\u202egnp.exe", "a\u0000b\u0007\u001b[31m", "\u2028",
           "</style><b>", "", " ", "\u00ad\ufeff", "]]>", "-->", "\U000e0041", "\u05d0\u05d1"]


def test_text_of_the_data_is_only_text(smelt, tmp_path):
    rows = [{"<b>\"'&\u202e": value, "n": 1} for value in HOSTILE * 3]
    contract = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "<i>", "version": "\"1\"", "status": "draft",
                "schema": [{"name": "<u>t</u>", "description": "<p>\u202e", "properties": [
                    {"name": "<b>\"'&\u202e", "logicalType": "string", "description": "</style>",
                     "logicalTypeOptions": {"pattern": "^<$"},
                     "quality": [{"name": "<script>", "metric": "invalidValues", "mustBe": 0,
                                  "arguments": {"validValues": ["<", "&"]}, "description": "<script>"}]}]}]}
    page = check(smelt, tmp_path, json.dumps(contract), rows, code=3, name="hostile.html")
    text = (tmp_path / "hostile.html").read_text(encoding="utf-8")
    for tag in ("script", "b", "i", "u"):
        assert not all_of(page.root, tag)
    assert not any(ord(c) < 32 and c != "\n" or c in "\u202e\u2028\u00ad\ufeff\U000e0041" for c in text)
    shown = [label for label in numbers(column(page, "<b>\"'&\\u202e")) if label != "others that break a rule"]
    assert set(shown) <= {"<script>alert(1)</script>", "\" onload=\"x", "'", "&lt;", "\\u202egnp.exe", "\"\"", " ",
                          "a\\u0000b\\u0007\\u001b[31m", "\\u2028", "</style><b>", "\\u00ad\\ufeff", "]]>", "-->",
                          "\\ue0041", "\u05d0\u05d1"} and len(shown) == 4
    for word in ("alert(1)", "\\u202egnp.exe", "a\\u0000b\\u0007\\u001b[31m", "\" onload=\\\"x"):
        assert word in text_of(page.root) + text, word


# ---- where it is written --------------------------------------------------------------------------------------------


def test_a_page_takes_the_place_of_one_that_is_there(smelt, tmp_path):
    (tmp_path / "page.html").write_text("old")
    assert check(smelt, tmp_path, SHOP, shop_rows(20), code=3)
    (tmp_path / "out").mkdir()
    assert check(smelt, tmp_path, SHOP, shop_rows(20), code=3, name="out/page.html")


def test_a_page_that_cannot_be_written(smelt, tmp_path):
    (tmp_path / "c.yaml").write_text(SHOP)
    put(tmp_path / "rows.json", shop_rows(20))
    (tmp_path / "folder.html").mkdir()
    done = smelt("check", "c.yaml", "rows.json", "--html", "folder.html", check=False)
    assert done.returncode == 1 and "folder.html" in done.stderr
    assert "orders failed" in done.stdout  # the verdict is told all the same
    told = json.loads(smelt("check", "c.yaml", "rows.json", "--html", "folder.html", "--json", check=False).stdout)
    assert told["outcome"] == "failed" and told["error"]["status"] != "CONTRACT"


def test_without_a_page_columns_are_not_looked_at(smelt, tmp_path):
    check(smelt, tmp_path, SHOP, shop_rows(20), code=3)
    with_page = smelt("check", "c.yaml", "rows.json", "--html", "page.html", check=False).stdout
    assert smelt("check", "c.yaml", "rows.json", check=False).stdout == with_page


def test_a_time_that_is_none(smelt, tmp_path):
    (tmp_path / "c.yaml").write_text(SHOP)
    put(tmp_path / "rows.json", shop_rows(1))
    done = smelt("check", "c.yaml", "rows.json", "--now", "soon", check=False)
    assert done.returncode == 2 and "--now" in done.stderr
