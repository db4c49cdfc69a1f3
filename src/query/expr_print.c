/* SPDX-License-Identifier: Apache-2.0
 *
 * query/expr_print.c: expressions and plans as text, for EXPLAIN and tests; and expressions as SQL
 * which, parsed and bound again, means the same. Of a plan each node is a line; its inputs are
 * below it, indented by two spaces. */
#include <math.h>

#include "base/quote.h"
#include "query/function/function_int.h"
#include "query/parse/parse_int.h"

/* ---- expressions ----------------------------------------------------------------------------- */

void smi_print_name(sm_str name, sm_buf *out)
{
    bool is_plain = name.len > 0 && !smi_is_reserved(name);
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.data[i];
        is_plain = is_plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                                (uint8_t)c >= 0x80 || (i > 0 && c >= '0' && c <= '9'));
    }
    if (is_plain) {
        sm_buf_text(out, name);
    } else {
        sm_buf_quoted(out, name, '"');
    }
}

static void print_value(sm_value v, sm_buf *out);

/* Has a literal that prints like the value its type? A map does not adapt to others as it does. */
static bool is_typed_literal(sm_value v)
{
    const sm_type_id id = v.type->id;
    return !v.is_null && (id == SM_TYPE_BOOL || id == SM_TYPE_I32 || id == SM_TYPE_STRING ||
                          id == SM_TYPE_DATE || id == SM_TYPE_TIMESTAMP_NTZ || id == SM_TYPE_MAP);
}

/* The first key and value say the map's type; the others adapt to them. */
static void print_map(sm_value v, sm_buf *out)
{
    SM_ASSERT(v.type->id == SM_TYPE_MAP && v.as.nested.n % 2 == 0);
    sm_buf_text(out, SM_STR("MAP {"));
    for (int64_t i = 0; i < v.as.nested.n; i++) {
        sm_buf_text(out, i == 0 ? SM_STR("") : i % 2 == 0 ? SM_STR(", ") : SM_STR(": "));
        const sm_value item = v.as.nested.items[i];
        const bool is_cast = i < 2 && !is_typed_literal(item);
        sm_buf_text(out, is_cast ? SM_STR("CAST(") : SM_STR(""));
        print_value(item, out);
        if (is_cast) {
            sm_buf_text(out, SM_STR(" AS "));
            sm_type_print(item.type, out);
            sm_buf_text(out, SM_STR(")"));
        }
    }
    sm_buf_text(out, SM_STR("}"));
}

static void print_value(sm_value v, sm_buf *out)
{
    if (v.is_null) {
        sm_buf_text(out, SM_STR("NULL"));
        return;
    }
    if (v.type->id == SM_TYPE_MAP) {
        print_map(v, out);
        return;
    }
    const sm_type_id id = v.type->id;
    const bool is_plain = sm_type_is_number(id) || id == SM_TYPE_BOOL;
    if (id == SM_TYPE_DATE) {
        sm_buf_text(out, SM_STR("DATE "));
    } else if (id == SM_TYPE_TIMESTAMP_NTZ) {
        sm_buf_text(out, SM_STR("TIMESTAMP "));
    }
    if ((id == SM_TYPE_F32 || id == SM_TYPE_F64) && !isfinite(v.as.f)) { /* no literal is */
        sm_buf_text(out, SM_STR("CAST('"));
        sm_value_print(v, out);
        sm_buf_text(out, id == SM_TYPE_F64 ? SM_STR("' AS DOUBLE)") : SM_STR("' AS FLOAT)"));
        return;
    }
    if (is_plain) {
        sm_value_print(v, out);
        return;
    }
    sm_buf text = {0};
    sm_value_print(v, &text);
    sm_buf_quoted(out, sm_buf_str(&text), '\'');
    sm_buf_release(&text);
}

typedef struct printing {
    const sm_type *input;
    sm_buf *out;
    bool quotes_names; /* all of them; else those that need it */
    bool is_outermost; /* no parentheses around the expression that comes next */
} printing;

static void print_expr(printing *p, const sm_expr *x);

static void put(const printing *p, const char *text)
{
    sm_buf_text(p->out, sm_str_of(text));
}

static void print_column_name(const printing *p, sm_str name)
{
    if (p->quotes_names) {
        sm_buf_quoted(p->out, name, '"');
    } else {
        smi_print_name(name, p->out);
    }
}

static void print_args(printing *p, const sm_expr *const *args, int32_t n, const char *sep)
{
    for (int32_t i = 0; i < n; i++) {
        put(p, i > 0 ? sep : "");
        print_expr(p, args[i]);
    }
}

static void print_map_call(printing *p, const sm_expr *x)
{
    put(p, "MAP {");
    for (int32_t i = 0; i < x->n_args; i++) {
        put(p, i == 0 ? "" : i % 2 == 0 ? ", " : ": ");
        print_expr(p, x->args[i]);
    }
    put(p, "}");
}

