/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster.c: sorts a table's rows by a curve through some of its columns. Called by
 * `smelt table cluster`, and by the pipelines' tasks of that kind.
 *
 * Order      Complete the open publication, open the newest version, list the files that may move
 *            (table_cluster_list.c), choose among them (table_cluster_choose.c). One pass over
 *            their columns, or over some of their pages where there are many, samples them and
 *            gives the curve (table_curve.c). A second pass sorts
 *            their rows by its key, on disk where memory is short, into new files
 *            (table_rewrite.c), which are marked (table_cluster_mark.c).
 * Partitions Rows stay in their partition: each has sets and curves of its own, but that small ones
 *            share a curve. A commit takes some partitions (table_cluster_part.c). Then the newest
 *            version is opened and looked at again, until the partitions that had something to
 *            move at first are done; what others add meanwhile is left for the next run.
 * Properties The table remembers how it is clustered, so that the next clustering and others know:
 *            smelt.clusterBy (["day","name"]), smelt.clusterCurve (zorder), and what makes filters
 *            leave much out: delta.targetFileSize and smelt.rowGroupRows, unless the table has
 *            them already. They are set by the first clustering's own commit.
 * Domain     A table with the feature "clustering" says in a domain by which columns it is
 *            clustered (table_cluster_domain.c). They are the columns, and others are refused;
 *            where it says nothing yet, the commit says it. Partitioned tables have none: Delta
 *            excludes it.
 * Others     As any rewrite: only a commit that removed one of the files, or changed metadata,
 *            conflicts. The newest version is then looked at anew, MOST_TRIES times in a row. */
#include "table/table_cluster_int.h"
#include "table/table_curve_int.h"

#include <inttypes.h>

#include "base/json_doc.h"
#include "base/random.h"
#include "base/time.h"

/* 6 million rows by two columns are 256 row groups of 23,000 rows, of which a filter on one value
 * of either column reads 16. Twice the rows: 128, and 8 or 16 by the column. Scans of the whole
 * table do not show the difference. */
#define DEFAULT_FILE_BYTES ((uint64_t)16 << 20)
#define DEFAULT_GROUP_ROWS 32768

/* The most memory that sorting takes, so that a clustering beside other work leaves them theirs.
 * 6 million rows of nine columns: within 96 MB 2.2 CPU seconds, within this 1.9 and 331 MB at the
 * peak, within 768 MB 1.8 and 391 MB. */
#define MOST_BYTES ((size_t)512 << 20)
/* The same for a table in a bucket, of which more is on its way: 6 million rows in MinIO take
 * 1.45 CPU seconds within either, and 363 or 303 MB at the peak. */
#define MOST_FAR_BYTES ((size_t)400 << 20)

/* Rows that are sorted at a time: their columns take some MB, so that they stay in the cache while
 * they are gathered. And in how many parts a table is sorted at most, as each part gets its rows in
 * pieces: 65,536 rows are divided at a time. 60 million rows within 96 MB: 27 CPU seconds with
 * 1,024 parts; with 512 and with 256 a part has no room. */
#define RANGE_ROWS  32768
#define MOST_RANGES 1024

/* As many files as there are bytes for: an even number, so that two threads that write files side
 * by side are done at about the same time. Sorted rows take less than they did: 141 MB instead of
 * 157 of smelt's own files, 106 instead of 273 of delta-rs's. */
static int64_t files_for(uint64_t old_bytes, uint64_t file_bytes)
{
    const uint64_t bytes = old_bytes / 4 * 3;
    const uint64_t pairs = (bytes + file_bytes) / 2 / file_bytes;
    return pairs > 1 ? 2 * (int64_t)pairs : (int64_t)((bytes + file_bytes / 2) / file_bytes);
}

/* Not all rows are read for the sample where there are many: of pieces of so many neighbours one in
 * MOST_LEFT_OUT at the least, and LEAST_SAMPLED rows at the least. */
#define PIECE_ROWS    20480
#define LEAST_SAMPLED (1 << 18)
#define MOST_LEFT_OUT 8

#define MOST_TRIES    5
#define FIRST_WAIT_MS 50 /* after a conflict; doubled for each in a row */

