/* SPDX-License-Identifier: Apache-2.0
 *
 * export/export_airflow.c: a pipeline as a DAG file for Airflow 3. Called by cmd_export.c.
 *
 * File     a head of imports and settings, the DAG, one operator a task in a dictionary by id, and
 *          the edges. Names and values stand in Python literals, never in the text of a command.
 * Settings that differ between machines are read from the environment where Airflow reads the file:
 *          SMELT (the program) or SMELT_IMAGE, and SMELT_HOME.
 * Date     A run of Airflow is for an interval; its start, as the clocks of the pipeline's zone
 *          show it, is the logical date. CronDataIntervalTimetable is named, as Airflow 3 by itself
 *          makes runs without an interval.
 * Retries  are Airflow's, so smelt is told to make none of its own. A contract that is broken, or
 *          wrong usage, comes again: the Python form fails without a retry then.
 * Edges    go through views, which have no operator: they are followed to what makes a table. */
#include <inttypes.h>

#include "base/quote.h"
#include "base/text.h"
#include "export/export.h"

/* What is written. */
typedef struct dag {
    const sm_pipeline *p;
    const sm_airflow_opts *o;
    sm_buf *out;
    sm_arena *a;
    bool *has_operator; /* a flag a task */
} dag;

/* A text as a literal of Python, which has JSON's. */
static void put_text(dag *d, sm_str text)
{
    sm_buf_json_str(d->out, text);
}

/* Airflow's ids have no colon. */
static sm_str id_of(const dag *d, int32_t task)
{
    const sm_str name = sm_arena_str(d->a, sm_pipeline_task_name(d->p, task));

    for (size_t i = 0; i < name.len; i++) {
        ((char *)name.data)[i] = name.data[i] == ':' ? '.' : name.data[i];
    }
    return name;
}

/* ---- the head -------------------------------------------------------------------------------- */

static void put_imports(const dag *d)
{
    sm_buf_printf(d->out,
                  "# The pipeline %.*s, written by `smelt export airflow`. To change it, change "
                  "the pipeline and export it again.\n"
                  "import os\n",
                  SM_STR_ARG(sm_pipeline_name(d->p)));
    switch (d->o->form) {
    case SM_AIRFLOW_BASH:
        sm_buf_printf(d->out, "import shlex\nfrom datetime import timedelta\n\nimport pendulum\n"
                              "from airflow.providers.standard.operators.bash import BashOperator\n"
                              "from airflow.sdk import DAG, CronDataIntervalTimetable\n");
        break;
    case SM_AIRFLOW_DOCKER:
        sm_buf_printf(d->out,
                      "from datetime import timedelta\n\nimport pendulum\n"
                      "from airflow.providers.docker.operators.docker import DockerOperator\n"
                      "from airflow.sdk import DAG, CronDataIntervalTimetable\n"
                      "from docker.types import Mount\n");
        break;
    case SM_AIRFLOW_TASKFLOW:
        sm_buf_printf(d->out,
                      "import subprocess\nfrom datetime import timedelta\n\nimport pendulum\n"
                      "from airflow.sdk import DAG, CronDataIntervalTimetable, task\n"
                      "from airflow.sdk.exceptions import AirflowFailException\n");
        break;
    }
}

/* VARS: the words "--var", "K=V" of each call. */
static void put_vars(dag *d)
{
    sm_buf_printf(d->out, "VARS = [");
    for (int32_t i = 0; i < d->o->n_vars; i++) {
        sm_buf_printf(d->out, "%s\"--var\", ", i > 0 ? ", " : "");
        put_text(d, sm_arena_strf(d->a, "%.*s=%.*s", SM_STR_ARG(d->o->vars[i].key),
                                  SM_STR_ARG(d->o->vars[i].value)));
    }
    sm_buf_printf(d->out, "]\n");
}

static void put_settings(dag *d)
{
    sm_buf_printf(d->out, "\n# Where relative paths of the pipeline start.\nHOME = "
                          "os.environ.get(\"SMELT_HOME\", ");
    put_text(d, d->o->home);
    sm_buf_printf(d->out, ")\n");
    if (d->o->form == SM_AIRFLOW_DOCKER) {
        sm_buf_printf(
            d->out, "IMAGE = os.environ.get(\"SMELT_IMAGE\", \"smelt\")\n"
                    "# What smelt is told of the stores, and of its limits.\n"
                    "ENVIRONMENT = {k: v for k, v in os.environ.items() if k.startswith((\"AWS_\", "
                    "\"SMELT_\"))}\n");
    } else {
        sm_buf_printf(d->out, "SMELT = os.environ.get(\"SMELT\", \"smelt\")\n");
    }
    sm_buf_printf(d->out, "PIPELINE = ");
    put_text(d, d->o->file);
    sm_buf_printf(d->out, "\n");
    put_vars(d);
    const sm_pipeline_times times = sm_pipeline_schedule(d->p);
    sm_buf_printf(d->out,
                  "# The start of the run's interval. A run by hand without one is of the time "
                  "it was asked for.\n"
                  "DATE = \"{{ (data_interval_start or dag_run.run_after).in_timezone('%.*s')"
                  ".strftime('%%Y-%%m-%%dT%%H:%%M:%%S') }}\"\n",
                  SM_STR_ARG(sm_zone_name(times.zone)));
}

