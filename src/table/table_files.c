/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_files.c: finds the files that a path stands for, with their dates, and reads what
 * their contents are known by.
 *
 * A path   is a glob where it has one of * ? [ and something matches it; else the file of that
 *          name; else a folder. With a `match` it is taken for a folder at once. An address of the
 *          web is never a glob: nothing can be listed there, and '?' begins its query.
 * A glob   lists the last folder before its first wildcard, and the folders in it only where the
 *          pattern has a '/'.
 * Match    is a PCRE2 pattern over the name, as UTF-8 if it is that. It is not anchored, and '$'
 *          is the name's end only. Steps and memory are bounded, so no pattern can hold a run up.
 * Date     is the only sequence of exactly eight digits in the last part of a name; longer and
 *          shorter ones do not count. */
#include "table/table_int.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/text.h"
#include "base/time.h"

/* A name of 255 bytes under the shipped pattern takes under 1,000 steps. */
#define MATCH_STEPS     100000
#define MATCH_HEAP_KIB  1024
#define MATCH_MAX_BYTES 4096 /* of a pattern */

/* ---- the regular expression ------------------------------------------------------------------ */

typedef struct name_regex {
    pcre2_code *code; /* NULL: every name matches */
    pcre2_match_data *match;
    pcre2_match_context *limits;
} name_regex;

static void regex_release(name_regex *r)
{
    pcre2_match_context_free(r->limits);
    pcre2_match_data_free(r->match);
    pcre2_code_free(r->code);
}

static sm_status regex_init(name_regex *r, sm_str pattern, sm_error *e)
{
    int code = 0;
    PCRE2_SIZE at = 0;

    *r = (name_regex){0};
    if (pattern.len == 0) {
        return SM_OK;
    }
    if (pattern.len > MATCH_MAX_BYTES) {
        return sm_fail(e, SM_LIMIT, "a regular expression of %zu bytes is over %d", pattern.len,
                       MATCH_MAX_BYTES);
    }
    const uint32_t flags =
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    r->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, flags, &code, &at, NULL);
    if (!r->code) {
        PCRE2_UCHAR why[128] = "";
        pcre2_get_error_message(code, why, sizeof(why));
        return sm_fail(e, SM_SYNTAX, "match '%.*s' is not a regular expression: %s at byte %zu",
                       SM_STR_ARG(pattern), (const char *)why, at + 1);
    }
    r->match = pcre2_match_data_create_from_pattern(r->code, NULL);
    r->limits = pcre2_match_context_create(NULL);
    if (!r->match || !r->limits) {
        regex_release(r);
        *r = (name_regex){0};
        return sm_fail(e, SM_NOMEM, "there is no memory to match names");
    }
    pcre2_set_match_limit(r->limits, MATCH_STEPS);
    pcre2_set_depth_limit(r->limits, MATCH_STEPS);
    pcre2_set_heap_limit(r->limits, MATCH_HEAP_KIB);
    return SM_OK;
}

static sm_status regex_matches(const name_regex *r, sm_str name, bool *out, sm_error *e)
{
    if (!r->code) {
        *out = true;
        return SM_OK;
    }
    const int found =
        pcre2_match(r->code, (PCRE2_SPTR)name.data, name.len, 0, 0, r->match, r->limits);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        return sm_fail(e, SM_LIMIT, "match takes too many steps for the name \"%.*s\"",
                       SM_STR_ARG(name));
    }
    *out = found >= 0;
    return SM_OK;
}

/* ---- dates in names -------------------------------------------------------------------------- */

static sm_str base_name(sm_str name)
{
    sm_str folder, base;
    sm_uri_split(name, &folder, &base);
    return base;
}

static sm_status date_of(sm_found_file *f, bool want_date, sm_error *e)
{
    const sm_str base = base_name(f->name);
    const int n = sm_date_in_name(base, &f->date, &f->has_date);
    SM_ASSERT(n >= 0 && (!f->has_date || n == 1));

    if (f->has_date || !want_date) {
        return SM_OK;
    }
    static const char *const why[] = {"has no date (eight digits)", "has no date of the calendar",
                                      "has more than one date (eight digits)"};
    const sm_status st =
        sm_fail(e, SM_INVALID, "the name \"%.*s\" %s", SM_STR_ARG(base), why[n > 1 ? 2 : n]);
    sm_error_place(e, f->file.uri.data, 0, -1);
    sm_error_todo(e, SMI_DATE_ADVICE);
    return st;
}

