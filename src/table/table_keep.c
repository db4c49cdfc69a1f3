/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_keep.c: what stays as it is in a file that a MERGE writes anew: row groups in which
 * no row changes, and in the others columns that get no other values. Their bytes are copied;
 * nothing of them is decoded or compressed. Called by table_replace.c, and by table_patch.c as the
 * rows come.
 *
 * Columns  A column stays in a file where MERGE does not set it, or sets it to what `on` says that
 *          it is, or where all new values turn out to be the old ones: changes that come from
 *          another database often have all columns of a row, of which few are new. To see that, the
 *          columns are read once before. The first row group that changes tells which are worth it.
 * Groups   One in which no row changes stays whole, and the scan does not read it
 *          (sm_datafile.parts). One in which rows go, or with more rows than the writer gives one,
 *          is written anew with all columns.
 * Rows     The rows of a file stay together and keep their order, so the new file has the old row
 *          groups in their order.
 * Never    in a file with a deletion vector, of another tree of columns than the table's, or whose
 *          row groups are small (the format decides); where rows change their partition.
 * Memory   the footers of FILES files, and of the row group in work a few pieces that are read
 *          ahead */
#include "table/table_int.h"

#define LOOK_BYTES (1u << 20) /* a smaller file of fewer rows is not looked at */
#define LOOK_ROWS  32768
/* So many row groups must change, for the first of them to tell about columns: reading it twice
 * is then a small part of the work. */
#define SAMPLED     8
#define BEFORE_FILE (-1) /* no row group of it has begun */

/* A file that is written anew; `groups` is NULL where nothing of it stays. */
typedef struct kept_file {
    sm_blob *blob;
    sm_row_groups *groups;
    int64_t *first_row; /* of each row group, and behind them the number of rows */
    bool *changes;      /* of each: do rows change or go, … */
    bool *deletes;      /* … do rows go? */
    bool *stays;        /* of each column of the table: does it, where no row goes? */
    bool *stored;       /* the same of each stored column */
    bool *reads;        /* of each column of the table: must it be read? */
} kept_file;

struct smi_keep {
    sm_stage *stage;
    const smi_matches *matches;
    sm_arena *arena;
    sm_fetch *fetch;
    uint64_t file_bytes; /* the stage's */
    bool reads_all;      /* the table's rules look at all columns */
    int64_t first, end;  /* the files of the base that these are */
    kept_file *files;
    int64_t n_changed; /* row groups in which rows change, in all files */
    /* how far the new files are */
    int64_t file, group;
    bool has_entered; /* the file's new one is open */
    bool has_begun;   /* the row group has begun … */
    bool is_kept;     /* … and the writer must be told of its end */
};

static kept_file *file_at(const smi_keep *k, int64_t file)
{
    SM_ASSERT(file >= k->first && file < k->end);
    return &k->files[file - k->first];
}

/* ---- which columns stay ---------------------------------------------------------------------- */

static void mark_read(const sm_expr *x, int32_t n, bool *reads)
{
    if (x->kind == SM_EXPR_COLUMN && x->index < n) {
        reads[x->index] = true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        mark_read(x->args[i], n, reads);
    }
}

/* A row group that is mixed of columns that stay and others. */
static bool is_mixed(const kept_file *f, int64_t group)
{
    return f->changes[group] && !f->deletes[group] &&
           f->groups->n_rows[group] <= f->groups->mixed_rows;
}

/* What must be read of a file, after it is known what stays. Nothing may stay: then it is as if it
 * had not been looked at. */