static void print_call(printing *p, const sm_expr *x, bool is_outermost)
{
    const sm_expr *const call = smi_wraps(x) ? x->prepared : x;
    const bool is_distinct = x->fn == &smi_fn_distinct;
    const char *const name = call->fn->name;
    const char first = name[0];
    const bool is_sign = !((first >= 'a' && first <= 'z') || first == '_');
    const bool is_infix =
        x->n_args == 2 && (is_sign || strcmp(name, "like") == 0 || strcmp(name, "ilike") == 0);
    if (is_infix) {
        put(p, is_outermost ? "" : "(");
        print_expr(p, x->args[0]);
        sm_buf_printf(p->out, " %s ", name);
        print_expr(p, x->args[1]);
        put(p, is_outermost ? "" : ")");
        return;
    }
    if (strcmp(name, "is_null") == 0 || strcmp(name, "is_not_null") == 0) {
        print_expr(p, x->args[0]);
        put(p, strcmp(name, "is_null") == 0 ? " IS NULL" : " IS NOT NULL");
        return;
    }
    if (strcmp(name, "map {}") == 0) {
        print_map_call(p, x);
        return;
    }
    sm_buf_printf(p->out, "%s(%s", name, is_distinct ? "DISTINCT " : "");
    print_args(p, x->args, x->n_args, ", ");
    if (x->n_args == 0 && strcmp(name, "count") == 0) {
        put(p, "*");
    }
    put(p, ")");
}

static void print_case(printing *p, const sm_expr *x)
{
    put(p, "CASE");
    for (int32_t i = 0; i + 1 < x->n_args; i += 2) {
        put(p, " WHEN ");
        print_expr(p, x->args[i]);
        put(p, " THEN ");
        print_expr(p, x->args[i + 1]);
    }
    if (!smi_is_const_null(x->args[x->n_args - 1])) {
        put(p, " ELSE ");
        print_expr(p, x->args[x->n_args - 1]);
    }
    put(p, " END");
}

static void print_expr(printing *p, const sm_expr *x)
{
    const bool is_outermost = p->is_outermost;
    p->is_outermost = false;
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        if (p->input && x->index < p->input->n_fields) {
            print_column_name(p, p->input->fields[x->index].name);
        } else {
            sm_buf_printf(p->out, "#%d", x->index);
        }
        return;
    case SM_EXPR_CONST:
        print_value(x->value, p->out);
        return;
    case SM_EXPR_PARAM:
        sm_buf_printf(p->out, "$%d", x->index);
        return;
    case SM_EXPR_CALL:
        print_call(p, x, is_outermost);
        return;
    case SM_EXPR_CAST:
        put(p, x->is_try ? "TRY_CAST(" : "CAST(");
        print_expr(p, x->args[0]);
        put(p, " AS ");
        sm_type_print(x->type, p->out);
        put(p, ")");
        return;
    case SM_EXPR_AND:
    case SM_EXPR_OR:
        put(p, is_outermost ? "" : "(");
        print_args(p, x->args, x->n_args, x->kind == SM_EXPR_AND ? " AND " : " OR ");
        put(p, is_outermost ? "" : ")");
        return;
    case SM_EXPR_CASE:
        print_case(p, x);
        return;
    case SM_EXPR_IN:
        print_expr(p, x->args[0]);
        put(p, " IN (");
        print_args(p, x->args + 1, x->n_args - 1, ", ");
        put(p, ")");
        return;
    case SM_EXPR_FIELD:
        print_expr(p, x->args[0]);
        put(p, ".");
        print_column_name(p, x->args[0]->type->fields[x->index].name);
        return;
    default:
        sm_buf_printf(p->out, "?%d", x->index);
        return;
    }
}

void sm_expr_print(const sm_expr *x, const sm_type *input, sm_buf *out)
{
    printing p = {.input = input, .out = out};
    print_expr(&p, x);
}

void sm_expr_sql(const sm_expr *x, const sm_type *input, sm_buf *out)
{
    printing p = {.input = input, .out = out, .quotes_names = true, .is_outermost = true};
    print_expr(&p, x);
}

