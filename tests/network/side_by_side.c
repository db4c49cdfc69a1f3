/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/network/side_by_side.c: several pipelines at once in one process, for
 * test_side_by_side.py.
 *
 *     side_by_side THREADS [--run PIPELINE [stop] K=V...]...
 *
 * All runs use one engine and begin together. Each has a thread, a part of the memory, a cancel
 * flag, connections and counts of its own. `stop` sets the flag of the run when its first task
 * begins. Prints one line of JSON for each run, in their order, and one for the engine. The exit
 * code is 0 whatever the statuses of the runs. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/flow.h"

#define DAY_US       INT64_C(86400000000)
#define MOST_RUNS    16
#define MOST_VARS    16
#define MEMORY_LIMIT ((size_t)1000 * 1000 * 1000)

typedef struct side_run {
    const char *path;
    sm_pair vars[MOST_VARS];
    int32_t n_vars;
    bool is_to_stop;

    sm_engine *engine;
    size_t memory_bytes;
    pthread_barrier_t *start;
    pthread_t thread;
    sm_cancel cancel;
    sm_progress progress;

    sm_status status;
    sm_error error;
    sm_run_report report;
} side_run;

static void on_begin(void *ctx, const sm_task_begin *begin)
{
    side_run *r = ctx;
    if (r->is_to_stop) {
        sm_cancel_set(&r->cancel);
    }
}

static sm_status run_pipeline(side_run *r, const sm_exec_env *env)
{
    sm_pipeline *p = NULL;
    SM_TRY(sm_pipeline_open(env->stores, sm_str_of(r->path), &p, &r->error));
    const sm_run_opts opts = {.vars = r->vars,
                              .n_vars = r->n_vars,
                              .interval = {19100 * DAY_US, 19101 * DAY_US},
                              .morsel_bytes = 65536,
                              .listener = {.ctx = r, .begin = on_begin}};
    const sm_status st = sm_pipeline_run(p, &opts, env, &r->report, &r->error);
    sm_pipeline_close(p);
    return st;
}

static void *run(void *ctx)
{
    side_run *r = ctx;
    sm_exec_env env;
    sm_exec_env_init(&env, r->engine,
                     &(sm_exec_share){.memory_bytes = r->memory_bytes,
                                      .cancel = &r->cancel,
                                      .progress = &r->progress});
    pthread_barrier_wait(r->start);
    r->status = run_pipeline(r, &env);
    sm_exec_env_release(&env);
    return NULL;
}

/* ---- what came of it ------------------------------------------------------------------------- */

static void print_counts(const sm_store_counts *n)
{
    printf("\"requests\":%" PRId64 ",\"retries\":%" PRId64 ",\"read_bytes\":%" PRId64
           ",\"written_bytes\":%" PRId64,
           n->requests, n->retries, n->read_bytes, n->written_bytes);
}

static void print_run(side_run *r)
{
    printf("{\"status\":\"%s\",\"kept\":%" PRId64 ",\"tables\":%" PRId64 ",\"held_bytes\":%" PRId64
           ",\"peak_bytes\":%" PRId64 ",\"progress_rows\":%" PRId64 ",",
           sm_status_name(r->status), r->report.counts.lines - r->report.counts.refused,
           r->report.n_tables, r->report.held_bytes, r->report.peak_bytes,
           atomic_load(&r->progress.rows));
    print_counts(&r->report.network);
    printf("}\n");
    if (r->status != SM_OK) {
        char text[4096];
        sm_error_format(&r->error, text, sizeof(text));
        fputs(text, stderr);
    }
    sm_run_report_release(&r->report);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void fail(const char *what)
{
    fprintf(stderr, "side_by_side: %s\n", what);
    exit(2);
}

static int read_runs(int argc, char **argv, side_run *runs)
{
    int n = 0;
    for (int i = 2; i < argc; i++) {
        side_run *r = n > 0 ? &runs[n - 1] : NULL;
        const char *equals = strchr(argv[i], '=');
        if (strcmp(argv[i], "--run") == 0 && i + 1 < argc && n < MOST_RUNS) {
            runs[n++] = (side_run){.path = argv[++i]};
        } else if (r && strcmp(argv[i], "stop") == 0) {
            r->is_to_stop = true;
        } else if (r && equals && r->n_vars < MOST_VARS) {
            r->vars[r->n_vars++] =
                (sm_pair){{argv[i], (size_t)(equals - argv[i])}, sm_str_of(equals + 1)};
        } else {
            fail(argv[i]);
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    static side_run runs[MOST_RUNS];
    pthread_barrier_t start;
    sm_engine *engine = NULL;
    sm_error e = {0};
    const int64_t before = sm_live_allocs();
    const int n = argc > 1 ? read_runs(argc, argv, runs) : 0;
    const sm_engine_opts opts = {.memory_limit = MEMORY_LIMIT,
                                 .threads = argc > 1 ? atoi(argv[1]) : 0};
    if (n == 0 || sm_engine_new(&opts, &engine, &e) != SM_OK) {
        fail(e.what);
    }
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        runs[i].engine = engine;
        runs[i].memory_bytes = MEMORY_LIMIT * 8 / 10 / (size_t)n;
        runs[i].start = &start;
        if (pthread_create(&runs[i].thread, NULL, run, &runs[i]) != 0) {
            fail("could not start a thread");
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(runs[i].thread, NULL);
        print_run(&runs[i]);
    }
    const sm_store_counts all = sm_stores_network_count(sm_engine_stores(engine));
    printf("{");
    print_counts(&all);
    sm_engine_free(engine);
    printf(",\"live_allocs\":%" PRId64 "}\n", sm_live_allocs() - before);
    pthread_barrier_destroy(&start);
    return 0;
}
