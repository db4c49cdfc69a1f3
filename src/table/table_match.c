/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_match.c: finds the pairs of a MERGE once, before a file is written anew. Called by
 * table_dml.c; table_replace.c and table_patch.c use what was found.
 *
 * Method   One plan joins the table with the source, and reads of the table only the columns that
 *          decide: those of the conditions. A pair is told by the number of its row in the table
 *          (sm_dataset.numbers_rows) and that of its row in the source. So this one pass tells
 *          which files change and in which rows, whether a row has two pairs, and which rows of the
 *          source have none. Whoever writes a file anew needs no join any more.
 * Kept     Of a pair that changes its row: the row's place, whether it goes, and the columns of the
 *          source that new values are made of. In the order of the table's rows.
 * Given up Where more pairs are found than a share of the memory has room for, none are kept: the
 *          files are then looked into and joined as those of a MERGE that also changes rows without
 *          a pair. */
#include "table/table_int.h"

#define JOINED 64 /* batches of pairs, most of a few rows, that become one at the most */
#define SHARE                                                                                      \
    16 /* pairs may take one part in so many of the memory that is left: they are
                        * held while files are written, for which a writer reserves its own */
#define FILES_LIMIT ((int64_t)1 << (62 - SMI_PLACE_BITS))

typedef struct finding {
    sm_stage *stage;
    smi_matches *m;
    sm_batch *waiting[JOINED];
    int32_t n_waiting;
    int64_t n_waiting_rows;
    size_t bytes, most_bytes; /* of what is kept */
    int64_t last;             /* the place of the last row that a pair may change; −1: none */
    int64_t doubled;          /* the first place with two such pairs; −1: none */
    bool is_given_up;
} finding;

/* ---- the plan -------------------------------------------------------------------------------- */

/* Marks the columns of the source that an expression reads. */
static void mark_source(const sm_expr *x, int32_t first, int32_t n, bool *is_used)
{
    if (x->kind == SM_EXPR_COLUMN && x->index >= first && x->index < first + n) {
        is_used[x->index - first] = true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        mark_source(x->args[i], first, n, is_used);
    }
}

static void find_columns(finding *f)
{
    const sm_row_change *c = &f->stage->change.rows;
    const int32_t n = c->source->schema->n_fields;
    bool *is_used = SM_NEW_ARRAY(f->m->arena, bool, n + 1);
    int32_t *columns = SM_NEW_ARRAY(f->m->arena, int32_t, n + 1);

    for (int32_t i = 0; c->values && i < c->n_columns; i++) {
        mark_source(c->values[i], c->n_columns + 1, n, is_used);
    }
    for (int32_t i = 0; i < n; i++) {
        if (is_used[i]) {
            columns[f->m->n_columns++] = i;
        }
    }
    f->m->columns = columns;
}

static sm_status plan_pairs(const finding *f, bool numbers, sm_plan **out, sm_error *e)
{
    const sm_row_change *c = &f->stage->change.rows;
    sm_arena *a = f->m->arena;
    const sm_plan_node *table = NULL, *source = NULL, *rows = NULL;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, SMI_PAIR_SOURCE + f->m->n_columns);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, SMI_PAIR_SOURCE + f->m->n_columns);
    const sm_value no = {.type = &sm_type_bool};

    SM_TRY(smi_replace_scan(f->stage, f->m, NULL, true, &table, e));
    SM_TRY(sm_plan_filter(table, f->stage->where, a, &table, e));
    SM_TRY(smi_merge_source(c, numbers, a, &source, e));
    SM_TRY(sm_plan_join(table, source, SM_JOIN_INNER, c->on, a, &rows, e));
    const int32_t last = rows->schema->n_fields - 1;
    exprs[SMI_PAIR_PLACE] = sm_expr_column(rows->schema, c->n_columns, a);
    exprs[SMI_PAIR_NUMBER] =
        numbers ? sm_expr_column(rows->schema, last, a) : sm_expr_constant(sm_value_i64(0), a);
    exprs[SMI_PAIR_JOINS] = c->joins ? c->joins : sm_expr_constant(no, a);
    exprs[SMI_PAIR_ACTS] = c->acts;
    exprs[SMI_PAIR_DELETES] = c->deletes;
    for (int32_t i = 0; i < SMI_PAIR_SOURCE; i++) {
        names[i] = SM_STR("");
    }
    for (int32_t i = 0; i < f->m->n_columns; i++) {
        const int32_t at = c->n_columns + 1 + f->m->columns[i];
        exprs[SMI_PAIR_SOURCE + i] = sm_expr_column(rows->schema, at, a);
        names[SMI_PAIR_SOURCE + i] = rows->schema->fields[at].name;
    }
    rows = sm_plan_project(rows, exprs, names, SMI_PAIR_SOURCE + f->m->n_columns, a);
    return sm_statement_finish(f->stage->change.statement, rows, a, out, e);
}

