/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_example_text.c: random texts: one that a regular expression matches, one of a
 * format, a word. Called by contract_example.c.
 *
 * Method   The pattern is read from left to right and its parts are written as they come. Where
 *          there is a choice it is read twice: once without writing, to find where the parts are.
 * Subset   Literals, ., classes, \d \w \s and their opposites, groups, |, and quantifiers. Anchors
 *          write nothing: a text that they forbid is for the rule itself to refuse. Look-around,
 *          back references, properties (\p) and flags cannot be made.
 * Random   Of a seed alone, so that the same rows come each time. */
#include "base/hash.h"
#include "base/text.h"
#include "contract/contract_int.h"

static uint64_t random_next(smi_random *r)
{
    r->state += 0x9e3779b97f4a7c15u; /* splitmix64's step: every seed gives another sequence */
    return sm_mix64(r->state ^ (r->state >> 30));
}

int64_t smi_random_between(smi_random *r, int64_t least, int64_t greatest)
{
    const uint64_t n = (uint64_t)greatest - (uint64_t)least + 1;
    SM_ASSERT(least <= greatest);

    return n == 0 ? (int64_t)random_next(r) : (int64_t)((uint64_t)least + random_next(r) % n);
}

/* ---- regular expressions --------------------------------------------------------------------- */

enum {
    MOST_CHOICES = 64, /* of | at one place, and parts of a class; the rest are not written */
    DEEPEST = 12,      /* groups within groups: each doubles the reading */
    MOST_TIMES = 100,  /* that a part without an end is repeated */
};

typedef struct pattern {
    sm_str p;
    size_t at;
    smi_random *r;
    sm_buf *out;
    int64_t n_open; /* how often + and * repeat at most */
    int depth;
    bool is_silent;  /* nothing is written */
    const char *why; /* it cannot be made; NULL: it can, so far */
} pattern;

static bool is_more(const pattern *x)
{
    return !x->why && x->at < x->p.len;
}

static char peek(const pattern *x)
{
    return x->at < x->p.len ? x->p.data[x->at] : '\0';
}

static bool take(pattern *x, const char *word)
{
    const size_t n = strlen(word);
    const bool is = x->p.len - x->at >= n && memcmp(x->p.data + x->at, word, n) == 0;

    x->at += is ? n : 0;
    return is;
}

static void put(pattern *x, uint32_t code_point)
{
    char text[4];

    if (!x->is_silent) {
        sm_buf_text(x->out, (sm_str){text, (size_t)sm_utf8_put(code_point, text)});
    }
}

/* ---- classes */

/* Code points from `from` to `to`, both included. */
typedef struct span {
    uint32_t from, to;
} span;

typedef struct class
{
    span spans[MOST_CHOICES];
    int n;
    bool is_not;
} class;

static void add_span(class *c, uint32_t from, uint32_t to)
{
    if (c->n < MOST_CHOICES && from <= to) {
        c->spans[c->n++] = (span){from, to};
    }
}

/* Adds what \d, \w or \s stands for; false: the letter is none of them. */
static bool add_kind(class *c, char letter)
{
    switch (letter) {
    case 'd':
        add_span(c, '0', '9');
        return true;
    case 'w':
        add_span(c, 'a', 'z');
        add_span(c, 'A', 'Z');
        add_span(c, '0', '9');
        add_span(c, '_', '_');
        return true;
    case 's':
        add_span(c, ' ', ' ');
        return true;
    default:
        return false;
    }
}

static bool has_point(const class *c, uint32_t point)
{
    bool has = false;

    for (int i = 0; i < c->n; i++) {
        has = has || (point >= c->spans[i].from && point <= c->spans[i].to);
    }
    return has != c->is_not;
}

/* One of a class at random; of what a class leaves out, a sign of ASCII. */
static void put_one(pattern *x, const class *c)
{
    int64_t n = 0;

    for (int tries = 0; c->is_not && tries < 1000; tries++) {
        const uint32_t point =
            (uint32_t)smi_random_between(x->r, tries < 200 ? 'a' : ' ', tries < 200 ? 'z' : '~');
        if (has_point(c, point)) {
            put(x, point);
            return;
        }
    }
    for (int i = 0; i < c->n; i++) {
        n += (int64_t)c->spans[i].to - c->spans[i].from + 1;
    }
    if (c->is_not || n == 0) {
        x->why = "a class of it has no sign of ASCII";
        return;
    }
    int64_t k = smi_random_between(x->r, 0, n - 1);
    int i = 0;
    while (k > (int64_t)c->spans[i].to - c->spans[i].from) {
        k -= (int64_t)c->spans[i].to - c->spans[i].from + 1;
        i++;
    }
    put(x, c->spans[i].from + (uint32_t)k);
}

