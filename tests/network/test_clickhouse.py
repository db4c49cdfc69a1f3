"""Tables in MinIO, published to a real ClickHouse. Its DeltaLake engine reads the same as smelt. A
table is created or replaced only after this was compared. Each problem is one clear error, and no
secret is shown."""
import http.server
import threading
import urllib.request
import uuid

import pytest

import clickhouse
import s3
from customer360 import generate, run


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    clickhouse.require()
    one = clickhouse.ClickHouse(tmp_path_factory.mktemp("clickhouse"))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def lake(program, minio, tmp_path_factory):
    """Tables of both forms in the bucket."""
    logs = generate(program, tmp_path_factory.mktemp("logs") / "logs", days=2, rows=20_000,
                    damage=0.02, mixed=True, seed=21)
    for form in ("delta", "direct"):
        run(program, form, logs.folder, f"s3://lake/{form}", env=minio.env)
    return logs


@pytest.fixture
def publish(smelt, minio, server):
    def call(uri, table, *, to=None, env=None, check=True):
        return smelt("publish", "clickhouse", uri, "--to", to or f"{server.url}/default", "--table",
                     table, env={**minio.env, **(env or {})}, check=check)
    return call


def name():
    return "t" + uuid.uuid4().hex[:10]


SUMS = ("SELECT count(*), sum(TVDuration), sum(ChildDuration), sum(MovieDuration), "
        "sum(RelaxDuration), sum(SportDuration), count(MostWatch), min(RFM), max(Contract) FROM ")


def all_rows(server, table):
    """As smelt writes CSV, sorted."""
    text = server.query(f"SELECT * FROM {table} FORMAT CSV SETTINGS format_csv_null_representation = ''")
    return sorted(line.replace('"', "") for line in text.splitlines())


@pytest.mark.parametrize("form", ["delta", "direct"])
def test_gold_is_the_same_there(smelt, publish, server, minio, lake, form):
    table = name()
    done = publish(f"s3://lake/{form}/gold/customer360", table)
    assert "of version 0, the same in ClickHouse 26.7" in done.stdout
    here = smelt("sql", SUMS + "gold.customer360", "--lake", f"s3://lake/{form}", "--format", "csv",
                 env=minio.env).stdout.splitlines()[1]
    assert server.query(SUMS + table + " FORMAT TSV").replace("\t", ",") == here
    assert all_rows(server, table) == sorted(smelt(
        "sql", "FROM gold.customer360", "--lake", f"s3://lake/{form}", "--format", "csv",
        env=minio.env).stdout.splitlines()[1:])
    assert server.query(f"SELECT engine FROM system.tables WHERE name = '{table}'") == "DeltaLakeS3"


@pytest.mark.parametrize("layer", ["bronze/viewing_log", "silver/customer_viewing",
                                   "quarantine/viewing_log"])
def test_other_layers(publish, server, lake, layer):
    table = name()
    publish(f"s3://lake/delta/{layer}", table)
    assert int(server.query(f"SELECT count() FROM {table}")) > 0


def test_a_new_version_is_seen_and_published_again(smelt, publish, server, minio, tmp_path):
    table, lake = name(), f"s3://lake/{name()}"
    logs = generate(smelt, tmp_path / "logs", days=2, rows=500, seed=22)
    second = (logs.folder / "20220402.json").rename(tmp_path / "20220402.json")
    run(smelt, "delta", logs.folder, lake, env=minio.env)
    publish(f"{lake}/bronze/viewing_log", table)
    assert server.query(f"SELECT count() FROM {table}") == "500"
    second.rename(logs.folder / "20220402.json")
    run(smelt, "delta", logs.folder, lake, env=minio.env)
    assert server.query(f"SELECT count() FROM {table}") == "1000"
    assert "1,000 rows of version 1" in publish(f"{lake}/bronze/viewing_log", table).stdout


def test_leaves_no_table_but_the_one(publish, server, lake):
    table = name()
    publish("s3://lake/delta/gold/customer360", table)
    assert server.query(f"SELECT name FROM system.tables WHERE name LIKE '{table}%'") == table


def test_survives_a_restart(publish, server, lake):
    table = name()
    publish("s3://lake/delta/gold/customer360", table)
    before = server.query(SUMS + table)
    server.stop()
    server.start()
    assert server.query(SUMS + table) == before


def test_no_secret_is_shown(publish, server, lake):
    table = name()
    env = {"SMELT_LOG": "debug"}
    done = publish("s3://lake/delta/gold/customer360", table, env=env)
    shown = [done.stdout, done.stderr, server.query(f"SHOW CREATE TABLE {table}"),
             server.query(f"SELECT * FROM system.tables WHERE name = '{table}' FORMAT Vertical")]
    for text in shown:
        assert s3.SECRET not in text


def test_user_and_password(publish, server, lake):
    table = name()
    env = {"CLICKHOUSE_USER": clickhouse.LOADER, "CLICKHOUSE_PASSWORD": clickhouse.PASSWORD}
    publish("s3://lake/delta/gold/customer360", table, env=env)
    assert int(server.query(f"SELECT count() FROM {table}")) > 0


