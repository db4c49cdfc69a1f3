"""`smelt check` of a Delta table that changed: row rules are evaluated over new data files only, and the answer is that
of a check which reads all rows."""
import json
import os
import random

import pytest

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\n"
RULES = """\
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true, logicalTypeOptions: {maximum: 1000}}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}
"""
ROUNDS = int(os.environ.get("SMELT_ROUNDS") or 25)


@pytest.fixture
def table(smelt, lake):
    """Three files of 20 rows; amounts below 0: every second one of the first file, and those of the third."""
    uri = lake / "silver/orders"
    for n, amount in enumerate(["id % 2 - 1", "1", "-1"]):
        rows = " UNION ALL ".join(f"SELECT {20 * n + i} AS id" for i in range(20))
        into = f"INSERT INTO '{uri}'" if n else f"CREATE TABLE '{uri}' AS"
        smelt("sql", "--write", f"{into} SELECT id, CAST({amount} AS DOUBLE) AS amount FROM ({rows}) r")
    return uri


@pytest.fixture
def ask(smelt, tmp_path, table):
    """Checks the table against a contract; returns what is told, but for times, and stderr."""
    def check(contract=RULES, *words):
        (tmp_path / "c.yaml").write_text(HEAD + contract)
        done = smelt("check", "c.yaml", table, "--json", *words, check=False)
        assert done.returncode in (0, 3), done.stderr
        told = json.loads(done.stdout)
        assert "--no-cache" not in words or not told["cached"]
        return {key: value for key, value in told.items() if key not in ("checked_at", "cached")}, done.stderr
    return check


def data_files(table):
    return sorted(path for path in table.rglob("*.parquet") if "_delta_log" not in path.parts)


def kept(table):
    return sorted((table / "_smelt/verdicts").glob("*.files"))


class hidden:
    """Files that nobody can read in between."""

    def __init__(self, paths):
        self.paths = list(paths)

    def __enter__(self):
        for path in self.paths:
            path.rename(path.with_suffix(".hidden"))

    def __exit__(self, *error):
        for path in self.paths:
            path.with_suffix(".hidden").rename(path)


def insert(smelt, table, *rows):
    """Rows of numbers and "NULL"."""
    values = ", ".join("(" + ", ".join(map(str, row)) + ")" for row in rows)
    smelt("sql", "--write", f"INSERT INTO '{table}' VALUES {values}")


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_a_new_file_alone_is_read(smelt, table, ask):
    ask()
    old = data_files(table)
    insert(smelt, table, (100, -5.0), (2000, 1.0))
    with hidden(old):
        told, err = ask()
    assert told["rows"] == 62 and "the verdict" not in err
    assert told == ask(RULES, "--no-cache")[0]
    assert [rule["violations"] for rule in told["contracts"]] == [0, 1, 31]
    assert len(kept(table)) == 1


