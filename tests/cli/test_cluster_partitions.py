"""`smelt table cluster` of partitioned tables: rows stay in their partition, and are sorted there; what is new
moves, partition by partition; many partitions take several commits, of which a killed run keeps what it made."""
import collections
import hashlib
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.parse

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines import read_with_deltalake

DAYS, ROWS = 4, 12_000  # of each
ODD = ["a/b c", "x=%41:y", "Ü\n", None, "", "__HIVE_DEFAULT_PARTITION_", ".", "2022"]


def load(day, n=ROWS, seed=0):
    """n rows of one day, with customers in no order."""
    return duckdb.sql(f"""
        SELECT DATE '2022-04-01' + {day} AS "Date",
               printf('HNH%06d', (hash(range * 131 + {day} * 7 + {seed}) % 100000)::INT) AS "Contract",
               (hash(range + {seed}) % 86400)::BIGINT AS seconds
        FROM range({n})""").to_arrow_table()


def append(uri, rows, by="Date"):
    deltalake.write_deltalake(str(uri), rows, mode="append", partition_by=[by])


def set_property(uri, key, value):
    deltalake.DeltaTable(str(uri)).alter.set_table_properties({key: value}, raise_if_not_exists=False)


@pytest.fixture
def table(smelt, lake):
    """Four days, a file each; row groups small enough that a day has many."""
    uri = lake / "shop" / "views"
    for day in range(DAYS):
        append(uri, load(day))
    set_property(uri, "smelt.rowGroupRows", "500")
    return uri


def rows_of(uri):
    return sorted(map(repr, read_with_deltalake(uri)))


def by_folder(uri):
    """The live files of each partition's folder."""
    found = collections.defaultdict(set)
    for path in deltalake.DeltaTable(str(uri)).file_uris():
        folder, _, name = path.removeprefix(str(uri) + "/").rpartition("/")
        found[folder].add(name)
    return found


def hit_groups(uri, folder, column, value):
    """How many row groups of a partition DuckDB may not leave out, and how many there are."""
    files = [f"{uri}/{folder}/{name}" for name in by_folder(uri)[folder]]
    return duckdb.sql(f"""
        SELECT count(*) FILTER (stats_min_value <= '{value}' AND stats_max_value >= '{value}'), count(*)
        FROM parquet_metadata({files!r}) WHERE path_in_schema = '{column}'""").fetchall()[0]


def test_each_partition_is_sorted(smelt, table):
    before, folders = rows_of(table), by_folder(table)
    told = smelt.json("table", "cluster", table, "--by", "Contract,seconds", "--json")
    assert (told["removed_files"], told["rows"], told["commits"], told["sets"]) == (DAYS, DAYS * ROWS, 1, DAYS)
    assert rows_of(table) == before
    assert by_folder(table).keys() == folders.keys()
    for day in range(DAYS):
        folder = f"Date=2022-04-0{1 + day}"
        hit, n = hit_groups(table, folder, "Contract", "HNH050000")
        assert n >= ROWS // 500 and hit <= n / 4, (day, hit, n)
    names = [path.name for path in table.rglob("*.parquet")]
    assert smelt.json("table", "cluster", table, "--json")["version"] is None
    assert [path.name for path in table.rglob("*.parquet")] == names


def test_what_is_new_moves_alone(smelt, table):
    smelt("table", "cluster", table, "--by", "Contract")
    there = by_folder(table)
    append(table, load(DAYS))          # a new partition
    append(table, load(1, 100, seed=1))  # few rows beside those of the day
    append(table, load(2, ROWS, seed=1))  # as many
    before = rows_of(table)
    dry = smelt.json("table", "cluster", table, "--dry-run", "--json")
    assert dry["version"] is None and dry["commits"] == 0
    moves = collections.Counter((urllib.parse.unquote(move["path"]).split("/")[0], move["why"])
                                for move in dry["moves"])
    assert moves == {("Date=2022-04-02", "not clustered"): 1, ("Date=2022-04-03", "not clustered"): 1,
                     ("Date=2022-04-03", "of a set that is small beside what moves"): 1,
                     ("Date=2022-04-05", "not clustered"): 1}
    told = smelt.json("table", "cluster", table, "--json")
    assert (told["removed_files"], told["kept_files"]) == (4, 3)
    assert told["sets"] == 6  # two in the second day
    assert rows_of(table) == before
    now = by_folder(table)
    for folder in ("Date=2022-04-01", "Date=2022-04-02", "Date=2022-04-04"):
        assert there[folder] <= now[folder]


