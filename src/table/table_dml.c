/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_dml.c: executes the statements that change tables: INSERT, CREATE TABLE AS, DELETE,
 * UPDATE, MERGE and ALTER TABLE (table_alter.c). Called by table_query.c, and for rows that are
 * merged by key by table_upsert.c.
 *
 * Method   Each is a write like that of a pipeline: a stage makes a candidate, and one publication
 *          makes it visible. INSERT and CREATE TABLE give the stage the rows of a query. DELETE,
 *          UPDATE and MERGE open it as a replace, and tell it what becomes of the rows that are
 *          there (smi_change); table_replace.c finds and rewrites the files. MERGE gives it new
 *          rows besides (table_merge.c).
 * Base     The version that the statement's own names stand for: what a condition or a subquery
 *          sees of the table is what is changed.
 * Others   A commit of another writer in between is a conflict where it touches what was read: the
 *          files within the condition's bounds; all, where there are none or the query reads the
 *          table itself; nothing, for the rows that INSERT adds (sm_delta_isolation).
 * Record   With the operation, parameters and metrics that Spark writes. */
#include "table/table_int.h"

#include "base/json_write.h"

typedef struct changing {
    sm_statement *s;
    sm_names *names;
    const sm_exec_env *env;
    sm_arena *a;
    sm_snapshot *base; /* NULL: there is no table yet */
    sm_str uri;
    sm_exec_report *report;
    sm_changed *out;
    const smi_merge *merge; /* NULL: it is a statement's */
    sm_candidate *candidate;
} changing;

/* ---- what is read ---------------------------------------------------------------------------- */

static bool node_reads(const sm_plan_node *n, const sm_dataset *d)
{
    bool reads = n->kind == SM_PLAN_SCAN && n->as.scan.dataset == d;

    for (int32_t i = 0; i < n->n_inputs && !reads; i++) {
        reads = node_reads(n->inputs[i], d);
    }
    return reads;
}

/* Does the statement read the table that it changes, but for the rows that it changes? */
static bool reads_itself(const sm_statement *s)
{
    bool reads = s->change.source && node_reads(s->change.source, s->dataset);

    if (s->kind == SM_STATEMENT_INSERT) {
        reads = node_reads(s->plan->root, s->dataset);
    }
    for (int32_t i = 0; i < s->n_params && !reads; i++) {
        reads = node_reads(s->params[i].root, s->dataset);
    }
    return reads;
}

/* The subqueries of the conditions and values, evaluated once. */
static sm_status settle_params(changing *c, sm_error *e)
{
    sm_batch **rows = NULL;
    int64_t n = 0;

    if (!c->s->params_plan) {
        return SM_OK;
    }
    sm_value *values = SM_NEW_ARRAY(c->a, sm_value, c->s->n_params);
    SM_TRY(sm_exec_collect(c->s->params_plan, c->env, c->a, &rows, &n, NULL, e));
    SM_ENSURE(n == 1 && rows[0]->n_rows == 1 && rows[0]->n_columns == c->s->n_params);
    for (int32_t i = 0; i < c->s->n_params; i++) {
        values[i] = sm_column_value_copy(&rows[0]->columns[i], 0, c->a);
    }
    sm_batch_release(rows[0]);
    sm_statement_settle(c->s, values, c->a);
    return SM_OK;
}

/* ---- the commit's record --------------------------------------------------------------------- */

static const sm_delta_detail *copy_details(changing *c, const sm_delta_detail *d, size_t n)
{
    sm_arena *a = c->candidate->arena;
    sm_delta_detail *copy = SM_NEW_ARRAY(a, sm_delta_detail, n + 1);

    for (size_t i = 0; i < n; i++) {
        copy[i] = d[i];
        copy[i].value = sm_value_copy(a, d[i].value);
    }
    return copy;
}

/* A condition as Spark writes it: a JSON list of one text. */
static sm_value predicate_of(changing *c, const sm_expr *x, const sm_type *columns)
{
    sm_buf sql = {0}, json = {0};
    sm_json_writer w = {.out = &json};

    sm_json_begin_array(&w);
    sm_expr_sql(x, columns, &sql);
    sm_json_put_text(&w, sm_buf_str(&sql));
    sm_json_end_array(&w);
    const sm_value v = sm_value_str(sm_arena_str(c->a, sm_buf_str(&json)));
    sm_buf_release(&sql);
    sm_buf_release(&json);
    return v;
}

