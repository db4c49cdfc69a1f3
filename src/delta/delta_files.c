/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_files.c: the live files of a snapshot: given one by one, or made into an array.
 *
 * Method   A snapshot holds what the commits after its checkpoint added and removed. The files of
 *          the checkpoint, of which there may be a million, are read from it when they are asked
 *          for: those that a later commit added anew or removed are left out, then the commits'
 *          own follow. That is the order in which they were added. A caller with bounds is given
 *          only the files that may have such rows: the others cost no memory, and of their
 *          statistics only the columns of the bounds are looked at.
 * Twice    A checkpoint has a file once. Where a damaged one has it twice, the first counts: a set
 *          of 128-bit hashes knows those that were given. Live with two deletion vectors, or with
 *          one and without, a file would give its rows twice, and which vector counts is not said:
 *          that is refused.
 * Damage   Where the checkpoint turns out to be damaged, an older one is taken, and all begins
 *          anew: whoever is given the files forgets what came before (smi_action_sink.begin). So
 *          it is where a log compaction file gave other files than the checksum says.
 * Calls    delta_snapshot.c (the array), delta_checkpoint.c, delta_named.c, delta_undo.c,
 *          delta_dataset.c, delta_attempt.c (pruner)
 *
 * Source  PROTOCOL.md, "Action Reconciliation" */
#include "base/hash_set.h"
#include "base/log.h"
#include "delta/delta_int.h"

/* ---- partition values ------------------------------------------------------------------------ */

/* Reads the partition values of adds. Neighbours often have the same, which are then parsed once
 * and shared. */
struct smi_partitions {
    const sm_delta_metadata *m;
    sm_str *names; /* physical, one a partition column */
    const sm_type **types;
    sm_arena *values_in; /* where the values live */
    bool keeps;          /* those of earlier files are still used */
    sm_str *texts;       /* of the last file */
    sm_str *next_texts;
    sm_value *values; /* of the last file; NULL: none yet */
};

static smi_partitions partitions_of(const sm_delta_metadata *m, sm_arena *values_in, bool keeps,
                                    sm_arena *a)
{
    const int32_t n = m->n_partition_columns;
    smi_partitions p = {.m = m, .values_in = values_in, .keeps = keeps};

    p.names = SM_NEW_ARRAY(a, sm_str, n);
    p.types = SM_NEW_ARRAY(a, const sm_type *, n);
    SM_ASSERT(m->schema && n >= 0 && n <= m->schema->n_fields); /* the state is finished */
    p.texts = SM_NEW_ARRAY(a, sm_str, n);
    p.next_texts = SM_NEW_ARRAY(a, sm_str, n);
    for (int32_t i = 0; i < n; i++) {
        const int32_t column = sm_type_find(m->schema, m->partition_columns[i]);
        SM_ASSERT(column >= 0); /* check_partition_columns() */
        p.names[i] = smi_physical_name(&m->schema->fields[column], a);
        p.types[i] = m->schema->fields[column].type;
    }
    return p;
}

smi_partitions *smi_partitions_new(const sm_delta_metadata *m, sm_arena *a)
{
    smi_partitions *p = SM_NEW(a, smi_partitions);

    *p = partitions_of(m, a, true, a);
    return p;
}

/* The text of a column's value; the last one where it stands twice. */
static const sm_pair *said_of(const smi_action *add, sm_str name)
{
    const sm_pair *said = NULL;

    for (int32_t i = 0; i < add->n_partition; i++) {
        if (sm_str_eq(add->partition[i].key, name)) {
            said = &add->partition[i];
        }
    }
    return said;
}

static sm_status parse_values(smi_partitions *p, sm_error *e)
{
    const int32_t n = p->m->n_partition_columns;

    p->values = NULL; /* also where one of them cannot be read */
    if (!p->keeps) {
        sm_arena_reset(p->values_in);
    }
    sm_value *values = SM_NEW_ARRAY(p->values_in, sm_value, n);
    for (int32_t i = 0; i < n; i++) {
        const sm_str text = p->next_texts[i];
        const sm_status st = smi_partition_value(p->types[i], text, p->values_in, &values[i], e);
        if (st != SM_OK) {
            return sm_within(e, st, "column %.*s", SM_STR_ARG(p->m->partition_columns[i]));
        }
        p->texts[i] = text.data ? sm_arena_str(p->values_in, text) : text;
    }
    p->values = values;
    return SM_OK;
}

