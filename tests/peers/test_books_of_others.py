"""The books of a table and what other writers do to it: after a RESTORE the lost rows are loaded
again, an overwrite stops the load, and the books survive the cleanup of the log and vacuums."""
import datetime
import json
import os
import time

import deltalake
import pyarrow as pa
import pyarrow.compute
import pytest

from shop import BOOKS, Shop, line, make_old

DAYS = {"20220401.json": [1, 2], "20220402.json": [3], "20220403.json": [4, 5]}


@pytest.fixture
def shop(smelt, tmp_path):
    """Three days, a run each: versions 0, 1, 2 of the table and its quarantine."""
    made = Shop(smelt, tmp_path)
    for name, ids in DAYS.items():
        made.put(name, *(line(number) for number in ids), "broken\n")
        made.run()
    return made


def table_of(shop, name="raw/orders"):
    return deltalake.DeltaTable(str(shop.lake / name))


def ids(shop):
    """As delta-rs reads them."""
    return sorted(table_of(shop).to_pyarrow_table()["id"].to_pylist())


def books(shop, name="raw/orders"):
    return sorted((shop.lake / name / "_smelt").iterdir())


def first_row(shop):
    table = table_of(shop).to_pyarrow_table()
    return table.filter(pa.compute.equal(table["id"], 1))


def overwrite(shop, **kwargs):
    deltalake.write_deltalake(str(shop.lake / "raw/orders"), first_row(shop), mode="overwrite",
                              **kwargs)


# ---- restored -----------------------------------------------------------------------------------


def test_what_a_restore_took_away_is_loaded_again(shop):
    table_of(shop).restore(0)
    assert ids(shop) == [1, 2]
    report = shop.run()
    assert report["files"] == {"read": 2, "skipped": 1, "ignored": 0}
    assert ids(shop) == [1, 2, 3, 4, 5]
    assert shop.refused() == [(name, len(rows) + 1) for name, rows in DAYS.items()]
    before = shop.versions()
    assert shop.run()["files"]["read"] == 0
    assert shop.versions() == before


def test_restored_to_before_the_first_load(smelt, tmp_path):
    shop = Shop(smelt, tmp_path)
    schema = pa.schema([("id", pa.int64()), ("city", pa.string()), ("n", pa.int64()),
                        ("day", pa.date32())])
    deltalake.DeltaTable.create(str(shop.lake / "raw/orders"), schema)
    shop.put("20220401.json", line(1))
    shop.run()
    table_of(shop).restore(0)
    assert shop.run()["files"]["read"] == 1
    assert ids(shop) == [1]


def test_restores_of_restores(shop):
    """0, 1, 2 loads; 3 restores 0; 4 restores 2; 5 restores 3, which is 0."""
    for version in (0, 2, 3):
        table_of(shop).restore(version)
    assert ids(shop) == [1, 2]
    assert shop.run()["files"]["read"] == 2
    assert ids(shop) == [1, 2, 3, 4, 5]


def test_restored_and_back_reads_nothing(shop):
    table_of(shop).restore(0)
    table_of(shop).restore(2)
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
    assert ids(shop) == [1, 2, 3, 4, 5]


def test_restored_to_a_time(shop):
    """What is said is a time, not a version."""
    stamps = [entry["timestamp"] for entry in table_of(shop).history()]
    first = datetime.datetime.fromtimestamp(min(stamps) / 1000 + 0.001, datetime.timezone.utc)
    table_of(shop).restore(first)
    assert ids(shop) == [1, 2]
    assert shop.run()["files"]["read"] == 2
    assert ids(shop) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("how", ["version", "timestamp"])
def test_restored_by_smelt(shop, how):
    """As a restore by others: its books are those of the version. All peers read the same rows."""
    stamps = [entry["timestamp"] for entry in table_of(shop).history()]
    for version, stamp in enumerate(sorted(stamps)):
        path = shop.lake / "raw/orders/_delta_log" / f"{version:020}.json"
        os.utime(path, (stamp / 1000 + version,) * 2)
    first = datetime.datetime.fromtimestamp(min(stamps) / 1000 + 0.5, datetime.timezone.utc)
    value = 0 if how == "version" else first.isoformat()
    shop.smelt("table", "restore", shop.lake / "raw/orders", f"--{how}", value)
    assert ids(shop) == [1, 2] == sorted(shop.ids())
    report = shop.run()
    assert report["files"] == {"read": 2, "skipped": 1, "ignored": 0}
    assert ids(shop) == [1, 2, 3, 4, 5]
    assert shop.run()["files"]["read"] == 0


