/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_replay.c: tries again what a quarantine has of a table, after its SQL, its contract or
 * the types of its columns were mended. Called by `smelt replay`.
 *
 * Lines    of a file become a text that is read by the load's SQL in the place of the file, under
 *          its URI and date: what SQL takes of a file's name is as it was.
 * Rows     that broke a rule are JSON of the columns that the SQL gives. They are read as such, and
 *          only the contract looks at them.
 * Cut      Of a row that is too long for the quarantine the line is read from its file, if that is
 *          still the one that was loaded and is not compressed; it is then a line like others.
 * One pass Both are one plan (UNION ALL), so that a rule over several rows sees them all. Each row
 *          has its origin with it: a line of one of the texts, which is a row of the quarantine.
 *          What is refused again, or leaves again, stays there; all others are taken in. A line
 *          that WHERE leaves out is taken in too, and makes no row, as in a load.
 * Once     The rows that pass, and the quarantine with its column `replayed`, are one publication,
 *          with the books of both as they are: killed anywhere, all is done or nothing. Another
 *          run that writes one of them meanwhile is a conflict.
 * Whose    Only what the table lacks of what it was made from: lines and rows of files that it has
 *          loaded, as they were loaded; of a table that is overwritten as a whole, the rows of the
 *          run that made what it has now; of one to which rows are added, those of runs that added
 *          some. All else comes by itself, with its file or its value, when the pipeline is run.
 * Memory   holds what is tried; it is counted. */
#include <inttypes.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

/* What becomes of a row of the quarantine. */
typedef enum outcome {
    LEFT_OUT, /* it cannot be tried */
    REFUSED,  /* again */
    TAKEN_IN,
} outcome;

/* Texts of the quarantine, one a line, that are read as one file. */
typedef struct group {
    sm_str uri;
    sm_buf text;
    int64_t *rows; /* of the quarantine, one a line */
    int64_t n, cap;
} group;

/* Why rows are left out, and how many. */
enum { WHY_CUT, WHY_OTHER_COLUMNS, WHY_OTHER_RUN, WHY_OTHER_FILE, WHY_NO_LOAD, WHY_BYTES, N_WHYS };
static const char *const whys[] = {
    [WHY_CUT] = "are cut at 65,536 bytes, and their line cannot be read from its file",
    [WHY_OTHER_COLUMNS] = "have other columns than the SQL gives now",
    [WHY_OTHER_RUN] = "are of other runs than those that made the table's rows",
    [WHY_OTHER_FILE] =
        "are of files that the table has not loaded, or has loaded with other content",
    [WHY_NO_LOAD] = "are lines, and the task is no load",
    [WHY_BYTES] = "have a BLOB within a list or struct, which does not come back from JSON",
};

/* The columns of a quarantine that are looked at. */
enum { FILE_AT, OFFSET_AT, REASON_AT, RAW_AT, RAW_BYTES_AT, RUN_AT, N_LOOKED_AT };
static const char *const looked_at[] = {"file", "byte_offset", "reason", "raw", "raw_bytes", "run"};

typedef struct replay {
    sm_run *run;
    int32_t task;
    const smi_flow_task *t;
    sm_replay_report *out;
    sm_arena *a;
    sm_names *names;
    smi_flow_books table, quarantine; /* of the one and the other */
    sm_str made_by; /* the run of the table's rows; "": several, or it is a load */
    sm_map *whose;  /* of a load, the files of which it has rows, by URI; else runs, as they come */

    sm_batch **batches; /* the quarantine's rows that were not replayed */
    int64_t n_batches, n;
    int32_t at[N_LOOKED_AT]; /* places of columns */
    uint8_t *outcomes;       /* of each row */
    int64_t left_out[N_WHYS];
    bool has_inner_bytes; /* a column of the rows */
    group **files;        /* of lines, one a file */
    int64_t n_files, cap_files;
    group *rows;    /* of rows; NULL: none */
    sm_map *groups; /* by URI, those of the lines */
    sm_store *store;
    size_t taken_bytes;
} replay;

void sm_replay_report_release(sm_replay_report *r)
{
    sm_run_report_release(&r->run);
    *r = (sm_replay_report){0};
}

/* ---- what there is --------------------------------------------------------------------------- */

/* Can rows be added to the task's table? */
static sm_status check_task(const replay *p, sm_error *e)
{
    const smi_flow_task *t = p->t;
    const bool replaces = t->merge || t->replace >= 0 || t->replaces_partitions;
    sm_status st = SM_OK;

    if (t->kind != SM_TASK_LOAD && t->kind != SM_TASK_TABLE) {
        st = sm_fail(e, SM_UNSUPPORTED, "%.*s is no table that the pipeline writes",
                     SM_STR_ARG(t->name));
    } else if (replaces) {
        st = sm_fail(e, SM_UNSUPPORTED, "rows cannot be added to %.*s, which %s",
                     SM_STR_ARG(t->name),
                     t->merge ? "merges its rows" : "replaces some of its rows");
        sm_error_todo(e, "Run the task again: it makes these rows anew.");
    }
    return smi_flow_at(p->run->p, t->at, st, e);
}

