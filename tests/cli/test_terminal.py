"""What a terminal shows: a line of progress that fits and is removed at the end, what `smelt sql`
waits for, and that one Ctrl-C or one Ctrl-D is enough. Uses a pty and a small terminal emulator."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

SLOW = {"SMELT_FAULT": "bytes_per_s=3000000"}


class Screen:
    """What a terminal of so many columns has got, row by row. Knows what the program uses: CR, LF,
    erasing to the end of the row, colours, and wrapping at the last column."""

    def __init__(self, columns):
        self.columns, self.rows, self.at = columns, [""], 0

    def put(self, text):
        while text:
            if text[0] == "\r":
                self.at, text = 0, text[1:]
            elif text[0] == "\n":
                self.rows.append("")
                self.at, text = 0, text[1:]
            elif text.startswith("\033["):
                end = next(i for i in range(2, len(text)) if text[i].isalpha())
                assert text[end] in "Km", f"unknown control {text[:end + 1]!r}"
                if text[end] == "K":
                    self.rows[-1] = self.rows[-1][:self.at]
                text = text[end + 1:]
            else:
                if self.at == self.columns:
                    self.rows.append("")
                    self.at = 0
                row = self.rows[-1].ljust(self.at)
                self.rows[-1] = row[:self.at] + text[0] + row[self.at + 1:]
                self.at, text = self.at + 1, text[1:]

    def text(self):
        return "\n".join(row.rstrip() for row in self.rows).strip("\n")


class Terminal:
    """The program with a terminal as its stdin, stdout and stderr."""

    def __init__(self, smelt, *words, columns=80, cwd=None, stdout=None, **env):
        self.parent, child = pty.openpty()
        self.resize(columns)
        self.got = ""
        env = {**os.environ, "TERM": "xterm", **env}
        self.process = subprocess.Popen(
            [smelt.path, *map(str, words)], cwd=cwd or smelt.cwd, stdin=child,
            stdout=stdout or child, stderr=child, start_new_session=True,
            env={name: value for name, value in env.items() if value is not None},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(child)

    def resize(self, columns):
        fcntl.ioctl(self.parent, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, text):
        os.write(self.parent, text.encode())

    def read(self, wanted=None, seconds=20):
        """Until `wanted` has come; without it, to the end of the process."""
        end = time.monotonic() + seconds
        while wanted is None or wanted not in self.got:
            assert time.monotonic() < end, f"no {wanted!r} in {self.got!r}"
            if not select.select([self.parent], [], [], 0.1)[0]:
                continue
            try:
                self.got += os.read(self.parent, 65536).decode()
            except OSError:  # the other side is closed
                return self.got
        return self.got

    def end(self):
        """The exit code, once all was read."""
        self.read()
        os.close(self.parent)
        return self.process.wait(timeout=20)


@pytest.fixture
def logs(smelt, tmp_path):
    smelt("generate", "logs", tmp_path / "logs", "--days", 2, "--rows", 15_000)
    return tmp_path / "logs"


# ---- progress ---------------------------------------------------------------------------------


def drawings(got):
    """The texts that were drawn over each other."""
    return [part.split("\033[K")[0] for part in got.split("\r") if "\033[K" in part and ": " in part]


@pytest.mark.parametrize("columns, whole", [(20, False), (40, None), (80, True), (200, True)])
def test_progress_leaves_nothing(smelt, logs, columns, whole):
    at = Terminal(smelt, "sql", f"SELECT count(*) AS n FROM '{logs}/*.json'", columns=columns, **SLOW)
    assert at.end() == 0
    drawn = drawings(at.got)
    assert len(drawn) > 3, at.got
    assert all(len(line) < columns for line in drawn)
    is_whole = any("rows" in line and "B/s" in line for line in drawn)
    assert whole in (None, is_whole)
    screen = Screen(columns)
    screen.put(at.got)
    assert screen.text().split("\n") == ["    n", "30000", "(1 row)"]


@pytest.mark.parametrize("form", ["csv", "ndjson", "md"])
def test_rows_do_not_mix_with_progress(smelt, logs, form):
    """They come while the query runs, and then there is no line any more."""
    query = f"SELECT _id AS id FROM '{logs}/*.json' WHERE _id LIKE 'AX_0%'"
    wanted = smelt("sql", query, "--format", form).stdout
    assert wanted.count("\n") > 100
    at = Terminal(smelt, "sql", query, "--format", form, **SLOW)
    assert at.end() == 0
    screen = Screen(80)
    screen.put(at.got)
    assert screen.text() + "\n" == wanted


def test_progress_of_a_window_that_becomes_narrow(smelt, logs):
    at = Terminal(smelt, "sql", f"SELECT count(*) AS n FROM '{logs}/*.json'", columns=120, **SLOW)
    at.read("rows")
    at.resize(30)
    before = len(at.got)
    time.sleep(0.5)
    assert at.end() == 0
    drawn = drawings(at.got[before:])[2:]  # one may have been under way
    assert drawn and all(len(line) < 30 for line in drawn)


@pytest.mark.parametrize("words, env", [
    (["--quiet"], {}), (["--json"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": None})])
def test_no_progress(smelt, logs, words, env):
    at = Terminal(smelt, "sql", f"SELECT count(*) AS n FROM '{logs}/*.json'", *words, **{**SLOW, **env})
    assert at.end() == 0
    assert "30000" in at.got and "\033[K" not in at.got and " of " not in at.got


@pytest.mark.parametrize("env, is_bold", [
    ({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)])
def test_bold(smelt, env, is_bold):
    at = Terminal(smelt, "sql", "SELECT 1 AS n", **env)
    assert at.end() == 0
    assert ("\033[1m" in at.got) == is_bold


def test_a_run_in_a_narrow_terminal(smelt, logs, tmp_path):
    from common import ROOT

    at = Terminal(smelt, "run", ROOT / "pipelines/customer360/delta.yaml", "--var", f"logs={logs}",
                  "--var", f"lake={tmp_path}/lake", "--var", "month=2022-04", columns=30, **SLOW)
    assert at.end() == 0
    assert len(drawings(at.got)) > 3
    screen = Screen(30)
    screen.put(at.got)
    assert screen.text().startswith("lines   30,000 read = 30,000 k")
    assert "raw.viewing_log: " not in screen.text() and "/4 " not in screen.text()


# ---- a query from the keyboard ----------------------------------------------------------------

HINT = "Ctrl-D"


def test_one_end_is_enough(smelt):
    at = Terminal(smelt, "sql", "--format", "csv")
    at.read(HINT)
    at.type("SELECT 40 + 2 AS n\n")
    at.type("\x04")
    assert at.end() == 0
    assert at.got.splitlines()[-2:] == ["n", "42"]


def test_the_hint_is_not_a_result(smelt, tmp_path):
    with open(tmp_path / "out", "w") as out:
        at = Terminal(smelt, "sql", stdout=out)
        at.read(HINT)
        at.type("SELECT 1 AS n\n\x04")
        assert at.end() == 0
    assert (tmp_path / "out").read_text() == "n\n1\n"


def test_an_end_without_a_query(smelt):
    at = Terminal(smelt, "sql")
    at.read(HINT)
    at.type("\x04")
    assert at.end() == 2
    assert "there is no query" in at.got


@pytest.mark.parametrize("typed", ["", "SELECT 1", "SELECT 1\nFROM"])
@pytest.mark.parametrize("command", ["sql", "explain"])
def test_one_ctrl_c_is_enough(smelt, command, typed):
    at = Terminal(smelt, command)
    at.read(HINT)
    at.type(typed)
    time.sleep(0.2)
    begun = time.monotonic()
    at.type("\x03")
    assert at.end() == 130
    assert time.monotonic() - begun < 5
    assert "interrupted" in at.got


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_the_wait_too(smelt, number):
    at = Terminal(smelt, "sql")
    at.read(HINT)
    at.process.send_signal(number)
    assert at.end() == 130


def test_quiet_gives_no_hint(smelt):
    at = Terminal(smelt, "sql", "--quiet", "--format", "csv")
    at.type("SELECT 1 AS n\n\x04")
    assert at.end() == 0
    assert HINT not in at.got


def test_a_pipe_is_read_to_its_end(smelt):
    done = subprocess.run(f"(echo SELECT; sleep 0.3; echo '1 AS n') | '{smelt.path}' sql", shell=True,
                          capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("n\n1\n", "")


def test_ctrl_c_at_a_query_that_runs(smelt, logs):
    at = Terminal(smelt, "sql", f"SELECT count(*) AS n FROM '{logs}/*.json'", SMELT_FAULT="bytes_per_s=300000")
    at.read(" of ")
    at.type("\x03")
    assert at.end() == 130
    screen = Screen(80)
    screen.put(at.got)
    assert "interrupted" in screen.text() and " of " not in screen.text()


def test_what_nohup_ignores_stays_ignored(smelt, logs):
    """A terminal that is closed does not end what nohup has started."""
    process = subprocess.Popen(
        [smelt.path, "sql", f"SELECT count(*) AS n FROM '{logs}/*.json'"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **SLOW},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(0.5)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "n\n30000\n"), err
