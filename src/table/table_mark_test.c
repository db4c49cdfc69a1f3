/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_mark_test.c: statements on a table with deletion vectors: which files are marked and
 * which are written anew, the rows afterwards, and what stays behind where nothing is committed. */
#include "orders.h"

#include "table/table_int.h"

#define N_ROWS 3000 /* of the large file; a fifth of them are too many for the log */

/* Two files of ten rows: amounts 0 to 9 of "anna", 10 to 19 of "bert". */
static const order old_rows[] = {
    {"2022-04-01", "anna", 0},  {"2022-04-01", "anna", 1},  {"2022-04-01", "anna", 2},
    {"2022-04-01", "anna", 3},  {"2022-04-01", "anna", 4},  {"2022-04-01", "anna", 5},
    {"2022-04-01", "anna", 6},  {"2022-04-01", "anna", 7},  {"2022-04-01", "anna", 8},
    {"2022-04-01", "anna", 9},  {"2022-04-02", "bert", 10}, {"2022-04-02", "bert", 11},
    {"2022-04-02", "bert", 12}, {"2022-04-02", "bert", 13}, {"2022-04-02", "bert", 14},
    {"2022-04-02", "bert", 15}, {"2022-04-02", "bert", 16}, {"2022-04-02", "bert", 17},
    {"2022-04-02", "bert", 18}, {"2022-04-02", "bert", 19},
};

static void make_table(kit *k, const order *rows, int64_t n, const char *property)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "b/t"), .split_by = SM_STR("day")};

    assert_ok(write_orders(k, &w, rows, n, NULL, &e), &e);
    enable_vectors(k, "b/t", property);
}

static sm_status open_sql(kit *k, const char *sql, sm_lake_query **out, sm_error *e)
{
    const sm_lake_query_opts opts = {
        .mode = SM_QUERY_CHANGES,
        .sql = {.name = SM_STR("a test"), .text = sm_str_of(sql)},
        .lake = sm_str_of(k->at.path),
    };
    return sm_lake_query_open(&opts, &k->env, out, e);
}

static sm_status change(kit *k, const char *sql, sm_changed *out, sm_error *e)
{
    sm_lake_query *q = NULL;

    SM_TRY(open_sql(k, sql, &q, e));
    const sm_status st = sm_lake_query_change(q, &k->env, NULL, out, e);
    sm_lake_query_close(q);
    return st;
}

/* The amounts of the table in the order of its rows. */
static const char *amounts(kit *k)
{
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    const char *text = NULL;
    sm_error e = {0};

    assert_ok(sql_text(k, n, "SELECT amount FROM b.t", &text, &e), &e);
    sm_names_free(n);
    return text;
}

/* ---- which files are marked ------------------------------------------------------------------ */

