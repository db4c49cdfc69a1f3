/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_place_test.c: files that take the places of removed ones: the order in which a
 * snapshot gives its files, from hand-written logs, from commits, and from a checkpoint. In which
 * spellings a path is the same. */
#include "test.h"

#include <inttypes.h>

#include "delta_logs.h"

/* ---- a log ----------------------------------------------------------------------------------- */

#define HEAD                                                                                       \
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"                                \
    "\"readerFeatures\":[\"deletionVectors\"],\"writerFeatures\":[\"deletionVectors\"]}}"          \
    "\n" METADATA("")
#define VECTOR                                                                                     \
    ",\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":\"ab^-aqEH.-t@S}K{vb[*k^\","    \
    "\"offset\":4,\"sizeInBytes\":40,\"cardinality\":1}"

/* The paths of the newest version's files, "a b". */
static void assert_files(sm_store *store, const char *want)
{
    int64_t n = 0;
    sm_snapshot *s = NULL;
    sm_error e = {0};
    sm_buf text = {0};

    assert_ok(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        sm_buf_printf(&text, "%s%.*s", i > 0 ? " " : "", SM_STR_ARG(files[i].path));
    }
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want);
    sm_buf_release(&text);
    sm_snapshot_release(s);
}

static void test_order(void **state)
{
    static const struct {
        const char *versions[4];
        const char *want;
    } cases[] = {
        {{HEAD ADD("a") ADD("b") ADD("c"), REMOVE("a") REMOVE("b") ADD_AT("x", "a")}, "x c"},
        {{HEAD ADD("a") ADD("b") ADD("c"), REMOVE("b") REMOVE("c") ADD_AT("x", "b")}, "a x"},
        {{HEAD ADD("a") ADD("b"), REMOVE("a") ADD("x")}, "b x"},
        /* Several in one place, and several places in one commit. */
        {{HEAD ADD("a") ADD("b") ADD("c") ADD("d"),
          REMOVE("a") REMOVE("c") ADD_AT("x", "a") ADD_AT("y", "a") ADD_AT("z", "c")},
         "x y b z d"},
        /* The place of one that took a place itself. */
        {{HEAD ADD("a") ADD("b"), REMOVE("a") ADD_AT("x", "a"), ADD("c"),
          REMOVE("x") ADD_AT("y", "x")},
         "y b c"},
        /* A file that was never there, or that another commit removed long ago, or is there. */
        {{HEAD ADD("a") ADD("b"), REMOVE("a") ADD_AT("x", "q")}, "b x"},
        {{HEAD ADD("a") ADD("b"), REMOVE("q") ADD_AT("x", "q")}, "a b x"},
        {{HEAD ADD("a") ADD("b"), ADD_AT("x", "a")}, "a b x"},
        {{HEAD ADD("a") ADD("b"), REMOVE("a"), ADD_AT("x", "a")}, "x b"},
        /* With a deletion vector it is another file. */
        {{HEAD ADD("a") ADD("b"), REMOVE("a") ADD_MORE("a", VECTOR),
          REMOVE_MORE("a", VECTOR) ADD_AT("x", "a\\nuab^-aqEH.-t@S}K{vb[*k^@4")},
         "b x"},
        {{HEAD ADD_MORE("a", VECTOR) ADD("b"),
          REMOVE_MORE("a", VECTOR) ADD_AT("x", "a\\nuab^-aqEH.-t@S}K{vb[*k^@4")},
         "x b"},
        {{HEAD ADD_MORE("a", VECTOR) ADD("b"), REMOVE_MORE("a", VECTOR) ADD_AT("x", "a")}, "b x"},
        /* It goes and comes back: as the log adds it. */
        {{HEAD ADD("a") ADD("b"), REMOVE("a") ADD_AT("x", "a"), REMOVE("x") ADD("a"),
          REMOVE("a") ADD_AT("x", "a")},
         "b x"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *s = new_store();
        for (int v = 0; v < SM_COUNT(cases[i].versions) && cases[i].versions[v]; v++) {
            put_commit(s, v, cases[i].versions[v]);
        }
        assert_files(s, cases[i].want);
        sm_store_release(s);
    }
}

/* What a commit says is read back, also behind a checkpoint, which has the files in order. */
static void test_commit(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    int64_t version = -1, n = 0;
    sm_error e = {0};

    put_commit(store, 0,
               "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n" METADATA(
                   "\"delta.checkpointInterval\":\"1\"") ADD("a%20a") ADD("b") ADD("c"));
    assert_ok(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), &e);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    const sm_delta_file *removes[] = {&files[0], &files[1]};
    const sm_pair tag = {SM_STR("other"), SM_STR("tag")};
    const sm_delta_add add = {
        .key = SM_STR("x"), .tags = &tag, .n_tags = 1, .place = &files[0], .size_bytes = 1};
    const sm_delta_commit c = {.operation = SM_STR("OPTIMIZE"),
                               .keeps_rows = true,
                               .adds = &add,
                               .n_adds = 1,
                               .removes = removes,
                               .n_removes = SM_COUNT(removes)};
    assert_ok(sm_delta_commit_write(store, s, &c, NULL, &version, &e), &e);
    assert_int_equal(version, 1);
    sm_snapshot_release(s);
    assert_files(store, "x c");
    assert_ok(sm_store_delete(store, SM_STR("_delta_log/00000000000000000000.json"), &e), &e);
    assert_files(store, "x c"); /* from the checkpoint */

    assert_ok(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), &e);
    files = sm_snapshot_files(s, &n);
    assert_int_equal(files[0].n_tags, 2);
    assert_true(sm_str_is(files[0].tags[0].key, "other"));
    assert_true(sm_str_is(files[0].tags[1].value, "a a"));
    sm_snapshot_release(s);
    sm_store_release(store);
}

