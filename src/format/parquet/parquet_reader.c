/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_reader.c: reads a Parquet file: cuts it into morsels, and those into
 * batches.
 *
 * Calls     smi_pq_open reads the footer and finds the wanted columns; smi_pq_plan makes a morsel
 *           of each row group. Then, on any worker's reader, smi_pq_begin with the morsel's bytes
 *           and smi_pq_pull until SM_END.
 * Ranges    A morsel's ranges are the chunks of the leaves that are read, in file order. Chunks
 *           that are less than GAP_BYTES apart share a range: a request costs more than reading the
 *           bytes between them.
 * Batches   have SM_BATCH_ROWS rows, or fewer where lists are long: so many that, on the row
 *           group's average, no leaf has more than BATCH_VALUES values.
 * Skipping  A row group that a bound excludes by its statistics gives no morsel. In another one the
 *           page index may tell that only rows first … end − 1 can pass. Then only the pages with
 *           these rows are read, of each leaf its own, and the rows before `first` in a leaf's
 *           first page are decoded and dropped. If a leaf that is read has repeated values, all
 *           pages of the row group are read. A dataset may ask for some pieces of all files only
 *           (one_of): then each is a morsel, with the pages of its rows.
 * Deleted   Rows that the dataset leaves out (sm_deletes) are decoded and dropped from each batch.
 *           They are told by their number in the file, from 0 over all row groups. A dataset may
 *           ask for the numbers of the rows that are read (numbers_rows).
 *
 * Called by exec through sm_format_parquet. */

#include <inttypes.h>
#include <stdlib.h>

#include "format/parquet/parquet_int.h"

#define GAP_BYTES    32768
#define BATCH_VALUES 131072
#define INDEX_MOST   ((uint64_t)4 << 20) /* a larger page index is not worth its reading */

/* A bound, and its column in the file. */
typedef struct bound_spot {
    const sm_bound *bound;
    const smi_pq_shape *shape;
} bound_spot;

/* What is read of a leaf in a row group. */
typedef struct leaf_slice {
    smi_pq_span dictionary, data;
    int64_t first_row, end_row; /* the rows that these data pages have */
} leaf_slice;

/* The rows of a row group that are read, where these are not all. */
typedef struct page_slice {
    int64_t first_row, end_row;
    leaf_slice *leaves; /* one for each used leaf */
} page_slice;

typedef struct pq_file {
    sm_arena *mem;
    sm_blob *blob; /* borrowed */
    smi_pq_footer *footer;
    char *name;
    int32_t n_columns;
    smi_pq_shape *shapes; /* one for each projected column */
    int32_t n_used;
    int32_t *used;                   /* the leaves that are read, ascending */
    const smi_pq_convert **converts; /* for each leaf of the file; NULL: only levels are read */
    bool *is_flat;                   /* for each used leaf: is it a whole column? */
    int32_t n_bounds;
    bound_spot *bounds;
    sm_str *unknown; /* paths of columns that no field takes, if those are looked for */
    int64_t n_unknown;
    sm_block *deleted;           /* one bit for each row of the file; NULL: none is deleted */
    int64_t number;              /* of its first row, where the dataset numbers rows */
    int64_t one_of, rows_before; /* as the dataset has it, and its file */
    const bool *parts;           /* sm_datafile.parts */
} pq_file;

typedef struct pq_reader {
    sm_arena *mem;
    const sm_type *schema; /* a struct of the projected columns, and perhaps the rows' numbers */
    bool numbers_rows;
    sm_budget *budget;
    smi_pq_codecs *codecs;
    smi_pq_leaf *leaves; /* one for each used leaf; kept from morsel to morsel for their buffers */
    int32_t n_leaves;
    smi_pq_leaf **by_leaf; /* from the file's leaf number into `leaves` */
    int32_t n_by_leaf;
    /* the morsel */
    const pq_file *file;
    const page_slice *slice; /* rows before it are still to be skipped; NULL: none */
    sm_block **blocks;
    int32_t n_blocks, blocks_cap;
    int64_t n_rows, at_row, batch_rows;
    int64_t first_row; /* of the morsel, in the file */
    int64_t n_deleted; /* of n_rows */
    int32_t *kept;     /* SM_BATCH_ROWS numbers of rows; made when first needed */
    int32_t group;
    uint32_t seq;
    sm_unknown_key *unknown; /* the file's, with the rows of the morsel */
    int64_t unknown_cap;
} pq_reader;

/* ---- open ------------------------------------------------------------------------------------ */

/* Marks the leaves that a shape reads; false where another column has one of them already. */
static bool use_leaves(pq_file *f, const smi_pq_shape *s, int32_t column, int32_t *user)
{
    if (s->kind == SMI_PQ_SHAPE_MISSING) {
        return true;
    }
    SM_ASSERT(s->leaf >= 0 && s->leaf < f->footer->n_leaves);
    if (user[s->leaf] != 0 && user[s->leaf] != column + 1) {
        return false;
    }
    user[s->leaf] = column + 1;
    if (s->kind == SMI_PQ_SHAPE_LEAF) {
        if (f->converts[s->leaf]) {
            return false;
        }
        f->converts[s->leaf] = &s->convert;
    }
    for (int32_t i = 0; i < s->n_children; i++) {
        if (!use_leaves(f, &s->children[i], column, user)) {
            return false;
        }
    }
    return true;
}

