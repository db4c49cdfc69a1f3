"""What a statement may say, and what a wrong one is told: WITH before it, DEFAULT as a value, tables of no row, the
place of a value that does not fit."""
import re
import struct

import pytest


@pytest.fixture
def run(smelt, lake):
    def run(sql, check=True):
        return smelt("sql", "--write", "--lake", lake, sql, check=check)
    run("CREATE TABLE a.t AS SELECT 1 AS id, 'x' AS s, CAST(1 AS TINYINT) AS n")
    return run


def rows(smelt, lake, table="a.t"):
    return [tuple(row.values()) for row in smelt.sql(f"FROM {table} ORDER BY ALL", "--lake", lake)]


def error(run, sql):
    done = run(sql, check=False)
    assert done.returncode in (1, 2) and done.stdout == ""
    return done.stderr


# ---- DEFAULT -------------------------------------------------------------------------------------

@pytest.fixture
def with_defaults(run):
    run("ALTER TABLE a.t ADD COLUMN d INT")
    run("ALTER TABLE a.t ALTER COLUMN d SET DEFAULT 7")
    return run


@pytest.mark.parametrize("sql, new", [
    ("INSERT INTO a.t VALUES (2, DEFAULT, 3, DEFAULT)", [(2, None, 3, 7)]),
    ("INSERT INTO a.t VALUES (2, 'a', 3, default), (3, DEFAULT, 4, 5)", [(2, "a", 3, 7), (3, None, 4, 5)]),
    ("INSERT INTO a.t DEFAULT VALUES", [(None, None, None, 7)]),
    ("INSERT INTO a.t BY POSITION default values;", [(None, None, None, 7)]),
    ("INSERT INTO a.t (d, id) VALUES (DEFAULT, 2), (DEFAULT, 3)", [(2, None, None, 7), (3, None, None, 7)]),
    ("INSERT INTO a.t (d, id) VALUES (NULL, 2), (DEFAULT, 3)", [(2, None, None, None), (3, None, None, 7)]),
    ("MERGE INTO a.t t USING (VALUES (1), (2)) v(id) ON t.id = v.id WHEN NOT MATCHED THEN INSERT (id, s, d) "
     "VALUES (v.id, DEFAULT, DEFAULT)", [(2, None, None, 7)]),
])
def test_defaults_of_rows_that_are_added(with_defaults, smelt, lake, sql, new):
    with_defaults(sql)
    assert rows(smelt, lake) == [(1, "x", 1, None), *new]


@pytest.mark.parametrize("sql", [
    "UPDATE a.t SET s = DEFAULT, d = DEFAULT",
    "MERGE INTO a.t t USING (VALUES (1)) v(id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET s = DEFAULT, d = DEFAULT",
    "MERGE INTO a.t t USING (VALUES (2)) v(id) ON t.id = v.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET s = DEFAULT, "
    "d = DEFAULT",
])
def test_defaults_of_rows_that_change(with_defaults, smelt, lake, sql):
    with_defaults(sql)
    assert rows(smelt, lake) == [(1, None, 1, 7)]


def test_default_is_a_value_alone(with_defaults):
    assert "DEFAULT stands only" in error(with_defaults, "VALUES (DEFAULT)")
    assert 'no column "DEFAULT"' in error(with_defaults, "UPDATE a.t SET d = DEFAULT + 1")


# ---- WITH ----------------------------------------------------------------------------------------

def test_with_before_a_statement(run, smelt, lake):
    run("WITH x AS (SELECT 2 AS id), y(id) AS (SELECT id + 1 FROM x) INSERT INTO a.t (id) SELECT id FROM x UNION ALL "
        "SELECT id FROM y")
    run("WITH x AS (SELECT 2 AS id) UPDATE a.t SET s = 'two' WHERE id = (SELECT id FROM x)")
    run("WITH x AS (SELECT 3 AS id) MERGE INTO a.t t USING x ON t.id = x.id WHEN MATCHED THEN UPDATE SET n = 3")
    assert rows(smelt, lake) == [(1, "x", 1), (2, "two", None), (3, None, 3)]
    run("WITH x AS (SELECT 2 AS id) DELETE FROM a.t WHERE id >= (SELECT id FROM x)")
    assert rows(smelt, lake) == [(1, "x", 1)]
    run("WITH t AS (SELECT 9 AS id) INSERT INTO a.t (id) FROM t")  # the table is not that of WITH
    assert rows(smelt, lake) == [(1, "x", 1), (9, None, None)]


