/* SPDX-License-Identifier: Apache-2.0
 *
 * base/status.c: the table made from status.def, and how errors are filled and printed.
 *
 * Each text is formatted into a copy first, so that a message may quote the error that it replaces.
 * Texts are made safe for a terminal: a control byte becomes '?', and a text that is too long is
 * never cut within a UTF-8 sequence. */
#include "base/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct status_row {
    sm_status status;
    const char *name, *text;
    int exit_code;
    bool may_retry;
} status_row;

static const status_row status_rows[] = {
#define SM_STATUS(name, code, exit_code, http, retry, text)                                        \
    {SM_##name, #name, text, exit_code, retry},
#include "base/status.def"
#undef SM_STATUS
};

/* A number that is not a status is a mistake of ours; it is shown as an internal error. */
static const status_row *row_of(sm_status st)
{
    const int last = SM_COUNT(status_rows) - 1;
    SM_ASSERT(status_rows[last].status == SM_INTERNAL);
    for (int i = 0; i < last; i++) {
        if (status_rows[i].status == st) {
            return &status_rows[i];
        }
    }
    return &status_rows[last];
}

const char *sm_status_name(sm_status st)
{
    return row_of(st)->name;
}

const char *sm_status_text(sm_status st)
{
    return row_of(st)->text;
}

int sm_status_exit(sm_status st)
{
    return row_of(st)->exit_code;
}

bool sm_status_retry(sm_status st)
{
    return row_of(st)->may_retry;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Ends a text that was cut at `len` bytes before the last sequence if that is not whole. */
static size_t whole_len(const char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return len;
    }
    const unsigned char lead = (unsigned char)text[start - 1];
    const size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return want > len - start + 1 ? start - 1 : len;
}

/* `text` ends with a NUL in a field of `cap` bytes; full_len is its length before it was cut. */
static void make_safe(char *text, size_t cap, size_t full_len)
{
    if (full_len >= cap) {
        text[whole_len(text, cap - 1)] = '\0';
    }
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            *c = '?';
        }
    }
}

static void format_field(char *out, size_t cap, const char *fmt, va_list args)
{
    const int len = vsnprintf(out, cap, fmt, args);
    if (len < 0) {
        out[0] = '\0';
        return;
    }
    make_safe(out, cap, (size_t)len);
}

static void set_cause(sm_error *e, sm_status status, const char *what)
{
    e->status = status;
    memcpy(e->what, what, sizeof(e->what));
    e->todo[0] = '\0';
    e->object[0] = '\0';
    e->line = 0;
    e->byte = -1;
    e->frames = 0;
}

sm_status sm_fail(sm_error *e, sm_status status, const char *fmt, ...)
{
    SM_ASSERT(!sm_status_is_answer(status));
    if (!e) {
        return status;
    }
    char what[sizeof(e->what)] = "";
    va_list args;
    va_start(args, fmt);
    format_field(what, sizeof(what), fmt, args);
    va_end(args);
    set_cause(e, status, what);
    return status;
}

static sm_status status_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
        return SM_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return SM_DENIED;
    case EEXIST:
        return SM_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return SM_DISK_FULL;
    case ENOMEM:
        return SM_NOMEM;
    case EINTR:
        return SM_INTERRUPTED;
    default:
        return SM_IO;
    }
}

sm_status sm_fail_errno(sm_error *e, int errno_value, const char *fmt, ...)
{
    SM_ASSERT(errno_value > 0); /* 0 or a negative one: errno was read after another call */
    const sm_status status = status_of_errno(errno_value);
    if (!e) {
        return status;
    }
    char what[sizeof(e->what)] = "";
    va_list args;
    va_start(args, fmt);
    format_field(what, sizeof(what), fmt, args);
    va_end(args);

    const char *reason = strerrordesc_np(errno_value); /* no locale, no buffer */
    char both[sizeof(e->what) + 64];
    const int len = reason ? snprintf(both, sizeof(both), "%s: %s", what, reason)
                           : snprintf(both, sizeof(both), "%s: error %d", what, errno_value);
    memcpy(what, both, sizeof(what) - 1);
    what[sizeof(what) - 1] = '\0';
    make_safe(what, sizeof(what), len < 0 ? 0 : (size_t)len);
    set_cause(e, status, what);
    return status;
}

