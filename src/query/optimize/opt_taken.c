/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_taken.c: tells scans which objects in their files the query takes whole: s in
 * `SELECT s`, but not in `SELECT s.a`. If such an object has a key for which there is no column,
 * the query's result lacks it; so the scan looks for such keys there. (Whether the query takes the
 * row itself, by *, the binder knows.)
 *
 * Method    Goes down with what is used of each column of a node: all of it, or some fields of a
 *           STRUCT, each in the same way. At a scan this becomes paths. An expression takes its
 *           arguments whole, except a reference to a field or to a MAP's value, and functions that
 *           look only at whether there is a value.
 * Scans     of one dataset look for the same keys, so that each is counted once. */
#include "query/optimize/optimize_int.h"

/* What is used of a value. */
typedef struct use {
    bool is_whole;
    struct use **fields; /* of a STRUCT, NULL where nothing of one is; NULL: of none */
    int32_t n_fields;
} use;

static const use whole_use = {.is_whole = true};

/* A dataset with what all its scans use of its columns. */
typedef struct source {
    const sm_dataset *dataset;
    use *columns;
    bool takes_row;
} source;

typedef struct finding {
    sm_arena *a;
    source *sources;
    int64_t n_sources, cap_sources;
    sm_plan_node **scans;
    int64_t n_scans, cap_scans;
} finding;

/* ---- uses ------------------------------------------------------------------------------------ */

static use *use_of_field(sm_arena *a, use *parent, int32_t n_fields, int32_t i)
{
    SM_ASSERT(i >= 0 && i < n_fields && (!parent->fields || parent->n_fields == n_fields));
    if (!parent->fields) {
        parent->n_fields = n_fields;
        parent->fields = SM_NEW_ARRAY(a, use *, n_fields);
    }
    if (!parent->fields[i]) {
        parent->fields[i] = SM_NEW(a, use);
    }
    return parent->fields[i];
}

