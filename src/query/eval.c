/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval.c: expressions over batches, a column at a time. Called by exec's operators, contracts
 * and constant folding.
 *
 * Layouts   What depends on constants alone is computed once and stays SM_CONST. What depends on
 *           one dictionary column alone is computed once an entry, and looked up by code; unless
 *           that fails, for an entry may stand in no row that counts: then row by row.
 * NULL      Strict functions never see one: the joint validity of their arguments is theirs, and
 *           their kernels skip what it leaves out.
 * Laziness  AND, OR and CASE evaluate an argument that can fail only over the rows that need it
 *           (gathered); one that cannot fail is cheaper over all rows.
 * Memory    All from `into`; intermediate columns stay there until it goes. */
#include "query/function/function_int.h"

typedef struct evaluation {
    const sm_value *params;
    sm_batch *into;
} evaluation;

static sm_status eval(const evaluation *v, const sm_expr *x, const sm_batch *in, sm_column *out,
                      sm_error *e);

/* ---- columns under construction -------------------------------------------------------------- */

static size_t bitmap_bytes(int64_t n_rows)
{
    return (size_t)((n_rows + 63) / 64 * 8); /* whole words, so that loops may go by words */
}

sm_status smi_column_new(const sm_type *t, int64_t n_rows, sm_batch *into, sm_column *out,
                         sm_error *e)
{
    void *values = NULL;
    *out = (sm_column){.type = t, .layout = SM_FLAT, .n_rows = n_rows};
    if (t->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    const size_t width = (size_t)sm_type_bytes(t->id);
    const size_t bytes = t->id == SM_TYPE_BOOL ? bitmap_bytes(n_rows) : width * (size_t)n_rows;
    SM_TRY(sm_batch_alloc(into, bytes > 0 ? bytes : 8, &values, e));
    out->values = values;
    return SM_OK;
}

sm_status smi_own_validity(sm_column *out, sm_batch *into, uint8_t **bits, sm_error *e)
{
    void *fresh = NULL;
    SM_TRY(sm_batch_alloc(into, bitmap_bytes(out->n_rows) + 8, &fresh, e));
    memset(fresh, 0xff, (size_t)(out->n_rows / 8));
    for (int64_t i = out->n_rows / 8 * 8; i < out->n_rows; i++) {
        sm_bit_set(fresh, i);
    }
    out->validity = fresh;
    *bits = fresh;
    return SM_OK;
}

sm_status smi_set_null(sm_column *out, int64_t i, sm_batch *into, sm_error *e)
{
    uint8_t *bits = (uint8_t *)out->validity; /* a column under construction owns its bitmap */
    if (!bits) {
        SM_TRY(smi_own_validity(out, into, &bits, e));
    }
    sm_bit_clear(bits, i);
    return SM_OK;
}

static sm_status constant_column(sm_value value, int64_t n_rows, sm_batch *into, sm_column *out,
                                 sm_error *e)
{
    value.type = smi_plain_type(value.type);
    return sm_column_constant(value, n_rows, into, out, e);
}

static sm_status empty_column(const sm_type *t, sm_batch *into, sm_column *out, sm_error *e)
{
    if (!sm_type_is_nested(t->id)) {
        return smi_column_new(t, 0, into, out, e);
    }
    sm_builder *const b = sm_builder_new(t, NULL);
    const sm_status st = sm_builder_finish(b, into, out, e);
    sm_builder_free(b);
    return st;
}

/* ---- reading arguments ----------------------------------------------------------------------- */

int64_t smi_i64_at(const sm_column *c, int64_t i)
{
    const int64_t k = i & smi_mask(c);
    switch (c->type->id) {
    case SM_TYPE_I8:
        return ((const int8_t *)c->values)[k];
    case SM_TYPE_I16:
        return ((const int16_t *)c->values)[k];
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        return ((const int32_t *)c->values)[k];
    case SM_TYPE_U8:
        return ((const uint8_t *)c->values)[k];
    case SM_TYPE_U16:
        return ((const uint16_t *)c->values)[k];
    case SM_TYPE_U32:
        return ((const uint32_t *)c->values)[k];
    case SM_TYPE_BOOL:
        return sm_bit_get(c->values, k);
    default:
        return ((const int64_t *)c->values)[k];
    }
}

double smi_f64_at(const sm_column *c, int64_t i)
{
    const int64_t k = i & smi_mask(c);
    return c->type->id == SM_TYPE_F32   ? (double)((const float *)c->values)[k]
           : c->type->id == SM_TYPE_F64 ? ((const double *)c->values)[k]
                                        : (double)smi_i64_at(c, i);
}

sm_i128 smi_i128_at(const sm_column *c, int64_t i)
{
    sm_i128 v;
    if (c->type->id == SM_TYPE_U64) {
        return ((const uint64_t *)c->values)[i & smi_mask(c)];
    }
    if (c->type->id != SM_TYPE_DECIMAL) {
        return smi_i64_at(c, i);
    }
    memcpy(&v, (const uint8_t *)c->values + (i & smi_mask(c)) * 16, 16);
    return v;
}

bool smi_bool_at(const sm_column *c, int64_t i)
{
    return sm_bit_get(c->values, i & smi_mask(c));
}

/* ---- parts of a batch ------------------------------------------------------------------------ */

/* A batch on the stack that shows the columns that x uses, at given rows. */
static sm_status gather_used(const evaluation *v, const sm_expr *x, const sm_batch *in,
                             const int32_t *rows, int64_t n, sm_batch *out, sm_error *e)
{
    void *columns = NULL, *used = NULL;
    const size_t n_columns = (size_t)in->n_columns;
    SM_TRY(sm_batch_alloc(v->into, (n_columns + 1) * sizeof(sm_column), &columns, e));
    SM_TRY(sm_batch_alloc(v->into, n_columns + 1, &used, e));
    smi_columns_used(x, used);
    memset(out, 0, sizeof(*out));
    out->schema = in->schema;
    out->columns = columns;
    out->n_columns = in->n_columns;
    out->n_rows = n;
    for (int32_t i = 0; i < in->n_columns; i++) {
        if (((const bool *)used)[i]) {
            SM_TRY(sm_column_gather(&in->columns[i], rows, n, v->into, &out->columns[i], e));
        }
    }
    return SM_OK;
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

#define MAX_FIELDS 8 /* around a value; deeper ones are evaluated row by row */

/* Where an expression reads: one column, or one field within it. */
typedef struct source {
    const sm_expr *leaf; /* COLUMN or FIELD; NULL: none so far */
    bool is_many;
} source;

/* The column that x, a COLUMN or FIELDs of one, is or is within; −1: it is something else. */
static int32_t column_of(const sm_expr *x)
{
    int depth = 0;
    while (x->kind == SM_EXPR_FIELD && depth++ < MAX_FIELDS) {
        x = x->args[0];
    }
    return x->kind == SM_EXPR_COLUMN ? x->index : -1;
}

static bool is_same_place(const sm_expr *a, const sm_expr *b)
{
    while (a->kind == SM_EXPR_FIELD && b->kind == SM_EXPR_FIELD && a->index == b->index) {
        a = a->args[0];
        b = b->args[0];
    }
    return a->kind == SM_EXPR_COLUMN && b->kind == SM_EXPR_COLUMN && a->index == b->index;
}

/* Adds what x reads. */
static void find_source(const sm_expr *x, source *from)
{
    if (column_of(x) >= 0) {
        from->is_many = from->is_many || (from->leaf && !is_same_place(from->leaf, x));
        from->leaf = x;
        return;
    }
    from->is_many = from->is_many || x->kind == SM_EXPR_COLUMN || x->kind == SM_EXPR_FIELD;
    for (int32_t i = 0; i < x->n_args && !from->is_many; i++) {
        find_source(x->args[i], from);
    }
}

/* The column that a leaf names in a batch, NULL where a struct on the way is not flat. */
static const sm_column *leaf_column(const sm_expr *leaf, const sm_batch *in)
{
    if (leaf->kind == SM_EXPR_COLUMN) {
        return &in->columns[leaf->index];
    }
    const sm_column *outer = leaf_column(leaf->args[0], in);
    return outer && outer->layout == SM_FLAT ? &outer->children[leaf->index] : NULL;
}

/* A column in which the leaf names `entries`: itself, or a struct of structs with nothing else. */
static sm_status wrap_entries(const sm_expr *leaf, sm_column entries, sm_batch *into,
                              sm_column *out, sm_error *e)
{
    void *children = NULL;
    if (leaf->kind == SM_EXPR_COLUMN) {
        *out = entries;
        return SM_OK;
    }
    const sm_type *outer = leaf->args[0]->type;
    SM_TRY(sm_batch_alloc(into, (size_t)outer->n_fields * sizeof(sm_column), &children, e));
    ((sm_column *)children)[leaf->index] = entries;
    const sm_column around = {.type = outer,
                              .n_rows = entries.n_rows,
                              .children = children,
                              .n_children = outer->n_fields};
    return wrap_entries(leaf->args[0], around, into, out, e);
}

/* Text by code: the entries' results become the dictionary, their nulls go to the codes. */
static sm_status dictionary_of(sm_column *entries, int32_t *codes, int64_t n, sm_batch *into,
                               sm_column *out, sm_error *e)
{
    void *child = NULL;
    SM_TRY(sm_batch_alloc(into, sizeof(sm_column), &child, e));
    *out = (sm_column){.type = entries->type,
                       .layout = SM_DICT,
                       .n_rows = n,
                       .values = codes,
                       .children = child,
                       .n_children = 1};
    for (int64_t i = 0; entries->validity && i < n; i++) {
        if (!sm_bit_get(entries->validity, codes[i])) {
            SM_TRY(smi_set_null(out, i, into, e));
            codes[i] = 0;
        }
    }
    entries->validity = NULL;
    *(sm_column *)child = *entries;
    return SM_OK;
}

static sm_status by_code(sm_column *entries, int32_t *codes, int64_t n, sm_batch *into,
                         sm_column *out, sm_error *e)
{
    if (entries->layout == SM_CONST) {
        *out = *entries;
        out->n_rows = n;
        return SM_OK;
    }
    SM_TRY(sm_column_flatten(entries, into, entries, e));
    if (sm_type_is_bytes(entries->type->id)) {
        return dictionary_of(entries, codes, n, into, out, e);
    }
    return sm_column_gather(entries, codes, n, into, out, e);
}

/* The expression over the entries of the leaf's dictionary, and NULL behind them, if wanted. */
static sm_status eval_entries(const evaluation *v, const sm_expr *x, const sm_batch *in,
                              const sm_expr *leaf, bool with_null, sm_column *out, sm_error *e)
{
    const sm_column *const c = leaf_column(leaf, in);
    const int64_t n_entries = c->children[0].n_rows;
    const int64_t n = n_entries + with_null;
    void *columns = NULL, *rows = NULL;
    sm_column entries = c->children[0];

    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_columns * sizeof(sm_column), &columns, e));
    sm_batch part = {
        .schema = in->schema, .columns = columns, .n_columns = in->n_columns, .n_rows = n};
    if (with_null) {
        SM_TRY(sm_batch_alloc(v->into, (size_t)n * sizeof(int32_t), &rows, e));
        for (int64_t i = 0; i < n; i++) {
            ((int32_t *)rows)[i] = i < n_entries ? (int32_t)i : -1;
        }
        SM_TRY(sm_column_gather(&c->children[0], rows, n, v->into, &entries, e));
    }
    SM_TRY(wrap_entries(leaf, entries, v->into, &part.columns[column_of(leaf)], e));
    return eval(v, x, &part, out, e);
}

