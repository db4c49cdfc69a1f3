"""What changes a table and cannot be done: on a full disk, interrupted, with wrong keys, at the same time as
another, or of no table. The exit code and the message say so, the rows are as before, no file is left behind,
and fsck finds nothing."""
import json
import os
import random
import signal
import subprocess
import time

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))


def sql(text):
    return lambda uri: ["sql", "--write", text.format(t=f"'{uri}'", news=f"'{uri}.news.parquet'")]


def table(*words):
    return lambda uri: ["table", words[0], uri, *words[1:]]


# Each writes at least one data file, or in the last three a commit only.
STATEMENTS = {
    "insert": sql("INSERT INTO {t} SELECT id + 1000000, name FROM {t}"),
    "update": sql("UPDATE {t} SET name = name || '!' WHERE id % 2 = 0"),
    "delete": sql("DELETE FROM {t} WHERE id % 3 = 0"),
    "merge": sql("MERGE INTO {t} t USING {news} s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * "
                 "WHEN NOT MATCHED THEN INSERT *"),
    "replace": sql("CREATE OR REPLACE TABLE {t} AS SELECT id, name || 'x' AS name FROM {t}"),
}
COMPACTIONS = {
    "optimize": table("optimize"),
    "cluster": table("cluster", "--by", "id,name"),
}
COMMITS = {
    "vacuum": table("vacuum", "--retention", "0s", "--no-retention-check"),
    "restore": table("restore", "--version", "0"),
    "clone": lambda uri: ["table", "clone", uri, f"{uri}_clone"],
}
ALL = {**STATEMENTS, **COMPACTIONS, **COMMITS}


def make(uri, n_each, n_files=3):
    """A table of files with texts that do not compress, and news for a MERGE."""
    draw = random.Random(SEED)
    for n in range(n_files):
        deltalake.write_deltalake(str(uri), pa.table({
            "id": range(n * 100_000, n * 100_000 + n_each),
            "name": [f"{draw.getrandbits(128):032x}" for _ in range(n_each)]}), mode="append")
    news = [n * 100_000 + id for n in range(n_files) for id in range(n_each - 10, n_each + 10)]
    pq.write_table(pa.table({"id": news, "name": ["news"] * len(news)}), f"{uri}.news.parquet")
    return uri


def rows_of(smelt, uri):
    return smelt.sql(f"SELECT count(*) AS n, sum(id) AS ids, min(name) AS lo, max(name) AS hi FROM '{uri}'")


def unnamed_files(uri):
    """Data files that no version names, and what writers that did not end have left."""
    actions = [json.loads(line) for path in (uri / "_delta_log").glob("*.json")
               for line in path.read_text().splitlines()]
    named = {action["add"]["path"] for action in actions if "add" in action}
    return {path.name for path in uri.iterdir() if path.is_file()} - named


def check_as_before(smelt, uri, before):
    assert rows_of(smelt, uri) == before
    assert unnamed_files(uri) == set()
    smelt("table", "fsck", uri, "--data")


# ---- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(smelt, small_disk):
    """The table takes most of it: its rows do not fit in a second time."""
    uri = make(small_disk / "shop" / "t", 22_000)
    before = rows_of(smelt, uri)
    for name, command in {**STATEMENTS, **COMPACTIONS}.items():
        done = smelt(*command(uri), check=False)
        assert done.returncode == 1, (name, done.stdout)
        assert "No space left on device" in done.stderr, name
        assert done.stderr.count("smelt: ") == 1, done.stderr
        check_as_before(smelt, uri, before)


def test_a_merge_that_matches_twice(smelt, tmp_path):
    uri = make(tmp_path / "lake" / "shop" / "t", 50)
    before = rows_of(smelt, uri)
    done = smelt("sql", "--write", f"MERGE INTO '{uri}' t USING (VALUES (100007, 'a'), (3, 'b'), (100007, 'c')) "
                 "s(id, name) ON t.id = s.id WHEN MATCHED THEN UPDATE SET *", check=False)
    assert done.returncode == 1 and "several rows of the source match one row of the table: id = 100007" in done.stderr
    check_as_before(smelt, uri, before)


# ---- interrupted --------------------------------------------------------------------------------


