/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_stats.c: translates statistics of data files between their JSON and smelt's values.
 * Called when actions are replayed and when a commit is written.
 *
 * Reading  A range may become wider, never narrower. A bound whose text is not understood whole is
 *          dropped. A bound that its writer may have rounded (decimals by way of doubles, times to
 *          milliseconds, long texts that were cut) is moved outwards.
 * Writing  Readers differ in what they take a missing bound for. So a file gets bounds of every
 *          column that has values and for which Delta has bounds, or of none (is_complete).
 *
 * Columns  A checkpoint may have statistics as columns (stats_parsed) in place of JSON. They become
 *          the JSON that they stand for.
 *
 *          Columns that the table is partitioned by have no statistics: the log has their value.
 *
 * Source  PROTOCOL.md, "Per-file Statistics" */
#include "base/json_write.h"
#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

#include <math.h>
#include <stdio.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* Does Delta have bounds of the type? Bounds of fields within a struct are not kept here. */
static bool has_bounds(const sm_type *t)
{
    return !sm_type_is_nested(t->id) && t->id != SM_TYPE_NULL && t->id != SM_TYPE_BINARY;
}

static bool is_timestamp(const sm_type *t)
{
    return t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

/* Is the JSON value of the kind that bounds of the type have? */
static bool is_of_kind(const sm_json *j, const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_BOOL:
        return j->type == SM_JSON_BOOL;
    case SM_TYPE_STRING:
    case SM_TYPE_DATE:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return j->type == SM_JSON_STRING;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
    case SM_TYPE_DECIMAL:
        return j->type == SM_JSON_NUMBER || j->type == SM_JSON_STRING;
    default:
        return j->type == SM_JSON_NUMBER;
    }
}

/* Moves a decimal bound outwards by as much as its writer may have moved it inwards. A number of up
 * to 15 digits passes through a double and its text unchanged. A longer one may have been rounded
 * to a double and divided by a power of ten that was rounded too: the error is less than 2^-48 of
 * the value. */
static void widen_decimal(bool is_exact, bool is_max, sm_value *v)
{
    const sm_i128 size = v->as.d < 0 ? -v->as.d : v->as.d;
    const sm_i128 most_exact = 1000000000000000;
    sm_i128 by = is_exact ? 0 : 1;

    if (size >= most_exact) {
        by += (size >> 48) + 1;
    }
    v->as.d += is_max ? by : -by;
}

/* Some writers cut a long greatest text and end it with U+FFFD. Characters beyond U+FFFF sort
 * behind that one, so a text that was cut may be greater than its bound. The mark is replaced by
 * the byte FF, which no text has: the bound is then greater than all texts that begin like it. */
static void widen_text(sm_arena *a, sm_value *v)
{
    const sm_str mark = SM_STR("\xEF\xBF\xBD");

    if (sm_str_ends(v->as.s, mark)) {
        char *text = sm_arena_alloc(a, v->as.s.len);
        memcpy(text, v->as.s.data, v->as.s.len - mark.len);
        text[v->as.s.len - mark.len] = (char)0xFF;
        v->as.s = (sm_str){text, v->as.s.len - mark.len + 1};
    }
}

/* Moves a time outwards by what its writer may have cut off, towards the past or towards zero. Most
 * writers write milliseconds; a text without a fraction may have been cut to seconds. */
static void widen_timestamp(sm_str text, bool is_max, sm_value *v)
{
    const int64_t unit = memchr(text.data, '.', text.len) ? 1000 : 1000000;

    if (v->as.i % unit != 0) {
        return;
    }
    if (is_max) {
        v->as.i += v->as.i <= INT64_MAX - unit ? unit - 1 : 0;
    } else if (v->as.i < 0) {
        v->as.i -= v->as.i >= INT64_MIN + unit ? unit - 1 : 0;
    }
}

