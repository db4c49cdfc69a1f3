/* SPDX-License-Identifier: Apache-2.0
 *
 * column/batch_test.c: derived batches and columns against the same made row by row. Types,
 * layouts, nulls and lengths are random (seed printed, from SMELT_SEED where set); after each step
 * the result is validated in depth and compared by eq, text and hash, with its inputs released. */
#include "test.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/text.h"
#include "column/builder.h"

static sm_arena *arena;
static sm_budget *budget;
static uint64_t seed;

static uint64_t next_random(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    return sm_mix64(seed);
}

static int64_t below(int64_t n)
{
    return (int64_t)(next_random() % (uint64_t)n);
}

static int setup(void **state)
{
    arena = sm_arena_new(NULL);
    budget = sm_budget_new(NULL, "test", 0);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(arena);
    assert_int_equal(sm_live_allocs(), 0);
    return 0;
}

/* ---- random types and columns ---------------------------------------------------------------- */

static const sm_type *random_type(int depth)
{
    static const sm_type *const scalars[] = {
        &sm_type_null,          &sm_type_bool,   &sm_type_i8,    &sm_type_i16,
        &sm_type_i32,           &sm_type_i64,    &sm_type_u8,    &sm_type_u16,
        &sm_type_u32,           &sm_type_u64,    &sm_type_f32,   &sm_type_f64,
        &sm_type_string,        &sm_type_date,   &sm_type_time,  &sm_type_timestamp,
        &sm_type_timestamp_ntz, &sm_type_binary, &sm_type_string};
    const int64_t kind = below(depth > 0 ? 10 : 7);
    if (kind == 6) {
        return sm_type_decimal(arena, 20, 3);
    }
    if (kind < 7) {
        return scalars[below(SM_COUNT(scalars))];
    }
    sm_field fields[3];
    const int32_t n = (int32_t)below(3) + 1;
    for (int32_t i = 0; i < 3; i++) {
        fields[i] = (sm_field){.name = sm_arena_strf(arena, "f%d", i),
                               .type = random_type(depth - 1),
                               .is_nullable = true};
    }
    return kind == 7   ? sm_type_list(arena, fields[0])
           : kind == 8 ? sm_type_map(arena, fields[0], fields[1])
                       : sm_type_struct(arena, fields, n);
}

static void append_string(sm_builder *b)
{
    char text[64];
    const size_t len = (size_t)below(below(4) == 0 ? 40 : 14);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + below(3));
    }
    sm_builder_str(b, (sm_str){text, len});
}

static void append_row(sm_builder *b, const sm_type *t, bool may_be_null)
{
    static const double floats[] = {0, -0.0, 1.5, -2, __builtin_nan(""), -__builtin_nan("1"), 1e30};
    if (may_be_null && below(5) == 0) {
        sm_builder_null(b);
        return;
    }
    switch (t->id) {
    case SM_TYPE_NULL:
        sm_builder_null(b);
        return;
    case SM_TYPE_BOOL:
        sm_builder_bool(b, below(2) == 0);
        return;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        sm_builder_f64(b, floats[below(SM_COUNT(floats))]);
        return;
    case SM_TYPE_DECIMAL:
        sm_builder_i128(b, (sm_i128)(below(3) - 1) * INT64_MAX * 5 + below(3));
        return;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        append_string(b);
        return;
    case SM_TYPE_LIST:
    case SM_TYPE_MAP:
        for (int64_t n = below(4); n > 0; n--) {
            for (int32_t k = 0; k < t->n_fields; k++) {
                append_row(sm_builder_child(b, k), t->fields[k].type, true);
            }
        }
        sm_builder_list(b);
        return;
    case SM_TYPE_STRUCT:
        for (int32_t k = 0; k < t->n_fields; k++) {
            append_row(sm_builder_child(b, k), t->fields[k].type, true);
        }
        sm_builder_struct(b);
        return;
    default:
        if (sm_type_is_integer(t->id) && !sm_type_is_signed(t->id)) {
            sm_builder_u64(b, (uint64_t)below(5) + (t->id == SM_TYPE_U64 ? INT64_MAX : 0));
        } else {
            sm_builder_i64(b, below(5) - 2);
        }
    }
}

