/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/scheduler_queue.c: which runs are due: intervals that have ended, files that have come,
 * runs behind those of other pipelines. They are queued in the state, which starts nothing.
 * Called by scheduler.c.
 *
 * Exactly  A run and the end of its interval are noted in one transaction, so that no interval is
 *          queued twice or forgotten, whenever the scheduler is killed.
 * Pauses   After a pause only the latest interval is run, unless the pipeline catches up. One that
 *          catches up queues a few runs at a time, so that a year of minutes fills no disk.
 * Watch    The files of a source are listed when the system tells of a change there (inotify, for
 *          local folders), at `poll`, and when one has settled. Other files than those at the last
 *          queued run: one more run. A run that is queued and has not begun will see them. After a
 *          start of the scheduler there is one run in any case: what came meanwhile is not known.
 * After    A pipeline runs for an interval when the last runs of all that it names have succeeded
 *          for it, and it has had no run for it since. */
#include <inttypes.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/time.h"
#include "schedule/scheduler_int.h"

#define LATEST 50 /* runs of another pipeline that are looked at: those of the last ticks */

static smi_place *place_of(const smi_scheduler *s, const smi_planned *f)
{
    return &s->places[f->place];
}

static sm_run_new new_run(const smi_planned *f, const sm_due *due, sm_run_kind kind)
{
    return (sm_run_new){.pipeline = sm_pipeline_name(f->p),
                        .file = f->path,
                        .date = due->date,
                        .interval = due->interval,
                        .kind = kind};
}

static sm_status queue(smi_scheduler *s, smi_planned *f, const sm_run_new *run, sm_error *e)
{
    SM_TRY(sm_state_queue(place_of(s, f)->state, run, s->tick, NULL, e));
    f->n_queued++;
    place_of(s, f)->is_dirty = true;
    return SM_OK;
}

/* ---- intervals ------------------------------------------------------------------------------- */

static sm_status queue_interval(smi_scheduler *s, smi_planned *f, const sm_due *due, sm_error *e)
{
    SM_ASSERT(due->interval.end_us > f->dealt_us); /* no interval twice */
    sm_run_new run = new_run(f, due, SM_RUN_SCHEDULED);

    run.up_to_us = due->interval.end_us;
    SM_TRY(queue(s, f, &run, e));
    f->dealt_us = run.up_to_us;
    return SM_OK;
}

/* The latest interval that has ended; those before it, if there are any, are let go. */
static sm_status queue_latest(smi_scheduler *s, smi_planned *f, const sm_due *first, int64_t now_us,
                              sm_error *e)
{
    SM_ASSERT(first->interval.end_us <= now_us);
    const int64_t end_us = sm_cron_last(&f->times.cron, f->times.zone, now_us);
    const sm_due last = smi_schedule_next(&f->times, end_us - 1, s->tick);

    SM_ASSERT(last.interval.end_us == end_us && end_us >= first->interval.end_us);
    if (end_us > first->interval.end_us) {
        smi_scheduler_say(s,
                          "%.*s: the intervals from %.*s to before %.*s ended while no scheduler "
                          "was up, and are skipped (smelt backfill runs them)",
                          SM_STR_ARG(sm_pipeline_name(f->p)), SM_STR_ARG(first->date),
                          SM_STR_ARG(last.date));
    }
    return queue_interval(s, f, &last, e);
}

/* Up to when the schedule of a file is dealt with; a new one begins with the interval that is
 * running now. */
static sm_status find_dealt(smi_scheduler *s, smi_planned *f, int64_t now_us, sm_error *e)
{
    sm_state *state = place_of(s, f)->state;

    SM_TRY(sm_state_dealt(state, f->path, &f->dealt_us, e));
    if (f->dealt_us != 0) {
        return SM_OK;
    }
    const int64_t up_to_us =
        f->times.text.len > 0 ? sm_cron_last(&f->times.cron, f->times.zone, now_us) : now_us;
    SM_TRY(sm_state_set_dealt(state, f->path, up_to_us, e));
    f->dealt_us = up_to_us;
    return SM_OK;
}

