"""`smelt table constrain`: rules of a contract become constraints of a table, which delta-rs then keeps: it writes
rows that keep a rule, and refuses those that break it."""
import json

import deltalake
import pyarrow
import pytest

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n  - name: t\n    properties:\n"
CASES = [  # logicalType, Arrow's, rules, values that keep them, values that break them
    ("integer", pyarrow.int64(), "required: true", [1], [None]),
    ("integer", pyarrow.int64(), "logicalTypeOptions: {minimum: 0, exclusiveMaximum: 10}", [0, 9, None], [-1, 10]),
    ("integer", pyarrow.int64(), "logicalTypeOptions: {multipleOf: 3}", [6, None], [7]),
    ("integer", pyarrow.int64(), "logicalTypeOptions: {format: u8}", [255], [256]),
    ("number", pyarrow.float64(), "logicalTypeOptions: {maximum: 1.5}", [1.5, None], [1.75]),
    ("string", pyarrow.string(), "logicalTypeOptions: {minLength: 2, maxLength: 3}", ["ab", "éé", None], ["a", "abcd"]),
    ("string", pyarrow.string(), "quality: [{metric: invalidValues, arguments: {validValues: [TV, it is]}, mustBe: 0}]",
     ["TV", None], ["tv"]),
    ("integer", pyarrow.int64(), "quality: [{name: even or big, type: custom, engine: smelt, implementation: c % 2 = 0 OR c > 100}]",
     [2, 101, None], [3]),
]


def column(value, kind):
    return pyarrow.table({"c": pyarrow.array([value], kind)})


def contract(tmp_path, logical, rules):
    path = tmp_path / "c.yaml"
    path.write_text(f"{HEAD}      - {{name: c, logicalType: {logical}, {rules}}}\n")
    return path


@pytest.mark.parametrize("logical, kind, rules, good, bad", CASES)
def test_deltalake_keeps_the_rules(smelt, tmp_path, logical, kind, rules, good, bad):
    uri = str(tmp_path / "t")
    path = contract(tmp_path, logical, rules)
    deltalake.write_deltalake(uri, column(good[0], kind))
    before = deltalake.DeltaTable(uri).version()
    done = smelt("table", "constrain", uri, path)
    assert done.stderr == "" and deltalake.DeltaTable(uri).version() == before + 1
    for value in good:
        deltalake.write_deltalake(uri, column(value, kind), mode="append")
    for value in bad:
        with pytest.raises(Exception, match="(?i)failed validation|invariant|violat"):
            deltalake.write_deltalake(uri, column(value, kind), mode="append")
    assert len(deltalake.DeltaTable(uri).to_pyarrow_table()) == len(good) + 1
    assert "nothing changed" in smelt("table", "constrain", uri, path).stdout


@pytest.mark.parametrize("logical, kind, rules, good, bad", CASES)
def test_rows_that_break_a_rule_already(smelt, tmp_path, logical, kind, rules, good, bad):
    uri = str(tmp_path / "t")
    deltalake.write_deltalake(uri, column(bad[0], kind))
    deltalake.write_deltalake(uri, column(bad[0], kind), mode="append")
    path = contract(tmp_path, logical, rules)
    for args in ([], ["--dry-run"]):
        done = smelt("table", "constrain", uri, path, *args, check=False)
        assert done.returncode == 1 and "does not hold for 2 rows that the table has" in done.stderr
    assert deltalake.DeltaTable(uri).version() == 1


def test_a_dry_run_and_json(smelt, tmp_path):
    uri = str(tmp_path / "t")
    deltalake.write_deltalake(uri, column(5, pyarrow.int64()))
    path = contract(tmp_path, "integer", "unique: true, required: true")
    done = json.loads(smelt("table", "constrain", uri, path, "--dry-run", "--json").stdout)
    assert done["constraints"] == [{"name": "c_required", "check": "coalesce(c IS NOT NULL, true)", "new": True}]
    assert (done["from"], done["version"], len(done["left_out"])) == (0, None, 1)
    assert deltalake.DeltaTable(uri).version() == 0
    done = json.loads(smelt("table", "constrain", uri, path, "--json").stdout)
    assert done["version"] == 1 and "a constraint looks at one row" in done["left_out"][0]
    assert deltalake.DeltaTable(uri).metadata().configuration == {
        "delta.constraints.c_required": "coalesce(c IS NOT NULL, true)"}


def test_what_is_refused(smelt, tmp_path):
    uri = str(tmp_path / "t")
    deltalake.write_deltalake(uri, column(5, pyarrow.int64()))
    deltalake.DeltaTable(uri).alter.add_constraint({"c_minimum": "c > 2"})
    path = contract(tmp_path, "integer", "logicalTypeOptions: {minimum: 1}")
    done = smelt("table", "constrain", uri, path, check=False)
    assert done.returncode == 1 and 'the table has another constraint "c_minimum": c > 2' in done.stderr
    assert "DROP CONSTRAINT c_minimum" in done.stderr
    for logical, told in (("string", "column c is of type BIGINT"), ):
        done = smelt("table", "constrain", uri, contract(tmp_path, logical, "required: true"), check=False)
        assert done.returncode == 1 and told in done.stderr
    path.write_text(HEAD + "      - {name: d, required: true}\n")
    done = smelt("table", "constrain", uri, path, check=False)
    assert done.returncode == 1 and 'the rows have no column "d"' in done.stderr
    assert smelt("table", "constrain", uri, check=False).returncode == 2
    assert smelt("table", "constrain", uri, path, "--version", "1", check=False).returncode == 2
    assert deltalake.DeltaTable(uri).version() == 1
