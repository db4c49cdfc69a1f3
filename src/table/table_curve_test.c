/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_curve_test.c: curves by their definitions: Morton bit by bit, Hilbert by its steps;
 * ranks against a count over the sorted values; the sample against a full look. */
#include "test.h"

#include "base/hash.h"
#include "base/memory.h"
#include "column/builder.h"
#include "table/table_curve_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- keys ------------------------------------------------------------------------------------ */

/* Every number of dimensions, every number of bits that fits. */
static void test_zorder(void **state)
{
    for (int32_t n = 1; n <= SMI_CURVE_COLUMNS; n++) {
        for (int bits = 1; bits <= 16 && n * bits <= 64; bits++) {
            for (uint32_t seed = 1; seed < 200; seed++) {
                uint32_t ranks[SMI_CURVE_COLUMNS];
                uint64_t want = 0;
                for (int32_t i = 0; i < n; i++) {
                    ranks[i] = (seed * 2654435761u + (uint32_t)i * 40503u * seed) >> 7 &
                               (((uint32_t)1 << bits) - 1);
                }
                for (int bit = bits - 1; bit >= 0; bit--) {
                    for (int32_t i = 0; i < n; i++) {
                        want = want << 1 | (ranks[i] >> bit & 1);
                    }
                }
                assert_true(smi_curve_key(SM_CURVE_ZORDER, ranks, n, bits) == want);
            }
        }
    }
}

/* Goes through all cells of a cube: each has a key of its own, and the cells of two keys that
 * follow each other are one step apart. */
static void test_hilbert(void **state)
{
    static const struct {
        int32_t n;
        int bits;
    } rows[] = {{1, 6}, {2, 1}, {2, 2}, {2, 5}, {3, 1}, {3, 4}, {4, 3}, {5, 2}, {8, 1}};
    for (int r = 0; r < SM_COUNT(rows); r++) {
        const int32_t n = rows[r].n;
        const int bits = rows[r].bits;
        const uint32_t n_cells = (uint32_t)1 << (n * bits);
        uint32_t *cell_of = calloc(n_cells, sizeof(*cell_of));
        bool *is_taken = calloc(n_cells, sizeof(*is_taken));
        uint32_t ranks[SMI_CURVE_COLUMNS];
        for (uint32_t cell = 0; cell < n_cells; cell++) {
            for (int32_t i = 0; i < n; i++) {
                ranks[i] = cell >> (i * bits) & (((uint32_t)1 << bits) - 1);
            }
            const uint64_t key = smi_curve_key(SM_CURVE_HILBERT, ranks, n, bits);
            assert_true(key < n_cells && !is_taken[key]);
            is_taken[key] = true;
            cell_of[key] = cell;
        }
        for (uint32_t key = 1; key < n_cells; key++) {
            int64_t steps = 0;
            for (int32_t i = 0; i < n; i++) {
                const uint32_t mask = ((uint32_t)1 << bits) - 1;
                const int64_t from = cell_of[key - 1] >> (i * bits) & mask;
                const int64_t to = cell_of[key] >> (i * bits) & mask;
                steps += from < to ? to - from : from - to;
            }
            if (steps != 1) {
                fail_msg("%d columns of %d bits: key %u is %d steps from the one before", n, bits,
                         key, (int)steps);
            }
        }
        free(cell_of);
        free(is_taken);
    }
}

/* ---- ranks ----------------------------------------------------------------------------------- */

static sm_value text(const char *s)
{
    return sm_value_str(sm_str_of(s));
}

static sm_value f64(double f)
{
    return (sm_value){.type = &sm_type_f64, .as.f = f};
}

