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
 * Other roots  Their files are read again if a load replaces their dates. Where its contract takes
 *              rows, all that the table has of them is replaced, and its books know it; else their
 *              refused lines are in the table already. A full refresh writes these lines again too.
 * URI          A row has the URI by which its file was opened, even after the file has moved, so
 *              rows of other files may have the same one. A run reads one file by it, so where
 *              others stay, the rows leave by URI and time.
 * Rules        Rows that the contract of a load takes away go into the same table
 *              (flow_quarantine_rows.c). The books of the load decide of them: all that the table
 *              has of a file that it reads is replaced (claim), also where its contract takes no
 *              rows any more, for the load has them then. A file that is read for its refused
 *              lines alone keeps such rows, for they are not in the loaded table either.
 * Age          Where the pipeline has a retention, older rows are deleted when the table is written
 *              anyway.
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

/* Of a URI: do all its rows leave the table, or only the refused lines? */
typedef enum leaves { LEAVES_LINES = 1, LEAVES_ALL } leaves;

/* Does a contract put rows into the source's quarantine? */
static bool has_rules(const smi_flow_source *s, const sm_pipeline *p)
{
    bool has = false;

    for (int32_t i = 0; i < p->n_tasks && s->quarantine.len > 0 && !has; i++) {
        has = sm_str_eq_nocase(p->tasks[i].quarantine, s->quarantine);
    }
    return has;
}

/* Which rows of each known file leave the table; 0: none do. */
static leaves *known_that_leave(const sm_run *r, const smi_flow_source_state *s, sm_arena *a)
{
    const smi_flow_quarantine *q = &s->quarantine;
    const smi_flow_books *b = &q->books;
    const bool may_stay = has_rules(s->def, r->p);
    leaves *out = SM_NEW_ARRAY(a, leaves, b->n_known);

    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        if (f->is_read && f->known >= 0 && smi_known_has_rows(&b->known[f->known])) {
            const bool is_whole = !may_stay || (q->is_claimed && q->is_claimed[i]);
            out[f->known] = is_whole ? LEAVES_ALL : LEAVES_LINES;
        }
    }
    for (int64_t k = 0; k < b->n_known; k++) {
        const smi_flow_known *known = &b->known[k];
        if (!smi_known_has_rows(known)) {
            continue;
        }
        if (b->match.left[k] == SMI_KNOWN_DROPPED) {
            out[k] = LEAVES_ALL;
        }
        for (int64_t i = 0; i < q->n_again && known->root != b->match.root; i++) {
            if (sm_str_eq(known->uri, q->again[i].uri)) {
                out[k] = LEAVES_ALL;
            }
        }
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        const int64_t k = b->others[i].known;
        if (b->known[k].uri.len > 0) { /* else they are of books that had one root */
            out[k] = LEAVES_ALL;
        }
    }
    return out;
}

/* What leaves, by URI; files whose URI the rows of others have that stay are apart. */
typedef struct leaving {
    sm_map *uris; /* URI -> leaves */
    smi_flow_leaving_file *shared;
    int64_t n_shared;
} leaving;

static void add_leaving(leaving *l, const sm_map *staying, smi_flow_leaving_file file)
{
    const leaves what = file.is_whole ? LEAVES_ALL : LEAVES_LINES;

    if (file.time_us && sm_map_get(staying, file.uri)) {
        l->shared[l->n_shared++] = file;
        return;
    }
    void **there = sm_map_at(l->uris, file.uri);
    if ((intptr_t)*there < (intptr_t)what) {
        *there = (void *)(intptr_t)what;
    }
}

