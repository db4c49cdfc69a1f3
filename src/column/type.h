/* SPDX-License-Identifier: Apache-2.0
 *
 * column/type.h: the types of values. A schema is a struct type.
 *
 * Types are immutable and live in the arena of what declares them (a plan, a snapshot, a reader),
 * which must outlive their use. Compare them with sm_type_eq(), not by address.
 * Threads: every function may be called from any thread, on an arena of its own. */
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

/* A key and value of Delta's field metadata. */
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
    bool is_variant; /* STRING: files have variants, which are read as their JSON text */
    /* DECIMAL, FLOAT: numbers of JSON files are rounded to it, as a cast does; else one that it
     * does not hold is refused. Types that differ in this alone are equal. */
    bool is_rounded;
};

extern const sm_type sm_type_null, sm_type_bool, sm_type_i8, sm_type_i16, sm_type_i32, sm_type_i64,
    sm_type_u8, sm_type_u16, sm_type_u32, sm_type_u64, sm_type_f32, sm_type_f64, sm_type_string,
    sm_type_binary, sm_type_date, sm_type_time, sm_type_timestamp, sm_type_timestamp_ntz;

/* VARCHAR whose text is JSON. It equals VARCHAR; only a cast to it differs, which compares the
 * address. */
extern const sm_type sm_type_json;
/** VARCHAR with the JSON text of a variant of the file. It equals VARCHAR: what is made of such a
 * column is text. */
extern const sm_type sm_type_variant;

/* ---- making types ---------------------------------------------------------------------------- */

/** DECIMAL(precision, scale): precision 1 to 38, scale 0 to precision. */
const sm_type *sm_type_decimal(sm_arena *a, int precision, int scale);
const sm_type *sm_type_list(sm_arena *a, sm_field element);            /* LIST of the element */
const sm_type *sm_type_map(sm_arena *a, sm_field key, sm_field value); /* MAP from key to value */
/** STRUCT of the fields. Copies the array, but not what its fields point to. */
const sm_type *sm_type_struct(sm_arena *a, const sm_field *fields, int32_t n_fields);
/** A deep copy: names, nested types and metadata. */
const sm_type *sm_type_copy(sm_arena *a, const sm_type *t);
/** `t` with every unsigned integer in it, at any depth, replaced by the next wider signed type;
 * UBIGINT by DECIMAL(20,0). Returns `t` itself if it has none. */
const sm_type *sm_type_widen(sm_arena *a, const sm_type *t);
/**
 * Reads a type in SQL: "BIGINT", "int", "DECIMAL(10,2)", "STRUCT(a VARCHAR, b BIGINT[])".
 *
 * Errors    SM_SYNTAX with the byte (from 1, in the text) and, for a wrong name, the nearest one
 */
sm_status sm_type_parse(sm_str sql, sm_arena *a, const sm_type **out, sm_error *e) SM_MUST_USE;

/* ---- properties ------------------------------------------------------------------------------ */

/** Are ids, precision, scale, and names and types of fields equal? Nullability and metadata do not
 * matter. */
bool sm_type_eq(const sm_type *a, const sm_type *b);
/** Bytes of one value in a flat column's `values`; 0 for NULL, BOOL and nested types. */
int sm_type_bytes(sm_type_id id);
/** The most decimal digits of a value of an integer type; 1 for BOOLEAN. */
int sm_type_digits(sm_type_id id);
bool sm_type_is_integer(sm_type_id id); /* I8 … U64 */
bool sm_type_is_signed(sm_type_id id);  /* I8 … I64 */
bool sm_type_is_number(sm_type_id id);  /* integers, floats, DECIMAL */
bool sm_type_is_bytes(sm_type_id id);   /* STRING, BINARY */
bool sm_type_is_nested(sm_type_id id);  /* LIST, STRUCT, MAP */
/** Appends the type in SQL, as sm_type_parse() reads it: "STRUCT(a VARCHAR, b BIGINT[])". */
void sm_type_print(const sm_type *t, sm_buf *out);
sm_str sm_type_text(const sm_type *t, sm_arena *a); /* the same in the arena, ended by NUL */
/** The index of the field of that name; else of the only field whose name differs in case alone;
 * else −1. */
int32_t sm_type_find(const sm_type *t, sm_str name);

#endif
