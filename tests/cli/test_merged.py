"""Tables with `merge:` and `scd2:` over several days, run again, late, killed and two at once. DuckDB
does the same by SQL."""
import json
import random
import shutil
import subprocess

import deltalake
import duckdb
import pytest

PIPELINE = """\
name: shop
vars:
  in: {type: uri, default: ./in}
  lake: {type: uri, default: ./lake}
  day: {type: date}
lake: lake
tasks:
  - {table: raw.state, sql: state.sql, replace: day}
  - table: mart.now
    sql: day.sql
    merge: {key: [shop, id], delete_when: gone}
  - table: mart.past
    sql: live.sql
    scd2: {key: [shop, id]}
"""
COLUMNS = "{shop: 'VARCHAR', id: 'BIGINT', city: 'VARCHAR', tags: 'VARCHAR[]', price: 'DOUBLE', gone: 'BOOLEAN'}"
SQL = {
    "state": f"SELECT *, file_date AS day FROM read_json(var('in'), columns => {COLUMNS}, file_date => true) "
             "WHERE file_date = var('day')",
    "day": "SELECT shop, id, city, tags, price, gone FROM raw.state WHERE day = var('day')",
    "live": "SELECT shop, id, city, tags, price FROM raw.state WHERE day = var('day') AND NOT gone",
}


def row(shop, id, city="Hue", tags=("a",), price=1.0, gone=False):
    return {"shop": shop, "id": id, "city": city, "tags": None if tags is None else list(tags), "price": price,
            "gone": gone}


class Shop:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "in").mkdir()
        (folder / "p.yaml").write_text(PIPELINE)
        for name, text in SQL.items():
            (folder / f"{name}.sql").write_text(text)
        self.days = {}

    def give(self, day, rows):
        self.days[day] = rows
        (self.folder / "in" / f"{day.replace('-', '')}.json").write_text(
            "".join(json.dumps(r) + "\n" for r in rows))

    def change(self, name, old, new):
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def run(self, day, *options, check=True, **kwargs):
        return self.smelt("run", "p.yaml", "--date", day, *options, check=check, **kwargs)

    def fails(self, day, *options, code=1):
        before = self.log_names()
        done = self.run(day, *options, check=False)
        assert done.returncode == code, done.stderr
        assert self.log_names() == before, "a run that failed has written"
        return done.stderr

    def log_names(self):
        return sorted(str(p) for p in self.lake.glob("mart/**/*") if p.is_file())

    def json(self, day, *options):
        return {t["name"]: t for t in json.loads(self.run(day, "--json", *options).stdout)["tables"]}

    def versions(self, day, *options):
        made = self.json(day, *options)
        return made["mart.now"]["version"], made["mart.past"]["version"]

    def rows(self, table):
        """As delta-rs reads them."""
        peer = duckdb.connect()
        peer.register("t", deltalake.DeltaTable(str(self.lake / table.replace(".", "/"))).to_pyarrow_table())
        return peer.execute("SELECT * FROM t ORDER BY ALL").fetchall()


class Peer:
    """DuckDB does what the tasks do, day after day."""

    def __init__(self):
        self.db = duckdb.connect()
        columns = "shop VARCHAR, id BIGINT, city VARCHAR, tags VARCHAR[], price DOUBLE"
        self.db.execute(f"CREATE TABLE now ({columns}, gone BOOLEAN)")
        self.db.execute(f"CREATE TABLE past ({columns}, valid_from DATE, valid_to DATE, is_current BOOLEAN)")

    def run(self, day, rows, closes=False):
        db = self.db
        db.execute("CREATE OR REPLACE TEMP TABLE s AS SELECT * FROM now WHERE false")
        db.executemany("INSERT INTO s VALUES (?, ?, ?, ?, ?, ?)", [list(r.values()) for r in rows] or [[None] * 6])
        db.execute("DELETE FROM s WHERE id IS NULL")
        db.execute("DELETE FROM now USING s WHERE now.shop = s.shop AND now.id = s.id")
        db.execute("INSERT INTO now SELECT * FROM s WHERE gone IS NOT TRUE")
        db.execute("DELETE FROM s WHERE gone")
        same = ("p.shop = s.shop AND p.id = s.id AND p.city IS NOT DISTINCT FROM s.city AND "
                "p.tags IS NOT DISTINCT FROM s.tags AND p.price IS NOT DISTINCT FROM s.price")
        key = "p.shop = s.shop AND p.id = s.id"
        db.execute(f"CREATE OR REPLACE TEMP TABLE ends AS SELECT shop, id FROM past p WHERE is_current AND EXISTS "
                   f"(FROM s WHERE {key}) AND NOT EXISTS (FROM s WHERE {same})")
        if closes:
            db.execute(f"INSERT INTO ends SELECT shop, id FROM past p WHERE is_current AND NOT EXISTS "
                       f"(FROM s WHERE {key})")
        db.execute("UPDATE past SET valid_to = CAST(? AS DATE), is_current = false FROM ends "
                   "WHERE past.is_current AND past.shop = ends.shop AND past.id = ends.id", [day])
        db.execute("DELETE FROM past WHERE valid_from = valid_to")
        db.execute(f"INSERT INTO past SELECT shop, id, city, tags, price, CAST(? AS DATE), NULL, true FROM s "
                   f"WHERE NOT EXISTS (FROM past p WHERE is_current AND {key})", [day])

    def rows(self, table):
        return self.db.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