/* The values of the partition columns, in the metadata's order. */
static sm_status partition_of(smi_partitions *p, const smi_action *add, const sm_value **out,
                              sm_error *e)
{
    bool is_same = p->values != NULL;

    for (int32_t i = 0; i < p->m->n_partition_columns; i++) {
        const sm_pair *said = said_of(add, p->names[i]);
        if (!said) {
            return sm_fail(e, SM_CORRUPT,
                           "file \"%.*s\" has no value for partition column \"%.*s\"",
                           SM_STR_ARG(add->path), SM_STR_ARG(p->m->partition_columns[i]));
        }
        p->next_texts[i] = said->value;
        is_same = is_same && sm_str_eq(said->value, p->texts[i]); /* "" is NULL, as no text is */
    }
    if (!is_same) {
        SM_TRY(parse_values(p, e));
    }
    SM_ASSERT(p->values && p->values_in);
    *out = p->values;
    return SM_OK;
}

/* ---- pruning --------------------------------------------------------------------------------- */

typedef struct prune_bound {
    const sm_bound *bound;
    bool from_partition; /* of a partition column; else of one that has statistics */
    int32_t index;       /* of the partition column, or in smi_pruner.columns */
} prune_bound;

struct smi_pruner {
    sm_arena *arena;
    prune_bound *bounds;
    int32_t n_bounds;
    smi_stats_column *columns; /* whose statistics are wanted; each once */
    sm_range *ranges;
    int32_t n_columns;
    smi_partitions partitions;
    bool needs_partition;
    sm_arena *values, *scratch; /* of the partition values; of the ranges of one file */
};

static int32_t partition_index(const sm_delta_metadata *m, int32_t field)
{
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        if (sm_type_find(m->schema, m->partition_columns[i]) == field) {
            return i;
        }
    }
    return -1;
}

static int32_t stats_column(smi_pruner *p, const sm_field *field)
{
    const smi_stats_column column = {.name = smi_physical_name(field, p->arena),
                                     .type = field->type,
                                     .was_float = smi_was_float(field)};

    for (int32_t i = 0; i < p->n_columns; i++) {
        if (sm_str_eq(p->columns[i].name, column.name)) {
            return i;
        }
    }
    SM_ASSERT(column.name.len > 0 || field->name.len == 0);
    p->columns[p->n_columns] = column;
    return p->n_columns++;
}

static void add_bound(smi_pruner *p, const sm_delta_metadata *m, const sm_bound *b)
{
    prune_bound *out = &p->bounds[p->n_bounds];

    if (b->n_path != 1) {
        return; /* there are no ranges of fields within a struct */
    }
    SM_ASSERT(b->path[0] >= 0 && b->path[0] < m->schema->n_fields);
    *out = (prune_bound){.bound = b, .from_partition = true};
    out->index = partition_index(m, b->path[0]);
    if (out->index < 0) {
        out->from_partition = false;
        out->index = stats_column(p, &m->schema->fields[b->path[0]]);
    }
    SM_ASSERT(out->index >= 0);
    p->needs_partition = p->needs_partition || out->from_partition;
    p->n_bounds++;
}

smi_pruner *smi_pruner_new(const sm_delta_metadata *m, const sm_bounds *bounds, sm_budget *budget)
{
    sm_arena *a = sm_arena_new(budget);
    smi_pruner *p = SM_NEW(a, smi_pruner);

    p->arena = a;
    p->values = sm_arena_new(budget);
    p->scratch = sm_arena_new(budget);
    p->bounds = SM_NEW_ARRAY(a, prune_bound, bounds->n);
    p->columns = SM_NEW_ARRAY(a, smi_stats_column, bounds->n);
    p->ranges = SM_NEW_ARRAY(a, sm_range, bounds->n);
    p->partitions = partitions_of(m, p->values, false, a);
    for (int32_t i = 0; i < bounds->n; i++) {
        add_bound(p, m, &bounds->items[i]);
    }
    SM_ASSERT(p->n_bounds <= bounds->n && p->n_columns <= p->n_bounds);
    return p;
}

