"""Candidates that are kept: a table that fails by its contract can be looked at, judged anew and
published; what takes it away, and that vacuum and fsck know of it."""
import json
import os
import shutil
import time

import deltalake
import pyarrow as pa
import pytest

import contract_shop
from contract_shop import AMOUNTS

ROWS_ONLY = AMOUNTS.replace(", unique: true", "")
WAYS = ["load", "append", "overwrite", "replace", "merge"]


@pytest.fixture
def shop(smelt, tmp_path):
    return contract_shop.Shop(smelt, tmp_path, AMOUNTS)


def failed(shop, way="load"):
    """Two rows are there, and two that break the contract are kept."""
    shop.way(way)
    shop.give_amounts("2022-04-01", 1.0, 2.0)
    shop.run()
    shop.give_amounts("2022-04-02", 3.0, -4.0)
    return shop.run("2022-04-02", code=3)


# ---- looking at it ------------------------------------------------------------------------------

@pytest.mark.parametrize("way", WAYS)
def test_a_candidate_is_read(shop, way):
    done = failed(shop, way)
    assert "candidate.mart.orders" in done.stderr
    assert shop.ids() == [100, 101]
    assert shop.ids("candidate.mart.orders") == [100, 101, 200, 201]
    assert shop.query("SELECT count(*) AS n FROM candidate.mart.orders WHERE amount < 0") == [{"n": 1}]
    assert shop.query("SELECT c.id FROM candidate.mart.orders c LEFT JOIN mart.orders o ON c.id = o.id "
                    "WHERE o.id IS NULL ORDER BY 1") == [{"id": 200}, {"id": 201}]
    head = shop.head()
    assert (head["base"], head["path"], head["contract"]) == (0, "mart/orders", "c.yaml")
    assert [r["outcome"] for r in head["report"]] == ["passed", "failed"]
    assert head["run"].startswith("shop-2022-04-02")


def test_of_a_new_table(shop):
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    shop.run(code=3)
    assert shop.ids("candidate.mart.orders") == [100, 101]
    assert "mart.orders" in shop.query("FROM mart.orders", code=1)
    shop.least(-5)
    shop.check("--publish")
    assert shop.ids() == [100, 101]
    assert not shop.kept.exists()


def test_none_is_kept(shop):
    shop.give_amounts("2022-04-01", 1.0)
    shop.run()
    told = shop.query("FROM candidate.mart.orders", code=1)
    assert "no candidate of mart.orders is kept" in told
    assert "no candidate of mart.orders is kept" in shop.check(code=1).stderr
    assert "candidate.layer.table" in shop.check("--publish", name="lake/mart/orders", code=2).stderr


# ---- publishing it ------------------------------------------------------------------------------

@pytest.mark.parametrize("way", WAYS)
def test_published(shop, way):
    failed(shop, way)
    assert shop.check(code=3) and shop.check("--publish", code=3)
    assert shop.kept.exists() and shop.ids() == [100, 101], "without passing it stays"
    shop.least(-10)
    before = shop.data()
    assert shop.check().returncode == 0 and shop.kept.exists(), "without --publish nothing is"
    done = shop.check("--publish", "--json")
    assert json.loads(done.stdout)["published"] == 1
    assert shop.ids() == [100, 101, 200, 201]
    assert sorted(shop.table().to_pyarrow_table()["id"].to_pylist()) == [100, 101, 200, 201]
    assert not shop.kept.exists() and not shop.claims()
    assert shop.data() == before, "no file is written or deleted"
    info = shop.table().history(1)[0]
    assert info["smelt"]["verdict"]["outcome"] == "passed" and info["smelt"]["run"].startswith("shop-2022-04-02")
    assert abs(info["timestamp"] / 1000 - time.time()) < 60
    assert "no candidate" in shop.check("--publish", code=1).stderr


@pytest.mark.parametrize("way", ["load", "append"])
def test_a_later_run_does_not_load_again(shop, way):
    failed(shop, way)
    shop.least(-10)
    shop.check("--publish")
    shop.run("2022-04-02")
    assert shop.ids() == [100, 101, 200, 201]
    shop.give_amounts("2022-04-03", 5.0)
    shop.run("2022-04-03")
    assert shop.ids() == [100, 101, 200, 201, 300]


