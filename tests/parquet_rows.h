/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/parquet_rows.h: for tests of the Parquet format: random rows of any schema, and whether a
 * file has them. */
#ifndef SM_TESTS_PARQUET_ROWS_H
#define SM_TESTS_PARQUET_ROWS_H

#include <math.h>
#include <stdio.h>

#include "parquet_io.h"
#include "test.h"

#include "column/builder.h"

/* ---- random rows ----------------------------------------------------------------------------- */

static uint64_t random_state;

static inline uint64_t next_random(void)
{
    random_state += 0x9e3779b97f4a7c15u;
    return sm_mix64(random_state);
}

static inline int64_t below(int64_t n)
{
    return (int64_t)(next_random() % (uint64_t)n);
}

/* How values are drawn. All values of a column are drawn alike, so that each encoding is used. */
typedef enum draw {
    DRAW_FEW,
    DRAW_MANY,
    DRAW_RISING,
    DRAW_EDGES,
    DRAW_LATE, /* few for 11,000 values, then all new: a dictionary that pays, and becomes full */
    DRAW_KINDS,
} draw;

typedef struct source {
    draw draw;
    int null_percent;
    int64_t at;
} source;

static inline int64_t draw_i64(source *s)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT32_MIN, INT32_MAX};
    switch (s->draw) {
    case DRAW_FEW:
        return below(5);
    case DRAW_MANY:
        return (int64_t)next_random();
    case DRAW_RISING:
        return s->at += below(3);
    case DRAW_LATE:
        return s->at++ < 11000 ? below(50) : (int64_t)next_random();
    default:
        return edges[below(SM_COUNT(edges))];
    }
}

static inline void put_text(sm_builder *b, source *s)
{
    char text[700];
    size_t n = 0;
    if (s->draw == DRAW_FEW) {
        n = (size_t)snprintf(text, sizeof(text), "%.*s", (int)below(4) * 7,
                             "small words and some longer ones");
    } else if (s->draw == DRAW_RISING) {
        n = (size_t)snprintf(text, sizeof(text), "row-%09lld", (long long)(s->at += 1));
    } else if (s->draw == DRAW_LATE) {
        n = (size_t)snprintf(text, sizeof(text), "%0120lld", (long long)draw_i64(s));
    } else {
        n = (size_t)below(s->draw == DRAW_EDGES ? 600 : 30);
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)('a' + below(26));
        }
        if (n >= 2 && s->draw == DRAW_EDGES) {
            memcpy(text + below((int64_t)n - 1), "\xc3\xa9", 2);
        }
    }
    sm_builder_str(b, (sm_str){text, n});
}

static inline void put_value(sm_builder *b, const sm_type *t, source *s);

static inline void put_scalar(sm_builder *b, const sm_type *t, source *s)
{
    const int bits = sm_type_bytes(t->id) * 8;
    const int64_t v = draw_i64(s);
    switch (t->id) {
    case SM_TYPE_BOOL:
        sm_builder_bool(b, v & 1);
        return;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        sm_builder_f64(b, s->draw == DRAW_EDGES && (v & 1) ? (double)NAN : (double)v / 8);
        return;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        put_text(b, s);
        return;
    case SM_TYPE_DECIMAL: {
        sm_i128 limit = 1;
        for (int i = 0; i < t->precision; i++) {
            limit *= 10;
        }
        sm_builder_i128(b, ((sm_i128)v * (s->draw == DRAW_FEW ? 1 : v)) % limit);
        return;
    }
    default:
        if (sm_type_is_integer(t->id) && !sm_type_is_signed(t->id)) {
            sm_builder_u64(b, (uint64_t)v >> (64 - bits));
        } else {
            sm_builder_i64(b, bits == 64 ? v : v >> (s->draw == DRAW_FEW ? 0 : 64 - bits));
        }
    }
}

static inline void put_value(sm_builder *b, const sm_type *t, source *s)
{
    if (t->id == SM_TYPE_NULL || below(100) < s->null_percent) {
        sm_builder_null(b);
        return;
    }
    if (t->id == SM_TYPE_STRUCT) {
        for (int32_t i = 0; i < t->n_fields; i++) {
            put_value(sm_builder_child(b, i), t->fields[i].type, s);
        }
        sm_builder_struct(b);
    } else if (t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP) {
        for (int64_t n = below(4); n > 0; n--) {
            for (int32_t i = 0; i < t->n_fields; i++) {
                source key = *s;
                key.null_percent = t->id == SM_TYPE_MAP && i == 0 ? 0 : s->null_percent;
                put_value(sm_builder_child(b, i), t->fields[i].type, &key);
                s->at = key.at;
            }
        }
        sm_builder_list(b);
    } else {
        put_scalar(b, t, s);
    }
}

