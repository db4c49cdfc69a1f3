/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_file.c: reads and writes the files under TABLE/_smelt in which a table's books
 * are kept. Called by flow_books.c.
 *
 * File      _smelt/books-<number in 16 hex digits>.ndjson. A commit names its books by a Delta
 *           transaction `smelt:books` whose version is the number. A transaction stays in
 *           checkpoints when log entries are cleaned up, and makes two runs conflict that start
 *           from the same books. The number is the run's start in microseconds since 1970 followed
 *           by 11 random bits; it is always greater than the last one.
 * Line 1    {"format", "previous", "wholes", "pipeline", "run", "rows", "entries", "roots":
 *           [{"uri", "pipeline", "query", "columns", "seen"}]}
 * Others    one entry a line: {"root", "path", …}, or {"gone": key} for an entry that was removed.
 * Chain     A file has the entries that changed since the file that it names as previous. The
 *           newest line about an entry counts. A file without a previous one is whole.
 * Growth    A new file takes in the files before it that are no larger than what it has so far,
 *           like a binary counter. So n entries are rewritten log2(n) times in all, and a chain has
 *           at most that many files. Files of up to SMALL entries are always taken in, because one
 *           more request costs more.
 * Cleaning  Old files serve old versions, which a RESTORE may bring back as long as the log has
 *           them. When a whole file is written, all files are deleted that are older than the
 *           newest whole file which is itself older than the log's retention. That removes the
 *           files of killed runs too. A whole file is written at least once in that time. */
#include <inttypes.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define FORMAT         1
#define FOLDER         "_smelt/"
#define NAME_HEAD      "books-"
#define NAME_TAIL      ".ndjson"
#define HEX_DIGITS     16
#define RANDOM_BITS    11
#define SMALL          64
#define MOST_BYTES     ((size_t)1 << 31)
#define DAY_US         INT64_C(86400000000)
#define RETENTION_DAYS 30 /* of a log, if its table does not say (PROTOCOL.md) */
#define HASH_HEX_BYTES 32
#define MOST_CHAIN     1000 /* a chain that runs in a circle ends here */

/* ---- names and numbers ----------------------------------------------------------------------- */

sm_str smi_flow_books_name(int64_t number, sm_arena *a)
{
    SM_ASSERT(number >= 0); /* number_of_name takes no other */
    return sm_arena_strf(a, NAME_HEAD "%016" PRIx64 NAME_TAIL, (uint64_t)number);
}

static bool parse_hex(sm_str hex, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < hex.len; i++) {
        const char c = hex.data[i];
        const int digit =
            c >= 'A' && c <= 'F' ? -1 : sm_hex_digit(c); /* names have small letters */
        if (digit < 0) {
            return false;
        }
        *out = *out << 4 | (uint64_t)digit;
    }
    return hex.len == HEX_DIGITS;
}

static bool number_of_name(sm_str name, int64_t *out)
{
    const sm_str head = SM_STR(NAME_HEAD), tail = SM_STR(NAME_TAIL);
    uint64_t number = 0;

    if (!sm_str_starts(name, head) || !sm_str_ends(name, tail) ||
        name.len != head.len + HEX_DIGITS + tail.len ||
        !parse_hex((sm_str){name.data + head.len, HEX_DIGITS}, &number) || number > INT64_MAX) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}

static int64_t time_of(int64_t number)
{
    return number >> RANDOM_BITS;
}

/* The same for all tables of a run, so that its commits belong together. */
static int64_t next_number(const sm_run *r, int64_t last)
{
    const uint64_t random = sm_hash64(r->id.data, r->id.len) & ((1u << RANDOM_BITS) - 1);
    const int64_t number = r->start_us << RANDOM_BITS | (int64_t)random;

    return number > last ? number : last + 1;
}