static sm_status open_tables(replay *p, sm_error *e)
{
    sm_run *r = p->run;
    const sm_str quarantine = smi_flow_quarantine_of(r->p, p->t);
    sm_str uri;

    if (quarantine.len > 0) {
        SM_TRY(sm_names_uri(r->names, quarantine, r->arena, &uri, e));
        SM_TRY(smi_flow_books_open(r, quarantine, uri, false, &p->quarantine, e));
    }
    SM_TRY(sm_names_uri(r->names, p->t->name, r->arena, &uri, e));
    SM_TRY(smi_flow_books_open(r, p->t->name, uri, false, &p->table, e));
    p->out->quarantine = sm_arena_str(r->report->arena, quarantine);
    if (!p->quarantine.snapshot || !p->table.snapshot) {
        const sm_status st = sm_fail(e, SM_NOT_FOUND, "%.*s has no %s", SM_STR_ARG(p->t->name),
                                     quarantine.len == 0       ? "quarantine"
                                     : !p->quarantine.snapshot ? "quarantine yet"
                                                               : "rows yet: run the pipeline");
        return smi_flow_at(r->p, p->t->at, st, e);
    }
    return SM_OK;
}

/* Which run made the rows of a table that is overwritten as a whole. */
static sm_status find_maker(replay *p, sm_error *e)
{
    if (p->t->kind != SM_TASK_TABLE || p->t->append >= 0) {
        return SM_OK;
    }
    SM_TRY(smi_flow_books_last(p->run, p->table.store, "replayed_of", &p->made_by, e));
    return p->made_by.len > 0 ? SM_OK
                              : smi_flow_books_last(p->run, p->table.store, "run", &p->made_by, e);
}

/* ---- whose ----------------------------------------------------------------------------------- */

static bool is_other_content(const smi_flow_known *x, const smi_flow_known *y)
{
    return x->has_identity && y->has_identity &&
           (x->hash.low != y->hash.low || x->hash.high != y->hash.high);
}

/* The files of which the table has rows, but those of which it has loaded other content than the
 * quarantine has the rest of. */
static void find_files(replay *p)
{
    for (int64_t i = 0; i < p->table.n_known; i++) {
        const smi_flow_known *k = &p->table.known[i];
        if (smi_known_has_rows(k) && !(k->is_displaced && sm_map_get(p->whose, k->uri))) {
            *sm_map_at(p->whose, k->uri) = (void *)k;
        }
    }
    for (int64_t i = 0; i < p->quarantine.n_known; i++) {
        const smi_flow_known *k = &p->quarantine.known[i];
        const smi_flow_known *loaded = sm_map_get(p->whose, k->uri);
        if (smi_known_has_rows(k) && !k->is_displaced && loaded && is_other_content(k, loaded)) {
            *sm_map_at(p->whose, k->uri) = NULL;
        }
    }
}

/* Is the row of the quarantine one of what the table was made from? A file of old books, of which
 * the URI is not known, may be any. */
static sm_status is_of_table(const replay *p, sm_str uri, sm_str run, bool *out, sm_error *e)
{
    void *const yes = (void *)(intptr_t)1, *const no = (void *)(intptr_t)2;
    smi_flow_past past = {0};

    SM_ASSERT(p->whose && p->table.snapshot);
    if (p->t->kind == SM_TASK_LOAD) {
        *out = sm_map_get(p->whose, uri) || sm_map_get(p->whose, SM_STR(""));
        return SM_OK;
    }
    if (p->made_by.len > 0 || run.len == 0) {
        *out = run.len > 0 && sm_str_eq(run, p->made_by);
        return SM_OK;
    }
    void **known = sm_map_at(p->whose, run);
    if (!*known) {
        SM_TRY(smi_flow_past_find(p->run, p->table.store, sm_snapshot_version(p->table.snapshot),
                                  "run", run, &past, e));
        *known = past.kind == SMI_PAST_FOUND ? yes : no;
    }
    *out = *known == yes;
    return SM_OK;
}

/* The rows of the quarantine that no run has taken in. */
static sm_status plan_left(replay *p, sm_plan **out, sm_error *e)
{
    const sm_plan_node *node = NULL;
    const sm_expr *column = NULL, *is_left = NULL;

    SM_TRY(sm_names_snapshot_rows(p->names, p->quarantine.snapshot, p->quarantine.table, &node, e));
    const int32_t replayed = sm_type_find(node->schema, SM_STR("replayed"));
    if (replayed >= 0) {
        column = sm_expr_column(node->schema, replayed, p->a);
        SM_TRY(sm_expr_call("is_null", &column, 1, p->a, &is_left, e));
        SM_TRY(sm_plan_filter(node, is_left, p->a, &node, e));
    }
    for (int i = 0; i < N_LOOKED_AT; i++) {
        p->at[i] = sm_type_find(node->schema, sm_str_of(looked_at[i]));
        if (p->at[i] < 0) {
            return sm_fail(e, SM_SCHEMA, "%.*s has no column \"%s\"",
                           SM_STR_ARG(p->quarantine.table), looked_at[i]);
        }
    }
    return sm_plan_finish(node, p->a, out, e);
}

