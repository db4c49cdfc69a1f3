/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_lines_test.c: the same lines however a file is cut, fed or compressed; long ones,
 * blank ones; damaged and hostile compressed files; memory. Read through the JSON format. */
#include "json_read.h"
#include "packed.h"

#include <stdlib.h>

#include "format/text_int.h"
#include "test.h"

#define SCHEMA "STRUCT(a BIGINT, s VARCHAR)"

static void assert_same_text(const sm_buf *got, const sm_buf *want, const char *what, uint64_t at)
{
    if (got->len != want->len || (got->len > 0 && memcmp(got->data, want->data, got->len) != 0)) {
        fail_msg("%s, at %" PRIu64 ": got\n%.*s\nwant\n%.*s", what, at, (int)got->len, got->data,
                 (int)want->len, want->data);
    }
}

static void assert_same(const json_result *got, const json_result *want, const char *what,
                        uint64_t at)
{
    assert_same_text(&got->rows, &want->rows, what, at);
    assert_same_text(&got->refused, &want->refused, what, at);
    assert_memory_equal(&got->counts, &want->counts, sizeof(got->counts));
    assert_int_equal(got->n_unknown, want->n_unknown);
    for (int i = 0; i < want->n_unknown; i++) {
        assert_string_equal(got->unknown[i].path, want->unknown[i].path);
        assert_int_equal(got->unknown[i].lines, want->unknown[i].lines);
    }
}

static void read_well(const json_read *how, const void *bytes, size_t n, json_result *r)
{
    sm_error e = {0};
    assert_ok(json_read_bytes(how, bytes, n, r, &e), &e);
}

/* ---- cuts ------------------------------------------------------------------------------------ */

static void every_cut_gives_the_same(void **state)
{
    static const char *const files[] = {
        ("{\"a\":1}\n{\"a\":2,\"s\":\"a string of many bytes\"}\n\n{\"a\":x}\r\n "
         "\t\n{\"a\":\"3\",\"n\":1}\n"),
        "{\"a\":1}\n{\"a\":2}",
        "\xef\xbb\xbf{\"a\":1}\n{\"a\":1e99}\n",
        "\xef\xbb\xbf\n\n\n",
        "\n",
        "\n\n{\"s\":\"\xe2\x82\xac and more, \\n and more\"}\n\n",
        "{\"a\":1",
        "  ",
    };
    static const size_t beyonds[] = {0, 1, 7, 4096};
    for (int f = 0; f < SM_COUNT(files); f++) {
        const size_t n = strlen(files[f]);
        json_result whole;
        json_read how = {.schema = SCHEMA, .counts_unknown = true};
        read_well(&how, files[f], n, &whole);
        for (int b = 0; b < SM_COUNT(beyonds); b++) {
            how.beyond = beyonds[b];
            for (how.cut = 1; how.cut < n; how.cut++) {
                json_result cut;
                read_well(&how, files[f], n, &cut);
                assert_same(&cut, &whole, files[f], how.cut);
                json_result_release(&cut);
            }
        }
        json_result_release(&whole);
    }
}

/* A file over many planned morsels, with lines of all lengths up to several morsels. */
static void planned_morsels_give_the_same(void **state)
{
    sm_buf text = {0};
    json_result whole, cut;
    const json_read as_one = {.schema = SCHEMA, .morsel_bytes = 1 << 30};
    const json_read as_many = {.schema = SCHEMA, .morsel_bytes = SM_FILE_HASH_CHUNK};
    for (int i = 0; i < 3000; i++) {
        const int pad = i % 500 == 499 ? 200000 : i * 37 % 300;
        sm_buf_printf(&text, i % 97 == 0 ? "{\"a\":%d,\"s\":%*s}\n" : "{\"a\":%d,\"s\":\"%*s\"}\n",
                      i, pad, "x");
    }
    read_well(&as_one, text.data, text.len, &whole);
    assert_int_equal(whole.counts.lines, 3000);
    assert_int_equal(whole.counts.refused, 31);
    assert_int_equal(whole.n_fed, 0);
    read_well(&as_many, text.data, text.len, &cut);
    assert_true(cut.n_fed > 5);
    assert_same(&cut, &whole, "many morsels", 0);
    json_result_release(&cut);
    json_result_release(&whole);
    sm_buf_release(&text);
}

