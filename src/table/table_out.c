/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_out.c: writes rows into the data files of a table, one file after the other.
 *
 * Calls    push for each batch in order; finish after the last, and more may follow; release. A
 *          rollback gives up the files after the first so many, and more may follow. push and
 *          finish may say SM_WAIT, and are then called again with the same arguments. smi_out
 *          holds all that is under way, so that the next call goes on from there.
 * Method   A file ends once it has file_bytes, and where the value of a key (a partition column,
 *          the split column) or of the origin column changes: rows come in the order of the input,
 *          so a batch is cut there. Where files end follows from the rows alone, never from threads
 *          or time.
 * Parts    One file is open at a time, whatever the number of partitions: an open file reserves the
 *          memory of a row group. So rows of partitions should come sorted (table_partition.c sees
 *          to it); in any other order the files are right too, but many. Partition columns are not
 *          stored in files; the add has their values.
 * Sorted   Rows that are sorted by a curve come with their keys. Row groups and files then end
 *          where a cell of the curve ends: a group that lies across two cells may have the bounds
 *          of many. A file is marked with its first and last key (table_cluster_mark.c); what a
 *          replace leaves of a marked file stays marked.
 * States   NONE -> OPEN -> ENDING -> UPLOADING -> NONE (enum smi_out_state). Only the last step
 *          makes the file visible and durable. A rollback goes to NONE from each of them.
 * Ends     To make a file durable takes a disk or a store some milliseconds. So the ends of files
 *          are only begun in the last step, once little of them is still on its way to the store,
 *          and those of several are under way while later files are written. Such a file is an add
 *          already; finish waits for all of them, and what failed is told by a later call.
 * Callers  the sink of a stage (table_stage.c), what a replace rewrites (table_replace.c), changed
 *          rows (table_feed.c), and a rewrite, which also has files copied as they are
 *          (table_rewrite.c); of a file that is written anew row groups and columns may stay
 *          (table_keep.c) */
#include "table/table_int.h"

#include <stdio.h>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"

/* ---- one file -------------------------------------------------------------------------------- */

static sm_status to_upload(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_upload_write(ctx, block, len, waker, e);
}

static void lock_arena(smi_out *o)
{
    if (o->arena_lock) {
        sm_mutex_lock(o->arena_lock);
    }
}

static void unlock_arena(smi_out *o)
{
    if (o->arena_lock) {
        sm_mutex_unlock(o->arena_lock);
    }
}

static sm_status open_data_file(smi_out *o, sm_error *e)
{
    char uuid[SM_UUID_BYTES];
    sm_str folder = {0};

    SM_ASSERT(o->state == SMI_OUT_NONE && !o->upload && !o->writer);
    if (o->n_partition > 0) {
        SM_TRY(sm_delta_partition_folder(o->metadata, o->values, o->value_arena, &folder, e));
    }
    sm_uuid(uuid);
    lock_arena(o);
    o->key =
        sm_arena_strf(o->arena, "%.*s%.*s%s-%05d-%s-c000.zstd.parquet", SM_STR_ARG(o->folder),
                      SM_STR_ARG(folder), o->folder.len > 0 ? "cdc" : "part", o->n_opened, uuid);
    unlock_arena(o);
    SM_TRY(sm_upload_open(o->store, o->key, o->env->budget, 0, &o->upload, e));
    const sm_bytes_out to = {.write = to_upload, .ctx = o->upload};
    const sm_status st = o->format->writer->open(o->stored, o->options, to, o->env->pool,
                                                 o->env->budget, &o->writer, e);
    if (st != SM_OK) {
        sm_upload_close(o->upload);
        o->upload = NULL;
        return st;
    }
    o->n_opened++;
    o->state = SMI_OUT_OPEN;
    return SM_OK;
}

static void close_data_file(smi_out *o)
{
    if (o->writer) {
        o->format->writer->close(o->writer);
        o->writer = NULL;
    }
    sm_upload_close(o->upload);
    o->upload = NULL;
    o->state = SMI_OUT_NONE;
}

