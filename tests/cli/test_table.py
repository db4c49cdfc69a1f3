"""`smelt table show|history|files|restore` on tables that delta-rs wrote."""
import pytest


@pytest.fixture
def table(lake):
    """Three versions: 50 rows, 20 more, then those of one day gone."""
    import deltalake
    import pyarrow as pa

    uri = lake / "shop" / "orders"
    for first, mode in ((0, "error"), (50, "append")):
        rows = range(first, first + (20 if first else 50))
        deltalake.write_deltalake(str(uri), pa.table({
            "id": pa.array(rows, pa.int64()), "price": pa.array([n / 4 for n in rows], pa.float64()),
            "where": pa.array([{"city": f"c{n}"} for n in rows]),
            "day": pa.array([f"d{n % 2}" for n in rows])}), mode=mode, partition_by=["day"])
    deltalake.DeltaTable(str(uri)).delete("day = 'd1'")
    return uri


def fields(text):
    """{name: rest of its first line}"""
    return {line.split()[0]: line[13:].strip() for line in text.splitlines() if not line.startswith(" ")}


def test_show(smelt, table):
    shown = smelt("table", "show", table).stdout
    told = fields(shown)
    assert (told["version"], told["rows"], told["partitioned"]) == ("2", "35", "day")
    assert told["files"].startswith("2, ")
    assert "id BIGINT" in shown and "price DOUBLE" in shown and "where STRUCT(city VARCHAR)" in shown


def test_show_of_a_version(smelt, table):
    assert [fields(smelt("table", "show", table, "--version", n).stdout)["rows"]
            for n in range(3)] == ["50", "70", "35"]


def test_history_is_newest_first(smelt, table):
    lines = smelt("table", "history", table).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1", "0"]
    assert "DELETE" in lines[0] and "WRITE" in lines[2]
    assert smelt("table", "history", table, "--limit", 1).stdout.splitlines() == lines[:1]
    assert smelt("table", "history", table, "--limit", 0).stdout == ""


def test_files(smelt, table):
    import deltalake

    found = smelt("table", "files", table).stdout.splitlines()
    wanted = deltalake.DeltaTable(str(table)).file_uris()
    assert sorted(line.split()[-1] for line in found) == sorted(
        uri[uri.index("day="):] for uri in wanted)
    assert len(smelt("table", "files", table, "--limit", 1).stdout.splitlines()) == 1


@pytest.mark.parametrize("verb", ["show", "files", "history"])
def test_no_table(smelt, tmp_path, verb):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "nowhere"):
        done = smelt("table", verb, name, check=False)
        assert done.returncode == 1 and done.stdout == ""
        assert f"no Delta table in {name}" in done.stderr


def test_a_version_that_is_none(smelt, table):
    done = smelt("table", "show", table, "--version", 3, check=False)
    assert done.returncode == 1
    assert "no version 3" in done.stderr and "latest is 2" in done.stderr
    for text in ("-1", "x", ""):
        done = smelt("table", "show", table, f"--version={text}", check=False)
        assert done.returncode == 2, done.stderr


# ---- at a time, restored ------------------------------------------------------------------------


def test_show_and_files_at_a_time(smelt, table):
    import os

    for version in range(3):
        os.utime(table / "_delta_log" / f"{version:020}.json", (1648814400 + 60 * version,) * 2)
    for time, version in (("2022-04-01 12:00:00", "0"), ("2022-04-01T12:01:59Z", "1"), ("2022-04-02", "2")):
        assert fields(smelt("table", "show", table, "--timestamp", time).stdout)["version"] == version
        assert smelt("table", "files", table, "--timestamp", time).stdout == \
            smelt("table", "files", table, "--version", version).stdout
    done = smelt("table", "show", table, "--timestamp", "2022-04-01", check=False)
    assert done.returncode == 1 and "the first, version 0, is of 2022-04-01 12:00:00" in done.stderr


@pytest.mark.parametrize("options, says", [
    ((), "smelt table restore needs a version"),
    (("--version", "1", "--timestamp", "2022-04-01"), "exclude each other"),
    (("--version", "one"), "is not a version"), (("--timestamp", "noon"), "is not a time")])
def test_restore_needs_one_version(smelt, table, options, says):
    done = smelt("table", "restore", table, *options, check=False)
    assert done.returncode == 2 and says in done.stderr


def test_restore_of_a_version_that_is_none(smelt, table):
    done = smelt("table", "restore", table, "--version", 3, check=False)
    assert done.returncode == 1 and "its latest is 2" in done.stderr


