/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_late_test.c: in-commit timestamps and row ids: of commits that come right behind
 * their base, behind those of others, and where the clock went back. */
#include "test.h"

#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"
#include "stores.h"

#define FUTURE INT64_C(9000000000000) /* 2255 */

#define HEAD                                                                                       \
    "{\"commitInfo\":{\"inCommitTimestamp\":9000000000000,\"operation\":\"CREATE TABLE\"}}\n"      \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":"             \
    "[\"domainMetadata\",\"rowTracking-preview\",\"inCommitTimestamp\"]}}\n"
#define METADATA(config)                                                                           \
    "{\"metaData\":{\"id\":\"1\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\","    \
    "\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                    \
    "\"partitionColumns\":[],\"configuration\":{" config "}}}\n"
#define STAMPED "\"delta.enableInCommitTimestamps\":\"true\""
#define OLD_FILE                                                                                   \
    "{\"add\":{\"path\":\"old\",\"partitionValues\":{},\"size\":5,\"modificationTime\":1,"         \
    "\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":3}\",\"baseRowId\":0,"                    \
    "\"defaultRowCommitVersion\":0}}\n"                                                            \
    "{\"domainMetadata\":{\"domain\":\"delta.rowTracking\",\"configuration\":"                     \
    "\"{\\\"rowIdHighWaterMark\\\":2}\",\"removed\":false}}\n"

typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
} fixture;

static void put_version(const fixture *f, int64_t version, const char *text)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_error e = {0};

    smi_commit_key(version, key);
    assert_ok(sm_store_put(f->store, sm_str_of(key), text, strlen(text), SM_PUT_REPLACE, &e), &e);
}

static int set_up(void **state)
{
    static int number = 0;
    static fixture f;
    char uri[64];
    sm_error e = {0};

    f = (fixture){.arena = sm_arena_new(NULL)};
    snprintf(uri, sizeof(uri), "memory://delta_late_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f.store, &e), &e);
    put_version(&f, 0, HEAD METADATA(STAMPED) OLD_FILE);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    sm_store_release(f->store);
    sm_arena_free(f->arena);
    return 0;
}

static sm_snapshot *open_at(const fixture *f, int64_t version)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open(f->store, version, NULL, &s, &e), &e);
    return s;
}

static int64_t stamp_of(const fixture *f, int64_t version)
{
    sm_delta_commit_info info;
    const sm_json *doc = NULL;
    int64_t unused = 0, stamp = -1;
    sm_error e = {0};

    assert_ok(sm_delta_info_read(f->store, version, SM_STR(""), f->arena, &info, &unused, &e), &e);
    assert_ok(sm_json_parse(info.json, f->arena, &doc, &e), &e);
    sm_json_i64(sm_json_get(doc, "inCommitTimestamp"), &stamp);
    return stamp;
}

/* Commits a new file of n_rows behind `base`, whatever others did since. */
static sm_status append(const fixture *f, sm_snapshot *base, const char *key, int64_t n_rows,
                        sm_error *e)
{
    const sm_delta_add add = {.key = sm_str_of(key), .size_bytes = 9, .n_rows = n_rows};
    int64_t version = -1;

    return sm_delta_commit_write(f->store, base, &(sm_delta_commit){.adds = &add, .n_adds = 1},
                                 NULL, &version, e);
}

/* The file's first row id, and the version of its rows. */
static void assert_rows(const sm_snapshot *s, const char *key, int64_t base_row_id, int64_t version)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_is(files[i].key, key)) {
            assert_int_equal(files[i].base_row_id, base_row_id);
            assert_int_equal(files[i].row_version, version);
            return;
        }
    }
    fail_msg("no file %s", key);
}

static int64_t high_row(const sm_snapshot *s)
{
    return smi_high_row(sm_snapshot_domain(s, SM_STR(SMI_DOMAIN_ROWS)));
}

/* Two writers begin with the same version. Both get ids that nobody else has, and the second one's
 * are behind the first one's. Names that look like members are left alone. */