static sm_status find_columns(pq_file *f, const sm_dataset *d, const sm_projection *want,
                              sm_error *e)
{
    const int32_t n_leaves = f->footer->n_leaves;
    int32_t *user = SM_NEW_ARRAY(f->mem, int32_t, n_leaves); /* projected column + 1 */
    f->n_columns = want->n_columns;
    f->shapes = SM_NEW_ARRAY(f->mem, smi_pq_shape, want->n_columns);
    f->converts = SM_NEW_ARRAY(f->mem, const smi_pq_convert *, n_leaves);
    f->used = SM_NEW_ARRAY(f->mem, int32_t, n_leaves);
    for (int32_t i = 0; i < want->n_columns; i++) {
        const sm_field field = sm_projected(d, want, i);
        SM_TRY(smi_pq_shape_of(f->footer, &field, sm_str_of(f->name), f->mem, &f->shapes[i], e));
        if (!use_leaves(f, &f->shapes[i], i, user)) {
            return sm_fail(e, SM_SCHEMA,
                           "column \"%.*s\" names a column of the file that another one names too",
                           SM_STR_ARG(field.name));
        }
    }
    f->is_flat = SM_NEW_ARRAY(f->mem, bool, n_leaves);
    for (int32_t i = 0; i < n_leaves; i++) {
        if (user[i] != 0) {
            f->is_flat[f->n_used] = f->shapes[user[i] - 1].is_flat;
            f->used[f->n_used++] = i;
        }
    }
    return SM_OK;
}

/* Finds the column of each bound in the file. A bound whose type does not fit the file is left out:
 * if the column is read, reading reports that. */
static void find_bounds(pq_file *f, const sm_dataset *d, const sm_projection *want)
{
    const int32_t n_stored = d->schema->n_fields - d->n_constants;
    f->bounds = SM_NEW_ARRAY(f->mem, bound_spot, want->bounds.n);
    for (int32_t i = 0; i < want->bounds.n; i++) {
        const sm_bound *b = &want->bounds.items[i];
        if (b->n_path < 1 || b->path[0] >= n_stored) {
            continue;
        }
        smi_pq_shape *s = SM_NEW(f->mem, smi_pq_shape);
        if (smi_pq_shape_of(f->footer, &d->schema->fields[b->path[0]], sm_str_of(f->name), f->mem,
                            s, NULL) != SM_OK) {
            continue;
        }
        for (int32_t k = 1; k < b->n_path && s; k++) {
            s = s->kind == SMI_PQ_SHAPE_STRUCT && b->path[k] < s->n_children
                    ? &s->children[b->path[k]]
                    : NULL;
        }
        if (s) {
            f->bounds[f->n_bounds++] = (bound_spot){b, s};
        }
    }
}

/* Finds the file's columns that no field takes. Fails for the first one, or keeps them to be
 * counted with the rows. */
static sm_status find_unknown(pq_file *f, const sm_dataset *d, const sm_projection *want,
                              sm_error *e)
{
    if (want->unknown == SM_UNKNOWN_PASS) {
        return SM_OK;
    }
    sm_type stored = *d->schema;
    stored.n_fields -= d->n_constants;
    smi_pq_unknown(f->footer, &stored, want, f->mem, &f->unknown, &f->n_unknown);
    if (f->n_unknown == 0 || want->unknown == SM_UNKNOWN_COUNT) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_SCHEMA, "column \"%.*s\" of the file is not among the columns",
                SM_STR_ARG(f->unknown[0]));
    sm_unknown_advise(d->sampled, e);
    return st;
}

/* Reads which rows of the file are deleted. */
static sm_status read_deletes(pq_file *f, const sm_deletes *deletes, sm_budget *budget, sm_error *e)
{
    int64_t n_rows = 0;

    for (int64_t i = 0; i < f->footer->n_groups; i++) {
        const int64_t n = f->footer->groups[i].n_rows;
        SM_ASSERT(n >= 0);
        if (n > INT64_MAX - n_rows) {
            return sm_fail(e, SM_CORRUPT, "the row groups have more than 2^63 rows");
        }
        n_rows += n;
    }
    return deletes->read(deletes, n_rows, budget, &f->deleted, e);
}

