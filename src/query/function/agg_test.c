/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_test.c: each aggregate over rows in 1 to 5 ranges, in two layouts: the same
 * answers; overflow with the group that failed; extremes of random values of every type; the heap.
 * */
#include "test.h"

#include <math.h>

#include "query/function/agg_testkit.h"

#define MAX_GROUPS  8
#define STATE_BYTES 64 /* no state is larger */

static sm_function function_of(const char *name, const sm_aggregate *agg)
{
    return (sm_function){.name = name, .kind = SM_FN_AGGREGATE, .aggregate = agg};
}

/* One range's states: of every group, and a heap. */
typedef struct states {
    uint64_t bytes[MAX_GROUPS][STATE_BYTES / 8];
    sm_agg_heap *heap;
} states;

static void slice(const sm_column *c, int64_t first, int64_t n, sm_column *out)
{
    sm_error e = {0};
    int32_t *const rows = SM_NEW_ARRAY(arena, int32_t, n + 1);
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (int32_t)(first + i);
    }
    assert_ok(sm_column_gather(c, rows, n, batch, out, &e), &e);
}

static sm_status update(const sm_expr *call, const sm_column *args, const int32_t *groups,
                        int64_t first, int64_t n, states *s, sm_error *e)
{
    sm_column part[2];
    void **const of = SM_NEW_ARRAY(arena, void *, n + 1);
    for (int32_t i = 0; i < call->n_args; i++) {
        slice(&args[i], first, n, &part[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        of[i] = s->bytes[groups[first + i]];
    }
    return call->fn->aggregate->update(call, part, call->n_args, n, of, s->heap, e);
}

/* Rows in n_ranges ranges, each in states of its own that are gone when the result is asked. */
static sm_status aggregate(const sm_expr *call, const sm_column *args, const int32_t *groups,
                           int64_t n_rows, int64_t n_ranges, int64_t n_groups, sm_column *out,
                           int64_t *failed, sm_error *e)
{
    states all = {.heap = sm_agg_heap_new(budget)};
    sm_status st = SM_OK;
    const void *result[MAX_GROUPS];
    for (int64_t r = 0; r < n_ranges && st == SM_OK; r++) {
        states own = {.heap = sm_agg_heap_new(budget)};
        void *into[MAX_GROUPS];
        const void *from[MAX_GROUPS];
        const int64_t first = n_rows * r / n_ranges, end = n_rows * (r + 1) / n_ranges;
        st = update(call, args, groups, first, end - first, &own, e);
        for (int64_t g = 0; g < n_groups; g++) {
            into[g] = all.bytes[g];
            from[g] = own.bytes[g];
        }
        if (st == SM_OK) {
            st = call->fn->aggregate->merge(call, into, from, n_groups, all.heap, e);
        }
        sm_agg_heap_free(own.heap);
        memset(&own, 0xEE, sizeof(own));
    }
    for (int64_t g = 0; g < n_groups; g++) {
        result[g] = all.bytes[g];
    }
    sm_builder *b = sm_builder_new(call->type, budget);
    if (st == SM_OK) {
        st = call->fn->aggregate->finish(call, result, n_groups, b, failed, e);
    }
    if (st == SM_OK) {
        *out = kit_finish(b);
    }
    sm_builder_free(b);
    sm_agg_heap_free(all.heap);
    return st;
}

/* ---- a table of answers -----------------------------------------------------------------------
 * */

#define LONG_A "a text that is longer than twelve bytes"
#define LONG_B "b text that is longer than twelve bytes"

/* Three groups, 0 to 2; rows go to them as `groups` says. */
static const struct {
    const char *name;
    const sm_aggregate *agg;
    const char *x, *y; /* types */
    const char *result;
    const char *groups;
    const char *xs, *ys;
    const char *want;
} cases[] = {
    {"count", &agg_count, "INTEGER", "", "BIGINT", "00111", "1;NULL;2;3;NULL", "", "1;2;0"},
    {"count", &agg_count, "VARCHAR", "", "BIGINT", "000", "a;b;c", "", "3;0;0"},
    {"count", &agg_count, "NULL", "", "BIGINT", "001", "NULL;NULL;NULL", "", "0;0;0"},
    {"count", &agg_count, "", "", "BIGINT", "0201", "1;1;1;1", "", "2;1;1"},
    {"count", &agg_count, "", "", "BIGINT", "1111", "1;1;1;1", "", "0;4;0"},
    {"count", &agg_count, "", "", "BIGINT", "", "", "", "0;0;0"},

    {"sum", &agg_sum, "INTEGER", "", "BIGINT", "0010", "1;2;NULL;2", "", "5;NULL;NULL"},
    {"sum", &agg_sum, "TINYINT", "", "BIGINT", "00101", "-128;-128;127;1;0", "", "-255;127;NULL"},
    {"sum", &agg_sum, "UTINYINT", "", "BIGINT", "0000", "255;255;NULL;1", "", "511;NULL;NULL"},
    {"sum", &agg_sum, "USMALLINT", "", "BIGINT", "001", "65535;1;0", "", "65536;0;NULL"},
    {"sum", &agg_sum, "SMALLINT", "", "BIGINT", "010", "-32768;5;-1", "", "-32769;5;NULL"},
    {"sum", &agg_sum, "UINTEGER", "", "BIGINT", "000", "4294967295;NULL;1", "",
     "4294967296;NULL;NULL"},
    {"sum", &agg_sum, "BIGINT", "", "BIGINT", "001",
     "9223372036854775807;-9223372036854775808;-9223372036854775808", "",
     "-1;-9223372036854775808;NULL"},
    {"sum back into range", &agg_sum, "BIGINT", "", "BIGINT", "00000",
     "9223372036854775807;9223372036854775807;-9223372036854775807;-9223372036854775807;7", "",
     "7;NULL;NULL"},
    {"sum", &agg_sum, "UBIGINT", "", "BIGINT", "01", "9223372036854775807;0", "",
     "9223372036854775807;0;NULL"},
    {"sum", &agg_sum, "DOUBLE", "", "DOUBLE", "00011", "0.5;NULL;0.25;-0.0;0.0", "",
     "0.75;0.0;NULL"},
    {"sum keeps small ones", &agg_sum, "DOUBLE", "", "DOUBLE", "00000", "1e100;1;1;-1e100;NULL", "",
     "2.0;NULL;NULL"},
    {"sum of infinities", &agg_sum, "DOUBLE", "", "DOUBLE", "0001122", "inf;1;2;inf;-inf;nan;1", "",
     "inf;nan;nan"},
    {"sum", &agg_sum, "FLOAT", "", "DOUBLE", "0001", "0.5;0.25;NULL;NULL", "", "0.75;NULL;NULL"},
    {"sum", &agg_sum, "DECIMAL(4,2)", "", "DECIMAL(38,2)", "00112", "1.50;-2.75;0.10;-0.10;NULL",
     "", "-1.25;0.00;NULL"},
    {"sum beyond 127 bits and back", &agg_sum, "DECIMAL(38,0)", "", "DECIMAL(38,0)", "000",
     "99999999999999999999999999999999999999;1;-1", "",
     "99999999999999999999999999999999999999;NULL;NULL"},

    {"avg", &agg_avg, "INTEGER", "", "DOUBLE", "0001", "1;2;2;NULL", "",
     "1.6666666666666667;NULL;NULL"},
    {"avg beyond 64 bits", &agg_avg, "BIGINT", "", "DOUBLE", "00",
     "9223372036854775807;9223372036854775807", "", "9.223372036854776e+18;NULL;NULL"},
    {"avg", &agg_avg, "UTINYINT", "", "DOUBLE", "0011", "255;0;1;NULL", "", "127.5;1.0;NULL"},
    {"avg", &agg_avg, "DOUBLE", "", "DOUBLE", "00012", "1;2;4.5;inf;NULL", "", "2.5;inf;NULL"},
    {"avg", &agg_avg, "DECIMAL(4,2)", "", "DOUBLE", "0001", "1.50;-2.75;0.50;0.00", "",
     "-0.25;0.0;NULL"},

    {"bool_and", &agg_bool_and, "BOOLEAN", "", "BOOLEAN", "00112", "true;NULL;true;false;NULL", "",
     "true;false;NULL"},
    {"bool_or", &agg_bool_or, "BOOLEAN", "", "BOOLEAN", "00112", "false;NULL;true;false;NULL", "",
     "false;true;NULL"},
    {"bool_or", &agg_bool_or, "NULL", "", "BOOLEAN", "0", "NULL", "", "NULL;NULL;NULL"},

    {"min", &agg_min, "INTEGER", "", "INTEGER", "00110", "3;-2;NULL;NULL;7", "", "-2;NULL;NULL"},
    {"max", &agg_max, "DATE", "", "DATE", "00011",
     "2022-04-01;1969-12-31;2022-04-30;NULL;0001-01-01", "", "2022-04-30;0001-01-01;NULL"},
    {"max", &agg_max, "UBIGINT", "", "UBIGINT", "001", "18446744073709551615;5;0", "",
     "18446744073709551615;0;NULL"},
    {"min with NaN", &agg_min, "DOUBLE", "", "DOUBLE", "0001", "nan;3.5;nan;nan", "",
     "3.5;nan;NULL"},
    {"max with NaN", &agg_max, "FLOAT", "", "FLOAT", "00011", "1.5;nan;inf;-1;-inf", "",
     "nan;-1.0;NULL"},
    {"max", &agg_max, "BOOLEAN", "", "BOOLEAN", "0010", "false;true;false;NULL", "",
     "true;false;NULL"},
    {"min", &agg_min, "DECIMAL(9,3)", "", "DECIMAL(9,3)", "00011", "0.500;0.000;NULL;1.000;-1.000",
     "", "0.000;-1.000;NULL"},
    {"max", &agg_max, "VARCHAR", "", "VARCHAR", "00011", "b;" LONG_A ";" LONG_B ";;NULL", "",
     LONG_B ";;NULL"},
    {"min", &agg_min, "VARCHAR", "", "VARCHAR", "00011", "b;" LONG_B ";" LONG_A ";a;", "",
     LONG_A ";;NULL"},
    {"max", &agg_max, "TIMESTAMP", "", "TIMESTAMP", "00", "2022-04-01 00:00:00;2022-04-01 17:05:00",
     "", "2022-04-01 17:05:00;NULL;NULL"},
    {"min", &agg_min, "NULL", "", "NULL", "01", "NULL;NULL", "", "NULL;NULL;NULL"},

    {"arg_max", &agg_arg_max, "VARCHAR", "INTEGER", "VARCHAR", "0000", "b;a;NULL;c", "1;2;2;NULL",
     "a;NULL;NULL"},
    {"arg_max of equal ones", &agg_arg_max, "INTEGER", "DATE", "INTEGER", "001100", "1;2;3;4;5;6",
     "2022-04-02;2022-04-03;2022-04-01;2022-04-01;2022-04-03;2022-04-02", "2;3;NULL"},
    {"arg_max passes NULL", &agg_arg_max, "VARCHAR", "INTEGER", "VARCHAR", "001", "a;NULL;NULL",
     "1;9;9", "a;NULL;NULL"},
    {"arg_min", &agg_arg_min, "VARCHAR", "INTEGER", "VARCHAR", "0000", "b;a;NULL;c", "1;2;2;NULL",
     "b;NULL;NULL"},
    {"arg_min by text", &agg_arg_min, "DECIMAL(3,1)", "VARCHAR", "DECIMAL(3,1)", "00011",
     "1.5;2.5;0.0;3.5;4.5", LONG_B ";" LONG_A ";" LONG_A ";;a", "2.5;3.5;NULL"},

    {"any_value", &agg_first, "VARCHAR", "", "VARCHAR", "00112", "NULL;" LONG_A ";b;c;NULL", "",
     LONG_A ";b;NULL"},
    {"any_value", &agg_first, "BOOLEAN", "", "BOOLEAN", "001", "NULL;false;true", "",
     "false;true;NULL"},
    {"first", &agg_first_row, "VARCHAR", "", "VARCHAR", "00112", "NULL;a;b;c;", "", "NULL;b;"},
    {"first", &agg_first_row, "NULL", "", "NULL", "00", "NULL;NULL", "", "NULL;NULL;NULL"},
    {"first", &agg_first_row, "BIGINT", "", "BIGINT", "01010", "0;5;1;NULL;7", "", "0;5;NULL"},

    {"string_agg", &agg_string, "VARCHAR", "VARCHAR", "VARCHAR", "0000", "b;a;NULL;c", ",;,;,;,",
     "b,a,c;NULL;NULL"},
    {"string_agg", &agg_string, "VARCHAR", "VARCHAR", "VARCHAR", "00110011",
     LONG_A ";;;;" LONG_B ";c;;d", "-;-;;;++;-;NULL;<", LONG_A "-++" LONG_B "-c;<d;NULL"},
    {"string_agg without separator", &agg_string, "VARCHAR", "VARCHAR", "VARCHAR", "001", "a;b;c",
     "NULL;NULL;NULL", "NULL;NULL;NULL"},
};

static void test_answers(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_function fn = function_of(cases[i].name, cases[i].agg);
        const int32_t n_args = (cases[i].x[0] != '\0') + (cases[i].y[0] != '\0');
        const sm_type *types[2] = {kit_type(n_args > 0 ? cases[i].x : "INTEGER"),
                                   kit_type(n_args > 1 ? cases[i].y : "INTEGER")};
        const sm_expr *const call = kit_call(&fn, kit_type(cases[i].result), types, n_args);
        const sm_column xs = kit_column(types[0], cases[i].xs);
        const sm_column ys = kit_column(types[1], cases[i].ys);
        int32_t groups[16];
        const int64_t n_rows = (int64_t)strlen(cases[i].groups);
        for (int64_t r = 0; r < n_rows; r++) {
            groups[r] = cases[i].groups[r] - '0';
        }
        for (int64_t n_ranges = 1; n_ranges <= 5; n_ranges++) {
            for (int as_dict = 0; as_dict < 2; as_dict++) {
                sm_error e = {0};
                sm_column out = {0};
                int64_t failed = -1;
                const sm_column args[2] = {kit_layout(&xs, as_dict), kit_layout(&ys, as_dict)};
                assert_ok(aggregate(call, args, groups, n_rows, n_ranges, 3, &out, &failed, &e),
                          &e);
                kit_assert_rows(&out, cases[i].want, cases[i].name);
                assert_int_equal(failed, -1);
            }
        }
    }
}

/* ---- overflow ---------------------------------------------------------------------------------
 * */

static const struct {
    const char *name;
    const sm_aggregate *agg;
    const char *type, *result, *groups, *xs;
    int64_t failed;
    const char *what;
} overflows[] = {
    {"sum", &agg_sum, "BIGINT", "BIGINT", "0122", "1;NULL;9223372036854775807;1", 2,
     "sum of 9223372036854775808 is beyond BIGINT"},
    {"sum", &agg_sum, "BIGINT", "BIGINT", "011", "1;-9223372036854775808;-1", 1,
     "sum of -9223372036854775809 is beyond BIGINT"},
    {"sum", &agg_sum, "UBIGINT", "BIGINT", "0", "18446744073709551615", 0,
     "sum of 18446744073709551615 is beyond BIGINT"},
    {"sum", &agg_sum, "DECIMAL(38,1)", "DECIMAL(38,1)", "011",
     "1.0;9999999999999999999999999999999999999.9;0.1", 1, "sum is beyond DECIMAL(38,1)"},
    {"sum", &agg_sum, "DECIMAL(38,0)", "DECIMAL(38,0)", "0000",
     "99999999999999999999999999999999999999;99999999999999999999999999999999999999;"
     "99999999999999999999999999999999999999;99999999999999999999999999999999999999",
     0, "sum is beyond DECIMAL(38,0)"},
    {"avg", &agg_avg, "DECIMAL(38,0)", "DOUBLE", "1111",
     "-99999999999999999999999999999999999999;-99999999999999999999999999999999999999;"
     "-99999999999999999999999999999999999999;-99999999999999999999999999999999999999",
     1, "avg is beyond DECIMAL(38,0)"},
};

static void test_overflow(void **state)
{
    for (int i = 0; i < SM_COUNT(overflows); i++) {
        const sm_function fn = function_of(overflows[i].name, overflows[i].agg);
        const sm_type *const t = kit_type(overflows[i].type);
        const sm_expr *const call = kit_call(&fn, kit_type(overflows[i].result), &t, 1);
        const sm_column xs = kit_column(t, overflows[i].xs);
        int32_t groups[16];
        for (int64_t r = 0; r < xs.n_rows; r++) {
            groups[r] = overflows[i].groups[r] - '0';
        }
        for (int64_t n_ranges = 1; n_ranges <= 5; n_ranges++) {
            sm_error e = {0};
            sm_column out = {0};
            int64_t failed = -1;
            assert_status(aggregate(call, &xs, groups, xs.n_rows, n_ranges, 3, &out, &failed, &e),
                          SM_RANGE, &e);
            assert_int_equal(failed, overflows[i].failed);
            assert_string_equal(e.what, overflows[i].what);
            assert_int_equal(e.line, 2);
            assert_int_equal(e.byte, 3);
            assert_true(e.todo[0] != '\0');
        }
    }
}

/* ---- constants ----------------------------------------------------------------------------------
 * */

static void test_constants(void **state)
{
    static const struct {
        const sm_aggregate *agg;
        const char *type, *value, *result, *want;
    } rows[] = {
        {&agg_sum, "INTEGER", "7", "BIGINT", "28;14"},
        {&agg_sum, "INTEGER", "NULL", "BIGINT", "NULL;NULL"},
        {&agg_count, "INTEGER", "7", "BIGINT", "4;2"},
        {&agg_count, "INTEGER", "NULL", "BIGINT", "0;0"},
        {&agg_max, "VARCHAR", LONG_A, "VARCHAR", LONG_A ";" LONG_A},
        {&agg_bool_and, "BOOLEAN", "true", "BOOLEAN", "true;true"},
        {&agg_first, "BOOLEAN", "NULL", "BOOLEAN", "NULL;NULL"},
    };
    const int32_t groups[] = {0, 1, 0, 1, 0, 0};
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_function fn = function_of("f", rows[i].agg);
        const sm_type *const t = kit_type(rows[i].type);
        const sm_expr *const call = kit_call(&fn, kit_type(rows[i].result), &t, 1);
        sm_error e = {0};
        sm_column out = {0};
        int64_t failed = -1;
        sm_column c = kit_column(t, rows[i].value);
        c.layout = SM_CONST;
        c.n_rows = 6;
        assert_ok(aggregate(call, &c, groups, 6, 2, 2, &out, &failed, &e), &e);
        kit_assert_rows(&out, rows[i].want, rows[i].type);
    }
}

