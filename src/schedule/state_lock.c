/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/state_lock.c: who is alive, by locks on bytes of the file `lock` beside the database.
 *
 * Method   Locks of an open file (F_OFD_SETLK): the system gives them back when the process ends,
 *          however it ends, and not when another part of the process closes the file, as it does
 *          with the locks of a process. The scheduler has byte 0, the process of a run the byte of
 *          the run's number. Children do not inherit the file.
 * Ending   A process id may be used again by another process. So it is held (pidfd_open) before the
 *          run's lock is looked at: if that is still taken, the process held is the right one. An
 *          id of another container means nothing here, and is left alone. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"
#include "schedule/schedule_int.h"

static sm_status fail_lock(const sm_state *s, int os_error, sm_error *e)
{
    char path[1024];

    const sm_status st = sm_fail_errno(e, os_error, "could not lock the state of runs");
    snprintf(path, sizeof(path), "%.*s/lock", SM_STR_ARG(s->folder));
    sm_error_place(e, path, 0, -1);
    return st;
}

sm_status smi_lock_open(sm_state *s, sm_error *e)
{
    const char *path = sm_arena_printf(s->arena, "%.*s/lock", SM_STR_ARG(s->folder));

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return s->lock_fd >= 0 ? SM_OK : fail_lock(s, errno, e);
}

static struct flock byte_lock(int64_t byte, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

sm_status smi_lock_try(sm_state *s, int64_t byte, bool *is_taken, sm_error *e)
{
    struct flock lock = byte_lock(byte, F_WRLCK);

    SM_ASSERT(byte >= 0);
    *is_taken = fcntl(s->lock_fd, F_OFD_SETLK, &lock) == 0;
    return *is_taken || errno == EAGAIN || errno == EACCES ? SM_OK : fail_lock(s, errno, e);
}

void smi_lock_give(sm_state *s, int64_t byte)
{
    struct flock lock = byte_lock(byte, F_UNLCK);

    (void)fcntl(s->lock_fd, F_OFD_SETLK, &lock); /* closing the file gives it back, too */
}

/* Does another open state hold it? */
static sm_status look(sm_state *s, int64_t byte, bool *is_held, sm_error *e)
{
    struct flock lock = byte_lock(byte, F_WRLCK);

    if (fcntl(s->lock_fd, F_OFD_GETLK, &lock) != 0) {
        return fail_lock(s, errno, e);
    }
    *is_held = lock.l_type != F_UNLCK;
    return SM_OK;
}

sm_status sm_state_is_alive(sm_state *s, int64_t number, bool *out, sm_error *e)
{
    return look(s, number, out, e);
}

/* ---- the scheduler --------------------------------------------------------------------------- */

sm_status sm_scheduler_look(sm_state *s, sm_scheduler_status *out, sm_error *e)
{
    sm_scheduler_status found = {0};

    SM_TRY(look(s, SMI_LOCK_SCHEDULER, &found.is_alive, e));
    smi_query q = smi_query_new(s, "SELECT pid, since_us FROM scheduler", e);
    if (smi_query_step(&q) == SM_OK) {
        found.pid = smi_query_get_i64(&q);
        found.since_us = smi_query_get_i64(&q);
    }
    SM_TRY(smi_query_end(&q));
    *out = found;
    return SM_OK;
}

static sm_status note_scheduler(sm_state *s, sm_error *e)
{
    smi_query q = smi_query_new(
        s, "INSERT OR REPLACE INTO scheduler(one, pid, since_us) VALUES (1, ?, ?)", e);

    smi_query_i64(&q, getpid());
    smi_query_i64(&q, sm_now_us());
    return smi_query_run(&q);
}

sm_status smi_lock_scheduler(sm_state *s, sm_error *e)
{
    bool is_taken = false;
    sm_scheduler_status other = {0};

    SM_TRY(smi_lock_try(s, SMI_LOCK_SCHEDULER, &is_taken, e));
    if (is_taken) {
        SM_TRY(smi_state_begin(s, false, e));
        return smi_state_end(s, note_scheduler(s, e), e);
    }
    SM_TRY(sm_scheduler_look(s, &other, e));
    sm_fail(e, SM_CONFLICT, "another scheduler has the state of runs in \"%.*s\": process %" PRId64,
            SM_STR_ARG(s->folder), other.pid);
    sm_error_todo(e, "End it by smelt down, or name another folder by SMELT_STATE.");
    return SM_CONFLICT;
}

/* ---- the process of a run -------------------------------------------------------------------- */

sm_str smi_pid_space(sm_arena *a)
{
    char text[64];
    const ssize_t n = readlink("/proc/self/ns/pid", text, sizeof(text));

    return n > 0 ? sm_arena_str(a, (sm_str){text, (size_t)n}) : SM_STR("");
}

/* Does this process see the process ids that the run's process sees? */
static sm_status is_of_here(sm_state *s, sm_str run, bool *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    smi_query q = smi_query_new(s, "SELECT pid_space FROM runs WHERE id = ?", e);

    *out = false;
    smi_query_text(&q, run);
    if (smi_query_step(&q) == SM_OK) {
        *out = sm_str_eq(smi_query_get_text(&q, a), smi_pid_space(a));
    }
    sm_arena_free(a);
    return smi_query_end(&q);
}

sm_status smi_state_ask_to_end(sm_state *s, const sm_run_row *run, sm_error *e)
{
    bool is_here = false, is_alive = false;

    SM_TRY(is_of_here(s, run->id, &is_here, e));
    if (!is_here || run->pid <= 0) {
        return SM_OK;
    }
    const int fd = (int)syscall(SYS_pidfd_open, (pid_t)run->pid, 0);
    if (fd < 0) {
        return SM_OK; /* it has ended */
    }
    const sm_status st = sm_state_is_alive(s, run->number, &is_alive, e);
    if (st == SM_OK && is_alive) {
        (void)syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    }
    close(fd);
    return st;
}
