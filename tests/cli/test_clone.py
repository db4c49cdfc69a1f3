"""`smelt table clone`: tables that name the files of another one, and what commands do with them."""
import datetime
import json
import shutil
import time

import deltalake
import pyarrow as pa
import pytest


def write(uri, first, n=10):
    rows = pa.table({"id": pa.array(range(first, first + n), pa.int64()), "day": pa.array(["a %é", "b"] * (n // 2))})
    deltalake.write_deltalake(str(uri), rows, mode="append", partition_by=["day"],
                              configuration={"delta.logRetentionDuration": "interval 3 days"} if first == 0 else None)


@pytest.fixture
def source(lake):
    uri = lake / "shop ü" / "orders 100"
    for first in (0, 10, 20):
        write(uri, first)
    return uri


def ids(smelt, table):
    return [row["id"] for row in smelt.sql(f"SELECT id FROM '{table}' ORDER BY id")]


def state_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_clone_has_the_rows_and_no_files(smelt, source, lake):
    before, target = state_of(source), lake / "silver" / "clone é"
    told = smelt.json("table", "clone", source, target, "--json")
    assert (told["version"], told["source_version"], told["files"]) == (0, 2, 6)
    assert ids(smelt, target) == list(range(30)) and state_of(source) == before
    assert not list(target.rglob("*.parquet"))
    assert smelt.sql(f"SELECT count(*) AS n FROM '{target}' WHERE day = 'a %é'") == [{"n": 15}]
    assert smelt("table", "fsck", target, "--data").returncode == 0
    shown = [smelt.json("table", "show", t, "--json") for t in (source, target)]
    for key in ("rows", "files", "bytes", "columns", "partitioned", "properties", "protocol"):
        assert shown[0][key] == shown[1][key]
    info = smelt.json("table", "history", target, "--json")["commits"][0]
    assert info["operation"] == "CLONE" and info["metrics"]["numCopiedFiles"] == "0"
    log = (target / "_delta_log" / "00000000000000000000.json").read_text()
    paths = [json.loads(line)["add"]["path"] for line in log.splitlines() if '"add"' in line]
    assert all(path.startswith(source.as_uri() + "/day=") for path in paths)
    id_of = [json.loads(line)["metaData"]["id"] for line in log.splitlines() if '"metaData"' in line]
    assert id_of != [str(deltalake.DeltaTable(str(source)).metadata().id)]


def test_a_version_or_a_time(smelt, source, lake):
    smelt("table", "clone", source, lake / "a", "--version", 1)
    assert ids(smelt, lake / "a") == list(range(20))
    time.sleep(0.01)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    time.sleep(0.01)
    write(source, 30)
    smelt("table", "clone", source, lake / "b", "--timestamp", now)
    assert ids(smelt, lake / "b") == list(range(30))


def test_both_go_their_own_ways(smelt, source, lake):
    target = lake / "silver" / "orders"
    smelt("table", "clone", source, target)
    before = state_of(source)
    smelt("table", "optimize", target)  # its files are its own from here on
    assert ids(smelt, target) == list(range(30)) and list(target.rglob("*.parquet"))
    smelt("table", "restore", target, "--version", 0)
    assert ids(smelt, target) == list(range(30))
    told = smelt.json("table", "vacuum", target, "--retention", "0s", "--no-retention-check", "--json")
    assert told["files"] > 0 and not list(target.rglob("*.parquet"))  # those of the optimize alone
    assert state_of(source) == before and ids(smelt, target) == list(range(30))
    told = smelt.json("table", "diff", target, "--from", 0, "--by", "id", "--json")
    assert (told["came"], told["went"], told["changed"]) == (0, 0, 0)
    write(source, 30)
    assert ids(smelt, target) == list(range(30))


def test_a_vacuum_of_the_source_takes_the_files(smelt, source, lake):
    """It does not know of the clone; fsck names what is gone, and repairs it."""
    target = lake / "clone"
    smelt("table", "clone", source, target, "--version", 0)
    smelt("table", "optimize", source)
    smelt("table", "vacuum", source, "--retention", "0s", "--no-retention-check")
    told = json.loads(smelt("table", "fsck", target, "--json", check=False).stdout)
    assert [f["kind"] for f in told["findings"]] == ["gone", "gone"]
    assert json.loads(smelt("table", "fsck", target, "--repair", "--rows", 10, "--json").stdout)["left"] == 0


def test_a_clone_of_a_clone(smelt, source, lake):
    smelt("table", "clone", source, lake / "a")
    smelt("table", "clone", lake / "a", lake / "b")
    shutil.rmtree(lake / "a")
    assert ids(smelt, lake / "b") == list(range(30))


def test_deletion_vectors(smelt, lake, conformance):
    """They are named where they are."""
    vectors = conformance / "delta-golden" / "dv-partitioned-with-checkpoint"
    smelt("table", "clone", vectors, lake / "v")
    query = "SELECT * FROM delta_scan('{}') ORDER BY ALL"
    assert smelt.sql(query.format(lake / "v")) == smelt.sql(query.format(vectors)) != []
    smelt("table", "fsck", lake / "v", "--data")


def test_what_is_refused(smelt, source, lake):
    for target, words in ((source, "into itself"), (f"{source}/../{source.name}", "into itself")):
        done = smelt("table", "clone", source, target, check=False)
        assert done.returncode == 2 and words in done.stderr
    smelt("table", "clone", source, lake / "a")
    done = smelt("table", "clone", source, lake / "a", check=False)
    assert done.returncode == 1 and "is a Delta table already" in done.stderr
    assert smelt("table", "clone", lake / "nothing", lake / "b", check=False).returncode == 1
    done = smelt("table", "clone", source, lake / "b", "--version", 9, check=False)
    assert done.returncode == 1 and "no version 9" in done.stderr
    for args in ([source], [source, lake / "b", "c"], [source, lake / "b", "--dry-run"]):
        assert smelt("table", "clone", *args, check=False).returncode == 2
    assert smelt("table", "show", source, lake / "b", check=False).returncode == 2


def test_the_store_fails(smelt, source, lake):
    """Each k-th call: there is a whole table, or none, and the source stays."""
    before = state_of(source)
    for at in range(1, 200):
        target = lake / f"t{at}" / "x" / "y"
        done = smelt("table", "clone", source, target, check=False, env={"SMELT_FAULT": f"at={at},kind=error"})
        if done.returncode != 0:  # the next one in the lake completes what was begun
            smelt("table", "clone", source, target.parent / "z")
        if (target / "_delta_log" / "00000000000000000000.json").exists():
            assert ids(smelt, target) == list(range(30))
        if done.returncode == 0:
            break
    assert done.returncode == 0 and at > 8 and state_of(source) == before
