/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_options.c: options from the command line into a command's struct, by its table; and the
 * help text, from the same table. Called by main.c. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
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

static sm_status fail_option(const smi_command *c, sm_str word, sm_error *e)
{
    sm_str names[64];
    int n = 0;

    for (const smi_opt *o = c->options; o->name && n < SM_COUNT(names); o++) {
        names[n++] = (sm_str){o->name, strcspn(o->name, " ")};
    }
    for (const smi_opt *o = global_options; o->name && n < SM_COUNT(names); o++) {
        names[n++] = (sm_str){o->name, strcspn(o->name, " ")};
    }
    const sm_status st = sm_fail(e, SM_USAGE, "no option \"%.*s\"", SM_STR_ARG(word));
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
                   : sm_fail(e, SM_USAGE, "%.*s \"%s\" is no %s", (int)strcspn(o->name, " "),
                             o->name, value, o->type == SMI_OPT_SIZE ? "size" : "number");
}

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
            return fail_option(c, word, e);
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

static void print_options(const smi_opt *table)
{
    for (const smi_opt *o = table; o->name; o++) {
        char left[64];
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

sm_status smi_options_pairs(smi_cli *cli, const char *option, const smi_list *given, sm_pair **out,
                            sm_error *e)
{
    sm_pair *pairs = SM_NEW_ARRAY(cli->arena, sm_pair, given->n + 1);

    for (int32_t i = 0; i < given->n; i++) {
        const char *word = given->items[i], *equals = strchr(word, '=');
        if (!equals) {
            return sm_fail(e, SM_USAGE, "%s %s: not of the form K=V", option, word);
        }
        pairs[i].key = (sm_str){word, (size_t)(equals - word)};
        pairs[i].value = sm_str_of(equals + 1);
    }
    *out = pairs;
    return SM_OK;
}