static sm_status read_left(replay *p, sm_error *e)
{
    sm_plan *plan = NULL;

    SM_TRY(plan_left(p, &plan, e));
    SM_TRY(sm_exec_collect(plan, p->run->env, p->a, &p->batches, &p->n_batches, NULL, e));
    for (int64_t i = 0; i < p->n_batches; i++) {
        p->n += p->batches[i]->n_rows;
    }
    p->outcomes = SM_NEW_ARRAY(p->a, uint8_t, p->n + 1);
    return SM_OK;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static sm_status add_text(replay *p, group *g, int64_t row, sm_str text, sm_error *e)
{
    SM_ASSERT(!memchr(text.data, '\n', text.len)); /* it is one line */
    SM_TRY(sm_budget_take(p->run->env->budget, text.len + 1, e));
    p->taken_bytes += text.len + 1;
    sm_buf_text(&g->text, text);
    sm_buf_text(&g->text, SM_STR("\n"));
    g->rows = sm_arena_grow(p->a, g->rows, g->n, &g->cap, sizeof(*g->rows));
    g->rows[g->n++] = row;
    p->outcomes[row] = TAKEN_IN;
    return SM_OK;
}

static group *group_of(replay *p, sm_str uri)
{
    void **place = sm_map_at(p->groups, uri);

    if (!*place) {
        group *g = SM_NEW(p->a, group);
        g->uri = sm_arena_str(p->a, uri);
        p->files = sm_arena_grow(p->a, p->files, p->n_files, &p->cap_files, sizeof(*p->files));
        p->files[p->n_files++] = g;
        *place = g;
    }
    return *place;
}

static bool is_line(sm_str reason)
{
    for (int32_t i = 0; sm_refused_reason(i); i++) {
        if (sm_str_is(reason, sm_refused_reason(i))) {
            return true;
        }
    }
    return false;
}

/* Are there bytes in it, within a list or struct? They do not come back from JSON. */
static bool has_inner_bytes(const sm_type *t, bool is_inner)
{
    bool has = is_inner && t->id == SM_TYPE_BINARY;

    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_inner_bytes(t->fields[i].type, true);
    }
    return has;
}

/* Values that JSON has no word for are texts that a cast reads (sm_json_writer.is_exact). */
static bool is_cast(const sm_type *t)
{
    return t->id == SM_TYPE_BINARY || t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

/* Is it one that such a cast reads? Others are told by the reader. */
static bool may_be(const sm_json *v, const sm_type *t)
{
    if (!is_cast(t) || v->type == SM_JSON_NULL) {
        return true;
    }
    double ignored = 0;
    return t->id == SM_TYPE_BINARY
               ? v->type == SM_JSON_STRING
               : v->type == SM_JSON_NUMBER ||
                     (v->type == SM_JSON_STRING && sm_parse_f64(v->text, true, &ignored));
}

/* Has the object just these members, of such types? */
static bool has_columns(sm_str text, const sm_type *columns)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *o = NULL;
    sm_error ignored = {0};
    bool has = sm_json_parse(text, a, &o, &ignored) == SM_OK && o->type == SM_JSON_OBJECT &&
               o->n_children == columns->n_fields;

    for (int32_t i = 0; i < columns->n_fields && has; i++) {
        const sm_json *v = sm_json_get(o, sm_arena_str(a, columns->fields[i].name).data);
        has = v && may_be(v, columns->fields[i].type);
    }
    sm_arena_free(a);
    return has;
}

/* Is the file still the one that was loaded? Then *out is open. */
static bool open_same(const replay *p, const smi_flow_known *k, sm_blob **out)
{
    sm_store *store = NULL;
    sm_entry entry;
    sm_error ignored = {0};
    sm_str folder, name;

    sm_uri_split(k->uri, &folder, &name);
    bool is =
        sm_name_plain(name).len == name.len &&
        sm_store_open(p->run->env->stores, sm_arena_str(p->a, folder), &store, &ignored) == SM_OK &&
        sm_store_stat(store, name, p->a, &entry, &ignored) == SM_OK;
    if (is) {
        const smi_flow_mark mark = {.size_bytes = entry.size_bytes,
                                    .modified_us = entry.modified_us,
                                    .changed_us = entry.changed_us,
                                    .inode = entry.inode,
                                    .etag = entry.etag};
        is = smi_match_has_mark(k, &mark) && sm_blob_open(store, name, out, &ignored) == SM_OK;
    }
    sm_store_release(store);
    return is;
}

