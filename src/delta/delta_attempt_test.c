/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_attempt_test.c: prepared commits on their way into a log, beside others that go the
 * same way and beside foreign commits; and commits that are taken back. */
#include "stores.h"
#include "test.h"

#include "delta/delta_int.h"

typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
    const sm_type *schema;
} fixture;

static int set_up(void **state)
{
    static int number = 0;
    static fixture f;
    char uri[64];
    sm_error e = {0};

    f = (fixture){.arena = sm_arena_new(NULL)};
    snprintf(uri, sizeof(uri), "memory://delta_attempt_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f.store, &e), &e);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT, day DATE, name VARCHAR, ratio DOUBLE, "
                                   "price DECIMAL(10,2), at TIMESTAMP WITH TIME ZONE)"),
                            f.arena, &f.schema, &e),
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

/* ---- short ways ------------------------------------------------------------------------------ */

/* An add of 10 rows whose ids are first … first + 9, all else NULL. */
static sm_delta_add add_of(const fixture *f, const char *key, int64_t first)
{
    sm_range *ranges = SM_NEW_ARRAY(f->arena, sm_range, f->schema->n_fields);

    for (int32_t i = 0; i < f->schema->n_fields; i++) {
        ranges[i] = (sm_range){.has_nulls = true, .n_nulls = i == 0 ? 0 : 10, .n_rows = 10};
    }
    ranges[0].has_min = ranges[0].has_max = true;
    ranges[0].min = sm_value_i64(first);
    ranges[0].max = sm_value_i64(first + 9);
    return (sm_delta_add){.key = sm_str_of(key),
                          .size_bytes = 100,
                          .modified_ms = 1650000000001,
                          .n_rows = 10,
                          .ranges = ranges};
}

static sm_snapshot *open_at(const fixture *f, int64_t version)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open(f->store, version, NULL, &s, &e), &e);
    return s;
}

static int64_t commit(const fixture *f, sm_snapshot *base, const sm_delta_commit *c)
{
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(sm_delta_commit_write(f->store, base, c, NULL, &version, &e), &e);
    return version;
}

static const sm_delta_metadata *metadata_of(const fixture *f, const char *description)
{
    sm_delta_metadata *m = SM_NEW(f->arena, sm_delta_metadata);

    *m = (sm_delta_metadata){.id = SM_STR("11111111-2222-4333-8444-555555555555"),
                             .description = sm_str_of(description),
                             .schema = f->schema,
                             .created_ms = 1650000000000};
    return m;
}

/* Version 0: files a and b. */
static void make_table(const fixture *f)
{
    const sm_delta_add adds[] = {add_of(f, "a.parquet", 0), add_of(f, "b.parquet", 10)};
    const sm_delta_commit c = {
        .metadata = metadata_of(f, "first"), .adds = adds, .n_adds = SM_COUNT(adds)};

    assert_int_equal(commit(f, NULL, &c), 0);
}

/* Another writer's commit on the newest version. `removes`: a file's key, or NULL. */
static int64_t foreign(const fixture *f, const char *adds, int64_t first, const char *removes)
{
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    const sm_delta_add add = add_of(f, adds ? adds : "", first);
    const sm_delta_file *remove = NULL;
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; removes && i < n; i++) {
        remove = sm_str_is(files[i].key, removes) ? &files[i] : remove;
    }
    assert_true(!removes || remove);
    const sm_delta_commit c = {.adds = &add,
                               .n_adds = adds ? 1 : 0,
                               .removes = &remove,
                               .n_removes = removes ? 1 : 0,
                               .isolation = SM_READ_ALL};
    const int64_t version = commit(f, s, &c);
    sm_snapshot_release(s);
    return version;
}

static sm_delta_prepared prepare(const fixture *f, const sm_snapshot *base,
                                 const sm_delta_commit *c)
{
    sm_delta_prepared p = {0};
    sm_error e = {0};

    assert_ok(sm_delta_prepare(base, c, f->arena, &p, &e), &e);
    return p;
}

static void assert_is_at(const sm_delta_attempt *t, sm_delta_state state, int64_t version)
{
    assert_int_equal(sm_delta_attempt_state(t), state);
    assert_int_equal(sm_delta_attempt_version(t), version);
}

