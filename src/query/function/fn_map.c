/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_map.c: functions of MAPs: the literal MAP {…}, looking up a key, and the lists
 * of keys, values and entries.
 *
 * Memory    A list made of a MAP shares the MAP's memory and offsets.
 * Lookup    is a linear search of the row's entries, as maps have few. The keys of a MAP are
 *           distinct, so the first match is the only one.
 * NULL      A NULL argument gives NULL. None of the functions is strict all the same: for strict
 *           ones the evaluator makes the result's column, and it makes no nested ones. */
#include "query/function/function_int.h"

/* ---- binding --------------------------------------------------------------------------------- */

static bool op_is(const smi_call_bind *b, const char *name)
{
    return strcmp(b->fn->name, name) == 0;
}

static const sm_type *list_of(sm_arena *a, const sm_type *t)
{
    const sm_field element = {.name = SM_STR("element"), .type = t, .is_nullable = true};
    return sm_type_list(a, element);
}

static const sm_type *result_of(const smi_call_bind *b, const sm_type *map)
{
    SM_ASSERT(map->id == SM_TYPE_MAP && map->n_fields == 2);
    const sm_type *const value = map->fields[1].type;
    if (op_is(b, "map_keys")) {
        return list_of(b->a, map->fields[0].type);
    }
    if (op_is(b, "map_values") || op_is(b, "element_at") || op_is(b, "map_extract")) {
        return list_of(b->a, value);
    }
    if (op_is(b, "map_entries")) {
        return list_of(b->a, sm_type_struct(b->a, map->fields, 2));
    }
    return op_is(b, "cardinality")    ? &sm_type_u64
           : op_is(b, "map_contains") ? &sm_type_bool
                                      : value;
}

sm_status smi_bind_map(smi_call_bind *b, sm_error *e)
{
    const bool has_key = strstr(b->fn->signature, ", ") != NULL;
    const int32_t wanted = has_key ? 2 : 1;
    if (b->n_args != wanted) {
        return smi_expr_fail(b->place, e, SM_TYPE, "%s takes %d argument%s, not %d", b->fn->name,
                             wanted, wanted == 1 ? "" : "s", b->n_args);
    }
    const sm_type *const map = b->args[0]->type;
    if (map->id != SM_TYPE_MAP) {
        const sm_str t = smi_type_text(b->a, map);
        return smi_expr_fail(b->place, e, SM_TYPE, "%s takes a MAP, not %.*s", b->fn->name,
                             SM_STR_ARG(t));
    }
    if (has_key) {
        const sm_type *const key = map->fields[0].type;
        sm_expr a_key = *b->args[0];
        a_key.kind = SM_EXPR_COLUMN;
        a_key.type = key;
        if (!smi_meet(b->a, &a_key, b->args[1], SMI_MEET_EQUAL)) {
            const sm_str t = smi_type_text(b->a, b->args[1]->type), k = smi_type_text(b->a, key);
            return smi_expr_fail(b->args[1], e, SM_TYPE, "a key of the MAP is %.*s, not %.*s",
                                 SM_STR_ARG(k), SM_STR_ARG(t));
        }
        b->args[1] = smi_cast(b->a, b->args[1], key);
    }
    b->result = result_of(b, map);
    return SM_OK;
}

/* The type that every second argument from `first` on meets in. */
static const sm_type *meet_every_second(const smi_call_bind *b, int32_t first)
{
    sm_expr so_far = *b->args[first];
    for (int32_t i = first + 2; i < b->n_args; i += 2) {
        const sm_type *const t = smi_meet(b->a, &so_far, b->args[i], SMI_MEET_ONE);
        if (!t) {
            return NULL;
        }
        if (!sm_type_eq(t, so_far.type) || !smi_is_literal(b->args[i])) {
            so_far.kind = SM_EXPR_COLUMN; /* no longer a literal that adapts */
        }
        so_far.type = t;
    }
    return smi_plain_type(so_far.type);
}