/* What makes a call of smelt. */
static void put_call(const dag *d)
{
    static const char words[] =
        "[\"run\", PIPELINE, \"--select\", name, \"--date\", date, \"--no-retries\", *VARS]";

    switch (d->o->form) {
    case SM_AIRFLOW_BASH:
        sm_buf_printf(
            d->out,
            "\n\ndef smelt(name, date=DATE, **options):\n"
            "    words = [SMELT, *%s]\n"
            "    command = \" \".join(word if word == DATE else shlex.quote(word) for word in "
            "words)\n"
            "    return BashOperator(bash_command=\"exec \" + command, cwd=HOME, "
            "append_env=True, **options)\n",
            words);
        break;
    case SM_AIRFLOW_DOCKER:
        sm_buf_printf(d->out,
                      "\n\ndef smelt(name, date=DATE, **options):\n"
                      "    return DockerOperator(\n"
                      "        image=IMAGE, command=%s,\n"
                      "        working_dir=HOME, mounts=[Mount(source=HOME, target=HOME, "
                      "type=\"bind\")], mount_tmp_dir=False,\n"
                      "        private_environment=ENVIRONMENT, auto_remove=\"success\",\n"
                      "        docker_url=os.environ.get(\"DOCKER_HOST\", "
                      "\"unix://var/run/docker.sock\"),\n"
                      "        network_mode=os.environ.get(\"SMELT_NETWORK\"), **options)\n",
                      words);
        break;
    case SM_AIRFLOW_TASKFLOW:
        sm_buf_printf(d->out,
                      "\n\n@task\n"
                      "def run(name, date):\n"
                      "    code = subprocess.run([SMELT, *%s], cwd=HOME, check=False).returncode\n"
                      "    if code in (2, 3):  # wrong usage, a broken contract: they come again\n"
                      "        raise AirflowFailException(f\"smelt ended with {code}\")\n"
                      "    if code != 0:\n"
                      "        raise RuntimeError(f\"smelt ended with {code}\")\n"
                      "\n\ndef smelt(name, date=DATE, **options):\n"
                      "    return run.override(**options)(name=name, date=date)\n",
                      words);
        break;
    }
}

/* Seconds come last there, where there are any. */
static void put_cron(dag *d, sm_str text)
{
    sm_str fields[6];
    int n = 0;

    for (size_t at = 0; at < text.len && n < SM_COUNT(fields);) {
        size_t end = at;
        while (end < text.len && text.data[end] != ' ' && text.data[end] != '\t') {
            end++;
        }
        if (end > at) {
            fields[n++] = (sm_str){text.data + at, end - at};
        }
        at = end + 1;
    }
    if (n < SM_COUNT(fields)) {
        put_text(d, text);
        return;
    }
    put_text(d, sm_arena_strf(d->a, "%.*s %.*s %.*s %.*s %.*s %.*s", SM_STR_ARG(fields[1]),
                              SM_STR_ARG(fields[2]), SM_STR_ARG(fields[3]), SM_STR_ARG(fields[4]),
                              SM_STR_ARG(fields[5]), SM_STR_ARG(fields[0])));
}

/* ---- the DAG --------------------------------------------------------------------------------- */

