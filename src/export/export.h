/* SPDX-License-Identifier: Apache-2.0
 *
 * export/export.h: the export room's door. Pipelines as the files of other systems. Needs: flow.
 * Never runs a task or reads data: a file that is exported says how smelt is called. */
#ifndef SM_EXPORT_EXPORT_H
#define SM_EXPORT_EXPORT_H

#include "flow/flow.h"

/* What Airflow runs for a task. */
typedef enum sm_airflow_form {
    SM_AIRFLOW_BASH,     /* the program, by a BashOperator */
    SM_AIRFLOW_DOCKER,   /* an image of it, by a DockerOperator */
    SM_AIRFLOW_TASKFLOW, /* the program, by a Python function (the TaskFlow API) */
} sm_airflow_form;

typedef struct sm_airflow_opts {
    sm_airflow_form form;
    sm_str home;         /* the folder at which relative paths start, of the file and in it */
    sm_str file;         /* of the pipeline, as smelt is called with it there */
    const bool *chosen;  /* a flag a task, as sm_pipeline_select() gives it; NULL: all */
    const sm_pair *vars; /* --var K=V of each call */
    int32_t n_vars;
} sm_airflow_opts;

/**
 * Writes a DAG file for Airflow 3.
 *
 * Shape     Python. One Airflow task for each chosen task but views, which are read as their SQL;
 *           it needs what the task needs, through views and tasks that are not chosen too.
 *           Schedule, time zone, retries and the logical date are carried over
 * Owner     appends to *out
 * Errors    SM_INVALID: no task is left
 */
sm_status sm_export_airflow(const sm_pipeline *p, const sm_airflow_opts *opts, sm_buf *out,
                            sm_error *e) SM_MUST_USE;

#endif
