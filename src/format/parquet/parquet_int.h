/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_int.h: what the parts of the Parquet reader and writer share.
 *
 *   parquet            the format's table
 *   parquet_thrift     Thrift's compact protocol, for footers, indexes and page headers
 *   parquet_meta       the footer: schema tree, row groups, chunks; read and written
 *   parquet_index      the page index, read and written
 *   parquet_schema     Parquet's schema tree <-> sm_type; finds wanted columns in a file
 *   parquet_sample     the columns of several files, from their footers
 *   parquet_look       rows and ranges of a whole file, from its footer
 *   parquet_page       one page: header, checksum, decompression; compression
 *   parquet_encoding   runs, bit packing and delta encodings, read and written
 *   parquet_convert    values as stored -> values of the wanted type
 *   parquet_leaf       reads one leaf column of a row group: pages -> levels and values
 *   parquet_assemble   levels and values of leaves -> nested columns
 *   parquet_variant    columns of a variant -> its JSON text
 *   parquet_stats      statistics of chunks and pages <-> sm_range
 *   parquet_reader     open, plan, begin, pull
 *   parquet_dict       the dictionary of a column that is written
 *   parquet_column     writes one leaf column: levels, values or codes -> pages
 *   parquet_copy       row groups of a file -> row groups of another one, as they are
 *   parquet_writer     batches -> leaf columns -> row groups -> file
 *
 * Words: a *node* is an element of the file's schema tree; a *leaf* is a node with values. Each
 * value of a leaf has a definition level, which says how many optional or repeated nodes of its
 * path are present, and a repetition level, which says which list of its path it continues (0: a
 * new row). A *full* level has a value; the others stand for null or an empty list. See Melnik et
 * al., Dremel, VLDB 2010. */
#ifndef SM_FORMAT_PARQUET_INT_H
#define SM_FORMAT_PARQUET_INT_H

#include "format/format.h"

#define SMI_PQ_MAGIC "PAR1"
/* Deepest path in a schema. Spark and Arrow stop earlier; levels stay within a byte. */
#define SMI_PQ_MAX_DEPTH 100

/* The format's options. */
typedef struct smi_pq_options {
    sm_str compression; /* zstd, snappy, none */
    int64_t level;
    int64_t row_group_rows;
    bool dictionary;
} smi_pq_options;

/* ---- thrift compact protocol (parquet_thrift.c) ---------------------------------------------- */

typedef enum smi_thrift_type {
    SMI_T_STOP,
    SMI_T_TRUE,
    SMI_T_FALSE,
    SMI_T_I8,
    SMI_T_I16,
    SMI_T_I32,
    SMI_T_I64,
    SMI_T_DOUBLE,
    SMI_T_BINARY,
    SMI_T_LIST,
    SMI_T_SET,
    SMI_T_MAP,
    SMI_T_STRUCT,
} smi_thrift_type;

/* Input of the functions below. The first failure sets `failed`, and from then on all functions
 * return zero or nothing, so that a caller checks once at the end. */
typedef struct smi_thrift_in {
    const uint8_t *p, *end;
    bool failed;
} smi_thrift_in;

/** The next field of a struct. *id must be 0 at first and the last field's id later. false at the
 * end of the struct and after a failure. */
bool smi_thrift_field(smi_thrift_in *in, int16_t *id, smi_thrift_type *type);
/** The value of an integer field of any width, or (TRUE, FALSE) of a boolean one. */
int64_t smi_thrift_i64(smi_thrift_in *in, smi_thrift_type type);
/** The same, failing outside of 32 bits. */
int32_t smi_thrift_i32(smi_thrift_in *in, smi_thrift_type type);
bool smi_thrift_bool(smi_thrift_in *in, smi_thrift_type type);
sm_str smi_thrift_binary(smi_thrift_in *in, smi_thrift_type type); /* borrowed */
/** Enters a list of elements of type `element`. Returns its length, which is at most the number of
 * bytes that are left. */
int64_t smi_thrift_list(smi_thrift_in *in, smi_thrift_type type, smi_thrift_type element);
/** An element of a list of booleans (SMI_T_TRUE), which takes a byte. */
bool smi_thrift_list_bool(smi_thrift_in *in);
/** Enters a struct; fails where the field is none. Its fields follow. */
void smi_thrift_struct(smi_thrift_in *in, smi_thrift_type type);
/** Skips the value of a field. */
void smi_thrift_skip(smi_thrift_in *in, smi_thrift_type type);

/* Output of the functions below. Fields of a struct are put in ascending order of their ids. */
#define SMI_THRIFT_OUT_DEPTH 16
typedef struct smi_thrift_out {
    sm_buf *to;                         /* without bound and budget: appending cannot fail */
    int16_t last[SMI_THRIFT_OUT_DEPTH]; /* the last field's id in each open struct */
    int depth;                          /* open structs */
} smi_thrift_out;

void smi_thrift_put_bool(smi_thrift_out *o, int16_t id, bool v);
void smi_thrift_put_i8(smi_thrift_out *o, int16_t id, int8_t v);
void smi_thrift_put_i32(smi_thrift_out *o, int16_t id, int32_t v);
void smi_thrift_put_i64(smi_thrift_out *o, int16_t id, int64_t v);
void smi_thrift_put_binary(smi_thrift_out *o, int16_t id, sm_str v);
/** Begins a struct that is a field; with id 0 an element of a list, or the outermost struct. */
void smi_thrift_begin(smi_thrift_out *o, int16_t id);
void smi_thrift_end(smi_thrift_out *o);
void smi_thrift_put_list(smi_thrift_out *o, int16_t id, smi_thrift_type element, int64_t n);
/** The elements of a list, after smi_thrift_put_list; structs by smi_thrift_begin with id 0. */
void smi_thrift_element_i32(smi_thrift_out *o, int32_t v);
void smi_thrift_element_i64(smi_thrift_out *o, int64_t v);
void smi_thrift_element_bool(smi_thrift_out *o, bool v); /* of SMI_T_TRUE */
void smi_thrift_element_binary(smi_thrift_out *o, sm_str v);

