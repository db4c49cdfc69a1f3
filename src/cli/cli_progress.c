/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_progress.c: a line of progress on stderr, and bold text on stdout. Called by the
 * commands.
 *
 * Calls    start, stop, start again: one line at a time. A thread draws it until the stop.
 * Width    The line is drawn every 200 ms over itself, so it must never be wider than the terminal:
 *          a line that wraps leaves its first part behind each time. The width is asked for each
 *          time, since a terminal may be resized. What does not fit is left out, the least
 *          important figures first. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

#define DRAW_EVERY_MS   200
#define DEFAULT_COLUMNS 80
#define SHORTEST        4 /* the form of the line that says only how much is done */

/* A line that is being drawn. */
struct smi_painter {
    const sm_progress *progress; /* borrowed */
    const char *what;            /* borrowed; stands before the figures */
    sm_thread *thread;
    sm_mutex mutex;
    sm_cond changed; /* is_stopped was set */
    bool is_stopped; /* under the mutex */
    /* Of the thread alone. */
    bool has_drawn;
    int64_t start_ns;
    sm_buf line;
};

/* ---- a line that fits ------------------------------------------------------------------------ */

static int64_t terminal_columns(void)
{
    struct winsize size = {0};
    const bool is_told = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;

    return is_told ? size.ws_col : DEFAULT_COLUMNS;
}

/* The number of bytes of a text that fit into so many columns. A character from U+1100 on may be
 * two columns wide and is counted so: a line may be too short, but not one column too long. */
static size_t bytes_that_fit(sm_str s, int64_t columns)
{
    size_t at = 0;

    while (at < s.len) {
        size_t next = at;
        columns -= sm_utf8_next(s, &next) < 0x1100 ? 1 : 2;
        if (columns < 0) {
            break;
        }
        SM_ASSERT(next > at && next <= s.len);
        at = next;
    }
    return at;
}

/* The line with all of its figures (less = 0), or with fewer, down to SHORTEST. */
static void put_line(const struct smi_painter *p, int less, sm_buf *out)
{
    const sm_progress *g = p->progress;
    const int64_t done = atomic_load(&g->done_bytes), total = atomic_load(&g->total_bytes);
    const double seconds = (double)(sm_monotonic_ns() - p->start_ns) / 1e9;
    char text[SM_SIZE_TEXT_BYTES];

    sm_format_size(done, text);
    sm_buf_printf(out, "%s: %s", p->what, text);
    if (less < 4) {
        sm_format_size(total, text);
        sm_buf_printf(out, " of %s", text);
    }
    if (less < 2) {
        sm_format_count(atomic_load(&g->rows), text);
        sm_buf_printf(out, ", %s rows", text);
    }
    if (less < 1) {
        sm_format_size(seconds > 0 ? (int64_t)((double)done / seconds) : 0, text);
        sm_buf_printf(out, ", %s/s", text);
    }
    if (less < 3 && done > 0 && total > done) {
        sm_buf_printf(out, ", %.0f s left", (double)(total - done) * seconds / (double)done);
    }
}

static void draw_line(struct smi_painter *p)
{
    /* Not the last column: a cursor behind it may already stand in the next row. */
    const int64_t columns = terminal_columns() - 1;
    sm_str line = {0};
    size_t len = 0;

    SM_ASSERT(!p->is_stopped); /* it would stay on the terminal */
    for (int less = 0; less <= SHORTEST; less++) {
        sm_buf_reset(&p->line);
        put_line(p, less, &p->line);
        line = sm_buf_str(&p->line);
        len = bytes_that_fit(line, columns);
        if (len == line.len) {
            break;
        }
    }
    SM_ASSERT(len <= line.len && !memchr(line.data, '\n', len)); /* one line of the terminal */
    fprintf(stderr, "\r%.*s\033[K", (int)len, line.data);
    p->has_drawn = true;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void draw_until_stopped(void *ctx)
{
    struct smi_painter *p = ctx;

    sm_mutex_lock(&p->mutex);
    while (!p->is_stopped) {
        if (!sm_cond_wait_ms(&p->changed, &p->mutex, DRAW_EVERY_MS)) {
            draw_line(p);
        }
    }
    sm_mutex_unlock(&p->mutex);
    if (p->has_drawn) {
        fputs("\r\033[K", stderr);
    }
}

/* A terminal that can move its cursor. */
static bool is_terminal(int fd)
{
    const char *term = sm_env("TERM");

    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

void smi_progress_start(smi_cli *cli, const char *what, const sm_progress *progress)
{
    sm_error e = {0};

    SM_ASSERT(!cli->painter); /* the line before was stopped */
    if (cli->globals.quiet || cli->globals.json || !is_terminal(STDERR_FILENO) || cli->painter) {
        return;
    }
    struct smi_painter *p = SM_NEW(cli->arena, struct smi_painter);
    p->progress = progress;
    p->what = what;
    p->start_ns = sm_monotonic_ns();
    sm_mutex_init(&p->mutex);
    sm_cond_init(&p->changed);
    if (sm_thread_start(draw_until_stopped, p, "smelt-progress", &p->thread, &e) == SM_OK) {
        cli->painter = p;
    } else { /* no progress is shown; the command goes on */
        sm_cond_release(&p->changed);
        sm_mutex_release(&p->mutex);
    }
}

void smi_progress_stop(smi_cli *cli)
{
    struct smi_painter *p = cli->painter;

    if (!p) {
        return;
    }
    sm_mutex_lock(&p->mutex);
    SM_ASSERT(!p->is_stopped); /* else two threads stop it */
    p->is_stopped = true;
    sm_cond_signal(&p->changed);
    sm_mutex_unlock(&p->mutex);
    sm_thread_join(p->thread);
    sm_cond_release(&p->changed);
    sm_mutex_release(&p->mutex);
    sm_buf_release(&p->line);
    cli->painter = NULL;
}

/* ---- bold ------------------------------------------------------------------------------------ */

static bool is_coloured(void)
{
    return is_terminal(STDOUT_FILENO) && !sm_env("NO_COLOR");
}

const char *smi_bold(void)
{
    return is_coloured() ? "\033[1m" : "";
}

const char *smi_plain(void)
{
    return is_coloured() ? "\033[0m" : "";
}
