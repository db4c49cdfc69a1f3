/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log.h: what smelt says on stderr for its operators: one line a message, off by default,
 * SMELT_LOG=error|warn|info|debug. Warnings for the user go through the run's report instead. */
#ifndef SM_BASE_LOG_H
#define SM_BASE_LOG_H

#include "base/status.h"

typedef enum sm_log_level { SM_LOG_ERROR, SM_LOG_WARN, SM_LOG_INFO, SM_LOG_DEBUG } sm_log_level;
bool sm_log_on(sm_log_level level);
void sm_log(sm_log_level level, const char *fmt, ...) SM_PRINTF(2, 3);

#endif
