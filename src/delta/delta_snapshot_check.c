/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_snapshot_check.c: does a snapshot keep what delta.h and delta_int.h say of it? Debug
 * and sanitizer builds ask when one was opened, and again (cheaply) before a commit or a checkpoint
 * is made of it. Tests ask of broken ones.
 *
 * Cheap    counts, the schema and its partition columns, each file against its add
 * Deep     the maps: each live file, tombstone and transaction is found by its name, and only once
 * Never    what a log may say wrongly: that is an error of smi_state_finish() in every build */
#include "delta/delta_int.h"

#define REFUSE(cond, reason)                                                                       \
    do {                                                                                           \
        if (cond) {                                                                                \
            *why = (reason);                                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* ---- counts and columns ---------------------------------------------------------------------- */

static bool check_counts(const sm_snapshot *s, const char **why)
{
    REFUSE(s->version < 0, "a snapshot has no version");
    REFUSE(!s->has_protocol || !s->has_metadata, "a snapshot has no protocol or no metadata");
    REFUSE(s->n_adds < 0 || s->n_adds > s->cap_adds || s->n_adds > s->cap_dead,
           "a snapshot has more adds than room for them");
    REFUSE(s->n_tombstones < 0 || s->n_tombstones > s->cap_tombstones,
           "a snapshot has more tombstones than room for them");
    REFUSE(s->n_txns < 0 || s->n_txns > s->cap_txns,
           "a snapshot has more transactions than room for them");
    REFUSE(s->n_domains < 0 || s->n_domains > s->cap_domains,
           "a snapshot has more domains than room for them");
    REFUSE(s->n_files < 0 || s->n_files > s->cap_files || (s->n_files > 0 && !s->is_listed),
           "a snapshot has more files than room for them");
    return true;
}

static bool check_protocol(const sm_delta_protocol *p, const char **why)
{
    REFUSE(p->min_reader > 3, "a snapshot needs a reader that smelt is not");
    REFUSE((p->n_reader_features > 0 && !p->reader_features) ||
               (p->n_writer_features > 0 && !p->writer_features),
           "a protocol counts features that it does not have");
    return true;
}

static bool check_columns(const sm_delta_metadata *m, const char **why)
{
    REFUSE(!m->schema || m->schema->id != SM_TYPE_STRUCT, "a snapshot has no schema");
    return smi_partitions_validate(m, why);
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool check_file(const sm_delta_file *f, const sm_delta_metadata *m, const char **why)
{
    REFUSE(f->path.len == 0, "a file has no path");
    REFUSE(f->n_rows < -1, "a file has fewer rows than none");
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t at = sm_type_find(m->schema, m->partition_columns[i]);
        REFUSE(!f->partition || !sm_type_eq(f->partition[i].type, m->schema->fields[at].type),
               "a file's partition value is not of its column's type");
    }
    return true;
}

/* The number of live adds of commits; −1: something is wrong with them. */
static int64_t count_live(const sm_snapshot *s, const char **why)
{
    int64_t n = 0;

    for (int64_t i = 0; i < s->n_adds; i++) {
        const bool is_add = s->adds[i].kind == SMI_ACTION_ADD;
        const bool is_placed = s->ranks[i] >= 0 && s->ranks[i] <= i;
        const bool is_anchored =
            s->anchors[i] >= -1 && s->anchors[i] < sm_map_count(s->anchor_by_path);
        if (!is_add || !is_placed || !is_anchored) {
            *why = !is_add      ? "an add of a snapshot is another action"
                   : !is_placed ? "an add stands behind its own place"
                                : "an add stands in the place of an unknown file";
            return -1;
        }
        n += !s->is_dead[i];
    }
    return n;
}

/* Files are the live adds, in the table's order, where there is no checkpoint. */
static bool check_ordered(const sm_snapshot *s, const int64_t *live, const char **why)
{
    for (int64_t i = 0; i < s->n_files; i++) {
        const smi_action *add = &s->adds[live[i]];
        const sm_delta_file *f = &s->files[i];
        REFUSE(!sm_str_eq(f->path, add->path), "files are not in the order of their adds");
        REFUSE(f->size_bytes != add->size_bytes || !f->dv != !add->dv,
               "a file differs from its add in size or deletion vector");
    }
    return true;
}

static bool check_files(const sm_snapshot *s, const char **why)
{
    bool out = true;
    int64_t n = count_live(s, why);

    /* Where a log compaction file gave other files than the checksum says, the files are those that
     * the commits give, and the adds are not. */
    const bool is_doubted = s->n_compacted > 0 && s->has_checksum;
    if (n < 0 || !s->is_listed || is_doubted) {
        return n >= 0;
    }
    REFUSE(n > s->n_files && !s->is_narrowed, "a snapshot has fewer files than live adds");
    REFUSE(n < s->n_files && s->base.version < 0, "a snapshot has more files than live adds");
    if (s->base.version < 0 && !s->is_narrowed) {
        sm_arena *a = sm_arena_new(NULL);
        out = check_ordered(s, smi_state_live(s, a, &n), why);
        sm_arena_free(a);
    }
    for (int64_t i = 0; out && i < s->n_files; i++) {
        out = check_file(&s->files[i], &s->metadata, why);
    }
    return out;
}

/* ---- maps ------------------------------------------------------------------------------------ */

static int64_t count_places(const sm_map *m)
{
    int64_t n = 0;

    for (int64_t i = 0; i < sm_map_count(m); i++) {
        n += sm_map_value(m, i) != NULL;
    }
    return n;
}

static bool check_paths(const sm_snapshot *s, sm_buf *name, const char **why)
{
    int64_t n_live = 0;

    for (int64_t i = 0; i < s->n_adds; i++) {
        const sm_str id = smi_file_identity(&s->home, s->adds[i].path, s->adds[i].dv, name);
        if (!s->is_dead[i]) {
            n_live++;
            REFUSE(smi_place_of(s->by_path, id) != i, "a live file is not found by its path");
            REFUSE(smi_place_of(s->tombstone_by_path, id) >= 0, "a live file has a tombstone");
        }
    }
    REFUSE(count_places(s->by_path) != n_live, "the map of paths finds files that are dead");
    return true;
}

static bool check_tombstones(const sm_snapshot *s, sm_buf *name, const char **why)
{
    int64_t n = 0;

    for (int64_t i = 0; i < s->n_tombstones; i++) {
        const smi_tombstone *t = &s->tombstones[i];
        if (!t->is_live_again) {
            const sm_str id = smi_file_identity(&s->home, t->path, t->dv, name);
            REFUSE(smi_place_of(s->tombstone_by_path, id) != i,
                   "a tombstone is not found by its path, or stands twice");
            n++;
        }
    }
    REFUSE(count_places(s->tombstone_by_path) != n, "the map of tombstones finds files that live");
    return true;
}

static bool check_txns(const sm_snapshot *s, const char **why)
{
    for (int64_t i = 0; i < s->n_txns; i++) {
        REFUSE(smi_place_of(s->txn_by_id, s->txns[i].app_id) != i,
               "a transaction is not found by its application, or stands twice");
    }
    REFUSE(count_places(s->txn_by_id) != s->n_txns,
           "the map of transactions counts others than there are");
    for (int64_t i = 0; i < s->n_domains; i++) {
        REFUSE(smi_place_of(s->domain_by_name, s->domains[i].name) != i,
               "a domain is not found by its name, or stands twice");
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool smi_snapshot_validate(const sm_snapshot *s, bool deep, const char **why)
{
    sm_buf name = {0};

    if (!check_counts(s, why) || !check_protocol(&s->protocol, why) ||
        !check_columns(&s->metadata, why) || !check_files(s, why)) {
        return false;
    }
    const bool out = !deep || (check_paths(s, &name, why) && check_tombstones(s, &name, why) &&
                               check_txns(s, why));
    sm_buf_release(&name);
    return out;
}

void smi_snapshot_assert_valid(const sm_snapshot *s, bool deep)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (!smi_snapshot_validate(s, deep, &why)) {
        sm_assert_failed(why, __FILE__, __LINE__);
    }
#else
    (void)s, (void)deep;
#endif
}
