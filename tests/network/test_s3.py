"""Logs and tables in real S3 servers: the pipeline gives the same as on the local disk, names may
have any bytes, large objects are uploaded in parts, and each wrong setting is one clear error
without a secret."""
import gzip
import json
import os
import signal
import subprocess
import threading
import time
import uuid

import pytest

import s3
from customer360 import PIPELINE, generate, hashes, run, run_process

TABLES = ["bronze/viewing_log", "silver/customer_viewing", "gold/customer360",
          "quarantine/viewing_log"]


@pytest.fixture(scope="session", params=s3.KINDS)
def server(request, tmp_path_factory):
    s3.require()
    one = s3.Server(request.param, tmp_path_factory.mktemp(request.param) / "data")
    yield one
    one.stop()


@pytest.fixture
def bucket(server):
    return server.make_bucket("b" + uuid.uuid4().hex[:20])


@pytest.fixture
def s3_smelt(smelt, server):
    """smelt(...) with the server's endpoint and keys."""
    def call(*args, env=None, **kwargs):
        return smelt(*args, env={**server.env, **(env or {})}, **kwargs)
    return call


def rows(done):
    return json.loads(done.stdout)


# ---- statements ------------------------------------------------------------------------------


def test_merge_of_a_source_in_the_bucket(s3_smelt, bucket):
    """It is read several times, and each time its files are the same: by a listing, and by a name."""
    for n in range(3):
        s3_smelt("sql", f"SELECT {n} + i AS id, 1 AS v FROM (VALUES (0), (10), (20)) t(i)", "-o",
                 f"s3://{bucket}/src/{n}.parquet")
    s3_smelt("sql", "--write", f"CREATE TABLE 's3://{bucket}/t' AS SELECT 10::BIGINT AS id, 0 AS v")
    for source, n_rows in (("src/*.parquet", 9), ("src/1.parquet", 9)):
        s3_smelt("sql", "--write", f"""MERGE INTO 's3://{bucket}/t' t USING 's3://{bucket}/{source}' s
                 ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = t.v + s.v
                 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)""")
        done = s3_smelt("sql", f"SELECT count(*) AS n FROM 's3://{bucket}/t'", "--format", "json")
        assert rows(done) == [{"n": n_rows}]
    done = s3_smelt("sql", f"SELECT id, v FROM 's3://{bucket}/t' WHERE v <> 1 ORDER BY id", "--format", "json")
    assert rows(done) == [{"id": 1, "v": 2}, {"id": 11, "v": 2}, {"id": 21, "v": 2}]


# ---- the pipeline -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_same_tables_as_on_disk(smelt, s3_smelt, server, bucket, lake, tmp_path, form):
    logs = generate(smelt, tmp_path / "logs", days=3, rows=20_000, damage=0.02, mixed=True, seed=5)
    server.upload(logs.folder, bucket, "logs/")
    here = run(smelt, form, logs.folder, lake)
    there = run(s3_smelt, form, f"s3://{bucket}/logs", f"s3://{bucket}/lake")
    assert there["lines"] == here["lines"]
    again = tmp_path / "again"
    server.download(bucket, "lake/", again)
    for table in TABLES[:3]:
        assert (again / table).exists() == (lake / table).exists(), table
        if (lake / table).exists():
            assert hashes(again / table) == hashes(lake / table), table
    assert not server.uploads(bucket)
    assert not [key for key in server.keys(bucket) if "probe" in key or "tmp" in key]
    query = "SELECT count(*) AS n, sum(TVDuration) AS tv FROM gold.customer360"
    told = rows(s3_smelt("sql", query, "--lake", f"s3://{bucket}/lake", "--format", "json"))
    assert told == smelt.sql(query, "--lake", lake)


