"""Loads into partitioned tables: each file's rows are in the table exactly once, whatever the table is
partitioned by, while files are added, changed, renamed and deleted."""
import json
import random

import pytest

from shop import PIPELINE, Shop, actions, data_files, line

WAYS = ["day", "city", "[city, day]", "[day, n]"]


def partitioned(by):
    return PIPELINE.replace("    by: day\n", f"    by: day\n    partition_by: {by}\n").replace(
        "    quarantine: refused.orders\n", "    quarantine: refused.orders\n    gone: remove\n")


@pytest.fixture
def shop(smelt, tmp_path):
    return Shop(smelt, tmp_path)


def orders(rng, n):
    return [{"id": rng.randrange(1000), "city": rng.choice(["Rome", "Oslo", "a/b", None]), "n": rng.randrange(3)}
            for _ in range(n)]


def put(shop, name, rows):
    shop.put(name, *(line(row["id"], row["city"], row["n"]) for row in rows))


def expected(files):
    return sorted(((row["id"], row["city"], row["n"], f"{name[:4]}-{name[4:6]}-{name[6:8]}")
                   for name, rows in files.items() for row in rows), key=str)


def found(shop):
    return sorted(((row["id"], row["city"], row["n"], row["day"]) for row in shop.rows("raw.orders")), key=str)


@pytest.mark.parametrize("by", WAYS)
def test_files_come_change_and_go(shop, by):
    rng = random.Random(by)
    shop.write(partitioned(by))
    files = {}
    for step in range(6):
        for name in ("20220401.json", "20220401_b.json", "20220402.json", f"2022041{step}.json"):
            if name not in files or rng.random() < 0.4:
                files[name] = orders(rng, 12)
                put(shop, name, files[name])
        if step > 2:
            gone = rng.choice(sorted(files))
            del files[gone]
            (shop.logs / gone).unlink()
        shop.run()
        assert found(shop) == expected(files), step
    again = shop.run()
    assert again["files"]["read"] == 0 and found(shop) == expected(files)
    columns = [action["metaData"]["partitionColumns"] for action in actions(shop.lake / "raw/orders")
               if "metaData" in action]
    assert columns == [by.strip("[]").split(", ")]
    for action in actions(shop.lake / "raw/orders"):
        if "add" in action and "day" in columns[0]:
            day = action["add"]["partitionValues"]["day"]
            assert f"day={day}/" in action["add"]["path"]


def test_a_day_of_its_own_partition_is_replaced_without_reading(shop):
    shop.write(partitioned("day"))
    for day in range(1, 5):
        put(shop, f"2022040{day}.json", [{"id": day, "city": "Rome", "n": 1}] * 3)
    shop.run()
    before = data_files(shop.lake / "raw/orders")
    assert len(before) == 4
    put(shop, "20220402.json", [{"id": 20, "city": "Rome", "n": 1}])
    shop.run()
    after = data_files(shop.lake / "raw/orders")
    assert len(after) == 4 and len(before & after) == 3
    changed = [action for action in actions(shop.lake / "raw/orders") if "commitInfo" in action][-1]
    assert changed["commitInfo"]["operationMetrics"]["numCopiedRows"] == "0"
    assert sorted(shop.ids()) == [1, 1, 1, 3, 3, 3, 4, 4, 4, 20]


def test_refused_lines_go_into_a_table_without_partitions(shop):
    shop.write(partitioned("city"))
    shop.put("20220401.json", line(1), "no json\n", line(2, "Oslo"))
    shop.run()
    assert shop.refused() == [("20220401.json", 2)] and sorted(shop.ids()) == [1, 2]
    assert all("=" not in name for name in data_files(shop.lake / "refused/orders"))


def test_other_partitions_need_a_full_refresh(shop):
    shop.write(partitioned("day"))
    put(shop, "20220401.json", [{"id": 1, "city": "Rome", "n": 1}])
    shop.run()
    shop.write(partitioned("city"))
    put(shop, "20220402.json", [{"id": 2, "city": "Oslo", "n": 1}])
    said = shop.fail()
    assert 'the table is partitioned by "day", not by "city"' in said
    assert "--full-refresh raw.orders loads all files again" in said
    shop.run("--full-refresh", "raw.orders")
    assert sorted(shop.ids()) == [1, 2]
    assert {name.split("/")[0] for name in data_files(shop.lake / "raw/orders")} == {"city=Rome", "city=Oslo"}
    shop.write(PIPELINE)  # without the key the table keeps its partitions
    put(shop, "20220403.json", [{"id": 3, "city": "Bern", "n": 1}])
    shop.run()
    assert {name.split("/")[0] for name in data_files(shop.lake / "raw/orders")} == {
        "city=Rome", "city=Oslo", "city=Bern"}


def test_a_column_that_the_sql_has_not(shop):
    shop.write(partitioned("citi"))
    put(shop, "20220401.json", [{"id": 1, "city": "Rome", "n": 1}])
    said = shop.fail()
    assert 'no column "citi" to partition by' in said and 'Is it "city"?' in said
    at = next(n for n, text in enumerate(shop.file.read_text().splitlines(), 1) if "partition_by" in text)
    assert f"shop.yaml:{at}:5" in said


def test_an_empty_text_is_refused(shop):
    shop.write(partitioned("city"))
    put(shop, "20220401.json", [{"id": 1, "city": "Rome", "n": 1}, {"id": 2, "city": "", "n": 1}])
    said = shop.fail()
    assert 'partition column "city" has an empty text in a row' in said and "nullif" in said
    assert not list(shop.lake.rglob("*.parquet"))