/* Rows of some values, which lie row by row. */
static sm_batch *batch_of(const sm_type *schema, const sm_value *values, int64_t n_rows)
{
    const int32_t n = schema->n_fields;
    sm_batch *b = NULL;
    sm_error e = {0};

    assert_ok(sm_batch_new(NULL, schema, &b, &e), &e);
    for (int32_t k = 0; k < n; k++) {
        sm_builder *column = sm_builder_new(schema->fields[k].type, NULL);
        for (int64_t i = 0; i < n_rows; i++) {
            sm_builder_value(column, values[i * n + k]);
        }
        assert_ok(sm_builder_finish(column, b, &b->columns[k], &e), &e);
        sm_builder_free(column);
    }
    b->n_rows = n_rows;
    return b;
}

static void show(smi_sample *s, const sm_type *const *types, int32_t n, const sm_value *values,
                 int64_t n_rows)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n);

    for (int32_t k = 0; k < n; k++) {
        fields[k] = (sm_field){.name = SM_STR("c"), .type = types[k], .is_nullable = true};
    }
    sm_batch *b = batch_of(sm_type_struct(a, fields, n), values, n_rows);
    smi_sample_add(s, b);
    sm_batch_release(b);
    sm_arena_free(a);
}

static int64_t n_below(const sm_value *values, int64_t n, sm_value v)
{
    int64_t below = 0;

    for (int64_t i = 0; i < n; i++) {
        below += values[i].is_null ? !v.is_null : !v.is_null && sm_value_cmp(values[i], v) < 0;
    }
    return below;
}

/* While the sample has all rows, a rank is the exact share of the rows below it. */
static void check_ranks(const sm_type *type, const sm_value *values, int64_t n,
                        const sm_value *probes, int64_t n_probes)
{
    sm_arena *a = sm_arena_new(NULL);
    smi_sample *s = smi_sample_new(&type, 1, NULL);

    show(s, &type, 1, values, n);
    assert_int_equal(smi_sample_rows(s), n);
    const smi_curve *c = smi_curve_new(SM_CURVE_ZORDER, s, 64, a);
    smi_sample_free(s);
    const int64_t most = ((int64_t)1 << smi_curve_bits(c)) - 1;
    for (int64_t i = 0; i < n_probes; i++) {
        const int64_t below = probes[i].is_null ? 0 : n_below(values, n, probes[i]);
        assert_int_equal(smi_curve_rank(c, 0, probes[i]), n == 0 ? 0 : below * most / n);
    }
    sm_arena_free(a);
}

