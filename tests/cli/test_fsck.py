"""`smelt table fsck`: what it finds in tables of others and its own, what it prints, what a repair does."""
import json
import shutil

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def rows(first, n):
    return pa.table({
        "id": pa.array(range(first, first + n), pa.int64()),
        "share": pa.array([float("nan") if i == 1 else i / 3 for i in range(n)]),
        "name": pa.array([None if i == 0 else f"row {i} of many, with a long name" for i in range(n)]),
        "list": pa.array([[i] for i in range(n)]),
        "day": pa.array(["a %", "b"] * (n // 2)),
    })


@pytest.fixture
def table(lake):
    """Four versions by delta-rs, two partitions in each, with a checkpoint at version 2."""
    uri = lake / "shop" / "orders"
    for i in range(4):
        deltalake.write_deltalake(str(uri), rows(i * 100, 100), mode="append", partition_by=["day"])
        if i == 2:
            deltalake.DeltaTable(str(uri)).create_checkpoint()
    return uri


def files_of(table):
    """The files of the newest version, as paths, in an order that does not depend on their names."""
    found = deltalake.DeltaTable(str(table)).to_pyarrow_dataset().files
    return sorted((table / name for name in found), key=lambda path: pq.read_table(path)["id"][0].as_py())


def fsck(smelt, table, *options):
    """Exit code and answer."""
    done = smelt("table", "fsck", table, "--json", *options, check=False)
    return done.returncode, json.loads(done.stdout)


def kinds(told):
    return [finding["kind"] for finding in told["findings"]]


def test_a_whole_table(smelt, table):
    for options in ([], ["--data"], ["--repair"], ["--repair", "--dry-run"]):
        code, told = fsck(smelt, table, *options)
        assert (code, told["findings"], told["left"]) == (0, [], 0), told
    assert (told["version"], told["files"], told["commits"], told["compared"]) == (3, 8, 4, 1)
    text = smelt("table", "fsck", table).stdout
    assert "found        nothing wrong" in text
    assert not list(table.glob("_delta_log/*4.json"))


def test_a_table_that_smelt_published(smelt, lake):
    deltalake.write_deltalake(str(lake / "a" / "b"), pa.table({"x": [1, 2]}))
    smelt("table", "restore", lake / "a" / "b", "--version", 0)  # a publication, by the journal
    code, told = fsck(smelt, lake / "a" / "b", "--data")
    assert (code, told["findings"], told["publication"]) == (0, [], None)


def test_files_that_are_gone(smelt, table):
    gone, damaged = files_of(table)[:2]
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    code, told = fsck(smelt, table)
    assert code == 1 and sorted(kinds(told)) == ["gone", "size"], told
    finding = next(f for f in told["findings"] if f["kind"] == "gone")
    assert finding["file"].endswith(gone.name) and finding["version"] == 3 and finding["rows"] == 50
    assert "--repair" in finding["todo"]
    done = smelt("table", "fsck", table, check=False)
    assert f"{gone.name} (version 3): it is gone from the store" in done.stdout
    assert "2 findings in table" in done.stderr


def test_repair(smelt, table, duckdb_delta):
    gone, damaged = files_of(table)[:2]
    gone.unlink()
    damaged.write_bytes(b"PAR1")
    refused = smelt("table", "fsck", table, "--repair", check=False)
    assert refused.returncode == 2 and "would take 50 rows out of the table" in refused.stderr
    assert smelt("table", "fsck", table, "--repair", "--rows", 49, check=False).returncode == 2
    code, told = fsck(smelt, table, "--repair", "--dry-run")
    assert (code, told["removed_files"], told["removed_rows"], told["repaired"]) == (1, 1, 50, None)
    peer = deltalake.DeltaTable(str(table)).repair(dry_run=True)["files_removed"]
    assert [name.split("/")[-1] for name in peer] == [gone.name]

    code, told = fsck(smelt, table, "--repair", "--rows", 50)
    assert (code, told["repaired"], told["left"]) == (1, 4, 1), told  # the damaged one is left
    assert damaged.exists()
    code, told = fsck(smelt, table, "--repair", "--damaged", "--rows", 50)
    assert (code, told["repaired"], told["left"]) == (0, 5, 0), told
    assert damaged.exists()  # a vacuum deletes it
    assert fsck(smelt, table, "--data")[0] == 0
    assert smelt.sql(f"SELECT count(*) AS n, min(id) AS first FROM '{table}'") == [{"n": 300, "first": 100}]
    assert deltalake.DeltaTable(str(table)).to_pyarrow_table().num_rows == 300
    assert duckdb_delta.query(f"SELECT count(*) FROM delta_scan('{table}')") == [(300,)]
    info = deltalake.DeltaTable(str(table)).history(1)[0]
    assert info["operation"] == "FSCK" and info["operationMetrics"]["numRemovedFiles"] == "1"


def test_rows_that_are_not_known(smelt, table):
    commit = table / "_delta_log" / "00000000000000000003.json"
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    for line in lines:
        line.get("add", {}).pop("stats", None)
    commit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    files_of(table)[-1].unlink()
    refused = smelt("table", "fsck", table, "--repair", check=False)
    assert "an unknown number of rows" in refused.stderr and "--rows unknown" in refused.stderr
    assert fsck(smelt, table, "--repair", "--rows", "unknown")[1]["left"] == 0


@pytest.mark.parametrize("change, kind", [
    (lambda t: t.drop_columns(["id"]).append_column("id", pa.array(["x"] * t.num_rows)), "damaged"),
    (lambda t: t.slice(0, 10), "rows")])
def test_another_file_in_its_place(smelt, table, change, kind):
    """Of the same size, by the log."""
    path = files_of(table)[0]
    size = path.stat().st_size
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    for commit in table.glob("_delta_log/*.json"):
        commit.write_text(commit.read_text().replace(f'"size":{size},', f'"size":{path.stat().st_size},'))
    (table / "_delta_log" / "00000000000000000002.checkpoint.parquet").unlink()
    (table / "_delta_log" / "_last_checkpoint").unlink()
    code, told = fsck(smelt, table)
    assert code == 1 and kind in kinds(told), told


def test_statistics_that_hide_rows(smelt, table):
    commit = table / "_delta_log" / "00000000000000000003.json"
    text = commit.read_text()
    assert '\\"minValues\\":{' in text
    commit.write_text(text.replace('\\"id\\":300', '\\"id\\":310').replace('\\"id\\":301', '\\"id\\":310'))
    assert fsck(smelt, table)[0] == 0
    code, told = fsck(smelt, table, "--data")
    assert code == 1 and set(kinds(told)) == {"statistics"}
    assert "column id: the log says that no value is less than 310, it has 30" in told["findings"][0]["what"]


@pytest.mark.parametrize("stats, what", [
    ("{", "its statistics in the log are no JSON object"), ("[]", "its statistics in the log are no JSON object"),
    ('{"numRecords":-5}', "numRecords of its statistics in the log is no number of rows"),
    ('{"numRecords":"5"}', "numRecords of its statistics in the log is no number of rows"),
    ("{}", None), (None, None)])
def test_statistics_that_cannot_be_read(smelt, table, stats, what):
    """Readers pass over them; the rows are there. They are no reason to take a file away."""
    commit = table / "_delta_log" / "00000000000000000003.json"
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    for line in lines:
        if "add" in line:
            line["add"]["stats"] = stats
    commit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert smelt.sql(f"SELECT count(*) AS n FROM '{table}'") == [{"n": 400}]
    code, told = fsck(smelt, table, "--repair", "--damaged", "--dry-run")
    assert {(f["kind"], f["what"]) for f in told["findings"]} == ({("statistics", what)} if what else set())
    assert (code, told["left"], told["removed_files"]) == ((1, 2, 0) if what else (0, 0, 0))


def test_many_findings(smelt, lake):
    """More than are held at a time; each is told once, in the order of the files, and a repair takes all."""
    log = lake / "shop" / "many" / "_delta_log"
    log.mkdir(parents=True)
    schema = {"type": "struct", "fields": [{"name": "a", "type": "integer", "nullable": True, "metadata": {}}]}
    lines = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
             {"metaData": {"id": "i", "format": {"provider": "parquet"}, "schemaString": json.dumps(schema),
                           "partitionColumns": [], "configuration": {}}}]
    lines += [{"add": {"path": f"part-{i:05}.parquet", "partitionValues": {}, "size": 1, "modificationTime": 1,
                       "dataChange": True, "stats": '{"numRecords":2}'}} for i in range(10000)]
    (log / f"{0:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, told = fsck(smelt, log.parent)
    assert (code, told["files"], told["left"]) == (1, 10000, 10000)
    assert [f["file"] for f in told["findings"]] == [f"part-{i:05}.parquet" for i in range(10000)]
    done = smelt("table", "fsck", log.parent, check=False)
    assert done.stdout.count("it is gone from the store") == 10000 and "10,000 findings in table" in done.stderr
    code, told = fsck(smelt, log.parent, "--repair", "--rows", 20000)
    assert (code, told["repaired"], told["removed_files"], told["left"]) == (0, 1, 10000, 0)
    assert fsck(smelt, log.parent)[1]["files"] == 0


def test_a_checkpoint_that_is_damaged_within(smelt, table):
    """It is found when its files are read: all files come anew, and a finding is told once."""
    gone = files_of(table)[0]
    gone.unlink()
    checkpoint = table / "_delta_log" / "00000000000000000002.checkpoint.parquet"
    rows = pq.read_table(checkpoint)
    add = rows.column("add").to_pylist()
    add[[i for i, a in enumerate(add) if a][-1]]["size"] = -1
    i = rows.column_names.index("add")
    pq.write_table(rows.set_column(i, rows.field(i), pa.array(add, rows.field(i).type)), checkpoint)
    code, told = fsck(smelt, table)
    assert code == 1 and sorted(kinds(told)) == ["gone", "log"] and told["files"] == 8, told


def test_the_log(smelt, table):
    log = table / "_delta_log"
    (log / "_last_checkpoint").write_text('{"version":1}')
    shutil.copy(log / "00000000000000000002.checkpoint.parquet",
                log / "00000000000000000003.checkpoint.parquet")
    code, told = fsck(smelt, table)
    assert code == 1 and kinds(told) == ["log", "log"], told
    assert "the checkpoint lacks 2 of the commits' files" in told["findings"][0]["what"]
    assert told["findings"][0]["version"] == 3
    assert told["findings"][1]["file"] == "_delta_log/_last_checkpoint"
    (log / "00000000000000000003.checkpoint.parquet").unlink()
    (log / "_last_checkpoint").unlink()
    (log / "00000000000000000001.json").unlink()
    code, told = fsck(smelt, table)
    assert code == 1 and told["findings"][0]["what"] == "version 1 is missing"
    assert told["version"] == 3  # by the checkpoint


@pytest.mark.parametrize("spell", [
    lambda path, table: f"./{path}", lambda path, table: path.replace("part", "%70art"),
    lambda path, table: f"{table.as_uri()}/{path}", lambda path, table: path])
@pytest.mark.parametrize("action", ["add", "remove"])
def test_a_file_that_is_spelt_in_two_ways(smelt, table, action, spell):
    """Both spellings and their versions are named. A repair takes the rows of no file that is there."""
    log = table / "_delta_log"
    for path in log.glob("*checkpoint*"):
        path.unlink()
    add = next(line["add"] for line in map(json.loads, (log / f"{1:020}.json").open()) if "add" in line)
    other = spell(add["path"], table)
    line = {"add": {**add, "path": other}, "remove": {"path": other, "deletionTimestamp": 1, "dataChange": True}}
    (log / f"{4:020}.json").write_text(json.dumps({action: line[action]}) + "\n")
    assert smelt.sql(f"SELECT count(*) AS n FROM '{table}'") == [{"n": 400 if action == "add" else 350}]
    for options in ([], ["--repair", "--damaged", "--dry-run"]):
        code, told = fsck(smelt, table, *options)
        assert (code, told.get("removed_files", 0)) == (0 if other == add["path"] else 1, 0), told
        assert [(f["kind"], f["version"], f["file"], f["what"]) for f in told["findings"]] == [
            ("log", 4, f"_delta_log/{4:020}.json",
             f'the commit {action}s "{other}", which is the file "{add["path"]}" of version 1')][:code]


def test_leftovers_are_counted(smelt, table):
    (table / ".smelt-tmp-0011223344556677").write_text("abc")
    code, told = fsck(smelt, table)
    assert (code, told["leftovers"], told["leftover_bytes"]) == (0, 1, 3)
    assert "smelt table vacuum" in smelt("table", "fsck", table).stdout


def test_golden_tables(smelt, conformance):
    """Tables of Spark, with deletion vectors, column mapping and checkpoints of all kinds, are whole."""
    checked = 0
    for name in ("dv-partitioned-with-checkpoint", "dv-with-columnmapping", "v2-checkpoint-parquet",
                 "v2-checkpoint-json", "basic-with-inserts-deletes-checkpoint", "multi-part-checkpoint",
                 "data-reader-partition-values", "table-with-columnmapping-mode-id"):
        table = conformance / "delta-golden" / name
        if table.exists():
            code, told = fsck(smelt, table, "--data")
            assert (code, told["findings"]) == (0, []), (name, told)
            checked += 1
    assert checked > 4


@pytest.mark.parametrize("options, words", [
    (["--rows", "3"], "--rows is of a repair"), (["--damaged"], "--damaged is of a repair"),
    (["--dry-run"], "--dry-run is of a repair"),
    (["--repair", "--rows", "few"], "neither a number of rows"),
    (["--repair", "--rows=-1"], "neither a number of rows"),
    (["--version", "1"], "smelt table fsck has no option --version")])
def test_wrong_options(smelt, table, options, words):
    done = smelt("table", "fsck", table, *options, check=False)
    assert done.returncode == 2 and words in done.stderr


def test_no_table(smelt, tmp_path):
    done = smelt("table", "fsck", tmp_path / "nothing", check=False)
    assert done.returncode == 1 and "no Delta table in" in done.stderr
