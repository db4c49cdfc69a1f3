"""Both ways of GROUP BY (records of packed words, and columns with states) against DuckDB: many and
few groups, NULL among keys and values, long keys, FILTER, sums that overflow on the way, distinct
values over more than 64 days. An avg() among the aggregates makes smelt use the second way."""
import datetime
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAY = datetime.date(2022, 4, 1)
HUGE = 2**62


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = random.Random(7)
    n = 40_000

    def maybe(value):
        return None if rng.random() < 0.05 else value

    columns = {
        "s": pa.array([maybe(f"k{rng.randrange(9000)}") for _ in range(n)]),
        "long": pa.array([maybe("a key of more than twelve bytes, number "
                                f"{rng.randrange(700)}") for _ in range(n)]),
        "i": pa.array([maybe(rng.randrange(-500, 500)) for _ in range(n)], pa.int64()),
        "t": pa.array([maybe(rng.randrange(-3, 3)) for _ in range(n)], pa.int8()),
        "b": pa.array([maybe(rng.random() < 0.5) for _ in range(n)]),
        "d": pa.array([maybe(DAY + datetime.timedelta(rng.randrange(30))) for _ in range(n)]),
        "far": pa.array([maybe(DAY + datetime.timedelta(rng.randrange(-400, 400)))
                         for _ in range(n)]),
        # one after the other they pass 2^63 and come back
        "huge": pa.array([HUGE if k % 4 < 2 else -HUGE for k in range(n)], pa.int64()),
        "four": pa.array([k // 4 % 100 for k in range(n)], pa.int32()),
        "u": pa.array([maybe(rng.randrange(2**63, 2**64)) for _ in range(n)], pa.uint64()),
    }
    path = tmp_path_factory.mktemp("groups") / "t.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=7000)
    return path


KEYS = ["s", "long", "i", "t", "b", "d", "t, b", "s, d", "long, s, t"]
ITEMS = ("count(*) AS n, count(i) AS ni, sum(i) AS si, min(i) AS lo, max(i) AS hi, "
         "sum(i) FILTER (WHERE t > 0) AS sf, count(*) FILTER (WHERE s LIKE 'k1%') AS nf, "
         "min(d) AS first, max(far) AS last, max(u) AS hu, min(u) FILTER (WHERE b) AS lu")
DISTINCT = ", count(DISTINCT d) AS nd, count(DISTINCT far) AS nfar, count(DISTINCT t) AS nt"


def rows(answer):
    return sorted((tuple(None if v is None else str(v) for v in row) for row in answer), key=repr)


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("with_distinct", [False, True])
def test_groups(smelt, table, keys, with_distinct):
    items = ITEMS + (DISTINCT if with_distinct else "")
    query = f"SELECT {keys}, {items} FROM '{table}' GROUP BY {keys}"
    wanted = duckdb.sql(query)
    n_columns = len(wanted.columns)
    wanted = rows(wanted.fetchall())
    unsorted = []
    for threads in (1, 2, 7):
        for more in ("", ", avg(i) AS a"):
            text = f"SELECT {keys}, {items}{more} FROM '{table}' GROUP BY {keys}"
            answer = [tuple(row.values())[:n_columns]
                      for row in smelt.sql(text, "--threads", threads)]
            unsorted.append(answer)
            assert rows(answer) == wanted
    assert all(answer == unsorted[0] for answer in unsorted), "another order"


def test_sums_that_run_over_and_come_back(smelt, table):
    for threads in (1, 7):
        answer = smelt.sql(f"SELECT four, sum(huge) AS s, sum(-huge) AS m FROM '{table}' "
                           "GROUP BY four", "--threads", threads)
        assert len(answer) == 100 and all(row["s"] == row["m"] == 0 for row in answer)


def test_a_sum_that_stays_over_names_its_group(smelt, table):
    done = smelt("sql", f"SELECT t, sum(abs(huge)) FROM '{table}' GROUP BY t", check=False)
    assert done.returncode == 1
    assert "in group " in done.stderr and "sum" in done.stderr


def test_expressions_over_few_values(smelt, tmp_path):
    """Text with few different values, within an object: evaluated once a value, not once a row."""
    lines = ['{"x":%d%s}' % (x, "" if x % 11 == 0 else ',"o":null' if x % 11 == 1 else
                             ',"o":{"k":%s,"p":{"q":"%s"}}' % (
                                 "null" if x % 7 == 0 else '"%s"' % "ABCDE"[x % 5], "uv"[x % 2]))
             for x in range(3000)]
    (tmp_path / "few.json").write_text("\n".join(lines) + "\n")
    source = ("read_json('few.json', columns => {x: 'BIGINT', o: 'STRUCT(k VARCHAR, p STRUCT(q "
              "VARCHAR))'})")
    exprs = ["upper(o.k)", "CASE o.k WHEN 'A' THEN 1 WHEN 'B' THEN 2 END", "o.k IN ('A', 'C')",
             "o.k IS NULL", "coalesce(o.k, '-')", "o.k || 'z'", "length(o.p.q) + x",
             "CASE WHEN o.k = 'A' THEN o.p.q ELSE o.k END", "o.p.q = 'u' AND o.k <> 'B'"]
    query = f"SELECT x, {', '.join(f'{e} AS e{i}' for i, e in enumerate(exprs))} FROM "
    duck = source.replace("'few.json'", f"'{tmp_path}/few.json', format => 'newline_delimited'")
    for where in ("", " WHERE o.k IN ('B', 'D')", " WHERE o.p.q = 'v' OR o.k IS NULL"):
        wanted = duckdb.sql(query + duck + where + " ORDER BY x").fetchall()
        answer = [tuple(row.values())
                  for row in smelt.sql(query + source + where + " ORDER BY x", cwd=tmp_path)]
        assert answer == wanted and len(wanted) > 500
