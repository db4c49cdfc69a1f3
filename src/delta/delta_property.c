/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_property.c: is a property one that a table may be given? Called by whoever changes a
 * table's properties.
 *
 * Method  properties.def has what is known. A name below "delta." or "smelt." that is not there is
 *         refused: other writers would take a misspelt property for one that is not set.
 * Fixed   Some properties are not set by themselves: they are a part of a change of the protocol or
 *         of the columns, or have a command of their own.
 * Source  PROTOCOL.md, "Table Features", "Column Mapping"; the table properties of Delta Lake's
 *         documentation */
#include "base/text.h"
#include "delta/delta_int.h"

typedef enum property_kind {
    KIND_BOOL,
    KIND_COUNT,
    KIND_NUMBER,
    KIND_SPAN,
    KIND_SIZE,
    KIND_TEXT,
    KIND_POLICY,
    KIND_MAPPING,
    KIND_ISOLATION,
    KIND_READERS,
} property_kind;

static const struct property {
    const char *name;
    property_kind kind;
    const char *feature, *turned_on;
} properties[] = {
#define SM_PROPERTY(name, kind, feature, turned_on) {name, KIND_##kind, feature, turned_on},
#include "delta/properties.def"
#undef SM_PROPERTY
};

/* Of files that are there, what such a feature asks for would have to be made. */
#define NOT_LATER "it is turned on when a table is made"

/* Beginnings of names that are not set this way. */
static const struct fixed {
    const char *name, *why, *todo;
} fixed[] = {
    {"delta.columnMapping.maxColumnId", "it counts the ids of columns", ""},
    {"delta.constraints.", "a constraint is checked against the rows that are there",
     "Say ADD CONSTRAINT name CHECK (…), or DROP CONSTRAINT name."},
    {"delta.enableIcebergCompat", NOT_LATER, ""},
    {"delta.feature.", "a feature is turned on by the property that uses it", ""},
    {"delta.inCommitTimestamp", "it says since when commits have timestamps of their own", ""},
    {"delta.minReaderVersion", "the protocol follows from the features that the table uses", ""},
    {"delta.minWriterVersion", "the protocol follows from the features that the table uses", ""},
    {"delta.rowTracking.", "it names columns of the files", ""},
};

static sm_status check_fixed(sm_str key, sm_error *e)
{
    for (int i = 0; i < SM_COUNT(fixed); i++) {
        const sm_str name = sm_str_of(fixed[i].name);
        const sm_str head = {key.data, key.len < name.len ? key.len : name.len};
        if (sm_str_eq_nocase(head, name)) {
            const sm_status st = sm_fail(e, SM_DENIED, "the property \"%.*s\" is not changed: %s",
                                         SM_STR_ARG(key), fixed[i].why);
            sm_error_todo(e, "%s", fixed[i].todo);
            return st;
        }
    }
    return SM_OK;
}

static const struct property *find_property(sm_str key)
{
    for (int i = 0; i < SM_COUNT(properties); i++) {
        if (sm_str_eq_nocase(key, sm_str_of(properties[i].name))) {
            return &properties[i];
        }
    }
    return NULL;
}

static sm_status fail_unknown(sm_str key, sm_error *e)
{
    sm_str names[SM_COUNT(properties)];

    for (int i = 0; i < SM_COUNT(properties); i++) {
        names[i] = sm_str_of(properties[i].name);
    }
    const char *nearest = sm_nearest_name(key, names, SM_COUNT(names));
    const sm_status st =
        sm_fail(e, SM_NAME, "no property \"%.*s\" that smelt knows", SM_STR_ARG(key));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

/* Is the value one of the words? The list ends with NULL. */
static bool is_word(sm_str value, const char *const *words)
{
    bool is = false;

    for (; *words && !is; words++) {
        is = sm_str_eq_nocase(value, sm_str_of(*words));
    }
    return is;
}

static bool has_size(sm_str value)
{
    const sm_pair pair = {SM_STR("delta.targetFileSize"), value};
    const sm_delta_metadata m = {.config = &pair, .n_config = 1};
    uint64_t bytes = 0;
    sm_error unused = {0};

    return sm_delta_target_bytes(&m, &bytes, &unused) == SM_OK;
}

static bool has_span(sm_str value)
{
    const sm_pair pair = {SM_STR("span"), value};
    const sm_delta_metadata m = {.config = &pair, .n_config = 1};

    return smi_duration_us(&m, "span", -1) >= 0;
}

/* *wanted: what the values of the kind are. */
static bool is_value(property_kind kind, sm_str value, const char **wanted)
{
    static const char *const truths[] = {"true", "false", NULL};
    static const char *const policies[] = {"classic", "v2", NULL};
    static const char *const mappings[] = {"none", "name", NULL};
    static const char *const levels[] = {"Serializable", "WriteSerializable", NULL};
    int64_t n = 0;

    switch (kind) {
    case KIND_BOOL:
        *wanted = "true or false";
        return is_word(value, truths);
    case KIND_COUNT:
        *wanted = "a whole number of 1 or more";
        return sm_parse_i64(value, &n) && n >= 1;
    case KIND_NUMBER:
        *wanted = "a whole number of -1 or more";
        return sm_parse_i64(value, &n) && n >= -1;
    case KIND_SPAN:
        *wanted = "a time like \"interval 7 days\"";
        return has_span(value);
    case KIND_SIZE:
        *wanted = "a number of bytes, or one like \"256mb\"";
        return has_size(value);
    case KIND_POLICY:
        *wanted = "classic or v2";
        return is_word(value, policies);
    case KIND_MAPPING:
        *wanted = "name, or none where the table has no mapping";
        return is_word(value, mappings);
    case KIND_ISOLATION:
        *wanted = "Serializable or WriteSerializable";
        return is_word(value, levels);
    case KIND_READERS:
        *wanted = "names with commas between: clickhouse, delta-rs, duckdb, polars, spark";
        return smi_are_readers(value);
    case KIND_TEXT:
        break;
    }
    return true;
}

sm_status sm_delta_check_property(sm_str key, sm_str value, const char **feature, sm_error *e)
{
    const bool is_ours =
        sm_str_starts(key, SM_STR("delta.")) || sm_str_starts(key, SM_STR("smelt."));
    const struct property *p = find_property(key);
    const char *wanted = "";

    *feature = NULL;
    SM_TRY(check_fixed(key, e));
    if (!p) {
        return is_ours ? fail_unknown(key, e) : SM_OK;
    }
    if (!is_value(p->kind, value, &wanted)) {
        const sm_status st = sm_fail(e, SM_INVALID, "the property \"%s\" cannot be \"%.*s\"",
                                     p->name, SM_STR_ARG(value));
        sm_error_todo(e, "It is %s.", wanted);
        return st;
    }
    if (p->feature && sm_str_eq_nocase(value, sm_str_of(p->turned_on))) {
        *feature = p->feature;
    }
    return SM_OK;
}

bool sm_delta_has_properties(const sm_delta_metadata *m, const sm_pair *items, int32_t n)
{
    bool has = true;

    for (int32_t i = 0; i < n && has; i++) {
        int32_t at = 0;
        while (at < m->n_config && !sm_str_eq_nocase(m->config[at].key, items[i].key)) {
            at++;
        }
        has = at < m->n_config && sm_str_eq(m->config[at].value, items[i].value);
    }
    return has;
}
