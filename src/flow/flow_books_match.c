/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_match.c: compares a source's files with a table's books. Called by loads and
 * quarantines, after the books are opened and before files are read.
 *
 * Decision  flow_match.c decides what becomes of each file. This file gives it what it asks for:
 *           contents, and answers about other roots.
 * Others    When a date is replaced, all its rows leave the table, because rows do not say which
 *           root they came from. So files of other roots are read again from there; if one is
 *           missing, the load stops.
 * Reload    reads all files that the books have, of all roots; the table is overwritten.
 * Query     All roots of a pipeline are loaded by one query (flow_query.c).
 * Touched   If a file's mark changed but its content did not, the new mark is written with the next
 *           load. It is written at once only if comparing the contents cost more than a commit
 *           does. */
#include <stdlib.h>

#include "base/text.h"
#include "flow/flow_int.h"

/* So many bytes are hashed in less time than a commit takes on a local disk. */
#define CHEAP_BYTES ((uint64_t)16 << 20)

smi_flow_mark smi_flow_mark_of(const sm_datafile *f)
{
    return (smi_flow_mark){.size_bytes = f->size_bytes,
                           .modified_us = f->modified_us,
                           .changed_us = f->changed_us,
                           .inode = f->inode,
                           .etag = f->etag};
}

/* ---- what a matching asks -------------------------------------------------------------------- */

/* The ctx of smi_match_asks. */
typedef struct asked {
    sm_run *run;
    smi_flow_source_state *source;
    smi_flow_books *books;
} asked;

static sm_status ask_content(void *ctx, int64_t found, sm_content *out, bool *is_whole, sm_error *e)
{
    const asked *k = ctx;
    smi_flow_file *state = &k->source->states[found];

    if (!state->is_hashed) { /* the books of another table may have asked before */
        SM_TRY(sm_file_content(&k->source->found.items[found].file, k->run->env, &state->content,
                               &state->is_whole, e));
        state->is_hashed = true;
    }
    *out = state->content;
    *is_whole = state->is_whole;
    return SM_OK;
}

static sm_status ask_head(void *ctx, int64_t found, uint8_t *out, size_t *n, sm_error *e)
{
    const asked *k = ctx;
    return sm_file_head(&k->source->found.items[found].file, k->run->env, out, n, e);
}

static sm_status ask_prefixes(void *ctx, int64_t found, const int64_t *lens, int64_t n,
                              sm_hash128 *out, sm_error *e)
{
    const asked *k = ctx;
    return sm_file_prefixes(&k->source->found.items[found].file, k->run->env, lens, n, out, e);
}

/* Opens a known root, with the connection of the source's folder. */
static sm_status open_root(sm_run *r, const smi_flow_source_state *s, sm_str uri, sm_store **out,
                           sm_error *e)
{
    SM_TRY(smi_flow_connect_place(r, s->def->var, uri, e));
    return sm_store_open(r->env->stores, uri, out, e);
}

static bool ask_is_here(void *ctx, int32_t root)
{
    const smi_flow_books *b = ((const asked *)ctx)->books;
    return sm_place_is_same(b->roots[root].uri, b->in.root);
}

/* A root with no file cannot be listed: an empty folder may be one whose disk is not mounted. */
static sm_status ask_lists(void *ctx, int32_t root, bool *out, sm_error *e)
{
    const asked *k = ctx;
    sm_store *store = NULL;
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_arena *a = sm_arena_new(k->run->env->budget);
    sm_error ignored = {0};

    sm_status st = open_root(k->run, k->source, k->books->roots[root].uri, &store, &ignored);
    if (st == SM_OK) {
        st = sm_store_list(store, SM_STR(""), true, a, &entries, &n, &ignored);
    }
    *out = st == SM_OK && n > 0;
    sm_store_release(store);
    sm_arena_free(a);
    return SM_OK; /* a root that cannot be opened cannot be listed, whatever the reason */
}

static int by_known(const void *key, const void *other)
{
    const int64_t x = *(const int64_t *)key, y = ((const smi_flow_other *)other)->known;
    return (x > y) - (x < y);
}

