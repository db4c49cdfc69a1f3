/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_fit.c: fits columns that were found in a sample of files to columns that are known:
 * those of earlier files (table_function.c), or those of the table that the rows go to (a load). A
 * sample says what it saw. The known columns say the rest, as if the lines of earlier files were
 * part of it:
 *
 * a column or field that the sample lacks     is as it is known, and NULL in these rows
 * one of which it saw only NULL               has the known type
 * VARCHAR is known                            the text of every scalar fits
 * DOUBLE, or a DECIMAL without a fraction     integers fit (reading refuses one that it cannot
 *                                             hold exactly)
 * a DECIMAL or FLOAT that is_rounded          every number fits, and is rounded once, from its text
 * STRUCT, LIST, MAP                           the same for their fields
 * anything else                               keeps the type that was found: it differs, and
 *                                             whoever writes the rows says so
 *
 * Files with footers have types of their own. There, only types fit that Delta may widen. */
#include "table/table_int.h"

/* Can every value of the type that was found be read as the known one? */
static bool takes(const sm_format *f, const sm_type *known, const sm_type *found)
{
    if (sm_type_is_nested(known->id) || sm_type_is_nested(found->id)) {
        return false;
    }
    if (f->look) { /* it has a footer */
        return sm_delta_may_widen(found, known);
    }
    if (known->is_rounded) {
        return sm_type_is_number(found->id);
    }
    const bool is_whole =
        sm_type_is_integer(found->id) || (found->id == SM_TYPE_DECIMAL && found->scale == 0);
    const int digits = found->id == SM_TYPE_DECIMAL ? found->precision : sm_type_digits(found->id);
    return known->id == SM_TYPE_STRING || (known->id == SM_TYPE_F64 && is_whole) ||
           (known->id == SM_TYPE_DECIMAL && known->scale == 0 && is_whole &&
            known->precision >= digits);
}

/* The field of that name; else the only one whose name differs in case, if `name` is the only one
 * of `other` that does; else −1. */
static int32_t find_field(const sm_type *t, sm_str name, const sm_type *other)
{
    const int32_t i = sm_type_find(t, name);

    if (i < 0 || sm_str_eq(t->fields[i].name, name)) {
        return i;
    }
    const int32_t same = sm_type_find(other, t->fields[i].name);
    return same < 0 || sm_str_eq(other->fields[same].name, t->fields[i].name) ? -1 : i;
}

/* The fields that are known, in their order, then those that are new. */
static const sm_type *fit_struct(const sm_format *f, const sm_type *found, const sm_type *known,
                                 sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, found->n_fields + known->n_fields + 1);
    bool *is_taken = SM_NEW_ARRAY(a, bool, found->n_fields + 1);
    int32_t n = 0;

    SM_ASSERT(found->id == SM_TYPE_STRUCT && known->id == SM_TYPE_STRUCT);
    for (int32_t i = 0; i < known->n_fields; i++) {
        const sm_field *k = &known->fields[i];
        const int32_t at = find_field(found, k->name, known);
        const bool is_found = at >= 0 && !is_taken[at];
        fields[n++] = (sm_field){
            .name = is_found ? found->fields[at].name : sm_arena_str(a, k->name),
            .type = is_found ? smi_fit_type(f, found->fields[at].type, k->type, a)
                             : sm_type_copy(a, k->type),
            .is_nullable = true,
        };
        if (is_found) {
            is_taken[at] = true;
        }
    }
    for (int32_t i = 0; i < found->n_fields; i++) {
        if (!is_taken[i]) {
            fields[n++] = found->fields[i];
        }
    }
    SM_ASSERT(n >= found->n_fields && n >= known->n_fields);
    return sm_type_struct(a, fields, n);
}

