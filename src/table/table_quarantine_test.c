/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_quarantine_test.c: refused lines by way of a router into quarantine tables. Whose
 * lines go where, and how columns are named; each goes once, though a quarantine says SM_WAIT; a
 * rollback takes away what came since its mark. Likewise rows that broke rules, from several side
 * outputs at once: what of them is kept, with which origin. */
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
                        "a 4 40 z syntax expected a value { 1 run-1 2022-05-01 00:00:00+00 NULL;");
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

/* ---- rows that broke rules ------------------------------------------------------------------- */

static const sm_field left_fields[] = {
    {.name = {"Name", 4}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"amount", 6}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"smelt.file", 10}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"smelt.line", 10}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"smelt.byte_offset", 17}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"check", 5}, .type = &sm_type_i32},
};
static const sm_type leaves_with_origin = {
    .id = SM_TYPE_STRUCT, .fields = left_fields, .n_fields = SM_COUNT(left_fields)};

static const sm_field table_fields[] = {
    {.name = {"Name", 4}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"amount", 6}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"check", 5}, .type = &sm_type_i32},
};
static const sm_type leaves_without = {
    .id = SM_TYPE_STRUCT, .fields = table_fields, .n_fields = SM_COUNT(table_fields)};

static const sm_quarantine_rule left_rules[] = {
    {{"amount:minimum", 14}, {"minimum: 0", 10}, 1},
    {{"named", 5}, {"it has a name", 13}, -1},
    {{"Name:pattern", 12}, {"pattern: ^a", 11}, 0},
};

typedef struct left_row {
    const char *name; /* NULL: none */
    int64_t amount;
    const char *file; /* NULL: none */
    int64_t line;
    int32_t check;
} left_row;

static sm_batch *left_batch(kit *k, const sm_type *leaves, const left_row *rows, int64_t n)
{
    const bool has_origin = leaves == &leaves_with_origin;
    sm_error e = {0};
    sm_batch *out = NULL;
    sm_builder *b[SM_COUNT(left_fields)];

    for (int32_t c = 0; c < leaves->n_fields; c++) {
        b[c] = sm_builder_new(leaves->fields[c].type, k->budget);
    }
    for (int64_t i = 0; i < n; i++) {
        const left_row *r = &rows[i];
        r->name ? sm_builder_str(b[0], sm_str_of(r->name)) : sm_builder_null(b[0]);
        sm_builder_i64(b[1], r->amount);
        if (has_origin) {
            r->file ? sm_builder_str(b[2], sm_str_of(r->file)) : sm_builder_null(b[2]);
            sm_builder_i64(b[3], r->line);
            sm_builder_i64(b[4], r->line * 10);
        }
        sm_builder_i64(b[leaves->n_fields - 1], r->check);
    }
    assert_ok(sm_batch_new(k->budget, leaves, &out, &e), &e);
    for (int32_t c = 0; c < leaves->n_fields; c++) {
        assert_ok(sm_builder_finish(b[c], out, &out->columns[c], &e), &e);
        sm_builder_free(b[c]);
    }
    out->n_rows = n;
    return out;
}

static sm_quarantine_side side_of(const sm_type *leaves)
{
    return (sm_quarantine_side){.leaves = leaves,
                                .origin = sm_origin_find(leaves),
                                .rules = left_rules,
                                .n_rules = SM_COUNT(left_rules)};
}

static void finish_sink(const sm_sink *sink)
{
    sm_error e = {0};
    const sm_waker nobody = {0};
    sm_status st = SM_OK;
    while ((st = sink->finish(sink->ctx, nobody, &e)) == SM_WAIT) {
        sm_sleep_ms(1);
    }
    assert_ok(st, &e);
}

/* Gives these rows to the quarantine, by one side output. */
static void give_rows(kit *k, sm_quarantine *q, const sm_type *leaves, const left_row *rows,
                      int64_t n)
{
    const sm_quarantine_side side = side_of(leaves);
    sm_quarantine_rows *r = sm_quarantine_rows_new(q, &side);
    const sm_sink sink = sm_quarantine_rows_sink(r);
    sm_batch *b = left_batch(k, leaves, rows, n);

    push_until_taken(&sink, b);
    finish_sink(&sink);
    sm_batch_release(b);
    sm_quarantine_rows_close(r);
}

