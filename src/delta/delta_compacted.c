/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_compacted.c: log compaction files (X.Y.compacted.json): what the commits X to Y say
 * together, so that a reader opens one file in place of many. Called by delta_snapshot.c, which
 * reads them, by delta_due.c, which has them written, and by delta_audit.c.
 *
 * Choice   Of all ways to go from the checkpoint to the version, by commits and by compaction
 *          files, the one with the fewest files.
 * Doubt    A compaction file only repeats commits that are still there. So one that is damaged, or
 *          that may not say all that its commits say, is passed over, and the commits are read:
 *          - A line that is no action, an action of checkpoints or of changes, or two lines about
 *            the same thing: then their order would decide, which no reader has to keep.
 *          - Others leave out removals that are older than the table keeps removed files, as in
 *            checkpoints. There that is harmless; here a file would come back. So such a file must
 *            be younger than that, counted from its first commit.
 *          - Others leave out domains that were removed. So such a file must name each domain that
 *            was there before it.
 * Own      The first line says who wrote the file, as commitInfo does in a commit; readers pass
 *          over it. smelt's own files leave nothing out.
 * Order    The adds are in the order of the table. One that stands in the place of a file that was
 *          there before names that file by its tag; what is in the place of a file of these
 *          commits stands where that stood. Files of other writers have an order of their own.
 *
 * Source  PROTOCOL.md, "Log Compaction Files", "Action Reconciliation" */
#include <inttypes.h>

#include "base/time.h"
#include "delta/delta_int.h"

/* ---- which are read -------------------------------------------------------------------------- */

/* Entries that are no files of versions stand anywhere in the listing. */
static bool is_from(const smi_log_entry *w, int64_t version)
{
    return w->kind == SMI_ENTRY_OTHER || w->version >= version;
}

static bool is_usable(const smi_log_entry *w, int64_t from, int64_t to)
{
    return w->kind == SMI_ENTRY_COMPACTED && w->version >= from && w->last <= to &&
           w->last > w->version;
}

int64_t *smi_compacted_choose(const smi_log_listing *l, int64_t from, int64_t to, sm_arena *a)
{
    int64_t i = l->n - 1;
    bool has_some = false;

    for (int64_t k = 0; k < l->n && !has_some; k++) {
        has_some = is_usable(&l->what[k], from, to);
    }
    if (!has_some) {
        return NULL;
    }
    SM_ASSERT(from >= 0 && to > from);
    /* From the end: the fewest files that are read from a version on, and the first of them. */
    const int64_t n = to - from + 1;
    int64_t *n_files = SM_NEW_ARRAY(a, int64_t, n + 1);
    int64_t *chosen = SM_NEW_ARRAY(a, int64_t, n);
    n_files[n] = 0;
    for (int64_t v = n - 1; v >= 0; v--) {
        n_files[v] = n_files[v + 1] + 1;
        chosen[v] = -1;
        for (; i >= 0 && is_from(&l->what[i], from + v); i--) {
            const smi_log_entry *w = &l->what[i];
            if (w->version == from + v && is_usable(w, from, to) &&
                n_files[w->last - from + 1] + 1 < n_files[v]) {
                n_files[v] = n_files[w->last - from + 1] + 1;
                chosen[v] = i;
            }
        }
    }
    SM_ASSERT(n_files[0] > 0 && n_files[0] < n); /* one was usable */
    return chosen;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct compacted {
    sm_snapshot *snapshot;
    sm_map *names; /* what each action is about: its kind, and a name */
    sm_buf name;
    bool is_own;
} compacted;

static const char *const kind_words[] = {
    [SMI_ACTION_ADD] = "file",          [SMI_ACTION_REMOVE] = "file",
    [SMI_ACTION_METADATA] = "metadata", [SMI_ACTION_PROTOCOL] = "protocol",
    [SMI_ACTION_TXN] = "transaction",   [SMI_ACTION_DOMAIN] = "domain",
};

/* What no other line may be about. */
static sm_str name_of(compacted *c, const smi_action *action)
{
    sm_buf file = {0};

    SM_ASSERT(kind_words[action->kind]);
    sm_buf_reset(&c->name);
    sm_buf_text(&c->name, sm_str_of(kind_words[action->kind]));
    if (SMI_KIND(action->kind) & SMI_FILES) {
        sm_buf_text(&c->name,
                    smi_file_identity(&c->snapshot->home, action->path, action->dv, &file));
    } else if (action->kind == SMI_ACTION_TXN) {
        sm_buf_text(&c->name, action->txn.app_id);
    } else if (action->kind == SMI_ACTION_DOMAIN) {
        sm_buf_text(&c->name, action->domain.name);
    }
    sm_buf_release(&file);
    return sm_buf_str(&c->name);
}

static sm_status take_action(void *ctx, const smi_action *action, sm_error *e)
{
    compacted *c = ctx;

    if (action->kind == SMI_ACTION_COMMIT_INFO) {
        const sm_str engine = sm_json_text(sm_json_get(action->info, "engineInfo"));
        c->is_own = sm_str_starts(engine, SM_STR("smelt/"));
        return SM_OK;
    }
    if (action->kind == SMI_ACTION_SIDECAR || action->kind == SMI_ACTION_CDC) {
        return sm_fail(e, SM_CORRUPT, "a log compaction file has an action of another kind");
    }
    if (action->kind == SMI_ACTION_OTHER) {
        return SM_OK;
    }
    void **place = sm_map_at(c->names, name_of(c, action));
    if (*place) {
        return sm_fail(e, SM_CORRUPT, "two lines are about the same %s", kind_words[action->kind]);
    }
    *place = c->snapshot;
    return smi_state_apply(c->snapshot, action, e);
}

/* The commit's time is later than when its writer took the time of its removals: half of what the
 * table allows is left for that. */
static sm_status check_removals(const compacted *c, const smi_log_listing *l, int64_t i,
                                sm_error *e)
{
    const int64_t keeps_us = sm_delta_retention_us(&c->snapshot->metadata);
    const int64_t first = l->what[i].version;
    int64_t at = i;

    while (at < l->n && (l->what[at].kind != SMI_ENTRY_COMMIT || l->what[at].version != first)) {
        at++;
    }
    SM_ASSERT(at < l->n); /* no commit is missing */
    return l->entries[i].modified_us - l->entries[at].modified_us < keeps_us / 2
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "it may lack removals, which were old when it was written");
}

