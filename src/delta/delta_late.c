/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_late.c: what a commit says that depends on the versions before it: its in-commit
 * timestamp, since when commits have one, and the ids and versions of new rows in a table that
 * tracks rows.
 *
 * Why      The text of a commit is made, and may be in a lake's journal, before it is known which
 *          version it becomes. So it is made as for the version right behind its base, and filled
 *          in when it is put (delta_attempt.c). What is filled in follows from the text and the
 *          versions before it alone: all who put the same commit put the same bytes.
 * Stamp    the time at which the commit was prepared, or a millisecond after the version before it,
 *          whichever is later. The first commit with a timestamp is later than the file of the one
 *          before it. Its metadata says its version and time: a version there above the base can
 *          only be its own.
 * Rows     A new file's ids begin behind the highest that was given out before. What is above the
 *          base's highest id in the text is new, and moves up by as many ids as others have given
 *          out since. Ids of files that come back are not above it, and stay.
 * Again    A commit may be kept for days before it is published. Then it says the time of that, in
 *          its information and of the files that it removes, and has another id.
 * Text     Names of members are found as they stand: within a text a quote has a backslash, so
 *          that no path or statistics can look like one.
 * Source   PROTOCOL.md, "Writer Requirements for In-Commit Timestamps", "Writer Requirements for
 *          Row Tracking" */
#include <inttypes.h>

#include "base/text.h"
#include "delta/delta_int.h"

#define STAMP       "\"inCommitTimestamp\":"
#define TIMESTAMP   "\"timestamp\":"
#define DELETED     "\"deletionTimestamp\":"
#define ROW_ID      "\"baseRowId\":"
#define ROW_VERSION "\"defaultRowCommitVersion\":"
#define SINCE       "delta.inCommitTimestampEnablement"
#define SINCE_AT    "\"" SINCE "Version\":\""
#define SINCE_MS    "\"" SINCE "Timestamp\":\""
#define HIGH_ROW    "rowIdHighWaterMark\\\":" /* within the text of the domain */
#define ROWS_LINE   "{\"domainMetadata\":{\"domain\":\"" SMI_DOMAIN_ROWS "\""

/* ---- what a table asks for ------------------------------------------------------------------- */

static bool is_true(const sm_delta_metadata *m, const char *key)
{
    return sm_str_eq_nocase(smi_config(m, key), SM_STR("true"));
}

bool smi_has_stamps(const sm_delta_protocol *p, const sm_delta_metadata *m)
{
    return sm_delta_has_feature(p, "inCommitTimestamp") &&
           is_true(m, "delta.enableInCommitTimestamps");
}

sm_delta_metadata smi_stamped_since(const sm_delta_metadata *m, const sm_snapshot *base,
                                    int64_t now_ms, sm_arena *a)
{
    sm_pair *config = SM_NEW_ARRAY(a, sm_pair, m->n_config + 2);
    const sm_str since = SM_STR(SINCE);
    sm_delta_metadata out = *m;

    out.config = config;
    out.n_config = 0;
    for (int32_t i = 0; i < m->n_config; i++) {
        const sm_str key = m->config[i].key;
        if (key.len < since.len || !sm_str_eq_nocase((sm_str){key.data, since.len}, since)) {
            config[out.n_config++] = m->config[i];
        }
    }
    if (base) {
        config[out.n_config++] =
            (sm_pair){SM_STR(SINCE "Version"), sm_arena_strf(a, "%" PRId64, base->version + 1)};
        config[out.n_config++] =
            (sm_pair){SM_STR(SINCE "Timestamp"), sm_arena_strf(a, "%" PRId64, now_ms)};
    }
    SM_ASSERT(out.n_config <= m->n_config + 2);
    return out;
}

bool smi_gives_row_ids(const sm_delta_protocol *p, const sm_delta_metadata *m)
{
    return sm_delta_has_feature(p, "rowTracking") && !is_true(m, "delta.rowTrackingSuspended");
}

bool smi_keeps_row_ids(const sm_delta_protocol *p, const sm_delta_metadata *m)
{
    return sm_delta_has_feature(p, "rowTracking") && is_true(m, "delta.enableRowTracking");
}

