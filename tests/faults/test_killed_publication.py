"""Three tables and two quarantines that one run publishes together, under contracts, killed at random: at a
call to the store, or after some time. Meanwhile others read.

Readers of smelt   one command after the other, in another process: each must see the state behind some run,
                   all tables of it.
The next command   whatever it is, behind it all tables are as before the run or as after it, also for who
                   opens them by path; the run once more gives the state after it, no row twice.
Readers by path    delta-rs in a third process opens the three one after the other, all the time. It may see a
                   mixture while the commits are made, and from a kill between two commits to the next
                   command. How long is printed: docs/pipelines.md has the numbers.
SMELT_SEED repeats the kills. KILLS (30) is their number in `make test`; `make soak` does KILLS_FOR_LONG (300)."""
import datetime
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

import deltalake
import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
KILLS = int(os.environ.get("KILLS", 30))
KILLS_FOR_LONG = int(os.environ.get("KILLS_FOR_LONG", 300))
TABLES = ["raw/orders", "mart/good", "mart/totals"]
FILES = {
    "p.yaml": """\
name: shop
vars:
  in: {type: uri, default: ./in}
  lake: {type: uri, default: ./lake}
lake: lake
sources:
  - {name: in}
tasks:
  - {load: raw.orders, from: in, sql: load.sql, by: day, contract: {file: c.yaml, table: orders}}
  - {table: mart.good, sql: good.sql, contract: {file: c.yaml, table: good}}
  - {table: mart.totals, sql: totals.sql, contract: {file: c.yaml, table: totals}}
""",
    "load.sql": "SELECT id, city, amount, file_date AS day FROM read_json(var('in'), file_date => true, "
                "columns => {id: 'BIGINT', city: 'VARCHAR', amount: 'BIGINT'})",
    "good.sql": "SELECT id, city, amount FROM raw.orders",
    "totals.sql": "SELECT city, count(*) AS n, CAST(sum(amount) AS BIGINT) AS amount FROM mart.good GROUP BY city",
    "c.yaml": """\
apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, unique: true}
      - name: amount
        logicalType: integer
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: smelt.onViolation, value: quarantine}]
      - name: city
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, severity: warning}]
  - name: good
    properties:
      - name: amount
        logicalType: integer
        logicalTypeOptions: {maximum: 8}
        customProperties: [{property: smelt.onViolation, value: quarantine}]
  - name: totals
    properties:
      - {name: city, logicalType: string, unique: true}
      - {name: n, logicalType: integer, logicalTypeOptions: {minimum: 1}}
""",
}
STATE = """
SELECT (SELECT count(*) FROM raw.orders) AS n, (SELECT sum(id) FROM raw.orders) AS ids,
    (SELECT count(*) FROM mart.good) AS n_good, (SELECT sum(id) FROM mart.good) AS good_ids,
    (SELECT sum(n) FROM mart.totals) AS n_totals, (SELECT sum(amount) FROM mart.totals) AS amount,
    (SELECT count(*) FROM quarantine.orders) AS n_left, (SELECT count(*) FROM quarantine.good) AS n_good_left"""
# Prints when it began to open the tables, when it had, and their versions; until it is ended.
BY_PATH = """
import sys, time, deltalake
while True:
    begun = time.monotonic()
    versions = [deltalake.DeltaTable(path).version() for path in sys.argv[1:]]
    print(begun, time.monotonic(), *versions, flush=True)
"""


class Model:
    """What the tables are behind each run: `states` of all runs so far."""

    def __init__(self, rng):
        self.rng, self.rows, self.n_left, self.n_good_left, self.states = rng, [], 0, 0, []

    def new_file(self, number):
        """Rows of one more file: at least one leaves the load, one mart.good, and one stays, so that each
        run makes a version of all tables."""
        amounts = [-1, 9, 5] + [self.rng.randrange(-3, 12) for _ in range(self.rng.randrange(6))]
        rows = [{"id": number * 100 + i, "city": self.rng.choice(["Oslo", "Rome", "Bern"]), "amount": amount}
                for i, amount in enumerate(amounts)]
        self.rows += [row for row in rows if row["amount"] >= 0]
        self.n_left += sum(row["amount"] < 0 for row in rows)
        good = [row for row in self.rows if row["amount"] <= 8]
        self.n_good_left += len(self.rows) - len(good)
        self.states.append({
            "n": len(self.rows), "ids": sum(row["id"] for row in self.rows), "n_good": len(good),
            "good_ids": sum(row["id"] for row in good), "n_totals": len(good),
            "amount": sum(row["amount"] for row in good), "n_left": self.n_left,
            "n_good_left": self.n_good_left})
        return "".join(json.dumps(row) + "\n" for row in rows)


