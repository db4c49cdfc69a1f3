/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_convert.c: `smelt table convert`: calls the table room and prints what it made. Called by
 * cmd_table.c. */
#include <inttypes.h>

#include "base/text.h"
#include "cli/cli_int.h"

static void answer(smi_cli *cli, sm_str uri, const sm_converted *r)
{
    sm_buf out = {0}, type = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(r->schema && r->n_files > 0);
    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", uri);
    sm_json_set_i64_or_null(&w, "version", r->version);
    sm_json_set_i64(&w, "files", r->n_files);
    sm_json_set_i64(&w, "bytes", r->bytes);
    sm_json_set_i64(&w, "rows", r->n_rows);
    sm_json_set_i64(&w, "other_files", r->n_others);
    sm_json_set_array(&w, "columns");
    for (int32_t i = 0; i < r->schema->n_fields; i++) {
        sm_buf_reset(&type);
        sm_type_print(r->schema->fields[i].type, &type);
        sm_json_begin_object(&w);
        sm_json_set_text_or_null(&w, "name", r->schema->fields[i].name);
        sm_json_set_text_or_null(&w, "type", sm_buf_str(&type));
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_set_array(&w, "partitioned");
    for (int32_t i = 0; i < r->n_partition_columns; i++) {
        sm_json_put_text(&w, r->partition_columns[i]);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
    sm_buf_release(&type);
}

static void print_report(sm_str uri, const sm_converted *r)
{
    char rows[SM_SIZE_TEXT_BYTES], size[SM_SIZE_TEXT_BYTES];
    sm_buf type = {0};

    SM_ASSERT(r->n_partition_columns <= r->schema->n_fields);
    sm_format_count(r->n_rows, rows);
    sm_format_size(r->bytes, size);
    printf("table        %.*s\n", SM_STR_ARG(uri));
    if (r->version < 0) {
        printf("version      none: this was a dry run\n");
    } else {
        printf("version      %" PRId64 "\n", r->version);
    }
    printf("rows         %s\nfiles        %" PRId64 ", %s\n", rows, r->n_files, size);
    if (r->n_others > 0) {
        printf("left out     %" PRId64 " files of other kinds\n", r->n_others);
    }
    for (int32_t i = 0; i < r->schema->n_fields; i++) {
        sm_buf_reset(&type);
        sm_type_print(r->schema->fields[i].type, &type);
        printf("%-13s%.*s %.*s\n", i ? "" : "columns", SM_STR_ARG(r->schema->fields[i].name),
               SM_STR_ARG(sm_buf_str(&type)));
    }
    for (int32_t i = 0; i < r->n_partition_columns; i++) {
        printf("%-13s%.*s\n", i ? "" : "partitioned", SM_STR_ARG(r->partition_columns[i]));
    }
    sm_buf_release(&type);
}

sm_status smi_convert_run(smi_cli *cli, sm_store *folder, const char *partition_by, bool is_dry,
                          sm_error *e)
{
    const sm_convert opts = {.partition_by = sm_str_of(partition_by), .is_dry = is_dry};
    sm_converted r;

    SM_TRY(sm_table_convert(folder, &opts, &cli->env, cli->arena, &r, e));
    SM_ASSERT((r.version < 0) == is_dry);
    if (cli->globals.json) {
        answer(cli, sm_store_uri(folder), &r);
    } else {
        print_report(sm_store_uri(folder), &r);
    }
    return SM_OK;
}
