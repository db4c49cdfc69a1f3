/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_stats.c: statistics of chunks and pages: read as a range of values of the
 * wanted type, and gathered from values that are written.
 *
 * Used          min_value and max_value, if the footer says that the column is ordered as its type
 *               is. The older min and max were ordered as signed numbers or bytes in every type, so
 *               they are used for signed integers, dates and times only.
 * Not used      An end that has the wrong length or does not convert. Both ends if one is NaN, or
 *               if they contradict each other. INT96, INTERVAL and the like have no order. A text
 *               may be cut, which makes a range wider, never narrower.
 * Written       No ends if a NaN is among the values: most readers take NaN to be between the ends.
 * Conversion    keeps the order of values (units are all rounded down), so converting its ends
 *               converts a range.
 * Source        apache/parquet-format, parquet.thrift: Statistics, ColumnOrder
 *
 * Called by parquet_reader.c, and by parquet_column.c and parquet_writer.c for what they write. */

#include <math.h>

#include "base/text.h"
#include "format/parquet/parquet_int.h"

/* Reads a converted value, in the form that a column of the type has it. */
static sm_value value_at(const sm_type *t, const void *p)
{
    sm_value v = {.type = t};
    switch (t->id) {
    case SM_TYPE_I8:
        v.as.i = *(const int8_t *)p; /* NOLINT(bugprone-signed-char-misuse): a number */
        break;
    case SM_TYPE_I16:
        v.as.i = *(const int16_t *)p;
        break;
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        v.as.i = *(const int32_t *)p;
        break;
    case SM_TYPE_U8:
        v.as.u = *(const uint8_t *)p;
        break;
    case SM_TYPE_U16:
        v.as.u = *(const uint16_t *)p;
        break;
    case SM_TYPE_U32:
        v.as.u = *(const uint32_t *)p;
        break;
    case SM_TYPE_U64:
        v.as.u = *(const uint64_t *)p;
        break;
    case SM_TYPE_F32:
        v.as.f = (double)*(const float *)p;
        break;
    case SM_TYPE_F64:
        v.as.f = *(const double *)p;
        break;
    case SM_TYPE_DECIMAL:
        memcpy(&v.as.d, p, sizeof(v.as.d));
        break;
    case SM_TYPE_BOOL:
        v.as.b = *(const uint8_t *)p != 0;
        break;
    default:
        v.as.i = *(const int64_t *)p;
    }
    return v;
}

/* Converts an end as stored to the wanted type; false where it cannot be used. */
static bool decode_end(const smi_pq_convert *c, sm_str s, sm_value *out)
{
    const smi_pq_raw raw = smi_pq_raw_of(c->from->physical);
    _Alignas(16) uint8_t in[16] = {0}, to[16] = {0};
    const sm_heap_buf heap = {(const uint8_t *)s.data, (int64_t)s.len};
    if (smi_pq_convert_is_uuid(c)) {
        return false; /* its text would have to be made, and a range of UUIDs is of no use */
    }
    if (sm_type_is_bytes(c->to->id)) {
        *out = (sm_value){.type = c->to, .as.s = s};
        return true;
    }
    if (raw == SMI_PQ_RAW_VIEW) {
        if (s.len > 64 ||
            (c->from->physical == SMI_PQ_FIXED && s.len != (size_t)c->from->fixed_bytes)) {
            return false;
        }
        const sm_view v = sm_view_make(heap.data, (int32_t)s.len, 0, 0);
        memcpy(in, &v, sizeof(v));
    } else if (s.len == (size_t)smi_pq_raw_bytes(raw)) {
        memcpy(in, s.data, s.len);
    } else {
        return false;
    }
    if (smi_pq_convert_values(c, in, &heap, to, 1) != 1) {
        return false;
    }
    *out = value_at(c->to, to);
    return true;
}

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

/* Are the older fields ordered as the type is? */
static bool old_order_holds(const smi_pq_node *n)
{
    if (n->physical != SMI_PQ_INT32 && n->physical != SMI_PQ_INT64) {
        return false;
    }
    return n->logical != SMI_PQ_INTEGER || n->is_signed;
}

