/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log_test.c: what reaches stderr at which level. The level is read once a process, so each
 * case is a child. */
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

/* Runs `say` in a child with SMELT_LOG set; what it wrote to stderr goes into out. */
static void capture(const char *level, void (*say)(void), char *out, size_t cap)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (level) {
            setenv("SMELT_LOG", level, 1);
        } else {
            unsetenv("SMELT_LOG");
        }
        setenv("SMELT_NOW_US", "1648832700000000", 1);
        say();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n = 1; n > 0 && len < cap - 1; len += (size_t)n) {
        n = read(ends[0], out + len, cap - 1 - len);
        assert_true(n >= 0);
    }
    out[len] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void say_all(void)
{
    sm_log(SM_LOG_ERROR, "e%d", 1);
    sm_log(SM_LOG_WARN, "w");
    sm_log(SM_LOG_INFO, "i");
    sm_log(SM_LOG_DEBUG, "d");
}

static void say_odd(void)
{
    char text[3000];
    sm_log(SM_LOG_ERROR, "a\nb\x1b[0mc\xC3\xA9");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sm_log(SM_LOG_ERROR, "%s", text);
}

static void test_levels(void **state)
{
#define AT "2022-04-01 17:05:00 "
    static const struct {
        const char *level, *want;
    } rows[] = {
        {NULL, ""},
        {"", ""},
        {"loud", ""},
        {"error", AT "error e1\n"},
        {"warn", AT "error e1\n" AT "warn w\n"},
        {"info", AT "error e1\n" AT "warn w\n" AT "info i\n"},
        {"debug", AT "error e1\n" AT "warn w\n" AT "info i\n" AT "debug d\n"},
    };
#undef AT
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char out[4096];
        capture(rows[i].level, say_all, out, sizeof(out));
        assert_string_equal(out, rows[i].want);
    }
}

static void test_one_line(void **state)
{
    char out[8192];
    capture("error", say_odd, out, sizeof(out));
    const char *first = "2022-04-01 17:05:00 error a?b?[0mc\xC3\xA9\n";
    assert_memory_equal(out, first, strlen(first));
    const char *second = out + strlen(first);
    assert_int_equal(strlen(second), 1024);
    assert_string_equal(second + 1020, "...\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
