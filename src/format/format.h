/* SPDX-License-Identifier: Apache-2.0
 *
 * format/format.h: the format room's door. How a file is laid out: json (NDJSON) and parquet are
 * read; parquet, json (one array), ndjson and csv are written. A registry (formats.def) of
 * sm_format tables; nobody else knows a format by name.
 *
 * Reading    A *dataset* is what a scan reads: files of one format and the schema of their rows,
 *            with columns that are constant in a file (its name, its date, partition values).
 *            plan() cuts a file into morsels, each a list of byte ranges; the scan (exec) fetches
 *            them, and hands them to a reader, one a worker, which gives batches of rows and, for
 *            text formats, batches of refused lines. Forward only.
 * Writing    A writer takes batches in order, gives blocks of bytes, and at its end what it wrote:
 *            rows, bytes, statistics of each column.
 *
 * Never opens a name (the store hands it ranges), never believes a length it read, keeps no thread.
 * Morsels, batches and the bytes written depend on input and options only. */
#ifndef SM_FORMAT_FORMAT_H
#define SM_FORMAT_FORMAT_H

#include "base/hash.h"
#include "column/batch.h"
#include "column/bounds.h"
#include "store/store.h"

typedef struct sm_format sm_format;

/* ---- options --------------------------------------------------------------------------------- */

typedef enum sm_option_type { SM_OPT_BOOL, SM_OPT_I64, SM_OPT_SIZE, SM_OPT_TEXT } sm_option_type;
/* One option of a format, by which `read_json(…, name => value)`, help and docs know it. */
typedef struct sm_option {
    const char *name;
    sm_option_type type;
    const char *default_text;
    size_t offset; /* of a bool, int64_t, size_t or sm_str in the options struct */
    const char *summary;
} sm_option;
/** Sets `opts` (of sm_format.opts_bytes, zeroed) to the defaults. */
sm_status sm_options_default(const sm_option *table, void *opts, sm_error *e) SM_MUST_USE;
/** Sets one option; SM_NAME with the nearest name, SM_TYPE where the value does not fit. */
sm_status sm_options_set(const sm_option *table, void *opts, sm_str name, sm_value v, sm_arena *a,
                         sm_error *e) SM_MUST_USE;

/* ---- datasets -------------------------------------------------------------------------------- */

typedef struct sm_datafile {
    sm_str uri; /* as opened; what messages, quarantine and `filename` show */
    sm_store *store;
    sm_str key;
    uint64_t size_bytes;
    int64_t modified_us, changed_us; /* as sm_entry has them */
    uint64_t inode;
    sm_str etag;
    const sm_value *constants; /* one for each of the dataset's constant columns */
    int64_t n_rows;            /* −1 where not known before reading */
    const sm_range *ranges;    /* statistics, one a stored column of the schema; NULL: none known */
    sm_content *content_out;   /* where set, the scan writes here what its content is known by */
} sm_datafile;

/* Columns of the schema: first those stored in the files, then n_constants constant ones. */
typedef struct sm_dataset {
    const sm_format *format;
    const void *options;   /* of sm_format.opts_bytes */
    const sm_type *schema; /* stored columns, then the constant ones */
    int32_t n_constants;
    sm_datafile *files;
    int64_t n_files;
    size_t morsel_bytes; /* 0: the format's own; a multiple of SM_FILE_HASH_CHUNK; tests vary it */
    const struct sm_sampled *sampled; /* how the columns were found; NULL: they were declared */
} sm_dataset;

/* What of files without declared columns was looked at to find their columns. */
typedef struct sm_sampled {
    int64_t n_rows;   /* −1: of no number, each file says its columns as a whole */
    bool skips_rows;  /* some of the files that were looked at have more rows */
    int64_t n_files;  /* looked at */
    bool skips_files; /* there are more of them */
} sm_sampled;

/* VARCHAR for what a sample had only null of, or only empty lists. Its address alone tells it from
 * VARCHAR: whoever knows the column's type otherwise may take that. */
extern const sm_type sm_type_unseen;

/** Advises what takes a key that no column takes, and what leaves it out. `s` may be NULL. */
void sm_unknown_advise(const sm_sampled *s, sm_error *e);
/** What would look at more: "sample_size => -1, maximum_sample_files => -1", one of the two, or ""
 * where all was seen. */
const char *sm_sampled_options(const sm_sampled *s);

/* ---- planning a scan ------------------------------------------------------------------------- */

/* What is done with keys that no column takes, of those objects of which they are looked for. */
typedef enum sm_unknown {
    SM_UNKNOWN_PASS,  /* nothing */
    SM_UNKNOWN_COUNT, /* counted by their path */
    SM_UNKNOWN_FAIL,  /* the first is an error, but where its value holds nothing ({}) */
} sm_unknown;

