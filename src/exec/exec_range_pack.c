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
 *            CODES     texts of which the column has few (exec_range_texts.c), where the group's
 *                      batches have dictionaries and constants: as NUMBERS, of at most 2 bytes
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

#define CHUNK 1024 /* rows whose numbers are looked at together */

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

/* ---- planning a group ------------------------------------------------------------------------ */

typedef struct pack_column {
    column_head head;
    uint16_t **maps;      /* KIND_CODES: one a batch, of each entry of its dictionary the code; the
                           * same for batches that share it */
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
    smi_texts *texts;
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

/* The texts of a dictionary or a constant; *n: how many. NULL: it is neither. */
static const sm_column *few_texts(const sm_column *c, int64_t *n)
{
    if (c->layout == SM_CONST) {
        *n = sm_column_is_null(c, 0) ? 0 : 1;
        return c;
    }
    *n = c->layout == SM_DICT ? c->children[0].n_rows : 0;
    return c->layout == SM_DICT ? &c->children[0] : NULL;
}

/* Finds the codes of a batch's texts. false: it has others than few, or too many. */
static bool map_texts(packing *p, int32_t k, int64_t batch)
{
    uint16_t **maps = p->columns[k].maps;
    int64_t n = 0, n_before = 0;
    const sm_column *texts = few_texts(column_of(p, batch, k), &n);
    const sm_column *before = batch > 0 ? few_texts(column_of(p, batch - 1, k), &n_before) : NULL;

    if (texts && before && texts->values == before->values && n == n_before) {
        maps[batch] = maps[batch - 1];
        return true;
    }
    if (!texts) {
        return false;
    }
    maps[batch] = sm_alloc_zero((size_t)(n + 1) * sizeof(**maps)); /* rows with NULL have code 0 */
    return smi_texts_codes(p->texts, k, texts, n, maps[batch]);
}

static void free_maps(uint16_t **maps, int64_t n)
{
    for (int64_t b = 0; maps && b < n; b++) {
        if (b == 0 || maps[b] != maps[b - 1]) {
            sm_free(maps[b]);
        }
    }
    sm_free((void *)maps);
}

/* Finds the codes of a column's texts. false: a batch has others than few. */
static bool plan_codes(packing *p, int32_t k)
{
    pack_column *col = &p->columns[k];
    uint16_t least = UINT16_MAX, most = 0;
    bool fits = true;

    col->maps = sm_alloc_zero((size_t)p->rows->n * sizeof(*col->maps));
    for (int64_t b = 0; b < p->rows->n && fits; b++) {
        int64_t n = 0;
        fits = map_texts(p, k, b);
        few_texts(column_of(p, b, k), &n);
        for (int64_t i = 0; i < n && fits; i++) {
            least = col->maps[b][i] < least ? col->maps[b][i] : least;
            most = col->maps[b][i] > most ? col->maps[b][i] : most;
        }
    }
    if (!fits) {
        free_maps(col->maps, p->rows->n);
        col->maps = NULL;
        return false;
    }
    col->head.kind = KIND_CODES;
    col->head.base = least < most ? least : most; /* without a text 0 */
    col->head.width = (uint8_t)bytes_for(most - col->head.base);
    return true;
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
    const column_head *h = &p->columns[k].head;
    int64_t row = 0;

    for (int64_t b = 0; b < p->rows->n && h->width > 0; b++) {
        const sm_column *c = column_of(p, b, k);
        const uint16_t *map = p->columns[k].maps[b];
        const int32_t *codes = c->layout == SM_DICT ? c->values : NULL;
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            const uint16_t above = (uint16_t)(map[codes ? codes[i] : 0] - h->base);
            uint8_t **to = &p->next[p->ranges[row]];
            memcpy(*to, &above, sizeof(above));
            *to += h->width;
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
        free_maps(p->columns[k].maps, p->rows->n);
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
                 .texts = group->texts,
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
    const smi_texts *texts;
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

/* Row i's code of a parcel's texts; of NULL any. */
static inline uint32_t code_at(const parcel_column *c, int64_t i)
{
    uint16_t above = 0;

    memcpy(&above, c->values + i * c->head.width, sizeof(above)); /* the padding may be read */
    return (uint32_t)c->head.base + (above & ((1u << c->head.width * 8) - 1));
}

/* Writes the views of rows with codes. The bytes of the entries are in heap buffer k. */
static void unpack_coded_views(const parcel_column *c, const sm_column *entries, int32_t k,
                               sm_view *views)
{
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (c->valid && !c->valid[i]) {
            views[i] = (sm_view){0};
            continue;
        }
        SM_ASSERT(entries && code_at(c, i) < entries->n_rows);
        views[i] = ((const sm_view *)entries->values)[code_at(c, i)];
        if (views[i].inlined.len > SM_VIEW_INLINE) {
            views[i].ref.buffer = k;
        }
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

/* Writes views. Heap buffer k is that of parcel k, the last one that of the entries. */
static sm_status unpack_views(const unpacking *u, const sm_column *entries, sm_column *out,
                              sm_error *e)
{
    const int32_t n = (int32_t)u->n;
    void *views = NULL, *mem = NULL;
    int64_t row = 0;

    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(sm_view), &views, e));
    SM_TRY(sm_batch_alloc(u->into, ((size_t)n + 1) * sizeof(sm_heap_buf), &mem, e));
    sm_heap_buf *heap = mem;
    for (int32_t k = 0; k < n; k++) {
        const parcel_column *c = &u->columns[k];
        heap[k] = (sm_heap_buf){.data = c->text, .size_bytes = c->head.text_bytes};
        if (c->head.kind == KIND_CODES) {
            unpack_coded_views(c, entries, n, (sm_view *)views + row);
        } else {
            unpack_views_of(c, k, (sm_view *)views + row);
        }
        row += c->n_rows;
    }
    heap[n] = entries ? entries->heap[0] : heap[n];
    out->values = views;
    out->heap = heap;
    out->n_heap = n + 1;
    return SM_OK;
}

/* Makes a column with the entries as its dictionary. */
static sm_status unpack_codes(const unpacking *u, const sm_column *entries, sm_column *out,
                              sm_error *e)
{
    void *mem = NULL, *child = NULL;
    int64_t row = 0;

    SM_TRY(sm_batch_alloc_raw(u->into, (size_t)u->n_rows * sizeof(int32_t), &mem, e));
    SM_TRY(sm_batch_alloc(u->into, sizeof(sm_column), &child, e));
    int32_t *codes = mem;
    for (int64_t k = 0; k < u->n; k++) {
        const parcel_column *c = &u->columns[k];
        for (int64_t i = 0; i < c->n_rows; i++, row++) {
            const bool is_null = c->valid && !c->valid[i];
            codes[row] = is_null ? 0 : (int32_t)code_at(c, i);
            SM_ASSERT(codes[row] < entries->n_rows);
        }
    }
    *(sm_column *)child = *entries;
    out->layout = SM_DICT;
    out->values = codes;
    out->children = child;
    out->n_children = 1;
    return SM_OK;
}

static sm_status unpack_texts(const unpacking *u, int32_t k, sm_column *out, sm_error *e)
{
    sm_block *block = NULL;
    const sm_column *entries = smi_texts_of(u->texts, k, &block);
    bool are_coded = entries != NULL;

    for (int64_t i = 0; i < u->n && are_coded; i++) {
        are_coded = u->columns[i].head.kind == KIND_CODES;
    }
    if (block) {
        sm_batch_keep(u->into, block);
    }
    if (are_coded && u->has_one && !u->has_nulls) {
        out->layout = SM_CONST;
        out->values = (const sm_view *)entries->values + u->columns[0].head.base;
        out->heap = entries->heap;
        out->n_heap = entries->n_heap;
        return SM_OK;
    }
    return are_coded ? unpack_codes(u, entries, out, e) : unpack_views(u, entries, out, e);
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
        return unpack_texts(u, k, out, e);
    }
    if (type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    return sm_type_bytes(type->id) > (int)sizeof(uint64_t) ? unpack_wide(u, out, e)
                                                           : unpack_numbers(u, out, e);
}

sm_status smi_parcels_unpack(const smi_parcels *parcels, sm_budget *budget, sm_batch **out,
                             sm_error *e)
{
    const sm_type *schema = parcels->schema;
    const int64_t n = parcels->n;
    unpacking u = {.parcels = parcels->items, .n = n, .texts = parcels->texts};

    SM_ASSERT(n > 0 && n < INT32_MAX);
    SM_TRY(sm_batch_new(budget, schema, &u.into, e));
    u.at = sm_alloc((size_t)n * sizeof(*u.at));
    u.columns = sm_alloc((size_t)n * sizeof(*u.columns));
    for (int64_t i = 0; i < n; i++) {
        const parcel_head h = head_of(u.parcels[i]);
        SM_ASSERT(h.n_columns == (uint32_t)schema->n_fields && h.n_rows > 0);
        u.at[i] = u.parcels[i]->data + sizeof(h) + h.n_columns * sizeof(column_head);
        u.n_rows += h.n_rows;
        sm_batch_keep(u.into, u.parcels[i]);
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