void smi_pruner_free(smi_pruner *p)
{
    if (p) {
        sm_arena_free(p->values);
        sm_arena_free(p->scratch);
        sm_arena_free(p->arena);
    }
}

static bool excludes_value(const sm_bound *b, sm_value v)
{
    const sm_range r = sm_range_of_value(v);

    return sm_bound_excludes(b, &r);
}

bool smi_pruner_excludes(smi_pruner *p, const smi_action *add)
{
    const sm_value *values = NULL;
    sm_error unused = {0};
    int64_t n_rows = -1;

    SM_ASSERT(add->kind == SMI_ACTION_ADD);
    if (p->needs_partition &&
        partition_of(&p->partitions, add, &values, &unused) == SM_OK) { /* else all are kept */
        for (int32_t i = 0; i < p->n_bounds; i++) {
            const prune_bound *b = &p->bounds[i];
            if (b->from_partition && excludes_value(b->bound, values[b->index])) {
                return true;
            }
        }
    }
    if (p->n_columns == 0) {
        return false;
    }
    sm_arena_reset(p->scratch);
    smi_stats_pick(add->stats_json, p->columns, p->n_columns, p->scratch, &n_rows, p->ranges);
    for (int32_t i = 0; n_rows >= 0 && i < p->n_bounds; i++) {
        const prune_bound *b = &p->bounds[i];
        if (!b->from_partition && sm_bound_excludes(b->bound, &p->ranges[b->index])) {
            return true;
        }
    }
    return false;
}

/* ---- the checkpoint's files ------------------------------------------------------------------ */

typedef struct passing {
    const sm_snapshot *snapshot;
    smi_action_kind kind;
    smi_detail detail;
    smi_pruner *pruner; /* or NULL */
    smi_action_sink to;
    sm_hash_set given;
    sm_hash_set marked;           /* hashes of the paths of those that have a deletion vector */
    int64_t n_given, bytes_given; /* of files; all of the version's, where there is no pruner */
    sm_buf name;
    bool is_strict;      /* a file that the checkpoint has twice is damage */
    bool is_sink_failed; /* an error is that of the sink: the checkpoint is not at fault */
    /* Adds of commits that stand in the place of a file of the checkpoint. */
    sm_arena *arena;
    int64_t *first_placed; /* of an anchor; −1: none; NULL: there are no anchors */
    int64_t *next_placed;  /* of an add; −1: none */
    bool *is_placed;       /* of an add: it was given */
} passing;

/* Threads the live adds of each anchor, in their order. */
static void thread_placed(passing *p)
{
    const sm_snapshot *s = p->snapshot;
    const int64_t n_anchors = sm_map_count(s->anchor_by_path);

    if (n_anchors == 0 || p->kind != SMI_ACTION_ADD) {
        return;
    }
    p->first_placed = SM_NEW_ARRAY(p->arena, int64_t, n_anchors);
    p->next_placed = SM_NEW_ARRAY(p->arena, int64_t, s->n_adds);
    p->is_placed = SM_NEW_ARRAY(p->arena, bool, s->n_adds);
    memset(p->first_placed, 0xFF, (size_t)n_anchors * sizeof(*p->first_placed)); /* −1 */
    for (int64_t i = s->n_adds - 1; i >= 0; i--) {
        const int64_t anchor = s->anchors[i];
        if (anchor >= 0 && !s->is_dead[i]) {
            SM_ASSERT(anchor < n_anchors);
            p->next_placed[i] = p->first_placed[anchor];
            p->first_placed[anchor] = i;
        }
    }
}

