/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/state_test.c: runs of the state, orders, locks of processes that live and die, a state
 * that is damaged, of a later version, locked, or on a disk that is full. */
#include "scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/time.h"
#include "schedule/schedule_int.h"

typedef struct place {
    scratch at;
    char folder[260];
    sm_arena *arena;
} place;

static int set_up_place(void **state)
{
    place *p = test_calloc(1, sizeof(*p));

    p->at = scratch_new();
    snprintf(p->folder, sizeof(p->folder), "%s/.smelt", p->at.path);
    p->arena = sm_arena_new(NULL);
    *state = p;
    return 0;
}

static int tear_down_place(void **state)
{
    place *p = *state;

    sm_arena_free(p->arena);
    scratch_free(&p->at);
    test_free(p);
    return 0;
}

static sm_state *open_state(const place *p)
{
    sm_error e = {0};
    sm_state *s = NULL;

    assert_ok(sm_state_open(sm_str_of(p->folder), true, &s, &e), &e);
    return s;
}

static const sm_run_new sales = {
    .pipeline = {"sales", 5},
    .file = {"/p/sales.yaml", 13},
    .date = {"2022-04-30", 10},
    .interval = {.start_us = 1651276800000000, .end_us = 1651363200000000},
    .kind = SM_RUN_SCHEDULED,
};

static sm_str queue(const place *p, sm_state *s, const sm_run_new *run)
{
    sm_error e = {0};
    sm_str id = {0};

    assert_ok(sm_state_queue(s, run, p->arena, &id, &e), &e);
    return id;
}

static sm_run_row read_run(const place *p, sm_state *s, sm_str id)
{
    sm_error e = {0};
    sm_run_row *rows = NULL;
    int64_t n = 0;
    const sm_run_filter f = {.id = id, .wants_report = true};

    assert_ok(sm_state_runs(s, &f, p->arena, &rows, &n, &e), &e);
    assert_int_equal(n, 1);
    return rows[0];
}

static int64_t count_runs(const place *p, sm_state *s, uint32_t states)
{
    sm_error e = {0};
    sm_run_row *rows = NULL;
    int64_t n = 0;
    const sm_run_filter f = {.states = states};

    assert_ok(sm_state_runs(s, &f, p->arena, &rows, &n, &e), &e);
    return n;
}

static void begin_task(const sm_run_listener *l, const char *name, sm_task_kind kind, int attempt)
{
    l->begin(l->ctx, &(sm_task_begin){.name = sm_str_of(name), .kind = kind, .attempt = attempt});
}

static void end_task(const sm_run_listener *l, const char *name, sm_status st)
{
    l->end(l->ctx,
           &(sm_task_report){.name = sm_str_of(name), .status = st, .rows = 7, .bytes = 70});
}

/* ---- a run's life ---------------------------------------------------------------------------- */

static void test_life(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_run_notes *n = NULL;
    sm_attempt_row *attempts = NULL;
    int64_t n_attempts = 0;

    const sm_str id = queue(p, s, &sales);
    assert_true(sm_str_starts(id, SM_STR("sales-2022-04-30-")));
    sm_run_row run = read_run(p, s, id);
    assert_int_equal(run.state, SM_RUN_STATE_QUEUED);
    assert_int_equal(run.kind, SM_RUN_SCHEDULED);
    assert_int_equal(run.number, 1);
    assert_true(sm_str_is(run.arguments, "[]"));
    assert_true(run.queued_us > 0 && run.started_us == 0 && run.ended_us == 0);

    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    assert_int_equal(sm_run_notes_interval(n).start_us, sales.interval.start_us);
    const sm_run_listener l = sm_run_notes_listener(n, &(sm_run_listener){0});
    begin_task(&l, "raw.a", SM_TASK_LOAD, 1);
    end_task(&l, "raw.a", SM_IO);
    sm_fail(&e, SM_IO, "the cable broke");
    l.again(l.ctx, &(sm_task_report){.name = SM_STR("raw.a")}, &e, 0);
    begin_task(&l, "raw.a", SM_TASK_LOAD, 2);
    run = read_run(p, s, id);
    assert_int_equal(run.state, SM_RUN_STATE_RUNNING);
    assert_int_equal(run.pid, getpid());
    end_task(&l, "raw.a", SM_OK);
    assert_ok(sm_run_notes_end(n, SM_RUN_STATE_SUCCESS, SM_STR("{}"), SM_STR(""), &e), &e);
    sm_run_notes_close(n);

    run = read_run(p, s, id);
    assert_int_equal(run.state, SM_RUN_STATE_SUCCESS);
    assert_true(sm_str_is(run.report, "{}"));
    assert_true(run.ended_us >= run.started_us && run.started_us >= run.queued_us);
    assert_ok(sm_state_attempts(s, id, p->arena, &attempts, &n_attempts, &e), &e);
    assert_int_equal(n_attempts, 2);
    assert_int_equal(attempts[0].state, SM_ATTEMPT_FAILED);
    assert_true(sm_str_is(attempts[0].error, "the cable broke"));
    assert_int_equal(attempts[1].state, SM_ATTEMPT_SUCCESS);
    assert_int_equal(attempts[1].rows, 7);
    assert_true(sm_str_is(attempts[1].error, ""));
    assert_status(sm_run_notes_open(s, id, &sales, &n, &e), SM_INVALID, &e);
    sm_state_close(s);
}

