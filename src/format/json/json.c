/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json.c: the format json: newline-delimited JSON, one object a line; plain, .gz or
 * .zst. Defines sm_format_json, the table by which other rooms use it, and its reader.
 *
 * Method     json_pull gets lines from text_lines.c. Lines that look like earlier ones are read by
 *            json_shape.c, all others one by one by json_row.c. Both append to the same builders,
 *            which become a batch.
 * Batches    A batch ends at SM_BATCH_ROWS rows or refused lines, or when its lines have 4 MiB
 *            together, so that long lines do not fill the memory. Where it ends depends on the
 *            morsel's bytes alone, not on how they were fed.
 * Refused    Unless refused lines are kept, the first one of a morsel is an error with object, line
 *            (counted from the morsel's first) and byte. It is returned after the rows before it.
 * Schema     The type of the batches lives in the reader: a batch's `schema` is good until
 *            reader_free. */
#include "format/json/json_int.h"

#include <stdio.h>

#include "base/text.h"

#define MORSEL_BYTES ((size_t)1 << 20)
#define BATCH_BYTES  ((size_t)4 << 20)

/* The computed columns of an origin, in the order of a batch. */
enum { ORIGIN_LINE, ORIGIN_BYTE_OFFSET, N_ORIGIN };

typedef struct json_opts {
    sm_str column_order;
} json_opts;

static const sm_option json_options[] = {
    {"column_order", SM_OPT_TEXT, "", offsetof(json_opts, column_order),
     "Columns, separated by commas. Where several of them do not fit in a line, the first one in "
     "this order is reported."},
    {0},
};

/* What sm_file and sm_reader are for this format. */
typedef struct json_file {
    smi_text_file text;
    int64_t index;
} json_file;

typedef struct json_reader {
    sm_budget *budget;
    smi_json_schema *schema;
    smi_json_unknown *unknown; /* NULL: unknown keys are not looked for */
    const sm_sampled *sampled; /* the dataset's */
    smi_json_parser parser;
    smi_json_shapes *shapes; /* NULL: the parser reads every line */
    smi_lines lines;
    smi_refused refused;
    sm_projection want;
    const sm_type *row;           /* the type of the batches */
    sm_builder *origin[N_ORIGIN]; /* NULL: it is not asked for */

    int64_t n_rows;     /* in the builders */
    size_t batch_bytes; /* length of the lines that the next batch is made of */
    uint32_t n_batches; /* returned of this morsel */
    bool is_file_start; /* no line of the file was read yet */
    sm_status failed;   /* SM_OK, or the failure to return after the rows before it */
    sm_error failure;
    sm_scan_counts counts;
} json_reader;

/* ---- files ----------------------------------------------------------------------------------- */

/* Is `{` the first byte after a byte-order mark and white space? */
static bool json_probe(const uint8_t *head, size_t n)
{
    size_t at = n >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < n && sm_json_is_space(head[at])) {
        at++;
    }
    return at < n && head[at] == '{';
}

static sm_status json_open(const sm_dataset *d, int64_t file, sm_blob *blob,
                           const sm_projection *want, sm_budget *budget, sm_file **out, sm_error *e)
{
    SM_ASSERT(file >= 0 && file < d->n_files);
    const sm_datafile *data = &d->files[file];
    /* A file's hash is added up from its morsels. */
    SM_ASSERT(!data->content_out || d->morsel_bytes % SM_FILE_HASH_CHUNK == 0);
    json_file *f = sm_alloc_zero(sizeof(*f));
    *f = (json_file){
        .index = file,
        .text =
            {
                .uri = data->uri,
                .size_bytes = data->size_bytes,
                .codec = smi_codec_of_name(data->key.len > 0 ? data->key : data->uri),
                .is_lines = data->is_lines,
                .wants_content = data->content_out != NULL,
                .morsel_bytes = d->morsel_bytes > 0 ? d->morsel_bytes : MORSEL_BYTES,
            },
    };
    *out = (sm_file *)f;
    return SM_OK;
}

static void json_close(sm_file *f)
{
    sm_free(f);
}

static sm_status json_plan(sm_file *file, sm_arena *a, sm_morsel **out, int64_t *n,
                           int64_t *skipped, sm_error *e)
{
    const json_file *f = (const json_file *)file;
    *skipped = 0;
    return smi_text_plan(&f->text, f->index, a, out, n, e);
}

/* ---- the reader ------------------------------------------------------------------------------ */

