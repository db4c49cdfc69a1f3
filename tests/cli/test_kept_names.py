"""Names that are those of smelt's and Delta's own folders: no new table has one, however it is made."""
import pytest

from shop import PIPELINE

OWN = ["_smelt/journal", "_smelt/journal/deeper", "raw/_delta_log", "raw/_smelt", "raw/orders/_delta_log",
       "raw/orders/_smelt", "raw/orders/_change_data", "raw/orders/_delta_log/_sidecars/t", "_change_data/t"]


@pytest.fixture
def lake(smelt, tmp_path):
    smelt("sql", "--write", "CREATE TABLE 'lake/raw/orders' AS SELECT 1::BIGINT AS id")
    return tmp_path / "lake"


def files(folder):
    return sorted(str(p) for p in folder.rglob("*"))


def refused(smelt, *words, code=1):
    done = smelt(*words, check=False)
    assert done.returncode == code and done.stdout == "", done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["_smelt.journal", "raw._delta_log", "_new.orders", "raw._new"])
@pytest.mark.parametrize("before, after", [
    ("- load: raw.orders", "- load: {}"), ("- table: mart.cities", "- table: {}"),
    ("quarantine: refused.orders", "quarantine: {}")])
def test_a_pipeline_with_such_a_name_is_refused_where_it_stands(shop, name, before, after):
    assert before in PIPELINE
    text = PIPELINE.replace(before, after.format(name))
    shop.write(text)
    at = next(n for n, row in enumerate(text.splitlines(), 1) if name in row)
    told = shop.process(check=False)
    assert told.returncode == 1 and f"\"{name}\" is no name for a table" in told.stderr
    assert f"shop.yaml:{at}:" in told.stderr and "another name" in told.stderr
    assert not shop.lake.exists()


def test_a_view_makes_no_folder_and_may_have_such_a_name(shop):
    shop.write(PIPELINE.replace("view: mart.good", "view: mart._good"))
    shop.sql("cities", "SELECT city, CAST(sum(n) AS BIGINT) AS n FROM mart._good GROUP BY city")
    assert {t["name"] for t in shop.run()["tables"]} >= {"mart.cities", "raw.orders"}


@pytest.mark.parametrize("name", ['"_smelt"."journal"', 'raw."_delta_log"', "_new.orders", "raw._new"])
@pytest.mark.parametrize("verb", ["CREATE TABLE", "CREATE OR REPLACE TABLE", "CREATE TABLE IF NOT EXISTS"])
def test_a_new_table_of_such_a_name(smelt, lake, name, verb):
    before = files(lake)
    told = refused(smelt, "sql", "--write", "--lake", lake, f"{verb} {name} AS SELECT 1 AS a")
    assert "begins with _" in told and "another name" in told
    assert files(lake) == before


@pytest.mark.parametrize("path", OWN)
def test_a_table_at_a_place_within_such_folders(smelt, lake, path):
    before = files(lake)
    folder = next(part for part in reversed(path.split("/")) if part in ("_smelt", "_delta_log", "_change_data"))
    for words in (("sql", "--write", f"CREATE TABLE '{lake}/{path}' AS SELECT 1 AS a"),
                  ("table", "clone", lake / "raw/orders", lake / path)):
        told = refused(smelt, *words)
        assert f"a folder {folder}" in told and "Choose another" in told, told
        assert files(lake) == before


def test_the_checkpoints_of_a_log_are_not_converted(smelt, lake):
    smelt("sql", "SELECT 1 AS a", "-o", lake / "raw/orders/_delta_log/a.parquet")
    before = files(lake)
    for more in ((), ("--dry-run",)):
        told = refused(smelt, "table", "convert", lake / "raw/orders/_delta_log", *more)
        assert "a folder _delta_log" in told
        assert files(lake) == before


def test_a_lake_within_such_a_folder(smelt, lake):
    before = files(lake)
    told = refused(smelt, "sql", "--write", "--lake", lake / "_smelt/journal", "CREATE TABLE a.b AS SELECT 1 AS a")
    assert "a folder _smelt" in told
    assert files(lake) == before


def test_a_table_below_a_folder_of_somebody_called_smelt(smelt, lake, tmp_path):
    """/home/_smelt/lake/raw/t is not within the folder of a lake or of a table."""
    smelt("sql", "--write", "--lake", tmp_path / "_smelt" / "lake", "CREATE TABLE raw.t AS SELECT 1 AS a")
    assert smelt.sql(f"FROM '{tmp_path}/_smelt/lake/raw/t'") == [{"a": 1}]
    smelt("sql", "--write", f"CREATE TABLE '{lake}/_new/t' AS SELECT 1 AS a")
    smelt("sql", "--write", "--lake", lake, "INSERT INTO _new.t SELECT 2 AS a")
    assert smelt.sql(f"SELECT count(*) AS n FROM '{lake}/_new/t'") == [{"n": 2}]
