"""Earlier versions of a table: in SQL by AT and delta_scan, in pipelines, and what is refused by name.
The oracle is delta-rs, which is asked for the same versions and times."""
import datetime
import os

import deltalake
import pyarrow as pa
import pytest

UTC = datetime.timezone.utc
START = datetime.datetime(2022, 4, 1, 12, tzinfo=UTC)
MINUTE = datetime.timedelta(minutes=1)


def set_times(uri, times):
    for version, time in enumerate(times):
        os.utime(uri / "_delta_log" / f"{version:020}.json", (time.timestamp(),) * 2)


@pytest.fixture
def table(lake):
    """Four versions, a minute between them; a row more in each."""
    uri = lake / "shop" / "orders"
    for number in range(4):
        deltalake.write_deltalake(str(uri), pa.table({"id": pa.array([number], pa.int64())}), mode="append")
    set_times(uri, [START + MINUTE * number for number in range(4)])
    return uri


def ids(smelt, lake, source):
    return [row["id"] for row in smelt.sql(f"SELECT id FROM {source} ORDER BY id", "--lake", lake)]


def test_a_version(smelt, lake, table):
    for number in range(4):
        wanted = list(range(number + 1))
        for source in (f"shop.orders AT (VERSION => {number})", f"shop.orders o at (version => {number})",
                       f"shop.orders AT (VERSION => {number}) AS o", f"'{table}' AT (VERSION => {number})",
                       f"delta_scan('{table}', version => {number})"):
            assert ids(smelt, lake, source) == wanted


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 61, 179, 180, 100000])
def test_a_time_is_the_newest_version_that_is_not_later(smelt, lake, table, seconds):
    time = START + datetime.timedelta(seconds=seconds)
    peer = deltalake.DeltaTable(str(table))
    peer.load_as_version(time)
    wanted = list(range(peer.version() + 1))
    text = time.strftime("%Y-%m-%d %H:%M:%S")
    for source in (f"shop.orders AT (TIMESTAMP => TIMESTAMP '{text}')", f"shop.orders AT (TIMESTAMP => '{text}')",
                   f"shop.orders AT (TIMESTAMP => TIMESTAMPTZ '{text}+00')",
                   f"'{table}' AT (TIMESTAMP => '{text}')", f"delta_scan('{table}', timestamp => '{text}')"):
        assert ids(smelt, lake, source) == wanted


def test_two_versions_in_one_query(smelt, lake, table):
    assert smelt.sql("SELECT n.id FROM shop.orders n LEFT JOIN shop.orders AT (VERSION => 1) o USING (id) "
                     "WHERE o.id IS NULL ORDER BY n.id", "--lake", lake) == [{"id": 2}, {"id": 3}]


@pytest.mark.parametrize("source, says", [
    ("shop.orders AT (TIMESTAMP => '2022-04-01 11:59:59')",
     "no version at 2022-04-01 11:59:59: the first, version 0, is of 2022-04-01 12:00:00"),
    ("shop.orders AT (VERSION => 4)", "its latest is 3"),
    ("shop.ordesr AT (VERSION => 0)", 'Did you mean "shop.orders"?'),
    ("shop.orders AT (VERSION => 'x')", "version is a whole number of 0 or more, not x"),
    ("shop.orders AT (TIMESTAMP => 5)", "timestamp is a TIMESTAMP, a DATE or the text of one, not 5"),
    ("shop.orders AT (VERSOIN => 1)", 'expected VERSION or TIMESTAMP, found "VERSOIN"'),
    ("shop.orders AT (VERSION => 1) o AT (VERSION => 1)", "AT stands here twice"),
    ("(SELECT 1) AT (VERSION => 1)", "AT cannot follow a subquery"),
    ("delta_scan('x') AT (VERSION => 1)", "delta_scan(…, version => n)"),
    ("delta_scan('x', version => 1, timestamp => '2022-04-01')", "one version or one timestamp"),
    ("'x.parquet' AT (VERSION => 1)", 'only a Delta table has versions, and "x.parquet" is a file'),
])
def test_what_is_refused(smelt, lake, table, source, says):
    done = smelt("sql", f"SELECT * FROM {source}", "--lake", lake, check=False)
    assert done.returncode == 1 and says in done.stderr
    assert "at SQL:1:" in done.stderr


def test_a_table_of_with_has_no_versions(smelt, lake, table):
    done = smelt("sql", "WITH t AS (SELECT 1) FROM t AT (VERSION => 1)", check=False)
    assert done.returncode == 1 and '"t" is a table of WITH, which has no versions' in done.stderr


# ---- in pipelines -------------------------------------------------------------------------------


def test_a_task_reads_what_is_published(shop):
    """Its own table too: at a version that is no circle. The candidate of the run is not seen."""
    shop.run()
    shop.sql("best", "SELECT city FROM mart.best AT (VERSION => 0) UNION ALL "
                     "SELECT city FROM mart.cities AT (VERSION => 0)")
    shop.sql("good", "SELECT * FROM raw.orders AT (VERSION => 0)")
    shop.put("20220403.json", "{\"id\": 9, \"item\": {\"city\": \"Pisa\", \"n\": 9}}\n")
    shop.run()
    assert shop.ids() == [1, 2, 3, 4, 9]
    assert sorted(row["city"] for row in shop.rows("mart.best")) == ["Oslo", "Oslo", "Rome"]
    assert sorted(row["city"] for row in shop.rows("mart.cities")) == ["Oslo", "Rome"]


def test_a_view_has_no_versions(shop):
    shop.run()
    shop.sql("cities", "SELECT city, n FROM mart.good AT (VERSION => 0)")
    assert '"mart.good" is a view, which has no versions' in shop.fail()