static const struct {
    const char *sql[3]; /* one after the other; the numbers are of the last */
    int64_t updated, deleted, added, removed, marked;
    const char *after;
} cases[] = {
    {{"DELETE FROM b.t WHERE amount IN (3, 5)"},
     0,
     2,
     0,
     0,
     1,
     "0;1;2;4;6;7;8;9;10;11;12;13;14;15;16;17;18;19;"},
    {{"DELETE FROM b.t WHERE amount % 10 = 7"},
     0,
     2,
     0,
     0,
     2,
     "0;1;2;3;4;5;6;8;9;10;11;12;13;14;15;16;18;19;"},
    /* with the vector before: up to a quarter of the rows */
    {{"DELETE FROM b.t WHERE amount = 3", "DELETE FROM b.t WHERE amount = 9"},
     0,
     1,
     0,
     0,
     1,
     "0;1;2;4;5;6;7;8;10;11;12;13;14;15;16;17;18;19;"},
    /* more are cheaper written anew, and the file has no vector then */
    {{"DELETE FROM b.t WHERE amount IN (3, 5)", "DELETE FROM b.t WHERE amount = 9"},
     0,
     1,
     1,
     1,
     0,
     "10;11;12;13;14;15;16;17;18;19;0;1;2;4;6;7;8;"},
    {{"DELETE FROM b.t WHERE amount IN (3, 5)", "DELETE FROM b.t WHERE amount = 9",
      "DELETE FROM b.t WHERE amount = 2"},
     0,
     1,
     0,
     0,
     1,
     "10;11;12;13;14;15;16;17;18;19;0;1;4;6;7;8;"},
    /* the rest of a file */
    {{"DELETE FROM b.t WHERE amount IN (3, 5)", "DELETE FROM b.t WHERE amount < 10"},
     0,
     8,
     0,
     1,
     0,
     "10;11;12;13;14;15;16;17;18;19;"},
    {{"DELETE FROM b.t WHERE amount IN (3, 5)", "DELETE FROM b.t WHERE amount = 3"},
     0,
     0,
     0,
     0,
     0,
     "0;1;2;4;6;7;8;9;10;11;12;13;14;15;16;17;18;19;"},
    /* new values of rows in both files share one */
    {{"UPDATE b.t SET amount = amount + 100 WHERE amount IN (1, 18)"},
     2,
     0,
     1,
     0,
     2,
     "0;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;19;101;118;"},
    {{"DELETE FROM b.t WHERE amount = 0", "UPDATE b.t SET amount = 100 WHERE amount = 2"},
     1,
     0,
     1,
     0,
     1,
     "1;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;100;"},
    {{"UPDATE b.t SET amount = amount + 100 WHERE name = 'anna'"},
     10,
     0,
     1,
     1,
     0,
     "10;11;12;13;14;15;16;17;18;19;100;101;102;103;104;105;106;107;108;109;"},
    {{"MERGE INTO b.t t USING (VALUES (4, 40), (15, 150), (30, 300)) s(a, b) ON t.amount = s.a "
      "WHEN MATCHED AND s.a = 15 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = s.b "
      "WHEN NOT MATCHED THEN INSERT (amount) VALUES (s.b)"},
     1,
     1,
     2,
     0,
     2,
     "0;1;2;3;5;6;7;8;9;10;11;12;13;14;16;17;18;19;40;300;"},
    {{"DELETE FROM b.t WHERE amount IN (0, 10)",
      "MERGE INTO b.t t USING (VALUES (4, 40), (15, 150)) s(a, b) ON t.amount = s.a "
      "WHEN MATCHED THEN UPDATE SET amount = s.b"},
     2,
     0,
     1,
     0,
     2,
     "1;2;3;5;6;7;8;9;11;12;13;14;16;17;18;19;40;150;"},
};

static void test_cases(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        kit_init(&k);
        make_table(&k, old_rows, SM_COUNT(old_rows), "true");
        for (int s = 0; s < SM_COUNT(cases[i].sql) && cases[i].sql[s]; s++) {
            assert_ok(change(&k, cases[i].sql[s], &c, &e), &e);
        }
        const char *text = amounts(&k);
        if (strcmp(text, cases[i].after) != 0 || c.n_updated != cases[i].updated ||
            c.n_deleted != cases[i].deleted || c.n_added != cases[i].added ||
            c.n_removed != cases[i].removed || c.n_marked != cases[i].marked) {
            fail_msg("case %d gave %s\n  %d updated, %d deleted; files +%d -%d, %d marked", i, text,
                     (int)c.n_updated, (int)c.n_deleted, (int)c.n_added, (int)c.n_removed,
                     (int)c.n_marked);
        }
        kit_release(&k);
    }
}

/* The feature alone, without the property, adds no vector. */
static void test_off(void **state)
{
    kit k;
    sm_error e = {0};
    sm_changed c = {0};

    kit_init(&k);
    make_table(&k, old_rows, SM_COUNT(old_rows), "false");
    assert_ok(change(&k, "DELETE FROM b.t WHERE amount = 3", &c, &e), &e);
    assert_int_equal(c.n_marked, 0);
    assert_int_equal(c.n_added, 1);
    kit_release(&k);
}

/* ---- other writers --------------------------------------------------------------------------- */

