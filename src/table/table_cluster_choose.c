/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_choose.c: which files of a table a clustering moves. Called by
 * table_cluster.c.
 *
 * Rows     Files without a mark (table_cluster_mark.c), or with that of other columns or another
 *          curve, move. Without such a file nothing does, nor where they have fewer rows than the
 *          caller wants to be worth a commit.
 * Parts    A partition is as a table of its own: its files are sorted among themselves, and what
 *          follows is said of the files of one partition. Only what is worth a commit is decided
 *          by all partitions together.
 * Sets     A filter has to look into each set of sorted files, so there must be few. The sets are
 *          taken from the smallest up: one that has at most SMI_CLUSTER_SLACK times the bytes of
 *          what moves so far moves with it. So each set that is left is more than twice as large as
 *          the next smaller one: a table has at most about log2(bytes of the table / bytes of one
 *          load) of them. And a row moves seldom: each time its set grows by half or more.
 * Others   In a table with the feature "clustering" a file that another implementation has
 *          clustered stays: it is for that one to move.
 * Apart    A file of such a set stays all the same where it has a good size and its values lie
 *          apart from all that moves, in each of the columns: sorting them together would change
 *          nothing. Statistics decide; a file without them is not apart.
 * Source   the sizes are those of a log-structured merge tree (O'Neil et al., 1996) */
#include "table/table_cluster_int.h"

#include <stdlib.h>

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
    const smi_placed_file *files; /* partition after partition */
    int64_t n_files;
    const char **whys;    /* one a file; NULL: it stays */
    cluster_set **set_of; /* one a file; NULL: it has no mark of these columns */
    int64_t n_kept_sets;
    /* of the partition in work */
    int64_t first, end; /* its files */
    cluster_set **sets; /* ascending by bytes */
    int64_t n_sets;
    box *boxes;     /* one a column */
    uint64_t bytes; /* of the files that move */
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
    const sm_delta_file *f = c->files[i].file;
    const sm_range *ranges = sm_snapshot_ranges(c->snapshot, f, c->arena);

    SM_ASSERT(!c->whys[i] && i >= c->first && i < c->end);
    c->whys[i] = why;
    c->bytes += f->size_bytes;
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

bool smi_cluster_is_of_others(const smi_cluster_goal *goal, const sm_delta_file *f)
{
    return goal->has_domain && f->cluster_provider.len > 0 &&
           !sm_str_eq(f->cluster_provider, SMI_CLUSTER_PROVIDER);
}

/* Why a file is not sorted as it should be; NULL where it is, or is for others to sort. */
static const char *unsorted(const choosing *c, const sm_delta_file *f)
{
    const smi_cluster_mark m = smi_cluster_mark_of(f);

    if (smi_cluster_is_of_others(c->goal, f) || sm_str_eq(m.by, c->goal->by)) {
        return NULL;
    }
    return m.by.len > 0 ? "clustered otherwise" : "not clustered";
}

/* The rows of all files that are not sorted; INT64_MAX: not known. */
static int64_t unsorted_rows(const choosing *c)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < c->n_files; i++) {
        const int64_t n = unsorted(c, c->files[i].file) ? sm_delta_file_rows(c->files[i].file) : 0;
        if (n < 0) {
            return INT64_MAX;
        }
        sum += n;
    }
    return sum;
}

/* Finds the sets of the partition, and moves its files that are of none. */
static void find_sets(choosing *c, bool may_move)
{
    sm_map *by_id = sm_map_new(c->arena);

    for (int64_t i = c->first; i < c->end; i++) {
        const sm_delta_file *f = c->files[i].file;
        const char *why = unsorted(c, f);
        if (why && may_move) {
            move_file(c, i, why);
        }
        if (why || smi_cluster_is_of_others(c->goal, f)) {
            continue;
        }
        const sm_str id = smi_cluster_mark_of(f).set;
        cluster_set **set = (cluster_set **)sm_map_at(by_id, id);
        if (!*set) {
            *set = SM_NEW(c->arena, cluster_set);
            (*set)->id = id;
            c->sets[c->n_sets++] = *set;
        }
        c->set_of[i] = *set;
        (*set)->n_files++;
        (*set)->bytes += f->size_bytes;
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
        for (int64_t i = c->first; i < c->end; i++) {
            if (c->set_of[i] == set && !c->whys[i] && !may_stay(c, c->files[i].file)) {
                move_file(c, i, "of a set that is small beside what moves");
                has_moved = true;
            }
        }
    }
}

