/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/clickhouse.c: publishes a Delta table in S3 as a table of ClickHouse, by its DeltaLake
 * engine.
 *
 * Calls    sm_clickhouse_publish_table(), by flow_connection.c and cmd_publish.c.
 * Method   First a *staged* table of another name is made over the same files, and what the server
 *          reads there is compared with what smelt reads at the same version. Only then the table
 *          itself is made or replaced, in one statement, and the staged one is dropped. Each
 *          statement may be carried out twice without harm, so it is simply sent again where its
 *          answer was lost.
 * Refused  A table of that name that reads something else: it belongs to somebody.
 * Compared Both sides answer one row of integers: the number of rows; for each column the number of
 *          values that are not NULL and, by its type, the sum of its integers modulo MODULUS, of
 *          its days, or of the bytes of its texts. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "serve/serve_int.h"

#define MODULUS        1000000007 /* so that no sum of 64-bit integers overflows */
#define TEXT_OF(x)     #x
#define TEXT(macro)    TEXT_OF(macro)
#define VERSIONS_TRIED 5 /* comparisons, while others keep changing the table */

typedef struct publishing {
    const sm_clickhouse_publish *p;
    const sm_exec_env *env;
    smi_clickhouse server;
    sm_store *store;
    sm_store_access access;
    sm_arena *arena;
    sm_str name, staged; /* `database`.`table`, quoted; set by set_names() */
    sm_str staged_table; /* not quoted */
} publishing;

/* ---- what is compared ------------------------------------------------------------------------ */

/* What is summed of a column, besides counting its values. */
typedef enum summing { SUM_NOTHING, SUM_INTEGERS, SUM_DAYS, SUM_BYTES, SUMMINGS } summing;

static summing summing_of(const sm_type *type)
{
    switch (type->id) {
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_I64:
        return SUM_INTEGERS;
    case SM_TYPE_STRING:
        return SUM_BYTES;
    case SM_TYPE_DATE:
        return SUM_DAYS;
    default:
        return SUM_NOTHING;
    }
}

/* ---- what smelt reads ------------------------------------------------------------------------ */

/* The values of the only row, separated by tabs, as ClickHouse prints them. */
static sm_status print_only_row(sm_batch *const *batches, int64_t n, const publishing *w,
                                sm_str *out, sm_error *e)
{
    sm_buf text = {0};
    if (n != 1 || batches[0]->n_rows != 1) {
        return sm_fail(e, SM_INTERNAL, "a query for one row gave none, or more than one");
    }
    for (int32_t i = 0; i < batches[0]->n_columns; i++) {
        sm_buf_text(&text, i > 0 ? SM_STR("\t") : SM_STR(""));
        sm_column_print(&batches[0]->columns[i], 0, &text);
    }
    *out = sm_arena_str(w->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return SM_OK;
}

/* The expression of the number that is summed for each value of a column. */
static sm_status number_of(const sm_expr *column, summing sum, sm_arena *a, const sm_expr **out,
                           sm_error *e)
{
    const sm_expr *const modulo[] = {column, sm_expr_constant(sm_value_i64(MODULUS), a)};
    const sm_expr *const days[] = {
        sm_expr_constant(sm_value_str(SM_STR("day")), a),
        sm_expr_constant((sm_value){.type = &sm_type_date, .as.i = 0}, a),
        column,
    };
    SM_ASSERT(sum > SUM_NOTHING && sum < SUMMINGS);
    return sum == SUM_INTEGERS ? sm_expr_call("%", modulo, 2, a, out, e)
           : sum == SUM_DAYS   ? sm_expr_call("datediff", days, 3, a, out, e)
                               : sm_expr_call("strlen", &column, 1, a, out, e);
}

/* Appends the aggregates of one column: one or two items. */
static sm_status add_items(const sm_expr *column, sm_arena *a, sm_agg_item *items, int32_t *n,
                           sm_error *e)
{
    const summing sum = summing_of(column->type);
    const sm_expr *number = NULL;

    SM_TRY(sm_expr_call("count", &column, 1, a, &items[(*n)++].call, e));
    if (sum == SUM_NOTHING) {
        return SM_OK;
    }
    SM_TRY(number_of(column, sum, a, &number, e));
    return sm_expr_call("sum", &number, 1, a, &items[(*n)++].call, e);
}

/* Puts 0 in the place of NULL, which is the sum of no values. */
static sm_status without_null(const sm_plan_node *sums, sm_arena *a, const sm_plan_node **out,
                              sm_error *e)
{
    const int32_t n = sums->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n);

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *const args[] = {sm_expr_column(sums->schema, i, a),
                                       sm_expr_constant(sm_value_i64(0), a)};
        SM_TRY(sm_expr_call("coalesce", args, 2, a, &exprs[i], e));
        names[i] = sums->schema->fields[i].name;
    }
    *out = sm_plan_project(sums, exprs, names, n, a);
    return SM_OK;
}

