/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_index.c: reads and writes the page index: for each page of a chunk its
 * place, its rows, and the least and the greatest value in it.
 *
 * Writing   All ColumnIndexes, then all OffsetIndexes, between the last row group and the footer. A
 *           chunk has no ColumnIndex if the least or greatest value of a page is not known (NaN, or
 *           a text that has no upper bound). It still has an OffsetIndex, by which its pages are
 *           matched with those of other columns.
 * Reading   An index that contradicts its chunk or itself is not used. It only makes reading
 *           faster; the pages have the data.
 * Checksums Each index that smelt writes has a checksum of itself: a changed bound could leave out
 *           a page with rows.
 * Source    apache/parquet-format, PageIndex.md, parquet.thrift: ColumnIndex, OffsetIndex
 *
 * Called by parquet_writer.c and parquet_reader.c. */

#include "base/hash.h"
#include "format/parquet/parquet_int.h"

/* ---- writing --------------------------------------------------------------------------------- */

/* Are the least and greatest values of all pages known? */
static bool has_ends(const smi_pq_written_chunk *c)
{
    for (int64_t i = 0; i < c->n_pages; i++) {
        const smi_pq_written_page *p = &c->pages[i];
        if (!p->is_null && (!p->stats.min.data || !p->stats.max.data || p->has_nan)) {
            return false;
        }
    }
    return c->n_pages > 0;
}

/* The last field of an index: a CRC-32 of the bytes before it. Other readers skip the field. */
#define CHECKSUM_FIELD 1000

static void put_checksum(smi_thrift_out *o, size_t start)
{
    const uint32_t crc = sm_crc32(0, o->to->data + start, o->to->len - start);
    smi_thrift_put_i32(o, CHECKSUM_FIELD, (int32_t)crc);
}

static void put_column_index(const smi_pq_written_chunk *c, sm_buf *to)
{
    smi_thrift_out o = {.to = to};
    const size_t start = to->len;
    const sm_str nothing = SM_STR("");
    smi_thrift_begin(&o, 0);
    smi_thrift_put_list(&o, 1, SMI_T_TRUE, c->n_pages);
    for (int64_t i = 0; i < c->n_pages; i++) {
        smi_thrift_element_bool(&o, c->pages[i].is_null);
    }
    smi_thrift_put_list(&o, 2, SMI_T_BINARY, c->n_pages);
    for (int64_t i = 0; i < c->n_pages; i++) {
        smi_thrift_element_binary(&o, c->pages[i].is_null ? nothing : c->pages[i].stats.min);
    }
    smi_thrift_put_list(&o, 3, SMI_T_BINARY, c->n_pages);
    for (int64_t i = 0; i < c->n_pages; i++) {
        smi_thrift_element_binary(&o, c->pages[i].is_null ? nothing : c->pages[i].stats.max);
    }
    smi_thrift_put_i32(&o, 4, 0); /* UNORDERED: readers look at each page */
    smi_thrift_put_list(&o, 5, SMI_T_I64, c->n_pages);
    for (int64_t i = 0; i < c->n_pages; i++) {
        smi_thrift_element_i64(&o, c->pages[i].stats.n_nulls);
    }
    put_checksum(&o, start);
    smi_thrift_end(&o);
}

static void put_offset_index(const smi_pq_written_chunk *c, int64_t n_rows, sm_buf *to)
{
    smi_thrift_out o = {.to = to};
    const size_t start = to->len;
    uint64_t off = c->data_off;
    int64_t row = 0;
    smi_thrift_begin(&o, 0);
    smi_thrift_put_list(&o, 1, SMI_T_STRUCT, c->n_pages);
    for (int64_t i = 0; i < c->n_pages; i++) {
        smi_thrift_begin(&o, 0);
        smi_thrift_put_i64(&o, 1, (int64_t)off);
        smi_thrift_put_i32(&o, 2, (int32_t)c->pages[i].bytes);
        smi_thrift_put_i64(&o, 3, row);
        smi_thrift_end(&o);
        off += c->pages[i].bytes;
        row += c->pages[i].n_rows;
    }
    SM_ASSERT(row == n_rows); /* the pages have all rows of the group, and are all of the chunk */
    SM_ASSERT(off ==
              (c->dictionary_off > 0 ? c->dictionary_off : c->data_off) + c->compressed_bytes);
    put_checksum(&o, start);
    smi_thrift_end(&o);
}