/* What a plan says of a file: own ranges meet, all bytes are someone's. */
static void plans_cover_the_file(void **state)
{
    static const struct {
        uint64_t size;
        smi_codec_kind codec;
        int64_t n_morsels;
        uint64_t last_from, last_len; /* of the last morsel's range */
    } plans[] = {
        {0, SMI_CODEC_NONE, 1, 0, 0},
        {1, SMI_CODEC_NONE, 1, 0, 1},
        {1048576, SMI_CODEC_NONE, 1, 0, 1048576},
        {1048577, SMI_CODEC_NONE, 2, 1048575, 2},
        {5000000, SMI_CODEC_NONE, 5, 4194303, 805697},
        {5000000, SMI_CODEC_GZIP, 1, 0, 1048576},
        {10, SMI_CODEC_ZSTD, 1, 0, 10},
    };
    for (int i = 0; i < SM_COUNT(plans); i++) {
        const smi_text_file f = {
            .uri = SM_STR("f"),
            .size_bytes = plans[i].size,
            .codec = plans[i].codec,
            .morsel_bytes = 1 << 20,
        };
        sm_arena *a = sm_arena_new(NULL);
        sm_morsel *m = NULL;
        sm_error e = {0};
        int64_t n = 0;
        uint64_t at = 0;
        assert_ok(smi_text_plan(&f, 3, a, &m, &n, &e), &e);
        assert_int_equal(n, plans[i].n_morsels);
        for (int64_t k = 0; k < n; k++) {
            assert_int_equal(m[k].file, 3);
            assert_int_equal(m[k].in_file, k);
            assert_int_equal(m[k].is_last, k + 1 == n);
            assert_int_equal(m[k].own.off_bytes, at);
            assert_int_equal(m[k].n_ranges, plans[i].size > 0);
            at += m[k].own.len;
        }
        assert_int_equal(at, plans[i].size);
        assert_int_equal(m[n - 1].ranges[0].off_bytes, plans[i].last_from);
        assert_int_equal(m[n - 1].ranges[0].len, plans[i].last_len);
        if (n > 1) {
            assert_int_equal(m[0].ranges[0].len, 1048576 + (n == 2 ? 1 : 4096));
        }
        sm_arena_free(a);
    }
}

/* ---- long lines ------------------------------------------------------------------------------ */

/* {"s":"xxx…"} of n bytes in all, then a line of its own. */
static uint8_t *long_file(size_t n, char fill, const char *end, size_t *size)
{
    static const char after[] = "\n{\"a\":7}\n";
    uint8_t *text = sm_alloc(n + sizeof(after));
    memset(text, fill, n);
    if (fill != ' ') {
        memcpy(text, "{\"s\":\"", 6);
        memcpy(text + n - strlen(end), end, strlen(end));
    }
    memcpy(text + n, after, sizeof(after) - 1);
    *size = n + sizeof(after) - 1;
    return text;
}

