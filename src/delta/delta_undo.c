/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_undo.c: makes the text of a commit that undoes an earlier one.
 *
 * Method   The earlier commit's lines say what it added and removed. The version before it says
 *          what the removed files, the metadata and the domains were. Adds become removes, and
 *          removes become adds. A RESTORE would set the whole table back to that version; an undo
 *          touches only what the commit did, so that later commits of others stay.
 * Kept     The protocol (features are not taken away again) and transactions, as with a RESTORE.
 * New      A table that the commit created stays, without files; the undo calls itself a RESTORE of
 *          version −1, the state before the table. */
#include <inttypes.h>

#include "base/map.h"
#include "base/time.h"
#include "delta/delta_int.h"

static const smi_action not_found = {.kind = SMI_ACTION_OTHER};

typedef struct undo {
    const sm_snapshot *before; /* NULL: there was no table */
    const smi_home *home;      /* of `before` */
    sm_arena *arena;
    sm_map *files; /* that the commit removed: smi_path_plain() of their paths -> the smi_action of
                    * `before`, or &not_found */
    sm_map *again; /* smi_file_identity() of files that it added: of those of `before` -> undo */
    bool has_metadata; /* the commit changed it */
    bool has_stamp;    /* it has a timestamp of its own, so the undo gets one */
    int64_t now_ms;
    sm_buf domains, removes, adds;
} undo;

static void put_file(sm_json_writer *w, const smi_action *f, const char *time, int64_t time_ms,
                     bool data_change)
{
    sm_json_set_text(w, "path", f->path);
    smi_put_pairs(w, "partitionValues", f->partition, f->n_partition);
    sm_json_set_u64(w, "size", f->size_bytes);
    sm_json_set_i64(w, time, time_ms);
    sm_json_set_bool(w, "dataChange", data_change);
    if (f->dv) {
        smi_put_vector(w, f->dv);
    }
    smi_put_rows(w, f->base_row_id, f->row_version);
}

static void undo_add(undo *u, const smi_action *add)
{
    sm_json_writer w = {.out = &u->removes};
    sm_buf text = {0};
    const void *was = sm_map_get(u->again, smi_file_identity(u->home, add->path, add->dv, &text));

    sm_buf_release(&text);
    if (was == u) { /* it was there, and got ids for its rows, which it may keep */
        return;
    }
    smi_begin_action(&w, "remove");
    put_file(&w, add, "deletionTimestamp", u->now_ms, add->data_change);
    sm_json_set_bool(&w, "extendedFileMetadata", true);
    smi_end_action(&w);
}

static sm_status undo_remove(undo *u, const smi_action *remove, sm_error *e)
{
    sm_buf text = {0};
    const smi_action *was = sm_map_get(u->files, smi_path_plain(u->home, remove->path, &text));
    sm_json_writer w = {.out = &u->adds};

    sm_buf_release(&text);
    if (!was || was == &not_found) {
        return sm_fail(e, SM_CORRUPT,
                       "the version before does not have the file \"%.*s\", which was removed",
                       SM_STR_ARG(remove->path));
    }
    smi_begin_action(&w, "add");
    put_file(&w, was, "modificationTime", was->modified_ms, remove->data_change);
    if (was->stats_json.len > 0) {
        sm_json_set_text(&w, "stats", was->stats_json);
    }
    if (was->n_tags > 0) {
        smi_put_pairs(&w, "tags", was->tags, was->n_tags);
    }
    if (was->cluster_provider.len > 0) {
        sm_json_set_text(&w, "clusteringProvider", was->cluster_provider);
    }
    smi_end_action(&w);
    return SM_OK;
}

/* Row ids that were given out are not given out again, so their high-water mark stays. */
static void undo_domain(undo *u, const sm_delta_domain *domain)
{
    const sm_delta_domain *was = u->before ? sm_snapshot_domain(u->before, domain->name) : NULL;
    sm_json_writer w = {.out = &u->domains};
    sm_delta_domain gone = *domain;

    gone.is_removed = true;
    if (!sm_str_is(domain->name, SMI_DOMAIN_ROWS)) {
        smi_print_domain(was ? was : &gone, &w);
    }
}

static sm_status undo_action(void *ctx, const smi_action *action, sm_error *e)
{
    undo *u = ctx;

    switch (action->kind) {
    case SMI_ACTION_ADD:
        undo_add(u, action);
        return SM_OK;
    case SMI_ACTION_REMOVE:
        return undo_remove(u, action, e);
    case SMI_ACTION_METADATA:
        u->has_metadata = true;
        return SM_OK;
    case SMI_ACTION_DOMAIN:
        undo_domain(u, &action->domain);
        return SM_OK;
    default:
        return SM_OK;
    }
}

