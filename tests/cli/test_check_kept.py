"""`smelt check` of a Delta table that did not change: the verdict that is kept beside it is told again, and no file
with rows is read. Each change of the table, the contract or what its rules read is seen."""
import ctypes
import ctypes.util
import json
import os
import shutil
import subprocess
import time

import deltalake
import pytest

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\n"
COLUMNS = """\
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}
"""
REFERENCE = COLUMNS + "      - {name: who, relationships: [{to: customers.id}]}\n"


def quality(rule):
    return COLUMNS + f"    quality: [{rule}]\n"


def sql(query):
    return quality('{name: q, type: sql, query: "%s", mustBeGreaterThan: 0}' % query)


@pytest.fixture
def table(smelt, lake):
    """Two files, one amount below 0; customers beside it."""
    uri = lake / "silver/orders"
    smelt("sql", "--write",
          f"CREATE TABLE '{uri}' AS SELECT * FROM (VALUES (1, 5.0, 1), (2, -1.0, 2)) v(id, amount, who)")
    smelt("sql", "--write", f"INSERT INTO '{uri}' VALUES (3, 7.5, 1)")
    smelt("sql", "--write", f"CREATE TABLE '{lake}/silver/customers' AS SELECT * FROM (VALUES (1), (2)) v(id)")
    return uri


@pytest.fixture
def ask(smelt, tmp_path, table):
    """Checks the table against a contract; returns the verdict in JSON, and stderr."""
    def check(contract=COLUMNS, *words, uri=table):
        (tmp_path / "c.yaml").write_text(HEAD + contract)
        done = smelt("check", "c.yaml", uri, "--json", *words, check=False)
        assert done.returncode in (0, 3), done.stderr
        return json.loads(done.stdout), done.stderr
    return check


def objects(table):
    """Whole verdicts."""
    return sorted((table / "_smelt/verdicts").glob("*.json")) if (table / "_smelt/verdicts").exists() else []


def without_times(told):
    return {key: value for key, value in told.items() if key not in ("checked_at", "cached")}


def is_kept(ask, contract=COLUMNS, *words):
    """Is the verdict of a second check kept? Both are what a check without it says."""
    first, _ = ask(contract, *words)
    second, err = ask(contract, *words)
    fresh, _ = ask(contract, "--no-cache", *words)
    assert not first["cached"] and not fresh["cached"]
    assert without_times(first) == without_times(second) == without_times(fresh)
    assert "the verdict" not in err
    return second["cached"]


# ---- an unchanged table ---------------------------------------------------------------------------------------------


def test_no_row_is_read_again(smelt, tmp_path, table, ask):
    first, err = ask(REFERENCE)
    assert (first["cached"], first["outcome"], err.count("rule amount:minimum is broken")) == (False, "failed", 1)
    for path in list(table.parent.rglob("*.parquet")):
        if "_delta_log" not in path.parts:
            path.unlink()  # so nothing can read it
    second, again = ask(REFERENCE)
    assert second["cached"] and second["checked_at"] == first["checked_at"]
    assert without_times(second) == without_times(first) and again == err
    text = smelt("check", "c.yaml", table, check=False)
    assert text.returncode == 3
    assert text.stdout.splitlines()[-1] == ("The table has not changed: the verdict was kept from "
                                            f"{first['checked_at'][:19]}.")
    assert smelt("check", "c.yaml", table, "--no-cache", check=False).returncode == 1


def test_nothing_is_told_of_a_first_check(smelt, tmp_path, table):
    (tmp_path / "c.yaml").write_text(HEAD + COLUMNS)
    before = sorted(table.rglob("*"))
    done = smelt("check", "c.yaml", table, "--no-cache", check=False)
    assert sorted(table.rglob("*")) == before and not objects(table)
    assert smelt("check", "c.yaml", table, check=False).stdout == done.stdout
    assert len(objects(table)) == 1