static void add_use(sm_arena *a, use *to, const use *from)
{
    to->is_whole = to->is_whole || from->is_whole;
    for (int32_t i = 0; i < from->n_fields; i++) {
        if (from->fields[i]) {
            add_use(a, use_of_field(a, to, from->n_fields, i), from->fields[i]);
        }
    }
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool calls_function(const sm_expr *x, const char *name)
{
    return x->kind == SM_EXPR_CALL && strcmp(x->fn->name, name) == 0;
}

/* The use of a column, of a field within one, or of a MAP's value m['k']; NULL where x is none of
 * these. `in` has one for each column of the input. */
static use *use_of(sm_arena *a, const sm_expr *x, use *in)
{
    const bool is_value = calls_function(x, "map_extract_value");
    if (x->kind == SM_EXPR_COLUMN) {
        return &in[x->index];
    }
    use *const parent = x->kind == SM_EXPR_FIELD || is_value ? use_of(a, x->args[0], in) : NULL;
    if (parent && x->is_star) {
        parent->is_whole = true;
    }
    return parent ? use_of_field(a, parent, x->args[0]->type->n_fields, is_value ? 1 : x->index)
                  : NULL;
}

/* Is it a call that does not look into its first argument's fields or values? */
static bool looks_at_none(const sm_expr *x)
{
    static const char *const names[] = {"is_null",     "is_not_null", "count",
                                        "cardinality", "map_keys",    "map_contains"};
    for (int i = 0; i < SM_COUNT(names); i++) {
        if (calls_function(x, names[i])) {
            return true;
        }
    }
    return false;
}

static void use_all(sm_arena *a, const sm_expr *const *exprs, int32_t n, use *in);

static void use_expr(sm_arena *a, const sm_expr *x, const use *how, use *in)
{
    use *const at = use_of(a, x, in);
    if (at) {
        add_use(a, at, how);
        for (; x->n_args > 0; x = x->args[0]) { /* the keys of MAPs */
            use_all(a, x->args + 1, x->n_args - 1, in);
        }
        return;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (i > 0 || !looks_at_none(x) || !use_of(a, x->args[i], in)) {
            use_expr(a, x->args[i], &whole_use, in);
        }
    }
}

static void use_keys(sm_arena *a, const sm_sort_key *keys, int32_t n, use *in)
{
    for (int32_t i = 0; i < n; i++) {
        use_expr(a, keys[i].expr, &whole_use, in);
    }
}

static void use_all(sm_arena *a, const sm_expr *const *exprs, int32_t n, use *in)
{
    for (int32_t i = 0; i < n; i++) {
        use_expr(a, exprs[i], &whole_use, in);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void take_scan(finding *f, sm_plan_node *n, const use *out)
{
    const sm_dataset *const d = n->as.scan.dataset;
    source *s = NULL;
    for (int64_t i = 0; i < f->n_sources; i++) {
        s = f->sources[i].dataset == d ? &f->sources[i] : s;
    }
    if (!s) {
        f->sources =
            sm_arena_grow(f->a, f->sources, f->n_sources, &f->cap_sources, sizeof(*f->sources));
        s = &f->sources[f->n_sources++];
        *s = (source){.dataset = d, .columns = SM_NEW_ARRAY(f->a, use, d->schema->n_fields + 1)};
    }
    f->scans = sm_arena_grow(f->a, f->scans, f->n_scans, &f->cap_scans, sizeof(*f->scans));
    f->scans[f->n_scans++] = n;
    s->takes_row = s->takes_row || n->as.scan.want.takes_row;
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        add_use(f->a, &s->columns[n->as.scan.columns[i]], &out[i]);
    }
}

/* What the node's own expressions use of the columns that it is given. */
static void use_own(sm_arena *a, const sm_plan_node *n, const use *out, use *in)
{
    switch (n->kind) {
    case SM_PLAN_PROJECT:
        for (int32_t i = 0; i < n->schema->n_fields; i++) {
            use_expr(a, n->as.project.exprs[i], &out[i], in);
        }
        break;
    case SM_PLAN_FILTER:
        use_expr(a, n->as.filter.where, &whole_use, in);
        break;
    case SM_PLAN_SORT:
        use_keys(a, n->as.sort.keys, n->as.sort.n_keys, in);
        break;
    case SM_PLAN_AGGREGATE:
        use_all(a, n->as.aggregate.keys, n->as.aggregate.n_keys, in);
        for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
            use_expr(a, n->as.aggregate.items[i].call, &whole_use, in);
            use_all(a, &n->as.aggregate.items[i].filter, n->as.aggregate.items[i].filter != NULL,
                    in);
        }
        break;
    case SM_PLAN_WINDOW:
        for (int32_t i = 0; i < n->as.window.n_items; i++) {
            const sm_window_item *const w = &n->as.window.items[i];
            use_expr(a, w->call, &whole_use, in);
            use_all(a, w->partition, w->n_partition, in);
            use_keys(a, w->order, w->n_order, in);
        }
        break;
    case SM_PLAN_CHECK: /* it looks at all of its input, and rows leave it whole; one that watches
                         * only passes on what goes on */
        for (int32_t i = n->as.check.is_watch ? n->schema->n_fields : 0;
             i < n->inputs[0]->schema->n_fields; i++) {
            add_use(a, &in[i], &whole_use);
        }
        break;
    default:
        break;
    }
}

static void take_node(finding *f, sm_plan_node *n, const use *out);

static void take_join(finding *f, sm_plan_node *n, use *both)
{
    sm_plan_node *const left = n->inputs[0], *const right = n->inputs[1];
    if (n->as.join.on) {
        use_expr(f->a, n->as.join.on, &whole_use, both);
    }
    use_all(f->a, n->as.join.left_keys, n->as.join.n_keys, both);
    use_all(f->a, n->as.join.right_keys, n->as.join.n_keys, both + left->schema->n_fields);
    take_node(f, left, both);
    take_node(f, right, both + left->schema->n_fields);
}

static void take_node(finding *f, sm_plan_node *n, const use *out)
{
    if (n->kind == SM_PLAN_SCAN) {
        take_scan(f, n, out);
        return;
    }
    const bool passes_on = n->kind != SM_PLAN_PROJECT && n->kind != SM_PLAN_AGGREGATE;
    int32_t n_in = 0;
    for (int32_t i = 0; i < n->n_inputs; i++) {
        n_in += n->inputs[i]->schema->n_fields;
    }
    if (n->kind == SM_PLAN_UNION) {
        take_node(f, n->inputs[0], out);
        take_node(f, n->inputs[1], out);
        return;
    }
    use *const in = SM_NEW_ARRAY(f->a, use, n_in + 1);
    const int32_t n_out = n->schema->n_fields; /* fewer where a CHECK passes on the first columns */
    for (int32_t i = 0; passes_on && i < n_in && i < n_out; i++) {
        add_use(f->a, &in[i], &out[i]);
    }
    use_own(f->a, n, out, in);
    if (n->kind == SM_PLAN_JOIN) {
        take_join(f, n, in);
    } else if (n->n_inputs > 0) {
        take_node(f, n->inputs[0], in);
    }
}

static void take_root(finding *f, sm_plan_node *root)
{
    use *const out = SM_NEW_ARRAY(f->a, use, root->schema->n_fields + 1);
    for (int32_t i = 0; i < root->schema->n_fields; i++) {
        out[i] = whole_use;
    }
    take_node(f, root, out);
}

/* ---- paths ----------------------------------------------------------------------------------- */

#define MAX_PATH 128 /* types do not nest as deep */

typedef struct paths {
    sm_arena *a;
    sm_path *items;
    int64_t n, cap;
    int32_t at[MAX_PATH];
    int32_t depth;
} paths;

static bool has_objects(const sm_type *t)
{
    bool has = t->id == SM_TYPE_STRUCT;
    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_objects(t->fields[i].type);
    }
    return has;
}

