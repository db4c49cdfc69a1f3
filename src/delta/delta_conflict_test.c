/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_conflict_test.c: which commits may follow which. Each kind of commit that smelt makes
 * meets each kind of commit that it may find in the log, as Spark and delta-rs write them.
 *
 * Table    Version 0 has the files z, b and c; version 1 removes z and adds a. Each file has ten
 *          ids: a 0 to 9, b 10 to 19, c 20 to 29, z 90 to 99. All of smelt's commits start from
 *          version 1; the other writer's commit is version 2.
 * Wanted   A letter for each pair, see `words`; "." where smelt's commit becomes version 3. They
 *          are what serializability asks for (Spark's level Serializable): a commit that has read
 *          rows never follows one that changed them, and one that has read nothing follows all that
 *          leave its files alone. A change of metadata or protocol stops all, but
 *          one of properties by which files are laid out only who changes these too.
 * Rows     Where both are made, no id may be in two files: a file that was rewritten by one and
 *          kept by the other would double its rows.
 * Source   PROTOCOL.md, "Action Reconciliation"; Delta's isolation levels, as Spark checks them */
#include "stores.h"
#include "test.h"

#include "delta/delta_int.h"

/* ---- commits of others ----------------------------------------------------------------------- */

#define STATS(min, max)                                                                            \
    ",\"stats\":\"{\\\"numRecords\\\":10,\\\"minValues\\\":{\\\"id\\\":" min                       \
    "},\\\"maxValues\\\":{\\\"id\\\":" max "},\\\"nullCount\\\":{\\\"id\\\":0}}\""
#define FILE_AT(path)                                                                              \
    "\"path\":\"" path "\",\"partitionValues\":{},\"size\":100,\"modificationTime\":1"
#define ADD(path, min, max) "{\"add\":{" FILE_AT(path) ",\"dataChange\":true" STATS(min, max) "}}\n"
#define ADD_SAME(path, min, max)                                                                   \
    "{\"add\":{" FILE_AT(path) ",\"dataChange\":false" STATS(min, max) "}}\n"
#define ADD_BARE(path) "{\"add\":{" FILE_AT(path) ",\"dataChange\":true}}\n"
#define ADD_DELETED(path, min, max)                                                                \
    "{\"add\":{" FILE_AT(path) ",\"dataChange\":true" STATS(                                       \
        min,                                                                                       \
        max) ",\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":"                      \
             "\"vBn[lx{q8@P<9BNH/isA\",\"offset\":1,\"sizeInBytes\":36,\"cardinality\":2}}}\n"
#define REMOVE(path)                                                                               \
    "{\"remove\":{\"path\":\"" path "\",\"deletionTimestamp\":1,\"dataChange\":true}}\n"
#define REMOVE_SAME(path)                                                                          \
    "{\"remove\":{\"path\":\"" path "\",\"deletionTimestamp\":1,\"dataChange\":false}}\n"
#define INFO(operation, parameters)                                                                \
    "{\"commitInfo\":{\"timestamp\":1,\"operation\":\"" operation                                  \
    "\",\"operationParameters\":{" parameters "}}}\n"
#define APPEND  INFO("WRITE", "\"mode\":\"Append\",\"partitionBy\":\"[]\"")
#define TXN(id) "{\"txn\":{\"appId\":\"" id "\",\"version\":1,\"lastUpdated\":1}}\n"

/* Spark writes commitInfo first, delta-rs last. */
/* The table's metadata as it is, with properties. */
#define SAME_TABLE(properties)                                                                     \
    "{\"metaData\":{\"id\":\"11111111-2222-4333-8444-555555555555\",\"format\":{\"provider\":"     \
    "\"parquet\",\"options\":{}},\"schemaString\":\"{ "                                            \
    "\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["                                                 \
    "{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}" \
    "}]"                                                                                           \
    "}\",\"partitionColumns\":[],\"configuration\":{" properties "}}}\n"

static const struct {
    const char *name, *text;
} theirs[] = {
    {"append elsewhere", APPEND ADD("x", "50", "59")},
    {"append between", APPEND ADD("x", "5", "14")},
    {"append without statistics", APPEND ADD_BARE("x")},
    {"the same load", APPEND TXN("load") ADD("x", "50", "59")},
    {"another load", APPEND TXN("other") ADD("x", "50", "59")},
    {"delete of a", INFO("DELETE", "\"predicate\":\"[\\\"(id < 10)\\\"]\"") REMOVE("a")},
    {"delete of b", REMOVE("b") INFO("DELETE", "\"predicate\":\"id >= 10\"")},
    {"deletion vector of a",
     INFO("DELETE", "\"predicate\":\"[\\\"(id = 1)\\\"]\"") REMOVE("a") ADD_DELETED("a", "0", "9")},
    {"deletion vector of b", INFO("DELETE", "\"predicate\":\"[\\\"(id = 11)\\\"]\"") REMOVE("b")
                                 ADD_DELETED("b", "10", "19")},
    {"update of b",
     INFO("UPDATE", "\"predicate\":\"[\\\"(id = 11)\\\"]\"") REMOVE("b") ADD("b2", "10", "19")},
    {"overwrite (Spark)", INFO("WRITE", "\"mode\":\"Overwrite\",\"partitionBy\":\"[]\"") REMOVE("a")
                              REMOVE("b") REMOVE("c") ADD("w", "40", "49")},
    {"overwrite (delta-rs)", REMOVE("a") REMOVE("b") REMOVE("c") ADD("w", "40", "49")
                                 INFO("WRITE", "\"mode\":\"Overwrite\"")},
    {"replaceWhere of c", INFO("WRITE", "\"mode\":\"Overwrite\",\"predicate\":\"(id >= 20)\"")
                              REMOVE("c") ADD("c2", "20", "29")},
    {"metadata",
     INFO("SET TBLPROPERTIES", "\"properties\":\"{}\"") "{\"metaData\":{\"id\":\"11111111\","
                                                        "\"format\":{\"provider\":\"parquet\","
                                                        "\"options\":{}},\"schemaString\":\"{"
                                                        "\\\"type\\\":\\\"struct\\\",\\\"fields\\\""
                                                        ":[]}\",\"partitionColumns\":[],"
                                                        "\"configuration\":{}}}\n"},
    {"properties of the layout",
     INFO("OPTIMIZE", "\"zOrderBy\":\"[\\\"id\\\"]\"")
         SAME_TABLE("\"smelt.clusterBy\":\"[\\\"id\\\"]\",\"delta.targetFileSize\":\"16MiB\"")},
    {"a property that writers must know",
     INFO("SET TBLPROPERTIES", "\"properties\":\"{}\"") SAME_TABLE("\"smelt.readers\":\"duckdb\"")},
    {"protocol", INFO("UPGRADE PROTOCOL", "") "{\"protocol\":{\"minReaderVersion\":1,"
                                              "\"minWriterVersion\":2}}\n"},
    {"OPTIMIZE of b and c (Spark)",
     INFO("OPTIMIZE", "\"predicate\":\"[]\",\"zOrderBy\":\"[]\"") ADD_SAME("bc", "10", "29")
         REMOVE_SAME("b") REMOVE_SAME("c")},
    {"optimize of b and c (delta-rs)", REMOVE_SAME("b") REMOVE_SAME("c") ADD_SAME("bc", "10", "29")
                                           INFO("OPTIMIZE", "\"targetSize\":\"104857600\"")},
    {"OPTIMIZE of a",
     INFO("REORG", "\"predicate\":\"[]\"") REMOVE_SAME("a") ADD_SAME("a2", "0", "9")},
    {"RESTORE (Spark)",
     INFO("RESTORE", "\"version\":0,\"timestamp\":null") ADD("z", "90", "99") REMOVE("a")},
    {"restore (delta-rs)", REMOVE("a") ADD("z", "90", "99") INFO("RESTORE", "\"version\":\"0\"")},
    {"transaction of the load", INFO("STREAMING UPDATE", "\"outputMode\":\"Append\"") TXN("load")},
    {"another transaction", TXN("other")},
    {"domain", INFO("CLUSTER BY",
                    "\"newClusteringColumns\":\"id\"") "{\"domainMetadata\":{\"domain\":\"delta."
                                                       "clustering\",\"configuration\":\"{}\","
                                                       "\"removed\":false}}\n"},
    {"row tracking",
     INFO("ROW TRACKING BACKFILL", "") ADD_SAME("a", "0", "9") ADD_SAME("b", "10", "19") ADD_SAME(
         "c", "20", "29") "{\"domainMetadata\":{\"domain\":\"delta.rowTracking\",\"configuration\":"
                          "\"{\\\"rowIdHighWaterMark\\\":29}\",\"removed\":false}}\n"},
    {"VACUUM", INFO("VACUUM START", "\"retentionCheckEnabled\":true")},
    {"delete of a file that is not there", REMOVE("gone")},
};

/* ---- commits of ours ------------------------------------------------------------------------- */

typedef enum ours_kind {
    OURS_APPEND,
    OURS_LOAD,
    OURS_TXN,
    OURS_DELETE_ALL_READ,
    OURS_DELETE,
    OURS_MARK,
    OURS_INSERT_READ,
    OURS_REPLACE,
    OURS_OVERWRITE,
    OURS_METADATA,
    OURS_PROTOCOL,
    OURS_COMPACTION,
    OURS_RESTORE,
    OURS_UNDO,
    OURS_DOMAIN,
    OURS_VACUUM,
    N_OURS
} ours_kind;

/* One letter for each of `theirs`, in its order. */
static const struct {
    const char *name, *wanted;
} ours[] = {
    [OURS_APPEND] = {"append", ".............m.mp..........."},
    [OURS_LOAD] = {"load", "...t......ooom.mp...sst....."},
    [OURS_TXN] = {"transaction only", "...t......ooom.mp...sst....."},
    [OURS_DELETE_ALL_READ] = {"delete that read all", "aaaaafrfrrffrm.mp..faf.....r"},
    [OURS_DELETE] = {"delete of a, id < 10", ".aa..f.f..ff.m.mp..fff......"},
    [OURS_MARK] = {"deletion vector for a, id < 10", ".aa..f.f..ff.m.mp..fff......"},
    [OURS_INSERT_READ] = {"insert that read id < 10", ".aa..r.r..rr.m.mp...rr......"},
    [OURS_REPLACE] = {"replace of b, 10 <= id < 20", ".aa...f.ffff.m.mpff........."},
    [OURS_OVERWRITE] = {"overwrite", "aaaaaffffffffm.mpfffaf.....r"},
    [OURS_METADATA] = {"metadata", ".............mmmp..........."},
    [OURS_PROTOCOL] = {"protocol", ".............mmmp..........."},
    [OURS_COMPACTION] = {"compaction of b and c", "......f.fffffm.mpff........."},
    [OURS_RESTORE] = {"restore of version 0", "aaaaafrfrrffrm.mp..faf.....r"},
    [OURS_UNDO] = {"undo of version 1", ".....fufuuofom.mp..fsf.....u"},
    [OURS_DOMAIN] = {"domain", ".............m.mp.......d..."},
    [OURS_VACUUM] = {"vacuum", ".............m.mp..........."},
};

static const struct {
    char letter;
    const char *why;
} words[] = {
    {'a', "has added rows to what was read"},
    {'r', "has removed rows of what was read"},
    {'f', "has removed a file that this one removes"},
    {'u', "has removed rows since"},
    {'t', "has loaded into the table too"},
    {'o', "has overwritten rows"},
    {'s', "has restored an earlier version"},
    {'m', "has changed the schema or the properties"},
    {'p', "has changed the protocol"},
    {'d', "has changed the same domain metadata"},
};

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
    const sm_type *schema;
    sm_delta_prepared second; /* the commit that made version 1 */
} fixture;

