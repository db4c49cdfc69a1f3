"""`unique` over many rows: what `smelt check` counts and shows is what DuckDB finds by grouping, whether no key, few
keys, half of them or all come again; for each kind of key, in files by DuckDB (dictionaries) and by smelt; in the least
memory too, where the keys' hashes take several scans, and at any number of threads.
"""
import itertools
import json

import duckdb
import pytest

ROWS = 200_000
KEYS = {  # kind: (type in SQL, the key of number k)
    "BIGINT": "k * 7919", "VARCHAR": "md5(k::VARCHAR)", "short": "'k' || k", "DOUBLE": "k / 8.0",
    "DECIMAL(12,2)": "(k / 4)::DECIMAL(12,2)", "TIMESTAMP": "TIMESTAMP '2022-04-01' + to_seconds(k)",
}
REPEATS = {  # which number the key of row n is of
    "none": "n", "one": f"CASE WHEN n = {ROWS - 1} THEN 5 ELSE n END",
    "few": "CASE WHEN n % 500 = 499 THEN n - 400 ELSE n END",
    "half": f"n % {ROWS // 2}", "runs": "n // 3", "all": "n * 0",
}


def make(folder, name, key, number, n_rows=ROWS):
    """A Parquet file of column n, c (the key, NULL in some rows) and d, a second column of the key."""
    path = folder / name
    duckdb.execute(f"COPY (SELECT n, CASE WHEN n % 97 = 3 THEN NULL ELSE {key} END AS c, (k % 5)::INTEGER AS d FROM "
                   f"(SELECT range AS n, {number} AS k FROM range({n_rows})) ORDER BY n) TO '{path}'")
    return path


def wanted(path, columns):
    """Broken rows, and the first ten keys with their number of rows, in the order of their first rows."""
    keys = ", ".join(columns)
    present = " AND ".join(f"{c} IS NOT NULL" for c in columns)
    db = duckdb.connect()
    db.execute(f"CREATE TABLE g AS SELECT {keys}, count(*) AS k, min(n) AS first FROM '{path}' "
               f"WHERE {present} GROUP BY {keys} HAVING count(*) > 1")
    counts = db.execute("SELECT k FROM g ORDER BY first LIMIT 10").fetchall()
    firsts = db.execute(f"SELECT {keys} FROM '{path}' WHERE n IN (SELECT first FROM g ORDER BY first LIMIT 10) "
                        "ORDER BY n").fetchall()
    (n_broken,) = db.execute("SELECT coalesce(sum(k - 1), 0)::BIGINT FROM g").fetchone()
    return n_broken, firsts, [k for (k,) in counts]


def check(smelt, path, columns, *args):
    """Broken rows and the examples."""
    arguments = "{properties: [" + ", ".join(columns) + "]}"
    (smelt.cwd / "c.yaml").write_text(
        "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n"
        "  - name: t\n    properties: [{name: c}, {name: d}]\n"
        f"    quality: [{{metric: duplicateValues, arguments: {arguments}, mustBe: 0}}]\n")
    done = smelt("check", "c.yaml", path, "--json", *args, check=False, timeout=900)
    assert done.returncode in (0, 3), done.stderr
    (rule,) = json.loads(done.stdout)["contracts"]
    assert done.returncode == (3 if rule["violations"] else 0)
    return rule["violations"], rule["examples"]


def as_shown(value):
    """A value of DuckDB as an example in JSON has it."""
    if isinstance(value, (int, float, str)):
        return value
    return float(value) if "Decimal" in type(value).__name__ else f"{value:%Y-%m-%d %H:%M:%S}"


def same(smelt, path, columns, rows, *args):
    n_broken, firsts, counts = wanted(path, columns)
    violations, examples = check(smelt, rows, columns, *args)
    assert violations == n_broken
    assert [example["count(*)"] for example in examples] == counts
    assert [[example[c] for c in columns] for example in examples] == [list(map(as_shown, row)) for row in firsts]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("repeats", REPEATS)
def test_what_duckdb_finds(smelt, tmp_path, kind, repeats):
    path = make(tmp_path, "t.parquet", KEYS[kind], REPEATS[repeats])
    same(smelt, path, ["c"], path)


@pytest.mark.parametrize("repeats", REPEATS)
def test_two_columns_of_a_table(smelt, tmp_path, repeats):
    path = make(tmp_path, "t.parquet", KEYS["VARCHAR"], REPEATS[repeats])
    smelt("sql", "--write", f"CREATE TABLE 'table' AS SELECT * FROM '{path}'")
    same(smelt, path, ["c", "d"], "table")


def test_the_answer_does_not_depend_on_threads_and_memory(smelt, tmp_path):
    path = make(tmp_path, "t.parquet", KEYS["VARCHAR"], REPEATS["few"])
    answers = [check(smelt, path, ["c", "d"], "--threads", threads, "--memory-limit", limit)
               for threads, limit in itertools.product((1, 2, 4), ("96MB", "1GB"))]
    assert answers[0][0] > 0 and all(answer == answers[0] for answer in answers)


@pytest.mark.soak
@pytest.mark.parametrize("repeats", ["none", "few", "half"])
def test_more_hashes_than_memory(smelt, tmp_path, repeats):
    """20,000,000 rows within 96 MB: several scans."""
    n_rows = 20_000_000
    number = REPEATS[repeats].replace(str(ROWS // 2), str(n_rows // 2))
    path = make(tmp_path, "t.parquet", KEYS["BIGINT"], number, n_rows)
    same(smelt, path, ["c"], path, "--memory-limit", "96MB")