/* The range of a leaf's values by the statistics of n_rows rows. */
static void range_of_leaf(const smi_pq_footer *f, const smi_pq_stats *s, int64_t n_rows,
                          const smi_pq_shape *shape, sm_range *out)
{
    const smi_pq_convert *c = &shape->convert;
    SM_ASSERT(shape->kind == SMI_PQ_SHAPE_LEAF && shape->slot_rep == 0);
    SM_ASSERT(shape->leaf >= 0 && shape->leaf < f->n_leaves);
    *out = (sm_range){.n_rows = n_rows};
    out->may_have_nan = is_float(shape->type) && s->n_nans != 0;
    if (s->n_nulls >= 0 && s->n_nulls <= n_rows) {
        out->has_nulls = true;
        out->n_nulls = s->n_nulls;
    }
    sm_str min = {0}, max = {0};
    if (f->has_order[shape->leaf] && c->from->physical != SMI_PQ_INT96) {
        min = s->min;
        max = s->max;
    } else if (old_order_holds(c->from)) {
        min = s->old_min;
        max = s->old_max;
    }
    out->has_min = min.data && decode_end(c, min, &out->min);
    out->has_max = max.data && decode_end(c, max, &out->max);
    if (is_float(shape->type) &&
        ((out->has_min && isnan(out->min.as.f)) || (out->has_max && isnan(out->max.as.f)))) {
        out->has_min = out->has_max = false;
    }
    if (out->has_min && out->has_max && sm_value_cmp(out->min, out->max) > 0) {
        out->has_min = out->has_max = false; /* one of them is wrong */
    }
    if ((min.data || max.data) && out->has_nulls && out->n_nulls == n_rows) {
        out->has_nulls = false; /* all values are null, and yet there are ends: one is wrong */
    }
}

void smi_pq_stats_range(const smi_pq_footer *f, const smi_pq_group *g, const smi_pq_shape *shape,
                        sm_range *out)
{
    *out = (sm_range){.n_rows = g->n_rows};
    if (shape->kind == SMI_PQ_SHAPE_MISSING && shape->slot_rep == 0) {
        out->has_nulls = true;
        out->n_nulls = g->n_rows;
        return;
    }
    out->may_have_nan = true;
    if (shape->kind == SMI_PQ_SHAPE_LEAF && shape->slot_rep == 0) {
        range_of_leaf(f, &g->chunks[shape->leaf].stats, g->n_rows, shape, out);
    }
}

void smi_pq_page_range(const smi_pq_footer *f, const smi_pq_stats *page, int64_t n_rows,
                       const smi_pq_shape *shape, sm_range *out)
{
    range_of_leaf(f, page, n_rows, shape, out);
}

/* ---- what the writer has seen ---------------------------------------------------------------- */

#define FOOTER_TEXT_BYTES  64
#define RANGE_CODE_POINTS  32
#define RANGE_BINARY_BYTES 32
#define FEW_ENTRIES        1024 /* of a dictionary; a page has many more rows */

void smi_pq_seen_init(smi_pq_seen *s, const sm_type *t)
{
    *s = (smi_pq_seen){.type = t};
}

void smi_pq_seen_release(smi_pq_seen *s)
{
    sm_buf_release(&s->min_text);
    sm_buf_release(&s->max_text);
}

void smi_pq_seen_reset(smi_pq_seen *s)
{
    s->has = s->has_nan = false;
    s->n_nulls = 0;
    sm_buf_reset(&s->min_text);
    sm_buf_reset(&s->max_text);
}

/* Least and greatest of n > 0 numbers, joined to what was seen before. */
#define SEE(member, type, from)                                                                    \
    do {                                                                                           \
        const type *const v = (from);                                                              \
        type least = v[0], most = v[0];                                                            \
        for (int64_t i = 1; i < n; i++) {                                                          \
            least = v[i] < least ? v[i] : least;                                                   \
            most = v[i] > most ? v[i] : most;                                                      \
        }                                                                                          \
        if (!s->has || least < s->min.member) {                                                    \
            s->min.member = least;                                                                 \
        }                                                                                          \
        if (!s->has || most > s->max.member) {                                                     \
            s->max.member = most;                                                                  \
        }                                                                                          \
        s->has = true;                                                                             \
    } while (0)

static void see_double(smi_pq_seen *s, double v)
{
    if (isnan(v)) {
        s->has_nan = true;
        return;
    }
    if (!s->has || v < s->min.f) {
        s->min.f = v;
    }
    if (!s->has || v > s->max.f) {
        s->max.f = v;
    }
    s->has = true;
}

