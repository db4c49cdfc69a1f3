/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_quarantine_rows.c: rows that broke rules into a quarantine table.
 *
 * Calls    new for each side output of a plan, before its execution; the sink's push and finish by
 *          that; close after it. By flow, for the contract of a task.
 * Method   A push makes rows of the table from some rows that leave, as many as have PART_BYTES of
 *          JSON, pushes them into data files of its own (smi_out_fork), and goes on. After SM_WAIT
 *          it is called again with the same rows: what was made waits in `pending`.
 * Files    Side outputs and refused lines are given at the same time, by different workers. In
 *          files of their own the order of rows depends on no thread. */
#include "base/text.h"
#include "table/table_int.h"

#define RAW_BYTES     65536   /* of a row are kept, as of a refused line */
#define MESSAGE_BYTES 100     /* of a value in a message */
#define PART_BYTES    1048576 /* of JSON at most, but for the last row, are made at a time */

struct sm_quarantine_rows {
    sm_quarantine *quarantine;
    sm_quarantine_side side;
    smi_out out;
    bool is_finished;  /* all rows came, and their files are durable */
    int64_t at;        /* of the batch in work: rows before it are made */
    sm_batch *pending; /* made, and not taken by `out` yet */
    sm_buf text;       /* one row, or one message */
};

sm_quarantine_rows *sm_quarantine_rows_new(sm_quarantine *q, const sm_quarantine_side *side)
{
    sm_quarantine_rows *r = sm_alloc_zero(sizeof(*r));

    SM_ASSERT(q->stage->state == SMI_STAGE_WRITING);
    SM_ASSERT(side->origin < 0 || side->origin + SM_ORIGIN_COLUMNS < side->leaves->n_fields);
    SM_ASSERT(side->leaves->fields[side->leaves->n_fields - 1].type->id == SM_TYPE_I32);
    r->quarantine = q;
    r->side = *side;
    smi_out_fork(&q->stage->out, &q->lock, &r->out);
    return r;
}

void sm_quarantine_rows_close(sm_quarantine_rows *r)
{
    if (!r) {
        return;
    }
    sm_batch_release(r->pending);
    if (!r->is_finished) {
        r->out.n_opened = (int32_t)r->out.n_adds + (r->out.state != SMI_OUT_NONE);
        smi_out_rollback(&r->out, 0);
    }
    smi_out_join(&r->quarantine->stage->out, &r->out);
    sm_buf_release(&r->text);
    sm_free(r);
}

/* ---- a row ----------------------------------------------------------------------------------- */

/* Is it a column of the row as it is written? */
static bool is_written(const sm_quarantine_side *s, int32_t column)
{
    const bool is_origin =
        s->origin >= 0 && column >= s->origin && column < s->origin + SM_ORIGIN_COLUMNS;
    return column < s->leaves->n_fields - 1 && !is_origin;
}

/* The row as a JSON object, in r->text. */
static void print_row(sm_quarantine_rows *r, const sm_batch *rows, int64_t row)
{
    sm_json_writer w = {.out = &r->text, .is_exact = true};

    sm_buf_reset(&r->text);
    sm_json_begin_object(&w);
    for (int32_t i = 0; i < rows->n_columns; i++) {
        if (is_written(&r->side, i)) {
            sm_json_key(&w, r->side.leaves->fields[i].name);
            sm_column_json(&rows->columns[i], row, &w);
        }
    }
    sm_json_end_object(&w);
}

/* The most of a text that has so many bytes and ends with a character. */
static sm_str first_bytes(sm_str s, size_t most)
{
    if (s.len <= most) {
        return s;
    }
    while (most > 0 && ((uint8_t)s.data[most] & 0xc0) == 0x80) {
        most--;
    }
    return (sm_str){s.data, most};
}

/* "minimum: 0, is -5", in r->text. */
static void print_message(sm_quarantine_rows *r, const sm_quarantine_rule *rule,
                          const sm_batch *rows, int64_t row)
{
    sm_buf_reset(&r->text);
    sm_buf_text(&r->text, rule->wants);
    if (rule->column < 0) {
        return;
    }
    sm_buf value = {0};
    sm_json_writer w = {.out = &value};
    sm_column_json(&rows->columns[rule->column], row, &w);
    const sm_str whole = sm_buf_str(&value), shown = first_bytes(whole, MESSAGE_BYTES);
    sm_buf_printf(&r->text, ", is %.*s%s", SM_STR_ARG(shown), shown.len < whole.len ? "…" : "");
    sm_buf_release(&value);
}

static const sm_quarantine_rule *rule_of(const sm_quarantine_rows *r, const sm_batch *rows,
                                         int64_t row)
{
    const sm_value v = sm_column_value(&rows->columns[rows->n_columns - 1], row);
    SM_ASSERT(!v.is_null && v.as.i >= 0 && v.as.i < r->side.n_rules);
    const sm_quarantine_rule *rule = &r->side.rules[v.as.i];
    SM_ASSERT(rule->column < 0 || is_written(&r->side, rule->column));
    return rule;
}

