/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_column.c: writes one leaf of a row group: values -> pages -> a chunk.
 *
 * Calls     smi_pq_column_add or _add_levels for rows; _press now and then; _end, then the caller
 *           takes `dict_out` and `out`, and _reset begins the next row group.
 * Steps     The values of some rows are *staged*: dense, without nulls, in the physical type
 *           (borrowed from the batch if it has them like that). They are added to the statistics,
 *           and appended to the page as codes or as they are. A full page is encoded into `raw`.
 *           smi_pq_column_press compresses the pages there; other columns may do so at the same
 *           time.
 * Pages     Data pages v2. A page ends at PAGE_ROWS rows or PAGE_BYTES bytes. That is tested after
 *           each STRIDE rows of the page, and for texts after each value. So pages do not depend on
 *           how the rows came in batches.
 * Codes     A chunk begins with a dictionary. It is given up after TRY_VALUES values (or at the
 *           end of the first page, if that comes sooner) if more than half of them were new; and
 *           later when it is full. Where three quarters were new, the next chunk gives it up after
 *           FEW_VALUES already if nearly all of those are new. The codes of the current page then
 *           become values again, so no page mixes the two. Where one chunk after another gave it
 *           up, 1, then 3, then each time MOST_UNTRIED chunks begin without one: what changes in a
 *           file is seen late, but it is seen.
 * Encodings Without codes, integers are stored plain or as differences, and texts with a length
 *           before each, with all lengths first, or without what they share with the text before
 *           them. The first values of the first such page of a column in a file are encoded and
 *           compressed in each of these ways. The smallest one is used for the rest of the file. If
 *           compression gained less than a 32nd of it, such pages are not compressed.
 * Searches  Of a file with many such pages, one is compressed in each way of looking for what
 *           repeats (smi_pq_search). The best one is used for the rest of the file.
 * Source    apache/parquet-format, Encodings.md, README.md "Data Pages"
 *
 * Called by parquet_writer.c. */

#include <inttypes.h>

#include "format/parquet/parquet_int.h"

#define STRIDE      1024
#define PAGE_ROWS   (20 * STRIDE)
#define PAGE_LEVELS (64 * STRIDE)
#define PAGE_BYTES  (1u << 20)
#define TRY_VALUES  (10 * STRIDE)
#define FEW_VALUES  (2 * STRIDE)
/* On logs that are sorted anew the trials took 4 % of the work, and few dictionaries paid. */
#define MOST_UNTRIED 7
/* By so many values an encoding is chosen. A whole page gives the same choice in what was measured,
 * and costs 3 % of a merge, where each file has but a few pages. */
#define CHOICE_VALUES (4 * STRIDE)
/* To try the searches costs as much as a page: worth it in a file of so many. */
#define SEARCH_PAGES 8
#define SEARCH_BYTES (64u << 10) /* the end of a page: lengths lie before the texts */
#define SEARCH_SLACK 512

/* ---- life ------------------------------------------------------------------------------------ */

static smi_pq_stage stage_of(const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_BOOL:
        return SMI_PQ_STAGE_BOOL;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return SMI_PQ_STAGE_TEXT;
    case SM_TYPE_I64:
    case SM_TYPE_U64:
    case SM_TYPE_F64:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return SMI_PQ_STAGE_8;
    case SM_TYPE_DECIMAL:
        return t->precision <= 9    ? SMI_PQ_STAGE_4
               : t->precision <= 18 ? SMI_PQ_STAGE_8
                                    : SMI_PQ_STAGE_DECIMAL;
    default:
        return SMI_PQ_STAGE_4;
    }
}

static int staged_bytes(const smi_pq_column *c)
{
    static const int bytes[] = {1, 4, 8, (int)sizeof(sm_i128), (int)sizeof(sm_str)};
    _Static_assert(SM_COUNT(bytes) == SMI_PQ_STAGE_TEXT + 1, "a size for each stage");
    return bytes[c->stage];
}

static bool can_dict(const smi_pq_column *c)
{
    return c->may_dict && c->type->id != SM_TYPE_NULL &&
           (c->stage == SMI_PQ_STAGE_TEXT || c->stage == SMI_PQ_STAGE_4 ||
            c->stage == SMI_PQ_STAGE_8);
}

void smi_pq_column_init(smi_pq_column *c, const smi_pq_node *node, const sm_type *type,
                        smi_pq_press *press, smi_pq_codec codec, bool may_dict, sm_budget *budget)
{
    *c = (smi_pq_column){
        .mem = sm_arena_new(budget),
        .node = node,
        .type = type,
        .press = press,
        .codec = codec,
        .may_dict = may_dict,
        .stage = stage_of(type),
    };
    smi_pq_dict_init(&c->dict, c->stage == SMI_PQ_STAGE_TEXT ? 0 : staged_bytes(c));
    smi_pq_seen_init(&c->seen, type);
    smi_pq_seen_init(&c->page_seen, type);
    c->dict_state = can_dict(c) ? SMI_PQ_DICT_TRIED : SMI_PQ_DICT_OFF;
}

#define COLUMN_BUFFERS(c)                                                                          \
    {                                                                                              \
        &(c)->defs, &(c)->reps, &(c)->codes, &(c)->plain, &(c)->lens, &(c)->staged, &(c)->index,   \
            &(c)->memo, &(c)->map, &(c)->raw, &(c)->out, &(c)->dict_out, &(c)->trial,              \
            &(c)->packed, &(c)->heads                                                              \
    }

