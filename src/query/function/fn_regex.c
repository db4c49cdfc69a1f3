/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_regex.c: regular expressions by PCRE2, over code points.
 *
 * Patterns  A constant pattern is compiled when the call is bound, so that a mistake in it is an
 *           error of the query; to machine code, if the system allows it. It lives as long as the
 *           plan, and all threads match by it. A pattern that comes from a column is compiled for
 *           each row where it differs from the row before; to machine code where it is the same in
 *           JIT_ROWS rows or more. A constant one that only says of which characters a text is
 *           takes no match: regex_class.c.
 * Limits    Matching backtracks. A row that needs more than MATCH_STEPS or MATCH_HEAP_KIB is an
 *           error that quotes its text: no pattern runs for ever.
 * Meaning   As DuckDB's (RE2): the leftmost match; where several begin there, the one that the
 *           pattern prefers. `$` matches at the end of the text only, `.` matches no line feed
 *           without option s, and \w \d \s are ASCII. Back references and lookaround work here but
 *           not in DuckDB; \C works in DuckDB but not here.
 * Options   i ignores case, c does not; with s `.` matches a line feed, with m, n or p it does not;
 *           l takes the pattern as plain text; g replaces all matches. Spaces are ignored. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/function/function_int.h"

#include <pcre2.h>

#define MATCH_STEPS    1000000 /* about 10 ms; PCRE2's own default is ten times that */
#define MATCH_HEAP_KIB 32768
#define JIT_ROWS       512 /* 4 to 10 µs to compile, 0.02 to 0.5 µs saved a row */
#define LOOK_MATCHES   4   /* between two looks whether the query is cancelled: 40 ms at most */

/* A pattern, compiled. */
typedef struct regex {
    pcre2_code *code;
    sm_str pattern, options;
    uint32_t n_groups; /* without the whole match, group 0 */
    bool all;          /* option g */
    bool is_native;    /* there is machine code */
    bool is_class;     /* a constant pattern that `class` says all of */
    smi_regex_class class;
} regex;

/* Which of a call's arguments is what. */
typedef struct regex_args {
    int32_t options, replacement; /* −1: it has none */
    bool whole;                   /* regexp_full_match: the whole text must match */
} regex_args;

static regex_args args_of(const sm_expr *call)
{
    const char *const name = call->fn->name;
    const bool replaces = strcmp(name, "regexp_replace") == 0;
    const bool extracts = strcmp(name, "regexp_extract") == 0;
    const int32_t options = replaces || extracts ? 3 : 2;
    SM_ASSERT(call->n_args >= (replaces ? 3 : 2) && call->n_args <= 4);
    return (regex_args){
        .options = options < call->n_args ? options : -1,
        .replacement = replaces ? 2 : -1,
        .whole = strcmp(name, "regexp_full_match") == 0,
    };
}

/* ---- memory --------------------------------------------------------------------------------- */

static void *plain_take(size_t n, void *unused)
{
    return sm_alloc(n);
}
static void plain_give(void *p, void *unused)
{
    sm_free(p);
}

/* ---- compiling ------------------------------------------------------------------------------ */

static sm_status fail_option(sm_str options, sm_error *e)
{
    const sm_str shown = {options.data, options.len > 40 ? 40 : options.len};
    sm_fail(e, SM_INVALID, "regular expressions have no such option: \"%.*s\"", SM_STR_ARG(shown));
    sm_error_todo(e, "Options are i, c, s, m, n, p, l, and g to replace all.");
    return SM_INVALID;
}

static sm_status read_options(sm_str s, bool replaces, uint32_t *flags, bool *all, sm_error *e)
{
    bool nocase = false, dot_all = false, is_literal = false;
    *all = false;
    for (size_t i = 0; i < s.len; i++) {
        switch (s.data[i]) {
        case 'i':
        case 'c':
            nocase = s.data[i] == 'i';
            break;
        case 's':
            dot_all = true;
            break;
        case 'm':
        case 'n':
        case 'p':
            dot_all = false;
            break;
        case 'l':
            is_literal = true;
            break;
        case 'g':
            if (!replaces) {
                return sm_fail(e, SM_INVALID, "option g is only for regexp_replace");
            }
            *all = true;
            break;
        case ' ':
        case '\t':
        case '\n':
            break;
        default:
            return fail_option(s, e);
        }
    }
    *flags = PCRE2_UTF | (nocase ? PCRE2_CASELESS : 0);
    *flags |= is_literal
                  ? PCRE2_LITERAL /* which takes none of the others */
                  : PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | (dot_all ? PCRE2_DOTALL : 0);
    return SM_OK;
}