/* A name with what paths mean makes an id that names one folder; such an id is refused. */
static void test_ids(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_run_notes *n = NULL;
    sm_run_new run = sales;

    run.pipeline = SM_STR("../a b/\n");
    const sm_str id = queue(p, s, &run);
    assert_true(sm_str_starts(id, SM_STR("_._a_b__-2022-04-30-")));
    static const char *const wrong[] = {"../x", ".x", "a/b", "a b", "a\n"};
    for (int i = 0; i < SM_COUNT(wrong); i++) {
        assert_status(sm_run_notes_open(s, sm_str_of(wrong[i]), &sales, &n, &e), SM_INVALID, &e);
    }
    assert_int_equal(count_runs(p, s, 0), 1);
    sm_state_close(s);
}

static void test_filters(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_run_new other = sales;
    sm_run_row *rows = NULL;
    int64_t n = 0;

    other.pipeline = SM_STR("o'ther");
    queue(p, s, &sales);
    queue(p, s, &other);
    const sm_str last = queue(p, s, &sales);
    assert_ok(sm_state_order(s, last, SM_RUN_CANCEL, SM_STR(""), &e), &e);
    const struct {
        sm_run_filter f;
        int64_t n;
    } cases[] = {
        {{.pipeline = SM_STR("o'ther")}, 1},
        {{.id = SM_STR("sales")}, 2},
        {{.id = SM_STR("sales%")}, 0},
        {{.limit = 2}, 2},
        {{.states = 1u << SM_RUN_STATE_QUEUED}, 2},
        {{.states = 1u << SM_RUN_STATE_CANCELLED}, 1},
        {{.states = 1u << SM_RUN_STATE_CANCELLED | 1u << SM_RUN_STATE_QUEUED}, 3},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        assert_ok(sm_state_runs(s, &cases[i].f, p->arena, &rows, &n, &e), &e);
        assert_int_equal(n, cases[i].n);
    }
    assert_true(rows[0].number == 3 && rows[2].number == 1); /* the latest first */
    sm_state_close(s);
}

