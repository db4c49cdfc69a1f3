/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_widen.c: type widening: which types a column's type may become without its files
 * being written anew, and the record of it in the column's metadata. Called by whoever changes a
 * schema; what reads old files is the conversion of the Parquet reader.
 *
 * Table    byte -> short -> integer -> long; float -> double; byte, short, integer -> double;
 *          date -> timestamp_ntz; a decimal to one with no fewer digits before and behind the
 *          point; byte, short, integer -> decimal(10 + k, s) and long -> decimal(20 + k, s), both
 *          with s <= k
 * Record   delta.typeChanges of the nearest field of a struct: [{"fromType","toType",
 *          "fieldPath"}], the oldest first
 * Source   PROTOCOL.md, "Type Widening" */
#include "delta/delta_int.h"

#define TYPE_CHANGES "delta.typeChanges"

/* Digits before the point that a decimal needs for each integer of a type, as the protocol says. */
static int whole_digits(sm_type_id id)
{
    return id == SM_TYPE_I64 ? 20 : 10;
}

static bool may_become_decimal(const sm_type *from, const sm_type *to)
{
    const int whole = to->precision - to->scale;

    if (from->id == SM_TYPE_DECIMAL) {
        const bool is_same = from->precision == to->precision && from->scale == to->scale;
        return !is_same && to->scale >= from->scale && whole >= from->precision - from->scale;
    }
    return sm_type_is_signed(from->id) && whole >= whole_digits(from->id);
}

bool sm_delta_may_widen(const sm_type *from, const sm_type *to)
{
    SM_ASSERT(from && to);
    if (to->id == SM_TYPE_DECIMAL) {
        return may_become_decimal(from, to);
    }
    switch (from->id) {
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
        return to->id == SM_TYPE_F64 ||
               (sm_type_is_signed(to->id) && sm_type_bytes(to->id) > sm_type_bytes(from->id));
    case SM_TYPE_F32:
        return to->id == SM_TYPE_F64;
    case SM_TYPE_DATE:
        return to->id == SM_TYPE_TIMESTAMP_NTZ;
    default:
        return false;
    }
}

bool smi_was_float(const sm_field *f)
{
    bool was = false;

    for (int32_t i = 0; i < f->n_meta && !was; i++) {
        was = sm_str_is(f->meta[i].key, TYPE_CHANGES) && f->type->id == SM_TYPE_F64 &&
              memmem(f->meta[i].json.data, f->meta[i].json.len, "\"float\"", strlen("\"float\""));
    }
    return was;
}

/* {"fromType":"integer","toType":"long"} */
static void put_change(sm_json_writer *w, sm_str within, const sm_type *from, const sm_type *to)
{
    sm_json_begin_object(w);
    sm_json_key(w, SM_STR("fromType"));
    smi_put_type_name(from, w);
    sm_json_key(w, SM_STR("toType"));
    smi_put_type_name(to, w);
    if (within.len > 0) {
        sm_json_set_text(w, "fieldPath", within);
    }
    sm_json_end_object(w);
}

void sm_delta_note_widened(sm_field *f, sm_str within, const sm_type *from, const sm_type *to,
                           sm_arena *a)
{
    sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, f->n_meta + 1);
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};
    int32_t at = f->n_meta;

    SM_ASSERT(sm_delta_may_widen(from, to));
    for (int32_t i = 0; i < f->n_meta; i++) {
        meta[i] = f->meta[i];
        at = sm_str_is(meta[i].key, TYPE_CHANGES) ? i : at;
    }
    sm_str list = at < f->n_meta ? meta[at].json : SM_STR("[]");
    while (list.len > 1 && list.data[list.len - 1] != ']') { /* spaces of another writer */
        list.len--;
    }
    sm_buf_text(&text, (sm_str){list.data, list.len - 1});
    if (memchr(list.data, '{', list.len)) {
        sm_buf_text(&text, SM_STR(","));
    }
    put_change(&w, within, from, to);
    sm_buf_text(&text, SM_STR("]"));
    meta[at] = (sm_field_meta){SM_STR(TYPE_CHANGES), sm_arena_str(a, sm_buf_str(&text))};
    f->meta = meta;
    f->n_meta += at == f->n_meta;
    sm_buf_release(&text);
}