static sm_status fail_pattern(sm_str pattern, int code, size_t at, sm_error *e)
{
    PCRE2_UCHAR why[128];
    const sm_str shown = {pattern.data, pattern.len > 60 ? 60 : pattern.len};
    pcre2_get_error_message(code, why, sizeof(why));
    return sm_fail(e, SM_INVALID, "regular expression \"%.*s\": %.90s at byte %zu",
                   SM_STR_ARG(shown), (const char *)why, at + 1);
}

/* Fills `out` from its pattern and options; to machine code where the matches are many and the
 * system allows it. */
static sm_status compile_regex(const regex_args *args, pcre2_general_context *memory, bool for_many,
                               regex *out, sm_error *e)
{
    const sm_str pattern = out->pattern;
    uint32_t flags = 0;
    int code = 0;
    PCRE2_SIZE at = 0;
    SM_TRY(read_options(out->options, args->replacement >= 0, &flags, &out->all, e));
    flags |= args->whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    pcre2_compile_context *const context = pcre2_compile_context_create(memory);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    out->code = pcre2_compile((PCRE2_SPTR)(pattern.data ? pattern.data : ""), pattern.len, flags,
                              &code, &at, context);
    pcre2_compile_context_free(context);
    if (!out->code) {
        return fail_pattern(pattern, code, at, e);
    }
    pcre2_pattern_info(out->code, PCRE2_INFO_CAPTURECOUNT, &out->n_groups);
    out->is_native = for_many && pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0;
    return SM_OK;
}

/* In a replacement \0 … \9 are groups and \\ is a backslash; nothing else is escaped. */
static sm_status check_replacement(const regex *re, sm_str by, sm_error *e)
{
    const sm_str shown = {by.data, by.len > 60 ? 60 : by.len};
    for (size_t k = 0; k < by.len; k++) {
        if (by.data[k] != '\\') {
            continue;
        }
        const char next = ++k < by.len ? by.data[k] : 0;
        if (next >= '0' && next <= '9' && (uint32_t)(next - '0') > re->n_groups) {
            return sm_fail(e, SM_INVALID, "replacement \"%.*s\" has group %c, the pattern only %u",
                           SM_STR_ARG(shown), next, re->n_groups);
        }
        if (next != '\\' && (next < '0' || next > '9')) {
            sm_fail(e, SM_INVALID, "replacement \"%.*s\" has a backslash without a digit",
                    SM_STR_ARG(shown));
            sm_error_todo(e, "A backslash itself is written \\\\.");
            return SM_INVALID;
        }
    }
    return SM_OK;
}

static bool is_constant(const sm_expr *x)
{
    return x->kind == SM_EXPR_CONST && !x->value.is_null;
}

static void free_code(void *code)
{
    pcre2_code_free(code);
}

const void *smi_prepare_regex(const sm_expr *call, sm_arena *a, sm_error *e)
{
    const regex_args args = args_of(call);
    const sm_expr *const pattern = call->args[1];
    if (!is_constant(pattern) || (args.options >= 0 && !is_constant(call->args[args.options]))) {
        return NULL;
    }
    regex *const re = SM_NEW(a, regex);
    re->pattern = pattern->value.as.s;
    re->options = args.options >= 0 ? call->args[args.options]->value.as.s : SM_STR("");
    pcre2_general_context *const memory =
        pcre2_general_context_create(plain_take, plain_give, NULL);
    const sm_status st = compile_regex(&args, memory, true, re, e);
    pcre2_general_context_free(memory);
    if (st != SM_OK) {
        return NULL;
    }
    sm_arena_defer(a, free_code, re->code);
    re->is_class = re->options.len == 0 && smi_regex_class_of(re->pattern, args.whole, &re->class);
    if (args.replacement >= 0 && is_constant(call->args[args.replacement]) &&
        check_replacement(re, call->args[args.replacement]->value.as.s, e) != SM_OK) {
        return NULL;
    }
    return re;
}

/* ---- matching ------------------------------------------------------------------------------- */

/* The rows of one call. */
typedef struct matcher {
    const sm_fn_call *call;
    regex_args args;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_match_data *data; /* made for the pattern at hand */
    regex own;              /* compiled here; code NULL where the prepared one is used */
    const regex *re;
    bool is_same;      /* in all rows, pattern and replacement, and nothing is to be checked */
    uint32_t n_looked; /* matches so far */
} matcher;

static void use_regex(matcher *m, const regex *re)
{
    SM_ASSERT(re->code != NULL);
    pcre2_match_data_free(m->data);
    m->re = re;
    m->data = pcre2_match_data_create_from_pattern(re->code, m->memory);
}

