"""`smelt table optimize`: its options, what it prints and records, that rows keep their order, and
that loads go on while it runs."""
import json
import os
import random
import signal
import subprocess
import time

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def rows(first, n=5):
    return pa.table({"id": pa.array(range(first, first + n), pa.int64()), "text": ["some text"] * n})


def append(uri, first, n=5):
    deltalake.write_deltalake(str(uri), rows(first, n), mode="append")


@pytest.fixture
def table(lake):
    """Six versions, each with a small file."""
    uri = lake / "shop" / "orders"
    for first in range(0, 30, 5):
        append(uri, first)
    return uri


def ids(smelt, table, suffix=""):
    return [row["id"] for row in smelt.sql(f"SELECT id FROM '{table}'{suffix}")]


def files_of(smelt, table):
    return [file["rows"] for file in smelt.json("table", "files", table, "--json")["files"]]


def data_files(table):
    return sorted(path.name for path in table.glob("*.parquet"))


def live_files(table):
    return sorted(uri.rsplit("/", 1)[1] for uri in deltalake.DeltaTable(str(table)).file_uris())


def test_files_are_joined(smelt, table):
    told = smelt("table", "optimize", table).stdout
    assert told.startswith("joined 6 files, ") and ", into 1 file, " in told and "by 1 commit" in told, told
    assert files_of(smelt, table) == [30]
    assert ids(smelt, table) == list(range(30))
    assert ids(smelt, table, " AT (VERSION => 3)") == list(range(20))
    again = smelt("table", "optimize", table).stdout
    assert again.startswith("nothing to join, in "), again
    assert deltalake.DeltaTable(str(table)).version() == 6


def test_json(smelt, table):
    told = smelt.json("table", "optimize", table, "--json")
    assert told.pop("seconds") >= 0 and told.pop("peak_bytes") > 0 and told.pop("removed_bytes") > told.pop("added_bytes") > 0
    assert told == {"table": str(table), "dry_run": False, "target_bytes": 256 << 20, "from": 5,
                    "version": 6, "commits": 1, "bins": 1, "removed_files": 6, "deletion_vectors": 0,
                    "copied_files": 0, "added_files": 1, "rows": 30, "conflicts": 0}
    again = smelt.json("table", "optimize", table, "--json")
    assert (again["from"], again["version"], again["commits"], again["bins"]) == (6, None, 0, 0)


def test_dry_run_changes_nothing(smelt, table):
    before = {path: path.stat().st_mtime_ns for path in table.rglob("*")}
    told = smelt("table", "optimize", table, "--dry-run").stdout
    assert told.startswith("would join 6 files, ") and ", into 1 file, in " in told, told
    assert smelt.json("table", "optimize", table, "--dry-run", "--json")["removed_files"] == 6
    assert {path: path.stat().st_mtime_ns for path in table.rglob("*")} == before


def test_rows_keep_their_order(smelt, lake):
    """Large files stay, and the joined ones stand where the small ones stood; also after a checkpoint, and
    after more files and another run."""
    uri, first, wanted = lake / "shop" / "orders", 0, []
    for n in (5, 5, 90000, 5, 5, 5, 90000, 5):
        append(uri, first, n)
        first += n
    size = deltalake.DeltaTable(str(uri)).get_add_actions(flatten=True)
    largest = max(pa.table(size)["size_bytes"].to_pylist())
    told = smelt.json("table", "optimize", uri, "--target-size", str(largest + 1), "--json")
    assert told["bins"] == 2
    assert files_of(smelt, uri) == [10, 90000, 15, 90000, 5]
    assert ids(smelt, uri) == list(range(first))
    for _ in range(4):
        append(uri, first)
        first += 5
    assert files_of(smelt, uri) == [10, 90000, 15, 90000, 5, 5, 5, 5, 5]
    smelt("table", "optimize", uri, "--target-size", str(largest + 1))
    assert files_of(smelt, uri) == [10, 90000, 15, 90000, 25]
    assert ids(smelt, uri) == list(range(first))