/* A sum of what a log says of its files, which may be any numbers: it does not wrap. */
static int64_t sum_of(int64_t sum, int64_t more)
{
    int64_t out = 0;

    SM_ASSERT(sum >= 0 && more >= 0);
    return __builtin_add_overflow(sum, more, &out) ? INT64_MAX : out;
}

/* Most tables have no deletion vectors, and nothing is done for them. */
static sm_status check_once(passing *p, const smi_action *add, sm_error *e)
{
    bool is_new = true;

    if (p->kind != SMI_ACTION_ADD || (!add->dv && p->marked.n == 0)) {
        return SM_OK;
    }
    SM_ASSERT(add->kind == SMI_ACTION_ADD && add->path.len > 0);
    const sm_hash128 h = smi_path_hash(&p->snapshot->home, add->path);
    if (!add->dv) {
        is_new = !sm_hash_set_has(&p->marked, h);
    } else {
        SM_TRY(sm_hash_set_add(&p->marked, h, &is_new, e));
        const sm_str plain = smi_path_plain(&p->snapshot->home, add->path, &p->name);
        is_new = is_new && !sm_hash_set_has(&p->given, h) &&
                 smi_place_of(p->snapshot->by_path, plain) < 0;
    }
    return is_new ? SM_OK
                  : sm_fail(e, SM_CORRUPT,
                            "file \"%.*s\" is in the table twice, with different deletion vectors",
                            SM_STR_ARG(add->path));
}

static sm_status give(passing *p, const smi_action *action, sm_error *e)
{
    SM_TRY(check_once(p, action, e));
    p->n_given++;
    p->bytes_given = sum_of(p->bytes_given, (int64_t)action->size_bytes);
    const sm_status st = p->to.each(p->to.ctx, action, e);

    p->is_sink_failed = st != SM_OK;
    return st;
}

static sm_status give_add(passing *p, int64_t i, sm_error *e)
{
    const smi_action *add = &p->snapshot->adds[i];

    SM_ASSERT(!p->snapshot->is_dead[i]);
    return p->pruner && smi_pruner_excludes(p->pruner, add) ? SM_OK : give(p, add, e);
}

/* Gives the adds that stand in the place of a file of the checkpoint. */
static sm_status give_placed(passing *p, const smi_action *action, sm_error *e)
{
    const sm_str id = smi_file_identity(&p->snapshot->home, action->path, action->dv, &p->name);
    const int64_t anchor = smi_place_of(p->snapshot->anchor_by_path, id);

    for (int64_t i = anchor < 0 ? -1 : p->first_placed[anchor]; i >= 0; i = p->next_placed[i]) {
        if (!p->is_placed[i]) { /* else a damaged checkpoint has the file twice */
            p->is_placed[i] = true;
            SM_TRY(give_add(p, i, e));
        }
    }
    return SM_OK;
}

/* A file of the checkpoint counts where no commit after it has added or removed that file. */
static sm_status pass_action(void *ctx, const smi_action *action, sm_error *e)
{
    passing *p = ctx;
    const sm_snapshot *s = p->snapshot;
    bool is_new = true;

    SM_ASSERT(!p->is_sink_failed); /* then reading has ended */
    if (action->kind != p->kind) {
        return SM_OK;
    }
    if (p->first_placed) {
        SM_TRY(give_placed(p, action, e));
    }
    if (p->pruner && smi_pruner_excludes(p->pruner, action)) {
        return SM_OK;
    }
    const sm_str id = smi_file_identity(&s->home, action->path, action->dv, &p->name);
    if (smi_place_of(s->by_path, id) >= 0 || smi_place_of(s->tombstone_by_path, id) >= 0) {
        if (p->to.passed) {
            p->to.passed(p->to.ctx, action);
        }
        return SM_OK;
    }
    const bool is_hashed = !action->dv && (action->path_hash.low || action->path_hash.high);
    const sm_hash128 h = is_hashed ? action->path_hash : sm_hash128_of(id.data, id.len, 0);
    SM_TRY(sm_hash_set_add(&p->given, h, &is_new, e));
    if (is_new) {
        return give(p, action, e);
    }
    return p->is_strict ? sm_fail(e, SM_CORRUPT, "the checkpoint has the file \"%.*s\" twice",
                                  SM_STR_ARG(action->path))
                        : SM_OK;
}

