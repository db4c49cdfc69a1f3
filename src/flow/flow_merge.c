/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_merge.c: tables into which the rows of a task's SQL are merged by key: `merge`, where
 * the newest row of a key is kept, and `scd2`, where each is kept with the time from when to when
 * it was so. Called by flow_table.c; the merge itself is the table room's (table_upsert.c).
 *
 * Rows    The SQL runs once, into files beside those of the table that no version names. They are
 *         deleted when the merge is staged.
 * Order   A later run with an earlier time would tell a history backwards: what was known of the
 *         time after it is closed already. So the time of the last run stands in the information of
 *         its commit ("merged") and, for the day when the log has lost that, as the version of a
 *         transaction; rows of an earlier one may only say what the history says of it, and change
 *         nothing. A run again for the last time makes of the history what it would be had only
 *         this run been. Where nothing has changed since the last
 *         run, a commit without rows remembers the time. Rows with times of their own are compared
 *         one by one (table_history.c).
 *         A merge without a history takes the rows as they come, and warns if those of an earlier
 *         month or date come after later ones, unless `update_when` decides. */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define DAY_US INT64_C(86400000000)

/* ---- columns -------------------------------------------------------------------------------- */

/* The places of named columns among those of the SQL. */
static sm_status find_columns(const sm_run *r, const smi_flow_columns *c, const sm_type *rows,
                              sm_arena *a, const int32_t **out, sm_error *e)
{
    int32_t *places = SM_NEW_ARRAY(a, int32_t, c->n + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, rows->n_fields + 1);

    for (int32_t i = 0; i < rows->n_fields; i++) {
        names[i] = rows->fields[i].name;
    }
    for (int32_t i = 0; i < c->n; i++) {
        places[i] = sm_type_find(rows, c->names[i]);
        if (places[i] < 0) {
            const sm_status st =
                sm_fail(e, SM_NAME, "its SQL has no column \"%.*s\"", SM_STR_ARG(c->names[i]));
            const char *near = sm_nearest_name(c->names[i], names, rows->n_fields);
            if (near) {
                sm_error_todo(e, "Did you mean \"%s\"?", near);
            }
            return smi_flow_at(r->p, c->at, st, e);
        }
    }
    *out = places;
    return SM_OK;
}

static sm_status find_keys(const sm_run *r, const smi_flow_merge *m, const sm_type *rows,
                           sm_arena *a, sm_merge *out, sm_error *e)
{
    SM_TRY(find_columns(r, &m->key, rows, a, &out->keys, e));
    out->n_keys = m->key.n;
    for (int32_t i = 0; i < out->n_keys; i++) {
        const sm_field *f = &rows->fields[out->keys[i]];
        if (sm_type_is_nested(f->type->id)) {
            return smi_flow_at(r->p, m->key.at,
                               sm_fail(e, SM_TYPE, "column \"%.*s\" is nested and cannot be a key",
                                       SM_STR_ARG(f->name)),
                               e);
        }
    }
    return SM_OK;
}

/* ---- merge ---------------------------------------------------------------------------------- */

static sm_status bind_condition(sm_run *r, const smi_flow_expression *x, const sm_type *schema,
                                sm_arena *a, const sm_expr **out, sm_error *e)
{
    sm_buf type = {0};

    *out = NULL;
    if (x->text.len == 0) {
        return SM_OK;
    }
    SM_TRY(smi_flow_bind(r, x, schema, a, out, e));
    if ((*out)->type->id == SM_TYPE_BOOL) {
        return SM_OK;
    }
    sm_type_print((*out)->type, &type);
    const sm_status st =
        sm_fail(e, SM_TYPE, "%s is %.*s, not BOOLEAN", x->key, SM_STR_ARG(sm_buf_str(&type)));
    sm_buf_release(&type);
    return smi_flow_at(r->p, x->at, st, e);
}

/* The columns of the SQL, then `old`: a struct of the table's. */
static sm_status with_old(const sm_run *r, const smi_flow_expression *x, const sm_type *rows,
                          const sm_type *table, sm_arena *a, const sm_type **out, sm_error *e)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, rows->n_fields + 1);

    if (sm_type_find(rows, SM_STR("old")) >= 0) {
        const sm_status st = sm_fail(e, SM_INVALID,
                                     "%s calls the row of the table \"old\", and "
                                     "the SQL has a column of that name",
                                     x->key);
        sm_error_todo(e, "Give the column another name.");
        return smi_flow_at(r->p, x->at, st, e);
    }
    memcpy(fields, rows->fields, (size_t)rows->n_fields * sizeof(*fields));
    fields[rows->n_fields] = (sm_field){.name = SM_STR("old"),
                                        .type = sm_type_struct(a, table->fields, table->n_fields),
                                        .is_nullable = true};
    *out = sm_type_struct(a, fields, rows->n_fields + 1);
    return SM_OK;
}