static void set_text(sm_buf *b, sm_str v)
{
    sm_buf_reset(b);
    uint8_t *to = smi_pq_room(b, v.len + 1);
    if (v.len > 0) {
        memcpy(to, v.data, v.len);
    }
    b->len = v.len;
}

static void see_text(smi_pq_seen *s, sm_str v)
{
    if (!s->has) {
        set_text(&s->min_text, v);
        set_text(&s->max_text, v);
        s->has = true;
        return;
    }
    if (sm_str_cmp(v, sm_buf_str(&s->min_text)) < 0) {
        set_text(&s->min_text, v);
    } else if (sm_str_cmp(v, sm_buf_str(&s->max_text)) > 0) {
        set_text(&s->max_text, v);
    }
}

/* The first 8 bytes of a text as a number that sorts as they do; a shorter text is filled up with
 * zeros. Reads no more than v.len bytes. */
static uint64_t head_of(sm_str v)
{
    const uint8_t *p = (const uint8_t *)v.data;
    if (v.len >= 8) {
        return __builtin_bswap64(smi_pq_le64(p));
    }
    if (v.len >= 4) { /* four bytes, and the last four without those */
        const uint64_t first = __builtin_bswap32(smi_pq_le32(p));
        const uint64_t last = __builtin_bswap32(smi_pq_le32(p + v.len - 4));
        return first << 32 | (uint32_t)(last << (8 * (8 - v.len)));
    }
    uint64_t head = 0;
    for (size_t i = 0; i < v.len; i++) {
        head |= (uint64_t)p[i] << (56 - 8 * i);
    }
    return head;
}

static void see_texts(smi_pq_seen *s, const sm_str *v, int64_t n)
{
    see_text(s, v[0]);
    uint64_t least = head_of(sm_buf_str(&s->min_text)), most = head_of(sm_buf_str(&s->max_text));
    for (int64_t i = 1; i < n; i++) {
        const uint64_t head = head_of(v[i]);
        if (head <= least || head >= most) {
            see_text(s, v[i]);
            least = head_of(sm_buf_str(&s->min_text));
            most = head_of(sm_buf_str(&s->max_text));
        }
    }
}

/* The heads of all entries; adds those of entries that are new since the last call. */
static const uint64_t *heads_of(const smi_pq_dict *d, sm_buf *heads)
{
    uint32_t n = (uint32_t)(heads->len / sizeof(uint64_t));
    SM_ASSERT(n <= d->n); /* it was emptied with the dictionary */
    uint64_t *to = (uint64_t *)(void *)smi_pq_room(heads, (d->n - n + 1) * sizeof(uint64_t));
    for (; n < d->n; n++) {
        *to++ = head_of(smi_pq_dict_text(d, n));
        heads->len += sizeof(uint64_t);
    }
    return (const uint64_t *)(const void *)heads->data;
}

/* The least and the greatest text of codes, which are kept in ends[0] and ends[1]. */
static void see_code(const smi_pq_dict *d, const uint64_t *head, uint32_t code, uint32_t ends[2])
{
    const uint32_t least = ends[0], most = ends[1];
    SM_ASSERT(code < d->n);
    if (head[code] <= head[least] && code != least &&
        (head[code] < head[least] ||
         sm_str_cmp(smi_pq_dict_text(d, code), smi_pq_dict_text(d, least)) < 0)) {
        ends[0] = code;
    }
    if (head[code] >= head[most] && code != most &&
        (head[code] > head[most] ||
         sm_str_cmp(smi_pq_dict_text(d, code), smi_pq_dict_text(d, most)) > 0)) {
        ends[1] = code;
    }
}

void smi_pq_seen_codes(smi_pq_seen *s, const smi_pq_dict *d, const uint32_t *codes, int64_t n,
                       sm_buf *heads)
{
    const uint64_t *head = heads_of(d, heads);
    uint32_t ends[2] = {codes[0], codes[0]};
    uint8_t is_used[FEW_ENTRIES] = {0};
    SM_ASSERT(n > 0 && codes[0] < d->n && sm_type_is_bytes(s->type->id));
    if (d->n <= FEW_ENTRIES) { /* each entry is looked at once */
        for (int64_t i = 0; i < n; i++) {
            is_used[codes[i]] = 1;
        }
        for (uint32_t code = 0; code < d->n; code++) {
            if (is_used[code]) {
                see_code(d, head, code, ends);
            }
        }
    } else {
        for (int64_t i = 1; i < n; i++) {
            see_code(d, head, codes[i], ends);
        }
    }
    see_text(s, smi_pq_dict_text(d, ends[0]));
    see_text(s, smi_pq_dict_text(d, ends[1]));
}