sm_status smi_pq_open(const sm_dataset *d, int64_t file, sm_blob *blob, const sm_projection *want,
                      sm_budget *budget, sm_file **out, sm_error *e)
{
    sm_arena *mem = sm_arena_new(budget);
    pq_file *f = SM_NEW(mem, pq_file);
    f->mem = mem;
    f->blob = blob;
    f->name = sm_arena_printf(mem, "%.*s", SM_STR_ARG(sm_blob_uri(blob)));
    sm_status st = smi_pq_footer_read(blob, mem, &f->footer, e);
    if (st == SM_OK) {
        st = find_columns(f, d, want, e);
    }
    if (st == SM_OK) {
        st = find_unknown(f, d, want, e);
    }
    if (st == SM_OK && d->files && d->files[file].deletes) {
        st = read_deletes(f, d->files[file].deletes, budget, e);
    }
    if (st != SM_OK) {
        sm_error_place(e, f->name, 0, -1);
        sm_arena_free(mem);
        return st;
    }
    find_bounds(f, d, want);
    SM_ASSERT(!d->numbers_rows || d->files);
    f->one_of = d->one_of;
    f->rows_before = d->files ? d->files[file].rows_before : 0;
    f->number = d->numbers_rows ? d->files[file].constants[d->n_constants - 1].as.i : 0;
    f->parts = d->files ? d->files[file].parts : NULL;
    *out = (sm_file *)(void *)f;
    return SM_OK;
}

void smi_pq_close(sm_file *file)
{
    pq_file *f = (pq_file *)(void *)file;
    if (f) {
        sm_block_release(f->deleted);
        sm_arena_free(f->mem);
    }
}

/* ---- plan ------------------------------------------------------------------------------------ */

static bool is_excluded(const pq_file *f, const smi_pq_group *g)
{
    for (int32_t i = 0; i < f->n_bounds; i++) {
        sm_range range;
        smi_pq_stats_range(f->footer, g, f->bounds[i].shape, &range);
        if (sm_bound_excludes(f->bounds[i].bound, &range)) {
            return true;
        }
    }
    return false;
}

static int by_offset(const void *a, const void *b)
{
    const sm_byte_range *x = a, *y = b;
    return (x->off_bytes > y->off_bytes) - (x->off_bytes < y->off_bytes);
}

/* Sorts the first n ranges and joins those that are near each other. */
static void join_ranges(sm_morsel *m, int32_t n)
{
    SM_ASSERT(m->n_ranges == 0);
    qsort(m->ranges, (size_t)n, sizeof(m->ranges[0]), by_offset);
    for (int32_t i = 0; i < n; i++) {
        const sm_byte_range r = m->ranges[i];
        sm_byte_range *last = m->n_ranges > 0 ? &m->ranges[m->n_ranges - 1] : NULL;
        if (last && r.off_bytes <= last->off_bytes + last->len + GAP_BYTES) {
            const uint64_t end = r.off_bytes + r.len;
            if (end > last->off_bytes + last->len) {
                last->len = (size_t)(end - last->off_bytes);
            }
        } else {
            m->ranges[m->n_ranges++] = r;
        }
    }
}

