"""Runs every example of the documentation: a page that is wrong fails.

In README.md, CONTRIBUTING.md and docs/*.md

    ```sh              is run by bash in a scratch folder; all blocks of a page use the same folder
    ```sh exit 2       the same, and must end with that code (else 0)
    ```text            right after it: the expected stdout and stderr. A line `...` stands for any
                       lines, `...` within a line for any text
    ```text about      the same, but every time and size (12.6 GB, 1.70) matches any other, and a
                       space any number of spaces; whole numbers must be equal
    ```yaml, ```sql    are written to files, each beginning with a line `# NAME.yaml` or `-- NAME.sql`
    an indented block  is not run

The scratch folder looks like a clone after `make start` (build/smelt, pipelines/, tools/start,
./logs, ./lake). tools/start itself has run in it, with nothing to install and to build.
"""
import os
import re
import shutil
import stat
import subprocess

import pytest

import clickhouse
import s3
from common import ROOT, smelt_path

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<info>.*)\n(?P<body>(?:.*\n)*?)```[ \t]*$", re.M)
FILE_HEAD = re.compile(r"^(?:#|--) ([\w.-]+\.(?:yaml|sql))$", re.M)
TIMEOUT_S = 300


# ---- pages --------------------------------------------------------------------------------------


class Block:
    def __init__(self, language, exit_code, body, line):
        self.language = language
        self.exit_code = exit_code
        self.body = body
        self.line = line
        self.wanted = None  # the text that must come out, where the page shows it
        self.is_about = False


def blocks_of(text):
    """The fenced blocks of a page; a text block becomes what the sh block before it must print."""
    found, end = [], 0
    for match in FENCE.finditer(text):
        info = match["info"].split()
        language = info[0] if info else ""
        is_behind = not text[end:match.start()].strip()
        end = match.end()
        if language == "text" and found and found[-1].language == "sh" and is_behind:
            found[-1].wanted = match["body"]
            found[-1].is_about = info[1:2] == ["about"]
            continue
        exit_code = int(info[2]) if info[1:2] == ["exit"] else 0
        found.append(Block(language, exit_code, match["body"],
                           text.count("\n", 0, match.start()) + 1))
    return found


MEASURED = re.compile(r"\d[\d,]*(?:\.\d+)? (?:B|KB|MB|GB|s|ms)\b|\d[\d,]*\.\d+")


def measured_away(text):
    """Times and sizes all alike, and one space for many."""
    text = MEASURED.sub(lambda m: "0 " + m[0].split(" ")[1][-1] if " " in m[0] else "0.0", text)
    return re.sub(r"[ \t]+", " ", text)


def line_pattern(line):
    return ".*".join(re.escape(part) for part in line.split("..."))


def is_printed(wanted, got, is_about=False):
    """Is `got` what the page shows? `...` alone on a line is any lines, within one any text."""
    if is_about:
        wanted, got = measured_away(wanted), measured_away(got)
    pattern = ""
    for line in wanted.rstrip("\n").split("\n"):
        pattern += r"(?:.*\n)*" if line == "..." else line_pattern(line.rstrip()) + r"[ \t]*\n"
    return re.fullmatch(pattern, got.rstrip("\n") + "\n") is not None


def write_files(block, folder):
    heads = list(FILE_HEAD.finditer(block.body))
    for head, after in zip(heads, [*heads[1:], None]):
        end = after.start() if after else len(block.body)
        (folder / head[1]).write_text(block.body[head.start():end], encoding="utf-8")


def run_page(text, folder, environment):
    """Runs a page's blocks in order; the first that does not hold, as (line, what), else None."""
    for block in blocks_of(text):
        if block.language in ("yaml", "sql"):
            write_files(block, folder)
        if block.language != "sh":
            continue
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", block.body], cwd=folder,
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        if done.returncode != block.exit_code:
            return block.line, (f"exit code {done.returncode}, not {block.exit_code}:\n{block.body}"
                                f"\n{done.stdout}")
        if block.wanted is not None and not is_printed(
                block.wanted, done.stdout, block.is_about):
            return block.line, (f"prints something else:\n{block.body}\n--- the page\n{block.wanted}"
                                f"--- the program\n{done.stdout}")
    return None


# ---- the scratch folder -------------------------------------------------------------------------


def environment():
    """That of a user who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMELT_")}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def make_clone(folder):
    """What a clone has that examples use; installing and building are done already."""
    (folder / "build").mkdir(parents=True)
    (folder / "tools").mkdir()
    (folder / "build" / "smelt").symlink_to(smelt_path())
    shutil.copytree(ROOT / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns(".smelt"))
    for name in ("start", "services"):
        shutil.copy(ROOT / "tools" / name, folder / "tools" / name)
    setup = folder / "tools" / "setup"
    setup.write_text("#!/bin/sh\n")
    setup.chmod(setup.stat().st_mode | stat.S_IXUSR)
    (folder / "Makefile").write_text(".PHONY: start build\nstart: ; @tools/start\nbuild: ; @true\n")


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """A clone in which `make start` has run."""
    folder = tmp_path_factory.mktemp("docs") / "clone"
    make_clone(folder)
    subprocess.run(["make", "start"], cwd=folder, env=environment(), check=True,
                   capture_output=True, timeout=TIMEOUT_S)
    return folder


@pytest.fixture
def clone(started, tmp_path):
    """A page's own: logs are shared, since examples only read them; the lake is a copy."""
    folder = tmp_path / "clone"
    make_clone(folder)
    (folder / "logs").symlink_to(started / "logs")
    shutil.copytree(started / "lake", folder / "lake")
    return folder


@pytest.fixture
def s3_environment(tmp_path):
    """A server with the bucket that the page names."""
    s3.require()
    server = s3.Server("minio", tmp_path / "s3" / "data")
    server.make_bucket("lake")
    yield server.env
    server.stop()


@pytest.fixture
def clickhouse_environment(s3_environment, clone, tmp_path):
    """That, with the sample tables in the bucket, and a ClickHouse."""
    clickhouse.require()
    subprocess.run(["build/smelt", "run", "pipelines/customer360/direct.yaml", "--var", "logs=./logs",
                    "--var", "lake=s3://lake/tables", "--var", "month=2022-04"], cwd=clone,
                   env={**environment(), **s3_environment}, check=True, capture_output=True)
    server = clickhouse.ClickHouse(tmp_path / "clickhouse")
    yield {**s3_environment, "CLICKHOUSE": f"{server.url}/default"}
    server.stop()


# Pages whose examples need more than the program.
SERVERS = {"s3.md": "s3_environment", "clickhouse.md": "clickhouse_environment"}


# ---- the tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of(page, request, tmp_path):
    text = page.read_text(encoding="utf-8")
    if not any(block.language == "sh" for block in blocks_of(text)):
        return
    if "make start" in text and page.name == "README.md":
        folder = tmp_path / "clone"
        make_clone(folder)  # the README starts from nothing
    else:
        folder = request.getfixturevalue("clone")
    extra = request.getfixturevalue(SERVERS[page.name]) if page.name in SERVERS else {}
    wrong = run_page(text, folder, {**environment(), **extra})
    assert wrong is None, f"{page.relative_to(ROOT)}:{wrong[0]}: {wrong[1]}"


def test_every_option_stands_in_the_page_of_commands(smelt):
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    commands = re.findall(r"^SM_COMMAND\((\w+)\)", (ROOT / "src/cli/commands.def").read_text(), re.M)
    assert commands
    for command in commands:
        assert re.search(rf"^## {command}$", text, re.M), f"docs/cli.md has no part ## {command}"
        section = text.split(f"\n## {command}\n")[1].split("\n## ")[0]
        own, shared = smelt(command, "--help").stdout.split("\nFor every command\n")
        for where, options in ((section, own.partition("\nOptions\n")[2]), (text, shared)):
            for option in re.findall(r"(?<!\S)--[\w-]+", "\n".join(
                    line[:26] for line in options.splitlines())):
                assert f"`{option}" in where, f"docs/cli.md, {command}: {option} is not there"


