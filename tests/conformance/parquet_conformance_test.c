/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/parquet_conformance_test.c: every file of apache/parquet-testing against
 * expected.json: rows and the SHA-256 of the table and of each column, or a refusal. The canonical
 * text is defined in the README.md beside the data. What smelt answers otherwise on purpose stands
 * in `otherwise` with the reason. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "conformance.h"
#include "parquet_io.h"
#include "test.h"

#include "base/time.h"

static const char *folder;

/* ---- SHA-256 (FIPS 180-4, section 6.2) -------------------------------------------------------------- */

typedef struct sha256 {
    uint32_t h[8];
    uint8_t tail[64];
    uint64_t n;
} sha256;

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The first 32 bits of the fractional parts of the roots of primes: what the standard's constants
 * are. */
static uint32_t root_bits(int index, double (*root)(double))
{
    int prime = 1;
    for (int found = -1; found < index;) {
        bool is_prime = true;
        prime++;
        for (int d = 2; d * d <= prime; d++) {
            is_prime = is_prime && prime % d != 0;
        }
        found += is_prime;
    }
    const double r = root(prime);
    return (uint32_t)((r - floor(r)) * 4294967296.0);
}

static void sha256_block(sha256 *s, const uint8_t *p)
{
    static uint32_t k[64];
    uint32_t w[64], v[8];
    if (k[0] == 0) {
        for (int i = 0; i < 64; i++) {
            k[i] = root_bits(i, cbrt);
        }
    }
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)p[i * 4] << 24 | (uint32_t)p[i * 4 + 1] << 16 |
               (uint32_t)p[i * 4 + 2] << 8 | p[i * 4 + 3];
    }
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof(v));
    for (int i = 0; i < 64; i++) {
        const uint32_t t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
                            ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        const uint32_t t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
                            ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        s->h[i] += v[i];
    }
}

static void sha256_init(sha256 *s)
{
    *s = (sha256){0};
    for (int i = 0; i < 8; i++) {
        s->h[i] = root_bits(i, sqrt);
    }
}

static void sha256_add(sha256 *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (; n > 0; p++, n--) {
        s->tail[s->n++ % 64] = *p;
        if (s->n % 64 == 0) {
            sha256_block(s, s->tail);
        }
    }
}

static void sha256_hex(sha256 *s, char out[65])
{
    const uint64_t bits = s->n * 8;
    uint8_t length[8];
    sha256_add(s, "\x80", 1);
    while (s->n % 64 != 56) {
        sha256_add(s, "", 1);
    }
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    sha256_add(s, length, 8);
    for (int i = 0; i < 8; i++) {
        snprintf(out + i * 8, 9, "%08x", s->h[i]);
    }
}

/* ---- canonical text ------------------------------------------------------------------------------------ */

static void put_quoted(sm_str s, sm_buf *out)
{
    sm_buf_printf(out, "\"");
    for (size_t i = 0; i < s.len; i++) {
        sm_buf_text(out, s.data[i] == '"' ? SM_STR("\"\"") : (sm_str){s.data + i, 1});
    }
    sm_buf_printf(out, "\"");
}

static void put_float(double v, int digits, sm_buf *out)
{
    if (isnan(v)) {
        sm_buf_printf(out, "nan");
    } else {
        sm_buf_printf(out, "%.*g", digits, v);
    }
}

static void put_decimal(sm_i128 v, int scale, sm_buf *out)
{
    char digits[64];
    int n = 0;
    const bool is_negative = v < 0;
    unsigned __int128 left = is_negative ? -(unsigned __int128)v : (unsigned __int128)v;
    do {
        digits[n++] = (char)('0' + (int)(left % 10));
        left /= 10;
        if (n == scale) {
            digits[n++] = '.';
        }
    } while (left > 0 || n < scale || digits[n - 1] == '.');
    if (is_negative) {
        digits[n++] = '-';
    }
    while (n > 0) {
        sm_buf_text(out, (sm_str){&digits[--n], 1});
    }
}

static void put_timestamp(int64_t us, bool is_utc, sm_buf *out)
{
    char date[SM_TIME_TEXT_BYTES];
    int64_t days = us / INT64_C(86400000000), rest = us % INT64_C(86400000000);
    if (rest < 0) {
        days--;
        rest += INT64_C(86400000000);
    }
    sm_format_date((int32_t)days, date);
    const int64_t s = rest / 1000000;
    /* A year over 9999 has a sign in our text and none in the canonical one. */
    sm_buf_printf(out, "%s %02d:%02d:%02d.%06d000%s", date[0] == '+' ? date + 1 : date,
                  (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)(rest % 1000000),
                  is_utc ? "Z" : "");
}