static void test_row_ids(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};
    const char *odd = "\"baseRowId\":7 \"inCommitTimestamp\":7";

    sm_snapshot *base = open_at(f, 0);
    assert_ok(append(f, base, "a", 10, &e), &e);
    assert_ok(append(f, base, odd, 5, &e), &e);
    assert_ok(append(f, base, "c", 0, &e), &e);
    sm_snapshot *s = open_at(f, 3);
    assert_rows(s, "old", 0, 0);
    assert_rows(s, "a", 3, 1);
    assert_rows(s, odd, 13, 2);
    assert_rows(s, "c", 18, 3);
    assert_int_equal(high_row(s), 17);
    sm_snapshot_release(s);
    sm_snapshot_release(base);
}

/* A file that goes and comes back keeps its ids, behind others too; an undo does the same. */
static void test_row_ids_that_stay(void **state)
{
    const fixture *f = *state;
    int64_t n = 0, version = -1;
    sm_error e = {0};
    sm_delta_prepared p = {0}, undo = {0};

    sm_snapshot *base = open_at(f, 0);
    const sm_delta_file *old = sm_snapshot_files(base, &n);
    const sm_delta_add add = {.key = SM_STR("b"), .size_bytes = 9, .n_rows = 4};
    const sm_delta_commit swap = {
        .removes = &old, .n_removes = 1, .adds = &add, .n_adds = 1, .isolation = SM_READ_FILES};
    assert_ok(append(f, base, "a", 10, &e), &e);
    assert_ok(sm_delta_prepare(base, &swap, f->arena, &p, &e), &e);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, &p, NULL);
    sm_status st = sm_delta_attempt_put(t, &e);
    assert_ok(st, &e);
    if (sm_delta_attempt_state(t) == SM_DELTA_CONFLICT) { /* the append may have been read */
        sm_snapshot *now = open_at(f, 1);
        old = sm_snapshot_files(now, &n);
        assert_ok(sm_delta_prepare(now, &swap, f->arena, &p, &e), &e);
        sm_delta_attempt_free(t);
        t = sm_delta_attempt_new(f->store, NULL, &p, NULL);
        assert_ok(sm_delta_attempt_put(t, &e), &e);
        sm_snapshot_release(now);
    }
    assert_int_equal(sm_delta_attempt_state(t), SM_DELTA_DONE);
    version = sm_delta_attempt_version(t);
    assert_int_equal(version, 2);
    sm_delta_attempt_free(t);
    sm_snapshot *s = open_at(f, 2);
    assert_rows(s, "b", 13, 2);
    sm_snapshot_release(s);
    assert_ok(sm_delta_prepare_undo(f->store, &p, 2, SM_STR("undo"), SM_STR(""), NULL, f->arena,
                                    &undo, &e),
              &e);
    t = sm_delta_attempt_new(f->store, NULL, &undo, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    sm_delta_attempt_free(t);
    s = open_at(f, 3);
    assert_rows(s, "old", 0, 0);
    assert_int_equal(high_row(s), 16); /* never given out again */
    assert_true(stamp_of(f, 3) > stamp_of(f, 2));
    sm_snapshot_release(s);
    sm_snapshot_release(base);
}

/* The clock is behind the last version: the stamp is a millisecond after that one's, for a commit
 * that comes behind another one too. Else it is the time. */
