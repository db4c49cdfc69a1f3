/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_fsck_test.c: what a check finds in tables of which one thing is wrong, and what a
 * repair takes away; stores that fail. */
#include "orders.h"

static const order few[] = {{"2022-04-01", "anna", 1}, {"2022-04-02", "bert", 2}, {NULL, NULL, 3}};

/* Three files, of 3, 2 and 1 rows. */
static sm_store *make_table(kit *k)
{
    const sm_write w = {.uri = kit_uri(k, "silver/orders")};
    sm_error e = {0};

    for (int i = 0; i < 3; i++) {
        assert_ok(write_orders(k, &w, few, 3 - i, NULL, &e), &e);
    }
    return open_store(w.uri.data);
}

/* The findings of the last run. */
#define MOST_FINDINGS 16
typedef struct told {
    sm_arena *arena;
    sm_fsck_finding items[MOST_FINDINGS];
    int64_t n;
} told;

static void keep_finding(void *ctx, const sm_fsck_finding *f)
{
    told *t = ctx;

    assert_true(t->n < MOST_FINDINGS);
    t->items[t->n] = *f;
    t->items[t->n].file = sm_arena_str(t->arena, f->file);
    t->items[t->n].what = sm_arena_str(t->arena, f->what);
    t->n++;
}

static sm_status run_told(kit *k, sm_store *s, sm_fsck opts, sm_fsck_report *r, told *t,
                          sm_error *e)
{
    *t = (told){.arena = k->arena};
    opts.found = keep_finding;
    opts.ctx = t;
    const sm_status st = sm_table_fsck(s, &opts, &k->env, k->arena, r, e);
    assert_int_equal(t->n, r->n_findings);
    return st;
}

static sm_status run(kit *k, sm_store *s, sm_fsck opts, sm_fsck_report *r, sm_error *e)
{
    told unused;

    return run_told(k, s, opts, r, &unused, e);
}

/* The key of the file that was written by that version. */
static const char *file_of(kit *k, sm_store *s, int64_t version)
{
    sm_snapshot *snapshot = NULL;
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, k->budget, &snapshot, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(snapshot, &n);
    assert_true(version < n);
    const char *key = sm_arena_str(k->arena, files[version].key).data;
    sm_snapshot_release(snapshot);
    return key;
}

