/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_facts.c: what contract_infer.c and contract_profile.c share, which look at all
 * values of columns: many aggregates over one pass, and values as texts for people. */
#include <math.h>

#include "base/text.h"
#include "base/time.h"
#include "contract/contract_int.h"

void smi_items_begin(smi_items *m)
{
    *m = (smi_items){.env = m->env, .a = m->a};
}

sm_status smi_items_add(smi_items *m, const char *name, const sm_expr *x, const sm_expr *filter,
                        int32_t *at, sm_error *e)
{
    m->items = sm_arena_grow(m->a, m->items, m->n, &m->cap, sizeof(*m->items));
    m->items[m->n] = (sm_agg_item){.filter = filter};
    SM_TRY(sm_expr_call(name, &x, x ? 1 : 0, m->a, &m->items[m->n].call, e));
    *at = m->n++;
    return SM_OK;
}

sm_status smi_items_run(const smi_items *m, const sm_plan_node *rows, sm_batch **out,
                        sm_exec_report *report, sm_error *e)
{
    const sm_plan_node *root = NULL;
    sm_plan *plan = NULL;
    sm_batch **batches = NULL;
    int64_t n = 0;

    SM_TRY(sm_plan_aggregate(rows, NULL, 0, m->items, m->n, m->a, &root, e));
    SM_TRY(sm_plan_finish(root, m->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, m->env, m->a, &batches, &n, report, e));
    SM_ENSURE(n == 1 && batches[0]->n_rows == 1); /* without keys there is one row */
    *out = batches[0];
    return SM_OK;
}

int64_t smi_whole_at(const sm_batch *row, int32_t column)
{
    const sm_value v = sm_column_value(&row->columns[column], 0);

    return v.is_null ? 0 : v.as.i;
}

/* An infinity of a type; NULL: it has none. */
static const sm_expr *infinity(const sm_type *t, int sign, sm_arena *a)
{
    sm_value v = {.type = t};

    switch (t->id) {
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        v = (sm_value){.type = &sm_type_f64, .as.f = sign * (double)INFINITY};
        break;
    case SM_TYPE_DATE:
        v.as.i = sign * (int64_t)SM_DATE_INFINITY;
        break;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        v.as.i = sign * SM_TIMESTAMP_INFINITY;
        break;
    default:
        return NULL;
    }
    return sm_expr_constant(v, a);
}

sm_status smi_is_finite(const sm_expr *x, sm_arena *a, const sm_expr **out, sm_error *e)
{
    const sm_expr *const low[] = {x, infinity(x->type, -1, a)};
    const sm_expr *const high[] = {x, infinity(x->type, 1, a)};
    const sm_expr *parts[2];

    *out = NULL;
    if (!low[1]) {
        return SM_OK;
    }
    SM_TRY(sm_expr_call(">", low, 2, a, &parts[0], e));
    SM_TRY(sm_expr_call("<", high, 2, a, &parts[1], e)); /* NaN is greater than infinity */
    return sm_expr_and(parts, 2, a, out, e);
}

void smi_print_short(sm_value v, size_t most_bytes, sm_buf *out)
{
    sm_buf text = {0};

    sm_value_print(v, &text);
    const bool is_cut = text.len > most_bytes;
    const size_t n =
        is_cut ? sm_utf8_check(text.data, most_bytes) : text.len; /* no half of a character */
    sm_buf_text(out, (sm_str){(const char *)text.data, n});
    sm_buf_text(out, is_cut ? SM_STR("...") : SM_STR(""));
    sm_buf_release(&text);
}
