/* contract/contract_guard_test.c: rows that are written under a contract: which of them are left,
 * which leave and by which rule, and the verdict; for each kind of rule and action, with rows that
 * stay in the table and without, at one and at several threads. */
#include <inttypes.h>
#include <stdlib.h>

#include "test.h"

#include "base/random.h"
#include "base/text.h"
#include "contract/contract_testkit.h"
#include "stores.h"

/* What a write needs. */
typedef struct kit {
    sm_arena *a;
    sm_budget *budget;
    sm_pool *pool;
    sm_exec_env env;
    sm_store *store;
    sm_names *names;
    sm_contract *c;
    size_t room_bytes; /* of searches of keys */
    bool hides_stays;  /* it is not known which rows stay */
} kit;

#define ROOT "memory://contract_guard"

static void kit_open(kit *k, int n_threads)
{
    sm_error e = {0};

    *k = (kit){.a = sm_arena_new(NULL), .budget = sm_budget_new(NULL, "test", 0)};
    assert_ok(sm_pool_new(n_threads, &k->pool, &e), &e);
    k->env = (sm_exec_env){.pool = k->pool, .budget = k->budget, .stores = test_stores};
    assert_ok(sm_store_open(test_stores, SM_STR(ROOT), &k->store, &e), &e);
    k->names = sm_names_new(test_stores, SM_STR(ROOT), k->budget);
}

static void kit_close(kit *k)
{
    sm_names_free(k->names);
    sm_store_release(k->store);
    sm_pool_free(k->pool);
    assert_int_equal(sm_budget_used(k->budget), 0);
    sm_budget_free(k->budget);
    sm_arena_free(k->a);
}

static void put_file(kit *k, const char *name, sm_str text)
{
    sm_error e = {0};

    assert_ok(sm_store_put(k->store, sm_str_of(name), text.data, text.len, SM_PUT_REPLACE, &e), &e);
}

/* ---- rows in files --------------------------------------------------------------------------- */

/* The columns of all files here, but of those that were written: n tells rows apart. */
static const char columns_of_files[] = "STRUCT(n BIGINT, c BIGINT, d VARCHAR, s STRUCT(z BIGINT))";
/* The same in another order. */
static const char columns_of_stays[] = "STRUCT(s STRUCT(z BIGINT), d VARCHAR, n BIGINT, c BIGINT)";

static const sm_type *type_of(const char *text, sm_arena *a)
{
    const sm_type *t = NULL;
    sm_error e = {0};

    assert_ok(sm_type_parse(sm_str_of(text), a, &t, &e), &e);
    return t;
}

static sm_table_arg columns_arg(const sm_type *columns, sm_arena *a)
{
    const int32_t n = columns->n_fields;
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n);
    sm_value *items = SM_NEW_ARRAY(a, sm_value, n);

    for (int32_t i = 0; i < n; i++) {
        fields[i] = (sm_field){.name = columns->fields[i].name, .type = &sm_type_string};
        items[i] = sm_value_str(sm_type_text(columns->fields[i].type, a));
    }
    return (sm_table_arg){
        .name = SM_STR("columns"),
        .value = {.type = sm_type_struct(a, fields, n), .as.nested = {.items = items, .n = n}}};
}

static const sm_plan_node *rows_with(kit *k, const char *name, const sm_type *columns)
{
    const sm_resolver r = sm_names_resolver(k->names);
    const sm_table_arg args[] = {{.value = sm_value_str(sm_arena_strf(k->a, ROOT "/%s", name))},
                                 columns_arg(columns, k->a)};
    sm_relation rows = {0};
    sm_error e = {0};

    assert_ok(r.function(r.ctx, SM_STR("read_json"), args, SM_COUNT(args), k->a, &rows, &e), &e);
    return sm_plan_scan(&rows, false, k->a);
}

static const sm_plan_node *rows_of(kit *k, const char *name)
{
    return rows_with(k, name, type_of(columns_of_files, k->a));
}

/* sm_guarded.other */
static sm_status find_other(void *ctx, sm_str table, sm_arena *a, const sm_plan_node **out,
                            sm_error *e)
{
    *out = rows_of(ctx, sm_arena_printf(a, "%.*s.json", SM_STR_ARG(table)));
    return SM_OK;
}

/* ---- where rows go --------------------------------------------------------------------------- */

/* Rows as lines of JSON, and their n with the rule by which they left. */
typedef struct sink {
    const sm_guard *guard;
    int32_t side; /* -1: rows that are left to write */
    sm_buf *json, *text;
} sink;