static void settle_file(const smi_keep *k, kept_file *f)
{
    const sm_row_change *c = &k->stage->change.rows;
    const smi_out *o = &k->stage->out;
    bool is_useful = false, reads_all = k->reads_all;

    SM_ASSERT(f->groups && f->blob && o->n_keys == o->n_partition);
    for (int64_t i = 0; i < f->groups->n; i++) {
        is_useful = is_useful || !f->changes[i];
        reads_all = reads_all || (f->changes[i] && !is_mixed(f, i));
    }
    for (int32_t i = 0; i < c->n_columns; i++) {
        const bool is_stored = sm_delta_partition_at(o->metadata, i) < 0;
        f->reads[i] = f->reads[i] || reads_all || !f->stays[i] || !is_stored;
        is_useful = is_useful || (is_stored && f->stays[i]);
        if (!f->stays[i]) {
            mark_read(c->values[i], c->n_columns, f->reads);
        }
        if (!is_stored && !f->stays[i]) {
            f->groups = NULL; /* rows change their partition */
            return;
        }
    }
    for (int32_t i = 0; i < o->stored->n_fields; i++) {
        f->stored[i] = f->stays[o->stored_columns ? o->stored_columns[i] : i];
    }
    f->groups = is_useful ? f->groups : NULL;
}

/* ---- looking at files ------------------------------------------------------------------------ */

/* Finds the row group of a row. */
static int64_t group_of(const kept_file *f, int64_t row)
{
    int64_t low = 0, high = f->groups->n - 1;

    SM_ASSERT(row >= 0 && row < f->first_row[f->groups->n]);
    while (low < high) {
        const int64_t mid = low + (high - low + 1) / 2;
        low = f->first_row[mid] <= row ? mid : low;
        high = f->first_row[mid] <= row ? high : mid - 1;
    }
    return low;
}

/* Notes the row groups of the next n pairs, which are the file's. false: it has fewer rows. */
static bool note_pairs(smi_keep *k, kept_file *f, smi_patch *at, int64_t n)
{
    const int64_t row_bits = ((int64_t)1 << SMI_PLACE_BITS) - 1;

    for (int64_t i = 0; i < n; i++) {
        const int64_t row = smi_patch_place(at) & row_bits;
        if (row >= f->first_row[f->groups->n]) {
            return false;
        }
        const int64_t group = group_of(f, row);
        k->n_changed += !f->changes[group];
        f->changes[group] = true;
        f->deletes[group] = f->deletes[group] || smi_patch_deletes(at);
        smi_patch_step(at, 1);
    }
    return true;
}

static sm_status look_at(smi_keep *k, const sm_delta_file *f, kept_file *out, sm_error *e)
{
    const smi_out *o = &k->stage->out;
    const sm_row_change *c = &k->stage->change.rows;
    const bool is_small = f->size_bytes < LOOK_BYTES && f->n_rows >= 0 && f->n_rows < LOOK_ROWS;

    if (f->dv || is_small || f->key.len == 0) { /* one without a key is in another store */
        return SM_OK;
    }
    SM_TRY(
        sm_blob_open_tail(o->store, f->key, f->size_bytes, o->format->tail_bytes, &out->blob, e));
    SM_TRY(
        o->format->writer->row_groups(o->stored, o->options, out->blob, k->arena, &out->groups, e));
    if (!out->groups) {
        return SM_OK;
    }
    const int64_t n = out->groups->n;
    out->first_row = SM_NEW_ARRAY(k->arena, int64_t, n + 1);
    for (int64_t i = 0; i < n; i++) {
        out->first_row[i + 1] = out->first_row[i] + out->groups->n_rows[i];
    }
    out->changes = SM_NEW_ARRAY(k->arena, bool, n + 1);
    out->deletes = SM_NEW_ARRAY(k->arena, bool, n + 1);
    out->stays = SM_NEW_ARRAY(k->arena, bool, c->n_columns + 1);
    out->stored = SM_NEW_ARRAY(k->arena, bool, c->n_columns + 1);
    out->reads = SM_NEW_ARRAY(k->arena, bool, c->n_columns + 1);
    return SM_OK;
}

