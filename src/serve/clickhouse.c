/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/clickhouse.c: a Delta table in S3 becomes a table of ClickHouse, by its DeltaLake engine.
 *
 * Calls    sm_clickhouse_publish_table, by cli's publish.
 * Method   A table of another name is made over the same files first, and what the server reads
 *          there is compared with what smelt reads at the same version. Only then the name itself
 *          is made or replaced, in one statement, and the other dropped. Each statement may be
 *          carried out twice without harm, so a lost answer needs no thought.
 * Refused  A table that is there and reads something else: it is somebody's.
 * Compared Both sides answer one row of integers: rows; for each column its values that are not
 *          NULL, and the sum of integers modulo MODULUS, of days, of a text's bytes. */
#include <inttypes.h>
#include <stdio.h>

#include "serve/serve_int.h"

#define MODULUS        "1000000007" /* so that no sum of 64-bit integers overflows */
#define VERSIONS_TRIED 5

typedef struct publishing {
    const sm_clickhouse_publish *p;
    const sm_exec_env *env;
    smi_clickhouse server;
    sm_store *store;
    sm_store_access access;
    sm_arena *arena;
    sm_str name, staged; /* `database`.`table`, quoted */
    sm_str staged_table;
} publishing;

/* ---- the two questions ----------------------------------------------------------------------- */

/* In quotes, as smelt's SQL has names (") and texts ('). */
static sm_str sql_quoted(sm_str s, char quote, sm_arena *a)
{
    char *out = sm_arena_alloc(a, 2 * s.len + 3);
    size_t n = 0;
    out[n++] = quote;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == quote) {
            out[n++] = quote;
        }
        out[n++] = s.data[i];
    }
    out[n++] = quote;
    return (sm_str){out, n};
}

/* What is summed of a column, around its name: [0] here, [1] in ClickHouse. NULL: its values are
 * only counted. */
typedef struct sum_form {
    const char *before[2], *after[2];
} sum_form;

static const sum_form *sum_of(const sm_type *type)
{
    static const sum_form integer = {{", coalesce(sum(", ", ifNull(sum(toInt64("},
                                     {" % " MODULUS "), 0)", ") % " MODULUS "), 0)"}};
    static const sum_form text = {{", coalesce(sum(strlen(", ", ifNull(sum(length("},
                                  {")), 0)", ")), 0)"}};
    static const sum_form date = {
        {", coalesce(sum(datediff('day', DATE '1970-01-01', ", ", ifNull(sum(toInt64(toInt32("},
        {")), 0)", "))), 0)"}};
    switch (type->id) {
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_I64:
        return &integer;
    case SM_TYPE_STRING:
        return &text;
    case SM_TYPE_DATE:
        return &date;
    default:
        return NULL;
    }
}

static sm_str question(const publishing *w, const sm_type *schema, bool here, sm_str from)
{
    sm_buf out = {0};
    sm_buf_text(&out, SM_STR("SELECT count(*)"));
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_field *f = &schema->fields[i];
        const sm_str name =
            here ? sql_quoted(f->name, '"', w->arena) : smi_clickhouse_name(f->name, w->arena);
        sm_buf_text(&out, SM_STR(", count("));
        sm_buf_text(&out, name);
        sm_buf_text(&out, SM_STR(")"));
        const sum_form *sum = sum_of(f->type);
        if (sum) {
            sm_buf_text(&out, sm_str_of(sum->before[here ? 0 : 1]));
            sm_buf_text(&out, name);
            sm_buf_text(&out, sm_str_of(sum->after[here ? 0 : 1]));
        }
    }
    sm_buf_text(&out, SM_STR(" FROM "));
    sm_buf_text(&out, from);
    const sm_str text = sm_arena_str(w->arena, sm_buf_str(&out));
    sm_buf_release(&out);
    return text;
}

/* ---- asked here ------------------------------------------------------------------------------ */

