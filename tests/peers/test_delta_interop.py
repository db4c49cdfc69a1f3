"""Tables between smelt and its peers: delta-rs, DuckDB's Delta reader and Polars read what smelt
wrote, and smelt reads what they wrote. Spark: test_spark.py."""
import datetime
import decimal
import json
import math
import shutil

import pyarrow as pa
import pytest

import customer360
from customer360 import generate, read_table, run

TABLES = ["bronze/viewing_log", "quarantine/viewing_log", "silver/customer_viewing",
          "gold/customer360"]
ARROW = {"string": pa.string(), "long": pa.int64(), "date": pa.date32(), "binary": pa.binary(),
         "timestamp": pa.timestamp("us", tz="UTC")}
PEERS = ["deltalake", "polars", "duckdb"]


def key(value):
    """Values of any peer as one that sorts: None first."""
    if isinstance(value, dict):
        return (1, str({name: key(one) for name, one in value.items()}))
    if isinstance(value, list):
        return (1, str([key(one) for one in value]))
    if isinstance(value, bytearray):
        value = bytes(value)
    if isinstance(value, datetime.datetime) and value.tzinfo:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (0, "") if value is None else (1, value)


def in_order(rows):
    """Rows as sorted tuples of keys, columns by name."""
    return sorted(tuple(key(row[name]) for name in sorted(row)) for row in rows)


def table_rows(uri):
    return read_table(uri).to_pylist()


@pytest.fixture(scope="module")
def month(program, tmp_path_factory):
    """A lake to which fourteen days were brought, one run each: every table has a checkpoint."""
    folder = tmp_path_factory.mktemp("month")
    logs = generate(program, folder / "all", days=14, rows=600, contracts=300, damage=0.05, seed=5)
    here = folder / "logs"
    here.mkdir()
    for file in logs.files:
        shutil.copy2(file, here / file.name)
        run(program, "delta", here, folder / "lake")
    return folder / "lake"


# ---- peers read smelt's tables ----------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("peer", PEERS)
def test_peer_reads_what_smelt_wrote(month, delta_peers, peer, table):
    wanted = table_rows(month / table)
    assert len(wanted) > 100
    assert in_order(delta_peers[peer](month / table)) == in_order(wanted)


@pytest.mark.parametrize("table", TABLES)
def test_types_and_nulls_are_those_of_the_schema(month, table):
    import deltalake

    opened = deltalake.DeltaTable(str(month / table))
    fields = json.loads(opened.schema().to_json())["fields"]
    assert fields == customer360.schema_of(month / table)["fields"]
    query = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t")
    found = customer360.plain(pa.table(query.read_all()))
    wanted = read_table(month / table)
    for field in fields:
        name = field["name"]
        assert field["nullable"] is True
        assert found[name].type == wanted[name].type == ARROW[field["type"]], name
        assert found[name].null_count == wanted[name].null_count, name


@pytest.mark.parametrize("table", TABLES)
def test_smelt_sql_agrees_with_duckdb(smelt, month, duckdb_delta, table):
    """Counts, sums and distinct values of every column, by both engines over the same table."""
    items = ["count(*) AS n"]
    for field in customer360.schema_of(month / table)["fields"]:
        name = f'"{field["name"]}"'
        items.append(f"count({name}) AS n_{len(items)}")
        if field["type"] == "long" and field["name"] != "Score":  # Score's sum is beyond 64 bits
            items.append(f"sum({name}) AS s_{len(items)}")
        if field["type"] in ("long", "date", "string"):
            items.append(f"min({name}) AS a_{len(items)}, max({name}) AS z_{len(items)}")
            items.append(f"count(DISTINCT {name}) AS d_{len(items)}")
    sql = f"SELECT {', '.join(items)} FROM delta_scan('{month / table}')"
    names, rows = duckdb_delta.columns_and_rows(sql)
    wanted = {name: str(value) if isinstance(value, datetime.date) else value
              for name, value in zip(names, rows[0])}
    assert smelt.sql(sql) == [wanted]
    by_name = sql.replace(f"delta_scan('{month / table}')", table.replace("/", "."))
    assert smelt.sql(by_name, "--lake", month) == [wanted]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("peer", PEERS)
