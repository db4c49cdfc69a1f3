/* SPDX-License-Identifier: Apache-2.0
 *
 * query/fn_text.c: functions of text. Characters are code points; text is valid UTF-8. ASCII, which
 * most text is, is counted by its bytes. */
#include "query/query_int.h"

#include "base/text.h"

/* What a padded text may come to: more is a mistake, and would take the memory limit. */
#define MAX_TEXT_BYTES ((int64_t)1 << 28)

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_ascii(sm_str s)
{
    uint8_t all = 0;
    for (size_t i = 0; i < s.len; i++) {
        all |= (uint8_t)s.data[i];
    }
    return all < 0x80;
}

static int64_t n_chars(sm_str s)
{
    return is_ascii(s) ? (int64_t)s.len : sm_utf8_count(s);
}

/* The byte at which character n (from 0) begins, or the text's length. */
static size_t byte_of(sm_str s, int64_t n)
{
    if (n <= 0) {
        return 0;
    }
    if (is_ascii(s)) {
        return (uint64_t)n < s.len ? (size_t)n : s.len;
    }
    size_t at = 0;
    while (at < s.len && n > 0) {
        at++;
        while (at < s.len && ((uint8_t)s.data[at] & 0xc0) == 0x80) {
            at++;
        }
        n--;
    }
    return at;
}

/* Characters first … end − 1, as far as there are. */
static sm_str chars(sm_str s, int64_t first, int64_t end)
{
    first = first < 0 ? 0 : first;
    if (end <= first) {
        return SM_STR("");
    }
    const size_t from = byte_of(s, first);
    const sm_str rest = {s.data + from, s.len - from};
    return (sm_str){rest.data, byte_of(rest, end - first)};
}

static int64_t find(sm_str s, sm_str what, size_t from)
{
    if (what.len == 0) {
        return from <= s.len ? (int64_t)from : -1;
    }
    if (from >= s.len) {
        return -1;
    }
    const char *const at = memmem(s.data + from, s.len - from, what.data, what.len);
    return at ? (int64_t)(at - s.data) : -1;
}

/* ---- text to number or boolean --------------------------------------------------------------- */

sm_status fn_length(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            ((int64_t *)out->values)[i] = n_chars(smi_str_at(&call->args[0], i));
        }
    }
    return SM_OK;
}

sm_status fn_strlen(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            ((int64_t *)out->values)[i] = (int64_t)smi_str_at(&call->args[0], i).len;
        }
    }
    return SM_OK;
}

static bool contains(sm_str s, sm_str what)
{
    return find(s, what, 0) >= 0;
}

static sm_status test_pairs(const sm_fn_call *call, bool (*test)(sm_str, sm_str), sm_column *out)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i) &&
            test(smi_str_at(&call->args[0], i), smi_str_at(&call->args[1], i))) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

sm_status fn_contains(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, contains, out);
}
sm_status fn_starts_with(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, sm_str_starts, out);
}
sm_status fn_ends_with(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, sm_str_ends, out);
}

/* ---- LIKE ------------------------------------------------------------------------------------ */

static size_t char_len(sm_str s, size_t at)
{
    size_t end = at + 1;
    while (end < s.len && ((uint8_t)s.data[end] & 0xc0) == 0x80) {
        end++;
    }
    return end - at;
}

static char folded(char c, bool nocase)
{
    return (char)(nocase && c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* The greedy matcher: after a mismatch the last % takes one character more; at most len(s) · len(p)
 * steps, no recursion. */
static bool like(sm_str s, sm_str p, bool nocase)
{
    size_t i = 0, k = 0, star = SIZE_MAX, resume = 0;
    while (i < s.len) {
        if (k < p.len && p.data[k] == '%') {
            star = k++;
            resume = i;
        } else if (k < p.len && p.data[k] == '_') {
            i += char_len(s, i);
            k++;
        } else if (k < p.len && folded(p.data[k], nocase) == folded(s.data[i], nocase)) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            resume += char_len(s, resume);
            i = resume;
            k = star + 1;
        } else {
            return false;
        }
    }
    while (k < p.len && p.data[k] == '%') {
        k++;
    }
    return k == p.len;
}

static bool like_case(sm_str s, sm_str p)
{
    return like(s, p, false);
}
static bool like_nocase(sm_str s, sm_str p)
{
    return like(s, p, true);
}

sm_status fn_like(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, like_case, out);
}
sm_status fn_ilike(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, like_nocase, out);
}

