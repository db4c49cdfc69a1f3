/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_output.c: rows out of a query, as text or as a Parquet file, to stdout or to a file.
 * Called by cmd_sql.c and whoever else prints rows.
 *
 * Text is made batch by batch into one buffer. To a file it goes through an upload, so that the
 * file appears whole or not at all. A table for people needs all rows for its widths: it keeps the
 * first TABLE_ROWS rows and counts the rest. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/quote.h"
#include "base/text.h"
#include "cli/cli_int.h"

#define TABLE_ROWS   1000
#define CELL_COLUMNS 60 /* a longer cell of a table is cut */
#define FLUSH_BYTES  ((size_t)256 * 1024)

typedef enum kind { AS_TABLE, AS_CSV, AS_JSON, AS_NDJSON, AS_MD, AS_PARQUET } kind;
static const char *const kind_names[] = {"table", "csv", "json", "ndjson", "md", "parquet"};

struct smi_output {
    smi_cli *cli;
    const sm_type *schema;
    kind kind;
    sm_store *store; /* NULL: stdout */
    sm_upload *upload;
    sm_buf text;
    int64_t n_rows;
    sm_batch **kept; /* AS_TABLE */
    int64_t n_kept, cap_kept, kept_rows;
    const struct sm_writer_ops *writer_ops; /* AS_PARQUET */
    sm_writer *writer;
    void *writer_opts;
};

/* ---- text to where it goes ------------------------------------------------------------------- */

static sm_status flush_text(smi_output *o, sm_error *e)
{
    sm_block *block = NULL;

    if (o->text.len == 0) {
        return SM_OK;
    }
    if (!o->upload) {
        if (isatty(STDOUT_FILENO)) {
            smi_progress_stop(o->cli); /* rows would mix with its line */
        }
        o->cli->has_answered = true; /* an error behind the first rows has no place there */
        if (fwrite(o->text.data, 1, o->text.len, stdout) != o->text.len) {
            return sm_fail_errno(e, errno, "could not write the result to stdout");
        }
        sm_buf_reset(&o->text);
        return SM_OK;
    }
    SM_TRY(sm_block_new(o->cli->env.budget, o->text.len, &block, e));
    memcpy(block->data, o->text.data, o->text.len);
    const sm_status st = sm_upload_write_wait(o->upload, block, o->text.len, e);
    sm_block_release(block);
    sm_buf_reset(&o->text);
    return st;
}

/* ---- a row in each kind of text -------------------------------------------------------------- */

static void csv_cell(sm_buf *out, sm_str s)
{
    bool is_plain = s.len > 0;

    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        is_plain = is_plain && c != '"' && c != ',' && c != '\n' && c != '\r';
    }
    if (is_plain) {
        sm_buf_text(out, s);
        return;
    }
    sm_buf_quoted(out, s, '"');
}

/* NULL is an empty field, an empty text a quoted one: they stay apart. */
static void csv_row(smi_output *o, const sm_batch *b, int64_t row, sm_buf *cell)
{
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_buf_text(&o->text, c ? SM_STR(",") : SM_STR(""));
        if (!sm_column_is_null(&b->columns[c], row)) {
            sm_buf_reset(cell);
            sm_column_print(&b->columns[c], row, cell);
            csv_cell(&o->text, sm_buf_str(cell));
        }
    }
    sm_buf_text(&o->text, SM_STR("\n"));
}

static void json_row(smi_output *o, const sm_batch *b, int64_t row)
{
    sm_json_writer w = {.out = &o->text};

    sm_json_begin_object(&w);
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_json_key(&w, o->schema->fields[c].name);
        sm_column_json(&b->columns[c], row, &w);
    }
    sm_json_end_object(&w);
}

static void md_cell(sm_buf *out, sm_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        if (c == '|') {
            sm_buf_text(out, SM_STR("\\|"));
        } else if (c == '\n' || c == '\r') {
            sm_buf_text(out, SM_STR(" "));
        } else {
            sm_buf_text(out, (sm_str){&c, 1});
        }
    }
}

static void md_row(smi_output *o, const sm_batch *b, int64_t row, sm_buf *cell)
{
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_buf_reset(cell);
        sm_column_print(&b->columns[c], row, cell);
        sm_buf_text(&o->text, SM_STR("| "));
        md_cell(&o->text, sm_buf_str(cell));
        sm_buf_text(&o->text, SM_STR(" "));
    }
    sm_buf_text(&o->text, SM_STR("|\n"));
}

static void header(smi_output *o)
{
    const sm_type *t = o->schema;

    for (int32_t c = 0; c < t->n_fields && o->kind == AS_CSV; c++) {
        sm_buf_text(&o->text, c ? SM_STR(",") : SM_STR(""));
        csv_cell(&o->text, t->fields[c].name);
    }
    for (int32_t c = 0; c < t->n_fields && o->kind == AS_MD; c++) {
        sm_buf_text(&o->text, SM_STR("| "));
        md_cell(&o->text, t->fields[c].name);
        sm_buf_text(&o->text, SM_STR(" "));
    }
    sm_buf_text(&o->text, o->kind == AS_CSV ? SM_STR("\n") : SM_STR("|\n"));
    for (int32_t c = 0; c < t->n_fields && o->kind == AS_MD; c++) {
        sm_buf_text(&o->text, c ? SM_STR("---|") : SM_STR("|---|"));
    }
    sm_buf_text(&o->text, o->kind == AS_MD ? SM_STR("\n") : SM_STR(""));
}

