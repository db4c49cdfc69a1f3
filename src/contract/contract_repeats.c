/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_repeats.c: of many rows, those whose key may come more than once, so that a
 * rule about duplicates groups few rows instead of all.
 *
 * Calls    find, or for rows that pass by anyhow: new, hash and take, end, free (contract_watch.c);
 *          then only (if some may be there), release; by contract_audit.c.
 * Method   A scan gives a 64-bit hash of each row's key; no key is kept. The top 8 bits of a hash
 *          pick one of 256 parts. When all hashes have come, a table for one part after another,
 *          small enough for the cache, tells which hashes come again. If none does, no two keys are
 *          equal, since equal keys have equal hashes. Else `only` lets the rows pass whose hash is
 *          among these: all rows whose key comes again, and now and then one that is alone. The
 *          keys themselves decide then, so that no result rests on a hash.
 * Memory   8 bytes a row, and 16 KiB a part. Where three quarters of what is free are less, several
 *          scans look at some of the parts each. Rows that pass by are not read again: what does
 *          not fit the bytes that the caller allows ends the search.
 * Passing  The expression `take` puts the hashes of a batch to the others, under a lock, from any
 *          thread. A batch that is evaluated twice makes its keys come again; they are looked at
 *          then, as all are that come again.
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

typedef struct smi_search {
    const sm_exec_env *env;
    int32_t first, n_parts;   /* that this scan looks at */
    part parts[PARTS];        /* n_parts */
    size_t bytes, most_bytes; /* of their pieces */
    int64_t n_rows;           /* that came in the first scan */
    bool is_over;             /* it has given up */
    sm_hash_set *found;       /* under the lock while parts are looked through */
    sm_mutex lock;            /* of rows that pass by: of all */
} search;

/* ---- hashes of keys -------------------------------------------------------------------------- */

static void hash_keys(const sm_fn_call *call, uint64_t *out)
{
    for (int32_t i = 0; i < call->n_args; i++) {
        SM_ASSERT(call->args[i].n_rows == call->n_rows);
        sm_column_hash(&call->args[i], out, i > 0);
    }
}

static sm_status eval_hash(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    uint64_t *hashes = (uint64_t *)out->values; /* the evaluator made it: the function is strict */

    (void)e;
    hash_keys(call, hashes);
    for (int64_t i = 0; out->validity && i < call->n_rows; i++) {
        hashes[i] = sm_bit_get(out->validity, i) ? hashes[i] : 0; /* as in all columns */
    }
    return SM_OK;
}

