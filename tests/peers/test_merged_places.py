"""MERGE in a table of several files, row groups and pages, with deleted rows among them: the rows that change
are told by their numbers in files. DuckDB runs the same statements."""
import pyarrow
import pytest

from deletion_vectors import enable_vectors, vectors_added

ROWS = 30_000        # of a file, …
GROUP_ROWS = 25_000  # … in two row groups, the first of which has two pages
OLD = f"""SELECT i AS id, CASE WHEN i % 7 = 0 THEN NULL ELSE 'name ' || i || repeat('-', (i % 20)::INT) END AS name,
    'city ' || (i % 5) AS city, i % 3 = 0 AS even, CASE WHEN i % 11 = 0 THEN NULL ELSE i % 100 END AS n,
    [i % 4, i % 6] AS tags FROM range({3 * ROWS}) r(i)"""
NEW = f"""SELECT i, i AS id, 'new ' || i || repeat('+', (i % 30)::INT) AS name, 'town ' || (i % 9) AS city, i % 2 = 0 AS even,
    CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS n, [i, i + 1] AS tags, repeat(i::VARCHAR, 60) AS wide
    FROM range({4 * ROWS}) r(i)"""


def source(where, name="name"):
    """Rows for some ids; the condition is over i."""
    return f"(SELECT id, {name} AS name, city, even, n, tags FROM read_parquet('NEW') WHERE {where})"


UPSERT = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
STATEMENTS = [
    # few rows in the middle of a row group: pages around them are not read when pairs are looked for
    (source("i BETWEEN 15000 AND 15400 AND i % 13 = 0"), "t.id = s.id", UPSERT),
    (source("i % 97 = 0"), "t.id = s.id", UPSERT),
    (source("i % 101 = 0"), "t.id = s.id AND t.even",
     "WHEN MATCHED AND s.n IS NULL THEN DELETE WHEN MATCHED AND t.n > 50 THEN UPDATE SET n = s.n + t.n, name = s.name "
     "WHEN NOT MATCHED AND s.even THEN INSERT (id, city) VALUES (s.id + 1000000, s.city)"),
    (source("i < 10000"), "t.id = s.id", "WHEN MATCHED THEN DELETE"),  # a row group goes
    (source("i BETWEEN 9900 AND 30100 AND i % 3 <> 1"), "t.id = s.id", "WHEN MATCHED AND s.even THEN DELETE "
                                                                        "WHEN MATCHED THEN UPDATE SET tags = s.tags"),
    (source("i BETWEEN 10000 AND 40000"), "t.id = s.id", "WHEN MATCHED THEN DELETE"),  # a file goes
    (source("i % 1000 = 7"), "t.id = s.id", "WHEN NOT MATCHED THEN INSERT *"),
    (source("i % 500 = 3"), "t.n = s.n AND t.id > 50000 AND s.id < 100", "WHEN MATCHED THEN UPDATE SET city = s.city"),
    (source("i BETWEEN 60000 AND 100000"), "t.id = s.id", UPSERT),  # more than half of the rows
    (source("i < 0"), "t.id = s.id", UPSERT),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The rows of the table, and those that are merged into it."""
    duckdb = pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("places")
    for name, query in ("old", OLD), ("new", NEW):
        duckdb.execute(f"COPY ({query}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
    return folder


class Both:
    """The table here and in DuckDB."""

    def __init__(self, smelt, lake, files, has_vectors=False):
        import duckdb
        self.smelt, self.lake, self.files = smelt, lake, files
        self.connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
        self.connection.execute("CREATE SCHEMA mart")
        rows = f"SELECT * FROM read_parquet('{files}/old.parquet') WHERE id"
        self.run(f"CREATE TABLE mart.t AS {rows} < 0")
        if has_vectors:
            enable_vectors(lake / "mart" / "t")
        smelt("table", "alter", lake / "mart" / "t", f"SET TBLPROPERTIES ('smelt.rowGroupRows' = '{GROUP_ROWS}')")
        for file in range(3):
            self.run(f"INSERT INTO mart.t {rows} BETWEEN {file * ROWS} AND {(file + 1) * ROWS - 1}")

    def here(self, sql, *options, check=True):
        return self.smelt("sql", "--write", sql.replace("'NEW'", f"'{self.files}/new.parquet'"), "--lake", self.lake,
                          *options, check=check)

    def run(self, sql, *options):
        self.here(sql, *options)
        self.connection.execute(sql.replace("'NEW'", f"'{self.files}/new.parquet'"))

    def check(self, told):
        import deltalake
        here = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(self.lake / "mart" / "t")))
        self.connection.register("here", pyarrow.table(here.execute("SELECT * FROM t").read_all()))
        differs = self.connection.execute(
            "(FROM here EXCEPT ALL FROM mart.t) UNION ALL (FROM mart.t EXCEPT ALL FROM here) LIMIT 3").fetchall()
        assert differs == [], told


def merge(rows, on, clauses):
    return f"MERGE INTO mart.t AS t USING {rows} AS s ON {on} {clauses}"


@pytest.mark.parametrize("has_vectors", [False, True])
def test_rows_are_found_and_changed(smelt, lake, files, has_vectors):
    table = Both(smelt, lake, files, has_vectors)
    for rows, on, clauses in STATEMENTS:
        table.run(merge(rows, on, clauses))
        table.check((rows, on, clauses))
    assert bool(vectors_added(lake / "mart" / "t")) == has_vectors


def test_order_stays(smelt, lake, files):
    """Rows that are written anew stay where they were, in one thread and in four."""
    table = Both(smelt, lake, files)
    for threads in 1, 4:
        table.here(merge(source("i % 50 = 1 AND i < 90000"), "t.id = s.id", "WHEN MATCHED AND s.id % 100 = 1 THEN DELETE "
                         "WHEN MATCHED THEN UPDATE SET *"), "--threads", threads)
        ids = [row["id"] for row in smelt.sql("SELECT id FROM mart.t", "--lake", lake)]
        assert ids == [i for i in range(3 * ROWS) if i % 100 != 1]


def test_with_little_memory(smelt, lake, files):
    """Pairs that memory has no room for are joined again; the rows are the same."""
    table = Both(smelt, lake, files)
    for rest in 3, 4:  # the second time the rows of the table are wide too
        table.run(merge(source(f"i % 10 <> {rest}", name="wide"), "t.id = s.id", UPSERT), "--memory-limit", "100MB")
        table.check(rest)


def test_two_pairs_of_a_row(smelt, lake, files):
    """The row is named, wherever it is, and nothing is changed; rows that are only found may have two."""
    table = Both(smelt, lake, files)
    twice = f"(SELECT * FROM {source('i IN (5, 40123)')} UNION ALL SELECT * FROM {source('i IN (40123, 70000)')})"
    done = table.here(merge(twice, "t.id = s.id", UPSERT), check=False)
    assert done.returncode == 1 and "id = 40123" in done.stderr, done.stderr
    table.run(merge(twice, "t.id = s.id", "WHEN NOT MATCHED THEN INSERT *"))
    table.check("twice")