/* The keys of the newest version's files, in their order: "a.parquet b.parquet". */
static void assert_files(const fixture *f, const char *want)
{
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    sm_buf text = {0};

    for (int64_t i = 0; i < n; i++) {
        sm_buf_printf(&text, "%s%.*s", i > 0 ? " " : "", SM_STR_ARG(files[i].key));
    }
    if (!sm_str_is(sm_buf_str(&text), want)) {
        fail_msg("files: %.*s, not %s", SM_STR_ARG(sm_buf_str(&text)), want);
    }
    sm_buf_release(&text);
    sm_snapshot_release(s);
}

/* ---- the way into the log -------------------------------------------------------------------- */

/* Two have the same commit, and a foreign one comes between: it is made once; both say where. */
static void test_two_bring_the_same_commit(void **state)
{
    const fixture *f = *state;
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit c = {.id = SM_STR("the one"), .adds = &add, .n_adds = 1};
    sm_error e = {0};

    make_table(f);
    sm_snapshot *base = open_at(f, 0);
    const sm_delta_prepared p = prepare(f, base, &c);
    assert_true(sm_str_is(p.id, "the one"));
    assert_int_equal(p.base, 0);
    sm_delta_attempt *slow = sm_delta_attempt_new(f->store, base, &p, NULL);
    sm_delta_attempt *helper = sm_delta_attempt_new(f->store, NULL, &p, NULL);
    sm_snapshot_release(base);

    assert_ok(sm_delta_attempt_look(slow, &e), &e);
    assert_is_at(slow, SM_DELTA_FREE, 1);
    assert_int_equal(foreign(f, "x.parquet", 50, NULL), 1);
    assert_ok(sm_delta_attempt_look(helper, &e), &e);
    assert_is_at(helper, SM_DELTA_FREE, 2);
    assert_ok(sm_delta_attempt_put(helper, &e), &e);
    assert_is_at(helper, SM_DELTA_DONE, 2);
    assert_int_equal(foreign(f, "y.parquet", 60, NULL), 3);
    assert_ok(sm_delta_attempt_put(slow, &e), &e);
    assert_is_at(slow, SM_DELTA_DONE, 2);
    assert_ok(sm_delta_attempt_conflict(slow, &e), &e);
    assert_files(f, "a.parquet b.parquet x.parquet c.parquet y.parquet");
    sm_delta_attempt_free(slow);
    sm_delta_attempt_free(helper);
}