typedef struct rows {
    sm_batch *batches[128];
    int64_t n, n_rows;
} rows;

static inline void make_rows(const sm_type *schema, source *sources, int64_t n_rows, int64_t most,
                             sm_budget *budget, rows *out)
{
    sm_error e = {0};
    while (out->n_rows < n_rows) {
        sm_batch *b = NULL;
        const int64_t left = n_rows - out->n_rows, some = below(most) + 1;
        const int64_t n = some < left ? some : left;
        assert_true(out->n < SM_COUNT(out->batches));
        assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
        for (int32_t c = 0; c < schema->n_fields; c++) {
            sm_builder *builder = sm_builder_new(schema->fields[c].type, budget);
            for (int64_t i = 0; i < n; i++) {
                put_value(builder, schema->fields[c].type, &sources[c]);
            }
            assert_ok(sm_builder_finish(builder, b, &b->columns[c], &e), &e);
            sm_builder_free(builder);
        }
        b->n_rows = n;
        out->batches[out->n++] = b;
        out->n_rows += n;
    }
}

static inline void release_rows(rows *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        sm_batch_release(r->batches[i]);
    }
    *r = (rows){0};
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct expected {
    const rows *rows;
    int64_t batch, row;
    bool is_same_schema;
} expected;

static inline sm_status compare_batch(void *ctx, sm_batch *b, sm_error *e)
{
    expected *x = ctx;
    const char *why = NULL;
    if (!sm_batch_validate(b, true, &why)) {
        return sm_fail(e, SM_INTERNAL, "not valid: %s", why);
    }
    for (int64_t i = 0; i < b->n_rows; i++) {
        while (x->row == x->rows->batches[x->batch]->n_rows) {
            x->batch++;
            x->row = 0;
        }
        const sm_batch *want = x->rows->batches[x->batch];
        for (int32_t c = 0; c < b->n_columns; c++) {
            if (!sm_column_eq(&want->columns[c], x->row, &b->columns[c], i)) {
                sm_buf text = {0};
                sm_column_print(&b->columns[c], i, &text);
                sm_buf_printf(&text, " instead of ");
                sm_column_print(&want->columns[c], x->row, &text);
                const sm_status st = sm_fail(e, SM_INTERNAL, "column %d row %lld: %.*s", c,
                                             (long long)i, SM_STR_ARG(sm_buf_str(&text)));
                sm_buf_release(&text);
                return st;
            }
        }
        x->row++;
    }
    return SM_OK;
}

static inline void check_written(const sm_buf *file, const rows *want, const sm_type *schema,
                                 sm_budget *budget)
{
    sm_store *store = NULL;
    sm_blob *blob = NULL;
    sm_error e = {0};
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *inferred = NULL;
    assert_ok(parquet_blob(file->data, file->len, &store, &blob, &e), &e);
    assert_ok(sm_format_infer(sm_format_named(SM_STR("parquet")), blob, NULL, a, &inferred, &e),
              &e);
    assert_true(sm_type_eq(inferred, schema));
    for (int pass = 0; pass < 2; pass++) {
        expected x = {.rows = want};
        parquet_in in = {.schema = pass ? schema : NULL, .on_batch = compare_batch, .ctx = &x};
        assert_ok(parquet_read(blob, budget, &in, &e), &e);
        assert_int_equal(in.n_rows, want->n_rows);
    }
    sm_arena_free(a);
    sm_blob_close(blob);
    sm_store_release(store);
}

/* ---- schemas --------------------------------------------------------------------------------- */

static const char *const schemas[] = {
    "STRUCT(a TINYINT, b SMALLINT, c INTEGER, d BIGINT, e UTINYINT, f USMALLINT, g UINTEGER, h "
    "UBIGINT)",
    "STRUCT(a FLOAT, b DOUBLE, c BOOLEAN, d VARCHAR, e BLOB, f DATE, g TIME, h TIMESTAMP, i "
    "TIMESTAMP WITH TIME ZONE)",
    "STRUCT(a DECIMAL(4,2), b DECIMAL(18,0), c DECIMAL(19,3), d DECIMAL(38,10), e DECIMAL(9,9))",
    "STRUCT(a BIGINT[], b VARCHAR[][], c MAP(VARCHAR, BIGINT), d STRUCT(x BIGINT, y VARCHAR), e "
    "BOOLEAN[])",
    "STRUCT(a STRUCT(b STRUCT(c BIGINT[], d MAP(INTEGER, STRUCT(e VARCHAR[], f DATE))), g "
    "DOUBLE)[], h MAP(VARCHAR, MAP(VARCHAR, DECIMAL(20,2))))",
    "STRUCT(a STRUCT(b STRUCT(c BIGINT, d VARCHAR), e BOOLEAN), f VARCHAR)",
};

#endif
