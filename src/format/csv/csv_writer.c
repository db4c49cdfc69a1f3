/* SPDX-License-Identifier: Apache-2.0
 *
 * format/csv/csv_writer.c: rows as CSV (RFC 4180, but with LF): a line of column names, then a line
 * a row. A value is quoted where it holds a quote, a comma or the end of a line. NULL is an empty
 * field and an empty text a quoted one, so that the two stay apart. */
#include "base/quote.h"
#include "format/text_writer_int.h"

static void put_cell(sm_buf *out, sm_str s)
{
    bool is_plain = s.len > 0;

    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        is_plain = is_plain && c != '"' && c != ',' && c != '\n' && c != '\r';
    }
    if (is_plain) {
        sm_buf_text(out, s);
    } else {
        sm_buf_quoted(out, s, '"');
    }
}

static void put_names(smi_text_out *o)
{
    for (int32_t c = 0; c < o->schema->n_fields; c++) {
        sm_buf_text(&o->text, c ? SM_STR(",") : SM_STR(""));
        put_cell(&o->text, o->schema->fields[c].name);
    }
    sm_buf_text(&o->text, SM_STR("\n"));
}

static void put_row(smi_text_out *o, const sm_batch *b, int64_t row)
{
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_buf_text(&o->text, c ? SM_STR(",") : SM_STR(""));
        if (!sm_column_is_null(&b->columns[c], row)) {
            sm_buf_reset(&o->cell);
            sm_column_print(&b->columns[c], row, &o->cell);
            put_cell(&o->text, sm_buf_str(&o->cell));
        }
    }
    sm_buf_text(&o->text, SM_STR("\n"));
}

static const smi_text_layout csv_layout = {.begin = put_names, .row = put_row};

static sm_status csv_open(const sm_type *schema, const void *opts, sm_bytes_out to, sm_pool *pool,
                          sm_budget *budget, sm_writer **out, sm_error *e)
{
    return smi_text_writer_open(&csv_layout, schema, to, budget, out, e);
}

static const struct sm_writer_ops csv_writer = {
    .open = csv_open,
    .write = smi_text_writer_write,
    .bytes = smi_text_writer_bytes,
    .finish = smi_text_writer_finish,
    .close = smi_text_writer_close,
};

/* Not read yet, so no name is read as CSV by its suffix. */
const sm_format sm_format_csv = {
    .name = "csv",
    .suffixes = "",
    .summary = "Comma-separated values, written only.",
    .is_text = true,
    .writer = &csv_writer,
};