static void flat_column(const sm_type *t, int64_t n, bool may_be_null, sm_batch *into,
                        sm_column *out)
{
    sm_error e = {0};
    sm_builder *b = sm_builder_new(t, budget);
    for (int64_t i = 0; i < n; i++) {
        append_row(b, t, may_be_null);
    }
    assert_ok(sm_builder_finish(b, into, out, &e), &e);
    sm_builder_free(b);
}

static void dict_column(const sm_type *t, int64_t n, sm_batch *into, sm_column *out)
{
    sm_error e = {0};
    void *mem = NULL;
    const int64_t n_entries = below(2) == 0 ? below(5) + 1 : below(200) + 1;
    assert_ok(sm_batch_alloc(into, sizeof(sm_column), &mem, &e), &e);
    sm_column *dict = mem;
    flat_column(t, n_entries, false, into, dict);
    flat_column(&sm_type_i32, n, true, into, out);
    for (int64_t i = 0; i < n; i++) {
        if (!sm_column_is_null(out, i)) {
            ((int32_t *)(uintptr_t)out->values)[i] = (int32_t)below(n_entries);
        }
    }
    out->type = t;
    out->layout = SM_DICT;
    out->children = dict;
    out->n_children = 1;
}

static void random_column(const sm_type *t, int64_t n, sm_batch *into, sm_column *out)
{
    const int64_t kind = below(6);
    if (kind == 0 && t->id != SM_TYPE_NULL) {
        dict_column(t, n, into, out);
        return;
    }
    if (kind == 1) {
        flat_column(t, 1, true, into, out);
        out->layout = SM_CONST;
        out->n_rows = n;
        return;
    }
    if (kind == 2 && (t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP)) { /* offsets from over 0 */
        flat_column(t, n + 1, false, into, out);
        out->values = (const int32_t *)out->values + 1;
        out->n_rows = n;
        return;
    }
    flat_column(t, n, true, into, out);
    if (t->id == SM_TYPE_STRUCT && below(2) == 0) { /* children in layouts of their own */
        out->validity = NULL;
        for (int32_t k = 0; k < t->n_fields; k++) {
            random_column(t->fields[k].type, n, into, (sm_column *)(uintptr_t)&out->children[k]);
        }
    }
}

static sm_batch *random_batch(const sm_type *schema, int64_t n)
{
    sm_error e = {0};
    sm_batch *b = NULL;
    const char *why = NULL;
    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    b->n_rows = n;
    b->ordinal = next_random();
    b->seq = 7;
    for (int32_t i = 0; i < b->n_columns; i++) {
        random_column(schema->fields[i].type, n, b, &b->columns[i]);
    }
    if (!sm_batch_validate(b, true, &why)) {
        fail_msg("made: %s", why);
    }
    return b;
}

