/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_answer.c: what all answers for machines (--json) share: one object on stdout, and how an
 * error stands in it. Called by the commands and by main.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/quote.h"
#include "cli/cli_int.h"

void smi_answer_key(sm_buf *out, const char *key)
{
    const uint8_t last = out->len > 0 ? out->data[out->len - 1] : '{';

    sm_buf_printf(out, "%s\"%s\":", last == '{' ? "" : ",", key);
}

void smi_answer_item(sm_buf *out)
{
    if (out->data[out->len - 1] != '[') {
        sm_buf_text(out, SM_STR(","));
    }
}

void smi_answer_text(sm_buf *out, const char *key, sm_str text)
{
    smi_answer_key(out, key);
    if (text.len > 0) {
        sm_buf_json_str(out, text);
    } else {
        sm_buf_text(out, SM_STR("null"));
    }
}

void smi_answer_number(sm_buf *out, const char *key, int64_t n)
{
    smi_answer_key(out, key);
    if (n < 0) {
        sm_buf_text(out, SM_STR("null"));
    } else {
        sm_buf_printf(out, "%" PRId64, n);
    }
}

void smi_answer_error(sm_buf *out, const sm_error *e)
{
    char place[sizeof(e->object) + 64];

    sm_error_format_place(e, place, sizeof(place));
    smi_answer_key(out, "error");
    sm_buf_text(out, SM_STR("{"));
    smi_answer_text(out, "status", sm_str_of(sm_status_name(e->status)));
    smi_answer_number(out, "code", (int64_t)e->status);
    smi_answer_text(out, "message", sm_str_of(e->what[0] ? e->what : sm_status_text(e->status)));
    smi_answer_text(out, "place", sm_str_of(place));
    smi_answer_text(out, "todo", sm_str_of(e->todo));
    smi_answer_key(out, "within");
    sm_buf_text(out, SM_STR("["));
    for (int i = 0; i < e->frames && i < SM_COUNT(e->frame); i++) {
        smi_answer_item(out);
        sm_buf_json_str(out, sm_str_of(e->frame[i]));
    }
    sm_buf_text(out, SM_STR("]}"));
}

void smi_answer_print(smi_cli *cli, sm_buf *answer)
{
    if (cli) {
        cli->has_answered = true;
    }
    fwrite(answer->data, 1, answer->len, stdout);
    putchar('\n');
    sm_buf_release(answer);
}
