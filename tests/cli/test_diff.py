"""`smelt table diff`: compared with what a few lines of Python find in the same versions."""
import collections
import json
import random

import deltalake
import pyarrow as pa
import pytest

SCHEMA = pa.schema([("id", pa.int64()), ("day", pa.string()), ("name", pa.string()), ("x", pa.float64())])


def row(key, rng):
    return {"id": key, "day": rng.choice(["a", "b %"]), "name": rng.choice([None, "Anna", "O'Hara, B"]),
            "x": rng.choice([None, float("nan"), -0.0, 0.0, 1.5])}


def batch(rows):
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def rows_at(table, version):
    return deltalake.DeltaTable(str(table), version=version).to_pyarrow_table().to_pylist()


def plain(value):
    """NaN equals NaN, and −0 equals 0."""
    return "nan" if value != value else value + 0.0 if isinstance(value, float) else value


def text(value):
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def diff(smelt, table, *options, check=True):
    return smelt.json("table", "diff", table, "--json", *options, check=check)


@pytest.fixture
def table(lake):
    """Ten versions: appends, deletes, updates, and files that many versions share."""
    uri, rng = lake / "shop" / "orders", random.Random(7)
    next_id = 0
    for version in range(10):
        if version % 3 == 2:
            gone = rng.randrange(next_id)
            deltalake.DeltaTable(str(uri)).delete(f"id % 17 = {gone % 17}")
        elif version % 3 == 1:
            deltalake.DeltaTable(str(uri)).update(
                predicate=f"id % 5 = {version % 5}", updates={"name": "'new'", "x": "2.5"})
        else:
            rows = [row(next_id + i, rng) for i in range(40)]
            next_id += 40
            deltalake.write_deltalake(str(uri), batch(rows), mode="append", partition_by=["day"])
    return uri


@pytest.mark.parametrize("versions", [(0, 1), (0, 9), (3, 5), (9, 0), (4, 4), (2, 3)])
def test_by_key(smelt, table, versions):
    old, new = ({row["id"]: row for row in rows_at(table, v)} for v in versions)
    told = diff(smelt, table, "--from", versions[0], "--to", versions[1], "--by", "id")
    assert told["schema"] == []
    want = []
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            want.append(("went", key, None))
        elif key not in old:
            want.append(("came", key, None))
        else:
            moved = [c for c in ("day", "name", "x") if plain(old[key][c]) != plain(new[key][c])]
            if moved:
                want.append(("changed", key, ", ".join(moved)))
    assert [(r["_change"], r["id"], r["_columns"]) for r in told["rows"]] == want
    for r in told["rows"]:
        shown = r["_columns"].split(", ") if r["_columns"] else ["day", "name", "x"]
        if r["_change"] != "came" and "x" not in shown:
            assert r["_before"] == ", ".join(f"{c}={text(old[r['id']][c])}" for c in shown)
        if r["_change"] != "went" and "x" not in shown:
            assert r["_after"] == ", ".join(f"{c}={text(new[r['id']][c])}" for c in shown)
    counts = collections.Counter(change for change, _, _ in want)
    assert [told[k] for k in ("came", "went", "changed")] == [counts[k] for k in ("came", "went", "changed")]


@pytest.mark.parametrize("versions", [(0, 1), (0, 9), (9, 3), (4, 4)])
def test_whole_rows(smelt, table, versions):
    old, new = (collections.Counter(tuple(plain(v) for v in row.values()) for row in rows_at(table, v))
                for v in versions)
    told = diff(smelt, table, "--from", versions[0], "--to", versions[1])
    assert told["came"] == (new - old).total() and told["went"] == (old - new).total()
    assert told["changed"] == 0


def test_equal_rows_are_counted(smelt, lake):
    uri = lake / "t"
    deltalake.write_deltalake(str(uri), pa.table({"a": [1, 1, 1, 2, None]}))
    deltalake.write_deltalake(str(uri), pa.table({"a": [1, 2, 2, None, 3]}), mode="overwrite")
    told = diff(smelt, uri, "--from", 0)
    assert told["rows"] == [{"_change": "went", "_rows": 2, "a": 1}, {"_change": "came", "_rows": 1, "a": 2},
                            {"_change": "came", "_rows": 1, "a": 3}]
    assert (told["came"], told["went"]) == (2, 2)


def test_common_files_are_not_read(smelt, table):
    told = diff(smelt, table, "--from", 8, "--to", 9, "--by", "id")
    assert told["files_from"] == 0 and told["files_to"] == 2 and told["files_common"] > 0
    assert told["came"] == 40