/* ---- spellings ------------------------------------------------------------------------------- */

static const struct {
    const char *path, *plain;
} spellings[] = {
    {"a/b", "a/b"},
    {"a b", "a b"},
    {"%61%20b", "a b"},
    {"./a/././b", "a/b"},
    {"%2e/a/%2E%2Fb", "a/b"},
    {".a/b./..c/.", ".a/b./..c/."},
    {"a%2520b", "a%2520b"}, /* the file "a%20b" is another one than "a b" */
    {"a%zz%4", "a%25zz%254"},
    {"a%00b%0Ac", "a%00b%0Ac"},
    {"file:/a%20b", "/a b"},
    {"file:///a/./b", "/a/b"},
    {"//a///b", "/a/b"},
    {"file:/t%25/x%20y", "x y"}, /* the table lies there */
    {"/t%25//./a/b", "a/b"},
    {"file:///real/t/a/b%25", "a/b%25"},
    {"/t/x", "/t/x"},
    {"/t%25x", "/t%25x"},
    {"/t%25/", "/t%25/"},
    {"/t%25/../x", "/t%25/../x"},
    {"/t%25/a/../x", "/t%25/a/../x"},
    {"s3a://t/lake/x%3Dy", "x=y"},
    {"s3://t/lake//x", "s3://t/lake//x"}, /* in a bucket an empty part is a name */
    {"s3://t/lake2/x", "s3://t/lake2/x"},
    {"s3a://b/c%3D1", "s3://b/c=1"},
    {"s3n://b/c", "s3://b/c"},
    {"s3://b/c", "s3://b/c"},
};