def test_over_tls_and_http2(smelt, server, bucket, lake, tmp_path):
    """A server that offers HTTP/2 is spoken to by it, and the tables are the same."""
    logs = generate(smelt, tmp_path / "logs", days=2, rows=20_000, damage=0.02, mixed=True, seed=5)
    server.upload(logs.folder, bucket, "logs/")
    front = s3.Http2(server, tmp_path)
    try:
        done = run_process(smelt, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/lake",
                           env={**front.env, "SMELT_LOG": "debug"})
    finally:
        front.stop()
    spoken = {line.split()[-2] for line in done.stderr.splitlines() if " http: " in line}
    assert spoken == {"HTTP/2"}, done.stderr[-2000:]
    server.download(bucket, "lake/", tmp_path / "there")
    run(smelt, "delta", logs.folder, lake)
    for table in TABLES[:3]:
        assert hashes(tmp_path / "there" / table) == hashes(lake / table), table


@pytest.mark.parametrize("behind", [b"", bytes(100_000)])
def test_a_compressed_log_with_a_checksum(s3_smelt, server, bucket, behind):
    """Its checksum, which the uploader's client sent, is that of all bytes, also behind the stream."""
    lines = b"".join(b'{"a":%d,"b":"%032x"}\n' % (i, i * i) for i in range(50_000))
    server.client().put_object(Bucket=bucket, Key="x.json.gz", Body=gzip.compress(lines) + behind,
                               ChecksumAlgorithm="CRC32")
    done = s3_smelt("sql", f"SELECT count(*) AS n, sum(a) AS a FROM 's3://{bucket}/x.json.gz'",
                    "--format", "json", check=False)
    if behind:
        assert done.returncode == 0 or "x.json.gz" in done.stderr and "checksum" not in done.stderr
    else:
        assert rows(done) == [{"n": 50_000, "a": 1_249_975_000}]