def interrupt(smelt, folder, name, draw):
    """At a random moment, over a wire so slow that the work is under way: it ends soon, with 130."""
    uri = make(folder / "shop" / "t", 50)
    before = rows_of(smelt, uri)
    process = subprocess.Popen([smelt.path, *map(str, ALL[name](uri))], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**os.environ, "SMELT_FAULT": "delay_ms=60"})
    time.sleep(draw.uniform(0.05, 0.4))
    number = draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    process.send_signal(number)
    begun = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -number), said  # -number: the program had not yet begun
    assert time.monotonic() - begun < 5
    smelt("table", "vacuum", uri)  # completes what was begun
    if process.returncode != 0:
        assert process.returncode < 0 or "interrupted" in said
        check_as_before(smelt, uri, before)
        smelt(*ALL[name](uri))
    smelt("table", "fsck", uri, "--data")
    assert unnamed_files(uri) == set()
    return process.returncode == 130


@pytest.mark.parametrize("name", ALL)
def test_interrupted(smelt, tmp_path, name):
    print(f"SMELT_SEED={SEED}")
    interrupt(smelt, tmp_path, name, random.Random(f"{SEED} {name}"))


@pytest.mark.soak
@pytest.mark.parametrize("name", ALL)
def test_interrupted_often(smelt, tmp_path, name):
    print(f"SMELT_SEED={SEED}")
    draw = random.Random(f"{SEED} {name}")
    assert sum(interrupt(smelt, tmp_path / str(n), name, draw) for n in range(20)) > 5


# ---- two at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("one", STATEMENTS)
@pytest.mark.parametrize("other", ["update", "insert"])
def test_two_at_once(smelt, tmp_path, one, other):
    """Each is done, or ends with 4 and has changed nothing; the table is that of one order or the other."""
    uri = make(tmp_path / "lake" / "shop" / "t", 50)

    def after(number, *names):
        alone = make(tmp_path / f"alone{number}" / "shop" / "t", 50)
        for name in names:
            smelt(*ALL[name](alone))
        return rows_of(smelt, alone)

    slow = {**os.environ, "SMELT_FAULT": "delay_ms=3"}
    both = [subprocess.Popen([smelt.path, *map(str, ALL[name](uri))], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env=slow) for name in (one, other)]
    said = [process.communicate(timeout=60)[1] for process in both]
    done = [name for name, process in zip((one, other), both) if process.returncode == 0]
    assert {process.returncode for process in both} <= {0, 4}, said
    for process, text in zip(both, said):
        assert process.returncode == 0 or "safe to run again" in text, text
    assert done, said
    assert rows_of(smelt, uri) in [after(0, *done), after(1, *reversed(done))]
    assert unnamed_files(uri) == set()
    smelt("table", "fsck", uri, "--data")


@pytest.mark.parametrize("one, other", [("optimize", "optimize"), ("cluster", "cluster"), ("optimize", "cluster")])
def test_two_that_keep_the_rows_at_once(smelt, tmp_path, one, other):
    """Both end well: who lost has begun again, and leaves no file."""
    uri = make(tmp_path / "lake" / "shop" / "t", 50)
    before = rows_of(smelt, uri)
    slow = {**os.environ, "SMELT_FAULT": "delay_ms=5"}
    both = [subprocess.Popen([smelt.path, *map(str, ALL[name](uri))], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env=slow) for name in (one, other)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    check_as_before(smelt, uri, before)


# ---- no table, no right -------------------------------------------------------------------------

READS = {name: table(name) for name in ("show", "history", "files", "fsck")}
READS["diff"] = table("diff", "--from", "0")


@pytest.mark.parametrize("name", [name for name in [*ALL, *READS] if name != "replace"])  # which makes one
def test_no_table(smelt, tmp_path, name):
    uri = tmp_path / "lake" / "shop" / "t"
    done = smelt(*{**ALL, **READS}[name](uri), check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "no Delta table" in done.stderr or "no file or folder" in done.stderr, done.stderr
    assert str(uri) in done.stderr
    assert list(tmp_path.iterdir()) == [], "something was made"


@pytest.mark.parametrize("name", [*ALL, *READS])
def test_a_wrong_key(smelt, minio, name):
    """Nothing of a secret is printed."""
    env = {**minio.env, "AWS_SECRET_ACCESS_KEY": "no-such-secret"}
    done = smelt(*{**ALL, **READS}[name]("s3://lake/shop/t"), check=False, env=env)
    assert done.returncode == 1 and done.stdout == ""
    assert "s3://lake" in done.stderr and "SignatureDoesNotMatch" in done.stderr, done.stderr
    assert "no-such-secret" not in done.stderr
