/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/state.c: the state of runs is a SQLite database beside the pipelines: opening it, and
 * statements on it.
 *
 * Tables    runs: one row a run; attempts: one a task, process and attempt; schedules: up to when
 *           the schedule of a file is dealt with; scheduler: the process that has the lock.
 * Versions  user_version counts the steps of `steps` that were taken; opening takes those that are
 *           missing, under a lock, each in a transaction.
 * Crashes   The journal is a write-ahead log: readers never wait, and a killed process leaves whole
 *           transactions. It is not copied into the database at the end of each process, which
 *           would cost a run two waits for the disk, but when it has grown to a megabyte.
 * Power     What people were promised (the end of a run, an order) waits for the disk; that a task
 *           has begun does not. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "schedule/schedule_int.h"

#define WAIT_MS 10000 /* for another process that writes: its transactions take milliseconds */

static const char *const steps[] = {
    "CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " pipeline TEXT NOT NULL, file TEXT NOT NULL, start_us INTEGER NOT NULL,"
    " end_us INTEGER NOT NULL, date TEXT NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL,"
    " arguments TEXT NOT NULL, processes INTEGER NOT NULL DEFAULT 0,"
    " processes_before INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,"
    " is_cancelling INTEGER NOT NULL DEFAULT 0, queued_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL DEFAULT 0, ended_us INTEGER NOT NULL DEFAULT 0,"
    " pid INTEGER NOT NULL DEFAULT 0, pid_space TEXT NOT NULL DEFAULT '',"
    " error TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX runs_of_pipeline ON runs(pipeline, number);"
    "CREATE INDEX runs_alive ON runs(number) WHERE state < 2;"
    "CREATE TABLE attempts(run INTEGER NOT NULL, process INTEGER NOT NULL, task TEXT NOT NULL,"
    " attempt INTEGER NOT NULL, state INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL DEFAULT 0,"
    " rows INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,"
    " error TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX attempts_of_run ON attempts(run);"
    "CREATE TABLE schedules(file TEXT PRIMARY KEY, up_to_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE scheduler(one INTEGER PRIMARY KEY CHECK (one = 1), pid INTEGER NOT NULL,"
    " since_us INTEGER NOT NULL) STRICT;",
};
_Static_assert(SM_RUN_STATE_QUEUED == 0 && SM_RUN_STATE_RUNNING == 1,
               "the index runs_alive has these two");

/* ---- errors ---------------------------------------------------------------------------------- */

static void place(const sm_state *s, sm_error *e)
{
    char path[1024];

    snprintf(path, sizeof(path), "%.*s/state.sqlite", SM_STR_ARG(s->folder));
    sm_error_place(e, path, 0, -1);
}

static sm_status fail_damaged(const sm_state *s, const char *why, sm_error *e)
{
    sm_fail(e, SM_CORRUPT, "the state of runs is damaged: %s", why);
    place(s, e);
    sm_error_todo(e, "Move the file away: nothing of the lake is in it. The history of runs is "
                     "lost, and schedules start anew.");
    return SM_CORRUPT;
}

/* What SQLite failed with. */
static sm_status fail_sqlite(const sm_state *s, sm_error *e)
{
    const int code = sqlite3_errcode(s->db);
    const int os_error = sqlite3_system_errno(s->db);
    const char *why = sqlite3_errmsg(s->db);
    sm_status st = SM_IO;

    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* the statements are right, so the tables are not */
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return fail_damaged(s, why, e);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        st = sm_fail(e, SM_CONFLICT, "another process has held the state of runs for %d seconds",
                     WAIT_MS / 1000);
        break;
    case SQLITE_FULL:
        st = sm_fail(e, SM_DISK_FULL, "could not write the state of runs: the disk is full");
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        st = sm_fail(e, SM_DENIED, "could not write the state of runs: %s", why);
        break;
    case SQLITE_NOMEM:
        st = sm_fail(e, SM_NOMEM, "could not use the state of runs: %s", why);
        break;
    default:
        if (os_error != 0) {
            st = sm_fail_errno(e, os_error, "could not use the state of runs (%s)", why);
        } else {
            st = sm_fail(e, SM_IO, "could not use the state of runs: %s", why);
        }
    }
    place(s, e);
    return st;
}

/* ---- statements ------------------------------------------------------------------------------ */

smi_query smi_query_new(sm_state *s, const char *sql, sm_error *e)
{
    smi_query q = {.state = s, .e = e};

    if (sqlite3_prepare_v2(s->db, sql, -1, &q.stmt, NULL) != SQLITE_OK) {
        q.status = fail_sqlite(s, e);
    }
    return q;
}