# ---- tables --------------------------------------------------------------------------------------

def test_truncate(run, smelt, lake):
    assert "1 row deleted" in run("TRUNCATE TABLE a.t").stdout
    assert rows(smelt, lake) == []
    run("INSERT INTO a.t (id) VALUES (5)")
    run("truncate a.t")
    assert rows(smelt, lake) == []


def test_a_table_of_columns(run, smelt, lake):
    run("CREATE TABLE a.u (id BIGINT, \"Größe\" DECIMAL(9, 2), s STRUCT(a INT, b VARCHAR)) "
        "TBLPROPERTIES ('delta.appendOnly' = 'true')")
    run("CREATE TABLE IF NOT EXISTS a.u (id INT)")
    assert smelt.sql("FROM a.u", "--lake", lake) == []
    run("INSERT INTO a.u (id, Größe) VALUES (1, 1.5)")
    types = smelt.sql('SELECT typeof(id) AS i, typeof("Größe") AS g, typeof(s) AS s FROM a.u', "--lake", lake)
    assert types == [{"i": "BIGINT", "g": "DECIMAL(9,2)", "s": "STRUCT(a INTEGER, b VARCHAR)"}]
    assert "append-only" in error(run, "DELETE FROM a.u")


# ---- errors --------------------------------------------------------------------------------------

@pytest.mark.parametrize("sql, words", [
    ("INSERT INTO a.t VALUES (2, 'y', 3), (3, 'z', 300)", ['"300" cannot be cast to TINYINT', "SQL:1:46", "column n"]),
    ("INSERT INTO a.t VALUES ('q', 'y', 3)", ['"q" cannot be cast to INTEGER', "SQL:1:25", "column id"]),
    ("INSERT INTO a.t (n, id) SELECT 300 + x, x FROM (VALUES (1)) v(x)", ["cannot be cast", "SQL:1:32", "column n"]),
    ("INSERT INTO a.t SELECT * FROM (VALUES (2, 'y', '300')) v(a, b, c)", ['"300" cannot be cast', "column n"]),
    ("INSERT INTO a.t BY NAME SELECT 'u' AS id, 's' AS s FROM (VALUES (1))", ["cannot be cast", "column id"]),
    ("UPDATE a.t SET n = id + 300", ['"301" cannot be cast', "SQL:1:20", "column n"]),
    ("MERGE INTO a.t t USING (VALUES (1, 400)) v(id, m) ON t.id = v.id WHEN MATCHED THEN UPDATE SET n = m",
     ['"400" cannot be cast', "column n"]),
    ("MERGE INTO a.t t USING (VALUES (2, 400)) v(id, m) ON t.id = v.id WHEN NOT MATCHED THEN INSERT (n) VALUES (m)",
     ['"400" cannot be cast', "column n"]),
])
def test_a_value_that_does_not_fit(run, smelt, lake, sql, words):
    said = error(run, sql)
    assert all(word in said for word in words), said
    assert rows(smelt, lake) == [(1, "x", 1)]


def test_the_advice_finds_the_rows_that_do_not_fit(smelt, tmp_path):
    (tmp_path / "v.json").write_text('{"n":7,"k":1}\n{"n":null,"k":2}\n{"n":300,"k":3}\n{"n":-9,"k":4}\n{"n":400,"k":5}\n')
    smelt("sql", "--write", "CREATE TABLE 't' (n TINYINT, k BIGINT)")
    said = smelt("sql", "--write", "INSERT INTO 't' FROM 'v.json'", check=False).stderr
    assert '"300" cannot be cast to TINYINT' in said and "in column n" in said
    where = re.search("WHERE .*NULL", said)[0].replace("x ", "n ").replace("(x", "(n")
    assert smelt.sql(f"SELECT k FROM 'v.json' {where}") == [{"k": 3}, {"k": 5}]