void smi_pq_seen_add(smi_pq_seen *s, const void *values, int64_t n)
{
    if (n == 0) {
        return;
    }
    switch (s->type->id) {
    case SM_TYPE_BOOL:
        SEE(i, uint8_t, values);
        return;
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        SEE(i, int32_t, values);
        return;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
        SEE(u, uint32_t, values);
        return;
    case SM_TYPE_U64:
        SEE(u, uint64_t, values);
        return;
    case SM_TYPE_F32:
        for (int64_t i = 0; i < n; i++) {
            see_double(s, (double)((const float *)values)[i]);
        }
        return;
    case SM_TYPE_F64:
        for (int64_t i = 0; i < n; i++) {
            see_double(s, ((const double *)values)[i]);
        }
        return;
    case SM_TYPE_DECIMAL:
        if (s->type->precision <= 9) {
            SEE(d, int32_t, values);
        } else if (s->type->precision <= 18) {
            SEE(d, int64_t, values);
        } else {
            SEE(d, sm_i128, values);
        }
        return;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        see_texts(s, values, n);
        return;
    case SM_TYPE_NULL:
        return;
    default:
        SEE(i, int64_t, values);
    }
}
#undef SEE

void smi_pq_seen_merge(smi_pq_seen *s, const smi_pq_seen *more)
{
    SM_ASSERT(s != more && s->type->id == more->type->id && s->n_nulls >= 0 && more->n_nulls >= 0);
    s->n_nulls += more->n_nulls;
    s->has_nan = s->has_nan || more->has_nan;
    if (!more->has) {
        return;
    }
    if (sm_type_is_bytes(s->type->id)) {
        see_text(s, sm_buf_str(&more->min_text));
        see_text(s, sm_buf_str(&more->max_text));
        return;
    }
    if (!s->has) {
        s->min = more->min;
        s->max = more->max;
        s->has = true;
        return;
    }
    const bool is_unsigned = sm_type_is_integer(s->type->id) && !sm_type_is_signed(s->type->id);
#define MERGE(member)                                                                              \
    do {                                                                                           \
        s->min.member = more->min.member < s->min.member ? more->min.member : s->min.member;       \
        s->max.member = more->max.member > s->max.member ? more->max.member : s->max.member;       \
    } while (0)
    if (s->type->id == SM_TYPE_DECIMAL) {
        MERGE(d);
    } else if (is_float(s->type)) {
        MERGE(f);
    } else if (is_unsigned) {
        MERGE(u);
    } else {
        MERGE(i);
    }
#undef MERGE
}

/* Takes a value as the least or the greatest one that was seen. */
static void set_end(smi_pq_seen *s, bool is_max, sm_value v)
{
    if (sm_type_is_bytes(s->type->id)) {
        set_text(is_max ? &s->max_text : &s->min_text, v.as.s);
    } else if (s->type->id == SM_TYPE_DECIMAL) {
        *(is_max ? &s->max.d : &s->min.d) = v.as.d;
    } else if (is_float(s->type)) {
        *(is_max ? &s->max.f : &s->min.f) = v.as.f;
    } else if (s->type->id == SM_TYPE_BOOL) {
        *(is_max ? &s->max.i : &s->min.i) = v.as.b;
    } else {
        *(is_max ? &s->max.i : &s->min.i) = v.as.i; /* the bits of an unsigned one alike */
    }
}