static void print_list(const sm_expr *const *args, int32_t n, const sm_type *input, sm_buf *out)
{
    printing p = {.input = input, .out = out};
    print_args(&p, args, n, ", ");
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void print_bounds(const sm_plan_node *n, sm_buf *out)
{
    static const char *const signs[] = {" = ", " < ", " <= ", " > ", " >= "};
    _Static_assert(SM_BOUND_EQ == 0 && SM_COUNT(signs) == SM_BOUND_GE + 1, "one for each operator");
    const sm_bounds bounds = n->as.scan.want.bounds;
    for (int32_t i = 0; i < bounds.n; i++) {
        const sm_bound *const b = &bounds.items[i];
        const sm_type *t = n->as.scan.dataset->schema;
        sm_buf_text(out, i == 0 ? SM_STR(" bounds: ") : SM_STR(" AND "));
        for (int32_t k = 0; k < b->n_path; k++) {
            sm_buf_text(out, k > 0 ? SM_STR(".") : SM_STR(""));
            smi_print_name(t->fields[b->path[k]].name, out);
            t = t->fields[b->path[k]].type;
        }
        if (b->op == SM_BOUND_IS_NULL || b->op == SM_BOUND_NOT_NULL) {
            sm_buf_text(out,
                        b->op == SM_BOUND_IS_NULL ? SM_STR(" IS NULL") : SM_STR(" IS NOT NULL"));
        } else if (b->op == SM_BOUND_IN) {
            sm_buf_printf(out, " IN (%d values)", b->n_values);
        } else {
            sm_buf_text(out, sm_str_of(signs[b->op]));
            print_value(b->value, out);
        }
    }
}

/* Of a struct that is read in part the fields that are: (a, b(c)). */
static void print_fields(const sm_type *stored, const sm_type *read, sm_buf *out)
{
    if (stored->id != SM_TYPE_STRUCT || sm_type_eq(stored, read)) {
        return;
    }
    for (int32_t i = 0, at = 0; i < read->n_fields; i++, at++) {
        while (!sm_str_eq(stored->fields[at].name, read->fields[i].name)) {
            SM_ASSERT(at + 1 < stored->n_fields); /* opt_fields.c keeps their order */
            at++;
        }
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR("("));
        smi_print_name(read->fields[i].name, out);
        print_fields(stored->fields[at].type, read->fields[i].type, out);
    }
    sm_buf_text(out, SM_STR(")"));
}

static void print_scan(const sm_plan_node *n, sm_buf *out)
{
    sm_buf_printf(out, "SCAN %.*s [", SM_STR_ARG(n->as.scan.label));
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(""));
        const sm_field *const f = &n->as.scan.dataset->schema->fields[n->as.scan.columns[i]];
        smi_print_name(f->name, out);
        print_fields(f->type, n->schema->fields[i].type, out);
    }
    sm_buf_text(out, SM_STR("]"));
    print_bounds(n, out);
}

static void print_named(const sm_expr *x, const sm_type *input, sm_str name, sm_buf *out)
{
    const bool same = x->kind == SM_EXPR_COLUMN && sm_str_eq(input->fields[x->index].name, name);
    sm_expr_print(x, input, out);
    if (!same && name.len > 0) {
        sm_buf_text(out, SM_STR(" AS "));
        smi_print_name(name, out);
    }
}

static void print_project(const sm_plan_node *n, sm_buf *out)
{
    sm_buf_text(out, SM_STR("PROJECT "));
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(""));
        print_named(n->as.project.exprs[i], n->inputs[0]->schema, n->schema->fields[i].name, out);
    }
}

static void print_aggregate(const sm_plan_node *n, sm_buf *out)
{
    const sm_type *const input = n->inputs[0]->schema;
    sm_buf_text(out, SM_STR("AGGREGATE"));
    if (n->as.aggregate.n_keys > 0) {
        sm_buf_text(out, SM_STR(" by "));
        print_list(n->as.aggregate.keys, n->as.aggregate.n_keys, input, out);
    }
    for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
        const sm_agg_item *const item = &n->as.aggregate.items[i];
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(": "));
        sm_expr_print(item->call, input, out);
        if (item->filter) {
            sm_buf_text(out, SM_STR(" FILTER ("));
            sm_expr_print(item->filter, input, out);
            sm_buf_text(out, SM_STR(")"));
        }
    }
}

static void print_join(const sm_plan_node *n, sm_buf *out)
{
    static const char *const kinds[] = {"INNER", "LEFT", "CROSS"};
    _Static_assert(SM_COUNT(kinds) == SM_JOIN_CROSS + 1, "one for each kind of join");
    sm_buf_printf(out, "JOIN %s", kinds[n->as.join.kind]);
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        sm_buf_text(out, i > 0 ? SM_STR(" AND ") : SM_STR(" on "));
        sm_expr_print(n->as.join.left_keys[i], n->inputs[0]->schema, out);
        sm_buf_text(out, SM_STR(" = "));
        sm_expr_print(n->as.join.right_keys[i], n->inputs[1]->schema, out);
    }
    if (n->as.join.on) {
        sm_buf_text(out, n->as.join.n_keys > 0 ? SM_STR(" AND ") : SM_STR(" on "));
        sm_expr_print(n->as.join.on, n->schema, out);
    }
}

