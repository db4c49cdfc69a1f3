/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/orders.h: for tests of the table room and of tests/fault: small tables of orders, written
 * row by row and read back as text. */
#ifndef SM_TEST_ORDERS_H
#define SM_TEST_ORDERS_H

#include "scratch.h"

#include <inttypes.h>

#include "base/time.h"
#include "table/table.h"

#define NO_NUMBER INT64_MIN

typedef struct kit {
    scratch at;
    sm_budget *budget;
    sm_pool *pool;
    sm_arena *arena; /* uncounted: of the test itself */
    sm_exec_env env;
} kit;

/* limit_bytes 0: none. */
static inline void kit_open_limited(kit *k, size_t limit_bytes)
{
    sm_error e = {0};
    k->budget = sm_budget_new(NULL, "test", limit_bytes);
    k->arena = sm_arena_new(NULL);
    assert_ok(sm_pool_new(2, &k->pool, &e), &e);
    k->env = (sm_exec_env){.pool = k->pool, .budget = k->budget, .stores = test_stores};
}

static inline void kit_open(kit *k)
{
    kit_open_limited(k, 0);
}

static inline void kit_init(kit *k)
{
    *k = (kit){.at = scratch_new()};
    kit_open(k);
}

static inline void kit_close(kit *k)
{
    sm_pool_free(k->pool);
    sm_arena_free(k->arena);
    assert_int_equal(sm_budget_used(k->budget), 0);
    sm_budget_free(k->budget);
}

static inline void kit_release(kit *k)
{
    kit_close(k);
    scratch_free(&k->at);
}

/* "FOLDER/name" */
static inline sm_str kit_uri(kit *k, const char *name)
{
    return sm_arena_strf(k->arena, "%s/%s", k->at.path, name);
}

/* Deletes all objects, so that their memory is freed. */
static inline void delete_all(sm_arena *a, sm_str uri)
{
    sm_store *lake = NULL;
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, uri, &lake, &e), &e);
    assert_ok(sm_store_list(lake, SM_STR(""), false, a, &entries, &n, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        assert_ok(sm_store_delete(lake, entries[i].key, &e), &e);
    }
    sm_store_release(lake);
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct order {
    const char *day;  /* NULL: none */
    const char *name; /* NULL: none */
    int64_t amount;   /* NO_NUMBER: none */
} order;

static const sm_field order_fields[] = {
    {.name = {"day", 3}, .type = &sm_type_date, .is_nullable = true},
    {.name = {"Name", 4}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"amount", 6}, .type = &sm_type_i64, .is_nullable = true},
};
static const sm_type order_schema = {
    .id = SM_TYPE_STRUCT, .fields = order_fields, .n_fields = SM_COUNT(order_fields)};

static inline sm_batch *orders(kit *k, const order *rows, int64_t n)
{
    sm_error e = {0};
    sm_batch *b = NULL;
    sm_builder *day = sm_builder_new(&sm_type_date, k->budget);
    sm_builder *name = sm_builder_new(&sm_type_string, k->budget);
    sm_builder *amount = sm_builder_new(&sm_type_i64, k->budget);
    for (int64_t i = 0; i < n; i++) {
        int32_t days = 0;
        assert_true(!rows[i].day || sm_parse_date(sm_str_of(rows[i].day), &days));
        rows[i].day ? sm_builder_i64(day, days) : sm_builder_null(day);
        rows[i].name ? sm_builder_str(name, sm_str_of(rows[i].name)) : sm_builder_null(name);
        rows[i].amount != NO_NUMBER ? sm_builder_i64(amount, rows[i].amount)
                                    : sm_builder_null(amount);
    }
    assert_ok(sm_batch_new(k->budget, &order_schema, &b, &e), &e);
    assert_ok(sm_builder_finish(day, b, &b->columns[0], &e), &e);
    assert_ok(sm_builder_finish(name, b, &b->columns[1], &e), &e);
    assert_ok(sm_builder_finish(amount, b, &b->columns[2], &e), &e);
    b->n_rows = n;
    sm_builder_free(day);
    sm_builder_free(name);
    sm_builder_free(amount);
    return b;
}

