/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg_fold.c: GROUP BY, second half: folds chunks into partitions, gives groups out.
 *
 * Calls    smi_agg_fold() by exec_agg.c whenever enough chunks wait in order; smi_agg_output()
 *          once.
 * Fold     Partitions are folded side by side; within one, chunks in order. So a group sees its
 *          rows in the order of the input, and groups appear in the order of their first rows.
 *          Groups that a morsel made itself are merged in the same order.
 * DISTINCT Each partition has a set for each such aggregate, of group numbers and arguments. Only a
 *          row whose entry is new in the set reaches the state.
 * Output   A task gives out whole partitions, some thousand groups together. A partition's memory
 *          is freed as soon as it is out. */
#include "exec/exec_agg_int.h"

#define TASK_GROUPS SM_BATCH_ROWS

/* ---- folding one partition ------------------------------------------------------------------- */

/* Scratch of one partition's fold. */
typedef struct fold_scratch {
    sm_arena *arena;
    uint32_t *ids;
    uint8_t **states, **new_states;
    void **into, **from;
    smi_ref *refs;
    uint64_t *hashes;
    int64_t cap;
} fold_scratch;

static void scratch_reserve(fold_scratch *s, int64_t n)
{
    if (n > s->cap) {
        s->ids = sm_realloc(s->ids, (size_t)n * sizeof(*s->ids));
        s->states = sm_realloc(s->states, (size_t)n * sizeof(*s->states));
        s->new_states = sm_realloc(s->new_states, (size_t)n * sizeof(*s->new_states));
        s->into = sm_realloc(s->into, (size_t)n * sizeof(*s->into));
        s->from = sm_realloc(s->from, (size_t)n * sizeof(*s->from));
        s->refs = sm_realloc(s->refs, (size_t)n * sizeof(*s->refs));
        s->hashes = sm_realloc(s->hashes, (size_t)n * sizeof(*s->hashes));
        s->cap = n;
    }
}

static void scratch_release(fold_scratch *s)
{
    sm_free(s->ids);
    sm_free(s->states);
    sm_free(s->new_states);
    sm_free(s->into);
    sm_free(s->from);
    sm_free(s->refs);
    sm_free(s->hashes);
    sm_arena_free(s->arena);
}

/* The columns of a lane, cut to the rows of partition p. */
static sm_column *lane_columns(const smi_chunk_lane *lane, uint32_t p, fold_scratch *s)
{
    const int32_t n = lane->rows->n_columns;
    sm_column *cols = SM_NEW_ARRAY(s->arena, sm_column, n);
    for (int32_t i = 0; i < n; i++) {
        cols[i] = sm_column_part(&lane->rows->columns[i], lane->first[p], lane->count[p], s->arena);
    }
    return cols;
}

/* Picks those of n rows that are new in the set: their places, in s->refs, and the states that they
 * belong to, in s->new_states. */
static sm_status pick_new(smi_agg *a, smi_part *part, const smi_agg_item *it, const sm_column *cols,
                          int64_t n, const uint64_t *rows, const uint32_t *group_ids,
                          fold_scratch *s, int64_t *n_new, sm_error *e)
{
    sm_column keys[SMI_ARGS_MAX + 1];
    uint32_t *groups = SM_NEW_ARRAY(s->arena, uint32_t, n);
    uint32_t *ids = SM_NEW_ARRAY(s->arena, uint32_t, n);
    smi_groups **set = &part->sets[it->set];
    if (!*set) {
        *set = smi_groups_new(it->set_types, it->n_args + 1, 0, a->tables);
    }
    for (int64_t i = 0; i < n; i++) {
        groups[i] = group_ids[rows ? rows[i] : (uint64_t)i];
        s->hashes[i] = sm_mix64(groups[i] + 1);
    }
    keys[0] = (sm_column){.type = &sm_type_u32, .n_rows = n, .values = groups};
    for (int32_t i = 0; i < it->n_args; i++) {
        keys[1 + i] = cols[it->cols[i]];
        sm_column_hash(&keys[1 + i], s->hashes, true);
    }
    uint32_t next = (uint32_t)smi_groups_count(*set);
    SM_TRY(smi_groups_find(*set, keys, s->hashes, NULL, n, ids, NULL, e));
    *n_new = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] == next) { /* numbers are given in the order of rows */
            next++;
            s->refs[*n_new] = (smi_ref){.batch = 0, .row = (uint32_t)i};
            s->new_states[*n_new] = s->states[rows ? rows[i] : (uint64_t)i];
            ++*n_new;
        }
    }
    return SM_OK;
}

