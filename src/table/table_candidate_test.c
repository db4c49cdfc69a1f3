/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_candidate_test.c: what a write leaves in its record, so that nothing behind the
 * stage has to ask how it was made; what a candidate's check finds; which verdicts let it be
 * published; and its rows. */
#include "orders.h"

#include <stdlib.h>

#include "table/table_int.h"

static const order old_rows[] = {
    {"2022-04-01", "anna", 5}, {"2022-04-01", "bert", 6}, {"2022-04-02", "carl", 7}};
static const order new_rows[] = {{"2022-04-01", "dora", 1}};
static const order great_rows[] = {{"2022-04-01", "emil", 61}};

static sm_write write_to(kit *k, sm_write_mode mode, const char *where)
{
    return (sm_write){.uri = kit_uri(k, "silver/orders"), .mode = mode, .where = where_sql(where)};
}

static int64_t metric(const sm_candidate *c, const char *name)
{
    for (int32_t i = 0; i < c->record.n_metrics; i++) {
        if (sm_str_is(c->record.metrics[i].key, name)) {
            return c->record.metrics[i].value.as.i;
        }
    }
    fail_msg("no metric %s", name);
    return -1;
}

static const char *parameters_text(kit *k, const sm_delta_commit *r)
{
    sm_buf text = {0};

    for (int32_t i = 0; i < r->n_parameters; i++) {
        sm_buf_printf(&text, "%.*s=%.*s;", SM_STR_ARG(r->parameters[i].key),
                      SM_STR_ARG(r->parameters[i].value.as.s));
    }
    const sm_str out = sm_arena_str(k->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out.data;
}

/* Each mode, with a table that is there and with none. */
static void test_records(void **state)
{
    static const struct {
        bool is_new;
        sm_write_mode mode;
        const char *where, *parameters;
        sm_delta_isolation isolation;
        int64_t n_adds, n_removes, n_copied, table_rows;
        bool is_empty_without_rows;
    } rows[] = {
        {true, SM_WRITE_APPEND, "", "mode=Append;partitionBy=[];", SM_READ_NOTHING, 1, 0, 0, 1,
         true},
        {true, SM_WRITE_OVERWRITE, "", "mode=Overwrite;partitionBy=[];", SM_READ_NOTHING, 1, 0, 0,
         1, false},
        {true, SM_WRITE_REPLACE_WHERE, "amount = 6",
         "mode=Overwrite;partitionBy=[];predicate=\"amount\" = 6;", SM_READ_NOTHING, 1, 0, 0, 1,
         true},
        {false, SM_WRITE_APPEND, "", "mode=Append;partitionBy=[];", SM_READ_NOTHING, 1, 0, 0, 4,
         true},
        {false, SM_WRITE_OVERWRITE, "", "mode=Overwrite;partitionBy=[];", SM_READ_ALL, 1, 2, 0, 1,
         false},
        {false, SM_WRITE_REPLACE_WHERE, "amount = 6",
         "mode=Overwrite;partitionBy=[];predicate=\"amount\" = 6;", SM_READ_FILES, 2, 1, 1, 3,
         false},
        {false, SM_WRITE_REPLACE_WHERE, "amount + 1 = 8", /* no bound: all was read */
         "mode=Overwrite;partitionBy=[];predicate=(\"amount\" + 1) = 8;", SM_READ_ALL, 1, 1, 0, 3,
         false},
        {false, SM_WRITE_REPLACE_WHERE, "amount = 60",
         "mode=Overwrite;partitionBy=[];predicate=\"amount\" = 60;", SM_READ_FILES, 1, 0, 0, 4,
         true},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        kit_init(&k);
        const sm_write old = {.uri = kit_uri(&k, "silver/orders"), .split_by = SM_STR("day")};
        if (!rows[i].is_new) {
            assert_ok(write_orders(&k, &old, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
        }
        const sm_write w = write_to(&k, rows[i].mode, rows[i].where);
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
        const sm_delta_commit *r = &c->record;
        assert_true(sm_str_is(r->operation, "WRITE"));
        assert_string_equal(parameters_text(&k, r), rows[i].parameters);
        assert_int_equal(r->isolation, rows[i].isolation);
        assert_int_equal(r->read.n > 0, r->isolation == SM_READ_FILES ||
                                            (rows[i].is_new && rows[i].where[0] != '\0'));
        assert_false(r->keeps_rows);
        assert_int_equal(r->n_adds, rows[i].n_adds);
        assert_int_equal(r->n_removes, rows[i].n_removes);
        assert_int_equal(metric(c, "numFiles"), rows[i].n_adds);
        assert_int_equal(metric(c, "numOutputRows"), 1 + rows[i].n_copied);
        assert_int_equal(metric(c, "numOutputBytes"), sm_candidate_bytes(c));
        assert_int_equal(metric(c, "numRemovedFiles"), rows[i].n_removes);
        assert_int_equal(metric(c, "numCopiedRows"), rows[i].n_copied);
        assert_int_equal(sm_candidate_rows(c), 1);
        assert_int_equal(sm_candidate_table_rows(c), rows[i].table_rows);
        assert_false(sm_candidate_is_empty(c));
        sm_candidate_release(c);

        assert_ok(stage_orders(&k, &w, NULL, 0, 1, &c, &e), &e);
        assert_int_equal(sm_candidate_is_empty(c), rows[i].is_empty_without_rows);
        sm_candidate_release(c);
        kit_release(&k);
    }
}

/* A candidate that keeps all rows, in other files. */
static void test_keeps_rows(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_OVERWRITE, "");
    assert_ok(write_orders(&k, &w, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
    assert_ok(stage_orders(&k, &w, old_rows, SM_COUNT(old_rows), 3, &c, &e), &e);
    assert_false(sm_candidate_keeps_rows(c));
    c->record.keeps_rows = true;
    assert_true(sm_candidate_keeps_rows(c));
    sm_candidate_release(c);
    kit_release(&k);
}

/* Breaks the i-th invariant; gives what validation must say, NULL after the last. */
static const char *break_promise(sm_candidate *c, int i)
{
    static sm_delta_metadata other = {.schema = &sm_type_string};
    static sm_delta_detail metric = {.key = {"numFiles", 8}};

    switch (i) {
    case 0:
        c->uri = SM_STR("");
        return "the candidate is of no table, or does nothing that has a name";
    case 1:
        c->record.metadata = &other;
        return "the candidate's schema is not that of its metadata";
    case 2:
        c->has_note = true;
        return "the candidate's note is there and has no name";
    case 3:
        c->n_rows++;
        return "the candidate has other rows or bytes than its files";
    case 4:
        c->bytes++;
        return "the candidate has other rows or bytes than its files";
    case 5:
        metric.value = sm_value_i64(2);
        c->record.metrics = &metric;
        c->record.n_metrics = 1;
        return "a metric differs from what it counts";
    case 6:
        c->record.n_txns = -1;
        return "a count is negative";
    default:
        return NULL;
    }
}

static void test_promises(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    const char *why = "";
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND, "");
    assert_ok(stage_orders(&k, &w, old_rows, SM_COUNT(old_rows), 3, &c, &e), &e);
    assert_true(smi_candidate_validate(c, true, &why));
    for (int i = 0;; i++) {
        sm_candidate broken = *c;
        const char *want = break_promise(&broken, i);
        if (!want) {
            break;
        }
        assert_false(smi_candidate_validate(&broken, true, &why));
        assert_string_equal(why, want);
    }
    sm_candidate_release(c);
    kit_release(&k);
}

/* ---- contracts ------------------------------------------------------------------------------- */

/* What the newest version of the table says of itself; "": there is none. */
static const char *newest_info(kit *k)
{
    sm_store *store = NULL;
    sm_delta_commit_info *infos = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &store, &e), &e);
    const sm_status st = sm_delta_history(store, 1, k->arena, &infos, &n, &e);
    sm_store_release(store);
    assert_true(st == SM_OK || st == SM_NOT_FOUND);
    return n > 0 ? sm_arena_str(k->arena, infos[0].json).data : "";
}

typedef enum judging { NOT_JUDGED, BROKEN, KEPT, BROKEN_THEN_KEPT, KEPT_THEN_BROKEN } judging;

static void judge(sm_candidate *c, judging j)
{
    if (j == BROKEN || j == BROKEN_THEN_KEPT) {
        sm_candidate_judge(c, &(sm_judged){.passes = false, .json = SM_STR("{\"rules\":1}")});
    }
    if (j == KEPT || j == BROKEN_THEN_KEPT || j == KEPT_THEN_BROKEN) {
        sm_candidate_judge(c, &(sm_judged){.passes = true, .json = SM_STR("{\"rules\":2}")});
    }
    if (j == KEPT_THEN_BROKEN) {
        sm_candidate_judge(c, &(sm_judged){.passes = false, .json = SM_STR("{\"rules\":3}")});
    }
}

/* A guarded candidate is published only with a verdict that passes, and the commit has it beside
 * what the note says, in whatever order they came. */
static void test_verdicts(void **state)
{
    static const char both[] = "\"smelt\":{\"verdict\":{\"rules\":2},\"run\":\"r1\"},\"more\":1";
    static const struct {
        bool is_guarded;
        judging judged;
        bool is_noted_first;
        const char *note, *info;
        sm_status want;
        const char *what;
    } rows[] = {
        {false, NOT_JUDGED, true, "\"smelt\":{\"run\":\"r1\"}", "\"smelt\":{\"run\":\"r1\"}", SM_OK,
         ""},
        {true, NOT_JUDGED, true, "", "", SM_CONTRACT, "was not judged"},
        {true, BROKEN, true, "", "", SM_CONTRACT, "does not keep"},
        {true, KEPT_THEN_BROKEN, true, "", "", SM_CONTRACT, "does not keep"},
        {true, KEPT, true, "", "\"smelt\":{\"verdict\":{\"rules\":2}}", SM_OK, ""},
        {true, KEPT, true, NULL, "\"smelt\":{\"verdict\":{\"rules\":2}}", SM_OK, ""},
        {true, BROKEN_THEN_KEPT, true, "\"more\":1",
         "\"smelt\":{\"verdict\":{\"rules\":2}},\"more\":1", SM_OK, ""},
        {true, KEPT, true, "\"smelt\":{\"run\":\"r1\"},\"more\":1", both, SM_OK, ""},
        {true, KEPT, false, "\"smelt\":{\"run\":\"r1\"},\"more\":1", both, SM_OK, ""},
        {true, KEPT, false, "\"smelt\":{}", "\"smelt\":{\"verdict\":{\"rules\":2}}", SM_OK, ""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        int64_t version = -1;
        kit_init(&k);
        const sm_write w = write_to(&k, SM_WRITE_APPEND, "");
        const sm_note note = {.info_json = sm_str_of(rows[i].note)};
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
        if (rows[i].is_guarded) {
            sm_candidate_guard(c);
        }
        if (rows[i].is_noted_first && rows[i].note) {
            sm_candidate_note(c, &note);
        }
        judge(c, rows[i].judged);
        if (!rows[i].is_noted_first) {
            sm_candidate_note(c, &note);
        }
        assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), rows[i].want, &e);
        sm_candidate_release(c);
        assert_int_equal(version, rows[i].want == SM_OK ? 0 : -1);
        assert_true(strstr(newest_info(&k), rows[i].info));
        assert_true(strstr(e.what, rows[i].what));
        assert_int_equal(count_data_files(&k, "silver/orders"), rows[i].want == SM_OK);
        kit_release(&k);
    }
}

