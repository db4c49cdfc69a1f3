"""All that changes the tables of a lake, in a random order, each killed at a random moment: before or after
some call to the store, or after some time. After each kill delta-rs and smelt read the rows of before or of
after, fsck finds nothing wrong, and the same command ends the work. The rows are those of a model, a dict.

Tables   raw.t is loaded from the files of a folder, one a day; shop.p is partitioned by day. Both have a
         checkpoint at each seventh version.
Model    {table: {id: (amount, day)}}, and which days raw.t has loaded. A restore brings back both, so the
         next load brings the days that it took away.
Once     INSERT and UPDATE are not run again before what was begun is completed, as a careful user would do:
         else the rows could be there twice (docs/sql.md).
SMELT_SEED repeats a run. KILLS (20) is their number in `make test`; `make soak` does KILLS_FOR_LONG (500)."""
import copy
import datetime
import json
import os
import random
import shutil
import subprocess
import time

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import LOAD_DAYS

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
KILLS = int(os.environ.get("KILLS", 20))
KILLS_FOR_LONG = int(os.environ.get("KILLS_FOR_LONG", 500))
FIRST_DAY = datetime.date(2022, 4, 1)
LATER = [f"2030-01-0{n}" for n in range(1, 6)]  # days of rows that no file has
LOADED = ("SELECT id, amount, file_date AS day FROM read_json(var('in'), columns => "
          "{id: 'BIGINT', amount: 'BIGINT'}, file_date => true)")
PARTS = """\
name: parts
vars:
  lake: {type: uri}
lake: lake
tasks:
  - table: shop.p
    sql: p.sql
    partition_by: day
    overwrite: partitions
"""


def values(rows):
    return ", ".join(f"(CAST({id} AS BIGINT), CAST({amount} AS BIGINT), DATE '{day}')"
                     for id, (amount, day) in rows.items())


class Model:
    def __init__(self):
        self.rows = {"raw/t": {}, "shop/p": {}}
        self.loaded = set()


class Work:
    """A command of the program, and the model after it."""

    def __init__(self, words, table, after, again=True, is_broken=False):
        self.words, self.table, self.after, self.again = words, table, after, again
        self.is_broken = is_broken  # the table cannot be read before it