static sm_delta_add add_of(const fixture *f, const char *key, int64_t first, int64_t n_rows)
{
    sm_range *range = SM_NEW(f->arena, sm_range);

    *range = (sm_range){.has_min = true,
                        .has_max = true,
                        .has_nulls = true,
                        .min = sm_value_i64(first),
                        .max = sm_value_i64(first + n_rows - 1),
                        .n_rows = n_rows};
    return (sm_delta_add){.key = sm_str_of(key),
                          .size_bytes = 100,
                          .modified_ms = 1,
                          .n_rows = n_rows,
                          .ranges = range};
}

static sm_snapshot *open_at(const fixture *f, int64_t version)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open(f->store, version, NULL, &s, &e), &e);
    return s;
}

static const sm_delta_file *file_of(const sm_snapshot *s, const char *key)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_is(files[i].key, key)) {
            return &files[i];
        }
    }
    fail_msg("no file %s", key);
    return NULL;
}

static const sm_delta_metadata *metadata_of(const fixture *f, const char *description)
{
    sm_delta_metadata *m = SM_NEW(f->arena, sm_delta_metadata);

    *m = (sm_delta_metadata){.id = SM_STR("11111111-2222-4333-8444-555555555555"),
                             .description = sm_str_of(description),
                             .schema = f->schema,
                             .created_ms = 1};
    return m;
}

