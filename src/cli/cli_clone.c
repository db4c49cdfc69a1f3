/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_clone.c: `smelt table clone`: calls the table room and prints what it made. Called by
 * cmd_table.c. */
#include <inttypes.h>

#include "base/text.h"
#include "cli/cli_int.h"

static void answer(smi_cli *cli, const sm_clone *opts, const sm_cloned *r)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", opts->target);
    sm_json_set_text_or_null(&w, "source", opts->source);
    sm_json_set_i64(&w, "source_version", r->source_version);
    sm_json_set_i64(&w, "version", r->version);
    sm_json_set_i64(&w, "files", r->n_files);
    sm_json_set_i64(&w, "bytes", r->bytes);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

sm_status smi_clone_run(smi_cli *cli, const char *source, const char *target, const sm_table_at *at,
                        sm_error *e)
{
    const sm_clone opts = {.source = sm_str_of(source), .target = sm_str_of(target), .at = *at};
    char size[SM_SIZE_TEXT_BYTES];
    sm_store *to = NULL;
    sm_cloned r;

    SM_TRY(sm_store_open(cli->env.stores, opts.target, &to, e));
    const sm_status st = smi_settle_first(cli, to, e);
    sm_store_release(to);
    SM_TRY(st);
    SM_TRY(sm_table_clone(&opts, &cli->env, &r, e));
    SM_ASSERT(r.version == 0 && r.source_version >= 0 && r.n_files >= 0);
    if (cli->globals.json) {
        answer(cli, &opts, &r);
        return SM_OK;
    }
    sm_format_size(r.bytes, size);
    printf("table        %s\nversion      %" PRId64 "\n", target, r.version);
    printf("source       %s, version %" PRId64 "\n", source, r.source_version);
    printf("files        %" PRId64 ", %s, which stay where they are\n", r.n_files, size);
    return SM_OK;
}