static sm_status note_file(void *ctx, const smi_action *action, sm_error *e)
{
    undo *u = ctx;
    sm_buf text = {0};

    (void)e;
    if (action->kind == SMI_ACTION_REMOVE) {
        *sm_map_at(u->files, smi_path_plain(u->home, action->path, &text)) = (void *)&not_found;
    } else if (action->kind == SMI_ACTION_ADD) {
        *sm_map_at(u->again, smi_file_identity(u->home, action->path, action->dv, &text)) =
            (void *)&not_found;
    }
    sm_buf_release(&text);
    return SM_OK;
}

static sm_status take_file(void *ctx, const smi_action *add, sm_error *e)
{
    undo *u = ctx;
    sm_buf text = {0};

    (void)e;
    const sm_str id = smi_file_identity(u->home, add->path, add->dv, &text);
    if (sm_map_get(u->again, id)) {
        *sm_map_at(u->again, id) = u;
    }
    const sm_str path = smi_path_plain(u->home, add->path, &text);
    if (sm_map_get(u->files, path)) { /* one of those that the commit removed */
        smi_action *copy = SM_NEW(u->arena, smi_action);
        *copy = smi_add_copy(add, u->arena);
        *sm_map_at(u->files, path) = copy;
    }
    sm_buf_release(&text);
    return SM_OK;
}

/* Finds what the version before says of the files that the commit removed, or added again. */
static sm_status find_files(undo *u, sm_str text, sm_error *e)
{
    SM_TRY(smi_log_lines(text, u->arena, note_file, u, e));
    return smi_live_each(u->before, NULL, SMI_WHOLE, (smi_action_sink){.each = take_file, .ctx = u},
                         e);
}

static sm_status print_undo(const undo *u, int64_t version, sm_str id, sm_str info_json,
                            sm_buf *out, sm_error *e)
{
    sm_json_writer w = {.out = out};

    SM_ASSERT((version > 0) == (u->before != NULL));
    smi_begin_action(&w, "commitInfo");
    if (u->has_stamp) {
        smi_put_stamp(&w, u->now_ms);
    }
    sm_json_set_i64(&w, "timestamp", u->now_ms);
    sm_json_set_text(&w, "operation", SM_STR("RESTORE"));
    sm_json_set_object(&w, "operationParameters");
    sm_json_set_i64(&w, "version", version - 1);
    sm_json_key(&w, SM_STR("timestamp"));
    sm_json_put_null(&w);
    sm_json_end_object(&w);
    sm_json_set_i64(&w, "readVersion", version);
    sm_json_set_bool(&w, "isBlindAppend", false);
    smi_put_provenance(&w, id, info_json);
    smi_end_action(&w);
    if (u->has_metadata && u->before) {
        SM_TRY(smi_print_metadata(&u->before->metadata, &w, e));
    }
    sm_buf_text(out, sm_buf_str(&u->domains));
    sm_buf_text(out, sm_buf_str(&u->removes));
    sm_buf_text(out, sm_buf_str(&u->adds));
    return SM_OK;
}

sm_status sm_delta_prepare_undo(sm_store *s, const sm_delta_prepared *c, int64_t version, sm_str id,
                                sm_str info_json, sm_budget *budget, sm_arena *a,
                                sm_delta_prepared *out, sm_error *e)
{
    SM_ASSERT(s && c && version >= 0 && id.len > 0);
    sm_status st = SM_OK;
    sm_snapshot *before = NULL;
    sm_arena *scratch = sm_arena_new(budget);
    SM_ASSERT(c->base < version);
    undo u = {.now_ms = sm_now_us() / 1000,
              .arena = scratch,
              .files = sm_map_new(scratch),
              .again = sm_map_new(scratch),
              .has_stamp = smi_wants_stamp(c->text)};
    sm_buf text = {0};

    if (version > 0) {
        SM_TRY_GOTO(st, done, sm_snapshot_open_head(s, version - 1, budget, &before, e));
        u.before = before;
        u.home = &before->home;
        SM_TRY_GOTO(st, done, find_files(&u, c->text, e));
    }
    SM_TRY_GOTO(st, done, smi_log_lines(c->text, scratch, undo_action, &u, e));
    SM_TRY_GOTO(st, done, print_undo(&u, version, id, info_json, &text, e));
    *out = (sm_delta_prepared){
        .id = sm_arena_str(a, id),
        .base = version,
        .isolation = SM_READ_UNDONE,
        .text = sm_arena_str(a, sm_buf_str(&text)),
    };
    SM_ASSERT(smi_is_readable(out));
done:
    sm_buf_release(&text);
    sm_buf_release(&u.domains);
    sm_buf_release(&u.adds);
    sm_buf_release(&u.removes);
    sm_snapshot_release(before);
    sm_arena_free(scratch);
    return sm_within(e, st, "taking version %" PRId64 " of %.*s back", version,
                     SM_STR_ARG(sm_store_uri(s)));
}
