/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_check.c: CHECK: looks at rows by rules, counts those that break each, takes rows away
 * into a side output or changes a column of them to NULL.
 *
 * Calls    smi_check_new() by exec_run.c; push for each batch, by each driver; close at the end of
 *          each task; drain and is_empty by the pipe, for the side output; smi_check_end() when the
 *          input has ended, smi_check_free().
 * Batch    Each check is evaluated over all rows as they came in (judge_rows). Only then they are
 *          counted, changed and taken away (apply_verdict), so what becomes of a row does not
 *          depend on the order of the checks, but that a row leaves by the first that takes it. A
 *          batch that breaks nothing goes on as it is, but for columns that are there for the
 *          checks alone: those stand behind the node's own (sm_plan_check_first).
 * Counts   A task has a tally of its own. When its turn comes it is added to the sum, with the rows
 *          before it known; so counts, examples and their places depend on no thread.
 * Side     An ordered end of its own (exec_order.c), to which this op belongs as a pipe does to its
 *          end: so rows that leave wait for the turn of their task, and a task waits where its sink
 *          is slow. */
#include "exec/exec_int.h"

#include <string.h>

#define RING (SMI_AHEAD_MAX * 2)

/* The first rows that broke a check, in their order. */
typedef struct examples {
    smi_batches rows; /* of one row or more, copied whole */
    int64_t at[SM_CHECK_EXAMPLES];
    int32_t n;
} examples;

/* What is counted of one check: in one task, or in all whose turn has come. */
typedef struct count {
    int64_t n_broken, n_done;
    examples *examples; /* NULL: none */
} count;

typedef struct tally {
    int64_t n_rows;
    count *counts; /* one a check */
} tally;

typedef struct slot {
    tally *tally; /* of a task, by the driver that has it until it is closed; NULL: no rows yet */
    bool is_closed;
} slot;

typedef struct check_op {
    smi_op op;
    smi_execution *exec;
    const sm_plan_node *node;
    int32_t n_checks;
    smi_end *side;           /* NULL: what leaves is dropped */
    smi_origin_sink located; /* between them and the sink, where rows have an origin */
    _Atomic bool has_enough; /* the side's sink wants no more */
    sm_mutex lock;
    /* under the lock */
    slot *ring;
    uint64_t turn; /* tasks below it are in `sum` */
    tally *sum;
    _Atomic bool *is_full; /* one a check: has the sum all examples? */
} check_op;

/* ---- tallies --------------------------------------------------------------------------------- */

static tally *tally_new(int32_t n_checks)
{
    tally *t = sm_alloc_zero(sizeof(*t));
    t->counts = sm_alloc_zero((size_t)n_checks * sizeof(*t->counts));
    return t;
}

static void tally_free(tally *t, int32_t n_checks)
{
    for (int32_t i = 0; t && i < n_checks; i++) {
        if (t->counts[i].examples) {
            smi_batches_release(&t->counts[i].examples->rows);
            sm_free(t->counts[i].examples);
        }
    }
    if (t) {
        sm_free(t->counts);
        sm_free(t);
    }
}

/* Adds what a later task counted, whose rows follow n_before others. Takes its examples. */
static void count_add(count *sum, count *more, int64_t n_before)
{
    examples *const from = more->examples;
    sum->n_broken += more->n_broken;
    sum->n_done += more->n_done;
    if (!from || (sum->examples && sum->examples->n == SM_CHECK_EXAMPLES)) {
        return;
    }
    if (!sum->examples) {
        sum->examples = sm_alloc_zero(sizeof(*sum->examples));
    }
    examples *const to = sum->examples;
    for (int32_t i = 0; i < from->n && to->n < SM_CHECK_EXAMPLES; i++) {
        to->at[to->n++] = n_before + from->at[i];
    }
    for (int64_t i = 0; i < from->rows.n; i++) {
        smi_batches_add(&to->rows, from->rows.items[i]);
        from->rows.items[i] = NULL;
    }
}

static void add_in_turn(check_op *c, tally *t)
{
    for (int32_t i = 0; t && i < c->n_checks; i++) {
        count *const sum = &c->sum->counts[i];
        count_add(sum, &t->counts[i], c->sum->n_rows);
        if (sum->examples && sum->examples->n == SM_CHECK_EXAMPLES) {
            atomic_store_explicit(&c->is_full[i], true, memory_order_relaxed);
        }
    }
    c->sum->n_rows += t ? t->n_rows : 0;
    tally_free(t, c->n_checks);
}

