"""Drift: a run says which keys of a source came, went or changed their type since the run before. What it says is
compared with what Python counts in the files of both runs."""
import json
import random

import pytest

PIPELINE = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
lake: lake
sources:
  - {name: logs, quarantine: bad.orders}
tasks:
  - {load: raw.orders, from: logs, sql: orders.sql, by: day, evolve: add}
"""
ORDERS = """\
SELECT id, s.city AS city, file_date AS day
FROM read_json(var('logs'), columns => {id: 'BIGINT', w: 'DOUBLE', s: 'STRUCT(city VARCHAR, t STRUCT(u BIGINT))'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')
"""


class Shop:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake, self.days = smelt, folder, folder / "lake", 0
        (folder / "logs").mkdir()
        (folder / "shop.yaml").write_text(PIPELINE)
        (folder / "orders.sql").write_text(ORDERS)

    def log(self, *lines):
        self.days += 1
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (self.folder / "logs" / f"202301{self.days:02}.json").write_text("".join(text + "\n" for text in texts))

    def run(self, *options):
        return self.smelt("run", "shop.yaml", "--json", *options)

    def drift(self, *lines, options=()):
        """Loads these lines as the next day; what the run says of them."""
        if lines:
            self.log(*lines)
        return [(d["path"], d["change"], d["was"], d["is"], d["lines"])
                for d in json.loads(self.run(*options).stdout)["drift"]]


@pytest.fixture
def shop(smelt, tmp_path):
    return Shop(smelt, tmp_path)


WHOLE = {"id": 1, "w": 1.5, "s": {"city": "Hue", "t": {"u": 1}}}


def test_the_first_run_and_one_like_it_say_nothing(shop):
    assert shop.drift(WHOLE, {**WHOLE, "x": 1}) == []
    assert shop.drift(WHOLE, {"x": None}) == []
    assert shop.drift() == []  # no file
    assert shop.drift({**WHOLE, "x": 2}) == []


def test_keys_come_and_go(shop):
    shop.drift({"id": 1, "s": {"city": "Hue"}, "x": 1})
    assert shop.drift({"id": 1, "s": {"city": "Hue", "new": "a"}, "w": 1, "_e": True},
                      {"id": 2, "s": {"city": None, "new": "b"}}) == [
        ("w", "came", None, "DOUBLE", 1), ("s.new", "came", None, "VARCHAR", 2), ("_e", "came", None, "BOOLEAN", 1),
        ("x", "went", "BIGINT", None, 1)]
    assert shop.drift({"id": 1, "x": [1]}) == [  # the fields of an object go with it
        ("x", "came", None, "LIST", 1), ("w", "went", "DOUBLE", None, 1),
        ("s", "went", "STRUCT(city VARCHAR, t STRUCT(u BIGINT))", None, 2),
        ("_e", "went", "BOOLEAN", None, 1)]
    assert shop.drift(WHOLE) == [
        ("w", "came", None, "DOUBLE", 1), ("s", "came", None, "STRUCT(city VARCHAR, t STRUCT(u BIGINT))", 1),
        ("x", "went", "LIST", None, 1)]


def test_a_key_with_null_is_there(shop):
    shop.drift({"id": None, "s": {"city": None}, "x": None})
    assert shop.drift({"id": 1, "s": {"city": "Hue"}, "x": 1}) == []
    assert shop.drift({"id": 1, "s": None, "x": None}) == [("s.city", "went", "VARCHAR", None, 1)]


@pytest.mark.parametrize("before, now, types", [
    ([1], ["a"], ("BIGINT", "VARCHAR")),
    ([1], [1.5], ("BIGINT", "DOUBLE")),
    ([1], [12345678901234567890], ("BIGINT", "VARCHAR")),
    ([1, 2.5], [3], ("DOUBLE", "BIGINT")),
    ([True], [{}], ("BOOLEAN", "STRUCT")),
    ([[]], [[1], "a"], ("LIST", "mixed")),
    ([True, 1], ["a"], None),
    ([9007199254740993], [1], None),
    (["a"], ["b", None], None),
])
def test_the_type_of_an_unknown_key(shop, before, now, types):
    shop.drift(*({"id": 1, "x": value} for value in before))
    wants = [("x", "type", *types, len(now))] if types else []
    assert shop.drift(*({"id": 1, "x": value} for value in now)) == wants


def test_values_that_a_column_refuses(shop):
    shop.drift(*[WHOLE] * 200, {"id": "a"}, {"id": "b"})  # one in a hundred is nothing new
    assert shop.drift(*[WHOLE] * 200, {"id": "a"}, {"id": "b"}) == []
    assert shop.drift(*[WHOLE] * 197, *[{"id": "a"}] * 2, {"id": 2.5}) == [("id", "type", "BIGINT", "VARCHAR", 3)]
    assert shop.drift({"id": "a"}, WHOLE) == []  # said already
    assert shop.drift(*[{**WHOLE, "s": {"city": []}}] * 3, WHOLE) == [("s.city", "type", "VARCHAR", "LIST", 3)]


def test_a_run_that_keeps_no_line_says_nothing_of_what_went(shop):
    shop.drift({**WHOLE, "x": 1})
    assert shop.drift("", "broken") == []
    assert shop.drift({"id": "all refused", "y": 1}) == []
    assert shop.drift(WHOLE) == [("x", "went", "BIGINT", None, 1)]


def test_the_table_made_anew_is_no_drift(shop):
    shop.drift({**WHOLE, "old": 1})
    shop.drift(WHOLE)
    assert shop.drift(options=["--full-refresh", "raw.orders"]) == []
    assert shop.drift({**WHOLE, "old": 1}) == []


def test_restore_leads_back_to_what_was_seen(shop):
    shop.drift(WHOLE)
    shop.drift({**WHOLE, "x": 1})
    shop.smelt("table", "restore", str(shop.lake / "raw/orders"), "--version", "0")
    assert shop.drift() == [("x", "came", None, "BIGINT", 1)]


def test_a_run_that_publishes_nothing_is_not_remembered(shop):
    shop.drift(WHOLE)
    (shop.folder / "shop.yaml").write_text(PIPELINE + "  - {table: mart.bad, sql: bad.sql}\n")
    (shop.folder / "bad.sql").write_text("SELECT CAST('x' AS BIGINT) AS n FROM raw.orders")
    shop.log({**WHOLE, "x": 1})
    done = shop.smelt("run", "shop.yaml", "--json", check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["drift"] == []
    (shop.folder / "shop.yaml").write_text(PIPELINE)
    assert shop.drift() == [("x", "came", None, "BIGINT", 1)]


def test_it_is_said_in_words_too(shop):
    shop.drift({**WHOLE, "y": 1, "z": 1})
    shop.log({**WHOLE, "x": "a", "y": "b"}, {**WHOLE, "x": "c"})
    done = shop.smelt("run", "shop.yaml", "--quiet")
    assert done.stderr.splitlines() == [
        "drift   x came into raw.orders (2 lines, VARCHAR)",
        "drift   y of raw.orders was BIGINT, is VARCHAR (1 line)",
        "drift   z went from raw.orders (1 line before, BIGINT)"]


def paths_of(lines):
    """How many lines have each key, outermost unknown ones only."""
    known = {"id": None, "w": None, "s": {"city": None, "t": {"u": None}}}
    counts = {}

    def walk(value, names, prefix):
        for key, inner in value.items():
            counts[prefix + key] = counts.get(prefix + key, 0) + 1
            if isinstance(names.get(key), dict) and isinstance(inner, dict):
                walk(inner, names[key], prefix + key + ".")
    for line in lines:
        walk(line, known, "")
    return counts


@pytest.mark.parametrize("threads", ["1", "4"])
def test_random_lines(shop, threads, monkeypatch):
    dice = random.Random(7)

    def line(share):
        out = {"id": dice.randint(1, 9)}
        for key in "wxyz":
            if dice.random() < share:
                out[key] = 1
        if dice.random() < 0.9:
            out["s"] = {key: "c" for key in ("city", "a", "b") if dice.random() < share}
            if dice.random() < share:
                out["s"]["t"] = {key: 1 for key in "uv" if dice.random() < share}
        return out
    before = None
    for n, share in ((3000, 0.5), (2000, 0.002), (1, 0.5), (4000, 0.9), (50, 0.1)):
        lines = [line(share) for _ in range(n)]
        got = shop.drift(*lines, options=["--threads", threads, "--morsel-size", "64KiB"])
        now = paths_of(lines)
        if before is not None:
            def outer(path, told):
                return any(path.startswith(other + ".") for other in told)
            came = {path for path in now if path not in before}
            went = {path for path in before if path not in now}
            wants = {(path, "came", now[path]) for path in came if not outer(path, came)}
            wants |= {(path, "went", before[path]) for path in went if not outer(path, went)}
            assert {(path, change, lines) for path, change, _, _, lines in got} == wants
        before = now
    monkeypatch.setenv("SMELT_JSON", "full")
    assert shop.drift(*lines) == []  # read line by line: the same counts


def test_a_thousand_keys_are_not_told_by_what_is_cut(shop):
    shop.drift({"id": 1, **{f"k{i}": 1 for i in range(2000)}})
    assert shop.drift({"id": 1, "k1999": 1, "another": 1}) == [
        (f"k{i}", "went", "BIGINT", None, 1) for i in range(1000)]
