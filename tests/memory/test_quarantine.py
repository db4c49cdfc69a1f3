"""What a quarantine takes away and gives back within 96 MB: the rows of a `unique` of which half are alike, or have
no key, and a replay of two million rows."""
import json

import pytest

from peak import run_within
from quarantined import HEAD

LIMIT = 96_000_000
ROWS = 2_000_000
PIPELINE = """\
name: keys
vars: {in: {type: uri, default: ./in}, lake: {type: uri, default: ./lake}}
lake: lake
sources: [{name: in}]
tasks: [{load: raw.t, from: in, by: day, sql: t.sql, contract: c.yaml}]
"""
SQL = """SELECT id, k, file_date AS day FROM read_json(var('in'), columns => {id: 'BIGINT', k: 'VARCHAR'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')"""
QUARANTINES = "customProperties: [{property: smelt.onViolation, value: quarantine}]"
UNIQUE = f"""\
  - name: t
    properties:
      - {{name: k, logicalType: string, unique: true, {QUARANTINES}}}
"""
LEAST = f"""\
  - name: t
    properties:
      - {{name: id, logicalType: integer, logicalTypeOptions: {{minimum: %d}}, {QUARANTINES}}}
"""


def make(folder, key, contract):
    """ROWS lines over two days; key(i) is the key of line i, as JSON."""
    (folder / "in").mkdir()
    (folder / "p.yaml").write_text(PIPELINE)
    (folder / "t.sql").write_text(SQL)
    (folder / "c.yaml").write_text(HEAD + contract)
    for day in (1, 2):
        with open(folder / f"in/2022040{day}.json", "w") as out:
            out.writelines(f'{{"id":{i},"k":{key(i)}}}\n' for i in range(day - 1, ROWS, 2))


def limited(smelt, *words):
    """The report of a command within LIMIT, of which it does not take more."""
    return json.loads(smelt(*words, "p.yaml", "--memory-limit", LIMIT, "--json", timeout=600).stdout)


@pytest.mark.parametrize("key, n_alike", [
    (lambda i: '"the same key"' if i % 4 < 2 else f'"k{i}"', ROWS // 2),
    (lambda i: "null" if i % 4 < 2 else f'"k{i}"', 0),
    (lambda i: f'"k{i // 4}"', ROWS - ROWS // 4)], ids=["alike", "null", "four times"])
@pytest.mark.parametrize("threads", [1, 7])
def test_half_of_the_keys_are_alike(smelt, tmp_path, key, n_alike, threads):
    make(tmp_path, key, UNIQUE)
    report = json.loads(smelt("run", "p.yaml", "--memory-limit", LIMIT, "--threads", threads, "--json",
                              timeout=600).stdout)
    assert report["peak_bytes"] <= LIMIT
    kept = max(n_alike - 1, 0) if n_alike == ROWS // 2 else n_alike
    found = smelt.sql("SELECT count(*) AS n, count(DISTINCT k) AS keys, count(*) - count(k) AS nulls FROM raw.t",
                      "--lake", tmp_path / "lake")
    n_null = ROWS // 2 if "null" in key(0) else 0
    assert found == [{"n": ROWS - kept, "keys": ROWS - kept - n_null, "nulls": n_null}]
    if kept:
        assert smelt.sql("SELECT count(*) AS n FROM quarantine.t", "--lake", tmp_path / "lake") == [{"n": kept}]


def test_replay_of_two_million_rows(smelt, tmp_path):
    make(tmp_path, lambda i: f'"a key of more than twelve bytes {i}"', LEAST % ROWS)
    limited(smelt, "run")
    assert smelt.sql("SELECT count(*) AS n FROM quarantine.t", "--lake", tmp_path / "lake") == [{"n": ROWS}]
    (tmp_path / "c.yaml").write_text(HEAD + LEAST % (ROWS // 4))
    done = run_within(smelt.path, "replay", tmp_path / "p.yaml", "raw.t", "--json", "--memory-limit", LIMIT, "--var",
                      f"in={tmp_path}/in", "--var", f"lake={tmp_path}/lake", most=LIMIT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["replayed"], report["refused"], report["not_replayed"]) == (ROWS - ROWS // 4, ROWS // 4, 0)
    assert smelt.sql("SELECT count(*) AS n, count(DISTINCT id) AS ids, min(id) AS least FROM raw.t", "--lake",
                     tmp_path / "lake") == [{"n": ROWS - ROWS // 4, "ids": ROWS - ROWS // 4, "least": ROWS // 4}]
    assert smelt.sql("SELECT count(*) AS n, count(replayed) AS marked FROM quarantine.t", "--lake",
                     tmp_path / "lake") == [{"n": ROWS, "marked": ROWS - ROWS // 4}]
