"""Each check of tools/lint can fail: a good tree passes it, and the tree with one mistake does not."""
import pathlib
import shutil
import subprocess
import sys

import pytest

from common import ROOT

LINT = ROOT / "tools" / "lint"

STATUS = """\
SM_STATUS(OK,   0, 0, 200, false, "ok")
"""
FUNCTIONS = """\
SM_FN("<", "(T, T) -> bool", fn_less, SMI_STRICT | SMI_PURE, smi_bind_compare, NULL,
      "Less than; a | b.", "1 < 2", "true")
SM_AGG("sum", "(N) -> N", agg_sum, smi_bind_sum,
      "The sum.", "sum(x)", "5")
"""
GOOD = {
    "src/base/status.def": STATUS,
    "src/query/function/functions.def": FUNCTIONS,
    "src/base/status.h": "/* a door */\nint sm_status(void);\n",
    "src/base/status.c": '#include "base/status.h"\n\nint sm_status(void)\n{\n    SM_ASSERT(1);\n'
                         '    return 0;\n}\n',
    "src/base/base_int.h": "int smi_base(void);\n",
    "src/store/store.h": '#include "base/status.h"\n\nstatic_assert(1, "one");\n'
                         '/* One. */\nint sm_store(void);\n',
    "src/store/local/local.h": "int smi_local(void);\n",
    "src/delta/delta.h": '#include "store/store.h"\n',
    "ARCHITECTURE.md": "Start at `sm_status()`.\n\n| `sm_status()` | `status.c` | fails |\n",
    "tools/saw": "saws\n",
    "tools/README.md": "| file | what it does |\n|---|---|\n| `saw` | cuts |\n",
    "src/delta/delta.c": '#include "delta/delta.h"\n\n#include <stdio.h>\n\nstatic_assert(1, "one");\n',
}


def make_tree(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / ".clang-format", folder)
    (folder / "docs").mkdir(exist_ok=True)
    if "docs/errors.md" not in files:
        page = subprocess.run([sys.executable, ROOT / "tools" / "errors", "--root", folder],
                              capture_output=True, text=True, check=True).stdout
        (folder / "docs/errors.md").write_text(page)
    if "src/query/function/functions.def" in files:
        make_sql_page(folder)


def make_sql_page(folder):
    """docs/sql.md as FUNCTIONS makes it, whatever the tree's own table says."""
    table = folder / "src/query/function/functions.def"
    text, page = table.read_text(), folder / "docs/sql.md"
    table.write_text(FUNCTIONS)
    page.write_text("# SQL\n\n<!-- functions: made from src/query/function/functions.def by `make "
                    "docs`; do not edit -->\n<!-- /functions -->\n\nThe end.\n")
    made = subprocess.run([sys.executable, ROOT / "tools" / "functions", "--root", folder],
                          capture_output=True, text=True, check=True).stdout
    page.write_text(made)
    table.write_text(text)


def lint(folder, *checks):
    return subprocess.run([sys.executable, LINT, "--root", folder, *checks], capture_output=True,
                          text=True)


def function(n_lines):
    return "int sm_long(int a)\n{\n" + "    a++;\n" * (n_lines - 3) + "}\n"


