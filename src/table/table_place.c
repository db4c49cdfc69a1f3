/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_place.c: where no new table may lie: in the folders that smelt and Delta keep in a
 * table (TABLE/_delta_log, TABLE/_smelt, TABLE/_change_data) and in a lake (LAKE/_smelt/journal). A
 * table there would mix its files with theirs, and one at LAKE/raw/_delta_log would make a table of
 * LAKE/raw. */
#include "table/table_int.h"

sm_status sm_table_check_name(sm_str name, sm_error *e)
{
    const char *dot = name.len > 0 ? memchr(name.data, '.', name.len) : NULL;

    if (!sm_str_starts(name, SM_STR("_")) &&
        !(dot && dot + 1 < name.data + name.len && dot[1] == '_')) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_NAME, "\"%.*s\" is no name for a table: a part of it begins with _",
                SM_STR_ARG(name));
    sm_error_todo(e,
                  "Folders of smelt and Delta have such names, like _smelt. Choose another name.");
    return st;
}

/* Is the `n`-th part from the end, counted from 0, a folder that is kept? `below`: the part behind
 * it. The place may be below a folder that happens to be called _smelt (/home/_smelt/lake/raw/t):
 * smelt has only these in a table and in a lake. */
static bool is_kept(sm_str part, sm_str below, int n)
{
    SM_ASSERT(part.len > 0 && (n == 0) == (below.len == 0));
    return sm_str_is(part, "_delta_log") || sm_str_is(part, "_change_data") ||
           (sm_str_is(part, "_smelt") && (n < 2 || sm_str_is(below, "journal")));
}

sm_status smi_table_check_place(sm_store *table, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str at = sm_store_place(table, a), folder, part, below = {0};
    sm_status st = SM_OK;

    SM_ASSERT(at.len > 0); /* what is split below ends at a root */
    for (int n = 0; st == SM_OK; n++) {
        sm_uri_split(at, &folder, &part);
        if (part.len == 0 || sm_str_eq(folder, at)) {
            break; /* a root: "/", "s3://bucket" */
        }
        if (is_kept(part, below, n)) {
            st = sm_fail(e, SM_INVALID,
                         "%.*s is within a folder %.*s, which is no place for a table",
                         SM_STR_ARG(sm_store_uri(table)), SM_STR_ARG(part));
            sm_error_todo(e, "smelt and Delta keep their own files there. Choose another folder.");
        }
        below = part;
        at = folder;
    }
    sm_arena_free(a);
    return st;
}
