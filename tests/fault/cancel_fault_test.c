/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/cancel_fault_test.c: each operator interrupted at a random moment.
 *
 * A thread sets the cancel flag. The execution must end as interrupted, and no thread may have
 * worked for longer than LONGEST_MS between two checks of the flag. Queries that end by
 * themselves are first run to the end, so that every phase is watched, and then interrupted at a
 * moment within the time that they took. SMELT_SEED=n repeats the moments. */
#include "orders.h"

#include "base/hash.h"
#include "base/random.h"
#include "base/text.h"

/* Of the thread's own processor time. The promise is 100 ms; less of it, so that what grows with
 * the rows is seen with these few. Checks take ten to twenty times as long as the work. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define LONGEST_MS 1000
#define N_LINES    300
#else
#define LONGEST_MS 60
#define N_LINES    1000
#endif
#define MOMENT_MS 400 /* a query that does not end is interrupted before */
#define TIGHT     ((size_t)24 * 1000 * 1000)

/* N_LINES squared rows; n counts them, m is unordered. */
#define MANY                                                                                       \
    "(SELECT a.n * 3000 + b.n AS n, (a.n * 7919 + b.n * 104729) % 9000011 AS m, a.t AS t FROM "    \
    "t.lines a CROSS JOIN t.lines b) many"

static const struct {
    const char *name, *sql;
    bool ends;          /* in a second or so */
    size_t limit_bytes; /* 0: none, so nothing is spilled */
    bool is_staged;     /* into a Delta table */
} cases[] = {
    {"scan", "SELECT count(*) FROM t.every", true},
    {"filter", "SELECT n FROM " MANY " WHERE regexp_matches(t || m, '(x+)+[0-9]$') AND n < 0",
     true},
    {"slow regex",
     "SELECT n FROM " MANY " WHERE regexp_matches(lpad('b', 17, 'a') || n, '(a+)+[c-d]')"},
    {"slow texts", "SELECT max(length(replace(lpad('', 60000 + n, 'ab'), 'a', 'cc'))) FROM " MANY},
    {"many texts", "SELECT max(length(reverse(upper(rpad(t || m, 9000, 'xyz'))))) FROM " MANY},
    {"like", "SELECT count(*) FROM " MANY " WHERE rpad(t, 9000 + m, 'xyz') ILIKE '%y_x%z_z'"},
    {"project", "SELECT max(sqrt(n) * ln(m + 1) || t) FROM " MANY, true},
    {"cross join", "SELECT count(*) FROM t.lines a, t.lines b, t.lines c, t.lines d"},
    {"inequality join", "SELECT count(*) FROM " MANY " JOIN t.lines c ON many.n + c.n < 0"},
    {"left join", "SELECT count(*) FROM t.lines a LEFT JOIN " MANY " ON a.n > many.n + 5000"},
    {"hash join", "SELECT count(*) FROM " MANY " JOIN (SELECT m AS k FROM " MANY ") r ON n = k",
     true},
    {"one key", "SELECT count(*) FROM t.lines a JOIN " MANY " ON a.n % 2 = m % 2"},
    {"spilled join",
     "SELECT count(*) FROM " MANY " JOIN (SELECT m AS k, t AS u FROM " MANY ") r ON n = k", true,
     TIGHT},
    {"aggregate", "SELECT m, count(*), sum(n) FROM " MANY " GROUP BY m", true},
    {"groups of text", "SELECT t || m AS k, min(t || n), max(t) FROM " MANY " GROUP BY k", true},
    {"spilled aggregate", "SELECT t || m AS k, min(t || n) FROM " MANY " GROUP BY k", true, TIGHT},
    {"one group", "SELECT count(DISTINCT m), sum(DISTINCT n), min(DISTINCT t || n) FROM " MANY,
     true},
    {"distinct", "SELECT DISTINCT m, t FROM " MANY, true},
    {"sort", "SELECT n FROM " MANY " ORDER BY m DESC, t", true},
    {"sort of text", "SELECT n FROM " MANY " ORDER BY 'aaaaaaaaaaaa' || m", true},
    {"spilled sort", "SELECT n, t FROM " MANY " ORDER BY m", true, TIGHT},
    {"first rows", "SELECT n FROM " MANY " ORDER BY m LIMIT 60000", true},
    {"window", "SELECT n, row_number() OVER (PARTITION BY m % 1000 ORDER BY n) FROM " MANY, true},
    {"one window", "SELECT n, sum(n) OVER (ORDER BY m), qcut(m, 5) OVER () FROM " MANY, true},
    {"window of text", "SELECT qcut(t || m, 5) OVER (), max(t || m) OVER () FROM " MANY, true},
    {"spilled window", "SELECT n, rank() OVER (PARTITION BY m % 999 ORDER BY t) FROM " MANY, true,
     TIGHT},
    {"union", "SELECT n FROM " MANY " UNION SELECT m FROM " MANY, true},
    {"subquery", "SELECT n FROM t.lines WHERE n < (SELECT max(m) - min(n) FROM " MANY ")", true},
    {"staged", "SELECT n, m, t FROM " MANY, true, 0, true},
    {"staged texts", "SELECT t || m AS k, n FROM " MANY, true, 0, true},
};

