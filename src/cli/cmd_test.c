/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_test.c: `smelt test PIPELINE [FILE]`: runs the tests of a pipeline's SQL and prints, for
 * each that failed, which rows differ. Reads nothing of the lake, and writes nothing. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

#define SHOWN_ROWS 20 /* of those that differ, on each side */

typedef struct options {
    const char *select;
} options;

static const smi_opt option_table[] = {
    {"--select -s", SMI_OPT_TEXT, "NAME", "only the test of that name, or those of that task",
     offsetof(options, select)},
    {0},
};

/* ---- one test -------------------------------------------------------------------------------- */

static bool is_chosen(const sm_unit_tests *t, int32_t i, const options *o)
{
    const sm_str wanted = sm_str_of(o->select ? o->select : "");

    return !o->select || sm_str_eq(sm_unit_test_name(t, i), wanted) ||
           sm_str_eq_nocase(sm_unit_test_model(t, i), wanted);
}

static bool has_passed(sm_status st, const sm_unit_result *r)
{
    return st == SM_OK && r->n_missing == 0 && r->n_unexpected == 0;
}

static void print_rows(char sign, const sm_str *rows, int64_t n)
{
    char others[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(rows || n == 0);
    for (int64_t i = 0; i < n && i < SHOWN_ROWS; i++) {
        printf("  %c ", sign);
        fwrite(rows[i].data, 1, rows[i].len, stdout);
        printf("\n");
    }
    if (n > SHOWN_ROWS) {
        sm_format_counted(n - SHOWN_ROWS, "other", others);
        printf("  %c %s\n", sign, others);
    }
}

/* An error of the test itself stands on stdout, where its name does. */
static void print_error(const sm_error *e)
{
    char text[4096];

    sm_error_format(e, text, sizeof(text));
    printf("  %s", text);
}

static void print_result(const sm_unit_tests *t, int32_t i, sm_status st, const sm_unit_result *r,
                         const sm_error *e)
{
    const sm_str name = sm_unit_test_name(t, i), model = sm_unit_test_model(t, i);
    char came[SM_COUNTED_TEXT_BYTES];

    printf("%s  %.*s: %.*s\n", has_passed(st, r) ? "ok  " : "FAIL", SM_STR_ARG(model),
           SM_STR_ARG(name));
    if (st != SM_OK) {
        print_error(e);
    } else if (!has_passed(st, r)) {
        sm_format_counted(r->n_rows, "row", came);
        printf("  %s came, %" PRId64 " expected (- did not come, + was not expected)\n", came,
               r->n_expected);
        print_rows('-', r->missing, r->n_missing);
        print_rows('+', r->unexpected, r->n_unexpected);
    }
}

static void put_rows(sm_json_writer *w, const char *key, const sm_str *rows, int64_t n)
{
    sm_json_set_array(w, key);
    for (int64_t i = 0; i < n; i++) {
        sm_json_put_raw(w, rows[i]);
    }
    sm_json_end_array(w);
}

static void put_result(sm_json_writer *w, const sm_unit_tests *t, int32_t i, sm_status st,
                       const sm_unit_result *r, const sm_error *e)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "name", sm_unit_test_name(t, i));
    sm_json_set_text(w, "model", sm_unit_test_model(t, i));
    sm_json_set_text(w, "outcome",
                     st != SM_OK         ? SM_STR("error")
                     : has_passed(st, r) ? SM_STR("passed")
                                         : SM_STR("failed"));
    if (st != SM_OK) {
        sm_json_set_error(w, e);
    } else {
        sm_json_set_i64(w, "rows", r->n_rows);
        sm_json_set_i64(w, "expected", r->n_expected);
        put_rows(w, "missing", r->missing, r->n_missing);
        put_rows(w, "unexpected", r->unexpected, r->n_unexpected);
    }
    sm_json_end_object(w);
}

/* ---- all tests ------------------------------------------------------------------------------- */

typedef struct counts {
    int32_t n_passed, n_failed;
} counts;

static sm_status run_tests(smi_cli *cli, const sm_unit_tests *t, const options *o,
                           sm_json_writer *w, counts *out, sm_error *e)
{
    for (int32_t i = 0; i < sm_unit_tests_n(t); i++) {
        sm_unit_result result = {0};
        sm_error failure = {0};
        if (!is_chosen(t, i, o)) {
            continue;
        }
        const sm_status st = sm_unit_test_run(t, i, &cli->env, cli->arena, &result, &failure);
        if (st == SM_INTERRUPTED) {
            *e = failure;
            return st;
        }
        *(has_passed(st, &result) ? &out->n_passed : &out->n_failed) += 1;
        if (cli->globals.json) {
            put_result(w, t, i, st, &result, &failure);
        } else {
            print_result(t, i, st, &result, &failure);
        }
    }
    return SM_OK;
}

static sm_status judge(const counts *n, const options *o, sm_error *e)
{
    if (n->n_passed + n->n_failed == 0) {
        return o->select ? sm_fail(e, SM_NAME, "there is no test \"%s\", and none of such a task",
                                   o->select)
                         : sm_fail(e, SM_NAME, "the file has no tests");
    }
    return n->n_failed == 0 ? SM_OK
                            : sm_fail(e, SM_INVALID, "%d of %d tests failed", n->n_failed,
                                      n->n_passed + n->n_failed);
}

static sm_status test_pipeline(smi_cli *cli, const sm_unit_tests *t, const options *o, sm_error *e)
{
    counts n = {0};
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_array(&w, "tests");
    sm_status st = run_tests(cli, t, o, &w, &n, e);
    st = st == SM_OK ? judge(&n, o, e) : st;
    if (!cli->globals.json) {
        sm_buf_release(&out);
        printf("%d passed, %d failed\n", n.n_passed, n.n_failed);
        return st;
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "passed", n.n_passed);
    sm_json_set_i64(&w, "failed", n.n_failed);
    if (st != SM_OK) {
        sm_json_set_error(&w, e);
    }
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
    return st;
}

static sm_status run_test(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const sm_str file = n_args > 1 ? sm_str_of(args[1]) : smi_tests_file(cli, args[0]);
    sm_pipeline *p = NULL;
    sm_unit_tests *t = NULL;
    sm_str text = {0};

    SM_TRY(sm_pipeline_open(cli->env.stores, sm_str_of(args[0]), &p, e));
    sm_status st = smi_read_text(cli, file.data, &text, e);
    st = st == SM_OK ? sm_unit_tests_read(p, cli->env.stores, file, text, cli->arena, &t, e) : st;
    st = st == SM_OK ? test_pipeline(cli, t, opts, e) : st;
    sm_pipeline_close(p);
    return st;
}

const smi_command smi_command_test = {
    .name = "test",
    .usage = "PIPELINE [FILE] [--select NAME]",
    .summary = "Tests the SQL of a pipeline with rows that are given and expected.",
    .details =
        "FILE is tests.yaml beside the pipeline, unless it is said. Each test runs the SQL of "
        "a task over\n"
        "the rows that it gives, and compares what comes with the rows that it expects.\n"
        "\n"
        "  smelt test pipelines/shop.yaml\n"
        "  smelt test pipelines/shop.yaml -s silver.orders\n"
        "\n"
        "It ends with 1 where a test fails.\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 2,
    .run = run_test,
};
