/* SPDX-License-Identifier: Apache-2.0
 *
 * base/str.c: compares strings, and finds the nearest of some names.
 *
 * Nearest  By the Damerau-Levenshtein distance (optimal string alignment): an edit or a swap of
 *          neighbours counts 2, a letter in the other case 1. */
#include "base/str.h"

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

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool sm_str_eq_nocase(sm_str a, sm_str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
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

/* ---- the nearest name ------------------------------------------------------------------------ */

#define NEAREST_MAX_BYTES 128 /* longer names were generated, not typed */

static int replace_cost(char a, char b)
{
    if (a == b) {
        return 0;
    }
    return sm_str_eq_nocase((sm_str){&a, 1}, (sm_str){&b, 1}) ? 1 : 2;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int name_distance(sm_str a, sm_str b)
{
    SM_ASSERT(a.len <= NEAREST_MAX_BYTES && b.len <= NEAREST_MAX_BYTES);
    if (sm_str_eq_nocase(a, b)) {
        return sm_str_eq(a, b) ? 0 : 1; /* a name all in capitals is one mistake, not many */
    }
    int rows[3][NEAREST_MAX_BYTES + 1]; /* three rows of the matrix, used in turn */
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++) {
        last[j] = 2 * (int)j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = 2 * (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            const int replaced = last[j - 1] + replace_cost(a.data[i - 1], b.data[j - 1]);
            now[j] = min_int(replaced, min_int(last[j], now[j - 1]) + 2);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                now[j] = min_int(now[j], before[j - 2] + 2);
            }
        }
        int *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

const char *sm_nearest_name(sm_str wanted, const sm_str *names, int64_t n_names)
{
    if (wanted.len == 0 || wanted.len > NEAREST_MAX_BYTES) {
        return NULL;
    }
    /* A name is near if at most a third of the letters differ, or one, but never all of them. */
    const int third = (int)wanted.len / 3;
    int best_distance = min_int(third > 1 ? 2 * third : 2, 2 * (int)wanted.len - 1) + 1;
    const char *best = NULL;
    for (int64_t i = 0; i < n_names; i++) {
        if (names[i].len == 0 || names[i].len > NEAREST_MAX_BYTES) {
            continue;
        }
        const int d = name_distance(wanted, names[i]);
        if (d > 0 && d < best_distance) { /* 0 is the name itself, which would be no advice */
            best_distance = d;
            best = names[i].data;
        }
    }
    return best;
}