/* Looks at the files, whose pairs are the next ones of `at`. */
static sm_status look_at_files(smi_keep *k, const bool *is_cut, smi_patch at, sm_error *e)
{
    smi_patch_pass(&at, k->first << SMI_PLACE_BITS);
    for (int64_t i = k->first; i < k->end; i++) {
        kept_file *f = file_at(k, i);
        const int64_t n = k->matches->looks[i].n_acts;
        const int64_t next = at.next + n;
        if (is_cut[i]) {
            SM_TRY(look_at(k, &k->matches->files[i], f, e));
        }
        if (f->groups && !note_pairs(k, f, &at, n)) {
            f->groups = NULL;
        }
        smi_patch_step(&at, next - at.next);
    }
    return SM_OK;
}

/* ---- values that are what they were ---------------------------------------------------------- */

/* Equal in each bit, as copied bytes must be. */
static bool is_same(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    if (a->type->id == SM_TYPE_F32 || a->type->id == SM_TYPE_F64) {
        const sm_value x = sm_column_value(a, i), y = sm_column_value(b, j);
        uint64_t x_bits = 0, y_bits = 0;
        memcpy(&x_bits, &x.as.f, sizeof(x_bits));
        memcpy(&y_bits, &y.as.f, sizeof(y_bits));
        return x.is_null == y.is_null && (x.is_null || x_bits == y_bits);
    }
    return sm_column_eq(a, i, b, j);
}

/* A comparison under way. */
typedef struct comparing {
    smi_patch patch; /* first: where it stands among the pairs */
    smi_keep *keep;
    bool *columns;
} comparing;

/* smi_patch_fn: takes from what stays in a file the columns that get other values. */
static sm_status compare_pairs(void *ctx, const smi_patch_rows *rows, sm_error *e)
{
    const comparing *c = ctx;
    const sm_row_change *change = &c->keep->stage->change.rows;
    kept_file *f = file_at(c->keep, rows->file);
    sm_batch *b = NULL;
    sm_status st = SM_OK;

    SM_ASSERT(f->groups && rows->old->n_rows == rows->n && rows->pairs->n_rows == rows->n);
    SM_TRY(sm_batch_new(c->keep->stage->env.budget, rows->pairs->schema, &b, e));
    b->n_rows = rows->n;
    for (int32_t i = 0; i < change->n_columns && st == SM_OK; i++) {
        const sm_column *old = &rows->old->columns[i];
        sm_column values = {0};
        if (!c->columns[i] || !f->stays[i]) {
            continue;
        }
        st = sm_expr_eval(change->values[i], rows->pairs, NULL, b, &values, e);
        st = st == SM_OK ? sm_column_widen(&values, old->type, b, &values, e) : st;
        for (int64_t k = 0; k < rows->n && f->stays[i] && st == SM_OK; k++) {
            const bool goes = smi_row_is_true(rows->deletes, rows->first + k);
            f->stays[i] = goes || is_same(old, k, &values, k);
        }
    }
    sm_batch_release(b);
    return st;
}

/* sm_sink.push */
static sm_status push_compared(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    comparing *c = ctx;

    (void)waker;
    return smi_patch_visit(&c->patch, rows, compare_pairs, c, e);
}

/* Another one at the same pairs. */
static smi_patch at_pairs(const smi_patch *p)
{
    return (smi_patch){.stage = p->stage,
                       .matches = p->matches,
                       .next = p->next,
                       .batch = p->batch,
                       .row = p->row};
}

/* Reads those columns, and of the files that `pick` says the row groups that change. */
static sm_status compare_columns(smi_keep *k, smi_scan_pick *pick, bool *columns,
                                 const smi_patch *at, sm_error *e)
{
    const sm_row_change *c = &k->stage->change.rows;
    comparing with = {.patch = at_pairs(at), .keep = k, .columns = columns};
    const sm_sink sink = {.ctx = &with, .push = push_compared};
    bool *reads = SM_NEW_ARRAY(k->arena, bool, c->n_columns + 1);
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    for (int32_t i = 0; i < c->n_columns; i++) {
        reads[i] = reads[i] || columns[i];
        if (columns[i]) {
            mark_read(c->values[i], c->n_columns, reads);
        }
    }
    pick->columns = reads;
    SM_TRY(smi_replace_scan(k->stage, k->matches, pick, true, &rows, e));
    SM_TRY(sm_statement_finish(k->stage->change.statement, rows, k->arena, &plan, e));
    const sm_status st = sm_exec_run(plan, &k->stage->env, &sink, NULL, NULL, e);
    smi_patch_release(&with.patch);
    return st;
}

