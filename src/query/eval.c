/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval.c: evaluates expressions over batches, a column at a time: any node, calls, casts, IN,
 * fields. Called by exec's operators, contracts and constant folding.
 *
 * Layouts   An expression of constants is computed once and stays SM_CONST. One that depends on a
 *           single dictionary column is computed once for each of its entries (eval_dict.c).
 * NULL      A strict function sees none: its result is NULL wherever an argument is, and its kernel
 *           skips these rows.
 * Laziness  AND, OR (eval_logic.c) and CASE (eval_case.c) evaluate an argument that can fail only
 *           over the rows that need it.
 * Memory    All from `into`; intermediate columns stay there until it is released. */
#include "query/eval_int.h"

/* ---- parts of a batch ------------------------------------------------------------------------ */

/* A batch on the stack that shows the columns that x uses, at given rows. */
sm_status smi_gather_used(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
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
        SM_ASSERT(args[i].layout == SM_FLAT && args[i].n_rows >= out->n_rows);
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

static sm_status run_kernel(const smi_evaluation *v, const sm_expr *x, const sm_column *args,
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
    SM_ASSERT(out->n_rows == n_rows && sm_type_eq(out->type, x->type));
    if (x->type->id == SM_TYPE_BOOL && out->layout == SM_FLAT) {
        mask_bits(out);
    }
    return SM_OK;
}

/* Evaluates the arguments; *n_rows is 1 where all are constants. */
static sm_status eval_args(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column **args, int64_t *n_rows, sm_error *e)
{
    void *columns = NULL;
    bool all_const = x->n_args > 0;
    SM_TRY(sm_batch_alloc(v->into, (size_t)(x->n_args + 1) * sizeof(sm_column), &columns, e));
    *args = columns;
    for (int32_t i = 0; i < x->n_args; i++) {
        sm_column *const arg = &(*args)[i];
        SM_TRY(smi_eval(v, x->args[i], in, arg, e));
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

static void spread_constant(sm_column *out, int64_t n_rows)
{
    SM_ASSERT(out->layout != SM_DICT && out->n_rows >= 1); /* its first row stands for all */
    out->layout = SM_CONST;
    out->n_rows = n_rows;
}

static sm_status eval_call(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
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
        spread_constant(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_cast(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    sm_column *args = NULL;
    int64_t n_rows = 0;
    SM_TRY(eval_args(v, x, in, &args, &n_rows, e));
    const sm_status st = smi_cast_column(x, &args[0], v->into, out, e);
    if (st != SM_OK) {
        return x->column.len > 0 ? sm_within(e, st, "column %.*s", SM_STR_ARG(x->column)) : st;
    }
    if (n_rows != in->n_rows) {
        spread_constant(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_in(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                         sm_column *out, sm_error *e)
{
    sm_column c = {0};
    SM_TRY(smi_eval(v, x->args[0], in, &c, e));
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
    if (smi_in_has_null(x)) { /* not among the values, but one of them is NULL: so NULL */
        uint8_t *bits = NULL;
        SM_TRY(smi_own_validity(out, v->into, &bits, e));
        memcpy(bits, out->values, sm_bits_bytes(c.n_rows));
    }
    if (is_const) {
        spread_constant(out, in->n_rows);
    }
    return SM_OK;
}

/* ---- any expression -------------------------------------------------------------------------- */

static sm_status constant_column(sm_value value, int64_t n_rows, sm_batch *into, sm_column *out,
                                 sm_error *e)
{
    value.type = smi_plain_type(value.type);
    return sm_column_constant(value, n_rows, into, out, e);
}

/* The value of a subquery. Its type is the plan's own: that of the value goes when the execution
 * ends, and the column may outlive it. */
static sm_status param_column(const smi_evaluation *v, const sm_expr *x, int64_t n_rows,
                              sm_column *out, sm_error *e)
{
    if (!v->params) {
        return smi_expr_fail(x, e, SM_INTERNAL, "a subquery has no value yet");
    }
    sm_value value = v->params[x->index];
    SM_ASSERT(value.is_null || sm_type_eq(value.type, x->type));
    value.type = x->type;
    return constant_column(value, n_rows, v->into, out, e);
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

static sm_status eval_field(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                            sm_column *out, sm_error *e)
{
    sm_column c = {0};
    SM_TRY(smi_eval(v, x->args[0], in, &c, e));
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&c, v->into, &c, e));
    }
    SM_ASSERT(c.type->id == SM_TYPE_STRUCT && x->index >= 0 && x->index < c.n_children);
    *out = c.children[x->index];
    if (c.layout == SM_CONST) {
        spread_constant(out, in->n_rows);
    }
    return SM_OK;
}

static sm_status eval_kind(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                           sm_column *out, sm_error *e)
{
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        SM_ASSERT(x->index >= 0 && x->index < in->n_columns);
        *out = in->columns[x->index];
        return SM_OK;
    case SM_EXPR_CONST:
        return constant_column(x->value, in->n_rows, v->into, out, e);
    case SM_EXPR_PARAM:
        return param_column(v, x, in->n_rows, out, e);
    case SM_EXPR_CALL:
        return eval_call(v, x, in, out, e);
    case SM_EXPR_CAST:
        return eval_cast(v, x, in, out, e);
    case SM_EXPR_AND:
    case SM_EXPR_OR:
        return smi_eval_logic(v, x, in, out, e);
    case SM_EXPR_CASE:
        return smi_eval_case(v, x, in, out, e);
    case SM_EXPR_IN:
        return eval_in(v, x, in, out, e);
    case SM_EXPR_FIELD:
        return eval_field(v, x, in, out, e);
    }
    return smi_expr_fail(x, e, SM_INTERNAL, "aggregate in the place of a value");
}

sm_status smi_eval(const smi_evaluation *v, const sm_expr *x, const sm_batch *in, sm_column *out,
                   sm_error *e)
{
    if (in->n_rows == 0 && x->kind != SM_EXPR_COLUMN) {
        return empty_column(x->type, v->into, out, e);
    }
    const sm_expr *leaf = smi_entry_leaf(x, in);
    if (leaf) {
        const sm_status st = smi_eval_by_entry(v, x, in, leaf, out, e);
        const bool may_be_another = smi_can_fail(x) && st != SM_BUDGET;
        if (st == SM_OK || !may_be_another) {
            return st;
        }
    }
    const sm_status st = eval_kind(v, x, in, out, e);
    SM_ASSERT(st != SM_OK || out->n_rows == in->n_rows);
    SM_ASSERT(st != SM_OK || sm_type_eq(out->type, x->type));
    return st;
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
    const smi_evaluation v = {params, into};
    sm_column c = {0};
    if (in != into && may_share(x)) {
        sm_batch_keep_all(into, in);
    }
    SM_TRY(smi_eval(&v, x, in, &c, e));
    *out = c;
    return SM_OK;
}
