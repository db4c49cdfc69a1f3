/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_pack.c: divides rows among ranges, in few bytes, and makes batches of them again.
 *
 * Calls    smi_parcels_pack() for a group of batches, smi_parcels_unpack() for a range; by
 *          exec_range.c.
 * Parcel   u32 rows, u32 columns; a struct column_head for each column; then the columns:
 *            NULLs     only where the group has some: a byte a row, 1 is a value
 *            NUMBERS   what is above the least value of the group, in as few bytes as hold that of
 *                      the greatest; none where all are equal. Bits of floats as they are
 *            WIDE      16 bytes
 *            CODES     texts of which the group's batches have few, by dictionaries and constants:
 *                      lengths (u32) and bytes of the entries; a byte a row, none for one entry
 *            TEXTS     lengths, of 1, 2 or 4 bytes, none where all are equal; then the bytes
 *            PLACES    the last column. Of each run of which the parcel has rows: the number of the
 *                      first of them in the parcel (u32); then the places of the runs (u64)
 * Method   A group is packed column by column: its rows are read in their order, and written behind
 *          each other into as many places as there are ranges. So both sides stay in the cache.
 *          Where a write is wider than its value, the rest lies in what is written later, or in the
 *          padding of the block.
 * Why      Flat columns take 110 bytes for a row of which 60 differ; the rest would be copied,
 *          spilled, and compressed for nothing. */
#include "exec/exec_range_int.h"

#include <string.h>

#include "base/hash.h"

#define MOST_ENTRIES 256
#define MOST_TEXT    4096 /* bytes of entries: each parcel has them all */
#define SLOTS        1024
#define CHUNK        1024 /* rows whose numbers are looked at together */

typedef enum parcel_kind {
    KIND_NONE,
    KIND_NUMBERS,
    KIND_WIDE,
    KIND_CODES,
    KIND_TEXTS,
    KIND_PLACES,
} parcel_kind;

/* What a parcel says of a column; it is the same in all parcels of a group but for text_bytes, and
 * for the runs, which are the entries of PLACES. */
typedef struct column_head {
    uint8_t kind, width, has_nulls, pad;
    uint32_t n_entries, entries_bytes, text_bytes;
    uint64_t base;
} column_head;

typedef struct parcel_head {
    uint32_t n_rows, n_columns;
} parcel_head;

/* ---- a set of few texts ---------------------------------------------------------------------- */

typedef struct entry_set {
    sm_str entries[MOST_ENTRIES];
    int32_t n;
    size_t bytes;
    uint16_t slots[SLOTS]; /* number of an entry + 1; 0: free */
} entry_set;

_Static_assert(MOST_ENTRIES * 2 <= SLOTS, "a free slot ends each search");

/* The number of a text; −1 if there are too many. */
static int32_t number_of(entry_set *s, sm_str text)
{
    for (uint64_t at = sm_hash64(text.data, text.len) % SLOTS;; at = (at + 1) % SLOTS) {
        const int32_t number = s->slots[at] - 1;
        if (number < 0) {
            if (s->n == MOST_ENTRIES || s->bytes + text.len > MOST_TEXT) {
                return -1;
            }
            s->entries[s->n] = text;
            s->bytes += text.len;
            s->slots[at] = (uint16_t)(s->n + 1);
            return s->n++;
        }
        if (sm_str_eq(s->entries[number], text)) {
            return number;
        }
    }
}

/* ---- planning a group ------------------------------------------------------------------------ */

typedef struct pack_column {
    column_head head;
    entry_set *entries;   /* KIND_CODES */
    uint8_t (*maps)[256]; /* one a batch: the code of each entry of its dictionary */
    uint32_t *text_bytes; /* KIND_TEXTS: one a range */
} pack_column;

/* The rows of a run that one range gets. */
typedef struct part {
    uint32_t range, first_row; /* in the parcel */
    uint64_t place;
} part;

typedef struct packing {
    const smi_batches *rows;
    const sm_type *schema;
    int32_t n_columns; /* without the place */
    const uint32_t *ranges;
    int32_t n_ranges;
    uint32_t *n_rows;  /* one a range */
    uint32_t *n_parts; /* likewise */
    part *parts;       /* run by run */
    int64_t n_all_parts, parts_cap;
    uint8_t **at;    /* where the next column begins, one a range */
    uint8_t **next;  /* where the next row goes, one a range; of texts the length, */
    uint8_t **bytes; /* and their bytes */
    pack_column *columns;
} packing;

bool smi_parcel_can(const sm_type *schema)
{
    bool can = true;

    for (int32_t i = 0; i < schema->n_fields && can; i++) {
        can = !sm_type_is_nested(schema->fields[i].type->id);
    }
    return can;
}

static const sm_column *column_of(const packing *p, int64_t batch, int32_t k)
{
    return &p->rows->items[batch]->columns[k];
}

