/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_alter_column.c: changes of a table's columns: added, renamed, dropped, moved,
 * widened, nullable, with another comment or default. Called by table_alter.c.
 *
 * Method   A column is found by its path, through structs, lists and maps; the types on the way to
 *          it are made anew, as types never change. Files are never touched: a column that is added
 *          is NULL in old files; one that is renamed or dropped keeps its name in files, for which
 *          the table must map its columns; what is widened is converted when it is read.
 * Uses     A column that is renamed, dropped or widened may be one that the table is partitioned or
 *          clustered by, or stand in a constraint, an invariant, a generated column or the list of
 *          columns with statistics. Then the change is refused with what uses it: an expression is
 *          text, and is not written anew. An expression that is not understood uses each column
 *          whose name it has as a word. */
#include "table/table_cluster_int.h"

#include "base/json_doc.h"
#include "base/json_write.h"

#define CONSTRAINT "delta.constraints."
#define INVARIANT  "delta.invariants"
#define GENERATED  "delta.generationExpression"
#define IDENTITY   "delta.identity."
#define DEFAULT    "CURRENT_DEFAULT"
#define COMMENT    "comment"

/* ---- names and metadata ---------------------------------------------------------------------- */

static sm_str path_text(const sm_alter *x, int32_t n, sm_arena *a)
{
    sm_str out = SM_STR("");

    for (int32_t i = 0; i < n; i++) {
        out = sm_arena_strf(a, "%.*s%s%.*s", SM_STR_ARG(out), i ? "." : "", SM_STR_ARG(x->path[i]));
    }
    return out;
}

static sm_str column_text(const smi_altering *t, const sm_alter *x)
{
    return path_text(x, x->n_path, t->arena);
}

static sm_status fail_no_column(const smi_altering *t, const sm_type *in, sm_str name,
                                const sm_alter *x, int32_t depth, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(t->arena, sm_str, in->n_fields + 1);
    const sm_str within = path_text(x, depth, t->arena);

    for (int32_t i = 0; i < in->n_fields; i++) {
        names[i] = sm_arena_str(t->arena, in->fields[i].name);
    }
    const char *nearest = sm_nearest_name(name, names, in->n_fields);
    const sm_status st =
        within.len > 0 ? sm_fail(e, SM_NAME, "column \"%.*s\" has no field \"%.*s\"",
                                 SM_STR_ARG(within), SM_STR_ARG(name))
                       : sm_fail(e, SM_NAME, "the table has no column \"%.*s\"", SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

/* "element" of a list, "key" and "value" of a map are the names that their fields have. */
static int32_t find_part(const sm_type *in, sm_str name)
{
    return in->n_fields > 0 ? sm_type_find(in, name) : -1;
}

static bool has_meta(const sm_field *f, const char *prefix)
{
    bool has = false;

    for (int32_t i = 0; i < f->n_meta && !has; i++) {
        has = sm_str_starts(f->meta[i].key, sm_str_of(prefix));
    }
    return has;
}

/* Sets a text in a field's metadata; a text without data takes the key away. */
static void set_meta(sm_field *f, const char *key, sm_str text, sm_arena *a)
{
    sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, f->n_meta + 1);
    sm_buf json = {0};
    sm_json_writer w = {.out = &json};
    int32_t n = 0;

    for (int32_t i = 0; i < f->n_meta; i++) {
        if (!sm_str_is(f->meta[i].key, key)) {
            meta[n++] = f->meta[i];
        }
    }
    if (text.data) {
        sm_json_put_text(&w, text);
        meta[n++] = (sm_field_meta){sm_str_of(key), sm_arena_str(a, sm_buf_str(&json))};
    }
    f->meta = meta;
    f->n_meta = n;
    sm_buf_release(&json);
}

static sm_str meta_text(const sm_field *f, const char *key, sm_arena *a)
{
    const sm_json *json = NULL;

    for (int32_t i = 0; i < f->n_meta; i++) {
        if (sm_str_is(f->meta[i].key, key) &&
            sm_json_parse(f->meta[i].json, a, &json, NULL) == SM_OK) {
            return sm_json_text(json);
        }
    }
    return (sm_str){0};
}

/* ---- who uses a column ----------------------------------------------------------------------- */

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (uint8_t)c >= 0x80;
}

