/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_mark.c: deletion vectors instead of new files: finds the places of the rows that go
 * or change, and marks them as deleted. Called by table_replace.c for a table whose commits may
 * have vectors (sm_delta_has_vectors).
 *
 * Calls    look, which runs a plan over the files and notes the rows of each; is_worth for a file;
 *          write, which makes the vectors of all files that are worth one; release.
 * Places   The plan gives the rows of the files in their order, all of them, so a row's place is
 *          the number of rows of its file that came before it. Rows that the file's vector deletes
 *          do not come: with that vector the places are moved behind them, before writing.
 * Cost     A vector costs the same however large the file is, but every later reader of the file
 *          decodes the deleted rows too. To write the file anew, all its rows are read, and writing
 *          one that stays takes WRITE_COST times as long as reading it. The file is taken to be
 *          read READS times before somebody writes it anew anyway. So a vector is cheaper while
 *              READS x deleted  <=  rows + WRITE_COST x (rows - deleted)
 *          where `deleted` counts the rows of the vector before too. That is up to a quarter of the
 *          rows. bench/vectors.py measures: of 2,000,000 rows that are read in 0.13 s of processor
 *          time, a tenth is deleted in 0.37 s by a new file and 0.06 s by a vector, and the rest
 *          read in 0.11 s and 0.13 s; so WRITE_COST is (0.37 - 0.05 - 0.13) / (0.9 x 0.13).
 * Else     A file is written anew where its statistics do not say how many rows it has, or where
 *          the budget has no room for its vector.
 * Memory   a bit for each row of one file; the bytes of the vectors; for a file that has a vector
 *          already a bit for each of its rows */
#include "table/table_int.h"

#define READS      10
#define WRITE_COST 2

/* A look under way. */
typedef struct looking {
    const sm_stage *stage;
    const sm_delta_file *files;
    int64_t n_files;
    smi_look *looks; /* one a file */
    int64_t at;      /* the file whose rows are coming; −1: none yet */
} looking;

/* ---- cost ------------------------------------------------------------------------------------ */

static int64_t n_deleted(const sm_delta_file *f)
{
    return f->dv ? f->dv->cardinality : 0;
}

bool smi_mark_is_worth(const sm_delta_file *f, const smi_look *l)
{
    const int64_t dead = n_deleted(f) + l->n_acts;

    SM_ASSERT(l->n_acts >= l->n_deletes && l->n_deletes >= 0);
    if (l->n_acts == 0 || l->n_acts == l->n_rows || l->n_rows != sm_delta_file_rows(f)) {
        return false;
    }
    return READS * dead <= f->n_rows + WRITE_COST * (f->n_rows - dead);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void drop_bits(smi_look *l)
{
    sm_block_release(l->bits);
    l->bits = NULL;
}

/* After the last row of a file. Where it has no vector yet, the places are those in the file. */
static void end_file(looking *k)
{
    sm_error unused = {0};

    if (k->at < 0) {
        return;
    }
    const sm_delta_file *f = &k->files[k->at];
    smi_look *l = &k->looks[k->at];
    if (!l->bits || !smi_mark_is_worth(f, l)) {
        drop_bits(l);
    } else if (!f->dv) {
        l->bytes.budget = k->stage->env.budget;
        if (sm_delta_vector_encode(l->bits->data, f->n_rows, &l->bytes, &unused) != SM_OK) {
            sm_buf_release(&l->bytes);
        }
        drop_bits(l);
    }
}

/* Notes that the file's next row goes or changes. Without memory for the bits there will be no
 * vector. */
static void note_row(looking *k, smi_look *l)
{
    const int64_t n_rows = sm_delta_file_rows(&k->files[k->at]);
    sm_error unused = {0};

    if (l->n_rows >= n_rows) {
        return; /* the statistics say less, or nothing */
    }
    if (l->n_acts == 0 &&
        sm_block_new(k->stage->env.budget, sm_bits_bytes(n_rows), &l->bits, &unused) == SM_OK) {
        memset(l->bits->data, 0, sm_bits_bytes(n_rows));
    }
    if (l->bits) {
        sm_bit_set(l->bits->data, l->n_rows);
    }
}

/* sm_sink.push: rows of (place of the file, does it change, does it go). */
static sm_status push_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    looking *k = ctx;

    (void)waker, (void)e;
    SM_ASSERT(rows->n_columns == 3);
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const int64_t at = sm_column_value(&rows->columns[0], i).as.i;
        SM_ENSURE(at >= k->at && at < k->n_files); /* rows come in the order of their files */
        if (at != k->at) {
            end_file(k);
            k->at = at;
        }
        smi_look *l = &k->looks[at];
        if (smi_row_is_true(&rows->columns[1], i)) {
            note_row(k, l);
            l->n_acts++;
            l->n_deletes += smi_row_is_true(&rows->columns[2], i);
        }
        l->n_rows++;
    }
    return SM_OK;
}

sm_status smi_mark_look(const sm_stage *s, const sm_plan *plan, const sm_delta_file *files,
                        int64_t n_files, smi_look *looks, sm_error *e)
{
    looking k = {.stage = s, .files = files, .n_files = n_files, .looks = looks, .at = -1};
    const sm_sink sink = {.ctx = &k, .push = push_rows};

    SM_TRY(sm_exec_run(plan, &s->env, &sink, NULL, NULL, e));
    end_file(&k);
    return SM_OK;
}

