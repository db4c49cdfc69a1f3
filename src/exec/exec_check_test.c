/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_check_test.c: CHECK: what becomes of rows, what is counted, and where the rows go that
 * leave: told row by row, and against FILTER plans over random rules; the same with any number of
 * threads and size of morsels; with sinks that are slow, have enough or fail. */
#include "exec_testkit.h"

#include "base/text.h"

#define SCHEMA "STRUCT(k VARCHAR, v BIGINT, n BIGINT, s STRUCT(x BIGINT, y VARCHAR), l BIGINT[])"

/* ---- rules and plans over them --------------------------------------------------------------- */

typedef struct rule {
    const char *holds;
    sm_policy action;
    int32_t column;
} rule;

typedef struct spec {
    sm_str lines;
    const rule *rules;
    int32_t n_rules;
    int32_t n_first; /* so many columns go on; 0: all */
    /* What stands above and below the CHECK; NULL: nothing does. */
    const sm_plan_node *(*above)(kit *k, const sm_plan_node *in);
    const sm_plan_node *(*below)(kit *k, const sm_plan_node *in);
} spec;

static const sm_expr *expr_of(kit *k, const sm_type *columns, const char *text)
{
    const sm_sql *sql = NULL;
    sm_sql *own = SM_NEW(k->arena, sm_sql);
    const sm_expr *x = NULL;
    sm_error e = {0};
    *own = (sm_sql){.name = SM_STR("rule"), .text = sm_arena_str(k->arena, sm_str_of(text))};
    sql = own;
    assert_ok(sm_query_expr(sql, columns, NULL, k->arena, &x, &e), &e);
    return x;
}

static const sm_plan_node *filter(kit *k, const sm_plan_node *in, const char *where)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_filter(in, expr_of(k, in->schema, where), k->arena, &out, &e), &e);
    return out;
}

static const sm_plan_node *scan(kit *k, const sm_str *lines)
{
    const sm_dataset *d = k_dataset(k, SCHEMA, lines, 1, false);
    return sm_plan_scan(&(sm_relation){.dataset = d, .label = SM_STR("lines")}, false, k->arena);
}

static const sm_plan_node *checked_first(kit *k, const sm_plan_node *in, int32_t n_first,
                                         const rule *rules, int32_t n, int32_t side)
{
    sm_check *checks = SM_NEW_ARRAY(k->arena, sm_check, n);
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    for (int32_t i = 0; i < n; i++) {
        checks[i] = (sm_check){.name = sm_arena_strf(k->arena, "rule%d", i),
                               .holds = expr_of(k, in->schema, rules[i].holds),
                               .action = rules[i].action,
                               .column = rules[i].column};
    }
    assert_ok(n_first ? sm_plan_check_first(in, n_first, checks, n, side, k->arena, &out, &e)
                      : sm_plan_check(in, checks, n, side, k->arena, &out, &e),
              &e);
    return out;
}

static const sm_plan_node *checked(kit *k, const sm_plan_node *in, const rule *rules, int32_t n,
                                   int32_t side)
{
    return checked_first(k, in, 0, rules, n, side);
}

static void finish(kit *k, const sm_plan_node *root)
{
    sm_plan *plan = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_finish(root, k->arena, &plan, &e), &e);
    k->plan = *plan;
}

static void finish_spec(kit *k, const spec *s)
{
    const sm_plan_node *n = scan(k, &s->lines);
    n = s->below ? s->below(k, n) : n;
    n = checked_first(k, n, s->n_first, s->rules, s->n_rules, 0);
    finish(k, s->above ? s->above(k, n) : n);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Says SM_WAIT to every other call where it is slow, SM_END behind `most` rows, and fails at call
 * fails_at. */
typedef struct sink {
    sm_buf text;
    bool is_slow;
    int64_t most, n_rows;
    int n_calls, fails_at, n_finished;
    sm_cancel *cancels; /* set at the fifth call */
} sink;

static sm_status push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    sink *s = ctx;
    const char *why = "";
    if (!sm_batch_validate(rows, true, &why)) {
        fail_msg("%s", why);
    }
    s->n_calls++;
    if (s->is_slow && s->n_calls % 2 == 1) {
        sm_wake(waker);
        return SM_WAIT;
    }
    if (s->fails_at == s->n_calls) {
        return sm_fail(e, SM_DENIED, "call %d", s->n_calls);
    }
    if (s->cancels && s->n_calls == 5) {
        sm_cancel_set(s->cancels);
    }
    if (s->most && s->n_rows >= s->most) {
        return SM_END;
    }
    s->n_rows += rows->n_rows;
    print_rows(rows, &s->text);
    return SM_OK;
}

static sm_status finish_push(void *ctx, sm_waker waker, sm_error *e)
{
    ((sink *)ctx)->n_finished++;
    return SM_OK;
}

