/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_contract_int.h: contracts on the command line: how they are read, and the parts of
 * `smelt contract` that stand in files of their own. */
#ifndef SM_CLI_CLI_CONTRACT_INT_H
#define SM_CLI_CLI_CONTRACT_INT_H

#include "cli/cli_int.h"
#include "contract/contract.h"

/* ---- a contract file (cli_contract.c) -------------------------------------------------------- */

/** Reads a contract, and tells on stderr what of it is not checked. Errors: those of
 * smi_read_text() and of sm_contract_read(). */
sm_status smi_contract_read(smi_cli *cli, const char *path, sm_contract **out,
                            sm_error *e) SM_MUST_USE;
/** Appends a note behind its place in the file. */
void smi_note_put(sm_buf *out, sm_str file, const sm_contract_note *note);
/** Tells notes on stderr, a line each. */
void smi_notes_tell(sm_str file, const sm_contract_note *notes, int64_t n);

/* ---- smelt contract diff (cli_contract_diff.c) ----------------------------------------------- */

/** Prints what changed between two contracts, as a table or with --json as one object. `whom`:
 * SM_BREAKS_… SM_CONTRACT where a change breaks one of them. */
sm_status smi_contract_diff_print(smi_cli *cli, const sm_contract *before, const sm_contract *after,
                                  unsigned whom, sm_error *e) SM_MUST_USE;

/* ---- smelt contract accept (cli_contract_accept.c) ------------------------------------------- */

typedef struct smi_accept {
    const char *pipeline, *table; /* NULL: of all loads */
    smi_list vars;
    bool writes; /* the files; else a diff is printed */
} smi_accept;
/** Takes the keys that came into a pipeline's sources. SM_UNSUPPORTED where some are left. */
sm_status smi_contract_accept(smi_cli *cli, const smi_accept *o, sm_error *e) SM_MUST_USE;

#endif
