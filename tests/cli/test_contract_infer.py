"""`smelt contract infer`: what is proposed for rows that are there, and that it holds for them."""
import json

import duckdb
import pytest
import written_yaml

UUID = "0b7fd7f0-3d3c-4f0e-9a57-{:012x}"


def rows(n):
    for i in range(n):
        yield {"id": i, "key": UUID.format(i), "kind": ["TV", "Movie", "no"][i % 3], "day": f"2022-04-{i % 30 + 1:02}",
               "text": f"note {i}", "mail": f"a{i}@b.example", "ip": f"10.0.0.{i % 250}",
               "page": f"https://x.example/{i}", "code": f"note:{i}", "amount": i / 4, "hole": None if i == 7 else i % 5,
               "place": {"zip": f"{i % 3}", "deep": {"n": i}} if i % 2 else None, "list": [i]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "raw" / "orders.json"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(900)))
    return path


def infer(smelt, *args):
    contract = written_yaml.read(smelt("contract", "infer", *args).stdout)
    (table,) = contract["schema"]
    return table, {column["name"]: column for column in table["properties"]}


def values_of(column):
    return column["quality"][0]["arguments"]["validValues"]


def test_what_is_proposed(smelt, file):
    table, columns = infer(smelt, file)
    assert table["name"] == "orders" and "900 rows" in table["description"]
    assert [c for c in columns if columns[c].get("required")] == [
        "id", "key", "kind", "day", "text", "mail", "ip", "page", "code", "amount", "list"]
    assert [c for c in columns if columns[c].get("unique")] == ["id", "key", "text", "mail", "page", "code"]
    formats = {c: columns[c]["logicalTypeOptions"]["format"] for c in columns if "logicalTypeOptions" in columns[c]}
    assert formats == {"key": "uuid", "mail": "email", "ip": "ipv4", "page": "uri"}
    assert values_of(columns["kind"]) == ["Movie", "TV", "no"]
    assert "hole" in columns and "1 NULL" in columns["hole"]["description"]
    assert "from 0.0 to 224.75" in columns["amount"]["description"]
    fields = {field["name"]: field for field in columns["place"]["properties"]}
    assert fields["zip"]["required"] and values_of(fields["zip"]) == ["0", "1", "2"]
    assert fields["deep"]["properties"][0]["required"] and "required" not in columns["place"]


def test_other_forms_of_the_same_rows(smelt, file, tmp_path):
    wanted = infer(smelt, file)[1]
    smelt("sql", f"FROM '{file}'", "-o", tmp_path / "orders.parquet")
    smelt("sql", "--write", f"CREATE TABLE 'orders' AS FROM '{file}'", cwd=tmp_path)
    assert infer(smelt, tmp_path / "orders.parquet")[1] == wanted
    assert infer(smelt, tmp_path / "orders")[1] == wanted
    table, columns = infer(smelt, f"{file.parent}/*.json", "--table", "a: b")
    assert table["name"] == "a: b" and columns == wanted


def test_the_text_does_not_depend_on_threads(smelt, file):
    assert len({smelt("contract", "infer", file, "--threads", n).stdout for n in (1, 2, 4)}) == 1


def test_no_rule_is_broken(smelt, file):
    """Each proposed rule as SQL over the same rows."""
    for name, column in infer(smelt, file)[1].items():
        broken = [f"{name} IS NULL"] if column.get("required") else []
        if "quality" in column:
            broken.append(f"{name} NOT IN {tuple(values_of(column))}")
        for rule in broken:
            assert smelt.sql(f"SELECT count(*) AS n FROM '{file}' WHERE {rule}") == [{"n": 0}]
        if column.get("unique"):
            assert smelt.sql(f"SELECT count(DISTINCT {name}) AS n FROM '{file}'") == [{"n": 900}]


def test_the_rows_go_into_a_table_with_its_rules(smelt, file, tmp_path):
    contract, parquet = tmp_path / "orders.yaml", tmp_path / "orders.parquet"
    contract.write_text(smelt("contract", "infer", file).stdout)
    smelt("sql", f"FROM '{file}'", "-o", parquet)
    db = duckdb.connect()
    db.execute(smelt("contract", "export", "--to", "ddl", contract).stdout)
    db.execute(f"INSERT INTO orders SELECT * FROM '{parquet}'")
    assert db.execute("SELECT count(*) FROM orders").fetchall() == [(900,)]
    for column, value in {"key": "'x'", "kind": "'Film'", "page": "'x:1'", "id": "NULL"}.items():
        with pytest.raises(duckdb.ConstraintException):
            db.execute(f"INSERT INTO orders SELECT * REPLACE ({value} AS {column}) FROM orders LIMIT 1")


def test_what_the_sample_does_not_show(smelt, tmp_path):
    """The rows behind the first 10,000 decide as those before them."""
    path = tmp_path / "late.json"
    late = [{"id": i, "few": "a", "day": "x@y.example"} for i in range(20000)]
    late[-1] = {"id": 0, "few": None, "day": "none"}
    late[15000:15100] = [{"id": 15000 + i, "few": f"b{i}", "day": "x@y.example"} for i in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in late))
    columns = infer(smelt, path)[1]
    assert columns["id"]["required"] and "unique" not in columns["id"]
    assert not {"required", "quality"} & set(columns["few"])
    assert "logicalTypeOptions" not in columns["day"]


def test_few_rows_and_none(smelt, tmp_path):
    path = tmp_path / "one.json"
    path.write_text('{"id": 1, "k": "a"}\n')
    columns = infer(smelt, path)[1]
    assert columns["id"]["required"] and "unique" not in columns["id"] and "quality" not in columns["k"]
    smelt("sql", "SELECT 1 AS id, 'x' AS k LIMIT 0", "-o", tmp_path / "none.parquet")
    table, columns = infer(smelt, tmp_path / "none.parquet")
    assert "0 rows" in table["description"] and not any("required" in c for c in columns.values())


def test_names_and_values_like_yaml(smelt, tmp_path):
    path = tmp_path / "odd.json"
    names = ["no", "1", "a: b", "- x", "é", "#", "null", "a.b", "'"]
    path.write_text("".join(json.dumps({name: value for name in names}) + "\n"
                            for value in ["null", "1", "", "a: b", "a\0b", "'", "\n", "é"] * 30))
    columns = infer(smelt, path)[1]
    assert list(columns) == names
    for name in names:
        assert values_of(columns[name]) == ["", "\n", "'", "1", "a\0b", "a: b", "null", "é"]


def test_refused(smelt, tmp_path):
    none = smelt("contract", "infer", tmp_path / "none.json", check=False)
    assert none.returncode == 1 and none.stdout == "" and "none.json" in none.stderr
    path = tmp_path / "bad.json"
    path.write_text('{"a": 1}\n{"a": \n')
    assert smelt("contract", "infer", path, check=False).returncode == 1
    for args in (["infer"], ["infer", path, path], ["guess", path]):
        done = smelt("contract", *args, check=False)
        assert done.returncode == 2 and done.stdout == ""
    path.write_text('{"a": 1, "A": 2}\n')
    done = smelt("contract", "infer", path, check=False)
    assert done.returncode == 1 and done.stdout == "" and "two properties are called A" in done.stderr


def test_json(smelt, file):
    assert smelt.json("contract", "infer", file, "--json") == {
        "text": smelt("contract", "infer", file).stdout, "left_out": []}
