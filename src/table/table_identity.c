/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_identity.c: identity columns: values of rows that do not have the column. Called by
 * table_rules.c, which computes columns of the rows that are written, and table_stage.c, which
 * tells the table how far the values went.
 *
 * Values    start, start + step, … They go on behind the high-water mark, which the column's
 *           metadata has. Rows get them in the order in which they are written.
 * Mark      is the last value that was given out. It changes with the commit's metadata, so of two
 *           writers that give out values at once the later one is in conflict. Values that a failed
 *           write has given out are given out again.
 * Given     A column that is GENERATED ALWAYS takes no values; one that is BY DEFAULT takes them,
 *           and its mark stays, as in Spark: only values that were generated count.
 * Moved     Rows that are written into other files keep their values. UPDATE and MERGE set none.
 * Source    PROTOCOL.md, "Identity Columns" */
#include <inttypes.h>

#include "base/text.h"
#include "table/table_int.h"

#define PREFIX   "delta.identity."
#define START    PREFIX "start"
#define STEP     PREFIX "step"
#define MARK     PREFIX "highWaterMark"
#define EXPLICIT PREFIX "allowExplicitInsert"

/* The columns whose values are given out. */
struct smi_identity {
    struct counting {
        int32_t column;
        sm_str name;
        int64_t next, step, last;
        bool is_used; /* `last` was given out here */
        bool is_over; /* there is no value behind it */
    } * items;
    int32_t n;
};

/* ---- metadata -------------------------------------------------------------------------------- */

static sm_str meta_of(const sm_field *f, const char *key)
{
    for (int32_t i = 0; i < f->n_meta; i++) {
        if (sm_str_is(f->meta[i].key, key)) {
            return f->meta[i].json;
        }
    }
    return (sm_str){0};
}

bool smi_field_is_identity(const sm_field *f)
{
    return meta_of(f, START).len > 0 || meta_of(f, STEP).len > 0;
}

static sm_status fail_metadata(const sm_field *f, const char *what, sm_error *e)
{
    return sm_fail(e, SM_UNSUPPORTED, "the identity column \"%.*s\" %s", SM_STR_ARG(f->name), what);
}

static sm_status read_numbers(const sm_field *f, int64_t *start, int64_t *step, int64_t *mark,
                              bool *has_mark, sm_error *e)
{
    const sm_str said = meta_of(f, MARK);

    if (f->type->id != SM_TYPE_I64) {
        return fail_metadata(f, "is not BIGINT", e);
    }
    if (!sm_parse_i64(meta_of(f, START), start) || !sm_parse_i64(meta_of(f, STEP), step) ||
        *step == 0) {
        return fail_metadata(f, "has no start and step", e);
    }
    *has_mark = said.len > 0;
    return !*has_mark || sm_parse_i64(said, mark)
               ? SM_OK
               : fail_metadata(f, "has a highWaterMark that is no number", e);
}

/* The first value behind the mark. A mark that is none of the column's values, as a writer leaves
 * it that took one from a user, is passed. */
static void go_behind(struct counting *c, int64_t start, int64_t mark)
{
    const bool is_up = c->step > 0;
    __int128 next = start;

    if (is_up ? mark >= start : mark <= start) {
        const __int128 n = ((__int128)mark - start) / c->step + 1;
        next = start + n * c->step;
    }
    c->is_over = next > INT64_MAX || next < INT64_MIN;
    c->next = c->is_over ? 0 : (int64_t)next;
}

sm_status smi_identity_settle(const sm_type *schema, const int32_t *order, sm_arena *a,
                              smi_identity **out, sm_error *e)
{
    smi_identity *made = SM_NEW(a, smi_identity);

    *out = NULL;
    made->items = SM_NEW_ARRAY(a, struct counting, schema->n_fields + 1);
    for (int32_t i = 0; order && i < schema->n_fields; i++) {
        const sm_field *f = &schema->fields[i];
        int64_t start = 0, mark = 0;
        bool has_mark = false;
        if (order[i] >= 0 || !smi_field_is_identity(f)) {
            continue;
        }
        struct counting *c = &made->items[made->n++];
        c->column = i;
        c->name = f->name;
        SM_TRY(read_numbers(f, &start, &c->step, &mark, &has_mark, e));
        c->next = start;
        if (has_mark) {
            go_behind(c, start, mark);
        }
        *out = made;
    }
    SM_ASSERT(!*out || (*out)->n > 0);
    return SM_OK;
}

