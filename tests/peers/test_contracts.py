"""Generated tables and contracts: `smelt check` must count the rows that DuckDB counts, with SQL that is
written here from what each rule means.

A failure prints the seed. SMELT_SEED=N runs the same tables again; SMELT_CONTRACTS (50) is their number.
"""
import json
import os
import random
import textwrap

import duckdb
import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
CONTRACTS = int(os.environ.get("SMELT_CONTRACTS", "50"))

TYPES = {"i": "BIGINT", "j": "INTEGER", "f": "DOUBLE", "m": "DECIMAL(12,2)", "s": "VARCHAR", "d": "DATE"}
LOGICAL = {"i": "integer", "j": "integer", "f": "number", "m": "number", "s": "string", "d": "date"}
WORDS = ["", "a", "ab", "Abc", "A1", "abcdef", "éé", "2022-04-01", "2022-02-30", "x y", "N/A"]


# ---- tables -----------------------------------------------------------------------------------


def random_value(rng, column, n_values):
    if rng.random() < 0.1:
        return "NULL"
    n = rng.randrange(-3, n_values)
    return {
        "i": str(n), "j": str(n * 5), "m": f"{n * 5}.{rng.choice(['00', '05', '17'])}",
        "f": rng.choice([str(n / 4), str(n), "'nan'", "'inf'", "'-inf'", "-0.0"]),
        "s": "'" + rng.choice(WORDS) + "'", "d": f"DATE '2022-04-01' + {n}",
    }[column]


def make_table(rng, db, path):
    """A Parquet file, and the table t in DuckDB with the same rows."""
    n_rows = rng.choice([0, 1, 7, 200, 3000])
    n_values = rng.choice([3, 40, 10_000])
    db.execute("CREATE OR REPLACE TABLE t (" + ", ".join(f"{c} {t}" for c, t in TYPES.items()) + ")")
    rows = ["(" + ", ".join(f"CAST({random_value(rng, c, n_values)} AS {t})" for c, t in TYPES.items()) + ")"
            for _ in range(n_rows)]
    for at in range(0, len(rows), 500):
        db.execute("INSERT INTO t VALUES " + ", ".join(rows[at:at + 500]))
    db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return n_rows


def make_other(rng, db, path):
    """The table that references are to."""
    db.execute("CREATE OR REPLACE TABLE other (i BIGINT, s VARCHAR)")
    for _ in range(rng.choice([0, 1, 30])):
        db.execute(f"INSERT INTO other VALUES (CAST({random_value(rng, 'i', 30)} AS BIGINT), "
                   f"{random_value(rng, 's', 30)})")
    db.execute(f"COPY other TO '{path}' (FORMAT parquet)")


# ---- rules: YAML, and the SQL that counts the rows that break it --------------------------------


def where(condition):
    return f"SELECT count(*) FROM t WHERE NOT ({condition})"


def duplicates(columns):
    keys = ", ".join(columns)
    present = " AND ".join(f"{c} IS NOT NULL" for c in columns)
    return (f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM t WHERE {present} "
            f"GROUP BY {keys}) WHERE n > 1")


def bound_rules(rng, c):
    value = {"i": "3", "j": "25", "f": "0.75", "m": "10.05", "d": "2022-04-04"}[c]
    sql = f"CAST('{value}' AS {TYPES[c]})"
    quoted = f"'{value}'" if c == "d" else value
    word, op = rng.choice([("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="),
                           ("exclusiveMaximum", "<")])
    not_nan = f" AND ({c} IS NULL OR NOT isnan({c}))" if c == "f" else ""
    return f"logicalTypeOptions: {{{word}: {quoted}}}", where(f"{c} {op} {sql}{not_nan}")


def text_rules(rng):
    return rng.choice([
        ("logicalTypeOptions: {minLength: 2}", where("length(s) >= 2")),
        ("logicalTypeOptions: {maxLength: 2}", where("length(s) <= 2")),
        ("logicalTypeOptions: {pattern: '^[A-Z][a-z0-9]+$'}", where("regexp_matches(s, '^[A-Z][a-z0-9]+$')")),
        ("logicalTypeOptions: {pattern: b}", where("regexp_matches(s, 'b')")),
        ("logicalTypeOptions: {format: date}",
         where("regexp_full_match(s, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND "
               "(s IS NULL OR TRY_CAST(s AS DATE) IS NOT NULL)")),
        ("quality: [{metric: invalidValues, arguments: {validValues: [a, ab, null, N/A]}, mustBe: 0}]",
         where("s IN ('a', 'ab', 'N/A')")),
        ("quality: [{metric: missingValues, arguments: {missingValues: [null, '', N/A]}, mustBe: 0}]",
         where("s IS NOT NULL AND s NOT IN ('', 'N/A')")),
    ])