static bool has_word(sm_str text, sm_str word)
{
    bool has = false;

    for (size_t i = 0; i + word.len <= text.len && !has; i++) {
        const sm_str here = {text.data + i, word.len};
        const bool begins = i == 0 || !is_word_byte(text.data[i - 1]);
        const bool ends = i + word.len == text.len || !is_word_byte(text.data[i + word.len]);
        has = begins && ends && sm_str_eq_nocase(here, word);
    }
    return has;
}

static bool reads_column(const sm_expr *x, int32_t column)
{
    bool reads = x->kind == SM_EXPR_COLUMN && x->index == column;

    for (int32_t i = 0; i < x->n_args && !reads; i++) {
        reads = reads_column(x->args[i], column);
    }
    return reads;
}

/* Does an expression of the table, in Spark's SQL, read the column? */
static bool expr_uses(const smi_altering *t, sm_str text, const sm_type *type, int32_t column)
{
    const sm_sql sql = {.name = SM_STR("expression"), .text = text};
    const sm_expr *x = NULL;
    sm_error unused = {0};

    return sm_query_expr_spark(&sql, t->m.schema, type, t->arena, &x, &unused) == SM_OK
               ? reads_column(x, column)
               : has_word(text, t->m.schema->fields[column].name);
}

/* A column, or a field within it, whose metadata has an expression that reads the column. */
static sm_str user_among(const smi_altering *t, const sm_type *in, int32_t column)
{
    for (int32_t i = 0; i < in->n_fields; i++) {
        const sm_field *f = &in->fields[i];
        const sm_str generated = meta_text(f, GENERATED, t->arena);
        const sm_str invariant = meta_text(f, INVARIANT, t->arena);
        if (generated.len > 0 && expr_uses(t, generated, f->type, column)) {
            return sm_arena_strf(t->arena, "the generated column \"%.*s\"", SM_STR_ARG(f->name));
        }
        if (has_word(invariant, t->m.schema->fields[column].name)) {
            return sm_arena_strf(t->arena, "the invariant of column \"%.*s\"", SM_STR_ARG(f->name));
        }
        const sm_str within = user_among(t, f->type, column);
        if (within.len > 0) {
            return within;
        }
    }
    return SM_STR("");
}

static sm_str user_among_properties(const smi_altering *t, int32_t column)
{
    const size_t n_prefix = strlen(CONSTRAINT);

    for (int32_t i = 0; i < t->m.n_config; i++) {
        const sm_pair *p = &t->m.config[i];
        const sm_str head = {p->key.data, p->key.len < n_prefix ? p->key.len : n_prefix};
        const sm_str name = {p->key.data + head.len, p->key.len - head.len};
        if (sm_str_eq_nocase(head, SM_STR(CONSTRAINT)) &&
            expr_uses(t, p->value, &sm_type_bool, column)) {
            return sm_arena_strf(t->arena, "the constraint \"%.*s\"", SM_STR_ARG(name));
        }
        if (sm_str_eq_nocase(p->key, SM_STR("delta.dataSkippingStatsColumns")) &&
            has_word(p->value, t->m.schema->fields[column].name)) {
            return p->key;
        }
    }
    return SM_STR("");
}

/* Looks for a file that says that its rows are sorted by a column. */
typedef struct mark_search {
    sm_str column; /* quoted, as marks have it */
    bool is_found;
} mark_search;

static sm_status look_for_mark(void *ctx, const sm_delta_file *f, sm_error *e)
{
    mark_search *s = ctx;
    const sm_str by = smi_cluster_mark_of(f).by;

    (void)e;
    s->is_found = by.len > 0 && memmem(by.data, by.len, s->column.data, s->column.len) != NULL;
    return s->is_found ? SM_END : SM_OK;
}

