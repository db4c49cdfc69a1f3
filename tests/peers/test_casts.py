"""Every cast: smelt against DuckDB, over all pairs of types and the values at their edges.

Values are compared as text. A cast that fails is a NULL of TRY_CAST in both, and so is one that
does not exist. Where smelt differs on purpose, the pair and the value are in DIFFERENCES with the
reason, and docs/sql.md says so. A value there that no longer differs fails the test.
"""
import csv
import io
import json
import os
import random

import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))

INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
UNSIGNED = {"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64}
DECIMALS = ["DECIMAL(4,0)", "DECIMAL(4,1)", "DECIMAL(4,4)", "DECIMAL(9,2)", "DECIMAL(18,0)",
            "DECIMAL(18,9)", "DECIMAL(19,0)", "DECIMAL(38,0)", "DECIMAL(38,10)", "DECIMAL(38,38)"]
TIMES = ["DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"]
TYPES = ["BOOLEAN", *INTEGERS, *UNSIGNED, "FLOAT", "DOUBLE", *DECIMALS, "VARCHAR", "BLOB", *TIMES]

FLOATS = ["0", "-0.0", "0.4", "0.5", "-0.5", "0.05", "1.5", "2.5", "-2.5", "3.5", "0.25", "0.35", "1.005",
          "2.675", "999.95", "9999.4", "9999.5", "99999.995", "126.5", "127.5", "127.4", "-128.5", "-128.4",
          "254.5", "255.5", "32767.5", "65535.5", "2147483647.5", "-2147483648.5", "4294967295.5",
          "8388609", "16777217", "4503599627370495.5", "9007199254740993", "9223372036854774784",
          "9223372036854775807", "-9223372036854775808", "18446744073709549568", "18446744073709551615",
          "1e10", "1e15", "1e18", "1e19", "1e20", "1e22", "1e23", "1e37", "9.9e37", "1e38", "1.7e38", "3.4e38",
          "3.5e38", "1e39", "1e300", "1e-5", "5e-5", "1e-10", "5e-39", "1e-300", "inf", "-inf", "nan",
          "0.1", "0.2", "0.3", "123456789.123456789", "1e-38"]
TEXTS = ["", " ", "0", "1", "-1", "+1", " 1 ", "01", "1.", ".5", "-.5", "0.4", "0.5", "1.5", "2.5", "-1.5", "-0.4",
         "127", "128", "127.4", "127.5", "-128.5", "255", "255.5", "256", "32768", "65536", "2147483648",
         "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
         "18446744073709551615", "18446744073709551616", "9223372036854775807.5",
         "99999999999999999999999999999999999999", "100000000000000000000000000000000000000",
         "1e3", "1E3", "1e", "e3", "1e-1", "5e-1", "15e-1", "1e40", "1e400", "-1e400", "1e-400", "1e38", "1e-10",
         "0.00005", "0.99995", "0.9999", "9999.4", "9999.5", "9999.95", "999.95", "0x10", "0b11", "1 000", "1,5",
         "--1", "1-", "1_000", "a", "true", "True", "TRUE", "t", "f", "yes", "no", "y", "n", "on", "off", "false ",
         "inf", "-inf", "Infinity", "+inf", "nan", "NaN", "-nan", "null", "NULL", "\\x41", "\\x4", "é", "a\\x00b",
         "0.1", "1.7976931348623157e308", "1.7976931348623159e308", "3.4028235e38", "3.4028236e38",
         "3.5e38", "4.9e-324", "2e-324", "1e-45", "16777217", "16777217.0000000001", "7.038531e-26", "9007199254740993",
         "9007199254740992.9999999999999999999", "0.1000000000000000055511151231257827",
         "2026-04-29", "2026-4-9", "2026/04/29", "2026-02-30", "2026-13-01", "20260429", "0044-03-15 (BC)",
         "-44-03-15", "10000-01-01", "5881580-07-10", "5881580-07-11", "infinity", "-infinity", "epoch",
         "2026-04-29T14:38", "2026-04-29 14:38:00", "2026-04-29T14:38:00Z", "2026-04-29T14:38:00+02:00",
         "2026-04-29T14:38:00+0200", "2026-04-29T14:38:00-02", "2026-04-29 14:38:00 UTC",
         "2026-04-29 14:38:00 +02:00", "2026-04-29 14:38:00.1234567", "2026-04-29 24:00:00",
         "2026-04-29 24:00:01", "2026-04-29 14:38:00z", "294247-01-10 04:00:54.775806",
         "294247-01-10 04:00:54.775807", "290309-12-22 (BC) 00:00:00", "14:38", "14:38:00", "14:38:00.5",
         "1:2:3", "24:00:00", "24:00:01", "14:38:00+02", "14:60"]


def whole(bits, is_signed):
    top = 2 ** (bits - 1) if is_signed else 2 ** bits
    edges = [0, 1, 2, 9, 10, 99, 9999, 10000, 16777217, 2 ** 53 + 1, 2 ** 53 + 2 ** 29 + 1, 2 ** 24 + 1, 999999999999999999, 10 ** 18]
    for other in (7, 8, 15, 16, 31, 32, 63):
        edges += [2 ** other - 1, 2 ** other]
    edges += [top - 1, *([-1, -9999, -10000, -129, -2 ** 31, -2 ** 53 - 1, -top] if is_signed else [])]
    low = -top if is_signed else 0
    return [str(n) for n in dict.fromkeys(edges) if low <= n < top]


def decimals(kind):
    width, scale = map(int, kind[8:-1].split(","))
    units = [0, 1, 4, 5, 6, 15, 25, 49, 50, 51, 149, 150, 250, 1275, 2555, 10 ** width - 1,
             10 ** width // 2, 5 * 10 ** scale // 10, 15 * 10 ** scale // 10, 25 * 10 ** scale // 10,
             9007199254740993, 2 ** 53 + 2 ** 29 + 1, 123456789012345678, 167772170000000001, 36893488147419103233, 2 ** 63, 2 ** 64,
             170141183460469231731687303715884105727 // 7, 10 ** 37 + 1, 33554433,
             1275 * 10 ** scale // 10, 1285 * 10 ** scale // 10, 2555 * 10 ** scale // 10,
             9223372036854775807 * 10 ** scale + 5 * 10 ** scale // 10, 18446744073709551615 * 10 ** scale]
    out = []
    for unit in dict.fromkeys(n for n in units if n < 10 ** width):
        digits = str(unit).rjust(scale + 1, "0")
        text = digits[:-scale] + "." + digits[-scale:] if scale else digits
        out += [text, "-" + text]
    return out


def values_of(kind):
    if kind in INTEGERS or kind in UNSIGNED:
        return whole({**INTEGERS, **UNSIGNED}[kind], kind in INTEGERS)
    if kind.startswith("DECIMAL"):
        return decimals(kind)
    return {
        "BOOLEAN": ["true", "false"], "FLOAT": FLOATS, "DOUBLE": FLOATS, "VARCHAR": TEXTS,
        "BLOB": ["", "abc", "\\x00\\xFF", "1", "true", "2026-04-29"],
        "DATE": ["1970-01-01", "1969-12-31", "2026-04-29", "0045-03-15 (BC)", "10000-01-01", "294247-01-10",
                 "294247-01-11", "290309-12-22 (BC)", "290309-12-21 (BC)", "5881580-07-10",
                 "5877642-06-25 (BC)", "infinity", "-infinity"],
        "TIME": ["00:00:00", "14:38:00.5", "24:00:00", "23:59:59.999999"],
        "TIMESTAMP": ["1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2026-04-29 14:38:00.123456",
                      "0045-03-15 (BC) 01:02:03", "294247-01-10 04:00:54.775806",
                      "290309-12-22 (BC) 00:00:00", "infinity", "-infinity"],
        "TIMESTAMPTZ": ["1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2026-04-29 14:38:00.123456+02",
                        "0045-03-15 (BC) 01:02:03", "infinity", "-infinity"],
    }[kind]


# An exponent in a text for a DECIMAL without digits before the point: DuckDB refuses all, smelt reads it.
EXPONENTS = {"1e-1", "5e-1", "1e-400", "1e-10", "4.9e-324", "2e-324", "1e-45", "7.038531e-26"}
# 2^53 + 2^29 + 1 to FLOAT: DuckDB rounds to a DOUBLE first where the DECIMAL has more than 18 digits.
TWICE_ROUNDED = {"9007199791611905", "-9007199791611905"}
DIFFERENCES = {
    # true is 1, which these have no room for; DuckDB gives the smallest step of the type
    ("BOOLEAN", "DECIMAL(4,4)"): {"true"},
    ("BOOLEAN", "DECIMAL(38,38)"): {"true"},
    ("DECIMAL(19,0)", "FLOAT"): TWICE_ROUNDED,
    ("DECIMAL(38,0)", "FLOAT"): TWICE_ROUNDED,
    ("VARCHAR", "DECIMAL(4,4)"): EXPONENTS,
    ("VARCHAR", "DECIMAL(38,38)"): EXPONENTS,
    # nan has no sign
    ("VARCHAR", "FLOAT"): {"-nan"},
    ("VARCHAR", "DOUBLE"): {"-nan"},
    # an offset behind a space is one
    ("VARCHAR", "TIMESTAMPTZ"): {"2026-04-29 14:38:00 +02:00"},
}


def source(kind):
    rows = ", ".join("('" + text.replace("'", "''") + f"'::{kind})" for text in values_of(kind))
    return f"(VALUES {rows}) AS t(x)"


def shown(kind):
    """FLOAT is compared by value: its text is another in DuckDB (docs/sql.md)."""
    cast = f"TRY_CAST(x AS {kind})"
    return f"{cast}::DOUBLE::VARCHAR" if kind == "FLOAT" else f"{cast}::VARCHAR"


@pytest.mark.parametrize("kind", TYPES)
def test_casts(smelt, kind):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    texts = values_of(kind)
    items = ", ".join(f"coalesce({shown(to)}, '<NULL>')" for to in TYPES)
    sql = f"SELECT {items} FROM {source(kind)}"
    wanted = connection.execute(sql).fetchall()
    got = list(csv.reader(io.StringIO(smelt("sql", sql, "--format", "csv").stdout)))[1:]
    assert len(got) == len(wanted) == len(texts)
    wrong, needed = [], set()
    for text, want, have in zip(texts, wanted, got):
        for to, value, mine in zip(TYPES, want, have):
            if value == mine:
                continue
            if text in DIFFERENCES.get((kind, to), ()):
                needed.add((to, text))
            else:
                wrong.append(f"{kind} {text!r} -> {to}: DuckDB {value}, smelt {mine}")
    listed = {(to, text) for (of, to), known in DIFFERENCES.items() if of == kind for text in known}
    assert listed == needed, f"these are no differences: {listed - needed}"
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


@pytest.mark.parametrize("kind", TIMES)
def test_read_json_means_what_a_cast_does(smelt, tmp_path, kind):
    """A time in a log is the time that CAST reads; what is none is refused by both."""
    texts = [text for text in TEXTS if text.isascii()]
    lines = [json.dumps({"n": n, "t": text}) for n, text in enumerate(texts)]
    (tmp_path / "times.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    read = smelt.sql(f"SELECT n, t::VARCHAR AS t FROM read_json('times.ndjson', "
                     f"columns => {{n: 'BIGINT', t: '{kind}'}}, bad_lines => 'skip') ORDER BY n")
    cast = smelt.sql(f"SELECT n, TRY_CAST(t AS {kind})::VARCHAR AS t FROM read_json('times.ndjson', "
                     f"columns => {{n: 'BIGINT', t: 'VARCHAR'}}) WHERE TRY_CAST(t AS {kind}) IS NOT NULL ORDER BY n")
    assert read == cast
    assert len(read) > 10


def random_times(rng, n):
    """Texts that are times, and those with a few bytes changed, which mostly are none."""
    texts = [text for text in TEXTS if text.isascii() and ("-" in text or ":" in text)]
    out = set()
    while len(out) < n:
        text = rng.choice(texts)
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            at = rng.randrange(len(text) + 1)
            byte = rng.choice("0123456789-/:. TZ+()BCU")
            text = rng.choice([text[:at] + byte + text[at:], text[:at] + text[at + 1:], text[:at] + byte + text[at + 1:]])
        out.add(text)
    return sorted(out)


@pytest.mark.parametrize("kind", TIMES)
def test_random_times_mean_the_same_where_both_read_them(smelt, tmp_path, kind):
    """DuckDB passes over much that stands behind a clock; what both take for a time must be the same."""
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    texts = random_times(random.Random(SEED), 1000)
    (tmp_path / "t.ndjson").write_text("".join(json.dumps({"n": n, "t": t}) + "\n" for n, t in enumerate(texts)))
    got = [row["v"] for row in smelt.sql(
        f"SELECT TRY_CAST(t AS {kind})::VARCHAR AS v FROM read_json('t.ndjson', "
        "columns => {n: 'BIGINT', t: 'VARCHAR'}) ORDER BY n")]
    wanted = []
    for text in texts:
        try:
            wanted.append(connection.execute(f"SELECT TRY_CAST(? AS {kind})::VARCHAR", [text]).fetchone()[0])
        except duckdb.Error:  # a zone that it does not know fails even here
            wanted.append(None)
    wrong = [(text, want, have) for text, want, have in zip(texts, wanted, got)
             if want is not None and have is not None and want != have]
    both = sum(want is not None and have is not None for want, have in zip(wanted, got))
    assert not wrong, f"SMELT_SEED={SEED}: {wrong[:10]}"
    assert both > 40, f"SMELT_SEED={SEED}"