/* Appends the bytes from there to the end of the line; false: it has none, or is too long. */
static bool read_to_end(sm_blob *blob, uint64_t at, sm_buf *out)
{
    static const size_t piece = 262144, most = 16777216;
    const uint64_t size = sm_blob_bytes(blob);
    const char *lf = NULL;
    sm_error ignored = {0};

    while (!lf && at < size && out->len <= most) {
        const size_t n = size - at < piece ? (size_t)(size - at) : piece;
        if (sm_buf_reserve(out, n, &ignored) != SM_OK ||
            sm_blob_read(blob, at, n, out->data + out->len, &ignored) != SM_OK) {
            return false;
        }
        lf = memchr(out->data + out->len, '\n', n);
        out->len = lf ? (size_t)(lf - (const char *)out->data) : out->len + n;
        at += n;
    }
    return out->len > 0 && out->len <= most;
}

/* The line of a row, from its file; false: it cannot be had. */
static bool read_line(const replay *p, sm_str uri, const sm_column *offsets, int64_t row,
                      sm_buf *out)
{
    const smi_flow_known *known = NULL;
    sm_blob *blob = NULL;

    for (int64_t i = 0; i < p->quarantine.n_known && !known; i++) {
        const smi_flow_known *k = &p->quarantine.known[i];
        known = uri.len > 0 && sm_str_eq(k->uri, uri) && !k->is_displaced ? k : NULL;
    }
    if (!known || sm_column_is_null(offsets, row) || !open_same(p, known, &blob)) {
        return false;
    }
    const bool is = read_to_end(blob, (uint64_t)sm_column_value(offsets, row).as.i, out);
    sm_blob_close(blob);
    return is;
}

static sm_str text_at(const replay *p, const sm_batch *b, int column, int64_t row)
{
    const sm_column *c = &b->columns[p->at[column]];
    return sm_column_is_null(c, row) ? (sm_str){0} : sm_column_str(c, row);
}

/* Is only the beginning of it there? */
static bool is_cut(const replay *p, const sm_batch *b, int64_t i)
{
    const sm_value bytes = sm_column_value(&b->columns[p->at[RAW_BYTES_AT]], i);

    return bytes.is_null || bytes.as.i != (int64_t)text_at(p, b, RAW_AT, i).len;
}

/* Tries the line of a row of a load that is cut. *tried: it could be read. */
static sm_status sort_cut(replay *p, const sm_batch *b, int64_t i, int64_t row, bool *tried,
                          sm_error *e)
{
    const sm_str uri = text_at(p, b, FILE_AT, i);
    sm_buf line = {0};

    SM_ASSERT(is_cut(p, b, i) && p->outcomes[row] == LEFT_OUT);
    SM_TRY(is_of_table(p, uri, (sm_str){0}, tried, e));
    *tried = *tried && p->t->kind == SM_TASK_LOAD &&
             read_line(p, uri, &b->columns[p->at[OFFSET_AT]], i, &line);
    const sm_status st = *tried ? add_text(p, group_of(p, uri), row, sm_buf_str(&line), e) : SM_OK;
    sm_buf_release(&line);
    return st;
}

/* Puts a row of the quarantine with those that are tried, or leaves it out. */
static sm_status sort_row(replay *p, const sm_batch *b, int64_t i, int64_t row,
                          const sm_type *columns, sm_error *e)
{
    SM_ASSERT(row < p->n && p->outcomes[row] == LEFT_OUT);
    const sm_str raw = text_at(p, b, RAW_AT, i);
    const bool of_line = is_line(text_at(p, b, REASON_AT, i));
    const bool is_load = p->t->kind == SM_TASK_LOAD;
    bool has = false;
    int why = -1;

    SM_TRY(is_of_table(p, text_at(p, b, FILE_AT, i), text_at(p, b, RUN_AT, i), &has, e));
    if (of_line && !is_load) {
        why = WHY_NO_LOAD;
    } else if (!has) {
        why = is_load ? WHY_OTHER_FILE : WHY_OTHER_RUN;
    } else if (is_cut(p, b, i)) {
        why = WHY_CUT;
    } else if (!of_line && !has_columns(raw, columns)) {
        why = WHY_OTHER_COLUMNS;
    } else if (!of_line && p->has_inner_bytes) {
        why = WHY_BYTES;
    }
    if (why >= 0) {
        p->left_out[why]++;
        return SM_OK;
    }
    if (!of_line && !p->rows) {
        p->rows = SM_NEW(p->a, group);
        p->rows->uri = SM_STR("the quarantine's rows");
        *sm_map_at(p->groups, p->rows->uri) = p->rows;
    }
    return add_text(p, of_line ? group_of(p, text_at(p, b, FILE_AT, i)) : p->rows, row, raw, e);
}

/* lines: only those that the SQL is to read; else the others, that were left. */
static sm_status sort_rows(replay *p, bool lines, const sm_type *columns, sm_error *e)
{
    int64_t row = 0;

    for (int64_t i = 0; i < p->n_batches; i++) {
        const sm_batch *b = p->batches[i];
        for (int64_t k = 0; k < b->n_rows; k++, row++) {
            const bool of_line = is_line(text_at(p, b, REASON_AT, k));
            bool tried = p->outcomes[row] != LEFT_OUT;
            if (lines && !of_line && is_cut(p, b, k)) {
                SM_TRY(sort_cut(p, b, k, row, &tried, e));
            } else if (of_line == lines && !tried) {
                SM_TRY(sort_row(p, b, k, row, columns, e));
            }
        }
    }
    return SM_OK;
}