/* A pick of these files that reads none of them yet. */
typedef struct picking {
    bool *files;
    const bool **parts;
    smi_scan_pick pick;
} picking;

static picking new_pick(const smi_keep *k, int64_t first, int64_t end)
{
    picking p = {.files = SM_NEW_ARRAY(k->arena, bool, end - first + 1),
                 .parts = SM_NEW_ARRAY(k->arena, const bool *, end - first + 1)};

    p.pick = (smi_scan_pick){
        .first = first, .end = end, .files = p.files, .parts = p.parts, .arena = k->arena};
    return p;
}

/* A pick of the files that were looked at, with the row groups that change. */
static smi_scan_pick pick_changed(const smi_keep *k)
{
    const picking p = new_pick(k, k->first, k->end);

    for (int64_t i = k->first; i < k->end; i++) {
        p.files[i - k->first] = file_at(k, i)->groups != NULL;
        p.parts[i - k->first] = file_at(k, i)->changes;
    }
    return p.pick;
}

/* A pick of the first row group that changes, of file *file. */
static smi_scan_pick pick_sample(const smi_keep *k, int64_t *file)
{
    int64_t group = 0;

    *file = k->first;
    while (!file_at(k, *file)->groups) {
        ++*file;
    }
    const kept_file *f = file_at(k, *file);
    while (!f->changes[group]) {
        group++;
    }
    bool *part = SM_NEW_ARRAY(k->arena, bool, f->groups->n + 1);
    part[group] = true;
    const picking p = new_pick(k, *file, *file + 1);
    p.files[0] = true;
    p.parts[0] = part;
    return p.pick;
}

/* Finds the columns that may stay in files: those that the statement leaves, and in `columns` those
 * of which only their values tell. */
static bool *find_columns(const smi_keep *k, const int32_t *order, bool *columns)
{
    const sm_row_change *c = &k->stage->change.rows;
    bool *left = SM_NEW_ARRAY(k->arena, bool, c->n_columns + 1);

    for (int32_t i = 0; i < c->n_columns; i++) {
        left[i] = order[i] >= 0 && smi_merge_leaves(c, i, k->arena);
        columns[i] = order[i] >= 0 && !left[i] && !sm_type_is_nested(c->rows->fields[i].type->id);
    }
    return left;
}

static bool has_any(const smi_keep *k, const bool *columns)
{
    return memchr(columns, true, (size_t)k->stage->change.rows.n_columns) != NULL;
}

/* Reads the sample, and gives up the columns that have other values there. */
static sm_status compare_sample(smi_keep *k, bool *columns, const smi_patch *at, sm_error *e)
{
    int64_t sampled = 0;
    smi_scan_pick sample = pick_sample(k, &sampled);

    SM_TRY(compare_columns(k, &sample, columns, at, e));
    const bool *stays = file_at(k, sampled)->stays;
    for (int32_t i = 0; i < k->stage->change.rows.n_columns; i++) {
        columns[i] = columns[i] && stays[i];
    }
    return SM_OK;
}

