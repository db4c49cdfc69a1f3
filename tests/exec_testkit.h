/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/exec_testkit.h: for tests of the exec room: builds plans over lines of JSON in memory, and
 * gives their results as text, at several numbers of threads and sizes of morsels. */
#ifndef SM_EXEC_TESTKIT_H
#define SM_EXEC_TESTKIT_H

#include "test.h"

#include <stdlib.h>

#include "exec/exec.h"
#include "stores.h"

/* What one run of a plan needs. A kit is made anew for each run, so that nothing is shared. */
typedef struct kit {
    sm_arena *arena;
    sm_budget *budget;
    sm_pool *pool;
    sm_store *store;
    size_t morsel_bytes;
    int32_t n_nodes;
    int32_t n_files;
    sm_plan plan;
    sm_exec_report report;
} kit;

static int kit_number;

static inline kit kit_new(int threads, size_t morsel_bytes, size_t limit_bytes)
{
    sm_error e = {0};
    kit k = {.morsel_bytes = morsel_bytes};
    k.arena = sm_arena_new(NULL);
    k.budget = sm_budget_new(NULL, "test", limit_bytes);
    assert_ok(sm_pool_new(threads, &k.pool, &e), &e);
    char uri[64];
    snprintf(uri, sizeof(uri), "memory://exec_test_%d", kit_number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &k.store, &e), &e);
    return k;
}

static inline void kit_free(kit *k)
{
    sm_error e = {0};
    for (int i = 0; i < k->n_files; i++) {
        char key[32];
        snprintf(key, sizeof(key), "f%d.json", i);
        assert_ok(sm_store_delete(k->store, sm_str_of(key), &e), &e);
    }
    sm_exec_report_release(&k->report);
    sm_store_release(k->store);
    sm_pool_free(k->pool);
    assert_int_equal(sm_budget_used(k->budget), 0);
    sm_budget_free(k->budget);
    sm_arena_free(k->arena);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static inline const sm_expr *x_col(kit *k, int32_t index, const sm_type *t)
{
    sm_expr *x = SM_NEW(k->arena, sm_expr);
    *x = (sm_expr){.kind = SM_EXPR_COLUMN, .type = t, .index = index};
    return x;
}

static inline const sm_expr *x_const(kit *k, sm_value v)
{
    sm_expr *x = SM_NEW(k->arena, sm_expr);
    *x = (sm_expr){.kind = SM_EXPR_CONST, .type = v.type, .value = v};
    return x;
}

static inline const sm_expr *x_i64(kit *k, int64_t v)
{
    return x_const(k, sm_value_i64(v));
}

static inline const sm_expr *x_param(kit *k, int32_t slot, const sm_type *t)
{
    sm_expr *x = SM_NEW(k->arena, sm_expr);
    *x = (sm_expr){.kind = SM_EXPR_PARAM, .type = t, .index = slot};
    return x;
}

static const sm_sql kit_sql = {.name = {"test", 4}, .text = {"test", 4}};

/* Up to two arguments; NULL ends them. */
static inline const sm_expr *x_call(kit *k, const sm_function *fn, const sm_type *t,
                                    const sm_expr *a, const sm_expr *b)
{
    sm_expr *x = SM_NEW(k->arena, sm_expr);
    *x = (sm_expr){.kind = SM_EXPR_CALL, .type = t, .fn = fn, .sql = &kit_sql};
    x->args = SM_NEW_ARRAY(k->arena, const sm_expr *, 2);
    x->args[0] = a;
    x->args[1] = b;
    x->n_args = (a != NULL) + (b != NULL);
    return x;
}

/* ---- functions: enough to see that operators call them rightly ------------------------------- */

/* a OP b over BIGINTs, NULL in, NULL out; kind by the function's name's first character. */
static inline sm_status fn_binary(const sm_fn_call *c, sm_column *out, sm_error *e)
{
    const char op = c->expr->fn->name[0];
    sm_builder *b = sm_builder_new(c->expr->type, NULL);
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (sm_column_is_null(&c->args[0], i) || sm_column_is_null(&c->args[1], i)) {
            sm_builder_null(b);
            continue;
        }
        const int64_t x = sm_column_value(&c->args[0], i).as.i;
        const int64_t y = sm_column_value(&c->args[1], i).as.i;
        if (op == '/' && y == 0) {
            sm_builder_free(b);
            return sm_fail(e, SM_RANGE, "%lld divided by zero", (long long)x);
        }
        if (op == '<' || op == '=') {
            sm_builder_bool(b, op == '<' ? x < y : x == y);
        } else {
            sm_builder_i64(b, op == '+' ? x + y : op == '%' ? x % y : x / y);
        }
    }
    const sm_status st = sm_builder_finish(b, c->into, out, e);
    sm_builder_free(b);
    return st;
}