/* A text as a file of the replay's store. */
static sm_status put_group(const replay *p, const group *g, int64_t number, sm_datafile *out,
                           sm_error *e)
{
    const sm_str key = sm_arena_strf(p->a, "%" PRId64 ".json", number);

    SM_TRY(sm_store_put(p->store, key, g->text.data, g->text.len, SM_PUT_REPLACE, e));
    *out = (sm_datafile){
        .uri = g->uri, .store = p->store, .key = key, .size_bytes = g->text.len, .n_rows = -1};
    return SM_OK;
}

/* It is in memory: what cannot be deleted is gone with the process. */
static void delete_groups(const replay *p)
{
    for (int64_t i = 0; p->store && i <= p->n_files; i++) {
        sm_error ignored = {0};
        const sm_str key = sm_arena_strf(p->a, "%" PRId64 ".json", i);
        if (sm_store_delete(p->store, key, &ignored) != SM_OK) {
            return;
        }
    }
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* The texts of the lines, as the source's files. */
static sm_status line_files(const replay *p, sm_files *out, sm_error *e)
{
    *out =
        (sm_files){.items = SM_NEW_ARRAY(p->a, sm_found_file, p->n_files + 1), .store = p->store};
    for (int64_t i = 0; i < p->n_files; i++) {
        sm_found_file *f = &out->items[out->n++];
        sm_str folder;
        sm_uri_split(p->files[i]->uri, &folder, &f->name);
        (void)sm_date_in_name(f->name, &f->date, &f->has_date);
        SM_TRY(put_group(p, p->files[i], i, &f->file, e));
    }
    return SM_OK;
}

/* The columns that were found in the files of earlier loads; NULL: they are declared. */
static sm_status found_columns(const replay *p, const sm_type **out, sm_error *e)
{
    *out = NULL;
    for (int32_t i = 0; i < p->table.n_roots && !*out; i++) {
        if (p->table.roots[i].columns.len > 0) {
            SM_TRY(sm_type_parse(p->table.roots[i].columns, p->a, out, e));
        }
    }
    return SM_OK;
}

/* Plans the task's SQL over the lines. *out: its rows with their origin; NULL: it is no load. */
static sm_status plan_lines(replay *p, const sm_plan_node **out, sm_error *e)
{
    sm_run *r = p->run;
    const sm_plan *plan = NULL;
    const sm_type *known = NULL;
    sm_files *files = SM_NEW(p->a, sm_files);

    *out = NULL;
    if (p->t->kind != SM_TASK_LOAD) {
        return smi_flow_plan(r, NULL, p->t, p->a, &plan, e);
    }
    SM_TRY(sort_rows(p, true, NULL, e));
    SM_TRY(line_files(p, files, e));
    SM_TRY(found_columns(p, &known, e));
    sm_names_set_files(p->names, r->sources[p->t->source].path, files, known);
    SM_TRY(smi_flow_plan(r, p->names, p->t, p->a, &plan, e));
    if (smi_flow_fit(p->names, plan, p->table.snapshot, p->a)) {
        SM_TRY(smi_flow_plan(r, p->names, p->t, p->a, &plan, e));
    }
    *out = sm_plan_with_origin(r->asked.select->target, p->a);
    if (!*out) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "%.*s cannot be loaded line by line", SM_STR_ARG(p->t->name));
        sm_error_place(e, p->t->sql.name.data, 0, -1);
        return st;
    }
    return SM_OK;
}

/* The columns as they are read. */
static const sm_type *read_columns(const replay *p, const sm_type *columns)
{
    sm_field *fields = SM_NEW_ARRAY(p->a, sm_field, columns->n_fields + 1);

    for (int32_t i = 0; i < columns->n_fields; i++) {
        fields[i] = columns->fields[i];
        fields[i].is_nullable = true;
        fields[i].type = is_cast(fields[i].type) ? &sm_type_string : fields[i].type;
    }
    return sm_type_struct(p->a, fields, columns->n_fields);
}

/* The columns as the SQL gives them, of those that are read, and the origin behind them. */
static sm_status cast_columns(const replay *p, const sm_plan_node *in, const sm_type *columns,
                              const sm_plan_node **out, sm_error *e)
{
    const int32_t n = in->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(p->a, const sm_expr *, n);
    sm_str *names = SM_NEW_ARRAY(p->a, sm_str, n);

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(in->schema, i, p->a);
        names[i] = in->schema->fields[i].name;
        if (i < columns->n_fields && is_cast(columns->fields[i].type)) {
            SM_TRY(sm_expr_cast(exprs[i], columns->fields[i].type, false, p->a, &exprs[i], e));
        }
    }
    *out = sm_plan_project(in, exprs, names, n, p->a);
    return SM_OK;
}

