/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_optimize_test.c: which files are joined and which stay, in which order their rows
 * are then, what the log says of it, and that it gives way to other writers. */
#include "orders.h"

#include "base/json_doc.h"
#include "table/table_int.h"

/* ---- a table of small files ------------------------------------------------------------------ */

#define TABLE "silver/orders"

/* Appends a file of n rows: names from `first` on, "a00007", and numbers that do not compress. */
static void add_file(kit *k, int first, int n)
{
    sm_error e = {0};
    order *rows = SM_NEW_ARRAY(k->arena, order, n);
    const sm_write w = {.uri = kit_uri(k, TABLE)};

    for (int i = 0; i < n; i++) {
        rows[i] = (order){"2022-04-01", sm_arena_strf(k->arena, "a%05d", first + i).data,
                          (int64_t)((uint64_t)(first + i + 1) * 0x9e3779b97f4a7c15u >> 2)};
    }
    assert_ok(write_orders(k, &w, rows, n, NULL, &e), &e);
}

/* Files of so many rows each, in one table; a 0 ends them. */
static void make_files(kit *k, const int *rows)
{
    int first = 0;

    for (int i = 0; rows[i] > 0; i++) {
        add_file(k, first, rows[i]);
        first += rows[i];
    }
}

static sm_snapshot *open_table(kit *k)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_snapshot *out = NULL;

    assert_ok(sm_store_open(test_stores, kit_uri(k, TABLE), &s, &e), &e);
    assert_ok(sm_table_open(s, k->budget, &out, &e), &e);
    assert_ok(sm_snapshot_list(out, &e), &e);
    sm_store_release(s);
    return out;
}

/* The rows of each live file, "3 3 200". */
static const char *files_text(kit *k)
{
    sm_buf text = {0};
    int64_t n = 0;
    sm_snapshot *s = open_table(k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; i < n; i++) {
        sm_buf_printf(&text, "%s%" PRId64, i > 0 ? " " : "", files[i].n_rows);
    }
    const char *out = sm_arena_str(k->arena, sm_buf_str(&text)).data;
    sm_buf_release(&text);
    sm_snapshot_release(s);
    return out;
}

static int64_t version_of(kit *k)
{
    sm_snapshot *s = open_table(k);
    const int64_t out = sm_snapshot_version(s);

    sm_snapshot_release(s);
    return out;
}

