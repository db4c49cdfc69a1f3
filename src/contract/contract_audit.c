/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_audit.c: counts the rows that break a contract's rules, over rows that are
 * there already.
 *
 * Method   One CHECK over one scan, which nothing else uses: it counts the rows and those that
 *          break each row rule, has their examples, and searches the keys of rules about
 *          duplicates (contract_watch.c). Every other set rule is a plan of its own, which reads
 *          only the columns of the rule: a join for a reference (below), SQL for groups and queries
 *          (contract_audit_sql.c), and for `unique` a GROUP BY of the rows whose key may come
 *          again. Examples of these are read by a plan that ends after the first ten.
 * Memory   is that of exec's operators, which spill. */
#include "contract/contract_int.h"

typedef smi_picks picks;

sm_status smi_at_rule(const sm_contract *c, const sm_rule *r, sm_status st, sm_error *e)
{
    if (st == SM_OK) {
        return st;
    }
    const sm_yaml_doc *d = &c->yaml;
    return sm_within(e, sm_yaml_at(d, r->at, st, e), "rule \"%.*s\", line %d of %s",
                     SM_STR_ARG(r->name), (int)r->at.line, d->name.data);
}

/* ---- running --------------------------------------------------------------------------------- */

static void release_all(sm_batch **rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sm_batch_release(rows[i]);
    }
}

sm_status smi_audit_numbers(const smi_audit *u, const sm_plan *plan, int64_t *out, int32_t n,
                            sm_error *e)
{
    sm_batch **rows = NULL;
    int64_t n_batches = 0;

    SM_TRY(sm_exec_collect(plan, u->in->env, u->a, &rows, &n_batches, u->report, e));
    SM_ENSURE(n_batches == 1 && rows[0]->n_rows == 1 && rows[0]->n_columns == n);
    for (int32_t i = 0; i < n; i++) {
        const sm_value v = sm_column_value(&rows[0]->columns[i], 0);
        SM_ASSERT(v.is_null || v.type->id == SM_TYPE_I64);
        out[i] = v.is_null ? 0 : v.as.i;
    }
    release_all(rows, n_batches);
    return SM_OK;
}

static sm_status run_numbers(smi_audit *u, const sm_plan_node *root, int64_t *out, int32_t n,
                             sm_error *e)
{
    sm_plan *plan = NULL;

    SM_TRY(sm_plan_finish(root, u->a, &plan, e));
    return smi_audit_numbers(u, plan, out, n, e);
}

/* A row as a JSON object. */
static sm_str row_json(const sm_batch *rows, int64_t row, const sm_str *names, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    for (int32_t i = 0; i < rows->n_columns; i++) {
        sm_json_key(&w, names[i]);
        sm_column_json(&rows->columns[i], row, &w);
    }
    sm_json_end_object(&w);
    return sm_arena_take(a, &text);
}

static void add_examples(const smi_audit *u, const sm_batch *rows, const sm_str *names,
                         sm_rule_count *out)
{
    if (!out->examples) {
        out->examples = SM_NEW_ARRAY(u->a, sm_str, SM_RULE_EXAMPLES);
    }
    for (int64_t i = 0; i < rows->n_rows; i++) {
        SM_ASSERT(out->n_examples < SM_RULE_EXAMPLES);
        out->examples[out->n_examples++] = row_json(rows, i, names, u->a);
    }
}