static sm_status eval_by_entry(const evaluation *v, const sm_expr *x, const sm_batch *in,
                               const sm_expr *leaf, sm_column *out, sm_error *e)
{
    const sm_column *const c = leaf_column(leaf, in);
    const int32_t *const codes = c->values;
    const bool has_nulls = c->validity != NULL;
    void *places = NULL;
    sm_column entries = {0};

    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_rows * sizeof(int32_t), &places, e));
    SM_TRY(eval_entries(v, x, in, leaf, has_nulls, &entries, e));
    for (int64_t i = 0; i < in->n_rows; i++) {
        const bool valid = !has_nulls || sm_bit_get(c->validity, i);
        ((int32_t *)places)[i] = valid ? codes[i] : (int32_t)c->children[0].n_rows;
    }
    return by_code(&entries, places, in->n_rows, v->into, out, e);
}

static bool has_dictionary(const sm_column *c)
{
    bool any = c->layout == SM_DICT;
    for (int32_t i = 0; !any && c->layout == SM_FLAT && i < c->n_children; i++) {
        any = has_dictionary(&c->children[i]);
    }
    return any;
}

/* Does the dictionary pay: one dictionary column, and fewer entries than rows? Gives its leaf, or
 * NULL. */
static const sm_expr *by_entry_of(const sm_expr *x, const sm_batch *in)
{
    bool any = false;
    source from = {0};
    for (int32_t i = 0; i < in->n_columns && !any; i++) {
        any = has_dictionary(&in->columns[i]);
    }
    if (!any || column_of(x) >= 0 || x->kind == SM_EXPR_CONST || x->kind == SM_EXPR_PARAM ||
        sm_type_is_nested(x->type->id)) {
        return NULL;
    }
    find_source(x, &from);
    const sm_column *c = from.leaf && !from.is_many ? leaf_column(from.leaf, in) : NULL;
    return c && c->layout == SM_DICT && c->children[0].n_rows + 1 < in->n_rows &&
                   !sm_type_is_nested(c->type->id)
               ? from.leaf
               : NULL;
}

