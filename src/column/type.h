/* SPDX-License-Identifier: Apache-2.0
 *
 * column/type.h: the types of values, as data. A schema is a struct type.
 * Types are immutable and live in the arena of what declares them (a plan, a snapshot, a reader);
 * whoever uses one sees to it that this outlives the use. Compare with sm_type_eq, not address. */
#ifndef SM_COLUMN_TYPE_H
#define SM_COLUMN_TYPE_H

#include "base/arena.h"
#include "base/buf.h"

typedef __int128 sm_i128;

/* id, SQL's name (DuckDB's), Delta's name or "", bytes of a flat value (0: see column.h) */
#define SM_TYPE_LIST(X)                                                                            \
    X(NULL, "NULL", "void", 0)                                                                     \
    X(BOOL, "BOOLEAN", "boolean", 0)                                                               \
    X(I8, "TINYINT", "byte", 1)                                                                    \
    X(I16, "SMALLINT", "short", 2)                                                                 \
    X(I32, "INTEGER", "integer", 4)                                                                \
    X(I64, "BIGINT", "long", 8)                                                                    \
    X(U8, "UTINYINT", "", 1)                                                                       \
    X(U16, "USMALLINT", "", 2)                                                                     \
    X(U32, "UINTEGER", "", 4)                                                                      \
    X(U64, "UBIGINT", "", 8)                                                                       \
    X(F32, "FLOAT", "float", 4)                                                                    \
    X(F64, "DOUBLE", "double", 8)                                                                  \
    X(DECIMAL, "DECIMAL", "decimal", 16)                                                           \
    X(STRING, "VARCHAR", "string", 16)                                                             \
    X(BINARY, "BLOB", "binary", 16)                                                                \
    X(DATE, "DATE", "date", 4)                                                                     \
    X(TIME, "TIME", "", 8)                                                                         \
    X(TIMESTAMP, "TIMESTAMP WITH TIME ZONE", "timestamp", 8)                                       \
    X(TIMESTAMP_NTZ, "TIMESTAMP", "timestamp_ntz", 8)                                              \
    X(LIST, "LIST", "array", 0)                                                                    \
    X(STRUCT, "STRUCT", "struct", 0)                                                               \
    X(MAP, "MAP", "map", 0)

typedef enum sm_type_id {
#define SM_TYPE_ID(id, sql, delta, bytes) SM_TYPE_##id,
    SM_TYPE_LIST(SM_TYPE_ID)
#undef SM_TYPE_ID
} sm_type_id;

typedef struct sm_type sm_type;

/* What the source says of a field beyond name and type: Delta's field metadata. */
typedef struct sm_field_meta {
    sm_str key, json; /* json: the value as JSON text */
} sm_field_meta;

typedef struct sm_field {
    sm_str name;
    const sm_type *type;
    bool is_nullable;
    const sm_field_meta *meta;
    int32_t n_meta;
} sm_field;

struct sm_type {
    sm_type_id id;
    uint8_t precision; /* DECIMAL: 1 … 38 */
    uint8_t scale;     /* DECIMAL: 0 … precision */
    const sm_field
        *fields; /* STRUCT: its fields; LIST: one, the element; MAP: two, key and value */
    int32_t n_fields;
};

extern const sm_type sm_type_null, sm_type_bool, sm_type_i8, sm_type_i16, sm_type_i32, sm_type_i64,
    sm_type_u8, sm_type_u16, sm_type_u32, sm_type_u64, sm_type_f32, sm_type_f64, sm_type_string,
    sm_type_binary, sm_type_date, sm_type_time, sm_type_timestamp, sm_type_timestamp_ntz;

/* VARCHAR whose text is JSON. Only a cast into it tells it from VARCHAR, by its address. */
extern const sm_type sm_type_json;

/* ---- making types ---------------------------------------------------------------------------- */

const sm_type *sm_type_decimal(sm_arena *a, int precision, int scale);
const sm_type *sm_type_list(sm_arena *a, sm_field element);
const sm_type *sm_type_map(sm_arena *a, sm_field key, sm_field value);
/** Copies the array of fields (not what they point to). */
const sm_type *sm_type_struct(sm_arena *a, const sm_field *fields, int32_t n_fields);
/** A deep copy: names, nested types and metadata. */
const sm_type *sm_type_copy(sm_arena *a, const sm_type *t);
/** `t` with every unsigned integer in it, at any depth, as the next wider type that holds it:
 * UBIGINT as DECIMAL(20,0). `t` itself where it has none. */
const sm_type *sm_type_widen(sm_arena *a, const sm_type *t);
/** From SQL text: "BIGINT", "int", "DECIMAL(10,2)", "STRUCT(a VARCHAR, b BIGINT[])", "MAP(…,…)";
 * SM_SYNTAX with byte (1-based, in the text) and the nearest name. */
sm_status sm_type_parse(sm_str sql, sm_arena *a, const sm_type **out, sm_error *e) SM_MUST_USE;

/* ---- asking ---------------------------------------------------------------------------------- */

/** Same shape: ids, precision, scale, names and types of fields; nullability and metadata do not
 * count. */
bool sm_type_eq(const sm_type *a, const sm_type *b);
/** Bytes of one value in a flat column's `values`; 0 for NULL, BOOL and nested types. */
int sm_type_bytes(sm_type_id id);
/** The most decimal digits that a value of an integer type has; BOOLEAN has 1. */
int sm_type_digits(sm_type_id id);
bool sm_type_is_integer(sm_type_id id); /* I8 … U64 */
bool sm_type_is_signed(sm_type_id id);  /* I8 … I64 */
bool sm_type_is_number(sm_type_id id);  /* integers, floats, DECIMAL */
bool sm_type_is_bytes(sm_type_id id);   /* STRING, BINARY */
bool sm_type_is_nested(sm_type_id id);
/** "STRUCT(a VARCHAR, b BIGINT[])": reads back with sm_type_parse. */
void sm_type_print(const sm_type *t, sm_buf *out);
/** The index of the field of that name, or −1: exactly, else without case where only one fits. */
int32_t sm_type_find(const sm_type *t, sm_str name);

#endif
