"""--json prints one object on stdout whatever happens, and null for missing values; and --quiet."""
import json
import os

import pytest

from shop import REPORT_KEYS

ERROR = ["status", "code", "message", "place", "todo", "within"]


def answer(done, code):
    """The one object of a command that failed; people are told on stderr all the same."""
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith("}\n") and done.stdout.count("\n") == 1
    assert done.stderr.count("smelt: ") == 1
    told = json.loads(done.stdout)
    assert list(told["error"]) == ERROR
    assert told["error"]["message"] in done.stderr
    return told


# ---- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words, code, wanted", [
    (["sql", "SELECT x"], 1, {"status": "NAME", "place": "SQL:1:8"}),
    (["sql", "SELEC 1"], 1, {"status": "SYNTAX"}),
    (["sql"], 2, {"status": "USAGE"}),
    (["sql", "SELECT 1", "--formt", "csv"], 2, {"todo": "Did you mean --format?", "place": None}),
    (["sql", "SELECT 1", "--threads", "many"], 2, {"status": "USAGE"}),
    (["sql", "SELECT 1", "--memory-limit", "1MB"], 2, {"todo": "The least is 96MB."}),
    (["explain", "SELECT x"], 1, {"status": "NAME"}),
    (["table", "show", "nowhere"], 1, {"status": "NOT_FOUND"}),
    (["table", "shw", "."], 2, {"status": "USAGE"}),
    (["generate", "logs", "x", "--month", "2022-13"], 2, {"status": "USAGE"}),
    (["publish", "clickhouse", "./x"], 2, {"status": "USAGE"}),
    (["doctor", "./nowhere"], 1, {"status": "NOT_FOUND", "place": "./nowhere"}),
    (["rnu"], 2, {"todo": "Did you mean \"run\"?"}),
])
def test_an_error_is_an_object(smelt, words, code, wanted):
    error = answer(smelt(*words, "--json", check=False, stdin=-3), code)["error"]
    assert {key: error[key] for key in wanted} == wanted
    assert error["code"] >= 10


@pytest.mark.parametrize("words, code, status", [
    (["nowhere.yaml"], 1, "NOT_FOUND"), ([], 2, "USAGE"), (["--tsk", "x"], 2, "USAGE"),
    (["shop.yaml", "--date", "today"], 2, "USAGE"), (["shop.yaml", "--var", "x"], 2, "USAGE"),
    (["shop.yaml", "--threads", "0"], 2, "USAGE"), (["shop.yaml", "--var", "logs=./none"], 1, "NOT_FOUND"),
    (["shop.yaml", "--task", "raw.order"], 1, "NAME"),
])
def test_a_run_that_fails_has_all_keys(shop, words, code, status):
    told = answer(shop.smelt("run", *words, "--json", check=False), code)
    assert list(told) == [*REPORT_KEYS, "error"]
    assert told["error"]["status"] == status
    assert told["tables"] == [] and told["lines"]["read"] == 0


def test_what_a_failed_run_had_read(shop):
    """It fails in its last task: nothing is published, and what was read is said."""
    shop.sql("best", "SELECT CAST(city AS BIGINT) AS n FROM mart.cities")
    told = answer(shop.process("--json", check=False), 1)
    assert told["lines"] == {"read": 6, "kept": 4, "quarantined": 2, "blank": 0}
    assert told["tables"] == []
    assert told["error"]["within"][0].startswith("task mart.best")
    assert set(shop.versions().values()) == {-1}


def test_no_file_counts_as_skipped_that_was_to_be_read(shop):
    shop.run()
    shop.put("20220403.json", '[\n{"id":1}\n]\n')
    told = answer(shop.process("--json", check=False), 1)
    assert told["files"] == {"read": 0, "skipped": 2, "ignored": 0}
    shop.sql("orders", open(shop.folder / "orders.sql").read().replace("SELECT id", "SELECT id + 1 AS id"))
    told = answer(shop.process("--json", check=False), 1)
    assert "--full-refresh" in told["error"]["todo"]
    assert told["files"] == {"read": 0, "skipped": 0, "ignored": 0}


def test_a_name_that_is_no_text(smelt, tmp_path):
    """The object is JSON whatever bytes a file's name has."""
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"[")
    answer(smelt("sql", "SELECT * FROM '*.json'", "--json", check=False, errors="replace"), 1)


