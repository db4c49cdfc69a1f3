/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/delta_logs.h: logs that a test writes by hand: lines of actions, commits of them in a store
 * in memory, and the checkpoint of a version. Include test.h before. */
#ifndef SM_TEST_DELTA_LOGS_H
#define SM_TEST_DELTA_LOGS_H

#include <stdio.h>

#include "delta/delta_int.h"
#include "stores.h"

/* A table without columns; config: members of its properties. */
#define METADATA(config)                                                                           \
    "{\"metaData\":{\"id\":\"a\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\","                        \
    "\"partitionColumns\":[],\"configuration\":{" config "}}}\n"
/* more: members, each with a comma before it. */
#define ADD_MORE(path, more)                                                                       \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{},\"size\":1,\"modificationTime\":1,"    \
    "\"dataChange\":true" more "}}\n"
#define ADD(path)           ADD_MORE(path, "")
#define ADD_AT(path, place) ADD_MORE(path, ",\"tags\":{\"" SMI_TAG_PLACE "\":\"" place "\"}")
#define REMOVE_MORE(path, more)                                                                    \
    "{\"remove\":{\"path\":\"" path "\",\"deletionTimestamp\":1,\"dataChange\":true" more "}}\n"
#define REMOVE(path) REMOVE_MORE(path, "")
#define INFO         "{\"commitInfo\":{}}\n"

/* An empty store; the caller releases it. */
static inline sm_store *new_store(void)
{
    static int number = 0;
    char uri[64];
    sm_error e = {0};
    sm_store *s = NULL;

    snprintf(uri, sizeof(uri), "memory://delta_logs_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    return s;
}

static inline void put_text(sm_store *s, const char *key, sm_str text)
{
    sm_error e = {0};

    assert_ok(sm_store_put(s, sm_str_of(key), text.data, text.len, SM_PUT_REPLACE, &e), &e);
}

/* "": a commit that changes nothing. */
static inline void put_commit(sm_store *s, int64_t version, const char *text)
{
    char key[SMI_LOG_KEY_BYTES];

    smi_commit_key(version, key);
    put_text(s, key, sm_str_of(*text ? text : INFO));
}

static inline void write_checkpoint(sm_store *store, int64_t version)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open_head(store, version, NULL, &s, &e), &e);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
}

#endif
