"""Whatever changes a table, killed at any of its writes: the table has its old rows or its new ones, fsck
finds nothing wrong, and the same command ends the work. So do all other forms of a kill in `make soak`.
(Optimize, cluster, vacuum and restore have files of their own beside this one.)"""
import shutil

import pytest

from table_works import CHANGES, OLD, write


def kill_everywhere(program, name, folder, plan):
    """Kills the work at its k-th call, for k = 1, 2, … until it ends by itself; how often it was killed."""
    work, lake = CHANGES[name], folder / "lake"
    work.prepare(folder)
    shutil.copytree(lake, folder / "start")
    old = work.rows(program, lake)
    for k in range(1, 200):
        shutil.rmtree(lake)
        shutil.copytree(folder / "start", lake)
        done = program(*work.command(lake, folder), check=False, env={"SMELT_FAULT": f"at={k},{plan}"})
        rows = work.rows(program, lake)
        assert rows in (old, work.new), k
        if rows is not None:
            program("table", "fsck", lake / work.target)
        work.settle(program, lake)
        if work.again or work.rows(program, lake) == old:
            again = program(*work.command(lake, folder), check=False)
            assert again.returncode == 0 or work.is_refused(again), again.stderr
        assert work.rows(program, lake) == work.new, k
        program("table", "fsck", lake / work.target, "--data")
        if done.returncode == 0:
            return k - 1
        assert done.returncode == -9, done.stderr
    raise AssertionError("it never ends by itself")


@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_a_write(program, tmp_path, name):
    assert kill_everywhere(program, name, tmp_path, "kind=kill,writes=1") > 0


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "kill_after"])
@pytest.mark.parametrize("name", CHANGES)
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
