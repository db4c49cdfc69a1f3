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


# ---- absolute paths into the table's own folder: other names of the files that lie there ---------


def actions_of(uri, version):
    commit = pathlib.Path(uri) / f"_delta_log/{version:020}.json"
    return [json.loads(line) for line in commit.read_text().splitlines()]


def put_commit(uri, version, *actions):
    (pathlib.Path(uri) / f"_delta_log/{version:020}.json").write_text(
        "".join(json.dumps(action) + "\n" for action in actions))


def remove_of(add):
    more = {"deletionVector": add["deletionVector"]} if "deletionVector" in add else {}
    return {"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True, **more}}


@pytest.fixture
def home(smelt, lake):
    """Two files of ten rows in a folder with odd names."""
    uri = lake / "a b é" / "100% orders"
    for n, verb in ((0, "CREATE TABLE '{}' AS"), (10, "INSERT INTO '{}'")):
        rows = ", ".join(f"({i})" for i in range(n, n + 10))
        smelt("sql", "--write", f"{verb.format(uri)} SELECT id FROM (VALUES {rows}) v(id)")
    return uri


def checkpoint(smelt, uri, version):
    """By a version that changes no row."""
    smelt("sql", "--write", f"ALTER TABLE '{uri}' SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    assert (uri / f"_delta_log/{version:020}.checkpoint.parquet").exists()


def add_at(uri, version):
    return next(line["add"] for line in actions_of(uri, version) if "add" in line)


HOME = {
    "file:///": lambda path: path.as_uri(),
    "file:/": lambda path: "file:" + urllib.parse.quote(str(path)),
    "/": lambda path: urllib.parse.quote(str(path)),
    "//": lambda path: urllib.parse.quote(str(path)).replace("/", "//"),
    "/./": lambda path: urllib.parse.quote(str(path.parent)) + "/./" + path.name,
    "codes": lambda path: "file://" + "".join(f"%{c:02x}" for c in str(path).encode()).replace("%2f", "/"),
}


@pytest.fixture(params=HOME)
def spelt(request, home):
    """Names a file of the table."""
    return lambda path: HOME[request.param](home / path)


def test_a_file_of_its_own_is_one(smelt, home, spelt):
    """Added by both its names its rows are there once; other readers may have them twice, which fsck says."""
    add = add_at(home, 0)
    put_commit(home, 2, {"add": {**add, "path": spelt(add["path"])}})
    assert ids(smelt, home) == list(range(20))
    assert smelt.json("table", "show", home, "--json")["files"] == 2
    checkpoint(smelt, home, 3)
    put_commit(home, 4, {"add": add})
    assert ids(smelt, home) == list(range(20))
    smelt("sql", "--write", f"DELETE FROM '{home}' WHERE id = 3")
    assert ids(smelt, home) == [i for i in range(20) if i != 3]
    smelt("table", "optimize", home)
    smelt("table", "vacuum", home, "--retention", "0s", "--no-retention-check")
    assert ids(smelt, home) == [i for i in range(20) if i != 3]
    told = json.loads(smelt("table", "fsck", home, "--data", "--json", check=False).stdout)
    assert [(f["kind"], f["version"]) for f in told["findings"]] == [("log", 2), ("log", 4)]
    assert told["findings"][0]["what"].endswith(f'"{add["path"]}" of version 0')
    assert told["findings"][1]["what"].startswith(f'the commit adds "{add["path"]}", which is the file "')


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("is_added_so", [False, True])
def test_a_file_of_its_own_is_removed_by_any_name(smelt, home, spelt, is_added_so, with_checkpoint):
    add = add_at(home, 0)
    other = {**add, "path": spelt(add["path"])}
    if is_added_so:
        lines = actions_of(home, 0)
        put_commit(home, 0, *[{"add": other} if "add" in line else line for line in lines])
        add, other = other, add
    assert ids(smelt, home) == list(range(20))
    if with_checkpoint:
        checkpoint(smelt, home, 2)
    put_commit(home, 2 + with_checkpoint, remove_of(other))
    assert ids(smelt, home) == list(range(10, 20))
    smelt("table", "restore", home, "--version", 1)
    assert ids(smelt, home) == list(range(20))


def test_vectors_of_a_file_of_its_own(smelt, home, spelt):
    smelt("sql", "--write", f"ALTER TABLE '{home}' SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    smelt("sql", "--write", f"DELETE FROM '{home}' WHERE id = 3")
    add = add_at(home, 3)
    assert "deletionVector" in add
    other = {**add, "path": spelt(add["path"])}
    put_commit(home, 4, {"add": other})
    left = [i for i in range(20) if i != 3]
    assert ids(smelt, home) == left
    smelt("sql", "--write", f"DELETE FROM '{home}' WHERE id = 5")  # the vector moves on
    assert ids(smelt, home) == [i for i in left if i != 5]
    told = [line["remove"]["path"] for line in actions_of(home, 5) if "remove" in line]
    assert told == [other["path"]]  # as the log names it: others compare texts
    put_commit(home, 6, remove_of({**add_at(home, 5), "path": add["path"]}))
    assert ids(smelt, home) == list(range(10, 20))


def test_changes_of_a_file_of_its_own(smelt, home, spelt):
    """Removed by one name and added by the other, with a vector: one row went, and none came."""
    smelt("sql", "--write", f"""ALTER TABLE '{home}' SET TBLPROPERTIES (
        'delta.enableDeletionVectors' = 'true', 'delta.enableChangeDataFeed' = 'true')""")
    smelt("sql", "--write", f"DELETE FROM '{home}' WHERE id = 3")
    add, remove = add_at(home, 3), next(line for line in actions_of(home, 3) if "remove" in line)
    put_commit(home, 3, {"add": {**add, "path": spelt(add["path"])}}, remove)
    assert ids(smelt, home) == [i for i in range(20) if i != 3]
    changes = smelt.sql(f"SELECT id, _change_type AS t FROM table_changes('{home}', 3)")
    assert changes == [{"id": 3, "t": "delete"}]


def test_a_link_to_the_table(smelt, home, lake):
    """The log may name its files by the folder's real path, and by the one by which it is opened."""
    (lake / "link").symlink_to(home)
    add = add_at(home, 0)
    for version, folder in ((2, home), (3, lake / "link")):
        put_commit(home, version, {"add": {**add, "path": (folder / add["path"]).as_uri()}})
        assert ids(smelt, lake / "link") == list(range(20))


def test_the_table_has_moved(smelt, home, lake, spelt):
    """Absolute paths do not move with it: they name files of another folder."""
    add = add_at(home, 0)
    lines = actions_of(home, 0)
    put_commit(home, 0, *[{"add": {**add, "path": spelt(add["path"])}} if "add" in line else line for line in lines])
    shutil.copytree(home, lake / "copy")
    if "/./" in spelt(add["path"]):
        done = smelt("sql", f"SELECT * FROM '{lake / 'copy'}'", check=False)
        assert done.returncode == 1 and not done.stdout and 'smelt: path "' in done.stderr  # its end is cut
        return
    assert ids(smelt, lake / "copy") == list(range(20))
    put_commit(lake / "copy", 2, {"add": add})
    assert ids(smelt, lake / "copy") == [i for i in range(10) for _ in range(2)] + list(range(10, 20))
    (home / add["path"]).unlink()
    done = smelt("sql", f"SELECT * FROM '{lake / 'copy'}'", check=False)
    assert done.returncode == 1 and not done.stdout and add["path"] in done.stderr


@pytest.mark.parametrize("path", ["{}/../100%25 orders/x", "{}/a/../x", "{}/", "{}/./"])
def test_no_file_of_its_own(smelt, home, path):
    put_commit(home, 2, {"add": {**add_at(home, 0), "path": path.format(urllib.parse.quote(str(home)))}})
    done = smelt("sql", f"SELECT * FROM '{home}'", check=False)
    assert done.returncode == 1 and not done.stdout and 'smelt: path "' in done.stderr  # its end is cut


def test_a_clone_of_such_a_table(smelt, home, lake, spelt):
    add = add_at(home, 0)
    put_commit(home, 2, {"add": {**add, "path": spelt(add["path"])}})
    smelt("table", "clone", home, lake / "clone")
    assert ids(smelt, lake / "clone") == list(range(20))
    smelt("sql", "--write", f"DELETE FROM '{lake / 'clone'}' WHERE id = 3")
    assert ids(smelt, lake / "clone") == [i for i in range(20) if i != 3]
    assert ids(smelt, home) == list(range(20))
