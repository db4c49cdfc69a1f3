/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_sorter.c: sorts more rows than fit in memory.
 *
 * Calls    add by the ends of ORDER BY and of windows, from many workers; then finish, and next for
 *          each batch, by one.
 * Method   Rows are kept until memory is short. Then the worker that adds a batch takes all rows,
 *          sorts them (exec_sort.c) and writes them to disk as a *run*, in batches. The merge has
 *          one batch of each run in memory, and finds the least row by a heap. Where the batches of
 *          all runs would take too much, some runs are merged into one first. The order is total,
 *          by the keys and then by the row's place in the input: which rows were in one run does
 *          not matter. */
#include "exec/exec_sorter_int.h"

#include <string.h>

const sm_type *smi_with_place(sm_arena *a, const sm_type *schema)
{
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, schema->n_fields + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        types[i] = schema->fields[i].type;
    }
    types[schema->n_fields] = &sm_type_u64;
    return smi_schema_of(a, types, schema->n_fields + 1);
}

/* ---- merging --------------------------------------------------------------------------------- */

static bool run_is_before(const smi_merge *m, int32_t x, int32_t y)
{
    const smi_ref a = m->at[x], b = m->at[y];
    const int c = smi_sort_cmp(&m->spec, 0, m->spec.n_keys, a, b);
    if (c != 0) {
        return c < 0;
    }
    SM_ASSERT(a.batch < m->held.n && b.batch < m->held.n);
    const uint64_t *p = m->held.items[a.batch]->columns[m->spec.place].values;
    const uint64_t *q = m->held.items[b.batch]->columns[m->spec.place].values;
    return p[a.row] < q[b.row];
}

static void sift_down(smi_merge *m, int32_t i)
{
    for (;;) {
        int32_t least = i;
        for (int32_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->n_heap; child++) {
            least = run_is_before(m, m->heap[child], m->heap[least]) ? child : least;
        }
        if (least == i) {
            return;
        }
        const int32_t swap = m->heap[i];
        m->heap[i] = m->heap[least];
        m->heap[least] = swap;
        i = least;
    }
}

/* Loads the next batch of a run. *has is false where the run is at its end. */
static sm_status load_next(smi_merge *m, int32_t run, bool *has, sm_error *e)
{
    sm_batch *rows = NULL;
    *has = m->next[run] < m->runs[run].n;
    if (!*has) {
        return SM_OK;
    }
    SM_TRY(smi_rows_get(&m->runs[run], m->next[run]++, m->budget, &rows, e));
    m->at[run] = (smi_ref){.batch = (uint32_t)m->held.n, .row = 0};
    smi_batches_add(&m->held, rows);
    return SM_OK;
}

sm_status smi_merge_begin(smi_merge *m, const smi_sort_spec *spec, const smi_rows *runs, int64_t n,
                          sm_budget *budget, sm_error *e)
{
    SM_ASSERT(!m->heap && spec->place >= 0); /* rows without a place have no order of their own */
    *m = (smi_merge){.spec = *spec, .runs = runs, .n_runs = n, .budget = budget};
    m->spec.rows = &m->held;
    m->next = sm_alloc_zero((size_t)(n + 1) * sizeof(*m->next));
    m->at = sm_alloc_zero((size_t)(n + 1) * sizeof(*m->at));
    m->heap = sm_alloc_zero((size_t)(n + 1) * sizeof(*m->heap));
    for (int32_t i = 0; i < n; i++) {
        bool has = false;
        SM_TRY(load_next(m, i, &has, e));
        if (has) {
            m->heap[m->n_heap++] = i;
        }
    }
    for (int32_t i = m->n_heap / 2; i >= 0; i--) {
        sift_down(m, i);
    }
    return SM_OK;
}

/* Releases the batches that all rows were taken of. */
static void drop_used(smi_merge *m)
{
    smi_batches current = {0};
    for (int32_t i = 0; i < m->n_heap; i++) {
        smi_ref *at = &m->at[m->heap[i]];
        const uint32_t number = (uint32_t)current.n;
        smi_batches_add(&current, sm_batch_retain(m->held.items[at->batch]));
        at->batch = number;
    }
    smi_batches_release(&m->held);
    m->held = current;
}

sm_status smi_merge_next(smi_merge *m, const sm_type *schema, sm_budget *budget, sm_batch **out,
                         sm_error *e)
{
    smi_ref refs[SM_BATCH_ROWS];
    int64_t n = 0;
    *out = NULL;
    while (n < SM_BATCH_ROWS && m->n_heap > 0) {
        const int32_t run = m->heap[0];
        smi_ref *at = &m->at[run];
        SM_ASSERT(m->n_heap < 2 || run_is_before(m, run, m->heap[1]));
        SM_ASSERT(m->n_heap < 3 || run_is_before(m, run, m->heap[2]));
        refs[n++] = *at;
        if (++at->row == m->held.items[at->batch]->n_rows) {
            bool has = false;
            SM_TRY(load_next(m, run, &has, e));
            if (!has) {
                m->heap[0] = m->heap[--m->n_heap];
            }
        }
        sift_down(m, 0);
    }
    if (n > 0) {
        SM_TRY(smi_gather_rows(&m->held, 0, refs, n, schema, budget, out, e));
    }
    drop_used(m);
    return SM_OK;
}