@pytest.mark.parametrize("sql, advice", [
    ("DROP TABLE a.t", "DELETE FROM"), ("DESCRIBE a.t", "smelt table show"), ("SHOW TABLES", "smelt table show"),
    ("EXPLAIN SELECT 1", "smelt explain"), ("OPTIMIZE a.t", "smelt table optimize"), ("BEGIN", "one version"),
    ("REPLACE INTO a.t VALUES (1)", "MERGE INTO"), ("SET threads = 1", "command line"),
    ("CREATE TABLE a.u", "(a BIGINT"),
])
def test_statements_of_others_say_what_does_it(run, smelt, lake, sql, advice):
    assert advice in error(run, sql)
    assert advice in error(lambda sql, check: smelt("sql", sql, check=check), sql) or sql.startswith("CREATE")


@pytest.mark.parametrize("call", ["table_changes('a.t', 0)", "delta_scan('a.t')", "delta_scan('a.t', version => 0)"])
def test_a_name_in_the_place_of_a_place(run, lake, call):
    assert f"'{lake}/a/t'" in error(run, f"FROM {call}")


# ---- partitions ----------------------------------------------------------------------------------

DAYS = """SELECT * FROM (VALUES (DATE '2022-04-01', 'a/b', 1), (DATE '2022-04-01', 'c', 2),
          (DATE '2022-04-02', 'a/b', 3), (NULL, NULL, 4)) v(day, shop, n)"""


@pytest.fixture
def by_day(run):
    run(f"CREATE TABLE a.days PARTITIONED BY (day) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true') AS {DAYS}")
    return run


def folders(lake, table):
    return sorted({str(file.parent.relative_to(lake / "a" / table)) for file in (lake / "a" / table).rglob("*.parquet")
                   if "_change_data" not in str(file)})


def numbers(smelt, lake, table="a.days"):
    return [row["n"] for row in smelt.sql(f"FROM {table} ORDER BY n", "--lake", lake)]


@pytest.mark.parametrize("how, want", [
    ("PARTITIONED BY (day) AS " + DAYS, ["day=2022-04-01", "day=2022-04-02", "day=__HIVE_DEFAULT_PARTITION__"]),
    ("TBLPROPERTIES (a.b = 1) PARTITIONED BY (SHOP, day) AS " + DAYS,
     ["shop=__HIVE_DEFAULT_PARTITION__/day=__HIVE_DEFAULT_PARTITION__", "shop=a%2Fb/day=2022-04-01",
      "shop=a%2Fb/day=2022-04-02", "shop=c/day=2022-04-01"]),
])
def test_a_table_made_with_partitions(run, smelt, lake, how, want):
    run(f"CREATE TABLE a.p {how}")
    assert folders(lake, "p") == want
    assert numbers(smelt, lake, "a.p") == [1, 2, 3, 4]


def test_columns_and_partitions(run, smelt, lake):
    run("CREATE TABLE a.p (n BIGINT, day DATE) PARTITIONED BY (day)")
    run(f"INSERT INTO a.p BY NAME SELECT n, day FROM ({DAYS})")
    assert folders(lake, "p") == ["day=2022-04-01", "day=2022-04-02", "day=__HIVE_DEFAULT_PARTITION__"]


def test_replaced_by_other_partitions(by_day, smelt, lake):
    by_day("CREATE OR REPLACE TABLE a.days AS SELECT * FROM a.days WHERE n < 4")
    assert "partitioned  day" in smelt("table", "show", lake / "a" / "days").stdout
    by_day("CREATE OR REPLACE TABLE a.days PARTITIONED BY (shop) AS SELECT * FROM a.days WHERE n < 3")
    assert "partitioned  shop" in smelt("table", "show", lake / "a" / "days").stdout
    assert numbers(smelt, lake) == [1, 2]


