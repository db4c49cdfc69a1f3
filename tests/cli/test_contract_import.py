"""`smelt contract import patito`: a model's JSON Schema as a contract. patito_model.json is what
model_json_schema() of Patito 0.8.6 gives for the model that stands below as a comment."""
import json
import pathlib

import pytest

import written_yaml

MODEL = pathlib.Path(__file__).parent / "patito_model.json"
# class K(enum.Enum): A = "a"; B = "b"
# class Inner(pt.Model): zip: str = pt.Field(min_length=2)
# class M(pt.Model):
#     id: int = pt.Field(unique=True, ge=1, lt=10)
#     name: str = pt.Field(min_length=1, max_length=9, pattern="[a-z]+")
#     opt: Optional[int] = pt.Field(None, gt=0, multiple_of=5)
#     lit: Literal["x", "y"] = "x"
#     one: Literal["z"]
#     kind: K
#     day: date
#     at: datetime
#     l: List[int]
#     u: int = pt.Field(dtype=pl.UInt8)
#     cons: int = pt.Field(constraints=[pt.field < 10, pt.field > 1])
#     der: int = pt.Field(derived_from=pl.col("id") * 2)
#     inner: Inner
#     oinner: Optional[Inner] = None
#     f: float = pt.Field(gt=0.5)
#     union: Optional[Literal["p", "q"]] = None
#     defi: int = 7


def take(smelt, path, *args):
    done = smelt("contract", "import", "patito", path, *args)
    (table,) = written_yaml.read(done.stdout)["schema"]
    told = [line.removeprefix("smelt: ").removesuffix(" is left out") for line in done.stderr.splitlines()]
    return table, {column["name"]: column for column in table["properties"]}, told


def values_of(column):
    return column["quality"][0]["arguments"]["validValues"]


def sql_of(column):
    return [rule["implementation"] for rule in column["quality"]]


def test_a_model(smelt):
    table, columns, told = take(smelt, MODEL)
    assert table["name"] == "M" and table["description"] == "Doc."
    assert [c for c in columns if not columns[c].get("required")] == ["opt", "oinner", "union"]
    assert [c for c in columns if columns[c].get("unique")] == ["id"]
    assert {c: columns[c]["logicalTypeOptions"] for c in columns if "logicalTypeOptions" in columns[c]} == {
        "id": {"exclusiveMaximum": 10, "minimum": 1},
        "name": {"minLength": 1, "maxLength": 9, "pattern": "[a-z]+"},
        "opt": {"exclusiveMinimum": 0, "multipleOf": 5},
        "f": {"exclusiveMinimum": 0.5}}
    assert {c: values_of(columns[c]) for c in ("lit", "one", "kind", "union")} == {
        "lit": ["x", "y"], "one": ["z"], "kind": ["a", "b"], "union": ["p", "q"]}
    assert [columns[c]["logicalType"] for c in ("day", "at", "l", "inner", "f")] == [
        "date", "timestamp", "array", "object", "number"]
    assert columns["u"]["physicalType"] == "UTINYINT"
    assert sql_of(columns["cons"]) == ['("cons" < 10)', '("cons" > 1)']
    for name in ("inner", "oinner"):
        (field,) = columns[name]["properties"]
        assert (field["name"], field["required"], field["logicalTypeOptions"]) == ("zip", True, {"minLength": 2})
    assert told == ["default of column lit", "items of column l", "derived_from of column der",
                    "default of column defi"]


def test_the_contract_is_one(smelt, tmp_path):
    """It is read, and each rule of it can be exported over its own types."""
    path = tmp_path / "m.yaml"
    path.write_text(smelt("contract", "import", "patito", MODEL, "--table", "x: y").stdout)
    assert smelt("contract", "export", "--to", "ddl", path).stdout.startswith('CREATE TABLE "x: y" (')
    schema = json.loads(smelt("contract", "export", "--to", "jsonschema", path).stdout)
    model = json.loads(MODEL.read_text())
    for name in ("id", "name", "f"):
        for key in ("minimum", "exclusiveMaximum", "exclusiveMinimum", "minLength", "maxLength", "pattern", "type"):
            assert schema["properties"][name].get(key) == model["properties"][name].get(key)


