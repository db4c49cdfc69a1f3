/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_reread.c: sees that files that a plan reads several times have not changed meanwhile.
 * Called by table_dml.c, for the source of a MERGE.
 *
 * Method   Each file is looked up once more, after the last read, and compared with what was known
 *          of it when it was listed, before the first. So all reads between have seen the same.
 * Which    Files that were listed: those have an inode or an ETag. Files of Delta tables and staged
 *          ones have neither here; they never change. */
#include "table/table_int.h"

typedef struct rereading {
    const sm_datafile **files;
    int64_t n, cap;
    sm_arena *arena;
    sm_budget *budget;
} rereading;

static void add_files(rereading *r, const sm_plan_node *node)
{
    const sm_dataset *d = node->kind == SM_PLAN_SCAN ? node->as.scan.dataset : NULL;

    for (int64_t i = 0; d && i < d->n_files; i++) {
        if (d->files[i].inode == 0 && d->files[i].etag.len == 0) {
            continue;
        }
        r->files = sm_arena_grow(r->arena, r->files, r->n, &r->cap, sizeof(*r->files));
        r->files[r->n++] = &d->files[i];
    }
    for (int32_t i = 0; i < node->n_inputs; i++) {
        add_files(r, node->inputs[i]);
    }
}

/* An ETag says more than times, which a listing may round. */
static bool is_same(const sm_datafile *then, const sm_entry *now)
{
    if (then->size_bytes != now->size_bytes) {
        return false;
    }
    if (then->etag.len > 0) {
        return sm_str_eq(then->etag, now->etag);
    }
    return then->modified_us == now->modified_us && then->changed_us == now->changed_us &&
           then->inode == now->inode;
}

/* smi_each */
static sm_status look_again(void *ctx, int slot, int64_t i, sm_error *e)
{
    const rereading *r = ctx;
    const sm_datafile *then = r->files[i];
    sm_arena *a = sm_arena_new(r->budget); /* one for each file: slots share nothing */
    sm_entry now = {0};

    SM_ASSERT(slot >= 0 && i < r->n);
    sm_status st = sm_store_stat(then->store, then->key, a, &now, e);
    if (st == SM_NOT_FOUND || (st == SM_OK && !is_same(then, &now))) {
        st = sm_fail(e, SM_INVALID, "%.*s has changed while it was read several times",
                     SM_STR_ARG(then->uri));
        sm_error_todo(e, "Nothing was changed. Run it again when nobody writes to the file.");
    }
    sm_arena_free(a);
    return st;
}

sm_status smi_reread_check(const sm_plan_node *root, sm_budget *budget, sm_error *e)
{
    rereading r = {.arena = sm_arena_new(budget), .budget = budget};

    add_files(&r, root);
    const sm_status st = r.n > 0 ? smi_each(r.n, look_again, &r, budget, e) : SM_OK;
    sm_arena_free(r.arena);
    return st;
}
