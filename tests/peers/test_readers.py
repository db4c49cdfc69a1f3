"""Which reader knows which table feature: src/delta/readers.def says it, and each of its cells is
tried here (Spark's in test_spark.py). The real engine reads a table with the feature: it gives the
rows where the cell is true, and fails or gives others where it is false."""
import json
import re

import pytest

import clickhouse
import feature_tables
from common import ROOT
from engines import read_with_deltalake, read_with_duckdb, read_with_polars

READERS = (ROOT / "src" / "delta" / "readers.def").read_text()
FEATURES = re.search(r"SM_READER\(name, (.*?)\)", READERS)[1].split(", ")
CELLS = {name: dict(zip(FEATURES, cells.split(", "), strict=True)) for name, cells in
         re.findall(r'^SM_READER\("([\w-]+)", ([\w, ]+)\)', READERS, re.M)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def tables(program, home):
    return {feature: (home / feature, make(program, home / feature))
            for feature, make in feature_tables.MAKERS.items()}


@pytest.fixture(scope="module")
def read(home, duckdb_delta):
    """It reads below its own folder only."""
    clickhouse.require()
    server = clickhouse.ClickHouse(home)

    def read_with_clickhouse(uri):
        text = server.query(f"SELECT * FROM deltaLakeLocal('{uri}') FORMAT JSONEachRow "
                            "SETTINGS output_format_json_quote_64bit_integers = 0")
        return [json.loads(line) for line in text.splitlines()]
    yield {"clickhouse": read_with_clickhouse, "delta-rs": read_with_deltalake,
           "duckdb": lambda uri: read_with_duckdb(duckdb_delta, uri), "polars": read_with_polars}
    server.stop()


def is_read(reader, uri, wanted):
    try:
        return feature_tables.texts([*row.values()] for row in reader(uri)) == wanted
    except Exception as error:  # each engine has errors of its own
        print(error)
        return False


def test_the_table_is_whole(tables, smelt):
    """It has the features that there are tables for, and smelt reads all of these."""
    assert list(tables) == FEATURES
    for uri, wanted in tables.values():
        rows = smelt.sql(f"SELECT * FROM '{uri}'")
        assert feature_tables.texts([*row.values()] for row in rows) == wanted


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", [name for name in CELLS if name != "spark"])
def test_a_cell(tables, read, name, feature):
    uri, wanted = tables[feature]
    assert is_read(read[name], uri, wanted) == (CELLS[name][feature] == "true")


def test_a_declared_reader_stays_able(smelt, tables, home):
    """Whatever is about to turn a feature on, and the declaration itself."""
    lake = home / "declared"
    feature_tables.plain(smelt, lake)
    smelt("table", "alter", lake, "--readers", "polars,delta-rs")
    for change, said in (
            (["--enable", "column-mapping"], "read by polars, which does not know the table feature columnMapping"),
            (["--enable", "type-widening"], "read by delta-rs, which does not know the table feature typeWidening"),
            (["SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')"], "table feature v2Checkpoint")):
        done = smelt("table", "alter", lake, *change, check=False)
        assert done.returncode == 1 and said in done.stderr
    assert smelt.json("table", "show", lake, "--json")["version"] == 1
    smelt("table", "alter", lake, "--readers", "duckdb", "--enable", "column-mapping")
    done = smelt("table", "alter", lake, "--readers", "duckdb,polars", check=False)
    assert done.returncode == 1 and "columnMapping" in done.stderr
    shown = smelt.json("table", "show", lake, "--json")
    assert shown["read_by"] == [name for name in CELLS if CELLS[name]["columnMapping"] == "true"]
    assert "columnMapping" in shown["features"]
    assert "read by" in smelt("table", "show", lake).stdout