static leaving what_leaves(const sm_run *r, const smi_flow_source_state *s, sm_arena *a)
{
    const smi_flow_quarantine *q = &s->quarantine;
    const smi_flow_books *b = &q->books;
    const leaves *of = known_that_leave(r, s, a);
    sm_map *staying = sm_map_new(a);
    leaving l = {.uris = sm_map_new(a),
                 .shared = SM_NEW_ARRAY(a, smi_flow_leaving_file, b->n_known + q->n_again)};

    for (int64_t k = 0; k < b->n_known; k++) {
        if (!of[k] && smi_known_has_rows(&b->known[k])) {
            *sm_map_at(staying, uri_of(s, &b->known[k], a)) = (void *)&b->known[k];
        }
    }
    for (int64_t k = 0; k < b->n_known; k++) {
        if (of[k]) {
            add_leaving(&l, staying,
                        (smi_flow_leaving_file){.uri = uri_of(s, &b->known[k], a),
                                                .time_us = b->known[k].loaded_us,
                                                .is_whole = of[k] == LEAVES_ALL});
        }
    }
    for (int64_t i = 0; i < q->n_again; i++) {
        add_leaving(&l, staying, q->again[i]);
    }
    return l;
}

/* Books of earlier versions do not say of what time the rows of a file are: where these leave by
 * their URI, files that share it are read again. Whenever more rows are to leave. */