static sm_status queue_intervals(smi_scheduler *s, smi_planned *f, int64_t now_us, sm_error *e)
{
    while (f->times.text.len > 0 && f->n_queued < SMI_MOST_QUEUED) {
        const sm_due due = smi_schedule_next(&f->times, f->dealt_us, s->tick);
        if (due.interval.end_us > now_us) {
            break;
        }
        SM_TRY(f->times.catches_up ? queue_interval(s, f, &due, e)
                                   : queue_latest(s, f, &due, now_us, e));
    }
    return SM_OK;
}

/* ---- behind other pipelines ------------------------------------------------------------------ */

static const smi_planned *find_pipeline(const smi_scheduler *s, sm_str name)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        if (s->files[i].p && sm_str_eq(sm_pipeline_name(s->files[i].p), name)) {
            return &s->files[i];
        }
    }
    return NULL;
}

/* The last run of a pipeline for an interval; NULL: none of its latest. */
static sm_status last_run(smi_scheduler *s, const smi_planned *f, int64_t start_us,
                          const sm_run_row **out, sm_error *e)
{
    const sm_run_filter filter = {.pipeline = sm_pipeline_name(f->p), .limit = LATEST};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    *out = NULL;
    SM_TRY(sm_state_runs(place_of(s, f)->state, &filter, s->tick, &rows, &n, e));
    for (int64_t i = 0; i < n && !*out; i++) {
        *out = rows[i].interval.start_us == start_us ? &rows[i] : NULL;
    }
    return SM_OK;
}

/* Have all that a pipeline names succeeded for that interval, and when had the last? */
static sm_status have_succeeded(smi_scheduler *s, const smi_planned *f, int64_t start_us, bool *out,
                                int64_t *ended_us, sm_error *e)
{
    *out = true;
    *ended_us = 0;
    for (int32_t i = 0; *out && i < f->times.n_after; i++) {
        const smi_planned *first = find_pipeline(s, f->times.after[i]);
        const sm_run_row *run = NULL;
        if (first) {
            SM_TRY(last_run(s, first, start_us, &run, e));
        }
        *out = run && run->state == SM_RUN_STATE_SUCCESS;
        *ended_us = *out && run->ended_us > *ended_us ? run->ended_us : *ended_us;
    }
    return SM_OK;
}

static sm_status queue_after(smi_scheduler *s, smi_planned *f, sm_error *e)
{
    const smi_planned *first = f->times.n_after > 0 ? find_pipeline(s, f->times.after[0]) : NULL;
    sm_run_row *rows = NULL;
    int64_t n = 0, ended_us = 0;
    bool is_due = false;

    if (!first) {
        return SM_OK;
    }
    const sm_run_filter filter = {.pipeline = sm_pipeline_name(first->p), .limit = LATEST};
    SM_TRY(sm_state_runs(place_of(s, first)->state, &filter, s->tick, &rows, &n, e));
    for (int64_t i = n - 1; i >= 0; i--) { /* the earliest first */
        const sm_run_row *own = NULL;
        SM_TRY(have_succeeded(s, f, rows[i].interval.start_us, &is_due, &ended_us, e));
        if (is_due && ended_us > f->dealt_us) {
            SM_TRY(last_run(s, f, rows[i].interval.start_us, &own, e));
        }
        if (is_due && ended_us > f->dealt_us && (!own || own->queued_us < ended_us)) {
            const sm_due due = {rows[i].interval, rows[i].date};
            const sm_run_new run = new_run(f, &due, SM_RUN_AFTER);
            SM_TRY(queue(s, f, &run, e));
        }
    }
    return SM_OK;
}

/* ---- files that come ------------------------------------------------------------------------- */

static bool is_waiting(const sm_run_row *rows, int64_t n, const smi_planned *f)
{
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].kind == SM_RUN_WATCH && sm_str_eq(rows[i].file, f->path)) {
            return true;
        }
    }
    return false;
}