static void test_rows(void **state)
{
    kit k;
    kit_init(&k);
    static const left_row from_lines[] = {{"a\"b", -5, "f1", 7, 0}, {NULL, 1, "f1", 9, 1}};
    static const left_row others[] = {{"b", 2, NULL, 0, 2}, {NULL, INT64_MIN, NULL, 0, 0}};
    sm_quarantine *q = open_quarantine(&k, "bad/a", 0);

    give_rows(&k, q, &leaves_with_origin, from_lines, SM_COUNT(from_lines));
    give_rows(&k, q, &leaves_without, others, SM_COUNT(others));
    publish_quarantine(&k, q);
    assert_string_equal(
        quarantine_text(&k, "SELECT * FROM bad.a"),
        "f1 7 70 amount amount:minimum minimum: 0, is -5 "
        "{\\x22Name\\x22:\\x22a\\x5C\\x22b\\x22,\\x22amount\\x22:-5} 27 run-1 "
        "2022-05-01 00:00:00+00 NULL;"
        "f1 9 90 NULL named it has a name {\\x22Name\\x22:null,\\x22amount\\x22:1} 24 run-1 "
        "2022-05-01 00:00:00+00 NULL;"
        "NULL NULL NULL Name Name:pattern pattern: ^a, is \"b\" "
        "{\\x22Name\\x22:\\x22b\\x22,\\x22amount\\x22:2} 23 "
        "run-1 2022-05-01 00:00:00+00 NULL;"
        "NULL NULL NULL amount amount:minimum minimum: 0, is -9223372036854775808 "
        "{\\x22Name\\x22:null,\\x22amount\\x22:-9223372036854775808} 43 run-1 2022-05-01 "
        "00:00:00+00 NULL;");
    kit_release(&k);
}