static void print_checks(const sm_exec_report *r, sm_buf *out)
{
    for (int32_t i = 0; i < r->n_checks; i++) {
        const sm_check_report *c = &r->checks[i];
        const int64_t n = c->examples ? c->examples->n_rows : 0;
        sm_buf_printf(out, "%d.%d %.*s: %d of %d", c->side, c->check, SM_STR_ARG(c->name),
                      (int)c->n_broken, (int)c->n_rows);
        for (int64_t k = 0; k < n; k++) {
            sm_buf_printf(out, "%s%d", k > 0 ? " " : ": ", (int)c->example_rows[k]);
        }
        sm_buf_text(out, SM_STR("\n"));
        if (n > 0) {
            print_rows(c->examples, out);
        }
    }
}

/* Runs the kit's plan into the two sinks; the report's checks are printed behind `counts`. */
static sm_status run(kit *k, sink *main, sink *side, sm_buf *counts, sm_error *e)
{
    sm_exec_env env = k_env(k);
    env.cancel = main->cancels;
    const sm_sink rows = {.ctx = main, .push = push, .finish = finish_push};
    const sm_sink left = {.ctx = side, .push = push, .finish = finish_push};
    const sm_sink *const sides[] = {&left};
    const sm_outputs to = {.main = &rows, .sides = sides, .n_sides = side != NULL};
    sm_exec_report_release(&k->report);
    const sm_status st = sm_exec_run_to(&k->plan, &env, &to, &k->report, e);
    if (st == SM_OK) {
        assert_int_equal(main->n_finished, 1);
        assert_int_equal(side ? side->n_finished : 1, 1);
        print_checks(&k->report, counts);
    }
    return st;
}

static char *take_text(sm_buf *b)
{
    sm_buf_text(b, (sm_str){"", 1});
    char *copy = strdup((const char *)b->data);
    sm_buf_release(b);
    return copy;
}

/* Rows, "--", rows that left, "--", counts. */
static char *outcome(const spec *s, int threads, size_t morsel_bytes, bool is_slow)
{
    sm_error e = {0};
    sink main = {.is_slow = is_slow}, side = {.is_slow = is_slow};
    sm_buf counts = {0};
    const int64_t live = sm_live_allocs();
    kit k = kit_new(threads, morsel_bytes, 0);
    finish_spec(&k, s);
    assert_ok(run(&k, &main, &side, &counts, &e), &e);
    assert_false(k.report.is_partial);
    sm_buf_text(&main.text, SM_STR("--\n"));
    sm_buf_text(&main.text, sm_buf_str(&side.text));
    sm_buf_text(&main.text, SM_STR("--\n"));
    sm_buf_text(&main.text, sm_buf_str(&counts));
    sm_buf_release(&side.text);
    sm_buf_release(&counts);
    kit_free(&k);
    char *text = take_text(&main.text);
    assert_int_equal(sm_live_allocs(), live);
    return text;
}

static const size_t morsels[] = {97, 5000, 1 << 20};

static void assert_outcome(const spec *s, const char *want)
{
    for (int threads = 1; threads <= 4; threads++) {
        for (int m = 0; m < SM_COUNT(morsels); m++) {
            char *text = outcome(s, threads, morsels[m], threads % 2 == 0);
            if (strcmp(text, want) != 0) {
                fail_msg("%d threads, morsels of %zu:\n%.3000s\nwant:\n%.3000s", threads,
                         morsels[m], text, want);
            }
            free(text);
        }
    }
}

/* ---- a few rows ------------------------------------------------------------------------------ */

#define FEW                                                                                        \
    "{\"k\":\"a\",\"v\":1,\"n\":0,\"s\":{\"x\":1,\"y\":\"p\"},\"l\":[1,2]}\n"                      \
    "{\"k\":\"b\",\"v\":-2,\"n\":1,\"s\":{\"x\":-1,\"y\":\"q\"},\"l\":[]}\n"                       \
    "{\"k\":\"c\",\"n\":2}\n"                                                                      \
    "{\"k\":\"a text of more than twelve bytes\",\"v\":-4,\"n\":3,\"s\":{\"x\":4},\"l\":[3]}\n"
#define A  "a 1 0 {'x': 1, 'y': p} [1, 2]\n"
#define B  "b -2 1 {'x': -1, 'y': q} []\n"
#define C  "c NULL 2 NULL NULL\n"
#define D  "a text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3]\n"
#define A2 "a 1\n"
#define B2 "b -2\n"
#define C2 "c NULL\n"
#define D2 "a text of more than twelve bytes -4\n"

static const sm_plan_node *limit_one(kit *k, const sm_plan_node *in)
{
    return sm_plan_limit(in, 1, 0, k->arena);
}

static const sm_plan_node *limit_none(kit *k, const sm_plan_node *in)
{
    return sm_plan_limit(in, 0, 0, k->arena);
}

/* Not at the root. */
static const sm_plan_node *limit_below(kit *k, const sm_plan_node *in)
{
    return filter(k, sm_plan_limit(in, 1, 1, k->arena), "n >= 0");
}

