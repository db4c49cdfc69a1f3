"""A lake of three tables and a change of the logs that they are loaded from, for tests that disturb
the run which loads the change."""
import json
import os
import shutil

import pyarrow as pa

from appended_lines import TABLES, write_pipeline
from customer360 import generate, read_table

MAX_CALLS = 2000


def rows_of(uri):
    """All rows, sorted, without what differs between runs by its meaning; None: no table."""
    table = read_table(uri)
    if table is None:
        return None
    return sorted(json.dumps(row, default=str, sort_keys=True)
                  for row in table.drop_columns([name for name in ("run", "time")
                                                 if name in table.column_names]).to_pylist())


def rows_by_deltalake(uri, options=None):
    """The same as delta-rs sees it; it must be able to open what is there. options: of its store, where
    that is no disk."""
    import deltalake

    if not deltalake.DeltaTable.is_deltatable(str(uri), storage_options=options):
        return None
    opened = deltalake.DeltaTable(str(uri), storage_options=options)
    query = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t")
    table = pa.table(query.read_all())
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in table.drop_columns(
        [name for name in ("run", "time") if name in table.column_names]).to_pylist())


def rows_by_smelt(program, lake, table, env=None):
    """The same as smelt's readers see it; None: no table."""
    name = table.replace("/", ".")
    done = program("sql", f"FROM {name}", "--lake", lake, "--format", "ndjson", "--quiet", check=False,
                   env=env)
    if done.returncode:
        assert "no table" in done.stderr or "is not a table" in done.stderr, done.stderr
        return None
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(json.dumps({key: value for key, value in row.items() if key not in ("run", "time")},
                             sort_keys=True) for row in rows)


def seen(program, lake, env=None):
    return {table: rows_by_smelt(program, lake, table, env) for table in TABLES}


def run_other(program, folder, logs, lake, env=None):
    """A pipeline of its own loads the logs into tables of its own, of the same lake."""
    pipeline = write_pipeline(folder / "other", "other", tasks=("load",))
    text = pipeline.read_text().replace("bronze.lines", "bronze.others")
    pipeline.write_text(text.replace("quarantine: quarantine.lines", "quarantine: quarantine.others"))
    return program("run", pipeline, "--var", f"logs={logs}", "--var", f"lake={lake}", "--var",
                   "month=2022-04", "--threads", 1, env=env)


class Scenario:
    """`before` is brought into a lake undisturbed, then `after` is what the killed run finds."""

    def __init__(self, program, folder, before, after):
        self.program, self.folder = program, folder
        self.pipeline = write_pipeline(folder / "pipeline")
        self.logs, self.start = folder / "logs", folder / "start"
        self.start.mkdir()
        if before:
            self.bring(before)
            self.run(self.start)
        self.bring(after)
        self.old = {table: rows_by_deltalake(self.start / table) for table in TABLES}
        undisturbed = folder / "undisturbed"
        shutil.copytree(self.start, undisturbed)
        self.run(undisturbed)
        self.new = {table: rows_by_deltalake(undisturbed / table) for table in TABLES}
        assert self.new["bronze/lines"] and self.new["silver/totals"]
        assert self.new != self.old

    def bring(self, files):
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        for name, data in files.items():
            (self.logs / name).write_bytes(data)
            os.utime(self.logs / name, (1_650_000_000, 1_650_000_000 + len(data)))

    def run(self, lake, fault=None, check=True):
        env = {"SMELT_FAULT": fault} if fault else {}
        return self.program("run", self.pipeline, "--var", f"logs={self.logs}", "--var",
                            f"lake={lake}", "--var", "month=2022-04", "--threads", 2, check=check,
                            env=env)

    def kill(self, k, kind):
        """True where the run was killed, False where it ended before its k-th write."""
        lake = self.folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(self.start, lake)
        done = self.run(lake, f"at={k},kind={kind},writes=1", check=False)
        what = f"{kind} at write {k}"
        assert done.returncode in (0, -9), f"{what}: exit code {done.returncode}\n{done.stderr}"
        for table in TABLES:
            found = rows_by_deltalake(lake / table)
            wanted = [self.new[table]] + ([self.old[table]] if done.returncode else [])
            assert found in wanted, f"{what}: {table} is neither old nor new"
        for _ in range(2):
            again = self.run(lake, check=False)
            assert again.returncode == 0, f"after {what}: {again.stderr}"
            for table in TABLES:
                assert rows_by_deltalake(lake / table) == self.new[table], f"after {what}: {table}"
        return done.returncode == -9

    def count(self, kind):
        """How many writes a run has, by halving."""
        low, high = 1, 2
        while self.kill(high, kind):
            low, high = high, high * 2
            assert high < MAX_CALLS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.kill(middle, kind) else (low, middle)
        return low


def days(program, folder):
    """{name: bytes} of three small days with refused lines, and the second day changed."""
    logs = generate(program, folder / "generated", days=3, rows=300, contracts=40, damage=0.1, seed=3)
    files = {path.name: path.read_bytes() for path in logs.files}
    names = list(files)
    changed = {**files, names[1]: files[names[0]][3:20000].rpartition(b"\n")[0] + b"\nbroken\n"}
    return names, files, changed


def scenario_of(name, program, folder):
    names, files, changed = days(program, folder)
    before, after = {
        "first load": ({}, {n: files[n] for n in names[:2]}),
        "append": ({n: files[n] for n in names[:2]}, files),
        "replace": (files, changed),
    }[name]
    return Scenario(program, folder, before, after)


SCENARIOS = ["first load", "append", "replace"]
