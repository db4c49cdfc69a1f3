/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/json_read.h: reads bytes as a file of JSON lines, morsel by morsel as a scan does, and
 * gives the complete result as text, for the tests and the fuzz target of the format. The text
 * must not depend on how the file was cut. */
#ifndef SM_TESTS_JSON_READ_H
#define SM_TESTS_JSON_READ_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/format.h"

typedef struct json_read {
    const char *schema;     /* "STRUCT(a VARCHAR, b BIGINT)" */
    const char *order;      /* the option column_order; NULL: none */
    const char *name;       /* of the file; NULL: "lines.json" */
    const int32_t *columns; /* NULL: all */
    int32_t n_columns;
    const char *made; /* "STRUCT(s STRUCT(a BIGINT))": what the columns are read as; NULL: all */
    bool validate_all, stops_at_bad, counts_unknown, fails_unknown;
    bool rescues_unknown; /* as a last column `_rescued` */
    bool is_terse;        /* leave the messages out */
    uint64_t cut;         /* two morsels, [0, cut) and [cut, size); 0: as planned */
    size_t beyond;        /* with cut: bytes given behind a morsel's end at first */
    size_t morsel_bytes;
    bool goes_on;       /* after a morsel that failed with the next, by the same reader */
    size_t limit_bytes; /* of the reader's budget; the bytes it is given are not in it */
} json_read;

typedef struct json_unknown_sum {
    char path[64];
    int64_t lines;
} json_unknown_sum;

/* A key that a column takes: sm_known_key without its texts. */
typedef struct json_known_sum {
    int64_t lines, misfits;
    uint64_t kinds;
} json_known_sum;

/* What was read: its text in `out`, and the sums over the morsels. */
typedef struct json_result {
    sm_buf rows, refused;
    sm_scan_counts counts;
    json_unknown_sum unknown[64];
    int n_unknown;
    uint32_t unknown_kinds;
    json_known_sum known[64]; /* in the order of the schema */
    int64_t n_batches, n_fed;
    int64_t shape_lines; /* apart from counts: how much was learnt depends on the cut */
    size_t most_bytes;   /* the reader's peak */
} json_result;

static inline void json_result_release(json_result *r)
{
    sm_buf_release(&r->rows);
    sm_buf_release(&r->refused);
}

/* The bytes of a range, and behind them what must have no meaning. */
static inline sm_block *json_block(sm_budget *budget, const uint8_t *bytes, size_t n, size_t len,
                                   uint64_t off)
{
    static const char noise[] = "\":0,}\\]{\n\"a\":[\"";
    sm_block *block = NULL;
    sm_error e = {0};
    SM_ENSURE(off <= n && len <= n - off);
    SM_ENSURE(sm_block_new(budget, len, &block, &e) == SM_OK);
    if (len > 0) {
        memcpy(block->data, bytes + off, len);
    }
    for (size_t i = 0; i < SM_PAD_BYTES; i++) {
        block->data[len + i] = (uint8_t)noise[i % (sizeof(noise) - 1)];
    }
    return block;
}

/* A batch that breaks its own rules ends the program. */
static inline void json_check_batch(const sm_batch *b)
{
    const char *why = NULL;
    const bool is_valid = sm_batch_validate(b, true, &why);
    if (!is_valid) {
        fprintf(stderr, "the reader gave an invalid batch: %s\n", why);
    }
    SM_ENSURE(is_valid);
}

static inline void json_write_rows(const sm_batch *b, sm_buf *out)
{
    sm_json_writer w = {.out = out};

    json_check_batch(b);
    for (int64_t i = 0; i < b->n_rows; i++) {
        sm_json_begin_array(&w);
        for (int32_t c = 0; c < b->n_columns; c++) {
            sm_column_json(&b->columns[c], i, &w);
        }
        sm_json_end_array(&w);
        sm_json_end_line(&w);
    }
}

