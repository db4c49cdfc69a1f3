/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_history.c: merges rows into a table that keeps each row as it was, and from when to
 * when (slowly changing dimensions, type 2). Called by table_upsert.c.
 *
 * Rows      A row of the table holds from valid_from (included) to valid_to (excluded). The current
 *           one of a key has no valid_to. A row of the source has the time `at` since when it is
 *           so.
 * Changed   One of the compared columns differs from the current row of the key. That row ends at
 *           the time of the new one, which is added.
 * Again     Where the current row began at that very time, it gets the new values in its place:
 *           what is known of this time has been corrected. A row from a time to the same time would
 *           hold never.
 * Missing   Current rows without a row in the source end, if that is asked for; one that began at
 *           the time when it would end goes.
 * Rerun     The rows of a time may come again, and be others now (sm_history.is_again). What ended
 *           at that time for a row with the same key, and has its values, goes on, and what began
 *           at it goes: so the table becomes what it would be had only these rows come. Keys that
 *           are missing now are treated like those that always were.
 * Late      A time before that of the current row, or before the end of a row, is refused before
 *           anything is written: what was known of the time after it cannot be told from what holds
 *           now. But a row that says what the table says of its time changes nothing, so days that
 *           were merged may be repeated in any order, with the same rows.
 * Merge     The pairs of the MERGE are those of the current rows. Rows of the source are added
 *           unless there is a pair that is not changed, or is corrected: so the MERGE that finds
 *           them has another condition (smi_merge.inserts). */
#include "table/table_int.h"

/* The three columns of the history: their places among the table's. */
typedef struct places {
    int32_t from, to, current;
} places;

static places places_of(const smi_keyed *k)
{
    const sm_history *h = k->m->history;
    const places p = {
        .from = sm_type_find(k->table, h->valid_from),
        .to = sm_type_find(k->table, h->valid_to),
        .current = sm_type_find(k->table, h->is_current),
    };

    SM_ASSERT(p.from >= 0 && p.to >= 0 && p.current >= 0); /* else the schemas would not match */
    return p;
}

static bool is_time(const sm_type *t)
{
    return t->id == SM_TYPE_DATE || t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static sm_status both(const smi_keyed *k, const sm_expr *x, const sm_expr *y, const sm_expr **out,
                      sm_error *e)
{
    const sm_expr *const parts[] = {x, y};
    return sm_expr_and(parts, 2, k->a, out, e);
}

static sm_status compare(const smi_keyed *k, const char *name, const sm_expr *x, const sm_expr *y,
                         const sm_expr **out, sm_error *e)
{
    const sm_expr *const sides[] = {x, y};
    return sm_expr_call(name, sides, 2, k->a, out, e);
}

/* Where it is not TRUE. */
static sm_status not(const smi_keyed *k, const sm_expr *x, const sm_expr **out, sm_error *e)
{
    return smi_keyed_case(k, x, smi_keyed_bool(k, false), smi_keyed_bool(k, true), out, e);
}

/* ---- the source ------------------------------------------------------------------------------ */

sm_status smi_history_source(smi_keyed *k, sm_error *e)
{
    const sm_history *h = k->m->history;
    const sm_type *rows = k->source->schema;
    const int32_t n = rows->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(k->a, const sm_expr *, n + 3);
    sm_str *names = SM_NEW_ARRAY(k->a, sm_str, n + 3);

    SM_ASSERT(is_time(h->at->type) && !k->table);
    SM_ASSERT(!h->closes_missing || sm_type_eq(h->ends.type, h->at->type));
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(rows, i, k->a);
        names[i] = rows->fields[i].name;
    }
    exprs[n] = h->at;
    exprs[n + 1] = sm_expr_constant(sm_value_null(h->at->type), k->a);
    exprs[n + 2] = smi_keyed_bool(k, true);
    names[n] = h->valid_from;
    names[n + 1] = h->valid_to;
    names[n + 2] = h->is_current;
    k->source = sm_plan_project(k->source, exprs, names, n + 3, k->a);
    return SM_OK;
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* The keys, which are at these places of the rows, then two times. */
static const sm_plan_node *told(const smi_keyed *k, const sm_plan_node *rows, const int32_t *keys,
                                const sm_expr *at, const sm_expr *known)
{
    const int32_t n = k->m->n_keys;
    const sm_expr **exprs = SM_NEW_ARRAY(k->a, const sm_expr *, n + 2);
    sm_str *names = SM_NEW_ARRAY(k->a, sm_str, n + 2);

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(rows->schema, keys[i], k->a);
        names[i] = k->source->schema->fields[k->m->keys[i]].name;
    }
    exprs[n] = at;
    exprs[n + 1] = known;
    names[n] = SM_STR("at");
    names[n + 1] = SM_STR("known");
    return sm_plan_project(rows, exprs, names, n + 2, k->a);
}