#define BY_KEY    SM_STR("smelt.clusterBy")
#define CURVE_KEY SM_STR("smelt.clusterCurve")
#define FILE_KEY  SM_STR("delta.targetFileSize")
#define GROUP_KEY SM_STR("smelt.rowGroupRows")

typedef struct clustering {
    const sm_cluster *opts;
    const sm_exec_env *env;
    const sm_exec_env *bounded; /* the same, with a budget of MOST_BYTES: while files move */
    sm_arena *told;             /* of the report */
    sm_arena *arena;            /* of a try */
    sm_store *store;
    sm_snapshot *snapshot;
    const sm_str *by; /* as the schema has them */
    int32_t n_by;
    sm_curve curve;
    int32_t columns[SMI_CURVE_COLUMNS];
    smi_cluster_goal goal;
    int64_t group_rows;
    const sm_delta_metadata *metadata; /* changed, or NULL */
    sm_delta_domain domain; /* delta.clustering; its name is "" where it stays as it is */
    smi_out_sorted sorted;
    sm_map *todo;              /* identities of partitions; those that are done have no value */
    smi_cluster_part part;     /* of the commit in work */
    const uint64_t *quantiles; /* of the plan in work */
    int32_t n_quantiles;
    int64_t cap_files; /* of the report */
    sm_cluster_report *report;
} clustering;

/* ---- what the table says --------------------------------------------------------------------- */

static const sm_pair *property_of(const sm_delta_metadata *m, sm_str key)
{
    for (int32_t i = 0; i < m->n_config; i++) {
        if (sm_str_eq(m->config[i].key, key)) {
            return &m->config[i];
        }
    }
    return NULL;
}

static sm_status fail_property(sm_str key, sm_str text, sm_error *e)
{
    return sm_fail(e, SM_INVALID, "the table's property %.*s is not understood: \"%.*s\"",
                   SM_STR_ARG(key), SM_STR_ARG(text));
}

/* The columns that the table names; *n is 0 where it names none. */
static sm_status read_columns(const sm_delta_metadata *m, sm_arena *a, sm_str **out, int32_t *n,
                              sm_error *e)
{
    const sm_pair *said = property_of(m, BY_KEY);
    const sm_json *list = NULL;
    sm_error ignored = {0};

    *n = 0;
    if (!said) {
        return SM_OK;
    }
    if (sm_json_parse(said->value, a, &list, &ignored) != SM_OK || list->type != SM_JSON_ARRAY ||
        list->n_children > SMI_CURVE_COLUMNS) {
        return fail_property(BY_KEY, said->value, e);
    }
    *out = SM_NEW_ARRAY(a, sm_str, list->n_children + 1);
    for (const sm_json *item = list->child; item; item = item->next) {
        (*out)[(*n)++] = sm_json_text(item);
    }
    return SM_OK;
}

static bool are_same(const sm_str *x, int32_t n_x, const sm_str *y, int32_t n_y)
{
    bool is_same = n_x == n_y;

    for (int32_t i = 0; i < n_x && is_same; i++) {
        is_same = sm_str_eq(x[i], y[i]);
    }
    return is_same;
}

static sm_status read_curve(const sm_delta_metadata *m, sm_curve *out, sm_error *e)
{
    const sm_pair *said = property_of(m, CURVE_KEY);

    *out = said && sm_str_is(said->value, "hilbert") ? SM_CURVE_HILBERT : SM_CURVE_ZORDER;
    return !said || *out == SM_CURVE_HILBERT || sm_str_is(said->value, "zorder")
               ? SM_OK
               : fail_property(CURVE_KEY, said->value, e);
}

/* ---- columns --------------------------------------------------------------------------------- */

static sm_status check_column(const clustering *w, int32_t i, sm_error *e)
{
    const sm_type *schema = sm_snapshot_metadata(w->snapshot)->schema;
    const sm_field *f = &schema->fields[w->columns[i]];

    if (sm_delta_partition_at(sm_snapshot_metadata(w->snapshot), w->columns[i]) >= 0) {
        const sm_status st = sm_fail(e, SM_INVALID,
                                     "rows are not sorted by \"%.*s\": it is a partition column, "
                                     "with one value in all rows of a partition",
                                     SM_STR_ARG(f->name));
        sm_error_todo(e, "Leave it out: filters on it leave out whole partitions.");
        return st;
    }
    if (sm_type_is_nested(f->type->id)) {
        return sm_fail(e, SM_TYPE, "rows cannot be sorted by the nested column \"%.*s\"",
                       SM_STR_ARG(f->name));
    }
    for (int32_t k = 0; k < i; k++) {
        if (w->columns[k] == w->columns[i]) {
            return sm_fail(e, SM_USAGE, "column \"%.*s\" is named twice", SM_STR_ARG(f->name));
        }
    }
    return SM_OK;
}