/* Compiles m->own anew. */
static sm_status compile_own(matcher *m, sm_str pattern, sm_str options, bool for_many, sm_error *e)
{
    pcre2_code_free(m->own.code);
    m->own = (regex){.pattern = pattern, .options = options};
    const sm_status st = compile_regex(&m->args, m->memory, for_many, &m->own, e);
    if (st != SM_OK) {
        return smi_expr_place(m->call->expr, e, st);
    }
    use_regex(m, &m->own);
    return SM_OK;
}

static void matcher_init(matcher *m, const sm_fn_call *call)
{
    const regex *const prepared = call->expr->prepared;
    *m = (matcher){.call = call, .args = args_of(call->expr)};
    m->memory = pcre2_general_context_create(plain_take, plain_give, NULL);
    m->limits = pcre2_match_context_create(m->memory);
    pcre2_set_match_limit(m->limits, MATCH_STEPS);
    pcre2_set_heap_limit(m->limits, MATCH_HEAP_KIB);
    if (prepared) {
        const int32_t by = m->args.replacement;
        use_regex(m, prepared);
        m->is_same = by < 0 || is_constant(call->expr->args[by]); /* smi_prepare_regex() checked */
    }
}

static void matcher_release(matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_code_free(m->own.code);
    pcre2_match_context_free(m->limits);
    pcre2_general_context_free(m->memory);
}

static sm_status look_at_row(matcher *m, int64_t i, sm_error *e)
{
    const sm_fn_call *const call = m->call;
    const int32_t at = m->args.options;
    if (!call->expr->prepared) {
        const bool for_many = call->args[1].layout == SM_CONST && call->n_rows >= JIT_ROWS;
        const sm_str pattern = smi_str_at(&call->args[1], i);
        const sm_str options = at >= 0 ? smi_str_at(&call->args[at], i) : SM_STR("");
        const bool is_same =
            m->own.code && sm_str_eq(m->own.pattern, pattern) && sm_str_eq(m->own.options, options);
        if (!is_same) {
            SM_TRY(compile_own(m, pattern, options, for_many, e));
        }
    }
    if (m->args.replacement >= 0) {
        const sm_str by = smi_str_at(&call->args[m->args.replacement], i);
        const sm_status st = check_replacement(m->re, by, e);
        return st == SM_OK ? SM_OK : smi_expr_place(call->expr, e, st);
    }
    return SM_OK;
}

/* Sees to it that the pattern of row i is compiled and its replacement good. */
static inline sm_status matcher_row(matcher *m, int64_t i, sm_error *e)
{
    return m->is_same ? SM_OK : look_at_row(m, i, e);
}

static sm_status fail_limit(const matcher *m, sm_str s, int code, sm_error *e)
{
    PCRE2_UCHAR why[128];
    const sm_str shown = {s.data, s.len > 40 ? 40 : s.len};
    pcre2_get_error_message(code, why, sizeof(why));
    smi_expr_fail(m->call->expr, e, SM_LIMIT,
                  "regular expression needs too many steps on \"%.*s\": %.60s", SM_STR_ARG(shown),
                  (const char *)why);
    sm_error_todo(e, "Write it without repetition within repetition, such as (a*)*.");
    return SM_LIMIT;
}

/* Matches s from byte `from` on. */
static sm_status match_text(matcher *m, sm_str s, size_t from, bool *found, sm_error *e)
{
    SM_ASSERT(m->re != NULL && from <= s.len); /* matcher_row() was called */
    const uint32_t flags = PCRE2_NO_UTF_CHECK; /* text is valid: column.h */
    const PCRE2_SPTR text = (PCRE2_SPTR)(s.data ? s.data : "");
    int n = PCRE2_ERROR_JIT_STACKLIMIT;
    if (m->n_looked++ % LOOK_MATCHES == 0) {
        SM_TRY(sm_batch_check_cancel(m->call->into, e));
    }
    if (m->re->is_native) {
        n = pcre2_jit_match(m->re->code, text, s.len, from, flags, m->data, m->limits);
    }
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) { /* the interpreter's memory is larger */
        n = pcre2_match(m->re->code, text, s.len, from, flags | PCRE2_NO_JIT, m->data, m->limits);
    }
    *found = n >= 0;
    return n >= 0 || n == PCRE2_ERROR_NOMATCH ? SM_OK : fail_limit(m, s, n, e);
}

/* Group n of the last match; empty where it did not match or the pattern has no such group. */
static sm_str group_of(const matcher *m, sm_str s, uint32_t n)
{
    const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(m->data);
    if (n > m->re->n_groups || v[2 * n] == PCRE2_UNSET || v[2 * n + 1] < v[2 * n]) {
        return SM_STR("");
    }
    return (sm_str){s.data + v[2 * n], v[2 * n + 1] - v[2 * n]};
}

/* ---- testing and extracting ------------------------------------------------------------------ */

