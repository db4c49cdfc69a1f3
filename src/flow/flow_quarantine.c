/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_quarantine.c: refused lines into a source's quarantine table, each file's exactly once.
 * Called by a run around each plan that reads a source.
 *
 * Order     match when the source is opened; open before the first plan that reads it; the sink
 *           takes refused lines of all plans; finish when all tasks are done.
 * Once      The table has books of its own (flow_books.c), the same for each form of a pipeline:
 *           lines of a file that is recorded already are dropped here (they are counted all the
 *           same). Files that changed, and those of their Dates, are replaced. Of several tasks
 *           that read a file the first one's lines are taken.
 * Others    Files of other roots are read again where a load replaces their Dates: what was refused
 *           of them is here already. A full refresh writes their lines anew too.
 * Whose     A row has its file's URI as it was opened, also after the file has moved. Where rows of
 *           a file leave, other files whose rows have that URI are read again too.
 * Columns   as exec gives them, then run and time. `column` is the name that the table of the lines
 *           has for it: the first SQL that is columns over the source's files says so; where none
 *           does, the last part of its path. */
#include "base/time.h"
#include "flow/flow_int.h"

#define N_READ_COLUMNS 8 /* of sm_refused_out_schema */
#define COLUMN_COLUMN  (SM_REFUSED_OUT_FIRST + SM_REFUSED_COLUMN)

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
};
static const sm_type quarantine_schema = {
    .id = SM_TYPE_STRUCT, .fields = quarantine_fields, .n_fields = SM_COUNT(quarantine_fields)};

/* ---- what there is to do -------------------------------------------------------------------- */

/* The URI that a known file's rows have; where nothing tells, as it would be opened now. */
static sm_str uri_of(const smi_flow_source_state *s, const smi_flow_known *k, sm_arena *a)
{
    return k->uri.len > 0 ? k->uri : sm_store_uri_of(s->found.store, k->path, a);
}

/* The URIs whose rows leave the table. */
static sm_map *leaving(const smi_flow_source_state *s, sm_arena *a)
{
    const smi_flow_books *b = &s->quarantine.books;
    sm_map *out = sm_map_new(a);

    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        if (f->is_read && f->known >= 0 && smi_flow_books_has_rows(&b->known[f->known])) {
            *sm_map_at(out, uri_of(s, &b->known[f->known], a)) = out;
        }
    }
    for (int64_t i = 0; i < b->n_known; i++) {
        if (b->match.left[i] == SMI_KNOWN_DROPPED && smi_flow_books_has_rows(&b->known[i])) {
            *sm_map_at(out, uri_of(s, &b->known[i], a)) = out;
        }
    }
    return out;
}

/* A file that moved has rows of its old URI, which may by now be another's. */
static void read_sharers(smi_flow_source_state *s, sm_arena *a)
{
    const sm_map *uris = leaving(s, a);
    const smi_flow_books *b = &s->quarantine.books;

    for (int64_t i = 0; i < b->in.n_found; i++) {
        smi_match_file *f = &b->match.files[i];
        const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
        if (is_kept && !f->is_read && sm_map_get(uris, uri_of(s, &b->known[f->known], a))) {
            f->is_read = true;
        }
    }
}

static bool is_loaded(const smi_flow_run *r, const smi_flow_source_state *s)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].is_chosen && r->p->tasks[i].source == s - r->sources) {
            return true;
        }
    }
    return false;
}

/* Files outside the window are read where a load replaces their dates; who reads the source itself
 * reads the window, and the rows of the others are right as they are. */
static void leave_outside(const smi_flow_run *r, smi_flow_source_state *s)
{
    for (int64_t i = 0; i < s->found.n && !is_loaded(r, s); i++) {
        if (!s->states[i].is_in_window) {
            smi_flow_books_leave(&s->quarantine.books, i);
        }
    }
}

