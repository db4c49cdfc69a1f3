"""Several writers of one table, each of which runs again as soon as it has lost (exit code 4): all get
through, also beside who maintains the table. No row is lost and none is there twice.

Who loses runs again at once. If losing took longer than winning, it would begin behind the winner's next
run, and lose for ever. As it is, each of n writers wins about one race in n, so that MOST lost ones in a
row do not happen."""
import os
import re
import subprocess
import threading
import time

import pytest

from appended_lines import append_in_turn, run_again_and_again, write_pipeline
from customer360 import log_line

FILES = 6  # of each writer
MOST = {1: 1, 2: 30, 3: 60}  # runs for a file, by the number of writers


class Crowd:
    """Writers with a pipeline, a source and files of their own, which load into the same table."""

    def __init__(self, program, folder, names):
        self.program, self.folder, self.names = program, folder, names
        self.lake, self.table = folder / "lake", folder / "lake/bronze/lines"
        self.failures, self.runs = [], {name: [] for name in names}
        self.pipelines = {name: write_pipeline(folder / name, name, tasks=("load",)) for name in names}
        for day, name in enumerate(names, 1):
            (folder / f"{name}-files").mkdir()
            for n in range(FILES + 1):
                (folder / f"{name}-files/{name}_202204{day:02}_{n}.json").write_text(
                    log_line(f"{name}{n}", n + 1, number=n))
            self.append(name, 1)  # the table is there before the others come
        self.runs = {name: [] for name in names}

    def append(self, name, n):
        append_in_turn(self.program, self.pipelines[name], self.folder / f"{name}-files",
                       self.folder / f"{name}-logs", self.lake, n, self.failures,
                       most=MOST[len(self.names)], runs=self.runs[name])

    def go(self, beside=None):
        """All at once, while `beside`() is called again and again. How often it was."""
        threads = [threading.Thread(target=self.append, args=(name, FILES + 1)) for name in self.names]
        for thread in threads:
            thread.start()
        n = 0
        while beside and any(thread.is_alive() for thread in threads):
            beside()
            n += 1
        for thread in threads:
            thread.join()
        assert not self.failures
        return n

    def settle(self):
        """Each runs once more: what a restore took away comes again."""
        for name in self.names:
            done, _ = run_again_and_again(self.program, self.pipelines[name],
                                          self.folder / f"{name}-logs", self.lake)
            assert done.returncode == 0, done.stderr

    def check(self):
        rows = self.program.sql("SELECT who, seconds FROM bronze.lines", "--lake", self.lake)
        wanted = [(f"{name}{n}", n + 1) for name in self.names for n in range(FILES + 1)]
        assert sorted((row["who"], row["seconds"]) for row in rows) == sorted(wanted)

    def maintain(self, *arguments):
        """`smelt table …`, as it ended."""
        return subprocess.run([self.program.path, "table", *map(str, arguments)], capture_output=True,
                              text=True, timeout=120)


@pytest.mark.parametrize("names", [("north", "south"), ("north", "south", "west")], ids=len)
def test_all_get_through(program, tmp_path, names):
    crowd = Crowd(program, tmp_path, names)
    crowd.go()
    crowd.check()
    assert all(len(runs) == FILES + 1 for runs in crowd.runs.values())
    print(crowd.runs)


def test_a_load_beside_optimize(program, tmp_path):
    """Neither stands in the other's way: not one run of either is lost."""
    crowd = Crowd(program, tmp_path, ("north",))
    codes = []
    crowd.go(lambda: codes.append(crowd.maintain("optimize", crowd.table)))
    assert crowd.runs["north"] == [1] * (FILES + 1)
    assert [done.stderr for done in codes if done.returncode] == []
    history = program("table", "history", crowd.table).stdout
    assert len(re.findall("OPTIMIZE", history)) > 0
    crowd.check()


def test_rows_that_come_beside_the_first_cluster(program, tmp_path):
    """It sets properties of the table, which those who only write rows need not know."""
    table = tmp_path / "lake/shop/orders"
    program("sql", "--write", f"CREATE TABLE '{table}' AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(id, s)")
    begun = len(list(table.iterdir()))
    inserting = subprocess.Popen(
        [program.path, "sql", "--write", f"INSERT INTO '{table}' SELECT 3 AS id, 'c' AS s"], stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "SMELT_FAULT": "delay_ms=150"})
    while len(list(table.iterdir())) == begun:  # it has read the table, and writes its file
        assert inserting.poll() is None
        time.sleep(0.01)
    told = program.json("table", "cluster", table, "--by", "id", "--json")
    assert told["version"] == 1 and inserting.poll() is None
    _, said = inserting.communicate(timeout=60)
    assert inserting.returncode == 0, said
    assert program.sql(f"SELECT count(*) AS n, sum(id) AS s FROM '{table}'") == [{"n": 3, "s": 6}]
    assert program.json("table", "show", table, "--json")["properties"]["smelt.clusterBy"] == '["id"]'


def test_a_load_beside_vacuum(program, tmp_path):
    crowd = Crowd(program, tmp_path, ("north",))
    codes = []
    crowd.go(lambda: codes.append(crowd.maintain("vacuum", crowd.table)))
    assert crowd.runs["north"] == [1] * (FILES + 1)
    assert [done.stderr for done in codes if done.returncode] == []
    crowd.check()


def test_two_loads_beside_restore(program, tmp_path):
    """Each restore stops a load that began before it, and is stopped by one: who lost runs again. What a
    restore takes away is loaded again by the next run."""
    crowd = Crowd(program, tmp_path, ("north", "south"))
    codes = []

    def restore():
        newest = program.json("table", "show", crowd.table, "--json")["version"]
        codes.append(crowd.maintain("restore", crowd.table, "--version", newest))
    crowd.go(restore)
    assert {done.returncode for done in codes} <= {0, 4}
    assert 0 in {done.returncode for done in codes}
    crowd.settle()
    crowd.check()
