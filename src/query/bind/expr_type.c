/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/expr_type.c: the type in which two types meet, and whether a call fits a signature.
 *
 * Rules     DuckDB's. A literal adapts to the expression beside it; integers widen; DATE widens to
 *           TIMESTAMP. A text that is no literal meets another type only in = and IN, as that type,
 *           and in UNION, as text. For HUGEINT there is DECIMAL(38,0).
 * Calls     by expr_make.c, the binder and the binders of functions (fn_*.c). */
#include "query/function/function_int.h"

#include <stdio.h>

const sm_type smi_type_int_literal = {.id = SM_TYPE_I32};
const sm_type smi_type_str_literal = {.id = SM_TYPE_STRING};

bool smi_is_literal(const sm_expr *x)
{
    return x->kind == SM_EXPR_CONST &&
           (x->type == &smi_type_int_literal || x->type == &smi_type_str_literal);
}

const sm_type *smi_plain_type(const sm_type *t)
{
    return t == &smi_type_int_literal   ? &sm_type_i32
           : t == &smi_type_str_literal ? &sm_type_string
                                        : t;
}

sm_str smi_type_text(sm_arena *a, const sm_type *t)
{
    sm_buf text = {0};
    sm_type_print(t, &text);
    const sm_str s = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return s;
}

/* ---- numbers --------------------------------------------------------------------------------- */

const sm_type *smi_as_decimal(sm_arena *a, const sm_type *t)
{
    return t->id == SM_TYPE_DECIMAL ? t : sm_type_decimal(a, sm_type_digits(t->id), 0);
}

static const sm_type *common_integer(sm_arena *a, const sm_type *x, const sm_type *y)
{
    static const sm_type *const by_bytes[] = {&sm_type_i8, &sm_type_i16, &sm_type_i32,
                                              &sm_type_i64};
    SM_ASSERT(sm_type_is_integer(x->id) && sm_type_is_integer(y->id));
    const int bytes_x = sm_type_bytes(x->id), bytes_y = sm_type_bytes(y->id);
    if (sm_type_is_signed(x->id) == sm_type_is_signed(y->id)) {
        return bytes_x >= bytes_y ? x : y;
    }
    const sm_type *const with_sign = sm_type_is_signed(x->id) ? x : y;
    const int bytes_unsigned = sm_type_is_signed(x->id) ? bytes_y : bytes_x;
    if (sm_type_bytes(with_sign->id) > bytes_unsigned) {
        return with_sign;
    }
    if (bytes_unsigned == 8) {
        return sm_type_decimal(a, 38, 0);
    }
    return by_bytes[bytes_unsigned == 1 ? 1 : bytes_unsigned == 2 ? 2 : 3];
}

static const sm_type *common_number(sm_arena *a, const sm_type *x, const sm_type *y)
{
    if (x->id == SM_TYPE_F64 || y->id == SM_TYPE_F64) {
        return &sm_type_f64;
    }
    if (x->id == SM_TYPE_F32 || y->id == SM_TYPE_F32) {
        return &sm_type_f32;
    }
    if (x->id != SM_TYPE_DECIMAL && y->id != SM_TYPE_DECIMAL) {
        return common_integer(a, x, y);
    }
    const sm_type *const dx = smi_as_decimal(a, x), *const dy = smi_as_decimal(a, y);
    const int scale = dx->scale > dy->scale ? dx->scale : dy->scale;
    const int over_x = dx->precision - dx->scale, over_y = dy->precision - dy->scale;
    const int precision = scale + (over_x > over_y ? over_x : over_y);
    return sm_type_decimal(a, precision > 38 ? 38 : precision, scale);
}

/* ---- any type -------------------------------------------------------------------------------- */

static int time_rank(sm_type_id id)
{
    return id == SM_TYPE_DATE            ? 1
           : id == SM_TYPE_TIMESTAMP_NTZ ? 2
           : id == SM_TYPE_TIMESTAMP     ? 3
                                         : 0;
}