/* ---- the footer (parquet_meta.c) ------------------------------------------------------------- */

/* parquet.thrift: Type */
typedef enum smi_pq_physical {
    SMI_PQ_BOOLEAN,
    SMI_PQ_INT32,
    SMI_PQ_INT64,
    SMI_PQ_INT96,
    SMI_PQ_FLOAT,
    SMI_PQ_DOUBLE,
    SMI_PQ_BYTE_ARRAY,
    SMI_PQ_FIXED,
    SMI_PQ_GROUP, /* ours: the node has children */
} smi_pq_physical;

typedef enum smi_pq_repetition {
    SMI_PQ_REQUIRED,
    SMI_PQ_OPTIONAL,
    SMI_PQ_REPEATED
} smi_pq_repetition;

/* What a type means: the node's LogicalType, or its older ConvertedType as one. */
typedef enum smi_pq_logical {
    SMI_PQ_PLAIN_TYPE, /* none, or one that is not known here: only the physical type counts */
    SMI_PQ_STRING,
    SMI_PQ_MAP,
    SMI_PQ_MAP_KEY_VALUE,
    SMI_PQ_LIST,
    SMI_PQ_DECIMAL,
    SMI_PQ_DATE,
    SMI_PQ_TIME,
    SMI_PQ_TIMESTAMP,
    SMI_PQ_INTEGER,
    SMI_PQ_UNKNOWN, /* all null */
    SMI_PQ_FLOAT16,
    SMI_PQ_UUID, /* read as text */
    /* for these there is no sm_type: parquet_schema.c */
    SMI_PQ_INTERVAL,
    SMI_PQ_GEOMETRY,
    SMI_PQ_GEOGRAPHY,
    SMI_PQ_VARIANT,
} smi_pq_logical;

typedef enum smi_pq_unit { SMI_PQ_MILLIS, SMI_PQ_MICROS, SMI_PQ_NANOS } smi_pq_unit;

/* parquet.thrift: Encoding */
typedef enum smi_pq_encoding {
    SMI_PQ_PLAIN = 0,
    SMI_PQ_PLAIN_DICTIONARY = 2,
    SMI_PQ_RLE = 3,
    SMI_PQ_BIT_PACKED = 4,
    SMI_PQ_DELTA_BINARY_PACKED = 5,
    SMI_PQ_DELTA_LENGTH_BYTE_ARRAY = 6,
    SMI_PQ_DELTA_BYTE_ARRAY = 7,
    SMI_PQ_RLE_DICTIONARY = 8,
    SMI_PQ_BYTE_STREAM_SPLIT = 9,
} smi_pq_encoding;

/* parquet.thrift: CompressionCodec */
typedef enum smi_pq_codec {
    SMI_PQ_UNCOMPRESSED = 0,
    SMI_PQ_SNAPPY = 1,
    SMI_PQ_GZIP = 2,
    SMI_PQ_LZO = 3,
    SMI_PQ_BROTLI = 4,
    SMI_PQ_LZ4_HADOOP = 5, /* deprecated: with Hadoop's framing or as a bare block */
    SMI_PQ_ZSTD = 6,
    SMI_PQ_LZ4_RAW = 7,
} smi_pq_codec;

typedef struct smi_pq_node {
    sm_str name;
    smi_pq_repetition repetition;
    smi_pq_physical physical;
    int32_t fixed_bytes; /* FIXED: length of a value */
    smi_pq_logical logical;
    smi_pq_unit unit; /* TIME, TIMESTAMP */
    bool is_utc;      /* TIMESTAMP: an instant; TIME: a clock in UTC */
    bool is_signed;   /* INTEGER */
    int32_t bits;     /* INTEGER */
    int32_t precision, scale;
    int32_t field_id;
    bool has_field_id;
    int32_t leaf; /* number among the leaves; −1: a group */
    int32_t n_children;
    struct smi_pq_node **children;
    uint8_t max_def, max_rep; /* the levels of a value of this node that is present */
} smi_pq_node;

/* Statistics of a chunk or a page, as stored. data NULL: absent. */
typedef struct smi_pq_stats {
    sm_str min, max;             /* min_value, max_value */
    sm_str old_min, old_max;     /* the older min, max: ordered as signed bytes for any type */
    int64_t n_nulls;             /* −1: unknown */
    int64_t n_nans;              /* −1: unknown */
    bool min_is_cut, max_is_cut; /* the text was cut, so the end is not exact */
} smi_pq_stats;

/* A range of bytes of the file. */
typedef struct smi_pq_span {
    uint64_t off_bytes, len;
} smi_pq_span;

/** Widens a range (len 0: none yet) so that it has the other one too, unless that is empty. */
static inline void smi_pq_span_widen(smi_pq_span *all, smi_pq_span s)
{
    const uint64_t first =
        all->len == 0 || s.off_bytes < all->off_bytes ? s.off_bytes : all->off_bytes;
    const uint64_t end = s.off_bytes + s.len, old_end = all->off_bytes + all->len;

    if (s.len > 0) {
        *all = (smi_pq_span){first, (all->len == 0 || end > old_end ? end : old_end) - first};
    }
}

/* A column chunk: the pages of a leaf in a row group. */
typedef struct smi_pq_chunk {
    smi_pq_codec codec;
    int64_t n_values; /* levels, so nulls count too */
    uint64_t off_bytes;
    size_t size_bytes;    /* of all its pages; checked to be within the file */
    uint64_t data_off;    /* of the first data page; off_bytes where there is no dictionary page */
    uint64_t plain_bytes; /* of pages and their headers, before compression; not checked */
    uint32_t encodings;   /* bit set of smi_pq_encoding */
    smi_pq_stats stats;
    smi_pq_span column_index, offset_index; /* len 0: none, or not within the file */
} smi_pq_chunk;

