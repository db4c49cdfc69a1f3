/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_options.c: reads the words of the command line into a command's options struct, as the
 * table of the command says, and prints the help from the same table. Called by main.c.
 *
 * A table is written by hand next to its struct, so what the compiler cannot see (an offset of
 * another struct, a name that is there twice) is asserted before the table is used. */
#include <stdio.h>
#include <stdlib.h>

#include "base/quote.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

static const smi_opt global_options[] = {
    {"--memory-limit", SMI_OPT_SIZE, "SIZE",
     "most memory to use, such as 512MB (default: SMELT_MEMORY_LIMIT, or half of the memory)",
     offsetof(smi_globals, memory_limit)},
    {"--spill-dir", SMI_OPT_TEXT, "DIR",
     "folder for what does not fit in memory (default: SMELT_SPILL_DIR, TMPDIR or /tmp)",
     offsetof(smi_globals, spill_dir)},
    {"--threads", SMI_OPT_I64, "N", "worker threads (default: SMELT_THREADS, or one per core)",
     offsetof(smi_globals, threads)},
    {"--quiet -q", SMI_OPT_FLAG, NULL, "no progress and no summary, only warnings and errors",
     offsetof(smi_globals, quiet)},
    {"--json", SMI_OPT_FLAG, NULL, "print the answer, or the error, as JSON",
     offsetof(smi_globals, json)},
    {"--help -h", SMI_OPT_FLAG, NULL, "print this help", offsetof(smi_globals, help)},
    {0},
};

/* ---- tables that are right ------------------------------------------------------------------- */

/* What an option writes into the struct. */
static const struct {
    size_t bytes, align;
} values[] = {
    [SMI_OPT_FLAG] = {sizeof(bool), _Alignof(bool)},
    [SMI_OPT_TEXT] = {sizeof(const char *), _Alignof(const char *)},
    [SMI_OPT_I64] = {sizeof(int64_t), _Alignof(int64_t)},
    [SMI_OPT_F64] = {sizeof(double), _Alignof(double)},
    [SMI_OPT_SIZE] = {sizeof(size_t), _Alignof(size_t)},
    [SMI_OPT_LIST] = {sizeof(smi_list), _Alignof(smi_list)},
};
_Static_assert(SM_COUNT(values) == SMI_OPT_LIST + 1, "each type of option has its size");

static void assert_name(const char *name)
{
    const char *space = strchr(name, ' ');

    SM_ASSERT(strncmp(name, "--", 2) == 0 && name[2] >= 'a' && name[2] <= 'z');
    SM_ASSERT(!space || (space[1] == '-' && !strchr(space + 1, ' ')));
    SM_ASSERT(!space || space[2] == '-' || strlen(space) == 3);
    SM_ASSERT(!strchr(name, '=')); /* find_option() is asked for what stands before it */
}

/* Asserts that each row of a table fits the struct of `bytes` bytes that it is read into. */
static void assert_options(const smi_opt *table, size_t bytes)
{
    for (const smi_opt *o = table; o->name; o++) {
        assert_name(o->name);
        SM_ASSERT((int)o->type >= 0 && (int)o->type < SM_COUNT(values));
        SM_ASSERT((o->arg == NULL) == (o->type == SMI_OPT_FLAG)); /* a flag has no value */
        SM_ASSERT(o->help && o->help[0] != '\0' && !strchr(o->help, '\n'));
        SM_ASSERT(o->offset % values[o->type].align == 0);
        SM_ASSERT(o->offset + values[o->type].bytes <= bytes);
        for (const smi_opt *other = table; other < o; other++) {
            SM_ASSERT(other->offset + values[other->type].bytes <= o->offset ||
                      o->offset + values[o->type].bytes <= other->offset);
        }
    }
}

static const smi_opt *find_option(const smi_opt *table, sm_str word);

/* Asserts what main.c and this file take for granted of a command. */
static void assert_command(const smi_command *c)
{
    const size_t len = strlen(c->details);

    assert_options(c->options, c->opts_bytes);
    assert_options(global_options, sizeof(smi_globals));
    for (const smi_opt *o = c->options; o->name; o++) {
        const sm_str name = {o->name, strcspn(o->name, " ")};
        SM_ASSERT(find_option(c->options, name) == o); /* no other row before it takes its name */
        SM_ASSERT(!find_option(global_options, name)); /* it would hide that one */
        (void)name;
    }
    SM_ASSERT(c->opts_bytes > 0 && c->min_args >= 0 && c->min_args <= c->max_args);
    SM_ASSERT(len == 0 || c->details[len - 1] == '\n');
    (void)len;
}

/* ---- words into the struct ------------------------------------------------------------------- */

