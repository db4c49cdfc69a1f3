/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_files_test.c: the files of a snapshot, one by one and as an array, from checkpoints
 * and the commits after them: their order, what bounds leave out, and checkpoints that turn out to
 * be damaged when their files are read. */
#include "test.h"

#include "delta/delta_int.h"
#include "parquet_io.h"
#include "stores.h"

#define SCHEMA                                                                                     \
    "{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["                                                \
    "{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"                    \
    "\\\"metadata\\\":{}},{\\\"name\\\":\\\"day\\\",\\\"type\\\":\\\"date\\\","                    \
    "\\\"nullable\\\":true,\\\"metadata\\\":{}}]}"
#define HEAD                                                                                       \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"                             \
    "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\"},\"schemaString\":"          \
    "\"" SCHEMA "\",\"partitionColumns\":[\"day\"],\"configuration\":{}}}\n"
/* An add of 10 rows whose ids are first to last. */
#define ADD(path, day, first, last)                                                                \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{\"day\":\"2022-04-" day                  \
    "\"},\"size\":7,"                                                                              \
    "\"modificationTime\":1,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":10,"               \
    "\\\"minValues\\\":{\\\"id\\\":" first "},\\\"maxValues\\\":{\\\"id\\\":" last "},"            \
    "\\\"nullCount\\\":{\\\"id\\\":0}}\"}}\n"
#define VECTOR                                                                                     \
    "\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":\"x\","                          \
    "\"sizeInBytes\":1,\"cardinality\":4}"
#define REMOVE(path) "{\"remove\":{\"path\":\"" path "\",\"dataChange\":true}}\n"
#define ONE          "00000000000000000001.checkpoint."
#define UUID         "80a083e8-7026-4e79-81be-64bd76c43a11"

static sm_store *new_store(void)
{
    static int number = 0;
    char uri[64];
    sm_store *s = NULL;
    sm_error e = {0};

    snprintf(uri, sizeof(uri), "memory://delta_files_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    return s;
}

static void put(sm_store *s, const char *name, const char *text)
{
    char key[160];
    sm_error e = {0};

    snprintf(key, sizeof(key), SMI_LOG "%s", name);
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_REPLACE, &e), &e);
}

static void put_commit(sm_store *s, int version, const char *text)
{
    char name[64];

    snprintf(name, sizeof(name), "%020d.json", version);
    put(s, name, text);
}

/* ---- what is given --------------------------------------------------------------------------- */

typedef struct given {
    sm_buf keys; /* "a b c " */
    int n_begun;
    int64_t n_rows;
} given;

static void begin(void *ctx)
{
    given *g = ctx;

    sm_buf_reset(&g->keys);
    g->n_begun++;
    g->n_rows = 0;
}

static sm_status give(void *ctx, const sm_delta_file *f, sm_error *e)
{
    given *g = ctx;

    (void)e;
    assert_int_equal(f->size_bytes, 7);
    assert_int_equal(f->partition[0].type->id, SM_TYPE_DATE);
    sm_buf_printf(&g->keys, "%.*s ", SM_STR_ARG(f->key));
    g->n_rows += sm_delta_file_rows(f);
    return SM_OK;
}

/* sm_snapshot_pick() finds the files that sm_snapshot_each() gave, as "a b c ". */
static void assert_picks(const sm_snapshot *s, const sm_bounds *bounds, const char *want)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_delta_file *files = NULL;
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_snapshot_pick(s, bounds, a, &files, &n, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(files[i].size_bytes, 7);
        assert_int_equal(files[i].partition[0].type->id, SM_TYPE_DATE);
        assert_true(sm_str_starts(sm_str_of(want), files[i].key));
        want += files[i].key.len + 1;
    }
    assert_string_equal(want, "");
    sm_arena_free(a);
}

/* The files that may have rows within the bounds; NULL: all. Also how often they began. */
static void assert_gives(const sm_snapshot *s, const sm_bounds *bounds, const char *want,
                         int n_begun)
{
    given g = {0};
    sm_error e = {0};

    const sm_status st =
        sm_snapshot_each(s, bounds, &(sm_delta_sink){.begin = begin, .file = give, .ctx = &g}, &e);
    assert_ok(st, &e);
    assert_int_equal(g.n_begun, n_begun);
    assert_ok(sm_buf_add(&g.keys, "", 1, &e), &e);
    assert_string_equal((const char *)g.keys.data, want);
    sm_buf_release(&g.keys);
    assert_picks(s, bounds, want);
}

