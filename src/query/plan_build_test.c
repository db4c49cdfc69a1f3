/* query/plan_build_test.c: plans built by calls: each is the plan of the SQL beside it, line by
 * line; nodes and expressions that are shared stay as they are; what does not fit is told. */
#include "test.h"

#include <stdlib.h>

#include "query/query_testkit.h"

/* What a test builds with. The columns of t: i b d s p; of log: Key App Secs Day. */
typedef struct builder {
    sm_arena *a;
    const sm_plan_node *t, *log;
} builder;

static builder builder_new(void)
{
    builder b = {.a = sm_arena_new(NULL)};
    b.t = sm_plan_scan(&(sm_relation){.dataset = &kit_t_data, .label = SM_STR("t")}, false, b.a);
    b.log =
        sm_plan_scan(&(sm_relation){.dataset = &kit_log_data, .label = SM_STR("log")}, false, b.a);
    return b;
}

/* ---- expressions, where nothing may fail ----------------------------------------------------- */

static const sm_expr *col(builder *b, const sm_plan_node *n, const char *name)
{
    const int32_t i = sm_type_find(n->schema, sm_str_of(name));
    assert_true(i >= 0);
    return sm_expr_column(n->schema, i, b->a);
}

static const sm_expr *number(builder *b, int32_t v)
{
    return sm_expr_constant((sm_value){.type = &sm_type_i32, .as.i = v}, b->a);
}

static const sm_expr *text(builder *b, const char *s)
{
    return sm_expr_constant(sm_value_str(sm_str_of(s)), b->a);
}

/* Up to two arguments; NULL ends them. */
static const sm_expr *call(builder *b, const char *name, const sm_expr *x, const sm_expr *y)
{
    const sm_expr *const args[] = {x, y};
    const sm_expr *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_call(name, args, (x != NULL) + (y != NULL), b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *filter(builder *b, const sm_plan_node *in, const sm_expr *where)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_filter(in, where, b->a, &out, &e), &e);
    return out;
}

/* Columns by name, in that order. */
static const sm_plan_node *pick(builder *b, const sm_plan_node *in, const char *x, const char *y)
{
    const sm_str names[] = {sm_str_of(x), sm_str_of(y)};
    const sm_expr *const exprs[] = {col(b, in, x), col(b, in, y)};
    return sm_plan_project(in, exprs, names, 2, b->a);
}

/* ---- the plan of the same SQL ---------------------------------------------------------------- */

static char *plan_text(const sm_plan *plan)
{
    sm_buf out = {0};
    sm_plan_print(plan, NULL, NULL, &out);
    sm_buf_text(&out, (sm_str){"", 1});
    char *copy = strdup((const char *)out.data);
    sm_buf_release(&out);
    return copy;
}

static char *node_text(const sm_plan_node *n)
{
    const sm_plan plan = {.root = (sm_plan_node *)n};
    return plan_text(&plan);
}

static char *finished_text(builder *b, const sm_plan_node *root)
{
    sm_plan *plan = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_finish(root, b->a, &plan, &e), &e);
    return plan_text(plan);
}

static char *sql_text(builder *b, const char *sql)
{
    sm_plan *plan = NULL;
    sm_error e = {0};
    assert_ok(kit_plan(sql, b->a, &plan, &e), &e);
    return plan_text(plan);
}

static const sm_plan_node *all_of_log(builder *b)
{
    return b->log;
}

static const sm_plan_node *constants(builder *b)
{
    static const sm_field fields[] = {{.name = {"col0", 4}, .type = &sm_type_string},
                                      {.name = {"col1", 4}, .type = &sm_type_i32}};
    static const sm_type schema = {.id = SM_TYPE_STRUCT, .fields = fields, .n_fields = 2};
    const sm_value values[] = {sm_value_str(SM_STR("x")),
                               {.type = &sm_type_i32, .as.i = 1},
                               sm_value_str(SM_STR("y")),
                               {.type = &sm_type_i32, .as.i = 2}};
    const sm_plan_node *rows = sm_plan_values(&schema, values, 2, b->a);
    return filter(b, rows, call(b, ">", col(b, rows, "col1"), number(b, 1)));
}

static const sm_plan_node *filter_project(builder *b)
{
    const sm_plan_node *const some =
        filter(b, b->log, call(b, ">", col(b, b->log, "Secs"), number(b, 5)));
    const sm_expr *const exprs[] = {col(b, some, "Key"),
                                    call(b, "+", col(b, some, "Secs"), number(b, 1))};
    const sm_str names[] = {SM_STR("Key"), SM_STR("more")};
    return sm_plan_project(some, exprs, names, 2, b->a);
}

static const sm_plan_node *field_filter(builder *b)
{
    const sm_value half = {.type = &sm_type_f64, .as.f = 0.5};
    return filter(
        b, b->t,
        call(b, ">", sm_expr_field(col(b, b->t, "p"), 1, b->a), sm_expr_constant(half, b->a)));
}

static const sm_plan_node *true_filter(builder *b)
{
    return filter(b, b->log, call(b, "<", number(b, 1), number(b, 2)));
}

static const sm_plan_node *bounds(builder *b)
{
    const sm_value day = {.type = &sm_type_date, .as.i = 19083};
    const sm_expr *const in[] = {col(b, b->log, "Key"), text(b, "x"), text(b, "y")};
    const sm_expr *both[2] = {call(b, "=", col(b, b->log, "Day"), sm_expr_constant(day, b->a))};
    const sm_expr *where = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_in(in, 3, b->a, &both[1], &e), &e);
    assert_ok(sm_expr_and(both, 2, b->a, &where, &e), &e);
    return filter(b, b->log, where);
}