static const sm_plan_node *never(kit *k, const sm_plan_node *in)
{
    return filter(k, in, "1 > 2");
}

static const sm_plan_node *only_a(kit *k, const sm_plan_node *in)
{
    return filter(k, in, "k = 'a'");
}

static const sm_plan_node *first_column(kit *k, const sm_plan_node *in)
{
    const sm_expr *const x = sm_expr_column(in->schema, 0, k->arena);
    return sm_plan_project(in, &x, (sm_str[]){SM_STR("k")}, 1, k->arena);
}

static const sm_plan_node *by_v(kit *k, const sm_plan_node *in)
{
    const sm_sort_key key = {.expr = sm_expr_column(in->schema, 1, k->arena)};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_sort(in, &key, 1, k->arena, &out, &e), &e);
    return out;
}

static const sm_plan_node *count_all(kit *k, const sm_plan_node *in)
{
    const sm_agg_item item = {.call = NULL};
    sm_agg_item own = item;
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_call("count", NULL, 0, k->arena, &own.call, &e), &e);
    assert_ok(sm_plan_aggregate(in, NULL, 0, &own, 1, k->arena, &out, &e), &e);
    return out;
}

static const sm_plan_node *no_rows(kit *k, const sm_plan_node *in)
{
    return filter(k, in, "n < 0");
}

static const sm_plan_node *twice(kit *k, const sm_plan_node *in)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_union(in, in, k->arena, &out, &e), &e);
    return out;
}

#define FAIL       SM_POLICY_FAIL, 0
#define WARN       SM_POLICY_WARN, 0
#define QUARANTINE SM_POLICY_QUARANTINE, 0
#define NULLS(c)   SM_POLICY_NULL, c

static const struct {
    rule rules[4];
    const sm_plan_node *(*above)(kit *k, const sm_plan_node *in);
    const sm_plan_node *(*below)(kit *k, const sm_plan_node *in);
    const char *want;
} few_rows[] = {
    /* Counted, and kept; NULL breaks nothing. */
    {{{"v > 0", FAIL}}, NULL, NULL, A B C D "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > 0", WARN}}, NULL, NULL, A B C D "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v IS NOT NULL", QUARANTINE}},
     NULL,
     NULL,
     A B D "--\nc NULL 2 NULL NULL 0\n--\n0.0 rule0: 1 of 4: 2\n" C},
    /* All pass; a rule that is NULL for all. */
    {{{"n >= 0", QUARANTINE}, {"NULL::BOOLEAN", QUARANTINE}},
     NULL,
     NULL,
     A B C D "--\n--\n0.0 rule0: 0 of 4\n0.1 rule1: 0 of 4\n"},
    /* All leave. */
    {{{"n < 0", QUARANTINE}, {"false", QUARANTINE}},
     first_column,
     NULL,
     "--\na 1 0 {'x': 1, 'y': p} [1, 2] 0\nb -2 1 {'x': -1, 'y': q} [] 0\nc NULL 2 NULL NULL 0\n"
     "a text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3] 0\n--\n"
     "0.0 rule0: 4 of 4: 0 1 2 3\n" A B C D "0.1 rule1: 4 of 4: 0 1 2 3\n" A B C D},
    /* NULL in each kind of column. Both rules see v as it came in. */
    {{{"v > 0", NULLS(1)}, {"v <> -4", NULLS(0)}},
     NULL,
     NULL,
     A "b NULL 1 {'x': -1, 'y': q} []\n" C
       "NULL NULL 3 {'x': 4, 'y': NULL} [3]\n--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D
       "0.1 rule1: 1 of 4: 3\n" D},
    {{{"v > 0", NULLS(3)}, {"v <> -4", NULLS(4)}, {"k <> 'b'", NULLS(4)}},
     NULL,
     NULL,
     A "b -2 1 NULL NULL\n" C
       "a text of more than twelve bytes -4 3 NULL NULL\n--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D
       "0.1 rule1: 1 of 4: 3\n" D "0.2 rule2: 1 of 4: 1\n" B},
    /* A row leaves by its first rule, as it came in. */
    {{{"v > 0", NULLS(1)}, {"s.x > 0", QUARANTINE}, {"v > -2", QUARANTINE}, {"k <> 'a'", WARN}},
     NULL,
     NULL,
     A C "--\nb -2 1 {'x': -1, 'y': q} [] 1\n"
         "a text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3] 2\n--\n"
         "0.0 rule0: 2 of 4: 1 3\n" B D "0.1 rule1: 1 of 4: 1\n" B "0.2 rule2: 2 of 4: 1 3\n" B D
         "0.3 rule3: 1 of 4: 0\n" A},
    /* What stands above changes no count. */
    {{{"v > 0", WARN}}, limit_one, NULL, A "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > 0", WARN}}, limit_none, NULL, "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > 0", WARN}}, limit_below, NULL, B "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > 0", WARN}}, never, NULL, "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > 0", WARN}}, only_a, NULL, A "--\n--\n0.0 rule0: 2 of 4: 1 3\n" B D},
    {{{"v > -4", QUARANTINE}},
     count_all,
     NULL,
     "3\n--\na text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3] 0\n--\n"
     "0.0 rule0: 1 of 4: 3\n" D},
    /* What stands below gives the rows, and their places. */
    {{{"v > 0", QUARANTINE}},
     first_column,
     by_v,
     "a\nc\n--\na text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3] 0\n"
     "b -2 1 {'x': -1, 'y': q} [] 0\n--\n0.0 rule0: 2 of 4: 0 1\n" D B},
    {{{"n <> 1", QUARANTINE}},
     first_column,
     twice,
     "a\nc\na text of more than twelve bytes\na\nc\na text of more than twelve bytes\n--\n"
     "b -2 1 {'x': -1, 'y': q} [] 0\nb -2 1 {'x': -1, 'y': q} [] 0\n--\n"
     "0.0 rule0: 2 of 8: 1 5\n" B B},
    {{{"v > 0", QUARANTINE}}, NULL, no_rows, "--\n--\n0.0 rule0: 0 of 0\n"},
};