sm_status smi_history_check_times(const smi_keyed *k, sm_error *e)
{
    const int32_t from = k->source->schema->n_fields - 3;
    const sm_expr *at = sm_expr_column(k->source->schema, from, k->a), *has_none = NULL;
    const sm_plan_node *rows = NULL;
    sm_batch *row = NULL;
    sm_buf key = {0};

    SM_TRY(sm_expr_call("is_null", &at, 1, k->a, &has_none, e));
    SM_TRY(sm_plan_filter(k->source, has_none, k->a, &rows, e));
    SM_TRY(smi_keyed_first(k, told(k, rows, k->m->keys, at, at), &row, e));
    if (!row) {
        return SM_OK;
    }
    smi_keyed_print(k, row, 0, &key);
    const sm_status st = sm_fail(e, SM_INVALID, "the row of %.*s has no time since when it is so",
                                 SM_STR_ARG(sm_buf_str(&key)));
    sm_error_todo(e, "Its time is NULL. Give it one, or leave the row out.");
    sm_buf_release(&key);
    sm_batch_release(row);
    return st;
}

/* Do current rows end whose key is not among the rows? Not by rows that may change nothing. */
static bool ends_missing(const smi_keyed *k)
{
    return k->m->history->closes_missing && k->m->history->goes_to.len == 0;
}

/* Fails where the plan has a row: a key and two times. */
static sm_status fail_late(const smi_keyed *k, const sm_plan_node *late, bool is_end, sm_error *e)
{
    const int32_t n = k->m->n_keys;
    sm_batch *row = NULL;
    sm_buf key = {0}, at = {0}, known = {0};

    SM_TRY(smi_keyed_first(k, late, &row, e));
    if (!row) {
        return SM_OK;
    }
    SM_ASSERT(row->n_rows == 1 && row->n_columns == n + 2);
    smi_keyed_print(k, row, 0, &key);
    sm_value_print(sm_column_value(&row->columns[n], 0), &at);
    sm_value_print(sm_column_value(&row->columns[n + 1], 0), &known);
    const sm_status st =
        sm_fail(e, SM_INVALID, "the row of %.*s %s %.*s, and the table knows it at %.*s already",
                SM_STR_ARG(sm_buf_str(&key)), is_end ? "would end at" : "is of",
                SM_STR_ARG(sm_buf_str(&at)), SM_STR_ARG(sm_buf_str(&known)));
    sm_error_todo(e, "Merge rows in the order of their times. Nothing was changed.");
    sm_buf_release(&key);
    sm_buf_release(&at);
    sm_buf_release(&known);
    sm_batch_release(row);
    return st;
}

/* Rows of the source before what the table knows of their key. */
static sm_status plan_late(const smi_keyed *k, const places *p, const sm_plan_node **out,
                           sm_error *e)
{
    const int32_t n = k->table->n_fields;
    const sm_type *both = sm_plan_join_schema(k->s->target, k->source, SM_JOIN_INNER, k->a);
    const sm_expr *at = sm_expr_column(both, n + k->at[p->from], k->a);
    const sm_expr *from = sm_expr_column(both, p->from, k->a);
    const sm_expr *to = sm_expr_column(both, p->to, k->a);
    const sm_expr *const before_from[] = {at, from}, *const before_to[] = {at, to};
    const sm_expr *late[3] = {0}, *on[2] = {0}, *known = NULL;
    const sm_plan_node *rows = NULL;

    SM_TRY(sm_expr_call("<", before_from, 2, k->a, &late[0], e));
    SM_TRY(sm_expr_call("<", before_to, 2, k->a, &late[1], e));
    SM_TRY(sm_expr_call("is_null", &from, 1, k->a, &late[2], e));
    SM_TRY(smi_keyed_same_key(k, both, n, &on[0], e));
    SM_TRY(sm_expr_or(late, 3, k->a, &on[1], e));
    SM_TRY(sm_expr_and(on, 2, k->a, &on[0], e));
    SM_TRY(sm_plan_join(k->s->target, k->source, SM_JOIN_INNER, on[0], k->a, &rows, e));
    const sm_expr *const times[] = {to, from};
    SM_TRY(sm_expr_call("coalesce", times, 2, k->a, &known, e));
    *out = told(k, rows, smi_keyed_columns(k), at, known);
    return SM_OK;
}

