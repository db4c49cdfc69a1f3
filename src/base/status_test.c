/* SPDX-License-Identifier: Apache-2.0
 *
 * base/status_test.c: the tables, and what an error keeps, replaces and shows. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

static void test_tables(void **state)
{
    static const struct {
        sm_status st;
        const char *name, *text;
        int exit_code;
        bool retry, answer;
    } rows[] = {
        {SM_OK, "OK", "ok", 0, false, true},
        {SM_MORE, "MORE", "more input needed", 0, true, true},
        {SM_USAGE, "USAGE", "wrong usage", 2, false, false},
        {SM_INTERRUPTED, "INTERRUPTED", "interrupted", 130, true, false},
        {SM_BUDGET, "BUDGET", "memory budget reached", 1, true, false},
        {SM_CONFLICT, "CONFLICT", "another writer won", 4, true, false},
        {SM_CONTRACT, "CONTRACT", "contract broken", 3, false, false},
        {SM_INTERNAL, "INTERNAL", "internal error", 1, false, false},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        assert_string_equal(sm_status_name(rows[i].st), rows[i].name);
        assert_string_equal(sm_status_text(rows[i].st), rows[i].text);
        assert_int_equal(sm_status_exit(rows[i].st), rows[i].exit_code);
        assert_int_equal(sm_status_retry(rows[i].st), rows[i].retry);
        assert_int_equal(sm_status_is_answer(rows[i].st), rows[i].answer);
    }
    assert_string_equal(sm_status_name((sm_status)77), "INTERNAL");
}

static void test_fail_replaces_all(void **state)
{
    sm_error e = {0};
    assert_int_equal(sm_fail(&e, SM_SYNTAX, "no \"%s\"", "x"), SM_SYNTAX);
    sm_error_place(&e, "a.json", 3, 7);
    sm_error_todo(&e, "Do it.");
    assert_int_equal(sm_within(&e, SM_SYNTAX, "task %d", 1), SM_SYNTAX);
    assert_int_equal(e.frames, 1);

    assert_int_equal(sm_fail(&e, SM_RANGE, "was: %s", e.what), SM_RANGE); /* quotes itself */
    assert_string_equal(e.what, "was: no \"x\"");
    assert_int_equal(e.status, SM_RANGE);
    assert_string_equal(e.todo, "");
    assert_string_equal(e.object, "");
    assert_int_equal(e.line, 0);
    assert_int_equal(e.byte, -1);
    assert_int_equal(e.frames, 0);
}

static void test_null_error(void **state)
{
    assert_int_equal(sm_fail(NULL, SM_IO, "x"), SM_IO);
    assert_int_equal(sm_fail_errno(NULL, ENOSPC, "x"), SM_DISK_FULL);
    assert_int_equal(sm_within(NULL, SM_IO, "x"), SM_IO);
    sm_error_place(NULL, "x", 1, 1);
    sm_error_todo(NULL, "x");
}

static void test_errno(void **state)
{
    static const struct {
        int value;
        sm_status want;
        const char *what;
    } rows[] = {
        {ENOENT, SM_NOT_FOUND, "could not open \"f\": No such file or directory"},
        {EACCES, SM_DENIED, "could not open \"f\": Permission denied"},
        {EEXIST, SM_EXISTS, "could not open \"f\": File exists"},
        {ENOSPC, SM_DISK_FULL, "could not open \"f\": No space left on device"},
        {EINTR, SM_INTERRUPTED, "could not open \"f\": Interrupted system call"},
        {EIO, SM_IO, "could not open \"f\": Input/output error"},
        {99999, SM_IO, "could not open \"f\": error 99999"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        assert_int_equal(sm_fail_errno(&e, rows[i].value, "could not open \"%s\"", "f"),
                         rows[i].want);
        assert_string_equal(e.what, rows[i].what);
        assert_int_equal(e.byte, -1);
    }
}

static void test_cut_and_control_bytes(void **state)
{
    sm_error e = {0};
    char longer[400];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer + sizeof(e.what) - 3, "\xE2\x82\xAC", 3); /* the euro sign over the end */
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(sm_fail(&e, SM_IO, "%s", longer), SM_IO);
    assert_int_equal(strlen(e.what), sizeof(e.what) - 3);
    assert_int_equal(e.what[sizeof(e.what) - 4], 'a');

    memcpy(longer + sizeof(e.what) - 4, "\xE2\x82\xAC", 3); /* just fits */
    assert_int_equal(sm_fail(&e, SM_IO, "%s", longer), SM_IO);
    assert_int_equal(strlen(e.what), sizeof(e.what) - 1);

    assert_int_equal(sm_fail(&e, SM_IO, "a\nb\x1b[31mc\x7f%s", "\xC3\xA9"), SM_IO);
    assert_string_equal(e.what, "a?b?[31mc?\xC3\xA9");

    assert_int_equal(sm_fail_errno(&e, ENOENT, "%s", longer), SM_NOT_FOUND);
    assert_int_equal(strlen(e.what), sizeof(e.what) - 1);
}

