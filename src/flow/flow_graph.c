/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_graph.c: finds which task needs which, and orders them. Called by sm_pipeline_open.
 *
 * Needs  A task needs the tasks whose tables its SQL names, or the rules of its contract, and those
 *        that the file says (`needs`). Other tables are expected in the lake.
 * After  Tasks on tables of the lake come after the publication, and so does what needs them, and a
 *        command that needs a table: it looks for it by its path.
 * Order  is that of the file as far as the needs allow: each time, the first task that has all it
 *        needs comes next. */
#include "base/text.h"
#include "flow/flow_int.h"

int32_t smi_flow_task_find(const sm_pipeline *p, sm_str name)
{
    for (int32_t i = 0; i < p->n_tasks; i++) {
        if (sm_str_eq_nocase(p->tasks[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* Rows of a partition have one value in each of its columns, so a sort by these is a mistake. */
static sm_status check_sorted_by(const sm_pipeline *p, const smi_flow_task *t,
                                 const smi_flow_task *of, sm_error *e)
{
    for (int32_t i = 0; i < t->n_columns; i++) {
        for (int32_t k = 0; k < of->n_partition_by; k++) {
            if (sm_str_eq_nocase(t->columns[i], of->partition_by[k])) {
                const sm_status st = sm_fail(
                    e, SM_INVALID, "%.*s is partitioned by \"%.*s\", so it is not sorted by it",
                    SM_STR_ARG(t->from), SM_STR_ARG(of->partition_by[k]));
                sm_error_todo(e, "Leave it out of by: filters on it leave out whole partitions.");
                return smi_flow_at(p, t->at, st, e);
            }
        }
    }
    return SM_OK;
}

/* need: −1 for none. */
static void add_need(smi_flow_task *t, int32_t need)
{
    for (int32_t i = 0; i < t->n_needs; i++) {
        if (t->needs[i] == need) {
            return;
        }
    }
    if (need >= 0) {
        t->needs[t->n_needs++] = need;
    }
}

/* What the file says that a task needs. */
static sm_status add_wanted(const sm_pipeline *p, smi_flow_task *t, sm_error *e)
{
    for (int32_t i = 0; i < t->n_wanted; i++) {
        const int32_t need = smi_flow_task_find(p, t->wanted[i]);
        if (need < 0) {
            sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, p->n_tasks);
            for (int32_t k = 0; k < p->n_tasks; k++) {
                names[k] = p->tasks[k].name;
            }
            const sm_status st = sm_fail(e, SM_NAME, "no task \"%.*s\"", SM_STR_ARG(t->wanted[i]));
            const char *near = sm_nearest_name(t->wanted[i], names, p->n_tasks);
            if (near) {
                sm_error_todo(e, "Did you mean \"%s\"?", near);
            }
            return smi_flow_at(p, t->wanted_at, st, e);
        }
        add_need(t, need);
    }
    return SM_OK;
}

/* Of a task on a table of the lake: the one that makes it, where the pipeline does. */
static sm_status find_table(const sm_pipeline *p, smi_flow_task *t, sm_error *e)
{
    const int32_t need = smi_flow_task_find(p, t->from);

    if (need < 0) {
        return SM_OK;
    }
    add_need(t, need);
    static const char *const done[] = {[SM_TASK_PUBLISH] = "published",
                                       [SM_TASK_CLUSTER] = "clustered",
                                       [SM_TASK_OPTIMIZE] = "optimized",
                                       [SM_TASK_VACUUM] = "vacuumed"};
    const sm_task_kind kind = p->tasks[need].kind;
    if (kind == SM_TASK_LOAD || kind == SM_TASK_TABLE) {
        return t->kind == SM_TASK_CLUSTER ? check_sorted_by(p, t, &p->tasks[need], e) : SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_INVALID, "%.*s is not a table of the lake, so it cannot be %s",
                SM_STR_ARG(t->from), done[t->kind]);
    return smi_flow_at(p, t->at, st, e);
}

static sm_status find_needs(sm_pipeline *p, smi_flow_task *t, sm_error *e)
{
    sm_table_name *tables = NULL;

    t->needs = SM_NEW_ARRAY(p->arena, int32_t, p->n_tasks);
    t->n_needs = 0;
    SM_TRY(add_wanted(p, t, e));
    if (t->from.len > 0) {
        return find_table(p, t, e);
    }
    if (t->command) {
        return SM_OK;
    }
    SM_TRY(sm_query_tables(&t->sql, p->arena, &tables, &t->n_tables, e));
    SM_TRY(smi_flow_contract_find(p, t, e));
    t->tables = tables;
    for (int32_t i = 0; i < t->n_tables; i++) {
        if (tables[i].n_parts != 2) {
            continue;
        }
        const sm_str name = sm_arena_strf(p->arena, "%.*s.%.*s", SM_STR_ARG(tables[i].parts[0]),
                                          SM_STR_ARG(tables[i].parts[1]));
        add_need(t, smi_flow_task_find(p, name));
    }
    for (int32_t i = 0; i < t->n_checks; i++) {
        add_need(t, smi_flow_task_find(p, t->checks[i]));
    }
    return SM_OK;
}

/* Walks from a task to one that it needs, and so on, until a task comes again. */
static sm_status fail_cycle(const sm_pipeline *p, const bool *is_placed, int32_t from, sm_error *e)
{
    int32_t *seen = SM_NEW_ARRAY(p->arena, int32_t, p->n_tasks + 1);
    int32_t n = 0, start = 0;
    sm_buf names = {0};

    for (int32_t at = from; n <= p->n_tasks; n++) {
        for (start = 0; start < n && seen[start] != at; start++) {
        }
        if (start < n) {
            break;
        }
        seen[n] = at;
        for (int32_t i = 0; i < p->tasks[at].n_needs; i++) {
            if (!is_placed[p->tasks[at].needs[i]]) {
                at = p->tasks[at].needs[i];
                break;
            }
        }
    }
    for (int32_t i = start; i < n; i++) {
        sm_buf_printf(&names, "%.*s needs ", SM_STR_ARG(p->tasks[seen[i]].name));
    }
    sm_buf_text(&names, p->tasks[seen[start]].name);
    const sm_status st = sm_fail(e, SM_INVALID, "tasks need each other in a circle: %.*s",
                                 SM_STR_ARG(sm_buf_str(&names)));
    sm_buf_release(&names);
    return smi_flow_at(p, p->tasks[seen[start]].at, st, e);
}

static bool is_ready(const smi_flow_task *t, const bool *is_placed)
{
    for (int32_t i = 0; i < t->n_needs; i++) {
        if (!is_placed[t->needs[i]]) {
            return false;
        }
    }
    return true;
}

/* Which tasks come after the publication; needs are in order. */
static sm_status find_after(const sm_pipeline *p, smi_flow_task *tasks, sm_error *e)
{
    for (int32_t i = 0; i < p->n_tasks; i++) {
        smi_flow_task *t = &tasks[i];
        int32_t after = -1;
        t->is_after = t->from.len > 0;
        for (int32_t k = 0; k < t->n_needs; k++) {
            const smi_flow_task *need = &tasks[t->needs[k]];
            after = need->is_after ? t->needs[k] : after;
            t->is_after = t->is_after || (t->command && (need->is_after || !need->command));
        }
        SM_ASSERT(t->is_after || t->from.len == 0);
        if (after >= 0 && !t->is_after) {
            const sm_status st =
                sm_fail(e, SM_INVALID,
                        "%.*s needs %.*s, which runs once the tables of the run are published",
                        SM_STR_ARG(t->name), SM_STR_ARG(tasks[after].name));
            sm_error_todo(e, "Make %.*s in a pipeline of its own, which runs after this one.",
                          SM_STR_ARG(t->name));
            return smi_flow_at(p, t->at, st, e);
        }
    }
    return SM_OK;
}

sm_status smi_flow_graph_order(sm_pipeline *p, sm_error *e)
{
    const int32_t n = p->n_tasks;
    bool *is_placed = SM_NEW_ARRAY(p->arena, bool, n);
    int32_t *place =
        SM_NEW_ARRAY(p->arena, int32_t, n); /* for each task of the file: its place in the order */
    smi_flow_task *ordered = SM_NEW_ARRAY(p->arena, smi_flow_task, n);

    for (int32_t i = 0; i < n; i++) {
        const sm_status st = find_needs(p, &p->tasks[i], e);
        if (st != SM_OK) {
            return sm_within(e, st, "task %.*s", SM_STR_ARG(p->tasks[i].name));
        }
    }
    for (int32_t done = 0; done < n; done++) {
        int32_t next = 0, unplaced = -1;
        while (next < n && (is_placed[next] || !is_ready(&p->tasks[next], is_placed))) {
            unplaced = unplaced < 0 && !is_placed[next] ? next : unplaced;
            next++;
        }
        if (next == n) {
            return fail_cycle(p, is_placed, unplaced, e);
        }
        is_placed[next] = true;
        place[next] = done;
        ordered[done] = p->tasks[next];
    }
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < ordered[i].n_needs; k++) {
            ordered[i].needs[k] = place[ordered[i].needs[k]];
            SM_ASSERT(ordered[i].needs[k] < i); /* runs follow this order */
        }
    }
    p->tasks = ordered;
    return find_after(p, ordered, e);
}