void smi_pq_column_release(smi_pq_column *c)
{
    sm_buf *const buffers[] = COLUMN_BUFFERS(c);
    for (int i = 0; i < SM_COUNT(buffers); i++) {
        sm_buf_release(buffers[i]);
    }
    smi_pq_dict_release(&c->dict);
    smi_pq_seen_release(&c->seen);
    smi_pq_seen_release(&c->page_seen);
    sm_arena_free(c->mem);
    c->mem = NULL;
    sm_free(c->pages);
    c->pages = NULL;
    c->n_pages = c->pages_cap = 0;
}

size_t smi_pq_column_memory(const smi_pq_column *c)
{
    const sm_buf *const buffers[] = COLUMN_BUFFERS(c);
    size_t total = smi_pq_dict_memory(&c->dict) + (size_t)c->pages_cap * sizeof(*c->pages);
    for (int i = 0; i < SM_COUNT(buffers); i++) {
        total += buffers[i]->cap;
    }
    return total;
}

void smi_pq_column_reset(smi_pq_column *c)
{
    SM_ASSERT(c->n_levels == 0 && c->n_pages == 0 && c->raw.len == 0); /* the chunk has ended */
    sm_buf_reset(&c->out);
    sm_buf_reset(&c->dict_out);
    smi_pq_dict_reset(&c->dict);
    smi_pq_seen_reset(&c->seen);
    sm_buf_reset(&c->heads);
    c->done = NULL; /* the written chunk refers to it until the page index is written */
    c->n_done = c->done_cap = c->n_pressed = 0;
    c->dict_state = can_dict(c) && c->n_untried == 0 ? SMI_PQ_DICT_TRIED : SMI_PQ_DICT_OFF;
    c->n_untried -= c->n_untried > 0;
    c->has_coded_pages = false;
    c->encodings = 0;
    c->plain_bytes = 0;
    c->chunk_levels = 0;
}

/* ---- staging --------------------------------------------------------------------------------- */

/* The rows whose values are staged: rows[0 … n), or first, first + 1, … where rows is NULL. */
typedef struct row_set {
    const int32_t *rows;
    int64_t first, n;
} row_set;

static void *stage_room(smi_pq_column *c, int64_t n)
{
    sm_buf_reset(&c->staged);
    return smi_pq_room(&c->staged, (size_t)n * (size_t)staged_bytes(c) + 16);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define STAGE(to_type, from_type)                                                                  \
    do {                                                                                           \
        const from_type *const v = from->values;                                                   \
        to_type *const to = stage_room(c, r.n);                                                    \
        if (r.rows) {                                                                              \
            for (int64_t i = 0; i < r.n; i++) {                                                    \
                to[i] = (to_type)v[r.rows[i]];                                                     \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < r.n; i++) {                                                    \
                to[i] = (to_type)v[r.first + i];                                                   \
            }                                                                                      \
        }                                                                                          \
        return to;                                                                                 \
    } while (0)

/* Values that are in the physical type already: borrowed where they are contiguous. */
#define STAGE_SAME(type)                                                                           \
    do {                                                                                           \
        if (!r.rows) {                                                                             \
            return (const type *)from->values + r.first;                                           \
        }                                                                                          \
        STAGE(type, type);                                                                         \
    } while (0)

/* NOLINTEND(bugprone-macro-parentheses) */

static const void *stage_bools(smi_pq_column *c, const sm_column *from, row_set r)
{
    uint8_t *to = stage_room(c, r.n);
    for (int64_t i = 0; i < r.n; i++) {
        to[i] = sm_bit_get(from->values, r.rows ? r.rows[i] : r.first + i);
    }
    return to;
}

static const void *stage_text(smi_pq_column *c, const sm_column *from, row_set r)
{
    const sm_view *v = from->values;
    sm_str *to = stage_room(c, r.n);
    if (r.rows) {
        for (int64_t i = 0; i < r.n; i++) {
            to[i] = sm_view_str(&v[r.rows[i]], from->heap);
        }
    } else {
        for (int64_t i = 0; i < r.n; i++) {
            to[i] = sm_view_str(&v[r.first + i], from->heap);
        }
    }
    return to;
}

/* Stages values of a flat column. */
static const void *stage_flat(smi_pq_column *c, const sm_column *from, row_set r)
{
    switch (c->type->id) {
    case SM_TYPE_BOOL:
        return stage_bools(c, from, r);
    case SM_TYPE_I8:
        STAGE(int32_t, int8_t);
    case SM_TYPE_U8:
        STAGE(int32_t, uint8_t);
    case SM_TYPE_I16:
        STAGE(int32_t, int16_t);
    case SM_TYPE_U16:
        STAGE(int32_t, uint16_t);
    case SM_TYPE_DECIMAL:
        if (c->stage == SMI_PQ_STAGE_4) {
            STAGE(int32_t, sm_i128);
        }
        if (c->stage == SMI_PQ_STAGE_8) {
            STAGE(int64_t, sm_i128);
        }
        STAGE_SAME(sm_i128);
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return stage_text(c, from, r);
    default:
        if (c->stage == SMI_PQ_STAGE_4) {
            STAGE_SAME(uint32_t);
        }
        STAGE_SAME(uint64_t);
    }
}
#undef STAGE
#undef STAGE_SAME

/* Stages values of a column in any layout. None of the rows is null. */
static const void *stage_values(smi_pq_column *c, const sm_column *from, row_set r)
{
    SM_ASSERT(from->type->id == c->type->id);
    if (r.n == 0 || c->type->id == SM_TYPE_NULL) {
        return stage_room(c, 0);
    }
    if (from->layout == SM_FLAT) {
        return stage_flat(c, from, r);
    }
    sm_buf_reset(&c->memo);
    int32_t *at = (int32_t *)(void *)smi_pq_room(&c->memo, (size_t)r.n * sizeof(int32_t));
    const int32_t *codes = from->values;
    for (int64_t i = 0; i < r.n; i++) {
        at[i] = from->layout == SM_CONST ? 0 : codes[r.rows ? r.rows[i] : r.first + i];
    }
    const row_set entries = {at, 0, r.n};
    if (from->layout == SM_CONST) {
        sm_column flat = *from;
        flat.layout = SM_FLAT;
        return stage_flat(c, &flat, entries);
    }
    return stage_flat(c, &from->children[0], entries);
}

/* ---- the current page ------------------------------------------------------------------------ */

/* The lengths of the page's buffers agree with its counts. */
static void check_page(const smi_pq_column *c)
{
    SM_ASSERT(c->n_values <= c->n_levels && c->n_rows <= c->n_levels);
    SM_ASSERT(c->defs.len == (size_t)c->n_levels);
    SM_ASSERT(c->reps.len == (c->node->max_rep > 0 ? (size_t)c->n_levels : 0));
    SM_ASSERT(c->dict_state == SMI_PQ_DICT_OFF ? c->codes.len == 0
                                               : c->plain.len == 0 && c->lens.len == 0);
    SM_ASSERT(c->dict_state == SMI_PQ_DICT_OFF ||
              c->codes.len == (size_t)c->n_values * sizeof(uint32_t));
    SM_ASSERT(c->dict_state != SMI_PQ_DICT_OFF || c->stage != SMI_PQ_STAGE_TEXT ||
              c->lens.len == (size_t)c->n_values * sizeof(int32_t));
    SM_ASSERT(c->n_pressed + c->n_pages == c->n_done);
}

static void append_texts(smi_pq_column *c, const sm_str *v, int64_t n)
{
    int32_t *len = (int32_t *)(void *)smi_pq_room(&c->lens, (size_t)n * sizeof(int32_t));
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        len[i] = (int32_t)v[i].len;
        total += v[i].len;
    }
    c->lens.len += (size_t)n * sizeof(int32_t);
    uint8_t *to = smi_pq_room(&c->plain, total + 1);
    for (int64_t i = 0; i < n; i++) {
        sm_str_copy(to, v[i].data, v[i].len);
        to += v[i].len;
    }
    c->plain.len += total;
}