KEPT = [
    COLUMNS,
    REFERENCE,
    quality("{metric: duplicateValues, arguments: {properties: [amount]}, mustBe: 0}"),
    quality("{metric: rowCount, mustBeGreaterThan: 5}"),
    quality("{name: g, type: custom, engine: smelt, implementation: {groupBy: [id], check: sum(amount) > 5}}"),
    sql("SELECT count(*) FROM {object}"),
    sql("SELECT NULL::INTEGER"),
    sql("SELECT 'inf'::DOUBLE"),
    sql("SELECT 0.1 + 0.2"),
    sql("SELECT count(*) FROM silver.customers"),
    sql("SELECT sum(o.id) FROM {object} o, '{lake}/silver/customers' c WHERE o.who = c.id"),
    sql("SELECT count(*) FROM delta_scan('{lake}/silver/customers')"),
]


@pytest.mark.parametrize("contract", KEPT)
def test_what_is_kept(ask, lake, contract):
    assert is_kept(ask, contract.replace("{lake}", str(lake)))


NOT_KEPT = [
    quality("{name: f, type: custom, engine: smelt, severity: warning, "
            "implementation: {volume: {within: 30%, of: 7}}}"),
    sql("SELECT count(*) FROM '{lake}/more.json'"),
    sql("SELECT count(*) FROM read_json('{lake}/more.json')"),
    sql("SELECT count(*) FROM silver.customers AT (VERSION => 0)"),
    sql("SELECT count(*) FROM '{lake}/silver/customers' AT (VERSION => 0)"),
]


@pytest.mark.parametrize("contract", NOT_KEPT)
def test_what_is_not_kept(ask, table, lake, contract):
    (lake / "more.json").write_text('{"a": 1}\n')
    assert not is_kept(ask, contract.replace("{lake}", str(lake)))
    assert not objects(table)


def test_a_check_of_a_time_is_not_kept(smelt, tmp_path, table, ask):
    ask()
    told, _ = ask(COLUMNS, "--now", "2022-04-01")
    assert (told["cached"], told["checked_at"]) == (False, "2022-04-01 00:00:00")
    smelt("sql", "--write", "CREATE TABLE 'days' AS SELECT DATE '2022-04-01' AS day")
    fresh = ("schema: [{name: t, properties: [{name: day, quality: [{type: custom, engine: smelt, "
             "implementation: {freshness: 24 h}}]}]}]\n")
    ask(fresh, uri=tmp_path / "days")
    assert not ask(fresh, uri=tmp_path / "days")[0]["cached"]


# ---- changes --------------------------------------------------------------------------------------------------------

