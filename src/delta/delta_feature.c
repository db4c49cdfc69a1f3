/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_feature.c: may this table be read, and may it be written? Decided by its protocol
 * versions and the features in features.def. Called when a snapshot is opened and before a commit.
 *
 * Source  PROTOCOL.md, "Table Features", "Reader Version Requirements", "Writer Version
 *         Requirements" */
#include "delta/delta_int.h"

#include <assert.h>

typedef enum writing { WRITE_NO, WRITE_UNUSED, WRITE_YES } writing;

static const struct feature {
    const char *name;
    bool can_read;
    writing can_write;
    int32_t legacy_writer; /* the writer version below 7 that has it, or 0 */
} features[] = {
#define SM_FEATURE(name, can_read, can_write, legacy) {#name, can_read, WRITE_##can_write, legacy},
#include "delta/features.def"
#undef SM_FEATURE
};

/* What is written must be readable: a snapshot is opened before a commit. */
#define SM_FEATURE(name, can_read, can_write, legacy)                                              \
    static_assert((can_read) || WRITE_##can_write == WRITE_NO,                                     \
                  #name " can be written but not read");
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

bool sm_delta_has_feature(const sm_delta_protocol *p, sm_str name)
{
    bool has = false;

    for (int32_t i = 0; i < p->n_writer_features && !has; i++) {
        has = sm_str_eq(p->writer_features[i], name);
    }
    return has;
}

/* ---- which features a table uses ------------------------------------------------------------- */

static bool has_identity(const sm_type *t)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        for (int32_t m = 0; m < t->fields[i].n_meta; m++) {
            if (sm_str_starts(t->fields[i].meta[m].key, SM_STR("delta.identity."))) {
                return true;
            }
        }
        if (has_identity(t->fields[i].type)) {
            return true;
        }
    }
    return false;
}

/* Is the property set to anything but `off`? */
static bool is_on(const sm_delta_metadata *m, const char *key, const char *off)
{
    const sm_str said = smi_config(m, key);
    return said.len > 0 && !sm_str_eq_nocase(said, sm_str_of(off));
}

/* Does the table use a feature whose presence alone asks nothing of a writer? */
static bool is_used(const struct feature *f, const sm_delta_metadata *m)
{
    const sm_str name = sm_str_of(f->name);

    SM_ASSERT(f->can_write == WRITE_UNUSED);
    if (sm_str_is(name, "changeDataFeed")) {
        return is_on(m, "delta.enableChangeDataFeed", "false");
    }
    SM_ASSERT(sm_str_is(name, "identityColumns"));
    return has_identity(m->schema);
}

static bool may_write(const struct feature *f, const sm_delta_metadata *m)
{
    return f->can_write == WRITE_YES || (f->can_write == WRITE_UNUSED && !is_used(f, m));
}

/* ---- may it be written? ---------------------------------------------------------------------- */

static sm_status fail_feature(sm_str name, sm_error *e)
{
    return sm_fail(e, SM_UNSUPPORTED,
                   "the table needs the writer feature \"%.*s\", which is not supported",
                   SM_STR_ARG(name));
}

sm_status smi_check_writer(const sm_delta_protocol *p, const sm_delta_metadata *m, sm_error *e)
{
    if (p->min_writer > 7) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "the table needs writer version %d; versions 1 to 7 can be written",
                       p->min_writer);
    }
    for (int i = 0; i < SM_COUNT(features) && p->min_writer < 7; i++) {
        const struct feature *f = &features[i];
        const bool has = f->legacy_writer > 0 && f->legacy_writer <= p->min_writer;
        if (has && !may_write(f, m)) {
            return fail_feature(sm_str_of(f->name), e);
        }
    }
    for (int32_t i = 0; i < p->n_writer_features; i++) {
        const struct feature *f = find_feature(p->writer_features[i]);
        if (!f || !may_write(f, m)) {
            return fail_feature(p->writer_features[i], e);
        }
    }
    return SM_OK;
}

sm_status sm_delta_check_write(const sm_snapshot *s, sm_error *e)
{
    SM_ASSERT(s->metadata.schema);
    return smi_check_writer(&s->protocol, &s->metadata, e);
}

sm_status sm_delta_check_vacuum(const sm_snapshot *s, sm_error *e)
{
    const sm_delta_protocol *p = &s->protocol;

    SM_ASSERT(s->metadata.schema); /* it is finished, so its reader features were checked */
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
