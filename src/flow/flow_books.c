/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books.c: a table's books, which make sure that each file is loaded exactly once. Called
 * by flow_load.c and flow_quarantine.c.
 *
 * Books       are files beside the data (flow_books_file.c). A commit names the books that belong
 *             to it, so that rows and the record of them appear in one commit. flow_match.c
 *             compares them with the folder.
 * Which       The newest books are valid unless somebody has changed the rows since. So the log is
 *             read from the newest version back to the commit that names the books:
 * RESTORE     The books of the restored version are valid, and the search goes on from there. The
 *             next run writes them again, because the table's transaction names others.
 * overwrite   by another writer: nobody knows which files the table still has. The load stops.
 * others      change single rows (DELETE, UPDATE, MERGE, OPTIMIZE, an append). That is the user's
 *             business, and the files stay loaded.
 * Cleaned up  If the log no longer reaches that commit, the transaction in the checkpoint names the
 *             books. What happened in between cannot be seen, so the rows of the oldest version
 *             that is left are counted; the load stops if the books say another number.
 * Loaded      A file's transaction is `smelt:<pipeline>:<file>`. For files of a further root it is
 *             `smelt:<pipeline>@<number>:<file>`. Its version counts the loads of the file. */
#include <inttypes.h>

#include "flow/flow_int.h"

/* ---- small things ---------------------------------------------------------------------------- */

sm_status smi_flow_snapshot_rows(const sm_snapshot *s, int64_t *out, sm_error *e)
{
    sm_delta_totals t = {.n_rows = -1};

    if (s) {
        SM_TRY(sm_snapshot_totals(s, &t, e));
    }
    *out = t.n_rows;
    return SM_OK;
}

const sm_json *smi_flow_smelt_member(sm_str commit_info, sm_arena *a)
{
    const sm_json *info = NULL;
    sm_error ignored = {0};

    if (commit_info.len == 0 || sm_json_parse(commit_info, a, &info, &ignored) != SM_OK) {
        return NULL; /* another writer's information says nothing about our files */
    }
    return sm_json_get(info, "smelt");
}

sm_status smi_flow_books_said(sm_store *s, sm_arena *a, const sm_json **out, sm_error *e)
{
    sm_delta_commit_info info, *newest = NULL;
    int64_t n = 0, txn = 0, v = -1;
    const sm_json *member = NULL;
    bool is_same = true;

    *out = NULL;
    sm_status st = sm_delta_history(s, 1, a, &newest, &n, e);
    v = st == SM_OK && n > 0 ? newest[0].version : -1;
    for (; st == SM_OK && is_same && v >= 0; v--) {
        st = sm_delta_info_read(s, v, SM_STR(""), a, &info, &txn, e);
        member = st == SM_OK ? smi_flow_smelt_member(info.json, a) : NULL;
        is_same = st == SM_OK && /* the commit changed files or books, but no rows */
                  (sm_str_is(info.operation, "OPTIMIZE") || sm_json_get(member, "same_rows"));
    }
    *out = st == SM_OK && !is_same ? member : NULL;
    return st == SM_NOT_FOUND ? SM_OK : st;
}

sm_status smi_flow_books_last(sm_run *r, sm_store *s, const char *key, sm_str *out, sm_error *e)
{
    sm_arena *scratch = sm_arena_new(r->env->budget);
    const sm_json *member = NULL;

    *out = (sm_str){0};
    const sm_status st = smi_flow_books_said(s, scratch, &member, e);
    if (st == SM_OK) {
        *out = sm_arena_str(r->arena, sm_json_text(sm_json_get(member, key)));
    }
    sm_arena_free(scratch);
    return st;
}

sm_status smi_flow_books_judged(sm_run *r, sm_store *s, sm_str contract, bool *out, sm_error *e)
{
    sm_arena *scratch = sm_arena_new(r->env->budget);
    const sm_json *member = NULL;

    *out = true;
    const sm_status st = smi_flow_books_said(s, scratch, &member, e);
    if (st == SM_OK && member) {
        const sm_json *verdict = sm_json_get(member, "verdict");
        *out = sm_str_eq(sm_json_text(sm_json_get(verdict, "hash")), contract);
    }
    sm_arena_free(scratch);
    return st;
}

/* ---- which books ----------------------------------------------------------------------------- */