def test_every_argument_of_table_functions_stands_in_the_page_of_sql():
    text = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    source = (ROOT / "src/table/table_function.c").read_text(encoding="utf-8")
    names = re.findall(r'\{"(\w+)", set_\w+\}', source)
    assert len(names) >= 6
    for file in sorted((ROOT / "src/format").glob("*.c")):
        if not file.name.endswith("_test.c"):
            names += re.findall(r'\{"(\w+)", SM_OPT_\w+,', file.read_text(encoding="utf-8"))
    for name in names:
        assert f"`{name}`" in text, f"docs/sql.md says nothing of {name}"


# ---- the runner itself: a page that lies must fail ----------------------------------------------

TRUE_PAGE = "```sh\necho one; echo two 3.14 s\n```\n\n```text\none\ntwo ... s\n```\n"


WHOLE = {
    "a pipeline": ["name: p", "vars: {f: {type: uri}, lake: {type: uri}}", "lake: lake",
                   "tasks: [{view: a.b, sql: q.sql}]"],
    "a source": ["name: f", "match: x"],
    "load": ["load: a.b", "from: f", "sql: q.sql", "by: day", "evolve: add"],
    "table": ["table: a.b", "sql: q.sql", "merge: {key: k}"],
    "cluster": ["cluster: a.b", "by: k", "curve: hilbert"],
    "merge": ["key: k", "update_when: k > 1"],
    "scd2": ["key: k", "missing: keep"],
}
REQUIRED = {"a pipeline": {"name", "lake", "tasks"}, "a source": {"name"}, "load": {"from", "sql", "by"},
            "table": {"sql"}, "cluster": {"by"}, "merge": {"key"}, "scd2": {"key"}}


def keys_of_pages(page, head):
    """{key: what the column "without it" says} of the tables that begin with this head."""
    found = {}
    for rows in re.findall(rf"^\| {head} \|[^\n]*\n\|[-|]+\n((?:\|.*\n)+)", page, re.M):
        for row in rows.splitlines():
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            for key in re.findall(r"`(\w+)`", cells[0]):
                found.setdefault(key, []).append(cells[-2])
    return found