static sm_status update_distinct(smi_agg *a, smi_part *part, const smi_agg_item *it,
                                 const sm_column *cols, int64_t n, const uint64_t *rows,
                                 fold_scratch *s, sm_error *e)
{
    sm_column args[SMI_ARGS_MAX] = {0};
    sm_batch *fresh = NULL;
    int64_t n_new = 0;
    SM_TRY(pick_new(a, part, it, cols, n, rows, s->ids, s, &n_new, e));
    if (n_new == 0) {
        return SM_OK;
    }
    sm_status st = sm_batch_new(a->budget, a->lanes[it->lane].schema, &fresh, e);
    for (int32_t i = 0; st == SM_OK && i < it->n_args; i++) {
        const sm_column *src = &cols[it->cols[i]];
        st = smi_gather(src->type, &src, 1, s->refs, n_new, a->budget, fresh,
                        &fresh->columns[it->cols[i]], e);
        if (st == SM_OK) {
            args[i] = fresh->columns[it->cols[i]];
        }
    }
    for (int64_t i = 0; st == SM_OK && i < n_new; i++) {
        s->into[i] = s->new_states[i] + it->state_off;
    }
    if (st == SM_OK) {
        st = it->fn->update(it->item->call, args, it->n_args, n_new, s->into, part->heap, e);
    }
    sm_batch_release(fresh);
    return st;
}

static sm_status fold_rows(smi_agg *a, smi_part *part, const smi_chunk *c, uint32_t p,
                           const sm_column *first_lane, fold_scratch *s, sm_error *e)
{
    for (int32_t l = 0; l < a->n_lanes; l++) {
        const smi_chunk_lane *lane = &c->lanes[l];
        const int64_t n = lane->rows ? lane->count[p] : 0;
        if (n == 0) {
            continue;
        }
        const sm_column *cols = l == 0 ? first_lane : lane_columns(lane, p, s);
        const uint64_t *rows = l == 0 ? NULL : cols[lane->rows->n_columns - 1].values;
        for (int32_t i = 0; i < a->n_items; i++) {
            const smi_agg_item *it = &a->items[i];
            if (it->lane != l) {
                continue;
            }
            SM_TRY(it->set >= 0
                       ? update_distinct(a, part, it, cols, n, rows, s, e)
                       : smi_agg_update(it, cols, n, s->states, rows, s->into, part->heap, e));
        }
    }
    return SM_OK;
}

static sm_status fold_groups(smi_agg *a, smi_part *part, const smi_chunk *c, const sm_column *cols,
                             int64_t n, fold_scratch *s, sm_error *e)
{
    const uint64_t *ids = cols[a->n_keys].values;
    for (int32_t i = 0; i < a->n_items; i++) {
        const smi_agg_item *it = &a->items[i];
        for (int64_t r = 0; r < n; r++) {
            s->into[r] = s->states[r] + it->state_off;
            s->from[r] = (uint8_t *)smi_groups_state(c->groups, (int64_t)ids[r]) + it->state_off;
        }
        SM_TRY(
            it->fn->merge(it->item->call, s->into, (const void *const *)s->from, n, part->heap, e));
    }
    return SM_OK;
}