/* A sign behind a backslash that stands for itself, or for a control character. */
static uint32_t escaped_point(pattern *x)
{
    static const char letters[] = "nrtfe0", points[] = "\n\r\t\f\033";
    const char *at = peek(x) ? strchr(letters, peek(x)) : NULL;
    const bool is_letter = (peek(x) >= 'a' && peek(x) <= 'z') ||
                           (peek(x) >= 'A' && peek(x) <= 'Z') || (peek(x) >= '0' && peek(x) <= '9');

    if (is_letter && !at) {
        x->why = "it has an escape that no text is made of";
        return 0;
    }
    const uint32_t point = x->at < x->p.len ? sm_utf8_next(x->p, &x->at) : '\\';
    return at ? (uint32_t)(uint8_t)points[at - letters] : point;
}

/* [:alpha:] and its like; false: it is none. */
static bool take_posix(pattern *x, class *c)
{
    static const struct {
        const char *word;
        span spans[3];
    } words[] = {
        {"[:alpha:]", {{'a', 'z'}, {'A', 'Z'}, {1, 0}}},
        {"[:digit:]", {{'0', '9'}, {1, 0}, {1, 0}}},
        {"[:alnum:]", {{'a', 'z'}, {'A', 'Z'}, {'0', '9'}}},
        {"[:upper:]", {{'A', 'Z'}, {1, 0}, {1, 0}}},
        {"[:lower:]", {{'a', 'z'}, {1, 0}, {1, 0}}},
        {"[:space:]", {{' ', ' '}, {1, 0}, {1, 0}}},
        {"[:punct:]", {{'!', '/'}, {':', '@'}, {'[', '`'}}},
        {"[:xdigit:]", {{'0', '9'}, {'a', 'f'}, {'A', 'F'}}},
    };

    for (int i = 0; i < SM_COUNT(words); i++) {
        if (take(x, words[i].word)) {
            for (int k = 0; k < 3; k++) {
                add_span(c, words[i].spans[k].from, words[i].spans[k].to);
            }
            return true;
        }
    }
    return false;
}

/* A code point of a class; false: it was \d or the like, which is added whole. */
static bool class_point(pattern *x, class *c, uint32_t *out)
{
    if (take_posix(x, c)) {
        return false;
    }
    if (!take(x, "\\")) {
        *out = sm_utf8_next(x->p, &x->at);
        return true;
    }
    if (add_kind(c, peek(x))) {
        x->at++;
        return false;
    }
    *out = escaped_point(x);
    return true;
}

/* Behind its '['. */
static void read_class(pattern *x)
{
    class c = {.is_not = take(x, "^")};
    uint32_t from = 0, to = 0;

    for (bool is_first = true; is_more(x) && (is_first || peek(x) != ']'); is_first = false) {
        if (!class_point(x, &c, &from)) {
            continue;
        }
        const bool is_range = peek(x) == '-' && x->at + 1 < x->p.len && x->p.data[x->at + 1] != ']';
        x->at += is_range;
        if (!is_range) {
            add_span(&c, from, from);
        } else if (class_point(x, &c, &to)) {
            add_span(&c, from, to);
        }
    }
    (void)take(x, "]");
    if (!x->is_silent && !x->why) {
        put_one(x, &c);
    }
}

/* ---- parts */

static void read_choices(pattern *x);

/* Behind its '('. */
static void read_group(pattern *x)
{
    if (peek(x) == '?' && !take(x, "?:")) {
        const bool is_named = take(x, "?<") || take(x, "?P<");
        if (!is_named || peek(x) == '=' || peek(x) == '!') {
            x->why = "it looks around, or has flags";
            return;
        }
        while (is_more(x) && peek(x) != '>') {
            x->at++;
        }
        x->at++;
    }
    if (++x->depth > DEEPEST) {
        x->why = "its groups are too deep";
        return;
    }
    read_choices(x);
    x->depth--;
    (void)take(x, ")");
}

/* Behind its backslash. */
static void read_escape(pattern *x)
{
    class c = {0};
    const char letter = peek(x);
    const bool is_not = letter == 'D' || letter == 'W' || letter == 'S';

    if (letter == 'b' || letter == 'B' || letter == 'A' || letter == 'z' || letter == 'Z') {
        x->at++; /* an anchor */
        return;
    }
    if (add_kind(&c, is_not ? (char)(letter - 'A' + 'a') : letter)) {
        x->at++;
        c.is_not = is_not;
        if (!x->is_silent) {
            put_one(x, &c);
        }
        return;
    }
    const uint32_t point = escaped_point(x);
    if (!x->why) {
        put(x, point);
    }
}

static void read_atom(pattern *x)
{
    class any = {.is_not = true};

    if (take(x, "(")) {
        read_group(x);
    } else if (take(x, "[")) {
        read_class(x);
    } else if (take(x, "\\")) {
        read_escape(x);
    } else if (take(x, ".")) {
        if (!x->is_silent) {
            put_one(x, &any);
        }
    } else if (!take(x, "^") && !take(x, "$")) {
        put(x, sm_utf8_next(x->p, &x->at));
    }
}

