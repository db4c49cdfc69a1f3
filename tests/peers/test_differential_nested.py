"""Random queries on structs and MAPs, over JSON and over Parquet: smelt must answer as DuckDB does,
whichever fields it reads. Also the types that objects get without declared columns.

A failure prints the seed. SMELT_SEED=N runs the same again; SMELT_QUERIES (150) is the number of
queries.
"""
import decimal
import json
import os
import random

import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
QUERIES = int(os.environ.get("SMELT_QUERIES", "150"))

COLUMNS = """{id: 'BIGINT', u: 'UBIGINT',
    s: 'STRUCT(a BIGINT, b VARCHAR, t STRUCT(x DOUBLE, y BIGINT, z STRUCT(p BIGINT, q VARCHAR)), e BIGINT)',
    m: 'MAP(VARCHAR, BIGINT)', o: 'MAP(VARCHAR, STRUCT(n BIGINT, t VARCHAR))'}"""
NUMBERS = ["u", "s.a", "s.t.y", "s.t.z.p", "s['e']", "m['k1']", "m.k2", "m['k' || '3']", "o['k1'].n",
           "cardinality(m)"]
PATHS = NUMBERS + ["s.b", "s.t.x", "s['t']['z'].q", "o['k2'].t", "map_contains(m, 'k3')", "map_keys(m)",
                   "element_at(o, 'k1')", "s.t", "s.t.z", "s", "m"]
SCALARS = [path for path in PATHS if path not in ("s.t", "s.t.z", "s", "m", "map_keys(m)",
                                                  "element_at(o, 'k1')")]


def random_row(rng, number):
    def maybe(value):
        return None if rng.random() < 0.15 else value

    def some(**fields):
        return {name: value() for name, value in fields.items() if rng.random() > 0.2}

    def small():
        return maybe(rng.randrange(5))

    def word():
        return maybe(rng.choice(["", "x", "y", "a text of over twelve bytes"]))

    def keys(value):
        return maybe({f"k{key}": value() for key in rng.sample(range(12), rng.choice([0, 1, 2, 3, 11]))})
    row = some(
        u=lambda: maybe(2**64 - 1 - rng.randrange(4)),
        s=lambda: maybe(some(a=small, b=word, e=small, t=lambda: maybe(some(
            x=lambda: maybe(rng.randrange(20) / 4), y=small,
            z=lambda: maybe(some(p=small, q=word)))))),
        m=lambda: keys(small), o=lambda: keys(lambda: maybe(some(n=small, t=word))))
    return {"id": number, **row}


def query(rng, table):
    def of(name, path):
        return f"{path[:path.index('(')]}({name}.{path[path.index('(') + 1:]}" if "(" in path else (
            f"{name}.{path}")
    one, two, three = rng.sample(PATHS, 3)
    n, k = rng.choice(NUMBERS), rng.choice(NUMBERS)
    scalar, other = rng.choice(SCALARS), rng.choice(SCALARS)
    where = rng.choice(["", f"WHERE {n} > 1", f"WHERE {scalar} IS NULL", f"WHERE {one} IS NOT NULL",
                        f"WHERE {n} = {k} OR {scalar} IS NOT NULL"])
    return rng.choice([
        f"SELECT id, {one} AS a, {two} AS b FROM {table} {where}",
        f"SELECT {scalar} AS g, {other} AS h, count({one}) AS n, min({n}) AS z, count(DISTINCT {k}) AS d"
        f" FROM {table} {where} GROUP BY g, h",
        f"SELECT a.id AS x, b.id AS y, {of('b', one)} AS v, {of('a', two)} AS w FROM {table} a"
        f" {rng.choice(['JOIN', 'LEFT JOIN'])} {table} b ON a.id = {of('b', n)} AND a.id < 4",
        f"SELECT id, rank() OVER (PARTITION BY {scalar} ORDER BY {other} NULLS LAST, id) AS n, {one} AS v"
        f" FROM {table} {where}",
        f"SELECT q.t.y AS y, q.n AS n, q.t.z.q AS q FROM (SELECT s.t AS t, {n} AS n, {one} AS v"
        f" FROM {table} {where}) q WHERE q.t.y IS NOT NULL",
        f"SELECT {n} AS v FROM {table} {where} UNION ALL SELECT {k} FROM {table}",
        f"SELECT q.s.a AS a, q.m['k1'] AS k FROM (SELECT s, m FROM {table} {where}"
        f" UNION ALL SELECT s, m FROM {table}) q",
        f"SELECT sum({n}) AS s, count({one}) AS a, count({two}) AS b FROM {table} {where}",
        f"WITH w AS (SELECT id, s, o FROM {table} ORDER BY id LIMIT 20)"
        f" SELECT a.s.b AS b, x.s.t.z.p AS p, x.o['k1'].t AS t FROM w a JOIN w x ON a.id = x.id",
        f"SELECT (CASE WHEN {n} > 1 THEN s END).t.y AS y, {three} AS c FROM {table}",
    ])


