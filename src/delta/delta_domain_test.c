/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_domain_test.c: domain metadata, and the row ids of files, that other writers have put
 * into a log: they stay through commits, checkpoints, restores and undos. */
#include "test.h"

#include "delta/delta_int.h"
#include "stores.h"

#define CLUSTERING "{\"clusteringColumns\":[[\"id\"]]}"
#define FILE_OF(action, time)                                                                      \
    "{\"" action "\":{\"path\":\"a\",\"partitionValues\":{},\"size\":5,\"" time "\":1,"            \
    "\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":3}\",\"baseRowId\":40,"                   \
    "\"defaultRowCommitVersion\":7}}\n"

static const char first_commit[] =
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
    "\"writerFeatures\":[\"domainMetadata\"]}}\n"
    "{\"metaData\":{\"id\":\"1\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\","
    "\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","
    "\"partitionColumns\":[],\"configuration\":{}}}\n"
    "{\"domainMetadata\":{\"domain\":\"delta.clustering\",\"configuration\":"
    "\"{\\\"clusteringColumns\\\":[[\\\"id\\\"]]}\",\"removed\":false}}\n"
    "{\"domainMetadata\":{\"domain\":\"app\",\"configuration\":\"one\",\"removed\":false}}"
    "\n" FILE_OF("add", "modificationTime");

typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
} fixture;

static int set_up(void **state)
{
    static int number = 0;
    static fixture f;
    char uri[64], key[SMI_LOG_KEY_BYTES];
    sm_error e = {0};

    f = (fixture){.arena = sm_arena_new(NULL)};
    snprintf(uri, sizeof(uri), "memory://delta_domain_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f.store, &e), &e);
    smi_commit_key(0, key);
    assert_ok(sm_store_put(f.store, sm_str_of(key), first_commit, strlen(first_commit),
                           SM_PUT_IF_ABSENT, &e),
              &e);
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

static void commit(const fixture *f, const sm_delta_commit *c)
{
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(sm_delta_commit_write(f->store, s, c, NULL, &version, &e), &e);
    sm_snapshot_release(s);
}

/* "": it must not be there. */
static void assert_domain(const sm_snapshot *s, const char *name, const char *configuration)
{
    const sm_delta_domain *d = sm_snapshot_domain(s, sm_str_of(name));

    assert_int_equal(d != NULL, configuration[0] != '\0');
    if (d) {
        assert_string_equal(sm_arena_str(s->arena, d->configuration).data, configuration);
    }
}

/* Leaves the log its checkpoint and the commits after it. */
static void forget_commits(const fixture *f, int64_t to)
{
    for (int64_t v = 0; v <= to; v++) {
        char key[SMI_LOG_KEY_BYTES];
        sm_error e = {0};
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    }
}

static void test_domains_stay(void **state)
{
    const fixture *f = *state;
    const sm_delta_domain set[] = {
        {SM_STR("app"), SM_STR("two"), false},
        {SM_STR("other"), SM_STR("{}"), false},
    };
    const sm_delta_domain gone = {SM_STR("other"), SM_STR("{}"), true};
    sm_error e = {0};

    commit(f, &(sm_delta_commit){.domains = set, .n_domains = 2});
    commit(f, &(sm_delta_commit){.domains = &gone, .n_domains = 1});
    sm_snapshot *s = open_at(f, 1);
    assert_domain(s, "other", "{}");
    sm_snapshot_release(s);
    s = open_at(f, 2);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
    forget_commits(f, 2);
    s = open_at(f, 2);
    assert_domain(s, "delta.clustering", CLUSTERING);
    assert_domain(s, "app", "two");
    assert_domain(s, "other", "");
    int64_t n = 0;
    sm_snapshot_domains(s, &n);
    assert_int_equal(n, 2);
    sm_snapshot_release(s);
}

/* fsck compares checkpoints with commits: these agree, and one without the domains does not. */
static void test_audit_compares_domains(void **state)
{
    const fixture *f = *state;
    sm_delta_audit audit = {0};
    sm_error e = {0};

    sm_snapshot *s = open_at(f, 0);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    assert_ok(sm_delta_audit_log(f->store, NULL, f->arena, &audit, &e), &e);
    assert_int_equal(audit.n_compared, 1);
    assert_int_equal(audit.n_flaws, 0);
    s->n_domains = 1;
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    s->n_domains = 2;
    assert_ok(sm_delta_audit_log(f->store, NULL, f->arena, &audit, &e), &e);
    assert_int_equal(audit.n_flaws, 1);
    assert_string_equal(sm_arena_str(f->arena, audit.flaws[0].what).data,
                        "the checkpoint has other domain metadata than the commits");
    sm_snapshot_release(s);
}

static void test_undo_sets_domains_back(void **state)
{
    const fixture *f = *state;
    const sm_delta_domain set[] = {
        {SM_STR("app"), SM_STR("two"), false},
        {SM_STR("other"), SM_STR("{}"), false},
    };
    const sm_delta_commit c = {.domains = set, .n_domains = 2};
    sm_delta_prepared p = {0}, back = {0};
    sm_error e = {0};

    sm_snapshot *s = open_at(f, 0);
    assert_ok(sm_delta_prepare(s, &c, f->arena, &p, &e), &e);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, s, &p, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    sm_delta_attempt_free(t);
    sm_snapshot_release(s);
    assert_ok(sm_delta_prepare_undo(f->store, &p, 1, SM_STR("undo"), SM_STR(""), NULL, f->arena,
                                    &back, &e),
              &e);
    t = sm_delta_attempt_new(f->store, NULL, &back, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    sm_delta_attempt_free(t);
    s = open_at(f, 2);
    assert_domain(s, "app", "one");
    assert_domain(s, "other", "");
    assert_domain(s, "delta.clustering", CLUSTERING);
    sm_snapshot_release(s);
}

static void assert_row_ids(const sm_snapshot *s)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    assert_int_equal(n, 1);
    assert_int_equal(files[0].base_row_id, 40);
    assert_int_equal(files[0].row_version, 7);
}

/* Row ids of a file stay with it, in a checkpoint and where it comes back. */
static void test_row_ids_stay(void **state)
{
    const fixture *f = *state;
    int64_t n = 0;
    sm_error e = {0};

    sm_snapshot *first = open_at(f, 0);
    assert_row_ids(first);
    const sm_delta_file *file = sm_snapshot_files(first, &n);
    commit(f, &(sm_delta_commit){0});
    sm_snapshot *s = open_at(f, 1);
    const sm_delta_file *now = sm_snapshot_files(s, &n);
    commit(f, &(sm_delta_commit){.removes = &now, .n_removes = 1, .isolation = SM_READ_ALL});
    sm_snapshot_release(s);
    commit(f, &(sm_delta_commit){.restores = &file, .n_restores = 1, .isolation = SM_READ_ALL});
    s = open_at(f, 3);
    assert_row_ids(s);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
    forget_commits(f, 3);
    s = open_at(f, 3);
    assert_row_ids(s);
    sm_snapshot_release(s);
    sm_snapshot_release(first);
}

#define DOMAIN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOMAIN_TEST(test_domains_stay),
        DOMAIN_TEST(test_audit_compares_domains),
        DOMAIN_TEST(test_undo_sets_domains_back),
        DOMAIN_TEST(test_row_ids_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