static int64_t read_number(pattern *x)
{
    int64_t n = 0;

    while (peek(x) >= '0' && peek(x) <= '9' && n < 100000) {
        n = n * 10 + (x->p.data[x->at++] - '0');
    }
    return n;
}

/* {2}, {2,} or {2,5}; false, and nothing read: it is a brace that stands for itself. */
static bool read_braces(pattern *x, int64_t *least, int64_t *most)
{
    const size_t start = x->at;

    (void)take(x, "{");
    const size_t digits = x->at;
    *least = *most = read_number(x);
    bool is = x->at > digits;
    if (is && take(x, ",")) {
        *most = peek(x) == '}' ? *least + x->n_open : read_number(x);
    }
    is = is && take(x, "}");
    x->at = is ? x->at : start;
    return is;
}

/* How often the part before it is repeated. */
static int64_t read_times(pattern *x)
{
    int64_t least = 1, most = 1;

    if (take(x, "?")) {
        least = 0;
    } else if (take(x, "*")) {
        least = 0;
        most = x->n_open;
    } else if (take(x, "+")) {
        most = x->n_open;
    } else if (peek(x) != '{' || !read_braces(x, &least, &most)) {
        return 1;
    }
    (void)(take(x, "?") || take(x, "+")); /* lazy, possessive: the same texts */
    return x->is_silent || least > most ? least : smi_random_between(x->r, least, most);
}

static void read_sequence(pattern *x)
{
    while (is_more(x) && peek(x) != '|' && peek(x) != ')') {
        const size_t start = x->at;
        const bool was_silent = x->is_silent;
        x->is_silent = true;
        read_atom(x);
        x->is_silent = was_silent;
        const int64_t n = x->why ? 0 : read_times(x);
        const size_t end = x->at;
        for (int64_t i = 0; !was_silent && i < n && !x->why; i++) {
            x->at = start;
            read_atom(x);
        }
        x->at = end;
    }
}

static void read_choices(pattern *x)
{
    const bool was_silent = x->is_silent;
    size_t starts[MOST_CHOICES];
    int n = 0;

    x->is_silent = true;
    do {
        if (n < MOST_CHOICES) {
            starts[n++] = x->at;
        }
        read_sequence(x);
    } while (!x->why && take(x, "|"));
    x->is_silent = was_silent;
    const size_t end = x->at;
    if (!was_silent && !x->why) {
        x->at = starts[smi_random_between(x->r, 0, n - 1)];
        read_sequence(x);
    }
    x->at = end;
}

const char *smi_pattern_example(sm_str text, int64_t length, smi_random *r, sm_buf *out)
{
    pattern x = {.p = text, .r = r, .out = out};

    x.n_open = length < 6 ? 6 : length > MOST_TIMES ? MOST_TIMES : length;
    read_choices(&x);
    return x.why;
}

/* ---- words and formats ----------------------------------------------------------------------- */

void smi_word_example(int64_t least, int64_t greatest, smi_random *r, sm_buf *out)
{
    static const char vowels[] = "aeiou", others[] = "bdfgklmnprstv";
    const int64_t n = smi_random_between(r, least, greatest);

    for (int64_t i = 0; i < n; i++) {
        const char letter = i % 2 ? vowels[smi_random_between(r, 0, sizeof(vowels) - 2)]
                                  : others[smi_random_between(r, 0, sizeof(others) - 2)];
        sm_buf_text(out, (sm_str){&letter, 1});
    }
}

void smi_format_example(sm_str word, smi_random *r, sm_buf *out)
{
    static const struct {
        const char *word, *pattern;
    } formats[] = {
        {"date", "20[0-3][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"},
        {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"},
        {"email", "[a-z]{3,8}\\.[a-z]{3,8}@[a-z]{3,8}\\.example"},
        {"hostname", "[a-z]{3,8}(-[0-9]{1,2})?\\.[a-z]{3,8}\\.example"},
        {"ipv4", "192\\.0\\.2\\.([1-9]|[1-9][0-9]|1[0-9]{2})"},
        {"ipv6", "2001:db8(:[1-9a-f][0-9a-f]{3}){6}"},
        {"uri", "https://[a-z]{3,8}\\.example/[a-z]{3,8}(\\?[a-z]=[0-9]{1,3})?"},
    };

    for (int i = 0; i < SM_COUNT(formats); i++) {
        if (sm_str_is(word, formats[i].word)) {
            SM_ENSURE(!smi_pattern_example(sm_str_of(formats[i].pattern), 0, r, out));
            return;
        }
    }
    smi_word_example(3, 10, r, out); /* password, byte, binary: they only describe */
}