def test_statistics_do_not_hide_rows(month, delta_peers, duckdb_delta, peer, table):
    """A filter that peers push down to statistics of files gives what filtering all rows gives."""
    rows = table_rows(month / table)
    fields = {field["name"]: field["type"] for field in customer360.schema_of(month / table)["fields"]}
    for name, kind in fields.items():
        if kind not in ("long", "string", "date"):
            continue
        values = sorted({row[name] for row in rows if row[name] is not None})
        if not values:
            continue
        pivot = values[len(values) // 2]
        wanted = sum(row[name] == pivot for row in rows)
        assert count_equal(peer, month / table, name, pivot, duckdb_delta) == wanted, (name, pivot)


def count_equal(peer, uri, name, value, duckdb_delta):
    import deltalake
    import polars

    if peer == "polars":
        frame = polars.scan_delta(str(uri)).filter(polars.col(name) == value)
        return frame.select(polars.len()).collect().item()
    literal = str(value) if isinstance(value, int) else (
        f"DATE '{value}'" if isinstance(value, datetime.date) else
        "'" + value.replace("'", "''") + "'")
    if peer == "duckdb":
        sql = f"SELECT count(*) FROM delta_scan('{uri}') WHERE \"{name}\" = {literal}"
        return duckdb_delta.query(sql)[0][0]
    builder = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(uri)))
    answer = builder.execute(f'SELECT count(*) AS n FROM t WHERE "{name}" = {literal}')
    return pa.table(answer.read_all())["n"][0].as_py()


def test_statistics_stand_in_the_log(month):
    """Each data file says its rows, and bounds that hold for them."""
    import pyarrow.parquet as pq

    uri = month / "bronze" / "viewing_log"
    n_files = 0
    for actions in customer360.versions(uri).values():
        for action in actions:
            if "add" not in action:
                continue
            n_files += 1
            stats = json.loads(action["add"]["stats"])
            rows = pq.read_table(uri / action["add"]["path"], partitioning=None)
            assert stats["numRecords"] == rows.num_rows
            dates = [str(date) for date in rows["Date"].unique().to_pylist()]
            assert stats["minValues"]["Date"] == stats["maxValues"]["Date"] == dates[0]
            for name, low in stats["minValues"].items():
                high, values = stats["maxValues"][name], rows[name].drop_null().to_pylist()
                texts = [str(value) if name == "Date" else value for value in values]
                assert all(low <= text <= high for text in texts), name
            for name, n_nulls in stats["nullCount"].items():
                assert rows[name].null_count == n_nulls, name
    assert n_files >= 14


# ---- types that Delta has not ------------------------------------------------------------------

PIPELINE = """\
name: shapes
vars:
  lake: {type: uri, default: ./lake}
lake: lake
tasks:
  - table: raw.t
    sql: t.sql
"""


def write_table(smelt, lake, sql):
    """`sql`'s rows as the Delta table raw.t, by a pipeline."""
    folder = lake.parent
    (folder / "p.yaml").write_text(PIPELINE)
    (folder / "t.sql").write_text(sql)
    smelt("run", folder / "p.yaml", "--var", f"lake={lake}")
    return lake / "raw" / "t"


BIG = 17293822569102704640


