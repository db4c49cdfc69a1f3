/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_stage.c: the first half of a write. Rows become data files, and these the next
 * version of the table, as a candidate.
 *
 * Calls    open, rows through the sink, candidate, close. A stage that is closed before it has
 *          given its candidate deletes its files.
 * States   OPENING -> WRITING -> SETTLING -> GIVEN (enum smi_stage_state)
 * Open     reads the table's snapshot and refuses all that can be refused before a row is read: the
 *          schema, a table feature (SM_UNSUPPORTED), what it is partitioned by (table_partition.c),
 *          the condition of a replace, an expression of the table that is not understood
 *          (table_rules.c), a property that the table may not get (table_alter.c).
 * Schema   A table that is there keeps its schema, with its nullability and metadata. The rows
 *          must have its columns, and no others unless they are to be added; where the table has
 *          type widening, an append may bring wider types. OVERWRITE makes a new schema where the
 *          columns differ. Delta has no unsigned integers: they are written as the next wider
 *          type. */
#include "table/table_int.h"

#include "base/json_write.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"

#define DEFAULT_FILE_BYTES ((uint64_t)256 << 20)

/* ---- the table ------------------------------------------------------------------------------- */

static sm_status open_newest(sm_stage *s, sm_error *e)
{
    sm_candidate *c = s->candidate;
    bool exists = false;

    SM_TRY(sm_delta_exists(c->store, &exists, e));
    return exists ? sm_snapshot_open_head(c->store, SM_VERSION_LATEST, s->env.budget, &c->base, e)
                  : SM_OK;
}

static sm_status open_table(sm_stage *s, const sm_write *w, sm_error *e)
{
    sm_candidate *c = s->candidate;

    SM_TRY(sm_store_open(s->env.stores, w->uri, &c->store, e));
    if (!w->has_base) {
        SM_TRY(open_newest(s, e));
    } else if (w->base) {
        c->base = sm_snapshot_retain(w->base);
    }
    if (c->base) {
        SM_TRY(sm_delta_check_write(c->base, e));
    }
    return SM_OK;
}

/* ---- its schema ------------------------------------------------------------------------------ */

static const sm_type *schema_there(const sm_candidate *c)
{
    return c->base ? sm_snapshot_metadata(c->base)->schema : NULL;
}

sm_delta_metadata *smi_candidate_change(sm_candidate *c, const sm_type *schema)
{
    sm_delta_metadata *m = SM_NEW(c->arena, sm_delta_metadata);
    char uuid[SM_UUID_BYTES];

    c->schema = schema;
    if (c->record.metadata) {
        *m = *c->record.metadata;
    } else if (c->base) {
        *m = *sm_snapshot_metadata(c->base); /* borrowed, and the candidate holds the snapshot */
    } else {
        sm_uuid(uuid);
        *m = (sm_delta_metadata){
            .id = sm_arena_str(c->arena, sm_str_of(uuid)),
            .created_ms = sm_now_us() / 1000,
        };
    }
    m->schema = schema;
    if (c->base) {
        sm_delta_map_columns(sm_snapshot_protocol(c->base), m, c->arena);
        c->schema = m->schema;
    }
    c->record.metadata = m;
    return m;
}

/* Does an overwrite keep the table's schema? The rows have its columns, but for those that the
 * table computes. */
static bool keeps_schema(const sm_type *there, const sm_type *rows)
{
    int32_t at = 0;

    for (int32_t i = 0; i < there->n_fields; i++) {
        const sm_field *f = &there->fields[i];
        const sm_field *given = at < rows->n_fields ? &rows->fields[at] : NULL;
        if (given && sm_str_eq(given->name, f->name) && sm_type_eq(given->type, f->type)) {
            at++;
        } else if (!smi_field_is_computed(f)) {
            return false;
        }
    }
    return at == rows->n_fields;
}