static sm_status find_column(clustering *w, int32_t i, sm_str name, sm_error *e)
{
    const sm_type *schema = sm_snapshot_metadata(w->snapshot)->schema;
    sm_str *names = NULL;

    w->columns[i] = sm_type_find(schema, name);
    if (w->columns[i] >= 0) {
        return check_column(w, i, e);
    }
    names = SM_NEW_ARRAY(w->arena, sm_str, schema->n_fields + 1);
    for (int32_t k = 0; k < schema->n_fields; k++) {
        names[k] = sm_arena_str(w->arena, schema->fields[k].name); /* with a NUL */
    }
    const sm_status st = sm_fail(e, SM_NAME, "the table has no column \"%.*s\"", SM_STR_ARG(name));
    const char *near = sm_nearest_name(name, names, schema->n_fields);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

static sm_status fail_domain(const sm_str *said, int32_t n, sm_error *e)
{
    sm_buf names = {0};

    for (int32_t i = 0; i < n; i++) {
        sm_buf_printf(&names, "%s\"%.*s\"", i > 0 ? ", " : "", SM_STR_ARG(said[i]));
    }
    const sm_status st = sm_fail(e, SM_INVALID, "the table is clustered by %.*s (delta.clustering)",
                                 SM_STR_ARG(sm_buf_str(&names)));
    sm_error_todo(e, "Leave --by out, or name these columns in this order.");
    sm_buf_release(&names);
    return st;
}

/* Compares the columns with those of delta.clustering, or makes that of them. */
static sm_status settle_domain(clustering *w, const sm_str *said, int32_t n_said, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);
    const sm_type *schema = m->schema;

    w->domain = (sm_delta_domain){0};
    w->goal.has_domain = m->n_partition_columns == 0 && smi_cluster_has_domain(w->snapshot);
    if (n_said > 0) {
        return are_same(w->by, w->n_by, said, n_said) ? SM_OK : fail_domain(said, n_said, e);
    }
    if (w->goal.has_domain) {
        w->domain = smi_cluster_domain_make(schema, w->columns, w->n_by, w->arena);
    }
    return SM_OK;
}

/* The columns and the curve: those that were asked for, or the table's own. */
static sm_status settle_columns(clustering *w, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);
    const sm_str *by = w->opts->by;
    int32_t n_by = w->opts->n_by, n_own = 0, n_said = 0;
    sm_str *own = NULL, *said = NULL, *names = NULL;

    SM_TRY(read_columns(m, w->arena, &own, &n_own, e));
    SM_TRY(smi_cluster_domain_read(w->snapshot, w->arena, &said, &n_said, e));
    if (n_by == 0) {
        by = n_said > 0 ? said : own;
        n_by = n_said > 0 ? n_said : n_own;
    }
    if (n_by == 0) {
        const sm_status st =
            sm_fail(e, SM_USAGE, "the table does not say by which columns it is clustered");
        sm_error_todo(e, "Name them with --by: the ones that filters use most.");
        return st;
    }
    if (n_by > SMI_CURVE_COLUMNS) {
        return sm_fail(e, SM_USAGE, "a table is clustered by at most %d columns, not %" PRId32,
                       SMI_CURVE_COLUMNS, n_by);
    }
    names = SM_NEW_ARRAY(w->told, sm_str, n_by);
    for (int32_t i = 0; i < n_by; i++) {
        SM_TRY(find_column(w, i, by[i], e));
        names[i] = sm_arena_str(w->told, m->schema->fields[w->columns[i]].name);
    }
    SM_TRY(read_curve(m, &w->curve, e));
    w->by = names;
    w->n_by = n_by;
    if (w->opts->curve) {
        w->curve = *w->opts->curve;
    } else if (!are_same(names, n_by, own, n_own)) {
        w->curve = SM_CURVE_ZORDER;
    }
    return settle_domain(w, said, n_said, e);
}