typedef struct smi_pq_group {
    int64_t n_rows;
    smi_pq_chunk *chunks; /* one for each leaf */
} smi_pq_group;

typedef struct smi_pq_footer {
    smi_pq_node *root;
    const smi_pq_node **leaves;
    int32_t n_leaves;
    smi_pq_group *groups;
    int64_t n_groups;
    int64_t n_rows;
    bool *has_order; /* for each leaf: are min_value and max_value in an order known here? */
} smi_pq_footer;

/* How much of a file's end is read at once for its footer. */
#define SMI_PQ_TAIL_BYTES ((size_t)65536)

/** Reads the footer of an open file and checks all that later steps use as an index or a size. It
 * lives in the arena. SM_CORRUPT, SM_UNSUPPORTED, SM_LIMIT, and what the store fails with. */
sm_status smi_pq_footer_read(sm_blob *blob, sm_arena *a, smi_pq_footer **out,
                             sm_error *e) SM_MUST_USE;

/* A data page that was written, as the page index tells of it. */
typedef struct smi_pq_written_page {
    int64_t n_rows;
    size_t bytes; /* with its header */
    bool is_null; /* it has no value that is not null */
    bool has_nan;
    smi_pq_stats stats;
} smi_pq_written_page;

/* A chunk that has been written. */
typedef struct smi_pq_written_chunk {
    const smi_pq_node *node;
    sm_str *path; /* names from below the root */
    int32_t n_path;
    smi_pq_codec codec;
    uint32_t encodings; /* bit set of smi_pq_encoding */
    int64_t n_values;
    uint64_t dictionary_off, data_off; /* dictionary_off 0: none */
    uint64_t compressed_bytes, plain_bytes;
    smi_pq_stats stats;
    const smi_pq_written_page *pages; /* data pages; borrowed until the file has ended */
    int64_t n_pages;
    /* Of a chunk that was copied, its ColumnIndex, which has no places in it ("": none); the pages
     * then have only what the OffsetIndex says. */
    bool is_copied;
    sm_str column_index;
    smi_pq_span index[2]; /* ColumnIndex, OffsetIndex; len 0: none */
} smi_pq_written_chunk;

typedef struct smi_pq_written_group {
    int64_t n_rows;
    smi_pq_written_chunk *chunks;
} smi_pq_written_group;

/** Appends the footer, its length and the magic bytes. */
void smi_pq_footer_write(const smi_pq_node *root, const smi_pq_written_group *groups,
                         int64_t n_groups, int32_t n_leaves, int64_t n_rows, sm_buf *out);

/* ---- the page index (parquet_index.c) -------------------------------------------------------- */

/* Where the data pages of a chunk are, and what is in them. */
typedef struct smi_pq_index {
    int64_t n_pages;
    uint64_t *off_bytes, *bytes;
    int64_t *first_row;  /* row in the row group; n_pages + 1 items, the last is its end */
    smi_pq_stats *stats; /* NULL: not known */
} smi_pq_index;

/** Appends the indexes of all chunks and sets chunks' `index`. `out` stands at off_bytes of the
 * file. */
void smi_pq_index_write(smi_pq_written_group *groups, int64_t n_groups, int32_t n_leaves,
                        uint64_t off_bytes, sm_buf *out);
/** Reads the index of a chunk. `bytes` are those of the file's span `at`; texts are borrowed from
 * them. wants_ends: read the statistics too, if there are any. false where there is no index that
 * can be used. */
bool smi_pq_index_read(const smi_pq_chunk *c, int64_t n_rows, const uint8_t *bytes, smi_pq_span at,
                       bool wants_ends, sm_arena *a, smi_pq_index *out);

/** The bytes of a chunk's ColumnIndex; false where it has one that is damaged or not among `bytes`.
 * "": it has none. */
bool smi_pq_index_column(const smi_pq_chunk *c, const uint8_t *bytes, smi_pq_span at, sm_str *out);

/* ---- schemas (parquet_schema.c) -------------------------------------------------------------- */

/* How to convert a leaf's values as stored to the wanted type (parquet_convert.c). */
typedef struct smi_pq_convert {
    const smi_pq_node *from;
    const sm_type *to;
    int32_t kind;          /* parquet_convert.c's own */
    sm_i128 factor, limit; /* DECIMAL */
} smi_pq_convert;

typedef enum smi_pq_shape_kind {
    SMI_PQ_SHAPE_MISSING, /* not in the file: null */
    SMI_PQ_SHAPE_LEAF,
    SMI_PQ_SHAPE_STRUCT,
    SMI_PQ_SHAPE_LIST,    /* and MAP, which has two children */
    SMI_PQ_SHAPE_VARIANT, /* one child: the group of its columns, a STRUCT */
} smi_pq_shape_kind;

/* Where a wanted type is in the file: a tree with a shape for each type in it. A *slot* is a place
 * for a value of the type: there is one in each row, or in each element of the innermost list
 * around it. */
typedef struct smi_pq_shape smi_pq_shape;
struct smi_pq_shape {
    smi_pq_shape_kind kind;
    const sm_type *type;
    int32_t leaf; /* LEAF: the file's leaf; else a leaf below, whose levels are used; −1: none */
    uint8_t def;  /* a slot has a value from this definition level on */
    uint8_t slot_def; /* there is a slot from this definition level on */
    uint8_t slot_rep; /* a new slot begins up to this repetition level */
    uint8_t item_def; /* LIST: there is an element from this definition level on */
    uint8_t item_rep; /* LIST: a further element of the list has this repetition level */
    bool is_flat;     /* a LEAF that is a column, with at most one definition level */
    int32_t n_children;
    smi_pq_shape *children;
    smi_pq_convert convert; /* LEAF */
    sm_str path;            /* VARIANT: its name in messages */
};

/** The file's columns as a type, copied into `a`. SM_UNSUPPORTED. */
sm_status smi_pq_schema_of(const smi_pq_footer *f, sm_arena *a, const sm_type **out,
                           sm_error *e) SM_MUST_USE;