static void test_place_is_kept(void **state)
{
    sm_error e = {0};
    (void)sm_fail(&e, SM_SYNTAX, "x");
    sm_error_place(&e, NULL, 4, 9); /* a parser knows the position only */
    sm_error_place(&e, "in.json", 0, -1);
    assert_string_equal(e.object, "in.json");
    assert_int_equal(e.line, 4);
    assert_int_equal(e.byte, 9);
    sm_error_place(&e, "other.json", 1, 1);
    sm_error_place(&e, "in.json", 2, 2);
    assert_string_equal(e.object, "in.json");
    assert_int_equal(e.line, 4);
    assert_int_equal(e.byte, 9);

    (void)sm_fail(&e, SM_SYNTAX, "x");
    sm_error_place(&e, "a", 0, -1);
    sm_error_place(&e, "b", 5, 6); /* b's position says nothing about a */
    assert_string_equal(e.object, "a");
    assert_int_equal(e.line, 0);
    sm_error_place(&e, "a", 0, 0);
    assert_int_equal(e.byte, 0);

    sm_error_todo(&e, "First %d.", 1);
    sm_error_todo(&e, "Second.");
    assert_string_equal(e.todo, "First 1.");
}

static void test_frames(void **state)
{
    sm_error e = {0};
    assert_int_equal(sm_within(&e, SM_OK, "x"), SM_OK);
    assert_int_equal(sm_within(&e, SM_END, "x"), SM_END);
    assert_int_equal(e.frames, 0);
    (void)sm_fail(&e, SM_TYPE, "x");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(sm_within(&e, SM_TYPE, "f%d", i), SM_TYPE);
    }
    assert_int_equal(e.frames, 4);
    assert_string_equal(e.frame[0], "f0");
    assert_string_equal(e.frame[3], "f3");
}

static void test_format(void **state)
{
    sm_error e = {0};
    char text[4096];
    (void)sm_fail(&e, SM_NAME, "no column \"hight\" in plants");
    sm_error_place(&e, "grow.sql", 4, 12);
    (void)sm_within(&e, SM_NAME, "task garden.tall");
    (void)sm_within(&e, SM_NAME, "run 2022-04-01");
    sm_error_todo(&e, "Did you mean \"height\"?");
    const char *want = "smelt: no column \"hight\" in plants\n"
                       "  at grow.sql:4:12\n"
                       "  in task garden.tall, run 2022-04-01\n"
                       "  Did you mean \"height\"?\n";
    assert_int_equal(sm_error_format(&e, text, sizeof(text)), strlen(want));
    assert_string_equal(text, want);

    for (size_t cap = 1; cap <= strlen(want) + 1; cap++) { /* cut anywhere */
        assert_int_equal(sm_error_format(&e, text, cap), cap - 1);
        assert_memory_equal(text, want, cap - 1);
        assert_int_equal(text[cap - 1], '\0');
    }
    assert_int_equal(sm_error_format(&e, text, 0), 0);

    static const struct {
        const char *object;
        int64_t line, byte;
        const char *want;
    } places[] = {
        {"f", 0, -1, "smelt: x\n  at f\n"},
        {"f", 0, 0, "smelt: x\n  at f, byte 0\n"},
        {"f", 2, -1, "smelt: x\n  at f:2\n"},
        {"", 2, 3, "smelt: x\n  at line 2, byte 3\n"},
        {"", 2, -1, "smelt: x\n  at line 2\n"},
        {"", 0, 8, "smelt: x\n  at byte 8\n"},
        {"", 0, -1, "smelt: x\n"},
    };
    for (int i = 0; i < SM_COUNT(places); i++) {
        (void)sm_fail(&e, SM_IO, "x");
        sm_error_place(&e, places[i].object, places[i].line, places[i].byte);
        sm_error_format(&e, text, sizeof(text));
        assert_string_equal(text, places[i].want);
    }
    const sm_error empty = {.status = SM_CORRUPT};
    sm_error_format(&empty, text, sizeof(text));
    assert_string_equal(text, "smelt: damaged file\n");
}

static sm_status try_it(sm_status st, int *after)
{
    SM_TRY(st);
    ++*after;
    return SM_OK;
}

static sm_status try_goto(sm_status in, int *done_count)
{
    sm_status st = SM_OK;
    SM_TRY_GOTO(st, done, in);
    st = SM_END;
done:
    ++*done_count;
    return st;
}

static void test_try(void **state)
{
    int after = 0, done_count = 0;
    assert_int_equal(try_it(SM_IO, &after), SM_IO);
    assert_int_equal(after, 0);
    assert_int_equal(try_it(SM_OK, &after), SM_OK);
    assert_int_equal(after, 1);
    assert_int_equal(try_goto(SM_IO, &done_count), SM_IO);
    assert_int_equal(try_goto(SM_OK, &done_count), SM_END);
    assert_int_equal(done_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),     cmocka_unit_test(test_fail_replaces_all),
        cmocka_unit_test(test_null_error), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_try),        cmocka_unit_test(test_cut_and_control_bytes),
        cmocka_unit_test(test_frames),     cmocka_unit_test(test_place_is_kept),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
