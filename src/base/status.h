/* SPDX-License-Identifier: Apache-2.0
 *
 * base/status.h: the one status type, from the deepest call to the exit code, and the error that
 * carries what, where and what to do. Called by everything.
 *
 * Who finds a failure calls sm_fail() once; who passes it on adds a frame with sm_within() only
 * where it knows something the user can use. Nothing here allocates, so it works without memory. */
#ifndef SM_BASE_STATUS_H
#define SM_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_MUST_USE           __attribute__((warn_unused_result))
#define SM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define SM_COUNT(array)       ((int)(sizeof(array) / sizeof((array)[0])))

typedef enum sm_status {
#define SM_STATUS(name, code, exit_code, http, retry, text) SM_##name = (code),
#include "base/status.def"
#undef SM_STATUS
} sm_status;

/* Lives on the caller's stack. `= {0}` is an empty error; sm_fail() overwrites an earlier one. */
typedef struct sm_error {
    sm_status status;
    char what[192];    /* the cause, one line: lower case, no full stop, values quoted */
    char todo[160];    /* what the user can change, a full sentence, or "" */
    char object[1100]; /* s3://lake/raw/20220401.json; a delta table carries @v41; or "" */
    int64_t line;      /* 1-based; 0 where the object has no lines */
    int64_t byte;      /* 1-based in the line; in a binary object its 0-based offset; -1: none */
    char frame[4][80]; /* innermost first: "column Amount", "task bronze.orders" */
    uint8_t frames;
} sm_error;

/* ---- making one ------------------------------------------------------------------------------ */

/** Records the cause and returns `status`. `e` may be NULL. Clears place, advice and frames. The
 * arguments may point into `e`, so that a message can quote the error that it replaces. */
sm_status sm_fail(sm_error *e, sm_status status, const char *fmt, ...) SM_PRINTF(3, 4);

/** Like sm_fail() for a failed system call: maps `errno_value` to a status (ENOENT NOT_FOUND,
 * EACCES EPERM EROFS DENIED, EEXIST EXISTS, ENOSPC EDQUOT DISK_FULL, ENOMEM NOMEM, EINTR
 * INTERRUPTED, else IO) and appends its text. */
sm_status sm_fail_errno(sm_error *e, int errno_value, const char *fmt, ...) SM_PRINTF(3, 4);

/** Adds the place: the object, and the line and byte as sm_error defines them (0 and -1: none).
 * A place that is already set is kept. */
void sm_error_place(sm_error *e, const char *object, int64_t line, int64_t byte);

/** Adds the advice: a full sentence that says what the user can do. Advice that is already set is
 * kept. */
void sm_error_todo(sm_error *e, const char *fmt, ...) SM_PRINTF(2, 3);

/** Adds a frame ("task bronze.orders") where `st` is an error; returns `st`. A fifth frame is
 * dropped: the innermost ones say most. */
sm_status sm_within(sm_error *e, sm_status st, const char *fmt, ...) SM_PRINTF(3, 4);

/* ---- passing it on --------------------------------------------------------------------------- */

#define SM_TRY(call)                                                                               \
    do {                                                                                           \
        const sm_status sm_try_status = (call);                                                    \
        if (sm_try_status != SM_OK) {                                                              \
            return sm_try_status;                                                                  \
        }                                                                                          \
    } while (0)

/* Sets `st` and jumps to the function's one exit. */
#define SM_TRY_GOTO(st, label, call)                                                               \
    do {                                                                                           \
        (st) = (call);                                                                             \
        if ((st) != SM_OK) {                                                                       \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

/* ---- what a status means --------------------------------------------------------------------- */

const char *sm_status_name(sm_status st); /* "BUDGET" */
const char *sm_status_text(sm_status st); /* "memory budget reached" */
int sm_status_exit(sm_status st);         /* the process's exit code */
bool sm_status_retry(sm_status st);       /* may the same call succeed later? */

/** Is the status an answer (OK, END, WAIT, MORE) rather than a failure? */
static inline bool sm_status_is_answer(sm_status st)
{
    return st <= SM_MORE;
}

/** Writes the whole error as the user sees it, several lines, each ended by LF: cause, place,
 * frames, advice. Returns the bytes written (without NUL); cuts at `cap`. */
size_t sm_error_format(const sm_error *e, char *out, size_t cap);
/** Writes only the place, as one line without LF; "" if the error has none. Returns its bytes. */
size_t sm_error_format_place(const sm_error *e, char *out, size_t cap);

/* ---- our own mistakes ------------------------------------------------------------------------ */

/* A condition that only a mistake in smelt's own code can break: preconditions, invariants, legal
 * orders of calls. It must not depend on input and must not have a side effect. Debug and sanitizer
 * builds check it (SM_ASSERTS, meson.build); a release build does not, so asserts cost nothing. */
#ifdef SM_ASSERTS
#define SM_ASSERT(cond) ((cond) ? (void)0 : sm_assert_failed(#cond, __FILE__, __LINE__))
#else
#define SM_ASSERT(cond) ((void)sizeof((cond) ? 1 : 0))
#endif
/* The same, checked in every build. For conditions whose failure would give a wrong result or write
 * out of bounds, and for calls that fail only if the system is broken (a mutex, a hash). */
#define SM_ENSURE(cond) ((cond) ? (void)0 : sm_assert_failed(#cond, __FILE__, __LINE__))
/** Prints the condition and its place to stderr and aborts the process. */
_Noreturn void sm_assert_failed(const char *cond, const char *file, int line);

_Static_assert(SM_OK == 0, "sm_error's {0} is an empty error");
_Static_assert(SM_END < SM_MORE && SM_WAIT < SM_MORE && SM_MORE < SM_USAGE,
               "sm_status_is_answer compares with SM_MORE");

#endif
