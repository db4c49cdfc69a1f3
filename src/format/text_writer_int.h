/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_writer_int.h: what the writers of text formats share. A format says how a row looks
 * (smi_text_layout); text_writer.c makes blocks of the text and hands them on. Used by csv_writer.c
 * and json_writer.c. */
#ifndef SM_FORMAT_TEXT_WRITER_INT_H
#define SM_FORMAT_TEXT_WRITER_INT_H

#include "format/format.h"

/* What a layout is given to write into. */
typedef struct smi_text_out {
    const sm_type *schema;
    int64_t n_rows; /* whole rows before the one at hand */
    sm_buf text;    /* to be appended to; without a bound */
    sm_buf cell;    /* for one value at a time; what it holds between two rows has no meaning */
} smi_text_out;

/* How a format looks. Only `row` must be there. */
typedef struct smi_text_layout {
    void (*begin)(smi_text_out *o); /* before the first row, also where none comes */
    void (*row)(smi_text_out *o, const sm_batch *b, int64_t row);
    void (*end)(smi_text_out *o); /* after the last row */
} smi_text_layout;

/**
 * The calls of struct sm_writer_ops; open is called by the format's own, which adds the layout.
 *
 * Owner     copies `schema`, keeps `layout`, borrows `budget` until the close
 * Errors    SM_BUDGET where its text or a block does not fit; whatever `to` fails with
 */
sm_status smi_text_writer_open(const smi_text_layout *layout, const sm_type *schema,
                               sm_bytes_out to, sm_budget *budget, sm_writer **out,
                               sm_error *e) SM_MUST_USE;
sm_status smi_text_writer_write(sm_writer *writer, sm_batch *rows, sm_waker waker,
                                sm_error *e) SM_MUST_USE;
uint64_t smi_text_writer_bytes(const sm_writer *writer);
sm_status smi_text_writer_finish(sm_writer *writer, sm_waker waker, sm_written *out,
                                 sm_error *e) SM_MUST_USE;
void smi_text_writer_close(sm_writer *writer);

#endif