static sm_status bind_merge(sm_run *r, const smi_flow_merge *m, const sm_type *rows,
                            const sm_type *table, sm_arena *a, sm_merge *out, sm_error *e)
{
    const sm_type *both = NULL;

    SM_TRY(bind_condition(r, &m->delete_when, rows, a, &out->deletes, e));
    if (m->update_when.text.len == 0) {
        return SM_OK;
    }
    SM_TRY(with_old(r, &m->update_when, rows, table, a, &both, e));
    return bind_condition(r, &m->update_when, both, a, &out->acts, e);
}

/* ---- scd2 ----------------------------------------------------------------------------------- */

static sm_status check_names(const sm_run *r, const smi_flow_task *t, const sm_type *rows,
                             sm_error *e)
{
    const smi_flow_merge *m = t->merge;
    const sm_str names[] = {m->valid_from, m->valid_to, m->is_current};
    static const char *const keys[] = {"valid_from", "valid_to", "is_current"};

    for (int i = 0; i < SM_COUNT(names); i++) {
        if (sm_type_find(rows, names[i]) >= 0) {
            const sm_status st =
                sm_fail(e, SM_EXISTS, "its SQL has a column \"%.*s\", as the history has one",
                        SM_STR_ARG(names[i]));
            sm_error_todo(e, "Give one of them another name: %s of scd2 is that of the history.",
                          keys[i]);
            return smi_flow_at(r->p, m->key.at, st, e);
        }
    }
    return SM_OK;
}

/* Which columns decide whether a row has changed: those that are named, or all but the key. */
static sm_status find_compared(const sm_run *r, const smi_flow_merge *m, const sm_type *rows,
                               const sm_merge *merge, sm_arena *a, sm_history *out, sm_error *e)
{
    int32_t *places = SM_NEW_ARRAY(a, int32_t, rows->n_fields + 1);

    if (m->columns.n > 0) {
        out->n_compared = m->columns.n;
        return find_columns(r, &m->columns, rows, a, &out->compared, e);
    }
    for (int32_t i = 0; i < rows->n_fields; i++) {
        bool is_key = false;
        for (int32_t k = 0; k < merge->n_keys; k++) {
            is_key = is_key || merge->keys[k] == i;
        }
        if (!is_key) {
            places[out->n_compared++] = i;
        }
    }
    out->compared = places;
    return SM_OK;
}

/* The run's date, as a value of that type. */
static sm_value date_as(const sm_run *r, const sm_type *type)
{
    const bool is_date = type->id == SM_TYPE_DATE;

    return (sm_value){
        .type = type,
        .as.i = is_date ? smi_flow_logical_day(r) : r->opts->interval.start_us,
    };
}

/* Since when the rows are so: the run's date, or what `at` says. */
static sm_status bind_at(sm_run *r, const smi_flow_merge *m, const sm_type *rows, sm_arena *a,
                         const sm_expr **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_buf type = {0};

    if (m->at.text.len == 0) {
        if (r->opts->interval.start_us % DAY_US != 0) {
            st = sm_fail(e, SM_INVALID, "the times of scd2 are dates, and --date has a time");
            sm_error_todo(e, "Say with `at` since when a row is so: a column of the SQL, say.");
        }
        *out = sm_expr_constant(date_as(r, &sm_type_date), a);
        return smi_flow_at(r->p, m->key.at, st, e);
    }
    SM_TRY(smi_flow_bind(r, &m->at, rows, a, out, e));
    const sm_type_id id = (*out)->type->id;
    if (id != SM_TYPE_DATE && id != SM_TYPE_TIMESTAMP && id != SM_TYPE_TIMESTAMP_NTZ) {
        sm_type_print((*out)->type, &type);
        st = sm_fail(e, SM_TYPE, "at is %.*s, not a DATE or a TIMESTAMP",
                     SM_STR_ARG(sm_buf_str(&type)));
        sm_buf_release(&type);
    }
    return smi_flow_at(r->p, m->at.at, st, e);
}

