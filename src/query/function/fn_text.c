/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_text.c: functions of text. Characters are code points. Text is valid UTF-8, so
 * a character begins at each byte that is not a continuation byte.
 *
 * Parts     substr, left, trim, split_part and others give a part of their argument: a view into
 *           its memory, without copying.
 * New text  is written directly where its size is known beforehand (concat, reverse), else built in
 *           a buffer first (replace, lpad).
 * Meaning   As DuckDB, but positions are not limited to 2^32: what lies behind a text is empty. */
#include "query/function/function_int.h"

/* The most bytes of a padded text: more is a mistake, and would exhaust the memory limit. */
#define MAX_TEXT_BYTES ((int64_t)1 << 28)

/* ---- characters ----------------------------------------------------------------------------- */

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static int64_t n_chars(sm_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += !is_continuation(s.data[i]);
    }
    return n;
}

/* The byte at which character n (from 0) begins, or the text's length. */
static size_t byte_of(sm_str s, int64_t n)
{
    size_t at = 0;
    for (; n >= 8 && at + 8 <= s.len; n -= 8, at += 8) { /* eight of ASCII at a time */
        uint64_t word;
        memcpy(&word, s.data + at, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    for (; n > 0 && at < s.len; n--) {
        at++;
        while (at < s.len && is_continuation(s.data[at])) {
            at++;
        }
    }
    return at;
}

static size_t char_len(sm_str s, size_t at)
{
    size_t end = at + 1;
    while (end < s.len && is_continuation(s.data[end])) {
        end++;
    }
    return end - at;
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

static int64_t find_text(sm_str s, sm_str what, size_t from)
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

/* ---- text to number or boolean ------------------------------------------------------------------
 * */

/* Is it ASCII of up to 12 bytes? Then the view's two words are enough to tell its length. */
static inline bool is_short_ascii(const sm_view *v)
{
    const uint64_t high = 0x8080808080808080;
    return v->inlined.len <= SM_VIEW_INLINE && ((v->words[0] >> 32 | v->words[1]) & high) == 0;
}

sm_status fn_length(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_column *c = &call->args[0];
    const sm_view *views = c->values;
    const bool is_flat = c->layout == SM_FLAT;
    int64_t *values = (int64_t *)out->values;
    smi_pace pace = {.into = call->into};
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        if (is_flat && is_short_ascii(&views[i])) {
            values[i] = views[i].inlined.len;
            continue;
        }
        const sm_str s = smi_str_at(c, i);
        SM_TRY(smi_pace_on(&pace, s.len, e));
        values[i] = n_chars(s);
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

static bool contains_text(sm_str s, sm_str what)
{
    return find_text(s, what, 0) >= 0;
}

static sm_status test_pairs(const sm_fn_call *call, bool (*test)(sm_str, sm_str), sm_column *out,
                            sm_error *e)
{
    smi_pace pace = {.into = call->into};
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[0], i);
        SM_TRY(smi_pace_on(&pace, s.len, e));
        if (test(s, smi_str_at(&call->args[1], i))) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

sm_status fn_contains(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, contains_text, out, e);
}
sm_status fn_starts_with(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, sm_str_starts, out, e);
}
sm_status fn_ends_with(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_pairs(call, sm_str_ends, out, e);
}

/* ---- parts of text ----------------------------------------------------------------------------
 * */

typedef sm_str (*part_fn)(const sm_fn_call *call, int64_t i, sm_str s);

void smi_text_share(sm_column *out, const sm_column *from)
{
    SM_ASSERT(!out->heap && sm_type_is_bytes(out->type->id));
    out->heap = from->heap;
    out->n_heap = from->n_heap;
}

void smi_text_part(sm_column *out, int64_t i, const sm_column *from, sm_str part)
{
    const sm_view *const whole = (const sm_view *)from->values + (i & smi_mask(from));
    SM_ASSERT(out->heap == from->heap); /* smi_text_share() was called */
    SM_ASSERT(part.len <= (size_t)whole->inlined.len);
    const uint8_t *const bytes = (const uint8_t *)part.data;
    int64_t off = 0;
    if (part.len > SM_VIEW_INLINE) { /* then the whole is in the heap too */
        SM_ASSERT(whole->inlined.len > SM_VIEW_INLINE && whole->ref.buffer < out->n_heap);
        SM_ASSERT(bytes >= from->heap[whole->ref.buffer].data);
        off = bytes - from->heap[whole->ref.buffer].data;
    }
    ((sm_view *)out->values)[i] =
        sm_view_make(bytes, (int32_t)part.len, whole->ref.buffer, (int32_t)off);
}

static sm_status map_parts(const sm_fn_call *call, part_fn part, sm_column *out, sm_error *e)
{
    const sm_column *const from = &call->args[0];
    smi_pace pace = {.into = call->into};
    smi_text_share(out, from);
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            const sm_str s = smi_str_at(from, i);
            SM_TRY(smi_pace_on(&pace, s.len, e));
            smi_text_part(out, i, from, part(call, i, s));
        }
    }
    return SM_OK;
}