static bool is_text(const sm_type *t)
{
    return t->id == SM_TYPE_STRING;
}

const sm_type *smi_common_type(sm_arena *a, const sm_type *x, const sm_type *y)
{
    x = smi_plain_type(x);
    y = smi_plain_type(y);
    if (sm_type_eq(x, y) || y->id == SM_TYPE_NULL) {
        return x;
    }
    if (x->id == SM_TYPE_NULL) {
        return y;
    }
    if (sm_type_is_number(x->id) && sm_type_is_number(y->id)) {
        return common_number(a, x, y);
    }
    if (time_rank(x->id) > 0 && time_rank(y->id) > 0) {
        return time_rank(x->id) > time_rank(y->id) ? x : y;
    }
    if (x->id == SM_TYPE_BOOL && sm_type_is_integer(y->id)) {
        return y;
    }
    if (y->id == SM_TYPE_BOOL && sm_type_is_integer(x->id)) {
        return x;
    }
    const sm_type_id other = is_text(x) ? y->id : x->id;
    const bool is_blob = other == SM_TYPE_BINARY; /* its bytes need not be text */
    return is_text(x) != is_text(y) && !is_blob && !sm_type_is_nested(other) ? &sm_type_string
                                                                             : NULL;
}

/* Does an integer literal fit a type of integers? */
static bool literal_fits(const sm_expr *x, const sm_type *t)
{
    const int bits = sm_type_bytes(t->id) * 8;
    SM_ASSERT(x->type == &smi_type_int_literal && !x->value.is_null);
    if (!sm_type_is_integer(t->id)) {
        return false;
    }
    if (!sm_type_is_signed(t->id)) {
        return x->value.as.i >= 0 && (bits >= 32 || x->value.as.i < (int64_t)1 << bits);
    }
    const int64_t limit = (int64_t)1 << (bits < 33 ? bits - 1 : 32);
    return bits > 32 || (x->value.as.i >= -limit && x->value.as.i < limit);
}

const sm_type *smi_meet(sm_arena *a, const sm_expr *x, const sm_expr *y, smi_meeting how)
{
    const bool text_x = x->type == &smi_type_str_literal && smi_is_literal(x);
    const bool text_y = y->type == &smi_type_str_literal && smi_is_literal(y);
    if (text_x != text_y) {
        const sm_type *const other = smi_plain_type(text_x ? y->type : x->type);
        return other->id == SM_TYPE_NULL ? &sm_type_string : other;
    }
    const bool int_x = !text_x && smi_is_literal(x), int_y = !text_y && smi_is_literal(y);
    if (int_x && !int_y && literal_fits(x, y->type)) {
        return y->type;
    }
    if (int_y && !int_x && literal_fits(y, x->type)) {
        return x->type;
    }
    const sm_type *const tx = smi_plain_type(x->type), *const ty = smi_plain_type(y->type);
    const bool is_null = tx->id == SM_TYPE_NULL || ty->id == SM_TYPE_NULL;
    if (is_text(tx) == is_text(ty) || is_null) {
        return smi_common_type(a, tx, ty);
    }
    const sm_type *const other = is_text(tx) ? ty : tx;
    return how == SMI_MEET_EQUAL && !sm_type_is_nested(other->id) ? other : NULL;
}

/* ---- implicit casts -------------------------------------------------------------------------- */

static int number_rank(const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_I8:
    case SM_TYPE_U8:
        return 1;
    case SM_TYPE_I16:
    case SM_TYPE_U16:
        return 2;
    case SM_TYPE_I32:
    case SM_TYPE_U32:
        return 3;
    case SM_TYPE_I64:
        return 4;
    case SM_TYPE_U64:
        return 5;
    case SM_TYPE_DECIMAL:
        return 7;
    case SM_TYPE_F32:
        return 8;
    default:
        return 9;
    }
}

