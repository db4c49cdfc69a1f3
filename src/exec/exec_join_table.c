/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join_table.c: finds the rows of a join's right side by their keys.
 *
 * Calls    build by exec_join.c, over all right rows or those of one partition on disk; look for
 *          each left batch, from many workers at once; drop.
 * Method   Three passes, each by all threads. First the keys of each batch are hashed, and its rows
 *          are sorted by part. Then the rows of each part, in the order of the right side, make
 *          groups (exec_groups.c). Last, references to the rows are laid out by group, in the same
 *          order. A row with a NULL among its keys matches nothing and is in no group.
 * Filter   Before its group is looked for, a left row is tested by a Bloom filter of the hashes of
 *          the right rows, of two bits in one word: 16 bits for each right row, so that few rows
 *          without a match pass. It stays in L2 where the slots of the groups do not. It is no
 *          longer asked once most left rows turn out to pass.
 * Source   Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007
 * Why      Parts share nothing, so they are built without a lock, and the slots of one stay nearer
 *          to a core's cache. Their number depends on the rows alone. */
#include "exec/exec_join_int.h"

#include <string.h>

#define PART_ROWS   65536     /* at least, where there is more than one part */
#define FILTER_BITS 16        /* of the filter for each right row */
#define FILTER_MOST (1 << 20) /* right rows: of more, the filter is larger than L2 */
#define FILTER_TRY  65536     /* left rows that are tested before it is decided by them */

/* Rows of a batch that can match. */
typedef struct key_rows {
    sm_batch *keys; /* owned; the arrays below are in it */
    uint64_t *hashes;
    int32_t *rows; /* of part 0, then of part 1 … */
    int32_t first[SMI_JOIN_PARTS_MAX + 1];
} key_rows;

typedef struct builder {
    smi_join *join;
    smi_join_table *table;
    key_rows *batches; /* one a right batch */
    int64_t row_base[SMI_JOIN_PARTS_MAX + 1];
    uint32_t *ids; /* of part 0's rows, then of part 1's … */
} builder;

/* ---- rows by part ---------------------------------------------------------------------------- */

static bool has_null(const sm_batch *keys, int64_t i)
{
    for (int32_t k = 0; k < keys->n_columns; k++) {
        if (sm_column_is_null(&keys->columns[k], i)) {
            return true;
        }
    }
    return false;
}

/* Not by the top bits, which chose the partition on disk, nor by the low ones, which choose the
 * slot of a group. */
static int32_t part_of(uint64_t hash, int32_t n_parts)
{
    SM_ASSERT(n_parts > 0 && (n_parts & (n_parts - 1)) == 0);
    return (int32_t)(hash >> 32) & (n_parts - 1);
}

/* Lists the rows without a NULL in k->rows; returns how many. */
static int32_t list_rows(key_rows *k)
{
    const sm_batch *keys = k->keys;
    bool may_be_null = false;
    for (int32_t c = 0; c < keys->n_columns; c++) {
        may_be_null |= keys->columns[c].validity || keys->columns[c].type->id == SM_TYPE_NULL;
    }
    int32_t n = 0;
    for (int64_t i = 0; i < keys->n_rows; i++) {
        k->rows[n] = (int32_t)i;
        n += !may_be_null || !has_null(keys, i);
    }
    return n;
}

/* Sorts the n rows of k->rows by part: a counting sort keeps their order. */
static sm_status sort_by_part(key_rows *k, int32_t n, int32_t n_parts, sm_error *e)
{
    int32_t next[SMI_JOIN_PARTS_MAX + 1] = {0};
    const int32_t *const rows = k->rows;
    void *mem = NULL;
    for (int32_t i = 0; i < n; i++) {
        next[part_of(k->hashes[rows[i]], n_parts) + 1]++;
    }
    for (int32_t p = 0; p < n_parts; p++) {
        next[p + 1] += next[p];
    }
    memcpy(k->first, next, sizeof(next));
    if (n_parts == 1) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(k->keys, (size_t)n * sizeof(int32_t), &mem, e));
    k->rows = mem;
    for (int32_t i = 0; i < n; i++) {
        k->rows[next[part_of(k->hashes[rows[i]], n_parts)]++] = rows[i];
    }
    return SM_OK;
}

/* ---- the filter ------------------------------------------------------------------------------ */

static inline uint64_t filter_bits(uint64_t hash)
{
    return UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63);
}

/* By bits that choose neither the bits in the word nor the partition on disk. */
static inline uint64_t *filter_word(const smi_join_table *t, uint64_t hash)
{
    return &t->filter[hash >> 20 & t->filter_mask];
}