static void note(smi_query *q, int code)
{
    if (code != SQLITE_OK && q->status == SM_OK) {
        q->status = fail_sqlite(q->state, q->e);
    }
}

void smi_query_i64(smi_query *q, int64_t v)
{
    if (q->status == SM_OK) {
        note(q, sqlite3_bind_int64(q->stmt, ++q->n_put, v));
    }
}

void smi_query_text(smi_query *q, sm_str v)
{
    if (q->status == SM_OK) {
        note(q, sqlite3_bind_text64(q->stmt, ++q->n_put, v.len ? v.data : "", v.len, SQLITE_STATIC,
                                    SQLITE_UTF8));
    }
}

sm_status smi_query_step(smi_query *q)
{
    if (q->status != SM_OK) {
        return q->status;
    }
    SM_ASSERT(q->n_put == sqlite3_bind_parameter_count(q->stmt));
    q->n_got = 0;
    const int code = sqlite3_step(q->stmt);
    if (code == SQLITE_ROW) {
        return SM_OK;
    }
    if (code == SQLITE_DONE) {
        return SM_END;
    }
    q->status = fail_sqlite(q->state, q->e);
    return q->status;
}

int64_t smi_query_get_i64(smi_query *q)
{
    return sqlite3_column_int64(q->stmt, q->n_got++);
}

sm_str smi_query_get_text(smi_query *q, sm_arena *a)
{
    const int column = q->n_got++;
    const unsigned char *text = sqlite3_column_text(q->stmt, column);
    const int bytes = sqlite3_column_bytes(q->stmt, column);

    return sm_arena_str(a, text ? (sm_str){(const char *)text, (size_t)bytes} : SM_STR(""));
}

int smi_query_get_enum(smi_query *q, int n)
{
    const int64_t v = smi_query_get_i64(q);

    if (v >= 0 && v < n) {
        return (int)v;
    }
    if (q->status == SM_OK) {
        q->status = fail_damaged(q->state, "a row has a number that means nothing", q->e);
    }
    return 0;
}

sm_status smi_query_end(smi_query *q)
{
    sqlite3_finalize(q->stmt); /* repeats the error of the last step, which is known */
    q->stmt = NULL;
    return q->status;
}

sm_status smi_query_run(smi_query *q)
{
    sm_status st = SM_OK;

    while (st == SM_OK) {
        st = smi_query_step(q);
    }
    return smi_query_end(q);
}

/* Statements without values, one or several. */
static sm_status run_sql(sm_state *s, const char *sql, sm_error *e)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SM_OK : fail_sqlite(s, e);
}