/* ---- random rows
 * --------------------------------------------------------------------------------- */

static uint64_t seed = 42;

static uint64_t next(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 24;
}

/* One of few values, so that there are ties, or one of many. */
static void append_random(sm_builder *b, const sm_type *t)
{
    const int64_t v = (int64_t)(next() % 3 == 0 ? next() % 5 : next() % 100);
    char text[40];
    if (next() % 5 == 0) {
        sm_builder_null(b);
    } else if (t->id == SM_TYPE_BOOL) {
        sm_builder_bool(b, v % 2);
    } else if (t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64) {
        sm_builder_f64(b, v == 7 ? (double)NAN : (double)(v - 50) / 4);
    } else if (t->id == SM_TYPE_DECIMAL) {
        sm_builder_i128(b, (v - 50) * (v % 2 ? (sm_i128)1 << 70 : 1));
    } else if (sm_type_is_bytes(t->id)) {
        snprintf(text, sizeof(text), v % 2 ? "%lld" : "%lld is a text of more bytes", (long long)v);
        sm_builder_str(b, sm_str_of(text));
    } else if (sm_type_is_integer(t->id) && !sm_type_is_signed(t->id)) {
        sm_builder_u64(b, (uint64_t)v);
    } else {
        sm_builder_i64(b, v - 50);
    }
}

