"""Peers read tables of smelt with filters: what they skip by the statistics of the log and the
footers has no row that the filter wants (tests/edges.py). Spark: test_spark.py."""
import json
import math

import pytest

import clickhouse
from edges import KINDS, WITHOUT_BOUNDS, make_table, predicates, wrong_filters


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("edges")


@pytest.fixture(scope="module")
def table(program, home):
    """table(name): the table of a type, made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = make_table(program, home / name, name)
        return made[name]
    return get


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


# ---- what is written --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float", "double"])
def test_bounds_stand_in_log_and_footers_where_no_nan_is(table, name):
    import pyarrow.parquet as pq

    stats = {}
    for commit in sorted((table(name) / "_delta_log").glob("*.json")):
        for action in map(json.loads, commit.read_text().splitlines()):
            if "add" in action:
                stats[action["add"]["path"]] = json.loads(action["add"]["stats"])
    n_with_nan = 0
    for path, said in stats.items():
        file = pq.ParquetFile(table(name) / path)
        chunk = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("x"))
        values = [value for value in file.read()["x"].to_pylist() if value is not None]
        has_nan = any(map(math.isnan, values))
        n_with_nan += has_nan
        has_bounds = bool(values) and not has_nan
        assert chunk.statistics.has_min_max == has_bounds, path
        assert chunk.has_column_index == (not has_nan), path
        assert ("minValues" in said) == ("maxValues" in said) == (not has_nan), said
        if not has_bounds:
            assert has_nan or "x" not in said["minValues"]
            continue
        bounds = [float(said[end]["x"]) for end in ("minValues", "maxValues")]
        assert bounds == [min(values), max(values)] == [chunk.statistics.min, chunk.statistics.max]
        for end, sign in zip(bounds, (-1.0, 1.0)):
            assert end != 0 or math.copysign(1, end) == sign
    assert 3 < n_with_nan < len(stats)


# ---- DuckDB -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_duckdb(table, duckdb_delta, name):
    kind, values = KINDS[name]
    literals = [f"CAST({quoted(value)} AS {kind})" for value in values]
    assert wrong_filters(duckdb_delta.query, f"delta_scan('{table(name)}')",
                         predicates(literals)) == []


@pytest.mark.parametrize("name", WITHOUT_BOUNDS)
def test_duckdb_without_bounds(table, duckdb_delta, name):
    filters = [one.format(blob="BLOB") for one in WITHOUT_BOUNDS[name][3]]
    assert wrong_filters(duckdb_delta.query, f"delta_scan('{table(name)}')", filters) == []


# ---- delta-rs ---------------------------------------------------------------------------------

ARROW = {"boolean": "Boolean", "tinyint": "Int8", "smallint": "Int16", "integer": "Int32",
         "bigint": "Int64", "float": "Float32", "double": "Float64", "varchar": "Utf8",
         "date": "Date32", "recent_date": "Date32", "timestamp": "Timestamp(Microsecond, None)",
         "timestamptz": 'Timestamp(Microsecond, Some("UTC"))'}


def query_of_delta_rs(uri):
    import deltalake
    import pyarrow

    def query(sql):
        context = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(uri)))
        answer = pyarrow.table(context.execute(sql).read_all())
        return list(zip(*(column.to_pylist() for column in answer.columns)))
    return query


@pytest.mark.parametrize("name", KINDS)
def test_delta_rs(table, name):
    kind, values = KINDS[name]
    arrow = ARROW.get(name, kind.replace("DECIMAL", "Decimal128"))
    literals = [f"arrow_cast({quoted(value)}, '{arrow}')" for value in values]
    assert wrong_filters(query_of_delta_rs(table(name)), "t", predicates(literals)) == []


@pytest.mark.parametrize("name", WITHOUT_BOUNDS)
def test_delta_rs_without_bounds(table, name):
    filters = [one.format(blob="BYTEA").replace("x.a", "x['a']") for one in WITHOUT_BOUNDS[name][3]]
    assert wrong_filters(query_of_delta_rs(table(name)), "t", filters) == []


def wrong_filters_of_pyarrow(uri, filters):
    """delta-rs gives a dataset whose files have what the log's statistics say as expressions."""
    import deltalake

    dataset = deltalake.DeltaTable(str(uri)).to_pyarrow_dataset()
    everything = dataset.to_table(columns=["id", "x"])
    assert len(everything) > 10
    wrong = []
    for what, one in filters:
        found = set(dataset.to_table(columns=["id"], filter=one)["id"].to_pylist())
        wanted = set(everything.filter(one)["id"].to_pylist())
        if found != wanted:
            wrong.append((what, str(one), sorted(found), sorted(wanted)))
    return wrong