@pytest.fixture
def shop(smelt, tmp_path):
    return Shop(smelt, tmp_path)


THREE_DAYS = {
    "2023-01-01": [row("x", 1), row("x", 2, "Hanoi"), row("y", 1, None, None, None)],
    "2023-01-02": [row("x", 1), row("x", 2, "Hue"), row("y", 1, None, [], None), row("z", 9)],
    "2023-01-03": [row("x", 1, gone=True), row("x", 2, "Hanoi"), row("z", 9), row("z", 10, price=2.5)],
}
DAYS = list(THREE_DAYS)


def run_days(shop, days=THREE_DAYS, closes=False):
    peer = Peer()
    for day, rows in days.items():
        shop.give(day, rows)
        shop.run(day)
        peer.run(day, rows, closes)
        assert shop.rows("mart.now") == peer.rows("now"), day
        assert shop.rows("mart.past") == peer.rows("past"), day
    return peer


# ---- day after day ----------------------------------------------------------------------------


def test_days_are_as_duckdb_makes_them_and_a_rerun_changes_nothing(shop):
    peer = run_days(shop)
    files = shop.log_names()
    again = shop.run(DAYS[-1], "--quiet")
    assert (again.stdout, again.stderr) == ("", "")
    assert shop.log_names() == files
    assert shop.versions(DAYS[-1]) == (None, None)
    assert shop.rows("mart.past") == peer.rows("past")


def test_the_report_says_what_became_of_rows(shop):
    shop.give(DAYS[0], THREE_DAYS[DAYS[0]])
    assert shop.json(DAYS[0])["mart.now"]["merged"] == {"rows": 3, "added": 3, "changed": 0, "deleted": 0}
    for day in DAYS[1:]:
        shop.give(day, THREE_DAYS[day])
    made = shop.json(DAYS[1])
    assert made["mart.now"]["merged"] == {"rows": 4, "added": 1, "changed": 2, "deleted": 0}
    assert made["mart.past"]["merged"] == {"rows": 4, "added": 3, "changed": 2, "deleted": 0}
    said = shop.run(DAYS[2]).stderr
    assert "  1 added, 1 changed, 1 deleted\n" in said  # mart.now
    assert "  2 added, 1 changed, 0 deleted\n" in said
    assert "merged" not in shop.json(DAYS[2])["raw.state"]


def test_rows_that_are_the_same_are_not_written_whatever_the_query_reads(shop):
    """A table that reads files is made in each run: here its rows are compared."""
    shop.change("day.sql", "FROM raw.state WHERE", f"FROM (SELECT *, file_date AS day FROM read_json(var('in'), "
                f"columns => {COLUMNS}, file_date => true)) WHERE")
    run_days(shop)
    assert shop.versions(DAYS[-1]) == (None, None)