@pytest.mark.parametrize("query, want", [
    ("VALUES (DATE '2022-04-01', 'x', 10)", [3, 4, 10]),
    ("VALUES (NULL, 'x', 10)", [1, 2, 3, 10]),
    ("VALUES (DATE '2022-05-01', 'x', 10)", [1, 2, 3, 4, 10]),
    ("SELECT day, shop, n * 10 FROM a.days WHERE n IN (1, 3)", [4, 10, 30]),
    ("BY NAME SELECT 10 AS n, DATE '2022-04-02' AS day", [1, 2, 4, 10]),
    ("FROM a.days WHERE n > 9", [1, 2, 3, 4]),
])
def test_partitions_that_an_insert_replaces(by_day, smelt, lake, query, want):
    by_day("INSERT INTO a.days REPLACE USING (day) " + query)
    assert numbers(smelt, lake) == want
    last = int(smelt.sql(f"SELECT max(_commit_version) AS v FROM table_changes('{lake}/a/days', 0)")[0]["v"])
    assert last == (want != [1, 2, 3, 4])
    changes = smelt.sql(f"SELECT n, _change_type AS t FROM table_changes('{lake}/a/days', 0) "
                        "WHERE _commit_version = 1 ORDER BY n")
    assert sorted(row["n"] for row in changes if row["t"] == "delete") == [n for n in (1, 2, 3, 4) if n not in want]
    assert sorted(row["n"] for row in changes if row["t"] == "insert") == [n for n in want if n > 9]


@pytest.mark.parametrize("sql, says", [
    ("INSERT INTO a.days REPLACE USING (shop) VALUES (NULL, 'x', 1)", 'partitioned by "day", not by "shop"'),
    ("INSERT INTO a.days REPLACE USING (day, shop) VALUES (NULL, 'x', 1)", 'partitioned by "day", not by "day", "shop"'),
    ("INSERT INTO a.t REPLACE USING (id) VALUES (1, 'x', 1)", "not partitioned"),
    ("CREATE TABLE a.p PARTITIONED BY (i) AS SELECT 1 AS i", "partition columns only"),
    ("CREATE TABLE a.p (s STRUCT(x INT), i INT) PARTITIONED BY (s)", '"s"'),
])
def test_partitions_that_cannot_be(by_day, smelt, lake, sql, says):
    assert says in error(by_day, sql)
    assert numbers(smelt, lake) == [1, 2, 3, 4]


# ---- rows of files whose columns nobody declared -----------------------------------------------------

@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
        return f"'{tmp_path / name}'"
    return write


@pytest.mark.parametrize("lines", [[], ["", "  "]])
@pytest.mark.parametrize("sql", [
    "INSERT INTO a.t FROM {f}", "INSERT INTO a.t BY NAME FROM {f}", "INSERT INTO a.t (s) FROM {f}",
    "INSERT INTO a.t (n, s) SELECT n, s FROM {f} WHERE n > 1", "INSERT INTO a.t BY NAME FROM read_json([{f}, {f}])",
    "INSERT INTO a.t SELECT t.id, t.s, t.n FROM a.t t JOIN {f} f ON t.id = f.id",
    "MERGE INTO a.t t USING {f} f ON t.id = f.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"])
def test_a_file_without_a_line_has_no_row(run, smelt, lake, write, lines, sql):
    assert run(sql.format(f=write("none.json", *lines))).stdout.startswith(("nothing changed: ", "no rows"))
    assert rows(smelt, lake) == [(1, "x", 1)]


def test_no_row_of_a_table_that_computes_columns(with_defaults, write):
    for sql in ("INSERT INTO a.t BY NAME FROM {f}", "INSERT INTO a.t FROM {f}", "INSERT INTO a.t (d, id) FROM {f}"):
        assert "nothing changed" in with_defaults(sql.format(f=write("none.json"))).stdout


@pytest.mark.parametrize("lines, sql, said", [
    ([], "CREATE TABLE a.u AS FROM {f}", "is empty"), ([], "INSERT INTO a.t SELECT z, s, n FROM {f}", 'no column "z"'),
    (["{"], "INSERT INTO a.t FROM {f}", "x.json:1"), (["[1]"], "INSERT INTO a.t BY NAME FROM {f}", "x.json"),
    ([], "INSERT INTO a.t FROM read_parquet({f})", "is empty"),
    ([], "INSERT INTO a.t SELECT id, s FROM {f}", "the table has 3 columns")])
def test_what_is_no_file_without_a_line(run, smelt, lake, write, lines, sql, said):
    assert said in error(run, sql.format(f=write("x.json", *lines)))
    assert rows(smelt, lake) == [(1, "x", 1)]


TEXTS = {"ts": '"2024-01-01T10:00:00Z"', "at": '"2024-01-01T10:00:00.50"', "d": '"2024-01-01"', "e": "1e3", "f": "1.50",
         "i": "-0", "b": "true", "big": "123456789012345678901234567890"}


