/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/function_int.h: functions by name, their binders, and what kernels and casts use:
 * to read arguments, make columns and write text.
 *
 * Never      keeps state between two calls: prepared arguments are const and the expression's */
#ifndef SM_QUERY_FUNCTION_INT_H
#define SM_QUERY_FUNCTION_INT_H

#include "query/query_int.h"

/* ---- functions ------------------------------------------------------------------------------- */

enum smi_fn_flag {
    SMI_STRICT = 1 << 0,      /* sees no NULL */
    SMI_PURE = 1 << 1,        /* constants are folded */
    SMI_CAN_FAIL = 1 << 2,    /* at run time */
    SMI_OF_TYPES = 1 << 3,    /* depends on the arguments' types only, not on their values */
    SMI_WRITTEN_OUT = 1 << 4, /* short for a CASE, which replaces it */
};

/* A call being bound: args may be replaced by casts; the result's type is to be set. */
typedef struct smi_call_bind {
    sm_arena *a;
    const sm_function *fn;
    const sm_expr **args;
    int32_t n_args;
    const sm_type *result;
    const sm_expr *place; /* sql, off, end of the call */
} smi_call_bind;
typedef sm_status (*smi_bind_fn)(smi_call_bind *b, sm_error *e);

/** The smi_fn_flags of a function; 0 for those that are not in functions.def. */
int smi_fn_flags(const sm_function *fn);
/** The function of that name, in any case; NULL where there is none. */
const sm_function *smi_function_named(sm_str name);
/** The name that is nearest to a wrong one; NULL where none is near. */
const char *smi_function_nearest(sm_str name);
/** Binds by the signature: "(text, bigint[, bigint]) -> text | (T, ...) -> T". */
sm_status smi_bind_signature(smi_call_bind *b, sm_error *e) SM_MUST_USE;
/** Binds, prepares and folds a call. */
sm_status smi_bind_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n_args,
                        const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;

