/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_test.c: books as they are written and read again: what an entry keeps, chains
 * over random changes against a model, how much they write, what is cleaned, what damage says. */
#include <inttypes.h>

#include "flow/flow_int.h"
#include "scratch.h"

#define MOST   3000
#define DAY_US INT64_C(86400000000)
#define NOW_US INT64_C(1650000000000000)
#define FOLDER "_smelt/"

typedef struct kit {
    sm_pipeline pipeline;
    sm_exec_env env;
    sm_run run;
    sm_store *store;
    sm_arena *arena;
    int64_t last;   /* number of the newest books; −1: none */
    size_t n_bytes; /* of it */
    uint64_t random;
} kit;

static void kit_init(kit *k, const char *name)
{
    sm_error e = {0};

    *k = (kit){.last = -1, .random = 7, .arena = sm_arena_new(NULL)};
    k->pipeline.name = SM_STR("shop");
    k->run = (sm_run){.p = &k->pipeline,
                      .env = &k->env,
                      .arena = k->arena,
                      .id = SM_STR("r"),
                      .start_us = NOW_US};
    assert_ok(sm_store_open(test_stores,
                            sm_str_of(sm_arena_printf(k->arena, "memory://books-%s", name)),
                            &k->store, &e),
              &e);
}

static void kit_release(kit *k)
{
    sm_store_release(k->store);
    sm_arena_free(k->arena);
}

static uint32_t roll(kit *k, uint32_t n)
{
    k->random = sm_mix64(k->random + 1);
    return (uint32_t)(k->random % n);
}

static smi_flow_books read_books(kit *k)
{
    smi_flow_books b = {.store = k->store, .table = SM_STR("raw.orders")};
    sm_error e = {0};

    b.chain.n_rows = -1;
    if (k->last >= 0) {
        assert_ok(smi_flow_books_read(&k->run, k->last, &b, &e), &e);
    }
    return b;
}

/* Each a second after the last one. */
static void write_books(kit *k, const smi_flow_books *b, const smi_flow_books_page *page)
{
    sm_str key, text;
    sm_error e = {0};

    k->run.start_us += 1000000;
    smi_flow_books_write(&k->run, b, page, &k->last, &key, &text);
    assert_ok(sm_store_put(k->store, key, text.data, text.len, SM_PUT_IF_ABSENT, &e), &e);
    k->n_bytes = text.len;
}

static int64_t count_books(kit *k)
{
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_list(k->store, SM_STR(FOLDER), true, k->arena, &entries, &n, &e), &e);
    return n;
}