/* Two that delete other rows of the same file: the second does not know the vector of the first. */
static void test_rivals(void **state)
{
    static const struct {
        const char *sql, *other;
        sm_status want;
    } rows[] = {
        {"DELETE FROM b.t WHERE amount = 3", "DELETE FROM b.t WHERE amount = 5", SM_CONFLICT},
        {"DELETE FROM b.t WHERE amount = 3", "UPDATE b.t SET amount = 50 WHERE amount = 5",
         SM_CONFLICT},
        {"UPDATE b.t SET name = 'x' WHERE amount = 3", "DELETE FROM b.t WHERE amount < 10",
         SM_CONFLICT},
        {"DELETE FROM b.t WHERE amount = 3", "DELETE FROM b.t WHERE amount = 15", SM_OK},
        {"INSERT INTO b.t (amount) VALUES (1)", "DELETE FROM b.t WHERE amount = 3", SM_OK},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        sm_lake_query *q = NULL;
        kit_init(&k);
        make_table(&k, old_rows, SM_COUNT(old_rows), "true");
        assert_ok(open_sql(&k, rows[i].sql, &q, &e), &e);
        assert_ok(change(&k, rows[i].other, &c, &e), &e);
        const char *before = amounts(&k);
        const sm_status st = sm_lake_query_change(q, &k.env, NULL, &c, &e);
        if (st != rows[i].want || (st == SM_CONFLICT) != (strcmp(before, amounts(&k)) == 0)) {
            fail_msg("%s\n  after %s: %s %s", rows[i].sql, rows[i].other, sm_status_name(st),
                     e.what);
        }
        sm_lake_query_close(q);
        kit_release(&k);
    }
}

/* ---- a load's replace ------------------------------------------------------------------------ */

static const char *candidate_text(kit *k, sm_candidate *c)
{
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    const char *text = NULL;
    sm_error e = {0};

    sm_names_set_candidate(n, SM_STR("b.t"), c);
    assert_ok(sql_text(k, n, "SELECT count(*), sum(amount) FROM b.t", &text, &e), &e);
    sm_names_free(n);
    return text;
}

/* A candidate is read with its vectors before it is published; one that is not leaves no file of
 * vectors behind. */
static void test_replace(void **state)
{
    static order rows[N_ROWS];
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    int64_t version = 0;

    kit_init(&k);
    for (int i = 0; i < N_ROWS; i++) {
        rows[i] = (order){"2022-04-01", "anna", i};
    }
    make_table(&k, rows, N_ROWS, "true");
    const sm_write w = {.uri = kit_uri(&k, "b/t"),
                        .mode = SM_WRITE_REPLACE_WHERE,
                        .where = where_sql("amount % 5 = 1")};
    const order added = {"2022-04-01", "new", 1000001};
    for (int i = 0; i < 2; i++) {
        assert_ok(stage_orders(&k, &w, &added, 1, 1, &c, &e), &e);
        assert_int_equal(c->record.n_marks, 1);
        assert_int_equal(sm_candidate_table_rows(c), 2401);
        assert_int_equal(count_ending(&k, "b/t", ".bin"), 1);
        /* 0 to 2999 without 1, 6, …, 2996, and the new row */
        assert_string_equal(candidate_text(&k, c), "2401 4599401;");
        if (i == 0) {
            sm_candidate_release(c);
            assert_int_equal(count_ending(&k, "b/t", ".bin"), 0);
        }
    }
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    assert_int_equal(count_ending(&k, "b/t", ".bin"), 1);
    sm_names *n = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    const char *text = NULL;
    assert_ok(sql_text(&k, n, "SELECT count(*), sum(amount) FROM b.t", &text, &e), &e);
    assert_string_equal(text, "2401 4599401;");
    sm_names_free(n);
    kit_release(&k);
}

/* ---- cost ------------------------------------------------------------------------------------ */

static void test_worth(void **state)
{
    static const struct {
        int64_t n_rows, n_before, seen, n_acts, n_deletes;
        bool want;
    } rows[] = {
        {100, 0, 100, 1, 1, true},    {100, 0, 100, 25, 25, true},  {100, 0, 100, 26, 0, false},
        {100, 15, 85, 10, 10, true},  {100, 15, 85, 11, 11, false}, {100, 0, 100, 0, 0, false},
        {100, 0, 100, 100, 0, false}, /* all change */
        {100, 0, 99, 1, 1, false},    /* the statistics say other rows than there are */
        {-1, 0, 100, 1, 1, false},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_delta_dv dv = {.cardinality = rows[i].n_before};
        const sm_delta_file f = {.n_rows = rows[i].n_rows, .dv = rows[i].n_before ? &dv : NULL};
        const smi_look l = {
            .n_rows = rows[i].seen, .n_acts = rows[i].n_acts, .n_deletes = rows[i].n_deletes};
        assert_int_equal(smi_mark_is_worth(&f, &l), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),   cmocka_unit_test(test_off),   cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_replace), cmocka_unit_test(test_worth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