static void text_row(smi_output *o, const sm_batch *b, int64_t row, sm_buf *cell)
{
    switch (o->kind) {
    case AS_CSV:
        csv_row(o, b, row, cell);
        break;
    case AS_MD:
        md_row(o, b, row, cell);
        break;
    case AS_JSON:
        sm_buf_text(&o->text, o->n_rows ? SM_STR(",\n") : SM_STR("[\n"));
        json_row(o, b, row);
        break;
    default:
        json_row(o, b, row);
        sm_buf_text(&o->text, SM_STR("\n"));
    }
    o->n_rows++;
}

/* ---- a table for people ---------------------------------------------------------------------- */

/* The cell as it is shown: one line, at most CELL_COLUMNS characters. */
static sm_str table_cell(const sm_column *c, int64_t row, sm_buf *cell)
{
    sm_buf_reset(cell);
    sm_column_print(c, row, cell);
    for (size_t i = 0; i < cell->len; i++) {
        if (cell->data[i] < 0x20) {
            cell->data[i] = ' ';
        }
    }
    const sm_str s = sm_buf_str(cell);
    size_t at = 0;
    for (int n = 0; at < s.len && n < CELL_COLUMNS; n++) {
        (void)sm_utf8_next(s, &at);
    }
    return (sm_str){s.data, at};
}

static void pad(sm_buf *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sm_buf_text(out, SM_STR(" "));
    }
}

static bool is_right(const sm_type *t)
{
    return sm_type_is_number(t->id);
}

static void table_line(smi_output *o, const int64_t *widths, const sm_batch *b, int64_t row,
                       sm_buf *cell)
{
    for (int32_t c = 0; c < o->schema->n_fields; c++) {
        const sm_field *f = &o->schema->fields[c];
        const sm_str s = b ? table_cell(&b->columns[c], row, cell) : f->name;
        const int64_t room = widths[c] - sm_utf8_count(s);
        sm_buf_text(&o->text, c ? SM_STR("  ") : SM_STR(""));
        if (is_right(f->type)) {
            pad(&o->text, room);
        }
        sm_buf_text(&o->text, s);
        if (!is_right(f->type) && c + 1 < o->schema->n_fields) {
            pad(&o->text, room);
        }
    }
    sm_buf_text(&o->text, SM_STR("\n"));
}

static void table_text(smi_output *o)
{
    const int32_t n = o->schema->n_fields;
    int64_t *widths = SM_NEW_ARRAY(o->cli->arena, int64_t, n);
    sm_buf cell = {0};
    char count[SM_SIZE_TEXT_BYTES];

    for (int32_t c = 0; c < n; c++) {
        widths[c] = sm_utf8_count(o->schema->fields[c].name);
        for (int64_t i = 0; i < o->n_kept; i++) {
            for (int64_t row = 0; row < o->kept[i]->n_rows; row++) {
                const int64_t w = sm_utf8_count(table_cell(&o->kept[i]->columns[c], row, &cell));
                widths[c] = w > widths[c] ? w : widths[c];
            }
        }
    }
    sm_buf_text(&o->text, sm_str_of(smi_bold()));
    table_line(o, widths, NULL, 0, &cell);
    sm_buf_text(&o->text, sm_str_of(smi_plain()));
    for (int64_t i = 0; i < o->n_kept; i++) {
        for (int64_t row = 0; row < o->kept[i]->n_rows; row++) {
            table_line(o, widths, o->kept[i], row, &cell);
        }
    }
    sm_format_count(o->n_rows, count);
    sm_buf_printf(&o->text, "(%s row%s", count, o->n_rows == 1 ? "" : "s");
    if (o->n_rows > o->kept_rows) {
        sm_buf_printf(&o->text, "; the first %d are shown, --format csv gives all", TABLE_ROWS);
    }
    sm_buf_text(&o->text, SM_STR(")\n"));
    sm_buf_release(&cell);
}

static sm_status keep_for_table(smi_output *o, sm_batch *b, sm_error *e)
{
    const int64_t room = TABLE_ROWS - o->kept_rows;
    sm_batch *part = NULL;

    o->n_rows += b->n_rows;
    if (room == 0 || b->n_rows == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_slice(b, 0, b->n_rows < room ? b->n_rows : room, o->cli->env.budget, &part, e));
    o->kept = sm_arena_grow(o->cli->arena, o->kept, o->n_kept, &o->cap_kept, sizeof(sm_batch *));
    o->kept[o->n_kept++] = part;
    o->kept_rows += part->n_rows;
    return SM_OK;
}

