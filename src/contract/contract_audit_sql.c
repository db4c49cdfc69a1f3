/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_audit_sql.c: the rules of a contract that are SQL over all rows: groups and
 * queries. Called by contract_audit.c.
 *
 * Names    In the SQL, "{object}" and the table's own name are the rows that are audited; the
 *          names of the contract's other tables are those tables; "{files}" is what a run has read
 *          of each file, which its caller knows as one more table; all else is what the caller's
 *          names say. */
#include <math.h>

#include "base/quote.h"
#include "base/text.h"
#include "contract/contract_int.h"

#define OBJECT "{object}"
#define FILES  "{files}"

/* ---- names ----------------------------------------------------------------------------------- */

static sm_status give_node(const sm_plan_node *node, sm_str label, sm_relation *out)
{
    *out = (sm_relation){.node = node, .label = label};
    return SM_OK;
}

/* The rows that are audited, which were counted before any query. */
static sm_status give_rows(const smi_audit *u, sm_relation *out)
{
    *out = (sm_relation){.node = u->in->rows, .label = u->in->table->name, .n_rows = &u->n_rows};
    return SM_OK;
}

/* sm_resolver.table */
static sm_status find_table(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                            sm_relation *out, sm_error *e)
{
    const smi_audit *u = ctx;
    const sm_audit *in = u->in;
    const sm_plan_node *node = NULL;

    if (n_parts == 1 &&
        (sm_str_is(parts[0], OBJECT) || sm_str_eq_nocase(parts[0], in->table->name))) {
        return give_rows(u, out);
    }
    if (n_parts == 1 && sm_str_is(parts[0], FILES)) {
        SM_TRY(in->other(in->ctx, parts[0], a, &node, e));
        return give_node(node, parts[0], out);
    }
    for (int64_t i = 0; n_parts == 1 && i < in->contract->n_tables; i++) {
        if (sm_str_eq_nocase(parts[0], in->contract->tables[i].name)) {
            SM_TRY(in->other(in->ctx, in->contract->tables[i].name, a, &node, e));
            return give_node(node, in->contract->tables[i].name, out);
        }
    }
    return in->names.table(in->names.ctx, parts, n_parts, a, out, e);
}

/* sm_resolver.table_at */
static sm_status find_table_at(void *ctx, const sm_str *parts, int32_t n_parts,
                               const sm_table_arg *at, sm_arena *a, sm_relation *out, sm_error *e)
{
    const sm_resolver *r = &((const smi_audit *)ctx)->in->names;

    return r->table_at(r->ctx, parts, n_parts, at, a, out, e);
}

/* sm_resolver.function */
static sm_status find_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e)
{
    const sm_resolver *r = &((const smi_audit *)ctx)->in->names;

    return r->function(r->ctx, name, args, n_args, a, out, e);
}

/* sm_resolver.variable */
static sm_status find_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    const sm_resolver *r = &((const smi_audit *)ctx)->in->names;

    return r->variable(r->ctx, name, a, out, e);
}

static sm_resolver resolver_of(smi_audit *u)
{
    return (sm_resolver){
        .ctx = u,
        .table = find_table,
        .table_at = u->in->names.table_at ? find_table_at : NULL,
        .function = find_function,
        .variable = find_variable,
    };
}

/* A column, or a field of one, as SQL. */
static void print_column(const smi_audit *u, int32_t column, sm_buf *out)
{
    const sm_contract_column *c = &u->in->table->columns[column];

    if (c->parent >= 0) {
        print_column(u, c->parent, out);
        sm_buf_printf(out, ".");
    }
    sm_buf_quoted(out, c->physical, '"');
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* The groups: their keys, and whether they keep the rule. names: of the keys. */
static sm_status make_groups(smi_audit *u, const sm_rule *r, sm_str *names,
                             const sm_plan_node **out, sm_error *e)
{
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns);
    const sm_resolver resolver = resolver_of(u);
    const sm_sql sql = {.name = r->name, .text = r->text};

    for (int32_t i = 0; i < r->n_columns; i++) {
        keys[i] = u->columns[r->columns[i]];
        names[i] = u->in->table->columns[r->columns[i]].path;
    }
    return sm_query_grouped(&sql,
                            &(sm_grouping){.in = u->in->rows, .keys = keys, .n_keys = r->n_columns},
                            &resolver, u->a, out, e);
}

