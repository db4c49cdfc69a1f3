"""The same rules as a contract, as a Patito model, as a Pandera schema and as SQL in DuckDB: each must find the
same rows in generated tables.

Column n is the number of a row. smelt shows ten rows that break a rule, so all of them are seen by checking slices
of ten. Patito says only how many rows are wrong: its rows are found by halving the table. DuckDB and Pandera say
which. What a peer takes otherwise is put right in one place, with the reason: Peers below, and `unique_...`.
References, groups and queries have no word in Patito and Pandera; test_contracts.py compares them with DuckDB.

A failure prints the seed. SMELT_SEED=N makes the same tables again; SMELT_CONTRACTS (60, in `make soak` 200) is
their number.
"""
import datetime
import json
import math
import os
import random
import re
from typing import Literal, NamedTuple, Optional

import duckdb
import pandera.errors
import pandera.polars as pa
import patito as pt
import polars as pl
import pydantic
import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
CONTRACTS = int(os.environ.get("SMELT_CONTRACTS", "60"))
SOAK_CONTRACTS = int(os.environ.get("SMELT_CONTRACTS", "200"))

TYPES = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "d": pl.Date, "b": pl.Boolean}
PYTHON = {"i": int, "f": float, "s": str, "d": datetime.date, "b": bool}
LOGICAL = {"i": "integer", "f": "number", "s": "string", "d": "date", "b": "boolean"}
WORDS = ["", "a", "ab", "Abc", "A1", "abcdef", "éé", "2022-04-01", "x y", "N/A", "a\nb", "ÉA"]
NAN = float("nan")


class Peers(NamedTuple):
    """One rule: at its column (None: of the table) in YAML, and in the words of each peer."""
    column: Optional[str]
    yaml: dict                 # what stands below the column or the table
    name: str                  # in the answer of smelt
    sql: str                   # the condition of a row, or of `unique` the columns of the key
    field: dict = {}           # arguments of Patito's Field
    checks: tuple = ()         # Pandera's checks of the column
    annotation: object = None  # of the field, where it is not Optional[type of the column]

    @property
    def is_unique(self):
        return self.name.endswith("unique") or self.name == "pair"


# ---- tables -----------------------------------------------------------------------------------


def random_value(rng, column, n_values):
    if rng.random() < 0.12:
        return None
    n = rng.randrange(-3, n_values)
    return {"i": n, "f": rng.choice([n / 4, float(n), NAN, float("inf"), -float("inf"), -0.0]),
            "s": rng.choice(WORDS), "d": datetime.date(2022, 4, 1) + datetime.timedelta(days=n),
            "b": rng.random() < 0.5}[column]


def make_table(rng):
    n_rows, n_values = rng.choice([0, 1, 7, 30, 60]), rng.choice([3, 12, 1000])
    rows = [{"n": n, **{c: random_value(rng, c, n_values) for c in TYPES}} for n in range(n_rows)]
    return pl.DataFrame(rows, schema={"n": pl.Int64, **TYPES})


# ---- rules ------------------------------------------------------------------------------------


def option(column, word, value, sql, field=None, checks=(), shown=None):
    return Peers(column, {"logicalTypeOptions": {word: value if shown is None else shown}}, f"{column}:{word}",
                 sql, {word: value} if field is None else field, checks)


def bound(rng, column):
    """NaN breaks each bound; to Polars and DuckDB it is the greatest number, so it is excluded in their words.
    Patito passes over the bounds of dates, so they are a constraint there, as is that of NaN."""
    value = {"i": 3, "f": 0.75, "d": datetime.date(2022, 4, 4)}[column]
    word, short, op = rng.choice([("minimum", "ge", ">="), ("exclusiveMinimum", "gt", ">"),
                                  ("maximum", "le", "<="), ("exclusiveMaximum", "lt", "<")])
    literal = f"DATE '{value}'" if column == "d" else str(value)
    sql = f"{column} {op} {literal}" + (f" AND ({column} IS NULL OR NOT isnan({column}))" if column == "f" else "")
    field = {short: value} if column != "d" else {
        "constraints": getattr(pl.col("d"), f"__{short}__")(pl.lit(value))}
    checks = [getattr(pa.Check, short)(value)]
    if column == "f":
        field["constraints"] = pl.col("f").is_not_nan()
        checks.append(of_column(lambda c: c.is_not_nan()))
    return option(column, word, value, sql, field, tuple(checks), str(value) if column == "d" else value)