void smi_looks_release(smi_look *looks, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        drop_bits(&looks[i]);
        sm_buf_release(&looks[i].bytes);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Adds to the rows that are deleted those of the others whose bits are set in `more`: there, only
 * the others are counted. */
static void add_rows(uint8_t *deleted, int64_t n_rows, const uint8_t *more)
{
    int64_t at = 0;

    for (int64_t i = 0; i < n_rows; i++) {
        if (!sm_bit_get(deleted, i)) {
            if (sm_bit_get(more, at)) {
                sm_bit_set(deleted, i);
            }
            at++;
        }
    }
}

/* The vector of a file that has one already. */
static sm_status encode_merged(const sm_stage *s, const sm_delta_file *f, smi_look *l, sm_arena *a,
                               sm_error *e)
{
    const sm_delta_mark before = {.file = f, .dv = f->dv};
    const sm_deletes *deletes = NULL;
    sm_block *bits = NULL;

    SM_TRY(sm_delta_mark_deletes(s->candidate->base, &before, a, &deletes, e));
    SM_TRY(deletes->read(deletes, f->n_rows, s->env.budget, &bits, e));
    add_rows(bits->data, f->n_rows, l->bits->data);
    l->bytes.budget = s->env.budget;
    const sm_status st = sm_delta_vector_encode(bits->data, f->n_rows, &l->bytes, e);
    sm_block_release(bits);
    drop_bits(l);
    return st;
}

static sm_status put_vector(sm_stage *s, sm_delta_vectors *v, const sm_delta_file *f, smi_look *l,
                            sm_error *e)
{
    sm_candidate *c = s->candidate;
    sm_delta_mark mark = {.file = f};

    if (l->bits) {
        SM_TRY(encode_merged(s, f, l, c->arena, e));
    }
    SM_TRY(sm_delta_vectors_put(v, &l->bytes, n_deleted(f) + l->n_acts, &mark.dv, e));
    sm_buf_release(&l->bytes);
    s->marks = sm_arena_grow(c->arena, s->marks, s->n_marks, &s->cap_marks, sizeof(*s->marks));
    s->marks[s->n_marks++] = mark;
    return SM_OK;
}

/* Makes the bits of the rows at those places and of those that the file's vector deletes. */
static sm_status bits_of_places(const sm_stage *s, const sm_delta_file *f, const int64_t *places,
                                int64_t n, sm_block **out, sm_error *e)
{
    const sm_delta_mark before = {.file = f, .dv = f->dv};
    const sm_deletes *deletes = NULL;
    sm_block *bits = NULL;

    if (f->dv) {
        SM_TRY(
            sm_delta_mark_deletes(s->candidate->base, &before, s->candidate->arena, &deletes, e));
        SM_TRY(deletes->read(deletes, f->n_rows, s->env.budget, &bits, e));
    } else {
        SM_TRY(sm_block_new(s->env.budget, sm_bits_bytes(f->n_rows), &bits, e));
        memset(bits->data, 0, sm_bits_bytes(f->n_rows));
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = places[i] & (((int64_t)1 << SMI_PLACE_BITS) - 1);
        SM_ASSERT(row < f->n_rows);
        sm_bit_set(bits->data, row);
    }
    *out = bits;
    return SM_OK;
}

sm_status smi_mark_places(const sm_stage *s, const sm_delta_file *f, const int64_t *places,
                          smi_look *l, sm_error *e)
{
    const int64_t last = places[l->n_acts - 1] & (((int64_t)1 << SMI_PLACE_BITS) - 1);
    sm_block *bits = NULL;

    SM_ASSERT(l->n_acts > 0 && !smi_look_has_vector(l));
    l->n_rows = sm_delta_file_rows(f);
    if (!smi_mark_is_worth(f, l) || last >= f->n_rows) {
        return SM_OK; /* the statistics say less, or nothing */
    }
    sm_status st = bits_of_places(s, f, places, l->n_acts, &bits, e);
    if (st == SM_OK) {
        l->bytes.budget = s->env.budget;
        st = sm_delta_vector_encode(bits->data, f->n_rows, &l->bytes, e);
    }
    sm_block_release(bits);
    if (st == SM_BUDGET) {
        sm_buf_release(&l->bytes);
        return SM_OK;
    }
    return st;
}

sm_status smi_mark_write(sm_stage *s, const sm_delta_file *files, int64_t n_files, smi_look *looks,
                         sm_error *e)
{
    sm_candidate *c = s->candidate;
    sm_delta_vectors *v = sm_delta_vectors_new(c->store, s->env.budget, c->arena);
    sm_status st = SM_OK;

    SM_ASSERT(s->state == SMI_STAGE_SETTLING && s->n_marks == 0);
    for (int64_t i = 0; i < n_files && st == SM_OK; i++) {
        if (smi_look_has_vector(&looks[i])) {
            st = put_vector(s, v, &files[i], &looks[i], e);
        }
    }
    c->vectors_key = sm_delta_vectors_key(v); /* from now on a failure deletes it */
    st = st == SM_OK ? sm_delta_vectors_finish(v, e) : st;
    sm_delta_vectors_close(v);
    return st;
}
