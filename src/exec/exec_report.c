/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_report.c: what an execution reports: profiles by node, and EXPLAIN ANALYZE. The schema
 * of refused lines stands here too, since it is data that no other file owns. */
#include "base/text.h"
#include "exec/exec_int.h"

#include <inttypes.h>

static const sm_field refused_fields[] = {
    {.name = {"file", 4}, .type = &sm_type_string},
    {.name = {"line", 4}, .type = &sm_type_i64},
    {.name = {"byte_offset", 11}, .type = &sm_type_i64},
    {.name = {"column", 6}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"reason", 6}, .type = &sm_type_string},
    {.name = {"message", 7}, .type = &sm_type_string},
    {.name = {"raw", 3}, .type = &sm_type_binary},
    {.name = {"raw_bytes", 9}, .type = &sm_type_i64},
};
const sm_type sm_refused_out_schema = {
    .id = SM_TYPE_STRUCT, .fields = refused_fields, .n_fields = SM_COUNT(refused_fields)};

void smi_report_begin(sm_exec_report *r, int32_t n_nodes)
{
    *r = (sm_exec_report){.arena = sm_arena_new(NULL), .n_nodes = n_nodes};
    r->nodes = SM_NEW_ARRAY(r->arena, sm_node_profile, n_nodes + 1);
}

/* Adds the CHECK nodes of a tree to those that are found, in the order of their side outputs. */
static void find_checks(const sm_plan_node *n, const sm_plan_node **found, int32_t *n_found)
{
    if (n->kind == SM_PLAN_CHECK) {
        int32_t at = (*n_found)++;
        for (; at > 0 && found[at - 1]->as.check.side > n->as.check.side; at--) {
            found[at] = found[at - 1];
        }
        found[at] = n;
    }
    for (int32_t i = 0; i < n->n_inputs; i++) {
        find_checks(n->inputs[i], found, n_found);
    }
}

static void list_checks(smi_execution *exec, const sm_plan_node *n)
{
    sm_exec_report *r = exec->report;
    exec->check_at[n->id] = r->n_checks;
    for (int32_t i = 0; i < n->as.check.n_checks; i++) {
        r->checks[r->n_checks++] =
            (sm_check_report){.side = n->as.check.side,
                              .check = i,
                              .name = sm_arena_str(r->arena, n->as.check.checks[i].name)};
    }
}

sm_status smi_report_checks(smi_execution *exec, sm_error *e)
{
    const sm_plan *plan = exec->plan;
    const sm_plan_node **found = SM_NEW_ARRAY(exec->arena, const sm_plan_node *, plan->n_nodes + 1);
    int32_t n_found = 0, n_checks = 0;
    find_checks(plan->root, found, &n_found);
    for (int32_t i = 0; i < plan->n_params; i++) {
        find_checks(plan->params[i].root, found, &n_found);
    }
    for (int32_t i = 0; i < n_found; i++) {
        const int32_t side = found[i]->as.check.side;
        n_checks += found[i]->as.check.n_checks;
        if (i > 0 && found[i - 1]->as.check.side == side) {
            return sm_fail(e, SM_USAGE, "two CHECK nodes of a plan have side output %d", side);
        }
    }
    exec->check_at = SM_NEW_ARRAY(exec->arena, int32_t, plan->n_nodes + 1);
    exec->report->checks = SM_NEW_ARRAY(exec->report->arena, sm_check_report, n_checks + 1);
    for (int32_t i = 0; i < n_found; i++) {
        list_checks(exec, found[i]);
    }
    return SM_OK;
}

const sm_check_report *sm_exec_report_check(const sm_exec_report *r, int32_t side, int32_t check)
{
    const sm_check_report *c = r->checks;

    while (c < r->checks + r->n_checks && (c->side != side || c->check != check)) {
        c++;
    }
    SM_ENSURE(c < r->checks + r->n_checks);
    return c;
}

void sm_exec_report_release(sm_exec_report *r)
{
    for (int32_t i = 0; i < r->n_checks; i++) {
        sm_batch_release(r->checks[i].examples);
    }
    sm_arena_free(r->arena);
    *r = (sm_exec_report){0};
}

void smi_report_sum(smi_execution *exec)
{
    for (int d = 0; d < exec->n_drivers; d++) {
        for (int32_t i = 0; i < exec->plan->n_nodes; i++) {
            const sm_node_profile *p = &exec->profiles[(int64_t)d * exec->plan->n_nodes + i];
            sm_node_profile *sum = &exec->report->nodes[i];
            sum->rows += p->rows;
            sum->batches += p->batches;
            sum->cpu_ns += p->cpu_ns;
            sum->bytes_read += p->bytes_read;
            sum->files += p->files;
            sum->morsels += p->morsels;
            sum->morsels_skipped += p->morsels_skipped;
            sum->peak_bytes = p->peak_bytes > sum->peak_bytes ? p->peak_bytes : sum->peak_bytes;
            sum->spilled_bytes += p->spilled_bytes;
        }
    }
}

void smi_report_peak(smi_execution *exec, const sm_plan_node *node, const sm_budget *budget)
{
    sm_node_profile *p = smi_profile(exec, 0, node);
    const int64_t peak = (int64_t)sm_budget_peak(budget);
    p->peak_bytes = peak > p->peak_bytes ? peak : p->peak_bytes;
}

sm_status smi_within_operator(sm_status st, const char *name, const sm_budget *budget, sm_error *e)
{
    char held[SM_SIZE_TEXT_BYTES];
    if (st != SM_BUDGET) {
        return st;
    }
    sm_format_size((int64_t)sm_budget_peak(budget), held);
    return sm_within(e, st, "%s, which had %s and must hold all its rows at once", name, held);
}

/* ---- EXPLAIN ANALYZE ------------------------------------------------------------------------- */

static void print_bytes(sm_buf *out, const char *what, int64_t bytes)
{
    char text[SM_SIZE_TEXT_BYTES];
    if (bytes > 0) {
        sm_format_size(bytes, text);
        sm_buf_printf(out, ", %s %s", what, text);
    }
}

static void note_node(void *ctx, const sm_plan_node *n, sm_buf *out)
{
    const sm_exec_report *r = ctx;
    char rows[SM_SIZE_TEXT_BYTES];
    if (n->id >= r->n_nodes) {
        return;
    }
    const sm_node_profile *p = &r->nodes[n->id];
    sm_format_count(p->rows, rows);
    sm_buf_printf(out, "  [%s row%s, %.1f ms", rows, p->rows == 1 ? "" : "s",
                  (double)p->cpu_ns / 1e6);
    print_bytes(out, "read", p->bytes_read);
    if (n->kind == SM_PLAN_SCAN) {
        sm_buf_printf(out, ", %" PRId64 " file%s, %" PRId64 " morsel%s", p->files,
                      p->files == 1 ? "" : "s", p->morsels, p->morsels == 1 ? "" : "s");
        if (p->morsels_skipped > 0) {
            sm_buf_printf(out, " (%" PRId64 " skipped)", p->morsels_skipped);
        }
    }
    print_bytes(out, "peak", p->peak_bytes);
    print_bytes(out, "spilled", p->spilled_bytes);
    sm_buf_text(out, SM_STR("]"));
}

void sm_exec_print(const sm_plan *plan, const sm_exec_report *report, sm_buf *out)
{
    sm_plan_print(plan, note_node, (void *)report, out);
    sm_buf_printf(out, "%.1f ms\n", (double)report->wall_ns / 1e6);
}