/** Finds a wanted field in the file. `file` is its name in errors. SM_SCHEMA where the types do not
 * fit, SM_UNSUPPORTED. */
sm_status smi_pq_shape_of(const smi_pq_footer *f, const sm_field *want, sm_str file, sm_arena *a,
                          smi_pq_shape *out, sm_error *e) SM_MUST_USE;
/** The paths of the file's columns that no field of `schema` takes, in the row and in structs that
 * the query takes whole. */
void smi_pq_unknown(const smi_pq_footer *f, const sm_type *schema, const sm_projection *want,
                    sm_arena *a, sm_str **out, int64_t *n);
/** Makes the schema tree to write, with its leaves in order. SM_UNSUPPORTED, SM_LIMIT. */
sm_status smi_pq_tree_of(const sm_type *schema, sm_arena *a, smi_pq_node **root,
                         const smi_pq_node ***leaves, int32_t *n_leaves, sm_error *e) SM_MUST_USE;

/* ---- encodings (parquet_encoding.c) ---------------------------------------------------------- */

/* Runs and bit-packed groups: Encodings.md, "Run Length Encoding / Bit-Packing Hybrid". Memory
 * after `end` must be readable for SM_PAD_BYTES, as it is in blocks. */
typedef struct smi_pq_runs {
    const uint8_t *p, *end;
    const uint8_t *packed; /* the bits of the current bit-packed run */
    uint64_t packed_bit;   /* the next bit of it */
    uint64_t run_left;     /* values left in the current run */
    uint32_t value;        /* the value of a repeated run */
    int width;
    bool is_packed, is_msb; /* is_msb: the deprecated BIT_PACKED, most significant bit first */
} smi_pq_runs;

void smi_pq_runs_init(smi_pq_runs *r, const uint8_t *p, const uint8_t *end, int width);
/** Decodes exactly n values; false where the data ends or is malformed. */
bool smi_pq_runs_u32(smi_pq_runs *r, uint32_t *out, int64_t n);
bool smi_pq_runs_u8(smi_pq_runs *r, uint8_t *out, int64_t n); /* width <= 8 */
/** Values of width 1 as bits first … first + n − 1 of a zeroed bitmap; *n_set counts the ones. */
bool smi_pq_runs_bits(smi_pq_runs *r, uint8_t *bits, int64_t first, int64_t n, int64_t *n_set);

/** Appends n values as runs where 8 or more are equal, else bit-packed. */
void smi_pq_runs_write(const uint32_t *v, int64_t n, int width, sm_buf *out);
void smi_pq_runs_write_u8(const uint8_t *v, int64_t n, int width, sm_buf *out);
/** Appends n times the same value. */
void smi_pq_runs_repeat(uint32_t v, int64_t n, int width, sm_buf *out);
/** The bits that hold the values 0 to max. */
static inline int smi_pq_width(uint32_t max)
{
    return max == 0 ? 0 : 32 - __builtin_clz(max);
}

/* Delta-encoded integers: Encodings.md, "Delta Encoding". */
typedef struct smi_pq_delta {
    const uint8_t *p, *end;
    uint64_t block_values, mini_values; /* values in a block, in a miniblock */
    uint32_t n_minis;
    uint64_t left; /* values not given yet */
    uint64_t last; /* the value before the next one */
    bool has_first;
    uint64_t min_delta;
    const uint8_t *widths; /* of the block's miniblocks */
    uint32_t mini;         /* the current one */
    uint64_t mini_left;
    const uint8_t *packed;
    uint64_t packed_bit;
    int width;
} smi_pq_delta;

/** Begins with the head at p; false where it is malformed. */
bool smi_pq_delta_init(smi_pq_delta *d, const uint8_t *p, const uint8_t *end);
/** Decodes exactly n values; false where the data ends or is malformed. */
bool smi_pq_delta_i64(smi_pq_delta *d, int64_t *out, int64_t n);
bool smi_pq_delta_i32(smi_pq_delta *d, int32_t *out, int64_t n);
/** Where the encoding ends; NULL where it is malformed. Leaves *d as it is. */
const uint8_t *smi_pq_delta_end(const smi_pq_delta *d);
void smi_pq_delta_write_i64(const int64_t *v, int64_t n, sm_buf *out);
void smi_pq_delta_write_i32(const int32_t *v, int64_t n, sm_buf *out);

/* ---- pages (parquet_page.c) ------------------------------------------------------------------ */

typedef struct smi_pq_codecs smi_pq_codecs; /* decompression contexts of one worker */
smi_pq_codecs *smi_pq_codecs_new(void);
void smi_pq_codecs_free(smi_pq_codecs *c); /* takes NULL */

/* A page, decompressed. */
typedef struct smi_pq_page {
    bool is_dictionary;
    smi_pq_encoding encoding;
    smi_pq_encoding rep_encoding, def_encoding;
    int64_t n_values; /* levels, nulls included; of a dictionary its entries */
    const uint8_t *rep, *rep_end;
    const uint8_t *def, *def_end;
    const uint8_t *values, *values_end;
    sm_block *block; /* holds all of these; borrowed from the smi_pq_pages */
} smi_pq_page;

/* A stretch of whole pages in memory. */
typedef struct smi_pq_piece {
    sm_block *block; /* borrowed */
    const uint8_t *bytes;
    size_t len;
    uint64_t off_bytes; /* in the file, for messages */
} smi_pq_piece;

/* Reads the pages of a chunk, one after another, from one or two pieces. */
typedef struct smi_pq_pages {
    sm_block *source;       /* of the current piece; borrowed */
    const uint8_t *p, *end; /* what was not read yet */
    const uint8_t *start;   /* of the piece */
    smi_pq_piece then;      /* the second piece; len 0: none, or begun */
    const char *file;       /* for messages */
    uint64_t off_bytes;     /* of `start` in the file, for messages */
    smi_pq_codec codec;
    uint8_t max_def, max_rep;
    sm_budget *budget;
    smi_pq_codecs *codecs;
    sm_block *block;   /* the current page, decompressed; or the source, retained */
    bool block_shared; /* others read the block, so it must not be used for the next page */
} smi_pq_pages;

