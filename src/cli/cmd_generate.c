/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_generate.c: `smelt generate logs DIR`: writes sample logs, to try smelt with and as the
 * input of the bench. */
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

typedef struct options {
    const char *month;
    int64_t days, rows, contracts, seed;
    double damage, violations;
    bool is_mixed;
} options;

static const smi_opt option_table[] = {
    {"--month", SMI_OPT_TEXT, "M", "the month of the logs (default: 2022-04)",
     offsetof(options, month)},
    {"--days", SMI_OPT_I64, "N",
     "number of days, from the first of the month (default: 30, or the whole month if shorter)",
     offsetof(options, days)},
    {"--rows", SMI_OPT_I64, "N", "lines per day (default: 20,000)", offsetof(options, rows)},
    {"--contracts", SMI_OPT_I64, "N", "number of customers (default: 1,000,000)",
     offsetof(options, contracts)},
    {"--damage", SMI_OPT_F64, "SHARE", "share of odd and broken lines, 0 to 1 (default: 0)",
     offsetof(options, damage)},
    {"--violations", SMI_OPT_F64, "SHARE",
     "share of lines that break a rule of the contracts, 0 to 1 (default: 0)",
     offsetof(options, violations)},
    {"--mixed", SMI_OPT_FLAG, NULL, "vary the order of keys, leave out keys, use escapes",
     offsetof(options, is_mixed)},
    {"--seed", SMI_OPT_I64, "S", "seed of the random numbers (default: 1)",
     offsetof(options, seed)},
    {0},
};

static void print_json(smi_cli *cli, const sm_generate_opts *g, int64_t lines, int64_t bytes)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "folder", g->folder);
    sm_json_set_i64_or_null(&w, "files", g->n_days);
    sm_json_set_i64_or_null(&w, "lines", lines);
    sm_json_set_i64_or_null(&w, "bytes", bytes);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static sm_status generate_logs(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_generate_opts g = {
        .folder = sm_str_of(args[1]),
        .rows = smi_given_or(o->rows, 20000),
        .contracts = smi_given_or(o->contracts, 1000000),
        .damage = o->damage,
        .violations = o->violations,
        .is_mixed = o->is_mixed,
        .seed = (uint64_t)smi_given_or(o->seed, 1),
    };
    char first_day[32], size[SM_SIZE_TEXT_BYTES];
    char counted[SM_COUNTED_TEXT_BYTES], files[SM_COUNTED_TEXT_BYTES];
    int64_t lines = 0, bytes = 0;

    if (strcmp(args[0], "logs") != 0) {
        return sm_fail(e, SM_USAGE, "cannot generate \"%s\", only logs", args[0]);
    }
    const char *month = o->month ? o->month : "2022-04";
    snprintf(first_day, sizeof(first_day), "%.20s-01", month);
    if (!sm_parse_date(sm_str_of(first_day), &g.month)) {
        return sm_fail(e, SM_USAGE, "--month \"%s\" is not a month, like 2022-04", month);
    }
    const sm_civil first = sm_civil_from_days(g.month);
    SM_ASSERT(first.day == 1);
    const int in_month = sm_days_in_month(first.year, first.month);
    const int64_t days = smi_given_or(o->days, in_month < 30 ? in_month : 30);
    if (days < 1 || days > in_month) {
        return sm_fail(e, SM_USAGE, "--days %lld is not from 1 to %d, the days of that month",
                       (long long)days, in_month);
    }
    g.n_days = (int32_t)days;
    SM_TRY(sm_generate_logs(&g, &cli->env, &lines, &bytes, e));
    if (cli->globals.json) {
        print_json(cli, &g, lines, bytes);
        return SM_OK;
    }
    if (cli->globals.quiet) {
        return SM_OK;
    }
    sm_format_counted(lines, "line", counted);
    sm_format_counted(g.n_days, "file", files);
    sm_format_size(bytes, size);
    fprintf(stderr, "%s, %s, in %s in %s\n", counted, size, files, args[1]);
    return SM_OK;
}

const smi_command smi_command_generate = {
    .name = "generate",
    .usage = "logs DIR [--month M] [--days N] [--rows N] [--damage SHARE] [--mixed] [--seed S]",
    .summary = "Writes sample logs.",
    .details =
        "Writes viewing logs of a telecom, one NDJSON file per day. With --damage or\n"
        "--violations, the file MANIFEST.ndjson beside the logs says what was done to each line\n"
        "and what a reader must make of it. The same options give the same bytes.\n"
        "\n"
        "  smelt generate logs ./logs --month 2022-04 --days 30 --rows 20000 --damage 0.01\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 2,
    .run = generate_logs,
};