static void test_dealt(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_run_new run = sales;
    int64_t at = -1;

    assert_ok(sm_state_dealt(s, sales.file, &at, &e), &e);
    assert_int_equal(at, 0);
    run.up_to_us = 100;
    queue(p, s, &run);
    assert_ok(sm_state_set_dealt(s, sales.file, 50, &e), &e);
    assert_ok(sm_state_dealt(s, sales.file, &at, &e), &e);
    assert_int_equal(at, 100); /* never back */
    sm_state_close(s);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void test_orders(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_run_new run = sales;
    sm_run_notes *n = NULL;
    sm_run_earlier earlier = {0};

    run.arguments = SM_STR("[\"--var\",\"a=b\",\"--task\",\"x\"]");
    const sm_str id = queue(p, s, &run);
    assert_status(sm_state_order(s, SM_STR("nobody"), SM_RUN_CANCEL, SM_STR(""), &e), SM_NOT_FOUND,
                  &e);
    assert_status(sm_state_order(s, id, SM_RUN_CLEAR, SM_STR(""), &e), SM_INVALID, &e);
    assert_ok(sm_state_order(s, id, SM_RUN_MARK_FAILED, SM_STR(""), &e), &e);
    assert_status(sm_state_order(s, id, SM_RUN_CANCEL, SM_STR(""), &e), SM_INVALID, &e);
    assert_int_equal(read_run(p, s, id).state, SM_RUN_STATE_FAILED);
    assert_ok(sm_state_order(s, id, SM_RUN_CLEAR, SM_STR("raw.a"), &e), &e);
    sm_run_row row = read_run(p, s, id);
    assert_int_equal(row.state, SM_RUN_STATE_QUEUED);
    assert_true(sm_str_is(row.arguments, "[\"--var\",\"a=b\",\"--select\",\"raw.a+\"]"));
    assert_true(row.error.len == 0);

    /* What was done before it was cleared does not count. */
    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    sm_run_listener l = sm_run_notes_listener(n, &(sm_run_listener){0});
    begin_task(&l, "click.a", SM_TASK_PUBLISH, 1);
    end_task(&l, "click.a", SM_OK);
    sm_run_notes_close(n);
    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    assert_ok(sm_run_notes_earlier(n, p->arena, &earlier, &e), &e);
    assert_int_equal(earlier.n_done, 1);
    assert_true(sm_str_is(earlier.done[0], "click.a"));
    assert_int_equal(earlier.since_us, row.queued_us);
    assert_int_equal(read_run(p, s, id).failures, 1);
    assert_ok(sm_run_notes_end(n, SM_RUN_STATE_FAILED, SM_STR("{}"), SM_STR("why"), &e), &e);
    sm_run_notes_close(n);
    assert_ok(sm_state_order(s, id, SM_RUN_CLEAR, SM_STR(""), &e), &e);
    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    assert_ok(sm_run_notes_earlier(n, p->arena, &earlier, &e), &e);
    assert_int_equal(earlier.n_done, 0);
    assert_int_equal(earlier.since_us, 0);
    sm_run_notes_close(n);
    sm_state_close(s);
}

static void test_forget(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    char path[800];
    int64_t n = 0;

    const sm_str old = queue(p, s, &sales), alive = queue(p, s, &sales);
    snprintf(path, sizeof(path), "mkdir -p '%s/logs/%.*s' && touch '%s/logs/%.*s/1.log'", p->folder,
             SM_STR_ARG(old), p->folder, SM_STR_ARG(old));
    assert_int_equal(system(path), 0);
    assert_ok(sm_state_order(s, old, SM_RUN_CANCEL, SM_STR(""), &e), &e);
    assert_ok(sm_state_forget(s, sm_now_us() - 1000000000, &n, &e), &e);
    assert_int_equal(n, 0);
    assert_ok(sm_state_forget(s, sm_now_us() + 1, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_int_equal(count_runs(p, s, 0), 1);
    assert_int_equal(read_run(p, s, alive).state, SM_RUN_STATE_QUEUED);
    snprintf(path, sizeof(path), "%s/logs/%.*s", p->folder, SM_STR_ARG(old));
    assert_int_not_equal(access(path, F_OK), 0);
    /* Numbers, which are locks, are never used again. */
    assert_int_equal(read_run(p, s, queue(p, s, &sales)).number, 3);
    sm_state_close(s);
}

/* ---- other processes ------------------------------------------------------------------------- */

/* A child that runs `work` with the state, says so by a byte, and then waits to be killed. */
static pid_t start_child(const place *p, void (*work)(sm_state *s, sm_str id), sm_str id)
{
    int ready[2];
    char byte = 0;

    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        work(open_state(p), id);
        (void)!write(ready[1], "x", 1);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static int kill_child(pid_t child, int signal)
{
    int status = 0;

    if (signal) {
        assert_int_equal(kill(child, signal), 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void hold_run(sm_state *s, sm_str id)
{
    sm_error e = {0};
    sm_run_notes *n = NULL;

    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    const sm_run_listener l = sm_run_notes_listener(n, &(sm_run_listener){0});
    begin_task(&l, "raw.a", SM_TASK_LOAD, 1);
}

/* A process that is killed in a task: its run is lost, and the next one goes on. */
static void test_killed(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    const sm_str id = queue(p, s, &sales);
    sm_run_notes *n = NULL;
    sm_attempt_row *attempts = NULL;
    int64_t n_attempts = 0;
    bool is_alive = false, has_changed = false;

    assert_ok(sm_state_has_changed(s, &has_changed, &e), &e);
    const pid_t child = start_child(p, hold_run, id);
    assert_ok(sm_state_has_changed(s, &has_changed, &e), &e);
    assert_true(has_changed);
    assert_ok(sm_state_has_changed(s, &has_changed, &e), &e);
    assert_false(has_changed);
    assert_ok(sm_state_is_alive(s, 1, &is_alive, &e), &e);
    assert_true(is_alive);
    assert_int_equal(read_run(p, s, id).pid, child);
    assert_status(sm_run_notes_open(s, id, &sales, &n, &e), SM_CONFLICT, &e);
    assert_status(sm_state_order(s, id, SM_RUN_CLEAR, SM_STR(""), &e), SM_INVALID, &e);
    kill_child(child, SIGKILL);
    assert_ok(sm_state_is_alive(s, 1, &is_alive, &e), &e);
    assert_false(is_alive);
    assert_int_equal(read_run(p, s, id).state, SM_RUN_STATE_RUNNING);
    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    assert_ok(sm_state_attempts(s, id, p->arena, &attempts, &n_attempts, &e), &e);
    assert_int_equal(n_attempts, 1);
    assert_int_equal(attempts[0].state, SM_ATTEMPT_LOST);
    assert_int_equal(read_run(p, s, id).failures, 1);
    assert_int_equal(read_run(p, s, id).processes, 2);
    sm_run_notes_close(n);
    assert_ok(sm_state_give_up(s, id, SM_STR("it died"), &e), &e);
    assert_true(sm_str_is(read_run(p, s, id).error, "it died"));
    sm_state_close(s);
}

/* A running run that is cancelled gets SIGTERM; a dead one is cancelled at once. */
static void test_cancel_running(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    const sm_str id = queue(p, s, &sales);

    const pid_t child = start_child(p, hold_run, id);
    assert_ok(sm_state_order(s, id, SM_RUN_CANCEL, SM_STR(""), &e), &e);
    assert_true(read_run(p, s, id).is_cancelling);
    const int status = kill_child(child, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_ok(sm_state_order(s, id, SM_RUN_CANCEL, SM_STR(""), &e), &e);
    assert_int_equal(read_run(p, s, id).state, SM_RUN_STATE_CANCELLED);
    sm_state_close(s);
}

static void hold_scheduler(sm_state *s, sm_str id)
{
    sm_error e = {0};

    (void)id;
    assert_ok(smi_lock_scheduler(s, &e), &e);
}

static void test_one_scheduler(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_scheduler_status found = {0};
    char pid[32];

    const pid_t child = start_child(p, hold_scheduler, SM_STR(""));
    snprintf(pid, sizeof(pid), "process %d", (int)child);
    assert_status(smi_lock_scheduler(s, &e), SM_CONFLICT, &e);
    assert_non_null(strstr(e.what, pid));
    assert_ok(sm_scheduler_look(s, &found, &e), &e);
    assert_true(found.is_alive && found.pid == child && found.since_us > 0);
    kill_child(child, SIGKILL);
    assert_ok(sm_scheduler_look(s, &found, &e), &e);
    assert_false(found.is_alive);
    assert_ok(smi_lock_scheduler(s, &e), &e);
    sm_state_close(s);
}

static void write_for_ever(sm_state *s, sm_str id)
{
    sm_error e = {0};
    sm_run_notes *n = NULL;

    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    const sm_run_listener l = sm_run_notes_listener(n, &(sm_run_listener){0});
    for (int i = 1;; i++) {
        begin_task(&l, "raw.a", SM_TASK_LOAD, i);
        end_task(&l, "raw.a", SM_OK);
    }
}

/* Two processes write, and are killed in the midst of it, many times: the state is whole, no
 * attempt is there twice, and each but the last of a process has its end. */
static void test_killed_writing(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    sm_str ids[2] = {queue(p, s, &sales), queue(p, s, &sales)};
    int64_t n_rows = 0;
    sm_attempt_row *rows = NULL;

    for (int round = 0; round < 15; round++) {
        pid_t children[2];
        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                write_for_ever(open_state(p), ids[i]);
            }
        }
        sm_sleep_ms(3 + round * 5);
        kill_child(children[0], SIGKILL);
        kill_child(children[1], SIGKILL);
    }
    smi_query q = smi_query_new(s, "PRAGMA integrity_check", &e);
    assert_ok(smi_query_step(&q), &e);
    assert_true(sm_str_is(smi_query_get_text(&q, p->arena), "ok"));
    assert_ok(smi_query_end(&q), &e);
    for (int i = 0; i < 2; i++) {
        assert_ok(sm_state_attempts(s, ids[i], p->arena, &rows, &n_rows, &e), &e);
        assert_true(n_rows > 0);
        for (int64_t k = 0; k + 1 < n_rows; k++) {
            const bool is_last = rows[k + 1].process != rows[k].process;
            assert_int_equal(rows[k + 1].attempt, is_last ? 1 : rows[k].attempt + 1);
            assert_true(rows[k].state == SM_ATTEMPT_SUCCESS ||
                        (is_last && rows[k].state == SM_ATTEMPT_LOST));
        }
    }
    sm_state_close(s);
}

/* Many processes make one state at once. */
static void test_made_at_once(void **state)
{
    place *p = *state;
    sm_state *s = NULL;
    pid_t children[12];

    for (int i = 0; i < SM_COUNT(children); i++) {
        children[i] = fork();
        if (children[i] == 0) {
            s = open_state(p);
            queue(p, s, &sales);
            _exit(0);
        }
    }
    for (int i = 0; i < SM_COUNT(children); i++) {
        assert_int_equal(kill_child(children[i], 0), 0);
    }
    s = open_state(p);
    assert_int_equal(count_runs(p, s, 0), SM_COUNT(children));
    sm_state_close(s);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void test_missing(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = NULL;

    assert_status(sm_state_open(sm_str_of(p->folder), false, &s, &e), SM_NOT_FOUND, &e);
    SM_ASSERT(p->folder);
    assert_int_not_equal(access(p->folder, F_OK), 0);
    assert_int_equal(mkdir(p->folder, 0777), 0);
    assert_status(sm_state_open(sm_str_of(p->folder), false, &s, &e), SM_NOT_FOUND, &e);
    assert_int_equal(count_files(p->folder), 0);
}

static void overwrite(const place *p, const char *name, int64_t off, const char *bytes, size_t n)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", p->folder, name);
    const int fd = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, off), n);
    close(fd);
}

/* Puts all of the log into the database, so that the test can damage it. */
static void close_whole(sm_state *s)
{
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), 0);
    sm_state_close(s);
}

static sm_status use(const place *p, sm_error *e)
{
    sm_state *s = NULL;
    sm_run_row *rows = NULL;
    int64_t n = 0;

    sm_status st = sm_state_open(sm_str_of(p->folder), true, &s, e);
    if (st == SM_OK) {
        st = sm_state_runs(s, &(sm_run_filter){0}, p->arena, &rows, &n, e);
        sm_state_close(s);
    }
    return st;
}

static void test_damaged(void **state)
{
    place *p = *state;
    sm_error e = {0};
    char noise[4096], text[4096];
    static const struct {
        int64_t off;
        size_t n;
    } cases[] = {{0, 100}, {100, 3996}, {4096, 4096}};

    memset(noise, 0x5a, sizeof(noise));
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_state *s = open_state(p);
        for (int k = 0; k < 100; k++) {
            queue(p, s, &sales);
        }
        close_whole(s);
        overwrite(p, "state.sqlite", cases[i].off, noise, cases[i].n);
        assert_status(use(p, &e), SM_CORRUPT, &e);
        sm_error_format(&e, text, sizeof(text));
        assert_non_null(strstr(text, "/.smelt/state.sqlite"));
        assert_non_null(strstr(text, "Move the file away"));
        snprintf(text, sizeof(text), "rm -f '%s'/state.sqlite*", p->folder);
        assert_int_equal(system(text), 0);
    }
}

/* A number that means nothing, and a database of something else. */
static void test_foreign(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);

    queue(p, s, &sales);
    assert_int_equal(sqlite3_exec(s->db, "UPDATE runs SET state = 77", NULL, NULL, NULL), 0);
    sm_state_close(s);
    assert_status(use(p, &e), SM_CORRUPT, &e);
    s = open_state(p);
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA user_version = 0", NULL, NULL, NULL), 0);
    sm_state_close(s);
    assert_status(use(p, &e), SM_CORRUPT, &e);
}