sm_status smi_audit_examples(const smi_audit *u, const sm_plan *plan, const sm_str *names,
                             sm_rule_count *out, sm_error *e)
{
    sm_batch **rows = NULL;
    int64_t n = 0;

    SM_TRY(sm_exec_collect(plan, u->in->env, u->a, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        add_examples(u, rows[i], names, out);
    }
    release_all(rows, n);
    return SM_OK;
}

static sm_status run_examples(smi_audit *u, const sm_plan_node *root, int32_t most,
                              const sm_str *names, sm_rule_count *out, sm_error *e)
{
    sm_plan *plan = NULL;

    SM_TRY(sm_plan_finish(sm_plan_limit(root, most, 0, u->a), u->a, &plan, e));
    return smi_audit_examples(u, plan, names, out, e);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static sm_status call(smi_audit *u, const char *name, const sm_expr *x, const sm_expr *y,
                      const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    return sm_expr_call(name, args, (x != NULL) + (y != NULL), u->a, out, e);
}

/* The rows in which none of n expressions is NULL. */
static sm_status without_null(smi_audit *u, const sm_plan_node *in, const sm_expr *const *exprs,
                              int32_t n, const sm_plan_node **out, sm_error *e)
{
    const sm_expr **tests = SM_NEW_ARRAY(u->a, const sm_expr *, n), *all = NULL;

    for (int32_t i = 0; i < n; i++) {
        SM_TRY(call(u, "is_not_null", exprs[i], NULL, &tests[i], e));
    }
    SM_TRY(sm_expr_and(tests, n, u->a, &all, e));
    return sm_plan_filter(in, all, u->a, out, e);
}

sm_status smi_audit_different(smi_audit *u, const sm_plan_node *in, const sm_expr *const *exprs,
                              int32_t n, const sm_plan_node **out, sm_error *e)
{
    SM_TRY(without_null(u, in, exprs, n, &in, e));
    return sm_plan_aggregate(in, exprs, n, NULL, 0, u->a, out, e);
}

/* A join of rows with the different values `right`, by the keys of the rows. */
static sm_status join_values(smi_audit *u, const sm_plan_node *left, const sm_expr *const *keys,
                             int32_t n, const sm_plan_node *right, sm_join_kind kind,
                             const sm_plan_node **out, sm_error *e)
{
    const sm_type *pair = sm_plan_join_schema(left, right, kind, u->a);
    const sm_expr **same = SM_NEW_ARRAY(u->a, const sm_expr *, n), *on = NULL;

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *value = sm_expr_column(pair, left->schema->n_fields + i, u->a);
        SM_TRY(call(u, "=", keys[i], value, &same[i], e));
    }
    SM_TRY(sm_expr_and(same, n, u->a, &on, e));
    return sm_plan_join(left, right, kind, on, u->a, out, e);
}

sm_status smi_audit_look_up(smi_audit *u, const sm_plan_node *left, const sm_expr *const *keys,
                            int32_t n, const sm_plan_node *right, const sm_plan_node **out,
                            const sm_expr **found, sm_error *e)
{
    SM_TRY(join_values(u, left, keys, n, right, SM_JOIN_LEFT, out, e));
    return call(u, "is_not_null", sm_expr_column((*out)->schema, left->schema->n_fields, u->a),
                NULL, found, e);
}

sm_status smi_audit_count(smi_audit *u, const sm_plan_node *in, int64_t *out, sm_error *e)
{
    sm_agg_item item = {0};
    const sm_plan_node *root = NULL;

    SM_TRY(call(u, "count", NULL, NULL, &item.call, e));
    SM_TRY(sm_plan_aggregate(in, NULL, 0, &item, 1, u->a, &root, e));
    return run_numbers(u, root, out, 1, e);
}

/* Adds a column to what an example shows, unless it is there. */
static void pick(smi_audit *u, picks *p, const sm_expr *x, sm_str name)
{
    if (!x) { /* rows that a contract makes columns of may lack some */
        return;
    }
    SM_ASSERT(p->n < p->cap);
    for (int32_t i = 0; i < p->n; i++) {
        if (sm_expr_eq(p->exprs[i], x)) {
            return;
        }
    }
    p->exprs[p->n] = x;
    p->names[p->n++] = name;
}

static picks picks_new(smi_audit *u, int32_t cap)
{
    return (picks){.exprs = SM_NEW_ARRAY(u->a, const sm_expr *, cap),
                   .names = SM_NEW_ARRAY(u->a, sm_str, cap),
                   .cap = cap};
}

/* The columns of the primary key, by which a row is known. */
static void pick_key(smi_audit *u, picks *p)
{
    const sm_contract_table *t = u->in->table;

    for (int32_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i].key_position > 0) {
            pick(u, p, u->columns[i], t->columns[i].path);
        }
    }
}

static void pick_columns(smi_audit *u, picks *p, const sm_rule *r)
{
    for (int32_t i = 0; i < r->n_columns; i++) {
        pick(u, p, u->columns[r->columns[i]], u->in->table->columns[r->columns[i]].path);
    }
}

/* All columns of the rows that an expression reads. */
static void pick_read(smi_audit *u, picks *p, const sm_expr *x)
{
    const sm_type *schema = u->in->rows->schema;

    if (x->kind == SM_EXPR_COLUMN) {
        pick(u, p, sm_expr_column(schema, x->index, u->a), schema->fields[x->index].name);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        pick_read(u, p, x->args[i]);
    }
}

static int32_t most_picks(const smi_audit *u)
{
    return (int32_t)u->in->table->n_columns + u->in->rows->schema->n_fields + 1;
}

/* ---- rules of rows --------------------------------------------------------------------------- */

