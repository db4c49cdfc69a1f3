/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log.c: one line a message, in one write, so that lines of several threads never mix.
 *
 * The level is read from SMELT_LOG once; a word that is no level means off. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"

#define LINE_MAX_BYTES 1024

enum { LEVEL_OFF = -1, LEVEL_NOT_READ = -2 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int level_now = LEVEL_NOT_READ;

static int read_level(void)
{
    const char *word = sm_env("SMELT_LOG");
    for (int i = 0; word && i < SM_COUNT(level_names); i++) {
        if (strcmp(word, level_names[i]) == 0) {
            return i;
        }
    }
    return LEVEL_OFF;
}

bool sm_log_on(sm_log_level level)
{
    int now = atomic_load_explicit(&level_now, memory_order_relaxed);
    if (now == LEVEL_NOT_READ) { /* several threads may read it, all the same */
        now = read_level();
        atomic_store_explicit(&level_now, now, memory_order_relaxed);
    }
    return (int)level <= now;
}

void sm_log(sm_log_level level, const char *fmt, ...)
{
    if (!sm_log_on(level)) {
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
            line[i] = '?'; /* one message is one line, and no command to a terminal */
        }
    }
    line[len++] = '\n';
    const ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* there is nowhere left to say so */
}
