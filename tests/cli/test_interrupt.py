"""Ctrl-C and SIGTERM end every command soon. The program gets the signal at a random moment;
SMELT_SEED repeats the moments. (tests/fault/cancel_fault_test.c watches how often the engine checks
its cancel flag.)"""
import os
import random
import signal
import subprocess
import time

import pytest

from common import smelt_path, wait_until_caught

SEED = int(os.environ.get("SMELT_SEED", random.randrange(1 << 32)))
ENDLESS = "FROM n a, n b, n c, n d"
NUMBERS = "WITH n AS (SELECT * FROM 'n.json') "
# A second of processor time over all threads: what is kept must be given back too.
LONGEST_S = 1.0


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


QUERIES = {
    "cross join": NUMBERS + f"SELECT count(*) {ENDLESS}",
    "one column": NUMBERS + f"SELECT a.n + b.n {ENDLESS}",
    "sort": NUMBERS + f"SELECT a.n {ENDLESS} ORDER BY a.n * d.n % 7919",
    "aggregate": NUMBERS + f"SELECT a.n * 1000 + b.n AS k, sum(c.n) {ENDLESS} GROUP BY k",
    "no match": NUMBERS + f"SELECT a.n {ENDLESS} WHERE a.n + b.n + c.n + d.n < 0",
    "slow function": NUMBERS + "SELECT regexp_matches(lpad('b', 17, 'a') || a.n, '(a+)+[c-d]') "
                               f"{ENDLESS}",
}
WAYS = [(name, output) for name in QUERIES for output in ("csv", "table", "x.parquet", "x.csv")]


def interrupt(arguments, folder, moment, kind, stdout=subprocess.DEVNULL):
    """The exit code, stderr, and the processor time that went by after the signal."""
    process = subprocess.Popen([smelt_path(), *arguments, "--threads", "2"], cwd=folder, text=True,
                               stdout=stdout, stderr=subprocess.PIPE)
    wait_until_caught(process, kind)
    time.sleep(moment)
    before = cpu_seconds(process.pid)
    os.kill(process.pid, kind)
    stderr = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, stderr, usage.ru_utime + usage.ru_stime - before


@pytest.fixture
def numbers(tmp_path):
    (tmp_path / "n.json").write_text("".join(f'{{"n":{n}}}\n' for n in range(300)))
    return tmp_path


@pytest.mark.parametrize("name, output", WAYS)
def test_sql_ends_when_interrupted(name, output, numbers):
    draw = random.Random(f"{SEED} {name} {output}")
    kind = draw.choice([signal.SIGINT, signal.SIGTERM])
    to = ["-o", output] if "." in output else ["--format", output]
    # A cross join is not held up by a slow file: its rows must not fill the memory first, and what it
    # has kept by then must not take a second to give back.
    limit, longest = ("4GB", 0.3) if name == "one column" else ("256MB", 0.7)
    code, stderr, took = interrupt(["sql", QUERIES[name], "--memory-limit", limit, *to], numbers,
                                   draw.uniform(0.1, longest), kind)
    assert code == 130, f"SMELT_SEED={SEED} {kind!r} {stderr}"
    assert "interrupted" in stderr
    assert took < LONGEST_S, f"SMELT_SEED={SEED} {kind!r}: {took} s of processor time afterwards"
    assert not list(numbers.glob("x.*")), "half a result"


def test_generate_ends_when_interrupted(tmp_path):
    code, stderr, took = interrupt(["generate", "logs", "logs", "--rows", "2000000"], tmp_path, 0.4,
                                   signal.SIGTERM)
    assert code == 130, stderr
    assert took < LONGEST_S


def test_run_ends_when_interrupted(numbers):
    (numbers / "p.yaml").write_text(
        "name: t\nlake: lake\nvars: {lake: {type: uri, default: ./lake}}\n"
        "tasks: [{table: silver.t, sql: t.sql}]\n")
    (numbers / "t.sql").write_text(
        f"WITH n AS (SELECT * FROM read_json('n.json')) SELECT a.n AS a, b.n AS b {ENDLESS}\n")
    code, stderr, took = interrupt(["run", "p.yaml"], numbers, 0.5, signal.SIGTERM)
    assert code == 130, stderr
    assert took < LONGEST_S
    assert not list(numbers.glob("lake/silver/t/_delta_log/*.json"))
