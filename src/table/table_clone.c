/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_clone.c: makes a table whose log names the files of another, where they are: a
 * shallow clone. Called by `smelt table clone`.
 *
 * Order    Complete the publication that is open in the target's lake: it may be a clone that was
 *          killed. Open the version of the source, as readers see it. See that there is no table
 *          at the target, and that a table there may name the files (delta_outside.c). Publish
 *          version 0, as any new table.
 * Log      Schema, partition columns, properties, domains and protocol are those of the version;
 *          the id is a new one, and transactions are not taken over. Each file is named by an
 *          absolute, encoded URI, with the statistics that its writer gave. So is its deletion
 *          vector.
 * Memory   The files are named one by one as the text of the commit is made, and none is kept.
 * After    Both tables go their own ways: what is written into one is not in the other. The clone
 *          never deletes files of its source. A vacuum of the source does not know of the clone: a
 *          file that the source removed, and the clone still has, is gone with it.
 * Source   delta-io/delta, CloneTableBase.scala (the record) */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/random.h"
#include "base/time.h"

typedef struct cloning {
    const sm_clone *opts;
    const sm_exec_env *env;
    sm_arena *arena;
    sm_store *source, *target;
    sm_snapshot *version;
    sm_arena *scratch; /* of one file */
    const sm_delta_sink *to;
    sm_delta_metadata metadata;
    sm_delta_domain *domains;
    int64_t n_domains;
    sm_cloned *out;
} cloning;

/* ---- the target ------------------------------------------------------------------------------ */

static sm_status check_target(const cloning *k, sm_error *e)
{
    bool is_table = false;

    if (sm_str_eq(sm_store_place(k->source, k->arena), sm_store_place(k->target, k->arena))) {
        return sm_fail(e, SM_USAGE, "a table is not cloned into itself");
    }
    SM_TRY(smi_table_check_place(k->target, e));
    SM_TRY(sm_delta_exists(k->target, &is_table, e));
    if (is_table) {
        return sm_fail(e, SM_EXISTS, "%.*s is a Delta table already", SM_STR_ARG(k->opts->target));
    }
    return sm_store_check_put(k->target, e);
}

/* ---- the files ------------------------------------------------------------------------------- */

/* Gives the absolute path of an object that the log names by its key or its path. */
static sm_status name_object(const cloning *k, const sm_delta_file *f, sm_str *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_str key = {0};

    SM_TRY(sm_snapshot_place(k->version, f, k->scratch, &store, &key, e));
    const sm_str place = sm_store_place(store, k->scratch);
    const sm_str uri = sm_arena_strf(k->scratch, "%.*s%s%.*s", SM_STR_ARG(place),
                                     sm_str_ends(place, SM_STR("/")) ? "" : "/", SM_STR_ARG(key));
    *out = sm_delta_absolute_path(uri, k->scratch);
    if (!sm_delta_may_name(k->target, uri)) {
        const sm_status st =
            sm_fail(e, SM_UNSUPPORTED, "a table at %.*s may not name files like %.*s",
                    SM_STR_ARG(k->opts->target), SM_STR_ARG(uri));
        sm_error_todo(e, "A table behind a network may name files behind its own scheme only. Put "
                         "the clone on a disk, or beside its source.");
        return st;
    }
    return SM_OK;
}

/* The same vector, in a file that is named by its absolute path. */
static sm_status name_vector(const cloning *k, const sm_delta_dv *dv, const sm_delta_dv **out,
                             sm_error *e)
{
    sm_delta_dv *copy = SM_NEW(k->scratch, sm_delta_dv);
    sm_delta_file file = {0};

    file.key = sm_delta_dv_key(dv, k->scratch, &file.path);
    *copy = *dv;
    copy->relative = (sm_str){0}; /* to the folder of the source */
    *out = copy;
    if (file.key.len == 0 && file.path.len == 0) {
        return SM_OK; /* it is in the log */
    }
    copy->storage_type = SM_STR("p");
    return name_object(k, &file, &copy->path_or_inline, e);
}

static sm_status name_file(const cloning *k, const sm_delta_file *f, sm_delta_file *out,
                           sm_error *e)
{
    *out = *f;
    out->key = (sm_str){0};
    SM_TRY(name_object(k, f, &out->path, e));
    return f->dv ? name_vector(k, f->dv, &out->dv, e) : SM_OK;
}

static void begin_files(void *ctx)
{
    const cloning *k = ctx;

    if (k->to->begin) {
        k->to->begin(k->to->ctx);
    }
}

static sm_status pass_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    const cloning *k = ctx;
    sm_delta_file named;

    sm_arena_reset(k->scratch);
    SM_TRY(name_file(k, f, &named, e));
    SM_ASSERT(named.path.len > 0);
    return k->to->file(k->to->ctx, &named, e);
}