static void tells_each_row(void **state)
{
    for (int i = 0; i < SM_COUNT(few_rows); i++) {
        spec s = {.lines = {FEW, sizeof(FEW) - 1},
                  .rules = few_rows[i].rules,
                  .above = few_rows[i].above,
                  .below = few_rows[i].below};
        while (s.n_rules < 4 && s.rules[s.n_rules].holds) {
            s.n_rules++;
        }
        assert_outcome(&s, few_rows[i].want);
    }
}

/* Columns for the rules alone do not go on and do not leave; they are in the examples. */
static const struct {
    rule rules[4];
    const sm_plan_node *(*above)(kit *k, const sm_plan_node *in);
    const char *want;
} first_columns[] = {
    {{{"n >= 0", QUARANTINE}}, NULL, A2 B2 C2 D2 "--\n--\n0.0 rule0: 0 of 4\n"},
    {{{"n <> 1", WARN}}, NULL, A2 B2 C2 D2 "--\n--\n0.0 rule0: 1 of 4: 1\n" B},
    {{{"n <> 1", NULLS(0)}}, NULL, A2 "NULL -2\n" C2 D2 "--\n--\n0.0 rule0: 1 of 4: 1\n" B},
    {{{"n <> 1", NULLS(0)}, {"s.x < 4", QUARANTINE}},
     NULL,
     A2 "NULL -2\n" C2 "--\na text of more than twelve bytes -4 1\n--\n"
        "0.0 rule0: 1 of 4: 1\n" B "0.1 rule1: 1 of 4: 3\n" D},
    {{{"s.x < 4", QUARANTINE}, {"n > 0", QUARANTINE}},
     first_column,
     "b\nc\n--\na 1 1\na text of more than twelve bytes -4 0\n--\n"
     "0.0 rule0: 1 of 4: 3\n" D "0.1 rule1: 1 of 4: 0\n" A},
    {{{"n < 0", QUARANTINE}},
     count_all,
     "0\n--\na 1 0\nb -2 0\nc NULL 0\na text of more than twelve bytes -4 0\n--\n"
     "0.0 rule0: 4 of 4: 0 1 2 3\n" A B C D},
};

static void gives_first_columns(void **state)
{
    for (int i = 0; i < SM_COUNT(first_columns); i++) {
        spec s = {.lines = {FEW, sizeof(FEW) - 1},
                  .rules = first_columns[i].rules,
                  .n_first = 2,
                  .above = first_columns[i].above};
        while (s.n_rules < 4 && s.rules[s.n_rules].holds) {
            s.n_rules++;
        }
        assert_outcome(&s, first_columns[i].want);
    }
}

