/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_page_draw.c: the drawings of a page: histograms with the bounds of rules, and
 * bars of the most frequent values, as SVG within the page. Called by contract_page.c.
 *
 * Sizes     are those of a telephone: 360 units are about as many pixels there, and a little more
 *           on a wide screen. A bar of few rows is 2 units high at least, so that one wrong row in
 *           a million is seen; the table of numbers below has the exact counts.
 * Colours   are classes, which the page's style sheet sets for light and dark screens. What breaks
 *           a rule has a colour of its own, and the word for it in the title of its bar. */
#include <inttypes.h>

#include "base/text.h"
#include "contract/contract_int.h"

enum {
    WIDTH = 360,
    PLOT = 92,       /* the highest bar */
    FOOT = 18,       /* below the bars: a line of labels */
    MARK_LINE = 14,  /* above the bars: a line of labels */
    SIDE = 22,       /* beside the bars, for rows that lie outside */
    SIDE_WIDTH = 14, /* of their bar */
    MOST_WIDTH = 40, /* of a bar, where there are few */
    LEAST_HEIGHT = 2,
    CHAR_WIDTH = 7, /* at most, about */
    LABEL_CHARS = 22,
    VALUE_CHARS = 16,
    /* of values */
    LINE = 22,
    LABEL_WIDTH = 134,
    COUNT_WIDTH = 76,
    BAR_WIDTH = WIDTH - LABEL_WIDTH - COUNT_WIDTH - 12,
};

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Opens a drawing, which a title and a description say in words. The description is open. */
static void open_drawing(smi_html *h, int height, const char *what, sm_str name)
{
    const int id = ++h->n_ids;

    sm_buf_printf(h->out,
                  "<svg class=\"draw\" role=\"img\" viewBox=\"0 0 %d %d\" "
                  "aria-labelledby=\"t%d d%d\"><title id=\"t%d\">%s ",
                  WIDTH, height, id, id, id, what);
    smi_html_text(h->out, name);
    sm_buf_printf(h->out, "</title><desc id=\"d%d\">", id);
}

static void put_rect(smi_html *h, const char *class, double x, double y, double width,
                     double height)
{
    sm_buf_printf(h->out,
                  "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
                  class, x, y, width, height);
}

/* Opens a label; anchor: start, middle or end. */
static void open_label(smi_html *h, double x, double y, const char *anchor)
{
    sm_buf_printf(h->out, "<text class=\"label\" x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">", x, y,
                  anchor);
}

/* A bound or an end so that it fits: of a number that is too long its first digits and its size,
 * for it would be another one if it were cut. */