def test_a_file_with_deleted_rows_is_new(smelt, table, ask):
    smelt("sql", "--write", f"ALTER TABLE '{table}' SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    ask()
    first = data_files(table)
    smelt("sql", "--write", f"DELETE FROM '{table}' WHERE id = 41")
    changed = [path for path in first if smelt.sql(f"SELECT count(*) AS n FROM read_parquet('{path}') "
                                                    "WHERE id = 41") == [{"n": 1}]]
    with hidden(set(first) - set(changed)):
        told, _ = ask()
    assert told == ask(RULES, "--no-cache")[0] and told["rows"] == 59


def test_a_rule_that_is_left_out_reads_nothing(table, ask):
    ask()
    fewer = RULES.replace(", logicalTypeOptions: {maximum: 1000}", "")
    wanted, _ = ask(fewer, "--no-cache")
    with hidden(data_files(table)):
        assert ask(fewer)[0] == wanted


def test_another_rule_spoils_no_others(smelt, table, ask):
    """The kept examples of one rule are told again where another is new, and reads the rows anew."""
    ask()
    edited = RULES.replace("maximum: 1000", "maximum: 10")
    told, _ = ask(edited)
    assert told == ask(edited, "--no-cache")[0]
    assert [rule["violations"] for rule in told["contracts"]] == [0, 49, 30]
    text = kept(table)[0].read_bytes().split(b"\n")[1]
    assert [len(rule["examples"]) // 2 for rule in json.loads(text)["rules"]] == [0, 10, 10]


@pytest.mark.parametrize("edit", ["amount, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 0}",
                                  "amount, logicalType: number, logicalTypeOptions: {minimum: -1}",
                                  "id, primaryKey: true, logicalTypeOptions: {minimum: 0}"])
def test_an_edited_rule_is_another(table, ask, edit):
    ask()
    contract = RULES.replace("amount, logicalType: number, logicalTypeOptions: {minimum: 0}", edit)
    if edit.startswith("id"):  # other columns in the examples of all rules
        contract = RULES.replace("required: true", "primaryKey: true")
    assert ask(contract)[0] == ask(contract, "--no-cache")[0]
    assert ask()[0] == ask(RULES, "--no-cache")[0]


def test_a_time_reads_no_row_again(table, ask):
    """The whole verdict is of one time, what each file has is not."""
    wanted, _ = ask()
    with hidden(data_files(table)):
        assert ask(RULES, "--now", "2022-04-01")[0] == wanted


def test_examples_are_the_first_of_the_table(smelt, table, ask):
    """Ten are in the first file; when that is gone, those of others are read."""
    told, _ = ask()
    first = [json.loads(x)["amount"] if isinstance(x, str) else x["amount"] for x in told["contracts"][2]["examples"]]
    assert len(first) == 10
    for statement in ["DELETE FROM '{t}' WHERE id < 16", "DELETE FROM '{t}' WHERE id < 20",
                      "UPDATE '{t}' SET amount = -3 WHERE id = 25", "DELETE FROM '{t}' WHERE id > 41"]:
        smelt("sql", "--write", statement.format(t=table))
        assert ask()[0] == ask(RULES, "--no-cache")[0]
    with hidden(data_files(table)):
        assert ask(RULES, "--now", "2022-04-01")[0]["rows"] == 22


def test_partitions_and_a_column_named_file(smelt, lake, table, ask):
    smelt("sql", "--write", f"DROP TABLE IF EXISTS '{table}'", check=False)
    smelt("sql", "--write", f"CREATE OR REPLACE TABLE '{table}' PARTITIONED BY (file) AS SELECT file, id, amount FROM "
          "(VALUES ('a', 1, -1.0), ('b', 2, 1.0), (NULL, 3, -2.0), ('a', 2000, 1.0)) v(file, id, amount)")
    contract = RULES + "      - {name: file, logicalType: string, required: true}\n"
    assert ask(contract)[0] == ask(contract, "--no-cache")[0]
    old = data_files(table)
    smelt("sql", "--write", f"INSERT INTO '{table}' VALUES ('c', 4, -1.0), (NULL, 5, 2.0)")
    with hidden(old):
        told, _ = ask(contract)
    assert told == ask(contract, "--no-cache")[0]
    assert [rule["violations"] for rule in told["contracts"]] == [0, 1, 3, 2]


def test_another_schema_is_counted_anew(smelt, table, ask):
    ask()
    smelt("sql", "--write", f"ALTER TABLE '{table}' ADD COLUMN more INTEGER")
    contract = RULES + "      - {name: more, required: true}\n"
    told, _ = ask(contract)
    assert told == ask(contract, "--no-cache")[0] and told["contracts"][-1]["violations"] == 60


# ---- keys -----------------------------------------------------------------------------------------------------------

UNIQUE = RULES.replace("required: true", "unique: true")


def key_objects(table):
    return sorted((table / "_smelt/verdicts").glob("*.keys"))


def test_the_keys_of_a_new_file_alone_are_read(smelt, table, ask):
    ask(UNIQUE)
    assert len(key_objects(table)) == 1
    old = data_files(table)
    insert(smelt, table, (100, -5.0), (101, 1.0))
    with hidden(old):
        told, err = ask(UNIQUE)
    assert told == ask(UNIQUE, "--no-cache")[0] and "the verdict" not in err
    assert [rule["violations"] for rule in told["contracts"] if rule["kind"] == "unique"] == [0]


def test_a_key_that_comes_again_is_looked_for_in_its_files(smelt, table, ask):
    """Of three old files, one has the key of the new one."""
    ask(UNIQUE)
    old = data_files(table)
    has = [path for path in old if smelt.sql(f"SELECT count(*) AS n FROM read_parquet('{path}') WHERE id = 25")
           == [{"n": 1}]]
    insert(smelt, table, (25, 5.0), (102, 1.0), (102, 1.0), ("NULL", 1.0), ("NULL", 1.0))
    with hidden(set(old) - set(has)):
        told, _ = ask(UNIQUE)
    wanted, _ = ask(UNIQUE, "--no-cache")
    assert told == wanted
    assert [rule["violations"] for rule in told["contracts"] if rule["kind"] == "unique"] == [2]
    insert(smelt, table, (103, 5.0))
    with hidden(set(old) - set(has)):  # what came again before is known
        told, _ = ask(UNIQUE)
    assert told == ask(UNIQUE, "--no-cache")[0]


def test_many_appends_leave_few_objects(smelt, table, ask):
    for n in range(12):
        insert(smelt, table, (200 + n, 1.0))
        told, _ = ask(UNIQUE)
    assert len(key_objects(table)) < 5 and told == ask(UNIQUE, "--no-cache")[0]
    insert(smelt, table, (207, 1.0))
    assert ask(UNIQUE)[0] == ask(UNIQUE, "--no-cache")[0]


def test_where_most_keys_come_again_none_are_kept(smelt, tmp_path, table, ask):
    (tmp_path / "n.ndjson").write_text("".join(f'{{"id":{n % 66000}}}\n' for n in range(132000)))
    smelt("sql", "--write", f"INSERT INTO '{table}' SELECT id, 1.0 AS amount FROM 'n.ndjson'")
    told, err = ask(UNIQUE)
    assert told == ask(UNIQUE, "--no-cache")[0] and not key_objects(table) and "the verdict" not in err
    assert told == ask(UNIQUE, "--now", "2022-04-01")[0]


def test_hashes_are_not_kept_where_they_are_more_than_the_file(smelt, tmp_path, table, ask):
    (tmp_path / "n.ndjson").write_text("".join(f'{{"id":{n}}}\n' for n in range(1000, 151000)))
    smelt("sql", "--write", f"CREATE OR REPLACE TABLE '{table}' AS SELECT id, 1.0 AS amount FROM 'n.ndjson'")
    contract = UNIQUE.replace("maximum: 1000", "maximum: 1000000")
    assert ask(contract)[0]["outcome"] == "passed" and not key_objects(table)
    insert(smelt, table, (1500, 1.0), (7, 1.0))  # a small file, whose keys are kept
    told, _ = ask(contract)
    assert told == ask(contract, "--no-cache")[0] and len(key_objects(table)) == 1
    assert [rule["violations"] for rule in told["contracts"] if rule["kind"] == "unique"] == [1]
    insert(smelt, table, (8, 1.0))
    assert ask(contract)[0] == ask(contract, "--no-cache")[0]


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"", lambda b: b.replace(b'"format":', b'"format":9'),
                                    None])
