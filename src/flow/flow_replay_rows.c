/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_replay_rows.c: the rows of a quarantine that a replay tries: read in passes, made the
 * texts that its plan reads, and marked in the end. Called by flow_replay.c.
 *
 * Order    All passes read one version of the table in one order, so the place of a row in it
 *          stands for the row. For a load that is the order of the files.
 * Texts    go to scratch files, a text for each source file, and one for all rows. A row that is
 *          not tried by it has an empty line there, which readers pass over: line and row are found
 *          from each other by counting.
 * Cut      Of a row that is too long for the quarantine the line is read from its file, if that is
 *          still the one that was loaded and is not compressed.
 * Memory   a byte a row, and some hundred a file. */
#include <inttypes.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "flow/flow_replay_int.h"

#define OUT_BYTES ((size_t)1 << 20) /* of a text are written at once */
#define ROWS_URI  "the quarantine's rows"

static const char *const looked_at[] = {
    [SMI_REPLAY_FILE] = "file",           [SMI_REPLAY_OFFSET] = "byte_offset",
    [SMI_REPLAY_REASON] = "reason",       [SMI_REPLAY_RAW] = "raw",
    [SMI_REPLAY_RAW_BYTES] = "raw_bytes", [SMI_REPLAY_RUN] = "run",
    [SMI_REPLAY_TIME] = "time",
};

/* ---- passes ---------------------------------------------------------------------------------- */

/* Which rows are meant: those that no run has taken in, of the round's run. NULL: all, as the table
 * is of an earlier version, and has no column `replayed`. */
static sm_status bind_left(const smi_replay *p, const sm_type *columns, sm_arena *a,
                           const sm_expr **out, sm_error *e)
{
    const int32_t replayed = sm_type_find(columns, SM_STR("replayed"));
    const sm_expr *parts[2] = {0}, *sides[2] = {0};
    int32_t n = 0;

    if (replayed >= 0) {
        sides[0] = sm_expr_column(columns, replayed, a);
        SM_TRY(sm_expr_call("is_null", sides, 1, a, &parts[n++], e));
    }
    if (p->of_run.len > 0) {
        sides[0] = sm_expr_column(columns, sm_type_find(columns, SM_STR("run")), a);
        sides[1] = sm_expr_constant(sm_value_str(p->of_run), a);
        SM_TRY(sm_expr_call("=", sides, 2, a, &parts[n++], e));
    }
    *out = n > 0 ? parts[0] : NULL;
    return n < 2 ? SM_OK : sm_expr_and(parts, n, a, out, e);
}

/* The rows that are meant, with all columns of the table. */
static sm_status plan_left(const smi_replay *p, const sm_plan_node **out, sm_error *e)
{
    const sm_expr *is_left = NULL;

    SM_TRY(sm_names_snapshot_rows(p->names, p->quarantine.snapshot, p->quarantine.table, out, e));
    for (int i = 0; i < SMI_REPLAY_LOOKED_AT; i++) {
        if (sm_type_find((*out)->schema, sm_str_of(looked_at[i])) < 0) {
            return sm_fail(e, SM_SCHEMA, "%.*s has no column \"%s\"",
                           SM_STR_ARG(p->quarantine.table), looked_at[i]);
        }
    }
    SM_TRY(bind_left(p, (*out)->schema, p->a, &is_left, e));
    return is_left ? sm_plan_filter(*out, is_left, p->a, out, e) : SM_OK;
}

/* Those of a load by their files, so that the lines of a file come one after another. */
static sm_status run_pass(const smi_replay *p, const sm_plan_node *rows, const sm_sink *to,
                          sm_error *e)
{
    const int32_t file = sm_type_find(rows->schema, SM_STR("file"));
    const sm_sort_key key = {.expr = sm_expr_column(rows->schema, file, p->a)};
    sm_plan *plan = NULL;

    SM_ASSERT(file >= 0);
    if (p->t->kind == SM_TASK_LOAD) {
        SM_TRY(sm_plan_sort(rows, &key, 1, p->a, &rows, e));
    }
    SM_TRY(sm_plan_finish(rows, p->a, &plan, e));
    return sm_exec_run(plan, p->run->env, to, NULL, NULL, e);
}

