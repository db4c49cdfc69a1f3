/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena.c: memory that ends as a whole, strings, and the growing buffer.
 *
 * Arena    A list of chunks, newest first; allocations move up in the first. Chunks double from
 *          2 KiB to 1 MiB. What needs more than half of the next chunk gets one of its own, which
 * is put behind the first, so that the first's rest is not lost. Checks   In sanitizer builds all
 * that was not given out is poisoned, and a gap stays between two allocations: an arena would hide
 * overruns otherwise. */
#include "base/arena.h"

#include <stdio.h>

#include "base/poison_int.h"
#include "base/text.h"

#if SM_HAS_ASAN
#define GAP_BYTES ((size_t)16)
#else
#define GAP_BYTES ((size_t)0)
#endif

#define ALIGN_BYTES     ((size_t)16)
#define CHUNK_MIN_BYTES ((size_t)2048)
#define CHUNK_MAX_BYTES ((size_t)1 << 20)

typedef struct chunk {
    _Alignas(16) struct chunk *next;
    size_t cap, used; /* of the bytes behind the header */
} chunk;

struct sm_arena {
    chunk *first;
    size_t next_bytes; /* header included */
    sm_budget *budget;
};

static uint8_t *chunk_data(chunk *c)
{
    return (uint8_t *)(c + 1);
}

static chunk *chunk_new(sm_arena *a, size_t cap)
{
    size_t bytes = 0;
    if (!sm_add_size(cap, sizeof(chunk), &bytes)) {
        sm_out_of_memory(cap);
    }
    if (a->budget) {
        sm_budget_force(a->budget, bytes);
    }
    chunk *c = sm_alloc(bytes);
    *c = (chunk){.cap = cap};
    SM_POISON(chunk_data(c), cap);
    return c;
}

static void chunk_free(sm_arena *a, chunk *c)
{
    const size_t bytes = c->cap + sizeof(chunk);
    SM_UNPOISON(chunk_data(c), c->cap);
    sm_free(c);
    if (a->budget) {
        sm_budget_give(a->budget, bytes);
    }
}

sm_arena *sm_arena_new(sm_budget *budget)
{
    sm_arena *a = sm_alloc_zero(sizeof(*a));
    a->budget = budget;
    a->next_bytes = CHUNK_MIN_BYTES;
    return a;
}

void sm_arena_free(sm_arena *a)
{
    if (!a) {
        return;
    }
    while (a->first) {
        chunk *next = a->first->next;
        chunk_free(a, a->first);
        a->first = next;
    }
    sm_free(a);
}

void sm_arena_reset(sm_arena *a)
{
    if (!a->first) {
        return;
    }
    while (a->first->next) {
        chunk *next = a->first->next->next;
        chunk_free(a, a->first->next);
        a->first->next = next;
    }
    if (a->first->cap > CHUNK_MAX_BYTES) { /* one large thing once is no reason to keep as much */
        chunk_free(a, a->first);
        a->first = NULL;
        return;
    }
    a->first->used = 0;
    SM_POISON(chunk_data(a->first), a->first->cap);
}

/* A chunk with room for `need` bytes. */
static chunk *chunk_for(sm_arena *a, size_t need)
{
    if (a->first && need <= a->first->cap - a->first->used) {
        return a->first;
    }
    const bool is_large = need > a->next_bytes / 2;
    chunk *c = chunk_new(a, is_large ? need : a->next_bytes - sizeof(chunk));
    if (is_large && a->first) {
        c->next = a->first->next;
        a->first->next = c;
    } else {
        c->next = a->first;
        a->first = c;
    }
    if (a->next_bytes < CHUNK_MAX_BYTES) {
        a->next_bytes *= 2; /* after a large one too: its like will then share a chunk */
    }
    return c;
}

void *sm_arena_alloc(sm_arena *a, size_t bytes)
{
    size_t need = 0;
    if (!sm_add_size(bytes ? bytes : 1, ALIGN_BYTES - 1 + GAP_BYTES, &need)) {
        sm_out_of_memory(bytes);
    }
    need &= ~(ALIGN_BYTES - 1);
    chunk *c = chunk_for(a, need);
    uint8_t *p = chunk_data(c) + c->used;
    c->used += need;
    SM_UNPOISON(p, bytes);
    memset(p, 0, bytes);
    return p;
}

void *sm_arena_array(sm_arena *a, size_t n, size_t size_bytes)
{
    size_t bytes = 0;
    const bool fits = sm_mul_size(n, size_bytes, &bytes);
    SM_ENSURE(fits);
    return sm_arena_alloc(a, bytes);
}

void *sm_arena_grow(sm_arena *a, void *items, int64_t n, int64_t *cap, size_t size_bytes)
{
    if (n < *cap) {
        return items;
    }
    const int64_t new_cap = *cap < 4 ? 8 : *cap * 2;
    void *grown = sm_arena_array(a, (size_t)new_cap, size_bytes);
    if (n > 0) {
        memcpy(grown, items, (size_t)n * size_bytes);
    }
    *cap = new_cap;
    return grown;
}

/* ---- strings --------------------------------------------------------------------------------- */

bool sm_str_starts(sm_str s, sm_str prefix)
{
    return s.len >= prefix.len && sm_str_eq((sm_str){s.data, prefix.len}, prefix);
}