@pytest.mark.parametrize("name", KINDS)
def test_delta_rs_by_pyarrow(table, name):
    import deltalake
    import pyarrow.compute as pc

    rows = deltalake.DeltaTable(str(table(name))).to_pyarrow_dataset().to_table().sort_by("id")
    # Of what pyarrow knows bounds it takes each value to be below NaN, and else none.
    literals = [pc.scalar(value) for value in rows["x"][:len(KINDS[name][1])] if str(value) != "nan"]
    x = pc.field("x")
    filters = [("IS NULL", x.is_null()), ("IS NOT NULL", x.is_valid())]
    for one in literals:
        filters += [("=", x == one), ("<>", x != one), ("<", x < one), ("<=", x <= one),
                    (">", x > one), (">=", x >= one)]
    assert wrong_filters_of_pyarrow(table(name), filters) == []


@pytest.mark.parametrize("name", WITHOUT_BOUNDS)
def test_delta_rs_by_pyarrow_without_bounds(table, name):
    import pyarrow.compute as pc

    x = pc.field("x")
    filters = {"blob": [("=", x == b"a"), (">", x > b"a"), ("IS NULL", x.is_null())],
               "struct": [("=", pc.field("x", "a") == 1), (">", pc.field("x", "a") > 2)]}[name]
    assert wrong_filters_of_pyarrow(table(name), filters) == []


def test_delta_rs_by_pyarrow_loses_structs_that_are_null(table):
    """Its own fault, in docs/limits.md too: a struct without bounds in the log is never NULL there."""
    import pyarrow.compute as pc

    wrong = wrong_filters_of_pyarrow(table("struct"), [("IS NULL", pc.field("x").is_null())])
    assert [(what, found) for what, _, found, _ in wrong] == [("IS NULL", [])]


# ---- Polars -----------------------------------------------------------------------------------


def polars_filters(x, literals):
    yield "IS NULL", x.is_null()
    yield "IS NOT NULL", x.is_not_null()
    for i, literal in enumerate(literals):
        other = literals[(i + 1) % len(literals)]
        yield "=", x == literal
        yield "<>", x != literal
        yield "<", x < literal
        yield "<=", x <= literal
        yield ">", x > literal
        yield ">=", x >= literal
        yield "BETWEEN", x.is_between(literal, other)


def wrong_filters_of_polars(uri, filters):
    import polars

    frame = polars.scan_delta(str(uri))
    everything = frame.collect()
    assert len(everything) > 10
    wrong = []
    for what, one in filters:
        found = set(frame.filter(one).select("id").collect()["id"])
        wanted = set(everything.filter(one)["id"])
        if found != wanted:
            wrong.append((what, str(one), sorted(found), sorted(wanted)))
    return wrong


@pytest.mark.parametrize("name", KINDS)
def test_polars(table, name):
    import polars

    x = polars.read_delta(str(table(name))).sort("id")["x"]
    literals = [polars.lit(value, dtype=x.dtype) for value in x.head(len(KINDS[name][1])).to_list()]
    assert wrong_filters_of_polars(table(name), polars_filters(polars.col("x"), literals)) == []


@pytest.mark.parametrize("name", WITHOUT_BOUNDS)
def test_polars_without_bounds(table, name):
    import polars

    x = polars.col("x")
    filters = {"blob": [("=", x == b"a"), (">", x > b"a")],
               "struct": [("=", x.struct.field("a") == 1), (">", x.struct.field("a") > 2)]}[name]
    assert wrong_filters_of_polars(table(name), filters) == []


# ---- ClickHouse -------------------------------------------------------------------------------

# It reads no dates before 1900 or after 2299.
CLICKHOUSE = {"boolean": "Bool", "tinyint": "Int8", "smallint": "Int16", "integer": "Int32",
              "bigint": "Int64", "float": "Float32", "double": "Float64", "varchar": "String",
              "recent_date": "Date32", "timestamp": "DateTime64(6, 'UTC')",
              "timestamptz": "DateTime64(6, 'UTC')"}


@pytest.fixture(scope="module")
def query_of_clickhouse(home):
    """It reads below its own folder only."""
    clickhouse.require()
    server = clickhouse.ClickHouse(home)

    def query(sql):
        text = server.query(sql + " FORMAT JSONCompactEachRow")
        return [json.loads(line) for line in text.splitlines()]
    yield query
    server.stop()


@pytest.mark.parametrize("name", [name for name in KINDS if name != "date"])
def test_clickhouse(table, query_of_clickhouse, name):
    kind, values = KINDS[name]
    literals = [f"CAST({quoted(value)} AS {CLICKHOUSE.get(name, kind)})"
                for value in (value.replace("\\", "\\\\") for value in values)]
    assert wrong_filters(query_of_clickhouse, f"deltaLakeLocal('{table(name)}')",
                         predicates(literals)) == []


def test_clickhouse_without_bounds(table, query_of_clickhouse):
    """Of structs: of BLOBs it refuses the filter."""
    assert wrong_filters(query_of_clickhouse, f"deltaLakeLocal('{table('struct')}')",
                         WITHOUT_BOUNDS["struct"][3]) == []