/* A JSON value as a bound of the column's type; false where it cannot be one. */
static bool parse_bound(const sm_json *j, const sm_type *t, bool is_max, sm_arena *a, sm_value *out)
{
    bool is_exact = false;

    if (!j || !has_bounds(t) || t->is_variant || !is_of_kind(j, t)) { /* a variant's are coded */
        return false;
    }
    if (t->id == SM_TYPE_BOOL) {
        *out = (sm_value){.type = t, .as.b = j->b};
        return true;
    }
    if (is_timestamp(t) && !memchr(j->text.data, ':', j->text.len)) {
        return false; /* a date without a time */
    }
    if (!smi_text_value(t, j->text, out, &is_exact) || (is_float(t) && isnan(out->as.f))) {
        return false;
    }
    if (t->id == SM_TYPE_DECIMAL) {
        widen_decimal(is_exact, is_max, out);
    } else if (is_timestamp(t)) {
        widen_timestamp(j->text, is_max, out);
    } else if (t->id == SM_TYPE_STRING && is_max) {
        widen_text(a, out);
    }
    return true;
}

/* A bound of a column that was widened from float to double, as it may be for both: the text of a
 * file from before is that of a float, whose value as a double is another. */
static void widen_double(sm_str text, bool is_max, sm_value *v)
{
    sm_value old = {0};
    bool unused = false;

    if (smi_text_value(&sm_type_f32, text, &old, &unused) && !isnan(old.as.f)) {
        v->as.f = is_max ? fmax(v->as.f, old.as.f) : fmin(v->as.f, old.as.f);
    }
}

/* What statistics say of one column; NULL: nothing. */
typedef struct column_stats {
    const sm_json *min, *max, *nulls;
} column_stats;

static column_stats stats_of(const sm_json *doc, sm_str name, sm_arena *a)
{
    const char *key = sm_arena_str(a, name).data;

    return (column_stats){
        .min = sm_json_get(sm_json_get(doc, "minValues"), key),
        .max = sm_json_get(sm_json_get(doc, "maxValues"), key),
        .nulls = sm_json_get(sm_json_get(doc, "nullCount"), key),
    };
}

/* The range lives as long as the statistics and `a`. A range that contradicts itself is dropped. */
static void make_range(column_stats said, const sm_type *t, bool was_float, sm_arena *a,
                       sm_range *r)
{
    SM_ASSERT(r->n_rows >= 0 && (!was_float || t->id == SM_TYPE_F64));
    r->has_min = parse_bound(said.min, t, false, a, &r->min);
    r->has_max = parse_bound(said.max, t, true, a, &r->max);
    if (was_float && r->has_min && r->has_max) {
        SM_ASSERT(said.min && said.max); /* each was parsed */
        widen_double(said.min->text, false, &r->min);
        widen_double(said.max->text, true, &r->max);
    } else if (was_float) {
        r->has_min = r->has_max = false;
    }
    if (r->has_min && r->has_max && sm_value_cmp(r->min, r->max) > 0) {
        r->has_min = r->has_max = false; /* one of them is wrong */
    }
    r->has_nulls =
        sm_json_i64(said.nulls, &r->n_nulls) && r->n_nulls >= 0 && r->n_nulls <= r->n_rows;
    if (r->has_nulls && r->n_nulls == r->n_rows && (r->has_min || r->has_max)) {
        r->has_nulls = false; /* all are NULL, and yet there are bounds */
    }
    r->may_have_nan = is_float(t);
}

static const sm_range *parse_ranges(const sm_json *doc, const sm_type *schema, int64_t n_rows,
                                    sm_arena *scratch, sm_arena *a)
{
    sm_range *items = SM_NEW_ARRAY(a, sm_range, schema->n_fields);

    SM_ASSERT(n_rows >= 0);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        sm_range *r = &items[i];
        r->n_rows = n_rows;
        make_range(stats_of(doc, smi_physical_name(&schema->fields[i], scratch), scratch),
                   schema->fields[i].type, smi_was_float(&schema->fields[i]), scratch, r);
        r->min = r->has_min ? sm_value_copy(a, r->min) : (sm_value){0};
        r->max = r->has_max ? sm_value_copy(a, r->max) : (sm_value){0};
    }
    return items;
}