static const sm_type *random_schema(void)
{
    sm_field fields[3];
    const int32_t n = (int32_t)below(3) + 1;
    for (int32_t i = 0; i < n; i++) {
        fields[i] = (sm_field){.name = sm_arena_strf(arena, "c%d", i), .type = random_type(3)};
    }
    return sm_type_struct(arena, fields, n);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void assert_same_row(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    sm_buf x = {0}, y = {0};
    sm_column_print(a, i, &x);
    sm_column_print(b, j, &y);
    /* The signs of zeros and NaNs do not count for eq, but are kept by copies. */
    if (!sm_column_eq(a, i, b, j) || !sm_str_eq(sm_buf_str(&x), sm_buf_str(&y))) {
        fail_msg("row %d is %.*s, want %.*s", (int)i, SM_STR_ARG(sm_buf_str(&x)),
                 SM_STR_ARG(sm_buf_str(&y)));
    }
    sm_buf_release(&x);
    sm_buf_release(&y);
}

static void assert_same_columns(const sm_column *a, const sm_column *b)
{
    assert_int_equal(a->n_rows, b->n_rows);
    const size_t bytes = (size_t)a->n_rows * sizeof(uint64_t);
    uint64_t *x = sm_alloc_zero(bytes), *y = sm_alloc_zero(bytes);
    for (int pass = 0; pass < 2; pass++) {
        sm_column_hash(a, x, pass == 1);
        sm_column_hash(b, y, pass == 1);
        assert_memory_equal(x, y, bytes);
    }
    for (int64_t i = 0; i < a->n_rows; i++) {
        assert_same_row(a, i, b, i);
    }
    assert_int_equal(sm_column_null_count(a), sm_column_null_count(b));
    sm_free(x);
    sm_free(y);
}

static void assert_batch_is(sm_batch *got, sm_batch *want)
{
    const char *why = NULL;
    if (!sm_batch_validate(got, true, &why)) {
        fail_msg("got: %s", why);
    }
    assert_int_equal(got->n_rows, want->n_rows);
    assert_int_equal(got->n_columns, want->n_columns);
    for (int32_t i = 0; i < got->n_columns; i++) {
        assert_same_columns(&got->columns[i], &want->columns[i]);
    }
    sm_batch_release(got);
    sm_batch_release(want);
}

/* The reference: the rows (−1: NULL) of the sources, one after another, cell by cell. */
typedef struct row_of {
    const sm_batch *batch;
    int64_t row;
} row_of;

static sm_batch *row_by_row(const sm_type *schema, const row_of *rows, int64_t n)
{
    sm_error e = {0};
    sm_batch *made = NULL;
    assert_ok(sm_batch_new(budget, schema, &made, &e), &e);
    made->n_rows = n;
    for (int32_t c = 0; c < schema->n_fields; c++) {
        sm_builder *b = sm_builder_new(schema->fields[c].type, budget);
        for (int64_t i = 0; i < n; i++) {
            if (rows[i].row < 0) {
                sm_builder_null(b);
            } else {
                sm_builder_cell(b, &rows[i].batch->columns[c], rows[i].row);
            }
        }
        assert_ok(sm_builder_finish(b, made, &made->columns[c], &e), &e);
        sm_builder_free(b);
    }
    return made;
}

/* ---- properties ------------------------------------------------------------------------------ */

static void check_slice_and_project(int64_t n)
{
    sm_error e = {0};
    sm_batch *b = random_batch(random_schema(), n), *got = NULL;
    const int64_t first = n > 0 ? below(n + 1) : 0, count = n > first ? below(n - first + 1) : 0;
    row_of *rows = sm_alloc((size_t)n * sizeof(row_of));
    for (int64_t i = 0; i < count; i++) {
        rows[i] = (row_of){b, first + i};
    }
    sm_batch *want = row_by_row(b->schema, rows, count);
    assert_ok(sm_batch_slice(b, first, count, budget, &got, &e), &e);
    assert_int_equal(got->ordinal, b->ordinal);
    assert_int_equal(got->seq, 7);

    const int32_t columns[2] = {b->n_columns - 1, 0};
    const sm_field fields[2] = {b->schema->fields[columns[0]], b->schema->fields[0]};
    const sm_type *schema = sm_type_struct(arena, fields, 2);
    sm_batch *projected = NULL, *want_projected = NULL;
    assert_ok(sm_batch_project(got, schema, columns, &projected, &e), &e);
    assert_ok(sm_batch_project(want, schema, columns, &want_projected, &e), &e);
    sm_batch_release(b);
    assert_batch_is(got, want);
    assert_batch_is(projected, want_projected);
    sm_free(rows);
}

static void check_gather(int64_t n)
{
    sm_error e = {0};
    sm_batch *b = random_batch(random_schema(), n), *got = NULL;
    const int64_t count = n > 0 ? below(2 * n + 1) : 0;
    int32_t *rows = sm_alloc((size_t)count * sizeof(int32_t));
    row_of *naive = sm_alloc((size_t)count * sizeof(row_of));
    for (int64_t i = 0; i < count; i++) {
        rows[i] = (int32_t)below(n);
        naive[i] = (row_of){b, rows[i]};
    }
    sm_batch *want = row_by_row(b->schema, naive, count);
    assert_ok(sm_batch_gather(b, rows, count, budget, &got, &e), &e);
    assert_int_equal(got->ordinal, b->ordinal);

    sm_batch *with_nulls = NULL;
    assert_ok(sm_batch_new(budget, b->schema, &with_nulls, &e), &e);
    sm_batch_keep_all(with_nulls, b);
    with_nulls->n_rows = count;
    for (int64_t i = 0; i < count; i++) {
        rows[i] = below(3) == 0 ? -1 : rows[i];
        naive[i].row = rows[i];
    }
    sm_batch *want_nulls = row_by_row(b->schema, naive, count);
    for (int32_t c = 0; c < b->n_columns; c++) {
        assert_ok(
            sm_column_gather(&b->columns[c], rows, count, with_nulls, &with_nulls->columns[c], &e),
            &e);
    }
    sm_batch_release(b);
    assert_batch_is(got, want);
    assert_batch_is(with_nulls, want_nulls);
    sm_free(rows);
    sm_free(naive);
}

static void check_concat(int64_t n, bool compact)
{
    sm_error e = {0};
    const sm_type *schema = random_schema();
    const int n_batches = (int)below(4) + 1;
    sm_batch *batches[5], *got = NULL;
    int n_given = 0;
    row_of *rows = sm_alloc((size_t)(5 * n) * sizeof(row_of));
    int64_t count = 0;
    for (int i = 0; i < n_batches; i++) {
        batches[n_given++] = random_batch(schema, n > 0 ? below(n + 1) : 0);
    }
    batches[n_given++] = sm_batch_retain(batches[0]); /* the same heap buffers twice */
    for (int i = 0; i < n_given; i++) {
        for (int64_t k = 0; k < batches[i]->n_rows; k++) {
            rows[count++] = (row_of){batches[i], k};
        }
    }
    sm_batch *want = row_by_row(schema, rows, count);
    assert_ok(sm_batch_concat(batches, n_given, compact, budget, &got, &e), &e);
    const size_t held = sm_budget_used(budget);
    for (int i = 0; i < n_given; i++) {
        sm_batch_release(batches[i]);
    }
    assert_true(!compact || sm_budget_used(budget) < held); /* the inputs are let go */
    for (int32_t c = 0; c < got->n_columns; c++) {
        assert_int_equal(got->columns[c].layout, SM_FLAT);
    }
    assert_batch_is(got, want);
    sm_free(rows);
}

static void check_flatten(int64_t n)
{
    sm_error e = {0};
    sm_batch *b = random_batch(random_schema(), n), *got = NULL;
    assert_ok(sm_batch_new(budget, b->schema, &got, &e), &e);
    sm_batch_keep_all(got, b);
    got->n_rows = n;
    for (int32_t c = 0; c < b->n_columns; c++) {
        assert_ok(sm_column_flatten(&b->columns[c], got, &got->columns[c], &e), &e);
        assert_int_equal(got->columns[c].layout, SM_FLAT);
    }
    assert_batch_is(got, b);
}

static void check_patch(int64_t n)
{
    sm_error e = {0};
    sm_batch *b = random_batch(random_schema(), n), *got = NULL;
    int32_t *rows = sm_alloc((size_t)n * sizeof(int32_t));
    row_of *naive = sm_alloc((size_t)n * sizeof(row_of));
    const int64_t one_in = below(20) + 1;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        naive[i] = (row_of){b, i};
        if (below(one_in) == 0) {
            rows[count++] = (int32_t)i;
        }
    }
    sm_batch *with = random_batch(b->schema, count);
    for (int64_t k = 0; k < count; k++) {
        naive[rows[k]] = (row_of){with, k};
    }
    sm_batch *want = row_by_row(b->schema, naive, n);
    assert_ok(sm_batch_new(budget, b->schema, &got, &e), &e);
    sm_batch_keep_all(got, b);
    sm_batch_keep_all(got, with);
    got->n_rows = n;
    for (int32_t c = 0; c < b->n_columns; c++) {
        got->columns[c] = b->columns[c]; /* in its place */
        assert_ok(
            sm_column_patch(&got->columns[c], rows, &with->columns[c], got, &got->columns[c], &e),
            &e);
    }
    sm_batch_release(b);
    sm_batch_release(with);
    assert_batch_is(got, want);
    sm_free(rows);
    sm_free(naive);
}