bool smi_pq_seen_add_stats(smi_pq_seen *s, const smi_pq_node *n, const smi_pq_stats *stats,
                           int64_t n_rows)
{
    smi_pq_seen more = {.type = s->type, .n_nulls = stats->n_nulls};
    smi_pq_convert c;
    sm_value min, max;

    if (stats->n_nulls < 0 || stats->n_nulls > n_rows) {
        return false;
    }
    if (!stats->min.data && !stats->max.data) {
        more.has_nan = is_float(s->type) && stats->n_nulls < n_rows;
        if (stats->n_nulls < n_rows && !more.has_nan) {
            return false;
        }
        smi_pq_seen_merge(s, &more);
        return true;
    }
    if (!stats->min.data || !stats->max.data || !smi_pq_convert_find(n, s->type, s->type, &c) ||
        !decode_end(&c, stats->min, &min) || !decode_end(&c, stats->max, &max) ||
        sm_value_cmp(min, max) > 0 || stats->n_nulls == n_rows) {
        return false;
    }
    if (is_float(s->type) && (isnan(min.as.f) || isnan(max.as.f))) {
        return false;
    }
    SM_ASSERT(sm_type_eq(min.type, s->type) && sm_type_eq(max.type, s->type));
    more.has = true;
    set_end(&more, false, min);
    set_end(&more, true, max);
    smi_pq_seen_merge(s, &more);
    smi_pq_seen_release(&more);
    return true;
}

/* ---- cutting strings ------------------------------------------------------------------------- */

/* The length of the longest head of at most `most` bytes that does not cut a character. */
static size_t cut_text(sm_str s, size_t most)
{
    size_t n = s.len < most ? s.len : most;
    while (n > 0 && n < s.len && ((uint8_t)s.data[n] & 0xC0) == 0x80) {
        n--;
    }
    return n;
}

static size_t cut_points(sm_str s, int64_t points)
{
    size_t n = 0;
    while (n < s.len && points > 0) {
        n++;
        while (n < s.len && ((uint8_t)s.data[n] & 0xC0) == 0x80) {
            n++;
        }
        points--;
    }
    return n;
}

/* Makes the least text that is greater than all texts beginning with s: the last character that has
 * a successor is replaced by it, and those after it are dropped. false where there is none. */
static bool round_up_text(sm_str s, sm_arena *a, sm_str *out)
{
    size_t n = s.len;
    while (n > 0) {
        size_t at = n - 1;
        while (at > 0 && ((uint8_t)s.data[at] & 0xC0) == 0x80) {
            at--;
        }
        size_t end = at;
        uint32_t point = sm_utf8_next(s, &end) + 1;
        if (point == 0xD800) {
            point = 0xE000; /* surrogates are no characters */
        }
        if (point <= 0x10FFFF) {
            char last[4];
            const int n_last = sm_utf8_put(point, last);
            char *text = sm_arena_alloc(a, at + 4);
            memcpy(text, s.data, at);
            memcpy(text + at, last, (size_t)n_last);
            *out = (sm_str){text, at + (size_t)n_last};
            SM_ASSERT(sm_str_cmp(*out, s) > 0);
            return true;
        }
        n = at;
    }
    return false;
}

static bool round_up_bytes(sm_str s, sm_arena *a, sm_str *out)
{
    size_t n = s.len;
    while (n > 0 && (uint8_t)s.data[n - 1] == 0xFF) {
        n--;
    }
    if (n == 0) {
        return false;
    }
    char *bytes = sm_arena_alloc(a, n);
    memcpy(bytes, s.data, n);
    bytes[n - 1] = (char)((uint8_t)bytes[n - 1] + 1);
    *out = (sm_str){bytes, n};
    SM_ASSERT(sm_str_cmp(*out, s) > 0);
    return true;
}

/* Makes the upper end of a range from the first n_keep bytes of its greatest text. */
static bool cut_max(const smi_pq_seen *s, size_t n_keep, sm_arena *a, sm_str *out)
{
    const sm_str max = sm_buf_str(&s->max_text);
    if (n_keep >= max.len) {
        *out = sm_arena_str(a, max);
        return true;
    }
    const sm_str kept = {max.data, n_keep};
    return s->type->id == SM_TYPE_STRING ? round_up_text(kept, a, out)
                                         : round_up_bytes(kept, a, out);
}

static sm_str copy_bytes(sm_arena *a, const void *p, size_t n)
{
    return sm_arena_str(a, (sm_str){p, n});
}

/* A decimal in n bytes, big endian. */
static sm_str fixed_decimal(sm_arena *a, sm_i128 v, int32_t n)
{
    char *p = sm_arena_alloc(a, (size_t)n);
    for (int32_t i = n - 1; i >= 0; i--, v >>= 8) {
        p[i] = (char)(uint8_t)v;
    }
    SM_ASSERT(v == 0 || v == -1); /* it fits n bytes */
    return (sm_str){p, (size_t)n};
}

