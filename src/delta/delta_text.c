/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_text.c: parses values as the log writes them: partition values and the bounds of
 * statistics. Called by delta_stats.c.
 *
 * SQL's cast from VARCHAR is lenient: it takes "1.5" as an integer, " 7 " as 7, a time as a date.
 * In a log such a text is a mistake of its writer, and the value that a cast makes of it may differ
 * from those of the rows. So a text must match one form of its type from end to end:
 *
 *   BOOLEAN     true, false, in any letters
 *   integers    -?digits
 *   DECIMAL     -?digits[.digits][e±digits] or -?.digits; *is_exact is false where it has more
 *               fractional digits than the type, and was rounded
 *   FLOAT       the same, Infinity, -Infinity, NaN; inf and -inf, as delta-rs writes them
 *   DATE        YYYY-MM-DD, further digits and a sign for years beyond four
 *   TIMESTAMP   the same, then optionally [ T]HH:MM:SS[.digits] and Z or ±HH[:]MM; a local time has
 *               no zone but Z, which some write there
 *
 * Source  PROTOCOL.md, "Partition Value Serialization", "Per-file Statistics" */
#include <math.h>

#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

/* ---- numbers --------------------------------------------------------------------------------- */

/* The number of digits from `at` on. */
static size_t digits_at(sm_str s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && s.data[at + n] >= '0' && s.data[at + n] <= '9') {
        n++;
    }
    return n;
}

typedef struct number {
    bool is_integer; /* neither point nor exponent */
    int64_t last;    /* the power of ten of the last digit that is not 0; of 0 a very large one */
} number;

/* The exponent from `at` to the end; false where there is none. */
static bool scan_exponent(sm_str s, size_t at, int64_t *out)
{
    const bool has_plus = at + 1 < s.len && s.data[at + 1] == '+';
    const size_t sign = at + 1 < s.len && s.data[at + 1] == '-';
    const size_t n = digits_at(s, at + 1 + has_plus + sign);

    return (s.data[at] | 0x20) == 'e' && n > 0 && n < 7 && at + 1 + has_plus + sign + n == s.len &&
           sm_parse_i64((sm_str){s.data + at + 1 + has_plus, sign + n}, out);
}

static bool scan_number(sm_str s, number *out)
{
    const size_t start = s.len > 0 && s.data[0] == '-';
    const size_t n_whole = digits_at(s, start);
    const bool has_point = start + n_whole < s.len && s.data[start + n_whole] == '.';
    const size_t n_fraction = has_point ? digits_at(s, start + n_whole + 1) : 0;
    const size_t end = start + n_whole + (has_point ? 1 + n_fraction : 0);
    int64_t exponent = 0, place = (int64_t)n_whole - 1;

    if ((has_point ? n_fraction : n_whole) == 0 || s.len > 1000 ||
        (end < s.len && !scan_exponent(s, end, &exponent))) {
        return false;
    }
    *out = (number){.is_integer = end == s.len && !has_point, .last = INT64_MAX};
    for (size_t i = start; i < end; i++) {
        if (s.data[i] == '.') {
            continue;
        }
        out->last = s.data[i] != '0' ? place + exponent : out->last;
        place--;
    }
    SM_ASSERT(place == -1 - (int64_t)n_fraction); /* each digit was counted once */
    return true;
}

static bool read_float(const sm_type *t, sm_str text, sm_value *out)
{
    sm_error unused = {0};
    number n;
    static const char *const words[] = {"NaN", "Infinity", "-Infinity", "inf", "-inf"};
    bool is_word = false;
    for (int i = 0; i < SM_COUNT(words); i++) {
        is_word = is_word || sm_str_is(text, words[i]);
    }

    if (!is_word && !scan_number(text, &n)) {
        return false;
    }
    return sm_value_parse(t, text, out, &unused) == SM_OK && (is_word || isfinite(out->as.f));
}

/* ---- days and times -------------------------------------------------------------------------- */

/* The length of a date at the front of the text, or 0. */
static size_t date_length(sm_str s)
{
    const size_t sign = s.len > 0 && (s.data[0] == '-' || s.data[0] == '+');
    const size_t year = digits_at(s, sign);
    const size_t at = sign + year;

    if (year < 4 || year > 6 || s.len < at + 6 || s.data[at] != '-' || s.data[at + 3] != '-' ||
        digits_at(s, at + 1) != 2 || digits_at(s, at + 4) < 2) {
        return 0;
    }
    return at + 6;
}

/* Is the text from `at` on "", Z, or an offset? */
static bool is_zone(const sm_type *t, sm_str s, size_t at)
{
    if (at == s.len || (at + 1 == s.len && s.data[at] == 'Z')) {
        return true;
    }
    if (t->id == SM_TYPE_TIMESTAMP_NTZ || (s.data[at] != '+' && s.data[at] != '-')) {
        return false;
    }
    const size_t n = digits_at(s, at + 1);
    const size_t colon = n == 2 && at + 3 < s.len && s.data[at + 3] == ':';
    return colon ? digits_at(s, at + 4) == 2 && at + 6 == s.len : n == 4 && at + 5 == s.len;
}

/* Is the text from `at` on "HH:MM:SS[.digits][zone]"? Digits finer than a microsecond must be 0. */
static bool is_clock(const sm_type *t, sm_str s, size_t at)
{
    if (s.len < at + 8 || digits_at(s, at) != 2 || s.data[at + 2] != ':' ||
        digits_at(s, at + 3) != 2 || s.data[at + 5] != ':' || digits_at(s, at + 6) != 2) {
        return false;
    }
    at += 8;
    if (at < s.len && s.data[at] == '.') {
        const size_t n = digits_at(s, at + 1);
        for (size_t i = 6; i < n; i++) {
            if (s.data[at + 1 + i] != '0') {
                return false;
            }
        }
        if (n == 0) {
            return false;
        }
        at += 1 + n;
    }
    SM_ASSERT(at <= s.len);
    return is_zone(t, s, at);
}

static bool read_when(const sm_type *t, sm_str text, sm_value *out)
{
    sm_error unused = {0};
    const size_t n = date_length(text);

    SM_ASSERT(n <= text.len);
    if (n == 0) {
        return false;
    }
    if (n < text.len) {
        const bool is_apart = text.data[n] == ' ' || text.data[n] == 'T';
        if (t->id == SM_TYPE_DATE || !is_apart || !is_clock(t, text, n + 1)) {
            return false;
        }
    }
    return sm_value_parse(t, text, out, &unused) == SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

bool smi_text_value(const sm_type *t, sm_str text, sm_value *out, bool *is_exact)
{
    sm_error unused = {0};
    number n = {0};

    *is_exact = true;
    switch (t->id) {
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        *out = (sm_value){.type = t, .as.s = text};
        return true;
    case SM_TYPE_BOOL:
        *out = (sm_value){.type = t, .as.b = sm_str_eq_nocase(text, SM_STR("true"))};
        return out->as.b || sm_str_eq_nocase(text, SM_STR("false"));
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return read_float(t, text, out);
    case SM_TYPE_DATE:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return read_when(t, text, out);
    default:
        break;
    }
    if (!scan_number(text, &n) || (t->id != SM_TYPE_DECIMAL && !n.is_integer)) {
        return false;
    }
    *is_exact = n.last >= -(int64_t)t->scale;
    return sm_value_parse(t, text, out, &unused) == SM_OK;
}
