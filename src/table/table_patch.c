/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_patch.c: gives rows of files that are written anew the values that the pairs of a
 * MERGE change (table_match.c), and leaves out those that go. Called by table_replace.c.
 *
 * Method   The files are read with all columns and the numbers of their rows. Rows and pairs come
 *          in the same order, so the pairs of a batch are the next ones. New values are computed
 *          for their rows only, and then take the place of the old ones (sm_column_patch). A row
 *          without a pair costs no more than a copy.
 * Callers  push may say SM_WAIT, and is then called again with the same batch. */
#include "table/table_int.h"

/* ---- the pairs of a batch -------------------------------------------------------------------- */

static const int64_t *places_of(const smi_matches *m)
{
    return (const int64_t *)(const void *)m->places.data;
}

/* The row of the batch that has the place, from row `from` on. */
static int32_t row_at(const int64_t *places, int64_t n, int64_t from, int64_t place)
{
    int64_t low = from, high = n - 1;

    SM_ASSERT(from < n && places[from] <= place && place <= places[n - 1]);
    if (places[n - 1] - places[0] == n - 1) {
        return (int32_t)(place - places[0]); /* no row is missing */
    }
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        low = places[mid] < place ? mid + 1 : low;
        high = places[mid] < place ? high : mid;
    }
    return (int32_t)low;
}

int64_t smi_patch_place(const smi_patch *p)
{
    SM_ASSERT(p->next < p->matches->n);
    return places_of(p->matches)[p->next];
}

bool smi_patch_deletes(const smi_patch *p)
{
    SM_ASSERT(p->batch < p->matches->n_batches);
    return smi_row_is_true(&p->matches->batches[p->batch]->columns[SMI_PAIR_DELETES], p->row);
}

/* As their batches lie. */
void smi_patch_step(smi_patch *p, int64_t n)
{
    const smi_matches *m = p->matches;

    SM_ASSERT(p->next + n <= m->n);
    p->next += n;
    p->row += n;
    while (p->batch < m->n_batches && p->row >= m->batches[p->batch]->n_rows) {
        p->row -= m->batches[p->batch++]->n_rows;
    }
}

void smi_patch_pass(smi_patch *p, int64_t place)
{
    int64_t n = 0;

    while (p->next + n < p->matches->n && places_of(p->matches)[p->next + n] < place) {
        n++;
    }
    smi_patch_step(p, n);
}

/* Finds the rows of the next pairs that are in the batch, as far as one batch of pairs has them. */
static sm_status find_rows(const smi_patch *p, const sm_batch *rows, int32_t *found, int64_t *n,
                           sm_error *e)
{
    const smi_matches *m = p->matches;
    const int64_t *places = rows->columns[rows->n_columns - 1].values;
    const int64_t last = places[rows->n_rows - 1];
    int64_t from = 0;

    *n = 0;
    for (int64_t i = p->next; i < m->n && places_of(m)[i] <= last; i++) {
        if (p->row + *n == m->batches[p->batch]->n_rows) {
            break;
        }
        from = row_at(places, rows->n_rows, from, places_of(m)[i]);
        SM_ENSURE(places[from] == places_of(m)[i]); /* it was there when the pairs were found */
        found[(*n)++] = (int32_t)from;
    }
    return SM_OK;
}

/* ---- new values ------------------------------------------------------------------------------ */

/* The rows of n pairs as the expressions of the change are over them. `old`: of the table. No
 * expression reads the column behind the table's, so an id may stand there. */
static sm_status pair_rows(const smi_patch *p, const sm_batch *old, sm_batch **out, sm_error *e)
{
    const sm_row_change *c = &p->stage->change.rows;
    const smi_matches *m = p->matches;
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};
    sm_batch *source = NULL, *b = NULL;
    int32_t next = 0;

    SM_TRY(sm_batch_slice(m->batches[p->batch], p->row, old->n_rows, p->stage->env.budget, &source,
                          e));
    sm_status st = sm_batch_new(p->stage->env.budget, c->rows, &b, e);
    if (st == SM_OK) {
        sm_batch_keep_all(b, old);
        sm_batch_keep_all(b, source);
        b->n_rows = old->n_rows;
    }
    for (int32_t i = 0; i < c->rows->n_fields && st == SM_OK; i++) {
        const int32_t of_source = i - c->n_columns - 1;
        const bool is_pair = i == c->rows->n_fields - 1;
        if (i <= c->n_columns) {
            b->columns[i] = old->columns[i];
        } else if (next < m->n_columns && m->columns[next] == of_source) {
            b->columns[i] = source->columns[SMI_PAIR_SOURCE + next++];
        } else {
            const sm_value v = is_pair ? yes : sm_value_null(c->rows->fields[i].type);
            st = sm_column_constant(v, old->n_rows, b, &b->columns[i], e);
        }
    }
    sm_batch_release(source);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