/* One row: count(*), then the aggregates of each column. */
static sm_status plan_sums(const publishing *w, const sm_snapshot *s, sm_plan **out, sm_error *e)
{
    sm_arena *a = w->arena;
    const int32_t n = sm_snapshot_metadata(s)->schema->n_fields;
    sm_agg_item *items = SM_NEW_ARRAY(a, sm_agg_item, 2 * n + 1);
    sm_dataset *d = SM_NEW(a, sm_dataset);
    int32_t *columns = NULL, n_items = 0;
    const sm_plan_node *sums = NULL, *row = NULL;

    SM_TRY(sm_snapshot_dataset(s, a, d, &columns, e));
    const sm_relation relation = {.dataset = d, .label = w->p->table_uri};
    const sm_plan_node *scan = sm_plan_scan(&relation, false, a);
    SM_TRY(sm_expr_call("count", NULL, 0, a, &items[n_items++].call, e));
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(add_items(sm_expr_column(d->schema, columns[i], a), a, items, &n_items, e));
    }
    SM_ASSERT(n_items > n && n_items <= 2 * n + 1);
    SM_TRY(sm_plan_aggregate(scan, NULL, 0, items, n_items, a, &sums, e));
    SM_TRY(without_null(sums, a, &row, e));
    return sm_plan_finish(row, a, out, e);
}

static sm_status ask_smelt(const publishing *w, const sm_snapshot *s, sm_str *out, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **batches = NULL;
    int64_t n = 0;

    SM_TRY(plan_sums(w, s, &plan, e));
    sm_status st = sm_exec_collect(plan, w->env, w->arena, &batches, &n, NULL, e);
    st = st == SM_OK ? print_only_row(batches, n, w, out, e) : st;
    for (int64_t i = 0; i < n; i++) {
        sm_batch_release(batches[i]);
    }
    return st;
}

/* ---- what ClickHouse reads ------------------------------------------------------------------- */

/* The same query as plan_sums() in ClickHouse's SQL. */
static sm_str sums_statement(const publishing *w, const sm_type *schema)
{
    static const struct {
        const char *before, *after; /* a column's name */
    } sums[] = {
        [SUM_INTEGERS] = {", ifNull(sum(toInt64(", ") % " TEXT(MODULUS) "), 0)"},
        [SUM_DAYS] = {", ifNull(sum(toInt64(toInt32(", "))), 0)"},
        [SUM_BYTES] = {", ifNull(sum(length(", ")), 0)"},
    };
    static_assert(SM_COUNT(sums) == SUMMINGS, "each kind of sum has its SQL");
    SM_ASSERT(w->staged.len > 0);
    sm_buf out = {0};
    sm_buf_text(&out, SM_STR("SELECT count(*)"));
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_field *f = &schema->fields[i];
        const summing sum = summing_of(f->type);
        const sm_str name = smi_clickhouse_name(f->name, w->arena);
        sm_buf_printf(&out, ", count(%.*s)", SM_STR_ARG(name));
        if (sum != SUM_NOTHING) {
            sm_buf_printf(&out, "%s%.*s%s", sums[sum].before, SM_STR_ARG(name), sums[sum].after);
        }
    }
    sm_buf_printf(&out, " FROM %.*s", SM_STR_ARG(w->staged));
    const sm_str text = sm_arena_str(w->arena, sm_buf_str(&out));
    sm_buf_release(&out);
    return text;
}

static sm_str without_lf(sm_str s)
{
    while (s.len > 0 && s.data[s.len - 1] == '\n') {
        s.len--;
    }
    return s;
}

