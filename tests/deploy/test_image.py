"""The image of deploy/Dockerfile: small, not root, and all in it that the program needs."""
import json
import pathlib
import subprocess

import pytest

from common import ROOT

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "deploy/airflow/Dockerfile", "deploy/airflow/compose.Dockerfile"])
def test_the_dockerfiles_are_without_a_finding(file):
    home = subprocess.run([ROOT / "tools/setup", "path", "deploy"], capture_output=True, text=True, check=True).stdout
    done = subprocess.run([pathlib.Path(home.strip()) / "bin/hadolint", file], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run(containers, image, *words, mounts=(), check=True, **env):
    """Without a network, and with a root that cannot be written."""
    flags = [f"--volume={source}:{target}" for source, target in mounts] + [f"--env={k}={v}" for k, v in env.items()]
    return containers.podman("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", *flags, image, *words,
                             check=check)


def test_small_and_not_root(containers, image):
    about = json.loads(containers.podman("image", "inspect", image).stdout)[0]
    assert about["Size"] < 60e6
    assert about["Config"]["User"] == "10001:10001"
    assert run(containers, image).stdout.startswith("smelt ")


def test_the_shipped_pipeline(containers, image, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    where = [(data, "/var/lib/smelt")]
    run(containers, image, "generate", "logs", "logs", "--days", "2", "--rows", "500", "--damage", "0.01", mounts=where)
    run(containers, image, "run", "/usr/share/smelt/pipelines/customer360/delta.yaml", "--date", "2022-04-02",
        mounts=where)
    told = run(containers, image, "sql", "SELECT count(*) AS n FROM gold.customer360", mounts=where).stdout
    assert int(told.split()[1]) > 100
    assert {path.stat().st_uid for path in (data / "lake").rglob("*")} == {10001}


def test_libraries_that_are_loaded_when_needed(containers, image):
    """For S3: the request is made, and nobody answers."""
    done = run(containers, image, "sql", "SELECT * FROM 's3://bucket/a.json'", check=False, AWS_ACCESS_KEY_ID="a",
               AWS_SECRET_ACCESS_KEY="b", AWS_REGION="us-east-1", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.returncode == 1 and ".so" not in done.stderr and "127.0.0.1:9" in done.stderr


def test_time_zones(containers, image, tmp_path):
    (tmp_path / "q.sql").write_text("SELECT 1 AS k")
    (tmp_path / "p.yaml").write_text("name: p\nschedule: '@daily'\ntimezone: Europe/Paris\nvars: {lake: {type: uri}}\n"
                                     "lake: lake\ntasks: [{table: a.b, sql: q.sql}]\n")
    tmp_path.chmod(0o755)
    assert "Europe/Paris" in run(containers, image, "ls", "/p/p.yaml", mounts=[(tmp_path, "/p")]).stdout
