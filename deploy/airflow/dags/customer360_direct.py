# The pipeline customer360_direct, written by `smelt export airflow`. To change it, change the pipeline and export it again.
import os
from datetime import timedelta

import pendulum
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import DAG, CronDataIntervalTimetable
from docker.types import Mount

# Where relative paths of the pipeline start.
HOME = os.environ.get("SMELT_HOME", "/var/lib/smelt")
IMAGE = os.environ.get("SMELT_IMAGE", "smelt")
# What smelt is told of the stores, and of its limits.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k.startswith(("AWS_", "SMELT_"))}
PIPELINE = "pipelines/customer360/direct.yaml"
VARS = ["--var", "lake=./direct"]
# The start of the run's interval. A run by hand without one is of the time it was asked for.
DATE = "{{ (data_interval_start or dag_run.run_after).in_timezone('UTC').strftime('%Y-%m-%dT%H:%M:%S') }}"


def smelt(name, date=DATE, **options):
    return DockerOperator(
        image=IMAGE, command=["run", PIPELINE, "--select", name, "--date", date, "--no-retries", *VARS],
        working_dir=HOME, mounts=[Mount(source=HOME, target=HOME, type="bind")], mount_tmp_dir=False,
        private_environment=ENVIRONMENT, auto_remove="success",
        docker_url=os.environ.get("DOCKER_HOST", "unix://var/run/docker.sock"),
        network_mode=os.environ.get("SMELT_NETWORK"), **options)


with DAG(
    "customer360_direct",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0, "retry_delay": timedelta(seconds=30),
                  "retry_exponential_backoff": True, "max_retry_delay": timedelta(hours=1)},
    tags=["smelt"],
):
    tasks = {
        "gold.customer360": smelt("gold.customer360", task_id="gold.customer360"),
    }
