/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_repeats.c: of many rows, those whose key may come more than once, so that a
 * rule about duplicates groups few rows instead of all.
 *
 * Calls    new; a plan in whose rows each has its hash (hash), and which takes them (take) while it
 *          is executed for another purpose; end; then find, which reads rows only where there was
 *          no such plan or memory was short; free. Then only (if some may be there), release. By
 *          contract_audit.c, contract_guard.c, contract_watch.c.
 * Method   A 64-bit hash of each row's key is taken; no key is kept. The top 8 bits of a hash pick
 *          one of 256 parts. When all hashes have come, a table for one part after another, small
 *          enough for the cache, tells which hashes come again. If none does, no two keys are
 *          equal, since equal keys have equal hashes. Else `only` lets the rows pass whose hash is
 *          among these: all rows whose key comes again, and now and then one that is alone. The
 *          keys themselves decide then, so that no result rests on a hash.
 * Lanes    Who takes the hashes of a batch has a lane of its own for that time, and no lock. It
 *          gathers the hashes of a part until they fill a line of the cache, and appends the line
 *          to the part's last piece of memory: so what is written is written whole.
 * Table    32 bits of a hash in the slot that others of its bits say. The hashes of a table of 2^k
 *          slots have 8 + k + 31 bits to differ in, near to all 64 of them.
 * Memory   8 bytes a row, and 1 MiB for each lane at most. Where there is none, no pass keeps
 *          hashes, and find reads all rows. Where there is less than that, the upper half of
 *          the parts is dropped: another scan looks at them (find). The rows are read again for it.
 * Twice    A batch that is evaluated twice makes its keys come again; they are looked at then, as
 *          all are that come again.
 * Gives up where that does not pay: more than SCANS_MAX scans, too many keys that come again, keys
 *          made to collide, or memory is refused. `only` lets all rows pass then, and grouping them
 *          spills.
 * Why      6,000,000 texts of 20 bytes in Parquet, of which none comes again: docs/performance.md.
 *          One row after another under a lock into 256 pieces took 5.5 ns a row, lines take 2. */
#include "contract/contract_int.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PARTS        256
#define LINE_HASHES  8 /* 64 bytes */
#define PIECE_BYTES  4096
#define PIECE_HASHES (PIECE_BYTES / 8 - LINE_HASHES)
#define SLAB_PIECES  64
#define SCANS_MAX    8
#define PROBES_MAX   4096 /* for one hash: more come of keys that were made to collide */
/* So many keys may come again, and one in so many rows more: of more of them, most rows would pass
 * the filter. */
#define FOUND_MIN   1024
#define FOUND_RATIO 8

/* Hashes of one part, that one lane has taken. */
typedef struct piece {
    struct piece *before;
    uint64_t unused[LINE_HASHES - 1]; /* so that lines are lines of the cache */
    uint64_t hashes[PIECE_HASHES];    /* all are there, but in the last piece */
} piece;
_Static_assert(sizeof(piece) == PIECE_BYTES, "a piece keeps the lines of its slab aligned");

/* What one thread at a time takes hashes into. */
typedef struct lane {
    uint64_t lines[PARTS][LINE_HASHES]; /* not full yet */
    uint16_t n_in_line[PARTS];
    piece *last[PARTS]; /* NULL: there is none */
    int64_t n_pieces[PARTS];
    uint64_t *next[PARTS], *end[PARTS]; /* in the last piece */
    int32_t n_parts;                    /* that it knows the search to look at */
    bool is_idle;                       /* under the lock */
    struct lane *before;
    sm_block *block; /* that it is in */
} lane;

/* Pieces are taken from the budget so many at a time. */
typedef struct slab {
    struct slab *before;
    sm_block *block;
    uint64_t unused[LINE_HASHES - 2];
    piece pieces[SLAB_PIECES];
} slab;