static void append_decimals(smi_pq_column *c, const sm_i128 *v, int64_t n)
{
    const int32_t bytes = c->node->fixed_bytes;
    uint8_t *to = smi_pq_room(&c->plain, (size_t)n * (size_t)bytes);
    for (int64_t i = 0; i < n; i++) {
        sm_i128 left = v[i];
        for (int32_t k = bytes - 1; k >= 0; k--, left >>= 8) {
            to[k] = (uint8_t)left;
        }
        to += bytes;
    }
    c->plain.len += (size_t)n * (size_t)bytes;
}

/* Appends staged values as they are. */
static void append_plain(smi_pq_column *c, const void *staged, int64_t n)
{
    if (c->stage == SMI_PQ_STAGE_TEXT) {
        append_texts(c, staged, n);
    } else if (c->stage == SMI_PQ_STAGE_DECIMAL) {
        append_decimals(c, staged, n);
    } else {
        const size_t bytes = (size_t)n * (size_t)staged_bytes(c);
        memcpy(smi_pq_room(&c->plain, bytes + 1), staged, bytes);
        c->plain.len += bytes;
    }
}

/* The texts of the page's codes become its values. */
static void append_coded_texts(smi_pq_column *c, const uint32_t *codes, int64_t n)
{
    int32_t *len = (int32_t *)(void *)smi_pq_room(&c->lens, (size_t)n * sizeof(int32_t));
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        len[i] = (int32_t)smi_pq_dict_text(&c->dict, codes[i]).len;
        total += (size_t)len[i];
    }
    c->lens.len += (size_t)n * sizeof(int32_t);
    uint8_t *to = smi_pq_room(&c->plain, total + 1);
    for (int64_t i = 0; i < n; i++) {
        sm_str_copy(to, smi_pq_dict_text(&c->dict, codes[i]).data, (size_t)len[i]);
        to += len[i];
    }
    c->plain.len += total;
}

/* Likewise numbers. */
static void append_coded_numbers(smi_pq_column *c, const uint32_t *codes, int64_t n)
{
    const size_t bytes = (size_t)staged_bytes(c);
    uint8_t *to = smi_pq_room(&c->plain, (size_t)n * bytes + 1);
    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(codes[i] < c->dict.n);
        memcpy(to, c->dict.values.data + codes[i] * bytes, bytes);
        to += bytes;
    }
    c->plain.len += (size_t)n * bytes;
}

/* Gives the dictionary up: the page's codes become values. */
static void leave_dictionary(smi_pq_column *c)
{
    SM_ASSERT(c->dict_state != SMI_PQ_DICT_OFF && c->plain.len == 0);
    const uint32_t *codes = (const uint32_t *)(const void *)c->codes.data;
    const int64_t n = (int64_t)(c->codes.len / sizeof(uint32_t));
    if (c->stage != SMI_PQ_STAGE_TEXT) {
        append_coded_numbers(c, codes, n);
    } else if (n > 0) {
        smi_pq_seen_codes(&c->page_seen, &c->dict, codes, n, &c->heads);
        append_coded_texts(c, codes, n);
    }
    sm_buf_reset(&c->codes);
    c->dict_state = SMI_PQ_DICT_OFF;
    if (!c->has_coded_pages) {
        smi_pq_dict_reset(&c->dict);
    }
}