/* Chooses among the files of a partition. */
static void choose_partition(choosing *c, int64_t first, int64_t end, bool may_move)
{
    c->first = first;
    c->end = end;
    c->n_sets = 0;
    c->bytes = 0;
    memset(c->boxes, 0, (size_t)c->goal->n_columns * sizeof(*c->boxes));
    find_sets(c, may_move);
    for (int64_t k = 0;
         k < c->n_sets && c->bytes > 0 && c->sets[k]->bytes <= SMI_CLUSTER_SLACK * c->bytes; k++) {
        move_set(c, c->sets[k]);
    }
    for (int64_t k = 0; k < c->n_sets; k++) {
        SM_ASSERT(c->sets[k]->n_moved <= c->sets[k]->n_files);
        c->n_kept_sets += c->sets[k]->n_moved < c->sets[k]->n_files;
    }
}

static void take_choice(const choosing *c, sm_arena *a, smi_cluster_choice *out)
{
    *out = (smi_cluster_choice){
        .files = SM_NEW_ARRAY(a, const sm_delta_file *, c->n_files + 1),
        .whys = SM_NEW_ARRAY(a, const char *, c->n_files + 1),
        .partitions = SM_NEW_ARRAY(a, int64_t, c->n_files + 1),
        .n_kept_sets = c->n_kept_sets,
    };
    for (int64_t i = 0; i < c->n_files; i++) {
        const sm_delta_file *f = c->files[i].file;
        if (c->whys[i]) {
            out->files[out->n_files] = f;
            out->whys[out->n_files] = c->whys[i];
            out->partitions[out->n_files++] = c->files[i].partition;
        } else if (c->set_of[i] || smi_cluster_is_of_others(c->goal, f)) {
            out->n_kept++;
            out->kept_bytes += f->size_bytes;
        } else {
            out->n_waiting++;
        }
    }
    SM_ASSERT(out->n_files + out->n_kept + out->n_waiting == c->n_files);
}

/* May rows of the partition move? */
static bool is_asked_for(const choosing *c, const sm_delta_file *f, sm_buf *text)
{
    const int32_t n = sm_snapshot_metadata(c->snapshot)->n_partition_columns;

    return !c->goal->only ||
           sm_map_get(c->goal->only, smi_partition_identity(f->partition, n, text));
}

void smi_cluster_choose(const sm_snapshot *s, const smi_cluster_goal *goal, sm_arena *a,
                        smi_cluster_choice *out)
{
    choosing c = {.goal = goal,
                  .snapshot = s,
                  .arena = a,
                  .boxes = SM_NEW_ARRAY(a, box, goal->n_columns + 1)};
    sm_buf text = {0};

    SM_ASSERT(goal->by.len > 0 && goal->n_columns > 0);
    c.files = smi_partition_files(s, a, &c.n_files);
    c.whys = SM_NEW_ARRAY(a, const char *, c.n_files + 1);
    c.set_of = SM_NEW_ARRAY(a, cluster_set *, c.n_files + 1);
    c.sets = SM_NEW_ARRAY(a, cluster_set *, c.n_files + 1);
    const bool is_worth = unsorted_rows(&c) >= goal->least_rows;
    for (int64_t at = 0, end = 1; at < c.n_files; end++) {
        if (end == c.n_files || c.files[end].partition != c.files[at].partition) {
            choose_partition(&c, at, end, is_worth && is_asked_for(&c, c.files[at].file, &text));
            at = end;
        }
    }
    sm_buf_release(&text);
    take_choice(&c, a, out);
}
