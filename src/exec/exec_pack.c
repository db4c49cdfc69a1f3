/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pack.c: grouping where keys, arguments and states are a few words: a row becomes one
 * small record, and a group is one.
 *
 * Calls    exec_agg.c packs batches, in its order of morsels; exec_agg_fold.c adds a partition's
 *          records to its table, and fills the output from it. What does not pack (smi_pack_new
 *          says NULL) goes the general way, by evaluated columns and the aggregates' own states.
 * Row      keys, each 8 bytes (16 where a string: a view, whose reference is a pointer)
 *          u32 high half of the hash, u32 mask: bit i: aggregate i takes the row (its FILTER holds
 *            and its argument is there); bit 24 + k: key k is NULL
 *          arguments, 8 bytes each: those of all aggregates, each expression once
 * Group    keys   u64 mask as above: bit i: aggregate i has a value   states
 *          sum: 8 bytes, modulo 2^64; how often it ran over stands in a list, for that is rare
 *          count, min, max: 8 bytes   count(DISTINCT): 64 bits for the values from a base on that
 *          the first row chose, and the number of others, which a set of the table tells apart
 * Order    Records of a batch are laid out by the top 8 bits of the hash, in the order of rows. A
 *          table numbers its groups as they come. So what comes out is what the general way gives.
 * Why      5.5 M rows into 1 M groups, 8 aggregates: states of 88 bytes instead of 160, a record of
 *          40 bytes read once instead of columns gathered for each FILTER. */
#include "exec/exec_pack_int.h"

#include <string.h>

#include "base/hash.h"

#define MAX_ITEMS    24
#define MAX_KEYS     8
#define KEY_NULL(k)  ((uint32_t)1 << (MAX_ITEMS + (k)))
#define MAX_WORDS    64
#define FIRST_GROUPS 16
#define FIRST_SLOTS  32

typedef enum pack_op { OP_COUNT, OP_SUM, OP_MIN, OP_MAX, OP_DISTINCT } pack_op;

typedef struct pack_key {
    const sm_expr *expr;
    bool is_str;
    int32_t word;
} pack_key;

typedef struct pack_item {
    pack_op op;
    bool is_unsigned;
    int32_t arg;  /* its number; −1: none, count(*) */
    int32_t word; /* of the group */
    int32_t rule; /* number of the FILTER; −1: none */
    const sm_expr *call;
    _Atomic int64_t base; /* OP_DISTINCT: of the 64 values that are bits; INT64_MIN: none yet */
} pack_item;

struct smi_pack {
    smi_run *run;
    pack_key keys[MAX_KEYS];
    int32_t n_keys;
    bool is_one_str; /* the only key is a string */
    const sm_expr *args[MAX_ITEMS];
    int32_t n_args;
    const sm_expr *rules[MAX_ITEMS];
    int32_t n_rules;
    pack_item items[MAX_ITEMS];
    int32_t n_items;
    int32_t key_words, row_words, group_words;
};

/* The partition of a record by its header. */
static inline uint32_t part_of(uint64_t head)
{
    return (uint32_t)head >> 24;
}

/* A sum that ran over, or came to nothing again. */
typedef struct carry {
    uint32_t group;
    int32_t item;
    int32_t by;
} carry;

struct smi_pack_table {
    const smi_pack *pack;
    sm_budget *budget;
    sm_block *groups;
    int64_t count, cap;
    sm_block *slots; /* high half of the hash, group + 1 */
    uint32_t mask;
    sm_block *text[40]; /* of long keys; doubling */
    int32_t n_text;
    size_t text_used;
    smi_groups *sets[MAX_ITEMS]; /* OP_DISTINCT: (group, value) outside of the bits */
    sm_block *carries;
    int64_t n_carries;
};

/* ---- what packs ------------------------------------------------------------------------------ */

static bool is_word(const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_BOOL:
    case SM_TYPE_DATE:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return true;
    default:
        return sm_type_is_integer(t->id);
    }
}

static int32_t place_of(const sm_expr **list, int32_t *n, const sm_expr *x)
{
    for (int32_t i = 0; i < *n; i++) {
        if (sm_expr_eq(list[i], x)) {
            return i;
        }
    }
    list[*n] = x;
    return (*n)++;
}

/* The operation and the argument; false where it does not pack. */
static bool choose_op(const sm_expr *call, pack_item *it, const sm_expr **arg)
{
    static const pack_op ops[] = {
        [SM_AGG_COUNT] = OP_COUNT, [SM_AGG_SUM] = OP_SUM,           [SM_AGG_MIN] = OP_MIN,
        [SM_AGG_MAX] = OP_MAX,     [SM_AGG_DISTINCT] = OP_DISTINCT,
    };
    const sm_agg_kind kind = call->fn->aggregate->kind;
    const sm_expr *inner = kind == SM_AGG_DISTINCT ? call->prepared : call;
    *arg = inner->n_args > 0 ? inner->args[0] : NULL;
    if (kind == SM_AGG_OTHER || inner->n_args > 1 || (*arg && !is_word((*arg)->type))) {
        return false;
    }
    it->op = ops[kind];
    it->is_unsigned =
        *arg && sm_type_is_integer((*arg)->type->id) && !sm_type_is_signed((*arg)->type->id);
    switch (it->op) {
    case OP_COUNT:
        return true;
    case OP_SUM:
        return !it->is_unsigned && call->type->id == SM_TYPE_I64;
    case OP_MIN:
    case OP_MAX:
        return *arg && (*arg)->type->id != SM_TYPE_BOOL;
    case OP_DISTINCT: /* a wide domain is better off with the aggregate's own sets */
        return inner->fn->aggregate->kind == SM_AGG_COUNT && *arg &&
               sm_type_bytes((*arg)->type->id) <= 4;
    }
    return false;
}

