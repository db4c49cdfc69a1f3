/* SPDX-License-Identifier: Apache-2.0
 *
 * base/process.c: starts programs by posix_spawn(3), which costs the same however large this
 * process is. Called by flow (tasks that are commands) and schedule.
 *
 * Group   A program has a group of its own, so that a signal reaches what it has started, too, and
 *         a Ctrl-C on the terminal reaches it only if this process passes it on.
 * End     is seen by a pidfd: no handler of SIGCHLD, which a library has no right to.
 * Limits  are set from outside just after the start (prlimit(2)): the first instructions of the
 *         program are the loader's, which take little. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"

#include "base/memory.h"
#include "base/time.h"

struct sm_process {
    pid_t pid;
    int fd; /* a pidfd */
    bool has_ended;
    sm_process_end end;
};

/* ---- starting ------------------------------------------------------------------------------- */

static bool is_set_by(const sm_process_opts *o, const char *entry)
{
    for (int32_t i = 0; i < o->n_env; i++) {
        const sm_str key = o->env[i].key;
        if (strncmp(entry, key.data, key.len) == 0 && entry[key.len] == '=') {
            return true;
        }
    }
    return false;
}

static char **environment(const sm_process_opts *o, sm_arena *a)
{
    int32_t n = 0;
    while (environ[n]) {
        n++;
    }
    char **out = SM_NEW_ARRAY(a, char *, n + o->n_env + 1);
    int32_t to = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!is_set_by(o, environ[i])) {
            out[to++] = environ[i];
        }
    }
    for (int32_t i = 0; i < o->n_env; i++) {
        SM_ASSERT(o->env[i].key.len > 0);
        out[to++] = (char *)sm_arena_printf(a, "%.*s=%.*s", SM_STR_ARG(o->env[i].key),
                                            SM_STR_ARG(o->env[i].value));
    }
    out[to] = NULL;
    return out;
}

static int add_files(const sm_process_opts *o, posix_spawn_file_actions_t *files)
{
    const int output = o->output >= 0 ? o->output : STDERR_FILENO;
    int no = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    no = no ? no : posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
    no = no ? no : posix_spawn_file_actions_adddup2(files, output, STDERR_FILENO);
    no = no ? no : posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    return no || !o->folder ? no : posix_spawn_file_actions_addchdir_np(files, o->folder);
}

/* Signals as a program expects to find them: this process may block or ignore some. */
static int add_signals(posix_spawnattr_t *attributes)
{
    static const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGCHLD};
    sigset_t none, all;

    sigemptyset(&none);
    sigemptyset(&all);
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        sigaddset(&all, usual[i]);
    }
    int no = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    no = no ? no : posix_spawnattr_setpgroup(attributes, 0);
    no = no ? no : posix_spawnattr_setsigmask(attributes, &none);
    return no ? no : posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn(const sm_process_opts *o, char **env, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int no = posix_spawn_file_actions_init(&files);

    if (no) {
        return no;
    }
    no = posix_spawnattr_init(&attributes);
    if (no == 0) {
        no = add_files(o, &files);
        no = no ? no : add_signals(&attributes);
        no = no ? no
                : posix_spawnp(pid, o->argv[0], &files, &attributes, (char *const *)o->argv, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return no;
}

static void set_limit(pid_t pid, __rlimit_resource_t what, uint64_t most)
{
    const struct rlimit limit = {.rlim_cur = most, .rlim_max = most};

    if (most > 0) {
        (void)prlimit(pid, what, &limit, NULL); /* it may have ended already */
    }
}

sm_status sm_process_start(const sm_process_opts *o, sm_process **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    pid_t pid = -1;

    SM_ASSERT(o->argv && o->argv[0]);
    SM_ASSERT(o->n_env == 0 || o->env);
    SM_ASSERT(o->cpu_seconds >= 0);
    const int no = spawn(o, environment(o, a), &pid);
    sm_arena_free(a);
    if (no) {
        return sm_fail_errno(e, no, "could not start %s", o->argv[0]);
    }
    set_limit(pid, RLIMIT_AS, o->memory_bytes);
    set_limit(pid, RLIMIT_CPU, (uint64_t)o->cpu_seconds);
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        const int why = errno;
        (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return sm_fail_errno(e, why, "could not watch %s", o->argv[0]);
    }
    sm_process *p = sm_alloc_zero(sizeof(*p));
    *p = (sm_process){.pid = pid, .fd = fd};
    *out = p;
    return SM_OK;
}

/* ---- while it runs --------------------------------------------------------------------------- */

int64_t sm_process_id(const sm_process *p)
{
    return p->pid;
}

int sm_process_descriptor(const sm_process *p)
{
    return p->fd;
}

static void reap(sm_process *p)
{
    int status = 0;

    if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->has_ended = true;
        p->end = (sm_process_end){.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                                  .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
    }
}

bool sm_process_wait(sm_process *p, int64_t wait_ms, sm_process_end *end)
{
    const int64_t until = sm_monotonic_ns() + wait_ms * 1000000;
    struct pollfd one = {.fd = p->fd, .events = POLLIN};

    SM_ASSERT(wait_ms >= 0);
    for (int64_t left = wait_ms; !p->has_ended; left = (until - sm_monotonic_ns()) / 1000000) {
        const int most = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
        if (poll(&one, 1, most) > 0) {
            reap(p);
        } else if (left <= 0) {
            return false;
        }
    }
    SM_ASSERT(p->end.signal != 0 || p->end.exit_code >= 0);
    *end = p->end;
    return true;
}

void sm_process_signal(const sm_process *p, int number)
{
    SM_ASSERT(p->pid > 1 && number > 0); /* of 0 and 1 the group is another */
    (void)kill(-p->pid, number);         /* none of the group may be left */
}

void sm_process_leave(sm_process *p)
{
    SM_ASSERT(p->fd >= 0 && p->pid > 0);
    close(p->fd);
    sm_free(p);
}

void sm_process_close(sm_process *p)
{
    sm_process_end ignored;

    if (!p) {
        return;
    }
    if (!p->has_ended) {
        sm_process_signal(p, SIGKILL);
        (void)sm_process_wait(p, INT32_MAX, &ignored);
    }
    close(p->fd);
    sm_free(p);
}

sm_str sm_process_end_text(const sm_process_end *end, sm_arena *a)
{
    const char *name = end->signal ? sigabbrev_np(end->signal) : NULL;

    if (end->signal == 0) {
        return sm_arena_strf(a, "exit code %d", end->exit_code);
    }
    return sm_arena_strf(a, "signal %d (SIG%s)", end->signal, name ? name : "?");
}
