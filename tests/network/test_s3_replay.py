"""`smelt replay` of a row that was too long for the quarantine: it is read from its file, which lies in S3, unless that
is another one now."""
import json

import pytest

import quarantined
import s3
from quarantined import CITIES_RULES, ORDERS, order


@pytest.fixture(scope="module", params=s3.KINDS)
def server(request, tmp_path_factory):
    s3.require()
    made = s3.Server(request.param, tmp_path_factory.mktemp(request.param) / "data")
    yield made
    made.stop()


@pytest.mark.parametrize("change", [False, True])
def test_a_row_that_is_cut(smelt, server, tmp_path, change):
    bucket = server.make_bucket(f"replay{int(change)}")
    shop = quarantined.Shop(smelt, tmp_path)
    where = ["--var", "month=2022-04", "--var", f"in=s3://{bucket}/in", "--var", f"lake=s3://{bucket}/lake"]
    lines = order(2) + order(1, n=-5, city="x" * 100000) + order(3)
    client = server.client()
    client.put_object(Bucket=bucket, Key="in/20220401.json", Body=lines.encode())
    smelt("run", "p.yaml", *where, env=server.env)
    if change:
        client.put_object(Bucket=bucket, Key="in/20220401.json", Body=lines.replace("xx", "yy").encode())
    shop.contract(ORDERS.replace("minimum: 0", "minimum: -10") + CITIES_RULES)
    done = smelt("replay", "p.yaml", "raw.orders", *where, "--json", env=server.env)
    rows = json.loads(smelt("sql", "SELECT id, city FROM raw.orders ORDER BY id", "--lake", f"s3://{bucket}/lake",
                            "--format", "json", env=server.env).stdout)
    if change:
        assert [row["id"] for row in rows] == [2, 3] and "65,536" in json.loads(done.stdout)["warnings"][0]
    else:
        assert [row["id"] for row in rows] == [1, 2, 3] and rows[0]["city"] == "x" * 100000