/* ---- its rows -------------------------------------------------------------------------------- */

/* Refuses a row of the source that was not there when its rows were counted. */
static sm_status check_number(const smi_matches *m, int64_t number, sm_error *e)
{
    SM_ASSERT(number >= 1);
    if (number <= m->n_source) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_INVALID, "MERGE: the source has more rows than a moment ago");
    sm_error_todo(e, "Its files must not change meanwhile. Nothing was changed; try again.");
    return st;
}

/* Notes a pair; *acts: it changes its row. SM_END: the row has two pairs. */
static sm_status note_pair(finding *f, const sm_batch *rows, int64_t i, bool *acts, sm_error *e)
{
    const int64_t place = sm_column_value(&rows->columns[SMI_PAIR_PLACE], i).as.i;
    const int64_t file = place >> SMI_PLACE_BITS;
    const int64_t number = sm_column_value(&rows->columns[SMI_PAIR_NUMBER], i).as.i;

    *acts = false;
    if (f->m->paired) {
        SM_TRY(check_number(f->m, number, e));
        sm_bit_set(f->m->paired->data, number - 1);
    }
    if (!smi_row_is_true(&rows->columns[SMI_PAIR_JOINS], i)) {
        return SM_OK;
    }
    SM_ENSURE(place >= f->last && file < f->m->n_files); /* in the order of the table's rows */
    if (place == f->last) {
        f->doubled = place;
        return SM_END;
    }
    f->last = place;
    *acts = smi_row_is_true(&rows->columns[SMI_PAIR_ACTS], i);
    if (*acts) {
        smi_look *l = &f->m->looks[file];
        l->n_acts++;
        l->n_deletes += smi_row_is_true(&rows->columns[SMI_PAIR_DELETES], i);
        SM_TRY(sm_buf_add(&f->m->places, &place, sizeof(place), e));
        f->m->n++;
    }
    return SM_OK;
}

/* Makes one batch of those that wait. */
static sm_status join_waiting(finding *f, sm_error *e)
{
    smi_matches *m = f->m;
    sm_batch *all = NULL;

    if (f->n_waiting == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_concat(f->waiting, f->n_waiting, true, f->stage->env.budget, &all, e));
    for (int32_t i = 0; i < f->n_waiting; i++) {
        sm_batch_release(f->waiting[i]);
    }
    f->n_waiting = 0;
    f->n_waiting_rows = 0;
    m->batches =
        sm_arena_grow(m->arena, m->batches, m->n_batches, &m->cap_batches, sizeof(*m->batches));
    m->batches[m->n_batches++] = all;
    f->bytes += sm_batch_bytes(all);
    return SM_OK;
}