/* One is in conflict with a version: so is whoever comes later, whatever came behind it. */
static void test_all_find_the_same_conflict(void **state)
{
    const fixture *f = *state;
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit c = {.adds = &add, .n_adds = 1, .isolation = SM_READ_ALL};
    sm_error e = {0};

    make_table(f);
    sm_snapshot *base = open_at(f, 0);
    const sm_delta_prepared p = prepare(f, base, &c);
    sm_delta_attempt *looked = sm_delta_attempt_new(f->store, base, &p, NULL);
    assert_ok(sm_delta_attempt_look(looked, &e), &e);
    assert_is_at(looked, SM_DELTA_FREE, 1);
    foreign(f, "x.parquet", 50, NULL);
    assert_ok(sm_delta_attempt_put(looked, &e), &e);
    assert_is_at(looked, SM_DELTA_CONFLICT, 1);
    assert_status(sm_delta_attempt_conflict(looked, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "version 1 of another writer has added rows to what was read");
    foreign(f, NULL, 0, "x.parquet");
    sm_delta_attempt *late = sm_delta_attempt_new(f->store, NULL, &p, NULL);
    assert_ok(sm_delta_attempt_look(late, &e), &e);
    assert_is_at(late, SM_DELTA_CONFLICT, 1);
    assert_ok(sm_delta_attempt_put(late, &e), &e);
    assert_is_at(late, SM_DELTA_CONFLICT, 1);
    assert_files(f, "a.parquet b.parquet");
    sm_delta_attempt_free(looked);
    sm_delta_attempt_free(late);
    sm_snapshot_release(base);
}

/* What a commit says of another before either is made, it says of it as a version. */
static void test_weighing(void **state)
{
    const fixture *f = *state;
    const sm_delta_add adds[] = {add_of(f, "c.parquet", 20), add_of(f, "d.parquet", 30)};
    const sm_delta_txn load = {.app_id = SM_STR("load"), .version = 1};
    sm_error e = {0};

    make_table(f);
    sm_snapshot *base = open_at(f, 0);
    int64_t n_files = 0;
    const sm_delta_file *files = sm_snapshot_files(base, &n_files);
    const sm_delta_file *removes[] = {&files[0], &files[1]};
    const struct {
        sm_delta_commit ours, theirs;
        const char *why; /* NULL: ours may follow */
    } rows[] = {
        {{.adds = adds, .n_adds = 1}, {.adds = adds + 1, .n_adds = 1}, NULL},
        {{.adds = adds, .n_adds = 1}, {.removes = removes, .n_removes = 1}, NULL},
        {{.adds = adds, .n_adds = 1, .isolation = SM_READ_ALL},
         {.adds = adds + 1, .n_adds = 1},
         "has added rows to what was read"},
        {{.removes = removes, .n_removes = 1, .isolation = SM_READ_FILES},
         {.removes = removes, .n_removes = 2},
         "has removed a file that this one removes"},
        {{.removes = removes + 1, .n_removes = 1}, {.removes = removes, .n_removes = 1}, NULL},
        {{.txns = &load, .n_txns = 1},
         {.txns = &load, .n_txns = 1},
         "has loaded into the table too"},
        {{.adds = adds, .n_adds = 1},
         {.metadata = metadata_of(f, "changed")},
         "has changed the schema or the properties"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_delta_prepared ours = prepare(f, base, &rows[i].ours);
        const sm_delta_prepared theirs = prepare(f, base, &rows[i].theirs);
        sm_delta_attempt *t = sm_delta_attempt_new(f->store, i % 2 ? base : NULL, &ours, NULL);
        e = (sm_error){0};
        const sm_status st = sm_delta_attempt_weigh(t, &theirs, &e);
        assert_int_equal(st, rows[i].why ? SM_CONFLICT : SM_OK);
        if (rows[i].why && !strstr(e.what, rows[i].why)) {
            fail_msg("row %d: %s", i, e.what);
        }
        assert_is_at(t, SM_DELTA_FREE, 1); /* nothing has come of it yet */
        assert_ok(sm_delta_attempt_conflict(t, &e), &e);
        sm_delta_attempt_free(t);
    }
    sm_snapshot_release(base);

    const sm_delta_commit make = {.metadata = metadata_of(f, "")};
    const sm_delta_prepared mine = prepare(f, NULL, &make), other = prepare(f, NULL, &make);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, &mine, NULL);
    assert_status(sm_delta_attempt_weigh(t, &other, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "another writer, which is publishing now, has made the table");
    sm_delta_attempt_free(t);
}

/* A new table: version 0 is ours, or another's. */
static void test_new_table(void **state)
{
    const fixture *f = *state;
    const sm_delta_commit c = {.metadata = metadata_of(f, "")};
    sm_error e = {0};

    const sm_delta_prepared mine = prepare(f, NULL, &c), theirs = prepare(f, NULL, &c);
    assert_int_equal(mine.base, -1);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, &mine, NULL);
    assert_ok(sm_delta_attempt_look(t, &e), &e);
    assert_is_at(t, SM_DELTA_FREE, 0);
    sm_delta_attempt *other = sm_delta_attempt_new(f->store, NULL, &theirs, NULL);
    assert_ok(sm_delta_attempt_put(other, &e), &e);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    assert_is_at(t, SM_DELTA_CONFLICT, 0);
    assert_status(sm_delta_attempt_conflict(t, &e), SM_CONFLICT, &e);
    assert_string_equal(e.what, "version 0 of another writer has made the table");
    sm_delta_attempt_free(t);
    sm_delta_attempt_free(other);
}

/* A log without the base has free versions that are long past. */
static void test_cleaned_logs(void **state)
{
    const fixture *f = *state;
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit c = {.adds = &add, .n_adds = 1};
    char key[SMI_LOG_KEY_BYTES];
    sm_error e = {0};

    make_table(f);
    foreign(f, "x.parquet", 50, NULL);
    sm_snapshot *base = open_at(f, 1);
    const sm_delta_prepared p = prepare(f, base, &c);
    for (int64_t v = 2; v < 13; v++) { /* a checkpoint at 10 */
        foreign(f, sm_arena_strf(f->arena, "x%d.parquet", (int)v).data, 50, NULL);
    }
    for (int64_t v = 0; v < 4; v++) {
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
        if (v == 0) {
            continue;
        }
        sm_delta_attempt *t = sm_delta_attempt_new(f->store, base, &p, NULL);
        assert_ok(sm_delta_attempt_look(t, &e), &e);
        assert_int_equal(sm_delta_attempt_state(t), SM_DELTA_LOST);
        assert_status(sm_delta_attempt_conflict(t, &e), SM_CONFLICT, &e);
        assert_non_null(strstr(e.what, "no longer has version 1"));
        assert_ok(sm_delta_attempt_put(t, &e), &e); /* does nothing */
        assert_int_equal(sm_delta_attempt_state(t), SM_DELTA_LOST);
        sm_delta_attempt_free(t);
    }
    sm_snapshot_release(base);
    /* Of a base that only a checkpoint has left, the log still knows. */
    base = open_at(f, 12);
    assert_ok(sm_delta_checkpoint(base, NULL, &e), &e);
    const sm_delta_prepared q = prepare(f, base, &c);
    smi_commit_key(12, key);
    assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, base, &q, NULL);
    assert_ok(sm_delta_attempt_look(t, &e), &e);
    assert_is_at(t, SM_DELTA_FREE, 13);
    sm_delta_attempt_free(t);
    sm_snapshot_release(base);
}