typedef struct smi_search {
    const sm_exec_env *env;
    int32_t first; /* of the parts that this scan looks at */
    size_t most_bytes;
    sm_hash_set found; /* under the lock while parts are looked through */
    sm_mutex lock;     /* of what follows */
    int32_t n_parts;   /* of which there is memory for the hashes; 0: of none */
    lane *lanes;
    slab *slabs;
    piece *free_pieces;
    size_t bytes;   /* of lanes and slabs */
    int64_t n_rows; /* that came in the first scan */
    bool has_ended; /* all rows have passed */
    bool is_over;   /* it has given up */
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

/* ---- memory: under the lock ------------------------------------------------------------------ */

/* Drops the hashes of parts that the search no longer looks at. */
static void trim(search *s, lane *l)
{
    for (int32_t at = s->n_parts; at < l->n_parts; at++) {
        while (l->last[at]) {
            piece *p = l->last[at];
            l->last[at] = p->before;
            p->before = s->free_pieces;
            s->free_pieces = p;
        }
        l->next[at] = l->end[at] = NULL;
        l->n_pieces[at] = 0;
        l->n_in_line[at] = 0;
    }
    l->n_parts = s->n_parts;
}

static void trim_idle(search *s)
{
    for (lane *l = s->lanes; l; l = l->before) {
        if (l->is_idle) {
            trim(s, l);
        }
    }
}

/* Drops all hashes, before those of other parts come. */
static void empty_lanes(search *s)
{
    const int32_t n_parts = s->n_parts;

    s->n_parts = 0;
    trim_idle(s);
    s->n_parts = n_parts;
    trim_idle(s);
}

/* Gives back all lanes and slabs. */
static void release_memory(search *s)
{
    while (s->lanes) {
        lane *l = s->lanes;
        SM_ASSERT(l->is_idle);
        s->lanes = l->before;
        sm_block_release(l->block);
    }
    while (s->slabs) {
        slab *one = s->slabs;
        s->slabs = one->before;
        sm_block_release(one->block);
    }
    s->free_pieces = NULL;
    s->bytes = 0;
}

/* A zeroed block, if there is room. */
static void *more_memory(search *s, size_t bytes, size_t n_zero, sm_block **block)
{
    sm_error ignored = {0};

    if (sm_block_new(s->env->budget, bytes, block, &ignored) != SM_OK) {
        return NULL;
    }
    memset((*block)->data, 0, n_zero);
    s->bytes += bytes;
    return (*block)->data;
}

static bool add_slab(search *s)
{
    sm_block *block = NULL;
    slab *made = more_memory(s, sizeof(slab), offsetof(slab, pieces), &block);

    if (!made) {
        return false;
    }
    made->block = block;
    made->before = s->slabs;
    s->slabs = made;
    for (int32_t i = SLAB_PIECES - 1; i >= 0; i--) {
        made->pieces[i].before = s->free_pieces;
        s->free_pieces = &made->pieces[i];
    }
    return true;
}

/* Looks at half of the parts, or at none where that takes too many scans. */
static void look_at_fewer(search *s)
{
    const int32_t n_left = (s->n_parts + 1) / 2;

    s->n_parts = n_left < PARTS / SCANS_MAX ? 0 : n_left;
}

/* A piece for a lane, which may look at fewer parts then. Where lanes that others have keep those
 * that are dropped until these come again, more is taken for once. */
static piece *find_piece(search *s, lane *l)
{
    if (!s->free_pieces && s->bytes + sizeof(slab) > s->most_bytes) {
        if (l->n_parts == s->n_parts) {
            look_at_fewer(s);
        }
        trim(s, l);
        trim_idle(s);
    }
    if (!s->free_pieces && !add_slab(s)) {
        s->n_parts = 0;
        trim(s, l);
    }
    piece *found = s->free_pieces;
    s->free_pieces = found ? found->before : NULL;
    return found;
}

static lane *find_lane(search *s)
{
    lane *l = s->lanes;
    sm_block *block = NULL;

    while (l && !l->is_idle) {
        l = l->before;
    }
    if (l) {
        trim(s, l);
        return l;
    }
    l = more_memory(s, sizeof(lane), sizeof(lane), &block);
    if (!l) {
        s->n_parts = 0;
        return NULL;
    }
    l->block = block;
    l->n_parts = s->n_parts;
    l->before = s->lanes;
    s->lanes = l;
    return l;
}

/* ---- taking hashes: any thread --------------------------------------------------------------- */

/* A lane that the caller has until end_lane(); NULL: the search keeps no hashes. */
static lane *begin_lane(search *s, int64_t n_rows)
{
    sm_mutex_lock(&s->lock);
    s->n_rows += s->first == 0 ? n_rows : 0;
    lane *l = s->n_parts > 0 ? find_lane(s) : NULL;
    if (l) {
        l->is_idle = false;
    }
    sm_mutex_unlock(&s->lock);
    return l;
}

static void end_lane(search *s, lane *l)
{
#if defined(__SSE2__)
    _mm_sfence(); /* others may read what went past the caches */
#endif
    sm_mutex_lock(&s->lock);
    l->is_idle = true;
    trim(s, l);
    sm_mutex_unlock(&s->lock);
}

/* Copies a line that is not read again soon: where the machine can, past the caches, which need not
 * fetch what was there then. */
static inline void copy_line(const uint64_t *line, uint64_t last, uint64_t *to)
{
#if defined(__SSE2__)
    for (int i = 0; i < LINE_HASHES - 2; i += 2) {
        _mm_stream_si128((__m128i *)(to + i), _mm_load_si128((const __m128i *)(line + i)));
    }
    _mm_stream_si128((__m128i *)(to + LINE_HASHES - 2),
                     _mm_set_epi64x((int64_t)last, (int64_t)line[LINE_HASHES - 2]));
#else
    memcpy(to, line, (LINE_HASHES - 1) * sizeof(*line));
    to[LINE_HASHES - 1] = last;
#endif
}

/* Appends a line to the hashes of a part, or drops it. `last`: its last hash, which a copy of what
 * was just written would wait for. */
static void put_line(search *s, lane *l, int32_t at, uint64_t last)
{
    if (l->next[at] == l->end[at]) {
        sm_mutex_lock(&s->lock);
        piece *p = find_piece(s, l);
        if (p && at >= l->n_parts) { /* of a part that was just dropped */
            p->before = s->free_pieces;
            s->free_pieces = p;
            p = NULL;
        }
        sm_mutex_unlock(&s->lock);
        if (!p) {
            return;
        }
        p->before = l->last[at];
        l->last[at] = p;
        l->n_pieces[at]++;
        l->next[at] = p->hashes;
        l->end[at] = p->hashes + PIECE_HASHES;
    }
    copy_line(l->lines[at], last, l->next[at]);
    l->next[at] += LINE_HASHES;
}

static inline void put_hash(search *s, lane *l, uint64_t hash)
{
    const int32_t at = (int32_t)(hash >> 56) - s->first;

    if (at < 0 || at >= l->n_parts) {
        return;
    }
    const uint16_t n = l->n_in_line[at];
    if (n < LINE_HASHES - 1) {
        l->lines[at][n] = hash;
        l->n_in_line[at] = (uint16_t)(n + 1);
    } else {
        l->n_in_line[at] = 0;
        put_line(s, l, at, hash);
    }
}

/* The hashes of a batch. The evaluator shows a constant as one row, of however many, so it may come
 * again. */
static void put_hashes(search *s, lane *l, const sm_column *c)
{
    const uint64_t *hashes = c->values;

    if (c->layout == SM_CONST) {
        for (int i = 0; i < 2 && !sm_column_is_null(c, 0); i++) {
            put_hash(s, l, hashes[0]);
        }
        return;
    }
    SM_ASSERT(c->layout == SM_FLAT);
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (!c->validity || sm_bit_get(c->validity, i)) {
            put_hash(s, l, hashes[i]);
        }
    }
}

