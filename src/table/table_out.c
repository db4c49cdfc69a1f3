/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_out.c: rows into the data files of a table, one file after the other.
 *
 * Calls    push for each batch in order, finish after the last (more may follow it), release. Each
 *          may say SM_WAIT and is then called again with the same arguments: all that is under way
 *          stands in smi_out, and the next call goes on from there.
 * Method   A file is open while it is under file_bytes and, with a split or an origin column, while
 *          rows have its value: rows come in the order of the input, so a batch is cut where a
 *          value changes. Where files end follows from the rows alone, never from threads or time.
 * States   NONE -> OPEN -> ENDING -> UPLOADING -> NONE (enum smi_out_state). Only with the last
 *          step is the file visible, and durable; then it becomes an add.
 * Callers  the sink of a stage (table_stage.c), and its rewriting (table_replace.c) */
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

static sm_status open_file(smi_out *o, sm_error *e)
{
    char uuid[SM_UUID_BYTES];

    SM_ASSERT(o->state == SMI_OUT_NONE && !o->upload && !o->writer);
    sm_uuid(uuid);
    o->key = sm_arena_strf(o->arena, "part-%05d-%s-c000.zstd.parquet", o->n_opened, uuid);
    SM_TRY(sm_upload_open(o->store, o->key, o->env->budget, 0, &o->upload, e));
    const sm_bytes_out to = {.write = to_upload, .ctx = o->upload};
    const sm_status st = o->format->writer->open(o->schema, o->options, to, o->env->pool,
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

static void close_file(smi_out *o)
{
    if (o->writer) {
        o->format->writer->close(o->writer);
        o->writer = NULL;
    }
    sm_upload_close(o->upload);
    o->upload = NULL;
    o->state = SMI_OUT_NONE;
}

/* Statistics live in the writer until its close; the add keeps them. */
static const sm_range *copy_ranges(const sm_written *w, sm_arena *a)
{
    sm_range *ranges = SM_NEW_ARRAY(a, sm_range, w->n_ranges + 1);
    for (int32_t i = 0; i < w->n_ranges; i++) {
        ranges[i] = w->ranges[i];
        if (ranges[i].has_min) {
            ranges[i].min = sm_value_copy(a, ranges[i].min);
        }
        if (ranges[i].has_max) {
            ranges[i].max = sm_value_copy(a, ranges[i].max);
        }
    }
    return ranges;
}

static void add_written(smi_out *o)
{
    o->adds = sm_arena_grow(o->arena, o->adds, o->n_adds, &o->cap_adds, sizeof(*o->adds));
    o->adds[o->n_adds++] = (sm_delta_add){
        .key = o->key,
        .size_bytes = o->written.size_bytes,
        .modified_ms = sm_now_us() / 1000,
        .n_rows = o->written.n_rows,
        .ranges = copy_ranges(&o->written, o->arena),
    };
    o->n_rows += o->written.n_rows;
    o->bytes += o->written.size_bytes;
}

/* Ends the open file, as far as it can without waiting. */
static sm_status end_file(smi_out *o, sm_waker waker, sm_error *e)
{
    if (o->state == SMI_OUT_OPEN) {
        o->state = SMI_OUT_ENDING;
    }
    if (o->state == SMI_OUT_ENDING) {
        SM_TRY(o->format->writer->finish(o->writer, waker, &o->written, e));
        o->state = SMI_OUT_UPLOADING;
    }
    if (o->state == SMI_OUT_UPLOADING) {
        SM_TRY(sm_upload_finish(o->upload, waker, e));
        SM_ASSERT(o->written.n_ranges == o->schema->n_fields);
        add_written(o);
        close_file(o);
    }
    return SM_OK;
}

/* ---- where files are cut --------------------------------------------------------------------- */

/* The end of the rows from `at` on that have the value of row `at`. */
static int64_t run_end(const sm_column *c, int64_t at, int64_t n_rows)
{
    if (c->layout == SM_CONST) {
        return n_rows;
    }
    int64_t end = at + 1;
    while (end < n_rows && sm_column_eq(c, at, c, end)) {
        end++;
    }
    return end;
}

static int64_t origin_here(const smi_out *o)
{
    SM_ASSERT(o->origin < o->given->n_columns &&
              o->given->columns[o->origin].type->id == SM_TYPE_I64);
    return sm_column_value(&o->given->columns[o->origin], o->at).as.i;
}

/* Does the row belong into a file other than the open one? */
static bool is_other_file(const smi_out *o)
{
    return (o->split >= 0 &&
            !sm_value_eq(sm_column_value(&o->rows->columns[o->split], o->at), o->value)) ||
           (o->origin >= 0 && origin_here(o) != o->from);
}

static sm_status fail_value(const smi_out *o, sm_error *e)
{
    sm_buf here = {0}, wanted = {0};

    sm_value_print(o->value, &here);
    sm_value_print(*o->only, &wanted);
    const sm_status st = sm_fail(e, SM_INVALID, "column \"%.*s\" is %.*s in a row, not %.*s",
                                 SM_STR_ARG(o->schema->fields[o->split].name),
                                 SM_STR_ARG(sm_buf_str(&here)), SM_STR_ARG(sm_buf_str(&wanted)));
    sm_buf_release(&here);
    sm_buf_release(&wanted);
    return st;
}

static sm_status set_value(smi_out *o, sm_error *e)
{
    if (!o->value_arena) {
        o->value_arena = sm_arena_new(o->env->budget);
    }
    sm_arena_reset(o->value_arena);
    o->value = sm_value_copy(o->value_arena, sm_column_value(&o->rows->columns[o->split], o->at));
    return o->only && !sm_value_eq(o->value, *o->only) ? fail_value(o, e) : SM_OK;
}

/* ---- a batch --------------------------------------------------------------------------------- */

static sm_status check_required(const smi_out *o, sm_error *e)
{
    for (int32_t i = 0; i < o->n_required; i++) {
        const int32_t column = o->required[i];
        const int64_t n = sm_column_null_count(&o->rows->columns[column]);
        if (n > 0) {
            return sm_fail(e, SM_SCHEMA,
                           "column \"%.*s\" of the table is NOT NULL, and is NULL here",
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

/* Does a column have unsigned integers, which the files have not? */
static bool has_unsigned(const smi_out *o, const sm_batch *rows)
{
    bool has = false;
    for (int32_t i = 0; i < o->schema->n_fields && !has; i++) {
        const int32_t place = o->order ? o->order[i] : i;
        has = !sm_type_eq(rows->columns[place].type, o->schema->fields[i].type);
    }
    return has;
}

/* The rows with their columns in order, and in the files' types. */
static sm_status shape_rows(const smi_out *o, sm_batch *rows, sm_batch **out, sm_error *e)
{
    const bool widens = has_unsigned(o, rows);
    sm_batch *b = NULL;
    if (!o->order && !widens) {
        *out = sm_batch_retain(rows);
        return SM_OK;
    }
    if (!widens) {
        return sm_batch_project(rows, o->schema, o->order, out, e);
    }
    SM_TRY(sm_batch_new(o->env->budget, o->schema, &b, e));
    sm_batch_keep_all(b, rows);
    b->n_rows = rows->n_rows;
    for (int32_t i = 0; i < b->n_columns; i++) {
        const sm_status st = sm_column_widen(&rows->columns[o->order ? o->order[i] : i],
                                             o->schema->fields[i].type, b, &b->columns[i], e);
        if (st != SM_OK) {
            sm_batch_release(b);
            return st;
        }
    }
    *out = b;
    return SM_OK;
}

static sm_status take_batch(smi_out *o, sm_batch *rows, sm_error *e)
{
    SM_TRY(shape_rows(o, rows, &o->rows, e));
    o->given = sm_batch_retain(rows);
    o->at = o->end = 0;
    return check_required(o, e);
}

/* The next rows that go into one file, as o->slice. */
static sm_status take_slice(smi_out *o, sm_error *e)
{
    const int64_t n_rows = o->rows->n_rows;

    SM_ASSERT(o->given->n_rows == n_rows && o->at < n_rows);
    o->end = o->origin < 0 ? n_rows : run_end(&o->given->columns[o->origin], o->at, n_rows);
    o->end = o->split < 0 ? o->end : run_end(&o->rows->columns[o->split], o->at, o->end);
    if (o->at == 0 && o->end == n_rows) {
        o->slice = sm_batch_retain(o->rows);
        return SM_OK;
    }
    return sm_batch_slice(o->rows, o->at, o->end - o->at, o->env->budget, &o->slice, e);
}

/* Moves some rows on, or a file's end. */
static sm_status step(smi_out *o, sm_waker waker, sm_error *e)
{
    if (o->state == SMI_OUT_ENDING || o->state == SMI_OUT_UPLOADING) {
        return end_file(o, waker, e);
    }
    if (o->state == SMI_OUT_OPEN && !o->slice && is_other_file(o)) {
        return end_file(o, waker, e);
    }
    if (o->state == SMI_OUT_NONE) {
        SM_TRY(open_file(o, e));
        if (o->split >= 0) {
            SM_TRY(set_value(o, e));
        }
        if (o->origin >= 0) {
            o->from = origin_here(o);
        }
    }
    if (!o->slice) {
        SM_TRY(take_slice(o, e));
    }
    SM_TRY(o->format->writer->write(o->writer, o->slice, waker, e));
    sm_batch_release(o->slice);
    o->slice = NULL;
    o->at = o->end;
    return o->format->writer->bytes(o->writer) >= o->file_bytes ? end_file(o, waker, e) : SM_OK;
}

sm_status smi_out_push(void *out, sm_batch *rows, sm_waker waker, sm_error *e)
{
    smi_out *o = out;

    if (!o->given) {
        SM_TRY(take_batch(o, rows, e));
    }
    SM_ASSERT(o->given == rows);
    while (o->at < o->rows->n_rows) {
        SM_TRY(step(o, waker, e));
    }
    drop_batch(o);
    return SM_OK;
}

sm_status smi_out_finish(void *out, sm_waker waker, sm_error *e)
{
    smi_out *o = out;

    SM_ASSERT(!o->given);
    return o->state == SMI_OUT_NONE ? SM_OK : end_file(o, waker, e);
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void delete_file(sm_store *s, sm_str key)
{
    sm_error e = {0};

    if (sm_store_delete(s, key, &e) != SM_OK) {
        sm_log(sm_store_log(s), SM_LOG_WARN, "%.*s/%.*s stays, though no version names it: %s",
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
        sm_log(sm_store_log(s), SM_LOG_WARN, "%.*s has files that no version names: %s",
               SM_STR_ARG(sm_store_uri(s)), e.what);
    }
    sm_free(keys);
}

void smi_out_release(smi_out *o)
{
    /* An end whose answer was lost may have made the file visible. */
    const bool may_be_visible = o->state == SMI_OUT_UPLOADING;

    drop_batch(o);
    close_file(o);
    if (may_be_visible) {
        delete_file(o->store, o->key);
    }
    sm_arena_free(o->value_arena);
    o->value_arena = NULL;
}
