/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_input.c: reads the text of a query from a file or from stdin. Called by cli_query.c.
 *
 * Stdin is read by system calls: the C library would ask a terminal for a second Ctrl-D, and would
 * go on reading after Ctrl-C. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli_int.h"

#define MAX_TEXT_BYTES ((size_t)1 << 30)
#define STEP_BYTES     ((size_t)64 << 10)
/* How long a Ctrl-C may go unseen that comes just before a wait; one during a wait ends it. */
#define LOOK_EVERY_MS 100

/* Waits until there is something to read, or the end. */
static sm_status wait_for_stdin(const smi_cli *cli, sm_error *e)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    for (;;) {
        if (sm_cancel_is_set(cli->env.cancel)) {
            return sm_fail(e, SM_INTERRUPTED, "interrupted");
        }
        const int n = poll(&in, 1, LOOK_EVERY_MS);
        if (n > 0) {
            return SM_OK;
        }
        if (n < 0 && errno != EINTR) {
            return sm_fail_errno(e, errno, "could not read the query from stdin");
        }
    }
}

static sm_status read_stdin(const smi_cli *cli, sm_buf *text, sm_error *e)
{
    if (isatty(STDIN_FILENO) && !cli->globals.quiet) {
        fputs("Type a query, then Ctrl-D on a line of its own; Ctrl-C ends without it.\n", stderr);
    }
    for (;;) {
        SM_TRY(sm_buf_reserve(text, STEP_BYTES, e));
        SM_TRY(wait_for_stdin(cli, e));
        SM_ASSERT(text->cap - text->len >= STEP_BYTES);
        const ssize_t n = read(STDIN_FILENO, text->data + text->len, STEP_BYTES);
        if (n == 0) {
            return SM_OK;
        }
        if (n > 0) {
            text->len += (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            return sm_fail_errno(e, errno, "could not read the query from stdin");
        }
    }
}

_Static_assert(STEP_BYTES < MAX_TEXT_BYTES, "a text may be as long as one step at least");

static sm_status read_file(sm_stores *stores, const char *path, sm_buf *text, sm_error *e)
{
    sm_str folder, name;
    sm_store *store = NULL;

    sm_uri_split(sm_str_of(path), &folder, &name);
    SM_TRY(sm_store_open(stores, folder, &store, e));
    const sm_status st = sm_store_get(store, name, text, e);
    sm_store_release(store);
    return st;
}

sm_status smi_read_text(smi_cli *cli, const char *path, sm_str *out, sm_error *e)
{
    sm_buf text = {.max_bytes = MAX_TEXT_BYTES};

    const sm_status st = strcmp(path, "-") == 0 ? read_stdin(cli, &text, e)
                                                : read_file(cli->env.stores, path, &text, e);
    if (st == SM_OK) {
        *out = sm_arena_str(cli->arena, sm_buf_str(&text));
    }
    sm_buf_release(&text);
    return st;
}

sm_str smi_tests_file(smi_cli *cli, const char *pipeline)
{
    sm_str folder = {0}, name = {0};

    sm_uri_split(sm_str_of(pipeline), &folder, &name);
    return sm_str_is(folder, ".")
               ? SM_STR("tests.yaml")
               : sm_arena_strf(cli->arena, "%.*s/tests.yaml", SM_STR_ARG(folder));
}