sm_status sm_delta_row_columns(const sm_snapshot *s, bool *keeps, sm_str names[2], sm_error *e)
{
    names[0] = smi_config(&s->metadata, "delta.rowTracking.materializedRowIdColumnName");
    names[1] = smi_config(&s->metadata, "delta.rowTracking.materializedRowCommitVersionColumnName");
    *keeps = smi_keeps_row_ids(&s->protocol, &s->metadata);
    return !*keeps || (names[0].len > 0 && names[1].len > 0)
               ? SM_OK
               : sm_fail(e, SM_CORRUPT,
                         "the table tracks its rows, and does not name the columns of their ids");
}

int64_t smi_high_row(const sm_delta_domain *d)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    int64_t high = -1;

    if (d && !d->is_removed &&
        sm_json_parse(sm_arena_str(a, d->configuration), a, &doc, NULL) == SM_OK &&
        !sm_json_i64(sm_json_get(doc, "rowIdHighWaterMark"), &high)) {
        high = -1;
    }
    sm_arena_free(a);
    return high;
}

/* ---- printing -------------------------------------------------------------------------------- */

void smi_put_stamp(sm_json_writer *w, int64_t now_ms)
{
    sm_json_set_i64(w, "inCommitTimestamp", now_ms);
}

void smi_print_high_row(sm_json_writer *w, int64_t high)
{
    char text[64];

    SM_ASSERT(high >= 0);
    snprintf(text, sizeof(text), "{\"rowIdHighWaterMark\":%" PRId64 "}", high);
    const sm_delta_domain d = {SM_STR(SMI_DOMAIN_ROWS), sm_str_of(text), false};
    smi_print_domain(&d, w);
}

/* ---- filling in ------------------------------------------------------------------------------ */

/* The place behind a member's name in a line; NULL: the line has none. */
static const char *find_member(sm_str line, const char *name)
{
    const size_t n = strlen(name);
    const char *at = line.len >= n ? memmem(line.data, line.len, name, n) : NULL;

    return at ? at + n : NULL;
}

static sm_str first_line(sm_str text)
{
    const char *end = memchr(text.data, '\n', text.len);

    return end ? (sm_str){text.data, (size_t)(end - text.data)} : text;
}

bool smi_wants_stamp(sm_str text)
{
    return find_member(first_line(text), STAMP) != NULL;
}

bool smi_wants_rows(sm_str text)
{
    return find_member(text, ROWS_LINE) != NULL;
}

/* The number that stands at a place; *end is behind it. */
static int64_t number_at(const char *at, const char *limit, const char **end)
{
    int64_t v = 0;

    SM_ASSERT(at < limit);
    for (*end = at; *end < limit && **end >= '0' && **end <= '9'; ++*end) {
        v = v * 10 + (**end - '0');
    }
    return v;
}

/* Appends the line with another number for a member, whose place is given. */
static void put_with(sm_str *line, const char *at, int64_t number, sm_buf *out)
{
    const char *limit = line->data + line->len, *end = NULL;

    number_at(at, limit, &end);
    sm_buf_text(out, (sm_str){line->data, (size_t)(at - line->data)});
    sm_buf_printf(out, "%" PRId64, number);
    *line = (sm_str){end, (size_t)(limit - end)};
}

/* The timestamp of a commit that was prepared at that time. */
static int64_t stamp_after(const smi_before *b, int64_t asked_ms)
{
    return b->has_stamp && b->stamp_ms >= asked_ms ? b->stamp_ms + 1 : asked_ms;
}

/* Metadata by which commits have timestamps from this one on says so. */
static void fill_since(sm_str *line, int64_t version, const smi_before *b, sm_buf *out)
{
    const char *limit = line->data + line->len, *end = NULL;
    const char *at = find_member(*line, SINCE_AT);

    if (!at || number_at(at, limit, &end) <= b->base) {
        return;
    }
    put_with(line, at, version, out);
    at = find_member(*line, SINCE_MS);
    SM_ASSERT(at); /* it is printed behind the version */
    put_with(line, at, stamp_after(b, number_at(at, limit, &end)), out);
}

