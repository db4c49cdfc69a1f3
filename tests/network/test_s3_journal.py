"""The journal of publications on a real S3 server, behind a proxy that fails. At each request of a
publication of three tables the program is killed, delayed, or gets no answer, while others read,
write through smelt, and write with delta-rs, which does not know the journal. (On a disk:
faults/test_journal.py.)

Method   Uses the scenarios of changed_logs.py. A lake is copied into the bucket. The requests of a
         run are counted from where its publication lists the journal. The readers of smelt must
         see all tables as before the run, or all as an undisturbed run leaves them; after a command
         has written to the lake, always the latter.
Number   `make test` draws some requests, by SMELT_SEED; `make soak` takes all."""
import os
import random
import shutil
import subprocess
import threading
import uuid

import pyarrow as pa
import pytest

import s3_proxy
from appended_lines import TABLES
from changed_logs import rows_by_deltalake, run_other, scenario_of, seen

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
KILLS = ["before", "after"]  # the request is carried out, or not
PASSING = ["refused", "reset before", "lost", "timed out", "conflict"]
LASTING = ["refused", "reset before", "lost", "timed out"]
FOREIGN = [None, "append", "delete"]
ALL_COUNTS = """SELECT a.n AS a, b.n AS b, c.n AS c FROM (SELECT count(*) AS n FROM bronze.lines) a
CROSS JOIN (SELECT count(*) AS n FROM quarantine.lines) b
CROSS JOIN (SELECT count(*) AS n FROM silver.totals) c"""


class Begins:
    """Is it the first request of a publication? It lists the journal, when the data files are put."""

    def __init__(self):
        self.has_put = False

    def __call__(self, method, target):
        self.has_put = self.has_put or (method in ("PUT", "POST") and ".parquet" in target)
        return self.has_put and method == "GET" and "_smelt%2Fjournal" in target


class Bucket:
    """A scenario, its lakes in a bucket of a server, and a proxy before the server."""

    def __init__(self, name, program, server, folder):
        self.program, self.server, self.folder = program, server, folder
        self.scenario = scenario_of(name, program, folder)
        self.old = seen(program, self.scenario.start)
        self.new = seen(program, folder / "undisturbed")
        assert self.old != self.new
        self.proxy = s3_proxy.Proxy(server)
        self.name = server.make_bucket("journal" + uuid.uuid4().hex[:12])
        self.client = server.client()
        self.n_lakes = 0
        self.new_lake()

    def stop(self):
        self.proxy.stop()

    def new_lake(self):
        """The next case's lake, as it was before the run."""
        self.n_lakes += 1
        self.prefix = f"lake{self.n_lakes}"
        self.lake = f"s3://{self.name}/{self.prefix}"
        for path in sorted(self.scenario.start.rglob("*")):
            if path.is_file():
                key = f"{self.prefix}/{path.relative_to(self.scenario.start)}"
                self.client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())

    def begin(self, fault, attempts=None):
        """The run, whose requests go through the proxy."""
        self.new_lake()
        self.proxy.faults = fault
        words = ["run", self.scenario.pipeline, "--var", f"logs={self.scenario.logs}", "--var",
                 f"lake={self.lake}", "--var", "month=2022-04", "--threads", "2"]
        more = {"AWS_MAX_ATTEMPTS": str(attempts)} if attempts else {}
        return subprocess.Popen([self.program.path, *words], stderr=subprocess.PIPE, text=True,
                                cwd=self.program.cwd, env={**os.environ, **self.proxy.env, **more})

    def run_again(self):
        return self.program("run", self.scenario.pipeline, "--var", f"logs={self.scenario.logs}", "--var",
                            f"lake={self.lake}", "--var", "month=2022-04", "--threads", 2,
                            env=self.server.env)

    def run_other(self):
        """Another pipeline's run into the lake; what it tells."""
        return run_other(self.program, self.folder, self.scenario.logs, self.lake, self.server.env).stderr

    def seen(self):
        return seen(self.program, self.lake, self.server.env)

    def state(self, what):
        """"old" or "new", as smelt's readers see all tables; nothing else is right."""
        found = self.seen()
        assert found in (self.old, self.new), f"{what}: half of a publication is seen"
        return "new" if found == self.new else "old"

    def keys(self):
        return self.server.keys(self.name, f"{self.prefix}/")

    # ---- delta-rs

    def options(self):
        return {**self.server.env, "AWS_ALLOW_HTTP": "true", "AWS_CONDITIONAL_PUT": "etag"}

    def by_deltalake(self, table):
        return rows_by_deltalake(f"{self.lake}/{table}", self.options())

    def change_by_deltalake(self, kind, table):
        """Appends a copy of one of its rows, or deletes all."""
        import deltalake

        if not self.by_deltalake(table):
            return
        opened = deltalake.DeltaTable(f"{self.lake}/{table}", storage_options=self.options())
        if kind == "delete":
            opened.delete()
            return
        query = deltalake.QueryBuilder().register("t", opened).execute("SELECT * FROM t LIMIT 1")
        deltalake.write_deltalake(f"{self.lake}/{table}", pa.table(query.read_all()), mode="append",
                                  storage_options=self.options())


