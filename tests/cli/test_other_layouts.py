"""Files with another layout than one object per line are refused as a whole, with their kind,
whatever bad_lines says. Files of broken lines are not."""
import bz2
import gzip
import json
import lzma
import re
import subprocess
import zipfile

import pytest

ROWS = [{"a": n, "s": {"t": "x"}} for n in range(3)]
ARRAY = "the file is one array, not one object a line"
OVER = "an object goes over several lines, where one line is one object"
BEHIND = "several objects stand in one line, where one line is one object"


def parquet(smelt, path):
    smelt("sql", "SELECT 1 AS a", "-o", path.with_suffix(".parquet"))
    return path.with_suffix(".parquet").read_bytes()


def zstd(data):
    """One frame of one raw block."""
    return (b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + (len(data) << 3 | 1).to_bytes(3, "little")
            + data)


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a.json", data)
    return path.read_bytes()


LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()

FOREIGN = {
    "array pretty": (json.dumps(ROWS, indent=1), ARRAY),
    "array a line each": ('[\n {"a":1},\n {"a":2}\n]\n', ARRAY),
    "array without its last LF": ('[\n {"a":1},\n {"a":2}\n]', ARRAY),
    "array in one line": (json.dumps(ROWS), ARRAY),
    "array behind blank lines": ("\n \n" + json.dumps(ROWS) + "\n\n", ARRAY),
    "array of numbers over lines": ("[\n1,\n2\n]", ARRAY),
    "array cut": ('[{"a":1},\n{"a":2},\n{"a":', ARRAY),
    "object pretty": (json.dumps(ROWS[0], indent=2), OVER),
    "objects pretty": ("\n".join(json.dumps(row, indent=2) for row in ROWS) + "\n", OVER),
    "object pretty and cut": ('{\n  "a": 1,\n  "b": ', OVER),
    "objects behind one another": ('{"a":1}{"a":2}{"a":3}\n', BEHIND),
    "pairs of objects": ('{"a":1} {"a":2}\n{"a":3}{"a":4}\n', BEHIND),
    "one object a comma": ('{"a":1},\n' * 200, "200 of 200 lines are no JSON objects: over 90%"),
    "text": ("[INFO] started\n" * 150 + '{"a":1}\n', "150 of 151 lines are no JSON objects: over 90%"),
    "CSV": ("a,b\n" + "1,2\n" * 99, "100 of 100 lines are no JSON objects: over 90%"),
    "gzip": (gzip.compress(LINES), "the file is gzip, not lines of UTF-8"),
    "zstd": (zstd(LINES), "the file is zstd, not lines of UTF-8"),
    "bzip2": (bz2.compress(LINES), "the file is bzip2, not lines of UTF-8"),
    "xz": (lzma.compress(LINES), "the file is xz, not lines of UTF-8"),
    **{f"{name}{' with a mark' * bool(mark)}": (
        (mark + LINES.decode()).encode(name), f"the file is {name[:6] if mark else name}, not")
       for name in ("UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE") for mark in ("", "\ufeff")},
}


