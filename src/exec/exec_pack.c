/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pack.c: GROUP BY where keys, arguments and states are a few words: a row becomes one
 * small record, and a group is one.
 *
 * Calls    exec_agg.c packs batches, in the order of morsels; exec_agg_fold.c adds a partition's
 *          records to its table and fills the output from it (exec_pack_table.c). Where keys or
 *          aggregates do not pack (smi_pack_new() returns NULL), rows go by lanes, with the
 *          aggregates' own states.
 * Row      keys, each 8 bytes (16 for a string: a view whose reference is a pointer)
 *          u32 high half of the hash, u32 mask: bit i: aggregate i takes the row (its FILTER is
 *          true
 *            and its argument is not NULL); bit 24 + k: key k is NULL
 *          arguments, 8 bytes each, or 4 where all of a batch fit; equal expressions once
 * Group    keys   u64 mask as above: bit i: aggregate i has a value   states
 *          sum: 8 bytes, modulo 2^64; the rare sums that overflow have their carries in a list
 *          count, min, max: 8 bytes
 *          count(DISTINCT): 64 bits, for the values from a base on that the first row chose, and
 *          the
 *            number of other values, which are in a set of the table
 * Order    Records of a batch are sorted by the top 8 bits of the hash, in the order of rows. A
 *          table numbers its groups as they come. So the output is the same as without packing.
 * Why      5.5 M rows into 1 M groups, 8 aggregates: a state of 88 bytes instead of 160, and a
 *          record of 40 bytes that is read once instead of columns that are gathered for each
 *          FILTER. */
#include "exec/exec_pack_table_int.h"

#include <string.h>

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

/* Finds an aggregate's operation and argument; false where it does not pack. */
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
    /* An argument that may fail must not be evaluated for rows that the FILTER leaves out. */
    if (item->filter && arg && arg->kind != SM_EXPR_COLUMN) {
        return false;
    }
    it->call = item->call;
    it->arg = arg ? place_of(k->args, &k->n_args, arg) : -1;
    it->rule = item->filter ? place_of(k->rules, &k->n_rules, item->filter) : -1;
    atomic_init(&it->base, INT64_MIN);
    k->n_items++;
    return true;
}

/* Gives each state its place in a group: first the states that every row changes, last those that
 * hardly any row changes, so that few rows touch more than a group's hot words. */
static void place_states(smi_pack *k)
{
    enum { LINE_WORDS = 8 };
    k->group_words = k->key_words + 1;
    for (int with_rule = 0; with_rule <= 1; with_rule++) {
        for (int32_t i = 0; i < k->n_items; i++) {
            if ((k->items[i].rule >= 0) == with_rule) {
                k->items[i].word = k->group_words++;
            }
        }
    }
    for (int32_t i = 0; i < k->n_items; i++) {
        if (k->items[i].op == OP_DISTINCT) {
            k->items[i].others = k->group_words++;
        }
    }
    const int32_t least = k->key_words + 1 > LINE_WORDS ? k->key_words + 1 : LINE_WORDS;
    k->hot_words = k->group_words < least ? k->group_words : least;
    for (int32_t i = 0; i < k->n_items; i++) {
        k->cold_items |= k->items[i].word >= k->hot_words ? (uint32_t)1 << i : 0;
    }
}

smi_pack *smi_pack_new(smi_execution *exec, const sm_plan_node *node)
{
    smi_pack *k = SM_NEW(exec->arena, smi_pack);
    k->exec = exec;
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
    for (int32_t i = 0; i < node->as.aggregate.n_items; i++) {
        if (!add_item(k, &node->as.aggregate.items[i])) {
            return NULL;
        }
    }
    place_states(k);
    return k->group_words <= MAX_WORDS ? k : NULL;
}

/* ---- packing rows ---------------------------------------------------------------------------- */

void smi_packed_free(smi_packed *k)
{
    if (k) {
        sm_block_release(k->records);
        sm_block_release(k->text);
        sm_block_release(k->carries);
        smi_pack_table_free(k->owner);
        sm_free(k);
    }
}

size_t smi_packed_bytes(const smi_packed *k)
{
    return sizeof(*k) + k->records->size_bytes + (k->text ? k->text->size_bytes : 0);
}

/* A batch whose rows are being made records. */
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
        SM_TRY(sm_expr_eval(x, g->in, g->pack->exec->params, g->temp, &c, e));
    }
    return sm_column_flatten(&c, g->temp, out, e);
}

/* Puts the values of a flat column, sign-extended to OUT, into their records, at the `at`-th OUT.
 * */
#define PUT_VALUES(OUT, T)                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                              \
        ((OUT *)(void *)to[i])[at] = (OUT)((const T *)c->values)[i];                               \
    }                                                                                              \
    break
