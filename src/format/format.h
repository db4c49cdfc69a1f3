/* SPDX-License-Identifier: Apache-2.0
 *
 * format/format.h: the format room's door. How a file is laid out: json (NDJSON) and parquet are
 * read; parquet, json (one array), ndjson and csv are written. Each format is one table of
 * functions (sm_format), listed in formats.def; other rooms call through the table and know no
 * format by name.
 *
 * Reading    A *dataset* is what a scan reads: files of one format and the schema of their rows.
 *            Some columns are constant in a file (its name, its date, partition values). plan()
 *            cuts a file into morsels, each a list of byte ranges. The scan (room exec) fetches the
 *            ranges and passes their bytes to a reader; each worker has its own. A reader returns
 *            batches of rows and, for text formats, batches of refused lines. It only goes forward.
 * Writing    A writer takes batches in order, gives blocks of bytes, and at its end what it wrote:
 *            rows, bytes, statistics of each column.
 *
 * Never opens a file by name (the store reads ranges for it), never trusts a length that it read
 * from a file, starts no thread.
 * Morsels, batches and the bytes written depend on input and options only. */
#ifndef SM_FORMAT_FORMAT_H
#define SM_FORMAT_FORMAT_H

#include "base/hash.h"
#include "column/batch.h"
#include "column/bounds.h"
#include "store/store.h"

typedef struct sm_format sm_format;
struct sm_written;

/* ---- options --------------------------------------------------------------------------------- */

typedef enum sm_option_type { SM_OPT_BOOL, SM_OPT_I64, SM_OPT_SIZE, SM_OPT_TEXT } sm_option_type;
/* One option of a format: what `read_json(…, name => value)`, the help and the docs show. A table
 * of options ends with a row whose name is NULL. */
typedef struct sm_option {
    const char *name;
    sm_option_type type;
    const char *default_text;
    size_t offset; /* of a bool, int64_t, size_t or sm_str in the format's options struct */
    const char *summary;
} sm_option;
/** Sets all options to their defaults. `opts` is zeroed memory of sm_format.opts_bytes. */
sm_status sm_options_default(const sm_option *table, void *opts, sm_error *e) SM_MUST_USE;
/**
 * Sets one option.
 *
 * Owner     a text value is copied into `a`, which must outlive `opts`
 * Errors    SM_NAME where no option has the name, with the nearest one as advice; SM_TYPE where the
 *           value does not fit the option
 */
sm_status sm_options_set(const sm_option *table, void *opts, sm_str name, sm_value v, sm_arena *a,
                         sm_error *e) SM_MUST_USE;

/* ---- datasets -------------------------------------------------------------------------------- */

/* Tells which rows of a file are none of its dataset: whoever makes the dataset embeds it in a
 * struct of its own (delta_vector.c). */
typedef struct sm_deletes sm_deletes;
struct sm_deletes {
    /* Reads them for a file of n_rows rows, when that is opened; blocks. *out is the caller's: a
     * bitmap of n_rows bits, in which the bit of each row that is deleted is set. Any thread.
     * SM_CORRUPT where they do not fit such a file; SM_BUDGET; what the store fails with. */
    sm_status (*read)(const sm_deletes *d, int64_t n_rows, sm_budget *budget, sm_block **out,
                      sm_error *e);
};

/* A file of a dataset. */
typedef struct sm_datafile {
    sm_str uri; /* as messages, quarantine tables and the column `filename` show it */
    sm_store *store;
    sm_str key;
    uint64_t size_bytes;
    bool is_size_said; /* by the log of its table: a file of another size is not the one */
    int64_t modified_us, changed_us; /* as in sm_entry */
    uint64_t inode;
    sm_str etag;
    const sm_value *constants; /* one for each constant column of the dataset */
    int64_t n_rows;            /* without those that are deleted; −1: not known before reading */
    int64_t rows_before;       /* of the files before it; where the dataset has `one_of` */
    const sm_range *ranges;    /* bounds, one for each stored column; NULL: none are known */
    const sm_deletes *deletes; /* parquet: the rows that are left out; NULL: none */
    const bool *parts;         /* parquet: of each row group, is it read? NULL: all are */
    bool is_lines; /* text: one value a line, even if most lines are broken; else a file of another
                    * layout is told by such lines, and refused */
    sm_str within; /* errors in it are told with this: "version 5 of Delta table t"; "": nothing */
    sm_content *content_out; /* not NULL: the scan hashes the content and writes it here */
} sm_datafile;