bool sm_str_ends(sm_str s, sm_str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 ||
            sm_str_eq((sm_str){s.data + (s.len - suffix.len), suffix.len}, suffix));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool sm_str_eq_nocase(sm_str a, sm_str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

int sm_str_cmp(sm_str a, sm_str b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int order = n ? memcmp(a.data, b.data, n) : 0;
    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

void sm_error_place_str(sm_error *e, sm_str object, int64_t line, int64_t byte)
{
    char name[sizeof(e->object)] = "";
    const size_t len = object.len < sizeof(name) ? object.len : sizeof(name) - 1;

    if (len > 0) {
        memcpy(name, object.data, len);
    }
    sm_error_place(e, name, line, byte);
}

sm_str sm_arena_str(sm_arena *a, sm_str s)
{
    size_t bytes = 0;
    const bool fits = sm_add_size(s.len, 1, &bytes);
    SM_ENSURE(fits);
    char *copy = sm_arena_alloc(a, bytes);
    if (s.len) {
        memcpy(copy, s.data, s.len);
    }
    return (sm_str){copy, s.len};
}

static sm_str format_into(sm_arena *a, const char *fmt, va_list args)
{
    char small[256]; /* most texts fit, and are then formatted once only */
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(small, sizeof(small), fmt, args);
    SM_ENSURE(len >= 0);
    sm_str out = {small, (size_t)len};
    if (out.len < sizeof(small)) {
        out = sm_arena_str(a, out);
    } else {
        char *text = sm_arena_alloc(a, out.len + 1);
        vsnprintf(text, out.len + 1, fmt, again);
        out.data = text;
    }
    va_end(again);
    return out;
}

char *sm_arena_printf(sm_arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const sm_str text = format_into(a, fmt, args);
    va_end(args);
    return (char *)text.data; /* the arena's copy, made above */
}

sm_str sm_arena_strf(sm_arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const sm_str text = format_into(a, fmt, args);
    va_end(args);
    return text;
}

/* ---- a growing buffer ------------------------------------------------------------------------ */

void sm_buf_release(sm_buf *b)
{
    sm_free(b->data);
    if (b->budget) {
        sm_budget_give(b->budget, b->cap);
    }
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
}

void sm_buf_reset(sm_buf *b)
{
    b->len = 0;
}

/* The next capacity by doubling, within the bound. */
static size_t doubled(const sm_buf *b, size_t need)
{
    size_t cap = 0;
    if (!sm_mul_size(b->cap, 2, &cap) || cap < need) {
        cap = need;
    }
    if (cap < 64) {
        cap = 64;
    }
    return b->max_bytes && cap > b->max_bytes ? b->max_bytes : cap;
}

sm_status sm_buf_reserve(sm_buf *b, size_t more, sm_error *e)
{
    size_t need = 0;
    const bool fits = sm_add_size(b->len, more, &need);
    if (!fits || (b->max_bytes && need > b->max_bytes)) {
        return sm_fail(e, SM_LIMIT, "%zu bytes and %zu more are over the limit of %zu", b->len,
                       more, b->max_bytes ? b->max_bytes : SIZE_MAX);
    }
    if (need <= b->cap) {
        return SM_OK;
    }
    size_t cap = doubled(b, need);
    if (b->budget && sm_budget_take(b->budget, cap - b->cap, NULL) != SM_OK) {
        cap = need; /* what must be, where doubling is refused */
        SM_TRY(sm_budget_take(b->budget, cap - b->cap, e));
    }
    b->data = sm_realloc(b->data, cap);
    b->cap = cap;
    return SM_OK;
}

sm_status sm_buf_add(sm_buf *b, const void *bytes, size_t n, sm_error *e)
{
    SM_TRY(sm_buf_reserve(b, n, e));
    if (n) {
        memcpy(b->data + b->len, bytes, n);
        b->len += n;
    }
    return SM_OK;
}

void sm_buf_text(sm_buf *b, sm_str s)
{
    SM_ENSURE(!b->max_bytes && !b->budget);
    const sm_status st = sm_buf_add(b, s.data, s.len, NULL);
    SM_ENSURE(st == SM_OK);
}

void sm_buf_printf(sm_buf *b, const char *fmt, ...)
{
    SM_ENSURE(!b->max_bytes && !b->budget);
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const size_t room = b->cap - b->len;
    const int len = vsnprintf(room ? (char *)b->data + b->len : NULL, room, fmt, args);
    SM_ENSURE(len >= 0);
    if ((size_t)len >= room) { /* the NUL needs a place too */
        const sm_status st = sm_buf_reserve(b, (size_t)len + 1, NULL);
        SM_ENSURE(st == SM_OK);
        vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, again);
    }
    b->len += (size_t)len;
    va_end(again);
    va_end(args);
}

/* The escape of a byte that must not stand in a JSON string as it is, or NULL. */
static const char *json_escape(uint8_t c, char scratch[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20) {
            return NULL;
        }
        snprintf(scratch, 8, "\\u%04x", c);
        return scratch;
    }
}

/* Escapes a run of valid UTF-8. */
static void json_run(sm_buf *b, sm_str run)
{
    size_t plain = 0;
    for (size_t i = 0; i < run.len; i++) {
        char scratch[8];
        const char *escape = json_escape((uint8_t)run.data[i], scratch);
        if (escape) {
            sm_buf_text(b, (sm_str){run.data + plain, i - plain});
            sm_buf_text(b, sm_str_of(escape));
            plain = i + 1;
        }
    }
    if (plain < run.len) {
        sm_buf_text(b, (sm_str){run.data + plain, run.len - plain});
    }
}

void sm_buf_json_str(sm_buf *b, sm_str s)
{
    sm_buf_text(b, SM_STR("\""));
    while (s.len > 0) {
        const size_t valid = sm_utf8_check(s.data, s.len);
        json_run(b, (sm_str){s.data, valid});
        s = (sm_str){s.data + valid, s.len - valid};
        if (s.len > 0) { /* JSON has no other way to say that a byte was no text */
            sm_buf_text(b, SM_STR("\\ufffd"));
            s = (sm_str){s.data + 1, s.len - 1};
        }
    }
    sm_buf_text(b, SM_STR("\""));
}
