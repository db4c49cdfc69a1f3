/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_graph.c: `smelt graph PIPELINE`: draws which task needs which: as a tree on the terminal,
 * or in the languages of Graphviz and Mermaid. Runs nothing.
 *
 * Tree  A task stands below one of those that it needs, the last in the order of a run; the others
 *       are named beside it. So each task has one line, and stands behind all that it needs. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

typedef struct options {
    const char *select, *format;
} options;

static const smi_opt option_table[] = {
    {"--format -f", SMI_OPT_TEXT, "F", "text, dot or mermaid (default: text)",
     offsetof(options, format)},
    {"--select -s", SMI_OPT_TEXT, "S",
     "only these tasks: names, layer.*, @tag; T+ also those that need T, +T those that it needs",
     offsetof(options, select)},
    {0},
};

/* What is drawn. */
typedef struct drawing {
    const sm_pipeline *p;
    const bool *chosen;
    int32_t n;
} drawing;

/* ---- a tree ---------------------------------------------------------------------------------- */

/* The task below which one stands; −1: none. */
static int32_t above(const drawing *d, int32_t task)
{
    const sm_task_place at = sm_pipeline_task_place(d->p, task);
    int32_t last = -1;

    for (int32_t i = 0; i < at.n_needs; i++) {
        last = d->chosen[at.needs[i]] && at.needs[i] > last ? at.needs[i] : last;
    }
    return last;
}

static void print_line(const drawing *d, int32_t task, int depth)
{
    const sm_task_place at = sm_pipeline_task_place(d->p, task);
    const int32_t up = above(d, task);
    SM_ASSERT(d->chosen[task] && up < task);
    const char *between = " (also needs ";

    printf("%*s%.*s  %s", depth * 2, "", SM_STR_ARG(sm_pipeline_task_name(d->p, task)),
           sm_task_kind_name(sm_pipeline_task_kind(d->p, task)));
    if (at.source.len > 0) {
        printf(" of %.*s", SM_STR_ARG(at.source));
    }
    for (int32_t i = 0; i < at.n_needs; i++) {
        if (at.needs[i] != up && d->chosen[at.needs[i]]) {
            printf("%s%.*s", between, SM_STR_ARG(sm_pipeline_task_name(d->p, at.needs[i])));
            between = ", ";
        }
    }
    printf("%s\n", between[0] == ',' ? ")" : "");
}

/* Prints all tasks below one (−1: those below none), each followed by those below it. */
static void print_tree(const drawing *d, sm_arena *a)
{
    int32_t *stack = SM_NEW_ARRAY(a, int32_t, d->n + 1), n_stack = 0;
    int32_t *next = SM_NEW_ARRAY(a, int32_t, d->n + 1); /* of each level: the next to look at */

    stack[n_stack++] = -1;
    next[0] = 0;
    while (n_stack > 0) {
        const int32_t up = stack[n_stack - 1];
        int32_t i = next[n_stack - 1];
        while (i < d->n && !(d->chosen[i] && above(d, i) == up)) {
            i++;
        }
        next[n_stack - 1] = i + 1;
        if (i == d->n) {
            n_stack--;
            continue;
        }
        SM_ASSERT(n_stack <= d->n && i > up); /* a task stands behind what it needs */
        print_line(d, i, n_stack - 1);
        next[n_stack] = i + 1;
        stack[n_stack++] = i;
    }
}

/* ---- languages ------------------------------------------------------------------------------- */

/* A text within double quotes of DOT. Names have no quotes, but those of sources may. */
static void print_quoted(sm_str s)
{
    putchar('"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"' || s.data[i] == '\\') {
            putchar('\\');
        }
        putchar(s.data[i]);
    }
    putchar('"');
}

static void print_dot(const drawing *d)
{
    printf("digraph ");
    print_quoted(sm_pipeline_name(d->p));
    printf(" {\n  rankdir=LR;\n  node [shape=box];\n");
    for (int32_t i = 0; i < d->n; i++) {
        const sm_task_place at = sm_pipeline_task_place(d->p, i);
        const sm_str name = sm_pipeline_task_name(d->p, i);
        if (!d->chosen[i]) {
            continue;
        }
        printf("  ");
        print_quoted(name);
        printf(" [label=\"%.*s\\n%s\"];\n", SM_STR_ARG(name),
               sm_task_kind_name(sm_pipeline_task_kind(d->p, i)));
        if (at.source.len > 0) {
            printf("  ");
            print_quoted(at.source);
            printf(" [shape=cylinder];\n  ");
            print_quoted(at.source);
            printf(" -> ");
            print_quoted(name);
            printf(";\n");
        }
        for (int32_t k = 0; k < at.n_needs; k++) {
            if (d->chosen[at.needs[k]]) {
                printf("  ");
                print_quoted(sm_pipeline_task_name(d->p, at.needs[k]));
                printf(" -> ");
                print_quoted(name);
                printf(";\n");
            }
        }
    }
    printf("}\n");
}

/* Nodes are numbered: Mermaid's own words would be no names. */
static void print_mermaid(const drawing *d)
{
    printf("graph LR\n");
    for (int32_t i = 0; i < d->n; i++) {
        const sm_task_place at = sm_pipeline_task_place(d->p, i);
        if (!d->chosen[i]) {
            continue;
        }
        printf("  t%d[\"%.*s<br>%s\"]\n", i, SM_STR_ARG(sm_pipeline_task_name(d->p, i)),
               sm_task_kind_name(sm_pipeline_task_kind(d->p, i)));
        if (at.source.len > 0) {
            printf("  s%d[(\"%.*s\")] --> t%d\n", i, SM_STR_ARG(at.source), i);
        }
        for (int32_t k = 0; k < at.n_needs; k++) {
            if (d->chosen[at.needs[k]]) {
                printf("  t%d --> t%d\n", at.needs[k], i);
            }
        }
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status print_graph(const drawing *d, const char *format, sm_arena *a, sm_error *e)
{
    if (!format || strcmp(format, "text") == 0) {
        print_tree(d, a);
    } else if (strcmp(format, "dot") == 0) {
        print_dot(d);
    } else if (strcmp(format, "mermaid") == 0) {
        print_mermaid(d);
    } else {
        return sm_fail(e, SM_USAGE, "--format is text, dot or mermaid, not \"%s\"", format);
    }
    return SM_OK;
}

static sm_status draw(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_pipeline *p = NULL;
    bool *chosen = NULL;

    SM_ASSERT(n_args == 1);
    if (cli->globals.json) {
        return sm_fail(e, SM_USAGE, "graph has no --json: `smelt ls --json` lists tasks and needs");
    }
    SM_TRY(sm_pipeline_open(cli->env.stores, sm_str_of(args[0]), &p, e));
    sm_status st = sm_pipeline_select(p, sm_str_of(o->select), cli->arena, &chosen, e);
    if (st == SM_OK) {
        const drawing d = {.p = p, .chosen = chosen, .n = sm_pipeline_tasks(p)};
        st = print_graph(&d, o->format, cli->arena, e);
    }
    sm_pipeline_close(p);
    return st;
}

const smi_command smi_command_graph = {
    .name = "graph",
    .usage = "PIPELINE [--format text|dot|mermaid] [--select S]",
    .summary = "Draws which task of a pipeline needs which.",
    .details = "\n"
               "  smelt graph pipelines/sales/delta.yaml\n"
               "  smelt graph pipelines/sales/delta.yaml --format dot | dot -Tsvg > sales.svg\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1,
    .run = draw,
};