/* A time that all rows have is that of the run. */
static void take_order(const sm_run *r, const sm_expr *at, smi_flow_merging *out)
{
    if (at->kind == SM_EXPR_CONST && !at->value.is_null) {
        sm_buf text = {0};
        sm_value_print(at->value, &text);
        out->order = sm_arena_str(r->arena, sm_buf_str(&text));
        out->order_us = at->value.as.i * (at->type->id == SM_TYPE_DATE ? DAY_US : 1);
        out->is_next = true;
        sm_buf_release(&text);
    }
}

static sm_status bind_history(sm_run *r, const smi_flow_task *t, const sm_type *rows, sm_arena *a,
                              smi_flow_merging *out, sm_error *e)
{
    const smi_flow_merge *m = t->merge;
    sm_history *h = &out->history;

    SM_TRY(check_names(r, t, rows, e));
    SM_TRY(find_compared(r, m, rows, &out->merge, a, h, e));
    SM_TRY(bind_at(r, m, rows, a, &h->at, e));
    h->valid_from = m->valid_from;
    h->valid_to = m->valid_to;
    h->is_current = m->is_current;
    h->closes_missing = m->closes_missing;
    h->ends = h->at->kind == SM_EXPR_CONST ? h->at->value : date_as(r, h->at->type);
    take_order(r, h->at, out);
    out->merge.history = h;
    return SM_OK;
}

/* ---- binding -------------------------------------------------------------------------------- */