def test_a_key_that_a_common_file_has_too(smelt, lake):
    """Neither the file that came nor the one that stays has it twice."""
    uri = lake / "t"
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, 2], "v": ["a", "b"]}))
    deltalake.write_deltalake(str(uri), pa.table({"id": [2, 3], "v": ["c", "d"]}), mode="append")
    for versions, bad in (((0, 1), 1), ((1, 0), 1)):
        done = smelt("table", "diff", uri, "--from", versions[0], "--to", versions[1], "--by", "id", check=False)
        assert done.returncode == 1 and f"version {bad} has 2 rows with id = 2" in done.stderr
    assert diff(smelt, uri, "--from", 0, "--by", "id,v")["came"] == 2


def test_keys_that_are_none(smelt, lake):
    uri = lake / "t"
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, None], "twice": ["x", "x"], "l": [[1], [2]]}))
    deltalake.write_deltalake(str(uri), pa.table({"id": [3], "twice": ["y"], "l": [[1]]}), mode="overwrite")
    for by, code, words in (
            ("id", 1, "version 0 has a row with id = NULL: a key is never NULL"),
            ("twice", 1, "version 0 has 2 rows with twice = x: a key is there once"),
            ("l", 1, "column l is nested"), ("idd", 1, 'Did you mean "id"?'), ("id,ID", 2, "is named twice"),
            ("", 1, "column l is nested: whole rows are not compared")):
        done = smelt("table", "diff", uri, "--from", 0, *(["--by", by] if by else []), check=False)
        assert done.returncode == code and words in done.stderr, (by, done.stderr)


def test_nested_columns_by_key(smelt, lake):
    uri = lake / "t"
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, 2], "l": [[1], [2, None]], "s": [{"a": "x"}, None]}))
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, 2], "l": [[1], [2, 3]], "s": [{"a": "y"}, None]}),
                              mode="overwrite")
    told = diff(smelt, uri, "--from", 0, "--by", "id")["rows"]
    assert [(r["id"], r["_columns"], r["_before"], r["_after"]) for r in told] == [
        (1, "s", "s={'a': x}", "s={'a': y}"), (2, "l", "l=[2, NULL]", "l=[2, 3]")]


def test_schemas_are_compared_first(smelt, lake):
    uri = lake / "t"
    deltalake.write_deltalake(str(uri), pa.table({"id": [1, 2], "old": ["a", "b"], "n": pa.array([1, 2], pa.int32())}))
    deltalake.write_deltalake(
        str(uri), pa.table({"id": [1, 2], "n": ["1", "3"], "new": [None, 5.0]}), mode="overwrite", schema_mode="overwrite")
    told = diff(smelt, uri, "--from", 0, "--by", "id")
    assert told["schema"] == ["- old VARCHAR", "n INTEGER -> VARCHAR", "+ new DOUBLE"]
    assert [(r["id"], r["_columns"], r["_after"]) for r in told["rows"]] == [(2, "n, new", "n='3', new=5.0")]
    done = smelt("table", "diff", uri, "--from", 0, "--by", "id")
    assert done.stderr.startswith("schema  - old VARCHAR\n") and "version 0 to 1: 0 came" in done.stderr


def test_limit_and_formats(smelt, table):
    every = ["table", "diff", table, "--from", 0, "--to", 9, "--by", "id"]
    lines = smelt(*every, "--format", "csv").stdout.splitlines()
    told = diff(smelt, *every[2:], "--limit", 3)
    assert told["printed"] == len(told["rows"]) == 3
    assert told["came"] + told["went"] + told["changed"] == len(lines) - 1 > 40
    done = smelt(*every, "--format", "ndjson", "--limit", 2)
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 2
    assert "printed 2 of them (--limit)" in done.stderr
    assert len(json.loads(smelt(*every, "--format", "json").stdout)) == len(lines) - 1
    assert smelt(*every, "--quiet", "--limit", 0).stderr == ""


def test_deletion_vectors(smelt, conformance):
    """A file with another vector is another file: its rows are compared."""
    table = conformance / "delta-golden" / "dv-partitioned-with-checkpoint"
    latest = smelt.json("table", "show", table, "--json")["version"]
    told = diff(smelt, table, "--from", latest - 1)
    n = [smelt.json("table", "show", table, "--json", "--version", v)["rows"] for v in (latest - 1, latest)]
    assert told["came"] - told["went"] == n[1] - n[0]


@pytest.mark.parametrize("options, words", [
    ([], "needs a version to start from"), (["--from", "x"], "is not a version"),
    (["--from", "0", "--to", "-1"], "is not a version"), (["--from", "0", "--json", "--format", "csv"], "exclude"),
    (["--from", "0", "--format", "parquet"], "cannot go to stdout"),
    (["--from", "0", "--format", "xml"], "xml"), (["--version", "1"], "has no option --version")])
def test_wrong_options(smelt, table, options, words):
    done = smelt("table", "diff", table, *options, check=False)
    assert done.returncode == 2 and words in done.stderr


def test_versions_that_are_not_there(smelt, table):
    done = smelt("table", "diff", table, "--from", 0, "--to", 99, check=False)
    assert done.returncode == 1 and "no version 99" in done.stderr
