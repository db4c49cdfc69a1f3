"""A load whose SQL puts the name of a file into its rows: moving the file changes the rows, so the
date is loaded again. Without the name no row changes."""
import os

import pytest

from shop import SQL, Shop, line

WITH_NAME = SQL["orders"].replace("file_date AS day", "filename AS city_file, file_date AS day") \
    .replace("file_date => true", "file_date => true, filename => true")


@pytest.fixture
def shop(smelt, tmp_path):
    made = Shop(smelt, tmp_path)
    made.sql("orders", WITH_NAME)
    made.put("20220401.json", line(1), line(2))
    made.put("20220401_b.json", line(3))
    made.put("20220402.json", line(4))
    made.run()
    return made


def names(shop):
    return {row["id"]: row["city_file"].rsplit("/", 1)[-1] for row in shop.rows("raw.orders")}


def test_a_renamed_file_has_its_date_made_anew(shop):
    os.rename(shop.logs / "20220401.json", shop.logs / "a_20220401.json")
    assert shop.run()["files"]["read"] == 2
    assert names(shop) == {1: "a_20220401.json", 2: "a_20220401.json", 3: "20220401_b.json",
                           4: "20220402.json"}
    assert shop.run()["files"]["read"] == 0


def test_swapped_files_have_each_the_other_name(shop):
    one, other = shop.logs / "20220401.json", shop.logs / "20220401_b.json"
    os.rename(one, shop.folder / "aside")
    os.rename(other, one)
    os.rename(shop.folder / "aside", other)
    assert shop.run()["files"]["read"] == 2
    assert names(shop) == {1: "20220401_b.json", 2: "20220401_b.json", 3: "20220401.json",
                           4: "20220402.json"}


def test_without_the_name_no_row_changes(shop, tmp_path_factory, smelt):
    plain = Shop(smelt, tmp_path_factory.mktemp("plain"))
    plain.put("20220401.json", line(1))
    plain.run()
    os.rename(plain.logs / "20220401.json", plain.logs / "a_20220401.json")
    assert plain.run()["files"]["read"] == 0
