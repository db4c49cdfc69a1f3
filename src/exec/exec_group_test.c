/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_group_test.c: aggregates against a plain loop: any keys, FILTER, DISTINCT, few and many
 * groups; the order of groups is the same with any number of threads and any size of morsels. */
#include "exec_testkit.h"

/* ---- plans ----------------------------------------------------------------------------------- */

static sm_plan_node *aggregate(kit *k, sm_plan_node *in, const char *schema,
                               const sm_expr *const *keys, int32_t n_keys, const sm_agg_item *items,
                               int32_t n_items)
{
    sm_plan_node *n = k_node(k, SM_PLAN_AGGREGATE, k_type(k, schema), in, NULL);
    n->as.aggregate.keys = SM_NEW_ARRAY(k->arena, const sm_expr *, n_keys + 1);
    for (int32_t i = 0; i < n_keys; i++) {
        n->as.aggregate.keys[i] = keys[i];
    }
    n->as.aggregate.n_keys = n_keys;
    n->as.aggregate.items = SM_NEW_ARRAY(k->arena, sm_agg_item, n_items + 1);
    memcpy(n->as.aggregate.items, items, (size_t)n_items * sizeof(*items));
    n->as.aggregate.n_items = n_items;
    return n;
}

/* k, count(), sum(v), first(n), count(v) FILTER (n % 3 = 0 … as n % 3 < 1), sum(DISTINCT v),
 * sum(DISTINCT v) FILTER (n % 3 < 1) */
#define OUT_SCHEMA "STRUCT(k VARCHAR, c BIGINT, s BIGINT, f BIGINT, cf BIGINT, d BIGINT, df BIGINT)"

typedef struct group_case {
    sm_str file;
    bool is_distinct; /* with the last two */
} group_case;

static int32_t items_of(kit *k, sm_agg_item *items, bool is_distinct)
{
    const sm_type *t = &sm_type_i64;
    const sm_expr *v = x_col(k, 1, t), *n = x_col(k, 2, t);
    const sm_expr *third =
        x_call(k, &fn_less, &sm_type_bool, x_call(k, &fn_mod, t, n, x_i64(k, 3)), x_i64(k, 1));
    const sm_agg_item all[] = {
        {.call = x_call(k, &fn_count, t, NULL, NULL)},
        {.call = x_call(k, &fn_sum, t, v, NULL)},
        {.call = x_call(k, &fn_first, t, n, NULL)},
        {.call = x_call(k, &fn_count, t, v, NULL), .filter = third},
        {.call = x_call(k, &fn_sum, t, v, NULL), .is_distinct = true},
        {.call = x_call(k, &fn_sum, t, v, NULL), .filter = third, .is_distinct = true},
    };
    memcpy(items, all, sizeof(all));
    return is_distinct ? 6 : 4;
}

static void make_by_key(kit *k, const void *data)
{
    const group_case *c = data;
    sm_agg_item items[6];
    sm_plan_node *scan = k_scan(k, k_dataset(k, K_SCHEMA, &c->file, 1, false));
    const sm_expr *key = x_col(k, 0, &sm_type_string);
    const int32_t n = items_of(k, items, c->is_distinct);
    k_plan(k,
           aggregate(k, scan,
                     c->is_distinct ? OUT_SCHEMA
                                    : "STRUCT(k VARCHAR, c BIGINT, s BIGINT, f BIGINT, cf BIGINT)",
                     &key, 1, items, n));
}

/* ---- the oracle ------------------------------------------------------------------------------ */

typedef struct line {
    char k[64];  /* "NULL" where missing */
    long long v; /* −1 where missing */
    long long n;
} line;

