/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log.h: what is said to operators: one line a message, to whom the engine's owner names (the
 * program: stderr), off by default. Warnings for the user go through the run's report instead.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_LOG_H
#define SM_BASE_LOG_H

#include "base/str.h"

typedef enum sm_log_level { SM_LOG_ERROR, SM_LOG_WARN, SM_LOG_INFO, SM_LOG_DEBUG } sm_log_level;

/* Where lines go. It does not change while anybody has it. */
typedef struct sm_logger {
    /* A whole line with its end: "2022-04-01 17:05:00 warn …\n"; from any thread. NULL: off. */
    void (*write)(void *ctx, sm_log_level level, sm_str line);
    void *ctx;
    sm_log_level level; /* the least severe one that is said */
} sm_logger;

/** sm_logger.write, to stderr: a line is one write, so that lines of several threads never mix. */
void sm_log_to_stderr(void *ctx, sm_log_level level, sm_str line);
/** The level that is named so ("error", "warn", "info", "debug"); false: none is. */
bool sm_log_level_of(sm_str name, sm_log_level *out);

/** Would it be said? For who has to make an effort for a message. `l` may be NULL: no. */
bool sm_log_on(const sm_logger *l, sm_log_level level);
/** Says it, where that is on; what is longer than 1,023 bytes is cut off. */
void sm_log(const sm_logger *l, sm_log_level level, const char *fmt, ...) SM_PRINTF(3, 4);

#endif
