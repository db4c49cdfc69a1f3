"""A Delta table that is broken, or used wrongly: each kind of damage is told with its file or version, or
does not matter, and no statement changes anything on top of it."""
import hashlib
import json
import os
import shutil
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import ten_rows, twelve_versions


@pytest.fixture(scope="module")
def whole(program, tmp_path_factory):
    return twelve_versions(program, tmp_path_factory.mktemp("whole")).parent


@pytest.fixture
def table(whole, tmp_path):
    shutil.copytree(whole / "t", tmp_path / "t")
    return tmp_path / "t"


def commit_of(table, version):
    return table / f"_delta_log/{version:020}.json"


def checkpoint_of(table):
    return table / f"_delta_log/{10:020}.checkpoint.parquet"


def forget_commits(table, to):
    for version in range(to + 1):
        commit_of(table, version).unlink()


def data_of(table, version):
    lines = [json.loads(line) for line in commit_of(table, version).read_text().splitlines()]
    return table / next(line["add"]["path"] for line in lines if "add" in line)


def change_lines(path, change):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def count(smelt):
    return smelt.sql("SELECT count(*) AS n, sum(id) AS s FROM delta_scan('t')")[0]


WHOLE = {"n": 120, "s": sum(range(120))}


def is_refused(smelt, table, *words, statement="SELECT * FROM delta_scan('t')"):
    """By readers, and by writers, which leave the folder as it is."""
    for text in (statement, "INSERT INTO 't' SELECT 1 AS id, 'x' AS s"):
        before = sorted(path for path in table.rglob("*"))
        done = smelt("sql", "--write", text, check=False)
        assert done.returncode == 1 and not done.stdout, text
        for word in words:
            assert word in done.stderr, (text, done.stderr)
        assert sorted(path for path in table.rglob("*")) == before


@pytest.mark.parametrize("damage", ["cut off", "no JSON", "empty line of NULs", "empty", "white"])
def test_a_damaged_commit(smelt, table, damage):
    path = commit_of(table, 11)
    text = path.read_bytes()
    path.write_bytes({"cut off": text[:-20], "no JSON": b"not json\n", "empty line of NULs": b"\0" * 40 + b"\n",
                      "empty": b"", "white": b" \n\n"}[damage])
    is_refused(smelt, table, path.name)
    # A commit that the checkpoint stands for is not read.
    path.write_bytes(text)
    commit_of(table, 4).write_text("not json\n")
    assert count(smelt) == WHOLE


def test_a_missing_commit(smelt, table):
    commit_of(table, 5).unlink()
    assert count(smelt) == WHOLE  # the checkpoint stands for it
    checkpoint_of(table).unlink()
    is_refused(smelt, table, "version 5 is missing")


@pytest.mark.parametrize("text", [None, "", "{\"vers", "{\"version\":7,\"size\":1}", "{\"version\":-1}", "[]"])
def test_a_wrong_pointer_to_the_checkpoint(smelt, table, text):
    pointer = table / "_delta_log/_last_checkpoint"
    pointer.unlink()
    if text is not None:
        pointer.write_text(text)
    assert count(smelt) == WHOLE
    forget_commits(table, 9)
    assert count(smelt) == WHOLE
    smelt("sql", "--write", "INSERT INTO 't' SELECT 120 AS id, 'x' AS s")
    assert count(smelt)["n"] == 121


def test_a_log_that_ends_too_soon(smelt, table):
    """Its copy was interrupted, or a disk lost what was newest. What names a later version tells."""
    log = table / "_delta_log"
    for version in (9, 10, 11):
        commit_of(table, version).unlink()
    checkpoint_of(table).unlink()
    is_refused(smelt, table, "_last_checkpoint is of version 10, and the log ends at version 8")
    assert "the log ends at version 8" in smelt("table", "fsck", "t", check=False).stdout
    assert smelt.sql("SELECT count(*) AS n FROM delta_scan('t', version => 8)")[0]["n"] == 90
    (log / "_last_checkpoint").unlink()
    for name in (f"{9:020}.crc", f"{3:020}.{9:020}.compacted.json"):
        (log / name).write_text("{}")
        is_refused(smelt, table, f"{name} is of version 9, and the log ends at version 8")
        (log / name).unlink()
    assert count(smelt)["n"] == 90
    smelt("sql", "--write", f"INSERT INTO 't' {ten_rows(0)}")
    assert count(smelt)["n"] == 100