static inline void json_write_refused(const sm_batch *b, int64_t lines_before, bool is_terse,
                                      sm_buf *out)
{
    json_check_batch(b);
    for (int64_t i = 0; i < b->n_rows; i++) {
        const sm_column *c = b->columns;
        const sm_str column = sm_column_str(&c[SM_REFUSED_COLUMN], i);
        const sm_str raw = sm_column_str(&c[SM_REFUSED_RAW], i);
        const int64_t raw_bytes = sm_column_value(&c[SM_REFUSED_RAW_BYTES], i).as.i;
        sm_buf_printf(out, "%" PRId64 "@%" PRId64 " ",
                      sm_column_value(&c[SM_REFUSED_LINE], i).as.i + lines_before,
                      sm_column_value(&c[SM_REFUSED_BYTE_OFFSET], i).as.i);
        sm_buf_text(out, sm_column_str(&c[SM_REFUSED_REASON], i));
        sm_buf_printf(out, " ");
        sm_buf_text(out, sm_column_is_null(&c[SM_REFUSED_COLUMN], i) ? SM_STR("-") : column);
        if (!is_terse) {
            sm_buf_printf(out, " (");
            sm_buf_text(out, sm_column_str(&c[SM_REFUSED_MESSAGE], i));
            sm_buf_printf(out, ")");
        }
        if ((size_t)raw_bytes != raw.len) {
            sm_buf_printf(out, " [%zu of %" PRId64 "]\n", raw.len, raw_bytes);
        } else {
            sm_buf_printf(out, " <");
            sm_buf_text(out, raw);
            sm_buf_printf(out, ">\n");
        }
    }
}

static inline void json_add_unknown(json_result *r, const sm_unknown_key *keys, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        char path[sizeof(r->unknown[0].path)];
        int at = 0;
        snprintf(path, sizeof(path), "%.*s", SM_STR_ARG(keys[i].path));
        while (at < r->n_unknown && strcmp(r->unknown[at].path, path) != 0) {
            at++;
        }
        if (at == r->n_unknown && at == SM_COUNT(r->unknown)) {
            continue;
        }
        if (at == r->n_unknown) {
            memcpy(r->unknown[at].path, path, sizeof(path));
            r->unknown[at].lines = 0;
            r->n_unknown++;
        }
        r->unknown[at].lines += keys[i].lines;
        r->unknown_kinds |= keys[i].kinds;
    }
}

/* The bytes under the reader. */
typedef struct json_source {
    const json_read *how;
    const uint8_t *bytes;
    size_t n;
    sm_budget *budget;
} json_source;

static inline sm_status json_read_morsel(const json_source *src, sm_reader *reader, sm_file *file,
                                         const sm_morsel *m, json_result *r, sm_error *e)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    sm_block *block = NULL;
    size_t len = 0;
    if (m->n_ranges > 0) {
        len = m->ranges[0].len;
        block = json_block(src->budget, src->bytes, src->n, len, m->ranges[0].off_bytes);
    }
    sm_status st = json->begin(reader, file, m, &block, &len, e);
    sm_block_release(block);
    while (st == SM_OK) {
        sm_batch *rows = NULL, *refused = NULL;
        sm_byte_range more = {0};
        st = json->pull(reader, &rows, &refused, &more, e);
        if (rows) {
            json_write_rows(rows, &r->rows);
        }
        if (refused) {
            json_write_refused(refused, r->counts.lines, src->how->is_terse, &r->refused);
        }
        r->n_batches += st == SM_OK;
        sm_batch_release(rows);
        sm_batch_release(refused);
        if (st == SM_MORE) {
            r->n_fed++;
            block = json_block(src->budget, src->bytes, src->n, more.len, more.off_bytes);
            st = json->feed(reader, block, more.len, e);
            sm_block_release(block);
        }
    }
    if (st != SM_END) {
        return st;
    }
    sm_scan_counts counts;
    const sm_unknown_key *unknown = NULL;
    int64_t n_unknown = 0;
    json->counts(reader, &counts, &unknown, &n_unknown);
    r->counts.rows += counts.rows;
    r->shape_lines += counts.shape_lines;
    r->counts.lines += counts.lines;
    r->counts.refused += counts.refused;
    r->counts.blank += counts.blank;
    r->counts.unknown_lines += counts.unknown_lines;
    json_add_unknown(r, unknown, n_unknown);
    int64_t n_known = 0;
    const sm_known_key *known = json->keys(reader, &n_known);
    for (int64_t i = 0; i < n_known && i < SM_COUNT(r->known); i++) {
        r->known[i].lines += known[i].lines;
        r->known[i].misfits += known[i].misfits;
        r->known[i].kinds |= known[i].misfit_kinds;
    }
    return SM_OK;
}