/* The same rows, of which only those columns are read that are looked at. */
static sm_status run_looking(smi_replay *p, const sm_sink *to, sm_error *e)
{
    const sm_plan_node *rows = NULL;
    const sm_expr *exprs[SMI_REPLAY_LOOKED_AT];
    sm_str names[SMI_REPLAY_LOOKED_AT];

    SM_TRY(plan_left(p, &rows, e));
    for (int i = 0; i < SMI_REPLAY_LOOKED_AT; i++) {
        names[i] = sm_str_of(looked_at[i]);
        exprs[i] = sm_expr_column(rows->schema, sm_type_find(rows->schema, names[i]), p->a);
        p->at[i] = i;
    }
    return run_pass(p, sm_plan_project(rows, exprs, names, SMI_REPLAY_LOOKED_AT, p->a), to, e);
}

sm_status smi_replay_runs(smi_replay *p, sm_str **out, int64_t *n, sm_error *e)
{
    const sm_plan_node *rows = NULL;
    const sm_expr *key = NULL, *time = NULL;
    sm_agg_item first = {0};
    sm_plan *plan = NULL;
    sm_batch **batches = NULL;
    int64_t n_batches = 0, n_runs = 0;

    SM_TRY(plan_left(p, &rows, e));
    key = sm_expr_column(rows->schema, sm_type_find(rows->schema, SM_STR("run")), p->a);
    time = sm_expr_column(rows->schema, sm_type_find(rows->schema, SM_STR("time")), p->a);
    SM_TRY(sm_expr_call("min", &time, 1, p->a, &first.call, e));
    SM_TRY(sm_plan_aggregate(rows, &key, 1, &first, 1, p->a, &rows, e));
    const sm_sort_key keys[] = {{.expr = sm_expr_column(rows->schema, 1, p->a)},
                                {.expr = sm_expr_column(rows->schema, 0, p->a)}};
    SM_TRY(sm_plan_sort(rows, keys, 2, p->a, &rows, e));
    SM_TRY(sm_plan_finish(rows, p->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, p->run->env, p->a, &batches, &n_batches, NULL, e));
    for (int64_t i = 0; i < n_batches; i++) {
        n_runs += batches[i]->n_rows;
    }
    *out = SM_NEW_ARRAY(p->run->arena, sm_str, n_runs + 1);
    *n = 0;
    for (int64_t i = 0; i < n_batches; i++) {
        for (int64_t k = 0; k < batches[i]->n_rows; k++) {
            if (!sm_column_is_null(&batches[i]->columns[0], k)) {
                (*out)[(*n)++] =
                    sm_arena_str(p->run->arena, sm_column_str(&batches[i]->columns[0], k));
            }
        }
        sm_batch_release(batches[i]);
    }
    return SM_OK;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static sm_status flush(smi_replay_out *o, sm_error *e)
{
    SM_TRY(sm_scratch_write(o->scratch, o->at, o->buf.data, o->buf.len, e));
    o->at += o->buf.len;
    sm_buf_reset(&o->buf);
    return SM_OK;
}

static sm_status open_out(const smi_replay *p, smi_replay_out *o, sm_error *e)
{
    SM_TRY(sm_scratch_new(p->run->env->spill_dir, &o->scratch, e));
    o->store = sm_store_of_scratch(p->run->env->stores, o->scratch);
    return SM_OK;
}

static sm_status put(smi_replay_out *o, smi_replay_text *text, sm_str bytes, sm_error *e)
{
    if (o->buf.len > 0 && o->buf.len + bytes.len > OUT_BYTES) {
        SM_TRY(flush(o, e));
    }
    sm_buf_text(&o->buf, bytes);
    text->bytes += bytes.len;
    return SM_OK;
}

/* Adds a row's line to a text; the rows before it that the text has not get empty lines. */
static sm_status put_line(smi_replay *p, smi_replay_out *o, smi_replay_text *text, int64_t row,
                          sm_str line, sm_error *e)
{
    const sm_str end = SM_STR("\n");

    SM_ASSERT(!memchr(line.data, '\n', line.len)); /* it is one line */
    SM_ASSERT(row >= text->first + text->n && p->outcomes.data[row] == SMI_LEFT_OUT);
    for (; text->first + text->n < row; text->n++) {
        SM_TRY(put(o, text, end, e));
    }
    SM_TRY(put(o, text, line, e));
    SM_TRY(put(o, text, end, e));
    text->n++;
    p->outcomes.data[row] = SMI_TAKEN_IN;
    return SM_OK;
}

/* A text that begins with a row. */
static sm_status begin_text(smi_replay *p, smi_replay_out *o, sm_str uri, int64_t row,
                            smi_replay_text **out, sm_error *e)
{
    smi_replay_text *text = SM_NEW(p->a, smi_replay_text);

    if (!o->store) {
        SM_TRY(open_out(p, o, e));
    }
    *text = (smi_replay_text){
        .uri = sm_arena_str(p->a, uri), .off_bytes = o->at + o->buf.len, .first = row};
    SM_ASSERT(!sm_map_get(p->texts, uri));
    *sm_map_at(p->texts, uri) = text;
    *out = text;
    return SM_OK;
}

static sm_status put_file_line(smi_replay *p, sm_str uri, int64_t row, sm_str line, sm_error *e)
{
    smi_replay_text *text = p->n_files > 0 ? p->files[p->n_files - 1] : NULL;

    if (!text || !sm_str_eq(text->uri, uri)) {
        SM_TRY(begin_text(p, &p->line_out, uri, row, &text, e));
        p->files = sm_arena_grow(p->a, p->files, p->n_files, &p->cap_files, sizeof(*p->files));
        p->files[p->n_files++] = text;
    }
    return put_line(p, &p->line_out, text, row, line, e);
}

static sm_status put_row(smi_replay *p, int64_t row, sm_str object, sm_error *e)
{
    if (!p->rows) {
        SM_TRY(begin_text(p, &p->row_out, SM_STR(ROWS_URI), row, &p->rows, e));
    }
    return put_line(p, &p->row_out, p->rows, row, object, e);
}

sm_datafile smi_replay_file(const smi_replay *p, const smi_replay_out *out,
                            const smi_replay_text *text)
{
    return (sm_datafile){.uri = text->uri,
                         .store = out->store,
                         .key = sm_scratch_key(text->off_bytes, text->bytes, p->a),
                         .size_bytes = text->bytes,
                         .n_rows = -1,
                         .is_lines = true};
}

void smi_replay_refuse(smi_replay *p, sm_str uri, int64_t line)
{
    const smi_replay_text *text = sm_map_get(p->texts, uri);

    SM_ENSURE(text && line >= 1 && line <= text->n);
    p->outcomes.data[text->first + line - 1] = SMI_REFUSED;
}

/* ---- what can be tried ----------------------------------------------------------------------- */

static bool is_line(sm_str reason)
{
    for (int32_t i = 0; sm_refused_reason(i); i++) {
        if (sm_str_is(reason, sm_refused_reason(i))) {
            return true;
        }
    }
    return false;
}

bool smi_replay_is_cast(const sm_type *t)
{
    return t->id == SM_TYPE_BINARY || t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

/* Is it one that such a cast reads? Others are told by the reader. */
static bool may_be(const sm_json *v, const sm_type *t)
{
    if (!smi_replay_is_cast(t) || v->type == SM_JSON_NULL) {
        return true;
    }
    double ignored = 0;
    return t->id == SM_TYPE_BINARY
               ? v->type == SM_JSON_STRING
               : v->type == SM_JSON_NUMBER ||
                     (v->type == SM_JSON_STRING && sm_parse_f64(v->text, true, &ignored));
}

/* Has the object just these members, of such types? */
static bool has_columns(const smi_replay *p, sm_str text)
{
    const sm_type *columns = p->columns;
    const sm_json *o = NULL;
    sm_error ignored = {0};

    sm_arena_reset(p->scratch);
    bool has = sm_json_parse(text, p->scratch, &o, &ignored) == SM_OK &&
               o->type == SM_JSON_OBJECT && o->n_children == columns->n_fields;
    for (int32_t i = 0; i < columns->n_fields && has; i++) {
        const sm_json *v = sm_json_get(o, sm_arena_str(p->scratch, columns->fields[i].name).data);
        has = v && may_be(v, columns->fields[i].type);
    }
    return has;
}

static sm_str text_at(const smi_replay *p, const sm_batch *b, int column, int64_t i)
{
    const sm_column *c = &b->columns[p->at[column]];
    return sm_column_is_null(c, i) ? (sm_str){0} : sm_column_str(c, i);
}

/* Is only the beginning of it there? */
static bool is_cut(const smi_replay *p, const sm_batch *b, int64_t i)
{
    const sm_value bytes = sm_column_value(&b->columns[p->at[SMI_REPLAY_RAW_BYTES]], i);

    return bytes.is_null || bytes.as.i != (int64_t)text_at(p, b, SMI_REPLAY_RAW, i).len;
}

static bool is_of_line(const smi_replay *p, const sm_batch *b, int64_t i)
{
    return is_line(text_at(p, b, SMI_REPLAY_REASON, i));
}

/* ---- whose ----------------------------------------------------------------------------------- */

static bool is_other_content(const smi_flow_known *x, const smi_flow_known *y)
{
    return x->has_identity && y->has_identity &&
           (x->hash.low != y->hash.low || x->hash.high != y->hash.high);
}

/* The files of which the table has rows, but those of which it has loaded other content than the
 * quarantine has the rest of. */
static void find_files(smi_replay *p)
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

/* Has the table loaded the row's file? One of old books, of which the URI is not known, may be
 * any. */
static bool is_of_file(const smi_replay *p, const sm_batch *b, int64_t i)
{
    SM_ASSERT(p->whose && p->t->kind == SM_TASK_LOAD);
    return sm_map_get(p->whose, text_at(p, b, SMI_REPLAY_FILE, i)) ||
           sm_map_get(p->whose, SM_STR(""));
}

/* Has the table rows of the row's run? */
static sm_status is_of_run(const smi_replay *p, const sm_batch *b, int64_t i, bool *out,
                           sm_error *e)
{
    void *const yes = (void *)(intptr_t)1, *const no = (void *)(intptr_t)2;
    const sm_str run = text_at(p, b, SMI_REPLAY_RUN, i);
    smi_flow_past past = {0};

    SM_ASSERT(p->whose && p->table.snapshot);
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

/* ---- lines that are cut ---------------------------------------------------------------------- */

/* Is the file still the one that was loaded? Then *out is open. */
static bool open_same(const smi_replay *p, const smi_flow_known *k, sm_blob **out)
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

/* The file of that URI, if it is the one that was loaded; NULL: it is not. Rows come by file, so it
 * is opened once. */
static sm_blob *source_file(smi_replay *p, sm_str uri)
{
    const smi_flow_known *known = NULL;

    if (sm_str_eq(p->open_uri, uri) && uri.len > 0) {
        return p->open;
    }
    sm_blob_close(p->open);
    p->open = NULL;
    p->open_uri = sm_arena_str(p->a, uri);
    for (int64_t i = 0; i < p->quarantine.n_known && !known; i++) {
        const smi_flow_known *k = &p->quarantine.known[i];
        known = uri.len > 0 && sm_str_eq(k->uri, uri) && !k->is_displaced ? k : NULL;
    }
    return known && open_same(p, known, &p->open) ? p->open : NULL;
}

/* Tries the line of a row of a load that is cut, if it can be read. */
static sm_status sort_cut(smi_replay *p, const sm_batch *b, int64_t i, int64_t row, sm_error *e)
{
    const sm_str uri = text_at(p, b, SMI_REPLAY_FILE, i);
    const sm_column *offsets = &b->columns[p->at[SMI_REPLAY_OFFSET]];
    sm_blob *blob = sm_column_is_null(offsets, i) ? NULL : source_file(p, uri);
    sm_buf line = {0};
    sm_status st = SM_OK;

    if (blob && read_to_end(blob, (uint64_t)sm_column_value(offsets, i).as.i, &line)) {
        st = put_file_line(p, uri, row, sm_buf_str(&line), e);
    }
    sm_buf_release(&line);
    return st;
}

/* ---- sorting them ---------------------------------------------------------------------------- */

static sm_status sort_line(smi_replay *p, const sm_batch *b, int64_t i, int64_t row, sm_error *e)
{
    const bool of_line = is_of_line(p, b, i), cut = is_cut(p, b, i);

    if (!is_of_file(p, b, i)) {
        p->left_out[SMI_WHY_OTHER_FILE] += of_line;
    } else if (of_line && cut) {
        p->left_out[SMI_WHY_CUT]++;
    } else if (of_line) {
        return put_file_line(p, text_at(p, b, SMI_REPLAY_FILE, i), row,
                             text_at(p, b, SMI_REPLAY_RAW, i), e);
    } else if (cut) {
        return sort_cut(p, b, i, row, e);
    }
    return SM_OK;
}

/* Why a row cannot be tried. */
static sm_status why_of(const smi_replay *p, const sm_batch *b, int64_t i, smi_left_out *out,
                        sm_error *e)
{
    const bool is_load = p->t->kind == SM_TASK_LOAD;
    const smi_left_out other = is_load ? SMI_WHY_OTHER_FILE : SMI_WHY_OTHER_RUN;
    bool has = is_load && is_of_file(p, b, i);

    *out = SMI_WHY_NO_LOAD;
    if (is_of_line(p, b, i)) {
        return SM_OK;
    }
    if (!is_load) {
        SM_TRY(is_of_run(p, b, i, &has, e));
    }
    *out = !has                                                ? other
           : is_cut(p, b, i)                                   ? SMI_WHY_CUT
           : p->why_none != SMI_WHY_NONE                       ? p->why_none
           : !has_columns(p, text_at(p, b, SMI_REPLAY_RAW, i)) ? SMI_WHY_OTHER_COLUMNS
           : p->has_inner_bytes                                ? SMI_WHY_BYTES
                                                               : SMI_WHY_NONE;
    return SM_OK;
}

static sm_status sort_row(smi_replay *p, const sm_batch *b, int64_t i, int64_t row, sm_error *e)
{
    smi_left_out why = SMI_WHY_NONE;

    if (p->outcomes.data[row] != SMI_LEFT_OUT ||
        (p->t->kind == SM_TASK_LOAD && is_of_line(p, b, i))) {
        return SM_OK; /* it was a line */
    }
    SM_TRY(why_of(p, b, i, &why, e));
    if (why != SMI_WHY_NONE) {
        p->left_out[why]++;
        return SM_OK;
    }
    return put_row(p, row, text_at(p, b, SMI_REPLAY_RAW, i), e);
}

/* A sink of the rows of a pass. */
typedef struct sorting {
    smi_replay *p;
    sm_status (*sort)(smi_replay *p, const sm_batch *b, int64_t i, int64_t row, sm_error *e);
    int64_t row; /* the next one */
} sorting;

static sm_status push_sorting(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    sorting *s = ctx;
    smi_replay *p = s->p;

    (void)waker;
    if (s->row + rows->n_rows > p->n) {
        SM_ASSERT(s->row == p->n); /* the first pass */
        p->n += rows->n_rows;
        SM_TRY(sm_buf_reserve(&p->outcomes, (size_t)rows->n_rows, e));
        memset(p->outcomes.data + p->outcomes.len, SMI_LEFT_OUT, (size_t)rows->n_rows);
        p->outcomes.len += (size_t)rows->n_rows;
    }
    for (int64_t i = 0; i < rows->n_rows; i++, s->row++) {
        SM_TRY(s->sort(p, rows, i, s->row, e));
    }
    return SM_OK;
}

sm_status smi_replay_sort_lines(smi_replay *p, sm_error *e)
{
    sorting s = {.p = p, .sort = sort_line};
    const sm_sink to = {.ctx = &s, .push = push_sorting};

    SM_ASSERT(p->t->kind == SM_TASK_LOAD && p->n == 0);
    find_files(p);
    SM_TRY(run_looking(p, &to, e));
    return p->line_out.store ? flush(&p->line_out, e) : SM_OK;
}

sm_status smi_replay_sort_rows(smi_replay *p, sm_error *e)
{
    sorting s = {.p = p, .sort = sort_row};
    const sm_sink to = {.ctx = &s, .push = push_sorting};

    SM_ASSERT(p->columns && !p->rows);
    SM_TRY(run_looking(p, &to, e));
    return p->row_out.store ? flush(&p->row_out, e) : SM_OK;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static sm_status bind_replaced(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                               sm_error *e)
{
    return bind_left(ctx, columns, a, out, e);
}

/* The columns of the quarantine's rows, with `replayed` as the last one. */
static const sm_type *marked_schema(const smi_replay *p, int32_t *replayed)
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

/* A sink that marks rows before another one gets them. */
typedef struct marking {
    smi_replay *p;
    const sm_sink *to;
    const sm_type *schema;
    int32_t replayed;  /* its place among the columns of the rows; −1: they have none */
    int64_t row;       /* the next one */
    sm_batch *pending; /* marked, and not taken yet */
} marking;

/* The rows of a batch, marked with the run where they were taken in. */
static sm_status mark_batch(const marking *m, const sm_batch *rows, sm_batch **out, sm_error *e)
{
    const smi_replay *p = m->p;
    sm_builder *marks = sm_builder_new(&sm_type_string, p->run->env->budget);
    sm_batch *b = NULL;
    int32_t n = 0;

    for (int64_t i = 0; i < rows->n_rows; i++) {
        if (p->outcomes.data[m->row + i] == SMI_TAKEN_IN) {
            sm_builder_str(marks, p->run->id);
        } else {
            sm_builder_null(marks);
        }
    }
    sm_status st = sm_batch_new(p->run->env->budget, m->schema, &b, e);
    if (st == SM_OK) {
        sm_batch_keep_all(b, rows);
        b->n_rows = rows->n_rows;
        for (int32_t i = 0; i < rows->n_columns; i++) {
            if (i != m->replayed) {
                b->columns[n++] = rows->columns[i];
            }
        }
        SM_ASSERT(n == m->schema->n_fields - 1);
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

static sm_status push_marking(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    marking *m = ctx;

    if (!m->pending) {
        SM_TRY(mark_batch(m, rows, &m->pending, e));
    }
    const sm_status st = m->to->push(m->to->ctx, m->pending, waker, e);
    if (st == SM_WAIT) {
        return st;
    }
    sm_batch_release(m->pending);
    m->pending = NULL;
    m->row += rows->n_rows;
    return st;
}

static sm_status finish_marking(void *ctx, sm_waker waker, sm_error *e)
{
    const marking *m = ctx;

    return m->to->finish(m->to->ctx, waker, e);
}

static sm_status stage_marked(smi_replay *p, sm_stage *stage, marking *m, sm_candidate **out,
                              sm_error *e)
{
    const sm_plan_node *rows = NULL;
    const sm_sink inner = sm_stage_sink(stage);
    const sm_sink to = {.ctx = m, .push = push_marking, .finish = finish_marking};

    m->to = &inner;
    SM_TRY(plan_left(p, &rows, e));
    sm_status st = run_pass(p, rows, &to, e);
    sm_batch_release(m->pending);
    SM_TRY(st);
    SM_ENSURE(m->row == p->n); /* the same rows as before */
    return sm_stage_candidate(stage, out, e);
}

sm_status smi_replay_mark(smi_replay *p, sm_candidate **out, sm_error *e)
{
    marking m = {.p = p};
    sm_stage *stage = NULL;

    m.schema = marked_schema(p, &m.replayed);
    SM_ASSERT(m.schema->n_fields > 1 && p->n > 0);
    const bool are_all = m.replayed < 0 && p->of_run.len == 0;
    const sm_write write = {.uri = sm_store_uri(p->quarantine.store),
                            .mode = are_all ? SM_WRITE_OVERWRITE : SM_WRITE_REPLACE_WHERE,
                            .where = {.ctx = p, .bind = bind_replaced},
                            .adds_columns = !are_all,
                            .user_metadata = smi_flow_metadata(p->run),
                            .has_base = true,
                            .base = p->quarantine.snapshot,
                            .keeps_values = true};
    SM_TRY(sm_stage_open(&write, m.schema, p->run->env, &stage, e));
    const sm_status st = stage_marked(p, stage, &m, out, e);
    sm_stage_close(stage);
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(p->quarantine.table));
}

void smi_replay_rows_release(smi_replay *p)
{
    smi_replay_out *const outs[] = {&p->line_out, &p->row_out};

    for (int i = 0; i < SM_COUNT(outs); i++) {
        sm_buf_release(&outs[i]->buf);
        sm_store_release(outs[i]->store);
        *outs[i] = (smi_replay_out){0};
    }
    sm_blob_close(p->open);
    sm_buf_release(&p->outcomes);
}