/* Appends a row to the columns before RUN. Returns how many bytes of JSON it has kept. */
static size_t add_row(sm_quarantine_rows *r, const sm_batch *rows, int64_t row, sm_builder **b)
{
    const sm_quarantine_rule *rule = rule_of(r, rows, row);
    const sm_type *leaves = r->side.leaves;

    for (int32_t i = 0; i < SM_ORIGIN_COLUMNS; i++) {
        sm_builder *const to = b[SMI_QUARANTINE_FILE + i];
        if (r->side.origin >= 0) {
            sm_builder_cell(to, &rows->columns[r->side.origin + i], row);
        } else {
            sm_builder_null(to);
        }
    }
    if (rule->column >= 0) {
        sm_builder_str(b[SMI_QUARANTINE_COLUMN], leaves->fields[rule->column].name);
    } else {
        sm_builder_null(b[SMI_QUARANTINE_COLUMN]);
    }
    sm_builder_str(b[SMI_QUARANTINE_REASON], rule->name);
    print_message(r, rule, rows, row);
    sm_builder_str(b[SMI_QUARANTINE_MESSAGE], sm_buf_str(&r->text));
    print_row(r, rows, row);
    const sm_str raw = sm_buf_str(&r->text);
    const size_t kept = raw.len < RAW_BYTES ? raw.len : RAW_BYTES;
    sm_builder_str(b[SMI_QUARANTINE_RAW], (sm_str){raw.data, kept});
    sm_builder_i64(b[SMI_QUARANTINE_RAW_BYTES], (int64_t)raw.len);
    return kept;
}

/* ---- batches --------------------------------------------------------------------------------- */

static bool takes_row(const sm_quarantine_rows *r, const sm_batch *rows, int64_t row)
{
    const sm_quarantine_side *s = &r->side;

    if (!s->takes || s->origin < 0) {
        return true;
    }
    const sm_column *files = &rows->columns[s->origin + SM_ORIGIN_FILE];
    return sm_column_is_null(files, row) || s->takes(s->ctx, sm_column_str(files, row));
}

static sm_status finish_columns(sm_quarantine_rows *r, sm_builder **b, int64_t n, sm_batch **out,
                                sm_error *e)
{
    sm_batch *made = NULL;
    sm_status st = SM_OK;

    SM_TRY(sm_batch_new(r->quarantine->budget, &smi_quarantine_schema, &made, e));
    made->n_rows = n;
    for (int32_t i = 0; i < SMI_QUARANTINE_RUN && st == SM_OK; i++) {
        st = sm_builder_finish(b[i], made, &made->columns[i], e);
    }
    if (st == SM_OK) {
        st = smi_quarantine_stamp(r->quarantine, made, e);
    }
    if (st != SM_OK) {
        sm_batch_release(made);
        return st;
    }
    *out = made;
    return SM_OK;
}

/* Makes the next rows of the table, and moves r->at behind those that they are of. *out is NULL
 * where none of the rest is taken. */
static sm_status make_part(sm_quarantine_rows *r, const sm_batch *rows, sm_batch **out, sm_error *e)
{
    sm_builder *b[SMI_QUARANTINE_RUN];
    size_t bytes = 0;
    int64_t at = r->at, n = 0;
    sm_status st = SM_OK;

    for (int32_t i = 0; i < SMI_QUARANTINE_RUN; i++) {
        b[i] = sm_builder_new(smi_quarantine_schema.fields[i].type, r->quarantine->budget);
    }
    for (; at < rows->n_rows && bytes < PART_BYTES; at++) {
        if (takes_row(r, rows, at)) {
            bytes += add_row(r, rows, at, b);
            n++;
        }
    }
    st = n > 0 ? finish_columns(r, b, n, out, e) : SM_OK;
    for (int32_t i = 0; i < SMI_QUARANTINE_RUN; i++) {
        sm_builder_free(b[i]);
    }
    r->at = st == SM_OK ? at : r->at;
    return st;
}

static sm_status push_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    sm_quarantine_rows *r = ctx;

    SM_ASSERT(!r->is_finished && rows->n_columns == r->side.leaves->n_fields);
    while (r->pending || r->at < rows->n_rows) {
        if (!r->pending) {
            SM_TRY(make_part(r, rows, &r->pending, e));
        }
        if (r->pending) {
            SM_TRY(smi_out_push(&r->out, r->pending, waker, e));
            sm_batch_release(r->pending);
            r->pending = NULL;
        }
    }
    r->at = 0;
    return SM_OK;
}

static sm_status finish_rows(void *ctx, sm_waker waker, sm_error *e)
{
    sm_quarantine_rows *r = ctx;

    SM_TRY(smi_out_finish(&r->out, waker, e));
    r->is_finished = true;
    return SM_OK;
}

sm_sink sm_quarantine_rows_sink(sm_quarantine_rows *r)
{
    return (sm_sink){.ctx = r, .push = push_rows, .finish = finish_rows};
}
