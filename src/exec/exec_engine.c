/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_engine.c: engines: the memory, threads and stores that the runs of a process, or of
 * a part of it, share.
 *
 * Limit    bounds the process's resident memory at its peak. The engine's budget is the limit less
 *          what the process holds when the engine is made, and less 8% for what is not counted.
 *          Budgets form a tree, engine > run > operator.
 * End      First the stores close their wire, which gives back what libcurl took. Then the budget
 *          is empty, which is asserted. */
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "exec/exec.h"

#define LEAST_LIMIT_BYTES ((size_t)96 * 1000 * 1000)
/* Stacks, contexts of libraries, the allocator's own memory. */
#define UNCOUNTED_PERCENT 8
#define MOST_THREADS      1024

struct sm_engine {
    size_t memory_limit;
    sm_str spill_dir; /* ended by NUL, owned */
    sm_logger log;
    sm_budget *budget;
    sm_pool *pool;
    sm_http *http;
    sm_stores *stores;
    _Atomic int32_t n_runs; /* environments that were not released yet */
};

/* ---- the machine ----------------------------------------------------------------------------- */

/* The number in one of the kernel's files; 0 where it has none ("max"). */
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

sm_engine_opts sm_engine_defaults(void)
{
    return (sm_engine_opts){
        .memory_limit = machine_bytes() / 2,
        .threads = sysconf(_SC_NPROCESSORS_ONLN),
    };
}

/* ---- from new to free ------------------------------------------------------------------------ */

static sm_status make_budget(sm_engine *engine, sm_error *e)
{
    const size_t limit = engine->memory_limit;
    const size_t idle = (size_t)sm_peak_bytes();
    const size_t counted = limit - limit / 100 * UNCOUNTED_PERCENT;

    if (limit < LEAST_LIMIT_BYTES) {
        const sm_status st =
            sm_fail(e, SM_USAGE, "a memory limit of %zu bytes is too small", limit);
        sm_error_todo(e, "The least is 96MB.");
        return st;
    }
    if (counted <= idle) {
        return sm_fail(e, SM_USAGE,
                       "a memory limit of %zu bytes is too small: the process has %zu already",
                       limit, idle);
    }
    engine->budget = sm_budget_new(NULL, "the process", counted - idle);
    sm_budget_set_overhead(engine->budget, idle, UNCOUNTED_PERCENT);
    sm_budget_set_resident(engine->budget, limit);
    return SM_OK;
}

static sm_status make_pool(sm_engine *engine, int64_t threads, sm_error *e)
{
    if (threads < 1 || threads > MOST_THREADS) {
        return sm_fail(e, SM_USAGE, "%lld threads: not in 1 … %d", (long long)threads,
                       MOST_THREADS);
    }
    return sm_pool_new((int)threads, &engine->pool, e);
}

sm_status sm_engine_new(const sm_engine_opts *opts, sm_engine **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_engine *engine = sm_alloc_zero(sizeof(*engine));

    engine->memory_limit = opts->memory_limit;
    engine->log = opts->log;
    char *dir = sm_alloc_zero(opts->spill_dir.len + 1);
    if (opts->spill_dir.len > 0) {
        memcpy(dir, opts->spill_dir.data, opts->spill_dir.len);
    }
    engine->spill_dir = (sm_str){dir, opts->spill_dir.len};
    SM_TRY_GOTO(st, done, make_budget(engine, e));
    SM_TRY_GOTO(st, done, make_pool(engine, opts->threads, e));
    engine->http = sm_http_new(engine->budget, &engine->log);
    engine->stores = sm_stores_new(engine->http);
done:
    if (st != SM_OK) {
        sm_engine_free(engine);
        return st;
    }
    *out = engine;
    return SM_OK;
}

void sm_engine_free(sm_engine *engine)
{
    if (!engine) {
        return;
    }
    SM_ASSERT(atomic_load(&engine->n_runs) == 0);
    sm_stores_release(engine->stores);
    sm_http_release(engine->http);
    if (engine->pool) {
        sm_pool_free(engine->pool);
    }
    sm_budget_free(engine->budget);
    sm_free((char *)engine->spill_dir.data);
    sm_free(engine);
}

size_t sm_engine_memory_limit(const sm_engine *engine)
{
    return engine->memory_limit;
}

sm_stores *sm_engine_stores(const sm_engine *engine)
{
    return engine->stores;
}

/* ---- runs ------------------------------------------------------------------------------------ */

void sm_exec_env_init(sm_exec_env *env, sm_engine *engine, const sm_exec_share *share)
{
    atomic_fetch_add(&engine->n_runs, 1);
    *env = (sm_exec_env){
        .pool = engine->pool,
        .budget = sm_budget_new(engine->budget, "the run", share->memory_bytes),
        .cancel = share->cancel,
        .progress = share->progress,
        .spill_dir = engine->spill_dir,
        .stores = sm_stores_below(engine->stores),
        .engine = engine,
    };
    sm_budget_set_cancel(env->budget, share->cancel);
}

void sm_exec_env_release(sm_exec_env *env)
{
    if (!env->engine) {
        return;
    }
    sm_stores_release(env->stores);
    sm_budget_free(env->budget);
    atomic_fetch_sub(&env->engine->n_runs, 1);
    *env = (sm_exec_env){0};
}