/* A row is cut at 65,536 bytes, its value in the message between two characters. */
static void test_long_rows(void **state)
{
    static const struct {
        int64_t n_chars; /* of "é", two bytes each */
        const char
            *want; /* raw_bytes; what is kept: as text it has \\x.. for a byte that is no ASCII */
    } cases[] = {
        {32757, "65536 262096 true;"},
        {32758, "65538 262102 true;"},
        {100000, "200022 262126 true;"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        kit_init(&k);
        sm_buf name = {0};
        for (int64_t n = 0; n < cases[i].n_chars; n++) {
            sm_buf_text(&name, SM_STR("é"));
        }
        sm_buf_text(&name, (sm_str){"", 1});
        const left_row rows[] = {{(const char *)name.data, 2, NULL, 0, 2}};
        sm_quarantine *q = open_quarantine(&k, "bad/a", 0);
        give_rows(&k, q, &leaves_without, rows, 1);
        publish_quarantine(&k, q);
        assert_string_equal(quarantine_text(&k, "SELECT raw_bytes, strlen(CAST(raw AS VARCHAR)), "
                                                "ends_with(message, 'éé…') FROM bad.a"),
                            cases[i].want);
        sm_buf_release(&name);
        kit_release(&k);
    }
}

static bool takes_f2(void *ctx, sm_str file)
{
    ++*(int64_t *)ctx;
    return sm_str_is(file, "f2");
}

static void test_whose_rows(void **state)
{
    kit k;
    kit_init(&k);
    int64_t n_asked = 0;
    static const left_row rows[] = {
        {"a", 1, "f1", 1, 0}, {"b", 2, "f2", 2, 0}, {"c", 3, NULL, 3, 0}, {"d", 4, "f1", 4, 0}};
    sm_quarantine_side side = side_of(&leaves_with_origin);
    side.ctx = &n_asked;
    side.takes = takes_f2;
    sm_quarantine *q = open_quarantine(&k, "bad/a", 0);
    sm_quarantine_rows *r = sm_quarantine_rows_new(q, &side);
    const sm_sink sink = sm_quarantine_rows_sink(r);
    sm_batch *b = left_batch(&k, side.leaves, rows, SM_COUNT(rows));

    push_until_taken(&sink, b);
    finish_sink(&sink);
    sm_batch_release(b);
    sm_quarantine_rows_close(r);
    assert_int_equal(n_asked, 3); /* a row without a file is always taken */
    publish_quarantine(&k, q);
    assert_string_equal(quarantine_text(&k, "SELECT line FROM bad.a"), "2;3;");
    kit_release(&k);
}

/* Refused lines and rows of two side outputs by turns, each batch a file, with a slow store: none
 * is lost or doubled, and those of one output stand together, in their order. */
static void test_rows_beside_lines(void **state)
{
    enum { N_BATCHES = SMI_MOST_ENDING + 4 };
    kit k;
    kit_init(&k);
    setenv("SMELT_FAULT", "delay_ms=100", 1);
    sm_quarantine *const q[] = {open_quarantine(&k, "bad/a", 1)};
    choice by = {.letters = "a"};
    sm_quarantine_router router = {
        .quarantines = q, .n_quarantines = 1, .ctx = &by, .takes = takes};
    const sm_quarantine_side side = side_of(&leaves_without);
    sm_quarantine_rows *rows[] = {sm_quarantine_rows_new(q[0], &side),
                                  sm_quarantine_rows_new(q[0], &side), NULL};
    const sm_sink sinks[] = {sm_quarantine_rows_sink(rows[0]), sm_quarantine_rows_sink(rows[1]),
                             sm_quarantine_router_sink(&router)};

    for (int64_t i = 0; i < N_BATCHES; i++) {
        const refused_line line = {"a1", i, NULL};
        for (int s = 0; s < SM_COUNT(sinks); s++) {
            const left_row row = {"b", s * 1000 + i, NULL, 0, 0};
            sm_batch *b =
                s < 2 ? left_batch(&k, &leaves_without, &row, 1) : refused_batch(&k, &line, 1);
            push_until_taken(&sinks[s], b);
            sm_batch_release(b);
        }
    }
    finish_sink(&sinks[0]);
    finish_sink(&sinks[1]);
    unsetenv("SMELT_FAULT");
    sm_quarantine_router_release(&router);
    sm_error e = {0};
    assert_ok(sm_quarantine_end_file(q[0], &e), &e);
    sm_quarantine_rows_close(rows[0]);
    sm_quarantine_rows_close(rows[1]);
    sm_quarantine_rows_close(rows[2]); /* takes NULL */
    publish_quarantine(&k, q[0]);
    assert_string_equal(quarantine_text(&k, "SELECT count(*), count(DISTINCT message), "
                                            "count(line), sum(line) FROM bad.a"),
                        "60 41 20 190;");
    sm_buf want = {0};
    for (int64_t s = 0; s < 2; s++) {
        for (int64_t i = 0; i < N_BATCHES; i++) {
            sm_buf_printf(&want, "minimum: 0, is %" PRId64 ";", s * 1000 + i);
        }
    }
    sm_buf_text(&want, (sm_str){"", 1});
    assert_string_equal(quarantine_text(&k, "SELECT message FROM bad.a WHERE line IS NULL"),
                        (const char *)want.data);
    sm_buf_release(&want);
    kit_release(&k);
}

/* An execution that failed: its rows go, with their files; those of before stay. A rollback takes
 * rows that had been taken, too. */
static void test_rows_given_up(void **state)
{
    kit k;
    kit_init(&k);
    static const left_row rows[] = {{"a", 1, NULL, 0, 0}};
    const sm_quarantine_side side = side_of(&leaves_without);
    sm_quarantine *q = open_quarantine(&k, "bad/a", 1);

    give_rows(&k, q, &leaves_without, rows, 1);
    const int64_t mark = sm_quarantine_mark(q);
    sm_quarantine_rows *r = sm_quarantine_rows_new(q, &side);
    const sm_sink sink = sm_quarantine_rows_sink(r);
    sm_batch *b = left_batch(&k, side.leaves, rows, 1);
    for (int i = 0; i < 3; i++) {
        push_until_taken(&sink, b);
    }
    sm_quarantine_rows_close(r);
    assert_int_equal(count_data_files(&k, "bad/a"), 1);
    give_rows(&k, q, &leaves_without, rows, 1);
    assert_int_equal(count_data_files(&k, "bad/a"), 2);
    sm_quarantine_rollback(q, mark);
    assert_int_equal(count_data_files(&k, "bad/a"), 1);
    sm_batch_release(b);
    publish_quarantine(&k, q);
    assert_string_equal(quarantine_text(&k, "SELECT count(*) FROM bad.a"), "1;");
    kit_release(&k);
}

/* A table that was made before there was a column `replayed` gets it with its next rows. */
static void test_added_column(void **state)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_type before = {.id = SM_TYPE_STRUCT,
                            .fields = smi_quarantine_schema.fields,
                            .n_fields = SMI_QUARANTINE_REPLAYED};
    const sm_write w = {.uri = kit_uri(&k, "bad/a")};
    sm_stage *stage = NULL;
    sm_batch *b = NULL;
    assert_ok(sm_stage_open(&w, &before, &k.env, &stage, &e), &e);
    assert_ok(sm_batch_new(k.budget, &before, &b, &e), &e);
    b->n_rows = 1;
    for (int32_t c = 0; c < before.n_fields; c++) {
        const sm_value null = sm_value_null(before.fields[c].type);
        assert_ok(sm_column_constant(null, 1, b, &b->columns[c], &e), &e);
    }
    const sm_sink sink = sm_stage_sink(stage);
    push_until_taken(&sink, b);
    finish_sink(&sink);
    sm_batch_release(b);
    sm_candidate *c = NULL;
    assert_ok(sm_stage_candidate(stage, &c, &e), &e);
    sm_stage_close(stage);
    int64_t version = -1;
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);

    static const left_row rows[] = {{"a", 1, NULL, 0, 0}};
    for (int n = 0; n < 2; n++) { /* the second time it is there */
        sm_quarantine *q = open_quarantine(&k, "bad/a", 0);
        give_rows(&k, q, &leaves_without, rows, 1);
        publish_quarantine(&k, q);
    }
    assert_string_equal(
        quarantine_text(&k, "SELECT reason, replayed FROM bad.a ORDER BY reason NULLS FIRST"),
        "NULL NULL;amount:minimum NULL;amount:minimum NULL;");
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_lines),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_whose_rows),
        cmocka_unit_test(test_rows_beside_lines),
        cmocka_unit_test(test_rows_given_up),
        cmocka_unit_test(test_added_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
