"""`smelt export airflow` on a real Airflow 3: each form is read without an error, and a DAG that is run for a date
leaves the tables that smelt's own run for that date leaves."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from common import ROOT

pytestmark = pytest.mark.airflow
FORMS = ["bash", "docker", "taskflow"]
DATES = ["2022-04-29", "2022-04-30", "2022-05-01"]  # two months
TABLES = ["bronze.viewing_log", "silver.customer_viewing", "gold.customer360"]


class Airflow:
    """An Airflow of its own, with the DAGs of one folder and no server."""

    def __init__(self, home, smelt):
        self.bin = pathlib.Path(subprocess.run([ROOT / "tools/setup", "path", "airflow"], text=True, check=True,
                                               capture_output=True).stdout.strip()) / "bin/airflow"
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        self.env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                    "SMELT": str(smelt.path), "PATH": f"{self.bin.parent}:{os.environ['PATH']}"}

    def __call__(self, *args, check=True, **env):
        done = subprocess.run([self.bin, *args], env={**self.env, **env}, text=True, capture_output=True, timeout=600)
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done


@pytest.fixture(scope="module")
def project(program, tmp_path_factory):
    """The shipped pipeline with retries, and logs of three days."""
    from common import Smelt

    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    delta = folder / "pipelines/customer360/delta.yaml"
    delta.write_text(delta.read_text().replace("name: customer360\n", "name: customer360\nretries: 1\n"
                                               "retry_delay: 5s\n"))
    smelt = Smelt(program.path, folder)
    for month, days in (("2022-04", 30), ("2022-05", 1)):
        smelt("generate", "logs", f"made-{month}", "--month", month, "--days", days, "--rows", 300, "--contracts", 200,
              "--seed", 5)
    (folder / "logs").mkdir()
    for date in DATES:
        shutil.copy(folder / f"made-{date[:7]}" / f"{date.replace('-', '')}.json", folder / "logs")
    return smelt


@pytest.fixture(scope="module")
def airflow(project, tmp_path_factory):
    it = Airflow(tmp_path_factory.mktemp("airflow"), project)
    for form in FORMS:
        project("export", "airflow", "pipelines/customer360/delta.yaml", "--form", form, "-o", it.dags / f"{form}.py",
                "--var", f"lake=./{form}")
        text = (it.dags / f"{form}.py").read_text()
        assert text.count('"customer360",\n') == 1  # the id is the pipeline's name; three DAGs need three
        (it.dags / f"{form}.py").write_text(text.replace('"customer360",\n', f'"{form}",\n'))
    it("db", "migrate")
    return it


def read_dags(airflow, folder):
    """By Airflow's own reader of DAG files: the ids, and what went wrong."""
    read = ("import json, sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag(sys.argv[1]); "
            "print(json.dumps([sorted(bag.dags), bag.import_errors]))")
    done = subprocess.run([airflow.bin.parent / "python", "-c", read, folder], env=airflow.env, text=True,
                          capture_output=True, check=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])  # behind lines of its log


def test_each_form_is_read_without_an_error(airflow):
    assert read_dags(airflow, airflow.dags) == [FORMS, {}]


def test_the_shipped_dags_are_read_without_an_error(airflow):
    assert read_dags(airflow, ROOT / "deploy/airflow/dags") == [["customer360", "customer360_direct"], {}]


@pytest.mark.parametrize("form", ["bash", "taskflow"])
def test_a_dag_leaves_the_tables_of_smelt_s_own_runs(airflow, project, form):
    for date in DATES:
        following = f"{date[:8]}{int(date[8:]) + 1:02}" if date[8:] != "30" else "2022-05-01"
        done = airflow("dags", "test", form, following)  # it is for the interval before: that date
        assert "state=success" in done.stdout + done.stderr
        project("run", "pipelines/customer360/delta.yaml", "--date", date, "--var", f"lake=./own-{form}")
        for table in TABLES:
            rows = [sorted(map(str, project.sql(f"SELECT * FROM {table}", "--lake", f"./{lake}")))
                    for lake in (form, f"own-{form}")]
            assert rows[0] == rows[1] and rows[0], (date, table)


def test_a_broken_contract_fails_without_a_retry(airflow, project):
    contract = pathlib.Path(project.cwd) / "pipelines/customer360/contracts/customer360.yaml"
    text = contract.read_text()
    contract.write_text(text.replace("'^[123]{3}$'", "'^[456]{3}$'"))
    try:
        done = airflow("dags", "test", "taskflow", "2022-05-02", check=False, SMELT_HOME=str(project.cwd))
    finally:
        contract.write_text(text)
    assert done.returncode != 0 and "smelt ended with 3" in done.stdout + done.stderr


def test_the_shipped_dag_runs_in_containers(airflow, project, containers, image, tmp_path):
    """DockerOperator, by podman's service in the place of a Docker engine, in the image that deploy/Dockerfile gives."""
    home = tmp_path / "home"
    shutil.copytree(project.cwd, home, ignore=shutil.ignore_patterns("made-*", "own-*"))
    for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
        folder.chmod(0o777)  # the user of the image writes here
    shutil.copy(ROOT / "deploy/airflow/dags/customer360_direct.py", airflow.dags)
    with containers.service() as address:
        done = airflow("dags", "test", "customer360_direct", "2022-05-01", SMELT_HOME=str(home), DOCKER_HOST=address,
                       SMELT_IMAGE=f"localhost/{image}", SMELT_NETWORK="host")
    assert "state=success" in done.stdout + done.stderr
    project("run", "pipelines/customer360/direct.yaml", "--date", "2022-04-30", "--var", "lake=./own-direct")
    rows = [sorted(map(str, project.sql("SELECT * FROM gold.customer360", "--lake", str(lake))))
            for lake in (home / "direct", "./own-direct")]
    assert rows[0] == rows[1] and rows[0]
