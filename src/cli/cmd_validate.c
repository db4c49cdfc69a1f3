/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_validate.c: `smelt validate PIPELINE...`: reads pipeline files with all that they name,
 * and says whether they could run: SQL, contracts, the order of tasks, the tests beside them. Reads
 * no data, and opens nothing of the lake. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

/* The tests of its SQL, where the file is there. */
static sm_status read_tests(smi_cli *cli, const sm_pipeline *p, const char *path, sm_error *e)
{
    const sm_str file = smi_tests_file(cli, path);
    sm_unit_tests *t = NULL;
    sm_str text = {0};
    const sm_status st = smi_read_text(cli, file.data, &text, e);

    if (st == SM_NOT_FOUND) {
        return SM_OK;
    }
    return st == SM_OK ? sm_unit_tests_read(p, cli->env.stores, file, text, cli->arena, &t, e) : st;
}

static sm_status validate_one(smi_cli *cli, const char *path, int32_t *n_tasks, sm_error *e)
{
    sm_pipeline *p = NULL;

    SM_TRY(sm_pipeline_open(cli->env.stores, sm_str_of(path), &p, e));
    const sm_status st = read_tests(cli, p, path, e);
    *n_tasks = sm_pipeline_tasks(p);
    sm_pipeline_close(p);
    return st;
}

static void print_file(const char *path, int32_t n_tasks, sm_status st, const sm_error *e)
{
    char text[sizeof(e->object) + 64];

    SM_ASSERT(st == SM_OK || e->what[0] != '\0');
    if (st == SM_OK) {
        sm_format_counted(n_tasks, "task", text);
        printf("ok    %s: %s\n", path, text);
    } else {
        sm_error_format_place(e, text, sizeof(text));
        printf("FAIL  %s: %s%s%s\n", path, e->what, text[0] ? ", at " : "", text);
    }
}

static void put_file(sm_json_writer *w, const char *path, int32_t n_tasks, sm_status st,
                     const sm_error *e)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "file", sm_str_of(path));
    sm_json_set_bool(w, "valid", st == SM_OK);
    if (st == SM_OK) {
        sm_json_set_i64(w, "tasks", n_tasks);
    } else {
        sm_json_set_error(w, e);
    }
    sm_json_end_object(w);
}

/* All files are read; the first mistake is the command's, with all that is known of it. */
static sm_status validate(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};
    sm_status first = SM_OK;

    SM_ASSERT(opts && n_args > 0);
    sm_json_begin_object(&w);
    sm_json_set_array(&w, "files");
    for (int i = 0; i < n_args; i++) {
        sm_error failure = {0};
        int32_t n_tasks = 0;
        const sm_status st = validate_one(cli, args[i], &n_tasks, &failure);
        put_file(&w, args[i], n_tasks, st, &failure);
        if (!cli->globals.json) {
            print_file(args[i], n_tasks, st, &failure);
        }
        if (st != SM_OK && first == SM_OK) {
            first = st;
            *e = failure;
        }
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    if (cli->globals.json) {
        smi_answer_print(cli, &w);
    } else {
        sm_buf_release(&out);
    }
    return first;
}

static const smi_opt option_table[] = {{0}};

const smi_command smi_command_validate = {
    .name = "validate",
    .usage = "PIPELINE...",
    .summary = "Reads pipelines with their SQL, contracts and tests, and runs nothing.",
    .details = "The first mistake of each file is told with its line and column.\n"
               "\n"
               "  smelt validate pipelines/*/*.yaml\n",
    .options = option_table,
    .opts_bytes = 1,
    .min_args = 1,
    .max_args = 1000,
    .run = validate,
};
