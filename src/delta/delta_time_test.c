/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_time_test.c: which version a table had at a time: times of files, equal ones and ones
 * that go back, in-commit timestamps from the first version on or later, cleaned logs. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "delta/delta_int.h"
#include "stores.h"

#define SECOND_US ((int64_t)1000000)

/* A log with a commit for each of `n` versions. */
typedef struct log_of {
    int64_t n;
    int64_t files_s[6];   /* when the file was modified, in seconds; −1: it was cleaned up */
    int64_t stamps_s[6];  /* its inCommitTimestamp; 0: it has none */
    const char *config;   /* of the metadata */
    int64_t checkpoint;   /* the version of a checkpoint; 0: there is none */
    const char *parts[4]; /* names of parts of checkpoints, after "_delta_log/" */
} log_of;

static void put(sm_store *s, int64_t version, const char *suffix, int64_t at_s, const char *text)
{
    char key[128], now[32];
    sm_error e = {0};

    snprintf(key, sizeof(key), "_delta_log/%020d.%s", (int)version, suffix);
    snprintf(now, sizeof(now), "%lld", (long long)(at_s * SECOND_US));
    setenv("SMELT_NOW_US", now, 1);
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_IF_ABSENT, &e), &e);
    unsetenv("SMELT_NOW_US");
}

static sm_store *make_log(const log_of *l)
{
    static int number = 0;
    char uri[64], text[2048], stamp[64];
    sm_store *s = NULL;
    sm_error e = {0};

    snprintf(uri, sizeof(uri), "memory://delta_time_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    for (int64_t v = 0; v < l->n; v++) {
        stamp[0] = '\0';
        if (l->stamps_s[v]) {
            snprintf(stamp, sizeof(stamp), "\"inCommitTimestamp\":%lld,",
                     (long long)(l->stamps_s[v] * 1000));
        }
        snprintf(text, sizeof(text),
                 "{\"commitInfo\":{%s\"operation\":\"WRITE\"}}\n"
                 "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
                 "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
                 "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\","
                 "\"partitionColumns\":[],\"configuration\":{%s}}}\n",
                 stamp, l->config ? l->config : "");
        if (l->files_s[v] >= 0) {
            put(s, v, "json", l->files_s[v], text);
        }
        if (l->checkpoint == v && v > 0) {
            put(s, v, "checkpoint.11111111-2222-4333-8444-555555555555.json", 1, text);
        }
    }
    for (int i = 0; i < SM_COUNT(l->parts) && l->parts[i]; i++) {
        char key[128];
        snprintf(key, sizeof(key), "_delta_log/%s", l->parts[i]);
        assert_ok(sm_store_put(s, sm_str_of(key), "PAR1", 4, SM_PUT_IF_ABSENT, &e), &e);
    }
    return s;
}

static const char stamps_on[] = "\"delta.enableInCommitTimestamps\":\"true\"";
static const char stamps_later[] = "\"delta.enableInCommitTimestamps\":\"true\","
                                   "\"delta.inCommitTimestampEnablementVersion\":\"2\","
                                   "\"delta.inCommitTimestampEnablementTimestamp\":\"250000\"";

#define P(version) "0000000000000000000" #version ".checkpoint."