#define READ(ctype)                                                                                \
    do {                                                                                           \
        const ctype *const from = flat->values;                                                    \
        for (int32_t i = 0; i < n; i++) {                                                          \
            const int64_t at = is_const ? 0 : codes ? codes[first + i] : first + i;                \
            out[i] = (uint64_t)(int64_t)from[at];                                                  \
        }                                                                                          \
    } while (0)

/* Rows first … first + n − 1 of a column of at most 8 bytes a value: its bits, sign-extended. Of
 * NULLs any. */
static void read_numbers(const sm_column *c, int64_t first, int32_t n, uint64_t *out)
{
    const bool is_const = c->layout == SM_CONST;
    const int32_t *codes = c->layout == SM_DICT ? c->values : NULL;
    const sm_column *flat = codes ? &c->children[0] : c;

    if (codes && flat->n_rows == 0) { /* all are NULL */
        memset(out, 0, (size_t)n * sizeof(*out));
        return;
    }
    if (c->type->id == SM_TYPE_BOOL) {
        for (int32_t i = 0; i < n; i++) {
            out[i] = !sm_column_is_null(c, first + i) && sm_column_value(c, first + i).as.b;
        }
        return;
    }
    SM_ASSERT(n == 0 || flat->values);
    switch (sm_type_bytes(c->type->id)) {
    case 1:
        READ(int8_t);
        break;
    case 2:
        READ(int16_t);
        break;
    case 4:
        READ(int32_t);
        break;
    default:
        SM_ASSERT(sm_type_bytes(c->type->id) == sizeof(int64_t));
        READ(int64_t);
        break;
    }
}
#undef READ

static int bytes_for(uint64_t most)
{
    return most == 0 ? 0 : (64 - __builtin_clzll(most) + 7) / 8;
}

static void plan_numbers(packing *p, int32_t k)
{
    column_head *h = &p->columns[k].head;
    uint64_t numbers[CHUNK];
    int64_t least = INT64_MAX, most = INT64_MIN;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t at = 0; at < c->n_rows; at += CHUNK) {
            const int32_t n = c->n_rows - at < CHUNK ? (int32_t)(c->n_rows - at) : CHUNK;
            read_numbers(c, at, n, numbers);
            for (int32_t i = 0; i < n; i++) {
                const int64_t v = (int64_t)numbers[i];
                least = v < least ? v : least;
                most = v > most ? v : most;
            }
        }
    }
    h->kind = KIND_NUMBERS;
    h->base = (uint64_t)least;
    h->width = (uint8_t)bytes_for((uint64_t)most - (uint64_t)least);
}

/* Numbers the texts of dictionaries and constants. false: there are others, or too many. */
static bool plan_codes(packing *p, int32_t k)
{
    pack_column *col = &p->columns[k];
    bool fits = true;

    for (int64_t b = 0; b < p->rows->n && fits; b++) {
        const sm_column *c = column_of(p, b, k);
        fits = c->layout == SM_CONST ||
               (c->layout == SM_DICT && c->children[0].n_rows <= MOST_ENTRIES);
    }
    if (!fits) {
        return false;
    }
    col->entries = sm_alloc_zero(sizeof(*col->entries));
    col->maps = sm_alloc_zero((size_t)(p->rows->n + 1) * sizeof(*col->maps));
    for (int64_t b = 0; b < p->rows->n && fits; b++) {
        const sm_column *c = column_of(p, b, k);
        const bool is_const = c->layout == SM_CONST;
        const sm_column *texts = is_const ? c : &c->children[0];
        const bool is_null = is_const && sm_column_is_null(c, 0);
        const int64_t n = is_null ? 0 : is_const ? 1 : texts->n_rows;
        for (int64_t i = 0; i < n && fits; i++) {
            const int32_t code = number_of(col->entries, sm_column_str(texts, i));
            fits = code >= 0;
            col->maps[b][i] = (uint8_t)code;
        }
    }
    col->head.kind = KIND_CODES;
    col->head.n_entries = (uint32_t)col->entries->n;
    col->head.entries_bytes = (uint32_t)col->entries->bytes;
    col->head.width = col->entries->n > 1;
    return fits;
}

static inline size_t text_len(const sm_column *c, int64_t i)
{
    return c->layout == SM_FLAT /* views of NULLs are empty */
               ? (size_t)((const sm_view *)c->values)[i].inlined.len
               : sm_column_str(c, i).len;
}

/* Counts the bytes of texts of several lengths, by range. */
static void count_texts(const packing *p, int32_t k, uint32_t *text_bytes)
{
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            text_bytes[p->ranges[row]] += (uint32_t)text_len(c, i);
        }
    }
}