static void add_paths(paths *p, const use *u, const sm_type *t)
{
    SM_ASSERT(u->n_fields == 0 || u->n_fields == t->n_fields);
    if (u->is_whole && has_objects(t)) {
        int32_t *const items = SM_NEW_ARRAY(p->a, int32_t, p->depth);
        memcpy(items, p->at, (size_t)p->depth * sizeof(*items));
        p->items = sm_arena_grow(p->a, p->items, p->n, &p->cap, sizeof(*p->items));
        p->items[p->n++] = (sm_path){items, p->depth};
        return;
    }
    for (int32_t i = 0; i < u->n_fields && p->depth < MAX_PATH; i++) {
        if (u->fields[i]) {
            p->at[p->depth++] = i;
            add_paths(p, u->fields[i], t->fields[i].type);
            p->depth--;
        }
    }
}

static void tell_scan(const finding *f, sm_plan_node *n)
{
    const source *s = f->sources;
    while (s->dataset != n->as.scan.dataset) {
        SM_ASSERT(s + 1 < f->sources + f->n_sources); /* take_scan() added it */
        s++;
    }
    const int32_t n_stored = s->dataset->schema->n_fields - s->dataset->n_constants;
    paths p = {.a = f->a, .depth = 1};
    for (int32_t i = 0; i < n_stored; i++) {
        p.at[0] = i;
        add_paths(&p, &s->columns[i], s->dataset->schema->fields[i].type);
    }
    n->as.scan.want.takes_row = s->takes_row;
    n->as.scan.want.taken = p.items;
    n->as.scan.want.n_taken = (int32_t)p.n;
}

void smi_opt_taken(sm_arena *a, const sm_plan *plan)
{
    finding f = {.a = a};
    take_root(&f, plan->root);
    for (int32_t i = 0; i < plan->n_params; i++) {
        take_root(&f, plan->params[i].root);
    }
    for (int64_t i = 0; i < f.n_scans; i++) {
        if (f.scans[i]->as.scan.want.unknown != SM_UNKNOWN_PASS) {
            tell_scan(&f, f.scans[i]);
        }
    }
}
