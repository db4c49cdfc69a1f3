/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_expired_test.c: which files of a log are expired, by its properties and the time. */
#include "test.h"

#include "base/time.h"
#include "delta/delta_int.h"
#include "stores.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define DAYS30 "delta.logRetentionDuration"
#define FILES  "delta.deletedFileRetentionDuration"
#define IS_ON  "delta.enableExpiredLogCleanup"

/* "4.json 5.crc": names without their zeros, into a log with one object each. */
static sm_store *log_of(int number, const char *names)
{
    sm_store *s = NULL;
    sm_error e = {0};
    char uri[64], key[96];
    int version = 0, n = 0;
    char rest[64];

    snprintf(uri, sizeof(uri), "memory://expired-%d", number);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    while (sscanf(names, "%d%63s%n", &version, rest, &n) == 2) {
        snprintf(key, sizeof(key), "_delta_log/%020d%s", version, rest);
        assert_ok(sm_store_put(s, sm_str_of(key), "x", 1, SM_PUT_REPLACE, &e), &e);
        names += n;
    }
    return s;
}

/* The same form, of what is expired. */
static void print_expired(const sm_delta_expired *x, sm_buf *out)
{
    for (int64_t i = 0; i < x->n; i++) {
        const sm_str key = x->keys[i];
        const size_t head = strlen("_delta_log/") + 19; /* each version has one digit */
        sm_buf_printf(out, "%s%.*s", i > 0 ? " " : "", (int)(key.len - head), key.data + head);
    }
}

#define LOG                                                                                        \
    "0.json 1.json 1.crc 2.checkpoint.parquet 2.json 3.json 4.checkpoint.parquet 4.json 5.json"
#define TO  ".0000000000000000000" /* of a compaction file: to a version of one digit */
#define OLD "0.json 1.crc 1.json 2.checkpoint.parquet 2.json 3.json"

static void test_expired(void **state)
{
    static const struct {
        const char *log;
        sm_pair config[2];
        int days; /* after the log was made */
        const char *want;
        int64_t first_kept;
    } rows[] = {
        {LOG, {{{0}}}, 29, "", -1},
        {LOG, {{{0}}}, 32, OLD, 4},
        {LOG, {{SM_STR(DAYS30), SM_STR("interval 3 days")}}, 5, "", -1}, /* files: 7 days */
        {LOG, {{SM_STR(DAYS30), SM_STR("interval 3 days")}}, 9, OLD, 4},
        {LOG,
         {{SM_STR(DAYS30), SM_STR("interval 0 days")}, {SM_STR(FILES), SM_STR("0 hours")}},
         0,
         "",
         -1},
        {LOG,
         {{SM_STR(DAYS30), SM_STR("interval 0 days")}, {SM_STR(FILES), SM_STR("0 hours")}},
         3,
         OLD,
         4},
        {LOG, {{SM_STR(FILES), SM_STR("interval 60 days")}}, 40, "", -1},
        {LOG, {{SM_STR(DAYS30), SM_STR("as long as you like")}}, 90, "", -1},
        {LOG, {{SM_STR(IS_ON), SM_STR("false")}}, 90, "", -1},
        {LOG, {{SM_STR(IS_ON), SM_STR("TRUE")}}, 90, OLD, 4},
        {"0.json 1.json 2.json", {{{0}}}, 90, "", -1},
        {"0.json 1.json 1.checkpoint.0000000001.0000000001.parquet 2.json", {{{0}}}, 90, "", -1},
        {"0.json 1.json 1.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json 2.json",
         {{{0}}},
         90,
         "",
         -1},
        {"3.checkpoint.parquet 3.json 4.json", {{{0}}}, 90, "", 3},
        {"0.json 0" TO "1.compacted.json 1.json 2" TO "3.compacted.json 2.checkpoint.parquet 2.json"
         " 3" TO "4.compacted.json 3.json 4.json",
         {{{0}}},
         90,
         "0" TO "1.compacted.json 0.json 1.json 2" TO "3.compacted.json",
         2},
        {"0.json 0.1.compacted.json 1.json 1" TO "0.compacted.json 2.checkpoint.parquet 2.json",
         {{{0}}},
         90,
         "0.json 1.json",
         2}, /* no such names */
        {"0.json 0.json.tmp 1.1.json 2.checkpoint.parquet 2.json", {{{0}}}, 90, "0.json", 2},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_delta_expired expired;
        sm_buf text = {0};
        sm_arena *a = sm_arena_new(NULL);
        sm_store *s = log_of(i, rows[i].log);
        sm_delta_metadata m = {.config = rows[i].config};
        while (m.n_config < 2 && rows[i].config[m.n_config].key.len > 0) {
            m.n_config++;
        }
        const int64_t now_us = sm_now_us() + rows[i].days * DAY_US;
        assert_ok(sm_delta_log_expired(s, &m, now_us, a, &expired, &e), &e);
        print_expired(&expired, &text);
        assert_true(sm_str_is(sm_buf_str(&text), rows[i].want));
        assert_int_equal(expired.first_kept, rows[i].first_kept);

        sm_entry *entries = NULL;
        int64_t before = 0, after = 0;
        assert_ok(sm_store_list(s, SM_STR("_delta_log/"), true, a, &entries, &before, &e), &e);
        sm_delta_log_delete(s, &expired);
        assert_ok(sm_store_list(s, SM_STR("_delta_log/"), true, a, &entries, &after, &e), &e);
        assert_int_equal(after, before - expired.n);
        sm_buf_release(&text);
        sm_store_release(s);
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_expired)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
