/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/scheduler_runs.c: the processes of runs: started, watched, and asked to end. Called by
 * scheduler.c.
 *
 * Truth    is in the state, which each process writes itself. Of its own children the scheduler
 *          knows only that they have ended; what became of the run, the state says. So a scheduler
 *          that was killed loses nothing: runs that live on hold their locks, and are left alone
 *          until these are free.
 * Lost     A run that is RUNNING and whose lock is free has lost its process (killed, out of
 *          memory). It is started again, three times at most.
 * Met      A run that failed as another writer came first (exit code 4) has done nothing, and is
 *          queued again. Runs of one pipeline at once meet like that.
 * Order    of the runs of a pipeline is that of the queue; as many at once as it allows, and as
 *          many in all as the scheduler may. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_doc.h"
#include "base/time.h"
#include "schedule/scheduler_int.h"

#define MOST_ARGUMENTS 256

static smi_child *find_child(smi_scheduler *s, int32_t place, int64_t number)
{
    for (int32_t i = 0; i < s->n_children; i++) {
        if (s->children[i].place == place && s->children[i].number == number) {
            return &s->children[i];
        }
    }
    return NULL;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Where a process of a run prints; −1: nowhere, which is said. */
static int open_log(smi_scheduler *s, const smi_place *place, const sm_run_row *run)
{
    const sm_str folder = sm_state_logs(place->state, run->id, s->tick);
    const char *parent =
        sm_arena_printf(s->tick, "%.*s/logs", SM_STR_ARG(sm_state_path(place->state)));
    const char *path =
        sm_arena_printf(s->tick, "%.*s/%d.log", SM_STR_ARG(folder), run->processes + 1);

    (void)mkdir(parent, 0777); /* what fails here fails at the file, too */
    (void)mkdir(folder.data, 0777);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        sm_error e = {0};
        (void)sm_fail_errno(&e, errno, "run %.*s has no log %s", SM_STR_ARG(run->id), path);
        smi_scheduler_say(s, "%s", e.what);
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    return fd;
}

/* The words of the command; false: there are too many, or the run's own are none. */
static bool command_of(smi_scheduler *s, const sm_run_row *run, const char **argv)
{
    const sm_json *own = NULL;
    const char *first[] = {s->o->program.data, "run",      run->file.data, "--date",
                           run->date.data,     "--run-id", run->id.data};
    int n = 0;

    for (int i = 0; i < SM_COUNT(first); i++) {
        argv[n++] = first[i];
    }
    for (int32_t i = 0; i < s->o->n_arguments; i++) {
        argv[n++] = s->o->arguments[i].data;
    }
    if (sm_json_parse(run->arguments, s->tick, &own, NULL) != SM_OK ||
        own->n_children > MOST_ARGUMENTS - n - 1) {
        return false;
    }
    for (const sm_json *v = own->child; v; v = v->next) {
        argv[n++] = sm_arena_str(s->tick, sm_json_text(v)).data;
    }
    argv[n] = NULL;
    return true;
}

static sm_status start_process(smi_scheduler *s, smi_child *c, const sm_run_row *run, sm_error *e)
{
    const char *argv[MOST_ARGUMENTS];

    SM_ASSERT(s->o->n_arguments < MOST_ARGUMENTS / 2 && s->o->program.len > 0);
    if (!command_of(s, run, argv)) {
        return sm_fail(e, SM_INVALID, "the arguments of run %.*s are damaged", SM_STR_ARG(run->id));
    }
    const int log = open_log(s, &s->places[c->place], run);
    const sm_process_opts opts = {.argv = argv, .output = log};
    const sm_status st = sm_process_start(&opts, &c->process, e);
    if (log >= 0) {
        close(log);
    }
    return st;
}

static void start(smi_scheduler *s, int32_t place, int32_t file, const sm_run_row *run)
{
    SM_ASSERT(s->n_children < s->max_runs && s->n_files > file);
    smi_child *c = &s->children[s->n_children];
    sm_error e = {0};

    *c = (smi_child){
        .place = place, .file = file, .number = run->number, .processes = run->processes};
    snprintf(c->id, sizeof(c->id), "%.*s", SM_STR_ARG(run->id));
    c->run = sm_str_of(c->id);
    const sm_status st = start_process(s, c, run, &e);
    if (st == SM_OK) {
        s->n_children++;
        s->files[file].n_active++;
        smi_scheduler_say(s, "%.*s: started%s", SM_STR_ARG(run->id),
                          run->state == SM_RUN_STATE_RUNNING ? " again: its process was lost" : "");
    }
    s->is_short = st != SM_OK;
    smi_scheduler_tell(s, &s->places[place].start_trouble, "a run could not be started", st, &e);
}

/* ---- runs of a state ------------------------------------------------------------------------- */

/* The number of a run's pipeline file. Runs of others were queued by hand: a backfill, or a run
 * that was cleared. −1: there are too many of these. */
static int32_t find_file(smi_scheduler *s, int32_t place, const sm_run_row *run)
{
    for (int32_t i = 0; i < s->n_files; i++) {
        if (s->files[i].place == place && sm_str_eq(s->files[i].path, run->file)) {
            return i;
        }
    }
    if (s->n_files == s->o->n_files + SMI_MOST_GUESTS) {
        return -1;
    }
    s->files[s->n_files] = (smi_planned){.path = sm_arena_str(s->arena, run->file),
                                         .place = place,
                                         .is_guest = true,
                                         .times = {.max_runs = 1}};
    return s->n_files++;
}

/* The scheduler of a backfill runs nothing else. */
static bool is_ours(const smi_scheduler *s, int32_t file, const sm_run_row *run)
{
    return file >= 0 && (!s->o->is_backfill || run->kind == SM_RUN_BACKFILL);
}

static int32_t max_runs_of(const smi_scheduler *s, const smi_planned *f)
{
    return s->o->is_backfill ? s->max_runs : f->times.max_runs;
}

/* A run that has no process and will get no other one; *is_over says so. */
static sm_status give_up(smi_scheduler *s, sm_state *state, const sm_run_row *run, bool *is_over,
                         sm_error *e)
{
    const bool is_lost = run->state == SM_RUN_STATE_RUNNING;

    *is_over = true;
    if (is_lost && run->is_cancelling) {
        return sm_state_order(state, run->id, SM_RUN_CANCEL, SM_STR(""), e);
    }
    *is_over = is_lost && run->failures + 1 >= SMI_MOST_LOST;
    if (*is_over) {
        smi_scheduler_say(s, "%.*s: failed: its process was lost %d times", SM_STR_ARG(run->id),
                          SMI_MOST_LOST);
        return sm_state_give_up(state, run->id,
                                sm_arena_strf(s->tick,
                                              "its process ended %d times without noting an end",
                                              SMI_MOST_LOST),
                                e);
    }
    return SM_OK;
}

/* One run that is queued or running. */
static sm_status look_at_run(smi_scheduler *s, int32_t place, const sm_run_row *run, sm_error *e)
{
    sm_state *state = s->places[place].state;
    const int32_t file = find_file(s, place, run);
    bool is_alive = find_child(s, place, run->number) != NULL, is_over = false;

    if (!is_ours(s, file, run)) {
        return SM_OK;
    }
    SM_ASSERT(run->state <= SM_RUN_STATE_RUNNING);
    smi_planned *f = &s->files[file];
    f->n_queued += run->state == SM_RUN_STATE_QUEUED;
    if (!is_alive) {
        SM_TRY(sm_state_is_alive(state, run->number, &is_alive, e));
    }
    if (is_alive) {
        f->n_active++;
        s->n_adopted += find_child(s, place, run->number) == NULL;
        return SM_OK;
    }
    SM_TRY(give_up(s, state, run, &is_over, e));
    const bool has_room = f->n_active < max_runs_of(s, f) &&
                          s->n_children + s->n_adopted < s->max_runs && !s->is_ending;
    if (!is_over && has_room && (f->is_guest || (f->p && f->trouble == 0))) {
        start(s, place, file, run);
    }
    return SM_OK;
}

static sm_status look_at_place(smi_scheduler *s, int32_t place, sm_error *e)
{
    const sm_run_filter alive = {.states = 1u << SM_RUN_STATE_QUEUED | 1u << SM_RUN_STATE_RUNNING};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_TRY(sm_state_runs(s->places[place].state, &alive, s->tick, &rows, &n, e));
    for (int32_t i = 0; i < s->n_files; i++) {
        if (s->files[i].place == place) {
            s->files[i].n_queued = s->files[i].n_active = 0;
        }
    }
    for (int64_t i = n - 1; i >= 0; i--) { /* the earliest first */
        SM_TRY(look_at_run(s, place, &rows[i], e));
    }
    return SM_OK;
}

/* ---- children that have ended ---------------------------------------------------------------- */

/* What became of a run whose process has ended. One that never took the run in hand (it could not
 * be started, its options are wrong) would fail again: the run has failed. */
static sm_status note_end(smi_scheduler *s, const smi_child *c, const sm_process_end *end,
                          sm_error *e)
{
    sm_state *state = s->places[c->place].state;
    sm_run_row run = {0};
    bool is_alive = false;
    char what[64];

    SM_TRY(smi_state_run(state, c->run, s->tick, &run, e));
    SM_TRY(sm_state_is_alive(state, c->number, &is_alive, e));
    snprintf(what, sizeof(what), "%s %d", end->signal ? "signal" : "exit code",
             end->signal ? end->signal : end->exit_code);
    const bool is_queued = run.state == SM_RUN_STATE_QUEUED;
    if (is_queued && run.processes == c->processes && !is_alive && c->asked_us == 0 &&
        end->signal == 0) {
        const sm_str error =
            sm_arena_strf(s->tick, "its process ended before it began the run: %s. Its log: %.*s",
                          what, SM_STR_ARG(sm_state_logs(state, c->run, s->tick)));
        smi_scheduler_say(s, "%.*s: failed: %.*s", SM_STR_ARG(c->run), SM_STR_ARG(error));
        return sm_state_give_up(state, c->run, error, e);
    }
    if (run.state == SM_RUN_STATE_FAILED && end->exit_code == sm_status_exit(SM_CONFLICT) &&
        run.processes < SMI_MOST_MET) {
        smi_scheduler_say(s, "%.*s: queued again, as it met another writer", SM_STR_ARG(c->run));
        return sm_state_order(state, c->run, SM_RUN_CLEAR, SM_STR(""), e);
    }
    if (!is_queued && run.state != SM_RUN_STATE_RUNNING) {
        smi_scheduler_say(s, "%.*s: %s in %.1f s", SM_STR_ARG(c->run), sm_run_state_name(run.state),
                          (double)(run.ended_us - run.started_us) / 1e6);
    } else {
        smi_scheduler_say(s, "%.*s: its process ended (%s)", SM_STR_ARG(c->run), what);
    }
    return SM_OK;
}

/* A run that was cancelled is asked by whoever cancelled it; here it is only not waited for for
 * ever. */
static sm_status press(smi_scheduler *s, smi_child *c, sm_error *e)
{
    sm_run_row run = {0};

    if (c->asked_us == 0) {
        SM_TRY(smi_state_run(s->places[c->place].state, c->run, s->tick, &run, e));
        c->asked_us = run.is_cancelling ? sm_now_us() : 0;
    } else if (!c->is_killed && !s->is_ending && sm_now_us() - c->asked_us > SMI_GRACE_US) {
        smi_scheduler_say(s, "%.*s: killed, as it has not ended in %d s", SM_STR_ARG(c->run),
                          (int)(SMI_GRACE_US / 1000000));
        sm_process_signal(c->process, SIGKILL);
        c->is_killed = true;
    }
    return SM_OK;
}

static void look_at_children(smi_scheduler *s)
{
    for (int32_t i = 0; i < s->n_children;) {
        smi_child *c = &s->children[i];
        smi_place *place = &s->places[c->place];
        sm_process_end end = {0};
        sm_error e = {0};
        const bool has_ended = sm_process_wait(c->process, 0, &end);
        const sm_status st = has_ended         ? note_end(s, c, &end, &e)
                             : place->is_dirty ? press(s, c, &e)
                             : c->asked_us > 0 ? press(s, c, &e)
                                               : SM_OK;
        smi_scheduler_tell(s, &place->trouble, "the state of a run", st, &e);
        if (!has_ended) {
            i++;
            continue;
        }
        place->is_dirty = true;
        sm_process_close(c->process);
        s->children[i] = s->children[--s->n_children];
        s->children[i].run = sm_str_of(s->children[i].id);
    }
}

void smi_runs_look(smi_scheduler *s)
{
    for (int32_t i = 0; i < s->n_places; i++) {
        bool has_changed = false;
        sm_error e = {0};
        const sm_status st = sm_state_has_changed(s->places[i].state, &has_changed, &e);
        smi_scheduler_tell(s, &s->places[i].trouble, "the state of runs", st, &e);
        s->places[i].is_dirty = s->places[i].is_dirty || has_changed || s->n_adopted > 0;
    }
    look_at_children(s);
    s->n_adopted = 0;
    for (int32_t i = 0; i < s->n_places; i++) {
        smi_place *place = &s->places[i];
        sm_error e = {0};
        if (place->is_dirty) {
            const sm_status st = look_at_place(s, i, &e);
            smi_scheduler_tell(s, &place->trouble, "the state of runs", st, &e);
            place->is_dirty = st != SM_OK || s->is_short;
            s->is_short = false;
        }
    }
}

int64_t smi_runs_left(const smi_scheduler *s)
{
    int64_t n = s->n_children;

    for (int32_t i = 0; i < s->n_files; i++) {
        n += s->files[i].n_queued + s->files[i].n_active;
    }
    return n;
}

void smi_runs_end(smi_scheduler *s)
{
    const int64_t began_us = sm_now_us();

    s->is_ending = true;
    for (int32_t i = 0; i < s->n_children; i++) {
        sm_process_signal(s->children[i].process, SIGTERM);
        s->children[i].asked_us = began_us;
    }
    while (s->n_children > 0 && sm_now_us() - began_us < SMI_GRACE_US) {
        sm_process_end unused;
        (void)sm_process_wait(s->children[0].process, 100, &unused);
        look_at_children(s);
        sm_arena_reset(s->tick);
    }
    for (int32_t i = 0; i < s->n_children; i++) {
        smi_scheduler_say(s,
                          "%.*s: killed, as it has not ended in %d s; the next scheduler starts "
                          "it again",
                          SM_STR_ARG(s->children[i].run), (int)(SMI_GRACE_US / 1000000));
        sm_process_close(s->children[i].process);
    }
    s->n_children = 0;
}
