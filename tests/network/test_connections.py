"""The connections of a pipeline: each place in S3 has its own server and keys, tables are published
to ClickHouse by the last tasks of a run, and no secret is in the file or is shown."""
import json

import pytest

import clickhouse
import s3

ORDERS = '{"id":1,"price":2.5}\n{"id":2,"price":4}\n{"id":"x","price":1}\n'
SQL = {
    "orders.sql": "SELECT id, price, file_date AS day FROM read_json(var('orders'), "
                  "columns => {id: 'BIGINT', price: 'DOUBLE'}, file_date => true, "
                  "bad_lines => 'quarantine', validate => 'all')",
    "sums.sql": "SELECT count(*) AS n, sum(price) AS price FROM raw.orders",
}
PIPELINE = """
name: shop
connections:
  - s3: incoming
    endpoint: {incoming}
    key_id: {{env: IN_ID}}
    secret: {{env: IN_SECRET}}
  - s3: lake
    endpoint: {{env: LAKE_URL}}
    region: us-east-1
    key_id: {{env: LAKE_ID}}
    secret: {{env: LAKE_SECRET}}
  - clickhouse: warehouse
    url: {warehouse}
    user: {{env: CH_USER}}
    password: {{env: CH_PASSWORD}}
vars:
  orders: {{type: uri, connection: incoming}}
  lake: {{type: uri, connection: lake}}
lake: lake
sources:
  - {{name: orders, quarantine: refused.orders}}
tasks:
  - {{load: raw.orders, from: orders, sql: orders.sql, by: day}}
  - {{table: mart.sums, sql: sums.sql}}
{more}
"""
PUBLISH = "  - {publish: warehouse.sums, from: mart.sums}\n"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Two S3 servers that know other keys: the logs are in one, the lake in the other."""
    s3.require()
    folder = tmp_path_factory.mktemp("servers")
    incoming = s3.Server("versitygw", folder / "incoming")
    lake = s3.Server("minio", folder / "lake", secret="another-secret-9876")
    incoming.make_bucket("orders")
    incoming.client().put_object(Bucket="orders", Key="day/20230201.json", Body=ORDERS.encode())
    lake.make_bucket("lake")
    yield incoming, lake
    incoming.stop()
    lake.stop()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """Of its own: it does not start again over tables whose server of S3 has ended with this module."""
    clickhouse.require()
    one = clickhouse.ClickHouse(tmp_path_factory.mktemp("clickhouse"))
    yield one
    one.stop()


@pytest.fixture
def shop(smelt, servers, tmp_path):
    """Runs the pipeline, into a lake of its own, with the environment that its connections name."""
    incoming, outgoing = servers

    def run(more="", url="http://127.0.0.1:1/default", change=None, env=None, lake=None, orders="s3://orders/day",
            more_options=(), **options):
        text = PIPELINE.format(incoming=incoming.endpoint, warehouse=url, more=more)
        (tmp_path / "shop.yaml").write_text(change(text) if change else text)
        for name, sql in SQL.items():
            (tmp_path / name).write_text(sql)
        named = {"IN_ID": s3.KEY_ID, "IN_SECRET": incoming.secret, "LAKE_URL": outgoing.endpoint,
                 "LAKE_ID": s3.KEY_ID, "LAKE_SECRET": outgoing.secret, "CH_USER": clickhouse.LOADER,
                 "CH_PASSWORD": clickhouse.PASSWORD, "SMELT_LOG": "debug"}
        named = {k: v for k, v in {**named, **(env or {})}.items() if v is not None}
        done = smelt("run", tmp_path / "shop.yaml", "--json", "--var", f"orders={orders}", "--var",
                     f"lake={lake or f's3://lake/{tmp_path.name}'}", *more_options, env=named, **options)
        for secret in (outgoing.secret, incoming.secret, clickhouse.PASSWORD):
            assert secret not in done.stdout + done.stderr
        return done
    return run


def test_each_place_has_its_server_and_keys(shop, servers, tmp_path):
    done = json.loads(shop().stdout)
    assert done["lines"]["kept"] == 2 and done["lines"]["quarantined"] == 1
    assert done["published"] == []
    incoming, lake = servers
    assert not incoming.keys("orders", tmp_path.name)
    assert len(lake.keys("lake", f"{tmp_path.name}/mart/sums/")) == 2


def test_the_environment_does_not_mix_in(shop):
    """Keys and places of the environment are others': a connection takes none of them."""
    wrong = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "nobody",
             "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_SESSION_TOKEN": "wrong", "AWS_REGION": "mars-1"}
    assert json.loads(shop(env=wrong).stdout)["lines"]["kept"] == 2