static void test_derived(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    const uint64_t first_seed = given ? strtoull(given, NULL, 10) : 20220401;
    print_message("SMELT_SEED=%llu\n", (unsigned long long)first_seed);
    seed = first_seed;
    for (int64_t n = 0; n <= 130; n++) {
        for (int repeat = 0; repeat < 3; repeat++) {
            check_slice_and_project(n);
            check_gather(n);
            check_concat(n, false);
            check_concat(n, true);
            check_flatten(n);
            check_patch(n);
        }
        sm_arena_reset(arena);
    }
}

/* ---- single cases ---------------------------------------------------------------------------- */

static void test_constants(void **state)
{
    sm_error e = {0};
    const char *why = NULL;
    const sm_type *nested = NULL;
    sm_batch *b = NULL;
    const sm_type *schema = sm_type_struct(arena, NULL, 0);
    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    assert_ok(sm_type_parse(SM_STR("struct(a int[], m map(varchar, struct(x struct(y date)))) []"),
                            arena, &nested, &e),
              &e);
    /* [{'a': [7, NULL], 'm': {key=NULL}}, NULL], and one without an element */
    const sm_type *const row = nested->fields[0].type, *const map = row->fields[1].type;
    const sm_value ints[] = {{.type = &sm_type_i32, .as.i = 7}, sm_value_null(&sm_type_i32)};
    const sm_value entry[] = {sm_value_str(SM_STR("key")), sm_value_null(map->fields[1].type)};
    const sm_value fields[] = {{.type = row->fields[0].type, .as.nested = {ints, 2}},
                               {.type = map, .as.nested = {entry, 2}}};
    const sm_value rows[] = {{.type = row, .as.nested = {fields, 2}}, sm_value_null(row)};
    const sm_value values[] = {
        {.type = nested, .as.nested = {rows, 2}},
        {.type = nested},
        {.type = &sm_type_bool, .as.b = true},
        {.type = &sm_type_i8, .as.i = -128},
        {.type = &sm_type_i16, .as.i = -300},
        {.type = &sm_type_date, .as.i = 19083},
        {.type = &sm_type_i64, .as.i = INT64_MIN},
        {.type = &sm_type_u32, .as.u = UINT32_MAX},
        {.type = &sm_type_f32, .as.f = 0.5},
        {.type = &sm_type_f64, .as.f = -1e300},
        {.type = sm_type_decimal(arena, 38, 2), .as.d = -((sm_i128)INT64_MAX * 1000)},
        sm_value_str(SM_STR("short")),
        sm_value_str(SM_STR("a string of more than twelve bytes")),
        sm_value_null(&sm_type_null),
        sm_value_null(&sm_type_string),
        sm_value_null(nested),
        sm_value_null(nested->fields[0].type),
    };
    for (int i = 0; i < SM_COUNT(values); i++) {
        sm_column c = {0}, flat = {0};
        assert_ok(sm_column_constant(values[i], 5, b, &c, &e), &e);
        assert_true(sm_column_validate(&c, true, &why));
        assert_int_equal(sm_column_null_count(&c), values[i].is_null ? 5 : 0);
        assert_ok(sm_column_flatten(&c, b, &flat, &e), &e);
        assert_true(sm_column_validate(&flat, true, &why));
        assert_int_equal(flat.n_rows, 5);
        assert_int_equal(flat.layout, SM_FLAT);
        for (int64_t k = 0; k < 5; k++) {
            assert_same_row(&flat, k, &c, k);
            assert_true(sm_value_eq(sm_column_value_copy(&c, k, arena), values[i]));
            assert_true(sm_value_eq(sm_column_value_copy(&flat, k, arena), values[i]));
        }
    }
    sm_batch_release(b);
}

