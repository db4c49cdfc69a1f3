"""What the command line does if something is wrong: the place of the error, the nearest name, the
exit code, and nothing left behind."""
import csv
import io
import json
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import time

import pytest

from common import ROOT, wait_until_caught

BAD = b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n\n{"a":3,"b":}\n{"a":"four","b":"z"}\n{"a":5,"b":"w"}\n'
DECLARED = "columns => {a: 'BIGINT', b: 'VARCHAR'}"


@pytest.fixture
def bad(tmp_path):
    """Six lines: one blank, line 4 no JSON, line 5 of another type."""
    (tmp_path / "bad.ndjson").write_bytes(BAD)
    return "bad.ndjson"


@pytest.fixture
def good(tmp_path):
    rows = [{"id": n, "name": f"n{n}", "price": n / 4, "ok": n % 2 == 0} for n in range(100)]
    (tmp_path / "good.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "good.ndjson"


def error_of(smelt, *words, code=1, **kwargs):
    """stderr of a command that must fail with this code, saying nothing on stdout."""
    done = smelt(*words, check=False, **kwargs)
    assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    assert done.stdout == ""
    assert done.stderr.startswith("smelt: "), done.stderr
    assert "Sanitizer" not in done.stderr
    return done.stderr


# ---- names ------------------------------------------------------------------------------------


def test_a_column_that_is_none_has_place_and_nearest_name(smelt, good):
    told = error_of(smelt, "sql", f"SELECT id,\n       prise FROM '{good}'")
    assert '"prise"' in told
    assert "SQL:2:8" in told
    assert 'Did you mean "price"?' in told


def test_a_function_that_is_none(smelt, good):
    told = error_of(smelt, "sql", f"SELECT uper(name) FROM '{good}'")
    assert "uper" in told and "SQL:1:8" in told and "upper" in told


def test_a_table_that_is_none(smelt, lake):
    told = error_of(smelt, "sql", "FROM gold.nothing", "--lake", lake)
    assert "gold.nothing" in told


def test_a_table_gives_the_nearest_name(smelt, tmp_path, good):
    smelt("sql", f"FROM '{good}'", "-o", "rows.csv")
    told = error_of(smelt, "sql", f"WITH totals AS (FROM '{good}') SELECT * FROM total")
    assert '"total"' in told or "total" in told
    assert "totals" in told


def test_a_file_that_is_none(smelt):
    told = error_of(smelt, "sql", "FROM 'nowhere/none.ndjson'")
    assert "nowhere" in told


def test_a_glob_without_files(smelt, tmp_path):
    (tmp_path / "logs").mkdir()
    told = error_of(smelt, "sql", "SELECT count(*) FROM 'logs/*.json'")
    assert "logs/*.json" in told


def test_a_word_that_is_not_expected(smelt, good):
    told = error_of(smelt, "sql", f"SELECT id FORM '{good}'")
    assert "SQL:1:" in told
    told = error_of(smelt, "sql", "SELECT (1 + ")
    assert "SQL:1:" in told


def test_errors_of_a_file_of_sql_name_the_file(smelt, tmp_path, good):
    (tmp_path / "query.sql").write_text(f"SELECT id\nFROM '{good}'\nWHERE idd = 3\n")
    told = error_of(smelt, "sql", "-f", "query.sql")
    assert "query.sql:3:7" in told


# ---- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sql, words", [
    ("SELECT CAST('12x' AS BIGINT)", ["12x", "SQL:1:8"]),
    ("SELECT CAST('2022-02-30' AS DATE)", ["2022-02-30"]),
    ("SELECT 9223372036854775807 + 1", ["SQL:1:"]),
    ("SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)", []),
    ("SELECT 'a' + 1", ["SQL:1:"]),
    ("SELECT (SELECT x FROM (SELECT 1 AS x UNION ALL SELECT 2))", []),
])
def test_values_that_do_not_fit(smelt, sql, words):
    told = error_of(smelt, "sql", sql)
    assert all(word in told for word in words), told