/* Appends staged values to the page: as codes while there is a dictionary with room, then as they
 * are. */
static void append_values(smi_pq_column *c, const void *staged, int64_t n)
{
    int64_t done = 0;
    if (c->stage != SMI_PQ_STAGE_TEXT) {
        smi_pq_seen_add(&c->page_seen, staged, n);
    }
    if (c->dict_state != SMI_PQ_DICT_OFF) {
        uint32_t *codes =
            (uint32_t *)(void *)smi_pq_room(&c->codes, (size_t)n * sizeof(uint32_t) + 1);
        done = smi_pq_dict_codes(&c->dict, staged, n, codes);
        c->codes.len += (size_t)done * sizeof(uint32_t);
        if (done < n) {
            leave_dictionary(c);
            c->has_left = true;
        }
    }
    const void *rest = (const uint8_t *)staged + done * staged_bytes(c);
    if (done < n) {
        if (c->stage == SMI_PQ_STAGE_TEXT) {
            smi_pq_seen_add(&c->page_seen, rest, n - done);
        }
        append_plain(c, rest, n - done);
    }
    c->n_values += n;
}

/* Appends texts of a column with a dictionary. Each of its entries is looked up once, when it first
 * appears, so the codes are the same as if the texts had come one by one. false where there is no
 * dictionary here, or where the entries may not fit into it. c->map has the code + 1 of each entry;
 * 0: not looked up yet. */
static bool append_mapped(smi_pq_column *c, const sm_column *from, row_set r)
{
    const sm_column *entries = from->layout == SM_DICT ? &from->children[0] : NULL;
    if (!entries || c->stage != SMI_PQ_STAGE_TEXT || c->dict_state == SMI_PQ_DICT_OFF ||
        !smi_pq_dict_has_room(&c->dict, entries)) {
        return false;
    }
    if (c->map.len == 0) {
        const size_t bytes = (size_t)entries->n_rows * sizeof(uint32_t);
        memset(smi_pq_room(&c->map, bytes + 1), 0, bytes);
        c->map.len = bytes;
    }
    uint32_t *map = (uint32_t *)(void *)c->map.data;
    uint32_t *codes =
        (uint32_t *)(void *)smi_pq_room(&c->codes, (size_t)r.n * sizeof(uint32_t) + 1);
    for (int64_t i = 0; i < r.n; i++) {
        const int32_t entry = ((const int32_t *)from->values)[r.rows ? r.rows[i] : r.first + i];
        SM_ASSERT(entry >= 0 && (size_t)entry < c->map.len / sizeof(uint32_t));
        if (map[entry] == 0) {
            const sm_str s = sm_view_str((const sm_view *)entries->values + entry, entries->heap);
            const int64_t done = smi_pq_dict_codes(&c->dict, &s, 1, &map[entry]);
            SM_ASSERT(done == 1);
            map[entry]++;
        }
        codes[i] = map[entry] - 1;
    }
    c->codes.len += (size_t)r.n * sizeof(uint32_t);
    c->n_values += r.n;
    return true;
}

/* ---- encoding a page ------------------------------------------------------------------------- */

/* A PLAIN text: its length, then its bytes. */
static void encode_plain_texts(const smi_pq_column *c, int64_t n, sm_buf *out)
{
    const int32_t *len = (const int32_t *)(const void *)c->lens.data;
    const uint8_t *from = c->plain.data;
    uint8_t *to = smi_pq_room(out, (size_t)n * sizeof(*len) + c->plain.len + 1);
    const uint8_t *const start = to;
    for (int64_t i = 0; i < n; i++) {
        memcpy(to, &len[i], 4);
        sm_str_copy(to + 4, from, (size_t)len[i]);
        to += 4 + len[i];
        from += len[i];
    }
    out->len += (size_t)(to - start);
}

static void append_bytes(sm_buf *out, const void *bytes, size_t n)
{
    uint8_t *to = smi_pq_room(out, n + 1);
    if (n > 0) {
        memcpy(to, bytes, n);
    }
    out->len += n;
}