class Lake:
    def __init__(self, program, folder, seed):
        self.program, self.folder, self.lake = program, folder, folder / "lake"
        self.rng = random.Random(seed)
        self.model, self.story = Model(self.rng), []
        (folder / "in").mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)
        self.give()
        self.command("run", "p.yaml")
        self.command("sql", "--write", "--lake", "lake", "CREATE TABLE aside.t AS SELECT 1 AS x")
        assert self.state() == self.model.states[-1]
        self.seconds, self.n_writes = 0.1, 60  # that a run takes, about; the last ones are its publication
        self.mixed, self.open = [], []  # seconds of undisturbed publications; (from, to) after kills
        self.n_completed = 0

    def give(self):
        number = len(self.model.states)
        day = datetime.date(2022, 4, 1) + datetime.timedelta(days=number)
        (self.folder / f"in/{day:%Y%m%d}.json").write_text(self.model.new_file(number))

    def command(self, *words, check=True):
        return self.program(*words, cwd=self.folder, check=check)

    def state(self):
        found, = json.loads(self.command("sql", STATE, "--lake", "lake", "--format", "json").stdout)
        return found

    def versions_by_path(self):
        return [deltalake.DeltaTable(self.lake / table).version() for table in TABLES]

    # ---- a run that is killed, and what follows

    def killed(self):
        """Begins a run and kills it somewhere, mostly in the writes of its publication; whether it was."""
        env = dict(os.environ)
        by_call = self.rng.random() < 0.85
        write = self.rng.randrange(self.n_writes - 12 if self.rng.random() < 0.8 else 1, self.n_writes + 2)
        if by_call:
            env["SMELT_FAULT"] = f"at={write},writes=1,kind={self.rng.choice(['kill', 'kill_after'])}"
        begun = time.monotonic()
        process = subprocess.Popen([self.program.path, "run", "p.yaml", "--json"], cwd=self.folder, env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not by_call:
            time.sleep(self.rng.uniform(0, self.seconds))
            process.send_signal(signal.SIGKILL)
        said, error = process.communicate(timeout=120)
        self.story.append(f"{env.get('SMELT_FAULT', 'after a time')}: {process.returncode}")
        assert process.returncode in (0, -9), error
        if by_call:
            self.n_writes = write - 1 if process.returncode == 0 else max(self.n_writes, write)
        if process.returncode == 0:
            self.seconds = 0.8 * self.seconds + 0.2 * (time.monotonic() - begun)
            self.mixed.append(json.loads(said)["mixed_seconds"])
        return process.returncode == -9

    def next_command(self):
        words = self.rng.choice([
            ["run", "p.yaml"], ["run", "p.yaml"], ["sql", "--write", "--lake", "lake", "INSERT INTO aside.t VALUES (1)"],
            ["table", "optimize", "lake/aside/t"]])
        self.story.append(" ".join(words[:2]))
        done = self.command(*words)
        self.n_completed += "a publication that was left open" in done.stderr
        return words[0] == "run"

    def round(self):
        """Whether the run was killed. A read by smelt sees one state and completes nothing."""
        old = self.model.states[-1]
        self.give()
        new = self.model.states[-1]
        was_killed = self.killed()
        at = time.monotonic()
        if was_killed:
            assert self.state() in (old, new)
            is_run = self.next_command()
            self.open.append((at, time.monotonic()))
            versions = self.versions_by_path()
            assert len(set(versions)) == 1, f"by path some tables are older: {versions}"
            assert self.state() in ([new] if is_run else [old, new])
            report = json.loads(self.command("run", "p.yaml", "--json").stdout)
            self.mixed += [report["mixed_seconds"]] if report["mixed_seconds"] else []
        assert self.state() == new
        assert self.versions_by_path() == [len(self.model.states) - 1] * 3
        return was_killed


class Readers:
    """Others who read while it goes on: smelt in a thread's processes, delta-rs in one."""

    def __init__(self, lake):
        self.lake, self.seen, self.is_over = lake, [], threading.Event()
        self.output = (lake.folder / "by_path.txt").open("w+")
        self.by_path = subprocess.Popen([sys.executable, "-c", BY_PATH, *(lake.lake / table for table in TABLES)],
                                        stdout=self.output)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while not self.is_over.is_set():
            done = self.lake.command("sql", STATE, "--lake", "lake", "--format", "json", check=False)
            self.seen.append(json.loads(done.stdout)[0] if done.returncode == 0 else done.stderr)

    def end(self):
        self.is_over.set()
        self.thread.join()
        assert self.by_path.poll() is None, "the reader by path has failed"
        self.by_path.kill()
        self.by_path.wait()
        self.output.seek(0)
        return [tuple(map(float, line.split())) for line in self.output if len(line.split()) == 5]


def mixtures(samples):
    """[(from, to)] in which the three were seen at different publications."""
    found, begin, end = [], None, None
    for begun, ended, *versions in samples:
        if len(set(versions)) > 1:
            begin, end = begin or begun, ended
        elif begin:
            found.append((begin, end))
            begin = None
    return found


def told(name, seconds):
    ms = sorted(1000 * s for s in seconds)
    return f"{name}: {len(ms)}, median {statistics.median(ms):.1f} ms, most {ms[-1]:.1f} ms" if ms else f"{name}: none"


def go(program, folder, seed, n_kills):
    lake, n = Lake(program, folder, seed), 0
    readers = Readers(lake)
    try:
        while n < n_kills:
            n += lake.round()
    except BaseException:
        print(f"SMELT_SEED={seed}, {n} kills", *lake.story[-20:], sep="\n")
        raise
    finally:
        samples = readers.end()
    for state in readers.seen:
        assert state in lake.model.states, f"SMELT_SEED={seed}: a reader of smelt saw a mixture: {state}"
    numbers = [lake.model.states.index(state) for state in readers.seen]
    assert numbers == sorted(numbers), "a reader of smelt saw an older state again"
    seen = mixtures(samples)
    left = [m for m in seen if any(m[0] < b and a < m[1] for a, b in lake.open)]
    print(f"SMELT_SEED={seed}: {n} kills, {lake.n_completed} publications completed by the next command",
          f"{len(readers.seen)} reads by smelt, {len(samples)} by delta-rs",
          told("mixtures as the runs tell them", lake.mixed),
          told("mixtures that delta-rs saw while commits were made", [b - a for a, b in seen if (a, b) not in left]),
          told("mixtures that delta-rs saw between a kill and the end of the next command", [b - a for a, b in left]),
          sep="\n")
    assert lake.n_completed > 0 and len(readers.seen) > n_kills and samples


def test_kills(program, tmp_path):
    go(program, tmp_path, SEED, KILLS)


@pytest.mark.soak
def test_many_kills(program, tmp_path):
    go(program, tmp_path, SEED, KILLS_FOR_LONG)
