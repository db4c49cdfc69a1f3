/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_constrain.c: `smelt table constrain`: the row rules of a contract become constraints of a
 * table, by one commit, so that other writers keep them too. Called by cmd_table.c.
 *
 * A rule whose constraint the table has already is passed over, so the command can be repeated. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_contract_int.h"

#define CONSTRAINT "delta.constraints."

/* What is to be added to a table. */
typedef struct constraining {
    sm_pair *constraints; /* of the contract */
    bool *is_new;         /* one a constraint: the table has it not yet */
    int32_t n;
    sm_alter *items; /* of those that are new */
    int32_t n_items;
    sm_contract_note *notes;
    int64_t n_notes;
    sm_altered done;
} constraining;

/* The condition of the constraint of that name, case aside; "": the table has none. */
static sm_str condition_of(const sm_delta_metadata *m, sm_str name, sm_arena *a)
{
    const sm_str key = sm_arena_strf(a, CONSTRAINT "%.*s", SM_STR_ARG(name));

    for (int32_t i = 0; i < m->n_config; i++) {
        if (sm_str_eq_nocase(m->config[i].key, key)) {
            return m->config[i].value;
        }
    }
    return (sm_str){0};
}

static sm_status plan_one(smi_cli *cli, constraining *x, int32_t i, const sm_delta_metadata *m,
                          sm_error *e)
{
    const sm_pair *c = &x->constraints[i];
    const sm_str there = condition_of(m, c->key, cli->arena);

    SM_ASSERT(c->key.len > 0 && c->value.len > 0);
    x->is_new[i] = there.len == 0;
    if (x->is_new[i]) {
        x->items[x->n_items++] =
            (sm_alter){.kind = SM_ALTER_ADD_CONSTRAINT,
                       .name = c->key,
                       .text = c->value,
                       .sql = sm_arena_strf(cli->arena, "ADD CONSTRAINT %.*s", SM_STR_ARG(c->key))};
        return SM_OK;
    }
    if (sm_str_eq(there, c->value)) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_EXISTS, "the table has another constraint \"%.*s\": %.*s",
                                 SM_STR_ARG(c->key), SM_STR_ARG(there));
    sm_error_todo(e, "Drop it first: smelt table alter URI 'DROP CONSTRAINT %.*s'.",
                  SM_STR_ARG(c->key));
    return st;
}

/* Which constraints the table needs, by its newest version. */
static sm_status plan_all(smi_cli *cli, constraining *x, sm_store *store, const sm_contract *c,
                          const sm_contract_table *t, sm_error *e)
{
    const sm_table_at newest = {.kind = SM_AT_NEWEST};
    sm_snapshot *s = NULL;
    SM_ASSERT(x->n == 0 && x->n_items == 0);

    SM_TRY(sm_table_open_at(store, &newest, cli->env.budget, &s, e));
    const sm_delta_metadata *m = sm_snapshot_metadata(s);
    const sm_type *schema = sm_type_copy(cli->arena, m->schema);
    sm_status st = sm_contract_constraints(c, t, schema, cli->arena, &x->constraints, &x->n,
                                           &x->notes, &x->n_notes, e);
    if (st == SM_OK) {
        x->items = SM_NEW_ARRAY(cli->arena, sm_alter, x->n + 1);
        x->is_new = SM_NEW_ARRAY(cli->arena, bool, x->n + 1);
    }
    for (int32_t i = 0; i < x->n && st == SM_OK; i++) {
        st = plan_one(cli, x, i, m, e);
    }
    x->done = (sm_altered){.from = sm_snapshot_version(s), .version = -1};
    sm_snapshot_release(s);
    return st;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void answer(smi_cli *cli, sm_str uri, sm_str file, const constraining *x, bool is_dry)
{
    sm_buf out = {0}, text = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "table", uri);
    sm_json_set_bool(&w, "dry_run", is_dry);
    sm_json_set_i64(&w, "from", x->done.from);
    sm_json_set_i64_or_null(&w, "version", x->done.version);
    sm_json_set_array(&w, "constraints");
    for (int32_t i = 0; i < x->n; i++) {
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "name", x->constraints[i].key);
        sm_json_set_text(&w, "check", x->constraints[i].value);
        sm_json_set_bool(&w, "new", x->is_new[i]);
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_set_array(&w, "left_out");
    for (int64_t i = 0; i < x->n_notes; i++) {
        sm_buf_reset(&text);
        smi_note_put(&text, file, &x->notes[i]);
        sm_json_put_text(&w, sm_buf_str(&text));
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    sm_buf_release(&text);
    smi_answer_print(cli, &w);
}

static void print_report(sm_str uri, const constraining *x, bool is_dry)
{
    char added[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(x->n_items <= x->n);
    for (int32_t i = 0; i < x->n; i++) {
        printf("%s  %.*s: %.*s\n", x->is_new[i] ? "new  " : "there",
               SM_STR_ARG(x->constraints[i].key), SM_STR_ARG(x->constraints[i].value));
    }
    sm_format_counted(x->n_items, "constraint", added);
    if (x->n_items == 0) {
        printf("nothing changed: %.*s stays as it is\n", SM_STR_ARG(uri));
    } else if (is_dry) {
        printf("would add %s to %.*s, which stays at version %" PRId64 ": this was a dry run\n",
               added, SM_STR_ARG(uri), x->done.from);
    } else {
        printf("added %s: version %" PRId64 " of %.*s\n", added, x->done.version, SM_STR_ARG(uri));
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status constrain(smi_cli *cli, sm_store *store, const sm_contract *c,
                           const sm_contract_table *t, bool is_dry, sm_error *e)
{
    const sm_str file = c->yaml.name;
    constraining x = {0};
    SM_ASSERT(t >= c->tables && t < c->tables + c->n_tables);

    SM_TRY(is_dry ? SM_OK : smi_settle_first(cli, store, e));
    SM_TRY(plan_all(cli, &x, store, c, t, e));
    if (x.n_items > 0) {
        SM_TRY(
            sm_table_alter(store, x.items, x.n_items, is_dry, &cli->env, cli->arena, &x.done, e));
    }
    smi_notes_tell(file, x.notes, x.n_notes);
    if (cli->globals.json) {
        answer(cli, sm_store_uri(store), file, &x, is_dry);
    } else {
        print_report(sm_store_uri(store), &x, is_dry);
    }
    return SM_OK;
}

sm_status smi_constrain_run(smi_cli *cli, const char *uri, const char *contract, const char *table,
                            bool is_dry, sm_error *e)
{
    sm_contract *c = NULL;
    const sm_contract_table *t = NULL;
    sm_store *store = NULL;

    SM_TRY(smi_contract_read(cli, contract, &c, e));
    SM_TRY(sm_contract_find(c, sm_str_of(table ? table : ""), cli->arena, &t, e));
    SM_TRY(sm_store_open(cli->env.stores, sm_str_of(uri), &store, e));
    const sm_status st = constrain(cli, store, c, t, is_dry, e);
    sm_store_release(store);
    return st;
}
