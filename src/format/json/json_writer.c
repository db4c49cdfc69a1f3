/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_writer.c: rows as JSON objects, one a line: as NDJSON (format ndjson), or as the
 * elements of one array (format json). json.c reads NDJSON only; an array is for other programs. */
#include "base/json_write.h"
#include "format/json/json_int.h"
#include "format/text_writer_int.h"

static void put_object(smi_text_out *o, const sm_batch *b, int64_t row)
{
    sm_json_writer w = {.out = &o->text};

    sm_json_begin_object(&w);
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_json_key(&w, o->schema->fields[c].name);
        sm_column_json(&b->columns[c], row, &w);
    }
    sm_json_end_object(&w);
}

/* ---- an array -------------------------------------------------------------------------------- */

static void put_element(smi_text_out *o, const sm_batch *b, int64_t row)
{
    sm_buf_text(&o->text, o->n_rows > 0 ? SM_STR(",\n") : SM_STR("[\n"));
    put_object(o, b, row);
}

static void end_array(smi_text_out *o)
{
    sm_buf_text(&o->text, o->n_rows > 0 ? SM_STR("\n]\n") : SM_STR("[]\n"));
}

static const smi_text_layout array_layout = {.row = put_element, .end = end_array};

static sm_status array_open(const sm_type *schema, const void *opts, sm_bytes_out to, sm_pool *pool,
                            sm_budget *budget, sm_writer **out, sm_error *e)
{
    return smi_text_writer_open(&array_layout, schema, to, budget, out, e);
}

const struct sm_writer_ops smi_json_writer = {
    .open = array_open,
    .write = smi_text_writer_write,
    .bytes = smi_text_writer_bytes,
    .finish = smi_text_writer_finish,
    .close = smi_text_writer_close,
};

/* ---- lines ----------------------------------------------------------------------------------- */

static void put_line(smi_text_out *o, const sm_batch *b, int64_t row)
{
    put_object(o, b, row);
    sm_buf_text(&o->text, SM_STR("\n"));
}

static const smi_text_layout lines_layout = {.row = put_line};

static sm_status lines_open(const sm_type *schema, const void *opts, sm_bytes_out to, sm_pool *pool,
                            sm_budget *budget, sm_writer **out, sm_error *e)
{
    return smi_text_writer_open(&lines_layout, schema, to, budget, out, e);
}

static const struct sm_writer_ops lines_writer = {
    .open = lines_open,
    .write = smi_text_writer_write,
    .bytes = smi_text_writer_bytes,
    .finish = smi_text_writer_finish,
    .close = smi_text_writer_close,
};

/* To be written by this name. It is read as json, whose suffixes include .ndjson. */
const sm_format sm_format_ndjson = {
    .name = "ndjson",
    .suffixes = "",
    .summary = "Newline-delimited JSON, written; read as json.",
    .is_text = true,
    .writer = &lines_writer,
};