sm_status smi_flow_quarantine_match(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const bool is_refreshed = smi_flow_is_source_refreshed(r, s);
    const smi_flow_wants wants = {.takes_date = true};

    q->n_rows_before = -1;
    if (s->def->quarantine.len > 0) {
        SM_TRY(sm_names_uri(r->names, s->def->quarantine, r->arena, &q->uri, e));
        SM_TRY(smi_flow_books_open(r, s->def->quarantine, q->uri, is_refreshed, &q->books, e));
        q->n_rows_before = smi_flow_snapshot_rows(q->books.snapshot);
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

/* Has a file something to add? */
static bool has_work(const smi_flow_source_state *s)
{
    for (int64_t i = 0; s->quarantine.uri.len > 0 && i < s->found.n; i++) {
        if (s->quarantine.books.match.files[i].is_read) {
            return true;
        }
    }
    return s->quarantine.books.n_others > 0;
}

/* The rows of the files whose lines leave the table. */
static smi_flow_rows replaced_files(smi_flow_run *r, const smi_flow_source_state *s)
{
    const sm_map *uris = leaving(s, r->arena);
    const int64_t n = sm_map_count(uris);
    sm_value *values = SM_NEW_ARRAY(r->arena, sm_value, n + 1);

    for (int64_t i = 0; i < n; i++) {
        values[i] = sm_value_str(sm_map_key(uris, i));
    }
    return (smi_flow_rows){.column = SM_STR("file"), .values = values, .n = n};
}

/* ---- names of columns ----------------------------------------------------------------------- */

/* The names that a plan over the source gives to columns of its lines. */
static bool take_columns(smi_flow_run *r, smi_flow_source_state *s, const sm_plan *plan)
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
    for (int32_t i = 0; i < schema->n_fields; i++) {
        if (smi_flow_plan_path(plan, i, r->arena, &paths[q->n_columns])) {
            columns[q->n_columns++] = sm_arena_str(r->arena, schema->fields[i].name);
        }
    }
    q->paths = paths;
    q->columns = columns;
    return true;
}

/* SQL that does not plan is its own task's affair. */
static void find_columns(smi_flow_run *r, smi_flow_source_state *s)
{
    const smi_flow_asked asked = r->asked; /* of the plan that is about to run */
    bool is_found = false;

    r->asked = (smi_flow_asked){0};
    for (int32_t i = 0; i < r->p->n_tasks && !is_found; i++) {
        if (r->p->tasks[i].n_tables > 0) {
            continue;
        }
        sm_plan *plan = NULL;
        sm_error ignored = {0};
        sm_arena *a = sm_arena_new(r->env->budget);
        is_found = smi_flow_plan(r, NULL, &r->p->tasks[i], a, &plan, &ignored) == SM_OK &&
                   take_columns(r, s, plan);
        sm_arena_free(a);
    }
    sm_buf_release(&r->asked.text);
    r->asked = asked;
}

static sm_str column_name(const smi_flow_quarantine *q, sm_str path)
{
    for (int32_t i = 0; i < q->n_columns; i++) {
        if (sm_str_eq(q->paths[i], path)) {
            return q->columns[i];
        }
    }
    for (int32_t i = 0; i < q->n_columns; i++) { /* a struct: its first field that has a name */
        if (q->paths[i].len > path.len && q->paths[i].data[path.len] == '.' &&
            sm_str_starts(q->paths[i], path)) {
            return q->columns[i];
        }
    }
    for (size_t i = path.len; i > 0; i--) {
        if (path.data[i - 1] == '.') {
            return (sm_str){path.data + i, path.len - i};
        }
    }
    return path;
}

/* ---- opening -------------------------------------------------------------------------------- */

static sm_status open_stage(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
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
    return sm_stage_open(&write, &quarantine_schema, r->env, &q->stage, e);
}

sm_status smi_flow_quarantine_open(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
{
    if (s->quarantine.stage || !has_work(s)) {
        return SM_OK;
    }
    find_columns(r, s);
    return open_stage(r, s, e);
}

/* ---- the sink ------------------------------------------------------------------------------- */

/* Is row i a line of this source that goes into its table? */
static bool is_taken(smi_flow_source_state *s, int32_t task, sm_str uri)
{
    smi_flow_quarantine *q = &s->quarantine;
    smi_flow_file *state = s->by_uri ? sm_map_get(s->by_uri, uri) : NULL;

    if (!state || !q->stage ||
        !(state->is_again || (state->at >= 0 && q->books.match.files[state->at].is_read))) {
        return false;
    }
    if (state->reader < 0) {
        state->reader = task;
    }
    return state->reader == task;
}

static sm_status name_columns(const smi_flow_quarantine *q, const sm_column *paths,
                              sm_budget *budget, sm_batch *into, sm_column *out, sm_error *e)
{
    sm_builder *b = sm_builder_new(&sm_type_string, budget);

    for (int64_t i = 0; i < paths->n_rows; i++) {
        if (sm_column_is_null(paths, i)) {
            sm_builder_null(b);
        } else {
            sm_builder_str(b, column_name(q, sm_column_str(paths, i)));
        }
    }
    const sm_status st = sm_builder_finish(b, into, out, e);
    sm_builder_free(b);
    return st;
}

/* The rows of `taken` as the table has them. */
static sm_status as_table(const smi_flow_run *r, const smi_flow_quarantine *q,
                          const sm_batch *taken, sm_batch **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *b = NULL;
    const sm_value time = {.type = &sm_type_timestamp, .as.i = r->start_us};
    const int64_t n = taken->n_rows;

    SM_TRY(sm_batch_new(r->env->budget, &quarantine_schema, &b, e));
    sm_batch_keep_all(b, taken);
    for (int32_t i = 0; i < N_READ_COLUMNS; i++) {
        b->columns[i] = taken->columns[i];
    }
    SM_TRY_GOTO(st, done,
                name_columns(q, &taken->columns[COLUMN_COLUMN], r->env->budget, b,
                             &b->columns[COLUMN_COLUMN], e));
    SM_TRY_GOTO(st, done,
                sm_column_constant(sm_value_str(r->id), n, b, &b->columns[N_READ_COLUMNS], e));
    SM_TRY_GOTO(st, done, sm_column_constant(time, n, b, &b->columns[N_READ_COLUMNS + 1], e));
    b->n_rows = n;
    b->ordinal = taken->ordinal;
    b->seq = taken->seq;
    *out = b;
    b = NULL;
done:
    sm_batch_release(b);
    return st;
}

/* The lines of one source among the refused ones; NULL where there are none to take. */
static sm_status take_lines(smi_flow_run *r, smi_flow_source_state *s, int32_t task,
                            const sm_batch *refused, sm_batch **out, sm_error *e)
{
    sm_batch *taken = NULL;
    sm_status st = SM_OK;
    int64_t n = 0;
    int32_t *rows = sm_alloc((size_t)refused->n_rows * sizeof(*rows));
    const sm_column *files = &refused->columns[SM_REFUSED_OUT_FILE];

    *out = NULL;
    for (int64_t i = 0; i < refused->n_rows; i++) {
        if (is_taken(s, task, sm_column_str(files, i))) {
            rows[n++] = (int32_t)i;
        }
    }
    if (n > 0) {
        SM_TRY_GOTO(st, done, sm_batch_gather(refused, rows, n, r->env->budget, &taken, e));
        st = as_table(r, &s->quarantine, taken, out, e);
    }
done:
    sm_batch_release(taken);
    sm_free(rows);
    return st;
}

/* What a stage did not take stays in `pending`: the call comes again with the same lines. */
static sm_status push_refused(void *ctx, sm_batch *refused, sm_waker waker, sm_error *e)
{
    smi_flow_refuse *k = ctx;
    smi_flow_run *r = k->run;

    for (; k->at < r->p->n_sources; k->at++) {
        smi_flow_source_state *s = &r->sources[k->at];
        if (!k->pending) {
            SM_TRY(take_lines(r, s, k->task, refused, &k->pending, e));
        }
        if (k->pending) {
            const sm_sink to = sm_stage_sink(s->quarantine.stage);
            SM_TRY(to.push(to.ctx, k->pending, waker, e));
            sm_batch_release(k->pending);
            k->pending = NULL;
        }
    }
    k->at = 0;
    return SM_OK;
}

sm_sink smi_flow_quarantine_sink(smi_flow_run *r, int32_t task)
{
    r->refuse = (smi_flow_refuse){.run = r, .task = task};
    return (sm_sink){.ctx = &r->refuse, .push = push_refused};
}

/* ---- ending --------------------------------------------------------------------------------- */

/* Waits on the spot: the caller is no worker. */
static sm_status finish_sink(const sm_sink *sink, sm_error *e)
{
    sm_pause pause;
    sm_status st = SM_OK;

    sm_pause_init(&pause);
    while ((st = sink->finish(sink->ctx, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

/* Its rows have left, and none came: it is recorded no more. */
static void drop(smi_flow_books *b, int64_t known)
{
    if (known >= 0 && smi_flow_books_has_rows(&b->known[known])) {
        b->match.left[known] = SMI_KNOWN_DROPPED;
        b->match.has_news = true;
    }
}

/* A file that no plan came to, as WHERE wants nothing of its date, is none of this commit's. */
static int64_t leave_unread(smi_flow_source_state *s)
{
    smi_flow_books *b = &s->quarantine.books;
    int64_t n_read = 0;

    for (int64_t i = 0; i < s->found.n; i++) {
        const int64_t known = b->match.files[i].known;
        if (b->match.files[i].is_read && !s->states[i].is_read) {
            smi_flow_books_leave(b, i);
            drop(b, known);
        }
        n_read += b->match.files[i].is_read;
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        if (!b->others[i].state->is_read) {
            drop(b, b->others[i].known);
        }
    }
    return n_read;
}

static sm_status make_candidate(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;

    if (leave_unread(s) == 0 && !smi_flow_books_has_news(&q->books)) {
        return SM_OK;
    }
    SM_TRY(smi_flow_books_settle(r, s, &q->books, e));
    SM_TRY(sm_stage_candidate(q->stage, &q->candidate, e));
    smi_flow_books_enter(r, &q->books, q->candidate);
    smi_flow_books_tell(r, &q->books);
    return SM_OK;
}

sm_status smi_flow_quarantine_finish(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const int64_t start = sm_monotonic_ns();
    sm_status st = SM_OK;

    if (s->is_open && !q->stage && !has_work(s) && q->books.snapshot &&
        smi_flow_books_has_news(&q->books)) { /* rows that leave, or nothing but the books */
        st = open_stage(r, s, e);
    }
    if (st == SM_OK && q->stage) {
        const sm_sink sink = sm_stage_sink(q->stage);
        st = finish_sink(&sink, e);
        if (st == SM_OK) {
            st = make_candidate(r, s, e);
        }
        sm_stage_close(q->stage);
        q->stage = NULL;
    }
    q->wall_ns = sm_monotonic_ns() - start;
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(s->def->quarantine));
}

void smi_flow_quarantine_release(smi_flow_quarantine *q)
{
    sm_stage_close(q->stage);
    sm_candidate_release(q->candidate);
    smi_flow_books_release(&q->books);
    *q = (smi_flow_quarantine){0};
}