/** The next data or dictionary page; SM_END where there is none. It is good until the next call.
 * A caller that retains its block sets block_shared. SM_CORRUPT, SM_UNSUPPORTED, SM_BUDGET. */
sm_status smi_pq_pages_next(smi_pq_pages *p, smi_pq_page *out, sm_error *e) SM_MUST_USE;
void smi_pq_pages_release(smi_pq_pages *p);

/* Compresses for the writer, with contexts that its workers share. Threads: any. */
typedef struct smi_pq_press smi_pq_press;
smi_pq_press *smi_pq_press_new(smi_pq_codec codec, int level);
void smi_pq_press_free(smi_pq_press *c); /* takes NULL */
/* How zstd looks for bytes that repeat, at level 1: with a large or a small table of places. Where
 * hardly anything repeats, as in hashes, a small one costs less. Where each text repeats parts of
 * the one before, it finds these, which take fewer bits to name than places far away. */
typedef enum smi_pq_search {
    SMI_PQ_SEARCH_WIDE, /* as the level has it */
    SMI_PQ_SEARCH_NEAR,
    SMI_PQ_SEARCH_LITTLE,
    SMI_PQ_SEARCHES
} smi_pq_search;
/** Do the searches differ, for this codec and level? */
bool smi_pq_press_searches(const smi_pq_press *c);
/** Compresses `in` to `out`, whose content is replaced. */
sm_status smi_pq_press_bytes(smi_pq_press *c, smi_pq_search search, sm_str in, sm_buf *out,
                             sm_error *e) SM_MUST_USE;

/* ---- values of the wanted type (parquet_convert.c) ------------------------------------------- */

/* The form of a leaf's decoded values before conversion. */
typedef enum smi_pq_raw {
    SMI_PQ_RAW_BOOL, /* a byte each */
    SMI_PQ_RAW_4,
    SMI_PQ_RAW_8,
    SMI_PQ_RAW_VIEW, /* BYTE_ARRAY, FIXED, INT96 */
} smi_pq_raw;
smi_pq_raw smi_pq_raw_of(smi_pq_physical p);
static inline int smi_pq_raw_bytes(smi_pq_raw r)
{
    return r == SMI_PQ_RAW_BOOL ? 1 : r == SMI_PQ_RAW_4 ? 4 : r == SMI_PQ_RAW_8 ? 8 : 16;
}

/** Finds how to convert a leaf, whose own type is `natural`, to `to`. false: it does not fit. */
bool smi_pq_convert_find(const smi_pq_node *from, const sm_type *natural, const sm_type *to,
                         smi_pq_convert *out);
/** Are UUIDs to become text? parquet_leaf.c does that, smi_pq_convert_values does not. */
bool smi_pq_convert_is_uuid(const smi_pq_convert *c);
/** Is nothing to convert, so that values can be decoded into their final place? */
bool smi_pq_convert_is_copy(const smi_pq_convert *c);
/** The size of a value after conversion: the type's; 1 for BOOL (a byte). */
int smi_pq_convert_bytes(const smi_pq_convert *c);
/** Converts n values. Returns n, or the index of the first value that does not fit. `heap`: the
 * buffers of views. `in` and `out` do not overlap. */
int64_t smi_pq_convert_values(const smi_pq_convert *c, const void *in, const sm_heap_buf *heap,
                              void *out, int64_t n);

/* ---- one leaf of one row group (parquet_leaf.c) ---------------------------------------------- */

#define SMI_PQ_AHEAD 1024 /* levels that are decoded at a time */

/* A buffer under a budget that grows by doubling. */
typedef struct smi_pq_growing {
    uint8_t *data;
    size_t n_bytes, cap;
    sm_budget *budget;
} smi_pq_growing;

/* Reads a leaf of a row group; used again for the next one. */
typedef struct smi_pq_leaf {
    const smi_pq_node *node;
    const smi_pq_chunk *chunk;
    const smi_pq_convert *convert; /* NULL: only levels are wanted */
    sm_budget *budget;
    smi_pq_raw raw;
    int value_bytes; /* after conversion; BOOL: 1 */
    smi_pq_pages pages;
    int64_t chunk_levels; /* levels of all pages that are to be read */
    int64_t chunk_left;   /* levels of the pages that were not begun */

    /* the page */
    int64_t page_left; /* levels that were not read */
    smi_pq_runs rep, def;
    smi_pq_encoding encoding;
    sm_block *page_block;      /* borrowed from pages */
    const uint8_t *base;       /* the page's values; offsets of views count from here */
    const uint8_t *p, *end;    /* values that were not read */
    bool is_ascii;             /* strings: no byte over 0x7F in the page */
    int64_t bool_bit;          /* PLAIN booleans: the next bit from base */
    int64_t split_n, split_at; /* BYTE_STREAM_SPLIT: values in the page, the next one */
    smi_pq_runs codes;         /* dictionary codes, RLE booleans */
    smi_pq_delta delta;        /* integers, lengths, prefix lengths */
    smi_pq_delta suffix;       /* DELTA_BYTE_ARRAY: suffix lengths */
    smi_pq_growing last;       /* DELTA_BYTE_ARRAY: the last string */
    int32_t heap_index;        /* of the page in this batch's heap; −1: it is not there yet */

    /* the dictionary, converted */
    sm_block *dict_values;
    sm_block *dict_heap; /* what its views point into */
    sm_block *dict_made; /* texts of UUIDs, which no page has; becomes dict_heap */
    const uint8_t *dict_base;
    int64_t dict_heap_bytes;
    int64_t n_dict;

    /* the batch that is being made */
    sm_batch *into;
    sm_heap_buf *heap; /* [0] is the dictionary's */
    int32_t n_heap, heap_cap;
    smi_pq_growing scratch, codes_buf, lengths;

    /* levels and values of the batch, if the leaf is not flat */
    smi_pq_growing defs, reps, values;
    int64_t n_levels, n_values;
    uint8_t ahead_def[SMI_PQ_AHEAD], ahead_rep[SMI_PQ_AHEAD]; /* decoded, but not taken yet */
    int32_t ahead_at, n_ahead;
} smi_pq_leaf;