def as_text(json_value):
    return json_value.strip('"')


@pytest.mark.parametrize("sql", [
    "INSERT INTO a.v FROM {f}", "INSERT INTO a.v BY NAME FROM {f}", "INSERT INTO a.v BY NAME SELECT * FROM {f} WHERE x = 1",
    "INSERT INTO a.v ({names}) SELECT {names} FROM (SELECT * FROM read_json({f}, sample_size => -1))",
    "WITH q AS (FROM {f}) INSERT INTO a.v SELECT q.* FROM q"])
def test_a_text_stays_as_it_is_written(run, smelt, lake, write, sql):
    """The table has VARCHAR, whatever the values look like; also in structs and lists."""
    columns = ", ".join(f"{name} VARCHAR" for name in TEXTS)
    run(f"CREATE TABLE a.v ({columns}, l VARCHAR[], s STRUCT(a VARCHAR, d DATE), x BIGINT)")
    fields = ", ".join(f'"{name}": {value}' for name, value in TEXTS.items())
    file = write("v.json", "{" + fields + ', "l": ["2024-01-01 10:00"], "s": {"d": "2024-01-01", "a": "2024-01-01T10"}, "x": 1}')
    run(sql.format(f=file, names=", ".join([*TEXTS, "l", "s", "x"])))
    got, = smelt.sql("FROM a.v", "--lake", lake)
    assert got == {name: as_text(value) for name, value in TEXTS.items()} | {
        "l": ["2024-01-01 10:00"], "s": {"a": "2024-01-01T10", "d": "2024-01-01"}, "x": 1}


@pytest.mark.parametrize("query, want", [
    ("SELECT ts FROM {f} WHERE ts > TIMESTAMP '2023-01-01'", "2024-01-01 10:00:00"),  # it is computed with
    ("SELECT min(ts) FROM {f}", "2024-01-01 10:00:00"), ("SELECT CAST(ts AS VARCHAR) FROM {f}", "2024-01-01 10:00:00"),
    ("SELECT ts FROM {f} WHERE n < (SELECT 2)", "2024-01-01 10:00:00"),
    ("SELECT ts FROM read_json({f}, columns => {{ts: 'TIMESTAMP'}})", "2024-01-01 10:00:00"),
    ("SELECT ts FROM {f} WHERE n = 1", "2024-01-01T10:00:00"),
    ("SELECT ts FROM (SELECT ts, n + 1 AS m FROM {f}) WHERE m = 2", "2024-01-01T10:00:00")])
def test_a_time_that_is_used_is_one(run, smelt, lake, write, query, want):
    run("CREATE TABLE a.v (ts VARCHAR)")
    run("INSERT INTO a.v " + query.format(f=write("v.json", '{"ts": "2024-01-01T10:00:00", "n": 1}')))
    assert smelt.sql("FROM a.v", "--lake", lake) == [{"ts": want}]


# Numbers as a file has them, and as a cast of their text to DECIMAL(38,2), to DECIMAL(20,0) and to FLOAT has them.
NUMBERS = [
    ("12345678901234567.89", "12345678901234567.89", "12345678901234568", 12345678901234568.0),
    ("123456789012345678901234567890123456.78", "123456789012345678901234567890123456.78", None, None),
    ("9223372036854775808.5", "9223372036854775808.50", "9223372036854775809", None),
    ("92345678901234567.89", "92345678901234567.89", "92345678901234568", None), ("1.005", "1.01", "1", 1.005),
    ("-0.125", "-0.13", "0", -0.125), ("2.5", "2.50", "3", 2.5), ("1e-400", "0.00", "0", 0.0), ("-7", "-7.00", "-7", -7.0),
    ("123e3", "123000.00", "123000", 123000.0), ("1e2", "100.00", "100", 100.0), ("16777217", "16777217.00", "16777217", None),
    ("5e-3", "0.01", "0", 0.005), ("4.9999999999999999999e-3", "0.00", "0", 0.005),
    # between two FLOATs: by way of DOUBLE it would be the lower one
    ("1.00000017881393432617187499", "1.00", "1", 1.0000001192092896),
    ("1.00000017881393432617187501", "1.00", "1", 1.0000002384185791),
]


