/* SPDX-License-Identifier: Apache-2.0
 *
 * query/fn_regex.c: regular expressions by PCRE2. A constant pattern is compiled when the call is
 * bound and lives as long as the plan's arena (its memory is the arena's); any other is compiled
 * row by row. Backtracking is bounded by MATCH_STEPS and depth: what needs more is an error, never
 * a run that does not end. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "query/query_int.h"

#include <pcre2.h>

/* PCRE2's own default is 10 M steps; a million is about 10 ms a row. */
#define MATCH_STEPS    1000000
#define MATCH_DEPTH    10000
#define MATCH_HEAP_KIB 16384

typedef struct regex {
    pcre2_code *code;
    bool all; /* option g */
} regex;

/* ---- memory ---------------------------------------------------------------------------------- */

static void *arena_malloc(size_t n, void *arena)
{
    return sm_arena_alloc(arena, n);
}
static void arena_free(void *p, void *arena)
{
}
static void *plain_malloc(size_t n, void *unused)
{
    return sm_alloc(n);
}
static void plain_free(void *p, void *unused)
{
    sm_free(p);
}

/* ---- compiling ------------------------------------------------------------------------------- */

static int options_arg(const sm_function *fn)
{
    return strcmp(fn->name, "regexp_replace") == 0   ? 3
           : strcmp(fn->name, "regexp_extract") == 0 ? -1
                                                     : 2;
}

static bool read_options(sm_str s, uint32_t *flags, bool *all)
{
    *flags = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C;
    *all = false;
    for (size_t i = 0; i < s.len; i++) {
        switch (s.data[i]) {
        case 'i':
            *flags |= PCRE2_CASELESS;
            break;
        case 'c':
            *flags &= ~(uint32_t)PCRE2_CASELESS;
            break;
        case 's':
            *flags |= PCRE2_DOTALL;
            break;
        case 'm':
        case 'n':
            *flags |= PCRE2_MULTILINE;
            break;
        case 'g':
            *all = true;
            break;
        default:
            return false;
        }
    }
    return true;
}

static sm_status compile(sm_str pattern, sm_str options, bool whole, pcre2_general_context *memory,
                         regex *out, sm_error *e)
{
    uint32_t flags = 0;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (!read_options(options, &flags, &out->all)) {
        sm_fail(e, SM_INVALID, "regular expression options \"%.*s\"", SM_STR_ARG(options));
        sm_error_todo(e, "Options are i, c, s, m and g.");
        return SM_INVALID;
    }
    flags |= whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    pcre2_compile_context *const context = pcre2_compile_context_create(memory);
    out->code = pcre2_compile((PCRE2_SPTR)(pattern.data ? pattern.data : ""), pattern.len, flags,
                              &code, &at, context);
    pcre2_compile_context_free(context);
    if (!out->code) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof(why));
        return sm_fail(e, SM_INVALID, "regular expression \"%.*s\": %s at byte %zu",
                       (int)(pattern.len > 60 ? 60 : pattern.len), pattern.data, (const char *)why,
                       (size_t)at + 1);
    }
    return SM_OK;
}

static bool is_whole(const sm_function *fn)
{
    return strcmp(fn->name, "regexp_full_match") == 0;
}