@pytest.mark.parametrize("closes", [False, True])
def test_many_random_days(shop, closes):
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    if closes:
        shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: [shop, id], missing: close}")
    days = {}
    for n in range(1, 9):
        keys = dice.sample([(s, i) for s in "xyz" for i in range(6)], dice.randrange(4, 16))
        days[f"2023-01-{n:02}"] = [
            row(s, i, dice.choice(["Hue", "Hanoi", None]), dice.choice([None, [], ["a"], ["a", None]]),
                dice.choice([1.0, 2.0, None]), dice.random() < 0.2) for s, i in keys]
        days[f"2023-01-{n:02}"].append(row("w", n))  # a day is never without rows
    run_days(shop, days, closes)


# ---- the same day with other rows -------------------------------------------------------------


def test_a_day_that_is_corrected(shop):
    """What is known of a day takes the place of what was known of it before: no row is from a day to
    the same day."""
    shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: [shop, id], missing: close}")
    first, second = [row("x", 1), row("x", 2), row("x", 3)], [row("x", 1, "Hanoi"), row("x", 2, "Hanoi"), row("x", 4)]
    shop.give(DAYS[0], first)
    shop.run(DAYS[0])
    shop.give(DAYS[1], second)
    shop.run(DAYS[1])
    shop.give(DAYS[1], [row("x", 1, "Vinh"), row("x", 2, "Hanoi"), row("x", 3)])
    shop.run(DAYS[1])
    day = [f"SELECT {cols} FROM mart.past ORDER BY ALL" for cols in ("id, city, valid_from, valid_to, is_current",)]
    rows = [tuple(r.values()) for r in shop.smelt.sql(day[0], "--lake", str(shop.lake))]
    assert rows == [
        (1, "Hue", "2023-01-01", "2023-01-02", False), (1, "Vinh", "2023-01-02", None, True),
        (2, "Hanoi", "2023-01-02", None, True), (2, "Hue", "2023-01-01", "2023-01-02", False),
        (3, "Hue", "2023-01-01", None, True),  # it ended on the day, but only by what was wrong
    ]


@pytest.mark.parametrize("closes", [False, True])
def test_a_day_that_comes_again_with_other_rows_is_as_if_they_had_come_first(shop, closes):
    """Whatever the day did before: rows that changed and go back, that ended and go on, that were new. Only a
    key that is missing now stays as it was, unless `missing: close` says what that means."""
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    if closes:
        shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: [shop, id], missing: close}")
    keys = [(s, i) for s in "xy" for i in range(6)]
    right = Peer()
    for n in range(1, 6):
        day, given = f"2023-01-{n:02}", [keys if not closes else dice.sample(keys, 9) for _ in range(2)]
        rows = [[row(s, i, dice.choice(["Hue", "Hanoi"]), dice.choice([[], ["a"]])) for s, i in some] for some in given]
        for some in rows:
            shop.give(day, some)
            shop.run(day, "--task", "raw.state")
            shop.run(day, "--task", "mart.past")
        right.run(day, rows[-1], closes)
        assert shop.rows("mart.past") == right.rows("past"), day
    # And a day that is over may be run again, with its rows, but not with others.
    files = shop.log_names()
    for n in (5, 1, 3):
        day = f"2023-01-{n:02}"
        shop.run(day, "--task", "raw.state")
        shop.run(day, "--task", "mart.past")
    assert shop.log_names() == files


# ---- cleared and run again --------------------------------------------------------------------

# A task, and whether a run again for a day before the newest one, with the same rows, leaves its table as it is.
AGAIN = {
    "mart.added": ("sql: dated.sql\n    append: day", True),
    "mart.newest": ("sql: dated.sql\n    merge: {key: [shop, id], update_when: day >= old.day}", True),
    "mart.latest": ("sql: dated.sql\n    merge: {key: [shop, id]}", False),  # the rows of the last run, and a warning
    "mart.kept": ("sql: live.sql\n    scd2: {key: [shop, id]}", True),
    "mart.closed": ("sql: live.sql\n    scd2: {key: [shop, id], missing: close}", True),
    "mart.days": ("sql: dated.sql\n    replace: day", True),
}