sm_status smi_bind_map_literal(smi_call_bind *b, sm_error *e)
{
    SM_ASSERT(b->n_args > 0 && b->n_args % 2 == 0); /* the parser's */
    const sm_type *types[2] = {meet_every_second(b, 0), meet_every_second(b, 1)};
    if (!types[0] || !types[1]) {
        return smi_expr_fail(b->place, e, SM_TYPE,
                             "the %s of the MAP are of types that do not meet",
                             types[0] ? "values" : "keys");
    }
    if (sm_type_is_nested(types[0]->id)) {
        return smi_expr_fail(b->place, e, SM_UNSUPPORTED,
                             "a MAP's keys cannot be lists or structs");
    }
    for (int32_t i = 0; i < b->n_args; i++) {
        b->args[i] = smi_cast(b->a, b->args[i], types[i % 2]);
    }
    const sm_field key = {.name = SM_STR("key"), .type = types[0]};
    const sm_field value = {.name = SM_STR("value"), .type = types[1], .is_nullable = true};
    b->result = sm_type_map(b->a, key, value);
    return SM_OK;
}

/* ---- MAP {…} --------------------------------------------------------------------------------- */

static sm_status append_entries(const sm_fn_call *call, int64_t i, sm_builder *b, sm_error *e)
{
    SM_ASSERT(call->n_args % 2 == 0);
    for (int32_t k = 0; k < call->n_args; k += 2) {
        if (sm_column_is_null(&call->args[k], i)) {
            return smi_expr_fail(call->expr->args[k], e, SM_INVALID, "a MAP's key is NULL");
        }
        for (int32_t j = 0; j < k; j += 2) {
            if (sm_column_eq(&call->args[j], i, &call->args[k], i)) {
                return smi_expr_fail(call->expr->args[k], e, SM_INVALID, "the MAP has a key twice");
            }
        }
        sm_builder_cell(sm_builder_child(b, 0), &call->args[k], i);
        sm_builder_cell(sm_builder_child(b, 1), &call->args[k + 1], i);
    }
    sm_builder_list(b);
    return SM_OK;
}

sm_status fn_map_literal(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_builder *const b = sm_builder_new(call->expr->type, NULL);
    sm_status st = SM_OK;
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        st = append_entries(call, i, b, e);
    }
    if (st == SM_OK) {
        st = sm_builder_finish(b, call->into, out, e);
    }
    sm_builder_free(b);
    return st;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

/* The MAP with offsets of its own for every row. */
static sm_status flat_map(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column c = call->args[0];
    c.n_rows = call->n_rows;
    return sm_column_flatten(&c, call->into, out, e);
}

/* A list with the MAP's offsets. */
static sm_status list_over(const sm_fn_call *call, const sm_column *map, const sm_column *element,
                           sm_column *out, sm_error *e)
{
    SM_ASSERT(call->expr->type->id == SM_TYPE_LIST && map->layout == SM_FLAT);
    SM_ASSERT(sm_type_eq(element->type, call->expr->type->fields[0].type));
    void *child = NULL;
    SM_TRY(sm_batch_alloc(call->into, sizeof(sm_column), &child, e));
    *(sm_column *)child = *element;
    *out = *map;
    out->type = call->expr->type;
    out->n_children = 1;
    out->children = child;
    return SM_OK;
}

sm_status fn_map_keys(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    SM_TRY(flat_map(call, &map, e));
    return list_over(call, &map, &map.children[0], out, e);
}

sm_status fn_map_values(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    SM_TRY(flat_map(call, &map, e));
    return list_over(call, &map, &map.children[1], out, e);
}

sm_status fn_map_entries(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    SM_TRY(flat_map(call, &map, e));
    const sm_column entry = {
        .type = call->expr->type->fields[0].type,
        .n_rows = map.children[0].n_rows,
        .children = map.children,
        .n_children = 2,
    };
    return list_over(call, &map, &entry, out, e);
}