picks smi_audit_picks(smi_audit *u, const sm_bound_rule *b)
{
    picks p = picks_new(u, most_picks(u));
    const int32_t column = b->rule->column;

    pick_key(u, &p);
    if (column >= 0) {
        pick(u, &p, u->columns[column], u->in->table->columns[column].path);
    }
    pick_columns(u, &p, b->rule);
    if (b->rule->kind == SM_RULE_EXPRESSION) {
        pick_read(u, &p, b->holds);
    }
    return p;
}

sm_status smi_audit_show_first(smi_audit *u, const sm_bound_rule *b, const sm_plan_node *rows,
                               int32_t most, sm_rule_count *out, sm_error *e)
{
    const picks p = smi_audit_picks(u, b);
    const sm_expr *broken = NULL;
    const sm_plan_node *root = NULL;

    if (p.n == 0) {
        return SM_OK;
    }
    SM_TRY(call(u, "not", b->holds, NULL, &broken, e));
    SM_TRY(sm_plan_filter(rows, broken, u->a, &root, e));
    root = sm_plan_project(root, p.exprs, p.names, p.n, u->a);
    return run_examples(u, root, most, p.names, out, e);
}

sm_status smi_audit_show(smi_audit *u, const sm_bound_rule *b, const sm_batch *rows,
                         sm_rule_count *out, sm_error *e)
{
    const picks p = smi_audit_picks(u, b);
    sm_field *fields = SM_NEW_ARRAY(u->a, sm_field, p.n + 1);
    sm_batch *shown = NULL;
    sm_status st = SM_OK;

    for (int32_t i = 0; i < p.n; i++) {
        fields[i] = (sm_field){.name = p.names[i], .type = p.exprs[i]->type, .is_nullable = true};
    }
    SM_TRY(sm_batch_new(u->in->env->budget, sm_type_struct(u->a, fields, p.n), &shown, e));
    for (int32_t i = 0; i < p.n && st == SM_OK; i++) {
        st = sm_expr_eval(p.exprs[i], rows, NULL, shown, &shown->columns[i], e);
    }
    if (st == SM_OK && p.n > 0) {
        shown->n_rows = rows->n_rows;
        add_examples(u, shown, p.names, out);
    }
    sm_batch_release(shown);
    return st;
}

void smi_audit_shown(smi_audit *u, const sm_bound_rule *b, bool *used)
{
    const picks p = smi_audit_picks(u, b);

    for (int32_t i = 0; i < p.n; i++) {
        sm_expr_columns(p.exprs[i], used);
    }
}

sm_status smi_audit_share(smi_audit *u, const sm_bound_rule *b, sm_rule_count *out, sm_error *e)
{
    const sm_expr *broken = NULL;

    if (!b->rule->has_share_per) {
        return SM_OK;
    }
    SM_TRY(call(u, "not", b->holds, NULL, &broken, e));
    return smi_at_rule(u->in->contract, b->rule,
                       smi_share_rows(u, b->rule, u->in->rows, broken, out, e), e);
}

static sm_status audit_rows(smi_audit *u, sm_error *e)
{
    const sm_audit *in = u->in;
    sm_bound_rule *rules = NULL;
    int64_t n = 0;

    SM_TRY(sm_contract_bind(in->contract, in->table, in->rows->schema, &in->names, u->a, &rules, &n,
                            e));
    SM_TRY(u->count(u, rules, n, e));
    for (int64_t i = 0; i < n; i++) {
        sm_rule_count *out = &u->counts[rules[i].rule - in->table->rules];
        SM_TRY(out->n_broken > 0 ? smi_audit_share(u, &rules[i], out, e) : SM_OK);
    }
    return SM_OK;
}

/* ---- unique ---------------------------------------------------------------------------------- */