/* Gathering a string's rows copies no bytes; numbers alone let go of their input. */
/* Unsigned integers at their ends, flat, constant and nested: the same text in the wider type. */
static void test_widened(void **state)
{
    static const struct {
        const char *type, *wide;
        uint64_t most;
    } types[] = {
        {"UTINYINT", "SMALLINT", UINT8_MAX}, {"USMALLINT", "INTEGER", UINT16_MAX},
        {"UINTEGER", "BIGINT", UINT32_MAX},  {"UBIGINT", "DECIMAL(20,0)", UINT64_MAX},
        {"BIGINT", "BIGINT", INT64_MAX},
    };
    for (int i = 0; i < SM_COUNT(types); i++) {
        const sm_type *t = NULL, *wide = NULL;
        sm_error e = {0};
        assert_ok(sm_type_parse(sm_str_of(types[i].type), arena, &t, &e), &e);
        assert_ok(sm_type_parse(sm_str_of(types[i].wide), arena, &wide, &e), &e);
        const sm_field element = {.name = SM_STR("element"), .type = t, .is_nullable = true};
        const sm_type *list = sm_type_list(arena, element);
        const sm_field fields[] = {{.name = SM_STR("v"), .type = t},
                                   {.name = SM_STR("l"), .type = list}};
        const sm_type *schema = sm_type_struct(arena, fields, 2);
        assert_true(sm_type_eq(sm_type_widen(arena, t), wide));
        const sm_type *both = sm_type_widen(arena, schema);
        assert_true(sm_type_eq(both->fields[1].type->fields[0].type, wide));
        assert_true((both == schema) == (t->id == SM_TYPE_I64));

        sm_batch *b = NULL;
        sm_column c = {0}, got = {0};
        sm_builder *builder = sm_builder_new(schema, budget);
        for (int row = 0; row < 4; row++) {
            const uint64_t v = row == 0 ? types[i].most : (uint64_t)row;
            sm_builder *one = sm_builder_child(builder, 0), *many = sm_builder_child(builder, 1);
            for (int k = 0; k < row; k++) {
                sm_builder *to = sm_builder_child(many, 0);
                t->id == SM_TYPE_I64 ? sm_builder_i64(to, (int64_t)v) : sm_builder_u64(to, v);
            }
            sm_builder_list(many);
            if (row == 2) {
                sm_builder_null(one);
            } else {
                t->id == SM_TYPE_I64 ? sm_builder_i64(one, (int64_t)v) : sm_builder_u64(one, v);
            }
            sm_builder_struct(builder);
        }
        assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
        assert_ok(sm_builder_finish(builder, b, &c, &e), &e);
        sm_builder_free(builder);
        assert_ok(sm_column_widen(&c, both, b, &got, &e), &e);
        const char *why = "";
        assert_true(sm_column_validate(&got, true, &why));
        assert_true(sm_type_eq(got.type, both));
        for (int row = 0; row < 4; row++) {
            sm_buf was = {0}, is = {0};
            sm_column_print(&c, row, &was);
            sm_column_print(&got, row, &is);
            assert_true(sm_str_eq(sm_buf_str(&was), sm_buf_str(&is)));
            sm_buf_release(&was);
            sm_buf_release(&is);
        }
        sm_batch_release(b);
    }
}

