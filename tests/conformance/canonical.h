/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/canonical.h: the canonical text of rows and its SHA-256, as the README.md
 * beside the conformance data defines them, and the comparison of a table with expected.json.
 * For the programs here that read whole tables. */
#ifndef SM_TESTS_CANONICAL_H
#define SM_TESTS_CANONICAL_H

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#include "base/json_doc.h"
#include "base/time.h"
#include "column/batch.h"
#include "format/format.h"

/* What follows the microseconds of a timestamp: "000" for the parquet folder, "" for delta's. */
static const char *canonical_time_suffix = "";

/* ---- SHA-256 (FIPS 180-4, section 6.2) ------------------------------------------------------- */

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

/* ---- canonical text -------------------------------------------------------------------------- */

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
    sm_buf_printf(out, "%s %02d:%02d:%02d.%06d%s%s", date[0] == '+' ? date + 1 : date,
                  (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)(rest % 1000000),
                  canonical_time_suffix, is_utc ? "Z" : "");
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

/* ---- hashes of a table ----------------------------------------------------------------------- */

/* The lines of one column, or of the whole rows. */
typedef struct canonical_lines {
    sm_buf text;
    sm_buf ends; /* int64: where each line ends */
} canonical_lines;

typedef struct canonical_table {
    int32_t n_columns;
    canonical_lines *lines; /* the rows, then each column */
} canonical_table;

static void end_line(canonical_lines *l)
{
    const int64_t end = (int64_t)l->text.len;
    sm_buf_text(&l->ends, (sm_str){(const char *)&end, sizeof(end)});
}

static sm_status add_batch(void *ctx, sm_batch *b, sm_error *e)
{
    canonical_table *t = ctx;
    const char *why = NULL;
    if (!sm_batch_validate(b, true, &why)) {
        return sm_fail(e, SM_INTERNAL, "batch is not valid: %s", why);
    }
    if (!t->lines) {
        t->n_columns = b->n_columns;
        t->lines = sm_alloc_zero((size_t)(b->n_columns + 1) * sizeof(canonical_lines));
    }
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int32_t c = 0; c < b->n_columns; c++) {
            canonical_lines *l = &t->lines[c + 1];
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

static void hash_lines(const canonical_lines *l, char out[65])
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

static void release_table(canonical_table *t)
{
    for (int32_t i = 0; i <= t->n_columns && t->lines; i++) {
        sm_buf_release(&t->lines[i].text);
        sm_buf_release(&t->lines[i].ends);
    }
    sm_free(t->lines);
    *t = (canonical_table){0};
}

/* Compares; prints and counts what differs. */
static int compare(sm_str path, const sm_json *entry, const canonical_table *t, int64_t n_rows)
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
    const canonical_lines none = {0};
    hash_lines(t->lines ? &t->lines[0] : &none, got);
    if (want.len > 0 && !sm_str_is(want, got)) {
        printf("%.*s: the rows differ\n", SM_STR_ARG(path));
        n_bad++;
    }
    const sm_json *columns = sm_json_get(entry, "columns");
    int32_t i = 0;
    for (const sm_json *c = columns ? columns->child : NULL; c; c = c->next, i++) {
        const sm_str sha = sm_json_text(sm_json_get(c, "sha256"));
        const canonical_lines *l = t->lines ? &t->lines[i + 1] : &none;
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

#endif
