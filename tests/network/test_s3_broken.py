"""A broken table in S3, as in cli/test_broken_table.py on a disk: what is missing, cut off or another object is
an error with its name, or does not matter, and no object is written or left behind."""
import json
import uuid

import pytest

from common import twelve_versions

COMMIT = "_delta_log/{:020}.json"
CHECKPOINT = f"_delta_log/{10:020}.checkpoint.parquet"
POINTER = "_delta_log/_last_checkpoint"
FIRST_COMMITS = [COMMIT.format(n) for n in range(10)]


@pytest.fixture(scope="module")
def whole(program, tmp_path_factory):
    """The objects of a table of twelve versions, with a checkpoint of version 10."""
    table = twelve_versions(program, tmp_path_factory.mktemp("whole"))
    return {str(path.relative_to(table)): path.read_bytes() for path in table.rglob("*") if path.is_file()}


@pytest.fixture
def put(minio, whole):
    """put(change) puts a table whose objects change() has changed, and gives its URI."""
    def make(change):
        objects, name = dict(whole), uuid.uuid4().hex
        change(objects)
        for key, body in objects.items():
            minio.client().put_object(Bucket="lake", Key=f"{name}/{key}", Body=body)
        return f"s3://lake/{name}"
    return make


def data_of(objects, version):
    lines = [json.loads(line) for line in objects[COMMIT.format(version)].decode().splitlines()]
    return next(line["add"]["path"] for line in lines if "add" in line)


def without(*names):
    return lambda objects: [objects.pop(name) for name in names]


def changed(name, change):
    return lambda objects: objects.update({name: change(objects[name])})


def both(*changes):
    return lambda objects: [change(objects) for change in changes]


def data_changed(version, change):
    return lambda objects: changed(data_of(objects, version), change)(objects)


def led_to(path):
    return lambda objects: changed(COMMIT.format(11), lambda b: b.replace(
        data_of(objects, 11).encode(), path.encode()))(objects)


REFUSED = {
    "a commit that is cut off": (changed(COMMIT.format(11), lambda b: b[:-20]), COMMIT.format(11)),
    "an empty commit": (changed(COMMIT.format(11), lambda b: b""), COMMIT.format(11)),
    "a missing commit": (without(COMMIT.format(5), CHECKPOINT), "version 5 is missing"),
    "a missing commit behind the checkpoint": (
        lambda objects: objects.update({COMMIT.format(12): objects.pop(COMMIT.format(11))}), "version 11 is missing"),
    "the newest commits lost": (without(*[COMMIT.format(n) for n in (8, 9, 10, 11)], CHECKPOINT),
                                "_last_checkpoint is of version 10, and the log ends at version 7"),
    "a damaged checkpoint": (both(without(*FIRST_COMMITS), changed(CHECKPOINT, lambda b: b[:-100])), CHECKPOINT),
    "no checkpoint": (without(CHECKPOINT, *FIRST_COMMITS), "has no checkpoint before it"),
    "a protocol of the future": (changed(COMMIT.format(11), lambda b: b + b'{"protocol":{"minReaderVersion":4,'
                                         b'"minWriterVersion":7}}\n'), "reader version 4"),
    "a file above the table": (led_to("../elsewhere.parquet"), "../elsewhere.parquet"),
    "a file on this machine": (led_to("file:///etc/passwd"), "file:///etc/passwd"),
    "a file of a bucket that is none": (led_to("s3://no-such-bucket/x.parquet"), "s3://no-such-bucket/x.parquet"),
    "a data file that is gone": (lambda objects: objects.pop(data_of(objects, 7)), "version 11 of Delta table s3://"),
    "an empty data file": (data_changed(7, lambda b: b""), "the file has 0 bytes, the log of its table says"),
    "half a data file": (data_changed(7, lambda b: b[:len(b) // 2]), "the log of its table says"),
    "another data file": (lambda objects: objects.update({data_of(objects, 7): objects[CHECKPOINT]}),
                          "the log of its table says"),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_it_is_told(smelt, minio, put, damage):
    change, words = REFUSED[damage]
    uri = put(change)
    keys = minio.keys("lake", uri.removeprefix("s3://lake/"))
    for command in (["sql", f"SELECT * FROM '{uri}'"], ["sql", "--write", f"UPDATE '{uri}' SET s = 'x'"],
                    ["table", "optimize", uri], ["table", "cluster", uri, "--by", "id"]):
        done = smelt(*command, check=False, env=minio.env)
        assert done.returncode == 1 and not done.stdout and words in done.stderr, (command, done.stderr)
    assert minio.keys("lake", uri.removeprefix("s3://lake/")) == keys
    assert not minio.uploads("lake")


HARMLESS = {
    "an old commit": changed(COMMIT.format(4), lambda b: b"no JSON\n"),
    "an old commit is gone": without(COMMIT.format(5)),
    "the pointer is gone": without(POINTER, *FIRST_COMMITS),
    "the pointer is damaged": changed(POINTER, lambda b: b[:5]),
    "the pointer names another version": changed(POINTER, lambda b: b'{"version":3,"size":1}'),
    "the checkpoint is damaged": changed(CHECKPOINT, lambda b: b[:-100]),
}


@pytest.mark.parametrize("damage", HARMLESS)
def test_it_does_not_matter(smelt, minio, put, damage):
    uri = put(HARMLESS[damage])
    rows = f"SELECT count(*) AS n, sum(id) AS s FROM '{uri}'"
    assert smelt.sql(rows, env=minio.env) == [{"n": 120, "s": sum(range(120))}]
    smelt("sql", "--write", f"INSERT INTO '{uri}' SELECT 120 AS id, 'x' AS s", env=minio.env)
    assert smelt.sql(rows, env=minio.env) == [{"n": 121, "s": sum(range(121))}]


def test_vacuum_and_restore(smelt, minio, put):
    uri = put(lambda objects: None)
    done = smelt("table", "vacuum", uri, "--retention", "1h", check=False, env=minio.env)
    assert done.returncode == 2 and "--no-retention-check" in done.stderr
    smelt("table", "delete", uri, "--where", "id < 10", env=minio.env)
    smelt("table", "vacuum", uri, "--retention", "0s", "--no-retention-check", env=minio.env)
    done = smelt("table", "restore", uri, "--version", "11", check=False, env=minio.env)
    assert done.returncode == 1 and "version 11 cannot be restored: 1 of its files is gone" in done.stderr
    assert smelt.sql(f"SELECT count(*) AS n FROM '{uri}'", env=minio.env) == [{"n": 110}]


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_a_file_by_its_whole_uri(smelt, minio, put, whole, scheme):
    """It is the file of the table's own folder that it names, and is there once."""
    add = next(line["add"] for line in map(json.loads, whole[COMMIT.format(7)].decode().splitlines())
               if "add" in line)
    uri = put(lambda objects: None)
    other = f"{scheme}{uri[2:]}/{add['path']}"

    def commit(version, action):
        minio.client().put_object(Bucket="lake", Key=f"{uri.split('/')[-1]}/{COMMIT.format(version)}",
                                  Body=json.dumps(action).encode() + b"\n")

    def count():
        return smelt.sql(f"SELECT count(*) AS n FROM '{uri}'", env=minio.env)[0]["n"]
    commit(12, {"add": {**add, "path": other}})
    assert count() == 120
    commit(13, {"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}})
    assert count() == 110
    commit(14, {"add": add})
    commit(15, {"remove": {"path": other, "deletionTimestamp": 1, "dataChange": True}})
    assert count() == 110