/* Copies a file's statistics, which end with its writer, for its add: one a column of the table. */
static const sm_range *copy_ranges(const smi_out *o)
{
    const sm_written *w = &o->written;
    sm_range *ranges = SM_NEW_ARRAY(o->arena, sm_range, o->schema->n_fields + 1);

    for (int32_t i = 0; i < o->n_partition; i++) {
        ranges[o->keys[i]].n_rows = w->n_rows;
    }
    for (int32_t i = 0; i < w->n_ranges; i++) {
        sm_range *r = &ranges[o->stored_columns ? o->stored_columns[i] : i];
        *r = w->ranges[i];
        if (r->has_min) {
            r->min = sm_value_copy(o->arena, r->min);
        }
        if (r->has_max) {
            r->max = sm_value_copy(o->arena, r->max);
        }
    }
    return ranges;
}

/* The values of the partition columns in the open file, for its add. */
static const sm_value *copy_partition(const smi_out *o)
{
    sm_value *values = SM_NEW_ARRAY(o->arena, sm_value, o->n_partition + 1);

    for (int32_t i = 0; i < o->n_partition; i++) {
        values[i] = sm_value_copy(o->arena, o->values[i]);
    }
    return values;
}

/* How the file's rows are sorted, where that is known. */
static void mark_add(smi_out *o, sm_delta_add *add)
{
    if (o->sorted) {
        smi_cluster_mark_put(add, o->sorted->mark, o->least, o->greatest, o->arena);
    } else if (o->origins) {
        SM_ASSERT(o->origin >= 0);
        smi_cluster_mark_keep(add, &o->origins[o->from], o->arena);
    }
}

static void add_written(smi_out *o)
{
    SM_ASSERT(o->written.n_rows > 0); /* a file is opened for a row */
    SM_ASSERT(!o->places || o->origin >= 0);
    lock_arena(o);
    o->adds = sm_arena_grow(o->arena, o->adds, o->n_adds, &o->cap_adds, sizeof(*o->adds));
    o->adds[o->n_adds++] = (sm_delta_add){
        .key = o->key,
        .partition = o->n_partition > 0 ? copy_partition(o) : NULL,
        .size_bytes = o->written.size_bytes,
        .modified_ms = sm_now_us() / 1000,
        .n_rows = o->written.n_rows,
        .ranges = copy_ranges(o),
        .place = o->places ? o->places[o->from] : NULL,
    };
    mark_add(o, &o->adds[o->n_adds - 1]);
    unlock_arena(o);
    o->n_rows += o->written.n_rows;
    o->bytes += o->written.size_bytes;
}

/* ---- ends that are under way ----------------------------------------------------------------- */

/* So many bytes of files that are ending may be on their way to the store. */
#define MOST_ENDING_BYTES ((uint64_t)4 << 20)

static sm_upload **ending_at(smi_out *o, int32_t i)
{
    SM_ASSERT(i >= 0 && i < SMI_MOST_ENDING);
    return &o->ending[(o->first_ending + i) % SMI_MOST_ENDING];
}

static void close_ending(smi_out *o, int32_t i)
{
    sm_upload **at = ending_at(o, i);

    SM_ASSERT(*at);
    sm_upload_close(*at);
    *at = NULL;
}

static uint64_t ending_bytes(smi_out *o)
{
    uint64_t sum = 0;

    for (int32_t i = 0; i < o->n_ending; i++) {
        sum += sm_upload_inflight_bytes(*ending_at(o, i));
    }
    return sum;
}

/* Waits until at most so many files, with at most so many bytes on their way, are ending; takes
 * note of those that have ended meanwhile. */
static sm_status settle_ending(smi_out *o, int32_t most, uint64_t most_bytes, sm_waker waker,
                               sm_error *e)
{
    while (o->n_ending > 0) {
        const bool waits = o->n_ending > most || ending_bytes(o) > most_bytes;
        const sm_status st = sm_upload_finish(*ending_at(o, 0), waits ? waker : (sm_waker){0}, e);
        if (st == SM_WAIT && !waits) {
            return SM_OK;
        }
        SM_TRY(st);
        close_ending(o, 0);
        o->first_ending = (o->first_ending + 1) % SMI_MOST_ENDING;
        o->n_ending--;
    }
    return SM_OK;
}

