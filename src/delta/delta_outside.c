/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_outside.c: files of a table that its log names by an absolute path, as shallow clones
 * do: in which store they lie, and whether this table may name them. Called by delta_dataset.c,
 * delta_vector.c and others who need the place.
 *
 * Method   The store of a folder that an absolute path names is opened when the place of its first
 *          file is asked for; the snapshot holds it. A folder that cannot be opened, or that the
 *          table may not name, keeps its error: the table opens all the same, and the error is told
 *          by who wants to read the file.
 * Allowed  A log decides what its readers open, and it may be somebody else's. So a table may name
 *          files behind its own scheme; one on a web server those of its own host. A table on the
 *          local disk, which the user could read anyway, may name files in any store. A table
 *          behind a network never names a file of the local disk.
 * Never    a path with a part "." or "..", or a store that the path does not spell out.
 * Source   PROTOCOL.md, "Add File and Remove File": an absolute path is an encoded URI */
#include "base/thread.h"
#include "delta/delta_int.h"

struct smi_outside {
    sm_store *store; /* of the folder; NULL: `error` says why not */
    sm_error error;
};

struct smi_outsides {
    sm_mutex lock;
    sm_arena *arena;
    sm_map *by_folder; /* folder -> struct smi_outside */
};

/* ---- URIs ------------------------------------------------------------------------------------ */

static sm_str scheme_of(sm_str uri)
{
    for (size_t i = 0; i + 2 < uri.len; i++) {
        if (uri.data[i] == ':' && uri.data[i + 1] == '/' && uri.data[i + 2] == '/') {
            return (sm_str){uri.data, i};
        }
    }
    return SM_STR("");
}

/* "https://host:1" of "https://host:1/a/b". */
static sm_str origin_of(sm_str uri)
{
    size_t at = scheme_of(uri).len + 3;

    while (at < uri.len && uri.data[at] != '/') {
        at++;
    }
    return (sm_str){uri.data, at < uri.len ? at : uri.len};
}

static bool has_dots(sm_str uri)
{
    size_t start = 0;

    for (size_t i = 0; i <= uri.len; i++) {
        if (i < uri.len && uri.data[i] != '/') {
            continue;
        }
        const sm_str part = {uri.data + start, i - start};
        if (sm_str_is(part, ".") || sm_str_is(part, "..")) {
            return true;
        }
        start = i + 1;
    }
    return memchr(uri.data, '\0', uri.len) != NULL;
}

bool sm_delta_may_name(const sm_store *store, sm_str uri)
{
    const sm_str table = sm_store_uri(store);
    const sm_str mine = scheme_of(table), its = scheme_of(uri);

    if (mine.len == 0 || sm_str_is(mine, "file")) {
        return true;
    }
    if (!sm_str_eq(mine, its)) {
        return false;
    }
    return !sm_str_starts(mine, SM_STR("http")) || sm_str_eq(origin_of(table), origin_of(uri));
}

sm_str sm_delta_absolute_path(sm_str uri, sm_arena *a)
{
    const sm_str scheme = scheme_of(uri);
    const size_t skip = scheme.len > 0 ? scheme.len + 3 : 0;
    const sm_str rest = {uri.data + skip, uri.len - skip};

    SM_ASSERT(rest.len > 0 && (skip > 0 || rest.data[0] == '/'));
    return sm_arena_strf(a, "%.*s://%.*s", SM_STR_ARG(skip > 0 ? scheme : SM_STR("file")),
                         SM_STR_ARG(smi_path_encode(rest, a)));
}

/* A name of the table's folder, as absolute paths below it begin when they are plain. */
static sm_str home_name(sm_str place, sm_arena *a)
{
    sm_buf text = {0};
    const sm_str plain = smi_path_plain(NULL, sm_delta_absolute_path(place, a), &text);
    const bool has_end = plain.data[plain.len - 1] == '/'; /* of the root of a disk or a bucket */
    const sm_str out = sm_arena_strf(a, "%.*s%s", SM_STR_ARG(plain), has_end ? "" : "/");

    SM_ASSERT(out.len > 0 && out.data[out.len - 1] == '/');
    sm_buf_release(&text);
    return out;
}