sm_status smi_state_begin(sm_state *s, bool is_kept, sm_error *e)
{
    SM_ASSERT(sqlite3_get_autocommit(s->db)); /* no other is under way */
    SM_TRY(run_sql(s, is_kept ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", e));
    return run_sql(s, "BEGIN IMMEDIATE", e);
}

sm_status smi_state_end(sm_state *s, sm_status st, sm_error *e)
{
    if (st == SM_OK) {
        st = run_sql(s, "COMMIT", e);
    }
    if (st != SM_OK && !sqlite3_get_autocommit(s->db)) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

sm_str sm_state_folder(sm_str path, sm_arena *a)
{
    const char *set = sm_env("SMELT_STATE");
    struct stat at;

    if (set) {
        return sm_arena_str(a, sm_str_of(set));
    }
    if (stat(sm_arena_str(a, path).data, &at) != 0 || !S_ISDIR(at.st_mode)) {
        while (path.len > 0 && path.data[path.len - 1] != '/') {
            path.len--;
        }
    }
    const bool has_slash = path.len == 0 || path.data[path.len - 1] == '/';
    return sm_arena_strf(a, "%.*s%s.smelt", SM_STR_ARG(path), has_slash ? "" : "/");
}

sm_str sm_state_path(const sm_state *s)
{
    return s->folder;
}

static sm_status read_version(sm_state *s, int64_t *out, sm_error *e)
{
    smi_query q = smi_query_new(s, "PRAGMA user_version", e);

    if (smi_query_step(&q) == SM_OK) {
        *out = smi_query_get_i64(&q);
    }
    SM_TRY(smi_query_end(&q));
    if (*out <= SM_COUNT(steps)) {
        return SM_OK;
    }
    sm_fail(e, SM_UNSUPPORTED,
            "the state of runs is of a later smelt: version %" PRId64 ", this one knows %d", *out,
            SM_COUNT(steps));
    place(s, e);
    sm_error_todo(e, "Use that smelt, or name another folder by SMELT_STATE.");
    return SM_UNSUPPORTED;
}

/* Takes the steps that are missing. Others that open it meanwhile wait, and find it done. */
static sm_status bring_up_to_date(sm_state *s, sm_error *e)
{
    char sql[64];
    int64_t version = 0;
    sm_status st = run_sql(s, "PRAGMA journal_mode=WAL", e);

    if (st == SM_OK) {
        st = smi_state_begin(s, true, e);
    }
    SM_TRY(st);
    st = read_version(s, &version, e);
    for (; st == SM_OK && version < SM_COUNT(steps); version++) {
        st = run_sql(s, steps[version], e);
    }
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", SM_COUNT(steps));
    if (st == SM_OK) {
        st = run_sql(s, sql, e);
    }
    return smi_state_end(s, st, e);
}

/* SQLite does not wait where two processes make one database at once; the lock makes them wait. */
static sm_status set_up(sm_state *s, sm_error *e)
{
    bool is_taken = false;

    for (int waited_ms = 0; !is_taken; waited_ms += 5) {
        SM_TRY(smi_lock_try(s, SMI_LOCK_SETUP, &is_taken, e));
        if (!is_taken && waited_ms >= WAIT_MS) {
            return sm_fail(e, SM_CONFLICT,
                           "another process has set up the state of runs in "
                           "\"%.*s\" for %d seconds",
                           SM_STR_ARG(s->folder), WAIT_MS / 1000);
        }
        if (!is_taken) {
            sm_sleep_ms(5);
        }
    }
    const sm_status st = bring_up_to_date(s, e);
    smi_lock_give(s, SMI_LOCK_SETUP);
    return st;
}

static sm_status open_database(sm_state *s, bool make, sm_error *e)
{
    const char *path = sm_arena_printf(s->arena, "%.*s/state.sqlite", SM_STR_ARG(s->folder));
    const int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX;
    int64_t version = 0;

    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        return fail_sqlite(s, e);
    }
    sqlite3_busy_timeout(s->db, WAIT_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    SM_TRY(run_sql(s, "PRAGMA cache_size=-512; PRAGMA wal_autocheckpoint=256", e));
    SM_TRY(read_version(s, &version, e));
    return version == SM_COUNT(steps) ? SM_OK : set_up(s, e);
}

/* Makes the folder, or looks whether the state is there. */
static sm_status find_folder(sm_state *s, bool make, sm_error *e)
{
    const char *path = sm_arena_printf(s->arena, "%.*s/state.sqlite", SM_STR_ARG(s->folder));
    sm_status st = SM_OK;

    if (make && mkdir(s->folder.data, 0777) != 0 && errno != EEXIST) {
        st = sm_fail_errno(e, errno, "could not make the folder of the state of runs");
        sm_error_place_str(e, s->folder, 0, -1);
    } else if (!make && access(path, F_OK) != 0) {
        st = sm_fail_errno(e, errno, "no run was noted here yet");
        place(s, e);
    }
    return st;
}

sm_status sm_state_open(sm_str folder, bool make, sm_state **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_state *s = SM_NEW(a, sm_state);

    *s = (sm_state){.arena = a, .folder = sm_arena_str(a, folder), .lock_fd = -1};
    sm_status st = find_folder(s, make, e);
    if (st == SM_OK) {
        st = smi_lock_open(s, e);
    }
    if (st == SM_OK) {
        st = open_database(s, make, e);
    }
    if (st != SM_OK) {
        sm_state_close(s);
        return st;
    }
    *out = s;
    return SM_OK;
}

void sm_state_close(sm_state *s)
{
    if (!s) {
        return;
    }
    sqlite3_finalize(s->version);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    sm_arena_free(s->arena);
}

sm_status sm_state_has_changed(sm_state *s, bool *out, sm_error *e)
{
    if (!s->version &&
        sqlite3_prepare_v3(s->db, "PRAGMA data_version", -1, SQLITE_PREPARE_PERSISTENT, &s->version,
                           NULL) != SQLITE_OK) {
        return fail_sqlite(s, e);
    }
    if (sqlite3_step(s->version) != SQLITE_ROW) {
        const sm_status st = fail_sqlite(s, e);
        sqlite3_reset(s->version);
        return st;
    }
    const int64_t version = sqlite3_column_int64(s->version, 0);
    sqlite3_reset(s->version);
    *out = version != s->seen_version;
    s->seen_version = version;
    return SM_OK;
}