/* Sets the morsel's ranges: the chunks that are read, or the pages of them. */
static void set_ranges(const pq_file *f, const smi_pq_group *g, sm_arena *a, sm_morsel *m)
{
    const page_slice *slice = m->pages;
    int32_t n = 0;
    m->ranges = SM_NEW_ARRAY(a, sm_byte_range, 2 * f->n_used + 1);
    for (int32_t i = 0; i < f->n_used; i++) {
        if (!slice) {
            const smi_pq_chunk *c = &g->chunks[f->used[i]];
            m->ranges[n++] = (sm_byte_range){c->off_bytes, c->size_bytes};
            continue;
        }
        const leaf_slice *l = &slice->leaves[i];
        if (l->dictionary.len > 0) {
            m->ranges[n++] = (sm_byte_range){l->dictionary.off_bytes, (size_t)l->dictionary.len};
        }
        m->ranges[n++] = (sm_byte_range){l->data.off_bytes, (size_t)l->data.len};
    }
    join_ranges(m, n);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* The part of the file with the page indexes that are needed, while the file is planned. */
typedef struct index_bytes {
    uint8_t *bytes; /* NULL: it is not used */
    smi_pq_span at;
} index_bytes;

static bool has_leaf(const bound_spot *b)
{
    return b->shape->kind == SMI_PQ_SHAPE_LEAF && b->shape->slot_rep == 0;
}

/* The span that has the indexes of the bounds' leaves and of those that are read; empty where no
 * page could be skipped. */
static smi_pq_span index_span(const pq_file *f)
{
    smi_pq_span all = {0};
    for (int32_t i = 0; i < f->n_used; i++) {
        if (f->footer->leaves[f->used[i]]->max_rep > 0) {
            return (smi_pq_span){0};
        }
    }
    for (int64_t k = 0; k < f->footer->n_groups; k++) {
        const smi_pq_group *g = &f->footer->groups[k];
        if (g->n_rows == 0 || is_excluded(f, g)) {
            continue;
        }
        for (int32_t i = 0; i < f->n_bounds; i++) {
            if (has_leaf(&f->bounds[i])) {
                smi_pq_span_widen(&all, g->chunks[f->bounds[i].shape->leaf].column_index);
                smi_pq_span_widen(&all, g->chunks[f->bounds[i].shape->leaf].offset_index);
            }
        }
        for (int32_t i = 0; i < f->n_used && (all.len > 0 || f->one_of > 1); i++) {
            smi_pq_span_widen(&all, g->chunks[f->used[i]].offset_index);
        }
    }
    return all;
}

static sm_status read_index(const pq_file *f, index_bytes *out, sm_error *e)
{
    *out = (index_bytes){0};
    const bool is_of_use = f->n_bounds > 0 || f->one_of > 1;
    const smi_pq_span at = is_of_use ? index_span(f) : (smi_pq_span){0};
    if (at.len == 0 || at.len > INDEX_MOST) {
        return SM_OK;
    }
    out->at = at;
    out->bytes = sm_alloc((size_t)at.len);
    const sm_status st = sm_blob_read(f->blob, at.off_bytes, (size_t)at.len, out->bytes, e);
    if (st != SM_OK) {
        sm_free(out->bytes);
        out->bytes = NULL;
    }
    return st;
}

/* May a page have the chunk's least (or greatest) value? If no page may, index and footer
 * contradict each other. Texts may be cut in one of them and not in the other, so they are not
 * compared. */
static bool may_have_end(const sm_range *whole, const sm_range *page, bool is_max)
{
    if (is_max ? !whole->has_max : !whole->has_min) {
        return true;
    }
    if (page->has_nulls && page->n_nulls == page->n_rows) {
        return false;
    }
    return (is_max ? !page->has_max : !page->has_min) ||
           sm_type_is_bytes(is_max ? whole->max.type->id : whole->min.type->id) ||
           (is_max ? sm_value_cmp(page->max, whole->max) >= 0
                   : sm_value_cmp(page->min, whole->min) <= 0);
}

/* Narrows *first … *end to the rows from the first to the last page that a bound does not exclude.
 */
static void narrow_rows(const pq_file *f, const smi_pq_group *g, const bound_spot *b,
                        const smi_pq_index *x, int64_t *first, int64_t *end)
{
    SM_ASSERT(x->stats && has_leaf(b));
    int64_t from = INT64_MAX, to = 0;
    bool has_least = false, has_most = false;
    sm_range whole;
    smi_pq_stats_range(f->footer, g, b->shape, &whole);
    for (int64_t i = 0; i < x->n_pages; i++) {
        sm_range range;
        smi_pq_page_range(f->footer, &x->stats[i], x->first_row[i + 1] - x->first_row[i], b->shape,
                          &range);
        has_least = has_least || may_have_end(&whole, &range, false);
        has_most = has_most || may_have_end(&whole, &range, true);
        if (!sm_bound_excludes(b->bound, &range)) {
            from = x->first_row[i] < from ? x->first_row[i] : from;
            to = x->first_row[i + 1];
        }
    }
    if (has_least && has_most) {
        *first = from > *first ? from : *first;
        *end = to < *end ? to : *end;
    }
}

/* Finds the pages of a leaf that have rows first … end − 1, and the dictionary before all pages. */
static bool slice_leaf(const smi_pq_chunk *c, const smi_pq_index *x, int64_t first, int64_t end,
                       leaf_slice *out)
{
    SM_ASSERT(first >= 0 && first < end && end <= x->first_row[x->n_pages]);
    int64_t from = 0, to = x->n_pages;
    while (x->first_row[from + 1] <= first) {
        from++;
    }
    while (x->first_row[to - 1] >= end) {
        to--;
    }
    *out = (leaf_slice){
        .dictionary = {c->off_bytes, x->off_bytes[0] - c->off_bytes},
        .data = {x->off_bytes[from], x->off_bytes[to - 1] + x->bytes[to - 1] - x->off_bytes[from]},
        .first_row = x->first_row[from],
        .end_row = x->first_row[to],
    };
    return from < to;
}

/* The pages of all leaves that are read with rows first … end − 1 of a row group; NULL where their
 * index does not tell. */
static page_slice *make_slice(const pq_file *f, const smi_pq_group *g, const index_bytes *index,
                              int64_t first, int64_t end, sm_arena *a)
{
    page_slice *slice = SM_NEW(a, page_slice);
    smi_pq_index x;

    slice->first_row = first;
    slice->end_row = end;
    slice->leaves = SM_NEW_ARRAY(a, leaf_slice, f->n_used);
    for (int32_t i = 0; i < f->n_used; i++) {
        const smi_pq_chunk *c = &g->chunks[f->used[i]];
        if (!index->bytes ||
            !smi_pq_index_read(c, g->n_rows, index->bytes, index->at, false, a, &x) ||
            !slice_leaf(c, &x, first, end, &slice->leaves[i])) {
            return NULL;
        }
    }
    return slice;
}

/* Finds the pages of a row group that may have rows which pass the bounds; *out is NULL where all
 * are read. false: there are none. */
static bool slice_pages(const pq_file *f, const smi_pq_group *g, const index_bytes *index,
                        sm_arena *a, const page_slice **out)
{
    int64_t first = 0, end = g->n_rows;
    smi_pq_index x;
    for (int32_t i = 0; i < f->n_bounds && index->bytes; i++) {
        const bound_spot *b = &f->bounds[i];
        if (has_leaf(b) &&
            smi_pq_index_read(&g->chunks[b->shape->leaf], g->n_rows, index->bytes, index->at, true,
                              a, &x) &&
            x.stats) {
            narrow_rows(f, g, b, &x, &first, &end);
        }
    }
    if (first >= end || (first == 0 && end == g->n_rows)) {
        return first < end;
    }
    *out = make_slice(f, g, index, first, end, a); /* without its index: all pages are read */
    return true;
}

/* ---- some of the rows ------------------------------------------------------------------------ */

/* Rows that are read together: a page of the files that smelt writes. */
#define PIECE_ROWS 20480

typedef struct morsel_list {
    sm_morsel *items;
    int64_t n, cap;
} morsel_list;

static void add_morsel(const pq_file *f, int64_t group, const page_slice *slice, sm_arena *a,
                       morsel_list *to)
{
    to->items = sm_arena_grow(a, to->items, to->n, &to->cap, sizeof(*to->items));
    sm_morsel *m = &to->items[to->n];
    *m = (sm_morsel){.in_file = to->n, .part = (int32_t)group, .pages = slice};
    set_ranges(f, &f->footer->groups[group], a, m);
    to->n++;
}

/* The first n rows of a row group without page index: its chunks are read as a whole, and decoded
 * as far as that. */
static page_slice *first_rows(const pq_file *f, const smi_pq_group *g, int64_t n, sm_arena *a)
{
    page_slice *slice = SM_NEW(a, page_slice);

    SM_ASSERT(n > 0 && n <= g->n_rows);
    slice->end_row = n;
    slice->leaves = SM_NEW_ARRAY(a, leaf_slice, f->n_used);
    for (int32_t i = 0; i < f->n_used; i++) {
        const smi_pq_chunk *c = &g->chunks[f->used[i]];
        slice->leaves[i] =
            (leaf_slice){.data = {c->off_bytes, c->size_bytes}, .end_row = g->n_rows};
    }
    return slice;
}

/* Adds pieces of a row group, the first row of which has that number among those of all files. Of
 * pieces that follow each other, also in several small files, one of so many is taken. */
static void add_pieces(const pq_file *f, int64_t group, int64_t row, const index_bytes *index,
                       sm_arena *a, morsel_list *to)
{
    const smi_pq_group *g = &f->footer->groups[group];
    int64_t n_without = 0; /* rows of pieces, where the page index does not tell where they are */

    for (int64_t first = 0; first < g->n_rows; first += PIECE_ROWS) {
        const int64_t end = g->n_rows - first < PIECE_ROWS ? g->n_rows : first + PIECE_ROWS;
        if ((row + first) / PIECE_ROWS % f->one_of != 0) {
            continue;
        }
        const page_slice *slice = make_slice(f, g, index, first, end, a);
        if (slice) {
            add_morsel(f, group, slice, a, to);
        } else {
            n_without += end - first;
        }
    }
    if (n_without > 0) {
        add_morsel(f, group, first_rows(f, g, n_without, a), a, to);
    }
}

static void plan_some(const pq_file *f, const index_bytes *index, sm_arena *a, morsel_list *to)
{
    int64_t row = f->rows_before;

    SM_ASSERT(f->one_of > 1 && f->n_bounds == 0 && !f->parts && row >= 0);
    for (int64_t i = 0; i < f->footer->n_groups; i++) {
        add_pieces(f, i, row, index, a, to);
        row += f->footer->groups[i].n_rows;
    }
}

/* A morsel for each row group that may have rows which pass the bounds. Returns how many have none.
 */
static int64_t plan_groups(const pq_file *f, const index_bytes *index, sm_arena *a, morsel_list *to)
{
    int64_t n_skipped = 0;

    for (int64_t i = 0; i < f->footer->n_groups; i++) {
        const smi_pq_group *g = &f->footer->groups[i];
        const page_slice *slice = NULL;
        if (g->n_rows == 0) {
            continue;
        }
        if ((f->parts && !f->parts[i]) || is_excluded(f, g) ||
            !slice_pages(f, g, index, a, &slice)) {
            n_skipped++;
            continue;
        }
        add_morsel(f, i, slice, a, to);
    }
    return n_skipped;
}

sm_status smi_pq_plan(sm_file *file, sm_arena *a, sm_morsel **out, int64_t *n, int64_t *skipped,
                      sm_error *e)
{
    const pq_file *f = (const pq_file *)(const void *)file;
    morsel_list list = {0};
    index_bytes index;
    *skipped = 0;
    if (f->footer->n_groups > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "file has %" PRId64 " row groups", f->footer->n_groups);
    }
    SM_TRY(read_index(f, &index, e));
    if (f->one_of > 1) {
        plan_some(f, &index, a, &list);
    } else {
        *skipped = plan_groups(f, &index, a, &list);
    }
    if (list.n > 0) {
        list.items[list.n - 1].is_last = true;
    }
    sm_free(index.bytes);
    *out = list.items;
    *n = list.n;
    return SM_OK;
}

