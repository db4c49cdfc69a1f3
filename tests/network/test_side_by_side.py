"""Several pipelines at once in one process (side_by_side.c). Each has its own connections, counts,
cancel flag and part of the memory; all use the workers of one engine. Also run under
ThreadSanitizer."""
import json
import os
import subprocess

import pyarrow.parquet as pq
import pytest

import s3
from common import smelt_path
from customer360 import data_files

pytestmark = pytest.mark.concurrent

PIPELINE = """
name: shop
{connections}
vars:
  orders: {{type: uri{place}}}
  lake: {{type: uri{place}}}
lake: lake
sources:
  - {{name: orders, quarantine: refused.orders}}
tasks:
  - {{load: raw.orders, from: orders, sql: orders.sql, by: day}}
  - {{table: mart.sums, sql: sums.sql}}
"""
SQL = {
    "orders.sql": "SELECT id, shop, file_date AS day FROM read_json(var('orders'), "
                  "columns => {id: 'BIGINT', shop: 'VARCHAR'}, file_date => true, "
                  "bad_lines => 'quarantine', validate => 'all')",
    "sums.sql": "SELECT shop, count(*) AS n, sum(id) AS ids FROM raw.orders GROUP BY shop",
}


def make_pipeline(folder, connection=""):
    folder.mkdir()
    place = ", connection: place" if connection else ""
    (folder / "shop.yaml").write_text(PIPELINE.format(connections=connection, place=place))
    for name, sql in SQL.items():
        (folder / name).write_text(sql)
    return folder / "shop.yaml"


def lines(shop, n):
    """n lines, and one that is refused."""
    return "".join(f'{{"id":{i},"shop":"{shop}"}}\n' for i in range(n)) + '{"id":"x"}\n'


def side_by_side(*runs, threads=3, env=None):
    """Runs them; what each reports, and what the engine counted."""
    program = smelt_path().parent / "tests" / "side_by_side"
    if not program.exists():
        pytest.fail(f"no program at {program}: run `ninja -C {program.parent.parent}`")
    words = [str(word) for run in runs for word in ("--run", *run)]
    done = subprocess.run([program, str(threads), *words], env={**os.environ, **(env or {})},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *reports, engine = map(json.loads, done.stdout.splitlines())
    assert engine["live_allocs"] == 0
    return reports, engine, done.stderr


def sums(lake):
    return [row for file in data_files(lake / "mart" / "sums") for row in pq.read_table(file).to_pylist()]


def sum_of(shop, n):
    return [{"shop": shop, "n": n, "ids": n * (n - 1) // 2}]


# ---- one machine, no server -----------------------------------------------------------------------


def test_runs_do_not_mix(tmp_path):
    """Eight at once, on more workers than there are cores: each makes its own tables and counts its own
    lines; one that is stopped publishes nothing and stops no other."""
    pipeline = make_pipeline(tmp_path / "pipeline")
    runs = []
    for i in range(8):
        logs = tmp_path / f"logs{i}"
        logs.mkdir()
        (logs / "20230201.json").write_text(lines(f"shop{i}", 8000 + i))
        stop = ["stop"] if i == 5 else []
        runs.append([pipeline, *stop, f"orders={logs}", f"lake={tmp_path}/lake{i}"])
    reports, engine, stderr = side_by_side(*runs, threads=4)
    for i, report in enumerate(reports):
        lake = tmp_path / f"lake{i}"
        if i == 5:
            assert report["status"] == "INTERRUPTED"
            assert not list(lake.rglob("*.json"))
            continue
        assert report["status"] == "OK", stderr
        assert report["kept"] == 8000 + i and report["tables"] == 3
        assert sums(lake) == sum_of(f"shop{i}", 8000 + i)
        assert 0 < report["held_bytes"] <= 100_000_000 < 1_000_000_000
        assert report["peak_bytes"] > 0
    assert engine["requests"] == 0


# ---- one name of a bucket, two servers ------------------------------------------------------------


CONNECTION = """connections:
  - s3: place
    endpoint: {{env: {name}_URL}}
    key_id: {{env: {name}_ID}}
    secret: {{env: {name}_SECRET}}
"""
SIZES = {"ONE": 9000, "TWO": 4000}  # several morsels each


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    s3.require()
    folder = tmp_path_factory.mktemp("servers")
    found = {name: s3.Server("minio", folder / name / "data", secret=f"secret-of-{name}") for name in SIZES}
    for name, server in found.items():
        server.make_bucket("shop")
        server.client().put_object(Bucket="shop", Key="logs/20230201.json",
                                   Body=lines(name, SIZES[name]).encode())
    yield found
    for server in found.values():
        server.stop()


def test_one_bucket_of_two_servers(servers, tmp_path):
    """The same URIs, and the same name of the connection: only the keys and places differ."""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "nobody",
           "AWS_SECRET_ACCESS_KEY": "wrong"}
    runs = []
    for name, server in servers.items():
        pipeline = make_pipeline(tmp_path / name, CONNECTION.format(name=name))
        env |= {f"{name}_URL": server.endpoint, f"{name}_ID": s3.KEY_ID, f"{name}_SECRET": server.secret}
        runs += [[pipeline, "orders=s3://shop/logs", f"lake=s3://shop/lake{i}"] for i in range(2)]
    stopped = [runs[0][0], "stop", "orders=s3://shop/logs", "lake=s3://shop/stopped"]
    reports, engine, stderr = side_by_side(*runs, stopped, env=env)

    assert [report["status"] for report in reports] == ["OK"] * 4 + ["INTERRUPTED"], stderr
    for report, name in zip(reports, ("ONE", "ONE", "TWO", "TWO")):
        n_bytes = len(lines(name, SIZES[name]))
        assert report["kept"] == SIZES[name] and report["retries"] == 0
        assert n_bytes <= report["read_bytes"] < 4 * n_bytes + 100_000
        assert report["requests"] > 10 and report["written_bytes"] > 1000
    assert reports[4]["written_bytes"] == 0
    for count in ("requests", "retries", "read_bytes", "written_bytes"):
        assert engine[count] == sum(report[count] for report in reports)
    for name, server in servers.items():
        assert not server.keys("shop", "stopped")
        for i in range(2):
            folder = tmp_path / f"{name}-lake{i}"
            server.download("shop", f"lake{i}/", folder)
            assert sums(folder) == sum_of(name, SIZES[name])