const sm_type *smi_fit_type(const sm_format *f, const sm_type *found, const sm_type *known,
                            sm_arena *a)
{
    SM_ASSERT(known != &sm_type_unseen);
    if (found == &sm_type_unseen) {
        return sm_type_copy(a, known);
    }
    if (found == known || sm_type_eq(sm_type_widen(a, found), known)) {
        return found;
    }
    if (found->id != known->id || !sm_type_is_nested(found->id)) {
        return takes(f, known, found) ? sm_type_copy(a, known) : found;
    }
    if (found->id == SM_TYPE_STRUCT) {
        return fit_struct(f, found, known, a);
    }
    SM_ASSERT(found->n_fields == known->n_fields); /* a LIST or a MAP */
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, found->n_fields);
    sm_type *out = SM_NEW(a, sm_type);
    for (int32_t i = 0; i < found->n_fields; i++) {
        fields[i] = found->fields[i];
        fields[i].type = smi_fit_type(f, fields[i].type, known->fields[i].type, a);
    }
    *out = *found;
    out->fields = fields;
    return out;
}

/* `t` with the field at `path` fitted to `known`. */
static const sm_type *fit_type_at(const sm_format *f, const sm_type *t, const sm_str *path,
                                  int32_t n_path, const sm_type *known, sm_arena *a)
{
    if (n_path == 0) {
        return smi_fit_type(f, t, known, a);
    }
    const int32_t i = sm_type_find(t, path[0]);
    SM_ASSERT(i >= 0 && t->id == SM_TYPE_STRUCT);
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    memcpy(fields, t->fields, (size_t)t->n_fields * sizeof(*fields));
    fields[i].type = fit_type_at(f, fields[i].type, path + 1, n_path - 1, known, a);
    return sm_type_struct(a, fields, t->n_fields);
}

bool sm_names_fit_table(sm_names *n, const sm_dataset *d, const sm_str *path, int32_t n_path,
                        const sm_type *there)
{
    SM_ASSERT(n_path > 0);
    if (!d->sampled || sm_type_find(d->schema, path[0]) >= sm_dataset_keys(d)) {
        return false; /* the column was declared, or is none of the file's rows */
    }
    const sm_type *schema = fit_type_at(d->format, d->schema, path, n_path, there, n->arena);
    const bool is_other = !sm_type_eq(schema, d->schema);
    ((sm_dataset *)d)->schema = schema; /* read_relation() made it, in n's arena */
    return is_other;
}

/* Has the file a value at `path` that is not of the type `there`? */
static bool is_unlike(const sm_dataset *d, const sm_datafile *file, const sm_str *path,
                      int32_t n_path, const sm_type *there)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_sample *s = d->format->sample_new(d->options);
    sm_blob *blob = NULL;
    sm_sampled got = {0};
    sm_error ignored = {0};
    const sm_type *t = NULL;

    if (sm_blob_open_tail(file->store, file->key, file->size_bytes, d->format->tail_bytes, &blob,
                          &ignored) == SM_OK &&
        d->format->sample_file(s, blob, SMI_SAMPLE_ROWS, &got, &ignored) == SM_OK) {
        t = d->format->sample_end(s, NULL, a);
    }
    for (int32_t i = 0; t && i < n_path; i++) {
        const int32_t at = t->id == SM_TYPE_STRUCT ? sm_type_find(t, path[i]) : -1;
        t = at >= 0 ? t->fields[at].type : NULL;
    }
    const bool is = t && !sm_type_eq(sm_type_widen(a, smi_fit_type(d->format, t, there, a)), there);
    sm_blob_close(blob);
    d->format->sample_free(s);
    sm_arena_free(a);
    return is;
}

sm_str sm_names_unlike_file(const sm_dataset *d, const sm_str *path, int32_t n_path,
                            const sm_type *there)
{
    const int64_t n = d->sampled ? d->n_files : 0;

    SM_ASSERT(n_path > 0);
    for (int64_t i = 0, n_looked = 0; i < n && n_looked < SMI_SAMPLE_FILES; i++) {
        const sm_datafile *f = &d->files[i];
        if (f->size_bytes > 0 && is_unlike(d, f, path, n_path, there)) {
            return f->uri;
        }
        n_looked += f->size_bytes > 0;
    }
    return (sm_str){0};
}
