/* contract/contract_audit_test.c: rows in files against each kind of rule: how many are counted,
 * which examples are shown, at one and at several threads; what NULL, NaN and a table without rows
 * mean; mistakes with their place. */
#include "test.h"

#include "contract/contract_testkit.h"
#include "stores.h"

/* What a check needs. */
typedef struct kit {
    sm_arena *a;
    sm_budget *budget;
    sm_pool *pool;
    sm_exec_env env;
    sm_store *store;
    sm_contract *c;
} kit;

#define ROOT "memory://contract_audit"

static void kit_open_within(kit *k, int n_threads, size_t limit_bytes)
{
    sm_error e = {0};

    *k = (kit){.a = sm_arena_new(NULL), .budget = sm_budget_new(NULL, "test", limit_bytes)};
    assert_ok(sm_pool_new(n_threads, &k->pool, &e), &e);
    k->env = (sm_exec_env){.pool = k->pool, .budget = k->budget, .stores = test_stores};
    assert_ok(sm_store_open(test_stores, SM_STR(ROOT), &k->store, &e), &e);
}

static void kit_open(kit *k, int n_threads)
{
    kit_open_within(k, n_threads, 0);
}

static void kit_close(kit *k)
{
    sm_store_release(k->store);
    sm_pool_free(k->pool);
    assert_int_equal(sm_budget_used(k->budget), 0);
    sm_budget_free(k->budget);
    sm_arena_free(k->a);
}

static void put_file(kit *k, const char *name, const char *text)
{
    sm_error e = {0};
    const sm_str bytes = sm_str_of(text);

    assert_ok(sm_store_put(k->store, sm_str_of(name), bytes.data, bytes.len, SM_PUT_REPLACE, &e),
              &e);
}

/* Checks rows.json against the table that `yaml` describes. */
static sm_status check(kit *k, const char *yaml, sm_verdict **out, sm_error *e)
{
    const sm_contract_table *t = NULL;
    sm_error why = {0};

    assert_ok(kit_read(kit_table(yaml, k->a), k->a, &k->c, &why), &why);
    assert_ok(sm_contract_find(k->c, SM_STR("t"), k->a, &t, &why), &why);
    const sm_checked_rows in = {.contract = k->c, .table = t, .uri = SM_STR(ROOT "/rows.json")};
    return sm_contract_check(&in, &k->env, k->a, out, e);
}

/* ---- counts ---------------------------------------------------------------------------------- */

#define ROWS                                                                                       \
    "{\"c\":1,\"d\":\"a\",\"s\":{\"z\":1}}\n{\"c\":2,\"d\":\"a\",\"s\":{\"z\":1}}\n"               \
    "{\"c\":1,\"d\":\"b\",\"s\":{\"z\":2}}\n{\"c\":null,\"d\":\"b\",\"s\":null}\n"                 \
    "{\"c\":null,\"d\":null,\"s\":null}\n{\"c\":1,\"d\":\"a\",\"s\":{\"z\":4}}\n"
#define COLUMNS  "properties: [{name: c}, {name: d}]"
#define C(rest)  "properties: [{name: c, logicalType: integer, " rest "}, {name: d}]"
#define Q(rest)  COLUMNS ", quality: [" rest "]"
#define ONE(def) "{name: q, type: custom, engine: smelt, implementation: " def "}"