static sm_status push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const sink *s = ctx;
    const char *why = "";
    const sm_type *want =
        s->side < 0 ? sm_guard_rows(s->guard)->schema : sm_guard_leaves(s->guard, s->side);

    if (!sm_batch_validate(rows, true, &why)) {
        fail_msg("%s", why);
    }
    assert_true(sm_type_eq(rows->schema, want));
    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (s->side >= 0) {
            const sm_value check = sm_column_value(&rows->columns[rows->n_columns - 1], i);
            const sm_rule *r = sm_guard_rule(s->guard, s->side, (int32_t)check.as.i);
            sm_buf_printf(s->text, "%.*s ", SM_STR_ARG(r->name));
            sm_column_print(&rows->columns[0], i, s->text);
            sm_buf_printf(s->text, ";");
            continue;
        }
        sm_json_writer w = {.out = s->json};
        sm_json_begin_object(&w);
        for (int32_t c = 0; c < rows->n_columns; c++) {
            sm_json_key(&w, rows->schema->fields[c].name);
            sm_column_json(&rows->columns[c], i, &w);
            sm_buf_printf(s->text, c > 0 ? "," : "");
            if (!sm_column_is_null(&rows->columns[c], i)) {
                sm_column_print(&rows->columns[c], i, s->text);
            }
        }
        sm_json_end_object(&w);
        sm_buf_printf(s->json, "\n");
        sm_buf_printf(s->text, ";");
    }
    return SM_OK;
}

/* ---- a write --------------------------------------------------------------------------------- */

/* What is written, and what came of it: the rows, those that left, the verdict. */
typedef struct write {
    const char *yaml, *stays, *rows;
    const char *written, *left, *verdict;
    int64_t *counts; /* of each rule, if they are wanted: rows that break it */
} write;

static void run(kit *k, const sm_guard *g, sm_exec_report *report, sm_buf *json, sm_buf *texts)
{
    sink sinks[5];
    sm_sink ends[5];
    const sm_sink *sides[5];
    sm_buf left[4] = {0};
    sm_plan *plan = NULL;
    sm_error e = {0};
    const int32_t n = sm_guard_sides(g);

    assert_true(n <= 4 && sm_guard_checks(g) >= n);
    for (int32_t i = 0; i <= n; i++) {
        sinks[i] = (sink){
            .guard = g, .side = i < n ? i : -1, .json = json, .text = i < n ? &left[i] : &texts[0]};
        ends[i] = (sm_sink){.ctx = &sinks[i], .push = push};
        sides[i] = &ends[i];
    }
    assert_ok(sm_plan_finish(sm_guard_rows(g), k->a, &plan, &e), &e);
    const sm_outputs to = {.main = &ends[n], .sides = sides, .n_sides = n};
    assert_ok(sm_exec_run_to(plan, &k->env, &to, report, &e), &e);
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(&texts[1], sm_buf_str(&left[i]));
        sm_buf_release(&left[i]);
    }
}

static void print_verdict(const sm_verdict *v, sm_buf *out)
{
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        const sm_rule_verdict *r = &v->rules[i];
        sm_buf_printf(out, "%.*s %s %d/%d", SM_STR_ARG(r->rule->name), sm_outcome_name(r->outcome),
                      (int)r->count.n_broken, (int)r->count.n_rows);
        for (int32_t x = 0; x < r->count.n_examples; x++) {
            sm_buf_printf(out, " %.*s", SM_STR_ARG(r->count.examples[x]));
        }
        if (r->count.worst.data) {
            sm_buf_printf(out, " %.*s: %d of %d", SM_STR_ARG(r->count.worst),
                          (int)r->count.worst_broken, (int)r->count.worst_rows);
        }
        sm_buf_printf(out, ";");
    }
}

static sm_status guard_new(kit *k, const char *yaml, bool has_stays, sm_arena *a, sm_guard **out,
                           sm_error *e)
{
    const sm_contract_table *t = NULL;
    sm_error why = {0};

    assert_ok(kit_read(kit_table(yaml, k->a), k->a, &k->c, &why), &why);
    assert_ok(sm_contract_find(k->c, SM_STR("t"), k->a, &t, &why), &why);
    const sm_plan_node *stays =
        has_stays ? rows_with(k, "stays.json", type_of(columns_of_stays, a)) : NULL;
    const sm_guarded in = {.contract = k->c,
                           .table = t,
                           .rows = rows_of(k, "rows.json"),
                           .stays = stays,
                           .room_bytes = k->room_bytes,
                           .names = sm_names_resolver(k->names),
                           .other = find_other,
                           .ctx = k,
                           .env = &k->env};
    return sm_guard_new(&in, a, out, e);
}

