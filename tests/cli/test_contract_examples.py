"""`smelt contract examples`: rows that are made up keep the contract. Each test gives the rows to `smelt check`,
and looks at them with Python where that can judge."""
import datetime
import json
import random
import re

import pytest

from test_contract_export import HEAD, json_of, row_rules

WORDS = ["Oslo", "Rome", "it's", "a, b", "x: y", "é"]


def check(smelt, tmp_path, contract, text, *args):
    (tmp_path / "made.json").write_text(text)
    done = smelt("check", contract, "made.json", "--json", *args, cwd=tmp_path, check=False)
    found = json.loads(done.stdout)
    assert found.get("outcome") == "passed", done.stderr
    return [json.loads(line) for line in text.splitlines()]


def write(tmp_path, *properties, table=""):
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + "  - name: t\n    properties:\n" + "".join(f"      - {{{p}}}\n" for p in properties) + table)
    return path


def examples(smelt, path, *args, quiet=True):
    done = smelt("contract", "examples", path, *args)
    assert not quiet or done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_each_rule(smelt, tmp_path, logical, kind, yaml, keeps, breaks):
    path = write(tmp_path, f"name: c, logicalType: {logical}, physicalType: '{kind}', {yaml}")
    done = smelt("contract", "examples", path, "--rows", 200)
    if "format: date" in yaml:  # a text of days is a DATE to whoever reads the JSON
        assert "smelt check would not take these rows: column c is of type DATE" in done.stderr
        return
    assert done.stderr == ""
    assert len(check(smelt, tmp_path, path, done.stdout)) == 200


def some_column(chance, name):
    """A property with rules that can be kept together."""
    kind = chance.choice(["integer", "number", "string", "date", "timestamp", "boolean", "pattern", "values", "object"])
    more = chance.choice(["", ", required: true"])
    if kind in ("integer", "number"):
        least = chance.randint(-1000, 1000)
        options = [f"{chance.choice(['minimum', 'exclusiveMinimum'])}: {least}",
                   f"{chance.choice(['maximum', 'exclusiveMaximum'])}: {least + chance.randint(60, 10000)}",
                   f"multipleOf: {chance.choice([1, 2, 5])}" if kind == "integer" else "multipleOf: 0.25"]
        chosen = chance.sample(options, chance.randint(0, 3))
        more += f", logicalTypeOptions: {{{', '.join(chosen)}}}" if chosen else ""
        more += chance.choice(["", ", unique: true"]) if kind == "integer" and not chosen else ""
    elif kind == "string":
        least = chance.randint(0, 8)
        more += chance.choice(["", f", logicalTypeOptions: {{minLength: {least}, maxLength: {least + chance.randint(0, 5)}}}",
                               ", logicalTypeOptions: {format: email}", ", unique: true, logicalTypeOptions: {format: uuid}"])
    elif kind == "pattern":
        pattern = chance.choice(["^[A-Z]{2,4}$", "^(TV|Movie) [0-9]+$", "^[^0-9]{3}x?$", r"^\w+@\w+\.no$", "^a.c$"])
        return f"name: {name}, logicalType: string{more}, logicalTypeOptions: {{pattern: '{pattern}'}}"
    elif kind == "values":
        words = ", ".join(json.dumps(w, ensure_ascii=False) for w in chance.sample(WORDS, chance.randint(1, 5)))
        return (f"name: {name}, logicalType: string{more}, quality: [{{metric: invalidValues, "
                f"arguments: {{validValues: [{words}]}}, mustBe: 0}}]")
    elif kind == "date":
        more += chance.choice(["", ", logicalTypeOptions: {minimum: '2020-02-28', maximum: '2020-03-02'}"])
    elif kind == "object":
        more += f", properties: [{{{some_column(chance, 'f')}}}, {{name: g, logicalType: integer, required: true}}]"
    return f"name: {name}, logicalType: {kind}{more}"


@pytest.mark.parametrize("seed", range(40))
def test_random_contracts(smelt, tmp_path, seed):
    chance = random.Random(seed)
    path = write(tmp_path, "name: id, logicalType: integer, primaryKey: true",
                 *[some_column(chance, f"c{i}") for i in range(chance.randint(1, 6))])
    text = examples(smelt, path, "--rows", 60, "--seed", seed)
    assert len(check(smelt, tmp_path, path, text)) == 60
    assert examples(smelt, path, "--rows", 60, "--seed", seed) == text
    assert examples(smelt, path, "--rows", 60, "--seed", seed + 1000) != text