static const char *const scalar_types[] = {
    "BOOLEAN",   "TINYINT",  "SMALLINT", "INTEGER", "BIGINT",    "UTINYINT",
    "USMALLINT", "UINTEGER", "UBIGINT",  "FLOAT",   "DOUBLE",    "DECIMAL(38,2)",
    "VARCHAR",   "BLOB",     "DATE",     "TIME",    "TIMESTAMP",
};

/* The first row of a group with the least (sign −1) or largest value; −1. */
static int64_t best_row(const sm_column *c, const int32_t *groups, int32_t group, int sign)
{
    int64_t best = -1;
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (groups[i] == group && !sm_column_is_null(c, i) &&
            (best < 0 ||
             sm_value_cmp(sm_column_value(c, i), sm_column_value(c, best)) * sign > 0)) {
            best = i;
        }
    }
    return best;
}

static void check_best(const sm_aggregate *agg, const sm_column *args, int32_t n_args, int sign,
                       const int32_t *groups)
{
    const sm_function fn = function_of("f", agg);
    const sm_type *types[2] = {args[0].type, args[n_args - 1].type};
    const sm_expr *const call = kit_call(&fn, types[0], types, n_args);
    for (int64_t n_ranges = 1; n_ranges <= 5; n_ranges++) {
        sm_error e = {0};
        sm_column out = {0};
        int64_t failed = -1;
        assert_ok(
            aggregate(call, args, groups, args[0].n_rows, n_ranges, MAX_GROUPS, &out, &failed, &e),
            &e);
        for (int32_t g = 0; g < MAX_GROUPS; g++) {
            const int64_t row = best_row(&args[n_args - 1], groups, g, sign);
            assert_int_equal(sm_column_is_null(&out, g), row < 0);
            assert_true(row < 0 || sm_column_eq(&out, g, &args[0], row));
        }
    }
}

