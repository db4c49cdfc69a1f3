/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_bind.c: the binders of functions whose types a signature cannot express:
 * arithmetic on decimals and dates, comparisons, rounding, sums. functions.def names them. */
#include "query/function/function_int.h"

static sm_status cast_args(smi_call_bind *b, const sm_type *t)
{
    SM_ASSERT(smi_plain_type(t) == t); /* a literal's type must not become a column's */
    for (int32_t i = 0; i < b->n_args; i++) {
        b->args[i] = smi_cast(b->a, b->args[i], t);
    }
    return SM_OK;
}

static bool is_date(const sm_expr *x)
{
    return x->type->id == SM_TYPE_DATE;
}

static bool op_is(const smi_call_bind *b, const char *name)
{
    return strcmp(b->fn->name, name) == 0;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* + − % of decimals: both sides get the larger scale; + and − get one digit more. */
static void bind_decimal_sum(smi_call_bind *b, bool grows)
{
    const sm_type *const x = smi_as_decimal(b->a, b->args[0]->type);
    const sm_type *const y = smi_as_decimal(b->a, b->args[1]->type);
    const int scale = x->scale > y->scale ? x->scale : y->scale;
    const int over_x = x->precision - x->scale, over_y = y->precision - y->scale;
    SM_ASSERT(b->n_args == 2 && x->scale <= x->precision && y->scale <= y->precision);
    const int wanted = scale + (over_x > over_y ? over_x : over_y) + (grows ? 1 : 0);
    b->result = sm_type_decimal(b->a, wanted > 38 ? 38 : wanted, scale);
    cast_args(b, b->result);
}

/* Products keep each side's own scale; the result's is their sum. As DuckDB, a product of numbers
 * of 18 digits at most stays within 18. */
static sm_status bind_decimal_product(smi_call_bind *b, sm_error *e)
{
    const sm_type *const x = smi_as_decimal(b->a, b->args[0]->type);
    const sm_type *const y = smi_as_decimal(b->a, b->args[1]->type);
    const int scale = x->scale + y->scale;
    int precision = x->precision + y->precision;
    if (scale > 38) {
        return smi_expr_fail(b->place, e, SM_TYPE,
                             "product of %d and %d places needs more than the 38 that DECIMAL has",
                             x->scale, y->scale);
    }
    if (precision > 18 && x->precision <= 18 && y->precision <= 18 && scale < 18) {
        precision = 18;
    }
    SM_ASSERT(scale <= precision);
    b->result = sm_type_decimal(b->a, precision > 38 ? 38 : precision, scale);
    b->args[0] = smi_cast(b->a, b->args[0], x);
    b->args[1] = smi_cast(b->a, b->args[1], y);
    return SM_OK;
}

static sm_status bind_dates(smi_call_bind *b, sm_error *e)
{
    if (op_is(b, "+") || op_is(b, "-")) {
        return smi_bind_signature(b, e);
    }
    return smi_expr_fail(b->place, e, SM_TYPE, "%s does not take a DATE", b->fn->name);
}

/* As DuckDB: BOOLEAN is no number; and a text literal beside an INTEGER or a DATE may be meant as a
 * number of days or as a date. */
static sm_status refuse_ambiguous(const smi_call_bind *b, sm_error *e)
{
    for (int32_t i = 0; i < b->n_args; i++) {
        const sm_expr *const x = b->args[i], *const y = b->args[b->n_args - 1 - i];
        const sm_type_id id = y->type->id;
        if (x->type->id == SM_TYPE_BOOL) {
            smi_expr_fail(x, e, SM_TYPE, "%s does not take BOOLEAN", b->fn->name);
            sm_error_todo(e, "Cast it to INTEGER.");
            return SM_TYPE;
        }
        if (x->type == &smi_type_str_literal && (op_is(b, "+") || op_is(b, "-")) &&
            (id == SM_TYPE_I32 || id == SM_TYPE_DATE || b->n_args == 1)) {
            smi_expr_fail(x, e, SM_TYPE, "%s: is this text a number or a date?", b->fn->name);
            sm_error_todo(e, "Cast it.");
            return SM_TYPE;
        }
    }
    return SM_OK;
}

sm_status smi_bind_arith(smi_call_bind *b, sm_error *e)
{
    SM_TRY(refuse_ambiguous(b, e));
    if (b->n_args == 1 && op_is(b, "-")) {
        return smi_bind_signature(b, e);
    }
    if (b->n_args != 2 || is_date(b->args[0]) || is_date(b->args[1])) {
        return b->n_args == 2 ? bind_dates(b, e) : smi_bind_signature(b, e);
    }
    const sm_type *const meet = smi_meet(b->a, b->args[0], b->args[1], SMI_MEET_ONE);
    const bool has_text =
        b->args[0]->type->id == SM_TYPE_STRING && b->args[1]->type->id == SM_TYPE_STRING;
    if (!meet || has_text || meet->id != SM_TYPE_DECIMAL) {
        const bool is_float = meet && (meet->id == SM_TYPE_F64 || meet->id == SM_TYPE_F32);
        return is_float && op_is(b, "//") ? smi_bind_divide(b, e) : smi_bind_signature(b, e);
    }
    if (op_is(b, "*")) {
        return bind_decimal_product(b, e);
    }
    if (op_is(b, "//")) {
        return smi_bind_divide(b, e);
    }
    bind_decimal_sum(b, op_is(b, "+") || op_is(b, "-"));
    return SM_OK;
}

/* The result is DOUBLE; FLOAT where one side is FLOAT and the other is not DOUBLE. For // too,
 * where the sides are not integers. */
sm_status smi_bind_divide(smi_call_bind *b, sm_error *e)
{
    bool is_number = b->n_args == 2, has_float = false, has_double = false;
    for (int32_t i = 0; i < b->n_args; i++) {
        const sm_type_id id = b->args[i]->type->id;
        is_number = is_number && (sm_type_is_number(id) || id == SM_TYPE_NULL);
        has_float = has_float || id == SM_TYPE_F32;
        has_double = has_double || id == SM_TYPE_F64;
    }
    if (!is_number) {
        return smi_bind_signature(b, e);
    }
    b->result = has_float && !has_double ? &sm_type_f32 : &sm_type_f64;
    return cast_args(b, b->result);
}

/* ---- comparison ------------------------------------------------------------------------------ */

sm_status smi_bind_compare(smi_call_bind *b, sm_error *e)
{
    SM_ASSERT(b->n_args == 2); /* the parser's */
    const bool is_order = b->fn->name[0] == '<' || b->fn->name[0] == '>';
    const bool is_equal = !is_order || op_is(b, "<>");
    const sm_type *const t =
        smi_meet(b->a, b->args[0], b->args[1], is_equal ? SMI_MEET_EQUAL : SMI_MEET_ONE);
    if (!t) {
        const sm_str x = smi_type_text(b->a, b->args[0]->type);
        const sm_str y = smi_type_text(b->a, b->args[1]->type);
        smi_expr_fail(b->place, e, SM_TYPE, "%.*s cannot be compared with %.*s", SM_STR_ARG(x),
                      SM_STR_ARG(y));
        sm_error_todo(e, "Cast one of them: CAST(x AS %.*s).", SM_STR_ARG(y));
        return SM_TYPE;
    }
    b->result = &sm_type_bool;
    if (sm_type_is_nested(t->id) && !is_equal) {
        const sm_str name = smi_type_text(b->a, t);
        return smi_expr_fail(b->place, e, SM_TYPE, "%.*s has no order", SM_STR_ARG(name));
    }
    return cast_args(b, t);
}

/* ---- text ------------------------------------------------------------------------------------ */

sm_status smi_bind_concat(smi_call_bind *b, sm_error *e)
{
    if (b->n_args < (op_is(b, "concat") ? 1 : 2)) {
        return smi_bind_signature(b, e);
    }
    for (int32_t i = 0; i < b->n_args; i++) {
        if (sm_type_is_nested(b->args[i]->type->id)) {
            return smi_expr_fail(b->args[i], e, SM_TYPE, "%s does not take lists and structs",
                                 b->fn->name);
        }
    }
    b->result = &sm_type_string;
    return cast_args(b, &sm_type_string);
}

/* ---- rounding -------------------------------------------------------------------------------- */

/* ceil, floor, round: integers keep their type, decimals lose places, all else becomes DOUBLE. */
sm_status smi_bind_round(smi_call_bind *b, sm_error *e)
{
    const bool is_round = op_is(b, "round");
    SM_TRY(smi_bind_signature(b, e));
    const sm_type *const t = b->args[0]->type;
    if (t->id == SM_TYPE_DECIMAL) {
        int64_t places = 0;
        if (b->n_args == 2) {
            const sm_expr *const n = b->args[1];
            if (n->kind != SM_EXPR_CONST || n->value.is_null) {
                b->result = &sm_type_f64; /* the places differ from row to row */
                b->args[0] = smi_cast(b->a, b->args[0], &sm_type_f64);
                return SM_OK;
            }
            places = n->value.as.i;
        }
        SM_ASSERT(b->n_args == 1 || sm_type_is_integer(b->args[1]->type->id));
        const int64_t scale = places < 0 ? 0 : places < t->scale ? places : t->scale;
        b->result = sm_type_decimal(b->a, t->precision, (int)scale);
    } else if (is_round && sm_type_is_integer(t->id) && !sm_type_is_signed(t->id) &&
               t->id != SM_TYPE_U64) {
        b->result = &sm_type_i64; /* 255 to tens is 260 */
        b->args[0] = smi_cast(b->a, b->args[0], &sm_type_i64);
    } else if (t->id == SM_TYPE_NULL || (sm_type_is_integer(t->id) && !is_round)) {
        b->result = &sm_type_f64;
        b->args[0] = smi_cast(b->a, b->args[0], &sm_type_f64);
    }
    return SM_OK;
}

/* ---- aggregates ------------------------------------------------------------------------------ */

sm_status smi_bind_sum(smi_call_bind *b, sm_error *e)
{
    if (b->n_args == 1 && b->args[0]->type->id == SM_TYPE_BOOL) {
        b->args[0] = smi_cast(b->a, b->args[0], &sm_type_i32);
    }
    SM_TRY(smi_bind_signature(b, e));
    if (b->args[0]->type->id == SM_TYPE_U64) { /* two of them may be beyond it already */
        b->args[0] = smi_cast(b->a, b->args[0], smi_as_decimal(b->a, b->args[0]->type));
    }
    const sm_type *const t = b->args[0]->type;
    if (t->id == SM_TYPE_DECIMAL) {
        b->result = sm_type_decimal(b->a, 38, t->scale);
    } else if (t->id == SM_TYPE_F64 || t->id == SM_TYPE_F32) {
        b->result = &sm_type_f64;
    } else {
        b->result = &sm_type_i64;
        b->args[0] = t->id == SM_TYPE_NULL ? smi_cast(b->a, b->args[0], &sm_type_i64) : b->args[0];
    }
    return SM_OK;
}

sm_status smi_bind_avg(smi_call_bind *b, sm_error *e)
{
    b->result = &sm_type_f64;
    const bool is_exact = b->n_args == 1 && (sm_type_is_integer(b->args[0]->type->id) ||
                                             b->args[0]->type->id == SM_TYPE_DECIMAL);
    return is_exact ? SM_OK : smi_bind_signature(b, e);
}

/* arg_max, arg_min: the first argument's type, the second may be any scalar. */
sm_status smi_bind_arg(smi_call_bind *b, sm_error *e)
{
    SM_TRY(smi_bind_signature(b, e));
    b->result = b->args[0]->type;
    for (int32_t i = 0; i < 2; i++) {
        if (sm_type_is_nested(b->args[i]->type->id)) {
            return smi_expr_fail(b->args[i], e, SM_TYPE, "%s does not take lists and structs",
                                 b->fn->name);
        }
    }
    return SM_OK;
}

sm_status smi_bind_qcut(smi_call_bind *b, sm_error *e)
{
    SM_TRY(smi_bind_signature(b, e));
    const sm_expr *const n = b->args[1];
    if (n->kind != SM_EXPR_CONST || n->value.is_null || n->value.as.i < 1) {
        return smi_expr_fail(n, e, SM_INVALID,
                             "qcut needs a constant number of classes, 1 or more");
    }
    return SM_OK;
}