/* Makes or replaces a table of that name over the Delta table's files. */
static sm_status make_table(const publishing *w, sm_str name, const char *doing, sm_error *e)
{
    SM_ASSERT(sm_str_eq(name, w->name) || sm_str_eq(name, w->staged));
    const sm_store_access *k = &w->access;
    sm_buf text = {0};
    sm_buf_text(&text, SM_STR("CREATE OR REPLACE TABLE "));
    sm_buf_text(&text, name);
    sm_buf_text(&text, SM_STR(" ENGINE = DeltaLake("));
    sm_buf_text(&text, smi_clickhouse_text(k->url, w->arena));
    sm_buf_text(&text, SM_STR(", "));
    if (k->is_anonymous) {
        sm_buf_text(&text, SM_STR("NOSIGN"));
    } else {
        sm_buf_text(&text, smi_clickhouse_text(k->key_id, w->arena));
        sm_buf_text(&text, SM_STR(", "));
        sm_buf_text(&text, smi_clickhouse_text(k->secret, w->arena));
    }
    sm_buf_text(&text, SM_STR(")"));
    const sm_status st = smi_clickhouse_ask(&w->server, doing, sm_buf_str(&text), NULL, e);
    explicit_bzero(text.data, text.len);
    sm_buf_release(&text);
    return st;
}

static sm_status drop_staged(const publishing *w, sm_error *e)
{
    SM_ASSERT(w->staged.len > 0 && !sm_str_eq(w->staged, w->name)); /* never the table itself */
    return smi_clickhouse_ask(
        &w->server, "drop the table that was compared",
        sm_arena_strf(w->arena, "DROP TABLE IF EXISTS %.*s SYNC", SM_STR_ARG(w->staged)), NULL, e);
}

/* Where there is a table of that name, it must read these files already. */
static sm_status check_owner(const publishing *w, sm_error *e)
{
    sm_str engine;
    const sm_str database = smi_clickhouse_text(w->server.database, w->arena);
    const sm_str table = smi_clickhouse_text(w->p->table, w->arena);
    SM_TRY(smi_clickhouse_ask(
        &w->server, "look for the table",
        sm_arena_strf(w->arena,
                      "SELECT engine_full FROM system.tables WHERE database = %.*s AND name = %.*s "
                      "FORMAT TSVRaw",
                      SM_STR_ARG(database), SM_STR_ARG(table)),
        &engine, e));
    const sm_str url = smi_clickhouse_text(w->access.url, w->arena);
    if (engine.len == 0 || (sm_str_starts(engine, SM_STR("DeltaLake")) &&
                            memmem(engine.data, engine.len, url.data, url.len))) {
        return SM_OK;
    }
    sm_fail(e, SM_EXISTS, "%.*s exists already and is something else: %.80s", SM_STR_ARG(w->name),
            without_lf(engine).data);
    sm_error_todo(e, "Drop it, or publish under another name.");
    return SM_EXISTS;
}

static sm_status check_columns(const publishing *w, const sm_type *schema, sm_str server,
                               sm_error *e)
{
    sm_str got;
    sm_buf want = {0};
    const sm_str database = smi_clickhouse_text(w->server.database, w->arena);
    const sm_str table = smi_clickhouse_text(w->staged_table, w->arena);
    SM_TRY(smi_clickhouse_ask(
        &w->server, "describe the table",
        sm_arena_strf(w->arena,
                      "SELECT name FROM system.columns WHERE database = %.*s AND table = %.*s "
                      "ORDER BY position FORMAT TSVRaw",
                      SM_STR_ARG(database), SM_STR_ARG(table)),
        &got, e));
    for (int32_t i = 0; i < schema->n_fields; i++) {
        sm_buf_text(&want, schema->fields[i].name);
        sm_buf_text(&want, SM_STR("\n"));
    }
    const bool is_same = sm_str_eq(got, sm_buf_str(&want));
    sm_buf_release(&want);
    return is_same ? SM_OK
                   : sm_fail(e, SM_SCHEMA, "ClickHouse %.*s reads other columns than the table has",
                             SM_STR_ARG(server));
}

/* Compares the staged table with what smelt reads. SM_CONFLICT where the table got another version
 * meanwhile. */
