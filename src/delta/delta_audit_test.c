/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_audit_test.c: what the audit of a log finds, in logs that are whole and in logs of
 * which one thing is wrong. */
#include "test.h"

#include "delta/delta_int.h"
#include "stores.h"

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA(id)                                                                               \
    "{\"metaData\":{\"id\":\"" id "\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"       \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\","     \
    "\\\"type\\\":\\\"integer\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                 \
    "\"partitionColumns\":[],\"configuration\":{}}}\n"
#define ADD_STATS(path, size, stats)                                                               \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{},\"size\":" size                        \
    ",\"modificationTime\":1,\"dataChange\":true,\"stats\":\"" stats "\"}}\n"
#define ADD_ROWS(path, size, rows) ADD_STATS(path, size, "{\\\"numRecords\\\":" rows "}")
#define ADD(path)                  ADD_ROWS(path, "1", "1")
#define REMOVE(path)                                                                               \
    "{\"remove\":{\"path\":\"" path "\",\"deletionTimestamp\":1,\"dataChange\":true}}\n"
#define NO_COLUMNS   "{\"metaData\":{\"id\":\"a\",\"partitionColumns\":[],\"configuration\":{}}}\n"
#define TXN(version) "{\"txn\":{\"appId\":\"app\",\"version\":" version "}}\n"
#define FIRST        PROTOCOL METADATA("a") ADD("x") ADD("y")

static void put(sm_store *s, const char *key, const char *text)
{
    sm_error e = {0};
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_REPLACE, &e), &e);
}

static void put_commit(sm_store *s, int64_t version, const char *text)
{
    char key[SMI_LOG_KEY_BYTES];
    smi_commit_key(version, key);
    put(s, key, text);
}

/* Makes the log, checkpoints it at version 1, and then takes the place of version `version` by
 * another text, so that the checkpoint and the commits differ. */
typedef struct log_case {
    const char *commits[4];
    int64_t checkpoint; /* the version; −1: none */
    int64_t changed;    /* the version whose text is put anew after the checkpoint; −1: none */
    const char *text;   /* NULL: it is deleted */
    const char *extra, *extra_text; /* an object that is put at the end */
    const char *what;               /* of the only flaw; NULL: there is none */
    int64_t version;
    const char *todo; /* a word of the advice; NULL: any */
} log_case;

#define CHECKPOINT_1 "_delta_log/00000000000000000001.checkpoint.parquet"
#define CHECKPOINT_2 "_delta_log/00000000000000000002.checkpoint.parquet"
#define PART_1       "_delta_log/00000000000000000001.checkpoint.0000000001.0000000002.parquet"
#define COMPACTED    "_delta_log/00000000000000000001.00000000000000000002.compacted.json"
#define POINTER      "_delta_log/_last_checkpoint"
#define WHOLE                                                                                      \
    {                                                                                              \
        FIRST, REMOVE("x") ADD("z") TXN("1"), ADD("w"), NULL                                       \
    }

#define SPELT(checkpoint, version, zero, one, two, what)                                           \
    {                                                                                              \
        {zero, one, two, NULL}, checkpoint, -1, NULL, NULL, NULL, what, version, NULL              \
    }