bool smi_flow_books_hash(sm_str hex, sm_hash128 *out)
{
    return hex.len == HASH_HEX_BYTES && parse_hex((sm_str){hex.data, HEX_DIGITS}, &out->high) &&
           parse_hex((sm_str){hex.data + HEX_DIGITS, HEX_DIGITS}, &out->low);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Two entries may have one path: if a file was moved away and another one took its path, the first
 * one's rows are still in the table. */
sm_str smi_flow_books_key(const smi_flow_known *k, sm_arena *a)
{
    sm_buf text = {0};

    if (k->is_displaced) {
        sm_buf_printf(&text, "%d:%" PRId64 "/", k->root, k->version);
    } else {
        sm_buf_printf(&text, "%d/", k->root);
    }
    sm_buf_text(&text, k->path);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static bool is_same_hash(sm_hash128 x, sm_hash128 y)
{
    return x.low == y.low && x.high == y.high;
}

static bool is_same_mark(const smi_flow_mark *x, const smi_flow_mark *y)
{
    return x->size_bytes == y->size_bytes && x->modified_us == y->modified_us &&
           x->changed_us == y->changed_us && x->inode == y->inode && sm_str_eq(x->etag, y->etag);
}

static bool is_same_entry(const smi_flow_known *x, const smi_flow_known *y)
{
    return sm_str_eq(x->uri, y->uri) && x->loaded_us == y->loaded_us && x->version == y->version &&
           is_same_mark(&x->mark, &y->mark) && x->has_identity == y->has_identity &&
           is_same_hash(x->hash, y->hash) && x->content_bytes == y->content_bytes &&
           x->head == y->head && x->n_lines == y->n_lines && x->n_rows == y->n_rows &&
           x->has_date == y->has_date && x->date == y->date && x->is_dropped == y->is_dropped &&
           x->is_passed == y->is_passed && x->is_displaced == y->is_displaced;
}

static void put_flag(sm_json_writer *w, const char *key, bool is_set)
{
    if (is_set) {
        sm_json_set_bool(w, key, true);
    }
}

static void put_mark(sm_json_writer *w, const smi_flow_mark *mark)
{
    sm_json_set_i64(w, "size", (int64_t)mark->size_bytes);
    sm_json_set_i64(w, "modified_us", mark->modified_us);
    if (mark->changed_us) {
        sm_json_set_i64(w, "changed_us", mark->changed_us);
    }
    if (mark->inode) {
        sm_json_set_i64(w, "inode", (int64_t)mark->inode);
    }
    if (mark->etag.len) {
        sm_json_set_text(w, "etag", mark->etag);
    }
}

static void put_identity(sm_json_writer *w, const smi_flow_known *k)
{
    char hex[HASH_HEX_BYTES + 1];

    sm_hash128_hex(k->hash, hex);
    sm_json_set_text(w, "hash", sm_str_of(hex));
    if (k->content_bytes >= 0) {
        sm_json_set_i64(w, "bytes", k->content_bytes);
        sm_json_set_i64(w, "head", (int64_t)k->head);
    }
}

static void put_entry(sm_json_writer *w, const smi_flow_known *k)
{
    char day[SM_TIME_TEXT_BYTES];

    SM_ASSERT(k->root >= 0 && k->path.len > 0); /* take_entry refuses others */
    SM_ASSERT(k->version >= -1 && k->n_lines >= -1 && k->n_rows >= -1);
    sm_json_begin_object(w);
    sm_json_set_i64(w, "root", k->root);
    sm_json_set_text(w, "path", k->path);
    sm_json_set_text(w, "uri", k->uri);
    if (k->loaded_us) {
        sm_json_set_i64(w, "loaded_us", k->loaded_us);
    }
    sm_json_set_i64(w, "version", k->version);
    if (!is_same_mark(&k->mark, &(smi_flow_mark){0})) {
        put_mark(w, &k->mark);
    }
    if (k->has_identity) {
        put_identity(w, k);
    }
    if (k->n_lines >= 0) {
        sm_json_set_i64(w, "lines", k->n_lines);
    }
    if (k->n_rows >= 0) {
        sm_json_set_i64(w, "rows", k->n_rows);
    }
    if (k->has_date) {
        sm_format_date(k->date, day);
        sm_json_set_text(w, "date", sm_str_of(day));
    }
    put_flag(w, "dropped", k->is_dropped);
    put_flag(w, "passed", k->is_passed);
    put_flag(w, "displaced", k->is_displaced);
    sm_json_end_object(w);
    sm_json_end_line(w);
}

static int64_t number_or(const sm_json *o, const char *key, int64_t otherwise)
{
    int64_t out = 0;
    return sm_json_i64(sm_json_get(o, key), &out) ? out : otherwise;
}

static bool take_entry(const sm_json *o, int32_t n_roots, sm_arena *a, smi_flow_known *k)
{
    const int64_t root = number_or(o, "root", -1);

    *k = (smi_flow_known){
        .root = (int32_t)root,
        .path = sm_arena_str(a, sm_json_text(sm_json_get(o, "path"))),
        .uri = sm_arena_str(a, sm_json_text(sm_json_get(o, "uri"))),
        .loaded_us = number_or(o, "loaded_us", 0),
        .version = number_or(o, "version", -1),
        .mark = {.size_bytes = (uint64_t)number_or(o, "size", 0),
                 .modified_us = number_or(o, "modified_us", 0),
                 .changed_us = number_or(o, "changed_us", 0),
                 .inode = (uint64_t)number_or(o, "inode", 0),
                 .etag = sm_arena_str(a, sm_json_text(sm_json_get(o, "etag")))},
        .content_bytes = number_or(o, "bytes", -1),
        .head = (uint64_t)number_or(o, "head", 0),
        .n_lines = number_or(o, "lines", -1),
        .n_rows = number_or(o, "rows", -1),
        .is_dropped = sm_json_get(o, "dropped") != NULL,
        .is_passed = sm_json_get(o, "passed") != NULL,
        .is_displaced = sm_json_get(o, "displaced") != NULL,
    };
    k->has_identity = smi_flow_books_hash(sm_json_text(sm_json_get(o, "hash")), &k->hash);
    k->has_date = sm_parse_date(sm_json_text(sm_json_get(o, "date")), &k->date);
    return root >= 0 && root < n_roots && k->path.len > 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A chain being read, newest first. */
typedef struct reader {
    sm_run *run;
    smi_flow_books *books;
    sm_arena *scratch; /* for the JSON of one file */
    sm_map *told;      /* keys that a newer file has an entry for */
    smi_flow_known *known;
    int64_t n_known, cap_known;
    int32_t *link_of;
    int64_t cap_link_of;
    smi_flow_books_link *links;
    int64_t n_links, cap_links;
    smi_flow_books_gone *gone;
    int64_t n_gone, cap_gone;
} reader;

/* Nothing else says what is in the table: to go on would double rows or lose them. */
static sm_status advise(const reader *k, sm_status st, sm_error *e)
{
    if (st != SM_OK) {
        sm_error_todo(
            e,
            "Without its books it is not known what is in %.*s. Bring the file back, or move the "
            "table's folder away and load all its files again.",
            SM_STR_ARG(k->books->table));
    }
    return st;
}

static sm_status fail_damaged(const reader *k, int64_t number, int64_t line, sm_error *e)
{
    const sm_str name = smi_flow_books_name(number, k->scratch);
    const sm_str key = sm_arena_strf(k->scratch, FOLDER "%.*s", SM_STR_ARG(name));
    const sm_status st = sm_fail(e, SM_CORRUPT, "the table's books are damaged");

    sm_error_place(e, sm_store_uri_of(k->books->store, key, k->scratch).data, line, -1);
    return st;
}

static void take_roots(reader *k, const sm_json *header)
{
    const sm_json *list = sm_json_get(header, "roots");
    sm_arena *a = k->run->arena;
    int32_t n = 0;
    smi_flow_root *roots = SM_NEW_ARRAY(a, smi_flow_root, list ? list->n_children : 0);

    for (const sm_json *o = list ? list->child : NULL; o; o = o->next) {
        const sm_json *seen = sm_json_get(o, "seen");
        roots[n++] = (smi_flow_root){
            .uri = sm_arena_str(a, sm_json_text(sm_json_get(o, "uri"))),
            .pipeline = sm_arena_str(a, sm_json_text(sm_json_get(o, "pipeline"))),
            .query = sm_arena_str(a, sm_json_text(sm_json_get(o, "query"))),
            .columns = sm_arena_str(a, sm_json_text(sm_json_get(o, "columns"))),
            .seen = sm_arena_str(a, seen ? seen->text : SM_STR("")),
        };
    }
    k->books->roots = roots;
    k->books->n_roots = n;
}

static void take_wholes(reader *k, const sm_json *header)
{
    const sm_json *list = sm_json_get(header, "wholes");
    smi_flow_books_chain *chain = &k->books->chain;
    int64_t *wholes = SM_NEW_ARRAY(k->run->arena, int64_t, list ? list->n_children : 0);

    for (const sm_json *o = list ? list->child : NULL; o; o = o->next) {
        chain->n_wholes += number_of_name(sm_json_text(o), &wholes[chain->n_wholes]);
    }
    chain->wholes = wholes;
}

/* Takes the first line. The newest file says which roots, rows and whole files there are.
 * *previous −1: the file is whole. */
static bool take_header(reader *k, const sm_json *o, smi_flow_books_link *link, int64_t *previous)
{
    const sm_str name = sm_json_text(sm_json_get(o, "previous"));

    *previous = -1;
    link->n_entries = number_or(o, "entries", -1);
    if (number_or(o, "format", -1) != FORMAT || link->n_entries < 0 ||
        (name.len > 0 && (!number_of_name(name, previous) || *previous >= link->number))) {
        return false;
    }
    if (k->n_links == 0) {
        take_roots(k, o);
        take_wholes(k, o);
        k->books->chain.n_rows = number_or(o, "rows", -1);
    }
    return true;
}

static bool take_line(reader *k, const sm_json *o)
{
    smi_flow_known entry;
    const int32_t link = (int32_t)k->n_links;
    sm_str key = sm_json_text(sm_json_get(o, "gone"));
    const bool is_gone = key.len > 0;

    if (!is_gone) {
        if (!take_entry(o, k->books->n_roots, k->run->arena, &entry)) {
            return false;
        }
        key = smi_flow_books_key(&entry, k->scratch);
    }
    void **is_told = sm_map_at(k->told, key);
    if (*is_told) {
        return true;
    }
    *is_told = k;
    if (is_gone) {
        k->gone = sm_arena_grow(k->run->arena, k->gone, k->n_gone, &k->cap_gone, sizeof(*k->gone));
        k->gone[k->n_gone++] =
            (smi_flow_books_gone){.key = sm_arena_str(k->run->arena, key), .link = link};
        return true;
    }
    k->link_of =
        sm_arena_grow(k->run->arena, k->link_of, k->n_known, &k->cap_link_of, sizeof(*k->link_of));
    k->known = sm_arena_grow(k->run->arena, k->known, k->n_known, &k->cap_known, sizeof(*k->known));
    k->link_of[k->n_known] = link;
    k->known[k->n_known++] = entry;
    return true;
}

static sm_status take_text(reader *k, sm_str text, smi_flow_books_link *link, int64_t *previous,
                           sm_error *e)
{
    int64_t n_lines = 0;
    sm_error ignored = {0};

    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        const sm_str line = {text.data, end ? (size_t)(end - text.data) : text.len};
        const size_t step = line.len + (end ? 1 : 0);
        const sm_json *o = NULL;
        text = (sm_str){text.data + step, text.len - step};
        if (sm_json_parse(line, k->scratch, &o, &ignored) != SM_OK ||
            !(n_lines == 0 ? take_header(k, o, link, previous) : take_line(k, o))) {
            return fail_damaged(k, link->number, n_lines + 1, e);
        }
        sm_arena_reset(k->scratch); /* there may be 100,000 lines */
        n_lines++;
    }
    return n_lines == link->n_entries + 1 ? SM_OK : fail_damaged(k, link->number, n_lines + 1, e);
}

static sm_status read_one(reader *k, int64_t number, int64_t *previous, sm_error *e)
{
    sm_buf text = {.max_bytes = MOST_BYTES};
    smi_flow_books_link link = {.number = number};
    const sm_str name = smi_flow_books_name(number, k->run->arena);
    const sm_str key = sm_arena_strf(k->run->arena, FOLDER "%.*s", SM_STR_ARG(name));

    sm_status st = sm_store_get(k->books->store, key, &text, e);
    if (st == SM_OK) {
        st = take_text(k, sm_buf_str(&text), &link, previous, e);
    }
    if (st == SM_OK) {
        k->links =
            sm_arena_grow(k->run->arena, k->links, k->n_links, &k->cap_links, sizeof(*k->links));
        k->links[k->n_links++] = link;
    }
    sm_buf_release(&text);
    return st;
}

/* Each entry, and each removal of one, must be of a file of the chain. */
static void check_chain(const reader *k)
{
    for (int64_t i = 1; i < k->n_links; i++) {
        SM_ASSERT(k->links[i].number < k->links[i - 1].number);
    }
    for (int64_t i = 0; i < k->n_known; i++) {
        SM_ASSERT(k->link_of[i] >= 0 && k->link_of[i] < k->n_links);
        SM_ASSERT(k->known[i].root < k->books->n_roots);
    }
    for (int64_t i = 0; i < k->n_gone; i++) {
        SM_ASSERT(k->gone[i].link >= 0 && k->gone[i].link < k->n_links);
    }
}

sm_status smi_flow_books_read(sm_run *r, int64_t number, smi_flow_books *b, sm_error *e)
{
    sm_arena *told = sm_arena_new(r->env->budget);
    reader k = {.run = r, .books = b, .told = sm_map_new(told)};
    int64_t at = number;
    sm_status st = SM_OK;

    b->chain = (smi_flow_books_chain){.n_rows = -1};
    while (st == SM_OK && at >= 0) {
        k.scratch = sm_arena_new(r->env->budget);
        st = k.n_links < MOST_CHAIN ? read_one(&k, at, &at, e) : fail_damaged(&k, at, 1, e);
        sm_arena_free(k.scratch);
    }
    if (st == SM_OK) {
        check_chain(&k);
    }
    sm_arena_free(told);
    b->known = k.known;
    b->n_known = k.n_known;
    b->chain.links = k.links;
    b->chain.n_links = (int32_t)k.n_links;
    b->chain.link_of = k.link_of;
    b->chain.gone = k.gone;
    b->chain.n_gone = k.n_gone;
    return advise(&k, st, e);
}

/* ---- cleaning -------------------------------------------------------------------------------- */

/* How long a table's log lasts: "interval 30 days". INT64_MAX if it is not understood: then nothing
 * is old. */
static int64_t retention_of(const sm_snapshot *s)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {
        {"week", 7 * DAY_US}, {"day", DAY_US}, {"hour", DAY_US / 24}, {"minute", DAY_US / 1440}};
    const sm_delta_metadata *m = s ? sm_snapshot_metadata(s) : NULL;
    sm_str text = {0};
    int64_t n = 0;

    for (int32_t i = 0; m && i < m->n_config; i++) {
        if (sm_str_is(m->config[i].key, "delta.logRetentionDuration")) {
            text = m->config[i].value;
        }
    }
    if (text.len == 0) {
        return RETENTION_DAYS * DAY_US;
    }
    const sm_str head = SM_STR("interval ");
    if (!sm_str_starts(text, head)) {
        return INT64_MAX;
    }
    text = (sm_str){text.data + head.len, text.len - head.len};
    const char *gap = memchr(text.data, ' ', text.len);
    const size_t digits = gap ? (size_t)(gap - text.data) : 0;
    if (!sm_parse_i64((sm_str){text.data, digits}, &n) || n < 0 || n > 100000) {
        return INT64_MAX;
    }
    text = (sm_str){text.data + digits + 1, text.len - digits - 1};
    for (int i = 0; i < SM_COUNT(units); i++) {
        const sm_str unit = sm_str_of(units[i].unit);
        if (sm_str_starts(text, unit) &&
            (text.len == unit.len || (text.len == unit.len + 1 && text.data[unit.len] == 's'))) {
            return n * units[i].us;
        }
    }
    return INT64_MAX;
}

/* A day longer than the log's retention, because its clean-up works by whole days. */
static bool is_old(const sm_run *r, const smi_flow_books *b, int64_t number)
{
    const int64_t retention = retention_of(b->snapshot);
    return retention != INT64_MAX && time_of(number) < r->start_us - retention - DAY_US;
}

static void delete_before(sm_run *r, const smi_flow_books *b, int64_t number)
{
    sm_arena *a = sm_arena_new(r->env->budget);
    sm_entry *entries = NULL;
    int64_t n = 0, n_old = 0, its = 0;
    sm_error e = {0};
    const sm_str folder = SM_STR(FOLDER);

    sm_status st = sm_store_list(b->store, folder, true, a, &entries, &n, &e);
    sm_str *old = SM_NEW_ARRAY(a, sm_str, n);
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        const sm_str key = entries[i].key;
        const sm_str name = {key.data + folder.len, key.len - folder.len};
        if (number_of_name(name, &its) && its < number) {
            old[n_old++] = key;
        }
    }
    if (st == SM_OK && n_old > 0) {
        st = sm_store_delete_many(b->store, old, n_old, &e);
    }
    if (st != SM_OK) { /* they do no harm, and the next whole file tries again */
        sm_log(sm_store_log(b->store), SM_LOG_WARN, "old books of %.*s stay: %s",
               SM_STR_ARG(b->table), e.what);
    }
    sm_arena_free(a);
}