/* How many of the first n bytes are the same in both. */
static int32_t common_bytes(const uint8_t *a, const uint8_t *b, int32_t n)
{
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t other = smi_pq_le64(a + i) ^ smi_pq_le64(b + i);
        if (other != 0) {
            return i + __builtin_ctzll(other) / 8;
        }
    }
    while (i < n && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* DELTA_BYTE_ARRAY: how many bytes each string shares with the one before; then the rest of each as
 * DELTA_LENGTH_BYTE_ARRAY. */
static void encode_delta_texts(smi_pq_column *c, int64_t n, sm_buf *out)
{
    const int32_t *len = (const int32_t *)(const void *)c->lens.data;
    const uint8_t *at = c->plain.data, *last = at;
    sm_buf_reset(&c->memo);
    int32_t *shared = (int32_t *)(void *)smi_pq_room(&c->memo, (size_t)n * 2 * sizeof(int32_t));
    int32_t *rest = shared + n;
    for (int64_t i = 0; i < n; i++) {
        const int32_t before = i > 0 ? len[i - 1] : 0;
        shared[i] = common_bytes(last, at, len[i] < before ? len[i] : before);
        rest[i] = len[i] - shared[i];
        last = at;
        at += len[i];
    }
    smi_pq_delta_write_i32(shared, n, out);
    smi_pq_delta_write_i32(rest, n, out);
    uint8_t *to = smi_pq_room(out, c->plain.len + 1);
    const uint8_t *const start = to;
    at = c->plain.data;
    for (int64_t i = 0; i < n; i++) {
        sm_str_copy(to, at + shared[i], (size_t)rest[i]);
        to += rest[i];
        at += len[i];
    }
    out->len += (size_t)(to - start);
}

/* The bytes of the page's first n values in `plain`. */
static size_t plain_bytes_of(const smi_pq_column *c, int64_t n)
{
    const int32_t *len = (const int32_t *)(const void *)c->lens.data;
    size_t bytes = 0;
    if (n == c->n_values) {
        return c->plain.len;
    }
    if (c->stage != SMI_PQ_STAGE_TEXT) {
        return c->plain.len / (size_t)c->n_values * (size_t)n;
    }
    for (int64_t i = 0; i < n; i++) {
        bytes += (size_t)len[i];
    }
    return bytes;
}

/* Encodes the page's first n values, which are not codes. */
static void encode_values(smi_pq_column *c, smi_pq_encoding encoding, int64_t n, sm_buf *out)
{
    SM_ASSERT(n > 0 && n <= c->n_values && c->dict_state == SMI_PQ_DICT_OFF);
    if (encoding == SMI_PQ_DELTA_BINARY_PACKED && c->stage == SMI_PQ_STAGE_4) {
        smi_pq_delta_write_i32((const int32_t *)(const void *)c->plain.data, n, out);
    } else if (encoding == SMI_PQ_DELTA_BINARY_PACKED) {
        smi_pq_delta_write_i64((const int64_t *)(const void *)c->plain.data, n, out);
    } else if (encoding == SMI_PQ_DELTA_LENGTH_BYTE_ARRAY) {
        smi_pq_delta_write_i32((const int32_t *)(const void *)c->lens.data, n, out);
        append_bytes(out, c->plain.data, plain_bytes_of(c, n));
    } else if (encoding == SMI_PQ_DELTA_BYTE_ARRAY) {
        encode_delta_texts(c, n, out);
    } else if (c->stage == SMI_PQ_STAGE_TEXT) {
        encode_plain_texts(c, n, out);
    } else if (c->stage == SMI_PQ_STAGE_BOOL) {
        uint8_t *bits = smi_pq_room(out, sm_bits_bytes(n) + 1);
        memset(bits, 0, sm_bits_bytes(n));
        smi_pq_pack_bools(c->plain.data, n, bits);
        out->len += sm_bits_bytes(n);
    } else {
        append_bytes(out, c->plain.data, plain_bytes_of(c, n));
    }
}

/* Chooses the encoding of values that are not codes, for the rest of the file, by the first values
 * of this page. */
static sm_status choose_encoding(smi_pq_column *c, sm_error *e)
{
    static const smi_pq_encoding of_texts[] = {SMI_PQ_PLAIN, SMI_PQ_DELTA_LENGTH_BYTE_ARRAY,
                                               SMI_PQ_DELTA_BYTE_ARRAY};
    static const smi_pq_encoding of_numbers[] = {SMI_PQ_PLAIN, SMI_PQ_DELTA_BINARY_PACKED};
    const bool is_text = c->stage == SMI_PQ_STAGE_TEXT;
    const bool is_float = c->type->id == SM_TYPE_F32 || c->type->id == SM_TYPE_F64;
    const smi_pq_encoding *const candidates = is_text ? of_texts : of_numbers;
    const int n_candidates = is_text ? SM_COUNT(of_texts) : SM_COUNT(of_numbers);
    const int64_t n_tried = c->n_values < CHOICE_VALUES ? c->n_values : CHOICE_VALUES;
    size_t least = SIZE_MAX;
    c->choice = SMI_PQ_PLAIN;
    c->has_choice = true;
    if (is_float || c->stage == SMI_PQ_STAGE_BOOL || c->stage == SMI_PQ_STAGE_DECIMAL) {
        return SM_OK;
    }
    for (int i = 0; i < n_candidates; i++) {
        sm_buf_reset(&c->trial);
        encode_values(c, candidates[i], n_tried, &c->trial);
        SM_TRY(
            smi_pq_press_bytes(c->press, SMI_PQ_SEARCH_WIDE, sm_buf_str(&c->trial), &c->packed, e));
        if (c->packed.len < least) {
            least = c->packed.len;
            c->choice = candidates[i];
            c->is_dense = least >= c->trial.len / 32 * 31;
        }
    }
    return SM_OK;
}

static void encode_codes(smi_pq_column *c, sm_buf *out)
{
    const int width = smi_pq_width(c->dict.n > 0 ? c->dict.n - 1 : 0);
    const uint8_t head = (uint8_t)width;
    append_bytes(out, &head, 1);
    SM_ASSERT(c->codes.len == (size_t)c->n_values * sizeof(uint32_t));
    if (width == 0) { /* one entry: all codes are one run */
        smi_pq_runs_repeat(0, c->n_values, 0, out);
    } else {
        smi_pq_runs_write((const uint32_t *)(const void *)c->codes.data, c->n_values, width, out);
    }
}

/* Encodes levels as runs; returns the number of bytes. */
static size_t encode_levels(const sm_buf *levels, int max, sm_buf *out)
{
    const size_t start = out->len;
    if (max > 0) {
        smi_pq_runs_write_u8(levels->data, (int64_t)levels->len, smi_pq_width((uint32_t)max), out);
    }
    return out->len - start;
}

/* Is this chunk like the last one, whose dictionary did not pay by far? */
static bool is_vain_again(const smi_pq_column *c)
{
    return c->was_vain && c->n_values >= FEW_VALUES && (int64_t)c->dict.n * 32 >= c->n_values * 31;
}

/* Settles how many chunks do without a trial after one in vain. A few values tell little of the
 * chunks that follow. */
static void count_vain_trial(smi_pq_column *c)
{
    SM_ASSERT(c->dict_state == SMI_PQ_DICT_OFF && c->n_untried == 0);
    if (c->n_values >= FEW_VALUES) {
        c->n_untried = c->n_vain;
        c->n_vain = c->n_vain < MOST_UNTRIED ? c->n_vain * 2 + 1 : MOST_UNTRIED;
    }
}

/* Decides whether the dictionary pays, if that is still open. */
static void decide_dictionary(smi_pq_column *c)
{
    if (c->dict_state == SMI_PQ_DICT_TRIED) {
        c->was_vain = c->n_values >= FEW_VALUES && (int64_t)c->dict.n * 4 > c->n_values * 3;
        if ((int64_t)c->dict.n * 2 > c->n_values) {
            leave_dictionary(c);
            count_vain_trial(c);
        } else {
            c->dict_state = SMI_PQ_DICT_ON;
            c->n_vain = 0;
        }
    }
}

/* Notes what the page index will say of the page, and adds it to the chunk's statistics. */
static void note_page(smi_pq_column *c, const smi_pq_raw_page *p, bool is_coded)
{
    if (is_coded && c->stage == SMI_PQ_STAGE_TEXT) {
        smi_pq_seen_codes(&c->page_seen, &c->dict, (const uint32_t *)(const void *)c->codes.data,
                          c->n_values, &c->heads);
    }
    c->page_seen.n_nulls = p->n_nulls;
    c->done = sm_arena_grow(c->mem, c->done, c->n_done, &c->done_cap, sizeof(*c->done));
    smi_pq_written_page *done = &c->done[c->n_done++];
    *done = (smi_pq_written_page){
        .n_rows = p->n_rows, .is_null = c->n_values == 0, .has_nan = c->page_seen.has_nan};
    smi_pq_seen_stats(&c->page_seen, c->node, c->mem, &done->stats);
    smi_pq_seen_merge(&c->seen, &c->page_seen);
    smi_pq_seen_reset(&c->page_seen);
}

static sm_status close_page(smi_pq_column *c, sm_error *e)
{
    if (c->n_levels == 0) {
        return SM_OK;
    }
    check_page(c);
    if (c->n_values > 0) {
        decide_dictionary(c);
    }
    const bool is_coded = c->dict_state != SMI_PQ_DICT_OFF && c->n_values > 0;
    if (!is_coded && !c->has_choice && c->n_values > 0) {
        SM_TRY(choose_encoding(c, e));
    }
    if (c->n_pages == c->pages_cap) {
        c->pages_cap = c->pages_cap * 2 + 16;
        c->pages = sm_realloc(c->pages, (size_t)c->pages_cap * sizeof(*c->pages));
    }
    smi_pq_raw_page *p = &c->pages[c->n_pages];
    *p = (smi_pq_raw_page){
        .encoding = is_coded          ? SMI_PQ_RLE_DICTIONARY
                    : c->n_values > 0 ? c->choice
                                      : SMI_PQ_PLAIN,
        .n_levels = c->n_levels,
        .n_nulls = c->n_levels - c->n_values,
        .n_rows = c->n_rows,
        .off = c->raw.len,
    };
    p->rep_bytes = encode_levels(&c->reps, c->node->max_rep, &c->raw);
    p->def_bytes = encode_levels(&c->defs, c->node->max_def, &c->raw);
    if (is_coded) {
        encode_codes(c, &c->raw);
        c->has_coded_pages = true;
    } else if (c->n_values > 0) {
        encode_values(c, p->encoding, c->n_values, &c->raw);
    }
    p->value_bytes = c->raw.len - p->off - p->rep_bytes - p->def_bytes;
    if (c->raw.len - p->off > INT32_MAX || c->n_levels > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "column \"%.*s\": a page of %zu bytes",
                       SM_STR_ARG(c->node->name), c->raw.len - p->off);
    }
    c->n_pages++;
    c->chunk_levels += c->n_levels;
    note_page(c, p, is_coded);
    c->n_levels = c->n_rows = c->n_values = 0;
    c->has_left = false;
    sm_buf *const page[] = {&c->defs, &c->reps, &c->codes, &c->plain, &c->lens};
    for (int i = 0; i < SM_COUNT(page); i++) {
        sm_buf_reset(page[i]);
    }
    return SM_OK;
}

