"""Whatever changes a table, killed at any of its writes: the table has its old rows or its new ones, fsck
finds nothing wrong, and the same command ends the work. So do all other forms of a kill in `make soak`.
(Optimize, cluster, vacuum and restore have files of their own beside this one.)"""
import json
import os
import shutil
import time

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAY = 86400
PIPELINE = """\
name: parts
vars:
  lake: {type: uri}
lake: lake
tasks:
  - table: shop.orders
    sql: t.sql
    partition_by: city
    overwrite: partitions
"""
OLD = [(1, "a"), (2, "b"), (3, "a"), (4, "b")]


class Work:
    """A command that changes the table `shop/orders` of a lake. `prepare` makes the lake's tables."""
    target = "shop/orders"
    again = False  # can it be run a second time, with the same result?

    def __init__(self, command, new, again=False):
        self.words, self.new, self.again = command, sorted(new), again

    def prepare(self, lake):
        for part in (OLD[:2], OLD[2:]):
            write(lake / "shop/orders", part)

    def command(self, lake):
        return ["sql", "--write", "--lake", lake, self.words]

    def start(self, program, lake, fault=None):
        env = {"SMELT_FAULT": fault} if fault else {}
        return program(*self.command(lake), check=fault is None, env=env)

    def settle(self, program, lake):
        """Completes what was begun, if the work must not be done twice."""
        if not self.again:
            program("table", "vacuum", lake / self.target, check=False)

    def rows(self, program, lake):
        done = program("sql", "--format", "json", f"FROM '{lake / self.target}'", check=False)
        if done.returncode != 0:
            assert "is not a Delta table" in done.stderr or "there is no file or folder" in done.stderr
            return None
        return sorted((row["id"], row["city"]) for row in json.loads(done.stdout))


class Merge(Work):
    def prepare(self, lake):
        super().prepare(lake)
        write(lake / "shop/news", [(2, "x"), (9, "new")])


class Replaced(Work):
    """Partitions that a pipeline replaces, those that its rows have."""

    def prepare(self, lake):
        write(lake / "shop/orders", OLD, partition_by=["city"])
        (lake.parent / "p.yaml").write_text(PIPELINE)
        (lake.parent / "t.sql").write_text("SELECT CAST(7 AS BIGINT) AS id, 'a' AS city")

    def command(self, lake):
        return ["run", lake.parent / "p.yaml", "--var", f"lake={lake}"]


class Kept(Work):
    """The table's log gets a checkpoint, by which old commits are deleted."""

    def prepare(self, lake):
        uri = lake / "shop/orders"
        for number, row in enumerate(OLD):
            write(uri, [row], configuration=None if number else {"delta.checkpointInterval": "3"})
        for number in range(2):
            write(uri, [(5 + number, "c")])
            deltalake.DeltaTable(str(uri)).create_checkpoint()
        for path in (uri / "_delta_log").glob("0*"):
            os.utime(path, (time.time() - 40 * DAY,) * 2)


class Converted(Work):
    def prepare(self, lake):
        super().prepare(lake)
        shutil.rmtree(lake / "shop/orders/_delta_log")

    def command(self, lake):
        return ["table", "convert", lake / "shop/orders"]


class Cloned(Work):
    """A clone that is there already is refused, also one that was completed just now."""
    target = "trial/orders"

    def start(self, program, lake, fault=None):
        done = super().start(program, lake, fault or "at=0")
        assert fault or done.returncode == 0 or "is a Delta table already" in done.stderr
        return done

    def command(self, lake):
        return ["table", "clone", lake / "shop/orders", lake / "trial/orders"]


class Repaired(Work):
    """A file is gone, so there are no old rows to read."""

    def prepare(self, lake):
        super().prepare(lake)
        [gone] = [path for path in (lake / "shop/orders").glob("*.parquet")
                  if pq.read_table(path)["id"][0].as_py() == 3]
        gone.unlink()

    def command(self, lake):
        return ["table", "fsck", lake / "shop/orders", "--repair", "--rows", 2]

    def rows(self, program, lake):
        done = program("table", "fsck", lake / self.target, "--json", check=False)
        return self.new if json.loads(done.stdout)["left"] == 0 else None