static const sm_function fn_less = {.name = "<", .kind = SM_FN_SCALAR, .eval = fn_binary};
static const sm_function fn_same = {.name = "=", .kind = SM_FN_SCALAR, .eval = fn_binary};
static const sm_function fn_plus = {.name = "+", .kind = SM_FN_SCALAR, .eval = fn_binary};
static const sm_function fn_mod = {.name = "%", .kind = SM_FN_SCALAR, .eval = fn_binary};
static const sm_function fn_div = {.name = "/", .kind = SM_FN_SCALAR, .eval = fn_binary};

/* count(), count(x): rows, rows with a value. */
static inline sm_status count_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                     int64_t n, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        *(int64_t *)states[i] += n_args == 0 || !sm_column_is_null(&args[0], i);
    }
    return SM_OK;
}
static inline sm_status i64_merge(const sm_expr *call, void *const *into, const void *const *from,
                                  int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        *(int64_t *)into[i] += *(const int64_t *)from[i];
    }
    return SM_OK;
}
static inline sm_status i64_finish(const sm_expr *call, const void *const *states, int64_t n,
                                   sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = *(const int64_t *)states[i];
        if (v < 0) { /* stands for an overflow */
            *failed = i;
            return sm_fail(e, SM_RANGE, "sum is out of range");
        }
        sm_builder_i64(out, v);
    }
    return SM_OK;
}
static inline sm_status sum_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                   int64_t n, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        if (!sm_column_is_null(&args[0], i)) {
            *(int64_t *)states[i] += sm_column_value(&args[0], i).as.i;
        }
    }
    return SM_OK;
}
/* first(x): the first row's value, NULL too: shows the order in which rows come. */
typedef struct first_state {
    bool has, is_null;
    int64_t v;
} first_state;
static inline sm_status first_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                     int64_t n, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        first_state *s = states[i];
        if (!s->has) {
            s->has = true;
            s->is_null = sm_column_is_null(&args[0], i);
            s->v = s->is_null ? 0 : sm_column_value(&args[0], i).as.i;
        }
    }
    return SM_OK;
}
static inline sm_status first_merge(const sm_expr *call, void *const *into, const void *const *from,
                                    int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        if (!((first_state *)into[i])->has) {
            *(first_state *)into[i] = *(const first_state *)from[i];
        }
    }
    return SM_OK;
}
static inline sm_status first_finish(const sm_expr *call, const void *const *states, int64_t n,
                                     sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const first_state *s = states[i];
        if (s->has && !s->is_null) {
            sm_builder_i64(out, s->v);
        } else {
            sm_builder_null(out);
        }
    }
    return SM_OK;
}

static const sm_aggregate agg_count = {8, count_update, i64_merge, i64_finish};
static const sm_aggregate agg_sum = {8, sum_update, i64_merge, i64_finish};
static const sm_aggregate agg_first = {sizeof(first_state), first_update, first_merge,
                                       first_finish};
static const sm_function fn_count = {
    .name = "count", .kind = SM_FN_AGGREGATE, .aggregate = &agg_count};
static const sm_function fn_sum = {.name = "sum", .kind = SM_FN_AGGREGATE, .aggregate = &agg_sum};
static const sm_function fn_first = {
    .name = "first", .kind = SM_FN_AGGREGATE, .aggregate = &agg_first};

/* place(x): the row's number in its partition × 1,000 + that of its peers' group + x's first digit
 * place: shows order, peers and arguments at once. */
static inline sm_status window_place(const sm_expr *call, const sm_window_in *in, sm_builder *out,
                                     sm_error *e)
{
    int64_t peers = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        peers += sm_bit_get(in->peer_start, i);
        const int64_t arg = in->n_args > 0 && !sm_column_is_null(&in->args[0], i)
                                ? sm_column_value(&in->args[0], i).as.i
                                : 0;
        sm_builder_i64(out, arg * 1000000 + (i + 1) * 1000 + peers);
    }
    return SM_OK;
}
static const sm_function fn_place = {.name = "place", .kind = SM_FN_WINDOW, .window = window_place};

/* ---- plans ----------------------------------------------------------------------------------- */