/* Gives up those of the adds after the first n_adds that are ending. Their files may be there. */
static void drop_ending(smi_out *o, int64_t n_adds)
{
    SM_ASSERT(o->n_ending <= o->n_adds);
    for (int64_t n = o->n_adds; n > n_adds && o->n_ending > 0; n--) {
        close_ending(o, --o->n_ending);
    }
}

/* ---- the end of a file ----------------------------------------------------------------------- */

/* Makes the file visible, or begins to. */
static sm_status end_upload(smi_out *o, sm_waker waker, sm_error *e)
{
    SM_TRY(settle_ending(o, SMI_MOST_ENDING - 1, MOST_ENDING_BYTES, waker, e));
    const bool waits = sm_upload_inflight_bytes(o->upload) > MOST_ENDING_BYTES;
    const sm_status st = sm_upload_finish(o->upload, waits ? waker : (sm_waker){0}, e);
    if (st == SM_OK) {
        return settle_ending(o, 0, 0, waker, e);
    }
    if (st != SM_WAIT || waits) {
        return st;
    }
    SM_ASSERT(o->n_ending < SMI_MOST_ENDING);
    o->n_ending++;
    *ending_at(o, o->n_ending - 1) = o->upload;
    o->upload = NULL;
    return SM_OK;
}

/* Ends the open file, as far as it can without waiting. */
static sm_status end_data_file(smi_out *o, sm_waker waker, sm_error *e)
{
    if (o->state == SMI_OUT_OPEN) {
        o->state = SMI_OUT_ENDING;
    }
    if (o->state == SMI_OUT_ENDING) {
        SM_TRY(o->format->writer->finish(o->writer, waker, &o->written, e));
        o->state = SMI_OUT_UPLOADING;
    }
    if (o->state == SMI_OUT_UPLOADING) {
        SM_ASSERT(o->written.n_ranges == o->stored->n_fields);
        SM_TRY(end_upload(o, waker, e));
        add_written(o);
        close_data_file(o);
    }
    return SM_OK;
}

/* ---- where files are cut --------------------------------------------------------------------- */

/* Do two rows belong into the same file, as far as this key tells? */
static bool is_same(const sm_column *c, int64_t i, int64_t j)
{
    const bool is_float = c->type->id == SM_TYPE_F32 || c->type->id == SM_TYPE_F64;
    return is_float ? sm_delta_partition_eq(sm_column_value(c, i), sm_column_value(c, j))
                    : sm_column_eq(c, i, c, j);
}

/* The first row behind `at` that has another value than row `at`; n_rows where there is none. */
static int64_t end_of_value(const sm_column *c, int64_t at, int64_t n_rows)
{
    if (c->layout == SM_CONST) {
        return n_rows;
    }
    int64_t end = at + 1;
    while (end < n_rows && is_same(c, at, end)) {
        end++;
    }
    return end;
}

/* The value of the origin column in the row that is next. */
static int64_t next_origin(const smi_out *o)
{
    SM_ASSERT(o->origin < o->given->n_columns &&
              o->given->columns[o->origin].type->id == SM_TYPE_I64);
    return sm_column_value(&o->given->columns[o->origin], o->at).as.i;
}

/* The value of key i in the row that is next. */
static sm_value next_value(const smi_out *o, int32_t i)
{
    return sm_column_value(&o->rows->columns[o->keys[i]], o->at);
}

/* The key of a row of the batch in work. */
static uint64_t key_at(const smi_out *o, int64_t row)
{
    const int32_t column = o->sorted->column;

    SM_ASSERT(column < o->given->n_columns && o->given->columns[column].type->id == SM_TYPE_U64);
    return sm_column_value(&o->given->columns[column], row).as.u;
}

static bool is_one_cell(const smi_out *o, uint64_t a, uint64_t b)
{
    const int shift = o->sorted->cell_shift;
    return shift >= 64 || a >> shift == b >> shift;
}