static int64_t parse_lines(const char *text, line **out)
{
    int64_t n = 0, cap = 1024;
    line *lines = malloc((size_t)cap * sizeof(*lines));
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        if (n == cap) {
            cap *= 2;
            lines = realloc(lines, (size_t)cap * sizeof(*lines));
        }
        const char *end = strchr(at, '\n');
        const char *k = strstr(at, "\"k\":\""), *v = strstr(at, "\"v\":");
        line l = {.v = v && v < end ? strtoll(v + 4, NULL, 10) : -1,
                  .n = strtoll(at + 5, NULL, 10)};
        if (k && k < end) {
            const char *stop = strchr(k + 5, '"');
            snprintf(l.k, sizeof(l.k), "%.*s", (int)(stop - k - 5), k + 5);
        } else {
            snprintf(l.k, sizeof(l.k), "NULL");
        }
        lines[n++] = l;
    }
    *out = lines;
    return n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines sorted, so that groups can be compared whatever their order. */
static char *sort_text(const char *text)
{
    char *copy = strdup(text);
    char *parts[20000];
    int n = 0;
    for (char *at = strtok(copy, "\n"); at; at = strtok(NULL, "\n")) {
        parts[n++] = at;
    }
    qsort(parts, (size_t)n, sizeof(*parts), by_text);
    char *out = malloc(strlen(text) + 2);
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        len += (size_t)sprintf(out + len, "%s\n", parts[i]);
    }
    out[len] = '\0';
    free(copy);
    return out;
}