/* Writes; texts: the rows, those that left, the verdict. */
static sm_outcome guarded_write(kit *k, const write *w, sm_buf *texts)
{
    sm_buf json = {0};
    sm_exec_report report = {0};
    sm_arena *a = sm_arena_new(NULL); /* of the guard, which the verdict outlives */
    sm_guard *g = NULL;
    sm_verdict *v = NULL;
    sm_error e = {0};

    put_file(k, "rows.json", sm_str_of(w->rows));
    put_file(k, "stays.json", sm_str_of(w->stays ? w->stays : ""));
    assert_ok(guard_new(k, w->yaml, w->stays != NULL, a, &g, &e), &e);
    run(k, g, &report, &json, texts);
    put_file(k, "written.json", sm_buf_str(&json));
    sm_guard_staged staged = {.written = rows_with(k, "written.json", sm_guard_rows(g)->schema)};
    staged.table = staged.written;
    if (w->stays) {
        const sm_plan_node *stays = rows_of(k, "stays.json");
        assert_ok(sm_plan_union(stays, staged.written, k->a, &staged.table, &e), &e);
        staged.stays = k->hides_stays ? NULL : stays;
    }
    assert_ok(sm_guard_judge(g, &report, &staged, k->a, &v, &e), &e);
    sm_exec_report_release(&report);
    sm_guard_free(g);
    sm_arena_free(a);
    print_verdict(v, &texts[2]);
    for (int64_t i = 0; w->counts && i < v->table->n_rules; i++) {
        w->counts[i] = v->rules[i].count.n_broken;
    }
    sm_buf_release(&json);
    return v->outcome;
}

static void assert_writes(const write *writes, int n)
{
    static const struct {
        int n_threads;
        size_t room_bytes;
        bool hides_stays;
    } ways[] = {
        {1, 0, false},       {4, 0, false},      {1, 1 << 30, false},
        {4, 1 << 30, false}, {4, 1 << 30, true}, {1, 1, false}, /* no room for a hash */
    };

    for (int t = 0; t < SM_COUNT(ways); t++) {
        for (int i = 0; i < n; i++) {
            kit k;
            sm_buf texts[3] = {0};
            const char *const want[] = {writes[i].written, writes[i].left, writes[i].verdict};
            kit_open(&k, ways[t].n_threads);
            k.room_bytes = ways[t].room_bytes;
            k.hides_stays = ways[t].hides_stays;
            put_file(&k, "other.json", SM_STR("{\"c\":1,\"d\":\"a\"}\n{\"c\":1}\n{\"c\":3}\n{}\n"));
            guarded_write(&k, &writes[i], texts);
            for (int x = 0; x < SM_COUNT(texts); x++) {
                if (want[x] && !sm_str_is(sm_buf_str(&texts[x]), want[x])) {
                    fail_msg("write %d, text %d, way %d: %.*s\nwant %s", i, x, t, (int)texts[x].len,
                             (const char *)texts[x].data, want[x]);
                }
                sm_buf_release(&texts[x]);
            }
            kit_close(&k);
        }
    }
}

/* ---- rules of rows --------------------------------------------------------------------------- */

#define ROWS                                                                                       \
    "{\"n\":1,\"c\":1,\"d\":\"a\"}\n{\"n\":2,\"c\":-1,\"d\":\"b\"}\n{\"n\":3,\"d\":\"a\"}\n"       \
    "{\"n\":4,\"c\":9,\"d\":\"x\",\"s\":{\"z\":5}}\n"
#define ALL      "1,1,a,;2,-1,b,;3,,a,;4,9,x,{'z': 5};"
#define DO(word) "customProperties: [{property: smelt.onViolation, value: " word "}]"
#define C(rest)  "{name: c, logicalType: integer, " rest "}"
#define T(rest)                                                                                    \
    "properties: [{name: n, primaryKey: true, required: true, " DO("fail") "}, " rest "]"
#define MIN(word) C("logicalTypeOptions: {minimum: 0}, " DO(word))
#define VALID(word)                                                                                \
    "{name: d, quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [a, "         \
    "b]}, " DO(word) "}]}"
#define KEPT "n:primaryKey passed 0/%;n:required passed 0/4;"

