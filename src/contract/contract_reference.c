/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_reference.c: names of columns in a contract: of its own table, and of the
 * tables that `relationships` refer to. Called by contract_read.c and contract_quality.c.
 *
 * Source   Open Data Contract Standard v3.1.0, docs/schema.md, docs/references.md */
#include "contract/contract_int.h"

/* "table.column", or a list of such. */
static sm_status read_ends(const smi_reading *r, const sm_yaml *node, const char *what,
                           sm_str *table, sm_str **columns, int32_t *n, sm_error *e)
{
    const sm_yaml *item = node->type == SM_YAML_LIST ? node->child : node;

    *columns = SM_NEW_ARRAY(r->arena, sm_str, node->n_children + 1);
    for (; item; item = node->type == SM_YAML_LIST ? item->next : NULL) {
        sm_str text = {0};
        SM_TRY(sm_yaml_text(r->d, item, what, &text, e));
        const char *dot = memchr(text.data, '.', text.len);
        if (memchr(text.data, '/', text.len)) {
            const sm_status st =
                sm_fail(e, SM_UNSUPPORTED, "%s is a reference by id, which is not followed", what);
            sm_error_todo(e, "Write table.column.");
            return sm_yaml_at(r->d, item->at, st, e);
        }
        const sm_str first = {text.data, dot ? (size_t)(dot - text.data) : 0};
        if (first.len == 0 || first.len + 1 == text.len) {
            return sm_yaml_at(
                r->d, item->at,
                sm_fail(e, SM_INVALID, "%s is table.column, not \"%.*s\"", what, SM_STR_ARG(text)),
                e);
        }
        if (*n > 0 && !sm_str_eq(first, *table)) {
            return sm_yaml_at(r->d, item->at,
                              sm_fail(e, SM_INVALID, "%s names columns of two tables", what), e);
        }
        *table = first;
        (*columns)[(*n)++] = (sm_str){dot + 1, text.len - first.len - 1};
    }
    return *n > 0 ? SM_OK
                  : sm_yaml_at(r->d, node->key->at, sm_fail(e, SM_SYNTAX, "%s is empty", what), e);
}

/* The column of a path; SM_NAME with the nearest. */
static sm_status column_named(const smi_reading *r, sm_str path, sm_yaml_place at, int32_t *out,
                              sm_error *e)
{
    const sm_contract_table *t = r->table;
    const int32_t i = (int32_t)(intptr_t)sm_map_get(r->columns, sm_text_lower(path, r->arena)) - 1;

    if (i >= 0 && sm_str_eq(t->columns[i].path, path)) {
        *out = i;
        return SM_OK;
    }
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, t->n_columns + 1);
    for (int64_t k = 0; k < t->n_columns; k++) {
        names[k] = t->columns[k].path;
    }
    return sm_yaml_fail_word(
        r->d, at, sm_arena_printf(r->arena, "table %.*s has no column", SM_STR_ARG(t->name)), path,
        names, (int32_t)t->n_columns, e);
}

sm_status smi_find_column(const smi_reading *r, const sm_yaml *path, int32_t *out, sm_error *e)
{
    sm_str text = {0};

    SM_TRY(sm_yaml_text(r->d, path, "the name of a column", &text, e));
    return column_named(r, text, path->at, out, e);
}

sm_status smi_find_columns(const smi_reading *r, const sm_yaml *paths, const char *what,
                           sm_rule *rule, sm_error *e)
{
    const bool is_list = paths->type == SM_YAML_LIST;
    int32_t *columns = SM_NEW_ARRAY(r->arena, int32_t, paths->n_children + 1);

    rule->columns = columns;
    for (const sm_yaml *i = is_list ? paths->child : paths; i; i = is_list ? i->next : NULL) {
        SM_TRY(smi_find_column(r, i, &columns[rule->n_columns++], e));
    }
    return rule->n_columns > 0
               ? SM_OK
               : sm_yaml_at(r->d, paths->key->at, sm_fail(e, SM_SYNTAX, "%s is empty", what), e);
}

/* The columns that a reference goes from. */
static sm_status read_from(const smi_reading *r, const sm_yaml *node, sm_rule *rule, sm_error *e)
{
    sm_str table = {0}, *names = NULL;
    int32_t n = 0;

    SM_TRY(read_ends(r, node, "from", &table, &names, &n, e));
    if (!sm_str_eq(table, r->table->name)) {
        return sm_yaml_fail_word(r->d, node->at, "from is of this table, not of", table,
                                 &r->table->name, 1, e);
    }
    int32_t *columns = SM_NEW_ARRAY(r->arena, int32_t, n);
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(column_named(r, names[i], node->at, &columns[i], e));
    }
    rule->columns = columns;
    rule->n_columns = n;
    return SM_OK;
}

/* column −1: of the table, with `from`. */
static sm_status read_relationship(smi_reading *r, const sm_yaml *map, int32_t column,
                                   const smi_custom *outer, sm_error *e)
{
    static const char *const keys[] = {"id", "type", "to", "customProperties", "from", NULL};
    smi_custom custom = *outer;
    sm_yaml_fields f;
    sm_str *names = NULL;
    int32_t n = 0;
    sm_rule rule = {.kind = SM_RULE_REFERENCE, .column = column, .at = map->at};

    SM_TRY(sm_yaml_fields_read(r->d, map, "a relationship", keys, &f, e));
    SM_TRY(smi_read_custom(r, f.values[3], SMI_AT_RULE, &custom, e));
    if (!f.has[2] || f.has[4] == (column >= 0)) {
        return sm_yaml_at(r->d, f.at,
                          sm_fail(e, SM_SYNTAX, "a relationship of a %s has %s",
                                  column >= 0 ? "property" : "table",
                                  column >= 0 ? "to, and no from" : "from and to"),
                          e);
    }
    if (column >= 0) {
        int32_t *own = SM_NEW(r->arena, int32_t);
        *own = column;
        rule.columns = own;
        rule.n_columns = 1;
    } else {
        SM_TRY(read_from(r, f.values[4], &rule, e));
    }
    SM_TRY(read_ends(r, f.values[2], "to", &rule.other_table, &names, &n, e));
    rule.other_columns = names;
    return n == rule.n_columns
               ? smi_rule_add(r, &rule, &custom, e)
               : sm_yaml_at(r->d, f.places[2],
                            sm_fail(e, SM_INVALID, "%d columns refer to %d", rule.n_columns, n), e);
}

sm_status smi_read_relationships(smi_reading *r, const sm_yaml *list, sm_yaml_place at,
                                 int32_t column, const smi_custom *custom, sm_error *e)
{
    SM_TRY(sm_yaml_want(r->d, list, at, SM_YAML_LIST, "relationships", e));
    for (const sm_yaml *item = list->child; item; item = item->next) {
        SM_TRY(read_relationship(r, item, column, custom, e));
    }
    return SM_OK;
}
