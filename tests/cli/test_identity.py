"""Identity columns: rows that do not have the column get its next values, one writer at a time, and what
a user may not set stays as it is."""
import json
import subprocess

import pytest

from shop import actions

BASE = "delta.identity."


def make(smelt, folder, allows=False, start=10, step=5, mark=None):
    """A table (id BIGINT identity, s VARCHAR) as another writer has made it."""
    smelt("sql", "--write", "CREATE TABLE 't' AS SELECT 1::BIGINT AS id, 'x' AS s LIMIT 0", cwd=folder)
    path = folder / f"t/_delta_log/{0:020}.json"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            line["protocol"] = {"minReaderVersion": 1, "minWriterVersion": 6}
        if "metaData" in line:
            schema = json.loads(line["metaData"]["schemaString"])
            meta = {f"{BASE}start": start, f"{BASE}step": step, f"{BASE}allowExplicitInsert": allows}
            if mark is not None:
                meta[f"{BASE}highWaterMark"] = mark
            schema["fields"][0]["metadata"] = meta
            line["metaData"]["schemaString"] = json.dumps(schema)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def mark(folder):
    """The high-water mark of the newest metadata; None: there is none."""
    text = [a["metaData"]["schemaString"] for a in actions(folder / "t") if "metaData" in a][-1]
    return json.loads(text)["fields"][0]["metadata"].get(f"{BASE}highWaterMark")


def rows(smelt, folder):
    return [(row["id"], row["s"]) for row in smelt.sql("FROM 't' ORDER BY s", cwd=folder)]


def write(smelt, folder, text, check=True):
    return smelt("sql", "--write", text, cwd=folder, check=check)


def versions(folder):
    return len(list((folder / "t/_delta_log").glob("*.json")))


def test_rows_get_the_next_values(smelt, tmp_path):
    make(smelt, tmp_path)
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a'), ('b')")
    assert rows(smelt, tmp_path) == [(10, "a"), (15, "b")] and mark(tmp_path) == 15
    write(smelt, tmp_path, "INSERT INTO 't' (s) SELECT 'c'")
    write(smelt, tmp_path, "INSERT INTO 't' BY NAME SELECT 'd' AS s")
    assert rows(smelt, tmp_path)[2:] == [(20, "c"), (25, "d")] and mark(tmp_path) == 25
    smelt("table", "fsck", "t", cwd=tmp_path)


@pytest.mark.parametrize("allows", [False, True])
def test_default_is_the_next_value(smelt, tmp_path, allows):
    make(smelt, tmp_path, allows)
    write(smelt, tmp_path, "INSERT INTO 't' VALUES (DEFAULT, 'a'), (DEFAULT, 'b')")
    write(smelt, tmp_path, "MERGE INTO 't' t USING (VALUES ('c')) v(s) ON t.s = v.s WHEN NOT MATCHED THEN "
          "INSERT (s, id) VALUES (v.s, DEFAULT)")
    assert rows(smelt, tmp_path) == [(10, "a"), (15, "b"), (20, "c")] and mark(tmp_path) == 20
    for sql in ("INSERT INTO 't' VALUES (DEFAULT, 'd'), (7, 'e')", "UPDATE 't' SET id = DEFAULT"):
        done = write(smelt, tmp_path, sql, check=False)
        assert done.returncode == 1 and 'the table computes column "id" itself' in done.stderr
    assert len(rows(smelt, tmp_path)) == 3


@pytest.mark.parametrize("start, step, at, wanted", [
    (1, 1, None, [1, 2]), (1, 1, 41, [42, 43]), (0, -3, None, [0, -3]), (0, -3, -6, [-9, -12]),
    (10, 5, 17, [20, 25]), (10, 5, 20, [25, 30]), (10, 5, 3, [10, 15]), (0, -3, -7, [-9, -12]),
    (2**63 - 2, 1, None, [2**63 - 2, 2**63 - 1]),
])
def test_values_go_on_behind_the_mark(smelt, tmp_path, start, step, at, wanted):
    make(smelt, tmp_path, start=start, step=step, mark=at)
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a'), ('b')")
    assert [row[0] for row in rows(smelt, tmp_path)] == wanted and mark(tmp_path) == wanted[-1]


def test_there_may_be_no_value_left(smelt, tmp_path):
    make(smelt, tmp_path, start=2**63 - 1, step=1)
    done = write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a'), ('b')", check=False)
    assert done.returncode == 1 and f"no value behind {2**63 - 1}" in done.stderr
    assert versions(tmp_path) == 1 and not list((tmp_path / "t").glob("*.parquet"))


@pytest.mark.parametrize("statement", [
    "INSERT INTO 't' VALUES (7, 'z')", "INSERT INTO 't' (id, s) SELECT 7, 'z'",
    "MERGE INTO 't' t USING (SELECT 'z' AS s) n ON t.s = n.s WHEN NOT MATCHED THEN INSERT (id, s) VALUES (7, n.s)",
    "UPDATE 't' SET id = id + 1",
    "MERGE INTO 't' t USING (SELECT 'a' AS s) n ON t.s = n.s WHEN MATCHED THEN UPDATE SET id = 3",
])
def test_values_that_a_user_may_not_set(smelt, tmp_path, statement):
    make(smelt, tmp_path)
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a')")
    done = write(smelt, tmp_path, statement, check=False)
    assert done.returncode == 1 and 'the column "id" is' in done.stderr and "identity" in done.stderr.lower()
    assert rows(smelt, tmp_path) == [(10, "a")] and versions(tmp_path) == 2


