"""`smelt contract import dbt`: the tests and constraints of a schema.yml, as dbt means them: each case has rows
that pass the test in dbt, and rows that fail or warn there."""
import json

import pytest

import written_yaml

NOTHING = "version: 2\n"


def schema(columns="{name: c}", model="", more=""):
    return f"version: 2\nmodels:\n  - name: t\n    columns:\n      - {columns}\n{model}{more}"


def take(smelt, tmp_path, text, *args):
    path = tmp_path / "schema.yml"
    path.write_text(text)
    done = smelt("contract", "import", "dbt", path, *args)
    (tmp_path / "t.yaml").write_text(done.stdout)
    told = [line.removeprefix(f"smelt: {path}:") for line in done.stderr.splitlines()]
    return written_yaml.read(done.stdout)["schema"], told


def outcome(smelt, tmp_path, rows):
    (tmp_path / "t.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = smelt("check", "t.yaml", "t.json", "--table", "t", "--json", cwd=tmp_path, check=False)
    return json.loads(done.stdout).get("outcome") or done.stderr


def c(*values):
    return [{"c": value} for value in values]


COLUMN = "{name: c, data_type: %s, data_tests: [%s]}"
CASES = [  # type, test, rows that pass, rows that do not, what these do
    ("bigint", "not_null", c(1), c(1, None), "failed"),
    ("bigint", "unique", c(1, 2, None, None), c(1, 1), "failed"),
    ("text", "accepted_values: {values: [a, 'b']}", c("a", "b", None), c("a", "c"), "failed"),
    ("bigint", "accepted_values: {arguments: {values: [1, 2], quote: false}}", c(1, None), c(3), "failed"),
    ("bigint", "dbt_utils.accepted_range: {min_value: 0, max_value: 10}", c(0, 10, None), c(11), "failed"),
    ("bigint", "dbt_utils.accepted_range: {min_value: 0, inclusive: false}", c(1), c(0), "failed"),
    ("date", "dbt_utils.accepted_range: {max_value: \"DATE '2022-04-30'\"}", c("2022-04-30"), c("2022-05-01"), "failed"),
    ("bigint", "dbt_utils.accepted_range: {arguments: {min_value: 0}, config: {severity: warn}}", c(0), c(-1), "warned"),
    ("bigint", "dbt_utils.expression_is_true: {expression: '% 2 = 0'}", c(2, None), c(3), "failed"),
    ("bigint", "not_null: {severity: WARN}", c(1), c(1, None), "warned"),
    ("bigint", "not_null: {warn_if: '>1', error_if: '>= 3'}", c(1, None), c(1, None, None), "warned"),
    ("bigint", "not_null: {warn_if: '>1', error_if: '>= 3'}", c(1, None), c(1, None, None, None), "failed"),
    ("bigint", "not_null: {error_if: '>1'}", c(1), c(1, None), "warned"),
    ("bigint", "not_null: {error_if: '>1'}", c(1), c(1, None, None), "failed"),
    ("bigint", "not_null: {severity: warn, error_if: '>1'}", c(1), c(1, None, None), "warned"),
    ("bigint", "{name: mine, test_name: not_null, config: {severity: warn}}", c(1), c(1, None), "warned"),
    ("bigint", "dbt.not_null", c(1), c(1, None), "failed"),
]


@pytest.mark.parametrize("kind, test, good, bad, what", CASES)
def test_a_column(smelt, tmp_path, kind, test, good, bad, what):
    test = test if test.startswith("{") or ": " not in test else "{" + test + "}"
    _, told = take(smelt, tmp_path, schema(COLUMN % (kind, test)))
    assert told == []
    assert outcome(smelt, tmp_path, good) == "passed"
    assert outcome(smelt, tmp_path, bad) == what


PAIR = "{name: a, data_type: bigint}\n      - {name: b, data_type: bigint}\n"
MODELS = [  # what stands at the model, rows that pass, rows that fail
    ("data_tests: [{dbt_utils.expression_is_true: {expression: a >= b}}]", [(2, 1), (1, None)], [(1, 2)]),
    ("tests: [{dbt_utils.unique_combination_of_columns: {combination_of_columns: [a, b]}}]",
     [(1, 1), (1, 2), (None, 1)], [(3, 3), (None, 1), (None, 1)]),  # dbt takes NULL for a value
    ("constraints: [{type: primary_key, columns: [a, b]}]", [(1, 1), (1, 2)], [(1, 1), (1, 1)]),
    ("constraints: [{type: primary_key, columns: [a]}]", [(1, 1)], [(3, 3), (None, 1)]),
    ("constraints: [{type: unique, columns: [a, b]}]", [(1, 1), (1, 2)], [(1, 1), (1, 1)]),
    ("constraints: [{type: not_null, columns: [a, b]}]", [(1, 1)], [(3, 3), (1, None)]),
    ("constraints: [{type: check, expression: a > b, name: bigger}]", [(2, 1)], [(1, 2)]),
]


@pytest.mark.parametrize("model, good, bad", MODELS)
def test_a_model(smelt, tmp_path, model, good, bad):
    _, told = take(smelt, tmp_path, schema(PAIR, f"    {model}\n"))
    assert told == []
    assert outcome(smelt, tmp_path, [{"a": a, "b": b} for a, b in good]) == "passed"
    assert outcome(smelt, tmp_path, [{"a": a, "b": b} for a, b in bad]) == "failed"


@pytest.mark.parametrize("to", ["ref('customers')", "\"{{ ref('customers') }}\"", "source('shop', 'customers')"])
def test_relationships(smelt, tmp_path, to):
    take(smelt, tmp_path, schema(f"{{name: c, tests: [{{relationships: {{to: {to}, field: id}}}}]}}" if to[0] == '"' else
                                 f"{{name: c, tests: [{{relationships: {{to: \"{to}\", field: id}}}}]}}"))
    (tmp_path / "customers.json").write_text('{"id":1}\n')
    assert outcome(smelt, tmp_path, c(1, None)) == "passed"
    assert outcome(smelt, tmp_path, c(1, 2)) == "failed"


def test_foreign_keys(smelt, tmp_path):
    text = schema(PAIR, "    constraints:\n      - {type: foreign_key, columns: [a, b], to: ref('p'), to_columns: [x, y]}\n"
                        "      - {type: foreign_key, columns: [a, b], expression: 'p (x, y)'}\n")
    ((table),), told = take(smelt, tmp_path, text)
    assert table["relationships"] == [{"from": ["t.a", "t.b"], "to": ["p.x", "p.y"]}]
    assert told == ["10:10: foreign_key of table t is left out: it does not say as many columns in to_columns"]


@pytest.mark.parametrize("test, told", [
    ("not_null: {where: d > 1}", "not_null of column c is left out: it is of a part of the rows (where)"),
    ("not_null: {enabled: false}", "not_null of column c is left out: it is not enabled"),
    ("not_null: {error_if: '<5'}", 'not_null of column c is left out: error_if "<5" is no greatest number of rows'),
    ("accepted_values: {values: [\"{{ var('x') }}\"]}",
     "accepted_values of column c is left out: a value of it is no constant"),
    ("accepted_values: {values: []}", "accepted_values of column c is left out: it has no values"),
    ("expectations.odd: {x: 1}", "expectations.odd of column c is left out: there is no rule for it"),
    ("dbt_utils.unique_combination_of_columns: {combination_of_columns: [c]}",
     "dbt_utils.unique_combination_of_columns of column c is left out: there is no rule for it"),
    ("dbt_utils.expression_is_true: {expression: '> (SELECT 1)'}",
     "dbt_utils.expression_is_true of column c is left out: smelt's SQL has it not: ..."),
    ("dbt_utils.expression_is_true: {expression: '> {{ x }}'}",
     "dbt_utils.expression_is_true of column c is left out: it has Jinja in it"),
    ("relationships: {to: customers}", "relationships of column c is left out: it does not say the column of a model"),
    ("unique: {error_if: '>9'}",
     "the threshold of unique of column c counts rows here, and values that come twice in dbt"),
])
def test_what_is_told(smelt, tmp_path, test, told):
    _, lines = take(smelt, tmp_path, schema(f"{{name: c, data_type: bigint, tests: [{{{test}}}]}}"))
    assert len(lines) == 1 and lines[0].startswith("5:")
    assert lines[0].split(": ", 1)[1].startswith(told.removesuffix("..."))


def test_types_and_descriptions(smelt, tmp_path):
    columns = ["bigint", "number(10,2)", "FLOAT64", "varchar(20)", "timestamp_tz", "boolean", "geography", "text[]"]
    text = schema("\n      - ".join(f"{{name: c{i}, data_type: '{kind}'}}" for i, kind in enumerate(columns)),
                  "    description: All\n    config: {alias: real_t}\n    versions: [{v: 1}]\n",
                  "seeds:\n  - {name: s, description: \"{{ doc('s') }}\", columns: [{name: a, description: One}]}\n")
    (table, seed), told = take(smelt, tmp_path, text)
    assert [(p.get("logicalType"), p.get("physicalType")) for p in table["properties"]] == [
        ("integer", "BIGINT"), ("number", "DECIMAL(10,2)"), ("number", "DOUBLE"), ("string", "VARCHAR"),
        ("timestamp", "TIMESTAMP WITH TIME ZONE"), ("boolean", "BOOLEAN"), (None, None), ("array", "VARCHAR[]")]
    assert (table["name"], table["physicalName"], table["description"]) == ("t", "real_t", "All")
    assert seed["properties"] == [{"name": "a", "description": "One"}] and "description" not in seed
    assert [line.split(": ", 1)[1].split(" is left")[0] for line in told] == [
        "versions of table t", "data_type geography of column c6", "the description of table s"]


def test_one_model(smelt, tmp_path):
    text = schema(more="sources:\n  - {name: raw, tables: [{name: pay, columns: [{name: id, tests: [unique]}]}]}\n")
    assert [t["name"] for t in take(smelt, tmp_path, text)[0]] == ["t", "pay"]
    assert [t["name"] for t in take(smelt, tmp_path, text, "--model", "pay")[0]] == ["pay"]
    for args, code, told in ((["--model", "pai"], 1, 'the file has no model "pai"'), (["--table", "x"], 2, "no option --table")):
        done = smelt("contract", "import", "dbt", tmp_path / "schema.yml", *args, check=False)
        assert done.returncode == code and told in done.stderr


@pytest.mark.parametrize("text, told", [
    ("models: [", "schema.yml"), (NOTHING, "no models, seeds, snapshots or sources"),
    ("models: [{columns: []}]", "the name of a model"), ("models: [{name: t, columns: [{}]}]", "the name of a column"),
    ("models: [{name: t, columns: [a]}]", "a column"), ("models: [{name: t, tests: [1, [], {}, {a: }]}]", None),
    ("models: [{name: t, columns: [{name: a}, {name: A}]}]", "two properties are called A")])
def test_files_that_are_none(smelt, tmp_path, text, told):
    (tmp_path / "schema.yml").write_text(text)
    done = smelt("contract", "import", "dbt", "schema.yml", cwd=tmp_path, check=False)
    assert done.returncode == (1 if told else 0) and (told or "is left out") in done.stderr