/* Is the column's value what it was, in all rows? */
static bool is_kept(const sm_expr *value, int32_t column)
{
    return value->kind == SM_EXPR_COLUMN && value->index == column;
}

/* Their version is that of the file that is written. */
static sm_status renew_version(const smi_patch *p, int64_t n, const int32_t *found, sm_batch *b,
                               sm_error *e)
{
    sm_column *versions = &b->columns[p->stage->change.rows.n_columns + SMI_ROW_VERSION];
    sm_column none = {0};

    SM_TRY(sm_column_constant(sm_value_null(&sm_type_i64), n, b, &none, e));
    return sm_column_patch(versions, found, &none, b, versions, e);
}

/* Has the batch values of the column? Those of others stay in the file. */
static bool is_read(const smi_patch *p, int64_t file, int32_t column)
{
    return !p->keep || smi_keep_reads(p->keep, file, column);
}

/* A batch that gets new values. */
typedef struct patching {
    smi_patch *patch;
    sm_batch *rows;
} patching;

/* Puts the new values of the pairs' rows into the batch. */
static sm_status put_values(const patching *to, const smi_patch_rows *rows, sm_error *e)
{
    const sm_row_change *c = &to->patch->stage->change.rows;
    sm_batch *b = to->rows;

    for (int32_t i = 0; c->values && i < c->n_columns; i++) {
        sm_column values = {0};
        if (is_kept(c->values[i], i) || !is_read(to->patch, rows->file, i)) {
            continue;
        }
        SM_TRY(sm_expr_eval(c->values[i], rows->pairs, NULL, b, &values, e));
        SM_TRY(sm_column_widen(&values, b->columns[i].type, b, &values, e));
        SM_TRY(sm_column_patch(&b->columns[i], rows->found, &values, b, &b->columns[i], e));
    }
    return to->patch->has_ids ? renew_version(to->patch, rows->n, rows->found, b, e) : SM_OK;
}