def test_odd_partitions(smelt, lake, duckdb_delta):
    """Escaped, NULL and empty values: files stay in the folders where they were, and all peers read the same."""
    uri = lake / "shop" / "odd"
    for part in range(2):
        ids = list(range(part * 80, part * 80 + 80))
        append(uri, pa.table({"p": [ODD[id % len(ODD)] for id in ids], "id": ids}), "p")
    wanted = sorted((id, ODD[id % len(ODD)] or None) for id in range(160))  # an empty text is NULL in Delta
    folders = {urllib.parse.unquote(folder) for folder in by_folder(uri)}  # Spark, and smelt, escape less
    told = smelt.json("table", "cluster", uri, "--by", "id", "--json")
    assert told["added_files"] == len(ODD) - 1
    assert {urllib.parse.unquote(folder) for folder in by_folder(uri)} == folders - {"p="}
    assert sorted((row["id"], row["p"]) for row in smelt.sql(f"SELECT id, p FROM '{uri}'")) == wanted
    assert sorted(polars.read_delta(str(uri)).select("id", "p").rows()) == wanted
    assert sorted(duckdb_delta.query(f"SELECT id, p FROM delta_scan('{uri}')")) == wanted
    assert sorted((row["id"], row["p"]) for row in read_with_deltalake(uri)) == wanted
    smelt("table", "fsck", uri, "--data")


@pytest.mark.parametrize("by", ["Date", "Contract,Date", "date"])
def test_partition_columns_are_refused(smelt, table, by):
    version = deltalake.DeltaTable(str(table)).version()
    done = smelt("table", "cluster", table, "--by", by, check=False)
    assert done.returncode == 1
    assert 'not sorted by "Date": it is a partition column, with one value in all rows' in done.stderr
    assert "Leave it out" in done.stderr
    assert deltalake.DeltaTable(str(table)).version() == version


def test_smelt_reads_less_of_each_partition(smelt, table):
    def read(where):
        """How many files and row groups smelt reads, and how many row groups it leaves out."""
        told = smelt("explain", "--analyze", f"SELECT sum(seconds) FROM '{table}' WHERE {where}").stdout
        found = re.search(r" (\d+) files?, (\d+) morsels?(?: \((\d+) skipped\))?", told).groups(default=0)
        return tuple(map(int, found))
    one, all_days = "\"Contract\" = 'HNH050000'", ROWS // 500
    assert read(one) == (DAYS, DAYS, 0)
    smelt("table", "cluster", table, "--by", "Contract")
    files, groups, skipped = read(one)
    assert files == DAYS and groups <= DAYS and groups + skipped >= DAYS * all_days
    files, groups, skipped = read(one + " AND \"Date\" = '2022-04-02'")
    assert files == 1 and groups <= 1 and groups + skipped >= all_days


# ---- many partitions ----------------------------------------------------------------------------

MANY = 1200


def many(uri, n=MANY, big=0):
    """n partitions of a few rows each, after one of `big` rows."""
    rows = duckdb.sql(f"""
        SELECT (CASE WHEN range < {big} THEN 0 ELSE 1 + range % {n} END)::INT AS part,
               printf('HNH%06d', (hash(range) % 100000)::INT) AS "Contract", range AS id
        FROM range({big + 3 * n})""").to_arrow_table()
    append(uri, rows, "part")