/* ---- finding --------------------------------------------------------------------------------- */

typedef struct finder {
    sm_stores *stores;
    sm_arena *arena;
    bool want_date;
    sm_files *out;
} finder;

static sm_status add_file(finder *f, const sm_entry *entry, sm_error *e)
{
    sm_files *out = f->out;
    sm_found_file *file = &out->items[out->n++];
    *file = (sm_found_file){
        .name = entry->key,
        .file =
            {
                .uri = sm_store_uri_of(out->store, entry->key, f->arena),
                .store = out->store,
                .key = entry->key,
                .size_bytes = entry->size_bytes,
                .modified_us = entry->modified_us,
                .changed_us = entry->changed_us,
                .inode = entry->inode,
                .etag = entry->etag,
                .n_rows = -1,
            },
    };
    return date_of(file, f->want_date, e);
}

/* Takes the entries into an array of just their number: there may be 100,000. */
static sm_status add_files(finder *f, const sm_entry *entries, int64_t n, sm_error *e)
{
    f->out->items = SM_NEW_ARRAY(f->arena, sm_found_file, n);
    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(i == 0 || sm_str_cmp(entries[i - 1].key, entries[i].key) <= 0);
        SM_TRY(add_file(f, &entries[i], e));
    }
    return SM_OK;
}

/* Where the first wildcard stands, or the path's length. */
static size_t first_wildcard(sm_str path)
{
    size_t i = 0;
    while (i < path.len && path.data[i] != '*' && path.data[i] != '?' && path.data[i] != '[') {
        i++;
    }
    return i;
}

static sm_status find_glob(finder *f, sm_str path, size_t wildcard, sm_error *e)
{
    sm_str folder, head;
    sm_entry *entries = NULL;
    int64_t n = 0, n_wanted = 0;

    sm_uri_split((sm_str){path.data, wildcard}, &folder, &head);
    const size_t start = wildcard - head.len;
    const sm_str pattern = {path.data + start, path.len - start};
    const bool has_folders = memchr(pattern.data, '/', pattern.len) != NULL;
    SM_TRY(sm_store_open(f->stores, folder, &f->out->store, e));
    SM_TRY(sm_store_list(f->out->store, SM_STR(""), !has_folders, f->arena, &entries, &n, e));
    for (int64_t i = 0; i < n; i++) {
        const bool is_object = !entries[i].is_folder && !entries[i].is_other;
        if (is_object && sm_glob_match(pattern, entries[i].key)) {
            entries[n_wanted++] = entries[i];
        }
    }
    return add_files(f, entries, n_wanted, e);
}

static sm_status find_in_folder(finder *f, sm_str path, sm_str match, sm_error *e)
{
    name_regex regex = {0};
    sm_entry *entries = NULL;
    int64_t n = 0, n_wanted = 0;

    SM_TRY(sm_store_open(f->stores, path, &f->out->store, e));
    SM_TRY(sm_store_list(f->out->store, SM_STR(""), true, f->arena, &entries, &n, e));
    sm_status st = regex_init(&regex, match, e);
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        bool is_wanted = !entries[i].is_folder && !entries[i].is_other;
        if (is_wanted) {
            st = regex_matches(&regex, entries[i].key, &is_wanted, e);
        }
        if (st == SM_OK && is_wanted) {
            entries[n_wanted++] = entries[i];
        } else {
            f->out->n_ignored++;
        }
    }
    regex_release(&regex);
    return st == SM_OK ? add_files(f, entries, n_wanted, e) : st;
}

/* Finds the file of that name; SM_NOT_FOUND where there is none, or a folder. */
static sm_status find_one(finder *f, sm_str path, sm_error *e)
{
    sm_str folder, name;
    sm_entry entry;

    sm_uri_split(path, &folder, &name);
    if (name.len == 0 || sm_str_is(name, ".") || sm_str_is(name, "..")) {
        return sm_fail(e, SM_NOT_FOUND, "\"%.*s\" is not a file", SM_STR_ARG(path));
    }
    SM_TRY(sm_store_open(f->stores, folder, &f->out->store, e));
    SM_TRY(sm_store_stat(f->out->store, name, f->arena, &entry, e));
    return add_files(f, &entry, 1, e);
}

