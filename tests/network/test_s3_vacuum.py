"""`smelt table vacuum` in S3: deletes many files by few requests, names with any characters, and what
a vacuum that is not recorded in the log leaves."""
import uuid

import deltalake
import pyarrow as pa
import pytest

NOW = ["--retention", "0s", "--no-retention-check"]


@pytest.fixture(scope="module")
def server(minio):
    return minio


@pytest.fixture
def bucket(server):
    return server.make_bucket("vacuum" + uuid.uuid4().hex[:12])


def make_table(server, bucket, folder):
    uri = folder / "orders"
    for n in range(3):
        deltalake.write_deltalake(
            str(uri), pa.table({"id": [n, n + 10], "part": ["a b", "ü/%?&+"]}), partition_by=["part"],
            mode="overwrite" if n == 2 else "append")
    (uri / "or phan+%.parquet").write_text("x")
    for path in sorted(uri.rglob("*")):
        if path.is_file():
            server.client().upload_file(str(path), bucket, f"shop/orders/{path.relative_to(uri)}")
    return f"s3://{bucket}/shop/orders"


@pytest.mark.parametrize("lite", [False, True])
def test_vacuum(smelt, server, bucket, tmp_path, lite):
    uri = make_table(server, bucket, tmp_path)

    def call(*args):
        return smelt.json("table", *args, "--json", env=server.env)

    wanted = smelt.json("sql", f"SELECT * FROM '{uri}' ORDER BY ALL", "--format", "json",
                        env=server.env)
    options = [*NOW, *(["--lite"] if lite else [])]
    dry = call("vacuum", uri, "--dry-run", *options)
    told = call("vacuum", uri, *options)
    assert told["files"] == dry["files"] == (4 if lite else 5)
    assert told["failed"] == 0
    assert ("or phan+%.parquet" in dry["names"]) == (not lite)
    assert call("show", uri)["version"] == 2  # as Spark: no record in S3
    assert smelt.json("sql", f"SELECT * FROM '{uri}' ORDER BY ALL", "--format", "json",
                      env=server.env) == wanted
    assert call("vacuum", uri, *options)["files"] == 0
