/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_constant.c: expressions that must be constants: LIMIT, cells of VALUES, arguments
 * of table functions. These arguments may be list and struct literals too, which stand nowhere else
 * in SQL; each becomes one value, its elements cast to the type that all of them meet in. */
#include "query/bind/bind_int.h"

/* ---- any constant ---------------------------------------------------------------------------- */

/* What could not be folded is no constant, or it failed: evaluated once more, it says why. */
sm_status smi_fail_constant(smi_bind *b, const smi_ast *ast, const sm_expr *x, sm_error *e)
{
    static const sm_type no_columns = {.id = SM_TYPE_STRUCT};
    sm_budget *const budget = sm_budget_new(NULL, "constant", 0);
    sm_batch *batch = NULL;
    sm_column c = {0};
    sm_status st = SM_OK;

    SM_ASSERT(x->kind != SM_EXPR_CONST);
    if (!smi_has_param(x) && b->scope.n == 0) {
        st = sm_batch_new(budget, &no_columns, &batch, e);
        if (st == SM_OK) {
            batch->n_rows = 1;
            st = sm_expr_eval(x, batch, NULL, batch, &c, e);
        }
    }
    sm_batch_release(batch);
    sm_budget_free(budget);
    return st != SM_OK ? st
                       : smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX, "expected a constant here");
}

static sm_status bind_folded(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    SM_TRY(smi_bind_expr(b, ast, out, e));
    return (*out)->kind == SM_EXPR_CONST ? SM_OK : smi_fail_constant(b, ast, *out, e);
}

sm_status smi_bind_constant(smi_bind *b, const smi_ast *ast, sm_value *out, sm_error *e)
{
    const sm_expr *x = NULL;
    SM_TRY(bind_folded(b, ast, &x, e));
    *out = x->value;
    out->type = smi_plain_type(x->type);
    return SM_OK;
}

/* ---- list and struct literals ---------------------------------------------------------------- */

/* The parser bounds how deep they nest: SMI_MAX_NESTING. */
static sm_status bind_literal(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e);

static sm_status bind_list(smi_bind *b, const smi_ast *ast, const sm_expr **items,
                           const sm_type **type, sm_error *e)
{
    sm_arena *const a = b->q->a;
    const sm_type *element = &sm_type_null;
    if (ast->n_args > 0) {
        SM_TRY(smi_meet_all(a, items, ast->n_args, SMI_MEET_ONE, &element, e));
    }
    for (int32_t i = 0; i < ast->n_args; i++) {
        items[i] = smi_cast(a, items[i], element);
        if (items[i]->kind != SM_EXPR_CONST) {
            return smi_fail_constant(b, ast->args[i], items[i], e);
        }
    }
    const sm_field field = {.name = SM_STR("element"), .type = element, .is_nullable = true};
    *type = sm_type_list(a, field);
    return SM_OK;
}

static const sm_type *struct_type(smi_bind *b, const smi_ast *ast, const sm_expr **items)
{
    sm_field *const fields = SM_NEW_ARRAY(b->q->a, sm_field, ast->n_args + 1);
    for (int32_t i = 0; i < ast->n_args; i++) {
        items[i] = smi_cast(b->q->a, items[i], smi_plain_type(items[i]->type));
        fields[i] = (sm_field){
            .name = ast->args[i]->arg_name,
            .type = items[i]->type,
            .is_nullable = true,
        };
    }
    return sm_type_struct(b->q->a, fields, ast->n_args);
}

static sm_status bind_nested(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr **const items = SM_NEW_ARRAY(b->q->a, const sm_expr *, ast->n_args + 1);
    sm_value *const values = SM_NEW_ARRAY(b->q->a, sm_value, ast->n_args + 1);
    const sm_type *type = NULL;

    for (int32_t i = 0; i < ast->n_args; i++) {
        SM_TRY(bind_literal(b, ast->args[i], &items[i], e));
    }
    if (ast->kind == SMI_AST_LIST) {
        SM_TRY(bind_list(b, ast, items, &type, e));
    } else {
        type = struct_type(b, ast, items);
    }
    for (int32_t i = 0; i < ast->n_args; i++) {
        SM_ASSERT(!smi_is_literal(items[i])); /* its type would not be an ordinary one */
        values[i] = items[i]->value;
    }
    const sm_value value = {.type = type, .as.nested = {values, ast->n_args}};
    *out = smi_const(b->q->a, value, &place);
    return SM_OK;
}

static bool is_nested_literal(const smi_ast *ast)
{
    return ast->kind == SMI_AST_LIST || ast->kind == SMI_AST_STRUCT;
}

static sm_status bind_literal(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    return is_nested_literal(ast) ? bind_nested(b, ast, out, e) : bind_folded(b, ast, out, e);
}

/* ---- arguments of table functions ------------------------------------------------------------ */

sm_status smi_bind_table_arg(smi_bind *b, const smi_ast *ast, sm_table_arg *out, sm_error *e)
{
    const sm_expr *x = NULL;

    SM_ASSERT(b->scope.n == 0);
    *out = (sm_table_arg){.name = ast->arg_name, .off_bytes = ast->off};
    /* name = value: there is no column that the name could be */
    if (ast->kind == SMI_AST_CALL && sm_str_is(ast->name, "=") && out->name.len == 0 &&
        ast->args[0]->kind == SMI_AST_COLUMN && ast->args[0]->n_parts == 1) {
        out->name = ast->args[0]->parts[0];
        ast = ast->args[1];
    }
    SM_TRY(bind_literal(b, ast, &x, e));
    out->value = x->value;
    out->value.type = smi_plain_type(x->type);
    if (is_nested_literal(ast)) {
        uint32_t *const offs = SM_NEW_ARRAY(b->q->a, uint32_t, ast->n_args + 1);
        for (int32_t i = 0; i < ast->n_args; i++) {
            offs[i] = ast->args[i]->off;
        }
        out->item_offs = offs;
    }
    return SM_OK;
}
