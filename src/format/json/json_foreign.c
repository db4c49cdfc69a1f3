/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_foreign.c: is a file whose first line is no object one of another layout as a
 * whole? Line by line such a file gives next to nothing: of an array over lines its last element,
 * of objects over lines none. So it is refused as what it is, whatever is done with broken lines.
 *
 * Judged   by the bytes at hand from the first line on, which any JSON text may go on in:
 *          an array        over several lines; or in one, of two objects or more, and nothing else
 *                          in the file
 *          over lines      a value that begins in the first line and goes on in the next
 *          objects behind  three or more in the first line; or two, and so in every other line at
 *          one another     hand, of which there is one
 * Else     the line is a broken one among others: cut ([1,2 or {"a": before a whole line), two that
 *          lost the LF between them, a list where an object should be.
 * Callers  json.c and json_infer.c, where a file's first line is not kept: no other file pays, not
 *          even with the copy of what is at hand. */
#include "format/json/json_int.h"

#include <stdio.h>

/* Lines at hand that are looked at for objects behind one another. */
#define MOST_LINES 16

typedef struct text {
    const uint8_t *start, *line_end, *end; /* both ends are an LF */
    bool is_all;                           /* nothing of the file follows */
} text;

typedef enum layout { LINES, ARRAY, OVER_LINES, BEHIND } layout;

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

/* How many objects stand behind one another in a line and are all that it has; 0: it has others. */
static int count_objects(const uint8_t *line, const uint8_t *end)
{
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

static bool are_behind_one_another(const text *t)
{
    const int n_first = count_objects(t->start, t->line_end);
    const uint8_t *line = t->line_end + 1;
    int n_lines = 0;
    if (n_first != 2) {
        return n_first > 2;
    }
    while (line < t->end && n_lines < MOST_LINES) {
        const uint8_t *lf = memchr(line, '\n', (size_t)(t->end - line) + 1);
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

/* Of an array that the line has whole. */
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
        return are_behind_one_another(t) ? BEHIND : LINES;
    }
    if (end) {
        return over;
    }
    /* All at hand may be its beginning, and there is more of it than the first line. */
    const bool is_alone = skip_blanks(p + 1) == t->line_end;
    const bool goes_on = scan.fault == SM_JSON_FAULT_SYNTAX && scan.bad == t->end;
    return goes_on && t->end > t->line_end && (is_array || is_alone || !t->is_all) ? over : LINES;
}

/* Of a line that is too long to be at hand: its head. */
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
    return n > 2 ? BEHIND : LINES;
}

/* The bytes from the line on that are at hand, ended by an LF, to be freed. */
static uint8_t *copy_text(const smi_lines *lines, const smi_line *line, text *out)
{
    const uint8_t *end = smi_lines_at_hand(lines, &out->is_all);
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
        const char *what, *way;
    } layouts[] = {
        [ARRAY] = {"the file is one array, not one object a line", "'.[]'"},
        [OVER_LINES] = {"an object goes over several lines, where one line is one object", "."},
        [BEHIND] = {"several objects stand in one line, where one line is one object", "."},
    };
    const layout found = layout_at(lines, line);
    if (found == LINES) {
        return SM_OK;
    }
    sm_fail(e, SM_UNSUPPORTED, "%s", layouts[found].what);
    sm_error_place_str(e, lines->file->uri, line->number, skip_blanks(line->data) - line->data + 1);
    sm_error_todo(e, "Write one object a line, as jq -c %s does, or leave the file out.",
                  layouts[found].way);
    return SM_UNSUPPORTED;
}