/* Rows that are added to a table with type widening may be of wider types. */
static sm_status widen_types(sm_stage *s, const sm_type *rows, const sm_type **schema, sm_error *e)
{
    sm_candidate *c = s->candidate;
    smi_altering t = {.arena = c->arena, .base = c->base};

    if (s->mode != SM_WRITE_APPEND) {
        return SM_OK;
    }
    t.m = *sm_snapshot_metadata(c->base);
    t.m.schema = *schema;
    t.protocol = *sm_snapshot_protocol(c->base);
    SM_TRY(smi_alter_to_rows(&t, rows, e));
    *schema = t.m.schema;
    if (t.n_features > 0) {
        sm_delta_protocol *protocol = SM_NEW(c->arena, sm_delta_protocol);
        *protocol = t.protocol;
        c->record.protocol = protocol;
    }
    return SM_OK;
}

/* A new table, or an overwrite with other columns, gets the schema of the rows; all others keep
 * theirs, perhaps with further columns or wider types. */
static sm_status settle_schema(sm_stage *s, const sm_write *w, const sm_type *rows, sm_error *e)
{
    sm_candidate *c = s->candidate;
    const sm_type *there = schema_there(c), *schema = there;
    int32_t *order = NULL, *required = NULL;

    rows = sm_type_widen(c->arena, rows); /* the types in which smi_out writes them */
    if (!there || (s->mode == SM_WRITE_OVERWRITE && !keeps_schema(there, rows))) {
        SM_TRY(smi_schema_new(rows, c->arena, &schema, e));
        (void)smi_candidate_change(c, schema);
    } else {
        if (w->adds_columns) {
            SM_TRY(smi_schema_widen(there, rows, c->arena, &schema, e));
        }
        SM_TRY(widen_types(s, rows, &schema, e));
        SM_TRY(smi_schema_match(schema, rows, c->arena, &order, e));
        SM_TRY(smi_schema_required(schema, c->arena, &required, &s->out.n_required, e));
        c->schema = schema; /* it lives in the snapshot, or in the candidate's arena */
        if (schema != there) {
            (void)smi_candidate_change(c, schema);
        }
    }
    s->out.schema = c->schema;
    s->out.order = order;
    s->out.required = required;
    if (!c->base) {
        return SM_OK;
    }
    SM_TRY(w->keeps_values ? SM_OK : smi_identity_check_given(c->schema, order, e));
    SM_TRY(smi_rules_settle(smi_candidate_metadata(c), order, c->arena, &s->out.rules, e));
    s->identity = s->out.rules.identity;
    return SM_OK;
}

/* ---- its properties -------------------------------------------------------------------------- */

