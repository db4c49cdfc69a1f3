/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_undo.c: the text of a commit that takes another one back.
 *
 * Method   The commit's own lines say what it added and removed; the version before it says what
 *          the removed files were and what the metadata was. Its adds become removes, its removes
 *          adds. A RESTORE would set the whole table to that version; this touches nothing but what
 *          the commit did, so that what others wrote since stays.
 * Kept     The protocol (a table never needs less again) and transactions, as a RESTORE keeps them.
 * New      A table that the commit made cannot be unmade: its files go, and a RESTORE of version −1
 *          says that there was nothing. */
#include <inttypes.h>

#include "base/map.h"
#include "base/quote.h"
#include "base/time.h"
#include "delta/delta_int.h"

typedef struct undo {
    const sm_snapshot *before; /* NULL: there was no table */
    sm_map *files;             /* of `before`: path -> smi_action */
    bool has_metadata;         /* the commit changed it */
    int64_t now_ms;
    sm_buf removes, adds;
} undo;

static void print_file(const char *action, const smi_action *f, int64_t time_ms, const char *time,
                       bool data_change, sm_buf *out)
{
    sm_buf_printf(out, "{\"%s\":{\"path\":", action);
    sm_buf_json_str(out, f->path);
    sm_buf_text(out, SM_STR(",\"partitionValues\":"));
    smi_print_pairs(f->partition, f->n_partition, out);
    sm_buf_printf(out, ",\"size\":%" PRIu64 ",\"%s\":%" PRId64 ",\"dataChange\":%s", f->size_bytes,
                  time, time_ms, data_change ? "true" : "false");
    if (f->dv) {
        smi_print_vector(f->dv, out);
    }
}

static void undo_add(undo *u, const smi_action *add)
{
    print_file("remove", add, u->now_ms, "deletionTimestamp", add->data_change, &u->removes);
    sm_buf_text(&u->removes, SM_STR(",\"extendedFileMetadata\":true}}\n"));
}

static sm_status undo_remove(undo *u, const smi_action *remove, sm_error *e)
{
    const smi_action *was = u->files ? sm_map_get(u->files, remove->path) : NULL;

    if (!was) {
        return sm_fail(e, SM_CORRUPT, "the version before has no file \"%.*s\" to bring back",
                       SM_STR_ARG(remove->path));
    }
    print_file("add", was, was->modified_ms, "modificationTime", remove->data_change, &u->adds);
    if (was->stats_json.len > 0) {
        sm_buf_text(&u->adds, SM_STR(",\"stats\":"));
        sm_buf_json_str(&u->adds, was->stats_json);
    }
    if (was->n_tags > 0) {
        sm_buf_text(&u->adds, SM_STR(",\"tags\":"));
        smi_print_pairs(was->tags, was->n_tags, &u->adds);
    }
    sm_buf_text(&u->adds, SM_STR("}}\n"));
    return SM_OK;
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
    default:
        return SM_OK;
    }
}

static void index_files(undo *u, sm_arena *a)
{
    const sm_snapshot *s = u->before;

    u->files = sm_map_new(a);
    for (int64_t i = 0; i < s->n_adds; i++) {
        if (!s->is_dead[i]) {
            *sm_map_at(u->files, s->adds[i].path) = &s->adds[i];
        }
    }
}

static sm_status print_undo(const undo *u, int64_t version, sm_str id, sm_str info_json,
                            sm_buf *out, sm_error *e)
{
    sm_buf_printf(out,
                  "{\"commitInfo\":{\"timestamp\":%" PRId64 ",\"operation\":\"RESTORE\""
                  ",\"operationParameters\":{\"version\":%" PRId64 ",\"timestamp\":null}"
                  ",\"readVersion\":%" PRId64 ",\"isBlindAppend\":false",
                  u->now_ms, version - 1, version);
    smi_print_provenance(id, info_json, out);
    if (u->has_metadata && u->before) {
        SM_TRY(smi_print_metadata(&u->before->metadata, out, e));
    }
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
    undo u = {.now_ms = sm_now_us() / 1000};
    sm_buf text = {0};

    if (version > 0) {
        SM_TRY_GOTO(st, done, sm_snapshot_open(s, version - 1, budget, &before, e));
        u.before = before;
        index_files(&u, scratch);
    }
    SM_TRY_GOTO(st, done, smi_log_lines(c->text, scratch, undo_action, &u, e));
    SM_TRY_GOTO(st, done, print_undo(&u, version, id, info_json, &text, e));
    *out = (sm_delta_prepared){
        .id = sm_arena_str(a, id),
        .base = version,
        .isolation = SM_READ_UNDONE,
        .text = sm_arena_str(a, sm_buf_str(&text)),
    };
done:
    sm_buf_release(&text);
    sm_buf_release(&u.adds);
    sm_buf_release(&u.removes);
    sm_snapshot_release(before);
    sm_arena_free(scratch);
    return sm_within(e, st, "taking version %" PRId64 " of %.*s back", version,
                     SM_STR_ARG(sm_store_uri(s)));
}