def test_a_load_after_a_restore_has_the_right_books(shop):
    """A new file behind the RESTORE: the old ones are loaded again by the same run, and once."""
    table_of(shop).restore(1)
    shop.put("20220404.json", line(6))
    assert shop.run()["files"]["read"] == 2
    assert ids(shop) == [1, 2, 3, 4, 5, 6]
    table_of(shop).restore(1)
    os.remove(shop.logs / "20220403.json")
    report = shop.run()
    assert report["files"]["read"] == 1
    assert ids(shop) == [1, 2, 3, 6]
    assert shop.run()["files"]["read"] == 0


def test_restored_without_anything_to_load_is_written_down(shop):
    """The transaction names the newer books until a run writes the right ones: the log entry that
    says RESTORE will be cleaned up one day."""
    os.remove(shop.logs / "20220403.json")
    table_of(shop).restore(1)
    shop.run()
    assert shop.versions()["raw/orders"] == 4
    assert shop.run()["files"]["read"] == 0
    assert shop.versions()["raw/orders"] == 4
    clean_log(shop, keep_from=4)
    shop.put("20220403.json", line(4), line(5), "broken\n")
    assert shop.run()["files"]["read"] == 1
    assert ids(shop) == [1, 2, 3, 4, 5]


def test_restored_to_a_version_whose_books_were_cleaned_up(shop):
    """They last as long as the log; the table itself may outlast them."""
    books(shop)[0].unlink()
    table_of(shop).restore(0)
    said = shop.fail()
    assert "Without its books" in said and "raw.orders" in said
    table_of(shop).restore(2)
    assert shop.run()["files"]["read"] == 0
    assert ids(shop) == [1, 2, 3, 4, 5]


def test_a_restored_quarantine(shop):
    table_of(shop, "refused/orders").restore(0)
    assert shop.refused() == [("20220401.json", 3)]
    shop.run()
    assert shop.refused() == [(name, len(rows) + 1) for name, rows in DAYS.items()]
    assert ids(shop) == [1, 2, 3, 4, 5]


# ---- overwritten --------------------------------------------------------------------------------


def by_predicate(shop):
    overwrite(shop, predicate="id = 1")


def anew(shop):
    schema = table_of(shop).schema()
    deltalake.DeltaTable.create(str(shop.lake / "raw/orders"), schema, mode="overwrite")


def as_spark_truncates(shop):
    say(shop, "TRUNCATE", {})


def as_spark_streams(shop):
    say(shop, "STREAMING UPDATE", {"outputMode": "Complete", "queryId": "q", "epochId": "1"})


def say(shop, operation, parameters):
    """A commit of Spark's, without rows."""
    version = table_of(shop).version() + 1
    info = {"commitInfo": {"timestamp": int(time.time() * 1000), "operation": operation,
                           "operationParameters": parameters, "engineInfo": "Apache-Spark/4.0"}}
    path = shop.lake / f"raw/orders/_delta_log/{version:020}.json"
    path.write_text(json.dumps(info) + "\n")


@pytest.mark.parametrize("how", [overwrite, by_predicate, anew, as_spark_truncates,
                                 as_spark_streams])
def test_an_overwrite_stops_the_load(shop, how):
    how(shop)
    shop.put("20220404.json", line(6))
    said = shop.fail()
    assert "version 3, by another writer" in said and "raw.orders" in said
    assert "--full-refresh raw.orders" in said and "version 2" in said
    table_of(shop).restore(2)
    shop.run()
    assert ids(shop) == [1, 2, 3, 4, 5, 6]


def test_an_overwritten_quarantine_stops_the_load(shop):
    old = table_of(shop, "refused/orders").to_pyarrow_table()
    deltalake.write_deltalake(str(shop.lake / "refused/orders"), old, mode="overwrite")
    assert "refused.orders" in shop.fail()


def test_an_overwrite_below_the_books_is_nobodys_affair(smelt, tmp_path):
    """The table is another writer's, and a load came into it later."""
    shop = Shop(smelt, tmp_path)
    schema = pa.schema([("id", pa.int64()), ("city", pa.string()), ("n", pa.int64()),
                        ("day", pa.date32())])
    rows = pa.table({"id": [100], "city": ["Rome"], "n": [1], "day": [None]}, schema=schema)
    for _ in range(2):
        deltalake.write_deltalake(str(shop.lake / "raw/orders"), rows, mode="overwrite")
    shop.put("20220401.json", line(1))
    shop.run()
    assert shop.run()["files"]["read"] == 0
    assert ids(shop) == [1, 100]