static sm_status plan_texts(packing *p, int32_t k, sm_error *e)
{
    pack_column *col = &p->columns[k];
    uint64_t longest = 0, shortest = UINT64_MAX, sum = 0;
    int64_t n_rows = 0;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t i = 0; i < c->n_rows; i++) {
            const size_t len = text_len(c, i);
            longest = len > longest ? len : longest;
            shortest = len < shortest ? len : shortest;
            sum += len;
        }
        n_rows += c->n_rows;
    }
    if (sum > INT32_MAX) { /* views have offsets of 31 bits */
        return sm_fail(e, SM_LIMIT, "%lld rows that are sorted have over 2 GiB of text in a column",
                       (long long)n_rows);
    }
    col->text_bytes = sm_alloc_zero((size_t)p->n_ranges * sizeof(*col->text_bytes));
    col->head.kind = KIND_TEXTS;
    if (shortest == longest) {
        col->head.base = longest;
        for (int32_t r = 0; r < p->n_ranges; r++) {
            col->text_bytes[r] = p->n_rows[r] * (uint32_t)longest;
        }
        return SM_OK;
    }
    col->head.width = longest <= UINT8_MAX ? 1 : longest <= UINT16_MAX ? 2 : 4;
    count_texts(p, k, col->text_bytes);
    return SM_OK;
}

static sm_status plan_column(packing *p, int32_t k, sm_error *e)
{
    const sm_type *type = p->schema->fields[k].type;
    column_head *h = &p->columns[k].head;

    for (int64_t b = 0; b < p->rows->n && !h->has_nulls; b++) {
        h->has_nulls = type->id != SM_TYPE_NULL && column_of(p, b, k)->validity != NULL;
    }
    if (sm_type_is_bytes(type->id)) {
        if (plan_codes(p, k)) {
            return SM_OK;
        }
        sm_free(p->columns[k].entries);
        p->columns[k].entries = NULL;
        *h = (column_head){.has_nulls = h->has_nulls};
        return plan_texts(p, k, e);
    }
    if (type->id == SM_TYPE_NULL) {
        h->kind = KIND_NONE;
    } else if (sm_type_bytes(type->id) > (int)sizeof(uint64_t)) {
        SM_ASSERT(sm_type_bytes(type->id) == sizeof(sm_i128));
        h->kind = KIND_WIDE;
        h->width = sizeof(sm_i128);
    } else {
        plan_numbers(p, k);
    }
    return SM_OK;
}

/* ---- packing --------------------------------------------------------------------------------- */

/* The bytes of a column in a parcel of n rows. */
static size_t column_bytes(const column_head *h, size_t n)
{
    return n * ((size_t)h->has_nulls + h->width) + h->n_entries * sizeof(uint32_t) +
           h->entries_bytes + h->text_bytes;
}

static column_head head_in(const packing *p, int32_t k, int32_t range)
{
    column_head h = p->columns[k].head;
    h.text_bytes = h.kind == KIND_TEXTS ? p->columns[k].text_bytes[range] : 0;
    if (h.kind == KIND_PLACES) {
        h.n_entries = p->n_parts[range];
        h.entries_bytes = h.n_entries * (uint32_t)sizeof(uint64_t);
    }
    return h;
}

/* Makes the blocks, with their heads. */
static sm_status make_blocks(packing *p, sm_budget *budget, sm_block **out, size_t *sizes,
                             sm_error *e)
{
    const int32_t n_columns = p->schema->n_fields;

    for (int32_t r = 0; r < p->n_ranges; r++) {
        size_t bytes = sizeof(parcel_head) + (size_t)n_columns * sizeof(column_head);
        if (p->n_rows[r] == 0) {
            continue;
        }
        for (int32_t k = 0; k < n_columns; k++) {
            const column_head h = head_in(p, k, r);
            bytes += column_bytes(&h, p->n_rows[r]);
        }
        SM_TRY(sm_block_new(budget, bytes, &out[r], e));
        sizes[r] = bytes;
        const parcel_head head = {p->n_rows[r], (uint32_t)n_columns};
        p->at[r] = out[r]->data;
        memcpy(p->at[r], &head, sizeof(head));
        p->at[r] += sizeof(head);
        for (int32_t k = 0; k < n_columns; k++) {
            const column_head h = head_in(p, k, r);
            memcpy(p->at[r], &h, sizeof(h));
            p->at[r] += sizeof(h);
        }
    }
    return SM_OK;
}

static void put_validity(packing *p, int32_t k)
{
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            *p->next[p->ranges[row]]++ = !sm_column_is_null(c, i);
        }
    }
}

static void put_numbers(packing *p, int32_t k)
{
    const column_head *h = &p->columns[k].head;
    uint64_t numbers[CHUNK];
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n && h->width > 0; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t at = 0; at < c->n_rows; at += CHUNK) {
            const int32_t n = c->n_rows - at < CHUNK ? (int32_t)(c->n_rows - at) : CHUNK;
            read_numbers(c, at, n, numbers);
            for (int32_t i = 0; i < n; i++, row++) {
                const uint64_t above = numbers[i] - h->base;
                uint8_t **to = &p->next[p->ranges[row]];
                memcpy(*to, &above, sizeof(above));
                *to += h->width;
            }
        }
    }
}