static sm_str get(kit *k, sm_store *s, const char *key)
{
    sm_buf text = {0};
    sm_error e = {0};
    assert_ok(sm_store_get(s, sm_str_of(key), &text, &e), &e);
    const sm_str out = sm_arena_str(k->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static void put_bytes(sm_store *s, const char *key, sm_str bytes)
{
    sm_error e = {0};
    assert_ok(sm_store_put(s, sm_str_of(key), bytes.data, bytes.len, SM_PUT_REPLACE, &e), &e);
}

/* Puts another text of the same length into the commit of version 0. */
static void change_commit(kit *k, sm_store *s, const char *from, const char *to)
{
    const char *key = "_delta_log/00000000000000000000.json";
    const sm_str text = get(k, s, key);
    char *at = strstr(text.data, from);

    assert_int_equal(strlen(from), strlen(to));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    put_bytes(s, key, text);
}

/* ---- what is found --------------------------------------------------------------------------- */

static void lose(kit *k, sm_store *s)
{
    sm_error e = {0};
    assert_ok(sm_store_delete(s, sm_str_of(file_of(k, s, 0)), &e), &e);
}

static void shorten(kit *k, sm_store *s)
{
    put_text(s, file_of(k, s, 0), "PAR1");
}

static void break_footer(kit *k, sm_store *s)
{
    const char *key = file_of(k, s, 0);
    const sm_str bytes = get(k, s, key);
    memset((char *)bytes.data + bytes.len - 20, 0xff, 8);
    put_bytes(s, key, bytes);
}

static void break_page(kit *k, sm_store *s)
{
    const char *key = file_of(k, s, 0);
    const sm_str bytes = get(k, s, key);
    ((char *)bytes.data)[40] ^= 1;
    put_bytes(s, key, bytes);
}

static void say_other_rows(kit *k, sm_store *s)
{
    change_commit(k, s, "\\\"numRecords\\\":3", "\\\"numRecords\\\":4");
}

static void say_greater_min(kit *k, sm_store *s)
{
    change_commit(k, s, "\\\"minValues\\\":{\\\"day\\\":\\\"2022-04-01",
                  "\\\"minValues\\\":{\\\"day\\\":\\\"2022-04-02");
}

static void say_other_nulls(kit *k, sm_store *s)
{
    change_commit(k, s, "\\\"amount\\\":0", "\\\"amount\\\":1");
}

static void break_statistics(kit *k, sm_store *s)
{
    change_commit(k, s, "\\\"numRecords\\\":3", "\\\"numRecords\\\":x");
}

static void lose_commit(kit *k, sm_store *s)
{
    sm_error e = {0};
    assert_ok(sm_store_delete(s, SM_STR("_delta_log/00000000000000000001.json"), &e), &e);
}

static const struct {
    const char *name;
    void (*damage)(kit *k, sm_store *s); /* NULL: none */
    bool only_data;                      /* only a look at the data finds it */
    sm_fsck_kind kind;
    const char *what;
    int64_t n_findings;
    bool goes, goes_damaged; /* does the entry go in a repair? */
} cases[] = {
    {"whole", NULL, false, SM_FSCK_LOG, "", 0, false, false},
    {"gone", lose, false, SM_FSCK_GONE, "it is gone from the store", 1, true, true},
    {"short", shorten, false, SM_FSCK_SIZE, "it has 4 bytes, the log says", 1, false, true},
    {"footer", break_footer, false, SM_FSCK_DAMAGED, "", 1, false, true},
    {"page", break_page, true, SM_FSCK_DAMAGED, "", 1, false, true},
    {"rows", say_other_rows, false, SM_FSCK_ROWS, "it has 3 rows, the log says 4", 1, false, true},
    {"min", say_greater_min, true, SM_FSCK_STATISTICS,
     "column day: the log says that no value is less than 2022-04-02, it has 2022-04-01", 1, false,
     false},
    {"nulls", say_other_nulls, true, SM_FSCK_STATISTICS,
     "column amount: the log says that it has 1 times NULL, it has 0", 1, false, false},
    {"no statistics", break_statistics, false, SM_FSCK_STATISTICS,
     "its statistics in the log are no JSON object", 1, false, false},
    {"gap", lose_commit, false, SM_FSCK_LOG, "version 1 is missing", 2, false, false},
};

static void check_case(int i, bool reads_data)
{
    kit k;
    sm_error e = {0};
    sm_fsck_report r;
    told t;
    kit_init(&k);
    sm_store *s = make_table(&k);

    if (cases[i].damage) {
        cases[i].damage(&k, s);
    }
    assert_ok(run_told(&k, s, (sm_fsck){.reads_data = reads_data}, &r, &t, &e), &e);
    const int64_t n = cases[i].only_data && !reads_data ? 0 : cases[i].n_findings;
    for (int64_t f = 0; f < r.n_findings; f++) {
        print_message("%s: %s\n", cases[i].name, t.items[f].what.data);
        assert_true(t.items[f].todo.len > 0 && t.items[f].file.len > 0);
    }
    assert_int_equal(r.n_findings, n);
    assert_int_equal(r.n_left, n);
    if (n > 0) {
        assert_int_equal(t.items[0].kind, cases[i].kind);
        assert_non_null(strstr(t.items[0].what.data, cases[i].what));
    }
    assert_int_equal(r.n_removed, 0);
    assert_int_equal(r.made, -1);

    for (int damaged = 0; damaged < 2 && n > 0; damaged++) {
        const sm_fsck dry = {.reads_data = reads_data,
                             .is_repair = true,
                             .is_dry = true,
                             .removes_damaged = damaged > 0};
        const bool goes = damaged > 0 ? cases[i].goes_damaged : cases[i].goes;
        assert_ok(run(&k, s, dry, &r, &e), &e);
        assert_int_equal(r.n_removed, goes);
        assert_int_equal(r.n_left, n);
        assert_int_equal(r.made, -1);
    }
    sm_store_release(s);
    kit_release(&k);
}

static void test_findings(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        check_case(i, false);
        check_case(i, true);
    }
}

/* ---- the repair ------------------------------------------------------------------------------ */

static void test_repair(void **state)
{
    kit k;
    sm_error e = {0};
    sm_fsck_report r;
    kit_init(&k);
    sm_store *s = make_table(&k);
    const sm_fsck unnamed = {.is_repair = true, .rows_named = SM_ROWS_UNNAMED};
    const sm_fsck named = {.is_repair = true, .rows_named = 3};

    assert_ok(run(&k, s, unnamed, &r, &e), &e); /* nothing goes, so nothing is to be named */
    assert_int_equal(r.made, -1);
    lose(&k, s);
    assert_status(run(&k, s, unnamed, &r, &e), SM_USAGE, &e);
    assert_non_null(strstr(e.what, "would take 3 rows out of the table, with 1 file"));
    assert_non_null(strstr(e.todo, "--rows 3"));
    assert_int_equal(r.n_left, 1);
    e = (sm_error){0};
    assert_status(run(&k, s, (sm_fsck){.is_repair = true, .rows_named = 2}, &r, &e), SM_USAGE, &e);
    e = (sm_error){0};
    assert_ok(run(&k, s, named, &r, &e), &e);
    assert_int_equal(r.made, 3);
    assert_int_equal(r.removed_rows, 3);
    assert_int_equal(r.n_left, 0);
    assert_string_equal(table_text(&k, "silver", "orders"),
                        "2022-04-01 anna 1;2022-04-02 bert 2;2022-04-01 anna 1;");
    assert_ok(run(&k, s, (sm_fsck){.reads_data = true}, &r, &e), &e);
    assert_int_equal(r.n_findings, 0);
    sm_store_release(s);
    kit_release(&k);
}

static void test_append_only(void **state)
{
    kit k;
    sm_error e = {0};
    sm_fsck_report r;
    kit_init(&k);
    sm_store *s = make_table(&k);

    const char *key = "_delta_log/00000000000000000000.json";
    const sm_str text = get(&k, s, key);
    const char *at = strstr(text.data, "\"configuration\":{}");
    const size_t before = (size_t)(at - text.data) + strlen("\"configuration\":{");
    put_bytes(s, key,
              sm_arena_strf(k.arena, "%.*s\"delta.appendOnly\":\"true\"%s", (int)before, text.data,
                            text.data + before));
    lose(&k, s);
    assert_status(run(&k, s, (sm_fsck){.is_repair = true, .rows_named = 3}, &r, &e), SM_DENIED, &e);
    assert_int_equal(r.n_left, 1);
    sm_store_release(s);
    kit_release(&k);
}

/* ---- what lies around ------------------------------------------------------------------------ */

static void test_leftovers(void **state)
{
    kit k;
    sm_error e = {0};
    sm_fsck_report r;
    kit_init(&k);
    sm_store *s = make_table(&k);
    FILE *left = fopen(kit_uri(&k, "silver/orders/.smelt-tmp-0123456789abcdef").data, "w");

    assert_non_null(left);
    assert_int_equal(fputs("abc", left) < 0, 0);
    assert_int_equal(fclose(left), 0);
    assert_ok(run(&k, s, (sm_fsck){0}, &r, &e), &e);
    assert_int_equal(r.n_findings, 0);
    assert_int_equal(r.n_leftovers, 1);
    assert_int_equal(r.leftover_bytes, 3);
    assert_int_equal(r.publication, 0);
    sm_store_release(s);
    kit_release(&k);
}

static void test_no_table(void **state)
{
    kit k;
    sm_error e = {0};
    sm_fsck_report r;
    kit_init(&k);
    sm_store *s = open_store(kit_uri(&k, "folder").data);
    assert_status(run(&k, s, (sm_fsck){0}, &r, &e), SM_NOT_FOUND, &e);
    sm_store_release(s);
    kit_release(&k);
}

/* Each k-th call to the store fails: a check says nothing wrong of the table, and a repair is done
 * or not, never in part. */
static void test_failures(void **state)
{
    for (int at = 1;; at++) {
        kit k;
        sm_error e = {0};
        sm_fsck_report r;
        kit_init(&k);
        sm_store *s = make_table(&k);
        sm_store_release(s);
        s = open_store(kit_uri(&k, "silver/orders").data);
        lose(&k, s);
        sm_store_release(s);

        setenv("SMELT_FAULT", sm_arena_strf(k.arena, "at=%d,kind=error", at).data, 1);
        s = open_store(kit_uri(&k, "silver/orders").data);
        const sm_fsck opts = {.is_repair = true, .rows_named = 3};
        told t;
        const sm_status st = run_told(&k, s, opts, &r, &t, &e);
        sm_store *count = open_store("memory://count");
        const bool fired = sm_fault_calls(count) >= at;
        sm_store_release(count);
        sm_store_release(s);
        unsetenv("SMELT_FAULT");
        for (int64_t i = 0; i < r.n_findings; i++) {
            assert_int_equal(t.items[i].kind, SM_FSCK_GONE);
        }

        s = open_store(kit_uri(&k, "silver/orders").data);
        e = (sm_error){0};
        assert_ok(run(&k, s, (sm_fsck){.is_repair = true, .rows_named = 3}, &r, &e), &e);
        assert_int_equal(r.n_left, 0);
        assert_true(st != SM_OK || r.n_removed == 0); /* the first one has done it */
        assert_string_equal(table_text(&k, "silver", "orders"),
                            "2022-04-01 anna 1;2022-04-02 bert 2;2022-04-01 anna 1;");
        sm_store_release(s);
        kit_release(&k);
        if (!fired) {
            assert_int_equal(st, SM_OK);
            assert_true(at > 10);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),    cmocka_unit_test(test_repair),
        cmocka_unit_test(test_append_only), cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_no_table),    cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
