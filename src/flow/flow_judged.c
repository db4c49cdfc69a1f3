/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_judged.c: what a run has judged is no work for the next `smelt check`: it is kept
 * beside the tables, in the objects that checks keep there (contract_kept.c). Called by flow_run.c
 * behind the publication.
 *
 * Which   tables: those whose rows were judged in the pass that wrote them, and are stored as they
 *         were judged: a stage takes no rows of other types than the table's. Rows that are merged
 *         are not: they are stored beside rows that this run has not judged.
 * Others  A rule may have read other tables. What it says is kept where these are tables of this
 *         run, and nobody else came between what it read and what was published.
 * Failure The tables are published: that their verdicts are not kept is a warning. */
#include "flow/flow_int.h"

/* The version as which a task's table was published; −1: it was not. */
static int64_t version_of(const sm_run *r, int32_t task)
{
    for (int64_t i = 0; i < r->report->n_tables; i++) {
        if (sm_str_eq(r->report->tables[i].name, r->p->tasks[task].name)) {
            return r->report->tables[i].version;
        }
    }
    return -1;
}

/* A task that has judged its rows. */
typedef struct judged_task {
    const sm_run *run;
    int32_t task;
} judged_task;

/* sm_written_rows.was_read */
static bool was_read(void *ctx, sm_str table_id, int64_t version)
{
    const judged_task *j = ctx;
    const smi_flow_task *t = &j->run->p->tasks[j->task];

    SM_ASSERT(table_id.len > 0 && version >= 0);
    for (int32_t i = 0; i < t->n_needs; i++) {
        const sm_candidate *c = j->run->tasks[t->needs[i]].candidate;
        if (c && sm_str_eq(sm_candidate_table_id(c), table_id)) {
            return version == version_of(j->run, t->needs[i]) && sm_candidate_is_next(c, version);
        }
    }
    return false;
}

static sm_status keep(const sm_run *r, int32_t task, sm_arena *a, sm_str notes[2], sm_error *e)
{
    const smi_flow_task_state *state = &r->tasks[task];
    judged_task j = {.run = r, .task = task};
    sm_written_rows in = {.verdict = state->judged,
                          .version = version_of(r, task),
                          .are_all = state->judged_all,
                          .was_read = was_read,
                          .ctx = &j};

    in.files = sm_candidate_new_files(state->candidate, &in.n_files);
    SM_ASSERT(in.n_files >= 0 && (in.n_files == 0 || in.files));
    SM_ASSERT(in.verdict->outcome != SM_OUTCOME_FAILED); /* it was published */
    SM_TRY(sm_names_uri(r->names, r->p->tasks[task].name, a, &in.uri, e));
    return in.version < 0 ? SM_OK : sm_contract_keep(&in, r->env, a, notes, e);
}

void smi_flow_judged_keep(sm_run *r)
{
    SM_ASSERT(r->report->tables); /* it has published */
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task_state *state = &r->tasks[i];
        sm_str notes[2] = {0};
        sm_error why = {0};
        if (!state->judged || !state->candidate || !state->judged_as_stored) {
            continue;
        }
        sm_arena *a = sm_arena_new(r->env->budget);
        if (keep(r, i, a, notes, &why) != SM_OK) {
            notes[1] = sm_arena_strf(a, "the verdict of %.*s could not be kept (%s)",
                                     SM_STR_ARG(r->p->tasks[i].name), why.what);
        }
        for (int k = 0; k < SM_COUNT(notes); k++) {
            if (notes[k].len > 0) {
                smi_flow_report_warn(r, "%.*s", SM_STR_ARG(notes[k]));
            }
        }
        sm_arena_free(a);
    }
}