static void put_wide(packing *p, int32_t k)
{
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        const sm_column *flat = c->layout == SM_DICT ? &c->children[0] : c;
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            const int64_t at =
                c->layout == SM_DICT ? ((const int32_t *)c->values)[i] : sm_column_at(c, i);
            uint8_t **to = &p->next[p->ranges[row]];
            if (flat->n_rows > 0) { /* a dictionary of NULLs has no entry */
                memcpy(*to, (const sm_i128 *)flat->values + at, sizeof(sm_i128));
            } else {
                memset(*to, 0, sizeof(sm_i128));
            }
            *to += sizeof(sm_i128);
        }
    }
}

static void put_codes(packing *p, int32_t k)
{
    const pack_column *col = &p->columns[k];
    int64_t row = 0;

    for (int32_t r = 0; r < p->n_ranges; r++) {
        for (int32_t i = 0; p->n_rows[r] > 0 && i < col->entries->n; i++) {
            const uint32_t len = (uint32_t)col->entries->entries[i].len;
            memcpy(p->next[r], &len, sizeof(len));
            p->next[r] += sizeof(len);
        }
        for (int32_t i = 0; p->n_rows[r] > 0 && i < col->entries->n; i++) {
            const sm_str s = col->entries->entries[i];
            if (s.len > 0) {
                memcpy(p->next[r], s.data, s.len);
                p->next[r] += s.len;
            }
        }
    }
    for (int64_t b = 0; b < p->rows->n && col->head.width > 0; b++) {
        const sm_column *c = column_of(p, b, k);
        const int32_t *codes = c->layout == SM_DICT ? c->values : NULL;
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            *p->next[p->ranges[row]]++ = col->maps[b][codes ? codes[i] : 0];
        }
    }
}

static void put_text(packing *p, uint32_t range, int width, sm_str s)
{
    const uint32_t len = (uint32_t)s.len;

    if (width == 1) {
        *p->next[range] = (uint8_t)len;
    } else {
        memcpy(p->next[range], &len, width == 2 ? sizeof(uint16_t) : sizeof(len));
    }
    p->next[range] += width;
    sm_str_copy(p->bytes[range], s.data, s.len);
    p->bytes[range] += s.len;
}

static void put_places(packing *p)
{
    for (int32_t r = 0; r < p->n_ranges; r++) {
        p->bytes[r] = p->n_rows[r] > 0 ? p->next[r] + p->n_parts[r] * sizeof(uint32_t) : NULL;
    }
    for (int64_t i = 0; i < p->n_all_parts; i++) {
        const part *x = &p->parts[i];
        memcpy(p->next[x->range], &x->first_row, sizeof(x->first_row));
        memcpy(p->bytes[x->range], &x->place, sizeof(x->place));
        p->next[x->range] += sizeof(x->first_row);
        p->bytes[x->range] += sizeof(x->place);
    }
}

/* Texts of one length. */
static void put_fixed_texts(packing *p, int32_t k)
{
    const size_t len = (size_t)p->columns[k].head.base;
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            const sm_view *v = c->layout == SM_FLAT ? (const sm_view *)c->values + i : NULL;
            uint8_t **to = &p->next[p->ranges[row]];
            if (v && len <= SM_VIEW_INLINE) {
                memcpy(*to, v->inlined.bytes, SM_VIEW_INLINE);
            } else {
                const sm_str s = v ? sm_view_str(v, c->heap) : sm_column_str(c, i);
                sm_str_copy(*to, s.data, len);
            }
            *to += len;
        }
    }
}

static void put_texts(packing *p, int32_t k)
{
    const int width = p->columns[k].head.width;
    int64_t row = 0;

    if (width == 0) {
        put_fixed_texts(p, k);
        return;
    }

    for (int32_t r = 0; r < p->n_ranges; r++) {
        p->bytes[r] = p->n_rows[r] > 0 ? p->next[r] + p->n_rows[r] * (uint32_t)width : NULL;
    }
    for (int64_t b = 0; b < p->rows->n; b++) {
        const sm_column *c = column_of(p, b, k);
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            const sm_view *v = c->layout == SM_FLAT ? (const sm_view *)c->values + i : NULL;
            const uint32_t range = p->ranges[row];
            if (v && width == 1 && v->inlined.len <= SM_VIEW_INLINE) {
                *p->next[range]++ = (uint8_t)v->inlined.len;
                memcpy(p->bytes[range], v->inlined.bytes, SM_VIEW_INLINE);
                p->bytes[range] += v->inlined.len;
            } else {
                put_text(p, range, width, v ? sm_view_str(v, c->heap) : sm_column_str(c, i));
            }
        }
    }
}