/* ---- calls, casts, IN ------------------------------------------------------------------------ */

/* The rows where all arguments have a value, as out's validity. */
static sm_status joint_validity(const sm_column *args, int32_t n_args, sm_batch *into,
                                sm_column *out, sm_error *e)
{
    uint8_t *bits = NULL;
    for (int32_t i = 0; i < n_args; i++) {
        if (!args[i].validity || args[i].layout == SM_CONST) {
            continue;
        }
        if (!bits) {
            SM_TRY(smi_own_validity(out, into, &bits, e));
        }
        for (size_t k = 0; k < sm_bits_bytes(out->n_rows); k++) {
            bits[k] &= args[i].validity[k];
        }
    }
    return SM_OK;
}

static void mask_bits(const sm_column *out)
{
    uint8_t *const bits = (uint8_t *)out->values;
    for (size_t k = 0; out->validity && k < sm_bits_bytes(out->n_rows); k++) {
        bits[k] &= out->validity[k];
    }
}

static sm_status run_kernel(const evaluation *v, const sm_expr *x, const sm_column *args,
                            int64_t n_rows, sm_column *out, sm_error *e)
{
    const sm_fn_call call = {x, args, x->n_args, n_rows, v->into};
    if (!x->fn->is_strict) {
        return x->fn->eval(&call, out, e);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        const bool is_null = args[i].type->id == SM_TYPE_NULL ||
                             (args[i].layout == SM_CONST && sm_column_is_null(&args[i], 0));
        if (is_null) {
            return sm_column_constant(sm_value_null(x->type), n_rows, v->into, out, e);
        }
    }
    SM_TRY(smi_column_new(x->type, n_rows, v->into, out, e));
    SM_TRY(joint_validity(args, x->n_args, v->into, out, e));
    SM_TRY(x->fn->eval(&call, out, e));
    if (x->type->id == SM_TYPE_BOOL && out->layout == SM_FLAT) {
        mask_bits(out);
    }
    return SM_OK;
}

/* Evaluates the arguments; *n_rows is 1 where all are constants. */
static sm_status eval_args(const evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column **args, int64_t *n_rows, sm_error *e)
{
    void *columns = NULL;
    bool all_const = x->n_args > 0;
    SM_TRY(sm_batch_alloc(v->into, (size_t)(x->n_args + 1) * sizeof(sm_column), &columns, e));
    *args = columns;
    for (int32_t i = 0; i < x->n_args; i++) {
        sm_column *const arg = &(*args)[i];
        SM_TRY(eval(v, x->args[i], in, arg, e));
        if (arg->layout == SM_DICT) {
            SM_TRY(sm_column_flatten(arg, v->into, arg, e));
        }
        all_const = all_const && arg->layout == SM_CONST;
    }
    *n_rows = all_const ? 1 : in->n_rows;
    for (int32_t i = 0; all_const && i < x->n_args; i++) {
        (*args)[i].n_rows = 1;
    }
    return SM_OK;
}

