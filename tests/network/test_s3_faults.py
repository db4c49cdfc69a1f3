"""The pipeline over a network that fails at random. A run prints and writes the same as without
faults, or fails with a clear error. Tables are at their old version or the new one, and no upload
is left behind. SMELT_SEED repeats a run."""
import json
import os
import random
import shutil
import uuid

import pytest

import s3_proxy
from customer360 import generate, hashes, run, run_process, versions

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
ROUNDS = 30
SOAK_ROUNDS = int(os.environ.get("SOAK_ROUNDS", 1000))
TABLES = ["bronze/viewing_log", "silver/customer_viewing", "gold/customer360",
          "quarantine/viewing_log"]


@pytest.fixture(scope="session")
def server(minio):
    return minio


@pytest.fixture(scope="session")
def proxy(server):
    one = s3_proxy.Proxy(server)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def month(program, server, tmp_path_factory):
    """(bucket with logs of two days, hashes of the tables that a run without faults makes)."""
    folder = tmp_path_factory.mktemp("month")
    logs = generate(program, folder / "logs", days=2, rows=4000, damage=0.02, mixed=True, seed=11)
    bucket = server.make_bucket("faults" + uuid.uuid4().hex[:12])
    server.upload(logs.folder, bucket, "logs/")
    report = run(program, "delta", logs.folder, folder / "lake")
    wanted = {table: hashes(folder / "lake" / table) for table in TABLES[:3]}
    return bucket, wanted, report["lines"]


def assert_whole(server, bucket, lake, wanted, folder):
    """Each table is there as wanted, or not at all: what stands in the bucket, seen without faults."""
    shutil.rmtree(folder, ignore_errors=True)
    server.download(bucket, f"{lake}/", folder)
    there = [table for table in TABLES if versions(folder / table)]
    for table in there:
        assert sorted(versions(folder / table)) == [0], table
        if table in wanted:
            assert hashes(folder / table) == wanted[table], table
    return there


def one_round(program, server, proxy, month, folder, seed):
    bucket, wanted, lines = month
    rng = random.Random(seed)
    share = rng.choice([0.02, 0.1, 0.3])
    proxy.faults = faults = s3_proxy.Faults(seed, share)
    lake = f"lake-{seed}"
    done = run_process(program, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/{lake}", check=False,
                       env={**proxy.env, "SMELT_LOG": "warn"}, timeout=300)
    proxy.faults = s3_proxy.Faults(0, 0.0)
    what = f"seed {seed}, {share} of requests, {dict(faults.done)}\n{done.stderr}"
    there = assert_whole(server, bucket, lake, wanted, folder)
    if done.returncode == 0:
        report = json.loads(done.stdout)
        assert report["lines"] == lines, what
        # Who asks sees each of these; what broke on a kept connection libcurl mends by itself.
        assert report["network"]["retries"] >= faults.done["refused"], what
        assert there == TABLES, what
    else:
        assert done.returncode in (1, 4), what
        assert "s3://" in done.stderr, what
        run(program, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/{lake}", env=proxy.env)
        assert assert_whole(server, bucket, lake, wanted, folder) == TABLES, what
    assert not server.uploads(bucket), what
    for key in server.keys(bucket, f"{lake}/"):
        server.client().delete_object(Bucket=bucket, Key=key)
    # A range of a table's file that was changed is seen, and not mended: then a clear error is right.
    return done.returncode == 0 or bool(faults.done["changed answer"]), faults.done


def rounds(program, server, proxy, month, folder, n):
    print(f"SMELT_SEED={SEED}")
    good, kinds = 0, set()
    for number in range(n):
        ended_well, done = one_round(program, server, proxy, month, folder / "seen", SEED + number)
        good += ended_well
        kinds |= set(done)
    print(f"{good} of {n} runs rode out their faults: {sorted(kinds)}")
    assert good >= n * 0.9
    return kinds


def test_changed_answers_are_seen(program, server, proxy, month, tmp_path):
    """One changed byte in what comes of a log or of a table's log, each of which comes whole in one
    request here: read again, and the rows are right."""
    bucket, wanted, lines = month
    for number, only in enumerate(["logs/20220401.json", "logs/20220402.json", "_delta_log/"]):
        proxy.faults = faults = s3_proxy.Faults(number, 1.0, ["changed answer"], only, most=1)
        lake = f"changed{number}"
        run(program, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/{lake}", env=proxy.env)
        report = run(program, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/{lake}", env=proxy.env)
        assert faults.done == {"changed answer": 1}, only
        assert assert_whole(server, bucket, lake, wanted, tmp_path / "seen") == TABLES


def test_a_change_in_a_large_log_is_an_error(program, server, proxy):
    """It comes in several requests, none of which has a checksum: its own is compared at its end."""
    bucket = server.make_bucket("changed" + uuid.uuid4().hex[:12])
    program("generate", "logs", f"s3://{bucket}/logs", "--month", "2022-04", "--days", 1, "--rows",
            200_000, "--seed", 13, env=server.env)
    proxy.faults = s3_proxy.Faults(1, 1.0, ["changed answer"], "20220401.json", most=1)
    done = run_process(program, "direct", f"s3://{bucket}/logs", f"s3://{bucket}/lake", check=False,
                       env=proxy.env)
    assert proxy.faults.done == {"changed answer": 1}
    assert done.returncode == 1 and "changed on its way" in done.stderr, done.stderr
    assert "20220401.json" in done.stderr
    assert not server.keys(bucket, "lake/")
    report = run(program, "direct", f"s3://{bucket}/logs", f"s3://{bucket}/lake", env=proxy.env)
    assert report["lines"]["kept"] == 200_000


LIMIT = 96_000_000


def over_slow_line(program, proxy, form, logs, lake):
    """A run over a line of 1 MB a second, both ways: what waits for the line stays within the limit."""
    proxy.faults, proxy.bytes_per_s = s3_proxy.Faults(0, 0.0), 1_000_000
    try:
        report = run(program, form, logs, lake, "--memory-limit", str(LIMIT), env=proxy.env, timeout=600)
    finally:
        proxy.bytes_per_s = 0
    assert report["seconds"] > report["network"]["read_bytes"] / 1_100_000
    assert report["peak_bytes"] <= LIMIT
    return report


def test_a_slow_line_holds_no_memory(program, server, proxy, month, tmp_path):
    bucket, wanted, lines = month
    report = over_slow_line(program, proxy, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/slow")
    assert report["lines"] == lines
    assert assert_whole(server, bucket, "slow", wanted, tmp_path / "seen") == TABLES


@pytest.mark.soak
def test_a_slow_line_holds_no_memory_for_long(program, server, proxy, month):
    """More logs than the limit."""
    bucket = month[0]
    program("generate", "logs", f"s3://{bucket}/large", "--month", "2022-04", "--days", 2, "--rows",
            300_000, "--seed", 12, env=server.env)
    report = over_slow_line(program, proxy, "direct", f"s3://{bucket}/large", f"s3://{bucket}/large-lake")
    assert report["lines"]["kept"] == 600_000


def test_faults(program, server, proxy, month, tmp_path):
    assert len(rounds(program, server, proxy, month, tmp_path, ROUNDS)) >= 6  # as they were drawn


@pytest.mark.soak
def test_faults_for_long(program, server, proxy, month, tmp_path):
    kinds = rounds(program, server, proxy, month, tmp_path, SOAK_ROUNDS)
    assert kinds == set(s3_proxy.Faults.KINDS)
