/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/contract_fuzz.c: any bytes as a contract file. It is refused with words and a place;
 * or its row rules are bound over columns of the types that it says, which is refused with words or
 * gives a condition for each. What is read is written, and read again as the same. */
#include <stdio.h>
#include <stdlib.h>

#include "contract/contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "contract_fuzz: %s\n", what);
        abort();
    }
}

/* A type that a column may have by what the contract calls it. */
static const sm_type *type_of(sm_logical_type logical)
{
    switch (logical) {
    case SM_LOGICAL_INTEGER:
        return &sm_type_i64;
    case SM_LOGICAL_NUMBER:
        return &sm_type_f64;
    case SM_LOGICAL_DATE:
        return &sm_type_date;
    case SM_LOGICAL_TIMESTAMP:
        return &sm_type_timestamp;
    case SM_LOGICAL_TIME:
        return &sm_type_time;
    case SM_LOGICAL_BOOLEAN:
        return &sm_type_bool;
    default:
        return &sm_type_string;
    }
}

/* Rows with the columns of a table; fields of objects are left out, so such rules are refused. */
static const sm_type *schema_of(const sm_contract_table *t, sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_columns + 1);
    int32_t n = 0;

    for (int64_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i].parent < 0) {
            fields[n++] = (sm_field){.name = t->columns[i].physical,
                                     .type = type_of(t->columns[i].logical),
                                     .is_nullable = true};
        }
    }
    return sm_type_struct(a, fields, n);
}

static void bind_table(const sm_contract *c, const sm_contract_table *t, sm_arena *a)
{
    sm_bound_rule *rules = NULL;
    int64_t n = 0;
    sm_error e = {0};

    const sm_status st = sm_contract_bind(c, t, schema_of(t, a), NULL, a, &rules, &n, &e);
    expect(st == SM_OK || (e.what[0] && e.object[0]), "a table is refused without words or place");
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        expect(rules[i].holds->type->id == SM_TYPE_BOOL, "a rule is no condition");
        expect(rules[i].rule->name.len > 0, "a rule has no name");
    }
}

/* The text of a contract, and what it is once it was read and written again. */
static void write_again(const sm_contract *c, sm_arena *a)
{
    sm_contract *again = NULL;
    sm_buf texts[2] = {{0}};
    sm_error e = {0};

    sm_contract_write(c, a, &texts[0]);
    const sm_status st =
        sm_contract_read(SM_STR("again.yaml"), sm_buf_str(&texts[0]), a, &again, &e);
    expect(st == SM_OK, e.what);
    sm_contract_write(again, a, &texts[1]);
    expect(sm_str_eq(sm_buf_str(&texts[0]), sm_buf_str(&texts[1])), "it is written otherwise");
    sm_buf_release(&texts[0]);
    sm_buf_release(&texts[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > 65536) {
        return 0;
    }
    sm_budget *budget = sm_budget_new(NULL, "fuzz", 64 << 20);
    sm_arena *a = sm_arena_new(budget);
    sm_contract *c = NULL;
    sm_error e = {0};

    const sm_status st =
        sm_contract_read(SM_STR("c.yaml"), (sm_str){(const char *)data, n}, a, &c, &e);
    expect(st == SM_OK || (e.what[0] && e.object[0]), "an error without words or place");
    for (int64_t i = 0; st == SM_OK && i < c->n_tables; i++) {
        bind_table(c, &c->tables[i], a);
    }
    if (st == SM_OK) {
        write_again(c, a);
    }
    sm_arena_free(a);
    expect(sm_budget_used(budget) == 0, "memory was not given back");
    sm_budget_free(budget);
    return 0;
}