/* Current rows without a row of the source that began after the time when they would end. */
static sm_status plan_late_ends(const smi_keyed *k, const places *p, const sm_plan_node **out,
                                sm_error *e)
{
    const int32_t n = k->table->n_fields;
    const sm_type *both = sm_plan_join_schema(k->s->target, k->source, SM_JOIN_LEFT, k->a);
    const sm_expr *ends = sm_expr_constant(k->m->history->ends, k->a);
    const sm_expr *from = sm_expr_column(both, p->from, k->a);
    const sm_expr *pair = sm_expr_column(both, n + k->at[p->current], k->a);
    const sm_expr *const sides[] = {from, ends};
    const sm_expr *parts[3] = {sm_expr_column(both, p->current, k->a)}, *on = NULL, *late = NULL;
    const sm_plan_node *rows = NULL;

    SM_TRY(smi_keyed_same_key(k, both, n, &on, e));
    SM_TRY(sm_plan_join(k->s->target, k->source, SM_JOIN_LEFT, on, k->a, &rows, e));
    SM_TRY(sm_expr_call("is_null", &pair, 1, k->a, &parts[1], e));
    SM_TRY(sm_expr_call(">", sides, 2, k->a, &parts[2], e));
    SM_TRY(sm_expr_and(parts, 3, k->a, &late, e));
    SM_TRY(sm_plan_filter(rows, late, k->a, &rows, e));
    *out = told(k, rows, smi_keyed_columns(k), ends, from);
    return SM_OK;
}

/* ---- what the table says already ------------------------------------------------------------- */

/* A pair of a row of the table and one of the source, over the columns of both. */
typedef struct meeting {
    const sm_type *both;
    const sm_expr *from, *to, *at; /* times of the row, and of that of the source */
    const sm_expr *has_no_end, *same_key, *differs;
} meeting;

static sm_status meet(const smi_keyed *k, const places *p, meeting *out, sm_error *e)
{
    const sm_history *h = k->m->history;
    const int32_t n = k->table->n_fields;
    const sm_type *both = sm_plan_join_schema(k->s->target, k->source, SM_JOIN_INNER, k->a);

    *out = (meeting){
        .both = both,
        .from = sm_expr_column(both, p->from, k->a),
        .to = sm_expr_column(both, p->to, k->a),
        .at = sm_expr_column(both, n + k->at[p->from], k->a),
    };
    SM_TRY(sm_expr_call("is_null", &out->to, 1, k->a, &out->has_no_end, e));
    SM_TRY(smi_keyed_same_key(k, both, n, &out->same_key, e));
    return smi_keyed_differs(k, both, n, h->compared, h->n_compared, &out->differs, e);
}

/* Does the row of the table hold at the time of the row of the source? */
static sm_status holds_then(const smi_keyed *k, const meeting *m, const sm_expr **out, sm_error *e)
{
    const sm_expr *parts[2] = {0}, *is_before_end = NULL;

    SM_TRY(compare(k, "<=", m->from, m->at, &parts[0], e));
    SM_TRY(compare(k, "<", m->at, m->to, &is_before_end, e));
    const sm_expr *const ends[] = {m->has_no_end, is_before_end};
    SM_TRY(sm_expr_or(ends, 2, k->a, &parts[1], e));
    return sm_expr_and(parts, 2, k->a, out, e);
}

/* The source, and whether its row has a pair that has its values and fulfils a condition. Only keys
 * of the source are kept, however large the table is. */
