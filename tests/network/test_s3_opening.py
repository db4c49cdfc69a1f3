"""Objects that are opened by the request that brings their end: how many requests small files take, and what
happens where that request breaks off, is answered in another way, or meets another object."""
import json

import pytest

import s3
import s3_proxy

pytestmark = pytest.mark.usefixtures("server")
FILES = 40
QUERY = "SELECT count(*) AS n, sum(id) AS s, count(DISTINCT part) AS p FROM '{}'"
WANTED = [{"n": 4000, "s": sum(range(4000)), "p": FILES}]


@pytest.fixture(scope="module", params=s3.KINDS)
def server(request, tmp_path_factory):
    s3.require()
    made = s3.Server(request.param, tmp_path_factory.mktemp(request.param) / "data")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """0 to 3,999, a line each."""
    path = tmp_path_factory.mktemp("numbers") / "numbers.ndjson"
    path.write_text("".join(f'{{"i":{i}}}\n' for i in range(4000)))
    return path


@pytest.fixture(scope="module")
def table(program, server, numbers):
    """A table of small files."""
    uri = f"s3://{server.make_bucket('opening')}/t"
    program("sql", "--write", f"""CREATE TABLE '{uri}' PARTITIONED BY (part) AS
            SELECT i AS id, i % {FILES} AS part FROM '{numbers}'""", env=server.env)
    return uri


@pytest.fixture
def proxy(server):
    made = s3_proxy.Proxy(server)
    yield made
    made.stop()


class Seen(s3_proxy.Faults):
    """No faults: counts the requests that read data files."""

    def __init__(self):
        super().__init__(0, 0.0)
        self.reads = 0

    def next(self, method, target):
        with self.lock:
            self.reads += method in ("GET", "HEAD") and ".parquet" in target and "_delta_log" not in target
        return super().next(method, target)


def reads_of(smelt, proxy, *args):
    proxy.faults = Seen()
    done = smelt(*args, env=proxy.env)
    return proxy.faults.reads, done


def test_a_small_file_takes_one_request(smelt, proxy, table):
    n, done = reads_of(smelt, proxy, "sql", QUERY.format(table), "--format", "json")
    assert json.loads(done.stdout) == WANTED
    assert n == FILES


def test_so_it_is_when_files_are_joined(smelt, server, proxy, program, numbers):
    uri = f"s3://{server.make_bucket('joined')}/t"
    for n in range(12):
        program("sql", "--write", f"{'INSERT INTO' if n else 'CREATE TABLE'} '{uri}' {'' if n else 'AS'} "
                f"SELECT i AS id, {n} AS part FROM '{numbers}' WHERE i < 100", env=server.env)
    n, _ = reads_of(smelt, proxy, "table", "optimize", uri)
    assert n == 12
    done = smelt("sql", QUERY.format(uri), "--format", "json", env=server.env)
    assert json.loads(done.stdout) == [{"n": 1200, "s": 12 * sum(range(100)), "p": 12}]


@pytest.mark.parametrize("kind", ["cut", "reset at byte", "reset before", "refused", "late"])
def test_the_request_goes_wrong(smelt, proxy, table, kind):
    """A response that broke off is not gone on with by another one, which may be of another object."""
    proxy.faults = faults = s3_proxy.Faults(5, 0.5, [kind], ".parquet", most=15)
    done = smelt("sql", QUERY.format(table), "--format", "json", env=proxy.env)
    assert json.loads(done.stdout) == WANTED
    assert faults.done[kind] > 3


def test_another_object_has_come_there(smelt, server, program, numbers):
    """Longer, shorter, empty and none: each is told as on a disk."""
    bucket = server.make_bucket("other")
    uri = f"s3://{bucket}/t"
    program("sql", "--write", f"CREATE TABLE '{uri}' AS SELECT i AS id FROM '{numbers}'", env=server.env)
    key = next(key for key in server.keys(bucket, "t/") if key.endswith(".parquet"))
    whole = server.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    for bytes_, words in ((whole + bytes(9), "the log of its table says"), (whole[:-9], "the log of its table"),
                          (b"", "the log of its table says"), (None, "no such object")):
        if bytes_ is None:
            server.client().delete_object(Bucket=bucket, Key=key)
        else:
            server.client().put_object(Bucket=bucket, Key=key, Body=bytes_)
        done = smelt("sql", f"SELECT * FROM '{uri}'", check=False, env=server.env)
        assert done.returncode == 1 and not done.stdout and words in done.stderr, done.stderr
    server.client().put_object(Bucket=bucket, Key=key, Body=whole)
    done = smelt("sql", f"SELECT count(*) AS n FROM '{uri}'", "--format", "json", env=server.env)
    assert json.loads(done.stdout) == [{"n": 4000}]


# ---- servers that answer in other ways ---------------------------------------------------------


def ranged(h, body, **more):
    """Answers GET of a range, and HEAD."""
    if h.command == "HEAD":
        return h.reply(200, body, ETag='"e"')
    first, last = (int(n) for n in h.headers["Range"].removeprefix("bytes=").split("-"))
    part = body[first:last + 1]
    headers = {"ETag": '"e"', "Content-Range": f"bytes {first}-{last}/{len(body)}", **more}
    return h.reply(206, part, **headers)


ANSWERS = {
    "as S3 does": (lambda h, body: ranged(h, body), 1),
    "no place": (lambda h, body: ranged(h, body, **{"Content-Range": ""}), 3),
    "another size": (lambda h, body: ranged(h, body, **{"Content-Range": "bytes 0-9/10"}), 3),
    "no size": (lambda h, body: ranged(h, body, **{"Content-Range": "bytes 0-9/*"}), 3),
    "no ETag": (lambda h, body: ranged(h, body, ETag=""), 3),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_other_answers(smelt, odd, tmp_path, numbers, answer):
    """Where a response does not say what the object is, a HEAD asks for that."""
    smelt("sql", f"SELECT i AS id FROM '{numbers}'", "-o", tmp_path / "a.parquet")
    body = (tmp_path / "a.parquet").read_bytes()
    act, n_heads = ANSWERS[answer]
    server = odd(lambda h: act(h, body))
    done = smelt("sql", "SELECT count(*) AS n, sum(id) AS s FROM 's3://b/a.parquet'", "--format", "json",
                 env={"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "x"})
    assert json.loads(done.stdout) == [{"n": 4000, "s": sum(range(4000))}]
    heads = [method for method, *_ in server.seen].count("HEAD")
    assert heads == n_heads  # one finds the file; another one each when it is sampled and when it is read