static void spread(sm_column *out, int64_t n_rows)
{
    out->layout = SM_CONST;
    out->n_rows = n_rows;
}

static sm_status eval_call(const evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    sm_column *args = NULL;
    int64_t n_rows = 0;
    if (x->fn->kind != SM_FN_SCALAR) {
        return smi_expr_fail(x, e, SM_INTERNAL, "%s is no scalar function", x->fn->name);
    }
    SM_TRY(eval_args(v, x, in, &args, &n_rows, e));
    SM_TRY(sm_batch_check_cancel(v->into, e));
    SM_TRY(run_kernel(v, x, args, n_rows, out, e));
    if (n_rows != in->n_rows) {
        spread(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_cast(const evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    sm_column *args = NULL;
    int64_t n_rows = 0;
    SM_TRY(eval_args(v, x, in, &args, &n_rows, e));
    SM_TRY(smi_cast_column(x, &args[0], v->into, out, e));
    if (n_rows != in->n_rows) {
        spread(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_in(const evaluation *v, const sm_expr *x, const sm_batch *in, sm_column *out,
                         sm_error *e)
{
    sm_column c = {0};
    SM_TRY(eval(v, x->args[0], in, &c, e));
    const bool is_const = c.layout == SM_CONST;
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&c, v->into, &c, e));
    }
    if (c.type->id == SM_TYPE_NULL || (is_const && sm_column_is_null(&c, 0))) {
        return sm_column_constant(sm_value_null(&sm_type_bool), in->n_rows, v->into, out, e);
    }
    c.n_rows = is_const ? 1 : c.n_rows;
    SM_TRY(smi_column_new(&sm_type_bool, c.n_rows, v->into, out, e));
    SM_TRY(joint_validity(&c, 1, v->into, out, e));
    smi_in_bits(x, &c, (uint8_t *)out->values);
    mask_bits(out);
    if (smi_in_has_null(x)) { /* not found among values of which one is unknown */
        uint8_t *bits = NULL;
        SM_TRY(smi_own_validity(out, v->into, &bits, e));
        memcpy(bits, out->values, sm_bits_bytes(c.n_rows));
    }
    if (is_const) {
        spread(out, in->n_rows);
    }
    return SM_OK;
}

/* ---- AND, OR --------------------------------------------------------------------------------- */

/* What is known so far of n rows: known true, known false; neither: NULL. */
typedef struct truth {
    uint64_t *yes, *no;
    int64_t n_words;
} truth;

static sm_status truth_new(const evaluation *v, int64_t n, bool yes, truth *out, sm_error *e)
{
    void *bits = NULL;
    out->n_words = (n + 63) / 64;
    SM_TRY(sm_batch_alloc(v->into, (size_t)out->n_words * 16 + 16, &bits, e));
    out->yes = bits;
    out->no = out->yes + out->n_words;
    for (int64_t i = 0; i < out->n_words; i++) {
        const int64_t left = n - i * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        out->yes[i] = yes ? all : 0;
        out->no[i] = yes ? 0 : all;
    }
    return SM_OK;
}

static uint64_t word_at(const void *bits, int64_t word, int64_t n)
{
    uint64_t w = 0;
    const int64_t bytes = (int64_t)sm_bits_bytes(n) - word * 8;
    memcpy(&w, (const uint8_t *)bits + word * 8, (size_t)(bytes < 8 ? bytes : 8));
    const int64_t left = n - word * 64;
    return left >= 64 ? w : w & ((UINT64_C(1) << left) - 1);
}

/* A BOOLEAN column's two bitmaps, word by word. */
static void truth_word(const sm_column *c, int64_t word, int64_t n, uint64_t *yes, uint64_t *no)
{
    const int64_t left = n - word * 64;
    const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
    SM_ASSERT(c->type);
    if (c->type->id == SM_TYPE_NULL) {
        *yes = 0;
        *no = 0;
    } else if (c->layout == SM_CONST) {
        const bool valid = smi_valid(c, 0);
        *yes = valid && sm_bit_get(c->values, 0) ? all : 0;
        *no = valid && !sm_bit_get(c->values, 0) ? all : 0;
    } else {
        const uint64_t valid = c->validity ? word_at(c->validity, word, n) : all;
        *yes = word_at(c->values, word, n) & valid;
        *no = ~*yes & valid;
    }
}

static void merge_all(truth *t, bool is_and, const sm_column *c, int64_t n)
{
    for (int64_t i = 0; i < t->n_words; i++) {
        uint64_t yes = 0, no = 0;
        truth_word(c, i, n, &yes, &no);
        t->yes[i] = is_and ? t->yes[i] & yes : t->yes[i] | yes;
        t->no[i] = is_and ? t->no[i] | no : t->no[i] & no;
    }
}

static void merge_some(truth *t, bool is_and, const sm_column *c, const int32_t *rows, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        uint64_t yes = 0, no = 0;
        const int64_t i = rows[k];
        const uint64_t bit = UINT64_C(1) << (i & 63);
        truth_word(c, k >> 6, n, &yes, &no);
        const bool is_yes = (yes >> (k & 63)) & 1, is_no = (no >> (k & 63)) & 1;
        if (is_and) {
            t->yes[i >> 6] &= is_yes ? UINT64_MAX : ~bit;
            t->no[i >> 6] |= is_no ? bit : 0;
        } else {
            t->yes[i >> 6] |= is_yes ? bit : 0;
            t->no[i >> 6] &= is_no ? UINT64_MAX : ~bit;
        }
    }
}

static int64_t rows_of(const uint64_t *bits, int64_t n_words, uint64_t flip, int64_t n,
                       int32_t *rows)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n_words; i++) {
        uint64_t w = bits[i] ^ flip;
        const int64_t left = n - i * 64;
        w &= left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        while (w != 0) {
            rows[count++] = (int32_t)(i * 64 + __builtin_ctzll(w));
            w &= w - 1;
        }
    }
    return count;
}

