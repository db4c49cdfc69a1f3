/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_sample.c: finds the columns of files for which nobody declared any, from
 * their footers.
 *
 * Method   Columns of several files are united by name, in the order of their first appearance. A
 *          column that a file lacks is NULL in its rows. If a column has two types, the wider one
 *          is taken if reading can widen the other to it. Else the first one is, and reading
 *          reports the file that does not fit.
 * Callers  read_parquet (table_function.c), before there is a scan. Blocks. */
#include "format/parquet/parquet_int.h"

struct sm_sample {
    sm_arena *arena;
    const sm_type *schema; /* NULL: nothing yet */
};

/* ---- two types as one ------------------------------------------------------------------------ */

static const sm_type *unite(sm_arena *a, const sm_type *x, const sm_type *y);

static const sm_type *unite_structs(sm_arena *a, const sm_type *x, const sm_type *y)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, x->n_fields + y->n_fields + 1);
    int32_t n = x->n_fields;
    for (int32_t i = 0; i < n; i++) {
        fields[i] = x->fields[i];
    }
    for (int32_t i = 0; i < y->n_fields; i++) {
        const sm_field *field = &y->fields[i];
        int32_t at = 0;
        while (at < n && !sm_str_eq(fields[at].name, field->name)) {
            at++;
        }
        if (at == n) {
            fields[n++] = *field;
        } else {
            fields[at].type = unite(a, fields[at].type, field->type);
        }
    }
    for (int32_t i = 0; i < n; i++) {
        const bool is_everywhere =
            sm_type_find(x, fields[i].name) >= 0 && sm_type_find(y, fields[i].name) >= 0;
        fields[i].is_nullable = fields[i].is_nullable || !is_everywhere;
    }
    return sm_type_struct(a, fields, n);
}

/* Is x the wider type, to which reading can widen y? */
static bool is_wider(const sm_type *x, const sm_type *y)
{
    const bool are_signed = sm_type_is_integer(x->id) && sm_type_is_signed(x->id) &&
                            sm_type_is_integer(y->id) && sm_type_is_signed(y->id);
    return y->id == SM_TYPE_NULL || (x->id == SM_TYPE_F64 && y->id == SM_TYPE_F32) ||
           (are_signed && sm_type_bytes(x->id) > sm_type_bytes(y->id));
}

static const sm_type *unite(sm_arena *a, const sm_type *x, const sm_type *y)
{
    if (x->id == SM_TYPE_STRUCT && y->id == SM_TYPE_STRUCT) {
        return unite_structs(a, x, y);
    }
    if (x->id == y->id && x->id == SM_TYPE_LIST) {
        sm_field element = x->fields[0];
        element.type = unite(a, element.type, y->fields[0].type);
        element.is_nullable = element.is_nullable || y->fields[0].is_nullable;
        return sm_type_list(a, element);
    }
    return is_wider(y, x) ? y : x;
}

/* ---- the format's door ----------------------------------------------------------------------- */

sm_sample *smi_pq_sample_new(const void *opts)
{
    sm_sample *s = sm_alloc_zero(sizeof(*s));
    s->arena = sm_arena_new(NULL);
    return s;
}

sm_status smi_pq_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                             sm_error *e)
{
    sm_arena *mem = sm_arena_new(NULL);
    smi_pq_footer *footer = NULL;
    const sm_type *type = NULL;
    sm_status st = smi_pq_footer_read(blob, mem, &footer, e);
    if (st == SM_OK) {
        st = smi_pq_schema_of(footer, s->arena, &type, e);
    }
    if (st == SM_OK) {
        s->schema = s->schema ? unite(s->arena, s->schema, type) : type;
        *out = (sm_sampled){.n_rows = -1, .n_files = 1};
    } else {
        char *name = sm_arena_printf(mem, "%.*s", SM_STR_ARG(sm_blob_uri(blob)));
        sm_error_place(e, name, 0, -1);
    }
    sm_arena_free(mem);
    return st;
}

const sm_type *smi_pq_sample_end(sm_sample *s, const sm_type *known, sm_arena *a)
{
    SM_ASSERT(s->schema); /* at least one file was sampled */
    return sm_type_copy(a, s->schema);
}

void smi_pq_sample_free(sm_sample *s)
{
    if (s) {
        sm_arena_free(s->arena);
        sm_free(s);
    }
}
