/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_function.c: makes relations of table functions: read_<format>(…) for every format,
 * delta_scan(…), table_changes(…) (table_changes.c), and FROM 'path'. The binder calls it by way of
 * the resolver of names.
 *
 * A call   is known by its whole text (smi_call_text): the same call again is the same dataset.
 * Errors   have the argument's place. For an argument that does not exist the advice is the nearest
 *          name, the format's own options among them. */
#include "table/table_int.h"

#include <stdio.h>

#include "base/policy.h"

/* ---- read_<format> --------------------------------------------------------------------------- */

/* A call of read_<format>: what its arguments say, then what was found by them. */
typedef struct read_call {
    sm_names *names;
    const sm_format *format;
    void *options;
    const sm_table_arg *path; /* NULL: not given */
    sm_str *paths;
    int32_t n_paths;
    const sm_type *known;                  /* the columns of earlier files; NULL: none */
    const sm_type *columns;                /* NULL: not given */
    const sm_sampled *sampled;             /* how they were found; NULL: they were given */
    int64_t sample_size, max_sample_files; /* −1: all */
    sm_str match;
    bool filename, file_date;
    bool hive_given, hive_wanted;
    smi_hive hive;
    bool keep_refused, validate_all;
    const sm_table_arg *says_unknown; /* the argument `unknown`; NULL: not given */
    sm_policy unknown;
    bool looks_everywhere; /* for unknown keys, whatever the query takes */

    sm_found_file *files;
    int64_t n_files, cap_files;
} read_call;

typedef sm_status (*set_fn)(read_call *c, const sm_table_arg *arg, sm_error *e);

static sm_status set_columns(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return smi_arg_columns(arg, c->names->arena, &c->columns, e);
}

static sm_status set_filename(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return smi_arg_bool(arg, &c->filename, e);
}

static sm_status set_file_date(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return smi_arg_bool(arg, &c->file_date, e);
}

static sm_status set_hive(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    c->hive_given = true;
    return smi_arg_bool(arg, &c->hive_wanted, e);
}

static sm_status set_match(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return smi_arg_text(arg, "match", &c->match, e);
}

static sm_status set_policy(const sm_table_arg *arg, const char *name, unsigned takes,
                            sm_policy *out, sm_error *e)
{
    sm_str text = {0};

    SM_TRY(smi_arg_text(arg, name, &text, e));
    return smi_arg_place(arg, e, sm_policy_parse(name, text, takes, out, e));
}

static sm_status set_bad_lines(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    const unsigned takes =
        SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_SKIP) | SM_TAKES(SM_POLICY_QUARANTINE);
    sm_policy policy = SM_POLICY_FAIL;

    SM_TRY(set_policy(arg, "bad_lines", takes, &policy, e));
    c->keep_refused = policy != SM_POLICY_FAIL;
    return SM_OK;
}

static sm_status set_unknown(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    const unsigned takes = SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_IGNORE);

    c->says_unknown = arg;
    return set_policy(arg, "unknown", c->format->rescues ? takes | SM_TAKES(SM_POLICY_KEEP) : takes,
                      &c->unknown, e);
}

static sm_status set_validate(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    sm_str text = {0};

    SM_TRY(smi_arg_text(arg, "validate", &text, e));
    c->validate_all = sm_str_is(text, "all");
    if (!c->validate_all && !sm_str_is(text, "read")) {
        return smi_arg_fail(arg, e, SM_INVALID, "validate is 'read' or 'all', not '%.*s'",
                            SM_STR_ARG(text));
    }
    return SM_OK;
}

/* A number of rows or files from 1 on, or −1 for all. */
static sm_status set_sample(const sm_table_arg *arg, int64_t *out, sm_error *e)
{
    const sm_value *v = &arg->value;
    const bool is_integer = !v->is_null && sm_type_is_integer(v->type->id);

    if (!is_integer || v->as.i == 0 || v->as.i < -1 ||
        (v->as.i < 0 && !sm_type_is_signed(v->type->id))) {
        return smi_arg_fail(arg, e, SM_INVALID, "%.*s is a number from 1 on, or -1 for all",
                            SM_STR_ARG(arg->name));
    }
    *out = v->as.i;
    return SM_OK;
}