/* Two of them, each with a side output; the second sees what the first has left. */
static void stands_on_another(void **state)
{
    static const rule first[] = {{"v > -4", QUARANTINE}, {"v > 0", NULLS(1)}};
    static const rule second[] = {{"v IS NOT NULL", QUARANTINE}};
    const sm_str lines = {FEW, sizeof(FEW) - 1};
    sm_error e = {0};
    sink main = {0}, sides[2] = {{.is_slow = true}};
    sm_buf counts = {0};
    kit k = kit_new(3, 97, 0);
    finish(&k, checked(&k, checked(&k, scan(&k, &lines), first, 2, 1), second, 1, 0));
    sm_exec_env env = k_env(&k);
    const sm_sink rows = {.ctx = &main, .push = push};
    const sm_sink left[] = {{.ctx = &sides[0], .push = push}, {.ctx = &sides[1], .push = push}};
    const sm_sink *const both[] = {&left[0], &left[1]};
    const sm_outputs to = {.main = &rows, .sides = both, .n_sides = 2};
    assert_ok(sm_exec_run_to(&k.plan, &env, &to, &k.report, &e), &e);
    print_checks(&k.report, &counts);
    char *texts[] = {take_text(&main.text), take_text(&sides[1].text), take_text(&sides[0].text),
                     take_text(&counts)};
    static const char *const want[] = {
        A,
        "a text of more than twelve bytes -4 3 {'x': 4, 'y': NULL} [3] 0\n",
        "b NULL 1 {'x': -1, 'y': q} [] 0\nc NULL 2 NULL NULL 0\n",
        "0.0 rule0: 2 of 3: 1 2\nb NULL 1 {'x': -1, 'y': q} []\n" C "1.0 rule0: 1 of 4: 3\n" D
        "1.1 rule1: 2 of 4: 1 3\n" B D,
    };
    for (int i = 0; i < 4; i++) {
        assert_string_equal(texts[i], want[i]);
        free(texts[i]);
    }
    kit_free(&k);

    k = kit_new(1, 97, 0); /* one output for two */
    env = k_env(&k);
    finish(&k, checked(&k, checked(&k, scan(&k, &lines), first, 2, 0), second, 1, 0));
    assert_status(sm_exec_run_to(&k.plan, &env, &to, &k.report, &e), SM_USAGE, &e);
    kit_free(&k);
}

/* ---- many rows, against filters -------------------------------------------------------------- */

/* Keys that become a dictionary, or some that are too long for one. */
static void make_lines(sm_buf *out, int64_t n, bool has_long, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        const int key = (int)(k_random(&seed) % 9);
        sm_buf_printf(out, "{\"n\":%lld,\"k\":\"k%d%s\"", (long long)i, key,
                      has_long && key == 4 ? " and a text of more than twelve bytes" : "");
        if (k_random(&seed) % 11 != 0) {
            sm_buf_printf(out, ",\"v\":%d", (int)(k_random(&seed) % 1000));
        }
        if (k_random(&seed) % 5 != 0) {
            sm_buf_printf(out, ",\"s\":{\"x\":%d,\"y\":\"%d\"},\"l\":[%d,%d]",
                          (int)(k_random(&seed) % 100), key, key, (int)i);
        }
        sm_buf_text(out, SM_STR("}\n"));
    }
}

static const char *const pool[] = {
    "v >= 100",
    "v < 900",
    "v % 7 <> 0",
    "k <> 'k3'",
    "k IN ('k1', 'k2', 'k5', 'k8')",
    "s.x > 10",
    "s IS NOT NULL",
    "length(k) > 2 OR v > 500",
    "n >= 0",
    "v IS NOT NULL AND n % 1000 <> 17",
    "regexp_matches(k, '[0-7]')",
    "k = 'k1' OR k <> 'k4 and a text of more than twelve bytes'",
    "NULL::BOOLEAN",
    "n % 4096 <> 0",
    "true",
    "n < 3000",
};

static sm_str joined(kit *k, const char *const *parts, int n, const char *by)
{
    sm_buf b = {0};
    for (int i = 0; i < n; i++) {
        sm_buf_printf(&b, "%s%s", i > 0 ? by : "", parts[i]);
    }
    sm_buf_text(&b, (sm_str){"", 1});
    const sm_str s = sm_arena_str(k->arena, (sm_str){(const char *)b.data, b.len - 1});
    sm_buf_release(&b);
    return s;
}

/* The rules with an action (of column c, or −1: any) that a row must keep, as one condition. */
static const char *keeps(kit *k, const spec *s, sm_policy action, int32_t c)
{
    const char *parts[8] = {"true"};
    int n = 1;
    for (int32_t i = 0; i < s->n_rules; i++) {
        if (s->rules[i].action == action && (c < 0 || s->rules[i].column == c)) {
            parts[n++] = sm_arena_strf(k->arena, "coalesce(%s, true)", s->rules[i].holds).data;
        }
    }
    return joined(k, parts, n, " AND ").data;
}

/* The rows that stay, with NULL in columns, by a filter and a projection. */
static const sm_plan_node *stays(kit *k, const spec *s)
{
    const sm_plan_node *in = scan(k, &s->lines);
    const sm_plan_node *kept = filter(k, in, keeps(k, s, SM_POLICY_QUARANTINE, -1));
    const sm_expr *exprs[5];
    sm_str names[5];
    for (int32_t c = 0; c < 5; c++) {
        names[c] = in->schema->fields[c].name;
        const sm_str text = sm_arena_strf(k->arena, "CASE WHEN %s THEN %.*s END",
                                          keeps(k, s, SM_POLICY_NULL, c), SM_STR_ARG(names[c]));
        exprs[c] = expr_of(k, in->schema, text.data);
    }
    return sm_plan_project(kept, exprs, names, 5, k->arena);
}