/* Is `word` (without "=value") this option, in its long or its short form? */
static bool names_option(const smi_opt *o, sm_str word)
{
    const char *space = strchr(o->name, ' ');
    const size_t long_len = space ? (size_t)(space - o->name) : strlen(o->name);

    return sm_str_eq(word, (sm_str){o->name, long_len}) ||
           (space && sm_str_eq(word, sm_str_of(space + 1)));
}

static const smi_opt *find_option(const smi_opt *table, sm_str word)
{
    for (const smi_opt *o = table; o->name; o++) {
        if (names_option(o, word)) {
            return o;
        }
    }
    return NULL;
}

static sm_status fail_no_option(const smi_command *c, sm_str word, sm_error *e)
{
    sm_str names[64];
    int n = 0;

    for (const smi_opt *o = c->options; o->name; o++) {
        const char *second = strstr(o->name, " --"); /* a second long form */
        SM_ENSURE(n + 1 < SM_COUNT(names));
        names[n++] = (sm_str){o->name, strcspn(o->name, " ")};
        if (second) {
            names[n++] = sm_str_of(second + 1);
        }
    }
    for (const smi_opt *o = global_options; o->name; o++) {
        SM_ENSURE(n < SM_COUNT(names));
        names[n++] = (sm_str){o->name, strcspn(o->name, " ")};
    }
    const sm_status st =
        sm_fail(e, SM_USAGE, "%s has no option \"%.*s\"", c->name, SM_STR_ARG(word));
    const char *near = sm_nearest_name(word, names, n);
    if (near) {
        sm_error_todo(e, "Did you mean %.*s?", (int)strcspn(near, " "), near);
    } else {
        sm_error_todo(e, "`smelt %s --help` lists the options.", c->name);
    }
    return st;
}

static sm_status set_option(const smi_opt *o, void *base, const char *value, sm_arena *a,
                            sm_error *e)
{
    void *to = (char *)base + o->offset;
    bool is_good = true;

    switch (o->type) {
    case SMI_OPT_FLAG:
        *(bool *)to = true;
        break;
    case SMI_OPT_TEXT:
        *(const char **)to = value;
        break;
    case SMI_OPT_I64:
        is_good = sm_parse_i64(sm_str_of(value), to);
        break;
    case SMI_OPT_F64:
        is_good = sm_parse_f64(sm_str_of(value), false, to);
        break;
    case SMI_OPT_SIZE:
        is_good = sm_parse_size(sm_str_of(value), to);
        break;
    case SMI_OPT_LIST: {
        smi_list *list = to;
        const char **items = SM_NEW_ARRAY(a, const char *, list->n + 1);
        if (list->n) {
            memcpy(items, list->items, (size_t)list->n * sizeof(*items));
        }
        items[list->n++] = value;
        list->items = items;
        break;
    }
    }
    return is_good ? SM_OK
                   : sm_fail(e, SM_USAGE, "%.*s \"%s\" is not %s", (int)strcspn(o->name, " "),
                             o->name, value,
                             o->type == SMI_OPT_SIZE  ? "a size, like 512MB"
                             : o->type == SMI_OPT_I64 ? "a whole number"
                                                      : "a number");
}

/* 0 is a number that a user may give, so those that are not given must be something else. */
static void forget_numbers(const smi_opt *table, void *base)
{
    for (const smi_opt *o = table; o->name; o++) {
        if (o->type == SMI_OPT_I64) {
            *(int64_t *)(void *)((char *)base + o->offset) = SMI_NOT_GIVEN;
        }
    }
}