def test_any_day_may_be_run_again(shop):
    """As a scheduler does when somebody clears a day: the same rows come again, after a run that ended well."""
    tasks = "".join(f"  - table: {name}\n    {text}\n" for name, (text, _) in AGAIN.items())
    (shop.folder / "p.yaml").write_text(PIPELINE.partition("  - table: mart.now")[0] + tasks)
    (shop.folder / "dated.sql").write_text(SQL["day"].replace("gone", "gone, var('day') AS day"))
    for day in DAYS:
        shop.give(day, THREE_DAYS[day])
        shop.run(day)
    wanted = {name: shop.rows(name) for name in AGAIN}
    for day in (DAYS[2], DAYS[0], DAYS[1], DAYS[1]):
        shop.run(day)
        for name, (_, stays) in AGAIN.items():
            assert not stays or shop.rows(name) == wanted[name], (day, name)
    histories = {name: deltalake.DeltaTable(str(shop.lake / name.replace(".", "/"))).version() for name in AGAIN}
    assert {name: histories[name] for name in AGAIN if name not in ("mart.latest", "mart.days")} == {
        "mart.added": 2, "mart.newest": 2, "mart.kept": 2, "mart.closed": 2}


def test_rows_with_times_of_their_own_may_come_again(shop):
    """Also where their keys have changed, or have ended, since; rows that say another thing of the past are
    refused, and then none is taken."""
    shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: id, columns: city, at: since}")
    shop.change("live.sql", SQL["live"], f"SELECT id, city, CAST(shop AS DATE) AS since "
                                         f"FROM read_json('rows.json', columns => {COLUMNS})")

    def run(*rows, check=True):
        (shop.folder / "rows.json").write_text("".join(json.dumps(row(since, id, city)) + "\n"
                                                       for id, city, since in rows))
        return shop.run(DAYS[0], "--task", "mart.past", "--quiet", check=check)
    first = [(1, "Hue", "2023-01-01"), (2, "Hue", "2023-01-02")]
    second = [(1, "Hanoi", "2023-01-03"), (3, "Hue", "2023-01-03")]
    run(*first)
    run(*second)
    rows, files = shop.rows("mart.past"), shop.log_names()
    run(*second)
    run(*first)
    run((1, "Hue", "2023-01-02"), (2, "Hue", "2023-01-02"))
    assert shop.log_names() == files
    run((1, "Hue", "2023-01-01"), (2, "Vinh", "2023-01-05"))  # what is new among them is taken
    assert len(shop.rows("mart.past")) == len(rows) + 1
    done = run((1, "Vinh", "2023-01-02"), (2, "Hue", "2023-01-09"), check=False)
    assert done.returncode == 1
    assert "the row of id = 1 is of 2023-01-02, and the table knows it at 2023-01-03 already" in done.stderr
    assert len(shop.rows("mart.past")) == len(rows) + 1


# ---- out of order -----------------------------------------------------------------------------


def test_a_late_day_is_refused_by_the_history(shop):
    for day in DAYS:
        shop.give(day, THREE_DAYS[day])
    for day in (DAYS[0], DAYS[2]):
        shop.run(day)
    said = shop.fails(DAYS[1])
    assert "the history goes to 2023-01-03, and says of 2023-01-02 something else than the rows: shop = " in said
    assert "--full-refresh mart.past" in said
    shop.run(DAYS[1], "--task", "raw.state")
    said = shop.run(DAYS[1], "--task", "mart.now", "--quiet").stderr
    assert "rows of 2023-01-02 were merged into mart.now after those of 2023-01-03" in said


def test_a_day_without_a_change_is_remembered(shop):
    """Else a day between would be taken, and change what was so on the later day."""
    same = [row("x", 1)]
    shop.give(DAYS[0], same)
    shop.run(DAYS[0])
    shop.give(DAYS[2], same)
    assert shop.versions(DAYS[2]) == (None, 1)
    assert len(deltalake.DeltaTable(str(shop.lake / "mart/past")).file_uris()) == 1
    assert shop.versions(DAYS[2]) == (None, None)
    shop.give(DAYS[1], [row("x", 1, "Hanoi")])
    said = shop.fails(DAYS[1])
    assert "goes to 2023-01-03, and says of 2023-01-02 something else than the rows: shop = x, id = 1 differs" in said
    # A full refresh begins anew, and so does what a restore brings back.
    said = shop.run(DAYS[1], "--full-refresh", "mart.past").stderr
    assert "mart.past was made anew with the rows of this run only: its history begins with them" in said
    assert [r[-3:] for r in shop.rows("mart.past")] == [r[-3:] for r in shop.rows("mart.past") if r[-1]]
    shop.smelt("table", "restore", str(shop.lake / "mart/past"), "--version", "0")
    shop.run(DAYS[1])
    assert [(r[2], r[-1]) for r in shop.rows("mart.past")] == [("Hanoi", True), ("Hue", False)]


