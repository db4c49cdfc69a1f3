/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_searches.c: the searches (contract_repeats.c) of all rules about duplicates of
 * a table, in one pass over its rows. Called by contract_audit.c, contract_guard.c and
 * contract_watch.c.
 *
 * Columns  A hash of the key of each rule stands behind those of the rows, in a projection below
 *          what takes it: what an expression of one column is, is computed once for its equal
 *          values, and each row must be taken. */
#include "contract/contract_int.h"

static bool is_of_duplicates(const sm_rule *r)
{
    return r->kind == SM_RULE_UNIQUE || r->kind == SM_RULE_PRIMARY_KEY ||
           r->kind == SM_RULE_DUPLICATE_VALUES;
}

/* The key of a rule about duplicates; NULL: its columns can be none, as the audit will say. */
static const sm_expr **key_of(const smi_audit *u, const sm_rule *r)
{
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns + 1);

    for (int32_t i = 0; i < r->n_columns; i++) {
        keys[i] = u->columns[r->columns[i]];
        if (sm_type_is_nested(keys[i]->type->id)) {
            return NULL;
        }
    }
    return keys;
}

/* Has the plan itself one row for each key? */
static bool is_proved(const smi_audit *u, const sm_expr *const *keys, int32_t n)
{
    return u->from && sm_plan_is_unique(u->from, keys, n, u->a);
}

void smi_searches_begin(smi_searches *s, const smi_audit *u, bool of_mending, size_t room_bytes)
{
    const sm_contract_table *t = u->in->table;
    const sm_expr ***keys = SM_NEW_ARRAY(u->a, const sm_expr **, t->n_rules + 1);

    *s = (smi_searches){.of_rule = SM_NEW_ARRAY(u->a, smi_search *, t->n_rules + 1),
                        .rules = SM_NEW_ARRAY(u->a, const sm_rule *, t->n_rules + 1),
                        .hashes = SM_NEW_ARRAY(u->a, const sm_expr *, t->n_rules + 1)};
    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_rule *r = &t->rules[i];
        if (is_of_duplicates(r) && (of_mending || !smi_mends(r->action))) {
            keys[s->n] = key_of(u, r);
            s->rules[s->n] = r;
            s->n += keys[s->n] && !is_proved(u, keys[s->n], r->n_columns);
        }
    }
    for (int32_t i = 0; i < s->n; i++) {
        smi_search *one = smi_search_new(u->in->env, room_bytes / (size_t)s->n, u->a);
        s->hashes[i] = smi_search_hash(keys[i], s->rules[i]->n_columns, u->a);
        s->of_rule[s->rules[i] - t->rules] = one;
    }
    s->table = t;
}

const sm_plan_node *smi_searches_rows(const smi_searches *s, const sm_plan_node *rows, sm_arena *a)
{
    const int32_t n = rows->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + s->n);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + s->n);

    for (int32_t i = 0; i < n + s->n; i++) {
        exprs[i] = i < n ? sm_expr_column(rows->schema, i, a) : s->hashes[i - n];
        names[i] = i < n ? rows->schema->fields[i].name : SM_STR("hash");
    }
    return sm_plan_project(rows, exprs, names, n + s->n, a);
}

const sm_expr *smi_searches_take(const smi_searches *s, int32_t i, const sm_type *rows, sm_arena *a)
{
    SM_ASSERT(i >= 0 && i < s->n);
    return smi_search_take(s->of_rule[s->rules[i] - s->table->rules],
                           sm_expr_column(rows, rows->n_fields - s->n + i, a), a);
}

sm_status smi_searches_end(const smi_searches *s, sm_error *e)
{
    for (int32_t i = 0; i < s->n; i++) {
        SM_TRY(smi_search_end(s->of_rule[s->rules[i] - s->table->rules], e));
    }
    return SM_OK;
}

void smi_searches_free(smi_searches *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        smi_search_free(s->of_rule[s->rules[i] - s->table->rules]);
    }
    *s = (smi_searches){0};
}