/* A walk back over the log. */
typedef struct walk {
    sm_run *run;
    smi_flow_books *books;
    int64_t version;  /* the next one to look at */
    bool has_seen;    /* the commit after `version` was seen, and no RESTORE led here */
    bool is_restored; /* a RESTORE was followed */
    bool is_over;
    int64_t number;         /* the books found; −1: none */
    bool is_old;            /* they are those of an old table, at or below `version` */
    sm_snapshot *unseen_at; /* the oldest version left, if the log ends above the books' commit;
                             * NULL: all commits down to the books were seen */
} walk;

static bool has_old_txns(const sm_snapshot *s)
{
    int64_t n = 0;
    const sm_delta_txn *txns = sm_snapshot_txns(s, &n);

    for (int64_t i = 0; i < n; i++) {
        if (sm_str_starts(txns[i].app_id, SM_STR("smelt:")) &&
            !sm_str_is(txns[i].app_id, SMI_BOOKS_APP)) {
            return true;
        }
    }
    return false;
}

/* The load that --full-refresh names to make the table anew: a quarantine comes with the first load
 * from its source; "": none does. */
static sm_str refreshed_by(const sm_run *r, sm_str table)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task *t = &r->p->tasks[i];
        if (t->kind == SM_TASK_LOAD &&
            (sm_str_eq(t->name, table) || sm_str_eq(r->p->sources[t->source].quarantine, table))) {
            return t->name;
        }
    }
    return SM_STR("");
}

/* Says how the table is filled anew. `first` says what else would do: "Restore it, or "; or "". */
static void advise_refresh(const walk *w, const char *first, sm_error *e)
{
    const sm_str load = refreshed_by(w->run, w->books->table);

    if (load.len > 0) {
        sm_error_todo(e, "%s%coad all files again: --full-refresh %.*s.", first,
                      first[0] ? 'l' : 'L', SM_STR_ARG(load));
    } else {
        sm_error_todo(e, "%s%cove its folder away, and the run makes it anew.", first,
                      first[0] ? 'm' : 'M');
    }
}

static sm_status fail_overwritten(const walk *w, const sm_delta_commit_info *info, sm_error *e)
{
    const sm_str table = w->books->table;
    const sm_status st = sm_fail(
        e, SM_INVALID,
        "version %" PRId64 ", by another writer (%.*s), has overwritten rows of %.*s, so it is not "
        "known which files it still has",
        info->version, SM_STR_ARG(info->engine_info.len ? info->engine_info : info->operation),
        SM_STR_ARG(table));
    char first[64];
    snprintf(first, sizeof(first), "Restore the table to version %" PRId64 ", or ",
             info->version - 1);
    advise_refresh(w, first, e);
    return st;
}

static sm_status fail_unknown(const walk *w, const char *why, sm_error *e)
{
    const sm_str table = w->books->table;
    const sm_status st = sm_fail(e, SM_INVALID, "%s, so it is not known which files %.*s has", why,
                                 SM_STR_ARG(table));
    advise_refresh(w, "", e);
    return st;
}

/* The log has no commit of w->version: looks for books in the oldest version that is left. */
static sm_status end_of_log(walk *w, sm_error *e)
{
    const int64_t at = w->has_seen ? w->version + 1 : w->version;
    sm_error ignored = {0};

    SM_ASSERT(!w->unseen_at && !w->is_over);
    w->is_over = true;
    if (w->version < 0) { /* all were seen; a rewritten log may have lost the books' commit */
        w->number =
            w->is_restored ? -1 : sm_snapshot_txn(w->books->snapshot, SM_STR(SMI_BOOKS_APP));
        w->is_old = w->number < 0 && !w->is_restored;
        return SM_OK;
    }
    if (sm_snapshot_open_head(w->books->store, at, w->run->env->budget, &w->unseen_at, &ignored) !=
        SM_OK) {
        if (w->is_restored) {
            return fail_unknown(w, "the log no longer reaches the version it was restored to", e);
        }
        w->unseen_at = sm_snapshot_retain(w->books->snapshot);
    }
    w->number = sm_snapshot_txn(w->unseen_at, SM_STR(SMI_BOOKS_APP));
    w->is_old = w->number < 0 && has_old_txns(w->unseen_at);
    w->version = at;
    return SM_OK;
}

