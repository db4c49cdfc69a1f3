/* SPDX-License-Identifier: Apache-2.0
 *
 * query/expr_fold.c: folds constants and simplifies predicates, one node at a time, from the leaves
 * up; and finds the bounds that follow from a predicate.
 *
 * Folding runs the evaluator itself, so a folded constant is what a row would give. An expression
 * that fails when it is folded (CAST('x' AS BIGINT)) stays as it is: it may stand in a branch that
 * is never taken; if the branch is taken, its error has its place in the text. */
#include "query/function/function_int.h"

static bool all_const(const sm_expr *x)
{
    for (int32_t i = 0; i < x->n_args; i++) {
        if (x->args[i]->kind != SM_EXPR_CONST) {
            return false;
        }
    }
    return true;
}

/* May a constant be of this type? Where SQL has a way to write it (sm_expr_sql): lists and structs
 * are written as arguments of table functions only. */
static bool has_constants(const sm_type *t)
{
    return t->id == SM_TYPE_MAP
               ? has_constants(t->fields[0].type) && has_constants(t->fields[1].type)
               : !sm_type_is_nested(t->id);
}

/* Evaluates an expression without columns; NULL where that fails. */
static const sm_expr *evaluate_constant(sm_arena *a, const sm_expr *x)
{
    static const sm_type no_columns = {.id = SM_TYPE_STRUCT};
    sm_batch *batch = NULL;
    sm_column c = {0};
    sm_error e = {0};
    const sm_expr *out = NULL;

    if (!has_constants(x->type)) {
        return NULL;
    }
    sm_budget *const budget = sm_budget_new(NULL, "folding", 0);
    sm_status st = sm_batch_new(budget, &no_columns, &batch, &e);
    if (st == SM_OK) {
        batch->n_rows = 1;
        st = sm_expr_eval(x, batch, NULL, batch, &c, &e);
    }
    if (st == SM_OK) {
        SM_ASSERT(c.n_rows == 1 && sm_type_eq(c.type, smi_plain_type(x->type)));
        sm_value v = sm_column_value_copy(&c, 0, a);
        v.type = x->type;
        out = smi_const(a, v, x);
    }
    sm_batch_release(batch);
    sm_budget_free(budget);
    return out;
}

/* ---- logic ----------------------------------------------------------------------------------- */

static const sm_expr *bool_const(sm_arena *a, bool v, const sm_expr *place)
{
    return smi_const(a, (sm_value){.type = &sm_type_bool, .as.b = v}, place);
}

/* AND and OR: an AND within an AND becomes part of it, and so for OR. A constant `true` is left out
 * of AND and decides OR, and the other way round for `false`. */
static const sm_expr *fold_logic(sm_arena *a, const sm_expr *x)
{
    const bool is_and = x->kind == SM_EXPR_AND;
    int32_t n_max = 0, n = 0;
    for (int32_t i = 0; i < x->n_args; i++) {
        n_max += x->args[i]->kind == x->kind ? x->args[i]->n_args : 1;
    }
    const sm_expr **const args = SM_NEW_ARRAY(a, const sm_expr *, n_max > 0 ? n_max : 1);
    for (int32_t i = 0; i < x->n_args; i++) {
        const sm_expr *const arg = x->args[i];
        const bool nested = arg->kind == x->kind;
        for (int32_t k = 0; k < (nested ? arg->n_args : 1); k++) {
            const sm_expr *const one = nested ? arg->args[k] : arg;
            SM_ASSERT(one->type->id == SM_TYPE_BOOL);
            const bool is_bool = one->kind == SM_EXPR_CONST && !one->value.is_null;
            if (is_bool && one->value.as.b == is_and) {
                continue;
            }
            if (is_bool) {
                return bool_const(a, !is_and, x);
            }
            SM_ASSERT(n < n_max);
            args[n++] = one;
        }
    }
    if (n <= 1) {
        return n == 1 ? args[0] : bool_const(a, is_and, x);
    }
    sm_expr *const out = SM_NEW(a, sm_expr);
    *out = *x;
    out->args = args;
    out->n_args = n;
    return all_const(out) ? evaluate_constant(a, out) : out;
}

