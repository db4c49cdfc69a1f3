/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_alter.c: `smelt table alter`: its arguments are what stands behind ALTER TABLE in SQL,
 * and all of them become one commit; --enable and --readers are short for properties. Calls the
 * table room and prints what was done. Called by cmd_table.c. */
#include <inttypes.h>

#include "base/text.h"
#include "cli/cli_int.h"

/* What --enable turns on. */
static const struct switched {
    const char *name, *sql;
} switches[] = {
    {"column-mapping", "SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"},
    {"type-widening", "SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')"},
};

typedef struct changes {
    sm_alter *items;
    int64_t n, cap;
} changes;

static sm_status add_sql(smi_cli *cli, sm_str text, changes *c, sm_error *e)
{
    const sm_sql sql = {.name = SM_STR(""), .text = text};
    sm_alter *items = NULL;
    int32_t n = 0;

    SM_TRY(sm_query_alter(&sql, cli->arena, &items, &n, e));
    for (int32_t i = 0; i < n; i++) {
        c->items = sm_arena_grow(cli->arena, c->items, c->n, &c->cap, sizeof(*c->items));
        c->items[c->n++] = items[i];
    }
    return SM_OK;
}

static sm_status add_switch(smi_cli *cli, const char *name, changes *c, sm_error *e)
{
    for (int i = 0; i < SM_COUNT(switches); i++) {
        if (strcmp(switches[i].name, name) == 0) {
            return add_sql(cli, sm_str_of(switches[i].sql), c, e);
        }
    }
    const sm_status st =
        sm_fail(e, SM_USAGE, "--enable \"%s\" is nothing that can be turned on", name);
    sm_error_todo(e, "It is column-mapping or type-widening. Other features are turned on by their "
                     "property: SET TBLPROPERTIES (…).");
    return st;
}

static void add_readers(smi_cli *cli, const char *list, changes *c)
{
    c->items = sm_arena_grow(cli->arena, c->items, c->n, &c->cap, sizeof(*c->items));
    c->items[c->n++] = (sm_alter){
        .kind = list[0] ? SM_ALTER_SET_PROPERTY : SM_ALTER_UNSET_PROPERTY,
        .name = SM_STR("smelt.readers"),
        .text = sm_str_of(list),
        .if_exists = true,
        .sql = sm_arena_strf(cli->arena, "readers: %s", list),
    };
}

/* What is turned on comes first: a change may need it. */
static sm_status read_changes(smi_cli *cli, char **args, int n_args, const smi_alter_opts *o,
                              changes *out, sm_error *e)
{
    for (int32_t i = 0; i < o->enable.n; i++) {
        SM_TRY(add_switch(cli, o->enable.items[i], out, e));
    }
    if (o->readers) {
        add_readers(cli, o->readers, out);
    }
    for (int i = 0; i < n_args; i++) {
        SM_TRY(add_sql(cli, sm_str_of(args[i]), out, e));
    }
    if (out->n > 0) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "smelt table alter needs a change");
    sm_error_todo(e, "Like: smelt table alter URI 'ADD COLUMN a BIGINT'.");
    return st;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void answer(smi_cli *cli, sm_str uri, bool is_dry, const sm_altered *r)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", uri);
    sm_json_set_bool(&w, "dry_run", is_dry);
    sm_json_set_i64_or_null(&w, "from", r->from);
    sm_json_set_i64_or_null(&w, "version", r->version);
    sm_json_set_bool(&w, "changed", r->is_changed);
    sm_json_set_array(&w, "features");
    for (int32_t i = 0; i < r->n_features; i++) {
        sm_json_put_text(&w, r->features[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_object(&w, "protocol");
    sm_json_set_i64(&w, "reader", r->min_reader);
    sm_json_set_i64(&w, "writer", r->min_writer);
    sm_json_end_object(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_report(sm_str uri, bool is_dry, const sm_altered *r)
{
    SM_ASSERT(r->is_changed || r->version < 0);
    if (!r->is_changed) {
        printf("nothing changed: %.*s stays as it is\n", SM_STR_ARG(uri));
        return;
    }
    if (is_dry) {
        printf("would change %.*s, which stays at version %" PRId64 ": this was a dry run\n",
               SM_STR_ARG(uri), r->from);
    } else {
        printf("version %" PRId64 " of %.*s\n", r->version, SM_STR_ARG(uri));
    }
    for (int32_t i = 0; i < r->n_features; i++) {
        printf("%s%.*s", i == 0 ? "turned on " : ", ", SM_STR_ARG(r->features[i]));
    }
    if (r->n_features > 0) {
        printf(": the table needs reader %d, writer %d\n", r->min_reader, r->min_writer);
    }
}

sm_status smi_alter_table(smi_cli *cli, char **args, int n_args, const smi_alter_opts *o,
                          bool is_dry, sm_error *e)
{
    sm_store *store = NULL;
    changes c = {0};
    sm_altered r = {0};

    SM_ASSERT(n_args >= 1);
    SM_TRY(read_changes(cli, args + 1, n_args - 1, o, &c, e));
    SM_TRY(sm_store_open(cli->env.stores, sm_str_of(args[0]), &store, e));
    sm_status st = is_dry ? SM_OK : smi_settle_first(cli, store, e);
    if (st == SM_OK) {
        st = sm_table_alter(store, c.items, (int32_t)c.n, is_dry, &cli->env, cli->arena, &r, e);
    }
    if (st == SM_OK && cli->globals.json) {
        answer(cli, sm_store_uri(store), is_dry, &r);
    } else if (st == SM_OK) {
        print_report(sm_store_uri(store), is_dry, &r);
    }
    sm_store_release(store);
    return st;
}