static sm_status set_sample_size(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return set_sample(arg, &c->sample_size, e);
}

static sm_status set_max_sample_files(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    return set_sample(arg, &c->max_sample_files, e);
}

static const struct read_arg {
    const char *name;
    set_fn set;
} read_args[] = {
    {"columns", set_columns},
    {"filename", set_filename},
    {"file_date", set_file_date},
    {"hive_partitioning", set_hive},
    {"match", set_match},
    {"bad_lines", set_bad_lines},
    {"validate", set_validate},
    {"unknown", set_unknown},
    {"sample_size", set_sample_size},
    {"maximum_sample_files", set_max_sample_files},
};

/* ---- its arguments --------------------------------------------------------------------------- */

#define MOST_NAMES 64
_Static_assert(SM_COUNT(read_args) < MOST_NAMES, "all are among the names that may be meant");

static sm_status no_such_argument(const read_call *c, const sm_table_arg *arg, sm_error *e)
{
    sm_str names[MOST_NAMES];
    int64_t n = 0;

    for (int i = 0; i < SM_COUNT(read_args); i++) {
        names[n++] = sm_str_of(read_args[i].name);
    }
    for (const sm_option *o = c->format->options; o && o->name && n < MOST_NAMES; o++) {
        names[n++] = sm_str_of(o->name);
    }
    const sm_status st = smi_arg_fail(arg, e, SM_NAME, "read_%s has no argument \"%.*s\"",
                                      c->format->name, SM_STR_ARG(arg->name));
    const char *nearest = sm_nearest_name(arg->name, names, n);
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_status set_option(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    const sm_option *o = c->format->options;
    while (o && o->name && !sm_str_is(arg->name, o->name)) {
        o++;
    }
    if (!o || !o->name) {
        return no_such_argument(c, arg, e);
    }
    if (!arg->value.is_null && sm_type_is_nested(arg->value.type->id)) {
        return smi_arg_fail(arg, e, SM_TYPE, "option %s takes one value", o->name);
    }
    return smi_arg_place(
        arg, e,
        sm_options_set(c->format->options, c->options, arg->name, arg->value, c->names->arena, e));
}

static sm_status set_argument(read_call *c, const sm_table_arg *arg, sm_error *e)
{
    if (arg->name.len == 0) {
        if (c->path) {
            return smi_arg_fail(arg, e, SM_INVALID, "read_%s takes one path, or one list of paths",
                                c->format->name);
        }
        c->path = arg;
        return smi_arg_texts(arg, "a path", c->names->arena, &c->paths, &c->n_paths, e);
    }
    for (int i = 0; i < SM_COUNT(read_args); i++) {
        if (sm_str_is(arg->name, read_args[i].name)) {
            return read_args[i].set(c, arg, e);
        }
    }
    return set_option(c, arg, e);
}

/* ---- its files ------------------------------------------------------------------------------- */

static void add_files(read_call *c, const sm_files *files)
{
    if (c->n_files == 0) { /* the usual case is one path: its files are not copied */
        c->files = files->items;
        c->n_files = c->cap_files = files->n;
        return;
    }
    for (int64_t i = 0; i < files->n; i++) {
        c->files =
            sm_arena_grow(c->names->arena, c->files, c->n_files, &c->cap_files, sizeof(*c->files));
        c->files[c->n_files++] = files->items[i];
    }
}

static sm_status find_files(read_call *c, sm_str path, sm_error *e)
{
    const sm_files *chosen = sm_map_get(c->names->files, path);
    sm_files found = {0};

    if (chosen) {
        c->known = sm_map_get(c->names->known, path);
        add_files(c, chosen);
        return SM_OK;
    }
    SM_TRY(
        sm_files_find(c->names->stores, path, c->match, c->file_date, c->names->arena, &found, e));
    smi_names_hold_store(c->names, found.store); /* instead of sm_files_release */
    add_files(c, &found);
    if (found.n == 0) {
        const char *what = c->match.len > 0 ? "no file matches in" : "there is no file at";
        return sm_fail(e, SM_NOT_FOUND, "%s \"%.*s\"", what, SM_STR_ARG(path));
    }
    return SM_OK;
}

/* ---- its columns ----------------------------------------------------------------------------- */

static sm_status fail_empty(const read_call *c, sm_error *e)
{
    const sm_status st = c->n_files == 1
                             ? smi_arg_fail(c->path, e, SM_INVALID, "no columns: \"%.*s\" is empty",
                                            SM_STR_ARG(c->files[0].file.uri))
                             : smi_arg_fail(c->path, e, SM_INVALID,
                                            "no columns: all %d files are empty", (int)c->n_files);
    sm_error_todo(e, "Declare the columns, with columns => {name: 'TYPE', …}.");
    return st;
}

/* Is it the failure of one file, of which others may be free? Then these give the columns. */
static bool is_of_one_file(sm_status st)
{
    return st == SM_SYNTAX || st == SM_CORRUPT || st == SM_TYPE || st == SM_SCHEMA ||
           st == SM_UNSUPPORTED;
}

static sm_status sample_file(const read_call *c, sm_sample *s, const sm_datafile *f,
                             sm_sampled *all, sm_error *e)
{
    sm_blob *blob = NULL;
    sm_sampled one = {0};

    SM_TRY(sm_blob_open_tail(f->store, f->key, f->size_bytes, c->format->tail_bytes, &blob, e));
    const sm_status st = c->format->sample_file(s, blob, c->sample_size, &one, e);
    sm_blob_close(blob);
    SM_TRY(st);
    all->n_files += one.n_files;
    all->n_rows = one.n_rows < 0 ? one.n_rows : all->n_rows + one.n_rows;
    all->skips_rows = all->skips_rows || one.skips_rows;
    return SM_OK;
}

/* The columns of a sample that has ended. Those of earlier files count as if their lines were part
 * of it, also where no file of it has a line. */
static void take_columns(read_call *c, sm_sample *s, const sm_sampled *all)
{
    sm_arena *a = c->names->arena;

    c->sampled = all;
    c->columns = all->n_files > 0 ? c->format->sample_end(s, c->known, a) : c->known;
    if (c->known) {
        c->columns = smi_fit_type(c->format, c->columns, c->known, a);
    }
}

/* Finds the columns in the first files that have some: one that is blank, empty or broken does not
 * decide for the others. Where no file has any, they are those of earlier files, or of the table
 * that the rows go to; else the error is that of the first that is not empty. */
static sm_status find_columns(read_call *c, sm_error *e)
{
    sm_sample *s = c->format->sample_new(c->options);
    sm_sampled *all = SM_NEW(c->names->arena, sm_sampled);
    sm_error first = {0};
    sm_status st = SM_OK;

    for (int64_t i = 0; i < c->n_files; i++) {
        sm_error why = {0};
        if (c->files[i].file.size_bytes == 0) {
            continue;
        }
        if (c->max_sample_files >= 0 && all->n_files == c->max_sample_files) {
            all->skips_files = true;
            break;
        }
        st = sample_file(c, s, &c->files[i].file, all, &why);
        if (st != SM_OK && first.status == SM_OK) {
            first = why;
        }
        if (st != SM_OK && !is_of_one_file(st)) {
            first = why;
            goto done;
        }
    }
    SM_ASSERT(all->n_files <= c->n_files);
    if (all->n_files == 0 && !c->known && !c->format->look) { /* without a footer it may be empty */
        c->known = c->names->expected;
    }
    st = all->n_files > 0 || c->known ? SM_OK
         : first.status != SM_OK      ? first.status
                                      : fail_empty(c, &first);
    if (st == SM_OK) {
        take_columns(c, s, all);
    }
done:
    if (st != SM_OK && e) {
        *e = first;
    }
    c->format->sample_free(s);
    return st;
}

/* ---- keys that no column takes --------------------------------------------------------------- */

/* A pipeline may say it of a source, for all that read it. */
static sm_status take_source_policy(read_call *c, sm_str path, sm_error *e)
{
    const intptr_t said = (intptr_t)sm_map_get(c->names->unknown, path);
    const sm_policy policy = (sm_policy)(said - 1);

    if (said == 0) {
        return SM_OK;
    }
    if (c->says_unknown && c->unknown != policy) {
        return smi_arg_fail(c->says_unknown, e, SM_INVALID,
                            "the source has unknown: %s, and this is unknown => '%s'",
                            sm_policy_name(policy), sm_policy_name(c->unknown));
    }
    if (policy == SM_POLICY_KEEP && !c->format->rescues) {
        return smi_arg_fail(c->path, e, SM_UNSUPPORTED,
                            "the source has unknown: keep, which read_%s cannot", c->format->name);
    }
    c->unknown = policy;
    c->looks_everywhere = true;
    return SM_OK;
}

/* Settles what is done with them. Who declares columns wants no others, so keys beyond them are
 * ignored unless something else was said. */
static sm_status settle_unknown(read_call *c, sm_error *e)
{
    if (!c->says_unknown) {
        c->unknown = c->sampled ? SM_POLICY_FAIL : SM_POLICY_IGNORE;
    }
    for (int32_t i = 0; i < c->n_paths; i++) {
        SM_TRY(take_source_policy(c, c->paths[i], e));
    }
    c->looks_everywhere = c->looks_everywhere || c->validate_all || c->unknown == SM_POLICY_KEEP;
    return SM_OK;
}

/* ---- its dataset ----------------------------------------------------------------------------- */

/* Finds columns in folders' names. Where they were not asked for, they are only added to those that
 * the files have or that were declared. Where they were, they also replace those of the same
 * names. */
static sm_status find_hive(read_call *c, sm_error *e)
{
    sm_arena *const a = c->names->arena;
    smi_hive found;

    if (c->hive_given && !c->hive_wanted) {
        return SM_OK;
    }
    SM_TRY(smi_arg_place(c->path, e,
                         smi_hive_find(c->files, c->n_files, c->hive_wanted, a, &found, e)));
    c->hive.columns = found.columns;
    for (int32_t i = 0; i < found.n; i++) {
        smi_hive_column column = found.columns[i];
        const int32_t stored = sm_type_find(c->columns, column.field.name);
        if (stored >= 0 && !c->hive_wanted) {
            continue;
        }
        if (stored >= 0) {
            sm_field *const rest = SM_NEW_ARRAY(a, sm_field, c->columns->n_fields);
            const int32_t n_before = stored, n_behind = c->columns->n_fields - stored - 1;
            memcpy(rest, c->columns->fields, (size_t)n_before * sizeof(*rest));
            memcpy(rest + n_before, c->columns->fields + stored + 1,
                   (size_t)n_behind * sizeof(*rest));
            column.field.type = c->sampled ? column.field.type : c->columns->fields[stored].type;
            c->columns = sm_type_struct(a, rest, n_before + n_behind);
        }
        c->hive.columns[c->hive.n++] = column;
    }
    return SM_OK;
}

/* Makes the dataset's schema: stored columns, the unknown keys where they are kept, then `filename`
 * and `file_date` where they are wanted, then those of folders. */
static sm_status full_schema(read_call *c, const sm_type **out, sm_error *e)
{
    static const sm_field filename = {.name = {"filename", 8}, .type = &sm_type_string};
    static const sm_field file_date = {.name = {"file_date", 9}, .type = &sm_type_date};
    static const sm_field rescued = {
        .name = {SM_RESCUED, sizeof(SM_RESCUED) - 1}, .type = &sm_type_string, .is_nullable = true};
    const bool rescues = c->unknown == SM_POLICY_KEEP;
    const int32_t n = c->columns->n_fields;
    sm_field *fields = SM_NEW_ARRAY(c->names->arena, sm_field, n + 3 + c->hive.n);
    int32_t n_fields = n;

    for (int32_t i = 0; i < n; i++) {
        fields[i] = c->columns->fields[i];
        const bool is_taken = (c->filename && sm_str_eq(fields[i].name, filename.name)) ||
                              (c->file_date && sm_str_eq(fields[i].name, file_date.name)) ||
                              (rescues && sm_str_eq_nocase(fields[i].name, rescued.name));
        if (is_taken) {
            return smi_arg_fail(c->path, e, SM_INVALID,
                                "the files have a column \"%.*s\" of their own",
                                SM_STR_ARG(fields[i].name));
        }
    }
    if (rescues) {
        fields[n_fields++] = rescued;
    }
    if (c->filename) {
        fields[n_fields++] = filename;
    }
    if (c->file_date) {
        fields[n_fields++] = file_date;
    }
    for (int32_t i = 0; i < c->hive.n; i++) {
        const sm_field column = c->hive.columns[i].field;
        if ((c->filename && sm_str_eq_nocase(column.name, filename.name)) ||
            (c->file_date && sm_str_eq_nocase(column.name, file_date.name)) ||
            (rescues && sm_str_eq_nocase(column.name, rescued.name))) {
            return smi_arg_fail(c->path, e, SM_INVALID, "the folders have a column \"%.*s\" too",
                                SM_STR_ARG(column.name));
        }
        fields[n_fields++] = column;
    }
    *out = sm_type_struct(c->names->arena, fields, n_fields);
    return SM_OK;
}

static sm_status set_constants(const read_call *c, const sm_found_file *from, sm_datafile *f,
                               sm_error *e)
{
    sm_value *values = NULL;
    int n = 0;

    if (!c->filename && !c->file_date && c->hive.n == 0) {
        return SM_OK; /* there may be 100,000 files: no memory for each */
    }
    values = SM_NEW_ARRAY(c->names->arena, sm_value, 2 + c->hive.n);

    if (c->filename) {
        values[n++] = sm_value_str(f->uri);
    }
    if (c->file_date) {
        if (!from->has_date) {
            const sm_status st = smi_arg_fail(
                c->path, e, SM_INVALID, "the file \"%.*s\" has no date", SM_STR_ARG(from->name));
            sm_error_todo(e, SMI_DATE_ADVICE);
            return st;
        }
        values[n++] = (sm_value){.type = &sm_type_date, .as.i = from->date};
    }
    for (int32_t i = 0; i < c->hive.n; i++) {
        SM_TRY(smi_arg_place(
            c->path, e, smi_hive_value(&c->hive, i, f->uri, c->names->arena, &values[n++], e)));
    }
    SM_ASSERT(n == (c->filename ? 1 : 0) + (c->file_date ? 1 : 0) + c->hive.n);
    f->constants = values;
    return SM_OK;
}

static sm_status make_dataset(read_call *c, sm_dataset *d, sm_error *e)
{
    *d = (sm_dataset){
        .format = c->format,
        .options = c->options,
        .n_constants = (c->filename ? 1 : 0) + (c->file_date ? 1 : 0) + c->hive.n,
        .rescues = c->unknown == SM_POLICY_KEEP,
        .files = SM_NEW_ARRAY(c->names->arena, sm_datafile, c->n_files + 1),
        .n_files = c->n_files,
        .morsel_bytes = c->names->morsel_bytes,
        .sampled = c->sampled,
    };
    SM_TRY(full_schema(c, &d->schema, e));
    SM_ASSERT(d->schema && sm_dataset_keys(d) == c->columns->n_fields);
    for (int64_t i = 0; i < c->n_files; i++) {
        d->files[i] = c->files[i].file;
        SM_TRY(set_constants(c, &c->files[i], &d->files[i], e));
    }
    return SM_OK;
}

static sm_status read_relation(sm_names *n, const sm_format *format, const sm_table_arg *args,
                               int32_t n_args, sm_relation *out, sm_error *e)
{
    read_call c = {
        .names = n,
        .format = format,
        .options = sm_arena_alloc(n->arena, format->opts_bytes + 1),
        .sample_size = SMI_SAMPLE_ROWS,
        .max_sample_files = SMI_SAMPLE_FILES,
    };
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);

    SM_TRY(sm_options_default(format->options, c.options, e));
    for (int32_t i = 0; i < n_args; i++) {
        SM_TRY(set_argument(&c, &args[i], e));
    }
    if (!c.path) {
        return sm_fail(e, SM_INVALID, "read_%s needs a path", format->name);
    }
    for (int32_t i = 0; i < c.n_paths; i++) {
        SM_TRY(smi_arg_place(c.path, e, find_files(&c, c.paths[i], e)));
    }
    if (!c.columns) {
        SM_TRY(find_columns(&c, e));
    }
    SM_TRY(find_hive(&c, e));
    SM_TRY(settle_unknown(&c, e));
    SM_TRY(make_dataset(&c, d, e));
    *out = (sm_relation){
        .dataset = d,
        .label =
            sm_arena_strf(n->arena, "%.*s%s", SM_STR_ARG(c.paths[0]), c.n_paths > 1 ? ", …" : ""),
        .keep_refused = c.keep_refused,
        .validate_all = c.validate_all,
        .count_unknown = c.looks_everywhere,
        .unknown = c.unknown == SM_POLICY_FAIL ? SM_UNKNOWN_FAIL : SM_UNKNOWN_COUNT,
    };
    return SM_OK;
}

