"""Random programs of statements that change a table: after each, the table is as DuckDB's.

A failure prints the seed and the statements of its program. SMELT_SEED=N runs the same programs
again; SMELT_PROGRAMS (100) is their number, under the soak mark 1,000. They run on a table without
deletion vectors, and fewer of them on one with them, which is compacted in between. The table that smelt wrote is
read by delta-rs, at the end also by the other peers. What the program reads besides is random too: a
file of rows, and the table itself.
"""
import os
import random

import pytest

from deletion_vectors import enable_vectors, vectors_added
from engines import read_with_deltalake
from test_differential import COLUMNS, Maker, comparable, sort_key, write_table

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
PROGRAMS = int(os.environ.get("SMELT_PROGRAMS", "100"))
LONGEST = 7  # statements of a program

NAMES = list(COLUMNS)
TABLE = "mart.t"


class Changes(Maker):
    """Makes statements over mart.t and the tables that queries may read."""

    def __init__(self, rng, tables):
        super().__init__(rng, tables)
        self.doubled = None  # of the last MERGE: a query that counts the pairs of the table's rows

    def rows(self, t="r"):
        """A query of all columns."""
        items = ", ".join(f"{t}.{name} AS {name}" for name in NAMES)
        where = f" WHERE {self.predicate(t, 1)}" if self.rng.random() < 0.6 else ""
        return f"SELECT {items} FROM {self.one(*self.tables, TABLE)} AS {t}{where}"

    def constant(self, name):
        if self.rng.random() < 0.1:
            return "NULL"
        return {"a": str(self.rng.randrange(12)), "b": str(self.rng.randrange(-20, 20)),
                "s": self.one("'x'", "'new'", "''"), "f": str(self.rng.randrange(-40, 40) / 4),
                "d": f"DATE '2022-04-0{self.rng.randrange(1, 9)}'",
                "p": self.one("true", "false")}[name]

    def value_for(self, name, t):
        """An expression that fits the column."""
        if self.rng.random() < 0.3:
            return self.constant(name)
        return {"a": lambda: f"coalesce(abs({t}.b), 0)", "b": lambda: f"({t}.a - {t}.b) % 50",
                "s": lambda: self.text(t, 1), "f": lambda: f"{t}.f / 2 + {t}.a",
                "d": lambda: self.date(t), "p": lambda: f"({self.predicate(t, 1)})"}[name]()

    def sets(self, t):
        names = self.rng.sample(NAMES, self.rng.randrange(1, 4))
        return ", ".join(f"{name} = {self.value_for(name, t)}" for name in names)

    def insert(self):
        kind = self.rng.random()
        if kind < 0.3:
            names = self.rng.sample(NAMES, self.rng.randrange(1, len(NAMES) + 1))
            rows = ", ".join(
                "(" + ", ".join(self.constant(name) for name in names) + ")"
                for _ in range(self.rng.randrange(1, 5)))
            return f"INSERT INTO {TABLE} ({', '.join(names)}) VALUES {rows}"
        if kind < 0.6:
            names = self.rng.sample(NAMES, self.rng.randrange(1, len(NAMES) + 1))
            items = ", ".join(f"{self.value_for(name, 'r')} AS {name}" for name in names)
            return (f"INSERT INTO {TABLE} BY NAME SELECT {items} FROM {self.one(*self.tables)} AS r "
                    f"WHERE {self.predicate('r', 1)}")
        return f"INSERT INTO {TABLE} {self.rows()}"

    def condition(self):
        if self.rng.random() < 0.15:
            return f"t.b > (SELECT max(q.b) - 10 FROM {self.one(*self.tables, TABLE)} AS q)"
        return self.predicate("t")

    def delete(self):
        where = f" WHERE {self.condition()}" if self.rng.random() < 0.95 else ""
        return f"DELETE FROM {TABLE} AS t{where}"

    def update(self):
        where = f" WHERE {self.condition()}" if self.rng.random() < 0.9 else ""
        return f"UPDATE {TABLE} AS t SET {self.sets('t')}{where}"

    def clause(self, kind):
        scope = {"MATCHED": self.one("t", "s"), "NOT MATCHED": "s", "NOT MATCHED BY SOURCE": "t"}
        condition = self.predicate(scope[kind], 1) if self.rng.random() < 0.6 else ""
        if kind == "NOT MATCHED":
            names = self.rng.sample(NAMES, self.rng.randrange(1, len(NAMES) + 1))
            values = ", ".join(self.value_for(name, "s") for name in names)
            action = f"INSERT ({', '.join(names)}) VALUES ({values})"
        elif self.rng.random() < 0.3:
            action = "DELETE"
        else:
            action = f"UPDATE SET {self.sets('t' if kind.endswith('SOURCE') else self.one('t', 's'))}"
        return condition, f"WHEN {kind}{f' AND ({condition})' if condition else ''} THEN {action}"

    def clauses(self, kind):
        """Clauses of a kind, of which only the last may have no condition."""
        made = []
        for _ in range(self.rng.choice([0, 1, 1, 2])):
            made.append(self.clause(kind))
            if not made[-1][0]:
                break
        return made

    def merge(self):
        """The source mostly has one row a key."""
        self.doubled = None
        unique = "" if self.rng.random() < 0.15 else \
            " QUALIFY row_number() OVER (PARTITION BY r.a, r.d ORDER BY r.b, r.s, r.f, r.p) = 1"
        source = f"({self.rows()}{unique})"
        on = "t.a = s.a AND t.d = s.d"
        if self.rng.random() < 0.3:
            on += f" AND {self.one('t.b < s.b', 's.p', 't.b > 0', 't.s IS NOT NULL')}"
        matched, unmatched = self.clauses("MATCHED"), self.clauses("NOT MATCHED")
        by_source = self.clauses("NOT MATCHED BY SOURCE") if self.rng.random() < 0.3 else []
        every = matched + unmatched + by_source
        if not every:
            return self.merge()
        acts = " OR ".join(f"({condition or 'true'})" for condition, _ in matched) or "false"
        acts = "true" if by_source else acts
        self.doubled = (f"SELECT max(n) FROM (SELECT count(*) AS n FROM {TABLE} AS t JOIN {source} AS s "
                        f"ON {on} AND ({acts}) GROUP BY t.rowid)")
        texts = [text for _, text in every]
        return f"MERGE INTO {TABLE} AS t USING {source} AS s ON {on} {' '.join(texts)}"

    def statement(self):
        kind = self.rng.random()
        self.doubled = None
        return (self.insert() if kind < 0.25 else self.delete() if kind < 0.42 else
                self.update() if kind < 0.65 else self.merge())