/* All that the merge is made from, for the fingerprint. */
static sm_str merge_text(const sm_run *r, const smi_flow_merge *m, sm_str order)
{
    const smi_flow_columns *const lists[] = {&m->key, &m->columns};
    const sm_str words[] = {m->update_when.text, m->delete_when.text, m->at.text, m->valid_from,
                            m->valid_to,         m->is_current,       order};
    sm_buf text = {0};

    sm_buf_printf(&text, "\n%s%s", m->is_history ? "scd2" : "merge",
                  m->closes_missing ? " closes" : "");
    for (int i = 0; i < SM_COUNT(lists); i++) {
        for (int32_t k = 0; k < lists[i]->n; k++) {
            sm_buf_printf(&text, "\nlist %d %.*s", i, SM_STR_ARG(lists[i]->names[k]));
        }
    }
    for (int i = 0; i < SM_COUNT(words); i++) {
        sm_buf_printf(&text, "\nword %d %.*s", i, SM_STR_ARG(words[i]));
    }
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

sm_status smi_flow_merge_bind(sm_run *r, int32_t task, const sm_plan *plan, sm_snapshot *there,
                              sm_arena *a, smi_flow_merging *out, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const sm_type *rows = sm_type_widen(a, plan->root->schema); /* as they are staged */
    const bool is_kept = there && !smi_flow_is_refreshed(r, task);
    const sm_type *table = is_kept ? sm_snapshot_metadata(there)->schema : rows;

    *out = (smi_flow_merging){0};
    SM_TRY(find_keys(r, t->merge, rows, a, &out->merge, e));
    if (t->merge->is_history) {
        SM_TRY(bind_history(r, t, rows, a, out, e));
    } else {
        SM_TRY(bind_merge(r, t->merge, rows, table, a, &out->merge, e));
        out->order = r->asked.period >= 0 ? smi_flow_value_text(r, r->asked.period) : (sm_str){0};
    }
    out->text = merge_text(r, t->merge, out->order);
    return SM_OK;
}

/* ---- order ---------------------------------------------------------------------------------- */

/* How the time of the rows stands to that of the transaction: the last one, or within its day a
 * little more, for versions of a transaction grow. */
static int order_by_txn(const smi_flow_merging *g, int64_t txn)
{
    const int64_t unit = g->history.at->type->id == SM_TYPE_DATE ? DAY_US : 1;

    return g->order_us > txn ? 1 : txn - g->order_us < unit ? 0 : -1;
}

sm_status smi_flow_merge_order(sm_run *r, int32_t task, sm_snapshot *there, smi_flow_merging *g,
                               sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_past past = {0};
    char last[SM_TIME_TEXT_BYTES];

    if (g->order.len == 0) {
        return SM_OK;
    }
    SM_TRY(smi_flow_past_find(r, sm_snapshot_store(there), sm_snapshot_version(there), "merged",
                              (sm_str){0}, &past, e));
    int order = past.kind == SMI_PAST_FOUND ? sm_str_cmp(g->order, past.text) : 1;
    if (!t->merge->is_history) {
        if (order < 0 && t->merge->update_when.text.len == 0) {
            smi_flow_report_warn(
                r,
                "rows of %.*s were merged into %.*s after those of %.*s: where "
                "both have a key, the older row is there now (update_when decides)",
                SM_STR_ARG(g->order), SM_STR_ARG(t->name), SM_STR_ARG(past.text));
        }
        return SM_OK;
    }
    const int64_t txn = sm_snapshot_txn(there, SM_STR(SMI_HISTORY_APP));
    if (past.kind == SMI_PAST_UNSEEN) {
        order = order_by_txn(g, txn);
        sm_format_timestamp(txn, last);
        past.text = sm_arena_str(r->arena, sm_str_of(last));
    }
    if (order < 0) {
        g->history.goes_to = past.text;
    }
    g->is_next = order > 0;
    g->history.is_again = order == 0 && g->history.at->kind == SM_EXPR_CONST;
    return SM_OK;
}

/* ---- the rows ------------------------------------------------------------------------------- */

sm_status smi_flow_merge_open(sm_run *r, const smi_flow_task *t, const sm_write *w,
                              const sm_type *schema, sm_stage **out, sm_error *e)
{
    const bool are_table = !w->base && !t->merge->is_history; /* the rows may be all of it */
    sm_write own = {.uri = w->uri,
                    .mode = SM_WRITE_OVERWRITE,
                    .user_metadata = w->user_metadata,
                    .has_base = true};

    return are_table ? smi_flow_stage_open(r, t, &own, schema, out, e)
                     : sm_stage_open(&own, schema, r->env, out, e);
}

/* Runs the SQL into files beside the table's. */
static sm_status stage_rows(smi_flow_guard *rows, const sm_write *w, sm_candidate **out,
                            sm_error *e)
{
    sm_run *r = rows->run;
    sm_stage *stage = NULL;

    SM_TRY(
        smi_flow_merge_open(r, &r->p->tasks[rows->task], w, rows->plan->root->schema, &stage, e));
    sm_status st = smi_flow_execute_into(rows, stage, e);
    if (st == SM_OK) {
        st = sm_stage_candidate(stage, out, e);
    }
    sm_stage_close(stage);
    return st;
}

sm_status smi_flow_merge_rows(smi_flow_guard *guarded, const smi_flow_merging *g, const sm_write *w,
                              sm_error *e)
{
    sm_candidate *rows = NULL;

    SM_TRY(stage_rows(guarded, w, &rows, e));
    const sm_status st = smi_flow_merge_staged(guarded, g, w, rows, e);
    sm_candidate_release(rows);
    return st;
}

sm_status smi_flow_merge_staged(smi_flow_guard *guarded, const smi_flow_merging *g,
                                const sm_write *w, sm_candidate *rows, sm_error *e)
{
    sm_run *r = guarded->run;
    const smi_flow_task *t = &r->p->tasks[guarded->task];
    smi_flow_task_state *state = &r->tasks[guarded->task];
    sm_merge merge = g->merge;

    SM_ASSERT(t->merge && merge.n_keys > 0 && w->has_base);
    merge.write = *w;
    merge.write.partition_by = t->partition_by;
    merge.write.n_partition_by = t->n_partition_by;
    merge.write.properties = t->properties;
    merge.write.n_properties = t->n_properties;
    merge.rows = rows;
    sm_status st = sm_stage_merge(&merge, r->env, &state->merged, &state->candidate, e);
    if (st == SM_OK) {
        st = smi_flow_guard_judge(guarded, rows, state->candidate, e);
    }
    if (st == SM_NAME && t->n_partition_by > 0) {
        return smi_flow_at(r->p, t->partition_at, st, e);
    }
    if (st == SM_INVALID && g->history.goes_to.len > 0 && e && e->todo[0] == '\0') {
        sm_error_todo(e,
                      "Run dates in their order. To tell it anew, run --full-refresh %.*s for the "
                      "first date, then the others.",
                      SM_STR_ARG(t->name));
    }
    if (st == SM_INVALID && e && e->object[0] == '\0') {
        sm_error_place(e, t->sql.name.data, 0, -1);
    }
    return st;
}