sm_status smi_agg_fold_into(smi_agg *a, smi_part *part, const smi_chunk *head, int32_t p,
                            sm_error *e)
{
    fold_scratch s = {.arena = sm_arena_new(NULL)};
    sm_status st = SM_OK;
    for (const smi_chunk *c = head; c && st == SM_OK; c = c->next) {
        const smi_chunk_lane *lane = &c->lanes[0];
        const int64_t n = lane->count[p];
        if (n <= 0) {
            continue;
        }
        SM_TRY_GOTO(st, done, smi_check_cancel(a->exec, e));
        if (!part->groups) {
            part->groups = smi_groups_new(a->key_types, a->n_keys, a->state_bytes, a->tables);
            part->heap = sm_agg_heap_new(a->tables);
            part->sets = sm_alloc_zero((size_t)(a->n_sets + 1) * sizeof(*part->sets));
        }
        sm_arena_reset(s.arena);
        scratch_reserve(&s, n);
        const sm_column *cols = lane_columns(lane, (uint32_t)p, &s);
        const uint64_t *hashes = cols[lane->rows->n_columns - 1].values;
        st = smi_groups_find(part->groups, cols, hashes, NULL, n, s.ids, s.states, e);
        if (st == SM_OK) {
            st = c->groups ? fold_groups(a, part, c, cols, n, &s, e)
                           : fold_rows(a, part, c, (uint32_t)p, cols, &s, e);
        }
    }
done:
    scratch_release(&s);
    return st;
}

typedef struct fold_job {
    smi_agg *agg;
    const smi_chunk *head;
    const smi_packed **packed; /* of those chunks */
    int64_t n_packed;
    _Atomic bool has_put; /* some of it went to disk */
} fold_job;

static sm_status fold_packed(const fold_job *job, smi_part *part, int32_t p, sm_error *e)
{
    smi_agg *a = job->agg;
    part->packed = part->packed ? part->packed : smi_pack_table_new(a->pack, a->tables);
    return smi_pack_add(part->packed, job->packed, job->n_packed, p, p + 1, e);
}

/* Adds a partition's chunks to its table, or writes them to disk. Each partition decides for
 * itself, since spilling may begin while a fold is under way, and the rest of the fold may need
 * more memory than is left. */
static sm_status fold_or_put(fold_job *job, int32_t p, sm_error *e)
{
    smi_agg *a = job->agg;
    bool is_spilling = false;
    SM_TRY(smi_agg_check_memory(a, &is_spilling, e));
    if (is_spilling) {
        atomic_store(&job->has_put, true);
        return smi_agg_put(a, p, job->head, a->n_folds, e);
    }
    return a->pack ? fold_packed(job, &a->parts[p], p, e)
                   : smi_agg_fold_into(a, &a->parts[p], job->head, p, e);
}

static sm_status fold_part(void *ctx, int64_t p, sm_error *e)
{
    fold_job *job = ctx;
    smi_agg *a = job->agg;
    const int64_t start_ns = sm_monotonic_ns();
    SM_TRY(smi_check_cancel(a->exec, e));
    const sm_status st = fold_or_put(job, (int32_t)p, e);
    atomic_fetch_add(&a->fold_ns, sm_monotonic_ns() - start_ns);
    return st;
}

/* The packed records of a list of chunks; the caller frees *out. */
static int64_t list_packed(const smi_chunk *head, const smi_packed ***out)
{
    int64_t n = 0;
    for (const smi_chunk *c = head; c; c = c->next) {
        n++;
    }
    *out = sm_alloc((size_t)(n + 1) * sizeof(**out));
    n = 0;
    for (const smi_chunk *c = head; c; c = c->next) {
        (*out)[n++] = c->packed;
    }
    return n;
}

sm_status smi_agg_fold(smi_agg *a, smi_chunks *some, sm_error *e)
{
    SM_ASSERT(a->is_folding); /* one at a time: partitions have no lock */
    fold_job job = {.agg = a, .head = some->head};
    if (a->pack) {
        job.n_packed = list_packed(some->head, &job.packed);
    }
    const sm_status st = sm_pool_for(a->exec->env->pool, SMI_PARTS, fold_part, &job, e);
    sm_free(job.packed);
    a->n_folds++; /* one fold at a time */
    if (atomic_load(&job.has_put)) {
        smi_agg_keep(a, some);
    }
    return st;
}