const void *smi_prepare_regex(const sm_expr *call, sm_arena *a, sm_error *e)
{
    const int at = options_arg(call->fn);
    const bool has_options = at >= 0 && call->n_args > at;
    const sm_expr *const pattern = call->args[1];
    if (pattern->kind != SM_EXPR_CONST || pattern->value.is_null ||
        (has_options && (call->args[at]->kind != SM_EXPR_CONST || call->args[at]->value.is_null))) {
        return NULL;
    }
    const sm_str options = has_options ? call->args[at]->value.as.s : SM_STR("");
    regex *const re = SM_NEW(a, regex);
    pcre2_general_context *const memory = pcre2_general_context_create(arena_malloc, arena_free, a);
    const sm_status st = compile(pattern->value.as.s, options, is_whole(call->fn), memory, re, e);
    return st == SM_OK ? re : NULL;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* One call's rows: the pattern, compiled once or for each row, and PCRE2's scratch. */
typedef struct matcher {
    const sm_fn_call *call;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_match_data *data; /* made for the pattern at hand */
    regex own;              /* compiled for the row; code NULL where the pattern is constant */
    const regex *re;
} matcher;

static sm_status matcher_init(matcher *m, const sm_fn_call *call)
{
    *m = (matcher){.call = call, .re = call->expr->prepared};
    m->memory = pcre2_general_context_create(plain_malloc, plain_free, NULL);
    m->limits = pcre2_match_context_create(m->memory);
    pcre2_set_match_limit(m->limits, MATCH_STEPS);
    pcre2_set_depth_limit(m->limits, MATCH_DEPTH);
    pcre2_set_heap_limit(m->limits, MATCH_HEAP_KIB);
    m->data = m->re ? pcre2_match_data_create_from_pattern(m->re->code, m->memory) : NULL;
    return SM_OK;
}

static void matcher_release(matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_code_free(m->own.code);
    pcre2_match_context_free(m->limits);
    pcre2_general_context_free(m->memory);
}

/* Sees to it that the pattern of row i is compiled. */
static sm_status matcher_row(matcher *m, int64_t i, sm_error *e)
{
    const sm_fn_call *const call = m->call;
    const int at = options_arg(call->expr->fn);
    if (call->expr->prepared) {
        return SM_OK;
    }
    const sm_str options =
        at >= 0 && call->n_args > at ? smi_str_at(&call->args[at], i) : SM_STR("");
    pcre2_match_data_free(m->data);
    pcre2_code_free(m->own.code);
    m->data = NULL;
    m->own = (regex){0};
    const sm_status st = compile(smi_str_at(&call->args[1], i), options, is_whole(call->expr->fn),
                                 m->memory, &m->own, e);
    if (st != SM_OK) {
        return smi_expr_place(call->expr, e, st);
    }
    m->re = &m->own;
    m->data = pcre2_match_data_create_from_pattern(m->own.code, m->memory);
    return SM_OK;
}

/* Matches s from byte `from`; *n_groups 0: no match. */
static sm_status match(matcher *m, sm_str s, size_t from, uint32_t flags, int *n_groups,
                       sm_error *e)
{
    const int rc = pcre2_match(m->re->code, (PCRE2_SPTR)(s.data ? s.data : ""), s.len, from,
                               flags | PCRE2_NO_UTF_CHECK, m->data, m->limits);
    *n_groups = rc > 0 ? rc : 0;
    if (rc > 0 || rc == PCRE2_ERROR_NOMATCH) {
        return SM_OK;
    }
    PCRE2_UCHAR why[128];
    pcre2_get_error_message(rc, why, sizeof(why));
    smi_expr_fail(m->call->expr, e, SM_LIMIT, "regular expression takes too long on \"%.*s\": %s",
                  (int)(s.len > 40 ? 40 : s.len), s.data, (const char *)why);
    sm_error_todo(e, "Write it without nested repetition such as (a*)*.");
    return SM_LIMIT;
}

static sm_status test_rows(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    matcher m;
    sm_status st = matcher_init(&m, call);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        int n = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY_GOTO(st, done, matcher_row(&m, i, e));
        SM_TRY_GOTO(st, done, match(&m, smi_str_at(&call->args[0], i), 0, 0, &n, e));
        if (n > 0) {
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

/* ---- extracting and replacing ---------------------------------------------------------------- */

static sm_str group_of(const matcher *m, sm_str s, int64_t group, int n_groups)
{
    const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(m->data);
    if (group >= n_groups || v[2 * group] == PCRE2_UNSET) {
        return SM_STR("");
    }
    return (sm_str){s.data + v[2 * group], v[2 * group + 1] - v[2 * group]};
}

static sm_status extract_row(matcher *m, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_fn_call *const call = m->call;
    const sm_str s = smi_str_at(&call->args[0], i);
    const int64_t group = call->n_args == 3 ? smi_i64_at(&call->args[2], i) : 0;
    int n = 0;
    if (group < 0 || group > 9) {
        return smi_expr_fail(call->expr, e, SM_RANGE, "group %lld: groups are 0 to 9",
                             (long long)group);
    }
    SM_TRY(match(m, s, 0, 0, &n, e));
    const sm_str part = n > 0 ? group_of(m, s, group, n) : SM_STR("");
    return sm_buf_add(out, part.data, part.len, e);
}

/* \0 … \9 are groups, \\ is a backslash. */
static sm_status add_replacement(const matcher *m, sm_str s, sm_str by, int n, sm_buf *out,
                                 sm_error *e)
{
    for (size_t k = 0; k < by.len; k++) {
        const char next = k + 1 < by.len ? by.data[k + 1] : 0;
        if (by.data[k] == '\\' && next >= '0' && next <= '9') {
            const sm_str part = group_of(m, s, next - '0', n);
            SM_TRY(sm_buf_add(out, part.data, part.len, e));
            k++;
        } else {
            k += by.data[k] == '\\' && next == '\\';
            SM_TRY(sm_buf_add(out, by.data + k, 1, e));
        }
    }
    return SM_OK;
}

static sm_status replace_row(matcher *m, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_str s = smi_str_at(&m->call->args[0], i), by = smi_str_at(&m->call->args[2], i);
    size_t from = 0, copied = 0;
    while (from <= s.len) {
        int n = 0;
        SM_TRY(match(m, s, from, 0, &n, e));
        if (n == 0) {
            break;
        }
        const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(m->data);
        const size_t start = v[0], end = v[1];
        SM_TRY(sm_buf_add(out, s.data + copied, start - copied, e));
        SM_TRY(add_replacement(m, s, by, n, out, e));
        copied = end;
        from = end;
        if (end == start) { /* an empty match: on by one character, which is kept */
            from++;
            while (from < s.len && ((uint8_t)s.data[from] & 0xc0) == 0x80) {
                from++;
            }
        }
        if (!m->re->all) {
            break;
        }
    }
    return copied < s.len ? sm_buf_add(out, s.data + copied, s.len - copied, e) : SM_OK;
}

typedef sm_status (*row_fn)(matcher *m, int64_t i, sm_buf *out, sm_error *e);

static sm_status text_rows(const sm_fn_call *call, row_fn row, sm_column *out, sm_error *e)
{
    matcher m;
    smi_text_out text;
    sm_buf one = {0};
    sm_status st = matcher_init(&m, call);
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        sm_buf_reset(&one);
        SM_TRY_GOTO(st, done, matcher_row(&m, i, e));
        SM_TRY_GOTO(st, done, row(&m, i, &one, e));
        SM_TRY_GOTO(st, done, smi_text_put(&text, i, sm_buf_str(&one), e));
    }
done:
    smi_text_end(&text);
    sm_buf_release(&one);
    matcher_release(&m);
    return st;
}

sm_status fn_regexp_extract(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return text_rows(call, extract_row, out, e);
}
sm_status fn_regexp_replace(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return text_rows(call, replace_row, out, e);
}