# ---- lines ------------------------------------------------------------------------------------


def test_a_bad_line_is_an_error_with_its_place(smelt, bad):
    told = error_of(smelt, "sql", f"SELECT * FROM read_json('{bad}', {DECLARED})")
    assert f"{bad}:4:12" in told


def test_a_value_of_another_type_is_an_error_with_its_place(smelt, tmp_path):
    (tmp_path / "types.ndjson").write_text('{"a":1}\n{"a":"four"}\n')
    told = error_of(smelt, "sql", "SELECT a FROM read_json('types.ndjson', columns => {a: 'BIGINT'})")
    assert "types.ndjson:2:" in told
    assert '"a"' in told or " a" in told


def test_skipped_lines_are_counted_on_stderr(smelt, bad):
    done = smelt("sql", f"SELECT * FROM read_json('{bad}', {DECLARED}, bad_lines => 'skip') ORDER BY a",
                 "--format", "json")
    assert json.loads(done.stdout) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 5, "b": "w"}]
    assert "2 of 6 lines" in done.stderr


def test_only_columns_that_are_read_are_judged_unless_all(smelt, bad):
    def ask(more=""):
        return smelt("sql", f"SELECT b FROM read_json('{bad}', {DECLARED}, bad_lines => 'skip'{more}) "
                     "ORDER BY b", "--format", "json")
    read = ask()
    assert [row["b"] for row in json.loads(read.stdout)] == ["w", "x", "y", "z"]
    assert "1 of 6 lines" in read.stderr
    everything = ask(", validate => 'all'")
    assert [row["b"] for row in json.loads(everything.stdout)] == ["w", "x", "y"]
    assert "2 of 6 lines" in everything.stderr


@pytest.mark.parametrize("option, words", [
    ("bad_line => 'skip'", ["bad_line", "bad_lines"]),
    ("bad_lines => 'drop'", ["drop", "skip"]),
    ("columns => {a: 'BIGNT'}", ["BIGNT", "bigint"]),
    ("validate => 3", ["validate"]),
])
def test_options_of_read_json(smelt, bad, option, words):
    told = error_of(smelt, "sql", f"SELECT * FROM read_json('{bad}', {option})")
    assert all(word in told for word in words), told


