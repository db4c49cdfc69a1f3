"""`smelt check` of a table in S3 that was checked before: which requests it takes."""
import json

import pytest

import s3
import s3_proxy

pytestmark = pytest.mark.usefixtures("server")
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: x
version: 1.0.0
status: draft
schema:
  - name: numbers
    properties:
      - {name: id, logicalType: integer, primaryKey: true, logicalTypeOptions: {minimum: 0}}
"""


@pytest.fixture(scope="module", params=s3.KINDS)
def server(request, tmp_path_factory):
    s3.require()
    made = s3.Server(request.param, tmp_path_factory.mktemp(request.param) / "data")
    yield made
    made.stop()


class Seen(s3_proxy.Faults):
    """No faults: keeps what was asked for."""

    def __init__(self):
        super().__init__(0, 0.0)
        self.targets = []

    def next(self, method, target):
        with self.lock:
            self.targets.append((method, target))
        return super().next(method, target)


@pytest.fixture
def proxy(server):
    made = s3_proxy.Proxy(server)
    yield made
    made.stop()


@pytest.fixture
def put(smelt, server, tmp_path):
    """Writes the n-th thousand rows of a table, as one file."""
    (tmp_path / "n.ndjson").write_text("".join(f'{{"id":{i}}}\n' for i in range(1000)))

    def write(uri, n):
        smelt("sql", "--write", f"{'INSERT INTO' if n else 'CREATE TABLE'} '{uri}' {'' if n else 'AS'} "
              f"SELECT id + {n * 1000} AS id FROM 'n.ndjson'", env=server.env)
    return write


@pytest.fixture
def check(smelt, proxy, tmp_path):
    """Checks a table; returns the verdict and the requests."""
    def run(uri, contract=CONTRACT):
        (tmp_path / "c.yaml").write_text(contract)
        proxy.faults = Seen()
        told = json.loads(smelt("check", "c.yaml", uri, "--json", env=proxy.env, check=False).stdout)
        return told, proxy.faults.targets
    return run


def data_files(seen):
    return {target.split("?")[0] for _, target in seen if ".parquet" in target and "_delta_log" not in target}


def test_of_a_table_with_one_more_file_that_is_read(server, put, check):
    uri = f"s3://{server.make_bucket('more')}/lake/t"
    rules = CONTRACT.replace("primaryKey: true, ", "")
    for n in range(3):
        put(uri, n)
    assert len(data_files(check(uri, rules)[1])) == 3
    put(uri, 3)
    told, seen = check(uri, rules)
    assert (told["cached"], told["rows"]) == (False, 4000) and len(data_files(seen)) == 1, seen


def test_keys_are_searched_in_the_new_file_and_in_what_is_kept(smelt, server, put, check):
    """Of old files the one is read that has a key of the new one."""
    uri = f"s3://{server.make_bucket('keys')}/lake/t"
    for n in range(3):
        put(uri, n)
    check(uri)
    put(uri, 3)
    told, seen = check(uri)
    assert told["rows"] == 4000 and len(data_files(seen)) == 1, seen
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES (2500), (9999)", env=server.env)
    told, seen = check(uri)
    assert [rule["violations"] for rule in told["contracts"] if rule["kind"] == "primaryKey"] == [1]
    assert len(data_files(seen)) == 2, seen


def test_an_unchanged_table_takes_its_log_and_one_object(server, put, check):
    uri = f"s3://{server.make_bucket('kept')}/lake/t"
    for n in range(3):
        put(uri, n)
    first, seen = check(uri)
    assert not first["cached"] and any(target.endswith(".parquet") for _, target in seen)
    second, seen = check(uri)
    assert second["cached"] and second["contracts"] == first["contracts"]
    assert {method for method, _ in seen} == {"GET"}
    objects = [target for _, target in seen if "/_smelt/verdicts/" in target]
    others = [target for _, target in seen if "/_smelt/verdicts/" not in target]
    assert len(objects) == 1 and not any(".parquet" in target for target in others), seen
    assert all("_delta_log" in target or "journal" in target for target in others), seen


PIPELINE = """\
name: numbers
vars: {lake: {type: uri}}
lake: lake
tasks:
  - {table: lake.t, sql: t.sql, contract: c.yaml}
"""


def test_after_a_run_it_is_the_same(smelt, server, proxy, check, tmp_path):
    """The run has judged the rows that it wrote: the first check reads none of them."""
    bucket = server.make_bucket("judged")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "t.sql").write_text("SELECT id FROM (VALUES (1), (2), (3)) v(id)")
    (tmp_path / "c.yaml").write_text(CONTRACT)
    run = ["run", "p.yaml", "--var", f"lake=s3://{bucket}", "--quiet"]
    proxy.faults = Seen()
    assert smelt(*run, env=proxy.env).stderr == ""
    # of all its requests, beside those of a run without: what is kept is looked for, and put
    kept = [(method, "keys" if target.endswith(".keys") else target.split(".")[-1].split("?")[0])
            for method, target in proxy.faults.targets if "/_smelt/verdicts/" in target]
    assert sorted(kept) == [("GET", "files"), ("PUT", "files"), ("PUT", "json")]
    told, seen = check(f"s3://{bucket}/lake/t")
    assert (told["cached"], told["rows"], told["outcome"]) == (True, 3, "passed")
    assert not data_files(seen) and {method for method, _ in seen} == {"GET"}, seen