static void test_memory(void **state)
{
    sm_error e = {0};
    const sm_field fields[2] = {{.name = SM_STR("n"), .type = &sm_type_i64},
                                {.name = SM_STR("s"), .type = &sm_type_string}};
    const sm_type *schema = sm_type_struct(arena, fields, 2);
    const sm_type *numbers = sm_type_struct(arena, fields, 1);
    const int32_t rows[3] = {5, 3, 3}, first[1] = {0};
    sm_batch *b = NULL, *only = NULL, *got = NULL, *strings = NULL;

    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    b->n_rows = 2000;
    flat_column(&sm_type_i64, 2000, true, b, &b->columns[0]);
    flat_column(&sm_type_string, 2000, true, b, &b->columns[1]);
    assert_ok(sm_batch_project(b, numbers, first, &only, &e), &e);
    assert_ok(sm_batch_gather(only, rows, 3, budget, &got, &e), &e);
    assert_ok(sm_batch_gather(b, rows, 3, budget, &strings, &e), &e);
    assert_true(sm_batch_bytes(got) < 8000);
    assert_true(sm_batch_bytes(strings) > 16 * 2000);
    sm_batch_release(b);
    sm_batch_release(only);
    sm_batch_release(strings);
    assert_true(sm_budget_used(budget) < 16000);
    sm_batch_release(got);
}

