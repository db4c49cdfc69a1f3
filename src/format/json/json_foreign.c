/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_foreign.c: recognises a file that is JSON but not one object a line. Read line
 * by line, such a file gives next to nothing: of an array over several lines the last element, of
 * objects over several lines none. So the whole file is refused with a message that says what it
 * is, also where broken lines are skipped.
 *
 * Layouts  Told by the bytes at hand, from the first line on:
 *          ARRAY         an array over several lines; or in one line, if it is all that the file
 *                        has and holds two objects or more
 *          OVER_LINES    an object that begins in the first line and goes on in the next
 *          MANY_IN_LINE  three objects or more in the first line; or two, and two or more in each
 *                        further line at hand, of which there is at least one
 *          LINES         anything else. Then the first line is just a broken one: it was cut
 *                        ([1,2 or {"a": before a whole line), it lost an LF between two objects, or
 *                        it is a list where an object should be
 * Callers  json.c and json_infer.c, only where the first line of a file is refused. So other files
 *          do not pay for this, nor for the copy of the bytes at hand. */
#include "format/json/json_int.h"

#include <stdio.h>

/* How many lines are looked at for several objects in a line. */
#define MOST_LINES 16

/* The bytes at hand. */
typedef struct text {
    const uint8_t *start, *line_end, *end; /* at both ends is an LF */
    bool is_all;                           /* the file ends here */
} text;

typedef enum layout { LINES, ARRAY, OVER_LINES, MANY_IN_LINE } layout;

static const uint8_t *skip_blanks(const uint8_t *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r') {
        p++;
    }
    return p;
}

static bool has_only_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && sm_json_is_space(*p)) {
        p++;
    }
    return p == end;
}

/* How many objects a line consists of; 0: it has something else too. */
static int count_objects(const uint8_t *line, const uint8_t *end)
{
    SM_ASSERT(line <= end && *end == '\n');
    sm_json_scan scan = {.start = line, .end = end};
    sm_json_token passed;
    int n = 0;
    const uint8_t *p = skip_blanks(line);
    while (p < end && *p == '{') {
        p = sm_json_scan_value(&scan, p, &passed);
        if (!p) {
            return 0;
        }
        n++;
        p = skip_blanks(p);
    }
    return p == end ? n : 0;
}

/* Is it MANY_IN_LINE? */
static bool has_many_in_line(const text *t)
{
    const int n_first = count_objects(t->start, t->line_end);
    const uint8_t *line = t->line_end + 1;
    int n_lines = 0;
    if (n_first != 2) {
        return n_first > 2;
    }
    while (line < t->end && n_lines < MOST_LINES) {
        const uint8_t *lf = memchr(line, '\n', (size_t)(t->end - line) + 1);
        SM_ASSERT(lf); /* at t->end there is one */
        if (!has_only_space(line, lf)) {
            if (count_objects(line, lf) < 2) {
                return false;
            }
            n_lines++;
        }
        line = lf + 1;
    }
    return n_lines > 0;
}

/* Does an array, which ends in its line, hold two objects or more? */
static bool has_two_objects(const uint8_t *array, const uint8_t *end)
{
    sm_json_scan scan = {.start = array, .end = end};
    sm_json_token passed;
    bool more = true;
    int n = 0;
    const uint8_t *p = sm_json_scan_open(&scan, array);
    while (p && more && *p == '{') {
        p = sm_json_scan_value(&scan, p, &passed);
        p = p ? sm_json_scan_next(&scan, p, ']', &more) : NULL;
        n++;
    }
    return n > 1;
}