/* Finds the files of a dataset when a scan begins, which then knows its bounds: whoever makes the
 * dataset embeds it in a struct of its own (delta_dataset.c). */
typedef struct sm_lister sm_lister;
struct sm_lister {
    /* Lists the files that may have rows within the bounds, which are on the dataset's schema;
     * blocks. *out lives in `a`. Any thread. SM_INTERRUPTED; what the store fails with. */
    sm_status (*list)(const sm_lister *l, const sm_bounds *bounds, sm_arena *a, sm_datafile **out,
                      int64_t *n, sm_error *e);
    const void *of; /* listers of the same thing list the same files */
};

/* The files that a scan reads. */
typedef struct sm_dataset {
    const sm_format *format;
    const void *options;   /* of sm_format.opts_bytes */
    const sm_type *schema; /* stored columns, then the constant ones */
    int32_t n_constants;
    bool numbers_rows; /* parquet: the last constant column (BIGINT) is the file's constant plus the
                        * number of the row in the file, from 0; deleted rows are counted */
    /* text: the last constant columns are a file's URI and two that are computed: the number of the
     * line, and the offset of its first byte in the decompressed file */
    bool has_origin;
    bool rescues; /* json: the last stored column, a VARCHAR, is no key. It has the unknown keys of
                   * each row, as the text of a JSON object; NULL where the row has none */
    /* parquet: about one row of so many is read, some thousand neighbours at a time, from places
     * that are evenly spread over all files. 0, 1: all rows are */
    int64_t one_of;
    sm_datafile *files;
    int64_t n_files;
    const sm_lister *lister; /* not NULL: there are no files yet, each scan lists them for itself */
    size_t morsel_bytes; /* 0: the format's default. With content_out, whole SM_FILE_HASH_CHUNKs */
    const struct sm_sampled *sampled; /* the columns were found in this sample; NULL: declared */
} sm_dataset;

/** How many of the columns are keys of the files' rows: the stored ones without the rescued one. */
static inline int32_t sm_dataset_keys(const sm_dataset *d)
{
    return d->schema->n_fields - d->n_constants - d->rescues;
}

/* What was looked at to find the columns of files that declare none. */
typedef struct sm_sampled {
    int64_t n_rows;  /* −1: rows were not counted, as a file names its columns itself (parquet) */
    bool skips_rows; /* some of these files have rows that were not looked at */
    int64_t n_files; /* looked at */
    bool skips_files; /* there are files that were not looked at */
} sm_sampled;

/* The type VARCHAR of a column of which a sample had only nulls or empty lists. It is told from
 * VARCHAR by its address: code that knows the column's type from elsewhere may use that type. */
extern const sm_type sm_type_unseen;

/** Adds to an error about an unknown key how to take the key in and how to ignore it. `s` may be
 * NULL: the columns were declared. */
void sm_unknown_advise(const sm_sampled *s, sm_error *e);
/** The options by which a sample would cover more: "sample_size => -1, maximum_sample_files => -1",
 * one of the two, or "" where it covered everything. */
const char *sm_sampled_options(const sm_sampled *s);

/* ---- planning a scan ------------------------------------------------------------------------- */

/* An *unknown key* is a key of a JSON object that no column takes. What to do with those that are
 * found; sm_projection says in which objects they are looked for. */
typedef enum sm_unknown {
    SM_UNKNOWN_PASS,  /* nothing */
    SM_UNKNOWN_COUNT, /* count them by path */
    SM_UNKNOWN_FAIL,  /* the first one is an error, unless its value holds nothing ({}, []) */
} sm_unknown;

/* The way to a stored column or a field inside it: the index of the column, then of a field of it,
 * then of a field of that field, … */
typedef struct sm_path {
    const int32_t *items;
    int32_t n;
} sm_path;

/* What a scan reads of a dataset. */
typedef struct sm_projection {
    const int32_t *columns; /* the stored columns that are read, ascending; there may be none */
    int32_t n_columns;
    /* Their types, for structs of which only some fields are read: a struct of those fields, in
     * their order, at any depth of structs. NULL: all as in the schema. */
    const sm_type *const *types;
    sm_bounds bounds;  /* on the dataset's schema */
    bool validate_all; /* text: check a line against all columns, also those that are not read */
    bool keep_refused; /* text: refused lines come as a batch; else the first one is an error */
    sm_unknown unknown;
    bool count_unknown;   /* look for unknown keys in all objects; else … */
    bool takes_row;       /* … in the row's own object, if the query takes whole rows, … */
    const sm_path *taken; /* … and in the objects at and below these paths, which it takes whole */
    int32_t n_taken;
} sm_projection;