/* The set of a million files is larger than the processor's caches: without this, half of the time
 * that reading them takes is waiting for its slots (make bench ROW=open). */
static void fetch_slot(void *ctx, sm_hash128 path_hash)
{
    const passing *p = ctx;

    sm_hash_set_fetch(&p->given, path_hash);
}

static sm_status read_base(passing *p, sm_error *e)
{
    const sm_snapshot *s = p->snapshot;
    const smi_checkpoint *b = &s->base;
    smi_checkpoint_reading what = {
        .kinds = SMI_KIND(p->kind),
        .detail = p->detail,
        .schema = s->metadata.schema,
        .each = pass_action,
        .home = &s->home,
        .announce = fetch_slot,
        .ctx = p,
    };
    const smi_log_reading text = {.budget = s->budget, .each = pass_action, .ctx = p};

    SM_ASSERT((b->version >= 0) == (b->n_keys > 0));
    for (int64_t i = 0; i < b->n_keys; i++) {
        if (b->is_json) {
            SM_TRY(smi_log_text_read(s->store, b->keys[i], &text, e));
        } else {
            SM_TRY(smi_checkpoint_read(s->store, b->keys[i], &what, s->budget, e));
        }
    }
    for (int64_t i = 0; i < b->n_sidecars; i++) {
        what.size_bytes = b->sidecars[i].size_bytes;
        SM_TRY(smi_checkpoint_read(s->store, b->sidecars[i].key, &what, s->budget, e));
    }
    return SM_OK;
}

/* ---- all files ------------------------------------------------------------------------------- */

/* The adds of commits, without those that were given in the place of a file of the checkpoint. */
static sm_status give_adds(passing *p, sm_error *e)
{
    int64_t n = 0;
    const int64_t *live = smi_state_live(p->snapshot, p->arena, &n);

    for (int64_t i = 0; i < n; i++) {
        if (!p->is_placed || !p->is_placed[live[i]]) {
            SM_TRY(give_add(p, live[i], e));
        }
    }
    return SM_OK;
}

static sm_status give_removes(passing *p, sm_error *e)
{
    const sm_snapshot *s = p->snapshot;

    for (int64_t i = 0; i < s->n_tombstones; i++) {
        const smi_tombstone *t = &s->tombstones[i];
        const smi_action action = {
            .kind = SMI_ACTION_REMOVE, .path = t->path, .modified_ms = t->deleted_ms, .dv = t->dv};
        if (!t->is_live_again) {
            SM_TRY(give(p, &action, e));
        }
    }
    return SM_OK;
}

static sm_status check_given(const passing *p, sm_error *e)
{
    return p->pruner || p->kind != SMI_ACTION_ADD
               ? SM_OK
               : smi_checksum_check_files(p->snapshot, p->n_given, p->bytes_given, e);
}

/* *damage: what failed, where the checkpoint or a log compaction file may be at fault. */
static sm_status pass_all(passing *p, sm_error *damage, sm_error *e)
{
    sm_error bad = {0};
    bool is_at_fault = true;

    thread_placed(p);
    sm_status st = read_base(p, &bad);
    if (st == SM_OK) {
        st = p->kind == SMI_ACTION_ADD ? give_adds(p, &bad) : give_removes(p, &bad);
        st = st == SM_OK ? check_given(p, &bad) : st;
        is_at_fault = p->snapshot->n_compacted > 0; /* the commits themselves are believed */
    }
    if (st == SM_OK) {
        return SM_OK;
    }
    if (is_at_fault && !p->is_sink_failed && smi_is_damage(st)) {
        *damage = bad;
    }
    if (e) {
        *e = bad;
    }
    return st;
}

/* What is given, and whom. */
typedef struct order {
    smi_action_kind kind;
    smi_detail detail;
    smi_pruner *pruner; /* or NULL */
    bool is_strict;     /* damage is an error */
    smi_action_sink to;
} order;

