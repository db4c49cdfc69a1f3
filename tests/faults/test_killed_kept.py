"""A process that is killed at any call to the store while it keeps, replaces, publishes or drops a
candidate: afterwards one is kept whole, or none is. Run again it ends as an undisturbed one, no row
twice, and no file that is live is gone."""
import json
import os
import shutil

import pytest

from changed_logs import MAX_CALLS, rows_by_deltalake

PIPELINE = """\
name: shop
vars:
  in: {type: uri, default: ./in}
  lake: {type: uri, default: ./lake}
lake: lake
sources:
  - {name: in, quarantine: quarantine.lines}
tasks:
  - {load: mart.orders, from: in, sql: load.sql, by: day, contract: c.yaml}
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.2.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, unique: true}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: %d}}
"""
LOAD = ("SELECT *, file_date AS day FROM read_json(var('in'), columns => {id: 'BIGINT', amount: 'DOUBLE'}, "
        "file_date => true)")


class Lake:
    def __init__(self, smelt, folder):
        self.smelt, self.folder = smelt, folder
        (folder / "in").mkdir()
        (folder / "p.yaml").write_text(PIPELINE)
        (folder / "load.sql").write_text(LOAD)
        self.contract(0)
        self.give(1, 1.0, 2.0)
        self.run()

    def contract(self, least):
        (self.folder / "c.yaml").write_text(CONTRACT % least)

    def give(self, day, *amounts):
        (self.folder / f"in/2022040{day}.json").write_text(
            "".join(json.dumps({"id": day * 100 + i, "amount": a}) + "\n" for i, a in enumerate(amounts)))

    def command(self, *words, fault=None):
        return self.smelt(*words, check=False, env={"SMELT_FAULT": fault} if fault else {})

    def run(self, fault=None):
        return self.command("run", "p.yaml", "--date", "2022-04-02", "--threads", "2", fault=fault)

    def publish(self, fault=None):
        return self.command("check", "c.yaml", "candidate.mart.orders", "--lake", "lake", "--publish", fault=fault)

    def candidate(self):
        """Its ids; None: none is kept."""
        done = self.command("sql", "SELECT id FROM candidate.mart.orders ORDER BY id", "--lake", "lake", "--format",
                            "json")
        if done.returncode:
            assert "no candidate of mart.orders is kept" in done.stderr
            return None
        return [r["id"] for r in json.loads(done.stdout)]

    def ids(self):
        return sorted(json.loads(row)["id"] if isinstance(row, str) else row["id"]
                      for row in json.loads(self.command("sql", "FROM mart.orders", "--lake", "lake", "--format",
                                                         "json").stdout))

    def is_whole(self):
        done = self.command("table", "fsck", "lake/mart/orders", "--data")
        assert done.returncode == 0, done.stdout
        assert rows_by_deltalake(self.folder / "lake/mart/orders") is not None


OLD, FIRST, SECOND = [100, 101], [100, 101, 200, 201], [100, 101, 200, 201, 202]


def kill_each(lake, kind, prepare, act, look, again):
    """Kills `act` at each write in turn; looks, does it `again`, and returns how often it was killed."""
    prepare()
    start = lake.folder / "start"
    shutil.copytree(lake.folder / "lake", start)
    for k in range(1, MAX_CALLS):
        shutil.rmtree(lake.folder / "lake")
        shutil.copytree(start, lake.folder / "lake")
        done = act(f"at={k},kind={kind},writes=1")
        if done.returncode != -9:
            return k - 1
        look(f"{kind} at write {k}")
        again(f"{kind} at write {k}")
        lake.is_whole()
    raise AssertionError("it never ends")


@pytest.fixture
def lake(smelt, tmp_path):
    return Lake(smelt, tmp_path)


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_kept(lake, kind):
    def again(what):
        assert lake.run().returncode == 3 and lake.candidate() == FIRST, what

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() == OLD, what

    assert kill_each(lake, kind, lambda: lake.give(2, 3.0, -4.0), lake.run, look, again) >= 2


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_replaced(lake, kind):
    def prepare():
        lake.give(2, 3.0, -4.0)
        assert lake.run().returncode == 3
        lake.give(2, 3.0, -4.0, 5.0)

    def look(what):
        assert lake.candidate() in (FIRST, SECOND) and lake.ids() == OLD, what

    def again(what):
        assert lake.run().returncode == 3 and lake.candidate() == SECOND, what

    assert kill_each(lake, kind, prepare, lake.run, look, again) >= 3


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_published(lake, kind):
    def prepare():
        lake.give(2, 3.0, -4.0)
        assert lake.run().returncode == 3
        lake.contract(-9)

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() in (OLD, FIRST), what

    def again(what):
        done = lake.publish()
        assert done.returncode == 0 or "no candidate" in done.stderr, (what, done.stderr)
        assert lake.candidate() is None and lake.ids() == FIRST, what
        assert lake.run().returncode == 0 and lake.ids() == FIRST, what

    assert kill_each(lake, kind, prepare, lake.publish, look, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_published_and_then_replaced(lake, kind):
    """A candidate that a killed process has published is kept still: who takes its place leaves its files."""
    def prepare():
        lake.give(2, 3.0, -4.0)
        assert lake.run().returncode == 3
        lake.contract(-9)

    def again(what):
        lake.contract(0)
        lake.give(3, -6.0)
        assert lake.run().returncode == 3, what
        assert lake.ids() in (OLD, FIRST) and lake.candidate()[-1] == 300, what
        lake.contract(-9)
        (lake.folder / "in/20220403.json").unlink()

    assert kill_each(lake, kind, prepare, lake.publish, lambda what: None, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_dropped(lake, kind):
    def prepare():
        lake.give(2, 3.0, -4.0)
        assert lake.run().returncode == 3
        lake.contract(-9)

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() in (OLD, FIRST), what

    def again(what):
        done = lake.run()
        assert done.returncode == 0 and lake.ids() == FIRST, (what, done.stderr)

    assert kill_each(lake, kind, prepare, lake.run, look, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_the_first_run_of_a_table(lake, kind):
    """What is left of it goes: with the next candidate, and by a vacuum once the table has a version."""
    lake.give(1, 3.0, -4.0)

    def data():
        return {path.name for path in (lake.folder / "lake/mart/orders").glob("*.parquet")}

    def again(what):
        assert lake.run().returncode == 3 and lake.candidate() == [100, 101], what
        lake.contract(-5)
        assert lake.run().returncode == 0 and lake.ids() == [100, 101] and lake.candidate() is None, what
        for name in data():
            os.utime(lake.folder / "lake/mart/orders" / name, (0, 0))
        done = lake.command("table", "vacuum", "lake/mart/orders", "--retention", "0h", "--no-retention-check")
        assert done.returncode == 0 and len(data()) == 1, what
        lake.contract(0)

    def look(what):
        assert lake.candidate() in (None, [100, 101]), what

    def prepare():
        shutil.rmtree(lake.folder / "lake")
        (lake.folder / "lake").mkdir()

    assert kill_each(lake, kind, prepare, lake.run, look, again) >= 2