def test_a_dry_run_changes_nothing(smelt, table):
    import json

    shown = smelt("table", "restore", table, "--version", 0, "--dry-run").stdout
    assert "this was a dry run" in shown and fields(shown)["restored"] == "version 0"
    told = json.loads(smelt("table", "restore", table, "--version", 0, "--dry-run", "--json").stdout)
    assert (told["from"], told["restored"], told["version"]) == (2, 0, None)
    assert (told["removed_files"], told["restored_files"], told["files"]) == (1, 1, 2)
    assert fields(smelt("table", "show", table).stdout)["version"] == "2"
    assert not (table.parent.parent / "_smelt").exists()


def test_restore(smelt, table):
    """The commit is one that Spark would write; delta-rs reads the rows and the history."""
    import json

    import deltalake

    rows = smelt.sql(f"SELECT id, price, \"where\".city AS city, day FROM '{table}' AT (VERSION => 1) ORDER BY id")
    shown = smelt("table", "restore", table, "--version", 1).stdout
    assert fields(shown)["version"] == "3"
    assert smelt.sql(f"SELECT id, price, \"where\".city AS city, day FROM '{table}' ORDER BY id") == rows
    peer = deltalake.DeltaTable(str(table))
    assert sorted(peer.to_pyarrow_table()["id"].to_pylist()) == list(range(70))
    assert sorted(peer.file_uris()) == sorted(deltalake.DeltaTable(str(table), version=1).file_uris())
    newest = peer.history(1)[0]
    assert newest["operation"] == "RESTORE"
    assert newest["operationParameters"] == {"version": 1, "timestamp": None}
    lines = (table / "_delta_log" / f"{3:020}.json").read_text().splitlines()
    adds = {a["path"]: a for a in (json.loads(row).get("add") for row in lines) if a}
    was = {}
    for version in range(2):
        for row in (table / "_delta_log" / f"{version:020}.json").read_text().splitlines():
            add = json.loads(row).get("add")
            if add:
                was[add["path"]] = add
    assert len(adds) == 2
    for path, add in adds.items():
        for key in ("partitionValues", "size", "modificationTime", "stats"):
            assert add[key] == was[path][key]
        assert add["dataChange"] is True
    metrics = json.loads(lines[0])["commitInfo"]["operationMetrics"]
    assert (metrics["numRestoredFiles"], metrics["numRemovedFiles"]) == ("2", "0")
    assert metrics["numOfFilesAfterRestore"] == "4"


def test_a_restore_of_what_is_there_makes_no_version(smelt, table):
    """Of the newest version, and of one to which the newest is a RESTORE: whoever runs it again after a kill
    ends there too."""
    for version, made in ((2, None), (1, 3), (1, None), (3, None), (2, 4), (1, 5), (1, None)):
        told = smelt.json("table", "restore", table, "--version", version, "--json")
        assert told["version"] == made, version
    shown = smelt("table", "restore", table, "--version", 1).stdout
    assert fields(shown)["version"] == "5 stays: the table is as at version 1"
    assert fields(smelt("table", "restore", table, "--timestamp", "2199-01-01").stdout)["version"].startswith("5 stays")
    assert fields(smelt("table", "show", table).stdout)["version"] == "5"


CHANGES_NOTHING = ["ALTER COLUMN price DROP NOT NULL", "ALTER COLUMN id TYPE BIGINT", "UNSET TBLPROPERTIES IF EXISTS ('a.b')",
                   "ALTER COLUMN id FIRST", "DROP CONSTRAINT IF EXISTS none", "DROP COLUMN IF EXISTS none"]


@pytest.mark.parametrize("words", [
    *[["alter", words] for words in CHANGES_NOTHING], ["vacuum"], ["delete", "--where", "id = -1"],
    ["update", "--set", "price = 0", "--where", "id = -1"], ["fsck", "--repair"]])
def test_what_changes_nothing_makes_no_version(smelt, table, words):
    smelt("table", words[0], table, *words[1:])
    assert fields(smelt("table", "show", table).stdout)["version"] == "2"


def test_restore_brings_the_schema_back(smelt, lake):
    import deltalake
    import pyarrow as pa

    uri = lake / "shop" / "wide"
    deltalake.write_deltalake(str(uri), pa.table({"id": [1]}))
    deltalake.write_deltalake(str(uri), pa.table({"id": [2], "b": ["x"]}), mode="append", schema_mode="merge")
    smelt("table", "restore", uri, "--version", 0)
    assert smelt.sql(f"SELECT * FROM '{uri}'") == [{"id": 1}]
    smelt("table", "restore", uri, "--timestamp", "2199-01-01")
    assert smelt.sql(f"SELECT * FROM '{uri}'") == [{"id": 1}]
    smelt("table", "restore", uri, "--version", 1)
    assert deltalake.DeltaTable(str(uri)).to_pyarrow_table().sort_by("id").to_pylist() == [
        {"id": 1, "b": None}, {"id": 2, "b": "x"}]


