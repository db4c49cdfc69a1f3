/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_list.c: lists the files of a table that a clustering may move, and no others:
 * of a table of a million sorted files a load moves a few. Called by table_cluster.c.
 *
 * Method   Two looks at all files. The first adds up the sets of sorted files and the files that
 *          are of none. A set that table_cluster_choose.c would not take even if all files of all
 *          smaller sets moved cannot move. The second look lists the files without a set, and those
 *          of the other sets. So what is chosen of them is what would be chosen of all.
 * Memory   a few hundred bytes for each set and partition, and what is listed */
#include "table/table_cluster_int.h"

#include <stdlib.h>

typedef struct seen_set {
    struct seen_set *next; /* of the partition */
    uint64_t bytes;
    int64_t n_files;
    bool may_move;
} seen_set;

typedef struct seen_part {
    uint64_t bytes; /* of its files without a set */
    seen_set *sets;
    int64_t n_sets;
} seen_part;

typedef struct looking {
    const sm_snapshot *snapshot;
    const smi_cluster_goal *goal;
    sm_arena *arena;
    sm_map *parts; /* identity of a partition -> seen_part */
    sm_map *sets;  /* the same, and the set's id -> seen_set */
    sm_buf text;
    smi_cluster_rest *rest;
} looking;

static void begin_look(void *ctx)
{
    looking *l = ctx;

    l->parts = sm_map_new(l->arena);
    l->sets = sm_map_new(l->arena);
    *l->rest = (smi_cluster_rest){0};
}

/* The name of the file's partition in the maps, and of its set. */
static sm_str name_part(looking *l, const sm_delta_file *f)
{
    const int32_t n = sm_snapshot_metadata(l->snapshot)->n_partition_columns;

    return smi_partition_identity(f->partition, n, &l->text);
}

static sm_str name_set(looking *l, const sm_delta_file *f, sm_str set)
{
    name_part(l, f);
    sm_buf_text(&l->text, set);
    return sm_buf_str(&l->text);
}

static sm_status look_at(void *ctx, const sm_delta_file *f, sm_error *e)
{
    looking *l = ctx;
    const smi_cluster_mark m = smi_cluster_mark_of(f);

    (void)e;
    if (smi_cluster_is_of_others(l->goal, f)) {
        l->rest->n_files++;
        l->rest->bytes += f->size_bytes;
        return SM_OK;
    }
    seen_part **part = (seen_part **)sm_map_at(l->parts, name_part(l, f));
    *part = *part ? *part : SM_NEW(l->arena, seen_part);
    if (!sm_str_eq(m.by, l->goal->by)) {
        (*part)->bytes += f->size_bytes;
        return SM_OK;
    }
    seen_set **set = (seen_set **)sm_map_at(l->sets, name_set(l, f, m.set));
    if (!*set) {
        *set = SM_NEW(l->arena, seen_set);
        (*set)->next = (*part)->sets;
        (*part)->sets = *set;
        (*part)->n_sets++;
    }
    (*set)->n_files++;
    (*set)->bytes += f->size_bytes;
    return SM_OK;
}

static int by_bytes(const void *x, const void *y)
{
    const seen_set *a = *(const seen_set *const *)x, *b = *(const seen_set *const *)y;

    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* Marks the sets that may move, and counts the others. */
static void judge_sets(looking *l, const seen_part *part)
{
    seen_set **sets = SM_NEW_ARRAY(l->arena, seen_set *, part->n_sets + 1);
    uint64_t moving = part->bytes;
    int64_t n = 0;

    for (seen_set *set = part->sets; set; set = set->next) {
        sets[n++] = set;
    }
    SM_ASSERT(n == part->n_sets);
    qsort((void *)sets, (size_t)n, sizeof(*sets), by_bytes);
    for (int64_t i = 0; i < n; i++) {
        sets[i]->may_move = moving > 0 && sets[i]->bytes <= SMI_CLUSTER_SLACK * moving &&
                            (i == 0 || sets[i - 1]->may_move);
        if (sets[i]->may_move) {
            moving += sets[i]->bytes;
        } else {
            l->rest->n_files += sets[i]->n_files;
            l->rest->bytes += sets[i]->bytes;
            l->rest->n_sets++;
        }
    }
}

static bool may_move(void *ctx, const sm_delta_file *f)
{
    looking *l = ctx;
    const smi_cluster_mark m = smi_cluster_mark_of(f);

    if (smi_cluster_is_of_others(l->goal, f)) {
        return false;
    }
    if (!sm_str_eq(m.by, l->goal->by)) {
        return true;
    }
    const seen_set *set = sm_map_get(l->sets, name_set(l, f, m.set));
    return !set || set->may_move;
}

sm_status smi_cluster_list(sm_snapshot *s, const smi_cluster_goal *goal, smi_cluster_rest *out,
                           sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    looking l = {.snapshot = s, .goal = goal, .arena = a, .rest = out};
    const sm_delta_sink to = {.begin = begin_look, .file = look_at, .ctx = &l};

    SM_ASSERT(goal->by.len > 0);
    sm_status st = sm_snapshot_each(s, NULL, &to, e);
    for (int64_t i = 0; st == SM_OK && i < sm_map_count(l.parts); i++) {
        judge_sets(&l, sm_map_value(l.parts, i));
    }
    st = st == SM_OK ? sm_snapshot_list_if(s, may_move, &l, e) : st;
    sm_buf_release(&l.text);
    sm_arena_free(a);
    return st;
}
