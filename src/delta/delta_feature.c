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
    int32_t legacy_writer; /* the writer version below 7 that has it, or 0 */
} features[] = {
#define SM_FEATURE(name, can_read, can_write, legacy) {#name, can_read, can_write, legacy},
#include "delta/features.def"
#undef SM_FEATURE
};

/* What is written must be readable: a snapshot is opened before a commit. */
#define SM_FEATURE(name, can_read, can_write, legacy)                                              \
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

/* ---- more features --------------------------------------------------------------------------- */

/* Features that readers must know too. */
static bool is_for_readers(sm_str name)
{
    static const char *const names[] = {
        "columnMapping", "deletionVectors", "timestampNtz",
        "typeWidening",  "v2Checkpoint",    "vacuumProtocolCheck",
    };
    bool is = false;

    for (int i = 0; i < SM_COUNT(names) && !is; i++) {
        is = sm_str_is(name, names[i]);
    }
    return is;
}

static bool is_listed(const sm_str *names, int32_t n, const struct feature *f)
{
    bool is = false;

    for (int32_t i = 0; i < n && !is; i++) {
        is = find_feature(names[i]) == f;
    }
    return is;
}

bool sm_delta_has_feature(const sm_delta_protocol *p, const char *feature)
{
    const struct feature *f = find_feature(sm_str_of(feature));

    SM_ASSERT(f);
    if (p->min_writer < 7) {
        return f->legacy_writer > 0 && f->legacy_writer <= p->min_writer;
    }
    return is_listed(p->writer_features, p->n_writer_features, f);
}

/* The names with those that a version below 7 stands for, and room for one more. */
static sm_str *writer_names(const sm_delta_protocol *p, sm_arena *a, int32_t *n)
{
    sm_str *names = SM_NEW_ARRAY(a, sm_str, p->n_writer_features + SM_COUNT(features) + 1);

    *n = 0;
    for (; *n < p->n_writer_features; (*n)++) {
        names[*n] = p->writer_features[*n];
    }
    for (int i = 0; i < SM_COUNT(features) && p->min_writer < 7; i++) {
        if (features[i].legacy_writer > 0 && features[i].legacy_writer <= p->min_writer) {
            names[(*n)++] = sm_str_of(features[i].name);
        }
    }
    return names;
}

static sm_str *reader_names(const sm_delta_protocol *p, sm_arena *a, int32_t *n)
{
    sm_str *names = SM_NEW_ARRAY(a, sm_str, p->n_reader_features + 2);

    *n = 0;
    for (; *n < p->n_reader_features; (*n)++) {
        names[*n] = p->reader_features[*n];
    }
    if (p->min_reader == 2) { /* what version 2 stands for */
        names[(*n)++] = SM_STR("columnMapping");
    }
    return names;
}

static sm_delta_protocol with_feature(const sm_delta_protocol *p, const struct feature *f,
                                      sm_arena *a)
{
    const sm_str name = sm_str_of(f->name);
    const bool is_read = is_for_readers(name);
    sm_delta_protocol out = *p;

    if (!is_read && f->legacy_writer > 0 && p->min_writer < 7) {
        out.min_writer = f->legacy_writer;
        return out;
    }
    sm_str *names = writer_names(p, a, &out.n_writer_features);
    names[out.n_writer_features++] = name;
    out.writer_features = names;
    out.min_writer = 7;
    if (is_read) {
        names = reader_names(p, a, &out.n_reader_features);
        names[out.n_reader_features++] = name;
        out.reader_features = names;
        out.min_reader = 3;
    }
    return out;
}

sm_delta_protocol sm_delta_protocol_with(const sm_delta_protocol *p, const char *feature,
                                         sm_arena *a)
{
    const struct feature *f = find_feature(sm_str_of(feature));

    SM_ASSERT(f && p->min_reader <= 3 && p->min_writer <= 7);
    if (sm_delta_has_feature(p, feature)) {
        return *p;
    }
    if (!sm_str_is(sm_str_of(feature), "rowTracking")) {
        return with_feature(p, f, a);
    }
    /* It keeps the highest row id in a domain. */
    const sm_delta_protocol needed = sm_delta_protocol_with(p, "domainMetadata", a);
    return with_feature(&needed, f, a);
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
        if (has && !f->can_write) {
            return fail_feature(sm_str_of(f->name), e);
        }
    }
    for (int32_t i = 0; i < p->n_writer_features; i++) {
        const struct feature *f = find_feature(p->writer_features[i]);
        if (!f || !f->can_write) {
            return fail_feature(p->writer_features[i], e);
        }
    }
    return sm_delta_has_feed(m) ? smi_check_change_names(m->schema, e) : SM_OK;
}

sm_status sm_delta_check_write(const sm_snapshot *s, sm_error *e)
{
    SM_ASSERT(s->metadata.schema);
    return smi_check_writer(&s->protocol, &s->metadata, e);
}

bool sm_delta_has_vectors(const sm_snapshot *s)
{
    return sm_delta_has_feature(&s->protocol, "deletionVectors") &&
           sm_str_eq_nocase(smi_config(&s->metadata, "delta.enableDeletionVectors"),
                            SM_STR("true"));
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
