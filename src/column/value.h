/* SPDX-License-Identifier: Apache-2.0
 *
 * column/value.h: one value apart from a column: literals, bounds, statistics, the constants of a
 * file, what a scalar subquery gave.
 *
 * Owner     a value is a struct that is passed around; its type, its bytes and the values within it
 *           are borrowed. sm_value_copy and sm_column_value_copy put all of them into one arena. */
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

static inline sm_value sm_value_null(const sm_type *t)
{
    return (sm_value){.type = t, .is_null = true};
}
static inline sm_value sm_value_i64(int64_t v)
{
    return (sm_value){.type = &sm_type_i64, .as.i = v};
}
static inline sm_value sm_value_str(sm_str s)
{
    return (sm_value){.type = &sm_type_string, .as.s = s};
}

/** The value with all that it points to in `a`. */
sm_value sm_value_copy(sm_arena *a, sm_value v);

/** −1, 0, 1; both of the same type and not null. Floats: NaN is the largest and equals itself,
 * −0 equals 0. Strings bytewise. Nested values item by item, a NULL in them behind all else and
 * equal to another; where one ends first, it is less. */
int sm_value_cmp(sm_value a, sm_value b);
/** Same type, both null or equal. */
bool sm_value_eq(sm_value a, sm_value b);

/** As DuckDB casts to VARCHAR: true, 254, 0.1, 2022-04-01, 2022-04-01 17:05:00, 12.30, \x0A in
 * blobs; NULL is "NULL". [1, NULL], {'a': 1}, {k=1} for LIST, STRUCT and MAP: column_print.c. */
void sm_value_print(sm_value v, sm_buf *out);
/** Reads text as `t`, a scalar type, in full (what a cast from VARCHAR does; numbers may have
 * spaces around them and an exponent). SM_TYPE or SM_RANGE, the value quoted. Strings are borrowed
 * from `text`. */
sm_status sm_value_parse(const sm_type *t, sm_str text, sm_value *out, sm_error *e) SM_MUST_USE;
/** The same for DATE, TIME and the TIMESTAMPs alone, without a message: a TIMESTAMP is what the
 * clock on the wall shows, TIMESTAMP WITH TIME ZONE the instant (UTC where the text has no zone), a
 * DATE the day on the wall. */
bool sm_parse_time_as(sm_type_id id, sm_str text, int64_t *out);
/** A cast from VARCHAR to BLOB: ASCII with \xHH escapes (which sm_value_parse refuses, as it has
 * nowhere to put their bytes). `out` has room for text.len bytes; false where it is not one. */
bool sm_blob_unescape(sm_str text, uint8_t *out, size_t *n_bytes);

#endif