/* sm_delta_commit.restores_each: the files are named as they are read. */
static sm_status name_files(void *ctx, const sm_delta_sink *to, sm_error *e)
{
    cloning *k = ctx;
    const sm_delta_sink named = {.begin = begin_files, .file = pass_file, .ctx = k};

    k->to = to;
    return sm_snapshot_each(k->version, NULL, &named, e);
}

static sm_status count_files(const cloning *k, sm_error *e)
{
    sm_delta_totals totals;

    SM_TRY(sm_snapshot_totals(k->version, &totals, e));
    k->out->n_files = totals.n_files;
    k->out->bytes = totals.bytes;
    return SM_OK;
}

/* ---- the record ------------------------------------------------------------------------------ */

/* All versions of the clone have timestamps where those of the source got them at some version. */
static void drop_enablement(cloning *k)
{
    sm_delta_metadata *m = &k->metadata;
    sm_pair *kept = SM_NEW_ARRAY(k->arena, sm_pair, m->n_config + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < m->n_config; i++) {
        if (!sm_str_starts(m->config[i].key, SM_STR("delta.inCommitTimestampEnablement"))) {
            kept[n++] = m->config[i];
        }
    }
    m->config = kept;
    m->n_config = n;
}

static void make_metadata(cloning *k)
{
    char uuid[SM_UUID_BYTES];

    sm_uuid(uuid);
    k->metadata = *sm_snapshot_metadata(k->version);
    k->metadata.id = sm_arena_str(k->arena, sm_str_of(uuid));
    k->metadata.created_ms = sm_now_us() / 1000;
    drop_enablement(k);
}

/* The features of the protocol need the domains that they have in the source. */
static void take_domains(cloning *k)
{
    int64_t n = 0;
    const sm_delta_domain *all = sm_snapshot_domains(k->version, &n);

    k->domains = SM_NEW_ARRAY(k->arena, sm_delta_domain, n + 1);
    for (int64_t i = 0; i < n; i++) {
        if (!all[i].is_removed) {
            k->domains[k->n_domains++] = all[i];
        }
    }
}

static sm_status publish(cloning *k, sm_error *e)
{
    const sm_delta_detail parameters[] = {
        {SM_STR("source"), sm_value_str(sm_store_place(k->source, k->arena))},
        {SM_STR("sourceVersion"), sm_value_i64(k->out->source_version)},
        {SM_STR("isShallow"), {.type = &sm_type_bool, .as.b = true}},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("sourceTableSize"), sm_value_i64(k->out->bytes)},
        {SM_STR("sourceNumOfFiles"), sm_value_i64(k->out->n_files)},
        {SM_STR("numCopiedFiles"), sm_value_i64(0)},
        {SM_STR("copiedFilesSize"), sm_value_i64(0)},
    };
    const sm_delta_commit record = {
        .operation = SM_STR("CLONE"),
        .parameters = parameters,
        .n_parameters = SM_COUNT(parameters),
        .metrics = metrics,
        .n_metrics = SM_COUNT(metrics),
        .metadata = &k->metadata,
        .protocol = sm_snapshot_protocol(k->version),
        .n_restores = k->out->n_files,
        .restores_each = name_files,
        .restores_of = k,
        .domains = k->domains,
        .n_domains = k->n_domains,
    };

    return smi_publish_record(k->target, NULL, &record, k->env->budget, &k->out->version, e);
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status make_clone(cloning *k, sm_error *e)
{
    sm_str told = {0};

    SM_TRY(sm_store_open(k->env->stores, k->opts->source, &k->source, e));
    SM_TRY(sm_store_open(k->env->stores, k->opts->target, &k->target, e));
    SM_TRY(sm_table_settle(k->target, k->env->budget, k->arena, &told, e));
    SM_TRY(sm_table_open_at(k->source, &k->opts->at, k->env->budget, &k->version, e));
    k->out->source_version = sm_snapshot_version(k->version);
    SM_TRY(check_target(k, e));
    SM_TRY(count_files(k, e));
    make_metadata(k);
    take_domains(k);
    return publish(k, e);
}

sm_status sm_table_clone(const sm_clone *opts, const sm_exec_env *env, sm_cloned *out, sm_error *e)
{
    cloning k = {.opts = opts,
                 .env = env,
                 .arena = sm_arena_new(env->budget),
                 .scratch = sm_arena_new(env->budget),
                 .out = out};

    *out = (sm_cloned){.version = -1, .source_version = -1};
    const sm_status st = make_clone(&k, e);
    SM_ASSERT(st != SM_OK || out->version == 0);
    sm_snapshot_release(k.version);
    sm_store_release(k.source);
    sm_store_release(k.target);
    sm_arena_free(k.scratch);
    sm_arena_free(k.arena);
    return sm_within(e, st, "clone of %.*s", SM_STR_ARG(opts->source));
}