static void make_table(fixture *f)
{
    const sm_delta_add first[] = {add_of(f, "z", 90, 10), add_of(f, "b", 10, 10),
                                  add_of(f, "c", 20, 10)};
    const sm_delta_add a = add_of(f, "a", 0, 10);
    const sm_delta_commit zero = {.metadata = metadata_of(f, ""), .adds = first, .n_adds = 3};
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(sm_delta_commit_write(f->store, NULL, &zero, NULL, &version, &e), &e);
    sm_snapshot *s = open_at(f, 0);
    const sm_delta_file *z = file_of(s, "z");
    const sm_delta_commit one = {
        .adds = &a, .n_adds = 1, .removes = &z, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_ok(sm_delta_prepare(s, &one, f->arena, &f->second, &e), &e);
    sm_delta_attempt *t = sm_delta_attempt_new(f->store, s, &f->second, NULL);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    assert_int_equal(sm_delta_attempt_version(t), 1);
    sm_delta_attempt_free(t);
    sm_snapshot_release(s);
}

static void fixture_init(fixture *f)
{
    static int number = 0;
    char uri[64];
    sm_error e = {0};

    *f = (fixture){.arena = sm_arena_new(NULL)};
    snprintf(uri, sizeof(uri), "memory://delta_conflict_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f->store, &e), &e);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT)"), f->arena, &f->schema, &e), &e);
    make_table(f);
}