def test_times_of_the_rows_themselves(shop):
    """`at` is a column: each key has an order of its own."""
    shop.change("p.yaml", "scd2: {key: [shop, id]}",
                "scd2: {key: id, columns: city, at: since, valid_from: seen, valid_to: until, is_current: newest}")
    shop.change("live.sql", SQL["live"], "SELECT id, shop AS city, CAST(city AS TIMESTAMPTZ) AS since "
                                         "FROM raw.state WHERE day = var('day')")
    at = lambda day, clock: f"2023-01-0{day} {clock}:00+00"  # noqa: E731
    shop.give(DAYS[0], [row("Hue", 1, at(1, "10:00")), row("Hue", 2, at(1, "11:00"))])
    shop.give(DAYS[1], [row("Hanoi", 1, at(1, "12:00")), row("Hue", 2, at(2, "09:00"))])
    shop.run(DAYS[0], "--task", "raw.state")
    shop.run(DAYS[0], "--task", "mart.past")
    shop.run(DAYS[1], "--task", "raw.state")
    shop.run(DAYS[1], "--task", "mart.past")
    rows = shop.smelt.sql("SELECT id, city, strftime(seen, '%d %H') AS f, strftime(until, '%d %H') AS t, newest "
                          "FROM mart.past ORDER BY id, f", "--lake", str(shop.lake))
    assert [tuple(r.values()) for r in rows] == [
        (1, "Hue", "01 10", "01 12", False), (1, "Hanoi", "01 12", None, True), (2, "Hue", "01 11", None, True)]
    shop.give(DAYS[2], [row("Vinh", 1, at(1, "11:30"))])
    shop.run(DAYS[2], "--task", "raw.state")
    said = shop.fails(DAYS[2], "--task", "mart.past")
    assert "the row of id = 1 is of 2023-01-01 11:30:00+00, and the table knows it at " in said
    shop.give(DAYS[2], [row("Vinh", 2, None)])
    shop.run(DAYS[2], "--task", "raw.state")
    assert "the row of id = 2 has no time since when it is so" in shop.fails(DAYS[2], "--task", "mart.past")


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("rows, said", [
    ([row("x", 1), row("x", 1, "Hanoi")], "2 rows have the key shop = x, id = 1"),
    ([row("x", 1), row(None, 2)], "a row has no key: shop = NULL, id = 2"),
])
def test_a_key_that_is_none(shop, rows, said):
    """In the first run and in a later one; nothing is written."""
    shop.give(DAYS[0], rows)
    assert said in shop.fails(DAYS[0])
    shop.give(DAYS[0], [row("x", 1)])
    shop.run(DAYS[0])
    shop.give(DAYS[1], rows)
    assert said in shop.fails(DAYS[1])


@pytest.mark.parametrize("old, new, said", [
    ("key: [shop, id], delete_when: gone", "key: [shop, idd], delete_when: gone", 'has no column "idd"'),
    ("key: [shop, id], delete_when: gone", "key: tags", '"tags" is nested and cannot be a key'),
    ("delete_when: gone", "delete_when: gon", 'no column "gon"'),
    ("delete_when: gone", "delete_when: price", "delete_when is DOUBLE, not BOOLEAN"),
    ("delete_when: gone", "update_when: 'price > old.prize'", "prize"),
    ("delete_when: gone", "update_when: 'old IS NULL'", "the row of the table is named by its columns only"),
    ("scd2: {key: [shop, id]}", "scd2: {key: id, valid_from: city}", 'its SQL has a column "city"'),
    ("scd2: {key: [shop, id]}", "scd2: {key: id, at: city}", "at is VARCHAR, not a DATE or a TIMESTAMP"),
    ("scd2: {key: [shop, id]}", "scd2: {key: id, columns: [citty]}", 'has no column "citty"'),
])
def test_mistakes_point_to_the_file(shop, old, new, said):
    shop.give(DAYS[0], [row("x", 1)])
    shop.run(DAYS[0])
    shop.change("p.yaml", old, new)
    shop.give(DAYS[1], [row("x", 1, "Hanoi")])
    stderr = shop.fails(DAYS[1])
    assert said in stderr
    line = 1 + [n for n, text in enumerate((shop.folder / "p.yaml").read_text().splitlines()) if new in text][0]
    if "named by its columns" not in said:
        assert f"at p.yaml:{line}:" in stderr