/* Finds where the file ends that begins with the next row. */
static void find_cut(smi_out *o)
{
    const smi_out_sorted *s = o->sorted;
    int32_t i = 0;

    while (i < s->n_cuts && s->cuts[i] <= o->least) {
        i++;
    }
    o->has_cut = i < s->n_cuts;
    o->cut = o->has_cut ? s->cuts[i] : 0;
}

/* The first row behind `at` that is of another cell; `end` where there is none before. */
static int64_t end_of_cell(const smi_out *o, int64_t end)
{
    const uint64_t key = key_at(o, o->at);
    int64_t first = o->at + 1, n = end - first;

    if (is_one_cell(o, key, key_at(o, end - 1))) {
        return end;
    }
    while (n > 0) {
        const int64_t half = n / 2;
        const bool is_same = is_one_cell(o, key, key_at(o, first + half));
        first += is_same ? half + 1 : 0;
        n = is_same ? n - half - 1 : half;
    }
    return first;
}

/* Does the next row begin another cell than the open file ends in? */
static bool is_at_cell(const smi_out *o)
{
    return o->sorted && !is_one_cell(o, o->greatest, key_at(o, o->at));
}

/* Is a file of sorted rows large enough to end with a cell? Where there are cuts it is about to end
 * at one: a small rest behind it would be of no use. */
static bool is_large(const smi_out *o)
{
    const uint64_t more = o->sorted->n_cuts > 0 ? o->file_bytes / 2 : 0;
    return o->format->writer->bytes(o->writer) >= o->file_bytes + more;
}

/* Does the next row belong into another file than the open one? */
static bool is_other_file(const smi_out *o)
{
    if (o->sorted && o->has_cut && key_at(o, o->at) >= o->cut) {
        return true;
    }
    if (is_at_cell(o) && is_large(o)) {
        return true;
    }
    for (int32_t i = 0; i < o->n_keys; i++) {
        if (!sm_delta_partition_eq(next_value(o, i), o->values[i])) {
            return true;
        }
    }
    return o->origin >= 0 && next_origin(o) != o->from;
}

static sm_status fail_value(const smi_out *o, sm_value is, sm_error *e)
{
    sm_buf here = {0}, wanted = {0};

    sm_value_print(is, &here);
    sm_value_print(*o->only, &wanted);
    const sm_status st =
        sm_fail(e, SM_INVALID, "column \"%.*s\" has the value %.*s in a row, and must have %.*s",
                SM_STR_ARG(o->schema->fields[o->split].name), SM_STR_ARG(sm_buf_str(&here)),
                SM_STR_ARG(sm_buf_str(&wanted)));
    sm_buf_release(&here);
    sm_buf_release(&wanted);
    return st;
}

/* Makes room for the values of the next file's keys. */
static void begin_values(smi_out *o)
{
    if (!o->value_arena) {
        o->value_arena = sm_arena_new(o->env->budget);
    }
    sm_arena_reset(o->value_arena);
    o->values = SM_NEW_ARRAY(o->value_arena, sm_value, o->n_keys + 1);
}

/* Takes the next row's values of the keys as those of the file. */
static sm_status take_values(smi_out *o, sm_error *e)
{
    begin_values(o);
    for (int32_t i = 0; i < o->n_keys; i++) {
        o->values[i] = sm_value_copy(o->value_arena, next_value(o, i));
        if (o->only && o->keys[i] == o->split && !sm_value_eq(o->values[i], *o->only)) {
            return fail_value(o, o->values[i], e);
        }
    }
    return SM_OK;
}

/* ---- a batch --------------------------------------------------------------------------------- */

static sm_status check_required(const smi_out *o, sm_error *e)
{
    for (int32_t i = 0; i < o->n_required; i++) {
        const int32_t column = o->required[i];
        const bool is_given = !o->given_columns || o->given_columns[column];
        if (is_given && sm_column_null_count(&o->rows->columns[column]) > 0) {
            return sm_fail(e, SM_SCHEMA,
                           "column \"%.*s\" of the table is NOT NULL, but a row has NULL in it",
                           SM_STR_ARG(o->schema->fields[column].name));
        }
    }
    return SM_OK;
}