/* The keys of the first groups that break it. */
static sm_status show_groups(smi_audit *u, const sm_plan_node *groups, const sm_expr *broken,
                             const sm_str *names, sm_rule_count *out, sm_error *e)
{
    const int32_t n = groups->schema->n_fields - 1;
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, n);
    const sm_plan_node *node = NULL;
    sm_plan *plan = NULL;

    for (int32_t i = 0; i < n; i++) {
        keys[i] = sm_expr_column(groups->schema, i, u->a);
    }
    SM_TRY(sm_plan_filter(groups, broken, u->a, &node, e));
    node = sm_plan_project(node, keys, names, n, u->a);
    SM_TRY(sm_plan_finish(sm_plan_limit(node, SM_RULE_EXAMPLES, 0, u->a), u->a, &plan, e));
    return smi_audit_examples(u, plan, names, out, e);
}

sm_status smi_audit_group(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(u->a, sm_str, r->n_columns);
    const sm_plan_node *groups = NULL, *root = NULL;
    const sm_expr *holds = NULL, *broken = NULL;
    sm_agg_item items[2] = {0};
    int64_t counts[SM_COUNT(items)] = {0};
    sm_plan *plan = NULL;

    SM_TRY(make_groups(u, r, names, &groups, e));
    holds = sm_expr_column(groups->schema, r->n_columns, u->a);
    SM_TRY(sm_expr_call("not", &holds, 1, u->a, &broken, e));
    SM_TRY(sm_expr_call("count", NULL, 0, u->a, &items[0].call, e));
    items[1] = (sm_agg_item){.call = items[0].call, .filter = broken};
    SM_TRY(sm_plan_aggregate(groups, NULL, 0, items, SM_COUNT(items), u->a, &root, e));
    SM_TRY(sm_plan_finish(root, u->a, &plan, e));
    SM_TRY(smi_audit_numbers(u, plan, counts, SM_COUNT(counts), e));
    out->n_rows = counts[0];
    out->n_broken = counts[1];
    return out->n_broken > 0 ? show_groups(u, groups, broken, names, out, e) : SM_OK;
}

/* ---- queries --------------------------------------------------------------------------------- */

/* The query with the names of its rows and column in it. */
static sm_status print_query(const smi_audit *u, const sm_rule *r, sm_buf *out, sm_error *e)
{
    static const sm_str words[] = {{OBJECT, 8}, {FILES, 7}, {"{property}", 10}};

    for (size_t i = 0; i < r->text.len;) {
        const sm_str rest = {r->text.data + i, r->text.len - i};
        const int word = sm_str_starts(rest, words[0]) ? 0 : sm_str_starts(rest, words[1]) ? 1 : 2;
        if (word < 2) {
            sm_buf_quoted(out, words[word], '"');
            i += words[word].len;
        } else if (sm_str_starts(rest, words[word])) {
            if (r->column < 0) {
                return sm_fail(e, SM_INVALID,
                               "the rule is of no property, so {property} says "
                               "nothing");
            }
            print_column(u, r->column, out);
            i += words[word].len;
        } else {
            sm_buf_text(out, (sm_str){rest.data, 1});
            i++;
        }
    }
    return SM_OK;
}

/* A number of any type; NULL is NaN. */
static double number_of(const sm_column *c, int64_t row)
{
    double out = NAN;
    sm_buf text = {0};

    if (!sm_column_is_null(c, row)) {
        sm_column_print(c, row, &text);
        SM_ENSURE(sm_parse_f64(sm_buf_str(&text), true, &out));
    }
    sm_buf_release(&text);
    return out;
}

static sm_status plan_query(smi_audit *u, const sm_rule *r, sm_plan **out, sm_error *e)
{
    sm_sql *sql = SM_NEW(u->a, sm_sql);
    sm_buf text = {0};

    const sm_status st = print_query(u, r, &text, e);
    if (st != SM_OK) {
        sm_buf_release(&text);
        return st;
    }
    const sm_resolver resolver = resolver_of(u);
    *sql = (sm_sql){.name = r->name, .text = sm_arena_take(u->a, &text)};
    SM_TRY(sm_query_plan(sql, &resolver, u->a, out, e));
    const sm_type *schema = (*out)->root->schema;
    const sm_type *type = schema->fields[0].type;
    if (schema->n_fields != 1 || !(sm_type_is_number(type->id) || type->id == SM_TYPE_NULL)) {
        return sm_fail(e, SM_TYPE, "the query gives no number");
    }
    return SM_OK;
}