/* ---- the sink -------------------------------------------------------------------------------- */

static sm_status push(void *ctx, sm_batch *b, sm_waker waker, sm_error *e)
{
    smi_output *o = ctx;
    sm_buf cell = {0};
    sm_status st = SM_OK;

    if (o->kind == AS_PARQUET) {
        st = o->writer_ops->write(o->writer, b, waker, e);
        o->n_rows += st == SM_OK ? b->n_rows : 0;
        return st;
    }
    if (o->kind == AS_TABLE) {
        return keep_for_table(o, b, e);
    }
    for (int64_t row = 0; row < b->n_rows && st == SM_OK; row++) {
        text_row(o, b, row, &cell);
        if (o->text.len >= FLUSH_BYTES) {
            st = flush_text(o, e);
        }
    }
    sm_buf_release(&cell);
    return st;
}

static sm_status finish(void *ctx, sm_waker waker, sm_error *e)
{
    smi_output *o = ctx;
    sm_written written = {0};

    if (o->kind == AS_PARQUET) {
        SM_TRY(o->writer_ops->finish(o->writer, waker, &written, e));
        return sm_upload_finish(o->upload, waker, e);
    }
    if (o->kind == AS_TABLE) {
        table_text(o);
    } else if (o->kind == AS_JSON) {
        sm_buf_text(&o->text, o->n_rows ? SM_STR("\n]\n") : SM_STR("[]\n"));
    }
    SM_TRY(flush_text(o, e));
    return o->upload ? sm_upload_finish_wait(o->upload, e) : SM_OK;
}

sm_sink smi_output_sink(smi_output *o)
{
    return (sm_sink){.ctx = o, .push = push, .finish = finish};
}

int64_t smi_output_rows(const smi_output *o)
{
    return o->n_rows;
}

/* ---- opening --------------------------------------------------------------------------------- */

static sm_status choose_kind(const char *format, const char *file, kind *out, sm_error *e)
{
    if (!format && !file) {
        *out = isatty(STDOUT_FILENO) ? AS_TABLE : AS_CSV;
        return SM_OK;
    }
    const char *slash = format ? NULL : strrchr(file, '/');
    const char *dot = format ? NULL : strrchr(slash ? slash : file, '.');
    const char *name = format ? format : dot ? dot + 1 : "";
    for (int i = 0; i < SM_COUNT(kind_names); i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *out = (kind)i;
            return SM_OK;
        }
    }
    const sm_status st =
        name[0] || format ? sm_fail(e, SM_USAGE, "no output format \"%s\"", name)
                          : sm_fail(e, SM_USAGE, "the name \"%s\" does not say the format", file);
    sm_error_todo(e, "Formats are table, csv, json, ndjson, md and parquet (--format).");
    return st;
}

static sm_status write_block(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_upload_write(ctx, block, len, waker, e);
}

static sm_status open_parquet(smi_output *o, sm_error *e)
{
    const sm_format *f = sm_format_named(SM_STR("parquet"));
    const sm_bytes_out to = {.write = write_block, .ctx = o->upload};

    if (!o->upload) {
        const sm_status st = sm_fail(e, SM_USAGE, "parquet cannot go to stdout");
        sm_error_todo(e, "Name a file with -o.");
        return st;
    }
    o->writer_opts = sm_arena_alloc(o->cli->arena, f->opts_bytes);
    o->writer_ops = f->writer;
    SM_TRY(sm_options_default(f->options, o->writer_opts, e));
    return f->writer->open(o->schema, o->writer_opts, to, o->cli->env.pool, o->cli->env.budget,
                           &o->writer, e);
}

sm_status smi_output_open(smi_cli *cli, const sm_type *schema, const char *format, const char *file,
                          smi_output **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_str folder, name;
    smi_output *o = sm_alloc_zero(sizeof(*o));

    o->cli = cli;
    o->schema = schema;
    SM_TRY_GOTO(st, done, choose_kind(format, file, &o->kind, e));
    if (file) {
        sm_uri_split(sm_str_of(file), &folder, &name);
        SM_TRY_GOTO(st, done, sm_store_open(cli->env.stores, folder, &o->store, e));
        SM_TRY_GOTO(st, done, sm_upload_open(o->store, name, cli->env.budget, 0, &o->upload, e));
    }
    if (o->kind == AS_PARQUET) {
        st = open_parquet(o, e);
    } else if (o->kind == AS_CSV || o->kind == AS_MD) {
        header(o);
    }
done:
    if (st != SM_OK) {
        smi_output_close(o);
        return st;
    }
    *out = o;
    return SM_OK;
}

void smi_output_close(smi_output *o)
{
    if (!o) {
        return;
    }
    for (int64_t i = 0; i < o->n_kept; i++) {
        sm_batch_release(o->kept[i]);
    }
    if (o->writer) {
        o->writer_ops->close(o->writer);
    }
    sm_upload_close(o->upload);
    sm_store_release(o->store);
    sm_buf_release(&o->text);
    sm_free(o);
}