@pytest.fixture(scope="module")
def buckets(program, minio, tmp_path_factory):
    """bucket(name): that of a scenario, made once."""
    made = {}

    def bucket(name):
        if name not in made:
            made[name] = Bucket(name, program, minio, tmp_path_factory.mktemp("journal"))
        return made[name]
    yield bucket
    for one in made.values():
        one.stop()


def count_requests(bucket):
    """How many a publication has."""
    faults = s3_proxy.AtRequest(0, "", Begins())
    process = bucket.begin(faults)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    assert bucket.state("undisturbed") == "new"
    assert faults.n > 10
    return faults.n


# ---- the cases: each is a fault at the k-th request ---------------------------------------------


def killed(bucket, k, kind, foreign=None):
    """Readers change nothing and see all or nothing; then perhaps delta-rs writes to the last table;
    whoever writes next completes the publication, or takes it back. What came of it."""
    process = None
    started = threading.Event()

    def kill():
        started.wait()
        process.kill()
    process = bucket.begin(s3_proxy.AtRequest(k, kind, Begins(), kill))
    started.set()
    process.communicate(timeout=120)
    what = f"killed {kind} request {k}, {foreign}"
    assert process.returncode == -9, what
    keys = bucket.keys()
    state = bucket.state(what)
    assert bucket.keys() == keys, f"{what}: a reader has written"
    touched = "silver/totals"
    if foreign:
        bucket.change_by_deltalake(foreign, touched)
    left = [table for table in TABLES if not foreign or table != touched]
    told = bucket.run_other()
    found = bucket.seen()
    is_new = found[left[0]] == bucket.new[left[0]]
    wanted = bucket.new if is_new else bucket.old
    assert [found[table] for table in left] == [wanted[table] for table in left], (what, told)
    assert is_new or state == "old", what
    for table in left:  # now readers that know of no journal see the same
        assert bucket.by_deltalake(table) == (
            bucket.scenario.new if is_new else bucket.scenario.old)[table], (what, told)
    again = bucket.run_again()
    found = bucket.seen()
    for table in left[:2] if foreign else TABLES:
        assert found[table] == bucket.new[table], (what, again.stderr)
    return ("taken back" if "was taken back" in told else "completed" if "was completed" in told
            else "abandoned" if "was abandoned" in told else "nothing open")


def held_up(bucket, k, foreign=None):
    """The publisher waits at a request; another run completes what it has begun, and publishes; it goes
    on. What came of it."""
    reached, go_on = threading.Event(), threading.Event()

    def hold():
        reached.set()
        go_on.wait(25)
    process = bucket.begin(s3_proxy.AtRequest(k, "held", Begins(), hold))
    what = f"held at request {k}, {foreign}"
    assert reached.wait(60), what
    try:
        bucket.state(what)
        if foreign:
            bucket.change_by_deltalake(foreign, "silver/totals")
        told = bucket.run_other()
        found = bucket.seen()
    finally:
        go_on.set()
    error = process.communicate(timeout=120)[1]
    assert process.returncode in (0, 4), f"{what}: {process.returncode} {error}"
    is_new = process.returncode == 0
    left = TABLES[:2] if foreign else TABLES
    for table in left:
        states = [name for name in ("old", "new") if found[table] == getattr(bucket, name)[table]]
        assert states and (states[-1] == "old" or is_new or bucket.old[table] == bucket.new[table]), (
            f"{what}: {table} {error}")
    after = bucket.seen()
    wanted = bucket.new if is_new else bucket.old
    assert [after[table] for table in left] == [wanted[table] for table in left], f"{what}: {error}"
    bucket.run_again()
    after = bucket.seen()
    assert [after[table] for table in TABLES[:2]] == [bucket.new[table] for table in TABLES[:2]], what
    return "helped" if "a publication that was left open" in told else "was first"