static void test_extremes_of_all_types(void **state)
{
    enum { N = 300 };
    int32_t groups[N], zeros[N] = {0};
    sm_builder *ids = sm_builder_new(&sm_type_i64, budget);
    for (int64_t i = 0; i < N; i++) {
        groups[i] = (int32_t)(next() % (MAX_GROUPS - 1)); /* the last stays empty */
        sm_builder_i64(ids, i);
    }
    const sm_column numbers = kit_finish(ids);
    sm_builder_free(ids);
    for (int t = 0; t < SM_COUNT(scalar_types); t++) {
        const sm_type *const type = kit_type(scalar_types[t]);
        sm_builder *b = sm_builder_new(type, budget);
        for (int64_t i = 0; i < N; i++) {
            append_random(b, type);
        }
        const sm_column c = kit_finish(b);
        const sm_column arg[2] = {numbers, c};
        sm_builder_free(b);
        check_best(&agg_min, &c, 1, -1, groups);
        check_best(&agg_max, &c, 1, 1, groups);
        check_best(&agg_max, &c, 1, 1, zeros);
        check_best(&agg_arg_min, arg, 2, -1, groups);
        check_best(&agg_arg_max, arg, 2, 1, groups);
    }
}

/* ---- DISTINCT, the heap
 * ---------------------------------------------------------------------------- */

