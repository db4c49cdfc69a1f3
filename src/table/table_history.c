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
 * Late      A time before that of the current row, or before the end of a row, is refused before
 *           anything is written: what was known of the time after it cannot be told from what holds
 *           now.
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

sm_status smi_history_check_late(const smi_keyed *k, sm_error *e)
{
    const places p = places_of(k);
    const sm_plan_node *late = NULL;

    SM_TRY(plan_late(k, &p, &late, e));
    SM_TRY(fail_late(k, late, false, e));
    if (!k->m->history->closes_missing) {
        return SM_OK;
    }
    if (sm_candidate_rows(k->m->rows) == 0) {
        const sm_status st = sm_fail(e, SM_INVALID,
                                     "there are no rows, so all current rows of the "
                                     "table would end");
        sm_error_todo(e, "Nothing was changed. Where that is meant, end them by UPDATE.");
        return st;
    }
    SM_TRY(plan_late_ends(k, &p, &late, e));
    return fail_late(k, late, true, e);
}

/* ---- the change ------------------------------------------------------------------------------ */

/* What becomes of a current row, as conditions over sm_row_change.rows. NULL counts as FALSE. */
typedef struct fates {
    const sm_expr *differs;    /* from the row that it is paired with */
    const sm_expr *superseded; /* it ends, and another one begins */
    const sm_expr *corrected;  /* it gets the values of the other one */
    const sm_expr *ends;       /* it has no pair */
    const sm_expr *vanishes;   /* likewise, and it began when it would end */
} fates;

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

static sm_status ends_of(const smi_keyed *k, const places *p, fates *out, sm_error *e)
{
    const sm_history *h = k->m->history;
    const sm_expr *pair = smi_keyed_pair(k), *is_now = NULL;

    out->ends = out->vanishes = smi_keyed_bool(k, false);
    if (!h->closes_missing) {
        return SM_OK;
    }
    SM_TRY(sm_expr_call("is_null", &pair, 1, k->a, &out->ends, e));
    SM_TRY(both(k, out->ends, smi_keyed_old(k, p->current), &out->ends, e));
    SM_TRY(compare(k, "=", smi_keyed_old(k, p->from), sm_expr_constant(h->ends, k->a), &is_now, e));
    return both(k, out->ends, is_now, &out->vanishes, e);
}

static sm_status fates_of(const smi_keyed *k, const places *p, fates *out, sm_error *e)
{
    const sm_history *h = k->m->history;
    const sm_expr *from = smi_keyed_old(k, p->from), *at = smi_keyed_new(k, p->from);
    const sm_expr *changed = NULL, *is_later = NULL, *is_same = NULL;

    SM_TRY(smi_keyed_differs(k, h->compared, h->n_compared, &out->differs, e));
    SM_TRY(both(k, smi_keyed_pair(k), out->differs, &changed, e));
    SM_TRY(compare(k, ">", at, from, &is_later, e));
    SM_TRY(compare(k, "=", at, from, &is_same, e));
    SM_TRY(both(k, changed, is_later, &out->superseded, e));
    SM_TRY(both(k, changed, is_same, &out->corrected, e));
    return ends_of(k, p, out, e);
}

static sm_status set_values(const smi_keyed *k, const places *p, const fates *f, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const sm_expr *over[] = {f->superseded, f->ends}, *is_over = NULL;
    const sm_expr **values = SM_NEW_ARRAY(k->a, const sm_expr *, k->table->n_fields + 1);
    const sm_history *h = k->m->history;
    const sm_expr *end =
        h->closes_missing ? sm_expr_constant(h->ends, k->a) : smi_keyed_old(k, p->to);

    for (int32_t i = 0; i < k->table->n_fields; i++) {
        values[i] = smi_keyed_old(k, i);
        if (k->at[i] >= 0 && i != p->from && i != p->to && i != p->current) {
            SM_TRY(smi_keyed_case(k, f->corrected, smi_keyed_new(k, i), values[i], &values[i], e));
        }
    }
    SM_TRY(smi_keyed_case(k, f->ends, end, values[p->to], &values[p->to], e));
    SM_TRY(smi_keyed_case(k, f->superseded, smi_keyed_new(k, p->from), values[p->to],
                          &values[p->to], e));
    SM_TRY(sm_expr_or(over, 2, k->a, &is_over, e));
    SM_TRY(smi_keyed_case(k, is_over, smi_keyed_bool(k, false), values[p->current],
                          &values[p->current], e));
    c->values = values;
    return SM_OK;
}

/* The rows of the source without a pair that goes on are added. */
static sm_status set_inserts(const smi_keyed *k, const places *p, const fates *f, sm_error *e)
{
    const sm_expr *is_later = NULL, *ends = NULL, *goes_on = NULL;

    SM_TRY(compare(k, ">", smi_keyed_new(k, p->from), smi_keyed_old(k, p->from), &is_later, e));
    SM_TRY(both(k, f->differs, is_later, &ends, e));
    SM_TRY(smi_keyed_case(k, ends, smi_keyed_bool(k, false), smi_keyed_bool(k, true), &goes_on, e));
    k->s->change.inserts = smi_keyed_bool(k, true);
    *k->inserts = *k->s;
    return both(k, k->s->change.on, goes_on, &k->inserts->change.on, e);
}

sm_status smi_history_change(const smi_keyed *k, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const places p = places_of(k);
    fates f = {0};

    SM_ASSERT(k->inserts != k->s);
    SM_TRY(smi_keyed_same_key(k, c->rows, k->table->n_fields + 1, &c->on, e));
    SM_TRY(both(k, c->on, smi_keyed_old(k, p.current), &c->on, e));
    SM_TRY(fates_of(k, &p, &f, e));
    SM_ASSERT(f.differs && f.superseded && f.corrected && f.ends && f.vanishes);
    const sm_expr *const acting[] = {f.superseded, f.corrected, f.ends};
    SM_TRY(sm_expr_or(acting, 3, k->a, &c->acts, e));
    c->deletes = f.vanishes;
    c->takes_unmatched = k->m->history->closes_missing;
    c->joins = c->on;
    if (!c->takes_unmatched) {
        SM_TRY(both(k, c->on, f.differs, &c->joins, e));
    }
    SM_TRY(set_values(k, &p, &f, e));
    return set_inserts(k, &p, &f, e);
}
