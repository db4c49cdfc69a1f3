/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/delta_conformance_test.c: the golden tables of the Delta project, read by
 * the log reader. Checks which are refused, and for the others the version, protocol, files and
 * transactions that the reference implementation sees. delta_rows_conformance_test.c compares
 * their rows. */
#include "test.h"

#include "base/json_doc.h"
#include "conformance.h"
#include "delta/delta.h"
#include "stores.h"

/* The log as one of the readers that derived the data saw it; NULL where it could not. */
static const sm_json *log_of(const sm_json *entry)
{
    static const char *const readers[] = {"log_spark", "log_deltalake"};

    for (int i = 0; i < SM_COUNT(readers); i++) {
        const sm_json *log = sm_json_get(entry, readers[i]);
        if (log && sm_json_get(log, "version")) {
            return log;
        }
    }
    return NULL;
}

static int64_t number(const sm_json *o, const char *key)
{
    int64_t v = -1;

    return sm_json_i64(sm_json_get(o, key), &v) ? v : -1;
}

static bool has_file(const sm_snapshot *s, sm_str path)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_eq(files[i].path, path)) {
            return true;
        }
    }
    return false;
}

static void check_log(sm_str path, const sm_snapshot *s, const sm_json *log)
{
    int64_t n = 0, n_txns = 0;
    uint64_t bytes = 0;

    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        bytes += files[i].size_bytes;
    }
    printf("  %.*s: version %lld, %lld files\n", SM_STR_ARG(path),
           (long long)sm_snapshot_version(s), (long long)n);
    assert_int_equal(sm_snapshot_version(s), number(log, "version"));
    assert_int_equal(n, number(log, "num_files"));
    assert_int_equal((int64_t)bytes, number(log, "size_bytes"));
    const sm_json *listed = sm_json_get(log, "files");
    for (const sm_json *f = listed ? listed->child : NULL; f; f = f->next) {
        if (!has_file(s, f->text)) {
            fail_msg("%.*s: file %.*s is missing", SM_STR_ARG(path), SM_STR_ARG(f->text));
        }
    }
    const sm_json *txns = sm_json_get(log, "set_transactions");
    sm_snapshot_txns(s, &n_txns);
    if (txns) {
        assert_int_equal(n_txns, txns->n_children);
        for (const sm_json *t = txns->child; t; t = t->next) {
            int64_t version = -2;
            assert_true(sm_json_i64(t, &version));
            assert_int_equal(sm_snapshot_txn(s, t->key), version);
        }
    }
    const sm_json *columns = sm_json_get(log, "partition_columns");
    assert_int_equal(sm_snapshot_metadata(s)->n_partition_columns,
                     columns ? columns->n_children : 0);
}

static void check_versions(sm_store *store, const sm_json *log)
{
    const sm_json *versions = sm_json_get(log, "rows_by_version");

    for (const sm_json *v = versions ? versions->child : NULL; v; v = v->next) {
        sm_error e = {0};
        sm_snapshot *s = NULL;
        int64_t version = 0, rows = 0;
        assert_int_equal(sscanf(v->key.data, "%ld", &version), 1);
        if (!sm_json_i64(v, &rows)) {
            continue; /* the reader could not read that version's rows; why stands in the data */
        }
        assert_ok(sm_snapshot_open(store, version, NULL, &s, &e), &e);
        assert_int_equal(sm_snapshot_version(s), version);
        int64_t n = 0, known = 0, counted = 0;
        const sm_delta_file *files = sm_snapshot_files(s, &n);
        for (int64_t i = 0; i < n; i++) {
            known += sm_delta_file_rows(&files[i]) >= 0;
            counted += sm_delta_file_rows(&files[i]);
        }
        if (known == n) { /* every file has statistics */
            assert_int_equal(counted, rows);
        }
        sm_snapshot_release(s);
    }
}

static void check_table(const char *folder, const sm_json *entry)
{
    char uri[4096];
    sm_error e = {0};
    sm_store *store = NULL;
    sm_snapshot *s = NULL;

    const sm_str path = sm_json_text(sm_json_get(entry, "path"));
    const sm_str expect = sm_json_text(sm_json_get(entry, "expect"));
    snprintf(uri, sizeof(uri), "%s/%.*s", folder, SM_STR_ARG(path));
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &store, &e), &e);
    const sm_status st = sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e);
    if (sm_str_is(expect, "refuse")) {
        printf("  %.*s: refused: %s\n", SM_STR_ARG(path), e.what);
        assert_int_not_equal(st, SM_OK);
    } else {
        if (st != SM_OK) {
            fail_msg("%.*s: %s", SM_STR_ARG(path), e.what);
        }
        const sm_json *log = log_of(entry);
        assert_non_null(log);
        check_log(path, s, log);
        check_versions(store, log);
    }
    sm_snapshot_release(s);
    sm_store_release(store);
}

static void test_golden_logs(void **state)
{
    const char *folder = conformance_folder("delta-golden");
    sm_arena *a = sm_arena_new(NULL);
    sm_store *store = NULL;
    sm_buf text = {0};
    const sm_json *doc = NULL;
    sm_error e = {0};
    const int64_t live = sm_live_allocs();
    int64_t n = 0;

    assert_ok(sm_store_open(test_stores, sm_str_of(folder), &store, &e), &e);
    assert_ok(sm_store_get(store, SM_STR("expected.json"), &text, &e), &e);
    assert_ok(sm_json_parse(sm_buf_str(&text), a, &doc, &e), &e);
    const sm_json *entries = sm_json_get(doc, "entries");
    assert_non_null(entries);
    for (const sm_json *entry = entries->child; entry; entry = entry->next) {
        check_table(folder, entry);
        n++;
    }
    assert_int_equal(n, 111);
    sm_buf_release(&text);
    sm_store_release(store);
    sm_arena_free(a);
    assert_true(sm_live_allocs() <= live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
