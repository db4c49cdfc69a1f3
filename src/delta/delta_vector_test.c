/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_vector_test.c: deletion vectors: their bytes, their places, and damage to each.
 * Scans of tables that have some are in tests/conformance and tests/peers. */
#include "test.h"

#include <sys/mman.h>

#include "base/hash.h"
#include "delta/delta_int.h"
#include "stores.h"

/* Rows 3 and 7 as an array: the head, one set with upper half 0. */
#define HEAD(n_sets) "\xd1\xd3\x39\x64" n_sets "\0\0\0\0\0\0\0"
#define ARRAY_3_7    "\x3a\x30\0\0\x01\0\0\0\0\0\x01\0\x10\0\0\0\x03\0\x07\0"
#define ARRAY_7_3    "\x3a\x30\0\0\x01\0\0\0\0\0\x01\0\x10\0\0\0\x07\0\x03\0"
#define UPPER(byte)  byte "\0\0\0"
#define VECTOR       HEAD("\x01") UPPER("\0") ARRAY_3_7
#define BYTES(text)  (const uint8_t *)(text), sizeof(text) - 1

/* ---- bytes ----------------------------------------------------------------------------------- */

static const struct {
    const uint8_t *bytes;
    size_t len;
    int64_t n_rows, n_deleted;
    const char *what; /* a part of the error; NULL: they are rows 3 and 7, or none */
} vectors[] = {
    {BYTES(VECTOR), 8, 2, NULL},
    {BYTES(HEAD("\0")), 8, 0, NULL},
    {BYTES(HEAD("\0")), 0, 0, NULL},
    {BYTES(VECTOR), 7, 2, "does not have"},
    {BYTES(VECTOR), 8, 1, "it deletes 2 rows, and the log says that it deletes 1"},
    {BYTES(VECTOR "\0"), 8, 2, "the log says"},
    {BYTES(HEAD("\x02") UPPER("\0") ARRAY_3_7), 8, 2, "cut off"},
    {BYTES(HEAD("\x02") UPPER("\0") ARRAY_3_7 UPPER("\0") ARRAY_3_7), 8, 4, "damaged"},
    {BYTES(HEAD("\x01") UPPER("\0") ARRAY_7_3), 8, 2, "damaged"},
    {BYTES(HEAD("\x01") UPPER("\x01") ARRAY_3_7), 8, 2, "does not have"},
    {BYTES("\xd2\xd3\x39\x64\0\0\0\0\0\0\0\0"), 8, 0, "begin"},
    {BYTES("\xd1\xd3\x39\x64\0\0\0"), 8, 0, "begin"},
};

static void test_bytes(void **state)
{
    for (int i = 0; i < SM_COUNT(vectors); i++) {
        sm_error e = {0};
        uint8_t bits[1] = {0};
        const sm_status st = smi_vector_decode(vectors[i].bytes, vectors[i].len, vectors[i].n_rows,
                                               vectors[i].n_deleted, bits, &e);
        if (!vectors[i].what) {
            assert_ok(st, &e);
            assert_int_equal(bits[0], vectors[i].n_deleted ? 0x88 : 0);
        } else {
            assert_status(st, SM_CORRUPT, &e);
            assert_non_null(strstr(e.what, vectors[i].what));
        }
    }
}