/* Can the least and greatest value say which files a scan need not open? */
static bool has_order(const sm_type *t)
{
    return sm_type_is_number(t->id) || t->id == SM_TYPE_STRING || t->id == SM_TYPE_DATE ||
           t->id == SM_TYPE_TIME || t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

/* The range of a column of files that a scan reads; false: they do not say it. */
static bool known_range(const sm_plan_node *rows, const sm_expr *x, sm_value ends[2])
{
    const sm_dataset *d = rows->kind == SM_PLAN_SCAN ? rows->as.scan.dataset : NULL;
    const int32_t column = d && x->kind == SM_EXPR_COLUMN ? rows->as.scan.columns[x->index] : -1;
    const int32_t n_stored = d ? sm_dataset_keys(d) : 0;

    ends[0] = ends[1] = sm_value_null(x->type);
    if (!d || d->lister || column < 0) {
        return false;
    }
    for (int64_t i = 0; i < d->n_files; i++) {
        const sm_datafile *f = &d->files[i];
        if (column < n_stored && !f->ranges) {
            return false;
        }
        const sm_range r = column < n_stored ? f->ranges[column]
                                             : sm_range_of_value(f->constants[column - n_stored]);
        if (r.has_nulls && r.n_nulls == r.n_rows) {
            continue; /* no row of it has a key */
        }
        if (!r.has_min || !r.has_max || r.may_have_nan) {
            return false;
        }
        ends[0] = ends[0].is_null || sm_value_cmp(r.min, ends[0]) < 0 ? r.min : ends[0];
        ends[1] = ends[1].is_null || sm_value_cmp(r.max, ends[1]) > 0 ? r.max : ends[1];
    }
    return true;
}
/* The least and the greatest value of each of n columns of the added rows, as their files say or as
 * is read. */
static sm_status find_ends(smi_audit *u, const sm_expr *const *added, int32_t n,
                           sm_value (*ends)[2], sm_error *e)
{
    sm_agg_item *items = SM_NEW_ARRAY(u->a, sm_agg_item, 2 * n);
    const sm_plan_node *root = NULL;
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n_batches = 0;
    bool are_known = true;

    for (int32_t i = 0; i < n; i++) {
        are_known = known_range(u->added, added[i], ends[i]) && are_known;
        SM_TRY(call(u, "min", added[i], NULL, &items[2 * i].call, e));
        SM_TRY(call(u, "max", added[i], NULL, &items[2 * i + 1].call, e));
    }
    if (are_known) {
        return SM_OK;
    }
    SM_TRY(sm_plan_aggregate(u->added, NULL, 0, items, 2 * n, u->a, &root, e));
    SM_TRY(sm_plan_finish(root, u->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, u->in->env, u->a, &rows, &n_batches, NULL, e));
    SM_ENSURE(n_batches == 1 && rows[0]->n_rows == 1);
    for (int32_t i = 0; i < 2 * n; i++) {
        ends[i / 2][i % 2] = sm_value_copy(u->a, sm_column_value(&rows[0]->columns[i], 0));
    }
    release_all(rows, n_batches);
    return SM_OK;
}

sm_status smi_audit_between(smi_audit *u, const sm_rule *r, const sm_expr *const *keys,
                            const sm_expr **added, const sm_plan_node **rows, sm_error *e)
{
    const int32_t n = r->n_columns;
    const sm_expr **tests = SM_NEW_ARRAY(u->a, const sm_expr *, 2 * n), *all = NULL;
    const sm_expr **ordered = SM_NEW_ARRAY(u->a, const sm_expr *, n), **of_added = NULL;
    sm_value(*ends)[2] = sm_arena_alloc(u->a, (size_t)n * sizeof(*ends));
    int32_t n_ordered = 0, at = 0;

    SM_TRY(smi_bind_columns(u->in->contract, u->in->table, u->added->schema, u->a, &of_added, e));
    for (int32_t i = 0; i < n; i++) {
        added[i] = of_added[r->columns[i]];
        if (has_order(keys[i]->type)) {
            ordered[n_ordered++] = added[i];
        }
    }
    if (n_ordered == 0) {
        return SM_OK;
    }
    SM_TRY(find_ends(u, ordered, n_ordered, ends, e));
    for (int32_t i = 0; i < n; i++) {
        if (has_order(keys[i]->type)) {
            const sm_expr *least = sm_expr_constant(ends[at][0], u->a);
            const sm_expr *greatest = sm_expr_constant(ends[at][1], u->a);
            SM_TRY(call(u, ">=", keys[i], least, &tests[2 * at], e));
            SM_TRY(call(u, "<=", keys[i], greatest, &tests[2 * at + 1], e));
            at++;
        }
    }
    SM_TRY(sm_expr_and(tests, 2 * n_ordered, u->a, &all, e));
    return sm_plan_filter(*rows, all, u->a, rows, e);
}

/* Of the rows those that have a key of a row that was added, as their keys alone: no others can be
 * duplicates of it. */
static sm_status find_added(smi_audit *u, const smi_search *search, const sm_expr *const *added,
                            picks *keys, const sm_plan_node **rows, sm_error *e)
{
    const sm_plan_node *left = sm_plan_project(*rows, keys->exprs, keys->names, keys->n, u->a);
    const sm_plan_node *right = NULL;

    for (int32_t i = 0; i < keys->n; i++) {
        keys->exprs[i] = sm_expr_column(left->schema, i, u->a);
    }
    SM_TRY(smi_search_only(search, u->added, added, keys->n, u->a, &right, e));
    SM_TRY(smi_audit_different(u, right, added, keys->n, &right, e));
    return join_values(u, left, keys->exprs, keys->n, right, SM_JOIN_INNER, rows, e);
}

/* The keys that several rows have, and how many. */
static sm_status groups_alike(smi_audit *u, const sm_plan_node *in, const picks *keys,
                              const sm_plan_node **out, sm_error *e)
{
    sm_agg_item item = {0};
    const sm_expr *const one = sm_expr_constant(sm_value_i64(1), u->a), *x = NULL;

    SM_TRY(call(u, "count", NULL, NULL, &item.call, e));
    SM_TRY(sm_plan_aggregate(in, keys->exprs, keys->n, &item, 1, u->a, out, e));
    SM_TRY(call(u, ">", sm_expr_column((*out)->schema, keys->n, u->a), one, &x, e));
    return sm_plan_filter(*out, x, u->a, out, e);
}

/* How many such keys there are, and rows that have them. */
static sm_status count_alike(smi_audit *u, const sm_plan_node *groups, int64_t *n_groups,
                             int64_t *n_rows, sm_error *e)
{
    sm_agg_item items[2] = {0};
    const sm_plan_node *root = NULL;
    int64_t numbers[2] = {0};

    SM_TRY(call(u, "count", NULL, NULL, &items[0].call, e));
    SM_TRY(call(u, "sum", sm_expr_column(groups->schema, groups->schema->n_fields - 1, u->a), NULL,
                &items[1].call, e));
    SM_TRY(sm_plan_aggregate(groups, NULL, 0, items, SM_COUNT(items), u->a, &root, e));
    SM_TRY(run_numbers(u, root, numbers, SM_COUNT(numbers), e));
    *n_groups = numbers[0];
    *n_rows = numbers[1];
    return SM_OK;
}

/* Rows on their way into examples: the first row of each of the first groups. */
typedef struct firsts {
    const smi_audit *u;
    const sm_str *names;
    sm_rule_count *out;
    sm_batch *rows[SM_RULE_EXAMPLES]; /* retained; row at[i] of rows[i] is example i */
    int64_t at[SM_RULE_EXAMPLES];
    int32_t n, n_wanted;
} firsts;

static bool is_shown(const firsts *f, const sm_batch *rows, int64_t row)
{
    const int32_t n_keys = rows->n_columns - 1;

    for (int32_t i = 0; i < f->n; i++) {
        int32_t k = 0;
        while (k < n_keys &&
               sm_column_eq(&rows->columns[k], row, &f->rows[i]->columns[k], f->at[i])) {
            k++;
        }
        if (k == n_keys) {
            return true;
        }
    }
    return false;
}

/* Sink: the keys of rows, and how many rows have them. */
static sm_status take_firsts(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    firsts *f = ctx;

    (void)waker;
    (void)e;
    for (int64_t i = 0; i < rows->n_rows && f->n < f->n_wanted; i++) {
        if (!is_shown(f, rows, i)) {
            f->rows[f->n] = sm_batch_retain(rows);
            f->at[f->n++] = i;
            f->out->examples[f->out->n_examples++] = row_json(rows, i, f->names, f->u->a);
        }
    }
    return f->n < f->n_wanted ? SM_OK : SM_END;
}

/* Shows the first keys that several rows have, and how many, in the order of their first rows. */
static sm_status show_alike(smi_audit *u, const sm_plan_node *in, const sm_plan_node *groups,
                            picks *p, int64_t n_groups, sm_rule_count *out, sm_error *e)
{
    const sm_plan_node *left = sm_plan_project(in, p->exprs, p->names, p->n, u->a), *root = NULL;
    firsts f = {.u = u, .names = p->names, .out = out};
    const sm_sink sink = {.ctx = &f, .push = take_firsts};
    sm_plan *plan = NULL;

    f.n_wanted = n_groups < SM_RULE_EXAMPLES ? (int32_t)n_groups : SM_RULE_EXAMPLES;
    out->examples = SM_NEW_ARRAY(u->a, sm_str, SM_RULE_EXAMPLES);
    for (int32_t i = 0; i < p->n; i++) {
        p->exprs[i] = sm_expr_column(left->schema, i, u->a);
    }
    SM_TRY(join_values(u, left, p->exprs, p->n, groups, SM_JOIN_INNER, &root, e));
    p->exprs[p->n] = sm_expr_column(root->schema, 2 * p->n, u->a);
    p->names[p->n] = SM_STR("count(*)");
    root = sm_plan_project(root, p->exprs, p->names, p->n + 1, u->a);
    SM_TRY(sm_plan_finish(root, u->a, &plan, e));
    const sm_status st = sm_exec_run(plan, u->in->env, &sink, NULL, NULL, e);
    release_all(f.rows, f.n);
    return st;
}

/* Do the rows of a plan differ in the columns of a rule, by the plan alone? A type that is another
 * one in the table may have made equal values of different ones. */
static sm_status are_different(smi_audit *u, const sm_rule *r, const sm_plan_node *plan, bool *out,
                               sm_error *e)
{
    const sm_expr **all = NULL, **own = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns);
    bool is_same = true;

    SM_TRY(smi_bind_columns(u->in->contract, u->in->table, plan->schema, u->a, &all, e));
    for (int32_t i = 0; i < r->n_columns; i++) {
        own[i] = all[r->columns[i]];
        is_same = is_same && sm_type_eq(own[i]->type, u->columns[r->columns[i]]->type);
    }
    *out = is_same && sm_plan_is_unique(plan, own, r->n_columns, u->a);
    return SM_OK;
}