/* In all files of the candidate. */
static int64_t rows_written(const sm_candidate *c)
{
    int64_t n = 0;

    for (int64_t i = 0; i < c->record.n_adds; i++) {
        n += c->record.adds[i].n_rows;
    }
    return n;
}

static int64_t bytes_of_removed(const sm_delta_commit *r)
{
    int64_t bytes = r->removes_all ? r->removes_all->bytes : 0;

    for (int64_t i = 0; i < r->n_removes && !r->removes_all; i++) {
        bytes += (int64_t)r->removes[i]->size_bytes;
    }
    for (int64_t i = 0; i < r->n_marks; i++) { /* these stay */
        bytes -= (int64_t)r->marks[i].file->size_bytes;
    }
    SM_ASSERT(bytes >= 0);
    return bytes;
}

static void describe_rows(changing *c, const smi_change *change)
{
    sm_delta_commit *r = &c->candidate->record;
    const bool is_update = c->s->kind == SM_STATEMENT_UPDATE;
    const sm_delta_detail parameters[] = {
        {SM_STR("predicate"), predicate_of(c, change->rows.acts, change->rows.rows)},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("numRemovedFiles"), sm_value_i64(r->n_removes - r->n_marks)},
        {SM_STR("numRemovedBytes"), sm_value_i64(bytes_of_removed(r))},
        {SM_STR("numAddedFiles"), sm_value_i64(r->n_adds)},
        {SM_STR("numAddedBytes"), sm_value_i64((int64_t)c->candidate->bytes)},
        {is_update ? SM_STR("numUpdatedRows") : SM_STR("numDeletedRows"),
         sm_value_i64(is_update ? change->n_updated : change->n_deleted)},
        {SM_STR("numDeletionVectorsAdded"), sm_value_i64(r->n_marks)},
        {SM_STR("numAddedChangeFiles"), sm_value_i64(r->n_changes)},
        {SM_STR("numCopiedRows"), sm_value_i64(rows_written(c->candidate) - change->n_updated)},
    };

    c->candidate->n_rows = change->n_updated;
    r->operation = sm_str_of(sm_statement_name(c->s->kind));
    r->parameters = copy_details(c, parameters, SM_COUNT(parameters));
    r->n_parameters = SM_COUNT(parameters);
    r->metrics = copy_details(c, metrics, SM_COUNT(metrics));
    r->n_metrics = SM_COUNT(metrics);
}

static void describe_merge(changing *c, const smi_change *change, int64_t n_source,
                           int64_t n_inserted)
{
    sm_delta_commit *r = &c->candidate->record;
    const int64_t n_written = rows_written(c->candidate);
    const sm_delta_detail parameters[] = {
        {SM_STR("predicate"), predicate_of(c, change->rows.on, change->rows.rows)},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("numSourceRows"), sm_value_i64(n_source)},
        {SM_STR("numTargetRowsInserted"), sm_value_i64(n_inserted)},
        {SM_STR("numTargetRowsUpdated"), sm_value_i64(change->n_updated)},
        {SM_STR("numTargetRowsDeleted"), sm_value_i64(change->n_deleted)},
        {SM_STR("numTargetRowsCopied"), sm_value_i64(n_written - n_inserted - change->n_updated)},
        {SM_STR("numOutputRows"), sm_value_i64(n_written)},
        {SM_STR("numTargetFilesAdded"), sm_value_i64(r->n_adds)},
        {SM_STR("numTargetBytesAdded"), sm_value_i64((int64_t)c->candidate->bytes)},
        {SM_STR("numTargetFilesRemoved"), sm_value_i64(r->n_removes - r->n_marks)},
        {SM_STR("numTargetBytesRemoved"), sm_value_i64(bytes_of_removed(r))},
        {SM_STR("numTargetDeletionVectorsAdded"), sm_value_i64(r->n_marks)},
        {SM_STR("numTargetChangeFilesAdded"), sm_value_i64(r->n_changes)},
    };

    c->candidate->n_rows = n_inserted + change->n_updated;
    r->operation = SM_STR("MERGE");
    r->parameters = copy_details(c, parameters, SM_COUNT(parameters));
    r->n_parameters = SM_COUNT(parameters);
    r->metrics = copy_details(c, metrics, SM_COUNT(metrics));
    r->n_metrics = SM_COUNT(metrics);
}