static uint64_t bytes_of_file(kit *k, int64_t i)
{
    int64_t n = 0;
    sm_snapshot *s = open_table(k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    assert_true(i < n);
    const uint64_t out = files[i].size_bytes;
    sm_snapshot_release(s);
    return out;
}

static sm_status run(kit *k, uint64_t target, bool is_dry, sm_optimize_report *r, sm_error *e)
{
    const sm_optimize o = {.uri = kit_uri(k, TABLE), .target_bytes = target, .is_dry = is_dry};
    return sm_table_optimize(&o, &k->env, r, e);
}

/* ---- which files ----------------------------------------------------------------------------- */

static void test_bins(void **state)
{
    static const struct {
        int rows[9];
        int small; /* the target is three and a half times the size of file `small` … */
        const char *after;
        int64_t n_bins, n_removed, n_commits;
    } cases[] = {
        {{2000, 2000}, 0, "4000", 1, 2, 1},
        {{2000}, 0, "2000", 0, 0, 0},
        {{2000, 2000, 2000, 2000, 2000}, 0, "6000 4000", 2, 5, 1},
        {{2000, 9000, 2000}, 0, "2000 9000 2000", 0, 0, 0},
        {{9000, 2000, 2000}, 1, "9000 4000", 1, 2, 1},
        {{2000, 2000, 9000, 2000, 2000, 2000}, 0, "4000 9000 6000", 2, 5, 1},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        sm_error e = {0};
        sm_optimize_report trial = {0}, r = {0}, again = {0};
        kit_init(&k);
        make_files(&k, cases[i].rows);
        const uint64_t target = bytes_of_file(&k, cases[i].small) * 7 / 2;
        const char *rows = table_text(&k, "silver", "orders");
        const int64_t version = version_of(&k);

        assert_ok(run(&k, target, true, &trial, &e), &e);
        assert_int_equal(version_of(&k), version);
        assert_int_equal(trial.n_commits, 0);
        assert_ok(run(&k, target, false, &r, &e), &e);
        assert_string_equal(files_text(&k), cases[i].after);
        assert_string_equal(table_text(&k, "silver", "orders"), rows);
        assert_int_equal(r.n_bins, cases[i].n_bins);
        assert_int_equal(r.n_removed, cases[i].n_removed);
        assert_int_equal(r.n_commits, cases[i].n_commits);
        assert_int_equal(r.n_added, cases[i].n_bins);
        assert_int_equal(r.version, cases[i].n_commits > 0 ? version + cases[i].n_commits : -1);
        assert_int_equal(trial.n_bins, r.n_bins);
        assert_int_equal(trial.removed_bytes, r.removed_bytes);

        assert_ok(run(&k, target, false, &again, &e), &e);
        assert_int_equal(again.n_commits, 0);
        assert_int_equal(again.version, -1);
        assert_int_equal(version_of(&k), version + cases[i].n_commits);
        kit_release(&k);
    }
}

/* Of files that are hardly more than their footers several bins become files that fit into one: it
 * takes a second commit. */
static void test_joins_what_became_small(void **state)
{
    static const int rows[] = {10, 10, 10, 10, 10, 10, 10, 0};
    kit k;
    sm_error e = {0};
    sm_optimize_report r = {0}, again = {0};

    kit_init(&k);
    make_files(&k, rows);
    const uint64_t target = bytes_of_file(&k, 0) * 7 / 2;
    assert_ok(run(&k, target, false, &r, &e), &e);
    assert_string_equal(files_text(&k), "70");
    assert_int_equal(r.n_commits, 2);
    assert_int_equal(r.n_bins, 3);
    assert_int_equal(r.n_removed, 9);
    assert_ok(run(&k, target, false, &again, &e), &e);
    assert_int_equal(again.n_commits, 0);
    kit_release(&k);
}

/* ---- what the log says ----------------------------------------------------------------------- */

static const sm_json *last_commit(kit *k, bool of_metrics)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_delta_commit_info *info = NULL;
    const sm_json *json = NULL;
    int64_t n = 0;

    assert_ok(sm_store_open(test_stores, kit_uri(k, TABLE), &s, &e), &e);
    assert_ok(sm_delta_history(s, 1, k->arena, &info, &n, &e), &e);
    assert_true(sm_str_is(info[0].operation, "OPTIMIZE"));
    assert_ok(sm_json_parse(of_metrics ? info[0].metrics_json : info[0].parameters_json, k->arena,
                            &json, &e),
              &e);
    sm_store_release(s);
    return json;
}

static void test_record(void **state)
{
    static const int rows[] = {3, 3, 3, 0};
    kit k;
    sm_error e = {0};
    sm_optimize_report r = {0};
    sm_buf text = {0};
    sm_store *s = NULL;

    kit_init(&k);
    make_files(&k, rows);
    assert_ok(run(&k, 0, false, &r, &e), &e);
    assert_int_equal(r.target_bytes, (int64_t)256 << 20);
    assert_int_equal(r.n_rows, 9);
    const sm_json *m = last_commit(&k, true), *p = last_commit(&k, false);
    assert_true(sm_str_is(sm_json_text(sm_json_get(m, "numRemovedFiles")), "3"));
    assert_true(sm_str_is(sm_json_text(sm_json_get(m, "numAddedFiles")), "1"));
    assert_true(sm_str_is(sm_json_text(sm_json_get(p, "zOrderBy")), "[]"));
    assert_true(sm_str_is(sm_json_text(sm_json_get(p, "predicate")), "[]"));

    assert_ok(sm_store_open(test_stores, kit_uri(&k, TABLE), &s, &e), &e);
    const sm_str key = sm_arena_strf(k.arena, "_delta_log/%020d.json", 3);
    assert_ok(sm_store_get(s, key, &text, &e), &e);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_null(strstr((const char *)text.data, "\"dataChange\":true"));
    assert_non_null(strstr((const char *)text.data, "\"dataChange\":false"));
    sm_buf_release(&text);
    sm_store_release(s);
    kit_release(&k);
}

/* The table's own target size, as Spark writes it. */
static void test_property(void **state)
{
    static const struct {
        const char *text;
        uint64_t want; /* 0: it is refused */
    } cases[] = {
        {"104857600", 104857600},
        {"100mb", (uint64_t)100 << 20},
        {"64KB", 64 << 10},
        {"2g", (uint64_t)2 << 30},
        {"7b", 7},
        {"1T", (uint64_t)1 << 40},
        {"", 0},
        {"b", 0},
        {"k", 0},
        {"0", 0},
        {"-1", 0},
        {"1.5gb", 0},
        {"9999999999tb", 0},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_pair config = {SM_STR("delta.targetFileSize"), sm_str_of(cases[i].text)};
        const sm_delta_metadata m = {.config = &config, .n_config = 1};
        sm_error e = {0};
        uint64_t out = 1;
        const sm_status st = sm_delta_target_bytes(&m, &out, &e);
        assert_int_equal(st, cases[i].want > 0 ? SM_OK : SM_INVALID);
        assert_int_equal(out, cases[i].want);
    }
}

