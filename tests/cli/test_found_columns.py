"""Columns that smelt finds by itself: which files and rows it looks at, and how it reports keys
that the sample missed."""
import functools
import gzip
import json
import random
import re

import pytest


@pytest.fixture
def put(tmp_path):
    """Writes files of rows, given as dicts or as text."""
    def write(**files):
        for name, rows in files.items():
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            path = tmp_path / "logs" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(line + "\n" for line in lines))
    return write


def ask(smelt, sql, code=0):
    done = smelt("sql", sql, "--format", "json", check=False)
    assert done.returncode == code, f"{sql}\n{done.stderr}"
    return json.loads(done.stdout) if code == 0 else done.stderr


# ---- what is looked at --------------------------------------------------------------------------


@pytest.mark.parametrize("files, columns", [
    ({"1": [{"id": 1}], "2": [{"id": 2, "extra": "x"}]}, ["id", "extra"]),
    ({"1": ["", "  "], "2": ["no JSON"], "3": [{"id": 3}]}, ["id"]),
    ({str(n): [{"id": n}] for n in range(10, 41)} | {"9": [{"last": 1}]}, ["id", "last"]),
    ({"1": [{"id": n, "m": "x" * 5000} for n in range(250)] + [{"id": 250, "error": "E"}]},
     ["id", "m", "error"]),
    ({"1": [{"e": {"k": 1}, "o": {}} for n in range(20_010)] + [{"e": {"late": 1}, "o": {"x": 1}}]},
     ["e", "o"]),
])
def test_every_file_and_row_of_the_sample_gives_columns(smelt, put, files, columns):
    put(**files)
    rows = ask(smelt, "SELECT * FROM read_json('logs/*.json', bad_lines => 'skip')")
    assert list(rows[0]) == columns
    assert len(rows) == sum(isinstance(row, dict) for rows in files.values() for row in rows)


