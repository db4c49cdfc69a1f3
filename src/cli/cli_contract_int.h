/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_contract_int.h: the parts of `smelt contract` that stand in files of their own. */
#ifndef SM_CLI_CLI_CONTRACT_INT_H
#define SM_CLI_CLI_CONTRACT_INT_H

#include "cli/cli_int.h"
#include "contract/contract.h"

/* ---- smelt contract diff (cli_contract_diff.c) ----------------------------------------------- */

/** Prints what changed between two contracts, as a table or with --json as one object. `whom`:
 * SM_BREAKS_… SM_CONTRACT where a change breaks one of them. */
sm_status smi_contract_diff_print(smi_cli *cli, const sm_contract *before, const sm_contract *after,
                                  unsigned whom, sm_error *e) SM_MUST_USE;

#endif
