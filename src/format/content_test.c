/* SPDX-License-Identifier: Apache-2.0
 *
 * format/content_test.c: what contents are known by: the same whole, compressed, in two members and
 * cut anywhere; what ends too early; beginnings. */
#include "packed.h"
#include "scratch.h"

#include "format/format.h"

#define MOST_BYTES ((size_t)3 << 20)

typedef enum packing { PLAIN, GZIP, TWO_GZIP, ZSTD, TWO_ZSTD, N_PACKINGS } packing;

static const char *const names[N_PACKINGS] = {"x.json", "x.json.gz", "y.json.gz", "x.json.zst",
                                              "y.json.zst"};
static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, MOST_BYTES};

typedef struct kit {
    scratch at;
    sm_store *store;
    sm_budget *budget;
    uint8_t *bytes;
} kit;

static kit kit_new(void)
{
    kit k = {.at = scratch_new(), .budget = sm_budget_new(NULL, "test", 0)};
    k.store = open_scratch(&k.at);
    k.bytes = sm_alloc(MOST_BYTES);
    for (size_t i = 0; i < MOST_BYTES; i++) {
        k.bytes[i] = (uint8_t)sm_mix64(i);
    }
    k.bytes[0] = 'x';
    return k;
}

static void kit_free(kit *k)
{
    sm_free(k->bytes);
    sm_store_release(k->store);
    assert_int_equal(sm_budget_used(k->budget), 0);
    sm_budget_free(k->budget);
    scratch_free(&k->at);
}

static sm_blob *put(const kit *k, packing how, const void *bytes, size_t n, size_t cut)
{
    sm_error e = {0};
    sm_blob *b = NULL;
    sm_buf out = {0};
    void (*add)(sm_buf *, const void *, size_t) =
        how == GZIP || how == TWO_GZIP ? add_gzip : add_zstd;
    const sm_str key = sm_str_of(names[how]);

    if (how == PLAIN) {
        assert_ok(sm_buf_add(&out, bytes, n, &e), &e);
    } else if (how == GZIP || how == ZSTD) {
        add(&out, bytes, n);
    } else {
        add(&out, bytes, n / 3);
        add(&out, (const uint8_t *)bytes + n / 3, n - n / 3);
    }
    assert_ok(sm_store_put(k->store, key, out.data, out.len - cut, SM_PUT_REPLACE, &e), &e);
    assert_ok(sm_blob_open(k->store, key, &b, &e), &e);
    sm_buf_release(&out);
    return b;
}

/* Written by hand: by its definition in hash.h. */
static sm_hash128 hash_of(const uint8_t *bytes, size_t n)
{
    sm_hash128 sum = {0};
    for (size_t at = 0; at < n; at += SM_FILE_HASH_CHUNK) {
        const size_t len = n - at < SM_FILE_HASH_CHUNK ? n - at : SM_FILE_HASH_CHUNK;
        sum = sm_file_hash_add(sum, sm_hash128_of(bytes + at, len, at / SM_FILE_HASH_CHUNK));
    }
    return sum;
}

static void assert_hash(sm_hash128 got, sm_hash128 want)
{
    assert_true(got.low == want.low && got.high == want.high);
}

static void test_read(void **state)
{
    kit k = kit_new();

    for (int how = 0; how < N_PACKINGS; how++) {
        for (int i = 0; i < SM_COUNT(sizes); i++) {
            sm_error e = {0};
            sm_content got = {0};
            bool is_whole = false;
            uint8_t head[SM_CONTENT_HEAD_BYTES];
            size_t n_head = 0;
            const size_t n = sizes[i];
            const size_t want_head = n < sizeof(head) ? n : sizeof(head);
            sm_blob *b = put(&k, (packing)how, k.bytes, n, 0);
            assert_ok(sm_content_read(&(sm_content_source){b, k.budget, NULL}, &got, &is_whole, &e),
                      &e);
            assert_true(is_whole);
            assert_int_equal(got.bytes, n);
            assert_hash(got.hash, hash_of(k.bytes, n));
            assert_int_equal(got.head, sm_hash64(k.bytes, want_head));
            assert_int_equal(got.has_lines, n > 0);
            assert_ok(sm_content_head(&(sm_content_source){b, k.budget, NULL}, head, &n_head, &e),
                      &e);
            assert_int_equal(n_head, want_head);
            assert_memory_equal(head, k.bytes, n_head);
            sm_blob_close(b);
        }
    }
    kit_free(&k);
}

static void test_prefixes(void **state)
{
    static const int64_t lens[] = {1, 5, 4096, 65536, 65537, 131072, 1048576, 2000000, 2000001};
    kit k = kit_new();

    for (int how = 0; how < N_PACKINGS; how++) {
        sm_error e = {0};
        sm_hash128 got[SM_COUNT(lens)];
        sm_blob *b = put(&k, (packing)how, k.bytes, 2000000, 0);
        assert_ok(sm_content_prefixes(&(sm_content_source){b, k.budget, NULL}, lens, SM_COUNT(lens),
                                      got, &e),
                  &e);
        for (int i = 0; i < SM_COUNT(lens) - 1; i++) {
            assert_hash(got[i], hash_of(k.bytes, (size_t)lens[i]));
        }
        assert_hash(got[SM_COUNT(lens) - 1], (sm_hash128){0}); /* it is not so long */
        sm_blob_close(b);
    }
    kit_free(&k);
}