def test_a_log_without_a_commit(smelt, table):
    for path in (table / "_delta_log").glob("0*"):
        path.unlink()
    is_refused(smelt, table, "_last_checkpoint is of version 10")
    is_refused(smelt, table, "_last_checkpoint is of version 10", statement="CREATE TABLE 't' AS SELECT 1 AS id")


@pytest.mark.parametrize("change", [lambda b: b"", lambda b: b[:-100], lambda b: b[:200] + b"\xff" * 50 + b[250:]])
def test_a_damaged_checkpoint(smelt, table, change):
    path = checkpoint_of(table)
    path.write_bytes(change(path.read_bytes()))
    assert count(smelt) == WHOLE  # from the commits
    forget_commits(table, 9)
    done = smelt("sql", "SELECT * FROM delta_scan('t')", check=False)
    assert done.returncode == 1 and path.name in done.stderr and not done.stdout


SAID = "version 11 of Delta table t"


def test_a_data_file_is_gone(smelt, table):
    gone = data_of(table, 7)
    gone.unlink()
    done = smelt("sql", "SELECT * FROM delta_scan('t')", check=False)
    assert done.returncode == 1 and gone.name in done.stderr and SAID in done.stderr
    assert smelt.sql("SELECT count(*) AS n FROM delta_scan('t') WHERE id < 70")[0]["n"] == 70
    for command in (["optimize", "t"], ["cluster", "t", "--by", "id"]):
        done = smelt("table", *command, check=False)
        assert done.returncode == 1 and gone.name in done.stderr
    assert smelt("table", "fsck", "t", check=False).returncode != 0