static void json_reader_free(sm_reader *reader)
{
    json_reader *r = (json_reader *)reader;
    if (!r) {
        return;
    }
    smi_json_shapes_free(r->shapes);
    smi_json_parser_release(&r->parser);
    smi_lines_release(&r->lines);
    smi_refused_release(&r->refused);
    for (int i = 0; i < N_ORIGIN; i++) {
        sm_builder_free(r->origin[i]);
    }
    smi_json_unknown_free(r->unknown);
    smi_json_schema_free(r->schema);
    sm_free(r);
}

/* Where each row is from goes into two more columns. */
static void init_origin(json_reader *r)
{
    const sm_type *row = r->schema->row;
    sm_field *fields = SM_NEW_ARRAY(r->schema->arena, sm_field, row->n_fields + N_ORIGIN);

    memcpy(fields, row->fields, (size_t)row->n_fields * sizeof(*fields));
    for (int i = 0; i < N_ORIGIN; i++) {
        fields[row->n_fields + i] = (sm_field){.type = &sm_type_i64, .is_nullable = true};
        r->origin[i] = sm_builder_new(&sm_type_i64, r->budget);
    }
    r->row = sm_type_struct(r->schema->arena, fields, row->n_fields + N_ORIGIN);
}

static sm_status json_reader_new(const sm_dataset *d, const sm_projection *want, sm_budget *budget,
                                 sm_reader **out, sm_error *e)
{
    const json_opts *opts = d->options;
    smi_json_schema *schema = NULL;
    const sm_str order = opts ? opts->column_order : (sm_str){0};
    SM_TRY(smi_json_schema_new(d, want, order, budget, &schema, e));
    json_reader *r = sm_alloc_zero(sizeof(*r));
    r->budget = budget;
    r->schema = schema;
    r->row = schema->row;
    r->want = *want;
    if (d->has_origin) {
        init_origin(r);
    }
    r->sampled = d->sampled;
    r->unknown = schema->looks_unknown ? smi_json_unknown_new(budget) : NULL;
    smi_lines_init(&r->lines, budget);
    smi_refused_init(&r->refused, budget);
    smi_json_parser_init(&r->parser, schema, r->unknown, budget);
    const char *mode = sm_env("SMELT_JSON");
    if (!mode || strcmp(mode, "full") != 0) {
        r->shapes = smi_json_shapes_new(&r->parser, budget);
    }
    *out = (sm_reader *)r;
    return SM_OK;
}

/* Keeps so many rows of those in the builders. */
static void truncate_rows(json_reader *r, int64_t n)
{
    smi_json_parser_unbind(&r->parser);
    for (int32_t i = 0; i < r->schema->n_builders; i++) {
        sm_builder_truncate(r->schema->builders[i], n);
    }
    for (int i = 0; i < N_ORIGIN && r->origin[i]; i++) {
        sm_builder_truncate(r->origin[i], n);
    }
    r->n_rows = n;
}

/* Drops rows that a morsel left behind because it failed or was given up. */
static void drop_rows(json_reader *r)
{
    smi_refused_reset(&r->refused);
    truncate_rows(r, 0);
    r->batch_bytes = 0;
}

static sm_status json_begin(sm_reader *reader, sm_file *file, const sm_morsel *m,
                            sm_block *const *blocks, const size_t *lens, sm_error *e)
{
    json_reader *r = (json_reader *)reader;
    SM_ASSERT(m->file == ((json_file *)file)->index);
    drop_rows(r);
    r->counts = (sm_scan_counts){0};
    r->n_batches = 0;
    r->is_file_start = m->own.off_bytes == 0;
    r->failed = SM_OK;
    r->failure = (sm_error){0}; /* once a morsel: it is large, and rows are many */
    if (r->unknown) {
        smi_json_unknown_reset(r->unknown);
    }
    if (r->shapes) {
        smi_json_shapes_count(r->shapes); /* of a morsel that was given up */
    }
    smi_json_keys_reset(r->schema);
    return smi_lines_begin(&r->lines, &((json_file *)file)->text, m, blocks, lens, e);
}

static sm_status json_feed(sm_reader *reader, sm_block *block, size_t len, sm_error *e)
{
    return smi_lines_feed(&((json_reader *)reader)->lines, block, len, e);
}

/* Such a column is to be declared as VARCHAR, which keeps every text as it is; declared as another
 * of these types it might lose a clock or a zone. */