static sm_status eval_take(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    search *s = (search *)call->expr->prepared;
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};

    SM_ASSERT(call->n_args == 1 && call->args[0].type->id == SM_TYPE_U64);
    lane *l = begin_lane(s, call->n_rows);
    if (l) {
        put_hashes(s, l, &call->args[0]);
        end_lane(s, l);
    }
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

/* ---- looking through parts ------------------------------------------------------------------- */

/* The hashes of a part that were seen. */
typedef struct seen {
    search *s;
    uint32_t *tags; /* 0: a free slot */
    uint64_t mask;  /* of the slot */
} seen;

/* Ends the search as if memory was refused. */
static sm_status give_up(sm_error *e)
{
    return sm_fail(e, SM_BUDGET, "the search does not pay");
}

static sm_status add_found(search *s, uint64_t hash, sm_error *e)
{
    sm_mutex_lock(&s->lock);
    sm_status st = sm_hash_set_add(&s->found, (sm_hash128){.low = hash}, NULL, e);
    if (st == SM_OK && s->found.n > FOUND_MIN + s->n_rows / FOUND_RATIO) {
        st = give_up(e);
    }
    sm_mutex_unlock(&s->lock);
    return st;
}

/* A hash whose tag is there already may come again. */
static sm_status look_at(const seen *t, const uint64_t *hashes, int64_t n, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t hash = hashes[i];
        const uint32_t tag = (uint32_t)(hash >> 24) | 1;
        uint64_t at = hash & t->mask;
        for (int probes = 0; t->tags[at] != 0 && t->tags[at] != tag; probes++) {
            if (probes == PROBES_MAX) {
                return give_up(e);
            }
            at = (at + 1) & t->mask;
        }
        if (t->tags[at] == tag) {
            SM_TRY(add_found(t->s, hash, e));
        }
        t->tags[at] = tag;
    }
    return SM_OK;
}

