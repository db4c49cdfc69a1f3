/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_publish.c: `smelt publish clickhouse TABLE_URI --to URL --table NAME`: creates a table of
 * ClickHouse that reads a Delta table. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_int.h"
#include "serve/serve.h"

typedef struct options {
    const char *to, *table;
} options;

static const smi_opt option_table[] = {
    {"--to", SMI_OPT_TEXT, "URL",
     "the server's HTTP interface and a database: http(s)://HOST:PORT/DATABASE",
     offsetof(options, to)},
    {"--table", SMI_OPT_TEXT, "NAME", "name of the table in ClickHouse", offsetof(options, table)},
    {0},
};

static void print_json(smi_cli *cli, const char *name, const sm_clickhouse_published *done)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "name", sm_str_of(name));
    sm_json_set_i64_or_null(&w, "version", done->version);
    sm_json_set_i64_or_null(&w, "rows", done->rows);
    sm_json_set_text_or_null(&w, "server",
                             sm_arena_strf(cli->arena, "ClickHouse %s", done->server));
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static sm_status publish_table(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    char rows[SM_SIZE_TEXT_BYTES];
    sm_clickhouse_published done = {0};

    (void)n_args;
    if (strcmp(args[0], "clickhouse") != 0) {
        return sm_fail(e, SM_USAGE, "cannot publish to \"%s\", only to clickhouse", args[0]);
    }
    if (!o->to || !o->table) {
        return sm_fail(e, SM_USAGE, "publish clickhouse needs --to and --table");
    }
    const sm_clickhouse_publish p = {.table_uri = sm_str_of(args[1]),
                                     .to = sm_str_of(o->to),
                                     .table = sm_str_of(o->table),
                                     .user = sm_str_of(sm_env("CLICKHOUSE_USER")),
                                     .password = sm_str_of(sm_env("CLICKHOUSE_PASSWORD"))};
    SM_TRY(sm_clickhouse_publish_table(&p, &cli->env, &done, e));
    SM_ASSERT(done.version >= 0 && done.rows >= 0);
    if (cli->globals.json) {
        print_json(cli, o->table, &done);
        return SM_OK;
    }
    sm_format_count(done.rows, rows);
    printf("%s: %s rows of version %" PRId64 ", the same in ClickHouse %s\n", o->table, rows,
           done.version, done.server);
    return SM_OK;
}

const smi_command smi_command_publish = {
    .name = "publish",
    .usage = "clickhouse TABLE_URI --to URL --table NAME",
    .summary = "Creates a table in ClickHouse that reads a Delta table.",
    .details =
        "Creates or replaces a table of ClickHouse's DeltaLake engine, after a check that the\n"
        "server reads the same rows as smelt. The user and password are read from\n"
        "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.\n"
        "\n"
        "  smelt publish clickhouse s3://lake/gold/orders \\\n"
        "      --to http://127.0.0.1:8123/default --table orders\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 2,
    .run = publish_table,
};
