"""A month in the life of a lake. Files arrive, change, are touched, vanish and return at random.
Runs are killed at random, and have few or many threads and little memory. After each complete run
every table is as a model in Python says.

The model knows, for each file, what of it was loaded. A run loads new files. If a loaded file has
changed, the rows of its date become those of the files that are there now. A file that is gone
keeps its rows until then. viewing_line.py decides about lines, DuckDB computes gold.

SMELT_SEED repeats a run; `make soak` goes on for SOAK_MINUTES (10)."""
import collections
import gzip
import json
import os
import random
import shutil
import time

import pyarrow as pa
import pytest

import viewing_line
from customer360 import (BRONZE, COLUMNS, assert_same, duckdb_gold, generate, read_table, run,
                         run_process, sorted_by, without_contracts)

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
MINUTES = float(os.environ.get("SOAK_MINUTES", 10))
DAYS = 6


class Month:
    def __init__(self, program, folder, seed):
        self.program, self.folder = program, folder
        self.rng = random.Random(seed)
        self.logs, self.lake = folder / "logs", folder / "lake"
        self.logs.mkdir(parents=True)
        self.pipeline = without_contracts(folder)  # a file of only broken lines is ordinary here
        self.pool = []
        for damage in (0.02, 0.5):
            made = generate(program, folder / f"pool{damage}", days=1, rows=3000, contracts=60,
                            damage=damage, mixed=True, seed=seed)
            self.pool += [raw for _, raw in made.lines(made.files[0])]
        self.texts = {}  # file -> its bytes, unpacked
        self.loaded = {}  # file -> the bytes that were loaded
        self.clock = 1_650_000_000
        self.story = []

    # ---- what happens to the folder

    def write(self, name):
        start = self.rng.randrange(len(self.pool))
        lines = self.pool[start:start + self.rng.choice([0, 1, 3, 40, 400, 2500])]
        text = b"\n".join(lines) + self.rng.choice([b"", b"\n", b"\n\n", b"\r\n"])
        if self.rng.random() < 0.1:
            text = b"\xef\xbb\xbf" + text
        self.texts[name] = text
        data = gzip.compress(text, mtime=0) if name.endswith(".gz") else text
        (self.logs / name).write_bytes(data)
        self.touch(name)

    def touch(self, name):
        self.clock += 1
        os.utime(self.logs / name, (self.clock, self.clock))

    def one_of_twins(self, name):
        """A name once and once more behind .gz is refused where the contents differ: the one there is."""
        twin = name.removesuffix(".gz") if name.endswith(".gz") else name + ".gz"
        return twin if twin in self.texts or twin in self.loaded else name

    def change_folder(self):
        names = sorted(self.texts)
        kind = self.rng.choice(["new", "new", "change", "touch", "remove", "return"])
        if kind == "new" or not names:
            name = f"{self.rng.choice(['', 'tv-'])}2022040{self.rng.randint(1, DAYS)}"
            name += self.rng.choice(["", "_a", "_b"]) + self.rng.choice([".json", ".json", ".json.gz"])
            name = self.one_of_twins(name)
            kind = "change" if name in self.texts else "new"
            self.write(name)
        elif kind == "return":
            gone = sorted(set(self.loaded) - set(names))
            name = self.rng.choice(gone) if gone else names[0]
            if gone:
                # Of its own: with the text of a file that is gone it would be that one, moved.
                text = self.loaded[name] or b'{"_id":"back %d"}\n' % self.clock
                self.texts[name] = text
                data = gzip.compress(text, mtime=0) if name.endswith(".gz") else text
                (self.logs / name).write_bytes(data)
            self.touch(name)
        else:
            name = self.rng.choice(names)
            if kind == "change":
                self.write(name)
            elif kind == "touch":
                self.touch(name)
            elif len(names) > 1:
                (self.logs / name).unlink()
                del self.texts[name]
        self.story.append(f"{kind} {name}")

    # ---- what a run must make of it

    @staticmethod
    def day_of(name):
        return int(name.split("202204")[1][:2])

    def load(self):
        """The model's run."""
        for day in range(1, DAYS + 1):
            here = {name for name in self.texts if self.day_of(name) == day}
            before = {name for name in self.loaded if self.day_of(name) == day}
            # One whose rows are gone with its Date is a new one, should it return.
            if any(self.loaded[name] not in (None, self.texts[name]) for name in here & before):
                for name in before - here:
                    self.loaded[name] = None  # its rows are gone with the Date
            for name in here:
                self.loaded[name] = self.texts[name]

    def wanted(self):
        """(bronze, [(file, line, byte_offset, column, reason, raw)])"""
        rows, refused = [], []
        for name, text in self.loaded.items():
            at = 3 if (text or b"").startswith(b"\xef\xbb\xbf") else 0
            number = 0
            while text is not None and at < len(text):
                end = text.find(b"\n", at)
                end = len(text) if end < 0 else end
                number += 1
                found = viewing_line.judge(text[at:end])
                if found.kind == "kept":
                    rows.append({**found.values, "Date": f"2022-04-{self.day_of(name):02}"})
                elif found.kind == "refused":
                    refused.append((name, number, at, found.column, found.reason, text[at:end]))
                at = end + 1
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        days = pa.array(columns.pop("Date"), pa.string()).cast(pa.date32())
        arrays = {name: pa.array(values, BRONZE.field(name).type) for name, values in columns.items()}
        return pa.table({**arrays, "Date": days}, schema=BRONZE), refused

    def check(self):
        what = f"SMELT_SEED={SEED}: {'; '.join(self.story[-12:])}"
        bronze, refused = self.wanted()
        found = read_table(self.lake / "bronze/viewing_log")
        if found.num_rows or bronze.num_rows:
            assert rows_of(found) == rows_of(bronze), what
        silver, gold = duckdb_gold(bronze)
        for table, wanted in (("silver/customer_viewing", silver), ("gold/customer360", gold)):
            rows = read_table(self.lake / table)
            if rows.num_rows or wanted.num_rows:
                assert_same(sorted_by(rows, "Contract"), wanted, f"{table}, {what}")
        told = [(row["file"].rsplit("/", 1)[-1], row["line"], row["byte_offset"], row["column"],
                 row["reason"], row["raw"])
                for row in read_table(self.lake / "quarantine/viewing_log").to_pylist()]
        assert sorted(told, key=str) == sorted(refused, key=str), what

    # ---- runs

    def run(self):
        options = ["--threads", self.rng.choice([1, 2, 5]), "--memory-limit",
                   self.rng.choice(["96MB", "200MB", "2GB"]), "--morsel-size",
                   self.rng.choice(["64KiB", "1MiB"])]
        while self.rng.random() < 0.4:
            fault = f"at={self.rng.randint(1, 40)},kind={self.rng.choice(['kill', 'kill_after'])},writes=1"
            self.story.append(fault)
            done = run_process(self.program, "delta", self.logs, self.lake, *options, pipeline=self.pipeline,
                               check=False, env={"SMELT_FAULT": fault})
            assert done.returncode in (0, -9), f"SMELT_SEED={SEED}: {self.story[-12:]}\n{done.stderr}"
        self.story.append("run")
        report = run(self.program, "delta", self.logs, self.lake, *options, pipeline=self.pipeline)
        lines = report["lines"]
        assert lines["read"] == lines["kept"] + lines["quarantined"] + lines["blank"]
        self.load()

    def compare_direct(self):
        """Where no file is gone, the direct form gives the same gold."""
        if set(self.texts) == {name for name, text in self.loaded.items() if text is not None}:
            lake = self.folder / "direct"
            shutil.rmtree(lake, ignore_errors=True)
            run(self.program, "direct", self.logs, lake, pipeline=self.pipeline)
            one, two = (read_table(here / "gold/customer360") for here in (lake, self.lake))
            assert rows_of(one) == rows_of(two), f"SMELT_SEED={SEED}: {self.story[-12:]}"


def rows_of(table):
    return collections.Counter(json.dumps(row, default=str, sort_keys=True)
                               for row in table.to_pylist())


def live(month, is_over):
    steps = 0
    while not is_over(steps):
        for _ in range(month.rng.randint(1, 3)):
            month.change_folder()
        month.run()
        month.check()
        if steps % 4 == 0:
            month.compare_direct()
        steps += 1
    return steps


def test_a_short_month(program, tmp_path):
    print(f"SMELT_SEED={SEED}")
    live(Month(program, tmp_path, SEED), lambda steps: steps == 8)


@pytest.mark.soak
def test_a_long_month(program, tmp_path):
    """Several lakes, each from nothing, so that first runs and long logs both come often."""
    print(f"SMELT_SEED={SEED}, {MINUTES} minutes")
    end = time.monotonic() + MINUTES * 60
    number = 0
    while time.monotonic() < end:
        month = Month(program, tmp_path / str(number), SEED + number)
        live(month, lambda steps: steps == 40 or time.monotonic() >= end)
        shutil.rmtree(tmp_path / str(number))
        number += 1
    print(f"{number} lakes")