/* The rows that leave, with the number of their first rule. */
static const sm_plan_node *leaves(kit *k, const spec *s)
{
    const sm_plan_node *in = scan(k, &s->lines);
    const sm_str gone = sm_arena_strf(k->arena, "NOT (%s)", keeps(k, s, SM_POLICY_QUARANTINE, -1));
    const char *parts[8] = {"CASE WHEN false THEN 0"};
    const sm_expr *exprs[6];
    sm_str names[6];
    int n = 1;
    for (int32_t i = 0; i < s->n_rules; i++) {
        if (s->rules[i].action == SM_POLICY_QUARANTINE) {
            parts[n++] =
                sm_arena_strf(k->arena, "WHEN NOT (%s) THEN %d", s->rules[i].holds, i).data;
        }
    }
    parts[n++] = "END";
    for (int32_t c = 0; c < 5; c++) {
        exprs[c] = sm_expr_column(in->schema, c, k->arena);
        names[c] = in->schema->fields[c].name;
    }
    exprs[5] = expr_of(k, in->schema, joined(k, parts, n, " ").data);
    names[5] = SM_STR("check");
    return sm_plan_project(filter(k, in, gone.data), exprs, names, 6, k->arena);
}

static char *rows_of(const spec *s, const sm_plan_node *(*make)(kit *k, const spec *s))
{
    sm_error e = {0};
    sm_buf text = {0};
    kit k = kit_new(1, 1 << 20, 0);
    finish(&k, make(&k, s));
    assert_ok(k_run(&k, &text, &e), &e);
    kit_free(&k);
    return take_text(&text);
}

/* What each rule counts, of rows whose n is their place: by a filter for each. */
static void count_by_filters(const spec *s, int64_t n_rows, sm_buf *out)
{
    for (int32_t i = 0; i < s->n_rules; i++) {
        sm_error e = {0};
        sm_batch **batches = NULL;
        sm_buf places = {0}, examples = {0};
        int64_t n = 0, n_broken = 0;
        kit k = kit_new(1, 1 << 20, 0);
        const sm_str broken = sm_arena_strf(k.arena, "NOT (%s)", s->rules[i].holds);
        finish(&k, filter(&k, scan(&k, &s->lines), broken.data));
        const sm_exec_env env = k_env(&k);
        assert_ok(sm_exec_collect(&k.plan, &env, k.arena, &batches, &n, &k.report, &e), &e);
        for (int64_t b = 0; b < n; b++) {
            for (int64_t r = 0; r < batches[b]->n_rows && n_broken + r < SM_CHECK_EXAMPLES; r++) {
                sm_batch *one = NULL;
                sm_buf_printf(&places, "%s%lld", n_broken + r > 0 ? " " : ": ",
                              (long long)sm_column_value(&batches[b]->columns[2], r).as.i);
                assert_ok(sm_batch_slice(batches[b], r, 1, k.budget, &one, &e), &e);
                print_rows(one, &examples);
                sm_batch_release(one);
            }
            n_broken += batches[b]->n_rows;
            sm_batch_release(batches[b]);
        }
        sm_buf_printf(out, "0.%d rule%d: %d of %d", i, i, (int)n_broken, (int)n_rows);
        sm_buf_text(out, sm_buf_str(&places));
        sm_buf_text(out, SM_STR("\n"));
        sm_buf_text(out, sm_buf_str(&examples));
        sm_buf_release(&places);
        sm_buf_release(&examples);
        kit_free(&k);
    }
}