def as_written(number, type):
    """A FLOAT as its bits, as it may be written in more than one way."""
    return struct.pack("f", float(number)) if type == "FLOAT" else number


@pytest.mark.parametrize("sql", ["INSERT INTO a.v FROM {f}", "INSERT INTO a.v BY NAME SELECT * FROM {f} WHERE i >= 0"])
@pytest.mark.parametrize("column, type", [(1, "DECIMAL(38,2)"), (2, "DECIMAL(20,0)"), (3, "FLOAT")])
def test_a_number_is_rounded_once(run, smelt, lake, write, sql, column, type):
    """From its text to the table's type: a DOUBLE in between holds 15 digits."""
    numbers = [(row[0], row[column]) for row in NUMBERS if row[column] is not None]
    run(f"CREATE TABLE a.v (n {type}, l {type}[], s STRUCT(n {type}), i BIGINT)")
    run(sql.format(f=write("n.json", *(f'{{"n": {n}, "l": [{n}], "s": {{"n": {n}}}, "i": {i}}}'
                                       for i, (n, _) in enumerate(numbers)))))
    got = smelt.sql("SELECT CAST(n AS VARCHAR) AS a, CAST(l AS VARCHAR) AS b, CAST(s.n AS VARCHAR) AS c FROM a.v ORDER BY i",
                    "--lake", lake)
    said = [tuple(as_written(text.strip("[]"), type) for text in row.values()) for row in got]
    assert said == [(as_written(n, type),) * 3 for _, n in numbers]


def test_a_number_of_a_row_that_is_left_out(run, smelt, lake, write):
    run("CREATE TABLE a.v (n DECIMAL(20,2), f FLOAT)")
    file = write("n.json", '{"n": 12345678901234567.89, "f": 1.00000017881393432617187501, "ok": true}',
                 '{"n": 1e30, "f": 1e300, "ok": false}')
    run(f"INSERT INTO a.v SELECT n, f FROM {file} WHERE ok")
    got = smelt.sql("SELECT CAST(n AS VARCHAR) AS n, CAST(f AS DOUBLE) AS f FROM a.v", "--lake", lake)
    assert got == [{"n": "12345678901234567.89", "f": 1.0000002384185791}]
    run(f"INSERT INTO a.v SELECT ok, ok FROM {file} WHERE f < 9")
    assert len(smelt.sql("FROM a.v WHERE n = 1 AND f = 1", "--lake", lake)) == 1


def test_a_number_that_no_rounding_makes_fit(run, lake, write):
    run("CREATE TABLE a.v (n DECIMAL(5,2))")
    said = error(run, "INSERT INTO a.v FROM " + write("n.json", '{"n": 1.5}', '{"n": 999.995}'))
    assert "n.json:2" in said and "999.995" in said and "DECIMAL(5,2)" in said


@pytest.mark.parametrize("sql", [
    "MERGE INTO a.v t USING {f} f ON t.k = f.k WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
    "MERGE INTO a.v t USING (SELECT * FROM {f} WHERE n > 0) f ON f.k = t.k AND f.n < 9 WHEN MATCHED AND f.ts <> t.ts THEN "
    "UPDATE SET ts = f.ts, d = f.d, n = f.n WHEN NOT MATCHED AND n < 9 THEN INSERT (k, ts, d, n) VALUES (f.k, ts, d, n)",
    "MERGE INTO a.v t USING (SELECT s.*, n FROM {g}) f ON t.k = f.k WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
    "MERGE INTO a.v t USING {g} f ON t.k = f.s.k WHEN MATCHED THEN UPDATE SET ts = f.s.ts, d = f.s.d, n = f.n "
    "WHEN NOT MATCHED THEN INSERT (k, ts, d, n) VALUES (f.s.k, f.s.ts, f.s.d, f.n)"])