smi_home smi_home_of(const sm_store *s, sm_arena *a)
{
    const sm_str place = sm_store_place(s, a), real = sm_store_real_place(s, a);
    smi_home home = {.names = {home_name(place, a)}};

    if (!sm_str_eq(place, real)) {
        home.names[1] = home_name(real, a);
    }
    return home;
}

/* ---- opening --------------------------------------------------------------------------------- */

static sm_status split_path(const sm_snapshot *s, sm_str path, sm_arena *a, sm_str *folder,
                            sm_str *key, sm_error *e)
{
    sm_buf text = {0};
    const sm_str uri = smi_percent_decode(smi_path_plain(NULL, path, &text), a);

    sm_buf_release(&text);
    if (has_dots(smi_percent_decode(path, a))) {
        return sm_fail(e, SM_CORRUPT, "path \"%.*s\" of the log has a part \".\" or \"..\"",
                       SM_STR_ARG(path));
    }
    sm_uri_split(uri, folder, key);
    if (key->len == 0) {
        return sm_fail(e, SM_CORRUPT, "path \"%.*s\" of the log names no file", SM_STR_ARG(path));
    }
    if (!sm_delta_may_name(s->store, uri)) {
        const sm_status st =
            sm_fail(e, SM_UNSUPPORTED,
                    "file \"%.*s\" lies outside the table, where this table may name none",
                    SM_STR_ARG(path));
        sm_error_todo(e,
                      "A table behind a network may name files behind its own scheme only, one on "
                      "a web server those of its own host.");
        return st;
    }
    return SM_OK;
}

struct smi_outsides *smi_outsides_new(sm_budget *budget)
{
    struct smi_outsides *all = sm_alloc_zero(sizeof(*all));

    sm_mutex_init(&all->lock);
    all->arena = sm_arena_new(budget);
    all->by_folder = sm_map_new(all->arena);
    return all;
}

void smi_outsides_free(struct smi_outsides *all)
{
    for (int64_t i = 0; i < sm_map_count(all->by_folder); i++) {
        sm_store_release(((struct smi_outside *)sm_map_value(all->by_folder, i))->store);
    }
    sm_arena_free(all->arena);
    sm_mutex_release(&all->lock);
    sm_free(all);
}

/* The store of a folder, which is opened once. */
static const struct smi_outside *open_folder(const sm_snapshot *s, sm_str folder)
{
    struct smi_outsides *all = s->outside;

    sm_mutex_lock(&all->lock);
    void **at = sm_map_at(all->by_folder, folder);
    if (!*at) {
        struct smi_outside *o = SM_NEW(all->arena, struct smi_outside);
        if (sm_store_open(sm_store_opener(s->store), folder, &o->store, &o->error) != SM_OK) {
            SM_ASSERT(!o->store && o->error.status != SM_OK); /* told by smi_outside_place() */
        }
        *at = o;
    }
    const struct smi_outside *out = *at;
    sm_mutex_unlock(&all->lock);
    return out;
}

/* ---- asking ---------------------------------------------------------------------------------- */

sm_status smi_outside_place(const sm_snapshot *s, sm_str path, sm_arena *a, sm_store **store,
                            sm_str *key, sm_error *e)
{
    sm_str folder = {0};

    SM_TRY(split_path(s, path, a, &folder, key, e));
    SM_ASSERT(folder.len > 0 && key->len > 0);
    const struct smi_outside *o = open_folder(s, folder);
    if (!o->store) {
        if (e) {
            *e = o->error;
        }
        return sm_within(e, o->error.status, "file \"%.*s\", which lies outside the table",
                         SM_STR_ARG(path));
    }
    *store = o->store;
    return SM_OK;
}

sm_status sm_snapshot_place(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                            sm_store **store, sm_str *key, sm_error *e)
{
    if (f->key.len > 0) {
        *store = s->store;
        *key = f->key;
        return SM_OK;
    }
    return smi_outside_place(s, f->path, a, store, key, e);
}