static void drop_batch(smi_out *o)
{
    sm_batch_release(o->slice);
    sm_batch_release(o->rows);
    sm_batch_release(o->given);
    o->slice = o->rows = o->given = NULL;
}

/* Does a column have another type than in files, or is it not there? Files have no unsigned
 * integers: they are written as a wider type. */
static bool needs_columns(const smi_out *o, const sm_batch *rows)
{
    bool needs = false;
    for (int32_t i = 0; i < o->schema->n_fields && !needs; i++) {
        const int32_t place = o->order ? o->order[i] : i;
        needs = place < 0 || !sm_type_eq(rows->columns[place].type, o->schema->fields[i].type);
    }
    return needs;
}

/* Makes the columns of a batch, of the files' types; those that are computed are computed last. */
static sm_status make_columns(const smi_out *o, const sm_batch *rows, sm_batch *b, sm_error *e)
{
    for (int32_t i = 0; i < b->n_columns; i++) {
        const int32_t place = o->order ? o->order[i] : i;
        const sm_type *type = o->schema->fields[i].type;
        if (place < 0) {
            SM_TRY(sm_column_constant(sm_value_null(type), b->n_rows, b, &b->columns[i], e));
        } else {
            SM_TRY(sm_column_widen(&rows->columns[place], type, b, &b->columns[i], e));
        }
    }
    return smi_rules_fill(&o->rules, b, e);
}

