"""The books of a table: files are matched by content before paths, so that no operation on a folder
loads a row twice or loses one."""
import gzip
import json
import os
import shutil
import subprocess
import time

import deltalake
import pytest

from shop import BOOKS, PIPELINE, Shop, actions, line, make_old, transactions

NOTHING = {"read": 0, "kept": 0, "quarantined": 0, "blank": 0}


@pytest.fixture
def shop(smelt, tmp_path):
    """Two days that are loaded: four rows, two refused lines."""
    made = Shop(smelt, tmp_path)
    made.put("20220401.json", line(1), line(2, "Oslo", 7), "broken\n")
    made.put("20220402.json", line(3), "{\"id\":1.5}\n", line(4))
    made.run()
    return made


def books(shop, table="raw/orders"):
    """Headers and entries of the books' files, oldest first."""
    paths = sorted((shop.lake / table / "_smelt").iterdir())
    return [[json.loads(row) for row in path.read_text().splitlines()] for path in paths]


def known(shop, table="raw/orders"):
    """{path: entry} of the newest whole books."""
    whole = [rows for rows in books(shop, table) if rows[0]["previous"] is None][-1]
    return {row["path"]: row for row in whole[1:]}


def put_gzip(shop, name, *lines):
    (shop.logs / name).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def assert_unchanged(shop, report, files=2):
    """Nothing was read, no row is another, and from now on there is nothing to do."""
    assert report["files"] == {"read": 0, "skipped": files, "ignored": 0}
    assert report["lines"] == NOTHING
    assert shop.ids() == [1, 2, 3, 4]
    assert shop.versions()["mart/cities"] == 0
    before = shop.versions()
    assert shop.run()["files"] == {"read": 0, "skipped": files, "ignored": 0}
    assert shop.versions() == before


# ---- moved --------------------------------------------------------------------------------------


def test_a_renamed_file_is_the_same(shop):
    os.rename(shop.logs / "20220401.json", shop.logs / "orders_20220401.json")
    report = shop.run()
    assert report["moved"] == [{"from": "20220401.json", "to": "orders_20220401.json"}]
    assert_unchanged(shop, report)
    for table in BOOKS:
        assert shop.versions()[table] == 1  # the books alone
        assert set(known(shop, table)) == {"orders_20220401.json", "20220402.json"}
        assert transactions(shop.lake / table) == {
            "20220401.json": 0, "20220402.json": 0, "orders_20220401.json": 0}
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]  # as it was opened
    shop.put("orders_20220401.json", line(1))
    shop.run()
    assert sorted(shop.ids()) == [1, 3, 4]
    assert shop.refused() == [("20220402.json", 2)]


def test_a_file_renamed_to_another_date_moves_its_rows(shop):
    os.rename(shop.logs / "20220401.json", shop.logs / "20220403.json")
    report = shop.run()
    assert report["files"]["read"] == 1
    days = {row["id"]: row["day"] for row in shop.rows("raw.orders")}
    assert days == {1: "2022-04-03", 2: "2022-04-03", 3: "2022-04-02", 4: "2022-04-02"}
    assert shop.refused() == [("20220402.json", 2), ("20220403.json", 3)]


def test_rotation(shop):
    """The old file steps aside for a new one of its name."""
    os.rename(shop.logs / "20220401.json", shop.logs / "20220401.1.json")
    shop.put("20220401.json", line(5), "also broken\n")
    report = shop.run()
    assert report["files"] == {"read": 1, "skipped": 2, "ignored": 0}
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    # Again, and the oldest one is deleted: its rows stay.
    os.rename(shop.logs / "20220401.json", shop.logs / "20220401.1.json")
    shop.put("20220401.json", line(6))
    done = shop.process()
    assert "gone    20220401.1.json" in done.stderr
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5, 6]
    assert shop.run()["files"]["read"] == 0
    rows = sorted((row["line"], row["raw"]) for row in shop.rows("refused.orders"))
    assert [number for number, _ in rows] == [2, 2, 3]


def test_two_files_swap_their_names(shop):
    shop.put("20220402_b.json", line(9))
    shop.run()
    one, other = shop.logs / "20220402.json", shop.logs / "20220402_b.json"
    os.rename(one, shop.folder / "aside")
    os.rename(other, one)
    os.rename(shop.folder / "aside", other)
    assert shop.run()["files"]["read"] == 0
    assert sorted(shop.ids()) == [1, 2, 3, 4, 9]