/* All files, in both ways. */
static void assert_files(sm_store *store, int64_t version, const char *want)
{
    sm_snapshot *s = NULL, *head = NULL;
    sm_delta_totals totals = {0};
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_snapshot_open(store, version, NULL, &s, &e), &e);
    assert_ok(sm_snapshot_open_head(store, version, NULL, &head, &e), &e);
    assert_gives(s, NULL, want, 1);
    assert_gives(head, NULL, want, 1);
    assert_ok(sm_snapshot_totals(head, &totals, &e), &e);
    assert_ok(sm_snapshot_list(head, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(head, &n), *others = sm_snapshot_files(s, &n);
    assert_int_equal(n, totals.n_files);
    assert_int_equal(n * 7, totals.bytes);
    for (int64_t i = 0; i < n; i++) {
        assert_true(sm_str_eq(files[i].key, others[i].key));
        assert_true(sm_str_starts(sm_str_of(want), files[i].key));
        want += files[i].key.len + 1;
    }
    assert_string_equal(want, "");
    sm_snapshot_release(head);
    sm_snapshot_release(s);
}

/* The files of the checkpoint come first, without those that a later commit removed or added anew,
 * which come behind. */
static void test_order(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};

    put_commit(store, 0, HEAD ADD("a", "01", "0", "9") ADD("b", "01", "10", "19"));
    put_commit(store, 1, ADD("c", "02", "20", "29") ADD("d", "02", "30", "39"));
    for (int i = 0; i < 2; i++) { /* without a checkpoint, and with one */
        assert_files(store, 1, "a b c d ");
        put_commit(store, 2, REMOVE("b") ADD("e", "03", "40", "49"));
        put_commit(store, 3, ADD("a", "01", "0", "9"));
        put_commit(store, 4, REMOVE("c") REMOVE("e") ADD("f%20g", "03", "50", "59"));
        assert_files(store, 2, "a c d e ");
        assert_files(store, 3, "c d e a ");
        assert_files(store, 4, "d a f g ");
        assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
        assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
        sm_snapshot_release(s);
    }
    sm_store_release(store);
    (void)state;
}

/* An add of a commit that stands in the place of another file. */
#define PLACED(path, of)                                                                           \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{\"day\":\"2022-04-01\"},\"size\":7,"     \
    "\"tags\":{\"" SMI_TAG_PLACE "\":\"" of "\"}}}\n"

/* What joins files of the checkpoint stands where the first of them stood, also when it is joined
 * again. Where its tag names no file that was there, it stands behind all others. */
static void test_places(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};

    put_commit(store, 0, HEAD ADD("a", "01", "0", "9") ADD("b", "01", "10", "19"));
    put_commit(store, 1, ADD("c", "02", "20", "29") ADD("d", "02", "30", "39"));
    put_commit(store, 2, ADD("e", "03", "40", "49") ADD("f", "03", "50", "59"));
    put_commit(store, 3, REMOVE("b") REMOVE("c") PLACED("bc", "b"));
    put_commit(store, 4, REMOVE("e") REMOVE("f") PLACED("ef", "e") PLACED("ef2", "e"));
    put_commit(store, 5, REMOVE("bc") REMOVE("d") PLACED("bcd", "bc") PLACED("bcd2", "bc"));
    put_commit(store, 6, PLACED("y", "nothing") REMOVE("gone") PLACED("x", "gone"));
    put_commit(store, 7, ADD("b", "01", "10", "19") ADD("z", "01", "60", "69"));
    put_commit(store, 8, REMOVE("a") PLACED("a2", "a") REMOVE("bcd2"));
    for (int i = 0; i < 2; i++) { /* without a checkpoint, and with one */
        assert_files(store, 3, "a bc d e f ");
        assert_files(store, 4, "a bc d ef ef2 ");
        assert_files(store, 5, "a bcd bcd2 ef ef2 ");
        assert_files(store, 6, "a bcd bcd2 ef ef2 y x ");
        assert_files(store, 7, "a bcd bcd2 ef ef2 y x b z ");
        assert_files(store, 8, "a2 bcd ef ef2 y x b z ");
        assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
        assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
        sm_snapshot_release(s);
    }
    sm_store_release(store);
    (void)state;
}

/* The removes that the newest version lists, as "a b* "; *: with a vector. */
static sm_status give_remove(void *ctx, const smi_action *remove, sm_error *e)
{
    (void)e;
    sm_buf_printf(ctx, "%.*s%s ", SM_STR_ARG(remove->path), remove->dv ? "*" : "");
    return SM_OK;
}