/* ---- what is read ---------------------------------------------------------------------------- */

static void put_lines(kit *k)
{
    sm_error e = {0};
    sm_buf text = {0};
    sm_store *s = open_scratch(&k->at);
    for (int i = 0; i < N_LINES; i++) {
        sm_buf_printf(&text, "{\"n\":%d,\"t\":\"x%d\"}\n", i, i % 7);
    }
    const sm_str lines = sm_buf_str(&text);
    assert_ok(sm_store_put(s, SM_STR("lines.json"), lines.data, lines.len, SM_PUT_REPLACE, &e), &e);
    sm_buf_release(&text);
    sm_store_release(s);
}

/* A view of the file, read n_times. */
static void set_view(kit *k, sm_names *names, const char *name, int n_times)
{
    const sm_str file = kit_uri(k, "lines.json");
    sm_buf text = {0};
    sm_buf_text(&text, SM_STR("SELECT * FROM read_json("));
    for (int i = 0; i < n_times; i++) {
        sm_buf_printf(&text, "%s'%.*s'", i > 0 ? "," : "[", SM_STR_ARG(file));
    }
    sm_buf_text(&text, SM_STR("], columns => {n: 'BIGINT', t: 'VARCHAR'})"));
    const sm_sql view = {.name = sm_str_of(name),
                         .text = sm_arena_str(k->arena, sm_buf_str(&text))};
    sm_names_set_view(names, sm_str_of(name), view);
    sm_buf_release(&text);
}

static sm_status drop_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    (void)ctx, (void)rows, (void)waker, (void)e;
    return SM_OK;
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct interrupter {
    sm_cancel *cancel;
    int64_t after_ms;
} interrupter;

static void interrupt(void *ctx)
{
    const interrupter *i = ctx;
    sm_sleep_ms(i->after_ms);
    sm_cancel_set(i->cancel);
}

static sm_status run_case(kit *k, int at, sm_names *names, sm_watch *watch, sm_error *e)
{
    sm_plan *plan = NULL;
    const sm_sql sql = {.name = SM_STR("SQL"), .text = sm_str_of(cases[at].sql)};
    const sm_resolver resolver = sm_names_resolver(names);
    SM_TRY(sm_query_plan(&sql, &resolver, k->arena, &plan, e));
    sm_watch_start(watch);
    if (cases[at].is_staged) {
        sm_candidate *c = NULL;
        const sm_write w = {.uri = kit_uri(k, "bronze/out")};
        const sm_status st = sm_stage_plan(plan, &w, &k->env, NULL, NULL, &c, e);
        if (st == SM_OK) {
            sm_candidate_release(c);
        }
        return st;
    }
    const sm_sink sink = {.push = drop_rows};
    return sm_exec_run(plan, &k->env, &sink, NULL, NULL, e);
}

/* Runs a case, interrupted after so long (−1: not at all). *took_ms: how long it took. */
static void watch_case(int at, int64_t after_ms, int64_t *took_ms)
{
    kit k = {.at = scratch_new()};
    sm_error e = {0};
    sm_watch watch = {0};
    sm_cancel cancel = {.watch = &watch};
    interrupter i = {.cancel = &cancel, .after_ms = after_ms};
    sm_thread *thread = NULL;
    kit_open_limited(&k, cases[at].limit_bytes);
    sm_budget_set_cancel(k.budget, &cancel);
    k.env.cancel = &cancel;
    put_lines(&k);
    sm_names *names = sm_names_new(test_stores, kit_uri(&k, ""), k.budget);
    set_view(&k, names, "t.lines", 1);
    set_view(&k, names, "t.every", 300);
    if (after_ms >= 0) {
        assert_ok(sm_thread_start(interrupt, &i, "interrupter", &thread, &e), &e);
    }
    const int64_t start_ns = sm_monotonic_ns();
    const sm_status st = run_case(&k, at, names, &watch, &e);
    *took_ms = (sm_monotonic_ns() - start_ns) / 1000000;
    if (thread) {
        sm_thread_join(thread);
    }
    const double longest_ms = (double)atomic_load(&watch.longest_ns) / 1e6;
    const bool is_right = st == SM_INTERRUPTED ? after_ms >= 0 : st == SM_OK && cases[at].ends;
    if (!is_right || longest_ms > LONGEST_MS) {
        fail_msg("%s, interrupted after %lld ms: %s (%s), %.1f ms without a look", cases[at].name,
                 (long long)after_ms, sm_status_name(st), e.what, longest_ms);
    }
    sm_names_free(names);
    kit_release(&k);
}

static void ends_when_interrupted(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    uint64_t seed = 0;
    (void)state;
    sm_random_bytes(&seed, sizeof(seed));
    seed = given ? strtoull(given, NULL, 10) : seed;
    print_message("SMELT_SEED=%llu\n", (unsigned long long)seed);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        int64_t took_ms = MOMENT_MS;
        if (cases[i].ends) {
            watch_case(i, -1, &took_ms);
        }
        const uint64_t moment = sm_mix64(seed + (uint64_t)i) % (uint64_t)(took_ms + 1);
        watch_case(i, (int64_t)moment, &took_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_when_interrupted)};
    return cmocka_run_group_tests_name("cancel_fault", tests, NULL, NULL);
}