def not_answered_once(bucket, k, kind):
    """The run tries again, and ends well."""
    faults = s3_proxy.AtRequest(k, kind, Begins())
    process = bucket.begin(faults)
    error = process.communicate(timeout=120)[1]
    what = f"{kind} at request {k}"
    assert process.returncode == 0, f"{what}: {error}"
    assert bucket.state(what) == "new"
    for table in TABLES:
        assert bucket.by_deltalake(table) == bucket.scenario.new[table], what
    return "rode out" if faults.done else "not reached"


def not_answered_any_more(bucket, k, kind):
    """From there on nothing is answered: the run says so. The next one completes it."""
    process = bucket.begin(s3_proxy.AtRequest(k, kind, Begins(), lasts=True), attempts=2)
    error = process.communicate(timeout=120)[1]
    what = f"{kind} from request {k} on"
    assert process.returncode in (0, 1), f"{what}: {process.returncode} {error}"
    state = bucket.state(what)
    assert state == "new" or process.returncode == 1, f"{what}: {error}"
    assert "s3://" in error or process.returncode == 0, error
    told = bucket.run_again().stderr
    assert bucket.state(f"after {what}") == "new", told
    for table in TABLES:
        assert bucket.by_deltalake(table) == bucket.scenario.new[table], what
    return "completed" if "was completed" in told else "made anew" if state == "old" else "was done"


def all_cases(bucket):
    """[(function, arguments)] of the scenario's publication. delta-rs can only change a table that was
    there before it."""
    cases = []
    by_others = FOREIGN if bucket.old["silver/totals"] else [None]
    for k in range(1, count_requests(bucket) + 1):
        cases += [(killed, (k, kind, foreign)) for kind in KILLS for foreign in by_others]
        cases += [(held_up, (k, foreign)) for foreign in by_others]
        cases += [(not_answered_once, (k, kind)) for kind in PASSING]
        cases += [(not_answered_any_more, (k, kind)) for kind in LASTING]
    return cases


def do_cases(bucket, cases):
    """What came of them, counted."""
    outcomes = {}
    for function, arguments in cases:
        out = f"{function.__name__}: {function(bucket, *arguments)}"
        outcomes[out] = outcomes.get(out, 0) + 1
    print(sorted(outcomes.items()))
    return outcomes


def test_some_requests(buckets):
    """A few of each kind of case."""
    print(f"SMELT_SEED={SEED}")
    rng = random.Random(SEED)
    bucket = buckets("append")
    cases = all_cases(bucket)
    drawn = [case for function in (killed, held_up, not_answered_once, not_answered_any_more)
             for case in rng.sample([case for case in cases if case[0] is function], 5)]
    do_cases(bucket, drawn)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["append", "replace", "first load"])
def test_every_request(buckets, name):
    bucket = buckets(name)
    outcomes = do_cases(bucket, all_cases(bucket))
    wanted = {"killed: completed", "held_up: helped", "held_up: was first", "not_answered_once: rode out",
              "not_answered_any_more: completed", "not_answered_any_more: made anew"}
    if bucket.old["silver/totals"]:
        wanted |= {"killed: taken back", "killed: abandoned"}
    assert wanted <= set(outcomes)


def test_a_reader_meanwhile(buckets):
    """One command reads all three tables, again and again, while a publication is slow: it never sees
    some of them old and others new."""
    bucket = buckets("append")
    faults = s3_proxy.Faults(SEED, 1.0, ["late"])
    counts = {name: tuple(len(getattr(bucket, name)[table]) for table in TABLES) for name in ("old", "new")}
    assert counts["old"] != counts["new"]
    process = bucket.begin(faults)
    found = []
    while process.poll() is None:
        row, = bucket.program.sql(ALL_COUNTS, "--lake", bucket.lake, env=bucket.server.env)
        found.append((row["a"], row["b"], row["c"]))
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    assert bucket.state("after it") == "new"
    print(f"{len(found)} reads")
    assert len(found) > 5 and set(found) <= set(counts.values()), found
    assert found == sorted(found, key=list(counts.values()).index)
