"""Files on plain web servers: they are read in ranges, by their exact URLs, over redirects. They
cannot be listed or written. Each problem is one clear error."""
import gzip
import urllib.parse

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LINES = b"".join(b'{"n":%d,"t":"line %d"}\n' % (n, n) for n in range(200_000))


def ranges(h, files):
    """Answers as a web server that knows ranges."""
    body = files.get(urllib.parse.urlsplit(h.path).path)
    if h.command not in ("GET", "HEAD"):
        h.reply(405, b"no", "text/plain")
    elif body is None:
        h.reply(404, b"<html>none</html>", "text/html")
    elif h.command == "HEAD":
        h.reply(200, body, "text/plain", ETag='"one"')
    else:
        assert h.headers.get("Authorization") is None
        first, last = map(int, h.headers["Range"].removeprefix("bytes=").split("-"))
        h.reply(206, body[first:last + 1], "text/plain", ETag='"one"')


@pytest.fixture
def web(odd, tmp_path):
    pq.write_table(pa.table({"n": range(1000)}), tmp_path / "n.parquet")
    files = {"/logs/a.json": LINES, "/a%20b.json": b'{"n":1}\n', "/%C3%BC.json": b'{"n":2}\n',
             "/n.parquet": (tmp_path / "n.parquet").read_bytes(), "/a.json.gz": gzip.compress(LINES)}

    def act(h):
        if h.path.startswith("/moved/"):
            h.reply(302, b"", Location=h.path.removeprefix("/moved"))
        elif h.path.startswith("/loop"):
            h.reply(302, b"", Location="/loop")
        elif h.path.startswith("/whole"):
            h.reply(200, LINES, "text/plain")
        else:
            ranges(h, files)
    return odd(act)


def total(smelt, address):
    return smelt.sql(f"SELECT count(*) AS rows, sum(n) AS s FROM read_json('{address}')")


def test_a_file(smelt, web):
    wanted = [{"rows": 200_000, "s": sum(range(200_000))}]
    assert total(smelt, f"{web.url}/logs/a.json") == wanted
    assert total(smelt, f"{web.url}/a.json.gz") == wanted
    assert total(smelt, f"{web.url}/moved/logs/a.json") == wanted
    assert smelt.sql(f"SELECT sum(n) AS s FROM '{web.url}/n.parquet'") == [{"s": sum(range(1000))}]


def test_addresses_are_taken_as_they_are(smelt, web):
    assert total(smelt, f"{web.url}/a%20b.json") == [{"rows": 1, "s": 1}]
    assert total(smelt, f"{web.url}/ü.json") == [{"rows": 1, "s": 2}]
    assert total(smelt, f"{web.url}/a%20b.json?sig=a%2Fb&x=1") == [{"rows": 1, "s": 1}]
    assert any(path == "/a%20b.json?sig=a%2Fb&x=1" for _, path, _ in web.seen)


WRONG = [("none.json", 1, "there is no file"), ("loop.json", 1, "redirects without end"),
         ("whole.json", 1, "ranges"), ("logs/*.json", 1, "there is no file")]


@pytest.mark.parametrize("name,code,words", WRONG)
def test_what_is_wrong_is_said(smelt, web, name, code, words):
    done = smelt("sql", f"SELECT * FROM read_json('{web.url}/{name}')", check=False)
    assert done.returncode == code and words in done.stderr, done.stderr


def test_nothing_is_written_there(smelt, web):
    done = smelt("sql", "SELECT 1 AS a", "-o", f"{web.url}/a.parquet", check=False)
    assert done.returncode == 1 and "only read from" in done.stderr
    assert not [command for command, _, _ in web.seen if command not in ("GET", "HEAD")]