static void put_binary(sm_str s, sm_buf *out)
{
    sm_buf_printf(out, "0x");
    for (size_t i = 0; i < s.len; i++) {
        sm_buf_printf(out, "%02x", (uint8_t)s.data[i]);
    }
}

static void put_cell(const sm_column *c, int64_t i, sm_buf *out);

static void put_nested(const sm_column *c, int64_t at, sm_buf *out)
{
    const sm_type *t = c->type;
    if (t->id == SM_TYPE_STRUCT) {
        sm_buf_printf(out, "{");
        for (int32_t k = 0; k < t->n_fields; k++) {
            sm_buf_printf(out, "%s\"%.*s\":", k > 0 ? "," : "", SM_STR_ARG(t->fields[k].name));
            put_cell(&c->children[k], at, out);
        }
        sm_buf_printf(out, "}");
        return;
    }
    const int32_t *offsets = c->values;
    sm_buf_printf(out, "[");
    for (int32_t k = offsets[at]; k < offsets[at + 1]; k++) {
        sm_buf_printf(out, "%s", k > offsets[at] ? "," : "");
        if (t->id == SM_TYPE_MAP) {
            sm_buf_printf(out, "{\"key\":");
            put_cell(&c->children[0], k, out);
            sm_buf_printf(out, ",\"value\":");
            put_cell(&c->children[1], k, out);
            sm_buf_printf(out, "}");
        } else {
            put_cell(&c->children[0], k, out);
        }
    }
    sm_buf_printf(out, "]");
}

static void put_cell(const sm_column *c, int64_t i, sm_buf *out)
{
    char text[SM_TIME_TEXT_BYTES];
    if (sm_column_is_null(c, i)) {
        return;
    }
    if (sm_type_is_nested(c->type->id)) {
        put_nested(c, sm_column_at(c, i), out);
        return;
    }
    const sm_value v = sm_column_value(c, i);
    switch (c->type->id) {
    case SM_TYPE_BOOL:
        sm_buf_printf(out, v.as.b ? "true" : "false");
        return;
    case SM_TYPE_F32:
        put_float(v.as.f, 9, out);
        return;
    case SM_TYPE_F64:
        put_float(v.as.f, 17, out);
        return;
    case SM_TYPE_DECIMAL:
        put_decimal(v.as.d, c->type->scale, out);
        return;
    case SM_TYPE_STRING:
        put_quoted(v.as.s, out);
        return;
    case SM_TYPE_BINARY:
        put_binary(v.as.s, out);
        return;
    case SM_TYPE_DATE:
        sm_format_date((int32_t)v.as.i, text);
        sm_buf_printf(out, "%s", text);
        return;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        put_timestamp(v.as.i, c->type->id == SM_TYPE_TIMESTAMP, out);
        return;
    default:
        if (sm_type_is_signed(c->type->id)) {
            sm_buf_printf(out, "%" PRId64, v.as.i);
        } else {
            assert_true(sm_type_is_integer(c->type->id));
            sm_buf_printf(out, "%" PRIu64, v.as.u);
        }
    }
}

/* ---- hashes of a table ------------------------------------------------------------------------------- */

/* The lines of one column, or of the whole rows. */
typedef struct lines {
    sm_buf text;
    sm_buf ends; /* int64: where each line ends */
} lines;

typedef struct table {
    int32_t n_columns;
    lines *lines; /* the rows, then each column */
} table;

static void end_line(lines *l)
{
    const int64_t end = (int64_t)l->text.len;
    sm_buf_text(&l->ends, (sm_str){(const char *)&end, sizeof(end)});
}

