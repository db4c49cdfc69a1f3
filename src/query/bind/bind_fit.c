/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_fit.c: types that were found in files give way to those of the table that the
 * rows go to. Called by bind_change.c for INSERT and by bind_merge.c.
 *
 * Why      Types that were found are guesses. Where a column goes into the table as it is, the
 *          table knows better: a text that looks like a time stays as it is written, and a number
 *          is rounded to the table's type alone.
 * Method   Each use of a column of the rows, or of a field of one, is followed down to the file's
 *          column, which gets the type of
 *            the table's column that it becomes the value of
 *            the table's column that it is compared with, unless that rounds
 *            VARCHAR, if these are several: each of them is cast from the text, but an integer,
 *            which a cast of text rounds otherwise than one of DOUBLE
 *          VARCHAR for a number that is rounded, behind a filter: rows that it leaves out may have
 *          numbers that are out of range
 *          With any other use it keeps the type that was found, as else the query would mean
 *          something else. */
#include "base/map.h"
#include "query/bind/bind_int.h"

/* A column of a file, or a field of one. */
typedef struct fitting {
    sm_str *way;
    int32_t n_way;
    const sm_type *found, *there; /* there: what it is to be; the type NULL: as it was found */
    bool is_value, is_compared;   /* the uses that it has */
} fitting;

typedef struct fit {
    sm_arena *a;
    const sm_plan_node *rows, *scan; /* all ways from the rows lead to one scan */
    sm_map *fittings;                /* way, as text -> fitting */
} fit;

/* The first names of a way, each with its length, as names may have any character. */
static sm_str key_of(sm_arena *a, const sm_str *way, int32_t n)
{
    sm_str key = {0};

    SM_ASSERT(n > 0);
    for (int32_t i = 0; i < n; i++) {
        key = sm_arena_strf(a, "%.*s%zu:%.*s", SM_STR_ARG(key), way[i].len, SM_STR_ARG(way[i]));
    }
    return key;
}

/* What a column is to be that goes to both types. */
static const sm_type *type_of_both(const sm_type *found, const sm_type *x, const sm_type *y)
{
    const bool has_text = x->id == SM_TYPE_STRING || y->id == SM_TYPE_STRING;
    const bool is_nested = sm_type_is_nested(x->id) || sm_type_is_nested(y->id);
    const bool has_integer = sm_type_is_integer(x->id) || sm_type_is_integer(y->id);

    if (sm_type_eq(x, y)) {
        return x;
    }
    const bool is_exact = has_text || (sm_type_is_number(found->id) && !has_integer);

    return x->id == SM_TYPE_NULL || y->id == SM_TYPE_NULL || is_nested || !is_exact
               ? &sm_type_null
               : &sm_type_string;
}

static void take_use(fit *f, const smi_use *use)
{
    const sm_type *const there = use->there ? use->there : &sm_type_null;
    sm_str *way = NULL;
    const int32_t n = smi_expr_way(f->rows, use->x, f->a, &way, &f->scan);

    if (n == 0) {
        return;
    }
    SM_ASSERT(f->scan->kind == SM_PLAN_SCAN);
    fitting **const at = (fitting **)sm_map_at(f->fittings, key_of(f->a, way, n));
    if (!*at) {
        *at = SM_NEW(f->a, fitting);
        **at = (fitting){.way = way, .n_way = n, .found = use->x->type, .there = there};
    }
    (*at)->there = type_of_both((*at)->found, (*at)->there, there);
    (*at)->is_value |= use->there && !use->is_compared;
    (*at)->is_compared |= use->is_compared;
}

/* Where a struct is used, and a field of it beside, both stay as they were found. */
static void keep_overlaps(fit *f)
{
    for (int64_t i = 0; i < sm_map_count(f->fittings); i++) {
        fitting *const part = sm_map_value(f->fittings, i);
        for (int32_t n = 1; n < part->n_way; n++) {
            fitting *const whole = sm_map_get(f->fittings, key_of(f->a, part->way, n));
            if (whole) {
                whole->there = part->there = &sm_type_null;
            }
        }
    }
}

static bool is_rounded(const sm_type *t)
{
    return t->id == SM_TYPE_DECIMAL || t->id == SM_TYPE_F32;
}

/* Rounding is for values. Numbers that are only compared stay what they are. */
static bool is_to_fit(const fitting *f)
{
    const bool may_round = is_rounded(f->there) || sm_type_is_nested(f->there->id);

    return f->there->id != SM_TYPE_NULL && (f->is_value || !may_round) &&
           !sm_type_eq(f->found, f->there);
}

static bool has_filter(const sm_plan_node *n)
{
    while (n->kind == SM_PLAN_PROJECT) {
        n = n->inputs[0];
    }
    return n->kind == SM_PLAN_FILTER;
}

static bool is_left_as_text(const fitting *f, const sm_plan_node *rows)
{
    return is_rounded(f->there) && sm_type_is_number(f->found->id) && !f->is_compared &&
           has_filter(rows);
}

bool smi_fit_rows(smi_binding *q, const sm_plan_node *rows, const smi_use *uses, int64_t n)
{
    const sm_resolver *const r = q->resolver;
    fit f = {.a = q->a, .rows = rows, .fittings = sm_map_new(q->a)};
    bool has_changed = false;

    if (!r || !r->fit || q->n_params > 0) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(uses[i].there || !uses[i].is_compared);
        take_use(&f, &uses[i]);
    }
    keep_overlaps(&f);
    for (int64_t i = 0; i < sm_map_count(f.fittings); i++) {
        fitting *const one = sm_map_value(f.fittings, i);
        if (is_left_as_text(one, rows)) {
            one->there = &sm_type_string;
        }
        if (is_to_fit(one) && smi_plan_passes(rows, one->way[0])) {
            SM_ENSURE(f.scan); /* the way of each leads there */
            has_changed |=
                r->fit(r->ctx, f.scan->as.scan.dataset, one->way, one->n_way, one->there);
        }
    }
    return has_changed;
}