def as_decimals(value):
    """Integers as the decimals that peers give for them."""
    if isinstance(value, dict):
        return {name: as_decimals(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_decimals(one) for one in value]
    return decimal.Decimal(value) if isinstance(value, int) else value


@pytest.mark.parametrize("peer", PEERS)
def test_unsigned_integers_are_written_wider(smelt, lake, tmp_path, delta_peers, peer):
    lines = [{"u": BIG, "n": 2**64, "l": [BIG, None], "s": {"u": 2**64 - 1}, "t": 255, "w": 65535,
              "i": 2**32 - 1},
             {"u": BIG + 1, "n": -2**63 - 1, "l": [], "s": None, "t": 0, "w": 0, "i": 0}, {}]
    (tmp_path / "u.json").write_text("".join(json.dumps(row) + "\n" for row in lines))
    uri = write_table(smelt, lake, f"""
        SELECT u, n, l, s, CAST(t AS UTINYINT) AS t, CAST(w AS USMALLINT) AS w, CAST(i AS UINTEGER) AS i
        FROM '{tmp_path}/u.json'""")
    kinds = {field["name"]: field["type"] for field in customer360.schema_of(uri)["fields"]}
    assert kinds["s"]["fields"][0]["type"] == "decimal(20,0)"
    assert kinds["l"]["elementType"] == "decimal(20,0)"
    assert {name: kinds[name] for name in "unitw"} == {
        "u": "decimal(20,0)", "n": "decimal(38,0)", "i": "long", "t": "short", "w": "integer"}
    wanted = [{name: as_decimals(row.get(name)) if name in "unls" else row.get(name)
               for name in "unlstwi"} for row in lines]
    assert in_order(delta_peers[peer](uri)) == in_order(wanted)
    found = smelt.sql("SELECT typeof(u) AS kind, count(*) AS n FROM raw.t GROUP BY u, kind ORDER BY u",
                      "--lake", lake)
    assert found == [{"kind": "DECIMAL(20,0)", "n": 1}] * 3
    assert smelt.sql(f"SELECT count(*) AS n FROM raw.t JOIN '{tmp_path}/u.json' j ON raw.t.u = j.u",
                     "--lake", lake) == [{"n": 2}]


# ---- maps -------------------------------------------------------------------------------------

MAPS = [{"id": 1, "m": {"a": 1, "b": None}, "o": {"x": {"n": BIG, "t": "one"}}},
        {"id": 2, "m": {}, "o": {}}, {"id": 3, "m": None, "o": None},
        {"id": 4, "m": {"a key of many bytes": -4}, "o": {"y": None, "z": {"n": 1, "t": None}}}]
MAP_COLUMNS = "{id: 'BIGINT', m: 'MAP(VARCHAR, BIGINT)', o: 'MAP(VARCHAR, STRUCT(n UBIGINT, t VARCHAR))'}"


def as_maps(rows):
    """Peers give a map as a dict, a list of pairs, or one of dicts of key and value."""
    def one(value):
        if isinstance(value, list):
            return {pair["key"] if isinstance(pair, dict) else pair[0]:
                    pair["value"] if isinstance(pair, dict) else pair[1] for pair in value}
        return value
    return [{name: one(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("peer", PEERS)
def test_peer_reads_maps(smelt, lake, tmp_path, delta_peers, peer):
    (tmp_path / "m.json").write_text("".join(json.dumps(row) + "\n" for row in MAPS))
    uri = write_table(smelt, lake,
                      f"SELECT * FROM read_json('{tmp_path}/m.json', columns => {MAP_COLUMNS})")
    kinds = {field["name"]: field["type"] for field in customer360.schema_of(uri)["fields"]}
    assert kinds["m"] == {"type": "map", "keyType": "string", "valueType": "long",
                          "valueContainsNull": True}
    wanted = json.loads(json.dumps(MAPS))
    for row in wanted:
        for value in (row["o"] or {}).values():
            if value:
                value["n"] = decimal.Decimal(value["n"])
    found = sorted(as_maps(delta_peers[peer](uri)), key=lambda row: row["id"])
    assert found == wanted
    assert smelt.sql("SELECT * FROM raw.t ORDER BY id", "--lake", lake) == MAPS
    assert smelt.sql("SELECT m['a'] AS a, o.x.n AS n FROM raw.t WHERE id < 3 ORDER BY id",
                     "--lake", lake) == [{"a": 1, "n": BIG}, {"a": None, "n": None}]


def test_maps_by_parquet(smelt, tmp_path):
    import duckdb
    import pyarrow.parquet as pq

    (tmp_path / "m.json").write_text("".join(json.dumps(row) + "\n" for row in MAPS))
    out = tmp_path / "m.parquet"
    smelt("sql", f"SELECT * FROM read_json('{tmp_path}/m.json', columns => {MAP_COLUMNS}) ORDER BY id",
          "-o", out)
    assert as_maps(pq.read_table(out).to_pylist()) == MAPS
    assert duckdb.sql(f"SELECT typeof(m), m['a'], o['x'].n FROM '{out}' WHERE id = 1").fetchall() == [
        ("MAP(VARCHAR, BIGINT)", 1, BIG)]
    assert smelt.sql(f"SELECT * FROM '{out}' ORDER BY id") == MAPS
    there = tmp_path / "there.parquet"
    duckdb.sql(f"COPY (SELECT id, m, o FROM '{out}') TO '{there}'")
    assert smelt.sql(f"SELECT * FROM '{there}' ORDER BY id") == MAPS


def test_smelt_reads_maps(smelt, lake):
    uri = lake / "maps"
    kind = pa.map_(pa.string(), pa.int64())
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64()),
                     "m": pa.array([[("a", 1), ("b", None)], [], None], kind)})
    write_with_deltalake(uri, rows)
    assert smelt.sql(f"SELECT id, m, m['a'] AS a, cardinality(m) AS n FROM delta_scan('{uri}') ORDER BY id"
                     ) == [{"id": 1, "m": {"a": 1, "b": None}, "a": 1, "n": 2},
                           {"id": 2, "m": {}, "a": None, "n": 0},
                           {"id": 3, "m": None, "a": None, "n": None}]


# ---- behind a checkpoint ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind(month, tmp_path_factory):
    """The lake, with the commits before each table's last checkpoint gone."""
    copy = tmp_path_factory.mktemp("behind") / "lake"
    shutil.copytree(month, copy)
    for table in TABLES:
        log = copy / table / "_delta_log"
        last = json.loads((log / "_last_checkpoint").read_text())["version"]
        assert last >= 10
        for version in range(last):
            (log / f"{version:020}.json").unlink()
    return copy


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("peer", PEERS)
def test_peer_reads_behind_a_checkpoint(month, behind, delta_peers, peer, table):
    wanted = table_rows(month / table)
    assert in_order(delta_peers[peer](behind / table)) == in_order(wanted)


@pytest.mark.parametrize("table", TABLES)
def test_smelt_reads_behind_a_checkpoint(smelt, month, behind, table):
    sql = f"SELECT * FROM {table.replace('/', '.')}"
    before = smelt.sql(sql, "--lake", month)
    assert len(before) > 100
    assert smelt.sql(sql, "--lake", behind) == before


def test_smelt_goes_on_behind_a_checkpoint(smelt, behind, month, tmp_path, delta_peers):
    """Another load: what was loaded is known from the checkpoint, and nothing comes twice."""
    lake = tmp_path / "lake"
    shutil.copytree(behind, lake)
    logs = generate(smelt, tmp_path / "all", days=15, rows=600, contracts=300, damage=0.05, seed=5)
    source = month.parent / "logs"
    shutil.copytree(source, tmp_path / "logs", copy_function=shutil.copy2)
    shutil.copy2(logs.files[-1], tmp_path / "logs")
    report = run(smelt, "delta", tmp_path / "logs", lake)
    assert report["files"]["read"] == 1 and report["files"]["skipped"] == 14
    rows = delta_peers["deltalake"](lake / "bronze/viewing_log")
    undisturbed = tmp_path / "undisturbed"
    run(smelt, "delta", tmp_path / "logs", undisturbed)
    assert in_order(rows) == in_order(table_rows(undisturbed / "bronze/viewing_log"))


def test_table_commands_tell_what_the_log_says(smelt, month):
    import deltalake

    uri = month / "bronze/viewing_log"
    opened = deltalake.DeltaTable(str(uri))
    shown = smelt("table", "show", uri).stdout
    assert f"{len(table_rows(uri)):,}" in shown
    assert str(opened.version()) in shown
    assert all(name in shown for name in customer360.COLUMNS)
    assert len(smelt("table", "history", uri).stdout.splitlines()) == opened.version() + 1
    files = smelt("table", "files", uri).stdout
    for path in opened.file_uris():
        assert path.rsplit("/", 1)[-1] in files


# ---- smelt reads the peers' tables ------------------------------------------------------------

INSTANT = datetime.datetime(2022, 4, 1, 12, 30, 15, 123456, tzinfo=datetime.timezone.utc)


def all_types(first, n):
    """Rows of every primitive type, a struct and a list, each with a NULL now and then."""
    rows = range(first, first + n)

    def column(kind, value, every):
        return pa.array([None if row % every == 0 else value(row) for row in rows], kind)
    return pa.table({
        "id": pa.array(rows, pa.int64()),
        "tiny": column(pa.int8(), lambda row: row % 256 - 128, 7),
        "small": column(pa.int16(), lambda row: -row, 5),
        "normal": column(pa.int32(), lambda row: row * 1000, 6),
        "big": column(pa.int64(), lambda row: 2**62 + row, 4),
        "real": column(pa.float32(), lambda row: row / 4, 9),
        "double": column(pa.float64(), lambda row: row / 3, 8),
        "flag": column(pa.bool_(), lambda row: row % 3 == 0, 11),
        "text": column(pa.string(), lambda row: f"é{row}" * (row % 4), 3),
        "bytes": column(pa.binary(), lambda row: bytes([row % 256, 0]), 13),
        "day": column(pa.date32(), lambda row: datetime.date(1969, 12, 30) + datetime.timedelta(row),
                      10),
        "moment": column(pa.timestamp("us", tz="UTC"),
                         lambda row: INSTANT + datetime.timedelta(seconds=row), 12),
        "price": column(pa.decimal128(18, 3), lambda row: decimal.Decimal(row * 7 - 50).scaleb(-3), 6),
        "part": pa.array([f"p{row % 3}" for row in rows], pa.string()),
    })


def nested(n):
    kind = pa.struct([("a", pa.int64()), ("b", pa.string())])
    return pa.table({
        "id": pa.array(range(n), pa.int64()),
        "s": pa.array([None if row % 4 == 0 else {"a": row, "b": f"b{row}" if row % 3 else None}
                       for row in range(n)], kind),
        "l": pa.array([None if row % 5 == 0 else list(range(row % 4)) for row in range(n)],
                      pa.list_(pa.int64())),
    })


def as_json(value):
    """A Python value as smelt's JSON writes it, then read."""
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, (datetime.date, decimal.Decimal)):
        return str(value)
    return value