static sm_status add_batch(void *ctx, sm_batch *b, sm_error *e)
{
    table *t = ctx;
    const char *why = NULL;
    if (!sm_batch_validate(b, true, &why)) {
        return sm_fail(e, SM_INTERNAL, "batch is not valid: %s", why);
    }
    if (!t->lines) {
        t->n_columns = b->n_columns;
        t->lines = sm_alloc_zero((size_t)(b->n_columns + 1) * sizeof(lines));
    }
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int32_t c = 0; c < b->n_columns; c++) {
            lines *l = &t->lines[c + 1];
            const size_t start = l->text.len;
            put_cell(&b->columns[c], i, &l->text);
            sm_buf_printf(&t->lines[0].text, "%s", c > 0 ? "," : "");
            sm_buf_text(&t->lines[0].text,
                        (sm_str){(const char *)l->text.data + start, l->text.len - start});
            end_line(l);
        }
        end_line(&t->lines[0]);
    }
    return SM_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return sm_str_cmp(*(const sm_str *)a, *(const sm_str *)b);
}

static void hash_lines(const lines *l, char out[65])
{
    const int64_t n = (int64_t)(l->ends.len / sizeof(int64_t));
    const int64_t *ends = (const int64_t *)(const void *)l->ends.data;
    sm_str *rows = sm_alloc((size_t)n * sizeof(sm_str));
    sha256 s;
    for (int64_t i = 0; i < n; i++) {
        const int64_t start = i > 0 ? ends[i - 1] : 0;
        rows[i] = (sm_str){(const char *)l->text.data + start, (size_t)(ends[i] - start)};
    }
    qsort(rows, (size_t)n, sizeof(sm_str), by_bytes);
    sha256_init(&s);
    for (int64_t i = 0; i < n; i++) {
        sha256_add(&s, rows[i].data, rows[i].len);
        sha256_add(&s, "\n", 1);
    }
    sha256_hex(&s, out);
    sm_free(rows);
}

static void release_table(table *t)
{
    for (int32_t i = 0; i <= t->n_columns && t->lines; i++) {
        sm_buf_release(&t->lines[i].text);
        sm_buf_release(&t->lines[i].ends);
    }
    sm_free(t->lines);
    *t = (table){0};
}

/* ---- what is expected ----------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    const char *schema;  /* read as this instead of the file's own type */
    const char *refusal; /* a part of the error that smelt gives where the expected reader reads */
    const char *why;
} otherwise[] = {
    {"datapage_v1-corrupt-checksum.parquet", NULL, "checksum",
     "checksums are verified; the answer expected is that of a reader that does not"},
    {"rle-dict-uncompressed-corrupt-checksum.parquet", NULL, "checksum",
     "checksums are verified; the answer expected is that of a reader that does not"},
    {"nation.dict-malformed.parquet", NULL, "page",
     "a page's size is wrong; other readers refuse the file too"},
    {"int96_from_spark.parquet", "STRUCT(a TIMESTAMP WITH TIME ZONE)", NULL,
     "INT96 says nothing of zones: a local timestamp unless an instant is asked for"},
    {"large_string_map.brotli.parquet", NULL, "memory budget",
     "two strings of 1 GiB from 4 KB: over this test's budget of 1 GiB, which says so"},
};

static int find_otherwise(sm_str path)
{
    for (int i = 0; i < SM_COUNT(otherwise); i++) {
        if (sm_str_is(path, otherwise[i].path)) {
            return i;
        }
    }
    return -1;
}

/* Compares; prints and counts what differs. */
static int compare(sm_str path, const sm_json *entry, const table *t, int64_t n_rows)
{
    int n_bad = 0;
    int64_t want_rows = -1;
    char got[65];
    sm_json_i64(sm_json_get(entry, "num_rows"), &want_rows);
    if (want_rows != n_rows) {
        printf("%.*s: %" PRId64 " rows, want %" PRId64 "\n", SM_STR_ARG(path), n_rows, want_rows);
        return 1;
    }
    const sm_str want = sm_json_text(sm_json_get(entry, "sha256"));
    const lines none = {0};
    hash_lines(t->lines ? &t->lines[0] : &none, got);
    if (want.len > 0 && !sm_str_is(want, got)) {
        printf("%.*s: the rows differ\n", SM_STR_ARG(path));
        n_bad++;
    }
    const sm_json *columns = sm_json_get(entry, "columns");
    int32_t i = 0;
    for (const sm_json *c = columns ? columns->child : NULL; c; c = c->next, i++) {
        const sm_str sha = sm_json_text(sm_json_get(c, "sha256"));
        const lines *l = t->lines ? &t->lines[i + 1] : &none;
        hash_lines(l, got);
        if (sha.len > 0 && !sm_str_is(sha, got)) {
            const int64_t end = l->ends.len ? ((const int64_t *)(const void *)l->ends.data)[0] : 0;
            printf("%.*s: column %.*s (%.*s) differs; first value %.*s\n", SM_STR_ARG(path),
                   SM_STR_ARG(sm_json_text(sm_json_get(c, "name"))),
                   SM_STR_ARG(sm_json_text(sm_json_get(c, "type"))),
                   SM_STR_ARG(((sm_str){(const char *)l->text.data, (size_t)end})));
            n_bad++;
        }
    }
    if (t->lines && i != t->n_columns) {
        printf("%.*s: %d columns, want %d\n", SM_STR_ARG(path), t->n_columns, i);
        n_bad++;
    }
    return n_bad;
}