static sm_status mark_equal(const smi_keyed *k, const meeting *m, const sm_expr *when,
                            const sm_plan_node **out, sm_error *e)
{
    const int32_t n = k->source->schema->n_fields, n_keys = k->m->n_keys;
    const sm_expr **keys = SM_NEW_ARRAY(k->a, const sm_expr *, n_keys);
    const sm_expr **same = SM_NEW_ARRAY(k->a, const sm_expr *, n_keys);
    const sm_expr **exprs = SM_NEW_ARRAY(k->a, const sm_expr *, n + 1);
    const sm_expr *parts[] = {m->same_key, when, NULL}, *on = NULL, *has_none = NULL;
    sm_str *names = SM_NEW_ARRAY(k->a, sm_str, n + 1);
    const sm_plan_node *found = NULL, *rows = NULL;

    SM_TRY(not(k, m->differs, &parts[2], e));
    SM_TRY(sm_expr_and(parts, 3, k->a, &on, e));
    SM_TRY(sm_plan_join(k->s->target, k->source, SM_JOIN_INNER, on, k->a, &found, e));
    for (int32_t i = 0; i < n_keys; i++) {
        keys[i] = sm_expr_column(m->both, k->table->n_fields + k->m->keys[i], k->a);
    }
    SM_TRY(sm_plan_aggregate(found, keys, n_keys, NULL, 0, k->a, &found, e));
    const sm_type *schema = sm_plan_join_schema(k->source, found, SM_JOIN_LEFT, k->a);
    for (int32_t i = 0; i < n_keys; i++) {
        SM_TRY(compare(k, "=", sm_expr_column(schema, k->m->keys[i], k->a),
                       sm_expr_column(schema, n + i, k->a), &same[i], e));
    }
    SM_TRY(sm_expr_and(same, n_keys, k->a, &on, e));
    SM_TRY(sm_plan_join(k->source, found, SM_JOIN_LEFT, on, k->a, &rows, e));
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(rows->schema, i, k->a);
        names[i] = rows->schema->fields[i].name;
    }
    const sm_expr *key = sm_expr_column(rows->schema, n, k->a);
    SM_TRY(sm_expr_call("is_null", &key, 1, k->a, &has_none, e));
    SM_TRY(not(k, has_none, &exprs[n], e));
    names[n] = SM_STR("is_equal");
    *out = sm_plan_project(rows, exprs, names, n + 1, k->a);
    return SM_OK;
}

/* Leaves out the rows that the table says already. */
static sm_status leave_known(smi_keyed *k, const places *p, sm_error *e)
{
    const sm_plan_node *rows = NULL;
    const int32_t n = k->source->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(k->a, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(k->a, sm_str, n + 1);
    const sm_expr *holds = NULL, *is_new = NULL;
    meeting m;

    SM_TRY(meet(k, p, &m, e));
    SM_TRY(holds_then(k, &m, &holds, e));
    SM_TRY(mark_equal(k, &m, holds, &rows, e));
    SM_TRY(not(k, sm_expr_column(rows->schema, n, k->a), &is_new, e));
    SM_TRY(sm_plan_filter(rows, is_new, k->a, &rows, e));
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(rows->schema, i, k->a);
        names[i] = rows->schema->fields[i].name;
    }
    k->source = sm_plan_project(rows, exprs, names, n, k->a);
    return SM_OK;
}

/* Rows of the table that hold at the time of the rows, and have no row of the source. */
static sm_status plan_missing(const smi_keyed *k, const places *p, const sm_plan_node *source,
                              const sm_plan_node **out, sm_error *e)
{
    const int32_t n = k->table->n_fields;
    const sm_expr *parts[2] = {0}, *missing = NULL;
    meeting m;

    SM_TRY(meet(k, p, &m, e));
    m.at = sm_expr_constant(k->m->history->ends, k->a);
    SM_TRY(holds_then(k, &m, &parts[0], e));
    SM_TRY(sm_plan_join(k->s->target, source, SM_JOIN_LEFT, m.same_key, k->a, out, e));
    const sm_expr *pair = sm_expr_column((*out)->schema, n + k->at[p->current], k->a);
    SM_TRY(sm_expr_call("is_null", &pair, 1, k->a, &parts[1], e));
    SM_TRY(sm_expr_and(parts, 2, k->a, &missing, e));
    SM_TRY(sm_plan_filter(*out, missing, k->a, out, e));
    *out = told(k, *out, smi_keyed_columns(k), m.at, m.from);
    return SM_OK;
}

