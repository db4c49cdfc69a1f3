"""`smelt contract diff`: what changed, and whom it breaks. Where a change is said to break writers there are
rows that keep the old contract and break the new one, and `smelt check` finds them; else there are none."""
import json

import pytest

from test_contract_export import row_rules

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: shop\nversion: {}.0.0\nstatus: active\nschema:\n"


def write(tmp_path, name, *properties, table="orders", version=1):
    path = tmp_path / name
    path.write_text(HEAD.format(version) + f"  - name: {table}\n    properties:\n" +
                    "".join(f"      - {{{p}}}\n" for p in properties))
    return path


def diff(smelt, old, new, *args):
    done = smelt("contract", "diff", old, new, "--json", *args, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == (3 if found.get("error") else 0), done.stderr
    return found


def brief(found):
    return [(c["name"], c["what"], c["change"], c["old"], c["new"], c["breaks"]) for c in found["changes"]]


def valid(*values, extra=""):
    return ("name: c, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: ["
            + ", ".join(values) + f"]}}, mustBe: 0{extra}}}]")


def option(logical, options):
    return f"name: c, logicalType: {logical}, logicalTypeOptions: {{{options}}}"


CASES = [  # the old property, the new one, a value that keeps the old and breaks the new, or None
    (option("integer", "minimum: 0"), option("integer", "minimum: 1"), 0),
    (option("integer", "minimum: 1"), option("integer", "minimum: 0"), None),
    (option("integer", "minimum: 9007199254740992"), option("integer", "minimum: 9007199254740993"), 9007199254740992),
    (option("integer", "minimum: 9007199254740993"), option("integer", "minimum: 9007199254740992"), None),
    (option("number", "exclusiveMaximum: 1e2"), option("number", "exclusiveMaximum: 99.5"), 99.75),
    (option("number", "exclusiveMaximum: 0.1"), option("number", "exclusiveMaximum: 1e2"), None),
    (option("integer", "multipleOf: 6"), option("integer", "multipleOf: 3"), None),
    (option("integer", "multipleOf: 3"), option("integer", "multipleOf: 6"), 3),
    (option("integer", "format: u8"), option("integer", "format: i16"), None),
    (option("integer", "format: i16"), option("integer", "format: u8"), -1),
    (option("string", "minLength: 2"), option("string", "minLength: 10"), "abc"),
    (option("string", "minLength: 10"), option("string", "minLength: 9"), None),
    (option("string", "maxLength: 9"), option("string", "maxLength: 10"), None),
    (option("string", "pattern: ^a"), option("string", "pattern: ^ab"), "ac"),
    (valid("a", "b"), valid("a"), "b"),
    (valid("a"), valid("a", "b"), None),
    (valid("a"), valid("b", "a"), None),
    (valid("a", extra=", severity: warning"), valid("a"), "x"),
    (valid("a"), valid("a", extra=", severity: warning"), None),
    ("name: c, logicalType: string", "name: c, logicalType: string, required: true", "NULL"),
    ("name: c, logicalType: string, required: true", "name: c, logicalType: string", None),
    ("name: c, logicalType: number", "name: c, logicalType: integer", 1.5),
]


@pytest.mark.parametrize("old, new, breaking", CASES)
def test_writers_break_where_a_row_does(smelt, tmp_path, old, new, breaking):
    old = write(tmp_path, "old.yaml", "name: id, logicalType: integer", old)
    new = write(tmp_path, "new.yaml", "name: id, logicalType: integer", new)
    found = diff(smelt, old, new)
    assert len(found["changes"]) == 1
    assert ("writers" in found["changes"][0]["breaks"]) == (breaking is not None), brief(found)
    if breaking is not None:
        value = None if breaking == "NULL" else breaking
        rows = tmp_path / "rows.json"
        rows.write_text(json.dumps({"id": 1, "c": value}) + "\n")
        if value is None:  # a column of NULL has no type
            rows.write_text('{"id":1,"c":null}\n{"id":2,"c":"x"}\n')
        assert smelt("check", old, rows, check=False).returncode == 0
        assert smelt("check", new, rows, check=False).returncode != 0
    assert diff(smelt, old, old)["changes"] == diff(smelt, new, new)["changes"] == []


@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_each_rule_that_comes_breaks_writers(smelt, tmp_path, logical, kind, yaml, keeps, breaks):
    bare = write(tmp_path, "bare.yaml", f"name: c, logicalType: {logical}")
    ruled = write(tmp_path, "ruled.yaml", f"name: c, logicalType: {logical}, {yaml}")
    (came,), (went,) = diff(smelt, bare, ruled)["changes"], diff(smelt, ruled, bare)["changes"]
    assert (came["what"], came["change"], came["breaks"]) == ("rule", "added", ["writers"])
    assert (went["what"], went["change"], went["breaks"]) == ("rule", "removed", [])
    assert (came["name"], came["new"], came["old"]) == (went["name"], went["old"], went["new"])


@pytest.mark.parametrize("old, new, breaks", [
    ("INTEGER", "BIGINT", []), ("BIGINT", "INTEGER", ["writers"]), ("int", "INTEGER", []),
    ("VARCHAR", "DATE", ["writers", "readers"]), ("money", "cash", ["writers", "readers"]),
    ("DECIMAL(10,2)", "DECIMAL(12,2)", []), ("DECIMAL(10,2)", "DECIMAL(10,4)", ["writers", "readers"])])
def test_types(smelt, tmp_path, old, new, breaks):
    names = [write(tmp_path, f"{i}.yaml", f"name: c, physicalType: '{kind}'") for i, kind in enumerate((old, new))]
    assert brief(diff(smelt, *names)) == [("c", "physicalType", "changed", old, new, breaks)]


@pytest.mark.parametrize("old, new, breaks", [("24 h", "48 h", []), ("2 d", "47 h", ["writers"])])
def test_ages(smelt, tmp_path, old, new, breaks):
    """The age of a freshness is one thing, and one change."""
    names = [write(tmp_path, f"{i}.yaml", "name: c, logicalType: timestamp, quality: [{type: custom, engine: smelt, "
                   f"implementation: {{freshness: {age}}}}}]") for i, age in enumerate((old, new))]
    (change,) = diff(smelt, *names)["changes"]
    assert (change["name"], change["what"], change["breaks"]) == ("c:freshness", "allowed", breaks)


def test_columns_and_tables(smelt, tmp_path):
    old = write(tmp_path, "old.yaml", "name: id, logicalType: integer, required: true", "name: city")
    new = write(tmp_path, "new.yaml", "name: id, physicalName: ID, logicalType: integer, required: true",
                "name: town, required: true", version=2)
    found = diff(smelt, old, new)
    assert brief(found) == [("id", "column name in the rows", "changed", "id", "ID", ["writers", "readers"]),
                            ("city", "column", "removed", "VARCHAR", None, ["readers"]),
                            ("town", "column", "added", None, "VARCHAR", ["writers"])]
    assert found["breaking"] == 3 and found["error"]["message"] == "3 of 3 changes break writers or readers"
    assert (found["old"], found["new"]) == ({"contract": "shop", "version": "1.0.0"},
                                            {"contract": "shop", "version": "2.0.0"})
    other = write(tmp_path, "other.yaml", "name: id, logicalType: integer, required: true", "name: city", table="sales")
    assert brief(diff(smelt, old, other)) == [("orders", "table", "removed", "orders", None, ["readers"]),
                                              ("sales", "table", "added", None, "sales", [])]


@pytest.mark.parametrize("old, new, change", [
    ("", "smelt.default, value: x", ("default", None, "x", [])), ("smelt.default, value: x", "", ("default", "x", None, ["writers"])),
    ("smelt.default, value: x", "smelt.default, value: y", ("default", "x", "y", [])),
    ("smelt.derive, value: upper(d)", "", ("derive", "upper(d)", None, ["writers"])),
    ("", "smelt.derive, value: upper(d)", ("derive", None, "upper(d)", []))])
def test_values_that_are_made(smelt, tmp_path, old, new, change):
    """Rows that leaned on a default break where it is gone."""
    def contract(name, word):
        custom = f", customProperties: [{{property: {word}}}]" if word else ""
        return write(tmp_path, name, "name: d, logicalType: string", f"name: c, logicalType: string, physicalType: VARCHAR{custom}")
    (found,) = diff(smelt, contract("a.yaml", old), contract("b.yaml", new))["changes"]
    assert (found["what"], found["old"], found["new"], found["breaks"]) == change


def test_for_whom(smelt, tmp_path):
    """A column that comes breaks those who write the rows, and nobody who reads them."""
    old = write(tmp_path, "old.yaml", "name: id, logicalType: integer")
    new = write(tmp_path, "new.yaml", "name: id, logicalType: integer", "name: note, logicalType: string")
    assert "error" in diff(smelt, old, new) and "error" in diff(smelt, old, new, "--for", "writers")
    assert "error" not in diff(smelt, old, new, "--for", "readers")
    assert "error" in diff(smelt, new, old, "--for", "readers")
    assert "error" not in diff(smelt, new, old, "--for", "writers")
    done = smelt("contract", "diff", old, new, "--for", "all", check=False)
    assert done.returncode == 2 and "--for cannot be \"all\"" in done.stderr


def quality(rule):
    return f"name: c, logicalType: integer, quality: [{{{rule}}}]"


@pytest.mark.parametrize("old, new, what, breaks", [
    ("metric: nullValues, mustBe: 0", "metric: nullValues, mustBeLessThan: 5, unit: percent", "allowed", []),
    ("metric: nullValues, mustBeLessThan: 5", "metric: nullValues, mustBeLessOrEqualTo: 5", "allowed", []),
    ("metric: nullValues, mustBeLessOrEqualTo: 5", "metric: nullValues, mustBeLessThan: 5", "allowed", ["writers"]),
    ("metric: nullValues, mustBeLessThan: 5", "metric: nullValues, mustBeLessThan: 5, unit: percent", "allowed",
     ["writers"]),
    ("name: odd, type: custom, engine: smelt, implementation: c % 2 = 1",
     "name: uneven, type: custom, engine: smelt, implementation: c % 2 = 1", "name", []),
    ("name: odd, type: custom, engine: smelt, implementation: c % 2 = 1",
     "name: odd, type: custom, engine: smelt, implementation: c % 3 = 1", "expression", ["writers"]),
    ("metric: nullValues, mustBe: 0, customProperties: [{property: smelt.onViolation, value: quarantine}]",
     "metric: nullValues, mustBe: 0", "action", ["writers"]),
    ("metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 10}]",
     "metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 9}]", "allowed",
     ["writers"]),
    ("metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 1%}]",
     "metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 1%}, "
     "{property: smelt.sharePer, value: c}]", "share per", ["writers"]),
    ("metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 1%}, "
     "{property: smelt.sharePer, value: c}]",
     "metric: nullValues, mustBe: 0, customProperties: [{property: smelt.failAbove, value: 1%}]", "share per", []),
])
def test_quality_rules(smelt, tmp_path, old, new, what, breaks):
    (change,) = diff(smelt, write(tmp_path, "a.yaml", quality(old)), write(tmp_path, "b.yaml", quality(new)))["changes"]
    assert (change["what"], change["breaks"]) == (what, breaks)
