/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_doctor.c: `smelt doctor [URI]`: prints what smelt sees of the machine, and tries each
 * operation on a store that a table needs: list, write, commit, read, copy, delete. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/isa.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

/* With --json the lines are members of one object, which is printed at the end. */
typedef struct doctor {
    smi_cli *cli;
    sm_buf text;
    sm_json_writer json;
} doctor;

static void tell_step(doctor *d, const char *what, const char *fmt, ...) SM_PRINTF(3, 4);
static void tell_step(doctor *d, const char *what, const char *fmt, ...)
{
    char text[1200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    SM_ASSERT((d->json.depth == 1) == d->cli->globals.json); /* within the answer */
    if (d->cli->globals.json) {
        sm_json_set_text_or_null(&d->json, what, sm_str_of(text));
    } else {
        printf("%-14s %s\n", what, text);
    }
}

static void print_machine(doctor *d)
{
    const smi_cli *cli = d->cli;
    char limit[SM_SIZE_TEXT_BYTES], idle[SM_SIZE_TEXT_BYTES];

    sm_format_size((int64_t)sm_engine_memory_limit(cli->engine), limit);
    sm_format_size(sm_peak_bytes(), idle);
    tell_step(d, "version", "%s", SMELT_VERSION);
    tell_step(d, "threads", "%d", sm_pool_threads(cli->env.pool));
    tell_step(d, "memory", "limit %s, idle %s", limit, idle);
    tell_step(d, "instructions", "%s", sm_isa_name(sm_isa()));
}

static double milliseconds_since(int64_t start_ns)
{
    return (double)(sm_monotonic_ns() - start_ns) / 1e6;
}

/* A commit needs a put that fails where the name is taken. */
static sm_status try_commit(doctor *d, sm_store *store, sm_str key, sm_error *e)
{
    sm_error second = {0};

    int64_t start = sm_monotonic_ns();
    SM_TRY(sm_store_put(store, key, "smelt", 5, SM_PUT_IF_ABSENT, e));
    tell_step(d, "write", "ok, %.1f ms", milliseconds_since(start));

    start = sm_monotonic_ns();
    const sm_status st = sm_store_put(store, key, "again", 5, SM_PUT_IF_ABSENT, &second);
    if (st == SM_OK) {
        return sm_fail(e, SM_UNSAFE_STORE,
                       "the store replaced an object that it was told not to replace");
    }
    SM_ASSERT(second.status == st);
    if (st != SM_EXISTS) {
        *e = second;
        return st;
    }
    tell_step(d, "commit", "safe: a name that is taken is refused, %.1f ms",
              milliseconds_since(start));
    return SM_OK;
}

static sm_status try_read(doctor *d, sm_store *store, sm_str key, sm_error *e)
{
    sm_buf text = {.max_bytes = 64};

    const int64_t start = sm_monotonic_ns();
    sm_status st = sm_store_get(store, key, &text, e);
    if (st == SM_OK && !sm_str_is(sm_buf_str(&text), "smelt")) {
        st = sm_fail(e, SM_CORRUPT, "an object that was written is read back with other bytes");
    }
    sm_buf_release(&text);
    if (st == SM_OK) {
        tell_step(d, "read", "ok, %.1f ms", milliseconds_since(start));
    }
    return st;
}

static sm_status try_copy(doctor *d, sm_store *store, sm_str from, sm_str to, sm_error *e)
{
    const int64_t start = sm_monotonic_ns();
    SM_TRY(sm_store_copy(store, from, to, e));
    tell_step(d, "copy", "ok, %.1f ms", milliseconds_since(start));
    return SM_OK;
}

/* Shows the address of a store behind a network, and whose keys are used. */
static sm_status show_access(doctor *d, sm_store *store, sm_error *e)
{
    sm_store_access access;
    sm_error unused = {0};

    const int64_t start = sm_monotonic_ns();
    const sm_status st = sm_store_access_of(store, d->cli->arena, &access, &unused);
    if (st == SM_UNSUPPORTED) {
        return SM_OK;
    }
    if (st != SM_OK) {
        *e = unused;
        return st;
    }
    tell_step(d, "address", "%.*s, region %.*s", SM_STR_ARG(access.url), SM_STR_ARG(access.region));
    if (access.is_anonymous) {
        tell_step(d, "keys", "none, by %.*s", SM_STR_ARG(access.source));
    } else {
        tell_step(d, "keys", "%.*s from %.*s%s, %.1f ms", SM_STR_ARG(access.key_id),
                  SM_STR_ARG(access.source), access.is_temporary ? ", for a time" : "",
                  milliseconds_since(start));
    }
    return SM_OK;
}

static sm_status try_list(doctor *d, sm_store *store, sm_error *e)
{
    sm_entry *entries = NULL;
    int64_t n = 0;

    const int64_t start = sm_monotonic_ns();
    const sm_status st = sm_store_list(store, SM_STR(""), true, d->cli->arena, &entries, &n, e);
    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "Name a folder that exists (mkdir makes one), or a bucket.");
    }
    if (st == SM_OK) {
        tell_step(d, "list", "ok, %" PRId64 " names, %.1f ms", n, milliseconds_since(start));
        return SM_OK;
    }
    return st;
}

static sm_status check_store(doctor *d, const char *uri, sm_error *e)
{
    sm_store *store = NULL;

    SM_TRY(sm_store_open(d->cli->env.stores, sm_str_of(uri), &store, e));
    const sm_str key =
        sm_arena_strf(d->cli->arena, ".smelt-doctor-%d-%" PRId64, (int)getpid(), sm_now_us());
    const sm_str keys[] = {key, sm_arena_strf(d->cli->arena, "%.*s-copy", SM_STR_ARG(key))};
    tell_step(d, "store", "%.*s", SM_STR_ARG(sm_store_uri(store)));
    sm_status st = show_access(d, store, e);
    st = st == SM_OK ? try_list(d, store, e) : st;
    if (st != SM_OK) {
        sm_store_release(store);
        return st;
    }
    st = try_commit(d, store, key, e);
    if (st == SM_OK) {
        st = try_read(d, store, key, e);
    }
    if (st == SM_OK) {
        st = try_copy(d, store, key, keys[1], e);
    }
    sm_error unused = {0};
    const sm_status deleted =
        sm_store_delete_many(store, keys, SM_COUNT(keys), st == SM_OK ? e : &unused);
    if (st == SM_OK && deleted == SM_OK) {
        tell_step(d, "delete", "ok");
    }
    sm_store_release(store);
    return st == SM_OK ? deleted : st;
}

static sm_status run_doctor(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    doctor d = {.cli = cli};

    d.json.out = &d.text;
    if (cli->globals.json) {
        sm_json_begin_object(&d.json);
    }
    print_machine(&d);
    const sm_status st = n_args ? check_store(&d, args[0], e) : SM_OK;
    if (cli->globals.json) {
        if (st != SM_OK) {
            sm_json_set_error(&d.json, e);
        }
        sm_json_end_object(&d.json);
        smi_answer_print(cli, &d.json);
    }
    return st;
}

static const smi_opt option_table[] = {{0}};

const smi_command smi_command_doctor = {
    .name = "doctor",
    .usage = "[URI]",
    .summary = "Checks the machine, and whether a place can keep tables.",
    .details = "With a URI, tries each operation that tables need there, and prints its time.\n"
               "\n"
               "  smelt doctor ./lake\n",
    .options = option_table,
    .opts_bytes = 1,
    .min_args = 0,
    .max_args = 1,
    .run = run_doctor,
};
