"""A pipeline that is not the shipped one: the orders of a shop, with deeper nesting, two keys,
doubles, dates, a join and windows. Its tables equal those of DuckDB over the same SQL."""
import datetime
import json
import math
import random

import duckdb
import pyarrow as pa
import pytest

from customer360 import assert_same, data_files, read_table

SEED = 20220401
DAYS, ORDERS = 5, 700

PIPELINE = """
name: shop
vars:
  orders:
    type: uri
    default: ./orders
    help: the folder of the orders
  lake:
    type: uri
    default: ./lake
  month:
    type: month
  least:
    type: text
    default: '2.5'
lake: lake
sources:
  - name: orders
    match: '^orders_.*[.]ndjson$'
    window: month
    quarantine: refused.orders
tasks:
  - load: raw.orders
    from: orders
    sql: orders.sql
    by: day
  - view: mart.items
    sql: items.sql
  - table: mart.shops
    sql: shops.sql
  - table: mart.daily
    sql: daily.sql
  - table: mart.best
    sql: best.sql
"""
SQL = {
    "orders": """
        SELECT id, buyer.name AS buyer, buyer.address.city AS city, buyer.address.geo.lat AS lat,
            item.sku AS sku, item.price AS price, item.n AS n, is_gift, file_date AS day
        FROM read_json(var('orders'), match => '^orders_.*[.]ndjson$',
            columns => {id: 'BIGINT',
                        buyer: 'STRUCT(name VARCHAR, address STRUCT(city VARCHAR,
                                geo STRUCT(lat DOUBLE, lon DOUBLE)))',
                        item: 'STRUCT(sku VARCHAR, price DOUBLE, n INTEGER)',
                        is_gift: 'BOOLEAN'},
            file_date => true, bad_lines => 'quarantine', validate => 'all')""",
    # Items that count, with what they are worth.
    "items": """
        SELECT *, price * n AS worth, coalesce(city, 'nowhere') AS place
        FROM raw.orders
        WHERE n > 0 AND price >= CAST(var('least') AS DOUBLE) AND sku IS NOT NULL""",
    "shops": """
        SELECT place, sku, count(*) AS orders, count(DISTINCT buyer) AS buyers,
            sum(n) AS pieces, min(price) AS cheapest, max(price) AS dearest, avg(price) AS mean,
            count(*) FILTER (WHERE is_gift) AS gifts, min(day) AS first_day, max(day) AS last_day
        FROM mart.items
        GROUP BY place, sku
        HAVING count(*) > 1""",
    "daily": """
        WITH per_day AS (
            SELECT day, place, sum(worth) AS worth, count(*) AS orders
            FROM mart.items
            WHERE place NOT IN ('nowhere') OR place IS NULL
            GROUP BY day, place
        )
        SELECT d.day, d.place, d.worth, d.orders,
            rank() OVER (PARTITION BY d.day ORDER BY d.orders DESC) AS place_of_day,
            row_number() OVER (PARTITION BY d.place ORDER BY d.day) AS day_of_place,
            CASE WHEN d.orders > (SELECT avg(orders) FROM per_day) THEN 'busy' ELSE 'calm' END AS kind
        FROM per_day AS d""",
    "best": """
        SELECT s.place, s.sku, s.orders, d.days, d.orders AS all_orders,
            qcut(s.pieces, 3) OVER () AS class,
            concat(upper(s.place), '-', s.sku) AS label,
            s.last_day - s.first_day AS span
        FROM mart.shops AS s
        LEFT JOIN (
            SELECT place, count(*) AS days, CAST(sum(orders) AS BIGINT) AS orders
            FROM mart.daily GROUP BY place
        ) AS d ON d.place = s.place""",
}
COLUMNS = {"id": pa.int64(), "buyer": pa.string(), "city": pa.string(), "lat": pa.float64(),
           "sku": pa.string(), "price": pa.float64(), "n": pa.int32(), "is_gift": pa.bool_(),
           "day": pa.date32()}