/* What a leaf is read from. */
typedef struct smi_pq_leaf_source {
    const smi_pq_node *node;
    const smi_pq_chunk *chunk;
    const smi_pq_convert *convert; /* NULL: only levels are wanted */
    /* The chunk's bytes; or the dictionary page, if any, and then the data pages that are read. The
     * blocks are borrowed as long as the leaf reads. */
    smi_pq_piece first, then;
    int64_t n_levels; /* of the data pages */
    const char *file;
} smi_pq_leaf_source;

/** Begins a chunk, and drops the last one. */
void smi_pq_leaf_begin(smi_pq_leaf *l, const smi_pq_leaf_source *from, smi_pq_codecs *codecs,
                       sm_budget *budget);
void smi_pq_leaf_release(smi_pq_leaf *l);
/** Reads the next rows of a flat leaf as a column, whose memory is the batch's. */
sm_status smi_pq_leaf_flat(smi_pq_leaf *l, int64_t n_rows, sm_batch *into, sm_column *out,
                           sm_error *e) SM_MUST_USE;
/** Reads the next rows of any other leaf as levels and dense values, which l has until the next
 * call. */
sm_status smi_pq_leaf_nested(smi_pq_leaf *l, int64_t n_rows, sm_batch *into,
                             sm_error *e) SM_MUST_USE;
/** Sets the heap of a column of strings: the buffers that the leaf's views of this batch point to.
 */
sm_status smi_pq_leaf_heap(const smi_pq_leaf *l, sm_column *out, sm_error *e) SM_MUST_USE;
/** Zeroed memory for n bits, and 8 bytes more for writers of whole words. */
sm_status smi_pq_alloc_bits(sm_batch *into, int64_t n, uint8_t **out, sm_error *e) SM_MUST_USE;
/** Spreads dense values over rows: row i has the next value where bit first + i is set, else zero.
 * n_set of the n bits are set. `out` may be `in`. */
void smi_pq_spread(const void *in, void *out, int value_bytes, const uint8_t *bits, int64_t first,
                   int64_t n, int64_t n_set);
/** Bytes that are 0 or 1 as a bitmap. */
void smi_pq_pack_bools(const uint8_t *in, int64_t n, uint8_t *out);

/* ---- columns (parquet_assemble.c) ------------------------------------------------------------ */

/** Makes a column of n_rows rows from leaves[…], which is indexed by the file's leaf numbers and
 * has those that the shape reads. SM_CORRUPT where their levels contradict each other. */