static void put_column(packing *p, int32_t k)
{
    memcpy(p->next, p->at, (size_t)p->n_ranges * sizeof(*p->next));
    if (p->columns[k].head.has_nulls) {
        put_validity(p, k);
    }
    switch (p->columns[k].head.kind) {
    case KIND_NUMBERS:
        put_numbers(p, k);
        break;
    case KIND_WIDE:
        put_wide(p, k);
        break;
    case KIND_CODES:
        put_codes(p, k);
        break;
    case KIND_TEXTS:
        put_texts(p, k);
        break;
    case KIND_PLACES:
        put_places(p);
        break;
    default:
        break;
    }
    for (int32_t r = 0; r < p->n_ranges; r++) {
        const column_head h = head_in(p, k, r);
        p->at[r] += p->n_rows[r] > 0 ? column_bytes(&h, p->n_rows[r]) : 0;
    }
}

static void add_part(packing *p, const part *x)
{
    if (p->n_all_parts == p->parts_cap) {
        p->parts_cap = p->parts_cap ? p->parts_cap * 2 : 256;
        p->parts = sm_realloc(p->parts, (size_t)p->parts_cap * sizeof(*p->parts));
    }
    p->parts[p->n_all_parts++] = *x;
    p->n_parts[x->range]++;
}

/* Counts the rows of each range, and finds which runs they are of. */
static void count_rows(packing *p, const smi_run *runs, int64_t n_runs)
{
    int64_t *last_run = sm_alloc_zero((size_t)p->n_ranges * sizeof(*last_run)); /* + 1 */
    int64_t row = 0;

    for (int64_t i = 0; i < n_runs; i++) {
        for (const int64_t end = row + runs[i].n_rows; row < end; row++) {
            const uint32_t range = p->ranges[row];
            SM_ASSERT(range < (uint32_t)p->n_ranges);
            if (last_run[range] != i + 1) {
                last_run[range] = i + 1;
                add_part(p, &(part){range, p->n_rows[range], runs[i].first});
            }
            p->n_rows[range]++;
        }
    }
    sm_free(last_run);
}

static void packing_release(packing *p)
{
    for (int32_t k = 0; k < p->n_columns; k++) {
        sm_free(p->columns[k].entries);
        sm_free(p->columns[k].maps);
        sm_free(p->columns[k].text_bytes);
    }
    sm_free(p->columns);
    sm_free(p->parts);
    sm_free(p->n_parts);
    sm_free(p->n_rows);
    sm_free(p->at);
    sm_free(p->next);
    sm_free(p->bytes);
}

sm_status smi_parcels_pack(const smi_group *group, sm_budget *budget, sm_block **out, size_t *sizes,
                           sm_error *e)
{
    const sm_type *schema = group->schema;
    const int32_t n_ranges = group->n_ranges;
    const size_t n = (size_t)n_ranges;
    SM_ASSERT(group->rows->n > 0 && group->n_runs > 0 && n_ranges > 0 && smi_parcel_can(schema));
    packing p = {.rows = group->rows,
                 .schema = schema,
                 .n_columns = schema->n_fields - 1,
                 .ranges = group->ranges,
                 .n_ranges = n_ranges,
                 .n_rows = sm_alloc_zero(n * sizeof(*p.n_rows)),
                 .n_parts = sm_alloc_zero(n * sizeof(*p.n_parts)),
                 .at = sm_alloc_zero(n * sizeof(*p.at)),
                 .next = sm_alloc_zero(n * sizeof(*p.next)),
                 .bytes = sm_alloc_zero(n * sizeof(*p.bytes)),
                 .columns = sm_alloc_zero((size_t)schema->n_fields * sizeof(*p.columns))};
    sm_status st = SM_OK;

    memset(out, 0, n * sizeof(sm_block *));
    count_rows(&p, group->runs, group->n_runs);
    for (int32_t k = 0; k < p.n_columns && st == SM_OK; k++) {
        st = plan_column(&p, k, e);
    }
    p.columns[p.n_columns].head.kind = KIND_PLACES;
    st = st == SM_OK ? make_blocks(&p, budget, out, sizes, e) : st;
    for (int32_t k = 0; k < schema->n_fields && st == SM_OK; k++) {
        st = sm_check_cancel(budget, e);
        if (st == SM_OK) {
            put_column(&p, k);
        }
    }
    for (int32_t r = 0; r < n_ranges; r++) {
        SM_ASSERT(st != SM_OK || !out[r] || p.at[r] == out[r]->data + sizes[r]);
        if (st != SM_OK) {
            sm_block_release(out[r]);
            out[r] = NULL;
        }
    }
    packing_release(&p);
    return st;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

/* A column of a parcel that is being read. */
typedef struct parcel_column {
    int64_t n_rows;
    column_head head;
    const uint8_t *valid; /* NULL: there are no NULLs */
    const uint8_t *entries, *entry_bytes;
    const uint8_t *values; /* numbers, codes, or lengths */
    const uint8_t *text;
} parcel_column;

typedef struct unpacking {
    sm_block *const *parcels;
    int64_t n;
    int64_t n_rows;
    const uint8_t **at;      /* where the next column of each parcel begins */
    parcel_column *columns;  /* the same column of each */
    bool has_nulls, has_one; /* has_one: the same base, and no bytes for rows */
    sm_batch *into;
} unpacking;

static parcel_head head_of(const sm_block *parcel)
{
    parcel_head h;
    memcpy(&h, parcel->data, sizeof(h));
    return h;
}

/* Finds column k in each parcel; columns are read one after another. */
static void read_heads(unpacking *u, int32_t k)
{
    u->has_nulls = false;
    u->has_one = true;
    for (int64_t i = 0; i < u->n; i++) {
        parcel_column *c = &u->columns[i];
        const uint8_t *at = u->at[i];
        *c = (parcel_column){.n_rows = head_of(u->parcels[i]).n_rows};
        memcpy(&c->head,
               u->parcels[i]->data + sizeof(parcel_head) + (size_t)k * sizeof(column_head),
               sizeof(c->head));
        c->valid = c->head.has_nulls ? at : NULL;
        c->entries = at + (c->head.has_nulls ? c->n_rows : 0);
        c->entry_bytes = c->entries + c->head.n_entries * sizeof(uint32_t);
        c->values = c->entry_bytes + c->head.entries_bytes;
        c->text = c->values + (size_t)c->n_rows * c->head.width;
        u->at[i] += column_bytes(&c->head, (size_t)c->n_rows);
        SM_ASSERT(c->text + c->head.text_bytes == u->at[i]);
        u->has_nulls = u->has_nulls || c->valid;
        u->has_one = u->has_one && c->head.width == 0 && c->head.base == u->columns[0].head.base;
    }
}

static sm_status unpack_validity(const unpacking *u, sm_column *out, sm_error *e)
{
    void *bits = NULL;
    int64_t row = 0;

    if (!u->has_nulls) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(u->into, sm_bits_bytes(u->n_rows), &bits, e));
    for (int64_t k = 0; k < u->n; k++) {
        for (int64_t i = 0; i < u->columns[k].n_rows; i++, row++) {
            if (!u->columns[k].valid || u->columns[k].valid[i]) {
                sm_bit_set(bits, row);
            }
        }
    }
    out->validity = bits;
    return SM_OK;
}

