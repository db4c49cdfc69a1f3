/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_like.c: LIKE and ILIKE. In a pattern % is any text, _ is one character (a code
 * point), all else stands for itself; there is no escape character, as in DuckDB.
 *
 * Method    The %s cut a pattern into segments. The first segment must match at the beginning of
 *           the text and the last at its end. Each one between is searched from where the one
 *           before it ended; its first match is as good as any later one, so there is no
 *           backtracking.
 * Cost      Linear in the text where segments have no _ (memmem); else at most the text's length
 *           times the segment's. No recursion, no memory.
 * ILIKE     compares both in lower case. */
#include "query/function/function_int.h"

/* ---- segments ------------------------------------------------------------------------------- */

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

/* Does the segment match the text at `at`? *end becomes the byte behind the match. */
static bool match_at(sm_str s, size_t at, sm_str segment, size_t *end)
{
    for (size_t k = 0; k < segment.len; k++) {
        if (at == s.len) {
            return false;
        }
        if (segment.data[k] == '_') {
            at++;
            while (at < s.len && is_continuation(s.data[at])) {
                at++;
            }
        } else if (s.data[at++] != segment.data[k]) {
            return false;
        }
    }
    *end = at;
    return true;
}

static bool has_wildcard(sm_str segment)
{
    return segment.len > 0 && memchr(segment.data, '_', segment.len) != NULL;
}

/* Finds the segment's first match from *at on; *at becomes the byte behind it. */
static bool find_segment(sm_str s, size_t *at, sm_str segment)
{
    SM_ASSERT(*at <= s.len);
    if (!has_wildcard(segment)) {
        const char *const found =
            segment.len == 0 ? s.data + *at
                             : memmem(s.data + *at, s.len - *at, segment.data, segment.len);
        *at = found ? (size_t)(found - s.data) + segment.len : *at;
        return found != NULL;
    }
    for (size_t start = *at; start < s.len; start++) {
        if (!is_continuation(s.data[start]) && match_at(s, start, segment, at)) {
            return true;
        }
    }
    return false;
}

/* Does the text end with the segment, which begins at `from` or later? */
static bool ends_with(sm_str s, size_t from, sm_str segment)
{
    size_t at = s.len, end = 0;
    for (size_t k = segment.len; k > 0; k--) { /* back by as many characters */
        if (is_continuation(segment.data[k - 1])) {
            continue;
        }
        do {
            if (at <= from) {
                return false;
            }
            at--;
        } while (is_continuation(s.data[at]));
    }
    SM_ASSERT(at >= from);
    return match_at(s, at, segment, &end) && end == s.len;
}

static bool like(sm_str s, sm_str pattern)
{
    size_t at = 0;
    bool is_first = true;
    for (;;) {
        const char *const percent = pattern.len > 0 ? memchr(pattern.data, '%', pattern.len) : NULL;
        if (!percent) {
            break;
        }
        const sm_str segment = {pattern.data, (size_t)(percent - pattern.data)};
        if (!(is_first ? match_at(s, 0, segment, &at) : find_segment(s, &at, segment))) {
            return false;
        }
        is_first = false;
        pattern = (sm_str){percent + 1, pattern.len - segment.len - 1};
    }
    if (is_first) {
        return match_at(s, 0, pattern, &at) && at == s.len;
    }
    return ends_with(s, at, pattern);
}

/* ---- rows ----------------------------------------------------------------------------------- */

sm_status fn_like(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    smi_pace pace = {.into = call->into};
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[0], i);
        SM_TRY(smi_pace_on(&pace, s.len, e));
        if (like(s, smi_str_at(&call->args[1], i))) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

sm_status fn_ilike(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const bool is_const = call->args[1].layout == SM_CONST;
    sm_buf text = {0}, pattern = {0};
    smi_pace pace = {.into = call->into};
    sm_status st = SM_OK;
    if (is_const) {
        SM_TRY_GOTO(st, done, smi_lower(smi_str_at(&call->args[1], 0), &pattern, e));
    }
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        if (!is_const) {
            SM_TRY_GOTO(st, done, smi_lower(smi_str_at(&call->args[1], i), &pattern, e));
        }
        SM_TRY_GOTO(st, done, smi_lower(smi_str_at(&call->args[0], i), &text, e));
        SM_TRY_GOTO(st, done, smi_pace_on(&pace, text.len, e));
        if (like(sm_buf_str(&text), sm_buf_str(&pattern))) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
done:
    sm_buf_release(&text);
    sm_buf_release(&pattern);
    return st;
}
