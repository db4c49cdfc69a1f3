"""`smelt contract export`: a contract in other forms keeps and refuses the rows that its rules do, or says
which rule it leaves out."""
import datetime
import decimal
import json
import re

import duckdb
import pytest

from common import ROOT

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n"
TEXT = r'"((?:\\.|[^"\\])*)"'


def row_rules():
    """The examples of rules.def: id, name, logicalType, type, YAML, a value that keeps it, one that breaks it."""
    source = (ROOT / "src/contract/rules.def").read_text(encoding="utf-8")
    for entry in re.findall(r"^SM_ROW_RULE\(((?:.|\n(?!SM_))*)", source, re.M):
        texts = [re.sub(r'\\x([0-9a-f]{2})', lambda m: chr(int(m[1], 16)), text).encode("latin-1").decode()
                 .replace(r"\"", '"') for text in re.findall(TEXT, entry)]
        logical, kind, yaml, _, keeps, breaks = texts[-6:]
        yield pytest.param(logical, kind, yaml, keeps, breaks, id=entry.split(",")[0])


def write(tmp_path, logical, kind, yaml, nested=False):
    path = tmp_path / "c.yaml"
    column = f"name: c\n        logicalType: {logical}\n        physicalType: {kind}\n        {yaml}\n"
    if nested:
        column = f"name: o\n        logicalType: object\n        properties:\n          - {column}".replace(
            "\n        logicalType: " + logical, "\n            logicalType: " + logical).replace(
            "\n        physicalType", "\n            physicalType").replace("\n        " + yaml, "\n            " + yaml)
    path.write_text(f"{HEAD}  - name: t\n    properties:\n      - {column}")
    return path


def export(smelt, form, path, *args):
    done = smelt("contract", "export", "--to", form, path, *args)
    return done.stdout, done.stderr


def sql_of(value, kind):
    return "NULL" if value == "NULL" else f"CAST('{value}' AS {kind})"


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_duckdb_refuses_the_same(smelt, tmp_path, logical, kind, yaml, keeps, breaks, nested):
    if nested and "implementation" in yaml:
        yaml = yaml.replace("c % 2", "o.c % 2")
    path = write(tmp_path, logical, kind, yaml, nested)
    ddl, told = export(smelt, "ddl", path)
    db = duckdb.connect()
    db.execute(ddl)

    def insert(value):
        value = sql_of(value, kind)
        db.execute(f"INSERT INTO t VALUES ({'{c: ' + value + '}' if nested else value})")

    insert(keeps)
    if "mustBeLessThan" in yaml:  # a share of rows may break it
        assert "is left out: some rows may break it" in told
        insert(breaks)
        return
    assert told == ""
    with pytest.raises(duckdb.ConstraintException):
        insert(breaks)
    if keeps != "NULL" and "required" not in yaml and "null" not in yaml:
        insert("NULL")


@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_a_delta_table_refuses_the_same(smelt, tmp_path, logical, kind, yaml, keeps, breaks):
    constraints, told = export(smelt, "delta", write(tmp_path, logical, kind, yaml))
    if not constraints:
        assert "is left out" in told
        assert re.search("pattern|format: date|0.05|mustBeLessThan", yaml), told
        return
    smelt("sql", "--write", f"CREATE TABLE 't' (c {kind})", cwd=tmp_path)
    for line in constraints.splitlines():
        smelt("sql", "--write", line.replace("ALTER TABLE t ", "ALTER TABLE 't' "), cwd=tmp_path)
    insert = "INSERT INTO 't' SELECT {} AS c"
    smelt("sql", "--write", insert.format(sql_of(keeps, kind)), cwd=tmp_path)
    done = smelt("sql", "--write", insert.format(sql_of(breaks, kind)), cwd=tmp_path, check=False)
    assert done.returncode != 0 and "constraint" in done.stderr
    if "required" not in yaml and "null" not in yaml:
        smelt("sql", "--write", insert.format(sql_of("NULL", kind)), cwd=tmp_path)


# ---- JSON Schema --------------------------------------------------------------------------------

TYPES = {"string": str, "number": (int, float), "integer": int, "object": dict, "array": list, "boolean": bool,
         "null": type(None)}


def is_of(value, names):
    return any(isinstance(value, TYPES[n]) and not (isinstance(value, bool) and n != "boolean")
               for n in ([names] if isinstance(names, str) else names))


def is_format(text, word):
    if word == "date":
        try:
            return bool(datetime.date.fromisoformat(text))
        except ValueError:
            return False
    return True


CHECKS = {
    "type": lambda v, x: is_of(v, x),
    "enum": lambda v, x: v in x,
    "not": lambda v, x: not valid(v, x),
    "allOf": lambda v, x: all(valid(v, y) for y in x),
    "properties": lambda v, x: not isinstance(v, dict) or all(valid(v[k], x[k]) for k in v if k in x),
    "required": lambda v, x: not isinstance(v, dict) or all(k in v for k in x),
    "minLength": lambda v, x: not isinstance(v, str) or len(v) >= x,
    "maxLength": lambda v, x: not isinstance(v, str) or len(v) <= x,
    "pattern": lambda v, x: not isinstance(v, str) or bool(re.search(x, v)),
    "format": lambda v, x: not isinstance(v, str) or is_format(v, x),
    "minimum": lambda v, x: not is_of(v, "number") or v >= x,
    "maximum": lambda v, x: not is_of(v, "number") or v <= x,
    "exclusiveMinimum": lambda v, x: not is_of(v, "number") or v > x,
    "exclusiveMaximum": lambda v, x: not is_of(v, "number") or v < x,
    "multipleOf": lambda v, x: not is_of(v, "number") or decimal.Decimal(str(v)) % decimal.Decimal(str(x)) == 0,
    "description": lambda v, x: True, "title": lambda v, x: True, "$schema": lambda v, x: True,
}


