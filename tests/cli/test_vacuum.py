"""`smelt table vacuum`: its options, what it prints, and that readers see the same before and after."""
import json
import os
import shutil
import time

import deltalake
import pyarrow as pa
import pytest

NOW = ["--retention", "0s", "--no-retention-check"]
DAYS_AGO = time.time() - 9 * 86400


def rows(n, day=0):
    return pa.table({"id": pa.array(range(n), pa.int64()), "_day": pa.array([f"d {day}%"] * n)})


@pytest.fixture
def table(lake):
    """Three versions: two partitions whose column begins with '_', then one of them overwritten."""
    uri = lake / "shop" / "orders"
    deltalake.write_deltalake(str(uri), rows(50), partition_by=["_day"])
    deltalake.write_deltalake(str(uri), rows(20, 1), mode="append")
    deltalake.write_deltalake(str(uri), rows(7, 1), mode="overwrite", predicate="_day = 'd 1%'")
    return uri


def files_of(table):
    return sorted(str(path.relative_to(table)) for path in table.rglob("*.parquet")
                  if "_delta_log" not in path.parts)


def make_old(table):
    for path in table.rglob("*"):
        if path.is_file():
            os.utime(path, (DAYS_AGO, DAYS_AGO))


def test_removed_files_go_and_the_rows_stay(smelt, table):
    before = smelt.sql(f"SELECT * FROM '{table}' ORDER BY ALL")
    assert len(files_of(table)) == 3
    told = smelt("table", "vacuum", table, *NOW).stdout
    assert told.startswith("deleted 1 file, "), told
    assert len(files_of(table)) == 2
    assert smelt.sql(f"SELECT * FROM '{table}' ORDER BY ALL") == before
    assert deltalake.DeltaTable(str(table)).to_pyarrow_table().num_rows == 57
    again = smelt("table", "vacuum", table, *NOW).stdout
    assert again.startswith("deleted 0 files, 0 B"), again


def test_an_earlier_version_is_gone(smelt, table):
    """Whoever still reads it is told by what."""
    smelt("table", "vacuum", table, *NOW)
    for words in (["sql", f"FROM delta_scan('{table}', version => 1)"], ["table", "diff", table, "--from", "1"],
                  ["table", "restore", table, "--version", "1"]):
        done = smelt(*words, check=False)
        assert done.returncode == 1 and ".parquet" in done.stderr
        assert "vacuum" in done.stderr, done.stderr
    assert "1 of its files is gone" in done.stderr


def test_default_keeps_what_was_removed_lately(smelt, table):
    make_old(table)  # so that it is the log alone that keeps them
    assert smelt.json("table", "vacuum", table, "--json")["files"] == 0
    assert len(files_of(table)) == 3
    assert smelt.sql(f"SELECT count(*) AS n FROM delta_scan('{table}', version => 1)") == [{"n": 70}]


def test_orphans_and_temporary_files_go_when_they_are_old(smelt, table):
    make_old(table)
    for name in ("orphan.parquet", "_day=d%201%25/orphan.parquet", ".smelt-tmp-0011223344556677"):
        (table / name).parent.mkdir(exist_ok=True)
        (table / name).write_text("x")
        if name != "orphan.parquet":
            os.utime(table / name, (DAYS_AGO, DAYS_AGO))
    told = smelt.json("table", "vacuum", table, "--dry-run", "--json")
    assert told["names"] == [".smelt-tmp-0011223344556677", "_day=d%201%25/orphan.parquet"]
    assert (told["files"], told["bytes"], told["too_young"]) == (2, 2, 1)
    told = smelt.json("table", "vacuum", table, "--json")
    assert (told["files"], told["bytes"], told["failed"], told["too_young"]) == (2, 2, 0, 1)
    assert (table / "orphan.parquet").exists()
    assert not (table / ".smelt-tmp-0011223344556677").exists()


def test_dry_run_changes_nothing(smelt, table):
    before = {path: path.stat().st_mtime_ns for path in table.rglob("*")}
    shown = smelt("table", "vacuum", table, "--dry-run", *NOW).stdout.splitlines()
    assert len(shown) == 2 and shown[0].endswith(".parquet")
    assert shown[1].startswith("would delete 1 file, ")
    assert {path: path.stat().st_mtime_ns for path in table.rglob("*")} == before


def test_lite_deletes_what_the_log_removed(smelt, table):
    (table / "orphan.parquet").write_text("x")
    told = smelt.json("table", "vacuum", table, "--lite", "--json", *NOW)
    assert (told["files"], told["lite"], told["log_is_whole"]) == (1, True, True)
    assert (table / "orphan.parquet").exists() and len(files_of(table)) == 3


def test_lite_says_that_the_log_was_cleaned_up(smelt, table):
    deltalake.DeltaTable(str(table)).create_checkpoint()
    (table / "_delta_log" / "00000000000000000000.json").unlink()
    assert "the log was cleaned up" in smelt("table", "vacuum", table, "--lite", *NOW).stdout
    assert smelt("table", "vacuum", table, *NOW).stdout.count("cleaned up") == 0


def test_short_retentions_are_refused(smelt, table):
    for retention in ("1h", "6d", "167h"):
        done = smelt("table", "vacuum", table, "--retention", retention, check=False)
        assert done.returncode == 2
        assert "shorter than the table's, 168 hours" in done.stderr
        assert "--no-retention-check" in done.stderr
    assert len(files_of(table)) == 3
    smelt("table", "vacuum", table, "--retention", "7d")
    smelt("table", "vacuum", table, "--retention", "1w")


