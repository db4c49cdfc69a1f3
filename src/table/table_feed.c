/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_feed.c: writes the rows that a replace changed into files of the change data feed.
 * Called by table_replace.c: for DELETE, UPDATE, MERGE, and a load that replaces rows.
 *
 * When     The files that a commit adds and removes tell which rows came and went, as long as none
 *          of them holds rows that stay. Where a file was written anew for some of its rows, they
 *          do not. Readers of a commit with files of changes look at these alone, so they get all
 *          that the commit changed: also the rows of files that went as wholes, and new rows.
 * Method   The changed files are read once more, by up to three plans:
 *            1. rows that went (delete), and rows that got other values, with the old ones
 *               (update_preimage)
 *            2. the latter with the new values (update_postimage)
 *            3. rows of the files that the write added (insert)
 *          Changes of a partitioned table are sorted by partition, so that each plan writes one
 *          file for each. Reading twice costs time, and no memory: rows that change, kept while the
 *          others are written, would have to be spilled.
 * Files    _change_data/[PARTITION/]cdc-….parquet: the columns of a data file, then _change_type.
 * Source   PROTOCOL.md, "Change Data Files", "Writer Requirements for AddCDCFile" */
#include "table/table_int.h"

typedef struct feeding {
    sm_stage *stage;
    const smi_feed *feed;
    sm_arena *arena;
    int32_t n_columns; /* of the table */
} feeding;

/* ---- plans ----------------------------------------------------------------------------------- */

static const sm_expr *word(const feeding *f, const char *text)
{
    return sm_expr_constant(sm_value_str(sm_str_of(text)), f->arena);
}

static const sm_expr *truth(const feeding *f, bool b)
{
    return sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = b}, f->arena);
}

/* `then` for a row that goes, else `otherwise`. */
static sm_status if_it_goes(const feeding *f, const sm_expr *then, const sm_expr *otherwise,
                            const sm_expr **out, sm_error *e)
{
    const sm_expr *const parts[] = {f->stage->change.rows.deletes, then, otherwise};

    return sm_expr_case(parts, SM_COUNT(parts), f->arena, out, e);
}

static sm_status sort_by_partition(const feeding *f, const sm_plan_node *rows,
                                   const sm_plan_node **out, sm_error *e)
{
    const smi_out *o = &f->stage->feed;
    sm_sort_key *keys = SM_NEW_ARRAY(f->arena, sm_sort_key, o->n_partition + 1);

    for (int32_t i = 0; i < o->n_partition; i++) {
        keys[i].expr = sm_expr_column(rows->schema, o->keys[i], f->arena);
    }
    *out = rows;
    return o->n_partition > 0 ? sm_plan_sort(rows, keys, o->n_partition, f->arena, out, e) : SM_OK;
}

/* Plans the table's columns, which are `values` (NULL: the first of `rows`), and the kind. */
static sm_status plan_changes(const feeding *f, const sm_plan_node *rows,
                              const sm_expr *const *values, const sm_expr *kind, sm_plan **out,
                              sm_error *e)
{
    const sm_type *schema = f->stage->out.schema;
    const sm_statement *statement = f->stage->change.statement;
    const sm_expr **exprs = SM_NEW_ARRAY(f->arena, const sm_expr *, f->n_columns + 1);
    sm_str *names = SM_NEW_ARRAY(f->arena, sm_str, f->n_columns + 1);

    SM_ASSERT(rows->schema->n_fields >= f->n_columns);
    for (int32_t i = 0; i < f->n_columns; i++) {
        exprs[i] = values ? values[i] : sm_expr_column(rows->schema, i, f->arena);
        names[i] = schema->fields[i].name;
    }
    exprs[f->n_columns] = kind;
    names[f->n_columns] = SM_STR(SM_CHANGE_TYPE);
    rows = sm_plan_project(rows, exprs, names, f->n_columns + 1, f->arena);
    SM_TRY(sort_by_partition(f, rows, &rows, e));
    return statement ? sm_statement_finish(statement, rows, f->arena, out, e)
                     : sm_plan_finish(rows, f->arena, out, e);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The table's columns, and the kind of change behind them. */
static const sm_type *feed_schema(const feeding *f)
{
    sm_arena *a = f->stage->out.arena;
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, f->n_columns + 1);

    memcpy(fields, f->stage->out.schema->fields, (size_t)f->n_columns * sizeof(*fields));
    fields[f->n_columns] =
        (sm_field){.name = SM_STR(SM_CHANGE_TYPE), .type = &sm_type_string, .is_nullable = true};
    return sm_type_struct(a, fields, f->n_columns + 1);
}