# check, the file with the mistake, its text, the finding's place, words of the finding
BAD = [
    ("format", "src/delta/bad.c", "int  a;\n", "src/delta/bad.c:1", "make fmt"),
    ("format", "src/delta/bad.c", "/* " + "x" * 100 + " */\n", "src/delta/bad.c:1", "106 columns"),
    ("rooms", "src/store/bad.c", '\n#include "delta/delta.h"\n', "src/store/bad.c:2",
     "store includes delta, a room after it"),
    ("rooms", "src/delta/bad.c", '#include "base/base_int.h"\n', "src/delta/bad.c:1",
     "never leaves its room"),
    ("rooms", "src/delta/bad.c", '#include "store/local/local.h"\n', "src/delta/bad.c:1",
     "not the door of store"),
    ("rooms", "src/delta/bad.c", '#include "store/nothing.h"\n', "src/delta/bad.c:1",
     "does not exist"),
    ("rooms", "src/delta/bad.c", '#include "attic/attic.h"\n', "src/delta/bad.c:1", "is no room"),
    ("rooms", "src/delta/bad.c", '#include "store.h"\n', "src/delta/bad.c:1", "not beside the file"),
    ("rooms", "src/delta/bad.c", '#include "smelt.h"\n', "src/delta/bad.c:1", "only api includes"),
    ("rooms", "src/attic/bad.c", "int a;\n", "src/attic/bad.c:1", "rooms only"),
    ("rooms", "src/delta/a/b/bad.c", "int a;\n", "src/delta/a/b/bad.c:1", "one level of folders"),
    ("sizes", "src/delta/bad.c", function(121), "src/delta/bad.c:1", "sm_long has 121 lines"),
    ("sizes", "src/delta/bad.c", "\n" * 1201, "src/delta/bad.c:1", "1201 lines"),
    ("words", "src/delta/bad.c", 'char *a = "Contract";\n', "src/delta/bad.c:1", "`Contract`"),
    ("words", "src/delta/bad.c", "\n/* sums KPlus */\n", "src/delta/bad.c:2", "`KPlus`"),
    ("words", "src/flow/bad.c", "int viewing_log_rows;\n", "src/flow/bad.c:1", "`viewing_log`"),
    ("words", "src/delta/bad.c", "/* TO" + "DO */\n", "src/delta/bad.c:1", "docs/limits.md"),
    ("names", "src/table/delta.c", "int a;\n", "src/table/delta.c:1", "a second `delta.c`"),
    ("banned", "src/delta/bad.c", "int *a(void)\n{\n    return malloc(4);\n}\n",
     "src/delta/bad.c:3", "only base calls"),
    ("banned", "src/delta/bad.c", "int a; // one\n", "src/delta/bad.c:1", "write /* */"),
    ("state", "src/delta/bad.c", "static int a;\n", "src/delta/bad.c:1", "a changes"),
    ("state", "src/delta/bad.c", "\n_Atomic long b[4] = {0};\n", "src/delta/bad.c:2", "b changes"),
    ("state", "src/delta/bad.c", "static const char *c = 0;\n", "src/delta/bad.c:1", "c changes"),
    ("state", "src/delta/bad.c", "static int (*d)(int);\n", "src/delta/bad.c:1", "d changes"),
    ("state", "src/delta/bad.c", "static struct {\n    int a;\n} f;\n", "src/delta/bad.c:1", "f changes"),
    ("state", "src/delta/bad.c", "int f(void)\n{\n    static int g = 0;\n    return g++;\n}\n",
     "src/delta/bad.c:3", "g changes"),
    ("sql", "src/flow/bad.c", '\nchar *a = "SELECT count(*)";\n', "src/flow/bad.c:2", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = "  select a, ";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = ") FROM \\"%s\\"";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = " WHERE %.*s = 1";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = "file IN (";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = " = DATE ";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/flow/bad.c", 'char *a = "x" " = DATE \'%s\'";\n', "src/flow/bad.c:1", "by calls"),
    ("sql", "src/table/bad.c", 'char *a = "DELETE FROM t";\n', "src/table/bad.c:1", "by calls"),
    ("docs", "docs/errors.md", "old\n", "docs/errors.md:1", "make docs"),
    ("docs", "src/query/function/functions.def", FUNCTIONS.replace("Less than", "More than"),
     "docs/sql.md:1", "make docs"),
    ("docs", "src/query/function/functions.def", "SM_FN(\"a\", fn_a)\n", "docs/sql.md:1", "not 5"),
    ("must_use", "src/delta/delta.h", "\nsm_status sm_delta_open(int a,\n    int b);\n",
     "src/delta/delta.h:2", "sm_delta_open returns a status"),
    ("must_use", "src/delta/delta_int.h", "sm_status smi_delta(int a) SM_KEPT;\n",
     "src/delta/delta_int.h:1", "add SM_MUST_USE"),
    ("asserts", "src/base/status.c", "int sm_none;\n" * 1000, "src/base:1", "at least"),
    ("docs", "README.md", "\nsee [it](docs/none.md)\n", "README.md:2", "does not exist"),
    ("map", "ARCHITECTURE.md", "see\n`sm_status()` and `sm_gone()`\n", "ARCHITECTURE.md:2",
     "no function sm_gone in src/"),
    ("map", "ARCHITECTURE.md", "| `sm_status()` | `delta.c` | fails |\n", "ARCHITECTURE.md:1",
     "sm_status is in status.c, not in delta.c"),
    ("tools", "tools/rake", "rakes\n", "tools/README.md:1", "no row says what tools/rake is"),
    ("tools", "tools/README.md", "| `saw` | cuts |\n| `drill` | drills |\n", "tools/README.md:2",
     "tools/drill does not exist"),
    ("doors", "src/delta/delta.h", "/* a door */\nint sm_first(void);\nint sm_bare(void);\n",
     "src/delta/delta.h:3", "sm_bare has no comment"),
    ("static", "src/delta/bad.c", "int smi_alone(int a)\n{\n    return a;\n}\n",
     "src/delta/bad.c:1", "smi_alone is used here only"),
]
WARNED = [
    ("complexity", "src/delta/bad.c", "int sm_knot(int a)\n{\n" + "    if (a) {\n        a++;\n    }\n"
     * 26 + "    return a;\n}\n", "src/delta/bad.c:1", "sm_knot has complexity 27"),
]


