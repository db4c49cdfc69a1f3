/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/parquet_conformance_test.c: every file of apache/parquet-testing against
 * expected.json: rows and the SHA-256 of the table and of each column, or a refusal. The canonical
 * text is defined in the README.md beside the data. Where smelt differs on purpose, the file is in
 * `otherwise` with the reason. */
#include "canonical.h"
#include "conformance.h"
#include "parquet_io.h"
#include "test.h"

static const char *folder;

/* ---- what is expected ------------------------------------------------------------------------ */

#define IS_SHAPE                                                                                   \
    "GEOMETRY and GEOGRAPHY are read as the bytes that they are stored as, if asked for"

static const struct {
    const char *path;
    const char *schema;  /* read as this instead of the file's own type */
    const char *refusal; /* a part of the error that smelt gives where the expected reader reads */
    const char *why;
} otherwise[] = {
    {"datapage_v1-corrupt-checksum.parquet", NULL, "checksum",
     "checksums are verified; the answer expected is that of a reader that does not"},
    {"rle-dict-uncompressed-corrupt-checksum.parquet", NULL, "checksum",
     "checksums are verified; the answer expected is that of a reader that does not"},
    {"nation.dict-malformed.parquet", NULL, "page",
     "a page's size is wrong; other readers refuse the file too"},
    {"int96_from_spark.parquet", "STRUCT(a TIMESTAMP WITH TIME ZONE)", NULL,
     "INT96 says nothing of zones: a local timestamp unless an instant is asked for"},
    {"large_string_map.brotli.parquet", NULL, "memory budget",
     "two strings of 1 GiB from 4 KB: over this test's budget of 1 GiB, which says so"},
    {"geospatial/crs-arbitrary-value.parquet", "STRUCT(wkt VARCHAR, geometry BLOB)", NULL,
     IS_SHAPE},
    {"geospatial/crs-default.parquet", "STRUCT(wkt VARCHAR, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/crs-geography.parquet", "STRUCT(wkt VARCHAR, geography BLOB)", NULL, IS_SHAPE},
    {"geospatial/crs-projjson.parquet", "STRUCT(wkt VARCHAR, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/crs-srid.parquet", "STRUCT(wkt VARCHAR, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/geography-lines.parquet", "STRUCT(id BIGINT, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/geography-points.parquet", "STRUCT(id BIGINT, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/geography-polygons.parquet", "STRUCT(id BIGINT, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/geospatial-with-nan.parquet",
     "STRUCT(\"group\" VARCHAR, wkt VARCHAR, geometry BLOB)", NULL, IS_SHAPE},
    {"geospatial/geospatial.parquet", "STRUCT(\"group\" VARCHAR, wkt VARCHAR, geometry BLOB)", NULL,
     IS_SHAPE},
};
#undef IS_SHAPE

static int find_otherwise(sm_str path)
{
    for (int i = 0; i < SM_COUNT(otherwise); i++) {
        if (sm_str_is(path, otherwise[i].path)) {
            return i;
        }
    }
    return -1;
}

static int check_entry(sm_store *store, const sm_json *entry, sm_arena *a)
{
    const sm_str path = sm_json_text(sm_json_get(entry, "path"));
    const bool refuse = sm_str_is(sm_json_text(sm_json_get(entry, "expect")), "refuse");
    const int other = find_otherwise(path);
    const char *refusal = other >= 0 ? otherwise[other].refusal : NULL;
    const int64_t live_before = sm_live_allocs();
    sm_budget *budget = sm_budget_new(NULL, "conformance", (size_t)1 << 30);
    sm_blob *blob = NULL;
    sm_error e = {0};
    canonical_table t = {0};
    parquet_in in = {.on_batch = add_batch, .ctx = &t};
    int n_bad = 0;
    if (other >= 0) {
        printf("%s: %s\n", otherwise[other].path, otherwise[other].why);
        if (otherwise[other].schema) {
            assert_ok(sm_type_parse(sm_str_of(otherwise[other].schema), a, &in.schema, &e), &e);
        }
    }
    const int64_t live_mid = sm_live_allocs();
    assert_ok(sm_blob_open(store, path, &blob, &e), &e);
    const sm_status st = parquet_read(blob, budget, &in, &e);
    sm_blob_close(blob);
    if (refuse || refusal) {
        const char *want = refusal ? refusal : "encrypted";
        if (st == SM_OK || !strstr(e.what, want) || !strstr(e.object, ".parquet")) {
            printf("%.*s: want a refusal with \"%s\", got %s: %s (%s)\n", SM_STR_ARG(path), want,
                   sm_status_name(st), e.what, e.object);
            n_bad++;
        }
        if (refuse && st != SM_UNSUPPORTED) {
            printf("%.*s: %s is no way to say that\n", SM_STR_ARG(path), sm_status_name(st));
            n_bad++;
        }
    } else if (st != SM_OK) {
        printf("%.*s: %s: %s\n", SM_STR_ARG(path), sm_status_name(st), e.what);
        n_bad++;
    } else {
        n_bad += compare(path, entry, &t, in.n_rows);
    }
    release_table(&t);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    assert_true(sm_live_allocs() <= live_mid + (live_mid - live_before));
    return n_bad;
}

static void every_file_gives_what_is_expected(void **state)
{
    sm_store *store = NULL;
    sm_error e = {0};
    sm_buf text = {0};
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    int n_files = 0, n_bad = 0;
    assert_ok(sm_store_open(test_stores, sm_str_of(folder), &store, &e), &e);
    assert_ok(sm_store_get(store, SM_STR("expected.json"), &text, &e), &e);
    assert_ok(sm_json_parse(sm_buf_str(&text), a, &doc, &e), &e);
    const sm_json *entries = sm_json_get(doc, "entries");
    assert_non_null(entries);
    for (const sm_json *entry = entries->child; entry; entry = entry->next) {
        n_files++;
        n_bad += check_entry(store, entry, a) > 0;
    }
    printf("%d files, %d not as expected\n", n_files, n_bad);
    assert_true(n_files >= 80);
    assert_int_equal(n_bad, 0);
    sm_arena_free(a);
    sm_buf_release(&text);
    sm_store_release(store);
}

static void the_hash_is_sha256(void **state)
{
    /* FIPS 180-4's own example, and the empty message. */
    static const char *const want[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    };
    char got[65];
    for (int i = 0; i < 2; i++) {
        sha256 s;
        sha256_init(&s);
        sha256_add(&s, "abc", i == 0 ? 3 : 0);
        sha256_hex(&s, got);
        assert_string_equal(got, want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_sha256),
        cmocka_unit_test(every_file_gives_what_is_expected),
    };
    canonical_time_suffix = "000";
    folder = conformance_folder("parquet");
    return cmocka_run_group_tests_name("parquet_conformance", tests, NULL, NULL);
}