/** The i-th column that is read, with the type that it is read as. */
static inline sm_field sm_projected(const sm_dataset *d, const sm_projection *want, int32_t i)
{
    SM_ASSERT(i >= 0 && i < want->n_columns);
    SM_ASSERT(want->columns[i] < d->schema->n_fields - d->n_constants);
    SM_ASSERT(i == 0 || want->columns[i - 1] < want->columns[i]);
    sm_field field = d->schema->fields[want->columns[i]];
    field.type = want->types ? want->types[i] : field.type;
    return field;
}

/* The bytes [off_bytes, off_bytes + len) of a file. */
typedef struct sm_byte_range {
    uint64_t off_bytes;
    size_t len;
} sm_byte_range;

/* A piece of a file that one worker decodes. */
typedef struct sm_morsel {
    int64_t file;    /* index in the dataset */
    int64_t in_file; /* its number among the file's morsels, from 0 */
    bool is_last;    /* of that file */
    sm_byte_range *ranges;
    int32_t n_ranges;
    /* Text: the part of the file that is this morsel's own. The ranges may go further, to the end
     * of its last line. A file's own parts do not overlap: its hash and the progress count these.
     * Parquet: not used. */
    sm_byte_range own;
    int32_t part;      /* parquet: the row group */
    const void *pages; /* parquet: the pages of it that are read; NULL: all */
} sm_morsel;

/* ---- what reading gives ---------------------------------------------------------------------- */

/* Counts of a morsel; the scan adds them up. */
typedef struct sm_scan_counts {
    int64_t rows;  /* returned, before any filter; deleted ones are not */
    int64_t lines; /* text: all that were read; lines = rows + refused + blank */
    int64_t refused, blank;
    int64_t shape_lines;   /* json: of the rows, those read by json_shape.c */
    int64_t unknown_lines; /* kept lines with at least one unknown key */
    int64_t no_objects;    /* refused lines that are not of the format, whatever the columns are */
} sm_scan_counts;

/* Kinds of JSON values, as bits of a set. */
enum {
    SM_KEY_NULL = 1,
    SM_KEY_BOOLEAN = 2,
    SM_KEY_SHORT = 4, /* an integer of up to 15 digits, which DOUBLE holds too */
    SM_KEY_LONG = 8,  /* one that BIGINT holds */
    SM_KEY_HUGE = 16, /* one beyond that */
    SM_KEY_FRACTION = 32,
    SM_KEY_TEXT = 64,
    SM_KEY_LIST = 128,
    SM_KEY_OBJECT = 256,
};

/* An unknown key of a morsel: its path ("_extra", "_source.x"), how many kept lines have it, and
 * the kinds of its values there (0: not known). */
typedef struct sm_unknown_key {
    sm_str path;
    int64_t lines;
    uint32_t kinds;
} sm_unknown_key;

/* A key of a morsel that a column takes, outside of lists and MAPs. */
typedef struct sm_known_key {
    sm_str path;
    sm_str type;     /* of the column, or field: "BIGINT" */
    int64_t lines;   /* kept lines that have it, with any value */
    int64_t misfits; /* lines that were refused because its value does not fit the type, … */
    uint32_t misfit_kinds; /* … and the kinds of these values */
} sm_known_key;

/** The type that takes values of these kinds: "BIGINT"; "VARCHAR" for scalars that are mixed.
 * "STRUCT" and "LIST" stand for any of them, "NULL" where there are only nulls. NULL: no type takes
 * all of them. */
const char *sm_key_type(uint32_t kinds);

/* The columns of a batch of refused lines, the same for every format. SM_REFUSED_LINE counts from 1
 * at the morsel's first line: the scan adds the lines of the file's earlier morsels. */