static const log_case cases[] = {
    {WHOLE, -1, -1, NULL, NULL, NULL, NULL, 0},
    {WHOLE, 1, -1, NULL, NULL, NULL, NULL, 0},
    /* commits */
    {WHOLE, -1, 1, NULL, NULL, NULL, "version 1 is missing", 1},
    {WHOLE, 1, 1, NULL, NULL, NULL, "version 1 is missing", 1},
    {WHOLE, 1, 0, NULL, NULL, NULL, NULL, 0}, /* cleaned up */
    {WHOLE, -1, 2, "{\"add\":", NULL, NULL, "", 2},
    {WHOLE, 1, 1, "no json\n", NULL, NULL, "", 1},
    /* a checkpoint that says something else */
    {WHOLE, 1, 1, REMOVE("x") ADD("z") ADD("q") TXN("1"), NULL, NULL,
     "the checkpoint lacks 1 of the commits' files and says something else of 0, the first is "
     "\"q\"",
     1, "Move it"},
    {WHOLE, 1, 1, REMOVE("x") TXN("1"), NULL, NULL,
     "the commits lack 1 of the checkpoint's files, the first is \"z\"", 1, "Keep it"},
    /* one that may be all that is left of a row or a load is not to be deleted */
    {WHOLE, 1, 1, REMOVE("x") ADD("q") TXN("1"), NULL, NULL,
     "the checkpoint lacks 1 of the commits' files and says something else of 0, the first is "
     "\"q\"; it has others",
     1, "Keep it"},
    {WHOLE, 1, 0,
     "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":1}}\n" METADATA("a") ADD("x"),
     NULL, NULL, "another protocol", 1, "Keep it"},
    {WHOLE, 1, 1, REMOVE("x") ADD("z"), NULL, NULL, "differ in transaction \"app\"", 1, "Keep it"},
    {WHOLE, 1, 0, PROTOCOL METADATA("a") ADD("x") ADD_ROWS("y", "2", "1"), NULL, NULL,
     "the checkpoint lacks 0 of the commits' files and says something else of 1, the first is "
     "\"y\"",
     1},
    {WHOLE, 1, 0, PROTOCOL METADATA("a") ADD("x") ADD_ROWS("y", "1", "2"), NULL, NULL,
     "something else of 1", 1},
    {WHOLE, 1, 0, PROTOCOL METADATA("b") ADD("x") ADD("y"), NULL, NULL,
     "the table's id in the checkpoint is not what the commits say", 1},
    {WHOLE, 1, 0,
     "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":1}}\n" METADATA("a") ADD("x")
         ADD("y"),
     NULL, NULL, "another protocol", 1},
    {WHOLE, 1, 1, REMOVE("x") ADD("z") TXN("2"), NULL, NULL, "differ in transaction \"app\"", 1},
    {WHOLE, 1, 0, PROTOCOL METADATA("a") ADD("x") ADD("%79"), NULL, NULL, NULL, 0}, /* spelling */
    {WHOLE, 1, 0, PROTOCOL METADATA("a") ADD("x") ADD_STATS("y", "1", "{}"), NULL, NULL, NULL, 0},
    /* no statistics */
    {WHOLE, 1, 0, PROTOCOL METADATA("a") ADD_STATS("x", "1", "{}") ADD_STATS("y", "2", "{}"), NULL,
     NULL, "something else of 1, the first is \"y\"", 1},
    /* one that cannot be read, or is not whole */
    {WHOLE, 1, -1, NULL, CHECKPOINT_1, "PAR1", "", 1},
    /* it may go where older versions and what follows them are there: here, not without commit 0 */
    {WHOLE, 1, -1, NULL, CHECKPOINT_1, "PAR1", "", 1, "Move it"},
    {WHOLE, 1, 0, NULL, CHECKPOINT_1, "PAR1", "", 1, "put it back"},
    {WHOLE, 1, 0, NULL, CHECKPOINT_2, "PAR1", "", 2, "Move it"}, /* by the one of version 1 */
    {WHOLE, -1, -1, NULL, PART_1, "PAR1", "the checkpoint has 1 of its 2 parts", 1},
    /* a log compaction file */
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("w") ADD("z") REMOVE("x") TXN("1"), NULL, 0},
    {WHOLE, 1, -1, NULL, COMPACTED, ADD("w") ADD("z") REMOVE("x") TXN("1"), NULL, 0},
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("w") ADD("z") TXN("1"), "lacks the removal of \"x\"", 2},
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("z") REMOVE("x") TXN("1"),
     "the log compaction file lacks 1 of the commits' files", 2},
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("v") ADD("w") ADD("z") REMOVE("x") TXN("1"),
     "the commits lack 1 of the log compaction file's files, the first is \"v\"", 2, "Keep it"},
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("w") ADD("z") REMOVE("x"), "differ in transaction", 2},
    {WHOLE, -1, -1, NULL, COMPACTED, PROTOCOL ADD("w") ADD("z") REMOVE("x") TXN("1"),
     "another protocol", 2},
    {WHOLE, -1, -1, NULL, COMPACTED, ADD("w") ADD("w"), "two lines are about the same file", 2},
    {WHOLE, -1, 1, NULL, COMPACTED, ADD("w"), "version 1 is missing", 1},
    /* commits that can be read */
    {{FIRST, ADD("z") ADD("z"), NULL},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the commit adds the file \"z\" twice",
     1},
    {{FIRST, ADD("z") ADD("./z"), NULL},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the commit adds the file \"z\" twice, the last time as \"./z\"",
     1},
    {{FIRST, "{\"add\":{\"path\":\"z\",\"partitionValues\":{},\"dataChange\":true}}\n"},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the log does not say how large \"z\" is",
     1},
    {{FIRST, ADD_ROWS("z", "-1", "1")}, -1, -1, NULL, NULL, NULL, "how large \"z\" is", 1},
    {{FIRST, ADD("z") REMOVE("./z")},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the commit adds and removes the file \"./z\"",
     1},
    {{FIRST, REMOVE("x") ADD("x")}, -1, -1, NULL, NULL, NULL, "adds and removes the file", 1},
    {{FIRST, ADD_ROWS("x", "1", "2"), NULL}, -1, -1, NULL, NULL, NULL, NULL, 0}, /* said anew */
    {{FIRST, METADATA("b") ADD("z"), NULL},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the table's id was \"a\" and becomes \"b\", and 2 of its files stay",
     1},
    {{FIRST, METADATA("b") REMOVE("x") REMOVE("y") ADD("z"), NULL},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     NULL,
     0},
    {{FIRST, ADD("z"), METADATA("b") REMOVE("x"), NULL},
     1,
     -1,
     NULL,
     NULL,
     NULL,
     "the table's id was \"a\" and becomes \"b\", and 2 of its files stay",
     2},
    {{FIRST, NO_COLUMNS, NULL},
     -1,
     -1,
     NULL,
     NULL,
     NULL,
     "the table has 2 files and no columns",
     1},
    {{FIRST, NO_COLUMNS, METADATA("a")}, -1, -1, NULL, NULL, NULL, NULL, 0},
    {{PROTOCOL NO_COLUMNS, NULL}, -1, -1, NULL, NULL, NULL, NULL, 0}, /* nor files */
    /* files that are spelt in two ways: a finding of the commit with the second one */
    SPELT(-1, 1, FIRST, ADD("./x"), ADD("z"),
          "the commit adds \"./x\", which is the file \"x\" of version 0"),
    SPELT(-1, 2, FIRST, ADD("a b"), ADD("a%20b") ADD("z"),
          "the commit adds \"a%20b\", which is the file \"a b\" of version 1"),
    SPELT(-1, 2, FIRST, ADD("z"), REMOVE("./x") REMOVE("%79"),
          "the commit removes \"./x\", which is the file \"x\" of version 0, and 1 more are spelt"),
    SPELT(-1, 1, FIRST, ADD("./x"), ADD_ROWS("./x", "1", "1"),
          "the commit adds \"./x\", which is the file \"x\" of version 0"),
    SPELT(0, 1, FIRST, ADD("./x"), ADD("z"),
          "the commit adds \"./x\", which is the file \"x\" of the checkpoint of version 0"),
    SPELT(0, 2, FIRST, ADD("z"), REMOVE("./x") ADD("%79"),
          "which is the file \"x\" of the checkpoint of version 0, and 1 more are spelt"),
    SPELT(1, 2, FIRST, ADD("a%20b"), REMOVE("a b"),
          "the commit removes \"a b\", which is the file \"a%20b\" of the checkpoint of version 1"),
    SPELT(1, 1, FIRST, ADD("./x"), ADD("z"),
          "the commit adds \"./x\", which is the file \"x\" of version 0"),
    /* not by readers either: it was removed by its name, or is added anew by it */
    SPELT(-1, 0, FIRST, REMOVE("x"), ADD("./x"), NULL),
    SPELT(0, 0, FIRST, REMOVE("x"), ADD("./x"), NULL),
    SPELT(0, 0, FIRST, ADD("x"), REMOVE("x"), NULL),
    /* the pointer */
    {WHOLE, 1, -1, NULL, POINTER, "{\"vers", "it names no version", -1},
    {WHOLE, 1, -1, NULL, POINTER, "{\"version\":\"1\"}", "it names no version", -1},
    {WHOLE, 1, -1, NULL, POINTER, "{\"version\":7}", "checkpoint of version 7, which is not there",
     7},
};

