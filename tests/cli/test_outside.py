"""Tables whose log names files by absolute paths: which are read, and what commands do with them."""
import json
import pathlib
import shutil
import urllib.parse

import deltalake
import pyarrow as pa
import pytest


def write(table, first, n=10):
    rows = pa.table({"id": pa.array(range(first, first + n), pa.int64())})
    deltalake.write_deltalake(str(table), rows, mode="append")


@pytest.fixture
def table(lake):
    """Two files in a folder with odd names, of which the first is named by an absolute path."""
    uri = lake / "a b é" / "orders"
    write(uri, 0)
    write(uri, 10)
    (lake / "far").mkdir()
    return move(uri, lake / "far")


def move(uri, to, spell=None):
    """Moves the file of version 0 there, and names it by `spell` of its path, or by its URI."""
    commit = uri / "_delta_log" / "00000000000000000000.json"
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    add = next(line["add"] for line in lines if "add" in line)
    there = to / "file of 100%.parquet"
    shutil.move(uri / add["path"], there)
    add["path"] = spell(there) if spell else there.as_uri()
    commit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return uri


def ids(smelt, table):
    return [row["id"] for row in smelt.sql(f"SELECT id FROM '{table}' ORDER BY id")]


@pytest.mark.parametrize("spell", [
    lambda path: path.as_uri(),
    lambda path: "file:" + urllib.parse.quote(str(path)),
    lambda path: urllib.parse.quote(str(path))], ids=["file:///", "file:/", "/"])
def test_files_outside_are_read(smelt, lake, spell):
    uri = lake / "shop" / "orders"
    write(uri, 0)
    write(uri, 10)
    (lake / "far é").mkdir()
    move(uri, lake / "far é", spell)
    assert ids(smelt, uri) == list(range(20))
    assert smelt("table", "fsck", uri, "--data").returncode == 0


def test_what_a_table_may_name(smelt, lake):
    uri = lake / "shop" / "orders"
    write(uri, 0)
    write(uri, 10)
    (lake / "far").mkdir()
    move(uri, lake / "far", lambda path: f"file://{path.parent}/../far/{path.name}")
    for command in (["sql", f"SELECT * FROM '{uri}'"], ["table", "fsck", uri]):
        done = smelt(*command, check=False)
        assert done.returncode == 1 and 'has a part "." or ".."' in done.stderr + done.stdout
    assert smelt.json("table", "show", uri, "--json")["files"] == 2


def test_stores_that_smelt_does_not_have(smelt, lake):
    uri = lake / "shop" / "orders"
    write(uri, 0)
    move(uri, lake, lambda path: "abfss://container@host/x.parquet")
    done = smelt("sql", f"SELECT * FROM '{uri}'", check=False)
    assert done.returncode == 1 and "abfss" in done.stderr
    told = json.loads(smelt("table", "fsck", uri, "--json", check=False).stdout)
    assert [f["kind"] for f in told["findings"]] == ["unreachable"]


def test_vacuum_leaves_them(smelt, table, lake):
    told = smelt.json("table", "vacuum", table, "--retention", "0s", "--no-retention-check", "--json")
    assert told["files"] == 0
    assert ids(smelt, table) == list(range(20))


def test_restore(smelt, table, lake):
    smelt("table", "restore", table, "--version", 0)
    assert ids(smelt, table) == list(range(10))
    smelt("table", "restore", table, "--version", 1)
    assert ids(smelt, table) == list(range(20))
    next((lake / "far").glob("*.parquet")).unlink()
    done = smelt("table", "restore", table, "--version", 0, check=False)
    assert done.returncode == 1 and "gone from the store" in done.stderr
    told = json.loads(smelt("table", "fsck", table, "--json", check=False).stdout)
    assert [f["kind"] for f in told["findings"]] == ["gone"]
    smelt("table", "fsck", table, "--repair", "--rows", 10)
    assert ids(smelt, table) == list(range(10, 20))


def test_checkpoints_keep_the_path(smelt, table):
    for i in range(2, 12):
        smelt("table", "restore", table, "--version", i % 2)
    assert list(pathlib.Path(table).glob("_delta_log/*.checkpoint.parquet"))
    assert ids(smelt, table) == list(range(20))
    assert smelt("table", "fsck", table, "--data").returncode == 0
