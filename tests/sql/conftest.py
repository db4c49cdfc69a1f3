"""Runs the SQL cases. Each `*.test` file has blocks, and each block is one test.

    == query [unordered] [not duckdb: REASON]
    SQL
    ----
    the result as CSV: names, then rows; NULL is an empty field, an empty text is ""

    == error CODE [not duckdb: REASON]
    SQL
    ----
    lines, each of which must be in stderr

Lines before the first block say what the file is about. A blank line before the next block is not
a row. Queries run in tests/sql/data, with one thread and with three. Answers are written by hand.
DuckDB must give the same answer (or an error too), unless the block says why not: then smelt differs
on purpose, and docs/limits.md or docs/sql.md says so.
"""
import re

import pytest

from common import ROOT, Smelt, smelt_path

DATA = ROOT / "tests" / "sql" / "data"
HEAD = re.compile(r"== (query(?P<unordered> unordered)?|error (?P<code>\d+))"
                  r"( not duckdb: (?P<reason>.+))?$")


def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".test":
        return SqlFile.from_parent(parent, path=file_path)
    return None


class SqlFile(pytest.File):
    def collect(self):
        lines = self.path.read_text(encoding="utf-8").split("\n")
        starts = [n for n, line in enumerate(lines) if line.startswith("== ")]
        if not starts:
            raise ValueError(f"{self.path}: no block")
        for start, end in zip(starts, starts[1:] + [len(lines)]):
            head = HEAD.match(lines[start])
            if not head or "----" not in lines[start:end]:
                raise ValueError(f"{self.path}:{start + 1}: no block: {lines[start]}")
            cut = lines.index("----", start)
            wanted = lines[cut + 1:end]
            if wanted and wanted[-1] == "":
                wanted.pop()
            yield SqlCase.from_parent(self, name=f"line {start + 1}", line=start, head=head,
                                      sql="\n".join(lines[start + 1:cut]), wanted=wanted)


def csv_cell(text):
    if text is None:
        return ""
    if text and not re.search(r'[",\r\n]', text):
        return text
    return '"' + text.replace('"', '""') + '"'


def duckdb_answer(sql):
    """The result as CSV lines, or the error."""
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                        "file_search_path": str(DATA), "threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        relation = connection.sql(sql)
        names = relation.columns
        rows = relation.project(", ".join(f"#{n + 1}::VARCHAR" for n in range(len(names)))).fetchall()
    except duckdb.Error as error:
        return error
    return [",".join(map(csv_cell, row)) for row in [names, *rows]]


class Wrong(Exception):
    pass


class SqlCase(pytest.Item):
    def __init__(self, *, line, head, sql, wanted, **kwargs):
        super().__init__(**kwargs)
        self.line, self.head, self.sql, self.wanted = line, head, sql, wanted

    def order(self, lines):
        return lines[:1] + sorted(lines[1:]) if self.head["unordered"] else lines

    def runtest(self):
        if not self.head["reason"]:
            self.ask_duckdb()
        smelt = Smelt(smelt_path(), DATA)
        for threads in ("1", "3"):
            done = smelt("sql", self.sql, "--format", "csv", check=False,
                         env={"SMELT_THREADS": threads})
            self.judge(done, f"smelt with {threads} threads")

    def ask_duckdb(self):
        answer = duckdb_answer(self.sql)
        if self.head["code"]:
            if not isinstance(answer, Exception):
                raise Wrong(f"DuckDB does not refuse it:\n{chr(10).join(answer)}")
        elif isinstance(answer, Exception):
            raise Wrong(f"DuckDB refuses it: {answer}")
        else:
            self.compare(answer, "DuckDB")

    def judge(self, done, who):
        if not self.head["code"]:
            if done.returncode != 0:
                raise Wrong(f"{who}: exit code {done.returncode}\n{done.stderr}")
            self.compare(done.stdout.split("\n")[:-1], who)
            return
        if done.returncode != int(self.head["code"]):
            raise Wrong(f"{who}: exit code {done.returncode}, not {self.head['code']}\n{done.stderr}")
        missing = [line for line in self.wanted if line and line not in done.stderr]
        if missing or not self.wanted:
            raise Wrong(f"{who}: stderr lacks {missing}\n{done.stderr}")

    def compare(self, lines, who):
        if self.order(lines) != self.order(self.wanted):
            raise Wrong("\n".join([f"{who} gives", *lines, "not", *self.wanted]))

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, Wrong):
            return f"{self.sql}\n\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.line, f"{self.path.name}:{self.line + 1}"