/* ---- INSERT, CREATE TABLE -------------------------------------------------------------------- */

static sm_write write_to(const changing *c, sm_write_mode mode)
{
    sm_write w = c->merge ? *c->merge->write : (sm_write){.uri = c->uri};

    w.mode = mode;
    w.has_base = true;
    w.base = c->base;
    return w;
}

static sm_status insert_rows(changing *c, sm_error *e)
{
    const bool replaces = c->s->n_partition_by > 0;
    sm_write w = write_to(c, replaces ? SM_WRITE_REPLACE_PARTITIONS : SM_WRITE_APPEND);

    w.partition_by = c->s->partition_by;
    w.n_partition_by = c->s->n_partition_by;
    SM_TRY(sm_stage_plan(c->s->plan, &w, c->env, NULL, c->report, &c->candidate, e));
    if (reads_itself(c->s)) {
        c->candidate->record.isolation = SM_READ_ALL;
    }
    c->out->n_inserted = sm_candidate_rows(c->candidate);
    return SM_OK;
}

/* Where the table is to lie that CREATE TABLE names. */
static sm_status place_of_new(changing *c, sm_error *e)
{
    const sm_statement *s = c->s;

    if (s->n_parts == 0) {
        c->uri = s->path;
        return SM_OK;
    }
    sm_buf name = {0};
    for (int32_t i = 0; i < s->n_parts; i++) {
        sm_buf_printf(&name, "%s%.*s", i ? "." : "", SM_STR_ARG(s->parts[i]));
    }
    sm_status st = sm_table_check_name(sm_buf_str(&name), e);
    st = st == SM_OK ? sm_names_uri(c->names, sm_buf_str(&name), c->a, &c->uri, e) : st;
    sm_buf_release(&name);
    return st;
}

/* Opens the table that CREATE TABLE names, if it is there. *is_done: it is, and stays as it is. */
static sm_status open_there(changing *c, bool *is_done, sm_error *e)
{
    sm_store *store = NULL;
    bool exists = false;

    *is_done = false;
    SM_TRY(sm_store_open(c->env->stores, c->uri, &store, e));
    sm_status st = sm_delta_exists(store, &exists, e);
    if (st == SM_OK && exists && c->s->or_replace) {
        st = sm_table_open(store, c->env->budget, &c->base, e);
    } else if (st == SM_OK && exists) {
        *is_done = c->s->if_not_exists;
        if (!*is_done) {
            st = sm_fail(e, SM_EXISTS, "there is a table at %.*s already", SM_STR_ARG(c->uri));
            sm_error_todo(e, "CREATE OR REPLACE TABLE takes its place, IF NOT EXISTS leaves it as "
                             "it is, and INSERT INTO adds rows to it.");
        }
    }
    sm_store_release(store);
    return st;
}

static sm_status create_table(changing *c, sm_error *e)
{
    bool is_done = false;

    SM_TRY(place_of_new(c, e));
    SM_TRY(open_there(c, &is_done, e));
    if (is_done) {
        return SM_OK;
    }
    sm_write w = write_to(c, c->base ? SM_WRITE_OVERWRITE : SM_WRITE_APPEND);
    w.properties = c->s->properties;
    w.n_properties = c->s->n_properties;
    w.partition_by = c->s->partition_by;
    w.n_partition_by = c->s->n_partition_by;
    SM_TRY(sm_stage_plan(c->s->plan, &w, c->env, NULL, c->report, &c->candidate, e));
    c->candidate->record.operation = c->s->or_replace ? SM_STR("CREATE OR REPLACE TABLE AS SELECT")
                                                      : SM_STR("CREATE TABLE AS SELECT");
    c->candidate->is_always_made = true; /* of no row too */
    c->out->n_inserted = sm_candidate_rows(c->candidate);
    return SM_OK;
}

/* ---- DELETE, UPDATE, MERGE ------------------------------------------------------------------- */

/* The expression outlives the stage. */
static sm_status give_condition(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                                sm_error *e)
{
    *out = ctx;
    return SM_OK;
}