/* ---- given values ---------------------------------------------------------------------------- */

sm_status smi_identity_check_given(const sm_type *schema, const int32_t *order, sm_error *e)
{
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_field *f = &schema->fields[i];
        const bool is_given = !order || order[i] >= 0;
        if (is_given && smi_field_is_identity(f) && !sm_str_is(meta_of(f, EXPLICIT), "true")) {
            const sm_status st =
                sm_fail(e, SM_DENIED, "the column \"%.*s\" is GENERATED ALWAYS AS IDENTITY",
                        SM_STR_ARG(f->name));
            sm_error_todo(e, "Leave it out: the table gives it its values.");
            return st;
        }
    }
    return SM_OK;
}

sm_status smi_identity_check_change(const sm_type *schema, const sm_expr *const *values,
                                    sm_error *e)
{
    for (int32_t i = 0; values && i < schema->n_fields; i++) {
        const bool stays = values[i]->kind == SM_EXPR_COLUMN && values[i]->index == i;
        if (!stays && smi_field_is_identity(&schema->fields[i])) {
            return sm_fail(e, SM_DENIED,
                           "the column \"%.*s\" is an identity column: the values that its rows "
                           "have stay",
                           SM_STR_ARG(schema->fields[i].name));
        }
    }
    return SM_OK;
}

/* ---- giving out ------------------------------------------------------------------------------ */

static sm_status give_out(struct counting *c, int64_t *values, int64_t n, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        if (c->is_over) {
            return sm_fail(e, SM_LIMIT, "the identity column \"%.*s\" has no value behind %" PRId64,
                           SM_STR_ARG(c->name), c->last);
        }
        values[i] = c->last = c->next;
        c->is_over = __builtin_add_overflow(c->next, c->step, &c->next);
    }
    c->is_used = c->is_used || n > 0;
    return SM_OK;
}

sm_status smi_identity_fill(smi_identity *id, sm_batch *b, sm_error *e)
{
    for (int32_t i = 0; i < id->n; i++) {
        struct counting *c = &id->items[i];
        void *values = NULL;
        SM_ASSERT(c->column < b->n_columns && c->step != 0);
        SM_TRY(sm_batch_alloc(b, (size_t)b->n_rows * sizeof(int64_t), &values, e));
        SM_TRY(give_out(c, values, b->n_rows, e));
        b->columns[c->column] = (sm_column){
            .type = &sm_type_i64, .layout = SM_FLAT, .n_rows = b->n_rows, .values = values};
    }
    return SM_OK;
}

/* The field with another mark. */
static void put_mark(sm_field *f, int64_t mark, sm_arena *a)
{
    sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, f->n_meta + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < f->n_meta; i++) {
        if (!sm_str_is(f->meta[i].key, MARK)) {
            meta[n++] = f->meta[i];
        }
    }
    meta[n++] = (sm_field_meta){SM_STR(MARK), sm_arena_strf(a, "%" PRId64, mark)};
    f->meta = meta;
    f->n_meta = n;
}

const sm_type *smi_identity_marked(const smi_identity *id, const sm_type *schema, sm_arena *a)
{
    sm_field *fields = NULL;

    for (int32_t i = 0; id && i < id->n; i++) {
        const struct counting *c = &id->items[i];
        if (!c->is_used) {
            continue;
        }
        if (!fields) {
            fields = SM_NEW_ARRAY(a, sm_field, schema->n_fields);
            memcpy(fields, schema->fields, (size_t)schema->n_fields * sizeof(*fields));
        }
        SM_ASSERT(sm_str_eq(fields[c->column].name, c->name));
        put_mark(&fields[c->column], c->last, a);
    }
    return fields ? sm_type_struct(a, fields, schema->n_fields) : schema;
}