static const write row_rules[] = {
    {"properties: [" MIN("fail") "]", NULL, ROWS, ALL, "", "c:minimum failed 1/4 {\"c\":-1};"},
    {"properties: [{name: n, primaryKey: true}, " MIN("warn") "]", NULL, ROWS, ALL, "",
     "n:primaryKey passed 0/4;n:required passed 0/4;c:minimum warned 1/4 {\"n\":2,\"c\":-1};"},
    {"properties: [" MIN("quarantine") "]", NULL, ROWS, "1,1,a,;3,,a,;4,9,x,{'z': 5};",
     "c:minimum 2;", "c:minimum warned 1/4 {\"c\":-1};"},
    {"properties: [" MIN("'null'") "]", NULL, ROWS, "1,1,a,;2,,b,;3,,a,;4,9,x,{'z': 5};", "",
     "c:minimum warned 1/4 {\"c\":-1};"},
    /* the first rule of the file takes the row, and the others count it too */
    {"properties: [" MIN("quarantine") ", " VALID(
         "quarantine") "], quality: [{name: e, type: custom,"
                       " engine: smelt, implementation: \"c > 0 AND d <> 'x'\", " DO(
                           "quarantine") "}]",
     NULL, ROWS, "1,1,a,;3,,a,;", "c:minimum 2;d:validValues 4;",
     "c:minimum warned 1/4 {\"c\":-1};d:validValues warned 1/4 {\"d\":\"x\"};"
     "e warned 2/4 {\"c\":-1,\"d\":\"b\"} {\"c\":9,\"d\":\"x\"};"},
    /* the rules see what came in: what becomes NULL breaks no other */
    {"properties: [{name: c, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: "
     "5}, " DO("'null'") ", quality: [{metric: nullValues, mustBe: 1}]}]",
     NULL, ROWS, "1,1,a,;2,,b,;3,,a,;4,,x,{'z': 5};", "", NULL},
    /* a field, and a row rule that no row breaks */
    {"properties: [{name: s, logicalType: object, properties: [{name: z, logicalType: integer, "
     "logicalTypeOptions: {maximum: 4}, " DO("quarantine") "}]}, " C(
         "logicalTypeOptions: {maximum: 9}") "]",
     NULL, ROWS, "1,1,a,;2,-1,b,;3,,a,;", "s.z:maximum 4;",
     "s.z:maximum warned 1/4 {\"s.z\":5};c:maximum passed 0/4;"},
    /* no rules: only that the columns are there */
    {"properties: [{name: c}]", NULL, ROWS, ALL, "", ""},
    /* limits */
    {"properties: [{name: d, quality: [{metric: invalidValues, unit: percent, mustBeLessThan: 25, "
     "arguments: {validValues: [a, b]}, " DO("quarantine") "}]}]",
     NULL, ROWS, "1,1,a,;2,-1,b,;3,,a,;", "d:validValues 4;",
     "d:validValues failed 1/4 {\"d\":\"x\"};"},
    {"properties: [{name: d, quality: [{metric: invalidValues, unit: percent, mustBeLessThan: 26, "
     "arguments: {validValues: [a, b]}, " DO("quarantine") "}]}]",
     NULL, ROWS, "1,1,a,;2,-1,b,;3,,a,;", "d:validValues 4;",
     "d:validValues warned 1/4 {\"d\":\"x\"};"},
    {"properties: [" C(
         "logicalTypeOptions: {minimum: 2}, customProperties: [{property: "
         "smelt.onViolation, value: quarantine}, {property: smelt.failAbove, value: 1}]") "]",
     NULL, ROWS, "3,,a,;4,9,x,{'z': 5};", "c:minimum 1;c:minimum 2;",
     "c:minimum failed 2/4 {\"c\":1} {\"c\":-1};"},
    {"properties: [" C(
         "logicalTypeOptions: {minimum: 0}, customProperties: [{property: "
         "smelt.onViolation, value: 'null'}, {property: smelt.failAbove, value: '25%'}]") "]",
     NULL, ROWS, "1,1,a,;2,,b,;3,,a,;4,9,x,{'z': 5};", "", "c:minimum warned 1/4 {\"c\":-1};"},
};

static void test_row_rules(void **state)
{
    assert_writes(row_rules, SM_COUNT(row_rules));
}

/* ---- rules of several rows ------------------------------------------------------------------- */

#define TWICE                                                                                      \
    "{\"n\":1,\"c\":1,\"d\":\"a\"}\n{\"n\":2,\"c\":2,\"d\":\"a\"}\n{\"n\":3,\"c\":1,\"d\":\"b\"}"  \
    "\n"                                                                                           \
    "{\"n\":4,\"d\":\"b\"}\n{\"n\":5,\"d\":\"b\"}\n{\"n\":6,\"c\":1,\"d\":\"a\"}\n"
#define STAYS "{\"n\":11,\"c\":2,\"d\":\"z\"}\n{\"n\":12,\"c\":7}\n{\"n\":13,\"c\":7}\n{\"n\":14}\n"
#define PER(column, share)                                                                         \
    "customProperties: [{property: smelt.failAbove, value: " share                                 \
    "}, {property: smelt.sharePer, value: " column "}]"
#define UNIQUE(word) "properties: [" C("unique: true, " DO(word)) "]"
#define PAIR(word)                                                                                 \
    "properties: [{name: c}, {name: d}], quality: [{metric: duplicateValues, mustBe: 0, "          \
    "arguments: {properties: [c, d]}, " DO(word) "}]"
#define REFERS(word) "properties: [" C("relationships: [{to: other.c}], " DO(word)) "]"