static sm_status audit_unique(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    const int32_t n = r->n_columns;
    picks p = picks_new(u, n + 1);
    const sm_expr **added = SM_NEW_ARRAY(u->a, const sm_expr *, n);
    smi_search *begun = u->searches ? u->searches[r - u->in->table->rules] : NULL;
    smi_search *search = begun ? begun : smi_search_new(u->in->env, 0, u->a);
    const sm_plan_node *rows = u->in->rows, *groups = NULL;
    int64_t n_groups = 0, n_alike = 0;
    bool is_proved = false;
    sm_status st = SM_OK;

    out->n_rows = u->n_rows;
    pick_columns(u, &p, r);
    /* fails where a column can be no key */
    SM_TRY_GOTO(st, done, groups_alike(u, rows, &p, &groups, e));
    SM_TRY_GOTO(st, done, are_different(u, r, u->from ? u->from : rows, &is_proved, e));
    if (is_proved || smi_search_none(search)) {
        goto done;
    }
    if (u->narrow) {
        bool is_none = false;
        SM_TRY_GOTO(st, done, u->narrow(u, p.exprs, n, &rows, &is_none, e));
        if (is_none) {
            goto done;
        }
    }
    if (u->added) {
        SM_TRY_GOTO(st, done, smi_audit_between(u, r, p.exprs, added, &rows, e));
    }
    SM_TRY_GOTO(st, done, smi_search_find(search, u, rows, p.exprs, n, e));
    if (smi_search_none(search)) {
        goto done;
    }
    SM_TRY_GOTO(st, done, without_null(u, rows, p.exprs, n, &rows, e));
    SM_TRY_GOTO(st, done, smi_search_only(search, rows, p.exprs, n, u->a, &rows, e));
    if (u->added) {
        SM_TRY_GOTO(st, done, find_added(u, search, added, &p, &rows, e));
    }
    SM_TRY_GOTO(st, done, groups_alike(u, rows, &p, &groups, e));
    SM_TRY_GOTO(st, done, count_alike(u, groups, &n_groups, &n_alike, e));
    out->n_broken = n_alike - n_groups; /* the first of each breaks nothing */
    if (n_groups > 0) {
        SM_TRY_GOTO(st, done, show_alike(u, rows, groups, &p, n_groups, out, e));
        st = r->has_share_per ? smi_share_unique(u, r, groups, out, e) : SM_OK;
    }
done:
    smi_search_free(begun ? NULL : search);
    return st;
}

