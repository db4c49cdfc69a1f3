"""A process that is killed at any call to the store while it keeps, replaces, publishes or drops a
candidate: afterwards one is kept whole, or none is. Run again it ends as an undisturbed one, no row
twice, and no file that is live is gone."""
import json
import os
import shutil

import pytest

import contract_shop
from changed_logs import MAX_CALLS, rows_by_deltalake
from contract_shop import AMOUNTS, LOAD


class Lake(contract_shop.Shop):
    """Two orders are there; what was changed since may be killed at a fault."""

    def __init__(self, smelt, folder):
        super().__init__(smelt, folder, AMOUNTS)
        self.sql("load", LOAD.replace(", bad_lines => 'quarantine', validate => 'all'", ""))
        self.give_amounts("2022-04-01", 1.0, 2.0)
        self.run()

    def load(self, fault=None):
        return self.process("2022-04-02", "--threads", "2", env=env_of(fault))

    def publish(self, fault=None):
        return self.check("--publish", code=None, env=env_of(fault))

    def candidate(self):
        """Its ids; None: none is kept."""
        done = self.smelt("sql", "SELECT id FROM candidate.mart.orders ORDER BY id", "--lake", "lake", "--format",
                          "json", check=False)
        if done.returncode:
            assert "no candidate of mart.orders is kept" in done.stderr
            return None
        return [r["id"] for r in json.loads(done.stdout)]

    def is_whole(self):
        done = self.smelt("table", "fsck", "lake/mart/orders", "--data", check=False)
        assert done.returncode == 0, done.stdout
        assert rows_by_deltalake(self.lake / "mart/orders") is not None


def env_of(fault):
    return {"SMELT_FAULT": fault} if fault else {}


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
        assert lake.load().returncode == 3 and lake.candidate() == FIRST, what

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() == OLD, what

    assert kill_each(lake, kind, lambda: lake.give_amounts("2022-04-02", 3.0, -4.0), lake.load, look, again) >= 2


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_replaced(lake, kind):
    def prepare():
        lake.give_amounts("2022-04-02", 3.0, -4.0)
        assert lake.load().returncode == 3
        lake.give_amounts("2022-04-02", 3.0, -4.0, 5.0)

    def look(what):
        assert lake.candidate() in (FIRST, SECOND) and lake.ids() == OLD, what

    def again(what):
        assert lake.load().returncode == 3 and lake.candidate() == SECOND, what

    assert kill_each(lake, kind, prepare, lake.load, look, again) >= 3


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_published(lake, kind):
    def prepare():
        lake.give_amounts("2022-04-02", 3.0, -4.0)
        assert lake.load().returncode == 3
        lake.least(-9)

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() in (OLD, FIRST), what

    def again(what):
        done = lake.publish()
        assert done.returncode == 0 or "no candidate" in done.stderr, (what, done.stderr)
        assert lake.candidate() is None and lake.ids() == FIRST, what
        assert lake.load().returncode == 0 and lake.ids() == FIRST, what

    assert kill_each(lake, kind, prepare, lake.publish, look, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_published_and_then_replaced(lake, kind):
    """A candidate that a killed process has published is kept still: who takes its place leaves its files."""
    def prepare():
        lake.give_amounts("2022-04-02", 3.0, -4.0)
        assert lake.load().returncode == 3
        lake.least(-9)

    def again(what):
        lake.least(0)
        lake.give_amounts("2022-04-03", -6.0)
        assert lake.load().returncode == 3, what
        assert lake.ids() in (OLD, FIRST) and lake.candidate()[-1] == 300, what
        lake.least(-9)
        (lake.folder / "in/20220403.json").unlink()

    assert kill_each(lake, kind, prepare, lake.publish, lambda what: None, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_dropped(lake, kind):
    def prepare():
        lake.give_amounts("2022-04-02", 3.0, -4.0)
        assert lake.load().returncode == 3
        lake.least(-9)

    def look(what):
        assert lake.candidate() in (None, FIRST) and lake.ids() in (OLD, FIRST), what

    def again(what):
        done = lake.load()
        assert done.returncode == 0 and lake.ids() == FIRST, (what, done.stderr)

    assert kill_each(lake, kind, prepare, lake.load, look, again) >= 7


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
def test_the_first_run_of_a_table(lake, kind):
    """What is left of it goes: with the next candidate, and by a vacuum once the table has a version."""
    lake.give_amounts("2022-04-01", 3.0, -4.0)

    def data():
        return {path.name for path in (lake.folder / "lake/mart/orders").glob("*.parquet")}

    def again(what):
        assert lake.load().returncode == 3 and lake.candidate() == [100, 101], what
        lake.least(-5)
        assert lake.load().returncode == 0 and lake.ids() == [100, 101] and lake.candidate() is None, what
        for name in data():
            os.utime(lake.folder / "lake/mart/orders" / name, (0, 0))
        done = lake.smelt("table", "vacuum", "lake/mart/orders", "--retention", "0h", "--no-retention-check",
                          check=False)
        assert done.returncode == 0 and len(data()) == 1, what
        lake.least(0)

    def look(what):
        assert lake.candidate() in (None, [100, 101]), what

    def prepare():
        shutil.rmtree(lake.folder / "lake")
        (lake.folder / "lake").mkdir()

    assert kill_each(lake, kind, prepare, lake.load, look, again) >= 2