static void test_distinct(void **state)
{
    static const struct {
        const char *name;
        const sm_aggregate *agg;
        const char *type, *result, *xs, *want;
    } rows[] = {
        {"count", &agg_count, "DATE", "BIGINT", "2022-04-01;2022-04-30;2022-04-01;NULL;2022-04-02",
         "2;1"},
        {"count", &agg_count, "BIGINT", "BIGINT", "1;5;9223372036854775807;5;1", "2;1"},
        {"count", &agg_count, "VARCHAR", "BIGINT", ";" LONG_A ";" LONG_B ";" LONG_A ";NULL", "2;1"},
        {"sum", &agg_sum, "INTEGER", "BIGINT", "4;7;4;7;-1000", "-996;7"},
        {"sum", &agg_sum, "DOUBLE", "DOUBLE", "0.5;NULL;0.5;NULL;-0.25", "0.25;NULL"},
        {"avg", &agg_avg, "DECIMAL(3,1)", "DOUBLE", "0.5;1.0;0.5;1.0;1.5", "1.0;1.0"},
    };
    const int32_t groups[] = {0, 1, 0, 1, 0};
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_function fn = function_of(rows[i].name, rows[i].agg);
        const sm_type *const t = kit_type(rows[i].type);
        const sm_expr *const inner = kit_call(&fn, kit_type(rows[i].result), &t, 1);
        const sm_expr *const call = kit_wrap(&smi_fn_distinct, inner);
        const sm_column xs = kit_column(t, rows[i].xs);
        for (int64_t n_ranges = 1; n_ranges <= 5; n_ranges++) {
            sm_error e = {0};
            sm_column out = {0};
            int64_t failed = -1;
            assert_ok(aggregate(call, &xs, groups, 5, n_ranges, 2, &out, &failed, &e), &e);
            kit_assert_rows(&out, rows[i].want, rows[i].name);
        }
    }
}