static const sm_plan_node *grouped_condition(builder *b)
{
    const sm_expr *const keys[] = {col(b, b->log, "Key")};
    const sm_sql sql = {SM_STR("r"), SM_STR("sum(Secs) > 5 AND min(App) <> Key")};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_query_grouped(&sql, &(sm_grouping){b->log, keys, 1}, NULL, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *group(builder *b)
{
    const sm_expr *const keys[] = {col(b, b->log, "Key")};
    const sm_expr *distinct = NULL;
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_distinct(call(b, "count", col(b, b->log, "App"), NULL), b->a, &distinct, &e),
              &e);
    const sm_agg_item items[] = {
        {.call = call(b, "sum", col(b, b->log, "Secs"), NULL),
         .filter = call(b, "=", col(b, b->log, "App"), text(b, "a"))},
        {.call = distinct},
        {.call = call(b, "count", NULL, NULL)},
    };
    assert_ok(sm_plan_aggregate(b->log, keys, 1, items, 3, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *distinct(builder *b)
{
    const sm_expr *const keys[] = {col(b, b->log, "Key"), col(b, b->log, "Day")};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_aggregate(b->log, keys, 2, NULL, 0, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *join(builder *b, sm_join_kind kind)
{
    const sm_type *const columns = sm_plan_join_schema(b->log, b->t, kind, b->a);
    const sm_expr *const key = sm_expr_column(columns, sm_type_find(columns, SM_STR("Key")), b->a);
    const sm_expr *const s = sm_expr_column(columns, sm_type_find(columns, SM_STR("s")), b->a);
    const sm_expr *const secs =
        sm_expr_column(columns, sm_type_find(columns, SM_STR("Secs")), b->a);
    const sm_expr *const parts[] = {call(b, "=", key, s), call(b, ">", secs, number(b, 5))};
    const sm_expr *on = NULL;
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_and(parts, 2, b->a, &on, &e), &e);
    assert_ok(sm_plan_join(b->log, b->t, kind, on, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *inner_join(builder *b)
{
    return join(b, SM_JOIN_INNER);
}

static const sm_plan_node *left_join(builder *b)
{
    return join(b, SM_JOIN_LEFT);
}

static const sm_plan_node *cross_join(builder *b)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_join(b->log, b->t, SM_JOIN_CROSS, NULL, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *windows(builder *b)
{
    const sm_expr *partition[] = {col(b, b->log, "Key")};
    const sm_sort_key order[] = {{.expr = col(b, b->log, "Secs"), .is_desc = true}};
    const sm_window_item items[] = {
        {.call = call(b, "row_number", NULL, NULL),
         .partition = partition,
         .n_partition = 1,
         .order = order,
         .n_order = 1},
        {.call = call(b, "sum", col(b, b->log, "Secs"), NULL),
         .partition = partition,
         .n_partition = 1},
    };
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_window(b->log, items, 2, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *sort_limit(builder *b)
{
    const sm_sort_key keys[] = {
        {.expr = col(b, b->log, "Secs"), .is_desc = true, .nulls_first = true},
        {.expr = col(b, b->log, "Key")},
    };
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_sort(b->log, keys, 2, b->a, &out, &e), &e);
    return sm_plan_limit(out, 3, 2, b->a);
}

static const sm_plan_node *both(builder *b)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(
        sm_plan_union(pick(b, b->t, "i", "s"), pick(b, b->log, "Secs", "Key"), b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *cases(builder *b)
{
    const sm_expr *const i = col(b, b->t, "i"), *const s = col(b, b->t, "s");
    const sm_expr *const parts[] = {call(b, "is_null", i, NULL), number(b, 0), i};
    const sm_expr *const either[] = {call(b, "=", s, text(b, "x")), call(b, "=", s, text(b, "y"))};
    const sm_expr *exprs[4] = {call(b, "coalesce", i, number(b, 7)),
                               call(b, "not", call(b, "like", s, text(b, "a%")), NULL)};
    const sm_str names[] = {SM_STR("w"), SM_STR("x"), SM_STR("y"), SM_STR("z")};
    const sm_expr *where = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_case(parts, 3, b->a, &exprs[2], &e), &e);
    assert_ok(sm_expr_cast(s, &sm_type_i64, true, b->a, &exprs[3], &e), &e);
    assert_ok(sm_expr_or(either, 2, b->a, &where, &e), &e);
    return sm_plan_project(filter(b, b->t, where), exprs, names, 4, b->a);
}

static const struct {
    const sm_plan_node *(*build)(builder *b);
    const char *sql;
} same[] = {
    {all_of_log, "SELECT * FROM log"},
    {constants, "SELECT * FROM (VALUES ('x', 1), ('y', 2)) AS v WHERE col1 > 1"},
    {filter_project, "SELECT Key, Secs + 1 AS more FROM log WHERE Secs > 5"},
    {true_filter, "SELECT * FROM log WHERE 1 < 2"},
    {field_filter, "SELECT * FROM t WHERE p.y > 0.5::DOUBLE"},
    {bounds, "SELECT * FROM log WHERE Day = DATE '2022-04-01' AND Key IN ('x', 'y')"},
    {group, "SELECT Key, sum(Secs) FILTER (WHERE App = 'a'), count(DISTINCT App), count(*)\n"
            "FROM log GROUP BY Key"},
    {grouped_condition, "SELECT Key, sum(Secs) > 5 AND min(App) <> Key AS holds\n"
                        "FROM log GROUP BY Key"},
    {distinct, "SELECT DISTINCT Key, Day FROM log"},
    {inner_join, "SELECT * FROM log JOIN t ON Key = s AND Secs > 5"},
    {left_join, "SELECT * FROM log LEFT JOIN t ON Key = s AND Secs > 5"},
    {cross_join, "SELECT * FROM log CROSS JOIN t"},
    {windows, "SELECT *, row_number() OVER (PARTITION BY Key ORDER BY Secs DESC),\n"
              "  sum(Secs) OVER (PARTITION BY Key) FROM log"},
    {sort_limit, "SELECT * FROM log ORDER BY Secs DESC NULLS FIRST, Key LIMIT 3 OFFSET 2"},
    {both, "SELECT i, s FROM t UNION ALL SELECT Secs, Key FROM log"},
    {cases, "SELECT coalesce(i, 7) AS w, NOT (s LIKE 'a%') AS x,\n"
            "  CASE WHEN i IS NULL THEN 0 ELSE i END AS y, TRY_CAST(s AS BIGINT) AS z\n"
            "FROM t WHERE s = 'x' OR s = 'y'"},
};

/* Names are SQL's affair (an aggregate's column is named by a projection above it): where only they
 * differ, that projection is all that the SQL has more. */
static const char *without_names(const char *plan)
{
    const char *const end = strchr(plan, '\n');
    return end && strncmp(plan, "PROJECT", 7) == 0 && end[1] == ' ' ? end + 1 : plan;
}

static bool is_same_plan(const char *built, const char *sql)
{
    if (strcmp(built, sql) == 0) {
        return true;
    }
    char line[512];
    const char *rest = without_names(sql);
    for (; *built; built = strchr(built, '\n') + 1, rest = strchr(rest, '\n') + 1) {
        snprintf(line, sizeof(line), "  %.*s", (int)strcspn(built, "\n") + 1, built);
        if (strncmp(line, rest, strlen(line)) != 0) {
            return false;
        }
    }
    return *rest == '\0';
}

static void test_same_as_sql(void **unused)
{
    for (int i = 0; i < SM_COUNT(same); i++) {
        builder b = builder_new();
        char *const built = finished_text(&b, same[i].build(&b));
        char *const sql = sql_text(&b, same[i].sql);
        if (!is_same_plan(built, sql)) {
            fail_msg("%s\nis\n%s\nbut built\n%s", same[i].sql, sql, built);
        }
        free(built);
        free(sql);
        sm_arena_free(b.a);
    }
}

/* ---- shared nodes ---------------------------------------------------------------------------- */

/* Finishing any plan leaves the nodes of all as they were, and a second time gives the same. */
static void test_nodes_stay(void **unused)
{
    builder b = builder_new();
    const sm_plan_node *roots[SM_COUNT(same)];
    char *nodes[SM_COUNT(same)], *plans[SM_COUNT(same)];
    for (int i = 0; i < SM_COUNT(same); i++) {
        roots[i] = same[i].build(&b); /* all of them over the same two scans */
        nodes[i] = node_text(roots[i]);
    }
    for (int i = 0; i < SM_COUNT(same); i++) {
        plans[i] = finished_text(&b, roots[i]);
    }
    for (int i = 0; i < SM_COUNT(same); i++) {
        char *const node = node_text(roots[i]), *const plan = finished_text(&b, roots[i]);
        assert_string_equal(node, nodes[i]);
        assert_string_equal(plan, plans[i]);
        free(node);
        free(plan);
        free(nodes[i]);
        free(plans[i]);
    }
    sm_arena_free(b.a);
}

/* One node twice in a plan: each place is pruned and filtered by itself. */
static void test_node_twice(void **unused)
{
    builder b = builder_new();
    const sm_plan_node *const some =
        filter(&b, b.log, call(&b, ">", col(&b, b.log, "Secs"), number(&b, 5)));
    const sm_plan_node *const one = pick(&b, some, "Key", "App"), *out = NULL;
    const sm_plan_node *const other =
        filter(&b, pick(&b, some, "App", "Key"), call(&b, "=", col(&b, one, "Key"), text(&b, "k")));
    sm_error e = {0};
    assert_ok(sm_plan_union(one, other, b.a, &out, &e), &e);
    char *const built = finished_text(&b, out);
    char *const sql =
        sql_text(&b, "SELECT Key, App FROM log WHERE Secs > 5 UNION ALL\n"
                     "SELECT * FROM (SELECT App, Key FROM log WHERE Secs > 5) WHERE App = 'k'");
    assert_string_equal(built, sql);
    free(built);
    free(sql);
    sm_arena_free(b.a);
}

/* A relation that is a node, named twice by one query. */
static const sm_plan_node *relation_node;

static sm_status node_table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a,
                            sm_relation *out, sm_error *e)
{
    *out = (sm_relation){.node = relation_node, .label = parts[n - 1]};
    return SM_OK;
}

static void test_relation(void **unused)
{
    builder b = builder_new();
    const sm_resolver resolver = {.table = node_table};
    const sm_sql sql = {.name = SM_STR("q.sql"),
                        .text =
                            SM_STR("SELECT x.more, y.Key FROM named x JOIN named y USING (Key)\n"
                                   "WHERE y.more < 9")};
    sm_plan *plan = NULL;
    sm_error e = {0};
    relation_node = filter_project(&b);
    char *const before = node_text(relation_node);
    assert_ok(sm_query_plan(&sql, &resolver, b.a, &plan, &e), &e);
    char *const built = plan_text(plan);
    char *const want =
        sql_text(&b, "WITH named AS (SELECT Key, Secs + 1 AS more FROM log WHERE Secs > 5)\n"
                     "SELECT x.more, y.Key FROM named x JOIN named y USING (Key) WHERE y.more < 9");
    assert_string_equal(built, want);
    char *const after = node_text(relation_node);
    assert_string_equal(after, before);
    free(before);
    free(after);
    free(built);
    free(want);
    sm_arena_free(b.a);
}

static sm_status counted_table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a,
                               sm_relation *out, sm_error *e)
{
    static const int64_t n_rows = 42;

    if (sm_str_is(parts[n - 1], "log")) {
        *out = (sm_relation){.dataset = &kit_log_data};
    } else if (sm_str_is(parts[n - 1], "v")) {
        *out = (sm_relation){.view = {SM_STR("v"), SM_STR("SELECT Key, Secs FROM log")},
                             .n_rows = &n_rows};
    } else if (sm_str_is(parts[n - 1], "named")) {
        *out = (sm_relation){.node = relation_node, .n_rows = &n_rows};
    } else {
        *out = (sm_relation){.node = sm_plan_counted(relation_node, &n_rows, a)};
    }
    return SM_OK;
}

/* Rows whose number is known are not read to be counted, and only then. */
static void test_counted(void **unused)
{
    static const struct {
        const char *query;
        int n_scans;
    } rows[] = {
        {"SELECT count(*) FROM named", 0},
        {"SELECT count(*), count(1) FROM v", 0},
        {"SELECT count(*) FROM counted", 0},
        {"SELECT count(*) - (SELECT count(*) FROM v) FROM named", 0},
        {"SELECT count(*) FROM (SELECT more, row_number() OVER (ORDER BY Key) AS n FROM named)", 0},
        {"WITH w AS (FROM v) SELECT count(*) FROM w", 0},
        {"SELECT count(*) FROM log", 1},
        {"SELECT count(Key) FROM named", 1},
        {"SELECT count(DISTINCT Key), count(*) FROM named", 1},
        {"SELECT count(*), sum(more) FROM named", 1},
        {"SELECT count(*) FILTER (WHERE more > 7) FROM named", 1},
        {"SELECT count(*) FROM named WHERE more > 7", 1},
        {"SELECT count(*) FROM (FROM v LIMIT 3)", 1},
        {"SELECT count(*) FROM v GROUP BY Key", 1},
        {"SELECT Key FROM v", 1},
        {"SELECT count(*) FROM v JOIN named USING (Key)", 2},
        {"SELECT count(*) FROM (FROM v UNION ALL FROM v)", 2},
    };
    const sm_resolver resolver = {.table = counted_table};
    for (int i = 0; i < SM_COUNT(rows); i++) {
        builder b = builder_new();
        const sm_sql sql = {.name = SM_STR("q.sql"), .text = sm_str_of(rows[i].query)};
        sm_plan *plan = NULL;
        sm_error e = {0};
        relation_node = filter_project(&b);
        assert_ok(sm_query_plan(&sql, &resolver, b.a, &plan, &e), &e);
        char *const text = plan_text(plan);
        int n_scans = 0;
        for (const char *at = text; (at = strstr(at, "SCAN ")); at++) {
            n_scans++;
        }
        if (n_scans != rows[i].n_scans) {
            fail_msg("%s:\n%s", rows[i].query, text);
        }
        const sm_plan_node *leaf = plan->root;
        while (leaf->n_inputs > 0) {
            leaf = leaf->inputs[0];
        }
        if (n_scans == 0) {
            assert_int_equal(leaf->as.values.rows[0]->value.as.i, 42);
        }
        free(text);
        sm_arena_free(b.a);
    }
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* Secs > 5 else QUARANTINE, and Key = 'k' else NULL in App. */
static const sm_plan_node *checked(builder *b, const sm_plan_node *in)
{
    const int32_t app = sm_type_find(in->schema, SM_STR("App"));
    const sm_check checks[] = {
        {.name = SM_STR("long"),
         .holds = call(b, ">", col(b, in, "Secs"), number(b, 5)),
         .action = SM_POLICY_QUARANTINE},
        {.name = SM_STR("k"),
         .holds = call(b, "=", col(b, in, "Key"), text(b, "k")),
         .action = SM_POLICY_NULL,
         .column = app},
    };
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_check(in, checks, 2, 0, b->a, &out, &e), &e);
    return out;
}

/* The log with Key and App exchanged, which scans give by themselves but for the names. */
static const sm_plan_node *renamed(builder *b)
{
    const sm_expr *exprs[4];
    const sm_str names[] = {SM_STR("App"), SM_STR("Key"), SM_STR("Secs"), SM_STR("Day")};
    for (int32_t i = 0; i < 4; i++) {
        exprs[i] = sm_expr_column(b->log->schema, i, b->a);
    }
    return sm_plan_project(b->log, exprs, names, 4, b->a);
}

static const sm_plan_node *check_filtered(builder *b)
{
    const sm_plan_node *const in = checked(b, b->log);
    return filter(b, in, call(b, "=", col(b, in, "Key"), text(b, "x")));
}

static const sm_plan_node *check_never(builder *b)
{
    return filter(b, checked(b, b->log), call(b, "<", number(b, 2), number(b, 1)));
}

static const sm_plan_node *check_picked(builder *b)
{
    return pick(b, checked(b, b->log), "Day", "Day");
}

static const sm_plan_node *check_limited(builder *b)
{
    const sm_sort_key key = {.expr = col(b, b->log, "Secs")};
    const sm_plan_node *sorted = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_sort(b->log, &key, 1, b->a, &sorted, &e), &e);
    return sm_plan_limit(checked(b, sorted), 3, 0, b->a);
}

static const sm_plan_node *check_renamed(builder *b)
{
    return checked(b, renamed(b));
}

/* Joins of aggregates over equal inputs become one where the inputs are no CHECK. */
static const sm_plan_node *check_joined(builder *b)
{
    const sm_plan_node *sides[2], *out = NULL;
    sm_error e = {0};
    for (int i = 0; i < 2; i++) {
        const sm_plan_node *const in = checked(b, b->log);
        const sm_expr *const keys[] = {call(b, "coalesce", col(b, in, "Key"), text(b, ""))};
        const sm_agg_item item = {.call = call(b, "count", NULL, NULL)};
        assert_ok(sm_plan_aggregate(in, keys, 1, &item, 1, b->a, &sides[i], &e), &e);
    }
    const sm_type *const columns = sm_plan_join_schema(sides[0], sides[1], SM_JOIN_INNER, b->a);
    const sm_expr *const on =
        call(b, "=", sm_expr_column(columns, 0, b->a), sm_expr_column(columns, 2, b->a));
    assert_ok(sm_plan_join(sides[0], sides[1], SM_JOIN_INNER, on, b->a, &out, &e), &e);
    return out;
}

#define CHECK_TEXT "CHECK long: (Secs > 5) else quarantine, k: (Key = 'k') else null App"
static const struct {
    const sm_plan_node *(*build)(builder *b);
    const char *plan; /* its lines' beginnings, apart */
} check_plans[] = {
    {check_filtered, "FILTER (Key = 'x')|  " CHECK_TEXT "|    SCAN log"},
    {check_never, "FILTER false|  " CHECK_TEXT "|    SCAN log"},
    {check_picked, "PROJECT Day, Day|  " CHECK_TEXT "|    SCAN log [Key, App, Secs, Day]"},
    {check_limited, "LIMIT 3|  " CHECK_TEXT "|    SORT Secs|      SCAN log"},
    {check_renamed, CHECK_TEXT "|  PROJECT Key AS App, App AS Key, Secs, Day|    SCAN log"},
    {check_joined, "JOIN|  AGGREGATE|    " CHECK_TEXT "|      SCAN log|  AGGREGATE|    " CHECK_TEXT
                   "|      SCAN log"},
};

/* Every row comes to a CHECK, with all of its columns, whatever stands above. */
static void test_checks(void **unused)
{
    for (int i = 0; i < SM_COUNT(check_plans); i++) {
        builder b = builder_new();
        const sm_plan_node *const root = check_plans[i].build(&b);
        char *const before = node_text(root);
        char *const built = finished_text(&b, root);
        char *const after = node_text(root);
        const char *line = built;
        for (const char *want = check_plans[i].plan; *want; want += *want == '|') {
            const size_t n = strcspn(want, "|");
            if (strncmp(line, want, n) != 0) {
                fail_msg("%s\nbut built\n%s", check_plans[i].plan, built);
            }
            line = strchr(line, '\n') + 1;
            want += n;
        }
        assert_string_equal(line, ""); /* no further nodes */
        assert_string_equal(after, before);
        free(before);
        free(built);
        free(after);
        sm_arena_free(b.a);
    }
}

static void test_check_columns(void **unused)
{
    builder b = builder_new();
    const sm_plan_node *const in = renamed(&b), *const node = checked(&b, in);
    const sm_type *const leaves = sm_plan_check_leaves(in, b.a);
    assert_true(sm_plan_has_check(sm_plan_limit(node, 1, 0, b.a)));
    assert_false(sm_plan_has_check(in));
    for (int32_t i = 0; i < 4; i++) {
        assert_true(sm_type_eq(node->schema->fields[i].type, in->schema->fields[i].type));
        assert_true(sm_str_eq(leaves->fields[i].name, in->schema->fields[i].name));
    }
    assert_true(node->schema->fields[0].is_nullable); /* App, by the check with NULL */
    assert_int_equal(node->schema->fields[2].is_nullable, in->schema->fields[2].is_nullable);
    assert_int_equal(leaves->n_fields, 5);
    assert_int_equal(leaves->fields[4].type->id, SM_TYPE_I32);

    const sm_check no_boolean = {.name = SM_STR("day"), .holds = col(&b, in, "Day")};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_status(sm_plan_check(in, &no_boolean, 1, 0, b.a, &out, &e), SM_TYPE, &e);
    assert_non_null(strstr(e.what, "a check needs a BOOLEAN"));
    sm_arena_free(b.a);
}

/* ---- expressions as SQL ---------------------------------------------------------------------- */

static void test_sql_again(void **unused)
{
    static const struct {
        const char *sql, *want;
    } rows[] = {
        {"Day = DATE '2022-04-01'", "\"Day\" = DATE '2022-04-01'"},
        {"Day IN (DATE '2022-04-01', DATE '2022-04-02')",
         "\"Day\" IN (DATE '2022-04-01', DATE '2022-04-02')"},
        {"key = 'it''s'", "\"Key\" = 'it''s'"},
        {"Key = 'a' AND (Secs > 5 OR App IS NULL)",
         "(\"Key\" = 'a') AND ((\"Secs\" > 5) OR \"App\" IS NULL)"},
        {"NOT (Key LIKE 'a%')", "not((\"Key\" like 'a%'))"},
        {"CASE WHEN Secs = 1 THEN Key ELSE 'x' END = App",
         "CASE WHEN (\"Secs\" = 1) THEN \"Key\" ELSE 'x' END = \"App\""},
        {"TRY_CAST(App AS BIGINT) % 2 = -1", "(TRY_CAST(\"App\" AS BIGINT) % 2) = -1"},
        {"coalesce(App, 'none') = 'none'",
         "CASE WHEN \"App\" IS NOT NULL THEN \"App\" ELSE 'none' END = 'none'"},
        {"Day > TIMESTAMP '2022-04-01 10:00:00'",
         "CAST(\"Day\" AS TIMESTAMP) > TIMESTAMP '2022-04-01 10:00:00'"},
        {"MAP {'it''s': DATE '2022-04-01'}[App] = Day",
         "map_extract_value(MAP {'it''s': DATE '2022-04-01'}, \"App\") = \"Day\""},
        {"MAP {Key: 2, 'x': NULL}['x'] = Secs",
         "CAST(map_extract_value(MAP {\"Key\": 2, 'x': NULL}, 'x') AS BIGINT) = \"Secs\""},
        {"MAP {'x': 2::BIGINT, 'y': NULL}[App] = Secs",
         "map_extract_value(MAP {'x': CAST(2 AS BIGINT), 'y': NULL}, \"App\") = \"Secs\""},
        {"CAST(Secs AS DOUBLE) < 'inf'::DOUBLE",
         "CAST(\"Secs\" AS DOUBLE) < CAST('inf' AS DOUBLE)"},
        {"CAST(Secs AS FLOAT) IN ('-inf'::FLOAT, 'nan'::FLOAT)",
         "CAST(\"Secs\" AS FLOAT) IN (CAST('-inf' AS FLOAT), CAST('nan' AS FLOAT))"},
        {"true", "true"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_arena *const a = sm_arena_new(NULL);
        sm_buf out = {0};
        const sm_expr *first = NULL, *again = NULL;
        sm_error e = {0};
        const sm_sql sql = {.text = sm_str_of(rows[i].sql)};
        assert_ok(sm_query_expr(&sql, &kit_log, NULL, a, &first, &e), &e);
        sm_expr_sql(first, &kit_log, &out);
        if (!sm_str_is(sm_buf_str(&out), rows[i].want)) {
            fail_msg("%s gave %.*s", rows[i].sql, SM_STR_ARG(sm_buf_str(&out)));
        }
        const sm_sql printed = {.text = sm_buf_str(&out)};
        assert_ok(sm_query_expr(&printed, &kit_log, NULL, a, &again, &e), &e);
        assert_true(sm_expr_eq(first, again));
        sm_buf_release(&out);
        sm_arena_free(a);
    }
}

/* ---- what does not fit ----------------------------------------------------------------------- */

static void assert_fails(sm_status st, const sm_error *e, sm_status want, const char *what)
{
    assert_status(st, want, e);
    if (!strstr(e->what, what)) {
        fail_msg("\"%s\" is not in: %s", what, e->what);
    }
    assert_int_equal(e->line, 0); /* there is no text to be at fault */
}

static void test_expressions_refused(void **unused)
{
    builder b = builder_new();
    const sm_expr *const i = col(&b, b.t, "i"), *const s = col(&b, b.t, "s");
    const sm_expr *const p = col(&b, b.t, "p"), *const d = col(&b, b.t, "d");
    const sm_expr *const pairs[][3] = {{i, s}, {s, i}, {p, s}, {i, p, s}};
    const sm_expr *out = NULL;
    sm_error e = {0};
    assert_fails(sm_expr_call("lenght", &s, 1, b.a, &out, &e), &e, SM_NAME, "no function");
    assert_non_null(strstr(e.todo, "\"length\""));
    assert_fails(sm_expr_call("length", &d, 1, b.a, &out, &e), &e, SM_TYPE, "does not take");
    assert_fails(sm_expr_call("sum", &p, 1, b.a, &out, &e), &e, SM_TYPE, "does not take lists");
    assert_fails(sm_expr_call("nullif", &i, 1, b.a, &out, &e), &e, SM_TYPE, "2 arguments, not 1");
    assert_fails(sm_expr_cast(p, &sm_type_i64, false, b.a, &out, &e), &e, SM_TYPE,
                 "cannot be cast");
    assert_fails(sm_expr_and(pairs[1], 2, b.a, &out, &e), &e, SM_TYPE, "AND needs a BOOLEAN");
    assert_fails(sm_expr_or(pairs[2], 2, b.a, &out, &e), &e, SM_TYPE, "OR needs a BOOLEAN");
    assert_fails(sm_expr_case(pairs[3], 3, b.a, &out, &e), &e, SM_TYPE, "does not go with");
    assert_fails(sm_expr_in(pairs[2], 2, b.a, &out, &e), &e, SM_TYPE, "does not go with");
    assert_fails(sm_expr_distinct(call(&b, "count", p, NULL), b.a, &out, &e), &e, SM_TYPE,
                 "DISTINCT");
    assert_null(out);
    sm_arena_free(b.a);
}

static void test_nodes_refused(void **unused)
{
    builder b = builder_new();
    const sm_expr *const s = col(&b, b.t, "s"), *p = col(&b, b.t, "p");
    const sm_agg_item bad_filter = {.call = call(&b, "count", NULL, NULL), .filter = s};
    const sm_sort_key by_struct = {.expr = p};
    const sm_window_item bad_order = {
        .call = call(&b, "row_number", NULL, NULL), .order = &by_struct, .n_order = 1};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_fails(sm_plan_filter(b.t, s, b.a, &out, &e), &e, SM_TYPE, "needs a BOOLEAN");
    assert_fails(sm_plan_join(b.t, b.log, SM_JOIN_LEFT, s, b.a, &out, &e), &e, SM_TYPE, "BOOLEAN");
    assert_fails(sm_plan_aggregate(b.t, &p, 1, NULL, 0, b.a, &out, &e), &e, SM_TYPE, "grouped");
    assert_fails(sm_plan_aggregate(b.t, NULL, 0, &bad_filter, 1, b.a, &out, &e), &e, SM_TYPE,
                 "FILTER needs");
    assert_fails(sm_plan_sort(b.t, &by_struct, 1, b.a, &out, &e), &e, SM_TYPE, "no order");
    assert_fails(sm_plan_window(b.t, &bad_order, 1, b.a, &out, &e), &e, SM_TYPE, "no order");
    assert_fails(sm_plan_union(b.t, b.log, b.a, &out, &e), &e, SM_SYNTAX, "5 columns with 4");
    assert_fails(
        sm_plan_union(pick(&b, b.t, "p", "i"), pick(&b, b.log, "Key", "Secs"), b.a, &out, &e), &e,
        SM_TYPE, "column 1");
    assert_null(out);
    sm_arena_free(b.a);
}

/* What is shared is small in memory and may be endless once it is written out. */
static void test_limits(void **unused)
{
    builder b = builder_new();
    const sm_expr *x = col(&b, b.t, "b");
    const sm_plan_node *wide = b.t, *deep = b.t;
    sm_plan *plan = NULL;
    sm_error e = {0};
    sm_status st = SM_OK;
    int n = 0;
    for (; st == SM_OK && n < 60; n++) { /* each doubles */
        const sm_expr *const twice[] = {x, x};
        st = sm_expr_call("+", twice, 2, b.a, &x, &e);
    }
    assert_fails(st, &e, SM_LIMIT, "expression is over the limit");
    assert_int_equal(n, 20);
    for (n = 0; n < 20; n++) {
        assert_ok(sm_plan_union(wide, wide, b.a, &wide, &e), &e);
    }
    assert_fails(sm_plan_finish(wide, b.a, &plan, &e), &e, SM_LIMIT, "plan is over the limit");
    for (n = 0; n < 1999; n++) { /* long is not wide */
        deep = sm_plan_limit(deep, -1, 1, b.a);
    }
    assert_ok(sm_plan_finish(deep, b.a, &plan, &e), &e);
    assert_int_equal(plan->n_nodes, 2000);
    deep = sm_plan_limit(deep, -1, 1, b.a);
    assert_fails(sm_plan_finish(deep, b.a, &plan, &e), &e, SM_LIMIT, "2000 levels");
    sm_arena_free(b.a);
}

/* An expression over columns and a struct, as it is where the fields of that are columns too. */
static void test_spread(void **state)
{
    static const struct {
        const char *sql, *want; /* NULL: it takes the struct as a whole */
    } rows[] = {
        {"i > old.i", "(#10 > #21)"},
        {"old.d IS NULL OR i = 3", "(#22 IS NULL OR (#10 = 3))"},
        {"i + i", "(#10 + #10)"},
        {"old IS NULL", NULL},
        {"old.i = i AND old IS NOT NULL", NULL},
    };
    builder b = builder_new();
    const sm_field inner[] = {{.name = SM_STR("x"), .type = &sm_type_bool},
                              {.name = SM_STR("i"), .type = &sm_type_i64},
                              {.name = SM_STR("d"), .type = &sm_type_date}};
    const sm_field outer[] = {{.name = SM_STR("i"), .type = &sm_type_i64},
                              {.name = SM_STR("old"), .type = sm_type_struct(b.a, inner, 3)}};
    const sm_type *schema = sm_type_struct(b.a, outer, 2);
    sm_field *wide = SM_NEW_ARRAY(b.a, sm_field, 23);

    for (int i = 0; i < 23; i++) {
        wide[i] = i < 20 ? outer[0] : inner[i - 20];
    }
    const sm_type *to = sm_type_struct(b.a, wide, 23);
    const sm_expr *const columns[] = {sm_expr_column(to, 10, b.a)};
    const sm_expr *const fields[] = {sm_expr_column(to, 20, b.a), sm_expr_column(to, 21, b.a),
                                     sm_expr_column(to, 22, b.a)};
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_sql sql = {.name = SM_STR("SQL"), .text = sm_str_of(rows[i].sql)};
        const sm_expr *x = NULL;
        sm_error e = {0};
        sm_buf text = {0};
        assert_ok(sm_query_expr(&sql, schema, NULL, b.a, &x, &e), &e);
        const sm_expr *out = sm_expr_spread(x, columns, 1, fields, b.a);
        assert_int_equal(out != NULL, rows[i].want != NULL);
        if (out) {
            sm_expr_print(out, NULL, &text);
            sm_buf_text(&text, (sm_str){"", 1});
            assert_string_equal((const char *)text.data, rows[i].want);
        }
        sm_buf_release(&text);
    }
    sm_arena_free(b.a);
}

/* A plan on the rows of a query is that of the query around it, with its subqueries and its bounds
 * on fields; and the query's own plan is what it would be. */
static void test_on_a_query(void **state)
{
    static const char *const rows[][2] = {
        {"SELECT Key, Secs FROM log WHERE Day = DATE '2022-04-01'",
         "SELECT * FROM (SELECT Key, Secs FROM log WHERE Day = DATE '2022-04-01') WHERE Secs > 5"},
        {"SELECT Key, Secs FROM log WHERE Secs < (SELECT max(i) FROM t)",
         "SELECT * FROM (SELECT Key, Secs FROM log WHERE Secs < (SELECT max(i) FROM t)) "
         "WHERE Secs > 5"},
        {"SELECT i AS Secs FROM t WHERE p.y > 0.5",
         "SELECT * FROM (SELECT i AS Secs FROM t WHERE p.y > 0.5) WHERE Secs > 5"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        builder b = builder_new();
        sm_statement *s = NULL;
        sm_plan *plan = NULL;
        sm_error e = {0};
        const sm_sql sql = {SM_STR("q"), sm_str_of(rows[i][0])};
        assert_ok(sm_query_select(&sql, &kit_resolver, false, b.a, &s, &e), &e);
        const sm_plan_node *root =
            filter(&b, s->target, call(&b, ">", col(&b, s->target, "Secs"), number(&b, 5)));
        assert_ok(sm_statement_finish(s, root, b.a, &plan, &e), &e);
        char *is = plan_text(plan), *want = sql_text(&b, rows[i][1]);
        assert_string_equal(is, want);
        free(is);
        free(want);
        is = plan_text(s->plan);
        want = sql_text(&b, rows[i][0]);
        assert_string_equal(is, want);
        free(is);
        free(want);
        sm_arena_free(b.a);
    }
}

/* ---- watches --------------------------------------------------------------------------------- */

/* The columns of log as a view has them, and a check over them: More < 9. */
static sm_plan_watch watch_log(builder *b)
{
    const sm_expr *const exprs[] = {col(b, b->log, "App"),
                                    call(b, "+", col(b, b->log, "Secs"), number(b, 1))};
    const sm_str names[] = {SM_STR("App"), SM_STR("More")};
    const sm_plan_node *rows = sm_plan_project(b->log, exprs, names, 2, b->a);
    sm_check *check = SM_NEW(b->a, sm_check);
    *check = (sm_check){.name = SM_STR("few"),
                        .holds = call(b, "<", col(b, rows, "More"), number(b, 9)),
                        .action = SM_POLICY_WARN};
    return (sm_plan_watch){.rows = rows, .checks = check, .n_checks = 1, .side = 3};
}

static char *watched_text(builder *b, const char *query, sm_plan_watch *w)
{
    sm_statement *s = NULL;
    sm_plan *plan = NULL;
    sm_error e = {0};
    const sm_sql sql = {SM_STR("q"), sm_str_of(query)};
    assert_ok(sm_query_select(&sql, &kit_resolver, false, b->a, &s, &e), &e);
    assert_ok(sm_statement_watched(s, s->target, w, 1, b->a, &plan, &e), &e);
    assert_true(sm_type_eq(plan->root->schema, s->plan->root->schema));
    return plan_text(plan);
}

/* The CHECK stands on the scan, which has its columns too and no bounds; a plan without such a scan
 * stays as it is. */
static void test_watched(void **state)
{
    static const struct {
        const char *query, *plan; /* NULL: that of the query */
    } rows[] = {
        {"SELECT Key FROM log", "CHECK few: (More < 9) else warn\n"
                                "  PROJECT Key, App, (Secs + 1) AS More\n"
                                "    SCAN log [Key, App, Secs]\n"},
        {"SELECT Secs FROM log WHERE length(App) > 5 LIMIT 2",
         "LIMIT 2\n"
         "  PROJECT Secs\n"
         "    FILTER (length(App) > 5)\n"
         "      CHECK few: (More < 9) else warn\n"
         "        PROJECT App, Secs, App, (Secs + 1) AS More\n"
         "          SCAN log [App, Secs]\n"},
        {"SELECT Day FROM log WHERE Secs > 5", NULL}, /* a table may have it in few of its files */
        {"SELECT count(*) FROM log", NULL},
        {"SELECT Key FROM log WHERE 1 = 2", NULL},
        {"SELECT i FROM t", NULL},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        builder b = builder_new();
        sm_plan_watch w = watch_log(&b);
        char *is = watched_text(&b, rows[i].query, &w);
        char *own = sql_text(&b, rows[i].query);
        assert_string_equal(is, rows[i].plan ? rows[i].plan : own);
        assert_true((w.check != NULL) == (rows[i].plan != NULL));
        free(is);
        free(own);
        sm_arena_free(b.a);
    }
}

/* The rows of a query as a relation, and a check over a column of it; NULL: they are counted. */
static sm_plan_watch watch_query(builder *b, const char *query, const char *column)
{
    sm_statement *s = NULL;
    sm_plan_watch w = {0};
    sm_error e = {0};
    const sm_sql sql = {SM_STR("relation"), sm_str_of(query)};
    assert_ok(sm_query_select(&sql, &kit_resolver, false, b->a, &s, &e), &e);
    sm_plan_watch_rows(s->target, 0, b->a, &w);
    if (column) {
        sm_check *check = SM_NEW(b->a, sm_check);
        *check = (sm_check){.name = SM_STR("few"),
                            .holds = call(b, "<", col(b, s->target, column), number(b, 9)),
                            .action = SM_POLICY_WARN};
        w.rows = s->target;
        w.checks = check;
    }
    return w;
}

/* The node whose rows the plan's first CHECK looks at, without its inputs. */
static char *checked_line(const char *plan)
{
    const char *at = strstr(plan, "CHECK ");
    for (int i = 0; i < 2; i++) { /* what follows is the projection of both columns */
        at = strchr(at, '\n') + 1;
    }
    at += strspn(at, " ");
    return strndup(at, strcspn(at, "\n"));
}

/* A relation that is filtered, joined or grouped is checked where the plan has its rows, and there
 * alone. */
static void test_watched_rows(void **state)
{
    static const struct {
        const char *relation, *column; /* that the check looks at; NULL: it counts rows */
        const char *query, *checked;   /* NULL: the plan stays as it is */
    } rows[] = {
        {"FROM sums", NULL,
         "SELECT s.Xs, m.n FROM sums s JOIN (SELECT Key, max(Secs) AS n FROM kinds GROUP BY Key) m "
         "ON m.Key = s.Key",
         "AGGREGATE by Key: sum(Secs) FILTER ((Kind = 'X')), max(Secs)"},
        {"SELECT Key, Xs + 1 AS More FROM sums", "More", "SELECT Xs, Key FROM sums WHERE Xs > 1",
         "AGGREGATE by Key: sum(Secs) FILTER ((Kind = 'X'))"},
        {"FROM kinds", NULL, "SELECT Key, max(Secs) AS n FROM kinds GROUP BY Key",
         "FILTER ((Key <> '0') AND (Secs > 0))"},
        {"SELECT Secs FROM kinds", "Secs", "SELECT Key, max(Secs) AS n FROM kinds GROUP BY Key",
         "FILTER ((Key <> '0') AND (Secs > 0))"},
        {"SELECT a.b FROM t a JOIN t c ON a.i = c.i", "b",
         "SELECT c.s, a.b FROM t a JOIN t c ON a.i = c.i", "JOIN INNER on i = i"},
        {"SELECT row_number() OVER (PARTITION BY s) AS n FROM t", "n",
         "SELECT row_number() OVER (PARTITION BY s) AS n, rank() OVER (ORDER BY b) AS r FROM t",
         "WINDOW row_number() OVER (PARTITION BY s), rank() OVER (ORDER BY b)"},
        {"SELECT s, b, count(*) AS n FROM t GROUP BY s, b", "n",
         "SELECT b, s, count(*) AS n, max(d) AS d FROM t GROUP BY b, s",
         "AGGREGATE by b, s: count(*), max(d)"},
        {"SELECT DISTINCT s FROM t", NULL, "SELECT s, max(b) AS b FROM t GROUP BY s",
         "AGGREGATE by s: max(b)"},
        /* other rows */
        {"FROM sums", NULL, "SELECT Key FROM sums WHERE Key > 'k'", NULL},
        {"FROM sums", NULL, "SELECT Day, sum(Secs) AS s FROM kinds GROUP BY Day", NULL},
        {"FROM sums", NULL, "SELECT Key, sum(Secs) AS s FROM log GROUP BY Key", NULL},
        {"FROM kinds", NULL, "SELECT Key FROM kinds WHERE Day > DATE '2022-04-01'", NULL},
        {"SELECT s, max(b) AS b FROM t GROUP BY s", NULL, "SELECT s, b FROM t WHERE b > 1", NULL},
        {"SELECT s, max(b) AS b FROM t GROUP BY s", NULL,
         "SELECT s, max(b) AS b FROM t WHERE b > 1 GROUP BY s", NULL},
        {"SELECT s FROM t WHERE b > 1", NULL, "SELECT s FROM t WHERE b > 2", NULL},
        {"SELECT a.b FROM t a JOIN t c ON a.i = c.i", NULL,
         "SELECT c.s, a.b FROM t a LEFT JOIN t c ON a.i = c.i", NULL},
        {"SELECT a.b FROM t a JOIN t c ON a.i = c.i", NULL,
         "SELECT c.s, a.b FROM t a JOIN t c ON a.i = c.b", NULL},
        {"SELECT a.b FROM t a LEFT JOIN t c ON a.i = c.i AND a.b > c.b", NULL,
         "SELECT c.s, a.b FROM t a LEFT JOIN t c ON a.i = c.i AND a.b < c.b", NULL},
        {"SELECT s FROM t LIMIT 2", NULL, "SELECT s FROM t LIMIT 2", NULL},
        {"SELECT s FROM t UNION ALL SELECT s FROM t", NULL,
         "SELECT s FROM t UNION ALL SELECT s FROM t", NULL},
        {"SELECT DISTINCT s FROM t", NULL, "SELECT s, b FROM t GROUP BY s, b", NULL},
        {"SELECT s, b FROM t GROUP BY s, b", NULL, "SELECT DISTINCT s FROM t", NULL},
        {"SELECT s, s AS z FROM t GROUP BY s, z", NULL, "SELECT s, b FROM t GROUP BY s, b", NULL},
        /* columns that the plan does not have */
        {"SELECT Ys FROM sums", "Ys", "SELECT Xs FROM sums", NULL},
        {"SELECT a.b, a.i FROM t a JOIN t c ON a.i = c.i", "i",
         "SELECT c.s, a.b FROM t a JOIN t c ON a.i = c.i", NULL},
        {"SELECT row_number() OVER (PARTITION BY s) AS n FROM t", "n",
         "SELECT row_number() OVER (PARTITION BY b) AS n FROM t", NULL},
        {"FROM kinds", NULL, "SELECT 1 AS one FROM log", NULL},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        builder b = builder_new();
        sm_plan_watch w = watch_query(&b, rows[i].relation, rows[i].column);
        char *is = watched_text(&b, rows[i].query, &w), *own = sql_text(&b, rows[i].query);
        char *checked = w.check ? checked_line(is) : NULL;
        assert_true((w.check != NULL) == (rows[i].checked != NULL));
        if (checked) {
            assert_string_equal(checked, rows[i].checked);
        } else {
            assert_string_equal(is, own);
        }
        free(is);
        free(own);
        free(checked);
        sm_arena_free(b.a);
    }
}

/* A relation and others that it stands on are watched in one plan, in any order. */
static void test_watched_twice(void **state)
{
    static const char query[] = "SELECT App, max(Secs) AS n FROM log WHERE length(App) > 1 "
                                "GROUP BY App";
    for (int i = 0; i < 2; i++) {
        builder b = builder_new();
        sm_statement *s = NULL;
        sm_plan *plan = NULL;
        sm_error e = {0};
        const sm_sql sql = {SM_STR("q"), sm_str_of(query)};
        const sm_plan_watch of_filter = watch_query(&b, "FROM log WHERE length(App) > 1", NULL);
        sm_plan_watch w[] = {i == 0 ? watch_log(&b) : of_filter, watch_query(&b, query, NULL),
                             i == 0 ? of_filter : watch_log(&b)};
        for (int k = 0; k < 3; k++) {
            w[k].side = k;
        }
        assert_ok(sm_query_select(&sql, &kit_resolver, false, b.a, &s, &e), &e);
        assert_ok(sm_statement_watched(s, s->target, w, 3, b.a, &plan, &e), &e);
        char *is = plan_text(plan);
        assert_string_equal(is, "PROJECT App, \"max(Secs)\" AS n\n"
                                "  CHECK rows: true else warn\n"
                                "    PROJECT App, \"max(Secs)\"\n"
                                "      AGGREGATE by App: max(Secs)\n"
                                "        CHECK rows: true else warn\n"
                                "          PROJECT App, Secs\n"
                                "            FILTER (length(App) > 1)\n"
                                "              CHECK few: (More < 9) else warn\n"
                                "                PROJECT App, Secs, App, (Secs + 1) AS More\n"
                                "                  SCAN log [App, Secs]\n");
        free(is);
        sm_arena_free(b.a);
    }
}

/* ---- unique rows ----------------------------------------------------------------------------- */

/* Which columns of a query's rows are certain to differ from row to row. */
static void test_unique(void **state)
{
    static const struct {
        const char *query;
        int32_t columns; /* the first so many */
        bool is_unique;
    } rows[] = {
        {"SELECT Key, sum(Secs) FROM log GROUP BY Key", 1, true},
        {"SELECT sum(Secs), Key FROM log GROUP BY Key", 1, false},
        {"SELECT sum(Secs), Key FROM log GROUP BY Key", 2, true},
        {"SELECT Key, App FROM log GROUP BY Key, App", 1, false},
        {"SELECT App, Key FROM log GROUP BY Key, App", 2, true},
        {"SELECT lower(Key) FROM log GROUP BY Key", 1, false},
        {"SELECT lower(Key) AS k FROM log GROUP BY k", 1, true},
        {"SELECT DISTINCT Key FROM log", 1, true},
        {"SELECT count(*) FROM log", 1, true},
        {"SELECT Key FROM log", 1, false},
        {"SELECT Key FROM (SELECT Key, max(Secs) AS n FROM log GROUP BY Key) WHERE n > 5 "
         "ORDER BY n LIMIT 3",
         1, true},
        {"SELECT Key, row_number() OVER () FROM (SELECT DISTINCT Key FROM log)", 1, true},
        {"SELECT DISTINCT Key FROM log UNION ALL SELECT 'k'", 1, false},
        {"SELECT DISTINCT Key FROM (SELECT Key FROM log UNION ALL SELECT 'k')", 1, true},
        /* joins: of one row each, of many to one, of many to many */
        {"SELECT a.Key FROM sums a JOIN sums b ON a.Key = b.Key", 1, true},
        {"SELECT b.Key FROM sums a JOIN sums b ON a.Key = b.Key", 1, true},
        {"SELECT a.Key FROM sums a LEFT JOIN sums b ON a.Key = b.Key", 1, true},
        {"SELECT b.Key FROM sums a LEFT JOIN sums b ON a.Key = b.Key", 1, false},
        {"SELECT a.Key FROM sums a JOIN log b ON a.Key = b.Key", 1, false},
        {"SELECT a.Key FROM sums a LEFT JOIN log b ON a.Key = b.Key", 1, false},
        {"SELECT b.Key FROM log a JOIN sums b ON a.Key = b.Key", 1, false},
        {"SELECT a.Key FROM sums a JOIN sums b ON a.Xs = b.Xs", 1, false},
        {"SELECT a.Key, b.Key FROM sums a JOIN sums b ON a.Xs = b.Xs", 2, true},
        {"SELECT a.Key FROM sums a, sums b", 1, false},
        {"SELECT a.Key, b.Key FROM sums a, sums b", 2, true},
        {"SELECT a.Key FROM sums a, (SELECT max(Secs) FROM log) b", 1, true},
        {"SELECT a.Key FROM sums a JOIN sums b ON lower(a.Key) = b.Key", 1, true},
        {"SELECT a.Key FROM sums a JOIN sums b ON a.Key = lower(b.Key)", 1, false},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        builder b = builder_new();
        sm_statement *s = NULL;
        sm_error e = {0};
        const sm_sql sql = {SM_STR("q"), sm_str_of(rows[i].query)};
        const sm_expr *keys[2] = {0};
        assert_ok(sm_query_select(&sql, &kit_resolver, false, b.a, &s, &e), &e);
        for (int32_t c = 0; c < rows[i].columns; c++) {
            keys[c] = sm_expr_column(s->target->schema, c, b.a);
        }
        if (sm_plan_is_unique(s->target, keys, rows[i].columns, b.a) != rows[i].is_unique) {
            fail_msg("%s", rows[i].query);
        }
        sm_arena_free(b.a);
    }
}

/* A check takes rows away, or puts NULL in the place of a value. */
static void test_unique_checked(void **state)
{
    builder b = builder_new();
    const sm_expr *key = col(&b, b.log, "Key"), *app = NULL;
    const sm_plan_node *some = NULL, *rows = NULL;
    sm_error e = {0};
    const sm_expr *const both[] = {key, col(&b, b.log, "App")};
    assert_ok(sm_plan_aggregate(b.log, both, 2, NULL, 0, b.a, &some, &e), &e);
    const sm_check checks[] = {{.name = SM_STR("k"),
                                .holds = call(&b, "=", col(&b, some, "Key"), text(&b, "k")),
                                .action = SM_POLICY_QUARANTINE},
                               {.name = SM_STR("a"),
                                .holds = call(&b, "=", col(&b, some, "App"), text(&b, "a")),
                                .action = SM_POLICY_NULL,
                                .column = 1}};
    for (int n = 1; n <= 2; n++) {
        assert_ok(sm_plan_check(some, checks, n, 0, b.a, &rows, &e), &e);
        key = col(&b, rows, "Key");
        app = col(&b, rows, "App");
        const sm_expr *const keys[] = {app, key};
        assert_true(sm_plan_is_unique(rows, keys, 2, b.a) == (n == 1));
    }
    sm_arena_free(b.a);
}

/* It is asked for a query alone. */
static void test_on_no_query(void **state)
{
    builder b = builder_new();
    sm_statement *s = NULL;
    sm_error e = {0};
    const sm_sql sql = {SM_STR("q"), SM_STR("DELETE FROM log")};
    assert_status(sm_query_select(&sql, &kit_resolver, false, b.a, &s, &e), SM_DENIED, &e);
    sm_arena_free(b.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_a_query),
        cmocka_unit_test(test_on_no_query),
        cmocka_unit_test(test_watched),
        cmocka_unit_test(test_watched_rows),
        cmocka_unit_test(test_watched_twice),
        cmocka_unit_test(test_unique),
        cmocka_unit_test(test_unique_checked),
        cmocka_unit_test(test_same_as_sql),
        cmocka_unit_test(test_nodes_stay),
        cmocka_unit_test(test_node_twice),
        cmocka_unit_test(test_relation),
        cmocka_unit_test(test_counted),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_check_columns),
        cmocka_unit_test(test_expressions_refused),
        cmocka_unit_test(test_nodes_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sql_again),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
