/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_make.c: a contract of one table that is made column by column and rule by rule.
 * Called by contract_infer.c and the files that import. */
#include "contract/contract_int.h"

sm_contract *smi_make_contract(smi_making *m, sm_str name, sm_arena *a)
{
    sm_contract *c = SM_NEW(a, sm_contract);

    *m = (smi_making){.t = SM_NEW(a, sm_contract_table), .a = a};
    m->t->name = m->t->physical = name;
    *c = (sm_contract){.id = name,
                       .version = SM_STR("0.1.0"),
                       .status = SM_STR("draft"),
                       .tables = m->t,
                       .n_tables = 1};
    return c;
}

int32_t smi_make_column(smi_making *m, sm_str name, int32_t parent, sm_logical_type logical)
{
    sm_contract_table *t = m->t;
    SM_ASSERT(parent < t->n_columns); /* parents come first */

    t->columns =
        sm_arena_grow(m->a, t->columns, t->n_columns, &m->cap_columns, sizeof(*t->columns));
    t->columns[t->n_columns] = (sm_contract_column){
        .name = name,
        .physical = name,
        .path = parent < 0 ? name
                           : sm_arena_strf(m->a, "%.*s.%.*s", SM_STR_ARG(t->columns[parent].path),
                                           SM_STR_ARG(name)),
        .parent = parent,
        .logical = logical,
    };
    return (int32_t)t->n_columns++;
}

sm_logical_type smi_logical_of(const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_BOOL:
        return SM_LOGICAL_BOOLEAN;
    case SM_TYPE_DATE:
        return SM_LOGICAL_DATE;
    case SM_TYPE_TIME:
        return SM_LOGICAL_TIME;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return SM_LOGICAL_TIMESTAMP;
    case SM_TYPE_LIST:
        return SM_LOGICAL_ARRAY;
    case SM_TYPE_STRUCT:
    case SM_TYPE_MAP:
        return SM_LOGICAL_OBJECT;
    default:
        return sm_type_is_bytes(t->id)     ? SM_LOGICAL_STRING
               : sm_type_is_integer(t->id) ? SM_LOGICAL_INTEGER
               : sm_type_is_number(t->id)  ? SM_LOGICAL_NUMBER
                                           : SM_LOGICAL_NONE;
    }
}

sm_rule *smi_make_rule(smi_making *m, sm_rule_kind kind, int32_t column)
{
    sm_contract_table *t = m->t;
    int32_t *own = SM_NEW(m->a, int32_t);
    SM_ASSERT(column >= -1 && column < t->n_columns);

    t->rules = sm_arena_grow(m->a, t->rules, t->n_rules, &m->cap_rules, sizeof(*t->rules));
    sm_rule *r = &t->rules[t->n_rules++];
    *own = column;
    *r = (sm_rule){.kind = kind, .column = column};
    if (column >= 0 && !sm_rule_info_of(kind)->is_row) {
        r->columns = own;
        r->n_columns = 1;
    }
    r->name = smi_rule_default_name(t, r, m->a);
    if (kind == SM_RULE_REQUIRED) {
        t->columns[column].is_required = true;
    }
    return r;
}