static void make_log(sm_store *s, const log_case *c)
{
    sm_error e = {0};
    sm_snapshot *snapshot = NULL;

    for (int i = 0; i < 4 && c->commits[i]; i++) {
        put_commit(s, i, c->commits[i]);
    }
    if (c->checkpoint >= 0) {
        assert_ok(sm_snapshot_open(s, c->checkpoint, NULL, &snapshot, &e), &e);
        assert_ok(sm_delta_checkpoint(snapshot, NULL, &e), &e);
        sm_snapshot_release(snapshot);
    }
    if (c->changed >= 0 && c->text) {
        put_commit(s, c->changed, c->text);
    } else if (c->changed >= 0) {
        char key[SMI_LOG_KEY_BYTES];
        smi_commit_key(c->changed, key);
        assert_ok(sm_store_delete(s, sm_str_of(key), &e), &e);
    }
    if (c->extra) {
        put(s, c->extra, c->extra_text);
    }
}

static void test_flaws(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const log_case *c = &cases[i];
        sm_arena *a = sm_arena_new(NULL);
        sm_store *s = NULL;
        sm_delta_audit found;
        sm_error e = {0};

        assert_ok(sm_store_open(test_stores, sm_arena_strf(a, "memory://audit-%d", i), &s, &e), &e);
        make_log(s, c);
        assert_ok(sm_delta_audit_log(s, NULL, a, &found, &e), &e);
        for (int64_t k = 0; k < found.n_flaws; k++) {
            print_message("%d: %s\n", i, found.flaws[k].what.data);
            assert_true(found.flaws[k].todo.len > 0 && found.flaws[k].file.len > 0);
        }
        assert_int_equal(found.n_flaws, c->what ? 1 : 0);
        if (c->what) {
            assert_non_null(strstr(found.flaws[0].what.data, c->what));
            assert_int_equal(found.flaws[0].version, c->version);
            assert_non_null(strstr(found.flaws[0].todo.data, c->todo ? c->todo : ""));
            assert_null(strstr(found.flaws[0].todo.data, "Delete the"));
        }
        sm_store_release(s);
        sm_arena_free(a);
    }
}