/* The rows, read as JSON of the columns that the SQL gives. */
static sm_status plan_rows(replay *p, const sm_type *columns, const sm_plan_node **out, sm_error *e)
{
    sm_dataset *d = SM_NEW(p->a, sm_dataset);

    SM_ASSERT(p->rows && p->rows->n > 0);
    *d = (sm_dataset){.format = sm_format_named(SM_STR("json")),
                      .schema = read_columns(p, columns),
                      .files = SM_NEW(p->a, sm_datafile),
                      .n_files = 1};
    SM_TRY(put_group(p, p->rows, p->n_files, &d->files[0], e));
    const sm_relation rows = {
        .dataset = d, .label = p->rows->uri, .keep_refused = true, .validate_all = true};
    return cast_columns(p, sm_plan_with_origin(sm_plan_scan(&rows, false, p->a), p->a), columns,
                        out, e);
}

/* Lines and rows as one plan; NULL: nothing is to be tried. */
static sm_status plan_all(replay *p, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *lines = NULL, *rows = NULL;

    SM_TRY(plan_lines(p, &lines, e));
    const sm_type *columns = p->run->asked.select->target->schema;
    for (int32_t i = 0; i < columns->n_fields; i++) {
        p->has_inner_bytes |= has_inner_bytes(columns->fields[i].type, false);
    }
    SM_TRY(sort_rows(p, false, columns, e));
    if (p->rows) {
        SM_TRY(plan_rows(p, columns, &rows, e));
    }
    lines = p->n_files > 0 ? lines : NULL;
    *out = lines ? lines : rows;
    return lines && rows ? sm_plan_union(lines, rows, p->a, out, e) : SM_OK;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* A sink of rows that stay in the quarantine, and where their file and line are. */
typedef struct staying {
    replay *p;
    int32_t file, line;
} staying;

static sm_status push_staying(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const staying *s = ctx;

    for (int64_t i = 0; i < rows->n_rows; i++) {
        const group *g = sm_map_get(s->p->groups, sm_column_str(&rows->columns[s->file], i));
        const int64_t line = sm_column_value(&rows->columns[s->line], i).as.i;
        SM_ENSURE(g && line >= 1 && line <= g->n);
        s->p->outcomes[g->rows[line - 1]] = REFUSED;
    }
    return SM_OK;
}

/* Sinks of all that a guard takes away. */
static sm_outputs side_outputs(replay *p, const smi_flow_guard *g)
{
    const int32_t n = g->guard ? sm_guard_sides(g->guard) : 0;
    staying *ctxs = SM_NEW_ARRAY(p->a, staying, n + 1);
    sm_sink *sinks = SM_NEW_ARRAY(p->a, sm_sink, n + 1);
    const sm_sink **to = SM_NEW_ARRAY(p->a, const sm_sink *, n + 1);
    int32_t *lines = SM_NEW_ARRAY(p->a, int32_t, n + 1);

    SM_ASSERT(n >= 0 && (n == 0 || p->t->quarantine.len > 0));
    for (int32_t i = 0; i < n; i++) {
        const int32_t origin = sm_origin_find(sm_guard_leaves(g->guard, i));
        SM_ASSERT(origin >= 0);
        ctxs[i] = (staying){p, origin + SM_ORIGIN_FILE, origin + SM_ORIGIN_LINE};
        sinks[i] = (sm_sink){.ctx = &ctxs[i], .push = push_staying};
        to[i] = &sinks[i];
        lines[i] = ctxs[i].line;
    }
    return (sm_outputs){.sides = to, .n_sides = n, .side_lines = lines};
}

static sm_status run_into(replay *p, smi_flow_guard *g, sm_stage *stage, sm_error *e)
{
    staying refused = {p, SM_REFUSED_OUT_FILE, SM_REFUSED_OUT_FIRST + SM_REFUSED_LINE};
    const sm_sink main = sm_stage_sink(stage);
    const sm_sink stays = {.ctx = &refused, .push = push_staying};
    const sm_plan *plan = NULL;
    sm_outputs to = side_outputs(p, g);

    to.main = &main;
    to.refused = &stays;
    SM_TRY(sm_stage_arrange(stage, g->plan, p->a, &plan, e));
    return sm_exec_run_to(plan, p->run->env, &to, &g->report, e);
}

/* What the commit of the table says beside its run. */
static sm_str member_of(const replay *p)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_i64(&w, "replayed", p->out->n_replayed);
    if (p->made_by.len > 0) {
        sm_json_set_text(&w, "replayed_of", p->made_by);
    }
    return sm_arena_take(p->a, &text);
}

