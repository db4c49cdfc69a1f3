/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_contract_diff.c: `smelt contract diff`: prints what changed between two contracts, a line
 * a change, and fails where a change breaks somebody. Called by cmd_contract.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_contract_int.h"

enum { SHOWN_CHARACTERS = 48 }; /* of what stood there and what does: conditions may be long */

enum { CELL_BREAKS, CELL_TABLE, CELL_NAME, CELL_WHAT, CELL_BEFORE, CELL_AFTER, CELLS };

static const char *const heads[CELLS] = {"breaks", "table", "name", "what", "old", "new"};

static sm_status fail_breaking(const sm_contract_diff *d, unsigned whom, sm_error *e)
{
    int64_t n = 0;
    char changes[SM_COUNTED_TEXT_BYTES];
    SM_ASSERT(whom != 0 && d->n_breaking <= d->n_changes);

    for (int64_t i = 0; i < d->n_changes; i++) {
        n += (d->changes[i].breaks & whom) != 0;
    }
    if (n == 0) {
        return SM_OK;
    }
    sm_format_counted(d->n_changes, "change", changes);
    return sm_fail(e, SM_CONTRACT, "%" PRId64 " of %s break%s %s", n, changes, n == 1 ? "s" : "",
                   whom == SM_BREAKS_WRITERS   ? "writers"
                   : whom == SM_BREAKS_READERS ? "readers"
                                               : "writers or readers");
}

/* ---- a table for people ---------------------------------------------------------------------- */

static const char *breaks_text(unsigned breaks)
{
    return breaks == SM_BREAKS_WRITERS   ? "writers"
           : breaks == SM_BREAKS_READERS ? "readers"
           : breaks                      ? "both"
                                         : "-";
}

static sm_str cell_of(const sm_contract_change *c, int cell, sm_arena *a)
{
    switch (cell) {
    case CELL_BREAKS:
        return sm_str_of(breaks_text(c->breaks));
    case CELL_TABLE:
        return c->table;
    case CELL_NAME:
        return c->name;
    case CELL_WHAT:
        return c->kind == SM_CHANGE_ADDED     ? sm_arena_strf(a, "%s added", c->what)
               : c->kind == SM_CHANGE_REMOVED ? sm_arena_strf(a, "%s removed", c->what)
                                              : sm_str_of(c->what);
    case CELL_BEFORE:
        return c->before.len > 0 ? c->before : SM_STR("-");
    default:
        return c->after.len > 0 ? c->after : SM_STR("-");
    }
}

/* On one line, and cut where it is long. */
static sm_str shown(sm_str text, sm_arena *a)
{
    char *copy = (char *)sm_arena_str(a, text).data;
    size_t end = 0;
    SM_ASSERT(copy);

    for (int n = 0; n < SHOWN_CHARACTERS && end < text.len; n++) {
        (void)sm_utf8_next(text, &end);
    }
    for (size_t i = 0; i < end; i++) {
        copy[i] = copy[i] == '\n' || copy[i] == '\r' || copy[i] == '\t' ? ' ' : copy[i];
    }
    return sm_arena_strf(a, "%.*s%s", (int)end, copy, end < text.len ? "..." : "");
}

static void print_line(const sm_str *cells, const int *widths)
{
    for (int k = 0; k < CELLS; k++) {
        SM_ASSERT(widths[k] >= 0);
        const int blanks = k + 1 < CELLS ? widths[k] + 2 - (int)sm_utf8_count(cells[k]) : 0;
        printf("%.*s%*s", SM_STR_ARG(cells[k]), blanks, "");
    }
    printf("\n");
}

static void print_table(smi_cli *cli, const sm_contract_diff *d)
{
    sm_str *cells = SM_NEW_ARRAY(cli->arena, sm_str, (d->n_changes + 1) * CELLS);
    int widths[CELLS] = {0};
    char changes[SM_COUNTED_TEXT_BYTES];

    for (int64_t i = 0; i <= d->n_changes; i++) {
        for (int k = 0; k < CELLS; k++) {
            sm_str *cell = &cells[i * CELLS + k];
            *cell = i == 0 ? sm_str_of(heads[k])
                           : shown(cell_of(&d->changes[i - 1], k, cli->arena), cli->arena);
            const int width = (int)sm_utf8_count(*cell);
            widths[k] = width > widths[k] ? width : widths[k];
        }
    }
    for (int64_t i = 0; d->n_changes > 0 && i <= d->n_changes; i++) {
        print_line(&cells[i * CELLS], widths);
    }
    sm_format_counted(d->n_changes, "change", changes);
    printf("%s%.*s %.*s to %.*s %.*s: %s, %" PRId64 " breaking\n", d->n_changes ? "\n" : "",
           SM_STR_ARG(d->before->id), SM_STR_ARG(d->before->version), SM_STR_ARG(d->after->id),
           SM_STR_ARG(d->after->version), changes, d->n_breaking);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_contract(sm_json_writer *w, const char *key, const sm_contract *c)
{
    sm_json_set_object(w, key);
    sm_json_set_text_or_null(w, "contract", c->id);
    sm_json_set_text_or_null(w, "version", c->version);
    sm_json_end_object(w);
}

static void put_change(sm_json_writer *w, const sm_contract_change *c)
{
    static const char *const kinds[] = {
        [SM_CHANGE_ADDED] = "added",
        [SM_CHANGE_REMOVED] = "removed",
        [SM_CHANGE_CHANGED] = "changed",
    };

    sm_json_begin_object(w);
    sm_json_set_text(w, "table", c->table);
    sm_json_set_text(w, "name", c->name);
    sm_json_set_text(w, "what", sm_str_of(c->what));
    sm_json_set_text(w, "change", sm_str_of(kinds[c->kind]));
    sm_json_set_text_or_null(w, "old", c->before);
    sm_json_set_text_or_null(w, "new", c->after);
    sm_json_set_array(w, "breaks");
    if (c->breaks & SM_BREAKS_WRITERS) {
        sm_json_put_text(w, SM_STR("writers"));
    }
    if (c->breaks & SM_BREAKS_READERS) {
        sm_json_put_text(w, SM_STR("readers"));
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

/* failure: what the command ends with. */
static void print_json(smi_cli *cli, const sm_contract_diff *d, const sm_error *failure)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(!cli->has_answered);
    sm_json_begin_object(&w);
    put_contract(&w, "old", d->before);
    put_contract(&w, "new", d->after);
    sm_json_set_array(&w, "changes");
    for (int64_t i = 0; i < d->n_changes; i++) {
        put_change(&w, &d->changes[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "breaking", d->n_breaking);
    if (failure) {
        sm_json_set_error(&w, failure);
    }
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

sm_status smi_contract_diff_print(smi_cli *cli, const sm_contract *before, const sm_contract *after,
                                  unsigned whom, sm_error *e)
{
    sm_contract_diff d;

    sm_contract_compare(before, after, cli->arena, &d);
    const sm_status st = fail_breaking(&d, whom, e);
    if (cli->globals.json) {
        print_json(cli, &d, st == SM_OK ? NULL : e);
    } else {
        print_table(cli, &d);
    }
    return st;
}