/* Two morsels that meet at the cut. */
static inline int64_t json_cut_morsels(const json_read *how, size_t n, sm_arena *a, sm_morsel **out)
{
    sm_morsel *m = SM_NEW_ARRAY(a, sm_morsel, 2);
    sm_byte_range *ranges = SM_NEW_ARRAY(a, sm_byte_range, 2);
    const uint64_t starts[3] = {0, how->cut, n};
    for (int i = 0; i < 2; i++) {
        const uint64_t from = starts[i] > 0 ? starts[i] - 1 : 0;
        const uint64_t to = n - starts[i + 1] < how->beyond ? n : starts[i + 1] + how->beyond;
        ranges[i] = (sm_byte_range){from, (size_t)(to - from)};
        m[i] = (sm_morsel){
            .in_file = i,
            .is_last = i == 1,
            .ranges = &ranges[i],
            .n_ranges = 1,
            .own = {starts[i], (size_t)(starts[i + 1] - starts[i])},
        };
    }
    *out = m;
    return 2;
}

/* Reads the bytes; *r is zeroed first and the caller's to release, whatever is returned. */
static inline sm_status json_read_bytes(const json_read *how, const void *bytes, size_t n,
                                        json_result *r, sm_error *e)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    /* Under a root of its own: what that keeps for later is not the reader's. */
    sm_budget *root = sm_budget_new(NULL, "read", 0);
    sm_budget *budget = sm_budget_new(root, "reader", how->limit_bytes);
    sm_budget *given = sm_budget_new(NULL, "given", 0);
    sm_arena *a = sm_arena_new(NULL);
    const sm_str name = sm_str_of(how->name ? how->name : "lines.json");
    const sm_type *schema = NULL;
    sm_file *file = NULL;
    sm_reader *reader = NULL;
    sm_morsel *morsels = NULL;
    int64_t n_morsels = 0, skipped = 0;
    sm_status st = SM_OK;
    memset(r, 0, sizeof(*r));

    void *opts = sm_arena_alloc(a, json->opts_bytes);
    SM_TRY_GOTO(st, done, sm_options_default(json->options, opts, e));
    if (how->order) {
        SM_TRY_GOTO(st, done,
                    sm_options_set(json->options, opts, SM_STR("column_order"),
                                   sm_value_str(sm_str_of(how->order)), a, e));
    }
    SM_TRY_GOTO(st, done, sm_type_parse(sm_str_of(how->schema), a, &schema, e));
    if (how->rescues_unknown) {
        sm_field *fields = SM_NEW_ARRAY(a, sm_field, schema->n_fields + 1);
        memcpy(fields, schema->fields, (size_t)schema->n_fields * sizeof(*fields));
        fields[schema->n_fields] =
            (sm_field){.name = SM_STR("_rescued"), .type = &sm_type_string, .is_nullable = true};
        schema = sm_type_struct(a, fields, schema->n_fields + 1);
    }
    int32_t *all = SM_NEW_ARRAY(a, int32_t, schema->n_fields + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        all[i] = i;
    }
    sm_datafile data = {.uri = name, .key = name, .size_bytes = n};
    const sm_dataset d = {
        .format = json,
        .options = opts,
        .schema = schema,
        .files = &data,
        .n_files = 1,
        .morsel_bytes = how->morsel_bytes,
        .rescues = how->rescues_unknown,
    };
    const sm_type **types = NULL;
    if (how->made) {
        const sm_type *made = NULL;
        SM_TRY_GOTO(st, done, sm_type_parse(sm_str_of(how->made), a, &made, e));
        types = SM_NEW_ARRAY(a, const sm_type *, made->n_fields);
        for (int32_t i = 0; i < made->n_fields; i++) {
            types[i] = made->fields[i].type;
        }
    }
    const sm_projection want = {
        .types = types,
        .columns = how->columns ? how->columns : all,
        .n_columns = how->columns ? how->n_columns : schema->n_fields,
        .validate_all = how->validate_all,
        .keep_refused = !how->stops_at_bad,
        .count_unknown = how->counts_unknown || how->rescues_unknown,
        .unknown = how->fails_unknown ? SM_UNKNOWN_FAIL : SM_UNKNOWN_COUNT,
        .takes_row = how->fails_unknown,
    };
    const json_source src = {.how = how, .bytes = bytes, .n = n, .budget = given};
    SM_TRY_GOTO(st, done, json->open(&d, 0, NULL, &want, budget, &file, e));
    if (how->cut > 0) {
        n_morsels = json_cut_morsels(how, n, a, &morsels);
    } else {
        SM_TRY_GOTO(st, done, json->plan(file, a, &morsels, &n_morsels, &skipped, e));
    }
    SM_TRY_GOTO(st, done, json->reader_new(&d, &want, budget, &reader, e));
    for (int64_t i = 0; i < n_morsels && (st == SM_OK || how->goes_on); i++) {
        st = json_read_morsel(&src, reader, file, &morsels[i], r, e);
    }
