/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_env.c: threads, memory limit and Ctrl-C of a command. Called by main.c.
 *
 * The memory limit is that of the whole process: the budget is what is left of it after what the
 * idle process holds and 8% for what is not counted (stacks, library contexts). */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

#define LEAST_LIMIT_BYTES ((size_t)96 * 1000 * 1000)
/* From here on what lies unused on the heap does not matter. */
#define ROOMY_BYTES ((size_t)1000 * 1000 * 1000)
/* Stacks, library contexts, the allocator's own. */
#define UNCOUNTED_PERCENT 8
#define MOST_THREADS      1024

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

/* The one mutable global: a signal handler has no other way to know. */
static sm_cancel interrupted;

static void on_interrupt(int signal_number)
{
    if (sm_cancel_is_set(&interrupted)) {
        _exit(sm_status_exit(SM_INTERRUPTED)); /* the second one: a lake is safe under any kill */
    }
    sm_cancel_set(&interrupted);
}

/* Ctrl-C, kill, a terminal that is closed. What is ignored (by nohup, by a shell for what it runs
 * behind) stays ignored. */
static void catch_interrupts(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    struct sigaction before;

    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SM_COUNT(signals); i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* A number in a file of the kernel's; 0 where there is none ("max"). */
static size_t read_number(const char *path)
{
    char text[64] = "";
    size_t bytes = 0;
    FILE *f = fopen(path, "r");

    if (!f) {
        return 0;
    }
    if (fgets(text, sizeof(text), f)) {
        text[strcspn(text, "\n")] = '\0';
        if (!sm_parse_size(sm_str_of(text), &bytes)) {
            bytes = 0;
        }
    }
    fclose(f);
    return bytes;
}

static size_t machine_bytes(void)
{
    const size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    const size_t group = read_number("/sys/fs/cgroup/memory.max");

    return group && group < all ? group : all;
}

static sm_status choose_limit(smi_cli *cli, sm_error *e)
{
    const char *text = sm_env("SMELT_MEMORY_LIMIT");

    cli->memory_limit = cli->globals.memory_limit;
    if (!cli->memory_limit && text && !sm_parse_size(sm_str_of(text), &cli->memory_limit)) {
        return sm_fail(e, SM_USAGE, "SMELT_MEMORY_LIMIT \"%s\" is no size", text);
    }
    if (!cli->memory_limit) {
        cli->memory_limit = machine_bytes() / 2;
    }
    if (cli->memory_limit < LEAST_LIMIT_BYTES) {
        const sm_status st =
            sm_fail(e, SM_USAGE, "a memory limit of %zu bytes is too small", cli->memory_limit);
        sm_error_todo(e, "The least is 96MB.");
        return st;
    }
    if (cli->memory_limit >= ROOMY_BYTES) {
        sm_memory_tune_roomy();
    }
    const size_t idle = (size_t)sm_peak_bytes();
    cli->env.budget =
        sm_budget_new(NULL, "the process",
                      cli->memory_limit - cli->memory_limit / 100 * UNCOUNTED_PERCENT - idle);
    sm_budget_set_overhead(cli->env.budget, idle, UNCOUNTED_PERCENT);
    return SM_OK;
}

static sm_status choose_threads(smi_cli *cli, int *threads, sm_error *e)
{
    int64_t n = cli->globals.threads;
    const char *text = sm_env("SMELT_THREADS");

    if (n == SMI_NOT_GIVEN && text && !sm_parse_i64(sm_str_of(text), &n)) {
        return sm_fail(e, SM_USAGE, "SMELT_THREADS \"%s\" is no number", text);
    }
    n = smi_given_or(n, sysconf(_SC_NPROCESSORS_ONLN));
    if (n < 1 || n > MOST_THREADS) {
        return sm_fail(e, SM_USAGE, "%lld threads: not in 1 … %d", (long long)n, MOST_THREADS);
    }
    *threads = (int)n;
    return SM_OK;
}

sm_status smi_cli_open(smi_cli *cli, sm_error *e)
{
    int threads = 1;

    SM_TRY(choose_limit(cli, e));
    SM_TRY(choose_threads(cli, &threads, e));
    catch_interrupts();
    cli->env.cancel = &interrupted;
    sm_budget_set_cancel(cli->env.budget, &interrupted);
    cli->env.progress = &cli->progress;
    const char *dir = cli->globals.spill_dir ? cli->globals.spill_dir : sm_env("SMELT_SPILL_DIR");
    cli->env.spill_dir = sm_str_of(dir);
    sm_http *http = sm_http_new(cli->env.budget);
    cli->env.stores = sm_stores_new(http);
    sm_http_release(http);
    return sm_pool_new(threads, &cli->env.pool, e);
}

void smi_cli_close(smi_cli *cli)
{
    sm_stores_release(cli->env.stores);
    if (cli->env.pool) {
        sm_pool_free(cli->env.pool);
    }
    if (cli->env.budget) {
        sm_budget_free(cli->env.budget);
    }
}
