/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_quarantine.c: decides which refused lines go into a source's quarantine table, each
 * file's exactly once. Called by a run around each plan that reads a source. table_quarantine.c
 * makes the rows.
 *
 * Order        match when the source is opened; open before the first plan that reads it; the sink
 *              takes the refused lines of all plans; finish when all tasks are done. Around each
 *              attempt at a task: mark before it, then keep or undo.
 * Once         The table has books of its own (flow_books.c), in every form of a pipeline. Lines of
 *              a file that is recorded there are dropped here, but counted. Files that changed are
 *              replaced, and so are the other files of their dates. If several tasks read a file,
 *              the lines of the first task count.
 * Failed task  Each task has data files of its own in the table. The quarantine is marked before an
 *              attempt at a task. If the attempt succeeds, its last file is ended. If it fails, its
 *              files are deleted, and those of other tasks stay.
 * Other roots  Their files are read again if a load replaces their dates; their refused lines are
 *              in the table already. A full refresh writes these lines again too.
 * URI          A row has the URI by which its file was opened, even after the file has moved. If
 *              the rows of a file leave, other files whose rows have the same URI are read again.
 * Columns      A refused line names its column by a path in the line. The first SQL that is only
 *              columns over the source's files says what the loaded table calls that column
 *              (find_columns). */
#include "base/time.h"
#include "flow/flow_int.h"

/* ---- what there is to do -------------------------------------------------------------------- */

/* The URI that a known file's rows have; if it is not known, the one it would have now. */
static sm_str uri_of(const smi_flow_source_state *s, const smi_flow_known *k, sm_arena *a)
{
    return k->uri.len > 0 ? k->uri : sm_store_uri_of(s->found.store, k->path, a);
}

/* The URIs whose rows leave the table. */
static sm_map *uris_that_leave(const smi_flow_source_state *s, sm_arena *a)
{
    const smi_flow_books *b = &s->quarantine.books;
    sm_map *out = sm_map_new(a);

    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        if (f->is_read && f->known >= 0 && smi_known_has_rows(&b->known[f->known])) {
            *sm_map_at(out, uri_of(s, &b->known[f->known], a)) = out;
        }
    }
    for (int64_t i = 0; i < b->n_known; i++) {
        if (b->match.left[i] == SMI_KNOWN_DROPPED && smi_known_has_rows(&b->known[i])) {
            *sm_map_at(out, uri_of(s, &b->known[i], a)) = out;
        }
    }
    return out;
}

/* Reads files again that share a URI with rows that leave: a moved file keeps its old URI in its
 * rows, and another file may have that URI now. */
static void read_sharers(smi_flow_source_state *s, sm_arena *a)
{
    const sm_map *uris = uris_that_leave(s, a);
    const smi_flow_books *b = &s->quarantine.books;

    for (int64_t i = 0; i < b->in.n_found; i++) {
        smi_match_file *f = &b->match.files[i];
        const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
        if (is_kept && !f->is_read && sm_map_get(uris, uri_of(s, &b->known[f->known], a))) {
            f->is_read = true;
        }
    }
}

static bool is_loaded(const sm_run *r, const smi_flow_source_state *s)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].is_chosen && r->p->tasks[i].source == s - r->sources) {
            return true;
        }
    }
    return false;
}

/* Files outside the period are read only if a load replaces their dates. Without a load only the
 * period is read, and rows of other files stay as they are. */
static void leave_outside(const sm_run *r, smi_flow_source_state *s)
{
    for (int64_t i = 0; i < s->found.n && !is_loaded(r, s); i++) {
        if (!s->states[i].is_in_period) {
            smi_flow_books_leave(&s->quarantine.books, i);
        }
    }
}

sm_status smi_flow_quarantine_match(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const bool is_refreshed = smi_flow_is_source_refreshed(r, s);
    const smi_flow_wants wants = {.takes_date = true};

    SM_ASSERT(!q->table && !q->candidate);
    q->n_rows_before = -1;
    if (s->def->quarantine.len > 0) {
        SM_TRY(sm_names_uri(r->names, s->def->quarantine, r->arena, &q->uri, e));
        SM_TRY(smi_flow_books_open(r, s->def->quarantine, q->uri, is_refreshed, &q->books, e));
        SM_TRY(smi_flow_snapshot_rows(q->books.snapshot, &q->n_rows_before, e));
    }
    if (is_refreshed) {
        SM_TRY(smi_flow_books_reload(r, s, &q->books, e));
    } else {
        SM_TRY(smi_flow_books_match(r, s, &wants, &q->books, e));
    }
    leave_outside(r, s);
    read_sharers(s, r->arena);
    for (int64_t i = 0; i < s->found.n; i++) {
        q->books.reads[i].version = smi_flow_books_version(r, &q->books, i) + 1;
    }
    for (int64_t i = 0; i < q->books.n_others; i++) {
        q->books.others[i].state->is_again = true;
    }
    return SM_OK;
}