sm_status fn_cardinality(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    SM_TRY(flat_map(call, &map, e));
    SM_TRY(smi_column_new(&sm_type_u64, call->n_rows, call->into, out, e));
    const int32_t *const offs = map.values;
    for (int64_t i = 0; i < call->n_rows; i++) {
        ((uint64_t *)out->values)[i] = (uint64_t)(offs[i + 1] - offs[i]);
    }
    out->validity = map.validity;
    return SM_OK;
}

/* ---- looking into ---------------------------------------------------------------------------- */

/* The entry of row i that has the key, or −1; neither the MAP nor the key is NULL there. */
static int32_t find_entry(const sm_column *map, int64_t i, const sm_column *key)
{
    SM_ASSERT(map->layout == SM_FLAT && i < map->n_rows);
    const int32_t *const offs = map->values;
    const sm_column *const keys = &map->children[0];
    int32_t k = offs[i];
    if (sm_type_is_bytes(keys->type->id) && keys->layout == SM_FLAT) {
        const sm_str wanted = sm_column_str(key, i);
        const sm_view *const views = keys->values;
        while (k < offs[i + 1] && !sm_str_eq(sm_view_str(&views[k], keys->heap), wanted)) {
            k++;
        }
    } else {
        while (k < offs[i + 1] && !sm_column_eq(keys, k, key, i)) {
            k++;
        }
    }
    return k < offs[i + 1] ? k : -1;
}

/* entries[i]: the entry of row i, −1 where it has none, −2 where the MAP or the key is NULL. */
static sm_status find_entries(const sm_fn_call *call, sm_column *map, int32_t **entries,
                              sm_error *e)
{
    const sm_column *const key = &call->args[1];
    void *mem = NULL;
    SM_TRY(flat_map(call, map, e));
    SM_TRY(sm_batch_alloc(call->into, (size_t)call->n_rows * sizeof(int32_t) + 1, &mem, e));
    *entries = mem;
    for (int64_t i = 0; i < call->n_rows; i++) {
        const bool is_null = sm_column_is_null(map, i) || sm_column_is_null(key, i);
        (*entries)[i] = is_null ? -2 : find_entry(map, i, key);
    }
    return SM_OK;
}

sm_status fn_map_value(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    int32_t *entries = NULL;
    SM_TRY(find_entries(call, &map, &entries, e));
    return sm_column_gather(&map.children[1], entries, call->n_rows, call->into, out, e);
}

sm_status fn_map_contains(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    int32_t *entries = NULL;
    SM_TRY(find_entries(call, &map, &entries, e));
    SM_TRY(smi_column_new(&sm_type_bool, call->n_rows, call->into, out, e));
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (entries[i] >= 0) {
            sm_bit_set((uint8_t *)out->values, i);
        } else if (entries[i] == -2) {
            SM_TRY(smi_set_null(out, i, call->into, e));
        }
    }
    return SM_OK;
}

/* A list of the value, or an empty one. */
sm_status fn_map_extract(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_column map;
    int32_t *entries = NULL;
    void *offsets = NULL, *child = NULL;
    SM_TRY(find_entries(call, &map, &entries, e));
    SM_TRY(sm_batch_alloc(call->into, (size_t)(call->n_rows + 1) * 4, &offsets, e));
    SM_TRY(sm_batch_alloc(call->into, sizeof(sm_column), &child, e));
    *out = (sm_column){.type = call->expr->type,
                       .n_rows = call->n_rows,
                       .values = offsets,
                       .children = child,
                       .n_children = 1};
    int32_t n = 0;
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (entries[i] == -2) {
            SM_TRY(smi_set_null(out, i, call->into, e));
        } else if (entries[i] >= 0) {
            entries[n++] = entries[i];
        }
        ((int32_t *)offsets)[i + 1] = n;
    }
    return sm_column_gather(&map.children[1], entries, n, call->into, child, e);
}