def valid(value, schema):
    return all(CHECKS[key](value, what) for key, what in schema.items())


def json_of(text, logical):
    return None if text == "NULL" else float(text) if logical == "number" else int(text) if logical == "integer" else text


@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_json_schema_refuses_the_same(smelt, tmp_path, logical, kind, yaml, keeps, breaks):
    text, told = export(smelt, "jsonschema", write(tmp_path, logical, kind, yaml))
    schema = json.loads(text)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert valid({"c": json_of(keeps, logical)}, schema)
    if told:
        assert re.search("implementation|2022-05-01|mustBeLessThan", yaml), told
        return
    assert not valid({"c": json_of(breaks, logical)}, schema)
    if "null" not in yaml:
        assert valid({"c": None}, schema) == valid({}, schema) == ("required" not in yaml)


# ---- several rules ------------------------------------------------------------------------------

WHOLE = HEAD + """\
  - name: orders
    physicalName: silver.orders
    quality:
      - {name: sums, type: custom, engine: smelt, implementation: {groupBy: id, check: sum(amount) > 0}}
      - {metric: rowCount, mustBeGreaterThan: 0}
    properties:
      - {name: id, logicalType: integer, primaryKey: true,
         logicalTypeOptions: {format: u8, minimum: 3, maximum: 9}}
      - {name: "O d", logicalType: string, unique: true, quality: [{metric: nullValues, mustBe: 0}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0},
         customProperties: [{property: smelt.onViolation, value: warn}]}
      - {name: f, logicalType: number, logicalTypeOptions: {minimum: 0}}
      - {name: ref, logicalType: integer, relationships: [{to: silver.id}]}
  - {name: other, properties: [{name: c}]}
"""


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.yaml"
    path.write_text(WHOLE)
    return path


def left_out(told):
    return set(re.findall(r'rule "(.*)" is left out', told))


def test_what_is_left_out_is_named(smelt, whole):
    ddl, told = export(smelt, "ddl", whole, "--table", "orders")
    assert left_out(told) == {"sums", "rowCount", "amount:minimum"}
    assert f"{whole}:" in told
    db = duckdb.connect()
    db.execute("CREATE SCHEMA silver; CREATE TABLE silver.silver (id BIGINT PRIMARY KEY); INSERT INTO silver.silver VALUES (7)")
    db.execute(ddl)
    db.execute("INSERT INTO silver.orders VALUES (3, 'a', -1, 1, 7)")
    for row in ["(3, 'b', 1, 1, 7)", "(4, 'a', 1, 1, 7)", "(NULL, 'c', 1, 1, 7)", "(2, 'c', 1, 1, 7)",
                "(4, NULL, 1, 1, 7)", "(4, 'c', 1, 'nan', 7)", "(4, 'c', 1, 1, 8)", "(10, 'c', 1, 1, 7)"]:
        with pytest.raises(duckdb.ConstraintException):
            db.execute(f"INSERT INTO silver.orders VALUES {row}")
    lines, told = export(smelt, "delta", whole, "--table", "orders")
    assert left_out(told) == {"sums", "rowCount", "amount:minimum", "id:primaryKey", 'O d:unique', "ref:reference"}
    assert 'rule "f:minimum" lets NaN in' in told
    assert "ALTER TABLE silver.orders ADD CONSTRAINT O_d_nullValues CHECK (coalesce(`O d` IS NOT NULL, true));" in lines
    text, told = export(smelt, "jsonschema", whole, "--table", "orders")
    assert {"sums", "rowCount", 'O d:unique'} <= left_out(told)
    schema = json.loads(text)
    assert schema["required"] == ["id", 'O d']
    good = {"id": 3, 'O d': "a"}
    assert valid(good, schema) and not valid({**good, "id": 2}, schema) and not valid({**good, "id": 10}, schema)
    assert not valid({**good, "id": 300}, schema)


def test_names_with_quotes(smelt, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(HEAD + "  - name: 'a\"b'\n    properties: [{name: 'c\"d', required: true}, {name: c`d, required: true}]\n")
    db = duckdb.connect()
    db.execute(export(smelt, "ddl", path)[0])
    assert db.execute('SELECT "c""d", "c`d" FROM "a""b"').fetchall() == []
    lines, told = export(smelt, "delta", path)
    assert lines == "" and left_out(told) == {'c"d:required', "c`d:required"}
    assert json.loads(export(smelt, "jsonschema", path)[0])["required"] == ['c"d', "c`d"]


def test_json(smelt, whole):
    made = smelt.json("contract", "export", "--to", "ddl", whole, "--table", "orders", "--json")
    assert made["text"].startswith("CREATE TABLE") and len(made["left_out"]) == 3


def test_refused(smelt, whole, tmp_path):
    for args, code, words in [
            (["--to", "ddl", whole], 1, "has no table"),
            (["--to", "xml", whole, "--table", "orders"], 2, "jsonschema, ddl or delta"),
            ([whole], 2, "needs --to"),
            (["--to", "ddl", tmp_path / "none.yaml"], 1, "none.yaml"),
            (["--to", "ddl"], 2, "takes CONTRACT")]:
        done = smelt("contract", "export", *args, check=False)
        assert (done.returncode, done.stdout) == (code, "") and words in done.stderr, done.stderr
    done = smelt("contract", "infer", whole, "--to", "ddl", check=False)
    assert done.returncode == 2 and "no option --to" in done.stderr
    path = tmp_path / "empty.yaml"
    path.write_text(HEAD + "  - name: t\n")
    done = smelt("contract", "export", "--to", "ddl", path, check=False)
    assert done.returncode == 1 and "has no columns" in done.stderr and "empty.yaml:7:" in done.stderr