def test_a_full_refresh_reaches_the_buckets_of_earlier_runs(smelt, shop, servers, tmp_path, monkeypatch):
    """Each by the connection of the source's variable, whichever place that has in this run."""
    client = servers[0].client()
    servers[0].make_bucket("more-orders")
    client.put_object(Bucket="more-orders", Key="logs/20230201.json", Body=b'{"id":7,"price":1}\nbroken\n')
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "20230202.json").write_text('{"id":8,"price":1}\nbroken\n')
    plain, lake = SQL["orders.sql"], tmp_path / "lake"
    places = ["s3://orders/day", "s3://more-orders/logs", tmp_path / "disk"]
    for place in places:
        shop(orders=place, lake=lake)
    ids = "SELECT id FROM raw.orders ORDER BY id"
    refused = "SELECT file, count(*) AS n FROM refused.orders GROUP BY file ORDER BY file"
    wanted = smelt.sql(refused, "--lake", lake)
    assert len(wanted) == 3
    for factor, place in enumerate(places, 1):
        monkeypatch.setitem(SQL, "orders.sql", plain.replace("SELECT id,", f"SELECT id + {10 * factor} AS id,"))
        again = {"orders": place, "lake": lake, "more_options": ["--full-refresh", "raw.orders"]}
        assert json.loads(shop(**again).stdout)["lines"] == {"read": 7, "kept": 4, "quarantined": 3, "blank": 0}
        assert [row["id"] - 10 * factor for row in smelt.sql(ids, "--lake", lake)] == [1, 2, 7, 8]
        assert smelt.sql(refused, "--lake", lake) == wanted
    for place in places:
        assert {t["version"] for t in json.loads(shop(orders=place, lake=lake).stdout)["tables"]} == {None}
    client.delete_object(Bucket="more-orders", Key="logs/20230201.json")
    failed = shop(orders=tmp_path / "disk", lake=lake, more_options=["--full-refresh", "raw.orders"], check=False)
    assert failed.returncode == 1 and "s3://more-orders/logs/20230201.json" in failed.stderr
    assert "is no longer in its folder" in failed.stderr and len(smelt.sql(ids, "--lake", lake)) == 4


def test_a_profile(shop, servers, tmp_path):
    (tmp_path / "aws").write_text(f"[profile work]\naws_access_key_id = {s3.KEY_ID}\n"
                                  f"aws_secret_access_key = {servers[1].secret}\n")
    def change(text):
        return text.replace("    key_id: {env: LAKE_ID}\n    secret: {env: LAKE_SECRET}\n",
                            "    profile: work\n")
    env = {"AWS_CONFIG_FILE": str(tmp_path / "aws"), "AWS_ACCESS_KEY_ID": "nobody",
           "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert json.loads(shop(change=change, env=env).stdout)["lines"]["kept"] == 2


def test_tables_are_published_last(shop, warehouse):
    done = json.loads(shop(PUBLISH, f"{warehouse.url}/default").stdout)
    one, = done["published"]
    assert one["name"] == "warehouse.sums" and one["rows"] == 1 and one["version"] == 0
    assert one["server"].startswith("ClickHouse 26.7")
    assert warehouse.query("SELECT n, price FROM sums FORMAT TSV") == "2\t6.5"


def test_a_server_that_is_down_loses_no_table(smelt, shop, servers, warehouse, tmp_path):
    publish = PUBLISH.replace("warehouse.sums", "warehouse.later")
    done = shop(publish, "http://127.0.0.1:1/default", check=False)
    assert done.returncode == 1
    assert "warehouse.later" in done.stderr and "127.0.0.1:1" in done.stderr
    assert servers[1].keys("lake", f"{tmp_path.name}/mart/sums/_delta_log/")
    done = json.loads(shop(publish, f"{warehouse.url}/default").stdout)
    assert [table["version"] for table in done["tables"]] == [None, None, None]
    assert done["published"][0]["rows"] == 1


@pytest.mark.parametrize("what, change, env, wanted", [
    ("a variable that is not set", None, {"LAKE_SECRET": None},
     ["the environment variable LAKE_SECRET is not set", "shop.yaml:"]),
    ("another's secret", None, {"LAKE_SECRET": "no"}, ["AWS_SECRET_ACCESS_KEY"]),
    ("a key that nobody has", None, {"IN_ID": "nobody"}, ["access key"]),
    ("one bucket, two connections", lambda text: text.replace(
        "  orders: {type: uri, connection: incoming}",
        "  orders: {type: uri, connection: incoming}\n"
        "  other: {type: uri, default: 's3://orders/day', connection: lake}"), {},
     ["s3://orders has the connection incoming already"]),
])
def test_what_is_wrong_is_said(shop, what, change, env, wanted):
    done = shop(change=change, env=env, check=False)
    assert done.returncode in (1, 2)
    for text in wanted:
        assert text in done.stderr, done.stderr


def test_a_lake_on_disk_is_not_published(smelt, shop, tmp_path):
    done = shop(PUBLISH, check=False, lake=tmp_path / "lake")
    assert done.returncode == 1 and "can read tables only from S3" in done.stderr
    assert not (tmp_path / "lake").exists()


def test_a_missing_password_ends_a_run_before_its_work(shop, servers, tmp_path):
    done = shop(PUBLISH, env={"CH_PASSWORD": None}, check=False)
    assert done.returncode == 2 and "CH_PASSWORD is not set" in done.stderr
    assert not servers[1].keys("lake", tmp_path.name)
