/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_writer.c: rows as text, in blocks. Called through sm_writer_ops, whose `open` the
 * format has.
 *
 * Calls    open, write for each batch, finish, close. write and finish may say SM_WAIT and are then
 *          called again with the same arguments.
 * Method   Rows are appended to one buffer. When it has BLOCK_BYTES it is copied into a block, and
 *          no further row is made before that block is taken: so at most one block waits.
 * States   WRITING -> ENDING -> ENDED; any failure ends in FAILED (enum writer_state).
 * Memory   The buffer's first size is taken from the budget when the writer is opened; what rows
 *          make it grow by is taken after each batch. */
#include "base/arena.h"
#include "format/text_writer_int.h"

#define BLOCK_BYTES ((size_t)256 * 1024)
#define TAKE_BYTES  ((size_t)64 * 1024)

typedef enum writer_state { WRITING, ENDING, ENDED, FAILED } writer_state;

typedef struct text_writer {
    sm_arena *mem;
    sm_budget *budget;
    size_t taken;
    sm_bytes_out to;
    const smi_text_layout *layout;
    smi_text_out out;
    sm_block *block; /* waits to be taken by `to`; NULL: none does */
    size_t block_bytes;
    const sm_batch *rows; /* of a write that waits; NULL: none does */
    int64_t at;           /* rows of it that are in the text */
    uint64_t given_bytes; /* that `to` has taken */
    writer_state state;
} text_writer;

_Static_assert(BLOCK_BYTES % TAKE_BYTES == 0, "memory is taken in steps that make up a block");

/* ---- giving bytes out ------------------------------------------------------------------------ */

static sm_status make_block(text_writer *w, sm_error *e)
{
    sm_buf *text = &w->out.text;

    SM_ASSERT(!w->block && text->len > 0);
    SM_TRY(sm_block_new(w->budget, text->len, &w->block, e));
    memcpy(w->block->data, text->data, text->len);
    w->block_bytes = text->len;
    sm_buf_reset(text);
    return SM_OK;
}

/* Hands on the block that waits, if one does. */
static sm_status give_block(text_writer *w, sm_waker waker, sm_error *e)
{
    if (!w->block) {
        return SM_OK;
    }
    SM_ASSERT(w->block_bytes > 0 && w->block_bytes <= w->block->size_bytes);
    SM_TRY(w->to.write(w->to.ctx, w->block, w->block_bytes, waker, e));
    sm_block_release(w->block);
    w->block = NULL;
    w->given_bytes += w->block_bytes;
    return SM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static sm_status count_memory(text_writer *w, sm_error *e)
{
    const size_t used = w->out.text.cap + w->out.cell.cap;

    if (used > w->taken) {
        const size_t more = (used - w->taken + TAKE_BYTES - 1) / TAKE_BYTES * TAKE_BYTES;
        SM_TRY(sm_budget_take(w->budget, more, e));
        w->taken += more;
    }
    return SM_OK;
}

static sm_status write_rows(text_writer *w, const sm_batch *rows, sm_waker waker, sm_error *e)
{
    SM_TRY(give_block(w, waker, e));
    while (w->at < rows->n_rows) {
        w->layout->row(&w->out, rows, w->at);
        w->at++;
        w->out.n_rows++;
        if (w->out.text.len >= BLOCK_BYTES) {
            SM_TRY(make_block(w, e));
            SM_TRY(give_block(w, waker, e));
        }
    }
    return count_memory(w, e);
}

static sm_status fail_again(sm_error *e)
{
    return sm_fail(e, SM_INTERNAL, "a writer of text that has failed was called again");
}

sm_status smi_text_writer_write(sm_writer *writer, sm_batch *rows, sm_waker waker, sm_error *e)
{
    text_writer *w = (text_writer *)(void *)writer;

    if (w->state == FAILED) {
        return fail_again(e);
    }
    SM_ASSERT(w->state == WRITING);
    SM_ASSERT(!w->rows || w->rows == rows); /* after SM_WAIT the same batch comes again */
    SM_ASSERT(rows->n_columns == w->out.schema->n_fields);
    w->rows = rows;
    const sm_status st = write_rows(w, rows, waker, e);
    if (st == SM_OK) {
        w->rows = NULL;
        w->at = 0;
    } else if (!sm_status_is_answer(st)) {
        w->state = FAILED;
    }
    return st;
}

uint64_t smi_text_writer_bytes(const sm_writer *writer)
{
    const text_writer *w = (const text_writer *)(const void *)writer;

    return w->given_bytes + (w->block ? w->block_bytes : 0) + w->out.text.len;
}

/* ---- the end --------------------------------------------------------------------------------- */

static sm_status end_text(text_writer *w, sm_waker waker, sm_error *e)
{
    if (w->state == WRITING) {
        SM_ASSERT(!w->rows && !w->block); /* no write waits */
        if (w->layout->end) {
            w->layout->end(&w->out);
        }
        if (w->out.text.len > 0) {
            SM_TRY(make_block(w, e));
        }
        w->state = ENDING;
    }
    return give_block(w, waker, e);
}

sm_status smi_text_writer_finish(sm_writer *writer, sm_waker waker, sm_written *out, sm_error *e)
{
    text_writer *w = (text_writer *)(void *)writer;
    const int32_t n_columns = w->out.schema->n_fields;

    if (w->state == FAILED) {
        return fail_again(e);
    }
    const sm_status st = end_text(w, waker, e);
    if (st != SM_OK) {
        w->state = sm_status_is_answer(st) ? w->state : FAILED;
        return st;
    }
    sm_range *ranges = SM_NEW_ARRAY(w->mem, sm_range, n_columns);
    for (int32_t i = 0; i < n_columns; i++) {
        ranges[i] = (sm_range){.n_rows = w->out.n_rows};
    }
    w->state = ENDED;
    *out = (sm_written){
        .n_rows = w->out.n_rows,
        .size_bytes = w->given_bytes,
        .ranges = ranges,
        .n_ranges = n_columns,
    };
    return SM_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

void smi_text_writer_close(sm_writer *writer)
{
    text_writer *w = (text_writer *)(void *)writer;

    if (!w) {
        return;
    }
    sm_block_release(w->block);
    sm_buf_release(&w->out.text);
    sm_buf_release(&w->out.cell);
    sm_budget_give(w->budget, w->taken);
    sm_arena_free(w->mem);
}

sm_status smi_text_writer_open(const smi_text_layout *layout, const sm_type *schema,
                               sm_bytes_out to, sm_budget *budget, sm_writer **out, sm_error *e)
{
    SM_ASSERT(schema->id == SM_TYPE_STRUCT);
    SM_TRY(sm_budget_take(budget, BLOCK_BYTES, e));
    sm_arena *mem = sm_arena_new(budget);
    text_writer *w = SM_NEW(mem, text_writer);
    w->mem = mem;
    w->budget = budget;
    w->taken = BLOCK_BYTES;
    w->to = to;
    w->layout = layout;
    w->out.schema = sm_type_copy(mem, schema);
    if (layout->begin) {
        layout->begin(&w->out);
    }
    *out = (sm_writer *)(void *)w;
    return SM_OK;
}