/* Fails where the plan has a row: a key and a time. */
static sm_status fail_other(const smi_keyed *k, const sm_plan_node *rows, bool is_missing,
                            sm_error *e)
{
    sm_batch *row = NULL;
    sm_buf key = {0}, at = {0};

    SM_TRY(smi_keyed_first(k, rows, &row, e));
    if (!row) {
        return SM_OK;
    }
    SM_ASSERT(row->n_rows == 1 && row->n_columns == k->m->n_keys + 2);
    smi_keyed_print(k, row, 0, &key);
    sm_value_print(sm_column_value(&row->columns[k->m->n_keys], 0), &at);
    const sm_status st =
        sm_fail(e, SM_INVALID,
                "the history goes to %.*s, and says of %.*s something else than the rows: %.*s%s",
                SM_STR_ARG(k->m->history->goes_to), SM_STR_ARG(sm_buf_str(&at)),
                SM_STR_ARG(sm_buf_str(&key)), is_missing ? " is missing" : " differs");
    sm_buf_release(&key);
    sm_buf_release(&at);
    sm_batch_release(row);
    return st;
}

/* Rows of a time before the last one: they must say what the table says. */
static sm_status look_back(smi_keyed *k, const places *p, sm_error *e)
{
    const sm_plan_node *given = k->source, *missing = NULL;

    SM_TRY(leave_known(k, p, e));
    const sm_expr *at = sm_expr_column(k->source->schema, k->at[p->from], k->a);
    SM_TRY(fail_other(k, told(k, k->source, k->m->keys, at, at), false, e));
    if (!k->m->history->closes_missing) {
        return SM_OK;
    }
    SM_TRY(plan_missing(k, p, given, &missing, e));
    return fail_other(k, missing, true, e);
}

/* Rows that are late are left out where the table says them already, else refused. That is asked
 * only where there are any: most often there are none. */
static sm_status check_late(smi_keyed *k, const places *p, sm_error *e)
{
    const sm_plan_node *late = NULL;
    sm_batch *row = NULL;

    SM_TRY(plan_late(k, p, &late, e));
    if (ends_missing(k)) { /* a row that is left out would be missing */
        return fail_late(k, late, false, e);
    }
    SM_TRY(smi_keyed_first(k, late, &row, e));
    if (!row) {
        return SM_OK;
    }
    sm_batch_release(row);
    SM_TRY(leave_known(k, p, e));
    SM_TRY(plan_late(k, p, &late, e));
    return fail_late(k, late, false, e);
}

/* Marks the rows by which a row goes on that ended at their time. */
static sm_status mark_resumed(smi_keyed *k, const places *p, sm_error *e)
{
    const sm_expr *ended_then = NULL;
    meeting m;

    SM_TRY(meet(k, p, &m, e));
    SM_TRY(compare(k, "=", m.to, m.at, &ended_then, e));
    return mark_equal(k, &m, ended_then, &k->source, e);
}

/* Without rows all current ones would end, if there are any: rather the source is at fault. */
static sm_status check_ends(const smi_keyed *k, const places *p, sm_error *e)
{
    const sm_plan_node *rows = NULL;
    sm_batch *row = NULL;

    SM_TRY(sm_plan_filter(k->s->target, sm_expr_column(k->s->target->schema, p->current, k->a),
                          k->a, &rows, e));
    SM_TRY(smi_keyed_first(k, rows, &row, e));
    if (!row) {
        return SM_OK;
    }
    sm_batch_release(row);
    const sm_status st =
        sm_fail(e, SM_INVALID, "there are no rows, so all current rows of the table would end");
    sm_error_todo(e, "Nothing was changed. Where that is meant, end them by UPDATE.");
    return st;
}

sm_status smi_history_look(smi_keyed *k, sm_error *e)
{
    const sm_history *h = k->m->history;
    const places p = places_of(k);
    const sm_plan_node *late = NULL;

    SM_ASSERT(!h->is_again || h->goes_to.len == 0);
    if (h->goes_to.len > 0) {
        return look_back(k, &p, e);
    }
    SM_TRY(check_late(k, &p, e));
    if (h->closes_missing) {
        SM_TRY(sm_candidate_rows(k->m->rows) == 0 ? check_ends(k, &p, e) : SM_OK);
        SM_TRY(plan_late_ends(k, &p, &late, e));
        SM_TRY(fail_late(k, late, true, e));
    }
    return h->is_again ? mark_resumed(k, &p, e) : SM_OK;
}

/* ---- the change ------------------------------------------------------------------------------ */