/* binders that functions.def names */
sm_status smi_bind_arith(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_divide(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_compare(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_concat(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_round(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_sum(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_avg(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_arg(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_qcut(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_map(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_map_literal(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_date_part(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_strptime(smi_call_bind *b, sm_error *e) SM_MUST_USE;
const void *smi_prepare_unit(const sm_expr *call, sm_arena *a, sm_error *e);
const void *smi_prepare_format(const sm_expr *call, sm_arena *a, sm_error *e);
const void *smi_prepare_regex(const sm_expr *call, sm_arena *a, sm_error *e);

/* A text of so many characters, all of them among the members: regex_class.c. */
typedef struct smi_regex_class {
    uint8_t members[256]; /* 1: it is one */
    size_t least, most;
} smi_regex_class;
/** Is the pattern, which PCRE2 takes, no more than that? whole: the whole text must match. */
bool smi_regex_class_of(sm_str pattern, bool whole, smi_regex_class *out);
bool smi_regex_class_fits(const smi_regex_class *c, sm_str text);

#define SM_FN(name, signature, eval, flags, bind, prepare, summary, example, answer)               \
    sm_status eval(const sm_fn_call *call, sm_column *out, sm_error *e);
#define SM_AGG(name, signature, aggregate, bind, summary, example, answer)                         \
    extern const sm_aggregate aggregate;
extern const sm_whole_fn smi_whole_qcut;
#define SM_WIN(name, signature, window, in_pieces, whole, bind, summary, example, answer)          \
    sm_status window(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e);
#include "query/function/functions.def"
#undef SM_FN
#undef SM_AGG
#undef SM_WIN

/* Aggregates over distinct values, and aggregates as windows: `prepared` is the inner call. */
extern const sm_function smi_fn_distinct, smi_fn_over;
bool smi_wraps(const sm_expr *x); /* is it a call of one of them? */

/* ---- evaluation ------------------------------------------------------------------------------ */

/* Arguments of a kernel are FLAT or CONST (never DICT). For strict functions `out` comes with its
 * type, rows, joint validity and zeroed values; the kernel writes valid rows only. */
static inline bool smi_valid(const sm_column *c, int64_t i)
{
    SM_ASSERT(c->layout != SM_DICT);
    return !c->validity || sm_bit_get(c->validity, c->layout == SM_CONST ? 0 : i);
}
/* For `values[i & mask]`: 0 for a constant, whose only value is values[0]; else all bits. */
static inline int64_t smi_mask(const sm_column *c)
{
    SM_ASSERT(c->layout != SM_DICT);
    return c->layout == SM_CONST ? 0 : -1;
}
/** Row i of a text. Borrowed from the column. */
static inline sm_str smi_str_at(const sm_column *c, int64_t i)
{
    SM_ASSERT(sm_type_is_bytes(c->type->id));
    return sm_view_str((const sm_view *)c->values + (i & smi_mask(c)), c->heap);
}
/** Integers of any width, dates and timestamps as int64; floats as double. */
int64_t smi_i64_at(const sm_column *c, int64_t i);
double smi_f64_at(const sm_column *c, int64_t i);
sm_i128 smi_i128_at(const sm_column *c, int64_t i);
bool smi_bool_at(const sm_column *c, int64_t i);

/** A FLAT column of n rows, zeroed, all valid. */
sm_status smi_column_new(const sm_type *t, int64_t n_rows, sm_batch *into, sm_column *out,
                         sm_error *e) SM_MUST_USE;
/** Makes row i of a column under construction NULL. */
sm_status smi_set_null(sm_column *out, int64_t i, sm_batch *into, sm_error *e) SM_MUST_USE;
/** Gives a column under construction a validity bitmap of its own, all valid at first. */
sm_status smi_own_validity(sm_column *out, sm_batch *into, uint8_t **bits, sm_error *e) SM_MUST_USE;

/* Texts may be long: a function counts the bytes that it goes through, and looks whether the query
 * is cancelled once every SMI_LOOK_BYTES. */
#define SMI_LOOK_BYTES ((size_t)1 << 22)
typedef struct smi_pace {
    const sm_batch *into; /* whose budget knows the flag */
    size_t bytes;
} smi_pace;
static inline sm_status smi_pace_on(smi_pace *p, size_t bytes, sm_error *e)
{
    p->bytes += bytes;
    if (p->bytes < SMI_LOOK_BYTES) {
        return SM_OK;
    }
    p->bytes = 0;
    return sm_batch_check_cancel(p->into, e);
}

/* Writes text values of a column under construction; its heap is in chunks of the batch. */
typedef struct smi_text_out {
    sm_column *out;
    sm_batch *into;
    sm_heap_buf *heap;
    int32_t n_heap, cap_heap;
    uint8_t *chunk; /* heap[n_heap − 1] while it is filled */
    int64_t used, size;
    smi_pace pace;
} smi_text_out;
/** Between begin and end `out` must not be read. */
void smi_text_begin(smi_text_out *t, sm_column *out, sm_batch *into);
/** Room for `len` bytes; then smi_text_set(row, len) makes the view of what was written there. */
sm_status smi_text_room(smi_text_out *t, int64_t len, uint8_t **bytes, sm_error *e) SM_MUST_USE;
void smi_text_set(smi_text_out *t, int64_t row, int64_t len);
sm_status smi_text_put(smi_text_out *t, int64_t row, sm_str s, sm_error *e) SM_MUST_USE;
void smi_text_end(smi_text_out *t);

/* The other way to text: views into the memory of the argument that it is a part of. */
/** Gives `out` the heap of `from`. */
void smi_text_share(sm_column *out, const sm_column *from);
/** Row i becomes `part`, which lies in row i of `from` or is empty. */
void smi_text_part(sm_column *out, int64_t i, const sm_column *from, sm_str part);
/** Writes s in lower case over what `out` holds. */
sm_status smi_lower(sm_str s, sm_buf *out, sm_error *e) SM_MUST_USE;

/** Casts a column; constant folding calls it too, so constants are cast in the same way. */
sm_status smi_cast_column(const sm_expr *x, const sm_column *in, sm_batch *into, sm_column *out,
                          sm_error *e) SM_MUST_USE;

/** What the evaluation of an IN needs (a sorted array, a hash table), made when it is bound. */
const void *smi_prepare_in(const sm_expr *in, sm_arena *a);
/** Sets the bits of c's valid rows that are among the IN's constants. */
void smi_in_bits(const sm_expr *x, const sm_column *c, uint8_t *bits);
/** Is one of the constants NULL? */
bool smi_in_has_null(const sm_expr *x);

/* ---- aggregates' memory ---------------------------------------------------------------------- */

/** Zeroed memory, aligned to 16 bytes, that lives as long as the heap. */
sm_status smi_heap_alloc(sm_agg_heap *h, size_t bytes, void **out, sm_error *e) SM_MUST_USE;

#endif