@pytest.mark.parametrize("contract, code", [(AMOUNTS, 4), (ROWS_ONLY, 0)])
def test_behind_rows_of_others(shop, contract, code):
    """A rule of the table was judged beside the rows that were there; one of rows holds anywhere."""
    failed(shop, "append")
    shop.least(-10, contract)
    table = shop.table()
    row = table.to_pyarrow_table().slice(0, 1)
    deltalake.write_deltalake(table, row.set_column(row.schema.get_field_index("id"), "id", pa.array([200])),
                              mode="append")
    done = shop.check("--publish", code=code)
    assert shop.kept.exists() == (code == 4)
    assert ("rows" in done.stderr) == (code == 4)
    assert shop.ids() == ([100, 101, 200] if code else [100, 101, 200, 200, 201])


def test_another_table_may_change_meanwhile(shop):
    """A reference was judged by the other table as it was."""
    deltalake.write_deltalake(shop.lake / "mart/known", pa.table({"id": list(range(300))}))
    contract = AMOUNTS.replace("unique: true", "relationships: [{to: known.id}]")
    shop.least(0, contract)
    failed(shop)
    shop.least(-10, contract)
    deltalake.DeltaTable(shop.lake / "mart/known").delete("id >= 200")
    assert "reference" in shop.check(code=3).stdout
    deltalake.write_deltalake(shop.lake / "mart/known", pa.table({"id": [200, 201]}), mode="append")
    shop.check("--publish")
    deltalake.DeltaTable(shop.lake / "mart/known").delete()
    assert shop.ids() == [100, 101, 200, 201]


def test_behind_a_compaction(shop):
    shop.way("append")
    for day in range(1, 4):
        shop.give_amounts(f"2022-04-0{day}", 1.0)
        shop.run(f"2022-04-0{day}")
    shop.give_amounts("2022-04-04", -1.0)
    shop.run("2022-04-04", code=3)
    shop.smelt("table", "optimize", "lake/mart/orders")
    shop.least(-10)
    shop.check("--publish")
    assert shop.ids() == [100, 200, 300, 400]


def test_files_it_removed_stay_as_long_as_others(shop):
    """They are removed by the publication, not when the candidate was made."""
    failed(shop, "overwrite")
    lines = shop.kept.read_text().split("\n")
    old = [json.loads(line)["remove"]["deletionTimestamp"] for line in lines[1:] if '"remove"' in line]
    time.sleep(0.05)
    shop.least(-10)
    shop.check("--publish")
    log = (shop.lake / "mart/orders/_delta_log/00000000000000000001.json").read_text().splitlines()
    new = [json.loads(line)["remove"]["deletionTimestamp"] for line in log if '"remove"' in line]
    assert len(old) == len(new) == 1 and new[0] > old[0]


VECTORS = ("{delta.enableDeletionVectors: 'true', delta.enableChangeDataFeed: 'true', delta.enableRowTracking: 'true', "
           "delta.enableInCommitTimestamps: 'true'}")


@pytest.mark.parametrize("then", ["published", "replaced"])
def test_vectors_and_changes(shop, then):
    """Rows that change, in a table with deletion vectors, a change data feed, row ids and timestamps."""
    shop.way("merge")
    text = (shop.folder / "p.yaml").read_text()
    (shop.folder / "p.yaml").write_text(text.replace("contract:", f"properties: {VECTORS}, contract:"))
    shop.give_amounts("2022-04-01", 1.0, 2.0, 3.0)
    shop.run()
    shop.give_amounts("2022-04-02", -2.0, 4.0, first=101)
    shop.run("2022-04-02", code=3)
    rows = "SELECT id, amount FROM {} ORDER BY id"
    new = [{"id": 100, "amount": 1.0}, {"id": 101, "amount": -2.0}, {"id": 102, "amount": 4.0}]
    assert shop.query(rows.format("candidate.mart.orders")) == new
    files = shop.head()["files"]
    assert {f.split(".")[-1] for f in files} >= {"parquet"} and any("_change_data/" in f for f in files)
    if then == "replaced":
        shop.give_amounts("2022-04-02", -3.0, first=101)
        shop.run("2022-04-02", code=3)
        assert not [f for f in files if (shop.lake / "mart/orders" / f).exists()]
        assert shop.query(rows.format("mart.orders")) == [{"id": 100 + i, "amount": 1.0 + i} for i in range(3)]
        return
    shop.least(-10)
    shop.check("--publish")
    assert shop.query(rows.format("mart.orders")) == new
    assert shop.query("SELECT id, _change_type AS t FROM table_changes('lake/mart/orders', 1, 1) ORDER BY ALL") == [
        {"id": 101, "t": "update_postimage"}, {"id": 101, "t": "update_preimage"},
        {"id": 102, "t": "update_postimage"}, {"id": 102, "t": "update_preimage"}]
    shop.smelt("table", "fsck", "lake/mart/orders", "--data")