def test_no_rows_do_not_end_all(shop):
    shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: [shop, id], missing: close}")
    shop.give(DAYS[0], [row("x", 1)])
    shop.run(DAYS[0])
    shop.give(DAYS[1], [])
    assert "there are no rows, so all current rows of the table would end" in shop.fails(DAYS[1])


def test_no_rows_are_none_to_end(shop):
    shop.change("p.yaml", "scd2: {key: [shop, id]}", "scd2: {key: [shop, id], missing: close}")
    for day in DAYS[:2]:  # no row is current: none would end
        shop.give(day, [])
        shop.run(day)
    shop.give(DAYS[2], [row("x", 1)])
    shop.run(DAYS[2])
    assert [r["is_current"] for r in shop.smelt.sql("FROM mart.past", "--lake", shop.lake)] == [True]


def test_a_time_of_day_needs_times(shop):
    shop.give(DAYS[0], [row("x", 1)])
    assert "the times of scd2 are dates, and --date has a time" in shop.fails(DAYS[0] + "T06:00")


def test_other_columns(shop):
    run_days(shop)
    for name in ("day", "live"):
        shop.change(f"{name}.sql", "price", "price, 1 AS more")
    shop.give("2023-01-04", [row("x", 1)])
    said = shop.fails("2023-01-04")
    assert '"more"' in said and "--full-refresh mart.now makes it anew" in said


# ---- what else a merge is asked for -----------------------------------------------------------


def test_older_rows_do_not_take_the_place_of_newer_ones(shop):
    shop.change("p.yaml", "delete_when: gone", "delete_when: gone, update_when: price >= old.price")
    shop.give(DAYS[1], [row("x", 1, "new", price=2), row("x", 2, "new", price=2)])
    shop.give(DAYS[0], [row("x", 1, "old", price=1), row("x", 2, gone=True, price=1), row("x", 3, "old", price=1)])
    shop.run(DAYS[1], "--task", "raw.state")
    shop.run(DAYS[0], "--task", "raw.state")
    for day in (DAYS[1], DAYS[0]):
        assert shop.run(day, "--task", "mart.now", "--quiet").stderr == ""
    assert [(r[1], r[2]) for r in shop.rows("mart.now")] == [(1, "new"), (2, "new"), (3, "old")]


def test_variables_in_conditions_count(shop):
    shop.change("p.yaml", "delete_when: gone", "delete_when: \"gone OR day_of < var('day')\"")
    shop.change("day.sql", "gone FROM", "gone, DATE '2023-01-02' AS day_of FROM")
    for day in DAYS:
        shop.give(day, [row("x", 1)])
        shop.run(day)
        assert len(shop.rows("mart.now")) == (day <= "2023-01-02")


def test_partitions_stay(shop):
    shop.change("p.yaml", "    merge:", "    partition_by: shop\n    merge:")
    shop.change("p.yaml", "    scd2:", "    partition_by: is_current\n    scd2:")
    run_days(shop)
    assert deltalake.DeltaTable(str(shop.lake / "mart/now")).metadata().partition_columns == ["shop"]
    assert (shop.lake / "mart/past/is_current=true").is_dir()
    shop.change("p.yaml", "partition_by: shop", "partition_by: id")
    shop.give("2023-01-04", [row("x", 1)])
    assert "partitioned by" in shop.fails("2023-01-04")


def test_a_table_without_rows_that_is_made_anew_is_skipped_then(shop):
    """That its rows are still none does not hide what they were made from."""
    shop.change("p.yaml", "    merge: {key: [shop, id], delete_when: gone}\n", "")
    for day in DAYS[:2]:
        shop.give(day, [])
        shop.run(day, "--task", "raw.state")
    run = lambda day: shop.json(day, "--task", "mart.now")["mart.now"]["version"]  # noqa: E731
    assert [run(day) for day in (DAYS[0], DAYS[1], DAYS[1])] == [0, 1, None]


