"""What the Python tests share: the root of the tree, and the program to test."""
import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def smelt_path():
    return pathlib.Path(os.environ.get("SMELT_BIN", ROOT / "build" / "smelt")).resolve()


class Smelt:
    """The program under test: smelt("sql", "SELECT 1") gives a CompletedProcess with text output."""

    def __init__(self, path, cwd):
        self.path = path
        self.cwd = cwd

    def __call__(self, *args, check=True, env=None, cwd=None, timeout=120, **kwargs):
        """check: fail the test, with stderr in the report, where the exit code is not 0."""
        command = [str(self.path), *map(str, args)]
        done = subprocess.run(command, cwd=cwd or self.cwd, env={**os.environ, **(env or {})},
                              timeout=timeout, capture_output=True, text=True, **kwargs)
        if check and done.returncode != 0:
            import pytest  # not at the head: the bench has these servers too, and no pytest

            pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return done

    def json(self, *args, **kwargs):
        """The one JSON value that the command prints."""
        return json.loads(self(*args, **kwargs).stdout)

    def sql(self, text, *args, **kwargs):
        """The rows of a query, as a list of dicts."""
        return self.json("sql", text, "--format", "json", *args, **kwargs)


def wait_until_caught(process, number):
    """Until the program has its own handler of the signal: before, the signal ends it without a word, and
    how long that takes depends on the machine."""
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as lines:
            caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
        if caught >> number - 1 & 1:
            return
        time.sleep(0.002)


def ten_rows(first):
    rows = ", ".join(f"({i}, 'some text {i}')" for i in range(first, first + 10))
    return f"SELECT id, s FROM (VALUES {rows}) v(id, s)"


def twelve_versions(smelt, folder):
    """Makes folder/t: twelve versions with a file of 10 rows each, and a checkpoint of version 10."""
    smelt("sql", "--write", f"CREATE TABLE 't' AS {ten_rows(0)}", cwd=folder)
    for n in range(1, 12):
        smelt("sql", "--write", f"INSERT INTO 't' {ten_rows(n * 10)}", cwd=folder)
    assert (folder / f"t/_delta_log/{10:020}.checkpoint.parquet").exists()
    return folder / "t"


LOAD_DAYS = """\
name: days
vars:
  lake: {type: uri}
  in: {type: uri}
lake: lake
sources:
  - name: in
tasks:
  - load: raw.t
    from: in
    sql: t.sql
    by: day
"""


def load_days(smelt, lake, rows, check=True):
    """Loads rows of id and amount into raw.t, as the next day of a folder beside the lake."""
    folder = lake.parent / "in"
    folder.mkdir(exist_ok=True)
    name = f"202204{len(list(folder.iterdir())) + 1:02}.json"
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (lake.parent / "days.yaml").write_text(LOAD_DAYS)
    (lake.parent / "t.sql").write_text(
        "SELECT id, amount, file_date AS day FROM read_json(var('in'), columns => "
        "{id: 'BIGINT', amount: 'BIGINT'}, file_date => true)")
    return smelt("run", lake.parent / "days.yaml", "--var", f"lake={lake}", "--var",
                 f"in={folder}", check=check)
