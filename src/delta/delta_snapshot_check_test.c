/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_snapshot_check_test.c: a snapshot that was opened is valid, and each promise that is
 * broken in it is told by its own words. */
#include "stores.h"
#include "test.h"

#include "delta/delta_int.h"

/* A table by day: version 1 adds three files, version 2 removes the first. */
static sm_snapshot *open_table(sm_arena *a, sm_store **store)
{
    static int number = 0;
    char uri[64];
    sm_error e = {0};
    const sm_type *schema = NULL;
    const sm_str day = SM_STR("day");
    sm_snapshot *base = NULL, *out = NULL;
    sm_delta_add adds[3];
    int64_t version = -1, n = 0;

    snprintf(uri, sizeof(uri), "memory://delta_snapshot_check_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), store, &e), &e);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT, day DATE)"), a, &schema, &e), &e);
    const sm_delta_metadata m = {.id = SM_STR("a"),
                                 .schema = schema,
                                 .partition_columns = &day,
                                 .n_partition_columns = 1,
                                 .created_ms = -1};
    for (int i = 0; i < SM_COUNT(adds); i++) {
        sm_range *ranges = SM_NEW_ARRAY(a, sm_range, 2);
        sm_value *values = SM_NEW_ARRAY(a, sm_value, 1);
        values[0] = (sm_value){.type = &sm_type_date, .as.i = i};
        ranges[0] = (sm_range){.has_min = true,
                               .has_max = true,
                               .has_nulls = true,
                               .min = sm_value_i64(i),
                               .max = sm_value_i64(i + 4)};
        ranges[1] = (sm_range){0}; /* a partition column has no statistics */
        adds[i] = (sm_delta_add){.key = sm_arena_strf(a, "%d.parquet", i),
                                 .partition = values,
                                 .size_bytes = 100,
                                 .n_rows = 5,
                                 .ranges = ranges};
    }
    const sm_delta_txn txn = {.app_id = SM_STR("app"), .version = 1, .updated_ms = -1};
    const sm_delta_commit first = {
        .metadata = &m, .adds = adds, .n_adds = SM_COUNT(adds), .txns = &txn, .n_txns = 1};
    assert_ok(sm_delta_commit_write(*store, NULL, &first, NULL, &version, &e), &e);
    assert_ok(sm_snapshot_open(*store, version, NULL, &base, &e), &e);
    const sm_delta_file *const removes[] = {sm_snapshot_files(base, &n)};
    const sm_delta_commit second = {
        .isolation = SM_READ_ALL, .removes = removes, .n_removes = SM_COUNT(removes)};
    assert_ok(sm_delta_commit_write(*store, base, &second, NULL, &version, &e), &e);
    assert_ok(sm_snapshot_open(*store, version, NULL, &out, &e), &e);
    sm_snapshot_release(base);
    return out;
}

/* Breaks the i-th promise; what is then said, NULL after the last. */
static const char *break_promise(sm_snapshot *s, int i)
{
    static const sm_str none = {"none", 4};

    switch (i) {
    case 0:
        s->version = -1;
        return "a snapshot has no version";
    case 1:
        s->has_metadata = false;
        return "a snapshot has no protocol or no metadata";
    case 2:
        s->n_adds = s->cap_adds + 1;
        return "a snapshot has more adds than room for them";
    case 3:
        s->n_txns = -1;
        return "a snapshot has more transactions than room for them";
    case 4:
        s->protocol.min_reader = 4;
        return "a snapshot needs a reader that smelt is not";
    case 5:
        s->protocol.n_writer_features = 1;
        return "a protocol counts features that it does not have";
    case 6:
        s->metadata.schema = &sm_type_i64;
        return "a snapshot has no schema";
    case 7:
        s->metadata.partition_columns = &none;
        return "a partition column is no column with plain values";
    case 8:
        s->files[1].n_rows = -2;
        return "a file has fewer rows than none";
    case 9:
        ((sm_value *)s->files[0].partition)->type = &sm_type_i64;
        return "a file's partition value is not of its column's type";
    case 10:
        s->files[0].path = (sm_str){0};
        s->adds[1].path = (sm_str){0};
        return "a file has no path";
    case 11:
        s->n_files = s->cap_files + 1;
        return "a snapshot has more files than room for them";
    case 12:
        s->is_listed = false;
        return "a snapshot has more files than room for them";
    case 13:
        s->adds[2].kind = SMI_ACTION_REMOVE;
        return "an add of a snapshot is another action";
    case 14:
        s->is_dead[0] = false;
        return "a snapshot has fewer files than live adds";
    case 15:
        s->files[0].path = s->adds[2].path;
        return "files are not in the order of their adds";
    case 16:
        s->files[1].size_bytes++;
        return "a file differs from its add in size or deletion vector";
    case 17:
        s->is_dead[1] = true;
        return "a snapshot has more files than live adds";
    case 18:
        s->ranks[1] = 2;
        return "an add stands behind its own place";
    case 19:
        s->anchors[1] = 0;
        return "an add stands in the place of an unknown file";
    default:
        return NULL;
    }
}

/* The same of what only a deep look finds. */
static const char *break_deep(sm_snapshot *s, int i)
{
    static const sm_str app = {"app", 3};

    switch (i) {
    case 0: /* one path twice */
        s->adds[2].path = s->files[1].path = s->adds[1].path;
        return "a live file is not found by its path";
    case 1:
        *sm_map_at(s->tombstone_by_path, s->adds[1].path) = (void *)(intptr_t)1;
        return "a live file has a tombstone";
    case 2:
        *sm_map_at(s->by_path, s->adds[0].path) = (void *)(intptr_t)1;
        return "the map of paths finds files that are dead";
    case 3:
        *sm_map_at(s->tombstone_by_path, s->tombstones[0].path) = NULL;
        return "a tombstone is not found by its path, or stands twice";
    case 4:
        s->tombstones[0].is_live_again = true;
        return "the map of tombstones finds files that live";
    case 5:
        *sm_map_at(s->txn_by_id, app) = NULL;
        return "a transaction is not found by its application, or stands twice";
    case 6:
        *sm_map_at(s->txn_by_id, SM_STR("other")) = (void *)(intptr_t)1;
        return "the map of transactions counts others than there are";
    default:
        return NULL;
    }
}

static void test_promises(void **state)
{
    const char *(*const breaks[])(sm_snapshot *, int) = {break_promise, break_deep};

    for (int level = 0; level < SM_COUNT(breaks); level++) {
        bool is_last = false;
        for (int i = 0; !is_last; i++) {
            const char *why = "";
            sm_arena *a = sm_arena_new(NULL);
            sm_store *store = NULL;
            sm_snapshot *s = open_table(a, &store);
            assert_int_equal(s->n_files, 2);
            assert_int_equal(s->n_tombstones, 1);
            assert_true(smi_snapshot_validate(s, true, &why));
            const char *want = breaks[level](s, i);
            is_last = !want;
            if (want) {
                assert_false(smi_snapshot_validate(s, true, &why));
                assert_string_equal(why, want);
            }
            assert_int_equal(smi_snapshot_validate(s, false, &why), level == 1 || is_last);
            sm_snapshot_release(s);
            sm_store_release(store);
            sm_arena_free(a);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_promises)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