static bool add_item(smi_pack *k, const sm_agg_item *item)
{
    pack_item *it = &k->items[k->n_items];
    const sm_expr *arg = NULL;
    if (k->n_items == MAX_ITEMS || item->is_distinct || !choose_op(item->call, it, &arg)) {
        return false;
    }
    /* What is not taken is not evaluated, for it may fail: a column cannot. */
    if (item->filter && arg && arg->kind != SM_EXPR_COLUMN) {
        return false;
    }
    it->call = item->call;
    it->arg = arg ? place_of(k->args, &k->n_args, arg) : -1;
    it->rule = item->filter ? place_of(k->rules, &k->n_rules, item->filter) : -1;
    it->word = k->group_words;
    k->group_words += it->op == OP_DISTINCT ? 2 : 1;
    atomic_init(&it->base, INT64_MIN);
    k->n_items++;
    return true;
}

smi_pack *smi_pack_new(smi_run *run, const sm_plan_node *node)
{
    smi_pack *k = SM_NEW(run->arena, smi_pack);
    k->run = run;
    k->n_keys = node->as.aggregate.n_keys;
    if (k->n_keys == 0 || k->n_keys > MAX_KEYS) {
        return NULL;
    }
    for (int32_t i = 0; i < k->n_keys; i++) {
        const sm_expr *x = node->as.aggregate.keys[i];
        const bool is_str = sm_type_is_bytes(x->type->id);
        if (!is_str && !is_word(x->type)) {
            return NULL;
        }
        k->keys[i] = (pack_key){.expr = x, .is_str = is_str, .word = k->key_words};
        k->key_words += is_str ? 2 : 1;
    }
    k->is_one_str = k->n_keys == 1 && k->keys[0].is_str;
    k->group_words = k->key_words + 1;
    for (int32_t i = 0; i < node->as.aggregate.n_items; i++) {
        if (!add_item(k, &node->as.aggregate.items[i])) {
            return NULL;
        }
    }
    k->row_words = k->key_words + 1 + k->n_args;
    return k->group_words <= MAX_WORDS ? k : NULL;
}

/* ---- packing rows ---------------------------------------------------------------------------- */

void smi_packed_free(smi_packed *k)
{
    if (k) {
        sm_block_release(k->records);
        sm_block_release(k->text);
        smi_pack_table_free(k->owner);
        sm_free(k);
    }
}

size_t smi_packed_bytes(const smi_packed *k)
{
    return sizeof(*k) + k->records->size_bytes + (k->text ? k->text->size_bytes : 0);
}

/* A batch's rows on their way into records. */
typedef struct packing {
    const smi_pack *pack;
    sm_batch *in;
    sm_batch *temp; /* of evaluated columns */
    sm_budget *budget;
    smi_packed *out;
    uint64_t *hashes;
    uint32_t *masks;
    uint64_t **to; /* the record of each row */
} packing;

static sm_status eval(packing *g, const sm_expr *x, sm_column *out, sm_error *e)
{
    sm_column c = {0};
    if (x->kind == SM_EXPR_COLUMN) {
        c = g->in->columns[x->index];
    } else {
        SM_TRY(sm_expr_eval(x, g->in, g->pack->run->params, g->temp, &c, e));
    }
    return sm_column_flatten(&c, g->temp, out, e);
}

#define PUT_WORDS(T)                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                              \
        to[i][word] = (uint64_t)(int64_t)((const T *)c->values)[i];                                \
    }                                                                                              \
    break

/* The values of a flat column, sign-extended to words, into their records. */
static void put_words(const sm_column *c, uint64_t *const *to, int32_t word)
{
    const int64_t n = c->n_rows;
    switch (c->type->id) {
    case SM_TYPE_BOOL:
        for (int64_t i = 0; i < n; i++) {
            to[i][word] = sm_bit_get(c->values, i);
        }
        break;
    case SM_TYPE_I8:
        PUT_WORDS(int8_t);
    case SM_TYPE_I16:
        PUT_WORDS(int16_t);
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        PUT_WORDS(int32_t);
    case SM_TYPE_U8:
        PUT_WORDS(uint8_t);
    case SM_TYPE_U16:
        PUT_WORDS(uint16_t);
    case SM_TYPE_U32:
        PUT_WORDS(uint32_t);
    default:
        PUT_WORDS(int64_t);
    }
}
#undef PUT_WORDS

/* Bytes of strings that a view only refers to. */
static size_t far_bytes(const sm_column *c)
{
    const sm_view *v = c->values;
    size_t far = 0;
    for (int64_t i = 0; i < c->n_rows; i++) {
        far += v[i].inlined.len > SM_VIEW_INLINE ? (size_t)v[i].inlined.len : 0;
    }
    return far;
}