static const struct {
    const char *yaml;
    int64_t n_rows, n_broken;
    const char *examples; /* with commas between */
} cases[] = {
    {C("required: true"), 6, 2, "{\"c\":null},{\"c\":null}"},
    {C("unique: true"), 6, 2, "{\"c\":1,\"count(*)\":3}"},
    {Q("{metric: duplicateValues, arguments: {properties: [c, d]}, mustBe: 0}"), 6, 1,
     "{\"c\":1,\"d\":\"a\",\"count(*)\":2}"},
    {C("logicalTypeOptions: {minimum: 2}"), 6, 3, "{\"c\":1},{\"c\":1},{\"c\":1}"},
    {Q(ONE("c > 1 OR d = 'b'")), 6, 2, "{\"c\":1,\"d\":\"a\"},{\"c\":1,\"d\":\"a\"}"},
    {Q(ONE("1 = 2")), 6, 6, ""},
    {Q(ONE("{groupBy: [d], check: count(*) < 3}")), 3, 1, "{\"d\":\"a\"}"},
    {Q(ONE("{groupBy: [d], check: \"sum(c) > 0 -- all\"}")), 3, 0, ""}, /* of NULL it is NULL */
    {Q(ONE("{groupBy: [c, d], check: count(*) = 1}")), 5, 1, "{\"c\":1,\"d\":\"a\"}"},
    {C("relationships: [{to: other.id}]"), 6, 1, "{\"c\":2}"},
    {COLUMNS ", relationships: [{from: [t.c, t.d], to: [other.id, other.name]}]", 6, 2,
     "{\"c\":2,\"d\":\"a\"},{\"c\":1,\"d\":\"b\"}"},
    {"properties: [{name: s, logicalType: object, properties: [{name: z, unique: true}]}]", 6, 1,
     "{\"s.z\":1,\"count(*)\":2}"},
    {"properties: [{name: s, logicalType: object, properties: [{name: z, logicalType: integer, "
     "logicalTypeOptions: {maximum: 2}}]}]",
     6, 1, "{\"s.z\":4}"},
    {"properties: [{name: s, logicalType: object, properties: [{name: z}]}], quality: [" ONE(
         "{groupBy: [s.z], check: count(*) < 2}") "]",
     4, 2, NULL},
    {Q("{metric: rowCount, mustBe: 6}"), 1, 0, ""},
    {Q("{metric: rowCount, mustBe: 7}"), 1, 1, ""},
    {Q("{type: sql, query: 'SELECT max(c) FROM {object}', mustBe: 2}"), 1, 0, ""},
    {C("quality: [{type: sql, query: 'SELECT sum({property}) / 2 FROM t', mustBe: 2.5}]"), 1, 0,
     ""},
    {Q("{type: sql, query: 'SELECT c FROM {object} WHERE c > 9', mustBeLessThan: 9}"), 1, 1, ""},
    {Q("{type: sql, query: 'SELECT NULL', mustNotBe: 9}"), 1, 1, ""},
};

static void compare(kit *k, int i, const sm_verdict *v)
{
    const sm_rule_count *c = &v->rules[0].count;
    sm_buf text = {0};

    for (int32_t x = 0; x < c->n_examples; x++) {
        sm_buf_printf(&text, "%s%.*s", x ? "," : "", SM_STR_ARG(c->examples[x]));
    }
    if (v->table->n_rules != 1 || c->n_rows != cases[i].n_rows ||
        c->n_broken != cases[i].n_broken ||
        (cases[i].examples && !sm_str_is(sm_buf_str(&text), cases[i].examples))) {
        fail_msg("case %d: %d of %d: %.*s", i, (int)c->n_broken, (int)c->n_rows,
                 SM_STR_ARG(sm_buf_str(&text)));
    }
    assert_int_equal(v->n_rows, 6);
    sm_buf_release(&text);
}

static void test_counts(void **state)
{
    static const int threads[] = {1, 4};

    for (int t = 0; t < SM_COUNT(threads); t++) {
        for (int i = 0; i < SM_COUNT(cases); i++) {
            kit k;
            sm_verdict *v = NULL;
            sm_error e = {0};
            kit_open(&k, threads[t]);
            put_file(&k, "rows.json", ROWS);
            put_file(&k, "other.json",
                     "{\"id\":1,\"name\":\"a\"}\n{\"id\":1,\"name\":\"a\"}\n"
                     "{\"id\":null,\"name\":\"b\"}\n{\"id\":5,\"name\":\"b\"}\n");
            assert_ok(check(&k, cases[i].yaml, &v, &e), &e);
            compare(&k, i, v);
            kit_close(&k);
        }
    }
}