static inline uint64_t number_at(const parcel_column *c, int64_t i, uint64_t mask)
{
    uint64_t v;
    if (c->valid && !c->valid[i]) {
        return 0;
    }
    memcpy(&v, c->values + i * c->head.width, sizeof(v));
    return c->head.base + (v & mask);
}

#define UNPACK(ctype)                                                                              \
    do {                                                                                           \
        ctype *to = (ctype *)values + row;                                                         \
        for (int64_t i = 0; i < c->n_rows; i++) {                                                  \
            to[i] = (ctype)number_at(c, i, mask);                                                  \
        }                                                                                          \
    } while (0)

/* Writes the numbers of a parcel at a row of the values. */
static void unpack_numbers_of(const parcel_column *c, int width, int64_t row, void *values)
{
    const uint64_t mask = c->head.width == 8 ? UINT64_MAX : ((uint64_t)1 << c->head.width * 8) - 1;

    switch (width) {
    case 0: /* BOOL */
        for (int64_t i = 0; i < c->n_rows; i++) {
            if (number_at(c, i, mask)) {
                sm_bit_set(values, row + i);
            }
        }
        break;
    case 1:
        UNPACK(uint8_t);
        break;
    case 2:
        UNPACK(uint16_t);
        break;
    case 4:
        UNPACK(uint32_t);
        break;
    default:
        SM_ASSERT(width == sizeof(uint64_t));
        UNPACK(uint64_t);
        break;
    }
}
#undef UNPACK

static sm_status unpack_numbers(const unpacking *u, sm_column *out, sm_error *e)
{
    const bool is_bool = out->type->id == SM_TYPE_BOOL;
    const int width = is_bool ? 0 : sm_type_bytes(out->type->id);
    const bool is_const = u->has_one && !u->has_nulls;
    const size_t n = (size_t)u->n_rows;
    void *values = NULL;
    int64_t row = 0;

    if (is_const || is_bool) { /* bits are set one by one */
        SM_TRY(sm_batch_alloc(u->into, is_const ? sizeof(uint64_t) : sm_bits_bytes(u->n_rows),
                              &values, e));
    } else {
        SM_TRY(sm_batch_alloc_raw(u->into, n * (size_t)width, &values, e));
    }
    out->values = values;
    if (is_const) {
        out->layout = SM_CONST;
        memcpy(values, &u->columns[0].head.base, sizeof(uint64_t));
        return SM_OK;
    }
    for (int64_t k = 0; k < u->n; k++) {
        unpack_numbers_of(&u->columns[k], width, row, values);
        row += u->columns[k].n_rows;
    }
    return SM_OK;
}

static sm_status unpack_wide(const unpacking *u, sm_column *out, sm_error *e)
{
    void *values = NULL;

    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(sm_i128), &values, e));
    out->values = values;
    for (int64_t k = 0; k < u->n; k++) {
        const size_t bytes = (size_t)u->columns[k].n_rows * sizeof(sm_i128);
        memcpy(values, u->columns[k].values, bytes);
        values = (uint8_t *)values + bytes;
    }
    return SM_OK;
}