static const write set_rules[] = {
    {UNIQUE("fail"), NULL, TWICE, NULL, "", "c:unique failed 2/6 {\"c\":1,\"count(*)\":3};"},
    {UNIQUE("warn"), STAYS, TWICE, NULL, "",
     "c:unique warned 3/10 {\"c\":2,\"count(*)\":2} {\"c\":1,\"count(*)\":3};"},
    {UNIQUE("quarantine"), NULL, TWICE, "1,1,a,;2,2,a,;4,,b,;5,,b,;", "c:unique 3;c:unique 6;",
     "c:unique warned 2/6 {\"c\":1} {\"c\":1};"},
    {UNIQUE("quarantine"), STAYS, TWICE, "1,1,a,;4,,b,;5,,b,;", "c:unique 2;c:unique 3;c:unique 6;",
     "c:unique warned 3/6 {\"c\":2} {\"c\":1} {\"c\":1};"},
    {UNIQUE("'null'"), STAYS, TWICE, "1,1,a,;2,,a,;3,,b,;4,,b,;5,,b,;6,,a,;", "",
     "c:unique warned 3/6 {\"c\":2} {\"c\":1} {\"c\":1};"},
    {PAIR("fail"), NULL, TWICE, NULL, "",
     "c,d:duplicateValues failed 1/6 {\"c\":1,\"d\":\"a\",\"count(*)\":2};"},
    {PAIR("quarantine"), STAYS, TWICE, "1,1,a,;2,2,a,;3,1,b,;4,,b,;5,,b,;",
     "c,d:duplicateValues 6;", "c,d:duplicateValues warned 1/6 {\"c\":1,\"d\":\"a\"};"},
    {"properties: [" C("primaryKey: true, " DO("quarantine")) "], " DO("quarantine"), NULL, TWICE,
     "1,1,a,;2,2,a,;", "c:required 4;c:required 5;c:primaryKey 3;c:primaryKey 6;",
     "c:primaryKey warned 2/4 {\"c\":1} {\"c\":1};"
     "c:required warned 2/6 {\"c\":null} {\"c\":null};"},
    {REFERS("fail"), STAYS, TWICE, NULL, "", "c:reference failed 1/6 {\"c\":2};"},
    {REFERS("quarantine"), NULL, TWICE, "1,1,a,;3,1,b,;4,,b,;5,,b,;6,1,a,;", "c:reference 2;",
     "c:reference warned 1/6 {\"c\":2};"},
    {REFERS("'null'"), NULL, TWICE, "1,1,a,;2,,a,;3,1,b,;4,,b,;5,,b,;6,1,a,;", "",
     "c:reference warned 1/6 {\"c\":2};"},
    /* one after the other, over what the one before left: the row rule, then both sets */
    {"properties: [" C("unique: true, relationships: [{to: other.c}], " DO(
         "quarantine")) ", {name: "
                        "n, logicalType: integer, logicalTypeOptions: {minimum: 2}, " DO(
                            "quarantine") "}]",
     NULL, TWICE, "3,1,b,;4,,b,;5,,b,;", "n:minimum 1;c:unique 6;c:reference 2;",
     "c:unique warned 1/5 {\"c\":1};c:reference warned 1/4 {\"c\":2};n:minimum warned 1/6 "
     "{\"n\":1};"},
    /* of the whole table, which no row that was taken away is in */
    {UNIQUE("quarantine") ", quality: [{metric: rowCount, mustBe: 4}, {name: q, type: sql, query: "
                          "'SELECT sum(n) FROM {object}', mustBe: 12}, {name: g, type: custom, "
                          "engine: smelt, "
                          "implementation: {groupBy: [c], check: count(*) = 1}}]",
     NULL, TWICE, NULL, NULL,
     "c:unique warned 2/6 {\"c\":1} {\"c\":1};rowCount passed 0/1;q passed 0/1;g failed 1/3 "
     "{\"c\":null};"},
    {"properties: [{name: c}], quality: [{metric: rowCount, mustBe: 10}]", STAYS, TWICE, NULL, "",
     "rowCount passed 0/1;"},
    /* shares of groups, of the rows that were written or of the table */
    {"properties: [{name: d}, " C("logicalTypeOptions: {minimum: 2}, " PER("d", "66%")) "]", NULL,
     TWICE, NULL, "", "c:minimum failed 3/6 {\"c\":1} {\"c\":1} {\"c\":1} a: 2 of 3;"},
    {"properties: [{name: c}, {name: d}], quality: [{metric: duplicateValues, mustBe: 0, "
     "arguments: "
     "{properties: [d, c]}, " PER("c", "25%") "}]",
     STAYS, TWICE "{\"n\":7,\"c\":7}\n{\"n\":8,\"c\":7,\"d\":\"a\"}\n", NULL, "",
     "d,c:duplicateValues failed 1/12 {\"d\":\"a\",\"c\":1,\"count(*)\":2} 1: 1 of 3;"},
    /* no row is left to be in a group */
    {"properties: [{name: d}, " C("required: true, " PER(
         "d", "1%")) "], quality: [{name: e, type: "
                     "custom, engine: smelt, implementation: false, " DO("quarantine") "}]",
     NULL, "{\"n\":1}\n", "", "e 1;", "c:required failed 1/1 {\"c\":null};e warned 1/1;"},
    /* a key of a field */
    {"properties: [{name: s, logicalType: object, properties: [{name: z, unique: true, " DO(
         "quarantine") "}]}]",
     NULL, "{\"n\":1,\"s\":{\"z\":1}}\n{\"n\":2}\n{\"n\":3,\"s\":{\"z\":1}}\n{\"n\":4,\"s\":{}}\n",
     "1,,,{'z': 1};2,,,;4,,,{'z': NULL};", "s.z:unique 3;", "s.z:unique warned 1/4 {\"s.z\":1};"},
};