/* Is the column among those of delta.clustering? One that is not understood may have any. */
static bool is_in_domain(const smi_altering *t, sm_str name)
{
    sm_error ignored = {0};
    sm_str *said = NULL;
    int32_t n = 0;
    bool is = smi_cluster_domain_read(t->base, t->arena, &said, &n, &ignored) != SM_OK;

    for (int32_t i = 0; i < n && !is; i++) {
        is = sm_str_eq(said[i], name);
    }
    return is;
}

static sm_status is_clustered_by(const smi_altering *t, sm_str name, bool *out, sm_error *e)
{
    sm_buf quoted = {0};
    sm_json_writer w = {.out = &quoted};

    sm_json_put_text(&w, name);
    mark_search s = {.column = sm_buf_str(&quoted)};
    const sm_status st =
        sm_snapshot_each(t->base, NULL, &(sm_delta_sink){.file = look_for_mark, .ctx = &s}, e);
    sm_buf_release(&quoted);
    *out = s.is_found || is_in_domain(t, name);
    return st == SM_END ? SM_OK : st;
}

/* Refuses a change of a column that something in the table uses. `is_kept`: the column keeps its
 * name, so that only expressions count. */
static sm_status check_unused(const smi_altering *t, const sm_alter *x, bool is_kept,
                              const char *verb, sm_error *e)
{
    const int32_t column = sm_type_find(t->m.schema, x->path[0]);
    SM_ASSERT(column >= 0); /* find_field() has found it */
    const sm_str name = t->m.schema->fields[column].name;
    sm_str user = user_among(t, t->m.schema, column);
    bool is_clustered = false;

    user = user.len > 0 ? user : user_among_properties(t, column);
    if (user.len == 0 && !is_kept && sm_delta_partition_at(&t->m, column) >= 0) {
        user = SM_STR("the partitions of the table");
    }
    if (user.len == 0 && !is_kept) {
        SM_TRY(is_clustered_by(t, name, &is_clustered, e));
    }
    if (is_clustered) {
        user = SM_STR("the clustering of the table");
    }
    if (user.len == 0) {
        return SM_OK;
    }
    return sm_fail(e, SM_DENIED, "column \"%.*s\" is not %s: it is used by %.*s",
                   SM_STR_ARG(column_text(t, x)), verb, SM_STR_ARG(user));
}

static sm_status check_mapped(const smi_altering *t, const sm_alter *x, const char *verb,
                              sm_error *e)
{
    if (sm_delta_is_mapped(&t->protocol, &t->m)) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_DENIED,
                                 "column \"%.*s\" is not %s: the files know it by its name, as the "
                                 "table does not map its columns",
                                 SM_STR_ARG(column_text(t, x)), verb);
    sm_error_todo(e, "Turn on column mapping, which its readers must know: smelt table alter URI "
                     "--enable column-mapping.");
    return st;
}

/* ---- one field ------------------------------------------------------------------------------- */

/* The fields of a type, to be changed, with room for one more. */
static sm_field *copy_fields(const sm_type *in, sm_arena *a)
{
    sm_field *out = SM_NEW_ARRAY(a, sm_field, in->n_fields + 1);

    SM_ASSERT(in->n_fields > 0);
    memcpy(out, in->fields, (size_t)in->n_fields * sizeof(*out));
    return out;
}

static const sm_type *with_fields(const sm_type *in, const sm_field *fields, int32_t n, sm_arena *a)
{
    sm_type *out = SM_NEW(a, sm_type);

    *out = *in;
    out->fields = fields;
    out->n_fields = n;
    return out;
}