@pytest.mark.parametrize("day", ["20220402", "20220403"])
def test_two_files_swap_their_names_and_one_grows(shop, day):
    """What moves onto the other's path does not hide that other's growth."""
    shop.put(f"{day}_b.json", line(9), "broken too\n")
    shop.run()
    one, other = shop.logs / "20220402.json", shop.logs / f"{day}_b.json"
    os.rename(one, shop.folder / "aside")
    os.rename(other, one)
    os.rename(shop.folder / "aside", other)
    other.write_text(other.read_text() + line(5))
    shop.run()
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5, 9]
    assert len(shop.refused()) == 3
    assert shop.run()["files"]["read"] == 0


def test_a_grown_file_under_another_name(shop):
    old = (shop.logs / "20220402.json").read_text()
    os.remove(shop.logs / "20220402.json")
    shop.put("20220402_all.json", old, line(5))
    shop.run()
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    assert shop.refused() == [("20220401.json", 3), ("20220402_all.json", 2)]


# ---- compressed ---------------------------------------------------------------------------------


def compress(path):
    """As gzip(1) does: the time of change goes over to the new file."""
    stamp = os.stat(path).st_mtime_ns
    new = path.with_name(path.name + ".gz")
    new.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(new, ns=(stamp, stamp))
    path.unlink()
    return new


def test_a_compressed_file_is_the_same(shop):
    compress(shop.logs / "20220401.json")
    report = shop.run()
    assert report["moved"] == [{"from": "20220401.json", "to": "20220401.json.gz"}]
    assert report["gone"] == []
    assert_unchanged(shop, report)
    shop.put("20220401.json", gzip.decompress((shop.logs / "20220401.json.gz").read_bytes()).decode())
    (shop.logs / "20220401.json.gz").unlink()
    assert shop.run()["files"]["read"] == 0
    assert shop.ids() == [1, 2, 3, 4]


def test_a_new_file_at_the_path_of_one_that_was_renamed_and_went(shop):
    """The rows of both have the same path in the quarantine, and those of the first cannot be read again."""
    os.rename(shop.logs / "20220401.json", shop.logs / "old_20220401.json")
    shop.run()
    (shop.logs / "old_20220401.json").unlink()
    shop.put("20220401.json", line(5), line(6), "bad\n")
    shop.run()
    lines = [("20220401.json", 3), ("20220401.json", 3), ("20220402.json", 2)]
    assert shop.refused() == lines
    deltalake.DeltaTable(str(shop.lake / "raw/orders")).restore(1)  # so the new one is loaded again
    assert shop.run()["files"]["read"] == 1
    assert shop.ids() == [1, 2, 3, 4, 5, 6] and shop.refused() == lines
    assert shop.run()["files"]["read"] == 0


def test_a_file_beside_its_compressed_twin(shop):
    plain = shop.logs / "20220401.json"
    twin = plain.with_name(plain.name + ".gz")
    whole = gzip.compress(plain.read_bytes())
    twin.write_bytes(whole[:-10])  # gzip is not done yet
    for data in (whole[:-10], whole):
        twin.write_bytes(data)
        assert shop.run()["files"] == {"read": 0, "skipped": 3, "ignored": 0}
        before = shop.versions()
        assert shop.run()["files"]["read"] == 0
        assert shop.versions() == before
    plain.unlink()
    assert shop.run()["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    assert shop.ids() == [1, 2, 3, 4]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json", 2)]


def test_twins_of_a_first_load(shop):
    shop.put("20220403.json", line(5), "broken\n")
    shop.put("20220404.json", line(6))
    for name in ("20220403.json", "20220404.json"):
        data = gzip.compress((shop.logs / name).read_bytes())
        (shop.logs / (name + ".gz")).write_bytes(data if "03" in name else data[:-9])
    report = shop.run()
    assert report["files"] == {"read": 2, "skipped": 4, "ignored": 0}
    assert shop.ids() == [1, 2, 3, 4, 5, 6]
    assert len(shop.refused()) == 3


def test_twins_that_differ(shop):
    put_gzip(shop, "20220401.json.gz", line(100))
    said = shop.fail()
    assert "20220401.json.gz" in said and "different contents" in said