/* ---- parts of text --------------------------------------------------------------------------- */

typedef sm_str (*part_fn)(const sm_fn_call *call, int64_t i, sm_str s);

static sm_status parts(const sm_fn_call *call, part_fn part, sm_column *out, sm_error *e)
{
    smi_text_out text;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            SM_TRY(smi_text_put(&text, i, part(call, i, smi_str_at(&call->args[0], i)), e));
        }
    }
    smi_text_end(&text);
    return SM_OK;
}

static int64_t clamp(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < -INT32_MAX ? -INT32_MAX : v;
}

/* As DuckDB: 0 stands before the first character, a negative length goes backwards. */
static sm_str part_substr(const sm_fn_call *call, int64_t i, sm_str s)
{
    const int64_t start = clamp(smi_i64_at(&call->args[1], i));
    const bool has_len = call->n_args == 3;
    const int64_t len = has_len ? clamp(smi_i64_at(&call->args[2], i)) : INT32_MAX;
    int64_t first = start - 1;
    if (start < 0) {
        const int64_t n = n_chars(s);
        first = n + start;
        if (!has_len) {
            first = first < 0 ? 0 : first;
        }
    }
    return len < 0 ? chars(s, first + len, first) : chars(s, first, first + len);
}

static sm_str part_left(const sm_fn_call *call, int64_t i, sm_str s)
{
    const int64_t n = clamp(smi_i64_at(&call->args[1], i));
    return chars(s, 0, n < 0 ? n_chars(s) + n : n);
}

static sm_str part_right(const sm_fn_call *call, int64_t i, sm_str s)
{
    const int64_t n = clamp(smi_i64_at(&call->args[1], i)), all = n_chars(s);
    return chars(s, n < 0 ? -n : all - n, all);
}

static bool is_in(sm_str set, sm_str s, size_t at, size_t len)
{
    const sm_str c = {s.data + at, len};
    for (size_t i = 0; i < set.len; i += char_len(set, i)) {
        if (sm_str_eq(c, (sm_str){set.data + i, char_len(set, i)})) {
            return true;
        }
    }
    return false;
}

static sm_str trimmed(const sm_fn_call *call, int64_t i, sm_str s, bool left, bool right)
{
    const sm_str set = call->n_args == 2 ? smi_str_at(&call->args[1], i) : SM_STR(" ");
    size_t from = 0, end = s.len;
    while (left && from < end && is_in(set, s, from, char_len(s, from))) {
        from += char_len(s, from);
    }
    while (right && end > from) {
        size_t last = end - 1;
        while (last > from && ((uint8_t)s.data[last] & 0xc0) == 0x80) {
            last--;
        }
        if (!is_in(set, s, last, end - last)) {
            break;
        }
        end = last;
    }
    return (sm_str){s.data + from, end - from};
}

static sm_str part_trim(const sm_fn_call *call, int64_t i, sm_str s)
{
    return trimmed(call, i, s, true, true);
}
static sm_str part_ltrim(const sm_fn_call *call, int64_t i, sm_str s)
{
    return trimmed(call, i, s, true, false);
}
static sm_str part_rtrim(const sm_fn_call *call, int64_t i, sm_str s)
{
    return trimmed(call, i, s, false, true);
}

static int64_t count_parts(sm_str s, sm_str sep)
{
    int64_t n = 1;
    for (int64_t at = find(s, sep, 0); at >= 0; at = find(s, sep, (size_t)at + sep.len)) {
        n++;
    }
    return n;
}