static void test_stamps(void **state)
{
    const fixture *f = *state;
    sm_delta_commit_info *history = NULL;
    int64_t n = 0;
    sm_error e = {0};

    sm_snapshot *base = open_at(f, 0);
    assert_ok(append(f, base, "a", 1, &e), &e);
    assert_ok(append(f, base, "b", 1, &e), &e);
    assert_int_equal(stamp_of(f, 1), FUTURE + 1);
    assert_int_equal(stamp_of(f, 2), FUTURE + 2);
    assert_ok(sm_delta_history(f->store, -1, f->arena, &history, &n, &e), &e);
    assert_int_equal(n, 3);
    assert_int_equal(history[0].timestamp_ms, FUTURE + 2);
    sm_snapshot_release(base);

    put_version(f, 0,
                "{\"commitInfo\":{\"inCommitTimestamp\":5}}\n" METADATA(
                    STAMPED) "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
                             "\"writerFeatures\":[\"inCommitTimestamp-preview\"]}}\n");
    for (int64_t v = 1; v <= 2; v++) {
        char key[SMI_LOG_KEY_BYTES];
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    }
    const int64_t before_ms = sm_now_us() / 1000;
    base = open_at(f, 0);
    assert_ok(append(f, base, "a", 1, &e), &e);
    assert_true(stamp_of(f, 1) >= before_ms && stamp_of(f, 1) <= sm_now_us() / 1000);
    sm_snapshot_release(base);
}

/* What a table does not ask for is not written. */
static void test_off(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};

    put_version(f, 0, HEAD METADATA("\"delta.rowTrackingSuspended\":\"true\"") OLD_FILE);
    sm_snapshot *base = open_at(f, 0);
    assert_ok(append(f, base, "a", 10, &e), &e);
    sm_snapshot *s = open_at(f, 1);
    assert_rows(s, "a", -1, -1);
    assert_int_equal(high_row(s), 2);
    assert_int_equal(stamp_of(f, 1), -1);
    sm_snapshot_release(s);
    sm_snapshot_release(base);
}

/* ---- turned on ------------------------------------------------------------------------------- */

#define PLAIN                                                                                      \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":[]}}\n"
#define NO_IDS(path, n_rows)                                                                       \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{},\"size\":5,"                           \
    "\"modificationTime\":1,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":" n_rows "}\"}}\n"

/* Commits a property by the side of what `with` does, and with the feature that the property needs
 * or the protocol as it is. */
static sm_status turn_on(const fixture *f, sm_snapshot *base, const char *property,
                         bool has_feature, const sm_delta_commit *with, sm_error *e)
{
    const sm_pair on = {sm_str_of(property), SM_STR("true")};
    sm_delta_metadata m = *sm_snapshot_metadata(base);
    const char *feature = NULL;
    int64_t version = -1;

    assert_ok(sm_delta_check_property(on.key, on.value, &feature, e), e);
    const sm_delta_protocol p =
        sm_delta_protocol_with(sm_snapshot_protocol(base), feature, f->arena);
    sm_delta_commit c = with ? *with : (sm_delta_commit){0};
    m.config = has_feature ? (sm_pair[]){on, m.config[0]} : &on;
    m.n_config = has_feature ? 2 : 1;
    c.metadata = &m;
    c.protocol = has_feature ? NULL : &p;
    return sm_delta_commit_write(f->store, base, &c, NULL, &version, e);
}

static int64_t number_of(const sm_snapshot *s, const char *property)
{
    int64_t n = -1;

    return sm_parse_i64(smi_config(sm_snapshot_metadata(s), property), &n) ? n : -1;
}

/* The first version with a timestamp says so, and is later than the file of the one before it: also
 * where the commit comes behind versions of others. Later metadata says the same. */
static void test_stamps_turned_on(void **state)
{
    const fixture *f = *state;
    int64_t version = -1;
    sm_error e = {0};
    const char *const since = "delta.inCommitTimestampEnablementVersion";
    const char *const since_ms = "delta.inCommitTimestampEnablementTimestamp";

    put_version(f, 0, PLAIN METADATA("\"delta.inCommitTimestampEnablementVersion\":\"77\""));
    sm_snapshot *base = open_at(f, 0);
    assert_ok(append(f, base, "a", 1, &e), &e);
    const int64_t before_ms = sm_now_us() / 1000;
    assert_ok(turn_on(f, base, "delta.enableInCommitTimestamps", false, NULL, &e), &e);
    sm_snapshot_release(base);
    base = open_at(f, 2);
    assert_int_equal(number_of(base, since), 2);
    assert_int_equal(number_of(base, since_ms), stamp_of(f, 2));
    assert_true(stamp_of(f, 2) > before_ms - 1000 && stamp_of(f, 1) == -1);
    sm_delta_metadata m = *sm_snapshot_metadata(base);
    m.description = SM_STR("other");
    const sm_delta_commit other = {.metadata = &m};
    assert_ok(sm_delta_commit_write(f->store, base, &other, NULL, &version, &e), &e);
    sm_snapshot_release(base);
    base = open_at(f, 3);
    assert_int_equal(number_of(base, since), 2);
    assert_int_equal(number_of(base, since_ms), stamp_of(f, 2));
    assert_true(stamp_of(f, 3) > stamp_of(f, 2));
    sm_snapshot_release(base);
}