/* ---- reader ---------------------------------------------------------------------------------- */

sm_status smi_pq_reader_new(const sm_dataset *d, const sm_projection *want, sm_budget *budget,
                            sm_reader **out, sm_error *e)
{
    sm_arena *mem = sm_arena_new(budget);
    pq_reader *r = SM_NEW(mem, pq_reader);
    sm_field *fields = SM_NEW_ARRAY(mem, sm_field, want->n_columns + 1);
    for (int32_t i = 0; i < want->n_columns; i++) {
        fields[i] = sm_projected(d, want, i);
    }
    if (d->numbers_rows) {
        SM_ASSERT(d->n_constants > 0);
        fields[want->n_columns] = d->schema->fields[d->schema->n_fields - 1];
        SM_ASSERT(fields[want->n_columns].type->id == SM_TYPE_I64);
    }
    r->mem = mem;
    r->numbers_rows = d->numbers_rows;
    r->budget = budget;
    r->schema = sm_type_struct(mem, fields, want->n_columns + d->numbers_rows);
    r->codecs = smi_pq_codecs_new();
    *out = (sm_reader *)(void *)r;
    return SM_OK;
}

static void drop_blocks(pq_reader *r)
{
    for (int32_t i = 0; i < r->n_blocks; i++) {
        sm_block_release(r->blocks[i]);
    }
    r->n_blocks = 0;
}

