/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log_test.c: what a logger is told at which level. */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

typedef struct heard {
    char text[8192];
    size_t len;
    int n_lines;
    sm_log_level last;
} heard;

static void hear(void *ctx, sm_log_level level, sm_str line)
{
    heard *h = ctx;
    assert_true(h->len + line.len < sizeof(h->text));
    memcpy(h->text + h->len, line.data, line.len);
    h->len += line.len;
    h->text[h->len] = '\0';
    h->n_lines++;
    h->last = level;
}

static void say_all(const sm_logger *l)
{
    sm_log(l, SM_LOG_ERROR, "e%d", 1);
    sm_log(l, SM_LOG_WARN, "w");
    sm_log(l, SM_LOG_INFO, "i");
    sm_log(l, SM_LOG_DEBUG, "d");
}

static void test_levels(void **state)
{
#define AT "2022-04-01 17:05:00 "
    static const char *const wanted[] = {
        [SM_LOG_ERROR] = AT "error e1\n",
        [SM_LOG_WARN] = AT "error e1\n" AT "warn w\n",
        [SM_LOG_INFO] = AT "error e1\n" AT "warn w\n" AT "info i\n",
        [SM_LOG_DEBUG] = AT "error e1\n" AT "warn w\n" AT "info i\n" AT "debug d\n",
    };
#undef AT
    setenv("SMELT_NOW_US", "1648832700000000", 1);
    for (int level = SM_LOG_ERROR; level <= SM_LOG_DEBUG; level++) {
        heard h = {0};
        const sm_logger l = {.write = hear, .ctx = &h, .level = (sm_log_level)level};
        say_all(&l);
        assert_string_equal(h.text, wanted[level]);
        assert_int_equal(h.n_lines, level + 1);
        assert_int_equal(h.last, level);
        for (int asked = SM_LOG_ERROR; asked <= SM_LOG_DEBUG; asked++) {
            assert_int_equal(sm_log_on(&l, (sm_log_level)asked), asked <= level);
        }
    }
}

static void test_off(void **state)
{
    const sm_logger nobody = {.level = SM_LOG_DEBUG};
    say_all(NULL);
    say_all(&nobody);
    assert_false(sm_log_on(NULL, SM_LOG_ERROR));
    assert_false(sm_log_on(&nobody, SM_LOG_ERROR));
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        int want; /* −1: no level */
    } rows[] = {
        {"error", SM_LOG_ERROR},
        {"warn", SM_LOG_WARN},
        {"info", SM_LOG_INFO},
        {"debug", SM_LOG_DEBUG},
        {"", -1},
        {"loud", -1},
        {"Error", -1},
        {"warning", -1},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_log_level level = SM_LOG_INFO;
        assert_int_equal(sm_log_level_of(sm_str_of(rows[i].name), &level), rows[i].want >= 0);
        assert_int_equal(level, rows[i].want >= 0 ? rows[i].want : SM_LOG_INFO);
    }
}

static void test_one_line(void **state)
{
    char text[3000];
    heard h = {0};
    const sm_logger l = {.write = hear, .ctx = &h, .level = SM_LOG_ERROR};
    setenv("SMELT_NOW_US", "1648832700000000", 1);
    sm_log(&l, SM_LOG_ERROR, "a\nb\x1b[0mc\xC3\xA9");
    assert_string_equal(h.text, "2022-04-01 17:05:00 error a?b?[0mc\xC3\xA9\n");

    h = (heard){0};
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sm_log(&l, SM_LOG_ERROR, "%s", text);
    assert_int_equal(h.len, 1024);
    assert_string_equal(h.text + 1020, "...\n");
}

static void test_stderr(void **state)
{
    int ends[2];
    char out[100] = "";
    assert_int_equal(pipe(ends), 0);
    const int before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    sm_log_to_stderr(NULL, SM_LOG_WARN, SM_STR("a line\n"));
    dup2(before, STDERR_FILENO);
    close(before);
    assert_int_equal(read(ends[0], out, sizeof(out) - 1), 7);
    assert_string_equal(out, "a line\n");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels), cmocka_unit_test(test_off),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