static void put_short(smi_html *h, sm_str s)
{
    char digits[64], few[32];
    size_t n = 0;
    double number = 0;

    for (size_t i = 0; i < s.len && s.len <= sizeof(digits); i++) {
        if (s.data[i] != ',') {
            digits[n++] = s.data[i];
        }
    }
    if (s.len > LABEL_CHARS && sm_parse_f64((sm_str){digits, n}, false, &number)) {
        snprintf(few, sizeof(few), "%.4g", number);
        s = sm_str_of(few);
    }
    smi_html_short(h->out, s, LABEL_CHARS);
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* Where the bars are drawn. */
typedef struct plot {
    const sm_histogram *h;
    double left, width;
    int base;     /* where the bars stand */
    int64_t most; /* rows of the highest bar */
} plot;

/* The lines of labels above the bars: low bounds have one, and high bounds have one. */
static int count_lines(const sm_histogram *h)
{
    bool has_low = false, has_high = false;

    for (int32_t i = 0; i < h->n_marks; i++) {
        has_low = has_low || h->marks[i].is_low;
        has_high = has_high || !h->marks[i].is_low;
    }
    return has_low + has_high;
}

static plot plot_of(const sm_histogram *h)
{
    const bool has_sides = h->n_under > 0 || h->n_over > 0;
    plot p = {.h = h,
              .left = has_sides ? SIDE : 1,
              .width = has_sides ? WIDTH - 2 * SIDE : WIDTH - 2,
              .base = PLOT + MARK_LINE * count_lines(h) + 4,
              .most = h->n_under > h->n_over ? h->n_under : h->n_over};

    for (int32_t i = 0; i < h->n_bars; i++) {
        p.most = h->bars[i].n_rows > p.most ? h->bars[i].n_rows : p.most;
    }
    return p;
}

static double height_of(const plot *p, int64_t n_rows)
{
    const double height = p->most > 0 ? (double)PLOT * (double)n_rows / (double)p->most : 0;

    return n_rows > 0 && height < LEAST_HEIGHT ? LEAST_HEIGHT : height;
}

/* A bar: those of its rows that lie beyond a bound stand below the others. */
static void draw_bar(smi_html *h, const plot *p, sm_str label, double x, double width,
                     int64_t n_rows, int64_t n_beyond)
{
    const double beyond = height_of(p, n_beyond);
    double whole = height_of(p, n_rows);

    if (n_rows == 0) {
        return;
    }
    whole = n_rows > n_beyond && whole < beyond + LEAST_HEIGHT ? beyond + LEAST_HEIGHT : whole;
    smi_html_put(h, "<g><title>");
    smi_html_text(h->out, label);
    smi_html_put(h, ": ");
    smi_html_counted(h, n_rows, "row");
    if (n_beyond > 0) {
        smi_html_put(h, ", beyond a bound ");
        smi_html_count(h, n_beyond);
    }
    smi_html_put(h, "</title>");
    if (n_rows > n_beyond) {
        put_rect(h, "bar", x, p->base - whole, width, whole - beyond);
    }
    if (n_beyond > 0) {
        put_rect(h, "bad", x, p->base - beyond, width, beyond);
    }
    smi_html_put(h, "</g>");
}

static void draw_bars(smi_html *h, const plot *p)
{
    const sm_histogram *g = p->h;

    for (int32_t i = 0; i < g->n_bars; i++) {
        const sm_histogram_bar *b = &g->bars[i];
        const double x = p->left + b->start * p->width, width = (b->end - b->start) * p->width;
        const double gap = width > MOST_WIDTH ? width - MOST_WIDTH : width > 4 ? 1 : 0;
        draw_bar(h, p, b->label, x + gap / 2, width - gap, b->n_rows, b->n_beyond);
    }
    draw_bar(h, p, SM_STR("far below"), 1, SIDE_WIDTH, g->n_under, g->n_under);
    draw_bar(h, p, SM_STR("far above"), WIDTH - 1 - SIDE_WIDTH, SIDE_WIDTH, g->n_over, g->n_over);
    sm_buf_printf(h->out, "<line class=\"axis\" x1=\"0\" y1=\"%d.5\" x2=\"%d\" y2=\"%d.5\"/>",
                  p->base, WIDTH, p->base);
}

static const char *word_of(const sm_rule *r)
{
    switch (r->kind) {
    case SM_RULE_EXCLUSIVE_MINIMUM:
        return "above ";
    case SM_RULE_EXCLUSIVE_MAXIMUM:
        return "below ";
    case SM_RULE_MINIMUM:
    case SM_RULE_MIN_LENGTH:
        return "min ";
    default:
        return "max ";
    }
}

/* Bounds: low ones have their labels in the upper line, high ones below it. */
static void draw_marks(smi_html *h, const plot *p)
{
    for (int32_t i = 0; i < p->h->n_marks; i++) {
        char count[SM_SIZE_TEXT_BYTES] = "";
        int64_t bound = 0;
        const sm_histogram_mark *m = &p->h->marks[i];
        const bool is_left = m->place<0, is_right = m->place> 1;
        const double place = is_left ? 0 : is_right ? 1 : m->place;
        const double x = p->left + place * p->width;
        const int y = MARK_LINE * (m->is_low ? 1 : count_lines(p->h)) - 3;
        if (!is_left && !is_right) {
            sm_buf_printf(h->out,
                          "<line class=\"mark\" x1=\"%.2f\" y1=\"%d\" x2=\"%.2f\" y2=\"%d\"/>", x,
                          y + 3, x, p->base);
        }
        open_label(h, place < 0.5 ? x + 3 : x - 3, y, place < 0.5 ? "start" : "end");
        sm_buf_printf(h->out, "%s%s", is_left ? "\xe2\x80\xb9 " : "", word_of(m->rule));
        if (sm_parse_i64(m->rule->text, &bound)) {
            sm_format_count(bound, count);
        }
        put_short(h, count[0] ? sm_str_of(count) : m->rule->text);
        smi_html_put(h, is_right ? " \xe2\x80\xba</text>" : "</text>");
    }
}

static void put_end(smi_html *h, double x, double y, const char *anchor, sm_str s)
{
    open_label(h, x, y, anchor);
    put_short(h, s);
    smi_html_put(h, "</text>");
}

/* What the ends of the bars are; where both do not fit, in one text. */
static void draw_ends(smi_html *h, const plot *p)
{
    const sm_histogram *g = p->h;
    const double x0 = p->left + g->bars[0].start * p->width;
    const double x1 = p->left + g->bars[g->n_bars - 1].end * p->width;
    const double chars = (double)(sm_utf8_count(g->start) + sm_utf8_count(g->end) + 2);
    const int y = p->base + 14;

    if (sm_str_eq(g->least, g->greatest)) {
        put_end(h, (x0 + x1) / 2, y, "middle", g->least);
    } else if (sm_str_eq(g->start, g->end)) {
        put_end(h, (x0 + x1) / 2, y, "middle", g->start);
    } else if (chars * CHAR_WIDTH < x1 - x0) {
        put_end(h, x0, y, "start", g->start);
        put_end(h, x1, y, "end", g->end);
    } else {
        const bool is_left = x0 < WIDTH / 2.0;
        open_label(h, is_left ? x0 : x1, y, is_left ? "start" : "end");
        put_short(h, g->start);
        smi_html_put(h, " to ");
        put_short(h, g->end);
        smi_html_put(h, "</text>");
    }
}

static int64_t beyond_of(const sm_histogram *g)
{
    int64_t n = g->n_under + g->n_over;

    for (int32_t i = 0; i < g->n_bars; i++) {
        n += g->bars[i].n_beyond;
    }
    return n;
}

static void tell_histogram(smi_html *h, const sm_histogram *g)
{
    const int64_t n = beyond_of(g);

    smi_html_put(h, g->is_length ? "Lengths in characters: " : "");
    if (sm_str_eq(g->least, g->greatest)) {
        smi_html_put(h, g->is_length ? "all are " : "All are ");
    } else {
        smi_html_put(h, g->is_length ? "from " : "From ");
        smi_html_text(h->out, g->least);
        smi_html_put(h, " to ");
    }
    smi_html_text(h->out, g->greatest);
    if (n > 0) {
        smi_html_put(h, "; beyond the bounds: ");
        smi_html_counted(h, n, "row");
    }
    smi_html_put(h, ".");
}

static void draw_histogram(smi_html *h, sm_str name, const sm_histogram *g)
{
    const plot p = plot_of(g);

    smi_html_put(h, "<figure>");
    open_drawing(h, p.base + FOOT, g->is_length ? "Lengths of" : "Distribution of", name);
    tell_histogram(h, g);
    smi_html_put(h, "</desc>");
    draw_bars(h, &p);
    draw_marks(h, &p);
    draw_ends(h, &p);
    smi_html_put(h, "</svg><figcaption>");
    tell_histogram(h, g);
    smi_html_put(h, "</figcaption>");
}

static void put_number_row(smi_html *h, sm_str label, int64_t n_rows, int64_t n_bad)
{
    smi_html_put(h, "<tr><th scope=\"row\"><bdi>");
    smi_html_text(h->out, label);
    smi_html_put(h, "</bdi></th><td>");
    smi_html_count(h, n_rows);
    smi_html_put(h, "</td><td>");
    smi_html_count(h, n_bad);
    smi_html_put(h, "</td></tr>");
}

static void open_numbers(smi_html *h, const char *what)
{
    sm_buf_printf(h->out,
                  "<details><summary>Numbers</summary><table class=\"numbers\"><thead><tr>"
                  "<th scope=\"col\">%s</th><th scope=\"col\">rows</th>"
                  "<th scope=\"col\">broken</th></tr></thead><tbody>",
                  what);
}

static void close_numbers(smi_html *h)
{
    smi_html_put(h, "</tbody></table></details></figure>");
}

static void list_histogram(smi_html *h, const sm_histogram *g)
{
    open_numbers(h, g->is_length ? "length" : "value");
    if (g->n_under > 0) {
        put_number_row(h, SM_STR("far below"), g->n_under, g->n_under);
    }
    for (int32_t i = 0; i < g->n_bars; i++) {
        put_number_row(h, g->bars[i].label, g->bars[i].n_rows, g->bars[i].n_beyond);
    }
    if (g->n_over > 0) {
        put_number_row(h, SM_STR("far above"), g->n_over, g->n_over);
    }
    close_numbers(h);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A line of the drawing; the rest of values has a text of the page's own. */
typedef struct line {
    sm_str text;
    int64_t n_rows;
    bool is_broken, is_rest;
} line;

/* The values that are shown, and behind each kind the rest of it; *n at most 14. */
static void make_lines(const sm_frequent *f, line *out, int32_t *n)
{
    int64_t shown[2] = {0, 0};
    const int64_t all[2] = {f->n_rows - f->n_broken, f->n_broken};

    *n = 0;
    for (int32_t i = 0, k = 0; k < 2; k++) {
        for (; i < f->n_values && f->values[i].is_broken == (k == 1); i++) {
            out[(*n)++] = (line){f->values[i].text, f->values[i].n_rows, k == 1, false};
            shown[k] += f->values[i].n_rows;
        }
        if (all[k] > shown[k] && shown[k] > 0) {
            out[(*n)++] = (line){k ? SM_STR("others that break a rule") : SM_STR("others"),
                                 all[k] - shown[k], k == 1, true};
        }
    }
}

static void draw_line(smi_html *h, const line *l, int y, int64_t most)
{
    const double width = (double)BAR_WIDTH * (double)l->n_rows / (double)most;

    smi_html_put(h, "<g><title>");
    smi_html_text(h->out, l->text);
    smi_html_put(h, ": ");
    smi_html_counted(h, l->n_rows, "row");
    smi_html_put(h, l->is_broken && !l->is_rest ? ", breaks a rule</title>" : "</title>");
    /* An inner drawing cuts off what is wider than the font should be. */
    sm_buf_printf(h->out, "<svg y=\"%d\" width=\"%d\" height=\"%d\"><text class=\"%s\" y=\"15\">",
                  y, LABEL_WIDTH - 4, LINE,
                  l->is_rest     ? "rest"
                  : l->is_broken ? "value broken"
                                 : "value");
    smi_html_short(h->out,
                   l->is_rest    ? SM_STR("others")
                   : l->text.len ? l->text
                                 : SM_STR("\"\""),
                   VALUE_CHARS);
    smi_html_put(h, "</text></svg>");
    put_rect(h,
             l->is_broken ? "bad"
             : l->is_rest ? "faint"
                          : "bar",
             LABEL_WIDTH, y + 5, width < LEAST_HEIGHT ? LEAST_HEIGHT : width, LINE - 10);
    open_label(h, WIDTH, y + 15, "end");
    smi_html_count(h, l->n_rows);
    smi_html_put(h, "</text></g>");
}

static void tell_values(smi_html *h, const sm_frequent *f)
{
    smi_html_put(h, f->values[0].is_broken ? "Most frequent values that break a rule, of "
                                           : "Most frequent values of ");
    smi_html_put(h, f->is_sample ? "a sample, the first " : "all ");
    smi_html_counted(h, f->n_rows, "row");
    smi_html_put(h, " with a value");
    if (f->n_broken > 0) {
        smi_html_put(h, "; breaking a rule: ");
        smi_html_count(h, f->n_broken);
    }
    smi_html_put(h, ".");
}

static void draw_values(smi_html *h, sm_str name, const sm_frequent *f)
{
    line lines[16];
    int32_t n = 0;
    int64_t most = 1;

    SM_ASSERT(f->n_values + 2 <= SM_COUNT(lines));
    make_lines(f, lines, &n);
    for (int32_t i = 0; i < n; i++) {
        most = lines[i].n_rows > most ? lines[i].n_rows : most;
    }
    smi_html_put(h, "<figure>");
    open_drawing(h, n * LINE, "Most frequent values of", name);
    tell_values(h, f);
    smi_html_put(h, "</desc>");
    for (int32_t i = 0; i < n; i++) {
        draw_line(h, &lines[i], i * LINE, most);
    }
    smi_html_put(h, "</svg><figcaption>");
    tell_values(h, f);
    smi_html_put(h, "</figcaption>");
    open_numbers(h, "value");
    for (int32_t i = 0; i < n; i++) {
        put_number_row(h, lines[i].text.len ? lines[i].text : SM_STR("\"\""), lines[i].n_rows,
                       lines[i].is_broken ? lines[i].n_rows : 0);
    }
    close_numbers(h);
}

void smi_html_draw(smi_html *h, sm_str name, const sm_column_profile *p)
{
    if (p->histogram) {
        draw_histogram(h, name, p->histogram);
        list_histogram(h, p->histogram);
    }
    if (p->frequent) {
        draw_values(h, name, p->frequent);
    }
}
