/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_state.c: replays actions into a table's state: metadata, protocol, transactions, and
 * what the commits after the checkpoint added and removed. Called by delta_snapshot.c in the order
 * of the log. The checkpoint's own files do not pass here: delta_files.c reads them when somebody
 * asks for them.
 *
 * A file is its path and its deletion vector, however the log spells them: an add with another
 * vector is another file. All adds
 * are kept in order, those of removed files too, so that a scan gives rows in the order of loading.
 * A map finds the live add of a file. An add whose tag says so (SMI_TAG_PLACE) stands where a file
 * stood that its commit has removed: it has the same rows in the same order, in fewer files.
 * Checkpoints have the files in that order, and need no such tag.
 * What is kept of an action is copied, so that the commit's text can go.
 *
 * Source  PROTOCOL.md, "Action Reconciliation" */
#include "base/text.h"
#include "delta/delta_int.h"

#include <stdlib.h>

/* By what it leads to: a file of vectors in the table's folder by its relative text, another one by
 * its plain path; without an offset it is the first one there. */
static void add_vector(const smi_home *home, const sm_delta_dv *dv, sm_buf *out)
{
    const bool is_absolute = sm_str_is(dv->storage_type, "p");
    const bool is_inline = sm_str_is(dv->storage_type, "i");
    const int64_t offset = dv->offset < 0 && !is_inline ? SMI_FIRST_VECTOR : dv->offset;

    sm_buf_text(out, (sm_str){"\0", 1});
    if (!is_absolute) {
        sm_buf_text(out, dv->storage_type);
        sm_buf_text(out, dv->path_or_inline);
    } else {
        sm_arena *a = sm_arena_new(NULL);
        sm_buf text = {0};
        const sm_str relative =
            dv->relative.len > 0 ? dv->relative : smi_vector_relative(home, dv, a);
        sm_buf_text(out, relative.len > 0 ? SM_STR("u") : SM_STR("p"));
        sm_buf_text(out,
                    relative.len > 0 ? relative : smi_path_plain(home, dv->path_or_inline, &text));
        sm_buf_release(&text);
        sm_arena_free(a);
    }
    sm_buf_printf(out, "@%lld", (long long)offset);
}

sm_str smi_file_identity(const smi_home *home, sm_str path, const sm_delta_dv *dv, sm_buf *out)
{
    const sm_str plain = smi_path_plain(home, path, out);

    if (plain.data != (const char *)out->data) {
        sm_buf_text(out, plain);
    }
    if (dv) {
        add_vector(home, dv, out);
    }
    return sm_buf_str(out);
}

sm_str smi_identity_of(const sm_delta_file *f, sm_buf *out)
{
    if (f->key.len == 0) { /* it lies outside the table */
        return smi_file_identity(NULL, f->path, f->dv, out);
    }
    smi_path_of_key(f->key, out);
    if (f->dv) {
        add_vector(NULL, f->dv, out);
    }
    return sm_buf_str(out);
}

sm_hash128 smi_path_hash(const smi_home *home, sm_str path)
{
    sm_buf text = {0};
    const sm_str id = smi_path_plain(home, path, &text);
    sm_hash128 h = sm_hash128_of(id.data, id.len, 0);

    sm_buf_release(&text);
    h.low += h.low == 0 && h.high == 0;
    return h;
}

/* A map's value is an index plus one, held as a pointer: NULL means that there is none. */
static int64_t place_get(void *const *place)
{
    return (int64_t)(intptr_t)*place - 1;
}
static void place_set(void **place, int64_t index)
{
    SM_ASSERT(index >= 0 && place_get(place) != index);
    *place = (void *)(intptr_t)(index + 1);
}

