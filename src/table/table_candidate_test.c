/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_candidate_test.c: what a write leaves in its record, so that nothing behind the
 * stage has to ask how it was made; and what a candidate's check finds. */
#include "orders.h"

#include "table/table_int.h"

static const order old_rows[] = {
    {"2022-04-01", "anna", 5}, {"2022-04-01", "bert", 6}, {"2022-04-02", "carl", 7}};
static const order new_rows[] = {{"2022-04-01", "dora", 1}};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_keeps_rows),
        cmocka_unit_test(test_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