/* {"delta.appendOnly":"true"}: those of the write's that `m` has not, or otherwise. */
static sm_str changed_properties(const sm_delta_metadata *m, const sm_write *w, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer json = {.out = &text};

    sm_json_begin_object(&json);
    for (int32_t i = 0; i < w->n_properties; i++) {
        if (!sm_delta_has_properties(m, &w->properties[i], 1)) {
            sm_json_key(&json, w->properties[i].key);
            sm_json_put_text(&json, w->properties[i].value);
        }
    }
    sm_json_end_object(&json);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* Gives the table the write's properties. */
static sm_status settle_properties(sm_stage *s, const sm_write *w, sm_error *e)
{
    sm_candidate *c = s->candidate;

    if (w->n_properties == 0) {
        return SM_OK;
    }
    smi_altering t = {.arena = c->arena, .base = c->base, .m = *smi_candidate_metadata(c)};
    t.protocol = c->record.protocol ? *c->record.protocol
                 : c->base          ? *sm_snapshot_protocol(c->base)
                                    : sm_delta_protocol_new(c->schema);
    const sm_str changed = changed_properties(&t.m, w, c->arena);
    for (int32_t i = 0; i < w->n_properties; i++) {
        const sm_pair *p = &w->properties[i];
        SM_TRY(smi_alter_property(&t, sm_arena_str(c->arena, p->key),
                                  sm_arena_str(c->arena, p->value), e));
    }
    if (!t.is_changed) {
        return SM_OK;
    }
    SM_TRY(sm_delta_check_readers(c->base, &t.protocol, &t.m, e));
    sm_delta_metadata *m = SM_NEW(c->arena, sm_delta_metadata);
    sm_delta_protocol *protocol = SM_NEW(c->arena, sm_delta_protocol);
    *m = t.m;
    *protocol = t.protocol;
    c->record.metadata = m;
    c->record.protocol = t.n_features > 0 ? protocol : c->record.protocol;
    c->schema = s->out.schema = m->schema;
    c->is_always_made = true;
    s->properties = changed;
    return SM_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Does the expression read a column that only the new rows have? */
static bool reads_beyond(const sm_expr *x, int32_t n_columns)
{
    bool reads = x->kind == SM_EXPR_COLUMN && x->index >= n_columns;

    for (int32_t i = 0; i < x->n_args && !reads; i++) {
        reads = reads_beyond(x->args[i], n_columns);
    }
    return reads;
}

/* The bounds of the condition, with values of the candidate's own: the expression may end before
 * the candidate does. */
static void keep_bounds(sm_candidate *c, const sm_expr *where)
{
    sm_bounds bounds = {0};

    sm_expr_bounds(where, c->arena, &bounds);
    sm_bound *own = SM_NEW_ARRAY(c->arena, sm_bound, bounds.n + 1);
    for (int32_t i = 0; i < bounds.n; i++) {
        const sm_bound *b = &bounds.items[i];
        sm_value *values = SM_NEW_ARRAY(c->arena, sm_value, b->n_values + 1);
        for (int32_t k = 0; k < b->n_values; k++) {
            values[k] = sm_value_copy(c->arena, b->values[k]);
        }
        own[i] = *b;
        own[i].values = values;
        if (b->value.type) {
            own[i].value = sm_value_copy(c->arena, b->value);
        }
    }
    c->record.read = (sm_bounds){own, bounds.n};
}

static sm_status settle_where(sm_stage *s, const sm_write *w, sm_error *e)
{
    sm_candidate *c = s->candidate;
    const sm_type *there = schema_there(c);
    sm_buf sql = {0};

    if (s->mode != SM_WRITE_REPLACE_WHERE) {
        return SM_OK;
    }
    SM_ASSERT(w->where.bind != NULL);
    SM_TRY(w->where.bind(w->where.ctx, c->schema, c->arena, &s->where, e));
    sm_expr_sql(s->where, c->schema, &sql);
    s->predicate = sm_arena_str(c->arena, sm_buf_str(&sql));
    sm_buf_release(&sql);
    if (s->where->type->id != SM_TYPE_BOOL) {
        return sm_fail(e, SM_TYPE, "which rows are replaced must be a condition, not \"%.*s\"",
                       SM_STR_ARG(s->predicate));
    }
    if (there && reads_beyond(s->where, there->n_fields)) {
        return sm_fail(
            e, SM_SCHEMA,
            "the condition of what is replaced has a column that the table has not: \"%.*s\"",
            SM_STR_ARG(s->predicate));
    }
    keep_bounds(c, s->where);
    s->change.rows = (sm_row_change){.rows = c->schema, .acts = s->where, .deletes = s->where};
    return SM_OK;
}

sm_status smi_group_rows(const sm_delta_metadata *m, int64_t *out, sm_error *e)
{
    static const sm_str key = {"smelt.rowGroupRows", 18};

    *out = 0;
    for (int32_t i = 0; i < m->n_config; i++) {
        const sm_str text = m->config[i].value;
        if (sm_str_eq(m->config[i].key, key) &&
            !(sm_parse_i64(text, out) && *out > 0 && *out <= INT32_MAX)) {
            return sm_fail(e, SM_INVALID,
                           "the table's property %.*s is not a number of rows: \"%.*s\"",
                           SM_STR_ARG(key), SM_STR_ARG(text));
        }
    }
    return SM_OK;
}

sm_status smi_stage_group_rows(sm_stage *s, int64_t n, sm_error *e)
{
    return sm_options_set(s->out.format->options, s->out.options, SM_STR("row_group_rows"),
                          sm_value_i64(n), s->candidate->arena, e);
}

static sm_status settle_format(sm_stage *s, sm_error *e)
{
    int64_t n = 0;

    s->out.format = sm_format_named(SM_STR("parquet"));
    SM_ASSERT(s->out.format && s->out.format->writer);
    s->out.options = sm_arena_alloc(s->candidate->arena, s->out.format->opts_bytes + 1);
    SM_TRY(sm_options_default(s->out.format->options, s->out.options, e));
    SM_TRY(smi_group_rows(smi_candidate_metadata(s->candidate), &n, e));
    return n > 0 ? smi_stage_group_rows(s, n, e) : SM_OK;
}

static sm_candidate *candidate_new(const sm_write *w, sm_budget *budget)
{
    sm_candidate *c = sm_alloc_zero(sizeof(*c));

    atomic_init(&c->refs, 1);
    c->arena = sm_arena_new(budget);
    c->uri = sm_arena_str(c->arena, w->uri);
    return c;
}

/* What the write read of the table, so that another commit may conflict with it: an append nothing,
 * a replace the files that its bounds describe (those of replaced partitions are known when the
 * rows are written), all others everything. */
static sm_delta_isolation isolation_of(const sm_stage *s)
{
    const sm_candidate *c = s->candidate;

    if (s->mode == SM_WRITE_APPEND || !c->base) {
        return SM_READ_NOTHING;
    }
    return c->record.read.n > 0 ? SM_READ_FILES : SM_READ_ALL;
}

/* ["a","b"] */
static sm_str partition_names(const sm_stage *s)
{
    const sm_delta_metadata *m = s->out.metadata;
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_array(&w);
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        sm_json_put_text(&w, m->partition_columns[i]);
    }
    sm_json_end_array(&w);
    const sm_str out = sm_arena_str(s->candidate->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* The operation's parameters, with the names that Spark uses. */
static void set_parameters(sm_stage *s)
{
    sm_delta_commit *r = &s->candidate->record;
    const bool replaces = s->mode == SM_WRITE_REPLACE_PARTITIONS;
    const sm_delta_detail parameters[] = {
        {SM_STR("mode"),
         sm_value_str(s->mode == SM_WRITE_APPEND ? SM_STR("Append") : SM_STR("Overwrite"))},
        {SM_STR("partitionBy"), sm_value_str(partition_names(s))},
        replaces ? (sm_delta_detail){SM_STR("isDynamicPartitionOverwrite"),
                                     {.type = &sm_type_bool, .as.b = true}}
                 : (sm_delta_detail){SM_STR("predicate"), sm_value_str(s->predicate)},
    };

    r->n_parameters = SM_COUNT(parameters) - (s->where || replaces ? 0 : 1);
    r->parameters = memcpy(sm_arena_alloc(s->candidate->arena, sizeof(parameters)), parameters,
                           sizeof(parameters));
}

/* Fills in what is known before the first row. */
static void start_record(sm_stage *s, const sm_write *w)
{
    sm_candidate *c = s->candidate;
    sm_delta_commit *r = &c->record;

    r->operation = SM_STR("WRITE");
    set_parameters(s);
    r->isolation = isolation_of(s);
    r->user_metadata = sm_arena_str(c->arena, w->user_metadata);
    c->is_always_made = c->is_always_made || s->mode == SM_WRITE_OVERWRITE;
}

sm_status sm_stage_open(const sm_write *w, const sm_type *schema, const sm_exec_env *env,
                        sm_stage **out, sm_error *e)
{
    SM_ASSERT(w && schema && schema->id == SM_TYPE_STRUCT && env && out);
    SM_ASSERT(w->has_base || !w->base);
    sm_stage *s = sm_alloc_zero(sizeof(*s));
    sm_status st = SM_OK;

    s->env = *env;
    s->mode = w->mode;
    s->candidate = candidate_new(w, env->budget);
    s->out.env = &s->env;
    s->out.arena = s->candidate->arena;
    s->out.file_bytes = w->file_bytes > 0 ? w->file_bytes : DEFAULT_FILE_BYTES;
    SM_TRY_GOTO(st, done, open_table(s, w, e));
    s->out.store = s->candidate->store;
    SM_TRY_GOTO(st, done, smi_table_check_place(s->out.store, e));
    SM_TRY_GOTO(st, done, sm_store_check_put(s->out.store, e));
    SM_TRY_GOTO(st, done, settle_schema(s, w, schema, e));
    SM_TRY_GOTO(st, done, settle_properties(s, w, e));
    SM_TRY_GOTO(st, done, smi_partition_settle(s, w, e));
    SM_TRY_GOTO(st, done, settle_where(s, w, e));
    SM_TRY_GOTO(st, done, settle_format(s, e));
    start_record(s, w);
    s->state = SMI_STAGE_WRITING;
    *out = s;
    s = NULL;
done:
    sm_stage_close(s);
    if (st != SM_OK) {
        (void)sm_within(e, st, "table %.*s", SM_STR_ARG(w->uri));
    }
    return st;
}

static sm_status push_rows(void *stage, sm_batch *rows, sm_waker waker, sm_error *e)
{
    sm_stage *s = stage;
    SM_ASSERT(s->state == SMI_STAGE_WRITING);
    return smi_out_push(&s->out, rows, waker, e);
}

static sm_status finish_file(void *stage, sm_waker waker, sm_error *e)
{
    sm_stage *s = stage;
    SM_ASSERT(s->state == SMI_STAGE_WRITING);
    return smi_out_finish(&s->out, waker, e);
}

sm_sink sm_stage_sink(sm_stage *s)
{
    SM_ASSERT(s->state == SMI_STAGE_WRITING);
    return (sm_sink){.ctx = s, .push = push_rows, .finish = finish_file};
}

void sm_stage_close(sm_stage *s)
{
    if (!s) {
        return;
    }
    smi_out_release(&s->out);
    smi_out_release(&s->feed);
    if (s->candidate) {
        s->candidate->record.adds = s->out.adds;
        s->candidate->record.n_adds = s->out.n_adds;
        s->candidate->record.changes = s->feed.adds;
        s->candidate->record.n_changes = s->feed.n_adds;
        sm_candidate_release(s->candidate);
    }
    sm_free(s);
}

/* ---- the candidate --------------------------------------------------------------------------- */

/* Puts the files of rows that a replace moved before the n_written files of new rows: the moved
 * rows were in the table before. */
static void put_moved_first(sm_stage *s, int64_t n_written)
{
    const int64_t n = s->out.n_adds;

    SM_ASSERT(n_written >= 0 && n_written <= n);
    sm_delta_add *sorted = SM_NEW_ARRAY(s->candidate->arena, sm_delta_add, n + 1);

    for (int64_t i = 0; i < n; i++) {
        sorted[i] = s->out.adds[(n_written + i) % n];
    }
    s->out.adds = sorted;
}

void smi_stage_remove(sm_stage *s, const sm_delta_file *f)
{
    SM_ASSERT(s->state == SMI_STAGE_SETTLING);
    SM_ASSERT(s->n_removes == 0 || s->removes[s->n_removes - 1] < f); /* in the base's order */
    s->removes = sm_arena_grow(s->candidate->arena, s->removes, s->n_removes, &s->cap_removes,
                               sizeof(*s->removes));
    s->removes[s->n_removes++] = f;
}

/* All files go: they are not listed. */
static sm_status remove_all(sm_stage *s, sm_error *e)
{
    sm_candidate *c = s->candidate;
    sm_delta_totals *all = SM_NEW(c->arena, sm_delta_totals);

    if (c->base) {
        SM_TRY(sm_snapshot_totals(c->base, all, e));
        c->record.removes_all = all;
        s->n_removes = all->n_files;
    }
    c->removes_all = true;
    return SM_OK;
}

static sm_status settle_removes(sm_stage *s, sm_error *e)
{
    const int64_t n_written = s->out.n_adds;

    s->state = SMI_STAGE_SETTLING;
    if (s->mode == SM_WRITE_OVERWRITE) {
        SM_TRY(remove_all(s, e));
    } else if (s->mode == SM_WRITE_REPLACE_WHERE && s->candidate->base) {
        SM_TRY(smi_replace(s, e));
        put_moved_first(s, n_written);
        s->candidate->n_moved = s->out.n_adds - n_written;
    } else if (s->mode == SM_WRITE_REPLACE_PARTITIONS) {
        SM_TRY(smi_partition_replace(s, e));
        s->candidate->record.isolation = isolation_of(s);
    }
    return SM_OK;
}

/* What was written, with the names that Spark uses. */
static void set_metrics(sm_stage *s)
{
    sm_delta_commit *r = &s->candidate->record;
    const sm_delta_detail metrics[] = {
        {SM_STR("numFiles"), sm_value_i64(s->out.n_adds)},
        {SM_STR("numOutputRows"), sm_value_i64(s->out.n_rows)},
        {SM_STR("numOutputBytes"), sm_value_i64((int64_t)s->out.bytes)},
        {SM_STR("numRemovedFiles"), sm_value_i64(s->n_removes - s->n_marks)},
        {SM_STR("numCopiedRows"), sm_value_i64(s->out.n_rows - s->candidate->n_rows)},
        {SM_STR("numDeletionVectorsAdded"), sm_value_i64(s->n_marks)},
    };

    r->n_metrics = SM_COUNT(metrics);
    r->metrics =
        memcpy(sm_arena_alloc(s->candidate->arena, sizeof(metrics)), metrics, sizeof(metrics));
}

/* The next write goes on behind the values that this one has given out. */
static void mark_identity(sm_stage *s)
{
    sm_candidate *c = s->candidate;
    const sm_type *marked = smi_identity_marked(s->identity, c->schema, c->arena);

    if (marked != c->schema) {
        (void)smi_candidate_change(c, marked);
    }
}

/* A commit that sets properties and changes no file says so, as Spark's does. */
static void describe_properties(sm_stage *s)
{
    sm_delta_commit *r = &s->candidate->record;
    const sm_delta_detail parameter = {SM_STR("properties"), sm_value_str(s->properties)};

    if (s->properties.len > 0 && s->candidate->base && r->n_adds == 0 && r->n_removes == 0) {
        r->operation = SM_STR("SET TBLPROPERTIES");
        r->parameters = memcpy(sm_arena_alloc(s->candidate->arena, sizeof(parameter)), &parameter,
                               sizeof(parameter));
        r->n_parameters = 1;
        r->n_metrics = 0;
    }
}

sm_status sm_stage_candidate(sm_stage *s, sm_candidate **out, sm_error *e)
{
    SM_ASSERT(s->state == SMI_STAGE_WRITING && s->out.state == SMI_OUT_NONE);
    SM_ASSERT(s->out.n_ending == 0); /* the sink was finished */
    sm_candidate *c = s->candidate;
    c->n_rows = s->out.n_rows;
    const sm_status st = settle_removes(s, e);
    if (st != SM_OK) {
        return sm_within(e, st, "table %.*s", SM_STR_ARG(c->uri));
    }
    mark_identity(s);
    c->record.adds = s->out.adds;
    c->record.n_adds = s->out.n_adds;
    c->record.removes = s->removes;
    c->record.n_removes = s->n_removes;
    c->record.marks = s->marks;
    c->record.n_marks = s->n_marks;
    c->record.changes = s->feed.adds;
    c->record.n_changes = s->feed.n_adds;
    set_metrics(s);
    describe_properties(s);
    c->bytes = s->out.bytes;
    SM_ASSERT(s->out.n_rows >= c->n_rows); /* moved rows only add */
    if (!s->out.places) {                  /* else table_rewrite.c makes the record whole first */
        smi_candidate_assert_valid(c);
    }
    s->candidate = NULL;
    s->state = SMI_STAGE_GIVEN;
    *out = c;
    return SM_OK;
}

sm_status sm_stage_plan(const sm_plan *plan, const sm_write *w, const sm_exec_env *env,
                        const sm_sink *refused, sm_exec_report *report, sm_candidate **out,
                        sm_error *e)
{
    sm_stage *s = NULL;

    if (report) {
        *report = (sm_exec_report){0};
    }
    SM_TRY(sm_stage_open(w, plan->root->schema, env, &s, e));
    sm_arena *a = sm_arena_new(env->budget);
    const sm_sink sink = sm_stage_sink(s);
    sm_status st = sm_stage_arrange(s, plan, a, &plan, e);
    if (st == SM_OK) {
        st = sm_exec_run(plan, env, &sink, refused, report, e);
    }
    if (st == SM_OK) {
        st = sm_stage_candidate(s, out, e);
    }
    sm_stage_close(s);
    sm_arena_free(a);
    return st;
}