OTHER_SIZES = {"empty": lambda b: b"", "a byte less": lambda b: b[:-1], "half": lambda b: b[:len(b) // 2],
               "a byte more": lambda b: b + b"x", "another file": None}


@pytest.mark.parametrize("kind", OTHER_SIZES)
def test_a_data_file_changed_in_size(smelt, table, tmp_path, kind):
    """Also where it is a whole Parquet file, with the columns of the table and other rows."""
    path = data_of(table, 7)
    if kind == "another file":
        smelt("sql", "SELECT 5 AS id, 'more text than was there before' AS s", "-o", tmp_path / "o.parquet")
        shutil.move(tmp_path / "o.parquet", path)
    else:
        path.write_bytes(OTHER_SIZES[kind](path.read_bytes()))
    before = sorted(table.rglob("*"))
    for command in (["sql", "SELECT * FROM delta_scan('t')"], ["sql", "SELECT count(s) FROM delta_scan('t')"],
                    ["sql", "--write", "UPDATE 't' SET s = 'x' WHERE id = 75"], ["table", "optimize", "t"],
                    ["sql", "--write", "DELETE FROM 't' WHERE s LIKE '%1'"],
                    ["table", "cluster", "t", "--by", "id"], ["table", "diff", "t", "--from", "3", "--by", "id"]):
        done = smelt(*command, check=False)
        assert done.returncode == 1 and not done.stdout, command
        assert path.name in done.stderr and SAID in done.stderr, (command, done.stderr)
        assert f"the file has {path.stat().st_size} bytes, the log of its table says" in done.stderr
    assert sorted(table.rglob("*")) == before
    assert smelt.sql("SELECT count(*) AS n FROM delta_scan('t', version => 6)")[0]["n"] == 70


def test_a_large_file_is_another_one(smelt, tmp_path):
    """Its row groups would be copied as they are."""
    lines = tmp_path / "lines.ndjson"
    lines.write_text("".join(f'{{"id": {i}}}\n' for i in range(200_001)))
    smelt("sql", "--write", f"CREATE TABLE 't' AS SELECT id FROM '{lines}' WHERE id > 0")
    smelt("sql", "--write", "INSERT INTO 't' SELECT 0 AS id")
    path = data_of(tmp_path / "t", 0)
    smelt("sql", f"SELECT id FROM '{lines}'", "-o", path)
    done = smelt("table", "optimize", "t", check=False)
    assert done.returncode == 1 and path.name in done.stderr and "the log of its table says" in done.stderr


def test_changes_of_another_size(smelt, table, tmp_path):
    """Files of the change data feed too."""
    smelt("sql", "--write", "ALTER TABLE 't' SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    smelt("sql", "--write", "UPDATE 't' SET s = 'x' WHERE id = 75")
    path = min(table.glob("_change_data/*.parquet"))
    smelt("sql", f"SELECT *, 7 AS more FROM '{path}'", "-o", tmp_path / "o.parquet")
    shutil.move(tmp_path / "o.parquet", path)
    done = smelt("sql", "SELECT * FROM table_changes('t', 13)", check=False)
    assert done.returncode == 1 and path.name in done.stderr and "the changes of version 13" in done.stderr
    assert "the log of its table says" in done.stderr


SPELLINGS = [lambda p: f"./{p}", lambda p: f"%{ord(p[0]):02x}{p[1:]}", lambda p: f"././%2E/{p}",
             lambda p: p.replace("-", "%2D")]


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("version", [4, 11])  # of the checkpoint, of a commit
def test_a_path_in_two_spellings(smelt, table, spell, version):
    """It is one file: added again its rows are there once, removed they are gone, by any spelling."""
    add = next(line["add"] for line in map(json.loads, commit_of(table, version).read_text().splitlines())
               if "add" in line)
    (table / "_delta_log/_last_checkpoint").unlink()
    commit_of(table, 12).write_text(json.dumps({"add": {**add, "path": spell(add["path"])}}) + "\n")
    assert count(smelt) == WHOLE
    assert smelt.sql(f"SELECT count(*) AS n FROM 't' WHERE id = {version * 10}")[0]["n"] == 1
    smelt("sql", "--write", f"DELETE FROM 't' WHERE id = {version * 10}")
    assert count(smelt) == {"n": 119, "s": WHOLE["s"] - version * 10}
    commit_of(table, 13).write_text(json.dumps({"remove": {
        "path": add["path"], "deletionTimestamp": 1, "dataChange": True}}) + "\n")
    assert count(smelt)["n"] == 110


@pytest.mark.parametrize("path, words", [
    ("a//b.parquet", 'path "a//b.parquet" of the log has a part without a name'),
    ("a/", 'path "a/" of the log names no file'), ("a/.", 'path "a/." of the log names no file'),
    ("./", 'path "./" of the log names no file'), ("a%00b", "has a NUL in it"),
    ("./../x", 'path "./../x" of the log leaves the table\'s folder')])
def test_a_path_that_names_no_file(smelt, table, path, words):
    def rename(line):
        if "add" in line:
            line["add"]["path"] = path
    change_lines(commit_of(table, 11), rename)
    done = smelt("sql", "SELECT * FROM delta_scan('t')", check=False)
    assert done.returncode == 1 and not done.stdout and words in done.stderr, done.stderr


@pytest.mark.parametrize("path, words", [
    ("../elsewhere.parquet", ["../elsewhere.parquet"]), ("a/../../elsewhere.parquet", ["elsewhere.parquet"]),
    ("%2e%2e/elsewhere.parquet", ["elsewhere.parquet"]), ("file:///etc/../elsewhere.parquet", ["elsewhere.parquet"]),
    ("gs://bucket/elsewhere.parquet", ["gs://bucket/elsewhere.parquet"]),
    ("/no/such/place/elsewhere.parquet", ["/no/such/place/elsewhere.parquet"])])
def test_a_path_that_leads_elsewhere(smelt, table, path, words):
    (table.parent / "elsewhere.parquet").write_text("not to be read")

    def lead_away(line):
        if "add" in line:
            line["add"]["path"] = path
    change_lines(commit_of(table, 11), lead_away)
    done = smelt("sql", "SELECT * FROM delta_scan('t')", check=False)
    assert done.returncode == 1 and not done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("protocol, words", [
    ({"minReaderVersion": 4, "minWriterVersion": 7}, "reader version 4"),
    ({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["x"], "writerFeatures": ["x"]}, '"x"'),
    *[({"minReaderVersion": version, "minWriterVersion": 2}, '"minReaderVersion" of the protocol is not a version')
      for version in ("9", "1", 0, -1, 1.5, 2**32 + 1, None, [])],
    ({"minReaderVersion": 1, "minWriterVersion": "9"}, '"minWriterVersion" of the protocol is not a version'),
])
def test_a_protocol_of_the_future(smelt, table, protocol, words):
    with commit_of(table, 11).open("a") as file:
        file.write(json.dumps({"protocol": protocol}) + "\n")
    is_refused(smelt, table, words)
    done = smelt("table", "vacuum", "t", check=False)
    assert done.returncode == 1 and words in done.stderr


@pytest.mark.parametrize("action, words", [
    ({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": "x"}},
     '"readerFeatures" of the log is not a list'),
    ({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [7]}},
     '"readerFeatures" of the log is not a list of texts'),
    ({"add": {"path": "x.parquet", "size": 1, "deletionVector": "u"}}, '"deletionVector" of the log is not an object'),
    ({"add": {"path": "x.parquet", "size": 1, "partitionValues": {"p": 5}}}, '"p" in "partitionValues" of the log'),
    ({"add": {"path": "x.parquet", "size": 1, "partitionValues": []}}, '"partitionValues" of the log is not an object'),
    ({"metaData": {"id": "i", "configuration": {"delta.appendOnly": True}}}, '"delta.appendOnly" in "configuration"'),
    ({"metaData": {"id": "i", "partitionColumns": "s"}}, '"partitionColumns" of the log is not a list'),
    ({"metaData": {"id": "i", "format": {"provider": "csv"}}}, "the table's files are csv, not Parquet"),
    ({"txn": {"appId": "x", "version": 1}, "add": {"path": "x.parquet", "size": 1}}, 'two actions, "txn" and "add"'),
    *[({"add": {"path": "x.parquet", **size}}, 'the log does not say how large "x.parquet" is')
      for size in ({}, {"size": None}, {"size": -1})],
    ({"cdc": {"path": "x.parquet"}}, 'the log does not say how large "x.parquet" is'),
    *[({kind: {"path": "x.parquet", "size": size}}, '"size" of the log is not a whole number')
      for kind in ("add", "remove") for size in ("1", 1.5, True)],
    ({"add": {"path": "x.parquet", "size": 1, "baseRowId": "7"}}, '"baseRowId" of the log is not a whole number'),
    ({"remove": {"path": "x.parquet", "deletionTimestamp": "7"}}, '"deletionTimestamp" of the log is not a whole'),
    ({"remove": {"path": "x.parquet", "dataChange": "no"}}, '"dataChange" of the log is not true or false'),
    ({"add": {"path": "x.parquet", "size": 1, "deletionVector": {"storageType": "i", "pathOrInlineDv": "abc",
                                                                 "sizeInBytes": 40}}},
     'the deletion vector of "x.parquet" in the log has no place, no size or no number of rows'),
    ({"metaData": {"id": "i", "format": "csv"}}, '"format" of the log is not an object'),
    ({"metaData": {"id": "i", "schemaString": {}}}, '"schemaString" of the log is not a text'),
    ({"txn": {"appId": "x"}}, 'transaction "x" of the log has no version'),
    ({"txn": {"appId": "x", "version": "1"}}, '"version" of the log is not a whole number'),
    ({"domainMetadata": {"domain": "d", "removed": 1}}, '"removed" of the log is not true or false'),
])
def test_values_that_would_pass_for_missing(smelt, table, action, words):
    """A feature, a partition, a vector or an action would be passed over, and the rows be wrong."""
    with commit_of(table, 11).open("a") as file:
        file.write(json.dumps(action) + "\n")
    is_refused(smelt, table, words, commit_of(table, 11).name)


def add_and_remove(lines):
    add = next(line["add"] for line in lines if "add" in line)
    return {"remove": {"path": "./" + add["path"], "deletionTimestamp": 1, "dataChange": True}}


@pytest.mark.parametrize("more, place, words", [
    (add_and_remove, -1, "the commit adds and removes the file"),
    (add_and_remove, 0, "the commit adds and removes the file"),
    (lambda lines: {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, -1, None),
    (lambda lines: {"metaData": {"id": "x", "schemaString": '{"type":"struct","fields":[]}'}}, -1, None)])
def test_a_commit_that_contradicts_itself(smelt, table, more, place, words):
    """Its actions have no order, and readers differ in which counts."""
    lines = [json.loads(line) for line in commit_of(table, 11).read_text().splitlines()]
    action = more(lines)
    extra = [action] if words else [action, action]
    lines[place if place >= 0 else len(lines):0] = extra
    commit_of(table, 11).write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = words or f"the commit has two actions {next(iter(action))}"
    is_refused(smelt, table, words, commit_of(table, 11).name)
    told = smelt("table", "fsck", "t", check=False)
    assert told.returncode == 1 and words in told.stdout


DV_TABLE = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
                         "writerFeatures": ["deletionVectors"]}}


@pytest.mark.parametrize("version", [4, 11])  # of the checkpoint, of a commit
@pytest.mark.parametrize("first, second", [(None, "a"), ("a", None), ("a", "b")])
def test_a_file_with_two_vectors(smelt, table, version, first, second):
    """It is live twice: its rows would be counted twice."""
    add = next(line["add"] for line in map(json.loads, commit_of(table, version).read_text().splitlines())
               if "add" in line)
    remove = {"remove": {"path": add["path"], "deletionTimestamp": 1}}
    first, second = [{"add": {**add, "deletionVector": name and {
        "storageType": "i", "pathOrInlineDv": name, "sizeInBytes": 40, "cardinality": 1}}} for name in (first, second)]
    versions = [[DV_TABLE, second]] if not first["add"]["deletionVector"] else [[DV_TABLE, remove], [first], [second]]
    for number, lines in enumerate(versions, 12):
        commit_of(table, number).write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = f'file "{add["path"]}" is in the table twice'
    for statement in ("SELECT count(*) FROM delta_scan('t')", "UPDATE 't' SET s = 'x'"):
        done = smelt("sql", "--write", statement, check=False)
        assert done.returncode == 1 and not done.stdout and words in done.stderr, done.stderr
    told = smelt("table", "fsck", "t", check=False)
    assert told.returncode == 1 and words in told.stdout


def test_values_on_which_nothing_hangs(smelt, table):
    """Of another type they are as if they were not there; tags are kept as texts, as Spark does."""
    def change(line):
        if "add" in line:
            line["add"].update(tags={"a": 5, "b": True, "c": {"d": 1}, "e": None, "f": "x"},
                               modificationTime="late", clusteringProvider=1, stats={})
    change_lines(commit_of(table, 11), change)
    assert count(smelt) == WHOLE
    smelt("sql", "--write", "ALTER TABLE 't' SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    tags = [dict(add["tags"]) for add in pq.read_table(table / f"_delta_log/{12:020}.checkpoint.parquet")
            .column("add").to_pylist() if add and add["tags"]]
    assert tags == [{"a": "5", "b": "true", "c": '{"d": 1}', "e": None, "f": "x"}]


def with_field(array, path, change):
    """A column of structs, of which a field is changed: a function of the field's array, or None."""
    name, _, rest = path.partition(".")
    names = [field.name for field in array.type]
    arrays = [array.field(n) for n in names]
    i = names.index(name)
    arrays[i] = with_field(arrays[i], rest, change) if rest else change(arrays[i])
    return pa.StructArray.from_arrays(arrays, names=names, mask=array.is_null())


def as_text(array):
    return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())