/* Strings as views whose references are pointers, to copies of the bytes in the chunk's text. */
static void put_strings(const sm_column *c, uint64_t *const *to, int32_t word, uint8_t **text)
{
    const sm_view *v = c->values;
    for (int64_t i = 0; i < c->n_rows; i++) {
        to[i][word] = v[i].words[0];
        to[i][word + 1] = v[i].words[1];
        if (v[i].inlined.len > SM_VIEW_INLINE) {
            const sm_str s = sm_view_str(&v[i], c->heap);
            memcpy(*text, s.data, s.len);
            to[i][word + 1] = (uint64_t)(uintptr_t)*text;
            *text += s.len;
        }
    }
}

static sm_status eval_keys(packing *g, sm_column *keys, sm_error *e)
{
    const smi_pack *k = g->pack;
    for (int32_t i = 0; i < k->n_keys; i++) {
        SM_TRY(eval(g, k->keys[i].expr, &keys[i], e));
        sm_column_hash(&keys[i], g->hashes, i > 0);
        for (int64_t r = 0; keys[i].validity && r < g->in->n_rows; r++) {
            g->masks[r] |= sm_bit_get(keys[i].validity, r) ? 0 : KEY_NULL(i);
        }
    }
    return SM_OK;
}

/* The aggregates of a FILTER; of none: rule −1. */
static uint32_t bits_of(const smi_pack *k, int32_t rule)
{
    uint32_t bits = 0;
    for (int32_t i = 0; i < k->n_items; i++) {
        bits |= k->items[i].rule == rule ? (uint32_t)1 << i : 0;
    }
    return bits;
}

static void add_bits(packing *g, uint32_t bits)
{
    for (int64_t r = 0; r < g->in->n_rows; r++) {
        g->masks[r] |= bits;
    }
}

/* FILTERs over one dictionary column: what they say of each of its entries, and of NULL. */
typedef struct entry_bits {
    const sm_column *dict;
    uint32_t bits[257];
} entry_bits;

/* Adds a FILTER that depends on the dictionary alone; false where it does not. */
static sm_status add_rule(packing *g, int32_t rule, entry_bits *of, bool *is_added, sm_error *e)
{
    const smi_pack *k = g->pack;
    const sm_column *dict = NULL;
    uint8_t *passes = NULL;
    SM_TRY(
        sm_expr_select_entries(k->rules[rule], g->in, k->run->params, g->temp, &dict, &passes, e));
    *is_added = dict && dict->children[0].n_rows < SM_COUNT(of->bits) &&
                (!of->dict || of->dict->values == dict->values);
    if (*is_added) {
        of->dict = dict;
        for (int64_t i = 0; i <= dict->children[0].n_rows; i++) {
            of->bits[i] |= passes[i] ? bits_of(k, rule) : 0;
        }
    }
    return SM_OK;
}

static void add_entry_bits(packing *g, const entry_bits *of)
{
    const sm_column *c = of->dict;
    const int32_t *codes = c->values;
    const int64_t null_entry = c->children[0].n_rows;
    for (int64_t r = 0; r < g->in->n_rows; r++) {
        const bool is_null = c->validity && !sm_bit_get(c->validity, r);
        g->masks[r] |= of->bits[is_null ? null_entry : codes[r]];
    }
}

/* Which aggregates take which rows, as far as their FILTERs say. */
static sm_status eval_rules(packing *g, sm_error *e)
{
    const smi_pack *k = g->pack;
    entry_bits of = {.dict = NULL};
    void *mem = NULL;
    SM_TRY(sm_batch_alloc(g->temp, (size_t)g->in->n_rows * sizeof(int32_t), &mem, e));
    int32_t *rows = mem;
    add_bits(g, bits_of(k, -1));
    for (int32_t rule = 0; rule < k->n_rules; rule++) {
        bool is_added = false;
        int64_t n_passing = 0;
        SM_TRY(add_rule(g, rule, &of, &is_added, e));
        if (is_added) {
            continue;
        }
        SM_TRY(
            sm_expr_select(k->rules[rule], g->in, k->run->params, rows, &n_passing, g->budget, e));
        const uint32_t bits = bits_of(k, rule);
        for (int64_t r = 0; r < n_passing; r++) {
            g->masks[rows[r]] |= bits;
        }
    }
    if (of.dict) {
        add_entry_bits(g, &of);
    }
    return SM_OK;
}

/* No aggregate takes a row whose argument is NULL. */
static sm_status eval_args(packing *g, sm_column *args, sm_error *e)
{
    const smi_pack *k = g->pack;
    for (int32_t a = 0; a < k->n_args; a++) {
        uint32_t bits = 0;
        SM_TRY(eval(g, k->args[a], &args[a], e));
        for (int32_t i = 0; i < k->n_items; i++) {
            bits |= k->items[i].arg == a ? (uint32_t)1 << i : 0;
        }
        for (int64_t r = 0; args[a].validity && r < g->in->n_rows; r++) {
            g->masks[r] &= sm_bit_get(args[a].validity, r) ? UINT32_MAX : ~bits;
        }
    }
    return SM_OK;
}