/* What becomes of a current row, as conditions over sm_row_change.rows. NULL counts as FALSE. */
typedef struct fates {
    const sm_expr *differs;    /* from the row that it is paired with, in a compared column */
    const sm_expr *is_other;   /* likewise, in any column */
    const sm_expr *superseded; /* it ends, and another one begins */
    const sm_expr *corrected;  /* it gets the values of the other one */
    const sm_expr *resumed;    /* it ended at the time of a row that has its values: it goes on */
    const sm_expr *ends;       /* it has no pair */
    const sm_expr *goes;       /* likewise, and it began when it would end; or an earlier one of the
                                * key goes on in its place */
} fates;

static sm_status ends_of(const smi_keyed *k, const places *p, fates *out, sm_error *e)
{
    const sm_history *h = k->m->history;
    const sm_expr *pair = smi_keyed_pair(k), *is_now = NULL;

    out->ends = out->goes = smi_keyed_bool(k, false);
    if (!ends_missing(k)) {
        return SM_OK;
    }
    SM_TRY(sm_expr_call("is_null", &pair, 1, k->a, &out->ends, e));
    SM_TRY(both(k, out->ends, smi_keyed_old(k, p->current), &out->ends, e));
    SM_TRY(compare(k, "=", smi_keyed_old(k, p->from), sm_expr_constant(h->ends, k->a), &is_now, e));
    return both(k, out->ends, is_now, &out->goes, e);
}

/* Where the rows of this time came before. */
static sm_status rerun_of(const smi_keyed *k, const places *p, const sm_expr *is_same, fates *out,
                          sm_error *e)
{
    const sm_type *rows = k->s->change.rows;
    const sm_expr *parts[3] = {smi_keyed_pair(k)}, *has_ended = NULL, *goes = NULL;

    out->resumed = smi_keyed_bool(k, false);
    if (!k->m->history->is_again) {
        return SM_OK;
    }
    const sm_expr *resumes = sm_expr_column(rows, rows->n_fields - 2, k->a); /* mark_resumed */
    SM_TRY(not(k, smi_keyed_old(k, p->current), &has_ended, e));
    SM_TRY(both(k, parts[0], has_ended, &parts[0], e));
    SM_TRY(compare(k, "=", smi_keyed_old(k, p->to), smi_keyed_new(k, p->from), &parts[1], e));
    SM_TRY(not(k, out->differs, &parts[2], e));
    SM_TRY(sm_expr_and(parts, 3, k->a, &out->resumed, e));
    const sm_expr *const instead[] = {smi_keyed_old(k, p->current), is_same, resumes};
    SM_TRY(sm_expr_and(instead, 3, k->a, &goes, e));
    const sm_expr *const either[] = {out->goes, goes};
    SM_TRY(sm_expr_or(either, 2, k->a, &out->goes, e));
    SM_TRY(not(k, goes, &parts[0], e));
    return both(k, out->corrected, parts[0], &out->corrected, e);
}

static sm_status fates_of(const smi_keyed *k, const places *p, fates *out, sm_error *e)
{
    const sm_history *h = k->m->history;
    const sm_expr *from = smi_keyed_old(k, p->from), *at = smi_keyed_new(k, p->from);
    const sm_type *rows = k->s->change.rows;
    const int32_t n_columns = k->at[p->from]; /* of the rows; the three of the history follow */
    int32_t *columns = SM_NEW_ARRAY(k->a, int32_t, n_columns + 1);
    const sm_expr *parts[3] = {0}, *is_same = NULL;

    for (int32_t i = 0; i < n_columns; i++) {
        columns[i] = i;
    }
    SM_TRY(smi_keyed_differs(k, rows, k->table->n_fields + 1, h->compared, h->n_compared,
                             &out->differs, e));
    SM_TRY(
        smi_keyed_differs(k, rows, k->table->n_fields + 1, columns, n_columns, &out->is_other, e));
    SM_TRY(both(k, smi_keyed_pair(k), smi_keyed_old(k, p->current), &parts[0], e));
    SM_TRY(compare(k, ">", at, from, &parts[1], e));
    parts[2] = out->differs;
    SM_TRY(sm_expr_and(parts, 3, k->a, &out->superseded, e));
    SM_TRY(compare(k, "=", at, from, &is_same, e));
    parts[1] = is_same;
    parts[2] = out->is_other;
    SM_TRY(sm_expr_and(parts, 3, k->a, &out->corrected, e));
    SM_TRY(ends_of(k, p, out, e));
    return rerun_of(k, p, is_same, out, e);
}

