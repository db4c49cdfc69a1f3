/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/scheduler_file.c: the pipeline files of a scheduler: read at the start, and again when
 * they or the SQL and contracts beside them change. Called by scheduler.c.
 *
 * Change   is seen by the size, time and inode of each file, once a tick. That works on every file
 *          system and for every editor, and a whole project is a few dozen files.
 * Broken   A file that is half written, wrong or gone keeps the schedule that it had. Its runs are
 *          queued when they are due, but wait until it can be read: their process would read it,
 *          too. It is read again at each tick, since what is wrong may be in a file that is not
 *          known yet. */
#include <sys/stat.h>

#include "base/hash.h"
#include "schedule/scheduler_int.h"

static void add_print(uint64_t *print, sm_str path, sm_arena *a)
{
    struct stat at = {0};

    if (path.len > 0 && stat(sm_arena_str(a, path).data, &at) == 0) {
        const uint64_t marks[] = {sm_hash64(path.data, path.len), (uint64_t)at.st_size,
                                  (uint64_t)at.st_ino, (uint64_t)at.st_mtim.tv_sec,
                                  (uint64_t)at.st_mtim.tv_nsec};
        *print += sm_hash64(marks, sizeof(marks));
    }
}

/* Of the files that a pipeline was read from, as they are now. */
static uint64_t print_of(const smi_planned *f, sm_arena *a)
{
    uint64_t print = 1;

    add_print(&print, f->path, a);
    for (int32_t i = 0; f->p && i < sm_pipeline_tasks(f->p); i++) {
        const sm_task_text text = sm_pipeline_task_text(f->p, i);
        add_print(&print, text.sql.name, a);
        add_print(&print, text.contract, a);
    }
    return print;
}

static void keep(smi_scheduler *s, smi_planned *f, sm_pipeline *p)
{
    const int64_t dealt_us = f->dealt_us;
    sm_watched_source *watched = NULL;

    SM_ASSERT(p && !f->is_guest);
    smi_planned_close(f);
    f->arena = sm_arena_new(NULL);
    f->p = p;
    f->times = sm_pipeline_schedule(p);
    f->dealt_us = dealt_us;
    sm_pipeline_watched(p, f->arena, &watched, &f->n_watched);
    f->watched = SM_NEW_ARRAY(f->arena, smi_watched, f->n_watched);
    for (int32_t i = 0; i < f->n_watched; i++) {
        f->watched[i] = (smi_watched){.def = watched[i], .inotify = -1};
    }
    f->print = print_of(f, s->tick);
}

sm_status smi_planned_read(smi_scheduler *s, smi_planned *f, sm_error *e)
{
    sm_pipeline *p = NULL, *old = f->p;

    SM_TRY(sm_pipeline_open(s->o->stores, f->path, &p, e));
    f->p = p; /* is it one that the others can live with? */
    const sm_pipeline_times times = f->times;
    f->times = sm_pipeline_schedule(p);
    const sm_status st = old ? smi_planned_check(s, e) : SM_OK;
    f->p = old;
    f->times = times;
    if (st != SM_OK) {
        sm_pipeline_close(p);
        return st;
    }
    keep(s, f, p);
    return SM_OK;
}

void smi_planned_reload(smi_scheduler *s)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        smi_planned *f = &s->files[i];
        const bool was_read = f->p != NULL;
        sm_error e = {0};
        if (f->is_guest || (f->trouble == 0 && print_of(f, s->tick) == f->print)) {
            continue;
        }
        const sm_status st = smi_planned_read(s, f, &e);
        smi_scheduler_tell(s, &f->trouble, was_read ? "its runs wait until it can be read" : "", st,
                           &e);
        if (st == SM_OK) {
            smi_scheduler_say(s, "%.*s: read again", SM_STR_ARG(f->path));
            s->places[f->place].is_dirty = true;
        }
    }
}

void smi_planned_close(smi_planned *f)
{
    sm_pipeline_close(f->p);
    sm_arena_free(f->arena);
    f->p = NULL;
    f->arena = NULL;
}

/* ---- do they fit together? ------------------------------------------------------------------- */

static int32_t find_name(const smi_scheduler *s, sm_str name)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        if (s->files[i].p && sm_str_eq(sm_pipeline_name(s->files[i].p), name)) {
            return i;
        }
    }
    return -1;
}

/* Is there a way from a pipeline to itself? `seen` counts those on the way. */
static bool has_circle(const smi_scheduler *s, int32_t from, int32_t at, int32_t seen)
{
    const sm_pipeline_times *t = &s->files[at].times;

    for (int32_t i = 0; seen <= s->n_files && i < t->n_after; i++) {
        const int32_t next = find_name(s, t->after[i]);
        if (next == from || (next >= 0 && has_circle(s, from, next, seen + 1))) {
            return true;
        }
    }
    return false;
}

static bool are_all_read(const smi_scheduler *s)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        if (!s->files[i].p && !s->files[i].is_guest) {
            return false;
        }
    }
    return true;
}

static sm_status check_after(const smi_scheduler *s, int32_t i, sm_error *e)
{
    const sm_pipeline_times *t = &s->files[i].times;
    const bool knows_all = are_all_read(s); /* else it may be the name of one that is broken */

    for (int32_t k = 0; knows_all && k < t->n_after; k++) {
        if (find_name(s, t->after[k]) < 0) {
            sm_fail(e, SM_NAME, "after names \"%.*s\", which is no pipeline of this scheduler",
                    SM_STR_ARG(t->after[k]));
            sm_error_place_str(e, s->files[i].path, 0, -1);
            sm_error_todo(e, "Name its file in smelt up, too.");
            return SM_NAME;
        }
    }
    if (t->n_after > 0 && has_circle(s, i, i, 0)) {
        sm_fail(e, SM_INVALID, "pipelines wait for each other in a circle (after)");
        sm_error_place_str(e, s->files[i].path, 0, -1);
        return SM_INVALID;
    }
    return SM_OK;
}

sm_status smi_planned_check(const smi_scheduler *s, sm_error *e)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        const smi_planned *f = &s->files[i];
        if (!f->p) {
            continue;
        }
        const int32_t first = find_name(s, sm_pipeline_name(f->p));
        if (first != i) {
            sm_fail(e, SM_EXISTS, "two pipelines have the name \"%.*s\": %.*s is the other",
                    SM_STR_ARG(sm_pipeline_name(f->p)), SM_STR_ARG(s->files[first].path));
            sm_error_place_str(e, f->path, 0, -1);
            return SM_EXISTS;
        }
        SM_TRY(check_after(s, i, e));
    }
    return SM_OK;
}