void smi_pq_index_write(smi_pq_written_group *groups, int64_t n_groups, int32_t n_leaves,
                        uint64_t off_bytes, sm_buf *out)
{
    const size_t start = out->len;
    _Static_assert(SM_COUNT(((smi_pq_written_chunk *)0)->index) == 2, "one for each of the two");
    for (int which = 0; which < 2; which++) {
        for (int64_t g = 0; g < n_groups; g++) {
            for (int32_t i = 0; i < n_leaves; i++) {
                smi_pq_written_chunk *c = &groups[g].chunks[i];
                const size_t before = out->len;
                if (which == 0 && c->is_copied) {
                    sm_buf_text(out, c->column_index);
                } else if (which == 0 && has_ends(c)) {
                    put_column_index(c, out);
                } else if (which == 1 && c->n_pages > 0) {
                    put_offset_index(c, groups[g].n_rows, out);
                }
                c->index[which] = (smi_pq_span){off_bytes + before - start, out->len - before};
            }
        }
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_location(smi_thrift_in *in, uint64_t *off, uint64_t *bytes, int64_t *row)
{
    int16_t id = 0;
    smi_thrift_type type;
    int64_t v[3] = {-1, -1, -1};
    while (smi_thrift_field(in, &id, &type)) {
        if (id >= 1 && id <= 3) {
            v[id - 1] = smi_thrift_i64(in, type);
        } else {
            smi_thrift_skip(in, type);
        }
    }
    *off = (uint64_t)v[0];
    *bytes = (uint64_t)v[1];
    *row = v[2];
    return !in->failed && v[0] >= 0 && v[1] > 0 && v[2] >= 0;
}

/* Are the pages within the chunk, one after another, with ascending rows from 0 on? */
static bool is_sound(const smi_pq_index *x, const smi_pq_chunk *c, int64_t n_rows)
{
    uint64_t at = c->off_bytes;
    const uint64_t end = c->off_bytes + c->size_bytes;
    for (int64_t i = 0; i < x->n_pages; i++) {
        if (x->off_bytes[i] < at || x->off_bytes[i] > end || x->bytes[i] > end - x->off_bytes[i] ||
            x->first_row[i] >= n_rows || x->first_row[i] < (i == 0 ? 0 : x->first_row[i - 1] + 1)) {
            return false;
        }
        at = x->off_bytes[i] + x->bytes[i];
    }
    return x->n_pages > 0 && x->first_row[0] == 0;
}

static bool read_offsets(smi_thrift_in in, const smi_pq_chunk *c, int64_t n_rows, sm_arena *a,
                         smi_pq_index *x)
{
    int16_t id = 0;
    smi_thrift_type type;
    while (smi_thrift_field(&in, &id, &type)) {
        if (id != 1 || x->n_pages > 0) {
            smi_thrift_skip(&in, type);
            continue;
        }
        x->n_pages = smi_thrift_list(&in, type, SMI_T_STRUCT);
        x->off_bytes = SM_NEW_ARRAY(a, uint64_t, x->n_pages + 1);
        x->bytes = SM_NEW_ARRAY(a, uint64_t, x->n_pages + 1);
        x->first_row = SM_NEW_ARRAY(a, int64_t, x->n_pages + 1);
        for (int64_t i = 0; i < x->n_pages; i++) {
            if (!read_location(&in, &x->off_bytes[i], &x->bytes[i], &x->first_row[i])) {
                return false;
            }
        }
    }
    if (in.failed || !is_sound(x, c, n_rows)) {
        return false;
    }
    x->first_row[x->n_pages] = n_rows;
    return true;
}

/* Do the counts of nulls, if there are any, agree with null_pages and with the chunk's? A page has
 * as many values as rows here, as bounds are only wanted of leaves outside of lists. */
static bool counts_agree(const smi_pq_index *x, const bool *is_null, int64_t chunk_nulls)
{
    int64_t known = 0, unknown = 0;
    for (int64_t i = 0; i < x->n_pages; i++) {
        const int64_t n_rows = x->first_row[i + 1] - x->first_row[i];
        const int64_t n_nulls = x->stats[i].n_nulls;
        if (n_nulls >= 0 && (n_nulls > n_rows || (n_nulls == n_rows) != is_null[i])) {
            return false;
        }
        known += is_null[i] ? n_rows : n_nulls > 0 ? n_nulls : 0;
        unknown += !is_null[i] && n_nulls < 0;
    }
    return chunk_nulls < 0 || known == chunk_nulls || (unknown > 0 && known < chunk_nulls);
}

/* Reads the lists of a ColumnIndex, which must have an element for each page. */
static bool read_ends(smi_thrift_in in, const smi_pq_chunk *c, sm_arena *a, smi_pq_index *x)
{
    int16_t id = 0;
    smi_thrift_type type;
    int64_t n[6] = {0};
    bool *is_null = SM_NEW_ARRAY(a, bool, x->n_pages + 1);
    x->stats = SM_NEW_ARRAY(a, smi_pq_stats, x->n_pages + 1);
    for (int64_t i = 0; i < x->n_pages; i++) {
        x->stats[i] = (smi_pq_stats){.n_nulls = -1, .n_nans = -1};
    }
    while (smi_thrift_field(&in, &id, &type)) {
        const bool is_list = id == 1 || id == 2 || id == 3 || id == 5;
        if (!is_list) {
            smi_thrift_skip(&in, type);
            continue;
        }
        const smi_thrift_type element = id == 1 ? SMI_T_TRUE : id == 5 ? SMI_T_I64 : SMI_T_BINARY;
        n[id] = smi_thrift_list(&in, type, element);
        for (int64_t i = 0; i < n[id] && i < x->n_pages && !in.failed; i++) {
            smi_pq_stats *s = &x->stats[i];
            if (id == 1) {
                is_null[i] = smi_thrift_list_bool(&in);
            } else if (id == 5) {
                s->n_nulls = smi_thrift_i64(&in, SMI_T_I64);
            } else {
                *(id == 2 ? &s->min : &s->max) = smi_thrift_binary(&in, SMI_T_BINARY);
            }
        }
        if (n[id] != x->n_pages) {
            return false;
        }
    }
    if (in.failed || n[1] != x->n_pages || n[2] != x->n_pages || n[3] != x->n_pages ||
        !counts_agree(x, is_null, c->stats.n_nulls)) {
        return false;
    }
    for (int64_t i = 0; i < x->n_pages; i++) {
        if (is_null[i]) {
            x->stats[i] =
                (smi_pq_stats){.n_nulls = x->first_row[i + 1] - x->first_row[i], .n_nans = -1};
        }
    }
    return true;
}

/* Does an index match its checksum? Those of other writers have none. */
static bool is_unchanged(smi_thrift_in in)
{
    const uint8_t *start = in.p, *before = in.p;
    int16_t id = 0;
    smi_thrift_type type;
    while (smi_thrift_field(&in, &id, &type)) {
        if (id == CHECKSUM_FIELD) {
            const uint32_t want = (uint32_t)smi_thrift_i32(&in, type);
            return !in.failed && sm_crc32(0, start, (size_t)(before - start)) == want;
        }
        smi_thrift_skip(&in, type);
        before = in.p;
    }
    return !in.failed;
}

/* Finds the bytes of a span; false where it is empty, damaged, or not within the bytes read. */
static bool find_span(smi_pq_span s, const uint8_t *bytes, smi_pq_span at, smi_thrift_in *out)
{
    if (s.len == 0 || s.off_bytes < at.off_bytes || s.len > at.len ||
        s.off_bytes - at.off_bytes > at.len - s.len) {
        return false;
    }
    const uint8_t *p = bytes + (s.off_bytes - at.off_bytes);
    *out = (smi_thrift_in){.p = p, .end = p + s.len};
    return is_unchanged(*out);
}

bool smi_pq_index_read(const smi_pq_chunk *c, int64_t n_rows, const uint8_t *bytes, smi_pq_span at,
                       bool wants_ends, sm_arena *a, smi_pq_index *out)
{
    smi_thrift_in in;
    *out = (smi_pq_index){0};
    if (!find_span(c->offset_index, bytes, at, &in) || !read_offsets(in, c, n_rows, a, out)) {
        return false;
    }
    if (wants_ends && (!find_span(c->column_index, bytes, at, &in) || !read_ends(in, c, a, out))) {
        out->stats = NULL;
    }
    SM_ASSERT(out->n_pages > 0 && out->first_row[0] == 0 && out->first_row[out->n_pages] == n_rows);
    return true;
}

bool smi_pq_index_column(const smi_pq_chunk *c, const uint8_t *bytes, smi_pq_span at, sm_str *out)
{
    smi_thrift_in in;

    *out = SM_STR("");
    if (c->column_index.len == 0) {
        return true;
    }
    if (!find_span(c->column_index, bytes, at, &in)) {
        return false;
    }
    *out = (sm_str){(const char *)in.p, (size_t)(in.end - in.p)};
    return true;
}