static sm_status compare_tables(publishing *w, sm_str server, sm_clickhouse_published *out,
                                sm_error *e)
{
    sm_snapshot *s = NULL, *after = NULL;
    sm_str here = {0}, there = {0};
    SM_TRY(sm_snapshot_open_head(w->store, -1, w->env->budget, &s, e));
    const sm_type *schema = sm_snapshot_metadata(s)->schema;
    const int64_t version = sm_snapshot_version(s);
    sm_status st = check_columns(w, schema, server, e);
    st = st == SM_OK ? ask_smelt(w, s, &here, e) : st;
    st = st == SM_OK ? smi_clickhouse_ask(&w->server, "read the table", sums_statement(w, schema),
                                          &there, e)
                     : st;
    st = st == SM_OK ? sm_snapshot_open_head(w->store, -1, w->env->budget, &after, e) : st;
    if (st == SM_OK && sm_snapshot_version(after) != version) {
        st = sm_fail(e, SM_CONFLICT, "the table changed while it was compared");
    } else if (st == SM_OK && !sm_str_eq(here, without_lf(there))) {
        st = sm_fail(e, SM_CORRUPT,
                     "ClickHouse %.*s misreads the table: it has %.60s, and should have "
                     "%.60s",
                     SM_STR_ARG(server), without_lf(there).data, here.data);
        sm_error_todo(e, "Nothing was published. Try a newer ClickHouse.");
    }
    if (st == SM_OK) {
        out->version = version;
        (void)sscanf(here.data, "%" SCNd64, &out->rows);
    }
    sm_snapshot_release(s);
    sm_snapshot_release(after);
    return st;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status find_access(publishing *w, sm_error *e)
{
    SM_TRY(sm_store_open(w->env->stores, w->p->table_uri, &w->store, e));
    SM_TRY(sm_store_access_of(w->store, w->arena, &w->access, e));
    w->server.hidden = w->access.secret;
    if (w->access.is_temporary) {
        sm_fail(e, SM_UNSUPPORTED, "these keys expire: ClickHouse could not read the table then");
        sm_error_todo(e, "Give it keys that last: AWS_ACCESS_KEY_ID without a session token.");
        return SM_UNSUPPORTED;
    }
    return SM_OK;
}

static void set_names(publishing *w)
{
    sm_arena *a = w->arena;
    const sm_str database = smi_clickhouse_name(w->server.database, a);
    const sm_str table = smi_clickhouse_name(w->p->table, a);
    w->staged_table = sm_arena_strf(a, "%.*s__smelt_staged", SM_STR_ARG(w->p->table));
    const sm_str staged = smi_clickhouse_name(w->staged_table, a);
    w->name = sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(database), SM_STR_ARG(table));
    w->staged = sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(database), SM_STR_ARG(staged));
}

static sm_status publish_table(publishing *w, sm_clickhouse_published *out, sm_error *e)
{
    sm_str server;
    SM_TRY(find_access(w, e));
    SM_TRY(
        smi_clickhouse_ask(&w->server, "say its version", SM_STR("SELECT version()"), &server, e));
    server = without_lf(server);
    snprintf(out->server, sizeof(out->server), "%.*s", (int)server.len, server.data);
    set_names(w);
    SM_TRY(check_owner(w, e));
    SM_TRY(make_table(w, w->staged, "make a table over these files", e));
    sm_status st = SM_CONFLICT;
    for (int i = 0; i < VERSIONS_TRIED && st == SM_CONFLICT; i++) {
        st = compare_tables(w, server, out, e);
    }
    st = st == SM_OK ? make_table(w, w->name, "make the table", e) : st;
    sm_error unused = {0};
    const sm_status dropped = drop_staged(w, st == SM_OK ? e : &unused);
    return st == SM_OK ? dropped : st;
}

sm_status sm_clickhouse_publish_table(const sm_clickhouse_publish *p, const sm_exec_env *env,
                                      sm_clickhouse_published *out, sm_error *e)
{
    SM_ASSERT(p && env->stores && env->budget);
    publishing w = {.p = p, .env = env, .arena = sm_arena_new(env->budget)};
    sm_status st = smi_clickhouse_open(p, w.env->stores, w.arena, &w.server, e);
    st = st == SM_OK ? publish_table(&w, out, e) : st;
    sm_store_release(w.store);
    sm_arena_free(w.arena);
    return sm_within(e, st, "publishing %.*s", SM_STR_ARG(p->table_uri));
}