/* Decides which columns stay, in each file. */
static sm_status decide_columns(smi_keep *k, const int32_t *order, const smi_patch *at, sm_error *e)
{
    const int32_t n = k->stage->change.rows.n_columns;
    bool *columns = SM_NEW_ARRAY(k->arena, bool, n + 1);
    const bool *left = find_columns(k, order, columns);
    bool compares = has_any(k, columns) && k->n_changed >= SAMPLED;

    for (int64_t i = k->first; i < k->end; i++) {
        kept_file *f = file_at(k, i);
        for (int32_t column = 0; f->groups && column < n; column++) {
            f->stays[column] = left[column] || columns[column];
        }
    }
    if (compares) {
        SM_TRY(compare_sample(k, columns, at, e));
        compares = has_any(k, columns);
    }
    if (compares) {
        smi_scan_pick all = pick_changed(k);
        SM_TRY(compare_columns(k, &all, columns, at, e));
    }
    for (int64_t i = k->first; i < k->end; i++) {
        kept_file *f = file_at(k, i);
        for (int32_t column = 0; f->groups && column < n; column++) {
            f->stays[column] = f->stays[column] && (left[column] || (compares && columns[column]));
        }
    }
    return SM_OK;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

void smi_keep_free(smi_keep *k)
{
    if (!k) {
        return;
    }
    sm_fetch_free(k->fetch);
    for (int64_t i = k->first; i < k->end; i++) {
        sm_blob_close(file_at(k, i)->blob);
    }
    sm_arena_free(k->arena);
}

static sm_status find_kept(smi_keep *k, const bool *is_cut, const smi_patch *at, sm_error *e)
{
    const smi_out *o = &k->stage->out;
    const int32_t *order = smi_replace_order(k->stage, k->arena);
    smi_rules rules = {0};

    if (!o->format->writer->begin_kept || o->n_keys != o->n_partition) {
        return SM_OK;
    }
    if (k->stage->change.rows.values) {
        SM_TRY(smi_rules_settle(o->metadata, order, k->arena, &rules, e));
    }
    k->reads_all = rules.n > 0 || rules.has_missing;
    SM_TRY(sm_fetch_new(k->stage->env.stores, k->stage->env.budget, &k->fetch, e));
    SM_TRY(look_at_files(k, is_cut, *at, e));
    SM_TRY(k->n_changed > 0 ? decide_columns(k, order, at, e) : SM_OK);
    for (int64_t i = k->first; i < k->end; i++) {
        if (file_at(k, i)->groups) {
            settle_file(k, file_at(k, i));
        }
    }
    return SM_OK;
}

sm_status smi_keep_find(sm_stage *s, int64_t first, int64_t end, const bool *is_cut,
                        const smi_patch *at, smi_keep **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(s->env.budget);
    smi_keep *k = SM_NEW(a, smi_keep);

    SM_ASSERT(first <= end && end <= s->change.matches->n_files);
    *k = (smi_keep){.stage = s,
                    .matches = s->change.matches,
                    .arena = a,
                    .file_bytes = s->out.file_bytes,
                    .first = first,
                    .end = end,
                    .file = first};
    k->files = SM_NEW_ARRAY(a, kept_file, end - first + 1);
    const sm_status st = find_kept(k, is_cut, at, e);
    if (st != SM_OK) {
        smi_keep_free(k);
        return st;
    }
    *out = k;
    return SM_OK;
}

/* Is the same read of a file that is cut as of another one? NULL: all is. */
static bool reads_same(const smi_keep *k, const bool *a, const bool *b)
{
    const size_t n = (size_t)k->stage->change.rows.n_columns;
    return a && b ? memcmp(a, b, n * sizeof(*a)) == 0 : a == b;
}

int64_t smi_keep_pick(const smi_keep *k, int64_t first, const bool *is_cut, smi_scan_pick *out)
{
    const picking p = new_pick(k, first, k->end);
    bool has_one = false;
    int64_t i = first;

    *out = p.pick;
    for (; i < k->end; i++) {
        const kept_file *f = file_at(k, i);
        const bool *reads = f->groups ? f->reads : NULL;
        if (!is_cut[i]) {
            continue;
        }
        if (has_one && !reads_same(k, reads, out->columns)) {
            break;
        }
        has_one = p.files[i - first] = true;
        p.parts[i - first] = f->groups ? f->changes : NULL;
        out->columns = reads;
    }
    out->end = i;
    return i;
}

bool smi_keep_reads(const smi_keep *k, int64_t file, int32_t column)
{
    const kept_file *f = file_at(k, file);
    return !f->groups || f->reads[column];
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Ends the row group that has begun. */
static sm_status end_group(smi_keep *k, sm_waker waker, sm_error *e)
{
    const smi_out *o = &k->stage->out;

    SM_TRY(k->is_kept ? o->format->writer->end_kept(o->writer, waker, e) : SM_OK);
    k->has_begun = false;
    k->group++;
    return SM_OK;
}

/* Begins the row group that is next, of which these stored columns stay (NULL: all; none: `is_kept`
 * is false). */
static sm_status begin_group(smi_keep *k, bool is_kept, const bool *stored, sm_waker waker,
                             sm_error *e)
{
    smi_out *o = &k->stage->out;
    const kept_file *f = file_at(k, k->file);

    SM_ASSERT(!k->has_begun && f->groups && k->group < f->groups->n);
    if (!k->has_entered) {
        const smi_copied from = {.blob = f->blob,
                                 .partition = k->matches->files[k->file].partition};
        SM_TRY(smi_out_enter(o, &from, k->file, waker, e));
        k->has_entered = true;
    }
    if (is_kept) {
        const sm_kept_group g = {.from = f->groups,
                                 .group = k->group,
                                 .is_kept = stored,
                                 .blob = f->blob,
                                 .fetch = k->fetch};
        SM_TRY(o->format->writer->begin_kept(o->writer, &g, e));
    } else {
        o->format->writer->cut(o->writer);
    }
    k->has_begun = true;
    k->is_kept = is_kept;
    return SM_OK;
}

/* Goes on to a row group of a file, which then takes rows, or with BEFORE_FILE only to the file;
 * what comes before stays whole. */
static sm_status go_to(smi_keep *k, int64_t file, int64_t group, sm_waker waker, sm_error *e)
{
    while (!k->has_begun || k->file != file || k->group != group) {
        const kept_file *f = k->file < k->end ? file_at(k, k->file) : NULL;
        const bool has_groups = f && f->groups && k->group < f->groups->n;
        if (k->has_begun) {
            SM_TRY(end_group(k, waker, e));
        } else if (k->file == file && (!has_groups || group == BEFORE_FILE)) {
            return SM_OK;
        } else if (!has_groups) {
            k->file++;
            k->group = 0;
            k->has_entered = false;
        } else if (k->file == file && k->group == group) {
            SM_TRY(begin_group(k, is_mixed(f, group), f->stored, waker, e));
        } else if (f->changes[k->group]) {
            SM_ENSURE(f->deletes[k->group]); /* all its rows went */
            k->group++;
        } else {
            SM_TRY(begin_group(k, true, NULL, waker, e));
        }
    }
    return SM_OK;
}

sm_status smi_keep_go_to(smi_keep *k, int64_t place, sm_waker waker, sm_error *e)
{
    const int64_t file = place >> SMI_PLACE_BITS;
    const int64_t row = place & (((int64_t)1 << SMI_PLACE_BITS) - 1);
    smi_out *o = &k->stage->out;
    const kept_file *f = file_at(k, file);

    SM_TRY(go_to(k, file, f->groups ? group_of(f, row) : 0, waker, e));
    o->file_bytes = f->groups ? UINT64_MAX : k->file_bytes; /* a file stays one file */
    o->given_columns = f->groups ? f->reads : NULL;
    return SM_OK;
}

sm_status smi_keep_finish(smi_keep *k, int64_t end, sm_waker waker, sm_error *e)
{
    smi_out *o = &k->stage->out;

    SM_ASSERT(end >= k->file && end <= k->end);
    SM_TRY(go_to(k, end, BEFORE_FILE, waker, e));
    SM_ASSERT(!k->has_begun && k->file == end);
    o->file_bytes = k->file_bytes;
    o->given_columns = NULL;
    return SM_OK;
}
