/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_output.c: the rows of a query to a file or to stdout. Called by cmd_sql.c.
 *
 * The rows go through an sm_output of exec. Its format is one of the registry (csv, json, ndjson,
 * parquet), or one of the two that are for people and stand in this file: table and md (Markdown).
 * A table needs all rows to know how wide its columns are, so it keeps the first TABLE_ROWS of them
 * and only counts the others. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli_int.h"

#define TABLE_ROWS   1000
#define CELL_COLUMNS 60 /* a longer cell of a table is cut */
#define FLUSH_BYTES  ((size_t)256 * 1024)

/* ---- text for people: what both formats share ------------------------------------------------ */

/* The writer of either format. */
typedef struct people_writer {
    sm_arena *arena;
    sm_budget *budget;
    sm_bytes_out to;
    const sm_type *schema;
    sm_buf text, cell;
    sm_block *block; /* of text that `to` has not taken yet */
    size_t block_bytes;
    uint64_t given_bytes;
    int64_t n_rows; /* that have come */
    bool is_ended;  /* the last row has come, and its text is made */
    /* A table's rows, until all have come. */
    sm_batch **kept;
    int64_t n_kept, cap_kept, kept_rows;
} people_writer;

/* Gives the text out as one block; SM_WAIT where it is not taken yet. */
static sm_status give_text(people_writer *w, sm_waker waker, sm_error *e)
{
    if (!w->block && w->text.len > 0) {
        SM_TRY(sm_block_new(w->budget, w->text.len, &w->block, e));
        memcpy(w->block->data, w->text.data, w->text.len);
        w->block_bytes = w->text.len;
        sm_buf_reset(&w->text);
    }
    if (w->block) {
        SM_ASSERT(w->text.len == 0); /* no text is made while a block waits */
        SM_TRY(w->to.write(w->to.ctx, w->block, w->block_bytes, waker, e));
        w->given_bytes += w->block_bytes;
        sm_block_release(w->block);
        w->block = NULL;
    }
    return SM_OK;
}

static sm_status open_people(const sm_type *schema, const void *opts, sm_bytes_out to,
                             sm_pool *pool, sm_budget *budget, sm_writer **out, sm_error *e)
{
    sm_arena *arena = sm_arena_new(budget);
    people_writer *w = SM_NEW(arena, people_writer);

    w->arena = arena;
    w->budget = budget;
    w->to = to;
    w->schema = sm_type_copy(arena, schema);
    *out = (sm_writer *)(void *)w;
    return SM_OK;
}

static uint64_t people_bytes(const sm_writer *writer)
{
    const people_writer *w = (const people_writer *)(const void *)writer;

    return w->given_bytes + (w->block ? w->block_bytes : 0) + w->text.len;
}

static void set_written(const people_writer *w, sm_written *out)
{
    SM_ASSERT(w->is_ended && !w->block && w->text.len == 0);
    *out = (sm_written){.n_rows = w->n_rows, .size_bytes = w->given_bytes};
}

static void close_people(sm_writer *writer)
{
    people_writer *w = (people_writer *)(void *)writer;

    if (!w) {
        return;
    }
    for (int64_t i = 0; i < w->n_kept; i++) {
        sm_batch_release(w->kept[i]);
    }
    sm_block_release(w->block);
    sm_buf_release(&w->text);
    sm_buf_release(&w->cell);
    sm_arena_free(w->arena);
}

/* ---- Markdown -------------------------------------------------------------------------------- */

static void put_md_cell(sm_buf *out, sm_str s)
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

static void put_md_row(people_writer *w, const sm_batch *b, int64_t row)
{
    for (int32_t c = 0; c < b->n_columns; c++) {
        sm_buf_reset(&w->cell);
        sm_column_print(&b->columns[c], row, &w->cell);
        sm_buf_text(&w->text, SM_STR("| "));
        put_md_cell(&w->text, sm_buf_str(&w->cell));
        sm_buf_text(&w->text, SM_STR(" "));
    }
    sm_buf_text(&w->text, SM_STR("|\n"));
}

static void put_md_names(people_writer *w)
{
    const sm_type *t = w->schema;

    for (int32_t c = 0; c < t->n_fields; c++) {
        sm_buf_text(&w->text, SM_STR("| "));
        put_md_cell(&w->text, t->fields[c].name);
        sm_buf_text(&w->text, SM_STR(" "));
    }
    sm_buf_text(&w->text, SM_STR("|\n"));
    for (int32_t c = 0; c < t->n_fields; c++) {
        sm_buf_text(&w->text, c ? SM_STR("---|") : SM_STR("|---|"));
    }
    sm_buf_text(&w->text, SM_STR("\n"));
}

static sm_status open_md(const sm_type *schema, const void *opts, sm_bytes_out to, sm_pool *pool,
                         sm_budget *budget, sm_writer **out, sm_error *e)
{
    SM_TRY(open_people(schema, opts, to, pool, budget, out, e));
    put_md_names((people_writer *)(void *)*out);
    return SM_OK;
}