static void long_lines_are_kept_to_the_limit(void **state)
{
    static const struct {
        size_t n;
        char fill;
        const char *end;
        int64_t rows, refused, blank;
    } lines[] = {
        {SMI_LINE_MAX_BYTES, 'x', "\"}", 2, 0, 0},
        {SMI_LINE_MAX_BYTES, 'x', "\"}\r", 2, 0, 0},
        {SMI_LINE_MAX_BYTES + 1, 'x', "\"}", 1, 1, 0},
        {SMI_LINE_MAX_BYTES + 1, 'x', "\"}\r", 1, 1, 0},
        {SMI_LINE_MAX_BYTES + 5000000, 'x', "\"}", 1, 1, 0},
        {SMI_LINE_MAX_BYTES + 5000000, ' ', "", 1, 0, 1},
    };
    for (int i = 0; i < SM_COUNT(lines); i++) {
        static const int32_t only_a[] = {0};
        static const size_t morsels[] = {1 << 20, 1 << 26};
        size_t size = 0;
        uint8_t *text = long_file(lines[i].n, lines[i].fill, lines[i].end, &size);
        for (int k = 0; k < SM_COUNT(morsels); k++) {
            const json_read how = {
                .schema = SCHEMA,
                .is_terse = true,
                .columns = only_a,
                .n_columns = 1,
                .morsel_bytes = morsels[k],
            };
            json_result r;
            read_well(&how, text, size, &r);
            assert_int_equal(r.counts.rows, lines[i].rows);
            assert_int_equal(r.counts.refused, lines[i].refused);
            assert_int_equal(r.counts.blank, lines[i].blank);
            assert_int_equal(r.counts.lines, 2);
            if (lines[i].refused > 0) {
                char want[80];
                snprintf(want, sizeof(want), "1@0 too_long - [65536 of %zu]\n", lines[i].n);
                assert_int_equal(r.refused.len, strlen(want));
                assert_memory_equal(r.refused.data, want, r.refused.len);
            }
            if (k == 0) { /* of one byte or a thousand times the limit: never more than this */
                assert_true(r.most_bytes < 5 * SMI_LINE_MAX_BYTES / 2);
            }
            json_result_release(&r);
        }
        sm_free(text);
    }
}

/* Long lines end a batch early, so that they cannot pile up. */
static void batches_end_by_bytes(void **state)
{
    const json_read how = {.schema = SCHEMA};
    sm_buf text = {0};
    json_result r;
    for (int i = 0; i < 20; i++) {
        sm_buf_printf(&text, "{\"s\":\"%*d\"}\n", 1 << 20, i);
    }
    read_well(&how, text.data, text.len, &r);
    assert_int_equal(r.counts.rows, 20);
    assert_true(r.n_batches >= 5);
    assert_true(r.most_bytes < 16 << 20);
    json_result_release(&r);
    sm_buf_reset(&text);

    for (int i = 0; i < 10000; i++) {
        sm_buf_printf(&text, i % 2 == 0 ? "{}\n" : "{\n");
    }
    read_well(&how, text.data, text.len, &r);
    assert_int_equal(r.counts.rows, 5000);
    assert_int_equal(r.counts.refused, 5000);
    assert_int_equal(r.n_batches, 2);
    json_result_release(&r);
    sm_buf_release(&text);
}

/* ---- compressed files ------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*add)(sm_buf *out, const void *bytes, size_t n);
} codecs[] = {{"lines.json.gz", add_gzip}, {"lines.json.zst", add_zstd}};

/* Text that does not compress well, so that the file takes several feeds. */
static void random_lines(sm_buf *out, int n)
{
    uint64_t seed = 42;
    for (int i = 0; i < n; i++) {
        seed = sm_mix64(seed + 1);
        sm_buf_printf(out,
                      i % 1000 == 7 ? "\n" : "{\"a\":%d,\"s\":\"%016" PRIx64 "%016" PRIx64 "\"}\n",
                      i, seed, sm_mix64(seed));
    }
}

static void compressed_files_give_the_same(void **state)
{
    sm_buf text = {0};
    random_lines(&text, 60000);
    json_result plain;
    json_read how = {.schema = SCHEMA};
    read_well(&how, text.data, text.len, &plain);
    for (int i = 0; i < SM_COUNT(codecs); i++) {
        sm_buf file = {0};
        json_result r;
        how.name = codecs[i].name;
        codecs[i].add(&file, text.data, text.len);
        read_well(&how, file.data, file.len, &r);
        assert_same(&r, &plain, how.name, 0);
        assert_true(r.n_fed >= 1); /* more than one range */
        json_result_release(&r);

        sm_buf_reset(&file); /* members that cut lines, an empty one among them */
        codecs[i].add(&file, text.data, 1001);
        codecs[i].add(&file, "", 0);
        codecs[i].add(&file, text.data + 1001, text.len - 1001);
        read_well(&how, file.data, file.len, &r);
        assert_same(&r, &plain, how.name, 1001);
        json_result_release(&r);
        sm_buf_release(&file);
    }
    json_result_release(&plain);
    sm_buf_release(&text);
}