def test_no_verdict_of_it_is_kept(shop):
    """Two candidates of the same base, and the version that another writer makes of it, are not alike."""
    failed(shop, "append")
    shop.least(-10)
    kept = sorted((shop.lake / "mart/orders/_smelt").glob("verdicts/*"))  # of the run that passed
    assert shop.check() and shop.check()
    assert sorted((shop.lake / "mart/orders/_smelt").glob("verdicts/*")) == kept
    shop.least(0)
    shop.give_amounts("2022-04-02", 3.0, -40.0)
    shop.run("2022-04-02", code=3)
    shop.least(-10)
    shop.check(code=3)


# ---- what takes it away -------------------------------------------------------------------------

def test_a_run_that_passes_drops_it(shop):
    failed(shop)
    assert len(shop.data()) == 2
    shop.give_amounts("2022-04-02", 3.0, 4.0)
    shop.run("2022-04-02")
    assert not shop.kept.exists() and len(shop.data()) == 2
    assert shop.ids() == [100, 101, 200, 201]


def test_a_newer_one_takes_its_place(shop):
    failed(shop)
    first = shop.head()
    shop.give_amounts("2022-04-02", 3.0, 4.0, -5.0)
    shop.run("2022-04-02", code=3)
    assert shop.head()["id"] != first["id"]
    assert shop.ids("candidate.mart.orders") == [100, 101, 200, 201, 202]
    assert not set(first["files"]) & set(shop.data()), "the files of the first are gone"


def test_files_of_one_that_is_being_published_stay(shop):
    """A claim says that a process publishes it, or was killed at that: then its files may be live."""
    failed(shop)
    first = shop.head()
    shop.kept.with_name(first["id"]).mkdir()
    (shop.kept.parent / first["id"] / "x.claim").write_text("\n")
    assert shop.process("2022-04-02").returncode == 3
    assert set(first["files"]) <= set(shop.data())


def test_cannot_be_kept(shop):
    """Then the run says so, and leaves nothing."""
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    (shop.lake / "_smelt").mkdir(parents=True)
    (shop.lake / "_smelt/candidates").write_text("in the way")
    done = shop.run(code=3)
    assert "Its rows are not kept: " in done.stderr and "rule amount:minimum is broken" in done.stderr
    assert shop.data() == []


def test_damaged(shop):
    failed(shop)
    files = shop.head()["files"]
    text = shop.kept.read_text()
    for bad in ["", "{}\n", text[:-20], text.replace(files[0], "../../x.parquet"), text.replace(files[0], "_delta_log/x.bin"),
                text.replace('"smelt_candidate":1', '"smelt_candidate":99')]:
        shop.kept.write_text(bad)
        assert "candidates/mart/orders/candidate.json" in shop.query("FROM candidate.mart.orders", code=1)
        assert shop.smelt("table", "vacuum", "lake/mart/orders", check=False).returncode == 1
        assert "orders/candidate.json" in shop.smelt("table", "fsck", "lake/mart/orders", check=False).stdout
    assert shop.process("2022-04-02").returncode == 3
    assert shop.ids("candidate.mart.orders") == [100, 101, 200, 201]


# ---- vacuum and fsck ----------------------------------------------------------------------------

def vacuum(shop, *options):
    return json.loads(shop.smelt("table", "vacuum", "lake/mart/orders", "--json", *options).stdout)