/* Whatever call fails, the commit is made once, and who goes on finds it. */
static void test_failing_puts(void **state)
{
    const fixture *f = *state;
    static const sm_fault_kind kinds[] = {SM_FAULT_ERROR, SM_FAULT_LOST, SM_FAULT_DISK_FULL};
    sm_error e = {0};

    make_table(f);
    for (int kind = 0; kind < SM_COUNT(kinds); kind++) {
        bool has_fired = true;
        for (int64_t k = 1; has_fired; k++) {
            sm_snapshot *base = open_at(f, SM_VERSION_LATEST);
            const sm_str key = sm_arena_strf(f->arena, "%d-%d.parquet", kind, (int)k);
            const sm_delta_add add = add_of(f, key.data, 20);
            const sm_delta_commit c = {.adds = &add, .n_adds = 1};
            const sm_delta_prepared p = prepare(f, base, &c);
            const sm_fault_plan plan = {.at_call = k, .kind = kinds[kind]};
            sm_store *failing = NULL;

            const int64_t at = foreign(f, "x.parquet", 50, NULL);
            foreign(f, NULL, 0, "x.parquet");
            assert_ok(sm_store_fault(f->store, &plan, &failing, &e), &e);
            sm_delta_attempt *t = sm_delta_attempt_new(failing, base, &p, NULL);
            sm_status st = sm_delta_attempt_put(t, &e);
            has_fired = sm_fault_has_fired(failing);
            assert_true(st == SM_OK || has_fired);
            assert_ok(sm_delta_attempt_put(t, &e), &e);
            assert_is_at(t, SM_DELTA_DONE, at + 2);
            sm_delta_attempt_free(t);
            sm_store_release(failing);
            t = sm_delta_attempt_new(f->store, NULL, &p, NULL);
            assert_ok(sm_delta_attempt_put(t, &e), &e);
            assert_is_at(t, SM_DELTA_DONE, at + 2);
            sm_delta_attempt_free(t);
            sm_snapshot_release(base);
        }
    }
}

/* ---- what was read, as text ------------------------------------------------------------------ */