static sm_str float_bytes(const smi_pq_seen *s, double v, sm_arena *a)
{
    const float f = (float)v;
    return s->type->id == SM_TYPE_F32 ? copy_bytes(a, &f, 4) : copy_bytes(a, &v, 8);
}

void smi_pq_seen_stats(const smi_pq_seen *s, const smi_pq_node *n, sm_arena *a, smi_pq_stats *out)
{
    *out = (smi_pq_stats){.n_nulls = s->n_nulls, .n_nans = -1};
    if (!s->has || s->has_nan) { /* with ends, a reader that looks for NaN would skip the rows */
        return;
    }
    if (sm_type_is_bytes(s->type->id)) {
        const sm_str min = sm_buf_str(&s->min_text), max = sm_buf_str(&s->max_text);
        const bool is_text = s->type->id == SM_TYPE_STRING;
        const size_t most = FOOTER_TEXT_BYTES;
        const size_t n_min = is_text ? cut_text(min, most) : min.len < most ? min.len : most;
        const size_t n_max = is_text ? cut_text(max, most) : max.len < most ? max.len : most;
        out->min = copy_bytes(a, min.data, n_min);
        out->min_is_cut = n_min < min.len;
        out->max_is_cut = n_max < max.len;
        if (!cut_max(s, n_max, a, &out->max)) {
            out->max = (sm_str){0};
        }
    } else if (n->physical == SMI_PQ_FIXED) {
        out->min = fixed_decimal(a, s->min.d, n->fixed_bytes);
        out->max = fixed_decimal(a, s->max.d, n->fixed_bytes);
    } else if (is_float(s->type)) {
        /* Zeros of either sign count as the outer one (parquet.thrift, Statistics). */
        out->min = float_bytes(s, s->min.f == 0 ? -0.0 : s->min.f, a);
        out->max = float_bytes(s, s->max.f == 0 ? 0.0 : s->max.f, a);
    } else {
        const size_t bytes = n->physical == SMI_PQ_BOOLEAN ? 1
                             : n->physical == SMI_PQ_INT32 ? 4
                                                           : 8;
        out->min = copy_bytes(a, &s->min, bytes); /* little endian: the low bytes come first */
        out->max = copy_bytes(a, &s->max, bytes);
    }
}

static void set_value(const smi_pq_seen *s, bool is_max, sm_value *out)
{
    *out = (sm_value){.type = s->type};
    if (s->type->id == SM_TYPE_BOOL) {
        out->as.b = (is_max ? s->max.i : s->min.i) != 0;
    } else if (s->type->id == SM_TYPE_DECIMAL) {
        out->as.d = is_max ? s->max.d : s->min.d;
    } else if (is_float(s->type)) {
        out->as.f = is_max ? s->max.f : s->min.f;
    } else {
        out->as.i = is_max ? s->max.i : s->min.i; /* the bits of an unsigned one alike */
    }
}

void smi_pq_seen_range(const smi_pq_seen *s, int64_t n_rows, sm_arena *a, sm_range *out)
{
    *out = (sm_range){
        .has_nulls = true, .n_nulls = s->n_nulls, .n_rows = n_rows, .may_have_nan = s->has_nan};
    SM_ASSERT(s->n_nulls >= 0 && s->n_nulls <= n_rows);
    if (!s->has) {
        return;
    }
    out->has_min = out->has_max = true;
    if (!sm_type_is_bytes(s->type->id)) {
        set_value(s, false, &out->min);
        set_value(s, true, &out->max);
        return;
    }
    const sm_str min = sm_buf_str(&s->min_text), max = sm_buf_str(&s->max_text);
    const bool is_text = s->type->id == SM_TYPE_STRING;
    const size_t bytes = RANGE_BINARY_BYTES;
    const size_t n_min = is_text           ? cut_points(min, RANGE_CODE_POINTS)
                         : min.len < bytes ? min.len
                                           : bytes;
    const size_t n_max = is_text           ? cut_points(max, RANGE_CODE_POINTS)
                         : max.len < bytes ? max.len
                                           : bytes;
    out->min = (sm_value){.type = s->type, .as.s = copy_bytes(a, min.data, n_min)};
    out->max = (sm_value){.type = s->type};
    out->has_max = cut_max(s, n_max, a, &out->max.as.s);
}
