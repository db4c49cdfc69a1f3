/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_test.c: a sort with quantiles gives the rows of one without, whatever the
 * quantiles, types, threads and memory. */
#include "exec_testkit.h"

#include "exec/exec_range_int.h"

#define ROWS 70000 /* more than one group of a driver */
#define SCHEMA                                                                                     \
    "STRUCT(k UBIGINT, hex VARCHAR, id VARCHAR, text VARCHAR, few VARCHAR, same VARCHAR, none "    \
    "VARCHAR, b BOOLEAN, "                                                                         \
    "tiny TINYINT, i INTEGER, f DOUBLE, wide DECIMAL(38,3), small DECIMAL(9,2), d DATE, "          \
    "bytes BLOB, n BIGINT)"

typedef struct range_case {
    sm_str file;
    const char *schema;
    const uint64_t *quantiles;
    int32_t n_quantiles;
} range_case;

static uint64_t random_of(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Lines of the schema. Every seventh value of some columns is not there; `most` bounds the keys. */
static void make_lines(sm_buf *out, int64_t n, uint64_t most)
{
    uint64_t r = 1;
    for (int64_t i = 0; i < n; i++) {
        const unsigned key = (unsigned)(random_of(&r) % most), v = (unsigned)random_of(&r);
        sm_buf_printf(out, "{\"hex\":\"%08x\",\"id\":\"a text of one length %08x\",", v, key);
        sm_buf_printf(out, "\"k\":%u,\"same\":\"the same for all of them\",\"n\":%d", key, (int)i);
        if (v % 7 != 0) {
            sm_buf_printf(out, ",\"text\":\"%.*s%u\",\"few\":\"%s %u\",\"b\":%s", (int)(v % 30),
                          "a text that is as long as that", v, "one of a few", v % 5,
                          v % 2 ? "true" : "false");
        }
        if (v % 3 != 0) {
            sm_buf_printf(out, ",\"tiny\":%d,\"i\":%d,\"f\":%d.25,\"wide\":%u%u.125,\"small\":%u.5",
                          (int)(v % 200) - 100, (int)v - (1 << 30), (int)(v % 1000) - 500, v, key,
                          v % 100000);
            sm_buf_printf(out, ",\"d\":\"19%02u-0%u-11\",\"bytes\":\"%x\"", v % 100, v % 9 + 1, v);
        }
        sm_buf_text(out, SM_STR("}\n"));
    }
}

static void make_range(kit *k, const void *data)
{
    const range_case *c = data;
    const sm_sort_key key = {.expr = x_col(k, 0, &sm_type_u64)};
    sm_plan_node *scan = k_scan(k, k_dataset(k, c->schema, &c->file, 1, false));
    sm_plan_node *sort = k_sort(k, scan, &key, 1, -1);
    sort->as.sort.quantiles = c->quantiles;
    sort->as.sort.n_quantiles = c->n_quantiles;
    k_plan(k, sort);
}

/* Adds what was written to disk to *spilled. */
static sm_status run_within(const range_case *c, int threads, size_t limit, sm_buf *out,
                            int64_t *spilled)
{
    sm_error e = {0};
    kit k = kit_new(threads, 1 << 18, limit);
    make_range(&k, c);
    const sm_status st = k_run(&k, out, &e);
    for (int32_t i = 0; i < k.report.n_nodes; i++) {
        *spilled += k.report.nodes[i].spilled_bytes;
    }
    kit_free(&k);
    return st;
}

static void gives_the_rows_of_a_sort(void **state)
{
    static const uint64_t even[] = {10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000, 90000};
    static const uint64_t equal[] = {500, 500, 500, 99999, 99999};
    static const uint64_t above[] = {1u << 30};
    static const uint64_t low[] = {0, 0, 1};
    const struct {
        const uint64_t *quantiles;
        int32_t n;
    } cases[] = {{even, 9}, {equal, 5}, {above, 1}, {low, 3}};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    range_case c = {.file = sm_buf_str(&text), .schema = SCHEMA};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        c.quantiles = cases[i].quantiles;
        c.n_quantiles = cases[i].n;
        assert_int_equal(run_within(&c, i % 2 ? 1 : 4, SIZE_MAX, &got, &spilled), SM_OK);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

/* Columns without a value, keys that are all equal, no rows, and a column that cannot be packed. */
static void gives_odd_rows(void **state)
{
    static const uint64_t quantiles[] = {3, 7};
    static const char same[] =
        "{\"k\":7,\"n\":1}\n{\"k\":7,\"n\":2}\n{\"k\":7,\"n\":3}\n{\"k\":2,\"n\":4}\n";
    const struct {
        sm_str file;
        const char *schema, *want;
    } cases[] = {
        {{same, sizeof(same) - 1}, "STRUCT(k UBIGINT, n BIGINT)", "2 4\n7 1\n7 2\n7 3\n"},
        {{same, sizeof(same) - 1},
         "STRUCT(k UBIGINT, t VARCHAR, b BOOLEAN, w DECIMAL(38,0), n BIGINT)",
         "2 NULL NULL NULL 4\n7 NULL NULL NULL 1\n7 NULL NULL NULL 2\n7 NULL NULL NULL 3\n"},
        {{same, sizeof(same) - 1},
         "STRUCT(k UBIGINT, l BIGINT[], n BIGINT)",
         "2 NULL 4\n7 NULL 1\n7 NULL 2\n7 NULL 3\n"},
        {{"", 0}, "STRUCT(k UBIGINT, n BIGINT)", ""},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        const range_case c = {cases[i].file, cases[i].schema, quantiles, 2};
        assert_everywhere(make_range, &c, cases[i].want);
    }
}

/* Within any limit: the rows of a run without one, or a refusal that leaves nothing behind. Small
 * limits send ranges to disk, and one range through the sorter. */
static void spills_or_refuses(void **state)
{
    static const uint64_t quantiles[] = {100, 200, 300, 400, 500, 50000};
    sm_buf text = {0}, want = {0};
    int n_refused = 0, n_fine = 0;
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    const range_case c = {sm_buf_str(&text), SCHEMA, quantiles, 6};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (size_t limit = 64 << 20; limit >= 1 << 20; limit /= 2) {
        sm_buf got = {0};
        const int64_t live = sm_live_allocs();
        const sm_status st = run_within(&c, 2, limit, &got, &spilled);
        assert_true(st == SM_OK || st == SM_BUDGET);
        n_refused += st == SM_BUDGET;
        n_fine += st == SM_OK;
        if (st == SM_OK) {
            assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        }
        sm_buf_release(&got);
        assert_int_equal(sm_live_allocs(), live);
    }
    assert_true(n_refused > 0 && n_fine > 1 && spilled > 0);
    sm_buf_release(&want);
    sm_buf_release(&text);
}

static sm_status print_them(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    print_rows(rows, ctx);
    return SM_OK;
}

/* Ranges that nearly fill a share of the memory are several times as large when they are sorted,
 * and both drivers have one at a time. */
static void sorts_ranges_of_a_share_side_by_side(void **state)
{
    static const uint64_t quantiles[] = {12500, 25000, 37500, 50000, 62500, 75000, 87500};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    const range_case c = {sm_buf_str(&text), SCHEMA, quantiles, SM_COUNT(quantiles)};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (size_t limit = 14 << 20; limit <= 16 << 20; limit += 2 << 20) {
        sm_buf got = {0};
        sm_error e = {0};
        const sm_sink sink = {.ctx = &got, .push = print_them};
        kit k = kit_new(2, 1 << 18, limit);
        make_range(&k, &c);
        const sm_exec_env env = k_env(&k);
        assert_ok(sm_exec_run(&k.plan, &env, &sink, NULL, &k.report, &e), &e);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        kit_free(&k);
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

/* A sink of rows in parts. */
#define CUTS 3
typedef struct part_texts {
    sm_buf rows[CUTS + 1]; /* of each part */
    int n_ended[CUTS + 1];
    sm_buf all; /* what did not come in parts */
} part_texts;

static sm_status push_all(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    print_rows(rows, &((part_texts *)ctx)->all);
    return SM_OK;
}

static sm_status push_part(void *ctx, int32_t part, sm_batch *rows, sm_waker waker, sm_error *e)
{
    part_texts *t = ctx;
    assert_int_equal(t->n_ended[part], 0);
    print_rows(rows, &t->rows[part]);
    return SM_OK;
}

static sm_status end_part(void *ctx, int32_t part, sm_waker waker, sm_error *e)
{
    part_texts *t = ctx;
    t->n_ended[part]++;
    if (t->n_ended[part] == 1) { /* as a store that is woken at once */
        sm_wake(waker);
        return SM_WAIT;
    }
    return SM_OK;
}

/* The rows in parts, part by part, or all at once; *in_parts says which. */
static void run_parted(const range_case *c, const uint64_t *cuts, int threads, size_t limit,
                       sm_buf *out, bool *in_parts)
{
    part_texts t = {0};
    const sm_sink_parts parts = {.cuts = cuts, .n_cuts = CUTS, .push = push_part, .end = end_part};
    const sm_sink sink = {.ctx = &t, .push = push_all, .parts = &parts};
    sm_error e = {0};
    kit k = kit_new(threads, 1 << 18, limit);
    make_range(&k, c);
    const sm_exec_env env = k_env(&k);
    assert_ok(sm_exec_run(&k.plan, &env, &sink, NULL, &k.report, &e), &e);
    *in_parts = t.n_ended[0] > 0;
    sm_buf_text(out, sm_buf_str(&t.all));
    for (int i = 0; i <= CUTS; i++) {
        assert_int_equal(t.n_ended[i], *in_parts ? 2 : 0);
        sm_buf_text(out, sm_buf_str(&t.rows[i]));
        sm_buf_release(&t.rows[i]);
    }
    sm_buf_release(&t.all);
    kit_free(&k);
}

/* A sink that takes parts gets them side by side where there is memory for it, the second of these
 * without rows; else all rows in order. They are the same. */
static void gives_rows_in_parts(void **state)
{
    static const uint64_t quantiles[] = {10000, 20000, 20000, 50000, 50000, 50001, 90000};
    static const uint64_t cuts[CUTS] = {20000, 50000, 50001};
    const struct {
        int threads;
        size_t limit;
        bool in_parts;
    } cases[] = {{1, SIZE_MAX, false},
                 {2, SIZE_MAX, true},
                 {7, SIZE_MAX, true},
                 {4, 64 << 20, false},
                 {2, (size_t)1 << 30, true}};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    range_case c = {.file = sm_buf_str(&text), .schema = SCHEMA};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    c.quantiles = quantiles;
    c.n_quantiles = SM_COUNT(quantiles);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        bool in_parts = false;
        run_parted(&c, cuts, cases[i].threads, cases[i].limit, &got, &in_parts);
        assert_int_equal(in_parts, cases[i].in_parts);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

/* ---- texts with codes ------------------------------------------------------------------------ */

#define ENTRIES                                                                                    \
    3000 /* two dictionaries of so many texts are more than a column may have codes for */

/* Entry i of the dictionary number d; every third is longer than a view has room for. */
static sm_str entry_text(int d, int64_t i, char *room)
{
    const int n = snprintf(room, 64, i % 3 ? "%d.%d" : "%d.%d, which is a long text", d, (int)i);
    return (sm_str){room, (size_t)n};
}

/* Rows of a dictionary, a row an entry; every seventh is NULL if with_nulls. And the same text. */
static sm_batch *coded_rows(const sm_type *schema, int d, bool with_nulls)
{
    sm_error e = {0};
    sm_batch *b = NULL;
    void *views = NULL, *text = NULL, *heap = NULL, *codes = NULL, *bits = NULL, *child = NULL;
    char room[64];
    int32_t off = 0;

    assert_ok(sm_batch_new(NULL, schema, &b, &e), &e);
    assert_ok(sm_batch_alloc(b, ENTRIES * sizeof(sm_view), &views, &e), &e);
    assert_ok(sm_batch_alloc(b, ENTRIES * sizeof(room), &text, &e), &e);
    assert_ok(sm_batch_alloc(b, sizeof(sm_heap_buf), &heap, &e), &e);
    assert_ok(sm_batch_alloc(b, ENTRIES * sizeof(int32_t), &codes, &e), &e);
    assert_ok(sm_batch_alloc(b, sm_bits_bytes(ENTRIES), &bits, &e), &e);
    assert_ok(sm_batch_alloc(b, sizeof(sm_column), &child, &e), &e);
    for (int32_t i = 0; i < ENTRIES; i++) {
        const sm_str one = entry_text(d, i, room);
        memcpy((uint8_t *)text + off, one.data, one.len);
        ((sm_view *)views)[i] = sm_view_make((uint8_t *)text + off, (int32_t)one.len, 0, off);
        off += (int32_t)one.len;
        if (!with_nulls || i % 7 != 0) {
            ((int32_t *)codes)[i] = i;
            sm_bit_set(bits, i);
        }
    }
    *(sm_heap_buf *)heap = (sm_heap_buf){.data = text, .size_bytes = off};
    *(sm_column *)child = (sm_column){
        .type = &sm_type_string, .n_rows = ENTRIES, .values = views, .heap = heap, .n_heap = 1};
    b->columns[0] = (sm_column){.type = &sm_type_string,
                                .layout = SM_DICT,
                                .n_rows = ENTRIES,
                                .validity = with_nulls ? bits : NULL,
                                .values = codes,
                                .children = child,
                                .n_children = 1};
    const sm_value same = sm_value_str(SM_STR("one text in all of the rows"));
    assert_ok(sm_column_constant(same, ENTRIES, b, &b->columns[1], &e), &e);
    b->n_rows = ENTRIES;
    return b;
}

/* Packs the rows of a dictionary, even ones into out[0], odd ones into out[1]. */
static void pack_rows(sm_batch *rows, const sm_type *schema, smi_texts *texts, sm_block **out)
{
    static uint32_t ranges[ENTRIES];
    const smi_batches list = {.items = &rows, .n = 1};
    const smi_run run = {.first = 0, .n_rows = ENTRIES};
    size_t sizes[2];
    sm_error e = {0};

    for (uint32_t i = 0; i < ENTRIES; i++) {
        ranges[i] = i % 2;
    }
    const smi_group g = {.rows = &list,
                         .schema = schema,
                         .runs = &run,
                         .n_runs = 1,
                         .ranges = ranges,
                         .n_ranges = 2,
                         .texts = texts};
    assert_ok(smi_parcels_pack(&g, NULL, out, sizes, &e), &e);
}

/* Row `at` on of a column are those rows of a dictionary that went into a range. */
static void assert_texts(const sm_column *c, int64_t at, int d, int range, bool with_nulls)
{
    char room[64];
    for (int64_t i = range; i < ENTRIES; i += 2, at++) {
        const bool is_null = with_nulls && i % 7 == 0;
        assert_int_equal(sm_column_is_null(c, at), is_null);
        if (!is_null) {
            assert_true(sm_str_eq(sm_column_str(c, at), entry_text(d, i, room)));
        }
    }
}

/* Texts of dictionaries have codes as long as a column has few of them. Rows with codes and rows
 * without come together, and batches outlive the sort's texts. */
static void numbers_few_texts(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_field fields[] = {{.name = SM_STR("few"), .type = &sm_type_string, .is_nullable = true},
                         {.name = SM_STR("same"), .type = &sm_type_string, .is_nullable = true},
                         {.name = SM_STR("place"), .type = &sm_type_u64}};
    const sm_type *schema = sm_type_struct(a, fields, 2), *placed = sm_type_struct(a, fields, 3);
    smi_texts *texts = smi_texts_new(2, NULL);
    const struct {
        int dictionary;
        bool with_nulls;
    } groups[] = {{0, false}, {0, true}, {1, true}};
    const struct {
        int first, n;
        sm_layout layout;
    } cases[] = {{0, 1, SM_DICT}, {0, 2, SM_DICT}, {2, 1, SM_FLAT}, {0, 3, SM_FLAT}};
    sm_block *parcels[SM_COUNT(groups)][2];
    sm_batch *got[SM_COUNT(cases)][2];
    const char *why = NULL;
    sm_error e = {0};

    for (int g = 0; g < SM_COUNT(groups); g++) {
        sm_batch *rows = coded_rows(schema, groups[g].dictionary, groups[g].with_nulls);
        pack_rows(rows, placed, texts, parcels[g]);
        sm_batch_release(rows);
    }
    assert_ok(smi_texts_finish(texts, placed, NULL, &e), &e);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        for (int range = 0; range < 2; range++) {
            sm_block *some[SM_COUNT(groups)];
            for (int g = 0; g < cases[i].n; g++) {
                some[g] = parcels[cases[i].first + g][range];
            }
            const smi_parcels all = {some, cases[i].n, placed, texts};
            assert_ok(smi_parcels_unpack(&all, NULL, &got[i][range], &e), &e);
        }
    }
    for (int g = 0; g < SM_COUNT(groups); g++) {
        sm_block_release(parcels[g][0]);
        sm_block_release(parcels[g][1]);
    }
    smi_texts_free(texts);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        for (int range = 0; range < 2; range++) {
            const sm_column *c = got[i][range]->columns;
            assert_true(sm_batch_validate(got[i][range], true, &why));
            assert_int_equal(got[i][range]->n_rows, cases[i].n * ENTRIES / 2);
            assert_int_equal(c[0].layout, cases[i].layout);
            assert_int_equal(c[1].layout, SM_CONST);
            assert_true(sm_str_is(sm_column_str(&c[1], 5), "one text in all of the rows"));
            for (int g = 0; g < cases[i].n; g++) {
                const int at = cases[i].first + g;
                assert_texts(&c[0], (int64_t)g * ENTRIES / 2, groups[at].dictionary, range,
                             groups[at].with_nulls);
            }
            sm_batch_release(got[i][range]);
        }
    }
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_rows_of_a_sort),
        cmocka_unit_test(gives_odd_rows),
        cmocka_unit_test(spills_or_refuses),
        cmocka_unit_test(sorts_ranges_of_a_share_side_by_side),
        cmocka_unit_test(gives_rows_in_parts),
        cmocka_unit_test(numbers_few_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