static void test_bounds_as_text(void **state)
{
    const fixture *f = *state;
    static const int32_t id[] = {0}, day[] = {1}, name[] = {2}, ratio[] = {3}, price[] = {4},
                         at[] = {5};
    const sm_type *types[6];
    sm_bounds back;
    sm_error e = {0};

    make_table(f);
    for (int i = 0; i < 6; i++) {
        types[i] = f->schema->fields[i].type;
    }
    const sm_bound bounds[] = {
        {.path = id, .n_path = 1, .op = SM_BOUND_GE, .value = sm_value_i64(INT64_MIN)},
        {.path = day,
         .n_path = 1,
         .op = SM_BOUND_LT,
         .value = {.type = types[1], .as.i = 19083}}, /* 2022-04-01 */
        {.path = name, .n_path = 1, .op = SM_BOUND_EQ, .value = sm_value_str(SM_STR("\"ä\"\n"))},
        {.path = ratio, .n_path = 1, .op = SM_BOUND_GT, .value = {.type = types[3], .as.f = 0.1}},
        {.path = price, .n_path = 1, .op = SM_BOUND_LE, .value = {.type = types[4], .as.d = -105}},
        {.path = at, .n_path = 1, .op = SM_BOUND_GE, .value = {.type = types[5], .as.i = 1234567}},
        {.path = name, .n_path = 1, .op = SM_BOUND_IS_NULL},
        {.path = id, .n_path = 1, .op = SM_BOUND_NOT_NULL},
    };
    sm_bound items[SM_COUNT(bounds) + 1];
    memcpy(items, bounds, sizeof(bounds));
    items[SM_COUNT(bounds)] = (sm_bound){.path = id, .n_path = 1, .op = SM_BOUND_IN}; /* left out */
    const sm_delta_commit c = {.isolation = SM_READ_FILES,
                               .read = {.items = items, .n = SM_COUNT(items)}};
    sm_snapshot *base = open_at(f, 0);
    const sm_delta_prepared p = prepare(f, base, &c);
    assert_ok(smi_read_parse(p.read, f->schema, f->arena, &back, &e), &e);
    assert_int_equal(back.n, SM_COUNT(bounds));
    for (int i = 0; i < SM_COUNT(bounds); i++) {
        const sm_bound *b = &back.items[i];
        assert_int_equal(b->op, bounds[i].op);
        assert_int_equal(b->n_path, 1);
        assert_int_equal(b->path[0], bounds[i].path[0]);
        if (b->op < SM_BOUND_IS_NULL) {
            assert_int_equal(sm_value_cmp(b->value, bounds[i].value), 0);
        }
    }
    static const char *const damaged[] = {
        "[{}]",
        "[{\"column\":\"id\",\"op\":\"~\",\"value\":\"1\"}]",
        "[{\"column\":\"ids\",\"op\":\"=\",\"value\":\"1\"}]",
        "[{\"column\":\"id\",\"op\":\"=\"}]",
        "[{\"column\":\"id\",\"op\":\"=\",\"value\":\"one\"}]",
    };
    for (int i = 0; i < SM_COUNT(damaged); i++) {
        assert_status(smi_read_parse(sm_str_of(damaged[i]), f->schema, f->arena, &back, &e),
                      SM_CORRUPT, &e);
    }
    sm_snapshot_release(base);
}

/* ---- taking back ----------------------------------------------------------------------------- */

/* Version 1: b is replaced by c, the description is another. */
static sm_delta_prepared replace_b(const fixture *f)
{
    sm_snapshot *base = open_at(f, 0);
    int64_t n = 0;
    const sm_delta_file *const remove = &sm_snapshot_files(base, &n)[1];
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit c = {.metadata = metadata_of(f, "second"),
                               .adds = &add,
                               .n_adds = 1,
                               .removes = &remove,
                               .n_removes = 1,
                               .isolation = SM_READ_ALL};
    const sm_delta_prepared p = prepare(f, base, &c);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, base, &p, NULL);
    sm_error e = {0};

    assert_ok(sm_delta_attempt_put(t, &e), &e);
    assert_is_at(t, SM_DELTA_DONE, 1);
    sm_delta_attempt_free(t);
    sm_snapshot_release(base);
    return p;
}

static sm_delta_prepared undo_of(const fixture *f, const sm_delta_prepared *p, int64_t version)
{
    sm_delta_prepared undo = {0};
    sm_error e = {0};

    assert_ok(sm_delta_prepare_undo(f->store, p, version, SM_STR("the undo"),
                                    SM_STR("\"undoes\":true"), NULL, f->arena, &undo, &e),
              &e);
    return undo;
}

static sm_delta_state put_undo(const fixture *f, const sm_delta_prepared *undo, int64_t *version)
{
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, undo, NULL);
    sm_error e = {0};

    assert_ok(sm_delta_attempt_look(t, &e), &e);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    const sm_delta_state out = sm_delta_attempt_state(t);
    *version = sm_delta_attempt_version(t);
    sm_delta_attempt_free(t);
    return out;
}

static void test_undo(void **state)
{
    const fixture *f = *state;
    sm_delta_commit_info info;
    int64_t n = 0, version = -1, txn = 0, restored = -1;
    sm_error e = {0};

    make_table(f);
    const sm_delta_prepared p = replace_b(f);
    assert_files(f, "a.parquet c.parquet");
    const sm_delta_prepared undo = undo_of(f, &p, 1);
    for (int i = 0; i < 2; i++) { /* the second one finds it done */
        assert_int_equal(put_undo(f, &undo, &version), SM_DELTA_DONE);
        assert_int_equal(version, 2);
    }
    assert_files(f, "a.parquet b.parquet");
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    assert_int_equal(sm_snapshot_version(s), 2);
    assert_true(sm_str_is(sm_snapshot_metadata(s)->description, "first"));
    const sm_delta_file *b = &sm_snapshot_files(s, &n)[1];
    assert_int_equal(b->n_rows, 10);
    assert_int_equal(sm_snapshot_ranges(s, b, f->arena)[0].min.as.i, 10);
    assert_int_equal(b->modified_ms, 1650000000001);
    sm_snapshot_release(s);
    assert_ok(sm_delta_info_read(f->store, 2, SM_STR(""), f->arena, &info, &txn, &e), &e);
    assert_int_equal(sm_delta_effect_of(&info), SM_DELTA_RESTORES);
    assert_non_null(strstr(info.json.data, "\"undoes\":true"));
    assert_ok(sm_delta_restored_version(f->store, &info, NULL, &restored, &e), &e);
    assert_int_equal(restored, 0);
}