/* Makes the rows as the table has them: their columns in order, and of its types. */
static sm_status shape_rows(const smi_out *o, sm_batch *rows, sm_batch **out, sm_error *e)
{
    const bool makes = needs_columns(o, rows);
    sm_batch *b = NULL;
    if (!o->order && !makes) {
        *out = sm_batch_retain(rows);
        return SM_OK;
    }
    if (!makes) {
        return sm_batch_project(rows, o->schema, o->order, out, e);
    }
    SM_TRY(sm_batch_new(o->env->budget, o->schema, &b, e));
    sm_batch_keep_all(b, rows);
    b->n_rows = rows->n_rows;
    const sm_status st = make_columns(o, rows, b, e);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

static sm_status take_batch(smi_out *o, sm_batch *rows, sm_error *e)
{
    SM_ASSERT(!o->rows && !o->slice);
    SM_ASSERT(rows->n_columns >= o->schema->n_fields + (o->origin < 0 ? 0 : 1) ||
              o->rules.has_missing);
    SM_TRY(shape_rows(o, rows, &o->rows, e));
    o->given = sm_batch_retain(rows);
    o->at = o->end = 0;
    SM_TRY(check_required(o, e));
    return smi_rules_check(&o->rules, o->rows, o->env->budget, e);
}

/* The stored columns of the next rows. */
static sm_status store_columns(const smi_out *o, sm_batch *rows, sm_batch **out, sm_error *e)
{
    if (!o->stored_columns) {
        *out = sm_batch_retain(rows);
        return SM_OK;
    }
    return sm_batch_project(rows, o->stored, o->stored_columns, out, e);
}

/* Cuts o->slice: the next rows that go into one file. */
static sm_status take_slice(smi_out *o, sm_error *e)
{
    const int64_t n_rows = o->rows->n_rows;

    SM_ASSERT(o->given->n_rows == n_rows && o->at < n_rows);
    o->end = o->origin < 0 ? n_rows : end_of_value(&o->given->columns[o->origin], o->at, n_rows);
    for (int32_t i = 0; i < o->n_keys; i++) {
        o->end = end_of_value(&o->rows->columns[o->keys[i]], o->at, o->end);
    }
    o->end = o->sorted ? end_of_cell(o, o->end) : o->end;
    SM_ASSERT(o->end > o->at && o->end <= n_rows);
    if (o->at == 0 && o->end == n_rows) {
        return store_columns(o, o->rows, &o->slice, e);
    }
    sm_batch *cut = NULL;
    SM_TRY(sm_batch_slice(o->rows, o->at, o->end - o->at, o->env->budget, &cut, e));
    const sm_status st = store_columns(o, cut, &o->slice, e);
    sm_batch_release(cut);
    return st;
}

/* Ends a row group with its cell, so that none lies across a large step of the curve. */
static void cut_group(smi_out *o)
{
    if (is_at_cell(o) && o->n_group >= o->sorted->least_rows) {
        o->format->writer->cut(o->writer);
        o->n_group = 0;
    }
}

/* A file ends with these bytes, whatever row is next. One of sorted rows ends before, with a cell
 * (is_other_file), unless that is too large. */
static uint64_t most_bytes(const smi_out *o)
{
    return !o->sorted || o->file_bytes > UINT64_MAX / 2 ? o->file_bytes : 2 * o->file_bytes;
}

/* Writes the next slice, or goes on with ending a file. */
static sm_status write_next(smi_out *o, sm_waker waker, sm_error *e)
{
    if (o->state == SMI_OUT_ENDING || o->state == SMI_OUT_UPLOADING) {
        return end_data_file(o, waker, e);
    }
    if (o->state == SMI_OUT_OPEN && !o->slice && is_other_file(o)) {
        return end_data_file(o, waker, e);
    }
    if (o->state == SMI_OUT_NONE) {
        SM_TRY(take_values(o, e));
        SM_TRY(open_data_file(o, e));
        if (o->origin >= 0) {
            o->from = next_origin(o);
        }
        if (o->sorted) {
            o->least = o->greatest = key_at(o, o->at);
            o->n_group = 0;
            find_cut(o);
        }
    }
    if (!o->slice) {
        cut_group(o);
        SM_TRY(take_slice(o, e));
    }
    SM_TRY(o->format->writer->write(o->writer, o->slice, waker, e));
    if (o->sorted) {
        SM_ASSERT(key_at(o, o->at) >= o->greatest); /* sorted */
        o->greatest = key_at(o, o->end - 1);
        o->n_group = (o->n_group + o->end - o->at) % o->sorted->group_rows;
    }
    sm_batch_release(o->slice);
    o->slice = NULL;
    o->at = o->end;
    return o->format->writer->bytes(o->writer) >= most_bytes(o) ? end_data_file(o, waker, e)
                                                                : SM_OK;
}

sm_status smi_out_push(void *out, sm_batch *rows, sm_waker waker, sm_error *e)
{
    smi_out *o = out;

    if (!o->given) {
        SM_TRY(take_batch(o, rows, e));
    }
    SM_ASSERT(o->given == rows);
    while (o->at < o->rows->n_rows) {
        SM_TRY(write_next(o, waker, e));
    }
    drop_batch(o);
    return SM_OK;
}

sm_status smi_out_end(smi_out *o, sm_waker waker, sm_error *e)
{
    return o->state == SMI_OUT_NONE ? SM_OK : end_data_file(o, waker, e);
}

sm_status smi_out_finish(void *out, sm_waker waker, sm_error *e)
{
    smi_out *o = out;

    SM_ASSERT(!o->given);
    SM_TRY(smi_out_end(o, waker, e));
    return settle_ending(o, 0, 0, waker, e);
}

/* ---- a file as it is ------------------------------------------------------------------------- */

/* The values of the partition columns, which the file itself does not have. */
static void take_partition(smi_out *o, const sm_value *partition)
{
    begin_values(o);
    for (int32_t i = 0; i < o->n_partition; i++) {
        o->values[i] = sm_value_copy(o->value_arena, partition[i]);
    }
}

sm_status smi_out_enter(smi_out *o, const smi_copied *from, int64_t origin, sm_waker waker,
                        sm_error *e)
{
    SM_ASSERT(!o->given && o->n_keys == o->n_partition);
    SM_ASSERT(o->n_partition == 0 || from->partition);
    if (o->state == SMI_OUT_ENDING || o->state == SMI_OUT_UPLOADING ||
        (o->state == SMI_OUT_OPEN && o->from != origin)) {
        SM_TRY(end_data_file(o, waker, e));
    }
    if (o->state == SMI_OUT_NONE) {
        take_partition(o, from->partition);
        SM_TRY(open_data_file(o, e));
        o->from = origin;
    }
    return SM_OK;
}

sm_status smi_out_copy(smi_out *o, const smi_copied *from, int64_t origin, sm_waker waker,
                       sm_error *e)
{
    SM_ASSERT(o->format->writer->copy);
    SM_TRY(smi_out_enter(o, from, origin, waker, e));
    for (int32_t i = 0; i < o->n_partition; i++) { /* a bin is of one partition */
        SM_ENSURE(sm_delta_partition_eq(o->values[i], from->partition[i]));
    }
    return o->format->writer->copy(o->writer, from->blob, waker, e);
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void delete_data_file(sm_store *s, sm_str key)
{
    sm_error e = {0};

    if (sm_store_delete(s, key, &e) != SM_OK) {
        sm_log(sm_store_log(s), SM_LOG_WARN,
               "%.*s/%.*s, which no version names, could not be deleted: %s",
               SM_STR_ARG(sm_store_uri(s)), SM_STR_ARG(key), e.what);
    }
}

void smi_delete_files(sm_store *s, const sm_delta_add *adds, int64_t n)
{
    sm_error e = {0};
    sm_str *keys = sm_alloc((size_t)(n + 1) * sizeof(*keys));

    for (int64_t i = 0; i < n; i++) {
        keys[i] = adds[i].key;
    }
    if (sm_store_delete_many(s, keys, n, &e) != SM_OK) {
        sm_log(sm_store_log(s), SM_LOG_WARN,
               "files in %.*s, which no version names, could not be deleted: %s",
               SM_STR_ARG(sm_store_uri(s)), e.what);
    }
    sm_free(keys);
}

/* Gives up the file that is being written. */
static void drop_data_file(smi_out *o)
{
    /* The store may have made the file visible, though its answer was lost. */
    const bool may_be_visible = o->state == SMI_OUT_UPLOADING;

    drop_batch(o);
    close_data_file(o);
    if (may_be_visible) {
        delete_data_file(o->store, o->key);
    }
}

void smi_out_rollback(smi_out *o, int64_t n_adds)
{
    SM_ASSERT(n_adds >= 0 && n_adds <= o->n_adds);
    SM_ASSERT(o->n_opened == o->n_adds + (o->state != SMI_OUT_NONE));
    drop_data_file(o);
    drop_ending(o, n_adds);
    for (int64_t i = n_adds; i < o->n_adds; i++) {
        o->n_rows -= o->adds[i].n_rows;
        o->bytes -= o->adds[i].size_bytes;
    }
    if (n_adds < o->n_adds) {
        smi_delete_files(o->store, o->adds + n_adds, o->n_adds - n_adds);
    }
    o->n_adds = n_adds;
    o->n_opened = (int32_t)n_adds;
    SM_ASSERT(o->n_rows >= 0 && (n_adds > 0 || (o->n_rows == 0 && o->bytes == 0)));
}

void smi_out_release(smi_out *o)
{
    drop_data_file(o);
    drop_ending(o, 0);
    sm_arena_free(o->value_arena);
    o->value_arena = NULL;
}

/* ---- several at a time ----------------------------------------------------------------------- */

void smi_out_fork(const smi_out *of, sm_mutex *lock, smi_out *o)
{
    *o = *of;
    o->arena_lock = lock;
    o->state = SMI_OUT_NONE;
    o->upload = NULL;
    o->writer = NULL;
    o->value_arena = NULL;
    o->values = NULL;
    o->given = o->rows = o->slice = NULL;
    o->adds = NULL;
    o->n_adds = o->cap_adds = o->n_rows = 0;
    o->bytes = 0;
    o->n_ending = 0;
}

void smi_out_join(smi_out *into, smi_out *o)
{
    SM_ASSERT(o->arena == into->arena);
    smi_out_release(o);
    for (int64_t i = 0; i < o->n_adds; i++) {
        into->adds = sm_arena_grow(into->arena, into->adds, into->n_adds, &into->cap_adds,
                                   sizeof(*into->adds));
        into->adds[into->n_adds++] = o->adds[i];
        into->n_opened++;
    }
    into->n_rows += o->n_rows;
    into->bytes += o->bytes;
    o->adds = NULL;
    o->n_adds = 0;
}