def of_column(condition, **options):
    """A check of Pandera for each value of its column."""
    return pa.Check(lambda data: data.lazyframe.select(condition(pl.col(data.key))), **options)


def pattern(rng):
    """A part of the text is enough, which is str_contains to Pandera; its str_matches begins at the first byte.
    Patito's `pattern` searches too. The texts and patterns mean the same to PCRE2, RE2 and Rust's regex."""
    text = rng.choice(["b", "^[A-Z][a-z0-9]+$", "^a", "[0-9]{2}", "^.{2}$", r"\s", "É|x", "^$"])
    return option("s", "pattern", text, f"regexp_matches(s, '{text}')", {"pattern": text},
                  (pa.Check.str_contains(text),))


def listed(rng, column):
    """NULL keeps a list of valid values, and breaks none of missing values here (it is not in the list). Patito
    takes a Literal of texts alone; one of numbers is a constraint."""
    values = {"i": [0, 1, 2, 5], "s": ["a", "ab", "N/A", "éé"]}[column]
    values = rng.sample(values, rng.randrange(1, 5))
    sql = ", ".join(f"'{v}'" if column == "s" else str(v) for v in values)
    metric, word = rng.choice([("invalidValues", "validValues"), ("missingValues", "missingValues")])
    quality = {"quality": [{"metric": metric, "arguments": {word: values}, "mustBe": 0}]}
    if word == "validValues":
        field = {"constraints": pl.col("i").is_in(values)} if column == "i" else {}
        return Peers(column, quality, f"{column}:{word}", f"{column} IN ({sql})", field, (pa.Check.isin(values),),
                     Optional[Literal[tuple(values)]] if column == "s" else None)
    return Peers(column, quality, f"{column}:{word}", f"{column} IS NULL OR {column} NOT IN ({sql})",
                 {"constraints": ~pl.col(column).is_in(values)}, (pa.Check.notin(values),))


def length(rng):
    word, key, op = rng.choice([("minLength", "min_length", ">="), ("maxLength", "max_length", "<=")])
    value = rng.randrange(0, 4)
    check = pa.Check.str_length(value, None) if op == ">=" else pa.Check.str_length(None, value)
    return option("s", word, value, f"length(s) {op} {value}", {key: value}, (check,))


def multiple(rng):
    value = rng.choice([2, 3, 7])
    return option("i", "multipleOf", value, f"i % {value} = 0", {"multiple_of": value},
                  (of_column(lambda c: c % value == 0),))


def required(column):
    """NaN is a value. To Pandera's nullable=False it is none, so this is a check of its own there."""
    return Peers(column, {"required": True}, f"{column}:required", f"{column} IS NOT NULL", {},
                 (of_column(lambda c: c.is_not_null(), ignore_na=False),), PYTHON[column])


def unique(column):
    return Peers(column, {"unique": True}, f"{column}:unique", column, {"unique": True})


def of_table(rng):
    """Rules over several columns: Patito has them as a constraint of any field, here of n."""
    expression, made = rng.choice([
        ("i * 2 >= f OR s = 'a'", (pl.col("i") * 2 >= pl.col("f")) | (pl.col("s") == "a")),
        ("b AND d > DATE '2022-04-02'", pl.col("b") & (pl.col("d") > datetime.date(2022, 4, 2))),
        ("length(s) < i", pl.col("s").str.len_chars() < pl.col("i"))])
    return rng.choice([
        [],
        [Peers(None, {"name": "condition", "type": "custom", "engine": "smelt", "implementation": expression},
               "condition", expression, {"constraints": made},
               (pa.Check(lambda data: data.lazyframe.select(made)),))],
        [Peers(None, {"name": "pair", "metric": "duplicateValues",
                      "arguments": {"properties": ["i", "s"]}, "mustBe": 0}, "pair", "i, s")]])