/* Books of many files and verdicts of many rules are long. */
static void test_long_verdict(void **state)
{
    enum { N = 20000 };
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    int64_t version = -1;
    char *word = malloc(N + 1);
    kit_init(&k);
    memset(word, 'x', N);
    word[N] = '\0';
    const sm_write w = write_to(&k, SM_WRITE_APPEND, "");
    const sm_note note = {.info_json = sm_arena_strf(k.arena, "\"smelt\":{\"run\":\"%s\"}", word)};
    const sm_str verdict = sm_arena_strf(k.arena, "{\"rule\":\"%s\"}", word);
    assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
    sm_candidate_guard(c);
    sm_candidate_note(c, &note);
    sm_candidate_judge(c, &(sm_judged){.passes = true, .json = verdict});
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    const char *want = sm_arena_printf(
        k.arena, "\"smelt\":{\"verdict\":{\"rule\":\"%s\"},\"run\":\"%s\"}", word, word);
    assert_true(strstr(newest_info(&k), want));
    free(word);
    kit_release(&k);
}

/* One of two that breaks its contract holds both back; one that changes nothing is left out. */
static void test_verdict_of_one(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c[2] = {0};
    int64_t versions[2] = {0};
    kit_init(&k);
    const sm_write good = {.uri = kit_uri(&k, "bronze/orders")};
    const sm_write bad = write_to(&k, SM_WRITE_APPEND, "");
    assert_ok(stage_orders(&k, &good, new_rows, 1, 1, &c[0], &e), &e);
    assert_ok(stage_orders(&k, &bad, new_rows, 1, 1, &c[1], &e), &e);
    sm_candidate_guard(c[1]);
    assert_status(sm_publish(c, 2, k.budget, versions, NULL, &e), SM_CONTRACT, &e);
    assert_int_equal(versions[0], -1);
    assert_string_equal(newest_info(&k), "");
    sm_candidate_release(c[1]);
    assert_ok(stage_orders(&k, &bad, NULL, 0, 1, &c[1], &e), &e);
    sm_candidate_guard(c[1]);
    assert_ok(sm_publish(c, 2, k.budget, versions, NULL, &e), &e);
    assert_int_equal(versions[0], 0);
    assert_int_equal(versions[1], -1);
    sm_candidate_release(c[0]);
    sm_candidate_release(c[1]);
    kit_release(&k);
}

