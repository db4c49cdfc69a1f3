"""The direct form of the shipped pipeline over logs in a bucket: where no object has changed, a run reads
none, and asks for little; where one has, its rows are right."""
import json

import pytest

import s3
from common import ROOT

PIPELINE = ROOT / "pipelines" / "customer360" / "direct.yaml"


@pytest.fixture(scope="module", params=s3.KINDS)
def server(request, tmp_path_factory):
    s3.require()
    made = s3.Server(request.param, tmp_path_factory.mktemp(request.param) / "data")
    made.make_bucket("logs")
    made.make_bucket("lakes")
    yield made
    made.stop()


def line(contract, seconds, app="CHANNEL"):
    return json.dumps({"_id": contract, "_score": 0, "_source": {
        "Contract": contract, "Mac": "0", "TotalDuration": seconds, "AppName": app}}) + "\n"


def test_a_month_in_a_bucket(smelt, server):
    client = server.client()

    def put(name, *lines):
        client.put_object(Bucket="logs", Key=f"month/{name}", Body="".join(lines).encode())

    def run():
        done = smelt("run", PIPELINE, "--json", "--var", "logs=s3://logs/month", "--var", "lake=s3://lakes/one",
                     "--var", "month=2022-04", env=server.env)
        return json.loads(done.stdout)

    def sums():
        rows = smelt.sql("SELECT Contract, TVDuration FROM gold.customer360 ORDER BY 1", "--lake", "s3://lakes/one",
                         env=server.env)
        refused = smelt.sql("SELECT count(*) AS n FROM quarantine.viewing_log", "--lake", "s3://lakes/one",
                            env=server.env)
        return {row["Contract"]: row["TVDuration"] for row in rows}, refused[0]["n"]

    def skips(like):
        report = run()
        assert {table["version"] for table in report["tables"]} == {None}
        assert report["files"] == {"read": 0, "skipped": 2, "ignored": 0} and report["lines"]["read"] == 0
        assert report["missing_days"] == like["missing_days"]
        assert report["contracts"] == [r for r in like["contracts"] if r["table"] == "bronze.viewing_log"]
        assert report["network"]["written_bytes"] == 0 and report["network"]["requests"] < like["network"]["requests"]

    put("20220401.json", line("AA11", 10), line("BB22", 20), "broken\n")
    put("20220402.json", line("AA11", 5))
    first = run()
    assert first["files"]["read"] == 2 and sums() == ({"AA11": 15, "BB22": 20}, 1)
    skips(first)
    put("20220402.json", line("AA11", 5))  # the same again: its ETag is the same
    skips(first)
    put("20220402.json", line("AA11", 6))  # of the same size
    second = run()
    assert second["files"]["read"] == 2 and sums() == ({"AA11": 16, "BB22": 20}, 1)
    skips(second)
    client.delete_object(Bucket="logs", Key="month/20220402.json")
    put("20220403.json", line("CC33", 7), "broken\n")
    third = run()
    assert sums() == ({"AA11": 10, "BB22": 20, "CC33": 7}, 2)
    skips(third)