static sm_status write_md(sm_writer *writer, sm_batch *rows, sm_waker waker, sm_error *e)
{
    people_writer *w = (people_writer *)(void *)writer;

    SM_ASSERT(!w->is_ended && rows->n_columns == w->schema->n_fields);
    if (!w->block) { /* else these rows are in the block that waits */
        for (int64_t row = 0; row < rows->n_rows; row++) {
            put_md_row(w, rows, row);
        }
        w->n_rows += rows->n_rows;
        if (w->text.len < FLUSH_BYTES) {
            return SM_OK;
        }
    }
    return give_text(w, waker, e);
}

static sm_status finish_md(sm_writer *writer, sm_waker waker, sm_written *out, sm_error *e)
{
    people_writer *w = (people_writer *)(void *)writer;

    w->is_ended = true;
    SM_TRY(give_text(w, waker, e));
    set_written(w, out);
    return SM_OK;
}

static const sm_format format_md = {
    .name = "md",
    .suffixes = "",
    .is_text = true,
    .writer =
        &(const struct sm_writer_ops){open_md, write_md, people_bytes, finish_md, close_people},
};

/* ---- a table --------------------------------------------------------------------------------- */

/* The text of a cell as it is shown: on one line, at most CELL_COLUMNS characters. */
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

static void put_blanks(sm_buf *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sm_buf_text(out, SM_STR(" "));
    }
}

/* Is the column aligned to the right? */
static bool is_right(const sm_type *t)
{
    return sm_type_is_number(t->id);
}

/* A line of the table: a row, or with batch NULL the columns' names. */
static void put_table_line(people_writer *w, const int64_t *widths, const sm_batch *b, int64_t row)
{
    for (int32_t c = 0; c < w->schema->n_fields; c++) {
        const sm_field *f = &w->schema->fields[c];
        const sm_str s = b ? table_cell(&b->columns[c], row, &w->cell) : f->name;
        const int64_t room = widths[c] - sm_utf8_count(s);
        SM_ASSERT(room >= 0); /* the widths are of all lines */
        sm_buf_text(&w->text, c ? SM_STR("  ") : SM_STR(""));
        if (is_right(f->type)) {
            put_blanks(&w->text, room);
        }
        sm_buf_text(&w->text, s);
        if (!is_right(f->type) && c + 1 < w->schema->n_fields) {
            put_blanks(&w->text, room);
        }
    }
    sm_buf_text(&w->text, SM_STR("\n"));
}

static int64_t *table_widths(people_writer *w)
{
    const int32_t n = w->schema->n_fields;
    int64_t *widths = SM_NEW_ARRAY(w->arena, int64_t, n);

    for (int32_t c = 0; c < n; c++) {
        widths[c] = sm_utf8_count(w->schema->fields[c].name);
        for (int64_t i = 0; i < w->n_kept; i++) {
            for (int64_t row = 0; row < w->kept[i]->n_rows; row++) {
                const sm_str cell = table_cell(&w->kept[i]->columns[c], row, &w->cell);
                const int64_t width = sm_utf8_count(cell);
                widths[c] = width > widths[c] ? width : widths[c];
            }
        }
    }
    return widths;
}

static void put_table(people_writer *w)
{
    const int64_t *widths = table_widths(w);
    char count[SM_SIZE_TEXT_BYTES];

    SM_ASSERT(w->kept_rows == (w->n_rows < TABLE_ROWS ? w->n_rows : TABLE_ROWS));
    sm_buf_text(&w->text, sm_str_of(smi_bold()));
    put_table_line(w, widths, NULL, 0);
    sm_buf_text(&w->text, sm_str_of(smi_plain()));
    for (int64_t i = 0; i < w->n_kept; i++) {
        for (int64_t row = 0; row < w->kept[i]->n_rows; row++) {
            put_table_line(w, widths, w->kept[i], row);
        }
    }
    sm_format_count(w->n_rows, count);
    sm_buf_printf(&w->text, "(%s row%s", count, w->n_rows == 1 ? "" : "s");
    if (w->n_rows > w->kept_rows) {
        sm_buf_printf(&w->text, "; the first %d are shown, --format csv gives all", TABLE_ROWS);
    }
    sm_buf_text(&w->text, SM_STR(")\n"));
}

static sm_status write_table(sm_writer *writer, sm_batch *rows, sm_waker waker, sm_error *e)
{
    people_writer *w = (people_writer *)(void *)writer;
    const int64_t room = TABLE_ROWS - w->kept_rows;
    const int64_t n_shown = rows->n_rows < room ? rows->n_rows : room;
    sm_batch *part = NULL;

    SM_ASSERT(!w->is_ended && room >= 0 && rows->n_columns == w->schema->n_fields);
    w->n_rows += rows->n_rows;
    if (n_shown == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_slice(rows, 0, n_shown, w->budget, &part, e));
    w->kept = sm_arena_grow(w->arena, w->kept, w->n_kept, &w->cap_kept, sizeof(sm_batch *));
    w->kept[w->n_kept++] = part;
    w->kept_rows += n_shown;
    return SM_OK;
}

