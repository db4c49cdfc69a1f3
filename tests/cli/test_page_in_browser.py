"""The pages of `smelt check --html` and `smelt run --html` in a real browser, on a telephone and a wide screen, light
and dark: a page does not scroll sideways, asks for nothing, complains of nothing, can be read, shows all rules and
drawings, and opens what is closed by the keyboard alone. The looks themselves are told by the same probe on a page that
is wrong on purpose."""
import json
import random

import pytest

import browser
import contract_shop

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
RANDOM = random.Random(5)
LONG = "a_very_long_name_without_any_blank_" * 5
SENTENCES = "Ein langer Satz mit vielen Wörtern, der erklärt, was es ist. " * 6
HEBREW, ARABIC = "שלום עולם", "مرحبا بالعالم"


def contract(columns, quality=(), name="t"):
    table = {"name": name, "description": SENTENCES, "properties": columns, "quality": list(quality)}
    return {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "shop", "version": "1.2.3", "status": "active",
            "schema": [table]}


def valid(name, values, **words):
    return {"name": name, "metric": "invalidValues", "arguments": {"validValues": values}, "mustBe": 0, **words}


def integer(name, least, greatest):
    return {"name": name, "logicalType": "integer", "logicalTypeOptions": {"minimum": least, "maximum": greatest}}


def many_rules():
    rules = [{"name": f"rule number {i}", "type": "custom", "engine": "smelt", "implementation": f"c <> {i}"}
             for i in range(60)]
    return contract([{**integer("c", 0, 100), "quality": rules}]), [{"c": RANDOM.randint(-5, 120)} for _ in range(500)]


def long_names():
    words = "^(" + "|".join(["abcdefghijklmnop"] * 15) + ")$"
    columns = [{"name": LONG, "logicalType": "string", "unique": True, "description": SENTENCES,
                "logicalTypeOptions": {"pattern": words, "maxLength": 1000},
                "quality": [valid("x" * 180, ["v" * 150, "w" * 90], description=SENTENCES)]},
               {"name": "o", "logicalType": "object", "properties": [integer(LONG, -2**63 + 1, 2**63 - 2)]}]
    rows = [{LONG: "W" * 300 if i % 3 else "ÄÖ" * 120, "o": {LONG: (-2**63, 2**63 - 1, 0)[i % 3]}} for i in range(30)]
    return contract(columns, name=LONG), rows


def right_to_left():
    columns = [{"name": "שם", "logicalType": "string", "description": "תיאור של העמודה, עם מילים.",
                "logicalTypeOptions": {"pattern": "^[א-ת ]+$"},
                "quality": [valid("ערכים", [HEBREW, "כן", "לא (maybe) 3"])]},
               {"name": "اسم", "logicalType": "string", "required": True}]
    values = [HEBREW, ARABIC, "כן", "לא (maybe) 3", "abc שלום 12"]
    return contract(columns, name="הזמנות"), [{"שם": RANDOM.choice(values), "اسم": RANDOM.choice(values)}
                                              for _ in range(300)]


def one_row():
    columns = [integer("n", 0, 9), {"name": "s", "logicalType": "string", "logicalTypeOptions": {"minLength": 2}},
               {"name": "d", "logicalType": "date"}, {"name": "b"}, {"name": "x", "logicalTypeOptions": {"maximum": 0},
                                                                     "logicalType": "number"}]
    return contract(columns), [{"n": 5, "s": "a", "d": "2022-04-01", "b": True, "x": 0.1}]


def no_row():
    columns = [integer("n", 0, 9), {"name": "s", "unique": True}, {"name": "d"}]
    return contract(columns, [{"metric": "rowCount", "mustBeGreaterThan": 0}]), \
        "SELECT 1 AS n, 'a' AS s, DATE '2022-01-01' AS d WHERE false"