def test_a_good_tree_passes(tmp_path):
    make_tree(tmp_path, GOOD)
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warnings" not in done.stdout


@pytest.mark.parametrize("check, name, text, place, words", BAD, ids=lambda value: None)
def test_a_mistake_fails(tmp_path, check, name, text, place, words):
    make_tree(tmp_path, {**GOOD, name: text})
    done = lint(tmp_path, check)
    assert done.returncode == 1, done.stdout + done.stderr
    finding = [line for line in done.stdout.splitlines() if line.strip().startswith(place + ":")]
    assert any(words in line for line in finding), done.stdout


@pytest.mark.parametrize("check, name, text, place, words", WARNED, ids=lambda value: None)
def test_a_warning_is_printed_and_fails_nothing(tmp_path, check, name, text, place, words):
    make_tree(tmp_path, {**GOOD, name: text})
    done = lint(tmp_path, check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.strip().startswith(place) and words in line
               for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("name, text", [
    ("src/flow/generate_logs.c", 'const char *const a = "Contract,TotalDuration,KPLUS";\n'),
    ("src/delta/good.c", "/* Contract rules bind a table; a contract holds. */\nconst int contract = 1;\n"),
    ("src/base/good.c", "int *a(void)\n{\n    return malloc(4);\n}\n"),
    ("src/delta/good.c", 'const char *const a = "http://malloc(4)"; /* free(a) */\n'),
    ("src/delta/good.c", '#include "delta.h"\n'),
    ("src/delta/good.c", function(120)),
    ("src/delta/good.c", "static const int a[] = {1};\nstatic const char *const b[] = {0};\n"
     "static int f(int a);\nstruct s;\nstruct s {\n    int a;\n};\nextern int g;\n"
     "static int (*const h[])(int) = {f};\nstatic const struct {\n    int a;\n} i = {1};\n"),
    ("src/query/good.c", 'const char *const a = "SELECT * FROM t WHERE ";\n'),
    ("src/cli/good.c", 'const char *const a = "SELECT count(*) FROM t";\n'),
    ("src/serve/clickhouse_good.c", 'const char *const a = "SELECT version() FROM t";\n'),
    ("src/flow/good_test.c", 'const char *const a = "SELECT * FROM t WHERE ";\n'),
    ("src/flow/good.c", "/* SELECT * FROM \"t\" WHERE day = DATE '2022-04-01' */\nextern int a;\n"),
    ("src/flow/good.c", 'const char *const a = "Write SELECT ... FROM read_json(...), with or without WHERE.";\n'),
    ("src/exec/good.c", 'const char *const a[] = {"GROUP BY", "ORDER BY", "JOIN", "OVER (...)"};\n'),
    ("src/flow/good.c", 'const char *const a = "column is DATE, not BIGINT; selects; from %s where it was";\n'),
])
def test_what_is_allowed_passes(tmp_path, name, text):
    make_tree(tmp_path, {**GOOD, name: text})
    done = lint(tmp_path, "rooms", "sizes", "words", "names", "banned", "state", "sql")
    assert done.returncode == 0, done.stdout


def test_the_ten_longest_functions_are_printed(tmp_path):
    many = "\n".join(f"int sm_f{n}(int a)\n{{\n{'    a++;' + chr(10)}" * 1 + "    a++;\n" * n + "}\n"
                     for n in range(12))
    make_tree(tmp_path, {**GOOD, "src/delta/many.c": many})
    listed = [line for line in lint(tmp_path, "sizes").stdout.splitlines() if " lines  " in line]
    assert len(listed) == 10
    assert listed[0].split() == ["15", "lines", "sm_f11", listed[0].split()[3]]


def test_a_check_that_is_none_is_wrong_usage(tmp_path):
    assert lint(tmp_path, "rhymes").returncode == 2


def test_errors_page_needs_every_row(tmp_path):
    make_tree(tmp_path, GOOD)
    table = pathlib.Path(tmp_path / "src/base/status.def")
    table.write_text(STATUS + "SM_STATUS(ODD, one, 0, 200, false, \"odd\")\n")
    done = subprocess.run([sys.executable, ROOT / "tools" / "errors", "--root", tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "2 rows, 1 could be read" in done.stderr


def test_functions_page_has_every_row_and_keeps_the_rest(tmp_path):
    make_tree(tmp_path, GOOD)
    page = (tmp_path / "docs/sql.md").read_text()
    assert page.startswith("# SQL\n") and page.endswith("\nThe end.\n")
    assert "| `<` | Less than; a \\| b. | `1 < 2` | `true` |" in page
    assert "| `sum(N)` | The sum. | `sum(x)` | `5` |" in page
