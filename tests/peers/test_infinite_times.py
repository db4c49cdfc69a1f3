"""Infinite dates and timestamps in Delta tables: they are kept, and have no bounds in the log that
a peer could not read, so that no filter of a peer skips them."""
import json

import pytest

from edges import load, predicates, wrong_filters

VALUES = ["-infinity", "1970-01-01", "2022-04-01", "infinity"]


@pytest.fixture(scope="module")
def table(program, tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = load(program, tmp_path_factory.mktemp(kind), "VARCHAR", kind, VALUES)
        return made[kind]
    return get


def stats_of(table):
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                yield json.loads(action["add"]["stats"])


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_infinity_in_a_delta_table(smelt, duckdb_delta, table, kind):
    place = table(kind)
    rows = smelt.sql(f"SELECT x::VARCHAR AS x, count(*) AS n FROM delta_scan('{place}') GROUP BY ALL ORDER BY min(id)")
    assert {row["x"][:9] for row in rows if row["x"]} == {"-infinity", "1970-01-0", "2022-04-0", "infinity"}
    stats = list(stats_of(place))
    bounded = [one for one in stats if "maxValues" in one]
    assert 0 < len(bounded) < len(stats)  # of the files without infinity only
    assert not any("x" in one["maxValues"] and not one["maxValues"]["x"].startswith(("1970", "2022")) for one in bounded)
    literals = [f"CAST('{value}' AS {kind})" for value in VALUES]
    assert wrong_filters(duckdb_delta.query, f"delta_scan('{place}')", predicates(literals)) == []
    for literal in literals:
        for operator in ("=", "<", ">", "<=", ">="):
            where = f"x {operator} {literal}"
            want = smelt.sql(f"SELECT count(*) AS n FROM delta_scan('{place}') WHERE ({where}) IS TRUE")
            assert smelt.sql(f"SELECT count(*) AS n FROM delta_scan('{place}') WHERE {where}") == want, where


def test_delta_rs_reads_the_ends_of_the_types(table):
    deltalake = pytest.importorskip("deltalake")
    import pyarrow

    for kind, of, infinity in [("DATE", pyarrow.int32(), 2 ** 31 - 1), ("TIMESTAMP", pyarrow.int64(), 2 ** 63 - 1)]:
        rows = deltalake.DeltaTable(str(table(kind))).to_pyarrow_dataset().to_table()
        numbers = set(rows["x"].cast(of).to_pylist())
        assert {-infinity, infinity} <= numbers, kind