void smi_merge_end(smi_merge *m)
{
    smi_batches_release(&m->held);
    sm_free(m->next);
    sm_free(m->at);
    sm_free(m->heap);
    *m = (smi_merge){0};
}

/* ---- looking it over ------------------------------------------------------------------------- */

#ifdef SM_ASSERTS
/* Does the sorter have the rows that it counts, and have they its schema with a place at the end?
 * false with *why. With the lock, or where no other thread uses it. */
static bool validate_sorter(const smi_sorter *s, const char **why)
{
    const int32_t place = s->schema->n_fields - 1;
    int64_t n_rows = 0;
    for (int64_t i = 0; i < s->rows.n; i++) {
        n_rows += s->rows.items[i]->n_rows;
        if (s->rows.items[i]->n_columns != s->schema->n_fields) {
            return (*why = "a sorter's batch has columns that are not its schema's"), false;
        }
    }
    for (int64_t i = 0; i < s->n_runs; i++) {
        if (s->runs[i].spill != s->spill || !s->spill) {
            return (*why = "a sorter's run is not in its spill"), false;
        }
    }
    if (n_rows != s->n_rows) {
        return (*why = "a sorter counts rows that it does not have"), false;
    }
    if (s->spec.place != place || s->schema->fields[place].type->id != SM_TYPE_U64) {
        return (*why = "a sorter's rows have no place at their end"), false;
    }
    if (s->spec.first < 0 || s->spec.first + s->spec.n_keys > place) {
        return (*why = "a sorter's keys are not among its columns"), false;
    }
    return true;
}
#endif

/* In debug and sanitizer builds. */
static void assert_sorter_valid(const smi_sorter *s)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (!validate_sorter(s, &why)) {
        sm_assert_failed(why, __FILE__, __LINE__);
    }
#else
    (void)s;
#endif
}

/* ---- runs ------------------------------------------------------------------------------------ */

static sm_status write_batch(smi_sorter *s, smi_rows *run, sm_batch *rows, sm_error *e)
{
    smi_kept k = {.n_rows = rows->n_rows};
    SM_TRY(smi_spill_put_batches(s->spill, &rows, 1, s->budget, &k.extent, e));
    smi_rows_add(run, &k);
    return SM_OK;
}

/* Sorts rows and writes them. */
static sm_status write_sorted(smi_sorter *s, const smi_batches *rows, smi_rows *run, sm_error *e)
{
    smi_sort_spec spec = s->spec;
    spec.rows = rows;
    sm_block *block = NULL;
    int64_t n = 0;
    SM_TRY(smi_sort_rows(s->exec, &spec, s->budget, &block, &n, e));
    const smi_sort_row *order = (const smi_sort_row *)block->data;
    smi_ref refs[SM_BATCH_ROWS];
    sm_status st = SM_OK;
    for (int64_t at = 0; at < n && st == SM_OK;) {
        sm_batch *b = NULL;
        int64_t some = 0;
        for (; some < SM_BATCH_ROWS && at < n; some++, at++) {
            refs[some] = order[at].ref;
        }
        st = smi_gather_rows(rows, 0, refs, some, s->schema, s->budget, &b, e);
        st = st == SM_OK ? write_batch(s, run, b, e) : st;
        sm_batch_release(b);
    }
    sm_block_release(block);
    return st;
}

/* Adds a run to the list; with the lock. */
static void add_run(smi_sorter *s, const smi_rows *run)
{
    if (s->n_runs == s->cap_runs) {
        s->cap_runs = s->cap_runs ? s->cap_runs * 2 : 16;
        s->runs = sm_realloc(s->runs, (size_t)s->cap_runs * sizeof(*s->runs));
    }
    s->runs[s->n_runs++] = *run;
}

/* Writes all rows in memory as a run. With the lock, so that nobody adds rows before they are
 * written. */
static sm_status spill_rows(smi_sorter *s, sm_error *e)
{
    assert_sorter_valid(s);
    smi_batches rows = s->rows;
    smi_rows run = {.schema = s->schema};
    s->rows = (smi_batches){0};
    s->n_rows = 0;
    s->bytes = 0;
    if (!s->spill) {
        const sm_status made = smi_spill_new(s->exec, s->node, &s->spill, e);
        if (made != SM_OK) {
            smi_batches_release(&rows);
            return made;
        }
    }
    run.spill = s->spill;
    const sm_status st = write_sorted(s, &rows, &run, e);
    smi_batches_release(&rows);
    add_run(s, &run);
    return st;
}

void smi_sorter_init(smi_sorter *s, smi_execution *exec, const sm_plan_node *node,
                     sm_budget *budget, const sm_type *schema, const smi_sort_spec *spec)
{
    *s = (smi_sorter){.state = SMI_SORTER_FILLING,
                      .exec = exec,
                      .node = node,
                      .budget = budget,
                      .schema = schema,
                      .spec = *spec};
    sm_mutex_init(&s->lock);
}