static sm_status give_all(const sm_snapshot *s, const order *o, sm_error *e)
{
    passing p = {
        .snapshot = s,
        .kind = o->kind,
        .detail = o->pruner ? SMI_WHOLE : o->detail,
        .pruner = o->pruner,
        .is_strict = o->is_strict,
        .to = o->to,
        .given = {.budget = s->budget},
        .marked = {.budget = s->budget},
        .arena = sm_arena_new(s->budget),
    };
    sm_snapshot *older = NULL;
    sm_error damage = {0};

    if (p.to.begin) {
        p.to.begin(p.to.ctx);
    }
    sm_status st = pass_all(&p, &damage, e);
    sm_buf_release(&p.name);
    sm_hash_set_release(&p.given);
    sm_hash_set_release(&p.marked);
    sm_arena_free(p.arena);
    if (damage.status != SM_OK && !o->is_strict) {
        st = smi_snapshot_open_older(s, &damage, &older, e);
        st = st == SM_OK ? give_all(older, o, e) : st;
        sm_snapshot_release(older);
    }
    return st;
}

sm_status smi_live_each(const sm_snapshot *s, smi_pruner *p, smi_detail detail, smi_action_sink to,
                        sm_error *e)
{
    return give_all(s, &(order){.kind = SMI_ACTION_ADD, .detail = detail, .pruner = p, .to = to},
                    e);
}

sm_status smi_live_each_strictly(const sm_snapshot *s, smi_action_sink to, sm_error *e)
{
    return give_all(s, &(order){.kind = SMI_ACTION_ADD, .is_strict = true, .to = to}, e);
}

sm_status smi_removes_each(const sm_snapshot *s, smi_action_sink to, sm_error *e)
{
    return give_all(s, &(order){.kind = SMI_ACTION_REMOVE, .to = to}, e);
}

/* ---- adds as files --------------------------------------------------------------------------- */

sm_status smi_file_of(const sm_snapshot *s, const smi_action *add, smi_partitions *p, sm_arena *a,
                      sm_delta_file *out, sm_error *e)
{
    bool is_outside = false;

    SM_ASSERT(add->kind == SMI_ACTION_ADD || add->kind == SMI_ACTION_REMOVE ||
              add->kind == SMI_ACTION_CDC);
    *out = (sm_delta_file){
        .path = add->path,
        .size_bytes = add->size_bytes,
        .modified_ms = add->modified_ms,
        .n_rows = smi_stats_rows(add->stats_json),
        .stats_json = add->stats_json,
        .dv = add->dv,
        .tags = add->tags,
        .n_tags = add->n_tags,
        .base_row_id = add->base_row_id,
        .row_version = add->row_version,
        .cluster_provider = add->cluster_provider,
    };
    if (add->dv && sm_str_is(add->dv->storage_type, "p")) {
        sm_delta_dv *dv = SM_NEW(a, sm_delta_dv);
        *dv = *add->dv;
        dv->relative = smi_vector_relative(&s->home, dv, a);
        out->dv = dv;
    }
    SM_TRY(smi_path_key(&s->home, add->path, a, &out->key, &is_outside, e));
    return partition_of(p, add, &out->partition, e);
}

/* sm_snapshot_each(): one file after another. */
typedef struct giving {
    const sm_snapshot *snapshot;
    smi_partitions partitions;
    sm_arena *scratch; /* of one file */
    const sm_delta_sink *to;
} giving;

static void begin_giving(void *ctx)
{
    const giving *g = ctx;

    if (g->to->begin) {
        g->to->begin(g->to->ctx);
    }
}

static sm_status give_file(void *ctx, const smi_action *add, sm_error *e)
{
    giving *g = ctx;
    sm_delta_file f;

    sm_arena_reset(g->scratch);
    SM_TRY(smi_file_of(g->snapshot, add, &g->partitions, g->scratch, &f, e));
    return g->to->file(g->to->ctx, &f, e);
}