@pytest.mark.parametrize("name, data", [
    ("cut.parquet", b"PAR1"), ("zero.parquet", b""), ("text.parquet", b"this is text, no Parquet file"),
    ("tail.parquet", b"PAR1" + b"\xff" * 60 + b"\xff\xff\xff\x7fPAR1"),
])
def test_a_damaged_parquet_file(smelt, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert name in error_of(smelt, "sql", f"SELECT * FROM '{name}'")


def test_a_damaged_compressed_log(smelt, tmp_path):
    import gzip

    whole = gzip.compress(b'{"a":1}\n' * 10_000)
    (tmp_path / "cut.json.gz").write_bytes(whole[:len(whole) // 2])
    told = error_of(smelt, "sql", "SELECT sum(a) FROM 'cut.json.gz'")
    assert f"cut.json.gz, byte {len(whole) // 2}" in told and "Copy the file again" in told


@pytest.mark.parametrize("broken, words", [
    ('{"commitInfo":{}}\n{"add":', []),
    ('{"protocol":{"minReaderVersion":9,"minWriterVersion":9}}\n', []),
])
def test_a_damaged_delta_log(smelt, tmp_path, broken, words):
    log = tmp_path / "t/_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text(broken)
    told = error_of(smelt, "sql", f"FROM delta_scan('{tmp_path}/t')")
    assert "/t" in told


# ---- usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, told", [
    (["sql", "SELECT 1", "--formt", "csv"], ["--formt", "--format"]),
    (["sql", "SELECT 1", "--format", "xml"], ["xml", "csv"]),
    (["sql", "SELECT 1", "--threads", "many"], ["--threads", "many"]),
    (["sql", "SELECT 1", "--threads", "0x"], ["--threads"]),
    (["sql", "SELECT 1", "--memory-limit", "12"], ["96"]),
    (["sql", "SELECT 1", "--memory-limit", "1PiBs"], ["1PiBs"]),
    (["sql", "SELECT 1", "SELECT 2"], ["argument"]),
    (["sql", "SELECT 1", "--var", "month"], ["K=V"]),
    (["sql", "SELECT 1", "--format", "parquet"], ["stdout"]),
    (["table", "shw", "."], ["shw"]),
    (["table", "show"], ["argument"]),
    (["generate", "cows", "x"], ["cows"]),
    (["generate", "logs", "x", "--month", "2022-13"], ["2022-13"]),
    (["generate", "logs", "x", "--damage", "2"], ["--damage"]),
    (["generate", "logs", "x", "--violations", "-0.1"], ["--violations"]),
    (["run"], ["argument"]),
])
def test_wrong_usage(smelt, words, told):
    stderr = error_of(smelt, *words, code=2)
    assert all(word in stderr for word in told), stderr


@pytest.mark.parametrize("command", ["run", "sql", "explain", "table", "check", "generate", "doctor"])
def test_help_is_an_answer(smelt, command):
    done = smelt(command, "--help")
    assert command in done.stdout
    assert done.stderr == ""


def test_a_nearest_command(smelt):
    assert "sql" in error_of(smelt, "sqll", "SELECT 1", code=2)


@pytest.mark.parametrize("words, code, told", [
    (["run", "folder"], 1, ["a folder stands where a file should be", "./folder", "YAML file"]),
    (["run", "folder/"], 1, ["a folder stands where a file should be", "./folder", "YAML file"]),
    (["run", "/"], 1, ["YAML file"]),
    (["run", "none.yaml"], 1, ["No such file", "./none.yaml", "YAML file"]),
    (["run", "empty.yaml"], 1, ["the pipeline is empty", "empty.yaml"]),
    (["run", "indent.yaml"], 1, ["indent.yaml:4:2"]),
    (["run", "good.ndjson"], 1, ["no key", "good.ndjson:1:"]),
    (["run", "."], 1, ["a folder stands where a file should be", "YAML file"]),
    (["run", "folder/.."], 1, ["a folder stands where a file should be", "YAML file"]),
    (["sql", "-f", "./"], 1, ["is empty"]),
    (["sql", "-f", ".."], 1, ["a folder stands where a file should be"]),
    (["sql", "-f", "folder"], 1, ["a folder stands where a file should be", "./folder"]),
    (["sql", "-f", "none.sql"], 1, ["No such file", "none.sql"]),
    (["sql", "-f", "empty.yaml"], 2, ["there is no query", "empty.yaml"]),
    (["sql", ""], 2, ["there is no query"]),
    (["sql", "FROM 'none'"], 1, ["there is no file or folder \"none\"", "SQL:1:6"]),
    (["sql", "FROM 'none.jsn'"], 1, ["there is no file or folder \"none.jsn\""]),
    (["sql", "FROM 'folder'"], 1, ["not a Delta table", "read_json"]),
    (["sql", "FROM 'folder/*.json'"], 1, ["folder/*.json"]),
    (["sql", "FROM read_json('pipe.json')"], 1, ["not a regular file", "pipe.json"]),
    (["sql", "SELECT 1 AS n", "-o", "folder/"], 2, ["does not say the format", "--format"]),
    (["sql", "SELECT 1 AS n", "-o", "folder.d/rows"], 2, ["does not say the format"]),
    (["sql", "SELECT 1 AS n", "-o", "rows.xls"], 2, ["no output format \"xls\""]),
    (["sql", "SELECT 1 AS n", "-o", "folder.csv"], 1, ["a folder of this name", "folder.csv"]),
    (["table", "show", "folder"], 1, ["no Delta table in folder", "_delta_log"]),
    (["generate", "logs", "good.ndjson"], 1, ["a file stands where a folder should be"]),
])
def test_what_a_new_user_gets_wrong(smelt, tmp_path, good, words, code, told):
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "indent.yaml").write_text("name: x\nvars:\n  a: {type: uri}\n bad\n")
    for folder in ("folder", "folder.d", "folder.csv"):
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    stderr = error_of(smelt, *words, code=code)
    assert all(word in stderr for word in told), stderr
    assert list(tmp_path.rglob(".smelt-tmp-*")) == []