/* Ends the page if it is full. Called where a page may end. */
static sm_status end_full_page(smi_pq_column *c, sm_error *e)
{
    check_page(c);
    if (c->n_values >= TRY_VALUES || is_vain_again(c)) {
        decide_dictionary(c);
    }
    const bool is_full = c->n_rows >= PAGE_ROWS || c->n_levels >= PAGE_LEVELS ||
                         c->plain.len + c->lens.len >= PAGE_BYTES;
    return is_full ? close_page(c, e) : SM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static sm_status fail_null(const smi_pq_column *c, sm_error *e)
{
    return sm_fail(e, SM_SCHEMA, "column \"%.*s\" may not be null, but a row of it is",
                   SM_STR_ARG(c->node->name));
}

/* Appends the definition levels of the rows, and finds those that are not null (c->index). */
static row_set full_rows(smi_pq_column *c, const sm_column *from, int64_t first, int64_t n)
{
    uint8_t *def = smi_pq_room(&c->defs, (size_t)n);
    c->defs.len += (size_t)n;
    const bool is_const = from->layout == SM_CONST;
    const bool all_null = from->type->id == SM_TYPE_NULL ||
                          (is_const && from->validity && !sm_bit_get(from->validity, 0));
    if (all_null || !from->validity || is_const) {
        memset(def, !all_null, (size_t)n);
        return (row_set){NULL, first, all_null ? 0 : n};
    }
    sm_buf_reset(&c->index);
    int32_t *rows = (int32_t *)(void *)smi_pq_room(&c->index, (size_t)(n + 1) * sizeof(int32_t));
    int64_t n_full = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool is_set = sm_bit_get(from->validity, first + i);
        def[i] = is_set;
        rows[n_full] = (int32_t)(first + i);
        n_full += is_set;
    }
    if (n_full == n) {
        return (row_set){NULL, first, n};
    }
    return (row_set){rows, 0, n_full};
}