enum {
    SM_REFUSED_LINE,        /* BIGINT */
    SM_REFUSED_BYTE_OFFSET, /* BIGINT, 0-based, of the line's first byte in the decompressed file */
    SM_REFUSED_COLUMN,      /* VARCHAR, the column's path ("device.name"), or NULL */
    SM_REFUSED_REASON,      /* VARCHAR: "syntax", "type_mismatch", … */
    SM_REFUSED_MESSAGE,     /* VARCHAR, with the place in the line */
    SM_REFUSED_RAW,         /* BLOB */
    SM_REFUSED_RAW_BYTES,   /* BIGINT: the line's full length */
    SM_REFUSED_COLUMNS,
};
extern const sm_type sm_refused_schema;
/** The i-th of the reasons that there are, from 0 on; NULL behind the last. */
const char *sm_refused_reason(int32_t i);

/* Reads morsels into batches; a worker's own. Each format has its own struct for it. */
typedef struct sm_reader sm_reader;

/* A file that was opened for planning and reading: its footer is parsed, its schema known. Workers
 * share it; it does not change. Each format has its own struct for it. */
typedef struct sm_file sm_file;

/* What was seen in files whose columns are to be found; one thread at a time. Each format has its
 * own struct for it. */
typedef struct sm_sample sm_sample;

/* One row of the registry. A format that is only written has no functions from probe to content;
 * one that is only read has no writer. */
struct sm_format {
    const char *name;
    const char *suffixes; /* names that are read as this format: ".json .ndjson .jsonl"; of text
                           * formats also with .gz and .zst; "": it is only written */
    const char *summary;
    const sm_option *options;
    size_t opts_bytes;
    size_t morsel_bytes; /* default */
    bool is_text;        /* has lines, which are counted and may be refused */
    bool rescues;        /* its datasets may rescue unknown keys */
    size_t tail_bytes;   /* `open` reads so many bytes of a file's end; 0: none */

    /* Do these first bytes look like a file of the format? */
    bool (*probe)(const uint8_t *head, size_t n);

    /* Finds the columns of files that declare none: sample_new, sample_file for each file,
     * sample_end, sample_free. These calls block. */
    sm_sample *(*sample_new)(const void *opts);
    /* Looks at a file's first max_rows rows (−1: all), or at its footer (parquet). SM_SYNTAX,
     * SM_CORRUPT, SM_TYPE, SM_SCHEMA, SM_UNSUPPORTED: this file cannot be read at all, but the
     * sample can go on with others. SM_LIMIT: there are too many columns. */
    sm_status (*sample_file)(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                             sm_error *e);
    /* The schema of everything that was seen, copied into `a`. At least one file gave SM_OK.
     * `known`: the columns of earlier files, which decide whether an object is a STRUCT or a MAP;
     * NULL: there are none. */
    const sm_type *(*sample_end)(sm_sample *s, const sm_type *known, sm_arena *a);
    void (*sample_free)(sm_sample *s); /* takes NULL */

    /* Reads what the footer says of the whole file: rows, and the range of each column of `schema`,
     * which are found by name. Blocks; what *out points to lives in `a`. NULL: there is no footer.
     * SM_CORRUPT, SM_LIMIT, SM_UNSUPPORTED; SM_SCHEMA where a column has a type that does not fit.
     */
    sm_status (*look)(sm_blob *blob, const sm_type *schema, sm_arena *a, struct sm_written *out,
                      sm_error *e);

    /* Opens a file for a scan of `d`, which it borrows until close. Reads what planning needs (a
     * footer); blocks. Columns are found by name; one that the file lacks is NULL in all rows. */
    sm_status (*open)(const sm_dataset *d, int64_t file, sm_blob *blob, const sm_projection *want,
                      sm_budget *budget, sm_file **out, sm_error *e);
    void (*close)(sm_file *f); /* takes NULL */

    /* Cuts the file into morsels, which live in `a`. Leaves out those that the bounds exclude;
     * *skipped counts them. */
    sm_status (*plan)(sm_file *f, sm_arena *a, sm_morsel **out, int64_t *n, int64_t *skipped,
                      sm_error *e);

    /* Makes a worker's reader. It can read any morsel of any file of the scan, one after another.
     * It borrows `d`; `want` is borrowed too. */
    sm_status (*reader_new)(const sm_dataset *d, const sm_projection *want, sm_budget *budget,
                            sm_reader **out, sm_error *e);
    void (*reader_free)(sm_reader *r); /* takes NULL */