/* ---- references ------------------------------------------------------------------------------ */

/* The table of the contract that has this name; NULL: it has none. */
static const sm_contract_table *other_table(const smi_audit *u, const sm_rule *r)
{
    const sm_contract *c = u->in->contract;

    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq(c->tables[i].name, r->other_table)) {
            return &c->tables[i];
        }
    }
    return NULL;
}

/* The name in the rows of a column that the contract may have described. */
static sm_str physical_of(const sm_contract_table *t, sm_str path)
{
    for (int64_t i = 0; t && i < t->n_columns; i++) {
        if (t->columns[i].parent < 0 && sm_str_eq(t->columns[i].path, path)) {
            return t->columns[i].physical;
        }
    }
    return path;
}

/* The columns that the rule refers to, over the rows of the other table. */
static sm_status find_target(smi_audit *u, const sm_rule *r, const sm_type *schema,
                             const sm_expr **out, sm_error *e)
{
    const sm_contract_table *t = other_table(u, r);
    sm_str *names = SM_NEW_ARRAY(u->a, sm_str, schema->n_fields + 1);

    for (int32_t i = 0; i < schema->n_fields; i++) {
        names[i] = sm_arena_str(u->a, schema->fields[i].name);
    }
    for (int32_t i = 0; i < r->n_columns; i++) {
        const sm_str name = physical_of(t, r->other_columns[i]);
        const int32_t at = sm_type_find(schema, name);
        if (at < 0) {
            const char *what = sm_arena_printf(u->a, "the rows of table %.*s have no column",
                                               SM_STR_ARG(r->other_table));
            return sm_yaml_fail_word(&u->in->contract->yaml, r->at, what, name, names,
                                     schema->n_fields, e);
        }
        out[i] = sm_expr_column(schema, at, u->a);
    }
    return SM_OK;
}