/* Deletes the files that no kept version needs; returns how many whole files are kept. */
static int64_t delete_old_books(sm_run *r, const smi_flow_books *b)
{
    const smi_flow_books_chain *c = &b->chain;

    for (int64_t i = 0; i < c->n_wholes; i++) {
        if (is_old(r, b, c->wholes[i])) {
            if (i + 1 < c->n_wholes) {
                delete_before(r, b, c->wholes[i]);
            }
            return i + 1;
        }
    }
    return c->n_wholes;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What has changed since the books were read. */
typedef struct changes {
    sm_map *live;  /* keys of the new entries -> 1 + index */
    bool *is_told; /* for each new entry: it goes into the new file */
    sm_str *gone;  /* keys */
    int64_t n_gone, n_changed;
} changes;

static void find_changes(const smi_flow_books *b, const smi_flow_books_page *page, sm_arena *a,
                         changes *c)
{
    *c = (changes){.live = sm_map_new(a),
                   .is_told = SM_NEW_ARRAY(a, bool, page->n_known),
                   .gone = SM_NEW_ARRAY(a, sm_str, b->n_known)};
    for (int64_t i = 0; i < page->n_known; i++) {
        *sm_map_at(c->live, smi_flow_books_key(&page->known[i], a)) = (void *)(intptr_t)(i + 1);
        c->is_told[i] = true;
    }
    SM_ASSERT(sm_map_count(c->live) == page->n_known); /* no two entries have one key */
    c->n_changed = page->n_known;
    for (int64_t i = 0; i < b->n_known; i++) {
        const sm_str key = smi_flow_books_key(&b->known[i], a);
        const int64_t at = (int64_t)(intptr_t)sm_map_get(c->live, key) - 1;
        if (at < 0) {
            c->gone[c->n_gone++] = key;
        } else if (is_same_entry(&b->known[i], &page->known[at])) {
            c->is_told[at] = false;
            c->n_changed--;
        }
    }
}

/* How many files of the chain the new file replaces. */
static int32_t count_taken_in(const sm_run *r, const smi_flow_books *b, const changes *c)
{
    const smi_flow_books_chain *chain = &b->chain;
    int64_t n = c->n_changed + c->n_gone;
    int32_t at = 0;

    if (b->is_taken_over || (chain->n_wholes > 0 && is_old(r, b, chain->wholes[0]))) {
        return chain->n_links; /* the new file must be whole */
    }
    while (at < chain->n_links && chain->links[at].n_entries <= (n > SMALL ? n : SMALL)) {
        n += chain->links[at++].n_entries;
    }
    return at;
}

static void put_gone(sm_json_writer *w, sm_str key, int64_t *n)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "gone", key);
    sm_json_end_object(w);
    sm_json_end_line(w);
    (*n)++;
}