def test_many_partitions_take_several_commits(smelt, lake):
    uri = lake / "shop" / "many"
    many(uri)
    before, folders = rows_of(uri), by_folder(uri)
    told = smelt("table", "cluster", uri, "--by", "Contract").stdout
    assert ", into 1,200 files, " in told and ", by 2 commits, version 2, in " in told, told
    assert rows_of(uri) == before and by_folder(uri).keys() == folders.keys()
    assert [entry["operation"] for entry in deltalake.DeltaTable(str(uri)).history(2)] == ["OPTIMIZE"] * 2
    assert smelt("table", "cluster", uri).stdout.startswith("nothing to cluster, in ")


def test_a_killed_run_keeps_what_it_committed(smelt, program, lake):
    uri = lake / "shop" / "many"
    many(uri)
    before = rows_of(uri)
    first = uri / "_delta_log" / f"{1:020}.json"
    child = subprocess.Popen([program.path, "table", "cluster", uri, "--by", "Contract"], stdout=subprocess.DEVNULL)
    while child.poll() is None and not first.exists():
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert deltalake.DeltaTable(str(uri)).version() == 1 and rows_of(uri) == before
    told = smelt.json("table", "cluster", uri, "--json")
    assert (told["version"], told["removed_files"], told["kept_files"]) == (2, MANY - 1000, 1000)
    assert rows_of(uri) == before
    assert smelt.json("table", "cluster", uri, "--json")["version"] is None


def test_same_bytes_at_any_threads_and_memory(smelt, lake):
    """Of a large partition and of many small ones, within 96 MB."""
    seen = set()
    many(lake / "shop" / "views", 300, big=400_000)
    for i, words in enumerate((("--threads", "1", "--memory-limit", "96MB"), ("--threads", "5"))):
        uri = lake / "shop" / f"copy{i}"
        shutil.copytree(lake / "shop" / "views", uri)
        smelt("table", "cluster", uri, "--by", "Contract,id", *words)
        files = deltalake.DeltaTable(str(uri)).file_uris()
        seen.add(tuple(sorted(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in files)))
    assert len(seen) == 1


# ---- pipelines ----------------------------------------------------------------------------------

PIPELINE = """\
name: views
vars:
  lake: {{type: uri, default: ./lake}}
lake: lake
tasks:
  - table: l.t
    sql: t.sql
    partition_by: day
  - cluster: l.t
    by: [{by}]
"""


def pipeline(tmp_path, by):
    rows = {"day": [n % 5 for n in range(300_000)], "customer": [n * 7919 % 100_003 for n in range(300_000)],
            "amount": list(range(300_000))}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    (tmp_path / "t.sql").write_text("FROM 'rows.parquet'")
    (tmp_path / "p.yaml").write_text(PIPELINE.format(by=by))


def test_a_pipeline_sorts_a_partitioned_table(smelt, tmp_path):
    pipeline(tmp_path, "customer, amount")
    told = smelt.json("run", "p.yaml", "--json")["clustered"][0]
    assert (told["removed_files"], told["rows"]) == (5, 300_000)
    uri = tmp_path / "lake" / "l" / "t"
    assert sorted(by_folder(uri)) == [f"day={day}" for day in range(5)]
    assert smelt.sql(f"SELECT count(*) AS n, sum(amount) AS s FROM '{uri}' WHERE day = 3") == [
        {"n": 60_000, "s": sum(range(3, 300_000, 5))}]
    assert smelt.json("table", "cluster", uri, "--json")["version"] is None


def test_a_pipeline_that_sorts_by_a_partition_column_is_refused(smelt, tmp_path):
    pipeline(tmp_path, "customer, Day")
    done = smelt("run", "p.yaml", check=False)
    assert done.returncode == 1 and 'l.t is partitioned by "day", so it is not sorted by it' in done.stderr
    assert "p.yaml:9:14" in done.stderr and not (tmp_path / "lake").exists(), done.stderr
