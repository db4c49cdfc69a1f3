/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_check.c: does the record of an operation (sm_delta_commit) keep what delta.h promises
 * of it, against the snapshot it starts from? Debug and sanitizer builds ask before each commit.
 *
 * Cheap    what stands in the record itself: presence, counts that cannot be negative, removes in
 *          the base's order
 * Deep     what needs a look at each file: removes that the base may have, keys of adds that are
 *          unique, ranges that fit the schema
 * Never    whether the operation is allowed (features, append-only, conflicts): that is an answer
 *          to a user, which delta_commit.c gives in every build. */
#include "delta/delta_int.h"

#define REFUSE(cond, reason)                                                                       \
    do {                                                                                           \
        if (cond) {                                                                                \
            *why = (reason);                                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* ---- what is said ---------------------------------------------------------------------------- */

static bool check_details(const sm_delta_detail *items, int32_t n, const char **why)
{
    for (int32_t i = 0; i < n; i++) {
        REFUSE(items[i].key.len == 0, "a parameter or metric has no name");
        REFUSE(!items[i].value.type, "a parameter or metric has no type");
        const sm_type_id id = items[i].value.type->id;
        REFUSE(id != SM_TYPE_STRING && id != SM_TYPE_I64 && id != SM_TYPE_BOOL,
               "a parameter or metric is neither text nor a number nor true or false");
        for (int32_t k = 0; k < i; k++) {
            REFUSE(sm_str_eq(items[k].key, items[i].key), "a parameter or metric is said twice");
        }
    }
    return true;
}

static bool check_txns(const sm_delta_commit *c, const char **why)
{
    for (int64_t i = 0; i < c->n_txns; i++) {
        REFUSE(c->txns[i].app_id.len == 0, "a transaction has no application");
        REFUSE(c->txns[i].version < 0, "a transaction's version is negative");
    }
    return true;
}

static bool check_domains(const sm_delta_commit *c, const sm_snapshot *base, const char **why)
{
    const sm_delta_protocol *p = c->protocol ? c->protocol : base ? &base->protocol : NULL;

    REFUSE(c->n_domains > 0 && !(p && sm_delta_has_feature(p, "domainMetadata")),
           "a table without domains gets one");
    for (int64_t i = 0; i < c->n_domains; i++) {
        REFUSE(c->domains[i].name.len == 0, "a domain has no name");
        for (int64_t k = 0; k < i; k++) {
            REFUSE(sm_str_eq(c->domains[k].name, c->domains[i].name), "a domain is set twice");
        }
    }
    return true;
}

static bool check_read(const sm_delta_commit *c, const sm_snapshot *base, const sm_type *schema,
                       const char **why)
{
    REFUSE(c->isolation != SM_READ_NOTHING && !base, "a new table has nothing to be read");
    for (int32_t i = 0; i < c->read.n; i++) {
        const sm_bound *b = &c->read.items[i];
        REFUSE(b->n_path < 1 || b->path[0] < 0 || b->path[0] >= schema->n_fields,
               "a bound of what was read is of no column");
    }
    return true;
}

/* ---- partitions ------------------------------------------------------------------------------ */

bool smi_partitions_validate(const sm_delta_metadata *m, const char **why)
{
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t at = sm_type_find(m->schema, m->partition_columns[i]);
        REFUSE(at < 0 || sm_type_is_nested(m->schema->fields[at].type->id),
               "a partition column is no column with plain values");
        for (int32_t k = 0; k < i; k++) {
            REFUSE(sm_str_eq(m->partition_columns[k], m->partition_columns[i]),
                   "a partition column is named twice");
        }
    }
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Do the commits after the base's checkpoint say nothing else than that the file is live? Those of
 * the checkpoint are not looked up: there may be a million. */
static bool may_be_live(const sm_snapshot *base, const sm_delta_file *f)
{
    sm_buf text = {0};
    const sm_str id = smi_identity_of(f, &text);
    const bool is_live = smi_place_of(base->by_path, id) >= 0;
    const bool is_gone = smi_place_of(base->tombstone_by_path, id) >= 0;

    sm_buf_release(&text);
    return is_live || (!is_gone && base->base.version >= 0);
}

static bool check_removes(const sm_delta_commit *c, const sm_snapshot *base, bool deep,
                          const char **why)
{
    REFUSE((c->n_removes > 0 || c->removes_all) && !base, "a new table has no file to be removed");
    REFUSE(c->removes_all && (c->removes || c->n_removes != c->removes_all->n_files),
           "all files are removed, and some");
    REFUSE(c->removes_all && c->n_marks > 0, "all files are removed, and some are marked");
    for (int64_t i = 0; i < c->n_removes && !c->removes_all; i++) {
        const sm_delta_file *f = c->removes[i];
        REFUSE(i > 0 && f <= c->removes[i - 1], "removes are not in the base's order, each once");
        REFUSE(deep && !may_be_live(base, f), "a file that is removed is not of the base");
    }
    return true;
}

static bool check_restores(const sm_delta_commit *c, const sm_snapshot *base, const char **why)
{
    REFUSE(c->restores_each && (base || c->restores), "files are restored in two ways");
    for (int64_t i = 0; i < c->n_restores && !c->restores_each; i++) {
        const sm_delta_file *f = c->restores[i];
        REFUSE(!f || f->path.len == 0, "a file that is restored has no name");
        REFUSE(!base && f->key.len > 0, "a new table has no file of its own to be restored");
        REFUSE(base && f >= base->files && f < base->files + base->n_files,
               "a file that is restored is there already");
    }
    return true;
}

static bool check_range(const sm_range *r, const sm_type *t, int64_t n_rows, const char **why)
{
    REFUSE(r->has_nulls && (r->n_nulls < 0 || r->n_nulls > n_rows),
           "a column has more NULLs than the file has rows");
    REFUSE((r->has_min && !sm_type_eq(r->min.type, t)) ||
               (r->has_max && !sm_type_eq(r->max.type, t)),
           "a bound is not of its column's type");
    REFUSE((r->has_min && r->min.is_null) || (r->has_max && r->max.is_null), "a bound is NULL");
    REFUSE(r->has_min && r->has_max && sm_value_cmp(r->min, r->max) > 0,
           "a column's least value is greater than its greatest");
    return true;
}

static bool check_changes(const sm_delta_commit *c, const sm_delta_metadata *m, const char **why)
{
    REFUSE(c->n_changes < 0, "a count is negative");
    REFUSE(c->n_changes > 0 && !sm_delta_has_feed(m), "the table records no changes");
    REFUSE(c->n_changes > 0 && c->keeps_rows, "rows changed, and the table keeps its rows");
    for (int64_t i = 0; i < c->n_changes; i++) {
        REFUSE(!sm_str_starts(c->changes[i].key, SM_STR(SM_CHANGE_FOLDER)),
               "a file of changes lies among those of rows");
        REFUSE(m->n_partition_columns > 0 && !c->changes[i].partition,
               "a file of changes is of no partition");
    }
    return true;
}

static bool check_add(const sm_delta_add *add, const sm_delta_metadata *m, bool deep,
                      const char **why)
{
    REFUSE(add->key.len == 0, "a new file has no name");
    REFUSE(sm_str_starts(add->key, SM_STR(SMI_LOG)), "a new file lies in the log");
    REFUSE(add->n_rows < 0, "a new file's rows are not known");
    REFUSE(m->n_partition_columns > 0 && !add->partition, "a new file is of no partition");
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t at = sm_type_find(m->schema, m->partition_columns[i]);
        REFUSE(!add->partition[i].type ||
                   !sm_type_eq(add->partition[i].type, m->schema->fields[at].type),
               "a new file's partition value is not of its column's type");
    }
    REFUSE(add->dv && (add->dv->cardinality < 0 || add->dv->cardinality > add->n_rows),
           "a deletion vector has more rows than its file");
    for (int32_t i = 0; deep && add->ranges && i < m->schema->n_fields; i++) {
        const sm_range *r = &add->ranges[i];
        REFUSE(sm_delta_partition_at(m, i) >= 0 && (r->has_min || r->has_max || r->has_nulls),
               "a partition column has statistics");
        if (!check_range(r, m->schema->fields[i].type, add->n_rows, why)) {
            return false;
        }
    }
    return true;
}

static bool is_removed(const sm_delta_commit *c, const sm_delta_file *f)
{
    int64_t first = 0, end = c->removes ? c->n_removes : 0;

    while (end - first > 1) { /* they are in the base's order */
        const int64_t middle = first + (end - first) / 2;
        if (c->removes[middle] <= f) {
            first = middle;
        } else {
            end = middle;
        }
    }
    return end > 0 && c->removes[first] == f;
}

static bool check_marks(const sm_delta_commit *c, const char **why)
{
    for (int64_t i = 0; i < c->n_marks; i++) {
        const sm_delta_mark *m = &c->marks[i];
        REFUSE(!is_removed(c, m->file), "a file that gets a deletion vector is not removed first");
        REFUSE(i > 0 && m->file <= c->marks[i - 1].file,
               "files that get deletion vectors are not in the base's order, each once");
        REFUSE(m->dv->cardinality <= 0 || m->dv->cardinality > m->file->n_rows,
               "a new deletion vector has no rows, or more than its file");
        REFUSE(m->file->dv && m->dv->cardinality <= m->file->dv->cardinality,
               "a new deletion vector has fewer rows than the one before");
    }
    return true;
}

static bool are_unique(const sm_delta_add *adds, int64_t n)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_map *seen = sm_map_new(a);
    bool out = true;

    for (int64_t i = 0; i < n && out; i++) {
        void **at = sm_map_at(seen, adds[i].key);
        out = !*at;
        *at = a;
    }
    sm_arena_free(a);
    return out;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool sm_delta_commit_validate(const sm_delta_commit *c, const sm_snapshot *base, bool deep,
                              const char **why)
{
    const sm_delta_metadata *m = c->metadata ? c->metadata : base ? &base->metadata : NULL;

    REFUSE(!m || !m->schema, "the table has no schema");
    if (!smi_partitions_validate(m, why)) {
        return false;
    }
    REFUSE(c->n_adds < 0 || c->n_removes < 0 || c->n_restores < 0 || c->n_marks < 0 ||
               c->n_txns < 0 || c->n_domains < 0,
           "a count is negative");
    REFUSE(!base && c->keeps_rows && c->n_adds > 0, "a new table's rows were not there before");
    if (!check_details(c->parameters, c->n_parameters, why) ||
        !check_details(c->metrics, c->n_metrics, why) || !check_txns(c, why) ||
        !check_domains(c, base, why) || !check_read(c, base, m->schema, why) ||
        !check_removes(c, base, deep, why) || !check_restores(c, base, why) ||
        !check_marks(c, why) || !check_changes(c, m, why)) {
        return false;
    }
    for (int64_t i = 0; i < c->n_adds; i++) {
        if (!check_add(&c->adds[i], m, deep, why)) {
            return false;
        }
        REFUSE(c->adds[i].place && !is_removed(c, c->adds[i].place),
               "a new file takes the place of one that stays");
    }
    REFUSE(deep && !are_unique(c->adds, c->n_adds), "a file is added twice");
    return true;
}