/* Writes the entries and removals of the new file: its own changes, and what the files had that it
 * takes in. */
static void put_entries(const smi_flow_books *b, const smi_flow_books_page *page, const changes *c,
                        int32_t n_taken_in, sm_arena *a, sm_json_writer *w, int64_t *n)
{
    const smi_flow_books_chain *chain = &b->chain;
    const bool is_whole = n_taken_in == chain->n_links;

    for (int64_t i = 0; i < b->n_known && !is_whole; i++) {
        const int64_t at =
            (int64_t)(intptr_t)sm_map_get(c->live, smi_flow_books_key(&b->known[i], a)) - 1;
        if (at >= 0 && chain->link_of[i] < n_taken_in) {
            c->is_told[at] = true;
        }
    }
    for (int64_t i = 0; i < page->n_known; i++) {
        if (is_whole || c->is_told[i]) {
            put_entry(w, &page->known[i]);
            (*n)++;
        }
    }
    for (int64_t i = 0; i < c->n_gone && !is_whole; i++) {
        put_gone(w, c->gone[i], n);
    }
    for (int64_t i = 0; i < chain->n_gone && !is_whole; i++) {
        if (chain->gone[i].link < n_taken_in && !sm_map_get(c->live, chain->gone[i].key)) {
            put_gone(w, chain->gone[i].key, n);
        }
    }
}

