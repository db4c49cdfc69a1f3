/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_compacted_test.c: log compaction files: which of them are read, which are doubted,
 * that those that smelt writes say what their commits say, and when they are written. */
#include "test.h"

#include <inttypes.h>

#include "delta_logs.h"

#define HEAD_WITH(config)                                                                          \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"                                \
    "\"writerFeatures\":[\"domainMetadata\"]}}\n" METADATA(config)
#define HEAD              HEAD_WITH("")
#define TXN(app, version) "{\"txn\":{\"appId\":\"" app "\",\"version\":" version "}}\n"
#define DOMAIN(name, value, is_removed)                                                            \
    "{\"domainMetadata\":{\"domain\":\"" name "\",\"configuration\":\"" value                      \
    "\",\"removed\":" is_removed "}}\n"
#define OWN  "{\"commitInfo\":{\"engineInfo\":\"smelt/1\"}}\n"
#define NONE "no commit"

static void compacted_key(int64_t first, int64_t last, char out[80])
{
    snprintf(out, 80, SMI_LOG "%020" PRId64 ".%020" PRId64 ".compacted.json", first, last);
}

static void put_compacted(sm_store *s, int64_t first, int64_t last, const char *text)
{
    char key[80];

    compacted_key(first, last, key);
    put_text(s, key, sm_str_of(text));
}

static bool has_compacted(sm_store *s, int64_t first, int64_t last)
{
    char key[80];
    sm_buf text = {0};
    sm_error e = {0};

    compacted_key(first, last, key);
    const sm_status st = sm_store_get(s, sm_str_of(key), &text, &e);
    sm_buf_release(&text);
    return st == SM_OK;
}

/* The table's state: "a b | txn app 3 | domain d one | table b". */
static void tell(sm_store *store, int64_t version, sm_buf *out)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_snapshot_open(store, version, NULL, &s, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        sm_buf_printf(out, "%.*s%s ", SM_STR_ARG(files[i].path), files[i].dv ? "*" : "");
    }
    for (int64_t i = 0; i < s->n_txns; i++) {
        sm_buf_printf(out, "| txn %.*s %" PRId64 " ", SM_STR_ARG(s->txns[i].app_id),
                      s->txns[i].version);
    }
    for (int64_t i = 0; i < s->n_domains; i++) {
        if (!s->domains[i].is_removed) {
            sm_buf_printf(out, "| domain %.*s %.*s ", SM_STR_ARG(s->domains[i].name),
                          SM_STR_ARG(s->domains[i].configuration));
        }
    }
    sm_buf_printf(out, "| table %.*s", SM_STR_ARG(s->metadata.id));
    sm_buf_text(out, (sm_str){"", 1});
    sm_snapshot_release(s);
}

static void assert_tells(sm_store *store, int64_t version, const char *want)
{
    sm_buf text = {0};

    tell(store, version, &text);
    assert_string_equal((const char *)text.data, want);
    sm_buf_release(&text);
}

/* ---- which are read -------------------------------------------------------------------------- */

/* The fewest files: numbers are commits, "2-5" is a log compaction file. */
static void test_choice(void **state)
{
    static const struct {
        const char *files; /* compaction files that there are */
        int64_t from, to;
        const char *want;
    } cases[] = {
        {"", 0, 2, "0 1 2"},
        {"1-3", 0, 4, "0 1-3 4"},
        {"1-3 4-5", 1, 5, "1-3 4-5"},
        {"0-4 1-9", 0, 9, "0 1-9"},
        {"0-4 5-9 0-9", 0, 9, "0-9"},
        {"0-4 5-9 0-9", 0, 8, "0-4 5 6 7 8"},
        {"0-4 5-9 0-9", 1, 9, "1 2 3 4 5-9"},
        {"3-3", 3, 3, "3"}, /* it saves nothing */
        {"0-1 1-4 2-3 4-6", 0, 6, "0-1 2-3 4-6"},
        {"7-9", 0, 6, "0 1 2 3 4 5 6"},
        {"0-3", 4, 3, ""}, /* the checkpoint says all */
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_store();
        sm_arena *a = sm_arena_new(NULL);
        smi_log_listing l;
        sm_error e = {0};
        sm_buf got = {0};
        const char *file = cases[i].files;
        int first = 0, last = 0, n = 0;
        for (int v = 0; v < 10; v++) {
            put_commit(store, v, NONE);
        }
        for (; sscanf(file, "%d-%d%n", &first, &last, &n) == 2; file += n) {
            put_compacted(store, first, last, NONE);
        }
        assert_ok(smi_log_list(store, a, &l, &e), &e);
        const int64_t *chosen = smi_compacted_choose(&l, cases[i].from, cases[i].to, a);
        for (int64_t v = cases[i].from; v <= cases[i].to; v++) {
            const int64_t at = chosen ? chosen[v - cases[i].from] : -1;
            sm_buf_printf(&got, "%s%" PRId64, got.len > 0 ? " " : "", v);
            if (at >= 0) {
                v = l.what[at].last;
                sm_buf_printf(&got, "-%" PRId64, v);
            }
        }
        sm_buf_text(&got, (sm_str){"", 1});
        assert_string_equal((const char *)got.data, cases[i].want);
        sm_buf_release(&got);
        sm_arena_free(a);
        sm_store_release(store);
    }
    (void)state;
}