/* Parses the document and the number of rows; false where not even that is known. */
static bool parse_doc(sm_str json, sm_arena *a, const sm_json **doc, int64_t *n_rows)
{
    sm_error unused = {0};

    *n_rows = -1;
    if (json.len == 0 || sm_json_parse(json, a, doc, &unused) != SM_OK ||
        !sm_json_i64(sm_json_get(*doc, "numRecords"), n_rows) || *n_rows < 0) {
        *n_rows = -1;
    }
    return *n_rows >= 0;
}

void smi_stats_parse(sm_str json, const sm_type *schema, sm_arena *a, int64_t *n_rows,
                     const sm_range **ranges)
{
    const sm_json *doc = NULL;
    sm_arena *scratch = sm_arena_new(NULL); /* a document takes several times what is kept of it */

    *ranges = parse_doc(json, scratch, &doc, n_rows)
                  ? parse_ranges(doc, schema, *n_rows, scratch, a)
                  : NULL;
    sm_arena_free(scratch);
}

/* ---- picking --------------------------------------------------------------------------------- */

/* A table may have a million files, and a query that names one column looks at the statistics of
 * each. So their text is walked once without a tree: values of other columns are passed over, and
 * those that are wanted become single values. Where the text is not as writers write it (an escape
 * in a key, a nested value of a wanted column, damage), `is_plain` becomes false and the whole is
 * parsed instead. */
typedef struct walk {
    const char *at, *end;
    bool is_plain;
} walk;

static char skip_space(walk *w)
{
    while (w->at < w->end &&
           (*w->at == ' ' || *w->at == '\t' || *w->at == '\n' || *w->at == '\r')) {
        w->at++;
    }
    return w->at < w->end ? *w->at : '\0';
}

/* Takes the character; the text is not plain where it is another. */
static void expect(walk *w, char c)
{
    w->is_plain = skip_space(w) == c && w->is_plain;
    w->at += w->is_plain;
    SM_ASSERT(w->at <= w->end);
}

/* Which of 8 bytes are c: the highest bit of each that is. Bytes behind the first one may be marked
 * too. */
static uint64_t bytes_equal(uint64_t bytes, uint8_t c)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t x = bytes ^ (ones * c);

    return (x - ones) & ~x & (ones << 7);
}