static void fixture_release(fixture *f)
{
    sm_store_release(f->store);
    sm_arena_free(f->arena);
}

static void put_version(const fixture *f, int64_t version, const char *text)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_error e = {0};

    smi_commit_key(version, key);
    assert_ok(sm_store_put(f->store, sm_str_of(key), text, strlen(text), SM_PUT_IF_ABSENT, &e), &e);
}

/* ---- what each of our commits does ----------------------------------------------------------- */

static const int32_t id_column[] = {0};
static const sm_bound *bound_of(const fixture *f, sm_bound_op op, int64_t v)
{
    sm_bound *b = SM_NEW(f->arena, sm_bound);

    *b = (sm_bound){.path = id_column, .n_path = 1, .op = op, .value = sm_value_i64(v)};
    return b;
}

static sm_bounds between(const fixture *f, int64_t from, int64_t to)
{
    sm_bound *items = SM_NEW_ARRAY(f->arena, sm_bound, 2);

    items[0] = *bound_of(f, SM_BOUND_GE, from);
    items[1] = *bound_of(f, SM_BOUND_LT, to);
    return (sm_bounds){.items = items, .n = 2};
}

static void set_add(const fixture *f, sm_delta_commit *c, const char *key, int64_t first, int64_t n)
{
    sm_delta_add *add = SM_NEW(f->arena, sm_delta_add);

    *add = add_of(f, key, first, n);
    c->adds = add;
    c->n_adds = 1;
}

