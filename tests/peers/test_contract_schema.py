"""Contracts that smelt ships, shows or writes keep the JSON Schema that the Open Data Contract Standard
publishes for v3.1.0. It comes with the pinned package open-data-contract-standard; its hash is checked here,
so that another schema is not taken for it."""
import hashlib
import importlib.resources
import json
import re
import runpy

import duckdb
import jsonschema
import pytest
import yaml

from common import ROOT

SCHEMA_HASH = "2cb7dd6fe43344d2233e0406438622681dc3ebadcf8f0d606a15b40c8f6752c0"
MODEL = ROOT / "tests/cli/patito_model.json"
RULES = ROOT / "src/contract/rules.def"
HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n"


class Json(yaml.SafeLoader):
    """YAML as JSON has it: a date is a text."""


Json.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


@pytest.fixture(scope="session")
def standard():
    """A validator by the published schema."""
    text = (importlib.resources.files("open_data_contract_standard") / "schema.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == SCHEMA_HASH
    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def findings(standard, text):
    contract = yaml.load(text, Json)
    assert isinstance(contract, dict), text
    return [f"{error.json_path}: {error.message}" for error in standard.iter_errors(contract)]


# ---- what is shipped and shown ------------------------------------------------------------------

# A contract on a page, in a block or in what a command prints: up to what is no line of one.
ON_PAGE = re.compile(r"^apiVersion: .*\n(?:(?:[ -].*|(?!smelt:)\w+:(?: .*)?)?\n)*", re.M)


def shipped():
    """(place, YAML) of each contract file, and of each contract on a page."""
    for path in [*ROOT.glob("pipelines/**/*.yaml"), *ROOT.glob("deploy/**/*.yaml")]:
        text = path.read_text(encoding="utf-8")
        if "kind: DataContract" in text:
            yield str(path.relative_to(ROOT)), text
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        text = page.read_text(encoding="utf-8")
        for found in ON_PAGE.finditer(text):
            yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found.group()


SHIPPED = sorted(shipped())


@pytest.mark.parametrize("text", [text for _, text in SHIPPED], ids=[place for place, _ in SHIPPED])
def test_what_is_shipped(standard, text):
    assert findings(standard, text) == []


def test_the_examples_of_rules(standard):
    """Those of the tables of rules, which are made from rules.def."""
    read = runpy.run_path(str(ROOT / "tools/rules"), run_name="rules")["read_rules"]
    wrong = {}
    for is_row, texts in read(RULES.read_text(encoding="utf-8"), RULES):
        table = (f"{{name: t, properties: [{{name: c, logicalType: {texts[3]}, {texts[5]}}}]}}" if is_row else
                 f"{{name: t, {texts[3]}}}")
        if found := findings(standard, f"{HEAD}  - {table}\n"):
            wrong[texts[0]] = found
    assert wrong == {}


def test_pages_are_searched():
    assert {place.split(":")[0] for place, _ in SHIPPED} >= {"docs/contracts.md", "docs/contracts-tools.md"}


def test_a_contract_that_is_none(standard):
    """The schema refuses something: a status of an order, a rule without its number, a misspelt key."""
    text = next(text for place, text in SHIPPED if place.startswith("docs/contracts.md") and "id: shop" in text)
    for right, wrong in [("kind: DataContract", "kind: Contract"), ("metric: invalidValues", "metric: invalid"),
                         ("logicalType: number", "logicalType: decimal"), ("required: true", "require: true")]:
        assert right in text
        assert findings(standard, text.replace(right, wrong)) != [], wrong


# ---- what is written ----------------------------------------------------------------------------

COLUMNS = """
    (i % 7)::TINYINT AS a, i AS b, i / 2.0 AS c, (i / 4)::DECIMAL(10,2) AS d, 'k' || i % 3 AS e, i % 2 = 0 AS f,
    DATE '2022-04-01' + i::INT AS g, TIMESTAMP '2022-04-01 10:00:00' AS h, {x: 1, y: {z: 'a@b.no'}} AS j,
    [1, 2] AS k, MAP {'a': 1} AS l, NULL::VARCHAR AS m, 'a'::BLOB AS n, TIMESTAMPTZ '2022-04-01 10:00:00+00' AS o,
    '00000000-0000-4000-8000-00000000000' || i % 10 AS "p: q" """


def test_what_infer_writes(standard, smelt, tmp_path):
    duckdb.sql(f"COPY (SELECT {COLUMNS} FROM range(100) t(i)) TO '{tmp_path}/rows.parquet'")
    text = smelt("contract", "infer", "rows.parquet", "--table", "rows: all").stdout
    assert findings(standard, text) == []


def test_what_import_writes(standard, smelt):
    assert findings(standard, smelt("contract", "import", "patito", MODEL, "--table", "x: y").stdout) == []
