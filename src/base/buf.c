/* SPDX-License-Identifier: Apache-2.0
 *
 * base/buf.c: the growing buffer. Its capacity doubles; if the budget refuses that, it grows only
 * by what is needed. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
static size_t doubled_capacity(const sm_buf *b, size_t need)
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
    SM_ASSERT(b->len <= b->cap && (b->cap == 0) == (b->data == NULL));
    SM_ASSERT(b->max_bytes == 0 ||
              b->cap <= b->max_bytes); /* the bound is set before the first use */
    size_t need = 0;
    const bool fits = sm_add_size(b->len, more, &need);
    if (!fits || (b->max_bytes && need > b->max_bytes)) {
        return sm_fail(e, SM_LIMIT, "%zu bytes and %zu more are over the limit of %zu", b->len,
                       more, b->max_bytes ? b->max_bytes : SIZE_MAX);
    }
    if (need <= b->cap) {
        return SM_OK;
    }
    size_t cap = doubled_capacity(b, need);
    SM_ASSERT(cap >= need && cap > b->cap);
    if (b->budget && sm_budget_take(b->budget, cap - b->cap, NULL) != SM_OK) {
        cap = need; /* less than double, but enough */
        SM_TRY(sm_budget_take(b->budget, cap - b->cap, e));
    }
    b->data = sm_realloc(b->data, cap);
    b->cap = cap;
    return SM_OK;
}

sm_status sm_buf_add(sm_buf *b, const void *bytes, size_t n, sm_error *e)
{
    /* Growing frees the old bytes, so they cannot be the source. */
    SM_ASSERT(n == 0 || (uintptr_t)bytes + n <= (uintptr_t)b->data ||
              (uintptr_t)bytes >= (uintptr_t)b->data + b->cap);
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
    if ((size_t)len >= room) { /* vsnprintf writes a NUL, which needs a byte too */
        const sm_status st = sm_buf_reserve(b, (size_t)len + 1, NULL);
        SM_ENSURE(st == SM_OK);
        vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, again);
    }
    b->len += (size_t)len;
    va_end(again);
    va_end(args);
}