/* In the base's order: b, c, a. */
static void set_removes(const fixture *f, sm_delta_commit *c, const sm_snapshot *base,
                        const char *keys)
{
    const size_t n = strlen(keys);
    const sm_delta_file **removes = SM_NEW_ARRAY(f->arena, const sm_delta_file *, n + 1);

    for (size_t i = 0; i < n; i++) {
        const char key[] = {keys[i], '\0'};
        removes[i] = file_of(base, key);
    }
    c->removes = removes;
    c->n_removes = (int64_t)n;
}

static const sm_delta_protocol writer_1 = {.min_reader = 1, .min_writer = 1};
static const sm_delta_txn load = {.app_id = {"load", 4}, .version = 1};

/* The row numbers do not matter here. */
static void set_mark(const fixture *f, sm_delta_commit *c)
{
    static const sm_delta_dv dv = {.storage_type = {"i", 1},
                                   .path_or_inline = {"^Bg9^0rr910000000000", 20},
                                   .offset = -1,
                                   .size_bytes = 16,
                                   .cardinality = 1};
    sm_delta_mark *mark = SM_NEW(f->arena, sm_delta_mark);

    *mark = (sm_delta_mark){.file = c->removes[0], .dv = &dv};
    c->marks = mark;
    c->n_marks = 1;
}

static sm_delta_commit commit_of(const fixture *f, ours_kind kind, const sm_snapshot *base,
                                 const sm_snapshot *before)
{
    sm_delta_commit c = {.operation = SM_STR("WRITE")};
    const sm_delta_file **z = SM_NEW_ARRAY(f->arena, const sm_delta_file *, 1);

    switch (kind) {
    case OURS_LOAD:
    case OURS_TXN:
        c.txns = &load;
        c.n_txns = 1;
        break;
    case OURS_DELETE_ALL_READ:
        c.isolation = SM_READ_ALL;
        set_removes(f, &c, base, "a");
        break;
    case OURS_DELETE:
    case OURS_MARK:
    case OURS_INSERT_READ:
        c.isolation = SM_READ_FILES;
        c.read = (sm_bounds){.items = bound_of(f, SM_BOUND_LT, 10), .n = 1};
        set_removes(f, &c, base, kind == OURS_INSERT_READ ? "" : "a");
        if (kind == OURS_MARK) {
            set_mark(f, &c);
        }
        break;
    case OURS_REPLACE:
        c.isolation = SM_READ_FILES;
        c.read = between(f, 10, 20);
        set_removes(f, &c, base, "b");
        set_add(f, &c, "b9", 10, 10);
        break;
    case OURS_OVERWRITE:
        c.isolation = SM_READ_ALL;
        set_removes(f, &c, base, "bca");
        break;
    case OURS_METADATA:
        c.metadata = metadata_of(f, "changed");
        break;
    case OURS_PROTOCOL:
        c.protocol = &writer_1;
        break;
    case OURS_COMPACTION:
        c.keeps_rows = true;
        set_removes(f, &c, base, "bc");
        set_add(f, &c, "bc9", 10, 20);
        break;
    case OURS_RESTORE:
        c.operation = SM_STR("RESTORE");
        c.isolation = SM_READ_ALL;
        z[0] = file_of(before, "z");
        set_removes(f, &c, base, "a");
        c.restores = z;
        c.n_restores = 1;
        break;
    default:
        break;
    }
    if (kind == OURS_APPEND || kind == OURS_LOAD || kind == OURS_INSERT_READ ||
        kind == OURS_OVERWRITE) {
        set_add(f, &c, "n", 70, 10);
    }
    return c;
}