static sm_status test_by_class(const sm_fn_call *call, const smi_regex_class *c, sm_column *out,
                               sm_error *e)
{
    smi_pace pace = {.into = call->into};

    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[0], i);
        SM_TRY(smi_pace_on(&pace, s.len, e));
        if (smi_regex_class_fits(c, s)) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

static sm_status test_rows(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const regex *const prepared = call->expr->prepared;
    matcher m;
    sm_status st = SM_OK;
    if (prepared && prepared->is_class) {
        return test_by_class(call, &prepared->class, out, e);
    }
    matcher_init(&m, call);
    for (int64_t i = 0; i < call->n_rows; i++) {
        bool found = false;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY_GOTO(st, done, matcher_row(&m, i, e));
        SM_TRY_GOTO(st, done, match_text(&m, smi_str_at(&call->args[0], i), 0, &found, e));
        if (found) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
done:
    matcher_release(&m);
    return st;
}

sm_status fn_regexp_matches(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_rows(call, out, e);
}
sm_status fn_regexp_full_match(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return test_rows(call, out, e);
}

static sm_status extract_row(matcher *m, int64_t i, sm_column *out, sm_error *e)
{
    const sm_fn_call *const call = m->call;
    const sm_str s = smi_str_at(&call->args[0], i);
    const int64_t group = call->n_args >= 3 ? smi_i64_at(&call->args[2], i) : 0;
    bool found = false;
    if (group < 0 || group > 9) {
        return smi_expr_fail(call->expr, e, SM_RANGE, "group %lld: groups are 0 to 9",
                             (long long)group);
    }
    SM_TRY(matcher_row(m, i, e));
    SM_TRY(match_text(m, s, 0, &found, e));
    smi_text_part(out, i, &call->args[0], found ? group_of(m, s, (uint32_t)group) : SM_STR(""));
    return SM_OK;
}

sm_status fn_regexp_extract(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    matcher m;
    sm_status st = SM_OK;
    smi_text_share(out, &call->args[0]);
    matcher_init(&m, call);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        if (smi_valid(out, i)) {
            st = extract_row(&m, i, out, e);
        }
    }
    matcher_release(&m);
    return st;
}

/* ---- replacing ------------------------------------------------------------------------------ */

static sm_status add_replacement(const matcher *m, sm_str s, sm_str by, sm_buf *out, sm_error *e)
{
    for (size_t k = 0; k < by.len; k++) {
        if (by.data[k] != '\\') {
            SM_TRY(sm_buf_add(out, by.data + k, 1, e));
            continue;
        }
        SM_ASSERT(k + 1 < by.len); /* check_replacement() saw that there is one */
        const char next = by.data[++k];
        const sm_str part = next == '\\' ? SM_STR("\\") : group_of(m, s, (uint32_t)(next - '0'));
        SM_TRY(sm_buf_add(out, part.data, part.len, e));
    }
    return SM_OK;
}

static size_t next_char(sm_str s, size_t at)
{
    at++;
    while (at < s.len && ((uint8_t)s.data[at] & 0xc0) == 0x80) {
        at++;
    }
    return at;
}

/* Replaces the first match, or all. An empty match right behind another match is ignored. */
static sm_status replace_row(matcher *m, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&m->call->args[0], i);
    const sm_str by = smi_str_at(&m->call->args[m->args.replacement], i);
    size_t from = 0, copied = 0, last_end = SIZE_MAX;
    while (from <= s.len) {
        bool found = false;
        SM_TRY(match_text(m, s, from, &found, e));
        if (!found) {
            break;
        }
        const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(m->data);
        const size_t start = v[0] < copied ? copied : v[0], end = v[1] < start ? start : v[1];
        if (end > start || start != last_end) {
            SM_TRY(sm_buf_add(out, s.data + copied, start - copied, e));
            SM_TRY(add_replacement(m, s, by, out, e));
            copied = end;
            last_end = end;
        }
        if (!m->re->all) {
            break;
        }
        from = end > start ? end : next_char(s, end);
    }
    return sm_buf_add(out, s.data + copied, s.len - copied, e);
}

sm_status fn_regexp_replace(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    matcher m;
    smi_text_out text;
    sm_buf one = {.max_bytes = INT32_MAX - 64};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, call->into);
    matcher_init(&m, call);
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        sm_buf_reset(&one);
        SM_TRY_GOTO(st, done, matcher_row(&m, i, e));
        SM_TRY_GOTO(st, done, replace_row(&m, i, &one, e));
        SM_TRY_GOTO(st, done, smi_text_put(&text, i, sm_buf_str(&one), e));
    }
done:
    smi_text_end(&text);
    sm_buf_release(&one);
    matcher_release(&m);
    return st;
}
