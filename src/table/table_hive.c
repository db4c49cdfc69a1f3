/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_hive.c: columns in the names of folders, as Hive writes partitions:
 * sales/day=2022-04-01/shop=7/a.parquet has `day` and `shop`. Called by table_function.c.
 *
 * A key    is a folder "name=value" of the path as it is opened, with one '=' and a name before it.
 *          Where a name comes twice, the first counts. __HIVE_DEFAULT_PARTITION__ is NULL; %XX in a
 *          value is a byte.
 * Columns  Where all files have the same keys, these are columns, in the order of their names. Else
 *          there are none, or an error if they were asked for.
 * Types    as DuckDB finds them: the first of DATE, TIMESTAMP, BIGINT and VARCHAR that all values
 *          of a key fit, by the text in the path. Text that would be printed otherwise stays text:
 *          007, and words for times (epoch, infinity). */
#include "base/hex.h"
#include "base/text.h"
#include "base/time.h"
#include "table/table_int.h"

#include <stdio.h>

#define MOST_KEYS 32

typedef struct hive_key {
    sm_str name, text;
} hive_key;

typedef struct hive_keys {
    hive_key items[MOST_KEYS];
    int32_t n;
    bool are_too_many;
} hive_keys;

/* ---- the keys of a path ---------------------------------------------------------------------- */

static void add_key(hive_keys *keys, sm_str folder)
{
    const char *const equals = memchr(folder.data, '=', folder.len);
    if (!equals || equals == folder.data) {
        return;
    }
    const hive_key key = {
        .name = {folder.data, (size_t)(equals - folder.data)},
        .text = {equals + 1, folder.len - (size_t)(equals - folder.data) - 1},
    };
    int32_t at = 0;
    while (at < keys->n && sm_str_cmp(keys->items[at].name, key.name) < 0) {
        at++;
    }
    const bool is_there = at < keys->n && sm_str_eq(keys->items[at].name, key.name);
    const bool is_odd = memchr(key.text.data, '=', key.text.len) != NULL ||
                        sm_utf8_check(folder.data, folder.len) != folder.len;
    if (is_there || is_odd) {
        return;
    }
    if (keys->n == MOST_KEYS) {
        keys->are_too_many = true;
        return;
    }
    memmove(&keys->items[at + 1], &keys->items[at], (size_t)(keys->n - at) * sizeof(hive_key));
    keys->items[at] = key;
    keys->n++;
    SM_ASSERT(at == 0 || sm_str_cmp(keys->items[at - 1].name, key.name) < 0);
    SM_ASSERT(at + 1 == keys->n || sm_str_cmp(key.name, keys->items[at + 1].name) < 0);
}

/* Finds the keys of all folders of a path. An address of the web has no folders behind its '?'. */
static void keys_of(sm_str uri, hive_keys *out)
{
    const bool is_web =
        sm_str_starts(uri, SM_STR("http://")) || sm_str_starts(uri, SM_STR("https://"));
    const char *const query = is_web ? memchr(uri.data, '?', uri.len) : NULL;
    const size_t len = query ? (size_t)(query - uri.data) : uri.len;
    size_t start = 0;
    out->n = 0;
    out->are_too_many = false;
    for (size_t i = 0; i < len; i++) {
        if (uri.data[i] == '/') {
            add_key(out, (sm_str){uri.data + start, i - start});
            start = i + 1;
        }
    }
}

static bool same_names(const hive_keys *a, const hive_keys *b)
{
    bool are_same = a->n == b->n;
    for (int32_t i = 0; i < a->n && are_same; i++) {
        are_same = sm_str_eq(a->items[i].name, b->items[i].name);
    }
    return are_same;
}

/* ---- their types and values ------------------------------------------------------------------ */

static bool is_default(sm_str text)
{
    return sm_str_is(text, "__HIVE_DEFAULT_PARTITION__");
}

/* The types that fit the values of a key that were looked at so far. */
typedef struct fitting {
    bool any; /* there was a value */
    bool date, timestamp, bigint;
} fitting;

static bool begins_number(sm_str s)
{
    return s.len > 0 && (s.data[0] == '-' || (s.data[0] >= '0' && s.data[0] <= '9'));
}