done:
    json->reader_free(reader);
    json->close(file);
    r->most_bytes = sm_budget_peak(budget);
    sm_arena_free(a);
    sm_budget_free(budget);
    sm_budget_free(root);
    sm_budget_free(given);
    return st;
}

static inline bool json_same_text(const sm_buf *a, const sm_buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* Reads the bytes by shapes and line by line in full: NULL where all that came of them is the same,
 * else what differs. *by_shape, where set: lines that went by their shape. */
static inline const char *json_ways_differ(const json_read *how, const void *bytes, size_t n,
                                           int64_t *by_shape)
{
    json_result a, b;
    sm_error of_shape = {0}, of_full = {0};
    setenv("SMELT_JSON", "shape", 1);
    const sm_status sa = json_read_bytes(how, bytes, n, &a, &of_shape);
    setenv("SMELT_JSON", "full", 1);
    const sm_status sb = json_read_bytes(how, bytes, n, &b, &of_full);
    unsetenv("SMELT_JSON");
    bool same_unknown = a.n_unknown == b.n_unknown;
    for (int i = 0; i < a.n_unknown && same_unknown; i++) {
        same_unknown = strcmp(a.unknown[i].path, b.unknown[i].path) == 0 &&
                       a.unknown[i].lines == b.unknown[i].lines;
    }
    const char *what = sa != sb ? "status"
                       : of_shape.byte != of_full.byte || of_shape.line != of_full.line
                           ? "place of the error"
                       : !json_same_text(&a.rows, &b.rows)                   ? "rows"
                       : !json_same_text(&a.refused, &b.refused)             ? "refused lines"
                       : memcmp(&a.counts, &b.counts, sizeof(a.counts)) != 0 ? "counts"
                       : a.n_batches != b.n_batches                          ? "batches"
                       : !same_unknown || a.unknown_kinds != b.unknown_kinds ? "unknown keys"
                       : memcmp(a.known, b.known, sizeof(a.known)) != 0      ? "known keys"
                       : b.shape_lines != 0                                  ? "the full way"
                                                                             : NULL;
    if (by_shape) {
        *by_shape = a.shape_lines;
    }
    json_result_release(&a);
    json_result_release(&b);
    return what;
}

#endif
