/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_contract.c: contract files on the command line: reads them, and tells what of them is
 * left out. Called by cmd_contract.c and cli_constrain.c. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli_contract_int.h"

void smi_note_put(sm_buf *out, sm_str file, const sm_contract_note *note)
{
    if (note->at.line > 0) {
        sm_buf_printf(out, "%.*s:%" PRId64 ":%" PRId64 ": ", SM_STR_ARG(file), note->at.line,
                      note->at.byte);
    }
    sm_buf_text(out, note->text);
}

void smi_notes_tell(sm_str file, const sm_contract_note *notes, int64_t n)
{
    sm_buf line = {0};

    SM_ASSERT(notes || n == 0);
    for (int64_t i = 0; i < n; i++) {
        sm_buf_reset(&line);
        smi_note_put(&line, file, &notes[i]);
        fprintf(stderr, "smelt: %.*s\n", SM_STR_ARG(sm_buf_str(&line)));
    }
    sm_buf_release(&line);
}

sm_status smi_contract_read(smi_cli *cli, const char *path, sm_contract **out, sm_error *e)
{
    const sm_str name = sm_str_of(path);
    sm_str text = {0};

    SM_TRY(smi_read_text(cli, path, &text, e));
    SM_TRY(sm_contract_read(name, text, cli->arena, out, e));
    smi_notes_tell(name, (*out)->notes, (*out)->n_notes);
    return SM_OK;
}