static void small_compressed_files(void **state)
{
    static const char *const files[] = {"", "\n", "{\"a\":1}", "\xef\xbb\xbf{\"a\":1}\n{\"a\":\n"};
    for (int f = 0; f < SM_COUNT(files); f++) {
        json_result plain, r;
        json_read how = {.schema = SCHEMA};
        read_well(&how, files[f], strlen(files[f]), &plain);
        for (int i = 0; i < SM_COUNT(codecs); i++) {
            sm_buf file = {0};
            how.name = codecs[i].name;
            codecs[i].add(&file, files[f], strlen(files[f]));
            read_well(&how, file.data, file.len, &r);
            assert_same(&r, &plain, files[f], (uint64_t)i);
            json_result_release(&r);
            sm_buf_release(&file);
        }
        json_result_release(&plain);
    }
}

/* Cut short at every byte, a byte changed, something behind: an error with the file and a byte in
 * it, never lines that were not there. */
static void damaged_files_are_told(void **state)
{
    static const char text[] =
        "{\"a\":1,\"s\":\"some text here\"}\n{\"a\":2,\"s\":\"some other text\"}\n";
    for (int i = 0; i < SM_COUNT(codecs); i++) {
        sm_buf file = {0};
        sm_error e = {0};
        json_result r;
        const json_read how = {.schema = SCHEMA, .name = codecs[i].name};
        codecs[i].add(&file, text, sizeof(text) - 1);
        for (size_t n = 1; n < file.len; n++) {
            assert_status(json_read_bytes(&how, file.data, n, &r, &e), SM_CORRUPT, &e);
            assert_string_equal(e.object, codecs[i].name);
            assert_int_equal(e.line, 0);
            assert_int_equal(e.byte, n);
            json_result_release(&r);
        }
        assert_ok(sm_buf_add(&file, "garbage behind", 14, &e), &e);
        assert_status(json_read_bytes(&how, file.data, file.len, &r, &e), SM_CORRUPT, &e);
        assert_in_range(e.byte, file.len - 14, file.len);
        json_result_release(&r);
        file.data[0] ^= 0x55;
        assert_status(json_read_bytes(&how, file.data, file.len, &r, &e), SM_CORRUPT, &e);
        assert_in_range(e.byte, 0, 10);
        json_result_release(&r);
        sm_buf_release(&file);
    }
}

/* 96 MiB of one letter or of blank lines come out of some kilobytes: memory stays small. */
static void bombs_take_no_memory(void **state)
{
    const size_t n = (size_t)96 << 20;
    for (int i = 0; i < 2 * SM_COUNT(codecs); i++) {
        const int codec = i / 2;
        uint8_t *bytes = sm_alloc(n);
        sm_buf file = {0};
        json_result r;
        const json_read how = {.schema = SCHEMA, .name = codecs[codec].name, .is_terse = true};
        memset(bytes, i % 2 == 0 ? 'x' : '\n', n);
        codecs[codec].add(&file, bytes, n);
        sm_free(bytes);
        assert_true(file.len < 512 << 10);
        read_well(&how, file.data, file.len, &r);
        assert_int_equal(r.counts.lines, i % 2 == 0 ? 1 : n);
        assert_int_equal(r.counts.refused, i % 2 == 0);
        assert_true(r.most_bytes < (size_t)64 << 20);
        json_result_release(&r);
        sm_buf_release(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(planned_morsels_give_the_same),
        cmocka_unit_test(plans_cover_the_file),
        cmocka_unit_test(long_lines_are_kept_to_the_limit),
        cmocka_unit_test(batches_end_by_bytes),
        cmocka_unit_test(compressed_files_give_the_same),
        cmocka_unit_test(small_compressed_files),
        cmocka_unit_test(damaged_files_are_told),
        cmocka_unit_test(bombs_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
