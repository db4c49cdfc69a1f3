/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_answer.c: prints an answer for machines (--json): one value on a line of stdout. Called
 * by the commands and by main.c. */
#include <stdio.h>

#include "cli/cli_int.h"

void smi_answer_print(smi_cli *cli, sm_json_writer *w)
{
    SM_ASSERT(w->depth == 0 && !w->has_key); /* a whole value */
    SM_ASSERT(w->out->len > 0 && w->out->data[w->out->len - 1] != '\n');
    SM_ASSERT(!cli || !cli->has_answered); /* stdout gets one */
    if (cli) {
        cli->has_answered = true;
    }
    fwrite(w->out->data, 1, w->out->len, stdout);
    putchar('\n');
    sm_buf_release(w->out);
}