static void put_dag(dag *d)
{
    const sm_pipeline_times times = sm_pipeline_schedule(d->p);
    const sm_task_tries tries = sm_pipeline_tries(d->p);

    sm_buf_printf(d->out, "\n\nwith DAG(\n    ");
    put_text(d, sm_pipeline_name(d->p));
    sm_buf_printf(d->out, ",\n    schedule=");
    if (times.text.len > 0) {
        sm_buf_printf(d->out, "CronDataIntervalTimetable(");
        put_cron(d, times.text);
        sm_buf_printf(d->out, ", timezone=");
        put_text(d, sm_zone_name(times.zone));
        sm_buf_printf(d->out, ")");
    } else {
        sm_buf_printf(d->out, "None");
    }
    sm_buf_printf(d->out, ",\n    start_date=pendulum.datetime(2000, 1, 1, tz=");
    put_text(d, sm_zone_name(times.zone));
    sm_buf_printf(
        d->out,
        "),\n    catchup=False,\n    max_active_runs=1,\n    default_args={\"retries\": %d, "
        "\"retry_delay\": timedelta(seconds=%" PRId64 "),\n"
        "                  \"retry_exponential_backoff\": True, \"max_retry_delay\": "
        "timedelta(hours=1)},\n    tags=[\"smelt\"],\n):\n    tasks = {\n",
        tries.retries, tries.wait_us / 1000000);
}

static void put_tasks(dag *d)
{
    const sm_task_tries usual = sm_pipeline_tries(d->p);

    for (int32_t i = 0; i < sm_pipeline_tasks(d->p); i++) {
        const sm_task_tries tries = sm_pipeline_task_place(d->p, i).tries;
        if (!d->has_operator[i]) {
            continue;
        }
        sm_buf_printf(d->out, "        ");
        put_text(d, id_of(d, i));
        sm_buf_printf(d->out, ": smelt(");
        put_text(d, sm_pipeline_task_name(d->p, i));
        sm_buf_printf(d->out, ", task_id=");
        put_text(d, id_of(d, i));
        if (tries.retries != usual.retries || tries.wait_us != usual.wait_us) {
            sm_buf_printf(d->out, ", retries=%d, retry_delay=timedelta(seconds=%" PRId64 ")",
                          tries.retries, tries.wait_us / 1000000);
        }
        sm_buf_printf(d->out, "),\n");
    }
    sm_buf_printf(d->out, "    }\n");
}

/* Marks the tasks with an operator that one needs: those that it names, and behind a task without
 * one those that this needs. Tasks stand behind what they need. */
static void find_needs(const dag *d, int32_t task, bool *is_passed, bool *is_needed)
{
    SM_ASSERT(d->has_operator[task]);
    is_passed[task] = true;
    for (int32_t i = task; i >= 0; i--) {
        const sm_task_place at = sm_pipeline_task_place(d->p, i);
        for (int32_t k = 0; k < at.n_needs && is_passed[i]; k++) {
            is_needed[at.needs[k]] = d->has_operator[at.needs[k]];
            is_passed[at.needs[k]] = !d->has_operator[at.needs[k]];
        }
    }
}

static void put_edges(dag *d)
{
    const int32_t n = sm_pipeline_tasks(d->p);

    for (int32_t i = 0; i < n; i++) {
        bool *is_passed = SM_NEW_ARRAY(d->a, bool, n), *is_needed = SM_NEW_ARRAY(d->a, bool, n);
        if (!d->has_operator[i]) {
            continue;
        }
        find_needs(d, i, is_passed, is_needed);
        for (int32_t k = 0; k < n; k++) {
            if (is_needed[k]) {
                sm_buf_printf(d->out, "    tasks[");
                put_text(d, id_of(d, k));
                sm_buf_printf(d->out, "] >> tasks[");
                put_text(d, id_of(d, i));
                sm_buf_printf(d->out, "]\n");
            }
        }
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static sm_status find_operators(dag *d, sm_error *e)
{
    const int32_t n = sm_pipeline_tasks(d->p);
    int32_t n_operators = 0;

    SM_ASSERT(n > 0 && d->o->home.len > 0 && d->o->file.len > 0);
    d->has_operator = SM_NEW_ARRAY(d->a, bool, n);
    for (int32_t i = 0; i < n; i++) {
        d->has_operator[i] =
            (!d->o->chosen || d->o->chosen[i]) && sm_pipeline_task_kind(d->p, i) != SM_TASK_VIEW;
        n_operators += d->has_operator[i];
    }
    return n_operators > 0 ? SM_OK
                           : sm_fail(e, SM_INVALID,
                                     "no task is left but views, which are read as "
                                     "their SQL and not run");
}

sm_status sm_export_airflow(const sm_pipeline *p, const sm_airflow_opts *opts, sm_buf *out,
                            sm_error *e)
{
    dag d = {.p = p, .o = opts, .out = out, .a = sm_arena_new(NULL)};
    const sm_status st = find_operators(&d, e);

    if (st == SM_OK) {
        put_imports(&d);
        put_settings(&d);
        put_call(&d);
        put_dag(&d);
        put_tasks(&d);
        put_edges(&d);
    }
    sm_arena_free(d.a);
    return st;
}