def compare_by_parquet(smelt, uri, wanted, tmp_path):
    """smelt's rows of a table, exactly: by a Parquet file, read by pyarrow."""
    import pyarrow.parquet as pq

    out = tmp_path / "out.parquet"
    smelt("sql", f"SELECT * FROM delta_scan('{uri}') ORDER BY id", "-o", out)
    found = pq.read_table(out)
    wanted = wanted.sort_by("id")
    assert sorted(found.column_names) == sorted(wanted.column_names)
    for name in wanted.column_names:
        left, right = found[name].to_pylist(), wanted[name].to_pylist()
        assert left == right, (name, [pair for pair in zip(left, right) if pair[0] != pair[1]][:3])


def write_with_deltalake(uri, rows, **options):
    import deltalake

    deltalake.write_deltalake(str(uri), rows, **options)


def write_with_polars(uri, rows, mode="error", partition_by=None):
    import polars

    options = {"partition_by": partition_by} if partition_by else {}
    polars.from_arrow(rows).write_delta(str(uri), mode=mode, delta_write_options=options)


WRITERS = {"deltalake": write_with_deltalake, "polars": write_with_polars}


@pytest.mark.parametrize("partitioned", [False, True], ids=["whole", "partitioned"])
@pytest.mark.parametrize("writer", WRITERS)
def test_smelt_reads_all_types(smelt, lake, tmp_path, writer, partitioned):
    uri, rows = lake / "types", all_types(0, 500)
    WRITERS[writer](uri, rows, **({"partition_by": ["part"]} if partitioned else {}))
    compare_by_parquet(smelt, uri, rows, tmp_path)