/* All files get ids, in their order, and none is there twice. */
static void test_rows_turned_on(void **state)
{
    const fixture *f = *state;
    int64_t n = 0;
    sm_error e = {0};

    put_version(f, 0, PLAIN METADATA("") NO_IDS("a", "3") NO_IDS("b", "0") NO_IDS("c", "5"));
    sm_snapshot *base = open_at(f, 0);
    const sm_delta_file *gone = &sm_snapshot_files(base, &n)[0];
    const sm_delta_add add = {.key = SM_STR("d"), .size_bytes = 9, .n_rows = 2};
    const sm_delta_commit with = {
        .adds = &add, .n_adds = 1, .removes = &gone, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_ok(turn_on(f, base, "delta.enableRowTracking", false, &with, &e), &e);
    sm_snapshot_release(base);
    sm_snapshot *s = open_at(f, 1);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    const char *const keys[] = {"b", "c", "d"};
    assert_int_equal(n, SM_COUNT(keys));
    for (int i = 0; i < SM_COUNT(keys); i++) {
        assert_true(sm_str_is(files[i].key, keys[i]));
    }
    assert_rows(s, "b", 0, 1);
    assert_rows(s, "c", 0, 1);
    assert_rows(s, "d", 5, 1);
    assert_int_equal(high_row(s), 6);
    assert_true(sm_delta_has_feature(sm_snapshot_protocol(s), "domainMetadata"));
    sm_snapshot_release(s);
}

/* Whoever adds or removes a file meanwhile gives it no ids, or takes one away that would come back.
 */
static void test_rows_turned_on_too_late(void **state)
{
    const fixture *f = *state;
    int64_t n = 0, version = -1;
    sm_error e = {0};

    for (int i = 0; i < 3; i++) {
        put_version(f, 0, PLAIN METADATA("") NO_IDS("a", "3") NO_IDS("b", "4"));
        for (int v = 1; v <= 2 && i > 0; v++) { /* those of the round before */
            char key[SMI_LOG_KEY_BYTES];
            smi_commit_key(v, key);
            const sm_status st = sm_store_delete(f->store, sm_str_of(key), &e);
            assert_true(st == SM_OK || v == 2);
        }
        sm_snapshot *base = open_at(f, 0);
        const sm_delta_file *gone = &sm_snapshot_files(base, &n)[0];
        const sm_delta_add add = {.key = SM_STR("d"), .size_bytes = 9, .n_rows = 3};
        const sm_delta_txn txn = {SM_STR("app"), 1, 1};
        const sm_delta_commit others[] = {
            {.adds = &add, .n_adds = 1, .isolation = SM_READ_NOTHING},
            {.removes = &gone, .n_removes = 1, .keeps_rows = true},
            {.txns = &txn, .n_txns = 1},
        };
        assert_ok(sm_delta_commit_write(f->store, base, &others[i], NULL, &version, &e), &e);
        assert_status(turn_on(f, base, "delta.enableRowTracking", false, NULL, &e),
                      i == 2 ? SM_OK : SM_CONFLICT, &e);
        sm_snapshot_release(base);
    }
    sm_snapshot *s = open_at(f, 2);
    assert_rows(s, "a", 0, 2);
    assert_rows(s, "b", 3, 2);
    sm_snapshot_release(s);
}

/* What is taken back leaves the files where they are. */
static void test_rows_turned_on_and_undone(void **state)
{
    const fixture *f = *state;
    int64_t n = 0;
    sm_error e = {0};
    sm_delta_prepared p = {0}, undo = {0};

    put_version(f, 0, PLAIN METADATA("") NO_IDS("a", "3") NO_IDS("b", "4"));
    sm_snapshot *base = open_at(f, 0);
    sm_delta_metadata m = *sm_snapshot_metadata(base);
    const sm_pair on = {SM_STR("delta.enableRowTracking"), SM_STR("true")};
    m.config = &on;
    m.n_config = 1;
    const sm_delta_protocol protocol =
        sm_delta_protocol_with(sm_snapshot_protocol(base), "rowTracking", f->arena);
    const sm_delta_add add = {.key = SM_STR("d"), .size_bytes = 9, .n_rows = 2};
    const sm_delta_commit c = {.adds = &add, .n_adds = 1, .metadata = &m, .protocol = &protocol};
    assert_ok(sm_delta_prepare(base, &c, f->arena, &p, &e), &e);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, &p, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    sm_delta_attempt_free(t);
    assert_ok(sm_delta_prepare_undo(f->store, &p, 1, SM_STR("undo"), SM_STR(""), NULL, f->arena,
                                    &undo, &e),
              &e);
    t = sm_delta_attempt_new(f->store, NULL, &undo, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    assert_int_equal(sm_delta_attempt_state(t), SM_DELTA_DONE);
    sm_delta_attempt_free(t);
    sm_snapshot *s = open_at(f, 2);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, 2);
    assert_true(sm_str_is(files[0].key, "a") && sm_str_is(files[1].key, "b"));
    assert_false(smi_keeps_row_ids(sm_snapshot_protocol(s), sm_snapshot_metadata(s)));
    sm_snapshot_release(s);
    sm_snapshot_release(base);
}

static void test_refused(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};

    put_version(f, 0, HEAD METADATA("\"delta.rowTrackingSuspended\":\"true\"") OLD_FILE);
    sm_snapshot *base = open_at(f, 0);
    bool keeps = true;
    sm_str names[2];
    assert_ok(sm_delta_row_columns(base, &keeps, names, &e), &e);
    assert_false(keeps); /* ids are given, but need not be kept */
    assert_status(turn_on(f, base, "delta.enableRowTracking", true, NULL, &e), SM_DENIED, &e);
    assert_non_null(strstr(e.todo, "rowTrackingSuspended"));
    sm_snapshot_release(base);

    put_version(f, 0, PLAIN METADATA("") NO_IDS("a", "") NO_IDS("b", "3"));
    base = open_at(f, 0);
    assert_status(turn_on(f, base, "delta.enableRowTracking", false, NULL, &e), SM_UNSUPPORTED, &e);
    assert_non_null(strstr(e.what, "how many it has"));
    sm_snapshot_release(base);

    put_version(f, 0, HEAD METADATA("\"delta.enableRowTracking\":\"true\"") OLD_FILE);
    base = open_at(f, 0);
    assert_status(sm_delta_row_columns(base, &keeps, names, &e), SM_CORRUPT, &e);
    sm_snapshot_release(base);
}