/* Is there a file whose lines are to be written? */
static bool has_work(const smi_flow_source_state *s)
{
    for (int64_t i = 0; s->quarantine.uri.len > 0 && i < s->found.n; i++) {
        if (s->quarantine.books.match.files[i].is_read) {
            return true;
        }
    }
    return s->quarantine.books.n_others > 0;
}

/* The rows to be replaced: those of files whose lines leave the table. */
static smi_flow_rows replaced_files(sm_run *r, const smi_flow_source_state *s)
{
    const sm_map *uris = uris_that_leave(s, r->arena);
    const int64_t n = sm_map_count(uris);
    sm_value *values = SM_NEW_ARRAY(r->arena, sm_value, n + 1);

    for (int64_t i = 0; i < n; i++) {
        values[i] = sm_value_str(sm_map_key(uris, i));
    }
    return (smi_flow_rows){.column = SM_STR("file"), .values = values, .n = n};
}

/* ---- names of columns ----------------------------------------------------------------------- */

/* Takes the column names of a plan, if it reads this source. */
static bool take_columns(sm_run *r, smi_flow_source_state *s, const sm_plan *plan)
{
    smi_flow_quarantine *q = &s->quarantine;
    const sm_plan_node *scan = smi_flow_plan_scan(plan);
    const sm_type *schema = plan->root->schema;

    if (!scan || scan->as.scan.dataset->n_files == 0 ||
        !sm_map_get(s->by_uri, scan->as.scan.dataset->files[0].uri)) {
        return false;
    }
    sm_str *paths = SM_NEW_ARRAY(r->arena, sm_str, schema->n_fields);
    sm_str *columns = SM_NEW_ARRAY(r->arena, sm_str, schema->n_fields);
    q->n_columns = 0;
    for (int32_t i = 0; i < schema->n_fields; i++) {
        if (smi_flow_plan_path(plan, i, r->arena, &paths[q->n_columns])) {
            columns[q->n_columns++] = sm_arena_str(r->arena, schema->fields[i].name);
        }
    }
    q->paths = paths;
    q->columns = columns;
    return true;
}

/* Plans tasks until one says how columns are called. Each task reports errors in its own SQL. */
static void find_columns(sm_run *r, smi_flow_source_state *s)
{
    const smi_flow_asked asked = r->asked; /* belongs to the plan that is about to run */
    bool is_found = false;

    r->asked = (smi_flow_asked){0};
    for (int32_t i = 0; i < r->p->n_tasks && !is_found; i++) {
        if (r->p->tasks[i].n_tables > 0) {
            continue;
        }
        const sm_plan *plan = NULL;
        sm_error ignored = {0};
        sm_arena *a = sm_arena_new(r->env->budget);
        is_found = smi_flow_plan(r, NULL, &r->p->tasks[i], a, &plan, &ignored) == SM_OK &&
                   take_columns(r, s, plan);
        sm_arena_free(a);
    }
    sm_buf_release(&r->asked.text);
    r->asked = asked;
}

/* ---- opening -------------------------------------------------------------------------------- */

static sm_status open_table(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const smi_flow_rows replaced = replaced_files(r, s);
    const sm_write write = {
        .uri = q->uri,
        .mode = smi_flow_is_source_refreshed(r, s) ? SM_WRITE_OVERWRITE
                : replaced.n > 0                   ? SM_WRITE_REPLACE_WHERE
                                                   : SM_WRITE_APPEND,
        .where = smi_flow_condition(&replaced),
        .user_metadata = smi_flow_metadata(r),
        .has_base = true,
        .base = q->books.snapshot,
    };
    const sm_quarantine_opts opts = {
        .run = r->id,
        .time_us = r->start_us,
        .paths = q->paths,
        .columns = q->columns,
        .n_columns = q->n_columns,
    };
    return sm_quarantine_open(&write, &opts, r->env, &q->table, e);
}

sm_status smi_flow_quarantine_open(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    SM_ASSERT(s->is_open);
    if (s->quarantine.table || !has_work(s)) {
        return SM_OK;
    }
    find_columns(r, s);
    return open_table(r, s, e);
}

/* ---- the sink ------------------------------------------------------------------------------- */

/* Do the lines of this file go into the quarantine of source i? */
static bool takes_file(void *ctx, int32_t i, sm_str uri)
{
    smi_flow_refuse *refuse = ctx;
    smi_flow_source_state *s = &refuse->run->sources[i];
    smi_flow_file *state = s->by_uri ? sm_map_get(s->by_uri, uri) : NULL;

    if (!state || !(state->is_again ||
                    (state->at >= 0 && s->quarantine.books.match.files[state->at].is_read))) {
        return false;
    }
    if (state->reader < 0) {
        state->reader = refuse->task;
    }
    SM_ASSERT(state->reader == refuse->task ||
              refuse->run->tasks[state->reader].phase == SMI_TASK_DONE);
    return state->reader == refuse->task;
}