def test_large_row_groups_are_copied(smelt, lake):
    """Files that smelt wrote, between others; the rows, their order and the statistics are the same."""
    uri, rng, wanted = lake / "shop" / "orders", random.Random(1), []
    for _ in range(6):
        numbers = [rng.getrandbits(60) for _ in range(75000)]
        deltalake.write_deltalake(str(uri), pa.table({"id": numbers, "text": ["x", None, "y"] * 25000}),
                                  mode="append")
        wanted += numbers
    size = max(path.stat().st_size for path in uri.glob("*.parquet"))
    told = smelt.json("table", "optimize", uri, "--json", "--target-size", str(size * 5 // 2))
    assert (told["added_files"], told["copied_files"]) == (3, 0)
    append(uri, 0)
    append(uri, 5)
    told = smelt.json("table", "optimize", uri, "--json", "--memory-limit", "96MB")
    assert (told["removed_files"], told["copied_files"], told["rows"]) == (5, 3, 450010)
    wanted += list(range(10))
    assert ids(smelt, uri) == wanted
    table = deltalake.DeltaTable(str(uri))
    assert table.to_pyarrow_table()["id"].to_pylist() == wanted
    [file] = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert (file["num_records"], file["min.id"], file["max.id"]) == (450010, 0, max(wanted))
    assert (file["null_count.text"], file["min.text"], file["max.text"]) == (150000, "some text", "y")
    footer = pq.ParquetFile(table.file_uris()[0], page_checksum_verification=True)
    assert [footer.metadata.row_group(i).num_rows for i in range(4)] == [150000, 150000, 150000, 10]
    assert footer.read()["id"].to_pylist() == wanted
    biggest = max(wanted)
    assert smelt.sql(f"SELECT text FROM '{uri}' WHERE id = {biggest}") == [
        {"text": ["x", None, "y"][wanted.index(biggest) % 3]}]


def test_copies_in_partitions(smelt, lake):
    """Each new file is in its partition, whether rows were copied or read."""
    uri, wanted = lake / "shop" / "orders", {"a": [], "b c": [], None: []}
    rng = random.Random(2)
    for part, numbers in list(wanted.items()) * 4:
        more = [rng.getrandbits(60) for _ in range(70000)]
        deltalake.write_deltalake(str(uri), pa.table({"id": more, "part": pa.array([part] * 70000, pa.string())}),
                                  mode="append", partition_by=["part"])
        numbers += more
    size = max(path.stat().st_size for path in uri.rglob("part-*.parquet"))
    smelt("table", "optimize", uri, "--target-size", str(size * 5 // 2))
    assert len(files_of(smelt, uri)) == 6
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, 2], "part": ["a", "b c"]}), mode="append")
    wanted["a"].append(1)
    wanted["b c"].append(2)
    told = smelt.json("table", "optimize", uri, "--json")
    assert (told["copied_files"], told["added_files"]) == (6, 3)
    for read in (lambda where: [row["id"] for row in smelt.sql(f"SELECT id FROM '{uri}' WHERE {where}")],
                 lambda where: pa.table(deltalake.QueryBuilder()
                                        .register("t", deltalake.DeltaTable(str(uri)))
                                        .execute(f"SELECT id FROM t WHERE {where}").read_all())["id"]
                 .to_pylist()):
        for part, numbers in wanted.items():
            where = f"part = '{part}'" if part else "part IS NULL"
            assert sorted(read(where)) == sorted(numbers), part


def test_order_behind_a_checkpoint(smelt, lake):
    """That smelt writes; other writers put the files of theirs in an order of their own."""
    uri = lake / "shop" / "orders"
    sizes = {}
    for first, n in ((0, 5), (5, 5), (10, 90000), (90010, 5)):
        deltalake.write_deltalake(
            str(uri), rows(first, n), mode="append", configuration={"delta.checkpointInterval": "4"},
            post_commithook_properties=deltalake.PostCommitHookProperties(create_checkpoint=False))
        sizes[first] = max(path.stat().st_size for path in uri.glob("*.parquet"))
    smelt("table", "optimize", uri, "--target-size", str(sizes[10] + 1))
    (uri / "_delta_log" / f"{0:020}.json").unlink()
    assert (uri / "_delta_log" / f"{4:020}.checkpoint.parquet").exists()
    assert files_of(smelt, uri) == [10, 90000, 5]
    assert ids(smelt, uri) == list(range(90015))


def test_target_size_of_the_table(smelt, table):
    deltalake.DeltaTable(str(table)).alter.set_table_properties({"delta.targetFileSize": "3kb"},
                                                                raise_if_not_exists=False)
    assert smelt.json("table", "optimize", table, "--dry-run", "--json")["target_bytes"] == 3072
    told = smelt.json("table", "optimize", table, "--dry-run", "--json", "--target-size", "1MB")
    assert told["target_bytes"] == 1000000


def test_property_that_is_not_understood(smelt, table):
    deltalake.DeltaTable(str(table)).alter.set_table_properties({"delta.targetFileSize": "huge"},
                                                                raise_if_not_exists=False)
    done = smelt("table", "optimize", table, check=False)
    assert done.returncode == 1 and 'delta.targetFileSize is not understood: "huge"' in done.stderr
    smelt("table", "optimize", table, "--target-size", "1MB")


@pytest.mark.parametrize("text", ["", "0", "x", "-1MB", "1 parsec"])
def test_no_size(smelt, table, text):
    done = smelt("table", "optimize", table, f"--target-size={text}", check=False)
    assert done.returncode == 2
    assert "is not a size" in done.stderr


