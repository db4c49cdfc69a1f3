/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/regex_class.c: patterns that say of which ASCII characters a whole text is, and
 * how many it may have: `^[A-Z0-9]{2,}$`. Called by fn_regex.c.
 *
 * Method   A table has an entry for each character that may be there. Anything else in a pattern,
 *          also what would mean the same, is left to PCRE2, by which the pattern was compiled
 *          before, so it has no mistake. All characters are ASCII, so a text that fits has a byte
 *          for each.
 * Why      Contracts are full of them; PCRE2 takes about 200 instructions to begin a match. */
#include "query/function/function_int.h"

/* Takes that character from the rest of the pattern, if it is the next. */
static bool take(sm_str *rest, char c)
{
    const bool is_next = rest->len > 0 && rest->data[0] == c;

    *rest = is_next ? (sm_str){rest->data + 1, rest->len - 1} : *rest;
    return is_next;
}

/* A character that stands for itself between brackets, wherever it is there. */
static bool take_member(sm_str *rest, uint8_t *out)
{
    if (rest->len == 0 || rest->data[0] < ' ' || rest->data[0] > '~' ||
        strchr("\\[]^-", rest->data[0])) {
        return false;
    }
    *out = (uint8_t)rest->data[0];
    return take(rest, rest->data[0]);
}

static bool take_class(sm_str *rest, smi_regex_class *c)
{
    uint8_t first = 0, last = 0;

    if (!take(rest, '[')) {
        return false;
    }
    do {
        if (!take_member(rest, &first)) {
            return false;
        }
        last = first;
        if (take(rest, '-') && !take_member(rest, &last)) {
            return false;
        }
        SM_ASSERT(first <= last); /* PCRE2 takes no other range */
        for (int i = first; i <= last; i++) {
            c->members[i] = 1;
        }
    } while (!take(rest, ']'));
    return true;
}

/* The digits of a number; PCRE2 takes none over 65,535. */
static bool take_number(sm_str *rest, size_t *out)
{
    const size_t before = rest->len;

    *out = 0;
    while (rest->len > 0 && rest->data[0] >= '0' && rest->data[0] <= '9') {
        *out = *out * 10 + (size_t)(rest->data[0] - '0');
        take(rest, rest->data[0]);
    }
    return rest->len < before;
}

static bool take_counts(sm_str *rest, smi_regex_class *c)
{
    c->least = c->most = 1;
    if (take(rest, '*') || take(rest, '+') || take(rest, '?')) {
        const char sign = rest->data[-1];
        c->least = sign == '+';
        c->most = sign == '?' ? 1 : SIZE_MAX;
        return true;
    }
    if (!take(rest, '{')) {
        return true;
    }
    if (!take_number(rest, &c->least)) {
        return false;
    }
    c->most = c->least;
    if (take(rest, ',') && !take_number(rest, &c->most)) {
        c->most = SIZE_MAX;
    }
    return take(rest, '}');
}

bool smi_regex_class_of(sm_str pattern, bool whole, smi_regex_class *out)
{
    sm_str rest = pattern;

    *out = (smi_regex_class){0};
    const bool begins = take(&rest, '^') || whole;
    if (!begins || !take_class(&rest, out) || !take_counts(&rest, out)) {
        return false;
    }
    SM_ASSERT(out->least <= out->most);
    const bool ends = take(&rest, '$') || whole;
    return ends && rest.len == 0;
}

bool smi_regex_class_fits(const smi_regex_class *c, sm_str text)
{
    SM_ASSERT(c->least <= c->most);
    if (text.len < c->least || text.len > c->most) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!c->members[(uint8_t)text.data[i]]) {
            return false;
        }
    }
    return true;
}