/* Many broken rows: the first ten are shown, in their order. */
static void test_many(void **state)
{
    kit k;
    sm_verdict *v = NULL;
    sm_error e = {0};
    sm_buf text = {0};

    kit_open(&k, 4);
    for (int i = 0; i < 5000; i++) {
        sm_buf_printf(&text, "{\"c\":%d,\"d\":null}\n", i);
    }
    sm_buf_text(&text, (sm_str){"", 1});
    put_file(&k, "rows.json", (const char *)text.data);
    assert_ok(check(&k, C("logicalTypeOptions: {maximum: 99}"), &v, &e), &e);
    assert_int_equal(v->rules[0].count.n_broken, 4900);
    assert_int_equal(v->rules[0].count.n_examples, SM_RULE_EXAMPLES);
    assert_true(sm_str_is(v->rules[0].count.examples[0], "{\"c\":100}"));
    assert_true(sm_str_is(v->rules[0].count.examples[9], "{\"c\":109}"));
    assert_int_equal(v->outcome, SM_OUTCOME_FAILED);
    sm_buf_release(&text);
    kit_close(&k);
}

/* Many rows, whose keys never come again, or of which few, many or all do. */
#define DUPLICATE_ROWS 60000
static int key_none(int i)
{
    return i;
}
static int key_few(int i) /* the last ten come again, in the order of the first */
{
    return i % (DUPLICATE_ROWS - 10);
}
static int key_pairs(int i)
{
    return i / 2;
}
static int key_far_pairs(int i)
{
    return i % (DUPLICATE_ROWS / 2);
}
static int key_one(int i)
{
    return i * 0;
}

static const struct {
    int (*key)(int i);
    int64_t n_broken;
    const char *first; /* examples; NULL: none */
    const char *tenth;
} duplicates[] = {
    {key_none, 0, NULL, NULL},
    {key_few, 10, "{\"c\":0,\"d\":\"text of key 0\",\"count(*)\":2}",
     "{\"c\":9,\"d\":\"text of key 9\",\"count(*)\":2}"},
    {key_pairs, DUPLICATE_ROWS / 2, "{\"c\":0,\"d\":\"text of key 0\",\"count(*)\":2}",
     "{\"c\":9,\"d\":\"text of key 9\",\"count(*)\":2}"},
    {key_far_pairs, DUPLICATE_ROWS / 2, "{\"c\":0,\"d\":\"text of key 0\",\"count(*)\":2}",
     "{\"c\":9,\"d\":\"text of key 9\",\"count(*)\":2}"},
    {key_one, DUPLICATE_ROWS - 1, "{\"c\":0,\"d\":\"text of key 0\",\"count(*)\":60000}", NULL},
};

static void put_keys(kit *k, int (*key)(int i))
{
    sm_buf text = {0};

    for (int i = 0; i < DUPLICATE_ROWS; i++) {
        sm_buf_printf(&text, "{\"c\":%d,\"d\":\"text of key %d\"}\n", key(i), key(i));
    }
    sm_buf_text(&text, (sm_str){"", 1});
    put_file(k, "rows.json", (const char *)text.data);
    sm_buf_release(&text);
}

/* In one scan or in several, and where rows are grouped instead, for which the many that come again
 * need more memory: what is counted and shown is the same. */
static void test_duplicates(void **state)
{
    static const size_t limits[] = {0, (size_t)24 << 20, (size_t)6 << 20, (size_t)5 << 20};

    for (int i = 0; i < SM_COUNT(duplicates) * SM_COUNT(limits); i++) {
        const int d = i / SM_COUNT(limits);
        const size_t limit = limits[i % SM_COUNT(limits)];
        if (duplicates[d].n_broken > 10 && limit != 0 && limit < (size_t)24 << 20) {
            continue;
        }
        kit k;
        sm_verdict *v = NULL;
        sm_error e = {0};
        kit_open_within(&k, 1 + i % 2, limit);
        put_keys(&k, duplicates[d].key);
        assert_ok(check(&k,
                        Q("{metric: duplicateValues, arguments: {properties: [c, d]}, mustBe: 0}"),
                        &v, &e),
                  &e);
        const sm_rule_count *c = &v->rules[0].count;
        assert_int_equal(c->n_rows, DUPLICATE_ROWS);
        assert_int_equal(c->n_broken, duplicates[d].n_broken);
        assert_int_equal(c->n_examples, duplicates[d].tenth ? 10 : duplicates[d].first ? 1 : 0);
        assert_true(!duplicates[d].first || sm_str_is(c->examples[0], duplicates[d].first));
        assert_true(!duplicates[d].tenth || sm_str_is(c->examples[9], duplicates[d].tenth));
        kit_close(&k);
    }
}