static void count_outcomes(replay *p)
{
    SM_ASSERT(p->out->n_replayed + p->out->n_refused + p->out->n_not_replayed == 0);
    for (int64_t i = 0; i < p->n; i++) {
        p->out->n_replayed += p->outcomes[i] == TAKEN_IN;
        p->out->n_refused += p->outcomes[i] == REFUSED;
        p->out->n_not_replayed += p->outcomes[i] == LEFT_OUT;
    }
    for (int i = 0; i < N_WHYS; i++) {
        if (p->left_out[i] > 0) {
            smi_flow_report_warn(p->run, "%" PRId64 " of the quarantine are not replayed: they %s",
                                 p->left_out[i], whys[i]);
        }
    }
}

/* Stages what passes. *out: the table's candidate, judged; NULL: nothing was taken in. */
static sm_status stage_table(replay *p, const sm_plan_node *all, sm_candidate **out, sm_error *e)
{
    sm_run *r = p->run;
    const smi_flow_staying stays = {.base = p->table.snapshot};
    smi_flow_guard g = {0};
    sm_stage *stage = NULL;
    sm_candidate *c = NULL;
    sm_write write = {.uri = sm_store_uri(p->table.store),
                      .mode = SM_WRITE_APPEND,
                      .split_by = p->t->by,
                      .adds_columns = p->t->adds_columns,
                      .user_metadata = smi_flow_metadata(r),
                      .has_base = true,
                      .base = p->table.snapshot};

    sm_status st = smi_flow_guard_over(r, p->task, all, &stays, p->a, &g, e);
    SM_TRY_GOTO(st, done, st);
    SM_TRY_GOTO(st, done, smi_flow_stage_open(r, p->t, &write, g.plan->root->schema, &stage, e));
    SM_TRY_GOTO(st, done, run_into(p, &g, stage, e));
    count_outcomes(p);
    if (p->out->n_replayed == 0) {
        goto done;
    }
    SM_TRY_GOTO(st, done, sm_stage_candidate(stage, &c, e));
    smi_flow_books_carry(r, &p->table, member_of(p), c);
    g.report.n_files = 0; /* these were texts: a rule over files has nothing to judge */
    SM_TRY_GOTO(st, done, smi_flow_guard_judge(&g, c, c, e));
    p->out->n_rows = sm_candidate_rows(c);
    *out = c;
    c = NULL;
done:
    sm_candidate_release(c);
    smi_flow_guard_close(&g);
    sm_stage_close(stage);
    return st;
}

/* ---- the quarantine -------------------------------------------------------------------------- */

static sm_status bind_left(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                           sm_error *e)
{
    const sm_expr *x = sm_expr_column(columns, sm_type_find(columns, SM_STR("replayed")), a);
    return sm_expr_call("is_null", &x, 1, a, out, e);
}

/* The columns of the quarantine's rows, with `replayed` as the last one. */
static const sm_type *marked_schema(const replay *p, int32_t *replayed)
{
    const sm_type *there = sm_snapshot_metadata(p->quarantine.snapshot)->schema;
    sm_field *fields = SM_NEW_ARRAY(p->a, sm_field, there->n_fields + 1);
    int32_t n = 0;

    *replayed = sm_type_find(there, SM_STR("replayed"));
    for (int32_t i = 0; i < there->n_fields; i++) {
        if (i != *replayed) {
            fields[n++] = there->fields[i];
        }
    }
    fields[n++] =
        (sm_field){.name = SM_STR("replayed"), .type = &sm_type_string, .is_nullable = true};
    return sm_type_struct(p->a, fields, n);
}

/* The rows of a batch, marked with the run where they were taken in. first: the number of the first
 * among all. */
static sm_status mark_batch(const replay *p, const sm_batch *rows, int64_t first,
                            const sm_type *schema, int32_t replayed, sm_batch **out, sm_error *e)
{
    sm_builder *marks = sm_builder_new(&sm_type_string, p->run->env->budget);
    sm_batch *b = NULL;
    int32_t n = 0;

    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (p->outcomes[first + i] == TAKEN_IN) {
            sm_builder_str(marks, p->run->id);
        } else {
            sm_builder_null(marks);
        }
    }
    sm_status st = sm_batch_new(p->run->env->budget, schema, &b, e);
    if (st == SM_OK) {
        sm_batch_keep_all(b, rows);
        b->n_rows = rows->n_rows;
        for (int32_t i = 0; i < rows->n_columns; i++) {
            if (i != replayed) {
                b->columns[n++] = rows->columns[i];
            }
        }
        SM_ASSERT(n == schema->n_fields - 1);
        st = sm_builder_finish(marks, b, &b->columns[n], e);
    }
    sm_builder_free(marks);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

static sm_status push_wholly(const sm_sink *to, sm_batch *rows, sm_error *e)
{
    sm_pause pause;
    sm_status st = SM_OK;

    sm_pause_init(&pause);
    do {
        st = rows ? to->push(to->ctx, rows, sm_pause_waker(&pause), e)
                  : to->finish(to->ctx, sm_pause_waker(&pause), e);
        if (st == SM_WAIT) {
            sm_pause_wait(&pause);
        }
    } while (st == SM_WAIT);
    sm_pause_release(&pause);
    return st;
}