static void print_sort_keys(const sm_sort_key *keys, int32_t n, const sm_type *input, sm_buf *out)
{
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(""));
        sm_expr_print(keys[i].expr, input, out);
        sm_buf_text(out, keys[i].is_desc ? SM_STR(" DESC") : SM_STR(""));
        sm_buf_text(out, keys[i].nulls_first ? SM_STR(" NULLS FIRST") : SM_STR(""));
    }
}

static void print_window(const sm_plan_node *n, sm_buf *out)
{
    const sm_type *const input = n->inputs[0]->schema;
    sm_buf_text(out, SM_STR("WINDOW "));
    for (int32_t i = 0; i < n->as.window.n_items; i++) {
        const sm_window_item *const item = &n->as.window.items[i];
        sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(""));
        sm_expr_print(item->call, input, out);
        sm_buf_text(out, SM_STR(" OVER ("));
        if (item->n_partition > 0) {
            sm_buf_text(out, SM_STR("PARTITION BY "));
            print_list(item->partition, item->n_partition, input, out);
        }
        if (item->n_order > 0) {
            sm_buf_text(out, item->n_partition > 0 ? SM_STR(" ORDER BY ") : SM_STR("ORDER BY "));
            print_sort_keys(item->order, item->n_order, input, out);
        }
        sm_buf_text(out, SM_STR(")"));
    }
}

static void print_check(const sm_plan_node *n, sm_buf *out)
{
    for (int32_t i = 0; i < n->as.check.n_checks; i++) {
        const sm_check *const c = &n->as.check.checks[i];
        sm_buf_printf(out, "%s %.*s: ", i > 0 ? "," : "CHECK", SM_STR_ARG(c->name));
        sm_expr_print(c->holds, n->inputs[0]->schema, out);
        sm_buf_printf(out, " else %s", sm_policy_name(c->action));
        if (c->action == SM_POLICY_NULL) {
            sm_buf_printf(out, " %.*s", SM_STR_ARG(n->schema->fields[c->column].name));
        }
    }
}

static void print_node(const sm_plan_node *n, sm_buf *out)
{
    switch (n->kind) {
    case SM_PLAN_SCAN:
        print_scan(n, out);
        return;
    case SM_PLAN_VALUES:
        sm_buf_printf(out, "VALUES %lld row%s", (long long)n->as.values.n_rows,
                      n->as.values.n_rows == 1 ? "" : "s");
        return;
    case SM_PLAN_FILTER:
        sm_buf_text(out, SM_STR("FILTER "));
        sm_expr_print(n->as.filter.where, n->inputs[0]->schema, out);
        return;
    case SM_PLAN_PROJECT:
        print_project(n, out);
        return;
    case SM_PLAN_AGGREGATE:
        print_aggregate(n, out);
        return;
    case SM_PLAN_JOIN:
        print_join(n, out);
        return;
    case SM_PLAN_WINDOW:
        print_window(n, out);
        return;
    case SM_PLAN_SORT:
        sm_buf_text(out, SM_STR("SORT "));
        print_sort_keys(n->as.sort.keys, n->as.sort.n_keys, n->schema, out);
        if (n->as.sort.limit >= 0) {
            sm_buf_printf(out, " limit %lld", (long long)n->as.sort.limit);
        }
        return;
    case SM_PLAN_LIMIT:
        sm_buf_text(out, SM_STR("LIMIT"));
        if (n->as.limit.limit >= 0) {
            sm_buf_printf(out, " %lld", (long long)n->as.limit.limit);
        }
        if (n->as.limit.offset > 0) {
            sm_buf_printf(out, " OFFSET %lld", (long long)n->as.limit.offset);
        }
        return;
    case SM_PLAN_UNION:
        sm_buf_text(out, SM_STR("UNION ALL"));
        return;
    case SM_PLAN_CHECK:
        print_check(n, out);
        return;
    }
}

typedef void (*note_fn)(void *ctx, const sm_plan_node *n, sm_buf *out);

static void print_tree(const sm_plan_node *n, int depth, note_fn note, void *ctx, sm_buf *out)
{
    sm_buf_printf(out, "%*s", depth * 2, "");
    print_node(n, out);
    if (note) {
        note(ctx, n, out);
    }
    sm_buf_text(out, SM_STR("\n"));
    for (int32_t i = 0; i < n->n_inputs; i++) {
        print_tree(n->inputs[i], depth + 1, note, ctx, out);
    }
}

void sm_plan_print(const sm_plan *p, note_fn note, void *ctx, sm_buf *out)
{
    print_tree(p->root, 0, note, ctx, out);
    for (int32_t i = 0; i < p->n_params; i++) {
        sm_buf_printf(out, "$%d:\n", i);
        print_tree(p->params[i].root, 1, note, ctx, out);
    }
}