/* The cost of an implicit cast, 0 where none is needed, −1 where there is none. */
static int cast_cost(const sm_expr *x, const sm_type *to)
{
    const sm_type *const from = smi_plain_type(x->type);
    if (sm_type_eq(from, to)) {
        return 0;
    }
    if (from->id == SM_TYPE_NULL) {
        return 3; /* more than a letter's 1: NULL + 1 is a number, not a date */
    }
    if (smi_is_literal(x) && x->type == &smi_type_str_literal) {
        return sm_type_is_nested(to->id) ? -1 : 20;
    }
    if (smi_is_literal(x) && literal_fits(x, to)) {
        return 1;
    }
    if (sm_type_is_number(from->id) && sm_type_is_number(to->id)) {
        const int rank_from = number_rank(from), rank_to = number_rank(to);
        const bool loses_sign =
            sm_type_is_signed(from->id) && sm_type_is_integer(to->id) && !sm_type_is_signed(to->id);
        return rank_from < rank_to && !loses_sign ? rank_to - rank_from + 1 : -1;
    }
    if (time_rank(from->id) > 0 && time_rank(to->id) > 0) {
        const int up = time_rank(to->id) - time_rank(from->id);
        /* TIMESTAMP WITH TIME ZONE is read as UTC */
        return up > 0 ? 4 + up : to->id == SM_TYPE_TIMESTAMP_NTZ ? 8 : -1;
    }
    return -1;
}

/* ---- signatures ------------------------------------------------------------------------------ */

/* One alternative of a signature: "(text, bigint[, bigint]) -> text". */
#define MAX_PARAMS 8
typedef struct signature {
    sm_str params[MAX_PARAMS];
    int n_params, n_required;
    bool is_variadic; /* the last one repeats */
    sm_str result;
} signature;

static const struct {
    const char *word;
    const sm_type *type;
} words[] = {
    {"text", &sm_type_string},
    {"blob", &sm_type_binary},
    {"bool", &sm_type_bool},
    {"tinyint", &sm_type_i8},
    {"integer", &sm_type_i32},
    {"bigint", &sm_type_i64},
    {"double", &sm_type_f64},
    {"date", &sm_type_date},
    {"timestamp", &sm_type_timestamp_ntz},
    {"timestamptz", &sm_type_timestamp},
};

static const sm_type *type_of_word(sm_str word)
{
    for (int i = 0; i < SM_COUNT(words); i++) {
        if (sm_str_is(word, words[i].word)) {
            return words[i].type;
        }
    }
    return NULL; /* T, N or any */
}

/* Reads the alternative at `s`; returns the beginning of the next one, or NULL. */
static const char *read_signature(const char *s, signature *out)
{
    *out = (signature){0};
    bool is_optional = false;
    SM_ASSERT(*s == '(');
    s++;
    while (*s != ')') {
        if (*s == ',' || *s == ' ' || *s == ']') {
            s++;
        } else if (*s == '[') {
            is_optional = true;
            s++;
        } else if (*s == '.') {
            out->is_variadic = true;
            s += 3;
        } else {
            const char *const start = s;
            s += strcspn(s, ",)[]. ");
            SM_ENSURE(out->n_params < MAX_PARAMS);
            out->params[out->n_params++] = (sm_str){start, (size_t)(s - start)};
            out->n_required += !is_optional;
        }
    }
    SM_ASSERT(strncmp(s, ") -> ", 5) == 0); /* a row of functions.def */
    s += 5;
    const size_t len = strcspn(s, " ");
    out->result = (sm_str){s, len};
    s += len;
    return *s ? s + 3 : NULL; /* " | " */
}

