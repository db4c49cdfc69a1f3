"""A real ClickHouse server on loopback, from `tools/setup test`, with its own free ports, tables
and users. It is ended by its process id."""
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from common import ROOT
from s3 import free_port

LOADER, PASSWORD = "loader", "pass word'1"
USERS = f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default><password/><networks><ip>127.0.0.1</ip></networks></default>
    <{LOADER}><password>{PASSWORD}</password><networks><ip>127.0.0.1</ip></networks></{LOADER}>
    <guest><password>guest</password><networks><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT SELECT ON system.*</query></grants></guest>
  </users>
</clickhouse>
"""


def folder():
    """Where the server lies, or None where it was not made."""
    done = subprocess.run([ROOT / "tools" / "setup", "path", "clickhouse"], capture_output=True,
                          text=True, check=True)
    home = done.stdout.strip()
    return home if os.path.exists(home + "/done") else None


def require():
    """Skips where the server was not made: 566 MB, which a user who runs one test need not have.
    `make test` makes it, and fails where it cannot."""
    import pytest
    if not folder():
        pytest.skip("no ClickHouse: run `tools/setup test`")


class ClickHouse:
    def __init__(self, data):
        self.data, self.port = data, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        data.mkdir(parents=True, exist_ok=True)
        (data / "users.xml").write_text(USERS)
        (data / "config.xml").write_text(
            f"<clickhouse><users_config>{data}/users.xml</users_config></clickhouse>")
        self.start()

    def start(self):
        home = folder()
        log = open(self.data / "log", "ab")
        # A session of its own: the library signals its whole group when it ends.
        self.process = subprocess.Popen(
            [f"{home}/bin/clickhouse-server", f"{home}/libchdb.so", self.data / "tables",
             str(self.port), str(free_port()), "--config-file", self.data / "config.xml"],
            stdout=log, stderr=log, cwd=self.data, start_new_session=True)
        for _ in range(300):
            try:
                self.query("SELECT 1")
                return
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert self.process.poll() is None, (self.data / "log").read_text()
                time.sleep(0.1)
        raise AssertionError("ClickHouse does not answer")

    def query(self, sql, database="default"):
        """What it prints, without the last LF; an HTTPError has its exception as text."""
        address = f"{self.url}/?{urllib.parse.urlencode({'database': database})}"
        with urllib.request.urlopen(address, data=sql.encode(), timeout=60) as answer:
            return answer.read().decode().rstrip("\n")

    def stop(self):
        self.process.kill()
        self.process.wait(timeout=30)