static uint32_t u32_at(const uint8_t *numbers, uint32_t i)
{
    uint32_t v;
    memcpy(&v, numbers + i * sizeof(v), sizeof(v));
    return v;
}

static sm_status unpack_places(const unpacking *u, sm_column *out, sm_error *e)
{
    void *values = NULL;

    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(uint64_t), &values, e));
    out->values = values;
    uint64_t *to = values;
    for (int64_t k = 0; k < u->n; k++) {
        const parcel_column *c = &u->columns[k];
        SM_ASSERT(c->head.kind == KIND_PLACES && c->head.n_entries > 0);
        for (uint32_t i = 0; i < c->head.n_entries; i++) {
            const uint32_t first = u32_at(c->entries, i);
            const uint32_t end =
                i + 1 < c->head.n_entries ? u32_at(c->entries, i + 1) : (uint32_t)c->n_rows;
            uint64_t place = 0;
            memcpy(&place, c->entry_bytes + i * sizeof(place), sizeof(place));
            for (uint32_t row = first; row < end; row++) {
                *to++ = place++;
            }
        }
    }
    SM_ASSERT(to == (uint64_t *)values + u->n_rows);
    return SM_OK;
}

/* Entry i of a parcel's dictionary, which begins at *off of its bytes; moves *off behind it. */
static sm_str next_entry(const parcel_column *c, uint32_t i, uint32_t *off)
{
    const sm_str entry = {(const char *)c->entry_bytes + *off, u32_at(c->entries, i)};
    *off += (uint32_t)entry.len;
    return entry;
}

static void unpack_coded_views(const parcel_column *c, int32_t k, sm_view *views)
{
    sm_view few[MOST_ENTRIES];

    for (uint32_t i = 0, off = 0; i < c->head.n_entries; i++) {
        const uint32_t first = off;
        const sm_str s = next_entry(c, i, &off);
        few[i] = sm_view_make((const uint8_t *)s.data, (int32_t)s.len, k, (int32_t)first);
    }
    for (int64_t i = 0; i < c->n_rows; i++) {
        const bool is_null = c->valid && !c->valid[i];
        views[i] = is_null ? (sm_view){0} : few[c->head.width > 0 ? c->values[i] : 0];
    }
}

/* Writes the views of a parcel's texts, which are in heap buffer k. */
static void unpack_views_of(const parcel_column *c, int32_t k, sm_view *views)
{
    const int width = c->head.width;
    const uint32_t fixed = (uint32_t)c->head.base; /* where there are no lengths */
    const uint32_t mask = width == 4 ? UINT32_MAX : ((uint32_t)1 << width * 8) - 1;
    uint32_t off = 0;

    for (int64_t i = 0; i < c->n_rows && width == 0; i++, off += fixed) {
        views[i] = sm_view_read(c->text + off, fixed, k, off);
    }
    for (int64_t i = 0; i < c->n_rows && width > 0; i++) {
        uint32_t len = 0;
        memcpy(&len, c->values + i * width, sizeof(len)); /* the padding may be read */
        len &= mask;
        views[i] = sm_view_read(c->text + off, len, k, off);
        off += len;
    }
}

static sm_status unpack_views(const unpacking *u, sm_column *out, sm_error *e)
{
    void *views = NULL, *heap = NULL;
    int64_t row = 0;

    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(sm_view), &views, e));
    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n * sizeof(sm_heap_buf), &heap, e));
    for (int64_t k = 0; k < u->n; k++) {
        const parcel_column *c = &u->columns[k];
        const bool is_coded = c->head.kind == KIND_CODES;
        ((sm_heap_buf *)heap)[k] = (sm_heap_buf){
            .data = is_coded ? c->entry_bytes : c->text,
            .size_bytes = is_coded ? c->head.entries_bytes : c->head.text_bytes,
        };
        if (is_coded) {
            unpack_coded_views(c, (int32_t)k, (sm_view *)views + row);
        } else {
            unpack_views_of(c, (int32_t)k, (sm_view *)views + row);
        }
        row += c->n_rows;
    }
    out->values = views;
    out->heap = heap;
    out->n_heap = (int32_t)u->n;
    return SM_OK;
}