static const sm_expr *fold_case(sm_arena *a, const sm_expr *x)
{
    const sm_expr **const args = SM_NEW_ARRAY(a, const sm_expr *, x->n_args);
    SM_ASSERT(x->n_args % 2 == 1);
    const sm_expr *otherwise = x->args[x->n_args - 1];
    int32_t n = 0;
    for (int32_t i = 0; i + 1 < x->n_args; i += 2) {
        if (smi_is_false_or_null(x->args[i])) {
            continue;
        }
        if (smi_is_true(x->args[i])) {
            otherwise = x->args[i + 1];
            break;
        }
        args[n++] = x->args[i];
        args[n++] = x->args[i + 1];
    }
    if (n == 0) {
        return otherwise;
    }
    args[n++] = otherwise;
    sm_expr *const out = SM_NEW(a, sm_expr);
    *out = *x;
    out->args = args;
    out->n_args = n;
    return out;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static const char *const contraries[][2] = {
    {"=", "<>"},
    {"<", ">="},
    {"<=", ">"},
    {"is_null", "is_not_null"},
    {"is_distinct", "is_not_distinct"},
};
static const char *const mirrors[][2] = {{"<", ">"}, {"<=", ">="}};

static const char *other_of(const char *const (*pairs)[2], int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(pairs[i][0], name) == 0) {
            return pairs[i][1];
        }
        if (strcmp(pairs[i][1], name) == 0) {
            return pairs[i][0];
        }
    }
    return NULL;
}

static const sm_expr *renamed(sm_arena *a, const sm_expr *x, const char *name)
{
    sm_expr *const out = SM_NEW(a, sm_expr);
    *out = *x;
    out->fn = smi_function_named(sm_str_of(name));
    SM_ASSERT(out->fn != NULL);
    return out;
}

static bool is_comparison(const sm_function *fn)
{
    return strcmp(fn->name, "=") == 0 || strcmp(fn->name, "<>") == 0 ||
           other_of(mirrors, SM_COUNT(mirrors), fn->name) != NULL;
}

static const sm_expr *fold_call(sm_arena *a, const sm_expr *x)
{
    if (x->fn->kind != SM_FN_SCALAR) {
        return x;
    }
    for (int32_t i = 0; x->fn->is_strict && i < x->n_args; i++) {
        if (smi_is_const_null(x->args[i])) {
            return smi_const(a, sm_value_null(x->type), x);
        }
    }
    if (x->n_args > 0 && all_const(x) && x->fn->is_pure) {
        const sm_expr *const v = evaluate_constant(a, x);
        return v ? v : x;
    }
    if (strcmp(x->fn->name, "not") == 0 && x->args[0]->kind == SM_EXPR_CALL) {
        const sm_expr *const inner = x->args[0];
        const char *const name = other_of(contraries, SM_COUNT(contraries), inner->fn->name);
        return name                                  ? renamed(a, inner, name)
               : strcmp(inner->fn->name, "not") == 0 ? inner->args[0]
                                                     : x;
    }
    if (x->n_args == 2 && x->args[0]->kind == SM_EXPR_CONST && is_comparison(x->fn)) {
        const char *const mirror = other_of(mirrors, SM_COUNT(mirrors), x->fn->name);
        sm_expr *const out = SM_NEW(a, sm_expr); /* the constant to the right: 5 < x is x > 5 */
        *out = *(mirror ? renamed(a, x, mirror) : x);
        out->args = SM_NEW_ARRAY(a, const sm_expr *, 2);
        out->args[0] = x->args[1];
        out->args[1] = x->args[0];
        return out;
    }
    return x;
}

