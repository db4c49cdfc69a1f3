"""MERGE in files of several row groups: what it does not change stays as it is, its bytes are copied. DuckDB runs
the same statements, and pyarrow tells which column chunks of the new files the old ones have too."""
import hashlib
import math
import os
import pathlib
import random

import pyarrow
import pyarrow.parquet
import pytest

from deletion_vectors import enable_vectors

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
FILES, GROUPS, GROUP_ROWS = 3, 5, 10_000
FILE_ROWS = GROUPS * GROUP_ROWS
ROWS = FILES * FILE_ROWS
COLUMNS = ("id", "name", "city", "n", "f", "tags", "place")
OLD = f"""SELECT i AS id, CASE WHEN i % 7 = 0 THEN NULL ELSE 'name ' || i || repeat('-', (i % 20)::INT) END AS name,
    'city ' || (i % 5) AS city, CASE WHEN i % 11 = 0 THEN NULL ELSE i % 100 END AS n,
    CASE WHEN i % 6 = 0 THEN 0.0::DOUBLE ELSE i / 8 END AS f,
    [i % 4, i % 6] AS tags, {{'x': i % 9, 'y': 'y' || (i % 4)}} AS place FROM range({ROWS}) r(i)"""
# Rows of the source: half of them differ in some columns only.
NEW = f"""SELECT id + 0 AS id, CASE WHEN id % 3 = 0 THEN 'new ' || id ELSE name END AS name, city,
    CASE WHEN id % 10 = 4 THEN NULL ELSE n END AS n, abs(f) AS f, [id] AS tags, place FROM ({OLD})
    UNION ALL SELECT i, 'added', 'city ' || i % 8, i, i, [], NULL FROM range({ROWS}, {ROWS + 1000}) r(i)"""
UPSERT = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    duckdb = pytest.importorskip("duckdb")
    file = tmp_path_factory.mktemp("kept") / "new.parquet"
    duckdb.execute(f"COPY ({NEW}) TO '{file}' (FORMAT parquet)")
    return file


def write_with_smelt(smelt, table, lake):
    smelt("sql", "--write", f"CREATE TABLE mart.t AS SELECT * FROM read_parquet('{lake}/old.parquet') WHERE id < 0",
          "--lake", lake)
    smelt("table", "alter", table, f"SET TBLPROPERTIES ('smelt.rowGroupRows' = '{GROUP_ROWS}')")
    for first in range(0, ROWS, FILE_ROWS):
        smelt("sql", "--write", f"INSERT INTO mart.t SELECT * FROM read_parquet('{lake}/old.parquet') "
              f"WHERE id BETWEEN {first} AND {first + FILE_ROWS - 1} ORDER BY id", "--lake", lake)


def write_with_pyarrow(**how):
    def write(smelt, table, lake):
        rows = pyarrow.parquet.read_table(lake / "old.parquet")
        rows = rows.cast(pyarrow.schema([field.with_nullable(True) for field in rows.schema]))
        table.mkdir(parents=True)
        for n in range(FILES):
            pyarrow.parquet.write_table(rows.slice(n * FILE_ROWS, FILE_ROWS), table / f"{n}.parquet",
                                        row_group_size=GROUP_ROWS, **how)
        smelt("table", "convert", table)
        smelt("table", "alter", table, f"SET TBLPROPERTIES ('smelt.rowGroupRows' = '{GROUP_ROWS}')")
    return write


WRITERS = {
    "smelt": write_with_smelt,
    "snappy": write_with_pyarrow(compression="snappy"),
    "indexed": write_with_pyarrow(compression="zstd", write_page_index=True, data_page_size=20_000),
    "plain": write_with_pyarrow(compression="none", use_dictionary=False, data_page_version="2.0"),
}