/* ---- commits that are kept ------------------------------------------------------------------- */

static bool has_file(sm_snapshot *s, const char *key)
{
    int64_t n = 0;
    bool has = false;
    sm_error e = {0};

    assert_ok(sm_snapshot_list(s, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        has = has || sm_str_is(files[i].key, key);
    }
    return has;
}

static sm_delta_prepared prepare_kept(const fixture *f, bool removes)
{
    sm_delta_prepared p = {0};
    sm_error e = {0};
    int64_t n = 0;
    sm_snapshot *base = open_at(f, 0);
    const sm_delta_file *old = sm_snapshot_files(base, &n);
    const sm_delta_add add = {.key = SM_STR("kept"), .size_bytes = 9, .n_rows = 4};
    const sm_delta_commit c = {
        .adds = &add, .n_adds = 1, .removes = &old, .n_removes = removes, .id = SM_STR("before")};

    assert_ok(sm_delta_prepare(base, &c, f->arena, &p, &e), &e);
    sm_snapshot_release(base);
    return p;
}

/* What it would make of its base is seen before, and whatever others do since. */
static void test_staged(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};
    sm_snapshot *s = NULL, *base = open_at(f, 0);

    for (int removes = 0; removes < 2; removes++) {
        const sm_delta_prepared p = prepare_kept(f, removes != 0);
        assert_ok(sm_snapshot_open_staged(f->store, &p, NULL, &s, &e), &e);
        assert_int_equal(sm_snapshot_version(s), 1);
        assert_true(has_file(s, "kept"));
        assert_int_equal(has_file(s, "old"), !removes);
        assert_false(has_file(s, "a"));
        sm_snapshot_release(s);
        assert_ok(append(f, base, "a", 10, &e), &e);
    }
    sm_snapshot_release(base);
}

