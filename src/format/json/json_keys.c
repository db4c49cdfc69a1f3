/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_keys.c: counts the keys that columns take: how many kept lines have each, and
 * how many lines were refused because its value does not fit. With the unknown keys
 * (json_unknown.c) they are the schema that the source has, as drift is told by it.
 *
 * Keys     outside of lists and MAPs; a key with null counts as there. They are counted where
 *          unknown keys are looked for in all objects, as only then all objects are read.
 * Calls    reset for each morsel. Lines that json_row.c reads are counted here, one by one;
 *          json_shape.c counts sets of keys, and adds them up at the end of the morsel.
 * Callers  json.c; json_schema.c finds the nodes. */
#include "format/json/json_int.h"

void smi_json_keys_reset(smi_json_schema *s)
{
    for (int32_t i = 0; i < s->n_keyed; i++) {
        s->keyed[i]->n_lines = 0;
        s->keyed[i]->n_misfits = 0;
        s->keyed[i]->misfit_kinds = 0;
    }
}

static void count_object(smi_json_node *object);

static void count_field(smi_json_node *field)
{
    field->n_lines++;
    if (field->id == SM_TYPE_STRUCT && field->slot.token.kind == SM_JSON_IS_OBJECT) {
        SM_ASSERT(field->is_walked); /* so its own slots are filled */
        count_object(field);
    }
}

static void count_object(smi_json_node *object)
{
    if (object->table) {
        for (smi_json_node *field = object->first_seen; field; field = field->next_seen) {
            count_field(field);
        }
        return;
    }
    for (int32_t i = 0; i < object->n_fields; i++) {
        if (object->fields[i].slot.seen == object->seen_open) {
            count_field(&object->fields[i]);
        }
    }
}

void smi_json_keys_count(smi_json_schema *s)
{
    if (s->n_keyed > 0) {
        count_object(&s->root);
    }
}

const sm_known_key *smi_json_keys(smi_json_schema *s, int64_t *n)
{
    for (int32_t i = 0; i < s->n_keyed; i++) {
        s->keys[i].lines = s->keyed[i]->n_lines;
        s->keys[i].misfits = s->keyed[i]->n_misfits;
        s->keys[i].misfit_kinds = s->keyed[i]->misfit_kinds;
    }
    *n = s->n_keyed;
    return s->keys;
}

/* ---- kinds of values ------------------------------------------------------------------------- */

#define SHORT_DIGITS 15
#define LONG_DIGITS  18 /* so many always fit BIGINT */

static uint32_t number_kind(const uint8_t *p)
{
    const uint8_t *first = p;
    sm_i128 v = 0;

    p += *p == '-';
    const uint8_t *digits = p;
    while (*p >= '0' && *p <= '9') {
        p++;
    }
    if (*p == '.' || (*p | 0x20) == 'e') {
        return SM_KEY_FRACTION;
    }
    if (p - digits <= LONG_DIGITS) {
        return p - digits <= SHORT_DIGITS ? SM_KEY_SHORT : SM_KEY_LONG;
    }
    return smi_json_exact(first, (size_t)(p - first), 0, &v) == SMI_JSON_OK && v >= INT64_MIN &&
                   v <= INT64_MAX
               ? SM_KEY_LONG
               : SM_KEY_HUGE;
}

uint32_t smi_json_kind(const uint8_t *p)
{
    switch (*p) {
    case '"':
        return SM_KEY_TEXT;
    case '{':
        return SM_KEY_OBJECT;
    case '[':
        return SM_KEY_LIST;
    case 't':
    case 'f':
        return SM_KEY_BOOLEAN;
    case 'n':
        return SM_KEY_NULL;
    default:
        return number_kind(p);
    }
}