class Both:
    """The table here and in DuckDB."""

    def __init__(self, smelt, lake, source, writer="smelt"):
        import duckdb
        self.smelt, self.lake, self.source, self.table = smelt, lake, source, lake / "mart" / "t"
        self.connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
        self.connection.execute(f"CREATE SCHEMA mart; CREATE TABLE mart.t AS {OLD}")
        lake.mkdir(parents=True, exist_ok=True)
        self.connection.execute(f"COPY (FROM mart.t ORDER BY id) TO '{lake}/old.parquet' (FORMAT parquet)")
        WRITERS[writer](smelt, self.table, lake)

    def files(self):
        import deltalake
        return [pathlib.Path(uri.removeprefix("file://")) for uri in deltalake.DeltaTable(str(self.table)).file_uris()]

    def chunks(self):
        """{column: hashes of the bytes of its chunks}, those of all leaves of a column, in all row groups."""
        found = {}
        for path in self.files():
            data = path.read_bytes()
            footer = pyarrow.parquet.ParquetFile(path).metadata
            for group in range(footer.num_row_groups):
                for column in range(footer.row_group(group).num_columns):
                    chunk = footer.row_group(group).column(column)
                    first = chunk.dictionary_page_offset or chunk.data_page_offset
                    digest = hashlib.md5(data[first:first + chunk.total_compressed_size]).hexdigest()
                    found.setdefault(chunk.path_in_schema.split(".")[0], []).append(digest)
        return found

    def merge(self, rows, clauses, on="t.id = s.id", *options):
        """Runs it here and there. Returns, for each column, how many of its chunks the old files have too (that is
        of as many row groups: of a column with several leaves it is a multiple)."""
        before = self.chunks()
        sql = f"MERGE INTO mart.t AS t USING (SELECT * FROM read_parquet('{self.source}') WHERE {rows}) AS s ON {on} {clauses}"
        self.smelt("sql", "--write", sql, "--lake", self.lake, *options)
        self.connection.execute(sql)
        self.check(sql)
        after = self.chunks()
        return {name: sum(digest in before[name] for digest in after[name]) for name in COLUMNS}

    def check(self, told):
        import deltalake
        here = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(self.table)))
        self.connection.register("here", pyarrow.table(here.execute("SELECT * FROM t").read_all()))
        differs = self.connection.execute(
            "(FROM here EXCEPT ALL FROM mart.t) UNION ALL (FROM mart.t EXCEPT ALL FROM here) LIMIT 3").fetchall()
        assert differs == [], f"SMELT_SEED={SEED} {told}"
        ours = self.smelt.sql("SELECT count(*) AS n, sum(id) AS ids, min(id) AS low, max(id) AS high FROM mart.t",
                              "--lake", self.lake)[0]
        theirs = self.connection.execute("SELECT count(*), sum(id), min(id), max(id) FROM mart.t").fetchall()[0]
        assert tuple(int(ours[key]) for key in ("n", "ids", "low", "high")) == theirs, told
        self.smelt("table", "fsck", self.table, "--data")


@pytest.mark.parametrize("writer", WRITERS)
def test_groups_and_columns_stay(smelt, lake, source, writer):
    table = Both(smelt, lake, source, writer)
    groups = FILES * GROUPS
    # one row group of one file changes, and in it two columns
    kept = table.merge("id BETWEEN 12000 AND 15000", "WHEN MATCHED THEN UPDATE SET name = s.name, tags = s.tags")
    assert kept["name"] == groups - 1 and kept["id"] == kept["city"] == groups
    # a row group in which rows go is written anew; those around it stay
    kept = table.merge("id BETWEEN 62000 AND 65000 AND id % 2 = 0", "WHEN MATCHED AND s.id % 3 = 0 THEN DELETE "
                       "WHEN MATCHED THEN UPDATE SET n = t.n + s.id, city = t.name")
    assert kept["id"] == kept["n"] == groups - 1
    # whole row groups go
    kept = table.merge("id BETWEEN 90000 AND 109999", "WHEN MATCHED THEN DELETE")
    assert kept["id"] == groups - 2
    # every row group changes, of each column all new values are looked at
    kept = table.merge("id % 50 = 1", UPSERT)
    assert kept["id"] == kept["city"] == groups - 2 and kept["tags"] == 0
    # nothing of it is new
    kept = table.merge("id % 50 = 1", "WHEN MATCHED THEN UPDATE SET *")
    assert kept["name"] == kept["id"]