int64_t smi_place_of(const sm_map *m, sm_str name)
{
    void *const place = sm_map_get(m, name);

    return place_get(&place);
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* The copy of a text without data has none either: that is how a null is held. */
static sm_str copy_text(sm_str s, sm_arena *a)
{
    return s.data ? sm_arena_str(a, s) : s;
}

static const sm_str *copy_texts(const sm_str *items, int32_t n, sm_arena *a)
{
    sm_str *out = n > 0 ? SM_NEW_ARRAY(a, sm_str, n) : NULL;

    for (int32_t i = 0; i < n; i++) {
        out[i] = copy_text(items[i], a);
    }
    return out;
}

static const sm_pair *copy_pairs(const sm_pair *items, int32_t n, sm_arena *a)
{
    sm_pair *out = n > 0 ? SM_NEW_ARRAY(a, sm_pair, n) : NULL;

    for (int32_t i = 0; i < n; i++) {
        out[i] =
            (sm_pair){.key = copy_text(items[i].key, a), .value = copy_text(items[i].value, a)};
    }
    return out;
}

const sm_delta_dv *smi_vector_copy(const sm_delta_dv *dv, sm_arena *a)
{
    if (!dv) {
        return NULL;
    }
    sm_delta_dv *out = SM_NEW(a, sm_delta_dv);
    *out = *dv;
    out->storage_type = copy_text(dv->storage_type, a);
    out->path_or_inline = copy_text(dv->path_or_inline, a);
    out->relative = copy_text(dv->relative, a);
    return out;
}

smi_action smi_add_copy(const smi_action *add, sm_arena *a)
{
    smi_action out = *add;

    SM_ASSERT(add->path.len > 0);
    out.path = copy_text(add->path, a);
    out.partition = copy_pairs(add->partition, add->n_partition, a);
    out.stats_json = copy_text(add->stats_json, a);
    out.dv = smi_vector_copy(add->dv, a);
    out.tags = copy_pairs(add->tags, add->n_tags, a);
    out.cluster_provider = copy_text(add->cluster_provider, a);
    return out;
}

static sm_delta_metadata copy_metadata(const sm_delta_metadata *m, sm_arena *a)
{
    sm_delta_metadata out = *m;

    out.id = copy_text(m->id, a);
    out.name = copy_text(m->name, a);
    out.description = copy_text(m->description, a);
    out.partition_columns = copy_texts(m->partition_columns, m->n_partition_columns, a);
    out.config = copy_pairs(m->config, m->n_config, a);
    return out;
}

static sm_delta_protocol copy_protocol(const sm_delta_protocol *p, sm_arena *a)
{
    sm_delta_protocol out = *p;

    out.reader_features = copy_texts(p->reader_features, p->n_reader_features, a);
    out.writer_features = copy_texts(p->writer_features, p->n_writer_features, a);
    return out;
}

/* ---- actions --------------------------------------------------------------------------------- */

void smi_tag_of_identity(sm_str identity, sm_buf *out)
{
    sm_buf_reset(out);
    sm_buf_text(out, identity);
    for (size_t i = 0; i < out->len; i++) {
        out->data[i] = out->data[i] == '\0' ? '\n' : out->data[i];
    }
}

/* "uTEXT@4"; false: it is the name of no vector. */
static bool vector_of_tag(sm_str text, sm_delta_dv *out)
{
    size_t at = text.len;

    while (at > 0 && text.data[at - 1] != '@') {
        at--;
    }
    if (at < 3) {
        return false;
    }
    *out = (sm_delta_dv){
        .storage_type = {text.data, 1},
        .path_or_inline = {text.data + 1, at - 2},
    };
    return sm_parse_i64((sm_str){text.data + at, text.len - at}, &out->offset);
}

void smi_identity_of_tag(const smi_home *home, sm_str tag, sm_buf *out)
{
    const char *end = memchr(tag.data, '\n', tag.len);
    const size_t n_path = end ? (size_t)(end - tag.data) : tag.len;

    /* Another writer may spell it otherwise. */
    sm_delta_dv dv = {0};
    const bool has_vector = end && vector_of_tag((sm_str){end + 1, tag.len - n_path - 1}, &dv);
    smi_file_identity(home, (sm_str){tag.data, n_path}, has_vector ? &dv : NULL, out);
}

/* The tombstone of the file whose place an add takes by its tag, or −1. */
static int64_t tombstone_of_place(const sm_snapshot *s, const smi_action *add, sm_buf *id)
{
    int64_t at = -1;

    for (int32_t i = 0; i < add->n_tags; i++) {
        if (sm_str_is(add->tags[i].key, SMI_TAG_PLACE)) {
            smi_identity_of_tag(&s->home, add->tags[i].value, id);
            at = smi_place_of(s->tombstone_by_path, sm_buf_str(id));
        }
    }
    return at;
}

/* The number of the file of the checkpoint whose place is taken. */
static int64_t anchor_of(sm_snapshot *s, sm_str id)
{
    void **place = sm_map_at(s->anchor_by_path, id);

    if (place_get(place) < 0) {
        place_set(place, sm_map_count(s->anchor_by_path) - 1);
    }
    return place_get(place);
}

/* Makes room for one more item. These arrays are not in the arena, which keeps what an array leaves
 * behind when it grows: a log may have a hundred thousand commits. */
static void *grow(sm_snapshot *s, void *items, int64_t n, int64_t *cap, size_t size_bytes)
{
    SM_ASSERT(n >= 0 && n <= *cap);
    if (n < *cap) {
        return items;
    }
    const int64_t more = *cap < 4 ? 8 : *cap;
    sm_budget_force(s->budget, (size_t)more * size_bytes);
    *cap += more;
    return sm_realloc(items, (size_t)*cap * size_bytes);
}

void smi_state_release(sm_snapshot *s)
{
    const size_t bytes =
        (size_t)s->cap_adds * sizeof(*s->adds) + (size_t)s->cap_dead * sizeof(*s->is_dead) +
        (size_t)s->cap_ranks * sizeof(*s->ranks) + (size_t)s->cap_anchors * sizeof(*s->anchors) +
        (size_t)s->cap_tombstones * sizeof(*s->tombstones);

    sm_free(s->adds);
    sm_free(s->is_dead);
    sm_free(s->ranks);
    sm_free(s->anchors);
    sm_free(s->tombstones);
    sm_budget_give(s->budget, bytes);
}

/* Where the add that comes next stands: behind all others, or in the place that its tag names: that
 * of an earlier add, or of a file that no commit here has added, so that it is the checkpoint's. */
static void place_add(sm_snapshot *s, const smi_action *add)
{
    sm_buf id = {0};
    const int64_t n = s->n_adds;
    const int64_t at = tombstone_of_place(s, add, &id);

    s->ranks = grow(s, s->ranks, n, &s->cap_ranks, sizeof(*s->ranks));
    s->anchors = grow(s, s->anchors, n, &s->cap_anchors, sizeof(*s->anchors));
    s->ranks[n] = n;
    s->anchors[n] = -1;
    if (at >= 0 && s->tombstones[at].rank >= 0) {
        s->ranks[n] = s->tombstones[at].rank;
    } else if (at >= 0) {
        const int64_t anchor = s->tombstones[at].anchor;
        s->anchors[n] = anchor >= 0 ? anchor : anchor_of(s, sm_buf_str(&id));
    }
    sm_buf_release(&id);
}

/* `was`: the live add of the file of an action, by which it is known. */
static void note_spelling(sm_snapshot *s, const smi_action *action, int64_t was)
{
    struct smi_respelt *r = &s->respelt;

    SM_ASSERT(was >= 0 && was < s->n_adds);
    if (was >= s->replaying.first_add || sm_str_eq(action->path, s->adds[was].path)) {
        return;
    }
    if (r->n++ == 0) {
        r->now = copy_text(action->path, s->arena);
        r->was = was;
        r->is_removed = action->kind == SMI_ACTION_REMOVE;
    }
}

static void apply_add(sm_snapshot *s, const smi_action *action)
{
    sm_buf key = {0};

    const sm_str id = smi_file_identity(&s->home, action->path, action->dv, &key);
    void **place = sm_map_at(s->by_path, id);
    const int64_t old = place_get(place);
    if (old >= 0) {
        SM_ASSERT(old < s->n_adds && !s->is_dead[old]);
        s->is_dead[old] = true;
        note_spelling(s, action, old);
    }
    s->adds = grow(s, s->adds, s->n_adds, &s->cap_adds, sizeof(*s->adds));
    s->is_dead = grow(s, s->is_dead, s->n_adds, &s->cap_dead, sizeof(*s->is_dead));
    s->adds[s->n_adds] = smi_add_copy(action, s->arena);
    s->is_dead[s->n_adds] = false;
    place_add(s, action);
    place_set(place, s->n_adds++);

    place = sm_map_at(s->tombstone_by_path, id);
    if (place_get(place) >= 0) {
        SM_ASSERT(!s->tombstones[place_get(place)].is_live_again);
        s->tombstones[place_get(place)].is_live_again = true;
        *place = NULL;
    }
    sm_buf_release(&key);
}

static void apply_remove(sm_snapshot *s, const smi_action *action)
{
    sm_buf key = {0};

    int64_t rank = -1, anchor = -1;

    const sm_str id = smi_file_identity(&s->home, action->path, action->dv, &key);
    void **place = sm_map_at(s->by_path, id);
    if (place_get(place) >= 0) {
        SM_ASSERT(place_get(place) < s->n_adds && !s->is_dead[place_get(place)]);
        s->is_dead[place_get(place)] = true;
        note_spelling(s, action, place_get(place));
        anchor = s->anchors[place_get(place)];
        rank = anchor < 0 ? s->ranks[place_get(place)] : -1;
        *place = NULL;
    }
    place = sm_map_at(s->tombstone_by_path, id);
    int64_t at = place_get(place);
    if (at < 0) { /* else it is removed a second time: the later removal counts */
        at = s->n_tombstones++;
        s->tombstones = grow(s, s->tombstones, at, &s->cap_tombstones, sizeof(*s->tombstones));
        place_set(place, at);
    }
    SM_ASSERT(at < s->n_tombstones && s->n_tombstones <= s->cap_tombstones);
    s->tombstones[at] = (smi_tombstone){
        .path = copy_text(action->path, s->arena),
        .deleted_ms = action->modified_ms,
        .version = s->replaying.version,
        .dv = smi_vector_copy(action->dv, s->arena),
        .rank = rank,
        .anchor = anchor,
    };
    sm_buf_release(&key);
}

static void apply_txn(sm_snapshot *s, const sm_delta_txn *txn)
{
    void **place = sm_map_at(s->txn_by_id, txn->app_id);

    if (place_get(place) >= 0) {
        SM_ASSERT(place_get(place) < s->n_txns);
        s->txns[place_get(place)].version = txn->version;
        s->txns[place_get(place)].updated_ms = txn->updated_ms;
        return;
    }
    s->txns = sm_arena_grow(s->arena, s->txns, s->n_txns, &s->cap_txns, sizeof(*s->txns));
    s->txns[s->n_txns] = *txn;
    s->txns[s->n_txns].app_id = copy_text(txn->app_id, s->arena);
    place_set(place, s->n_txns++);
}

static void apply_domain(sm_snapshot *s, const sm_delta_domain *domain)
{
    void **place = sm_map_at(s->domain_by_name, domain->name);

    if (place_get(place) < 0) {
        s->domains =
            sm_arena_grow(s->arena, s->domains, s->n_domains, &s->cap_domains, sizeof(*s->domains));
        place_set(place, s->n_domains++);
    }
    SM_ASSERT(place_get(place) < s->n_domains);
    s->domains[place_get(place)] = (sm_delta_domain){
        .name = copy_text(domain->name, s->arena),
        .configuration = copy_text(domain->configuration, s->arena),
        .is_removed = domain->is_removed,
    };
}

/* Entries of files between two looks at the budget: some megabytes. Below, a query whose operators
 * have taken all memory, and could spill, would fail for a small log. */
#define LOOK_FILES 4096

sm_status smi_state_apply(sm_snapshot *s, const smi_action *action, sm_error *e)
{
    SM_ASSERT(!s->is_listed); /* a finished snapshot does not change */
    switch (action->kind) {
    case SMI_ACTION_ADD:
        apply_add(s, action);
        break;
    case SMI_ACTION_REMOVE:
        apply_remove(s, action);
        break;
    case SMI_ACTION_METADATA:
        s->metadata = copy_metadata(&action->metadata, s->arena);
        s->schema_json = copy_text(action->schema_json, s->arena);
        s->has_metadata = true;
        break;
    case SMI_ACTION_PROTOCOL:
        s->protocol = copy_protocol(&action->protocol, s->arena);
        s->has_protocol = true;
        break;
    case SMI_ACTION_TXN:
        apply_txn(s, &action->txn);
        break;
    case SMI_ACTION_DOMAIN:
        apply_domain(s, &action->domain);
        break;
    case SMI_ACTION_COMMIT_INFO:
    case SMI_ACTION_SIDECAR:
    case SMI_ACTION_CDC:
    case SMI_ACTION_OTHER:
        break;
    }
    const bool looks = (s->n_adds + s->n_tombstones + 1) % LOOK_FILES == 0;
    return looks ? sm_budget_take(s->budget, 0, e) : SM_OK; /* refused where it is exceeded */
}

/* ---- after the last action ------------------------------------------------------------------- */

/* Each partition column must be in the schema by its exact name, of a type that is not nested, and
 * named once. */
static sm_status check_partition_columns(const sm_delta_metadata *m, sm_error *e)
{
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const sm_str name = m->partition_columns[i];
        const int32_t at = sm_type_find(m->schema, name);
        if (at < 0 || !sm_str_eq(m->schema->fields[at].name, name)) {
            const sm_status st = sm_fail(
                e, SM_CORRUPT, "partition column \"%.*s\" is not in the schema", SM_STR_ARG(name));
            if (at >= 0) {
                sm_error_todo(e, "The schema has \"%.*s\".",
                              SM_STR_ARG(m->schema->fields[at].name));
            }
            return st;
        }
        if (sm_type_is_nested(m->schema->fields[at].type->id)) {
            return sm_fail(e, SM_CORRUPT, "partition column \"%.*s\" is nested", SM_STR_ARG(name));
        }
        for (int32_t before = 0; before < i; before++) {
            if (sm_str_eq(m->partition_columns[before], name)) {
                return sm_fail(e, SM_CORRUPT, "partition column \"%.*s\" is named twice",
                               SM_STR_ARG(name));
            }
        }
    }
    return SM_OK;
}

