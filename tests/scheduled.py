"""Pipelines for tests of the scheduler, and the scheduler as a process."""
import json
import os
import re
import signal
import subprocess
import time

from common import smelt_path

TICK = """\
name: {name}
{schedule}vars:
  lake: {{type: uri, default: {lake}}}
  at: {{type: date}}
lake: lake
tasks:
  - {{table: gold.{name}, sql: {name}.sql, append: at}}
"""
WATCH = """\
name: inbox
vars:
  lake: {{type: uri, default: {lake}}}
  logs: {{type: uri, default: {logs}}}
lake: lake
sources:
  - {{name: logs, match: '[.]json$', watch: true, settle: 1s, poll: 1s}}
tasks:
  - {{load: raw.lines, from: logs, sql: lines.sql, by: day}}
"""
LINES = """SELECT id, file_date AS day
FROM read_json(var('logs'), match => '[.]json$', columns => {id: 'BIGINT'}, file_date => true)
"""


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} has not come true in {seconds} s")


class Scheduled:
    """A folder of pipelines with their state, and a scheduler that is up or not."""

    def __init__(self, smelt, folder):
        self.call, self.folder, self.process = smelt, folder, None
        self.log = folder / "up.log"
        self.env = {"SMELT_STATE": str(folder / ".smelt")}

    def smelt(self, *words, **kwargs):
        return self.call(*words, env={**self.env, **kwargs.pop("env", {})}, **kwargs)

    def tick(self, name="tick", schedule="schedule: '* * * * * *'\n"):
        (self.folder / f"{name}.sql").write_text("SELECT var('at') AS d, 1 AS one")
        file = self.folder / f"{name}.yaml"
        file.write_text(TICK.format(name=name, schedule=schedule, lake=self.folder / "lake"))
        return file

    def watched(self):
        (self.folder / "logs").mkdir()
        (self.folder / "lines.sql").write_text(LINES)
        file = self.folder / "inbox.yaml"
        file.write_text(WATCH.format(lake=self.folder / "lake", logs=self.folder / "logs"))
        return file

    def up(self, *files, ready=True):
        before = self.said().count(" up: ")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [smelt_path(), "up", *map(str, files)], cwd=self.folder, stderr=log,
                env={**os.environ, **self.env}, start_new_session=True)
        if ready:
            wait_for(lambda: self.said().count(" up: ") > before)
        return self.process

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def down(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0

    def runs(self, **wanted):
        """The earliest first."""
        rows = json.loads(self.smelt("runs", "--limit", "0", "--project", self.folder, "--json",
                                     check=False).stdout or "[]")
        rows = rows if isinstance(rows, list) else []
        return [row for row in reversed(rows) if all(row[k] == v for k, v in wanted.items())]

    def ended(self, n, **wanted):
        return wait_for(lambda: len(self.runs(**wanted)) >= n and self.runs(**wanted))

    def pids(self):
        """The processes of runs of this folder that are alive."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    words = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
                except OSError:
                    continue
                if b"--run-id" in words and str(self.folder).encode() in b"".join(words):
                    found.append(int(entry))
        return found

    def rows(self, sql):
        out = self.smelt("sql", sql, "--lake", self.folder / "lake", "--format", "json").stdout
        return json.loads(out)


def ids(rows):
    return [re.sub(".*?-", "", row["run"], count=1) for row in rows]