static const sm_expr *fold_node(sm_arena *a, const sm_expr *x)
{
    switch (x->kind) {
    case SM_EXPR_AND:
    case SM_EXPR_OR: {
        const sm_expr *const folded = fold_logic(a, x);
        return folded ? folded : x;
    }
    case SM_EXPR_CASE:
        return fold_case(a, x);
    case SM_EXPR_CALL:
        return fold_call(a, x);
    case SM_EXPR_CAST:
        if (smi_is_const_null(x->args[0])) {
            return smi_const(a, sm_value_null(x->type), x);
        }
        /* fall through */
    case SM_EXPR_IN:
        if (all_const(x)) {
            const sm_expr *const v = evaluate_constant(a, x);
            return v ? v : x;
        }
        return x;
    default:
        return x;
    }
}

const sm_expr *smi_fold(sm_arena *a, const sm_expr *x)
{
    const sm_expr *const out = fold_node(a, x);
    SM_ASSERT(sm_type_eq(out->type, x->type));
    return out;
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* The path of a column or of a field within one; returns its length, 0 where x is neither. */
static int32_t path_of(const sm_expr *x, sm_arena *a, int32_t depth, const int32_t **out)
{
    if (x->kind == SM_EXPR_COLUMN) {
        int32_t *const path = SM_NEW_ARRAY(a, int32_t, depth + 1);
        path[0] = x->index;
        *out = path;
        return 1;
    }
    if (x->kind != SM_EXPR_FIELD || depth > SMI_MAX_NESTING) {
        return 0;
    }
    const int32_t n = path_of(x->args[0], a, depth + 1, out);
    if (n > 0) {
        ((int32_t *)*out)[n] = x->index;
        return n + 1;
    }
    return 0;
}

static bool bound_of_in(const sm_expr *x, sm_arena *a, sm_bound *out)
{
    sm_value *const values = SM_NEW_ARRAY(a, sm_value, x->n_args);
    int32_t n = 0;
    for (int32_t i = 1; i < x->n_args; i++) {
        if (!x->args[i]->value.is_null) { /* NULL is equal to nothing */
            values[n++] = x->args[i]->value;
        }
    }
    out->op = SM_BOUND_IN;
    out->values = values;
    out->n_values = n;
    return n > 0;
}

static bool bound_of(const sm_expr *x, sm_arena *a, sm_bound *out)
{
    static const struct {
        const char *name;
        sm_bound_op op;
    } ops[] = {
        {"=", SM_BOUND_EQ},
        {"<", SM_BOUND_LT},
        {"<=", SM_BOUND_LE},
        {">", SM_BOUND_GT},
        {">=", SM_BOUND_GE},
        {"is_null", SM_BOUND_IS_NULL},
        {"is_not_null", SM_BOUND_NOT_NULL},
    };
    *out = (sm_bound){0};
    if (x->n_args == 0) {
        return false;
    }
    out->n_path = path_of(x->args[0], a, 0, &out->path);
    if (out->n_path == 0 || sm_type_is_nested(x->args[0]->type->id)) {
        return false;
    }
    if (x->kind == SM_EXPR_IN) {
        return bound_of_in(x, a, out);
    }
    for (int i = 0; x->kind == SM_EXPR_CALL && i < SM_COUNT(ops); i++) {
        if (strcmp(x->fn->name, ops[i].name) != 0) {
            continue;
        }
        out->op = ops[i].op;
        if (x->n_args == 1) {
            return true;
        }
        out->value = x->args[1]->value;
        return x->args[1]->kind == SM_EXPR_CONST && !out->value.is_null;
    }
    return false;
}

void sm_expr_bounds(const sm_expr *where, sm_arena *a, sm_bounds *out)
{
    const sm_expr **parts = NULL;
    int32_t n = 0, n_bounds = 0;
    smi_conjuncts(a, where, &parts, &n);
    sm_bound *const items = SM_NEW_ARRAY(a, sm_bound, n);
    for (int32_t i = 0; i < n; i++) {
        n_bounds += bound_of(parts[i], a, &items[n_bounds]);
    }
    *out = (sm_bounds){items, n_bounds};
}
