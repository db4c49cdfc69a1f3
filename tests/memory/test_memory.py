"""The memory limit holds for the process: logs of five times LIMIT are loaded and grouped within
it, by few keys and by more keys than fit."""
import re

import duckdb
import pytest

from customer360 import generate, hashes, read_table, run

LIMIT = 96_000_000


@pytest.fixture(scope="module")
def large(program, tmp_path_factory):
    """500 MB of logs."""
    folder = tmp_path_factory.mktemp("large")
    return generate(program, folder / "logs", days=10, rows=300_000, contracts=2000, seed=21)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("form", ["direct", "delta"])
def test_logs_larger_than_the_limit(smelt, lake, large, form, threads):
    report = run(smelt, form, large.folder, lake, "--memory-limit", LIMIT, "--threads", threads)
    assert report["lines"]["kept"] == 3_000_000
    assert report["peak_bytes"] <= LIMIT
    assert read_table(lake / "gold" / "customer360").num_rows > 1500


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_more_groups_than_fit(smelt, lake, tmp_path, form):
    logs = generate(smelt, tmp_path / "logs", days=2, rows=400_000, contracts=10_000_000, seed=22)
    free = run(smelt, form, logs.folder, lake)
    wanted = hashes(lake / "gold" / "customer360")
    again = tmp_path / "again"
    report = run(smelt, form, logs.folder, again, "--memory-limit", LIMIT)
    assert report["lines"] == free["lines"] and report["peak_bytes"] <= LIMIT
    assert hashes(again / "gold" / "customer360") == wanted


def test_a_limit_that_is_named_would_do(smelt, tmp_path):
    """One group's own state is never spilled: a query that does not fit fails, and runs with the limit that
    its message asks for."""
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT range AS id FROM range(3000000)) TO '{tmp_path}/t.parquet'")
    query = f"SELECT count(DISTINCT id) AS n FROM '{tmp_path}/t.parquet'"
    limit = LIMIT
    for _ in range(6):
        done = smelt("sql", query, "--memory-limit", limit, check=False)
        if done.returncode == 0:
            return
        assert done.returncode == 1
        asked = re.search(r"to ([0-9.]+)MB or more", done.stderr)
        assert asked, done.stderr
        assert float(asked.group(1)) * 1e6 > limit, done.stderr
        limit = int(float(asked.group(1)) * 1e6)
    pytest.fail(f"six limits that were asked for did not do: {done.stderr}")


def test_more_partitions_than_could_be_open(smelt, tmp_path):
    """Each open data file reserves megabytes; rows of 600 partitions come mixed."""
    with duckdb.connect() as db:
        db.execute("COPY (SELECT range AS id, range * 7919 % 600 AS part, 'text ' || range AS x "
                   f"FROM range(30000)) TO '{tmp_path}/rows.parquet'")
    (tmp_path / "p.yaml").write_text(
        "name: p\nvars: {lake: {type: uri, default: ./lake}}\nlake: lake\n"
        "tasks: [{table: l.t, sql: t.sql, partition_by: part}]\n")
    (tmp_path / "t.sql").write_text("SELECT * FROM 'rows.parquet'")
    report = smelt.json("run", "p.yaml", "--memory-limit", LIMIT, "--json", timeout=600)
    assert report["peak_bytes"] <= LIMIT
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 600
    found = smelt.sql("SELECT count(*) AS n, count(DISTINCT part) AS parts, sum(id) AS ids FROM l.t",
                      "--lake", tmp_path / "lake", "--memory-limit", LIMIT)
    assert found == [{"n": 30000, "parts": 600, "ids": 30000 * 29999 // 2}]