static bool is_time(sm_type_id id)
{
    return id == SM_TYPE_DATE || id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

/* Advises what to declare for a value that does not fit its column's type. No type takes objects,
 * lists and scalars alike: where they are mixed, some lines have to be left out. */
static void advise_type(const json_reader *r, sm_str column, sm_error *e)
{
    const smi_json_node *n = r->parser.culprit;
    SM_ASSERT(n && r->parser.worst);
    const sm_json_kind kind = (sm_json_kind)r->parser.worst_token.kind;
    const bool is_nested = kind == SM_JSON_IS_ARRAY || kind == SM_JSON_IS_OBJECT;
    const char *options = r->sampled ? sm_sampled_options(r->sampled) : "";
    char name[48];
    const sm_str shown = n->is_in_list ? column : n->name;
    sm_json_excerpt((const uint8_t *)shown.data, shown.len, name, sizeof(name));
    if (is_nested || sm_type_is_nested(n->id)) {
        sm_error_todo(e,
                      "With columns => {…}, declare \"%s\" as %s to read such values; bad_lines => "
                      "'skip' leaves out lines with others.",
                      name,
                      kind == SM_JSON_IS_OBJECT  ? "STRUCT(…)"
                      : kind == SM_JSON_IS_ARRAY ? "a list (VARCHAR[])"
                                                 : "VARCHAR");
    } else if (options[0] != '\0') {
        sm_error_todo(e, "The sample had no such value: %s looks at more, or declare \"%s\"%s.",
                      options, name, is_time(n->id) ? " as VARCHAR" : "");
    }
}

static sm_status fail_line(const json_reader *r, const smi_line *line, const smi_json_refusal *why,
                           sm_error *e)
{
    const sm_status st = sm_fail(e, smi_json_reason_status(why->reason), "%s", why->message);
    sm_error_place_str(e, r->lines.file->uri, line->number, why->byte);
    if (why->column.data) {
        advise_type(r, why->column, e);
    }
    sm_error_todo(e, "Mend the line, or leave such lines out, counted: read_json('…', bad_lines => "
                     "'skip'). Pipelines keep them: 'quarantine'.");
    SM_ASSERT(st != SM_OK && why->byte > 0);
    return why->column.data ? sm_within(e, st, "column %.*s", SM_STR_ARG(why->column)) : st;
}

static sm_status fail_unknown(const json_reader *r, const smi_line *line,
                              const smi_json_node *object, sm_json_token key, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_str path = smi_json_unknown_path(r->unknown, object, key, a);
    char excerpt[128];
    const sm_str shown =
        sm_json_excerpt((const uint8_t *)path.data, path.len, excerpt, sizeof(excerpt));
    const sm_status st =
        sm_fail(e, SM_SCHEMA, "key \"%.*s\" is not among the columns", SM_STR_ARG(shown));
    sm_error_place(e, sm_arena_printf(a, "%.*s", SM_STR_ARG(r->lines.file->uri)), line->number,
                   key.at - line->data);
    sm_unknown_advise(r->sampled, e);
    sm_arena_free(a);
    return st;
}

/* Counts the unknown keys of a line that was kept, or fails for the first one. */
static sm_status check_unknown(json_reader *r, const smi_line *line, sm_error *e)
{
    const smi_json_node *object = NULL;
    sm_json_token key;
    if (!r->unknown) {
        return SM_OK;
    }
    if (!r->schema->fails_unknown) {
        r->counts.unknown_lines += smi_json_unknown_keep(r->unknown);
        return SM_OK;
    }
    return smi_json_unknown_first(r->unknown, &object, &key) ? fail_unknown(r, line, object, key, e)
                                                             : SM_OK;
}

/* Would the line be refused whatever the columns are? */
static bool is_no_object(smi_json_reason reason)
{
    return reason == SMI_JSON_SYNTAX || reason == SMI_JSON_NOT_OBJECT ||
           reason == SMI_JSON_INVALID_UTF8;
}

/* Removes the last row from the builders: its line fails the query. */
static void take_back_row(json_reader *r)
{
    SM_ASSERT(r->n_rows > 0 && r->counts.rows >= r->n_rows && r->failed != SM_OK);
    r->counts.rows--;
    truncate_rows(r, r->n_rows - 1);
}

static void add_origin(json_reader *r, int64_t line, uint64_t off_bytes)
{
    sm_builder_i64(r->origin[ORIGIN_LINE], line);
    sm_builder_i64(r->origin[ORIGIN_BYTE_OFFSET], (int64_t)off_bytes);
}

/* The same for whole lines that follow each other, from `at` on, none of them blank. Before they
 * are passed. */
static void add_origins(json_reader *r, const uint8_t *at, const uint8_t *end, int64_t n)
{
    const smi_lines *l = &r->lines;

    for (int64_t i = 0; i < n; i++) {
        add_origin(r, l->n_lines + 1 + i, l->base_off + (uint64_t)(at - l->data));
        const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
        SM_ASSERT(lf);
        at = lf + 1;
    }
    SM_ASSERT(at == end);
}

/* Reads one line by json_row.c. A line that fails the query is noted in r->failed, and json_pull
 * returns the failure after the rows before it: a LIMIT may need no more than those. */
static sm_status read_line(json_reader *r, const smi_line *line, sm_error *e)
{
    SM_ASSERT(r->failed == SM_OK && r->n_rows < SM_BATCH_ROWS);
    smi_json_refusal why;
    bool is_kept = false;
    const bool is_first = r->is_file_start;
    r->is_file_start = false;
    SM_TRY(smi_json_line(&r->parser, line, &is_kept, &why, e));
    r->batch_bytes += line->len;
    if (is_kept) {
        if (r->shapes) {
            smi_json_shapes_learn(r->shapes, line);
        }
        if (r->origin[0]) {
            add_origin(r, line->number, line->off_bytes);
        }
        if (r->schema->rescued) {
            SM_TRY(smi_json_rescue(&r->parser, line->data, line->len, e));
        }
        r->n_rows++;
        r->counts.rows++;
        r->failed = check_unknown(r, line, &r->failure);
        if (r->failed != SM_OK) {
            take_back_row(r);
        }
        return SM_OK;
    }
    if (is_first && !r->lines.file->is_lines && (line->is_too_long || is_no_object(why.reason))) {
        SM_TRY(smi_json_foreign(&r->lines, line, e));
    }
    if (!r->want.keep_refused) {
        r->failed = fail_line(r, line, &why, &r->failure);
        return SM_OK;
    }
    r->counts.no_objects += is_no_object(why.reason);
    char message[sizeof(why.message) + 32];
    snprintf(message, sizeof(message), "%s at byte %lld", why.message, (long long)why.byte);
    smi_refused_add(&r->refused, line, why.column, smi_json_reason_name(why.reason), message);
    r->counts.refused++;
    return SM_OK;
}

/* Reads the next lines by json_shape.c, up to the first one that it leaves to json_row.c. */
static void read_shapes(json_reader *r)
{
    smi_lines_ahead ahead;
    if (!r->shapes || !smi_lines_look_ahead(&r->lines, &ahead)) {
        return;
    }
    smi_json_shape_lines found = {
        .at = ahead.at,
        .stop = ahead.stop,
        .end = ahead.end,
        .block = r->lines.buffer,
        .max_rows = SM_BATCH_ROWS - r->n_rows,
        .max_bytes = BATCH_BYTES - r->batch_bytes,
    };
    smi_json_shapes_read(r->shapes, &found);
    if (r->origin[0]) {
        add_origins(r, ahead.at, found.at, found.n_rows);
    }
    smi_lines_pass(&r->lines, found.at, found.n_rows);
    SM_ASSERT(found.n_rows <= SM_BATCH_ROWS - r->n_rows && found.n_unknown_lines <= found.n_rows);
    r->is_file_start = r->is_file_start && found.n_rows == 0;
    r->n_rows += found.n_rows;
    r->batch_bytes += found.n_bytes;
    r->counts.rows += found.n_rows;
    r->counts.shape_lines += found.n_rows;
    r->counts.unknown_lines += found.n_unknown_lines;
}

static bool has_room(const json_reader *r)
{
    return r->failed == SM_OK && r->n_rows < SM_BATCH_ROWS && r->refused.n_rows < SM_BATCH_ROWS &&
           r->batch_bytes < BATCH_BYTES;
}

/* Turns columns of few different texts into dictionaries, also those inside structs. */
static sm_status find_dicts(sm_column *columns, int32_t n, sm_batch *into, sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        sm_column *c = &columns[i];
        SM_TRY(c->type->id == SM_TYPE_STRUCT
                   ? find_dicts((sm_column *)c->children, c->n_children, into, e)
                   : sm_column_find_dict(c, into, e));
    }
    return SM_OK;
}