static sm_str part_split(const sm_fn_call *call, int64_t i, sm_str s)
{
    const sm_str sep = smi_str_at(&call->args[1], i);
    int64_t n = smi_i64_at(&call->args[2], i);
    if (sep.len == 0) { /* nothing separates: every character is a part */
        const int64_t all = n_chars(s);
        n = n < 0 ? all + clamp(n) + 1 : n;
        return n < 1 || n > all ? SM_STR("") : chars(s, n - 1, n);
    }
    if (n < 0) {
        n = count_parts(s, sep) + clamp(n) + 1;
    }
    size_t from = 0;
    for (int64_t k = 1; n >= 1; k++) {
        const int64_t at = find(s, sep, from);
        const size_t end = at < 0 ? s.len : (size_t)at;
        if (k == n) {
            return (sm_str){s.data + from, end - from};
        }
        if (at < 0) {
            break;
        }
        from = end + sep.len;
    }
    return SM_STR("");
}

sm_status fn_substr(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_substr, out, e);
}
sm_status fn_left(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_left, out, e);
}
sm_status fn_right(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_right, out, e);
}
sm_status fn_trim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_trim, out, e);
}
sm_status fn_ltrim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_ltrim, out, e);
}
sm_status fn_rtrim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_rtrim, out, e);
}
sm_status fn_split_part(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return parts(call, part_split, out, e);
}

/* ---- text made anew -------------------------------------------------------------------------- */

typedef sm_status (*make_fn)(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e);

static sm_status make_rows(const sm_fn_call *call, make_fn make, sm_column *out, sm_error *e)
{
    smi_text_out text;
    sm_buf one = {0};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        sm_buf_reset(&one);
        st = make(call, i, &one, e);
        if (st == SM_OK) {
            st = smi_text_put(&text, i, sm_buf_str(&one), e);
        }
    }
    smi_text_end(&text);
    sm_buf_release(&one);
    return st;
}

/* Upper and lower case of Latin-1, Latin Extended-A, Greek and Cyrillic; the rest is kept. */
static uint32_t lower_of(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f)) {
        return c + 32;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;
    }
    if (c == 0x178) {
        return 0xff;
    }
    const bool even_upper = (c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177);
    const bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    return (even_upper && c % 2 == 0) || (odd_upper && c % 2 == 1) ? c + 1 : c;
}

static uint32_t upper_of(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    }
    if ((c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) ||
        (c >= 0x430 && c <= 0x44f)) {
        return c - 32;
    }
    if (c >= 0x450 && c <= 0x45f) {
        return c - 80;
    }
    if (c == 0xff) {
        return 0x178;
    }
    const bool even_upper = (c >= 0x100 && c <= 0x137 && c != 0x131) || (c >= 0x14a && c <= 0x177);
    const bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    return (even_upper && c % 2 == 1) || (odd_upper && c % 2 == 0) ? c - 1 : c;
}

static sm_status mapped(sm_str s, uint32_t (*map)(uint32_t), sm_buf *out, sm_error *e)
{
    SM_TRY(sm_buf_reserve(out, s.len * 2, e)); /* no pair above changes its length */
    for (size_t at = 0; at < s.len;) {
        char bytes[4];
        const int len = sm_utf8_put(map(sm_utf8_next(s, &at)), bytes);
        memcpy(out->data + out->len, bytes, (size_t)len);
        out->len += (size_t)len;
    }
    return SM_OK;
}

static sm_status make_lower(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    return mapped(smi_str_at(&call->args[0], i), lower_of, out, e);
}
static sm_status make_upper(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    return mapped(smi_str_at(&call->args[0], i), upper_of, out, e);
}

static sm_status make_reverse(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&call->args[0], i);
    SM_TRY(sm_buf_reserve(out, s.len, e));
    out->len = s.len;
    for (size_t at = 0; at < s.len;) {
        const size_t len = char_len(s, at);
        memcpy(out->data + s.len - at - len, s.data + at, len);
        at += len;
    }
    return SM_OK;
}