static char *expect(const line *lines, int64_t n, bool is_distinct)
{
    sm_buf out = {0};
    bool *is_done = calloc((size_t)n + 1, sizeof(*is_done));
    for (int64_t i = 0; i < n; i++) {
        if (is_done[i]) {
            continue;
        }
        long long c = 0, s = 0, cf = 0, d = 0, df = 0;
        bool seen[1000] = {false}, seen_filtered[1000] = {false};
        for (int64_t r = i; r < n; r++) {
            const line *l = &lines[r];
            if (is_done[r] || strcmp(l->k, lines[i].k) != 0) {
                continue;
            }
            is_done[r] = true;
            c++;
            if (l->v < 0) {
                continue;
            }
            s += l->v;
            d += seen[l->v] ? 0 : l->v;
            seen[l->v] = true;
            if (l->n % 3 == 0) {
                cf++;
                df += seen_filtered[l->v] ? 0 : l->v;
                seen_filtered[l->v] = true;
            }
        }
        sm_buf_printf(&out, "%s %lld %lld %lld %lld", lines[i].k, c, s, lines[i].n, cf);
        if (is_distinct) {
            sm_buf_printf(&out, " %lld %lld", d, df);
        }
        sm_buf_text(&out, SM_STR("\n"));
    }
    sm_buf_text(&out, (sm_str){"", 1});
    char *sorted = sort_text((const char *)out.data);
    sm_buf_release(&out);
    free(is_done);
    return sorted;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void check_against_loop(int64_t n_lines, int64_t n_keys, bool is_distinct)
{
    sm_buf text = {0};
    line *lines = NULL;
    k_lines(&text, n_lines, n_keys, (uint64_t)n_keys);
    const group_case c = {.file = sm_buf_str(&text), .is_distinct = is_distinct};
    sm_buf_text(&text, (sm_str){"", 1});
    const int64_t n = parse_lines((const char *)text.data, &lines);
    assert_int_equal(n, n_lines);
    char *got = k_everywhere(make_by_key, &c);
    char *sorted = sort_text(got);
    char *want = expect(lines, n, is_distinct);
    assert_string_equal(sorted, want);
    free(want);
    free(sorted);
    free(got);
    free(lines);
    sm_buf_release(&text);
}

static void groups_few(void **state)
{
    check_against_loop(6000, 7, false);
}

static void groups_many(void **state)
{
    check_against_loop(6000, 3000, false);
}

static void groups_distinct(void **state)
{
    check_against_loop(4000, 7, true);
    check_against_loop(4000, 1500, true);
}

/* Groups of one partition come in the order of their first rows. */
static void orders_groups_by_first_row(void **state)
{
    sm_buf text = {0};
    k_lines(&text, 20000, 6000, 5);
    const group_case c = {.file = sm_buf_str(&text)};
    char *got = k_everywhere(make_by_key, &c);
    int64_t falls = 0, n = 0;
    long long last = -1;
    for (char *at = strtok(got, "\n"); at; at = strtok(NULL, "\n"), n++) {
        char *end = strrchr(at, ' ');
        while (end[-1] != ' ') {
            end--;
        }
        const long long first = strtoll(end, NULL, 10);
        falls += first < last;
        last = first;
    }
    assert_true(n > 5000);
    assert_true(falls < 256); /* partitions */
    free(got);
    sm_buf_release(&text);
}

static void make_no_keys(kit *k, const void *data)
{
    const group_case *c = data;
    sm_agg_item items[6];
    sm_plan_node *scan = k_scan(k, k_dataset(k, K_SCHEMA, &c->file, 1, false));
    const int32_t n = items_of(k, items, c->is_distinct);
    k_plan(k, aggregate(k, scan,
                        c->is_distinct
                            ? "STRUCT(c BIGINT, s BIGINT, f BIGINT, cf BIGINT, d BIGINT, df BIGINT)"
                            : "STRUCT(c BIGINT, s BIGINT, f BIGINT, cf BIGINT)",
                        NULL, 0, items, n));
}

static void gives_one_row_without_keys(void **state)
{
    static const char text[] =
        "{\"n\":1,\"v\":5}\n{\"n\":3,\"v\":5}\n{\"n\":6,\"v\":7}\n{\"n\":9}\n";
    const group_case none = {.file = {"", 0}}, some = {.file = {text, sizeof(text) - 1}};
    const group_case distinct = {.file = {text, sizeof(text) - 1}, .is_distinct = true};
    const group_case none_distinct = {.file = {"", 0}, .is_distinct = true};
    assert_everywhere(make_no_keys, &none, "0 0 NULL 0\n");
    assert_everywhere(make_no_keys, &none_distinct, "0 0 NULL 0 0 0\n");
    assert_everywhere(make_no_keys, &some, "4 17 1 2\n");
    assert_everywhere(make_no_keys, &distinct, "4 17 1 2 12 12\n");
    assert_everywhere(make_by_key, &none, "");
}

/* Keys of every kind: (k, v % 5, n % 2 < 1, a struct of lists), NULL as a group of its own. */
static void make_mixed_keys(kit *k, const void *data)
{
    const sm_str *file = data;
    const sm_type *t = &sm_type_i64;
    sm_dataset *d = k_dataset(
        k, "STRUCT(s STRUCT(a BIGINT[], b VARCHAR), f DOUBLE, d DATE, i INTEGER, b BOOLEAN)", file,
        1, false);
    sm_plan_node *scan = k_scan(k, d);
    const sm_expr *keys[5];
    for (int32_t i = 0; i < 5; i++) {
        keys[i] = x_col(k, i, d->schema->fields[i].type);
    }
    const sm_agg_item items[] = {{.call = x_call(k, &fn_count, t, NULL, NULL)}};
    k_plan(k, aggregate(k, scan,
                        "STRUCT(s STRUCT(a BIGINT[], b VARCHAR), f DOUBLE, d DATE, i INTEGER, b "
                        "BOOLEAN, c BIGINT)",
                        keys, 5, items, 1));
}

static void groups_by_any_type(void **state)
{
    static const char text[] =
        "{\"s\":{\"a\":[1,2],\"b\":\"x\"},\"f\":0.5,\"d\":\"2022-04-01\",\"i\":-7,\"b\":true}\n"
        "{\"s\":{\"a\":[1,2],\"b\":\"x\"},\"f\":0.5,\"d\":\"2022-04-01\",\"i\":-7,\"b\":true}\n"
        "{\"s\":{\"a\":[1],\"b\":\"x\"},\"f\":0.5,\"d\":\"2022-04-01\",\"i\":-7,\"b\":true}\n"
        "{\"s\":{\"a\":[1,2],\"b\":\"x\"},\"f\":0.5,\"d\":\"2022-04-01\",\"i\":-7,\"b\":false}\n"
        "{\"f\":0.0}\n"
        "{\"f\":-0.0}\n"
        "{}\n"
        "{\"s\":{\"a\":[null],\"b\":\"a text that is longer than a view\"}}\n"
        "{\"s\":{\"a\":[null],\"b\":\"a text that is longer than a view\"},\"f\":null}\n"
        "{}\n";
    const sm_str file = {text, sizeof(text) - 1};
    char *got = k_everywhere(make_mixed_keys, &file);
    char *sorted = sort_text(got);
    assert_string_equal(
        sorted, "NULL 0.0 NULL NULL NULL 2\n"
                "NULL NULL NULL NULL NULL 2\n"
                "{'a': [1, 2], 'b': x} 0.5 2022-04-01 -7 false 1\n"
                "{'a': [1, 2], 'b': x} 0.5 2022-04-01 -7 true 2\n"
                "{'a': [1], 'b': x} 0.5 2022-04-01 -7 true 1\n"
                "{'a': [NULL], 'b': a text that is longer than a view} NULL NULL NULL NULL 2\n");
    free(sorted);
    free(got);
}

static void names_the_group_that_overflows(void **state)
{
    static const char text[] = "{\"k\":\"fine\",\"v\":5}\n{\"k\":\"sorry\",\"v\":5}\n"
                               "{\"k\":\"sorry\",\"v\":-9}\n{\"k\":\"fine\",\"v\":1}\n";
    const group_case c = {.file = {text, sizeof(text) - 1}};
    assert_fails_everywhere(make_by_key, &c, SM_RANGE, "group sorry");
}

static void tells_scan_failures(void **state)
{
    static const char text[] = "{\"k\":\"a\",\"v\":5}\n{\"k\":\"a\",\"v\":5}\n{\"v\":true}\n{\n";
    const group_case c = {.file = {text, sizeof(text) - 1}};
    assert_fails_everywhere(make_by_key, &c, SM_TYPE, "f0.json:3:");
}

/* Within any limit: the answer of an unlimited run, or a refusal that says whose it was. */
static void spills_or_refuses(void **state)
{
    sm_buf text = {0}, free = {0};
    k_lines(&text, 30000, 30000, 7);
    const group_case c = {.file = sm_buf_str(&text)};
    int n_refused = 0, n_fine = 0;
    int64_t spilled = 0;
    for (size_t limit = 256 << 20; limit >= 1 << 20; limit /= 2) {
        sm_error e = {0};
        sm_buf out = {0};
        kit k = kit_new(2, 1 << 16, limit);
        make_by_key(&k, &c);
        const sm_status st = k_run(&k, &out, &e);
        assert_true(st == SM_OK || st == SM_BUDGET);
        for (int32_t i = 0; i < k.report.n_nodes; i++) {
            spilled += k.report.nodes[i].spilled_bytes;
        }
        if (st == SM_BUDGET) { /* told: whose it was, and what would do */
            char told[4096];
            sm_error_format(&e, told, sizeof(told));
            assert_non_null(strstr(told, "in GROUP BY, which had "));
            assert_non_null(strstr(told, "Raise the memory limit"));
        } else if (free.len > 0) {
            assert_true(sm_str_eq(sm_buf_str(&out), sm_buf_str(&free)));
        }
        n_refused += st == SM_BUDGET;
        n_fine += st == SM_OK;
        kit_free(&k);
        if (limit == 256 << 20) {
            free = out;
        } else {
            sm_buf_release(&out);
        }
    }
    assert_true(n_refused > 0 && n_fine > 0 && spilled > 0);
    sm_buf_release(&free);
    sm_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_few),
        cmocka_unit_test(groups_many),
        cmocka_unit_test(groups_distinct),
        cmocka_unit_test(orders_groups_by_first_row),
        cmocka_unit_test(gives_one_row_without_keys),
        cmocka_unit_test(groups_by_any_type),
        cmocka_unit_test(names_the_group_that_overflows),
        cmocka_unit_test(tells_scan_failures),
        cmocka_unit_test(spills_or_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
