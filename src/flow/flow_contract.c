/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_contract.c: the contracts of a pipeline's tasks, as they are read with the pipeline.
 * Called by flow_yaml.c. What becomes of rows is in flow_guard.c.
 *
 * Which   table of the contract a task makes: the one that the pipeline names; else the one whose
 *         physicalName is the task's name, `layer.table`; else the one whose name is the part
 *         behind the dot; else the only one that there is.
 * Hash    of the contract as a text that has all of it (sm_contract_write). It decides whether a
 *         table is made again, so layout and comments do not count.
 * Once    A file is read once, however many tasks name it: then its tables are of one model. */
#include "flow/flow_int.h"

#define MAX_CONTRACT_BYTES ((size_t)1 << 20)

/* ---- a file ---------------------------------------------------------------------------------- */

static sm_str hash_of(const sm_contract *c, sm_arena *a)
{
    char hex[33];
    sm_buf text = {0};
    sm_arena *scratch = sm_arena_new(NULL);

    sm_contract_write(c, scratch, &text);
    sm_hash128_hex(sm_hash128_of(text.data, text.len, 0), hex);
    sm_buf_release(&text);
    sm_arena_free(scratch);
    return sm_arena_str(a, sm_str_of(hex));
}

static sm_status read_file(sm_pipeline *p, sm_str path, const smi_flow_contract **out, sm_error *e)
{
    smi_flow_contract *c = NULL;
    sm_contract *read = NULL;
    sm_str name = {0}, text = {0};

    SM_TRY(smi_flow_read_text(p, path, MAX_CONTRACT_BYTES, &name, &text, e));
    for (c = p->contracts; c; c = c->next) {
        if (sm_str_eq(c->name, name)) {
            *out = c;
            return SM_OK;
        }
    }
    SM_TRY(sm_contract_read(name, text, p->arena, &read, e));
    c = SM_NEW(p->arena, smi_flow_contract);
    *c = (smi_flow_contract){
        .name = name, .model = read, .hash = hash_of(read, p->arena), .next = p->contracts};
    p->contracts = c;
    *out = c;
    return SM_OK;
}

/* ---- which of its tables --------------------------------------------------------------------- */

/* The table by the task's name; NULL: none is called so. */
static const sm_contract_table *table_by_name(const sm_contract *c, sm_str task)
{
    const char *dot = memchr(task.data, '.', task.len);
    SM_ASSERT(dot);
    const sm_str part = {dot + 1, task.len - (size_t)(dot + 1 - task.data)};

    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq_nocase(c->tables[i].physical, task)) {
            return &c->tables[i];
        }
    }
    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq_nocase(c->tables[i].name, part)) {
            return &c->tables[i];
        }
    }
    return c->n_tables == 1 ? &c->tables[0] : NULL;
}

/* wanted: as the pipeline names it; "": it does not. */
static sm_status find_table(const sm_pipeline *p, smi_flow_task *t, sm_str wanted, sm_yaml_place at,
                            sm_error *e)
{
    const sm_contract *c = t->contract->model;
    sm_status st = SM_OK;

    if (wanted.len > 0) {
        st = sm_contract_find(c, wanted, p->arena, &t->contracted, e);
    } else {
        t->contracted = table_by_name(c, t->name);
        if (!t->contracted) {
            st = sm_fail(e, SM_NAME, "%.*s has %d tables, and none is called %.*s",
                         SM_STR_ARG(t->contract->name), (int)c->n_tables, SM_STR_ARG(t->name));
            sm_error_todo(e, "Say which it is: contract: {file: ..., table: %.*s}.",
                          SM_STR_ARG(c->n_tables > 0 ? c->tables[0].name : SM_STR("NAME")));
        }
    }
    if (st != SM_OK && e) { /* the mistake is in the pipeline file, whatever was looked at last */
        e->object[0] = '\0';
        e->line = 0;
        e->byte = -1;
    }
    return smi_flow_at(p, at, st, e);
}

sm_status smi_flow_contract_read(sm_pipeline *p, const sm_yaml_fields *f, int key, smi_flow_task *t,
                                 sm_error *e)
{
    static const char *const keys[] = {"file", "table", NULL};
    const sm_yaml *node = f->values[key];
    sm_yaml_place at = sm_yaml_place_of(node);
    sm_str path = {0}, table = {0};
    sm_yaml_fields own;

    if (node->type == SM_YAML_MAP) {
        SM_TRY(sm_yaml_fields_read(&p->yaml, node, "contract", keys, &own, e));
        own.at = f->places[key];
        SM_TRY(sm_yaml_fields_text(&p->yaml, &own, 0, "contract", true, &path, e));
        SM_TRY(sm_yaml_fields_text(&p->yaml, &own, 1, "contract", false, &table, e));
        at = sm_yaml_place_of(own.values[own.has[1] ? 1 : 0]);
    } else {
        SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a task", true, &path, e));
    }
    const sm_status st = read_file(p, path, &t->contract, e);
    SM_TRY(sm_within(e, st, "task %.*s, line %d of the pipeline", SM_STR_ARG(t->name),
                     (int)f->places[key].line));
    return find_table(p, t, table, at, e);
}