def odd_numbers():
    columns = [{"name": "x", "logicalType": "number", "logicalTypeOptions": {"minimum": 0}}, {"name": "y"},
               {"name": "z", "logicalType": "number", "logicalTypeOptions": {"minimum": 1e-21, "maximum": 10**29 + 1}},
               integer("n", -9 * 10**18, 9 * 10**18),
               {"name": "d", "logicalType": "number",
                "logicalTypeOptions": {"minimum": -10**18, "exclusiveMaximum": 10**20 + 1}}]
    return contract(columns), """SELECT x::DOUBLE AS x, 'nan'::DOUBLE AS y, z::DOUBLE AS z, n::BIGINT AS n,
        d::DECIMAL(38,10) AS d FROM (VALUES ('nan', '1e-300', '1', '0.0000000001'),
        ('inf', '1e300', '-9223372036854775808', '9999999999999999999999999999.9999999999'),
        ('-inf', '-1e300', '9223372036854775807', '-9999999999999999999999999999.9999999999'),
        ('0.1', '5e-324', '7', '3'), ('0.2', '0', '8', '4')) v(x, z, n, d)"""


def wide_values():
    times = {"minimum": "2022-04-01 00:00:00.123456", "maximum": "2022-04-01 00:00:01.987654"}
    columns = [{"name": "w", "logicalType": "string", "quality": [valid("known", ["W" * 100, "short"])]},
               {"name": "big"}, {"name": "ts", "logicalType": "timestamp", "logicalTypeOptions": times}]
    values = ["W" * 100, "M" * 100, "文字" * 40, "short", "\U0001F600" * 30, "\u202e" * 20, "\x01" * 20]
    return contract(columns), [{"w": RANDOM.choice(values), "big": RANDOM.randint(10**15, 10**16),
                                "ts": f"2022-04-01 00:00:0{i % 3}.{RANDOM.randint(0, 999999):06}"}
                               for i in range(2000)]


def sixty_columns():
    return contract([integer(f"column_{i}", 0, i * 10 + 1) for i in range(60)]), \
        [{f"column_{i}": RANDOM.randint(-2, i * 12 + 2) for i in range(60)} for _ in range(500)]


def warnings_and_notes():
    warn = {"customProperties": [{"property": "smelt.onViolation", "value": "warn"}]}
    return contract([{**integer("n", 3, 9), **warn}], [
        {"type": "custom", "engine": "soda", "implementation": "x"},
        {"type": "custom", "engine": "smelt", "implementation": {"volume": {"within": "30%"}}}]), [{"n": 1}, {"n": 4}]


CASES = [many_rules, long_names, right_to_left, one_row, no_row, odd_numbers, wide_values, sixty_columns,
         warnings_and_notes]

