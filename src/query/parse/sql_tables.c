/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_tables.c: finds the tables that a query names in any FROM: what a task of a
 * pipeline depends on. Tables of WITH do not count, nor those read AT a version: that is one which
 * is published already. */
#include "query/parse/parse_int.h"

#include <stdlib.h>

typedef struct collecting {
    sm_arena *a;
    sm_table_name *names;
    int64_t n, cap;
} collecting;

static bool is_same(const sm_table_name *name, const smi_from *f)
{
    bool same = name->n_parts == f->n_parts;
    for (int32_t i = 0; same && i < f->n_parts; i++) {
        same = sm_str_eq(name->parts[i], f->parts[i]);
    }
    return same;
}

static sm_status add_table(void *ctx, const smi_cte *ctes, const smi_from *f, sm_error *e)
{
    collecting *const c = ctx;

    if (f->kind != SMI_FROM_TABLE || f->n_args > 0 ||
        (f->n_parts == 1 && smi_cte_find(ctes, f->parts[0]))) {
        return SM_OK;
    }
    for (int64_t i = 0; i < c->n; i++) {
        if (is_same(&c->names[i], f)) {
            return SM_OK;
        }
    }
    c->names = sm_arena_grow(c->a, c->names, c->n, &c->cap, sizeof(*c->names));
    c->names[c->n++] = (sm_table_name){f->parts, f->n_parts, f->off};
    return SM_OK;
}

static int by_place(const void *x, const void *y)
{
    const uint32_t a = ((const sm_table_name *)x)->off_bytes;
    const uint32_t b = ((const sm_table_name *)y)->off_bytes;
    return (a > b) - (a < b);
}

sm_status sm_query_tables(const sm_sql *sql, sm_arena *a, sm_table_name **out, int32_t *n,
                          sm_error *e)
{
    collecting c = {.a = a};
    const smi_visitor visitor = {.ctx = &c, .from = add_table};
    smi_select *select = NULL;

    SM_TRY(smi_parse_select(sql, a, &select, e));
    SM_TRY(smi_walk(sql, select, &visitor, a, e));
    if (c.n > 1) {
        qsort(c.names, (size_t)c.n, sizeof(*c.names), by_place);
    }
    *out = c.names;
    *n = (int32_t)c.n;
    return SM_OK;
}