def test_second_run_does_nothing(smelt, s3_smelt, server, bucket, tmp_path):
    logs = generate(smelt, tmp_path / "logs", days=2, rows=2000, seed=6)
    server.upload(logs.folder, bucket, "logs/")
    run(s3_smelt, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/lake")
    before = sorted(server.keys(bucket))
    run(s3_smelt, "delta", f"s3://{bucket}/logs", f"s3://{bucket}/lake")
    assert sorted(server.keys(bucket)) == before


def test_two_writers_lose_nothing(smelt, s3_smelt, server, bucket, tmp_path):
    """Two runs at once over different days: both sets of rows are there, each once."""
    logs = generate(smelt, tmp_path / "logs", days=2, rows=3000, seed=7)
    for day in (1, 2):
        server.client().upload_file(str(logs.folder / f"2022040{day}.json"), bucket,
                                    f"logs{day}/2022040{day}.json")
    command = [smelt.path, "run", PIPELINE / "delta.yaml", "--var", f"lake=s3://{bucket}/lake", "--var",
               "month=2022-04", "--quiet"]
    codes = []

    def work(day):
        for _ in range(10):  # a conflict says that it is safe to run again
            done = subprocess.run([*command, "--var", f"logs=s3://{bucket}/logs{day}"], text=True,
                                  env={**os.environ, **server.env}, capture_output=True, check=False)
            codes.append(done.returncode)
            assert done.returncode in (0, 4), done.stderr
            if done.returncode == 0:
                return

    threads = [threading.Thread(target=work, args=(day,)) for day in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(0) == 2
    told = rows(s3_smelt("sql", "SELECT count(*) AS n, count(DISTINCT Date) AS days FROM "
                         "bronze.viewing_log", "--lake", f"s3://{bucket}/lake", "--format", "json"))
    assert told == [{"n": 6000, "days": 2}]


LIMIT = 96_000_000


@pytest.mark.parametrize("form", ["direct", "delta"])
def test_within_little_memory(smelt, s3_smelt, server, bucket, tmp_path, form):
    """More logs than the limit, from S3 into S3: the process stays below it, and the tables are the
    same."""
    s3_smelt("generate", "logs", f"s3://{bucket}/logs", "--month", "2022-04", "--days", 2, "--rows",
             300_000, "--contracts", 100_000, "--seed", 9)
    hashed = []
    for name, limit in (("free", []), ("bound", ["--memory-limit", LIMIT])):
        report = run(s3_smelt, form, f"s3://{bucket}/logs", f"s3://{bucket}/{name}", *limit)
        server.download(bucket, f"{name}/", tmp_path / name)
        hashed.append([hashes(tmp_path / name / table) for table in TABLES[:3]
                       if (tmp_path / name / table).exists()])
    assert report["peak_bytes"] <= LIMIT
    assert hashed[0] == hashed[1] and hashed[0]


# ---- objects ----------------------------------------------------------------------------------


def test_names_of_all_kinds(s3_smelt, server, bucket):
    names = ["a b.json", "a+b.json", "ü ö/日本.json", "x=1/y&z.json", "per%20cent.json", "q?r#s.json",
             "'quoted\".json", "~t-_.json", "(1)!$,;:@.json"]
    for number, name in enumerate(names):
        server.client().put_object(Bucket=bucket, Key="in/" + name, Body=f'{{"n":{number}}}\n')
    told = rows(s3_smelt("sql", f"SELECT count(*) AS n, sum(n) AS s FROM "
                         f"read_json('s3://{bucket}/in/**/*.json', columns => {{n: 'BIGINT'}})",
                         "--format", "json"))
    assert told == [{"n": len(names), "s": sum(range(len(names)))}]
    for number, name in enumerate(names):
        quoted = name.replace("'", "''").replace("?", "[?]")
        told = rows(s3_smelt("sql", f"SELECT n FROM read_json('s3://{bucket}/in/{quoted}')",
                             "--format", "json"))
        assert told == [{"n": number}], name


def test_more_names_than_a_page_has(s3_smelt, server, bucket):
    client = server.client()
    for number in range(1100):
        client.put_object(Bucket=bucket, Key=f"many/{number:05}.json", Body=f'{{"n":{number}}}\n')
    told = rows(s3_smelt("sql", f"SELECT count(*) AS n, sum(n) AS s FROM "
                         f"read_json('s3://{bucket}/many/*.json')", "--format", "json"))
    assert told == [{"n": 1100, "s": sum(range(1100))}]


def test_temporary_files_on_the_second_page(s3_smelt, server, bucket):
    """fsck counts them, and keeps no other name of the listing; such files come from a copy of a disk."""
    client, table = server.client(), f"s3://{bucket}/lake/t"
    s3_smelt("sql", "--write", f"CREATE TABLE '{table}' AS SELECT 1 AS a")
    for number in range(1050):
        client.put_object(Bucket=bucket, Key=f"lake/t/day=1/{number:05}.parquet", Body=b"x")
    client.put_object(Bucket=bucket, Key="lake/t/z/.smelt-tmp-0011223344556677", Body=b"abc")
    told = json.loads(s3_smelt("table", "fsck", table, "--json").stdout)
    assert (told["findings"], told["leftovers"], told["leftover_bytes"]) == ([], 1, 3)


@pytest.fixture(scope="session")
def large(program, tmp_path_factory):
    """A query over files of this disk whose result fills several parts."""
    logs = generate(program, tmp_path_factory.mktemp("large") / "logs", days=1, rows=400_000, seed=8)
    return f"SELECT * FROM read_json('{logs.folder}/*.json')"


@pytest.mark.parametrize("form", ["parquet", "csv", "ndjson", "md"])
def test_large_object_goes_up_in_parts(smelt, s3_smelt, server, bucket, large, tmp_path, form):
    query = f"{large} UNION ALL {large}" if form == "parquet" else large
    s3_smelt("sql", query, "-o", f"s3://{bucket}/out/large.{form}")
    smelt("sql", query, "-o", tmp_path / f"large.{form}")
    server.download(bucket, "out/", tmp_path / "again")
    assert (tmp_path / "again" / f"large.{form}").read_bytes() == \
        (tmp_path / f"large.{form}").read_bytes()
    head = server.client().head_object(Bucket=bucket, Key=f"out/large.{form}")
    assert int(head["ETag"].strip('"').partition("-")[2] or 0) >= 2
    assert not server.uploads(bucket)


def test_interrupted_upload_leaves_nothing(smelt, server, bucket, large):
    """Ctrl-C while parts go up: no object, and no upload that takes room."""
    query = " UNION ALL ".join([large] * 60)
    process = subprocess.Popen([smelt.path, "sql", query, "-o", f"s3://{bucket}/big.parquet"],
                               env={**os.environ, **server.env}, stderr=subprocess.PIPE, text=True)
    for _ in range(300):
        if server.uploads(bucket):
            break
        time.sleep(0.05)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130, stderr
    assert server.keys(bucket) == []
    assert not server.uploads(bucket)


def test_no_such_object(s3_smelt, bucket):
    done = s3_smelt("sql", f"SELECT count(*) FROM read_json('s3://{bucket}/none.json')", check=False)
    assert done.returncode == 1
    assert f"s3://{bucket}/none.json" in done.stderr and "there is no file" in done.stderr


# ---- what is wrong ----------------------------------------------------------------------------

WRONG = [
    ("secret", {"AWS_SECRET_ACCESS_KEY": "wrong-wrong-wrong"}, "b", ["SignatureDoesNotMatch",
                                                                   "AWS_SECRET_ACCESS_KEY"]),
    ("key", {"AWS_ACCESS_KEY_ID": "nobody"}, "b", ["AWS_ACCESS_KEY_ID"]),
    ("bucket", {}, "no-such-bucket-here", ["NoSuchBucket", "bucket"]),
    ("port", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "b", ["127.0.0.1:1", "AWS_ENDPOINT_URL"]),
    ("host", {"AWS_ENDPOINT_URL": "http://no.such.host.invalid"}, "b", ["no.such.host.invalid"]),
    ("endpoint", {"AWS_ENDPOINT_URL": "minio:9000"}, "b", ["minio:9000", "http://HOST:PORT"]),
    ("half", {"AWS_SECRET_ACCESS_KEY": ""}, "b", ["AWS_SECRET_ACCESS_KEY"]),
    ("none", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
              "AWS_EC2_METADATA_DISABLED": "true"}, "b", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
    ("anonymous", {"AWS_SKIP_SIGNATURE": "true"}, "b", ["AccessDenied"]),
]


@pytest.mark.parametrize("name,env,where,words", WRONG, ids=[row[0] for row in WRONG])
def test_wrong_setting_is_named(s3_smelt, server, bucket, name, env, where, words):
    where = bucket if where == "b" else where
    for args in (["sql", f"SELECT * FROM read_json('s3://{where}/in/*.json')"],
                 ["sql", "SELECT 1 AS a", "-o", f"s3://{where}/out.parquet"]):
        done = s3_smelt(*args, env={"HOME": "/nonexistent", "SMELT_LOG": "debug", **env}, check=False)
        assert done.returncode == 1, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert s3.SECRET not in done.stderr
        assert env.get("AWS_SECRET_ACCESS_KEY") or "x" * 20 not in done.stderr


def test_keys_from_a_profile(smelt, server, bucket, tmp_path):
    server.client().put_object(Bucket=bucket, Key="a.json", Body='{"n":1}\n')
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[default]\nregion = eu-west-1\n[profile here]\nregion=us-east-1\n"
                      f"# a comment\nendpoint_url = {server.endpoint}\ns3 =\n  max_queue_size = 5\n")
    credentials.write_text(f"[default]\naws_access_key_id = nobody\naws_secret_access_key = none\n\n"
                           f"[here]\naws_access_key_id={s3.KEY_ID}\n"
                           f"aws_secret_access_key = {s3.SECRET}\n")
    env = {**{name: "" for name in server.env}, "AWS_PROFILE": "here", "AWS_CONFIG_FILE": str(config),
           "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    query = f"SELECT n FROM read_json('s3://{bucket}/a.json')"
    assert rows(smelt("sql", query, "--format", "json", env=env)) == [{"n": 1}]
    done = smelt("sql", query, env={**env, "AWS_PROFILE": "default",
                                    "AWS_ENDPOINT_URL": server.endpoint}, check=False)
    assert done.returncode == 1 and "AWS_ACCESS_KEY_ID" in done.stderr, done.stderr


def test_doctor_looks_at_a_bucket(s3_smelt, server, bucket):
    done = s3_smelt("doctor", f"s3://{bucket}/lake")
    for words in (f"s3://{bucket}/lake", f"{server.endpoint}/{bucket}/lake", "from the environment",
                  "list ", "safe: a name that is taken is refused"):
        assert words in done.stdout, done.stdout
    assert s3.SECRET not in done.stdout
    assert server.keys(bucket) == []
