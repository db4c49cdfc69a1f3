/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/json_fuzz.c: any bytes as a JSON document and as a file of lines. The first two bytes
 * choose where the file is cut into morsels and how it is read, also whether unknown keys are kept;
 * the rest is the file. Cut or whole,
 * with all columns or one (checked against all), it must give the same rows, refusals and counts. A
 * line must be refused as JSON at the same place as when it is read as a document. The file is also
 * read twice in a row, so that the first copy teaches the shapes for the second; the result must be
 * the same by shapes and line by line. */
#include "json_read.h"

#include "base/json_doc.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FUZZ_SCHEMA                                                                                \
    "STRUCT(a BIGINT, b VARCHAR, s STRUCT(c DOUBLE, d VARCHAR, e STRUCT(f BOOLEAN)), l BIGINT[], " \
    "o STRUCT(k VARCHAR, n TINYINT)[], m DECIMAL(7,2), t TIMESTAMP, q MAP(VARCHAR, STRUCT(z "      \
    "BIGINT, y VARCHAR[])))"

/* Without lists, for which there are no shapes. */
#define SHAPE_SCHEMA                                                                               \
    "STRUCT(a BIGINT, b VARCHAR, s STRUCT(c DOUBLE, d VARCHAR, e STRUCT(f BOOLEAN)), l VARCHAR, "  \
    "o BIGINT, m DECIMAL(7,2), t TIMESTAMP)"

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "json_fuzz: %s\n", what);
        abort();
    }
}

static void expect_same(const json_result *a, const json_result *b)
{
    expect(json_same_text(&a->rows, &b->rows), "other rows when cut");
    expect(json_same_text(&a->refused, &b->refused), "other refusals when cut");
    expect(memcmp(&a->counts, &b->counts, sizeof(a->counts)) == 0, "other counts when cut");
}

static void read_cut_and_whole(json_read how, uint64_t cut, const uint8_t *text, size_t n)
{
    json_result whole, pieces;
    sm_error e = {0};
    const sm_status st = json_read_bytes(&how, text, n, &whole, &e);
    if (st == SM_UNSUPPORTED) { /* another layout of JSON, which is told by the bytes at hand */
        json_result_release(&whole);
        return;
    }
    expect(st == SM_OK, "the whole could not be read");
    how.cut = cut;
    const sm_status of_cut = json_read_bytes(&how, text, n, &pieces, &e);
    expect(of_cut == SM_OK || of_cut == SM_UNSUPPORTED, "the cut could not be read");
    if (of_cut == SM_OK) {
        expect_same(&pieces, &whole);
    }
    expect(whole.counts.lines == whole.counts.rows + whole.counts.refused + whole.counts.blank,
           "lines that are nowhere");
    json_result_release(&whole);
    json_result_release(&pieces);
}

/* By the shapes that the text itself taught, and line by line in full. */
static void compare_ways(json_read how, const uint8_t *text, size_t n)
{
    uint8_t twice[2 * 4096 + 1];
    memcpy(twice, text, n);
    twice[n] = '\n';
    memcpy(twice + n + 1, text, n);
    how.schema = SHAPE_SCHEMA;
    const char *what = json_ways_differ(&how, twice, 2 * n + 1, NULL);
    expect(what == NULL, what ? what : "");
}

/* Every line alone, as a document: both agree on what JSON is. */
static void compare_with_document(const uint8_t *line, size_t n)
{
    static const int32_t none[] = {0};
    const json_read how = {.schema = "STRUCT(a VARCHAR)", .columns = none, .stops_at_bad = true};
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    json_result r;
    sm_error of_line = {0}, of_document = {0};
    const sm_status st = json_read_bytes(&how, line, n, &r, &of_line);
    const sm_status want = sm_json_parse((sm_str){(const char *)line, n}, a, &doc, &of_document);
    if (r.counts.blank == 0 && n > 0) {
        const bool is_kept = want == SM_OK && doc->type == SM_JSON_OBJECT;
        expect((st == SM_OK) == is_kept, "line and document differ");
        if (want != SM_OK && sm_utf8_check(line, n) == n) {
            expect(of_line.byte == of_document.byte, "other places in line and document");
            expect(of_line.status == of_document.status, "other errors in line and document");
        }
    }
    json_result_release(&r);
    sm_arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 4096) {
        return 0;
    }
    const uint8_t choice = data[1];
    const uint8_t *text = data + 2;
    n -= 2;
    json_read how = {
        .schema = FUZZ_SCHEMA,
        .order = choice & 1 ? "t,f,c,a" : NULL,
        .validate_all = choice & 2,
        .counts_unknown = choice & 4,
        .rescues_unknown = data[0] & 1,
        .beyond = choice & 8 ? 4096 : choice >> 4,
    };
    static const int32_t some[] = {1, 4};
    if (choice & 2) {
        how.columns = some;
        how.n_columns = 2;
    }
    if (n > 1) {
        read_cut_and_whole(how, 1 + data[0] * (n - 1) / 256, text, n);
    }
    compare_ways(how, text, n);
    size_t line = 0;
    const bool has_bom = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
    for (size_t i = 0; i <= n && !has_bom; i++) {
        if (i == n || text[i] == '\n') {
            compare_with_document(text + line, i - line);
            line = i + 1;
            if (line < n && text[line] == 0xef) {
                break; /* might be a mark, which only a file's first line may have */
            }
        }
    }
    return 0;
}