static void test_ranks(void **state)
{
    const sm_value null_text = sm_value_null(&sm_type_string);
    const sm_value texts[] = {text(""),
                              text("a"),
                              text("b"),
                              null_text,
                              text("https://example.org/x"),
                              text("https://example.org/y"),
                              text("https://"),
                              text("https://example.org/x"),
                              text("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
                              text("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")};
    const sm_value more_texts[] = {text("A"), text("https://example.org/xx"), text("zz"),
                                   text("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02")};
    const sm_value numbers[] = {sm_value_i64(INT64_MIN),
                                sm_value_i64(-1),
                                sm_value_i64(0),
                                sm_value_i64(7),
                                sm_value_i64(7),
                                sm_value_i64(INT64_MAX),
                                sm_value_null(&sm_type_i64)};
    const sm_value more_numbers[] = {sm_value_i64(-2), sm_value_i64(6), sm_value_i64(8)};
    const sm_value floats[] = {f64(-1.5), f64(0), f64(2.25), f64((double)NAN),
                               f64((double)INFINITY)};
    const sm_value more_floats[] = {f64(-0.0), f64(1e300), f64((double)-INFINITY)};

    check_ranks(&sm_type_string, texts, SM_COUNT(texts), texts, SM_COUNT(texts));
    check_ranks(&sm_type_string, texts, SM_COUNT(texts), more_texts, SM_COUNT(more_texts));
    check_ranks(&sm_type_i64, numbers, SM_COUNT(numbers), numbers, SM_COUNT(numbers));
    check_ranks(&sm_type_i64, numbers, SM_COUNT(numbers), more_numbers, SM_COUNT(more_numbers));
    check_ranks(&sm_type_f64, floats, SM_COUNT(floats), floats, SM_COUNT(floats));
    check_ranks(&sm_type_f64, floats, SM_COUNT(floats), more_floats, SM_COUNT(more_floats));
    check_ranks(&sm_type_i64, NULL, 0, more_numbers, SM_COUNT(more_numbers));
}

/* Decimals that do not fit 64 bits are told apart all the same. */
static void test_decimals(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *types[] = {sm_type_decimal(a, 38, 2), sm_type_decimal(a, 10, 2)};

    for (int t = 0; t < SM_COUNT(types); t++) {
        sm_value values[64];
        for (int64_t i = 0; i < SM_COUNT(values); i++) {
            const sm_i128 d = (i - 32) * (t == 0 ? (sm_i128)1 << 60 : 1000);
            values[i] = (sm_value){.type = types[t], .as.d = d};
        }
        check_ranks(types[t], values, SM_COUNT(values), values, SM_COUNT(values));
    }
    sm_arena_free(a);
}

/* Of many rows the sample has some, in whatever batches they come, also where it knows how many
 * will come: ranks are near to what they are over all rows, and a greater value never has a smaller
 * rank. */
static void test_sample(void **state)
{
    enum { ROWS = 300000 };
    const sm_type *type = &sm_type_i64;
    sm_value *values = malloc(ROWS * sizeof(*values));
    uint32_t ranks[3][100];

    for (int64_t i = 0; i < ROWS; i++) {
        values[i] = sm_value_i64((i * 7919) % ROWS);
    }
    for (int round = 0; round < 3; round++) {
        const int64_t step = round == 0 ? 4096 : 1111;
        sm_arena *a = sm_arena_new(NULL);
        smi_sample *s = smi_sample_new(&type, 1, NULL);
        smi_sample_expect(s, round == 2 ? ROWS : 0);
        for (int64_t at = 0; at < ROWS; at += step) {
            show(s, &type, 1, values + at, ROWS - at < step ? ROWS - at : step);
        }
        const smi_curve *c = smi_curve_new(SM_CURVE_HILBERT, s, 64, a);
        for (int64_t i = 0; i < 100; i++) {
            ranks[round][i] = smi_curve_rank(c, 0, sm_value_i64(i * ROWS / 100));
            const double share = (double)ranks[round][i] / ((1 << smi_curve_bits(c)) - 1);
            assert_true(share > (double)i / 100 - 0.02 && share < (double)i / 100 + 0.02);
            assert_true(i == 0 || ranks[round][i] >= ranks[round][i - 1]);
        }
        smi_sample_free(s);
        sm_arena_free(a);
    }
    assert_memory_equal(ranks[0], ranks[1], sizeof(ranks[0]));
    assert_memory_equal(ranks[0], ranks[2], sizeof(ranks[0]));
    free(values);
}

/* ---- keys of rows ---------------------------------------------------------------------------- */

/* The keys of rows of one column are their ranks, in whatever way the type is read: values that
 * repeat, in long runs too, and NULLs. */
static void check_keys(const sm_type *type, const sm_value *values, int64_t n)
{
    static const int32_t column = 0;
    const sm_field field = {.name = SM_STR("v"), .type = type, .is_nullable = true};
    sm_arena *a = sm_arena_new(NULL);
    smi_sample *s = smi_sample_new(&type, 1, NULL);
    const sm_type *schema = sm_type_struct(a, &field, 1);
    sm_batch *in = NULL, *into = NULL;
    sm_column keys = {0};
    sm_error e = {0};

    show(s, &type, 1, values, n);
    const smi_curve *c = smi_curve_new(SM_CURVE_ZORDER, s, 64, a);
    const sm_expr *x = smi_curve_expr(c, schema, &column, -1, a);
    assert_ok(sm_batch_new(NULL, schema, &in, &e), &e);
    assert_ok(sm_batch_new(NULL, schema, &into, &e), &e);
    sm_builder *b = sm_builder_new(type, NULL);
    for (int64_t i = 0; i < n; i++) {
        sm_builder_value(b, values[i]);
    }
    assert_ok(sm_builder_finish(b, in, &in->columns[0], &e), &e);
    sm_builder_free(b);
    in->n_rows = n;
    assert_ok(sm_expr_eval(x, in, NULL, into, &keys, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(((const uint64_t *)keys.values)[i], smi_curve_rank(c, 0, values[i]));
    }
    sm_batch_release(in);
    sm_batch_release(into);
    smi_sample_free(s);
    sm_arena_free(a);
}

static void test_columns(void **state)
{
    enum { ROWS = 1000 };
    static const sm_type *const types[] = {
        &sm_type_i8,   &sm_type_i16,       &sm_type_i32,           &sm_type_i64,
        &sm_type_date, &sm_type_timestamp, &sm_type_timestamp_ntz, &sm_type_time,
    };
    static sm_value values[ROWS];

    for (int t = 0; t < SM_COUNT(types); t++) {
        for (int nulls = 0; nulls < 2; nulls++) {
            for (int64_t i = 0; i < ROWS; i++) {
                const int64_t v = i < 400 ? 17 : i * 7919 % 200 - 100;
                values[i] = nulls && i % 5 == 0
                                ? sm_value_null(types[t])
                                : (sm_value){.type = types[t],
                                             .as.i = types[t] == &sm_type_time ? v + 100 : v};
            }
            check_keys(types[t], values, ROWS);
        }
    }
}

/* The expression gives for each row, in any layout, the key of its ranks. */
static void test_expr(void **state)
{
    const sm_type *types[] = {&sm_type_i64, &sm_type_string};
    const sm_value rows[] = {sm_value_i64(5),
                             text("kiwi"),
                             sm_value_i64(1),
                             sm_value_null(&sm_type_string),
                             sm_value_null(&sm_type_i64),
                             text("fig"),
                             sm_value_i64(9),
                             text("apple")};
    const sm_field fields[] = {{.name = SM_STR("skipped"), .type = &sm_type_bool},
                               {.name = SM_STR("n"), .type = types[0], .is_nullable = true},
                               {.name = SM_STR("s"), .type = types[1], .is_nullable = true}};
    const int32_t columns[] = {1, 2};
    sm_arena *a = sm_arena_new(NULL);
    smi_sample *s = smi_sample_new(types, 2, NULL);
    const sm_type *schema = sm_type_struct(a, fields, SM_COUNT(fields));
    sm_batch *in = NULL, *into = NULL;
    sm_column keys = {0};
    sm_error e = {0};

    show(s, types, 2, rows, 4);
    const smi_curve *c = smi_curve_new(SM_CURVE_HILBERT, s, 64, a);
    const sm_expr *x = smi_curve_expr(c, schema, columns, -1, a);
    assert_ok(sm_batch_new(NULL, schema, &in, &e), &e);
    assert_ok(sm_batch_new(NULL, schema, &into, &e), &e);
    in->n_rows = 4;
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};
    assert_ok(sm_column_constant(yes, 4, in, &in->columns[0], &e), &e);
    for (int constant = 0; constant < 2; constant++) {
        for (int32_t k = 0; k < 2; k++) {
            sm_builder *column = sm_builder_new(types[k], NULL);
            for (int64_t i = 0; i < 4; i++) {
                sm_builder_value(column, rows[i * 2 + k]);
            }
            assert_ok(sm_builder_finish(column, in, &in->columns[k + 1], &e), &e);
            sm_builder_free(column);
        }
        if (constant) {
            assert_ok(sm_column_constant(rows[0], 4, in, &in->columns[1], &e), &e);
        }
        assert_ok(sm_expr_eval(x, in, NULL, into, &keys, &e), &e);
        for (int64_t i = 0; i < 4; i++) {
            const uint32_t ranks[] = {smi_curve_rank(c, 0, rows[constant ? 0 : i * 2]),
                                      smi_curve_rank(c, 1, rows[i * 2 + 1])};
            const uint64_t want = smi_curve_key(SM_CURVE_HILBERT, ranks, 2, smi_curve_bits(c));
            assert_true(sm_column_value(&keys, i).as.u == want);
        }
    }
    sm_batch_release(into);
    sm_batch_release(in);
    smi_sample_free(s);
    sm_arena_free(a);
}

/* Numbers and texts of which many share their first bytes, as the rows' kernels rank them and one
 * by one, for trees of each height. */
static void test_versions(void **state)
{
    enum { ROWS = 3000 };
    static const char *const levels[] = {"ref", "avx2", "avx512"};
    static const int64_t samples[] = {0, 1, 7, 8, 9, 63, 64, 65, 511, 600, ROWS};
    static sm_value rows[ROWS * 2];
    const sm_type *types[] = {&sm_type_i64, &sm_type_string};
    const int32_t columns[] = {0, 1};
    sm_arena *a = sm_arena_new(NULL);
    const sm_field fields[] = {{.name = SM_STR("n"), .type = types[0], .is_nullable = true},
                               {.name = SM_STR("s"), .type = types[1], .is_nullable = true}};
    const sm_type *schema = sm_type_struct(a, fields, SM_COUNT(fields));
    char *before = getenv("SMELT_ISA");

    before = before ? strdup(before) : NULL;
    for (int64_t i = 0; i < ROWS; i++) {
        const uint64_t r = sm_mix64((uint64_t)i);
        const char *head = r % 3 == 0 ? "" : r % 3 == 1 ? "SHOP-" : "https://example.org/";
        rows[i * 2] = sm_value_i64(r % 5 == 0 ? INT64_MAX : (int64_t)(r >> 44) - 500000);
        rows[i * 2 + 1] =
            sm_value_str(sm_arena_strf(a, "%s%llu", head, (unsigned long long)(r >> 50)));
        if (i % 97 == 0) {
            rows[i * 2] = sm_value_null(types[0]);
            rows[i * 2 + 1] = sm_value_null(types[1]);
        }
    }
    for (int k = 0; k < SM_COUNT(samples) * SM_COUNT(levels); k++) {
        smi_sample *s = smi_sample_new(types, 2, NULL);
        sm_batch *in = batch_of(schema, rows, ROWS), *into = NULL;
        sm_column keys = {0};
        sm_error e = {0};
        setenv("SMELT_ISA", levels[k % SM_COUNT(levels)], 1);
        show(s, types, 2, rows, samples[k / SM_COUNT(levels)]);
        const smi_curve *c = smi_curve_new(SM_CURVE_ZORDER, s, 64, a);
        assert_ok(sm_batch_new(NULL, schema, &into, &e), &e);
        assert_ok(
            sm_expr_eval(smi_curve_expr(c, schema, columns, -1, a), in, NULL, into, &keys, &e), &e);
        for (int64_t i = 0; i < ROWS; i++) {
            const uint32_t ranks[] = {smi_curve_rank(c, 0, rows[i * 2]),
                                      smi_curve_rank(c, 1, rows[i * 2 + 1])};
            const uint64_t want = smi_curve_key(SM_CURVE_ZORDER, ranks, 2, smi_curve_bits(c));
            assert_true(sm_column_value(&keys, i).as.u == want);
        }
        sm_batch_release(into);
        sm_batch_release(in);
        smi_sample_free(s);
    }
    if (before) {
        setenv("SMELT_ISA", before, 1);
    } else {
        unsetenv("SMELT_ISA");
    }
    free(before);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zorder), cmocka_unit_test(test_hilbert),
        cmocka_unit_test(test_ranks),  cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_sample), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_expr),   cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