static sm_status check_close(smi_op *op, smi_driver *d, sm_error *e)
{
    check_op *c = (check_op *)op;
    const uint64_t ordinal = d->task->ordinal;
    sm_mutex_lock(&c->lock);
    SM_ENSURE(ordinal >= c->turn && ordinal < c->turn + RING);
    SM_ASSERT(!c->ring[ordinal % RING].is_closed);
    c->ring[ordinal % RING].is_closed = true;
    while (c->ring[c->turn % RING].is_closed) {
        add_in_turn(c, c->ring[c->turn % RING].tally);
        c->ring[c->turn++ % RING] = (slot){0};
    }
    sm_mutex_unlock(&c->lock);
    return c->side ? c->side->close(c->side, d, e) : SM_OK;
}

/* That of the driver's task. */
static tally *tally_of(check_op *c, const smi_driver *d)
{
    slot *const s = &c->ring[d->task->ordinal % RING]; /* this task's own while it is open */
    if (!s->tally) {
        s->tally = tally_new(c->n_checks);
    }
    return s->tally;
}

/* ---- judging a batch ------------------------------------------------------------------------- */

typedef struct broken {
    const int32_t *rows; /* ascending */
    int64_t n;
} broken;

typedef struct verdict {
    sm_batch *memory; /* what follows lives in it */
    broken *checks;   /* one a check */
    bool has_broken;  /* some row broke some check */
} verdict;