def test_values_by_default(smelt, tmp_path):
    make(smelt, tmp_path, allows=True)
    write(smelt, tmp_path, "INSERT INTO 't' VALUES (7, 'a')")
    assert mark(tmp_path) is None  # only what was generated counts, as in Spark
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('b')")
    assert rows(smelt, tmp_path) == [(7, "a"), (10, "b")] and mark(tmp_path) == 10


def test_rows_that_move_keep_their_values(smelt, tmp_path):
    make(smelt, tmp_path)
    for text in ("('a'), ('b'), ('c')", "('d'), ('e')"):
        write(smelt, tmp_path, f"INSERT INTO 't' (s) VALUES {text}")
    write(smelt, tmp_path, "UPDATE 't' SET s = 'bb' WHERE s = 'b'")
    write(smelt, tmp_path, "DELETE FROM 't' WHERE s = 'd'")
    smelt("table", "optimize", "t", cwd=tmp_path)
    write(smelt, tmp_path, "MERGE INTO 't' t USING (VALUES ('a'), ('f')) n(s) ON t.s = n.s WHEN MATCHED THEN "
          "UPDATE SET s = 'aa' WHEN NOT MATCHED THEN INSERT (s) VALUES (n.s)")
    assert rows(smelt, tmp_path) == [(10, "aa"), (15, "bb"), (20, "c"), (30, "e"), (35, "f")]
    assert mark(tmp_path) == 35
    smelt("table", "restore", "t", "--version", "1", cwd=tmp_path)
    smelt("table", "cluster", "t", "--by", "s", cwd=tmp_path)
    assert rows(smelt, tmp_path) == [(10, "a"), (15, "b"), (20, "c")]


def test_a_table_that_is_replaced_goes_on(smelt, tmp_path):
    make(smelt, tmp_path)
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a'), ('b')")
    write(smelt, tmp_path, "CREATE OR REPLACE TABLE 't' AS SELECT 'c' AS s")
    assert rows(smelt, tmp_path) == [(20, "c")]
    write(smelt, tmp_path, "DELETE FROM 't'")
    write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('d')")
    assert rows(smelt, tmp_path) == [(25, "d")]


def test_of_two_writers_each_gets_its_own(smelt, tmp_path):
    """Whoever comes second is in conflict (exit code 4), and runs again."""
    make(smelt, tmp_path, start=1, step=1)
    command = [str(smelt.path), "sql", "--write"]
    names = [f"w{i}" for i in range(6)]
    left = set(names)
    for _ in range(len(names)):
        running = {name: subprocess.Popen([*command, f"INSERT INTO 't' (s) VALUES ('{name}')"], cwd=tmp_path,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                   for name in sorted(left)}
        for name, process in running.items():
            _, said = process.communicate(timeout=120)
            assert process.returncode in (0, 4), said
            if process.returncode == 0:
                left.discard(name)
        if not left:
            break
    assert not left
    found = rows(smelt, tmp_path)
    assert [row[1] for row in found] == names
    assert sorted(row[0] for row in found) == list(range(1, len(names) + 1)) and mark(tmp_path) == len(names)


def test_a_pipeline_writes_such_a_table(smelt, tmp_path):
    make(smelt, tmp_path)
    (tmp_path / "lake/a").mkdir(parents=True)
    (tmp_path / "t").rename(tmp_path / "lake/a/t")
    (tmp_path / "t").symlink_to(tmp_path / "lake/a/t")
    (tmp_path / "t.sql").write_text("SELECT var('n') AS s")
    for how in ("append: n", "merge: {key: s}"):
        (tmp_path / "p.yaml").write_text(
            "name: p\nvars:\n  lake: {type: uri, default: ./lake}\n  n: {type: text}\nlake: lake\n"
            f"tasks:\n  - {{table: a.t, sql: t.sql, {how}}}\n")
        for n in ("p", "q") if how == "append: n" else ("q", "r"):
            smelt("run", tmp_path / "p.yaml", "--var", f"n={n}", cwd=tmp_path)
    assert rows(smelt, tmp_path) == [(10, "p"), (15, "q"), (20, "r")]


@pytest.mark.parametrize("meta, said", [
    ({"start": 1}, "has no start and step"), ({"start": 1, "step": 0}, "has no start and step"),
    ({"start": 1, "step": 1, "highWaterMark": "x"}, "no number"),
])
def test_metadata_that_is_not_as_the_protocol_has_it(smelt, tmp_path, meta, said):
    make(smelt, tmp_path)
    path = tmp_path / f"t/_delta_log/{0:020}.json"
    old = json.dumps({f"{BASE}start": 10, f"{BASE}step": 5, f"{BASE}allowExplicitInsert": False})
    new = json.dumps({f"{BASE}{key}": value for key, value in meta.items()})
    text = path.read_text()
    assert old.replace('"', '\\"') in text
    path.write_text(text.replace(old.replace('"', '\\"'), new.replace('"', '\\"')))
    done = write(smelt, tmp_path, "INSERT INTO 't' (s) VALUES ('a')", check=False)
    assert done.returncode == 1 and said in done.stderr and '"id"' in done.stderr


def test_default_values(smelt, tmp_path):
    """A row of defaults has the next value, and NULL where there is no default. A file without a line has no row."""
    make(smelt, tmp_path)
    write(smelt, tmp_path, "INSERT INTO 't' DEFAULT VALUES")
    write(smelt, tmp_path, "INSERT INTO 't' DEFAULT VALUES")
    (tmp_path / "none.json").write_text("")
    write(smelt, tmp_path, "INSERT INTO 't' BY NAME FROM 'none.json'")
    assert sorted(rows(smelt, tmp_path), key=str) == [(10, None), (15, None)]