static sm_delta_prepared prepare(const fixture *f, ours_kind kind)
{
    sm_snapshot *base = open_at(f, 1), *before = open_at(f, 0);
    const sm_delta_commit c = commit_of(f, kind, base, before);
    sm_delta_prepared p = {0};
    sm_error e = {0};

    if (kind == OURS_UNDO) {
        assert_ok(sm_delta_prepare_undo(f->store, &f->second, 1, SM_STR("the undo"), SM_STR(""),
                                        NULL, f->arena, &p, &e),
                  &e);
    } else {
        assert_ok(sm_delta_prepare(base, &c, f->arena, &p, &e), &e);
    }
    if (kind == OURS_DOMAIN) {
        p.text = sm_arena_strf(f->arena, "%.*s%s", SM_STR_ARG(p.text),
                               "{\"domainMetadata\":{\"domain\":\"delta.clustering\","
                               "\"configuration\":\"{}\",\"removed\":false}}\n");
    }
    assert_int_equal(p.base, 1);
    sm_snapshot_release(before);
    sm_snapshot_release(base);
    return p;
}

/* ---- each beside each ------------------------------------------------------------------------ */

static const char *why_of(char letter)
{
    for (int i = 0; i < SM_COUNT(words); i++) {
        if (words[i].letter == letter) {
            return words[i].why;
        }
    }
    return "";
}

/* Is no id in two files? Appends of others (x) may have any. */
static void assert_rows_once(const fixture *f, const char *pair)
{
    sm_snapshot *s = open_at(f, 3);
    int seen[100] = {0};
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_is(files[i].key, "x")) {
            continue;
        }
        const sm_range *ids = &sm_snapshot_ranges(s, &files[i], f->arena)[0];
        for (int64_t id = ids->min.as.i; id <= ids->max.as.i; id++) {
            if (seen[id]++ > 0) {
                fail_msg("%s: id %d is in two files", pair, (int)id);
            }
        }
    }
    sm_snapshot_release(s);
}

static void check_verdict(const char *pair, char letter, sm_status st, const sm_error *e)
{
    const sm_status want = letter == '.' ? SM_OK : SM_CONFLICT;

    if (st != want) {
        fail_msg("%s: %s, not %s (%s)", pair, sm_status_name(st), sm_status_name(want), e->what);
    }
    if (st == SM_CONFLICT && !strstr(e->what, why_of(letter))) {
        fail_msg("%s: \"%s\", not \"%s\"", pair, e->what, why_of(letter));
    }
}

/* The same verdict whether the other commit is a version or is yet to become one. */
static void check_pair(ours_kind kind, int other)
{
    const char letter = ours[kind].wanted[other];
    fixture f;
    sm_error e = {0};

    fixture_init(&f);
    const char *pair =
        sm_arena_strf(f.arena, "%s after %s", ours[kind].name, theirs[other].name).data;
    const sm_delta_prepared mine = prepare(&f, kind);
    const sm_delta_prepared rival = {
        .id = SM_STR("rival"), .base = 1, .text = sm_str_of(theirs[other].text)};
    sm_delta_attempt *t = sm_delta_attempt_new(f.store, NULL, &mine, NULL);
    const sm_status weighed = sm_delta_attempt_weigh(t, &rival, &e);
    check_verdict(pair, letter, weighed, &e);
    put_version(&f, 2, theirs[other].text);
    assert_ok(sm_delta_attempt_put(t, &e), &e);
    e = (sm_error){0};
    const sm_status put = sm_delta_attempt_conflict(t, &e);
    check_verdict(pair, letter, put, &e);
    assert_int_equal(sm_delta_attempt_version(t), letter == '.' ? 3 : 2);
    if (put == SM_OK && kind != OURS_METADATA) {
        assert_rows_once(&f, pair);
    }
    sm_delta_attempt_free(t);
    fixture_release(&f);
}

static void test_each_beside_each(void **state)
{
    (void)state;
    assert_int_equal(SM_COUNT(ours), N_OURS);
    for (int kind = 0; kind < N_OURS; kind++) {
        assert_int_equal(strlen(ours[kind].wanted), SM_COUNT(theirs));
        for (int other = 0; other < SM_COUNT(theirs); other++) {
            check_pair((ours_kind)kind, other);
        }
    }
}

