/* SPDX-License-Identifier: Apache-2.0
 *
 * base/process_test.c: programs that are started, waited for and ended. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#include "base/process.h"
#include "base/time.h"

static sm_process *start(const sm_process_opts *o)
{
    sm_process *p = NULL;
    sm_error e = {0};

    assert_ok(sm_process_start(o, &p, &e), &e);
    return p;
}

/* Runs a script; what it prints is in `out`. */
static sm_process_end run_script(const char *script, sm_process_opts o, char *out, size_t n)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    sm_process_end end = {0};
    int pipe_ends[2];

    assert_int_equal(pipe(pipe_ends), 0);
    o.argv = argv;
    o.output = pipe_ends[1];
    sm_process *p = start(&o);
    close(pipe_ends[1]);
    size_t len = 0;
    for (ssize_t got = 1; got > 0 && len < n - 1; len += (size_t)got) {
        got = read(pipe_ends[0], out + len, n - 1 - len);
        assert_true(got >= 0);
    }
    out[len] = '\0';
    close(pipe_ends[0]);
    assert_true(sm_process_wait(p, 20000, &end));
    sm_process_close(p);
    return end;
}

static void test_ends(void **state)
{
    static const struct {
        const char *script;
        int exit_code, signal;
        const char *printed, *text;
    } rows[] = {
        {"exit 0", 0, 0, "", "exit code 0"},
        {"echo a; echo b >&2; exit 3", 3, 0, "a\nb\n", "exit code 3"},
        {"kill -9 $$", -1, SIGKILL, "", "signal 9 (SIGKILL)"},
        {"cat", 0, 0, "", "exit code 0"}, /* it has nothing to read */
        {"trap", 0, 0, "", "exit code 0"},
    };
    (void)state;

    for (int i = 0; i < SM_COUNT(rows); i++) {
        char printed[64];
        sm_arena *a = sm_arena_new(NULL);
        const sm_process_end end =
            run_script(rows[i].script, (sm_process_opts){0}, printed, sizeof(printed));
        assert_int_equal(end.exit_code, rows[i].exit_code);
        assert_int_equal(end.signal, rows[i].signal);
        assert_string_equal(printed, rows[i].printed);
        assert_true(sm_str_is(sm_process_end_text(&end, a), rows[i].text));
        sm_arena_free(a);
    }
}

static void test_environment(void **state)
{
    const sm_pair env[] = {{SM_STR("PROCESS_A"), SM_STR("x = 1")}, {SM_STR("HOME"), SM_STR("/h")}};
    const sm_process_opts o = {.env = env, .n_env = 2, .folder = "/"};
    char printed[64];
    (void)state;

    run_script("echo \"$PROCESS_A|$HOME|$(pwd)\"; env | grep -c ^HOME=", o, printed,
               sizeof(printed));
    assert_string_equal(printed, "x = 1|/h|/\n1\n");
}

/* Neither a file that is open here, nor a signal that is ignored here, goes over. */
static void test_nothing_goes_over(void **state)
{
    char printed[64];
    const int fd = open("/dev/null", O_RDONLY);
    (void)state;

    signal(SIGTERM, SIG_IGN);
    const sm_process_end end = run_script("ls /proc/self/fd | wc -l; kill $$; sleep 9",
                                          (sm_process_opts){0}, printed, sizeof(printed));
    signal(SIGTERM, SIG_DFL);
    close(fd);
    assert_string_equal(printed, "4\n"); /* 0, 1, 2, and the folder that ls reads */
    assert_int_equal(end.signal, SIGTERM);
}

/* qemu-user makes vfork(2) a fork, so that posix_spawn(3) hears of no failure, and has no
 * prlimit(2) for other processes. */
static void skip_if_emulated(const char *test)
{
    if (getenv("SMELT_IS_EMULATED")) {
        print_message("SKIPPED %s: an emulator lacks what it tests\n", test);
        skip();
    }
}

static void test_no_program(void **state)
{
    static const struct {
        const char *name;
        sm_status status;
    } rows[] = {{"no-such-program", SM_NOT_FOUND}, {"/etc/passwd", SM_DENIED}};
    (void)state;

    skip_if_emulated("test_no_program");
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const char *const argv[] = {rows[i].name, NULL};
        const sm_process_opts o = {.argv = argv, .output = -1};
        sm_process *p = NULL;
        sm_error e = {0};
        assert_int_equal(sm_process_start(&o, &p, &e), rows[i].status);
        assert_non_null(strstr(e.what, rows[i].name));
        assert_null(p);
    }
}

/* A signal reaches what the program has started, too. */
static void test_group(void **state)
{
    const char *const argv[] = {"sh", "-c", "sleep 100 & echo $!; wait", NULL};
    sm_process_end end = {0};
    int pipe_ends[2];
    char text[32] = {0};
    (void)state;

    assert_int_equal(pipe(pipe_ends), 0);
    sm_process *p = start(&(sm_process_opts){.argv = argv, .output = pipe_ends[1]});
    close(pipe_ends[1]);
    assert_true(read(pipe_ends[0], text, sizeof(text) - 1) > 0);
    assert_false(sm_process_wait(p, 0, &end));
    struct pollfd one = {.fd = sm_process_descriptor(p), .events = POLLIN};
    assert_int_equal(poll(&one, 1, 0), 0);
    sm_process_signal(p, SIGTERM);
    assert_true(sm_process_wait(p, 20000, &end));
    assert_int_equal(end.signal, SIGTERM);
    assert_int_equal(poll(&one, 1, 0), 1);
    assert_int_equal(read(pipe_ends[0], text, 1), 0); /* the last that could write has ended */
    close(pipe_ends[0]);
    sm_process_close(p);
}

static void test_close_kills(void **state)
{
    const char *const argv[] = {"sh", "-c", "trap '' TERM; echo on; sleep 100", NULL};
    int pipe_ends[2];
    char text[8];
    (void)state;

    assert_int_equal(pipe(pipe_ends), 0);
    sm_process *p = start(&(sm_process_opts){.argv = argv, .output = pipe_ends[1]});
    close(pipe_ends[1]);
    assert_int_equal(read(pipe_ends[0], text, 3), 3);
    sm_process_signal(p, SIGTERM); /* the shell ignores it */
    const int64_t start_ns = sm_monotonic_ns();
    sm_process_close(p);
    assert_int_equal(read(pipe_ends[0], text, 1), 0);
    assert_true(sm_monotonic_ns() - start_ns < INT64_C(20000000000));
    close(pipe_ends[0]);
}

static void test_limits(void **state)
{
    char printed[128];
    (void)state;

    skip_if_emulated("test_limits");
    run_script("sleep 0.2; ulimit -v; ulimit -t",
               (sm_process_opts){.memory_bytes = (size_t)64 << 20, .cpu_seconds = 7}, printed,
               sizeof(printed));
    assert_string_equal(printed, "65536\n7\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_nothing_goes_over),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_close_kills),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
