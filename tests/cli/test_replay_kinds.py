"""smelt replay into each kind of table: rows that pass now are merged, or added, as the task would have done it; what
could not be told right stays in the quarantine, and is told. A kill at any call leaves all of a round or nothing."""
import json
import shutil
import subprocess

import pytest

from common import Smelt
from quarantined import HEAD, Shop, order

QUARANTINES = "customProperties: [{property: smelt.onViolation, value: quarantine}]"
PIPELINE = """\
name: kinds
vars:
  lake: {type: uri, default: ./lake}
  in: {type: uri, default: ./in.json}
  month: {type: month}
lake: lake
tasks:
  - table: mart.t
    sql: t.sql
    contract: {file: c.yaml, table: t}
"""
SQL = "SELECT id, n, CAST(at AS DATE) AS at, var('month') AS month FROM read_json(var('in'), columns => " \
      "{id: 'BIGINT', n: 'BIGINT', at: 'VARCHAR'})"


class Kind:
    """A task of which each run reads other rows, and whose contract wants a least n."""

    def __init__(self, smelt, folder, task, sql=SQL):
        self.smelt, self.folder, self.lake = smelt, folder, folder / "lake"
        (folder / "p.yaml").write_text(PIPELINE + task)
        (folder / "t.sql").write_text(sql)
        self.least(0)

    @classmethod
    def at(cls, smelt, folder):
        """The one that is in the folder already."""
        kind = cls.__new__(cls)
        kind.smelt, kind.folder, kind.lake = smelt, folder, folder / "lake"
        return kind

    def least(self, n):
        (self.folder / "c.yaml").write_text(HEAD + f"""\
  - name: t
    properties:
      - {{name: n, logicalType: integer, logicalTypeOptions: {{minimum: {n}}}, {QUARANTINES}}}
""")

    def run(self, day, *rows, code=0):
        """rows: (id, n), or (id, n, at)."""
        (self.folder / "in.json").write_text("".join(
            json.dumps(dict(zip(("id", "n", "at"), row))) + "\n" for row in rows))
        done = self.smelt("run", "p.yaml", "--date", day, "--json", check=False)
        assert done.returncode == code, done.stderr

    def replay(self, *words, code=0):
        done = self.smelt("replay", "p.yaml", "mart.t", "--json", *words, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def rows(self, columns="id, n", table="mart.t"):
        return [tuple(row.values()) for row in self.smelt.sql(
            f"SELECT {columns} FROM {table} ORDER BY ALL", "--lake", self.lake)]

    def left(self):
        """How many rows of the quarantine no run has taken in."""
        return self.rows("count(*) AS n", "quarantine.t WHERE replayed IS NULL")[0][0]


def counts(report):
    return report["replayed"], report["refused"], report["not_replayed"], report["rows"]


@pytest.fixture
def kind(smelt, tmp_path):
    return lambda *words: Kind(smelt, tmp_path, *words)


@pytest.mark.parametrize("more, two", [
    ("", (2, -7)), (", update_when: n > old.n", (2, -5)), (", delete_when: n = -7", None)])
def test_merge_goes_by_the_runs_in_their_order(kind, more, two):
    t = kind("    merge: {key: id%s}\n" % more)
    t.run("2022-04-01", (1, 1), (2, -5), (4, -4))
    t.run("2022-04-02", (2, -7), (3, -50), (1, 2))
    t.least(-10)
    report = t.replay()
    deleted = two is None
    assert counts(report) == (3, 1, 0, 2)
    assert report["changed"] == (1 if two == (2, -7) else 0) and report["deleted"] == deleted
    assert t.rows() == sorted([(1, 2), (4, -4)] + ([] if deleted else [two]))
    assert t.left() == 1
    assert any("older row" in text for text in report["warnings"]) == ("update_when" not in more)
    assert counts(t.replay()) == (0, 1, 0, 0)
    t.run("2022-04-02", (2, -7), (3, -50), (1, 2))
    assert len(t.rows()) == (2 if deleted else 3)


def test_merged_rows_that_the_table_has_are_only_marked(kind):
    t = kind("    merge: {key: id}\n")
    t.run("2022-04-01", (1, 1), (2, -5))
    t.least(-10)
    t.run("2022-04-01", (1, 1), (2, -5))
    assert t.rows() == [(1, 1), (2, -5)]
    report = t.replay()
    assert counts(report) == (1, 0, 0, 0) and report["version"] is None and t.left() == 0


HISTORY = "id, n, CAST(valid_from AS VARCHAR) AS f, CAST(valid_to AS VARCHAR) AS t, is_current"


@pytest.mark.parametrize("closes", ["", ", missing: close"])
def test_scd2_takes_rows_of_its_last_date(kind, closes):
    t = kind("    scd2: {key: id, columns: n%s}\n" % closes)
    t.run("2022-04-01", (1, 1), (2, 2), (3, -3))
    t.run("2022-04-02", (1, -5), (2, 2))
    t.least(-10)
    report = t.replay()
    assert counts(report) == (1, 0, 1, 1)
    assert any("--full-refresh" in text for text in report["warnings"])
    assert t.rows(HISTORY) == [
        (1, -5, "2022-04-02", None, True), (1, 1, "2022-04-01", "2022-04-02", False),
        (2, 2, "2022-04-01", None, True)]
    assert counts(t.replay()) == (0, 0, 1, 0)
    t.run("2022-04-02", (1, -5), (2, 2))
    assert len(t.rows()) == 3


def test_scd2_by_times_of_the_rows(kind):
    t = kind("    scd2: {key: id, columns: n, at: at}\n")
    t.run("2022-04-01", (1, 1, "2022-04-01"), (2, -5, "2022-04-01"))
    t.run("2022-04-03", (1, -3, "2022-04-03"))
    t.least(-10)
    assert counts(t.replay()) == (2, 0, 0, 2)
    assert t.rows(HISTORY) == [
        (1, -3, "2022-04-03", None, True), (1, 1, "2022-04-01", "2022-04-03", False),
        (2, -5, "2022-04-01", None, True)]
    t.run("2022-04-04", (1, -20, "2022-04-04"))
    t.run("2022-04-05", (1, 9, "2022-04-05"))
    before = t.rows(HISTORY)
    t.least(-100)
    report = t.replay(code=1)
    assert "id 1" in report["error"]["message"] or "1" in report["error"]["message"]
    assert t.rows(HISTORY) == before and t.left() == 1


def test_replace_takes_rows_of_the_last_run_of_each_value(kind):
    t = kind("    replace: month\n")
    t.run("2022-04-01", (1, 1), (2, -5))
    t.run("2022-05-01", (3, 3), (4, -5))
    t.run("2022-04-30", (1, 1), (2, -6), (5, 5))
    t.least(-10)
    report = t.replay()
    assert counts(report) == (2, 0, 1, 2) and "other runs" in report["warnings"][0]
    assert t.rows() == [(1, 1), (2, -6), (3, 3), (4, -5), (5, 5)]
    assert counts(t.replay()) == (0, 0, 1, 0)
    t.run("2022-04-30", (1, 1), (2, -6), (5, 5))  # the value is replaced, replayed rows too
    assert t.rows() == [(1, 1), (2, -6), (3, 3), (4, -5), (5, 5)]


def test_append(kind):
    t = kind("    append: month\n")
    t.run("2022-04-01", (1, 1), (2, -5))
    t.run("2022-05-01", (3, 3), (4, -50))
    t.least(-10)
    assert counts(t.replay()) == (1, 1, 0, 1)
    t.run("2022-04-01", (1, 1), (2, -5))
    assert t.rows() == [(1, 1), (2, -5), (3, 3)]


def test_partitions_that_are_overwritten_are_refused(kind):
    t = kind("    partition_by: month\n    overwrite: partitions\n")
    t.run("2022-04-01", (1, 1), (2, -5))
    t.least(-10)
    assert t.replay(code=1)["error"]["status"] == "UNSUPPORTED"
    assert t.rows() == [(1, 1)]


def test_partitioned_and_added(kind):
    t = kind("    partition_by: month\n    append: month\n")
    t.run("2022-04-01", (1, 1), (2, -5))
    t.least(-10)
    assert counts(t.replay()) == (1, 0, 0, 1) and t.rows() == [(1, 1), (2, -5)]


def test_many_lines_that_are_broken_still(smelt, tmp_path):
    """They are not a file of another layout."""
    shop = Shop(smelt, tmp_path)
    broken = ["[1, 2\n", *("{broken\n" for _ in range(299))]
    shop.put("01", *(order(i) for i in range(100, 600)), *broken, order(1, n="x"))
    shop.run()
    shop.write("load.sql", (shop.folder / "load.sql").read_text().replace("n: 'BIGINT'", "n: 'VARCHAR'").replace(
        "city, n,", "city, TRY_CAST(n AS BIGINT) AS n,"))
    done = smelt("replay", "p.yaml", "raw.orders", "--var", "month=2022-04", "--json")
    assert counts(json.loads(done.stdout)) == (1, 300, 0, 1)


def killed(program, folder, after):
    """A copy of the folder for each call that writes, with what a replay leaves that is killed there; the last one
    was not killed."""
    for at in range(1, 1000):
        copy = folder.parent / f"killed-{after}-{at}"
        shutil.copytree(folder, copy)
        done = program("replay", "p.yaml", "mart.t", "--quiet", cwd=copy, check=False,
                       env={"SMELT_FAULT": f"at={at},kind={'kill_after' if after else 'kill'},writes=1"})
        yield Kind.at(Smelt(program.path, copy), copy)
        if done.returncode == 0:
            assert at > 4
            return
        assert done.returncode == -9, done.stderr
        shutil.rmtree(copy)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("task, added, n_rounds", [
    ("    merge: {key: id}\n", [(2, -5), (4, -4)], 2), ("    scd2: {key: id, columns: n}\n", [(4, -4)], 1),
    ("    replace: month\n", [(4, -4)], 1)])
def test_killed_at_each_call_a_round_is_done_or_not(smelt, tmp_path, task, added, n_rounds, after):
    """Rounds are those of the runs; behind each the rows of its run are marked, and in the table."""
    folder = tmp_path / "kind"
    folder.mkdir()
    t = Kind(Smelt(smelt.path, folder), folder, task)
    t.run("2022-04-01", (1, 1), (2, -5))
    t.run("2022-04-02", (1, 1), (4, -4))
    t.least(-10)
    seen = set()
    for at in killed(smelt, folder, after):
        rows, n_left = at.rows(), at.left()
        n_done = 2 - n_left
        seen.add(n_done)
        assert rows == sorted([(1, 1)] + added[:n_done])
        at.replay()
        assert at.rows() == sorted([(1, 1)] + added) and at.left() == 2 - n_rounds
    assert seen == set(range(n_rounds + 1))


def test_two_replays_at_once_and_a_run_meanwhile(smelt, tmp_path):
    """Each is done, or a conflict, after which it may be done again."""
    t = Kind(smelt, tmp_path, "    merge: {key: id}\n")
    t.run("2022-04-01", (1, 1), *((i, -5) for i in range(2, 3000)))
    t.least(-10)
    (tmp_path / "in.json").write_text('{"id":1,"n":8}\n{"id":2,"n":9}\n')
    words = [["replay", "p.yaml", "mart.t"], ["replay", "p.yaml", "mart.t"], ["run", "p.yaml", "--date", "2022-04-02"]]
    children = [subprocess.Popen([str(smelt.path), *command, "--quiet"], cwd=tmp_path, stderr=subprocess.PIPE)
                for command in words]
    codes = [child.wait() for child in children]
    assert set(codes) <= {0, 4} and 0 in codes
    t.replay()
    assert t.left() == 0
    rows = dict(t.rows())
    assert len(rows) == len(t.rows()) == 2999 and rows[1] in (1, 8) and rows[2] in (-5, 9)