# ---- formats ----------------------------------------------------------------------------------

ODD = """SELECT * FROM (VALUES
    (1, 'plain', 1.5, true, DATE '2022-04-01', NULL),
    (2, 'a,b', -0.25, false, DATE '1969-12-31', 'x'),
    (3, 'say "hi"', 1e300, true, DATE '0001-01-01', ''),
    (4, 'two
lines', 5e-324, NULL, DATE '9999-12-31', 'tab\t'),
    (5, '', 0.1, false, NULL, 'é漢😀'),
    (6, NULL, NULL, true, DATE '2000-02-29', '|pipe|')) AS t(id, s, x, flag, day, more)"""


def odd_rows():
    import duckdb

    relation = duckdb.sql(ODD)
    return relation.columns, [tuple(float(v) if n == "x" and v is not None else v
                                    for n, v in zip(relation.columns, row))
                              for row in relation.fetchall()]


def odd_in_smelt():
    return ODD.replace("1.5,", "CAST(1.5 AS DOUBLE),", 1)


@pytest.mark.parametrize("to_file", [False, True], ids=["stdout", "file"])
@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet"])
def test_formats_round_trip_through_duckdb(smelt, tmp_path, form, to_file):
    import duckdb

    if form == "parquet" and not to_file:
        assert "name a file with -o" in error_of(smelt, "sql", odd_in_smelt(), "--format",
                                                 form, code=2).lower()
        return
    out = tmp_path / f"out.{form}"
    words = ["-o", out] if to_file else ["--format", form]
    done = smelt("sql", odd_in_smelt(), *words)
    if to_file:
        assert done.stdout == ""
    else:
        out.write_text(done.stdout)
    kinds = "{id: 'BIGINT', s: 'VARCHAR', x: 'DOUBLE', flag: 'BOOLEAN', day: 'DATE', more: 'VARCHAR'}"
    read = {"csv": f"read_csv('{out}', header = true, columns = {kinds}, allow_quoted_nulls = false)",
            "json": f"read_json('{out}', format = 'array', columns = {kinds})",
            "ndjson": f"read_json('{out}', format = 'newline_delimited', columns = {kinds})",
            "parquet": f"read_parquet('{out}')"}[form]
    columns, rows = odd_rows()
    assert duckdb.sql(f"SELECT {', '.join(columns)} FROM {read} ORDER BY id").fetchall() == rows


def test_formats_round_trip_through_smelt(smelt, tmp_path):
    for form in ("ndjson", "parquet"):
        smelt("sql", odd_in_smelt(), "-o", f"one.{form}")
    typed = "{id: 'BIGINT', s: 'VARCHAR', x: 'DOUBLE', flag: 'BOOLEAN', day: 'DATE', more: 'VARCHAR'}"
    from_json = smelt.sql(f"SELECT * FROM read_json('one.ndjson', columns => {typed})")
    assert from_json == smelt.sql("SELECT * FROM 'one.parquet'") == smelt.sql(odd_in_smelt())