def test_every_key_of_a_pipeline_stands_in_its_page():
    """And no other: the tables have the keys of the reader of pipeline files, section by section."""
    source = (ROOT / "src/flow/flow_yaml.c").read_text(encoding="utf-8")
    page = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
    read = {}
    table = re.search(r"\} task_keys\[N_TASK_KEYS\] = \{(.*?)\n\};", source, re.S)
    read["task"] = set(re.findall(r'= \{"(\w+)"', table[1]))
    for what in ("root", "var", "source", "merge", "scd2"):
        function = source[source.index(f"static sm_status read_{what}("):]
        keys = re.search(r"keys\[\] = \{(.*?)\}", function, re.S)
        read[what] = set(re.findall(r'"(\w+)"', keys[1]))
    sections = {name: page[page.index(f"### {name}\n"):] for name in ("vars", "sources", "tasks")}
    kinds = set(re.findall(r"^\| `(\w+)` \|", sections["tasks"].split("and\n\n")[0], re.M))
    told = {"root": keys_of_pages(page[:page.index("### vars")], "key"),
            "var": keys_of_pages(sections["vars"].split("### conn")[0], "key"),
            "source": keys_of_pages(sections["sources"].split("### tasks")[0], "key"),
            "task": kinds | set(keys_of_pages(sections["tasks"], "key \\| of \\| without it")),
            "merge": keys_of_pages(page, "key of `merge`"), "scd2": keys_of_pages(page, "key of `scd2`")}
    assert {what: set(keys) for what, keys in told.items()} == read


@pytest.mark.parametrize("what", WHOLE)
def test_keys_that_are_required(smelt, tmp_path, what):
    """A pipeline without one of them is an error, without another it is none."""
    page = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
    (tmp_path / "q.sql").write_text("SELECT 1 AS k")
    for key in [line.split(":")[0] for line in WHOLE[what]]:
        if key == what:
            continue
        own = [line for line in WHOLE[what] if line.split(":")[0] != key]
        parts = {name: "{" + ", ".join(own if name == what else lines) + "}" for name, lines in WHOLE.items()}
        root = own if what == "a pipeline" else WHOLE["a pipeline"]
        text = "\n".join(root) + "\n"
        if what == "a source":
            text += f"sources: [{parts['a source']}]\n"
        elif what in ("load", "table", "cluster"):
            text = text.replace("[{", f"[{parts[what]}, {{").replace("view: a.b", "view: a.c")
            text += "sources: [{name: f}]\n"
        elif what in ("merge", "scd2"):
            text = text.replace("view: a.b", "table: a.b")
            text = text.replace("q.sql}", f"q.sql, {what}: {parts[what]}}}")
        (tmp_path / "p.yaml").write_text(text)
        told = smelt("run", "p.yaml", "--var", "f=.", "--var", "lake=./lake", check=False).stderr
        is_missed = bool(re.search(rf" has no {key}\b|has no key\n", told))
        assert is_missed == (key in REQUIRED[what]), (text, told)
    section = {"a pipeline": "## Keys", "a source": "### sources"}.get(what, "### tasks")
    for key in REQUIRED[what]:
        head = f"key of `{what}`" if what in ("merge", "scd2") else "key"
        assert "required" in keys_of_pages(page[page.index(section):], head)[key], key


@pytest.mark.parametrize("text, line", [
    (TRUE_PAGE, None),
    ("```sh\nseq 9\n```\n```text\n1\n...\n9\n```\n", None),
    ("```sh exit 3\nexit 3\n```\n", None),
    ("```sql\n-- a.sql\nSELECT 1\n```\n```sh\ncat a.sql\n```\n```text\n-- a.sql\nSELECT 1\n```\n", None),
    ("    false\n", None),
    ("```sh\necho 5 rows, 9.71 GB  0.1 s\n```\n```text about\n5 rows, 12 MB 1.5 s\n```\n", None),
    ("```sh\necho 5 rows, 9.71 GB\n```\n```text about\n6 rows, 9.71 GB\n```\n", 1),
    ("```sh\necho 5 rows, 9.71 GB\n```\n```text\n5 rows, 9.70 GB\n```\n", 1),
    (TRUE_PAGE.replace("one\n", "eins\n"), 1),
    (TRUE_PAGE.replace("one\ntwo", "two"), 1),
    ("words\n\n```sh\nfalse\n```\n", 3),
    ("```sh\nfalse | cat\n```\n", 1),
    ("```sh exit 1\ntrue\n```\n", 1),
    ("```sh\nseq 9\n```\n```text\n1\n...\n8\n```\n", 1),
    ("```sh\necho a.c\n```\n```text\na?c\n```\n", 1),
    ("```sh\ntrue\n```\nand\n```text\nfree text\n```\n", None),
], ids=range(16))
def test_a_page_that_lies_fails(text, line, tmp_path):
    wrong = run_page(text, tmp_path, environment())
    assert (wrong[0] if wrong else None) == line