/* A stored column, or a field within: the column, a field of it, a field of that, … */
typedef struct sm_path {
    const int32_t *items;
    int32_t n;
} sm_path;

/* What a scan wants of a dataset. */
typedef struct sm_projection {
    const int32_t *columns; /* stored columns that are read, ascending; each may be 0 of them */
    int32_t n_columns;
    /* Their types, for structs of which only some fields are read: a struct with those fields, in
     * their order, at any depth of structs. NULL: all as the schema has them. */
    const sm_type *const *types;
    sm_bounds bounds;  /* on the dataset's schema */
    bool validate_all; /* text: check each line by the whole schema, whatever is read of it */
    bool keep_refused; /* text: refused lines come as a batch; else the first is an error */
    sm_unknown unknown;
    bool count_unknown;   /* unknown keys are looked for in all objects, else … */
    bool takes_row;       /* … in the row, where the query takes it whole, … */
    const sm_path *taken; /* … and in the objects at and below these, which it takes whole */
    int32_t n_taken;
} sm_projection;

/** The i-th column that is read, in the type that it is read in. */
static inline sm_field sm_projected(const sm_dataset *d, const sm_projection *want, int32_t i)
{
    sm_field field = d->schema->fields[want->columns[i]];
    field.type = want->types ? want->types[i] : field.type;
    return field;
}

typedef struct sm_byte_range {
    uint64_t off_bytes;
    size_t len;
} sm_byte_range;

/* A piece of a file that one worker decodes. */
typedef struct sm_morsel {
    int64_t file;    /* index in the dataset */
    int64_t in_file; /* its number in that file, from 0 */
    bool is_last;    /* of that file */
    sm_byte_range *ranges;
    int32_t n_ranges;
    /* The part of ranges[0] that is this morsel's own (text: it may read beyond to end its last
     * line); counted once for the file's hash and for progress. Parquet: ignored. */
    sm_byte_range own;
    int32_t part;      /* parquet: the row group */
    const void *pages; /* parquet: which of its pages are read; NULL: all */
} sm_morsel;

/* ---- what reading gives ---------------------------------------------------------------------- */

/* Counts of a morsel; summed over a scan. */
typedef struct sm_scan_counts {
    int64_t rows;  /* given, before filters */
    int64_t lines; /* text: read = kept + refused + blank */
    int64_t refused, blank;
    int64_t shape_lines;   /* json: kept lines that were read by the shape of earlier ones */
    int64_t unknown_lines; /* kept lines with at least one unknown key */
    int64_t no_objects;    /* refused lines that are none of the format, whatever the columns are */
} sm_scan_counts;

/* Unknown keys of a morsel: path ("_extra", "_source.x") and kept lines that have it. */
typedef struct sm_unknown_key {
    sm_str path;
    int64_t lines;
} sm_unknown_key;

/* The schema of refused lines, whatever the format, as the reader gives it. `line` counts from 1 at
 * the morsel's first line: the scan adds the lines of earlier morsels of the file. */
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

typedef struct sm_reader sm_reader;

/* One file open for planning and reading: footer parsed, schema known. Shared by workers,
 * immutable; formats extend it. */
typedef struct sm_file sm_file;

/* What was seen of files to find their columns; one at a time. Formats extend it. */
typedef struct sm_sample sm_sample;

/* One row of the registry. A format that is only written has no functions from probe to content;
 * one that is only read has no writer. */
struct sm_format {
    const char *name;
    const char *suffixes; /* names that are read as it: ".json .ndjson .jsonl", and each followed by
                           * .gz and .zst where it is text; "": it is only written */
    const char *summary;
    const sm_option *options;
    size_t opts_bytes;
    size_t morsel_bytes; /* default */
    bool is_text;        /* has lines, which are counted and may be refused */

    /* Is this such a file, by its first bytes? */
    bool (*probe)(const uint8_t *head, size_t n);

    /* The columns of files that declare none: a sample is begun, given files one after the other,
     * and ends as one schema. Blocks. */
    sm_sample *(*sample_new)(const void *opts);
    /* Looks at a file's first max_rows rows (−1: all); parquet at its footer. SM_SYNTAX,
     * SM_CORRUPT, SM_TYPE, SM_SCHEMA, SM_UNSUPPORTED say why a file cannot be read as a whole; the
     * sample can go on with others. SM_LIMIT: more columns than there may be. */
    sm_status (*sample_file)(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                             sm_error *e);
    /* The schema of all that was seen, in `a`. */
    const sm_type *(*sample_end)(sm_sample *s, sm_arena *a);
    void (*sample_free)(sm_sample *s); /* takes NULL */