sm_status smi_pq_assemble(const smi_pq_shape *shape, smi_pq_leaf *const *leaves, int64_t n_rows,
                          sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;

/* ---- variants (parquet_variant.c) ------------------------------------------------------------ */

/** Has the node the columns of a variant? */
bool smi_pq_is_variant(const smi_pq_node *n);
/** Makes a column of JSON texts, of out->type, from a variant's group that was read as a struct.
 * SM_CORRUPT, SM_UNSUPPORTED, SM_LIMIT, without a place. */
sm_status smi_pq_variant_texts(const sm_column *group, sm_batch *into, sm_column *out,
                               sm_error *e) SM_MUST_USE;

/* ---- statistics (parquet_stats.c) ------------------------------------------------------------ */

/** What the footer says of a column in a row group, as values of the wanted type. Texts are
 * borrowed from the footer. */
void smi_pq_stats_range(const smi_pq_footer *f, const smi_pq_group *g, const smi_pq_shape *shape,
                        sm_range *out);
/** What the page index says of a leaf's page of n_rows rows. */
void smi_pq_page_range(const smi_pq_footer *f, const smi_pq_stats *page, int64_t n_rows,
                       const smi_pq_shape *shape, sm_range *out);
/* The least and greatest of the values that were written of a leaf; texts are whole here. */
typedef struct smi_pq_seen {
    const sm_type *type;
    bool has, has_nan;
    int64_t n_nulls;
    union {
        int64_t i;
        uint64_t u;
        double f;
        sm_i128 d;
    } min, max;
    sm_buf min_text, max_text;
} smi_pq_seen;

void smi_pq_seen_init(smi_pq_seen *s, const sm_type *t);
void smi_pq_seen_release(smi_pq_seen *s);
void smi_pq_seen_reset(smi_pq_seen *s);
/** Adds n values in the form of smi_pq_stage. */
void smi_pq_seen_add(smi_pq_seen *s, const void *values, int64_t n);
/** Adds what was seen elsewhere of values of the same type. */
void smi_pq_seen_merge(smi_pq_seen *s, const smi_pq_seen *more);
/** What was seen as a footer stores it, in `a`; texts are cut to 64 bytes. */
void smi_pq_seen_stats(const smi_pq_seen *s, const smi_pq_node *n, sm_arena *a, smi_pq_stats *out);
/** What was seen as a range of values, in `a`; texts are cut to 32 code points, BLOBs to 32 bytes.
 */
void smi_pq_seen_range(const smi_pq_seen *s, int64_t n_rows, sm_arena *a, sm_range *out);

/** Adds what a footer says of a chunk of n_rows rows. false where that is too little to keep: its
 * nulls are not known, or the ends of its values, which are no NaN. */
bool smi_pq_seen_add_stats(smi_pq_seen *s, const smi_pq_node *n, const smi_pq_stats *stats,
                           int64_t n_rows);

/* ---- row groups as they are (parquet_copy.c) ------------------------------------------------- */

/* What a file must be like, so that its row groups can stand in another one. */
typedef struct smi_pq_copy_opts {
    const sm_type *schema;
    const smi_pq_node *root; /* the other file's tree */
    int32_t n_leaves;
    smi_pq_codec codec;
    int64_t group_rows; /* of its row groups */
    bool stays_alone;   /* the other one has the rows of this file and no others */
} smi_pq_copy_opts;

/* A file whose row groups can be copied. */
typedef struct smi_pq_copy {
    const smi_pq_footer *from;
    smi_pq_written_group *groups; /* as the new footer has them; but data_off is as in `from`, and
                                   * dictionary_off 0 */
} smi_pq_copy;

/** Looks at the footer and the page index of a file. *out, in `a`, is NULL where its row groups
 * cannot be copied, or are too small to be kept. */
sm_status smi_pq_copy_find(sm_blob *blob, const smi_pq_copy_opts *o, sm_arena *a, smi_pq_copy **out,
                           sm_error *e) SM_MUST_USE;
/** sm_writer_ops.can_copy. */
sm_status smi_pq_can_copy(const sm_type *schema, const void *opts, sm_blob *from, sm_budget *budget,
                          bool *out, sm_error *e) SM_MUST_USE;
/** sm_writer_ops.row_groups. */
sm_status smi_pq_row_groups(const sm_type *schema, const void *opts, sm_blob *from, sm_arena *a,
                            sm_row_groups **out, sm_error *e) SM_MUST_USE;
/** What options say of the codec. SM_INVALID. */
sm_status smi_pq_codec_of(const smi_pq_options *o, smi_pq_codec *out, sm_error *e) SM_MUST_USE;

/* ---- a dictionary that is written (parquet_dict.c) ------------------------------------------- */

/* A place in the hash table of a dictionary. */
typedef struct smi_pq_slot {
    uint32_t code; /* + 1; 0: free */
    uint32_t hash;
} smi_pq_slot;

/* A set of values. Each has a code: its number in the order of their first appearance. */
/* Numbers of which the codes are at hand: days, states and the like come again and again. */
#define SMI_PQ_KNOWN 64

typedef struct smi_pq_dict {
    int value_bytes; /* 4 or 8; 0: texts */
    uint32_t n, max_entries;
    size_t n_bytes, max_bytes; /* as in a dictionary page, not compressed */
    smi_pq_slot *slots;
    uint32_t n_slots; /* a power of two */
    sm_buf values;    /* the values, one after another */
    sm_buf entries;   /* texts: a dict_entry each */
    struct {
        uint64_t value;
        uint32_t code;     /* + 1; 0: none */
    } known[SMI_PQ_KNOWN]; /* numbers, by their low bits */
} smi_pq_dict;

void smi_pq_dict_init(smi_pq_dict *d, int value_bytes);
void smi_pq_dict_reset(smi_pq_dict *d);
void smi_pq_dict_release(smi_pq_dict *d);
size_t smi_pq_dict_memory(const smi_pq_dict *d);
/** Finds the codes of n values (numbers, or sm_str), and adds those that are new. Returns how many
 * have a code: fewer than n where the dictionary is full. */
int64_t smi_pq_dict_codes(smi_pq_dict *d, const void *values, int64_t n, uint32_t *codes);
/** Would all of these texts fit into the dictionary if none of them was in it yet? */
bool smi_pq_dict_has_room(const smi_pq_dict *d, const sm_column *texts);
/** The text of a code; borrowed until the next call of smi_pq_dict_codes. */
sm_str smi_pq_dict_text(const smi_pq_dict *d, uint32_t code);

/** Adds the texts of n > 0 codes to what was seen. `heads`: scratch that lives as long as the
 * dictionary's entries. */
void smi_pq_seen_codes(smi_pq_seen *s, const smi_pq_dict *d, const uint32_t *codes, int64_t n,
                       sm_buf *heads);

/* ---- a leaf that is written (parquet_column.c) ----------------------------------------------- */

/* A page that is encoded but not compressed yet. */
typedef struct smi_pq_raw_page {
    smi_pq_encoding encoding;
    int64_t n_levels, n_nulls, n_rows;
    size_t off, rep_bytes, def_bytes, value_bytes; /* in the column's `raw` */
} smi_pq_raw_page;

/* TRIED -> ON or OFF, ON -> OFF; the next chunk begins anew. */
typedef enum smi_pq_dict_state {
    SMI_PQ_DICT_TRIED, /* values become codes; whether that pays is not decided yet */
    SMI_PQ_DICT_ON,    /* it pays */
    SMI_PQ_DICT_OFF,   /* from this page on values are stored as they are */
} smi_pq_dict_state;

/* The form of a leaf's values when they are added. */
typedef enum smi_pq_stage {
    SMI_PQ_STAGE_BOOL, /* a byte */
    SMI_PQ_STAGE_4,
    SMI_PQ_STAGE_8,
    SMI_PQ_STAGE_DECIMAL, /* sm_i128 */
    SMI_PQ_STAGE_TEXT,    /* sm_str */
} smi_pq_stage;

/* Writes a leaf: a row group's chunk, then the next one's. */
typedef struct smi_pq_column {
    const smi_pq_node *node;
    const sm_type *type;
    smi_pq_press *press;
    smi_pq_codec codec;
    bool may_dict;
    smi_pq_stage stage;

    /* the page */
    sm_buf defs, reps; /* a byte a level */
    int64_t n_levels, n_rows, n_values;
    bool has_left; /* the dictionary became full within this page */
    sm_buf codes;  /* uint32, while a dictionary is used */
    sm_buf plain;  /* else the values: staged numbers, or texts end to end … */
    sm_buf lens;   /* … and the texts' lengths, int32 */
    sm_buf staged; /* scratch: staged values */
    sm_buf index;  /* scratch: the rows that are not null */
    sm_buf memo;   /* scratch: entries of an incoming dictionary; lengths of texts */
    sm_buf map;    /* scratch: from entries of an incoming dictionary to codes of `dict`, plus 1 */

    /* the chunk */
    smi_pq_dict dict;
    smi_pq_dict_state dict_state;
    bool was_vain;     /* what the last trial of a dictionary had was nearly all new */
    int32_t n_vain;    /* grows with trials in vain, one after another; 0: the last one was not */
    int32_t n_untried; /* so many of the next chunks begin without a dictionary */
    bool has_coded_pages;
    bool has_choice; /* the next two are set, by the file's first page without codes */
    smi_pq_encoding choice;
    bool is_dense;          /* values in this encoding are not worth compressing */
    int64_t n_file_pages;   /* pages of the file that were compressed */
    bool has_search;        /* the next one was chosen, when those were enough */
    smi_pq_search search;   /* how pages in this encoding are compressed */
    sm_buf raw;             /* the encoded pages … */
    smi_pq_raw_page *pages; /* … and where each is */
    int64_t n_pages, pages_cap;
    sm_arena *mem;             /* holds what the page index will say */
    smi_pq_written_page *done; /* all data pages of the chunk; the first n_pressed have `bytes` */
    int64_t n_done, done_cap, n_pressed;
    sm_buf heads;         /* of the dictionary's texts: the first 8 bytes as a number (head_of) */
    sm_buf out;           /* compressed pages with their headers */
    sm_buf dict_out;      /* the dictionary's page */
    sm_buf trial, packed; /* scratch */
    uint32_t encodings;
    uint64_t plain_bytes; /* of pages and their headers, before compression */
    int64_t chunk_levels;
    smi_pq_seen seen;
    smi_pq_seen page_seen; /* texts by code are added when the page ends */
} smi_pq_column;

void smi_pq_column_init(smi_pq_column *c, const smi_pq_node *node, const sm_type *type,
                        smi_pq_press *press, smi_pq_codec codec, bool may_dict, sm_budget *budget);
void smi_pq_column_release(smi_pq_column *c);
size_t smi_pq_column_memory(const smi_pq_column *c);
/** Adds rows first … first + n − 1 of a top-level column. SM_SCHEMA where one is null that may not
 * be. */
sm_status smi_pq_column_add(smi_pq_column *c, const sm_column *from, int64_t first, int64_t n,
                            sm_error *e) SM_MUST_USE;
/* The levels of some rows of a leaf below structs and lists. */
typedef struct smi_pq_levels {
    const uint8_t *defs, *reps;
    int64_t n;           /* levels */
    const int32_t *rows; /* of the full levels: the row of the value in its column */
    int64_t n_full;      /* full levels */
    int64_t n_rows;      /* rows of the table */
    bool is_edge;        /* a page may end after these rows */
} smi_pq_levels;
/** Adds rows of a leaf below structs and lists; `from` has its values. */
sm_status smi_pq_column_add_levels(smi_pq_column *c, const sm_column *from,
                                   const smi_pq_levels *levels, sm_error *e) SM_MUST_USE;
/** Compresses the encoded pages. Threads: other columns may do so at the same time. */
sm_status smi_pq_column_press(smi_pq_column *c, sm_error *e) SM_MUST_USE;
/** Ends the chunk: afterwards `out` has all its data pages and `dict_out` its dictionary page. */
sm_status smi_pq_column_end(smi_pq_column *c, sm_error *e) SM_MUST_USE;
/** Empties it for the next row group. */
void smi_pq_column_reset(smi_pq_column *c);

/** Makes room for `more` bytes and returns their place. For buffers without bound and budget, as
 * those of the writer, which counts them; so it cannot fail. */
static inline uint8_t *smi_pq_room(sm_buf *b, size_t more)
{
    SM_ASSERT(b->max_bytes == 0 && !b->budget);
    if (b->cap - b->len < more) {
        const sm_status st = sm_buf_reserve(b, more, NULL);
        SM_ENSURE(st == SM_OK);
    }
    return b->data + b->len;
}

/* ---- the functions of the format's table ----------------------------------------------------- */

sm_sample *smi_pq_sample_new(const void *opts);
sm_status smi_pq_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                             sm_error *e) SM_MUST_USE;
const sm_type *smi_pq_sample_end(sm_sample *s, const sm_type *known, sm_arena *a);
void smi_pq_sample_free(sm_sample *s); /* takes NULL */
sm_status smi_pq_look(sm_blob *blob, const sm_type *schema, sm_arena *a, sm_written *out,
                      sm_error *e) SM_MUST_USE;