/* Has the file the known content, by its mark or else by its content? SM_NOT_FOUND: it is gone. */
static sm_status keeps_now(const asked *k, const smi_flow_known *known, sm_store *store, bool *out,
                           sm_error *e)
{
    sm_entry entry;
    sm_content content;
    bool is_whole = false;
    sm_arena *a = k->run->arena;

    SM_TRY(sm_store_stat(store, known->path, a, &entry, e));
    const sm_datafile file = {.uri = sm_store_uri_of(store, known->path, a),
                              .store = store,
                              .key = known->path,
                              .size_bytes = entry.size_bytes,
                              .modified_us = entry.modified_us,
                              .changed_us = entry.changed_us,
                              .inode = entry.inode,
                              .etag = entry.etag};
    const smi_flow_mark mark = smi_flow_mark_of(&file);
    if (smi_match_has_mark(known, &mark)) {
        *out = true;
        return SM_OK;
    }
    SM_TRY(sm_file_content(&file, k->run->env, &content, &is_whole, e));
    *out = is_whole && smi_match_is_content(known, &content);
    return SM_OK;
}

/* If the load has read the file, what it read counts. A quarantine keeps rows of other roots, but
 * must find the same copies as the load. find_others reports files that are not there. */
static sm_status ask_keeps(void *ctx, int64_t known, bool *out, sm_error *e)
{
    const asked *k = ctx;
    const smi_flow_books *b = k->books;
    const smi_flow_known *of = &b->known[known];
    sm_store *store = NULL;
    sm_error why = {0};

    const smi_flow_other *other = b->n_others > 0 ? bsearch(&known, b->others, (size_t)b->n_others,
                                                            sizeof(*b->others), by_known)
                                                  : NULL;
    if (other && other->state->is_read) {
        *out = smi_match_is_content(of, &other->state->content);
        return SM_OK;
    }
    *out = false;
    if (of->is_displaced) {
        return SM_OK;
    }
    sm_status st = open_root(k->run, k->source, b->roots[of->root].uri, &store, &why);
    if (st == SM_OK) {
        st = keeps_now(k, of, store, out, &why);
    }
    sm_store_release(store);
    if (st != SM_OK && st != SM_NOT_FOUND) {
        *e = why;
        return st;
    }
    return SM_OK;
}

static const smi_match_found *found_of(const smi_flow_source_state *s, sm_arena *a)
{
    smi_match_found *out = SM_NEW_ARRAY(a, smi_match_found, s->found.n);

    for (int64_t i = 0; i < s->found.n; i++) {
        const sm_found_file *f = &s->found.items[i];
        out[i] = (smi_match_found){.path = f->name,
                                   .mark = smi_flow_mark_of(&f->file),
                                   .has_date = f->has_date,
                                   .date = f->date};
    }
    return out;
}

static smi_copies copies_of(const smi_flow_source *s)
{
    return s->copies == SM_POLICY_SKIP   ? SMI_COPIES_SKIP
           : s->copies == SM_POLICY_FAIL ? SMI_COPIES_FAIL
                                         : SMI_COPIES_KEEP;
}

static smi_gone gone_of(const smi_flow_source *s)
{
    return s->gone == SM_POLICY_REMOVE ? SMI_GONE_REMOVE
           : s->gone == SM_POLICY_FAIL ? SMI_GONE_FAIL
                                       : SMI_GONE_KEEP;
}

static void set_in(sm_run *r, smi_flow_source_state *s, const smi_flow_wants *wants,
                   smi_flow_books *b)
{
    asked *k = SM_NEW(r->arena, asked);

    SM_ASSERT(!b->reads && !b->others); /* once after opening */
    SM_ASSERT(!(r->opts->same_root && r->opts->other_root));
    *k = (asked){.run = r, .source = s, .books = b};
    b->in = (smi_match_in){
        .root = sm_store_place(s->found.store, r->arena),
        .roots = b->roots,
        .n_roots = b->n_roots,
        .known = b->known,
        .n_known = b->n_known,
        .found = found_of(s, r->arena),
        .n_found = s->found.n,
        .has_period = s->def->period >= 0,
        .first_day = s->first_day,
        .last_day = s->last_day,
        .takes_date = wants->takes_date,
        .takes_name = wants->takes_name,
        .is_reload = wants->is_reload,
        .copies = copies_of(s->def),
        .gone = gone_of(s->def),
        .choice = r->opts->same_root    ? SMI_ROOT_SAME
                  : r->opts->other_root ? SMI_ROOT_OTHER
                                        : SMI_ROOT_ASK,
        .asks = {.ctx = k,
                 .content = ask_content,
                 .head = ask_head,
                 .prefixes = ask_prefixes,
                 .is_here = ask_is_here,
                 .lists = ask_lists,
                 .keeps = ask_keeps},
    };
    b->reads = SM_NEW_ARRAY(r->arena, smi_match_read, s->found.n);
}

