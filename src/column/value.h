/* SPDX-License-Identifier: Apache-2.0
 *
 * column/value.h: a single value outside a column: literals, bounds, statistics, constants of a
 * file, the result of a scalar subquery.
 *
 * Owner     a value is a struct that is passed by value. It borrows its type, its bytes and the
 *           values in it; sm_value_copy() and sm_column_value_copy() copy all of them to an arena.
 * Threads   every function may be called from any thread */
#ifndef SM_COLUMN_VALUE_H
#define SM_COLUMN_VALUE_H

#include "column/type.h"

typedef struct sm_value sm_value;
struct sm_value {
    const sm_type *type;
    bool is_null;
    union {
        bool b;
        int64_t i;  /* I8 … I64, DATE (days), TIME and TIMESTAMPs (microseconds) */
        uint64_t u; /* U8 … U64 */
        double f;   /* F32, F64 */
        sm_i128 d;  /* DECIMAL, unscaled */
        sm_str s;   /* STRING, BINARY; borrowed */
        struct {    /* LIST: its elements; STRUCT: one a field; MAP: keys and values in turn */
            const sm_value *items; /* of the types that `type` says; borrowed */
            int64_t n;
        } nested;
    } as;
};

/** NULL of a type. */
static inline sm_value sm_value_null(const sm_type *t)
{
    return (sm_value){.type = t, .is_null = true};
}
/** A BIGINT. */
static inline sm_value sm_value_i64(int64_t v)
{
    return (sm_value){.type = &sm_type_i64, .as.i = v};
}
/** A VARCHAR; borrows s. */
static inline sm_value sm_value_str(sm_str s)
{
    return (sm_value){.type = &sm_type_string, .as.s = s};
}

/** Copies the value, its type, its bytes and the values in it into `a`. */
sm_value sm_value_copy(sm_arena *a, sm_value v);

/**
 * −1, 0 or 1: the order of two values of the same type, neither of them NULL.
 *
 * Shape     NaN is the largest float and equals itself, −0 equals 0. Strings compare by bytes.
 *           Nested values compare item by item; in them NULL is the largest and equals NULL, and a
 *           value that is the start of another is less.
 */
int sm_value_cmp(sm_value a, sm_value b);
/** Are the types equal, and both NULL or the values equal? */
bool sm_value_eq(sm_value a, sm_value b);

/** Appends the value as DuckDB casts it to VARCHAR: true, 254, 0.1, 2022-04-01 17:05:00, 12.30,
 * \x0A in blobs, [1, NULL], {'a': 1}, {k=1}; NULL is "NULL". */
void sm_value_print(sm_value v, sm_buf *out);
/**
 * Reads a whole text as a value of the scalar type `t`, as a cast from VARCHAR does.
 *
 * Shape     numbers may have an exponent, and spaces around them
 * Owner     a string is borrowed from `text`
 * Errors    SM_TYPE or SM_RANGE, quoting the text
 */
sm_status sm_value_parse(const sm_type *t, sm_str text, sm_value *out, sm_error *e) SM_MUST_USE;
/** The same for DATE, TIME and the TIMESTAMPs, without an error: DATE and TIMESTAMP are local, a
 * TIMESTAMP WITH TIME ZONE is the instant (in UTC if the text has no zone). */
bool sm_parse_time_as(sm_type_id id, sm_str text, int64_t *out);
/** Casts VARCHAR to BLOB: ASCII with \xHH escapes, which sm_value_parse() refuses because it cannot
 * store their bytes. `out` has room for text.len bytes. Returns false if it is something else. */
bool sm_blob_unescape(sm_str text, uint8_t *out, size_t *n_bytes);

#endif
