/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_files_test.c: which files a path stands for, their dates, their identity. */
#include "orders.h"

/* Names found, each with a blank behind it. */
static const char *names_text(const sm_files *f, sm_arena *a)
{
    sm_buf text = {0};
    for (int64_t i = 0; i < f->n; i++) {
        sm_buf_printf(&text, "%.*s ", SM_STR_ARG(f->items[i].name));
    }
    const sm_str copy = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return copy.data;
}

static sm_store *fill(kit *k)
{
    static const char *const names[] = {
        "20220402.json",   "20220401.json",     "20220401.json.gz", ".20220403.json", "notes.txt",
        "a_20220403.json", "sub/20220404.json", "sub/deep/x.json",  "odd/[x].json",   "sub.json/y",
    };
    sm_store *s = open_scratch(&k->at);
    for (int i = 0; i < SM_COUNT(names); i++) {
        put_text(s, names[i], names[i]);
    }
    return s;
}

static void test_find(void **state)
{
    static const struct {
        const char *path, *match;
        sm_status want;
        const char *names; /* or a part of the message */
        int64_t n_ignored;
    } rows[] = {
        {"", "", SM_OK,
         ".20220403.json 20220401.json 20220401.json.gz 20220402.json a_20220403.json notes.txt ",
         3}, /* its folders */
        {"/", "", SM_OK,
         ".20220403.json 20220401.json 20220401.json.gz 20220402.json a_20220403.json notes.txt ",
         3}, /* its folders */
        {"", "^[^.].*\\.json(\\.gz|\\.zst)?$", SM_OK,
         "20220401.json 20220401.json.gz 20220402.json a_20220403.json ", 5},
        {"", "^2022", SM_OK, "20220401.json 20220401.json.gz 20220402.json ", 6},
        {"", "nothing", SM_OK, "", 9},
        {"/sub", "", SM_OK, "20220404.json ", 1},
        {"/20220401.json", "", SM_OK, "20220401.json ", 0},
        {"/*.json", "", SM_OK, ".20220403.json 20220401.json 20220402.json a_20220403.json ", 0},
        {"/2022040[2-9].js*", "", SM_OK, "20220402.json ", 0},
        {"/sub/*.json", "", SM_OK, "20220404.json ", 0},
        {"/*/*.json", "", SM_OK, "odd/[x].json sub/20220404.json ", 0},
        {"/sub/**/*.json", "", SM_OK, "20220404.json deep/x.json ", 0},
        {"/*.csv", "", SM_OK, "", 0},
        {"/missing", "", SM_NOT_FOUND, "there is no file or folder", 0},
        {"/missing", "x", SM_NOT_FOUND, "", 0},
        {"/missing/*.json", "", SM_NOT_FOUND, "", 0},
        {"", "a(b", SM_SYNTAX, "is not a regular expression: missing closing parenthesis at byte 4",
         0},
        {"", "^(?:.+)+(?:.+)+(?:.+)+[#%]$", SM_LIMIT, "too many steps for the name", 0},
    };
    kit k;
    kit_init(&k);
    sm_store *s = fill(&k);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_files found = {0};
        const sm_str path = sm_arena_strf(k.arena, "%s%s", k.at.path, rows[i].path);
        assert_status(
            sm_files_find(test_stores, path, sm_str_of(rows[i].match), false, k.arena, &found, &e),
            rows[i].want, &e);
        if (rows[i].want != SM_OK) {
            assert_non_null(strstr(e.what, rows[i].names));
            assert_null(found.store);
        } else {
            assert_string_equal(names_text(&found, k.arena), rows[i].names);
            assert_int_equal(found.n_ignored, rows[i].n_ignored);
        }
        sm_files_release(&found);
    }
    sm_store_release(s);
    kit_release(&k);
}

