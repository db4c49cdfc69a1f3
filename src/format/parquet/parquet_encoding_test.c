/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_encoding_test.c: encodings against bytes worked out by hand from
 * Encodings.md, and round trips of all widths; malformed data is refused. */
#include "test.h"

#include "format/parquet/parquet_int.h"

/* Decoders read up to 8 bytes behind the data: tests give them room. */
typedef struct padded {
    uint8_t bytes[65536 + SM_PAD_BYTES];
    size_t n;
} padded;

static padded buffer;

static const uint8_t *pad(const void *bytes, size_t n)
{
    assert_true(n <= 65536);
    if (n > 0) {
        memcpy(buffer.bytes, bytes, n);
    }
    memset(buffer.bytes + n, 0xA5, SM_PAD_BYTES);
    buffer.n = n;
    return buffer.bytes;
}

static void runs_are_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t n_bytes;
        int width;
        int64_t n;
        uint32_t want[16];
        bool ok;
    } cases[] = {
        /* 5 times 7 in one byte */
        {"\x0a\x07", 2, 3, 5, {7, 7, 7, 7, 7}, true},
        /* 0 to 7 in 3 bits each: the example of Encodings.md */
        {"\x03\x88\xc6\xfa", 4, 3, 8, {0, 1, 2, 3, 4, 5, 6, 7}, true},
        /* a run, then a packed group of which three are asked for */
        {"\x04\x01\x03\x05", 4, 1, 5, {1, 1, 1, 0, 1}, true},
        /* a value of 10 bits takes two bytes */
        {"\x04\xff\x03", 3, 10, 2, {1023, 1023}, true},
        /* width 0 needs no bytes */
        {"", 0, 0, 3, {0, 0, 0}, true},
        /* an empty run is passed over */
        {"\x00\x01\x02\x01", 4, 1, 1, {1}, true},
        /* the data ends */
        {"\x0a", 1, 3, 5, {0}, false},
        {"\x04\x01", 2, 1, 3, {0}, false},
        {"", 0, 1, 1, {0}, false},
        /* a value wider than its width */
        {"\x04\x02", 2, 1, 1, {0}, false},
        /* a head that never ends */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, 1, 1, {0}, false},
        /* a packed group cut after the values that are used */
        {"\x03\x88", 2, 3, 2, {0, 1}, true},
        {"\x03\x88", 2, 3, 3, {0}, false},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        smi_pq_runs r;
        uint32_t out[16] = {0};
        uint8_t small[16] = {0};
        const uint8_t *p = pad(cases[i].bytes, cases[i].n_bytes);
        smi_pq_runs_init(&r, p, p + cases[i].n_bytes, cases[i].width);
        assert_int_equal(smi_pq_runs_u32(&r, out, cases[i].n), cases[i].ok);
        for (int64_t k = 0; k < cases[i].n && cases[i].ok; k++) {
            assert_int_equal(out[k], cases[i].want[k]);
        }
        if (cases[i].width > 8) {
            continue;
        }
        smi_pq_runs_init(&r, p, p + cases[i].n_bytes, cases[i].width);
        assert_int_equal(smi_pq_runs_u8(&r, small, cases[i].n), cases[i].ok);
        for (int64_t k = 0; k < cases[i].n && cases[i].ok; k++) {
            assert_int_equal(small[k], (uint8_t)cases[i].want[k]);
        }
    }
}

static void old_packed_levels_are_read_from_the_top(void **state)
{
    /* Encodings.md, "Bit-packed (Deprecated)": 0 to 7 in 3 bits, most significant first. */
    smi_pq_runs r;
    uint8_t out[8];
    const uint8_t *p = pad("\x05\x39\x77", 3);
    smi_pq_runs_init(&r, p, p + 3, 3);
    r.is_msb = true;
    assert_true(smi_pq_runs_u8(&r, out, 8));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(out[i], i);
    }
    assert_false(smi_pq_runs_u8(&r, out, 1));
}