void smi_pq_reader_free(sm_reader *reader)
{
    pq_reader *r = (pq_reader *)(void *)reader;
    if (!r) {
        return;
    }
    for (int32_t i = 0; i < r->n_leaves; i++) {
        smi_pq_leaf_release(&r->leaves[i]);
    }
    drop_blocks(r);
    sm_free(r->leaves);
    sm_free(r->by_leaf);
    sm_free(r->blocks);
    smi_pq_codecs_free(r->codecs);
    sm_arena_free(r->mem);
}

/* Makes room for a file's leaves and a morsel's blocks. Leaves keep what they have. */
static void make_room(pq_reader *r, const pq_file *f, int32_t n_blocks)
{
    if (f->n_used > r->n_leaves) {
        r->leaves = sm_realloc(r->leaves, (size_t)f->n_used * sizeof(*r->leaves));
        memset(r->leaves + r->n_leaves, 0, (size_t)(f->n_used - r->n_leaves) * sizeof(*r->leaves));
        r->n_leaves = f->n_used;
    }
    if (f->footer->n_leaves > r->n_by_leaf) {
        r->n_by_leaf = f->footer->n_leaves;
        r->by_leaf = sm_realloc(r->by_leaf, (size_t)r->n_by_leaf * sizeof(*r->by_leaf));
    }
    if (n_blocks > r->blocks_cap) {
        r->blocks_cap = n_blocks;
        r->blocks = sm_realloc(r->blocks, (size_t)n_blocks * sizeof(sm_block *));
    }
}

/* How many rows a batch has, so that long lists do not make it huge. */
static int64_t rows_in_batch(const pq_file *f, const smi_pq_group *g)
{
    SM_ASSERT(g->n_rows > 0); /* else there is no morsel */
    int64_t rows = SM_BATCH_ROWS;
    for (int32_t i = 0; i < f->n_used; i++) {
        const int64_t values = g->chunks[f->used[i]].n_values;
        const int64_t in_row = values / g->n_rows + 1;
        const int64_t fits = BATCH_VALUES / in_row;
        if (f->footer->leaves[f->used[i]]->max_rep > 0 && fits < rows) {
            rows = fits > 0 ? fits : 1;
        }
    }
    return rows;
}

/* Finds bytes of the file in a morsel's blocks. */
static smi_pq_piece piece_of(const sm_morsel *m, sm_block *const *blocks, smi_pq_span s)
{
    int32_t k = 0;
    if (s.len == 0) {
        return (smi_pq_piece){0};
    }
    while (k < m->n_ranges && (s.off_bytes < m->ranges[k].off_bytes ||
                               s.off_bytes + s.len > m->ranges[k].off_bytes + m->ranges[k].len)) {
        k++;
    }
    SM_ASSERT(k < m->n_ranges);
    return (smi_pq_piece){
        .block = blocks[k],
        .bytes = blocks[k]->data + (s.off_bytes - m->ranges[k].off_bytes),
        .len = (size_t)s.len,
        .off_bytes = s.off_bytes,
    };
}

static void begin_leaf(pq_reader *r, int32_t i, const sm_morsel *m, sm_block *const *blocks)
{
    const pq_file *f = r->file;
    const int32_t leaf = f->used[i];
    const smi_pq_chunk *c = &f->footer->groups[m->part].chunks[leaf];
    const page_slice *slice = m->pages;
    smi_pq_leaf_source from = {
        .node = f->footer->leaves[leaf],
        .chunk = c,
        .convert = f->converts[leaf],
        .n_levels = c->n_values,
        .file = f->name,
    };
    if (slice) {
        const leaf_slice *l = &slice->leaves[i];
        const bool has_dictionary = l->dictionary.len > 0;
        const smi_pq_piece data = piece_of(m, blocks, l->data);
        from.first = has_dictionary ? piece_of(m, blocks, l->dictionary) : data;
        from.then = has_dictionary ? data : (smi_pq_piece){0};
        from.n_levels = l->end_row - l->first_row;
    } else {
        from.first = piece_of(m, blocks, (smi_pq_span){c->off_bytes, c->size_bytes});
    }
    smi_pq_leaf_begin(&r->leaves[i], &from, r->codecs, r->budget);
    r->by_leaf[leaf] = &r->leaves[i];
}