static void test_unfinished(void **state)
{
    static const struct {
        packing how;
        size_t n, cut;
        bool is_whole;
    } rows[] = {
        {GZIP, 100000, 1, false},     {GZIP, 100000, 8, false},      {GZIP, 100000, 50000, false},
        {GZIP, 0, 10, false},         {TWO_GZIP, 100000, 4, false},  {ZSTD, 100000, 1, false},
        {ZSTD, 100000, 60000, false}, {TWO_ZSTD, 100000, 30, false}, {PLAIN, 100, 50, true},
    };
    kit k = kit_new();

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_content got = {0};
        bool is_whole = !rows[i].is_whole;
        sm_blob *b = put(&k, rows[i].how, k.bytes, rows[i].n, rows[i].cut);
        assert_ok(sm_content_read(&(sm_content_source){b, k.budget, NULL}, &got, &is_whole, &e),
                  &e);
        assert_int_equal(is_whole, rows[i].is_whole);
        assert_true(got.bytes <= (int64_t)rows[i].n);
        sm_blob_close(b);
    }
    /* Not even a byte: made a moment ago. Damaged: an error with its place. */
    sm_error e = {0};
    sm_content got = {0};
    bool is_whole = true;
    sm_blob *b = NULL;
    put_text(k.store, "z.json.gz", "");
    assert_ok(sm_blob_open(k.store, SM_STR("z.json.gz"), &b, &e), &e);
    assert_ok(sm_content_read(&(sm_content_source){b, k.budget, NULL}, &got, &is_whole, &e), &e);
    assert_false(is_whole);
    sm_blob_close(b);
    put_text(k.store, "z.json.gz", "no gzip");
    assert_ok(sm_blob_open(k.store, SM_STR("z.json.gz"), &b, &e), &e);
    assert_status(sm_content_read(&(sm_content_source){b, k.budget, NULL}, &got, &is_whole, &e),
                  SM_CORRUPT, &e);
    assert_non_null(strstr(e.object, "z.json.gz"));
    sm_blob_close(b);
    kit_free(&k);
}

/* Whatever is asked of it ends at once when the work was given up. */
static void test_interrupted(void **state)
{
    kit k = kit_new();
    sm_cancel cancel = {0};

    sm_cancel_set(&cancel);
    for (int how = 0; how < N_PACKINGS; how++) {
        sm_error e = {0};
        sm_content got = {0};
        bool is_whole = false;
        uint8_t head[SM_CONTENT_HEAD_BYTES];
        size_t n = 0;
        const int64_t len = 5;
        sm_hash128 hash;
        const sm_content_source from = {put(&k, (packing)how, k.bytes, MOST_BYTES, 0), k.budget,
                                        &cancel};
        assert_status(sm_content_read(&from, &got, &is_whole, &e), SM_INTERRUPTED, &e);
        assert_status(sm_content_head(&from, head, &n, &e), SM_INTERRUPTED, &e);
        assert_status(sm_content_prefixes(&from, &len, 1, &hash, &e), SM_INTERRUPTED, &e);
        sm_blob_close(from.blob);
    }
    kit_free(&k);
}

static void test_cuts(void **state)
{
    kit k = kit_new();
    sm_content_sum *sum = sm_content_sum_new();
    uint64_t random = 7;

    for (int round = 0; round < 20; round++) {
        const size_t n = 200000;
        sm_content_sum_reset(sum);
        for (size_t at = 0; at < n;) {
            random = sm_mix64(random + 1);
            const size_t most = round % 2 ? 70000 : 3000;
            const size_t len = n - at < random % most ? n - at : random % most;
            sm_content_sum_add(sum, k.bytes + at, len);
            at += len;
        }
        const sm_content got = sm_content_sum_get(sum);
        assert_hash(got.hash, hash_of(k.bytes, n));
        assert_int_equal(got.head, sm_hash64(k.bytes, SM_CONTENT_HEAD_BYTES));
    }
    sm_content_sum_free(sum);
    kit_free(&k);
}

/* What blank lines are made of, and a byte-order mark at the start, are no lines. */
static void test_lines(void **state)
{
    static const struct {
        const char *text;
        bool has_lines;
    } rows[] = {
        {"", false},
        {"\n", false},
        {" \t\r\n\n", false},
        {"\n\nx", true},
        {"\xef\xbb\xbf", false},
        {"\xef\xbb\xbf\n", false},
        {"\n\xef\xbb\xbf", true},
        {"{}", true},
    };

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_content_sum *whole = sm_content_sum_new(), *cut = sm_content_sum_new();
        const size_t n = strlen(rows[i].text);
        sm_content_sum_add(whole, rows[i].text, n);
        for (size_t at = 0; at < n; at++) {
            sm_content_sum_add(cut, rows[i].text + at, 1);
        }
        assert_int_equal(sm_content_sum_get(whole).has_lines, rows[i].has_lines);
        assert_int_equal(sm_content_sum_get(cut).has_lines, rows[i].has_lines);
        sm_content_sum_free(whole);
        sm_content_sum_free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_unfinished),  cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_interrupted), cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