/* ---- properties ------------------------------------------------------------------------------ */

/* The columns as JSON: what comes behind the curve's name in a mark. */
static sm_str columns_json(const clustering *w)
{
    const char *list = memchr(w->goal.by.data, '[', w->goal.by.len);

    SM_ASSERT(list != NULL);
    return (sm_str){list, w->goal.by.len - (size_t)(list - w->goal.by.data)};
}

/* Sets a property in `m`, which has room for it. true: it was another one before. */
static bool set_property(sm_pair *config, int32_t *n, sm_str key, sm_str value, bool keeps_own)
{
    for (int32_t i = 0; i < *n; i++) {
        if (sm_str_eq(config[i].key, key)) {
            const bool is_other = !keeps_own && !sm_str_eq(config[i].value, value);
            config[i].value = is_other ? value : config[i].value;
            return is_other;
        }
    }
    config[(*n)++] = (sm_pair){key, value};
    return true;
}

/* Makes the metadata that remembers how the table is clustered; none where it does already. */
static void settle_metadata(clustering *w)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);
    sm_delta_metadata *own = SM_NEW(w->arena, sm_delta_metadata);
    sm_pair *config = SM_NEW_ARRAY(w->arena, sm_pair, m->n_config + 4);
    const bool is_zorder = w->curve == SM_CURVE_ZORDER;
    bool is_other = false;

    *own = *m;             /* borrowed of the snapshot, which the candidate holds */
    if (m->n_config > 0) { /* else there is nothing to copy from */
        memcpy(config, m->config, (size_t)m->n_config * sizeof(*config));
    }
    is_other |= set_property(config, &own->n_config, BY_KEY, columns_json(w), false);
    is_other |= set_property(config, &own->n_config, CURVE_KEY,
                             is_zorder ? SM_STR("zorder") : SM_STR("hilbert"), false);
    is_other |= set_property(config, &own->n_config, FILE_KEY,
                             sm_arena_strf(w->arena, "%" PRIu64, w->goal.file_bytes), true);
    is_other |= set_property(config, &own->n_config, GROUP_KEY,
                             sm_arena_strf(w->arena, "%" PRId64, w->group_rows), true);
    own->config = config;
    w->metadata = is_other ? own : NULL;
}

static sm_status settle_goal(clustering *w, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);

    SM_TRY(settle_columns(w, e));
    SM_TRY(sm_delta_target_bytes(m, &w->goal.file_bytes, e));
    SM_TRY(smi_group_rows(m, &w->group_rows, e));
    w->group_rows = w->group_rows > 0 ? w->group_rows : DEFAULT_GROUP_ROWS;
    w->goal.file_bytes = w->goal.file_bytes > 0 ? w->goal.file_bytes : DEFAULT_FILE_BYTES;
    w->goal.by = smi_cluster_mark_text(w->curve, w->by, w->n_by, w->arena);
    w->goal.columns = w->columns;
    w->goal.n_columns = w->n_by;
    w->goal.least_rows = w->report->n_commits > 0 ? 0 : w->opts->least_rows;
    w->goal.only = w->report->n_commits > 0 ? w->todo : NULL;
    settle_metadata(w);
    w->report->by = w->by;
    w->report->n_by = w->n_by;
    w->report->curve = w->curve;
    return SM_OK;
}

/* ---- the rows in order ----------------------------------------------------------------------- */

static sm_status push_sample(void *sample, sm_batch *rows, sm_waker waker, sm_error *e)
{
    (void)waker, (void)e;
    smi_sample_add(sample, rows);
    return SM_OK;
}

/* How many rows the files of a run have; −1: the log does not say. */
static int64_t rows_of_run(const clustering *w, int64_t at)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < w->part.n_files && sum >= 0; i++) {
        const int64_t n = w->part.runs[i] == at ? sm_delta_file_rows(w->part.files[i]) : 0;
        sum = n < 0 ? -1 : sum + n;
    }
    return sum;
}

/* How often the rows are halved by the curve until a cell has at most three quarters of a row
 * group's. */
static int depth_of(const clustering *w, int64_t n_rows)
{
    int depth = 0;

    while (depth < 63 && n_rows >> depth > w->group_rows - w->group_rows / 4) {
        depth++;
    }
    return depth;
}

