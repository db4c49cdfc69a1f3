"""Tables with the values at the edges of every type. A peer reads them with a filter, and reads all
rows and filters them afterwards. A difference shows that it skipped a file by wrong statistics.

The files of a table hold each value alone, each with a NULL, neighbours together, all values, and
only NULL, so that every value is once the smallest and once the largest of a file.
"""
import json

WORDS = ["", "a", "A", "z" * 40, "z" * 32, "é" * 33, "\U0010ffff" * 33, "\uffff" * 33, "\U0001f600",
         "'\"\\", "a\nb", "\x7f" * 33]
NUMBERS = ["0", "1", "-1", "0.1", "-0.1", "16777217", "1e30", "-1e30", "nan", "inf", "-inf", "-0.0"]
MOMENTS = ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00",
           "1969-12-31 23:59:59.0005", "2022-04-01 17:05:00.123456", "2022-04-01 17:05:00.1234",
           "2022-04-01 17:05:00.124", "9999-12-31 23:59:59.999", "9999-12-31 23:59:59.999999"]


def integers(bits):
    return [str(n) for n in (0, 1, -1, 2 ** (bits - 1) - 1, 2 ** (bits - 1) - 2, -2 ** (bits - 1))]


def decimals(precision, scale):
    """The greatest, the least, and what a double does not tell apart from its neighbours."""
    digits = "123456789012345678901234567890123456789"
    point = precision - scale
    texts = ["9" * precision, "9" * (precision - 1) + "8", digits[:precision],
             digits[:precision - 1] + "0", "1".zfill(precision), "0".zfill(precision)]
    texts = [text[:point] + ("." + text[point:] if scale else "") for text in texts]
    return texts + ["-" + text for text in texts[:-1]]


# name -> SQL's type, the values as text
KINDS = {
    "boolean": ("BOOLEAN", ["true", "false"]),
    "tinyint": ("TINYINT", integers(8)),
    "smallint": ("SMALLINT", integers(16)),
    "integer": ("INTEGER", integers(32)),
    "bigint": ("BIGINT", integers(64) + [str(2**53 + 1), str(-2**53 - 1), str(2**53)]),
    "float": ("FLOAT", NUMBERS + ["3.4028234663852886e38", "1.401298464324817e-45"]),
    "double": ("DOUBLE", NUMBERS + ["1.7976931348623157e308", "5e-324"]),
    "decimal_9_2": ("DECIMAL(9,2)", decimals(9, 2)),
    "decimal_18_2": ("DECIMAL(18,2)", decimals(18, 2)),
    "decimal_18_0": ("DECIMAL(18,0)", decimals(18, 0)),
    "decimal_38_10": ("DECIMAL(38,10)", decimals(38, 10)),
    "decimal_38_38": ("DECIMAL(38,38)", decimals(38, 38)),
    "varchar": ("VARCHAR", WORDS),
    "date": ("DATE", ["0001-01-01", "1582-10-15", "1899-12-31", "2300-01-01", "9999-12-31"]),
    "recent_date": ("DATE", ["1900-01-01", "1969-12-31", "1970-01-01", "2022-04-01", "2299-12-31"]),
    "timestamp": ("TIMESTAMP", MOMENTS),
    "timestamptz": ("TIMESTAMPTZ", MOMENTS),
}
# Delta has no bounds of these: name -> the type in JSON, SQL's, the values, filters.
WITHOUT_BOUNDS = {
    "blob": ("VARCHAR", "BLOB", ["a", "b", "c"], ["x = CAST('a' AS {blob})", "x IS NULL"]),
    "struct": ("STRUCT(a BIGINT)", "STRUCT(a BIGINT)", [{"a": 1}, {"a": 2}, {"a": 3}],
               ["x.a = 1", "x.a > 2", "x.a IS NULL", "x IS NULL"]),
}

PIPELINE = """name: edges
vars:
  lake: {type: uri}
  in: {type: uri}
lake: lake
sources:
  - name: in
    quarantine: bad.lines
tasks:
  - load: edge.values
    from: in
    sql: values.sql
    by: day
"""


def files_of(values):
    """The rows of each file."""
    singles = [[value] for value in values]
    with_null = [[None, value] for value in values]
    pairs = [list(pair) for pair in zip(values, values[1:])]
    return singles + with_null + pairs + [values, values + [None], [None, None]]


def load(program, folder, given, kind, values):
    """A table of id, x and day by one load: a source file a data file, for their dates differ. The
    values stand in the first rows, in their order."""
    (folder / "in").mkdir(parents=True)
    n_rows = 0
    for i, rows in enumerate(files_of(values)):
        lines = [json.dumps({"id": n_rows + k, "x": value}) for k, value in enumerate(rows)]
        n_rows += len(rows)
        name = f"{2000 + i // 28}01{1 + i % 28:02}.json"
        (folder / "in" / name).write_text("\n".join(lines) + "\n")
    (folder / "edges.yaml").write_text(PIPELINE)
    (folder / "values.sql").write_text(
        f"SELECT id, CAST(x AS {kind}) AS x, file_date AS day FROM read_json(var('in'), "
        f"columns => {{id: 'BIGINT', x: '{given}'}}, file_date => true, bad_lines => 'quarantine', "
        "validate => 'all')")
    report = program.json("run", folder / "edges.yaml", "--var", f"lake={folder}/lake", "--var",
                          f"in={folder}/in", "--json")
    assert report["lines"]["kept"] == n_rows
    return folder / "lake/edge/values"


def make_table(program, folder, name):
    if name in WITHOUT_BOUNDS:
        return load(program, folder, *WITHOUT_BOUNDS[name][:3])
    return load(program, folder, "VARCHAR", *KINDS[name])


def few_predicates(literals):
    """As SQL, one a filter: one of each kind that statistics are asked in."""
    yield "x IS NULL"
    yield "x IS NOT NULL"
    for literal in literals:
        for operator in ("=", "<", ">="):
            yield f"x {operator} {literal}"


def predicates(literals):
    """The same, and all others."""
    yield from few_predicates(literals)
    for i, literal in enumerate(literals):
        other = literals[(i + 1) % len(literals)]
        for operator in ("<>", "<=", ">"):
            yield f"x {operator} {literal}"
        yield f"x IN ({literal}, {other})"
        yield f"x BETWEEN {literal} AND {other}"


def wrong_filters(query, table, filters):
    """The filters by which a peer finds other rows than by looking at all: query(sql) gives rows."""
    filters = list(filters)
    looked = query("SELECT id, " + ", ".join(f"({one}) AS p{i}" for i, one in enumerate(filters))
                   + f" FROM {table}")
    assert len(looked) > 5
    found = query(" UNION ALL ".join(
        f"SELECT {i} AS k, id FROM {table} WHERE {one}" for i, one in enumerate(filters)))
    by_filter = [set() for _ in filters]
    for k, row in found:
        by_filter[k].add(row)
    wanted = [{row[0] for row in looked if row[1 + i]} for i in range(len(filters))]
    return [(one, sorted(by_filter[i]), sorted(wanted[i]))
            for i, one in enumerate(filters) if by_filter[i] != wanted[i]]
