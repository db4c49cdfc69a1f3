# The pipeline customer360, written by `smelt export airflow`. To change it, change the pipeline and export it again.
import os
import subprocess
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable, task
from airflow.sdk.exceptions import AirflowFailException

# Where relative paths of the pipeline start.
HOME = os.environ.get("SMELT_HOME", "/var/lib/smelt")
SMELT = os.environ.get("SMELT", "smelt")
PIPELINE = "pipelines/customer360/delta.yaml"
VARS = []
# The start of the run's interval. A run by hand without one is of the time it was asked for.
DATE = "{{ (data_interval_start or dag_run.run_after).in_timezone('UTC').strftime('%Y-%m-%dT%H:%M:%S') }}"


@task
def run(name, date):
    code = subprocess.run([SMELT, *["run", PIPELINE, "--select", name, "--date", date, "--no-retries", *VARS]], cwd=HOME, check=False).returncode
    if code in (2, 3):  # wrong usage, a broken contract: they come again
        raise AirflowFailException(f"smelt ended with {code}")
    if code != 0:
        raise RuntimeError(f"smelt ended with {code}")


def smelt(name, date=DATE, **options):
    return run.override(**options)(name=name, date=date)


with DAG(
    "customer360",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0, "retry_delay": timedelta(seconds=30),
                  "retry_exponential_backoff": True, "max_retry_delay": timedelta(hours=1)},
    tags=["smelt"],
):
    tasks = {
        "bronze.viewing_log": smelt("bronze.viewing_log", task_id="bronze.viewing_log"),
        "bronze.viewing_log.cluster": smelt("bronze.viewing_log:cluster", task_id="bronze.viewing_log.cluster"),
        "silver.customer_viewing": smelt("silver.customer_viewing", task_id="silver.customer_viewing"),
        "gold.customer360": smelt("gold.customer360", task_id="gold.customer360"),
    }
    tasks["bronze.viewing_log"] >> tasks["bronze.viewing_log.cluster"]
    tasks["bronze.viewing_log"] >> tasks["silver.customer_viewing"]
    tasks["bronze.viewing_log"] >> tasks["gold.customer360"]
    tasks["silver.customer_viewing"] >> tasks["gold.customer360"]