def test_a_merged_value_is_as_it_is_written(run, smelt, lake, write, sql):
    """Also a key is the text that the file has, and finds its row when the file is merged again."""
    run("CREATE TABLE a.v (k VARCHAR, ts VARCHAR, d DECIMAL(20,2), n BIGINT)")
    values = [("2024-01-01T10:00:00", "2024-01-01T10:00:00Z", "12345678901234567.89"), ("2024-01-01T11:00", "2024-01-01", "0.125")]
    lines = [f'"k": "{k}", "ts": "{ts}", "d": {d}' for k, ts, d in values]
    sql = sql.format(f=write("f.json", *(f'{{{line}, "n": 1}}' for line in lines)),
                     g=write("g.json", *(f'{{"s": {{{line}}}, "n": 1}}' for line in lines)))
    for _ in range(2):
        run(sql)
        got = smelt.sql("SELECT k, ts, CAST(d AS VARCHAR) AS d, n FROM a.v ORDER BY k", "--lake", lake)
        assert [tuple(row.values()) for row in got] == [(*values[0], 1), (*values[1][:2], "0.13", 1)]


@pytest.mark.parametrize("clause", ["INSERT *", "INSERT (k, l, s) VALUES (f.k, f.l, f.s)"])
def test_a_merged_list_is_as_it_is_written(run, smelt, lake, write, clause):
    run("CREATE TABLE a.v (k BIGINT, l VARCHAR[], s STRUCT(f FLOAT[], t VARCHAR))")
    file = write("v.json", '{"k": 1, "l": ["2024-01-01T10:00"], "s": {"f": [0.1], "t": "2024-01-01"}, "o": [true]}')
    run(f"MERGE INTO a.v t USING {file} f ON t.k = f.k WHEN NOT MATCHED THEN {clause}")
    assert smelt.sql("FROM a.v", "--lake", lake) == [
        {"k": 1, "l": ["2024-01-01T10:00"], "s": {"f": [0.1], "t": "2024-01-01"}}]
    said = error(run, f"MERGE INTO a.v t USING {file} f ON false WHEN NOT MATCHED THEN INSERT (s) VALUES (f.o)")
    assert "BOOLEAN[] cannot be cast to STRUCT" in said and 'column "s"' in said


@pytest.mark.parametrize("value, want", [
    ("CAST(f.ts AS VARCHAR)", "2024-01-01 10:00:00"), ("f.ts || ''", "2024-01-01 10:00:00"),
    ("f.ts", "2024-01-01T10:00:00")])
@pytest.mark.parametrize("other", ["", " AND f.ts > TIMESTAMP '2023-01-01'"])
def test_a_merged_time_that_is_used_is_one(run, smelt, lake, write, value, want, other):
    run("CREATE TABLE a.v (k BIGINT, ts VARCHAR)")
    file = write("v.json", '{"k": 1, "ts": "2024-01-01T10:00:00"}')
    run(f"MERGE INTO a.v t USING {file} f ON t.k = f.k{other} "
        f"WHEN NOT MATCHED THEN INSERT (k, ts) VALUES (f.k, {value})")
    assert smelt.sql("FROM a.v", "--lake", lake) == [{"k": 1, "ts": "2024-01-01 10:00:00" if other else want}]


@pytest.mark.parametrize("types, want", [
    (["DECIMAL(20,2)", "DECIMAL(20,5)"], ["123456789012345.68", "123456789012345.67891"]),
    (["DECIMAL(20,2)", "DOUBLE"], ["123456789012345.68", "123456789012345.67"]),
    (["DECIMAL(20,2)", "VARCHAR"], ["123456789012345.68", "123456789012345.678912"]),
    (["VARCHAR", "DECIMAL(20,5)"], ["123456789012345.678912", "123456789012345.67891"]),
    (["DECIMAL(20,0)", "BIGINT"], ["123456789012346", "123456789012346"])])
@pytest.mark.parametrize("sql", [
    "INSERT INTO a.v SELECT x, x FROM {f}", "INSERT INTO a.v SELECT a, b FROM (SELECT x AS a, x AS b FROM {f})",
    "MERGE INTO a.v t USING {f} f ON false WHEN NOT MATCHED THEN INSERT (a, b) VALUES (f.x, f.x)"])
def test_a_number_that_goes_to_two_columns(run, smelt, lake, write, sql, types, want):
    run(f"CREATE TABLE a.v (a {types[0]}, b {types[1]})")
    run(sql.format(f=write("v.json", '{"x": 123456789012345.678912}')))
    assert smelt.sql("SELECT CAST(a AS VARCHAR) AS a, CAST(b AS VARCHAR) AS b FROM a.v", "--lake", lake) == [
        {"a": want[0], "b": want[1]}]