/* `added`: gives the rows that are added; NULL: none are. */
static sm_status open_change(changing *c, const sm_expr *where, const sm_plan *added,
                             sm_stage **out, sm_error *e)
{
    sm_write w = write_to(c, SM_WRITE_REPLACE_WHERE);
    const sm_type *schema = added ? added->root->schema : sm_snapshot_metadata(c->base)->schema;

    SM_ASSERT(c->base && c->s->change.rows);
    SM_TRY(
        smi_identity_check_change(sm_snapshot_metadata(c->base)->schema, c->s->change.values, e));
    w.where = (sm_condition){.ctx = (void *)where, .bind = give_condition};
    w.keeps_values = !added;
    SM_TRY(sm_stage_open(&w, schema, c->env, out, e));
    (*out)->change = (smi_change){.rows = c->s->change, .statement = c->s};
    return SM_OK;
}

/* Ends the stage. Only then is it known how many rows it changed. */
static sm_status close_change(changing *c, sm_stage *s, smi_change *out, sm_error *e)
{
    const sm_status st = sm_stage_candidate(s, &c->candidate, e);

    *out = s->change;
    if (st == SM_OK && reads_itself(c->s)) {
        c->candidate->record.isolation = SM_READ_ALL;
    }
    c->out->n_updated = out->n_updated;
    c->out->n_deleted = out->n_deleted;
    return st;
}

static sm_status change_rows(changing *c, sm_error *e)
{
    sm_stage *stage = NULL;
    smi_change change = {0};

    SM_TRY(settle_params(c, e));
    SM_TRY(open_change(c, c->s->change.acts, NULL, &stage, e));
    const sm_status st = close_change(c, stage, &change, e);
    sm_stage_close(stage);
    if (st == SM_OK) {
        describe_rows(c, &change);
    }
    return st;
}

/* Are the pairs that change rows also those whose rows of the source are not added? */
static bool adds_by_same_pairs(const changing *c)
{
    return c->s->change.inserts && (!c->merge || c->merge->inserts == c->s);
}

/* Finds the pairs in one pass, where that is possible. */
static sm_status find_pairs(const changing *c, sm_stage *stage, int64_t n_source, sm_error *e)
{
    if (c->s->change.takes_unmatched) {
        return SM_OK;
    }
    return smi_matches_find(stage, adds_by_same_pairs(c) ? n_source : -1, e);
}

/* Writes the rows of the source that have no pair. `plan` finds them by a join of its own. */
static sm_status add_unmatched(changing *c, sm_stage *stage, const sm_plan *plan, sm_error *e)
{
    const smi_matches *m = stage->change.matches;
    const bool is_known = m && m->paired;
    const sm_sink sink = sm_stage_sink(stage);
    sm_plan *numbered = NULL;

    if (!plan) {
        return SM_OK;
    }
    if (is_known) {
        const sm_type *schema = sm_snapshot_metadata(c->base)->schema;
        SM_TRY(smi_merge_numbered(c->s, schema, c->a, &numbered, e));
        plan = numbered;
    }
    SM_TRY(sm_stage_arrange(stage, plan, c->a, &plan, e));
    SM_TRY(is_known ? smi_matches_rest(m, plan, c->env, &sink, e)
                    : sm_exec_run(plan, c->env, &sink, NULL, NULL, e));
    c->out->n_inserted = stage->out.n_rows;
    return SM_OK;
}

static sm_status merge_rows(changing *c, sm_error *e)
{
    const sm_type *schema = sm_snapshot_metadata(c->base)->schema;
    sm_stage *stage = NULL;
    smi_change change = {0};
    const sm_expr *where = NULL;
    sm_plan *added = NULL;
    int64_t n_source = 0;

    SM_TRY(settle_params(c, e));
    SM_TRY(smi_merge_where(c->s, c->env, c->a, &where, &n_source, e));
    if (c->s->change.inserts) {
        const sm_statement *s = c->merge ? c->merge->inserts : c->s;
        SM_TRY(smi_merge_inserts(s, where, schema, c->a, &added, e));
    }
    SM_TRY(open_change(c, where, added, &stage, e));
    sm_status st = find_pairs(c, stage, n_source, e);
    st = st == SM_OK ? add_unmatched(c, stage, added, e) : st;
    st = st == SM_OK ? close_change(c, stage, &change, e) : st;
    st = st == SM_OK ? smi_reread_check(c->s->change.source, c->env->budget, e) : st;
    smi_matches_free(stage->change.matches);
    sm_stage_close(stage);
    if (st != SM_OK) {
        sm_candidate_release(c->candidate);
        c->candidate = NULL;
        return st;
    }
    describe_merge(c, &change, n_source, c->out->n_inserted);
    return SM_OK;
}

/* ---- any ------------------------------------------------------------------------------------- */