# ---- what is wrong ----------------------------------------------------------------------------

WRONG = {
    "down": (dict(to="http://127.0.0.1:1/default"), 1, ["127.0.0.1:1", "server runs"]),
    "no place": (dict(to="clickhouse:8123"), 2, ["http://HOST:PORT/DATABASE"]),
    "password": (dict(env={"CLICKHOUSE_USER": "loader", "CLICKHOUSE_PASSWORD": "wrong-pass"}), 1,
                 ["CLICKHOUSE_PASSWORD", "516"]),
    "no user": (dict(env={"CLICKHOUSE_USER": "nobody"}), 1, ["CLICKHOUSE_USER"]),
    "may not": (dict(env={"CLICKHOUSE_USER": "guest", "CLICKHOUSE_PASSWORD": "guest"}), 1,
                ["CREATE TABLE"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_setting_is_named(publish, server, lake, case):
    how, code, words = WRONG[case]
    table = name()
    done = publish("s3://lake/delta/gold/customer360", table, check=False, **how)
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    for secret in (s3.SECRET, "wrong-pass"):
        assert secret not in done.stderr
    assert server.query(f"SELECT count() FROM system.tables WHERE name LIKE '{table}%'") == "0"


def test_no_database(publish, server, lake):
    done = publish("s3://lake/delta/gold/customer360", name(), to=f"{server.url}/nowhere", check=False)
    assert done.returncode == 1 and "Make the database" in done.stderr


def test_no_delta_table(publish, lake):
    done = publish("s3://lake/delta/gold/nothing", name(), check=False)
    assert done.returncode == 1 and "s3://lake/delta/gold/nothing" in done.stderr


def test_a_table_on_disk_is_refused(publish, tmp_path):
    done = publish(str(tmp_path), name(), check=False)
    assert done.returncode == 1 and "s3://BUCKET/KEY" in done.stderr


def test_somebody_elses_table_stays(publish, server, lake):
    table = name()
    server.query(f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a AS SELECT 7 AS a")
    done = publish("s3://lake/delta/gold/customer360", table, check=False)
    assert done.returncode == 1 and "exists already" in done.stderr and "MergeTree" in done.stderr
    assert server.query(f"SELECT a FROM {table}") == "7"
    other = name()
    publish("s3://lake/delta/gold/customer360", other)
    done = publish("s3://lake/delta/bronze/viewing_log", other, check=False)
    assert done.returncode == 1 and "exists already" in done.stderr
    assert server.query(f"SELECT count() FROM (SELECT RFM FROM {other} LIMIT 1)") == "1"


class Between(http.server.BaseHTTPRequestHandler):
    """Passes statements on, as `act(statement, pass_on)` says: bytes to answer, or None to hang up."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))

        def pass_on():
            headers = {k: v for k, v in self.headers.items() if k.lower().startswith("x-")}
            with urllib.request.urlopen(urllib.request.Request(
                    self.server.url + self.path, data=body, headers=headers), timeout=60) as answer:
                return answer.read()
        text = self.server.act(body.decode(), pass_on)
        if text is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def between(server):
    made = []

    def begin(act):
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
        proxy.url, proxy.act = server.url, act
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        made.append(proxy)
        return f"http://127.0.0.1:{proxy.server_address[1]}/default"
    yield begin
    for proxy in made:
        proxy.shutdown()
        proxy.server_close()


def test_each_lost_answer_is_borne(publish, server, lake, between):
    """The server carries out each statement, and the first answer of each never comes."""
    seen = []

    def act(statement, pass_on):
        answer = pass_on()
        if statement not in seen:
            seen.append(statement)
            return None
        return answer
    table = name()
    publish("s3://lake/delta/gold/customer360", table, to=between(act))
    assert len(seen) >= 6
    assert server.query(f"SELECT name FROM system.tables WHERE name LIKE '{table}%'") == table


def test_a_server_that_misreads_is_named(publish, server, lake, between):
    """One row less in the answer to the comparison: nothing is published."""
    def act(statement, pass_on):
        answer = pass_on()
        if statement.startswith("SELECT count(*)"):
            rows, rest = answer.split(b"\t", 1)
            return b"%d\t%s" % (int(rows) - 1, rest)
        return answer
    table = name()
    done = publish("s3://lake/delta/gold/customer360", table, to=between(act), check=False)
    assert done.returncode == 1
    assert "ClickHouse 26.7" in done.stderr and "misreads" in done.stderr
    assert server.query(f"SELECT count() FROM system.tables WHERE name LIKE '{table}%'") == "0"


def test_something_else_answers(publish, lake, between):
    done = publish("s3://lake/delta/gold/customer360", name(), check=False,
                   to=between(lambda statement, pass_on: b"<html>hello</html>"))
    assert done.returncode == 1, done.stderr


def test_the_server_dies_in_the_middle(publish, server, lake, between):
    def act(statement, pass_on):
        if statement.startswith("SELECT count(*)"):
            server.stop()
            return None
        return pass_on()
    done = publish("s3://lake/delta/gold/customer360", name(), to=between(act), check=False)
    server.start()
    assert done.returncode == 1 and "ClickHouse" in done.stderr, done.stderr