static void test_spellings(void **state)
{
    const smi_home homes[] = {
        {.names = {SM_STR("/t%25/"), SM_STR("/real/t/")}},
        {.names = {SM_STR("s3://t/lake/")}},
    };
    sm_buf text = {0}, again = {0};

    for (int i = 0; i < SM_COUNT(spellings); i++) {
        const sm_str path = sm_str_of(spellings[i].path);
        const smi_home home = homes[sm_str_starts(path, SM_STR("s3")) ? 1 : 0];
        const sm_str plain = smi_path_plain(&home, path, &text);
        assert_true(sm_str_is(plain, spellings[i].plain));
        assert_true(
            sm_str_eq(smi_path_plain(&home, plain, &again), plain)); /* it is its own plain path */
        const sm_hash128 h = smi_path_hash(&home, path), p = smi_path_hash(&home, plain);
        assert_true(h.low == p.low && h.high == p.high);
    }
    sm_buf_release(&text);
    sm_buf_release(&again);
}

/* A place is found, however it is spelt. */
static void test_spelt_places(void **state)
{
    sm_store *s = new_store();

    put_commit(s, 0, HEAD ADD("a") ADD("b%20c") ADD("d"));
    put_commit(s, 1, REMOVE("./b c") ADD_AT("e", "%62%20c"));
    assert_files(s, "a e d");
    sm_store_release(s);
}

/* ---- vectors that are spelt in several ways -------------------------------------------------- */

#define UUID_NAME "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
#define UUID_TEXT "^-aqEH.-t@S}K{vb[*k^"

static const struct {
    const char *type, *text;
    int64_t offset;
    const char *known; /* behind the path of the file and a NUL */
} vectors[] = {
    {"u", "ab" UUID_TEXT, 4, "uab" UUID_TEXT "@4"},
    {"u", UUID_TEXT, -1, "u" UUID_TEXT "@1"}, /* it is the first one there */
    {"i", "wi5b=", -1, "iwi5b=@-1"},
    {"p", "file:///t/ab/" UUID_NAME, 4, "uab" UUID_TEXT "@4"},
    {"p", "/t/" UUID_NAME, -1, "u" UUID_TEXT "@1"},
    {"p", "file:/real/t/%61b/" UUID_NAME, 4, "uab" UUID_TEXT "@4"},
    {"p", "s3a://b/t/ab/" UUID_NAME, 1, "uab" UUID_TEXT "@1"},
    /* no file that a relative text could name, or of another table */
    {"p", "file:/t/ab/deletion_vector_D2C639AA-8816-431a-aaf6-d3fe2512ff61.bin", 4,
     "pab/deletion_vector_D2C639AA-8816-431a-aaf6-d3fe2512ff61.bin@4"},
    {"p", "file:/t/a%2525/" UUID_NAME, 4, "pa%2525/" UUID_NAME "@4"},
    {"p", "/t/ab/x.bin", 4, "pab/x.bin@4"},
    {"p", "file:///other/ab/" UUID_NAME, 4, "p/other/ab/" UUID_NAME "@4"},
    {"p", "file:/other/./%61b/" UUID_NAME, 4, "p/other/ab/" UUID_NAME "@4"},
    {"p", "s3n://c/" UUID_NAME, 4, "ps3://c/" UUID_NAME "@4"},
};

static void test_spelt_vectors(void **state)
{
    const smi_home disk = {.names = {SM_STR("/t/"), SM_STR("/real/t/")}};
    const smi_home bucket = {.names = {SM_STR("s3://b/t/")}};
    sm_buf id = {0}, tag = {0}, want = {0};

    for (int i = 0; i < SM_COUNT(vectors); i++) {
        const smi_home *home = vectors[i].text[0] == 's' ? &bucket : &disk;
        const sm_delta_dv dv = {.storage_type = sm_str_of(vectors[i].type),
                                .path_or_inline = sm_str_of(vectors[i].text),
                                .offset = vectors[i].offset};
        sm_buf_reset(&want);
        sm_buf_text(&want, (sm_str){"x\0", 2});
        sm_buf_text(&want, sm_str_of(vectors[i].known));
        const sm_str known = smi_file_identity(home, SM_STR("./x"), &dv, &id);
        assert_true(sm_str_eq(known, sm_buf_str(&want)));
        smi_tag_of_identity(known, &tag);
        smi_identity_of_tag(home, sm_buf_str(&tag), &id);
        assert_true(sm_str_eq(sm_buf_str(&id), sm_buf_str(&want)));
        sm_buf_reset(&tag); /* as an older program has written it */
        sm_buf_printf(&tag, "%%78\n%s%s@%" PRId64, vectors[i].type, vectors[i].text,
                      vectors[i].offset);
        smi_identity_of_tag(home, sm_buf_str(&tag), &id);
        assert_true(sm_str_eq(sm_buf_str(&id), sm_buf_str(&want)));
    }
    sm_buf_release(&id);
    sm_buf_release(&tag);
    sm_buf_release(&want);
}

