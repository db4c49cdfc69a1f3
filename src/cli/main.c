/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/main.c: the program's entry. Finds the command by the first word, reads its options, runs it,
 * prints its error, and returns the exit code of its status. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_int.h"

#define SM_COMMAND(name) extern const smi_command smi_command_##name;
#include "cli/commands.def"
#undef SM_COMMAND

const smi_command *const smi_commands[] = {
#define SM_COMMAND(name) &smi_command_##name,
#include "cli/commands.def"
#undef SM_COMMAND
    NULL,
};

static void print_overview(FILE *to)
{
    fprintf(to, "smelt %s: raw JSON logs to validated Delta tables\n\nusage: smelt COMMAND ...\n\n",
            SMELT_VERSION);
    for (int i = 0; smi_commands[i]; i++) {
        fprintf(to, "  %-10s %s\n", smi_commands[i]->name, smi_commands[i]->summary);
    }
    fputs("\n`smelt COMMAND --help` says more. `smelt --version` prints the version.\n", to);
}

static const smi_command *find_command(const char *name, sm_error *e)
{
    sm_str names[64];
    int n = 0;

    for (; smi_commands[n]; n++) {
        if (strcmp(smi_commands[n]->name, name) == 0) {
            return smi_commands[n];
        }
        SM_ENSURE(n < SM_COUNT(names));
        names[n] = sm_str_of(smi_commands[n]->name);
    }
    const sm_status st = sm_fail(e, SM_USAGE, "no command \"%s\"", name);
    const char *near = sm_nearest_name(sm_str_of(name), names, n);
    SM_ASSERT(n == SM_COUNT(smi_commands) - 1);
    if (st != SM_OK && near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    } else {
        sm_error_todo(e, "`smelt --help` lists the commands.");
    }
    return NULL;
}

static int print_error(const sm_error *e)
{
    char text[4096];

    SM_ASSERT(!sm_status_is_answer(e->status)); /* whoever failed has said why */
    SM_ASSERT(sm_status_exit(e->status) != 0);
    sm_error_format(e, text, sizeof(text));
    fflush(stdout);
    fputs(text, stderr);
    return sm_status_exit(e->status);
}

/* Prints the failure as JSON on stdout; print_error() prints it for people on stderr too. */
static void print_failure(const smi_command *c, const sm_error *e)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    if (c && c->print_failure) {
        c->print_failure(e);
        return;
    }
    sm_json_begin_object(&w);
    sm_json_set_error(&w, e);
    sm_json_end_object(&w);
    smi_answer_print(NULL, &w);
}

static sm_status run_command(const smi_command *c, int argc, char **argv, sm_error *e)
{
    smi_cli cli = {.arena = sm_arena_new(NULL)};
    void *opts = sm_arena_alloc(cli.arena, c->opts_bytes);
    int n_args = 0;

    sm_status st = smi_options_parse(c, argc, argv, opts, &cli.globals, &n_args, cli.arena, e);
    if (st == SM_OK && cli.globals.help) {
        smi_print_help(c);
    } else if (st == SM_OK) {
        st = smi_cli_open(&cli, e);
        if (st == SM_OK) {
            st = c->run(&cli, opts, argv, n_args, e);
        }
        smi_progress_stop(&cli);
    } else {
        cli.globals.json = smi_options_ask_json(argc, argv);
    }
    if (st != SM_OK && cli.globals.json && !cli.has_answered) {
        print_failure(c, e);
    }
    smi_cli_close(&cli);
    sm_arena_free(cli.arena);
    return st;
}

/* Output that could not be written is a failure too: a full disk, a closed pipe. Flushes it. */
static sm_status flush_stdout(sm_error *e)
{
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return sm_fail_errno(e, errno ? errno : EIO, "could not write the result to stdout");
    }
    return SM_OK;
}

/* Where stdin, stdout or stderr is closed, the next file that is opened would get its number, and
 * what is printed would go into that file. So each closed one is opened such that its use fails. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

/* Prints what --version, --help and help ask for; false for any other word. */
static bool print_about(const char *word)
{
    if (strcmp(word, "--version") == 0) {
        puts("smelt " SMELT_VERSION);
        return true;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_overview(stdout);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    sm_error e = {0};

    hold_standard_streams();
    sm_memory_tune();
    if (argc < 2) {
        print_overview(stderr);
        return sm_status_exit(SM_USAGE);
    }
    if (print_about(argv[1])) {
        return flush_stdout(&e) == SM_OK ? 0 : print_error(&e);
    }
    const smi_command *c = find_command(argv[1], &e);
    if (!c) {
        if (smi_options_ask_json(argc - 2, argv + 2)) {
            print_failure(NULL, &e);
        }
        return print_error(&e);
    }
    sm_status st = run_command(c, argc - 2, argv + 2, &e);
    if (st == SM_OK) {
        st = flush_stdout(&e);
    }
    return st == SM_OK ? 0 : print_error(&e);
}