static sm_status add_field(smi_altering *t, const sm_alter *x, const sm_type *in,
                           const sm_type **out, sm_error *e)
{
    const sm_field given = {.name = x->path[x->n_path - 1], .type = x->type, .is_nullable = true};
    const sm_type *made = NULL;

    if (in->id != SM_TYPE_STRUCT) {
        return sm_fail(e, SM_TYPE, "\"%.*s\" is no STRUCT, so no field is added to it",
                       SM_STR_ARG(path_text(x, x->n_path - 1, t->arena)));
    }
    if (sm_type_find(in, given.name) >= 0) {
        return sm_fail(e, SM_EXISTS, "there is a column \"%.*s\" already",
                       SM_STR_ARG(column_text(t, x)));
    }
    SM_TRY(smi_schema_new(sm_type_struct(t->arena, &given, 1), t->arena, &made, e));
    sm_field *fields = copy_fields(in, t->arena);
    fields[in->n_fields] = made->fields[0];
    *out = with_fields(in, fields, in->n_fields + 1, t->arena);
    return SM_OK;
}

static sm_status drop_field(smi_altering *t, const sm_alter *x, const sm_type *in, int32_t at,
                            const sm_type **out, sm_error *e)
{
    sm_field *fields = copy_fields(in, t->arena);

    if (in->n_fields == 1) {
        return sm_fail(e, SM_DENIED, "\"%.*s\" is the only %s", SM_STR_ARG(column_text(t, x)),
                       x->n_path == 1 ? "column of the table" : "field there");
    }
    if (x->n_path == 1 && in->n_fields - 1 == t->m.n_partition_columns) {
        return sm_fail(e, SM_DENIED, "\"%.*s\" is the only column that the files have",
                       SM_STR_ARG(x->path[0]));
    }
    memmove(fields + at, fields + at + 1, (size_t)(in->n_fields - at - 1) * sizeof(*fields));
    *out = with_fields(in, fields, in->n_fields - 1, t->arena);
    return SM_OK;
}

static sm_status move_field(smi_altering *t, const sm_alter *x, const sm_type *in, int32_t at,
                            const sm_type **out, sm_error *e)
{
    sm_field *fields = copy_fields(in, t->arena);
    const sm_field moved = fields[at];
    int32_t to = 0;

    SM_ASSERT(in->id == SM_TYPE_STRUCT && at >= 0 && at < in->n_fields);

    memmove(fields + at, fields + at + 1, (size_t)(in->n_fields - at - 1) * sizeof(*fields));
    if (x->name.len > 0) {
        const int32_t behind = sm_type_find(in, x->name);
        if (behind < 0) {
            return fail_no_column(t, in, x->name, x, x->n_path - 1, e);
        }
        if (behind == at) {
            return sm_fail(e, SM_NAME, "a column does not stand behind itself: \"%.*s\"",
                           SM_STR_ARG(x->name));
        }
        to = behind < at ? behind + 1 : behind;
    }
    SM_ASSERT(to >= 0 && to < in->n_fields);
    memmove(fields + to + 1, fields + to, (size_t)(in->n_fields - 1 - to) * sizeof(*fields));
    fields[to] = moved;
    *out = with_fields(in, fields, in->n_fields, t->arena);
    return SM_OK;
}

static sm_status fail_type(const smi_altering *t, const sm_alter *x, const sm_type *from,
                           sm_error *e)
{
    sm_buf have = {0}, want = {0};

    SM_ASSERT(!sm_type_eq(from, x->type));
    sm_type_print(from, &have);
    sm_type_print(x->type, &want);
    const sm_status st =
        sm_fail(e, SM_TYPE, "column \"%.*s\" is %.*s, which does not widen to %.*s",
                SM_STR_ARG(column_text(t, x)), SM_STR_ARG(sm_buf_str(&have)),
                SM_STR_ARG(sm_buf_str(&want)));
    sm_error_todo(e,
                  "Types widen from TINYINT over SMALLINT and INTEGER to BIGINT, these but BIGINT "
                  "and FLOAT to DOUBLE, integers to a DECIMAL of their digits, DATE to "
                  "TIMESTAMP.");
    sm_buf_release(&have);
    sm_buf_release(&want);
    return st;
}