/* Puts a commit: "+" adds the file with its vector, "-" removes it; "u" by the relative text, "p"
 * by the absolute path. */
static void put_marked(sm_store *s, int64_t version, const char *what)
{
    sm_buf text = {0};

    sm_buf_text(&text, version == 0 ? SM_STR(HEAD) : SM_STR(""));
    sm_buf_printf(&text,
                  "{\"%s\":{\"path\":\"a\",\"partitionValues\":{},\"size\":1,"
                  "\"dataChange\":true,\"deletionVector\":{\"storageType\":\"%c\","
                  "\"pathOrInlineDv\":\"",
                  what[0] == '+' ? "add" : "remove", what[1]);
    if (what[1] == 'p') {
        sm_buf_text(&text, sm_store_uri(s));
    }
    sm_buf_text(&text, what[1] == 'p' ? SM_STR("/ab/" UUID_NAME) : SM_STR("ab" UUID_TEXT));
    sm_buf_text(&text, SM_STR("\",\"offset\":4,\"sizeInBytes\":40,\"cardinality\":1}}}\n"));
    sm_buf_text(&text, (sm_str){"", 1});
    put_commit(s, version, (const char *)text.data);
    sm_buf_release(&text);
}

/* A file with a vector is one file, which any spelling of the vector adds anew or removes: also
 * where the checkpoint has it. */
static void test_logs_of_spelt_vectors(void **state)
{
    static const char *const spelt[] = {"+u", "+p"};
    static const struct {
        const char *then, *want;
    } cases[] = {{"+u", "a"}, {"+p", "a"}, {"-u", ""}, {"-p", ""}};

    for (int i = 0; i < SM_COUNT(cases) * 4; i++) {
        sm_store *s = new_store();
        put_marked(s, 0, spelt[i % 2]);
        if (i / 2 % 2 == 1) {
            write_checkpoint(s, 0);
        }
        put_marked(s, 1, cases[i / 4].then);
        assert_files(s, cases[i / 4].want);
        sm_store_release(s);
    }
}

/* Who compares the files of two versions by their hashes sees the same one. */
static void test_hashes_of_spelt_vectors(void **state)
{
    sm_store *s = new_store();
    sm_snapshot *versions[2] = {NULL};
    sm_hash128 h[2];
    sm_error e = {0};
    int64_t n = 0;

    put_marked(s, 0, "+u");
    put_marked(s, 1, "+p");
    for (int i = 0; i < 2; i++) {
        assert_ok(sm_snapshot_open(s, i, NULL, &versions[i], &e), &e);
        const sm_delta_file *f = sm_snapshot_files(versions[i], &n);
        assert_int_equal(n, 1);
        assert_int_equal(f->dv->storage_type.data[0], i == 0 ? 'u' : 'p'); /* as the log has it */
        h[i] = sm_delta_file_hash(f);
        sm_snapshot_release(versions[i]);
    }
    assert_true(h[0].low == h[1].low && h[0].high == h[1].high);
    sm_store_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_spelt_places),
        cmocka_unit_test(test_spelt_vectors),
        cmocka_unit_test(test_logs_of_spelt_vectors),
        cmocka_unit_test(test_hashes_of_spelt_vectors),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