@pytest.mark.parametrize("n", [3, 80])
def test_files_that_are_gone_are_found_first(smelt, lake, n):
    """By a request for each, or, if there are many, by one listing."""
    import deltalake
    import pyarrow as pa

    uri = lake / "shop" / "many"
    days = pa.table({"day": pa.array([f"d {i}" for i in range(n)]), "id": pa.array(range(n), pa.int64())})
    deltalake.write_deltalake(str(uri), days, partition_by=["day"])
    deltalake.DeltaTable(str(uri)).delete()
    smelt("table", "restore", uri, "--version", 0, "--dry-run")
    gone = sorted(uri.glob("day=*/*.parquet"))[:2]
    for path in gone:
        path.unlink()
    for options in ((), ("--dry-run",)):
        done = smelt("table", "restore", uri, "--version", 0, *options, check=False)
        assert done.returncode == 1
        assert "version 0 cannot be restored: 2 of its files are gone" in done.stderr
        assert any(path.name in done.stderr for path in gone)
    assert fields(smelt("table", "show", uri).stdout)["version"] == "1"


def test_an_append_only_table_is_not_restored(smelt, lake):
    import deltalake
    import pyarrow as pa

    uri = lake / "shop" / "only"
    for number in range(2):
        deltalake.write_deltalake(str(uri), pa.table({"id": [number]}), mode="append",
                                  configuration={"delta.appendOnly": "true"} if number == 0 else None)
    for options in ((), ("--dry-run",)):
        done = smelt("table", "restore", uri, "--version", 0, *options, check=False)
        assert done.returncode != 0 and "the table is append-only" in done.stderr


# ---- lists of columns on the command line -----------------------------------------------------------

NAMES = ('a,b', 'say "x"', '"', "plain")
QUOTED = ('"a,b"', 'say "x"', '""""', "plain")  # a quote within a name that does not begin with one is a quote


@pytest.fixture
def odd_names(smelt, tmp_path):
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in NAMES)
    for row in ("(1, 2, 3, 4)", "(1, 2, 3, 5)"):
        smelt("sql", "--write", f"CREATE OR REPLACE TABLE '{tmp_path}/t' AS SELECT * FROM (VALUES {row}) v({columns})")
    return tmp_path / "t"


@pytest.mark.parametrize("names", [QUOTED[:1], QUOTED[:3], QUOTED[2::-1], ('"plain"', *QUOTED[:3])])
def test_lists_of_columns_with_quotes(smelt, odd_names, names):
    """--by and --on name any column, each as SQL does."""
    plain = [NAMES[QUOTED.index(name)] if name in QUOTED else "plain" for name in names]
    told = smelt.json("table", "diff", odd_names, "--from", 0, "--to", 1, "--by", ",".join(names), "--json")
    assert (told["came"], told["changed"]) == ((1, 0) if "plain" in plain else (0, 1)), told
    assert smelt.json("table", "cluster", odd_names, "--by", ",".join(names), "--json")["by"] == plain
    told = smelt.json("table", "merge", odd_names, "--using", odd_names, "--on", ",".join(names), "--json")
    assert told["rows"] == {"inserted": 0, "updated": 1, "deleted": 0}


LISTS = [("diff", "--from", "0", "--by"), ("cluster", "--by"), ("merge", "--using", "x", "--on")]


@pytest.mark.parametrize("verb", LISTS)
@pytest.mark.parametrize("names, said", [
    ("a,,b", '"a,,b" has an empty name'), ("plain,", "empty name"), ('""', "empty name"),
    ('"a,b', 'a quote is not closed: "a,b'), ('plain,"', "a quote is not closed"), ('"a""', "a quote is not closed"),
    ('"a,b"c', "no comma after the quote"), ('"a" ,plain', "no comma after the quote")])
def test_wrong_lists_of_columns(smelt, odd_names, verb, names, said):
    done = smelt("table", verb[0], odd_names, *verb[1:], names, check=False)
    assert done.returncode == 2 and said in done.stderr and verb[-1] in done.stderr, done.stderr


@pytest.mark.parametrize("verb, said", [*zip(LISTS, ("empty name", "empty name", "--on is missing"))])
def test_empty_lists_of_columns(smelt, odd_names, verb, said):
    """A variable of the shell that is not set is no list of no columns."""
    done = smelt("table", verb[0], odd_names, *verb[1:], "", check=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr
