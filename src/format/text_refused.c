/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_refused.c: collects refused lines and makes batches of sm_refused_schema, for every
 * line-based format. The bytes of a line are not copied: the batch keeps the block that they were
 * read into.
 * Callers  json.c */
#include "format/text_int.h"

void smi_refused_init(smi_refused *r, sm_budget *budget)
{
    *r = (smi_refused){.budget = budget};
    for (int i = 0; i < SM_REFUSED_COLUMNS; i++) {
        r->columns[i] = sm_builder_new(sm_refused_schema.fields[i].type, budget);
    }
}

void smi_refused_release(smi_refused *r)
{
    for (int i = 0; i < SM_REFUSED_COLUMNS; i++) {
        sm_builder_free(r->columns[i]);
    }
    *r = (smi_refused){0};
}

void smi_refused_reset(smi_refused *r)
{
    for (int i = 0; i < SM_REFUSED_COLUMNS; i++) {
        sm_builder_truncate(r->columns[i], 0);
    }
    r->n_rows = 0;
    r->bound = NULL;
}

void smi_refused_add(smi_refused *r, const smi_line *line, sm_str column, const char *reason,
                     const char *message)
{
    SM_ASSERT(line->number > 0 && line->full_bytes >= line->len);
    SM_ASSERT(line->is_too_long == (line->full_bytes > line->len));
    if (r->bound != line->block) {
        r->bound = line->block;
        r->bound_index = sm_builder_block(r->columns[SM_REFUSED_RAW], line->block);
    }
    const sm_str raw = {(const char *)line->data, line->len};
    sm_builder_i64(r->columns[SM_REFUSED_LINE], line->number);
    sm_builder_i64(r->columns[SM_REFUSED_BYTE_OFFSET], (int64_t)line->off_bytes);
    if (column.data) {
        sm_builder_str(r->columns[SM_REFUSED_COLUMN], column);
    } else {
        sm_builder_null(r->columns[SM_REFUSED_COLUMN]);
    }
    sm_builder_str(r->columns[SM_REFUSED_REASON], sm_str_of(reason));
    sm_builder_str(r->columns[SM_REFUSED_MESSAGE], sm_str_of(message));
    sm_builder_str_in(r->columns[SM_REFUSED_RAW], r->bound_index, raw);
    sm_builder_i64(r->columns[SM_REFUSED_RAW_BYTES], (int64_t)line->full_bytes);
    r->n_rows++;
}

sm_status smi_refused_take(smi_refused *r, sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL;
    sm_status st = sm_batch_new(r->budget, &sm_refused_schema, &b, e);
    for (int i = 0; i < SM_REFUSED_COLUMNS && st == SM_OK; i++) {
        st = sm_builder_finish(r->columns[i], b, &b->columns[i], e);
    }
    r->bound = NULL;
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    SM_ASSERT(b->columns[SM_REFUSED_LINE].n_rows == r->n_rows);
    b->n_rows = r->n_rows;
    r->n_rows = 0;
    *out = b;
    return SM_OK;
}