/* Evaluates x over the rows that are not decided yet, and merges what it says. */
static sm_status merge_undecided(const evaluation *v, const sm_expr *x, const sm_batch *in,
                                 truth *t, bool is_and, sm_error *e)
{
    void *rows = NULL;
    sm_batch part;
    sm_column c = {0};
    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_rows * sizeof(int32_t), &rows, e));
    const int64_t n = rows_of(is_and ? t->no : t->yes, t->n_words, UINT64_MAX, in->n_rows, rows);
    if (n == 0) {
        return SM_OK;
    }
    if (n == in->n_rows) {
        SM_TRY(eval(v, x, in, &c, e));
    } else {
        SM_TRY(gather_used(v, x, in, rows, n, &part, e));
        SM_TRY(eval(v, x, &part, &c, e));
    }
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&c, v->into, &c, e));
    }
    merge_some(t, is_and, &c, rows, n);
    return SM_OK;
}

static sm_status eval_truth(const evaluation *v, const sm_expr *x, const sm_batch *in, truth *t,
                            sm_error *e)
{
    const bool is_and = x->kind == SM_EXPR_AND;
    SM_TRY(truth_new(v, in->n_rows, is_and, t, e));
    for (int32_t i = 0; i < x->n_args; i++) {
        sm_column c = {0};
        if (i > 0 && smi_can_fail(x->args[i])) {
            SM_TRY(merge_undecided(v, x->args[i], in, t, is_and, e));
            continue;
        }
        SM_TRY(eval(v, x->args[i], in, &c, e));
        if (c.layout == SM_DICT) {
            SM_TRY(sm_column_flatten(&c, v->into, &c, e));
        }
        merge_all(t, is_and, &c, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_logic(const evaluation *v, const sm_expr *x, const sm_batch *in,
                            sm_column *out, sm_error *e)
{
    truth t;
    bool has_null = false;
    SM_TRY(eval_truth(v, x, in, &t, e));
    *out = (sm_column){
        .type = &sm_type_bool, .layout = SM_FLAT, .n_rows = in->n_rows, .values = t.yes};
    for (int64_t i = 0; i < t.n_words; i++) {
        const int64_t left = in->n_rows - i * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        t.no[i] |= t.yes[i]; /* known at all */
        has_null = has_null || t.no[i] != all;
    }
    out->validity = has_null ? (const uint8_t *)t.no : NULL;
    return SM_OK;
}

/* ---- CASE ------------------------------------------------------------------------------------ */

/* One branch's values and where a row's value stands among them: `at` counts where they were
 * gathered. */
typedef struct branch {
    sm_column values;
    int64_t n_rows; /* that take it */
    int64_t at;
    bool is_gathered;
    int32_t heap_base; /* in the joint heap */
} branch;

/* Gives the undecided rows where a condition holds to branch k. Row i of the condition is row
 * rows[i], or row i where rows is NULL. */
static void take_branch(const sm_column *cond, const int32_t *rows, int32_t k, uint64_t *undecided,
                        int32_t *choice, branch *b)
{
    const int64_t n = cond->n_rows;
    for (int64_t w = 0; w * 64 < n; w++) {
        uint64_t yes = 0, no = 0;
        truth_word(cond, w, n, &yes, &no);
        yes &= rows ? UINT64_MAX : undecided[w];
        b->n_rows += __builtin_popcountll(yes);
        undecided[w] &= rows ? UINT64_MAX : ~yes;
        for (; yes != 0; yes &= yes - 1) {
            const int64_t i = w * 64 + __builtin_ctzll(yes);
            choice[rows ? rows[i] : i] = k;
            if (rows) {
                undecided[rows[i] >> 6] &= ~(UINT64_C(1) << (rows[i] & 63));
            }
        }
    }
}

/* choice[i]: the branch of row i. */
static sm_status choose(const evaluation *v, const sm_expr *x, const sm_batch *in, int32_t *choice,
                        branch *branches, sm_error *e)
{
    const int32_t n_when = x->n_args / 2;
    int64_t n_left = in->n_rows;
    truth t;
    void *rows = NULL;
    SM_TRY(truth_new(v, in->n_rows, true, &t, e)); /* yes: undecided */
    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_rows * sizeof(int32_t), &rows, e));
    for (int64_t i = 0; i < in->n_rows; i++) {
        choice[i] = n_when;
    }
    for (int32_t k = 0; k < n_when && n_left > 0; k++) {
        const sm_expr *const when = x->args[2 * k];
        const bool some = n_left < in->n_rows && smi_can_fail(when);
        sm_batch part;
        sm_column c = {0};
        if (some) {
            rows_of(t.yes, t.n_words, 0, in->n_rows, rows);
            SM_TRY(gather_used(v, when, in, rows, n_left, &part, e));
        }
        SM_TRY(eval(v, when, some ? &part : in, &c, e));
        if (c.layout == SM_DICT) {
            SM_TRY(sm_column_flatten(&c, v->into, &c, e));
        }
        take_branch(&c, some ? rows : NULL, k, t.yes, choice, &branches[k]);
        n_left -= branches[k].n_rows;
    }
    branches[n_when].n_rows = n_left;
    return SM_OK;
}

static const sm_expr *branch_expr(const sm_expr *x, int32_t k)
{
    return k < x->n_args / 2 ? x->args[2 * k + 1] : x->args[x->n_args - 1];
}

static sm_status eval_branch(const evaluation *v, const sm_expr *x, const sm_batch *in, int32_t k,
                             const int32_t *choice, branch *b, sm_error *e)
{
    const sm_expr *const value = branch_expr(x, k);
    if (!smi_can_fail(value)) {
        SM_TRY(eval(v, value, in, &b->values, e));
    } else {
        void *rows = NULL;
        sm_batch part;
        int64_t n = 0;
        SM_TRY(sm_batch_alloc(v->into, (size_t)b->n_rows * sizeof(int32_t), &rows, e));
        for (int64_t i = 0; i < in->n_rows; i++) {
            if (choice[i] == k) {
                ((int32_t *)rows)[n++] = (int32_t)i;
            }
        }
        b->is_gathered = true;
        SM_TRY(gather_used(v, value, in, rows, n, &part, e));
        SM_TRY(eval(v, value, &part, &b->values, e));
    }
    if (b->values.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&b->values, v->into, &b->values, e));
    }
    return SM_OK;
}