static bool is_widening_on(const sm_delta_metadata *m)
{
    bool is_on = false;

    for (int32_t i = 0; i < m->n_config && !is_on; i++) {
        is_on = sm_str_eq_nocase(m->config[i].key, SM_STR("delta.enableTypeWidening")) &&
                sm_str_eq_nocase(m->config[i].value, SM_STR("true"));
    }
    return is_on;
}

/* Is the text of a value, as the log has it, also its text as the wider type? Not 5 as
 * DECIMAL(12,2), which is 5.00, nor a day as a TIMESTAMP; 0.1 as FLOAT is another number than as
 * DOUBLE. */
static bool keeps_texts(const sm_type *from, const sm_type *to)
{
    return sm_type_is_integer(to->id) || (to->id == SM_TYPE_DECIMAL && to->scale == from->scale);
}

/* May the type become the wanted one, in this table? */
static sm_status check_widening(const smi_altering *t, const sm_alter *x, const sm_type *from,
                                sm_error *e)
{
    if (sm_type_is_nested(from->id) || sm_type_is_nested(x->type->id) ||
        !sm_delta_may_widen(from, x->type)) {
        return fail_type(t, x, from, e);
    }
    if (!keeps_texts(from, x->type) &&
        sm_delta_partition_at(&t->m, sm_type_find(t->m.schema, x->path[0])) >= 0) {
        return sm_fail(e, SM_DENIED,
                       "column \"%.*s\" is not widened: the log has the values of partitions as "
                       "texts, which not all readers take for the same values of the new type",
                       SM_STR_ARG(column_text(t, x)));
    }
    if (is_widening_on(&t->m)) {
        return SM_OK;
    }
    const sm_status st = sm_fail(
        e, SM_DENIED, "column \"%.*s\" is not widened: the table does not have type widening",
        SM_STR_ARG(column_text(t, x)));
    sm_error_todo(e, "Turn it on, which its readers must know: smelt table alter URI --enable "
                     "type-widening.");
    return st;
}

static sm_status change_field(smi_altering *t, const sm_alter *x, sm_field *f, sm_error *e)
{
    switch (x->kind) {
    case SM_ALTER_RENAME_COLUMN:
        f->name = x->text;
        return SM_OK;
    case SM_ALTER_DROP_NOT_NULL:
        f->is_nullable = true;
        return SM_OK;
    case SM_ALTER_COMMENT:
        set_meta(f, COMMENT, x->text, t->arena);
        return SM_OK;
    case SM_ALTER_SET_DEFAULT:
        set_meta(f, DEFAULT, x->text, t->arena);
        return SM_OK;
    case SM_ALTER_DROP_DEFAULT:
        set_meta(f, DEFAULT, (sm_str){0}, t->arena);
        return SM_OK;
    default:
        SM_ASSERT(x->kind == SM_ALTER_TYPE);
        SM_TRY(check_widening(t, x, f->type, e));
        f->type = x->type;
        return SM_OK;
    }
}

/* A field at the end of the path: all but its type belongs to fields of structs only. */
static sm_status alter_last(smi_altering *t, const sm_alter *x, const sm_type *in, int32_t at,
                            const sm_type **out, sm_error *e)
{
    if (in->id != SM_TYPE_STRUCT && x->kind != SM_ALTER_TYPE) {
        return sm_fail(e, SM_TYPE,
                       "\"%.*s\" is no column or field of a STRUCT: only its type changes",
                       SM_STR_ARG(column_text(t, x)));
    }
    if (x->kind == SM_ALTER_DROP_COLUMN) {
        return drop_field(t, x, in, at, out, e);
    }
    if (x->kind == SM_ALTER_MOVE_COLUMN) {
        return move_field(t, x, in, at, out, e);
    }
    sm_field *fields = copy_fields(in, t->arena);
    SM_TRY(change_field(t, x, &fields[at], e));
    *out = with_fields(in, fields, in->n_fields, t->arena);
    return SM_OK;
}