def of_column_rules(rng, column):
    """One rule or two of a column."""
    makers = {"i": [lambda: bound(rng, "i"), lambda: multiple(rng), lambda: listed(rng, "i")],
              "f": [lambda: bound(rng, "f")],
              "s": [lambda: pattern(rng), lambda: length(rng), lambda: listed(rng, "s")],
              "d": [lambda: bound(rng, "d")], "b": []}[column]
    more = [lambda: required(column), lambda: unique(column)]
    return [make() for make in rng.sample(makers, min(len(makers), 1)) + rng.sample(more, rng.randrange(0, 3))]


def contract_of(rules):
    """The contract: JSON is YAML."""
    columns = [{"name": "n", "logicalType": "integer", "primaryKey": True, "primaryKeyPosition": 1}]
    for column, logical in LOGICAL.items():
        columns.append({"name": column, "logicalType": logical})
        for rule in rules:
            columns[-1].update(rule.yaml if rule.column == column else {})
    return json.dumps({"apiVersion": "v3.1.0", "kind": "DataContract", "id": "x", "version": "1.0.0",
                       "status": "draft", "schema": [{
                           "name": "t", "properties": columns,
                           "quality": [rule.yaml for rule in rules if rule.column is None]}]}, indent=1)


# ---- the rows that each finds -------------------------------------------------------------------


def rows_of_patito(rule, table):
    """The rows of n that break a rule of rows: halves of a table that breaks it are looked at again."""
    annotation = rule.annotation or (Optional[PYTHON[rule.column]] if rule.column else int)
    model = pydantic.create_model("Model", __base__=pt.Model,
                                  **{rule.column or "n": (annotation, pt.Field(**rule.field))})

    def find(rows):
        try:
            model.validate(rows, allow_superfluous_columns=True)
            return []
        except pt.exceptions.DataFrameValidationError as wrong:
            assert all(error["type"] in ("value_error.rowvalue", "value_error.missingvalues")
                       for error in wrong.errors()), wrong
        if rows.height == 1:
            return rows["n"].to_list()
        half = rows.height // 2
        return find(rows.slice(0, half)) + find(rows.slice(half))

    return find(table)


def unique_of_patito(rule, table):
    """The rows beyond the first of those that are alike. Patito says how many rows are alike, the first among
    them, and NULLs are alike to it: a row without NULL repeats an earlier one where its n first rows have fewer
    such rows without it. It has no word for several columns; a struct of them is no column to it."""
    model = pydantic.create_model("Model", __base__=pt.Model, **{
        rule.column: (Optional[PYTHON[rule.column]], pt.Field(default=None, **rule.field))})
    values = table.drop_nulls(rule.column)

    def alike(rows):
        try:
            model.validate(rows, allow_superfluous_columns=True)
            return 0
        except pt.exceptions.DataFrameValidationError as wrong:
            (error,) = wrong.errors()
            return int(re.match(r"(\d+) rows with duplicated values", error["msg"])[1])

    counts = [alike(values.head(n)) for n in range(values.height + 1)]
    return [n for n, before, after in zip(values["n"], counts, counts[1:]) if after > before]


def rows_of_pandera(rule, table):
    columns = rule.sql.split(", ") if rule.is_unique else [rule.column or "n"]
    checks = list(rule.checks) if rule.column else []
    schema = pa.DataFrameSchema(
        {c: pa.Column({"n": pl.Int64, **TYPES}[c], checks, nullable=True) for c in columns},
        checks=None if rule.column else list(rule.checks), unique=columns if rule.is_unique else None)
    if rule.is_unique:  # NULLs are alike to it
        table = table.drop_nulls(columns)
    try:
        schema.validate(table, lazy=True)
        return []
    except pandera.errors.SchemaErrors as wrong:
        found = sorted(set(wrong.failure_cases["index"].to_list()))
    if rule.is_unique:  # and all that are alike are found, the first among them
        groups = table.with_columns(first=pl.col("n").min().over(columns))
        found = [at for at in found if groups["first"][at] != groups["n"][at]]
    return [table["n"][at] for at in found]


