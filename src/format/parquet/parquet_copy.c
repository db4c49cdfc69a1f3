/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_copy.c: may the row groups of a file stand in another file as they are,
 * and what does the other file's footer say of them? Nothing is decoded or compressed again.
 *
 * When      The file has the tree of columns that the writer makes, and its compression, and says
 *           of each column what the writer would (nulls, least and greatest value, a page index).
 *           So a copy is no worse than what writing the rows would give. Small row groups are not
 *           worth it: rows of many files are better joined in one.
 * Places    A chunk's pages and its ColumnIndex say nothing of where they stand, so they are copied
 *           byte for byte. The places in the footer and in the OffsetIndex are made anew, from the
 *           lengths of the pages, which must follow each other without gaps.
 * Damage    Pages keep their checksums. A footer or an index that is damaged is found here.
 * Alone     Where the rows stay in a file of their own, and only some of its row groups or columns
 *           are written anew (MERGE), those that stay need not be what the writer would give: other
 *           codecs and smaller row groups stay too, and chunks without a page index.
 * Lost      Bloom filters and keys of the footer, as the writer has none of its own.
 * Source    apache/parquet-format, parquet.thrift: ColumnMetaData, PageIndex.md
 *
 * Called by parquet_writer.c. */

#include "format/parquet/parquet_int.h"

/* A row group is kept where it has half of the writer's rows, or so many bytes. */
#define GROUP_BYTES (16u << 20)
#define INDEX_MOST  (16u << 20) /* of all page indexes of a file */
/* In a file that stays alone, from this part of the writer's rows on, or so many bytes. */
#define ALONE_PART  8
#define ALONE_BYTES (1u << 20)

/* ---- the columns ----------------------------------------------------------------------------- */

/* What the type means; a signed integer of all bits means no more than its physical type. */
static smi_pq_logical meaning_of(const smi_pq_node *n)
{
    const int32_t bits = n->physical == SMI_PQ_INT64 ? 64 : 32;
    const bool is_whole = n->logical == SMI_PQ_INTEGER && n->is_signed && n->bits == bits;

    return is_whole ? SMI_PQ_PLAIN_TYPE : n->logical;
}

/* Only what counts for its kind is compared: the other members of a node may be anything. */
static bool is_same_meaning(const smi_pq_node *x, const smi_pq_node *y)
{
    if (x->physical != y->physical || meaning_of(x) != meaning_of(y)) {
        return false;
    }
    switch (meaning_of(x)) {
    case SMI_PQ_TIME:
    case SMI_PQ_TIMESTAMP:
        return x->unit == y->unit && x->is_utc == y->is_utc;
    case SMI_PQ_INTEGER:
        return x->bits == y->bits && x->is_signed == y->is_signed;
    case SMI_PQ_DECIMAL:
        return x->precision == y->precision && x->scale == y->scale;
    default:
        return true;
    }
}

static bool is_same_node(const smi_pq_node *x, const smi_pq_node *y)
{
    return sm_str_eq(x->name, y->name) && x->repetition == y->repetition &&
           x->n_children == y->n_children && is_same_meaning(x, y) &&
           (x->physical != SMI_PQ_FIXED || x->fixed_bytes == y->fixed_bytes) &&
           x->has_field_id == y->has_field_id && (!x->has_field_id || x->field_id == y->field_id);
}

/* Do two trees have the same nodes? The roots' own names do not matter. */
static bool is_same_tree(const smi_pq_node *x, const smi_pq_node *y)
{
    bool is_same = x->n_children == y->n_children;

    for (int32_t i = 0; i < x->n_children && is_same; i++) {
        is_same = is_same_node(x->children[i], y->children[i]) &&
                  is_same_tree(x->children[i], y->children[i]);
    }
    return is_same;
}

/* Is enough known of the columns at the top, of which a file's statistics tell? */
static bool has_stats(const smi_pq_footer *f, const smi_pq_group *g, const sm_type *schema)
{
    bool has = true;

    for (int32_t i = 0; i < schema->n_fields && has; i++) {
        const smi_pq_node *n = f->root->children[i];
        smi_pq_seen seen;
        if (n->leaf < 0) {
            continue;
        }
        smi_pq_seen_init(&seen, schema->fields[i].type);
        has = f->has_order[n->leaf] &&
              smi_pq_seen_add_stats(&seen, n, &g->chunks[n->leaf].stats, g->n_rows);
        smi_pq_seen_release(&seen);
    }
    return has;
}