/* The row's values, one behind the other with tabs, as ClickHouse prints them. */
static sm_status first_row(sm_batch *const *batches, int64_t n, const publishing *w, sm_str *out,
                           sm_error *e)
{
    sm_buf text = {0};
    if (n != 1 || batches[0]->n_rows != 1) {
        return sm_fail(e, SM_INTERNAL, "a query of one row gave none, or more");
    }
    for (int32_t i = 0; i < batches[0]->n_columns; i++) {
        sm_buf_text(&text, i > 0 ? SM_STR("\t") : SM_STR(""));
        sm_column_print(&batches[0]->columns[i], 0, &text);
    }
    *out = sm_arena_str(w->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return SM_OK;
}

static sm_status ask_here(const publishing *w, const sm_snapshot *s, sm_str *out, sm_error *e)
{
    const sm_str uri = sql_quoted(w->p->table_uri, '\'', w->arena);
    const sm_str from = sm_arena_strf(w->arena, "delta_scan(%.*s, version => %" PRId64 ")",
                                      SM_STR_ARG(uri), sm_snapshot_version(s));
    const sm_sql sql = {.name = SM_STR("comparison"),
                        .text = question(w, sm_snapshot_metadata(s)->schema, true, from)};
    sm_names *names = sm_names_new(w->env->stores, SM_STR(""), w->env->budget);
    const sm_resolver resolver = sm_names_resolver(names);
    sm_plan *plan = NULL;
    sm_batch **batches = NULL;
    int64_t n = 0;
    sm_status st = sm_query_plan(&sql, &resolver, w->arena, &plan, e);
    st = st == SM_OK ? sm_exec_collect(plan, w->env, w->arena, &batches, &n, NULL, e) : st;
    st = st == SM_OK ? first_row(batches, n, w, out, e) : st;
    for (int64_t i = 0; i < n; i++) {
        sm_batch_release(batches[i]);
    }
    sm_names_free(names);
    return st;
}

/* ---- asked there ----------------------------------------------------------------------------- */

static sm_str without_lf(sm_str s)
{
    while (s.len > 0 && s.data[s.len - 1] == '\n') {
        s.len--;
    }
    return s;
}

static sm_status make(const publishing *w, sm_str name, const char *doing, sm_error *e)
{
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

static sm_status drop(const publishing *w, sm_error *e)
{
    return smi_clickhouse_ask(
        &w->server, "drop the table that was compared",
        sm_arena_strf(w->arena, "DROP TABLE IF EXISTS %.*s SYNC", SM_STR_ARG(w->staged)), NULL, e);
}

/* A table of that name must read these files already. */
static sm_status be_ours(const publishing *w, sm_error *e)
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
    sm_fail(e, SM_EXISTS, "%.*s is there already and is something else: %.80s", SM_STR_ARG(w->name),
            without_lf(engine).data);
    sm_error_todo(e, "Drop it, or publish under another name.");
    return SM_EXISTS;
}

static sm_status same_columns(const publishing *w, const sm_type *schema, sm_str server,
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

/* One comparison; SM_CONFLICT where the table got another version meanwhile. */
static sm_status compare(publishing *w, sm_str server, sm_clickhouse_published *out, sm_error *e)
{
    sm_snapshot *s = NULL, *after = NULL;
    sm_str here = {0}, there = {0};
    SM_TRY(sm_snapshot_open(w->store, -1, w->env->budget, &s, e));
    const sm_type *schema = sm_snapshot_metadata(s)->schema;
    const int64_t version = sm_snapshot_version(s);
    sm_status st = same_columns(w, schema, server, e);
    st = st == SM_OK ? ask_here(w, s, &here, e) : st;
    st = st == SM_OK ? smi_clickhouse_ask(&w->server, "read the table",
                                          question(w, schema, false, w->staged), &there, e)
                     : st;
    st = st == SM_OK ? sm_snapshot_open(w->store, -1, w->env->budget, &after, e) : st;
    if (st == SM_OK && sm_snapshot_version(after) != version) {
        st = sm_fail(e, SM_CONFLICT, "the table changed while it was compared");
    } else if (st == SM_OK && !sm_str_eq(here, without_lf(there))) {
        st = sm_fail(e, SM_CORRUPT,
                     "ClickHouse %.*s misreads the table: it has %.60s, should have "
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

static sm_status publish(publishing *w, sm_clickhouse_published *out, sm_error *e)
{
    sm_str server;
    SM_TRY(find_access(w, e));
    SM_TRY(
        smi_clickhouse_ask(&w->server, "say its version", SM_STR("SELECT version()"), &server, e));
    server = without_lf(server);
    snprintf(out->server, sizeof(out->server), "%.*s", (int)server.len, server.data);
    set_names(w);
    SM_TRY(be_ours(w, e));
    SM_TRY(make(w, w->staged, "make a table over these files", e));
    sm_status st = SM_CONFLICT;
    for (int i = 0; i < VERSIONS_TRIED && st == SM_CONFLICT; i++) {
        st = compare(w, server, out, e);
    }
    st = st == SM_OK ? make(w, w->name, "make the table", e) : st;
    sm_error unused = {0};
    const sm_status dropped = drop(w, st == SM_OK ? e : &unused);
    return st == SM_OK ? dropped : st;
}

sm_status sm_clickhouse_publish_table(const sm_clickhouse_publish *p, const sm_exec_env *env,
                                      sm_clickhouse_published *out, sm_error *e)
{
    publishing w = {.p = p, .env = env, .arena = sm_arena_new(env->budget)};
    sm_status st = smi_clickhouse_open(p, w.env->stores, w.arena, &w.server, e);
    st = st == SM_OK ? publish(&w, out, e) : st;
    sm_store_release(w.store);
    sm_arena_free(w.arena);
    return sm_within(e, st, "publishing %.*s", SM_STR_ARG(p->table_uri));
}