/* Two checkpoints of one version, in 2 and in 3 parts: the names of their parts alternate. */
static void test_parts(void **state)
{
    static const char *const parts[] = {"1.0000000002", "1.0000000003", "2.0000000003"};
    sm_arena *a = sm_arena_new(NULL);
    sm_store *s = NULL;
    sm_delta_audit found;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, SM_STR("memory://audit-parts"), &s, &e), &e);
    put_commit(s, 0, FIRST);
    for (int i = 0; i < SM_COUNT(parts); i++) {
        put(s,
            sm_arena_printf(a, "_delta_log/00000000000000000000.checkpoint.000000000%s.parquet",
                            parts[i]),
            "PAR1");
    }
    assert_ok(sm_delta_audit_log(s, NULL, a, &found, &e), &e);
    assert_int_equal(found.n_flaws, 2);
    assert_string_equal(found.flaws[0].what.data, "the checkpoint has 1 of its 2 parts");
    assert_non_null(strstr(found.flaws[0].file.data, "0000000001.0000000002.parquet"));
    assert_string_equal(found.flaws[1].what.data, "the checkpoint has 2 of its 3 parts");
    assert_non_null(strstr(found.flaws[1].file.data, "0000000001.0000000003.parquet"));
    sm_store_release(s);
    sm_arena_free(a);
}

/* What is counted; a log that is not there has no flaw. */
static void test_counts(void **state)
{
    static const log_case whole = {WHOLE, 1, -1, NULL, NULL, NULL, NULL, 0};
    sm_arena *a = sm_arena_new(NULL);
    sm_store *s = NULL;
    sm_delta_audit found;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, SM_STR("memory://audit-counts"), &s, &e), &e);
    assert_ok(sm_delta_audit_log(s, NULL, a, &found, &e), &e);
    assert_int_equal(found.n_flaws + found.n_commits + found.n_checkpoints, 0);
    make_log(s, &whole);
    assert_ok(sm_delta_audit_log(s, NULL, a, &found, &e), &e);
    assert_int_equal(found.n_commits, 3);
    assert_int_equal(found.n_checkpoints, 1);
    assert_int_equal(found.n_compared, 1);
    assert_ok(sm_store_delete(s, SM_STR("_delta_log/00000000000000000000.json"), &e), &e);
    assert_ok(sm_delta_audit_log(s, NULL, a, &found, &e), &e);
    assert_int_equal(found.n_compared, 0); /* the state begins with it */
    sm_store_release(s);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flaws),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