# What can be seen of the page: texts that can hardly be read, texts in drawings that lie on each other or outside,
# and what there is of drawings. Colours are those that the browser has computed, on what lies behind them.
PROBE = r"""(() => {
  const parse = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = e => {
    const layers = [];
    for (let x = e; x instanceof Element; x = x.parentElement)
      if (!(x instanceof SVGElement)) layers.push(parse(getComputedStyle(x).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const n_lines = e => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return new Set([...range.getClientRects()].map(r => Math.round(r.bottom))).size;
  };
  const pale = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let n_texts = 0;
  for (let t; t = walker.nextNode();) {
    const e = t.parentElement;
    if (!t.data.trim() || e.closest('title, desc') || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), under = behind(e);
    const ink = over(parse(e instanceof SVGElement ? style.fill : style.color), under);
    n_texts++;
    if (contrast(ink, under) < 4.5) pale.push([t.data, contrast(ink, under)]);
  }
  const drawings = [...document.querySelectorAll('.draw')].map(s => s.getBoundingClientRect());
  const clashes = [], outside = [];
  const seen_of = t => {  // of a text in an inner drawing what is not cut off
    const box = t.getBoundingClientRect(), inner = t.ownerSVGElement, to = inner.getScreenCTM();
    const end = inner.matches('.draw') ? Infinity : to.e + to.a * inner.width.baseVal.value;
    return {left: box.left, right: Math.min(box.right, end), top: box.top, bottom: box.bottom};
  };
  for (const s of document.querySelectorAll('.draw')) {
    const texts = [...s.querySelectorAll('text')].map(t => [t, seen_of(t)]);
    const bars = [...s.querySelectorAll('rect')].map(r => [r, r.getBoundingClientRect()]);
    const frame = s.closest('.card').getBoundingClientRect();
    texts.forEach(([t, a], i) => {
      if (a.left < frame.left || a.right > frame.right) outside.push(t.textContent);
      for (const [u, b] of [...texts.slice(i + 1), ...bars])
        if (a.left < b.right && b.left < a.right && a.top + 4 < b.bottom && b.top + 4 < a.bottom)
          clashes.push([t.textContent, u.textContent || u.parentNode.textContent]);
    });
  }
  return {n_texts, pale, clashes, outside, text: document.body.innerText, height: document.body.scrollHeight,
    drawings: drawings.map(d => [d.left, d.width, d.height]),
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    broken: [...document.querySelectorAll('.badge, .rules th, .rules .wide')].filter(e => n_lines(e) > 1).map(e => e.innerText),
    closed: document.querySelectorAll('details:not([open])').length, hash: location.hash};
})()"""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    browser.require()
    one = browser.Browser(tmp_path_factory.mktemp("browser"))
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="session")
def pages(program, tmp_path_factory):
    """A page of each case, and what the check told: {case: (path, told)}."""
    made = {}
    for case in CASES:
        folder = tmp_path_factory.mktemp(case.__name__)
        model, rows = case()
        (folder / "c.yaml").write_text(json.dumps(model))
        if isinstance(rows, str):
            program("sql", "--write", f"COPY ({rows}) TO 'rows.parquet'", cwd=folder)
        else:
            (folder / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        name = "rows.parquet" if isinstance(rows, str) else "rows.json"
        done = program("check", "c.yaml", name, "--html", "page.html", "--json", check=False, cwd=folder)
        assert done.returncode in (0, 3), done.stderr
        made[case] = folder / "page.html", json.loads(done.stdout)
    return made


def open_all(chromium):
    """Opens all that is closed, with the keys Tab and Enter."""
    n = chromium.run("document.querySelectorAll('summary').length")
    n_links = chromium.run("document.querySelectorAll('a').length")  # of a run's page, before all else
    for i in range(n_links + n):
        chromium.press("Tab", 9)
        if i < n_links:
            assert chromium.run("document.activeElement.tagName") == "A"
            continue
        assert chromium.run("document.activeElement.tagName") == "SUMMARY"
        assert chromium.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
        chromium.press("Enter", 13)
    return n


def assert_readable(chromium, path, width, scheme, told, by_keys=True):
    """By the probe, with all that is closed, and then open."""
    chromium.open(path, width, scheme)
    for opened in (False, True):
        if opened and by_keys:
            open_all(chromium)
        elif opened:
            chromium.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        seen = chromium.run(PROBE)
        assert seen["sideways"] <= 0
        assert seen["n_texts"] > 10 and not seen["pale"]
        assert not seen["clashes"] and not seen["outside"] and not seen["broken"]
        assert seen["closed"] == 0 or not opened
        for left, wide, high in seen["drawings"]:
            assert left >= 0 and left + wide <= width and wide > 250 and high > 20
        for rule in told["contracts"]:
            assert rule["rule"] in seen["text"], rule["rule"]
        for word in {rule["outcome"] for rule in told["contracts"]}:
            assert word in seen["text"]
    assert chromium.requests() == [path.resolve().as_uri()]
    assert chromium.complaints() == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_a_page_can_be_read(chromium, pages, case, width, scheme):
    path, told = pages[case]
    # A key takes some milliseconds; the widest page has each kind of what opens on a page of few.
    assert_readable(chromium, path, width, scheme, told, by_keys=case is not sixty_columns)


@pytest.fixture(scope="session")
def run_page(program, tmp_path_factory):
    """The page of a run of two tables, one of which breaks its contract and has a long name; and what it told."""
    folder = tmp_path_factory.mktemp("run")

    def smelt(*args, **kwargs):
        return program(*args, cwd=folder, **kwargs)

    shop = contract_shop.Shop(smelt, folder, contract_shop.ORDERS)
    shop.tasks("- {load: raw.orders, from: in, sql: load.sql, by: day, contract: {file: raw.yaml, table: orders}}\n"
               f"- {{table: mart.{LONG[:90]}, sql: orders.sql, contract: c.yaml}}")
    shop.contract(contract_shop.ORDERS, "raw.yaml")
    (folder / "raw.yaml").write_text((folder / "raw.yaml").read_text().replace(
        "{minimum: 0}}", "{minimum: 0}, customProperties: [{property: smelt.onViolation, value: quarantine}]}"))
    shop.sql("orders", "SELECT id, amount - 20 AS amount, city FROM raw.orders")
    shop.give("2022-04-01", *(contract_shop.row(i, RANDOM.randint(-3, 60), RANDOM.choice(("Oslo", "Rome", "Bern")))
                              for i in range(400)))
    done = shop.process("2022-04-01", "--html", "page.html", "--json")
    assert done.returncode == 3, done.stderr
    return folder / "page.html", json.loads(done.stdout)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_of_a_run_can_be_read(chromium, run_page, width, scheme):
    path, told = run_page
    assert len(told["contracts"]) == 6 and {r["outcome"] for r in told["contracts"]} == {"passed", "warned", "failed"}
    assert_readable(chromium, path, width, scheme, told)
    assert len(chromium.run(PROBE)["drawings"]) == 6
    for link in ("#table0", "#table1"):
        chromium.run(f"document.querySelector('a[href=\"{link}\"]').click()")
        assert chromium.run(f"Math.abs(document.querySelector('{link}').getBoundingClientRect().top) < 40")


def test_drawings_are_there(chromium, pages):
    """Each column with values that can be drawn has its drawings, on both screens."""
    want = {many_rules: 1, long_names: 3, right_to_left: 2, one_row: 6, no_row: 0, odd_numbers: 4, wide_values: 3,
            sixty_columns: 60, warnings_and_notes: 1}
    for case, n in want.items():
        for width in WIDTHS:
            chromium.open(pages[case][0], width)
            assert len(chromium.run(PROBE)["drawings"]) == n, case.__name__


def test_the_scheme_of_the_screen_is_followed(chromium, pages):
    seen = {}
    for scheme in SCHEMES:
        chromium.open(pages[one_row][0], 390, scheme)
        seen[scheme] = chromium.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert min(seen["light"]) > 200 and max(seen["dark"]) < 60


BAD = """<!DOCTYPE html><html><head><meta charset="utf-8"><style>.card{width:300px}</style></head><body>
<p style="color:#888;background:#eee">pale</p><p style="width:3000px">wide</p>
<div class="card"><svg class="draw" width="300" height="50"><text x="10" y="20">one</text><text x="15" y="22">two</text>
<text x="290" y="40">much too long</text></svg></div>
<table class="rules"><tr><th style="width:10px;overflow-wrap:anywhere">severity</th></tr></table>
<details><summary tabindex="-1">closed</summary>x</details>
<img src="gone.png" alt=""><script>console.error("no"); throw new Error("bad")</script></body></html>"""


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_wrong_is_seen(chromium, tmp_path, width):
    (tmp_path / "bad.html").write_text(BAD)
    chromium.open(tmp_path / "bad.html", width)
    seen = chromium.run(PROBE)
    assert seen["sideways"] > 1000
    assert [text for text, _ in seen["pale"]] == ["pale"]
    assert seen["clashes"] == [["one", "two"]] and seen["outside"] == ["much too long"]
    assert seen["closed"] == 1 and seen["broken"] == ["severity"]
    assert len(chromium.requests()) == 2 and "gone.png" in chromium.requests()[1]
    assert len(chromium.complaints()) >= 2
    with pytest.raises(AssertionError):
        open_all(chromium)