/* ---- partitions ------------------------------------------------------------------------------ */

#define DAY_FILE(action, path, day)                                                                \
    "{\"" action "\":{\"path\":\"" path "\",\"partitionValues\":{\"day\":" day "},\"size\":100,"   \
    "\"modificationTime\":1,\"deletionTimestamp\":1,\"dataChange\":true}}\n"

/* Of a partition column every file says its value, statistics or none. */
static void test_partitions(void **state)
{
    static const struct {
        const char *text, *why; /* NULL: a replace of day 1 may follow */
    } rows[] = {
        {DAY_FILE("add", "x", "\"1\""), "has added rows to what was read"},
        {DAY_FILE("add", "x", "\"2\""), NULL},
        {DAY_FILE("add", "x", "null"), NULL},
        {DAY_FILE("add", "x", "\"one\""), "has added rows to what was read"},
        {DAY_FILE("remove", "one", "\"1\""), "has removed rows of what was read"},
        {DAY_FILE("remove", "two", "\"2\""), NULL},
    };
    static const char zero[] =
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
        "{\"metaData\":{\"id\":\"11111111\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
        "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
        "{\\\"name\\\":\\\"day\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{}}]}\",\"partitionColumns\":[\"day\"],\"configuration\":{}}}\n" DAY_FILE(
            "add", "one", "\"1\"") DAY_FILE("add", "two", "\"2\"");
    (void)state;

    for (int i = 0; i < SM_COUNT(rows); i++) {
        fixture f = {.arena = sm_arena_new(NULL)};
        char uri[64];
        sm_error e = {0};
        snprintf(uri, sizeof(uri), "memory://delta_conflict_test_day_%d", i);
        assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f.store, &e), &e);
        put_version(&f, 0, zero);
        const sm_delta_prepared mine = {
            .id = SM_STR("mine"),
            .isolation = SM_READ_FILES,
            .read = SM_STR("[{\"column\":\"day\",\"op\":\"=\",\"value\":\"1\"}]"),
            .text = SM_STR("{\"commitInfo\":{\"txnId\":\"mine\"}}\n"),
        };
        put_version(&f, 1, rows[i].text);
        sm_delta_attempt *t = sm_delta_attempt_new(f.store, NULL, &mine, NULL);
        assert_ok(sm_delta_attempt_look(t, &e), &e);
        const sm_status st = sm_delta_attempt_conflict(t, &e);
        if ((st == SM_CONFLICT) != (rows[i].why != NULL) ||
            (rows[i].why && !strstr(e.what, rows[i].why))) {
            fail_msg("row %d: %s: %s", i, sm_status_name(st), e.what);
        }
        sm_delta_attempt_free(t);
        fixture_release(&f);
    }
}

/* Only damage can say that the first commit of a table has read rows. */
static void test_reading_before_there_is_a_table(void **state)
{
    const sm_delta_prepared mine = {.id = SM_STR("mine"),
                                    .base = -1,
                                    .isolation = SM_READ_FILES,
                                    .read = SM_STR("[]"),
                                    .text = SM_STR("{\"commitInfo\":{\"txnId\":\"mine\"}}\n")};
    const sm_delta_prepared rival = {
        .id = SM_STR("rival"), .base = -1, .text = SM_STR(ADD("x", "0", "9") REMOVE("y"))};
    sm_store *store = NULL;
    sm_error e = {0};
    (void)state;

    assert_ok(sm_store_open(test_stores, SM_STR("memory://delta_conflict_test_none"), &store, &e),
              &e);
    sm_delta_attempt *t = sm_delta_attempt_new(store, NULL, &mine, NULL);
    assert_status(sm_delta_attempt_weigh(t, &rival, &e), SM_CONFLICT, &e);
    sm_delta_attempt_free(t);
    sm_store_release(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_beside_each),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_reading_before_there_is_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
