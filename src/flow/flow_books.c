/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books.c: what a table knows of the files that it was loaded from, so that each is
 * loaded exactly once. Called by loads and quarantines (flow_load.c, flow_quarantine.c).
 *
 * Books       are files beside the data (flow_books_file.c); a commit names those that belong to
 *             it, so that rows and the memory of them come by the same commit. flow_match.c judges
 *             what is in the folder by them.
 * Which       The newest books hold, unless somebody did something to the rows since. So the log is
 *             read from the newest version back to the commit of the books:
 *               RESTORE      the books of the version that was restored hold, and are looked for
 *                            from there; they are written again by the next run, since the
 *                            transaction says otherwise
 *               overwrite    by another writer: nobody knows what of the files is in the table; the
 *                            load stops
 *               the others   change rows by rows (DELETE, UPDATE, MERGE, OPTIMIZE, an append): that
 *                            is the user's affair, and the files stay loaded
 * Cleaned up  Where the log no longer reaches that commit, the transaction in the checkpoint names
 *             the books. What happened between is not seen: the rows of the oldest version that is
 *             left are counted, and the load stops where there are not as many as the books say.
 * Loaded      A file's transaction is `smelt:<pipeline>:<file>`; the files of a further root have
 *             `smelt:<pipeline>@<number>:<file>`. Its version counts the loads.
 * Touched     Marks that changed while the content did not are written with the next load; at once
 *             only where seeing through them cost more than a commit does. */
#include <inttypes.h>

#include "base/text.h"
#include "flow/flow_int.h"

/* So many bytes are hashed in less time than a commit takes on a local disk. */
#define CHEAP_BYTES ((uint64_t)16 << 20)

/* ---- small things ---------------------------------------------------------------------------- */

int64_t smi_flow_snapshot_rows(const sm_snapshot *s)
{
    int64_t n = 0, sum = 0;

    if (!s) {
        return -1;
    }
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        if (files[i].n_rows < 0 || files[i].dv) {
            return -1;
        }
        sum += files[i].n_rows;
    }
    return sum;
}

const sm_json *smi_flow_smelt_member(sm_str commit_info, sm_arena *a)
{
    const sm_json *info = NULL;
    sm_error ignored = {0};

    if (commit_info.len == 0 || sm_json_parse(commit_info, a, &info, &ignored) != SM_OK) {
        return NULL; /* another writer's affair: it tells nothing of our files */
    }
    return sm_json_get(info, "smelt");
}