REFUSED = ['{"id":1.5}', '{"item":{"n":2147483648}}', '{"buyer":{"address":{"geo":7}}}', '{"is_gift":1}',
           '{"item":{"price":"free"}}', '{"id":1']
REASONS = [("id", "type_mismatch"), ("n", "out_of_range"), ("lat", "type_mismatch"),
           ("is_gift", "type_mismatch"), ("price", "type_mismatch"), (None, "syntax")]


def order(rng, number, day):
    """A row of raw.orders, and the object that is its line."""
    def maybe(value, share=0.08):
        return None if rng.random() < share else value
    row = {"id": number, "buyer": maybe(f"buyer {rng.randrange(90)}"),
           "city": maybe(rng.choice(["Oslo", "Rome", "Huế", "Lima", "x\ty"])),
           "lat": maybe(round(rng.uniform(-90, 90), 6)), "sku": maybe(f"S{rng.randrange(12):02}"),
           "price": maybe(round(rng.uniform(0.1, 300), rng.choice([0, 1, 2, 7]))),
           "n": maybe(rng.randrange(-1, 9)), "is_gift": maybe(rng.random() < 0.3), "day": day}
    address = {"geo": {"lat": row["lat"], "lon": 1e-3}, "city": row["city"]}
    line = {"item": {"price": row["price"], "sku": row["sku"], "n": row["n"]}, "id": number,
            "buyer": {"address": address, "name": row["buyer"]}, "is_gift": row["is_gift"]}
    if row["city"] is None and row["lat"] is None:
        line["buyer"]["address"] = rng.choice([None, {}])
    return row, json.dumps(line, ensure_ascii=rng.random() < 0.5)