static layout layout_of(const text *t)
{
    sm_json_scan scan = {.start = t->start, .end = t->end};
    sm_json_token value;
    const uint8_t *p = skip_blanks(t->start);
    const bool is_array = *p == '[';
    if (!is_array && *p != '{') {
        return LINES;
    }
    const layout over = is_array ? ARRAY : OVER_LINES;
    const uint8_t *end = sm_json_scan_value(&scan, p, &value);
    if (end && end <= t->line_end) {
        const bool is_whole_file = t->is_all && has_only_space(end, t->end);
        if (is_array) {
            return is_whole_file && has_two_objects(p, t->line_end) ? ARRAY : LINES;
        }
        return has_many_in_line(t) ? MANY_IN_LINE : LINES;
    }
    if (end) {
        return over;
    }
    /* The value does not end in the bytes at hand. Is all of them its beginning, and is that more
     * than the first line and blank ones? */
    const bool is_alone = skip_blanks(p + 1) == t->line_end;
    const bool goes_on = scan.fault == SM_JSON_FAULT_SYNTAX && scan.bad == t->end &&
                         !has_only_space(t->line_end, t->end);
    return goes_on && (is_array || is_alone || !t->is_all) ? over : LINES;
}

/* The layout told by the head of a line that is too long to be at hand. */
static layout layout_of_head(const smi_line *line)
{
    const uint8_t *p = skip_blanks(line->data);
    sm_json_scan scan = sm_json_scan_of(line->data, line->len);
    sm_json_token value;
    int n = 0;
    if (*p == '[') {
        return *sm_json_skip_space(&scan, p + 1) == '{' ? ARRAY : LINES;
    }
    while (p && *p == '{' && n < 3) {
        p = sm_json_scan_value(&scan, p, &value);
        p = p ? skip_blanks(p) : NULL;
        n += p != NULL;
    }
    return n > 2 ? MANY_IN_LINE : LINES;
}

/* Copies the bytes at hand, from the line on, and puts an LF at their end. The caller frees them.
 */
static uint8_t *copy_text(const smi_lines *lines, const smi_line *line, text *out)
{
    const uint8_t *end = smi_lines_at_hand(lines, &out->is_all);
    SM_ASSERT(end > line->data + line->len); /* the line's LF is at hand too */
    size_t n = (size_t)(end - line->data);
    if (!out->is_all || line->data[n - 1] == '\n') {
        const uint8_t *lf = memrchr(line->data, '\n', n); /* the line's own at least */
        n = (size_t)(lf - line->data);
    }
    uint8_t *copy = sm_alloc_zero(n + 1 + SM_PAD_BYTES);
    memcpy(copy, line->data, n);
    copy[n] = '\n';
    out->start = copy;
    out->line_end = copy + line->len;
    out->end = copy + n;
    SM_ASSERT(out->line_end <= out->end && *out->line_end == '\n' && *out->end == '\n');
    return copy;
}

static layout layout_at(const smi_lines *lines, const smi_line *line)
{
    text t;
    if (line->is_too_long) {
        return layout_of_head(line);
    }
    uint8_t *copy = copy_text(lines, line, &t);
    const layout found = layout_of(&t);
    sm_free(copy);
    return found;
}

sm_status smi_json_foreign(const smi_lines *lines, const smi_line *line, sm_error *e)
{
    static const struct {
        const char *what, *filter;
    } layouts[] = {
        [ARRAY] = {"the file is one array, not one object a line", "'.[]'"},
        [OVER_LINES] = {"an object goes over several lines, where one line is one object", "."},
        [MANY_IN_LINE] = {"several objects stand in one line, where one line is one object", "."},
    };
    _Static_assert(SM_COUNT(layouts) == MANY_IN_LINE + 1, "a message for each layout");
    const layout found = layout_at(lines, line);
    if (found == LINES) {
        return SM_OK;
    }
    sm_fail(e, SM_UNSUPPORTED, "%s", layouts[found].what);
    sm_error_place_str(e, lines->file->uri, line->number, skip_blanks(line->data) - line->data + 1);
    sm_error_todo(e, "Write one object a line, as jq -c %s does, or leave the file out.",
                  layouts[found].filter);
    return SM_UNSUPPORTED;
}