/* The commits of a range are not read: here they are none. What is not wholly within the range is
 * not used. */
static void test_read(void **state)
{
    sm_store *store = new_store();

    put_commit(store, 0, HEAD ADD("a") ADD("b") TXN("app", "1") DOMAIN("d", "one", "false"));
    put_commit(store, 1, ADD("c"));
    put_commit(store, 2, NONE);
    put_commit(store, 3, NONE);
    put_commit(store, 4, REMOVE("b") ADD("e"));
    put_compacted(store, 2, 3,
                  ADD("y") ADD("x") REMOVE("a") REMOVE("y2") TXN("app", "3")
                      DOMAIN("d", "", "true"));
    assert_tells(store, 1, "a b c | txn app 1 | domain d one | table a");
    assert_tells(store, 3, "b c y x | txn app 3 | table a");
    assert_tells(store, 4, "c y x e | txn app 3 | table a");
    write_checkpoint(store, 1);
    assert_tells(store, 4, "c y x e | txn app 3 | table a");
    sm_store_release(store);
    (void)state;
}

/* What may not say all is passed over: the commits say "b c d". */
static void test_doubt(void **state)
{
    static const struct {
        const char *config, *text;
        const char *want; /* "x" is in no commit */
    } cases[] = {
        {"", REMOVE("a") ADD("x") DOMAIN("d", "two", "false"), "b x | domain d two | table a"},
        {"", "", "b c d | domain d one | table a"}, /* the domain is not named */
        {"", OWN REMOVE("a") ADD("x"), "b x | domain d one | table a"},
        {"", NONE, "b c d | domain d one | table a"},
        {"", OWN REMOVE("a") ADD("x") NONE, "b c d | domain d one | table a"},
        {"", OWN REMOVE("a") ADD("x") "{\"add\":{\"path\":\"y\"", "b c d | domain d one | table a"},
        {"", OWN ADD("x") ADD("x"), "b c d | domain d one | table a"},
        {"", OWN ADD("x") REMOVE("x"), "b c d | domain d one | table a"},
        {"", OWN REMOVE("x") ADD("x"), "b c d | domain d one | table a"},
        {"", OWN HEAD HEAD, "b c d | domain d one | table a"},
        {"", OWN TXN("t", "1") TXN("t", "2"), "b c d | domain d one | table a"},
        {"", OWN ADD("x") "{\"cdc\":{\"path\":\"y\",\"partitionValues\":{},\"size\":1}}\n",
         "b c d | domain d one | table a"},
        {"", OWN ADD("x") "{\"sidecar\":{\"path\":\"y\",\"sizeInBytes\":1,\"modificationTime\":1}}",
         "b c d | domain d one | table a"},
        {"", OWN ADD("x") "{\"unknown\":{}}\n", "a b x | domain d one | table a"},
        /* Removals may be lacking, since the table keeps removed files for too short a time. */
        {"\"delta.deletedFileRetentionDuration\":\"interval 0 hours\"",
         ADD("x") DOMAIN("d", "two", "false"), "b c d | domain d one | table a"},
        {"\"delta.deletedFileRetentionDuration\":\"interval 0 hours\"", OWN ADD("x"),
         "a b x | domain d one | table a"},
        /* A protocol that cannot be read: found after the file was replayed. */
        {"", OWN "{\"protocol\":{\"minReaderVersion\":9,\"minWriterVersion\":9}}\n",
         "b c d | domain d one | table a"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_store();
        sm_buf head = {0};
        sm_buf_printf(&head, HEAD_WITH("%s"), cases[i].config);
        sm_buf_printf(&head, "%s%c", ADD("a") ADD("b") DOMAIN("d", "one", "false"), 0);
        put_commit(store, 0, (const char *)head.data);
        put_commit(store, 1, REMOVE("a") ADD("c"));
        put_commit(store, 2, ADD("d"));
        put_compacted(store, 1, 2, cases[i].text);
        for (int with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
            assert_tells(store, 2, cases[i].want);
            write_checkpoint(store, 0);
        }
        sm_buf_release(&head);
        sm_store_release(store);
    }
    (void)state;
}

/* A checksum that the files of a compaction file do not keep is the commits' to keep. */
static void test_checksum(void **state)
{
    sm_store *store = new_store();

    put_commit(store, 0, HEAD ADD("a"));
    put_commit(store, 1, REMOVE("a") ADD("b"));
    put_commit(store, 2, ADD("c"));
    put_compacted(store, 1, 2, ADD("b") ADD("c")); /* the removal is lost */
    assert_tells(store, 2, "a b c | table a");
    put_text(store, SMI_LOG "00000000000000000002.crc",
             SM_STR("{\"tableSizeBytes\":2,\"numFiles\":2,\"numMetadata\":1,\"numProtocol\":1}"));
    assert_tells(store, 2, "b c | table a");
    write_checkpoint(store, 0);
    assert_tells(store, 2, "b c | table a");
    sm_store_release(store);
    (void)state;
}

/* What a checkpoint says comes from the commits. */
static void test_checkpoint(void **state)
{
    sm_store *store = new_store();
    sm_error e = {0};
    const sm_delta_metadata m = {0};

    put_commit(store, 0, HEAD ADD("a"));
    for (int v = 1; v <= 10; v++) {
        put_commit(store, v, v == 4 ? REMOVE("a") ADD("b") : "");
    }
    put_compacted(store, 4, 5, ADD("x"));
    assert_tells(store, 10, "a x | table a");
    assert_true(
        sm_delta_checkpoint_if_due(store, NULL, &(sm_delta_commit){.metadata = &m}, 10, NULL));
    assert_tells(store, 10, "b | table a");
    assert_ok(sm_store_delete(store, SM_STR(SMI_LOG "00000000000000000004.json"), &e), &e);
    assert_tells(store, 10, "b | table a"); /* by the checkpoint */
    sm_store_release(store);
    (void)state;
}

/* A commit has no sidecars. */
static void test_commit_with_sidecar(void **state)
{
    sm_store *store = new_store();

    put_commit(store, 0, HEAD ADD("a"));
    put_commit(
        store, 1,
        ADD("b") "{\"sidecar\":{\"path\":\"y\",\"sizeInBytes\":1,\"modificationTime\":1}}\n");
    assert_tells(store, 1, "a b | table a");
    write_checkpoint(store, 0);
    assert_tells(store, 1, "a b | table a");
    sm_store_release(store);
    (void)state;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A log of commits, and what each of its versions is without log compaction files. */
#define VERSIONS 12
typedef struct history {
    sm_store *store;
    sm_buf told[VERSIONS];
} history;

static void tell_history(history *h)
{
    for (int v = 0; v < VERSIONS; v++) {
        tell(h->store, v, &h->told[v]);
    }
}

static void assert_history(const history *h)
{
    for (int v = 0; v < VERSIONS; v++) {
        assert_tells(h->store, v, (const char *)h->told[v].data);
    }
}

static void release_history(history *h)
{
    for (int v = 0; v < VERSIONS; v++) {
        sm_buf_release(&h->told[v]);
    }
    sm_store_release(h->store);
}

#define VECTOR(name)                                                                               \
    ",\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":\"" name                        \
    "\",\"sizeInBytes\":1,\"cardinality\":4}"

/* Each range of a log with places, vectors, texts to escape, and changes of everything says the
 * same, also behind a checkpoint at each version, and also where the commits are gone. */
static void test_write(void **state)
{
    static const char *const log[VERSIONS] = {
        HEAD ADD("a") ADD("b") TXN("app", "1") DOMAIN("d", "one", "false"),
        ADD("c") ADD("d") ADD_MORE("p%20q", ",\"stats\":\"{\\\"numRecords\\\":1}\""),
        ADD("e") ADD("f") TXN("app \\\"two\\\"", "7"),
        REMOVE("b") REMOVE("c") ADD_AT("bc", "b") DOMAIN("d", "", "true"),
        REMOVE("e") REMOVE("f") ADD_AT("ef", "e") ADD_AT("ef2", "e") TXN("app", "2"),
        REMOVE("bc") REMOVE("d") ADD_AT("bcd", "bc") ADD_AT("bcd2", "bc") DOMAIN("g", "x", "false"),
        ADD_AT("y", "nothing") REMOVE("gone") ADD_AT("x", "gone"),
        ADD("b") ADD("z") HEAD,
        REMOVE("a") ADD_AT("a2", "a") REMOVE("bcd2"),
        REMOVE("z") ADD_MORE("z", VECTOR("v") ",\"tags\":{\"" SMI_TAG_PLACE "\":\"z\","
                                              "\"other\":null,\"more\":\"1\"}"),
        "{\"remove\":{\"path\":\"z\",\"dataChange\":true" VECTOR("v") "}}\n" ADD_MORE(
            "z", VECTOR("w") ",\"tags\":{\"" SMI_TAG_PLACE "\":\"z\\niv@-1\"}"),
        REMOVE("a2") ADD("a"),
    };
    for (int first = 0; first < VERSIONS - 1; first++) {
        for (int last = first + 1; last < VERSIONS; last++) {
            history h = {.store = new_store()};
            sm_error e = {0};
            for (int v = 0; v < VERSIONS; v++) {
                put_commit(h.store, v, log[v]);
            }
            tell_history(&h);
            assert_ok(smi_compacted_write(h.store, first, last, NULL, &e), &e);
            /* Not where "bcd" stands in the place of "b", which is there again. */
            const bool is_written = first == 0 || first > 3 || last < 7;
            assert_int_equal(has_compacted(h.store, first, last), is_written);
            assert_history(&h);
            for (int v = first; is_written && v <= last; v++) {
                put_commit(h.store, v, NONE);
            }
            assert_tells(h.store, last, (const char *)h.told[last].data);
            assert_tells(h.store, VERSIONS - 1, (const char *)h.told[VERSIONS - 1].data);
            if (first > 0) {
                write_checkpoint(h.store, first - 1);
                assert_tells(h.store, VERSIONS - 1, (const char *)h.told[VERSIONS - 1].data);
            }
            release_history(&h);
        }
    }
    (void)state;
}

/* Where the removal of the file in whose place an add stands is no longer said, the file could not
 * say where the add stands. */
static void test_no_order(void **state)
{
    sm_store *store = new_store();
    sm_error e = {0};

    put_commit(store, 0, HEAD ADD("a") ADD("b"));
    put_commit(store, 1, REMOVE("a") ADD_AT("x", "a"));
    put_commit(store, 2, ADD("a"));
    assert_ok(smi_compacted_write(store, 1, 2, NULL, &e), &e);
    assert_false(has_compacted(store, 1, 2));
    assert_tells(store, 2, "x b a | table a");
    assert_ok(smi_compacted_write(store, 0, 2, NULL, &e), &e);
    assert_true(has_compacted(store, 0, 2));
    assert_tells(store, 2, "x b a | table a");
    sm_store_release(store);
    (void)state;
}

/* ---- random logs ----------------------------------------------------------------------------- */

#define MOST_FILES 64
typedef struct file {
    int number, vector; /* vector 0: none */
    bool is_live;
    int version; /* that added or removed it last: no other action of that commit may */
} file;

typedef struct random_log {
    uint64_t seed;
    file files[MOST_FILES];
    int n;
    int version; /* that is being made */
    sm_buf text;
} random_log;

static int below(random_log *r, int n)
{
    r->seed = r->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((r->seed >> 33) % (uint64_t)n);
}

static void print_vector(const file *f, sm_buf *out)
{
    if (f->vector) {
        sm_buf_printf(out,
                      ",\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":\"%d\","
                      "\"sizeInBytes\":1,\"cardinality\":1}",
                      f->vector);
    }
}

static void remove_file(random_log *r, file *f)
{
    sm_buf_printf(&r->text, "{\"remove\":{\"path\":\"%d\",\"dataChange\":true", f->number);
    print_vector(f, &r->text);
    sm_buf_printf(&r->text, "}}\n");
    f->is_live = false;
    f->version = r->version;
}

static void add_file(random_log *r, file *f, const file *place)
{
    sm_buf_printf(&r->text, "{\"add\":{\"path\":\"%d\",\"partitionValues\":{},\"size\":1",
                  f->number);
    print_vector(f, &r->text);
    if (place) {
        sm_buf_printf(&r->text, ",\"tags\":{\"" SMI_TAG_PLACE "\":\"%d", place->number);
        if (place->vector) {
            sm_buf_printf(&r->text, "\\ni%d@-1", place->vector);
        }
        sm_buf_printf(&r->text, "\"}");
    }
    sm_buf_printf(&r->text, ",\"dataChange\":true}}\n");
    f->is_live = true;
    f->version = r->version;
}

/* A file that no live one shares its number with: a vector makes another file of it. */
static file *new_file(random_log *r, const file *marked)
{
    file *f = &r->files[r->n];

    assert_true(r->n < MOST_FILES);
    *f = (file){.number = marked ? marked->number : r->n, .vector = marked ? r->n : 0};
    r->n++;
    return f;
}

static bool is_number_live(const random_log *r, int number)
{
    bool out = false;
    for (int i = 0; i < r->n; i++) {
        out = out || (r->files[i].number == number && r->files[i].is_live);
    }
    return out;
}

static bool may_go(const random_log *r, const file *f)
{
    return f->is_live && f->version < r->version;
}

/* Appends, joins two files, marks rows of one, takes one away, or brings one back. */
static void change(random_log *r)
{
    const int n = r->n;
    file *a = &r->files[n > 0 ? below(r, n) : 0], *b = &r->files[n > 0 ? below(r, n) : 0];
    const int what = below(r, 6);

    if (n == 0 || what < 2) {
        add_file(r, new_file(r, NULL), NULL);
    } else if (what == 2 && may_go(r, a) && may_go(r, b) && a < b) {
        remove_file(r, a);
        remove_file(r, b);
        add_file(r, new_file(r, NULL), a);
    } else if (what == 3 && may_go(r, a)) {
        remove_file(r, a);
        add_file(r, new_file(r, a), a);
    } else if (what == 4 && may_go(r, a)) {
        remove_file(r, a);
    } else if (what == 5 && a->version < r->version && !is_number_live(r, a->number)) {
        add_file(r, a, NULL);
    }
}

static void fill_random(history *h, uint64_t seed)
{
    random_log r = {.seed = seed};

    for (int v = 0; v < VERSIONS; v++) {
        r.version = v;
        sm_buf_reset(&r.text);
        sm_buf_printf(&r.text, "%s", v == 0 ? HEAD : "");
        for (int n = below(&r, 4); n >= 0; n--) {
            change(&r);
        }
        sm_buf_text(&r.text, (sm_str){"", 1});
        put_commit(h->store, v, (const char *)r.text.data);
    }
    sm_buf_release(&r.text);
}

/* The files of each version and their order do not depend on what is written beside the commits. */
static void test_random(void **state)
{
    int n_written = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        history h = {.store = new_store()};
        random_log r = {.seed = seed * 77};
        sm_error e = {0};
        fill_random(&h, seed);
        tell_history(&h);
        for (int k = 0; k < 3; k++) {
            const int first = below(&r, VERSIONS - 1);
            const int last = first + 1 + below(&r, VERSIONS - 1 - first);
            assert_ok(smi_compacted_write(h.store, first, last, NULL, &e), &e);
            n_written += has_compacted(h.store, first, last);
            assert_history(&h);
        }
        write_checkpoint(h.store, below(&r, VERSIONS));
        assert_history(&h);
        release_history(&h);
    }
    assert_true(n_written > 800);
    (void)state;
}

/* ---- when ------------------------------------------------------------------------------------ */

/* "1-10 25 26-30": log compaction files and checkpoints, in the order of the log. */
static void list_written(sm_store *store, sm_buf *out)
{
    sm_arena *a = sm_arena_new(NULL);
    smi_log_listing l;
    sm_error e = {0};

    assert_ok(smi_log_list(store, a, &l, &e), &e);
    for (int64_t i = 0; i < l.n; i++) {
        if (l.what[i].kind == SMI_ENTRY_CHECKPOINT) {
            sm_buf_printf(out, "%" PRId64 " ", l.what[i].version);
        } else if (l.what[i].kind == SMI_ENTRY_COMPACTED) {
            sm_buf_printf(out, "%" PRId64 "-%" PRId64 " ", l.what[i].version, l.what[i].last);
        }
    }
    sm_buf_text(out, (sm_str){"", 1});
    sm_arena_free(a);
}

static void test_due(void **state)
{
    enum { MB = 1 << 20 };
    static const struct {
        const char *interval; /* of the table */
        int versions;
        int large;       /* a checkpoint of 4 MB: its version; 0: none */
        int commit, len; /* a commit of so many bytes */
        const char *want;
        int many, n_files; /* a commit of so many files */
    } cases[] = {
        {NULL, 25, 0, 0, 0, "10 20 "},
        {"x", 25, 0, 0, 0, "10 20 "},
        {"25", 34, 0, 0, 0, "1-10 11-20 25 26-30 "},
        {"9", 30, 0, 0, 0, "9 18 27 "},
        {"19", 40, 0, 0, 0, "1-10 19 21-30 38 39-40 "},
        {"100", 20, 0, 15, 17 * MB, "1-10 "},
        {NULL, 39, 10, 0, 0, "10 11-20 21-30 "},
        {NULL, 39, 10, 15, MB / 4, "10 20 30 "},
        {NULL, 39, 10, 25, MB / 4, "10 11-20 30 "},
        {NULL, 125, 10, 0, 0, "10 11-20 21-30 31-40 41-50 51-60 61-70 71-80 81-90 91-100 110 120 "},
        /* many files: at once, whatever the interval; again only where it is worth it */
        {NULL, 9, 0, 0, 0, "0 ", 0, 10000},
        {NULL, 9, 0, 0, 0, "", 0, 9999},
        {NULL, 12, 0, 0, 0, "3 10 ", 3, 10000},
        {NULL, 12, 0, 0, 0, "10 ", 3, 9999},
        {NULL, 12, 0, 0, 0, "10 ", 10, 10000},
        {"100", 12, 0, 0, 0, "3 4-10 ", 3, 1000000},
        {"4", 9, 0, 0, 0, "3 4 8 ", 3, 10000},
        {NULL, 19, 10, 15, MB / 8, "10 ", 15, 10000},
        {NULL, 19, 10, 15, MB / 4, "10 15 ", 15, 10000},
    };
    char *large = sm_alloc_zero(17 * MB + 1);

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_store();
        const sm_pair interval = {SM_STR("delta.checkpointInterval"),
                                  cases[i].interval ? sm_str_of(cases[i].interval) : (sm_str){0}};
        const sm_delta_metadata m = {.config = &interval, .n_config = cases[i].interval ? 1 : 0};
        sm_buf got = {0};
        for (int v = 0; v <= cases[i].versions; v++) {
            const sm_delta_commit c = {.metadata = &m,
                                       .n_adds = v == cases[i].many ? cases[i].n_files : v};
            const char *begin = v == 0 ? HEAD : INFO;
            memset(large, ' ', 17 * MB);
            memcpy(large, begin, strlen(begin));
            large[v > 0 && v == cases[i].commit ? cases[i].len : (int)strlen(begin)] = 0;
            put_commit(store, v, large);
            const bool is_new = sm_delta_checkpoint_if_due(store, NULL, &c, v, NULL);
            assert_true(is_new || v != cases[i].large || v == 0);
            if (v > 0 && v == cases[i].large) { /* it stands for a large one, and is passed over */
                memset(large, 'x', 4 * MB);
                large[4 * MB] = 0;
                put_text(store, SMI_LOG "00000000000000000010.checkpoint.parquet",
                         sm_str_of(large));
            }
        }
        list_written(store, &got);
        assert_string_equal((const char *)got.data, cases[i].want);
        sm_buf_release(&got);
        sm_store_release(store);
    }
    sm_free(large);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),     cmocka_unit_test(test_read),
        cmocka_unit_test(test_doubt),      cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_commit_with_sidecar),
        cmocka_unit_test(test_write),      cmocka_unit_test(test_no_order),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