/* Keeping the same inputs again and again costs no memory. */
static void test_keep_again(void **state)
{
    sm_error e = {0};
    const sm_type *schema = sm_type_struct(arena, NULL, 0);
    sm_batch *inputs[40], *b = NULL;
    void *mem = NULL;
    size_t bytes = 0;
    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    for (int i = 0; i < 40; i++) {
        assert_ok(sm_batch_new(budget, schema, &inputs[i], &e), &e);
        assert_ok(sm_batch_alloc(inputs[i], 10000, &mem, &e), &e);
        assert_int_equal((uintptr_t)mem % 64, 0);
    }
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 40; i++) {
            sm_batch_keep_all(b, inputs[i]);
        }
        if (round == 1) {
            bytes = sm_batch_bytes(b);
        }
    }
    assert_int_equal(sm_batch_bytes(b), bytes);
    assert_true(bytes > 40 * 10000 && bytes < 40 * 14000);
    for (int i = 0; i < 40; i++) {
        sm_batch_release(inputs[i]);
    }
    sm_batch_release(b);
}

/* A refused allocation anywhere leaves nothing behind. */
static void test_refused(void **state)
{
    const sm_type *schema = NULL;
    sm_error e = {0};
    assert_ok(sm_type_parse(SM_STR("struct(a bigint, b varchar, c struct(x varchar[]))"), arena,
                            &schema, &e),
              &e);
    sm_batch *b = random_batch(schema, 1000);
    int32_t rows[1000];
    for (int i = 0; i < 1000; i++) {
        rows[i] = 999 - i;
    }
    int n_refused = 0;
    for (size_t limit = 1000;; limit += 3000) {
        sm_budget *small = sm_budget_new(budget, "small", limit);
        sm_batch *gathered = NULL, *joined = NULL, *sliced = NULL;
        sm_status st = sm_batch_gather(b, rows, 1000, small, &gathered, &e);
        if (st == SM_OK) {
            st = sm_batch_slice(gathered, 3, 900, small, &sliced, &e);
        }
        if (st == SM_OK) {
            st = sm_batch_concat((sm_batch *[]){sliced, b}, 2, limit % 2 == 0, small, &joined, &e);
        }
        sm_batch_release(gathered);
        sm_batch_release(joined);
        sm_batch_release(sliced);
        assert_int_equal(sm_budget_used(small), 0);
        sm_budget_free(small);
        if (st == SM_OK) {
            break;
        }
        assert_int_equal(st, SM_BUDGET);
        n_refused++;
    }
    assert_true(n_refused > 10);
    sm_batch_release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_constants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_widened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