static sm_status make_replace(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&call->args[0], i), what = smi_str_at(&call->args[1], i);
    const sm_str by = smi_str_at(&call->args[2], i);
    size_t from = 0;
    while (what.len > 0) {
        const int64_t at = find(s, what, from);
        if (at < 0) {
            break;
        }
        SM_TRY(sm_buf_add(out, s.data + from, (size_t)at - from, e));
        SM_TRY(sm_buf_add(out, by.data, by.len, e));
        from = (size_t)at + what.len;
        if (out->len > (size_t)MAX_TEXT_BYTES) {
            return smi_expr_fail(call->expr, e, SM_LIMIT, "replace makes a text of over 256 MiB");
        }
    }
    return sm_buf_add(out, s.data + from, s.len - from, e);
}

static sm_status padded(const sm_fn_call *call, int64_t i, bool is_left, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&call->args[0], i), fill = smi_str_at(&call->args[2], i);
    const int64_t want = smi_i64_at(&call->args[1], i), have = n_chars(s);
    const int64_t n_fill = n_chars(fill);
    if (want <= have) {
        const sm_str cut = chars(s, 0, want);
        return sm_buf_add(out, cut.data, cut.len, e);
    }
    if (n_fill == 0) {
        return smi_expr_fail(call->expr, e, SM_INVALID, "%s: nothing to fill up with",
                             call->expr->fn->name);
    }
    if (want > MAX_TEXT_BYTES / 4) {
        return smi_expr_fail(call->expr, e, SM_LIMIT, "%s makes a text of over %lld characters",
                             call->expr->fn->name, (long long)(MAX_TEXT_BYTES / 4));
    }
    if (!is_left) {
        SM_TRY(sm_buf_add(out, s.data, s.len, e));
    }
    for (int64_t left = want - have; left > 0; left -= n_fill) {
        const sm_str part = left < n_fill ? chars(fill, 0, left) : fill;
        SM_TRY(sm_buf_add(out, part.data, part.len, e));
    }
    return is_left ? sm_buf_add(out, s.data, s.len, e) : SM_OK;
}

static sm_status make_lpad(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    return padded(call, i, true, out, e);
}
static sm_status make_rpad(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    return padded(call, i, false, out, e);
}

static sm_status make_joined(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    for (int32_t k = 0; k < call->n_args; k++) {
        if (smi_valid(&call->args[k], i)) {
            const sm_str s = smi_str_at(&call->args[k], i);
            SM_TRY(sm_buf_add(out, s.data, s.len, e));
        }
    }
    return SM_OK;
}

static sm_status make_joined_by(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str sep = smi_str_at(&call->args[0], i);
    bool any = false;
    for (int32_t k = 1; k < call->n_args; k++) {
        if (!smi_valid(&call->args[k], i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[k], i);
        SM_TRY(sm_buf_add(out, sep.data, any ? sep.len : 0, e));
        SM_TRY(sm_buf_add(out, s.data, s.len, e));
        any = true;
    }
    return SM_OK;
}

sm_status fn_lower(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_lower, out, e);
}
sm_status fn_upper(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_upper, out, e);
}
sm_status fn_reverse(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_reverse, out, e);
}
sm_status fn_replace(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_replace, out, e);
}
sm_status fn_lpad(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_lpad, out, e);
}
sm_status fn_rpad(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_rpad, out, e);
}
sm_status fn_join_text(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return make_rows(call, make_joined, out, e);
}

/* concat and concat_ws see NULLs: they are not strict, so the column is made here. */
sm_status fn_concat(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    SM_TRY(smi_column_new(&sm_type_string, call->n_rows, call->into, out, e));
    return make_rows(call, make_joined, out, e);
}

sm_status fn_concat_ws(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    SM_TRY(smi_column_new(&sm_type_string, call->n_rows, call->into, out, e));
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(&call->args[0], i)) { /* no separator: no text */
            SM_TRY(smi_set_null(out, i, call->into, e));
        }
    }
    return make_rows(call, make_joined_by, out, e);
}
