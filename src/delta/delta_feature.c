/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_feature.c: may this table be read, and may it be written? Decided by its protocol
 * versions and the features in features.def. Called when a snapshot is opened and before a commit.
 *
 * Source  PROTOCOL.md, "Table Features", "Reader Version Requirements", "Writer Version
 *         Requirements" */
#include "delta/delta_int.h"

#include <assert.h>

static const struct feature {
    const char *name;
    bool can_read, can_write;
} features[] = {
#define SM_FEATURE(name, can_read, can_write) {#name, can_read, can_write},
#include "delta/features.def"
#undef SM_FEATURE
};

/* What is written must be readable: a snapshot is opened before a commit. */
#define SM_FEATURE(name, can_read, can_write)                                                      \
    static_assert((can_read) || !(can_write), #name " can be written but not read");
#include "delta/features.def"
#undef SM_FEATURE

/* A preview's name means the same feature (typeWidening-preview). */
static const struct feature *find_feature(sm_str name)
{
    if (sm_str_ends(name, SM_STR("-preview"))) {
        name.len -= strlen("-preview");
    }
    for (int i = 0; i < SM_COUNT(features); i++) {
        if (sm_str_is(name, features[i].name)) {
            return &features[i];
        }
    }
    return NULL;
}

sm_status smi_check_reader(const sm_delta_protocol *p, sm_error *e)
{
    if (p->min_reader > 3) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "the table needs reader version %d; versions 1 to 3 can be read",
                       p->min_reader);
    }
    for (int32_t i = 0; i < p->n_reader_features; i++) {
        const struct feature *f = find_feature(p->reader_features[i]);
        if (!f || !f->can_read) {
            return sm_fail(e, SM_UNSUPPORTED,
                           "the table needs the reader feature \"%.*s\", which is not supported",
                           SM_STR_ARG(p->reader_features[i]));
        }
    }
    return SM_OK;
}

static bool has_invariants(const sm_type *t)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        for (int32_t m = 0; m < t->fields[i].n_meta; m++) {
            if (sm_str_is(t->fields[i].meta[m].key, "delta.invariants")) {
                return true;
            }
        }
        if (has_invariants(t->fields[i].type)) {
            return true;
        }
    }
    return false;
}

sm_status smi_check_writer(const sm_delta_protocol *p, const sm_delta_metadata *m, sm_error *e)
{
    if (p->min_writer > 2 && p->min_writer != 7) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "the table needs writer version %d; versions 1, 2 and 7 can be written",
                       p->min_writer);
    }
    for (int32_t i = 0; i < p->n_writer_features; i++) {
        const struct feature *f = find_feature(p->writer_features[i]);
        if (!f || !f->can_write) {
            return sm_fail(e, SM_UNSUPPORTED,
                           "the table needs the writer feature \"%.*s\", which is not supported",
                           SM_STR_ARG(p->writer_features[i]));
        }
    }
    if (has_invariants(m->schema)) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "the table declares column invariants, which are not supported");
    }
    return SM_OK;
}

sm_status sm_delta_check_vacuum(const sm_snapshot *s, sm_error *e)
{
    const sm_delta_protocol *p = &s->protocol;

    SM_ASSERT(s->files); /* it is finished, so its reader features were checked */
    if (p->min_writer > 7) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "the table needs writer version %d; versions 1 to 7 can be vacuumed",
                       p->min_writer);
    }
    for (int32_t i = 0; i < p->n_writer_features; i++) {
        const struct feature *f = find_feature(p->writer_features[i]);
        SM_ASSERT(!f || f->can_read);
        if (!f || sm_str_starts(sm_str_of(f->name), SM_STR("icebergCompat"))) {
            return sm_fail(e, SM_UNSUPPORTED,
                           "the table needs the writer feature \"%.*s\", with which it cannot be "
                           "vacuumed",
                           SM_STR_ARG(p->writer_features[i]));
        }
    }
    return SM_OK;
}