def write(uri, rows, **kwargs):
    deltalake.write_deltalake(str(uri), pa.table({"id": [id for id, _ in rows], "city": [c for _, c in rows]}),
                              mode="append", **kwargs)


WORKS = {
    "insert": Work("INSERT INTO shop.orders SELECT id + 10, city FROM shop.orders WHERE id < 3",
                   [*OLD, (11, "a"), (12, "b")]),
    "delete": Work("DELETE FROM shop.orders WHERE id = 1 OR city = 'b'", [(3, "a")], again=True),
    "update": Work("UPDATE shop.orders SET city = 'c' WHERE id IN (2, 3)",
                   [(1, "a"), (2, "c"), (3, "c"), (4, "b")], again=True),
    "merge": Merge("MERGE INTO shop.orders o USING shop.news n ON o.id = n.id WHEN MATCHED THEN UPDATE SET * "
                   "WHEN NOT MATCHED THEN INSERT *", [(1, "a"), (2, "x"), (3, "a"), (4, "b"), (9, "new")],
                   again=True),
    "replace": Work("CREATE OR REPLACE TABLE shop.orders AS SELECT CAST(5 AS BIGINT) AS id, 'z' AS city",
                    [(5, "z")], again=True),
    "partitions": Replaced(None, [(2, "b"), (4, "b"), (7, "a")], again=True),
    "checkpoint": Kept("INSERT INTO shop.orders VALUES (9, 'd')", [*OLD, (5, "c"), (6, "c"), (9, "d")]),
    "convert": Converted(None, OLD),
    "clone": Cloned(None, OLD, again=True),
    "repair": Repaired(None, OLD[:2]),
}


def kill_everywhere(program, name, folder, plan):
    """Kills the work at its k-th call, for k = 1, 2, … until it ends by itself; how often it was killed."""
    work, lake = WORKS[name], folder / "lake"
    work.prepare(lake)
    shutil.copytree(lake, folder / "start")
    old = work.rows(program, lake)
    for k in range(1, 200):
        shutil.rmtree(lake)
        shutil.copytree(folder / "start", lake)
        done = work.start(program, lake, f"at={k},{plan}")
        rows = work.rows(program, lake)
        assert rows in (old, work.new), k
        if rows is not None:
            program("table", "fsck", lake / work.target)
        work.settle(program, lake)
        if work.again or work.rows(program, lake) == old:
            work.start(program, lake)
        assert work.rows(program, lake) == work.new, k
        program("table", "fsck", lake / work.target, "--data")
        if done.returncode == 0:
            return k - 1
        assert done.returncode == -9, done.stderr
    raise AssertionError("it never ends by itself")


@pytest.mark.parametrize("name", WORKS)
def test_killed_at_a_write(program, tmp_path, name):
    assert kill_everywhere(program, name, tmp_path, "kind=kill,writes=1") > 0


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "kill_after"])
@pytest.mark.parametrize("name", WORKS)
def test_killed_at_any_call(program, tmp_path, name, kind):
    assert kill_everywhere(program, name, tmp_path, f"kind={kind}") > 3


@pytest.mark.parametrize("statement, code", [
    ("CREATE TABLE '{}' AS SELECT 1 AS id", 1),
    ("INSERT INTO '{}' VALUES (9, 'z')", 0), ("UPDATE '{}' SET city = 'z' WHERE id = 2", 0),
    ("DELETE FROM '{}' WHERE id = 2", 0)])
def test_what_was_begun_is_completed_and_told(program, tmp_path, statement, code):
    """The table lies in another lake than that of the command. Were the statement to lose to what was begun,
    it would do so for ever, since nobody else ends it."""
    n_told = 0
    for k in range(1, 50):
        lake = tmp_path / str(k)
        if code == 0:
            write(lake / "shop/orders", OLD)
        words = ["sql", "--write", "--lake", tmp_path / "mine", statement.format(lake / "shop/orders")]
        if program(*words, check=False, env={"SMELT_FAULT": f"at={k},kind=kill,writes=1"}).returncode == 0:
            break
        done = program(*words, check=False)
        told = "before this statement, a publication that was left open (shop.orders) was completed"
        n_told += told in done.stderr
        assert done.returncode in (0, code), done.stderr
        if done.returncode == 1:
            assert f"there is a table at {lake}/shop/orders already" in done.stderr
    assert n_told > 1