/* All branches are constants of text: their numbers are the codes. */
static sm_status case_of_constants(const evaluation *v, const sm_expr *x, int32_t *choice,
                                   int64_t n, sm_column *out, sm_error *e)
{
    const int32_t n_branches = x->n_args / 2 + 1;
    sm_builder *const b = sm_builder_new(x->type, NULL);
    sm_column entries = {0};
    for (int32_t k = 0; k < n_branches; k++) {
        sm_value value = branch_expr(x, k)->value;
        value.type = x->type;
        if (value.is_null) {
            sm_builder_null(b);
        } else {
            sm_builder_str(b, value.as.s);
        }
    }
    const sm_status st = sm_builder_finish(b, v->into, &entries, e);
    sm_builder_free(b);
    SM_TRY(st);
    return dictionary_of(&entries, choice, n, v->into, out, e);
}

/* Puts the branches' heaps behind one another. */
static sm_status join_heaps(branch *branches, int32_t n, sm_batch *into, sm_column *out,
                            sm_error *e)
{
    int32_t n_heap = 0;
    void *heap = NULL;
    for (int32_t k = 0; k < n; k++) {
        branches[k].heap_base = n_heap;
        n_heap += branches[k].values.n_heap;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)(n_heap + 1) * sizeof(sm_heap_buf), &heap, e));
    for (int32_t k = 0; k < n; k++) {
        if (branches[k].values.n_heap > 0) {
            memcpy((sm_heap_buf *)heap + branches[k].heap_base, branches[k].values.heap,
                   (size_t)branches[k].values.n_heap * sizeof(sm_heap_buf));
        }
    }
    out->heap = heap;
    out->n_heap = n_heap;
    return SM_OK;
}

/* Values of T where no branch was gathered: a branch at a time, so that each pass is one blend. */
#define BLEND(T)                                                                                   \
    for (int64_t i = 0; i < n; i++) {                                                              \
        ((T *)out)[i] = choice[i] == k ? ((const T *)values)[i & mask] : ((const T *)out)[i];      \
    }                                                                                              \
    return
static void blend(void *out, int32_t width, const void *values, int64_t mask, const int32_t *choice,
                  int32_t k, int64_t n)
{
    switch (width) {
    case 1:
        BLEND(uint8_t);
    case 2:
        BLEND(uint16_t);
    case 4:
        BLEND(uint32_t);
    case 8:
        BLEND(uint64_t);
    default:
        BLEND(unsigned __int128);
    }
}
#undef BLEND

static void copy_value(sm_column *out, int64_t i, const branch *b, int64_t at)
{
    const int64_t k = at & smi_mask(&b->values);
    const size_t width = (size_t)sm_type_bytes(out->type->id);
    uint8_t *const to = (uint8_t *)out->values + (size_t)i * width;
    if (out->type->id == SM_TYPE_BOOL) {
        if (sm_bit_get(b->values.values, k)) {
            sm_bit_set((uint8_t *)out->values, i);
        }
        return;
    }
    memcpy(to, (const uint8_t *)b->values.values + (size_t)k * width, width);
    if (sm_type_is_bytes(out->type->id)) {
        sm_view *const view = (sm_view *)to;
        if (view->inlined.len > SM_VIEW_INLINE) {
            view->ref.buffer += b->heap_base;
        }
    }
}

static bool can_blend(const branch *branches, int32_t n_branches, const sm_type *t)
{
    bool can = t->id != SM_TYPE_BOOL && !sm_type_is_bytes(t->id);
    for (int32_t k = 0; k < n_branches; k++) {
        const branch *b = &branches[k];
        can = can && (b->n_rows == 0 || (!b->is_gathered && b->values.type->id != SM_TYPE_NULL));
    }
    return can;
}