def plain(value):
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, decimal.Decimal) or isinstance(value, float) and value == int(value):
        return int(value)
    return value


def in_order(rows):
    return sorted(repr([plain(value) for value in row]) for row in rows)


@pytest.fixture(scope="module")
def connection():
    duckdb = pytest.importorskip("duckdb")
    made = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    yield made
    made.close()


@pytest.fixture(scope="module")
def tables(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nested")
    rng = random.Random(SEED)
    with open(folder / "t.ndjson", "w", encoding="utf-8") as out:
        for number in range(400):
            out.write(json.dumps(random_row(rng, number)) + "\n")
    declared = f"read_json('{folder}/t.ndjson', columns => {COLUMNS})"
    program("sql", f"SELECT * FROM {declared}", "-o", folder / "t.parquet")
    return declared, f"'{folder}/t.parquet'"


def test_random_paths(smelt, tables, connection):
    rng = random.Random(SEED + 1)
    wrong = []
    for number in range(QUERIES):
        state = rng.getstate()
        wanted = None
        for table in tables:
            rng.setstate(state)
            sql = query(rng, table)
            wanted = wanted or in_order(connection.execute(sql).fetchall())
            done = smelt("sql", sql, "--format", "json", check=False)
            if done.returncode != 0:
                wrong.append((number, sql, done.stderr))
                continue
            got = in_order(list(row.values()) for row in json.loads(done.stdout))
            if got != wanted:
                first = next((pair for pair in zip(got, wanted) if pair[0] != pair[1]), "")
                wrong.append((number, sql, f"{len(got)} rows, not {len(wanted)}; {first}"))
    report = "\n".join(f"query {n}: {sql}\n  {what}" for n, sql, what in wrong[:5])
    assert not wrong, f"SMELT_SEED={SEED}: {len(wrong)} differ\n{report}"


def test_objects_become_what_they_become_in_duckdb(smelt, connection, tmp_path):
    """MAP or STRUCT, by how many keys there are, in how many of the objects, and how alike."""
    rng = random.Random(SEED + 2)
    seen = set()
    for number in range(60):
        n_keys, n_rows = rng.choice([3, 11, 40, 199, 200, 260]), rng.choice([1, 5, 40, 300])
        each = rng.choice([1, max(1, n_keys // 9), max(1, n_keys // 11), n_keys])
        value = rng.choice([lambda key: key, lambda key: "x", lambda key: key / 3,
                            lambda key: {"a": key, "b": "x"}, lambda key: [key],
                            lambda key: {"a": key, **{f"z{key % 7}": 1}}])
        path = tmp_path / f"{number}.json"
        with open(path, "w", encoding="utf-8") as out:
            for row in range(n_rows):
                keys = [(row * each + i) % n_keys for i in range(each)]
                out.write(json.dumps({"m": {f"k{key}": value(key) for key in keys}, "n": 1}) + "\n")
        sql = f"SELECT DISTINCT typeof(m) AS t FROM '{path}'"
        wanted = connection.execute(sql).fetchall()[0][0].split("(")[0]
        found = smelt.sql(sql)[0]["t"].split("(")[0]
        assert found == wanted, (f"SMELT_SEED={SEED}", n_keys, n_rows, each, path.read_text()[:300])
        seen.add(found)
    assert seen == {"MAP", "STRUCT"}
