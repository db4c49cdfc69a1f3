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

/* On the caller's stack. `= {0}` is an empty error; sm_fail() overwrites what stood in it. */
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

/** Records the cause and returns `status`. `e` may be NULL. Clears place, advice and frames. */
sm_status sm_fail(sm_error *e, sm_status status, const char *fmt, ...) SM_PRINTF(3, 4);

/** Like sm_fail() for a failed system call: maps `errno_value` to a status (ENOENT NOT_FOUND,
 * EACCES EPERM EROFS DENIED, EEXIST EXISTS, ENOSPC EDQUOT DISK_FULL, ENOMEM NOMEM, EINTR
 * INTERRUPTED, else IO) and appends its text. */
sm_status sm_fail_errno(sm_error *e, int errno_value, const char *fmt, ...) SM_PRINTF(3, 4);

/** Adds where: the object, and a line and byte as sm_error means them (0 and -1: no such place).
 * Keeps a place that is already there. */
void sm_error_place(sm_error *e, const char *object, int64_t line, int64_t byte);

/** Adds the advice: a full sentence of what the user can do. Keeps one that is already there. */
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

/** Is it an answer (OK, END, WAIT, MORE) and no failure? */
static inline bool sm_status_is_answer(sm_status st)
{
    return st <= SM_MORE;
}

/** Writes the whole error as the user sees it, several lines, each ended by LF: cause, place,
 * frames, advice. Returns the bytes written (without NUL); cuts at `cap`. */
size_t sm_error_format(const sm_error *e, char *out, size_t cap);
/** The place alone, in one line as there, for who shows it by itself; "" where there is none. */
size_t sm_error_format_place(const sm_error *e, char *out, size_t cap);

/* ---- our own mistakes ------------------------------------------------------------------------ */

/* What holds unless we made a mistake: preconditions, invariants, legal orders of calls. Never
 * reachable by input, never with a side effect. Checked by debug and sanitizer builds only
 * (SM_ASSERTS, meson.build), so that an assert costs a release nothing, however often it stands. */
#ifdef SM_ASSERTS
#define SM_ASSERT(cond) ((cond) ? (void)0 : sm_assert_failed(#cond, __FILE__, __LINE__))
#else
#define SM_ASSERT(cond) ((void)sizeof((cond) ? 1 : 0))
#endif
/* The same in every build: where going on would make a wrong number or write outside its place, and
 * for calls that cannot fail unless the system is broken (a mutex, a hash). */
#define SM_ENSURE(cond) ((cond) ? (void)0 : sm_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void sm_assert_failed(const char *cond, const char *file, int line);

#endif