@pytest.mark.parametrize("bad_lines", ["fail", "skip", "quarantine"])
@pytest.mark.parametrize("name", list(FOREIGN))
def test_another_layout_is_refused_as_a_whole(smelt, tmp_path, name, bad_lines):
    data, told = FOREIGN[name]
    by_share = "lines are no" in told
    if by_share and bad_lines == "fail":
        return  # its first line is the error
    (tmp_path / "x.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    for columns in ["columns => {a: 'BIGINT'}, "] + [""] * (not by_share):
        done = smelt("sql", f"SELECT count(a) FROM read_json('x.json', {columns}bad_lines => "
                     f"'{bad_lines}')", check=False)
        assert done.returncode == 1, done.stdout
        assert done.stderr.startswith(f"smelt: {told}"), done.stderr
        assert "x.json" in done.stderr.splitlines()[1]
        assert len(done.stderr.splitlines()) == 3, done.stderr


@pytest.mark.parametrize("name", ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "UTF-32BE"])
def test_what_the_advice_says_makes_another_encoding_readable(smelt, tmp_path, name):
    """Of logs, of SQL and of a pipeline: the words behind "as by" are those of a program."""
    pipeline = "name: x\nlake: lake\nvars: {lake: {type: uri, default: lake}}\ntasks: [{table: a.b, sql: x.sql}]\n"
    texts = {"x.json": LINES.decode(), "x.sql": "SELECT 'ü' AS u\n", "x.yaml": pipeline}
    commands = {"x.json": ["sql", "SELECT count(*) AS n FROM 'x.json'"], "x.sql": ["sql", "-f", "x.sql"],
                "x.yaml": ["run", "x.yaml"]}
    for file, text in texts.items():
        (tmp_path / file).write_bytes(text.encode(name))
        done = smelt(*commands[file], check=False)
        assert done.returncode == 1 and f"is {name}, not" in done.stderr and file in done.stderr, done.stderr
        told = re.search(r"as by (iconv -f \S+ -t UTF-8)\.", done.stderr)[1]
        read = subprocess.run(told.split(), input=text.encode(name), stdout=subprocess.PIPE, check=True)
        (tmp_path / file).write_bytes(read.stdout)
        smelt(*commands[file])


def test_another_encoding_within_a_compression(smelt, tmp_path):
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(LINES.decode().encode("utf-16")))
    done = smelt("sql", "FROM 'x.json.gz'", check=False)
    assert "the file is UTF-16 within its compression" in done.stderr
    assert "Unpack it first, and write it as UTF-8, as by iconv -f UTF-16 -t UTF-8." in done.stderr


def test_a_mark_before_sql_and_a_pipeline(smelt, tmp_path):
    """EF BB BF: some editors write it at the start of each file."""
    mark = "\ufeff"
    (tmp_path / "x.sql").write_text(mark + "SELECT 'ü' AS u")
    (tmp_path / "x.yaml").write_text(mark + "name: x\nlake: lake\nvars: {lake: {type: uri, default: lake}}\n"
                                     "tasks: [{table: a.b, sql: x.sql}]\n")
    assert smelt("sql", "-f", "x.sql").stdout == "u\nü\n"
    with open(tmp_path / "x.sql") as query:
        assert smelt("sql", stdin=query).stdout == "u\nü\n"
    assert smelt("sql", mark + "SELECT 1 AS a").stdout == "a\n1\n"
    assert "u" in smelt("explain", "-f", "x.sql").stdout
    smelt("run", "x.yaml")
    assert smelt.sql("FROM a.b") == [{"u": "ü"}]
    done = smelt("sql", mark + "SELECT 1,\n  FROM 'x", check=False)
    assert "SQL:2:8" in done.stderr


def test_other_files_by_what_they_are(smelt, tmp_path):
    (tmp_path / "p.json").write_bytes(parquet(smelt, tmp_path / "p"))
    (tmp_path / "z.json").write_bytes(zipped(tmp_path / "z.zip", LINES))
    (tmp_path / "twice.json.gz").write_bytes(gzip.compress(gzip.compress(LINES)))
    for name, told in [("p.json", "the file is Parquet"), ("z.json", "the file is zip"),
                       ("twice.json.gz", "the file is gzip within its compression")]:
        done = smelt("sql", f"SELECT * FROM read_json('{name}', bad_lines => 'skip')", check=False)
        assert done.returncode == 1 and told in done.stderr and name in done.stderr


