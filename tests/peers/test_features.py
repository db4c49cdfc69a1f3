"""Each feature that Delta's protocol has, and each operation on a table that has it: the rows are right
afterwards, also from a checkpoint, and what the feature asks of writers is done; or the operation is
refused by the feature's name, and nothing has changed. Spark's own tables: test_spark.py."""
import json
import shutil

import pytest

pyarrow = pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet  # noqa: E402

ROWS = {1: "a", 2: "b", 3: "c", 4: "d"}  # two files of two rows
KEPT = {"domain": "app.owner", "configuration": "{\"a\":\"ä\"}", "removed": False}
ROW_TRACKING = {"delta.enableRowTracking": "true",
                "delta.rowTracking.materializedRowIdColumnName": "_row-id-col-1",
                "delta.rowTracking.materializedRowCommitVersionColumnName": "_row-commit-version-col-1"}

# What is done, and the rows afterwards.
OPERATIONS = {
    "append": (["sql", "--write", "INSERT INTO 't' SELECT 5 AS id, 'e' AS s"], {**ROWS, 5: "e"}),
    "overwrite": (["sql", "--write", "CREATE OR REPLACE TABLE 't' AS SELECT 7 AS id, 'g' AS s"], {7: "g"}),
    "delete of a file": (["sql", "--write", "DELETE FROM 't' WHERE id > 2"], {1: "a", 2: "b"}),
    "delete of rows": (["sql", "--write", "DELETE FROM 't' WHERE id = 3"], {1: "a", 2: "b", 4: "d"}),
    "update": (["sql", "--write", "UPDATE 't' SET s = 'z' WHERE id = 2"], {**ROWS, 2: "z"}),
    "merge": (["sql", "--write", "MERGE INTO 't' t USING (SELECT 1 AS id, 'y' AS s) n ON t.id = n.id "
               "WHEN MATCHED THEN UPDATE SET s = n.s"], {**ROWS, 1: "y"}),
    "optimize": (["table", "optimize", "t"], ROWS),
    "cluster": (["table", "cluster", "t", "--by", "s"], ROWS),
    "restore": (["table", "restore", "t", "--version", "0"], {1: "a", 2: "b"}),
    "vacuum": (["table", "vacuum", "t"], ROWS),
    "clone": (["table", "clone", "t", "u"], ROWS),
}
ALL = set(OPERATIONS)

# Feature: properties, columns' metadata, is it a reader's, what is refused, the word in the error.
FEATURES = {
    "appendOnly": ({}, {}, False, set()),
    "appendOnly, used": ({"delta.appendOnly": "true"}, {}, False,
                         {"overwrite", "delete of a file", "delete of rows", "update", "merge", "restore"}),
    "invariants": ({}, {"delta.invariants": json.dumps({"expression": {"expression": "id > 0"}})}, False, set()),
    "checkConstraints": ({"delta.constraints.small": "id < 100"}, {}, False, set()),
    "generatedColumns": ({}, {}, False, set()),
    "allowColumnDefaults": ({}, {"CURRENT_DEFAULT": "7"}, False, set()),
    "identityColumns": ({}, {}, False, set()),
    "identityColumns, used": ({}, {"delta.identity.start": 1, "delta.identity.step": 1,
                                   "delta.identity.allowExplicitInsert": False}, False, {"append", "overwrite"}),
    "timestampNtz": ({}, {}, True, set()),
    "vacuumProtocolCheck": ({}, {}, True, set()),
    "domainMetadata": ({}, {}, False, set()),
    "v2Checkpoint": ({"delta.checkpointPolicy": "v2"}, {}, True, set()),
    "inCommitTimestamp": ({}, {}, False, set()),
    "inCommitTimestamp, used": ({"delta.enableInCommitTimestamps": "true"}, {}, False, set()),
    "rowTracking": ({}, {}, False, set()),
    "rowTracking, used": (ROW_TRACKING, {}, False, set()),
    "rowTracking, suspended": ({"delta.rowTrackingSuspended": "true"}, {}, False, set()),
    "icebergCompatV1": ({}, {}, False, ALL),
    "icebergCompatV2": ({}, {}, False, ALL),
    "variantType": ({}, {}, True, ALL - {"vacuum"}),
    "variantShredding": ({}, {}, True, ALL - {"vacuum"}),
    "checkpointProtection": ({}, {}, False, ALL),
    "collations": ({}, {}, False, ALL),
    "ofTheFuture": ({}, {}, False, ALL),
}
WORDS = {"appendOnly, used": "append-only", "identityColumns, used": "GENERATED ALWAYS"}
UNREADABLE = ["catalogManaged", "catalogOwned-preview", "ofTheFuture"]