static int64_t clamp_position(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < -INT32_MAX ? -INT32_MAX : v;
}

/* As DuckDB: position 0 is before the first character; a negative length counts backwards. */
static sm_str part_substr(const sm_fn_call *call, int64_t i, sm_str s)
{
    const int64_t start = clamp_position(smi_i64_at(&call->args[1], i));
    const bool has_len = call->n_args == 3;
    const int64_t len = has_len ? clamp_position(smi_i64_at(&call->args[2], i)) : INT32_MAX;
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
    const int64_t n = clamp_position(smi_i64_at(&call->args[1], i));
    return chars(s, 0, n < 0 ? n_chars(s) + n : n);
}

static sm_str part_right(const sm_fn_call *call, int64_t i, sm_str s)
{
    const int64_t n = clamp_position(smi_i64_at(&call->args[1], i)), all = n_chars(s);
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
        while (last > from && is_continuation(s.data[last])) {
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
    for (int64_t at = find_text(s, sep, 0); at >= 0; at = find_text(s, sep, (size_t)at + sep.len)) {
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
        n = n < 0 ? all + clamp_position(n) + 1 : n;
        return n < 1 || n > all ? SM_STR("") : chars(s, n - 1, n);
    }
    if (n < 0) {
        n = count_parts(s, sep) + clamp_position(n) + 1;
    }
    size_t from = 0;
    for (int64_t k = 1; n >= 1; k++) {
        const int64_t at = find_text(s, sep, from);
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
    return map_parts(call, part_substr, out, e);
}
sm_status fn_left(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_left, out, e);
}
sm_status fn_right(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_right, out, e);
}
sm_status fn_trim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_trim, out, e);
}
sm_status fn_ltrim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_ltrim, out, e);
}
sm_status fn_rtrim(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_rtrim, out, e);
}
sm_status fn_split_part(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_parts(call, part_split, out, e);
}

/* ---- text made anew ---------------------------------------------------------------------------
 * */

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
        st = smi_pace_on(&text.pace, smi_str_at(&call->args[0], i).len, e);
        st = st == SM_OK ? make(call, i, &one, e) : st;
        if (st == SM_OK) {
            st = smi_text_put(&text, i, sm_buf_str(&one), e);
        }
    }
    smi_text_end(&text);
    sm_buf_release(&one);
    return st;
}