static void runs_come_back(void **state)
{
    static uint32_t v[3000], back[3000];
    for (int width = 1; width <= 32; width++) {
        for (int64_t n = 0; n <= 3000; n = n * 3 + 1) {
            sm_buf out = {0};
            smi_pq_runs r;
            for (int64_t i = 0; i < n; i++) {
                const uint64_t random = sm_mix64((uint64_t)(i / (1 + i % 29) + width));
                v[i] = (uint32_t)(random & ((1ull << width) - 1));
            }
            smi_pq_runs_write(v, n, width, &out);
            const uint8_t *p = pad(out.data, out.len);
            smi_pq_runs_init(&r, p, p + out.len, width);
            for (int64_t i = 0; i < n; i += 100) { /* in pieces, as batches take them */
                assert_true(smi_pq_runs_u32(&r, back + i, n - i < 100 ? n - i : 100));
            }
            assert_memory_equal(v, back, (size_t)n * sizeof(v[0]));
            sm_buf_release(&out);
        }
    }
}

static void bits_are_set_at_any_place(void **state)
{
    uint8_t v[700];
    for (int step = 1; step < 60; step += 7) {
        for (int64_t first = 0; first < 9; first++) {
            sm_buf out = {0};
            smi_pq_runs r;
            uint8_t bits[128] = {0};
            int64_t n_ones = 0, n_set = 0, total = 0;
            for (int i = 0; i < SM_COUNT(v); i++) {
                v[i] = (uint8_t)(i / step % 3 == 0 || (i % 200 > 150 && i % 2));
                n_ones += v[i];
            }
            smi_pq_runs_write_u8(v, SM_COUNT(v), 1, &out);
            const uint8_t *p = pad(out.data, out.len);
            smi_pq_runs_init(&r, p, p + out.len, 1);
            for (int64_t i = 0; i < SM_COUNT(v); i += 93) {
                const int64_t n = SM_COUNT(v) - i < 93 ? SM_COUNT(v) - i : 93;
                assert_true(smi_pq_runs_bits(&r, bits, first + i, n, &n_set));
                total += n_set;
            }
            assert_int_equal(total, n_ones);
            for (int64_t i = 0; i < SM_COUNT(v); i++) {
                assert_int_equal(sm_bit_get(bits, first + i), v[i]);
            }
            assert_false(sm_bit_get(bits, first + SM_COUNT(v)));
            sm_buf_release(&out);
        }
    }
}

static void deltas_are_read(void **state)
{
    /* Encodings.md, "Delta Encoding", example 1: 1, 2, 3, 4, 5 in a block of 8 values. Their
     * differences are all 1, so the width is 0. */
    static const int64_t rising[] = {1, 2, 3, 4, 5};
    /* Example 2: 7, 5, 3, 1, 2, 3, 4, 5 has differences -2 -2 -2 1 1 1 1, the least is -2, the
     * rest 0 0 0 3 3 3 3 in 2 bits each. */
    static const int64_t falling[] = {7, 5, 3, 1, 2, 3, 4, 5};
    static const struct {
        const char *bytes;
        size_t n_bytes;
        const int64_t *want;
        int64_t n;
    } cases[] = {
        {"\x08\x01\x05\x02\x02\x00", 6, rising, 5},
        {"\x08\x01\x08\x0e\x03\x02\xc0\x3f", 8, falling, 8},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const uint8_t *p = pad(cases[i].bytes, cases[i].n_bytes);
        smi_pq_delta d;
        int64_t out[8];
        int32_t narrow[8];
        assert_true(smi_pq_delta_init(&d, p, p + cases[i].n_bytes));
        assert_ptr_equal(smi_pq_delta_end(&d), p + cases[i].n_bytes);
        assert_true(smi_pq_delta_i64(&d, out, cases[i].n));
        assert_false(smi_pq_delta_i64(&d, out + 7, 1));
        assert_true(smi_pq_delta_init(&d, p, p + cases[i].n_bytes));
        assert_true(smi_pq_delta_i32(&d, narrow, cases[i].n));
        for (int64_t k = 0; k < cases[i].n; k++) {
            assert_int_equal(out[k], cases[i].want[k]);
            assert_int_equal(narrow[k], cases[i].want[k]);
        }
        /* Every cut is refused, at the start or when the values are asked for. */
        for (size_t cut = 0; cut < cases[i].n_bytes; cut++) {
            p = pad(cases[i].bytes, cut);
            assert_false(smi_pq_delta_init(&d, p, p + cut) &&
                         smi_pq_delta_i64(&d, out, cases[i].n));
        }
    }
}