class World:
    def __init__(self, program, folder, seed):
        self.program, self.folder, self.lake = program, folder, folder / "lake"
        self.rng = random.Random(seed)
        self.model, self.story = Model(), []
        self.files, self.last_id, self.last_clone = {}, 0, 0
        self.states = {"raw/t": {}, "shop/p": {}}  # {table: {version: the model then}}
        self.seconds = 0.05  # what a command takes, about
        (folder / "in").mkdir()
        for name, text in {"days.yaml": LOAD_DAYS, "t.sql": LOADED, "parts.yaml": PARTS}.items():
            (folder / name).write_text(text)
        schema = pa.schema([("id", pa.int64()), ("amount", pa.int64()), ("day", pa.date32())])
        for table, keys in (("raw/t", None), ("shop/p", ["day"])):
            deltalake.write_deltalake(str(self.lake / table), pa.Table.from_pylist([], schema), partition_by=keys,
                                      configuration={"delta.checkpointInterval": "7"})

    def new_rows(self, n, days):
        self.last_id += n
        return {id: (self.rng.randrange(100), self.rng.choice(days))
                for id in range(self.last_id - n + 1, self.last_id + 1)}

    def any_table(self):
        return self.rng.choice(["raw/t", "shop/p"])

    def sql(self, table, text, change, again=True):
        after = copy.deepcopy(self.model)
        change(after.rows[table])
        return Work(["sql", "--write", "--lake", self.lake, text.format(t=table.replace("/", "."))], table, after,
                    again)

    def kept(self, table, *words):
        return Work(["table", *words], table, copy.deepcopy(self.model))

    # ---- the works

    def load(self):
        for _ in range(self.rng.randrange(1, 3)):
            day = str(FIRST_DAY + datetime.timedelta(days=len(self.files)))
            self.files[day] = self.new_rows(self.rng.randrange(1, 9), [day])
            (self.folder / "in" / (day.replace("-", "") + ".json")).write_text("".join(
                json.dumps({"id": id, "amount": amount}) + "\n" for id, (amount, _) in self.files[day].items()))
        after = copy.deepcopy(self.model)
        for day in sorted(set(self.files) - after.loaded):
            after.rows["raw/t"].update(self.files[day])
        after.loaded = set(self.files)
        return Work(["run", self.folder / "days.yaml", "--var", f"lake={self.lake}", "--var",
                     f"in={self.folder}/in"], "raw/t", after)

    def insert(self):
        new = self.new_rows(self.rng.randrange(1, 9), LATER)
        return self.sql(self.any_table(), f"INSERT INTO {{t}} VALUES {values(new)}", lambda rows: rows.update(new),
                        again=False)

    def delete(self):
        n, r = self.rng.choice([(5, 1), (7, 2), (11, 3)])

        def change(rows):
            for id in [id for id in rows if id % n == r]:
                del rows[id]
        return self.sql(self.any_table(), f"DELETE FROM {{t}} WHERE id % {n} = {r}", change)

    def update(self):
        bound = self.rng.randrange(100)

        def change(rows):
            for id, (amount, day) in rows.items():
                rows[id] = (amount + 1 if amount < bound else amount, day)
        return self.sql(self.any_table(), f"UPDATE {{t}} SET amount = amount + 1 WHERE amount < {bound}", change,
                        again=False)

    def merge(self):
        table = self.any_table()
        there = list(self.model.rows[table])
        old = self.rng.sample(there, min(len(there), 3))
        source = {id: (self.rng.randrange(100), self.model.rows[table][id][1]) for id in old}
        source.update(self.new_rows(2, LATER))
        return self.sql(table, f"MERGE INTO {{t}} t USING (VALUES {values(source)}) s(id, amount, day) "
                        "ON t.id = s.id WHEN MATCHED THEN UPDATE SET amount = s.amount "
                        "WHEN NOT MATCHED THEN INSERT *", lambda rows: rows.update(source))

    def partitions(self):
        new = self.new_rows(4, LATER)
        days = {day for _, day in new.values()}
        (self.folder / "p.sql").write_text(f"SELECT * FROM (VALUES {values(new)}) v(id, amount, day)")
        after = copy.deepcopy(self.model)
        kept = {id: row for id, row in after.rows["shop/p"].items() if row[1] not in days}
        after.rows["shop/p"] = {**kept, **new}
        return Work(["run", self.folder / "parts.yaml", "--var", f"lake={self.lake}"], "shop/p", after)

    def optimize(self):
        table = self.any_table()
        return self.kept(table, "optimize", self.lake / table)

    def cluster(self):
        return self.kept("raw/t", "cluster", self.lake / "raw/t", "--by",
                         self.rng.choice(["id,amount", "day,id", "amount"]))

    def vacuum(self):
        table = self.any_table()
        self.states[table].clear()
        return self.kept(table, "vacuum", self.lake / table, "--retention", "0s", "--no-retention-check")

    def restore(self):
        table = self.any_table()
        if not self.states[table]:
            return self.optimize()
        version = self.rng.choice(list(self.states[table]))
        then = self.states[table][version]
        after = copy.deepcopy(self.model)
        after.rows[table] = dict(then.rows[table])
        after.loaded = set(then.loaded) if table == "raw/t" else after.loaded
        return Work(["table", "restore", self.lake / table, "--version", version], table, after)

    def clone(self):
        table = self.any_table()
        self.last_clone += 1
        target = f"trial/c{self.last_clone}"
        after = copy.deepcopy(self.model)
        after.rows[target] = dict(after.rows[table])
        return Work(["table", "clone", self.lake / table, self.lake / target], target, after, again=False)

    def convert(self):
        self.last_clone += 1
        target = f"trial/c{self.last_clone}"
        after = copy.deepcopy(self.model)
        rows = self.new_rows(3, LATER)
        after.rows[target] = rows
        for id, (amount, day) in rows.items():
            place = self.lake / target / f"day={day}" / f"{id}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"id": [id], "amount": [amount]}), place)
        return Work(["table", "convert", self.lake / target], target, after, again=False)

    def repair(self):
        table = self.any_table()
        files = deltalake.DeltaTable(str(self.lake / table)).file_uris()
        if not files:
            return self.optimize()
        gone = self.rng.choice(files)
        ids = pq.ParquetFile(gone).read(["id"])["id"].to_pylist()
        os.unlink(gone)
        after = copy.deepcopy(self.model)
        for id in ids:
            del after.rows[table][id]
        self.states[table].clear()
        return Work(["table", "fsck", self.lake / table, "--repair", "--rows", len(ids)], table, after, again=False,
                    is_broken=True)

    WORKS = {load: 4, insert: 3, delete: 2, update: 2, merge: 3, partitions: 2, optimize: 2, cluster: 2, vacuum: 1,
             restore: 2, clone: 1, convert: 1, repair: 1}

    # ---- what is there

    def read(self, table):
        """The rows as smelt sees them; None: there is no such table."""
        done = self.program("sql", "--format", "json", f"FROM '{self.lake / table}'", check=False)
        if done.returncode != 0:
            assert "not a Delta table" in done.stderr or "no file or folder" in done.stderr, done.stderr
            return None
        return self.by_id([(row["id"], row["amount"], row["day"]) for row in json.loads(done.stdout)])

    def read_by_delta_rs(self, table):
        opened = deltalake.DeltaTable(str(self.lake / table))
        rows = pa.table(deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t").read_all())
        return self.by_id([(row["id"], row["amount"], str(row["day"])) for row in rows.to_pylist()])

    @staticmethod
    def by_id(rows):
        found = {id: (amount, day) for id, amount, day in rows}
        assert len(found) == len(rows), "a row is there twice"
        return found

    def check_tables(self, work):
        """After a kill: a table that is broken before the work may still be."""
        for table in ("raw/t", "shop/p"):
            if table == work.table and work.is_broken:
                continue
            wanted = [self.model.rows[table], work.after.rows[table]]
            assert self.read(table) in wanted, table
            assert self.read_by_delta_rs(table) in wanted, table
            self.program("table", "fsck", self.lake / table, *self.rng.choice([[], ["--data"]]))

    # ---- a step

    def kill(self, words):
        """Starts the command and kills it somewhere; whether it was."""
        env = dict(os.environ)
        by_call = self.rng.random() < 0.7
        if by_call:
            writes = self.rng.randrange(2)
            env["SMELT_FAULT"] = (f"at={self.rng.randrange(1, 9 if writes else 30)},writes={writes},"
                                  f"kind={self.rng.choice(['kill', 'kill_after'])}")
            self.story.append(env["SMELT_FAULT"])
        begun = time.monotonic()
        process = subprocess.Popen([self.program.path, *map(str, words)], env=env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        if not by_call:
            time.sleep(self.rng.uniform(0, self.seconds))
            process.kill()
        _, said = process.communicate(timeout=120)
        if process.returncode == 0:
            self.seconds = 0.8 * self.seconds + 0.2 * (time.monotonic() - begun)
        assert process.returncode in (0, -9), said
        return process.returncode == -9

    def state_of(self, work):
        if work.is_broken:
            done = self.program("table", "fsck", self.lake / work.table, "--json", check=False)
            return work.after.rows[work.table] if json.loads(done.stdout)["left"] == 0 else None
        return self.read(work.table)

    def step(self):
        """One work; whether it was killed."""
        fn = self.rng.choices(list(self.WORKS), self.WORKS.values())[0]
        work = fn(self)
        self.story.append(f"{fn.__name__}: {' '.join(map(str, work.words))}")
        old = None if work.is_broken else self.model.rows.get(work.table)
        new = work.after.rows[work.table]
        was_killed = self.kill(work.words)
        if was_killed:
            self.check_tables(work)
            assert self.state_of(work) in (old, new)
            if not work.again:  # completes what was begun
                self.program("table", "vacuum", self.lake / "shop/p", check=False)
            if work.again or self.state_of(work) == old:
                self.program(*work.words)
        assert self.state_of(work) == new
        self.model = work.after
        if work.table.startswith("trial/"):
            del self.model.rows[work.table]
            shutil.rmtree(self.lake / work.table)
        else:
            assert self.read_by_delta_rs(work.table) == new
            self.program("table", "fsck", self.lake / work.table)
            version = deltalake.DeltaTable(str(self.lake / work.table)).version()
            self.states[work.table][version] = copy.deepcopy(self.model)
        return was_killed


def go(program, folder, seed, n_kills):
    world, n = World(program, folder, seed), 0
    try:
        while n < n_kills:
            n += world.step()
    except BaseException:
        print(f"SMELT_SEED={seed}, {n} kills", *world.story[-40:], sep="\n")
        raise
    print(f"SMELT_SEED={seed}: {n} kills, {len(world.story)} lines of history")


def test_kills(program, tmp_path):
    go(program, tmp_path, SEED, KILLS)


@pytest.mark.soak
def test_many_kills(program, tmp_path):
    go(program, tmp_path, SEED, KILLS_FOR_LONG)