def test_the_first_file_does_not_decide_alone(smelt, tmp_path):
    """An empty .gz, and one cut in the middle."""
    folder = tmp_path / "logs"
    folder.mkdir()
    whole = gzip.compress(b'{"z":1}\n' * 10_000)
    (folder / "1.json.gz").write_bytes(gzip.compress(b""))
    (folder / "2.json.gz").write_bytes(whole[:len(whole) // 2])
    (folder / "3.json.gz").write_bytes(gzip.compress(b'{"id":3}\n'))
    assert ask(smelt, "SELECT * FROM read_json(['logs/1.json.gz', 'logs/3.json.gz'])") == [{"id": 3}]
    assert "2.json.gz" in ask(smelt, "SELECT id FROM 'logs/*.json.gz'", code=1)


@pytest.mark.parametrize("options, columns", [
    ("", ["a", "b", "c"]),
    (", sample_size => 2", ["a"]),
    (", sample_size => 2, maximum_sample_files => 2", ["a"]),
    (", sample_size => -1, maximum_sample_files => 1", ["a", "b"]),
    (", maximum_sample_files => -1", ["a", "b", "c"]),
])
def test_how_much_is_looked_at(smelt, put, options, columns):
    put(**{"1": [{"a": 1}, {"a": 2}, {"a": 3, "b": 3}], "2": [{"a": 4}, {"a": 5}, {"c": 6}]})
    rows = ask(smelt, f"SELECT * FROM read_json('logs/*.json'{options}, unknown => 'ignore')")
    assert list(rows[0]) == columns and len(rows) == 6


@pytest.mark.parametrize("option", ["sample_size => 0", "sample_size => -2", "sample_size => 'all'",
                                    "maximum_sample_files => 0", "maximum_sample_files => 1.5"])
def test_a_sample_that_is_none(smelt, put, option):
    put(**{"1": [{"a": 1}]})
    told = ask(smelt, f"SELECT * FROM read_json('logs/*.json', {option})", code=1)
    assert f"{option.split()[0]} is a number from 1 on, or -1 for all" in told


# ---- what it missed -----------------------------------------------------------------------------

LATE = [{"id": n, "e": {"k": 1, "d": {"x": 1}}, "o": {}, "l": [{"x": 1}]} for n in range(50)]
LATE[30] = {"id": 30, "e": {"k": 1, "late": 1, "d": {"x": 1}}, "o": {}, "l": [{"x": 1}]}
LATE[35] = {"id": 35, "e": {"k": 1, "d": {"x": 1, "y": 1}}, "o": {}, "l": [{"x": 1}, {"z": 2}]}
LATE[40] = {"id": 40, "e": {"k": 1, "d": {"x": 1}}, "o": {"x": 1}, "l": [{"x": 1}]}
LATE[45] = {"id": 45, "a\tb": 1}


def key_at(line, key):
    return json.dumps(LATE[line - 1]).index(json.dumps(key)) + 1


@pytest.mark.parametrize("select, key, line", [
    ("*", "e.late", 31),
    ("* EXCLUDE (e)", "l.z", 36),
    ("* EXCLUDE (e, l)", "o", 41),
    ("t.*", "e.late", 31),
    ("e", "e.late", 31),
    ("e.d", "e.d.y", 36),
    ("e.*", "e.late", 31),
    ("l", "l.z", 36),
    ("CAST(e.d AS VARCHAR)", "e.d.y", 36),
    ("coalesce(l, NULL)", "l.z", 36),
])
@pytest.mark.parametrize("around", [
    "SELECT {} FROM {} t WHERE id = 3", "SELECT * FROM (SELECT {} FROM {} t)",
    "WITH w AS (SELECT {} FROM {} t) SELECT w.* FROM w", "SELECT {} FROM {} t UNION ALL SELECT {} FROM {} t",
])
def test_a_key_that_the_sample_missed_is_an_error_where_all_is_taken(smelt, put, select, key, line,
                                                                     around):
    put(one=LATE)
    sql = around.format(*[select, "read_json('logs/one.json', sample_size => 10)"] * 2)
    told = ask(smelt, sql, code=1).splitlines()
    assert told == [f'smelt: key "{key}" is not among the columns',
                    f"  at logs/one.json:{line}:{key_at(line, key.split('.')[-1])}",
                    "  Take it with sample_size => -1 or columns => {…}, or leave it out with "
                    "unknown => 'ignore'."]


@pytest.mark.parametrize("sql, rows", [
    ("SELECT id, e.k, e.d.x FROM {} WHERE id = 30", 1),
    ("SELECT id FROM (SELECT * FROM {}) WHERE id < 3", 3),
    ("SELECT id, e.k FROM (SELECT * FROM {}) WHERE id < 3", 3),
    ("SELECT count(*) AS n, count(e) AS m FROM (SELECT * FROM {})", 1),
    ("SELECT id FROM {} WHERE e IS NOT NULL AND l IS NOT NULL", 49),
    ("SELECT a.id FROM {} a JOIN (SELECT id, e FROM {}) b USING (id)", 50),
    ("SELECT e.k FROM (SELECT e FROM {})", 50),
])
def test_named_columns_do_not_look_for_other_keys(smelt, put, sql, rows):
    put(one=LATE)
    sample = "read_json('logs/one.json', sample_size => 10)"
    assert len(ask(smelt, sql.format(sample, sample))) == rows


@pytest.mark.parametrize("sql", [
    "SELECT count(*) FROM (SELECT DISTINCT * FROM {})", "SELECT id FROM (FROM {} UNION FROM {})",
    "SELECT (SELECT e FROM {} LIMIT 1)", "SELECT a.* FROM {} a JOIN {} b USING (id)",
    "SELECT * FROM {} a, (SELECT 1 AS one)", "SELECT id FROM read_json('logs/one.json', sample_size => "
    "10, validate => 'all')",
])
def test_whoever_looks_at_whole_rows_takes_them(smelt, put, sql):
    put(one=[{"id": 0, "e": 1}] * 10 + [{"id": 1, "late": 1}])
    sample = "read_json('logs/one.json', sample_size => 10)"
    told = ask(smelt, sql.format(sample, sample), code=0 if "e FROM" in sql else 1)
    assert "e FROM" in sql or 'key "late" is not among the columns' in told


@pytest.mark.parametrize("select, is_taken", [
    ("*", True), ("m", True), ("m['u1'] AS v", True), ("map_values(m) AS v", True),
    ("m['u1'].x AS v", False), ("cardinality(m) AS v", False), ("map_keys(m) AS v", False),
])
def test_keys_in_the_values_of_a_map(smelt, put, select, is_taken):
    put(one=[{"m": {f"u{n}": {"x": 1}}} for n in range(1000)] + [{"m": {"u1": {"x": 1, "late": 2}}}])
    done = smelt("sql", f"SELECT {select} FROM read_json('logs/one.json', sample_size => 900)",
                 check=False)
    assert done.returncode == is_taken, done.stderr
    assert ('key "m.late" is not among the columns' in done.stderr) == is_taken


def test_brackets_alone_are_no_loss(smelt, put):
    put(one=[{"id": n, "o": {}, "p": [{}, {}]} for n in range(100)])
    assert ask(smelt, "SELECT * FROM 'logs/one.json' WHERE id = 99") == [{"id": 99}]
    put(two=[{"id": 1, "o": {}}] * 10 + [{"id": 2, "o": {"a": None}}])
    told = ask(smelt, "SELECT * FROM read_json('logs/two.json', sample_size => 10)", code=1)
    assert 'key "o" is not among the columns' in told and ":11:11" in told


@pytest.mark.parametrize("call, select, told", [
    ("sample_size => 10, unknown => 'ignore'", "*",
     "smelt: 50 rows have keys that no column takes: o (49), e.late (1), e.d.y (1), l.z (1), a\tb (1)"),
    ("sample_size => 10, unknown => 'ignore'", "e", "smelt: 2 rows have keys that no column takes: "
     "e.late (1), e.d.y (1)"),
    ("sample_size => 10, unknown => 'ignore'", "l", "smelt: 1 row has keys that no column takes: l.z (1)"),
    ("sample_size => 10, unknown => 'ignore'", "id", ""),
    ("columns => {id: 'BIGINT'}", "*",
     "smelt: 50 rows have keys that no column takes: e (49), o (49), l (49), a\tb (1)"),
    ("columns => {id: 'BIGINT'}", "id", ""),
    ("columns => {id: 'BIGINT'}, validate => 'all'", "id",
     "smelt: 50 rows have keys that no column takes: e (49), o (49), l (49), a\tb (1)"),
    ("columns => {e: 'STRUCT(k BIGINT, late BIGINT)'}", "e",
     "smelt: 49 rows have keys that no column takes: e.d (49)"),
])
def test_what_is_ignored_is_counted(smelt, put, call, select, told):
    put(one=LATE)
    done = smelt("sql", f"SELECT {select} FROM read_json('logs/one.json', {call})")
    assert done.stderr == (told + "\n" if told else "")


def test_scans_of_one_file_count_once_and_for_one_another(smelt, put):
    put(one=LATE)
    sample = "read_json('logs/one.json', sample_size => 10, unknown => 'ignore')"
    done = smelt("sql", f"SELECT a.id, b.e FROM {sample} a JOIN {sample} b USING (id)")
    assert done.stderr == "smelt: 2 rows have keys that no column takes: e.late (1), e.d.y (1)\n"


def test_refused_lines_have_no_unknown_keys(smelt, put):
    put(one=[{"id": 1}] * 10 + ['{"id":{"a":1},"late":1}', '{"id":2,"late":', {"id": 3}])
    sql = "SELECT * FROM read_json('logs/one.json', sample_size => 10, bad_lines => 'skip')"
    assert len(ask(smelt, sql)) == 11
    assert smelt("sql", sql).stderr == "smelt: 2 of 13 lines could not be read and were left out\n"


def test_under_limit_the_lines_left_out_are_at_least_those_before_its_rows(smelt, put):
    """How far the scan got when LIMIT had its rows varies: a bare number would, too. Where one thread
    was held up in the first lines, the others may have read all the rest: then the numbers are whole."""
    put(a=['{"id":1}', '{"id":2,"late":', '{"id":3}'],
        b=[f'{{"id":{i},"pad":"{"x" * 1000}"}}' if i % 100 else "{" for i in range(30_000)])
    read = "read_json('logs/*.json', columns => {id: 'BIGINT'}, bad_lines => 'skip', validate => 'all')"
    some = re.compile(r"smelt: at least (\d+ lines|1 line) could not be read and w(ere|as) left out; "
                      r"the query ended before it had read all lines\n"
                      r"smelt: at least [\d,]+ rows have keys that no column takes: pad \([\d,]+\)\n")
    whole = ("smelt: 301 of 30,003 lines could not be read and were left out\n"
             "smelt: 29,700 rows have keys that no column takes: pad (29,700)\n")
    for n in ("1", "2", "4"):
        told = smelt("sql", f"FROM {read} LIMIT 2000", "--threads", n).stderr
        assert some.fullmatch(told) or (n != "1" and told == whole), told
        assert whole == smelt("sql", f"FROM {read} LIMIT 100000", "--threads", n).stderr


def test_declared_columns_and_fail(smelt, put):
    put(one=LATE)
    told = ask(smelt, "SELECT * FROM read_json('logs/one.json', columns => {id: 'BIGINT'}, "
               "unknown => 'fail')", code=1)
    assert told.splitlines()[1:] == ["  at logs/one.json:1:11",
                                     "  Take it with columns => {…}, or leave it out with unknown => "
                                     "'ignore'."]


def test_a_key_of_a_file_that_nobody_looked_at(smelt, put):
    put(**{"1": [{"a": 1}], "2": [{"a": 1}, {"a": 2, "b": 3}]})
    sample = "read_json('logs/*.json', maximum_sample_files => 1)"
    told = ask(smelt, f"SELECT * FROM {sample}", code=1).splitlines()
    assert told[1] == "  at logs/2.json:2:10"
    assert "maximum_sample_files => -1" in told[2] and "sample_size" not in told[2]


# ---- Parquet ------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    """Writes logs/N.parquet for each query, by DuckDB."""
    import duckdb

    def write(*queries):
        folder = tmp_path / "logs"
        folder.mkdir(exist_ok=True)
        for n, query in enumerate(queries):
            duckdb.sql(f"COPY ({query}) TO '{folder}/{n}.parquet'")
        return duckdb.sql(f"FROM read_parquet('{folder}/*.parquet', union_by_name = true)")
    return write


@pytest.mark.parametrize("queries", [
    ["SELECT 1 AS a", "SELECT 2 AS a, 'x' AS b"],
    ["SELECT 1 AS a, 'x' AS b", "SELECT 2 AS a"],
    ["SELECT 1::SMALLINT AS a", "SELECT 70000 AS a", "SELECT 2::BIGINT ** 40 AS b"],
    ["SELECT 1.5::FLOAT AS a", "SELECT 1e300::DOUBLE AS a"],
    ["SELECT {'x': 1} AS s", "SELECT {'x': 2, 'y': 'z'} AS s", "SELECT 3 AS t"],
    ["SELECT [{'x': 1}] AS l", "SELECT [{'y': 2}] AS l"],
])
def test_columns_of_parquet_files_are_united_by_name(smelt, parquet, queries):
    want = parquet(*queries)
    rows = ask(smelt, "FROM 'logs/*.parquet'")
    assert list(rows[0]) == want.columns
    if "[{" not in queries[0]:  # DuckDB gives what a list's struct lacks as a whole list of NULL
        assert [tuple(row.values()) for row in rows] == want.fetchall()


EXTRA = ["SELECT 1 AS a, {'x': 1, 'd': {'u': 1}} AS s, [{'k': 1}] AS l",
         "SELECT 2 AS a, {'x': 2, 'y': 3, 'd': {'u': 1, 'v': 2}} AS s, [{'k': 1, 'm': 2}] AS l, 9 AS b "
         "FROM range(3)"]


@pytest.mark.parametrize("select, column", [
    ("*", "b"), ("s", "s.y"), ("s.d", "s.d.v"), ("l", "l.m"), ("* EXCLUDE (s)", "b"),
    ("a", ""), ("a, s.x, s.d.u", ""),
])
def test_a_column_of_a_file_that_nobody_looked_at(smelt, parquet, select, column):
    parquet(*EXTRA)
    call = "FROM read_parquet('logs/*.parquet', maximum_sample_files => 1{})"
    sql = f"SELECT {select} {call}"
    if not column:
        assert len(ask(smelt, sql.format(""))) == 4
        return
    assert ask(smelt, sql.format(""), code=1).splitlines() == [
        f'smelt: column "{column}" of the file is not among the columns', "  at logs/1.parquet",
        "  Take it with maximum_sample_files => -1 or columns => {…}, or leave it out with unknown => "
        "'ignore'."]
    done = smelt("sql", sql.format(", unknown => 'ignore'"))
    assert done.stderr.startswith("smelt: 3 rows have keys that no column takes: ")
    assert f"{column} (3)" in done.stderr
    assert '"b"' in ask(smelt, f"SELECT a {call}".format(", validate => 'all'"), code=1)


def test_a_column_of_two_types_names_the_file(smelt, parquet):
    parquet("SELECT 1 AS a", "SELECT 'x' AS a")
    told = ask(smelt, "SELECT a FROM 'logs/*.parquet'", code=1)
    assert 'column "a" is BYTE_ARRAY' in told and "logs/1.parquet" in told


# ---- names that the sample did not have -----------------------------------------------------------


@pytest.mark.parametrize("select, options, todo", [
    ("late", "sample_size => 10", "Columns were found in 10 rows: sample_size => -1 looks at more."),
    ("e.late", "sample_size => 10", "Columns were found in 10 rows: sample_size => -1 looks at more."),
    ("ids", "sample_size => 10", 'Did you mean "id"? Columns were found in 10 rows: sample_size => -1 '
     "looks at more."),
    ("late", "maximum_sample_files => 1", "Columns were found in 50 rows of 1 of 2 files: "
     "maximum_sample_files => -1 looks at more."),
    ("late", "sample_size => -1", ""),
])
def test_an_unknown_column_says_how_much_was_looked_at(smelt, put, select, options, todo):
    put(one=LATE, **({"two": LATE[:1]} if "files" in options else {}))
    told = ask(smelt, f"SELECT {select} FROM read_json('logs/*.json', {options})", code=1).splitlines()
    assert told[1] == "  at SQL:1:8"
    assert told[2:] == ([f"  {todo}"] if todo else [])


# ---- values that the columns do not take -----------------------------------------------------------


@pytest.mark.parametrize("rows, options, told, todo", [
    ([{"v": {"a": 1}}, {"v": "t"}], "", '{"a": 1} cannot be read as VARCHAR', 'declare "v" as STRUCT(…)'),
    ([{"v": [1]}, {"v": "t"}], "", "[1] cannot be read as VARCHAR", 'declare "v" as a list'),
    ([{"v": {"a": 1}}] * 2 + [{"v": "t"}], "", '"t" cannot be read as STRUCT(a BIGINT)',
     'declare "v" as VARCHAR'),
    ([{"v": [1]}] * 2 + [{"v": {"a": 1}}], "", '{"a": 1} cannot be read as BIGINT[]',
     'declare "v" as STRUCT(…)'),
    ([{"v": 1}, {"v": "t"}], "sample_size => 1", '"t" cannot be read as BIGINT',
     'The sample had no such value: sample_size => -1 looks at more, or declare "v".'),
    ([{"v": "2022-04-03"}, {"v": "2022-04-03T10:00"}], "sample_size => 1",
     '"2022-04-03T10:00" cannot be read as DATE', 'sample_size => -1 looks at more, or declare "v" as '
     "VARCHAR."),
    ([{"v": "2022-04-03T10:00"}, {"v": "2022-04-03T10:00Z"}], "sample_size => 1",
     '"2022-04-03T10:00Z" cannot be read as TIMESTAMP', 'declare "v" as VARCHAR.'),
    ([{"v": "2022-04-03T10:00Z"}, {"v": "2022-04-03T10:00"}], "sample_size => 1",
     '"2022-04-03T10:00" cannot be read as TIMESTAMP WITH TIME ZONE', 'declare "v" as VARCHAR.'),
    ([{"v": "2022-04-03T10:00Z"}, {"v": "2022-04-03T10:00:00.123456789Z"}], "sample_size => 1",
     '"2022-04-03T10:00:00.123456789Z" cannot be read as TIMESTAMP WITH TIME ZONE', "as VARCHAR."),
    ([{"v": ["2022-04-03"]}, {"v": [""]}], "sample_size => 1", '"" cannot be read as DATE',
     'declare "v" as VARCHAR.'),
    ([{"v": "2022-04-03"}, {"v": 20220404}], "sample_size => 1", "20220404 cannot be read as DATE",
     'declare "v" as VARCHAR.'),
    ([{"l": [1]}, {"l": ["t"]}], "sample_size => 1", '"t" cannot be read as BIGINT', 'declare "l".'),
])
def test_a_value_that_does_not_fit_says_what_to_declare(smelt, put, rows, options, told, todo):
    put(one=rows)
    call = f"read_json('logs/one.json'{', ' * bool(options)}{options}"
    lines = ask(smelt, f"SELECT * FROM {call})", code=1).splitlines()
    assert lines[0] == f"smelt: {told}" and lines[1].startswith("  at logs/one.json:")
    assert todo in lines[-1]
    done = smelt("sql", f"SELECT count(*) AS n FROM {call}, bad_lines => 'skip', validate => 'all')",
                 "--format", "json")
    assert 0 < json.loads(done.stdout)[0]["n"] < len(rows)
    assert f"of {len(rows)} lines could not be read and were left out" in done.stderr


# ---- dates and times ------------------------------------------------------------------------------

TIMES = {
    "DATE": (["2022-04-03", "2022-4-9", None], ["2022-04-03", "2022-04-09", None]),
    "TIMESTAMP": (["2022-04-03T10:00:00", "2022-04-03 10:00:00.25", "2022-04-03T23:59"],
                  ["2022-04-03 10:00:00", "2022-04-03 10:00:00.25", "2022-04-03 23:59:00"]),
    "TIMESTAMP WITH TIME ZONE": (
        ["2026-04-29T14:38:00+02:00", "2026-04-29T14:38:00+0200", "2026-04-29T14:38:00Z",
         "2026-04-29 14:38:00 UTC", "2026-04-29T14:38-11:30"],
        ["2026-04-29 12:38:00+00", "2026-04-29 12:38:00+00", "2026-04-29 14:38:00+00",
         "2026-04-29 14:38:00+00", "2026-04-30 02:08:00+00"]),
}
NO_TIMES = [["2022-04-03", "2022-04-03T10:00:00"], ["2022-04-03T10:00:00", "2022-04-03T10:00:00Z"],
            ["2022-04-03", "2022-04-03T10:00:00Z"], ["2022-04-03", "n/a"], ["2022-04-03", ""],
            ["2022-04-03T10:00:00.1234567Z"], ["2022"], ["20220403"], ["infinity"], ["2022/04/03"],
            ["1.2.3"], ["10:00:00"]]
AROUND = {  # a row with the value, and how it is asked for
    "a field": (lambda v: {"v": v}, "v"),
    "a nested field": (lambda v: {"s": {"t": {"v": v}}}, "s.t.v"),
    "lists": (lambda v: {"v": [v]}, "v"),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("sample", ["", ", sample_size => -1"])
def test_texts_that_are_times(smelt, put, around, sample):
    row, column = AROUND[around]
    for kind, (texts, values) in TIMES.items():
        put(one=[row(text) for text in texts])
        got = ask(smelt, f"SELECT typeof({column}) AS t, CAST({column} AS VARCHAR) AS v FROM "
                  f"read_json('logs/one.json'{sample})")
        assert {r["t"] for r in got} == {kind + "[]" * (around == "lists")}
        wrap = (lambda v: f"[{v or 'NULL'}]") if around == "lists" else (lambda v: v)
        assert [r["v"] and r["v"].replace("'", "") for r in got] == [wrap(v) for v in values]


@pytest.mark.parametrize("texts", NO_TIMES)
def test_texts_that_stay_text(smelt, put, texts):
    put(one=[{"v": text, "m": [text]} for text in texts])
    assert ask(smelt, "SELECT typeof(v) AS t, typeof(m) AS l, v FROM 'logs/one.json'") == [
        {"t": "VARCHAR", "l": "VARCHAR[]", "v": text} for text in texts]


def test_values_of_maps_that_are_times(smelt, put):
    put(days=[{"m": {f"k{n}": "2022-04-03"}} for n in range(30)],
        kinds=[{"m": {f"k{n}": "2022-04-03" if n % 2 else "2022-04-03T10:00Z"}} for n in range(30)])
    for name, kind, value in (("days", "DATE", "2022-04-03"), ("kinds", "VARCHAR", "2022-04-03T10:00Z")):
        got = ask(smelt, f"SELECT typeof(m) AS t, m['k0']::VARCHAR AS v FROM 'logs/{name}.json' LIMIT 1")
        assert got == [{"t": f"MAP(VARCHAR, {kind})", "v": value}]


def test_found_times_are_what_duckdb_finds(smelt, put, tmp_path):
    """Where both find a date or a time, they find the same; what is DuckDB's alone, or smelt's,
    stands in docs/sql.md."""
    import duckdb

    rows = [{kind: texts[n % 2] for kind, (texts, _) in TIMES.items() if kind != "TIMESTAMP"}
            | {f"no {n}": texts[k % len(texts)] for n, texts in enumerate(NO_TIMES[:5])}
            | {"TIMESTAMP": f"2022-04-03T{n:02}:00:00"} for k, n in enumerate(range(20))]
    put(one=rows)
    sql = "FROM 'logs/one.json'"
    connection = duckdb.connect(config={"file_search_path": str(tmp_path)})
    connection.execute("SET TimeZone = 'UTC'")
    names = list(rows[0])
    types = ", ".join(f'typeof("{name}") AS "{name}"' for name in names)
    texts = ", ".join(f'"{name}"::VARCHAR AS "{name}"' for name in names)
    for columns in (types, texts):
        want = connection.sql(f"SELECT {columns} {sql}").fetchall()
        assert [tuple(row.values()) for row in ask(smelt, f"SELECT {columns} {sql}")] == want


def test_what_was_found_is_read_as_a_cast_reads_it(smelt, put):
    """No line of a sample is refused for a type that the sample gave, and no text changes unseen."""
    rng = random.Random(7)
    pool = [text for texts, _ in TIMES.values() for text in texts] + sum(NO_TIMES, [])
    names = [f"c{n}" for n in range(300)]
    few = {name: rng.choices(pool, k=rng.randint(1, 3)) for name in names}
    few |= {name: rng.choice(list(TIMES.values()))[0] for name in names[::4]}
    rows = [{name: rng.choice(few[name]) for name in names} for _ in range(12)]
    put(one=rows)
    types = ask(smelt, f"SELECT {', '.join(f'typeof({n}) AS {n}' for n in names)} FROM 'logs/one.json' "
                "LIMIT 1")[0]
    assert set(types.values()) == set(TIMES) | {"VARCHAR"}
    found = ask(smelt, f"SELECT {', '.join(f'{n}::VARCHAR AS {n}' for n in names)} FROM 'logs/one.json'")
    texts = ", ".join(f"{n}: 'VARCHAR'" for n in names)
    casts = ", ".join(f"CAST({n} AS {types[n]})::VARCHAR AS {n}" for n in names)
    assert found == ask(smelt, f"SELECT {casts} FROM read_json('logs/one.json', columns => {{{texts}}})")


def test_declared_columns_take_what_a_cast_takes(smelt, put):
    put(one=[{"v": "2022-04-03T10:00+02:00"}, {"v": " 2022/4/3 "}, {"v": "infinity"}])
    assert ask(smelt, "SELECT v::VARCHAR AS v FROM read_json('logs/one.json', columns => {v: 'DATE'})") == [
        {"v": "2022-04-03"}, {"v": "2022-04-03"}, {"v": "infinity"}]


# ---- pipelines ------------------------------------------------------------------------------------

PIPELINE = """name: t
vars: {logs: {type: uri, default: ./logs}, lake: {type: uri, default: ./lake}}
lake: lake
sources: [{name: logs, quarantine: bad.q}]
tasks: [{load: raw.l, from: logs, sql: l.sql, by: day}]
"""


EVOLVING = PIPELINE.replace("by: day", "by: day, evolve: add")
LOAD = ("SELECT {} file_date AS day FROM read_json(var('logs'), file_date => true, "
        "bad_lines => 'quarantine', validate => 'all')")


@pytest.fixture
def load(smelt, put, tmp_path):
    """Runs a load of the files that are there, by the same SQL each time."""
    def run(select, *args, code=0, pipeline=PIPELINE, **files):
        put(**files)
        (tmp_path / "p.yaml").write_text(pipeline)
        (tmp_path / "l.sql").write_text(LOAD.format(select))
        done = smelt("run", "p.yaml", *args, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr
    return run


AT = "2022-04-03T10:00:00+02:00"


@pytest.mark.parametrize("select, row, column", [
    ("at,", lambda v: {"at": v}, "at"),
    ("s.t.at AS at, s.d,", lambda v: {"s": {"t": {"at": v}, "d": "2022-04-03"}}, "at"),
    ("s,", lambda v: {"s": {"d": "2022-04-03", "l": [{"at": v}]}}, "s"),
    ("l,", lambda v: {"l": [v], "x": "2022-04-03"}, "l"),
    ("m,", lambda v: {"m": {"k": v}}, "m"),
    ("* EXCLUDE (file_date),", lambda v: {"id": 1, "d": "2022-04-03", "at": v}, "at"),
])
def test_a_table_that_has_text_keeps_it(smelt, load, select, row, column):
    """The first day had other text there, the second only timestamps."""
    load(select, **{"20240101": [row(AT), row("n/a")]})
    load(select, **{"20240102": [row(AT), row("2022-04-03"), row("2022-04-03")]})
    load(select, **{"20240103": [row(AT)]})
    rows = ask(smelt, f"SELECT {column}::VARCHAR AS v FROM raw.l ORDER BY day")
    assert sum(AT in r["v"] for r in rows) == 3 and len(rows) == 6
    assert "TIMESTAMP" not in ask(smelt, f"SELECT typeof({column}) AS t FROM raw.l LIMIT 1")[0]["t"]
    if "d" in select.split(".")[-1] or column == "s":  # what was a date is one still
        d = {"s": "s.d"}.get(column, "d")
        assert {r["t"] for r in ask(smelt, f"SELECT typeof({d}) AS t FROM raw.l")} == {"DATE"}
    load(select, "--full-refresh", "raw.l", **{"20240101": [row(AT)], "20240102": [row(AT)]})
    assert "TIMESTAMP" in ask(smelt, f"SELECT typeof({column}) AS t FROM raw.l LIMIT 1")[0]["t"]


def test_loads_of_several_sources_keep_text_too(smelt, put, tmp_path):
    """A source that another task reads is open by then."""
    (tmp_path / "p.yaml").write_text(
        "name: t\nvars: {logs: {type: uri, default: ./logs}, more: {type: uri, default: ./more}, "
        "lake: {type: uri, default: ./lake}}\nlake: lake\nsources: [{name: logs, quarantine: bad.q}, "
        "{name: more, quarantine: bad.m}]\ntasks: [{load: raw.l, from: logs, sql: logs.sql, by: day}, "
        "{load: raw.m, from: more, sql: more.sql, by: day}]\n")
    (tmp_path / "logs.sql").write_text(LOAD.format("at,"))
    (tmp_path / "more.sql").write_text(LOAD.format("at,").replace("'logs'", "'more'"))
    (tmp_path / "more").mkdir()
    for day, values in (("20240101", [AT, "n/a"]), ("20240102", [AT])):
        put(**{day: [{"at": value} for value in values]})
        (tmp_path / "more" / f"{day}.json").write_bytes((tmp_path / "logs" / f"{day}.json").read_bytes())
        done = smelt("run", "p.yaml", check=False)
        assert done.returncode == 0, done.stderr
    for table in ("raw.l", "raw.m"):
        assert ask(smelt, f"SELECT at FROM {table} ORDER BY at") == [{"at": AT}, {"at": AT}, {"at": "n/a"}]


def test_a_day_of_nothing_but_null_takes_the_types_of_the_table(smelt, load):
    full = {"d": "2022-04-03", "n": 1, "s": {"a": {"t": AT}, "b": True}, "l": [1.5], "m": ["2022-04-03"]}
    load("* EXCLUDE (file_date),", **{"20240101": [full]})
    load("* EXCLUDE (file_date),", **{
        "20240102": [{"d": None, "n": None, "s": {"a": None, "b": None}, "l": [], "m": None}]})
    load("* EXCLUDE (file_date),", **{"20240103": [full | {"s": None, "d": None, "l": [None]}]})
    types = ask(smelt, "SELECT typeof(d) AS d, typeof(n) AS n, typeof(s) AS s, typeof(l) AS l, typeof(m) "
                "AS m, count(*) AS rows FROM raw.l GROUP BY ALL")
    assert types == [{"d": "DATE", "n": "BIGINT", "s": "STRUCT(a STRUCT(t TIMESTAMP WITH TIME ZONE), b "
                      "BOOLEAN)", "l": "DOUBLE[]", "m": "DATE[]", "rows": 3}]


@pytest.mark.parametrize("value, is_as", [("n/a", "VARCHAR"), (AT, "TIMESTAMP WITH TIME ZONE")])
def test_a_table_that_has_dates_takes_no_other_kind(smelt, load, value, is_as):
    load("d,", **{"20240101": [{"d": "2022-04-03"}]})
    told = load("d,", code=1, **{"20240102": [{"d": value}]})
    assert f'column "d" is DATE in the table and {is_as} here' in told
    assert "columns => {…} of read_json declares it; --full-refresh raw.l loads all files again." in told
    assert ask(smelt, "SELECT d::VARCHAR AS d FROM raw.l") == [{"d": "2022-04-03"}]


def test_dates_behind_the_sample_of_a_load_are_quarantined(smelt, load, tmp_path):
    load("d,", **{"20240101": [{"d": "2022-04-03"}] * 20480 + [{"d": AT}, {"d": ""}]})
    assert ask(smelt, "SELECT typeof(d) AS t, count(*) AS n FROM raw.l GROUP BY ALL") == [
        {"t": "DATE", "n": 20480}]
    refused = ask(smelt, 'SELECT "column" AS c, reason, message FROM bad.q ORDER BY line')
    assert refused == [{"c": "d", "reason": "type_mismatch", "message": m} for m in
                       (f'"{AT}" cannot be read as DATE at byte 7', '"" cannot be read as DATE at byte 7')]


@pytest.mark.parametrize("columns, code", [("columns => {id: 'BIGINT'}, ", 0), ("sample_size => 1, ", 1),
                                           ("sample_size => 1, unknown => 'ignore', ", 0)])
def test_a_pipeline_counts_keys_of_declared_columns_and_fails_at_found_ones(smelt, put, tmp_path,
                                                                            columns, code):
    put(**{"20240101": [{"id": 1}, {"id": 2, "extra": "x"}]})
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "l.sql").write_text(
        f"SELECT id, file_date AS day FROM read_json(var('logs'), {columns}file_date => true, "
        "bad_lines => 'quarantine', validate => 'all')")
    done = smelt("run", "p.yaml", "--json", check=False)
    assert done.returncode == code, done.stderr
    if code == 0:
        assert json.loads(done.stdout)["unknown"] == {"lines": 1, "paths": {"extra": 1}}
    else:
        assert 'key "extra" is not among the columns' in done.stderr
        assert not (tmp_path / "lake/raw/l/_delta_log").exists()


# ---- days that differ from those before -----------------------------------------------------------

ALL = "* EXCLUDE (file_date),"
FULL = {"id": 1, "x": 1.5, "t": "a", "d": "2022-04-03", "at": AT, "ok": True, "big": 2**63,
        "s": {"a": 1, "l": [1.5], "e": {"u": "x"}}, "l": [{"k": 1, "m": 2.5}], "odd name": 1,
        "STRUCT": {"q\"q": 1, "": 3, "DATE": "x"}, "m": {f"u{n}": 1 for n in range(200)}}


def rows_of(smelt, what="*"):
    return ask(smelt, f"SELECT {what} FROM raw.l")


@pytest.mark.parametrize("day", [
    [], [""], ["", "  "], ["no JSON"], ["no JSON", '{"id":'], [{}], [{"id": 7}], [{"x": 2}],
    [{"t": 5}, {"t": True}, {"t": 1.25}], [{"s": {"l": [2]}}], [{"s": {"e": {}}, "l": []}],
    [{"l": [{"m": 3}]}, {"s": None, "m": {"u5": 2}}], [{"m": {"u5": None, "other": 1}}],
    [{"big": 5}, {"x": 1, "STRUCT": {"DATE": "2022-04-03"}}], [{"s": {"e": {"u": 5}, "a": None}}],
])
def test_a_day_may_lack_what_the_table_has(smelt, load, put, day):
    load(ALL, **{"20240101": [FULL]})
    before, types = rows_of(smelt)[0], rows_of(smelt, ", ".join(f'typeof("{c}")' for c in FULL))
    load(ALL, **{"20240102": day})
    rows = [row for row in rows_of(smelt) if row != before]
    good = [row for row in day if isinstance(row, dict)]
    assert len(rows) == len(good) and before in rows_of(smelt)
    assert rows_of(smelt, "DISTINCT " + ", ".join(f'typeof("{c}")' for c in FULL)) == types
    for row in good:
        assert any(all(holds(was[c], row[c]) if c in row else was[c] is None for c in FULL)
                   for was in rows), (row, rows)
    refused = [line for line in day if isinstance(line, str) and line.strip()]
    assert len(ask(smelt, "FROM bad.q") if refused else []) == len(refused)
    assert "0 quarantined" in load(ALL)  # the same run again finds nothing new


def holds(was, value):
    """Is the value in the row, where objects may have more keys, and texts are of any scalar?"""
    if isinstance(value, dict) and isinstance(was, dict):
        return all(holds(was.get(k), v) for k, v in value.items())
    if isinstance(value, list) and isinstance(was, list):
        return len(was) == len(value) and all(map(holds, was, value))
    if isinstance(was, str) and not isinstance(value, str):
        return was == json.dumps(value)
    return was == value or value == {} and (was is None or not any(was.values()))


@pytest.mark.parametrize("select", ["x, upper(t) AS t, s.a + 1 AS a,", "s, m,", "s.e.u AS u, ok,"])
@pytest.mark.parametrize("day", [[], ["no JSON"], [{}], [{"id": 2}], [{"t": "b"}]])
def test_columns_by_name_that_no_new_line_has(smelt, load, select, day):
    load(select, **{"20240101": [FULL]})
    load(select, **{"20240102": day})
    assert len(rows_of(smelt)) == 1 + sum(isinstance(row, dict) for row in day)
    load(select, **{"20240103": [FULL]})
    days = ask(smelt, "SELECT * EXCLUDE (day) FROM raw.l WHERE day <> '2024-01-02'")
    assert len(days) == 2 and days[0] == days[1]


@pytest.mark.parametrize("name, data", [("20240102.json.gz", gzip.compress(b"")), ("20240102.json", b""),
                                        ("20240102.json", b"\xef\xbb\xbf"), ("20240102.json", b"\n\n"),
                                        ("20240102.json", b"\xef\xbb\xbf\n")])
def test_a_file_of_nothing(smelt, load, tmp_path, name, data):
    load(ALL, **{"20240101": [FULL]})
    (tmp_path / "logs" / name).write_bytes(data)
    assert " read = 0 kept + 0 quarantined" in load(ALL)
    assert len(rows_of(smelt)) == 1
    assert "2 unchanged and skipped" in load(ALL)
    (tmp_path / "logs/20240101.json").rename(tmp_path / "logs/other_20240101.json")
    load(ALL)
    assert len(rows_of(smelt)) == 1


def test_the_first_load_needs_a_line(smelt, load, tmp_path):
    told = load(ALL, code=1, **{"20240101": []})
    assert 'no columns: "./logs/20240101.json" is empty' in told and "columns => {name: 'TYPE', …}" in told
    told = load(ALL, code=1, **{"20240101": ["no JSON"]})
    assert "at ./logs/20240101.json:1:2" in told and "or declare the columns" in told
    assert not (tmp_path / "lake/raw").exists()


@pytest.mark.parametrize("first, then, where, was, now", [
    ({"v": 1}, {"v": 1.5}, "v", "BIGINT", "DOUBLE"),
    ({"v": 1}, {"v": "x"}, "v", "BIGINT", "VARCHAR"),
    ({"v": 1}, {"v": 2**64}, "v", "BIGINT", "DECIMAL(38,0)"),
    ({"v": "2022-04-03"}, {"v": "x"}, "v", "DATE", "VARCHAR"),
    ({"v": AT}, {"v": "2022-04-03"}, "v", "TIMESTAMP WITH TIME ZONE", "DATE"),
    ({"v": True}, {"v": 1}, "v", "BOOLEAN", "BIGINT"),
    ({"v": 1}, {"v": [1]}, "v", "BIGINT", "BIGINT[]"),
    ({"v": [1]}, {"v": 1}, "v", "BIGINT[]", "BIGINT"),
    ({"v": "x"}, {"v": {"a": 1}}, "v", "VARCHAR", "STRUCT(a BIGINT)"),
    ({"v": {"a": 1}}, {"v": "x"}, "v", "STRUCT(a BIGINT)", "VARCHAR"),
    ({"v": {"a": 1, "b": 2}}, {"v": {"b": 2.5}}, "v.b", "BIGINT", "DOUBLE"),
    ({"v": {"a": [{"b": 2}]}}, {"v": {"a": [{"b": "x"}], "c": 1}}, "v.a.b", "BIGINT", "VARCHAR"),
    ({"v": [1]}, {"v": ["x"]}, "v", "BIGINT[]", "VARCHAR[]"),
])
def test_another_type_stops_the_load_and_is_told_with_its_file(smelt, load, first, then, where, was, now):
    load("v,", **{"20240101": [first]})
    told = load("v,", code=1, **{"20240102": [""], "20240103": ["", then, "no JSON"], "20240104": []})
    assert f'column "{where}" is {was} in the table and {now} here' in told, told
    assert "  at ./logs/20240103.json\n" in told
    assert "--full-refresh raw.l loads all files again" in told
    assert len(rows_of(smelt)) == 1
    load("v,", "--full-refresh", "raw.l")
    seen = len(rows_of(smelt)) + len(ask(smelt, "FROM bad.q WHERE reason = 'type_mismatch'"))
    assert seen == 2  # where the kinds cannot be one column, lines of one of them are in the quarantine


@pytest.mark.parametrize("evolve", [True, False])
def test_new_keys_come_under_the_policy_of_the_table(smelt, load, evolve):
    load = functools.partial(load, pipeline=EVOLVING if evolve else PIPELINE)
    load(ALL, **{"20240101": [{"a": 1, "b": 1}]})
    told = load(ALL, code=not evolve, **{"20240102": [{"b": 2, "c": "x"}, {"d": 1.5}]})
    if not evolve:
        assert 'column "c" is not in the table' in told and "evolve: add" in told
        load(ALL, "--full-refresh", "raw.l", **{"20240102": [{"s": {"a": 2**63}}]})
        told = load(ALL, code=1, **{"20240103": [{"s": {"b": 1}}]})
        assert 'column "s.b" is not in the table\n  at ./logs/20240103.json\n' in told
        assert "  evolve: add on the task adds columns; --full-refresh raw.l" in told
        return
    load(ALL, **{"20240103": [{"c": "2022-04-03"}], "20240104": []})
    assert [[row[c] for c in "abcd"] for row in ask(smelt, "FROM raw.l ORDER BY day, d")] == [
        [1, 1, None, None], [None, None, None, 1.5], [None, 2, "x", None], [None, None, "2022-04-03", None]]


def test_an_object_stays_what_it_was(smelt, load):
    """A day of few keys would be a STRUCT, one where each line has another key would be a MAP."""
    wide = {f"k{n}": n for n in range(20)}
    load(ALL, **{"20240101": [{"s": wide, "m": {f"u{n}": n for n in range(200)}}]})
    load(ALL, **{"20240102": [{"s": {f"k{n}": n}, "m": {"u1": n}} for n in range(20)]})
    load(ALL, **{"20240103": [{"s": {}, "m": {}}, {"s": {"k1": None}, "m": {"new": None}}]})
    types = ask(smelt, "SELECT DISTINCT left(typeof(s), 6) AS s, typeof(m) AS m FROM raw.l")
    assert types == [{"s": "STRUCT", "m": "MAP(VARCHAR, BIGINT)"}]
    assert ask(smelt, "SELECT sum(s.k7) AS k, sum(m['u1']) AS u FROM raw.l") == [{"k": 14, "u": 191}]


def test_a_key_in_other_letters(smelt, load):
    """`city` in the SQL means City where the files have only that."""
    load("city AS city,", **{"20240101": [{"city": "Hue"}]})
    load("city AS city,", **{"20240102": [{"City": "Hanoi"}]})
    load("city AS city,", **{"20240103": [{"city": "Rome"}]})
    load("city AS city,", **{"20240104": [{"city": "Oslo", "City": "no"}]})
    assert [row["city"] for row in ask(smelt, "FROM raw.l ORDER BY day")] == ["Hue", "Hanoi", "Rome", "Oslo"]


def test_what_is_known_goes_with_the_rows(smelt, load, put, tmp_path):
    """After a RESTORE it is what it was then; a full refresh finds all anew; a new folder has it too."""
    load("x, y,", **{"20240101": [{"x": 1, "y": 1}]})
    load("x, y,", **{"20240102": [{"x": None}]})
    smelt("table", "restore", "lake/raw/l", "--version", "0")
    load("x, y,", **{"20240103": [{"y": 2}]})
    assert len(rows_of(smelt)) == 3
    put(**{"20240101": [{"x": 1.5, "y": "a"}], "20240103": [{"y": "b"}]})
    load("x, y,", "--full-refresh", "raw.l")
    assert rows_of(smelt, "DISTINCT typeof(x) AS x, typeof(y) AS y") == [{"x": "DOUBLE", "y": "VARCHAR"}]
    (tmp_path / "more").mkdir()
    (tmp_path / "more/20240105.json").write_text('{"x":2}\n')
    load("x, y,", "--var", "logs=./more", "--other-root")
    assert rows_of(smelt, "sum(x) AS x, count(*) AS n") == [{"x": 3.5, "n": 4}]


@pytest.mark.parametrize("mode", ["none", "name"])
def test_new_keys_of_objects_come_under_the_policy_too(smelt, load, tmp_path, mode):
    """Also where rows of files from before are written anew, and with column mapping."""
    load = functools.partial(load, pipeline=EVOLVING)
    first = {"s": {"a": 1}, "l": [{"a": 1}], "m": {f"u{n}": {"a": 1} for n in range(200)}, "n": 1}
    load(ALL, **{"20240101": [first], "20240102": [first, {"n": 2}]})
    if mode == "name":
        smelt("table", "alter", "lake/raw/l", "SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    smelt("table", "optimize", "lake/raw/l")
    then = {"s": {"b": {"c": "x"}, "a": 2}, "l": [{"b": 2}, {}], "m": {"u1": {"b": 2}}}
    load(ALL, **{"20240102": [first], "20240103": [then]})
    assert rows_of(smelt, "s, l, m['u1'] AS u, n") == [
        {"s": {"a": 1, "b": None}, "l": [{"a": 1, "b": None}], "u": {"a": 1, "b": None}, "n": 1},
        {"s": {"a": 1, "b": None}, "l": [{"a": 1, "b": None}], "u": {"a": 1, "b": None}, "n": 1},
        {"s": {"a": 2, "b": {"c": "x"}}, "l": [{"a": None, "b": 2}, {"a": None, "b": None}],
         "u": {"a": None, "b": 2}, "n": None}]
    import duckdb
    import deltalake
    table = deltalake.DeltaTable(str(tmp_path / "lake/raw/l"))
    assert [f.name for f in table.schema().fields][-2:] == ["n", "day"]
    if mode == "none":  # delta-rs does not read mapped columns of all versions
        rows = duckdb.from_arrow(table.to_pyarrow_table()).project("s.a, s.b.c").fetchall()
        assert sorted(rows) == [(1, None), (1, None), (2, "x")]


TABLES = PIPELINE.replace("lake: {type", "day: {type: date}, lake: {type").replace(
    "tasks: [{load: raw.l, from: logs, sql: l.sql, by: day}]", "tasks: [{task}]")


@pytest.mark.parametrize("task", [
    "append: day", "replace: day", "merge: {key: id}", "scd2: {key: id}",
    "partition_by: day, overwrite: partitions"])
def test_rows_of_files_that_are_added_to_a_table(smelt, tmp_path, task):
    """Their types are those of the table, where these hold all values of the day."""
    sql = ("SELECT id, x, t, s, var('day') AS day FROM read_json(var('logs'), file_date => true, bad_lines => "
           "'quarantine') WHERE file_date = var('day')")

    def run(day, row, code=0):
        (tmp_path / "logs").mkdir(exist_ok=True)
        for file in (tmp_path / "logs").glob("*"):
            file.unlink()
        (tmp_path / "p.yaml").write_text(TABLES.replace("{task}", f"{{table: raw.l, sql: l.sql, {task}}}"))
        (tmp_path / "l.sql").write_text(sql)
        (tmp_path / f"logs/{day.replace('-', '')}.json").write_text(json.dumps(row) + "\n")
        done = smelt("run", "p.yaml", "--date", day, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    rows = [{"id": 1, "x": 1.5, "t": "a", "s": {"a": "x", "b": 0.5}},
            {"id": 2, "x": 2, "t": "2024-01-01", "s": {"b": 1}},
            {"id": 3, "x": None, "t": AT, "s": {"a": "2024-01-01", "b": None}}]
    for i, row in enumerate(rows):
        run(f"2024-01-0{i + 1}", row)
    want = [row | {"s": {"a": None} | row["s"]} for row in rows]
    assert sorted(ask(smelt, "SELECT id, x, t, s FROM raw.l"), key=lambda row: row["id"]) == want
    told = run("2024-01-04", rows[0] | {"id": 4, "t": ["a"]}, code=1)
    assert 'column "t" is VARCHAR in the table and VARCHAR[] here\n  at ./logs/20240104.json\n' in told
    assert "--full-refresh raw.l" in told and len(rows_of(smelt)) == 3