@pytest.fixture(scope="module")
def shop(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    (folder / "orders").mkdir()
    (folder / "pipeline.yaml").write_text(PIPELINE)
    for name, text in SQL.items():
        (folder / f"{name}.sql").write_text(text)
    rows = []
    for day in range(1, DAYS + 1):
        lines = []
        for number in range(ORDERS):
            row, line = order(rng, day * 10_000 + number, datetime.date(2023, 2, day))
            rows.append(row)
            lines.append(line)
        if day == 2:
            lines[100:100] = REFUSED
        (folder / "orders" / f"orders_202302{day:02}.ndjson").write_text("\n".join(lines) + "\n")
    report = program.json("run", folder / "pipeline.yaml", "--var", f"orders={folder}/orders", "--var",
                          f"lake={folder}/lake", "--date", "2023-02-17", "--json")
    wanted = pa.table({name: pa.array([row[name] for row in rows], kind)
                       for name, kind in COLUMNS.items()})
    return folder, report, wanted


def test_lines_are_kept_and_refused(shop):
    folder, report, wanted = shop
    assert report["lines"] == {"read": DAYS * ORDERS + len(REFUSED), "kept": DAYS * ORDERS,
                               "quarantined": len(REFUSED), "blank": 0}
    assert report["unknown"] == {"lines": 0, "paths": {}}
    refused = read_table(folder / "lake/refused/orders").to_pylist()
    assert [(row["line"], row["column"], row["reason"]) for row in refused] == [
        (101 + n, *reason) for n, reason in enumerate(REASONS)]
    assert [row["raw"].decode() for row in refused] == REFUSED


def test_raw_orders_are_the_lines(shop):
    folder, _, wanted = shop
    assert_same(read_table(folder / "lake/raw/orders"), wanted, "raw.orders")
    assert len(data_files(folder / "lake/raw/orders")) == DAYS


QCUT_SQL = """1 + CAST((x > v[1 + (len(v) - 1) // 3]) AS INT)
              + CAST((x > v[1 + (2 * (len(v) - 1)) // 3]) AS INT)"""


def duckdb_tables(wanted):
    """The marts by DuckDB. qcut() is not there: its column is made from the definition."""
    connection = duckdb.connect()
    for schema in ("raw", "mart"):
        connection.execute(f"CREATE SCHEMA {schema}")
    connection.execute("CREATE MACRO var(name) AS getvariable(name)")
    connection.execute("SET VARIABLE least = '2.5'")
    connection.register("wanted", wanted)
    connection.execute("CREATE TABLE raw.orders AS FROM wanted")
    connection.execute(f"CREATE VIEW mart.items AS {SQL['items']}")
    connection.execute(f"CREATE TABLE mart.shops AS {SQL['shops']}")
    connection.execute(f"CREATE TABLE mart.daily AS {SQL['daily']}")
    best = SQL["best"].replace("qcut(s.pieces, 3) OVER ()", "s.pieces")
    connection.execute(f"""CREATE TABLE mart.best AS
        WITH best AS ({best}), v AS (SELECT list(class ORDER BY class) AS v FROM best)
        SELECT best.* REPLACE ({QCUT_SQL.replace('x ', 'class ')} AS class) FROM best, v""")
    return {name: connection.sql(f"FROM mart.{name}") for name in ("shops", "daily", "best")}


KEYS = {"shops": ["place", "sku"], "daily": ["day", "place"], "best": ["place", "sku"]}


@pytest.mark.parametrize("name", KEYS)
def test_marts_are_duckdbs(shop, name):
    folder, _, wanted = shop
    relation = duckdb_tables(wanted)[name]
    def ordered(rows):
        return sorted(rows, key=lambda row: [str(row[column]) for column in KEYS[name]])
    expected = ordered([dict(zip(relation.columns, row)) for row in relation.fetchall()])
    table = read_table(folder / "lake/mart" / name)
    assert table.column_names == relation.columns
    found = ordered(table.to_pylist())
    assert len(found) == len(expected) > 15
    for left, right in zip(found, expected):
        for column, value in left.items():
            if isinstance(value, float):
                assert math.isclose(value, right[column], rel_tol=1e-9), (column, left, right)
            else:
                assert value == right[column], (column, left, right)


def test_sql_over_the_lake_and_the_files(smelt, shop):
    """The same sums from the tables, the data files and the logs themselves."""
    folder, _, wanted = shop
    pieces = sum(n for n in wanted["n"].to_pylist() if n is not None)
    lake = ["--lake", folder / "lake"]
    assert smelt.sql("SELECT sum(n) AS n FROM raw.orders", *lake) == [{"n": pieces}]
    assert smelt.sql(f"SELECT sum(n) AS n FROM '{folder}/lake/raw/orders/*.parquet'") == [{"n": pieces}]
    raw = smelt("sql", f"""SELECT sum(item.n) AS n, count(*) AS lines
        FROM read_json('{folder}/orders/*.ndjson', bad_lines => 'skip',
             columns => {{item: 'STRUCT(n INTEGER)'}})""", "--format", "json")
    # Only what is read is judged: of the refused lines two are no JSON or have an n out of range.
    assert json.loads(raw.stdout) == [{"n": pieces, "lines": DAYS * ORDERS + len(REFUSED) - 2}]
    assert "2 of 3,506 lines" in raw.stderr


def test_a_run_again_and_a_day_more(program, shop, tmp_path):
    import shutil

    folder, _, wanted = shop
    here = tmp_path / "shop"
    shutil.copytree(folder, here, copy_function=shutil.copy2)
    words = ["run", here / "pipeline.yaml", "--var", f"orders={here}/orders", "--var",
             f"lake={here}/lake", "--var", "month=2023-02", "--json"]
    again = program.json(*words)
    assert again["files"] == {"read": 0, "skipped": DAYS, "ignored": 0}
    shutil.copy2(here / "orders/orders_20230205.ndjson", here / "orders/orders_20230228.ndjson")
    more = program.json(*words)
    assert more["files"] == {"read": 1, "skipped": DAYS, "ignored": 0}
    rows = read_table(here / "lake/raw/orders")
    assert rows.num_rows == (DAYS + 1) * ORDERS
    days = {str(day) for day in read_table(here / "lake/mart/daily")["day"].to_pylist()}
    assert days == {f"2023-02-{day:02}" for day in (1, 2, 3, 4, 5, 28)}
