/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_test.c: which files a clustering moves, run after run; that rows stay the
 * same, are in order, and in their partitions; what the log and the tags say; that a replace keeps
 * the marks. */
#include "orders.h"

#include <stdlib.h>

#include "base/json_doc.h"
#include "table/table_cluster_int.h"

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

static void append_by(kit *k, const sm_str *partition_by, const order *rows, int64_t n)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, TABLE),
                        .partition_by = partition_by,
                        .n_partition_by = partition_by ? 1 : 0};

    assert_ok(write_orders(k, &w, rows, n, NULL, &e), &e);
}

static void append(kit *k, const order *rows, int64_t n)
{
    append_by(k, NULL, rows, n);
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

/* The rows of the table as they lie there. */
static char *lying_text(kit *k)
{
    sm_error e = {0};
    const char *text = NULL;
    sm_names *names = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);

    assert_ok(sql_text(k, names, "SELECT day, \"Name\", amount FROM silver.orders", &text, &e), &e);
    sm_names_free(names);
    return (char *)text;
}

/* The same in an order that does not depend on theirs. */
static const char *rows_text(kit *k)
{
    char *text = lying_text(k), *rest = NULL;
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

/* ---- partitions ------------------------------------------------------------------------------ */

/* Rows of some days, `n` of each, one day after the other. */
static void add_days(kit *k, int first, const char *const *days, const int *n, int n_days)
{
    static const sm_str by_day = {"day", 3};
    order rows[4000];
    int n_rows = 0;

    for (int i = 0; i < n_days; i++) {
        for (int row = 0; row < n[i]; row++) {
            assert_true(n_rows < SM_COUNT(rows));
            rows[n_rows] = row_of(k, first + n_rows);
            rows[n_rows++].day = days[i];
        }
    }
    append_by(k, &by_day, rows, n_rows);
}

/* Rows as they lie in the table: each file is of one day, sorted by name. Gives the table's files.
 */
static int64_t check_days(kit *k)
{
    char *text = lying_text(k), *rest = NULL;
    sm_snapshot *s = open_table(k);
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    char *row = strtok_r(text, ";", &rest);
    for (int64_t i = 0; i < n; i++) {
        char day[32] = "", last[32] = "";
        assert_true(smi_cluster_mark_of(&files[i]).by.len > 0);
        for (int64_t r = 0; r < files[i].n_rows; r++, row = strtok_r(NULL, ";", &rest)) {
            char here[32] = "", name[32] = "";
            assert_int_equal(sscanf(row, "%31s %31s", here, name), 2);
            if (strcmp(name, "NULL") == 0) {
                strcpy(name, ""); /* comes first */
            }
            assert_true(strcmp(last, name) <= 0);
            assert_true(r == 0 || strcmp(day, here) == 0);
            snprintf(last, sizeof(last), "%s", name);
            snprintf(day, sizeof(day), "%s", here);
        }
        const bool is_null = strcmp(day, "NULL") == 0;
        assert_true(sm_str_starts(
            files[i].key,
            sm_arena_strf(k->arena, "day=%s/", is_null ? "__HIVE_DEFAULT_PARTITION__" : day)));
    }
    assert_null(row);
    sm_snapshot_release(s);
    return n;
}

/* Each partition has sets of its own: what moves in one moves nothing in others. One is larger than
 * a row group and sorted by itself, the others by one plan. */
static void test_partitions(void **state)
{
    static const char *const days[] = {"2022-04-01", "2022-04-02", NULL, "2022-04-03"};
    static const struct {
        int n[SM_COUNT(days)];
        int64_t n_moved, n_kept, n_sets;
    } loads[] = {
        {{2000, 100, 90, 80}, 4, 0, 4}, /* one file each */
        {{0, 60, 0, 0}, 2, -1, 4},      /* its 100 join it */
        {{5, 0, 0, 0}, 1, -1, 5},       /* a set of its own: the day has 2,000 */
        {{0, 0, 90, 80}, 4, -1, 5},     {{1500, 0, 0, 0}, -1, -1, 4}, /* all of the day move */
    };
    kit k;
    sm_error e = {0};
    int first = 0;

    kit_init(&k);
    for (int i = 0; i < SM_COUNT(loads); i++) {
        sm_cluster_report r = {0}, again = {0};
        add_days(&k, first, days, loads[i].n, SM_COUNT(days));
        first += 4000;
        if (i == 0) {
            set_property(&k, "smelt.rowGroupRows", "500");
        }
        const char *rows = rows_text(&k);
        assert_ok(cluster(&k, "Name", &r, &e), &e);
        assert_true(loads[i].n_moved < 0 || r.n_removed == loads[i].n_moved);
        assert_true(loads[i].n_kept < 0 || r.n_kept == loads[i].n_kept);
        assert_int_equal(r.n_sets, loads[i].n_sets);
        assert_int_equal(r.n_commits, 1);
        assert_int_equal(r.version, r.from + 1);
        assert_int_equal(check_days(&k), r.n_kept + r.n_added);
        assert_string_equal(rows_text(&k), rows);
        assert_ok(cluster(&k, "", &again, &e), &e);
        assert_int_equal(again.version, -1);
        assert_int_equal(again.n_commits, 0);
        assert_int_equal(again.n_sets, r.n_sets);
        assert_int_equal(again.n_kept, r.n_kept + r.n_added);
    }
    kit_release(&k);
}

/* Rows that wait are counted over all partitions. */
static void test_partitions_wait(void **state)
{
    static const char *const days[] = {"2022-04-01", "2022-04-02"};
    kit k;
    sm_error e = {0};
    sm_str by = SM_STR("Name");

    kit_init(&k);
    for (int i = 0; i < 3; i++) {
        const sm_cluster c = {.uri = kit_uri(&k, TABLE), .by = &by, .n_by = 1, .least_rows = 500};
        sm_cluster_report r = {0};
        add_days(&k, 1000 * i, days, (const int[]){100, 100}, SM_COUNT(days));
        assert_ok(sm_table_cluster(&c, &k.env, k.arena, &r, &e), &e);
        assert_int_equal(r.n_removed, i < 2 ? 0 : 6);
        assert_int_equal(r.n_waiting, i < 2 ? 2 * (i + 1) : 0);
    }
    kit_release(&k);
}

/* More partitions than one commit takes: each commit leaves the others as they are. */
static void test_many_partitions(void **state)
{
    static const sm_str by_name = {"Name", 4};
    enum { N = 1030 };
    kit k;
    sm_error e = {0};
    sm_cluster_report r = {0};
    order rows[N];

    kit_init(&k);
    for (int i = 0; i < N; i++) {
        rows[i] = (order){.day = "2022-04-01",
                          .name = sm_arena_strf(k.arena, "a/b %%=%04d", i).data,
                          .amount = i};
    }
    append_by(&k, &by_name, rows, N);
    const char *text = rows_text(&k);
    assert_ok(cluster(&k, "day,amount", &r, &e), &e);
    assert_int_equal(r.n_commits, 2);
    assert_int_equal(r.version, r.from + 2);
    assert_int_equal(r.n_removed, N);
    assert_int_equal(r.n_added, N);
    assert_int_equal(r.n_rows, N);
    assert_int_equal(r.n_sets, N);
    assert_string_equal(rows_text(&k), text);
    assert_ok(cluster(&k, "", &r, &e), &e);
    assert_int_equal(r.version, -1);
    kit_release(&k);
}

/* What one commit takes, and what one plan sorts. A row group has 1,000 rows. */
static void test_parts(void **state)
{
    static const struct {
        const char *partitions; /* a letter a file: the same ones are of one */
        const char *rows;       /* a digit a file, in hundreds; ?: the log does not say */
        const char *runs;       /* a digit a file */
        const char *quantiles;  /* bins of run 0 */
    } cases[] = {
        {"a", "1", "0", ""},
        {"aa", "17", "00", ""},            /* 800: larger than three quarters of a group */
        {"abc", "123", "000", ""},         /* three small ones, together less than a range */
        {"abcde", "55555", "00000", "24"}, /* 1,000 rows a range */
        {"abc", "181", "012", ""},         /* a large one stands alone, and splits others */
        {"aabbc", "44118", "00112", ""},   /* together large */
        {"aabbc", "43118", "00001", ""},   /* 700 and 200 */
        {"abc", "1?1", "012", ""},         /* rows that are not known may be many */
        {"abc", "881", "012", ""},
        {"abcdefg", "7171717", "0000000", "3"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_delta_file files[16] = {0};
        const sm_delta_file *list[16];
        int64_t partitions[16];
        sm_buf quantiles = {0};
        smi_cluster_part p;
        const int n = (int)strlen(cases[i].partitions);
        for (int f = 0; f < n; f++) {
            files[f].n_rows = cases[i].rows[f] == '?' ? -1 : (cases[i].rows[f] - '0') * 100;
            files[f].size_bytes = 1000;
            list[f] = &files[f];
            partitions[f] = (unsigned char)cases[i].partitions[f];
        }
        const smi_cluster_choice c = {.files = list, .partitions = partitions, .n_files = n};
        smi_cluster_part_take(&c, 1000, 1000, a, &p);
        assert_int_equal(p.n_files, n);
        assert_int_equal(p.bytes, n * 1000);
        assert_true(p.is_last);
        for (int f = 0; f < n; f++) {
            assert_int_equal(p.bins[f], cases[i].partitions[f] - 'a');
            assert_int_equal(p.runs[f], cases[i].runs[f] - '0');
            assert_true(p.items[p.runs[f]].bin <= p.bins[f]);
        }
        for (int32_t q = 0; q < p.items[0].n_quantiles; q++) {
            sm_buf_printf(&quantiles, "%d", (int)(p.items[0].quantiles[q] >> 54));
        }
        assert_true(sm_str_is(sm_buf_str(&quantiles), cases[i].quantiles));
        sm_buf_release(&quantiles);
        sm_arena_free(a);
    }
}

/* A part ends behind the partition with which it has enough bytes or files. */
static void test_full_parts(void **state)
{
    static const struct {
        uint64_t bytes;
        int per_partition; /* files */
        int64_t n_taken;
    } cases[] = {
        {1, 1, 1000},
        {1, 3, 1002},
        {1, 1500, 1500},
        {(uint64_t)1 << 28, 1, 4},
        {(uint64_t)1 << 28, 3, 6},
        {(uint64_t)1 << 31, 2, 2},
    };
    enum { N = 3000 };
    static sm_delta_file files[N];
    static const sm_delta_file *list[N];
    static int64_t partitions[N];

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        smi_cluster_part p;
        for (int f = 0; f < N; f++) {
            files[f] = (sm_delta_file){.size_bytes = cases[i].bytes, .n_rows = 10};
            list[f] = &files[f];
            partitions[f] = f / cases[i].per_partition;
        }
        const smi_cluster_choice c = {.files = list, .partitions = partitions, .n_files = N};
        smi_cluster_part_take(&c, 1000, 1000, a, &p);
        assert_int_equal(p.n_files, cases[i].n_taken);
        assert_int_equal(p.n_bins, cases[i].n_taken / cases[i].per_partition);
        assert_int_equal(p.n_runs, (p.n_bins + 63) / 64);
        assert_false(p.is_last);
        sm_arena_free(a);
    }
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

/* All rows of a partition have one value in its column, so there is nothing to sort by. */
static void test_partition_columns(void **state)
{
    static const char *const by[] = {"day", "Name,day", "DAY"};
    static const char *const days[] = {"2022-04-01"};
    kit k;

    kit_init(&k);
    add_days(&k, 0, days, (const int[]){10}, 1);
    for (int i = 0; i < SM_COUNT(by); i++) {
        sm_error e = {0};
        sm_cluster_report r = {0};
        assert_int_equal(cluster(&k, by[i], &r, &e), SM_INVALID);
        assert_non_null(strstr(e.what, "\"day\": it is a partition column"));
    }
    sm_snapshot *s = open_table(&k);
    assert_int_equal(sm_snapshot_version(s), 0);
    sm_snapshot_release(s);
    kit_release(&k);
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
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_least_rows),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_otherwise),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_partitions_wait),
        cmocka_unit_test(test_many_partitions),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_full_parts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_partition_columns),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
