"""Random queries over random tables: smelt must answer as DuckDB does.

A failure prints the seed. SMELT_SEED=N runs the same tables and queries again; SMELT_QUERIES (300)
is the number of queries. Values are small, and doubles are quarters, so that no sum depends on its
order. Rows are compared as sets, and in order if the query orders by all its columns.
"""
import datetime
import decimal
import json
import os
import random

import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
QUERIES = int(os.environ.get("SMELT_QUERIES", "300"))

COLUMNS = {"a": "BIGINT", "b": "BIGINT", "s": "VARCHAR", "f": "DOUBLE", "d": "DATE", "p": "BOOLEAN"}
WORDS = ["", "x", "north", "South", "a text that is longer than twelve bytes", "ä", "%", "x_1", "10"]


def random_row(rng, keys):
    values = {
        "a": rng.randrange(keys), "b": rng.randrange(-20, 20), "s": rng.choice(WORDS),
        "f": rng.randrange(-40, 40) / 4,
        "d": (datetime.date(2022, 3, 28) + datetime.timedelta(rng.randrange(10))).isoformat(),
        "p": rng.random() < 0.5,
    }
    return {name: value for name, value in values.items() if rng.random() > 0.08}


def write_table(rng, path, rows, keys):
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(rows):
            out.write(json.dumps(random_row(rng, keys), ensure_ascii=rng.random() < 0.5) + "\n")


class Maker:
    """Makes queries; depth bounds how expressions nest."""

    def __init__(self, rng, tables):
        self.rng = rng
        self.tables = tables

    def one(self, *choices):
        return self.rng.choice(choices)

    def number(self, t, depth=2):
        if depth == 0 or self.rng.random() < 0.3:
            return self.one(f"{t}.a", f"{t}.b", str(self.rng.randrange(-9, 30)))
        x, y = self.number(t, depth - 1), self.number(t, depth - 1)
        return self.one(
            f"({x} {self.one('+', '-', '*')} {y})", f"abs({x})", f"coalesce({x}, {y})",
            f"CASE WHEN {self.predicate(t, depth - 1)} THEN {x} ELSE {y} END",
            f"length({self.text(t, depth - 1)})", f"greatest({x}, {y})", f"nullif({x}, {y})")

    def text(self, t, depth=2):
        if depth == 0 or self.rng.random() < 0.4:
            return self.one(f"{t}.s", "'" + self.rng.choice(WORDS) + "'")
        x = self.text(t, depth - 1)
        return self.one(f"upper({x})", f"({x} || {self.text(t, depth - 1)})", f"substr({x}, 2, 3)",
                        f"coalesce({x}, 'none')", f"CAST({self.number(t, 0)} AS VARCHAR)",
                        f"replace({x}, 'x', 'yy')", f"trim({x})")

    def date(self, t):
        return self.one(f"{t}.d", "DATE '2022-04-01'", f"coalesce({t}.d, DATE '2022-03-30')",
                        f"last_day({t}.d)")

    def value(self, t, depth=2):
        return self.one(self.number, self.number, self.text)(t, depth) if self.rng.random() < 0.8 \
            else self.one(self.date(t), f"{t}.f", f"({t}.f * 2)", f"{t}.p", f"year({t}.d)")

    def predicate(self, t, depth=2):
        if depth > 0 and self.rng.random() < 0.35:
            x, y = self.predicate(t, depth - 1), self.predicate(t, depth - 1)
            return self.one(f"({x} AND {y})", f"({x} OR {y})", f"NOT ({x})")
        compare = self.one("=", "<>", "<", "<=", ">", ">=")
        less = max(depth - 1, 0)
        return self.one(
            f"{self.number(t, less)} {compare} {self.number(t, less)}",
            f"{self.text(t, less)} {compare} {self.text(t, less)}",
            f"{self.date(t)} {compare} {self.date(t)}",
            f"{t}.{self.one(*COLUMNS)} IS {self.one('', 'NOT ')}NULL",
            f"{t}.a {self.one('', 'NOT ')}IN (1, 3, 5, {self.one('7', 'NULL')})",
            f"{t}.b BETWEEN -5 AND {self.rng.randrange(10)}",
            f"{t}.s {self.one('', 'NOT ')}LIKE '{self.one('%o%', 'x_', '%', 'a%bytes')}'",
            f"{t}.p", f"{t}.f {compare} 0.5")

    def aggregate(self, t):
        call = self.one(
            "count(*)", f"count({self.value(t, 1)})", f"sum({self.number(t, 1)})", f"sum({t}.f)",
            f"min({self.value(t, 1)})", f"max({self.value(t, 1)})", f"avg({t}.b)",
            f"count(DISTINCT {self.value(t, 1)})", f"sum(DISTINCT {t}.b)", f"bool_or({t}.p)")
        return call + (f" FILTER (WHERE {self.predicate(t, 1)})" if self.rng.random() < 0.25 else "")

    def window(self, t):
        partition = self.one("", f"PARTITION BY {t}.{self.one('a', 's', 'd')} ")
        order = f"ORDER BY {t}.b {self.one('', 'DESC ')}NULLS {self.one('FIRST', 'LAST')}"
        return self.one(
            f"rank() OVER ({partition}{order})", f"dense_rank() OVER ({partition}{order})",
            f"row_number() OVER ({partition}ORDER BY {t}.b, {t}.a, {t}.s, {t}.f, {t}.d, {t}.p)",
            f"sum({t}.b) OVER ({partition}{order})", f"count(*) OVER ({partition.strip()})",
            f"max({t}.f) OVER ({partition}{order})")

    def source(self):
        """(FROM …, the alias whose columns may be used)"""
        one, two = self.rng.choice(self.tables), self.rng.choice(self.tables)
        kind = self.rng.random()
        if kind < 0.6:
            return f"{one} AS t", "t"
        if kind < 0.7:
            return f"(SELECT * FROM {one} AS i WHERE {self.predicate('i', 1)}) AS t", "t"
        if kind < 0.75:
            return f"(SELECT * FROM {one} UNION ALL SELECT * FROM {two}) AS t", "t"
        on = f"t.a = r.a AND t.d = r.d" if self.rng.random() < 0.5 else "t.a = r.a"
        if self.rng.random() < 0.4:
            on += f" AND {self.one('t.b < r.b', 'r.p', 'length(t.s) > length(r.s)')}"
        return f"{one} AS t {self.one('JOIN', 'LEFT JOIN')} {two} AS r ON {on}", self.one("t", "r")

    def query(self):
        """(SQL, whether its rows are ordered)"""
        source, t = self.source()
        where = f" WHERE {self.predicate(t)}" if self.rng.random() < 0.6 else ""
        kind = self.rng.random()
        if kind < 0.45:
            keys = [self.value(t, 1) for _ in range(self.rng.randrange(3))]
            items = keys + [self.aggregate(t) for _ in range(self.rng.randrange(1, 4))]
            numbers = ", ".join(str(n + 1) for n in range(len(keys)))
            tail = f" GROUP BY {numbers}" if keys else ""
            if keys and self.rng.random() < 0.3:
                tail += f" HAVING count(*) {self.one('>', '<')} {self.rng.randrange(1, 30)}"
        else:
            items = [self.value(t) for _ in range(self.rng.randrange(1, 5))]
            if kind < 0.6:
                items.append(self.window(t))
            elif kind < 0.65:
                items.append(f"(SELECT max(q.b) FROM {self.tables[0]} AS q)")
            tail = ""
        distinct = "DISTINCT " if not tail and kind > 0.9 else ""
        names = [f"c{n}" for n in range(len(items))]
        selected = ", ".join(f"{item} AS {name}" for item, name in zip(items, names))
        sql = f"SELECT {distinct}{selected} FROM {source}{where}{tail}"
        if self.rng.random() < 0.4:
            order = ", ".join(
                f"{name} {self.one('ASC', 'DESC')} NULLS {self.one('FIRST', 'LAST')}" for name in names)
            limit = f" LIMIT {self.rng.randrange(60)}" if self.rng.random() < 0.6 else ""
            limit += f" OFFSET {self.rng.randrange(9)}" if limit and self.rng.random() < 0.3 else ""
            return f"{sql} ORDER BY {order}{limit}", True
        return sql, False


