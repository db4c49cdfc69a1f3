/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_old.c: reads what a table says of its files if it was loaded before books had
 * files of their own. Called by flow_books.c once for a table: the result is then written as books.
 *
 * Where    A commit's information has the member "smelt": {"pipeline", "run", "files": [{"name",
 *          "uri", "version", "size", "modified_us", "hash", "lines", "date"} …]} with all files of
 *          the period that it loaded. A file has a transaction `smelt:<pipeline>:<file>`.
 * Roots    are the folders of the URIs, in the order in which the commits name them.
 * Hash     is of the file's own bytes. Of a compressed file it says nothing about the content, so
 *          that only size and time can show that it is the same file.
 * Unknown  A file with a transaction that no commit mentions counts as changed. */
#include "base/time.h"
#include "flow/flow_int.h"

typedef struct old_books {
    sm_run *run;
    const sm_snapshot *at;
    sm_map *folders; /* of URIs -> 1 + root */
    sm_map *told;    /* application id -> the root that it belongs to, + 1 */
    smi_flow_root *roots;
    int64_t n_roots, cap_roots;
    smi_flow_known *known;
    int64_t n_known, cap_known;
} old_books;

/* ---- roots ----------------------------------------------------------------------------------- */

static int32_t add_root(old_books *k, sm_str uri, sm_str pipeline)
{
    sm_arena *a = k->run->arena;

    k->roots = sm_arena_grow(a, k->roots, k->n_roots, &k->cap_roots, sizeof(*k->roots));
    k->roots[k->n_roots++] = (smi_flow_root){.uri = uri, .pipeline = sm_arena_str(a, pipeline)};
    return (int32_t)k->n_roots - 1;
}

static int32_t root_of(old_books *k, sm_str uri, sm_str name, sm_str pipeline)
{
    sm_str folder = {0}, place = {0};
    sm_store *store = NULL;
    sm_error ignored = {0};

    if (uri.len > name.len + 1 && sm_str_ends(uri, name)) {
        folder = (sm_str){uri.data, uri.len - name.len - 1};
    }
    void **root = sm_map_at(k->folders, folder);
    if (!*root) {
        if (folder.len > 0 &&
            sm_store_open(k->run->env->stores, folder, &store, &ignored) == SM_OK) {
            place = sm_store_place(store, k->run->arena);
            sm_store_release(store);
        }
        *root = (void *)(intptr_t)(add_root(k, place, pipeline) + 1);
    }
    return (int32_t)(intptr_t)*root - 1;
}

/* ---- files ----------------------------------------------------------------------------------- */

static sm_str app_of(const old_books *k, sm_str pipeline, sm_str name)
{
    return sm_arena_strf(k->run->arena, "smelt:%.*s:%.*s", SM_STR_ARG(pipeline), SM_STR_ARG(name));
}

static bool is_compressed(sm_str name)
{
    return sm_str_ends(name, SM_STR(".gz")) || sm_str_ends(name, SM_STR(".zst"));
}

static smi_flow_known *add_known(old_books *k, int32_t root, sm_str name)
{
    sm_arena *a = k->run->arena;

    SM_ASSERT(root >= 0 && root < k->n_roots);
    k->known = sm_arena_grow(a, k->known, k->n_known, &k->cap_known, sizeof(*k->known));
    smi_flow_known *out = &k->known[k->n_known++];
    *out = (smi_flow_known){.root = root,
                            .path = sm_arena_str(a, name),
                            .version = -1,
                            .content_bytes = -1,
                            .n_lines = -1,
                            .n_rows = -1};
    /* As sm_files_find does it, which cannot be asked about a file that is gone. */
    (void)sm_date_in_name(name, &out->date, &out->has_date);
    return out;
}

/* Only a file's newest load counts: nothing follows from the identity that it had before. */
static void read_identity(old_books *k, const sm_json *file, sm_str app, smi_flow_known *out)
{
    int64_t size = -1, lines = -1;

    out->is_dropped = sm_json_get(file, "dropped") != NULL;
    const bool has_version = sm_json_i64(sm_json_get(file, "version"), &out->version);
    out->has_identity = has_version && !out->is_dropped &&
                        (!k->at || sm_snapshot_txn(k->at, app) == out->version) &&
                        sm_json_i64(sm_json_get(file, "size"), &size) && size >= 0 &&
                        sm_json_i64(sm_json_get(file, "modified_us"), &out->mark.modified_us);
    if (!out->has_identity) {
        return;
    }
    out->mark.size_bytes = (uint64_t)size;
    if (sm_json_i64(sm_json_get(file, "lines"), &lines)) {
        out->n_lines = lines;
    }
    if (!is_compressed(out->path) &&
        smi_flow_books_hash(sm_json_text(sm_json_get(file, "hash")), &out->hash)) {
        out->content_bytes = size;
    }
}

