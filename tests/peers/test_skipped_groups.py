"""How many files and row groups a query on one customer reads, before and after the table is clustered: as smelt
and DuckDB tell it of themselves. (Spark: test_spark_skips.py.)"""
import json
import re

import pytest

from engines import DuckdbDelta
from skipped_groups import DAYS, LEAST_SKIPPED, ViewingLog

# What DuckDB's profile says of each operator.
METRICS = {"EXTRA_INFO": "true", "OPERATOR_TYPE": "true", "OPERATOR_ROW_GROUPS_SCANNED": "true",
           "OPERATOR_TOTAL_ROW_GROUPS_TO_SCAN": "true"}


@pytest.fixture(scope="module")
def log(program, tmp_path_factory):
    return ViewingLog(program, tmp_path_factory.mktemp("skipped"))


@pytest.fixture(scope="module")
def duckdb():
    """One of its own, as its profile is a setting of the connection."""
    server = DuckdbDelta()
    server.query("PRAGMA enable_profiling = 'no_output'")
    server.query(f"SET custom_profiling_settings = '{json.dumps(METRICS)}'")
    yield server
    server.close()


def scans_of(node):
    found = [node] if node.get("operator_type") == "TABLE_SCAN" else []
    return found + [scan for child in node.get("children", []) for scan in scans_of(child)]


def by_duckdb(server, query):
    """The files and row groups that DuckDB says that it has read for a query."""
    scan, = scans_of(json.loads(server.query("EXPLAIN (ANALYZE, FORMAT JSON) " + query)[0][-1]))
    return int(scan["extra_info"]["Total Files Read"]), scan["operator_row_groups_scanned"]


def by_smelt(program, query):
    told = program("explain", "--analyze", query).stdout
    return tuple(map(int, re.search(r" (\d+) files?, (\d+) morsels?", told).groups()))


def test_most_row_groups_are_left_out(program, log, duckdb):
    def queries(table):
        every = f"SELECT count(*), sum(TotalDuration) FROM {table}"
        return every, f"{every} WHERE Contract = '{log.contract}'"

    def count():
        """By engine, of the whole table and of one customer: files and row groups that are read."""
        smelt, duck = queries(f"'{log.uri}'"), queries(f"delta_scan('{log.uri}')")
        assert duckdb.query(duck[1]) == [(log.rows, log.seconds)]
        return {"smelt": [by_smelt(program, query) for query in smelt],
                "DuckDB": [by_duckdb(duckdb, query) for query in duck]}
    before = count()
    log.cluster()
    after = count()
    print(f"\n(files, row groups) read of the whole table and of one customer\nbefore {before}\nafter  {after}")
    for engine in after:
        assert before[engine] == [(DAYS, DAYS), (DAYS, DAYS)]
        (files, groups), (few_files, few_groups) = after[engine]
        assert groups > 100 and few_groups <= (1 - LEAST_SKIPPED) * groups, after
        assert few_files <= files / 2, after
    assert after["smelt"][0] == after["DuckDB"][0]