static sm_status finish_table(sm_writer *writer, sm_waker waker, sm_written *out, sm_error *e)
{
    people_writer *w = (people_writer *)(void *)writer;

    if (!w->is_ended) {
        put_table(w);
        w->is_ended = true;
    }
    SM_TRY(give_text(w, waker, e));
    set_written(w, out);
    return SM_OK;
}

static const sm_format format_table = {
    .name = "table",
    .suffixes = "",
    .is_text = true,
    .writer = &(const struct sm_writer_ops){open_people, write_table, people_bytes, finish_table,
                                            close_people},
};

/* ---- which format, and where to -------------------------------------------------------------- */

static const sm_format *find_format(sm_str name)
{
    static const sm_format *const for_people[] = {&format_table, &format_md};

    for (int i = 0; i < SM_COUNT(for_people); i++) {
        SM_ASSERT(!sm_format_named(sm_str_of(for_people[i]->name))); /* it would be hidden */
        if (sm_str_is(name, for_people[i]->name)) {
            return for_people[i];
        }
    }
    const sm_format *f = sm_format_named(name);
    return f && f->writer ? f : NULL;
}

/* Finds the format by its name, or else by the file's suffix, or else by what stdout is. */
static sm_status choose_format(const char *format, const char *file, const sm_format **out,
                               sm_error *e)
{
    if (!format && !file) {
        *out = isatty(STDOUT_FILENO) ? &format_table : sm_format_named(SM_STR("csv"));
        return SM_OK;
    }
    const char *slash = format ? NULL : strrchr(file, '/');
    const char *dot = format ? NULL : strrchr(slash ? slash : file, '.');
    const char *name = format ? format : dot ? dot + 1 : "";
    *out = find_format(sm_str_of(name));
    if (*out) {
        return SM_OK;
    }
    const sm_status st =
        name[0] || format ? sm_fail(e, SM_USAGE, "there is no output format \"%s\"", name)
                          : sm_fail(e, SM_USAGE, "the name \"%s\" does not say the format", file);
    sm_error_todo(e, "The formats are table, csv, json, ndjson, md and parquet (--format).");
    return st;
}

/* A device or a pipe that has the name: no file may take its place, so rows go into it as they
 * come. false: there is none, also where nothing has the name. */
static bool is_device_or_pipe(const char *file)
{
    struct stat info;

    return stat(file, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

static sm_status open_device(smi_cli *cli, const char *file, sm_error *e)
{
    SM_ASSERT(!cli->device);
    cli->device = fopen(file, "we");
    if (!cli->device) {
        const sm_status st = sm_fail_errno(e, errno, "could not open it for writing");
        sm_error_place(e, file, 0, -1);
        return st;
    }
    setvbuf(cli->device, NULL, _IONBF, 0); /* a failure shows at the write that it is of */
    return SM_OK;
}

static sm_status write_device(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    smi_cli *cli = ctx;

    if (fwrite(block->data, 1, len, cli->device) != len) {
        return sm_fail_errno(e, errno, "could not write the result to the device or pipe of -o");
    }
    return SM_OK;
}

static sm_status write_stdout(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    smi_cli *cli = ctx;

    if (isatty(STDOUT_FILENO)) {
        smi_progress_stop(cli); /* rows would mix with its line */
    }
    SM_ASSERT(len > 0 && len <= block->size_bytes);
    cli->has_answered = true; /* an error that follows these rows is not printed to stdout too */
    if (fwrite(block->data, 1, len, stdout) != len) {
        return sm_fail_errno(e, errno, "could not write the result to stdout");
    }
    return SM_OK;
}

sm_status smi_output_open(smi_cli *cli, const sm_type *schema, const char *format, const char *file,
                          sm_output **out, sm_error *e)
{
    sm_output_opts opts = {.uri = sm_str_of(file)};

    SM_TRY(choose_format(format, file, &opts.format, e));
    if (!file) {
        opts.bytes = (sm_bytes_out){.write = write_stdout, .ctx = cli};
    } else if (is_device_or_pipe(file)) {
        SM_TRY(open_device(cli, file, e));
        opts.uri = (sm_str){0};
        opts.bytes = (sm_bytes_out){.write = write_device, .ctx = cli};
    }
    if (!file && !opts.format->is_text) {
        const sm_status st = sm_fail(e, SM_USAGE, "%s cannot go to stdout", opts.format->name);
        sm_error_todo(e, "Name a file with -o.");
        return st;
    }
    return sm_output_open(&opts, schema, &cli->env, out, e);
}