bool smi_options_ask_json(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

sm_status smi_options_parse(const smi_command *c, int argc, char **argv, void *opts,
                            smi_globals *globals, int *n_args, sm_arena *a, sm_error *e)
{
    bool only_args = false;

    assert_command(c);
    *n_args = 0;
    forget_numbers(c->options, opts);
    forget_numbers(global_options, globals);
    for (int i = 0; i < argc; i++) {
        if (only_args || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[(*n_args)++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_args = true;
            continue;
        }
        const char *equals = strchr(argv[i], '=');
        const sm_str word = {argv[i], equals ? (size_t)(equals - argv[i]) : strlen(argv[i])};
        void *base = opts;
        const smi_opt *o = find_option(c->options, word);
        if (!o) {
            o = find_option(global_options, word);
            base = globals;
        }
        if (!o) {
            return fail_no_option(c, word, e);
        }
        const char *value = equals ? equals + 1 : NULL;
        if (o->type == SMI_OPT_FLAG && value) {
            return sm_fail(e, SM_USAGE, "%.*s takes no value", SM_STR_ARG(word));
        }
        if (o->type != SMI_OPT_FLAG && !value) {
            if (++i == argc) {
                return sm_fail(e, SM_USAGE, "%.*s needs a value: %s", SM_STR_ARG(word), o->arg);
            }
            value = argv[i];
        }
        SM_TRY(set_option(o, base, value, a, e));
    }
    if (!globals->help && (*n_args < c->min_args || *n_args > c->max_args)) {
        const sm_status st =
            sm_fail(e, SM_USAGE,
                    *n_args < c->min_args ? "%s: an argument is missing" : "%s: too many arguments",
                    c->name);
        sm_error_todo(e, "usage: smelt %s %s", c->name, c->usage);
        return st;
    }
    return SM_OK;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_options(const smi_opt *table)
{
    for (const smi_opt *o = table; o->name; o++) {
        char left[64];
        SM_ASSERT(strlen(o->name) + 1 + strlen(o->arg ? o->arg : "") < sizeof(left));
        snprintf(left, sizeof(left), "%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        printf("  %-24s %s\n", left, o->help);
    }
}

void smi_print_help(const smi_command *c)
{
    printf("smelt %s: %s\n\nusage: smelt %s %s\n", c->name, c->summary, c->name, c->usage);
    if (c->details[0]) {
        printf("\n%s", c->details);
    }
    if (c->options[0].name) {
        puts("\nOptions");
        print_options(c->options);
    }
    puts("\nFor every command");
    print_options(global_options);
}

/* ---- K=V ------------------------------------------------------------------------------------- */

sm_status smi_options_pairs(smi_cli *cli, const char *option, const smi_list *given, sm_pair **out,
                            sm_error *e)
{
    sm_pair *pairs = SM_NEW_ARRAY(cli->arena, sm_pair, given->n + 1);

    for (int32_t i = 0; i < given->n; i++) {
        const char *word = given->items[i], *equals = strchr(word, '=');
        if (!equals) {
            return sm_fail(e, SM_USAGE, "%s \"%s\" is not of the form K=V", option, word);
        }
        pairs[i].key = (sm_str){word, (size_t)(equals - word)};
        pairs[i].value = sm_str_of(equals + 1);
    }
    *out = pairs;
    return SM_OK;
}

/* ---- A,B ------------------------------------------------------------------------------------- */

/* The name at the start of `text`, without its quotes, and how many bytes it takes there. */
static sm_status take_name(smi_cli *cli, const char *option, const char *text, sm_str *out,
                           size_t *used, sm_error *e)
{
    const size_t all = strlen(text);

    if (text[0] != '"') {
        *used = strcspn(text, ",");
        *out = (sm_str){text, *used};
        return SM_OK;
    }
    char *name = sm_arena_alloc(cli->arena, all);
    *used = sm_quoted_read((sm_str){text, all}, name, &out->len);
    out->data = name;
    if (*used > 0 && (*used == all || text[*used] == ',')) {
        return SM_OK;
    }
    const sm_status st =
        *used == 0 ? sm_fail(e, SM_USAGE, "%s: a quote is not closed: %s", option, text)
                   : sm_fail(e, SM_USAGE, "%s: no comma after the quote that closes a name: %s",
                             option, text);
    sm_error_todo(e, "A quote in a name is written twice: %s '\"a \"\"b\"\", c\",d'.", option);
    return st;
}

sm_status smi_options_names(smi_cli *cli, const char *option, const char *text, sm_str **out,
                            int32_t *n, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(cli->arena, sm_str, (int64_t)strlen(text) + 1);
    int32_t found = 0;

    for (const char *at = text; at;) {
        size_t used = 0;
        SM_TRY(take_name(cli, option, at, &names[found], &used, e));
        if (names[found++].len == 0) {
            const sm_status st = sm_fail(e, SM_USAGE, "%s \"%s\" has an empty name", option, text);
            sm_error_todo(e, "Write the columns with a comma between: %s day,name.", option);
            return st;
        }
        SM_ASSERT(at[used] == ',' || at[used] == '\0');
        at = at[used] ? at + used + 1 : NULL;
    }
    SM_ASSERT(found > 0);
    *out = names;
    *n = found;
    return SM_OK;
}

/* ---- times ----------------------------------------------------------------------------------- */

#define DAY_US INT64_C(86400000000)

sm_status smi_options_day(const char *date, int64_t *start_us, int64_t *end_us, sm_error *e)
{
    sm_when when;
    int32_t day = 0;
    bool is_good = true;

    *start_us = sm_now_us() / DAY_US * DAY_US;
    if (date && sm_parse_date(sm_str_of(date), &day)) {
        *start_us = day * DAY_US;
    } else if (date) {
        is_good = sm_parse_when(sm_str_of(date), &when) && when.has_date && when.has_clock &&
                  when.infinite == 0 && !when.is_cut && sm_when_timestamp(&when, true, start_us);
    }
    if (!is_good || __builtin_add_overflow(*start_us, DAY_US, end_us)) {
        return sm_fail(e, SM_USAGE,
                       "--date \"%s\" is not a date, like 2022-04-30, or a date and a time, like "
                       "2022-04-30T06:00",
                       date);
    }
    return SM_OK;
}
