/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/scheduler.c: the scheduler: opens its pipelines and states, and turns its loop until it
 * is cancelled. Called by smelt up and smelt backfill.
 *
 * Loop     reads files that changed, queues what is due, looks after runs, and waits for what comes
 *          first: the next due run, the end of a process, a change in a watched folder, or a second
 *          that has passed. One thread; memory of a turn is freed with the turn.
 * Killed   All that it knows is in the state, so the next scheduler goes on from there.
 * Failing  What fails after the start is said and tried again at the next turn; it never ends the
 *          scheduler. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/time.h"
#include "schedule/scheduler_int.h"

#define MAX_RUNS 2 /* at once, if nothing is said: each uses all cores where it can */

/* ---- saying ---------------------------------------------------------------------------------- */

int64_t smi_scheduler_now(const smi_scheduler *s)
{
    return s->o->now_us ? s->o->now_us(s->o->ctx) : sm_now_us();
}

void smi_scheduler_say(const smi_scheduler *s, const char *fmt, ...)
{
    char line[1500];
    va_list args;

    if (s->o->say) {
        va_start(args, fmt);
        vsnprintf(line, sizeof(line), fmt, args);
        va_end(args);
        s->o->say(s->o->ctx, line);
    }
}

void smi_scheduler_tell(const smi_scheduler *s, uint64_t *said, const char *what, sm_status st,
                        const sm_error *e)
{
    char place[1200];

    if (st == SM_OK) {
        *said = 0;
        return;
    }
    sm_error_format_place(e, place, sizeof(place));
    const uint64_t now =
        sm_hash64(e->what, strlen(e->what)) ^ sm_hash64(place, strlen(place)) ^ (uint64_t)st;
    if (*said != now) {
        smi_scheduler_say(s, "error: %s%s%s%s%s", place, *place ? ": " : "", e->what,
                          *what ? ": " : "", what);
    }
    *said = now == 0 ? 1 : now;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The path from the root, so that runs find the file from any folder. */
static sm_status whole_path(smi_scheduler *s, sm_str file, sm_str *out, sm_error *e)
{
    char folder[4096];

    if (memmem(file.data, file.len, "://", 3) != NULL) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "a scheduler runs pipeline files of this machine, not %.*s",
                       SM_STR_ARG(file));
    }
    if (file.len > 0 && file.data[0] == '/') {
        *out = sm_arena_str(s->arena, file);
        return SM_OK;
    }
    if (!getcwd(folder, sizeof(folder))) {
        return sm_fail_errno(e, errno, "could not find the path of this folder");
    }
    while (sm_str_starts(file, SM_STR("./"))) {
        file = (sm_str){file.data + 2, file.len - 2};
    }
    *out = sm_arena_strf(s->arena, "%s/%.*s", folder, SM_STR_ARG(file));
    return SM_OK;
}

/* The state of a file, opened and locked once for all files of it. */
static sm_status open_place(smi_scheduler *s, smi_planned *f, sm_error *e)
{
    const sm_str folder = sm_state_folder(f->path, s->arena);

    for (f->place = 0; f->place < s->n_places; f->place++) {
        if (sm_str_eq(sm_state_path(s->places[f->place].state), folder)) {
            return SM_OK;
        }
    }
    smi_place *place = &s->places[s->n_places];
    *place = (smi_place){.is_dirty = true};
    SM_TRY(sm_state_open(folder, true, &place->state, e));
    s->n_places++;
    return smi_lock_scheduler(place->state, e);
}

static sm_status open_files(smi_scheduler *s, sm_error *e)
{
    sm_status st = SM_OK;
    int32_t n_read = 0;

    for (int32_t i = 0; i < s->o->n_files; i++) {
        smi_planned *f = &s->files[s->n_files];
        sm_error why = {0};
        SM_TRY(whole_path(s, s->o->files[i], &f->path, e));
        SM_TRY(open_place(s, f, e));
        s->n_files++;
        st = smi_planned_read(s, f, &why);
        n_read += st == SM_OK;
        if (st != SM_OK && s->o->n_files == 1) {
            *e = why;
            return st;
        }
        smi_scheduler_tell(s, &f->trouble, "it is read again when it changes", st, &why);
    }
    if (n_read == 0) {
        return sm_fail(e, SM_INVALID, "none of the %d pipelines can be read", s->n_files);
    }
    return smi_planned_check(s, e);
}

