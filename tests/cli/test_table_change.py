"""`smelt table delete`, `update` and `merge`: one table by its folder, options in place of SQL."""
import json

import pytest


@pytest.fixture
def table(smelt, tmp_path):
    smelt("sql", "--write", f"CREATE TABLE '{tmp_path}/it''s' AS SELECT * FROM (VALUES (1, 'a', 10), "
                            "(2, 'b', 20), (3, NULL, 30)) v(id, \"the name\", n)")
    return tmp_path / "it's"


def rows(smelt, table):
    path = str(table).replace("'", "''")
    return [tuple(row.values()) for row in smelt.sql(f"FROM '{path}' ORDER BY ALL")]


def test_delete(smelt, table):
    smelt("table", "delete", table, "--where", "n > 10 AND \"the name\" IS NOT NULL")
    assert rows(smelt, table) == [(1, "a", 10), (3, None, 30)]
    answer = smelt.json("table", "delete", table, "--where", "n = 77", "--json")
    assert (answer["statement"], answer["version"], answer["rows"]["deleted"]) == ("DELETE", None, 0)
    smelt("table", "delete", table, "--where", "true")
    assert rows(smelt, table) == []


def test_a_file_without_rows(smelt, tmp_path):
    """An update leaves it as it is. Of a delete it goes, and no row does."""
    (tmp_path / "t").mkdir()
    smelt("sql", "SELECT 1 AS id WHERE false", "-o", tmp_path / "t" / "none.parquet")
    smelt("table", "convert", tmp_path / "t")
    for where in ("true", "id = 1", "id IS NULL"):
        answer = smelt.json("table", "update", tmp_path / "t", "--set", "id = 7", "--where", where, "--json")
        assert (answer["version"], answer["rows"]["updated"]) == (None, 0)
    merge = f"MERGE INTO '{tmp_path / 't'}' AS t USING (SELECT 1 AS id) AS x ON t.id = x.id WHEN {{}}"
    for clause in ("MATCHED THEN DELETE", "MATCHED THEN UPDATE SET id = 7",
                   "NOT MATCHED BY SOURCE THEN UPDATE SET id = 7", "NOT MATCHED BY SOURCE THEN DELETE"):
        done = smelt("sql", "--write", merge.format(clause))
        assert done.stdout.startswith("nothing changed") or done.stderr.startswith("nothing changed"), clause
    smelt("table", "optimize", tmp_path / "t")
    assert len(list((tmp_path / "t" / "_delta_log").glob("*.json"))) == 1
    done = smelt("table", "delete", tmp_path / "t", "--where", "true")
    assert done.stdout == f"no rows: version 1 of {tmp_path / 't'}\n"


def test_update(smelt, table):
    answer = smelt.json("table", "update", table, "--set", "n = n + id, \"the name\" = 'x'",
                        "--where", "id <> 2", "--json")
    assert answer["rows"] == {"inserted": 0, "updated": 2, "deleted": 0}
    assert rows(smelt, table) == [(1, "x", 11), (2, "b", 20), (3, "x", 33)]


def test_merge(smelt, table, tmp_path):
    """By a query, a file, a table, and a key of two columns."""
    smelt("table", "merge", table, "--using", "SELECT 2 AS id, 'B' AS \"the name\", 21 AS n", "--on", "id")
    assert rows(smelt, table) == [(1, "a", 10), (2, "B", 21), (3, None, 30)]
    with open(tmp_path / "new.ndjson", "w", encoding="utf-8") as out:
        for row in ({"id": 1, "the name": "A", "n": 11}, {"id": 4, "the name": "d", "n": 40}):
            out.write(json.dumps(row) + "\n")
    smelt("table", "merge", table, "--using", tmp_path / "new.ndjson", "--on", "id")
    assert rows(smelt, table) == [(1, "A", 11), (2, "B", 21), (3, None, 30), (4, "d", 40)]
    smelt("table", "merge", table, "--using", table, "--on", "id,the name")  # NULL is no key
    assert rows(smelt, table) == [(1, "A", 11), (2, "B", 21), (3, None, 30), (3, None, 30), (4, "d", 40)]


@pytest.mark.parametrize("args, code, words", [
    (["delete"], 2, "--where is missing"),
    (["delete", "--where", ""], 2, "--where is missing"),
    (["update", "--where", "true"], 2, "--set is missing"),
    (["update", "--set", "n = 1"], 2, "--where is missing"),
    (["merge", "--on", "id"], 2, "--using is missing"),
    (["merge", "--using", "x.parquet"], 2, "--on is missing"),
    (["merge", "--using", "SELECT 1 AS id", "--on", "id,"], 2, "empty name"),
    (["merge", "--using", "SELECT 1 AS id", "--on", "ids"], 1, 'no column "ids"'),
    (["merge", "--using", "none.parquet", "--on", "id"], 1, "none.parquet"),
    (["delete", "--where", "idd = 1"], 1, 'Did you mean "id"?'),
    (["delete", "--where", "true; DELETE FROM x"], 1, ""),
    (["delete", "--set", "n = 1"], 2, "no option --set"),
    (["merge", "--using", "(SELECT id, \"the name\", n FROM (VALUES (1), (1)) v(id), (VALUES ('x', 1)) "
      "w(\"the name\", n))", "--on", "id"], 1, "several rows"),
])
def test_what_is_refused(smelt, table, args, code, words):
    before = rows(smelt, table)
    done = smelt("table", args[0], table, *args[1:], check=False)
    assert done.returncode == code and words in done.stderr, (done.returncode, done.stderr)
    assert rows(smelt, table) == before