/* Looks at one commit, and goes one back. */
static sm_status step_back(walk *w, sm_arena *scratch, sm_error *e)
{
    sm_delta_commit_info info;
    int64_t number = -1;

    const sm_status st =
        w->version < 0 ? SM_NOT_FOUND
                       : sm_delta_info_read(w->books->store, w->version, SM_STR(SMI_BOOKS_APP),
                                            scratch, &info, &number, e);
    if (st != SM_OK) {
        return st == SM_NOT_FOUND ? end_of_log(w, e) : st;
    }
    w->number = number;
    w->is_old = number < 0 && sm_json_get(smi_flow_smelt_member(info.json, scratch), "files");
    w->is_over = w->number >= 0 || w->is_old;
    if (w->is_over) {
        return SM_OK;
    }
    const sm_delta_effect effect = sm_delta_effect_of(&info);
    if (effect == SM_DELTA_OVERWRITES) {
        return fail_overwritten(w, &info, e);
    }
    if (effect == SM_DELTA_RESTORES) {
        const sm_status found =
            sm_delta_restored_version(w->books->store, &info, w->run->env->budget, &w->version, e);
        w->is_restored = true;
        w->has_seen = false;
        return found == SM_NOT_FOUND ? fail_unknown(w,
                                                    "the log does not say which version it was "
                                                    "restored to",
                                                    e)
                                     : found;
    }
    w->has_seen = true;
    w->version--;
    return SM_OK;
}

