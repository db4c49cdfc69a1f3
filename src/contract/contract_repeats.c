/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_repeats.c: of many rows, those whose key may come more than once, so that a
 * rule about duplicates groups few rows instead of all.
 *
 * Calls    find, only (if find says that there may be some), release; by contract_audit.c.
 * Method   A scan gives a 64-bit hash of each row's key; no key is kept. The top 8 bits of a hash
 *          pick one of 256 parts. When all hashes have come, a table for one part after another,
 *          small enough for the cache, tells which hashes come again. If none does, no two keys are
 *          equal, since equal keys have equal hashes. Else `only` lets the rows pass whose hash is
 *          among these: all rows whose key comes again, and now and then one that is alone. The
 *          keys themselves decide then, so that no result rests on a hash.
 * Memory   8 bytes a row, and 16 KiB a part. Where three quarters of what is free are less, several
 *          scans look at some of the parts each.
 * Gives up where that does not pay: more than SCANS_MAX scans, too many keys that come again, keys
 *          made to collide, or memory is refused. `only` lets all rows pass then, and grouping them
 *          spills.
 * Why      6,000,000 texts of 24 bytes in Parquet, of which none comes again: 0.4 s of CPU and
 *          90 MB instead of 2.1 s and 620 MB to group them (docs/performance.md). */
#include "contract/contract_int.h"

#include <string.h>

#define PARTS       256
#define PIECE_BYTES 16192 /* a block of 16 KiB with what it is charged */
#define SCANS_MAX   8
#define PROBES_MAX  4096 /* for one hash: more come of keys that were made to collide */
/* So many keys may come again, and one in so many rows more: of more of them, most rows would pass
 * the filter. */
#define FOUND_MIN   1024
#define FOUND_RATIO 8

/* Hashes of one part. */
typedef struct piece {
    struct piece *before;
    sm_block *block; /* that it is in */
    uint64_t hashes[];
} piece;
#define PIECE_HASHES ((int64_t)((PIECE_BYTES - sizeof(piece)) / sizeof(uint64_t)))

typedef struct part {
    uint64_t *next, *end; /* where the next hash goes, in the last piece; equal: it is full */
    piece *last;          /* NULL: there is none */
    int64_t n_pieces;
} part;

typedef struct search {
    const sm_exec_env *env;
    int32_t first, n_parts;   /* that this scan looks at */
    part parts[PARTS];        /* n_parts */
    size_t bytes, most_bytes; /* of their pieces */
    int64_t n_rows;           /* that came in the first scan */
    sm_hash_set *found;       /* under the lock while parts are looked through */
    sm_mutex lock;
} search;

/* ---- hashes of keys -------------------------------------------------------------------------- */

static sm_status hash_keys(const sm_fn_call *call, uint64_t **out, sm_error *e)
{
    SM_TRY(sm_batch_alloc_raw(call->into, (size_t)call->n_rows * sizeof(**out), (void **)out, e));
    for (int32_t i = 0; i < call->n_args; i++) {
        SM_ASSERT(call->args[i].n_rows == call->n_rows);
        sm_column_hash(&call->args[i], *out, i > 0);
    }
    return SM_OK;
}

static sm_status eval_hash(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    uint64_t *hashes = NULL;

    SM_TRY(hash_keys(call, &hashes, e));
    *out = (sm_column){.type = &sm_type_u64, .n_rows = call->n_rows, .values = hashes};
    return SM_OK;
}

static sm_status eval_may_repeat(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_hash_set *found = call->expr->prepared;
    uint64_t *hashes = NULL;
    uint8_t *bits = NULL;

    SM_TRY(hash_keys(call, &hashes, e));
    SM_TRY(sm_batch_alloc(call->into, (size_t)(call->n_rows + 7) / 8, (void **)&bits, e));
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (sm_hash_set_has(found, (sm_hash128){.low = hashes[i]})) {
            sm_bit_set(bits, i);
        }
    }
    *out = (sm_column){.type = &sm_type_bool, .n_rows = call->n_rows, .values = bits};
    return SM_OK;
}