static void narrow_types(fitting *f, sm_str text)
{
    sm_when when = {0};
    sm_value v = {0};
    sm_buf back = {0};
    const bool is_time = begins_number(text) && sm_parse_when(text, &when) && when.infinite == 0;
    f->any = true;
    f->date = f->date && is_time && when.has_date && !when.has_clock;
    f->timestamp =
        f->timestamp && is_time && sm_value_parse(&sm_type_timestamp_ntz, text, &v, NULL) == SM_OK;
    if (f->bigint) { /* 007 and +7 are printed as 7 */
        f->bigint = sm_value_parse(&sm_type_i64, text, &v, NULL) == SM_OK;
        if (f->bigint) {
            sm_value_print(v, &back);
            f->bigint = sm_str_eq(sm_buf_str(&back), text);
        }
    }
    sm_buf_release(&back);
}

static const sm_type *type_of(fitting f)
{
    return !f.any        ? &sm_type_string
           : f.date      ? &sm_type_date
           : f.timestamp ? &sm_type_timestamp_ntz
           : f.bigint    ? &sm_type_i64
                         : &sm_type_string;
}

/* Puts bytes in the place of %XX. */
static sm_str decode_text(sm_str text, sm_arena *a)
{
    if (!memchr(text.data, '%', text.len)) {
        return sm_arena_str(a, text);
    }
    char *const out = sm_arena_alloc(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        const bool is_byte = text.data[i] == '%' && text.len - i > 2 &&
                             sm_hex_digit(text.data[i + 1]) >= 0 &&
                             sm_hex_digit(text.data[i + 2]) >= 0;
        out[n++] =
            is_byte ? (char)(sm_hex_digit(text.data[i + 1]) * 16 + sm_hex_digit(text.data[i + 2]))
                    : text.data[i];
        i += is_byte ? 2 : 0;
    }
    out[n] = '\0';
    return (sm_str){out, n};
}

sm_status smi_hive_value(const smi_hive *h, int32_t column, sm_str uri, sm_arena *a, sm_value *out,
                         sm_error *e)
{
    SM_ASSERT(column >= 0 && column < h->n);
    const smi_hive_column *const c = &h->columns[column];
    hive_keys keys;
    keys_of(uri, &keys);
    SM_ASSERT(c->key < keys.n && sm_str_eq(keys.items[c->key].name, c->field.name));
    const sm_str raw = keys.items[c->key].text;
    const sm_type *const t = c->field.type;
    if (is_default(raw)) {
        *out = sm_value_null(t);
        return SM_OK;
    }
    const sm_str text = decode_text(raw, a);
    if (sm_utf8_check(text.data, text.len) != text.len) {
        return sm_fail(e, SM_INVALID, "the folder \"%.*s=%.*s\" is not UTF-8",
                       SM_STR_ARG(c->field.name), SM_STR_ARG(raw));
    }
    return sm_value_parse(t, text, out, e);
}

sm_status smi_hive_find(const sm_found_file *files, int64_t n, bool is_wanted, sm_arena *a,
                        smi_hive *out, sm_error *e)
{
    hive_keys first, keys; /* keys: of one file after the other */
    fitting fits[MOST_KEYS];
    *out = (smi_hive){0};
    if (n == 0) {
        return SM_OK;
    }
    keys_of(files[0].file.uri, &first);
    if (first.are_too_many) {
        return sm_fail(e, SM_LIMIT, "more than %d keys in the folders of \"%.*s\"", MOST_KEYS,
                       SM_STR_ARG(files[0].file.uri));
    }
    for (int32_t k = 0; k < MOST_KEYS; k++) {
        fits[k] = (fitting){.date = true, .timestamp = true, .bigint = true};
    }
    for (int64_t i = 0; i < n && (first.n > 0 || is_wanted); i++) {
        keys_of(files[i].file.uri, &keys);
        if (!same_names(&first, &keys)) {
            return is_wanted ? sm_fail(e, SM_INVALID,
                                       "the folders of \"%.*s\" have other keys than those of "
                                       "\"%.*s\"",
                                       SM_STR_ARG(files[i].file.uri), SM_STR_ARG(files[0].file.uri))
                             : SM_OK;
        }
        for (int32_t k = 0; k < keys.n; k++) {
            if (!is_default(keys.items[k].text)) {
                narrow_types(&fits[k], keys.items[k].text);
            }
        }
    }
    out->columns = SM_NEW_ARRAY(a, smi_hive_column, first.n + 1);
    for (int32_t k = 0; k < first.n; k++) {
        out->columns[out->n++] = (smi_hive_column){
            .field = {.name = sm_arena_str(a, first.items[k].name),
                      .type = type_of(fits[k]),
                      .is_nullable = true},
            .key = k,
        };
    }
    return SM_OK;
}