/* The record of each row, partition by partition, and its header. */
static void lay_out(packing *g)
{
    const smi_pack *k = g->pack;
    const int64_t n = g->in->n_rows;
    uint32_t next[SMI_PARTS] = {0};
    uint32_t at = 0;
    for (int64_t r = 0; r < n; r++) {
        next[g->hashes[r] >> 56]++;
    }
    for (int p = 0; p < SMI_PARTS; p++) {
        const uint32_t count = next[p];
        g->out->first[p] = next[p] = at;
        at += count;
    }
    g->out->first[SMI_PARTS] = at;
    uint64_t *records = (uint64_t *)(void *)g->out->records->data;
    for (int64_t r = 0; r < n; r++) {
        uint64_t *to = records + (size_t)next[g->hashes[r] >> 56]++ * (size_t)k->row_words;
        to[k->key_words] = g->hashes[r] >> 32 | (uint64_t)g->masks[r] << 32;
        g->to[r] = to;
    }
}

static sm_status put_rows(packing *g, const sm_column *keys, const sm_column *args, sm_error *e)
{
    const smi_pack *k = g->pack;
    const size_t bytes = (size_t)g->in->n_rows * (size_t)k->row_words * 8;
    size_t far = 0;
    SM_TRY(sm_block_new(g->budget, bytes, &g->out->records, e));
    lay_out(g);
    for (int32_t i = 0; i < k->n_keys; i++) {
        far += k->keys[i].is_str ? far_bytes(&keys[i]) : 0;
    }
    if (far > 0) {
        SM_TRY(sm_block_new(g->budget, far, &g->out->text, e));
    }
    uint8_t *text = far > 0 ? g->out->text->data : NULL;
    for (int32_t i = 0; i < k->n_keys; i++) {
        if (k->keys[i].is_str) {
            put_strings(&keys[i], g->to, k->keys[i].word, &text);
        } else {
            put_words(&keys[i], g->to, k->keys[i].word);
        }
    }
    for (int32_t a = 0; a < k->n_args; a++) {
        put_words(&args[a], g->to, k->key_words + 1 + a);
    }
    return SM_OK;
}

sm_status smi_pack_rows(smi_pack *k, sm_batch *in, sm_budget *budget, smi_packed **out, sm_error *e)
{
    static const sm_type nothing = {.id = SM_TYPE_STRUCT};
    const size_t n = (size_t)in->n_rows;
    sm_column keys[MAX_KEYS] = {0}, args[MAX_ITEMS] = {0};
    packing g = {.pack = k, .in = in, .budget = budget};
    void *mem = NULL;
    g.out = sm_alloc_zero(sizeof(*g.out));
    sm_status st = sm_batch_new(budget, &nothing, &g.temp, e);
    if (st == SM_OK) {
        sm_batch_keep_all(g.temp, in);
        st = sm_batch_alloc(g.temp, n * (8 + 8 + 4), &mem, e);
    }
    if (st == SM_OK) {
        g.hashes = mem;
        g.to = (uint64_t **)(void *)(g.hashes + n);
        g.masks = (uint32_t *)(void *)(g.to + n);
        st = eval_keys(&g, keys, e);
    }
    if (st == SM_OK) {
        st = eval_rules(&g, e);
    }
    if (st == SM_OK) {
        st = eval_args(&g, args, e);
    }
    if (st == SM_OK) {
        st = put_rows(&g, keys, args, e);
    }
    sm_batch_release(g.temp);
    if (st != SM_OK) {
        smi_packed_free(g.out);
        return st;
    }
    *out = g.out;
    return SM_OK;
}

bool smi_pack_has_few_groups(const smi_pack *k, const smi_packed *rows)
{
    enum { SAMPLE = 1024, BITS = 4096 };
    uint8_t seen[BITS / 8] = {0};
    const uint64_t *r = (const uint64_t *)(const void *)rows->records->data + k->key_words;
    const int64_t n = rows->first[SMI_PARTS];
    const int64_t step = n / SAMPLE + 1; /* the records stand by partition: some of each */
    int64_t n_seen = 0, n_sampled = 0;
    for (int32_t i = 0; i < k->n_items; i++) {
        if (k->items[i].op == OP_DISTINCT) {
            return false; /* the set of a morsel's table cannot be given on */
        }
    }
    for (int64_t i = 0; i < n; i += step, n_sampled++) {
        const int64_t bit = (int64_t)((uint32_t)r[i * k->row_words] % BITS);
        n_seen += !sm_bit_get(seen, bit);
        sm_bit_set(seen, bit);
    }
    return n_seen * 4 <= n_sampled;
}

/* ---- tables ---------------------------------------------------------------------------------- */

smi_pack_table *smi_pack_table_new(const smi_pack *k, sm_budget *budget)
{
    smi_pack_table *t = sm_alloc_zero(sizeof(*t));
    t->pack = k;
    t->budget = budget;
    return t;
}

void smi_pack_table_free(smi_pack_table *t)
{
    if (!t) {
        return;
    }
    for (int32_t i = 0; i < t->n_text; i++) {
        sm_block_release(t->text[i]);
    }
    for (int32_t i = 0; i < t->pack->n_items; i++) {
        smi_groups_free(t->sets[i]);
    }
    sm_block_release(t->groups);
    sm_block_release(t->slots);
    sm_block_release(t->carries);
    sm_free(t);
}

int64_t smi_pack_count(const smi_pack_table *t)
{
    return t->count;
}

static inline uint64_t *group_at(const smi_pack_table *t, int64_t id)
{
    return (uint64_t *)(void *)t->groups->data + id * t->pack->group_words;
}

/* NULL: no sum ran over. */
static carry *carries_of(const smi_pack_table *t)
{
    return t->carries ? (carry *)(void *)t->carries->data : NULL;
}