/* Of how many rows one is to be sampled. Where the rows are in the order of a column, four pieces
 * must be within the width of a cell, so that its ranks are even; and enough rows must be left. */
static int64_t one_of(const clustering *w, int64_t n_rows)
{
    const int depth = depth_of(w, n_rows), halvings = (depth + w->n_by - 1) / w->n_by;
    const int64_t by_cells = (n_rows >> halvings) / (4 * PIECE_ROWS);
    const int64_t by_rows = n_rows / LEAST_SAMPLED;
    const int64_t n = by_cells < by_rows ? by_cells : by_rows;
    return n < 1 ? 1 : n < MOST_LEFT_OUT ? n : MOST_LEFT_OUT;
}

/* The columns that are sorted by, of all rows or of one in so many. */
static const sm_plan_node *plan_sample(const clustering *w, const sm_plan_node *rows,
                                       const int32_t *places, int64_t one, sm_arena *a)
{
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, w->n_by);

    SM_ASSERT(one > 0 && w->n_by > 0);
    if (one > 1) {
        const sm_plan_node *scan = rows;
        while (scan->kind != SM_PLAN_SCAN) {
            scan = scan->inputs[0];
        }
        const sm_dataset *all = scan->as.scan.dataset;
        sm_dataset *some = SM_NEW(a, sm_dataset);
        *some = *all;
        some->one_of = one;
        some->files = SM_NEW_ARRAY(a, sm_datafile, all->n_files);
        for (int64_t i = 0, n = 0; i < all->n_files; i++) {
            some->files[i] = all->files[i];
            some->files[i].rows_before = n;
            n += all->files[i].n_rows;
        }
        const sm_relation relation = {.dataset = some, .label = scan->as.scan.label};
        rows = sm_plan_scan(&relation, false, a);
    }
    for (int32_t i = 0; i < w->n_by; i++) {
        const int32_t place = one > 1 ? sm_type_find(rows->schema, w->by[i]) : places[i];
        exprs[i] = sm_expr_column(rows->schema, place, a);
    }
    return sm_plan_project(rows, exprs, w->by, w->n_by, a);
}

/* Chooses the cells of the curve that become row groups: of three eighths to three quarters of a
 * group's rows, so that most of them fit into one whatever the sample has missed. */
static void settle_cells(clustering *w, int64_t n_rows, int bits)
{
    const int wanted = depth_of(w, n_rows), depth = wanted < bits ? wanted : bits;

    w->sorted.cell_shift = depth > 0 ? bits - depth : 64;
    w->sorted.group_rows = w->group_rows;
    w->sorted.least_rows = w->group_rows / 4; /* and smaller ones share it with the next */
}

/* The bytes of the files of a run, for the rows of them that are left. */
static uint64_t bytes_of_run(const clustering *w, int64_t at)
{
    uint64_t sum = 0;

    for (int64_t i = 0; i < w->part.n_files; i++) {
        const sm_delta_file *f = w->part.files[i];
        const double n = (double)sm_delta_file_rows(f), of = (double)f->n_rows;
        const double share = f->n_rows > 0 && n >= 0 && n < of ? n / of : 1;
        sum += w->part.runs[i] == at ? (uint64_t)((double)f->size_bytes * share) : 0;
    }
    return sum;
}

/* Chooses the quantiles that are cuts, from one of which to the next is about a file. They are
 * moved to where their cell begins. */
static void settle_cuts(clustering *w, int64_t at, uint64_t *quantiles, sm_arena *a)
{
    const int shift = w->sorted.cell_shift;
    const int64_t n = files_for(bytes_of_run(w, at), w->goal.file_bytes);
    const int64_t n_ranges = w->n_quantiles + 1, n_parts = n < n_ranges ? n : n_ranges;
    uint64_t *cuts = SM_NEW_ARRAY(a, uint64_t, n_parts);

    SM_ASSERT(w->n_quantiles >= 0 && w->goal.file_bytes > 0);
    w->sorted.n_cuts = 0;
    for (int64_t i = 1; i < n_parts && shift < 64; i++) {
        const int64_t k = i * n_ranges / n_parts - 1;
        const uint64_t cut = quantiles[k] >> shift << shift;
        if (cut > (w->sorted.n_cuts > 0 ? cuts[w->sorted.n_cuts - 1] : 0)) {
            cuts[w->sorted.n_cuts++] = cut;
            for (int64_t j = k; j >= 0 && quantiles[j] > cut; j--) {
                quantiles[j] = cut;
            }
        }
    }
    w->sorted.cuts = cuts;
}