/* No rows of functions.def: only a plan of this file has them. */
static const sm_function hash_function = {
    .name = "key_hash",
    .signature = "(any, ...) -> ubigint",
    .kind = SM_FN_SCALAR,
    .eval = eval_hash,
    .summary = "The hash of a row's key.",
};
static const sm_function may_repeat_function = {
    .name = "may_repeat",
    .signature = "(any, ...) -> bool",
    .kind = SM_FN_SCALAR,
    .eval = eval_may_repeat,
    .summary = "May the key of a row come again?",
};

static const sm_expr *call_of(const sm_function *fn, const sm_type *type, const void *prepared,
                              const sm_expr *const *keys, int32_t n_keys, sm_arena *a)
{
    sm_expr *x = SM_NEW(a, sm_expr);
    const sm_expr **args = SM_NEW_ARRAY(a, const sm_expr *, n_keys);

    for (int32_t i = 0; i < n_keys; i++) {
        args[i] = keys[i];
    }
    *x = (sm_expr){.kind = SM_EXPR_CALL,
                   .type = type,
                   .fn = fn,
                   .prepared = prepared,
                   .args = args,
                   .n_args = n_keys};
    return x;
}

/* ---- a scan ---------------------------------------------------------------------------------- */

/* Ends the search as if memory was refused. */
static sm_status give_up(sm_error *e)
{
    return sm_fail(e, SM_BUDGET, "the search does not pay");
}

static void release_part(search *s, part *p)
{
    while (p->last) {
        sm_block *block = p->last->block;
        p->last = p->last->before;
        sm_block_release(block);
        s->bytes -= PIECE_BYTES;
    }
    *p = (part){0};
}

/* Leaves the second half of its parts to another scan. */
static sm_status look_at_fewer(search *s, sm_error *e)
{
    const int32_t n_left = (s->n_parts + 1) / 2;

    if (n_left < PARTS / SCANS_MAX) {
        return give_up(e);
    }
    for (int32_t i = n_left; i < s->n_parts; i++) {
        release_part(s, &s->parts[i]);
    }
    s->n_parts = n_left;
    return SM_OK;
}

static sm_status add_piece(search *s, part *p, sm_error *e)
{
    sm_block *block = NULL;

    SM_TRY(sm_block_new(s->env->budget, PIECE_BYTES, &block, e));
    piece *made = (piece *)block->data;
    made->before = p->last;
    made->block = block;
    *p = (part){.next = made->hashes,
                .end = made->hashes + PIECE_HASHES,
                .last = made,
                .n_pieces = p->n_pieces + 1};
    s->bytes += PIECE_BYTES;
    return SM_OK;
}

/* Sink: puts the hashes of rows to those of their parts. */
static sm_status take_hashes(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    search *s = ctx;
    const sm_column *c = &rows->columns[0];
    const uint64_t *hashes = c->values;

    (void)waker;
    SM_ASSERT(c->type->id == SM_TYPE_U64 && c->layout == SM_FLAT);
    s->n_rows += s->first == 0 ? rows->n_rows : 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const int32_t at = (int32_t)(hashes[i] >> 56) - s->first;
        if (at < 0 || at >= s->n_parts) {
            continue;
        }
        part *p = &s->parts[at];
        if (p->next == p->end) {
            if (s->bytes + PIECE_BYTES > s->most_bytes) {
                SM_TRY(look_at_fewer(s, e));
            }
            if (at >= s->n_parts) {
                continue;
            }
            SM_TRY(add_piece(s, p, e));
        }
        *p->next++ = hashes[i];
    }
    return SM_OK;
}

static sm_status add_found(search *s, uint64_t hash, sm_error *e)
{
    sm_mutex_lock(&s->lock);
    sm_status st = sm_hash_set_add(s->found, (sm_hash128){.low = hash}, NULL, e);
    if (st == SM_OK && s->found->n > FOUND_MIN + s->n_rows / FOUND_RATIO) {
        st = give_up(e);
    }
    sm_mutex_unlock(&s->lock);
    return st;
}

/* Puts hashes into a table, in which 0 is a free slot. A hash that is there, or is 0, may come
 * again. */
