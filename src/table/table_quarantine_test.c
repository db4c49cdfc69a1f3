/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_quarantine_test.c: refused lines by way of a router into quarantine tables. Whose
 * lines go where, and how columns are named; each goes once, though a quarantine says SM_WAIT; a
 * rollback takes away what came since its mark. */
#include "orders.h"

#include "table/table_int.h"

#define TIME_US INT64_C(1651363200000000) /* 2022-05-01 */

typedef struct refused_line {
    const char *file;
    int64_t line;
    const char *column; /* NULL: of the whole line */
} refused_line;

static void push_line(sm_builder **b, const refused_line *l)
{
    sm_builder_str(b[0], sm_str_of(l->file));
    sm_builder_i64(b[1], l->line);
    sm_builder_i64(b[2], l->line * 10);
    l->column ? sm_builder_str(b[3], sm_str_of(l->column)) : sm_builder_null(b[3]);
    sm_builder_str(b[4], SM_STR("syntax"));
    sm_builder_str(b[5], SM_STR("expected a value"));
    sm_builder_str(b[6], SM_STR("{"));
    sm_builder_i64(b[7], 1);
}

/* A batch as exec gives refused lines. */
static sm_batch *refused_batch(kit *k, const refused_line *lines, int64_t n)
{
    sm_error e = {0};
    sm_batch *out = NULL;
    sm_builder *b[SM_REFUSED_OUT_FIRST + SM_REFUSED_COLUMNS];

    assert_int_equal(sm_refused_out_schema.n_fields, SM_COUNT(b));
    for (size_t c = 0; c < SM_COUNT(b); c++) {
        b[c] = sm_builder_new(sm_refused_out_schema.fields[c].type, k->budget);
    }
    for (int64_t i = 0; i < n; i++) {
        push_line(b, &lines[i]);
    }
    assert_ok(sm_batch_new(k->budget, &sm_refused_out_schema, &out, &e), &e);
    for (size_t c = 0; c < SM_COUNT(b); c++) {
        assert_ok(sm_builder_finish(b[c], out, &out->columns[c], &e), &e);
        sm_builder_free(b[c]);
    }
    out->n_rows = n;
    return out;
}

static const sm_str paths[] = {{"device.name", 11}, {"id", 2}, {"place.lat", 9}};
static const sm_str columns[] = {{"Device", 6}, {"Id", 2}, {"Latitude", 8}};

static sm_quarantine *open_quarantine(kit *k, const char *table, uint64_t file_bytes)
{
    sm_error e = {0};
    sm_quarantine *q = NULL;
    const sm_write w = {.uri = kit_uri(k, table), .file_bytes = file_bytes};
    const sm_quarantine_opts opts = {
        .run = SM_STR("run-1"),
        .time_us = TIME_US,
        .paths = paths,
        .columns = columns,
        .n_columns = SM_COUNT(columns),
    };
    assert_ok(sm_quarantine_open(&w, &opts, &k->env, &q, &e), &e);
    return q;
}