static void read_sharers(const sm_run *r, smi_flow_source_state *s, sm_arena *a)
{
    const leaving l = what_leaves(r, s, a);
    const smi_flow_books *b = &s->quarantine.books;

    for (int64_t i = 0; i < b->in.n_found; i++) {
        smi_match_file *f = &b->match.files[i];
        const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
        if (is_kept && !f->is_read && sm_map_get(l.uris, uri_of(s, &b->known[f->known], a))) {
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

/* Finds the table and reads its books. Where the source names none, one that a contract has filled
 * for its load is still written: else rows would stay there that the load takes in by itself. */
static sm_status find_table(sm_run *r, smi_flow_source_state *s, bool is_refreshed, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    sm_str uri;

    q->name = s->def->quarantine;
    for (int32_t i = 0; i < r->p->n_tasks && q->name.len == 0; i++) {
        if (r->p->tasks[i].source == s - r->sources) {
            q->name = smi_flow_quarantine_of(r->p, &r->p->tasks[i]);
        }
    }
    if (q->name.len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_names_uri(r->names, q->name, r->arena, &uri, e));
    SM_TRY(smi_flow_books_open(r, q->name, uri, is_refreshed, &q->books, e));
    if (s->def->quarantine.len == 0 && !q->books.snapshot) {
        smi_flow_books_release(&q->books);
        q->name = (sm_str){0};
        return SM_OK;
    }
    q->uri = uri;
    return smi_flow_snapshot_rows(q->books.snapshot, &q->n_rows_before, e);
}

sm_status smi_flow_quarantine_match(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    const bool is_refreshed = smi_flow_is_source_refreshed(r, s);
    const smi_flow_wants wants = {.takes_date = true};

    SM_ASSERT(!q->table && !q->candidate);
    q->n_rows_before = -1;
    SM_TRY(find_table(r, s, is_refreshed, e));
    if (is_refreshed) {
        SM_TRY(smi_flow_books_reload(r, s, &q->books, e));
    } else {
        SM_TRY(smi_flow_books_match(r, s, &wants, &q->books, e));
    }
    leave_outside(r, s);
    read_sharers(r, s, r->arena);
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

/* ---- rows that leave ------------------------------------------------------------------------ */

static smi_flow_rows uris_that(const sm_map *uris, leaves what, sm_arena *a)
{
    sm_value *values = SM_NEW_ARRAY(a, sm_value, sm_map_count(uris) + 1);
    int64_t n = 0;

    for (int64_t i = 0; i < sm_map_count(uris); i++) {
        if ((intptr_t)sm_map_value(uris, i) == (intptr_t)what) {
            values[n++] = sm_value_str(sm_map_key(uris, i));
        }
    }
    return (smi_flow_rows){.column = SM_STR("file"), .values = values, .n = n};
}

/* Those of files whose lines are written again, or that leave the table. */
static smi_flow_leaving replaced_files(sm_run *r, const smi_flow_source_state *s)
{
    const leaving l = what_leaves(r, s, r->arena);

    return (smi_flow_leaving){.files = uris_that(l.uris, LEAVES_ALL, r->arena),
                              .lines = uris_that(l.uris, LEAVES_LINES, r->arena),
                              .shared = l.shared,
                              .n_shared = l.n_shared};
}

/* Has the file rows of before that time, as far as its statistics say? */
static bool may_be_older(const sm_snapshot *s, const sm_delta_file *f, int32_t column,
                         int64_t time_us, sm_arena *a)
{
    const sm_range *ranges = sm_snapshot_ranges(s, f, a);

    return !ranges || !ranges[column].has_min || ranges[column].min.as.i < time_us;
}

sm_status smi_flow_quarantine_age(const sm_run *r, sm_snapshot *there, smi_flow_leaving *out,
                                  sm_error *e)
{
    const int64_t before = r->start_us - r->p->quarantine_us;
    int64_t n = 0;

    if (!there || r->p->quarantine_us == 0) {
        return SM_OK;
    }
    const int32_t column = sm_type_find(sm_snapshot_metadata(there)->schema, SM_STR("time"));
    SM_ASSERT(!out->has_before && r->p->quarantine_us > 0);
    SM_TRY(sm_snapshot_list(there, e));
    const sm_delta_file *files = sm_snapshot_files(there, &n);
    sm_arena *a = sm_arena_new(r->env->budget);
    for (int64_t i = 0; i < n && column >= 0 && !out->has_before; i++) {
        out->has_before = may_be_older(there, &files[i], column, before, a);
    }
    sm_arena_free(a);
    out->before = (sm_value){.type = &sm_type_timestamp, .as.i = before};
    return SM_OK;
}

/* file IN (…) AND reason is one of a refused line */
static sm_status bind_lines(const smi_flow_rows *lines, const sm_type *columns, sm_arena *a,
                            const sm_expr **out, sm_error *e)
{
    sm_value values[32];
    smi_flow_rows reasons = {.column = SM_STR("reason"), .values = values};
    const smi_flow_rows *both[] = {lines, &reasons};
    const sm_expr *parts[2];

    for (int32_t i = 0; sm_refused_reason(i); i++) {
        SM_ASSERT(i < SM_COUNT(values));
        values[reasons.n++] = sm_value_str(sm_str_of(sm_refused_reason(i)));
    }
    for (int i = 0; i < 2; i++) {
        const sm_condition c = smi_flow_condition(both[i]);
        SM_TRY(c.bind(c.ctx, columns, a, &parts[i], e));
    }
    return sm_expr_and(parts, 2, a, out, e);
}

/* file = … AND time = …, and where it is not whole the reasons */
static sm_status bind_shared(const smi_flow_leaving_file *f, const sm_type *columns, sm_arena *a,
                             const sm_expr **out, sm_error *e)
{
    const sm_value uri = sm_value_str(f->uri);
    const sm_value time = {.type = &sm_type_timestamp, .as.i = f->time_us};
    const smi_flow_rows file = {.column = SM_STR("file"), .values = &uri, .n = 1};
    const smi_flow_rows times = {.column = SM_STR("time"), .values = &time, .n = 1};
    const sm_condition at = smi_flow_condition(&times);
    const sm_expr *parts[2];

    if (f->is_whole) {
        const sm_condition c = smi_flow_condition(&file);
        SM_TRY(c.bind(c.ctx, columns, a, &parts[0], e));
    } else {
        SM_TRY(bind_lines(&file, columns, a, &parts[0], e));
    }
    SM_TRY(at.bind(at.ctx, columns, a, &parts[1], e));
    return sm_expr_and(parts, 2, a, out, e);
}

static sm_status bind_leaving(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                              sm_error *e)
{
    const smi_flow_leaving *l = ctx;
    const sm_expr **parts = SM_NEW_ARRAY(a, const sm_expr *, l->n_shared + 3);
    int32_t n = 0;

    if (l->files.n > 0) {
        const sm_condition c = smi_flow_condition(&l->files);
        SM_TRY(c.bind(c.ctx, columns, a, &parts[n++], e));
    }
    if (l->lines.n > 0) {
        SM_TRY(bind_lines(&l->lines, columns, a, &parts[n++], e));
    }
    for (int64_t i = 0; i < l->n_shared; i++) {
        SM_TRY(bind_shared(&l->shared[i], columns, a, &parts[n++], e));
    }
    if (l->has_before) {
        const sm_expr *args[] = {sm_expr_column(columns, sm_type_find(columns, SM_STR("time")), a),
                                 sm_expr_constant(l->before, a)};
        SM_TRY(sm_expr_call("<", args, 2, a, &parts[n++], e));
    }
    SM_ASSERT(n > 0);
    *out = parts[0];
    return n == 1 ? SM_OK : sm_expr_or(parts, n, a, out, e);
}

void smi_flow_quarantine_leave(const smi_flow_leaving *l, sm_write *w)
{
    const bool any = l->files.n > 0 || l->lines.n > 0 || l->n_shared > 0 || l->has_before;

    w->mode = any ? SM_WRITE_REPLACE_WHERE : SM_WRITE_APPEND;
    w->where = (sm_condition){.ctx = (void *)l, .bind = bind_leaving};
}

/* ---- files that a load reads ----------------------------------------------------------------- */

/* A file that the quarantine had nothing to do with is one that it reads. */
static void match_again(const sm_run *r, smi_flow_books *b, int64_t i)
{
    smi_match_file *f = &b->match.files[i];

    *f = (smi_match_file){.kind = SMI_MATCH_NEW, .known = -1, .of = -1};
    for (int64_t k = 0; k < b->n_known && f->known < 0; k++) {
        if (b->known[k].root == b->match.root && sm_str_eq(b->known[k].path, b->in.found[i].path)) {
            f->kind = SMI_MATCH_CHANGED;
            f->known = k;
            b->match.left[k] = SMI_KNOWN_HERE;
        }
    }
    b->reads[i].version = smi_flow_books_version(r, b, i) + 1;
}

static sm_status claim_file(sm_run *r, int32_t task, smi_flow_source_state *s, int64_t i,
                            sm_error *e)
{
    smi_flow_quarantine *q = &s->quarantine;
    smi_match_file *f = &q->books.match.files[i];

    if (f->kind == SMI_MATCH_OUTSIDE || f->kind == SMI_MATCH_PASSED) {
        match_again(r, &q->books, i);
    }
    SM_ASSERT(f->kind != SMI_MATCH_OUTSIDE && f->kind != SMI_MATCH_PASSED);
    f->is_read = true;
    q->is_claimed[i] = true;
    if (!q->table || f->known < 0 || !smi_known_has_rows(&q->books.known[f->known])) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_UNSUPPORTED,
                "an earlier task of this run has read the source %.*s, so %.*s cannot replace what "
                "it has of a file",
                SM_STR_ARG(s->def->name), SM_STR_ARG(s->quarantine.name));
    sm_error_place(e, s->found.items[i].file.uri.data, 0, -1);
    sm_error_todo(e, "Name %.*s before the other tasks of the pipeline.",
                  SM_STR_ARG(r->p->tasks[task].name));
    return st;
}

/* By root and path, as the books of all tables have them. */
static sm_str name_of_other(const smi_flow_books *b, int64_t known, sm_arena *a)
{
    const smi_flow_known *k = &b->known[known];

    return sm_arena_strf(a, "%.*s\n%.*s", SM_STR_ARG(b->roots[k->root].uri), SM_STR_ARG(k->path));
}

/* The books of the quarantine learn what is read of these files: the next run of their root would
 * take one that has changed for news, and write its lines beside those of this run. */
static void know_others(sm_run *r, smi_flow_books *own, const smi_flow_books *b)
{
    sm_map *others = sm_map_new(r->arena);

    for (int64_t i = 0; i < b->n_others; i++) {
        *sm_map_at(others, name_of_other(b, b->others[i].known, r->arena)) = &b->others[i];
    }
    SM_ASSERT(own != b && !own->in.is_reload);
    own->others = SM_NEW_ARRAY(r->arena, smi_flow_other, own->n_known + 1);
    own->n_others = 0;
    for (int64_t k = 0; k < own->n_known && b->n_others > 0; k++) {
        const bool is_other = own->known[k].root != own->match.root && !own->known[k].is_displaced;
        const smi_flow_other *o =
            is_other ? sm_map_get(others, name_of_other(own, k, r->arena)) : NULL;
        if (o) {
            own->others[own->n_others] = *o;
            own->others[own->n_others++].known = k;
        }
    }
}

/* Files of other roots are written again too: their lines, and rows that the contract takes. What
 * is there of them has the URI that the load has in its books, or the quarantine's. */
static void claim_others(sm_run *r, smi_flow_quarantine *q, const smi_flow_books *b)
{
    smi_flow_leaving_file *again = SM_NEW_ARRAY(r->arena, smi_flow_leaving_file, b->n_others);

    for (int64_t i = 0; i < b->n_others; i++) {
        const smi_flow_known *k = &b->known[b->others[i].known];
        again[i] = (smi_flow_leaving_file){
            .uri = k->uri.len > 0 ? k->uri : b->others[i].found.file.uri,
            .time_us = k->loaded_us,
            .is_whole = true,
        };
        b->others[i].state->is_again = true;
    }
    q->again = again;
    q->n_again = b->n_others;
    if (!q->books.in.is_reload) { /* else it has found them all itself */
        know_others(r, &q->books, b);
    }
}

/* Does the table have the file, and would keep what it has of it? */
static bool stays_there(const smi_flow_quarantine *q, int64_t i)
{
    const smi_match_file *f = &q->books.match.files[i];

    SM_ASSERT(i >= 0 && i < q->books.in.n_found);
    return (f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED) && !f->is_read;
}

/* Rows that a rule took are of the load then; of several loads they may be of any. */
static bool is_only_load(const sm_pipeline *p, int32_t task)
{
    int32_t n = 0;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        n += p->tasks[i].source == p->tasks[task].source;
    }
    SM_ASSERT(n > 0);
    return n == 1;
}

sm_status smi_flow_quarantine_claim(sm_run *r, int32_t task, const smi_flow_books *b, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_source_state *s = &r->sources[t->source];
    smi_flow_quarantine *q = &s->quarantine;

    if (q->uri.len == 0 || (t->quarantine.len == 0 && !is_only_load(r->p, task))) {
        return SM_OK;
    }
    SM_ASSERT(t->quarantine.len == 0 || sm_str_eq(t->quarantine, q->name));
    q->is_claimed = SM_NEW_ARRAY(r->arena, bool, s->found.n);
    for (int64_t i = 0; i < s->found.n; i++) {
        const bool may_have_rows = t->quarantine.len > 0 || stays_there(q, i);
        if (b->match.files[i].is_read && may_have_rows) {
            SM_TRY(claim_file(r, task, s, i, e));
        }
    }
    if (t->quarantine.len > 0) { /* their refused lines are there already */
        claim_others(r, q, b);
    }
    read_sharers(r, s, r->arena);
    return SM_OK;
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
    smi_flow_leaving all = replaced_files(r, s);
    sm_write write = {
        .uri = q->uri,
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

    SM_TRY(smi_flow_quarantine_age(r, q->books.snapshot, &all, e));
    smi_flow_quarantine_leave(&all, &write);
    if (smi_flow_is_source_refreshed(r, s)) {
        write.mode = SM_WRITE_OVERWRITE;
    }
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

    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(s->quarantine.name));
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
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(s->quarantine.name));
}

void smi_flow_quarantine_release(smi_flow_quarantine *q)
{
    sm_quarantine_close(q->table);
    sm_candidate_release(q->candidate);
    smi_flow_books_release(&q->books);
    *q = (smi_flow_quarantine){0};
}