static void test_states_fit(void **state)
{
    static const sm_aggregate *const all[] = {
        &agg_arg_max, &agg_arg_min,   &agg_avg, &agg_bool_and, &agg_bool_or, &agg_count,
        &agg_first,   &agg_first_row, &agg_max, &agg_min,      &agg_string,  &agg_sum,
    };
    for (int i = 0; i < SM_COUNT(all); i++) {
        assert_true(all[i]->state_bytes > 0 && all[i]->state_bytes <= STATE_BYTES);
    }
    assert_int_equal(agg_sum.state_bytes, 16); /* what a million groups pay for */
    assert_int_equal(agg_max.state_bytes, 16);
}

static void test_heap(void **state)
{
    sm_error e = {0};
    sm_agg_heap *h = sm_agg_heap_new(budget);
    uint8_t *parts[2000];
    assert_int_equal(sm_agg_heap_bytes(h), 0);
    for (int i = 0; i < 2000; i++) {
        void *p = NULL;
        const size_t bytes = i % 100 == 99 ? 200000 : (size_t)(i % 37);
        assert_ok(smi_heap_alloc(h, bytes, &p, &e), &e);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < bytes; k++) {
            assert_int_equal(((const uint8_t *)p)[k], 0);
        }
        memset(p, i & 0xFF, bytes);
        parts[i] = p;
    }
    for (int i = 0; i < 2000; i++) {
        assert_true(i % 37 == 0 || i % 100 == 99 || parts[i][i % 37 - 1] == (i & 0xFF));
    }
    assert_true(sm_agg_heap_bytes(h) >= 20 * 200000);
    assert_true(sm_budget_used(budget) >= sm_agg_heap_bytes(h));
    sm_agg_heap_free(h);
    sm_agg_heap_free(NULL);
}

/* A heap that may not grow: the update says so, and what is there stays. */
static void test_budget(void **state)
{
    const sm_function max = function_of("max", &agg_max);
    const sm_type *const t = &sm_type_string;
    const sm_expr *const call = kit_call(&max, t, &t, 1);
    sm_budget *small = sm_budget_new(budget, "small", 2000);
    static char text[3000];
    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    const sm_column shorter = kit_column(t, "a"), longer = kit_column(t, text);
    states s = {.heap = sm_agg_heap_new(small)};
    void *of[] = {s.bytes[0]};
    sm_error e = {0};
    assert_ok(agg_max.update(call, &shorter, 1, 1, of, s.heap, &e), &e);
    assert_status(agg_max.update(call, &longer, 1, 1, of, s.heap, &e), SM_BUDGET, &e);
    smi_cell *const cell = of[0];
    assert_int_equal(cell->text.len, 1);
    assert_int_equal(cell->text.bytes[0], 'a');
    sm_agg_heap_free(s.heap);
    assert_int_equal(sm_budget_used(small), 0);
    sm_budget_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_overflow, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_constants, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_extremes_of_all_types, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_distinct, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_states_fit, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_heap, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_budget, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