/* What others wrote behind the commit stays. */
static void test_undo_behind_others(void **state)
{
    const fixture *f = *state;
    int64_t version = -1;

    make_table(f);
    const sm_delta_prepared p = replace_b(f);
    foreign(f, "x.parquet", 50, NULL);
    const sm_delta_prepared undo = undo_of(f, &p, 1);
    assert_int_equal(put_undo(f, &undo, &version), SM_DELTA_DONE);
    assert_int_equal(version, 3);
    assert_files(f, "a.parquet x.parquet b.parquet");
}

/* Whose file is gone, and a file that comes back beside rows that others have removed since. */
static void test_undo_in_conflict(void **state)
{
    const fixture *f = *state;
    static const char *const removed[] = {"c.parquet", "a.parquet"};
    static const char *const why[] = {"has removed a file that this one removes",
                                      "has removed rows since"};

    for (int i = 0; i < SM_COUNT(removed); i++) {
        char uri[64];
        fixture g = *f;
        int64_t version = -1;
        sm_error e = {0};

        snprintf(uri, sizeof(uri), "memory://delta_attempt_test_undo_%d", i);
        assert_ok(sm_store_open(test_stores, sm_str_of(uri), &g.store, &e), &e);
        make_table(&g);
        const sm_delta_prepared p = replace_b(&g);
        foreign(&g, NULL, 0, removed[i]);
        const sm_delta_prepared undo = undo_of(&g, &p, 1);
        assert_int_equal(put_undo(&g, &undo, &version), SM_DELTA_CONFLICT);
        assert_int_equal(version, 2);
        sm_delta_attempt *t = sm_delta_attempt_new(g.store, NULL, &undo, NULL);
        assert_ok(sm_delta_attempt_look(t, &e), &e);
        assert_status(sm_delta_attempt_conflict(t, &e), SM_CONFLICT, &e);
        assert_non_null(strstr(e.what, why[i]));
        sm_delta_attempt_free(t);
        sm_store_release(g.store);
    }
}

static void test_undo_of_a_new_table(void **state)
{
    const fixture *f = *state;
    const sm_delta_add add = add_of(f, "a.parquet", 0);
    const sm_delta_commit c = {.metadata = metadata_of(f, ""), .adds = &add, .n_adds = 1};
    sm_delta_commit_info info;
    int64_t version = -1, txn = 0, restored = 7;
    sm_error e = {0};

    const sm_delta_prepared p = prepare(f, NULL, &c);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, NULL, &p, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    sm_delta_attempt_free(t);
    const sm_delta_prepared undo = undo_of(f, &p, 0);
    assert_int_equal(put_undo(f, &undo, &version), SM_DELTA_DONE);
    assert_files(f, "");
    assert_ok(sm_delta_info_read(f->store, 1, SM_STR(""), f->arena, &info, &txn, &e), &e);
    assert_ok(sm_delta_restored_version(f->store, &info, NULL, &restored, &e), &e);
    assert_int_equal(restored, -1); /* of no version */
}

int main(void)
{
#define ATTEMPT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ATTEMPT_TEST(test_two_bring_the_same_commit),
        ATTEMPT_TEST(test_all_find_the_same_conflict),
        ATTEMPT_TEST(test_weighing),
        ATTEMPT_TEST(test_new_table),
        ATTEMPT_TEST(test_cleaned_logs),
        ATTEMPT_TEST(test_failing_puts),
        ATTEMPT_TEST(test_bounds_as_text),
        ATTEMPT_TEST(test_undo),
        ATTEMPT_TEST(test_undo_behind_others),
        ATTEMPT_TEST(test_undo_in_conflict),
        ATTEMPT_TEST(test_undo_of_a_new_table),
    };
#undef ATTEMPT_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