/* Finds where the morsel's rows are in the file. */
static void find_first_row(pq_reader *r)
{
    r->first_row = r->slice ? r->slice->first_row : 0;
    for (int32_t i = 0; i < r->group; i++) {
        r->first_row += r->file->footer->groups[i].n_rows;
    }
}

/* Finds how many of the morsel's rows are deleted. */
static void find_deleted(pq_reader *r)
{
    const pq_file *f = r->file;

    r->n_deleted = 0;
    if (!f->deleted) {
        return;
    }
    SM_ASSERT(sm_bits_bytes(r->first_row + r->n_rows) <= f->deleted->size_bytes);
    for (int64_t i = 0; i < r->n_rows; i++) {
        r->n_deleted += sm_bit_get(f->deleted->data, r->first_row + i);
    }
    if (!r->kept) {
        r->kept = SM_NEW_ARRAY(r->mem, int32_t, SM_BATCH_ROWS);
    }
}

/* All rows of the morsel have each of the file's unknown columns. */
static void set_unknown(pq_reader *r)
{
    const int64_t n_rows = r->n_rows - r->n_deleted;

    for (int64_t i = 0; i < r->file->n_unknown; i++) {
        r->unknown = sm_arena_grow(r->mem, r->unknown, i, &r->unknown_cap, sizeof(*r->unknown));
        r->unknown[i] = (sm_unknown_key){.path = r->file->unknown[i], .lines = n_rows};
    }
}

sm_status smi_pq_begin(sm_reader *reader, sm_file *file, const sm_morsel *m,
                       sm_block *const *blocks, const size_t *lens, sm_error *e)
{
    pq_reader *r = (pq_reader *)(void *)reader;
    const pq_file *f = (const pq_file *)(const void *)file;
    SM_ASSERT(m->part >= 0 && m->part < f->footer->n_groups);
    const smi_pq_group *g = &f->footer->groups[m->part];
    const page_slice *slice = m->pages;
    SM_ASSERT(!slice || (slice->first_row < slice->end_row && slice->end_row <= g->n_rows));
    drop_blocks(r);
    make_room(r, f, m->n_ranges);
    for (int32_t i = 0; i < m->n_ranges; i++) {
        SM_ASSERT(lens[i] >= m->ranges[i].len);
        r->blocks[i] = sm_block_retain(blocks[i]);
    }
    r->n_blocks = m->n_ranges;
    r->file = f;
    r->group = m->part;
    r->n_rows = slice ? slice->end_row - slice->first_row : g->n_rows;
    r->slice = slice;
    find_first_row(r);
    find_deleted(r);
    set_unknown(r);
    r->at_row = 0;
    r->seq = 0;
    r->batch_rows = rows_in_batch(f, g);
    for (int32_t i = 0; i < f->n_used; i++) {
        begin_leaf(r, i, m, blocks);
    }
    return SM_OK;
}

/* Decodes and drops the rows that each leaf's first page has before the slice. */
static sm_status skip_rows(pq_reader *r, sm_error *e)
{
    for (int32_t i = 0; i < r->file->n_used; i++) {
        const leaf_slice *l = &r->slice->leaves[i];
        SM_ASSERT(l->first_row <= r->slice->first_row && l->end_row >= r->slice->end_row);
        for (int64_t left = r->slice->first_row - l->first_row; left > 0;) {
            const int64_t n = left < SM_BATCH_ROWS ? left : SM_BATCH_ROWS;
            sm_batch *b = NULL;
            sm_column ignored;
            SM_TRY(sm_batch_new(r->budget, r->schema, &b, e));
            const sm_status st = r->file->is_flat[i]
                                     ? smi_pq_leaf_flat(&r->leaves[i], n, b, &ignored, e)
                                     : smi_pq_leaf_nested(&r->leaves[i], n, b, e);
            sm_batch_release(b);
            SM_TRY(st);
            left -= n;
        }
    }
    r->slice = NULL;
    return SM_OK;
}

/* Reads the batch's rows of all leaves below a nested column, for smi_pq_assemble. */
static sm_status read_nested(pq_reader *r, const smi_pq_shape *s, int64_t n, sm_batch *b,
                             sm_error *e)
{
    if (s->kind == SMI_PQ_SHAPE_MISSING) {
        return SM_OK;
    }
    if (s->kind == SMI_PQ_SHAPE_LEAF) {
        return smi_pq_leaf_nested(r->by_leaf[s->leaf], n, b, e);
    }
    bool is_childs = false;
    for (int32_t i = 0; i < s->n_children; i++) {
        const smi_pq_shape *child = &s->children[i];
        SM_TRY(read_nested(r, child, n, b, e));
        is_childs = is_childs || (child->kind != SMI_PQ_SHAPE_MISSING && child->leaf == s->leaf);
    }
    /* If no child has read this shape's leaf, only its levels are needed. */
    return is_childs ? SM_OK : smi_pq_leaf_nested(r->by_leaf[s->leaf], n, b, e);
}