    /* Begins a morsel. blocks[i] holds the bytes of its i-th range; the reader retains what it
     * needs. A morsel that was not read to its end is dropped. */
    sm_status (*begin)(sm_reader *r, sm_file *f, const sm_morsel *m, sm_block *const *blocks,
                       const size_t *lens, sm_error *e);
    /* Reads the next batch, of at most SM_BATCH_ROWS rows. Its columns are the projected ones, and
     * behind them the last constant one where the dataset numbers_rows, or where it has_origin the
     * last two: the line, from 1 in the morsel, and the offset. Its `schema` is good until
     * reader_free.
     * SM_OK    *rows, *refused or both; NULL where there are none. The caller owns them.
     * SM_MORE  the morsel needs bytes that it was not given: *more says which. Call feed with them,
     *          then pull again.
     * SM_END   the morsel has ended, and counts tells about it. */
    sm_status (*pull)(sm_reader *r, sm_batch **rows, sm_batch **refused, sm_byte_range *more,
                      sm_error *e);
    sm_status (*feed)(sm_reader *r, sm_block *block, size_t len, sm_error *e);
    /* After SM_END: the counts of the morsel and its unknown keys, borrowed until the next begin.
     */
    void (*counts)(const sm_reader *r, sm_scan_counts *out, const sm_unknown_key **unknown,
                   int64_t *n_unknown);
    /* After SM_END: the known keys of the morsel, likewise borrowed; for every morsel of a dataset
     * the same ones. There are none unless unknown keys are counted in all objects. NULL: none. */
    const sm_known_key *(*keys)(sm_reader *r, int64_t *n);
    /* After SM_END, text: the content of a compressed file, whose one morsel this was. Only where
     * its sm_datafile has content_out. */
    sm_content (*content)(const sm_reader *r);

    const struct sm_writer_ops *writer; /* NULL: cannot write */
};

/** The format of that name ("parquet"), also one that is only written; NULL if there is none. */
const sm_format *sm_format_named(sm_str name);
/** The format that a file is read as, by its suffix ("a.json.gz" is json), or NULL. */
const sm_format *sm_format_of_name(sm_str file_name);
/** The format that a file is written as: the one whose name is the suffix ("a.json" is json, which
 * is written as one array; "a.ndjson" is ndjson). NULL: another suffix, or none. */
const sm_format *sm_format_to_write(sm_str file_name);
/** Can its files be read? */
static inline bool sm_format_is_read(const sm_format *f)
{
    return f->plan != NULL;
}
/**
 * Finds the columns of one file by looking at all of it.
 *
 * Owner     *out lives in `a`
 * Errors    those of sample_file
 * Threads   any thread; blocks
 */
sm_status sm_format_infer(const sm_format *f, sm_blob *blob, const void *opts, sm_arena *a,
                          const sm_type **out, sm_error *e) SM_MUST_USE;
/** The name without the suffix of its compression (.gz, .zst). Borrows the name's bytes. */
sm_str sm_name_plain(sm_str name);
/** All formats; the last item is NULL. */
extern const sm_format *const sm_formats[];

/* ---- contents -------------------------------------------------------------------------------- */

/* The file that the functions below read. They block, and return SM_INTERRUPTED soon after `cancel`
 * was set. A file whose name ends in .gz or .zst is decompressed. */
typedef struct sm_content_source {
    sm_blob *blob;
    sm_budget *budget;
    const sm_cancel *cancel; /* may be NULL */
} sm_content_source;

/**
 * Hashes the whole content.
 *
 * Returns   SM_OK; *is_whole is false where the file is compressed and ends too early, or is empty
 *           although it should be compressed: most likely it is still being written
 * Errors    SM_CORRUPT where it cannot be decompressed; SM_BUDGET, SM_INTERRUPTED, the store's
 * Cost      reads the file once; 1 MiB of memory, 2 MiB and the codec's where it is compressed
 */
sm_status sm_content_read(const sm_content_source *from, sm_content *out, bool *is_whole,
                          sm_error *e) SM_MUST_USE;
/** Reads the first SM_CONTENT_HEAD_BYTES of the content into `out`; *n of them where the content is
 * shorter. */
sm_status sm_content_head(const sm_content_source *from, uint8_t *out, size_t *n,
                          sm_error *e) SM_MUST_USE;
/** Hashes the first lens[i] bytes of the content into out[i], for n lengths in ascending order, in
 * one pass. out[i] is {0} where the content is shorter. */
