"""S3 servers that misbehave: each is soon one clear error with its place and without a secret. The
servers are small ones of this test, and answer every request in one odd way."""
import datetime
import email.utils

import pytest

import s3
from customer360 import generate, run_process
from odd_server import error

SECRET = "not-a-secret-0123"


def ask(smelt, server, *, uri="s3://b/in/a.json", write=False, **env):
    args = (["sql", "SELECT 1 AS a", "-o", "s3://b/out.parquet"] if write else
            ["sql", f"SELECT * FROM read_json('{uri}')"])
    done = smelt(*args, check=False, timeout=60, env={
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_MAX_ATTEMPTS": "3", "SMELT_LOG": "debug", **env})
    assert SECRET not in done.stdout + done.stderr
    return done


ODD = {
    "html": (lambda h: h.reply(200, b"<!DOCTYPE html><html><body>hi</body></html>", "text/html"),
             ["does not answer as S3 does", "AWS_ENDPOINT_URL"]),
    "html refusal": (lambda h: h.reply(403, b"<html><body>no</body></html>", "text/html"), ["403"]),
    "nonsense": (lambda h: h.reply(200, b"\x00\xff\x00garbage"), ["does not answer as S3 does"]),
    "long name": (lambda h: h.reply(200, b"<" + b"a" * 70 + b"/>"), ["does not answer as S3 does"]),
    "redirect": (lambda h: h.reply(302, b"", Location=h.path), ["302"]),
    "other xml": (lambda h: h.reply(200, b"<a><b>c</b></a>"), ["list"]),
    "error in 200": (lambda h: h.reply(200, error("InternalError")), ["InternalError", "3 attempts"]),
    "always busy": (lambda h: h.reply(503, error("SlowDown")), ["SlowDown", "3 attempts"]),
    "other region": (lambda h: h.reply(400, error("AuthorizationHeaderMalformed")), ["AWS_REGION"]),
    "no method": (lambda h: h.reply(501, error("NotImplemented")), ["NotImplemented"]),
}


# A put has no answer's body to look at.
ASKED = [(case, write) for case in ODD for write in (False, True)
         if not (write and case in ("html", "nonsense", "long name", "other xml"))]


@pytest.mark.parametrize("case,write", ASKED)
def test_odd_answers(smelt, odd, case, write):
    act, words = ODD[case]
    uri = "s3://b/in/*.json"
    done = ask(smelt, odd(act), uri=uri, write=write)
    assert done.returncode == 1, done.stderr
    assert "s3://b/" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def listing(keys):
    rows = "".join(f"<Contents><Key>{key}</Key><Size>10</Size><ETag>\"e\"</ETag></Contents>"
                   for key in keys)
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


def test_a_body_shorter_than_it_says(smelt, odd):
    def act(h):
        if "list-type" in h.path:
            h.reply(200, listing(["in/a.json"]))
        elif h.command == "HEAD":
            h.reply(200, b"0123456789", ETag='"e"')
        else:
            h.reply(206, b'{"a"', length=10, ETag='"e"')
            h.close_connection = True
    done = ask(smelt, odd(act))
    assert done.returncode == 1 and "s3://b/in/a.json" in done.stderr


def test_more_than_was_asked_for(smelt, odd):
    def act(h):
        if h.command == "HEAD":
            h.reply(200, b"0123456789", ETag='"e"')
        else:
            h.reply(200, b"0" * 100, ETag='"e"')
    done = ask(smelt, odd(act))
    assert done.returncode == 1 and "more than was asked for" in done.stderr


def test_replaced_while_read(smelt, odd):
    def act(h):
        if h.command == "HEAD":
            h.reply(200, b'{"a":1}\n  ', ETag='"e"')
        else:
            assert h.headers["If-Match"] == '"e"'
            h.reply(412, error("PreconditionFailed"))
    done = ask(smelt, odd(act))
    assert done.returncode == 4 and "replaced" in done.stderr


def test_endless_list(smelt, odd):
    """A list that says that it goes on, without saying where."""
    def act(h):
        h.reply(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")
    done = ask(smelt, odd(act), uri="s3://b/in/*.json")
    assert done.returncode == 1 and "list" in done.stderr


def test_an_entity_bomb(smelt, odd):
    bomb = (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'">'
            b'<!ENTITY c "&b;&b;&b;&b;">]><ListBucketResult>&c;</ListBucketResult>')
    done = ask(smelt, odd(lambda h: h.reply(200, bomb)), uri="s3://b/in/*.json")
    assert done.returncode == 1


def test_a_store_that_ignores_conditions_is_refused(smelt, odd, tmp_path):
    """The probe's second put must be refused, and is not: doctor says so, and a run writes nothing."""
    def act(h):
        if "list-type" in h.path:
            h.reply(200, listing([]))
        elif h.command == "HEAD" or h.command == "GET":
            h.reply(404, error("NoSuchKey"))
        else:
            h.reply(204 if h.command == "DELETE" else 200)
    server = odd(act)
    env = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": SECRET}
    logs = generate(smelt, tmp_path / "logs", days=1, rows=100, seed=8)
    for done in (smelt("doctor", "s3://b/lake", check=False, env=env),
                 run_process(smelt, "delta", logs.folder, "s3://b/lake", check=False, env=env)):
        assert done.returncode == 1
        assert "If-None-Match" in done.stderr and "versitygw" in done.stderr
    puts = [path for method, path, _ in server.seen if method == "PUT"]
    assert len(puts) == 4 and all("smelt-probe" in path for path in puts)


def test_a_store_that_deletes_only_one_by_one(smelt, odd):
    """Each is then deleted by itself."""
    there = {}

    def act(h):
        key = h.path.partition("?")[0]
        if "?delete" in h.path:
            h.reply(501, error("NotImplemented"))
        elif "list-type" in h.path:
            h.reply(200, listing([]))
        elif h.command == "PUT" and key in there and h.headers["If-None-Match"]:
            h.reply(412, error("PreconditionFailed"))
        elif h.command == "PUT":
            copied = h.headers["x-amz-copy-source"]
            there[key] = there[copied] if copied else h.body
            h.reply(200, b"<CopyObjectResult/>" if copied else b"")
        elif h.command == "DELETE":
            there.pop(key, None)
            h.reply(204)
        else:
            h.reply(200, there[key], ETag='"e"')
    server = odd(act)
    done = smelt("doctor", "s3://b/lake", env={
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": SECRET})
    assert "delete         ok" in done.stdout and not there
    assert [path for method, path, _ in server.seen if "?delete" in path]


def test_a_clock_that_differs(smelt, odd):
    """Refused for its date, the request comes again with the server's."""
    ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)

    def act(h):
        if "list-type" in h.path:
            h.reply(200, listing([]))
            return
        said = datetime.datetime.strptime(h.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        off = abs(ahead.replace(tzinfo=None) - said)
        if off > datetime.timedelta(minutes=15):
            h.date_time_string = lambda *_: email.utils.format_datetime(ahead, usegmt=True)
            h.reply(403, error("RequestTimeTooSkewed"))
        elif h.command == "HEAD":
            h.reply(200, b'{"a":1}\n', ETag='"e"')
        else:
            h.reply(206, b'{"a":1}\n', ETag='"e"')
    server = odd(act)
    done = ask(smelt, server)
    assert done.returncode == 0 and done.stdout == "a\n1\n", done.stderr


def test_certificates(smelt, odd, tmp_path):
    certificate = s3.make_certificate(tmp_path)

    def act(h):
        if h.command == "HEAD":
            h.reply(200, b'{"a":1}\n', ETag='"e"')
        else:
            h.reply(206, b'{"a":1}\n', ETag='"e"')
    server = odd(act, certificate)
    done = ask(smelt, server)
    assert done.returncode == 1 and "AWS_CA_BUNDLE" in done.stderr, done.stderr
    done = ask(smelt, server, AWS_CA_BUNDLE=str(certificate[0]))
    assert done.returncode == 0 and done.stdout == "a\n1\n", done.stderr


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://b/a/../b.json", "s3://b/a//b.json"])
def test_names_that_are_none(smelt, odd, uri):
    server = odd(lambda h: h.reply(404, error("NoSuchKey")))
    done = ask(smelt, server, uri=uri)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) >= 1
