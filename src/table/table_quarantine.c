/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_quarantine.c: quarantine tables: opening and ending them, and refused lines into
 * them. Rows that broke rules come by table_quarantine_rows.c.
 *
 * Calls    open a quarantine for each table; a router for each plan that is executed, whose sink
 *          takes the plan's refused lines; end_file after the last of them, and more may follow;
 *          candidate once; close. mark between files, so that a rollback can go back there.
 * Method   The router goes through the quarantines one after the other and gives each the lines of
 *          the files that it takes. A batch that a quarantine's files have no room for yet stays in
 *          the router: exec calls again with the same lines, and the router goes on from there.
 * Columns  those of sm_refused_out_schema, then `run`, `time` and `replayed`. `column` is changed
 *          from a path in the line ("device.name") to the name that the loaded table has for it.
 *          A table of an earlier version lacks `replayed`, and gets it as its rows are written. */
#include "table/table_int.h"

#include "base/pool.h"

/* Of sm_refused_out_schema; the table's own columns follow them. */
#define N_READ_COLUMNS SMI_QUARANTINE_RUN

#define GROUP_ROWS 16384

static const sm_field quarantine_fields[] = {
    {.name = {"file", 4}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"line", 4}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"byte_offset", 11}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"column", 6}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"reason", 6}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"message", 7}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"raw", 3}, .type = &sm_type_binary, .is_nullable = true},
    {.name = {"raw_bytes", 9}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"run", 3}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"time", 4}, .type = &sm_type_timestamp, .is_nullable = true},
    {.name = {"replayed", 8}, .type = &sm_type_string, .is_nullable = true},
};
const sm_type smi_quarantine_schema = {
    .id = SM_TYPE_STRUCT, .fields = quarantine_fields, .n_fields = SM_COUNT(quarantine_fields)};

_Static_assert(SM_COUNT(quarantine_fields) == SMI_QUARANTINE_COLUMNS, "they are named there");
_Static_assert(N_READ_COLUMNS == SM_REFUSED_OUT_FIRST + SM_REFUSED_COLUMNS,
               "the others follow those that are read");
_Static_assert(SMI_QUARANTINE_COLUMN == SM_REFUSED_OUT_FIRST + SM_REFUSED_COLUMN, "the same place");

/* ---- opening and ending ---------------------------------------------------------------------- */

/* A row may have 64 KiB, and each side output a file of its own: a row group of the usual number
 * of rows, which waits in memory, would be large, and reserve much. */
static sm_status shorten_groups(sm_stage *s, sm_error *e)
{
    int64_t n = 0;

    SM_TRY(smi_group_rows(smi_candidate_metadata(s->candidate), &n, e));
    return n > 0 ? SM_OK : smi_stage_group_rows(s, GROUP_ROWS, e);
}

sm_status sm_quarantine_open(const sm_write *w, const sm_quarantine_opts *opts,
                             const sm_exec_env *env, sm_quarantine **out, sm_error *e)
{
    SM_ASSERT(opts->n_columns == 0 || (opts->paths && opts->columns));
    SM_ASSERT(w->split_by.len == 0);
    sm_write write = *w;
    sm_stage *stage = NULL;

    write.adds_columns = w->mode != SM_WRITE_OVERWRITE;
    sm_status st = sm_stage_open(&write, &smi_quarantine_schema, env, &stage, e);
    if (st == SM_SCHEMA) { /* nobody can cast, nor leave out, a column that is smelt's own */
        sm_error_todo(e, "It is no quarantine, whose columns smelt gives: move the table away, or "
                         "give the quarantine another name.");
    }
    SM_TRY(st);
    st = shorten_groups(stage, e);
    if (st != SM_OK) {
        sm_stage_close(stage);
        return st;
    }
    sm_quarantine *q = sm_alloc_zero(sizeof(*q));
    sm_mutex_init(&q->lock);
    stage->out.arena_lock = &q->lock;
    q->stage = stage;
    q->budget = env->budget;
    q->opts = *opts;
    *out = q;
    return SM_OK;
}

int64_t sm_quarantine_mark(const sm_quarantine *q)
{
    SM_ASSERT(q->stage->state == SMI_STAGE_WRITING && q->stage->out.state == SMI_OUT_NONE);
    return q->stage->out.n_adds;
}

void sm_quarantine_rollback(sm_quarantine *q, int64_t mark)
{
    SM_ASSERT(q->stage->state == SMI_STAGE_WRITING);
    smi_out_rollback(&q->stage->out, mark);
}