def as_maps_of_numbers(array):
    return pa.array([None if v is None else [("p", 5)] for v in array.to_pylist()], pa.map_(pa.string(), pa.int64()))


def all_of(value):
    return lambda array: pa.array([value] * len(array), array.type)


@pytest.mark.parametrize("column, path, change, words", [
    ("metaData", "format.provider", all_of("csv"), "the table's files are csv, not Parquet"),
    ("metaData", "schemaString", lambda a: pa.array([1] * len(a)), '"schemaString" of the log is not a text'),
    ("metaData", "partitionColumns", as_text, '"partitionColumns" of the log is not a list of texts'),
    ("metaData", "configuration", as_maps_of_numbers, '"configuration" of the log is not a map of texts'),
    ("protocol", "minReaderVersion", as_text, '"minReaderVersion" of the protocol is not a version'),
    ("protocol", "minReaderVersion", all_of(0), '"minReaderVersion" of the protocol is not a version'),
    ("protocol", "minWriterVersion", all_of(None), '"minWriterVersion" of the protocol is not a version'),
    ("add", "path", all_of(None), "an add, remove or cdc of the log names no file"),
    ("add", "path", lambda a: pa.array([1] * len(a)), '"path" of the log is not a text'),
    ("add", "size", all_of(-1), "the log does not say how large"),
    ("add", "size", all_of(None), "the log does not say how large"),
    ("add", "size", as_text, '"size" of the log is not a whole number'),
    ("add", "partitionValues", as_maps_of_numbers, '"partitionValues" of the log is not a map of texts'),
    ("add", "dataChange", as_text, '"dataChange" of the log is not true or false')])