static sm_status judge_rows(const check_op *c, const sm_batch *rows, verdict *v, sm_error *e)
{
    sm_budget *budget = c->exec->env->budget;
    void *mem = NULL, *free_rows = NULL;
    SM_TRY(sm_batch_new(budget, rows->schema, &v->memory, e));
    SM_TRY(sm_batch_alloc(v->memory, (size_t)c->n_checks * sizeof(broken), &mem, e));
    v->checks = mem;
    for (int32_t i = 0; i < c->n_checks; i++) {
        broken *const b = &v->checks[i];
        if (!free_rows) {
            SM_TRY(sm_batch_alloc_raw(v->memory, (size_t)rows->n_rows * sizeof(int32_t), &free_rows,
                                      e));
        }
        SM_TRY(sm_expr_select(c->node->as.check.breaks[i], rows, c->exec->params, free_rows, &b->n,
                              budget, e));
        if (b->n > 0) {
            b->rows = free_rows;
            free_rows = NULL;
            v->has_broken = true;
        }
    }
    return SM_OK;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* Copies rows of a batch, with the bytes of their strings. */
static sm_status copy_rows(const check_op *c, sm_batch *rows, const int32_t *which, int64_t n,
                           sm_batch **out, sm_error *e)
{
    const smi_batches one = {.items = &rows, .n = 1, .cap = 1};
    smi_ref refs[SM_CHECK_EXAMPLES];
    for (int64_t i = 0; i < n; i++) {
        refs[i] = (smi_ref){.batch = 0, .row = (uint32_t)which[i]};
    }
    return smi_gather_rows(&one, 0, refs, n, c->node->inputs[0]->schema, c->exec->env->budget, out,
                           e);
}

static sm_status add_examples(const check_op *c, count *to, int64_t n_before, const broken *b,
                              sm_batch *rows, sm_error *e)
{
    if (!to->examples) {
        to->examples = sm_alloc_zero(sizeof(*to->examples));
    }
    examples *const x = to->examples;
    const int64_t room = SM_CHECK_EXAMPLES - x->n;
    const int64_t n = b->n < room ? b->n : room;
    sm_batch *copy = NULL;
    if (n == 0) {
        return SM_OK;
    }
    SM_TRY(copy_rows(c, rows, b->rows, n, &copy, e));
    smi_batches_add(&x->rows, copy);
    for (int64_t i = 0; i < n; i++) {
        x->at[x->n++] = n_before + b->rows[i];
    }
    return SM_OK;
}

static sm_status count_rows(const check_op *c, tally *t, const verdict *v, sm_batch *rows,
                            sm_error *e)
{
    for (int32_t i = 0; i < c->n_checks && v->has_broken; i++) {
        const broken *const b = &v->checks[i];
        t->counts[i].n_broken += b->n;
        if (b->n > 0 && !atomic_load_explicit(&c->is_full[i], memory_order_relaxed)) {
            SM_TRY(add_examples(c, &t->counts[i], t->n_rows, b, rows, e));
        }
    }
    t->n_rows += rows->n_rows;
    return SM_OK;
}

/* ---- what becomes of the rows ---------------------------------------------------------------- */

/* The node's columns of a batch: a batch that shares its memory. */
static sm_status own_columns(const check_op *c, const sm_batch *rows, sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL;
    SM_TRY(sm_batch_new(c->exec->env->budget, c->node->schema, &b, e));
    sm_batch_keep_all(b, rows);
    memcpy(b->columns, rows->columns, (size_t)b->n_columns * sizeof(*b->columns));
    b->n_rows = rows->n_rows;
    b->ordinal = rows->ordinal;
    b->seq = rows->seq;
    *out = b;
    return SM_OK;
}

/* The rows as they go on where no check changes them: the batch itself if all its columns do. */
static sm_status unchanged(const check_op *c, sm_batch *rows, sm_batch **out, sm_error *e)
{
    if (c->node->schema->n_fields < rows->n_columns) {
        return own_columns(c, rows, out, e);
    }
    *out = sm_batch_retain(rows);
    return SM_OK;
}

/* The batch with NULL where a check says so; unchanged where none does. */
static sm_status set_nulls(const check_op *c, const verdict *v, sm_batch *rows, sm_batch **out,
                           sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *b = NULL;
    for (int32_t i = 0; i < c->n_checks; i++) {
        const sm_check *const check = &c->node->as.check.checks[i];
        sm_column nulls = {0};
        if (check->action != SM_POLICY_NULL || v->checks[i].n == 0) {
            continue;
        }
        if (!b) {
            SM_TRY(own_columns(c, rows, &b, e));
        }
        sm_column *const column = &b->columns[check->column];
        SM_TRY_GOTO(st, done,
                    sm_column_constant(sm_value_null(column->type), v->checks[i].n, b, &nulls, e));
        SM_TRY_GOTO(st, done, sm_column_patch(column, v->checks[i].rows, &nulls, b, column, e));
    }
done:
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    if (!b) {
        return unchanged(c, rows, out, e);
    }
    *out = b;
    return SM_OK;
}

/* Which rows leave, and by which check; and which stay. */
typedef struct parting {
    int32_t *leaves, *by, *stays;
    int64_t n_leaves, n_stays;
} parting;

static bool has_row(const broken *b, int32_t row)
{
    int64_t low = 0, high = b->n;
    while (low < high) {
        const int64_t at = low + (high - low) / 2;
        low = b->rows[at] < row ? at + 1 : low;
        high = b->rows[at] < row ? high : at;
    }
    return low < b->n && b->rows[low] == row;
}

/* Has an earlier check made the same value NULL? */
static bool is_null_already(const check_op *c, const verdict *v, int32_t check, int32_t row)
{
    const sm_check *const checks = c->node->as.check.checks;
    bool is = false;
    for (int32_t i = 0; i < check && !is; i++) {
        is = checks[i].action == SM_POLICY_NULL && checks[i].column == checks[check].column &&
             has_row(&v->checks[i], row);
    }
    return is;
}

/* Counts the values that became NULL in rows that stay. */
static void count_nulls(const check_op *c, tally *t, const verdict *v, const int32_t *leaves)
{
    for (int32_t i = 0; i < c->n_checks; i++) {
        const broken *const b = &v->checks[i];
        for (int64_t k = 0; c->node->as.check.checks[i].action == SM_POLICY_NULL && k < b->n; k++) {
            t->counts[i].n_done += !leaves[b->rows[k]] && !is_null_already(c, v, i, b->rows[k]);
        }
    }
}

static sm_status part_rows(const check_op *c, tally *t, const verdict *v, int64_t n_rows,
                           parting *p, sm_error *e)
{
    const size_t bytes = (size_t)n_rows * sizeof(int32_t);
    void *first = NULL, *leaves = NULL, *stays = NULL;
    SM_TRY(sm_batch_alloc(v->memory, bytes, &first, e));
    SM_TRY(sm_batch_alloc_raw(v->memory, bytes, &leaves, e));
    SM_TRY(sm_batch_alloc_raw(v->memory, bytes, &stays, e));
    *p = (parting){.leaves = leaves, .by = first, .stays = stays};
    int32_t *const of_row = first; /* 0: it stays; else the number of its first check, plus one */
    for (int32_t i = 0; i < c->n_checks; i++) {
        const broken *const b = &v->checks[i];
        if (c->node->as.check.checks[i].action == SM_POLICY_QUARANTINE) {
            for (int64_t k = 0; k < b->n; k++) {
                of_row[b->rows[k]] = of_row[b->rows[k]] ? of_row[b->rows[k]] : i + 1;
            }
        }
    }
    count_nulls(c, t, v, of_row);
    for (int32_t r = 0; r < n_rows; r++) {
        if (of_row[r] == 0) {
            p->stays[p->n_stays++] = r;
        } else { /* `by` is the same array: entry n_leaves <= r is read already */
            t->counts[of_row[r] - 1].n_done++;
            p->by[p->n_leaves] = of_row[r] - 1;
            p->leaves[p->n_leaves++] = r;
        }
    }
    return SM_OK;
}

/* The node's columns of the rows that leave, as they came in, with the numbers of their checks. */
static sm_status leaving_rows(const check_op *c, const parting *p, sm_batch *rows, sm_batch **out,
                              sm_error *e)
{
    const int32_t n_columns = c->node->schema->n_fields;
    sm_batch *b = NULL;
    void *by = NULL;
    SM_TRY(sm_batch_new(c->exec->env->budget, c->node->as.check.leaves, &b, e));
    sm_batch_keep_all(b, rows);
    sm_status st = SM_OK;
    for (int32_t i = 0; i < n_columns && st == SM_OK; i++) {
        st = sm_column_gather(&rows->columns[i], p->leaves, p->n_leaves, b, &b->columns[i], e);
    }
    if (st == SM_OK) {
        st = sm_batch_alloc_raw(b, (size_t)p->n_leaves * sizeof(int32_t), &by, e);
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    memcpy(by, p->by, (size_t)p->n_leaves * sizeof(int32_t));
    b->columns[n_columns] = (sm_column){.type = &sm_type_i32, .n_rows = p->n_leaves, .values = by};
    b->n_rows = p->n_leaves;
    b->ordinal = rows->ordinal;
    b->seq = rows->seq;
    *out = b;
    return SM_OK;
}

/* Sends away the rows that a check with the action QUARANTINE takes. *kept: the others, of
 * `changed`, which are the same rows after set_nulls(); NULL: there are none. */
static sm_status send_away(check_op *c, smi_driver *d, const verdict *v, sm_batch *rows,
                           sm_batch *changed, sm_batch **kept, sm_error *e)
{
    parting p;
    sm_batch *leaving = NULL;
    SM_TRY(part_rows(c, tally_of(c, d), v, rows->n_rows, &p, e));
    if (p.n_leaves == 0) {
        *kept = sm_batch_retain(changed);
        return SM_OK;
    }
    if (p.n_stays > 0) {
        SM_TRY(sm_batch_gather(changed, p.stays, p.n_stays, c->exec->env->budget, kept, e));
    }
    if (!c->side) {
        return SM_OK;
    }
    SM_TRY(leaving_rows(c, &p, rows, &leaving, e));
    return c->side->push(c->side, d, leaving, e);
}

static sm_status apply_verdict(check_op *c, smi_driver *d, const verdict *v, sm_batch *rows,
                               sm_batch **kept, sm_error *e)
{
    sm_batch *changed = NULL;
    SM_TRY(count_rows(c, tally_of(c, d), v, rows, e));
    if (!v->has_broken) {
        return unchanged(c, rows, kept, e);
    }
    SM_TRY(set_nulls(c, v, rows, &changed, e));
    const sm_status st = send_away(c, d, v, rows, changed, kept, e);
    sm_batch_release(changed);
    return st;
}

static sm_status check_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    check_op *c = (check_op *)op;
    verdict v = {0};
    sm_batch *kept = NULL;
    sm_status st = judge_rows(c, rows, &v, e);
    if (smi_is_of_rows(st) && rows->n_rows > 1) {
        sm_batch_release(v.memory);
        return smi_push_halves(op, d, rows, e);
    }
    if (st == SM_OK) {
        st = apply_verdict(c, d, &v, rows, &kept, e);
    }
    sm_batch_release(v.memory);
    sm_batch_release(rows);
    if (st != SM_OK) {
        sm_batch_release(kept);
        return st;
    }
    return kept ? smi_give(d, op->node, op->next, kept, e) : SM_OK;
}

/* ---- the side output ------------------------------------------------------------------------- */

/* A sink that has enough gets no more; the rows of the main output go on. */
static sm_status check_drain(smi_op *op, smi_driver *d, sm_error *e)
{
    check_op *c = (check_op *)op;
    const sm_status st = c->side ? c->side->drain(c->side, d, e) : SM_OK;
    if (st == SM_END) {
        atomic_store(&c->has_enough, true);
        return SM_OK;
    }
    return st;
}

static bool check_is_empty(smi_op *op)
{
    check_op *c = (check_op *)op;
    return !c->side || atomic_load(&c->has_enough) || c->side->is_empty(c->side);
}

/* ---- first and last -------------------------------------------------------------------------- */

smi_op *smi_check_new(smi_execution *exec, const sm_plan_node *node, smi_op *next)
{
    check_op *c = SM_NEW(exec->arena, check_op);
    const int32_t side = node->as.check.side;
    const sm_sink *sink = side < exec->n_sides ? exec->sides[side] : NULL;
    *c = (check_op){.op = {.push = check_push,
                           .node = node,
                           .next = next,
                           .close = check_close,
                           .drain = check_drain,
                           .is_empty = check_is_empty},
                    .exec = exec,
                    .node = node,
                    .n_checks = node->as.check.n_checks,
                    .ring = sm_alloc_zero(RING * sizeof(slot)),
                    .sum = tally_new(node->as.check.n_checks)};
    c->is_full = sm_alloc_zero((size_t)c->n_checks * sizeof(*c->is_full));
    sm_mutex_init(&c->lock);
    if (sink && exec->side_lines && exec->side_lines[side] >= 0) {
        smi_origin_sink_init(&c->located, exec, sink, exec->side_lines[side]);
        sink = &c->located.sink;
    }
    c->side = sink ? smi_order_new(exec, sink, -1, 0, false) : NULL;
    return &c->op;
}

/* One batch of the first rows that were kept. */
static sm_status make_examples(const check_op *c, const examples *x, sm_batch **out, sm_error *e)
{
    sm_batch *all = NULL;
    SM_TRY(sm_batch_concat(x->rows.items, x->rows.n, true, c->exec->env->budget, &all, e));
    SM_ASSERT(all->n_rows >= x->n);
    const sm_status st = sm_batch_slice(all, 0, x->n, c->exec->env->budget, out, e);
    sm_batch_release(all);
    return st;
}

sm_status smi_check_end(smi_op *op, bool has_ended, sm_error *e)
{
    check_op *c = (check_op *)op;
    sm_exec_report *r = c->exec->report;
    sm_check_report *const reports = &r->checks[c->exec->check_at[c->node->id]];
    r->is_partial = r->is_partial || has_ended;
    for (int32_t i = 0; i < c->n_checks; i++) {
        const count *const sum = &c->sum->counts[i];
        reports[i].n_rows = c->sum->n_rows;
        reports[i].n_broken = sum->n_broken;
        reports[i].n_done = sum->n_done;
        if (sum->examples) {
            memcpy(reports[i].example_rows, sum->examples->at, sizeof(sum->examples->at));
            SM_TRY(make_examples(c, sum->examples, &reports[i].examples, e));
        }
    }
    return SM_OK;
}

void smi_check_free(smi_op *op)
{
    check_op *c = (check_op *)op;
    for (int i = 0; i < RING; i++) {
        tally_free(c->ring[i].tally, c->n_checks);
    }
    tally_free(c->sum, c->n_checks);
    smi_order_free(c->side);
    smi_origin_sink_release(&c->located);
    sm_mutex_release(&c->lock);
    sm_free(c->is_full);
    sm_free(c->ring);
}