/* Publishes what was taken, and closes. */
static void publish_quarantine(kit *k, sm_quarantine *q)
{
    sm_error e = {0};
    sm_candidate *c = NULL;
    int64_t version = -1;
    assert_ok(sm_quarantine_end_file(q, &e), &e);
    assert_ok(sm_quarantine_candidate(q, &c, &e), &e);
    sm_quarantine_close(q);
    assert_ok(sm_publish(&c, 1, k->budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
}

/* Which quarantine takes a file: its name begins with the quarantine's letter. */
typedef struct choice {
    const char *letters;
    int64_t n_asked;
} choice;

static bool takes(void *ctx, int32_t i, sm_str file)
{
    choice *c = ctx;
    c->n_asked++;
    return file.data[0] == c->letters[i] || file.data[0] == '*';
}

/* Pushes until all is taken; how often it had to wait. */
static int64_t push_until_taken(const sm_sink *sink, sm_batch *b)
{
    sm_error e = {0};
    int64_t n_waits = 0;
    const sm_waker nobody = {0};
    sm_status st = SM_OK;
    while ((st = sink->push(sink->ctx, b, nobody, &e)) == SM_WAIT) {
        n_waits++;
        sm_sleep_ms(1);
    }
    assert_ok(st, &e);
    return n_waits;
}

static const char *quarantine_text(kit *k, const char *sql)
{
    sm_error e = {0};
    const char *text = NULL;
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    assert_ok(sql_text(k, n, sql, &text, &e), &e);
    sm_names_free(n);
    return text;
}

static void test_whose_lines(void **state)
{
    kit k;
    kit_init(&k);
    static const refused_line lines[] = {
        {"a1", 1, NULL}, {"b1", 2, NULL}, {"*1", 3, NULL}, {"c1", 4, NULL}, {"a1", 5, NULL},
    };
    sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", 0), NULL,
                                open_quarantine(&k, "bad/b", 0)};
    choice by = {.letters = "acb"};
    sm_quarantine_router r = {.quarantines = q, .n_quarantines = 3, .ctx = &by, .takes = takes};
    const sm_sink sink = sm_quarantine_router_sink(&r);
    sm_batch *b = refused_batch(&k, lines, SM_COUNT(lines));

    push_until_taken(&sink, b);
    assert_int_equal(by.n_asked, 2 * SM_COUNT(lines)); /* nobody asks about one that is not open */
    sm_batch_release(b);
    sm_quarantine_router_release(&r);
    publish_quarantine(&k, q[0]);
    publish_quarantine(&k, q[2]);
    assert_string_equal(quarantine_text(&k, "SELECT file, line FROM bad.a ORDER BY line"),
                        "a1 1;*1 3;a1 5;");
    assert_string_equal(quarantine_text(&k, "SELECT file, line FROM bad.b ORDER BY line"),
                        "b1 2;*1 3;");
    kit_release(&k);
}

static void test_columns(void **state)
{
    kit k;
    kit_init(&k);
    static const refused_line lines[] = {
        {"a", 1, "device.name"}, /* a column of the table */
        {"a", 2, "place"},       /* the first column of a struct */
        {"a", 3, "dev"},         /* begins like a column, but is none */
        {"a", 4, "x.y.z"},       /* no column: the last part */
        {"a", 5, NULL},          {"a", 6, "id"},
    };
    sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", 0)};
    choice by = {.letters = "a"};
    sm_quarantine_router r = {.quarantines = q, .n_quarantines = 1, .ctx = &by, .takes = takes};
    const sm_sink sink = sm_quarantine_router_sink(&r);
    sm_batch *b = refused_batch(&k, lines, SM_COUNT(lines));

    push_until_taken(&sink, b);
    sm_batch_release(b);
    sm_quarantine_router_release(&r);
    publish_quarantine(&k, q[0]);
    assert_string_equal(quarantine_text(&k, "SELECT \"column\" FROM bad.a ORDER BY line"),
                        "Device;Latitude;dev;z;NULL;Id;");
    assert_string_equal(quarantine_text(&k, "SELECT * FROM bad.a WHERE line = 4"),
                        "a 4 40 z syntax expected a value { 1 run-1 2022-05-01 00:00:00+00;");
    kit_release(&k);
}

/* Each batch ends a data file, and the store is slow, so that more files are ending than may and
 * the quarantines say SM_WAIT; no line comes twice. */
static void test_waits(void **state)
{
    enum { N_BATCHES = SMI_MOST_ENDING + 4 };
    kit k;
    int64_t n_waits = 0;
    kit_init(&k);
    setenv("SMELT_FAULT", "delay_ms=400", 1);
    sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", 1), open_quarantine(&k, "bad/b", 1)};
    choice by = {.letters = "ab"};
    sm_quarantine_router r = {.quarantines = q, .n_quarantines = 2, .ctx = &by, .takes = takes};
    const sm_sink sink = sm_quarantine_router_sink(&r);

    for (int64_t i = 0; i < N_BATCHES; i++) {
        const refused_line lines[] = {{"*1", i, NULL}, {"a1", 100 + i, NULL}};
        sm_batch *b = refused_batch(&k, lines, SM_COUNT(lines));
        n_waits += push_until_taken(&sink, b);
        sm_batch_release(b);
    }
    assert_true(n_waits > 0);
    unsetenv("SMELT_FAULT");
    assert_int_equal(by.n_asked, 2 * 2 * N_BATCHES); /* each line once of each, waits or not */
    sm_quarantine_router_release(&r);
    publish_quarantine(&k, q[0]);
    publish_quarantine(&k, q[1]);
    assert_string_equal(quarantine_text(&k, "SELECT count(*), sum(line) FROM bad.a"), "40 2380;");
    assert_string_equal(quarantine_text(&k, "SELECT count(*), sum(line) FROM bad.b"), "20 190;");
    kit_release(&k);
}

/* A plan that failed: what waits is let go, and the files that were written are deleted. */
static void test_given_up(void **state)
{
    kit k;
    sm_error e = {0};
    const sm_waker nobody = {0};
    kit_init(&k);
    static const refused_line lines[] = {{"a1", 1, NULL}};
    sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", 1)};
    choice by = {.letters = "a"};
    sm_quarantine_router r = {.quarantines = q, .n_quarantines = 1, .ctx = &by, .takes = takes};
    const sm_sink sink = sm_quarantine_router_sink(&r);
    sm_batch *b = refused_batch(&k, lines, SM_COUNT(lines));

    push_until_taken(&sink, b);
    const sm_status st = sink.push(sink.ctx, b, nobody, &e);
    assert_true(st == SM_OK || st == SM_WAIT);
    sm_batch_release(b);
    sm_quarantine_router_release(&r);
    sm_quarantine_router_release(&r); /* takes {0} */
    sm_quarantine_close(q[0]);
    sm_quarantine_close(NULL);
    assert_int_equal(count_data_files(&k, "bad/a"), 0);
    kit_release(&k);
}

/* What was given since a mark goes, wherever its files are; what was there before stays. */
static void test_rollback(void **state)
{
    static const struct {
        uint64_t file_bytes;  /* 1: each batch ends its file */
        int64_t n_pushed;     /* batches after the mark, taken whole */
        bool is_ended;        /* then the open file is ended */
        bool is_half;         /* then one more batch is pushed, but not to its end */
        int64_t n_files_gone; /* visible ones that the rollback deletes; −1: any */
    } cases[] = {
        {0, 0, false, false, 0}, /* nothing */
        {0, 2, false, false, 0}, /* an open file */
        {0, 2, true, false, 1},  /* one that has ended */
        {0, 2, true, true, 1},   /* one that has ended, and an open one */
        {1, 5, true, false, 5},  /* many that have ended */
        {1, 2, false, true, -1}, /* one that is ending */
    };
    const sm_waker nobody = {0};

    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        sm_error e = {0};
        kit_init(&k);
        static const refused_line before[] = {{"a1", 1, NULL}}, since[] = {{"a2", 2, NULL}},
                                  after[] = {{"a3", 3, NULL}};
        sm_batch *b[] = {refused_batch(&k, before, 1), refused_batch(&k, since, 1),
                         refused_batch(&k, after, 1)};
        sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", cases[i].file_bytes)};
        choice by = {.letters = "a"};
        sm_quarantine_router r = {.quarantines = q, .n_quarantines = 1, .ctx = &by, .takes = takes};
        sm_sink sink = sm_quarantine_router_sink(&r);

        assert_int_equal(sm_quarantine_mark(q[0]), 0);
        push_until_taken(&sink, b[0]);
        assert_ok(sm_quarantine_end_file(q[0], &e), &e);
        const int64_t mark = sm_quarantine_mark(q[0]);
        for (int64_t n = 0; n < cases[i].n_pushed; n++) {
            push_until_taken(&sink, b[1]);
        }
        if (cases[i].is_ended) {
            assert_ok(sm_quarantine_end_file(q[0], &e), &e);
        }
        if (cases[i].is_half) {
            const sm_status st = sink.push(sink.ctx, b[1], nobody, &e);
            assert_true(st == SM_OK || st == SM_WAIT);
        }
        sm_quarantine_router_release(&r);
        const int64_t n_there = count_data_files(&k, "bad/a");
        sm_quarantine_rollback(q[0], mark);
        const int64_t n_left = count_data_files(&k, "bad/a");
        assert_int_equal(n_left, 1);
        assert_true(cases[i].n_files_gone < 0 || n_there - n_left == cases[i].n_files_gone);
        assert_int_equal(sm_quarantine_mark(q[0]), mark);

        r = (sm_quarantine_router){
            .quarantines = q, .n_quarantines = 1, .ctx = &by, .takes = takes};
        sink = sm_quarantine_router_sink(&r);
        push_until_taken(&sink, b[2]);
        sm_quarantine_router_release(&r);
        publish_quarantine(&k, q[0]);
        assert_string_equal(quarantine_text(&k, "SELECT line FROM bad.a ORDER BY line"), "1;3;");
        assert_int_equal(count_data_files(&k, "bad/a"), 2);
        for (int n = 0; n < SM_COUNT(b); n++) {
            sm_batch_release(b[n]);
        }
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_lines), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_waits),       cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