/* ---- other writers --------------------------------------------------------------------------- */

/* Rewrites all files of the table as it is now; not published. */
static sm_candidate *stage_rewrite(kit *k)
{
    sm_error e = {0};
    int64_t n = 0;
    sm_candidate *c = NULL;
    sm_snapshot *s = open_table(k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    const sm_delta_file **all = SM_NEW_ARRAY(k->arena, const sm_delta_file *, n);

    for (int64_t i = 0; i < n; i++) {
        all[i] = &files[i];
    }
    const smi_rewrite r = {.base = s, .files = all, .n_files = n};
    assert_ok(smi_rewrite_files(&r, &k->env, &c, &e), &e);
    sm_snapshot_release(s);
    return c;
}

/* An append goes on beside it; a commit that removed one of its files is first. */
static void test_others(void **state)
{
    static const int rows[] = {3, 3, 0};
    for (int removes = 0; removes < 2; removes++) {
        kit k;
        sm_error e = {0};
        int64_t version = -1;
        static const order more[] = {{"2022-04-02", "z", 1}};
        kit_init(&k);
        make_files(&k, rows);
        sm_candidate *c = stage_rewrite(&k);
        assert_true(sm_candidate_keeps_rows(c));
        assert_int_equal(sm_candidate_rows(c), 0);
        assert_int_equal(sm_candidate_table_rows(c), 6);
        const sm_write w = {.uri = kit_uri(&k, TABLE),
                            .mode = removes ? SM_WRITE_OVERWRITE : SM_WRITE_APPEND};
        assert_ok(write_orders(&k, &w, more, 1, NULL, &e), &e);
        const int n_before = count_data_files(&k, TABLE);
        const sm_status st = sm_publish(&c, 1, k.budget, &version, NULL, &e);
        sm_candidate_release(c);
        assert_int_equal(st, removes ? SM_CONFLICT : SM_OK);
        assert_int_equal(version, removes ? -1 : 3);
        assert_int_equal(count_data_files(&k, TABLE), n_before - removes);
        kit_release(&k);
    }
}

/* A log that says other numbers of rows than the files have: nothing is changed. */
static void test_wrong_counts(void **state)
{
    static const int rows[] = {3, 3, 0};
    kit k;
    sm_error e = {0};
    sm_buf text = {0};
    sm_store *s = NULL;
    sm_optimize_report r = {0};

    kit_init(&k);
    make_files(&k, rows);
    assert_ok(sm_store_open(test_stores, kit_uri(&k, TABLE), &s, &e), &e);
    const sm_str key = sm_arena_strf(k.arena, "_delta_log/%020d.json", 1);
    assert_ok(sm_store_get(s, key, &text, &e), &e);
    sm_buf_text(&text, (sm_str){"", 1});
    char *said = strstr((char *)text.data, "numRecords\\\":3");
    assert_non_null(said);
    said[strlen("numRecords\\\":")] = '4';
    assert_ok(sm_store_put(s, key, text.data, text.len - 1, SM_PUT_REPLACE, &e), &e);
    sm_buf_release(&text);
    sm_store_release(s);
    const int n_before = count_data_files(&k, TABLE);
    assert_int_equal(run(&k, 0, false, &r, &e), SM_CORRUPT);
    assert_int_equal(r.n_commits, 0);
    assert_int_equal(count_data_files(&k, TABLE), n_before);
    assert_string_equal(files_text(&k), "3 4");
    kit_release(&k);
}

static void test_no_table(void **state)
{
    kit k;
    sm_error e = {0};
    sm_optimize_report r = {0};

    kit_init(&k);
    assert_int_equal(run(&k, 0, false, &r, &e), SM_NOT_FOUND);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins),     cmocka_unit_test(test_joins_what_became_small),
        cmocka_unit_test(test_record),   cmocka_unit_test(test_property),
        cmocka_unit_test(test_others),   cmocka_unit_test(test_wrong_counts),
        cmocka_unit_test(test_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
