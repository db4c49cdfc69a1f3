/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/delta_rows_conformance_test.c: the rows of the Delta project's golden
 * tables, scanned by the engine: their number, and the SHA-256 of the table and of each column.
 * Variants are read twice. As the pairs of bytes that they are stored as, they must have the hashes
 * of the readers that give those; as the texts that SQL gives, they must have those of Spark, which
 * gives columns with variants as JSON. */
#include "canonical.h"
#include "conformance.h"
#include "test.h"

#include "delta/delta.h"
#include "exec/exec.h"
#include "stores.h"

typedef struct scan {
    sm_arena *arena;
    sm_pool *pool;
    sm_budget *budget;
    sm_snapshot *snapshot;
    canonical_table table;
    bool as_pairs; /* variants as they are stored */
    const sm_type *schema;
    int32_t *columns;
    int64_t n_rows;
} scan;

/* ---- variants -------------------------------------------------------------------------------- */

static bool has_variant(const sm_type *t)
{
    bool has = t->is_variant;
    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_variant(t->fields[i].type);
    }
    return has;
}

/* The type with the pair of bytes in the place of each variant. */
static const sm_type *with_pairs(const sm_type *t, sm_arena *a)
{
    static const sm_field pair[] = {
        {.name = {"metadata", 8}, .type = &sm_type_binary},
        {.name = {"value", 5}, .type = &sm_type_binary},
    };
    if (t->is_variant) {
        return sm_type_struct(a, pair, SM_COUNT(pair));
    }
    sm_type *out = SM_NEW(a, sm_type);
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields + 1);
    *out = *t;
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = t->fields[i];
        fields[i].type = with_pairs(t->fields[i].type, a);
    }
    out->fields = fields;
    return out;
}

/* A cell as Spark's to_json() gives it: fields of a struct that are NULL are left out. */
static void put_spark_json(const sm_column *c, int64_t i, sm_buf *out)
{
    const sm_type *t = c->type;
    const int32_t *offsets = c->values;
    const char *comma = "";

    if (sm_column_is_null(c, i)) {
        sm_buf_printf(out, "null");
    } else if (t->is_variant) {
        sm_buf_text(out, sm_column_str(c, i));
    } else if (t->id == SM_TYPE_STRUCT) {
        sm_buf_printf(out, "{");
        for (int32_t k = 0; k < t->n_fields; k++) {
            if (!sm_column_is_null(&c->children[k], i)) {
                sm_buf_printf(out, "%s\"%.*s\":", comma, SM_STR_ARG(t->fields[k].name));
                put_spark_json(&c->children[k], i, out);
                comma = ",";
            }
        }
        sm_buf_printf(out, "}");
    } else {
        assert_true(t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP);
        sm_buf_printf(out, t->id == SM_TYPE_MAP ? "{" : "[");
        for (int32_t k = offsets[i]; k < offsets[i + 1]; k++, comma = ",") {
            sm_buf_printf(out, "%s", comma);
            if (t->id == SM_TYPE_MAP) {
                sm_buf_printf(out, "\"%.*s\":", SM_STR_ARG(sm_column_str(&c->children[0], k)));
            }
            put_spark_json(&c->children[t->n_fields - 1], k, out);
        }
        sm_buf_printf(out, t->id == SM_TYPE_MAP ? "}" : "]");
    }
}

/* Adds the lines of the columns that have variants, in the place of add_batch(). */
static void add_texts(canonical_table *t, const sm_batch *b)
{
    sm_buf json = {0};

    if (!t->lines) {
        t->n_columns = b->n_columns;
        t->lines = sm_alloc_zero((size_t)(b->n_columns + 1) * sizeof(canonical_lines));
    }
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int32_t c = 0; c < b->n_columns; c++) {
            if (has_variant(b->columns[c].type)) {
                sm_buf_reset(&json);
                put_spark_json(&b->columns[c], i, &json);
                put_quoted(sm_buf_str(&json), &t->lines[c + 1].text);
                end_line(&t->lines[c + 1]);
            }
        }
    }
    sm_buf_release(&json);
}

/* Compares the texts with those of Spark. */
static int compare_texts(sm_str path, const sm_json *entry, const scan *s)
{
    const sm_json *spark = sm_json_get(sm_json_get(entry, "disagreeing"), "spark");
    int n_bad = 0, n_texts = 0;

    for (int32_t i = 0; i < s->schema->n_fields; i++) {
        const sm_field *f = &s->schema->fields[i];
        char got[65];
        if (!has_variant(f->type)) {
            continue;
        }
        const sm_json *column =
            sm_json_get(sm_json_get(spark, "columns"), sm_arena_str(s->arena, f->name).data);
        hash_lines(&s->table.lines[i + 1], got);
        const bool is_same = sm_str_is(sm_json_text(sm_json_get(column, "sha256")), got);
        if (!is_same) {
            printf("%.*s: the texts of %.*s are not Spark's\n", SM_STR_ARG(path),
                   SM_STR_ARG(f->name));
        }
        n_bad += !is_same;
        n_texts++;
    }
    assert_true(n_texts > 0);
    return n_bad;
}