static void test_set_rules(void **state)
{
    assert_writes(set_rules, SM_COUNT(set_rules));
}

/* ---- what is made of values ------------------------------------------------------------------ */

#define WORDS "{\"n\":1,\"c\":1,\"d\":\"7\"}\n{\"n\":2,\"c\":2,\"d\":\"x\"}\n{\"n\":3}\n"
#define CAST(type, rest)                                                                           \
    "{name: d, physicalType: " type                                                                \
    ", customProperties: [{property: smelt.cast, value: true}" rest "]}"
#define SET(word, value) "customProperties: [{property: smelt." word ", value: " value "}]"

static const write makings[] = {
    /* casts: what cannot be cast is told as it was */
    {"properties: [{name: n, primaryKey: true}, " CAST("BIGINT", "") "]", NULL, WORDS, NULL, "",
     "n:primaryKey passed 0/3;n:required passed 0/3;d:cast failed 1/3 {\"n\":2,\"d\":\"x\"};"},
    {"properties: [" CAST("BIGINT", ", {property: smelt.onViolation, value: 'null'}") "]", NULL,
     WORDS, "1,1,7,;2,2,,;3,,,;", "", "d:cast warned 1/3 {\"d\":\"x\"};"},
    {"properties: [" CAST("VARCHAR", "") "]", NULL, WORDS, "1,1,7,;2,2,x,;3,,,;", "", ""},
    /* of a table: each property with a physicalType; the rules see the new type */
    {"properties: [{name: n, physicalType: VARCHAR, logicalType: string, logicalTypeOptions: "
     "{maxLength: 1}}, {name: c, physicalType: 'DECIMAL(5,2)', logicalType: number, "
     "logicalTypeOptions: {minimum: 1.5}, " DO("quarantine") "}, {name: d}], " SET("cast", "true"),
     NULL, WORDS, "2,2.00,x,;3,,,;", "c:minimum 1;",
     "n:maxLength passed 0/3;c:minimum warned 1/3 {\"c\":1.00};n:cast passed 0/3;c:cast passed "
     "0/3;"},
    /* a number that would be rounded */
    {"properties: [{name: c, physicalType: 'DECIMAL(2,1)', " SET("cast", "true") "}]", NULL,
     "{\"n\":1,\"c\":9}\n{\"n\":2,\"c\":99}\n", NULL, "", "c:cast failed 1/2 {\"c\":99};"},
    /* defaults come before the rules */
    {"properties: [{name: c, required: true, " SET(
         "default", "-1") "}, {name: d, required: true, " SET("default", "'null'") "}]",
     NULL, WORDS, "1,1,7,;2,2,x,;3,-1,null,;", "", "c:required passed 0/3;d:required passed 0/3;"},
    {"properties: [{name: d, physicalType: INTEGER, customProperties: [{property: smelt.cast, "
     "value: "
     "true}, {property: smelt.onViolation, value: 'null'}, {property: smelt.default, value: 5}]}]",
     NULL, WORDS, "1,1,7,;2,2,5,;3,,5,;", "", "d:cast warned 1/3 {\"d\":\"x\"};"},
    /* derived columns: in their place, or at the end; from what casts and defaults made */
    {"properties: [{name: c, " SET("default", "10") "}, {name: d, " SET(
         "derive",
         "c * 2") "}, {name: "
                  "e, logicalType: integer, logicalTypeOptions: {maximum: 11}, customProperties: "
                  "[{property: "
                  "smelt.derive, value: c + 1}, {property: smelt.onViolation, value: warn}]}]",
     NULL, WORDS "{\"n\":4,\"c\":11}\n", "1,1,2,,2;2,2,4,,3;3,10,20,,11;4,11,22,,12;", "",
     "e:maximum warned 1/4 {\"e\":12};"},
    {"properties: [{name: e, physicalType: DATE, customProperties: [{property: smelt.derive, "
     "value: "
     "\"'2024-05-0' || n\"}, {property: smelt.cast, value: true}]}]",
     NULL, WORDS, "1,1,7,,2024-05-01;2,2,x,,2024-05-02;3,,,,2024-05-03;", "", ""},
};

static void test_makings(void **state)
{
    assert_writes(makings, SM_COUNT(makings));
}

/* ---- many rows ------------------------------------------------------------------------------- */

/* Of many rows with few keys the first of each stays, wherever they are, and all are accounted for:
 * against a table of the keys that were met. */
