/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval_dict.c: an expression that depends on a single dictionary column, or on a single field
 * within a column, is computed once for each entry and looked up by code. Called by eval.c for each
 * node.
 *
 * Method    smi_entry_leaf() tells whether this pays. The expression is evaluated over a batch in
 *           which the dictionary's entries take the column's place, with a NULL behind them if some
 *           rows are NULL. A text result stays a dictionary; all else is gathered by the codes.
 * Failing   An entry may fail although no row that counts has it: then the caller evaluates row by
 *           row. */
#include "query/eval_int.h"

/* ---- dictionaries ---------------------------------------------------------------------------- */

#define MAX_FIELDS 8 /* around a value; deeper ones are evaluated row by row */

/* Where an expression reads: one column, or one field within it. */
typedef struct source {
    const sm_expr *leaf; /* COLUMN or FIELD; NULL: none so far */
    bool is_many;
} source;

/* The index of x's column, where x is a COLUMN or a FIELD within one; else −1. */
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

/* A column in which the leaf is `entries`: `entries` itself, or structs around it. */
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
sm_status smi_dictionary_of(sm_column *entries, int32_t *codes, int64_t n, sm_batch *into,
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
    SM_ASSERT(entries->layout == SM_FLAT && sm_type_is_bytes(entries->type->id));
    for (int64_t i = 0; entries->validity && i < n; i++) {
        SM_ASSERT(codes[i] >= 0 && codes[i] < entries->n_rows);
        if (!sm_bit_get(entries->validity, codes[i])) {
            SM_TRY(smi_set_null(out, i, into, e));
            codes[i] = 0;
        }
    }
    entries->validity = NULL;
    *(sm_column *)child = *entries;
    return SM_OK;
}

static sm_status entries_by_code(sm_column *entries, int32_t *codes, int64_t n, sm_batch *into,
                                 sm_column *out, sm_error *e)
{
    if (entries->layout == SM_CONST) {
        *out = *entries;
        out->n_rows = n;
        return SM_OK;
    }
    SM_TRY(sm_column_flatten(entries, into, entries, e));
    if (sm_type_is_bytes(entries->type->id)) {
        return smi_dictionary_of(entries, codes, n, into, out, e);
    }
    return sm_column_gather(entries, codes, n, into, out, e);
}

/* The expression over the entries of the leaf's dictionary, and NULL behind them, if wanted. */
static sm_status eval_entries(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                              const sm_expr *leaf, bool with_null, sm_column *out, sm_error *e)
{
    const sm_column *const c = leaf_column(leaf, in);
    SM_ASSERT(c != NULL && c->layout == SM_DICT); /* smi_entry_leaf() */
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
    return smi_eval(v, x, &part, out, e);
}

sm_status smi_eval_by_entry(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
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
    return entries_by_code(&entries, places, in->n_rows, v->into, out, e);
}

static bool has_dictionary(const sm_column *c)
{
    bool any = c->layout == SM_DICT;
    for (int32_t i = 0; !any && c->layout == SM_FLAT && i < c->n_children; i++) {
        any = has_dictionary(&c->children[i]);
    }
    return any;
}

/* Does it pay: is there one dictionary column, with fewer entries than rows? Returns its leaf, or
 * NULL. */
const sm_expr *smi_entry_leaf(const sm_expr *x, const sm_batch *in)
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

sm_status sm_expr_select_entries(const sm_expr *x, const sm_batch *in, const sm_value *params,
                                 sm_batch *into, const sm_column **dict, uint8_t **passes,
                                 sm_error *e)
{
    const smi_evaluation v = {params, into};
    const sm_expr *leaf = in->n_rows > 0 ? smi_entry_leaf(x, in) : NULL;
    sm_column entries = {0};
    void *mem = NULL;
    *dict = NULL;
    if (!leaf || smi_can_fail(x)) { /* it may fail for an entry that no row has */
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