def test_vacuum_knows_it(shop):
    failed(shop)
    for name in shop.data():
        os.utime(shop.lake / "mart/orders" / name, (0, 0))
    shutil.rmtree(shop.lake / "mart/orders/_smelt/verdicts")
    assert vacuum(shop, "--retention", "0h", "--no-retention-check")["files"] == 0
    assert shop.ids("candidate.mart.orders") == [100, 101, 200, 201]
    fsck = json.loads(shop.smelt("table", "fsck", "lake/mart/orders", "--json").stdout)
    assert fsck["candidate"] == shop.head()["id"] and fsck["left"] == 0
    assert "kept since" in shop.smelt("table", "fsck", "lake/mart/orders").stdout


def test_vacuum_drops_what_has_expired(shop):
    failed(shop)
    head = shop.head()
    old = head["kept_us"] - 8 * 86_400_000_000
    shop.kept.write_text(shop.kept.read_text().replace(f'"kept_us":{head["kept_us"]}', f'"kept_us":{old}'))
    assert vacuum(shop, "--dry-run")["candidate_files"] == 1 and shop.kept.exists()
    assert vacuum(shop)["candidate_files"] == 1
    assert not shop.kept.exists() and len(shop.data()) == 1
    assert vacuum(shop)["candidate_files"] == 0


def test_vacuum_of_a_table_that_never_was(shop):
    """What the first run of a table has left goes like that of any other."""
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    shop.run(code=3)
    files = shop.data()
    assert len(files) == 1 and files == shop.head()["files"]
    for name in files:
        os.utime(shop.lake / "mart/orders" / name, (0, 0))
    assert vacuum(shop, "--retention", "0h", "--no-retention-check")["candidate_files"] == 0
    assert shop.data() == files and shop.ids("candidate.mart.orders") == [100, 101]
    head = shop.head()
    old = head["kept_us"] - 8 * 86_400_000_000
    shop.kept.write_text(shop.kept.read_text().replace(f'"kept_us":{head["kept_us"]}', f'"kept_us":{old}'))
    assert vacuum(shop, "--dry-run")["candidate_files"] == 1 and shop.data() == files
    told = vacuum(shop)
    assert told["candidate_files"] == 1 and told["retention_hours"] == 168
    assert not shop.kept.exists() and shop.data() == []
    again = shop.smelt("table", "vacuum", "lake/mart/orders", check=False)
    assert again.returncode == 1 and "no Delta table in lake/mart/orders" in again.stderr


def test_vacuum_of_a_folder_without_a_log_takes_no_other_file(shop):
    """It may be all that is left of a table."""
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    shop.run(code=3)
    (shop.lake / "mart/orders/part-1.parquet").write_bytes((shop.lake / "mart/orders" / shop.data()[0]).read_bytes())
    os.utime(shop.lake / "mart/orders/part-1.parquet", (0, 0))
    head = shop.head()
    shop.kept.write_text(shop.kept.read_text().replace(f'"kept_us":{head["kept_us"]}', '"kept_us":1'))
    assert vacuum(shop, "--retention", "0h", "--no-retention-check")["candidate_files"] == 1
    assert shop.data() == ["part-1.parquet"]


def test_a_failed_first_run_leaves_nothing_else(shop):
    """Neither of the table that failed, nor of those before it in the run."""
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    shop.run(code=3)
    left = sorted(str(path.relative_to(shop.lake)) for path in shop.lake.rglob("*") if path.is_file())
    assert left == sorted(["_smelt/candidates/mart/orders/candidate.json", f"mart/orders/{shop.data()[0]}"])


def test_a_table_with_casts_is_kept(shop):
    """Its verdict has more rules than its contract."""
    shop.give_amounts("2022-04-01", 1.0, -1.0)
    cast = "{minimum: 0}, physicalType: FLOAT, customProperties: [{property: smelt.cast, value: true}]"
    shop.contract(AMOUNTS.replace("{minimum: 0}", cast))
    assert "Its rows are kept for 7 days" in shop.run(code=3).stderr
    assert shop.ids("candidate.mart.orders") == [100, 101] and shop.head()["left"] == 0