sm_status sm_quarantine_end_file(sm_quarantine *q, sm_error *e)
{
    const sm_sink sink = sm_stage_sink(q->stage);
    sm_pause pause;
    sm_status st = SM_OK;

    sm_pause_init(&pause);
    while ((st = sink.finish(sink.ctx, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

sm_status sm_quarantine_candidate(sm_quarantine *q, sm_candidate **out, sm_error *e)
{
    return sm_stage_candidate(q->stage, out, e);
}

void sm_quarantine_close(sm_quarantine *q)
{
    if (!q) {
        return;
    }
    sm_stage_close(q->stage);
    sm_mutex_release(&q->lock);
    sm_free(q);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static sm_str column_name(const sm_quarantine_opts *o, sm_str path)
{
    for (int32_t i = 0; i < o->n_columns; i++) {
        if (sm_str_eq(o->paths[i], path)) {
            return o->columns[i];
        }
    }
    for (int32_t i = 0; i < o->n_columns; i++) { /* a struct: its first field that has a name */
        if (o->paths[i].len > path.len && o->paths[i].data[path.len] == '.' &&
            sm_str_starts(o->paths[i], path)) {
            return o->columns[i];
        }
    }
    for (size_t i = path.len; i > 0; i--) { /* no column of the table: the path's last part */
        if (path.data[i - 1] == '.') {
            return (sm_str){path.data + i, path.len - i};
        }
    }
    return path;
}

static sm_status name_columns(const sm_quarantine *q, const sm_column *paths, sm_batch *into,
                              sm_column *out, sm_error *e)
{
    sm_builder *b = sm_builder_new(&sm_type_string, q->budget);

    for (int64_t i = 0; i < paths->n_rows; i++) {
        if (sm_column_is_null(paths, i)) {
            sm_builder_null(b);
        } else {
            sm_builder_str(b, column_name(&q->opts, sm_column_str(paths, i)));
        }
    }
    const sm_status st = sm_builder_finish(b, into, out, e);
    sm_builder_free(b);
    return st;
}

sm_status smi_quarantine_stamp(const sm_quarantine *q, sm_batch *b, sm_error *e)
{
    const sm_value time = {.type = &sm_type_timestamp, .as.i = q->opts.time_us};
    const sm_value values[] = {sm_value_str(q->opts.run), time, sm_value_null(&sm_type_string)};

    for (int32_t i = 0; i < SM_COUNT(values); i++) {
        SM_TRY(sm_column_constant(values[i], b->n_rows, b, &b->columns[SMI_QUARANTINE_RUN + i], e));
    }
    return SM_OK;
}

/* The rows of the table for these refused lines. */
static sm_status make_rows(const sm_quarantine *q, const sm_batch *lines, sm_batch **out,
                           sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *b = NULL;

    SM_ASSERT(lines->n_columns == N_READ_COLUMNS);
    SM_TRY(sm_batch_new(q->budget, &smi_quarantine_schema, &b, e));
    sm_batch_keep_all(b, lines);
    for (int32_t i = 0; i < N_READ_COLUMNS; i++) {
        SM_ASSERT(sm_type_eq(lines->columns[i].type, quarantine_fields[i].type));
        b->columns[i] = lines->columns[i];
    }
    SM_TRY_GOTO(st, done,
                name_columns(q, &lines->columns[SMI_QUARANTINE_COLUMN], b,
                             &b->columns[SMI_QUARANTINE_COLUMN], e));
    b->n_rows = lines->n_rows;
    SM_TRY_GOTO(st, done, smi_quarantine_stamp(q, b, e));
    b->ordinal = lines->ordinal;
    b->seq = lines->seq;
    *out = b;
    b = NULL;
done:
    sm_batch_release(b);
    return st;
}

/* ---- the router ------------------------------------------------------------------------------ */

/* The rows for the quarantine in work; NULL where it takes none of the lines. */
static sm_status take_lines(const sm_quarantine_router *r, const sm_batch *refused, sm_batch **out,
                            sm_error *e)
{
    const sm_quarantine *q = r->quarantines[r->at];
    sm_batch *taken = NULL;
    sm_status st = SM_OK;
    int64_t n = 0;

    *out = NULL;
    if (!q) {
        return SM_OK;
    }
    int32_t *rows = sm_alloc((size_t)refused->n_rows * sizeof(*rows));
    const sm_column *files = &refused->columns[SM_REFUSED_OUT_FILE];
    for (int64_t i = 0; i < refused->n_rows; i++) {
        if (r->takes(r->ctx, r->at, sm_column_str(files, i))) {
            rows[n++] = (int32_t)i;
        }
    }
    if (n > 0) {
        SM_TRY_GOTO(st, done, sm_batch_gather(refused, rows, n, q->budget, &taken, e));
        st = make_rows(q, taken, out, e);
    }
done:
    sm_batch_release(taken);
    sm_free(rows);
    return st;
}

static sm_status push_refused(void *ctx, sm_batch *refused, sm_waker waker, sm_error *e)
{
    sm_quarantine_router *r = ctx;

    SM_ASSERT(!r->pending || r->at < r->n_quarantines);
    for (; r->at < r->n_quarantines; r->at++) {
        if (!r->pending) {
            SM_TRY(take_lines(r, refused, &r->pending, e));
        }
        if (r->pending) {
            const sm_sink to = sm_stage_sink(r->quarantines[r->at]->stage);
            SM_TRY(to.push(to.ctx, r->pending, waker, e));
            sm_batch_release(r->pending);
            r->pending = NULL;
        }
    }
    r->at = 0;
    return SM_OK;
}

sm_sink sm_quarantine_router_sink(sm_quarantine_router *r)
{
    SM_ASSERT(r->takes && r->at == 0 && !r->pending);
    return (sm_sink){.ctx = r, .push = push_refused};
}

void sm_quarantine_router_release(sm_quarantine_router *r)
{
    sm_batch_release(r->pending);
    *r = (sm_quarantine_router){0};
}