/* The first quote or backslash, or `end`. */
static const char *find_stop(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t bytes = 0;
        memcpy(&bytes, at, 8);
        const uint64_t stops = bytes_equal(bytes, '"') | bytes_equal(bytes, '\\');
        if (stops) {
            return at + __builtin_ctzll(stops) / 8;
        }
    }
    while (at < end && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

/* A string without its quotes; *is_escaped where it has a backslash. */
static sm_str take_string(walk *w, bool *is_escaped)
{
    expect(w, '"');
    const char *start = w->at;

    *is_escaped = false;
    w->at = find_stop(w->at, w->end);
    while (w->end - w->at >= 2 && *w->at == '\\') {
        *is_escaped = true;
        w->at = find_stop(w->at + 2, w->end);
    }
    w->is_plain = w->is_plain && w->at < w->end && *w->at == '"';
    SM_ASSERT(start <= w->at && w->at <= w->end);
    const sm_str out = {start, w->is_plain ? (size_t)(w->at - start) : 0};
    w->at += w->is_plain;
    return out;
}

static sm_str take_key(walk *w)
{
    bool is_escaped = false;
    const sm_str key = take_string(w, &is_escaped);

    w->is_plain = w->is_plain && !is_escaped;
    expect(w, ':');
    skip_space(w);
    return key;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

/* Is the word a number as JSON spells one? */
static bool is_number(sm_str word)
{
    const char *const end = word.data + word.len;
    const char *at = word.data + (word.len > 0 && word.data[0] == '-');
    const char *part = at;

    at = skip_digits(at, end);
    if (at == part || (*part == '0' && at > part + 1)) {
        return false;
    }
    if (at < end && *at == '.') {
        part = ++at;
        at = skip_digits(at, end);
        if (at == part) {
            return false;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        part = at;
        at = skip_digits(at, end);
        return at > part && at == end;
    }
    return at == end;
}

/* A number, a truth or null: up to what may follow one. */
static sm_str take_word(walk *w)
{
    const char *start = w->at;

    while (w->at<w->end && * w->at> ' ' && *w->at != ',' && *w->at != '}' && *w->at != ']') {
        w->at++;
    }
    w->is_plain = w->is_plain && w->at > start;
    return (sm_str){start, (size_t)(w->at - start)};
}

/* Passes over an object or array. Brackets are only counted: they are those of one value either
 * way. */
static void skip_nested(walk *w)
{
    bool unused = false;
    int64_t depth = 0;

    do {
        const char c = w->at < w->end ? *w->at : '\0';
        if (c == '"') {
            take_string(w, &unused);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        w->is_plain = w->is_plain && c != '\0';
        w->at += w->is_plain;
    } while (w->is_plain && depth > 0);
}

static void skip_value(walk *w)
{
    const char c = skip_space(w);
    bool unused = false;

    if (c == '{' || c == '[') {
        skip_nested(w);
    } else if (c == '"') {
        take_string(w, &unused);
    } else {
        take_word(w);
    }
}

/* Takes a value. A single one becomes *out. */
static void take_value(walk *w, sm_json *out)
{
    const char c = skip_space(w);
    bool is_escaped = false;

    *out = (sm_json){.type = SM_JSON_OBJECT};
    if (c == '{' || c == '[') {
        skip_nested(w);
    } else if (c == '"') {
        *out = (sm_json){.type = SM_JSON_STRING, .text = take_string(w, &is_escaped)};
        out->type = is_escaped ? SM_JSON_OBJECT : out->type;
    } else {
        const sm_str word = take_word(w);
        const bool is_truth = sm_str_is(word, "true") || sm_str_is(word, "false");
        out->type = is_truth                  ? SM_JSON_BOOL
                    : sm_str_is(word, "null") ? SM_JSON_NULL
                                              : SM_JSON_NUMBER;
        out->text = word;
        out->b = is_truth && word.len == 4;
        w->is_plain = w->is_plain && (out->type != SM_JSON_NUMBER || is_number(word));
    }
}

/* Is there a next member of the object that was begun? */
static bool has_member(walk *w, bool is_first)
{
    if (skip_space(w) == '}') {
        w->at++;
        return false;
    }
    if (!is_first) {
        expect(w, ',');
    }
    return w->is_plain;
}

/* So many columns need no memory of the arena. */
#define FEW_COLUMNS 4

/* What is found: one value a wanted column. */
typedef struct picked {
    sm_json *min, *max, *nulls;
    sm_json rows;
} picked;

/* The members of minValues, maxValues or nullCount. The last one of a name counts. */
static void walk_columns(walk *w, const smi_stats_column *columns, int32_t n, sm_json *out)
{
    memset(out, 0, (size_t)n * sizeof(*out));
    expect(w, '{');
    for (bool is_first = true; w->is_plain && has_member(w, is_first); is_first = false) {
        const sm_str key = take_key(w);
        int32_t i = 0;
        while (i < n && !sm_str_eq(columns[i].name, key)) {
            i++;
        }
        if (i == n) {
            skip_value(w);
            continue;
        }
        take_value(w, &out[i]);
        w->is_plain = w->is_plain && out[i].type != SM_JSON_OBJECT &&
                      sm_utf8_check(out[i].text.data, out[i].text.len) == out[i].text.len;
    }
}

/* False where the text is not plain. */
static bool walk_stats(sm_str json, const smi_stats_column *columns, int32_t n, picked *out)
{
    walk w = {.at = json.data, .end = json.data + json.len, .is_plain = json.len > 0};

    expect(&w, '{');
    for (bool is_first = true; w.is_plain && has_member(&w, is_first); is_first = false) {
        const sm_str key = take_key(&w);
        sm_json *section = sm_str_is(key, "minValues")   ? out->min
                           : sm_str_is(key, "maxValues") ? out->max
                           : sm_str_is(key, "nullCount") ? out->nulls
                                                         : NULL;
        if (section && n > 0) {
            walk_columns(&w, columns, n, section);
        } else if (sm_str_is(key, "numRecords")) {
            take_value(&w, &out->rows);
        } else {
            skip_value(&w);
        }
    }
    skip_space(&w);
    SM_ASSERT(w.at <= w.end);
    return w.is_plain && w.at == w.end;
}

/* A picked value; NULL where there is none. */
static const sm_json *picked_value(const sm_json *v)
{
    return v->type == SM_JSON_NULL ? NULL : v;
}

static bool pick_plain(sm_str json, const smi_stats_column *columns, int32_t n, sm_arena *a,
                       int64_t *n_rows, sm_range *ranges)
{
    sm_json few[3 * FEW_COLUMNS];
    sm_json *const all = n <= FEW_COLUMNS ? few : SM_NEW_ARRAY(a, sm_json, 3 * n);
    picked found = {.min = all, .max = all + n, .nulls = all + 2 * n};
    memset(all, 0, (size_t)(3 * n) * sizeof(*all)); /* what is not there stays NULL */

    if (!walk_stats(json, columns, n, &found)) {
        return false;
    }
    if (!sm_json_i64(&found.rows, n_rows) || *n_rows < 0) {
        *n_rows = -1;
        return true;
    }
    for (int32_t i = 0; i < n; i++) {
        const column_stats said = {picked_value(&found.min[i]), picked_value(&found.max[i]),
                                   picked_value(&found.nulls[i])};
        ranges[i] = (sm_range){.n_rows = *n_rows};
        make_range(said, columns[i].type, columns[i].was_float, a, &ranges[i]);
    }
    return true;
}

void smi_stats_pick(sm_str json, const smi_stats_column *columns, int32_t n, sm_arena *a,
                    int64_t *n_rows, sm_range *ranges)
{
    const sm_json *doc = NULL;

    SM_ASSERT(n >= 0 && (n == 0 || columns));
    *n_rows = -1;
    memset(ranges, 0, (size_t)n * sizeof(*ranges));
    if (json.len == 0 || pick_plain(json, columns, n, a, n_rows, ranges) ||
        !parse_doc(json, a, &doc, n_rows)) {
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        ranges[i].n_rows = *n_rows;
        make_range(stats_of(doc, columns[i].name, a), columns[i].type, columns[i].was_float, a,
                   &ranges[i]);
    }
}

int64_t smi_stats_rows(sm_str json)
{
    const sm_str first = SM_STR("{\"numRecords\":");
    const sm_json *doc = NULL;
    int64_t n_rows = 0;
    size_t i = first.len;

    /* Nearly all writers begin with it, and write no second one. */
    if (sm_str_starts(json, first)) {
        for (; i < json.len && i < first.len + 18 && json.data[i] >= '0' && json.data[i] <= '9';
             i++) {
            n_rows = n_rows * 10 + (json.data[i] - '0');
        }
        if (i > first.len && i < json.len && (json.data[i] == ',' || json.data[i] == '}')) {
            return n_rows;
        }
    }
    sm_arena *scratch = sm_arena_new(NULL);
    parse_doc(json, scratch, &doc, &n_rows);
    sm_arena_free(scratch);
    return n_rows;
}

const char *sm_delta_stats_flaw(sm_str stats_json)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    const char *flaw = NULL;
    int64_t n_rows = 0;

    if (stats_json.len > 0 &&
        (sm_json_parse(stats_json, a, &doc, NULL) != SM_OK || doc->type != SM_JSON_OBJECT)) {
        flaw = "its statistics in the log are no JSON object";
    } else if (stats_json.len > 0) {
        const sm_json *said = sm_json_get(doc, "numRecords");
        const bool is_said = said && said->type != SM_JSON_NULL;
        flaw = is_said && (!sm_json_i64(said, &n_rows) || n_rows < 0)
                   ? "numRecords of its statistics in the log is no number of rows"
                   : NULL;
    }
    sm_arena_free(a);
    return flaw;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_timestamp(int64_t us, bool has_zone, sm_json_writer *w)
{
    char day[SM_TIME_TEXT_BYTES], text[SM_TIME_TEXT_BYTES + 80];
    const int64_t days = us >= 0 ? us / 86400000000 : (us - 86399999999) / 86400000000;
    const int64_t in_day = us - days * 86400000000;

    SM_ASSERT(in_day >= 0 && in_day < 86400000000); /* as much as fits `text` */
    sm_format_date((int32_t)days, day);
    snprintf(text, sizeof(text), "%sT%02d:%02d:%02d.%03d%s", day, (int)(in_day / 3600000000),
             (int)(in_day / 60000000 % 60), (int)(in_day / 1000000 % 60),
             (int)(in_day / 1000 % 1000), has_zone ? "Z" : "");
    sm_json_put_text(w, sm_str_of(text));
}

static int64_t floor_to_ms(int64_t us)
{
    return us >= 0 ? us / 1000 * 1000 : -((-us + 999) / 1000 * 1000);
}

bool smi_is_printable(sm_value v)
{
    const int64_t day_us = INT64_C(86400000000);
    int64_t days = v.as.i;

    if (is_timestamp(v.type)) {
        days = v.as.i / day_us - (v.as.i % day_us < 0);
    } else if (v.type->id != SM_TYPE_DATE) {
        return true;
    }
    const int64_t year = sm_civil_from_days(days).year;
    return year >= 1 && year <= 9999;
}

/* A bound has milliseconds, and the greatest one is rounded up. */
static bool is_bound(sm_value v)
{
    const int64_t last_us = INT64_C(253402300799999000); /* 9999-12-31 23:59:59.999 */

    return smi_is_printable(v) && (!is_timestamp(v.type) || v.as.i <= last_us);
}

/* May the file's bounds be written? Some readers skip a file if the column that they filter by has
 * no bounds while another column has some. And readers take bounds to cover NaN, which they do not.
 * So each column with values must have both bounds and no NaN, or no bounds are written. */
static bool is_complete(const sm_delta_metadata *m, const sm_range *ranges, int64_t n_rows)
{
    const sm_type *schema = m->schema;

    for (int32_t i = 0; ranges && i < schema->n_fields; i++) {
        const sm_range *r = &ranges[i];
        if (sm_delta_partition_at(m, i) >= 0) {
            continue;
        }
        const bool is_all_null = r->has_nulls && r->n_nulls == n_rows;
        if (has_bounds(schema->fields[i].type) && !is_all_null &&
            (!r->has_min || !r->has_max || (is_float(r->min.type) && r->may_have_nan) ||
             !is_bound(r->min) || !is_bound(r->max))) {
            return false;
        }
    }
    return ranges != NULL;
}

/* Infinities are texts, since JSON has no such numbers. A zero gets the sign that lets both zeros
 * be within the bounds. */
static void put_float(double v, bool is_max, sm_json_writer *w)
{
    char text[SM_F64_TEXT_BYTES];

    SM_ASSERT(!isnan(v)); /* is_complete() */
    if (isinf(v)) {
        sm_json_put_text(w, v < 0 ? SM_STR("-Infinity") : SM_STR("Infinity"));
        return;
    }
    sm_format_f64(v != 0 ? v : is_max ? 0.0 : -0.0, text);
    sm_json_put_raw(w, sm_str_of(text));
}

static void put_bound(sm_value v, bool is_max, sm_json_writer *w)
{
    char day[SM_TIME_TEXT_BYTES];

    if (is_timestamp(v.type)) {
        const int64_t us = is_max ? -floor_to_ms(-v.as.i) : floor_to_ms(v.as.i);
        put_timestamp(us, v.type->id == SM_TYPE_TIMESTAMP, w);
    } else if (v.type->id == SM_TYPE_STRING) {
        sm_json_put_text(w, v.as.s);
    } else if (v.type->id == SM_TYPE_DATE) {
        sm_format_date((int32_t)v.as.i, day);
        sm_json_put_text(w, sm_str_of(day));
    } else if (is_float(v.type)) {
        put_float(v.as.f, is_max, w);
    } else { /* a number or a truth, as JSON has them */
        smi_partition_text(v, sm_json_value_out(w));
    }
}

static void put_bounds(const sm_type *schema, const sm_range *ranges, bool is_max,
                       sm_json_writer *w)
{
    sm_arena *scratch = sm_arena_new(NULL);

    SM_ASSERT(w->depth > 0 && !w->has_key); /* members of the statistics' object */
    sm_json_set_object(w, is_max ? "maxValues" : "minValues");
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_range *r = &ranges[i];
        if (!r->has_min || !r->has_max || !has_bounds(schema->fields[i].type)) {
            continue;
        }
        sm_json_key(w, smi_physical_name(&schema->fields[i], scratch));
        put_bound(is_max ? r->max : r->min, is_max, w);
    }
    sm_json_end_object(w);
    sm_arena_free(scratch);
}

void smi_stats_print(const sm_delta_metadata *m, const sm_range *ranges, int64_t n_rows,
                     sm_buf *out)
{
    const sm_type *schema = m->schema;
    sm_arena *scratch = sm_arena_new(NULL);
    sm_json_writer w = {.out = out};

    SM_ASSERT(n_rows >= 0);
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "numRecords", n_rows);
    if (is_complete(m, ranges, n_rows)) {
        put_bounds(schema, ranges, false, &w);
        put_bounds(schema, ranges, true, &w);
    }
    sm_json_set_object(&w, "nullCount");
    for (int32_t i = 0; ranges && i < schema->n_fields; i++) {
        if (ranges[i].has_nulls && !sm_type_is_nested(schema->fields[i].type->id)) {
            sm_json_key(&w, smi_physical_name(&schema->fields[i], scratch));
            sm_json_put_i64(&w, ranges[i].n_nulls);
        }
    }
    sm_json_end_object(&w);
    sm_json_end_object(&w);
    sm_arena_free(scratch);
}

/* A value of a parsed document, as it was. */
static void put_again(sm_json_writer *w, const sm_json *v)
{
    switch (v->type) {
    case SM_JSON_NULL:
        sm_json_put_null(w);
        break;
    case SM_JSON_BOOL:
        sm_json_put_bool(w, v->b);
        break;
    case SM_JSON_STRING:
        sm_json_put_text(w, v->text);
        break;
    default:
        sm_json_put_raw(w, v->text);
    }
}

sm_str smi_stats_loosen(sm_str json, sm_arena *a)
{
    sm_arena *scratch = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    int64_t n_rows = 0;
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    const bool is_known = parse_doc(json, scratch, &doc, &n_rows);
    SM_ENSURE(is_known); /* or the file may have no vector */
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "numRecords", n_rows);
    for (const sm_json *v = doc->child; v; v = v->next) {
        if (!sm_str_is(v->key, "numRecords") && !sm_str_is(v->key, "tightBounds")) {
            sm_json_key(&w, v->key);
            put_again(&w, v);
        }
    }
    sm_json_set_bool(&w, "tightBounds", false);
    sm_json_end_object(&w);
    const sm_str text = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    sm_arena_free(scratch);
    return text;
}

/* ---- columns of a checkpoint ----------------------------------------------------------------- */

static const sm_type *field_type(const sm_type *t, sm_str name, sm_arena *a)
{
    for (int32_t i = 0; t && t->id == SM_TYPE_STRUCT && i < t->n_fields; i++) {
        if (sm_str_eq(smi_physical_name(&t->fields[i], a), name)) {
            return t->fields[i].type;
        }
    }
    return NULL;
}

const sm_type *smi_stats_fields(const sm_type *t, sm_arena *a)
{
    if (t->id != SM_TYPE_STRUCT) {
        return has_bounds(t) && t->id != SM_TYPE_TIME ? t : NULL; /* Delta has no TIME */
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    int32_t n = 0;
    for (int32_t i = 0; i < t->n_fields; i++) {
        const sm_type *known = smi_stats_fields(t->fields[i].type, a);
        if (known) {
            fields[n] = t->fields[i];
            fields[n++].type = known;
        }
    }
    return n > 0 ? sm_type_struct(a, fields, n) : NULL;
}

/* May the values stand as bounds: does each reader know all of them? */
static bool are_printable(const sm_column *c, int64_t row)
{
    SM_ASSERT(row >= 0 && row < c->n_rows);
    if (sm_column_is_null(c, row)) {
        return true;
    }
    if (c->type->id != SM_TYPE_STRUCT) {
        const sm_value v = sm_column_value(c, row);
        return is_bound(v) && !(is_float(v.type) && isnan(v.as.f));
    }
    for (int32_t i = 0; i < c->type->n_fields; i++) {
        if (!are_printable(&c->children[i], row)) {
            return false;
        }
    }
    return true;
}

/* The fields of a struct, as members. `of`: the columns that they are of, or NULL. */
static void put_columns(const sm_column *c, int64_t row, const sm_type *of, bool is_max,
                        sm_arena *a, sm_json_writer *w)
{
    SM_ASSERT(c->type->id == SM_TYPE_STRUCT && c->n_children == c->type->n_fields);
    for (int32_t i = 0; i < c->type->n_fields; i++) {
        const sm_column *child = &c->children[i];
        if (sm_column_is_null(child, row)) {
            continue;
        }
        const sm_str name = c->type->fields[i].name;
        sm_json_key(w, name);
        if (child->type->id == SM_TYPE_STRUCT) {
            sm_json_begin_object(w);
            put_columns(child, row, field_type(of, name, a), is_max, a, w);
            sm_json_end_object(w);
            continue;
        }
        sm_value v = sm_column_value(child, row);
        const sm_type *t = is_timestamp(v.type) ? field_type(of, name, a) : NULL;
        if (t && is_timestamp(t)) {
            v.type = t; /* INT96 does not say whether it is an instant */
        }
        put_bound(v, is_max, w);
    }
}

sm_str smi_stats_of_columns(const sm_column *c, int64_t row, const sm_type *schema, sm_arena *a)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(c->type->id == SM_TYPE_STRUCT && !sm_column_is_null(c, row));
    sm_json_begin_object(&w);
    for (int32_t i = 0; i < c->type->n_fields; i++) {
        const sm_str name = c->type->fields[i].name;
        const sm_column *child = &c->children[i];
        const bool is_max = sm_str_is(name, "maxValues");
        const bool is_bound = is_max || sm_str_is(name, "minValues");
        if (sm_column_is_null(child, row) || (is_bound && !are_printable(c, row))) {
            continue;
        }
        sm_json_key(&w, name);
        if (child->type->id == SM_TYPE_STRUCT) {
            sm_json_begin_object(&w);
            put_columns(child, row, is_bound ? schema : NULL, is_max, a, &w);
            sm_json_end_object(&w);
        } else {
            put_bound(sm_column_value(child, row), false, &w);
        }
    }
    sm_json_end_object(&w);
    const sm_str text = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    return text;
}
