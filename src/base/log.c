/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log.c: writes one line a message: the time, the level and the text. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = {
    [SM_LOG_ERROR] = "error",
    [SM_LOG_WARN] = "warn",
    [SM_LOG_INFO] = "info",
    [SM_LOG_DEBUG] = "debug",
};
_Static_assert(SM_COUNT(level_names) == SM_LOG_DEBUG + 1, "each level has a name");

bool sm_log_level_of(sm_str name, sm_log_level *out)
{
    for (int i = 0; i < SM_COUNT(level_names); i++) {
        if (sm_str_is(name, level_names[i])) {
            *out = (sm_log_level)i;
            return true;
        }
    }
    return false;
}

void sm_log_to_stderr(void *ctx, sm_log_level level, sm_str line)
{
    const ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; /* there is nowhere to report a failure to */
}

bool sm_log_on(const sm_logger *l, sm_log_level level)
{
    SM_ASSERT((int)level >= SM_LOG_ERROR && level <= SM_LOG_DEBUG);
    return l && l->write && level <= l->level;
}

void sm_log(const sm_logger *l, sm_log_level level, const char *fmt, ...)
{
    if (!sm_log_on(l, level)) {
        return;
    }
    char line[LINE_MAX_BYTES], when[SM_TIME_TEXT_BYTES];
    sm_format_timestamp(sm_now_us(), when);
    const size_t head = (size_t)snprintf(line, sizeof(line), "%s %s ", when, level_names[level]);

    va_list args;
    va_start(args, fmt);
    const int body = vsnprintf(line + head, sizeof(line) - head, fmt, args);
    va_end(args);
    if (body < 0) {
        return;
    }
    size_t len = head + (size_t)body;
    if (len > sizeof(line) - 1) {
        len = sizeof(line) - 1;
        memcpy(line + len - 3, "...", 3);
    }
    for (size_t i = head; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) {
            line[i] = '?'; /* a message is one line and must not control a terminal */
        }
    }
    line[len++] = '\n';
    l->write(l->ctx, level, (sm_str){line, len});
}
