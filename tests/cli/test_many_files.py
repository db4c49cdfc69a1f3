"""Many more files than a process may open: a file is open only while it is read, little memory is
needed for each, and the time grows linearly with their number."""
import datetime
import json
import os
import resource
import subprocess
import sys

import pytest

HANDLES = 256
N = 4000


def few_handles():
    resource.setrlimit(resource.RLIMIT_NOFILE, (HANDLES, HANDLES))


def is_sanitized(smelt):
    return "asan" in str(smelt.path)


@pytest.fixture
def tight(smelt):
    """The program, where a process may have 256 handles."""
    def sql(text, *args):
        return smelt.sql(text, *args, preexec_fn=few_handles)
    return sql


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """N files of one line each."""
    folder = tmp_path_factory.mktemp("logs")
    for n in range(N):
        (folder / f"{n:06}.json").write_text(f'{{"id":{n}}}\n')
    return folder


@pytest.fixture(scope="module")
def parquet(program, tmp_path_factory):
    """N names of one Parquet file of two rows."""
    folder = tmp_path_factory.mktemp("parquet")
    first = folder / "000000.parquet"
    program("sql", "SELECT 20 AS id UNION ALL SELECT 22", "-o", first)
    for n in range(1, N):
        os.link(first, folder / f"{n:06}.parquet")
    return folder


def test_json(tight, logs):
    assert tight(f"SELECT count(*) AS n, sum(id) AS s FROM '{logs}/*.json'") == [
        {"n": N, "s": N * (N - 1) // 2}]


def test_json_behind_a_filter_and_a_limit(tight, logs):
    rows = tight(f"SELECT id FROM read_json('{logs}/*.json', filename => true) "
                 "WHERE filename LIKE '%999.json' LIMIT 3")
    assert [row["id"] for row in rows] == [999, 1999, 2999]


@pytest.mark.parametrize("threads", [1, 7])
def test_parquet(tight, parquet, threads):
    assert tight(f"SELECT count(*) AS n, sum(id) AS s FROM '{parquet}/*.parquet'", "--threads",
                 threads) == [{"n": 2 * N, "s": 42 * N}]


def test_several_at_once(tight, logs, parquet):
    """Each side of a join and of a union is a scan of its own."""
    rows = tight(f"""SELECT count(*) AS n FROM '{logs}/*.json' AS a JOIN
        (SELECT id FROM '{logs}/*.json' UNION ALL SELECT id FROM '{parquet}/*.parquet') AS b
        ON a.id = b.id""")
    assert rows == [{"n": N + 2 * N}]


def test_delta(tight, tmp_path, parquet):
    log = tmp_path / "table/_delta_log"
    log.mkdir(parents=True)
    size = (parquet / "000000.parquet").stat().st_size
    actions = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": {"id": "00000000-0000-4000-8000-000000000000", "partitionColumns": [],
                      "format": {"provider": "parquet", "options": {}}, "configuration": {},
                      "schemaString": json.dumps({"type": "struct", "fields": [
                          {"name": "id", "type": "integer", "nullable": True, "metadata": {}}]})}}]
    for n in range(N):
        os.link(parquet / f"{n:06}.parquet", tmp_path / f"table/{n:06}.parquet")
        actions.append({"add": {"path": f"{n:06}.parquet", "partitionValues": {}, "size": size,
                                "modificationTime": 0, "dataChange": True}})
    (log / f"{0:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
    assert tight(f"SELECT count(*) AS n, sum(id) AS s FROM delta_scan('{tmp_path}/table')") == [
        {"n": 2 * N, "s": 42 * N}]


PIPELINE = """\
name: many
vars: {logs: {type: uri, default: ./logs}, lake: {type: uri, default: ./lake}}
lake: lake
sources: [{name: logs, quarantine: bad.lines}]
tasks: [{load: raw.lines, from: logs, sql: lines.sql, by: day}]
"""
SQL = """SELECT id, file_date AS day FROM read_json(var('logs'), columns => {id: 'BIGINT'},
    file_date => true, bad_lines => 'quarantine', validate => 'all')"""


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "many.yaml").write_text(PIPELINE)
    (tmp_path / "lines.sql").write_text(SQL)
    (tmp_path / "logs").mkdir()
    return tmp_path


def put_logs(folder, n, n_days):
    for i in range(n):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=i % n_days)
        (folder / f"logs/{i:06}-{day:%Y%m%d}.json").write_text(
            f'{{"id":{i}}}\n' + ('{"id":"none"}\n' if i % 100 == 0 else ""))


def test_a_load(smelt, pipeline):
    put_logs(pipeline, N, 1)
    first = smelt.json("run", "many.yaml", "--json", preexec_fn=few_handles)
    assert first["files"]["read"] == N
    assert (first["lines"]["kept"], first["lines"]["quarantined"]) == (N, N // 100)
    again = smelt.json("run", "many.yaml", "--json", preexec_fn=few_handles)
    assert (again["files"]["read"], again["files"]["skipped"]) == (0, N)


def cpu_seconds(*words, **kwargs):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True, timeout=120, **kwargs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime


def test_who_waits_for_the_disk_does_not_turn(smelt, pipeline):
    """300 dates are 300 data files, and each is waited for: 0.03 s of CPU, and 1.5 s where the worker
    asks all the time whether it is written."""
    if is_sanitized(smelt):
        pytest.skip("measures the release build")
    put_logs(pipeline, 300, 300)
    slow = {**os.environ, "SMELT_FAULT": "delay_ms=5"}
    seconds = cpu_seconds(smelt.path, "run", "many.yaml", "--threads", "2", cwd=pipeline, env=slow)
    assert seconds < 0.5


PEAK = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"""


def peak_bytes(*words, **kwargs):
    """By way of a small process: a child's peak begins with that of its parent."""
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, words)], check=True,
                          capture_output=True, text=True, **kwargs)
    return int(done.stdout)


def test_what_is_known_of_a_file_is_small(smelt, tmp_path):
    """Some 710 bytes a file. None is read, so the rest of the peak is the same."""
    if is_sanitized(smelt):
        pytest.skip("measures the release build")
    (tmp_path / "one.json").write_text('{"id":1}\n')
    peaks = []
    for n in (1000, 41000):
        (tmp_path / f"l{n}").mkdir()
        for i in range(n):
            os.link(tmp_path / "one.json", tmp_path / f"l{n}/{i:06}.json")
        peaks.append(peak_bytes(
            smelt.path, "sql", f"SELECT count(*) AS n FROM read_json('l{n}/*.json', file_date => false, "
            "columns => {id: 'BIGINT'}, filename => true) WHERE filename = ''", cwd=tmp_path))
    assert (peaks[1] - peaks[0]) / 40_000 < 850