static void test_many(void **state)
{
    enum { N = 20000, KEYS = 700 };
    static bool met[KEYS];
    sm_buf lines = {0}, want = {0}, texts[3] = {0};
    kit k;
    int n_left = 0;

    for (int i = 0; i < N; i++) {
        const int key = (int)((unsigned)i * 2654435761u % 1000003u % KEYS);
        const bool stays = key % 10 == 3, is_null = i % 97 == 0;
        sm_buf_printf(&lines, is_null ? "{\"n\":%d}\n" : "{\"n\":%d,\"c\":%d}\n", i, key);
        if (is_null || (!met[key] && !stays)) {
            sm_buf_printf(&want, is_null ? "%d,,,;" : "%d,%d,,;", i, key);
            met[key] |= !is_null;
        } else {
            n_left++;
        }
    }
    sm_buf_text(&lines, (sm_str){"", 1});
    sm_buf stays = {0};
    for (int i = 3; i < KEYS; i += 10) {
        sm_buf_printf(&stays, "{\"c\":%d}\n{\"c\":%d}\n", i, i);
    }
    sm_buf_text(&stays, (sm_str){"", 1});
    kit_open(&k, 4);
    guarded_write(&k,
                  &(write){.yaml = UNIQUE("quarantine"),
                           .stays = (const char *)stays.data,
                           .rows = (const char *)lines.data},
                  texts);
    assert_true(sm_str_eq(sm_buf_str(&texts[0]), sm_buf_str(&want)));
    assert_true(sm_str_starts(sm_buf_str(&texts[2]),
                              sm_arena_strf(k.a, "c:unique warned %d/%d {\"c\":", n_left, (int)N)));
    kit_close(&k);
    for (int i = 0; i < SM_COUNT(texts); i++) {
        sm_buf_release(&texts[i]);
    }
    sm_buf_release(&stays);
    sm_buf_release(&want);
    sm_buf_release(&lines);
}

/* ---- random rows ----------------------------------------------------------------------------- */

/* Rows against a model in a few lines: the rules one after the other, each over what the ones
 * before left; and the rows before a row decide whether it is a duplicate. -1 is NULL. */
enum { N_ROWS = 400, N_STAYS = 40, MOST_N = 9 };
enum { MODEL_MAXIMUM, MODEL_UNIQUE, MODEL_REFERENCE, MODEL_PAIR, MODEL_RULES };

static const char *const model_names[MODEL_RULES] = {"n:maximum", "c:duplicateValues",
                                                     "c:reference", "c,d:duplicateValues"};

typedef struct model_row {
    int n, c, d;
    bool has_left;
} model_row;

static void random_rows(uint64_t *x, model_row *rows, int n, sm_buf *out)
{
    for (int i = 0; i < n; i++) {
        rows[i] = (model_row){.n = (int)random_below(x, MOST_N + 3),
                              .c = (int)random_below(x, 60) - 1,
                              .d = (int)random_below(x, 3) - 1};
        sm_buf_printf(out, "{\"n\":%d", rows[i].n);
        if (rows[i].c >= 0) {
            sm_buf_printf(out, ",\"c\":%d", rows[i].c);
        }
        if (rows[i].d >= 0) {
            sm_buf_printf(out, ",\"d\":\"%d\"", rows[i].d);
        }
        sm_buf_printf(out, "}\n");
    }
    sm_buf_text(out, (sm_str){"", 1});
}

static bool is_among(const model_row *row, const model_row *rows, int n, bool with_d)
{
    bool is = false;

    for (int i = 0; i < n && !is; i++) {
        is = !rows[i].has_left && rows[i].c == row->c && (!with_d || rows[i].d == row->d);
    }
    return is;
}

static bool breaks(int rule, const model_row *rows, int i, const model_row *stays)
{
    const model_row *row = &rows[i];
    const bool is_pair = rule == MODEL_PAIR;

    if (row->has_left || rule == MODEL_MAXIMUM) {
        return !row->has_left && row->n > MOST_N;
    }
    if (row->c < 0 || (is_pair && row->d < 0)) {
        return false;
    }
    return rule == MODEL_REFERENCE
               ? row->c % 8 == 0
               : is_among(row, stays, N_STAYS, is_pair) || is_among(row, rows, i, is_pair);
}

/* Applies a rule to all rows; prints those that leave, and returns how many break it. */
static int64_t apply_rule(int rule, bool nulls, model_row *rows, const model_row *stays,
                          sm_buf *left)
{
    static bool is_broken[N_ROWS];
    int64_t n = 0;

    for (int i = 0; i < N_ROWS; i++) {
        is_broken[i] = breaks(rule, rows, i, stays);
        n += is_broken[i];
    }
    for (int i = 0; i < N_ROWS; i++) {
        if (is_broken[i] && nulls) {
            rows[i].c = -1;
        } else if (is_broken[i]) {
            rows[i].has_left = true;
            sm_buf_printf(left, "%s %d;", model_names[rule], rows[i].n);
        }
    }
    return n;
}

static void print_number(int v, sm_buf *out)
{
    if (v >= 0) {
        sm_buf_printf(out, "%d", v);
    }
    sm_buf_printf(out, ",");
}

static void print_kept(const model_row *rows, sm_buf *out)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (!rows[i].has_left) {
            print_number(rows[i].n, out);
            print_number(rows[i].c, out);
            print_number(rows[i].d, out);
            sm_buf_printf(out, ";");
        }
    }
}