/* ---- the path -------------------------------------------------------------------------------- */

/* What is in a list or map has no metadata: a change of its type is noted in the nearest field of a
 * struct around it. Is that the field at this depth of the path? */
static bool notes_change(const sm_alter *x, const sm_type *in, const sm_field *f, int32_t depth)
{
    const sm_type *below = f->type;
    bool is_nearest = in->id == SM_TYPE_STRUCT && x->kind == SM_ALTER_TYPE;

    for (int32_t i = depth + 1; i < x->n_path && is_nearest; i++) {
        is_nearest = below->id != SM_TYPE_STRUCT;
        const int32_t at = find_part(below, x->path[i]);
        below = at >= 0 ? below->fields[at].type : below;
    }
    return is_nearest;
}

/* The type that the path leads to below a field. */
static const sm_type *type_below(const sm_alter *x, const sm_field *f, int32_t depth)
{
    const sm_type *t = f->type;

    for (int32_t i = depth + 1; i < x->n_path; i++) {
        t = t->fields[find_part(t, x->path[i])].type;
    }
    return t;
}

static void note_change(smi_altering *t, const sm_alter *x, const sm_field *before, sm_field *f,
                        int32_t depth)
{
    sm_str within = SM_STR("");

    SM_ASSERT(depth >= 0 && depth < x->n_path && x->type);
    for (int32_t i = depth + 1; i < x->n_path; i++) {
        within = sm_arena_strf(t->arena, "%.*s%s%.*s", SM_STR_ARG(within), within.len ? "." : "",
                               SM_STR_ARG(x->path[i]));
    }
    sm_delta_note_widened(f, within, type_below(x, before, depth), x->type, t->arena);
}

static sm_status alter_type(smi_altering *t, const sm_alter *x, const sm_type *in, int32_t depth,
                            const sm_type **out, sm_error *e)
{
    const bool is_last = depth == x->n_path - 1;
    const sm_type *inner = NULL;

    SM_ASSERT(depth < x->n_path);
    if (is_last && x->kind == SM_ALTER_ADD_COLUMN) {
        return add_field(t, x, in, out, e);
    }
    const int32_t at = find_part(in, x->path[depth]);
    if (at < 0) {
        return fail_no_column(t, in, x->path[depth], x, depth, e);
    }
    if (is_last) {
        SM_TRY(alter_last(t, x, in, at, out, e));
    } else {
        sm_field *fields = copy_fields(in, t->arena);
        SM_TRY(alter_type(t, x, in->fields[at].type, depth + 1, &inner, e));
        fields[at].type = inner;
        *out = with_fields(in, fields, in->n_fields, t->arena);
    }
    if (notes_change(x, in, &in->fields[at], depth)) {
        note_change(t, x, &in->fields[at], (sm_field *)&(*out)->fields[at], depth);
    }
    return SM_OK;
}

/* ---- before and after ------------------------------------------------------------------------ */

/* The field that a path leads to; NULL: there is none. */
static const sm_field *find_field(const sm_type *schema, const sm_alter *x)
{
    const sm_field *f = NULL;
    const sm_type *in = schema;

    for (int32_t i = 0; i < x->n_path; i++) {
        const int32_t at = find_part(in, x->path[i]);
        if (at < 0) {
            return NULL;
        }
        f = &in->fields[at];
        in = f->type;
    }
    return f;
}

static sm_status check_default(const smi_altering *t, const sm_alter *x, const sm_field *f,
                               sm_error *e)
{
    if (x->n_path > 1) {
        return sm_fail(e, SM_UNSUPPORTED, "a field within a column has no default: \"%.*s\"",
                       SM_STR_ARG(column_text(t, x)));
    }
    if (has_meta(f, GENERATED) || has_meta(f, IDENTITY)) {
        return sm_fail(e, SM_DENIED, "column \"%.*s\" has no default: its values are computed",
                       SM_STR_ARG(column_text(t, x)));
    }
    return SM_OK;
}

