/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/generate_line.c: draws the lines of a viewing log and writes them as JSON. Called by
 * generate.c for each line.
 *
 * Plain  All lines have one shape. Contract numbers are floor(contracts · x²) with a uniform x, so
 *        that a few customers watch much. The number decides the prefix and, with 0 … 3, the
 *        set-top box.
 * Mixed  Keys come in four orders; 5% of the lines lack a key, 2% have an escape or a character
 *        beyond ASCII, 1% have a number as a string; _score varies. The shares are those of the
 *        bench's input. */
#include "flow/generate_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"

const char *const smi_gen_column_names[SMI_GEN_COLUMNS] = {
    "Index", "Type", "Id", "Score", "AppName", "Contract", "Mac", "TotalDuration",
};
static const char *const keys[SMI_GEN_COLUMNS] = {
    "_index", "_type", "_id", "_score", "AppName", "Contract", "Mac", "TotalDuration",
};

/* ---- values --------------------------------------------------------------------------------- */

static const char *const prefixes[10] = {"HNH",  "SGH",  "DNH",  "HPH",  "CTH",
                                         "AGFD", "BDFD", "DLFD", "HUFD", "NTFD"};
/* Fifteenths: CHANNEL 4, VOD 2, CHILD 2, the others 1. */
static const char *const apps[15] = {"CHANNEL", "CHANNEL", "CHANNEL", "CHANNEL", "VOD",
                                     "VOD",     "CHILD",   "CHILD",   "KPLUS",   "FIMS",
                                     "BHD",     "SPORT",   "RELAX",   "DSHD",    "APP"};

static void draw_id(smi_gen_line *l, smi_gen_random *r)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    memcpy(l->id, "AX_", 3);
    uint64_t bits = smi_gen_next(r);
    for (int i = 0; i < 17; i++) {
        if (i == 10) { /* ten characters of six bits are used up */
            bits = smi_gen_next(r);
        }
        l->id[3 + i] = alphabet[bits & 63];
        bits >>= 6;
    }
    l->want[SMI_GEN_ID].text = (sm_str){l->id, 20};
}

/* Decimal digits with leading zeros, at least 6; returns the length. */
static size_t put_number(char *out, uint64_t n)
{
    char digits[20];
    int len = 0;
    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n || len < 6);
    for (int i = 0; i < len; i++) {
        out[i] = digits[len - 1 - i];
    }
    return (size_t)len;
}

static void draw_contract(smi_gen_line *l, smi_gen_random *r, int64_t contracts)
{
    const double x = smi_gen_unit(r);
    const uint64_t number = (uint64_t)((double)contracts * x * x);
    const uint64_t bits = smi_gen_next(r);

    const char *prefix = prefixes[number % 10];
    const size_t prefix_len = strlen(prefix);
    memcpy(l->contract, prefix, prefix_len);
    const size_t len = prefix_len + put_number(l->contract + prefix_len, number);
    SM_ASSERT(len <= sizeof(l->contract));
    l->want[SMI_GEN_CONTRACT].text = bits % 1024 == 0 ? SM_STR("0") : (sm_str){l->contract, len};

    static const char hex[] = "0123456789ABCDEF";
    uint64_t box = sm_mix64(number * 4 + (bits >> 10) % 4 + 1);
    for (int i = 0; i < 12; i++) {
        l->mac[i] = hex[box & 15];
        box >>= 4;
    }
    l->want[SMI_GEN_MAC].text = (sm_str){l->mac, 12};
}

sm_str smi_gen_text(smi_gen_line *l, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    SM_ENSURE(n >= 0 && (size_t)n < sizeof(text));
    SM_ENSURE(l->scratch.len + (size_t)n <= l->scratch.cap); /* earlier texts must not move */
    const size_t start = l->scratch.len;
    sm_buf_text(&l->scratch, (sm_str){text, (size_t)n});
    return (sm_str){(const char *)l->scratch.data + start, (size_t)n};
}

static void mix_spelling(smi_gen_line *l, smi_gen_random *r)
{
    l->order = (int)smi_gen_below(r, 4);
    l->want[SMI_GEN_SCORE].number = (int64_t)smi_gen_below(r, 100);
    const uint64_t lot = smi_gen_below(r, 1000);
    if (lot < 50) {
        const uint32_t column = (uint32_t)smi_gen_below(r, SMI_GEN_COLUMNS);
        l->missing |= 1u << column;
        l->want[column].is_null = true;
    } else if (lot < 60) {
        l->want[SMI_GEN_MAC].text = SM_STR("h\xc3\xb4p \xe2\x98\x85 4");
    } else if (lot < 70) {
        const sm_str c = l->want[SMI_GEN_CONTRACT].text;
        l->token[SMI_GEN_CONTRACT] =
            smi_gen_text(l, "\"\\u%04x%.*s\"", c.data[0], (int)c.len - 1, c.data + 1);
    } else if (lot < 80) {
        l->token[SMI_GEN_DURATION] =
            smi_gen_text(l, "\"%lld\"", (long long)l->want[SMI_GEN_DURATION].number);
    }
}