sm_status smi_audit_query(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0, n_rows = 0;

    SM_TRY(plan_query(u, r, &plan, e));
    SM_TRY(sm_exec_collect(plan, u->in->env, u->a, &rows, &n, NULL, e));
    out->measure = NAN;
    for (int64_t i = 0; i < n; i++) {
        out->measure = rows[i]->n_rows > 0 ? number_of(&rows[i]->columns[0], 0) : out->measure;
        n_rows += rows[i]->n_rows;
        sm_batch_release(rows[i]);
    }
    return n_rows <= 1 ? SM_OK : sm_fail(e, SM_TYPE, "the query gives more than one row");
}

/* ---- what a rule reads ----------------------------------------------------------------------- */

sm_status smi_audit_ask(smi_audit *u, const sm_rule *r, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(u->a, sm_str, r->n_columns + 1);
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    switch (r->kind) {
    case SM_RULE_REFERENCE:
        return smi_audit_target(u, r, &rows, e);
    case SM_RULE_GROUP:
        return make_groups(u, r, names, &rows, e);
    case SM_RULE_QUERY:
        return plan_query(u, r, &plan, e);
    default:
        return SM_OK;
    }
}

/* ---- what a query names ---------------------------------------------------------------------- */

static bool is_own(const sm_contract_table *t, const sm_table_name *n)
{
    return n->n_parts == 1 && (sm_str_is(n->parts[0], OBJECT) || sm_str_is(n->parts[0], FILES) ||
                               sm_str_eq_nocase(n->parts[0], t->name));
}

static sm_status query_tables(const smi_audit *u, const sm_rule *r, sm_table_name **out, int32_t *n,
                              sm_error *e)
{
    sm_buf text = {0};
    sm_table_name *all = NULL;
    int32_t n_all = 0;

    const sm_status st = print_query(u, r, &text, e);
    const sm_sql sql = {.name = r->name, .text = sm_arena_take(u->a, &text)};
    SM_TRY(st);
    SM_TRY(sm_query_tables(&sql, u->a, &all, &n_all, e));
    *out = all;
    for (int32_t i = 0; i < n_all; i++) {
        if (!is_own(u->in->table, &all[i])) {
            (*out)[(*n)++] = all[i];
        }
    }
    return SM_OK;
}

sm_status sm_rule_tables(const sm_contract *c, const sm_contract_table *table, const sm_rule *r,
                         sm_arena *a, sm_table_name **out, int32_t *n, sm_error *e)
{
    const sm_audit in = {.contract = c, .table = table};
    const smi_audit u = {.in = &in, .a = a};

    *n = 0;
    if (r->kind == SM_RULE_QUERY) {
        return smi_at_rule(c, r, query_tables(&u, r, out, n, e), e);
    }
    if (r->kind == SM_RULE_REFERENCE) {
        *out = SM_NEW(a, sm_table_name);
        **out = (sm_table_name){.parts = &r->other_table, .n_parts = 1};
        *n = 1;
    }
    return SM_OK;
}

/* ---- rules of a run -------------------------------------------------------------------------- */

static bool is_of_run(const sm_rule *r)
{
    static const sm_str files = {FILES, 7};

    return r->kind == SM_RULE_QUERY && memmem(r->text.data, r->text.len, files.data, files.len);
}

void sm_contract_leave_files(sm_contract *c, sm_arena *a)
{
    int64_t cap = c->n_notes;

    for (int64_t i = 0; i < c->n_tables; i++) {
        sm_contract_table *t = &c->tables[i];
        sm_rule *left = SM_NEW_ARRAY(a, sm_rule, t->n_rules + 1);
        int64_t n = 0;
        for (int64_t k = 0; k < t->n_rules; k++) {
            const sm_rule *r = &t->rules[k];
            if (!is_of_run(r)) {
                left[n++] = *r;
                continue;
            }
            c->notes = sm_arena_grow(a, c->notes, c->n_notes, &cap, sizeof(*c->notes));
            c->notes[c->n_notes++] = (sm_contract_note){
                .text = sm_arena_strf(a, "rule \"%.*s\" is of the files that a run reads",
                                      SM_STR_ARG(r->name)),
                .at = r->at};
        }
        t->rules = left;
        t->n_rules = n;
    }
}