/* Writes the rows that were tried anew, those that were taken in with the run. */
static sm_status stage_quarantine(replay *p, sm_candidate **out, sm_error *e)
{
    int32_t replayed = -1;
    int64_t first = 0;
    sm_stage *stage = NULL;
    const sm_type *schema = marked_schema(p, &replayed);
    const sm_write write = {.uri = sm_store_uri(p->quarantine.store),
                            .mode = replayed < 0 ? SM_WRITE_OVERWRITE : SM_WRITE_REPLACE_WHERE,
                            .where = {.bind = bind_left},
                            .user_metadata = smi_flow_metadata(p->run),
                            .has_base = true,
                            .base = p->quarantine.snapshot,
                            .keeps_values = true};

    SM_ASSERT(schema->n_fields > 1 && p->n > 0);
    SM_TRY(sm_stage_open(&write, schema, p->run->env, &stage, e));
    const sm_sink to = sm_stage_sink(stage);
    sm_status st = SM_OK;
    for (int64_t i = 0; i < p->n_batches && st == SM_OK; i++) {
        sm_batch *marked = NULL;
        st = mark_batch(p, p->batches[i], first, schema, replayed, &marked, e);
        st = st == SM_OK ? push_wholly(&to, marked, e) : st;
        first += p->batches[i]->n_rows;
        sm_batch_release(marked);
    }
    st = st == SM_OK ? push_wholly(&to, NULL, e) : st;
    st = st == SM_OK ? sm_stage_candidate(stage, out, e) : st;
    sm_stage_close(stage);
    if (st == SM_OK) {
        smi_flow_books_carry(p->run, &p->quarantine, member_of(p), *out);
    }
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(p->quarantine.table));
}

/* ---- all of it ------------------------------------------------------------------------------- */

static sm_status publish(replay *p, sm_candidate *table, sm_error *e)
{
    sm_candidate *both[2] = {NULL, table};
    int64_t versions[2] = {-1, -1};

    SM_ASSERT(table && p->out->n_replayed > 0);
    SM_TRY(stage_quarantine(p, &both[0], e));
    const sm_status st = sm_publish(both, 2, p->run->env->budget, versions, NULL, e);
    sm_candidate_release(both[0]);
    p->out->quarantine_version = versions[0];
    p->out->version = versions[1];
    return st;
}

static sm_status replay_all(replay *p, sm_error *e)
{
    const sm_plan_node *all = NULL;
    sm_candidate *table = NULL;

    SM_TRY(check_task(p, e));
    SM_TRY(open_tables(p, e));
    SM_TRY(find_maker(p, e));
    find_files(p);
    SM_TRY(read_left(p, e));
    SM_TRY(plan_all(p, &all, e));
    if (!all) {
        count_outcomes(p);
        return SM_OK;
    }
    sm_status st = stage_table(p, all, &table, e);
    if (st == SM_OK && table) {
        st = publish(p, table, e);
    }
    sm_candidate_release(table);
    return st;
}

static void release(replay *p)
{
    delete_groups(p);
    for (int64_t i = 0; i < p->n_files; i++) {
        sm_buf_release(&p->files[i]->text);
    }
    if (p->rows) {
        sm_buf_release(&p->rows->text);
    }
    for (int64_t i = 0; i < p->n_batches; i++) {
        sm_batch_release(p->batches[i]);
    }
    sm_budget_give(p->run->env->budget, p->taken_bytes);
    sm_store_release(p->store);
    sm_names_free(p->names);
    smi_flow_books_release(&p->table);
    smi_flow_books_release(&p->quarantine);
    sm_arena_free(p->a);
}

static sm_status replay_run(sm_run *r, sm_replay_report *report, sm_error *e)
{
    SM_ASSERT(r->n_steps == 1);
    const int32_t task = r->order[0];
    replay p = {.run = r,
                .task = task,
                .t = &r->p->tasks[task],
                .out = report,
                .a = sm_arena_new(r->env->budget),
                .names = smi_flow_names(r)};
    const sm_str uri = sm_arena_strf(p.a, "memory://replay-%.*s", SM_STR_ARG(r->id));

    p.groups = sm_map_new(p.a);
    p.whose = sm_map_new(p.a);
    sm_status st = sm_store_open(r->env->stores, uri, &p.store, e);
    st = st == SM_OK ? replay_all(&p, e) : st;
    release(&p);
    return sm_within(e, st, "replay of %.*s", SM_STR_ARG(r->p->tasks[task].name));
}

sm_status sm_pipeline_replay(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                             sm_replay_report *report, sm_error *e)
{
    const int64_t start = sm_monotonic_ns();
    sm_run *r = NULL;

    *report = (sm_replay_report){.version = -1, .quarantine_version = -1};
    SM_ASSERT(opts->task.len > 0 && opts->refresh.len == 0);
    sm_status st = sm_run_open(p, opts, env, &r, e);
    st = st == SM_OK ? replay_run(r, report, e) : st;
    sm_run_close(r, &report->run);
    report->run.wall_ns = sm_monotonic_ns() - start;
    return st;
}