static void warn_of_name(sm_run *r, const smi_flow_books *b)
{
    const smi_flow_root *root = b->match.root < b->n_roots ? &b->roots[b->match.root] : NULL;

    if (root && root->pipeline.len > 0 && !sm_str_eq(root->pipeline, r->p->name)) {
        smi_flow_report_warn(
            r, "%.*s continues the books of pipeline %.*s, which loaded the same files",
            SM_STR_ARG(b->table), SM_STR_ARG(root->pipeline));
    }
}

/* ---- files of other roots -------------------------------------------------------------------- */

/* Opens a root and lists its files, once. */
static sm_status open_folder(sm_run *r, const smi_flow_source_state *s, smi_flow_books *b,
                             int32_t root, sm_error *e)
{
    smi_flow_folder *folder = &b->folders[root];
    sm_entry *entries = NULL;
    int64_t n = 0;

    if (folder->files) {
        return SM_OK;
    }
    SM_TRY(open_root(r, s, b->roots[root].uri, &folder->store, e));
    SM_TRY(sm_store_list(folder->store, SM_STR(""), true, r->arena, &entries, &n, e));
    folder->files = sm_map_new(r->arena);
    for (int64_t i = 0; i < n; i++) {
        if (!entries[i].is_folder && !entries[i].is_other) {
            *sm_map_at(folder->files, entries[i].key) = &entries[i];
        }
    }
    return SM_OK;
}

/* The file as it is now; SM_NOT_FOUND if it is gone. */
static sm_status find_entry(sm_run *r, const smi_flow_folder *folder, sm_str path, sm_entry *out,
                            sm_error *e)
{
    if (memchr(path.data, '/', path.len)) { /* found by a pattern over several folders */
        return sm_store_stat(folder->store, path, r->arena, out, e);
    }
    const sm_entry *entry = sm_map_get(folder->files, path);
    if (!entry) {
        const sm_status st =
            sm_fail(e, SM_NOT_FOUND, "there is no file \"%.*s\"", SM_STR_ARG(path));
        sm_error_place(e, sm_store_uri_of(folder->store, path, r->arena).data, 0, -1);
        return st;
    }
    *out = *entry;
    return SM_OK;
}

/* The run's state of the file, which the books of all tables share. */
static smi_flow_file *state_of(sm_run *r, smi_flow_source_state *s, sm_str uri)
{
    void **place = sm_map_at(s->by_uri, uri);

    if (!*place) {
        smi_flow_file *state = SM_NEW(r->arena, smi_flow_file);
        *state = (smi_flow_file){.at = -1, .reader = -1, .n_lines = -1};
        *place = state;
    }
    return *place;
}

static sm_status find_other(sm_run *r, smi_flow_source_state *s, smi_flow_books *b, int64_t i,
                            sm_error *e)
{
    const smi_flow_known *k = &b->known[i];
    const smi_flow_folder *folder = &b->folders[k->root];
    sm_entry entry;

    SM_TRY(open_folder(r, s, b, k->root, e));
    const sm_str uri = sm_store_uri_of(folder->store, k->path, r->arena);
    if (k->is_displaced) { /* another file is at its path now */
        const sm_status st =
            sm_fail(e, SM_INVALID, "\"%.*s\" is another file now, and its old content is needed",
                    SM_STR_ARG(k->path));
        sm_error_place(e, uri.data, 0, -1);
        return st;
    }
    SM_TRY(find_entry(r, folder, k->path, &entry, e));
    smi_flow_file *state = state_of(r, s, uri);
    SM_ASSERT(k->root != b->match.root);
    SM_ASSERT(b->n_others == 0 || b->others[b->n_others - 1].known < i); /* ask_keeps searches */
    b->others[b->n_others++] = (smi_flow_other){
        .known = i,
        .found = {.name = k->path,
                  .file = {.uri = uri,
                           .store = folder->store,
                           .key = k->path,
                           .size_bytes = entry.size_bytes,
                           .modified_us = entry.modified_us,
                           .n_rows = -1,
                           .changed_us = entry.changed_us,
                           .inode = entry.inode,
                           .etag = entry.etag,
                           .content_out = &state->content},
                  .has_date = k->has_date,
                  .date = k->date},
        .state = state,
    };
    return SM_OK;
}

/* A file without lines has no rows to lose; the next run of its own root loads what it has now. */
static bool is_to_find(const smi_flow_books *b, int64_t i)
{
    return b->match.left[i] == SMI_KNOWN_AGAIN && b->known[i].n_lines != 0;
}