/* What must hold before the change, of a column that is there. */
static sm_status check_before(const smi_altering *t, const sm_alter *x, const sm_field *f,
                              sm_error *e)
{
    switch (x->kind) {
    case SM_ALTER_RENAME_COLUMN:
        SM_TRY(check_mapped(t, x, "renamed", e));
        return check_unused(t, x, false, "renamed", e);
    case SM_ALTER_DROP_COLUMN:
        SM_TRY(check_mapped(t, x, "dropped", e));
        return check_unused(t, x, false, "dropped", e);
    case SM_ALTER_SET_DEFAULT:
        return check_default(t, x, f, e);
    case SM_ALTER_TYPE:
        if (has_meta(f, GENERATED) || has_meta(f, IDENTITY)) {
            return sm_fail(e, SM_DENIED, "column \"%.*s\" is not widened: its values are computed",
                           SM_STR_ARG(column_text(t, x)));
        }
        return check_unused(t, x, true, "widened", e);
    default:
        return SM_OK;
    }
}

static bool has_local_time(const sm_type *t)
{
    bool has = t->id == SM_TYPE_TIMESTAMP_NTZ;

    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_local_time(t->fields[i].type);
    }
    return has;
}

/* A default must be understood: who adds rows computes it. */
static sm_status check_rules(const smi_altering *t, const sm_alter *x, sm_error *e)
{
    int32_t *order = SM_NEW_ARRAY(t->arena, int32_t, t->m.schema->n_fields);
    smi_rules unused = {0};

    for (int32_t i = 0; i < t->m.schema->n_fields; i++) {
        order[i] = i;
    }
    SM_ASSERT(x->n_path == 1);
    order[sm_type_find(t->m.schema, x->path[0])] = -1;
    return smi_rules_settle(&t->m, order, t->arena, &unused, e);
}

sm_status smi_alter_column(smi_altering *t, const sm_alter *x, sm_error *e)
{
    const sm_field *f = find_field(t->m.schema, x);
    const sm_type *made = NULL;

    if (x->kind == SM_ALTER_DROP_COLUMN && !f && x->if_exists) {
        return SM_OK;
    }
    if (x->kind == SM_ALTER_TYPE && f && sm_type_eq(f->type, x->type)) {
        return SM_OK;
    }
    if (f) {
        SM_TRY(check_before(t, x, f, e));
    }
    SM_TRY(alter_type(t, x, t->m.schema, 0, &made, e));
    SM_TRY(smi_schema_check(made, e));
    t->m.schema = made;
    t->is_changed = true;
    if (x->type && has_local_time(x->type)) {
        smi_alter_feature(t, "timestampNtz");
    }
    if (x->kind == SM_ALTER_SET_DEFAULT) {
        smi_alter_feature(t, "allowColumnDefaults");
        return check_rules(t, x, e);
    }
    return SM_OK;
}

/* ---- rows of wider types --------------------------------------------------------------------- */

sm_status smi_alter_to_rows(smi_altering *t, const sm_type *rows, sm_error *e)
{
    const sm_type *there = t->m.schema;

    for (int32_t i = 0; i < there->n_fields && is_widening_on(&t->m); i++) {
        const sm_field *f = &there->fields[i];
        const int32_t at = sm_type_find(rows, f->name);
        const sm_type *to = at >= 0 ? rows->fields[at].type : f->type;
        const bool is_plain = !sm_type_is_nested(f->type->id) && !sm_type_is_nested(to->id);
        if (is_plain && sm_delta_may_widen(f->type, to)) {
            const sm_alter x = {.kind = SM_ALTER_TYPE, .path = &f->name, .n_path = 1, .type = to};
            SM_TRY(smi_alter_column(t, &x, e));
        }
    }
    return SM_OK;
}