/* Published later, it is as if it had been prepared then: time, row ids, what it says. It is made
 * once, whoever does it. */
static void test_again(void **state)
{
    const fixture *f = *state;
    const int64_t now_ms = FUTURE + 50000;
    const sm_delta_prepared p = prepare_kept(f, false);
    sm_delta_prepared again = {0};
    sm_error e = {0};
    sm_snapshot *base = open_at(f, 0);

    assert_ok(append(f, base, "a", 10, &e), &e);
    for (int i = 0; i < 2; i++) {
        assert_ok(sm_delta_prepare_again(&p, SM_STR("kept.0"), SM_STR("\"more\":[1]"),
                                         (now_ms + i) * 1000, f->arena, &again, &e),
                  &e);
        sm_delta_attempt *t = sm_delta_attempt_new(f->store, base, &again, NULL);
        assert_ok(sm_delta_attempt_put(t, &e), &e);
        assert_int_equal(sm_delta_attempt_state(t), SM_DELTA_DONE);
        assert_int_equal(sm_delta_attempt_version(t), 2);
        sm_delta_attempt_free(t);
    }
    assert_int_equal(stamp_of(f, 2), now_ms);
    sm_snapshot *s = open_at(f, 2);
    assert_rows(s, "kept", 13, 2);
    assert_non_null(strstr(again.text.data, "\"txnId\":\"kept.0\",\"more\":[1]}}\n"));
    assert_null(strstr(again.text.data, "before"));
    sm_snapshot_release(s);
    sm_snapshot_release(base);
}

static void test_again_removes(void **state)
{
    const fixture *f = *state;
    const sm_delta_prepared p = prepare_kept(f, true);
    sm_delta_prepared again = {0}, other = p;
    sm_error e = {0};

    assert_ok(sm_delta_prepare_again(&p, SM_STR("x"), SM_STR(""), 7000000, f->arena, &again, &e),
              &e);
    assert_non_null(strstr(again.text.data, "\"deletionTimestamp\":7000,"));
    assert_non_null(strstr(again.text.data, "\"timestamp\":7000,"));
    assert_non_null(strstr(again.text.data, "\"txnId\":\"x\"}}\n"));
    assert_true(smi_is_readable(&again));
    other.id = SM_STR("another");
    assert_status(sm_delta_prepare_again(&other, SM_STR("x"), SM_STR(""), 7, f->arena, &again, &e),
                  SM_CORRUPT, &e);
}

#define LATE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LATE_TEST(test_row_ids),
        LATE_TEST(test_row_ids_that_stay),
        LATE_TEST(test_stamps),
        LATE_TEST(test_off),
        LATE_TEST(test_refused),
        LATE_TEST(test_stamps_turned_on),
        LATE_TEST(test_rows_turned_on),
        LATE_TEST(test_rows_turned_on_too_late),
        LATE_TEST(test_rows_turned_on_and_undone),
        LATE_TEST(test_staged),
        LATE_TEST(test_again),
        LATE_TEST(test_again_removes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
