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
 * Others  Where another table of the contract is: the first of these that says it is its
 *         physicalName, if it has a '/' or a dot; a task that makes that very table by the same
 *         contract; a task of that name in the same layer, or in only one; the same layer.
 * Once    A file is read once, however many tasks name it: then its tables are of one model. */
#include "flow/flow_int.h"

#define MAX_CONTRACT_BYTES ((size_t)1 << 20)

/* ---- a file ---------------------------------------------------------------------------------- */

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
    *c = (smi_flow_contract){.name = name,
                             .model = read,
                             .hash = sm_contract_hash(read, p->arena),
                             .next = p->contracts};
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

/* Rows of a view are written nowhere, so none can be changed or taken away, and none made. */
static sm_status check_view(const smi_flow_task *t, sm_error *e)
{
    for (int64_t i = 0; i < t->contracted->n_columns; i++) {
        const sm_contract_column *c = &t->contracted->columns[i];
        if (c->casts || c->has_default || c->derive.len > 0) {
            const sm_status st = sm_fail(e, SM_UNSUPPORTED,
                                         "column %.*s cannot be made: %.*s is a view, which writes "
                                         "no rows",
                                         SM_STR_ARG(c->path), SM_STR_ARG(t->name));
            sm_error_todo(e, "Make it a table, or say it in the SQL of the view.");
            return sm_yaml_at(&t->contract->model->yaml, c->made_at, st, e);
        }
    }
    for (int64_t i = 0; i < t->contracted->n_rules; i++) {
        const sm_rule *r = &t->contracted->rules[i];
        if (r->action == SM_POLICY_QUARANTINE || r->action == SM_POLICY_NULL) {
            const sm_status st =
                sm_fail(e, SM_UNSUPPORTED,
                        "rule %.*s cannot be '%s': %.*s is a view, which writes "
                        "no rows",
                        SM_STR_ARG(r->name), sm_policy_name(r->action), SM_STR_ARG(t->name));
            sm_error_todo(e, "Make it a table, or let the rule fail or warn.");
            return sm_yaml_at(&t->contract->model->yaml, r->at, st, e);
        }
    }
    return SM_OK;
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
    SM_TRY(find_table(p, t, table, at, e));
    return t->kind == SM_TASK_VIEW ? check_view(t, e) : SM_OK;
}

/* ---- other tables ---------------------------------------------------------------------------- */

/* The task whose name ends so, behind the dot; −1: none, or several that are of other layers. */
static int32_t task_of_part(const sm_pipeline *p, sm_str layer, sm_str part)
{
    int32_t found = -1, n = 0;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        const sm_str name = p->tasks[i].name;
        const char *dot = memchr(name.data, '.', name.len);
        const sm_str own = {name.data, (size_t)(dot - name.data)};
        const sm_str rest = {dot + 1, name.len - own.len - 1};
        if ((p->tasks[i].from.len > 0 || p->tasks[i].command) || !sm_str_eq_nocase(rest, part)) {
            continue;
        }
        if (sm_str_eq_nocase(own, layer)) {
            return i;
        }
        found = i;
        n++;
    }
    return n == 1 ? found : -1;
}

sm_str smi_flow_contract_place(const sm_pipeline *p, const smi_flow_task *t, sm_str name,
                               sm_arena *a)
{
    const sm_contract *c = t->contract->model;
    const sm_str layer = {
        t->name.data,
        (size_t)((const char *)memchr(t->name.data, '.', t->name.len) - t->name.data)};
    const sm_contract_table *of = NULL;

    for (int64_t i = 0; i < c->n_tables && !of; i++) {
        of = sm_str_eq_nocase(c->tables[i].name, name) ? &c->tables[i] : NULL;
    }
    const sm_str physical = of ? of->physical : name;
    if (memchr(physical.data, '/', physical.len) || memchr(physical.data, '.', physical.len)) {
        return physical;
    }
    for (int32_t i = 0; i < p->n_tasks && of; i++) {
        if (p->tasks[i].contract == t->contract && p->tasks[i].contracted == of) {
            return p->tasks[i].name;
        }
    }
    const int32_t task = task_of_part(p, layer, physical);
    return task >= 0 ? p->tasks[task].name
                     : sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(layer), SM_STR_ARG(physical));
}

static void add_check(const sm_pipeline *p, smi_flow_task *t, sm_str *checks, sm_str name)
{
    if (memchr(name.data, '/', name.len) || sm_str_eq_nocase(name, t->name)) {
        return; /* a file, or its own table */
    }
    for (int32_t i = 0; i < t->n_checks; i++) {
        if (sm_str_eq_nocase(checks[i], name)) {
            return;
        }
    }
    checks[t->n_checks++] = sm_arena_str(p->arena, name);
}

/* Adds the tables that one rule speaks of. */
static sm_status find_checks(const sm_pipeline *p, smi_flow_task *t, const sm_rule *r,
                             sm_str **checks, int64_t *cap, sm_error *e)
{
    sm_table_name *names = NULL;
    int32_t n = 0;

    SM_TRY(sm_rule_tables(t->contract->model, t->contracted, r, p->arena, &names, &n, e));
    for (int32_t i = 0; i < n; i++) {
        const sm_str *parts = names[i].parts;
        *checks = sm_arena_grow(p->arena, *checks, t->n_checks, cap, sizeof(**checks));
        if (names[i].n_parts == 1) {
            add_check(p, t, *checks, smi_flow_contract_place(p, t, parts[0], p->arena));
        } else if (names[i].n_parts == 2) {
            add_check(
                p, t, *checks,
                sm_arena_strf(p->arena, "%.*s.%.*s", SM_STR_ARG(parts[0]), SM_STR_ARG(parts[1])));
        }
    }
    return SM_OK;
}

sm_status smi_flow_contract_find(const sm_pipeline *p, smi_flow_task *t, sm_error *e)
{
    sm_str *checks = NULL;
    int64_t cap = 0;

    for (int64_t i = 0; t->contract && i < t->contracted->n_rules; i++) {
        SM_TRY(find_checks(p, t, &t->contracted->rules[i], &checks, &cap, e));
    }
    t->checks = checks;
    return SM_OK;
}