/* A SQL expression as a condition: its text is `ctx`. */
static inline sm_status bind_sql(void *ctx, const sm_type *columns, sm_arena *a,
                                 const sm_expr **out, sm_error *e)
{
    const sm_sql sql = {.name = SM_STR("where"), .text = sm_str_of(ctx)};
    return sm_query_expr(&sql, columns, NULL, a, out, e);
}

static inline sm_condition where_sql(const char *text)
{
    return (sm_condition){.ctx = (void *)text, .bind = bind_sql};
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Pushes until it is taken; what waits is woken by time. */
static inline sm_status push_all(sm_stage *s, sm_batch *rows, sm_error *e)
{
    const sm_sink sink = sm_stage_sink(s);
    const sm_waker nobody = {0};
    sm_status st = SM_WAIT;
    while (rows && (st = sink.push(sink.ctx, rows, nobody, e)) == SM_WAIT) {
        sm_sleep_ms(1);
    }
    return rows ? st : SM_OK;
}

static inline sm_status finish_all(sm_stage *s, sm_error *e)
{
    const sm_sink sink = sm_stage_sink(s);
    const sm_waker nobody = {0};
    sm_status st = SM_WAIT;
    while ((st = sink.finish(sink.ctx, nobody, e)) == SM_WAIT) {
        sm_sleep_ms(1);
    }
    return st;
}

/* Rows in batches of `per_batch` into a candidate. */
static inline sm_status stage_orders(kit *k, const sm_write *w, const order *rows, int64_t n,
                                     int64_t per_batch, sm_candidate **out, sm_error *e)
{
    sm_stage *s = NULL;
    SM_TRY(sm_stage_open(w, &order_schema, &k->env, &s, e));
    sm_status st = SM_OK;
    for (int64_t at = 0; at < n && st == SM_OK; at += per_batch) {
        sm_batch *b = orders(k, rows + at, n - at < per_batch ? n - at : per_batch);
        st = push_all(s, b, e);
        sm_batch_release(b);
    }
    if (st == SM_OK) {
        st = finish_all(s, e);
    }
    if (st == SM_OK) {
        st = sm_stage_candidate(s, out, e);
    }
    sm_stage_close(s);
    return st;
}

/* Stages and publishes; *version may be NULL. */
static inline sm_status write_orders(kit *k, const sm_write *w, const order *rows, int64_t n,
                                     int64_t *version, sm_error *e)
{
    sm_candidate *c = NULL;
    int64_t made = -1;
    sm_status st = stage_orders(k, w, rows, n, 2, &c, e);
    if (st == SM_OK) {
        st = sm_publish(&c, 1, k->budget, &made, NULL, e);
        sm_candidate_release(c);
    }
    if (version) {
        *version = made;
    }
    return st;
}

/* Gives a table that protocol, and the property as its only one. */
static inline void give_property(kit *k, const char *table, sm_pair property,
                                 const sm_delta_protocol *p)
{
    sm_store *store = NULL;
    sm_snapshot *base = NULL;
    int64_t version = 0;
    sm_error e = {0};

    assert_ok(sm_store_open(test_stores, kit_uri(k, table), &store, &e), &e);
    assert_ok(sm_snapshot_open(store, SM_VERSION_LATEST, k->budget, &base, &e), &e);
    sm_delta_metadata m = *sm_snapshot_metadata(base);
    m.config = &property;
    m.n_config = 1;
    const sm_delta_commit c = {
        .operation = SM_STR("SET TBLPROPERTIES"), .metadata = &m, .protocol = p};
    assert_ok(sm_delta_commit_write(store, base, &c, k->budget, &version, &e), &e);
    sm_snapshot_release(base);
    sm_store_release(store);
}

/* Gives a table the feature deletionVectors, and delta.enableDeletionVectors that value. */
static inline void enable_vectors(kit *k, const char *table, const char *value)
{
    const sm_str features[] = {SM_STR("deletionVectors")};
    const sm_pair property = {SM_STR("delta.enableDeletionVectors"), sm_str_of(value)};
    const sm_delta_protocol p = {.min_reader = 3,
                                 .min_writer = 7,
                                 .reader_features = features,
                                 .n_reader_features = 1,
                                 .writer_features = features,
                                 .n_writer_features = 1};

    give_property(k, table, property, &p);
}

/* Lets a table record its changes. */
static inline void enable_feed(kit *k, const char *table)
{
    const sm_pair property = {SM_STR("delta.enableChangeDataFeed"), SM_STR("true")};

    give_property(k, table, property, &(sm_delta_protocol){.min_reader = 1, .min_writer = 4});
}

/* ---- reading --------------------------------------------------------------------------------- */

/* All rows of a plan, "day name amount;" each, in `arena`. */
static inline sm_status plan_text(kit *k, const sm_plan *plan, const char **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(k->budget);
    sm_batch **batches = NULL;
    int64_t n = 0;
    sm_buf text = {0};
    const sm_status st = sm_exec_collect(plan, &k->env, a, &batches, &n, NULL, e);
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        for (int64_t row = 0; row < batches[i]->n_rows; row++) {
            for (int32_t c = 0; c < batches[i]->n_columns; c++) {
                sm_buf_text(&text, c > 0 ? SM_STR(" ") : SM_STR(""));
                sm_column_print(&batches[i]->columns[c], row, &text);
            }
            sm_buf_text(&text, SM_STR(";"));
        }
        sm_batch_release(batches[i]);
    }
    *out = sm_arena_str(k->arena, sm_buf_str(&text)).data;
    sm_buf_release(&text);
    sm_arena_free(a);
    return st;
}