def model_of(tmp_path, **properties):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"title": "T", "type": "object", "properties": properties}))
    return path


def test_other_words(smelt, tmp_path):
    """Older forms, words of JSON Schema that a contract has not, and expressions that are not known."""
    def compare(op, left, right):
        return {"BinaryExpr": {"left": left, "op": op, "right": right}}

    own, two = {"Column": "_"}, {"Literal": {"Scalar": {"String": "it's"}}}
    both = compare("Or", compare("Eq", own, two), {"Function": {"input": [compare("Lt", {"Column": 'a"b'}, own)],
                                                                "function": {"Boolean": "Not"}}})
    columns, told = take(smelt, model_of(
        tmp_path,
        old={"type": "string", "unique": True, "minLength": 3, "format": "uuid"},
        flag={"type": "boolean", "const": True},
        codes={"type": "integer", "enum": [1, 2]},
        expr={"type": "string", "column_info": json.dumps({"constraints": json.dumps(both)})},
        plus={"type": "integer", "column_info": {"constraints": json.dumps(compare("Plus", own, own)), "dtype": "Int128"}},
        broken={"type": "integer", "column_info": {"constraints": "{"}},
        any={"anyOf": [{"type": "string"}, {"type": "integer"}]},
        long={"type": "string", "format": "duration"},
        odd={"type": "string", "format": "ipv8", "minimum": 3, "contentEncoding": "base64", "minLength": "3"},
        none={"$ref": "#/$defs/None"},
        null={"type": "null"},
        all={"allOf": [{"type": "string", "maxLength": 2}], "default": None},
    ))[1:]
    assert columns["old"]["unique"] and columns["old"]["logicalTypeOptions"] == {"minLength": 3, "format": "uuid"}
    assert values_of(columns["flag"]) == [True] and values_of(columns["codes"]) == [1, 2]
    assert sql_of(columns["expr"]) == ["""(("expr" = 'it''s') OR NOT ("a""b" < "expr"))"""]
    assert columns["all"]["logicalTypeOptions"] == {"maxLength": 2} and "required" not in columns["null"]
    assert told == [
        "dtype Int128 of column plus", "constraint 1 of column plus", "constraints of column broken",
        "the type of column any", "the type of column long", "format duration of column long",
        "minimum of column odd", "contentEncoding of column odd", "minLength of column odd", "format ipv8 of column odd",
        "the type of column none", "the type of column null"]


def test_json(smelt):
    made = smelt.json("contract", "import", "patito", MODEL, "--json")
    assert made["text"].startswith("apiVersion: v3.1.0\n") and len(made["left_out"]) == 4


@pytest.mark.parametrize("text, words", [
    ('{"properties": {"a": ', "model.json:1:"),
    ("[]", "no schema of a model"),
    ('{"title": "T", "properties": {}}', "no schema of a model"),
    ('{"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}, "properties": {"a": {"$ref": "#/$defs/A"}}}',
     "deeper than 16"),
    ('{"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}}}},'
     '"properties": {"a": {"$ref": "#/$defs/A"}}}', "model"),
    ('{"properties": {"a": {"type": "string"}, "A": {"type": "string"}}}', "two properties are called A"),
    ('{"properties": {"": {"type": "string"}}}', "name is empty"),
    ('{"properties": {"a": {"type": "string", "minLength": -1}}}', "minLength"),
])
def test_refused(smelt, tmp_path, text, words):
    path = tmp_path / "model.json"
    path.write_text(text)
    done = smelt("contract", "import", "patito", path, check=False)
    assert (done.returncode, done.stdout) == (1, "") and words in done.stderr, done.stderr


def test_usage(smelt, tmp_path):
    for args in (["patito"], ["pandera", MODEL], [MODEL], ["patito", MODEL, "--to", "ddl"]):
        done = smelt("contract", "import", *args, check=False)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