static sm_status eval_may_repeat(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_hash_set *found = call->expr->prepared;
    uint64_t *hashes = NULL;
    uint8_t *bits = NULL;

    SM_TRY(sm_batch_alloc_raw(call->into, (size_t)call->n_rows * sizeof(*hashes), (void **)&hashes,
                              e));
    hash_keys(call, hashes);
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
    .is_strict = true,
    .eval = eval_hash,
    .summary = "The hash of a row's key; NULL where a part of the key is.",
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

static void release_parts(search *s)
{
    for (int32_t i = 0; i < s->n_parts; i++) {
        release_part(s, &s->parts[i]);
    }
    SM_ASSERT(s->bytes == 0);
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

/* How many hashes tell whether those of a column's rows come again: of a constant two. */
static int64_t n_hashes(const sm_column *c, int64_t n_rows)
{
    SM_ASSERT(c->type->id == SM_TYPE_U64 && c->layout != SM_DICT);
    return c->layout == SM_CONST && n_rows > 2 ? 2 : n_rows;
}

/* Sink: puts the hashes of rows to those of their parts. */
static sm_status take_hashes(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    search *s = ctx;
    const sm_column *c = &rows->columns[0];
    const uint64_t *hashes = c->values;

    (void)waker;
    s->n_rows += s->first == 0 ? rows->n_rows : 0;
    for (int64_t i = 0; i < n_hashes(c, rows->n_rows); i++) {
        const uint64_t hash = hashes[c->layout == SM_CONST ? 0 : i];
        const int32_t at = (int32_t)(hash >> 56) - s->first;
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
        *p->next++ = hash;
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

/* Looks through all parts, which are released. */
static sm_status look_through(search *s, sm_error *e)
{
    const sm_status st = sm_pool_for(s->env->pool, s->n_parts, look_through_part, s, e);

    release_parts(s);
    return st;
}

/* ---- rows that pass by ----------------------------------------------------------------------- */

/* false: there is no room for it. */
static bool add_hash(search *s, uint64_t hash)
{
    part *p = &s->parts[hash >> 56];
    sm_error ignored = {0};

    if (p->next == p->end &&
        (s->bytes + PIECE_BYTES > s->most_bytes || add_piece(s, p, &ignored) != SM_OK)) {
        return false;
    }
    *p->next++ = hash;
    return true;
}

/* Hashes of rows. The evaluator shows a constant as one row, of however many, so it may come
 * again. */
static void add_hashes(search *s, const sm_column *c)
{
    const uint64_t *hashes = c->values;
    const bool is_const = c->layout == SM_CONST;
    const int64_t n = n_hashes(c, is_const ? 2 : c->n_rows);
    bool fits = true;

    for (int64_t i = 0; i < n && fits; i++) {
        const int64_t at = is_const ? 0 : i;
        fits = sm_column_is_null(c, at) || add_hash(s, hashes[at]);
    }
    s->n_rows += c->n_rows;
    if (!fits) {
        s->is_over = true;
        release_parts(s);
    }
}

static sm_status eval_take(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    search *s = (search *)call->expr->prepared;
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};

    SM_ASSERT(call->n_args == 1 && call->args[0].type->id == SM_TYPE_U64);
    sm_mutex_lock(&s->lock);
    if (!s->is_over) {
        add_hashes(s, &call->args[0]);
    }
    sm_mutex_unlock(&s->lock);
    return sm_column_constant(yes, call->n_rows, call->into, out, e);
}

static const sm_function take_function = {
    .name = "key_take",
    .signature = "(ubigint) -> bool",
    .kind = SM_FN_SCALAR,
    .eval = eval_take,
    .summary = "TRUE; the hash of a row's key is searched among others.",
};

const sm_expr *smi_search_hash(const sm_expr *const *keys, int32_t n_keys, sm_arena *a)
{
    return call_of(&hash_function, &sm_type_u64, NULL, keys, n_keys, a);
}

const sm_expr *smi_search_take(smi_search *s, const sm_expr *hash, sm_arena *a)
{
    return call_of(&take_function, &sm_type_bool, s, &hash, 1, a);
}

smi_search *smi_search_new(const sm_exec_env *env, size_t most_bytes, sm_arena *a)
{
    search *s = SM_NEW(a, search);

    *s = (search){.env = env, .n_parts = PARTS, .most_bytes = most_bytes};
    sm_mutex_init(&s->lock);
    return s;
}

sm_status smi_search_end(smi_search *s, smi_repeats *out, sm_error *e)
{
    *out = (smi_repeats){.hashes = {.budget = s->env->budget}};
    if (s->is_over) {
        return SM_OK;
    }
    s->found = &out->hashes;
    const sm_status st = look_through(s, e);
    s->is_over = true;
    out->is_known = st == SM_OK;
    if (!out->is_known) {
        smi_repeats_release(out);
    }
    return st == SM_BUDGET ? SM_OK : st;
}

void smi_search_free(smi_search *s)
{
    if (s) {
        release_parts(s);
        sm_mutex_release(&s->lock);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Scans once for some of the parts, and looks through these. */
static sm_status scan(search *s, const sm_plan *plan, sm_error *e)
{
    const sm_sink sink = {.ctx = s, .push = take_hashes};
    sm_status st = sm_exec_run(plan, s->env, &sink, NULL, NULL, e);

    if (st == SM_OK) {
        return look_through(s, e);
    }
    release_parts(s);
    return st;
}

sm_status smi_find_repeats(const smi_audit *u, const sm_plan_node *in, const sm_expr *const *keys,
                           int32_t n_keys, smi_repeats *out, sm_error *e)
{
    const sm_exec_env *env = u->in->env;
    const sm_str name = SM_STR("hash");
    const sm_expr *hash = smi_search_hash(keys, n_keys, u->a);
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