static sm_status read_column(pq_reader *r, int32_t i, int64_t n, sm_batch *b, sm_error *e)
{
    const smi_pq_shape *s = &r->file->shapes[i];
    if (s->is_flat) {
        return smi_pq_leaf_flat(r->by_leaf[s->leaf], n, b, &b->columns[i], e);
    }
    SM_TRY(read_nested(r, s, n, b, e));
    return smi_pq_assemble(s, r->by_leaf, n, b, &b->columns[i], e);
}

/* The numbers of the next n rows, as the last column. */
static sm_status number_rows(const pq_reader *r, int64_t n, sm_batch *b, sm_error *e)
{
    int64_t *numbers = NULL;

    SM_TRY(sm_batch_alloc_raw(b, (size_t)n * sizeof(*numbers), (void **)&numbers, e));
    for (int64_t i = 0; i < n; i++) {
        numbers[i] = r->file->number + r->first_row + r->at_row + i;
    }
    b->columns[b->n_columns - 1] =
        (sm_column){.type = &sm_type_i64, .n_rows = n, .values = numbers};
    return SM_OK;
}

/* Decodes the next n rows. */
static sm_status read_rows(pq_reader *r, int64_t n, sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL;

    SM_TRY(sm_batch_new(r->budget, r->schema, &b, e));
    b->n_rows = n;
    sm_status st = r->numbers_rows ? number_rows(r, n, b, e) : SM_OK;
    for (int32_t i = 0; i < r->file->n_columns && st == SM_OK; i++) {
        st = read_column(r, i, n, b, e);
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

/* Leaves out the rows of a batch that are deleted; it begins at row at_row of the morsel. Takes b.
 * *out is NULL where no row is left. */
static sm_status drop_deleted(pq_reader *r, sm_batch *b, sm_batch **out, sm_error *e)
{
    const uint8_t *bits = r->file->deleted->data;
    const int64_t first = r->first_row + r->at_row, n_rows = b->n_rows;
    int64_t n = 0;

    SM_ASSERT(n_rows <= SM_BATCH_ROWS && r->at_row + n_rows <= r->n_rows);
    for (int64_t i = 0; i < n_rows; i++) {
        if (!sm_bit_get(bits, first + i)) {
            r->kept[n++] = (int32_t)i;
        }
    }
    *out = NULL;
    if (n == n_rows) {
        *out = b;
        return SM_OK;
    }
    const sm_status st = n > 0 ? sm_batch_gather(b, r->kept, n, r->budget, out, e) : SM_OK;
    sm_batch_release(b);
    return st;
}

/* Reads the next batch with a row that is not deleted; *out is NULL where there is none. */
static sm_status next_rows(pq_reader *r, sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL;

    if (r->slice) {
        SM_TRY(skip_rows(r, e));
    }
    while (r->at_row < r->n_rows && !b) {
        const int64_t left = r->n_rows - r->at_row;
        const int64_t n = left < r->batch_rows ? left : r->batch_rows;
        SM_TRY(read_rows(r, n, &b, e));
        if (r->n_deleted > 0) {
            SM_TRY(drop_deleted(r, b, &b, e));
        }
        r->at_row += n;
    }
    if (b) {
        b->seq = r->seq++;
    }
    *out = b;
    return SM_OK;
}

sm_status smi_pq_pull(sm_reader *reader, sm_batch **rows, sm_batch **refused, sm_byte_range *more,
                      sm_error *e)
{
    pq_reader *r = (pq_reader *)(void *)reader;
    SM_ASSERT(r->file && r->at_row <= r->n_rows && r->batch_rows > 0);
    *rows = NULL;
    *refused = NULL;
    const sm_status st = next_rows(r, rows, e);
    if (st != SM_OK) {
        sm_error_place(e, r->file->name, 0, -1);
        return sm_within(e, st, "row group %" PRId32, r->group);
    }
    return *rows ? SM_OK : SM_END;
}

sm_status smi_pq_feed(sm_reader *reader, sm_block *block, size_t len, sm_error *e)
{
    return sm_fail(e, SM_INTERNAL, "a row group never asks for more bytes");
}

void smi_pq_counts(const sm_reader *reader, sm_scan_counts *out, const sm_unknown_key **unknown,
                   int64_t *n_unknown)
{
    const pq_reader *r = (const pq_reader *)(const void *)reader;
    const int64_t n = r->file ? r->file->n_unknown : 0;
    const int64_t n_rows = r->n_rows - r->n_deleted;
    *out = (sm_scan_counts){.rows = n_rows, .unknown_lines = n > 0 ? n_rows : 0};
    *unknown = r->unknown;
    *n_unknown = n;
}
