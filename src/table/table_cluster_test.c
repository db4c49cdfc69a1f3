/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_test.c: which files a clustering moves, run after run; that rows stay the
 * same and are in order; what the log and the tags say; that a replace keeps the marks. */
#include "orders.h"

#include <stdlib.h>

#include "base/json_doc.h"
#include "table/table_int.h"

#define TABLE "silver/orders"

/* ---- a table --------------------------------------------------------------------------------- */

/* A row by its number: some days, names in no order, NULLs among both; nothing that compresses. */
static order row_of(kit *k, int i)
{
    const uint64_t random = sm_hash64(&i, sizeof(i));
    const int day = (int)(random >> 40) % 9;

    return (order){
        .day = day == 8 ? NULL : sm_arena_strf(k->arena, "2022-04-%02d", day + 1).data,
        .name = i % 17 == 0 ? NULL : sm_arena_strf(k->arena, "n%06d", (int)(random >> 44)).data,
        .amount = (int64_t)(random >> 2),
    };
}

static void append(kit *k, const order *rows, int64_t n)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, TABLE)};

    assert_ok(write_orders(k, &w, rows, n, NULL, &e), &e);
}

static void add_rows(kit *k, int first, int n)
{
    order *rows = SM_NEW_ARRAY(k->arena, order, n);

    for (int i = 0; i < n; i++) {
        rows[i] = row_of(k, first + i);
    }
    append(k, rows, n);
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

/* Sets a property of the table by a commit of its own. */
static void set_property(kit *k, const char *key, const char *value)
{
    sm_error e = {0};
    int64_t version = -1;
    sm_snapshot *s = open_table(k);
    sm_delta_metadata m = *sm_snapshot_metadata(s);
    sm_pair *config = SM_NEW_ARRAY(k->arena, sm_pair, m.n_config + 1);

    for (int32_t i = 0; i < m.n_config; i++) {
        config[i] = m.config[i];
    }
    config[m.n_config++] = (sm_pair){sm_str_of(key), sm_str_of(value)};
    m.config = config;
    const sm_delta_commit c = {.operation = SM_STR("SET TBLPROPERTIES"), .metadata = &m};
    assert_ok(sm_delta_commit_write(sm_snapshot_store(s), s, &c, k->budget, &version, &e), &e);
    sm_snapshot_release(s);
}

static sm_status cluster(kit *k, const char *by, sm_cluster_report *r, sm_error *e)
{
    sm_str columns[16];
    sm_cluster c = {.uri = kit_uri(k, TABLE), .by = columns};

    for (const char *at = by; *at; at += at[columns[c.n_by - 1].len] ? columns[c.n_by - 1].len + 1
                                                                     : columns[c.n_by - 1].len) {
        columns[c.n_by++] = (sm_str){at, strcspn(at, ",")};
    }
    return sm_table_cluster(&c, &k->env, k->arena, r, e);
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* The rows of the table in an order that does not depend on theirs. */
static const char *rows_text(kit *k)
{
    char *text = (char *)table_text(k, "silver", "orders"), *rest = NULL;
    const char **rows = SM_NEW_ARRAY(k->arena, const char *, strlen(text) + 1);
    sm_buf out = {0};
    size_t n = 0;

    for (char *row = strtok_r(text, ";", &rest); row; row = strtok_r(NULL, ";", &rest)) {
        rows[n++] = row;
    }
    qsort(rows, n, sizeof(*rows), by_text);
    for (size_t i = 0; i < n; i++) {
        sm_buf_printf(&out, "%s;", rows[i]);
    }
    const char *copy = sm_arena_str(k->arena, sm_buf_str(&out)).data;
    sm_buf_release(&out);
    return copy;
}

/* ---- which files move ------------------------------------------------------------------------ */

/* Load after load, each followed by a clustering: sets join when they are small beside what comes,
 * and a second run never does anything. */
static void test_sets(void **state)
{
    static const struct {
        int rows;
        int64_t n_moved, n_sets;
    } loads[] = {
        {2000, 1, 1}, /* one set of 2,000 */
        {1500, 2, 1}, /* 2,000 is at most twice 1,500: 3,500 */
        {300, 1, 2},  /* 3,500, 300 */
        {250, 2, 2},  /* 3,500, 550 */
        {200, 1, 3},  /* 3,500, 550, 200 */
        {250, 3, 2},  /* 200 joins, then 550: 3,500, 1,000 */
        {900, 3, 1},  /* 1,000 joins, then 3,500 */
    };
    kit k;
    sm_error e = {0};
    int first = 0;

    kit_init(&k);
    for (int i = 0; i < SM_COUNT(loads); i++) {
        sm_cluster_report r = {0}, again = {0};
        add_rows(&k, first, loads[i].rows);
        first += loads[i].rows;
        const char *rows = rows_text(&k);
        assert_ok(cluster(&k, i == 0 ? "day,Name" : "", &r, &e), &e);
        assert_int_equal(r.n_removed, loads[i].n_moved);
        assert_int_equal(r.n_sets, loads[i].n_sets);
        assert_int_equal(r.version, r.from + 1);
        assert_string_equal(rows_text(&k), rows);
        const int n_before = count_data_files(&k, TABLE);
        assert_ok(cluster(&k, "day,Name", &again, &e), &e);
        assert_int_equal(again.version, -1);
        assert_int_equal(again.n_removed, 0);
        assert_int_equal(again.n_sets, loads[i].n_sets);
        assert_int_equal(again.from, r.version);
        assert_int_equal(count_data_files(&k, TABLE), n_before);
    }
    kit_release(&k);
}

/* Too few rows wait until there are enough; sets that are there stay meanwhile. */
static void test_least_rows(void **state)
{
    static const struct {
        int rows;
        int64_t n_moved, n_waiting, n_kept;
    } loads[] = {{400, 0, 1, 0}, {400, 0, 2, 0}, {400, 3, 0, 0}, {900, 0, 1, 1}, {100, 3, 0, 0}};
    kit k;
    sm_error e = {0};
    sm_str by = SM_STR("Name");
    int first = 0;

    kit_init(&k);
    for (int i = 0; i < SM_COUNT(loads); i++) {
        const sm_cluster c = {.uri = kit_uri(&k, TABLE), .by = &by, .n_by = 1, .least_rows = 1000};
        sm_cluster_report r = {0};
        add_rows(&k, first, loads[i].rows);
        first += loads[i].rows;
        assert_ok(sm_table_cluster(&c, &k.env, k.arena, &r, &e), &e);
        assert_int_equal(r.n_removed, loads[i].n_moved);
        assert_int_equal(r.n_waiting, loads[i].n_waiting);
        assert_int_equal(r.n_kept, loads[i].n_kept);
        assert_int_equal(r.version, loads[i].n_moved > 0 ? r.from + 1 : -1);
    }
    kit_release(&k);
}

/* A file whose values lie apart stays, although its set is small beside what moves; one that is
 * too small does not. */
static void test_apart(void **state)
{
    static const struct {
        const char *target;
        char letter; /* of the new names; the old ones begin with m */
        int64_t n_moved;
    } cases[] = {
        {"10000", 'z', 1},
        {"10000", 'm', 2},
        {"10000000", 'z', 2},
        {"10000", 'a', 1},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        sm_error e = {0};
        sm_cluster_report r = {0};
        order rows[2][2000];
        kit_init(&k);
        for (int n = 0; n < SM_COUNT(rows[0]); n++) {
            for (int load = 0; load < 2; load++) {
                rows[load][n] = row_of(&k, n);
                rows[load][n].name =
                    sm_arena_strf(k.arena, "%c%05d", load == 0 ? 'm' : cases[i].letter, n).data;
            }
        }
        append(&k, rows[0], SM_COUNT(rows[0]));
        set_property(&k, "delta.targetFileSize", cases[i].target);
        set_property(&k, "smelt.rowGroupRows", "100000"); /* so that it stays one file */
        assert_ok(cluster(&k, "Name", &r, &e), &e);
        assert_int_equal(r.n_removed, 1);
        assert_int_equal(r.n_added, 1);
        append(&k, rows[1], SM_COUNT(rows[1]));
        assert_ok(cluster(&k, "Name", &r, &e), &e);
        assert_int_equal(r.n_removed, cases[i].n_moved);
        assert_int_equal(r.n_sets, cases[i].n_moved == 1 ? 2 : 1);
        kit_release(&k);
    }
}

/* Other columns, or another curve: all is sorted again. What a table says counts where nothing else
 * is asked for. */
static void test_otherwise(void **state)
{
    static const sm_curve hilbert = SM_CURVE_HILBERT, zorder = SM_CURVE_ZORDER;
    static const struct {
        const char *by[2];
        const sm_curve *curve;
        int64_t n_moved;
        sm_curve then;
        const char *why;
    } runs[] = {
        {{"day", "Name"}, NULL, 1, SM_CURVE_ZORDER, "not clustered"},
        {{"day", "Name"}, &zorder, 0, SM_CURVE_ZORDER, NULL},
        {{"day", "Name"}, &hilbert, 1, SM_CURVE_HILBERT, "clustered otherwise"},
        {{"day", "Name"}, NULL, 0, SM_CURVE_HILBERT, NULL},
        {{NULL}, NULL, 0, SM_CURVE_HILBERT, NULL},
        {{"Name", "day"}, NULL, 1, SM_CURVE_ZORDER, "clustered otherwise"},
        {{"Name", NULL}, &hilbert, 1, SM_CURVE_HILBERT, "clustered otherwise"},
        {{NULL}, NULL, 0, SM_CURVE_HILBERT, NULL},
    };
    kit k;
    sm_error e = {0};

    kit_init(&k);
    add_rows(&k, 0, 500);
    const char *rows = rows_text(&k);
    for (int i = 0; i < SM_COUNT(runs); i++) {
        sm_cluster_report trial = {0}, r = {0};
        sm_str by[2];
        sm_cluster c = {
            .uri = kit_uri(&k, TABLE), .by = by, .curve = runs[i].curve, .is_dry = true};
        while (c.n_by < 2 && runs[i].by[c.n_by]) {
            by[c.n_by] = sm_str_of(runs[i].by[c.n_by]);
            c.n_by++;
        }
        assert_ok(sm_table_cluster(&c, &k.env, k.arena, &trial, &e), &e);
        assert_int_equal(trial.version, -1);
        assert_int_equal(trial.n_added, 0);
        c.is_dry = false;
        assert_ok(sm_table_cluster(&c, &k.env, k.arena, &r, &e), &e);
        assert_int_equal(r.n_removed, runs[i].n_moved);
        assert_int_equal(trial.n_removed, r.n_removed);
        assert_int_equal(trial.from, r.from);
        assert_int_equal(r.curve, runs[i].then);
        if (runs[i].why) {
            assert_string_equal(trial.files[0].why, runs[i].why);
        }
        assert_string_equal(rows_text(&k), rows);
    }
    kit_release(&k);
}

/* ---- what is written ------------------------------------------------------------------------- */

static sm_str tag_of(const sm_delta_file *f, const char *key)
{
    for (int32_t i = 0; i < f->n_tags; i++) {
        if (sm_str_is(f->tags[i].key, key)) {
            return f->tags[i].value;
        }
    }
    return SM_STR("");
}

/* Several files: their stretches of keys follow each other. The log names the columns. */
static void test_marks(void **state)
{
    kit k;
    sm_error e = {0};
    sm_cluster_report r = {0};
    sm_delta_commit_info *info = NULL;
    const sm_json *json = NULL;
    int64_t n = 0, n_infos = 0;
    char last[40] = "";

    kit_init(&k);
    add_rows(&k, 0, 6000);
    set_property(&k, "delta.targetFileSize", "10000");
    set_property(&k, "smelt.rowGroupRows", "500");
    assert_ok(cluster(&k, "day,Name", &r, &e), &e);
    assert_true(r.n_added > 3);
    assert_int_equal(r.n_rows, 6000);
    sm_snapshot *s = open_table(&k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, r.n_added);
    for (int64_t i = 0; i < n; i++) {
        const sm_str keys = tag_of(&files[i], "smelt.clusterKeys");
        assert_true(sm_str_is(tag_of(&files[i], "smelt.cluster"), "zorder [\"day\",\"Name\"]"));
        assert_true(sm_str_eq(tag_of(&files[i], "smelt.clusterSet"),
                              tag_of(&files[0], "smelt.clusterSet")));
        assert_int_equal(keys.len, 33);
        assert_true(memcmp(keys.data, keys.data + 17, 16) <= 0);
        assert_true(memcmp(last, keys.data, 16) < 0);
        snprintf(last, sizeof(last), "%.16s", keys.data + 17);
    }
    assert_ok(sm_delta_history(sm_snapshot_store(s), 1, k.arena, &info, &n_infos, &e), &e);
    assert_true(sm_str_is(info[0].operation, "OPTIMIZE"));
    assert_ok(sm_json_parse(info[0].parameters_json, k.arena, &json, &e), &e);
    assert_true(sm_str_is(sm_json_text(sm_json_get(json, "zOrderBy")), "[\"day\",\"Name\"]"));
    sm_snapshot_release(s);
    kit_release(&k);
}

/* A replace leaves the rest of a marked file marked: the next clustering moves new rows only. */
static void test_replace(void **state)
{
    kit k;
    sm_error e = {0};
    sm_cluster_report r = {0};
    int64_t n = 0, n_marked = 0;
    order more[10];

    kit_init(&k);
    for (int i = 0; i < SM_COUNT(more); i++) {
        more[i] = row_of(&k, 9000 + i);
        more[i].day = "2022-04-03";
    }
    add_rows(&k, 0, 3000);
    assert_ok(cluster(&k, "day,Name", &r, &e), &e);
    const sm_write w = {.uri = kit_uri(&k, TABLE),
                        .mode = SM_WRITE_REPLACE_WHERE,
                        .where = where_sql("day = DATE '2022-04-03'")};
    assert_ok(write_orders(&k, &w, more, SM_COUNT(more), NULL, &e), &e);
    sm_snapshot *s = open_table(&k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        n_marked += smi_cluster_mark_of(&files[i]).by.len > 0;
    }
    assert_int_equal(n, 2);
    assert_int_equal(n_marked, 1);
    sm_snapshot_release(s);
    const char *rows = rows_text(&k);
    assert_ok(cluster(&k, "", &r, &e), &e);
    assert_int_equal(r.n_removed, 1);
    assert_int_equal(r.n_rows, SM_COUNT(more));
    assert_string_equal(rows_text(&k), rows);
    kit_release(&k);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    static const struct {
        const char *by;
        sm_status want;
        const char *key, *value; /* a property */
    } cases[] = {
        {"", SM_USAGE, NULL, NULL},
        {"nmae", SM_NAME, NULL, NULL},
        {"day,day", SM_USAGE, NULL, NULL},
        {"day,Name,amount,day,Name,amount,day,Name,amount", SM_USAGE, NULL, NULL},
        {"", SM_INVALID, "smelt.clusterBy", "day"},
        {"", SM_NAME, "smelt.clusterBy", "[\"gone\"]"},
        {"day", SM_INVALID, "smelt.clusterCurve", "peano"},
        {"day", SM_INVALID, "smelt.rowGroupRows", "0"},
        {"day", SM_INVALID, "smelt.rowGroupRows", "many"},
        {"day", SM_INVALID, "delta.targetFileSize", "big"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        kit k;
        sm_error e = {0};
        sm_cluster_report r = {0};
        kit_init(&k);
        add_rows(&k, 0, 10);
        if (cases[i].key) {
            set_property(&k, cases[i].key, cases[i].value);
        }
        const sm_status st = cluster(&k, cases[i].by, &r, &e);
        if (st != cases[i].want) {
            fail_msg("%d: %s: %s", i, sm_status_name(st), e.what);
        }
        assert_int_equal(count_data_files(&k, TABLE), 1);
        kit_release(&k);
    }
}

/* A table without rows, and none at all. */
static void test_empty(void **state)
{
    kit k;
    sm_error e = {0};
    sm_cluster_report r = {0};

    kit_init(&k);
    assert_int_equal(cluster(&k, "day", &r, &e), SM_NOT_FOUND);
    const sm_write w = {.uri = kit_uri(&k, TABLE), .mode = SM_WRITE_OVERWRITE};
    e = (sm_error){0};
    assert_ok(write_orders(&k, &w, NULL, 0, NULL, &e), &e);
    assert_ok(cluster(&k, "day", &r, &e), &e);
    assert_int_equal(r.version, -1);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),    cmocka_unit_test(test_least_rows),
        cmocka_unit_test(test_apart),   cmocka_unit_test(test_otherwise),
        cmocka_unit_test(test_marks),   cmocka_unit_test(test_replace),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