/* Makes the column of one dictionary for all parcels. *fits is false where it cannot. */
static sm_status unpack_codes(const unpacking *u, entry_set *s, sm_column *out, bool *fits,
                              sm_error *e)
{
    void *codes_mem = NULL, *child = NULL;
    int32_t map[MOST_ENTRIES];
    int64_t row = 0;

    *fits = true;
    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(int32_t), &codes_mem, e));
    int32_t *codes = codes_mem;
    for (int64_t k = 0; k < u->n && *fits; k++) {
        const parcel_column *c = &u->columns[k];
        uint32_t off = 0;
        *fits = c->head.kind == KIND_CODES;
        for (uint32_t i = 0; i < c->head.n_entries && *fits; i++) {
            map[i] = number_of(s, next_entry(c, i, &off));
            *fits = map[i] >= 0;
        }
        for (int64_t i = 0; i < c->n_rows && *fits; i++, row++) {
            const bool is_null = c->valid && !c->valid[i];
            const uint32_t code = c->head.width > 0 ? c->values[i] : 0;
            SM_ASSERT(is_null || code < c->head.n_entries);
            codes[row] = is_null ? 0 : map[code];
        }
    }
    *fits = *fits && s->n > 0;
    if (*fits) {
        SM_TRY(sm_batch_alloc(u->into, sizeof(sm_column), &child, e));
        out->values = codes;
        out->layout = SM_DICT;
        out->children = child;
        out->n_children = 1;
    }
    return SM_OK;
}

/* Makes the flat column of a set's texts. */
static sm_status make_entries(const unpacking *u, const entry_set *s, const sm_type *type,
                              sm_column *out, sm_error *e)
{
    void *views = NULL, *text = NULL, *heap = NULL;
    int32_t used = 0;

    SM_TRY(sm_batch_alloc(u->into, (size_t)s->n * sizeof(sm_view), &views, e));
    SM_TRY(sm_batch_alloc(u->into, s->bytes + 1, &text, e));
    SM_TRY(sm_batch_alloc(u->into, sizeof(sm_heap_buf), &heap, e));
    for (int32_t i = 0; i < s->n; i++) {
        const sm_str one = s->entries[i];
        if (one.len > 0) {
            memcpy((uint8_t *)text + used, one.data, one.len);
        }
        ((sm_view *)views)[i] = sm_view_make((uint8_t *)text + used, (int32_t)one.len, 0, used);
        used += (int32_t)one.len;
    }
    *(sm_heap_buf *)heap = (sm_heap_buf){.data = text, .size_bytes = used};
    *out = (sm_column){.type = type, .n_rows = s->n, .values = views, .heap = heap, .n_heap = 1};
    return SM_OK;
}

static sm_status unpack_texts(const unpacking *u, sm_column *out, sm_error *e)
{
    entry_set *s = NULL;
    sm_column entries = {0};
    bool fits = u->columns[0].head.kind == KIND_CODES;
    sm_status st = SM_OK;

    if (fits) {
        s = sm_alloc_zero(sizeof(*s));
        SM_TRY_GOTO(st, done, unpack_codes(u, s, out, &fits, e));
    }
    if (!fits) {
        st = unpack_views(u, out, e);
        goto done;
    }
    SM_TRY_GOTO(st, done, make_entries(u, s, out->type, &entries, e));
    *(sm_column *)out->children = entries;
    if (s->n == 1 && !u->has_nulls) {
        entries.layout = SM_CONST;
        entries.n_rows = u->n_rows;
        *out = entries;
    }
done:
    sm_free(s);
    return st;
}

static sm_status unpack_column(unpacking *u, int32_t k, sm_column *out, sm_error *e)
{
    const sm_type *type = out->type;

    read_heads(u, k);
    *out = (sm_column){.type = type, .n_rows = u->n_rows};
    if (k == u->into->n_columns - 1) {
        return unpack_places(u, out, e);
    }
    SM_TRY(unpack_validity(u, out, e));
    if (sm_type_is_bytes(type->id)) {
        return unpack_texts(u, out, e);
    }
    if (type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    return sm_type_bytes(type->id) > (int)sizeof(uint64_t) ? unpack_wide(u, out, e)
                                                           : unpack_numbers(u, out, e);
}

sm_status smi_parcels_unpack(sm_block *const *parcels, int64_t n, const sm_type *schema,
                             sm_budget *budget, sm_batch **out, sm_error *e)
{
    unpacking u = {.parcels = parcels, .n = n};

    SM_ASSERT(n > 0 && n <= INT32_MAX);
    SM_TRY(sm_batch_new(budget, schema, &u.into, e));
    u.at = sm_alloc((size_t)n * sizeof(*u.at));
    u.columns = sm_alloc((size_t)n * sizeof(*u.columns));
    for (int64_t i = 0; i < n; i++) {
        const parcel_head h = head_of(parcels[i]);
        SM_ASSERT(h.n_columns == (uint32_t)schema->n_fields && h.n_rows > 0);
        u.at[i] = parcels[i]->data + sizeof(h) + h.n_columns * sizeof(column_head);
        u.n_rows += h.n_rows;
        sm_batch_keep(u.into, parcels[i]);
    }
    sm_status st = SM_OK;
    for (int32_t k = 0; k < schema->n_fields && st == SM_OK; k++) {
        st = sm_check_cancel(budget, e);
        st = st == SM_OK ? unpack_column(&u, k, &u.into->columns[k], e) : st;
    }
    sm_free((void *)u.at);
    sm_free(u.columns);
    if (st != SM_OK) {
        sm_batch_release(u.into);
        return st;
    }
    u.into->n_rows = u.n_rows;
    *out = u.into;
    return SM_OK;
}