def test_zero_is_not_minus_zero(smelt, lake, source):
    """A value that is equal, but of other bits, is a new one; DuckDB leaves the old one."""
    table = Both(smelt, lake, source)
    kept = table.merge("id % 6 = 0", "WHEN MATCHED THEN UPDATE SET f = -0.0::DOUBLE, city = s.city")
    assert kept["f"] == 0 and kept["city"] == FILES * GROUPS
    f = pyarrow.parquet.read_table([str(path) for path in table.files()], columns=["f"])["f"].to_pylist()
    assert sum(v == 0 for v in f) == sum(math.copysign(1, v) < 0 for v in f) == ROWS // 6
    kept = table.merge("id % 6 = 2", "WHEN MATCHED THEN UPDATE SET f = s.f", "t.f = s.f AND t.id = s.id")
    assert kept["f"] == FILES * GROUPS


def test_rules_see_all_columns(smelt, lake, source):
    """A constraint over a column that stays is checked, for rows that change."""
    table = Both(smelt, lake, source)
    smelt("table", "alter", table.table, "ADD CONSTRAINT few CHECK (n < 100 OR city <> 'none')")
    kept = table.merge("id < 20000", "WHEN MATCHED THEN UPDATE SET n = 200")
    assert kept["city"] == FILES * GROUPS and kept["n"] == FILES * GROUPS - 2
    done = smelt("sql", "--write", f"MERGE INTO mart.t AS t USING read_parquet('{source}') AS s ON t.id = s.id "
                 "WHEN MATCHED AND t.n = 200 THEN UPDATE SET city = 'none'", "--lake", lake, check=False)
    assert done.returncode != 0 and "few" in done.stderr
    table.check("refused")


def test_order_and_feed(smelt, lake, source):
    """Rows stay where they were, whatever the number of threads; the feed has what changed."""
    table = Both(smelt, lake, source)
    smelt("table", "alter", table.table, "SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    for threads in 1, 4:
        table.merge("id % 10000 < 3000 AND id % 9 = 0", "WHEN MATCHED AND s.id % 18 = 0 THEN DELETE "
                    "WHEN MATCHED THEN UPDATE SET name = s.name || t.name", "t.id = s.id", "--threads", str(threads))
        ids = [int(row["id"]) for row in smelt.sql("SELECT id FROM mart.t", "--lake", lake)]
        assert ids == [i for i in range(ROWS) if i % 10000 >= 3000 or i % 18 != 0]
    kinds = smelt.sql(f"SELECT _change_type AS kind, count(*) AS n FROM table_changes('{table.table}', 6) "
                      "GROUP BY ALL ORDER BY 1")
    updated = sum(1 for i in range(ROWS) if i % 10000 < 3000 and i % 18 == 9)
    assert [row["kind"] for row in kinds][-2:] == ["update_postimage", "update_preimage"]
    assert int(kinds[-1]["n"]) % updated == 0


@pytest.mark.parametrize("has_vectors", [False, True])
def test_random_merges(smelt, lake, source, has_vectors):
    rng = random.Random(SEED)
    table = Both(smelt, lake, source, rng.choice(list(WRITERS)))
    if has_vectors:
        enable_vectors(table.table)
    for _ in range(8):
        first = rng.randrange(ROWS)
        rows = rng.choice([f"id BETWEEN {first} AND {first + rng.randrange(1, 30000)}", f"id % {rng.randrange(2, 200)} = 1",
                           f"id IN ({first}, {first // 2}, {ROWS + first % 1000})", "id < 25000 AND id % 7 <> 1"])
        names = rng.sample(COLUMNS[1:], rng.randrange(1, 6))
        sets = ", ".join(f"{name} = {rng.choice('st')}.{name}" for name in names)
        clauses = rng.choice([UPSERT, f"WHEN MATCHED THEN UPDATE SET {sets}",
                              f"WHEN MATCHED AND s.id % {rng.randrange(2, 9)} = 0 THEN UPDATE SET {sets} WHEN NOT MATCHED THEN INSERT *",
                              f"WHEN MATCHED AND s.id % {rng.randrange(2, 9)} = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET {sets}",
                              "WHEN MATCHED AND t.n > 50 THEN DELETE"])
        table.merge(rows, clauses)