static sm_status try_commit(changing *c, const sm_delta_file *removed, sm_error *e)
{
    const sm_delta_commit trial = {
        .operation = SM_STR("WRITE"),
        .isolation = SM_READ_ALL,
        .removes = &removed,
        .n_removes = removed ? 1 : 0,
    };
    sm_delta_prepared unused;

    return sm_delta_prepare(c->base, &trial, c->a, &unused, e);
}

/* The first file of the table; no other is asked for. */
static sm_status try_first(void *ctx, const sm_delta_file *f, sm_error *e)
{
    const sm_status st = try_commit(ctx, f, e);
    return st == SM_OK ? SM_END : st;
}

/* Refuses a table that cannot be written, before a row of it is read. One without files has none to
 * be removed. */
static sm_status check_writable(changing *c, sm_error *e)
{
    const bool removes = c->s->change.rows && (!c->s->change.source || c->s->change.joins);

    SM_TRY(try_commit(c, NULL, e));
    if (!removes) {
        return SM_OK;
    }
    const sm_status st =
        sm_snapshot_each(c->base, NULL, &(sm_delta_sink){.file = try_first, .ctx = c}, e);
    return st == SM_END ? SM_OK : st;
}

/* It has no candidate: its record has no files. */
static sm_status alter_table(changing *c, sm_error *e)
{
    sm_altered altered = {0};

    SM_TRY(smi_alter_run(c->base, c->s->alters, c->s->n_alters, false, c->env, c->a, &altered, e));
    c->out->version = altered.version;
    c->out->features = altered.features;
    c->out->n_features = altered.n_features;
    return SM_OK;
}

static sm_status stage_statement(changing *c, sm_error *e)
{
    if (c->s->kind == SM_STATEMENT_CREATE_TABLE) {
        return create_table(c, e);
    }
    SM_ASSERT(c->s->table);
    c->base = sm_snapshot_retain((sm_snapshot *)c->s->table);
    c->uri = sm_store_uri(sm_snapshot_store(c->base));
    if (c->s->kind == SM_STATEMENT_ALTER) {
        return alter_table(c, e);
    }
    const sm_status st = check_writable(c, e);
    if (st != SM_OK) {
        return sm_within(e, st, "table %.*s", SM_STR_ARG(c->uri));
    }
    return c->s->kind == SM_STATEMENT_INSERT  ? insert_rows(c, e)
           : c->s->kind == SM_STATEMENT_MERGE ? merge_rows(c, e)
                                              : change_rows(c, e);
}

sm_status smi_merge_stage(const smi_merge *m, const sm_exec_env *env, sm_arena *a, sm_changed *out,
                          sm_candidate **candidate, sm_error *e)
{
    changing c = {.s = m->s,
                  .env = env,
                  .a = a,
                  .base = m->write->base,
                  .uri = m->write->uri,
                  .out = out,
                  .merge = m};

    SM_ASSERT(m->s->kind == SM_STATEMENT_MERGE && m->write->base && !m->s->params_plan);
    *out = (sm_changed){.version = -1};
    SM_TRY(check_writable(&c, e));
    SM_TRY(merge_rows(&c, e));
    *candidate = c.candidate;
    return SM_OK;
}

sm_status smi_statement_run(sm_statement *s, sm_names *names, const sm_exec_env *env, sm_arena *a,
                            sm_exec_report *report, sm_changed *out, sm_error *e)
{
    changing c = {.s = s, .names = names, .env = env, .a = a, .report = report, .out = out};

    SM_ASSERT(s->kind != SM_STATEMENT_SELECT && s->kind != SM_STATEMENT_COPY);
    *out = (sm_changed){.version = -1};
    if (report) {
        *report = (sm_exec_report){0};
    }
    sm_status st = stage_statement(&c, e);
    SM_ASSERT(out->n_updated >= 0 && out->n_deleted >= 0 && out->n_inserted >= 0);
    if (st == SM_OK && c.candidate) {
        out->n_added = c.candidate->record.n_adds;
        out->n_removed = c.candidate->record.n_removes - c.candidate->record.n_marks;
        out->n_marked = c.candidate->record.n_marks;
        st = sm_publish(&c.candidate, 1, env->budget, &out->version, NULL, e);
    }
    out->table = sm_arena_str(a, c.uri);
    sm_candidate_release(c.candidate);
    sm_snapshot_release(c.base);
    return st;
}