/* A block twice as large that starts with `used` bytes of the old one. */
static sm_status enlarge(sm_block **block, size_t used, size_t bytes, sm_budget *budget,
                         sm_error *e)
{
    sm_block *larger = NULL;
    SM_TRY(sm_block_new(budget, bytes, &larger, e));
    if (*block) {
        memcpy(larger->data, (*block)->data, used);
    }
    sm_block_release(*block);
    *block = larger;
    return SM_OK;
}

static sm_status grow_slots(smi_pack_table *t, sm_error *e)
{
    const uint64_t n = t->slots ? ((uint64_t)t->mask + 1) * 2 : FIRST_SLOTS;
    if (n > (uint64_t)1 << 32) {
        return sm_fail(e, SM_LIMIT, "more than 2^31 groups in a partition");
    }
    sm_block_release(t->slots);
    t->slots = NULL;
    SM_TRY(sm_block_new(t->budget, n * 8, &t->slots, e));
    uint64_t *slots = (uint64_t *)(void *)t->slots->data;
    memset(slots, 0, n * 8);
    t->mask = (uint32_t)(n - 1);
    for (int64_t id = 0; id < t->count; id++) {
        const uint32_t hash = (uint32_t)group_at(t, id)[t->pack->key_words];
        uint32_t at = hash & t->mask;
        while (slots[at] != 0) {
            at = (at + 1) & t->mask;
        }
        slots[at] = (uint64_t)(id + 1) << 32 | hash;
    }
    return SM_OK;
}

static sm_status make_room(smi_pack_table *t, sm_error *e)
{
    const size_t bytes = (size_t)t->pack->group_words * 8;
    if (t->count == t->cap) {
        const int64_t cap = t->cap ? t->cap * 2 : FIRST_GROUPS;
        SM_TRY(enlarge(&t->groups, (size_t)t->count * bytes, (size_t)cap * bytes, t->budget, e));
        t->cap = cap;
    }
    return !t->slots || (uint64_t)t->count * 2 >= t->mask ? grow_slots(t, e) : SM_OK;
}

/* A key's bytes that outlive the records. */
static sm_status keep_text(smi_pack_table *t, uint64_t *key, sm_error *e)
{
    const size_t len = (uint32_t)key[0];
    sm_block *last = t->n_text > 0 ? t->text[t->n_text - 1] : NULL;
    if (!last || last->size_bytes - t->text_used < len) {
        const size_t twice = last ? last->size_bytes * 2 : 1024;
        SM_ASSERT(t->n_text < SM_COUNT(t->text));
        SM_TRY(sm_block_new(t->budget, twice > len ? twice : len, &last, e));
        t->text[t->n_text++] = last;
        t->text_used = 0;
    }
    memcpy(last->data + t->text_used, (const void *)(uintptr_t)key[1], len);
    key[1] = (uint64_t)(uintptr_t)(last->data + t->text_used);
    t->text_used += len;
    return SM_OK;
}

static inline bool is_far(const uint64_t *str)
{
    return (uint32_t)str[0] > SM_VIEW_INLINE;
}

static inline bool is_same_str(const uint64_t *a, const uint64_t *b)
{
    return a[0] == b[0] && (a[1] == b[1] || (is_far(a) && memcmp((const void *)(uintptr_t)a[1],
                                                                 (const void *)(uintptr_t)b[1],
                                                                 (uint32_t)a[0]) == 0));
}

/* Nulls are the same where both have them: their words are zero. */
static inline bool is_same_key(const smi_pack *k, const uint64_t *a, const uint64_t *b)
{
    const uint64_t nulls = a[k->key_words] ^ b[k->key_words];
    if (nulls >> (32 + MAX_ITEMS) != 0) {
        return false;
    }
    if (k->is_one_str) {
        return is_same_str(a, b);
    }
    for (int32_t i = 0; i < k->n_keys; i++) {
        const int32_t w = k->keys[i].word;
        if (k->keys[i].is_str ? !is_same_str(a + w, b + w) : a[w] != b[w]) {
            return false;
        }
    }
    return true;
}

static sm_status add_group(smi_pack_table *t, const uint64_t *record, int64_t *id, sm_error *e)
{
    const smi_pack *k = t->pack;
    SM_TRY(make_room(t, e));
    SM_ASSERT(t->groups && t->slots);
    uint64_t *g = group_at(t, t->count);
    const uint64_t head = record[k->key_words];
    memset(g, 0, (size_t)k->group_words * 8);
    memcpy(g, record, (size_t)k->key_words * 8);
    g[k->key_words] = head & ~((((uint64_t)1 << MAX_ITEMS) - 1) << 32);
    for (int32_t i = 0; i < k->n_keys; i++) {
        if (k->keys[i].is_str && is_far(g + k->keys[i].word)) {
            SM_TRY(keep_text(t, g + k->keys[i].word, e));
        }
    }
    uint64_t *slots = (uint64_t *)(void *)t->slots->data;
    uint32_t at = (uint32_t)head & t->mask;
    while (slots[at] != 0) {
        at = (at + 1) & t->mask;
    }
    slots[at] = (uint64_t)(t->count + 1) << 32 | (uint32_t)head;
    *id = t->count++;
    return SM_OK;
}