static inline sm_plan_node *k_node(kit *k, sm_plan_kind kind, const sm_type *schema,
                                   sm_plan_node *a, sm_plan_node *b)
{
    sm_plan_node *n = SM_NEW(k->arena, sm_plan_node);
    *n = (sm_plan_node){.kind = kind, .id = k->n_nodes++, .schema = schema, .inputs = {a, b}};
    n->n_inputs = (a != NULL) + (b != NULL);
    return n;
}

static inline const sm_type *k_type(kit *k, const char *sql)
{
    const sm_type *t = NULL;
    sm_error e = {0};
    assert_ok(sm_type_parse(sm_str_of(sql), k->arena, &t, &e), &e);
    return t;
}

/* n files of JSON lines; their names are f0.json … in the kit's store. `constants` after the stored
 * columns of the schema: file_no BIGINT where wanted. */
static inline sm_dataset *k_dataset(kit *k, const char *schema, const sm_str *texts, int32_t n,
                                    bool has_file_no)
{
    sm_dataset *d = SM_NEW(k->arena, sm_dataset);
    sm_error e = {0};
    *d = (sm_dataset){.format = sm_format_named(SM_STR("json")),
                      .schema = k_type(k, schema),
                      .n_constants = has_file_no,
                      .n_files = n,
                      .files = SM_NEW_ARRAY(k->arena, sm_datafile, n + 1),
                      .morsel_bytes = k->morsel_bytes};
    for (int32_t i = 0; i < n; i++) {
        sm_value *v = SM_NEW(k->arena, sm_value);
        *v = sm_value_i64(i);
        const sm_str key = sm_arena_strf(k->arena, "f%d.json", k->n_files++);
        assert_ok(sm_store_put(k->store, key, texts[i].data, texts[i].len, SM_PUT_REPLACE, &e), &e);
        d->files[i] = (sm_datafile){.uri = sm_store_uri_of(k->store, key, k->arena),
                                    .store = k->store,
                                    .key = key,
                                    .size_bytes = texts[i].len,
                                    .constants = v,
                                    .n_rows = -1};
    }
    return d;
}

/* Scans all columns. */
static inline sm_plan_node *k_scan(kit *k, const sm_dataset *d)
{
    sm_plan_node *n = k_node(k, SM_PLAN_SCAN, d->schema, NULL, NULL);
    const int32_t n_stored = d->schema->n_fields - d->n_constants;
    int32_t *all = SM_NEW_ARRAY(k->arena, int32_t, d->schema->n_fields + 1);
    for (int32_t i = 0; i < d->schema->n_fields; i++) {
        all[i] = i;
    }
    n->as.scan.dataset = d;
    n->as.scan.columns = all;
    n->as.scan.want = (sm_projection){.columns = all, .n_columns = n_stored};
    return n;
}

static inline sm_plan_node *k_filter(kit *k, sm_plan_node *in, const sm_expr *where)
{
    sm_plan_node *n = k_node(k, SM_PLAN_FILTER, in->schema, in, NULL);
    n->as.filter.where = where;
    return n;
}

static inline sm_plan_node *k_limit(kit *k, sm_plan_node *in, int64_t limit, int64_t offset)
{
    sm_plan_node *n = k_node(k, SM_PLAN_LIMIT, in->schema, in, NULL);
    n->as.limit.limit = limit;
    n->as.limit.offset = offset;
    return n;
}

static inline sm_plan_node *k_sort(kit *k, sm_plan_node *in, const sm_sort_key *keys,
                                   int32_t n_keys, int64_t limit)
{
    sm_plan_node *n = k_node(k, SM_PLAN_SORT, in->schema, in, NULL);
    n->as.sort.keys = SM_NEW_ARRAY(k->arena, sm_sort_key, n_keys);
    memcpy(n->as.sort.keys, keys, (size_t)n_keys * sizeof(*keys));
    n->as.sort.n_keys = n_keys;
    n->as.sort.limit = limit;
    return n;
}

static inline sm_plan *k_plan(kit *k, sm_plan_node *root)
{
    k->plan.root = root;
    k->plan.n_nodes = k->n_nodes;
    return &k->plan;
}

static inline sm_exec_env k_env(kit *k)
{
    return (sm_exec_env){.pool = k->pool, .budget = k->budget, .stores = test_stores};
}

/* ---- running --------------------------------------------------------------------------------- */

static inline void print_rows(const sm_batch *b, sm_buf *out)
{
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int32_t c = 0; c < b->n_columns; c++) {
            sm_buf_text(out, c > 0 ? SM_STR(" ") : SM_STR(""));
            sm_column_print(&b->columns[c], i, out);
        }
        sm_buf_text(out, SM_STR("\n"));
    }
}