sm_status sm_snapshot_each(const sm_snapshot *s, const sm_bounds *bounds, const sm_delta_sink *to,
                           sm_error *e)
{
    sm_arena *a = sm_arena_new(s->budget), *values = sm_arena_new(s->budget);
    smi_pruner *p =
        bounds && bounds->n > 0 ? smi_pruner_new(&s->metadata, bounds, s->budget) : NULL;
    giving g = {
        .snapshot = s,
        .partitions = partitions_of(&s->metadata, values, false, a),
        .scratch = sm_arena_new(s->budget),
        .to = to,
    };

    const sm_status st = smi_live_each(
        s, p, SMI_WHOLE, (smi_action_sink){.begin = begin_giving, .each = give_file, .ctx = &g}, e);
    sm_arena_free(g.scratch);
    sm_arena_free(values);
    sm_arena_free(a);
    smi_pruner_free(p);
    return st == SM_OK ? st
                       : sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(s->store)));
}

static void begin_totals(void *ctx)
{
    *(sm_delta_totals *)ctx = (sm_delta_totals){0};
}

static sm_status add_totals(void *ctx, const smi_action *add, sm_error *e)
{
    const sm_delta_file f = {.n_rows = smi_stats_rows(add->stats_json), .dv = add->dv};
    sm_delta_totals *t = ctx;
    const int64_t n_rows = sm_delta_file_rows(&f);

    (void)e;
    t->n_files++;
    t->bytes = sum_of(t->bytes, (int64_t)add->size_bytes);
    t->n_rows = n_rows < 0 || t->n_rows < 0 ? -1 : sum_of(t->n_rows, n_rows);
    return SM_OK;
}

sm_status sm_snapshot_totals(const sm_snapshot *s, sm_delta_totals *out, sm_error *e)
{
    const smi_action_sink to = {.begin = begin_totals, .each = add_totals, .ctx = out};
    const sm_status st = smi_live_each(s, NULL, SMI_BRIEF, to, e);

    return st == SM_OK ? st
                       : sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(s->store)));
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* The file of an add, with copies in `a` of what the add points to. The partition values live where
 * `p` keeps them. */
static sm_status copy_file(const sm_snapshot *s, const smi_action *action, smi_partitions *p,
                           sm_arena *a, sm_delta_file *out, sm_error *e)
{
    smi_action add = *action;

    SM_ASSERT(p->keeps);
    add.partition = NULL; /* the file has values instead */
    add.n_partition = 0;
    add = smi_add_copy(&add, a);
    add.partition = action->partition;
    add.n_partition = action->n_partition;
    return smi_file_of(s, &add, p, a, out, e);
}

/* sm_snapshot_pick() */
typedef struct picking {
    const sm_snapshot *snapshot;
    smi_partitions partitions;
    sm_arena *arena;
    sm_delta_file *files;
    int64_t n, cap;
} picking;

static void begin_picking(void *ctx)
{
    picking *p = ctx;

    p->n = 0;
}

static sm_status pick_file(void *ctx, const smi_action *add, sm_error *e)
{
    picking *p = ctx;

    p->files = sm_arena_grow(p->arena, p->files, p->n, &p->cap, sizeof(*p->files));
    SM_TRY(copy_file(p->snapshot, add, &p->partitions, p->arena, &p->files[p->n], e));
    p->n++;
    return SM_OK;
}

sm_status sm_snapshot_pick(const sm_snapshot *s, const sm_bounds *bounds, sm_arena *a,
                           sm_delta_file **out, int64_t *n, sm_error *e)
{
    sm_arena *scratch = sm_arena_new(s->budget);
    smi_pruner *pruner =
        bounds && bounds->n > 0 ? smi_pruner_new(&s->metadata, bounds, s->budget) : NULL;
    picking p = {
        .snapshot = s,
        .partitions = partitions_of(&s->metadata, a, true, scratch),
        .arena = a,
    };

    const sm_status st =
        smi_live_each(s, pruner, SMI_WHOLE,
                      (smi_action_sink){.begin = begin_picking, .each = pick_file, .ctx = &p}, e);
    smi_pruner_free(pruner);
    sm_arena_free(scratch);
    *out = p.files;
    *n = p.n;
    return st == SM_OK ? st
                       : sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(s->store)));
}