/* What another writer does to the table between the verdict and the publication. */
typedef enum rival { NOBODY, ADDS, COMPACTS, REPLACES } rival;

static void write_between(kit *k, rival r)
{
    const sm_optimize compact = {.uri = kit_uri(k, "silver/orders")};
    const sm_write add = write_to(k, SM_WRITE_APPEND, "");
    const sm_write replace = write_to(k, SM_WRITE_REPLACE_WHERE, "amount = 7");
    sm_optimize_report report;
    sm_error e = {0};

    if (r == ADDS || r == REPLACES) {
        assert_ok(write_orders(k, r == ADDS ? &add : &replace, new_rows, 1, NULL, &e), &e);
    } else if (r == COMPACTS) {
        assert_ok(sm_table_optimize(&compact, &k->env, &report, &e), &e);
        assert_true(report.n_removed > 1);
    }
}

/* A verdict on all rows of a table holds beside these rows only: not behind a commit that has
 * changed some. One on each row written holds anywhere. Both go behind a compaction. */
static void test_verdict_behind_others(void **state)
{
    static const struct {
        sm_write_mode mode;
        const char *where;
        bool is_of_table;
        rival between;
        sm_status want;
    } rows[] = {
        {SM_WRITE_APPEND, "", true, NOBODY, SM_OK},
        {SM_WRITE_APPEND, "", true, ADDS, SM_CONFLICT},
        {SM_WRITE_APPEND, "", true, REPLACES, SM_CONFLICT},
        {SM_WRITE_APPEND, "", true, COMPACTS, SM_OK},
        {SM_WRITE_APPEND, "", false, ADDS, SM_OK},
        {SM_WRITE_APPEND, "", false, REPLACES, SM_OK},
        {SM_WRITE_APPEND, "", false, COMPACTS, SM_OK},
        /* Nothing is replaced, so that files are in nobody's way; others write elsewhere. */
        {SM_WRITE_REPLACE_WHERE, "amount > 60", true, ADDS, SM_CONFLICT},
        {SM_WRITE_REPLACE_WHERE, "amount > 60", true, COMPACTS, SM_OK},
        {SM_WRITE_REPLACE_WHERE, "amount > 60", false, ADDS, SM_OK},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        int64_t version = -1;
        kit_init(&k);
        const sm_write old = {.uri = kit_uri(&k, "silver/orders"), .split_by = SM_STR("day")};
        assert_ok(write_orders(&k, &old, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
        assert_ok(write_orders(&k, &old, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
        const sm_write w = write_to(&k, rows[i].mode, rows[i].where);
        assert_ok(stage_orders(&k, &w, rows[i].where[0] ? great_rows : new_rows, 1, 1, &c, &e), &e);
        sm_candidate_guard(c);
        sm_candidate_judge(
            c,
            &(sm_judged){.passes = true, .is_of_table = rows[i].is_of_table, .json = SM_STR("{}")});
        write_between(&k, rows[i].between);
        assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), rows[i].want, &e);
        assert_int_equal(version >= 0, rows[i].want == SM_OK);
        if (rows[i].want == SM_CONFLICT) {
            assert_true(strstr(e.what, "rows"));
            assert_true(strstr(e.todo, "safe to run again"));
        }
        sm_candidate_release(c);
        kit_release(&k);
    }
}

/* Nobody follows who makes the table, whatever its verdict is of. */
static void test_verdict_of_a_new_table(void **state)
{
    for (int is_of_table = 0; is_of_table < 2; is_of_table++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c[2] = {0};
        int64_t version = -1;
        kit_init(&k);
        const sm_write w = write_to(&k, SM_WRITE_APPEND, "");
        for (int i = 0; i < 2; i++) {
            assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c[i], &e), &e);
            sm_candidate_guard(c[i]);
            sm_candidate_judge(c[i], &(sm_judged){.passes = true,
                                                  .is_of_table = is_of_table != 0,
                                                  .json = SM_STR("{}")});
        }
        assert_ok(sm_publish(&c[0], 1, k.budget, &version, NULL, &e), &e);
        assert_status(sm_publish(&c[1], 1, k.budget, &version, NULL, &e), SM_CONFLICT, &e);
        sm_candidate_release(c[0]);
        sm_candidate_release(c[1]);
        kit_release(&k);
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int64_t count_part(kit *k, sm_candidate *c, sm_candidate_part part, int64_t *sum)
{
    sm_names *names = sm_names_new(test_stores, SM_STR(""), k->budget);
    sm_arena *a = sm_arena_new(k->budget);
    const sm_plan_node *node = NULL;
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0, n_rows = 0;
    sm_error e = {0};

    assert_ok(sm_names_candidate_rows(names, c, part, SM_STR("orders"), &node, &e), &e);
    assert_true(sm_type_eq(node->schema, sm_candidate_schema(c)));
    assert_ok(sm_plan_finish(node, a, &plan, &e), &e);
    assert_ok(sm_exec_collect(plan, &k->env, a, &rows, &n, NULL, &e), &e);
    const int32_t amount = sm_type_find(node->schema, SM_STR("amount"));
    *sum = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t row = 0; row < rows[i]->n_rows; row++) {
            *sum += sm_column_value(&rows[i]->columns[amount], row).as.i;
        }
        n_rows += rows[i]->n_rows;
        sm_batch_release(rows[i]);
    }
    sm_arena_free(a);
    sm_names_free(names);
    return n_rows;
}

