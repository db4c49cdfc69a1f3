"""`smelt export airflow`: the file is Python that calls smelt with the same names and values, whatever these are, with
the edges of the pipeline. tests/airflow runs it."""
import ast
import re
import subprocess

import pytest

from common import ROOT
from test_listed import PIPELINE, SQL, refused  # noqa: F401 (its shop has views, tags and a cluster)


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    for name, text in SQL.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def exported(smelt, shop, *args):
    text = smelt("export", "airflow", "shop.yaml", *args, cwd=shop).stdout
    return text, ast.parse(text)


def edges(tree):
    """(from, to) of each `tasks["a"] >> tasks["b"]`."""
    return {(node.left.slice.value, node.right.slice.value) for node in ast.walk(tree)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift)}


@pytest.mark.parametrize("form", ["bash", "docker", "taskflow"])
def test_edges_go_through_views(smelt, shop, form):
    text, tree = exported(smelt, shop, "--form", form)
    assert edges(tree) == {("bronze.orders", "bronze.orders.cluster"), ("bronze.orders", "gold.days"),
                           ("bronze.orders", "gold.both"), ("gold.days", "gold.both")}
    assert '"silver.paid"' not in text  # a view is read as its SQL
    assert '"bronze.orders.cluster": smelt("bronze.orders:cluster", task_id="bronze.orders.cluster")' in text
    assert 'schedule=CronDataIntervalTimetable("30 2 * * *", timezone="Europe/Paris")' in text
    assert "in_timezone('Europe/Paris')" in text and "catchup=False" in text


def test_edges_go_through_tasks_that_are_left_out(smelt, shop):
    _, tree = exported(smelt, shop, "--select", "bronze.orders gold.both")
    assert edges(tree) == {("bronze.orders", "gold.both")}


def test_seconds_come_last_in_airflow(smelt, shop):
    (shop / "shop.yaml").write_text(PIPELINE.replace("30 2 * * *", "'15  30 2 * * 1'"))
    assert 'CronDataIntervalTimetable("30 2 * * 1 15"' in exported(smelt, shop)[0]


def test_retries_are_airflow_s(smelt, shop):
    (shop / "shop.yaml").write_text(PIPELINE.replace("lake: lake\n", "lake: lake\nretries: 4\nretry_delay: 2m\n")
                                    .replace("tags: daily", "retries: 1\n    retry_delay: 1h"))
    text, _ = exported(smelt, shop)
    assert '"retries": 4, "retry_delay": timedelta(seconds=120)' in text and '"--no-retries"' in text
    assert 'task_id="gold.days", retries=1, retry_delay=timedelta(seconds=3600)' in text
    assert text.count("timedelta(seconds=") == 2


def test_values_are_literals(smelt, shop):
    odd = 'a "quoted" \\ $HOME `id` {x} %s \'; é\n'
    (shop / "shop.yaml").write_text(PIPELINE.replace("vars:\n", "vars:\n  odd: {default: ''}\n"))
    _, tree = exported(smelt, shop, "--var", f"odd={odd}", "--var", "lake=./other")
    found = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "VARS")
    assert ast.literal_eval(found) == ["--var", f"odd={odd}", "--var", "lake=./other"]


def test_a_file(smelt, shop):
    (shop / "dags").mkdir()
    assert smelt("export", "airflow", "shop.yaml", "-o", "dags/shop.py", cwd=shop).stdout == ""
    assert (shop / "dags/shop.py").read_text() == exported(smelt, shop)[0]


@pytest.mark.parametrize("args, code, what", [
    (["spark", "shop.yaml"], 2, 'cannot export to "spark"'),
    (["airflow", "shop.yaml", "--form", "podman"], 2, '--form is bash, docker or taskflow, not "podman"'),
    (["airflow", "shop.yaml", "--select", "silver.paid"], 1, "no task is left but views"),
    (["airflow", "shop.yaml", "--select", "silver.payd"], 1, 'Did you mean "silver.paid"?'),
    (["airflow", "shop.yaml", "--var", "odd"], 2, "--var"),
    (["airflow", "shop.yml"], 1, "shop.yml"),
    (["airflow", "shop.yaml", "-o", "nowhere/at/all.py"], 0, ""),  # folders are made, as for tables
])
def test_what_cannot_be_exported(smelt, shop, args, code, what):
    assert what in refused(smelt, shop, code, "export", *args).stderr


def test_the_shipped_dags_are_what_is_exported(smelt, tmp_path):
    """deploy/airflow cannot go stale. After a change: tools/dags build/smelt deploy/airflow/dags."""
    subprocess.run([ROOT / "tools/dags", smelt.path, tmp_path], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in (ROOT / "deploy/airflow/dags").iterdir()}
    assert sorted(made) == ["customer360.py", "customer360_direct.py"]


def test_the_airflow_project_has_what_it_needs(smelt):
    """The libraries of the program, and the provider that the tests run."""
    project = ROOT / "deploy/airflow"
    pins = (ROOT / "tests/airflow/requirements.txt").read_text().splitlines()
    assert [line for line in (project / "requirements.txt").read_text().splitlines() if line[0] != "#"] == [
        line for line in pins if line.startswith("apache-airflow-providers-docker==")]
    packages = (project / "packages.txt").read_text().split()
    linked = subprocess.run(["readelf", "-d", smelt.path], capture_output=True, text=True, check=True).stdout
    loaded = [line.split('"')[1] for name in ("net/net.c", "store/s3_crypto.c", "store/s3_xml.c")
              for line in (ROOT / "src" / name).read_text().splitlines() if "files[] = {" in line]
    for library in [*re.findall(r"NEEDED.*\[(\S+)\]", linked), *loaded]:
        name, version = re.fullmatch(r"(?:lib)?(.+?)\.so\.(\d+)", library).groups()
        if name not in ("c", "m", "gcc_s", "stdc++", "asan", "ubsan") and not name.startswith("ld-"):
            stem = {"z": "zlib1g", "brotlidec": "libbrotli", "crypto": "libssl"}.get(name, f"lib{name}")
            assert [p for p in packages if p.startswith(stem)], library