/* Rows of branch k whose value is NULL: null, and zero as everywhere. */
static sm_status blend_nulls(const evaluation *v, const sm_column *values, const int32_t *choice,
                             int32_t k, sm_column *out, sm_error *e)
{
    const size_t width = (size_t)sm_type_bytes(out->type->id);
    const bool is_const = values->layout == SM_CONST;
    if (!values->validity || (is_const && smi_valid(values, 0))) {
        return SM_OK;
    }
    for (int64_t w = 0; w * 64 < out->n_rows; w++) {
        const int64_t left = out->n_rows - w * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        uint64_t nulls = is_const ? all : ~word_at(values->validity, w, out->n_rows) & all;
        for (; nulls != 0; nulls &= nulls - 1) {
            const int64_t i = w * 64 + __builtin_ctzll(nulls);
            if (choice[i] == k) {
                SM_TRY(smi_set_null(out, i, v->into, e));
                memset((uint8_t *)out->values + (size_t)i * width, 0, width);
            }
        }
    }
    return SM_OK;
}

static sm_status blend_branches(const evaluation *v, const branch *branches, int32_t n_branches,
                                const int32_t *choice, sm_column *out, sm_error *e)
{
    for (int32_t k = 0; k < n_branches; k++) {
        const sm_column *values = &branches[k].values;
        if (branches[k].n_rows > 0) {
            blend((void *)out->values, sm_type_bytes(out->type->id), values->values,
                  smi_mask(values), choice, k, out->n_rows);
            SM_TRY(blend_nulls(v, values, choice, k, out, e));
        }
    }
    return SM_OK;
}

static sm_status merge_branches(const evaluation *v, branch *branches, int32_t n_branches,
                                const int32_t *choice, sm_column *out, sm_error *e)
{
    if (sm_type_is_bytes(out->type->id)) {
        SM_TRY(join_heaps(branches, n_branches, v->into, out, e));
    }
    if (can_blend(branches, n_branches, out->type)) {
        return blend_branches(v, branches, n_branches, choice, out, e);
    }
    for (int64_t i = 0; i < out->n_rows; i++) {
        branch *const b = &branches[choice[i]];
        const int64_t at = b->is_gathered ? b->at++ : i;
        if (b->values.type->id == SM_TYPE_NULL || !smi_valid(&b->values, at)) {
            SM_TRY(smi_set_null(out, i, v->into, e));
        } else {
            copy_value(out, i, b, at);
        }
    }
    return SM_OK;
}

static sm_status merge_nested(const evaluation *v, branch *branches, const int32_t *choice,
                              int64_t n, const sm_type *t, sm_column *out, sm_error *e)
{
    sm_builder *const builder = sm_builder_new(t, NULL);
    for (int64_t i = 0; i < n; i++) {
        branch *const b = &branches[choice[i]];
        sm_builder_cell(builder, &b->values, b->is_gathered ? b->at++ : i);
    }
    const sm_status st = sm_builder_finish(builder, v->into, out, e);
    sm_builder_free(builder);
    return st;
}

static sm_status eval_case(const evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    const int32_t n_branches = x->n_args / 2 + 1;
    const int64_t n = in->n_rows;
    void *choices = NULL, *all = NULL;
    bool only_text = x->type->id == SM_TYPE_STRING;
    SM_TRY(sm_batch_alloc(v->into, (size_t)n * sizeof(int32_t), &choices, e));
    SM_TRY(sm_batch_alloc(v->into, (size_t)n_branches * sizeof(branch), &all, e));
    branch *const branches = all;
    SM_TRY(choose(v, x, in, choices, branches, e));
    for (int32_t k = 0; k < n_branches; k++) {
        if (branches[k].n_rows == n) { /* every row goes one way */
            return eval(v, branch_expr(x, k), in, out, e);
        }
        only_text = only_text && branch_expr(x, k)->kind == SM_EXPR_CONST;
    }
    if (only_text) {
        return case_of_constants(v, x, choices, n, out, e);
    }
    for (int32_t k = 0; k < n_branches; k++) {
        if (branches[k].n_rows > 0) {
            SM_TRY(eval_branch(v, x, in, k, choices, &branches[k], e));
        }
    }
    if (sm_type_is_nested(x->type->id)) {
        return merge_nested(v, branches, choices, n, x->type, out, e);
    }
    SM_TRY(smi_column_new(x->type, n, v->into, out, e));
    return merge_branches(v, branches, n_branches, choices, out, e);
}

/* ---- any expression -------------------------------------------------------------------------- */

