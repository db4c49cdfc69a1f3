/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_share.c: an expression that a projection computes several times is computed
 * once, in another projection below it that passes all columns on. Such expressions come from CASE
 * x WHEN …, which has x in every branch, from coalesce, which has its arguments twice, and from
 * merged views, which repeat whole columns.
 *
 * Method    All subexpressions are counted; equal ones count as the same. From each expression
 *           down, the first subexpression that occurs more than once becomes a column of the new
 *           projection. Then the new projection is treated in the same way, for what is repeated
 *           within its expressions.
 * Never     shares an expression that can fail: it may stand in a branch that no row takes. */
#include "query/optimize/optimize_int.h"

#include "base/hash.h"

#define MAX_SHARED_NODES 20000 /* of one projection; more are left as they are */

/* A subexpression, how often it occurs, and its column in the new projection (−1: none yet). */
typedef struct counted {
    const sm_expr *expr;
    uint64_t hash;
    int32_t count, column;
} counted;

typedef struct sharing {
    sm_arena *a;
    counted *table; /* open addressing */
    uint64_t mask;
    const sm_expr **below; /* the columns of the new projection */
    int32_t n_below;
} sharing;

static uint64_t hash_of(const sm_expr *x)
{
    uint64_t h = sm_mix64((uint64_t)x->kind * 31 + (uint64_t)x->type->id);
    h = sm_mix64(h ^ (uint64_t)(uint32_t)x->index);
    h = sm_mix64(h ^ (uint64_t)(uintptr_t)x->fn);
    if (x->kind == SM_EXPR_CONST && !x->value.is_null && x->type->id == SM_TYPE_STRING) {
        h ^= sm_hash64(x->value.as.s.data, x->value.as.s.len);
    } else if (x->kind == SM_EXPR_CONST && sm_type_is_nested(x->type->id)) {
        h = sm_mix64(h ^ (uint64_t)(x->value.is_null ? -1 : x->value.as.nested.n));
    } else if (x->kind == SM_EXPR_CONST && !x->value.is_null) {
        h = sm_mix64(h ^ (uint64_t)x->value.as.i);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        h = sm_mix64(h * 3 ^ hash_of(x->args[i]));
    }
    return h;
}

static bool is_worth(const sm_expr *x)
{
    return x->kind == SM_EXPR_CALL || x->kind == SM_EXPR_CAST || x->kind == SM_EXPR_CASE ||
           x->kind == SM_EXPR_IN;
}

static counted *find_counted(sharing *s, const sm_expr *x, uint64_t hash)
{
    SM_ASSERT((s->mask & (s->mask + 1)) == 0); /* a power of two, less 1 */
    uint64_t at = hash & s->mask;
    while (s->table[at].expr && (s->table[at].hash != hash || !sm_expr_eq(s->table[at].expr, x))) {
        at = (at + 1) & s->mask;
    }
    return &s->table[at];
}

static void count_exprs(sharing *s, const sm_expr *x)
{
    if (is_worth(x) && !smi_can_fail(x)) {
        const uint64_t hash = hash_of(x);
        counted *const c = find_counted(s, x, hash);
        *c = (counted){x, hash, c->count + 1, -1};
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        count_exprs(s, x->args[i]);
    }
}

static const sm_expr *share_one(void *ctx, const sm_expr *x)
{
    sharing *const s = ctx;
    if (!is_worth(x)) {
        return NULL;
    }
    counted *const c = find_counted(s, x, hash_of(x));
    if (!c->expr || c->count < 2) {
        return NULL;
    }
    if (c->column < 0) {
        c->column = s->n_below;
        SM_ASSERT(!smi_can_fail(x)); /* count_exprs() leaves those out */
        s->below[s->n_below++] = x;
    }
    return smi_column_ref(s->a, c->column, x->type, x);
}

static int64_t size_of(const sm_plan_node *n)
{
    int64_t size = 0;
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        size += smi_expr_size(n->as.project.exprs[i]);
    }
    return size;
}

static void share_project(sm_arena *a, sm_plan_node *n)
{
    const int64_t size = size_of(n);
    const sm_type *const input = n->inputs[0]->schema;
    uint64_t slots = 16;
    if (size > MAX_SHARED_NODES) {
        return;
    }
    while (slots < (uint64_t)size * 2) {
        slots *= 2;
    }
    sharing s = {.a = a, .table = SM_NEW_ARRAY(a, counted, slots), .mask = slots - 1};
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        count_exprs(&s, n->as.project.exprs[i]);
    }
    s.below = SM_NEW_ARRAY(a, const sm_expr *, (int64_t)input->n_fields + size);
    for (int32_t i = 0; i < input->n_fields; i++) {
        s.below[s.n_below++] = smi_column_ref(a, i, input->fields[i].type, NULL);
    }
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n->schema->n_fields + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        exprs[i] = smi_rewrite(a, n->as.project.exprs[i], share_one, &s);
    }
    if (s.n_below == input->n_fields) {
        return;
    }
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, s.n_below);
    for (int32_t i = 0; i < s.n_below; i++) {
        names[i] = i < input->n_fields ? input->fields[i].name
                                       : sm_arena_strf(a, "shared%d", i - input->n_fields + 1);
    }
    n->as.project.exprs = exprs;
    n->inputs[0] = smi_node_project(a, n->inputs[0], s.below, names, s.n_below);
}

sm_plan_node *smi_opt_share(sm_arena *a, sm_plan_node *n)
{
    if (n->kind == SM_PLAN_PROJECT) {
        share_project(a, n);
    }
    for (int32_t i = 0; i < n->n_inputs; i++) {
        n->inputs[i] = smi_opt_share(a, n->inputs[i]);
    }
    return n;
}