static sm_status take_rows(json_reader *r, sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL;
    const int32_t n_builders = r->schema->n_builders;
    sm_status st = sm_batch_new(r->budget, r->row, &b, e);
    for (int32_t i = 0; i < n_builders && st == SM_OK; i++) {
        st = sm_builder_finish(r->schema->builders[i], b, &b->columns[i], e);
        SM_ASSERT(st != SM_OK || b->columns[i].n_rows == r->n_rows);
    }
    for (int i = 0; i < N_ORIGIN && r->origin[i] && st == SM_OK; i++) {
        st = sm_builder_finish(r->origin[i], b, &b->columns[n_builders + i], e);
        SM_ASSERT(st != SM_OK || b->columns[n_builders + i].n_rows == r->n_rows);
    }
    smi_json_parser_unbind(&r->parser);
    if (st == SM_OK) { /* nobody else has the batch yet, so its columns may still change */
        st = find_dicts(b->columns, n_builders, b, e);
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = r->n_rows;
    r->n_rows = 0;
    *out = b;
    return SM_OK;
}

/* Makes batches of what the builders hold: at least one row or one refused line. */
static sm_status give_batch(json_reader *r, sm_batch **rows, sm_batch **refused, sm_error *e)
{
    SM_ASSERT(r->n_rows > 0 || r->refused.n_rows > 0);
    SM_ASSERT(r->n_rows <= SM_BATCH_ROWS && r->refused.n_rows <= SM_BATCH_ROWS);
    sm_batch *kept = NULL, *bad = NULL;
    sm_status st = SM_OK;
    if (r->n_rows > 0) {
        SM_TRY_GOTO(st, done, take_rows(r, &kept, e));
    }
    if (r->refused.n_rows > 0) {
        SM_TRY_GOTO(st, done, smi_refused_take(&r->refused, &bad, e));
    }
    r->batch_bytes = 0;
    if (kept) {
        kept->seq = r->n_batches;
    }
    if (bad) {
        bad->seq = r->n_batches;
    }
    r->n_batches++;
    *rows = kept;
    *refused = bad;
done:
    if (st != SM_OK) {
        sm_batch_release(kept);
    }
    return st;
}

static sm_status json_pull(sm_reader *reader, sm_batch **rows, sm_batch **refused,
                           sm_byte_range *more, sm_error *e)
{
    json_reader *r = (json_reader *)reader;
    smi_line line;
    sm_status st = SM_OK;
    *rows = *refused = NULL;
    while (has_room(r)) {
        read_shapes(r);
        if (!has_room(r)) {
            break;
        }
        st = smi_lines_next(&r->lines, &line, more, e);
        if (st != SM_OK) {
            break;
        }
        SM_TRY(read_line(r, &line, e));
    }
    if (st != SM_OK && st != SM_END) {
        return st;
    }
    if (r->n_rows > 0 || r->refused.n_rows > 0) {
        return give_batch(r, rows, refused, e);
    }
    if (r->failed != SM_OK) {
        *e = r->failure;
        return r->failed;
    }
    if (r->shapes) {
        smi_json_shapes_count(r->shapes);
    }
    r->counts.lines = r->lines.n_lines;
    r->counts.blank = r->lines.n_blank;
    SM_ASSERT(r->counts.lines == r->counts.rows + r->counts.refused + r->counts.blank);
    SM_ASSERT(r->counts.unknown_lines <= r->counts.rows);
    SM_ASSERT(r->counts.no_objects <= r->counts.refused);
    return SM_END;
}

static void json_counts(const sm_reader *reader, sm_scan_counts *out,
                        const sm_unknown_key **unknown, int64_t *n_unknown)
{
    const json_reader *r = (const json_reader *)reader;
    *out = r->counts;
    *unknown = NULL;
    *n_unknown = 0;
    if (r->unknown) {
        *unknown = smi_json_unknown_counts(r->unknown, n_unknown);
    }
}

static const sm_known_key *json_keys(sm_reader *reader, int64_t *n)
{
    return smi_json_keys(((json_reader *)reader)->schema, n);
}

static sm_content json_content(const sm_reader *reader)
{
    return smi_lines_content(&((const json_reader *)reader)->lines);
}

const sm_format sm_format_json = {
    .name = "json",
    .suffixes = ".json .ndjson .jsonl .json.gz .ndjson.gz .jsonl.gz .json.zst .ndjson.zst "
                ".jsonl.zst",
    .summary = "Newline-delimited JSON, one object a line; written as one array.",
    .options = json_options,
    .opts_bytes = sizeof(json_opts),
    .morsel_bytes = MORSEL_BYTES,
    .is_text = true,
    .rescues = true,
    .probe = json_probe,
    .sample_new = smi_json_sample_new,
    .sample_file = smi_json_sample_file,
    .sample_end = smi_json_sample_end,
    .sample_free = smi_json_sample_free,
    .open = json_open,
    .close = json_close,
    .plan = json_plan,
    .reader_new = json_reader_new,
    .reader_free = json_reader_free,
    .begin = json_begin,
    .pull = json_pull,
    .feed = json_feed,
    .counts = json_counts,
    .keys = json_keys,
    .content = json_content,
    .writer = &smi_json_writer,
};