void smi_gen_draw(smi_gen_line *l, smi_gen_random *r, int64_t contracts, bool is_mixed)
{
    sm_buf scratch = l->scratch;
    sm_buf_reset(&scratch);
    *l = (smi_gen_line){.scratch = scratch, .damage = "", .column = -1};
    l->want[SMI_GEN_INDEX].text = SM_STR("history");
    l->want[SMI_GEN_TYPE].text = SM_STR("kplus");
    draw_id(l, r);
    draw_contract(l, r, contracts);
    const uint64_t zero = smi_gen_below(r, 128);
    const int64_t seconds = (int64_t)smi_gen_below(r, 86400);
    l->want[SMI_GEN_DURATION].number = zero == 0 ? 0 : seconds;
    l->want[SMI_GEN_APP].text = sm_str_of(apps[smi_gen_below(r, 15)]);
    if (is_mixed) {
        mix_spelling(l, r);
    }
}

/* ---- spelling ------------------------------------------------------------------------------- */

static void put_value(const smi_gen_line *l, int column, sm_buf *out)
{
    const smi_gen_value *v = &l->want[column];
    if (l->token[column].len) {
        sm_buf_text(out, l->token[column]);
    } else if (column == SMI_GEN_SCORE || column == SMI_GEN_DURATION) {
        char digits[24];
        char *p = digits + sizeof(digits);
        uint64_t n = (uint64_t)(v->number < 0 ? -v->number : v->number);
        do {
            *--p = (char)('0' + n % 10);
            n /= 10;
        } while (n);
        if (v->number < 0) {
            *--p = '-';
        }
        sm_buf_text(out, (sm_str){p, (size_t)(digits + sizeof(digits) - p)});
    } else { /* drawn texts need no escaping: damage that does gives a token */
        sm_buf_text(out, SM_STR("\""));
        sm_buf_text(out, v->text);
        sm_buf_text(out, SM_STR("\""));
    }
}

static void put_key(const smi_gen_line *l, const char *key, bool *is_first, sm_buf *out)
{
    if (!*is_first) {
        sm_buf_text(out, l->is_spaced ? SM_STR(" ,\t") : SM_STR(","));
    }
    *is_first = false;
    sm_buf_text(out, SM_STR("\""));
    sm_buf_text(out, sm_str_of(key));
    sm_buf_text(out, l->is_spaced ? SM_STR("\" : ") : SM_STR("\":"));
}

static void put_members(const smi_gen_line *l, const int *columns, int n, bool *is_first,
                        sm_buf *out)
{
    for (int i = 0; i < n; i++) {
        if (!(l->missing & (1u << columns[i]))) {
            put_key(l, keys[columns[i]], is_first, out);
            put_value(l, columns[i], out);
        }
    }
}

static void put_source(const smi_gen_line *l, const int *columns, bool *is_first, sm_buf *out)
{
    if (l->is_source_missing) {
        return;
    }
    put_key(l, "_source", is_first, out);
    if (l->source_token.len) {
        sm_buf_text(out, l->source_token);
        return;
    }
    bool is_first_inside = true;
    sm_buf_text(out, SM_STR("{"));
    sm_buf_text(out, l->source_extra);
    put_members(l, columns, 4, &is_first_inside, out);
    sm_buf_text(out, SM_STR("}"));
}

void smi_gen_spell(const smi_gen_line *l, sm_buf *out)
{
    /* The four orders; 0 is the export's. _source stands first in the last one. */
    static const int top[4][4] = {{SMI_GEN_INDEX, SMI_GEN_TYPE, SMI_GEN_ID, SMI_GEN_SCORE},
                                  {SMI_GEN_ID, SMI_GEN_INDEX, SMI_GEN_TYPE, SMI_GEN_SCORE},
                                  {SMI_GEN_SCORE, SMI_GEN_ID, SMI_GEN_TYPE, SMI_GEN_INDEX},
                                  {SMI_GEN_INDEX, SMI_GEN_TYPE, SMI_GEN_ID, SMI_GEN_SCORE}};
    static const int source[4][4] = {
        {SMI_GEN_CONTRACT, SMI_GEN_MAC, SMI_GEN_DURATION, SMI_GEN_APP},
        {SMI_GEN_APP, SMI_GEN_MAC, SMI_GEN_DURATION, SMI_GEN_CONTRACT},
        {SMI_GEN_DURATION, SMI_GEN_CONTRACT, SMI_GEN_APP, SMI_GEN_MAC},
        {SMI_GEN_MAC, SMI_GEN_APP, SMI_GEN_CONTRACT, SMI_GEN_DURATION}};

    SM_ASSERT(l->order >= 0 && l->order < SM_COUNT(top));
    _Static_assert(SM_COUNT(top) == SM_COUNT(source), "an order is of both");
    if (l->whole.len) {
        sm_buf_text(out, l->whole);
        return;
    }
    bool is_first = true;
    sm_buf_text(out, SM_STR("{"));
    sm_buf_text(out, l->top_extra);
    if (l->order == 3) {
        put_source(l, source[3], &is_first, out);
    }
    put_members(l, top[l->order], 4, &is_first, out);
    if (l->order != 3) {
        put_source(l, source[l->order], &is_first, out);
    }
    sm_buf_text(out, SM_STR("}"));
}
