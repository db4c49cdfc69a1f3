/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_part.c: which of the partitions that a clustering moves one commit takes, and
 * which of these one plan sorts. Called by table_cluster.c.
 *
 * Commits  Partitions are taken in their order until they have MOST_BYTES or MOST_FILES. One that
 *          is larger is a commit by itself, as a table without partitions is: the rows of a set
 *          are sorted together. So a killed run keeps what it has committed, and a commit's list
 *          of files stays small.
 * Runs     A partition that is larger than a row group has a curve of its own, through its own
 *          values: a plan of two passes over its rows. For each of some thousand small ones that
 *          would be two plans of a few rows, and files that are opened one after the other. So up
 *          to MOST_SHARED of them are sorted by one plan: the key of a row is its bin, then its
 *          place on a curve through the values of all. Each becomes one row group, and within one
 *          the order is of use to pages only. */
#include "table/table_cluster_int.h"
#include "table/table_curve_int.h"

#define MOST_BYTES  ((uint64_t)1 << 30)
#define MOST_FILES  1000
#define MOST_SHARED 64 /* with more, the ranks of one partition's values could be too few */

_Static_assert(MOST_FILES <= 1 << (64 - SMI_CURVE_BIN_SHIFT), "a bin has a file at least");

typedef struct taking {
    const smi_cluster_choice *choice;
    int64_t most_rows; /* of a partition that is small */
    int64_t range_rows;
    smi_cluster_part *out;
    bool is_open;   /* the last run may take further small partitions */
    int64_t n_rows; /* of that run since its last quantile */
    uint64_t *quantiles;
} taking;

/* Behind the last file of the partition that file `at` is of. */
static int64_t end_of_partition(const smi_cluster_choice *c, int64_t at)
{
    int64_t end = at + 1;

    while (end < c->n_files && c->partitions[end] == c->partitions[at]) {
        end++;
    }
    return end;
}

/* How many rows some files have; INT64_MAX: not known. */
static int64_t rows_of(const smi_cluster_choice *c, int64_t first, int64_t end)
{
    int64_t sum = 0;

    for (int64_t i = first; i < end; i++) {
        const int64_t n = sm_delta_file_rows(c->files[i]);
        if (n < 0) {
            return INT64_MAX;
        }
        sum += n;
    }
    return sum;
}

/* Puts the next bin into a run. */
static void put_in_run(taking *t, int64_t n_rows)
{
    smi_cluster_part *p = t->out;
    const bool is_small = n_rows <= t->most_rows;
    smi_cluster_run *run = NULL;

    if (!is_small || !t->is_open || p->items[p->n_runs - 1].n_bins == MOST_SHARED) {
        run = &p->items[p->n_runs++];
        *run = (smi_cluster_run){.bin = p->n_bins, .quantiles = t->quantiles};
        t->n_rows = 0;
    }
    run = &p->items[p->n_runs - 1];
    if (t->n_rows >= t->range_rows) {
        *t->quantiles++ = (uint64_t)p->n_bins << SMI_CURVE_BIN_SHIFT;
        run->n_quantiles++;
        t->n_rows = 0;
    }
    run->n_bins++;
    t->n_rows += is_small ? n_rows : 0;
    t->is_open = is_small;
}

static void take_partition(taking *t, int64_t end)
{
    smi_cluster_part *p = t->out;

    put_in_run(t, rows_of(t->choice, p->n_files, end));
    for (int64_t i = p->n_files; i < end; i++) {
        p->bins[i] = p->n_bins;
        p->runs[i] = p->n_runs - 1;
        p->bytes += t->choice->files[i]->size_bytes;
    }
    p->n_files = end;
    p->n_bins++;
}

void smi_cluster_part_take(const smi_cluster_choice *c, int64_t group_rows, int64_t range_rows,
                           sm_arena *a, smi_cluster_part *out)
{
    taking t = {.choice = c,
                .most_rows = group_rows - group_rows / 4,
                .range_rows = range_rows,
                .out = out,
                .quantiles = SM_NEW_ARRAY(a, uint64_t, c->n_files + 1)};

    SM_ASSERT(group_rows > 0 && range_rows > 0);
    *out = (smi_cluster_part){
        .files = c->files,
        .whys = c->whys,
        .bins = SM_NEW_ARRAY(a, int64_t, c->n_files + 1),
        .runs = SM_NEW_ARRAY(a, int64_t, c->n_files + 1),
        .items = SM_NEW_ARRAY(a, smi_cluster_run, c->n_files + 1),
    };
    while (out->n_files < c->n_files && out->n_files < MOST_FILES && out->bytes < MOST_BYTES) {
        take_partition(&t, end_of_partition(c, out->n_files));
    }
    SM_ASSERT(out->n_runs <= out->n_bins && out->n_bins <= out->n_files);
    out->is_last = out->n_files == c->n_files;
}