def test_damaged_keys_are_told_once(smelt, table, ask, damage):
    ask(UNIQUE)
    insert(smelt, table, (25, -5.0))
    path, = key_objects(table)
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    told, err = ask(UNIQUE)
    assert err.count(f"the verdict at {path} is ") == (1 if damage else 0)
    assert told == ask(UNIQUE, "--no-cache")[0]
    insert(smelt, table, (26, -5.0))
    told, err = ask(UNIQUE)
    assert "the verdict" not in err and told == ask(UNIQUE, "--no-cache")[0]


@pytest.mark.parametrize("key", ["id", "amount", "shop", "id, shop"])
def test_keys_of_types_and_with_nulls(smelt, table, ask, key):
    smelt("sql", "--write", f"CREATE OR REPLACE TABLE '{table}' AS SELECT * FROM (VALUES (1, 0.0, 'a'), (2, -0.0, NULL), "
          "(NULL, 'nan'::DOUBLE, 'b'), (1, 2.5, 'a')) v(id, amount, shop)")
    contract = ("schema:\n  - name: orders\n    properties: [{name: id}, {name: amount}, {name: shop}]\n    quality: "
                "[{metric: duplicateValues, arguments: {properties: [%s]}, mustBe: 0}]\n" % key)
    for rows in [[], [(1, 0.0, "'c'")], [(3, "'nan'::DOUBLE", "NULL"), (2, 9.0, "'a'")], [("NULL", "NULL", "NULL")]]:
        if rows:
            insert(smelt, table, *rows)
        assert ask(contract)[0] == ask(contract, "--no-cache")[0]


# ---- trouble --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"", lambda b: b.replace(b'"format":', b'"format":9'),
                                    lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_object_is_told_once(smelt, table, ask, damage):
    ask()
    insert(smelt, table, (100, -5.0))
    path, = kept(table)
    path.write_bytes(damage(path.read_bytes()))
    told, err = ask()
    assert err.count(f"the verdict at {path} is ") == 1 and err.count("so it is made anew") == 1
    assert told == ask(RULES, "--no-cache")[0]
    insert(smelt, table, (101, -5.0))
    assert "the verdict" not in ask()[1]


