/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_past.c: what a table's log says of the rows that earlier runs of a task have added, so
 * that a run does not add them again. Called by flow_table.c.
 *
 * Method     Goes back over the commits, from the newest on, to the first that says it.
 * RESTORE    leads to the version that was restored: what was added after it is gone.
 * Overwrite  A commit that puts other rows in the place of what was there ends the search. Where it
 *            is one of the same kind (it has the key), the table began anew with it.
 * Cleaned    If the log no longer reaches the commit, the answer is that nobody knows. The caller
 *            then goes by the table's transactions, which outlive the commits. */
#include "flow/flow_int.h"

/* A walk over the commits. */
typedef struct walk {
    sm_run *run;
    sm_store *table;
    const char *key;
    sm_str text;
    int64_t version; /* the next one to look at */
    bool is_restored;
    bool is_over;
} walk;

static void end_walk(walk *w, smi_flow_past_kind kind, smi_flow_past *out)
{
    out->kind = kind;
    out->version = w->version;
    w->is_over = true;
}

static sm_status follow_restore(walk *w, const sm_delta_commit_info *info, smi_flow_past *out,
                                sm_error *e)
{
    const sm_status st =
        sm_delta_restored_version(w->table, info, w->run->env->budget, &w->version, e);

    w->is_restored = true;
    if (st == SM_NOT_FOUND) {
        end_walk(w, SMI_PAST_UNSEEN, out);
        return SM_OK;
    }
    return st;
}

/* Looks at one commit, and goes one back. */
static sm_status step_back(walk *w, sm_arena *scratch, smi_flow_past *out, sm_error *e)
{
    sm_delta_commit_info info;
    int64_t txn = -1;

    if (w->version < 0) { /* a log that was written anew may have lost the commit */
        end_walk(w, w->is_restored ? SMI_PAST_NONE : SMI_PAST_UNSEEN, out);
        return SM_OK;
    }
    const sm_status st =
        sm_delta_info_read(w->table, w->version, SM_STR(""), scratch, &info, &txn, e);
    if (st == SM_NOT_FOUND) {
        end_walk(w, SMI_PAST_UNSEEN, out);
        return SM_OK;
    }
    SM_TRY(st);
    const sm_json *smelt = smi_flow_smelt_member(info.json, scratch);
    out->is_ours = smelt != NULL;
    const sm_str text = sm_json_text(sm_json_get(smelt, w->key));
    const sm_delta_effect effect = sm_delta_effect_of(&info);
    if (text.len > 0 && (w->text.len == 0 || sm_str_eq(text, w->text))) {
        out->text = sm_arena_str(w->run->arena, text);
        out->said = smi_flow_smelt_member(info.json, w->run->arena);
        end_walk(w, SMI_PAST_FOUND, out);
    } else if (effect == SM_DELTA_OVERWRITES) {
        end_walk(w, text.len > 0 ? SMI_PAST_NONE : SMI_PAST_OVERWRITTEN, out);
    } else if (effect == SM_DELTA_RESTORES) {
        return follow_restore(w, &info, out, e);
    } else {
        w->version--;
    }
    return SM_OK;
}

sm_status smi_flow_past_find(sm_run *r, sm_store *table, int64_t version, const char *key,
                             sm_str text, smi_flow_past *out, sm_error *e)
{
    walk w = {.run = r, .table = table, .key = key, .text = text, .version = version};
    sm_status st = SM_OK;

    SM_ASSERT(key && version >= 0);
    *out = (smi_flow_past){0};
    while (st == SM_OK && !w.is_over) {
        sm_arena *scratch = sm_arena_new(r->env->budget);
        st = step_back(&w, scratch, out, e);
        sm_arena_free(scratch);
    }
    return st;
}