/* Finds the files to be read again. *lost: the first one that cannot be read. */
static sm_status find_others(sm_run *r, smi_flow_source_state *s, smi_flow_books *b, int64_t *lost,
                             sm_error *e)
{
    int64_t n = 0;

    for (int64_t i = 0; i < b->n_known; i++) {
        n += is_to_find(b, i);
    }
    b->others = SM_NEW_ARRAY(r->arena, smi_flow_other, n);
    b->folders = SM_NEW_ARRAY(r->arena, smi_flow_folder, b->n_roots);
    for (int64_t i = 0; i < b->n_known && n > 0; i++) {
        *lost = i;
        if (is_to_find(b, i)) {
            SM_TRY(find_other(r, s, b, i, e));
        }
    }
    SM_ASSERT(b->n_others == n);
    return SM_OK;
}

/* Rows do not say which root they came from, so all rows of a date leave. */
static sm_status find_others_of_dates(sm_run *r, smi_flow_source_state *s, smi_flow_books *b,
                                      sm_error *e)
{
    int64_t lost = -1;
    const sm_status st = find_others(r, s, b, &lost, e);

    if (st != SM_OK) {
        sm_error_todo(e, "Its date is loaded again into %.*s, and its rows would be lost.",
                      SM_STR_ARG(b->table));
    }
    return st;
}

/* A name that is not UTF-8 could not be written into a table's log. */
static sm_status check_name(const sm_found_file *f, sm_error *e)
{
    if (sm_utf8_check(f->name.data, f->name.len) == f->name.len) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_INVALID, "a file's name is not UTF-8");
    sm_error_place(e, f->file.uri.data, 0, -1);
    sm_error_todo(e, "Rename it, or leave it out: with match of the source.");
    return st;
}

sm_status smi_flow_books_match(sm_run *r, smi_flow_source_state *s, const smi_flow_wants *wants,
                               smi_flow_books *b, sm_error *e)
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
    return wants->has_dates ? find_others_of_dates(r, s, b, e) : SM_OK;
}

/* A twin has the same name as the file that it is passed over for, except for the suffix. */
static bool is_twin(const smi_flow_books *b, int64_t i)
{
    const smi_match_file *f = &b->match.files[i];

    return f->of >= 0 &&
           sm_str_eq(sm_name_plain(b->in.found[i].path), sm_name_plain(b->in.found[f->of].path));
}

static bool is_copy(const smi_flow_books *b, int64_t i)
{
    const smi_match_file *f = &b->match.files[i];

    return f->kind == SMI_MATCH_COPY ||
           (f->kind == SMI_MATCH_PASSED && (f->of >= 0 || f->known >= 0) && !is_twin(b, i));
}

/* The whole URI for another root, where a file may have the same name. */
static sm_str name_of_original(const smi_flow_books *b, const smi_match_file *f)
{
    if (f->of >= 0) {
        return b->in.found[f->of].path;
    }
    const smi_flow_known *k = &b->known[f->known];
    return k->root == b->match.root ? k->path : k->uri;
}

void smi_flow_books_tell(sm_run *r, const smi_flow_books *b)
{
    for (int64_t i = 0; i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        const sm_str path = b->in.found[i].path;
        if (f->kind == SMI_MATCH_MOVED) {
            smi_flow_report_moved(r, b->known[f->known].path, path);
        } else if (is_copy(b, i)) {
            smi_flow_report_copy(r, path, name_of_original(b, f), f->kind == SMI_MATCH_PASSED);
        }
    }
}

/* The root that tells of the query and its columns: the source's or, if that is new, one of the
 * pipeline's; NULL: there is none. */
static const smi_flow_root *telling_root(const sm_run *r, const smi_flow_books *b)
{
    SM_ASSERT(b->reads); /* after match or reload: before, the root is not known */
    if (b->match.root < b->n_roots) {
        return &b->roots[b->match.root];
    }
    for (int32_t i = 0; i < b->n_roots; i++) {
        if (b->roots[i].query.len > 0 && sm_str_eq(b->roots[i].pipeline, r->p->name)) {
            return &b->roots[i];
        }
    }
    return NULL;
}

sm_str smi_flow_books_query(const sm_run *r, const smi_flow_books *b)
{
    const smi_flow_root *root = telling_root(r, b);
    return root ? root->query : (sm_str){0};
}

sm_status smi_flow_books_columns(const sm_run *r, const smi_flow_books *b, sm_arena *a,
                                 const sm_type **out, sm_error *e)
{
    const smi_flow_root *root = b->in.is_reload ? NULL : telling_root(r, b);

    *out = NULL;
    if (!root || root->columns.len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_type_parse(root->columns, a, out, e));
    return (*out)->id == SM_TYPE_STRUCT
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "the table's books are damaged: no columns are \"%.*s\"",
                         SM_STR_ARG(root->columns));
}