# ---- changed by rows ----------------------------------------------------------------------------


def delete_rows(shop):
    table_of(shop).delete("id = 1")


def delete_all(shop):
    table_of(shop).delete()


def update_rows(shop):
    table_of(shop).update(updates={"city": "'Oslo'"}, predicate="id = 1")


def optimize(shop):
    table_of(shop).optimize.compact()


def append(shop):
    deltalake.write_deltalake(str(shop.lake / "raw/orders"), first_row(shop), mode="append")


@pytest.mark.parametrize("how, left", [
    (delete_rows, [2, 3, 4, 5]), (delete_all, []), (update_rows, [1, 2, 3, 4, 5]),
    (optimize, [1, 2, 3, 4, 5]), (append, [1, 1, 2, 3, 4, 5])])
def test_what_others_do_to_rows_is_their_affair(shop, how, left):
    how(shop)
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
    shop.put("20220404.json", line(6))
    assert shop.run()["files"]["read"] == 1
    assert ids(shop) == sorted([*left, 6])


# ---- the log is cleaned up ----------------------------------------------------------------------


def clean_log(shop, keep_from, name="raw/orders"):
    """As writers do it: a checkpoint, and the entries before it deleted."""
    table_of(shop, name).create_checkpoint()
    for path in (shop.lake / name / "_delta_log").glob("*.json"):
        if path.stem.isdigit() and int(path.stem) < keep_from:
            path.unlink()


@pytest.mark.parametrize("keep_from", [0, 2, 3])
def test_books_outlive_log_entries(shop, keep_from):
    for name in BOOKS:
        clean_log(shop, keep_from, name)
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
    shop.put("20220402.json", line(3), line(30))
    assert shop.run()["files"]["read"] == 1
    assert ids(shop) == [1, 2, 3, 4, 5, 30]


def test_books_outlive_log_entries_that_others_wrote_since(shop):
    """Rows that others append after what is left of the log are seen; their going unseen stops."""
    optimize(shop)
    clean_log(shop, keep_from=3)
    append(shop)
    assert shop.run()["files"]["read"] == 0
    clean_log(shop, keep_from=5)
    said = shop.fail()
    assert "cleaned up" in said and "--full-refresh raw.orders" in said


def test_a_restore_that_the_log_no_longer_tells_of(shop):
    """Fewer rows than the books say: nobody can know which files they are of."""
    table_of(shop).restore(0)
    clean_log(shop, keep_from=4)
    assert "cleaned up" in shop.fail()


def test_clean_up_by_delta_rs(shop):
    table = str(shop.lake / "raw/orders")
    table_of(shop).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    for path in (shop.lake / "raw/orders/_delta_log").glob("*.json"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    deltalake.DeltaTable(table).create_checkpoint()
    deltalake.DeltaTable(table).cleanup_metadata()
    assert len(list((shop.lake / "raw/orders/_delta_log").glob("*.json"))) < 4
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}


def test_an_old_table_whose_log_was_cleaned_up(shop):
    """Files that no commit tells of any more count as changed: their dates are replaced."""
    make_old(shop)
    for name in BOOKS:
        clean_log(shop, keep_from=3, name=name)
    assert shop.run()["files"]["read"] == 3
    assert ids(shop) == [1, 2, 3, 4, 5]
    assert shop.refused() == [(name, len(rows) + 1) for name, rows in DAYS.items()]
    assert shop.run()["files"]["read"] == 0


@pytest.mark.parametrize("version", [0, 1])
def test_an_old_table_that_was_restored(shop, version):
    make_old(shop)
    table_of(shop).restore(version)
    assert shop.run()["files"]["read"] == 2 - version
    assert ids(shop) == [1, 2, 3, 4, 5]
    table_of(shop).restore(0)
    assert shop.run()["files"]["read"] == 2
    assert ids(shop) == [1, 2, 3, 4, 5]


def test_an_old_table_that_was_overwritten(shop):
    make_old(shop)
    overwrite(shop)
    assert "version 3, by another writer" in shop.fail()


# ---- others' clean-up of files ------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_vacuum_leaves_books_alone(shop, full):
    overwritten = table_of(shop)
    overwritten.delete("id = 1")
    kept = books(shop)
    table_of(shop).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False,
                          full=full)
    assert books(shop) == kept
    assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}


def test_peers_do_not_see_books(shop):
    import duckdb

    assert ids(shop) == [1, 2, 3, 4, 5]
    found = duckdb.sql(f"SELECT count(*) FROM '{shop.lake}/raw/orders/*.parquet'").fetchall()
    assert found == [(5,)]