#define RANDOM_TABLE                                                                               \
    "properties: [{name: n, logicalType: integer, logicalTypeOptions: {maximum: %d}, %s}, "        \
    "{name: c, quality: [{metric: duplicateValues, mustBe: 0, %s}], "                              \
    "relationships: [{to: other.c, %s}]}, {name: d}], "                                            \
    "quality: [{metric: duplicateValues, mustBe: 0, arguments: {properties: [c, d]}, %s}]"

static void check_random(uint64_t *x, kit *k)
{
    static model_row rows[N_ROWS], stays[N_STAYS];
    static const char *const words[] = {DO("quarantine"), DO("'null'")};
    const bool nulls[MODEL_RULES] = {
        [MODEL_UNIQUE] = random_below(x, 2), [MODEL_REFERENCE] = random_below(x, 2)};
    sm_buf lines = {0}, staying = {0}, want[2] = {0}, texts[3] = {0};
    int64_t counts[MODEL_RULES] = {0};

    random_rows(x, rows, N_ROWS, &lines);
    random_rows(x, stays, N_STAYS, &staying);
    guarded_write(k,
                  &(write){.yaml = sm_arena_printf(k->a, RANDOM_TABLE, MOST_N, words[0],
                                                   words[nulls[MODEL_UNIQUE]],
                                                   words[nulls[MODEL_REFERENCE]], words[0]),
                           .stays = (const char *)staying.data,
                           .rows = (const char *)lines.data,
                           .counts = counts},
                  texts);
    for (int r = 0; r < MODEL_RULES; r++) {
        assert_int_equal(apply_rule(r, nulls[r], rows, stays, &want[1]), counts[r]);
    }
    print_kept(rows, &want[0]);
    for (int i = 0; i < SM_COUNT(want); i++) {
        assert_true(sm_str_eq(sm_buf_str(&want[i]), sm_buf_str(&texts[i])));
        sm_buf_release(&want[i]);
    }
    for (int i = 0; i < SM_COUNT(texts); i++) {
        sm_buf_release(&texts[i]);
    }
    sm_buf_release(&staying);
    sm_buf_release(&lines);
}

/* SMELT_SEED=n repeats a run. */
static void test_random(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    sm_buf other = {0};
    uint64_t x = 0;

    sm_random_bytes(&x, sizeof(x));
    x = given ? strtoull(given, NULL, 10) : x;
    print_message("SMELT_SEED=%" PRIu64 "\n", x);
    for (int i = 0; i < 60; i++) { /* the values that a reference may have */
        if (i % 8 != 0) {
            sm_buf_printf(&other, "{\"c\":%d}\n", i);
        }
    }
    for (int i = 0; i < 12; i++) {
        kit k;
        kit_open(&k, 1 + i % 4);
        put_file(&k, "other.json", sm_buf_str(&other));
        check_random(&x, &k);
        kit_close(&k);
    }
    sm_buf_release(&other);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

static const struct {
    const char *yaml;
    sm_status want;
    const char *what;
} mistakes[] = {
    {"properties: [{name: cc}]", SM_NAME, "the rows have no column \"cc\""},
    {"properties: [{name: s, unique: true, " DO("quarantine") "}]", SM_TYPE, NULL},
    {"properties: [" C("relationships: [{to: other.x}], " DO("quarantine")) "]", SM_NAME,
     "the rows of table other have no column \"x\""},
    {"properties: [{name: c, " SET("default", "x") "}]", SM_TYPE, NULL},
    {"properties: [{name: e, " SET("derive", "f + 1") "}]", SM_NAME, "no column \"f\""},
    {"properties: [{name: s, physicalType: BIGINT, " SET("cast", "true") "}]", SM_TYPE, NULL},
    {"properties: [{name: e, physicalType: BIGINT, " SET("cast", "true") "}]", SM_NAME,
     "the rows have no column \"e\""},
    {"properties: [{name: d, logicalType: string, logicalTypeOptions: {pattern: '('}}]", SM_INVALID,
     NULL},
};

static void test_mistakes(void **state)
{
    for (int i = 0; i < SM_COUNT(mistakes); i++) {
        kit k;
        sm_guard *g = NULL;
        sm_error e = {0};
        kit_open(&k, 1);
        put_file(&k, "rows.json", SM_STR(ROWS));
        put_file(&k, "other.json", SM_STR(ROWS));
        const sm_status st = guard_new(&k, mistakes[i].yaml, false, k.a, &g, &e);
        if (st != mistakes[i].want || (mistakes[i].what && strcmp(e.what, mistakes[i].what) != 0) ||
            e.object[0] == '\0' || e.line < 1) {
            fail_msg("mistake %d: %d %s at %s:%d", i, (int)st, e.what, e.object, (int)e.line);
        }
        assert_null(g);
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_rules), cmocka_unit_test(test_set_rules),
        cmocka_unit_test(test_makings),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
