"""A log of many files: what is asked of one range, or changed in it, needs no memory for the others."""
import json
import shutil

import deltalake
import duckdb
import pytest

import big_log
from peak import run_within

FILES, COMMITS = 100_000, 20
MOST_BYTES = 96_000_000


def within(smelt, *args, most=MOST_BYTES, code=0):
    """What smelt prints, in the memory that it may take."""
    done = run_within(smelt.path, *args, most=most)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "table"
    big_log.make(folder, FILES, COMMITS, parts=3)
    return folder


def check_totals(smelt, table):
    shown = json.loads(within(smelt, "table", "show", table, "--json"))
    assert (shown["files"], shown["rows"]) == (FILES, FILES * big_log.ROWS)
    assert shown["version"] == COMMITS


def test_totals(smelt, table):
    """The files stand in the order in which they were added; delta-rs has the same in its own."""
    check_totals(smelt, table)
    files = json.loads(smelt("table", "files", table, "--json").stdout)["files"]
    uris = deltalake.DeltaTable(str(table)).file_uris()
    paths = [uri.removeprefix(f"{table}/") for uri in uris]
    assert [f["path"] for f in files] == sorted(paths, key=lambda p: int(p.split("/part-")[1][:8]))


def test_fsck(smelt, table):
    """Nearly all files are gone: each is told, and none is kept. A log whose commits lack them too."""
    told = json.loads(within(smelt, "table", "fsck", table, "--json", code=1))
    kinds = [f["kind"] for f in told["findings"]]
    assert kinds[0] == "log" and set(kinds[1:]) == {"gone"} and told["files"] == FILES
    assert f"the commits lack {FILES} of the checkpoint's files" in told["findings"][0]["what"]
    assert FILES - 1 - COMMITS <= len(kinds) - 1 < FILES


@pytest.mark.parametrize("more", ["", " AND day >= DATE '2022-06-01'"])
def test_one_range(smelt, table, more):
    """The other files do not exist: a query that opened one would fail."""
    first, last = big_log.one_range(FILES)
    query = (f"SELECT count(*), min(id), max(id) FROM '{table}' "
             f"WHERE id BETWEEN {first} AND {last}{more}")
    done = within(smelt, "sql", query, "--format", "csv")
    assert done.splitlines()[1] == f"{last - first + 1},{first},{last}"


def test_changes(smelt, table, tmp_path):
    """An append reads no file of the checkpoint. Statements read and write one file; the others are not
    there."""
    copy, first = tmp_path / "table", big_log.one_range(FILES)[0]
    shutil.copytree(table, copy)

    def change(sql, **how):
        within(smelt, "sql", "--write", sql.format(t=f"'{copy}'", id=first), **how)

    change("INSERT INTO {t} VALUES (-5, 'new', 0.5, DATE '2022-02-01')", most=32_000_000)
    change("DELETE FROM {t} WHERE id BETWEEN {id} AND {id} + 3")
    change("UPDATE {t} SET name = 'changed' WHERE id = {id} + 4")
    change("MERGE INTO {t} t USING (SELECT {id} + 5 AS id) s ON t.id = s.id "
           "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)")
    shown = json.loads(within(smelt, "table", "show", copy, "--json"))
    assert (shown["files"], shown["rows"]) == (FILES + 1, FILES * big_log.ROWS + 1 - 4 - 1)
    for where, want in [("id = -5", ["-5,new"]), (f"id BETWEEN {first} AND {first} + 6", [
            f"{first + 4},changed", f"{first + 6},name_{FILES // 2}"])]:
        rows = within(smelt, "sql", f"SELECT id, name FROM '{copy}' WHERE {where}", "--format", "csv")
        assert rows.splitlines()[1:] == want
    assert len(deltalake.DeltaTable(str(copy)).file_uris()) == FILES + 1


def put_empty_files(smelt, table, version):
    """A file at each path that the version names."""
    shown = smelt.json("table", "files", table, "--version", version, "--json", "--limit", FILES)["files"]
    for f in shown:
        path = table / f["path"]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.touch()