/* Are the row groups large enough to stay? */
static bool is_large(const smi_pq_footer *f, uint64_t bytes, const smi_pq_copy_opts *o)
{
    const int64_t least_rows = o->group_rows / (o->stays_alone ? ALONE_PART : 2);

    return f->n_rows / f->n_groups >= least_rows ||
           bytes / (uint64_t)f->n_groups >= (o->stays_alone ? ALONE_BYTES : GROUP_BYTES);
}

static bool is_wanted(const smi_pq_footer *f, const smi_pq_copy_opts *o)
{
    uint64_t bytes = 0;

    if (f->n_groups == 0 || f->n_leaves != o->n_leaves || !is_same_tree(f->root, o->root)) {
        return false;
    }
    for (int64_t i = 0; i < f->n_groups; i++) {
        for (int32_t k = 0; k < f->n_leaves; k++) {
            const smi_pq_chunk *c = &f->groups[i].chunks[k];
            bytes += c->size_bytes;
            if ((c->codec != o->codec && !o->stays_alone) || c->encodings == 0 ||
                c->stats.n_nulls < 0) {
                return false;
            }
        }
        if (f->groups[i].n_rows == 0 || (f->groups[i].n_rows > o->group_rows && !o->stays_alone) ||
            !has_stats(f, &f->groups[i], o->schema)) {
            return false;
        }
    }
    return is_large(f, bytes, o);
}

/* ---- the pages ------------------------------------------------------------------------------- */

/* The file's page indexes. */
typedef struct index_bytes {
    uint8_t *bytes;
    smi_pq_span at;
} index_bytes;

static sm_status read_indexes(sm_blob *blob, const smi_pq_footer *f, sm_arena *a, index_bytes *out,
                              sm_error *e)
{
    *out = (index_bytes){0};
    for (int64_t i = 0; i < f->n_groups; i++) {
        for (int32_t k = 0; k < f->n_leaves; k++) {
            smi_pq_span_widen(&out->at, f->groups[i].chunks[k].column_index);
            smi_pq_span_widen(&out->at, f->groups[i].chunks[k].offset_index);
        }
    }
    if (out->at.len == 0 || out->at.len > INDEX_MOST) {
        out->at = (smi_pq_span){0};
        return SM_OK;
    }
    out->bytes = sm_arena_alloc(a, (size_t)out->at.len);
    return sm_blob_read(blob, out->at.off_bytes, (size_t)out->at.len, out->bytes, e);
}

/* Are the data pages all that is in the chunk behind its dictionary page, without gaps? */
static bool is_gapless(const smi_pq_index *x, const smi_pq_chunk *c)
{
    uint64_t at = c->data_off;

    for (int64_t i = 0; i < x->n_pages; i++) {
        if (x->off_bytes[i] != at) {
            return false;
        }
        at += x->bytes[i];
    }
    return at == c->off_bytes + c->size_bytes;
}

static bool find_pages(const smi_pq_chunk *c, int64_t n_rows, const index_bytes *index, sm_arena *a,
                       smi_pq_written_chunk *out)
{
    smi_pq_index x;

    if (index->at.len == 0 ||
        !smi_pq_index_read(c, n_rows, index->bytes, index->at, false, a, &x) ||
        !is_gapless(&x, c) ||
        !smi_pq_index_column(c, index->bytes, index->at, &out->column_index)) {
        return false;
    }
    SM_ASSERT(x.n_pages > 0 && x.first_row[x.n_pages] == n_rows);
    smi_pq_written_page *pages = SM_NEW_ARRAY(a, smi_pq_written_page, x.n_pages);
    for (int64_t i = 0; i < x.n_pages; i++) {
        pages[i].n_rows = x.first_row[i + 1] - x.first_row[i];
        pages[i].bytes = (size_t)x.bytes[i];
    }
    out->pages = pages;
    out->n_pages = x.n_pages;
    return true;
}