def test_compressed_and_grown(shop):
    old = (shop.logs / "20220402.json").read_text()
    os.remove(shop.logs / "20220402.json")
    put_gzip(shop, "20220402.json.gz", old, line(5))
    shop.run()
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    assert shop.refused() == [("20220401.json", 3), ("20220402.json.gz", 2)]


DIRECT = PIPELINE[:PIPELINE.index("  - load:")] + """\
  - view: raw.orders
    sql: orders.sql
  - table: mart.cities
    sql: cities.sql
  - view: mart.good
    sql: good.sql
"""


def test_a_pipeline_without_a_load_reads_each_content_once(smelt, tmp_path):
    """The same files, straight into a table: twins are one file, and refused lines are kept once."""
    shop = Shop(smelt, tmp_path)
    shop.write(DIRECT)
    shop.put("20220401.json", line(1, "Rome", 5), "broken\n")
    put_gzip(shop, "20220402.json.gz", line(2, "Rome", 7), "broken\n")
    shop.run()
    assert shop.rows("mart.cities") == [{"city": "Rome", "n": 12}]
    data = (shop.logs / "20220401.json").read_bytes()
    (shop.logs / "20220401.json.gz").write_bytes(gzip.compress(data))
    shop.put("20220402.json", line(2, "Rome", 7), "broken\n")
    for _ in range(2):
        assert shop.run()["files"] == {"read": 0, "skipped": 4, "ignored": 0}
        assert shop.rows("mart.cities") == [{"city": "Rome", "n": 12}]
        assert shop.refused() == [("20220401.json", 2), ("20220402.json.gz", 2)]
    os.remove(shop.logs / "20220401.json")
    os.rename(shop.logs / "20220402.json", shop.logs / "20220402_x.json")
    os.remove(shop.logs / "20220402.json.gz")
    shop.run()
    assert shop.rows("mart.cities") == [{"city": "Rome", "n": 12}]
    assert shop.refused() == [("20220401.json", 2), ("20220402.json.gz", 2)]
    shop.put("20220402_x.json", line(2, "Rome", 8))
    shop.run()
    assert shop.rows("mart.cities") == [{"city": "Rome", "n": 13}]
    assert shop.refused() == [("20220401.json", 2)]


# ---- mounted elsewhere --------------------------------------------------------------------------