/* ---- scans ----------------------------------------------------------------------------------- */

static sm_status take_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    scan *s = ctx;
    sm_batch *in_order = NULL;

    SM_TRY(sm_batch_project(rows, s->schema, s->columns, &in_order, e));
    s->n_rows += rows->n_rows;
    sm_status st = SM_OK;
    if (has_variant(s->schema)) {
        add_texts(&s->table, in_order);
    } else {
        st = add_batch(&s->table, in_order, e);
    }
    sm_batch_release(in_order);
    return st;
}

/* A plan of one scan of all columns. */
static sm_plan *scan_plan(scan *s, const sm_dataset *d)
{
    sm_plan *plan = SM_NEW(s->arena, sm_plan);
    sm_plan_node *node = SM_NEW(s->arena, sm_plan_node);
    const int32_t n = d->schema->n_fields;
    int32_t *all = SM_NEW_ARRAY(s->arena, int32_t, n);

    for (int32_t i = 0; i < n; i++) {
        all[i] = i;
    }
    node->kind = SM_PLAN_SCAN;
    node->schema = d->schema;
    node->as.scan.dataset = d;
    node->as.scan.columns = all;
    node->as.scan.want.columns = all;
    node->as.scan.want.n_columns = n - d->n_constants;
    node->as.scan.label = SM_STR("table");
    plan->root = node;
    plan->n_nodes = 1;
    return plan;
}

static sm_status scan_table(scan *s, sm_store *store, sm_error *e)
{
    sm_dataset d;

    SM_TRY(sm_snapshot_open(store, SM_VERSION_LATEST, s->budget, &s->snapshot, e));
    SM_TRY(sm_snapshot_dataset(s->snapshot, s->arena, &d, &s->columns, e));
    s->schema = sm_snapshot_metadata(s->snapshot)->schema;
    if (s->as_pairs) {
        s->schema = with_pairs(s->schema, s->arena);
        d.schema = with_pairs(d.schema, s->arena);
    }
    const sm_exec_env env = {.pool = s->pool, .budget = s->budget, .stores = test_stores};
    const sm_sink sink = {.ctx = s, .push = take_rows};
    return sm_exec_run(scan_plan(s, &d), &env, &sink, NULL, NULL, e);
}

/* *n_texts counts the tables whose variants were compared as texts. */
static int check_table(const char *folder, const sm_json *entry, bool as_pairs, int *n_texts)
{
    char uri[4096];
    sm_error e = {0};
    sm_store *store = NULL;
    scan s = {.arena = sm_arena_new(NULL), .as_pairs = as_pairs};
    int n_bad = 0;

    const sm_str path = sm_json_text(sm_json_get(entry, "path"));
    snprintf(uri, sizeof(uri), "%s/%.*s", folder, SM_STR_ARG(path));
    s.budget = sm_budget_new(NULL, "conformance", (size_t)1 << 30);
    assert_ok(sm_pool_new(2, &s.pool, &e), &e);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &store, &e), &e);
    const sm_status st = scan_table(&s, store, &e);
    const bool has_texts = st == SM_OK && has_variant(s.schema);
    if (st != SM_OK) {
        printf("%.*s: %s: %s\n", SM_STR_ARG(path), sm_status_name(st), e.what);
        n_bad++;
    } else if (has_texts) {
        n_bad += compare_texts(path, entry, &s);
        ++*n_texts;
    } else {
        n_bad += compare(path, entry, &s.table, s.n_rows);
    }
    release_table(&s.table);
    sm_snapshot_release(s.snapshot);
    sm_store_release(store);
    sm_pool_free(s.pool);
    sm_arena_free(s.arena);
    assert_int_equal(sm_budget_used(s.budget), 0);
    sm_budget_free(s.budget);
    return has_texts ? n_bad + check_table(folder, entry, true, n_texts) : n_bad;
}

static void test_golden_rows(void **state)
{
    const char *folder = conformance_folder("delta-golden");
    sm_arena *a = sm_arena_new(NULL);
    sm_store *store = NULL;
    sm_buf text = {0};
    const sm_json *doc = NULL;
    sm_error e = {0};
    int n_tables = 0, n_bad = 0, n_texts = 0;

    assert_ok(sm_store_open(test_stores, sm_str_of(folder), &store, &e), &e);
    assert_ok(sm_store_get(store, SM_STR("expected.json"), &text, &e), &e);
    assert_ok(sm_json_parse(sm_buf_str(&text), a, &doc, &e), &e);
    const sm_json *entries = sm_json_get(doc, "entries");
    assert_non_null(entries);
    for (const sm_json *entry = entries->child; entry; entry = entry->next) {
        if (sm_str_is(sm_json_text(sm_json_get(entry, "expect")), "rows")) {
            n_tables++;
            n_bad += check_table(folder, entry, false, &n_texts) > 0;
        }
    }
    printf("%d tables, %d not as expected\n", n_tables, n_bad);
    assert_int_equal(n_tables, 90);
    assert_int_equal(n_bad, 0);
    assert_int_equal(n_texts, 1);
    sm_buf_release(&text);
    sm_store_release(store);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