static void fill_line(sm_str line, int64_t version, const smi_before *b, sm_buf *out)
{
    const char *limit = line.data + line.len, *end = NULL;
    const int64_t shift = b->high_row - b->base_high_row;
    const char *at = find_member(line, STAMP);

    SM_ASSERT(shift >= 0 || !b->has_rows);
    if (at && sm_str_starts(line, SM_STR("{\"commitInfo\":"))) {
        put_with(&line, at, stamp_after(b, number_at(at, limit, &end)), out);
    } else if (sm_str_starts(line, SM_STR("{\"metaData\":"))) {
        fill_since(&line, version, b, out);
    } else if (b->has_rows && sm_str_starts(line, SM_STR("{\"add\":")) &&
               (at = find_member(line, ROW_ID)) && number_at(at, limit, &end) > b->base_high_row) {
        put_with(&line, at, number_at(at, limit, &end) + shift, out);
        at = find_member(line, ROW_VERSION);
        SM_ASSERT(at); /* it is printed behind the id */
        put_with(&line, at, version, out);
    } else if (b->has_rows && sm_str_starts(line, SM_STR(ROWS_LINE))) {
        at = find_member(line, HIGH_ROW);
        SM_ASSERT(at);
        put_with(&line, at, number_at(at, limit, &end) + shift, out);
    }
    sm_buf_text(out, line);
    sm_buf_text(out, SM_STR("\n"));
}

/* ---- anew ------------------------------------------------------------------------------------ */

/* Appends the line with the present time for a member that it may have. */
static void put_now(sm_str *line, const char *name, int64_t now_ms, sm_buf *out)
{
    const char *at = find_member(*line, name);

    if (at) {
        put_with(line, at, now_ms, out);
    }
}

/* The line that says who made the commit ends with its id. */
static bool put_info_again(sm_str line, sm_str was, sm_str id, sm_str info_json, int64_t now_ms,
                           sm_buf *out)
{
    const sm_str end = SM_STR("\"}}");

    if (line.len < was.len + end.len || !sm_str_ends(line, end) ||
        !sm_str_ends((sm_str){line.data, line.len - end.len}, was)) {
        return false;
    }
    line.len -= was.len + end.len;
    put_now(&line, STAMP, now_ms, out); /* it is the first member where there is one */
    put_now(&line, TIMESTAMP, now_ms, out);
    sm_buf_text(out, line);
    sm_buf_printf(out, "%.*s\"%s%.*s}}\n", SM_STR_ARG(id), info_json.len > 0 ? "," : "",
                  SM_STR_ARG(info_json));
    return true;
}

sm_status sm_delta_prepare_again(const sm_delta_prepared *c, sm_str id, sm_str info_json,
                                 int64_t now_us, sm_arena *a, sm_delta_prepared *out, sm_error *e)
{
    const int64_t now_ms = now_us / 1000;
    sm_buf text = {0};
    bool has_info = false;

    SM_ASSERT(c->id.len > 0 && id.len > 0);
    for (sm_str rest = c->text; rest.len > 0;) {
        sm_str line = first_line(rest);
        const size_t step = line.len + (line.len < rest.len);
        rest = (sm_str){rest.data + step, rest.len - step};
        if (sm_str_starts(line, SM_STR("{\"commitInfo\":")) &&
            put_info_again(line, c->id, id, info_json, now_ms, &text)) {
            has_info = true;
            continue;
        }
        if (sm_str_starts(line, SM_STR("{\"remove\":"))) {
            put_now(&line, DELETED, now_ms, &text);
        }
        sm_buf_text(&text, line);
        sm_buf_text(&text, SM_STR("\n"));
    }
    *out = *c;
    out->id = sm_arena_str(a, id);
    out->text = sm_arena_take(a, &text);
    return has_info ? SM_OK
                    : sm_fail(e, SM_CORRUPT, "the commit does not say who made it, with its id");
}

/* ---- as a version ---------------------------------------------------------------------------- */

void smi_late_fill(sm_str text, int64_t version, const smi_before *before, sm_buf *out)
{
    SM_ASSERT(text.len > 0 && text.data[text.len - 1] == '\n');
    while (text.len > 0) {
        const sm_str line = first_line(text);
        fill_line(line, version, before, out);
        text = (sm_str){text.data + line.len + 1, text.len - line.len - 1};
    }
}