def test_a_folder_mounted_elsewhere(shop):
    elsewhere = shop.folder / "elsewhere"
    os.rename(shop.logs, elsewhere)
    assert shop.run(logs=elsewhere)["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    assert shop.ids() == [1, 2, 3, 4]
    assert [root["uri"] for root in books(shop)[-1][0]["roots"]] == [str(elsewhere)]
    before = shop.versions()
    assert shop.run(logs=elsewhere)["files"]["read"] == 0
    assert shop.versions() == before


def linked(shop):
    os.symlink("logs", shop.folder / "link")
    return shop.folder / "link"


def below_a_link(shop):
    os.symlink(shop.folder, shop.folder / "link")
    return shop.folder / "link/logs"


def moved_behind_a_link(shop):
    os.rename(shop.logs, shop.folder / "elsewhere")
    os.symlink("elsewhere", shop.logs)
    return shop.folder / "elsewhere"


@pytest.mark.parametrize("alias", [linked, below_a_link, moved_behind_a_link])
def test_a_changed_file_of_a_folder_by_another_name(shop, alias):
    """A link, a second mount: it is still one folder, so no row of it is there twice."""
    shop.put("20220401.json", line(1), line(2, "Oslo", 7), line(5))
    assert shop.run(logs=alias(shop))["files"] == {"read": 1, "skipped": 1, "ignored": 0}
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    shop.put("20220402.json", line(3))
    shop.run("--other-root")  # its place is known, so there is nothing to choose
    assert sorted(shop.ids()) == [1, 2, 3, 5]
    assert len(books(shop)[-1][0]["roots"]) == 1


def test_a_folder_above_a_link_is_another(shop):
    """The system goes up from where the link leads."""
    (shop.folder / "deep/logs").mkdir(parents=True)
    (shop.folder / "deep/inner").mkdir()
    os.symlink("deep/inner", shop.folder / "link")
    (shop.folder / "deep/logs/20220401.json").write_text(line(9))
    assert shop.run(logs=f"{shop.folder}/link/../logs")["files"]["read"] == 1
    assert sorted(shop.ids()) == [1, 2, 3, 4, 9]
    assert [root["uri"] for root in books(shop)[-1][0]["roots"]] == [
        str(shop.logs), str(shop.folder / "deep/logs")]


def test_a_file_of_two_patterns_is_refused(smelt, tmp_path):
    """The folder before a pattern's first wildcard is the root, so one file may lie in two."""
    shop = Shop(smelt, tmp_path)
    shop.write(PIPELINE.replace("    match: '^[^.].*[.]json(.gz)?$'\n", ""))
    shop.put("20220401.json", line(1))
    (shop.logs / "april").mkdir()
    (shop.logs / "april/20220402.json").write_text(line(2))
    shop.run(logs=shop.logs / "*/*.json")
    assert shop.ids() == [2]
    said = shop.fail(logs=shop.logs / "april")
    assert f'was loaded before, as one of "{shop.logs}"\n  at {shop.logs}/april/20220402.json\n' in said
    shop.run()  # of the same folder
    assert sorted(shop.ids()) == [1, 2]
    said = shop.fail(logs=tmp_path / "*/*.json")
    assert f'was loaded before, as one of "{shop.logs}"' in said


# ---- more than one root -------------------------------------------------------------------------


def test_same_names_in_two_folders(shop):
    host = shop.folder / "host2"
    host.mkdir()
    (host / "20220401.json").write_text(line(11) + "broken there\n")
    (host / "20220402.json").write_text(line(3) + "{\"id\":1.6}\n" + line(4))  # same size
    stamp = os.stat(shop.logs / "20220402.json").st_mtime_ns
    os.utime(host / "20220402.json", ns=(stamp, stamp))
    assert shop.run(logs=host)["files"]["read"] == 2
    assert sorted(shop.ids()) == [1, 2, 3, 3, 4, 4, 11]
    for logs in (shop.logs, host):
        assert shop.run(logs=logs)["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    for table in BOOKS:
        found = {action["txn"]["appId"] for action in actions(shop.lake / table) if "txn" in action}
        assert found == {"smelt:books", "smelt:shop:20220401.json", "smelt:shop:20220402.json",
                         "smelt:shop@2:20220401.json", "smelt:shop@2:20220402.json"}
    assert len(shop.refused()) == 4


def test_a_copy_of_another_folders_file_names_the_folder(shop):
    host = shop.folder / "host2"
    host.mkdir()
    (host / "20220401.json").write_text(line(11))
    shutil.copy(shop.logs / "20220402.json", host)
    copy = {"name": "20220402.json", "of": str(shop.logs / "20220402.json"), "loaded": True}
    assert shop.run(logs=host)["copies"] == [copy]


def test_a_date_of_two_folders_is_replaced_from_both(shop):
    host = shop.folder / "host2"
    host.mkdir()
    (host / "20220401.json").write_text(line(11) + "broken there\n")
    shop.run(logs=host)
    shop.put("20220401.json", line(1))
    shop.run()
    assert sorted(shop.ids()) == [1, 3, 4, 11]
    assert shop.refused() == [("20220401.json", 2), ("20220402.json", 2)]
    for logs in (shop.logs, host):
        assert shop.run(logs=logs)["files"]["read"] == 0
    # Where the other folder cannot be read its rows would be lost.
    (host / "20220401.json").unlink()
    shop.put("20220401.json", line(1), line(2))
    said = shop.fail()
    assert str(host / "20220401.json") in said and "rows would be lost" in said


@pytest.mark.parametrize("is_quarantined", [False, True])
def test_a_rotated_away_file_of_another_folder_cannot_be_read_again(shop, is_quarantined):
    """Its rows are there, but its path is that of another file: which must not be read in its place."""
    host = shop.folder / "host2"
    host.mkdir()
    (host / "20220401.json").write_text(line(11) + ("broken there\n" if is_quarantined else ""))
    (host / "20220401_b.json").write_text(line(12))
    shop.run(logs=host)
    os.rename(host / "20220401_b.json", host / "20220401.json")
    assert shop.run(logs=host)["gone"] == ["20220401.json"]
    before = shop.versions()
    shop.put("20220401.json", line(1))
    said = shop.fail()
    assert f"{host}/20220401.json" in said and "rows would be lost" in said
    assert shop.versions() == before and sorted(shop.ids()) == [1, 2, 3, 4, 11, 12]
    # Brought back under another name, it is known again.
    (host / "20220401_a.json").write_text(line(11) + ("broken there\n" if is_quarantined else ""))
    assert shop.run(logs=host)["files"]["read"] == 0
    shop.run()
    assert sorted(shop.ids()) == [1, 3, 4, 11, 12]
    assert len(shop.refused()) == 1 + is_quarantined


# ---- copies, touched files ----------------------------------------------------------------------


def test_a_copy_is_loaded(shop):
    shutil.copy(shop.logs / "20220401.json", shop.logs / "20220401_copy.json")
    report = shop.run()
    assert report["files"]["read"] == 1
    assert sorted(shop.ids()) == [1, 1, 2, 2, 3, 4]
    assert shop.refused() == [("20220401.json", 3), ("20220401_copy.json", 3),
                              ("20220402.json", 2)]
    assert shop.run()["files"]["read"] == 0


def test_touched_large_files_are_hashed_once(shop):
    shop.put("20220403.json", *(line(number, "x" * 200) for number in range(10, 80_010)))
    shop.run()
    before = shop.versions()
    os.utime(shop.logs / "20220403.json", (1, 1))
    assert shop.run()["files"]["read"] == 0
    after = shop.versions()
    assert after["raw/orders"] == before["raw/orders"] + 1
    assert after["mart/cities"] == before["mart/cities"]
    assert shop.run()["files"]["read"] == 0
    assert shop.versions() == after


def policy(shop, **keys):
    said = "".join(f"    {key}: {word}\n" for key, word in keys.items())
    shop.write(PIPELINE.replace("    quarantine:", said + "    quarantine:"))


def test_copies_are_counted_skipped_or_refused(shop):
    shutil.copy(shop.logs / "20220401.json", shop.logs / "20220401_copy.json")
    policy(shop, copies="fail")
    said = shop.fail()
    assert "20220401_copy.json" in said and "20220401.json" in said
    policy(shop, copies="skip")
    copy = {"name": "20220401_copy.json", "of": "20220401.json"}
    for _ in range(2):
        report = shop.run()
        assert report["files"] == {"read": 0, "skipped": 3, "ignored": 0}
        assert report["copies"] == [{**copy, "loaded": False}]
    assert sorted(shop.ids()) == [1, 2, 3, 4]
    os.remove(shop.logs / "20220401.json")  # the copy takes over
    assert shop.run()["files"]["read"] == 0
    assert sorted(shop.ids()) == [1, 2, 3, 4]
    shutil.copy(shop.logs / "20220401_copy.json", shop.logs / "20220401_again.json")
    policy(shop, copies="keep")
    report = shop.run()
    assert report["copies"] == [
        {"name": "20220401_again.json", "of": "20220401_copy.json", "loaded": True}]
    assert sorted(shop.ids()) == [1, 1, 2, 2, 3, 4]


@pytest.mark.parametrize("copies", ["keep", "skip"])
def test_what_another_folder_had_is_no_original(shop, copies):
    """Its file is read again, as its Date is replaced, and by then is another."""
    policy(shop, copies=copies)
    host = shop.folder / "host2"
    host.mkdir()
    (host / "20220401.json").write_text(line(11))
    shop.run(logs=host)
    (host / "20220401.json").write_text(line(12))
    shop.put("20220401.json", line(1))
    shop.put("20220403.json", line(11))
    assert shop.run()["copies"] == []
    assert sorted(shop.ids()) == [1, 3, 4, 11, 12]
    assert shop.run()["files"]["read"] == 0
    shop.run(logs=host)
    assert sorted(shop.ids()) == [1, 3, 4, 11, 12]


@pytest.mark.parametrize("copies", ["skip", "fail"])
def test_a_copy_outside_the_window_is_judged_where_its_date_is_replaced(shop, copies):
    """A file of May moves to April; another one of its Date is a copy of an April one."""
    policy(shop, copies=copies)
    shop.put("20220501.json", line(5))
    shop.run(month="2022-05")
    os.rename(shop.logs / "20220501.json", shop.logs / "20220403.json")
    shutil.copy(shop.logs / "20220402.json", shop.logs / "20220501_copy.json")
    if copies == "fail":
        said = shop.fail()
        assert '"20220501_copy.json" has the same content as "20220402.json"' in said
        return
    copy = {"name": "20220501_copy.json", "of": "20220402.json", "loaded": False}
    assert shop.run()["copies"] == [copy]
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5]
    # Where that one has changed by the next time, the copy has taken over its rows.
    shop.put("20220402.json", line(6))
    os.rename(shop.logs / "20220403.json", shop.logs / "20220502.json")
    shop.run()
    shop.run(month="2022-05")
    assert sorted(shop.ids()) == [1, 2, 3, 4, 5, 6]


def test_gone_files_are_kept_refused_or_removed(shop):
    os.remove(shop.logs / "20220401.json")
    policy(shop, gone="fail")
    assert "20220401.json" in shop.fail()
    policy(shop, gone="keep")
    assert shop.run()["gone"] == ["20220401.json"]
    assert shop.ids() == [1, 2, 3, 4]
    policy(shop, gone="remove")
    report = shop.run()
    assert report["gone"] == ["20220401.json"]
    assert shop.ids() == [3, 4]
    assert shop.refused() == [("20220402.json", 2)]
    assert shop.rows("mart.cities") == [{"city": "Rome", "n": 2}]
    before = shop.versions()
    assert shop.run()["gone"] == []
    assert shop.versions() == before
    shop.put("20220401.json", line(1))
    assert shop.run()["files"]["read"] == 1
    assert sorted(shop.ids()) == [1, 3, 4]


def test_a_folder_that_only_the_user_can_tell(shop):
    """Some files differ and the old folder is not there: the same one, or another?"""
    elsewhere = shop.folder / "elsewhere"
    os.rename(shop.logs, elsewhere)
    (elsewhere / "20220402.json").write_text(line(3) + line(40))
    said = shop.fail(logs=elsewhere)
    assert "--same-root" in said and "--other-root" in said
    shutil.copytree(shop.lake, shop.folder / "kept")
    shop.run("--same-root", logs=elsewhere)
    assert sorted(shop.ids()) == [1, 2, 3, 40]
    assert shop.run(logs=elsewhere)["files"]["read"] == 0
    shutil.rmtree(shop.lake)
    os.rename(shop.folder / "kept", shop.lake)
    shop.run("--other-root", logs=elsewhere)
    assert sorted(shop.ids()) == [1, 1, 2, 2, 3, 3, 4, 40]
    assert shop.run(logs=elsewhere)["files"]["read"] == 0


# ---- other pipelines ----------------------------------------------------------------------------


def test_another_name_of_the_pipeline(shop):
    shop.write(PIPELINE.replace("name: shop", "name: store"))
    done = shop.process()
    assert "warning raw.orders continues the books of pipeline shop" in done.stderr
    assert shop.ids() == [1, 2, 3, 4]
    shop.put("20220403.json", line(5))
    assert shop.run()["files"]["read"] == 1
    assert shop.ids() == [1, 2, 3, 4, 5]
    assert "goes on" not in shop.process().stderr
    for table in BOOKS:
        found = {action["txn"]["appId"] for action in actions(shop.lake / table) if "txn" in action}
        assert "smelt:store:20220403.json" in found


# ---- what a commit says, and how books grow -----------------------------------------------------


def test_a_commit_names_its_books(shop):
    for table in BOOKS:
        found = list(actions(shop.lake / table))
        info = [action["commitInfo"]["smelt"] for action in found if "commitInfo" in action][-1]
        number = [action["txn"]["version"] for action in found
                  if "txn" in action and action["txn"]["appId"] == "smelt:books"][-1]
        assert info["pipeline"] == "shop" and info["books"] == f"books-{number:016x}.ndjson"
        assert (shop.lake / table / "_smelt" / info["books"]).exists()
        assert {row["name"] for row in info["files"]} == {"20220401.json", "20220402.json"}
        entry = known(shop, table)["20220401.json"]
        assert (entry["lines"], entry["date"]) == (3, "2022-04-01")


def test_books_grow_by_what_changed(smelt, tmp_path):
    shop = Shop(smelt, tmp_path)
    for number in range(200):
        shop.put(f"20220401_{number:03}.json", line(number))
    shop.run()
    shop.put("20220402.json", line(1000))
    shop.run()
    os.remove(shop.logs / "20220401_007.json")
    os.rename(shop.logs / "20220401_008.json", shop.logs / "20220401_x.json")
    shop.run()
    first, second, third = books(shop)
    assert [len(rows) for rows in (first, second)] == [201, 2]
    assert second[0]["previous"] == sorted((shop.lake / "raw/orders/_smelt").iterdir())[0].name
    # The second is small, so the third has taken it in.
    assert third[0]["previous"] == second[0]["previous"]
    assert [row["path"] for row in third[1:] if "path" in row] == ["20220401_x.json", "20220402.json"]
    assert [row["gone"] for row in third[1:] if "gone" in row] == ["0/20220401_008.json"]
    assert shop.run()["files"] == {"read": 0, "skipped": 200, "ignored": 0}
    assert len(shop.ids()) == 201


def test_a_failed_commit_leaves_no_books(shop):
    """Somebody has taken the version: the run does not know it until it has staged."""
    kept = {table: len(books(shop, table)) for table in BOOKS}
    shop.put("20220403.json", line(5))
    log = shop.lake / "raw/orders/_delta_log"
    theirs = {"metaData": json.loads((log / f"{0:020}.json").read_text().splitlines()[2])["metaData"]}
    theirs["metaData"]["description"] = "another one"
    n_files = len(list((shop.lake / "raw/orders").glob("*.parquet")))
    command = [str(shop.smelt.path), "run", str(shop.file), "--var", f"logs={shop.logs}", "--var",
               f"lake={shop.lake}", "--var", "month=2022-04"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "SMELT_FAULT": "delay_ms=100"}) as process:
        while len(list((shop.lake / "raw/orders").glob("*.parquet"))) == n_files:
            assert process.poll() is None
            time.sleep(0.01)
        (log / f"{1:020}.json").write_text(json.dumps(theirs) + "\n")
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 4, said
    assert len(books(shop)) == kept["raw/orders"]
    assert shop.run()["files"]["read"] == 1
    assert shop.ids() == [1, 2, 3, 4, 5]