def plain(value):
    """A value as both sides can have it."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral() else float(value)
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


def comparable(rows):
    return [tuple(map(plain, row)) for row in rows]


def sort_key(row):
    return [(value is None, str(type(value)), str(value)) for value in row]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("differential")
    rng = random.Random(SEED)
    columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items()) + "}"
    sources = []
    for name, rows, keys in [("few", 60, 9), ("some", 900, 40), ("many", 20_000, 9_000)]:
        write_table(rng, folder / f"{name}.ndjson", rows, keys)
        sources.append(f"read_json('{folder / name}.ndjson', columns => {columns})")
    return sources


def test_random_queries(smelt, tables):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    rng = random.Random(SEED + 1)
    maker = Maker(rng, tables)
    wrong = []
    answered = 0
    for number in range(QUERIES):
        sql, is_ordered = maker.query()
        try:
            wanted = comparable(connection.execute(sql).fetchall())
        except duckdb.Error as error:
            wanted = error
        done = smelt("sql", sql, "--format", "json", check=False,
                     env={"SMELT_THREADS": str(rng.choice([1, 2, 5]))})
        if isinstance(wanted, Exception):
            if done.returncode == 0:
                wrong.append((number, sql, f"DuckDB refuses: {wanted}", ""))
            continue
        if done.returncode != 0:
            wrong.append((number, sql, "", done.stderr))
            continue
        answered += 1
        got = comparable(list(row.values()) for row in json.loads(done.stdout))
        if not is_ordered:
            got.sort(key=sort_key)
            wanted.sort(key=sort_key)
        if got != wanted:
            first = next((pair for pair in zip(got, wanted) if pair[0] != pair[1]), "")
            wrong.append((number, sql, f"{len(wanted)} rows", f"{len(got)} rows; {first}"))
    report = "\n".join(f"query {n}: {sql}\n  DuckDB: {want}\n  smelt: {got}"
                       for n, sql, want, got in wrong[:10])
    assert not wrong, f"SMELT_SEED={SEED}: {len(wrong)} of {QUERIES} queries differ\n{report}"
    assert answered > QUERIES * 0.8, f"SMELT_SEED={SEED}: DuckDB refused too many"