/* A chunk of which no pages are found has no page index. */
static bool find_group(const smi_pq_footer *f, const smi_pq_group *g, const index_bytes *index,
                       bool stays_alone, sm_arena *a, smi_pq_written_group *out)
{
    out->n_rows = g->n_rows;
    out->chunks = SM_NEW_ARRAY(a, smi_pq_written_chunk, f->n_leaves);
    for (int32_t i = 0; i < f->n_leaves; i++) {
        const smi_pq_chunk *c = &g->chunks[i];
        smi_pq_written_chunk *to = &out->chunks[i];
        *to = (smi_pq_written_chunk){
            .codec = c->codec,
            .encodings = c->encodings,
            .n_values = c->n_values,
            .data_off = c->data_off,
            .compressed_bytes = c->size_bytes,
            .plain_bytes = c->plain_bytes,
            .stats = c->stats,
            .is_copied = true,
        };
        if (!find_pages(c, g->n_rows, index, a, to)) {
            to->column_index = (sm_str){0};
            if (!stays_alone) {
                return false;
            }
        }
        SM_ASSERT(to->data_off >= c->off_bytes);
    }
    return true;
}

/* ---- a file ---------------------------------------------------------------------------------- */

sm_status smi_pq_copy_find(sm_blob *blob, const smi_pq_copy_opts *o, sm_arena *a, smi_pq_copy **out,
                           sm_error *e)
{
    smi_pq_footer *f = NULL;
    index_bytes index;

    SM_ASSERT(o->root && o->schema->n_fields == o->root->n_children && o->group_rows > 0);
    *out = NULL;
    SM_TRY(smi_pq_footer_read(blob, a, &f, e));
    if (!is_wanted(f, o)) {
        return SM_OK;
    }
    SM_TRY(read_indexes(blob, f, a, &index, e));
    smi_pq_copy *c = SM_NEW(a, smi_pq_copy);
    c->from = f;
    c->groups = SM_NEW_ARRAY(a, smi_pq_written_group, f->n_groups);
    for (int64_t i = 0; i < f->n_groups; i++) {
        if (!find_group(f, &f->groups[i], &index, o->stays_alone, a, &c->groups[i])) {
            return SM_OK;
        }
    }
    *out = c;
    return SM_OK;
}

/* For a writer that is opened with these arguments. */
static sm_status find_for(const sm_type *schema, const smi_pq_options *options, bool stays_alone,
                          sm_blob *from, sm_arena *a, smi_pq_copy **out, sm_error *e)
{
    smi_pq_copy_opts o = {
        .schema = schema, .group_rows = options->row_group_rows, .stays_alone = stays_alone};
    smi_pq_node *root = NULL;
    const smi_pq_node **leaves = NULL;

    SM_TRY(smi_pq_codec_of(options, &o.codec, e));
    SM_TRY(smi_pq_tree_of(schema, a, &root, &leaves, &o.n_leaves, e));
    o.root = root;
    return smi_pq_copy_find(from, &o, a, out, e);
}

sm_status smi_pq_can_copy(const sm_type *schema, const void *opts, sm_blob *from, sm_budget *budget,
                          bool *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    smi_pq_copy *found = NULL;

    const sm_status st = find_for(schema, opts, false, from, a, &found, e);
    *out = st == SM_OK && found;
    sm_arena_free(a);
    return st;
}

sm_status smi_pq_row_groups(const sm_type *schema, const void *opts, sm_blob *from, sm_arena *a,
                            sm_row_groups **out, sm_error *e)
{
    const smi_pq_options *options = opts;
    smi_pq_copy *found = NULL;

    *out = NULL;
    SM_TRY(find_for(schema, options, true, from, a, &found, e));
    if (!found) {
        return SM_OK;
    }
    int64_t *n_rows = SM_NEW_ARRAY(a, int64_t, found->from->n_groups);
    for (int64_t i = 0; i < found->from->n_groups; i++) {
        n_rows[i] = found->from->groups[i].n_rows;
    }
    *out = SM_NEW(a, sm_row_groups);
    **out = (sm_row_groups){.n = found->from->n_groups,
                            .n_rows = n_rows,
                            .mixed_rows = options->row_group_rows,
                            .of_format = found};
    return SM_OK;
}