sm_status sm_content_prefixes(const sm_content_source *from, const int64_t *lens, int64_t n,
                              sm_hash128 *out, sm_error *e) SM_MUST_USE;

/* ---- writing --------------------------------------------------------------------------------- */

/* What a finished file holds; ranges and the rest live in the writer until its close. Formats
 * without statistics (text) give ranges of which nothing is known but the number of rows. */
typedef struct sm_written {
    int64_t n_rows;
    uint64_t size_bytes;
    const sm_range *ranges; /* one a top-level column; nested ones: has_min = has_max = false */
    int32_t n_ranges;
} sm_written;

typedef struct sm_writer sm_writer;

/* Metadata of a field by which the Parquet writer gives its column a field id. */
#define SM_PARQUET_FIELD_ID "parquet.field_id"

/* Receives the bytes in order; SM_WAIT: not taken, write() or finish() returns SM_WAIT and is
 * called again with the same arguments after the waker. Usually sm_upload_write. */
typedef struct sm_bytes_out {
    sm_status (*write)(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e);
    void *ctx;
} sm_bytes_out;

/* The row groups of a file that can stand in another one, or some of their columns: sm_writer_ops,
 * row_groups. */
typedef struct sm_row_groups {
    int64_t n;
    const int64_t *n_rows; /* of each; in the file's order they are all of its rows */
    int64_t mixed_rows;    /* a row group of more rows stays whole, or not at all */
    void *of_format;
} sm_row_groups;

/* A row group of which columns stay as they are in a file. */
typedef struct sm_kept_group {
    const sm_row_groups *from;
    int64_t group;
    const bool *is_kept; /* one for each column of the writer's schema; NULL: all are */
    sm_blob *blob;       /* the file */
    sm_fetch *fetch;     /* reads it; has no other reads meanwhile */
} sm_kept_group;

struct sm_writer_ops {
    /* `opts` are those of the format (sm_options_default). `pool` for encoding columns side by side
     * (may be NULL). Reserves what it is sure to need (a row group's memory, the buffer of a text)
     * up front or fails with SM_BUDGET naming the least limit that would do. */
    sm_status (*open)(const sm_type *schema, const void *opts, sm_bytes_out to, sm_pool *pool,
                      sm_budget *budget, sm_writer **out, sm_error *e);
    sm_status (*write)(sm_writer *w, sm_batch *rows, sm_waker waker, sm_error *e);
    uint64_t (*bytes)(const sm_writer *w); /* given out and estimated for what is buffered */
    sm_status (*finish)(sm_writer *w, sm_waker waker, sm_written *out, sm_error *e);
    void (*close)(sm_writer *w); /* takes NULL */
    /* Can a file of the same format be taken as it is, without decoding its rows, into one that is
     * opened with these arguments, and is that as good as writing its rows? Blocks. NULL, as is
     * `copy`: never. */
    sm_status (*can_copy)(const sm_type *schema, const void *opts, sm_blob *from, sm_budget *budget,
                          bool *out, sm_error *e);
    /* Takes all of a file for which can_copy said so behind what was written. SM_WAIT as of write;
     * reads of `from` block, so it is for callers that are no workers. SM_CORRUPT where the file
     * has changed since. */
    sm_status (*copy)(sm_writer *w, sm_blob *from, sm_waker waker, sm_error *e);
    /* The rows of the next write begin a new row group. NULL: files of the format have none. */
    void (*cut)(sm_writer *w);
    /* Looks for the row groups of a file that has the columns of `schema`, for a writer that is
     * opened with these arguments and gives a file of the same rows. *out, in `a`, is NULL where
     * writing all rows is better. Blocks. NULL, as are the next two: never. */
    sm_status (*row_groups)(const sm_type *schema, const void *opts, sm_blob *from, sm_arena *a,
                            sm_row_groups **out, sm_error *e);
    /* Begins a row group of which columns stay; what `g` points to is borrowed until its end. write
     * then takes the rows of the others, whose kept columns may be anything; there are none to
     * write where all stay. */
    sm_status (*begin_kept)(sm_writer *w, const sm_kept_group *g, sm_error *e);
    /* Ends it. SM_WAIT as of write. SM_CORRUPT: other rows were written than it has. */
    sm_status (*end_kept)(sm_writer *w, sm_waker waker, sm_error *e);
};

#endif
