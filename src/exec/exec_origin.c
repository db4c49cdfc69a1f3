/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_origin.c: from which line of a file a row comes, for rows that leave by the side output
 * of a CHECK.
 *
 * Calls    set by exec_tally.c as morsels are accounted; mark by exec_scan.c for each batch; the
 *          sink stands between a side output and its sink (exec_check.c).
 * Method   A reader knows only the number of a line within its morsel. That of the file is known
 *          when all earlier morsels are read, but rows do not wait for that. So they carry both
 *          numbers in one (the morsel's is its ordinal, which no other scan of a UNION has), and
 *          what is missing is added where they leave. There it is known: a row leaves in its task's
 *          turn, when all tasks before it are closed, and so accounted; or by a later pipe. */
#include "exec/exec_int.h"

/* Of 63 bits: 16 million morsels, which are 16 TB of text, of 5 * 10^11 lines each, which a
 * compressed file, being one morsel, may have. */
#define LINE_BITS 39
#define LINE_MAX  ((INT64_C(1) << LINE_BITS) - 1)
#define MORSELS   (INT64_C(1) << (63 - LINE_BITS))

void smi_origin_init(smi_origin *o)
{
    *o = (smi_origin){0};
    sm_mutex_init(&o->lock);
}

void smi_origin_release(smi_origin *o)
{
    sm_free(o->lines_before);
    sm_mutex_release(&o->lock);
}

void smi_origin_set(smi_origin *o, uint64_t ordinal, int64_t n_lines)
{
    const int64_t morsel = (int64_t)ordinal;

    SM_ENSURE(ordinal < (uint64_t)MORSELS);
    sm_mutex_lock(&o->lock);
    if (morsel >= o->cap) {
        o->cap = morsel < 32 ? 64 : 2 * morsel;
        o->lines_before = sm_realloc(o->lines_before, (size_t)o->cap * sizeof(int64_t));
    }
    for (; o->n <= morsel; o->n++) { /* the first one, which nobody says it of */
        o->lines_before[o->n] = 0;
    }
    o->lines_before[morsel] = n_lines;
    sm_mutex_unlock(&o->lock);
}

sm_status smi_origin_mark(const sm_column *lines, uint64_t ordinal, sm_batch *into, sm_column *out,
                          sm_error *e)
{
    void *mem = NULL;

    SM_ENSURE(ordinal < (uint64_t)MORSELS);
    SM_ASSERT(lines->layout == SM_FLAT && !lines->validity && lines->type->id == SM_TYPE_I64);
    SM_TRY(sm_batch_alloc_raw(into, (size_t)lines->n_rows * sizeof(int64_t), &mem, e));
    int64_t *const marked = mem;
    const int64_t *const from = lines->values;
    for (int64_t i = 0; i < lines->n_rows; i++) {
        SM_ENSURE(from[i] > 0 && from[i] <= LINE_MAX);
        marked[i] = (int64_t)ordinal << LINE_BITS | from[i];
    }
    *out = (sm_column){.type = &sm_type_i64, .n_rows = lines->n_rows, .values = marked};
    return SM_OK;
}

/* ---- where rows leave ------------------------------------------------------------------------ */

/* The line in the file. With the lock. */
static int64_t line_of(const smi_origin *o, int64_t marked)
{
    const int64_t morsel = marked >> LINE_BITS;

    SM_ENSURE(morsel == 0 || morsel < o->n);
    return (morsel < o->n ? o->lines_before[morsel] : 0) + (marked & LINE_MAX);
}

static sm_status make_lines(smi_origin *o, const sm_column *marked, sm_batch *into, sm_column *out,
                            sm_error *e)
{
    sm_column flat;
    void *mem = NULL;

    SM_TRY(sm_column_flatten(marked, into, &flat, e));
    SM_TRY(sm_batch_alloc_raw(into, (size_t)flat.n_rows * sizeof(int64_t), &mem, e));
    const int64_t *const from = flat.values;
    int64_t *const lines = mem;
    sm_mutex_lock(&o->lock);
    for (int64_t i = 0; i < flat.n_rows; i++) {
        lines[i] = sm_column_is_null(&flat, i) ? 0 : line_of(o, from[i]);
    }
    sm_mutex_unlock(&o->lock);
    flat.values = lines;
    *out = flat;
    return SM_OK;
}

static sm_status locate_rows(const smi_origin_sink *s, const sm_batch *rows, sm_batch **out,
                             sm_error *e)
{
    sm_batch *b = NULL;

    SM_ASSERT(s->column < rows->n_columns);
    SM_TRY(sm_batch_new(s->exec->env->budget, rows->schema, &b, e));
    sm_batch_keep_all(b, rows);
    memcpy(b->columns, rows->columns, (size_t)rows->n_columns * sizeof(*b->columns));
    b->n_rows = rows->n_rows;
    b->ordinal = rows->ordinal;
    b->seq = rows->seq;
    const sm_status st =
        make_lines(&s->exec->origin, &rows->columns[s->column], b, &b->columns[s->column], e);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

static sm_status push_located(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    smi_origin_sink *s = ctx;

    if (!s->pending) {
        SM_TRY(locate_rows(s, rows, &s->pending, e));
    }
    const sm_status st = s->inner->push(s->inner->ctx, s->pending, waker, e);
    if (st != SM_WAIT) {
        sm_batch_release(s->pending);
        s->pending = NULL;
    }
    return st;
}

void smi_origin_sink_init(smi_origin_sink *s, smi_execution *exec, const sm_sink *inner,
                          int32_t column)
{
    *s = (smi_origin_sink){
        .sink = {.ctx = s, .push = push_located}, .exec = exec, .inner = inner, .column = column};
}

void smi_origin_sink_release(smi_origin_sink *s)
{
    sm_batch_release(s->pending);
    s->pending = NULL;
}