/* What the table will have, and of it what the write was given: rows that it moves are not. */
static void test_parts(void **state)
{
    static const struct {
        sm_write_mode mode;
        const char *where;
        int64_t n_table, sum_table;
    } rows[] = {
        {SM_WRITE_APPEND, "", 4, 19},
        {SM_WRITE_OVERWRITE, "", 1, 1},
        {SM_WRITE_REPLACE_WHERE, "amount = 6", 3, 13}, /* 5 is moved */
        {SM_WRITE_REPLACE_WHERE, "amount > 5", 2, 6},
        {SM_WRITE_REPLACE_WHERE, "amount = 60", 4, 19},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        int64_t sum = 0;
        kit_init(&k);
        const sm_write old = {.uri = kit_uri(&k, "silver/orders"), .split_by = SM_STR("day")};
        assert_ok(write_orders(&k, &old, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
        const sm_write w = write_to(&k, rows[i].mode, rows[i].where);
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
        assert_int_equal(count_part(&k, c, SM_CANDIDATE_TABLE, &sum), rows[i].n_table);
        assert_int_equal(sum, rows[i].sum_table);
        assert_int_equal(count_part(&k, c, SM_CANDIDATE_WRITTEN, &sum), 1);
        assert_int_equal(sum, 1);
        assert_int_equal(count_part(&k, c, SM_CANDIDATE_STAYS, &sum), rows[i].n_table - 1);
        assert_int_equal(sum, rows[i].sum_table - 1);
        sm_candidate_release(c);
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_long_verdict),
        cmocka_unit_test(test_verdict_of_one),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_keeps_rows),
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_verdict_behind_others),
        cmocka_unit_test(test_verdict_of_a_new_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