/* −1 where there is none. */
static inline int64_t find_group(const smi_pack_table *t, const uint64_t *record)
{
    if (!t->slots) {
        return -1;
    }
    const uint64_t *slots = (const uint64_t *)(const void *)t->slots->data;
    const uint32_t hash = (uint32_t)record[t->pack->key_words];
    for (uint32_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        const uint64_t slot = slots[at];
        if (slot == 0) {
            return -1;
        }
        if ((uint32_t)slot == hash) {
            const int64_t id = (int64_t)(slot >> 32) - 1;
            if (is_same_key(t->pack, group_at(t, id), record)) {
                return id;
            }
        }
    }
}

/* ---- adding ---------------------------------------------------------------------------------- */

static sm_status add_carry(smi_pack_table *t, int64_t group, int32_t item, int32_t by, sm_error *e)
{
    const size_t used = (size_t)t->n_carries * sizeof(carry);
    if (!t->carries || used == t->carries->size_bytes) {
        const size_t bytes = used > 0 ? used * 2 : 16 * sizeof(carry);
        SM_TRY(enlarge(&t->carries, used, bytes, t->budget, e));
    }
    ((carry *)(void *)t->carries->data)[t->n_carries++] =
        (carry){.group = (uint32_t)group, .item = item, .by = by};
    return SM_OK;
}

static sm_status add_sum(smi_pack_table *t, int64_t id, int32_t item, uint64_t *sum, int64_t v,
                         sm_error *e)
{
    int64_t total = 0;
    const bool over = __builtin_add_overflow((int64_t)*sum, v, &total);
    *sum = (uint64_t)total;
    return over ? add_carry(t, id, item, v > 0 ? 1 : -1, e) : SM_OK;
}

/* Values outside of an item's bits, a few at a time to its set. */
typedef struct others {
    uint32_t groups[256];
    int64_t values[256];
    int32_t item;
    int64_t n;
} others;

static sm_status add_others(smi_pack_table *t, others *o, sm_error *e)
{
    static const sm_type *const types[] = {&sm_type_u32, &sm_type_i64};
    const sm_column keys[] = {
        {.type = &sm_type_u32, .n_rows = o->n, .values = o->groups},
        {.type = &sm_type_i64, .n_rows = o->n, .values = o->values},
    };
    uint64_t hashes[256];
    uint32_t ids[256];
    if (o->n == 0) {
        return SM_OK;
    }
    smi_groups **set = &t->sets[o->item];
    if (!*set) {
        *set = smi_groups_new(types, 2, 0, t->budget);
    }
    sm_column_hash(&keys[0], hashes, false);
    sm_column_hash(&keys[1], hashes, true);
    uint32_t next = (uint32_t)smi_groups_count(*set);
    SM_TRY(smi_groups_find(*set, keys, hashes, o->n, ids, NULL, e));
    for (int64_t i = 0; i < o->n; i++) {
        if (ids[i] == next) { /* numbers are given in the order of rows */
            next++;
            group_at(t, o->groups[i])[t->pack->items[o->item].word + 1]++;
        }
    }
    o->n = 0;
    return SM_OK;
}

/* The first value chooses, with some room below it: rows mostly come in about the order of days. */
static int64_t base_of(const pack_item *it, int64_t v)
{
    _Atomic int64_t *base = (_Atomic int64_t *)&it->base;
    int64_t is = atomic_load_explicit(base, memory_order_relaxed);
    if (is == INT64_MIN) {
        const int64_t wanted = v - 8;
        if (atomic_compare_exchange_strong(base, &is, wanted)) {
            is = wanted;
        }
    }
    return is;
}

static sm_status add_distinct(smi_pack_table *t, int64_t id, int32_t item, uint64_t *state,
                              int64_t v, others *o, sm_error *e)
{
    const uint64_t bit = (uint64_t)v - (uint64_t)base_of(&t->pack->items[item], v);
    if (bit < 64) {
        *state |= (uint64_t)1 << bit;
        return SM_OK;
    }
    if (o->n == SM_COUNT(o->values) || (o->n > 0 && o->item != item)) {
        SM_TRY(add_others(t, o, e));
    }
    if (o->n == 0) {
        o->item = item;
    }
    o->groups[o->n] = (uint32_t)id;
    o->values[o->n++] = v;
    return SM_OK;
}

static inline bool is_less(const pack_item *it, uint64_t a, uint64_t b)
{
    return it->is_unsigned ? a < b : (int64_t)a < (int64_t)b;
}

/* One record to its group: of a row its arguments, of another table's group its states. */
static inline sm_status add_record(smi_pack_table *t, int64_t id, const uint64_t *r, bool is_group,
                                   others *o, sm_error *e)
{
    const smi_pack *k = t->pack;
    uint64_t *g = group_at(t, id);
    const uint64_t items = (r[k->key_words] >> 32) & (((uint64_t)1 << MAX_ITEMS) - 1);
    const uint64_t had = g[k->key_words] >> 32;
    const uint64_t *args = r + k->key_words + 1;
    g[k->key_words] |= items << 32;
    for (uint64_t left = items; left != 0; left &= left - 1) {
        const int32_t i = __builtin_ctzll(left);
        const pack_item *it = &k->items[i];
        uint64_t *state = g + it->word;
        const uint64_t v = is_group ? r[it->word] : it->op == OP_COUNT ? 1 : args[it->arg];
        switch (it->op) {
        case OP_COUNT:
            *state += v;
            break;
        case OP_SUM:
            SM_TRY(add_sum(t, id, i, state, (int64_t)v, e));
            break;
        case OP_MIN:
            *state = !(had >> i & 1) || is_less(it, v, *state) ? v : *state;
            break;
        case OP_MAX:
            *state = !(had >> i & 1) || is_less(it, *state, v) ? v : *state;
            break;
        case OP_DISTINCT:
            SM_ASSERT(!is_group); /* smi_pack_has_few_groups saw to it */
            SM_TRY(add_distinct(t, id, i, state, (int64_t)v, o, e));
            break;
        }
    }
    return SM_OK;
}

