/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_take.c: changes the text of a contract so that a table has a further column,
 * behind its last one. All else stays as it is, comments too. Called for contracts that are changed
 * to what a source has become. */
#include "base/yaml_write.h"
#include "contract/contract_int.h"

static size_t next_line(sm_str text, size_t at)
{
    const char *lf = at < text.len ? memchr(text.data + at, '\n', text.len - at) : NULL;
    return lf ? (size_t)(lf + 1 - text.data) : text.len;
}

static size_t start_of_line(sm_str text, int64_t line)
{
    size_t at = 0;
    for (int64_t i = 1; i < line; i++) {
        at = next_line(text, at);
    }
    return at;
}

static size_t indent_of(sm_str text, size_t at)
{
    size_t n = 0;
    while (at + n < text.len && text.data[at + n] == ' ') {
        n++;
    }
    return n;
}

/* Has the line nothing but a comment, or nothing at all? */
static bool is_bare(sm_str text, size_t at)
{
    at += indent_of(text, at);
    return at >= text.len || memchr("#\r\n", text.data[at], 3);
}

/* The place behind the item whose `-` is at `indent` of the line at `at`, and behind what belongs
 * to it. */
static size_t end_of_item(sm_str text, size_t at, size_t indent)
{
    size_t end = next_line(text, at);

    for (size_t line = end; line < text.len; line = next_line(text, line)) {
        if (is_bare(text, line)) {
            continue;
        }
        if (indent_of(text, line) <= indent) {
            break;
        }
        end = next_line(text, line);
    }
    return end;
}

/* The last column that is no field of another; NULL: there is none. */
static const sm_contract_column *last_column(const sm_contract_table *t)
{
    const sm_contract_column *last = NULL;
    for (int64_t i = 0; i < t->n_columns; i++) {
        last = t->columns[i].parent < 0 ? &t->columns[i] : last;
    }
    return last;
}

static sm_str print_column(size_t indent, sm_str column, const sm_type *type, sm_str eol,
                           sm_arena *a)
{
    sm_buf item = {0}, lines = {0}, physical = {0};
    sm_yaml_writer w = {.out = &item};

    sm_type_print(type, &physical);
    sm_yaml_set_text(&w, "name", column);
    sm_yaml_set_text(&w, "logicalType", smi_logical_words[smi_logical_of(type)]);
    sm_yaml_set_text(&w, "physicalType", sm_buf_str(&physical));
    const sm_str text = sm_buf_str(&item);
    for (size_t at = 0; at < text.len; at = next_line(text, at)) {
        const size_t end = next_line(text, at);
        const size_t n = end - at - (text.data[end - 1] == '\n');
        for (size_t i = 0; i < indent; i++) {
            sm_buf_text(&lines, SM_STR(" "));
        }
        sm_buf_text(&lines, at == 0 ? SM_STR("- ") : SM_STR("  "));
        sm_buf_text(&lines, (sm_str){text.data + at, n});
        sm_buf_text(&lines, eol);
    }
    const sm_str out = sm_arena_str(a, sm_buf_str(&lines));
    sm_buf_release(&item);
    sm_buf_release(&lines);
    sm_buf_release(&physical);
    return out;
}

sm_status sm_contract_take(sm_str name, sm_str text, sm_str table, sm_str column,
                           const sm_type *type, sm_arena *a, sm_str *out, const char **why,
                           sm_error *e)
{
    sm_contract *c = NULL;
    const sm_contract_table *t = NULL;
    sm_buf changed = {0};

    *out = text;
    *why = NULL;
    SM_TRY(sm_contract_read(name, text, a, &c, e));
    SM_TRY(sm_contract_find(c, table, a, &t, e));
    for (int64_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i].parent < 0 && sm_str_eq_nocase(t->columns[i].physical, column)) {
            return SM_OK; /* it has it */
        }
    }
    const sm_contract_column *last = last_column(t);
    const size_t line = last ? start_of_line(text, last->at.line) : 0;
    const size_t indent = indent_of(text, line);
    if (!last || line + indent >= text.len || text.data[line + indent] != '-') {
        *why = "its columns are not written one below another";
        return SM_OK;
    }
    const size_t end = end_of_item(text, line, indent);
    const sm_str eol = end > 1 && text.data[end - 2] == '\r' ? SM_STR("\r\n") : SM_STR("\n");
    sm_buf_text(&changed, (sm_str){text.data, end});
    if (text.data[end - 1] != '\n') {
        sm_buf_text(&changed, eol);
    }
    sm_buf_text(&changed, print_column(indent, column, type, eol, a));
    sm_buf_text(&changed, (sm_str){text.data + end, text.len - end});
    *out = sm_arena_str(a, sm_buf_str(&changed));
    sm_buf_release(&changed);
    return sm_contract_read(name, *out, a, &c, e);
}