/* One row, and another table whose only value is NULL: that is none. */
static void test_one_row(void **state)
{
    kit k;
    sm_verdict *v = NULL;
    sm_error e = {0};

    kit_open(&k, 1);
    put_file(&k, "rows.json", "{\"c\":1,\"d\":\"a\"}\n");
    put_file(&k, "other.json", "{\"id\":null}\n");
    assert_ok(check(&k,
                    "properties: [{name: c, unique: true, required: true, relationships: [{to: "
                    "other.id}]}]",
                    &v, &e),
              &e);
    assert_int_equal(v->n_rows, 1);
    assert_int_equal(v->n_failed, 1); /* the other table has no value */
    kit_close(&k);
}

/* ---- shares of groups ------------------------------------------------------------------------ */

#define PER(column, share)                                                                         \
    "customProperties: [{property: smelt.failAbove, value: " share                                 \
    "}, {property: smelt.sharePer, value: " column "}]"

/* The worst of the groups a (5 rows), b (4 rows) and NULL (1 row). */
static const struct {
    const char *yaml, *worst;
    sm_outcome want;
} shares[] = {
    {"properties: [{name: d}, {name: c, logicalType: integer, logicalTypeOptions: {minimum: "
     "1}, " PER("d", "50%") "}]",
     "b: 2 of 4", SM_OUTCOME_WARNED},
    {"properties: [{name: d}, {name: c, logicalType: integer, logicalTypeOptions: {minimum: "
     "1}, " PER("d", "49.9%") "}]",
     "b: 2 of 4", SM_OUTCOME_FAILED},
    {"properties: [{name: d}, {name: c, logicalType: integer, logicalTypeOptions: {maximum: "
     "8}, " PER("d", "1%") "}]",
     "NULL: 1 of 1", SM_OUTCOME_FAILED},
    {"properties: [{name: d}, {name: c, logicalType: integer, logicalTypeOptions: {minimum: "
     "-9}, " PER("d", "0%") "}]",
     "", SM_OUTCOME_PASSED},
    {"properties: [{name: c}, {name: d}], quality: [{metric: duplicateValues, mustBe: 0, "
     "arguments: "
     "{properties: [c, d]}, " PER("d", "25%") "}]",
     "b: 1 of 4", SM_OUTCOME_WARNED},
    {"properties: [{name: c}, {name: d}], quality: [{metric: duplicateValues, unit: percent, "
     "mustBeLessThan: 25, arguments: {properties: [c, d]}, customProperties: [{property: "
     "smelt.sharePer, value: d}]}]",
     "b: 1 of 4", SM_OUTCOME_FAILED},
    {"properties: [{name: d}, {name: c, relationships: [{to: other.id}], " PER("d", "50%") "}]",
     "NULL: 1 of 1", SM_OUTCOME_FAILED},
    /* two groups of one share: the first by value */
    {"properties: [{name: c, primaryKey: true}, {name: n, primaryKey: true}], " PER("n", "100%"),
     "7: 1 of 2", SM_OUTCOME_WARNED},
};