static const struct {
    const char *name;
    log_of log;
    struct {
        int64_t at_ms, version; /* −1: before the first */
    } asked[8];
    int n_asked;
} cases[] = {
    {"times of files",
     {.n = 3, .files_s = {100, 200, 300}},
     {{99999, -1}, {100000, 0}, {199999, 0}, {200000, 1}, {300000, 2}, {999999, 2}},
     6},
    {"equal times, and times that go back, grow by a millisecond",
     {.n = 4, .files_s = {100, 100, 50, 200}},
     {{99999, -1}, {100000, 0}, {100001, 1}, {100002, 2}, {199999, 2}, {200000, 3}},
     6},
    {"timestamps of all commits count, not those of the files",
     {.n = 4,
      .files_s = {900, 900, 900, 900},
      .stamps_s = {100, 200, 300, 400},
      .config = stamps_on},
     {{99999, -1}, {100000, 0}, {250000, 1}, {300000, 2}, {399999, 2}, {500000, 3}},
     6},
    {"timestamps of commits since version 2",
     {.n = 4,
      .files_s = {100, 200, 900, 950},
      .stamps_s = {0, 0, 250, 400},
      .config = stamps_later},
     {{99999, -1}, {100000, 0}, {249999, 1}, {250000, 2}, {399999, 2}, {400000, 3}},
     6},
    {"a log that begins with a checkpoint",
     {.n = 5, .files_s = {-1, 150, 200, 300, 400}, .checkpoint = 2},
     {{150000, -1}, {199999, -1}, {200000, 2}, {300000, 3}, {400000, 4}},
     5},
    {"a checkpoint in parts begins a log where it has all of them",
     {.n = 5,
      .files_s = {-1, 150, 200, 300, 400},
      .checkpoint = 4,
      .parts = {P(1) "0000000002.0000000002.parquet", P(2) "0000000001.0000000002.parquet",
                P(2) "0000000001.0000000003.parquet", P(2) "0000000002.0000000002.parquet"}},
     {{150000, -1}, {199999, -1}, {200000, 2}, {300000, 3}, {400000, 4}},
     5},
    {"one that lacks its first part, or its last, or some between, begins none",
     {.n = 5,
      .files_s = {-1, 150, 200, 300, 400},
      .checkpoint = 4,
      .parts = {P(1) "0000000002.0000000002.parquet", P(2) "0000000001.0000000002.parquet",
                P(3) "0000000001.0000000003.parquet", P(3) "0000000003.0000000003.parquet"}},
     {{399999, -1}, {400000, 4}},
     2},
    {"a log whose commits since version 2 have timestamps, and begin after it",
     {.n = 5,
      .files_s = {-1, -1, -1, 900, 950},
      .stamps_s = {0, 0, 0, 300, 400},
      .config = stamps_later,
      .checkpoint = 3},
     {{249999, -1}, {260000, -1}, {300000, 3}, {400000, 4}},
     4},
    {"times before 1970 are before the first",
     {.n = 1, .files_s = {100}},
     {{-1, -1}, {INT64_MIN / 1000, -1}, {INT64_MAX / 1000, 0}},
     3},
};

static void version_at_a_time(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *s = make_log(&cases[i].log);
        sm_snapshot *newest = NULL;
        sm_error e = {0};
        assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, NULL, &newest, &e), &e);
        for (int k = 0; k < cases[i].n_asked; k++) {
            int64_t got = -1;
            e = (sm_error){0};
            const sm_status st =
                sm_delta_version_at(newest, cases[i].asked[k].at_ms * 1000, &got, &e);
            if (got != cases[i].asked[k].version || st != (got < 0 ? SM_NOT_FOUND : SM_OK)) {
                fail_msg("%s: at %lld ms version %lld: %s", cases[i].name,
                         (long long)cases[i].asked[k].at_ms, (long long)got, e.what);
            }
        }
        sm_snapshot_release(newest);
        sm_store_release(s);
    }
}

static sm_status ask(const log_of *l, int64_t version, int64_t time_us, int64_t *out, sm_error *e)
{
    sm_store *s = make_log(l);
    sm_snapshot *newest = NULL;

    assert_ok(sm_snapshot_open(s, version, NULL, &newest, e), e);
    const sm_status st = sm_delta_version_at(newest, time_us, out, e);
    sm_snapshot_release(newest);
    sm_store_release(s);
    return st;
}

/* Versions after the one that is seen do not count: they may be of a publication under way. */
static void later_versions_are_not_seen(void **state)
{
    const log_of l = {.n = 3, .files_s = {100, 200, 300}};
    int64_t got = -1;
    sm_error e = {0};

    assert_ok(ask(&l, 1, 999 * SECOND_US, &got, &e), &e);
    assert_int_equal(got, 1);
}

static void errors_name_what_is_there(void **state)
{
    const log_of l = {.n = 1, .files_s = {100}};
    const log_of damaged = {.n = 2, .files_s = {1, 2}, .stamps_s = {100, 0}, .config = stamps_on};
    int64_t got = -1;
    sm_error e = {0};

    assert_status(ask(&l, 0, 99 * SECOND_US, &got, &e), SM_NOT_FOUND, &e);
    assert_string_equal(e.what, "no version at 1970-01-01 00:01:39: the first, version 0, is of "
                                "1970-01-01 00:01:40");
    e = (sm_error){0};
    assert_status(ask(&damaged, 1, 999 * SECOND_US, &got, &e), SM_CORRUPT, &e);
    assert_string_equal(e.what, "version 1 has no inCommitTimestamp, which the table has enabled");
    assert_int_equal(got, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_at_a_time),
        cmocka_unit_test(later_versions_are_not_seen),
        cmocka_unit_test(errors_name_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