/* Of a part in one lane. */
static int64_t n_hashes(const lane *l, int64_t part)
{
    return l->n_pieces[part] * PIECE_HASHES - (l->end[part] - l->next[part]) + l->n_in_line[part];
}

static sm_status look_at_lane(const seen *t, const lane *l, int64_t part, sm_error *e)
{
    SM_TRY(sm_check_cancel(t->s->env->budget, e));
    SM_TRY(look_at(t, l->lines[part], l->n_in_line[part], e));
    for (const piece *p = l->last[part]; p; p = p->before) {
        const int64_t n = p == l->last[part] ? l->next[part] - p->hashes : PIECE_HASHES;
        SM_TRY(look_at(t, p->hashes, n, e));
    }
    return SM_OK;
}

/* Finds the hashes of a part that come again. */
static sm_status look_through_part(void *ctx, int64_t part, sm_error *e)
{
    search *s = ctx;
    sm_block *block = NULL;
    sm_status st = SM_OK;
    int64_t n = 0;
    uint64_t n_slots = 2;

    for (const lane *l = s->lanes; l; l = l->before) {
        n += n_hashes(l, part);
    }
    while (n_slots < (uint64_t)n * 2) {
        n_slots *= 2;
    }
    SM_TRY(sm_block_new(s->env->budget, n_slots * sizeof(uint32_t), &block, e));
    memset(block->data, 0, n_slots * sizeof(uint32_t));
    const seen t = {.s = s, .tags = (uint32_t *)block->data, .mask = n_slots - 1};
    for (const lane *l = s->lanes; l && st == SM_OK; l = l->before) {
        st = look_at_lane(&t, l, part, e);
    }
    sm_block_release(block);
    return st;
}

/* Looks through the parts whose hashes are there, and begins with the others. */
static sm_status look_through(search *s, sm_error *e)
{
    const int32_t n = s->n_parts;

    trim_idle(s); /* all are */
    const sm_status st = sm_pool_for(s->env->pool, n, look_through_part, s, e);
    s->is_over = s->is_over || st != SM_OK;
    s->first += n;
    s->n_parts = n < PARTS - s->first ? n : PARTS - s->first;
    if (s->is_over) {
        sm_hash_set_release(&s->found); /* grouping all rows needs the room */
    }
    if (s->n_parts == 0 || s->is_over) {
        release_memory(s);
    } else {
        empty_lanes(s);
    }
    return st == SM_BUDGET ? SM_OK : st;
}