PATTERNS = [r"^[A-Z0-9]{2,}$", r"^[123]{3}$", "abc", "^(a|b|cd)+$", r"^\d{4}-\d{2}$", r"^[^a-z]{5}$", r"^a{0}b?c*d+?$", "^[-a]x$",
            r"^[\w.]+\.(com|no)$", r"^(?:x(?:y(?:z|w)?)*)$", r"^\S+$", r"^.{3}$", r"^é[à-ü]$", r"^\$\{x\}$", "^a{,3}$", r"^(?P<n>a)|b$",
            r"^[[:upper:]]{3}$", r"^\x$" if False else r"^\t?x$", r"^[\]\\^-]$", "^$", "^a++b$", "^[a-c][a-c]?$|^z{2}$"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(smelt, tmp_path, pattern):
    path = write(tmp_path, "name: id, logicalType: integer",
                 "name: c, logicalType: string, required: true, logicalTypeOptions: {pattern: '" + pattern + "'}")
    rows = check(smelt, tmp_path, path, examples(smelt, path, "--rows", 50))
    if "[:" not in pattern and "++" not in pattern and "{,3}" not in pattern:
        assert all(re.search(pattern, row["c"]) for row in rows)


@pytest.mark.parametrize("pattern, why", [
    ("^(?=a)b", "it looks around, or has flags"), (r"^(a)\1$", "it has an escape that no text is made of"),
    (r"^\p{L}$", "it has an escape that no text is made of")])
def test_patterns_that_cannot_be_made(smelt, tmp_path, pattern, why):
    path = write(tmp_path, "name: c, logicalType: string, logicalTypeOptions: {pattern: '" + pattern + "'}")
    done = smelt("contract", "examples", path, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert f"no text can be made of the pattern of column c: {why}" in done.stderr and "c.yaml:9:" in done.stderr


def rule(sql):
    return f"    quality: [{{name: r, type: custom, engine: smelt, implementation: '{sql}'}}]\n"


@pytest.mark.parametrize("sql", ["a <= b", "a % 3 = 0", "a + b < 300 OR a IS NULL", "length(s) = 4", "s > ''m''"])
def test_conditions(smelt, tmp_path, sql):
    path = write(tmp_path, *(f"name: {c}, logicalType: integer" for c in "ab"), "name: s, logicalType: string",
                 table=rule(sql))
    assert len(check(smelt, tmp_path, path, examples(smelt, path, "--rows", 30))) == 30


@pytest.mark.parametrize("properties, table, told", [
    (["name: a, logicalType: integer, required: true"], rule("a < 0"), 'rule "r"'),
    (["name: a, logicalType: boolean, unique: true, required: true"], "", 'after 2 rows of table t, 51200 in a row broke rule "a:unique"'),
    (["name: a, logicalType: integer, required: true, logicalTypeOptions: {minimum: 5, maximum: 4}"], "", 'rule "a:m'),
    (["name: a, logicalType: integer"], "    quality: [{metric: rowCount, mustBeGreaterThan: 100}]\n",
     'the rows that were made break rule "rowCount": it is 10, allowed: > 100'),
    (["name: a, logicalType: integer"], "    quality: [{name: g, type: custom, engine: smelt, implementation: "
     "{groupBy: [a], check: count(*) > 9}}]\n", 'the rows that were made break rule "g"')])
def test_rules_that_cannot_be_kept(smelt, tmp_path, properties, table, told):
    done = smelt("contract", "examples", write(tmp_path, *properties, table=table), check=False)
    assert done.returncode == 1 and done.stdout == "" and told in done.stderr and "c.yaml:" in done.stderr


def test_groups_and_counts_that_hold(smelt, tmp_path):
    path = write(tmp_path, "name: a, logicalType: integer, logicalTypeOptions: {minimum: 1}",
                 table="    quality: [{metric: rowCount, mustBeGreaterThan: 100}, {type: sql, name: q, "
                       "query: 'SELECT min(a) FROM {object}', mustBeGreaterThan: 0}]\n".replace("{object}", "{{object}}".replace("{{", "{").replace("}}", "}")))
    check(smelt, tmp_path, path, examples(smelt, path, "--rows", 101))


SHOP = """  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: customer, logicalType: integer, required: true, relationships: [{to: customers.id}]}
      - {name: parent, logicalType: integer, relationships: [{to: orders.id}]}
  - name: customers
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: best, logicalType: integer, relationships: [{to: orders.id}]}
"""


def test_references(smelt, tmp_path):
    """Tables that refer to each other: each is made by itself, and they fit."""
    path = tmp_path / "shop.yaml"
    path.write_text(HEAD + SHOP)
    orders = examples(smelt, path, "--table", "orders", "--rows", 40)
    (tmp_path / "customers.json").write_text(examples(smelt, path, "--table", "customers", "--rows", 40))
    (tmp_path / "orders.json").write_text(orders)
    done = smelt("check", path, "orders.json", "--table", "orders", cwd=tmp_path)
    assert "orders passed" in done.stdout
    assert len({json.loads(line)["customer"] for line in orders.splitlines()}) > 5


def test_a_table_that_is_not_in_the_contract(smelt, tmp_path):
    path = write(tmp_path, "name: a, logicalType: integer, relationships: [{to: b.id}]")
    done = smelt("contract", "examples", path)
    assert len(done.stdout.splitlines()) == 10
    assert 'rule "a:reference" may not be kept: table b is not in the contract' in done.stderr


def test_types(smelt, tmp_path):
    kinds = {"integer": ["TINYINT", "UBIGINT", "DECIMAL(20,0)"], "number": ["FLOAT", "DECIMAL(10,4)"], "time": ["TIME"],
             "timestamp": ["TIMESTAMP", "TIMESTAMPTZ"], "array": ["VARCHAR[]", "DOUBLE[]"], "boolean": ["BOOLEAN"]}
    columns = [f"name: c{i}, logicalType: {logical}, physicalType: '{kind}', required: true" for i, (logical, kind) in
               enumerate((l, k) for l, all_of in kinds.items() for k in all_of)]
    done = smelt("contract", "examples", write(tmp_path, *columns), "--rows", 100)
    for line in done.stdout.splitlines():
        row = list(json.loads(line).values())
        assert -128 <= row[0] <= 127 and row[1] >= 0 and isinstance(row[3], float)
        datetime.time.fromisoformat(row[5])
        datetime.datetime.fromisoformat(row[6])
    assert "smelt check would not take these rows: column c5 is of type VARCHAR" in done.stderr


@pytest.mark.parametrize("logical, kind, yaml, keeps, breaks", list(row_rules()))
def test_rows_that_break_one_rule(smelt, tmp_path, logical, kind, yaml, keeps, breaks):
    """Each breaks it, and keeps all others: Delta's writer of the rows would refuse or quarantine just these."""
    path = write(tmp_path, f"name: c, logicalType: {logical}, physicalType: '{kind}', {yaml}",
                 "name: d, logicalType: integer, required: true, logicalTypeOptions: {minimum: 5}")
    name = next(line.split()[0] for line in smelt("contract", "diff", write_bare(tmp_path), path, check=False).stdout
                .replace("writers  t      ", "").splitlines() if line.startswith(("c:", "even")))
    text = examples(smelt, path, "--broken", name, "--rows", 20)
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 20 and all(row["d"] >= 5 for row in rows)
    (tmp_path / "made.json").write_text(text + json.dumps({"c": json_of(keeps, logical), "d": 5}) + "\n")
    done = smelt("check", path, "made.json", "--json", cwd=tmp_path, check=False)
    found = {rule["rule"]: rule["violations"] for rule in json.loads(done.stdout)["contracts"]}
    assert found.pop(name) == 20 and set(found.values()) == {0}


def write_bare(tmp_path):
    path = tmp_path / "bare.yaml"
    path.write_text(HEAD + "  - name: t\n    properties: [{name: c}, {name: d}]\n")
    return path


def test_rules_that_no_row_breaks(smelt, tmp_path):
    path = write(tmp_path, "name: a, logicalType: integer, unique: true, logicalTypeOptions: {minimum: 1}",
                 "name: b, logicalType: string, logicalTypeOptions: {minLength: 0}")
    for name, told in (("a:unique", "no single row breaks it"), ("a:minimun", 'table t has no rule "a:minimun"'),
                       ("b:minLength", 'did not break rule "b:minLength"')):
        done = smelt("contract", "examples", path, "--broken", name, check=False)
        assert done.returncode == 1 and done.stdout == "" and told in done.stderr, done.stderr


def test_usage(smelt, tmp_path):
    path = write(tmp_path, "name: a, logicalType: integer")
    for args in (["--rows", 0], ["--rows", 100001], ["--to", "ddl"]):
        assert smelt("contract", "examples", path, *args, check=False).returncode == 2
    empty = tmp_path / "e.yaml"
    empty.write_text(HEAD + "  - name: t\n")
    done = smelt("contract", "examples", empty, check=False)
    assert done.returncode == 1 and "table t has no columns" in done.stderr