def number_rules(rng, c):
    return rng.choice([
        bound_rules(rng, c), bound_rules(rng, c),
        {"i": ("logicalTypeOptions: {multipleOf: 3}", where("i % 3 = 0")),
         "j": ("logicalTypeOptions: {format: u8}", where("j >= 0 AND j <= 255")),
         "m": ("logicalTypeOptions: {multipleOf: 0.05}", where("m % 0.05 = 0")),
         "f": ("quality: [{metric: invalidValues, arguments: {validValues: [0, 0.5, 1]}, mustBe: 0}]",
               where("f IN (0, 0.5, 1)"))}[c],
    ])


def column_rule(rng, c):
    return rng.choice([
        ("required: true", where(f"{c} IS NOT NULL")),
        ("quality: [{metric: nullValues, unit: percent, mustBeLessThan: 10}]", where(f"{c} IS NOT NULL")),
        ("unique: true", duplicates([c])),
        text_rules(rng) if c == "s" else bound_rules(rng, c) if c == "d" else number_rules(rng, c),
        text_rules(rng) if c == "s" else bound_rules(rng, c) if c == "d" else number_rules(rng, c),
        *([(f"relationships: [{{to: other.{c}}}]",
            f"SELECT count(*) FROM t WHERE {c} IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM other WHERE other.{c} = t.{c})")] * 2 if c in "is" else []),
    ])


def table_rules(rng):
    """(YAML, SQL) for a few rules of the table; the first names of each kind are by its number."""
    a, b = rng.sample(sorted(TYPES), 2)
    key = rng.choice(["s", "d", "i"])
    custom = "type: custom, engine: smelt, implementation"
    all_of_them = [
        (f"{{metric: duplicateValues, arguments: {{properties: [{a}, {b}]}}, mustBe: 0}}", duplicates([a, b])),
        (f"{{{custom}: i * 5 >= j OR s = 'a'}}", where("i * 5 >= j OR s = 'a'")),
        (f"{{{custom}: \"length(s) < 3 AND d > DATE '2022-04-02'\"}}",
         where("length(s) < 3 AND d > DATE '2022-04-02'")),
        (f"{{{custom}: {{groupBy: [{key}], check: sum(m) > 20 AND count(*) < 40}}}}",
         f"SELECT count(*) FROM (SELECT sum(m) > 20 AND count(*) < 40 AS ok FROM t GROUP BY {key}) WHERE NOT ok"),
        (f"{{{custom}: {{groupBy: [s, d], check: min(i) = max(i)}}}}",
         "SELECT count(*) FROM (SELECT min(i) = max(i) AS ok FROM t GROUP BY s, d) WHERE NOT ok"),
        ("{metric: rowCount, mustBeGreaterThan: 7}", "SELECT (count(*) <= 7)::INT FROM t"),
        ("{type: sql, query: 'SELECT max(i) FROM {object}', mustBeLessThan: 30}",
         "SELECT (NOT coalesce(max(i) < 30, false))::INT FROM t"),
    ]
    return rng.sample(all_of_them, rng.randrange(0, 5))


def make_contract(rng):
    """The YAML, and for each rule, in the order of smelt's answer by name, its name and SQL."""
    out, wanted = [], []
    for c in TYPES:
        yaml, sql = column_rule(rng, c)
        out.append(f"- name: {c}\n  logicalType: {LOGICAL[c]}\n  {yaml}")
        wanted.append(sql)
    rules = table_rules(rng)
    quality = "".join(f"\n      - {{name: r{i}, {yaml[1:]}" for i, (yaml, _) in enumerate(rules))
    wanted += [sql for _, sql in rules]
    return ("apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\nschema:\n"
            "  - name: t\n    properties:\n" + textwrap.indent("\n".join(out), "      ") + "\n" +
            (f"    quality:{quality}\n" if rules else "")), wanted


# ---- the comparison ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(CONTRACTS))
def test_the_same_rows_are_found(smelt, tmp_path, number):
    rng = random.Random(f"{SEED} {number}")
    db = duckdb.connect()
    n_rows = make_table(rng, db, tmp_path / "t.parquet")
    make_other(rng, db, tmp_path / "other.parquet")
    text, wanted = make_contract(rng)
    (tmp_path / "c.yaml").write_text(text)
    done = smelt("check", "c.yaml", "t.parquet", "--json", check=False)
    place = f"SMELT_SEED={SEED}, number {number}\n{text}\n{done.stderr}"
    assert done.returncode in (0, 3), place
    told = json.loads(done.stdout)
    assert told["rows"] == n_rows, place
    found = [rule["violations"] for rule in told["contracts"]]
    assert found == [db.execute(sql).fetchone()[0] for sql in wanted], place
    failed = any(rule["outcome"] == "failed" for rule in told["contracts"])
    assert done.returncode == (3 if failed else 0), place