def test_a_full_refresh_keeps_the_rows_of_the_run_only(shop):
    run_days(shop)
    said = shop.run(DAYS[1], "--full-refresh", "mart.now", "--task", "mart.now").stderr
    assert "mart.now was made anew with the rows of this run only" in said
    assert len(shop.rows("mart.now")) == 4


# ---- others -----------------------------------------------------------------------------------


def test_two_runs_at_once(shop):
    peer = run_days(shop)
    rows = [row("x", 7), row("x", 2, "Vinh"), row("z", 9, gone=True)]
    shop.give("2023-01-04", rows)
    shop.run("2023-01-04", "--task", "raw.state")
    for task in ("mart.now", "mart.past"):
        command = [str(shop.smelt.path), "run", "p.yaml", "--date", "2023-01-04", "--task", task]
        both = [subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True) for _ in range(3)]
        ends = [(p.communicate(timeout=60)[1], p.returncode) for p in both]
        assert {code for _, code in ends} <= {0, 4} and 0 in {code for _, code in ends}, ends
        assert shop.run("2023-01-04", "--task", task).returncode == 0
    peer.run("2023-01-04", rows)
    assert shop.rows("mart.now") == peer.rows("now")
    assert shop.rows("mart.past") == peer.rows("past")


@pytest.mark.parametrize("kind", [pytest.param("kill", marks=pytest.mark.soak), "kill_after"])
def test_a_killed_run_is_run_again(shop, kind):
    for day in DAYS:
        shop.give(day, THREE_DAYS[day])
    shop.run(DAYS[0])
    peer = Peer()
    for day in DAYS[:2]:
        peer.run(day, THREE_DAYS[day])
    start = shop.folder / "start"
    shutil.copytree(shop.lake, start)
    n_killed = 0
    for k in range(1, 60, 3):
        shutil.rmtree(shop.lake)
        shutil.copytree(start, shop.lake)
        done = shop.run(DAYS[1], check=False, env={"SMELT_FAULT": f"at={k},kind={kind},writes=1"})
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        n_killed += 1
        shop.run(DAYS[1])
        assert shop.rows("mart.now") == peer.rows("now"), f"after a kill at write {k}"
        assert shop.rows("mart.past") == peer.rows("past"), f"after a kill at write {k}"
        assert shop.versions(DAYS[1]) == (None, None)
    assert n_killed >= 5


def test_zero_has_a_sign(shop):
    """A value that is -0.0 now replaces 0.0, also within a list; as a key it is the same."""
    shop.change("state.sql", "price: 'DOUBLE'", "price: 'DOUBLE', parts: 'DOUBLE[]'")
    shop.change("day.sql", "price, gone", "price, parts, gone")
    shop.change("live.sql", "tags, price", "tags, price, parts")

    def day(name, **values):
        shop.give(name, [row("a", 1) | {"price": 0.0, "parts": [0.0]} | values])
        shop.run(name)

    def now(table, what):
        return shop.smelt.sql(f"SELECT CAST(price AS VARCHAR) AS p, CAST(parts AS VARCHAR) AS l FROM mart.{table} "
                              f"WHERE {what}", "--lake", str(shop.lake))

    for name, values in {"2024-01-01": {}, "2024-01-02": {"price": -0.0}, "2024-01-03": {"price": -0.0, "parts": [-0.0]},
                         "2024-01-04": {}}.items():
        day(name, **values)
        want = [{"p": str(values.get("price", 0.0)), "l": str(values.get("parts", [0.0]))}]
        assert now("now", "true") == want
        assert now("past", "is_current") == want
        if name == "2024-01-03":
            assert shop.versions(name) == (None, None), "the same rows again change nothing"
    assert len(now("past", "NOT is_current")) == 3


def test_zero_is_one_key(shop):
    for table in ("day", "live"):
        shop.change(f"{table}.sql", "shop, id", "shop, CAST(price AS DOUBLE) AS id")
    for name, price, city in (("2024-01-01", 0.0, "Hue"), ("2024-01-02", -0.0, "Hue"), ("2024-01-03", 0.0, "Vinh")):
        shop.give(name, [row("a", 1, city, price=price)])
        shop.run(name)
        now = shop.smelt.sql("SELECT CAST(id AS VARCHAR) AS id, city FROM mart.now", "--lake", str(shop.lake))
        assert now == [{"id": str(price), "city": city}]