void sm_error_place(sm_error *e, const char *object, int64_t line, int64_t byte)
{
    SM_ASSERT(line >= 0 && byte >= -1);
    if (!e) {
        return;
    }
    const bool has_object = e->object[0] != '\0';
    const bool has_position = e->line > 0 || e->byte >= 0;
    const bool same = !object || !object[0] || strcmp(object, e->object) == 0;
    if (has_object && !same) {
        return; /* the position given belongs to another object */
    }
    if (!has_object && object) {
        const int len = snprintf(e->object, sizeof(e->object), "%s", object);
        make_safe(e->object, sizeof(e->object), len < 0 ? 0 : (size_t)len);
    }
    if (!has_position) {
        e->line = line;
        e->byte = byte;
    }
}

void sm_error_todo(sm_error *e, const char *fmt, ...)
{
    if (!e || e->todo[0]) {
        return;
    }
    char todo[sizeof(e->todo)] = "";
    va_list args;
    va_start(args, fmt);
    format_field(todo, sizeof(todo), fmt, args);
    va_end(args);
    memcpy(e->todo, todo, sizeof(todo));
}

sm_status sm_within(sm_error *e, sm_status st, const char *fmt, ...)
{
    if (!e || sm_status_is_answer(st) || e->frames >= SM_COUNT(e->frame)) {
        return st;
    }
    char frame[sizeof(e->frame[0])] = "";
    va_list args;
    va_start(args, fmt);
    format_field(frame, sizeof(frame), fmt, args);
    va_end(args);
    memcpy(e->frame[e->frames], frame, sizeof(frame));
    e->frames++;
    return st;
}

/* ---- what the user sees ---------------------------------------------------------------------- */

typedef struct out_text {
    char *out;
    size_t cap, len;
} out_text;

SM_PRINTF(2, 3) static void append_text(out_text *t, const char *fmt, ...)
{
    if (t->len + 1 >= t->cap) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    const int len = vsnprintf(t->out + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    if (len > 0) {
        const size_t room = t->cap - t->len - 1;
        t->len += (size_t)len < room ? (size_t)len : room;
    }
}

static bool has_place(const sm_error *e)
{
    return e->object[0] != '\0' || e->line > 0 || e->byte > 0;
}

static void put_place(out_text *t, const sm_error *e)
{
    const bool has_object = e->object[0] != '\0';
    if (has_object && e->line > 0 && e->byte > 0) {
        append_text(t, "%s:%" PRId64 ":%" PRId64, e->object, e->line, e->byte);
    } else if (has_object && e->line > 0) {
        append_text(t, "%s:%" PRId64, e->object, e->line);
    } else if (has_object && e->byte >= 0) {
        append_text(t, "%s, byte %" PRId64, e->object, e->byte);
    } else if (has_object) {
        append_text(t, "%s", e->object);
    } else if (e->line > 0 && e->byte > 0) {
        append_text(t, "line %" PRId64 ", byte %" PRId64, e->line, e->byte);
    } else if (e->line > 0) {
        append_text(t, "line %" PRId64, e->line);
    } else if (e->byte > 0) {
        append_text(t, "byte %" PRId64, e->byte);
    }
}

size_t sm_error_format_place(const sm_error *e, char *out, size_t cap)
{
    if (cap == 0) {
        return 0;
    }
    out_text t = {.out = out, .cap = cap};
    out[0] = '\0';
    put_place(&t, e);
    return t.len;
}

size_t sm_error_format(const sm_error *e, char *out, size_t cap)
{
    if (cap == 0) {
        return 0;
    }
    out_text t = {.out = out, .cap = cap};
    out[0] = '\0';
    append_text(&t, "smelt: %s\n", e->what[0] ? e->what : sm_status_text(e->status));
    if (has_place(e)) {
        append_text(&t, "  at ");
        put_place(&t, e);
        append_text(&t, "\n");
    }
    for (int i = 0; i < e->frames && i < SM_COUNT(e->frame); i++) {
        append_text(&t, "%s%s", i == 0 ? "  in " : ", ", e->frame[i]);
    }
    if (e->frames > 0) {
        append_text(&t, "\n");
    }
    if (e->todo[0]) {
        append_text(&t, "  %s\n", e->todo);
    }
    return t.len;
}

_Noreturn void sm_assert_failed(const char *cond, const char *file, int line)
{
    char text[512];
    const int len =
        snprintf(text, sizeof(text), "smelt: internal error: \"%s\" does not hold\n  at %s:%d\n",
                 cond, file, line);
    if (len > 0) {
        const size_t n = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
        const ssize_t written = write(STDERR_FILENO, text, n);
        (void)written; /* the process ends either way */
    }
    abort();
}