def rows_of_duckdb(rule, db):
    if rule.is_unique:
        present = " AND ".join(f"{c} IS NOT NULL" for c in rule.sql.split(", "))
        sql = (f"SELECT n FROM (FROM t SELECT n, row_number() OVER (PARTITION BY {rule.sql} ORDER BY n) AS k "
               f"WHERE {present}) WHERE k > 1 ORDER BY n")
    else:
        sql = f"SELECT n FROM t WHERE NOT ({rule.sql}) ORDER BY n"
    return [n for (n,) in db.execute(sql).fetchall()]


def answers(smelt, path):
    done = smelt("check", "c.yaml", path, "--json", check=False)
    assert done.returncode in (0, 3), done.stderr
    return {rule["rule"]: rule for rule in json.loads(done.stdout)["contracts"]}


def rows_of_smelt(smelt, folder, rules, table):
    """{rule: rows}, of rules of rows: those shown in each slice of ten rows."""
    found = {rule.name: [] for rule in rules if not rule.is_unique}
    for at in range(0, table.height, 10):
        table.slice(at, 10).write_parquet(folder / "slice.parquet")
        told = answers(smelt, "slice.parquet")
        for name, rows in found.items():
            shown = [example["n"] for example in told[name]["examples"]]
            assert len(shown) == told[name]["violations"], name
            rows.extend(shown)
    return found


# ---- the comparison ---------------------------------------------------------------------------


def shown_value(value):
    """As an example in JSON has it, which has no NaN and no infinity; of zeros any may stand for a group."""
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    return str(value) if isinstance(value, datetime.date) else value


def groups_of(table, columns):
    """(values, number of rows) of each value that comes more than once, in the order of their first rows."""
    found = {}
    for row in table[columns].rows():
        if None not in row:
            values = tuple(str(value + 0.0) if isinstance(value, float) else value for value in row)
            found[values] = (found.get(values, (row, 0))[0], found.get(values, (row, 0))[1] + 1)
    return [([shown_value(value) for value in row], count) for row, count in found.values() if count > 1]


def same_rows(smelt, folder, number):
    rng = random.Random(f"{SEED} {number}")
    table = make_table(rng)
    rules = [rule for column in TYPES for rule in of_column_rules(rng, column)] + of_table(rng)
    (folder / "c.yaml").write_text(contract_of(rules))
    path = folder / "t.parquet"
    table.write_parquet(path)
    # Its own copy: of a Parquet file it believes the least and the greatest value, which leave NaN out.
    db = duckdb.connect()
    db.execute(f"CREATE TABLE t AS FROM '{path}'")
    told, shown = answers(smelt, path), rows_of_smelt(smelt, folder, rules, table)
    for rule in rules:
        place = f"SMELT_SEED={SEED}, number {number}, rule {rule.name}\n{rule.yaml}\n{table.to_dicts()}"
        wanted = rows_of_duckdb(rule, db)
        assert rows_of_pandera(rule, table) == wanted, f"Pandera: {place}"
        if rule.name != "pair":
            patito = unique_of_patito if rule.is_unique else rows_of_patito
            assert patito(rule, table) == wanted, f"Patito: {place}"
        answer = told[rule.name]
        assert answer["violations"] == len(wanted), place
        if rule.is_unique:
            columns = rule.sql.split(", ")
            seen = [([shown_value(example[c]) for c in columns], example["count(*)"]) for example in answer["examples"]]
            assert seen == groups_of(table, columns)[:10], place
        else:
            assert shown[rule.name] == wanted, place
            assert [example["n"] for example in answer["examples"]] == wanted[:10], place


@pytest.mark.parametrize("number", range(CONTRACTS))
def test_the_same_rows_are_found(smelt, tmp_path, number):
    same_rows(smelt, tmp_path, number)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(CONTRACTS, CONTRACTS + SOAK_CONTRACTS))
def test_more_of_them(smelt, tmp_path, number):
    same_rows(smelt, tmp_path, number)