static smi_flow_known entry_of(kit *k, int number, int64_t version)
{
    return (smi_flow_known){.path = sm_arena_strf(k->arena, "%04d.json", number),
                            .uri = sm_arena_strf(k->arena, "/logs/%04d.json", number),
                            .version = version,
                            .mark = {.size_bytes = 100, .modified_us = NOW_US},
                            .has_identity = true,
                            .content_bytes = number,
                            .n_lines = 1,
                            .n_rows = -1};
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static void test_entries(void **state)
{
    const sm_hash128 hash = {.low = UINT64_MAX, .high = 0x0123456789abcdef};
    const smi_flow_mark mark = {.size_bytes = 12,
                                .modified_us = 34,
                                .changed_us = 56,
                                .inode = UINT64_MAX - 1,
                                .etag = SM_STR("\"e\\tag\"")};
    const smi_flow_known known[] = {
        {.path = SM_STR("a \"b\" \xc3\xa9\n.json"),
         .uri = SM_STR("s3://bucket/a"),
         .loaded_us = 1234567890123456,
         .version = 3,
         .mark = mark,
         .has_identity = true,
         .hash = hash,
         .content_bytes = 77,
         .head = UINT64_MAX,
         .n_lines = 0,
         .n_rows = 5,
         .has_date = true,
         .date = -1},
        {.root = 1,
         .path = SM_STR("none"),
         .version = -1,
         .content_bytes = -1,
         .n_lines = -1,
         .n_rows = -1},
        {.root = 1,
         .path = SM_STR("x"),
         .version = 2,
         .content_bytes = -1,
         .n_lines = -1,
         .n_rows = -1,
         .is_dropped = true},
        {.root = 1,
         .path = SM_STR("y"),
         .version = 2,
         .mark = mark, /* an unfinished one */
         .content_bytes = -1,
         .n_lines = -1,
         .n_rows = -1,
         .is_passed = true},
        {.root = 1,
         .path = SM_STR("y"),
         .version = 1,
         .content_bytes = -1,
         .n_lines = -1,
         .n_rows = -1,
         .is_displaced = true},
        {.root = 1,
         .path = SM_STR("y"),
         .version = 0,
         .content_bytes = -1,
         .n_lines = -1,
         .n_rows = -1,
         .is_displaced = true},
    };
    const smi_flow_root roots[] = {
        {.uri = SM_STR("/logs"),
         .pipeline = SM_STR("shop"),
         .query = SM_STR("SELECT \"a\"\n"),
         .columns = SM_STR("STRUCT(\"a b\" BIGINT)"),
         .seen = SM_STR("{\"lines\":1,\"keys\":[{\"path\":\"\\u0000\"}]}")},
        {.uri = SM_STR(""), .pipeline = SM_STR("other")}};
    const smi_flow_books_page page = {
        .roots = roots, .n_roots = 2, .known = known, .n_known = SM_COUNT(known), .n_rows = 9};
    kit k;

    kit_init(&k, "entries");
    smi_flow_books b = read_books(&k);
    write_books(&k, &b, &page);
    b = read_books(&k);
    assert_int_equal(b.n_roots, 2);
    SM_ASSERT(b.roots);
    assert_true(sm_str_eq(b.roots[0].query, roots[0].query));
    assert_true(sm_str_eq(b.roots[0].columns, roots[0].columns));
    assert_true(sm_str_eq(b.roots[0].seen, roots[0].seen) && b.roots[1].seen.len == 0);
    assert_true(sm_str_is(b.roots[1].pipeline, "other") && b.roots[1].columns.len == 0);
    assert_int_equal(b.chain.n_rows, 9);
    assert_int_equal(b.n_known, SM_COUNT(known));
    for (int i = 0; i < SM_COUNT(known); i++) {
        const smi_flow_known *x = &b.known[i], *y = &known[i];
        assert_true(sm_str_eq(x->path, y->path) && sm_str_eq(x->uri, y->uri));
        assert_int_equal(x->root, y->root);
        assert_int_equal(x->loaded_us, y->loaded_us);
        assert_int_equal(x->version, y->version);
        assert_int_equal(x->has_identity, y->has_identity);
        assert_int_equal(x->mark.size_bytes, y->mark.size_bytes);
        assert_int_equal(x->mark.modified_us, y->mark.modified_us);
        assert_int_equal(x->mark.changed_us, y->mark.changed_us);
        assert_true(x->mark.inode == y->mark.inode && x->head == y->head);
        assert_true(sm_str_eq(x->mark.etag, y->mark.etag));
        assert_true(x->hash.low == y->hash.low && x->hash.high == y->hash.high);
        assert_int_equal(x->content_bytes, y->content_bytes);
        assert_int_equal(x->n_lines, y->n_lines);
        assert_int_equal(x->n_rows, y->n_rows);
        assert_int_equal(x->has_date, y->has_date);
        assert_int_equal(x->date, y->date);
        assert_int_equal(x->is_dropped, y->is_dropped);
        assert_int_equal(x->is_passed, y->is_passed);
        assert_int_equal(x->is_displaced, y->is_displaced);
    }
    kit_release(&k);
}

/* ---- chains ---------------------------------------------------------------------------------- */

/* versions[i] −1: not there. */
static void assert_books(const smi_flow_books *b, const int64_t *versions)
{
    int64_t n = 0;
    bool *seen = sm_alloc_zero(MOST * sizeof(*seen));

    for (int64_t i = 0; i < b->n_known; i++) {
        const int64_t number = b->known[i].content_bytes;
        assert_true(number >= 0 && number < MOST && !seen[number]);
        assert_int_equal(b->known[i].version, versions[number]);
        seen[number] = true;
    }
    for (int i = 0; i < MOST; i++) {
        n += versions[i] >= 0;
    }
    assert_int_equal(b->n_known, n);
    sm_free(seen);
}

static void test_chains_of_random_changes(void **state)
{
    const smi_flow_root root = {.uri = SM_STR("/logs"), .pipeline = SM_STR("shop")};
    smi_flow_known *known = sm_alloc(MOST * sizeof(*known));
    int64_t *versions = sm_alloc(MOST * sizeof(*versions));
    int32_t longest = 0;
    kit k;

    kit_init(&k, "chains");
    for (int i = 0; i < MOST; i++) {
        versions[i] = -1;
    }
    for (int round = 0; round < 400; round++) {
        smi_flow_books b = read_books(&k);
        assert_books(&b, versions);
        longest = b.chain.n_links > longest ? b.chain.n_links : longest;
        const uint32_t n_changes = roll(&k, 10) == 0 ? roll(&k, 800) : roll(&k, 4);
        for (uint32_t c = 0; c < n_changes; c++) {
            const uint32_t at = roll(&k, MOST);
            versions[at] = roll(&k, 3) == 0 ? -1 : round;
        }
        smi_flow_books_page page = {.roots = &root, .n_roots = 1, .known = known};
        for (int i = 0; i < MOST; i++) {
            if (versions[i] >= 0) {
                known[page.n_known++] = entry_of(&k, i, versions[i]);
            }
        }
        write_books(&k, &b, &page);
    }
    assert_true(longest >= 3);  /* they are chains at all */
    assert_true(longest <= 12); /* log2(MOST) */
    sm_free(versions);
    sm_free(known);
    kit_release(&k);
}

/* One new file a run, 2,000 times. */
static void test_what_growth_costs(void **state)
{
    const smi_flow_root root = {.uri = SM_STR("/logs"), .pipeline = SM_STR("shop")};
    smi_flow_known *known = sm_alloc(MOST * sizeof(*known));
    size_t sum = 0, least = SIZE_MAX, most = 0;
    kit k;

    kit_init(&k, "growth");
    smi_flow_books_page page = {.roots = &root, .n_roots = 1, .known = known};
    for (int i = 0; i < 2000; i++) {
        smi_flow_books b = read_books(&k);
        known[page.n_known++] = entry_of(&k, i, 0);
        write_books(&k, &b, &page);
        sum += k.n_bytes;
        most = k.n_bytes > most ? k.n_bytes : most;
        if (i > 1000) {
            least = k.n_bytes < least ? k.n_bytes : least;
        }
    }
    assert_true(most > 150000);
    assert_true(least < 1000);
    /* All of them are 280 KB; a run writes its own entry with 32 others on average, and each is
     * written log2(2000 / 64) times more. */
    assert_true(sum < 2000 * (size_t)6500);
    sm_free(known);
    kit_release(&k);
}

/* ---- cleaning -------------------------------------------------------------------------------- */

static void test_cleaning(void **state)
{
    const smi_flow_root root = {.uri = SM_STR("/logs"), .pipeline = SM_STR("shop")};
    smi_flow_known known = {.content_bytes = -1, .path = SM_STR("a"), .n_lines = -1, .n_rows = -1};
    const smi_flow_books_page page = {.roots = &root, .n_roots = 1, .known = &known, .n_known = 1};
    sm_error e = {0};
    kit k;

    kit_init(&k, "cleaning");
    put_text(k.store, "_smelt/another's.txt", "x");
    for (int day = 0; day < 200; day++) { /* a killed run's, and two of a day */
        const sm_str orphan = smi_flow_books_name((k.run.start_us << 11) - 1, k.arena);
        put_text(k.store, sm_arena_printf(k.arena, FOLDER "%s", orphan.data), "killed");
        for (int i = 0; i < 2; i++) {
            smi_flow_books b = read_books(&k);
            assert_true(b.chain.n_wholes <= 34);
            known.version = day * 2 + i;
            write_books(&k, &b, &page);
        }
        k.run.start_us += DAY_US - 2000000;
        const int64_t n = count_books(&k);
        assert_true(n == 1 + 3 * (day + 1) || (day >= 31 && n >= 3 * 31 && n <= 3 * 34 + 1));
    }
    sm_buf text = {0};
    assert_ok(sm_store_get(k.store, SM_STR("_smelt/another's.txt"), &text, &e), &e);
    sm_buf_release(&text);
    kit_release(&k);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void test_damage(void **state)
{
    static const struct {
        const char *text;
        sm_status want;
        int64_t line;
    } rows[] = {
        {NULL, SM_NOT_FOUND, 0},
        {"", SM_CORRUPT, 1},
        {"{}\n", SM_CORRUPT, 1},
        {"{\"format\":2,\"entries\":0,\"roots\":[]}\n", SM_CORRUPT, 1},
        {"{\"format\":1,\"entries\":1,\"roots\":[]}\n", SM_CORRUPT, 2},
        {"{\"format\":1,\"entries\":1,\"roots\":[]}\n{\"root\":0,\"path\":\"a\"}\n", SM_CORRUPT, 2},
        {"{\"format\":1,\"entries\":1,\"roots\":[{}]}\n{\"root\":0}\n", SM_CORRUPT, 2},
        {"{\"format\":1,\"entries\":1,\"roots\":[{}]}\n{\"root\":0,\"pa", SM_CORRUPT, 2},
        {"{\"format\":1,\"entries\":0,\"roots\":[],\"previous\":\"books-x.ndjson\"}\n", SM_CORRUPT,
         1},
        {"{\"format\":1,\"entries\":0,\"roots\":[],\"previous\":\"books-0000000000000007.ndjson\"}",
         SM_CORRUPT, 1}, /* itself */
        {"{\"format\":1,\"entries\":0,\"roots\":[],\"previous\":\"books-0000000000000006.ndjson\"}",
         SM_NOT_FOUND, 0},
        {"{\"format\":1,\"entries\":0,\"roots\":[]}\n", SM_OK, 0},
    };
    kit k;

    kit_init(&k, "damage");
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        smi_flow_books b = {.store = k.store};
        if (rows[i].text) {
            put_text(k.store, "_smelt/books-0000000000000007.ndjson", rows[i].text);
        }
        const sm_status st = smi_flow_books_read(&k.run, 7, &b, &e);
        if (st != rows[i].want || (st == SM_CORRUPT && e.line != rows[i].line)) {
            fail_msg("%s: %s, line %" PRId64, rows[i].text, sm_status_name(st), e.line);
        }
        if (st != SM_OK) {
            assert_non_null(strstr(e.object, "books-00000000000000"));
            assert_non_null(strstr(e.todo, "Without its books"));
        }
    }
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_chains_of_random_changes),
        cmocka_unit_test(test_what_growth_costs),
        cmocka_unit_test(test_cleaning),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