static sm_status check_domains(compacted *c, int64_t n_before, sm_error *e)
{
    SM_ASSERT(n_before <= c->snapshot->n_domains); /* a replay adds domains, and removes none */
    for (int64_t i = 0; i < n_before; i++) {
        const sm_delta_domain *d = &c->snapshot->domains[i];
        const smi_action action = {.kind = SMI_ACTION_DOMAIN, .domain = *d};
        if (!d->is_removed && !sm_map_get(c->names, name_of(c, &action))) {
            return sm_fail(e, SM_CORRUPT, "it does not say whether the domain %.*s is still there",
                           SM_STR_ARG(d->name));
        }
    }
    return SM_OK;
}

sm_status smi_compacted_replay(sm_snapshot *s, const smi_log_listing *l, int64_t i, bool is_doubted,
                               sm_error *e)
{
    const int64_t n_domains = s->n_domains;
    sm_arena *a = sm_arena_new(s->budget);
    compacted c = {.snapshot = s, .names = sm_map_new(a)};
    const smi_log_reading what = {.budget = s->budget, .each = take_action, .ctx = &c};

    SM_ASSERT(l->what[i].kind == SMI_ENTRY_COMPACTED && l->what[i].last > l->what[i].version);
    s->n_compacted++;
    sm_status st = smi_log_text_read(s->store, l->entries[i].key, &what, e);
    if (st == SM_OK && is_doubted && !c.is_own) {
        st = check_removals(&c, l, i, e);
        st = st == SM_OK ? check_domains(&c, n_domains, e) : st;
    }
    sm_buf_release(&c.name);
    sm_arena_free(a);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The file of the log that an add's place is that of, as SMI_TAG_PLACE has it; no data: the add
 * has no tag. */
static sm_str tagged_place(const smi_action *add)
{
    sm_str place = {0};

    for (int32_t i = 0; i < add->n_tags; i++) {
        if (sm_str_is(add->tags[i].key, SMI_TAG_PLACE)) {
            place = add->tags[i].value;
        }
    }
    return place;
}

static bool is_removed(const sm_snapshot *s, sm_str identity)
{
    SM_ASSERT(identity.len > 0);
    return smi_place_of(s->tombstone_by_path, identity) >= 0;
}

/* The place of an add as the file names it, in `out`: of a file that was there before these
 * commits; of one that they do not know, as they say it; else none, since the line says it. false:
 * read from the file, the place would be another one. */
static bool find_place(const sm_snapshot *s, int64_t i, sm_buf *out)
{
    const sm_str tag = tagged_place(&s->adds[i]);

    SM_ASSERT(i < s->n_adds && !s->is_dead[i]);
    sm_buf_reset(out);
    if (s->anchors[i] >= 0) {
        const sm_str anchor = sm_map_key(s->anchor_by_path, s->anchors[i]);
        smi_tag_of_identity(anchor, out);
        return is_removed(s, anchor);
    }
    if (tag.len == 0 || s->ranks[i] != i) {
        return true;
    }
    smi_identity_of_tag(&s->home, tag, out);
    const bool is_known = is_removed(s, sm_buf_str(out));
    sm_buf_reset(out);
    sm_buf_text(out, tag);
    return !is_known;
}

static void put_add_tags(const smi_action *add, sm_str place, sm_json_writer *w)
{
    bool has_others = false;

    for (int32_t i = 0; i < add->n_tags; i++) {
        has_others = has_others || !sm_str_is(add->tags[i].key, SMI_TAG_PLACE);
    }
    if (!has_others && place.len == 0) {
        return;
    }
    sm_json_set_object(w, "tags");
    for (int32_t i = 0; i < add->n_tags; i++) {
        if (!sm_str_is(add->tags[i].key, SMI_TAG_PLACE)) {
            sm_json_key(w, add->tags[i].key);
            smi_put_text_or_null(w, add->tags[i].value);
        }
    }
    if (place.len > 0) {
        sm_json_set_text(w, SMI_TAG_PLACE, place);
    }
    sm_json_end_object(w);
}

static void print_add(const smi_action *add, sm_str place, sm_json_writer *w)
{
    SM_ASSERT(add->kind == SMI_ACTION_ADD && add->path.len > 0);
    smi_begin_action(w, "add");
    sm_json_set_text(w, "path", add->path);
    smi_put_pairs(w, "partitionValues", add->partition, add->n_partition);
    sm_json_set_u64(w, "size", add->size_bytes);
    sm_json_set_i64(w, "modificationTime", add->modified_ms);
    sm_json_set_bool(w, "dataChange", false); /* as in checkpoints */
    if (add->stats_json.len > 0) {
        sm_json_set_text(w, "stats", add->stats_json);
    }
    put_add_tags(add, place, w);
    if (add->dv) {
        smi_put_vector(w, add->dv);
    }
    smi_put_rows(w, add->base_row_id, add->row_version);
    if (add->cluster_provider.len > 0) {
        sm_json_set_text(w, "clusteringProvider", add->cluster_provider);
    }
    smi_end_action(w);
}

static void print_remove(const smi_tombstone *t, sm_json_writer *w)
{
    smi_begin_action(w, "remove");
    sm_json_set_text(w, "path", t->path);
    sm_json_set_i64(w, "deletionTimestamp", t->deleted_ms);
    sm_json_set_bool(w, "dataChange", false);
    if (t->dv) {
        smi_put_vector(w, t->dv);
    }
    smi_end_action(w);
}

/* All but the files. */
static void print_head(const sm_snapshot *s, sm_json_writer *w)
{
    smi_begin_action(w, "commitInfo");
    sm_json_set_i64(w, "timestamp", sm_now_us() / 1000);
    sm_json_set_text(w, "operation", SM_STR("LOG COMPACTION"));
    sm_json_set_text(w, "engineInfo", SM_STR("smelt/" SMELT_VERSION));
    smi_end_action(w);
    if (s->has_protocol) {
        sm_json_begin_object(w);
        smi_put_protocol(w, "protocol", &s->protocol);
        sm_json_end_object(w);
        sm_json_end_line(w);
    }
    if (s->has_metadata) {
        sm_json_begin_object(w);
        smi_put_metadata(w, "metaData", &s->metadata, s->schema_json);
        sm_json_end_object(w);
        sm_json_end_line(w);
    }
    for (int64_t i = 0; i < s->n_txns; i++) {
        smi_print_txn(&s->txns[i], w);
    }
    for (int64_t i = 0; i < s->n_domains; i++) {
        smi_print_domain(&s->domains[i], w); /* those that were removed too */
    }
}

/* The removes come before the adds that stand in their places. false: the file would not give the
 * order of the table. */
static bool print_files(const sm_snapshot *s, sm_arena *a, sm_json_writer *w)
{
    int64_t n = 0;
    sm_buf place = {0};
    bool is_ordered = true;
    const int64_t *live = smi_state_live(s, a, &n);

    for (int64_t i = 0; i < s->n_tombstones; i++) {
        if (!s->tombstones[i].is_live_again) {
            print_remove(&s->tombstones[i], w);
        }
    }
    for (int64_t i = 0; i < n && is_ordered; i++) {
        is_ordered = find_place(s, live[i], &place);
        print_add(&s->adds[live[i]], sm_buf_str(&place), w);
    }
    sm_buf_release(&place);
    return is_ordered;
}

sm_status smi_compacted_write(sm_store *store, int64_t first, int64_t last, sm_budget *budget,
                              sm_error *e)
{
    sm_snapshot *s = smi_snapshot_new(store, budget); /* what these commits alone say */
    sm_arena *a = sm_arena_new(budget);
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(first >= 0 && last > first);
    smi_begin_replay(s);
    sm_status st = smi_replay_commits(s, first, last, e);
    if (st == SM_OK) {
        SM_ASSERT(s->base.version < 0 && s->n_compacted == 0); /* commits alone */
        print_head(s, &w);
        if (print_files(s, a, &w)) {
            const sm_str key = sm_arena_strf(
                a, SMI_LOG "%020" PRId64 ".%020" PRId64 ".compacted.json", first, last);
            st = sm_store_put(store, key, text.data, text.len, SM_PUT_IF_ABSENT, e);
            st = st == SM_EXISTS ? SM_OK : st; /* another writer was faster */
        }
    }
    sm_buf_release(&text);
    sm_arena_free(a);
    sm_snapshot_release(s);
    return st;
}