    /* Opens a file for a scan of `d` (borrowed, outlives it). Reads what planning needs (footer),
     * blocking. `d->schema` says what columns are wanted; by name, missing ones are NULL. */
    sm_status (*open)(const sm_dataset *d, int64_t file, sm_blob *blob, const sm_projection *want,
                      sm_budget *budget, sm_file **out, sm_error *e);
    void (*close)(sm_file *f); /* takes NULL */

    /* Cuts it into morsels, those left out that bounds exclude (*skipped counts them). */
    sm_status (*plan)(sm_file *f, sm_arena *a, sm_morsel **out, int64_t *n, int64_t *skipped,
                      sm_error *e);

    /* A worker's reader; reused for any morsel of any file of the scan. */
    sm_status (*reader_new)(const sm_dataset *d, const sm_projection *want, sm_budget *budget,
                            sm_reader **out, sm_error *e);
    void (*reader_free)(sm_reader *r); /* takes NULL */

    /* Begins a morsel with its ranges' bytes, in their order (retained while needed). */
    sm_status (*begin)(sm_reader *r, sm_file *f, const sm_morsel *m, sm_block *const *blocks,
                       const size_t *lens, sm_error *e);
    /* One more batch of at most SM_BATCH_ROWS rows: the projected columns, `schema` a struct of
     * them. SM_OK with *rows and/or *refused (NULL where none; the caller's); SM_MORE where the
     * morsel goes on in bytes not given yet (then *more is the range; give it with feed); SM_END
     * at its end, with the counts of the whole morsel. */
    sm_status (*pull)(sm_reader *r, sm_batch **rows, sm_batch **refused, sm_byte_range *more,
                      sm_error *e);
    sm_status (*feed)(sm_reader *r, sm_block *block, size_t len, sm_error *e);
    /* After SM_END: counts of that morsel; unknown keys, borrowed until the next begin. */
    void (*counts)(const sm_reader *r, sm_scan_counts *out, const sm_unknown_key **unknown,
                   int64_t *n_unknown);
    /* After SM_END, text: the content of that morsel, which is a whole compressed file, where its
     * datafile has content_out. */
    sm_content (*content)(const sm_reader *r);

    const struct sm_writer_ops *writer; /* NULL: cannot write */
};

/** By name ("parquet"), of those that are only written too; NULL where there is none. */
const sm_format *sm_format_named(sm_str name);
/** What a file of this name is read as, by its suffix (".json.gz" is json), or NULL. */
const sm_format *sm_format_of_name(sm_str file_name);
/** What a file of this name is written as: its suffix is the format's name ("a.json" is json, which
 * is written as one array; "a.ndjson" is ndjson). NULL: it has another suffix, or none. */
const sm_format *sm_format_to_write(sm_str file_name);
/** Can its files be read? */
static inline bool sm_format_is_read(const sm_format *f)
{
    return f->plan != NULL;
}
/** The schema of one file, by all that it has: a sample of it alone. */
sm_status sm_format_infer(const sm_format *f, sm_blob *blob, const void *opts, sm_arena *a,
                          const sm_type **out, sm_error *e) SM_MUST_USE;
/** The name without the suffix of its compression (.gz, .zst), or as it is. */
sm_str sm_name_plain(sm_str name);
/** The formats, NULL-ended. */
extern const sm_format *const sm_formats[];

/* ---- contents -------------------------------------------------------------------------------- */

/* How the functions below read a file. They block; SM_INTERRUPTED soon after `cancel` was set. */
typedef struct sm_content_source {
    sm_blob *blob;
    sm_budget *budget;
    const sm_cancel *cancel; /* may be NULL */
} sm_content_source;

/** What a file's content is known by; of a compressed one, by its name, of what it decompresses to.
 * *is_whole false: it is compressed and ends too early. */
sm_status sm_content_read(const sm_content_source *from, sm_content *out, bool *is_whole,
                          sm_error *e) SM_MUST_USE;
/** Its first SM_CONTENT_HEAD_BYTES, *n of them where there are no more. */
sm_status sm_content_head(const sm_content_source *from, uint8_t *out, size_t *n,
                          sm_error *e) SM_MUST_USE;
/** Hashes of its first lens[0 … n) bytes, ascending; {0} where it is shorter. One pass. */
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

/* Receives the bytes in order; SM_WAIT: not taken, write() or finish() returns SM_WAIT and is
 * called again with the same arguments after the waker. Usually sm_upload_write. */
typedef struct sm_bytes_out {
    sm_status (*write)(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e);
    void *ctx;
} sm_bytes_out;

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
};

#endif