CHANGES = {
    "rows come": ["INSERT INTO '{t}' VALUES (4, -2.0, 1)"],
    "rows go": ["DELETE FROM '{t}' WHERE id = 2"],
    "rows change": ["UPDATE '{t}' SET amount = -1 WHERE id = 1"],
    "all go": ["DELETE FROM '{t}'"],
    "a key comes twice": ["INSERT INTO '{t}' VALUES (3, 2.0, 1)"],
}


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(smelt, table, ask, change, vectors):
    if vectors:
        smelt("sql", "--write", f"ALTER TABLE '{table}' SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    before, _ = ask()
    for statement in CHANGES[change]:
        smelt("sql", "--write", statement.format(t=table))
    after, _ = ask()
    assert not after["cached"] and after["contracts"] != before["contracts"]
    assert without_times(after) == without_times(ask(COLUMNS, "--no-cache")[0])
    assert ask()[0]["cached"]
    smelt("table", "restore", table, "--version", 1)
    restored, _ = ask()
    assert not restored["cached"] and without_times(restored) == without_times(before)


def test_compaction_is_a_change(smelt, table, ask):
    before, _ = ask()
    smelt("table", "optimize", table)
    after, _ = ask()
    assert not after["cached"] and without_times(after) == without_times(before)


def test_a_column_with_another_name(smelt, table, ask):
    ask()
    smelt("sql", "--write", f"ALTER TABLE '{table}' SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    ask()
    smelt("sql", "--write", f"ALTER TABLE '{table}' RENAME COLUMN amount TO price")
    done = smelt("check", "c.yaml", table, check=False)
    assert done.returncode == 1 and "amount" in done.stderr


def test_a_checkpoint_of_another_writer(table, ask):
    """delta-rs writes the files of a checkpoint in an order of its own, which is then that of the rows."""
    ask()
    deltalake.DeltaTable(str(table)).create_checkpoint()
    ask()
    assert ask()[0]["cached"]
    assert without_times(ask()[0]) == without_times(ask(COLUMNS, "--no-cache")[0])


def test_a_table_made_anew(smelt, table, ask):
    ask()
    smelt("sql", "--write", f"CREATE OR REPLACE TABLE '{table}' AS SELECT 1 AS id, -5.0 AS amount, 1 AS who")
    told, _ = ask()
    assert not told["cached"] and told["rows"] == 1


def test_an_edited_contract(table, ask):
    ask()
    assert ask("# a remark\n" + COLUMNS)[0]["cached"]
    told, _ = ask(COLUMNS.replace("minimum: 0", "minimum: 6"))
    assert not told["cached"] and told["contracts"][2]["violations"] == 2
    assert ask()[0]["cached"] and len(objects(table)) == 2


def test_variables(ask):
    contract = sql("SELECT count(*) FROM {object} WHERE id > CAST(var('least') AS BIGINT)")
    assert not ask(contract, "--var", "least=1")[0]["cached"]
    told, _ = ask(contract, "--var", "least=2")
    assert (told["cached"], told["contracts"][-1]["value"]) == (False, 1)
    assert ask(contract, "--var", "least=1")[0]["contracts"][-1]["value"] == 2


@pytest.mark.parametrize("contract", [REFERENCE, sql("SELECT count(*) - 1 FROM silver.customers"),
                                      sql("SELECT count(*) - 1 FROM '{lake}/silver/customers'")])
def test_another_table_changes(smelt, lake, ask, contract):
    contract = contract.replace("{lake}", str(lake))
    before, _ = ask(contract)
    assert ask(contract)[0]["cached"]
    smelt("sql", "--write", f"DELETE FROM '{lake}/silver/customers' WHERE id = 2")
    after, _ = ask(contract)
    assert not after["cached"] and after["contracts"][-1] != before["contracts"][-1]
    assert ask(contract)[0]["cached"]
    shutil.rmtree(lake / "silver/customers")
    with pytest.raises(AssertionError, match="customers"):
        ask(contract)


def test_another_place_of_a_table(smelt, lake, ask):
    smelt("sql", "--write", f"CREATE TABLE '{lake}/few' AS SELECT 1 AS id")
    assert ask(REFERENCE)[0]["contracts"][-1]["violations"] == 0
    told, _ = ask(REFERENCE, "--table-at", f"customers={lake}/few")
    assert (told["cached"], told["contracts"][-1]["violations"]) == (False, 1)


# ---- trouble --------------------------------------------------------------------------------------------------------

DAMAGES = {
    "cut": (lambda b: b[:-5], "is damaged"),
    "empty": (lambda b: b"", "is damaged"),
    "a line": (lambda b: b.split(b"\n")[0], "is damaged"),
    "changed": (lambda b: b.replace(b'"broken":1', b'"broken":0'), "is damaged"),
    "noise": (lambda b: bytes(range(256)), "is damaged"),
    "another version": (lambda b: b.replace(b'"smelt":"', b'"smelt":"9.'), "is of another version of smelt"),
    "another format": (lambda b: b.replace(b'"format":2', b'"format":3'), "is of another version of smelt"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_object_that_cannot_be_used(table, ask, damage):
    first, _ = ask()
    change, why = DAMAGES[damage]
    path, = objects(table)
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    assert path.read_bytes() != whole
    told, err = ask()
    assert not told["cached"] and without_times(told) == without_times(first)
    assert err.count(f"{path} {why}, so it is made anew") == 1
    again, err = ask()
    assert again["cached"] and "the verdict" not in err


def test_without_the_right_to_write(table, ask):
    (table / "_smelt").write_text("in the way")  # who runs tests may be root, who may write anywhere
    for _ in range(2):
        told, err = ask()
        assert not told["cached"] and err.count("the verdict could not be kept at") == 1
    assert "the verdict" not in ask(COLUMNS, "--no-cache")[1]


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh3_128(data):
    library = ctypes.CDLL(ctypes.util.find_library("xxhash"))
    library.XXH3_128bits.argtypes, library.XXH3_128bits.restype = [ctypes.c_char_p, ctypes.c_size_t], Hash128
    made = library.XXH3_128bits(data, len(data))
    return f"{made.high:016x}{made.low:016x}"


def test_an_object_opens_no_other_place(table, lake, ask):
    """One that somebody else has written, with the right hash: what the contract does not name is not opened."""
    ask(REFERENCE)
    path, = objects(table)
    head, body = path.read_text().split("\n")
    assert json.loads(head)["hash"] == xxh3_128(body.encode())
    for kind, parts in [("call", ["read_json", "/dev/zero"]), ("other", ["/dev/zero"]), ("call", []), ("other", [])]:
        new = json.loads(body)
        new["sources"] = [{"kind": kind, "parts": parts, "state": "0"}]
        text = json.dumps(new, separators=(",", ":"))
        first = {**json.loads(head), "hash": xxh3_128(text.encode())}
        path.write_text(json.dumps(first) + "\n" + text)
        told, err = ask(REFERENCE)
        assert not told["cached"] and "the verdict" not in err


def test_checks_at_once(program, tmp_path, table, ask):
    ask(COLUMNS, "--no-cache")
    command = [program.path, "check", "c.yaml", table, "--json"]
    started = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(6)]
    told = [json.loads(p.communicate()[0]) for p in started]
    assert len({json.dumps(without_times(t)) for t in told}) == 1
    assert ask()[0]["cached"] and len(objects(table)) == 1


def test_others_pass_over_it(smelt, table, ask):
    ask()
    smelt("sql", "--write", f"DELETE FROM '{table}' WHERE id = 1")
    ask()
    smelt("table", "vacuum", table)
    assert objects(table) and ask()[0]["cached"]
    assert smelt("table", "fsck", table).returncode == 0
    assert smelt.sql(f"SELECT count(*) AS n FROM '{table}'") == [{"n": 2}]
    assert deltalake.DeltaTable(str(table)).to_pyarrow_table().num_rows == 2


def age(path, days):
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_vacuum_takes_what_nobody_has_written_for_the_retention(smelt, table, ask):
    """A contract that is gone, and an edited one; what is checked stays, as its check writes it again."""
    ask(REFERENCE.replace("minimum: 0", "minimum: 5"))
    gone = objects(table)
    ask()
    kept = set((table / "_smelt/verdicts").glob("*")) - set(gone)
    other = table / "_smelt/other.json"
    other.write_text("{}")
    for path in [*gone, *kept, other]:
        age(path, 8)
    smelt("table", "vacuum", table, "--lite")
    told = smelt("table", "vacuum", table, "--dry-run").stdout
    assert all(str(path.relative_to(table)) in told for path in gone) and all(path.exists() for path in gone)
    for path in kept:  # as if these had been written 8 days ago
        first, rest = path.read_bytes().split(b"\n", 1)
        path.write_bytes(json.dumps({**json.loads(first), "written": int((time.time() - 8 * 86400) * 1e6)}).encode()
                         + b"\n" + rest)
        age(path, 8)
    assert ask()[0]["cached"]
    smelt("table", "vacuum", table)
    assert other.exists() and kept == set((table / "_smelt/verdicts").glob("*")) and len(kept) == 3
    assert ask()[0]["cached"]


def test_a_page_is_of_the_rows(table, ask, tmp_path):
    first, _ = ask()
    told, _ = ask(COLUMNS, "--html", "page.html")
    assert told["cached"] and without_times(told) == without_times(first)
    assert "<svg" in (tmp_path / "page.html").read_text()
