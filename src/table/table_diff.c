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

/* All listed files of a side are read. */
static void read_listed(sm_diff *d, int side)
{
    int64_t *at = NULL;

    (void)sm_snapshot_files(d->versions[side], &d->parts.n_files[side]);
    at = SM_NEW_ARRAY(d->arena, int64_t, d->parts.n_files[side] + 1);
    for (int64_t i = 0; i < d->parts.n_files[side]; i++) {
        at[i] = i;
    }
    d->parts.files[side] = at;
}

static sm_status read_all(sm_diff *d, sm_error *e)
{
    for (int side = 0; side < 2; side++) {
        SM_TRY(sm_snapshot_list(d->versions[side], e));
        read_listed(d, side);
    }
    return SM_OK;
}

/* Parts the files of `to` into those that `from` has too, and the others. */
static void part_files(sm_diff *d, const sm_hash_set *from)
{
    int64_t n_all = 0, n = 0, n_common = 0;
    const sm_delta_file *all = sm_snapshot_files(d->versions[1], &n_all);
    int64_t *at = SM_NEW_ARRAY(d->arena, int64_t, n_all + 1);
    int64_t *common = SM_NEW_ARRAY(d->arena, int64_t, n_all + 1);

    for (int64_t i = 0; i < n_all; i++) {
        if (sm_hash_set_has(from, sm_delta_file_hash(&all[i]))) {
            common[n_common++] = i;
        } else {
            at[n++] = i;
        }
    }
    d->parts.files[1] = at;
    d->parts.n_files[1] = n;
    d->parts.common = common;
    d->parts.n_common = n_common;
}

/* Lists the files that only one of the versions has. Where rows are compared by keys, those of the
 * files that both have are keys too: then all of `to` are listed. */
static sm_status list_differing(sm_diff *d, sm_hash_set hashes[2], sm_error *e)
{
    for (int side = 0; side < 2; side++) {
        SM_TRY(smi_hash_files(d->versions[side], &hashes[side], e));
    }
    SM_TRY(smi_list_only(d->versions[0], &hashes[1], e));
    read_listed(d, 0);
    if (d->parts.n_keys > 0) {
        SM_TRY(sm_snapshot_list(d->versions[1], e));
        part_files(d, &hashes[0]);
    } else {
        SM_TRY(smi_list_only(d->versions[1], &hashes[0], e));
        read_listed(d, 1);
    }
    d->about.n_common = hashes[1].n - d->parts.n_files[1];
    return SM_OK;
}

static sm_status choose_files(sm_diff *d, sm_error *e)
{
    sm_hash_set hashes[2] = {{.budget = d->env.budget}, {.budget = d->env.budget}};
    bool is_same = false;

    SM_TRY(smi_is_same_schema(schema_of(d, 0), schema_of(d, 1), &is_same, e));
    const sm_status st = is_same ? list_differing(d, hashes, e) : read_all(d, e);
    sm_hash_set_release(&hashes[0]);
    sm_hash_set_release(&hashes[1]);
    d->about.n_files_from = d->parts.n_files[0];
    d->about.n_files_to = d->parts.n_files[1];
    return st;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status make_diff(sm_diff *d, sm_store *table, const sm_diff_opts *opts, sm_error *e)
{
    const sm_table_at *const at[] = {&opts->from, &opts->to};

    for (int side = 0; side < 2; side++) {
        SM_TRY(sm_table_open_at(table, at[side], d->env.budget, &d->versions[side], e));
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