# ---- tables of before ---------------------------------------------------------------------------


@pytest.fixture
def old(shop):
    """Three files and a compressed one; one was replaced when another of its date was gone."""
    shop.put("20220403.json", line(5))
    shop.put("20220403_b.json", line(6))
    put_gzip(shop, "20220404.json.gz", line(7))
    shop.run()
    os.remove(shop.logs / "20220403.json")
    shop.put("20220403_b.json", line(60))
    shop.run()
    make_old(shop)
    return shop


OLD_IDS = [1, 2, 3, 4, 7, 60]


def test_an_old_table_is_taken_over(old):
    before = old.versions()
    assert old.run()["files"] == {"read": 0, "skipped": 4, "ignored": 0}
    after = old.versions()
    for table in BOOKS:
        assert after[table] == before[table] + 1
        assert known(old, table)["20220403.json"]["dropped"]
    assert after["mart/cities"] == before["mart/cities"]
    assert sorted(old.ids()) == OLD_IDS
    assert old.run()["files"]["read"] == 0
    assert old.versions() == after
    old.put("20220403.json", line(5))
    assert old.run()["files"]["read"] == 1
    assert sorted(old.ids()) == [1, 2, 3, 4, 5, 7, 60]
    assert transactions(old.lake / "raw/orders") == {
        "20220401.json": 0, "20220402.json": 0, "20220403.json": 1, "20220403_b.json": 1,
        "20220404.json.gz": 0}


def test_an_old_tables_file_that_was_renamed(old):
    os.rename(old.logs / "20220401.json", old.logs / "20220401_x.json")
    assert old.run()["files"]["read"] == 0
    assert sorted(old.ids()) == OLD_IDS


def test_an_old_tables_compressed_file_is_told_by_its_mark_alone(old):
    os.utime(old.logs / "20220404.json.gz", (1, 1))
    assert old.run()["files"]["read"] == 1
    assert sorted(old.ids()) == OLD_IDS
    os.rename(old.logs / "20220404.json.gz", old.logs / "20220404_x.json.gz")
    assert old.run()["files"]["read"] == 0
    assert sorted(old.ids()) == OLD_IDS


def test_an_old_table_of_another_pipeline(shop):
    make_old(shop, "store")
    done = shop.process()
    assert "continues the books of pipeline store" in done.stderr
    assert shop.ids() == [1, 2, 3, 4]
