"""`smelt table restore` that is killed at each of its writes, and one that finds a publication open."""
import os
import shutil
import subprocess

import pytest

from shop import Shop, line


@pytest.fixture
def shop(smelt, tmp_path):
    """Two days, a run each: versions 0 and 1 of raw.orders."""
    made = Shop(smelt, tmp_path)
    for number in (1, 2):
        made.put(f"2022040{number}.json", line(number), "broken\n")
        made.run()
    return made


def with_fault(shop, k, *command):
    return subprocess.run([shop.smelt.path, *map(str, command)], capture_output=True, text=True,
                          cwd=shop.folder, env={**os.environ, "SMELT_FAULT": f"at={k},kind=kill,writes=1"})


def test_killed_at_a_write(shop):
    """The rows are those of before or of the version; the same command then ends it."""
    shutil.copytree(shop.lake, shop.folder / "start")
    command = ("table", "restore", shop.lake / "raw/orders", "--version", 0)
    n_killed = 0
    for k in range(1, 50):
        shutil.rmtree(shop.lake)
        shutil.copytree(shop.folder / "start", shop.lake)
        if with_fault(shop, k, *command).returncode == 0:
            break
        n_killed += 1
        assert sorted(shop.ids()) in ([1], [1, 2])
        shop.smelt(*command)
        assert shop.ids() == [1]
        shop.run()
        assert sorted(shop.ids()) == [1, 2]
    assert 2 < n_killed < 49


def test_an_open_publication_is_completed_first(shop):
    """A run is killed between two of its commits; the restore must not take that for a conflict."""
    shop.put("20220403.json", line(3))
    shutil.copytree(shop.lake, shop.folder / "start")
    before = shop.versions()
    command = ("run", shop.file, "--var", f"logs={shop.logs}", "--var", f"lake={shop.lake}",
               "--var", "month=2022-04")
    n_open = 0
    for k in range(1, 80):
        shutil.rmtree(shop.lake)
        shutil.copytree(shop.folder / "start", shop.lake)
        if with_fault(shop, k, *command).returncode == 0:
            break
        cut = shop.versions()
        if cut in (before, {table: version + 1 for table, version in before.items()}):
            continue
        n_open += 1
        done = shop.smelt("table", "restore", shop.lake / "raw/orders", "--version", 0)
        assert "smelt: before this command, a publication that was left open (" in done.stderr
        after = shop.versions()
        assert after["raw/orders"] == before["raw/orders"] + 2
        assert after["mart/cities"] == before["mart/cities"] + 1
        assert shop.ids() == [1]
    assert n_open > 0