static void put_roots(sm_json_writer *w, const smi_flow_books_page *page)
{
    sm_json_set_array(w, "roots");
    for (int32_t i = 0; i < page->n_roots; i++) {
        const smi_flow_root *root = &page->roots[i];
        sm_json_begin_object(w);
        sm_json_set_text(w, "uri", root->uri);
        sm_json_set_text(w, "pipeline", root->pipeline);
        if (root->query.len) {
            sm_json_set_text(w, "query", root->query);
        }
        if (root->columns.len) {
            sm_json_set_text(w, "columns", root->columns);
        }
        if (root->seen.len) {
            sm_json_set_raw(w, "seen", root->seen);
        }
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

/* Cleaning needs one whole file a day. */
static void put_wholes(sm_run *r, const smi_flow_books *b, int64_t number, bool is_whole,
                       sm_arena *a, sm_json_writer *w)
{
    const smi_flow_books_chain *chain = &b->chain;
    const int64_t n_kept = is_whole ? delete_old_books(r, b) : chain->n_wholes;
    const bool is_new =
        is_whole && (n_kept == 0 || time_of(number) - time_of(chain->wholes[0]) >= DAY_US);

    sm_json_set_array(w, "wholes");
    if (is_new) {
        sm_json_put_text(w, smi_flow_books_name(number, a));
    }
    for (int64_t i = 0; i < n_kept; i++) {
        sm_json_put_text(w, smi_flow_books_name(chain->wholes[i], a));
    }
    sm_json_end_array(w);
}

void smi_flow_books_write(sm_run *r, const smi_flow_books *b, const smi_flow_books_page *page,
                          int64_t *number, sm_str *key, sm_str *text)
{
    sm_arena *a = sm_arena_new(r->env->budget);
    sm_buf out = {0}, entries = {0};
    sm_json_writer w = {.out = &out}, lines = {.out = &entries};
    int64_t n = 0;
    changes c;

    find_changes(b, page, a, &c);
    const int32_t n_taken_in = count_taken_in(r, b, &c);
    const bool is_whole = n_taken_in == b->chain.n_links;
    const int64_t last = b->snapshot ? sm_snapshot_txn(b->snapshot, SM_STR(SMI_BOOKS_APP)) : -1;
    *number = next_number(r, last);
    SM_ASSERT(*number > last);
    SM_ASSERT(is_whole || b->chain.links[n_taken_in].number < *number);
    put_entries(b, page, &c, n_taken_in, a, &lines, &n);
    SM_ASSERT(!is_whole || n == page->n_known);
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "format", FORMAT);
    sm_json_key(&w, SM_STR("previous"));
    if (is_whole) {
        sm_json_put_null(&w);
    } else {
        sm_json_put_text(&w, smi_flow_books_name(b->chain.links[n_taken_in].number, a));
    }
    put_wholes(r, b, *number, is_whole, a, &w);
    sm_json_set_text(&w, "pipeline", r->p->name);
    sm_json_set_text(&w, "run", r->id);
    sm_json_set_i64(&w, "rows", page->n_rows);
    sm_json_set_i64(&w, "entries", n);
    put_roots(&w, page);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    sm_buf_text(&out, sm_buf_str(&entries));
    *key = sm_arena_strf(r->arena, FOLDER "%.*s", SM_STR_ARG(smi_flow_books_name(*number, a)));
    *text = sm_arena_str(r->arena, sm_buf_str(&out));
    sm_buf_release(&entries);
    sm_buf_release(&out);
    sm_arena_free(a);
}