sm_str smi_config(const sm_delta_metadata *m, const char *key)
{
    for (int32_t i = 0; i < m->n_config; i++) {
        if (sm_str_eq_nocase(m->config[i].key, sm_str_of(key))) {
            return m->config[i].value;
        }
    }
    return (sm_str){0};
}

typedef struct live_add {
    int64_t rank, at;
} live_add;

static int by_rank(const void *x, const void *y)
{
    const live_add *a = x, *b = y;

    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

int64_t *smi_state_live(const sm_snapshot *s, sm_arena *a, int64_t *n)
{
    int64_t *out = SM_NEW_ARRAY(a, int64_t, s->n_adds + 1);
    live_add *live = sm_alloc((size_t)(s->n_adds + 1) * sizeof(*live));
    bool is_sorted = true;

    *n = 0;
    for (int64_t i = 0; i < s->n_adds; i++) {
        if (!s->is_dead[i]) {
            SM_ASSERT(s->ranks[i] >= 0 && s->ranks[i] <= i);
            is_sorted = is_sorted && (*n == 0 || live[*n - 1].rank < s->ranks[i]);
            live[(*n)++] = (live_add){s->ranks[i], i};
        }
    }
    if (!is_sorted) {
        qsort(live, (size_t)*n, sizeof(*live), by_rank);
    }
    for (int64_t i = 0; i < *n; i++) {
        out[i] = live[i].at;
    }
    sm_free(live);
    return out;
}

/* Has the state a protocol and metadata? */
static sm_status check_state(const sm_snapshot *s, sm_error *e)
{
    if (!s->has_protocol) {
        return sm_fail(e, SM_CORRUPT, "the log has no protocol");
    }
    if (!s->has_metadata) {
        return sm_fail(e, SM_CORRUPT, "the log has no metadata");
    }
    return SM_OK;
}

sm_status smi_state_finish(sm_snapshot *s, sm_error *e)
{
    SM_ASSERT(!s->is_listed && s->n_files == 0);
    SM_TRY(check_state(s, e));
    SM_TRY(smi_check_reader(&s->protocol, e));
    if (s->schema_json.len == 0) { /* as the reference implementation: no columns */
        s->metadata.schema = sm_type_struct(s->arena, NULL, 0);
    } else {
        SM_TRY(sm_delta_schema_parse(s->schema_json, s->arena, &s->metadata.schema, e));
        SM_TRY(smi_mapping_settle(&s->protocol, &s->metadata, s->arena, e));
    }
    SM_TRY(check_partition_columns(&s->metadata, e));
    return SM_OK;
}