def test_rows_that_are_out_are_not_followed_by_an_error(smelt, tmp_path):
    """What stands on stdout is no whole array: the exit code and stderr say so."""
    (tmp_path / "late.json").write_text('{"a":1}\n' * 200_000 + '{"a":"x"}\n')
    done = smelt("sql", "SELECT a FROM read_json('late.json', columns => {a: 'BIGINT'})", "--json",
                 check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("[") and "error" not in done.stdout
    assert "late.json:200001:" in done.stderr


# ---- answers ----------------------------------------------------------------------------------


def test_no_value_stands_for_none(shop):
    shop.run()
    again = shop.run()
    assert all(table["version"] is None for table in again["tables"])
    assert not [text for text in json.dumps(again).split() if text.strip("{},:[]").startswith("-")]


def test_tables(shop):
    shop.run()
    table = shop.lake / "raw/orders"
    told = shop.smelt.json("table", "show", table, "--json")
    assert (told["version"], told["rows"], told["files"]) == (0, 4, 2)
    assert told["columns"][0] == {"name": "id", "type": "BIGINT", "nullable": True}
    assert told["protocol"] == {"reader": 1, "writer": 2}
    files = shop.smelt.json("table", "files", table, "--json")["files"]
    assert [file["rows"] for file in files] == [2, 2]
    assert told["bytes"] == sum((table / file["path"]).stat().st_size for file in files)
    assert len(shop.smelt.json("table", "files", table, "--limit", 1, "--json")["files"]) == 1
    commit = shop.smelt.json("table", "history", table, "--json")["commits"][0]
    assert (commit["version"], commit["operation"], commit["metrics"]["numOutputRows"]) == (
        0, "WRITE", "4")
    assert json.loads(commit["user_metadata"])["pipeline"] == "shop"


def test_a_table_without_statistics(smelt, tmp_path):
    log = tmp_path / "t/_delta_log"
    log.mkdir(parents=True)
    schema = json.dumps({"type": "struct", "fields": [
        {"name": 'a "quoted"', "type": "integer", "nullable": False, "metadata": {}}]})
    actions = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
               {"metaData": {"id": "x", "format": {"provider": "parquet", "options": {}},
                             "schemaString": schema, "partitionColumns": [], "configuration": {}}},
               {"add": {"path": "a.parquet", "partitionValues": {}, "size": 7, "modificationTime": 0,
                        "dataChange": True}}]
    (log / f"{0:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
    told = smelt.json("table", "show", "t", "--json")
    assert (told["rows"], told["files"], told["bytes"]) == (None, 1, 7)
    assert told["columns"] == [{"name": 'a "quoted"', "type": "INTEGER", "nullable": False}]
    assert smelt.json("table", "files", "t", "--json") == {
        "files": [{"path": "a.parquet", "rows": None, "bytes": 7}]}
    commit = smelt.json("table", "history", "t", "--json")["commits"][0]
    assert (commit["operation"], commit["metrics"], commit["user_metadata"]) == (None, None, None)


def test_the_other_commands(smelt, tmp_path):
    told = smelt.json("generate", "logs", "logs", "--days", 2, "--rows", 100, "--json")
    bytes_made = sum(path.stat().st_size for path in (tmp_path / "logs").iterdir())
    assert told == {"folder": "logs", "files": 2, "lines": 200, "bytes": bytes_made}
    plan = smelt("explain", "SELECT 1 AS a")
    assert smelt.json("explain", "SELECT 1 AS a", "--json") == {"plan": plan.stdout.splitlines()}
    assert any("SCAN" in row for row in smelt.json(
        "explain", "--analyze", "SELECT count(*) AS n FROM 'logs/*.json'", "--json")["plan"])
    told = smelt.json("doctor", "logs", "--json")
    assert told["store"] == "logs" and told["write"].startswith("ok") and told["delete"] == "ok"
    assert smelt.json("sql", "SELECT 1 AS a", "--json") == [{"a": 1}]


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "md", "parquet"])
def test_rows_that_go_to_a_file(smelt, tmp_path, form):
    """Its suffix stays the format."""
    told = smelt.json("sql", "SELECT 1 AS a UNION ALL SELECT 2", "--json", "-o", f"rows.{form}")
    assert told == {"file": f"rows.{form}", "rows": 2}
    smelt("sql", "SELECT 1 AS a UNION ALL SELECT 2", "-o", f"again.{form}")
    assert (tmp_path / f"rows.{form}").read_bytes() == (tmp_path / f"again.{form}").read_bytes()
    error = answer(smelt("sql", "SELECT x", "--json", "-o", f"none.{form}", check=False), 1)["error"]
    assert error["status"] == "NAME" and not (tmp_path / f"none.{form}").exists()


# ---- doctor -----------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["nowhere", "./nowhere/deeper", "file"])
def test_doctor_makes_nothing(smelt, tmp_path, uri):
    (tmp_path / "file").write_text("x")
    done = smelt("doctor", uri, check=False)
    assert done.returncode == 1
    assert "folder" in done.stderr and uri in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_doctor_leaves_nothing(smelt, tmp_path):
    (tmp_path / "here").mkdir()
    assert "delete         ok" in smelt("doctor", "here").stdout
    assert list((tmp_path / "here").iterdir()) == []


# ---- quiet ------------------------------------------------------------------------------------


def test_quiet_says_nothing_where_nothing_is_wrong(shop):
    done = shop.process("--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    done = shop.smelt("generate", "logs", "more", "--days", 1, "--rows", 10, "-q")
    assert (done.stdout, done.stderr) == ("", "")


def test_quiet_says_warnings_and_errors(shop):
    shop.run()
    (shop.logs / "20220402.json").unlink()
    told = shop.process("--quiet").stderr
    assert "20220402.json" in told and "gone" in told and "lines " not in told
    assert shop.fail("--quiet", "--task", "no.such").startswith("smelt: ")


def test_quiet_of_a_query_says_what_was_left_out(smelt, tmp_path):
    (tmp_path / "bad.json").write_text('{"a":1}\n{"a":\n')
    done = smelt("sql", "SELECT a FROM read_json('bad.json', bad_lines => 'skip')", "--quiet")
    assert "1 of 2 lines" in done.stderr
