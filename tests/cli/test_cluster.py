"""`smelt table cluster`: what it prints and refuses, that it moves what is new, that the rows stay and
are read by others, that filters read less, and that the bytes do not depend on threads or memory."""
import hashlib
import json
import pathlib
import re

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 60_000


def load(n, day, seed=0):
    """n rows of one day, with customers in no order."""
    return duckdb.sql(f"""
        SELECT DATE '2022-04-01' + {day} AS "Date",
               printf('HNH%06d', (hash(range * 131 + {day} * 7 + {seed}) % 100000)::INT) AS "Contract",
               (hash(range) % 86400)::BIGINT AS seconds
        FROM range({n})""").to_arrow_table()


def set_properties(uri, **properties):
    """As if the table had been made with them: in its first commit."""
    first = pathlib.Path(uri, "_delta_log", f"{0:020}.json")
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    for action in actions:
        if "metaData" in action:
            action["metaData"]["configuration"].update(properties)
    first.write_text("".join(json.dumps(action) + "\n" for action in actions))


@pytest.fixture
def table(lake):
    """Ten days, a file each; row groups small enough that there are many."""
    uri = str(lake / "shop" / "views")
    for day in range(10):
        deltalake.write_deltalake(uri, load(ROWS // 10, day), mode="append")
    set_properties(uri, **{"smelt.rowGroupRows": "500"})
    return uri


def all_rows(uri):
    files = deltalake.DeltaTable(uri).file_uris()
    return duckdb.sql(f"SELECT * FROM read_parquet({files!r}) ORDER BY ALL").fetchall()


def hit_groups(uri, column, value):
    """How many row groups DuckDB may not leave out, and how many there are."""
    files = deltalake.DeltaTable(uri).file_uris()
    return duckdb.sql(f"""
        SELECT count(*) FILTER (stats_min_value <= '{value}' AND stats_max_value >= '{value}'), count(*)
        FROM parquet_metadata({files!r}) WHERE path_in_schema = '{column}'""").fetchall()[0]


def read_and_skipped(smelt, query):
    """How many row groups smelt reads for a query, and how many it leaves out."""
    told = smelt("explain", "--analyze", query).stdout
    read, skipped = re.search(r"(\d+) morsels?(?: \((\d+) skipped\))?", told).groups()
    return int(read), int(skipped or 0)


def tags_of(uri):
    """Path and tags of each live file, by the log itself."""
    live = {}
    for commit in sorted(pathlib.Path(uri, "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                live[action["add"]["path"]] = action["add"].get("tags") or {}
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return live


@pytest.mark.parametrize("curve", ["zorder", "hilbert"])
def test_filters_leave_out_most_row_groups(smelt, table, curve):
    before = all_rows(table)
    value = sorted(row[1] for row in before)[ROWS // 2]
    hit, n = hit_groups(table, "Contract", value)
    assert hit == n
    told = smelt("table", "cluster", table, "--by", "Date,Contract", "--curve", curve).stdout
    assert told.startswith("sorted 10 files, "), told
    assert all_rows(table) == before
    for column, wanted in (("Contract", value), ("Date", "2022-04-05")):
        hit, n = hit_groups(table, column, wanted)
        assert n >= ROWS // 500 and hit <= n / 8, (column, hit, n)
    hit, n = hit_groups(table, "Contract", value)
    assert hit <= n / 10, (hit, n)


def test_smelt_and_peers_read_the_same(smelt, table):
    wanted = all_rows(table)
    value = wanted[77][1]
    few = [row for row in wanted if row[1] == value]
    smelt("table", "cluster", table, "--by", "Date,Contract")
    assert deltalake.DeltaTable(table).to_pyarrow_table().num_rows == ROWS
    assert polars.read_delta(table).sort("Date", "Contract", "seconds").rows() == wanted
    told = smelt.sql(f"SELECT count(*) AS n, sum(seconds) AS s FROM '{table}' WHERE \"Contract\" = '{value}'")
    assert told == [{"n": len(few), "s": sum(row[2] for row in few)}]


def test_smelt_reads_less(smelt, table):
    value = sorted(row[1] for row in all_rows(table))[ROWS // 3]
    query = f"SELECT sum(seconds) FROM '{table}' WHERE \"Contract\" = '{value}'"
    assert read_and_skipped(smelt, query) == (10, 0)
    smelt("table", "cluster", table, "--by", "Date,Contract")
    read, skipped = read_and_skipped(smelt, query)
    assert read + skipped >= ROWS // 500 and skipped >= 9 * read, (read, skipped)


def test_second_run_does_nothing(smelt, table):
    smelt("table", "cluster", table, "--by", "Date,Contract")
    version = deltalake.DeltaTable(table).version()
    names = sorted(path.name for path in pathlib.Path(table).rglob("*"))
    for words in ((), ("--by", "Date,Contract"), ("--curve", "zorder"), ("--dry-run",)):
        told = smelt("table", "cluster", table, *words).stdout.splitlines()
        assert told[0].startswith("nothing to cluster, in "), told
        assert told[1].endswith(" clustered already"), told
    assert deltalake.DeltaTable(table).version() == version
    assert sorted(path.name for path in pathlib.Path(table).rglob("*")) == names


def test_a_new_day_moves_alone(smelt, table):
    smelt("table", "cluster", table, "--by", "Date,Contract")
    there = set(tags_of(table))
    deltalake.write_deltalake(table, load(ROWS // 10, 10), mode="append")
    before = all_rows(table)
    dry = smelt.json("table", "cluster", table, "--dry-run", "--json")
    assert [move["why"] for move in dry["moves"]] == ["not clustered"]
    assert dry["version"] is None
    told = smelt.json("table", "cluster", table, "--json")
    assert (told["removed_files"], told["rows"], told["sets"]) == (1, ROWS // 10, 2)
    assert there < set(tags_of(table))
    assert all_rows(table) == before
    assert smelt.json("table", "cluster", table, "--json")["version"] is None


def test_what_the_log_says(smelt, table):
    smelt("table", "cluster", table, "--by", "Date,Contract")
    last = deltalake.DeltaTable(table).history(1)[0]
    assert last["operation"] == "OPTIMIZE"
    assert json.loads(last["operationParameters"]["zOrderBy"]) == ["Date", "Contract"]
    config = deltalake.DeltaTable(table).metadata().configuration
    assert config["smelt.clusterBy"] == '["Date","Contract"]'
    assert config["smelt.rowGroupRows"] == "500"  # as it was
    assert config["delta.targetFileSize"] == str(16 << 20)
    assert {tags["smelt.cluster"] for tags in tags_of(table).values()} == {'zorder ["Date","Contract"]'}


def test_marks_survive_a_checkpoint_and_another_writer(smelt, table):
    smelt("table", "cluster", table, "--by", "Date,Contract")
    deltalake.DeltaTable(table).create_checkpoint()
    assert smelt.json("table", "cluster", table, "--json")["version"] is None
    deltalake.write_deltalake(table, load(10, 20), mode="append")
    assert smelt.json("table", "cluster", table, "--json")["removed_files"] == 1


def files_bytes(uri):
    return sorted(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
                  for path in deltalake.DeltaTable(uri).file_uris())


def test_same_bytes_at_any_threads_and_memory(smelt, lake):
    """Also where several files are written at a time: with the second target."""
    for target in ("16777216", "300000"):
        seen = set()
        for i, words in enumerate((("--threads", "1"), ("--threads", "5"), ("--memory-limit", "96MB"))):
            uri = str(lake / "shop" / f"copy{i}-{target}")
            for day in range(3):
                deltalake.write_deltalake(uri, load(100_000, day), mode="append")
            set_properties(uri, **{"delta.targetFileSize": target})
            smelt("table", "cluster", uri, "--by", "Date,Contract", *words)
            seen.add(tuple(files_bytes(uri)))
        assert len(seen) == 1
        assert (len(seen.pop()) > 4) == (target == "300000")


@pytest.mark.parametrize("index", [True, False])
def test_a_sample_of_many_rows(smelt, lake, index):
    """Of 1,200,000 rows, in the order of their days, one third is sampled; files without page index too."""
    folder = lake / "shop" / "views"
    folder.mkdir(parents=True)
    for part in range(3):
        rows = pa.concat_tables([load(40_000, part * 10 + day) for day in range(10)])
        pq.write_table(rows, folder / f"{part}.parquet", row_group_size=150_000, write_page_index=index)
    deltalake.convert_to_deltalake(str(folder))
    set_properties(folder, **{"smelt.rowGroupRows": "200000"})
    before = all_rows(folder)
    smelt("table", "cluster", str(folder), "--by", "Date,Contract")
    assert all_rows(folder) == before
    for column, value in (("Date", "2022-04-17"), ("Contract", "HNH070000")):
        hit, n = hit_groups(folder, column, value)
        assert n <= 16 and hit <= n / 2, column


@pytest.mark.parametrize("words,code,said", [
    ((), 2, "does not say by which columns"),
    (("--by", "Contrat"), 1, 'Did you mean "Contract"?'),
    (("--by", "Date,,Contract"), 2, "empty name"),
    (("--by", "Date,Date"), 2, "named twice"),
    (("--by", "Date", "--curve", "peano"), 2, "neither zorder nor hilbert"),
    (("--by", "Date", "--limit", "3"), 2, "no option --limit"),
])
def test_refused(smelt, table, words, code, said):
    version = deltalake.DeltaTable(table).version()
    done = smelt("table", "cluster", table, *words, check=False)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert deltalake.DeltaTable(table).version() == version


def test_options_of_cluster_are_no_others(smelt, table):
    done = smelt("table", "show", table, "--by", "Date", check=False)
    assert done.returncode == 2 and "no option --by" in done.stderr


def test_nested_columns_are_refused(smelt, lake):
    uri = str(lake / "shop" / "nested")
    deltalake.write_deltalake(uri, pa.table({"tags": [["a"], ["b"]]}))
    done = smelt("table", "cluster", uri, "--by", "tags", check=False)
    assert done.returncode == 1 and 'nested column "tags"' in done.stderr