/* The rows as lines of text, appended to *out. */
static inline sm_status k_run(kit *k, sm_buf *out, sm_error *e)
{
    const sm_exec_env env = k_env(k);
    sm_batch **rows = NULL;
    int64_t n = 0;
    sm_exec_report_release(&k->report);
    SM_TRY(sm_exec_collect(&k->plan, &env, k->arena, &rows, &n, &k->report, e));
    for (int64_t i = 0; i < n; i++) {
        const char *why = "";
        if (!sm_batch_validate(rows[i], true, &why)) {
            fail_msg("%s", why);
        }
        print_rows(rows[i], out);
        sm_batch_release(rows[i]);
    }
    return SM_OK;
}

typedef void (*k_make)(kit *k, const void *data);

static const int k_threads[] = {1, 2, 7};
static const size_t k_morsels[] = {97, 1000, 1 << 20};

/* Makes and runs a plan once; the text is the caller's, free() it. Nothing else may be left in the
 * budget or allocated. */
static inline char *k_once(k_make make, const void *data, int threads, size_t morsel_bytes)
{
    sm_error e = {0};
    sm_buf text = {0};
    const int64_t live = sm_live_allocs();
    kit k = kit_new(threads, morsel_bytes, 0);
    make(&k, data);
    assert_ok(k_run(&k, &text, &e), &e);
    kit_free(&k);
    sm_buf_text(&text, (sm_str){"", 1});
    char *copy = strdup((const char *)text.data);
    sm_buf_release(&text);
    assert_int_equal(sm_live_allocs(), live);
    return copy;
}

/* With every number of threads and size of morsels: the same text always. */
static inline char *k_everywhere(k_make make, const void *data)
{
    char *first = NULL;
    for (int t = 0; t < SM_COUNT(k_threads); t++) {
        for (int m = 0; m < SM_COUNT(k_morsels); m++) {
            char *text = k_once(make, data, k_threads[t], k_morsels[m]);
            if (!first) {
                first = text;
                continue;
            }
            if (strcmp(text, first) != 0) {
                print_error("%d threads, morsels of %zu:\n%.2000s\nwant:\n%.2000s\n", k_threads[t],
                            k_morsels[m], text, first);
                fail();
            }
            free(text);
        }
    }
    return first;
}

static inline void assert_everywhere(k_make make, const void *data, const char *want)
{
    char *text = k_everywhere(make, data);
    assert_string_equal(text, want);
    free(text);
}

/* Runs a plan that must fail in the same way everywhere. */
static inline void assert_fails_everywhere(k_make make, const void *data, sm_status want,
                                           const char *part)
{
    for (int t = 0; t < SM_COUNT(k_threads); t++) {
        for (int m = 0; m < SM_COUNT(k_morsels); m++) {
            sm_error e = {0};
            sm_buf text = {0};
            char told[4096];
            const int64_t live = sm_live_allocs();
            kit k = kit_new(k_threads[t], k_morsels[m], 0);
            make(&k, data);
            assert_status(k_run(&k, &text, &e), want, &e);
            sm_error_format(&e, told, sizeof(told));
            if (!strstr(told, part)) {
                fail_msg("%d threads, morsels of %zu: got:\n%s\nwant:\n%s", k_threads[t],
                         k_morsels[m], told, part);
            }
            kit_free(&k);
            sm_buf_release(&text);
            assert_int_equal(sm_live_allocs(), live);
        }
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Pseudo-random, the same always. */
static inline uint32_t k_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* n lines {"k": text, "v": number, "n": line number}; k one of n_keys, one in 16 missing, some
 * longer than 12 bytes; v below 1,000, one in 11 missing. */
static inline void k_lines(sm_buf *out, int64_t n, int64_t n_keys, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        sm_buf_printf(out, "{\"n\":%lld", (long long)i);
        if (k_random(&seed) % 16 != 0) {
            const long long key = (long long)(k_random(&seed) % (uint64_t)n_keys);
            sm_buf_printf(
                out, key % 3 == 0 ? ",\"k\":\"a rather long key %lld\"" : ",\"k\":\"k%lld\"", key);
        }
        if (k_random(&seed) % 11 != 0) {
            sm_buf_printf(out, ",\"v\":%lld", (long long)(k_random(&seed) % 1000));
        }
        sm_buf_text(out, SM_STR("}\n"));
    }
}
#define K_SCHEMA "STRUCT(k VARCHAR, v BIGINT, n BIGINT)"

#endif