/* ---- a search -------------------------------------------------------------------------------- */

smi_search *smi_search_new(const sm_exec_env *env, size_t most_bytes, sm_arena *a)
{
    search *s = SM_NEW(a, search);

    *s = (search){.env = env,
                  .n_parts = most_bytes > 0 ? PARTS : 0,
                  .most_bytes = most_bytes,
                  .found = {.budget = env->budget}};
    sm_mutex_init(&s->lock);
    return s;
}

/* Runs a plan of which only the hashes are wanted. */
static sm_status scan(search *s, const smi_audit *u, const sm_plan_node *in,
                      const sm_expr *const *keys, int32_t n_keys, sm_error *e)
{
    const sm_str name = SM_STR("hash");
    const sm_expr *hash = smi_search_hash(keys, n_keys, u->a);
    const sm_plan_node *root = sm_plan_project(in, &hash, &name, 1, u->a);
    sm_agg_item item = {0};
    sm_plan *plan = NULL;
    int64_t ignored = 0;

    item.filter = smi_search_take(s, sm_expr_column(root->schema, 0, u->a), u->a);
    SM_TRY(sm_expr_call("count", NULL, 0, u->a, &item.call, e));
    SM_TRY(sm_plan_aggregate(root, NULL, 0, &item, 1, u->a, &root, e));
    SM_TRY(sm_plan_finish(root, u->a, &plan, e));
    return smi_audit_numbers(u, plan, &ignored, 1, e);
}

sm_status smi_search_add(smi_search *s, const smi_audit *u, const sm_plan_node *in,
                         const sm_expr *const *keys, int32_t n_keys, sm_error *e)
{
    return !s->has_ended && s->n_parts > 0 ? scan(s, u, in, keys, n_keys, e) : SM_OK;
}

sm_status smi_search_end(smi_search *s, sm_error *e)
{
    if (s->has_ended) {
        return SM_OK;
    }
    SM_ASSERT(s->first == 0 && !s->is_over);
    s->has_ended = true;
    return look_through(s, e);
}

sm_status smi_search_find(smi_search *s, const smi_audit *u, const sm_plan_node *in,
                          const sm_expr *const *keys, int32_t n_keys, sm_error *e)
{
    if (!s->has_ended) {
        s->n_parts = 0;
        trim_idle(s);
        s->has_ended = true;
    }
    if (s->first < PARTS && !s->is_over) {
        s->most_bytes = (sm_budget_room(s->env->budget) + s->bytes) / 4 * 3;
        s->n_rows = s->first == 0 ? 0 : s->n_rows;
    }
    while (s->first < PARTS && !s->is_over) {
        s->n_parts = s->n_parts > 0 ? s->n_parts : PARTS - s->first;
        SM_TRY(scan(s, u, in, keys, n_keys, e));
        s->is_over = s->n_parts == 0;
        SM_TRY(look_through(s, e));
    }
    return SM_OK;
}

void smi_search_free(smi_search *s)
{
    if (s) {
        s->n_parts = 0;
        release_memory(s);
        sm_hash_set_release(&s->found);
        sm_mutex_release(&s->lock);
    }
}

/* ---- what was found -------------------------------------------------------------------------- */

bool smi_search_none(const smi_search *s)
{
    return s->first == PARTS && !s->is_over && s->found.n == 0;
}

sm_status smi_search_only(const smi_search *s, const sm_plan_node *in, const sm_expr *const *keys,
                          int32_t n_keys, sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    *out = in;
    if (s->is_over) {
        return SM_OK;
    }
    SM_ASSERT(s->first == PARTS);
    const sm_expr *may = call_of(&may_repeat_function, &sm_type_bool, &s->found, keys, n_keys, a);
    return sm_plan_filter(in, may, a, out, e);
}