@pytest.mark.parametrize("writer", WRITERS)
def test_smelt_reads_appended_and_overwritten(smelt, lake, tmp_path, writer):
    uri, write = lake / "t", WRITERS[writer]
    write(uri, all_types(0, 100))
    write(uri, all_types(100, 50), mode="append")
    compare_by_parquet(smelt, uri, pa.concat_tables([all_types(0, 100), all_types(100, 50)]), tmp_path)
    write(uri, all_types(500, 20), mode="overwrite")
    compare_by_parquet(smelt, uri, all_types(500, 20), tmp_path)
    n = f"SELECT count(*) AS n FROM delta_scan('{uri}', version => 1)"
    assert smelt.sql(n) == [{"n": 150}]


@pytest.mark.parametrize("writer", WRITERS)
def test_smelt_reads_nested(smelt, lake, writer):
    uri, rows = lake / "nested", nested(60)
    WRITERS[writer](uri, rows)
    found = smelt.sql(f"SELECT id, s.a AS a, s.b AS b FROM delta_scan('{uri}') ORDER BY id")
    wanted = [{"id": row["id"], "a": (row["s"] or {}).get("a"), "b": (row["s"] or {}).get("b")}
              for row in rows.to_pylist()]
    assert found == wanted
    whole = smelt.sql(f"SELECT id, s, l FROM delta_scan('{uri}') ORDER BY id")
    assert whole == as_json(rows.to_pylist())