void smi_flow_books_take_columns(const sm_run *r, smi_flow_books *b, const sm_type *columns)
{
    sm_buf text = {0};

    if (columns && columns->n_fields > 0) {
        sm_type_print(columns, &text);
    }
    b->columns = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
}

void smi_flow_books_take_query(const sm_run *r, smi_flow_books *b, sm_str query)
{
    const smi_flow_root *root = telling_root(r, b);

    b->has_other_query = !sm_str_eq(query, smi_flow_books_query(r, b));
    b->query = query;
    b->columns = root ? root->columns : (sm_str){0};
}

bool smi_flow_books_has_news(const smi_flow_books *b)
{
    uint64_t bytes = 0;

    if (b->is_taken_over || b->match.has_news || b->has_other_query) {
        return true;
    }
    for (int64_t i = 0; b->match.has_marks && i < b->in.n_found; i++) {
        const smi_match_file *f = &b->match.files[i];
        bytes += f->kind == SMI_MATCH_SAME && f->has_content ? b->in.found[i].mark.size_bytes : 0;
    }
    return bytes > CHEAP_BYTES;
}

bool smi_flow_books_loses(const smi_flow_books *b, int64_t known)
{
    SM_ASSERT(known >= 0 && known < b->n_known);
    const smi_flow_known *k = &b->known[known];
    return b->match.left[known] == SMI_KNOWN_DROPPED && smi_known_has_rows(k) &&
           (k->is_displaced || smi_match_find(&b->in, k->path) < 0);
}

/* ---- loading all again ----------------------------------------------------------------------- */

static sm_status fail_reload(const smi_flow_books *b, const smi_flow_known *k, sm_str uri,
                             const char *todo, sm_error *e)
{
    const char *why = k->is_displaced ? "has become another file"
                                      : "is no longer in its folder, and its rows would be lost";
    const sm_status st = sm_fail(e, SM_INVALID, "%.*s cannot be loaded again: \"%.*s\" %s",
                                 SM_STR_ARG(b->table), SM_STR_ARG(k->path), why);

    sm_error_place(e, uri.data, 0, -1);
    sm_error_todo(e, "%s", todo);
    return st;
}

/* A known file of this root with rows must be read again, or its rows would be lost. */
static sm_status check_known(const smi_flow_books *b, int64_t i, sm_error *e)
{
    const smi_flow_known *k = &b->known[i];
    const smi_match_left left = b->match.left[i];

    if (!smi_known_has_rows(k) || left == SMI_KNOWN_HERE || left == SMI_KNOWN_AGAIN) {
        return SM_OK;
    }
    return fail_reload(b, k, k->uri,
                       "Bring it back; or let the source say gone: remove, and run once "
                       "with --keep-old before.",
                       e);
}

/* A file of another root that is gone is reported like one of the root being read. */
static sm_status reload_others(sm_run *r, smi_flow_source_state *s, smi_flow_books *b, sm_error *e)
{
    int64_t lost = -1;
    sm_error why = {0};
    const sm_status st = find_others(r, s, b, &lost, &why);
    const smi_flow_known *k = lost >= 0 ? &b->known[lost] : NULL;

    if (st == SM_OK) {
        return SM_OK;
    }
    if (st != SM_NOT_FOUND && !k->is_displaced) {
        *e = why;
        return st;
    }
    const sm_str uri = sm_arena_strf(r->arena, "%.*s/%.*s", SM_STR_ARG(b->roots[k->root].uri),
                                     SM_STR_ARG(k->path));
    return fail_reload(
        b, k, uri,
        "Bring it back. Where it was renamed, or its rows are to go by gone: remove, "
        "a run over its folder with --keep-old does that before.",
        e);
}

sm_status smi_flow_books_reload(sm_run *r, smi_flow_source_state *s, smi_flow_books *b, sm_error *e)
{
    const smi_flow_wants wants = {.takes_date = true, .is_reload = true};

    SM_TRY(smi_flow_books_match(r, s, &wants, b, e));
    for (int64_t i = 0; i < b->n_known; i++) {
        SM_TRY(check_known(b, i, e));
    }
    for (int64_t i = 0; i < b->in.n_found; i++) {
        smi_match_file *f = &b->match.files[i];
        f->is_read = f->kind != SMI_MATCH_OUTSIDE && f->kind != SMI_MATCH_PASSED;
    }
    b->match.n_dates = 0;
    b->match.has_news = true;
    return reload_others(r, s, b, e);
}