def sorted_rows(rows):
    return sorted(comparable(rows), key=sort_key)


class Program:
    """One table in both engines."""

    def __init__(self, smelt, connection, lake, maker, has_vectors):
        self.has_vectors = has_vectors
        self.smelt, self.connection, self.lake, self.maker = smelt, connection, lake, maker
        self.told = []

    def both(self, sql, refused=False):
        """Runs it here and there; what smelt must refuse is run here alone."""
        self.told.append(sql)
        done = self.smelt("sql", "--write", sql, "--lake", self.lake, check=False)
        text = self.report()
        if refused:
            assert done.returncode == 1 and "several rows of the source" in done.stderr, \
                f"{text}{done.returncode} {done.stderr}"
        else:
            assert done.returncode == 0, text + done.stderr
            self.connection.execute(sql)
        assert self.here() == self.there(), text

    def compact(self):
        self.told.append("-- smelt table optimize")
        self.smelt("table", "optimize", self.lake / "mart" / "t")
        assert self.here() == self.there(), self.report()

    def here(self):
        rows = read_with_deltalake(self.lake / "mart" / "t")
        return sorted_rows([row[name] for name in NAMES] for row in rows)

    def there(self):
        return sorted_rows(self.connection.execute(f"FROM {TABLE}").fetchall())

    def report(self):
        return f"SMELT_SEED={SEED}\n" + ";\n".join(self.told) + "\n"

    def run(self):
        items = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in COLUMNS.items())
        self.both(f"CREATE OR REPLACE TABLE {TABLE} AS SELECT {items} FROM {self.maker.tables[0]} AS r")
        for _ in range(self.maker.rng.randrange(1, LONGEST)):
            sql = self.maker.statement()
            pairs = self.connection.execute(self.maker.doubled).fetchone()[0] \
                if self.maker.doubled else None
            self.both(sql, refused=(pairs or 0) > 1)
            if self.has_vectors and self.maker.rng.random() < 0.1:
                self.compact()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changes")
    rng = random.Random(SEED)
    columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items()) + "}"
    tables = []
    for name, rows, keys in [("few", 30, 6), ("some", 400, 12)]:
        write_table(rng, folder / f"{name}.ndjson", rows, keys)
        tables.append(f"read_json('{folder / name}.ndjson', columns => {columns})")
    return tables


def run_programs(smelt, lake, sources, number, has_vectors=False):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA mart")
    rng = random.Random(SEED + 1)
    if has_vectors:
        smelt("sql", "--write", f"CREATE TABLE {TABLE} AS SELECT 1 AS none", "--lake", lake)
        enable_vectors(lake / "mart" / "t")
    for _ in range(number):
        Program(smelt, connection, lake, Changes(rng, sources), has_vectors).run()
    return connection


def test_random_programs(smelt, lake, sources, delta_peers):
    connection = run_programs(smelt, lake, sources, PROGRAMS)
    wanted = sorted_rows(connection.execute(f"FROM {TABLE}").fetchall())
    for name, read in delta_peers.items():
        rows = [[row[column] for column in NAMES] for row in read(lake / "mart" / "t")]
        assert sorted_rows(rows) == wanted, f"{name}, SMELT_SEED={SEED}"


def test_random_programs_with_deletion_vectors(smelt, lake, sources, delta_peers):
    connection = run_programs(smelt, lake, sources, PROGRAMS * 3 // 10, has_vectors=True)
    wanted = sorted_rows(connection.execute(f"FROM {TABLE}").fetchall())
    for name, read in delta_peers.items():
        rows = [[row[column] for column in NAMES] for row in read(lake / "mart" / "t")]
        assert sorted_rows(rows) == wanted, f"{name}, SMELT_SEED={SEED}"
    assert vectors_added(lake / "mart" / "t"), f"SMELT_SEED={SEED}"


@pytest.mark.soak
@pytest.mark.parametrize("has_vectors", [False, True], ids=["files", "vectors"])
def test_many_random_programs(smelt, lake, sources, has_vectors):
    number = int(os.environ.get("SMELT_PROGRAMS", "1000"))
    run_programs(smelt, lake, sources, number, has_vectors)
