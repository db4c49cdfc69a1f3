/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_reader.c: which programs can read a table, and those that must stay able to: the
 * property smelt.readers names them. Called before each commit, and to show a table.
 *
 * Rule    A commit that would turn on a feature which a declared reader does not know is refused,
 *         whatever made it: ALTER TABLE, a load, a conversion. So is the declaration of a reader
 *         that does not know what the table has. What other writers have turned on is left alone:
 *         refusing every commit would help nobody.
 * Table   readers.def */
#include "delta/delta_int.h"

#define READERS "smelt.readers"

static const char *const features[] = {
    "columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "v2Checkpoint",
};

static const struct reader {
    const char *name;
    bool knows[SM_COUNT(features)];
} readers[] = {
#define SM_READER(name, mapping, vectors, ntz, widening, v2)                                       \
    {name, {mapping, vectors, ntz, widening, v2}},
#include "delta/readers.def"
#undef SM_READER
};

/* ---- the property ---------------------------------------------------------------------------- */

/* Takes the next name of "a, b"; false at the end. */
static bool take_name(sm_str *rest, sm_str *out)
{
    while (rest->len > 0 && (rest->data[0] == ' ' || rest->data[0] == ',')) {
        rest->data++;
        rest->len--;
    }
    *out = (sm_str){rest->data, 0};
    while (out->len < rest->len && rest->data[out->len] != ',') {
        out->len++;
    }
    rest->data += out->len;
    rest->len -= out->len;
    while (out->len > 0 && out->data[out->len - 1] == ' ') {
        out->len--;
    }
    return out->len > 0;
}

static const struct reader *find_reader(sm_str name)
{
    for (int i = 0; i < SM_COUNT(readers); i++) {
        if (sm_str_eq_nocase(name, sm_str_of(readers[i].name))) {
            return &readers[i];
        }
    }
    return NULL;
}

bool smi_are_readers(sm_str list)
{
    sm_str name = {0};
    bool are = true;

    while (are && take_name(&list, &name)) {
        are = find_reader(name) != NULL;
    }
    return are;
}

static bool is_declared(const sm_delta_metadata *m, const struct reader *r)
{
    sm_str list = m ? smi_config(m, READERS) : (sm_str){0}, name = {0};
    bool is = false;

    while (!is && take_name(&list, &name)) {
        is = find_reader(name) == r;
    }
    return is;
}

/* ---- what they can read ---------------------------------------------------------------------- */

/* A feature of the protocol that the reader does not know; NULL: it knows all. `but`: the features
 * of this protocol do not count; NULL: all count. */
static const char *unknown_to(const struct reader *r, const sm_delta_protocol *p,
                              const sm_delta_protocol *but)
{
    for (int i = 0; i < SM_COUNT(features) && p->min_reader >= 2; i++) { /* 1 asks for nothing */
        if (!r->knows[i] && sm_delta_has_feature(p, features[i]) &&
            !(but && sm_delta_has_feature(but, features[i]))) {
            return features[i];
        }
    }
    return NULL;
}

sm_status sm_delta_check_readers(const sm_snapshot *base, const sm_delta_protocol *p,
                                 const sm_delta_metadata *m, sm_error *e)
{
    SM_ASSERT(p && m);
    for (int i = 0; i < SM_COUNT(readers); i++) {
        const struct reader *r = &readers[i];
        if (!is_declared(m, r)) {
            continue;
        }
        const bool is_old = base && is_declared(&base->metadata, r);
        const char *feature = unknown_to(r, p, is_old ? &base->protocol : NULL);
        if (feature) {
            const sm_status st =
                sm_fail(e, SM_DENIED,
                        "the table is declared to be read by %s, which does not know the table "
                        "feature %s",
                        r->name, feature);
            sm_error_todo(
                e, "Leave the feature off, or take %s out of the table's property " READERS ".",
                r->name);
            return st;
        }
    }
    return SM_OK;
}

int32_t sm_delta_readers_of(const sm_delta_protocol *p, const char *const **out, sm_arena *a)
{
    const char **names = SM_NEW_ARRAY(a, const char *, SM_COUNT(readers));
    int32_t n = 0;

    for (int i = 0; i < SM_COUNT(readers); i++) {
        if (!unknown_to(&readers[i], p, NULL)) {
            names[n++] = readers[i].name;
        }
    }
    SM_ASSERT(n <= SM_COUNT(readers));
    *out = names;
    return n;
}