def test_a_checkpoint_is_judged_as_the_commits_are(smelt, table, column, path, change, words):
    """What a line of JSON is refused for, a row of Parquet is too."""
    checkpoint = checkpoint_of(table)
    rows = pq.read_table(checkpoint).replace_schema_metadata(None)  # it has the footer's checksum
    i = rows.column_names.index(column)
    pq.write_table(rows.set_column(i, column, with_field(rows.column(i).combine_chunks(), path, change)), checkpoint)
    assert count(smelt) == WHOLE  # by the commits
    told = smelt("table", "fsck", "t", check=False)
    assert told.returncode == 1 and words in told.stdout, told.stdout
    forget_commits(table, 9)
    done = smelt("sql", "SELECT * FROM delta_scan('t')", check=False)
    assert done.returncode == 1 and not done.stdout and words in done.stderr, done.stderr
    assert checkpoint.name in done.stderr


def test_a_clock_that_jumps_back(smelt, table):
    """The commits so far are of next year: what comes now is later all the same, by version and by time."""
    future = int(time.time()) + 365 * 86400
    for version in range(12):
        os.utime(commit_of(table, version), (future + version, future + version))
    smelt("sql", "--write", "INSERT INTO 't' SELECT 120 AS id, 'x' AS s")
    assert count(smelt)["n"] == 121
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(future + 5))
    assert smelt.sql(f"SELECT count(*) AS n FROM delta_scan('t', timestamp => '{when}+00')")[0]["n"] == 60
    late = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(future + 1000))
    assert smelt.sql(f"SELECT count(*) AS n FROM delta_scan('t', timestamp => '{late}+00')")[0]["n"] == 121
    smelt("table", "vacuum", "t")
    assert count(smelt)["n"] == 121