static int check_entry(sm_store *store, const sm_json *entry, sm_arena *a)
{
    const sm_str path = sm_json_text(sm_json_get(entry, "path"));
    const bool refuse = sm_str_is(sm_json_text(sm_json_get(entry, "expect")), "refuse");
    const int other = find_otherwise(path);
    const char *refusal = other >= 0 ? otherwise[other].refusal : NULL;
    const int64_t live_before = sm_live_bytes();
    sm_budget *budget = sm_budget_new(NULL, "conformance", (size_t)1 << 30);
    sm_blob *blob = NULL;
    sm_error e = {0};
    table t = {0};
    parquet_in in = {.on_batch = add_batch, .ctx = &t};
    int n_bad = 0;
    if (other >= 0) {
        printf("%s: %s\n", otherwise[other].path, otherwise[other].why);
        if (otherwise[other].schema) {
            assert_ok(sm_type_parse(sm_str_of(otherwise[other].schema), a, &in.schema, &e), &e);
        }
    }
    const int64_t live_mid = sm_live_bytes();
    assert_ok(sm_blob_open(store, path, &blob, &e), &e);
    const sm_status st = parquet_read(blob, budget, &in, &e);
    sm_blob_close(blob);
    if (refuse || refusal) {
        const char *want = refusal ? refusal : "encrypted";
        if (st == SM_OK || !strstr(e.what, want) || !strstr(e.object, ".parquet")) {
            printf("%.*s: want a refusal with \"%s\", got %s: %s (%s)\n", SM_STR_ARG(path), want,
                   sm_status_name(st), e.what, e.object);
            n_bad++;
        }
        if (refuse && st != SM_UNSUPPORTED) {
            printf("%.*s: %s is no way to say that\n", SM_STR_ARG(path), sm_status_name(st));
            n_bad++;
        }
    } else if (st != SM_OK) {
        printf("%.*s: %s: %s\n", SM_STR_ARG(path), sm_status_name(st), e.what);
        n_bad++;
    } else {
        n_bad += compare(path, entry, &t, in.n_rows);
    }
    release_table(&t);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    assert_true(sm_live_bytes() <= live_mid + (live_mid - live_before));
    return n_bad;
}

static void every_file_gives_what_is_expected(void **state)
{
    sm_store *store = NULL;
    sm_error e = {0};
    sm_buf text = {0};
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    int n_files = 0, n_bad = 0;
    assert_ok(sm_store_open(sm_str_of(folder), &store, &e), &e);
    assert_ok(sm_store_get(store, SM_STR("expected.json"), &text, &e), &e);
    assert_ok(sm_json_parse(sm_buf_str(&text), a, &doc, &e), &e);
    const sm_json *entries = sm_json_get(doc, "entries");
    assert_non_null(entries);
    for (const sm_json *entry = entries->child; entry; entry = entry->next) {
        n_files++;
        n_bad += check_entry(store, entry, a) > 0;
    }
    printf("%d files, %d not as expected\n", n_files, n_bad);
    assert_true(n_files >= 80);
    assert_int_equal(n_bad, 0);
    sm_arena_free(a);
    sm_buf_release(&text);
    sm_store_release(store);
}

static void the_hash_is_sha256(void **state)
{
    /* FIPS 180-4's own example, and the empty message. */
    static const char *const want[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    };
    char got[65];
    for (int i = 0; i < 2; i++) {
        sha256 s;
        sha256_init(&s);
        sha256_add(&s, "abc", i == 0 ? 3 : 0);
        sha256_hex(&s, got);
        assert_string_equal(got, want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_sha256),
        cmocka_unit_test(every_file_gives_what_is_expected),
    };
    folder = conformance_folder("parquet");
    return cmocka_run_group_tests_name("parquet_conformance", tests, NULL, NULL);
}
