"""`make up`, `make start`, `make down`, `make up`: MinIO and ClickHouse as processes on this
machine, the pipeline over them, and nothing lost by stopping and starting again."""
import os
import pathlib
import re
import socket
import subprocess
import urllib.request

import pytest

import clickhouse
import s3
from common import ROOT

pytestmark = pytest.mark.skipif(not (s3.programs() and clickhouse.folder()),
                                reason="no servers: run `tools/setup test`")
QUERY = "SELECT count(), sum(TVDuration), sum(cityHash64(Contract, RFM)) FROM customer360"


@pytest.fixture
def services(tmp_path):
    folder = tmp_path / "services"
    yield folder
    tool("down", folder)


def tool(name, folder, check=True, **env):
    done = subprocess.run([ROOT / "tools" / name], capture_output=True, text=True, check=False,
                          env={**os.environ, "SMELT_SERVICES": str(folder), **env}, timeout=300)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def settings(folder):
    return dict(re.findall(r"(\w+)=(\S+)", (folder / "env").read_text()))


def ask(folder, query=QUERY):
    url = f"http://127.0.0.1:{settings(folder)['CLICKHOUSE_PORT']}/"
    with urllib.request.urlopen(url, data=query.encode(), timeout=60) as answer:
        return answer.read().decode()


def commands():
    """All command lines of the machine."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            pass


def test_up_start_down_up(smelt, services):
    done = tool("up", services)
    assert "make start" in done.stdout
    secret = settings(services)["AWS_SECRET_ACCESS_KEY"]
    assert (services / "env").stat().st_mode & 0o077 == 0
    assert not [line for line in commands() if secret in line]

    done = tool("start", services)
    assert "377,368 rows of version 0, the same in ClickHouse" in done.stdout
    assert secret not in done.stdout + done.stderr
    before = ask(services)
    assert before.startswith("377368\t")

    assert "a month" not in tool("up", services).stdout
    assert ask(services) == before

    done = tool("down", services)
    assert "s3 has ended" in done.stdout and "clickhouse has ended" in done.stdout
    with pytest.raises(OSError):
        ask(services)

    assert "a month" not in tool("up", services).stdout
    assert ask(services) == before
    rows = smelt.sql("SELECT count(*) AS n FROM gold.customer360", "--lake", "s3://lake/direct",
                     env=settings(services))
    assert rows == [{"n": 377368}]


def test_a_port_that_is_taken_is_named(services):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = tool("up", services, check=False, SMELT_S3_PORT=port)
    assert done.returncode != 0 and f"port {port} is taken" in done.stderr


def test_down_without_up(services):
    assert "nothing was started" in tool("down", services).stdout


def test_compose_file_names_what_up_gives():
    """Where no Docker answers, the compose form is only read: its settings are those that tools/up
    exports."""
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    given = set(re.findall(r"(\w+)=", (ROOT / "tools" / "up").read_text()))
    used = set(re.findall(r"\$\{(\w+)[}:]", text))
    # Those of the other services have a default, or are asked for.
    assert used and used - given <= {"AIRFLOW_PORT", "DOCKER_GROUP"}
    assert "AWS_SECRET_ACCESS_KEY" in re.findall(r"\$\{(\w+):\?", text)