/* The same of a relation's dataset. */
static inline const char *read_relation_text(kit *k, const sm_relation *r)
{
    sm_error e = {0};
    const char *text = NULL;
    const sm_type *schema = r->dataset->schema;
    int32_t *columns = SM_NEW_ARRAY(k->arena, int32_t, schema->n_fields);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        columns[i] = i;
    }
    sm_plan_node root = {
        .kind = SM_PLAN_SCAN,
        .schema = schema,
        .as.scan = {.dataset = r->dataset,
                    .columns = columns,
                    .want = {.columns = columns,
                             .n_columns = schema->n_fields - r->dataset->n_constants,
                             .keep_refused = r->keep_refused,
                             .validate_all = r->validate_all},
                    .label = r->label},
    };
    const sm_plan plan = {.root = &root, .n_nodes = 1};
    assert_ok(plan_text(k, &plan, &text, &e), &e);
    return text;
}

/* And of SQL. */
static inline sm_status sql_text(kit *k, sm_names *n, const char *sql, const char **out,
                                 sm_error *e)
{
    sm_plan *plan = NULL;
    const sm_resolver by = sm_names_resolver(n);
    sm_sql *text = SM_NEW(k->arena, sm_sql);
    *text = (sm_sql){.name = SM_STR("q.sql"), .text = sm_str_of(sql)};
    SM_TRY(sm_query_plan(text, &by, k->arena, &plan, e));
    return plan_text(k, plan, out, e);
}

static inline sm_status resolve(sm_names *n, sm_arena *a, const char *layer, const char *table,
                                sm_relation *out, sm_error *e)
{
    const sm_str parts[] = {sm_str_of(layer), sm_str_of(table)};
    const sm_resolver r = sm_names_resolver(n);
    return r.table(r.ctx, parts, 2, a, out, e);
}

/* The rows of "FOLDER/layer/table" as it is now. */
static inline const char *table_text(kit *k, const char *layer, const char *table)
{
    sm_error e = {0};
    sm_relation r = {0};
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    assert_ok(resolve(n, k->arena, layer, table, &r, &e), &e);
    const char *text = read_relation_text(k, &r);
    sm_names_free(n);
    return text;
}

/* Files of that suffix there are under a table, whether a version names them or not. */
static inline int count_ending(kit *k, const char *table, const char *suffix)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_entry *entries = NULL;
    int64_t n = 0;
    int found = 0;
    assert_ok(sm_store_open(test_stores, kit_uri(k, table), &s, &e), &e);
    const sm_status st = sm_store_list(s, SM_STR(""), true, k->arena, &entries, &n, &e);
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        found += sm_str_ends(entries[i].key, sm_str_of(suffix));
    }
    sm_store_release(s);
    return found;
}

static inline int count_data_files(kit *k, const char *table)
{
    return count_ending(k, table, ".parquet");
}

#endif