/* Finds the file of exactly that name, else those in the folder of that name. */
static sm_status find_named(finder *f, sm_str path, sm_error *e)
{
    sm_error no_file = {0};

    sm_status st = find_one(f, path, &no_file);
    if (st != SM_NOT_FOUND) {
        if (st != SM_OK && e) {
            *e = no_file;
        }
        return st;
    }
    sm_store_release(f->out->store);
    f->out->store = NULL;
    st = find_in_folder(f, path, SM_STR(""), e);
    if (st == SM_NOT_FOUND) {
        st = sm_fail(e, SM_NOT_FOUND, "there is no file or folder \"%.*s\"", SM_STR_ARG(path));
    }
    return st;
}

/* Finds by a pattern. One that matches nothing may be a name with such characters, as in DuckDB:
 * "logs [1]". */
static sm_status find_glob_or_named(finder *f, sm_str path, size_t wildcard, sm_error *e)
{
    sm_files named = {0};
    sm_error why = {0};
    finder exact = *f;

    const sm_status st = find_glob(f, path, wildcard, e);
    if ((st != SM_OK && st != SM_NOT_FOUND) || f->out->n > 0) {
        return st;
    }
    exact.out = &named;
    const sm_status there = find_named(&exact, path, &why);
    if (there == SM_NOT_FOUND || (there == SM_INVALID && named.n == 0)) { /* or it can be no name */
        sm_files_release(&named);
        return st;
    }
    if (there != SM_OK && e) {
        *e = why;
    }
    sm_files_release(f->out);
    *f->out = named;
    return there;
}

static sm_status find_path(finder *f, sm_str path, sm_str match, sm_error *e)
{
    const size_t wildcard = first_wildcard(path);

    if (match.len > 0) {
        return find_in_folder(f, path, match, e);
    }
    const bool is_web =
        sm_str_starts(path, SM_STR("http://")) || sm_str_starts(path, SM_STR("https://"));
    return wildcard < path.len && !is_web ? find_glob_or_named(f, path, wildcard, e)
                                          : find_named(f, path, e);
}

sm_status sm_files_find(sm_stores *stores, sm_str path, sm_str match, bool want_date, sm_arena *a,
                        sm_files *out, sm_error *e)
{
    sm_files found = {0};
    finder f = {.stores = stores, .arena = a, .want_date = want_date, .out = &found};

    const sm_status st = find_path(&f, path, match, e);
    if (st != SM_OK) {
        sm_files_release(&found);
        return st;
    }
    *out = found;
    return SM_OK;
}

void sm_files_release(sm_files *f)
{
    if (f) {
        sm_store_release(f->store);
        *f = (sm_files){0};
    }
}

/* ---- contents -------------------------------------------------------------------------------- */

static sm_status open_content(const sm_datafile *f, const sm_exec_env *env, sm_content_source *out,
                              sm_error *e)
{
    *out = (sm_content_source){.budget = env->budget, .cancel = env->cancel};
    return sm_blob_open(f->store, f->key, &out->blob, e);
}

sm_status sm_file_content(const sm_datafile *f, const sm_exec_env *env, sm_content *out,
                          bool *is_whole, sm_error *e)
{
    sm_content_source from;

    SM_TRY(open_content(f, env, &from, e));
    const sm_status st = sm_content_read(&from, out, is_whole, e);
    sm_blob_close(from.blob);
    return st;
}

sm_status sm_file_head(const sm_datafile *f, const sm_exec_env *env, uint8_t *out, size_t *n,
                       sm_error *e)
{
    sm_content_source from;

    SM_TRY(open_content(f, env, &from, e));
    const sm_status st = sm_content_head(&from, out, n, e);
    sm_blob_close(from.blob);
    return st;
}

sm_status sm_file_prefixes(const sm_datafile *f, const sm_exec_env *env, const int64_t *lens,
                           int64_t n, sm_hash128 *out, sm_error *e)
{
    sm_content_source from;

    SM_TRY(open_content(f, env, &from, e));
    const sm_status st = sm_content_prefixes(&from, lens, n, out, e);
    sm_blob_close(from.blob);
    return st;
}
