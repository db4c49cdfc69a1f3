/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_query_int.h: the options that sql and explain share, and the query that they
 * give. */
#ifndef SM_CLI_CLI_QUERY_INT_H
#define SM_CLI_CLI_QUERY_INT_H

#include "cli/cli_int.h"

typedef struct smi_query_opts {
    const char *file, *lake;
    smi_list vars;
} smi_query_opts;

#define SMI_QUERY_OPTIONS(type, member)                                                            \
    {"--file -f", SMI_OPT_TEXT, "FILE", "read the query from a file (- is stdin)",                 \
     offsetof(type, member) + offsetof(smi_query_opts, file)},                                     \
        {"--lake", SMI_OPT_TEXT, "DIR", "folder of the lake's tables (default: ./lake)",           \
         offsetof(type, member) + offsetof(smi_query_opts, lake)},                                 \
    {                                                                                              \
        "--var", SMI_OPT_LIST, "K=V", "value of var('K'), as text; can be repeated",               \
            offsetof(type, member) + offsetof(smi_query_opts, vars)                                \
    }

/** Plans `text`, or where it is NULL the text of --file, or of stdin. *out is the caller's. */
sm_status smi_lake_query_open(smi_cli *cli, const smi_query_opts *o, sm_lake_query_mode mode,
                              const char *text, sm_lake_query **out, sm_error *e) SM_MUST_USE;

/** Runs a statement that changes a table, and prints what it did. Errors: those of
 * sm_lake_query_change(). */
sm_status smi_change_run(smi_cli *cli, sm_lake_query *q, sm_error *e) SM_MUST_USE;
/** Says what of the lake was completed before the statement, if anything. */
void smi_tell_completed(const sm_lake_query *q);
/** Prints how many lines of files were left out, and which keys were passed over, so that nothing
 * is lost unseen. */
void smi_tell_lines(const sm_exec_report *r);

#endif