/* smi_patch_fn: also notes which of the rows go. */
static sm_status patch_rows(void *ctx, const smi_patch_rows *rows, sm_error *e)
{
    const patching *to = ctx;
    smi_patch *p = to->patch;

    sm_batch_keep_all(to->rows, rows->pairs);
    SM_TRY(put_values(to, rows, e));
    for (int64_t i = 0; i < rows->n; i++) {
        if (smi_row_is_true(rows->deletes, rows->first + i)) {
            SM_ASSERT(p->n_gone < to->rows->n_rows);
            p->gone[p->n_gone++] = rows->found[i];
        }
    }
    return SM_OK;
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* Visits the rows that the next pairs are of; *n of them. */
static sm_status visit_some(smi_patch *p, const sm_batch *rows, int32_t *found, smi_patch_fn fn,
                            void *ctx, int64_t *n, sm_error *e)
{
    sm_batch *old = NULL, *pairs = NULL;

    SM_TRY(find_rows(p, rows, found, n, e));
    if (*n == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_gather(rows, found, *n, p->stage->env.budget, &old, e));
    sm_status st = pair_rows(p, old, &pairs, e);
    if (st == SM_OK) {
        const smi_patch_rows of = {
            .found = found,
            .n = *n,
            .file = smi_patch_place(p) >> SMI_PLACE_BITS,
            .old = old,
            .pairs = pairs,
            .deletes = &p->matches->batches[p->batch]->columns[SMI_PAIR_DELETES],
            .first = p->row,
        };
        st = fn(ctx, &of, e);
    }
    if (st == SM_OK) {
        smi_patch_step(p, *n);
    }
    sm_batch_release(old);
    sm_batch_release(pairs);
    return st;
}

sm_status smi_patch_visit(smi_patch *p, const sm_batch *rows, smi_patch_fn fn, void *ctx,
                          sm_error *e)
{
    int32_t *found = sm_alloc((size_t)(rows->n_rows + 1) * sizeof(*found));
    sm_status st = SM_OK;
    int64_t n = rows->n_rows;

    if (n > 0) {
        smi_patch_pass(p, ((const int64_t *)rows->columns[rows->n_columns - 1].values)[0]);
    }
    while (n > 0 && st == SM_OK) {
        st = visit_some(p, rows, found, fn, ctx, &n, e);
    }
    sm_free(found);
    return st;
}

/* Leaves out the rows that go; *b is NULL where none stays. */
static sm_status drop_gone(const smi_patch *p, sm_batch **b, sm_error *e)
{
    sm_batch *from = *b;
    int32_t *kept = sm_alloc((size_t)from->n_rows * sizeof(*kept));
    int64_t n = 0, at = 0;

    for (int64_t i = 0; i < from->n_rows; i++) {
        const bool goes = at < p->n_gone && p->gone[at] == i;
        kept[n] = (int32_t)i;
        n += !goes;
        at += goes;
    }
    *b = NULL;
    const sm_status st = n > 0 ? sm_batch_gather(from, kept, n, p->stage->env.budget, b, e) : SM_OK;
    sm_batch_release(from);
    sm_free(kept);
    return st;
}

/* Makes p->made: the rows that stay, with the values that they get and the place of their file. It
 * is NULL where none stays. */
static sm_status make_rows(smi_patch *p, const sm_batch *rows, sm_error *e)
{
    const sm_column *places = &rows->columns[rows->n_columns - 1];
    const int64_t first = ((const int64_t *)places->values)[0];
    sm_batch *b = NULL;

    SM_ASSERT(places->layout == SM_FLAT && places->type->id == SM_TYPE_I64);
    SM_TRY(sm_batch_new(p->stage->env.budget, rows->schema, &b, e));
    sm_batch_keep_all(b, rows);
    b->n_rows = rows->n_rows;
    memcpy(b->columns, rows->columns, (size_t)rows->n_columns * sizeof(*b->columns));
    p->n_gone = 0;
    p->gone = sm_realloc(p->gone, (size_t)rows->n_rows * sizeof(*p->gone));
    p->place = first;
    sm_status st = sm_column_constant(sm_value_i64(first >> SMI_PLACE_BITS), b->n_rows, b,
                                      &b->columns[b->n_columns - 1], e);
    patching to = {p, b};
    st = st == SM_OK ? smi_patch_visit(p, rows, patch_rows, &to, e) : st;
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    SM_TRY(p->n_gone > 0 ? drop_gone(p, &b, e) : SM_OK);
    p->made = b;
    return SM_OK;
}

static sm_status push_made(smi_patch *p, sm_waker waker, sm_error *e)
{
    SM_TRY(p->keep && !p->is_ready ? smi_keep_go_to(p->keep, p->place, waker, e) : SM_OK);
    p->is_ready = true; /* what is pushed is in work */
    const sm_status st = smi_out_push(&p->stage->out, p->made, waker, e);
    p->is_ready = st == SM_WAIT;
    return st;
}

sm_status smi_patch_push(void *patch, sm_batch *rows, sm_waker waker, sm_error *e)
{
    smi_patch *p = patch;

    if (!p->made && rows->n_rows > 0) {
        SM_TRY(make_rows(p, rows, e));
    }
    const sm_status st = p->made ? push_made(p, waker, e) : SM_OK;
    if (st != SM_WAIT) {
        sm_batch_release(p->made);
        p->made = NULL;
    }
    return st;
}

sm_status smi_patch_finish(void *patch, sm_waker waker, sm_error *e)
{
    smi_patch *p = patch;

    SM_TRY(p->keep ? smi_keep_finish(p->keep, p->keep_end, waker, e) : SM_OK);
    return smi_out_finish(&p->stage->out, waker, e);
}

void smi_patch_release(smi_patch *p)
{
    sm_batch_release(p->made);
    sm_free(p->gone);
    *p = (smi_patch){0};
}