static void open_feed(const feeding *f)
{
    const smi_out *rows = &f->stage->out;
    smi_out *o = &f->stage->feed;

    SM_ASSERT(!o->store && rows->state == SMI_OUT_NONE);
    *o = (smi_out){
        .store = rows->store,
        .env = rows->env,
        .arena = rows->arena,
        .metadata = rows->metadata,
        .schema = feed_schema(f),
        .folder = SM_STR(SM_CHANGE_FOLDER),
        .file_bytes = rows->file_bytes,
        .format = rows->format,
        .options = rows->options,
    };
    smi_partition_out(o);
}

static sm_status execute(const feeding *f, const sm_plan *plan, sm_error *e)
{
    const sm_sink sink = {.ctx = &f->stage->feed, .push = smi_out_push, .finish = smi_out_finish};

    SM_ASSERT(plan->root->schema->n_fields == f->n_columns + 1);
    return sm_exec_run(plan, &f->stage->env, &sink, NULL, NULL, e);
}

/* ---- the kinds of rows ----------------------------------------------------------------------- */

static sm_status write_old(const feeding *f, sm_error *e)
{
    const sm_plan_node *rows = NULL;
    const sm_expr *kind = NULL;
    sm_plan *plan = NULL;

    SM_TRY(sm_plan_filter(f->feed->rows, f->stage->change.rows.acts, f->arena, &rows, e));
    SM_TRY(if_it_goes(f, word(f, "delete"), word(f, "update_preimage"), &kind, e));
    SM_TRY(plan_changes(f, rows, NULL, kind, &plan, e));
    return execute(f, plan, e);
}

/* Lets the table compute what the statement does not set. That these rows keep its rules was seen
 * when they were written into its own files. */
static sm_status compute_columns(const feeding *f, sm_error *e)
{
    smi_out *o = &f->stage->feed;
    int32_t *order = SM_NEW_ARRAY(f->arena, int32_t, f->n_columns + 1);

    memcpy(order, smi_replace_order(f->stage, f->arena), (size_t)f->n_columns * sizeof(*order));
    order[f->n_columns] = f->n_columns;
    SM_TRY(smi_rules_settle(o->metadata, order, f->arena, &o->rules, e));
    o->rules.n = 0;
    o->order = order;
    return SM_OK;
}

static sm_status write_new_values(const feeding *f, sm_error *e)
{
    const sm_row_change *c = &f->stage->change.rows;
    const sm_expr *stays = NULL;
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    if (!c->values) {
        return SM_OK;
    }
    SM_TRY(if_it_goes(f, truth(f, false), truth(f, true), &stays, e));
    SM_TRY(sm_plan_filter(f->feed->rows, c->acts, f->arena, &rows, e));
    SM_TRY(sm_plan_filter(rows, stays, f->arena, &rows, e));
    SM_TRY(plan_changes(f, rows, c->values, word(f, "update_postimage"), &plan, e));
    SM_TRY(compute_columns(f, e));
    const sm_status st = execute(f, plan, e);
    f->stage->feed.order = NULL;
    f->stage->feed.rules = (smi_rules){0};
    return st;
}

static sm_status write_new_rows(const feeding *f, sm_error *e)
{
    const sm_candidate *c = f->stage->candidate;
    const sm_delta_add *adds = f->stage->out.adds;
    sm_dataset *d = SM_NEW(f->arena, sm_dataset);
    int32_t *columns = NULL;
    sm_plan *plan = NULL;

    if (f->feed->n_new == 0) {
        return SM_OK;
    }
    SM_TRY(sm_delta_dataset(smi_candidate_metadata(c), f->arena, d, &columns, e));
    d->files = SM_NEW_ARRAY(f->arena, sm_datafile, f->feed->n_new);
    for (; d->n_files < f->feed->n_new; d->n_files++) {
        d->files[d->n_files] = smi_added_file(c, &adds[d->n_files], columns, f->arena);
    }
    const sm_relation relation = {.dataset = d, .label = c->uri};
    const sm_plan_node *rows = smi_scan_in_order(&relation, columns, f->n_columns, f->arena);
    SM_TRY(plan_changes(f, rows, NULL, word(f, "insert"), &plan, e));
    return execute(f, plan, e);
}

sm_status smi_feed_write(sm_stage *s, const smi_feed *feed, sm_error *e)
{
    const feeding f = {
        .stage = s,
        .feed = feed,
        .arena = feed->arena,
        .n_columns = s->out.schema->n_fields,
    };

    SM_ASSERT(s->state == SMI_STAGE_SETTLING && feed->rows);
    SM_ASSERT(feed->n_new >= 0 && feed->n_new <= s->out.n_adds);
    open_feed(&f);
    SM_TRY(write_old(&f, e));
    SM_TRY(write_new_values(&f, e));
    return write_new_rows(&f, e);
}