def test_markdown_and_table_are_for_people(smelt):
    lines = smelt("sql", odd_in_smelt(), "--format", "md").stdout.splitlines()
    assert lines[0] == "| id | s | x | flag | day | more |"
    assert lines[1] == "|---|---|---|---|---|---|"
    assert len(lines) == 8
    assert r"\|pipe\|" in lines[7]
    table = smelt("sql", odd_in_smelt(), "--format", "table").stdout
    assert "(6 rows)" in table and "two lines" in table


def test_csv_is_what_stdout_gets_and_csv_can_be_read(smelt):
    done = smelt("sql", odd_in_smelt())
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["id", "s", "x", "flag", "day", "more"]
    assert rows[3][1] == 'say "hi"' and rows[4][1] == "two\nlines"


def test_no_rows(smelt, good):
    sql = f"SELECT id, name FROM '{good}' WHERE id < 0"
    assert smelt("sql", sql, "--format", "csv").stdout == "id,name\n"
    assert json.loads(smelt("sql", sql, "--format", "json").stdout) == []
    assert smelt("sql", sql, "--format", "ndjson").stdout == ""


# ---- where it goes ----------------------------------------------------------------------------


def as_nobody():
    nobody = pwd.getpwnam("nobody")
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_folder_without_permission(smelt, tmp_path):
    import shutil
    import tempfile

    # A place that nobody may pass through: the folders of pytest are root's alone.
    with tempfile.TemporaryDirectory() as open_folder:
        os.chmod(open_folder, 0o755)
        program = pathlib.Path(shutil.copy2(smelt.path, open_folder))
        closed = pathlib.Path(open_folder) / "closed"
        closed.mkdir(mode=0o755)
        done = subprocess.run([program, "sql", "SELECT 1 AS x", "-o", closed / "out.csv"], timeout=60,
                              capture_output=True, text=True, preexec_fn=as_nobody, cwd=open_folder)
        assert done.returncode == 1, done.stderr
        assert "closed" in done.stderr and "ermission" in done.stderr
        assert list(closed.iterdir()) == []
        done = subprocess.run(
            [program, "generate", "logs", closed / "logs", "--days", "1", "--rows", "10"],
            capture_output=True, text=True, preexec_fn=as_nobody, cwd=open_folder, timeout=60)
        assert done.returncode == 1, done.stderr
        assert list(closed.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_nothing(smelt, small_disk, tmp_path):
    smelt("generate", "logs", "logs", "--days", 1, "--rows", 250_000)
    for name in ("out.csv", "out.parquet"):
        told = error_of(smelt, "sql", "SELECT _id FROM 'logs/*.json'", "-o", small_disk / name)
        assert "full" in told or "space" in told
        assert list(small_disk.iterdir()) == []


def test_a_full_disk_ends_a_run_and_the_lake_is_as_before(smelt, small_disk, tmp_path):
    import deltalake

    smelt("generate", "logs", "logs", "--days", 2, "--rows", 40_000)
    (tmp_path / "few").mkdir()
    first = sorted((tmp_path / "logs").glob("*.json"))[0]
    lines = first.read_bytes().splitlines(keepends=True)[:50]
    (tmp_path / "few/20220430.json").write_bytes(b"".join(lines))
    words = ["run", ROOT / "pipelines/customer360/delta.yaml", "--var", f"lake={small_disk}/lake",
             "--var", "month=2022-04"]
    smelt(*words, "--var", "logs=few")
    for day in sorted((tmp_path / "logs").glob("*.json")):
        (tmp_path / "few" / day.name).write_bytes(day.read_bytes())
    tables = ["bronze/viewing_log", "silver/customer_viewing", "gold/customer360"]
    before = [deltalake.DeltaTable(str(small_disk / "lake" / table)).version() for table in tables]
    told = error_of(smelt, *words, "--var", "logs=few")
    assert "full" in told or "space" in told
    after = [deltalake.DeltaTable(str(small_disk / "lake" / table)).version() for table in tables]
    assert after == before
    assert smelt.sql("SELECT count(*) AS n FROM bronze.viewing_log", "--lake", f"{small_disk}/lake") == [
        {"n": 50}]


def test_a_closed_pipe_is_no_crash(smelt, tmp_path):
    smelt("generate", "logs", "logs", "--days", 1, "--rows", 50_000)
    done = subprocess.run(f"'{smelt.path}' sql \"FROM 'logs/*.json'\" --format ndjson | head -1",
                          shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == 1
    assert "Sanitizer" not in done.stderr


@pytest.mark.parametrize("to, why", [("/dev/full", "No space left"), ("&-", "Bad file descriptor")])
def test_a_stdout_that_takes_nothing(smelt, tmp_path, to, why):
    for words in ("sql 'SELECT 1 AS n'", "table show .", "run --json none.yaml", "doctor", "--help"):
        done = subprocess.run(f"'{smelt.path}' {words} >{to}", shell=True, cwd=tmp_path, text=True,
                              stderr=subprocess.PIPE, timeout=60)
        assert done.returncode in (1, 2), words
        if words.startswith("sql"):
            assert f"could not write the result to stdout: {why}" in done.stderr


def test_a_pipe_is_written_into_and_not_replaced(smelt, tmp_path):
    """A device too, but no test makes one. A file takes the place of a file only."""
    os.mkfifo(tmp_path / "rows.csv")
    (tmp_path / "link.csv").symlink_to("rows.csv")
    for name in ("rows.csv", "link.csv"):
        with subprocess.Popen(["cat", name], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as reader:
            smelt("sql", "SELECT 1 AS n", "-o", name, timeout=60)
            assert reader.communicate(timeout=60)[0] == "n\n1\n"
    assert "a device or a pipe of this name" in error_of(
        smelt, "sql", "SELECT 1 AS n", "-o", f"file://{tmp_path}/rows.csv")
    assert stat.S_ISFIFO((tmp_path / "rows.csv").stat().st_mode)
    assert (tmp_path / "link.csv").is_symlink()
    (tmp_path / "folder.csv").mkdir()
    assert "a folder of this name" in error_of(smelt, "sql", "SELECT 1 AS n", "-o", "folder.csv")
    assert (tmp_path / "folder.csv").is_dir()


def test_closed_places_are_not_taken_by_files(smelt, tmp_path):
    """Else what is meant for stdout would go into the first file that is opened."""
    subprocess.run(f"'{smelt.path}' sql 'SELECT 1 AS n' -o rows.csv <&- >&- 2>&-", shell=True,
                   cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "rows.csv").read_text() == "n\n1\n"
    logs = f"'{smelt.path}' generate logs logs --days 2 --rows 10 <&- >&- 2>&-"
    subprocess.run(logs, shell=True, cwd=tmp_path, check=True, timeout=60)
    for path in (tmp_path / "logs").iterdir():
        assert len([json.loads(row) for row in path.read_text().splitlines()]) == 10


# ---- files that change ------------------------------------------------------------------------


def open_files(process):
    found = set()
    for handle in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            found.add(pathlib.Path(os.readlink(handle)))
        except FileNotFoundError:  # closed meanwhile
            pass
    return found


@pytest.mark.parametrize("n_files, bytes_each, when", [
    (300, 40_000, "when it was listed"),  # the last is not open for two seconds
    (1, 12_000_000, "when opened"),
])
def test_a_file_that_shrinks_while_it_is_read(smelt, tmp_path, n_files, bytes_each, when):
    """The wire is slow, and the last file is cut meanwhile: what happened is told."""
    row = '{"a":1,"s":"' + "x" * 100 + '"}\n'
    for n in range(n_files):
        (tmp_path / f"{n:03}.json").write_text(row * (bytes_each // len(row)))
    last = tmp_path / f"{n_files - 1:03}.json"
    process = subprocess.Popen(
        [smelt.path, "sql", "SELECT count(a) AS n FROM read_json('*.json', columns => {a: 'BIGINT'})"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SMELT_FAULT": "bytes_per_s=4000000"})
    first = tmp_path / "000.json"
    while process.poll() is None and first not in open_files(process):
        time.sleep(0.01)
    time.sleep(0.3)
    os.truncate(last, 20_000)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "the file shrank: it had " in told and when in told
    assert last.name in told and "when nobody writes to the file" in told


def appended(path):
    with path.open("a") as file:
        file.write('{"id":-1,"v":9}\n')


def replaced(path):
    other = path.with_suffix(".new")
    other.write_text(path.read_text().replace('"v":1', '"v":2'))  # of the same size
    other.rename(path)


def written_over(path):
    with path.open("r+") as file:
        file.write('{"id":0,"v":3')


@pytest.mark.parametrize("change", [appended, replaced, written_over, pathlib.Path.unlink])
def test_the_source_of_a_merge_that_changes_between_its_reads(smelt, tmp_path, change):
    """It is read several times over a slow wire, and changes meanwhile: the table stays as it was."""
    smelt("sql", "--write", "CREATE TABLE 't' AS SELECT 7::BIGINT AS id, 0 AS v", cwd=tmp_path)
    source = tmp_path / "source.json"
    source.write_text("".join(f'{{"id":{n},"v":1,"s":"{"x" * 100}"}}\n' for n in range(20_000)))
    before = all_files(tmp_path / "t")
    process = subprocess.Popen(
        [smelt.path, "sql", "--write", """MERGE INTO 't' t USING (FROM read_json('source.json',
            columns => {id: 'BIGINT', v: 'INTEGER'})) s ON t.id = s.id
            WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"""],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SMELT_FAULT": "bytes_per_s=3000000"})
    while process.poll() is None and source not in open_files(process):
        time.sleep(0.01)
    time.sleep(0.3)
    assert process.poll() is None
    change(source)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "source.json" in told
    if change is not pathlib.Path.unlink:  # else it cannot be opened again
        assert "has changed while it was read several times" in told and "nobody writes to the file" in told
    assert all_files(tmp_path / "t") == before


def interrupt_after(process, seconds, number=signal.SIGINT):
    wait_until_caught(process, number)
    time.sleep(seconds)
    process.send_signal(number)
    return process.wait(timeout=60)


def all_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def many_lines(smelt, tmp_path):
    smelt("generate", "logs", tmp_path / "logs", "--days", 4, "--rows", 100_000)
    return tmp_path / "logs"


# The wire is slow, so that the signal comes while the work is under way.
SLOW = {"SMELT_FAULT": "delay_ms=60,bytes_per_s=20000000"}


def test_an_interrupted_query_leaves_nothing(smelt, many_lines, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen([smelt.path, "sql", f"SELECT * FROM '{many_lines}/*.json'", "-o",
                                out / "rows.csv"], env={**os.environ, **SLOW}, stderr=subprocess.PIPE)
    code = interrupt_after(process, 0.5)
    assert code == 130, process.stderr.read()
    assert all_files(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing(smelt, many_lines, tmp_path, number):
    lake = tmp_path / "lake"
    words = [smelt.path, "run", ROOT / "pipelines/customer360/delta.yaml", "--var",
             f"logs={many_lines}", "--var", f"lake={lake}", "--var", "month=2022-04"]
    process = subprocess.Popen(words, env={**os.environ, **SLOW}, stderr=subprocess.PIPE)
    code = interrupt_after(process, 0.7, number)
    told = process.stderr.read().decode()
    assert code == 130, told
    assert "interrupted" in told and "othing was published" in told
    assert not lake.exists() or all_files(lake) == []


def test_an_interrupted_generator(smelt, tmp_path):
    process = subprocess.Popen([smelt.path, "generate", "logs", tmp_path / "logs", "--days", "30",
                                "--rows", "1000000"], stderr=subprocess.PIPE)
    code = interrupt_after(process, 0.3)
    assert code == 130, process.stderr.read()
    # Days that were finished are whole; of the one under way nothing is there.
    for path in (tmp_path / "logs").glob("*"):
        assert path.suffix == ".json" and path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("line, bad, query, limit", [
    (100, '{"a":"x"}', "SELECT a FROM read_json('f.json', columns => {a: 'BIGINT'})", 99),
    (150_000, '{"a":', "SELECT a FROM read_json('f.json', columns => {a: 'BIGINT'})", 149_999),
    (5_000, '{"a":1,"b":2}', "SELECT * FROM read_json('f.json', columns => {a: 'BIGINT'})", 4_999),
    (9_000, '{"a":"x"}', "SELECT CAST(a AS BIGINT) AS a FROM read_json('f.json', "
                         "columns => {a: 'VARCHAR'}) WHERE CAST(a AS BIGINT) >= 0", 8_999),
])
def test_a_bad_row_behind_a_limit_is_not_needed(smelt, tmp_path, threads, line, bad, query, limit):
    lines = [f'{{"a":{n}}}' for n in range(1, 200_000)]
    lines[line - 1] = bad
    (tmp_path / "f.json").write_text("\n".join(lines) + "\n")
    inner = "SELECT count(*) AS n, max(a) AS m FROM (" + query + " LIMIT %d)"
    done = smelt("sql", inner % limit, "--threads", threads, cwd=tmp_path)
    assert done.stdout == f"n,m\n{limit},{limit}\n"
    done = smelt("sql", f"{query} LIMIT 1 OFFSET {limit - 1}", "--threads", threads, cwd=tmp_path)
    assert done.stdout == f"a\n{limit}\n"
    if "*" not in query:  # an unknown key is no row's value
        done = smelt("sql", inner % (limit + 1), "--threads", threads, cwd=tmp_path, check=False)
        assert done.returncode == 1, done.stdout


def test_rows_of_empty_objects_are_counted(smelt, tmp_path):
    (tmp_path / "x.json").write_text("{}\n{}\n")
    assert smelt.sql("SELECT count(*) AS n FROM 'x.json'") == [{"n": 2}]
    assert smelt.sql("FROM read_json('x.json', columns => {a: 'BIGINT'})") == [{"a": None}] * 2
    for query in ("FROM 'x.json'", "SELECT DISTINCT * FROM 'x.json'", "SELECT 1 FROM (FROM 'x.json')"):
        told = error_of(smelt, "sql", query)
        assert "count(*) counts the rows" in told and "columns => {name: 'TYPE', …}" in told


def test_messages_name_what_is_so(smelt, tmp_path):
    (tmp_path / "empty.json").write_text("{}\n")
    (tmp_path / "case.json").write_text('{"userId":1,"userid":2}\n')
    (tmp_path / "lake/a/x/_delta_log").mkdir(parents=True)
    (tmp_path / "blank.json").write_text("\n \n")
    (tmp_path / "zeros.json").write_text('{"a":0123}\n')
    for sql, told, untold in [
        ("SELECT * FROM 'empty.json'", "has no columns", "needs FROM"),
        ("SELECT *", "* needs FROM", "no columns"),
        ("SELECT * FROM 'blank.json'", "Declare the columns, with columns =>", "mend"),
        ("SELECT * FROM 'zeros.json'", "mend the file, or declare the columns", "Mend the line"),
        ("SELECT USERID FROM 'case.json'", '"userId" or "userid"', "several tables"),
        ("SELECT * FROM a.x", 'the folder of "a.x"', "Did you mean"),
        ("SELECT u.a FROM (SELECT 1 AS a) t", 'no table or column "u"', 'mean "a"'),
    ]:
        done = smelt("sql", sql, cwd=tmp_path, check=False)
        assert done.returncode == 1, sql
        assert told in done.stderr and untold not in done.stderr, done.stderr
