/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_answer.c: what all answers for machines (--json) share: one object on stdout, and how an
 * error stands in it. Called by the commands and by main.c. */
#include <stdio.h>

#include "cli/cli_int.h"

void smi_answer_text(sm_json_writer *w, const char *key, sm_str text)
{
    sm_json_key(w, sm_str_of(key));
    if (text.len > 0) {
        sm_json_put_text(w, text);
    } else {
        sm_json_put_null(w);
    }
}

void smi_answer_number(sm_json_writer *w, const char *key, int64_t n)
{
    sm_json_key(w, sm_str_of(key));
    if (n < 0) {
        sm_json_put_null(w);
    } else {
        sm_json_put_i64(w, n);
    }
}

void smi_answer_error(sm_json_writer *w, const sm_error *e)
{
    char place[sizeof(e->object) + 64];

    sm_error_format_place(e, place, sizeof(place));
    sm_json_set_object(w, "error");
    smi_answer_text(w, "status", sm_str_of(sm_status_name(e->status)));
    smi_answer_number(w, "code", (int64_t)e->status);
    smi_answer_text(w, "message", sm_str_of(e->what[0] ? e->what : sm_status_text(e->status)));
    smi_answer_text(w, "place", sm_str_of(place));
    smi_answer_text(w, "todo", sm_str_of(e->todo));
    sm_json_set_array(w, "within");
    for (int i = 0; i < e->frames && i < SM_COUNT(e->frame); i++) {
        sm_json_put_text(w, sm_str_of(e->frame[i]));
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

void smi_answer_print(smi_cli *cli, sm_json_writer *w)
{
    SM_ASSERT(w->depth == 0);
    if (cli) {
        cli->has_answered = true;
    }
    fwrite(w->out->data, 1, w->out->len, stdout);
    putchar('\n');
    sm_buf_release(w->out);
}