static sm_status make_replace(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&call->args[0], i), what = smi_str_at(&call->args[1], i);
    const sm_str by = smi_str_at(&call->args[2], i);
    size_t from = 0;
    while (what.len > 0) {
        const int64_t at = find_text(s, what, from);
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

static sm_status cannot_pad(const sm_fn_call *call, sm_str s, int64_t want, bool has_fill,
                            sm_error *e)
{
    const sm_str shown = {s.data, s.len > 60 ? 60 : s.len};
    const char *const name = call->expr->fn->name;
    if (!has_fill) {
        return smi_expr_fail(call->expr, e, SM_INVALID, "%s has nothing to fill up \"%.*s\" with",
                             name, SM_STR_ARG(shown));
    }
    return smi_expr_fail(call->expr, e, SM_LIMIT, "%s of \"%.*s\" to %lld is over %lld characters",
                         name, SM_STR_ARG(shown), (long long)want, (long long)(MAX_TEXT_BYTES / 4));
}

static sm_status pad_row(const sm_fn_call *call, int64_t i, bool is_left, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&call->args[0], i), fill = smi_str_at(&call->args[2], i);
    const int64_t want = smi_i64_at(&call->args[1], i), have = n_chars(s);
    const int64_t n_fill = n_chars(fill);
    if (want <= have) {
        const sm_str cut = chars(s, 0, want);
        return sm_buf_add(out, cut.data, cut.len, e);
    }
    if (n_fill == 0 || want > MAX_TEXT_BYTES / 4) {
        return cannot_pad(call, s, want, n_fill > 0, e);
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
    return pad_row(call, i, true, out, e);
}
static sm_status make_rpad(const sm_fn_call *call, int64_t i, sm_buf *out, sm_error *e)
{
    return pad_row(call, i, false, out, e);
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
/* ---- text of a known size ---------------------------------------------------------------------
 * */

static void reverse_chars(sm_str s, uint8_t *out)
{
    for (size_t at = 0; at < s.len;) {
        const size_t len = char_len(s, at);
        memcpy(out + s.len - at - len, s.data + at, len);
        at += len;
        SM_ASSERT(at <= s.len);
    }
}

sm_status fn_reverse(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    smi_text_out text;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows; i++) {
        uint8_t *bytes = NULL;
        if (smi_valid(out, i)) {
            const sm_str s = smi_str_at(&call->args[0], i);
            SM_TRY(smi_text_room(&text, (int64_t)s.len, &bytes, e));
            reverse_chars(s, bytes);
            smi_text_set(&text, i, (int64_t)s.len);
        }
    }
    smi_text_end(&text);
    return SM_OK;
}

static uint8_t *append_bytes(uint8_t *to, sm_str s)
{
    memcpy(to, s.data, s.len);
    return to + s.len;
}

/* Row i's arguments from `first` on, NULLs left out, `between` them. */
static sm_status join_row(const sm_fn_call *call, int64_t i, int32_t first, sm_str between,
                          smi_text_out *text, sm_error *e)
{
    uint8_t *bytes = NULL;
    int64_t len = 0;
    bool any = false;
    for (int32_t k = first; k < call->n_args; k++) {
        if (smi_valid(&call->args[k], i)) {
            len += (int64_t)smi_str_at(&call->args[k], i).len + (any ? (int64_t)between.len : 0);
            any = true;
        }
    }
    SM_TRY(smi_text_room(text, len, &bytes, e));
    any = false;
    for (int32_t k = first; k < call->n_args; k++) {
        if (smi_valid(&call->args[k], i)) {
            bytes = any ? append_bytes(bytes, between) : bytes;
            bytes = append_bytes(bytes, smi_str_at(&call->args[k], i));
            any = true;
        }
    }
    smi_text_set(text, i, len);
    return SM_OK;
}

/* The same with nothing between, for a result that fits a view; false where it does not. */
static bool join_short_row(const sm_fn_call *call, int64_t i, sm_view *out)
{
    uint8_t bytes[2 * SM_VIEW_INLINE] = {0};
    int32_t len = 0;
    for (int32_t k = 0; k < call->n_args; k++) {
        const sm_column *c = &call->args[k];
        const sm_view *v = (const sm_view *)c->values + (i & smi_mask(c));
        if (!smi_valid(c, i)) {
            continue;
        }
        if (v->inlined.len > SM_VIEW_INLINE - len) {
            return false;
        }
        SM_ASSERT(v->inlined.len >= 0 && len + SM_VIEW_INLINE <= (int32_t)sizeof(bytes));
        memcpy(bytes + len, v->inlined.bytes, SM_VIEW_INLINE); /* zeros behind its end */
        len += v->inlined.len;
    }
    out->inlined.len = len;
    memcpy(out->inlined.bytes, bytes, SM_VIEW_INLINE);
    return true;
}

sm_status fn_join_text(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    smi_text_out text;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i) && !join_short_row(call, i, (sm_view *)out->values + i)) {
            SM_TRY(join_row(call, i, 0, SM_STR(""), &text, e));
        }
    }
    smi_text_end(&text);
    return SM_OK;
}

/* concat and concat_ws see NULLs: they are not strict, so the column is made here. */
sm_status fn_concat(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    SM_TRY(smi_column_new(&sm_type_string, call->n_rows, call->into, out, e));
    return fn_join_text(call, out, e);
}

sm_status fn_concat_ws(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_column *const between = &call->args[0];
    smi_text_out text;
    SM_TRY(smi_column_new(&sm_type_string, call->n_rows, call->into, out, e));
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(between, i)) {
            SM_TRY(join_row(call, i, 1, smi_str_at(between, i), &text, e));
        } else { /* no separator: no text */
            SM_TRY(smi_set_null(out, i, call->into, e));
        }
    }
    smi_text_end(&text);
    return SM_OK;
}