def test_smelt_reads_a_partition_of_each_type(smelt, lake, tmp_path):
    import deltalake

    for name in ("tiny", "small", "normal", "big", "flag", "text", "day", "price", "moment", "double",
                 "real"):
        uri, rows = lake / name, all_types(0, 40)
        if name == "price":  # delta-rs cannot write a partition of a negative decimal
            rows = rows.filter(pa.array([value is None or value >= 0
                                         for value in rows["price"].to_pylist()]))
        deltalake.write_deltalake(str(uri), rows, partition_by=[name])
        if name == "text":  # an empty text as a partition's value is NULL, the protocol says
            texts = [value or None for value in rows["text"].to_pylist()]
            rows = rows.set_column(rows.column_names.index("text"), "text", pa.array(texts))
        compare_by_parquet(smelt, uri, rows, tmp_path)
        value = {"text": "'é1'", "day": "DATE '1970-01-05'", "flag": "true"}.get(name)
        if value:
            found = smelt.sql(f"SELECT id FROM delta_scan('{uri}') WHERE {name} = {value} ORDER BY id")
            typed = {"text": "é1", "day": datetime.date(1970, 1, 5), "flag": True}[name]
            assert [row["id"] for row in found] == [
                row["id"] for row in rows.to_pylist() if row[name] == typed]


def test_smelt_reads_behind_deltalakes_checkpoint(smelt, lake, tmp_path):
    import deltalake

    uri = lake / "t"
    for n in range(13):
        write_with_deltalake(uri, all_types(n * 10, 10), **({"mode": "append"} if n else {}))
    deltalake.DeltaTable(str(uri)).create_checkpoint()
    for n in range(13, 15):
        write_with_deltalake(uri, all_types(n * 10, 10), mode="append")
    wanted = all_types(0, 150)
    compare_by_parquet(smelt, uri, wanted, tmp_path)
    for version in range(12):
        (uri / "_delta_log" / f"{version:020}.json").unlink()
    compare_by_parquet(smelt, uri, wanted, tmp_path)


def test_smelt_reads_what_was_deleted_and_merged_by_deltalake(smelt, lake, tmp_path):
    import deltalake

    uri = lake / "t"
    write_with_deltalake(uri, all_types(0, 100))
    table = deltalake.DeltaTable(str(uri))
    table.delete("id % 3 = 0")
    table.optimize.compact()
    rows = all_types(0, 100)
    wanted = rows.filter(pa.array([row % 3 != 0 for row in range(100)]))
    compare_by_parquet(smelt, uri, wanted, tmp_path)


def test_numbers_that_are_no_numbers(smelt, lake):
    uri = lake / "t"
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, None]
    write_with_deltalake(uri, pa.table({"id": pa.array(range(7), pa.int64()),
                                        "x": pa.array(values, pa.float64())}))
    rows = smelt.sql(f"SELECT id FROM delta_scan('{uri}') WHERE x > 1e308 ORDER BY id")
    assert [row["id"] for row in rows] == [0, 1, 5]  # NaN is above all numbers