def test_retention_of_the_table(smelt, table):
    deltalake.DeltaTable(str(table)).alter.set_table_properties(
        {"delta.deletedFileRetentionDuration": "interval 3 hours"})
    assert smelt.json("table", "vacuum", table, "--json")["retention_hours"] == 3
    assert smelt("table", "vacuum", table, "--retention", "2h", check=False).returncode == 2


@pytest.mark.parametrize("text", ["7", "d", "-1d", "1y", "1.5d", "", "9999999d"])
def test_no_time(smelt, table, text):
    done = smelt("table", "vacuum", table, f"--retention={text}", check=False)
    assert done.returncode == 2
    assert "is not a time" in done.stderr


@pytest.mark.parametrize("verb, option", [
    ("show", "--dry-run"), ("files", "--lite"), ("history", "--retention=7d"),
    ("show", "--no-retention-check"), ("vacuum", "--version=1"), ("vacuum", "--limit=1")])
def test_options_of_another_verb(smelt, table, verb, option):
    done = smelt("table", verb, table, option, check=False)
    assert done.returncode == 2
    assert f"smelt table {verb} has no option {option.split('=')[0]}" in done.stderr


def test_no_table(smelt, tmp_path):
    done = smelt("table", "vacuum", tmp_path / "nothing", check=False)
    assert done.returncode == 1
    assert "no Delta table in" in done.stderr


def test_it_is_recorded_in_the_log(smelt, table):
    smelt("table", "vacuum", table, *NOW)
    end, start = smelt.json("table", "history", table, "--limit", 2, "--json")["commits"]
    assert (start["operation"], end["operation"]) == ("VACUUM START", "VACUUM END")
    assert start["metrics"]["numFilesToDelete"] == "1"
    assert end["metrics"]["numDeletedFiles"] == "1"
    info = deltalake.DeltaTable(str(table)).history(1)[0]
    assert info["operation"] == "VACUUM END"
    assert info["operationParameters"]["status"] == "COMPLETED"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may delete in any folder")
def test_files_that_cannot_be_deleted(smelt, table):
    (table / "locked").mkdir()
    (table / "locked" / "a.parquet").write_text("x")
    (table / "locked").chmod(0o555)
    try:
        done = smelt("table", "vacuum", table, "--json", *NOW, check=False)
    finally:
        (table / "locked").chmod(0o755)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["files"], told["failed"]) == (1, 1)
    assert "locked/a.parquet" in done.stderr


def test_a_failed_deletion_does_not_stop_the_others(smelt, table):
    """The same by a fault, for whoever may delete everything. The first write is VACUUM START."""
    for name in ("a", "b", "c"):
        (table / f"{name}.parquet").write_text("x")
    done = smelt("table", "vacuum", table, "--json", *NOW, check=False,
                 env={"SMELT_FAULT": "at=2,kind=error,writes=1"})
    told = json.loads(done.stdout)
    assert told["files"] + told["failed"] == 4
    assert done.returncode == (1 if told["failed"] else 0)


def test_links_are_not_followed(smelt, table, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.parquet").write_text("x")
    (table / "link").symlink_to(outside)
    (table / "b.parquet").symlink_to(outside / "a.parquet")
    assert smelt.json("table", "vacuum", table, "--json", *NOW)["files"] == 1
    assert (outside / "a.parquet").exists() and (table / "b.parquet").is_symlink()


def test_another_name_of_the_root(smelt, table, tmp_path):
    """An absolute path in the log, and the table opened by a link."""
    name = files_of(table)[0]
    log = table / "_delta_log" / "00000000000000000003.json"
    log.write_text(json.dumps({"add": {
        "path": f"file://{table}/extra%20file.parquet", "partitionValues": {"_day": "x"}, "size": 1,
        "modificationTime": 0, "dataChange": True}}) + "\n")
    (table / "extra file.parquet").write_bytes((table / name).read_bytes())
    (tmp_path / "link").symlink_to(table)
    smelt("table", "vacuum", tmp_path / "link", *NOW)
    assert (table / "extra file.parquet").exists()


def test_a_table_within_the_folder_is_left_alone(smelt, table):
    inner = table / "inner"
    deltalake.write_deltalake(str(inner), rows(3))
    deltalake.write_deltalake(str(inner), rows(4), mode="overwrite")
    smelt("table", "vacuum", table, *NOW)
    assert len(files_of(inner)) == 2
    assert (inner / "_delta_log").is_dir()


@pytest.mark.parametrize("name", ["dv-partitioned-with-checkpoint", "dv-with-columnmapping",
                                  "log-replay-dv-key-cases"])
def test_deletion_vectors_in_use_stay(smelt, conformance, tmp_path, name):
    """Tables that Spark wrote, whose versions replaced vectors: without those in use a read fails."""
    table = tmp_path / "table"
    shutil.copytree(conformance / "delta-golden" / name, table)
    before = smelt.sql(f"SELECT * FROM '{table}' ORDER BY ALL")
    n_vectors = len(list(table.glob("*.bin")))
    assert smelt.json("table", "vacuum", table, "--json", *NOW)["files"] > 0
    assert 0 < len(list(table.glob("*.bin"))) < n_vectors
    assert smelt.sql(f"SELECT * FROM '{table}' ORDER BY ALL") == before
