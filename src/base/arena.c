/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena.c: the arena, and the strings in it.
 *
 * Method   A list of chunks. Allocations come from the first chunk, in order of address. New chunks
 *          double in size from 2 KiB to 1 MiB and become the first. An allocation of more than half
 *          of the next chunk's size gets a chunk of its own, which goes behind the first one, so
 *          that the rest of the first stays in use.
 * Checks   Sanitizer builds poison all bytes that are not allocated and leave a gap between two
 *          allocations; otherwise an arena would hide overruns. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/poison_int.h"

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
    size_t cap, used; /* bytes behind this header */
    void *taken;      /* memory of a buffer that the arena took, of taken_bytes; NULL: none */
    size_t taken_bytes;
} chunk;

_Static_assert(sizeof(chunk) % ALIGN_BYTES == 0, "the bytes behind the header are aligned");
_Static_assert(CHUNK_MIN_BYTES / 2 <= CHUNK_MIN_BYTES - sizeof(chunk),
               "what is not large fits an empty chunk");

/* A call of sm_arena_defer(); it lies in the arena itself. */
typedef struct deferred {
    struct deferred *next; /* the one before */
    void (*release)(void *object);
    void *object;
} deferred;

struct sm_arena {
    chunk *first;
    deferred *deferred;
    size_t next_bytes; /* size of the next chunk, header included */
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
    const size_t bytes = c->cap + sizeof(chunk) + c->taken_bytes;
    sm_free(c->taken);
    SM_UNPOISON(chunk_data(c), c->cap);
    sm_free(c);
    if (a->budget) {
        sm_budget_give(a->budget, bytes);
    }
}

sm_budget *sm_arena_budget(const sm_arena *a)
{
    return a->budget;
}

sm_arena *sm_arena_new(sm_budget *budget)
{
    sm_arena *a = sm_alloc_zero(sizeof(*a));
    a->budget = budget;
    a->next_bytes = CHUNK_MIN_BYTES;
    return a;
}

static void release_deferred(sm_arena *a)
{
    while (a->deferred) {
        const deferred d = *a->deferred;
        a->deferred = d.next;
        d.release(d.object);
    }
}

void sm_arena_free(sm_arena *a)
{
    if (!a) {
        return;
    }
    release_deferred(a);
    while (a->first) {
        chunk *next = a->first->next;
        chunk_free(a, a->first);
        a->first = next;
    }
    sm_free(a);
}

void sm_arena_reset(sm_arena *a)
{
    release_deferred(a);
    if (!a->first) {
        return;
    }
    while (a->first->next) {
        chunk *next = a->first->next->next;
        chunk_free(a, a->first->next);
        a->first->next = next;
    }
    if (a->first->cap > CHUNK_MAX_BYTES ||
        a->first->taken) { /* one large allocation is no reason to keep its chunk */
        chunk_free(a, a->first);
        a->first = NULL;
        return;
    }
    a->first->used = 0;
    SM_POISON(chunk_data(a->first), a->first->cap);
}

/* Finds or makes a chunk with room for `need` bytes. */
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
        a->next_bytes *= 2; /* after a large one too: more of its size will then share a chunk */
    }
    SM_ASSERT(need <= c->cap - c->used);
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
    SM_ASSERT((uintptr_t)p % ALIGN_BYTES == 0);
    c->used += need;
    SM_UNPOISON(p, bytes);
    memset(p, 0, bytes);
    return p;
}

void sm_arena_defer(sm_arena *a, void (*release)(void *object), void *object)
{
    deferred *const d = SM_NEW(a, deferred);
    *d = (deferred){.next = a->deferred, .release = release, .object = object};
    a->deferred = d;
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
    SM_ASSERT(n >= 0 && n <= *cap); /* a caller that forgot to keep *cap beside the array */
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

sm_str sm_arena_take(sm_arena *a, sm_buf *b)
{
    SM_ASSERT(!b->budget); /* it is counted once: here */
    if (b->len < CHUNK_MAX_BYTES) {
        const sm_str out = sm_arena_str(a, sm_buf_str(b));
        sm_buf_release(b);
        return out;
    }
    chunk *c = chunk_new(a, 0);
    c->taken_bytes = b->len + 1;
    c->taken = sm_realloc(b->data, c->taken_bytes);
    ((char *)c->taken)[b->len] = '\0';
    const sm_str out = {c->taken, b->len};
    if (a->budget) {
        sm_budget_force(a->budget, c->taken_bytes);
    }
    if (a->first) { /* behind the one that is in use */
        c->next = a->first->next;
        a->first->next = c;
    } else {
        a->first = c;
    }
    b->data = NULL; /* the arena's now */
    b->len = b->cap = 0;
    return out;
}

static sm_str format_into(sm_arena *a, const char *fmt, va_list args)
{
    char small[256]; /* most texts fit and are formatted only once */
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