def log_file(folder, version):
    return folder / f"t/_delta_log/{version:020}.json"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def give_feature(folder, feature, config, meta, is_readers):
    """Makes smelt's plain table one that another writer made with the feature."""
    stamp = 0
    for version in (0, 1):
        lines = lines_of(log_file(folder, version))
        for line in lines:
            if "protocol" in line:
                line["protocol"] = {"minReaderVersion": 3 if is_readers else 1, "minWriterVersion": 7,
                                    "writerFeatures": sorted({feature, "domainMetadata"})}
                if is_readers:
                    line["protocol"]["readerFeatures"] = [feature]
            if "metaData" in line:
                line["metaData"]["configuration"] = {"delta.checkpointInterval": "1", **config}
                schema = json.loads(line["metaData"]["schemaString"])
                schema["fields"][0]["metadata"] = meta
                line["metaData"]["schemaString"] = json.dumps(schema)
            if "commitInfo" in line and feature == "inCommitTimestamp" and config:
                stamp = line["commitInfo"]["inCommitTimestamp"] = 9_000_000_000_000 + version
            if "add" in line and feature == "rowTracking":
                line["add"].update(baseRowId=version * 2, defaultRowCommitVersion=version)
        lines.append({"domainMetadata": KEPT})
        if feature == "rowTracking":
            lines.append({"domainMetadata": {"domain": "delta.rowTracking", "removed": False,
                                             "configuration": json.dumps({"rowIdHighWaterMark": version * 2 + 1})}})
        write_lines(log_file(folder, version), lines)
    assert stamp or feature != "inCommitTimestamp" or not config


@pytest.fixture(scope="module")
def plain(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    program("sql", "--write", "CREATE TABLE 't' AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(id, s)", cwd=folder)
    program("sql", "--write", "INSERT INTO 't' SELECT * FROM (VALUES (3, 'c'), (4, 'd')) v(id, s)", cwd=folder)
    return folder


def rows_of(smelt, table="t"):
    return {row["id"]: row["s"] for row in smelt.sql(f"SELECT id, s FROM delta_scan('{table}')")}


def checkpoint_of(folder, table, version):
    """Its actions by their name."""
    path = folder / f"{table}/_delta_log/{version:020}.checkpoint.parquet"
    rows = parquet.read_table(path).to_pylist()
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}


def check_log(folder, feature, config, before):
    """What the feature asks of the versions that smelt has written, and of the last checkpoint."""
    newest = max(int(path.stem) for path in (folder / "t/_delta_log").glob("*.json") if path.stem.isdigit())
    if newest == before:
        return
    checkpoint = checkpoint_of(folder, "t", newest)
    assert feature in checkpoint["protocol"][0]["writerFeatures"]
    assert KEPT in checkpoint["domainMetadata"]
    stamps = []
    for version in range(newest + 1):
        lines = lines_of(log_file(folder, version))
        stamps.append(lines[0].get("commitInfo", {}).get("inCommitTimestamp"))
    if feature == "inCommitTimestamp" and config:
        assert stamps == sorted(set(stamps)), stamps
    else:
        assert not any(stamps)
    if feature != "rowTracking":
        return
    high = json.loads(next(d["configuration"] for d in checkpoint["domainMetadata"]
                           if d["domain"] == "delta.rowTracking"))["rowIdHighWaterMark"]
    if "delta.rowTrackingSuspended" in config:
        return
    ids = []
    for add in checkpoint["add"]:
        n = json.loads(add["stats"])["numRecords"]
        ids += range(add["baseRowId"], add["baseRowId"] + n)
        assert 0 <= add["defaultRowCommitVersion"] <= newest
    assert len(set(ids)) == len(ids) and max(ids) <= high
    for version in range(before + 1, newest + 1):  # what is new has the number of its version
        for line in lines_of(log_file(folder, version)):
            if "add" in line and line["add"]["baseRowId"] > 3:
                assert line["add"]["defaultRowCommitVersion"] == version


@pytest.mark.parametrize("name", FEATURES)
def test_feature(smelt, plain, tmp_path, name):
    feature, (config, meta, is_readers, refused) = name.split(",")[0], FEATURES[name]
    for operation, (command, wanted) in OPERATIONS.items():
        for path in (tmp_path / "t", tmp_path / "u"):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(plain / "t", tmp_path / "t")
        give_feature(tmp_path, feature, config, meta, is_readers)
        before = {path: path.read_bytes() for path in (tmp_path / "t").rglob("*") if path.is_file()}
        done = smelt(*command, check=False)
        if operation in refused:
            word = WORDS.get(name, f'"{feature}"')
            assert done.returncode == 1 and word in done.stderr, (operation, done.stderr)
            assert {path: path.read_bytes() for path in (tmp_path / "t").rglob("*") if path.is_file()} == before
            assert not (tmp_path / "u").exists() and rows_of(smelt) == ROWS
            continue
        assert done.returncode == 0, (operation, done.stderr)
        assert rows_of(smelt, "u" if operation == "clone" else "t") == wanted, operation
        check_log(tmp_path, feature, config, 1)
        if operation in ("append", "clone"):
            smelt("table", "fsck", "u" if operation == "clone" else "t")
        if operation == "clone":
            first = lines_of(tmp_path / f"u/_delta_log/{0:020}.json")
            assert {"domainMetadata": KEPT} in first
            assert ("inCommitTimestamp" in first[0]["commitInfo"]) == (name == "inCommitTimestamp, used")


@pytest.mark.parametrize("feature", UNREADABLE)
def test_a_feature_of_readers_that_is_not_known(smelt, plain, tmp_path, feature):
    shutil.copytree(plain / "t", tmp_path / "t")
    give_feature(tmp_path, feature, {}, {}, True)
    for command in [["sql", "SELECT * FROM delta_scan('t')"], *[command for command, _ in OPERATIONS.values()]]:
        done = smelt(*command, check=False)
        assert done.returncode == 1
        assert f'the table needs the reader feature "{feature}", which is not supported' in done.stderr, command