static sm_status find_books(walk *w, sm_error *e)
{
    sm_status st = SM_OK;

    while (st == SM_OK && !w->is_over) {
        sm_arena *scratch = sm_arena_new(w->run->env->budget);
        st = step_back(w, scratch, e);
        sm_arena_free(scratch);
    }
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

static sm_status read_old(walk *w, sm_error *e)
{
    sm_snapshot *at = NULL;
    sm_error ignored = {0};

    if (!w->is_restored) {
        at = sm_snapshot_retain(w->books->snapshot);
    } else if (sm_snapshot_open_head(w->books->store, w->version, w->run->env->budget, &at,
                                     &ignored) != SM_OK) {
        at = NULL; /* then only the commits say what was loaded */
    }
    const sm_status st = smi_flow_books_read_old(w->run, w->version, at, w->books, e);
    sm_snapshot_release(at);
    return st;
}

static sm_status read_found(walk *w, sm_error *e)
{
    smi_flow_books *b = w->books;

    if (w->is_old) {
        return read_old(w, e);
    }
    if (w->number >= 0) {
        SM_TRY(smi_flow_books_read(w->run, w->number, b, e));
    }
    if (w->unseen_at) {
        int64_t rows = -1;
        SM_TRY(smi_flow_snapshot_rows(w->unseen_at, &rows, e));
        if (rows >= 0 && b->chain.n_rows >= 0 && rows != b->chain.n_rows) {
            return fail_unknown(w,
                                "the log was cleaned up, and the table has another number "
                                "of rows than the last load left",
                                e);
        }
    }
    b->is_taken_over = w->is_restored;
    return SM_OK;
}

static sm_status open_books(sm_run *r, bool for_reload, smi_flow_books *b, sm_error *e)
{
    walk w = {.run = r, .books = b, .number = -1};

    SM_TRY(sm_snapshot_open_head(b->store, SM_VERSION_LATEST, r->env->budget, &b->snapshot, e));
    const int64_t newest = sm_snapshot_txn(b->snapshot, SM_STR(SMI_BOOKS_APP));
    if (newest < 0 && !has_old_txns(b->snapshot)) {
        return SM_OK; /* nothing was loaded into it */
    }
    w.version = sm_snapshot_version(b->snapshot);
    sm_status st = SM_OK;
    if (for_reload && newest >= 0) {
        w.number = newest;
    } else {
        st = find_books(&w, e);
        if (for_reload && st == SM_INVALID) { /* an old table: its commits say what was loaded */
            st = SM_OK;
            w.is_old = true;
        }
    }
    if (st == SM_OK) {
        st = read_found(&w, e);
    }
    sm_snapshot_release(w.unseen_at);
    return st;
}

sm_status smi_flow_books_open(sm_run *r, sm_str table, sm_str uri, bool for_reload,
                              smi_flow_books *out, sm_error *e)
{
    sm_status st = SM_OK;
    bool is_there = false;
    smi_flow_books b = {.table = table};

    SM_TRY_GOTO(st, done, sm_store_open(r->env->stores, uri, &b.store, e));
    SM_TRY_GOTO(st, done, sm_delta_exists(b.store, &is_there, e));
    if (is_there) {
        SM_TRY_GOTO(st, done, open_books(r, for_reload, &b, e));
    }
    *out = b;
    b = (smi_flow_books){0};
done:
    smi_flow_books_release(&b);
    return st;
}

void smi_flow_books_release(smi_flow_books *b)
{
    for (int32_t i = 0; b->folders && i < b->n_roots; i++) {
        sm_store_release(b->folders[i].store);
    }
    sm_snapshot_release(b->snapshot);
    sm_store_release(b->store);
    *b = (smi_flow_books){0};
}

/* ---- entering -------------------------------------------------------------------------------- */

static sm_str app_id(const sm_run *r, const smi_flow_books *b, sm_str path)
{
    const int32_t root = b->match.root;
    sm_buf text = {0};

    sm_buf_printf(&text, "smelt:%.*s", SM_STR_ARG(r->p->name));
    if (root > 0) {
        sm_buf_printf(&text, "@%d", root + 1);
    }
    sm_buf_text(&text, SM_STR(":"));
    sm_buf_text(&text, path);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

int64_t smi_flow_books_version(const sm_run *r, const smi_flow_books *b, int64_t i)
{
    SM_ASSERT(i >= 0 && i < b->in.n_found);
    const smi_match_file *f = &b->match.files[i];
    const int64_t in_books =
        f->known >= 0 && f->kind != SMI_MATCH_COPY ? b->known[f->known].version : -1;
    const int64_t in_log =
        b->snapshot ? sm_snapshot_txn(b->snapshot, app_id(r, b, b->in.found[i].path)) : -1;

    return in_books > in_log ? in_books : in_log;
}

void smi_flow_books_leave(smi_flow_books *b, int64_t i)
{
    smi_match_file *f = &b->match.files[i];

    SM_ASSERT(f->known < 0 || b->known[f->known].root == b->match.root);
    if (f->known >= 0) {
        b->match.left[f->known] = SMI_KNOWN_ELSEWHERE;
    }
    *f = (smi_match_file){.kind = SMI_MATCH_OUTSIDE, .known = -1, .of = -1};
}

sm_status smi_flow_books_settle(sm_run *r, const smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e)
{
    SM_ASSERT(b->in.n_found == s->found.n); /* one state, read and match a file */
    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_flow_file *state = &s->states[i];
        smi_match_read *read = &b->reads[i];
        read->uri = s->found.items[i].file.uri;
        read->loaded_us = r->start_us;
        if (b->match.files[i].is_read) {
            SM_ASSERT(read->version > smi_flow_books_version(r, b, i));
            read->content = state->content;
            read->n_lines = state->n_lines;
            read->n_rows = -1;
        }
    }
    return smi_match_copies(&b->in, b->reads, r->arena, &b->match, e);
}

/* The roots after the load. */
static const smi_flow_root *roots_now(const sm_run *r, const smi_flow_books *b, int32_t *n)
{
    const int32_t at = b->match.root;
    smi_flow_root *roots = SM_NEW_ARRAY(r->arena, smi_flow_root, b->n_roots + 1);

    SM_ASSERT(at >= 0 && at <= b->n_roots);
    *n = at == b->n_roots ? b->n_roots + 1 : b->n_roots;
    for (int32_t i = 0; i < b->n_roots; i++) {
        roots[i] = b->roots[i];
    }
    if (at == b->n_roots || b->match.is_root_moved || roots[at].uri.len == 0) {
        roots[at].uri = b->in.root;
    }
    roots[at].pipeline = r->p->name;
    for (int32_t i = 0; b->query.len > 0 && i < *n; i++) {
        if (b->in.is_reload || sm_str_eq(roots[i].pipeline, r->p->name)) {
            roots[i].query = b->query;
            roots[i].columns = b->columns;
        }
    }
    for (int32_t i = 0; b->seen.len > 0 && i < *n; i++) {
        if (sm_str_eq(roots[i].pipeline, r->p->name)) {
            roots[i].seen = b->seen;
        }
    }
    return roots;
}

/* The transactions of files that are read, and of files that have moved. */
static sm_delta_txn *txns_of(const sm_run *r, const smi_flow_books *b, int64_t *n)
{
    sm_delta_txn *txns = SM_NEW_ARRAY(r->arena, sm_delta_txn, b->in.n_found + 1);

    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        if (!f->is_read && f->kind != SMI_MATCH_MOVED) {
            continue;
        }
        const sm_str app = app_id(r, b, b->in.found[i].path);
        const int64_t version = f->is_read ? b->reads[i].version : b->known[f->known].version;
        if (!b->snapshot || sm_snapshot_txn(b->snapshot, app) < version) {
            txns[(*n)++] =
                (sm_delta_txn){.app_id = app, .version = version, .updated_ms = r->start_us / 1000};
        }
    }
    return txns;
}

