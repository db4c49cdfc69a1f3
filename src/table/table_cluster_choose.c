/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_choose.c: which files of a table a clustering moves. Called by
 * table_cluster.c.
 *
 * Rows     Files without a mark (table_cluster_mark.c), or with that of other columns or another
 *          curve, move. Without such a file nothing does, nor where they have fewer rows than the
 *          caller wants to be worth a commit.
 * Sets     A filter has to look into each set of sorted files, so there must be few. The sets are
 *          taken from the smallest up: one that has at most SLACK times the bytes of what moves so
 *          far moves with it. So each set that is left is more than SLACK times as large as the
 *          next smaller one: a table has at most about log2(bytes of the table / bytes of one load)
 *          of them. And a row moves seldom: each time its set grows by half or more.
 * Others   In a table with the feature "clustering" a file that another implementation has
 *          clustered stays: it is for that one to move.
 * Apart    A file of such a set stays all the same where it has a good size and its values lie
 *          apart from all that moves, in each of the columns: sorting them together would change
 *          nothing. Statistics decide; a file without them is not apart.
 * Source   the sizes are those of a log-structured merge tree (O'Neil et al., 1996) */
#include "table/table_cluster_int.h"

#include <stdlib.h>

/* 2: with 1, loads that each are a little smaller than the one before would never be joined. */
#define SLACK 2

/* The values of a column in the files that move. */
typedef struct box {
    bool is_open; /* they may be any */
    bool has_null, has_values;
    sm_value min, max;
} box;

typedef struct cluster_set {
    sm_str id;
    uint64_t bytes;
    int64_t n_files, n_moved;
} cluster_set;

typedef struct choosing {
    const smi_cluster_goal *goal;
    const sm_snapshot *snapshot;
    sm_arena *arena;
    const sm_delta_file *files;
    int64_t n_files;
    const char **whys;    /* one a file; NULL: it stays */
    cluster_set **set_of; /* one a file; NULL: it has no mark of these columns */
    cluster_set **sets;   /* ascending by bytes */
    int64_t n_sets;
    box *boxes;     /* one a column */
    uint64_t bytes; /* of the files that move */
    int64_t n_rows; /* the same's; INT64_MAX: not known */
} choosing;

/* ---- where values lie ------------------------------------------------------------------------ */

static bool is_all_null(const sm_range *r)
{
    return r->has_nulls && r->n_nulls == r->n_rows && r->n_rows > 0;
}

static bool is_known(const sm_range *r)
{
    return r->has_nulls && !r->may_have_nan && (is_all_null(r) || (r->has_min && r->has_max));
}

static void widen(box *b, const sm_range *r)
{
    if (!r || !is_known(r)) {
        b->is_open = true;
        return;
    }
    b->has_null = b->has_null || r->n_nulls > 0;
    if (is_all_null(r)) {
        return;
    }
    b->min = b->has_values && sm_value_cmp(b->min, r->min) <= 0 ? b->min : r->min;
    b->max = b->has_values && sm_value_cmp(b->max, r->max) >= 0 ? b->max : r->max;
    b->has_values = true;
}

static bool is_apart(const box *b, const sm_range *r)
{
    if (b->is_open || !is_known(r) || (b->has_null && r->n_nulls > 0)) {
        return false;
    }
    return is_all_null(r) || !b->has_values || sm_value_cmp(r->max, b->min) < 0 ||
           sm_value_cmp(r->min, b->max) > 0;
}

/* May the file stay although its set moves? */
static bool may_stay(const choosing *c, const sm_delta_file *f)
{
    const sm_range *ranges = sm_snapshot_ranges(c->snapshot, f, c->arena);
    bool may = ranges && !f->dv && f->size_bytes >= c->goal->file_bytes / 2;

    for (int32_t k = 0; k < c->goal->n_columns && may; k++) {
        may = is_apart(&c->boxes[k], &ranges[c->goal->columns[k]]);
    }
    return may;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static void move_file(choosing *c, int64_t i, const char *why)
{
    const sm_delta_file *f = &c->files[i];
    const sm_range *ranges = sm_snapshot_ranges(c->snapshot, f, c->arena);

    SM_ASSERT(!c->whys[i]);
    c->whys[i] = why;
    c->bytes += f->size_bytes;
    c->n_rows = sm_delta_file_rows(f) < 0 || c->n_rows == INT64_MAX
                    ? INT64_MAX
                    : c->n_rows + sm_delta_file_rows(f);
    for (int32_t k = 0; k < c->goal->n_columns; k++) {
        widen(&c->boxes[k], ranges ? &ranges[c->goal->columns[k]] : NULL);
    }
    if (c->set_of[i]) {
        c->set_of[i]->n_moved++;
    }
}

static int by_bytes(const void *x, const void *y)
{
    const cluster_set *a = *(const cluster_set *const *)x, *b = *(const cluster_set *const *)y;

    return a->bytes != b->bytes ? (a->bytes < b->bytes ? -1 : 1) : sm_str_cmp(a->id, b->id);
}

/* Has another implementation clustered the file? */
static bool is_of_others(const choosing *c, const sm_delta_file *f)
{
    return c->goal->has_domain && f->cluster_provider.len > 0 &&
           !sm_str_eq(f->cluster_provider, SMI_CLUSTER_PROVIDER);
}

/* Finds the set of each file, and moves those that are of none. */
static void find_sets(choosing *c, sm_arena *a)
{
    sm_map *by_id = sm_map_new(a);

    for (int64_t i = 0; i < c->n_files; i++) {
        const smi_cluster_mark m = smi_cluster_mark_of(&c->files[i]);
        if (is_of_others(c, &c->files[i])) {
            continue;
        }
        if (!sm_str_eq(m.by, c->goal->by)) {
            move_file(c, i, m.by.len > 0 ? "clustered otherwise" : "not clustered");
            continue;
        }
        cluster_set **set = (cluster_set **)sm_map_at(by_id, m.set);
        if (!*set) {
            *set = SM_NEW(a, cluster_set);
            (*set)->id = m.set;
            c->sets[c->n_sets++] = *set;
        }
        c->set_of[i] = *set;
        (*set)->n_files++;
        (*set)->bytes += c->files[i].size_bytes;
    }
    qsort(c->sets, (size_t)c->n_sets, sizeof(cluster_set *), by_bytes);
}

/* Moves the files of a set that are not apart from what moves. What moves grows by that, so they
 * are looked at until none is added. */
static void move_set(choosing *c, const cluster_set *set)
{
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        for (int64_t i = 0; i < c->n_files; i++) {
            if (c->set_of[i] == set && !c->whys[i] && !may_stay(c, &c->files[i])) {
                move_file(c, i, "of a set that is small beside what moves");
                has_moved = true;
            }
        }
    }
}

static void take_choice(const choosing *c, sm_arena *a, smi_cluster_choice *out)
{
    *out = (smi_cluster_choice){
        .files = SM_NEW_ARRAY(a, const sm_delta_file *, c->n_files + 1),
        .whys = SM_NEW_ARRAY(a, const char *, c->n_files + 1),
        .bytes = c->bytes,
    };
    for (int64_t i = 0; i < c->n_files; i++) {
        if (c->whys[i]) {
            out->files[out->n_files] = &c->files[i];
            out->whys[out->n_files++] = c->whys[i];
        } else if (c->set_of[i] || is_of_others(c, &c->files[i])) {
            out->n_kept++;
            out->kept_bytes += c->files[i].size_bytes;
        } else {
            out->n_waiting++;
        }
    }
    for (int64_t k = 0; k < c->n_sets; k++) {
        SM_ASSERT(c->sets[k]->n_moved <= c->sets[k]->n_files);
        out->n_kept_sets += c->sets[k]->n_moved < c->sets[k]->n_files;
    }
    SM_ASSERT(out->n_files + out->n_kept + out->n_waiting == c->n_files);
}

void smi_cluster_choose(const sm_snapshot *s, const smi_cluster_goal *goal, sm_arena *a,
                        smi_cluster_choice *out)
{
    choosing c = {.goal = goal,
                  .snapshot = s,
                  .arena = a,
                  .boxes = SM_NEW_ARRAY(a, box, goal->n_columns + 1)};

    SM_ASSERT(goal->by.len > 0 && goal->n_columns > 0);
    c.files = sm_snapshot_files(s, &c.n_files);
    c.whys = SM_NEW_ARRAY(a, const char *, c.n_files + 1);
    c.set_of = SM_NEW_ARRAY(a, cluster_set *, c.n_files + 1);
    c.sets = SM_NEW_ARRAY(a, cluster_set *, c.n_files + 1);
    find_sets(&c, a);
    if (c.n_rows < goal->least_rows) {
        memset(c.whys, 0, (size_t)c.n_files * sizeof(*c.whys));
        c.bytes = 0;
    }
    for (int64_t k = 0; k < c.n_sets && c.bytes > 0 && c.sets[k]->bytes <= SLACK * c.bytes; k++) {
        move_set(&c, c.sets[k]);
    }
    take_choice(&c, a, out);
}