@pytest.mark.parametrize("data, kept, lines", [
    ('[{"a":1}]\n', 0, 1),                       # a list where an object should be
    ('[{"a":1},{"a":2}]\n{"a":3}\n', 1, 2),
    ("[1,2\n" + '{"a":3}\n', 1, 2),              # cut
    ('{"a":1}{"a":2}\n{"a":3}\n', 1, 2),         # two lines that lost their LF
    ('{"a":1}{"a":2}\n', 0, 1),
    ('{"a":1,\n{"a":2}\n', 1, 2),
    ('{"a":\n{"a":2}\n{"a":3}\n', 2, 3),
    ('{"a":[\n{"a":2}\n{"a":3}', 2, 3),
    ('{"a":1,"b\n{"a":2}\n', 1, 2),
    ("[INFO] started\n" + '{"a":2}\n', 1, 2),
    ("no JSON\n" * 99, 0, 99),                   # few lines say nothing
    ("no JSON\n" * 90 + '{"a":2}\n' * 10, 10, 100),
    ('{"a":"x"}\n' * 200, 0, 200),               # objects, of another type
    ('{"_index":"x",\n\n', 0, 2),                 # cut, and all that there is
    ('{"a":1,\n"b":', 0, 2),
    ('{\n \n\n', 0, 3),
    ('{"a":1}\n\n', 1, 2),
    ("\xff{\n".encode("latin-1").decode("latin-1") + '{"a":2}\n', 1, 2),
])
def test_broken_lines_are_lines(smelt, tmp_path, data, kept, lines):
    (tmp_path / "x.json").write_bytes(data.encode("latin-1"))
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(data.encode("latin-1")))
    for name in ["x.json", "x.json.gz"]:
        done = smelt("sql", f"SELECT count(*) AS n FROM read_json('{name}', columns => {{a: 'BIGINT'}}, "
                     "bad_lines => 'skip', validate => 'all')", "--format", "json")
        assert json.loads(done.stdout) == [{"n": kept}]
        bad = lines - kept - sum(not line.strip() for line in data.split("\n")[:-1])
        told = f"smelt: {bad} of {lines} lines could not be read"
        assert told in done.stderr if bad else not done.stderr, done.stderr


def test_a_pipeline_stops_at_another_layout_and_keeps_its_tables(smelt, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "p.yaml").write_text(
        "name: t\nvars: {logs: {type: uri, default: ./logs}, lake: {type: uri, default: ./lake}}\n"
        "lake: lake\nsources: [{name: logs, quarantine: bad.q}]\n"
        "tasks: [{load: raw.l, from: logs, sql: l.sql, by: day}]\n")
    (tmp_path / "l.sql").write_text(
        "SELECT a, file_date AS day FROM read_json(var('logs'), columns => {a: 'BIGINT'}, file_date "
        "=> true, bad_lines => 'quarantine', validate => 'all')")
    (logs / "20240101.json").write_text('{"a":1}\nthis is no JSON\n')
    smelt("run", "p.yaml")
    (logs / "20240102.json").write_text('[\n {"a":1},\n {"a":2}\n]\n')
    done = smelt("run", "p.yaml", check=False)
    assert done.returncode == 1 and ARRAY in done.stderr and "20240102.json" in done.stderr
    assert smelt.sql("SELECT count(*) AS n FROM raw.l") == [{"n": 1}]
    assert smelt.sql("SELECT count(*) AS n FROM bad.q") == [{"n": 1}]


def test_a_large_file_of_another_layout(smelt, tmp_path):
    """More than the reader has at hand, compressed too."""
    rows = [{"a": n, "text": "x" * 900} for n in range(5_000)]
    for name, data in [("one.json", json.dumps(rows)), ("over.json", json.dumps(rows, indent=1)),
                       ("pretty.json", json.dumps({"rows": rows}, indent=1))]:
        (tmp_path / name).write_text(data)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data.encode(), 1))
        for file in (name, f"{name}.gz"):
            done = smelt("sql", f"SELECT count(*) FROM read_json('{file}', columns => {{a: 'BIGINT'}}, "
                         "bad_lines => 'skip')", check=False)
            assert done.returncode == 1, file
            assert (OVER if name == "pretty.json" else ARRAY) in done.stderr