typedef struct listing {
    sm_snapshot *snapshot;
    smi_partitions partitions;
    bool (*is_wanted)(void *ctx, const sm_delta_file *f); /* NULL: each file is */
    void *ctx;
    smi_partitions tried; /* of the file that is_wanted() is asked of */
    sm_arena *scratch;    /* of that file */
} listing;

static void begin_listing(void *ctx)
{
    const listing *l = ctx;

    l->snapshot->n_files = 0;
}

static sm_status make_room(sm_snapshot *s, sm_error *e)
{
    if (s->n_files < s->cap_files) {
        return SM_OK;
    }
    SM_ASSERT(!s->is_listed && s->n_files == s->cap_files);
    const int64_t more = s->cap_files ? s->cap_files : 64;
    SM_TRY(sm_budget_take(s->budget, (size_t)more * sizeof(*s->files), e));
    s->cap_files += more;
    s->files = sm_realloc(s->files, (size_t)s->cap_files * sizeof(*s->files));
    return SM_OK;
}

static sm_status list_file(void *ctx, const smi_action *action, sm_error *e)
{
    listing *l = ctx;
    sm_snapshot *s = l->snapshot;

    if (l->is_wanted) {
        sm_delta_file f;
        sm_arena_reset(l->scratch);
        SM_TRY(smi_file_of(s, action, &l->tried, l->scratch, &f, e));
        if (!l->is_wanted(l->ctx, &f)) {
            return SM_OK;
        }
    }
    SM_TRY(make_room(s, e));
    SM_TRY(copy_file(s, action, &l->partitions, s->arena, &s->files[s->n_files], e));
    s->n_files++;
    return SM_OK;
}

/* Once, by an empty listing or one that knows which files are wanted. */
static sm_status make_list(sm_snapshot *s, listing *l, sm_error *e)
{
    sm_arena *a = sm_arena_new(s->budget), *values = sm_arena_new(s->budget);

    SM_ASSERT(!s->is_listed);
    l->snapshot = s;
    l->scratch = sm_arena_new(s->budget);
    l->partitions = partitions_of(&s->metadata, s->arena, true, a);
    l->tried = partitions_of(&s->metadata, values, false, a);
    const sm_status st =
        smi_live_each(s, NULL, SMI_WHOLE,
                      (smi_action_sink){.begin = begin_listing, .each = list_file, .ctx = l}, e);
    sm_arena_free(l->scratch);
    sm_arena_free(values);
    sm_arena_free(a);
    s->is_listed = st == SM_OK;
    return st;
}

sm_status sm_snapshot_list(sm_snapshot *s, sm_error *e)
{
    return s->is_listed ? SM_OK : make_list(s, &(listing){0}, e);
}

sm_status sm_snapshot_list_if(sm_snapshot *s, bool (*is_wanted)(void *ctx, const sm_delta_file *f),
                              void *ctx, sm_error *e)
{
    SM_ASSERT(is_wanted && !s->is_listed);
    s->is_narrowed = true;
    const sm_status st = make_list(s, &(listing){.is_wanted = is_wanted, .ctx = ctx}, e);

    return st == SM_OK ? st
                       : sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(s->store)));
}

const sm_delta_file *sm_snapshot_files(const sm_snapshot *s, int64_t *n)
{
    SM_ENSURE(s->is_listed); /* else a table would seem to be empty */
    *n = s->n_files;
    return s->files;
}

sm_hash128 sm_delta_file_hash(const sm_delta_file *f)
{
    sm_buf text = {0};
    const sm_str id = smi_identity_of(f, &text);
    const sm_hash128 h = sm_hash128_of(id.data, id.len, 0);

    sm_buf_release(&text);
    return h;
}

const sm_range *sm_snapshot_ranges(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a)
{
    const sm_range *ranges = NULL;
    int64_t n_rows = -1;

    SM_ASSERT(f && s->metadata.schema);
    smi_stats_parse(f->stats_json, s->metadata.schema, a, &n_rows, &ranges);
    return ranges;
}