/* The identities of the files that the commit loads. */
static void put_files(const smi_flow_books *b, sm_json_writer *w)
{
    char hex[33];

    sm_json_set_array(w, "files");
    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_found *found = &b->in.found[i];
        const smi_match_read *read = &b->reads[i];
        if (!b->match.files[i].is_read) {
            continue;
        }
        sm_hash128_hex(read->content.hash, hex);
        sm_json_begin_object(w);
        sm_json_set_text(w, "name", found->path);
        sm_json_set_i64(w, "version", read->version);
        sm_json_set_u64(w, "size", found->mark.size_bytes);
        sm_json_set_i64(w, "modified_us", found->mark.modified_us);
        sm_json_set_text(w, "hash", sm_str_of(hex));
        sm_json_set_i64(w, "lines", read->n_lines);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

static sm_str info_of(const sm_run *r, const smi_flow_books *b, int64_t number, bool keeps_rows)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_object(&w, "smelt");
    sm_json_set_text(&w, "pipeline", r->p->name);
    sm_json_set_text(&w, "run", r->id);
    sm_json_set_text(&w, "books", smi_flow_books_name(number, r->arena));
    if (keeps_rows) {
        sm_json_set_bool(&w, "same_rows", true);
    }
    put_files(b, &w);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* Takes over the contents that were read of other roots' files. Their loads are counted by the runs
 * of their own roots. A file that was not opened (WHERE excludes its date) keeps its entry. */
static void enter_others(const sm_run *r, const smi_flow_books *b, smi_flow_known *known,
                         int64_t n_known)
{
    sm_map *by_key = b->n_others > 0 ? sm_map_new(r->arena) : NULL;

    for (int64_t i = 0; by_key && i < n_known; i++) {
        *sm_map_at(by_key, smi_flow_books_key(&known[i], r->arena)) = &known[i];
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        const smi_flow_other *o = &b->others[i];
        SM_ASSERT(b->known[o->known].root != b->match.root && o->state->at < 0);
        smi_flow_known *k = sm_map_get(by_key, smi_flow_books_key(&b->known[o->known], r->arena));
        SM_ASSERT(k);
        if (!o->state->is_read) {
            continue;
        }
        k->uri = o->found.file.uri;
        k->loaded_us = r->start_us;
        k->mark = smi_flow_mark_of(&o->found.file);
        k->has_identity = true;
        k->hash = o->state->content.hash;
        k->content_bytes = o->state->content.bytes;
        k->head = o->state->content.head;
        k->n_lines = o->state->n_lines;
    }
}

void smi_flow_books_enter(sm_run *r, const smi_flow_books *b, sm_candidate *c)
{
    smi_flow_known *known = NULL;
    smi_flow_books_page page = {.n_rows = sm_candidate_table_rows(c)};
    sm_note note = {0};
    int64_t number = 0;

    smi_match_next(&b->in, &b->match, b->reads, r->arena, &known, &page.n_known);
    enter_others(r, b, known, page.n_known);
    page.known = known;
    page.roots = roots_now(r, b, &page.n_roots);
    sm_delta_txn *txns = txns_of(r, b, &note.n_txns);
    SM_ASSERT(note.n_txns <= b->in.n_found); /* there is room for one more */
    smi_flow_books_write(r, b, &page, &number, &note.key, &note.text);
    txns[note.n_txns++] = (sm_delta_txn){
        .app_id = SM_STR(SMI_BOOKS_APP), .version = number, .updated_ms = r->start_us / 1000};
    note.txns = txns;
    note.info_json = info_of(r, b, number, sm_candidate_keeps_rows(c));
    sm_candidate_note(c, &note);
}

void smi_flow_books_carry(sm_run *r, const smi_flow_books *b, sm_str member, sm_candidate *c)
{
    const smi_flow_books_page page = {.roots = b->roots,
                                      .n_roots = b->n_roots,
                                      .known = b->known,
                                      .n_known = b->n_known,
                                      .n_rows = sm_candidate_table_rows(c)};
    sm_delta_txn txn = {.app_id = SM_STR(SMI_BOOKS_APP), .updated_ms = r->start_us / 1000};
    sm_note note = {0};
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_object(&w, "smelt");
    sm_json_set_text(&w, "pipeline", r->p->name);
    sm_json_set_text(&w, "run", r->id);
    if (b->n_roots > 0) {
        smi_flow_books_write(r, b, &page, &txn.version, &note.key, &note.text);
        sm_json_set_text(&w, "books", smi_flow_books_name(txn.version, r->arena));
        note.txns = &txn;
        note.n_txns = 1;
    }
    sm_json_put_members(&w, member);
    sm_json_end_object(&w);
    note.info_json = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_candidate_note(c, &note);
    sm_buf_release(&text);
}