/* Keeps the rows of a batch that change a row of the table. */
static sm_status keep_rows(finding *f, const sm_batch *rows, const int32_t *chosen, int64_t n,
                           sm_error *e)
{
    sm_batch *kept = NULL;

    if (n == 0) {
        return SM_OK;
    }
    if (f->n_waiting == JOINED || f->n_waiting_rows >= SM_BATCH_ROWS) {
        SM_TRY(join_waiting(f, e));
    }
    SM_TRY(sm_batch_gather(rows, chosen, n, f->stage->env.budget, &kept, e));
    f->waiting[f->n_waiting++] = kept;
    f->n_waiting_rows += n;
    return SM_OK;
}

static sm_status note_rows(finding *f, const sm_batch *rows, int32_t *chosen, sm_error *e)
{
    int64_t n = 0;

    for (int64_t i = 0; i < rows->n_rows; i++) {
        bool acts = false;
        SM_TRY(note_pair(f, rows, i, &acts, e));
        chosen[n] = (int32_t)i;
        n += acts;
    }
    return keep_rows(f, rows, chosen, n, e);
}

/* sm_sink.push */
static sm_status push_pairs(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    finding *f = ctx;
    int32_t *chosen = sm_alloc((size_t)(rows->n_rows + 1) * sizeof(*chosen));
    sm_status st = note_rows(f, rows, chosen, e);

    (void)waker;
    sm_free(chosen);
    const bool is_much = f->bytes + f->m->places.cap > f->most_bytes;
    if (st == SM_BUDGET || (st == SM_OK && is_much)) {
        f->is_given_up = true;
        st = SM_END;
    }
    return st;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

void smi_matches_free(smi_matches *m)
{
    if (!m) {
        return;
    }
    for (int64_t i = 0; i < m->n_batches; i++) {
        sm_batch_release(m->batches[i]);
    }
    sm_block_release(m->paired);
    sm_buf_release(&m->places);
    sm_arena_free(m->arena);
}

static smi_matches *matches_new(sm_budget *budget)
{
    sm_arena *a = sm_arena_new(budget);
    smi_matches *m = SM_NEW(a, smi_matches);

    m->arena = a;
    m->places.budget = budget;
    return m;
}

static sm_status make_bits(smi_matches *m, int64_t n_source, sm_budget *budget, sm_error *e)
{
    SM_TRY(sm_block_new(budget, sm_bits_bytes(n_source), &m->paired, e));
    memset(m->paired->data, 0, sm_bits_bytes(n_source));
    m->n_source = n_source;
    return SM_OK;
}

/* The error that a row of that place has two pairs. */
static sm_status fail_doubled(const finding *f, sm_error *e)
{
    smi_matches of_file = *f->m;
    const sm_plan_node *file = NULL;

    of_file.files += f->doubled >> SMI_PLACE_BITS;
    of_file.n_files = 1;
    SM_TRY(smi_replace_scan(f->stage, &of_file, NULL, false, &file, e));
    return smi_merge_fail_pairs(&f->stage->change, file, &f->stage->env, f->m->arena, e);
}

static sm_status find_pairs(finding *f, int64_t n_source, sm_error *e)
{
    const sm_sink sink = {.ctx = f, .push = push_pairs};
    sm_budget *budget = f->stage->env.budget;
    sm_plan *plan = NULL;

    if (n_source >= 0) {
        SM_TRY(make_bits(f->m, n_source, budget, e));
    }
    find_columns(f);
    SM_TRY(plan_pairs(f, n_source >= 0, &plan, e));
    SM_TRY(sm_exec_run(plan, &f->stage->env, &sink, NULL, NULL, e));
    if (f->doubled >= 0) {
        return fail_doubled(f, e);
    }
    return f->is_given_up ? SM_OK : join_waiting(f, e);
}

sm_status smi_matches_find(sm_stage *s, int64_t n_source, sm_error *e)
{
    smi_matches *m = matches_new(s->env.budget);
    finding f = {.stage = s, .m = m, .last = -1, .doubled = -1};

    SM_ASSERT(s->state == SMI_STAGE_WRITING && s->change.rows.source && !s->change.matches);
    SM_ASSERT(!s->change.rows.takes_unmatched);
    f.most_bytes = sm_budget_room(s->env.budget) / SHARE;
    sm_status st = sm_snapshot_pick(s->candidate->base, &s->candidate->record.read,
                                    s->candidate->arena, &m->files, &m->n_files, e);
    f.is_given_up = st == SM_OK && m->n_files >= FILES_LIMIT;
    if (st == SM_OK && !f.is_given_up) {
        m->looks = SM_NEW_ARRAY(m->arena, smi_look, m->n_files + 1);
        st = find_pairs(&f, n_source, e);
    }
    for (int32_t i = 0; i < f.n_waiting; i++) {
        sm_batch_release(f.waiting[i]);
    }
    if (st != SM_OK || f.is_given_up) {
        smi_matches_free(m);
        m = NULL;
    }
    s->change.matches = m;
    return st;
}

/* ---- rows of the source without a pair ------------------------------------------------------- */

typedef struct unmatched {
    const smi_matches *m;
    sm_sink to;
    const sm_type *schema; /* the plan's, without the number */
    int32_t *columns;
    sm_budget *budget;
    sm_batch *rest; /* of the batch in work: what `to` is to take */
} unmatched;

/* Makes u->rest; it stays NULL where no row is left. */
static sm_status leave_out_paired(unmatched *u, const sm_batch *rows, sm_error *e)
{
    const sm_column *numbers = &rows->columns[rows->n_columns - 1];
    int32_t *chosen = sm_alloc((size_t)(rows->n_rows + 1) * sizeof(*chosen));
    sm_batch *some = NULL;
    sm_status st = SM_OK;
    int64_t n = 0;

    for (int64_t i = 0; i < rows->n_rows && st == SM_OK; i++) {
        const int64_t number = sm_column_value(numbers, i).as.i;
        st = check_number(u->m, number, e);
        chosen[n] = (int32_t)i;
        n += st == SM_OK && !sm_bit_get(u->m->paired->data, number - 1);
    }
    if (st == SM_OK && n > 0) {
        st = sm_batch_gather(rows, chosen, n, u->budget, &some, e);
        st = st == SM_OK ? sm_batch_project(some, u->schema, u->columns, &u->rest, e) : st;
    }
    sm_batch_release(some);
    sm_free(chosen);
    return st;
}

/* sm_sink.push: rows with their number in the source as the last column. */
static sm_status push_unmatched(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    unmatched *u = ctx;

    if (!u->rest) {
        SM_TRY(leave_out_paired(u, rows, e));
    }
    const sm_status st = u->rest ? u->to.push(u->to.ctx, u->rest, waker, e) : SM_OK;
    if (st != SM_WAIT) {
        sm_batch_release(u->rest);
        u->rest = NULL;
    }
    return st;
}

static sm_status finish_unmatched(void *ctx, sm_waker waker, sm_error *e)
{
    unmatched *u = ctx;
    return u->to.finish(u->to.ctx, waker, e);
}

sm_status smi_matches_rest(const smi_matches *m, const sm_plan *plan, const sm_exec_env *env,
                           const sm_sink *to, sm_error *e)
{
    const sm_type *rows = plan->root->schema;
    sm_arena *a = sm_arena_new(env->budget);
    unmatched u = {.m = m, .to = *to, .budget = env->budget};
    const sm_sink sink = {.ctx = &u, .push = push_unmatched, .finish = finish_unmatched};

    SM_ASSERT(m->paired && rows->fields[rows->n_fields - 1].type->id == SM_TYPE_I64);
    u.schema = sm_type_struct(a, rows->fields, rows->n_fields - 1);
    u.columns = SM_NEW_ARRAY(a, int32_t, rows->n_fields);
    for (int32_t i = 0; i < rows->n_fields - 1; i++) {
        u.columns[i] = i;
    }
    const sm_status st = sm_exec_run(plan, env, &sink, NULL, NULL, e);
    sm_batch_release(u.rest);
    sm_arena_free(a);
    return st;
}