def test_without_the_right_to_write_it_is_told_once(smelt, table, ask):
    (table / "_smelt").write_text("in the way")
    told, err = ask()
    assert err.count("could not be kept at") == 1 and told == ask(RULES, "--no-cache")[0]


# ---- random tables --------------------------------------------------------------------------------------------------

PROPERTIES = ["{name: id, logicalType: integer, logicalTypeOptions: {maximum: %d}}",
              "{name: id, logicalType: integer, unique: true, logicalTypeOptions: {minimum: %d}}",
              "{name: id, logicalType: integer, primaryKey: true, logicalTypeOptions: {minimum: %d}}"]
AMOUNTS = ["{name: amount, logicalType: number, logicalTypeOptions: {minimum: %d}}",
           "{name: amount, logicalType: number, required: true, logicalTypeOptions: {minimum: %d}, customProperties: "
           "[{property: smelt.failAbove, value: '1%%'}, {property: smelt.sharePer, value: shop}]}"]
SHOPS = ["{name: shop}", "{name: shop, required: true}", "{name: shop, logicalType: string, logicalTypeOptions: {pattern: '^[a-%s]'}}"]
QUALITY = ["", "    quality: [{metric: duplicateValues, arguments: {properties: [amount, shop]}, mustBeLessThan: 9}]\n",
           "    quality: [{name: q, type: custom, engine: smelt, implementation: \"id <> amount OR shop = 'a'\"}]\n"]


class Random:
    """A table and a contract that change by chance."""

    def __init__(self, smelt, table, seed):
        self.smelt, self.table, self.r = smelt, table, random.Random(seed)
        self.write(f"CREATE OR REPLACE TABLE '{table}' AS SELECT * FROM (VALUES {self.rows()}) v(id, amount, shop)")
        self.contract = self.edit()

    def write(self, statement):
        self.smelt("sql", "--write", statement)

    def rows(self):
        r = self.r
        return ", ".join(f"({r.randrange(400) if r.random() < .9 else r.randrange(40)}, "
                         f"{r.choice(['NULL', r.randrange(-3, 60)])}, {r.choice(['NULL', *map(repr, 'abcde')])})"
                         if i else "(1, 1, 'a')" for i in range(r.randrange(1, 60)))

    def edit(self):
        r = self.r
        parts = [r.choice(PROPERTIES) % r.choice([0, 5, 300]), r.choice(AMOUNTS) % r.choice([-2, 0, 1])]
        shop = r.choice(SHOPS)
        parts.append(shop % r.choice("ace") if "%s" in shop else shop)
        return ("schema:\n  - name: orders\n    properties:\n" + "".join(f"      - {part}\n" for part in parts)
                + r.choice(QUALITY))

    def change(self):
        r, t = self.r, self.table
        kind = r.choice(["insert"] * 6 + ["delete", "delete", "update", "optimize", "vectors", "edit", "edit", "lose",
                                         "restore", "again"])
        if kind == "insert":
            for _ in range(r.randrange(1, 4)):
                self.write(f"INSERT INTO '{t}' VALUES {self.rows()}")
        elif kind in ("delete", "update"):
            at = r.randrange(400)
            where = f"id BETWEEN {at} AND {at + r.randrange(80)}"
            self.write(f"DELETE FROM '{t}' WHERE {where}" if kind == "delete" else
                       f"UPDATE '{t}' SET amount = {r.randrange(-3, 9)} WHERE {where}")
        elif kind == "optimize":
            self.smelt("table", "optimize", t)
        elif kind == "vectors":
            self.write(f"ALTER TABLE '{t}' SET TBLPROPERTIES ('delta.enableDeletionVectors' = "
                       f"'{r.choice(['true', 'false'])}')")
        elif kind == "edit":
            self.contract = self.edit()
        elif kind == "restore":
            versions = json.loads(self.smelt("table", "history", t, "--json").stdout)["commits"]
            of = r.choice([v["version"] for v in versions[:5] if v["version"] >= 3])  # that has these columns
            self.smelt("table", "restore", t, "--version", of, check=False)
        elif kind == "lose":
            for path in (t / "_smelt/verdicts").glob("*"):
                if r.random() < .5:
                    path.write_bytes(path.read_bytes()[:r.randrange(400)])
        return kind


def test_random_changes(smelt, table, ask):
    seed = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
    made, told = Random(smelt, table, seed), []
    for _ in range(ROUNDS):
        told.append(made.change())
        found, _ = ask(made.contract)
        wanted, _ = ask(made.contract, "--no-cache")
        assert found == wanted, f"SMELT_SEED={seed} {told}\n{made.contract}"