static void test_shares(void **state)
{
    for (int i = 0; i < SM_COUNT(shares); i++) {
        kit k;
        sm_verdict *v = NULL;
        sm_error e = {0};
        kit_open(&k, 1 + i % 4);
        put_file(&k, "rows.json",
                 "{\"c\":1,\"d\":\"a\",\"n\":8}\n{\"c\":-1,\"d\":\"b\",\"n\":7}\n"
                 "{\"c\":1,\"d\":\"a\",\"n\":8}\n{\"c\":-1,\"d\":\"b\",\"n\":7}\n"
                 "{\"c\":2,\"d\":\"a\",\"n\":1}\n{\"c\":3,\"d\":\"a\",\"n\":2}\n"
                 "{\"c\":null,\"d\":\"b\",\"n\":3}\n{\"c\":5,\"d\":\"b\",\"n\":4}\n"
                 "{\"c\":9,\"d\":null,\"n\":5}\n{\"c\":0,\"d\":\"a\",\"n\":6}\n");
        put_file(&k, "other.json", "{\"id\":1}\n{\"id\":2}\n{\"id\":-1}\n");
        assert_ok(check(&k, shares[i].yaml, &v, &e), &e);
        const sm_rule_verdict *worst = &v->rules[0];
        for (int64_t r = 0; r < v->table->n_rules; r++) {
            worst = v->rules[r].rule->has_share_per ? &v->rules[r] : worst;
        }
        const char *text =
            worst->count.worst.data
                ? sm_arena_printf(k.a, "%.*s: %d of %d", SM_STR_ARG(worst->count.worst),
                                  (int)worst->count.worst_broken, (int)worst->count.worst_rows)
                : "";
        if (strcmp(text, shares[i].worst) != 0 || worst->outcome != shares[i].want) {
            fail_msg("share %d: %s %s", i, text, sm_outcome_name(worst->outcome));
        }
        kit_close(&k);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------- */

static const struct {
    const char *yaml;
    sm_status want;
    const char *what;
} mistakes[] = {
    {"properties: [{name: cc}]", SM_NAME, "the rows have no column \"cc\""},
    {C("relationships: [{to: other.idd}]"), SM_NAME,
     "the rows of table other have no column \"idd\""},
    {"properties: [{name: d, relationships: [{to: other.id}]}]", SM_TYPE,
     "\"a\" cannot be cast to BIGINT"},
    {C("relationships: [{to: nowhere.id}]"), SM_NOT_FOUND,
     "there is no file at \"" ROOT "/nowhere.json\""},
    {"properties: [{name: s, unique: true}]", SM_TYPE, NULL},
    {Q(ONE("{groupBy: [d], check: count(*)}")), SM_TYPE, "this is no condition"},
    {Q(ONE("{groupBy: [d], check: \"true, true\"}")), SM_SYNTAX, NULL},
    {Q(ONE("{groupBy: [d], check: \"true) OR (false\"}")), SM_SYNTAX, NULL},
    {Q(ONE("{groupBy: [d], check: \"true FROM x\"}")), SM_SYNTAX, NULL},
    {Q(ONE("{groupBy: [d], check: c > 1}")), SM_SYNTAX,
     "column \"c\" is neither in GROUP BY nor in an aggregate"},
    {Q(ONE("{groupBy: [d], check: max(e) > 1}")), SM_NAME, "no column \"e\""},
    {Q("{type: sql, query: 'SELECT 1, 2', mustBe: 1}"), SM_TYPE, "the query gives no number"},
    {Q("{type: sql, query: 'SELECT d FROM t', mustBe: 1}"), SM_TYPE, "the query gives no number"},
    {Q("{type: sql, query: 'SELECT c FROM t', mustBe: 1}"), SM_TYPE,
     "the query gives more than one row"},
    {Q("{type: sql, query: 'SELECT {property}', mustBe: 1}"), SM_INVALID, NULL},
    {Q("{type: sql, query: 'DELETE FROM t', mustBe: 1}"), SM_DENIED, NULL},
    {Q(ONE("c / 'x' > 1")), SM_TYPE, NULL},
};

static void test_mistakes(void **state)
{
    for (int i = 0; i < SM_COUNT(mistakes); i++) {
        kit k;
        sm_verdict *v = NULL;
        sm_error e = {0};
        kit_open(&k, 2);
        put_file(&k, "rows.json", ROWS);
        put_file(&k, "other.json", "{\"id\":1}\n");
        const sm_status st = check(&k, mistakes[i].yaml, &v, &e);
        if (st != mistakes[i].want || (mistakes[i].what && strcmp(e.what, mistakes[i].what) != 0) ||
            e.object[0] == '\0' || e.line < 1) {
            fail_msg("mistake %d: %d %s at %s:%d", i, (int)st, e.what, e.object, (int)e.line);
        }
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_one_row),
        cmocka_unit_test(test_shares),     cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