void smi_part_release(smi_agg *a, smi_part *p)
{
    for (int32_t i = 0; p->sets && i < a->n_sets; i++) {
        smi_groups_free(p->sets[i]);
    }
    sm_free(p->sets);
    sm_budget_give(a->budget, (size_t)p->cap_pieces * sizeof(*p->pieces));
    sm_free(p->pieces);
    smi_pack_table_free(p->packed);
    smi_groups_free(p->groups);
    sm_agg_heap_free(p->heap);
    *p = (smi_part){0};
}

static int64_t count_groups(const smi_part *p)
{
    return p->packed ? smi_pack_count(p->packed) : p->groups ? smi_groups_count(p->groups) : 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Adds to the error which group failed: its keys as text. */
static sm_status name_group(smi_agg *a, const smi_part *part, int64_t id, sm_status st, sm_error *e)
{
    sm_batch *b = NULL;
    sm_buf text = {0};
    sm_error ignored = {0};
    if (a->n_keys == 0 || sm_batch_new(a->budget, a->group_schema, &b, &ignored) != SM_OK) {
        return st;
    }
    for (int32_t k = 0; k < a->n_keys; k++) {
        sm_builder *keys = sm_builder_new(a->key_types[k], a->budget);
        if (part->packed) {
            smi_pack_key(part->packed, id, k, keys);
        } else {
            smi_groups_key(part->groups, id, k, keys);
        }
        if (sm_builder_finish(keys, b, &b->columns[k], &ignored) == SM_OK) {
            sm_buf_text(&text, k > 0 ? SM_STR(", ") : SM_STR(""));
            sm_column_print(&b->columns[k], 0, &text);
        }
        sm_builder_free(keys);
    }
    const sm_str s = sm_buf_str(&text);
    sm_within(e, st, "group %.*s", SM_STR_ARG(s));
    sm_buf_release(&text);
    sm_batch_release(b);
    return st;
}

/* The batch that a task is filling. */
typedef struct filling {
    sm_builder **builders; /* one an output column */
    int64_t n;
} filling;

/* Appends groups first … first + n − 1 of a partition. */
static sm_status fill_groups(smi_agg *a, const smi_part *part, int64_t first, int64_t n, filling *f,
                             sm_error *e)
{
    const smi_groups *g = part->groups;
    const void **states = sm_alloc((size_t)n * sizeof(*states));
    sm_status st = SM_OK;
    for (int32_t k = 0; k < a->n_keys; k++) {
        for (int64_t i = first; i < first + n; i++) {
            smi_groups_key(g, i, k, f->builders[k]);
        }
    }
    for (int32_t k = 0; k < a->n_items && st == SM_OK; k++) {
        const smi_agg_item *it = &a->items[k];
        int64_t failed = -1;
        for (int64_t i = 0; i < n; i++) {
            states[i] = (const uint8_t *)smi_groups_state(g, first + i) + it->state_off;
        }
        st = it->fn->finish(it->item->call, states, n, f->builders[a->n_keys + k], &failed, e);
        if (st != SM_OK && failed >= 0) {
            st = name_group(a, part, first + failed, st, e);
        }
    }
    f->n += n;
    sm_free(states);
    return st;
}

static sm_status fill_packed(smi_agg *a, const smi_part *part, int64_t first, int64_t n, filling *f,
                             sm_error *e)
{
    int64_t failed = -1;
    const sm_status st = smi_pack_fill(part->packed, first, n, f->builders, &failed, e);
    f->n += n;
    return failed >= 0 ? name_group(a, part, failed, st, e) : st;
}

static sm_status give_filled(smi_agg *a, smi_driver *d, filling *f, sm_error *e)
{
    sm_batch *b = NULL;
    if (f->n == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_new(a->exec->env->budget, a->node->schema, &b, e));
    for (int32_t i = 0; i < a->node->schema->n_fields; i++) {
        const sm_status st = sm_builder_finish(f->builders[i], b, &b->columns[i], e);
        if (st != SM_OK) {
            sm_batch_release(b);
            return st;
        }
    }
    b->n_rows = f->n;
    b->ordinal = d->task->ordinal;
    f->n = 0;
    return smi_give(d, a->node, d->pipe->first, b, e);
}

static sm_status give_part(smi_agg *a, smi_driver *d, smi_part *part, filling *f, sm_error *e)
{
    const int64_t n = count_groups(part);
    SM_ASSERT(!part->packed || !part->groups);
    for (int64_t at = 0; at < n;) {
        const int64_t room = SM_BATCH_ROWS - f->n;
        const int64_t some = n - at < room ? n - at : room;
        SM_TRY(part->packed ? fill_packed(a, part, at, some, f, e)
                            : fill_groups(a, part, at, some, f, e));
        at += some;
        if (f->n == SM_BATCH_ROWS) {
            SM_TRY(give_filled(a, d, f, e));
        }
    }
    return SM_OK;
}

static sm_status output_task(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    smi_agg *a = ctx;
    const int32_t n_fields = a->node->schema->n_fields;
    filling f = {.builders = sm_alloc_zero((size_t)(n_fields + 1) * sizeof(*f.builders))};
    sm_status st = SM_OK;
    for (int32_t c = 0; c < n_fields; c++) {
        f.builders[c] = sm_builder_new(a->node->schema->fields[c].type, a->exec->env->budget);
    }
    for (int32_t p = a->task_first[i]; p < a->task_first[i + 1] && st == SM_OK; p++) {
        st = smi_agg_get(a, p, e);
        st = st == SM_OK ? give_part(a, d, &a->parts[p], &f, e) : st;
        smi_part_release(a, &a->parts[p]);
    }
    if (st == SM_OK) {
        st = give_filled(a, d, &f, e);
    }
    for (int32_t c = 0; c < n_fields; c++) {
        sm_builder_free(f.builders[c]);
    }
    sm_free(f.builders);
    return st;
}

/* An aggregate without keys has one group, even where there are no rows. */
static sm_status ensure_group(smi_agg *a, sm_error *e)
{
    const uint64_t hash = 0;
    uint32_t id = 0;
    smi_part *part = &a->parts[0];
    if (a->n_keys > 0 || part->groups) {
        return SM_OK;
    }
    part->groups = smi_groups_new(a->key_types, 0, a->state_bytes, a->tables);
    part->heap = sm_agg_heap_new(a->tables);
    return smi_groups_find(part->groups, NULL, &hash, NULL, 1, &id, NULL, e);
}

sm_status smi_agg_output(smi_agg *a, smi_op *next, smi_end *end, uint64_t *turn, sm_error *e)
{
    smi_tasks tasks;
    int64_t n_tasks = 0, n_groups = 0;
    SM_TRY(ensure_group(a, e));
    a->task_first = SM_NEW_ARRAY(a->exec->arena, int32_t, SMI_PARTS + 1);
    for (int32_t p = 0; p < SMI_PARTS; p++) {
        n_groups += a->parts[p].n_pieces > 0 ? TASK_GROUPS : count_groups(&a->parts[p]);
        if (n_groups >= TASK_GROUPS || (p == SMI_PARTS - 1 && n_groups > 0)) {
            a->task_first[++n_tasks] = p + 1;
            n_groups = 0;
        }
    }
    SM_ASSERT(n_tasks == 0 || a->task_first[n_tasks] <= SMI_PARTS);
    smi_tasks_init(&tasks, a->node, n_tasks, output_task, a);
    return smi_pipe_run(a->exec, &tasks.source, next, end, turn, e);
}