static sm_status look_through_piece(search *s, const uint64_t *hashes, int64_t n, uint64_t *slots,
                                    uint64_t mask, sm_error *e)
{
    SM_TRY(sm_check_cancel(s->env->budget, e));
    for (int64_t i = 0; i < n; i++) {
        const uint64_t hash = hashes[i];
        uint64_t at = hash & mask;
        for (int probes = 0; slots[at] != 0 && slots[at] != hash; probes++) {
            if (probes == PROBES_MAX) {
                return give_up(e);
            }
            at = (at + 1) & mask;
        }
        if (slots[at] == hash) { /* 0 is found at the first free slot */
            SM_TRY(add_found(s, hash, e));
        }
        slots[at] = hash;
    }
    return SM_OK;
}

/* Finds the hashes of part i that come again. */
static sm_status look_through_part(void *ctx, int64_t i, sm_error *e)
{
    search *s = ctx;
    const part *p = &s->parts[i];
    const int64_t n = p->n_pieces * PIECE_HASHES - (p->end - p->next);
    sm_block *block = NULL;
    sm_status st = SM_OK;
    uint64_t n_slots = 2;

    while (n_slots < (uint64_t)n * 2) {
        n_slots *= 2;
    }
    SM_TRY(sm_block_new(s->env->budget, n_slots * sizeof(uint64_t), &block, e));
    memset(block->data, 0, n_slots * sizeof(uint64_t));
    for (const piece *some = p->last; some && st == SM_OK; some = some->before) {
        const int64_t n_some = some == p->last ? p->next - some->hashes : PIECE_HASHES;
        st = look_through_piece(s, some->hashes, n_some, (uint64_t *)block->data, n_slots - 1, e);
    }
    sm_block_release(block);
    return st;
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Scans once for some of the parts, and looks through these. */
static sm_status scan(search *s, const sm_plan *plan, sm_error *e)
{
    const sm_sink sink = {.ctx = s, .push = take_hashes};
    sm_status st = sm_exec_run(plan, s->env, &sink, NULL, NULL, e);

    if (st == SM_OK) {
        st = sm_pool_for(s->env->pool, s->n_parts, look_through_part, s, e);
    }
    for (int32_t i = 0; i < s->n_parts; i++) {
        release_part(s, &s->parts[i]);
    }
    SM_ASSERT(s->bytes == 0);
    return st;
}

sm_status smi_find_repeats(const smi_audit *u, const sm_plan_node *in, const sm_expr *const *keys,
                           int32_t n_keys, smi_repeats *out, sm_error *e)
{
    const sm_exec_env *env = u->in->env;
    const sm_str name = SM_STR("hash");
    const sm_expr *hash = call_of(&hash_function, &sm_type_u64, NULL, keys, n_keys, u->a);
    sm_plan *plan = NULL;
    search *s = SM_NEW(u->a, search);
    sm_status st = SM_OK;

    *out = (smi_repeats){.hashes = {.budget = env->budget}};
    SM_TRY(sm_plan_finish(sm_plan_project(in, &hash, &name, 1, u->a), u->a, &plan, e));
    *s = (search){.env = env,
                  .n_parts = PARTS,
                  .most_bytes = sm_budget_room(env->budget) / 4 * 3,
                  .found = &out->hashes};
    sm_mutex_init(&s->lock);
    while (st == SM_OK && s->first < PARTS) {
        s->n_parts = s->n_parts < PARTS - s->first ? s->n_parts : PARTS - s->first;
        st = scan(s, plan, e);
        s->first += s->n_parts;
    }
    sm_mutex_release(&s->lock);
    out->is_known = st == SM_OK;
    if (!out->is_known) {
        smi_repeats_release(out);
    }
    return st == SM_BUDGET ? SM_OK : st;
}

bool smi_repeats_none(const smi_repeats *r)
{
    return r->is_known && r->hashes.n == 0;
}

sm_status smi_only_repeats(const smi_repeats *r, const sm_plan_node *in, const sm_expr *const *keys,
                           int32_t n_keys, sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    *out = in;
    if (!r->is_known) {
        return SM_OK;
    }
    const sm_expr *may = call_of(&may_repeat_function, &sm_type_bool, &r->hashes, keys, n_keys, a);
    return sm_plan_filter(in, may, a, out, e);
}

void smi_repeats_release(smi_repeats *r)
{
    sm_hash_set_release(&r->hashes);
}