static void test_later_version(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);

    assert_int_equal(sqlite3_exec(s->db, "PRAGMA user_version = 99", NULL, NULL, NULL), 0);
    sm_state_close(s);
    assert_status(use(p, &e), SM_UNSUPPORTED, &e);
    assert_non_null(strstr(e.what, "99"));
}

static void hold_write(sm_state *s, sm_str id)
{
    sm_error e = {0};

    (void)id;
    assert_ok(smi_state_begin(s, true, &e), &e);
}

/* Another process that never ends its transaction: readers go on, writers give up in the end. */
static void test_locked(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);

    const pid_t child = start_child(p, hold_write, SM_STR(""));
    assert_int_equal(count_runs(p, s, 0), 0);
    sqlite3_busy_timeout(s->db, 50);
    assert_status(sm_state_set_dealt(s, sales.file, 1, &e), SM_CONFLICT, &e);
    kill_child(child, SIGKILL);
    assert_ok(sm_state_set_dealt(s, sales.file, 1, &e), &e);
    sm_state_close(s);
}

/* In a child: a disk that is full (no file may grow). The listener warns and goes on; what was
 * written before stays. */
static void fill_up(const place *p, sm_str id)
{
    sm_error e = {0};
    sm_run_notes *n = NULL;
    sm_state *s = open_state(p);
    bool is_heard = false;

    assert_ok(sm_run_notes_open(s, id, &sales, &n, &e), &e);
    const sm_run_listener l = sm_run_notes_listener(n, &(sm_run_listener){0});
    signal(SIGXFSZ, SIG_IGN);
    (void)!freopen("/dev/null", "w", stderr);
    const struct rlimit small = {.rlim_cur = 20000, .rlim_max = 20000};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 1; i < 200; i++) {
        begin_task(&l, "raw.a", SM_TASK_LOAD, i);
        end_task(&l, "raw.a", SM_OK);
    }
    const sm_status st = sm_run_notes_end(n, SM_RUN_STATE_SUCCESS, SM_STR("{}"), SM_STR(""), &e);
    is_heard = st != SM_OK && strstr(e.object, "state.sqlite") != NULL;
    _exit(is_heard ? 0 : 1);
}