static sm_status find_program(smi_scheduler *s, sm_scheduler_opts *o, sm_error *e)
{
    char path[4096];

    if (o->program.len > 0) {
        o->program = sm_arena_str(s->arena, o->program);
        return SM_OK;
    }
    const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n < 0) {
        return sm_fail_errno(e, errno, "could not find the path of this program");
    }
    path[n] = '\0';
    /* After an update of the program the old one is found by this name only. */
    o->program = access(path, X_OK) == 0 ? sm_arena_str(s->arena, (sm_str){path, (size_t)n})
                                         : SM_STR("/proc/self/exe");
    return SM_OK;
}

static void close_all(smi_scheduler *s)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        smi_planned_close(&s->files[i]);
    }
    for (int32_t i = 0; i < s->n_places; i++) {
        sm_state_close(s->places[i].state);
    }
    if (s->inotify >= 0) {
        close(s->inotify);
    }
    sm_arena_free(s->tick);
    sm_arena_free(s->arena);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int wait_ms(const smi_scheduler *s)
{
    const int64_t next_us = smi_queue_next(s);
    const int64_t left_us = next_us - smi_scheduler_now(s);
    const int64_t left_ms = left_us < 0 ? 0 : left_us / 1000 + 1;

    if (s->o->now_us) {
        return s->n_children > 0 ? SMI_TICK_MS : 0; /* a clock of tests moves by itself */
    }
    return next_us != INT64_MAX && left_ms < SMI_TICK_MS ? (int)left_ms : SMI_TICK_MS;
}

static void wait_for_anything(smi_scheduler *s)
{
    struct pollfd *fds = SM_NEW_ARRAY(s->tick, struct pollfd, s->n_children + 1);
    nfds_t n = 0;

    for (int32_t i = 0; i < s->n_children; i++) {
        fds[n++] =
            (struct pollfd){.fd = sm_process_descriptor(s->children[i].process), .events = POLLIN};
    }
    fds[n++] = (struct pollfd){.fd = s->inotify, .events = POLLIN};
    (void)poll(fds, n, wait_ms(s)); /* interrupted: the loop looks why */
    if ((fds[n - 1].revents & POLLIN) != 0) {
        smi_watch_events(s);
    }
}

static void run(smi_scheduler *s)
{
    SM_ASSERT(s->n_files == s->o->n_files && s->n_places > 0);
    while (!sm_cancel_is_set(s->o->cancel)) {
        sm_arena_reset(s->tick);
        if (!s->o->is_backfill) {
            smi_planned_reload(s);
            smi_queue_due(s);
        }
        smi_runs_look(s);
        if (s->o->is_backfill && smi_runs_left(s) == 0) {
            return;
        }
        wait_for_anything(s);
    }
    smi_runs_end(s);
}

sm_status sm_scheduler_run(const sm_scheduler_opts *o, sm_error *e)
{
    sm_scheduler_opts own = *o;
    sm_arena *a = sm_arena_new(NULL);
    smi_scheduler s = {.o = &own,
                       .arena = a,
                       .tick = sm_arena_new(NULL),
                       .files = SM_NEW_ARRAY(a, smi_planned, o->n_files + SMI_MOST_GUESTS),
                       .places = SM_NEW_ARRAY(a, smi_place, o->n_files),
                       .max_runs = o->max_runs > 0 ? o->max_runs : MAX_RUNS,
                       .inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    s.children = SM_NEW_ARRAY(a, smi_child, s.max_runs + 1);

    sm_status st = find_program(&s, &own, e);
    if (st == SM_OK) {
        st = open_files(&s, e);
    }
    if (st == SM_OK) {
        smi_scheduler_say(&s, "up: %d pipeline%s", s.n_files, s.n_files == 1 ? "" : "s");
        run(&s);
        smi_scheduler_say(&s, "down");
    }
    close_all(&s);
    return st;
}
