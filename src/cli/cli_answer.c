/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_answer.c: answers that are no text for a terminal: for machines (--json) one value on a
 * line of stdout, for a browser (--html) a page. Called by the commands and by main.c. */
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

sm_status smi_page_write(smi_cli *cli, sm_str page, const char *file, sm_error *e)
{
    sm_str folder = {0}, name = {0};
    sm_store *store = NULL;

    SM_ASSERT(page.len > 0);
    sm_uri_split(sm_str_of(file), &folder, &name);
    sm_status st = sm_store_open(cli->env.stores, folder, &store, e);
    st = st == SM_OK ? sm_store_put(store, name, page.data, page.len, SM_PUT_REPLACE, e) : st;
    sm_store_release(store);
    return sm_within(e, st, "the page of the verdict at %s", file);
}
