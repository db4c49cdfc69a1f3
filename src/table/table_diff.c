/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_diff.c: the difference of two versions of a table: which columns and which files are
 * compared. table_diff_plan.c makes the plans. Called by `smelt table diff`.
 *
 * Files    A file that both versions have, with the same deletion vector, gives both the same rows.
 *          They cancel, so it is not read; only its keys may be (smi_diff_check_keys). That holds
 *          while both versions read it by the same schema: where the schemas differ in anything,
 *          all files are read.
 * Columns  Those of `to`. One that `from` has not is NULL there, as a reader of the older files
 *          sees it. One that only `from` has is not compared: all rows would differ. The schemas'
 *          differences are told by themselves. */
#include "table/table_int.h"

#include <inttypes.h>

struct sm_diff {
    sm_arena *arena;
    sm_exec_env env;
    sm_snapshot *versions[2]; /* from, to */
    smi_diff_parts parts;
    sm_plan *plan;
    sm_diff_about about;
};

/* ---- columns --------------------------------------------------------------------------------- */

static const sm_type *schema_of(const sm_diff *d, int side)
{
    return sm_snapshot_metadata(d->versions[side])->schema;
}

static sm_str type_text(const sm_field *f, sm_arena *a)
{
    sm_buf text = {0};

    sm_type_print(f->type, &text);
    sm_buf_text(&text, f->is_nullable ? SM_STR("") : SM_STR(" NOT NULL"));
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* The place of a field of exactly that name, or −1. */
static int32_t place_of(const sm_type *schema, sm_str name)
{
    const int32_t at = sm_type_find(schema, name);

    return at >= 0 && sm_str_eq(schema->fields[at].name, name) ? at : -1;
}

static void compare_schemas(sm_diff *d)
{
    const sm_type *from = schema_of(d, 0), *to = schema_of(d, 1);
    sm_str *out = SM_NEW_ARRAY(d->arena, sm_str, from->n_fields + to->n_fields + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < from->n_fields; i++) {
        const sm_field *f = &from->fields[i];
        const int32_t at = place_of(to, f->name);
        const sm_str type = type_text(f, d->arena);
        const sm_str now = at >= 0 ? type_text(&to->fields[at], d->arena) : SM_STR("");
        if (at < 0) {
            out[n++] =
                sm_arena_strf(d->arena, "- %.*s %.*s", SM_STR_ARG(f->name), SM_STR_ARG(type));
        } else if (!sm_str_eq(type, now)) {
            out[n++] = sm_arena_strf(d->arena, "%.*s %.*s -> %.*s", SM_STR_ARG(f->name),
                                     SM_STR_ARG(type), SM_STR_ARG(now));
        }
    }
    for (int32_t i = 0; i < to->n_fields; i++) {
        if (place_of(from, to->fields[i].name) < 0) {
            const sm_str type = type_text(&to->fields[i], d->arena);
            out[n++] = sm_arena_strf(d->arena, "+ %.*s %.*s", SM_STR_ARG(to->fields[i].name),
                                     SM_STR_ARG(type));
        }
    }
    SM_ASSERT(n <= from->n_fields + to->n_fields);
    d->about.schema = out;
    d->about.n_schema = n;
}

/* Do values of both types meet in one, so that they can be compared as they are? */
static bool do_meet(const sm_type *x, const sm_type *y, sm_arena *a)
{
    const sm_expr *const args[] = {
        sm_expr_constant(sm_value_null(x), a),
        sm_expr_constant(sm_value_null(y), a),
    };
    const sm_expr *unused = NULL;

    return sm_type_eq(x, y) || sm_expr_call("is_distinct", args, 2, a, &unused, NULL) == SM_OK;
}

static sm_status add_column(const sm_diff *d, int32_t at, bool is_key, smi_diff_column *out,
                            sm_error *e)
{
    const sm_type *from = schema_of(d, 0), *to = schema_of(d, 1);
    const sm_field *f = &to->fields[at];

    SM_ASSERT(at >= 0 && at < to->n_fields);
    *out = (smi_diff_column){.field = *f, .at = {place_of(from, f->name), at}, .is_key = is_key};
    if (out->at[0] < 0 || do_meet(from->fields[out->at[0]].type, f->type, d->arena)) {
        return SM_OK;
    }
    const sm_type *was = from->fields[out->at[0]].type;
    if (sm_type_is_nested(was->id) || sm_type_is_nested(f->type->id)) {
        return sm_fail(e, SM_SCHEMA,
                       "column %.*s is %.*s in version %" PRId64 " and %.*s in %" PRId64
                       ", which cannot be compared",
                       SM_STR_ARG(f->name),
                       SM_STR_ARG(type_text(&from->fields[out->at[0]], d->arena)), d->about.from,
                       SM_STR_ARG(type_text(f, d->arena)), d->about.to);
    }
    out->is_text = true;
    out->field.type = &sm_type_string;
    return SM_OK;
}

static sm_status add_key(const sm_diff *d, sm_str name, smi_diff_column *columns, int32_t n,
                         sm_error *e)
{
    const sm_type *to = schema_of(d, 1);
    const int32_t at = sm_type_find(to, name);
    sm_str *names = SM_NEW_ARRAY(d->arena, sm_str, to->n_fields + 1);

    for (int32_t i = 0; i < to->n_fields; i++) {
        names[i] = sm_arena_str(d->arena, to->fields[i].name);
    }
    if (at < 0 || place_of(schema_of(d, 0), to->fields[at].name) < 0) {
        const sm_status st =
            sm_fail(e, SM_NAME, "key \"%.*s\" is no column of both versions", SM_STR_ARG(name));
        const char *near = at < 0 ? sm_nearest_name(name, names, to->n_fields) : NULL;
        if (near) {
            sm_error_todo(e, "Did you mean \"%s\"?", near);
        }
        return st;
    }
    if (sm_type_is_nested(to->fields[at].type->id)) {
        return sm_fail(e, SM_TYPE, "column %.*s is nested, so it is no key",
                       SM_STR_ARG(to->fields[at].name));
    }
    for (int32_t i = 0; i < n; i++) {
        if (columns[i].at[1] == at) {
            return sm_fail(e, SM_USAGE, "key \"%.*s\" is named twice", SM_STR_ARG(name));
        }
    }
    return add_column(d, at, true, &columns[n], e);
}

static bool is_key(const smi_diff_column *columns, int32_t n_keys, int32_t at)
{
    bool is = false;

    for (int32_t i = 0; i < n_keys && !is; i++) {
        is = columns[i].at[1] == at;
    }
    return is;
}

/* The keys first, then the other columns of `to`. */
static sm_status choose_columns(sm_diff *d, const sm_diff_opts *opts, sm_error *e)
{
    const sm_type *to = schema_of(d, 1);
    smi_diff_column *columns = SM_NEW_ARRAY(d->arena, smi_diff_column, to->n_fields + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < opts->n_keys; i++) {
        SM_TRY(add_key(d, opts->keys[i], columns, n++, e));
    }
    for (int32_t i = 0; i < to->n_fields; i++) {
        if (is_key(columns, opts->n_keys, i)) {
            continue;
        }
        if (opts->n_keys == 0 && sm_type_is_nested(to->fields[i].type->id)) {
            const sm_status st = sm_fail(e, SM_UNSUPPORTED,
                                         "column %.*s is nested: whole rows are not compared then",
                                         SM_STR_ARG(to->fields[i].name));
            sm_error_todo(e, "Name the columns by which rows belong together: --by KEY,...");
            return st;
        }
        SM_TRY(add_column(d, i, false, &columns[n++], e));
    }
    SM_ASSERT(n == to->n_fields);
    d->parts.columns = columns;
    d->parts.n_columns = n;
    d->parts.n_keys = opts->n_keys;
    return SM_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void read_all(sm_diff *d)
{
    for (int side = 0; side < 2; side++) {
        int64_t *at = NULL;
        (void)sm_snapshot_files(d->versions[side], &d->parts.n_files[side]);
        at = SM_NEW_ARRAY(d->arena, int64_t, d->parts.n_files[side] + 1);
        for (int64_t i = 0; i < d->parts.n_files[side]; i++) {
            at[i] = i;
        }
        d->parts.files[side] = at;
    }
}

static void read_differing(sm_diff *d)
{
    int64_t n_all = 0, n = 0, bytes = 0, n_common = 0;

    for (int side = 0; side < 2; side++) {
        const sm_delta_file *all = sm_snapshot_files(d->versions[side], &n_all);
        const sm_delta_file **only =
            smi_files_only_in(d->versions[side], d->versions[1 - side], d->arena, &n, &bytes);
        int64_t *at = SM_NEW_ARRAY(d->arena, int64_t, n + 1);
        int64_t *common = SM_NEW_ARRAY(d->arena, int64_t, n_all - n + 1);
        n_common = 0;
        for (int64_t i = 0, k = 0; i < n_all; i++) { /* both are in the order of the version */
            if (k < n && only[k] == &all[i]) {
                at[k++] = i;
            } else {
                common[n_common++] = i;
            }
        }
        SM_ASSERT(n_common == n_all - n);
        d->parts.files[side] = at;
        d->parts.n_files[side] = n;
        d->parts.common = common; /* in the end those of `to` */
        d->parts.n_common = n_common;
    }
}

static sm_status choose_files(sm_diff *d, sm_error *e)
{
    bool is_same = false;

    SM_TRY(smi_is_same_schema(schema_of(d, 0), schema_of(d, 1), &is_same, e));
    if (is_same) {
        read_differing(d);
    } else {
        read_all(d);
    }
    d->about.n_files_from = d->parts.n_files[0];
    d->about.n_files_to = d->parts.n_files[1];
    d->about.n_common = d->parts.n_common;
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status make_diff(sm_diff *d, sm_store *table, const sm_diff_opts *opts, sm_error *e)
{
    const sm_table_at *const at[] = {&opts->from, &opts->to};

    for (int side = 0; side < 2; side++) {
        SM_TRY(sm_table_open_at(table, at[side], d->env.budget, &d->versions[side], e));
        SM_TRY(sm_snapshot_list(d->versions[side], e));
        d->parts.versions[side] = d->versions[side];
    }
    d->about.from = sm_snapshot_version(d->versions[0]);
    d->about.to = sm_snapshot_version(d->versions[1]);
    compare_schemas(d);
    SM_TRY(choose_columns(d, opts, e));
    SM_TRY(choose_files(d, e));
    if (opts->n_keys > 0) {
        SM_TRY(smi_diff_check_keys(&d->parts, e));
    }
    return smi_diff_make_plan(&d->parts, &d->plan, e);
}

sm_status sm_diff_open(sm_store *table, const sm_diff_opts *opts, const sm_exec_env *env,
                       sm_diff **out, sm_error *e)
{
    sm_diff *d = sm_alloc_zero(sizeof(*d));

    d->env = *env;
    d->arena = sm_arena_new(env->budget);
    d->parts.env = &d->env;
    d->parts.arena = d->arena;
    const sm_status st = make_diff(d, table, opts, e);
    if (st != SM_OK) {
        sm_diff_close(d);
        return st;
    }
    *out = d;
    return SM_OK;
}

const sm_plan *sm_diff_plan(const sm_diff *d)
{
    SM_ASSERT(d->plan);
    SM_ASSERT(d->plan->root && d->plan->root->schema->n_fields >= 2); /* _change, and more */
    return d->plan;
}

const sm_diff_about *sm_diff_about_of(const sm_diff *d)
{
    return &d->about;
}

void sm_diff_close(sm_diff *d)
{
    if (d) {
        sm_snapshot_release(d->versions[0]);
        sm_snapshot_release(d->versions[1]);
        sm_arena_free(d->arena);
        sm_free(d);
    }
}