def test_a_vacuum_shorter_than_the_retention(smelt, table):
    smelt("sql", "--write", "DELETE FROM 't' WHERE id < 10")
    before = sorted(table.rglob("*.parquet"))
    done = smelt("table", "vacuum", "t", "--retention", "1h", check=False)
    assert done.returncode == 2 and "--no-retention-check" in done.stderr
    assert sorted(table.rglob("*.parquet")) == before
    smelt("table", "vacuum", "t", "--retention", "0h", "--no-retention-check")
    assert len(sorted(table.rglob("*.parquet"))) == len(before) - 1
    assert count(smelt)["n"] == 110


def test_a_restore_of_vacuumed_files(smelt, table):
    gone = data_of(table, 0)
    smelt("sql", "--write", "DELETE FROM 't' WHERE id < 10")
    smelt("table", "vacuum", "t", "--retention", "0h", "--no-retention-check")
    assert not gone.exists()
    log = sorted((table / "_delta_log").iterdir())
    done = smelt("table", "restore", "t", "--version", "11", check=False)
    assert done.returncode == 1 and gone.name in done.stderr, done.stderr
    assert count(smelt)["n"] == 110
    assert sorted((table / "_delta_log").iterdir()) == log


def test_a_full_disk(whole, smelt, tmp_path):
    """In a file system that is too small, at each size: a statement fails and leaves the table as it was,
    or it succeeds."""
    place = tmp_path / "small"
    place.mkdir()
    script = ("mount -t tmpfs -o size={size}k none {place} 2>/dev/null || exit 77\n"
              "cp -r {whole}/t {place}/ 2>/dev/null || exit 78\ncd {place}\n"
              "'{smelt}' sql --write \"INSERT INTO 't' SELECT id, s FROM '{rows}'\"\n"
              "code=$?\n'{smelt}' sql --format csv \"SELECT count(*) FROM delta_scan('t')\" || exit 79\n"
              "test $code = 0 || ls {place}/t/*.tmp* 2>/dev/null\nexit $code\n")
    rows = tmp_path / "rows.ndjson"
    rows.write_text("".join(json.dumps({"id": i, "s": hashlib.md5(b"%d" % i).hexdigest()}) + "\n"
                            for i in range(20000)))
    outcomes = set()
    for size in (180, 220, 300, 2000):
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script.format(
            size=size, place=place, whole=whole, smelt=smelt.path, rows=rows)],
            capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("no file system can be mounted here")
        if done.returncode == 78:
            continue
        outcomes.add(done.returncode)
        n = done.stdout.split()[-1]
        if done.returncode == 0:
            assert n == "20120"
        else:
            assert n == "120" and "No space left" in done.stderr, (size, done.stdout, done.stderr)
    assert 0 in outcomes and len(outcomes) > 1