static sm_status queue_watch(smi_scheduler *s, smi_planned *f, int64_t now_us, sm_error *e)
{
    const int64_t day_us = INT64_C(86400000000);
    const sm_run_filter filter = {.pipeline = sm_pipeline_name(f->p),
                                  .states = 1u << SM_RUN_STATE_QUEUED};
    char date[SM_TIME_TEXT_BYTES];
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_TRY(sm_state_runs(place_of(s, f)->state, &filter, s->tick, &rows, &n, e));
    if (is_waiting(rows, n, f)) {
        return SM_OK;
    }
    const int64_t day = now_us / day_us;
    sm_format_date((int32_t)day, date);
    const sm_due today = {{day * day_us, (day + 1) * day_us}, sm_str_of(date)};
    const sm_run_new run = new_run(f, &today, SM_RUN_WATCH);
    return queue(s, f, &run, e);
}

/* Asks the system to tell of changes in a local folder; it may not be there yet. */
static void watch_folder(const smi_scheduler *s, smi_watched *w)
{
    const bool is_local =
        s->inotify >= 0 && memchr(w->def.folder.data, ':', w->def.folder.len) == NULL;

    if (is_local) { /* again each time: the folder may have been replaced by another one */
        w->inotify = inotify_add_watch(s->inotify, sm_arena_str(s->tick, w->def.folder).data,
                                       IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE);
    }
}

static sm_status look_at_files(smi_scheduler *s, smi_planned *f, int64_t now_us, sm_error *e)
{
    for (int32_t i = 0; i < f->n_watched; i++) {
        smi_watched *w = &f->watched[i];
        sm_watched_files files = {0};
        if (w->look_us > now_us) {
            continue;
        }
        watch_folder(s, w); /* before the listing: a change after it is told */
        w->look_us = now_us + w->def.poll_us;
        SM_TRY(sm_watched_look(&w->def, s->o->stores, now_us, &files, e));
        if (files.next_us > 0 && files.next_us < w->look_us) {
            w->look_us = files.next_us;
        }
        if (files.n > 0 && files.print != w->print) {
            SM_TRY(queue_watch(s, f, now_us, e));
            w->print = files.print;
        }
    }
    return SM_OK;
}

void smi_watch_events(smi_scheduler *s)
{
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t n = 0;

    while ((n = read(s->inotify, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
            for (int32_t i = 0; i < s->n_files; i++) {
                for (int32_t k = 0; k < s->files[i].n_watched; k++) {
                    smi_watched *w = &s->files[i].watched[k];
                    w->look_us = w->inotify == event->wd || (event->mask & IN_Q_OVERFLOW) != 0
                                     ? 0
                                     : w->look_us;
                }
            }
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static sm_status queue_file(smi_scheduler *s, smi_planned *f, int64_t now_us, sm_error *e)
{
    if (f->dealt_us == 0) {
        SM_TRY(find_dealt(s, f, now_us, e));
    }
    SM_TRY(queue_intervals(s, f, now_us, e));
    SM_TRY(queue_after(s, f, e));
    return look_at_files(s, f, now_us, e);
}

void smi_queue_due(smi_scheduler *s)
{
    const int64_t now_us = smi_scheduler_now(s);

    for (int32_t i = 0; i < s->n_files; i++) {
        smi_planned *f = &s->files[i];
        sm_error e = {0};
        if (f->p) {
            const sm_status st = queue_file(s, f, now_us, &e);
            smi_scheduler_tell(s, &f->queue_trouble, "what is due could not be queued", st, &e);
        }
    }
}

int64_t smi_queue_next(const smi_scheduler *s)
{
    int64_t next_us = INT64_MAX;

    for (int32_t i = 0; i < s->n_files; i++) {
        const smi_planned *f = &s->files[i];
        if (f->p && f->times.text.len > 0 && f->n_queued < SMI_MOST_QUEUED) {
            const int64_t due_us = sm_cron_next(&f->times.cron, f->times.zone, f->dealt_us);
            next_us = due_us < next_us ? due_us : next_us;
        }
        for (int32_t k = 0; f->p && k < f->n_watched; k++) {
            const int64_t look_us = f->watched[k].look_us;
            next_us = look_us < next_us ? look_us : next_us;
        }
    }
    return next_us;
}