static void malformed_deltas_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x00\x01\x05\x02", 4},                 /* a block of nothing */
        {"\x08\x00\x05\x02", 4},                 /* no miniblocks */
        {"\x0c\x05\x05\x02", 4},                 /* that do not divide it */
        {"\x04\x01\x05\x02", 4},                 /* of less than 8 values */
        {"\x08\x01\x05\x02\x02\x41\x00\x00", 8}, /* 65 bits */
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const uint8_t *p = pad(cases[i].bytes, cases[i].n);
        smi_pq_delta d;
        int64_t out[5];
        const bool begun = smi_pq_delta_init(&d, p, p + cases[i].n);
        assert_true(!begun || !smi_pq_delta_end(&d));
        assert_false(begun && smi_pq_delta_i64(&d, out, 5));
    }
}

static void deltas_come_back(void **state)
{
    static int64_t v[1000], back[1000];
    static int32_t v32[1000], back32[1000];
    for (int width = 0; width <= 64; width++) {
        for (int64_t n = 1; n <= 1000; n = n * 2 + 1) {
            sm_buf out = {0};
            smi_pq_delta d;
            for (int64_t i = 0; i < n; i++) {
                const uint64_t random = sm_mix64((uint64_t)(i * 67 + width + 1));
                v[i] = (int64_t)(width == 0 ? 5 : random >> (64 - width));
                v32[i] = (int32_t)v[i];
            }
            smi_pq_delta_write_i64(v, n, &out);
            const uint8_t *p = pad(out.data, out.len);
            assert_true(smi_pq_delta_init(&d, p, p + out.len));
            assert_ptr_equal(smi_pq_delta_end(&d), p + out.len);
            for (int64_t i = 0; i < n; i += 77) {
                assert_true(smi_pq_delta_i64(&d, back + i, n - i < 77 ? n - i : 77));
            }
            assert_memory_equal(v, back, (size_t)n * sizeof(v[0]));
            sm_buf_reset(&out);
            smi_pq_delta_write_i32(v32, n, &out);
            p = pad(out.data, out.len);
            assert_true(smi_pq_delta_init(&d, p, p + out.len));
            assert_true(smi_pq_delta_i32(&d, back32, n));
            assert_memory_equal(v32, back32, (size_t)n * sizeof(v32[0]));
            sm_buf_release(&out);
        }
    }
}

/* Long runs are looked at many values at a time: one of every length, at every place. */
static void runs_of_every_length_come_back(void **state)
{
    static uint32_t v[40000], back[40000];
    static uint8_t small[40000], small_back[40000];
    int64_t n = 0;
    for (int64_t run = 1; run <= 270; run++) {
        for (int64_t i = 0; i < run; i++, n++) {
            v[n] = small[n] = (uint8_t)(run % 3);
        }
    }
    assert_true(n <= SM_COUNT(v));
    for (int64_t first = 0; first < 300; first += 7) {
        sm_buf out = {0};
        smi_pq_runs r;
        smi_pq_runs_write(v + first, n - first, 2, &out);
        assert_true(out.len < 4096); /* 262 runs of 8 values and more */
        const uint8_t *p = pad(out.data, out.len);
        smi_pq_runs_init(&r, p, p + out.len, 2);
        assert_true(smi_pq_runs_u32(&r, back, n - first));
        assert_memory_equal(v + first, back, (size_t)(n - first) * sizeof(v[0]));
        sm_buf_reset(&out);
        smi_pq_runs_write_u8(small + first, n - first, 2, &out);
        p = pad(out.data, out.len);
        smi_pq_runs_init(&r, p, p + out.len, 2);
        assert_true(smi_pq_runs_u8(&r, small_back, n - first));
        assert_memory_equal(small + first, small_back, (size_t)(n - first));
        sm_buf_release(&out);
    }
}

