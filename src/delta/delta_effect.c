/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_effect.c: what the commits of other writers did to a table's rows, by the
 * operation and parameters in their commitInfo. Called by delta_attempt.c when another commit came
 * first, and by flow_books.c, which keeps what a table was loaded from.
 *
 * Overwrite  Spark and delta-rs write the parameter mode Overwrite (WRITE, also with a predicate;
 *            CREATE OR REPLACE TABLE); streams write outputMode Complete; the operations REPLACE
 *            TABLE …, CLONE and TRUNCATE overwrite by their nature.
 * RESTORE    delta-rs writes {"version": "0"} or {"datetime": "1650000000000"}; Spark writes
 *            {"version": 0, "timestamp": null}, or a time as the user typed it, in the time zone of
 *            the session. Where only a time is known, the files show which version was meant. */
#include <inttypes.h>

#include "base/text.h"
#include "delta/delta_int.h"

static const sm_json *parameters_of(const sm_delta_commit_info *info, sm_arena *a)
{
    const sm_json *out = NULL;
    sm_error ignored = {0};

    return info->parameters_json.len &&
                   sm_json_parse(info->parameters_json, a, &out, &ignored) == SM_OK
               ? out
               : NULL;
}

static bool has_parameter(const sm_json *parameters, const char *key, const char *value)
{
    return sm_str_eq_nocase(sm_json_text(sm_json_get(parameters, key)), sm_str_of(value));
}

static bool has_part(sm_str text, sm_str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (sm_str_starts((sm_str){text.data + i, text.len - i}, part)) {
            return true;
        }
    }
    return false;
}

sm_delta_effect sm_delta_effect_of(const sm_delta_commit_info *info)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *parameters = parameters_of(info, a);
    sm_delta_effect out = SM_DELTA_CHANGES;

    if (sm_str_is(info->operation, "RESTORE")) {
        out = SM_DELTA_RESTORES;
    } else if (has_parameter(parameters, "mode", "overwrite") ||
               has_parameter(parameters, "outputMode", "complete") ||
               has_part(info->operation, SM_STR("REPLACE TABLE")) ||
               sm_str_is(info->operation, "CLONE") || sm_str_is(info->operation, "TRUNCATE")) {
        out = SM_DELTA_OVERWRITES;
    }
    sm_arena_free(a);
    return out;
}

/* ---- which version a RESTORE meant ----------------------------------------------------------- */

static bool said_version(const sm_delta_commit_info *restore, int64_t *out)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *v = sm_json_get(parameters_of(restore, a), "version");
    const bool is_said = sm_json_i64(v, out) || sm_parse_i64(sm_json_text(v), out);

    sm_arena_free(a);
    return is_said && *out >= -1 && *out < restore->version;
}

/* Do two versions have the same files? */
static bool are_same_files(const sm_snapshot *x, const sm_snapshot *y)
{
    bool is_same = x->n_files == y->n_files;
    sm_arena *a = sm_arena_new(NULL);
    sm_map *files = sm_map_new(a); /* smi_identity_of() them */
    sm_buf text = {0};

    for (int64_t i = 0; i < x->n_files && is_same; i++) {
        *sm_map_at(files, smi_identity_of(&x->files[i], &text)) = (void *)&x->files[i];
    }
    for (int64_t i = 0; i < y->n_files && is_same; i++) {
        is_same = sm_map_get(files, smi_identity_of(&y->files[i], &text)) != NULL;
    }
    sm_buf_release(&text);
    sm_arena_free(a);
    return is_same;
}

static sm_status find_same_files(sm_store *s, int64_t version, sm_budget *budget, int64_t *out,
                                 sm_error *e)
{
    sm_snapshot *now = NULL, *then = NULL;
    bool is_found = false;
    int64_t v = version;

    sm_status st = sm_snapshot_open(s, version, budget, &now, e);
    while (st == SM_OK && !is_found && v-- > 0) {
        st = sm_snapshot_open(s, v, budget, &then, e);
        if (st == SM_OK) {
            SM_ASSERT(then->version < now->version);
            is_found = are_same_files(now, then);
            sm_snapshot_release(then);
        }
    }
    sm_snapshot_release(now);
    if (st == SM_OK && !is_found) {
        st =
            sm_fail(e, SM_NOT_FOUND,
                    "the log no longer has the version that version %" PRId64 " restored", version);
    }
    *out = v;
    return st;
}

sm_status sm_delta_restored_version(sm_store *s, const sm_delta_commit_info *restore,
                                    sm_budget *budget, int64_t *out, sm_error *e)
{
    SM_ASSERT(restore->version >= 0);
    if (said_version(restore, out)) {
        return SM_OK;
    }
    return find_same_files(s, restore->version, budget, out, e);
}
