/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_ls.c: `smelt ls PIPELINE`: lists the tasks of a pipeline in the order in which a run does
 * them, or those that a selection means. Runs nothing. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

typedef struct options {
    const char *select;
} options;

static const smi_opt option_table[] = {
    {"--select -s", SMI_OPT_TEXT, "S",
     "only these tasks: names, layer.*, @tag; T+ also those that need T, +T those that it needs",
     offsetof(options, select)},
    {0},
};

/* ---- for people ------------------------------------------------------------------------------ */

static void print_names(const char *before, const sm_str *names, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        printf("%s%.*s", i == 0 ? before : ", ", SM_STR_ARG(names[i]));
    }
}

/* The names of the tasks that one needs, and before them its source. */
static sm_str *names_of_needs(const sm_pipeline *p, const sm_task_place *at, sm_arena *a,
                              int32_t *n)
{
    sm_str *names = SM_NEW_ARRAY(a, sm_str, at->n_needs + 1);

    *n = 0;
    if (at->source.len > 0) {
        names[(*n)++] = at->source;
    }
    for (int32_t i = 0; i < at->n_needs; i++) {
        names[(*n)++] = sm_pipeline_task_name(p, at->needs[i]);
    }
    return names;
}

static void print_tasks(const sm_pipeline *p, const bool *chosen, sm_arena *a)
{
    int width = 0, kind_width = 7;

    for (int32_t i = 0; i < sm_pipeline_tasks(p); i++) {
        const int len = (int)sm_pipeline_task_name(p, i).len;
        const int kind = (int)strlen(sm_task_kind_name(sm_pipeline_task_kind(p, i)));
        width = chosen[i] && len > width ? len : width;
        kind_width = chosen[i] && kind > kind_width ? kind : kind_width;
    }
    for (int32_t i = 0; i < sm_pipeline_tasks(p); i++) {
        const sm_task_place at = sm_pipeline_task_place(p, i);
        int32_t n = 0;
        if (!chosen[i]) {
            continue;
        }
        const sm_str *needs = names_of_needs(p, &at, a, &n);
        printf("%-*.*s  %-*s", width, SM_STR_ARG(sm_pipeline_task_name(p, i)), kind_width,
               sm_task_kind_name(sm_pipeline_task_kind(p, i)));
        print_names("  of ", needs, n);
        print_names("  @", at.tags, at.n_tags);
        printf("\n");
    }
}

/* "due     0 6 * * * in Europe/Paris, next 2024-05-01 04:00:00 UTC" */
static void print_schedule(const sm_pipeline *p)
{
    const sm_pipeline_times t = sm_pipeline_schedule(p);
    char next[SM_TIME_TEXT_BYTES];

    if (t.text.len > 0) {
        const sm_str zone = sm_zone_name(t.zone);
        sm_format_timestamp(sm_cron_next(&t.cron, t.zone, sm_now_us()), next);
        printf("\ndue %.*s in %.*s, next at %s UTC\n", SM_STR_ARG(t.text), SM_STR_ARG(zone), next);
    }
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void put_names(sm_json_writer *w, const char *key, const sm_str *names, int32_t n)
{
    sm_json_set_array(w, key);
    for (int32_t i = 0; i < n; i++) {
        sm_json_put_text(w, names[i]);
    }
    sm_json_end_array(w);
}

static void put_task(sm_json_writer *w, const sm_pipeline *p, int32_t i, sm_arena *a)
{
    const sm_task_place at = sm_pipeline_task_place(p, i);
    const sm_task_text text = sm_pipeline_task_text(p, i);
    const sm_task_place tasks_only = {.needs = at.needs, .n_needs = at.n_needs};
    int32_t n = 0;
    const sm_str *needs = names_of_needs(p, &tasks_only, a, &n);

    sm_json_begin_object(w);
    sm_json_set_text(w, "name", sm_pipeline_task_name(p, i));
    sm_json_set_text(w, "kind", sm_str_of(sm_task_kind_name(sm_pipeline_task_kind(p, i))));
    put_names(w, "needs", needs, n);
    put_names(w, "tags", at.tags, at.n_tags);
    sm_json_set_text(w, "source", at.source);
    sm_json_set_text(w, "sql", text.sql.name);
    sm_json_set_text(w, "contract", text.contract);
    sm_json_end_object(w);
}

static void print_json(smi_cli *cli, const sm_pipeline *p, const bool *chosen)
{
    const sm_pipeline_times times = sm_pipeline_schedule(p);
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "pipeline", sm_pipeline_name(p));
    if (times.text.len > 0) {
        sm_json_set_text(&w, "schedule", times.text);
        sm_json_set_text(&w, "timezone", sm_zone_name(times.zone));
    }
    sm_json_set_array(&w, "tasks");
    for (int32_t i = 0; i < sm_pipeline_tasks(p); i++) {
        if (chosen[i]) {
            put_task(&w, p, i, cli->arena);
        }
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status list(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_pipeline *p = NULL;
    bool *chosen = NULL;

    SM_ASSERT(n_args == 1);
    SM_TRY(sm_pipeline_open(cli->env.stores, sm_str_of(args[0]), &p, e));
    const sm_status st = sm_pipeline_select(p, sm_str_of(o->select), cli->arena, &chosen, e);
    if (st == SM_OK && cli->globals.json) {
        print_json(cli, p, chosen);
    } else if (st == SM_OK) {
        print_tasks(p, chosen, cli->arena);
        print_schedule(p);
    }
    sm_pipeline_close(p);
    return st;
}

const smi_command smi_command_ls = {
    .name = "ls",
    .usage = "PIPELINE [--select S]",
    .summary = "Lists the tasks of a pipeline.",
    .details = "In the order in which a run does them, with what each of them needs.\n"
               "\n"
               "  smelt ls pipelines/sales/delta.yaml --select '+gold.* @daily'\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1,
    .run = list,
};