/* A file that had a vector, and has none again: a checkpoint says which of the two was removed. */
static void test_removed_vector(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};

    put_commit(store, 0, HEAD ADD("a", "01", "0", "9"));
    put_commit(store, 1,
               REMOVE("a") "{\"add\":{\"path\":\"a\",\"partitionValues\":"
                           "{\"day\":\"2022-04-01\"},\"size\":7," VECTOR "}}\n");
    put_commit(store, 2,
               "{\"remove\":{\"path\":\"a\",\"dataChange\":true,\"deletionTimestamp\":"
               "4000000000000," VECTOR "}}\n" ADD("a", "01", "0", "9"));
    for (int with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
        sm_buf text = {0};
        assert_files(store, 2, "a ");
        assert_ok(sm_snapshot_open_head(store, 2, NULL, &s, &e), &e);
        assert_int_equal(s->base.version, with_checkpoint ? 2 : -1);
        assert_ok(smi_removes_each(s, (smi_action_sink){.each = give_remove, .ctx = &text}, &e),
                  &e);
        assert_true(sm_str_is(sm_buf_str(&text), "a* "));
        sm_buf_release(&text);
        assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
        sm_snapshot_release(s);
    }
    sm_store_release(store);
    (void)state;
}

/* Another deletion vector is another file. */
static void test_vectors(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_delta_totals t = {0};
    sm_error e = {0};
    static const char with_vector[] =
        "{\"add\":{\"path\":\"a\",\"partitionValues\":{\"day\":null},\"size\":7," VECTOR
        ",\"stats\":\"{\\\"numRecords\\\":10}\"}}\n";

    put_commit(store, 0, HEAD ADD("a", "01", "0", "9") ADD("b", "01", "10", "19"));
    put_commit(store, 1, REMOVE("a"));
    put(store, ONE UUID ".json", HEAD ADD("b", "01", "10", "19"));
    char both[4096];
    snprintf(both, sizeof(both), "%s%s", REMOVE("a"), with_vector);
    put_commit(store, 2, both);
    assert_files(store, 2, "b a ");
    assert_ok(sm_snapshot_open_head(store, 2, NULL, &s, &e), &e);
    assert_ok(sm_snapshot_totals(s, &t, &e), &e);
    assert_int_equal(t.n_rows, 16);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
    put_commit(store, 3, "{\"remove\":{\"path\":\"a\",\"dataChange\":true," VECTOR "}}\n");
    assert_files(store, 2, "b a ");
    assert_files(store, 3, "b ");
    sm_store_release(store);
    (void)state;
}

static sm_bound bound(const int32_t *column, sm_bound_op op, int64_t v)
{
    const sm_value value =
        *column == 0 ? sm_value_i64(v) : (sm_value){.type = &sm_type_date, .as.i = v};

    return (sm_bound){.path = column, .n_path = 1, .op = op, .value = value};
}

static void test_bounds(void **state)
{
    static const int32_t id = 0, day = 1;
    const int64_t april = 19083; /* 2022-04-01 */
    const struct {
        sm_bound bounds[2];
        int32_t n;
        const char *want;
    } cases[] = {
        {{bound(&id, SM_BOUND_EQ, 25)}, 1, "c x "},
        {{bound(&id, SM_BOUND_GE, 20)}, 1, "c d x "},
        {{bound(&id, SM_BOUND_GE, 5), bound(&id, SM_BOUND_LT, 20)}, 2, "a b x "},
        {{bound(&id, SM_BOUND_IS_NULL, 0)}, 1, "x "},
        {{bound(&day, SM_BOUND_EQ, april)}, 1, "a b "},
        {{bound(&day, SM_BOUND_GT, april), bound(&id, SM_BOUND_LT, 25)}, 2, "c x "},
        {{bound(&day, SM_BOUND_EQ, april + 9)}, 1, ""},
        {{bound(&day, SM_BOUND_NOT_NULL, 0)}, 1, "a b c d x "},
    };
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};

    put_commit(store, 0, HEAD ADD("a", "01", "0", "9") ADD("b", "01", "10", "19"));
    put_commit(store, 1, ADD("c", "02", "20", "29"));
    for (int with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
        put_commit(store, 2,
                   ADD("d", "03", "30", "39") "{\"add\":{\"path\":\"x\",\"partitionValues\":"
                                              "{\"day\":\"2022-04-03\"},\"size\":7}}\n");
        assert_ok(sm_snapshot_open_head(store, 2, NULL, &s, &e), &e);
        for (int i = 0; i < SM_COUNT(cases); i++) {
            assert_gives(s, &(sm_bounds){cases[i].bounds, cases[i].n}, cases[i].want, 1);
        }
        assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
        sm_snapshot_release(s);
    }
    sm_store_release(store);
    (void)state;
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* A checkpoint whose columns all have one name is read without harm: the first of them counts. */
static void test_checkpoint_of_one_name(void **state)
{
    sm_store *store = new_store();
    sm_arena *a = sm_arena_new(NULL);
    char key[] = SMI_LOG "00000000000000000000.checkpoint.parquet";
    sm_field fields[40];
    sm_written written = {0};
    sm_snapshot *s = NULL;
    sm_buf bytes = {0};
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(fields); i++) {
        const sm_field version = {
            .name = SM_STR("version"), .type = &sm_type_i64, .is_nullable = true};
        fields[i] = (sm_field){
            .name = SM_STR("txn"), .type = sm_type_struct(a, &version, 1), .is_nullable = true};
    }
    const sm_type *schema = sm_type_struct(a, fields, SM_COUNT(fields));
    assert_ok(parquet_write(&(parquet_how){0}, schema, NULL, 0, NULL, a, &bytes, &written, &e), &e);
    assert_ok(sm_store_put(store, sm_str_of(key), bytes.data, bytes.len, SM_PUT_REPLACE, &e), &e);
    assert_status(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
    assert_non_null(strstr(e.what, "the log has no protocol"));
    sm_buf_release(&bytes);
    sm_arena_free(a);
    sm_store_release(store);
    (void)state;
}