/* Keys between which the rows are sorted apart from others. */
static void settle_quantiles(clustering *w, int64_t at, int64_t n_rows, const smi_curve *curve,
                             const smi_sample *s, sm_arena *a)
{
    const smi_cluster_run *run = &w->part.items[at];
    const int64_t n = n_rows / RANGE_ROWS;

    if (run->n_bins > 1) {
        w->n_quantiles = run->n_quantiles;
        w->quantiles = run->quantiles;
        w->sorted.n_cuts = 0;
        return;
    }
    w->n_quantiles = n > MOST_RANGES ? MOST_RANGES - 1 : n > 0 ? (int32_t)n - 1 : 0;
    uint64_t *quantiles = SM_NEW_ARRAY(a, uint64_t, w->n_quantiles + 1);
    smi_curve_quantiles(curve, s, w->n_quantiles, quantiles);
    settle_cuts(w, at, quantiles, a);
    w->quantiles = quantiles;
}

/* Makes the curve from a sample of the rows. A partition of several is one cell. */
static sm_status sample_rows(clustering *w, int64_t at, const sm_plan_node *rows,
                             const int32_t *places, sm_arena *a, const smi_curve **out, sm_error *e)
{
    const bool is_shared = w->part.items[at].n_bins > 1;
    const int64_t said = rows_of_run(w, at);
    const int64_t one = is_shared || said < 0 ? 1 : one_of(w, said);
    const sm_plan_node *columns = plan_sample(w, rows, places, one, a);
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, w->n_by);
    sm_plan *plan = NULL;

    for (int32_t i = 0; i < w->n_by; i++) {
        types[i] = columns->schema->fields[i].type;
    }
    SM_TRY(sm_plan_finish(columns, a, &plan, e));
    smi_sample *s = smi_sample_new(types, w->n_by, w->bounded->budget);
    smi_sample_expect(s, said < 0 ? 0 : said / one);
    const sm_sink sink = {.ctx = s, .push = push_sample};
    const sm_status st = sm_exec_run(plan, w->bounded, &sink, NULL, NULL, e);
    if (st == SM_OK) {
        const int64_t n_rows = one > 1 ? said : smi_sample_rows(s);
        *out = smi_curve_new(w->curve, s, is_shared ? SMI_CURVE_BIN_SHIFT : 64, a);
        settle_cells(w, is_shared ? 0 : n_rows, smi_curve_bits(*out) * w->n_by);
        settle_quantiles(w, at, n_rows, *out, s, a);
    }
    smi_sample_free(s);
    return st;
}

/* The first n columns of `in`, and behind them others. */
static const sm_plan_node *with_columns(const sm_plan_node *in, int32_t n,
                                        const sm_expr *const *others, int32_t n_others, sm_arena *a)
{
    static const sm_str names[] = {{"bin", 3}, {"key", 3}};
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + n_others);
    sm_str *all = SM_NEW_ARRAY(a, sm_str, n + n_others);

    SM_ASSERT(n_others <= SM_COUNT(names));
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(in->schema, i, a);
        all[i] = in->schema->fields[i].name;
    }
    for (int32_t i = 0; i < n_others; i++) {
        exprs[n + i] = others[i];
        all[n + i] = names[SM_COUNT(names) - n_others + i];
    }
    return sm_plan_project(in, exprs, all, n + n_others, a);
}