static void test_what_is_found(void **state)
{
    kit k;
    sm_error e = {0};
    sm_files found = {0};
    kit_init(&k);
    sm_store *s = fill(&k);
    const sm_str path = kit_uri(&k, "20220401.json.gz");
    assert_ok(sm_files_find(test_stores, path, SM_STR(""), true, k.arena, &found, &e), &e);
    assert_int_equal(found.n, 1);
    const sm_found_file *f = &found.items[0];
    assert_true(sm_str_eq(f->file.uri, path));
    assert_true(sm_str_is(f->file.key, "20220401.json.gz"));
    assert_int_equal(f->file.size_bytes, strlen("20220401.json.gz"));
    assert_true(f->file.modified_us > 0);
    assert_int_equal(f->file.n_rows, -1);
    assert_true(f->has_date);
    assert_int_equal(f->date, sm_days_from_civil(2022, 4, 1));
    sm_files_release(&found);
    sm_files_release(&found);
    sm_store_release(s);
    kit_release(&k);
}

static void test_dates(void **state)
{
    static const struct {
        const char *name;
        const char *why; /* NULL: it has the date 2022-04-01 */
    } rows[] = {
        {"20220401.json", NULL},
        {"log-20220401-7.json", NULL},
        {"1_123456789_20220401.json", NULL},
        {"x20220401x", NULL},
        {"a.json", "has no date"},
        {"2022-04-01.json", "has no date"},
        {"202204011.json", "has no date"},
        {"20220431.json", "has no date of the calendar"},
        {"20220401_20220401.json", "has more than one date"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_files found = {0};
        kit_init(&k);
        sm_store *s = open_scratch(&k.at);
        put_text(s, rows[i].name, "{}");
        const sm_str path = sm_str_of(k.at.path);
        const sm_status want = rows[i].why ? SM_INVALID : SM_OK;
        assert_status(sm_files_find(test_stores, path, SM_STR(""), true, k.arena, &found, &e), want,
                      &e);
        if (rows[i].why) {
            assert_non_null(strstr(e.what, rows[i].why));
            assert_non_null(strstr(e.object, rows[i].name));
            assert_non_null(strstr(e.todo, "like 20220401, or leave the file out with match"));
            assert_ok(sm_files_find(test_stores, path, SM_STR(""), false, k.arena, &found, &e), &e);
            assert_false(found.items[0].has_date);
        } else {
            assert_int_equal(found.items[0].date, sm_days_from_civil(2022, 4, 1));
        }
        sm_files_release(&found);
        sm_store_release(s);
        kit_release(&k);
    }
}

/* The content, its beginning, and what a file's mark is made of. */
static void test_identity(void **state)
{
    kit k;
    sm_error e = {0};
    sm_files found = {0};
    sm_content got = {0};
    bool is_whole = false;
    uint8_t head[SM_CONTENT_HEAD_BYTES];
    size_t n = 0;
    const int64_t lens[] = {3, 9};
    sm_hash128 starts[2];
    struct stat info;
    kit_init(&k);
    sm_store *s = open_scratch(&k.at);
    put_text(s, "f.json", "{} {}");
    assert_ok(
        sm_files_find(test_stores, kit_uri(&k, "f.json"), SM_STR(""), false, k.arena, &found, &e),
        &e);
    const sm_datafile *f = &found.items[0].file;
    assert_ok(sm_file_content(f, &k.env, &got, &is_whole, &e), &e);
    const sm_hash128 want = sm_file_hash_piece("{} {}", 5, 0);
    assert_true(is_whole && got.bytes == 5 && got.hash.low == want.low &&
                got.hash.high == want.high);
    assert_ok(sm_file_head(f, &k.env, head, &n, &e), &e);
    assert_true(n == 5 && memcmp(head, "{} {}", 5) == 0);
    assert_ok(sm_file_prefixes(f, &k.env, lens, 2, starts, &e), &e);
    assert_true(starts[0].low == sm_file_hash_piece("{} ", 3, 0).low && starts[1].low == 0);
    assert_int_equal(stat(kit_uri(&k, "f.json").data, &info), 0);
    assert_int_equal(f->inode, info.st_ino);
    assert_int_equal(f->changed_us, info.st_ctim.tv_sec * 1000000 + info.st_ctim.tv_nsec / 1000);
    sm_files_release(&found);
    sm_store_release(s);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_what_is_found),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