sm_status smi_audit_target(smi_audit *u, const sm_rule *r, const sm_plan_node **out, sm_error *e)
{
    const sm_expr **exprs = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns);
    const sm_plan_node *node = NULL;

    SM_TRY(u->in->other(u->in->ctx, r->other_table, u->a, &node, e));
    SM_TRY(find_target(u, r, node->schema, exprs, e));
    return smi_audit_different(u, node, exprs, r->n_columns, out, e);
}

/* The rows that are to be found, as the columns that `p` shows and then the rule's. */
static sm_status source_rows(smi_audit *u, const sm_rule *r, const picks *p,
                             const sm_plan_node **out, sm_error *e)
{
    const int32_t n = p->n + r->n_columns;
    const sm_expr **exprs = SM_NEW_ARRAY(u->a, const sm_expr *, n);
    sm_str *names = SM_NEW_ARRAY(u->a, sm_str, n);
    const sm_plan_node *node = NULL;

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = i < p->n ? p->exprs[i] : u->columns[r->columns[i - p->n]];
        names[i] = sm_arena_strf(u->a, "x%d", i);
    }
    SM_TRY(without_null(u, u->in->rows, exprs + p->n, r->n_columns, &node, e));
    *out = sm_plan_project(node, exprs, names, n, u->a);
    return SM_OK;
}

/* Of all rows, those with NULL in a key too, which keep the rule. */
static sm_status share_reference(smi_audit *u, const sm_rule *r, const sm_plan_node *right,
                                 sm_rule_count *out, sm_error *e)
{
    const int32_t n = r->n_columns;
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, n);
    const sm_expr **parts = SM_NEW_ARRAY(u->a, const sm_expr *, n + 1), *x = NULL;
    const sm_plan_node *rows = NULL;

    for (int32_t i = 0; i < n; i++) {
        keys[i] = u->columns[r->columns[i]];
        SM_TRY(call(u, "is_not_null", keys[i], NULL, &parts[i], e));
    }
    SM_TRY(smi_audit_look_up(u, u->in->rows, keys, n, right, &rows, &x, e));
    SM_TRY(call(u, "not", x, NULL, &parts[n], e));
    SM_TRY(sm_expr_and(parts, n + 1, u->a, &x, e));
    return smi_share_rows(u, r, rows, x, out, e);
}

static sm_status audit_reference(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    picks p = picks_new(u, most_picks(u) + r->n_columns);
    const sm_plan_node *left = NULL, *right = NULL, *joined = NULL, *lost = NULL;
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns), *x = NULL;

    out->n_rows = u->n_rows;
    pick_key(u, &p);
    pick_columns(u, &p, r);
    SM_TRY(source_rows(u, r, &p, &left, e));
    SM_TRY(smi_audit_target(u, r, &right, e));
    for (int32_t i = 0; i < r->n_columns; i++) {
        keys[i] = sm_expr_column(left->schema, p.n + i, u->a);
    }
    SM_TRY(smi_audit_look_up(u, left, keys, r->n_columns, right, &joined, &x, e));
    SM_TRY(call(u, "not", x, NULL, &x, e));
    SM_TRY(sm_plan_filter(joined, x, u->a, &lost, e));
    SM_TRY(smi_audit_count(u, lost, &out->n_broken, e));
    if (out->n_broken == 0) {
        return SM_OK;
    }
    SM_TRY(r->has_share_per ? share_reference(u, r, right, out, e) : SM_OK);
    for (int32_t i = 0; i < p.n; i++) {
        p.exprs[i] = sm_expr_column(lost->schema, i, u->a);
    }
    lost = sm_plan_project(lost, p.exprs, p.names, p.n, u->a);
    return run_examples(u, lost, SM_RULE_EXAMPLES, p.names, out, e);
}