void smi_sorter_release(smi_sorter *s)
{
    smi_merge_end(&s->merge);
    for (int64_t i = 0; i < s->n_runs; i++) {
        s->runs[i].spill = NULL; /* it is the sorter's */
        smi_rows_release(&s->runs[i]);
    }
    sm_free(s->runs);
    sm_block_release(s->block);
    smi_batches_release(&s->rows);
    smi_spill_free(s->spill);
    sm_mutex_release(&s->lock);
    *s = (smi_sorter){0};
}

sm_status smi_sorter_add(smi_sorter *s, sm_batch *taken, sm_error *e)
{
    sm_status st = SM_OK;
    sm_mutex_lock(&s->lock);
    SM_ASSERT(s->state == SMI_SORTER_FILLING && taken->n_columns == s->schema->n_fields);
    s->n_rows += taken->n_rows;
    s->bytes += sm_batch_bytes(taken);
    smi_batches_add(&s->rows, taken);
    if (s->bytes > smi_memory_least_run(s->exec) &&
        smi_memory_is_short(s->exec, (size_t)s->n_rows * SMI_SORTED_ROW_BYTES)) {
        st = spill_rows(s, e);
    }
    sm_mutex_unlock(&s->lock);
    return st;
}

/* The most runs that may be merged at once, each with one batch in memory. */
static int64_t most_runs(const smi_sorter *s)
{
    uint64_t bytes = 1;
    for (int64_t i = 0; i < s->n_runs; i++) {
        const uint64_t first = s->runs[i].n > 0 ? s->runs[i].items[0].extent.plain_bytes : 0;
        bytes = first > bytes ? first : bytes;
    }
    return smi_memory_merge_runs(s->exec, bytes);
}

/* Merges the first n runs into one, which becomes the last. */
static sm_status merge_first(smi_sorter *s, int64_t n, sm_error *e)
{
    SM_ASSERT(n >= 2 && n <= s->n_runs); /* so that there are fewer runs afterwards */
    smi_rows merged = {.schema = s->schema, .spill = s->spill};
    smi_merge m = {0};
    sm_batch *b = NULL;
    sm_status st = smi_merge_begin(&m, &s->spec, s->runs, n, s->budget, e);
    while (st == SM_OK) {
        st = smi_merge_next(&m, s->schema, s->budget, &b, e);
        if (st != SM_OK || !b) {
            break;
        }
        st = write_batch(s, &merged, b, e);
        sm_batch_release(b);
    }
    smi_merge_end(&m);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < s->runs[i].n; k++) {
            smi_rows_drop(&s->runs[i], k);
        }
        s->runs[i].spill = NULL;
        smi_rows_release(&s->runs[i]);
    }
    SM_ASSERT(st != SM_OK || merged.n_rows > 0);
    s->n_runs -= n;
    memmove(s->runs, s->runs + n, (size_t)s->n_runs * sizeof(*s->runs));
    add_run(s, &merged);
    return st;
}

static sm_status sort_in_memory(smi_sorter *s, sm_error *e)
{
    smi_sort_spec spec = s->spec;
    spec.rows = &s->rows;
    spec.node = s->is_of_driver ? NULL : s->node;
    SM_TRY(smi_sort_rows(s->exec, &spec, s->budget, &s->block, &s->n_order, e));
    s->order = (const smi_sort_row *)s->block->data;
    SM_ASSERT(s->n_order == s->n_rows);
    s->state = SMI_SORTER_SORTED;
    return SM_OK;
}

sm_status smi_sorter_finish(smi_sorter *s, sm_error *e)
{
    SM_ASSERT(s->state == SMI_SORTER_FILLING);
    assert_sorter_valid(s);
    if (s->n_runs == 0) {
        return sort_in_memory(s, e);
    }
    sm_mutex_lock(&s->lock);
    sm_status st = s->rows.n > 0 ? spill_rows(s, e) : SM_OK;
    sm_mutex_unlock(&s->lock);
    const int64_t most = most_runs(s);
    while (st == SM_OK && s->n_runs > most) {
        st = merge_first(s, most, e);
    }
    SM_TRY(st);
    s->state = SMI_SORTER_MERGING;
    return smi_merge_begin(&s->merge, &s->spec, s->runs, s->n_runs, s->budget, e);
}

sm_status smi_sorter_next(smi_sorter *s, const sm_type *schema, sm_budget *budget, sm_batch **out,
                          sm_error *e)
{
    smi_ref refs[SM_BATCH_ROWS];
    int64_t n = 0;
    SM_ASSERT(s->state == SMI_SORTER_SORTED || s->state == SMI_SORTER_MERGING);
    if (s->state == SMI_SORTER_MERGING) {
        return smi_merge_next(&s->merge, schema, budget, out, e);
    }
    for (; n < SM_BATCH_ROWS && s->at < s->n_order; n++) {
        refs[n] = s->order[s->at++].ref;
    }
    *out = NULL;
    return n > 0 ? smi_gather_rows(&s->rows, 0, refs, n, schema, budget, out, e) : SM_OK;
}