/* A block of equal differences has no values in it, unless one of them is another. */
static void equal_differences_come_back(void **state)
{
    static int64_t v[300], back[300];
    static int32_t v32[300], back32[300];
    static const int64_t steps[] = {0, 1, -3, 1000000007, INT32_MAX, INT64_MIN, INT64_MAX};
    for (int s = 0; s < SM_COUNT(steps); s++) {
        for (int64_t odd = 0; odd <= SM_COUNT(v); odd++) { /* SM_COUNT(v): none is odd */
            sm_buf out = {0};
            smi_pq_delta d;
            for (int64_t i = 0; i < SM_COUNT(v); i++) {
                const uint64_t x = (uint64_t)steps[s] * (uint64_t)i + (i == odd ? 12345 : 0);
                v[i] = (int64_t)x;
                v32[i] = (int32_t)x;
            }
            smi_pq_delta_write_i64(v, SM_COUNT(v), &out);
            assert_true(odd < SM_COUNT(v) || out.len < 64);
            const uint8_t *p = pad(out.data, out.len);
            assert_true(smi_pq_delta_init(&d, p, p + out.len));
            assert_ptr_equal(smi_pq_delta_end(&d), p + out.len);
            for (int64_t i = 0; i < SM_COUNT(v); i += 60) {
                assert_true(smi_pq_delta_i64(&d, back + i, 60));
            }
            assert_memory_equal(v, back, sizeof(v));
            sm_buf_reset(&out);
            smi_pq_delta_write_i32(v32, SM_COUNT(v32), &out);
            p = pad(out.data, out.len);
            assert_true(smi_pq_delta_init(&d, p, p + out.len));
            assert_true(smi_pq_delta_i32(&d, back32, SM_COUNT(v32)));
            assert_memory_equal(v32, back32, sizeof(v32));
            sm_buf_release(&out);
        }
    }
}

static void thrift_is_read_and_bounded(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool ok;
    } cases[] = {
        {"\x15\x06\x00", 3, true},              /* 1: i32 3 */
        {"\x05\x02\x06\x00", 4, true},          /* the id in full */
        {"\x15\x06", 2, false},                 /* no stop */
        {"\x18\x05hallo\x00", 8, true},         /* 1: text */
        {"\x18\x06hallo\x00", 8, false},        /* longer than what is there: no stop left */
        {"\x18\xff\xff\xff\xff\x0f", 6, false}, /* 4 GiB of text */
        {"\x19\xf5\xff\xff\xff\xff\x0f\x00", 8, false}, /* 4 G integers */
        {"\x1f\x00", 2, false},                         /* no such type */
        {"\x1b\x00\x00", 3, true},                      /* an empty map */
        {"\x1b\x01\x55\x02\x04\x00", 6, true},          /* a map of one */
        {"\x19\x21\x01\x02\x00", 5, true},              /* booleans in a list are bytes */
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const uint8_t *p = pad(cases[i].bytes, cases[i].n);
        smi_thrift_in in = {.p = p, .end = p + cases[i].n};
        smi_thrift_skip(&in, SMI_T_STRUCT);
        assert_int_equal(!in.failed && in.p == in.end, cases[i].ok);
    }
    char deep[200];
    memset(deep, 0x1c, sizeof(deep)); /* a struct in a struct in … */
    smi_thrift_in in = {.p = pad(deep, sizeof(deep)), .end = buffer.bytes + sizeof(deep)};
    smi_thrift_skip(&in, SMI_T_STRUCT);
    assert_true(in.failed);
    assert_true(in.end - in.p > 100); /* it did not go to the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_read),
        cmocka_unit_test(old_packed_levels_are_read_from_the_top),
        cmocka_unit_test(runs_come_back),
        cmocka_unit_test(bits_are_set_at_any_place),
        cmocka_unit_test(deltas_are_read),
        cmocka_unit_test(malformed_deltas_are_refused),
        cmocka_unit_test(deltas_come_back),
        cmocka_unit_test(runs_of_every_length_come_back),
        cmocka_unit_test(equal_differences_come_back),
        cmocka_unit_test(thrift_is_read_and_bounded),
    };
    return cmocka_run_group_tests_name("parquet_encoding", tests, NULL, NULL);
}