sm_status smi_flow_books_last(smi_flow_run *r, sm_store *s, const char *key, sm_str *out,
                              sm_error *e)
{
    sm_arena *scratch = sm_arena_new(r->env->budget);
    sm_delta_commit_info info, *newest = NULL;
    int64_t n = 0, txn = 0, v = -1;
    const sm_json *member = NULL;
    bool is_same = true;

    *out = (sm_str){0};
    sm_status st = sm_delta_history(s, 1, scratch, &newest, &n, e);
    v = st == SM_OK && n > 0 ? newest[0].version : -1;
    for (; st == SM_OK && is_same && v >= 0; v--) {
        st = sm_delta_info_read(s, v, SM_STR(""), scratch, &info, &txn, e);
        member = st == SM_OK ? smi_flow_smelt_member(info.json, scratch) : NULL;
        is_same = st == SM_OK && /* other files or books, the same rows */
                  (sm_str_is(info.operation, "OPTIMIZE") || sm_json_get(member, "same_rows"));
    }
    if (st == SM_OK && !is_same) {
        *out = sm_arena_str(r->arena, sm_json_text(sm_json_get(member, key)));
    }
    sm_arena_free(scratch);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* ---- which books ----------------------------------------------------------------------------- */

/* A walk back over the log. */
typedef struct walk {
    smi_flow_run *run;
    smi_flow_books *books;
    int64_t version;  /* that is looked at */
    bool has_seen;    /* the commit after it, in one go */
    bool is_restored; /* has it followed a RESTORE? */
    bool is_over;
    int64_t number;         /* the books found; −1: none */
    bool is_old;            /* those of an old table, from `version` on */
    sm_snapshot *unseen_at; /* the log ends here, and the books lie below; NULL: all was seen */
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

static sm_status fail_overwritten(const walk *w, const sm_delta_commit_info *info, sm_error *e)
{
    const sm_str table = w->books->table;
    const sm_status st = sm_fail(
        e, SM_INVALID,
        "version %" PRId64 " of another writer (%.*s) has overwritten rows of %.*s: which "
        "of its files are still in it is not known",
        info->version, SM_STR_ARG(info->engine_info.len ? info->engine_info : info->operation),
        SM_STR_ARG(table));
    sm_error_todo(e,
                  "Restore the table to version %" PRId64 ", or load all again: --full-refresh "
                  "%.*s.",
                  info->version - 1, SM_STR_ARG(table));
    return st;
}

static sm_status fail_unknown(const walk *w, const char *why, sm_error *e)
{
    const sm_str table = w->books->table;
    const sm_status st =
        sm_fail(e, SM_INVALID, "%s: which files are in %.*s is not known", why, SM_STR_ARG(table));
    sm_error_todo(e, "Load all again: --full-refresh %.*s.", SM_STR_ARG(table));
    return st;
}

/* The log has no commit of w->version: what the oldest version that is left says. */
static sm_status end_of_log(walk *w, sm_error *e)
{
    const int64_t at = w->has_seen ? w->version + 1 : w->version;
    sm_error ignored = {0};

    w->is_over = true;
    if (w->version < 0) { /* all was seen; a log that somebody wrote anew may not tell of books */
        w->number =
            w->is_restored ? -1 : sm_snapshot_txn(w->books->snapshot, SM_STR(SMI_BOOKS_APP));
        w->is_old = w->number < 0 && !w->is_restored;
        return SM_OK;
    }
    if (sm_snapshot_open(w->books->store, at, w->run->env->budget, &w->unseen_at, &ignored) !=
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

/* One commit back. */
static sm_status step(walk *w, sm_arena *scratch, sm_error *e)
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
        st = step(w, scratch, e);
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
    } else if (sm_snapshot_open(w->books->store, w->version, w->run->env->budget, &at, &ignored) !=
               SM_OK) {
        at = NULL; /* then the commits alone tell */
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
        const int64_t rows = smi_flow_snapshot_rows(w->unseen_at);
        if (rows >= 0 && b->chain.n_rows >= 0 && rows != b->chain.n_rows) {
            return fail_unknown(w,
                                "the log is cleaned up, and the rows are not as many as the "
                                "last load left",
                                e);
        }
    }
    b->is_taken_over = w->is_restored;
    return SM_OK;
}

static sm_status open_books(smi_flow_run *r, bool for_reload, smi_flow_books *b, sm_error *e)
{
    walk w = {.run = r, .books = b, .number = -1};

    SM_TRY(sm_snapshot_open(b->store, SM_VERSION_LATEST, r->env->budget, &b->snapshot, e));
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
        if (for_reload && st == SM_INVALID) { /* an old table: what its commits tell */
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

sm_status smi_flow_books_open(smi_flow_run *r, sm_str table, sm_str uri, bool for_reload,
                              smi_flow_books *out, sm_error *e)
{
    sm_status st = SM_OK;
    bool is_there = false;
    smi_flow_books b = {.table = table};

    SM_TRY_GOTO(st, done, sm_store_open(uri, &b.store, e));
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
    for (int32_t i = 0; b->stores && i < b->n_roots; i++) {
        sm_store_release(b->stores[i]);
    }
    sm_snapshot_release(b->snapshot);
    sm_store_release(b->store);
    *b = (smi_flow_books){0};
}

static smi_flow_mark mark_of(const sm_datafile *f)
{
    return (smi_flow_mark){.size_bytes = f->size_bytes,
                           .modified_us = f->modified_us,
                           .changed_us = f->changed_us,
                           .inode = f->inode,
                           .etag = f->etag};
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Whom the judgement asks. */
typedef struct asked {
    smi_flow_run *run;
    smi_flow_source_state *source;
    smi_flow_books *books;
} asked;

static sm_status ask_content(void *ctx, int64_t found, sm_content *out, bool *is_whole, sm_error *e)
{
    const asked *k = ctx;
    smi_flow_file *state = &k->source->states[found];

    if (!state->is_hashed) { /* another table may have asked the same */
        SM_TRY(sm_file_content(&k->source->found.items[found].file, k->run->env->budget,
                               &state->content, &state->is_whole, e));
        state->is_hashed = true;
    }
    *out = state->content;
    *is_whole = state->is_whole;
    return SM_OK;
}

static sm_status ask_head(void *ctx, int64_t found, uint8_t *out, size_t *n, sm_error *e)
{
    const asked *k = ctx;
    return sm_file_head(&k->source->found.items[found].file, k->run->env->budget, out, n, e);
}

static sm_status ask_prefixes(void *ctx, int64_t found, const int64_t *lens, int64_t n,
                              sm_hash128 *out, sm_error *e)
{
    const asked *k = ctx;
    return sm_file_prefixes(&k->source->found.items[found].file, k->run->env->budget, lens, n, out,
                            e);
}

/* An empty folder is what a mount leaves behind. */
static sm_status ask_lists(void *ctx, int32_t root, bool *out, sm_error *e)
{
    const asked *k = ctx;
    sm_store *store = NULL;
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_arena *a = sm_arena_new(k->run->env->budget);
    sm_error ignored = {0};

    sm_status st = sm_store_open(k->books->roots[root].uri, &store, &ignored);
    if (st == SM_OK) {
        st = sm_store_list(store, SM_STR(""), true, a, &entries, &n, &ignored);
    }
    *out = st == SM_OK && n > 0;
    sm_store_release(store);
    sm_arena_free(a);
    return SM_OK; /* whatever the reason, it does not */
}

static const smi_match_found *found_of(const smi_flow_source_state *s, sm_arena *a)
{
    smi_match_found *out = SM_NEW_ARRAY(a, smi_match_found, s->found.n);

    for (int64_t i = 0; i < s->found.n; i++) {
        const sm_found_file *f = &s->found.items[i];
        out[i] = (smi_match_found){
            .path = f->name, .mark = mark_of(&f->file), .has_date = f->has_date, .date = f->date};
    }
    return out;
}

static void set_in(smi_flow_run *r, smi_flow_source_state *s, const smi_flow_wants *wants,
                   smi_flow_books *b)
{
    asked *k = SM_NEW(r->arena, asked);

    *k = (asked){.run = r, .source = s, .books = b};
    b->in = (smi_match_in){
        .root = sm_store_place(s->found.store, r->arena),
        .roots = b->roots,
        .n_roots = b->n_roots,
        .known = b->known,
        .n_known = b->n_known,
        .found = found_of(s, r->arena),
        .n_found = s->found.n,
        .has_window = s->def->window >= 0,
        .first_day = s->first_day,
        .last_day = s->last_day,
        .takes_date = wants->takes_date,
        .takes_name = wants->takes_name,
        .asks = {.ctx = k,
                 .content = ask_content,
                 .head = ask_head,
                 .prefixes = ask_prefixes,
                 .lists = ask_lists},
    };
    b->reads = SM_NEW_ARRAY(r->arena, smi_match_read, s->found.n);
}

static void warn_of_name(smi_flow_run *r, const smi_flow_books *b)
{
    const smi_flow_root *root = b->match.root < b->n_roots ? &b->roots[b->match.root] : NULL;

    if (root && root->pipeline.len > 0 && !sm_str_eq(root->pipeline, r->p->name)) {
        smi_flow_report_warn(r, "%.*s goes on from the books of pipeline %.*s: the same files",
                             SM_STR_ARG(b->table), SM_STR_ARG(root->pipeline));
    }
}

/* ---- files of other roots -------------------------------------------------------------------- */

static sm_status find_other(smi_flow_run *r, smi_flow_source_state *s, smi_flow_books *b, int64_t i,
                            sm_error *e)
{
    const smi_flow_known *k = &b->known[i];
    sm_store **store = &b->stores[k->root];
    smi_flow_other *other = &b->others[b->n_others];
    sm_entry entry;

    if (!*store) {
        SM_TRY(sm_store_open(b->roots[k->root].uri, store, e));
    }
    SM_TRY(sm_store_stat(*store, k->path, r->arena, &entry, e));
    *other = (smi_flow_other){
        .known = i,
        .found = {.name = k->path,
                  .file = {.uri = sm_store_uri_of(*store, k->path, r->arena),
                           .store = *store,
                           .key = k->path,
                           .size_bytes = entry.size_bytes,
                           .modified_us = entry.modified_us,
                           .n_rows = -1,
                           .changed_us = entry.changed_us,
                           .inode = entry.inode,
                           .etag = entry.etag,
                           .content_out = &other->state.content},
                  .has_date = k->has_date,
                  .date = k->date},
        .state = {.at = -1, .n_lines = -1},
    };
    *sm_map_at(s->by_uri, other->found.file.uri) = &other->state;
    b->n_others++;
    return SM_OK;
}

/* Rows do not tell of their root: all of a Date leave. */
static sm_status find_others(smi_flow_run *r, smi_flow_source_state *s, smi_flow_books *b,
                             sm_error *e)
{
    int64_t n = 0;

    for (int64_t i = 0; i < b->n_known; i++) {
        n += b->match.left[i] == SMI_KNOWN_AGAIN;
    }
    b->others = SM_NEW_ARRAY(r->arena, smi_flow_other, n);
    b->stores = SM_NEW_ARRAY(r->arena, sm_store *, b->n_roots);
    for (int64_t i = 0; i < b->n_known && n > 0; i++) {
        if (b->match.left[i] != SMI_KNOWN_AGAIN) {
            continue;
        }
        const sm_status st = find_other(r, s, b, i, e);
        if (st != SM_OK) {
            sm_error_todo(e, "Its Date is loaded anew into %.*s, and its rows would be lost.",
                          SM_STR_ARG(b->table));
            return st;
        }
    }
    return SM_OK;
}

/* It could not be written into a table's log. */
static sm_status check_name(const sm_found_file *f, sm_error *e)
{
    if (sm_utf8_check(f->name.data, f->name.len) == f->name.len) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_INVALID, "a file's name is not UTF-8");
    sm_error_place(e, f->file.uri.data, 0, -1);
    return st;
}

sm_status smi_flow_books_judge(smi_flow_run *r, smi_flow_source_state *s,
                               const smi_flow_wants *wants, smi_flow_books *b, sm_error *e)
{
    set_in(r, s, wants, b);
    SM_TRY(smi_match(&b->in, r->arena, &b->match, e));
    for (int64_t i = 0; i < s->found.n; i++) {
        const int64_t known = b->match.files[i].known;
        if (b->match.files[i].kind != SMI_MATCH_OUTSIDE) {
            SM_TRY(check_name(&s->found.items[i], e));
        }
        if (known >= 0 && !b->match.files[i].is_read) {
            s->states[i].n_lines = b->known[known].n_lines;
        }
    }
    warn_of_name(r, b);
    return wants->has_dates ? find_others(r, s, b, e) : SM_OK;
}

sm_str smi_flow_books_query(const smi_flow_books *b)
{
    return b->match.root < b->n_roots ? b->roots[b->match.root].query : SM_STR("");
}

bool smi_flow_books_has_news(const smi_flow_books *b)
{
    uint64_t bytes = 0;

    if (b->is_taken_over || b->match.has_news) {
        return true;
    }
    for (int64_t i = 0; b->match.has_marks && i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        bytes += f->kind == SMI_MATCH_SAME && f->has_content ? b->in.found[i].mark.size_bytes : 0;
    }
    return bytes > CHEAP_BYTES;
}

static int64_t find_path(const smi_match_in *in, sm_str path)
{
    int64_t low = 0, high = in->n_found;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = sm_str_cmp(in->found[middle].path, path);
        if (order == 0) {
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return -1;
}

/* Is the entry one that has rows? */
static bool has_rows(const smi_flow_known *k)
{
    return !k->is_dropped && !k->is_passed;
}

bool smi_flow_books_loses(const smi_flow_books *b, int64_t known)
{
    const smi_flow_known *k = &b->known[known];
    return b->match.left[known] == SMI_KNOWN_DROPPED && has_rows(k) &&
           (k->is_displaced || find_path(&b->in, k->path) < 0);
}

/* ---- loading all again ----------------------------------------------------------------------- */

static sm_status fail_reload(const smi_flow_books *b, const smi_flow_known *k, const char *why,
                             sm_error *e)
{
    const sm_status st = sm_fail(e, SM_INVALID, "%.*s cannot be loaded again: \"%.*s\" %s",
                                 SM_STR_ARG(b->table), SM_STR_ARG(k->path), why);
    sm_error_place(e, k->uri.data, 0, -1);
    return st;
}

static sm_status reload_known(smi_flow_books *b, int64_t i, sm_error *e)
{
    const smi_flow_known *k = &b->known[i];
    const int64_t at = find_path(&b->in, k->path);

    b->match.left[i] = SMI_KNOWN_HERE;
    if (!has_rows(k)) {
        b->match.left[i] = SMI_KNOWN_DROPPED;
        return SM_OK;
    }
    if (k->root != b->match.root) {
        return fail_reload(b, k, "came from another folder", e);
    }
    if (at < 0 || k->is_displaced) {
        return fail_reload(b, k, "is no longer in its folder, and its rows would be lost", e);
    }
    b->match.files[at] = (smi_match_file){
        .kind = SMI_MATCH_CHANGED, .known = i, .of = -1, .is_read = true, .is_whole = true};
    return SM_OK;
}

sm_status smi_flow_books_reload(smi_flow_run *r, smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e)
{
    const smi_flow_wants wants = {.takes_date = true};

    set_in(r, s, &wants, b);
    const smi_match_in *in = &b->in;
    b->match = (smi_match_out){
        .root = b->n_roots,
        .files = SM_NEW_ARRAY(r->arena, smi_match_file, in->n_found),
        .left = SM_NEW_ARRAY(r->arena, smi_match_left, b->n_known),
        .has_news = true,
    };
    for (int32_t i = 0; i < b->n_roots; i++) {
        if (sm_str_eq(b->roots[i].uri, in->root)) {
            b->match.root = i;
        }
    }
    if (b->match.root == b->n_roots && b->n_roots == 1) { /* mounted elsewhere */
        b->match.root = 0;
        b->match.is_root_moved = true;
    }
    for (int64_t i = 0; i < in->n_found; i++) {
        const bool is_in = !in->has_window || (in->found[i].date >= in->first_day &&
                                               in->found[i].date <= in->last_day);
        b->match.files[i] = (smi_match_file){.kind = is_in ? SMI_MATCH_NEW : SMI_MATCH_OUTSIDE,
                                             .known = -1,
                                             .of = -1,
                                             .is_read = is_in,
                                             .is_whole = true};
    }
    for (int64_t i = 0; i < b->n_known; i++) {
        SM_TRY(reload_known(b, i, e));
    }
    return SM_OK;
}

/* ---- entering -------------------------------------------------------------------------------- */

static sm_str app_id(const smi_flow_run *r, const smi_flow_books *b, sm_str path)
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

int64_t smi_flow_books_version(const smi_flow_run *r, const smi_flow_books *b, int64_t i)
{
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

    if (f->known >= 0) {
        b->match.left[f->known] = SMI_KNOWN_ELSEWHERE;
    }
    *f = (smi_match_file){.kind = SMI_MATCH_OUTSIDE, .known = -1, .of = -1};
}

sm_status smi_flow_books_settle(smi_flow_run *r, const smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e)
{
    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_flow_file *state = &s->states[i];
        smi_match_read *read = &b->reads[i];
        read->uri = s->found.items[i].file.uri;
        if (b->match.files[i].is_read) {
            read->content = state->content;
            read->n_lines = state->n_lines;
            read->n_rows = -1;
        }
    }
    return smi_match_copies(&b->in, b->reads, r->arena, &b->match, e);
}

/* The roots after the load. */
static const smi_flow_root *roots_now(const smi_flow_run *r, const smi_flow_books *b, int32_t *n)
{
    const int32_t at = b->match.root;
    smi_flow_root *roots = SM_NEW_ARRAY(r->arena, smi_flow_root, b->n_roots + 1);

    *n = at == b->n_roots ? b->n_roots + 1 : b->n_roots;
    for (int32_t i = 0; i < b->n_roots; i++) {
        roots[i] = b->roots[i];
    }
    if (at == b->n_roots || b->match.is_root_moved || roots[at].uri.len == 0) {
        roots[at].uri = b->in.root;
    }
    roots[at].pipeline = r->p->name;
    if (b->query.len > 0) {
        roots[at].query = b->query;
    }
    return roots;
}

/* Of files that are read, and of those that go on under another path. */
static sm_delta_txn *txns_of(const smi_flow_run *r, const smi_flow_books *b, int64_t *n)
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

/* The identities of the files that the commit brings in. */
static void put_files(const smi_flow_books *b, sm_buf *out)
{
    bool is_first = true;
    char hex[33];

    sm_buf_text(out, SM_STR(",\"files\":["));
    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_found *found = &b->in.found[i];
        const smi_match_read *read = &b->reads[i];
        if (!b->match.files[i].is_read) {
            continue;
        }
        sm_hash128_hex(read->content.hash, hex);
        sm_buf_text(out, is_first ? SM_STR("{\"name\":") : SM_STR(",{\"name\":"));
        sm_buf_json_str(out, found->path);
        sm_buf_printf(out,
                      ",\"version\":%" PRId64 ",\"size\":%" PRIu64 ",\"modified_us\":%" PRId64
                      ",\"hash\":\"%s\",\"lines\":%" PRId64 "}",
                      read->version, found->mark.size_bytes, found->mark.modified_us, hex,
                      read->n_lines);
        is_first = false;
    }
    sm_buf_text(out, SM_STR("]"));
}

static sm_str info_of(const smi_flow_run *r, const smi_flow_books *b, int64_t number,
                      bool keeps_rows)
{
    sm_buf text = {0};

    sm_buf_text(&text, SM_STR("\"smelt\":{\"pipeline\":"));
    sm_buf_json_str(&text, r->p->name);
    sm_buf_text(&text, SM_STR(",\"run\":"));
    sm_buf_json_str(&text, r->id);
    sm_buf_text(&text, SM_STR(",\"books\":"));
    sm_buf_json_str(&text, smi_flow_books_name(number, r->arena));
    if (keeps_rows) {
        sm_buf_text(&text, SM_STR(",\"same_rows\":true"));
    }
    put_files(b, &text);
    sm_buf_text(&text, SM_STR("}"));
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* The content that was read of other roots' files; loads are counted in their own root's runs. */
static void enter_others(const smi_flow_run *r, const smi_flow_books *b, smi_flow_known *known,
                         int64_t n_known)
{
    sm_map *by_key = b->n_others > 0 ? sm_map_new(r->arena) : NULL;

    for (int64_t i = 0; by_key && i < n_known; i++) {
        *sm_map_at(by_key, smi_flow_books_key(&known[i], r->arena)) = &known[i];
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        const smi_flow_other *o = &b->others[i];
        smi_flow_known *k = sm_map_get(by_key, smi_flow_books_key(&b->known[o->known], r->arena));
        SM_ASSERT(k);
        k->mark = mark_of(&o->found.file);
        k->has_identity = true;
        k->hash = o->state.content.hash;
        k->content_bytes = o->state.content.bytes;
        k->head = o->state.content.head;
        k->n_lines = o->state.n_lines;
    }
}

void smi_flow_books_enter(smi_flow_run *r, const smi_flow_books *b, sm_candidate *c)
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
    smi_flow_books_write(r, b, &page, &number, &note.key, &note.text);
    txns[note.n_txns++] = (sm_delta_txn){
        .app_id = SM_STR(SMI_BOOKS_APP), .version = number, .updated_ms = r->start_us / 1000};
    note.txns = txns;
    note.info_json = info_of(r, b, number, sm_candidate_keeps_rows(c));
    sm_candidate_note(c, &note);
}