/* How many of the staged texts the page takes; *is_full: the last of them fills it. A page whose
 * dictionary was given up takes all rows up to the next multiple of STRIDE. */
static int64_t texts_that_fit(const smi_pq_column *c, const sm_str *v, int64_t n, bool *is_full)
{
    size_t bytes = c->plain.len + c->lens.len;
    if (c->dict_state != SMI_PQ_DICT_OFF || c->has_left) {
        return n;
    }
    size_t all = bytes;
    for (int64_t i = 0; i < n; i++) {
        all += v[i].len + 4;
    }
    for (int64_t i = 0; all >= PAGE_BYTES && i < n; i++) {
        bytes += v[i].len + 4;
        if (bytes >= PAGE_BYTES) {
            *is_full = true;
            return i + 1;
        }
    }
    return n;
}

sm_status smi_pq_column_add(smi_pq_column *c, const sm_column *from, int64_t first, int64_t n,
                            sm_error *e)
{
    SM_ASSERT(first >= 0 && n >= 0 && first + n <= from->n_rows);
    SM_ASSERT(c->node->max_rep == 0 && c->node->max_def <= 1);
    sm_buf_reset(&c->map);
    while (n > 0) {
        const int64_t in_stride = STRIDE - c->n_rows % STRIDE;
        int64_t take = n < in_stride ? n : in_stride;
        const size_t defs_before = c->defs.len;
        row_set r = full_rows(c, from, first, take);
        if (r.n < take && c->node->max_def == 0) {
            return fail_null(c, e);
        }
        bool is_full = false;
        if (!append_mapped(c, from, r)) {
            const void *staged = stage_values(c, from, r);
            if (c->stage == SMI_PQ_STAGE_TEXT) {
                r.n = texts_that_fit(c, staged, r.n, &is_full);
            }
            if (is_full) {
                take = (r.rows ? r.rows[r.n - 1] : first + r.n - 1) + 1 - first;
                c->defs.len = defs_before + (size_t)take;
            }
            append_values(c, staged, r.n);
        }
        c->n_levels += take;
        c->n_rows += take;
        first += take;
        n -= take;
        if (c->n_rows % STRIDE == 0 || is_full) {
            SM_TRY(end_full_page(c, e));
        }
    }
    return SM_OK;
}

sm_status smi_pq_column_add_levels(smi_pq_column *c, const sm_column *from,
                                   const smi_pq_levels *levels, sm_error *e)
{
    const row_set r = {levels->rows, 0, levels->n_full};
    SM_ASSERT(levels->n_full <= levels->n && levels->n_rows <= levels->n);
    append_bytes(&c->defs, levels->defs, (size_t)levels->n);
    if (c->node->max_rep > 0) {
        append_bytes(&c->reps, levels->reps, (size_t)levels->n);
    }
    append_values(c, stage_values(c, from, r), r.n);
    c->n_levels += levels->n;
    c->n_rows += levels->n_rows;
    return levels->is_edge ? end_full_page(c, e) : SM_OK;
}

/* ---- compression and the chunk --------------------------------------------------------------- */

static void put_data_header(const smi_pq_raw_page *p, size_t packed, bool is_compressed,
                            uint32_t crc, sm_buf *to)
{
    smi_thrift_out o = {.to = to};
    const size_t levels = p->rep_bytes + p->def_bytes;
    smi_thrift_begin(&o, 0);
    smi_thrift_put_i32(&o, 1, 3); /* DATA_PAGE_V2 */
    smi_thrift_put_i32(&o, 2, (int32_t)(levels + p->value_bytes));
    smi_thrift_put_i32(&o, 3, (int32_t)(levels + packed));
    smi_thrift_put_i32(&o, 4, (int32_t)crc);
    smi_thrift_begin(&o, 8);
    smi_thrift_put_i32(&o, 1, (int32_t)p->n_levels);
    smi_thrift_put_i32(&o, 2, (int32_t)p->n_nulls);
    smi_thrift_put_i32(&o, 3, (int32_t)p->n_rows);
    smi_thrift_put_i32(&o, 4, (int32_t)p->encoding);
    smi_thrift_put_i32(&o, 5, (int32_t)p->def_bytes);
    smi_thrift_put_i32(&o, 6, (int32_t)p->rep_bytes);
    smi_thrift_put_bool(&o, 7, is_compressed);
    smi_thrift_end(&o);
    smi_thrift_end(&o);
}

/* Has the page values in the encoding that was chosen? */
static bool is_chosen(const smi_pq_column *c, const smi_pq_raw_page *p)
{
    return c->has_choice && p->encoding == c->choice && p->n_nulls < p->n_levels;
}

/* Chooses by part of a page how such pages of the file are searched for what repeats: the quickest
 * way that gives at most a SEARCH_SLACKth more than the smallest result. */