/* Makes of the rows of a run's files, and their bin, the same in order, and their key. */
static sm_status plan_sorted(void *ctx, int64_t at, const sm_plan_node *rows, sm_arena *a,
                             const sm_plan_node **out, sm_error *e)
{
    clustering *w = ctx;
    const smi_cluster_run *run = &w->part.items[at];
    const bool is_shared = run->n_bins > 1;
    const int32_t n = rows->schema->n_fields - 1;
    int32_t places[SMI_CURVE_COLUMNS];
    const smi_curve *curve = NULL;

    SM_ASSERT(at < w->part.n_runs);
    for (int32_t i = 0; i < w->n_by; i++) {
        places[i] = sm_type_find(rows->schema, w->by[i]);
        SM_ASSERT(places[i] >= 0 && places[i] < n);
    }
    SM_TRY(sample_rows(w, at, rows, places, a, &curve, e));
    const sm_expr *key = smi_curve_expr(curve, rows->schema, places, is_shared ? n : -1, a);
    const int32_t n_kept = is_shared ? n + 1 : n; /* the bin of a row, unless it is one */
    const sm_plan_node *keyed = with_columns(rows, n_kept, &key, 1, a);
    *out = sm_plan_sort_even(keyed, n_kept, w->quantiles, w->n_quantiles, a);
    if (!is_shared) {
        const sm_expr *const last[] = {sm_expr_constant(sm_value_i64(run->bin), a),
                                       sm_expr_column((*out)->schema, n, a)};
        *out = with_columns(*out, n, last, SM_COUNT(last), a);
    }
    return SM_OK;
}

/* ---- the report ------------------------------------------------------------------------------ */

/* Tells files that moved, or would. */
static void tell_files(clustering *w, const sm_delta_file *const *files, const char *const *whys,
                       int64_t n)
{
    sm_cluster_report *r = w->report;
    sm_cluster_file *told = (sm_cluster_file *)r->files;

    for (int64_t i = 0; i < n; i++) {
        told = sm_arena_grow(w->told, told, r->n_removed, &w->cap_files, sizeof(*told));
        told[r->n_removed++] = (sm_cluster_file){
            .path = sm_arena_str(w->told, files[i]->path),
            .size_bytes = files[i]->size_bytes,
            .n_rows = sm_delta_file_rows(files[i]),
            .why = whys[i],
        };
        r->removed_bytes += files[i]->size_bytes;
    }
    r->files = told;
}

/* Tells what stays, as it is before the first commit, and takes note of what is to be done. */
static void tell_choice(clustering *w, const smi_cluster_choice *c)
{
    const int32_t n = sm_snapshot_metadata(w->snapshot)->n_partition_columns;
    sm_cluster_report *r = w->report;
    sm_buf text = {0};

    w->todo = sm_map_new(w->told);
    for (int64_t i = 0; i < c->n_files; i++) {
        *sm_map_at(w->todo, smi_partition_identity(c->files[i]->partition, n, &text)) = w;
    }
    sm_buf_release(&text);
    r->from = sm_snapshot_version(w->snapshot);
    r->n_kept = c->n_kept;
    r->n_waiting = c->n_waiting;
    r->kept_bytes = c->kept_bytes;
    r->n_sets = c->n_kept_sets + sm_map_count(w->todo);
}

static void tell_commit(clustering *w, const sm_candidate *c, int64_t version)
{
    const int32_t n = sm_snapshot_metadata(w->snapshot)->n_partition_columns;
    sm_cluster_report *r = w->report;
    sm_buf text = {0};

    r->version = version;
    r->n_commits++;
    r->n_added += c->record.n_adds;
    r->added_bytes += c->bytes;
    for (int64_t i = 0; i < c->record.n_adds; i++) {
        r->n_rows += c->record.adds[i].n_rows;
    }
    tell_files(w, w->part.files, w->part.whys, w->part.n_files);
    for (int64_t i = 0; i < w->part.n_files; i++) {
        *sm_map_at(w->todo, smi_partition_identity(w->part.files[i]->partition, n, &text)) = NULL;
    }
    sm_buf_release(&text);
}

/* ---- a commit -------------------------------------------------------------------------------- */

static sm_status move_files(clustering *w, sm_error *e)
{
    char set[SM_UUID_BYTES];
    sm_candidate *c = NULL;
    int64_t version = -1;

    sm_uuid(set);
    const smi_cluster_mark mark = {.by = w->goal.by,
                                   .set = sm_arena_str(w->arena, sm_str_of(set)),
                                   .is_told = w->goal.has_domain};
    const smi_rewrite rewrite = {
        .base = w->snapshot,
        .files = w->part.files,
        .n_files = w->part.n_files,
        .bins = w->part.bins,
        .runs = w->part.runs,
        .file_bytes = w->goal.file_bytes,
        .group_rows = w->group_rows,
        .z_order_by = columns_json(w),
        .sorted = &w->sorted,
        .plan = plan_sorted,
        .ctx = w,
    };
    w->sorted = (smi_out_sorted){.mark = &mark};
    SM_TRY(smi_rewrite_files(&rewrite, w->bounded, &c, e));
    c->record.metadata = w->metadata;
    if (w->domain.name.len > 0) {
        c->record.domains = &w->domain;
        c->record.n_domains = 1;
    }
    smi_candidate_assert_valid(c);
    const sm_status st = sm_publish(&c, 1, w->env->budget, &version, NULL, e);
    if (st == SM_OK) {
        tell_commit(w, c, version);
    }
    sm_candidate_release(c); /* before the arena that its metadata and marks are in */
    return st;
}