#define DEFINE_PUT(name, OUT)                                                                      \
    static void name(const sm_column *c, uint64_t *const *to, int32_t at)                          \
    {                                                                                              \
        const int64_t n = c->n_rows;                                                               \
        switch (c->type->id) {                                                                     \
        case SM_TYPE_BOOL:                                                                         \
            for (int64_t i = 0; i < n; i++) {                                                      \
                ((OUT *)(void *)to[i])[at] = sm_bit_get(c->values, i);                             \
            }                                                                                      \
            break;                                                                                 \
        case SM_TYPE_I8:                                                                           \
            PUT_VALUES(OUT, int8_t);                                                               \
        case SM_TYPE_I16:                                                                          \
            PUT_VALUES(OUT, int16_t);                                                              \
        case SM_TYPE_I32:                                                                          \
        case SM_TYPE_DATE:                                                                         \
            PUT_VALUES(OUT, int32_t);                                                              \
        case SM_TYPE_U8:                                                                           \
            PUT_VALUES(OUT, uint8_t);                                                              \
        case SM_TYPE_U16:                                                                          \
            PUT_VALUES(OUT, uint16_t);                                                             \
        case SM_TYPE_U32:                                                                          \
            PUT_VALUES(OUT, uint32_t);                                                             \
        default:                                                                                   \
            PUT_VALUES(OUT, int64_t);                                                              \
        }                                                                                          \
    }
DEFINE_PUT(put_words, int64_t)
DEFINE_PUT(put_halves, int32_t)
#undef DEFINE_PUT
#undef PUT_VALUES

/* Do all values of a flat column fit in an int32_t? */
static bool is_narrow(const sm_column *c)
{
    const int64_t *v = c->values;
    uint64_t over = 0;
    if (sm_type_bytes(c->type->id) < 8) {
        return c->type->id != SM_TYPE_U32;
    }
    for (int64_t i = 0; i < c->n_rows; i++) {
        over |= (uint64_t)v[i] + ((uint64_t)1 << 31);
    }
    return over >> 32 == 0;
}

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

/* Puts strings as views; long ones point to copies of their bytes in the chunk's text. */
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

/* The bits of the aggregates with a FILTER (rule −1: without one). */
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

/* FILTERs over one dictionary column: the bits of the aggregates that take each entry, and NULL. */
typedef struct entry_bits {
    const sm_column *dict;
    uint32_t bits[257];
} entry_bits;

/* Adds a FILTER that depends on one dictionary column alone. *is_added is false where it does not.
 * */
static sm_status add_rule(packing *g, int32_t rule, entry_bits *of, bool *is_added, sm_error *e)
{
    const smi_pack *k = g->pack;
    const sm_column *dict = NULL;
    uint8_t *passes = NULL;
    SM_TRY(
        sm_expr_select_entries(k->rules[rule], g->in, k->exec->params, g->temp, &dict, &passes, e));
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

/* Sets for each row the bits of the aggregates whose FILTER it passes. */
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
            sm_expr_select(k->rules[rule], g->in, k->exec->params, rows, &n_passing, g->budget, e));
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

/* Evaluates the arguments, and clears the bits of aggregates whose argument is NULL. */
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

/* Gives each row its record, partition by partition, and writes the record's header. */
static void lay_out_records(packing *g)
{
    const smi_pack *k = g->pack;
    const size_t words = smi_pack_words(k, g->out->kind);
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
        uint64_t *to = records + (size_t)next[g->hashes[r] >> 56]++ * words;
        to[k->key_words] = g->hashes[r] >> 32 | (uint64_t)g->masks[r] << 32;
        g->to[r] = to;
    }
}

static sm_status put_rows(packing *g, const sm_column *keys, const sm_column *args, sm_error *e)
{
    const smi_pack *k = g->pack;
    bool narrow = true;
    size_t far = 0;
    for (int32_t a = 0; a < k->n_args && narrow; a++) {
        narrow = is_narrow(&args[a]);
    }
    g->out->kind = narrow ? SMI_PACK_NARROW_ROWS : SMI_PACK_ROWS;
    const size_t bytes = (size_t)g->in->n_rows * smi_pack_words(k, g->out->kind) * 8;
    SM_TRY(sm_block_new(g->budget, bytes, &g->out->records, e));
    lay_out_records(g);
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
        if (narrow) {
            put_halves(&args[a], g->to, (k->key_words + 1) * 2 + a);
        } else {
            put_words(&args[a], g->to, k->key_words + 1 + a);
        }
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
    const int64_t n = rows->first[SMI_PARTS], words = (int64_t)smi_pack_words(k, rows->kind);
    const int64_t step = n / SAMPLE + 1; /* records are sorted by partition: a sample of each */
    int64_t n_seen = 0, n_sampled = 0;
    for (int32_t i = 0; i < k->n_items; i++) {
        if (k->items[i].op == OP_DISTINCT) {
            return false; /* the set of a morsel's table cannot be merged into another */
        }
    }
    for (int64_t i = 0; i < n; i += step, n_sampled++) {
        const int64_t bit = (int64_t)((uint32_t)r[i * words] % BITS);
        n_seen += !sm_bit_get(seen, bit);
        sm_bit_set(seen, bit);
    }
    return n_seen * 4 <= n_sampled;
}