/* The type that all arguments of the letter T or N meet in. */
static const sm_type *meet_letter(const smi_call_bind *b, const signature *sig, char letter)
{
    const sm_type *meet = NULL;
    const sm_expr *first = NULL;
    for (int32_t i = 0; i < b->n_args; i++) {
        const sm_str p = sig->params[i < sig->n_params ? i : sig->n_params - 1];
        if (p.len != 1 || p.data[0] != letter) {
            continue;
        }
        if (!first) {
            first = b->args[i];
            meet = smi_plain_type(first->type);
        } else {
            sm_expr so_far = *first;
            so_far.type =
                smi_is_literal(first) && sm_type_eq(meet, first->type) ? first->type : meet;
            meet = smi_meet(b->a, &so_far, b->args[i], SMI_MEET_ONE);
            if (!meet) {
                return NULL;
            }
            if (smi_is_literal(first) && !smi_is_literal(b->args[i])) {
                first = b->args[i];
            }
        }
    }
    return meet;
}

/* The cost of this alternative, −1 where it does not fit; targets[i] gets each argument's type. */
static int cost_of(const smi_call_bind *b, const signature *sig, const sm_type **targets)
{
    int cost = 0;
    if (b->n_args < sig->n_required || (b->n_args > sig->n_params && !sig->is_variadic)) {
        return -1;
    }
    SM_ASSERT(b->n_args == 0 || sig->n_params > 0);
    for (int32_t i = 0; i < b->n_args; i++) {
        const sm_str p = sig->params[i < sig->n_params ? i : sig->n_params - 1];
        const sm_type *want = type_of_word(p);
        if (want) {
            const int one = cast_cost(b->args[i], want);
            if (one < 0) {
                return -1;
            }
            cost += one;
        } else if (sm_str_is(p, "any")) {
            want = smi_plain_type(b->args[i]->type);
        } else {
            SM_ASSERT(p.data != NULL); /* every parameter has a word */
            want = meet_letter(b, sig, p.data[0]);
            const bool is_number =
                p.data[0] != 'N' ||
                (want && (sm_type_is_number(want->id) || want->id == SM_TYPE_NULL));
            if (!want || !is_number) {
                return -1;
            }
            cost += 1;
        }
        targets[i] = want;
    }
    return cost;
}

static sm_status no_fit(const smi_call_bind *b, sm_error *e)
{
    char list[96] = "";
    size_t len = 0;
    for (int32_t i = 0; i < b->n_args && len + 32 < sizeof(list); i++) {
        const sm_str t = smi_type_text(b->a, b->args[i]->type);
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%.*s", i > 0 ? ", " : "",
                                (int)(t.len > 28 ? 28 : t.len), t.data);
    }
    smi_expr_fail(b->place, e, SM_TYPE, "%s does not take (%s)", b->fn->name, list);
    sm_error_todo(e, "It is %s%s.", b->fn->name, b->fn->signature);
    return SM_TYPE;
}

sm_status smi_bind_signature(smi_call_bind *b, sm_error *e)
{
    const sm_type **const targets = SM_NEW_ARRAY(b->a, const sm_type *, b->n_args + 1);
    const sm_type **const best_targets = SM_NEW_ARRAY(b->a, const sm_type *, b->n_args + 1);
    signature sig, best = {0};
    int best_cost = -1;

    for (const char *s = b->fn->signature; s;) {
        s = read_signature(s, &sig);
        const int cost = cost_of(b, &sig, targets);
        if (cost >= 0 && (best_cost < 0 || cost < best_cost)) {
            best_cost = cost;
            best = sig;
            memcpy(best_targets, targets, (size_t)b->n_args * sizeof(void *));
        }
    }
    if (best_cost < 0) {
        return no_fit(b, e);
    }
    for (int32_t i = 0; i < b->n_args; i++) {
        b->args[i] = smi_cast(b->a, b->args[i], best_targets[i]);
    }
    b->result = type_of_word(best.result);
    for (int32_t i = 0; i < b->n_args && !b->result; i++) {
        const sm_str p = best.params[i < best.n_params ? i : best.n_params - 1];
        if (sm_str_eq(p, best.result)) {
            b->result = best_targets[i];
        }
    }
    SM_ASSERT(b->result != NULL);
    return SM_OK;
}