/* A checkpoint has a file once. */
static void test_twice(void **state)
{
    sm_store *store = new_store();

    put_commit(store, 0, HEAD);
    put_commit(store, 1, ADD("a", "01", "0", "9"));
    put(store, ONE UUID ".json", HEAD ADD("a", "01", "0", "9") ADD("a", "01", "0", "9"));
    assert_files(store, 1, "a ");
    sm_store_release(store);
    (void)state;
}

/* What a snapshot says without its files is sound, and the files are not: they begin anew by the
 * commits, and where these are gone the damage is told. */
static void test_damaged_files(void **state)
{
    static const char *const damage[] = {
        HEAD "{\"sidecar\":{\"path\":\"gone.parquet\",\"sizeInBytes\":1}}\n",
        HEAD "{\"sidecar\":{\"path\":\"cut.parquet\",\"sizeInBytes\":1}}\n",
    };
    static const int32_t id = 0;
    const sm_bound below = bound(&id, SM_BOUND_LT, 5);
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(damage); i++) {
        sm_store *store = new_store();
        sm_snapshot *s = NULL;
        given g = {0};
        put_commit(store, 0, HEAD ADD("a", "01", "0", "9"));
        put_commit(store, 1, ADD("b", "01", "10", "19"));
        put_commit(store, 2, ADD("c", "01", "20", "29"));
        put(store, ONE UUID ".json", damage[i]);
        put(store, "_sidecars/cut.parquet", "PAR1");
        assert_ok(sm_snapshot_open_head(store, SM_VERSION_LATEST, NULL, &s, &e), &e);
        assert_gives(s, NULL, "a b c ", 2);
        assert_gives(s, &(sm_bounds){&below, 1}, "a ", 2);
        assert_status(sm_delta_checkpoint(s, NULL, &e), SM_CORRUPT, &e);
        assert_ok(sm_store_delete(store, SM_STR(SMI_LOG "00000000000000000000.json"), &e), &e);
        const sm_delta_sink to = {.begin = begin, .file = give, .ctx = &g};
        const sm_status st = sm_snapshot_each(s, NULL, &to, &e);
        assert_true(st == SM_CORRUPT || st == SM_NOT_FOUND);
        assert_non_null(strstr(e.todo, "no older checkpoint"));
        assert_int_equal(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), st);
        sm_buf_release(&g.keys);
        sm_snapshot_release(s);
        sm_store_release(store);
    }
    (void)state;
}

/* An error of whoever is given the files is that error: the checkpoint is not at fault. */
static sm_status refuse(void *ctx, const sm_delta_file *f, sm_error *e)
{
    ++*(int *)ctx;
    return sm_fail(e, SM_CORRUPT, "file %.*s is not liked", SM_STR_ARG(f->key));
}

static void test_refused(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};
    int n = 0;

    put_commit(store, 0, HEAD);
    put_commit(store, 1, ADD("a", "01", "0", "9"));
    put(store, ONE UUID ".json", HEAD ADD("a", "01", "0", "9"));
    assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
    assert_status(sm_snapshot_each(s, NULL, &(sm_delta_sink){.file = refuse, .ctx = &n}, &e),
                  SM_CORRUPT, &e);
    assert_int_equal(n, 1);
    assert_non_null(strstr(e.what, "file a is not liked"));
    sm_snapshot_release(s);
    sm_store_release(store);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_removed_vector),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_checkpoint_of_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