static sm_status eval_field(const evaluation *v, const sm_expr *x, const sm_batch *in,
                            sm_column *out, sm_error *e)
{
    sm_column c = {0};
    SM_TRY(eval(v, x->args[0], in, &c, e));
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&c, v->into, &c, e));
    }
    *out = c.children[x->index];
    if (c.layout == SM_CONST) {
        spread(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_kind(const evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        *out = in->columns[x->index];
        return SM_OK;
    case SM_EXPR_CONST:
        return constant_column(x->value, in->n_rows, v->into, out, e);
    case SM_EXPR_PARAM:
        if (!v->params) {
            return smi_expr_fail(x, e, SM_INTERNAL, "subquery without its value");
        }
        return constant_column(v->params[x->index], in->n_rows, v->into, out, e);
    case SM_EXPR_CALL:
        return eval_call(v, x, in, out, e);
    case SM_EXPR_CAST:
        return eval_cast(v, x, in, out, e);
    case SM_EXPR_AND:
    case SM_EXPR_OR:
        return eval_logic(v, x, in, out, e);
    case SM_EXPR_CASE:
        return eval_case(v, x, in, out, e);
    case SM_EXPR_IN:
        return eval_in(v, x, in, out, e);
    case SM_EXPR_FIELD:
        return eval_field(v, x, in, out, e);
    }
    return smi_expr_fail(x, e, SM_INTERNAL, "aggregate in the place of a value");
}

static sm_status eval(const evaluation *v, const sm_expr *x, const sm_batch *in, sm_column *out,
                      sm_error *e)
{
    if (in->n_rows == 0 && x->kind != SM_EXPR_COLUMN) {
        return empty_column(x->type, v->into, out, e);
    }
    const sm_expr *leaf = by_entry_of(x, in);
    if (leaf) {
        const sm_status st = eval_by_entry(v, x, in, leaf, out, e);
        const bool may_be_another = smi_can_fail(x) && st != SM_BUDGET;
        if (st == SM_OK || !may_be_another) {
            return st;
        }
    }
    return eval_kind(v, x, in, out, e);
}

/* Can the result point into the input's memory? */
static bool may_share(const sm_expr *x)
{
    return x->kind == SM_EXPR_COLUMN || x->kind == SM_EXPR_FIELD || x->kind == SM_EXPR_CASE ||
           sm_type_is_bytes(x->type->id) || sm_type_is_nested(x->type->id);
}

sm_status sm_expr_eval(const sm_expr *x, const sm_batch *in, const sm_value *params, sm_batch *into,
                       sm_column *out, sm_error *e)
{
    const evaluation v = {params, into};
    sm_column c = {0};
    if (in != into && may_share(x)) {
        sm_batch_keep_all(into, in);
    }
    SM_TRY(eval(&v, x, in, &c, e));
    *out = c;
    return SM_OK;
}

sm_status sm_expr_select_entries(const sm_expr *x, const sm_batch *in, const sm_value *params,
                                 sm_batch *into, const sm_column **dict, uint8_t **passes,
                                 sm_error *e)
{
    const evaluation v = {params, into};
    const sm_expr *leaf = in->n_rows > 0 ? by_entry_of(x, in) : NULL;
    sm_column entries = {0};
    void *mem = NULL;
    *dict = NULL;
    if (!leaf || smi_can_fail(x)) { /* an entry may stand in no row that counts */
        return SM_OK;
    }
    const sm_column *c = leaf_column(leaf, in);
    const int64_t n = c->children[0].n_rows + 1;
    SM_TRY(eval_entries(&v, x, in, leaf, true, &entries, e));
    SM_TRY(sm_batch_alloc(into, (size_t)n, &mem, e));
    uint8_t *pass = mem;
    for (int64_t i = 0; entries.type->id == SM_TYPE_BOOL && i < n; i++) {
        pass[i] = !sm_column_is_null(&entries, i) && smi_bool_at(&entries, i);
    }
    *dict = c;
    *passes = pass;
    return SM_OK;
}

/* ---- selection ------------------------------------------------------------------------------- */

/* AND-ed parts one after another, each over the rows that are left where few are or it can fail. */
static sm_status select_rows(const evaluation *v, const sm_expr *x, const sm_batch *in,
                             int32_t *rows, int64_t *n, sm_error *e)
{
    const int32_t n_parts = x->kind == SM_EXPR_AND ? x->n_args : 1;
    truth t;
    int64_t n_left = in->n_rows;
    SM_TRY(truth_new(v, in->n_rows, true, &t, e));
    for (int32_t i = 0; i < n_parts && n_left > 0; i++) {
        const sm_expr *const part = x->kind == SM_EXPR_AND ? x->args[i] : x;
        /* a quarter: gathering costs about what a comparison of text does */
        const bool few = i > 0 && (smi_can_fail(part) || n_left < in->n_rows / 4);
        sm_column c = {0};
        if (few) {
            for (int64_t w = 0; w < t.n_words; w++) {
                t.no[w] = ~t.yes[w]; /* NULL is not wanted either */
            }
            SM_TRY(merge_undecided(v, part, in, &t, true, e));
        } else {
            SM_TRY(eval(v, part, in, &c, e));
            if (c.layout == SM_DICT) {
                SM_TRY(sm_column_flatten(&c, v->into, &c, e));
            }
            merge_all(&t, true, &c, in->n_rows);
        }
        n_left = 0;
        for (int64_t w = 0; w < t.n_words; w++) {
            n_left += __builtin_popcountll(t.yes[w]);
        }
    }
    *n = rows_of(t.yes, t.n_words, 0, in->n_rows, rows);
    return SM_OK;
}

sm_status sm_expr_select(const sm_expr *x, const sm_batch *in, const sm_value *params,
                         int32_t *rows, int64_t *n, sm_budget *budget, sm_error *e)
{
    sm_batch *scratch = NULL;
    if (in->n_rows == 0) {
        *n = 0;
        return SM_OK;
    }
    SM_TRY(sm_batch_new(budget, in->schema, &scratch, e));
    const evaluation v = {params, scratch};
    const sm_status st = select_rows(&v, x, in, rows, n, e);
    sm_batch_release(scratch);
    return st;
}