def test_changes_of_all(smelt, table, tmp_path):
    """Files are looked at one by one. What an overwrite removes is in its commit's text, 24 MB, and not
    in an array: a snapshot with all files takes 70 MB."""
    copy = tmp_path / "lake" / "table"
    shutil.copytree(table, copy)
    told = json.loads(within(smelt, "table", "optimize", copy, "--dry-run", "--json"))
    assert (told["removed_files"], told["commits"]) == (FILES, 0)
    told = json.loads(within(smelt, "table", "clone", copy, tmp_path / "clone", "--json", most=240_000_000))
    assert told["files"] == FILES
    # Its one commit takes 140 MB to read: there is a checkpoint at once, for smelt and for others.
    assert (tmp_path / f"clone/_delta_log/{0:020}.checkpoint.parquet").exists()
    check = json.loads(within(smelt, "table", "show", tmp_path / "clone", "--json", most=32_000_000))
    assert (check["files"], check["rows"]) == (FILES, FILES * big_log.ROWS)
    names = [smelt.json("table", "files", t, "--json", "--limit", FILES)["files"] for t in (copy, tmp_path / "clone")]
    assert [f["path"].split("/day=")[-1] for f in names[1]] == [f["path"].split("day=")[-1] for f in names[0]]
    assert len(deltalake.DeltaTable(str(tmp_path / "clone")).file_uris()) == FILES
    told = json.loads(within(smelt, "table", "history", tmp_path / "clone", "--json", most=72_000_000))
    assert [c["operation"] for c in told["commits"]] == ["CLONE"]
    put_empty_files(smelt, copy, COMMITS - 1)
    put_empty_files(smelt, copy, COMMITS)
    told = json.loads(within(smelt, "table", "restore", copy, "--version", COMMITS - 1, "--dry-run", "--json",
                             most=128_000_000))
    assert (told["removed_files"], told["restored_files"]) == (1, 1)
    within(smelt, "sql", "--write", f"""CREATE OR REPLACE TABLE '{copy}' AS SELECT 1::BIGINT AS id,
        'new' AS name, 0.5::DOUBLE AS value, DATE '2022-02-01' AS day""", most=160_000_000)
    shown = smelt.json("table", "show", copy, "--json")
    assert (shown["files"], shown["rows"]) == (1, 1)
    assert len(deltalake.DeltaTable(str(copy)).file_uris()) == 1


def test_memory_limit(smelt, table, tmp_path):
    """What a log says after its checkpoint, and the text of a commit, count in the memory limit: what does
    not fit is refused, and nothing is changed."""
    clone, big = tmp_path / "clone", tmp_path / "big"

    def is_refused(*args):
        done = run_within(smelt.path, *args, "--memory-limit", "96MB", most=MOST_BYTES)
        assert done.returncode == 1 and not done.stdout
        assert "memory budget" in done.stderr and "Raise the memory limit" in done.stderr

    smelt("table", "clone", table, clone)
    for path in [*clone.glob("_delta_log/*checkpoint*")]:
        path.unlink()
    is_refused("table", "show", clone)
    is_refused("sql", "--write", f"INSERT INTO '{clone}' VALUES (-5, 'new', 0.5, DATE '2022-02-01')")
    assert [path.name for path in (clone / "_delta_log").iterdir()] == [f"{0:020}.json"]
    big_log.make(big, 3 * FILES, 1)
    is_refused("table", "vacuum", big, "--dry-run")
    is_refused("table", "clone", big, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    is_refused("sql", "--write", f"CREATE OR REPLACE TABLE '{big}' AS SELECT 1 AS id, DATE '2022-02-01' AS day")
    assert not (big / f"_delta_log/{2:020}.json").exists()


def test_many_commits(smelt, tmp_path):
    """Without a checkpoint, and with one; 1.1 KB for a commit that adds a file."""
    big_log.make(tmp_path / "alone", 0, 5000)
    shown = json.loads(within(smelt, "table", "show", tmp_path / "alone", "--json", most=24_000_000))
    assert (shown["files"], shown["version"]) == (5000, 5000)
    big_log.make(tmp_path / "behind", 6000, 5000)
    shown = json.loads(within(smelt, "table", "show", tmp_path / "behind", "--json", most=40_000_000))
    assert (shown["files"], shown["rows"]) == (6000, 6000 * big_log.ROWS)


def test_files_that_a_checkpoint_has_twice(smelt, tmp_path):
    """They count once, also where many rows lie between the two."""
    big_log.make(tmp_path / "table", 5000, 2)
    checkpoint = tmp_path / f"table/_delta_log/{0:020}.checkpoint.parquet"
    checkpoint.rename(tmp_path / "once.parquet")
    once = f"FROM '{tmp_path}/once.parquet'"
    duckdb.sql(f"COPY (SELECT * {once} UNION ALL SELECT * {once} WHERE add IS NOT NULL) "
               f"TO '{checkpoint}' (FORMAT parquet)")
    shown = smelt.json("table", "show", tmp_path / "table", "--json")
    assert (shown["files"], shown["rows"]) == (5000, 5000 * big_log.ROWS)
    files = smelt.json("table", "files", tmp_path / "table", "--json", "--limit", "100000")["files"]
    assert len({f["path"] for f in files}) == len(files) == 5000


def test_checkpoint_of_delta_rs(smelt, table, tmp_path):
    """The same of a checkpoint as delta-rs writes it."""
    log = table / "_delta_log"
    deltalake.DeltaTable(str(table)).create_checkpoint()
    for path in [*log.glob("*.json"), *log.glob(f"{0:020}.checkpoint*")]:
        path.rename(tmp_path / path.name)
    try:
        check_totals(smelt, table)
        test_one_range(smelt, table, "")
    finally:
        for path in tmp_path.iterdir():
            path.rename(log / path.name)
        for path in log.glob(f"{COMMITS:020}.checkpoint*"):
            path.unlink()