@pytest.mark.parametrize("verb, option", [
    ("optimize", "--version=1"), ("optimize", "--limit=1"), ("optimize", "--lite"),
    ("optimize", "--retention=7d"), ("vacuum", "--target-size=1MB"), ("show", "--target-size=1MB")])
def test_options_of_another_verb(smelt, table, verb, option):
    done = smelt("table", verb, table, option, check=False)
    assert done.returncode == 2
    assert f"smelt table {verb} has no option {option.split('=')[0]}" in done.stderr


def test_no_table(smelt, tmp_path):
    done = smelt("table", "optimize", tmp_path / "nothing", check=False)
    assert done.returncode == 1
    assert "no Delta table in" in done.stderr


def test_append_only_tables_too(smelt, lake):
    """The rows stay the same, which such a table allows."""
    uri = lake / "shop" / "orders"
    for first in (0, 5):
        deltalake.write_deltalake(str(uri), rows(first), mode="append",
                                  configuration={"delta.appendOnly": "true"})
    smelt("table", "optimize", uri)
    assert files_of(smelt, uri) == [10]


def test_it_is_recorded_in_the_log(smelt, table):
    smelt("table", "optimize", table)
    info = deltalake.DeltaTable(str(table)).history(1)[0]
    assert info["operation"] == "OPTIMIZE"
    assert info["operationParameters"] == {"predicate": "[]", "zOrderBy": "[]", "auto": False}
    assert info["operationMetrics"]["numRemovedFiles"] == "6"
    lines = [json.loads(line) for line in
             (table / "_delta_log" / f"{6:020}.json").read_text().splitlines()]
    actions = [line.get("add") or line.get("remove") for line in lines if "commitInfo" not in line]
    assert len(actions) == 7 and not any(action["dataChange"] for action in actions)


# ---- other writers

def stopped(smelt, table, k):
    """An optimize that stands still before its k-th write."""
    one = subprocess.Popen([smelt.path, "table", "optimize", str(table), "--json"], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env={**os.environ, "SMELT_FAULT": f"at={k},kind=stop,writes=1"})
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if one.poll() is not None:
            break
        with open(f"/proc/{one.pid}/stat") as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] == "T":
                return one
        time.sleep(0.01)
    one.wait(timeout=30)
    return None


def go_on(one):
    os.kill(one.pid, signal.SIGCONT)
    out, said = one.communicate(timeout=60)
    return one.returncode, out, said


def test_loads_go_on_beside_it(smelt, table):
    """Appends of others at any point of its way: all rows are there, and it has joined what it found."""
    first, n_stops = 30, 0
    for k in range(1, 20):
        one = stopped(smelt, table, k)
        if not one:
            break
        n_stops += 1
        append(table, first)
        code, out, said = go_on(one)
        assert code == 0, said
        told = json.loads(out)
        assert told["conflicts"] == 0 and told["commits"] == 1
        first += 5
        assert sorted(ids(smelt, table)) == list(range(first))
        append(table, first)  # so that there is something to join again
        first += 5
    assert n_stops >= 2
    assert live_files(table) and not set(live_files(table)) - set(data_files(table))


def test_a_writer_that_removes_its_files_wins(smelt, table):
    one = stopped(smelt, table, 2)  # its new file is written
    assert one
    deltalake.write_deltalake(str(table), rows(100), mode="overwrite")
    code, out, said = go_on(one)
    assert code == 0, said
    told = json.loads(out)
    assert (told["conflicts"], told["commits"]) == (1, 0)
    assert ids(smelt, table) == list(range(100, 105))
    assert len(data_files(table)) == 7  # what it had written is gone


def test_files_of_a_partition_are_joined(smelt, lake):
    """They are no neighbours in the table: each append has a file for each day."""
    uri = lake / "shop" / "days"
    for first in range(0, 30, 5):
        part = rows(first).append_column("day", pa.array([row % 3 or None for row in range(first, first + 5)],
                                                         pa.int32()))
        deltalake.write_deltalake(str(uri), part, mode="append", partition_by=["day"])
    before = smelt.sql(f"SELECT * FROM '{uri}' ORDER BY id")
    told = smelt("table", "optimize", uri).stdout
    assert told.startswith("joined 18 files, ") and ", into 3 files, " in told and "by 1 commit" in told, told
    assert sorted(files_of(smelt, uri)) == [10, 10, 10]
    assert smelt.sql(f"SELECT * FROM '{uri}' ORDER BY id") == before
    assert ids(smelt, uri, " WHERE day = 2") == list(range(2, 30, 3))
    opened = deltalake.DeltaTable(str(uri))
    assert len({name.rsplit("/", 2)[1] for name in opened.file_uris()}) == 3
    assert smelt("table", "optimize", uri).stdout.startswith("nothing to join, in ")