static sm_status set_values(const smi_keyed *k, const places *p, const fates *f, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const sm_expr *over[] = {f->superseded, f->ends}, *is_over = NULL;
    const sm_expr *none = sm_expr_constant(sm_value_null(k->table->fields[p->to].type), k->a);
    const sm_expr **values = SM_NEW_ARRAY(k->a, const sm_expr *, k->table->n_fields + 1);
    const sm_history *h = k->m->history;
    const sm_expr *end =
        ends_missing(k) ? sm_expr_constant(h->ends, k->a) : smi_keyed_old(k, p->to);

    for (int32_t i = 0; i < k->table->n_fields; i++) {
        values[i] = smi_keyed_old(k, i);
        if (k->at[i] >= 0 && i != p->from && i != p->to && i != p->current) {
            SM_TRY(smi_keyed_case(k, f->corrected, smi_keyed_new(k, i), values[i], &values[i], e));
        }
    }
    SM_TRY(smi_keyed_case(k, f->ends, end, values[p->to], &values[p->to], e));
    SM_TRY(smi_keyed_case(k, f->superseded, smi_keyed_new(k, p->from), values[p->to],
                          &values[p->to], e));
    SM_TRY(smi_keyed_case(k, f->resumed, none, values[p->to], &values[p->to], e));
    SM_TRY(sm_expr_or(over, 2, k->a, &is_over, e));
    SM_TRY(smi_keyed_case(k, is_over, smi_keyed_bool(k, false), values[p->current],
                          &values[p->current], e));
    SM_TRY(smi_keyed_case(k, f->resumed, smi_keyed_bool(k, true), values[p->current],
                          &values[p->current], e));
    c->values = values;
    return SM_OK;
}

/* The rows of the source without a pair that goes on are added. */
static sm_status set_inserts(const smi_keyed *k, const places *p, const fates *f, sm_error *e)
{
    const sm_expr *is_later = NULL, *ends = NULL, *goes_on = NULL, *stays_ended = NULL;

    SM_TRY(compare(k, ">", smi_keyed_new(k, p->from), smi_keyed_old(k, p->from), &is_later, e));
    SM_TRY(both(k, f->differs, is_later, &ends, e));
    if (k->m->history->is_again) {
        SM_TRY(not(k, smi_keyed_old(k, p->current), &stays_ended, e));
        SM_TRY(both(k, f->differs, stays_ended, &stays_ended, e));
        const sm_expr *const either[] = {ends, stays_ended};
        SM_TRY(sm_expr_or(either, 2, k->a, &ends, e));
    }
    SM_TRY(smi_keyed_case(k, ends, smi_keyed_bool(k, false), smi_keyed_bool(k, true), &goes_on, e));
    k->s->change.inserts = smi_keyed_bool(k, true);
    *k->inserts = *k->s;
    return both(k, k->s->change.on, goes_on, &k->inserts->change.on, e);
}

/* The pairs are those of current rows, and of rows that may go on. */
static sm_status set_pairs(const smi_keyed *k, const places *p, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const sm_expr *either[] = {smi_keyed_old(k, p->current), NULL}, *may = either[0];

    SM_TRY(smi_keyed_same_key(k, c->rows, k->table->n_fields + 1, &c->on, e));
    if (k->m->history->is_again) {
        SM_TRY(compare(k, "=", smi_keyed_old(k, p->to), smi_keyed_new(k, p->from), &either[1], e));
        SM_TRY(sm_expr_or(either, 2, k->a, &may, e));
    }
    return both(k, c->on, may, &c->on, e);
}

sm_status smi_history_change(const smi_keyed *k, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const places p = places_of(k);
    fates f = {0};

    SM_ASSERT(k->inserts != k->s);
    SM_TRY(set_pairs(k, &p, e));
    SM_TRY(fates_of(k, &p, &f, e));
    SM_ASSERT(f.differs && f.superseded && f.corrected && f.resumed && f.ends && f.goes);
    const sm_expr *const acting[] = {f.superseded, f.corrected, f.resumed, f.ends, f.goes};
    SM_TRY(sm_expr_or(acting, SM_COUNT(acting), k->a, &c->acts, e));
    c->deletes = f.goes;
    c->takes_unmatched = ends_missing(k);
    c->joins = c->on;
    if (!c->takes_unmatched && !k->m->history->is_again) {
        SM_TRY(both(k, c->on, f.is_other, &c->joins, e));
    }
    SM_TRY(set_values(k, &p, &f, e));
    return set_inserts(k, &p, &f, e);
}