/* Rows beyond 2^32 are in the second set. Of the 512 MiB of bits only two pages are touched. */
static void test_two_sets(void **state)
{
    static const char bytes[] = HEAD("\x02") UPPER("\0") ARRAY_3_7 UPPER("\x01") ARRAY_3_7;
    const int64_t n_rows = ((int64_t)1 << 32) + 8;
    sm_error e = {0};
    uint8_t *bits = mmap(NULL, sm_bits_bytes(n_rows), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_true(bits != MAP_FAILED);
    assert_ok(smi_vector_decode(BYTES(bytes), n_rows, 4, bits, &e), &e);
    assert_int_equal(bits[0], 0x88);
    assert_int_equal(bits[(int64_t)1 << 29], 0x88);
    munmap(bits, sm_bits_bytes(n_rows));
}

/* ---- places ---------------------------------------------------------------------------------- */

#define UUID_TEXT "ab^-aqEH.-t@S}K{vb[*k^" /* of PROTOCOL.md, with the prefix "ab" */
#define UUID_KEY  "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
/* VECTOR in base 85 (Z85) */
#define INLINE_TEXT "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0@@Ma"

typedef struct fixture {
    sm_arena *arena;
    sm_budget *budget;
    sm_store *store;
    sm_snapshot snapshot;
} fixture;

static void set_up(fixture *f)
{
    sm_error e = {0};

    *f = (fixture){.arena = sm_arena_new(NULL)};
    f->budget = sm_budget_new(NULL, "test", 1 << 20);
    assert_ok(sm_store_open(test_stores, SM_STR("memory://delta_vector_test"), &f->store, &e), &e);
    f->snapshot = (sm_snapshot){
        .arena = f->arena, .store = f->store, .outside = smi_outsides_new(NULL), .version = 5};
}

static void tear_down(fixture *f)
{
    assert_int_equal(sm_budget_used(f->budget), 0);
    sm_budget_free(f->budget);
    smi_outsides_free(f->snapshot.outside);
    sm_store_release(f->store);
    sm_arena_free(f->arena);
}

/* Puts a file of vectors that has VECTOR at the offset `before`. */
static void put_vectors(const fixture *f, size_t before, char version, uint32_t crc_flip)
{
    const size_t n = sizeof(VECTOR) - 1;
    uint8_t bytes[200] = {(uint8_t)version};
    const uint32_t crc = sm_crc32(0, VECTOR, n) ^ crc_flip;
    sm_error e = {0};

    bytes[before + 3] = (uint8_t)n;
    memcpy(bytes + before + 4, VECTOR, n);
    for (int i = 0; i < 4; i++) {
        bytes[before + 4 + n + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    assert_ok(sm_store_put(f->store, SM_STR(UUID_KEY), bytes, before + n + 8, SM_PUT_REPLACE, &e),
              &e);
}

static sm_status read_vector(fixture *f, const sm_delta_dv *dv, uint8_t *bits, sm_error *e)
{
    const sm_delta_file file = {.path = SM_STR("x.parquet"), .n_rows = 8, .dv = dv};
    const sm_deletes *deletes = NULL;
    sm_block *out = NULL;

    SM_TRY(smi_vector_deletes(&f->snapshot, &file, f->arena, &deletes, e));
    SM_TRY(deletes->read(deletes, 8, f->budget, &out, e));
    *bits = out->data[0];
    sm_block_release(out);
    return SM_OK;
}

static const struct {
    const char *type, *place;
    int64_t offset, size, cardinality;
    sm_status status;
    const char *what;
} places[] = {
    {"u", UUID_TEXT, 1, 36, 2, SM_OK, NULL},
    {"u", UUID_TEXT, -1, 36, 2, SM_OK, NULL},
    {"p", "memory://delta_vector_test/" UUID_KEY, 1, 36, 2, SM_OK, NULL},
    {"i", INLINE_TEXT, -1, 36, 2, SM_OK, NULL},
    {"u", UUID_TEXT, 0, 36, 2, SM_CORRUPT, "are not in a file"},
    {"u", UUID_TEXT, 2, 36, 2, SM_CORRUPT, "are not in a file"},
    {"u", UUID_TEXT, INT64_MAX, 36, 2, SM_CORRUPT, "are not in a file"},
    {"u", UUID_TEXT, 1, 35, 2, SM_CORRUPT, "the log 35"},
    {"u", UUID_TEXT, 1, 37, 2, SM_CORRUPT, "are not in a file"},
    {"u", UUID_TEXT, 1, -1, 2, SM_CORRUPT, "it has -1 bytes"},
    {"u", UUID_TEXT, 1, 11, 2, SM_CORRUPT, "it has 11 bytes"},
    {"u", UUID_TEXT, 1, 36, 9, SM_CORRUPT, "it deletes 9 of 8 rows"},
    {"u", UUID_TEXT, 1, 36, -1, SM_CORRUPT, "it deletes -1 of 8 rows"},
    {"u", UUID_TEXT, 1, 36, 3, SM_CORRUPT, "the log says that it deletes 3"},
    {"u", "^-aqEH.-t@S}K{vb[*k^", 1, 36, 2, SM_NOT_FOUND, ""},
    {"u", "short", 1, 36, 2, SM_CORRUPT, "names no file"},
    {"u", "^-aqEH.-t@S}K{vb[*k~", 1, 36, 2, SM_CORRUPT, "names no file"},
    {"u", "####################", 1, 36, 2, SM_CORRUPT, "names no file"},
    {"u", "..^-aqEH.-t@S}K{vb[*k^", 1, 36, 2, SM_CORRUPT, "leaves the table's folder"},
    {"p", "memory://delta_vector_test/../x.bin", 1, 36, 2, SM_CORRUPT, "has a part"},
    {"p", "memory://delta_vector_test/%2e%2e/x.bin", 1, 36, 2, SM_CORRUPT, "has a part"},
    {"p", "memory://delta_vector_tester/x.bin", 1, 36, 2, SM_NOT_FOUND, ""},
    {"p", "/x.bin", 1, 36, 2, SM_UNSUPPORTED, "outside the table"},
    {"p", "s3://b/x.bin", 1, 36, 2, SM_UNSUPPORTED, "outside the table"},
    {"i", INLINE_TEXT, -1, 37, 2, SM_CORRUPT, "in the log, which says"},
    {"i", INLINE_TEXT, -1, 32, 2, SM_CORRUPT, "in the log, which says"},
    {"i", "~~~~~~~~~~~~~~~", -1, 12, 0, SM_CORRUPT, "not base 85"},
    {"x", "", -1, 36, 2, SM_UNSUPPORTED, "storage type \"x\""},
};

static void test_places(void **state)
{
    fixture f;
    set_up(&f);

    put_vectors(&f, 1, 1, 0);
    for (int i = 0; i < SM_COUNT(places); i++) {
        const sm_delta_dv dv = {.storage_type = sm_str_of(places[i].type),
                                .path_or_inline = sm_str_of(places[i].place),
                                .offset = places[i].offset,
                                .size_bytes = places[i].size,
                                .cardinality = places[i].cardinality};
        sm_error e = {0};
        uint8_t bits = 0;
        const sm_status st = read_vector(&f, &dv, &bits, &e);
        if (places[i].status == SM_OK) {
            assert_ok(st, &e);
            assert_int_equal(bits, 0x88);
            continue;
        }
        assert_status(st, places[i].status, &e);
        assert_non_null(strstr(e.what, places[i].what));
        assert_string_equal(e.frame[e.frames - 1],
                            "deletion vector of file \"x.parquet\" in version 5");
    }
    tear_down(&f);
}

static const struct {
    size_t before;
    char version;
    uint32_t crc_flip;
    sm_status status;
    const char *what;
} files[] = {
    {99, 1, 0, SM_OK, NULL},
    {1, 2, 0, SM_UNSUPPORTED, "version 2"},
    {1, 1, 1, SM_CORRUPT, "checksum"},
};

static void test_files(void **state)
{
    fixture f;
    set_up(&f);

    for (int i = 0; i < SM_COUNT(files); i++) {
        const sm_delta_dv dv = {.storage_type = SM_STR("u"),
                                .path_or_inline = SM_STR(UUID_TEXT),
                                .offset = (int64_t)files[i].before,
                                .size_bytes = 36,
                                .cardinality = 2};
        sm_error e = {0};
        uint8_t bits = 0;
        put_vectors(&f, files[i].before, files[i].version, files[i].crc_flip);
        assert_status(read_vector(&f, &dv, &bits, &e), files[i].status, &e);
        assert_int_equal(bits, files[i].what ? 0 : 0x88);
        assert_true(!files[i].what || strstr(e.what, files[i].what));
    }
    tear_down(&f);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void test_encode(void **state)
{
    static const uint8_t bits[1] = {0x88};
    sm_buf out = {0};
    sm_error e = {0};

    assert_ok(sm_delta_vector_encode(bits, 8, &out, &e), &e);
    assert_int_equal(out.len, sizeof(VECTOR) - 1);
    assert_memory_equal(out.data, VECTOR, out.len);
    sm_buf_release(&out);
}

/* Without room for the work nothing is taken. */
static void test_encode_without_budget(void **state)
{
    static const uint8_t bits[4096] = {0x88};
    sm_budget *budget = sm_budget_new(NULL, "test", 4096);
    sm_buf out = {.budget = budget};
    sm_error e = {0};

    assert_status(sm_delta_vector_encode(bits, 32768, &out, &e), SM_BUDGET, &e);
    sm_buf_release(&out);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
}

/* Every second row of 16,384: too large for the log. */
static void encode_large(sm_buf *out)
{
    uint8_t bits[2048];
    sm_error e = {0};

    memset(bits, 0x55, sizeof(bits));
    assert_ok(sm_delta_vector_encode(bits, 16384, out, &e), &e);
    assert_true(out->len > 8192);
}

/* Is that vector, in its frame, at the offset of the file? */
static void assert_frame(const sm_buf *file, const sm_buf *bytes, int64_t offset)
{
    const uint8_t *at = file->data + offset;
    const uint32_t crc = sm_crc32(0, bytes->data, bytes->len);
    const size_t end = 4 + bytes->len;

    assert_true(offset + (int64_t)bytes->len + 8 <= (int64_t)file->len);
    assert_int_equal(at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3], bytes->len);
    assert_memory_equal(at + 4, bytes->data, bytes->len);
    assert_int_equal(at[end], crc >> 24);
    assert_int_equal(at[end + 3], crc & 0xff);
}

/* A small vector goes into the log, two large ones into one file, byte by byte as the protocol
 * says. */
static void test_writer(void **state)
{
    fixture f;
    sm_buf small = {0}, large = {0}, file = {0};
    const sm_delta_dv *dv[3];
    sm_error e = {0};

    set_up(&f);
    assert_ok(sm_delta_vector_encode((const uint8_t[]){0x88}, 8, &small, &e), &e);
    encode_large(&large);
    sm_delta_vectors *v = sm_delta_vectors_new(f.store, f.budget, f.arena);
    assert_ok(sm_delta_vectors_put(v, &small, 2, &dv[0], &e), &e);
    assert_int_equal(sm_delta_vectors_key(v).len, 0);
    assert_ok(sm_delta_vectors_put(v, &large, 8192, &dv[1], &e), &e);
    assert_ok(sm_delta_vectors_put(v, &large, 8192, &dv[2], &e), &e);
    assert_ok(sm_delta_vectors_finish(v, &e), &e);
    assert_true(sm_str_is(dv[0]->storage_type, "i") && dv[0]->offset == -1);
    assert_true(sm_str_is(dv[0]->path_or_inline, INLINE_TEXT));
    assert_true(sm_str_is(dv[1]->storage_type, "u") && dv[1]->offset == 1);
    assert_true(sm_str_eq(dv[1]->path_or_inline, dv[2]->path_or_inline));
    assert_int_equal(dv[1]->path_or_inline.len, 20);
    assert_int_equal(dv[2]->offset, 1 + 8 + large.len);
    assert_int_equal(dv[2]->size_bytes, large.len);
    assert_ok(sm_store_get(f.store, sm_delta_vectors_key(v), &file, &e), &e);
    assert_int_equal(file.data[0], 1);
    assert_frame(&file, &large, dv[1]->offset);
    assert_frame(&file, &large, dv[2]->offset);
    assert_int_equal(file.len, dv[2]->offset + (int64_t)large.len + 8);
    assert_ok(sm_store_delete(f.store, sm_delta_vectors_key(v), &e), &e);
    sm_delta_vectors_close(v);
    sm_buf_release(&file);
    sm_buf_release(&large);
    sm_buf_release(&small);
    tear_down(&f);
}

/* Who gives up leaves no file. */
static void test_given_up(void **state)
{
    fixture f;
    sm_buf large = {0}, file = {0};
    const sm_delta_dv *dv = NULL;
    sm_error e = {0};

    set_up(&f);
    encode_large(&large);
    sm_delta_vectors *v = sm_delta_vectors_new(f.store, f.budget, f.arena);
    assert_ok(sm_delta_vectors_put(v, &large, 8192, &dv, &e), &e);
    sm_delta_vectors_close(v);
    assert_status(sm_store_get(f.store, sm_delta_vectors_key(v), &file, &e), SM_NOT_FOUND, &e);
    sm_buf_release(&large);
    sm_buf_release(&file);
    tear_down(&f);
}

static void test_statistics(void **state)
{
    static const struct {
        const char *before, *after;
    } rows[] = {
        {"{\"numRecords\":3}", "{\"numRecords\":3,\"tightBounds\":false}"},
        {"{\"minValues\":{\"tightBounds\":1},\"tightBounds\":true,\"numRecords\":3}",
         "{\"numRecords\":3,\"minValues\":{\"tightBounds\":1},\"tightBounds\":false}"},
        {"{\"numRecords\":3,\"more\":[null,true,\"a\\n\"],\"x\":null,\"y\":\"\\u0041\"}",
         "{\"numRecords\":3,\"more\":[null,true,\"a\\n\"],\"x\":null,\"y\":\"A\","
         "\"tightBounds\":false}"},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_str out = smi_stats_loosen(sm_str_of(rows[i].before), a);
        assert_string_equal(sm_arena_str(a, out).data, rows[i].after);
    }
    sm_arena_free(a);
}

/* ---- counts ---------------------------------------------------------------------------------- */

static void test_rows_of_a_file(void **state)
{
    static const struct {
        int64_t n_rows, n_deleted, want;
    } rows[] = {{8, 2, 6}, {8, 8, 0}, {8, 9, -1}, {8, -1, -1}, {-1, 2, -1}};

    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_delta_dv dv = {.cardinality = rows[i].n_deleted};
        const sm_delta_file f = {.n_rows = rows[i].n_rows, .dv = &dv};
        assert_int_equal(sm_delta_file_rows(&f), rows[i].want);
    }
    assert_int_equal(sm_delta_file_rows(&(sm_delta_file){.n_rows = 8}), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_two_sets),
        cmocka_unit_test(test_places),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_encode),     cmocka_unit_test(test_encode_without_budget),
        cmocka_unit_test(test_writer),     cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_rows_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