static void agrees_with_filters(void **state)
{
    enum { ROUNDS = 40, ROWS = 9000 };
    static const sm_policy actions[] = {SM_POLICY_FAIL, SM_POLICY_WARN, SM_POLICY_NULL,
                                        SM_POLICY_QUARANTINE, SM_POLICY_QUARANTINE};
    const char *given = sm_env("SMELT_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 20220401;
    for (int round = 0; round < ROUNDS; round++) {
        rule rules[5];
        sm_buf lines = {0}, counts = {0};
        const int64_t n_rows = round % 4 == 0 ? 0 + k_random(&seed) % 50 : ROWS;
        make_lines(&lines, n_rows, round % 2 == 0, seed);
        spec s = {.lines = sm_buf_str(&lines), .rules = rules};
        s.n_rules = 1 + (int32_t)(k_random(&seed) % SM_COUNT(rules));
        for (int32_t i = 0; i < s.n_rules; i++) {
            rules[i] = (rule){pool[k_random(&seed) % SM_COUNT(pool)],
                              actions[k_random(&seed) % SM_COUNT(actions)],
                              (int32_t)(k_random(&seed) % 5)};
        }
        char *stay = rows_of(&s, stays), *leave = rows_of(&s, leaves);
        count_by_filters(&s, n_rows, &counts);
        sm_buf want = {0};
        sm_buf_printf(&want, "%s--\n%s--\n", stay, leave);
        sm_buf_text(&want, sm_buf_str(&counts));
        char *const text = take_text(&want);
        char *const got = outcome(&s, 1 + round % 4, morsels[1 + round % 2], round % 3 == 0);
        if (strcmp(got, text) != 0) {
            fail_msg("round %d:\n%.3000s\nwant:\n%.3000s", round, got, text);
        }
        free(got);
        free(text);
        free(stay);
        free(leave);
        sm_buf_release(&counts);
        sm_buf_release(&lines);
    }
}

static const rule several[] = {{"v >= 100", QUARANTINE},
                               {"k <> 'k3'", NULLS(0)},
                               {"s.x > 10", QUARANTINE},
                               {"n % 1000 <> 17", WARN}};

static void is_the_same_everywhere(void **state)
{
    sm_buf lines = {0};
    make_lines(&lines, 9000, true, 5);
    const spec s = {.lines = sm_buf_str(&lines), .rules = several, .n_rules = SM_COUNT(several)};
    char *const want = outcome(&s, 1, 1 << 20, false);
    assert_outcome(&s, want);
    free(want);
    sm_buf_release(&lines);
}

/* ---- ends, failures -------------------------------------------------------------------------- */

/* The side's sink wants few rows: the others come all the same, and all is counted. The main sink
 * wants few: the run ends, and says that it counted not all. */
static void ends_when_a_sink_has_enough(void **state)
{
    sm_buf lines = {0};
    make_lines(&lines, 20000, true, 5);
    const spec s = {.lines = sm_buf_str(&lines), .rules = several, .n_rules = SM_COUNT(several)};
    for (int t = 0; t < SM_COUNT(k_threads) * 2; t++) {
        sm_error e = {0};
        const bool is_main = t % 2 == 0;
        sink main = {.most = is_main ? 100 : 0}, side = {.most = is_main ? 0 : 100};
        sm_buf counts = {0};
        kit k = kit_new(k_threads[t / 2], 1000, 0);
        finish_spec(&k, &s);
        assert_ok(run(&k, &main, &side, &counts, &e), &e);
        assert_int_equal(k.report.is_partial, is_main);
        if (is_main) {
            assert_in_range(main.n_rows, 100, 200);
            assert_true(k.report.checks[0].n_rows < 20000);
        } else {
            assert_in_range(side.n_rows, 100, 200);
            assert_int_equal(k.report.checks[0].n_rows, 20000);
            assert_true(main.n_rows > 10000);
        }
        sm_buf_release(&main.text);
        sm_buf_release(&side.text);
        sm_buf_release(&counts);
        kit_free(&k);
    }
    sm_buf_release(&lines);
}

static void fails_where_it_must(void **state)
{
    static const rule divides[] = {{"v > 2", QUARANTINE}, {"1000 // (n - 4321) <> 0", WARN}};
    static const struct {
        const rule *rules;
        int32_t n_rules;
        int main_fails_at, side_fails_at;
        bool is_cancelled;
        sm_status want;
        const char *what;
    } rows[] = {
        {several, 4, 3, 0, false, SM_DENIED, "call 3"},
        {several, 4, 0, 3, false, SM_DENIED, "call 3"},
        {several, 4, 0, 0, true, SM_INTERRUPTED, "interrupted"},
        {divides, 2, 0, 0, false, SM_RANGE, "1000 // 0: division by zero"},
    };
    sm_buf lines = {0};
    make_lines(&lines, 20000, true, 5);
    for (int t = 0; t < SM_COUNT(k_threads) * SM_COUNT(rows); t++) {
        const int row = t % SM_COUNT(rows);
        const spec s = {
            .lines = sm_buf_str(&lines), .rules = rows[row].rules, .n_rules = rows[row].n_rules};
        sm_error e = {0};
        sm_cancel cancel = {0};
        sink main = {.fails_at = rows[row].main_fails_at,
                     .cancels = rows[row].is_cancelled ? &cancel : NULL};
        sink side = {.fails_at = rows[row].side_fails_at};
        sm_buf counts = {0};
        const int64_t live = sm_live_allocs();
        kit k = kit_new(k_threads[t / SM_COUNT(rows)], 1000, 0);
        finish_spec(&k, &s);
        assert_status(run(&k, &main, &side, &counts, &e), rows[row].want, &e);
        assert_non_null(strstr(e.what, rows[row].what));
        sm_buf_release(&main.text);
        sm_buf_release(&side.text);
        sm_buf_release(&counts);
        kit_free(&k);
        assert_int_equal(sm_live_allocs(), live);
    }
    sm_buf_release(&lines);
}

/* A rule that fails for a row is a failure of the run, that of the first such row. */
static void tells_the_first_failure(void **state)
{
    static const rule casts[] = {{"v >= 0", QUARANTINE},
                                 {"k <> 'k4' OR (k || n)::BIGINT > 0", WARN}};
    sm_buf lines = {0};
    make_lines(&lines, 6000, false, 8);
    const spec s = {.lines = sm_buf_str(&lines), .rules = casts, .n_rules = 2, .above = limit_one};
    sm_buf_text(&lines, (sm_str){"", 1});
    const char *at = strstr((const char *)lines.data, "\"k\":\"k4\"");
    char want[64];
    while (*at != '{') {
        at--;
    }
    snprintf(want, sizeof(want), "\"k4%lld\" cannot be cast", strtoll(at + 5, NULL, 10));
    for (int t = 0; t < SM_COUNT(k_threads) * SM_COUNT(morsels); t++) {
        sm_error e = {0};
        sink main = {0}, side = {0};
        sm_buf counts = {0};
        kit k = kit_new(k_threads[t % 3], morsels[t / 3], 0);
        finish_spec(&k, &s);
        assert_status(run(&k, &main, &side, &counts, &e), SM_TYPE, &e);
        if (!strstr(e.what, want)) {
            fail_msg("%s, not %s", e.what, want);
        }
        sm_buf_release(&main.text);
        sm_buf_release(&side.text);
        kit_free(&k);
    }
    sm_buf_release(&lines);
}

/* Is refused or done, and stays within the limit, where the side's sink is slow too. */
static void keeps_to_its_budget(void **state)
{
    sm_buf lines = {0};
    make_lines(&lines, 20000, true, 5);
    const spec s = {.lines = sm_buf_str(&lines), .rules = several, .n_rules = SM_COUNT(several)};
    char *const want = outcome(&s, 1, 1 << 16, false);
    for (size_t limit = 100000; limit <= 64 << 20; limit *= 4) {
        sm_error e = {0};
        sink main = {0}, side = {.is_slow = true};
        sm_buf counts = {0};
        kit k = kit_new(2, 1 << 16, limit);
        finish_spec(&k, &s);
        const sm_status st = run(&k, &main, &side, &counts, &e);
        assert_true(st == SM_OK || st == SM_BUDGET);
        assert_true(sm_budget_peak(k.budget) <= limit + (4 << 20)); /* arenas are not refused */
        if (limit >= 32 << 20) {
            assert_ok(st, &e);
        }
        if (st == SM_OK) {
            char *const text = take_text(&counts);
            assert_string_equal(text, strstr(strstr(want, "--\n") + 3, "--\n") + 3);
            free(text);
        }
        sm_buf_release(&main.text);
        sm_buf_release(&side.text);
        sm_buf_release(&counts);
        kit_free(&k);
    }
    free(want);
    sm_buf_release(&lines);
}

/* Of 4 rows the second and the fourth have no v above 0, and the fourth none above -3. */
static const struct {
    rule rules[3];
    int64_t want[3];
} done_rows[] = {
    {{{"v > 0", FAIL}, {"v > 0", WARN}}, {0, 0}},
    {{{"v > -3", QUARANTINE}, {"v > 0", QUARANTINE}}, {1, 1}},
    {{{"v > 0", QUARANTINE}, {"v > -3", QUARANTINE}}, {2, 0}},
    {{{"v > 0", NULLS(1)}, {"v > -3", NULLS(1)}}, {2, 0}},
    {{{"v > -3", NULLS(1)}, {"v > 0", NULLS(1)}}, {1, 1}},
    {{{"v > 0", NULLS(1)}, {"v > 0", NULLS(2)}}, {2, 2}}, /* of two columns */
    {{{"v > 0", NULLS(1)}, {"n < 3", NULLS(2)}, {"v > -3", QUARANTINE}}, {1, 0, 1}},
};

/* How many rows a check took away, or changed: of those that several would, each counts once. */
static void counts_what_was_done(void **state)
{
    const sm_str lines = SM_STR(FEW);

    for (int i = 0; i < SM_COUNT(done_rows); i++) {
        for (int threads = 1; threads <= 2; threads++) {
            const spec s = {.lines = lines,
                            .rules = done_rows[i].rules,
                            .n_rules = done_rows[i].rules[2].holds ? 3 : 2};
            sink main = {0}, side = {0};
            sm_buf counts = {0};
            sm_error e = {0};
            kit k = kit_new(threads, 97, 0);
            finish_spec(&k, &s);
            assert_ok(run(&k, &main, i % 2 ? &side : NULL, &counts, &e), &e);
            assert_int_equal(k.report.n_checks, s.n_rules);
            for (int r = 0; r < s.n_rules; r++) {
                if (k.report.checks[r].n_done != done_rows[i].want[r]) {
                    fail_msg("case %d, rule %d: %d", i, r, (int)k.report.checks[r].n_done);
                }
            }
            sm_buf_release(&main.text);
            sm_buf_release(&side.text);
            sm_buf_release(&counts);
            kit_free(&k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_was_done),        cmocka_unit_test(tells_each_row),
        cmocka_unit_test(gives_first_columns),         cmocka_unit_test(stands_on_another),
        cmocka_unit_test(agrees_with_filters),         cmocka_unit_test(is_the_same_everywhere),
        cmocka_unit_test(ends_when_a_sink_has_enough), cmocka_unit_test(fails_where_it_must),
        cmocka_unit_test(tells_the_first_failure),     cmocka_unit_test(keeps_to_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