static sm_status choose_search(smi_pq_column *c, const smi_pq_raw_page *p, sm_error *e)
{
    const uint8_t *const end = c->raw.data + p->off + p->rep_bytes + p->def_bytes + p->value_bytes;
    const size_t n_tried = p->value_bytes < SEARCH_BYTES ? p->value_bytes : SEARCH_BYTES;
    const sm_str in = {(const char *)end - n_tried, n_tried};
    size_t sizes[SMI_PQ_SEARCHES], least = SIZE_MAX;
    for (smi_pq_search s = SMI_PQ_SEARCH_WIDE; s < SMI_PQ_SEARCHES; s++) {
        SM_TRY(smi_pq_press_bytes(c->press, s, in, &c->packed, e));
        sizes[s] = c->packed.len;
        least = sizes[s] < least ? sizes[s] : least;
    }
    for (smi_pq_search s = SMI_PQ_SEARCH_WIDE; s < SMI_PQ_SEARCHES; s++) {
        c->search = sizes[s] <= least + least / SEARCH_SLACK ? s : c->search;
    }
    c->has_search = true;
    return SM_OK;
}

static sm_status press_page(smi_pq_column *c, const smi_pq_raw_page *p, sm_error *e)
{
    SM_ASSERT(p->off + p->rep_bytes + p->def_bytes + p->value_bytes <= c->raw.len);
    SM_ASSERT(c->n_pressed < c->n_done);
    const uint8_t *levels = c->raw.data + p->off;
    const size_t n_levels = p->rep_bytes + p->def_bytes;
    const uint8_t *values = levels + n_levels;
    size_t packed = p->value_bytes;
    bool is_compressed = false;
    const bool has_choice = is_chosen(c, p);
    if (c->codec != SMI_PQ_UNCOMPRESSED && p->value_bytes > 0 && !(c->is_dense && has_choice)) {
        SM_TRY(smi_pq_press_bytes(c->press, has_choice ? c->search : SMI_PQ_SEARCH_WIDE,
                                  (sm_str){(const char *)values, p->value_bytes}, &c->packed, e));
        is_compressed = c->packed.len < p->value_bytes;
        packed = is_compressed ? c->packed.len : p->value_bytes;
        values = is_compressed ? c->packed.data : values;
    }
    const uint32_t crc = sm_crc32(sm_crc32(0, levels, n_levels), values, packed);
    const size_t before = c->out.len;
    put_data_header(p, packed, is_compressed, crc, &c->out);
    c->plain_bytes += c->out.len - before + n_levels + p->value_bytes;
    append_bytes(&c->out, levels, n_levels);
    append_bytes(&c->out, values, packed);
    c->encodings |= 1u << p->encoding | 1u << SMI_PQ_RLE;
    c->done[c->n_pressed++].bytes = c->out.len - before;
    return SM_OK;
}

sm_status smi_pq_column_press(smi_pq_column *c, sm_error *e)
{
    c->n_file_pages += c->n_pages;
    const bool is_worth = c->n_file_pages >= SEARCH_PAGES && !c->is_dense;
    for (int64_t i = 0; is_worth && !c->has_search && i < c->n_pages; i++) {
        if (is_chosen(c, &c->pages[i]) && smi_pq_press_searches(c->press)) {
            SM_TRY(choose_search(c, &c->pages[i], e));
        }
    }
    for (int64_t i = 0; i < c->n_pages; i++) {
        SM_TRY(press_page(c, &c->pages[i], e));
    }
    SM_ASSERT(c->n_pressed == c->n_done);
    c->n_pages = 0;
    sm_buf_reset(&c->raw);
    return SM_OK;
}

static void dictionary_values(const smi_pq_column *c, sm_buf *out)
{
    if (c->stage != SMI_PQ_STAGE_TEXT) {
        append_bytes(out, c->dict.values.data, c->dict.values.len);
        return;
    }
    for (uint32_t i = 0; i < c->dict.n; i++) {
        const sm_str s = smi_pq_dict_text(&c->dict, i);
        const uint32_t len = (uint32_t)s.len;
        append_bytes(out, &len, 4);
        append_bytes(out, s.data, s.len);
    }
}

static sm_status press_dictionary(smi_pq_column *c, sm_error *e)
{
    sm_buf_reset(&c->trial);
    dictionary_values(c, &c->trial);
    SM_TRY(smi_pq_press_bytes(c->press, SMI_PQ_SEARCH_WIDE, sm_buf_str(&c->trial), &c->packed, e));
    const sm_str packed = sm_buf_str(&c->packed);
    smi_thrift_out o = {.to = &c->dict_out};
    smi_thrift_begin(&o, 0);
    smi_thrift_put_i32(&o, 1, 2); /* DICTIONARY_PAGE */
    smi_thrift_put_i32(&o, 2, (int32_t)c->trial.len);
    smi_thrift_put_i32(&o, 3, (int32_t)packed.len);
    smi_thrift_put_i32(&o, 4, (int32_t)sm_crc32(0, packed.data, packed.len));
    smi_thrift_begin(&o, 7);
    smi_thrift_put_i32(&o, 1, (int32_t)c->dict.n);
    smi_thrift_put_i32(&o, 2, SMI_PQ_PLAIN);
    smi_thrift_end(&o);
    smi_thrift_end(&o);
    c->plain_bytes += c->dict_out.len + c->trial.len;
    append_bytes(&c->dict_out, packed.data, packed.len);
    c->encodings |= 1u << SMI_PQ_PLAIN;
    return SM_OK;
}

sm_status smi_pq_column_end(smi_pq_column *c, sm_error *e)
{
    SM_TRY(close_page(c, e));
    SM_TRY(smi_pq_column_press(c, e));
    if (c->has_coded_pages) {
        SM_ASSERT(c->dict.n > 0 && c->dict_out.len == 0);
        SM_TRY(press_dictionary(c, e));
    }
    return SM_OK;
}