static void read_commit(old_books *k, const sm_json *member)
{
    const sm_str pipeline = sm_json_text(sm_json_get(member, "pipeline"));
    const sm_json *files = sm_json_get(member, "files");

    for (const sm_json *f = files ? files->child : NULL; f; f = f->next) {
        const sm_str name = sm_json_text(sm_json_get(f, "name"));
        const sm_str app = app_of(k, pipeline, name);
        void **is_told = sm_map_at(k->told, app);
        if (*is_told || name.len == 0) {
            continue;
        }
        const sm_str uri = sm_arena_str(k->run->arena, sm_json_text(sm_json_get(f, "uri")));
        const int32_t root = root_of(k, uri, name, pipeline);
        smi_flow_known *out = add_known(k, root, name);
        out->uri = uri;
        read_identity(k, f, app, out);
        *is_told = (void *)(intptr_t)(root + 1);
    }
}

/* If two pipelines loaded one file from one folder, the newer entry counts. */
static void drop_doubles(old_books *k)
{
    sm_arena *a = sm_arena_new(k->run->env->budget);
    sm_map *seen = sm_map_new(a);
    int64_t n = 0;

    for (int64_t i = 0; i < k->n_known; i++) {
        void **is_seen = sm_map_at(seen, smi_flow_books_key(&k->known[i], a));
        if (!*is_seen) {
            *is_seen = k;
            k->known[n++] = k->known[i];
        }
    }
    k->n_known = n;
    sm_arena_free(a);
}

/* Adds files whose transaction "smelt:<pipeline>:<file>" no commit mentions any more. */
static void add_untold(old_books *k)
{
    int64_t n = 0;
    const sm_delta_txn *txns = sm_snapshot_txns(k->at, &n);
    const sm_str head = SM_STR("smelt:");

    for (int64_t i = 0; i < n; i++) {
        const sm_str app = txns[i].app_id;
        const char *colon =
            app.len > head.len ? memchr(app.data + head.len, ':', app.len - head.len) : NULL;
        if (!sm_str_starts(app, head) || !colon || sm_map_get(k->told, app)) {
            continue;
        }
        const sm_str pipeline = {app.data + head.len, (size_t)(colon - app.data) - head.len};
        const sm_str name = {colon + 1, (size_t)(app.data + app.len - colon) - 1};
        if (name.len > 0) {
            const int32_t root = k->n_roots > 0 ? 0 : root_of(k, SM_STR(""), name, pipeline);
            add_known(k, root, name)->version = txns[i].version;
        }
    }
}

/* ---- the log --------------------------------------------------------------------------------- */

/* Reads the commits at or below a version whose rows are still in the table. */
static sm_status read_commits(old_books *k, int64_t version, sm_store *store, sm_error *e)
{
    sm_status st = SM_OK;
    int64_t v = version, txn = 0;

    while (st == SM_OK && v >= 0) {
        sm_delta_commit_info info;
        sm_arena *scratch = sm_arena_new(k->run->env->budget);
        st = sm_delta_info_read(store, v, SM_STR(""), scratch, &info, &txn, e);
        const sm_json *member = st == SM_OK ? smi_flow_smelt_member(info.json, scratch) : NULL;
        v--;
        if (sm_json_get(member, "files")) {
            read_commit(k, member);
        } else if (st == SM_OK && sm_delta_effect_of(&info) == SM_DELTA_OVERWRITES) {
            v = -1; /* rows of older commits are no longer in the table */
        } else if (st == SM_OK && sm_delta_effect_of(&info) == SM_DELTA_RESTORES) {
            st = sm_delta_restored_version(store, &info, k->run->env->budget, &v, e);
        }
        sm_arena_free(scratch);
    }
    return st == SM_NOT_FOUND ? SM_OK : st; /* the older commits were cleaned up */
}

sm_status smi_flow_books_read_old(sm_run *r, int64_t version, const sm_snapshot *at,
                                  smi_flow_books *b, sm_error *e)
{
    old_books k = {
        .run = r, .at = at, .folders = sm_map_new(r->arena), .told = sm_map_new(r->arena)};

    SM_TRY(read_commits(&k, version, b->store, e));
    if (at) {
        add_untold(&k);
    }
    drop_doubles(&k);
    b->chain = (smi_flow_books_chain){.n_rows = -1};
    b->roots = k.roots;
    b->n_roots = (int32_t)k.n_roots;
    b->known = k.known;
    b->n_known = k.n_known;
    b->is_taken_over = true;
    return SM_OK;
}