static sm_status move_within_bound(clustering *w, sm_error *e)
{
    sm_exec_env bounded = *w->env;

    bounded.budget = sm_budget_new(w->env->budget, "clustering",
                                   sm_store_is_far(w->store) ? MOST_FAR_BYTES : MOST_BYTES);
    w->bounded = &bounded;
    const sm_status st = move_files(w, e);
    w->bounded = NULL;
    sm_budget_free(bounded.budget);
    return st;
}

/* Looks at the version that is open, and makes one commit of what is to be moved. */
static sm_status cluster_snapshot(clustering *w, bool *is_done, sm_error *e)
{
    smi_cluster_choice choice;
    smi_cluster_rest rest;

    SM_TRY(settle_goal(w, e));
    SM_TRY(smi_cluster_list(w->snapshot, &w->goal, &rest, e));
    smi_cluster_choose(w->snapshot, &w->goal, w->arena, &choice);
    choice.n_kept += rest.n_files;
    choice.kept_bytes += rest.bytes;
    choice.n_kept_sets += rest.n_sets;
    if (w->report->n_commits == 0) {
        tell_choice(w, &choice);
    }
    *is_done = w->opts->is_dry || choice.n_files == 0;
    if (w->opts->is_dry) {
        tell_files(w, choice.files, choice.whys, choice.n_files);
    }
    if (*is_done) {
        return SM_OK;
    }
    smi_cluster_part_take(&choice, w->group_rows, RANGE_ROWS, w->arena, &w->part);
    SM_TRY(move_within_bound(w, e));
    *is_done = w->part.is_last;
    return SM_OK;
}

static void wait_after(const clustering *w, int n_conflicts)
{
    const int wait_ms = FIRST_WAIT_MS << n_conflicts;

    for (int ms = 0; ms < wait_ms && !sm_cancel_is_set(w->env->cancel); ms += FIRST_WAIT_MS) {
        sm_sleep_ms(FIRST_WAIT_MS);
    }
}

static sm_status try_once(clustering *w, bool *is_done, sm_error *e)
{
    w->arena = sm_arena_new(w->env->budget);
    sm_status st = smi_open_settled(w->store, w->opts->is_dry, w->env->budget, &w->snapshot, e);
    if (st == SM_OK) {
        st = cluster_snapshot(w, is_done, e);
    }
    sm_snapshot_release(w->snapshot);
    w->snapshot = NULL;
    w->part = (smi_cluster_part){0};
    sm_arena_free(w->arena);
    w->arena = NULL;
    return st;
}

/* One commit, or the end: *is_done. */
static sm_status next_commit(clustering *w, bool *is_done, sm_error *e)
{
    sm_status st = try_once(w, is_done, e);

    for (int tries = 1; tries < MOST_TRIES && st == SM_CONFLICT; tries++) {
        wait_after(w, tries - 1);
        w->report->n_conflicts++;
        st = try_once(w, is_done, e);
    }
    return st;
}

sm_status sm_table_cluster(const sm_cluster *c, const sm_exec_env *env, sm_arena *a,
                           sm_cluster_report *out, sm_error *e)
{
    SM_ASSERT(c && env && out && c->uri.len > 0);
    SM_ASSERT(c->n_by == 0 || c->by);
    *out = (sm_cluster_report){.from = -1, .version = -1};
    clustering w = {.opts = c, .env = env, .told = a, .report = out};
    bool is_done = false;

    sm_status st = sm_store_open(env->stores, c->uri, &w.store, e);
    while (st == SM_OK && !is_done) {
        st = next_commit(&w, &is_done, e);
    }
    sm_store_release(w.store);
    return st == SM_OK ? st : sm_within(e, st, "table %.*s", SM_STR_ARG(c->uri));
}
