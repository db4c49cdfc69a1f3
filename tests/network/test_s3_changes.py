"""What changes a table in S3, while the server fails: at each of its requests the program is killed, gets
only refusals from there on, or loses the answers to requests that were carried out. (On a disk:
faults/test_killed_changes.py and its neighbours.)

Always   The table has its old rows or its new ones, and fsck finds nothing. The same command, run again,
         ends the work; no row is there twice. An exit code of 0 means that the rows are new.
Number   `make test` draws requests for each work, by SMELT_SEED; `make soak` takes all with all kinds of
         faults. A kill before a request leaves what a kill after the one before it leaves."""
import concurrent.futures
import os
import random
import subprocess
import threading
import uuid

import pytest

import s3_proxy
from table_works import CHANGES, MAINTENANCE

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
WORKS = {**CHANGES, **MAINTENANCE}
KINDS = ["killed", "refused from there on", "answer lost", "answers lost from there on"]


def writes(method, target):
    """Before its first write a command has changed nothing."""
    return method in ("PUT", "POST", "DELETE")


class Disturbed:
    """A work, and copies of its lake in a bucket."""

    def __init__(self, name, program, server, folder):
        self.work, self.program, self.server, self.folder = WORKS[name], program, server, folder
        self.bucket = server.make_bucket("changes" + uuid.uuid4().hex[:12])
        self.work.prepare(folder)
        self.client, self.lock, self.n_lakes = server.client(), threading.Lock(), 0
        self.old = self.rows(self.new_lake())

    def new_lake(self):
        with self.lock:
            self.n_lakes += 1
            name = f"lake{self.n_lakes}"
        for path in sorted((self.folder / "lake").rglob("*")):
            if path.is_file():
                key = f"{name}/{path.relative_to(self.folder / 'lake')}"
                self.client.put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes())
        return f"s3://{self.bucket}/{name}"

    def rows(self, lake):
        return self.work.rows(self.program, lake, self.server.env)

    def is_open(self, lake):
        """Is there a publication that the next writer completes?"""
        folder = f"{lake.rpartition('/')[2]}/_smelt/journal/"
        names = [key[len(folder):].split(".") for key in self.server.keys(self.bucket, folder)]
        ended = {number for number, kind in names if kind == "done"}
        return any(kind == "json" and number not in ended for number, kind in names)

    def call(self, *words):
        return self.program(*words, check=False, env=self.server.env)

    def count(self):
        """The requests of the command from its first write on."""
        proxy = s3_proxy.Proxy(self.server)
        proxy.faults = s3_proxy.AtRequest(0, "", writes)
        lake = self.new_lake()
        try:
            self.program(*self.work.command(lake, self.folder), env=proxy.env)
        finally:
            proxy.stop()
        assert self.rows(lake) == self.work.new
        return proxy.faults.n

    def begin(self, lake, kind, k):
        """The command, while a fault happens at its k-th request; its exit code and words."""
        process, started = None, threading.Event()

        def kill():
            started.wait()
            process.kill()
        proxy = s3_proxy.Proxy(self.server)
        proxy.faults = s3_proxy.AtRequest(k, {"killed": "after", "refused from there on": "refused"}.get(kind, "lost"),
                                          writes, kill, lasts=kind.endswith("from there on"))
        env = {**os.environ, **proxy.env, **({"AWS_MAX_ATTEMPTS": "2"} if proxy.faults.lasts else {})}
        try:
            process = subprocess.Popen([self.program.path, *map(str, self.work.command(lake, self.folder))],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
            started.set()
            told = process.communicate(timeout=120)[1]
        finally:
            proxy.stop()
        return process.returncode, told

    def case(self, kind, k):
        """What came of it."""
        work, lake, what = self.work, self.new_lake(), f"{kind}, request {k}"
        code, told = self.begin(lake, kind, k)
        assert code in {"killed": [-9], "answer lost": [0]}.get(kind, [0, 1]), (what, code, told)
        assert code != 1 or "s3://" in told, (what, told)
        rows = self.rows(lake)
        assert rows in (self.old, work.new), (what, told)
        assert code != 0 or rows == work.new, (what, told)
        if rows is not None:
            done = self.call("table", "fsck", f"{lake}/{work.target}")
            assert done.returncode == 0, (what, done.stdout, done.stderr)
        assert code != 1 or not self.is_open(lake) or "publication was begun" in told, (what, told)
        work.settle(self.program, lake, self.server.env)
        if work.again or self.rows(lake) == self.old:
            again = self.call(*work.command(lake, self.folder))
            assert again.returncode == 0 or work.is_refused(again), (what, again.stderr)
        assert self.rows(lake) == work.new, what
        work.check_done(self.program, lake, self.server.env)
        done = self.call("table", "fsck", f"{lake}/{work.target}", "--data")
        assert done.returncode == 0, (what, done.stdout, done.stderr)
        return f"{kind}: {code}, {'new' if rows == work.new else 'old'}"


def do_cases(cases):
    """Each of (disturbed, kind, k), some at a time; what came of them, counted."""
    outcomes = {}
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for outcome in threads.map(lambda case: case[0].case(*case[1:]), cases):
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(sorted(outcomes.items()))
    return outcomes


def test_some_requests(program, minio, tmp_path):
    print(f"SMELT_SEED={SEED}")
    rng = random.Random(SEED)

    def draw(name):
        folder = tmp_path / name
        folder.mkdir()
        one = Disturbed(name, program, minio, folder)
        n = one.count()
        return [(one, kind, rng.randint(1, n)) for kind in ("killed", rng.choice(KINDS[1:]))]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        cases = [case for drawn in threads.map(draw, WORKS) for case in drawn]
    do_cases(cases)


@pytest.mark.soak
@pytest.mark.parametrize("name", WORKS)
def test_every_request(program, minio, tmp_path, name):
    one = Disturbed(name, program, minio, tmp_path)
    n = one.count()
    print(f"{name}: {n} requests")
    outcomes = do_cases([(one, kind, k) for kind in KINDS for k in range(1, n + 1)])
    assert {outcome.split(":")[0] for outcome in outcomes} == set(KINDS)
