/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/log_fuzz.h: a table whose log has any bytes in it, for commit_fuzz.c and
 * checkpoint_fuzz.c: it is opened, all its files are listed, and what was read is written as a
 * checkpoint, which must say the same. */
#ifndef SM_TESTS_LOG_FUZZ_H
#define SM_TESTS_LOG_FUZZ_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "delta/delta_int.h"
#include "stores.h"

#define LOG_FUZZ_BUDGET ((size_t)64 << 20)

static inline void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "log_fuzz: %s\n", what);
        abort();
    }
}

static inline void put_log(sm_store *s, const char *name, const void *bytes, size_t n)
{
    char key[128];
    sm_error e = {0};

    snprintf(key, sizeof(key), SMI_LOG "%s", name);
    expect(sm_store_put(s, sm_str_of(key), bytes, n, SM_PUT_REPLACE, &e) == SM_OK, "no log");
}

/* Leaves nothing for the next input. */
static inline void empty_store(sm_store *s)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *entries = NULL;
    sm_error e = {0};
    int64_t n = 0;

    expect(sm_store_list(s, SM_STR(""), false, a, &entries, &n, &e) == SM_OK, "no listing");
    for (int64_t i = 0; i < n; i++) {
        expect(sm_store_delete(s, entries[i].key, &e) == SM_OK, "it cannot be deleted");
    }
    sm_arena_free(a);
}

/* Adds a file's path and deletion vector, its bytes and its rows to a sum. */
static inline sm_status sum_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    sm_buf *all = ctx;

    (void)e;
    expect(f->path.len > 0 && f->n_rows >= -1, "a file without a path, or with odd rows");
    sm_buf_printf(all, "%.*s %" PRIu64 " %" PRId64 " %" PRId64 "\n", SM_STR_ARG(f->path),
                  f->size_bytes, sm_delta_file_rows(f), f->dv ? f->dv->cardinality : -1);
    return SM_OK;
}

static inline void begin_sum(void *ctx)
{
    sm_buf_reset(ctx);
}

static inline sm_status sum_files(const sm_snapshot *s, sm_buf *out, sm_error *e)
{
    return sm_snapshot_each(s, NULL,
                            &(sm_delta_sink){.begin = begin_sum, .file = sum_file, .ctx = out}, e);
}

/* Opens the newest version, with its files as text; false where it is refused, with words. */
static inline bool read_table(sm_store *store, sm_budget *budget, sm_snapshot **out, sm_buf *files)
{
    sm_error e = {0};

    sm_status st = sm_snapshot_open_head(store, SM_VERSION_LATEST, budget, out, &e);
    if (st == SM_OK) {
        st = sum_files(*out, files, &e);
    }
    expect(st == SM_OK || e.what[0] != '\0', "an error without words");
    if (st != SM_OK) {
        sm_snapshot_release(*out);
        *out = NULL;
    }
    return st == SM_OK;
}

/* The log is that of a table, or refused; a checkpoint of it says the same. */
static inline void check_log(sm_store *store)
{
    sm_budget *budget = sm_budget_new(NULL, "fuzz", LOG_FUZZ_BUDGET);
    sm_buf before = {0}, after = {0};
    sm_snapshot *s = NULL, *again = NULL;
    sm_error e = {0};

    if (read_table(store, budget, &s, &before)) {
        if (sm_delta_checkpoint(s, budget, &e) == SM_OK) {
            expect(read_table(store, budget, &again, &after), "its checkpoint cannot be read");
            expect(sm_str_eq(sm_buf_str(&before), sm_buf_str(&after)),
                   "its checkpoint has other files");
        }
        expect(e.status == SM_OK || e.what[0] != '\0', "an error without words");
        if (sm_snapshot_list(s, &e) == SM_OK) {
            smi_snapshot_assert_valid(s, true);
        }
    }
    sm_snapshot_release(again);
    sm_snapshot_release(s);
    sm_buf_release(&before);
    sm_buf_release(&after);
    expect(sm_budget_used(budget) == 0, "memory was not given back");
    sm_budget_free(budget);
}

#endif