sm_status smi_pq_open(const sm_dataset *d, int64_t file, sm_blob *blob, const sm_projection *want,
                      sm_budget *budget, sm_file **out, sm_error *e) SM_MUST_USE;
void smi_pq_close(sm_file *f);
sm_status smi_pq_plan(sm_file *f, sm_arena *a, sm_morsel **out, int64_t *n, int64_t *skipped,
                      sm_error *e) SM_MUST_USE;
sm_status smi_pq_reader_new(const sm_dataset *d, const sm_projection *want, sm_budget *budget,
                            sm_reader **out, sm_error *e) SM_MUST_USE;
void smi_pq_reader_free(sm_reader *r);
sm_status smi_pq_begin(sm_reader *r, sm_file *f, const sm_morsel *m, sm_block *const *blocks,
                       const size_t *lens, sm_error *e) SM_MUST_USE;
sm_status smi_pq_pull(sm_reader *r, sm_batch **rows, sm_batch **refused, sm_byte_range *more,
                      sm_error *e) SM_MUST_USE;
sm_status smi_pq_feed(sm_reader *r, sm_block *block, size_t len, sm_error *e) SM_MUST_USE;
void smi_pq_counts(const sm_reader *r, sm_scan_counts *out, const sm_unknown_key **unknown,
                   int64_t *n_unknown);
extern const struct sm_writer_ops smi_pq_writer;
extern const sm_format sm_format_parquet;

/* ---- little endian --------------------------------------------------------------------------- */

static inline uint32_t smi_pq_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint64_t smi_pq_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are copied as they stand");

#endif