/* ---- all ------------------------------------------------------------------------------------- */

static sm_status audit_by_kind(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    switch (r->kind) {
    case SM_RULE_UNIQUE:
    case SM_RULE_PRIMARY_KEY:
    case SM_RULE_DUPLICATE_VALUES:
        return audit_unique(u, r, out, e);
    case SM_RULE_REFERENCE:
        return audit_reference(u, r, out, e);
    case SM_RULE_GROUP:
        return smi_audit_group(u, r, out, e);
    case SM_RULE_FRESHNESS:
        return smi_audit_freshness(u, r, out, e);
    case SM_RULE_VOLUME:
        return smi_audit_volume(u, r, out, e);
    case SM_RULE_QUERY:
        return smi_audit_query(u, r, out, e);
    default:
        SM_ASSERT(r->kind == SM_RULE_ROW_COUNT);
        out->measure = (double)u->n_rows;
        return SM_OK;
    }
}

sm_status smi_audit_set_rule(smi_audit *u, const sm_rule *r, sm_error *e)
{
    return smi_at_rule(u->in->contract, r,
                       audit_by_kind(u, r, &u->counts[r - u->in->table->rules], e), e);
}

sm_status smi_audit_sets(smi_audit *u, sm_error *e)
{
    const sm_contract_table *t = u->in->table;

    for (int64_t i = 0; i < t->n_rules; i++) {
        if (!sm_rule_info_of(t->rules[i].kind)->is_row) {
            SM_TRY(smi_audit_set_rule(u, &t->rules[i], e));
        }
    }
    return SM_OK;
}

sm_status smi_audit_all(smi_audit *u, sm_error *e)
{
    const sm_audit *in = u->in;

    u->counts = SM_NEW_ARRAY(u->a, sm_rule_count, in->table->n_rules + 1);
    SM_TRY(smi_bind_columns(in->contract, in->table, in->rows->schema, u->a, &u->columns, e));
    SM_TRY(audit_rows(u, e));
    return smi_audit_sets(u, e);
}

/* The plan that only has the checks of an audit. */
static sm_status plan_checks(sm_audit_watch *w, sm_arena *a, sm_plan **out, sm_error *e)
{
    sm_plan_watch *p = sm_audit_watch_plan(w);
    const int32_t n = p->rows->schema->n_fields;
    const sm_value no = {.type = &sm_type_bool, .as.b = false};
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + 1);

    exprs[0] = sm_expr_constant(sm_value_i64(0), a); /* of each row this goes on, to nobody */
    names[0] = SM_STR("row");
    for (int32_t i = 0; i < n; i++) {
        exprs[1 + i] = sm_expr_column(p->rows->schema, i, a);
        names[1 + i] = p->rows->schema->fields[i].name;
    }
    const sm_plan_node *rows = sm_plan_project(p->rows, exprs, names, n + 1, a);
    sm_check *checks = SM_NEW_ARRAY(a, sm_check, p->n_checks);
    int32_t *place = SM_NEW_ARRAY(a, int32_t, n + 1);
    for (int32_t i = 0; i < n; i++) {
        place[i] = 1 + i;
    }
    for (int32_t i = 0; i < p->n_checks; i++) {
        checks[i] = p->checks[i];
        checks[i].holds = sm_expr_mapped(checks[i].holds, place, a);
    }
    SM_TRY(sm_plan_check_first(rows, 1, checks, p->n_checks, p->side, a, &p->check, e));
    /* Nobody waits for rows, nor keeps their memory. */
    SM_TRY(sm_plan_filter(p->check, sm_expr_constant(no, a), a, &rows, e));
    return sm_plan_finish(rows, a, out, e);
}

sm_status sm_contract_audit(const sm_audit *in, sm_arena *a, sm_rule_count **out, int64_t *n_rows,
                            sm_error *e)
{
    const size_t room_bytes = sm_budget_room(in->env->budget) / 4 * 3;
    sm_exec_report own = {0}, *report = in->report ? in->report : &own;
    sm_audit_watch *w = NULL;
    sm_plan *plan = NULL;
    sm_status st = SM_OK;

    SM_TRY(sm_audit_watch_new(in, 0, room_bytes, a, &w, e));
    SM_TRY_GOTO(st, done, plan_checks(w, a, &plan, e));
    SM_TRY_GOTO(st, done, sm_exec_run(plan, in->env, NULL, NULL, report, e));
    st = sm_audit_watch_end(w, report, a, out, n_rows, e);
done:
    sm_audit_watch_free(w);
    sm_exec_report_release(&own);
    return st;
}
