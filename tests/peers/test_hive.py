"""Columns from the names of folders (k=7): what smelt and DuckDB find, with their types, and what
differs on purpose."""

import pytest

duckdb = pytest.importorskip("duckdb")


@pytest.fixture
def layout(tmp_path):
    """layout("h/k=7/a.parquet", "SELECT 1 AS a"): writes files; gives the connection, in the folder."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                        "file_search_path": str(tmp_path)})
    connection.execute("SET TimeZone = 'UTC'")

    def write(*paths, sql="SELECT 1 AS a"):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            form = "json" if path.endswith("json") else "parquet"
            connection.execute(f"COPY ({sql}) TO '{tmp_path / path}' (FORMAT {form})")
        return connection
    return write


def rows_of(connection, sql):
    relation = connection.sql(sql)
    names = ", ".join(f"{c}::VARCHAR AS {c}, typeof({c}) AS t_{c}" for c in
                      (f'"{n}"' if not n.isidentifier() else n for n in relation.columns))
    return [dict(zip([*connection.sql(f"SELECT {names} FROM ({sql})").columns], row))
            for row in connection.sql(f"SELECT {names} FROM ({sql})").fetchall()]


def shown(smelt, sql, columns):
    items = ", ".join(f"{c}::VARCHAR AS {c}, typeof({c}) AS t_{c}" for c in columns)
    return smelt.sql(f"SELECT {items} FROM ({sql}) AS t")


SAME = {
    "one file": (["h/k=7/a.parquet"], "h/k=7/a.parquet"),
    "numbers": (["h/k=7/a.parquet", "h/k=-8/b.parquet"], "h/*/*.parquet"),
    "two keys, by name": (["h/z=1/b=x/a.parquet", "h/z=2/b=y/a.parquet"], "h/*/*/*.parquet"),
    "other order of folders": (["h/j=1/k=2/a.parquet", "h/k=3/j=4/a.parquet"], "h/*/*/*.parquet"),
    "dates": (["h/d=2022-04-01/a.parquet", "h/d=2022-4-2/a.parquet"], "h/*/*.parquet"),
    "timestamps": (["h/t=2022-04-01 10:00:00/a.parquet", "h/t=2022-04-02T11:30/a.parquet"], "h/*/*.parquet"),
    "a date and a number": (["h/d=2022-04-01/a.parquet", "h/d=7/a.parquet"], "h/*/*.parquet"),
    "zeros before": (["h/k=01/a.parquet", "h/k=2/a.parquet"], "h/*/*.parquet"),
    "a plus": (["h/k=+5/a.parquet"], "h/*/*.parquet"),
    "beyond BIGINT": (["h/k=9223372036854775808/a.parquet"], "h/*/*.parquet"),
    "a fraction": (["h/k=1.5/a.parquet"], "h/*/*.parquet"),
    "an exponent": (["h/k=1e3/a.parquet"], "h/*/*.parquet"),
    "a boolean": (["h/k=true/a.parquet"], "h/*/*.parquet"),
    "empty": (["h/k=/a.parquet"], "h/*/*.parquet"),
    "escapes": (["h/k=a%20b/a.parquet", "h/k=c%2Fd/a.parquet", "h/k=100%/a.parquet"], "h/*/*.parquet"),
    "the default partition": (["h/k=__HIVE_DEFAULT_PARTITION__/a.parquet", "h/k=5/a.parquet"], "h/*/*.parquet"),
    "twice": (["h/k=1/k=2/a.parquet"], "h/*/*/*.parquet"),
    "no name": (["h/=1/a.parquet"], "h/*/*.parquet"),
    "two signs": (["h/x=b=c/a.parquet"], "h/*/*.parquet"),
    "not in all": (["h/k=1/a.parquet", "h/x/a.parquet"], "h/*/*.parquet"),
    "others": (["h/k=1/a.parquet", "h/j=1/a.parquet"], "h/*/*.parquet"),
    "a file with a sign": (["h/k=1/b=2.parquet"], "h/*/*.parquet"),
    "a folder like a file": (["h/a.parquet/k=1/b.parquet"], "h/*/*/*.parquet"),
    "json": (["h/k=7/a.json", "h/k=8/b.json"], "h/*/*.json"),
}


@pytest.mark.parametrize("name", SAME)
def test_as_duckdb(smelt, layout, name):
    paths, glob = SAME[name]
    connection = layout(*paths)
    columns = connection.sql(f"SELECT * FROM '{glob}'").columns
    key = lambda row: str(sorted(row.items(), key=str))  # noqa: E731
    got = shown(smelt, f"SELECT * FROM '{glob}'", columns)
    wanted = rows_of(connection, f"SELECT * FROM '{glob}'")
    for row in [*got, *wanted]:
        row["t_a"] = "INTEGER or BIGINT"  # JSON's numbers are BIGINT in both, Parquet's what they are
    assert sorted(got, key=key) == sorted(wanted, key=key)
    assert list(smelt.sql(f"SELECT * FROM '{glob}'")[0]) == columns


def test_filters_open_only_their_files(smelt, layout, tmp_path):
    layout("h/d=2022-04-01/a.parquet", "h/d=2022-04-02/a.parquet")
    (tmp_path / "h/d=2022-04-03").mkdir()
    (tmp_path / "h/d=2022-04-03/a.parquet").write_bytes(b"no Parquet at all")
    assert smelt("sql", "SELECT a FROM 'h/*/*.parquet'", check=False).returncode == 1
    for where, n in [("d = '2022-04-01'", 1), ("d < DATE '2022-04-03'", 2), ("d IN ('2022-04-02')", 1),
                     ("d BETWEEN '2022-04-01' AND '2022-04-02' AND a = 1", 2)]:
        assert smelt.sql(f"SELECT count(*) AS n FROM 'h/*/*.parquet' WHERE {where}") == [{"n": n}], where


def test_the_option(smelt, layout):
    layout("h/k=7/a.parquet", "h/k=8/a.parquet", "g/k=1/a.json", "x/a.parquet")
    assert smelt.sql("SELECT * FROM read_parquet('h/*/*.parquet', hive_partitioning => false)") == [{"a": 1}, {"a": 1}]
    assert smelt.sql("SELECT * FROM read_json('g/*/*.json', columns => {a: 'BIGINT'})") == [{"a": 1, "k": 1}]
    assert smelt.sql("SELECT * FROM read_json('g/*/*.json', columns => {a: 'BIGINT'}, hive_partitioning => false)") \
        == [{"a": 1}]
    rows = smelt.sql("SELECT * FROM read_parquet('h/*/*.parquet', filename => true)")
    assert list(rows[0]) == ["a", "filename", "k"]
    done = smelt("sql", "SELECT * FROM read_parquet(['h/k=7/a.parquet', 'x/a.parquet'], hive_partitioning => true)",
                 check=False)
    assert done.returncode == 1 and "have other keys than" in done.stderr
    assert smelt.sql("SELECT * FROM read_parquet('x/a.parquet', hive_partitioning => true)") == [{"a": 1}]


def test_a_column_of_the_files_counts_unless_folders_are_asked_for(smelt, layout):
    """DuckDB takes the folder's value always; here nothing that stands in a file is lost unasked."""
    layout("h/k=7/a.parquet", "h/k=8/a.parquet", "j/k=7/a.json", sql="SELECT 99 AS k, 1 AS a")
    assert smelt.sql("SELECT * FROM 'h/*/*.parquet'") == [{"k": 99, "a": 1}] * 2
    assert smelt.sql("SELECT k, a FROM read_parquet('h/*/*.parquet', hive_partitioning => true)") == [
        {"k": 7, "a": 1}, {"k": 8, "a": 1}]
    declared = "columns => {k: 'VARCHAR', a: 'BIGINT'}"
    assert smelt.sql(f"SELECT k FROM read_json('j/*/*.json', {declared})") == [{"k": "99"}]
    assert smelt.sql(f"SELECT k, a FROM read_json('j/*/*.json', {declared}, hive_partitioning => true)") == [
        {"k": "7", "a": 1}]
    done = smelt("sql", "SELECT k FROM read_json('j/*/*.json', columns => {k: 'DATE'}, hive_partitioning => true)",
                 check=False)
    assert done.returncode == 1 and '"7" is not a DATE' in done.stderr


def test_words_for_times_stay_words(smelt, layout):
    layout("h/k=inf/a.parquet", "h/k=epoch/a.parquet")
    assert shown(smelt, "SELECT * FROM 'h/*/*.parquet'", ["k"]) == [
        {"k": "epoch", "t_k": "VARCHAR"}, {"k": "inf", "t_k": "VARCHAR"}]


def test_too_many_keys(smelt, layout):
    path = "/".join(f"k{n}={n}" for n in range(40)) + "/a.parquet"
    layout(path)
    done = smelt("sql", f"SELECT * FROM '{path}'", check=False)
    assert done.returncode == 1 and "more than 32 keys in" in done.stderr
    assert smelt.sql(f"SELECT * FROM read_parquet('{path}', hive_partitioning => false)") == [{"a": 1}]