/* Makes the filter of the right rows, where they are not too many and there is memory for it. */
static void filter_make(smi_join *j, const key_rows *batches, int64_t n_rows)
{
    smi_join_table *t = &j->table;
    sm_error unused = {0};
    uint64_t n_words = 1;
    while ((int64_t)n_words * 64 < n_rows * FILTER_BITS) {
        n_words *= 2;
    }
    if (n_rows > FILTER_MOST ||
        sm_block_new(j->budget, n_words * sizeof(uint64_t), &t->filter_block, &unused) != SM_OK) {
        return;
    }
    t->filter = (uint64_t *)t->filter_block->data;
    t->filter_mask = n_words - 1;
    memset(t->filter, 0, n_words * sizeof(uint64_t));
    for (int64_t b = 0; b < j->right.n; b++) {
        const key_rows *k = &batches[b];
        for (int32_t i = 0; i < k->first[t->n_parts]; i++) {
            const uint64_t hash = k->hashes[k->rows[i]];
            *filter_word(t, hash) |= filter_bits(hash);
        }
    }
}

/* Leaves in k->rows those of the n that may have a match; returns how many. */
static int32_t filter_rows(smi_join_table *t, key_rows *k, int32_t n)
{
    const int64_t n_tested = atomic_load_explicit(&t->n_tested, memory_order_relaxed);
    const int64_t n_passed = atomic_load_explicit(&t->n_passed, memory_order_relaxed);
    int32_t kept = 0;
    if (!t->filter || (n_tested >= FILTER_TRY && n_passed * 2 > n_tested)) {
        return n;
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t row = k->rows[i];
        const uint64_t hash = k->hashes[row], bits = filter_bits(hash);
        k->rows[kept] = row;
        kept += (*filter_word(t, hash) & bits) == bits;
    }
    atomic_fetch_add_explicit(&t->n_tested, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->n_passed, kept, memory_order_relaxed);
    return kept;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Evaluates and hashes the keys of a batch. is_left: its rows are tested by the filter. k->keys is
 * to be released also after a failure. */
static sm_status key_rows_make(smi_join *j, bool is_left, sm_batch *rows, key_rows *k, sm_error *e)
{
    const sm_expr *const *const exprs =
        is_left ? j->node->as.join.left_keys : j->node->as.join.right_keys;
    const sm_type *const schema = is_left ? j->left_keys : j->right_keys;
    void *mem = NULL;
    SM_TRY(smi_eval_flat(j->exec, exprs, j->node->as.join.n_keys, schema, rows, j->budget, &k->keys,
                         e));
    SM_TRY(sm_batch_alloc(k->keys, (size_t)rows->n_rows * 8, &mem, e));
    k->hashes = mem;
    SM_TRY(sm_batch_alloc(k->keys, (size_t)rows->n_rows * 4, &mem, e));
    k->rows = mem;
    for (int32_t c = 0; c < k->keys->n_columns; c++) {
        sm_column_hash(&k->keys->columns[c], k->hashes, c > 0);
    }
    int32_t n = list_rows(k);
    n = is_left ? filter_rows(&j->table, k, n) : n;
    return sort_by_part(k, n, j->table.n_parts, e);
}

/* ---- build ----------------------------------------------------------------------------------- */

static sm_status hash_batch(void *ctx, int64_t i, sm_error *e)
{
    const builder *b = ctx;
    smi_join *j = b->join;
    SM_TRY(smi_check_cancel(j->exec, e));
    return key_rows_make(j, false, j->right.items[i], &b->batches[i], e);
}

static sm_status group_part(void *ctx, int64_t p, sm_error *e)
{
    const builder *b = ctx;
    uint32_t *ids = b->ids + b->row_base[p];
    for (int64_t i = 0; i < b->join->right.n; i++) {
        const key_rows *k = &b->batches[i];
        const int32_t n = k->first[p + 1] - k->first[p];
        SM_TRY(smi_check_cancel(b->join->exec, e));
        SM_TRY(smi_groups_find(b->table->groups[p], k->keys->columns, k->hashes,
                               k->rows + k->first[p], n, ids, NULL, e));
        ids += n;
    }
    return SM_OK;
}

/* Puts each reference at the next free place of its group. */
static sm_status lay_out_part(void *ctx, int64_t p, sm_error *e)
{
    const builder *b = ctx;
    const smi_join_table *t = b->table;
    const int64_t n_groups = t->base[p + 1] - t->base[p];
    const uint32_t *ids = b->ids + b->row_base[p];
    smi_ref *refs = (smi_ref *)t->refs_block->data;
    int64_t *next = (int64_t *)t->first_block->data + t->base[p] + 1;
    const int64_t n_rows = b->row_base[p + 1] - b->row_base[p];
    int64_t at = b->row_base[p];
    SM_TRY(smi_check_cancel(b->join->exec, e));
    memset(next, 0, (size_t)n_groups * 8);
    for (int64_t i = 0; i < n_rows; i++) {
        next[ids[i]]++;
        SM_TRY(smi_check_cancel_at(b->join->exec, i, e));
    }
    for (int64_t g = 0; g < n_groups; g++) {
        const int64_t n = next[g];
        next[g] = at;
        at += n;
    }
    SM_ASSERT(at == b->row_base[p + 1]); /* the groups' rows are the part's */
    for (int64_t i = 0; i < b->join->right.n; i++) {
        const key_rows *k = &b->batches[i];
        SM_TRY(smi_check_cancel(b->join->exec, e));
        for (int32_t r = k->first[p]; r < k->first[p + 1]; r++) {
            refs[next[*ids++]++] = (smi_ref){.batch = (uint32_t)i, .row = (uint32_t)k->rows[r]};
        }
    }
    return SM_OK;
}

static void count_rows(builder *b)
{
    for (int32_t p = 0; p < b->table->n_parts; p++) {
        int64_t n = b->row_base[p];
        for (int64_t i = 0; i < b->join->right.n; i++) {
            n += b->batches[i].first[p + 1] - b->batches[i].first[p];
        }
        b->row_base[p + 1] = n;
    }
}

static sm_status build(builder *b, sm_error *e)
{
    smi_join *j = b->join;
    smi_join_table *t = b->table;
    sm_pool *pool = j->exec->env->pool;
    sm_block *ids = NULL;
    SM_ASSERT(!t->refs_block && !t->first_block);
    SM_TRY(sm_pool_for(pool, j->right.n, hash_batch, b, e));
    count_rows(b);
    const size_t n = (size_t)b->row_base[t->n_parts];
    SM_TRY(sm_block_new(j->budget, n * sizeof(smi_ref), &t->refs_block, e));
    SM_TRY(sm_block_new(j->budget, n * sizeof(uint32_t), &ids, e));
    b->ids = (uint32_t *)ids->data;
    sm_status st = sm_pool_for(pool, t->n_parts, group_part, b, e);
    for (int32_t p = 0; p < t->n_parts; p++) {
        t->base[p + 1] = t->base[p] + smi_groups_count(t->groups[p]);
    }
    const size_t n_groups = (size_t)t->base[t->n_parts];
    SM_ASSERT(st != SM_OK || n_groups <= n);
    SM_ASSERT(st != SM_OK || n_groups <= INT32_MAX); /* a look's answer is an int32_t */
    st = st == SM_OK ? sm_block_new(j->budget, (n_groups + 1) * 8, &t->first_block, e) : st;
    if (st == SM_OK) {
        memset(t->first_block->data, 0, 8);
        st = sm_pool_for(pool, t->n_parts, lay_out_part, b, e);
        t->refs = (const smi_ref *)t->refs_block->data;
        t->first = (const int64_t *)t->first_block->data;
        t->n_refs = (int64_t)n;
    }
    if (st == SM_OK) {
        filter_make(j, b->batches, (int64_t)n);
    }
    sm_block_release(ids);
    return st;
}

sm_status smi_join_table_build(smi_join *j, int64_t n_rows, sm_error *e)
{
    const int32_t n_keys = j->node->as.join.n_keys;
    const sm_type **types = sm_alloc((size_t)n_keys * sizeof(*types));
    builder b = {.join = j, .table = &j->table};
    int32_t n_parts = 1;
    while (n_parts < SMI_JOIN_PARTS_MAX && n_rows / n_parts > PART_ROWS) {
        n_parts *= 2;
    }
    for (int32_t k = 0; k < n_keys; k++) {
        types[k] = j->node->as.join.right_keys[k]->type;
    }
    for (int32_t p = 0; p < n_parts; p++) {
        j->table.groups[p] = smi_groups_new(types, n_keys, 0, j->budget);
    }
    j->table.n_parts = n_parts;
    b.batches = sm_alloc_zero((size_t)(j->right.n + 1) * sizeof(*b.batches));
    const sm_status st = build(&b, e);
    for (int64_t i = 0; i < j->right.n; i++) {
        sm_batch_release(b.batches[i].keys);
    }
    sm_free(b.batches);
    sm_free(types);
    return st;
}

void smi_join_table_drop(smi_join_table *t)
{
    for (int32_t p = 0; p < t->n_parts; p++) {
        smi_groups_free(t->groups[p]);
    }
    sm_block_release(t->refs_block);
    sm_block_release(t->first_block);
    sm_block_release(t->filter_block);
    *t = (smi_join_table){0};
}

/* ---- look ------------------------------------------------------------------------------------ */

static sm_status look_parts(const smi_join_table *t, const key_rows *k, int32_t *found,
                            int32_t *ids, sm_error *e)
{
    for (int32_t p = 0; p < t->n_parts; p++) {
        const int32_t *rows = k->rows + k->first[p];
        const int32_t n = k->first[p + 1] - k->first[p];
        SM_TRY(smi_groups_look(t->groups[p], k->keys->columns, k->hashes, rows, n, found, e));
        for (int32_t r = 0; r < n; r++) {
            ids[rows[r]] = found[r] < 0 ? -1 : found[r] + (int32_t)t->base[p];
        }
    }
    return SM_OK;
}

sm_status smi_join_table_look(smi_join *j, sm_batch *left, int32_t *ids, sm_error *e)
{
    key_rows k = {0};
    void *found = NULL;
    for (int64_t i = 0; i < left->n_rows; i++) {
        ids[i] = -1;
    }
    sm_status st = key_rows_make(j, true, left, &k, e);
    st = st == SM_OK ? sm_batch_alloc(k.keys, (size_t)left->n_rows * 4, &found, e) : st;
    st = st == SM_OK ? look_parts(&j->table, &k, found, ids, e) : st;
    sm_batch_release(k.keys);
    return st;
}