/* What the sums of a table's groups ran over by goes with them. */
static sm_status add_carries(smi_pack_table *t, const smi_packed *records, uint32_t from,
                             uint32_t to, sm_error *e)
{
    const smi_pack_table *owner = records->owner;
    const carry *c = carries_of(owner);
    for (int64_t i = 0; c && i < owner->n_carries; i++) {
        if (c[i].group >= from && c[i].group < to) {
            const uint64_t *r = (const uint64_t *)(const void *)records->records->data +
                                (size_t)c[i].group * (size_t)t->pack->group_words;
            SM_TRY(add_carry(t, find_group(t, r), c[i].item, c[i].by, e));
        }
    }
    return SM_OK;
}

/* Brings in the slots, then the groups, of the next n records: side by side their misses cost
 * little more than one (917 -> 712 ms for the aggregate of the shipped pipeline). */
static inline void fetch_ahead(const smi_pack_table *t, const uint64_t *r, size_t words, uint32_t n)
{
    const int32_t head = t->pack->key_words;
    if (!t->slots) {
        return;
    }
    const uint64_t *slots = (const uint64_t *)(const void *)t->slots->data;
    for (uint32_t i = 0; i < n; i++) {
        __builtin_prefetch(&slots[(uint32_t)r[i * words + head] & t->mask]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t slot = slots[(uint32_t)r[i * words + head] & t->mask];
        if (slot != 0) {
            const uint64_t *group = group_at(t, (int64_t)(slot >> 32) - 1);
            __builtin_prefetch(group, 1);
            __builtin_prefetch(group + 8, 1);
        }
    }
}

sm_status smi_pack_add(smi_pack_table *t, const smi_packed *records, int32_t first, int32_t end,
                       sm_error *e)
{
    enum { AHEAD = 16 };
    const uint32_t from = records->first[first], to = records->first[end];
    const size_t words = (size_t)(records->is_groups ? t->pack->group_words : t->pack->row_words);
    const uint64_t *r = (const uint64_t *)(const void *)records->records->data + from * words;
    others o;
    o.n = 0;
    for (uint32_t i = from; i < to; i++, r += words) {
        if ((i - from) % AHEAD == 0) {
            fetch_ahead(t, r, words, to - i < AHEAD ? to - i : AHEAD);
        }
        int64_t id = find_group(t, r);
        if (id < 0) {
            SM_TRY(add_group(t, r, &id, e));
        }
        SM_TRY(records->is_groups ? add_record(t, id, r, true, &o, e)
                                  : add_record(t, id, r, false, &o, e));
    }
    SM_TRY(add_others(t, &o, e));
    return records->owner && records->owner->n_carries > 0 ? add_carries(t, records, from, to, e)
                                                           : SM_OK;
}

/* ---- a table's groups as records ------------------------------------------------------------- */

/* Where each group goes: records by partition, within it as the groups came. */
static void place_groups(const smi_pack_table *t, smi_packed *out, uint32_t *places)
{
    const int32_t head = t->pack->key_words;
    uint32_t next[SMI_PARTS] = {0};
    uint32_t at = 0;
    for (int64_t id = 0; id < t->count; id++) {
        next[part_of(group_at(t, id)[head])]++;
    }
    for (int p = 0; p < SMI_PARTS; p++) {
        const uint32_t count = next[p];
        out->first[p] = next[p] = at;
        at += count;
    }
    out->first[SMI_PARTS] = at;
    for (int64_t id = 0; id < t->count; id++) {
        places[id] = next[part_of(group_at(t, id)[head])]++;
    }
}

sm_status smi_pack_groups(smi_pack_table *t, smi_packed **out, sm_error *e)
{
    const size_t bytes = (size_t)t->pack->group_words * 8;
    smi_packed *k = sm_alloc_zero(sizeof(*k));
    uint32_t *places = sm_alloc((size_t)(t->count + 1) * sizeof(*places));
    sm_status st = sm_block_new(t->budget, (size_t)t->count * bytes + 8, &k->records, e);
    if (st == SM_OK) {
        k->is_groups = true;
        place_groups(t, k, places);
        for (int64_t id = 0; id < t->count; id++) {
            memcpy(k->records->data + places[id] * bytes, group_at(t, id), bytes);
        }
        carry *c = carries_of(t);
        for (int64_t i = 0; c && i < t->n_carries; i++) {
            c[i].group = places[c[i].group];
        }
        sm_block_release(t->groups);
        sm_block_release(t->slots);
        t->groups = t->slots = NULL;
        k->owner = t;
        *out = k;
    } else {
        smi_packed_free(k);
    }
    sm_free(places);
    return st;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Rows of a column that are being written, n of them from a table's group `first` on. */
typedef struct filling {
    const smi_pack_table *table;
    int64_t first, n;
    sm_builder *to;
    int64_t at; /* the builder's row of the first */
} filling;

#define FILL_WORDS(T)                                                                              \
    for (int64_t i = 0; i < f->n; i++) {                                                           \
        ((T *)values)[f->at + i] = (T)group_at(f->table, f->first + i)[word];                      \
    }                                                                                              \
    break

static void fill_words(const filling *f, const sm_type *t, int32_t word)
{
    void *values = sm_builder_values(f->to);
    switch (t->id) {
    case SM_TYPE_BOOL:
        for (int64_t i = 0; i < f->n; i++) {
            if (group_at(f->table, f->first + i)[word] != 0) {
                sm_bit_set(values, f->at + i);
            } else {
                sm_bit_clear(values, f->at + i);
            }
        }
        break;
    case SM_TYPE_I8:
    case SM_TYPE_U8:
        FILL_WORDS(uint8_t);
    case SM_TYPE_I16:
    case SM_TYPE_U16:
        FILL_WORDS(uint16_t);
    case SM_TYPE_I32:
    case SM_TYPE_U32:
    case SM_TYPE_DATE:
        FILL_WORDS(uint32_t);
    default:
        FILL_WORDS(uint64_t);
    }
}
#undef FILL_WORDS

static void fill_strings(const filling *f, int32_t word)
{
    sm_view *values = sm_builder_values(f->to);
    for (int64_t i = 0; i < f->n; i++) {
        const uint64_t *key = group_at(f->table, f->first + i) + word;
        if (is_far(key)) {
            values[f->at + i] = sm_builder_keep_str(
                f->to, (sm_str){(const char *)(uintptr_t)key[1], (uint32_t)key[0]});
        } else {
            values[f->at + i] = (sm_view){.words = {key[0], key[1]}};
        }
    }
}

/* Ends the column: rows whose group's header lacks (or has, `is_null`) the bit are null. */
static void end_column(const filling *f, int bit, bool is_null)
{
    sm_builder_advance(f->to, f->n);
    for (int64_t i = 0; i < f->n; i++) {
        const uint64_t head = group_at(f->table, f->first + i)[f->table->pack->key_words];
        if ((head >> (32 + bit) & 1) == is_null) {
            sm_builder_set_null(f->to, f->at + i);
        }
    }
}

static void fill_distinct(const filling *f, int32_t word)
{
    int64_t *values = sm_builder_values(f->to);
    for (int64_t i = 0; i < f->n; i++) {
        const uint64_t *state = group_at(f->table, f->first + i) + word;
        values[f->at + i] = __builtin_popcountll(state[0]) + (int64_t)state[1];
    }
}

/* A sum that stays run over is an error of the first such group. */
static sm_status check_sum(const filling *f, int32_t item, int64_t *failed, sm_error *e)
{
    const smi_pack_table *t = f->table;
    const carry *c = carries_of(t);
    for (int64_t id = f->first; c && id < f->first + f->n; id++) {
        int64_t by = 0;
        for (int64_t i = 0; i < t->n_carries; i++) {
            by += c[i].group == id && c[i].item == item ? c[i].by : 0;
        }
        if (by != 0) {
            const pack_item *it = &t->pack->items[item];
            *failed = id;
            return sm_agg_sum_too_large(
                it->call, (sm_i128)(int64_t)group_at(t, id)[it->word] + ((sm_i128)by << 64), e);
        }
    }
    return SM_OK;
}

static void fill_key(const filling *f, int32_t k)
{
    const pack_key *key = &f->table->pack->keys[k];
    if (key->is_str) {
        fill_strings(f, key->word);
    } else {
        fill_words(f, key->expr->type, key->word);
    }
    end_column(f, MAX_ITEMS + k, true);
}

void smi_pack_key(const smi_pack_table *t, int64_t id, int32_t k, sm_builder *to)
{
    const filling f = {.table = t, .first = id, .n = 1, .to = to, .at = sm_builder_rows(to)};
    if (sm_builder_reserve(to, 1)) {
        fill_key(&f, k);
    }
}

static sm_status fill_item(filling *f, int32_t i, int64_t *failed, sm_error *e)
{
    const pack_item *it = &f->table->pack->items[i];
    if (it->op == OP_DISTINCT) {
        fill_distinct(f, it->word);
        sm_builder_advance(f->to, f->n);
        return SM_OK;
    }
    fill_words(f, it->call->type, it->word);
    if (it->op == OP_COUNT) {
        sm_builder_advance(f->to, f->n);
        return SM_OK;
    }
    end_column(f, i, false);
    return it->op == OP_SUM ? check_sum(f, i, failed, e) : SM_OK;
}

sm_status smi_pack_fill(const smi_pack_table *t, int64_t first, int64_t n, sm_builder *const *out,
                        int64_t *failed, sm_error *e)
{
    const smi_pack *k = t->pack;
    *failed = -1;
    for (int32_t c = 0; c < k->n_keys + k->n_items; c++) {
        filling f = {
            .table = t, .first = first, .n = n, .to = out[c], .at = sm_builder_rows(out[c])};
        if (!sm_builder_reserve(out[c], n)) {
            return SM_OK; /* refused: finishing the builder tells */
        }
        if (c < k->n_keys) {
            fill_key(&f, c);
        } else {
            SM_TRY(fill_item(&f, c - k->n_keys, failed, e));
        }
    }
    return SM_OK;
}
