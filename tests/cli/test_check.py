"""`smelt check`: each rule of rules.def with its examples, the verdict in all its forms, exit codes, the
places of mistakes, other tables, and rows in Delta tables, Parquet and JSON."""
import json
import runpy

import pytest

from common import ROOT

RULES = ROOT / "src/contract/rules.def"
HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n"

ORDERS = HEAD + """\
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        quality:
          - {metric: nullValues, unit: percent, mustBeLessThan: 50}
      - name: city
        logicalType: string
        quality:
          - {metric: invalidValues, arguments: {validValues: [Oslo, Rome]}, mustBe: 0, severity: warning}
"""
ROWS = [{"id": 1, "amount": 12.5, "city": "Oslo"}, {"id": 2, "amount": 1.0, "city": "Rome"},
        {"id": 3, "amount": None, "city": "Oslo"}]


def all_rules():
    text = RULES.read_text(encoding="utf-8")
    return list(runpy.run_path(str(ROOT / "tools/rules"), run_name="rules")["read_rules"](text, RULES))


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def contract(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def check(smelt, *words, code=0):
    done = smelt("check", *words, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def verdict(smelt, *words, code=0):
    told = json.loads(check(smelt, *words, "--json", code=code).stdout)
    assert ("error" in told) == (code != 0)
    return told


def violations(told):
    return {rule["rule"]: rule["violations"] for rule in told["contracts"]}


# ---- the registry -----------------------------------------------------------------------------


def quoted(value):
    return "NULL" if value == "NULL" else "'" + value.replace("'", "''") + "'"


def make_rows(smelt, path, values, kind):
    """A Parquet file of one column c; also of no rows."""
    rows = ", ".join(f"({quoted(value)})" for value in values) or "(NULL)"
    where = "" if values else " WHERE 1 = 0"
    smelt("sql", "--write", f"COPY (SELECT c::{kind} AS c FROM (VALUES {rows}) v(c){where}) TO '{path}'")


@pytest.mark.parametrize("is_row, texts", all_rules(), ids=lambda value: value[0] if isinstance(value, list) else "")
@pytest.mark.parametrize("keeps", [True, False])
def test_each_rule_of_the_registry(smelt, tmp_path, is_row, texts, keeps):
    example = texts[-2 if keeps else -1]
    if is_row:
        _, _, _, logical, kind, yaml, *_ = texts
        text = HEAD + (f"  - name: t\n    properties:\n      - name: c\n        logicalType: {logical}\n"
                       f"        {yaml}\n")
        values = [example]
    else:
        kind, text = "BIGINT", HEAD + "  - {name: t, " + texts[3] + "}\n"
        values = example.split(", ") if example else []
    kind = "TIMESTAMP" if "logicalType: timestamp" in text else kind
    make_rows(smelt, tmp_path / "t.parquet", values, kind)
    smelt("sql", "--write", "COPY (SELECT 1 AS id) TO 'other.parquet'")
    rows = "t.parquet"
    if texts[0] == "volume":
        rows = "table"
        smelt("sql", "--write", "CREATE TABLE 'table' AS FROM (VALUES (1), (2)) v(c)")
        smelt("sql", "--write", "CREATE OR REPLACE TABLE 'table' AS FROM 't.parquet'")
    told = verdict(smelt, contract(tmp_path, text), rows, "--now", "2022-04-03 12:00:00", code=0 if keeps else 3)
    broken = [rule for rule in told["contracts"] if rule["outcome"] == "failed"]
    assert [rule["kind"] for rule in broken] == ([] if keeps else [texts[0]])
    assert told["rows"] == len(values)


def test_no_row_breaks_no_rule_of_rows(smelt, tmp_path):
    for is_row, texts in all_rules():
        if is_row:
            text = HEAD + f"  - name: t\n    properties:\n      - name: c\n        logicalType: {texts[3]}\n        {texts[5]}\n"
            make_rows(smelt, tmp_path / "t.parquet", [], texts[4])
            assert verdict(smelt, contract(tmp_path, text), "t.parquet")["contracts"][0]["share"] == 0


# ---- the verdict ------------------------------------------------------------------------------


def test_rows_that_keep_all(smelt, tmp_path):
    done = check(smelt, contract(tmp_path, ORDERS), put(tmp_path / "o.json", ROWS))
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "orders passed: 3 rows, 5 rules, 0 failed, 0 warned"


def test_a_warning_ends_well(smelt, tmp_path):
    put(tmp_path / "o.json", [*ROWS, {"id": 4, "amount": 1.0, "city": "Bergen"}])
    done = check(smelt, contract(tmp_path, ORDERS), "o.json")
    assert done.stderr == "smelt: warning: rule city:validValues: 1 of 4 rows breaks it, allowed: 0\n"
    told = verdict(smelt, tmp_path / "c.yaml", "o.json")
    assert told["outcome"] == "warned"
    assert told["contracts"][-1] == {
        "table": "orders", "rule": "city:validValues", "kind": "validValues", "columns": ["city"],
        "severity": "warning", "action": "warn", "rows": 4, "violations": 1, "share": 0.25, "allowed": "0",
        "outcome": "warned", "examples": [{"id": 4, "city": "Bergen"}]}


def test_a_broken_rule_is_exit_3(smelt, tmp_path):
    put(tmp_path / "o.json", [*ROWS, {"id": 3, "amount": -1.0, "city": "Oslo"}])
    done = check(smelt, contract(tmp_path, ORDERS), "o.json", code=3)
    assert "rule id:primaryKey is broken: 1 of 4 rows breaks it, allowed: 0" in done.stderr
    told = verdict(smelt, tmp_path / "c.yaml", "o.json", code=3)
    assert told["error"]["status"] == "CONTRACT"
    assert violations(told) == {"id:primaryKey": 1, "id:required": 0, "amount:minimum": 1, "amount:nullValues": 1,
                                "city:validValues": 0}


def test_fail_above(smelt, tmp_path):
    text = HEAD + """\
  - name: t
    properties:
      - name: n
        logicalType: integer
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: smelt.failAbove, value: "25%"}]
"""
    contract(tmp_path, text)
    put(tmp_path / "t.json", [{"n": n} for n in (-1, 1, 2, 3)])
    assert verdict(smelt, "c.yaml", "t.json")["outcome"] == "warned"
    put(tmp_path / "t.json", [{"n": n} for n in (-1, -1, 2, 3)])
    assert verdict(smelt, "c.yaml", "t.json", code=3)["outcome"] == "failed"


def test_threads_and_memory_change_nothing(smelt, tmp_path):
    rows = [{"id": n % 9973, "amount": (n * 7919) % 1000 - 3.0, "city": "Oslo"} for n in range(60_000)]
    put(tmp_path / "o.json", rows)
    contract(tmp_path, ORDERS)
    words = ("c.yaml", "o.json", "--json", "--now", "2022-05-01")
    one = check(smelt, *words, "--threads", "1", "--memory-limit", "96MB", code=3)
    for threads in ("2", "7"):
        assert check(smelt, *words, "--threads", threads, code=3).stdout == one.stdout
    told = json.loads(one.stdout)
    assert violations(told)["id:primaryKey"] == len(rows) - 9973
    assert violations(told)["amount:minimum"] == sum(row["amount"] < 0 for row in rows)
    assert [e["id"] for e in told["contracts"][2]["examples"]] == [
        row["id"] for row in rows if row["amount"] < 0][:10]


# ---- where rows are ---------------------------------------------------------------------------


def test_a_delta_table_and_a_pattern(smelt, tmp_path):
    contract(tmp_path, ORDERS)
    put(tmp_path / "a1.json", ROWS[:2])
    put(tmp_path / "a2.json", ROWS[2:])
    smelt("sql", "--write", "CREATE TABLE 'lake/silver/orders' AS FROM 'a*.json'")
    want = verdict(smelt, "c.yaml", "a*.json")
    for uri in ("lake/silver/orders", "./lake/silver/orders/", f"file://{tmp_path}/lake/silver/orders"):
        told = verdict(smelt, "c.yaml", uri)
        assert told["contracts"] == want["contracts"]


TWO = HEAD + """\
  - name: orders
    properties:
      - {name: customer, logicalType: integer, relationships: [{to: customers.id}]}
    quality:
      - {name: all, type: sql, query: 'SELECT count(*) FROM customers', mustBe: 2}
  - name: customers
    PHYSICAL
    properties:
      - {name: id, physicalName: number, logicalType: integer}
"""


@pytest.mark.parametrize("physical, words", [
    ("physicalName: people", []),
    ("physicalName: crm.people", ["--lake", "other"]),
    ("physicalName: other/crm/people", []),
    ("description: x", ["--table-at", "customers=other/crm/people"]),
])
def test_other_tables(smelt, tmp_path, physical, words):
    put(tmp_path / "o.json", [{"customer": 1}, {"customer": 3}, {"customer": None}])
    put(tmp_path / "p.json", [{"number": 1}, {"number": 2}])
    smelt("sql", "--write", "CREATE TABLE 'lake/silver/orders' AS FROM 'o.json'")
    for place in ("lake/silver/people", "other/crm/people"):
        smelt("sql", "--write", f"CREATE TABLE '{place}' AS FROM 'p.json'")
    contract(tmp_path, TWO.replace("PHYSICAL", physical))
    told = verdict(smelt, "c.yaml", "lake/silver/orders", "--table", "orders", *words, code=3)
    assert violations(told) == {"customer:reference": 1, "all": 0}
    assert told["contracts"][0]["examples"] == [{"customer": 3}]


def test_another_table_that_is_not_there(smelt, tmp_path):
    put(tmp_path / "o.json", [{"customer": 1}])
    contract(tmp_path, TWO.replace("PHYSICAL", "description: x"))
    done = check(smelt, "c.yaml", "o.json", "--table", "orders", code=1)
    assert "customers.json" in done.stderr and "c.yaml:9:" in done.stderr
    assert "--table-at customers=URI" in done.stderr


def test_nothing_is_written(smelt, tmp_path):
    contract(tmp_path, ORDERS)
    put(tmp_path / "o.json", ROWS)
    smelt("sql", "--write", "CREATE TABLE 'lake/silver/orders' AS FROM 'o.json'")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    check(smelt, "c.yaml", "o.json")
    check(smelt, "c.yaml", "lake/silver/orders", "--no-cache")
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


# ---- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("old, new, told", [
    ("minimum: 0", "minimun: 0", ["c.yaml:12:", "minimum"]),
    ("name: amount", "name: amont", ["c.yaml:10:", "the rows have no column \"amont\"", "amount"]),
    ("logicalType: string", "logicalType: integer", ["c.yaml:15:", "city", "VARCHAR"]),
    ("{minimum: 0}", "{minimum: low}", ["c.yaml:12:"]),
    ("mustBe: 0, severity", "severity", ["c.yaml:18:", "operator"]),
])
def test_mistakes_have_a_place(smelt, tmp_path, old, new, told):
    put(tmp_path / "o.json", ROWS)
    done = check(smelt, contract(tmp_path, ORDERS.replace(old, new)), "o.json", code=1)
    assert done.stdout == ""
    assert all(word in done.stderr for word in told), done.stderr


def test_wrong_usage(smelt, tmp_path):
    put(tmp_path / "o.json", ROWS)
    contract(tmp_path, TWO.replace("PHYSICAL", "description: x"))
    assert "--table orders" in check(smelt, "c.yaml", "o.json", code=2).stderr
    assert "customers" in check(smelt, "c.yaml", "o.json", "--table", "customer", code=1).stderr
    check(smelt, "c.yaml", code=2)
    check(smelt, "c.yaml", "o.json", "--table-at", "customers", code=2)
    assert "none.yaml" in check(smelt, "none.yaml", "o.json", code=1).stderr


def test_what_is_not_checked_is_told(smelt, tmp_path):
    text = HEAD + """\
  - name: t
    properties:
      - name: n
        quality: [{type: custom, engine: soda, implementation: x}]
"""
    put(tmp_path / "t.json", [{"n": 1}])
    done = check(smelt, contract(tmp_path, text), "t.json")
    assert "c.yaml:10:" in done.stderr and "engine soda is not checked" in done.stderr
    assert "has no rules" in done.stderr
    assert verdict(smelt, "c.yaml", "t.json")["not_checked"] == ["the rule for engine soda is not checked"]