static void test_full_disk(void **state)
{
    place *p = *state;
    sm_error e = {0};
    sm_state *s = open_state(p);
    const sm_str id = queue(p, s, &sales);

    const pid_t child = fork();
    if (child == 0) {
        fill_up(p, id);
    }
    assert_int_equal(kill_child(child, 0), 0);
    assert_int_equal(read_run(p, s, id).state, SM_RUN_STATE_RUNNING);
    assert_ok(sm_state_order(s, id, SM_RUN_CANCEL, SM_STR(""), &e), &e);
    sm_state_close(s);
}

static void test_folder(void **state)
{
    place *p = *state;
    char path[300];

    unsetenv("SMELT_STATE");
    assert_true(sm_str_is(sm_state_folder(SM_STR("a.yaml"), p->arena), ".smelt"));
    assert_true(sm_str_is(sm_state_folder(SM_STR("/x/a.yaml"), p->arena), "/x/.smelt"));
    assert_true(sm_str_is(sm_state_folder(SM_STR("/"), p->arena), "/.smelt"));
    assert_true(sm_str_is(sm_state_folder(SM_STR("."), p->arena), "./.smelt"));
    snprintf(path, sizeof(path), "%s/.smelt", p->at.path);
    assert_true(sm_str_is(sm_state_folder(sm_str_of(p->at.path), p->arena), path));
    setenv("SMELT_STATE", "/else/where", 1);
    assert_true(sm_str_is(sm_state_folder(SM_STR("a.yaml"), p->arena), "/else/where"));
    unsetenv("SMELT_STATE");
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up_place, tear_down_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_life),          ROW(test_ids),
        ROW(test_filters),       ROW(test_dealt),
        ROW(test_orders),        ROW(test_forget),
        ROW(test_killed),        ROW(test_cancel_running),
        ROW(test_one_scheduler), ROW(test_killed_writing),
        ROW(test_made_at_once),  ROW(test_missing),
        ROW(test_damaged),       ROW(test_foreign),
        ROW(test_later_version), ROW(test_locked),
        ROW(test_full_disk),     ROW(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