sm_sink smi_flow_quarantine_sink(sm_run *r, int32_t task)
{
    const int32_t n = r->p->n_sources;
    sm_quarantine **tables = SM_NEW_ARRAY(r->arena, sm_quarantine *, n);

    for (int32_t i = 0; i < n; i++) {
        tables[i] = r->sources[i].quarantine.table;
    }
    r->refuse = (smi_flow_refuse){
        .run = r,
        .task = task,
        .router = {.quarantines = tables,
                   .n_quarantines = n,
                   .ctx = &r->refuse,
                   .takes = takes_file},
    };
    return sm_quarantine_router_sink(&r->refuse.router);
}

/* ---- attempts at a task ---------------------------------------------------------------------- */

void smi_flow_quarantine_mark(smi_flow_source_state *s)
{
    s->quarantine.mark = s->quarantine.table ? sm_quarantine_mark(s->quarantine.table) : -1;
}

sm_status smi_flow_quarantine_keep(smi_flow_source_state *s, sm_error *e)
{
    const smi_flow_quarantine *q = &s->quarantine;
    const sm_status st = q->table ? sm_quarantine_end_file(q->table, e) : SM_OK;

    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(s->def->quarantine));
}

void smi_flow_quarantine_undo(const sm_run *r, smi_flow_source_state *s, int32_t task)
{
    smi_flow_quarantine *q = &s->quarantine;

    for (int64_t i = 0; s->is_open && i < sm_map_count(s->by_uri); i++) {
        smi_flow_file *f = sm_map_value(s->by_uri, i);
        SM_ASSERT(f->reader < 0 || f->reader == task || r->tasks[f->reader].phase == SMI_TASK_DONE);
        f->reader = f->reader == task ? -1 : f->reader;
    }
    if (q->table && q->mark >= 0) {
        sm_quarantine_rollback(q->table, q->mark);
    } else if (q->table) { /* the attempt opened it */
        sm_quarantine_close(q->table);
        q->table = NULL;
    }
}

/* ---- ending --------------------------------------------------------------------------------- */

/* The file's rows have left and no new ones came, so its entry is dropped. */
static void drop_known(smi_flow_books *b, int64_t known)
{
    if (known >= 0 && smi_known_has_rows(&b->known[known])) {
        b->match.left[known] = SMI_KNOWN_DROPPED;
        b->match.has_news = true;
    }
}

/* Leaves files out of the commit that no plan has read, because WHERE excludes their dates. */
static int64_t leave_unread(smi_flow_source_state *s)
{
    smi_flow_books *b = &s->quarantine.books;
    int64_t n_read = 0;

    for (int64_t i = 0; i < s->found.n; i++) {
        const int64_t known = b->match.files[i].known;
        if (b->match.files[i].is_read && !s->states[i].is_read) {
            smi_flow_books_leave(b, i);
            drop_known(b, known);
        }
        n_read += b->match.files[i].is_read;
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        if (!b->others[i].state->is_read) {
            drop_known(b, b->others[i].known);
        }
    }
    return n_read;
}

static sm_status make_candidate(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;

    if (leave_unread(s) == 0 && !smi_flow_books_has_news(&q->books)) {
        return SM_OK;
    }
    SM_TRY(smi_flow_books_settle(r, s, &q->books, e));
    SM_TRY(sm_quarantine_candidate(q->table, &q->candidate, e));
    smi_flow_books_enter(r, &q->books, q->candidate);
    smi_flow_books_tell(r, &q->books);
    return SM_OK;
}

sm_status smi_flow_quarantine_finish(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const int64_t start = sm_monotonic_ns();
    sm_status st = SM_OK;

    SM_ASSERT(!q->candidate);
    if (s->is_open && !q->table && !has_work(s) && q->books.snapshot &&
        smi_flow_books_has_news(&q->books)) { /* rows leave, or only the books change */
        st = open_table(r, s, e);
    }
    if (st == SM_OK && q->table) {
        st = make_candidate(r, s, e);
        sm_quarantine_close(q->table);
        q->table = NULL;
    }
    q->wall_ns = sm_monotonic_ns() - start;
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(s->def->quarantine));
}

void smi_flow_quarantine_release(smi_flow_quarantine *q)
{
    sm_quarantine_close(q->table);
    sm_candidate_release(q->candidate);
    smi_flow_books_release(&q->books);
    *q = (smi_flow_quarantine){0};
}