/* ---- delta_scan ------------------------------------------------------------------------------ */

static const sm_str at_names[] = {{"version", 7}, {"timestamp", 9}};

static bool names_version(const sm_table_arg *arg)
{
    return sm_str_eq(arg->name, at_names[0]) || sm_str_eq(arg->name, at_names[1]);
}

static sm_status no_such_scan_argument(const sm_table_arg *arg, sm_error *e)
{
    const sm_status st =
        smi_arg_fail(arg, e, SM_NAME, "delta_scan has no argument \"%.*s\"", SM_STR_ARG(arg->name));
    const char *nearest = sm_nearest_name(arg->name, at_names, SM_COUNT(at_names));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_status delta_scan(sm_names *n, const sm_table_arg *args, int32_t n_args, sm_relation *out,
                            sm_error *e)
{
    const sm_table_arg *place = NULL;
    sm_table_at at = {.kind = SM_AT_NEWEST};
    sm_str uri = {0};
    bool is_there = false;

    for (int32_t i = 0; i < n_args; i++) {
        if (args[i].name.len == 0 && !place) {
            place = &args[i];
            SM_TRY(smi_arg_text(place, "a table's place", &uri, e));
        } else if (args[i].name.len == 0) {
            return smi_arg_fail(&args[i], e, SM_INVALID, "delta_scan takes the place of one table");
        } else if (!names_version(&args[i])) {
            return no_such_scan_argument(&args[i], e);
        } else if (at.kind != SM_AT_NEWEST) {
            return smi_arg_fail(&args[i], e, SM_INVALID,
                                "delta_scan takes one version or one timestamp");
        } else {
            SM_TRY(smi_arg_at(&args[i], &at, e));
        }
    }
    if (!place) {
        return sm_fail(e, SM_INVALID, "delta_scan needs the place of a table");
    }
    uri = sm_arena_str(n->arena, uri);
    return smi_arg_place(place, e, smi_table_relation(n, uri, &at, uri, &is_there, out, e));
}

/* ---- FROM 'path' ----------------------------------------------------------------------------- */

static sm_status no_format(const sm_table_arg *arg, sm_str path, sm_error *e)
{
    sm_buf names = {0};

    const sm_status st = smi_arg_fail(
        arg, e, SM_INVALID, "\"%.*s\" is not a Delta table, and its name has no known format",
        SM_STR_ARG(path));
    for (int i = 0; sm_formats[i]; i++) {
        if (sm_format_is_read(sm_formats[i])) {
            sm_buf_printf(&names, "%sread_%s", names.len > 0 ? ", " : "", sm_formats[i]->name);
        }
    }
    sm_error_todo(e, "Say how to read it: %.*s.", SM_STR_ARG(sm_buf_str(&names)));
    sm_buf_release(&names);
    return st;
}

static sm_status from_path(sm_names *n, const sm_table_arg *args, int32_t n_args, sm_relation *out,
                           sm_error *e)
{
    sm_str path = {0}, folder, name;
    sm_table_at at = {.kind = SM_AT_NEWEST};
    bool is_there = false;

    SM_ASSERT(n_args == 1 || (n_args == 2 && names_version(&args[1])));
    SM_TRY(smi_arg_text(args, "a path", &path, e));
    path = sm_arena_str(n->arena, path);
    sm_uri_split(path, &folder, &name);
    const sm_format *format = sm_format_of_name(name);
    if (format && n_args > 1) {
        return smi_arg_fail(&args[1], e, SM_INVALID,
                            "only a Delta table has versions, and \"%.*s\" is a file",
                            SM_STR_ARG(path));
    }
    if (format) {
        return read_relation(n, format, args, n_args, out, e);
    }
    if (n_args > 1) {
        SM_TRY(smi_arg_at(&args[1], &at, e));
    }
    sm_status st = smi_table_relation(n, path, &at, path, &is_there, out, e);
    if (st == SM_NOT_FOUND && !is_there) {
        if (memchr(path.data, '*', path.len)) {
            return no_format(args, path, e);
        }
        sm_files found = {0};
        st = sm_files_find(n->stores, path, (sm_str){0}, false, n->arena, &found, e);
        sm_files_release(&found);
        st = st == SM_NOT_FOUND ? st : no_format(args, path, e);
    }
    return smi_arg_place(args, e, st);
}

/* ---- the function of a name ------------------------------------------------------------------ */

static sm_status no_such_function(sm_str name, sm_arena *a, sm_error *e)
{
    sm_str names[MOST_NAMES] = {SM_STR("delta_scan"), SM_STR("table_changes")};
    int64_t n = 2;

    for (int i = 0; sm_formats[i] && n < MOST_NAMES; i++) {
        if (sm_format_is_read(sm_formats[i])) {
            names[n++] = sm_arena_strf(a, "read_%s", sm_formats[i]->name);
        }
    }
    const char *nearest = sm_nearest_name(name, names, n);
    const sm_status st = sm_fail(e, SM_NAME, "no table function \"%.*s\"", SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_status make_relation(sm_names *n, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e)
{
    const sm_str read = SM_STR("read_");

    if (name.len == 0) {
        return from_path(n, args, n_args, out, e);
    }
    if (sm_str_eq_nocase(name, SM_STR("delta_scan"))) {
        return delta_scan(n, args, n_args, out, e);
    }
    if (sm_str_eq_nocase(name, SM_STR("table_changes"))) {
        return smi_changes_relation(n, args, n_args, out, e);
    }
    if (name.len > read.len && sm_str_eq_nocase((sm_str){name.data, read.len}, read)) {
        for (int i = 0; sm_formats[i]; i++) {
            const sm_str rest = {name.data + read.len, name.len - read.len};
            if (sm_format_is_read(sm_formats[i]) &&
                sm_str_eq_nocase(rest, sm_str_of(sm_formats[i]->name))) {
                return read_relation(n, sm_formats[i], args, n_args, out, e);
            }
        }
    }
    return no_such_function(name, a, e);
}

sm_status smi_resolve_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e)
{
    sm_names *n = ctx;

    const sm_str key = smi_call_text(name, args, n_args, a);
    const sm_relation *known = sm_map_get(n->calls, key);
    if (known) {
        *out = *known;
        return SM_OK;
    }
    sm_relation *made = SM_NEW(n->arena, sm_relation);
    SM_TRY(make_relation(n, name, args, n_args, a, made, e));
    *sm_map_at(n->calls, key) = made;
    *out = *made;
    return SM_OK;
}
