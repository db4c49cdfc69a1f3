"""Keys that no column takes: a source's `unknown` (ignore, keep, fail) and read_json's unknown => 'keep'. Kept keys
stand in the column _rescued as JSON text: what Python's json makes of the line is what the row has of it."""
import json
import random

import deltalake
import pytest

PIPELINE = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
lake: lake
sources:
  - name: logs
    quarantine: bad.orders
    UNKNOWN
tasks:
  - load: raw.orders
    from: logs
    sql: orders.sql
    by: day
    EVOLVE
"""
ORDERS = """\
SELECT id, s.city AS city, file_date AS day
FROM read_json(var('logs'), columns => {id: 'BIGINT', s: 'STRUCT(city VARCHAR)'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')
"""
KEPT = ['{"id":1,"x":1.50,"s":{"city":"Hue","y":[1, 2]}}', '{"id":2}', '{"id":3,"x":{"z":null},"x":"last"}']
RESCUED = ['{"x":1.50,"s":{"y":[1, 2]}}', None, '{"x":"last"}']


class Shop:
    def __init__(self, smelt, folder, unknown="", evolve=False, sql=ORDERS):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "logs").mkdir()
        self.set(unknown, evolve)
        (folder / "orders.sql").write_text(sql)

    def set(self, unknown, evolve=False):
        text = PIPELINE.replace("UNKNOWN", f"unknown: {unknown}" if unknown else "")
        (self.folder / "shop.yaml").write_text(text.replace("EVOLVE", "evolve: add" if evolve else ""))

    def log(self, date, lines):
        (self.folder / "logs" / f"{date}.json").write_text("".join(line + "\n" for line in lines))

    def run(self, *options, check=True):
        return self.smelt("run", "shop.yaml", *options, check=check)

    def rows(self, columns="*", order="day, id"):
        return [tuple(row.values()) for row in self.smelt.sql(
            f"SELECT {columns} FROM raw.orders ORDER BY {order}", "--lake", str(self.lake))]


def report(run):
    return json.loads(run.stdout)


# ---- read_json ----------------------------------------------------------------------------------


def python_rescued(line):
    """What of the line the columns id and s(city) do not take, as Python reads it."""
    out = json.loads(line)
    out.pop("id", None)
    if isinstance(out.get("s"), dict):
        out["s"].pop("city", None)
        if not out["s"]:
            del out["s"]
    elif "s" in out:
        del out["s"]
    return out or None


def random_line(dice):
    def value(depth):
        kinds = [lambda: None, lambda: dice.randint(-9, 9), lambda: dice.random(), lambda: True,
                 lambda: "".join(dice.choices("aé\"\\\n\u0001😀", k=dice.randint(0, 20))),
                 lambda: [value(depth + 1) for _ in range(dice.randint(0, 3))],
                 lambda: {dice.choice("xyz"): value(depth + 1) for _ in range(dice.randint(0, 3))}]
        return dice.choice(kinds[:5] if depth > 2 else kinds)()
    members = [json.dumps("id") + ":" + str(dice.randint(1, 9))]
    for _ in range(dice.randint(0, 6)):
        key = dice.choice(["x", "y", "", "é", "\"q\"", "id ", "_rescued", "\n"])
        members.append(json.dumps(key, ensure_ascii=dice.random() < 0.5) + ": " +
                       json.dumps(value(0), ensure_ascii=dice.random() < 0.5))
    if dice.random() < 0.6:
        inner = {dice.choice(["city", "a", "b", "cities"]): value(1) for _ in range(dice.randint(0, 4))}
        if "city" in inner:
            inner["city"] = "Hue"
        members.append('"s" : ' + json.dumps(inner))
    dice.shuffle(members)
    return "{" + " ,".join(members) + "}"


def test_what_is_kept_is_what_json_has(smelt, tmp_path):
    dice = random.Random(20220401)
    lines = [random_line(dice) for _ in range(3000)]
    (tmp_path / "k.json").write_text("".join(line + "\n" for line in lines))
    got = smelt.sql("SELECT _rescued FROM read_json('k.json', unknown => 'keep',"
                    "    columns => {id: 'BIGINT', s: 'STRUCT(city VARCHAR)'})")
    for line, row in zip(lines, got, strict=True):
        kept = row["_rescued"]
        assert (json.loads(kept) if kept is not None else None) == python_rescued(line), line


@pytest.mark.parametrize("threads", ["1", "4"])
def test_shapes_and_threads_do_not_matter(smelt, tmp_path, threads, monkeypatch):
    lines = [f'{{"id":{i},"n":{i % 7},"s":{{"city":"c{i % 3}","w":{i}}}}}' for i in range(20000)]
    (tmp_path / "k.json").write_text("".join(line + "\n" for line in lines))
    query = ("SELECT count(*) AS n, count(_rescued) AS k, min(_rescued) AS a, max(_rescued) AS b FROM read_json("
             "'k.json', unknown => 'keep', columns => {id: 'BIGINT', s: 'STRUCT(city VARCHAR)'})")
    out = [smelt.sql(query, "--threads", threads)]
    monkeypatch.setenv("SMELT_JSON", "full")
    out.append(smelt.sql(query, "--threads", threads))
    assert out[0] == out[1] == [{"n": 20000, "k": 20000, "a": '{"n":0,"s":{"w":0}}', "b": '{"n":6,"s":{"w":9995}}'}]


def test_columns_that_are_found_and_the_rest(smelt, tmp_path):
    (tmp_path / "one.json").write_text('{"id":1}\n')
    (tmp_path / "two.json").write_text('{"id":2,"name":"x"}\n')
    got = smelt.sql("SELECT * FROM read_json(['one.json', 'two.json'], maximum_sample_files => 1, unknown => 'keep')")
    assert got == [{"id": 1, "_rescued": None}, {"id": 2, "_rescued": '{"name":"x"}'}]


@pytest.mark.parametrize("query, wants", [
    ("read_json('k.json', columns => {id: 'BIGINT', \"_Rescued\": 'VARCHAR'}, unknown => 'keep')",
     'the files have a column "_Rescued" of their own'),
    ("read_json('k.json', columns => {id: 'BIGINT'}, unknown => 'keeep')", "unknown cannot be 'keeep'"),
    ("read_parquet('k.parquet', unknown => 'keep')", "unknown cannot be 'keep'"),
])
def test_what_cannot_be_kept_is_refused(smelt, tmp_path, query, wants):
    (tmp_path / "k.json").write_text('{"id":1}\n')
    done = smelt("sql", f"SELECT * FROM {query}", check=False)
    assert done.returncode != 0 and wants in done.stderr


# ---- a source -----------------------------------------------------------------------------------


def test_kept_keys_are_a_column_of_the_loaded_table(smelt, tmp_path):
    shop = Shop(smelt, tmp_path, "keep")
    shop.log("20230101", KEPT)
    done = report(shop.run("--json"))
    assert done["unknown"] == {"lines": 2, "paths": {"x": 2, "s.y": 1}}
    assert shop.rows("id, _rescued") == [(1, RESCUED[0]), (2, None), (3, RESCUED[2])]
    table = deltalake.DeltaTable(str(shop.lake / "raw/orders"))
    assert [field.name for field in table.schema().fields] == ["id", "city", "day", "_rescued"]
    shop.log("20230102", ['{"id":4,"v":true}'])
    shop.run()
    shop.log("20230101", KEPT[:2])  # the day is replaced
    shop.run()
    assert shop.rows("id, _rescued") == [(1, RESCUED[0]), (2, None), (4, '{"v":true}')]
    assert shop.run().stderr.startswith("lines   0 read")


@pytest.mark.parametrize("sql", [
    ORDERS.replace("SELECT id", "SELECT _rescued, id"),
    "SELECT * FROM (" + ORDERS.replace("file_date AS day", "file_date AS day, upper(_rescued) AS _rescued") + ")",
    "SELECT id, city, day FROM (" + ORDERS + ") WHERE id > 0",
    "WITH o AS (" + ORDERS + ") SELECT * FROM o",
])
def test_the_sql_may_name_it_or_be_nested(smelt, tmp_path, sql):
    shop = Shop(smelt, tmp_path, "keep", sql=sql)
    shop.log("20230101", KEPT)
    shop.run()
    wants = [text.upper() if text and "upper" in sql else text for text in RESCUED]
    assert [row[0] for row in shop.rows("_rescued", "id")] == wants
    table = deltalake.DeltaTable(str(shop.lake / "raw/orders"))
    assert sorted(field.name for field in table.schema().fields) == ["_rescued", "city", "day", "id"]


def test_a_table_without_the_column_gets_it_where_it_may_grow(smelt, tmp_path):
    shop = Shop(smelt, tmp_path)
    shop.log("20230101", KEPT)
    assert report(shop.run("--json"))["unknown"]["lines"] == 2
    shop.set("keep")
    shop.log("20230102", KEPT)
    done = shop.run(check=False)
    assert done.returncode == 1 and "evolve: add" in done.stderr and "_rescued" in done.stderr
    assert shop.rows("id") == [(1,), (2,), (3,)]
    shop.set("keep", evolve=True)
    shop.run()
    assert shop.rows("id, _rescued") == [(1, None), (2, None), (3, None), *zip((1, 2, 3), RESCUED, strict=True)]
    shop.set("ignore", evolve=True)  # and back: the table has a column that the rows lack
    shop.log("20230103", KEPT)
    done = shop.run(check=False)
    assert done.returncode == 1 and "_rescued" in done.stderr
    shop.run("--full-refresh", "raw.orders")
    assert "_rescued" not in smelt.sql("FROM raw.orders LIMIT 1", "--lake", str(shop.lake))[0]


def test_fail_names_the_first_and_publishes_nothing(smelt, tmp_path):
    shop = Shop(smelt, tmp_path, "fail")
    shop.log("20230101", ['{"id":1,"s":{"city":"Hue"}}'])
    shop.run()
    shop.log("20230102", ['{"id":2}', '{"id":3,"s":{"city":"x","new":1},"z":2}', '{"id":4,"a":1}'])
    done = shop.run("--json", check=False)
    error = report(done)["error"]
    assert done.returncode == 1
    assert error["message"] == 'key "s.new" is not among the columns'
    assert error["place"].endswith("20230102.json:2:25")
    assert shop.rows("id") == [(1,)]
    assert not (shop.lake / "bad").exists() or smelt.sql("FROM bad.orders", "--lake", str(shop.lake)) == []


def test_ignore_only_counts_also_where_columns_are_found(smelt, tmp_path):
    sql = ("SELECT *, file_date AS day FROM read_json(var('logs'), maximum_sample_files => 1, file_date => true) ")
    shop = Shop(smelt, tmp_path, "ignore", sql=sql.replace("SELECT *, file_date AS day", "SELECT id, file_date AS day"))
    shop.log("20230101", ['{"id":1}'])
    shop.log("20230102", ['{"id":2,"x":1}'])
    assert report(shop.run("--json"))["unknown"] == {"lines": 1, "paths": {"x": 1}}
    assert shop.rows("id") == [(1,), (2,)]


@pytest.mark.parametrize("unknown, sql, wants", [
    ("drop", ORDERS, "unknown cannot be 'drop'"),
    ("fail", ORDERS.replace("file_date =>", "unknown => 'ignore', file_date =>"),
     "the source has unknown: fail, and this is unknown => 'ignore'"),
    ("keep", "SELECT id, file_date AS day FROM read_parquet(var('logs'), columns => {id: 'BIGINT'}, file_date => true)",
     "the source has unknown: keep, which read_parquet cannot"),
    ("keep", ORDERS.replace("id: 'BIGINT'", "id: 'BIGINT', _rescued: 'VARCHAR'"),
     'the files have a column "_rescued" of their own'),
])
def test_what_a_source_cannot_have_is_said(smelt, tmp_path, unknown, sql, wants):
    shop = Shop(smelt, tmp_path, unknown, sql=sql)
    shop.log("20230101", KEPT)
    done = shop.run(check=False)
    assert done.returncode != 0 and wants in done.stderr
    assert not (shop.lake / "raw").exists()


def test_the_sql_may_say_the_same_and_a_view_may_read_it(smelt, tmp_path):
    shop = Shop(smelt, tmp_path, "keep", sql=ORDERS.replace("file_date =>", "unknown => 'keep', file_date =>"))
    with (tmp_path / "shop.yaml").open("a") as out:
        out.write("  - {table: mart.kept, sql: kept.sql}\n")
    (tmp_path / "kept.sql").write_text(
        "SELECT _rescued FROM read_json(var('logs'), columns => {id: 'BIGINT', s: 'STRUCT(city VARCHAR)'}) "
        "WHERE _rescued IS NOT NULL")
    shop.log("20230101", KEPT)
    shop.run()
    assert smelt.sql("FROM mart.kept ORDER BY 1", "--lake", str(shop.lake)) == [
        {"_rescued": text} for text in sorted(text for text in RESCUED if text)]
