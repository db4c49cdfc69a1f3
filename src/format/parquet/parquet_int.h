/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_int.h: what the parts of the Parquet reader and writer share. Nobody else
 * includes it.
 *
 *   parquet_thrift     the compact protocol, in which footers and page headers are written
 *   parquet_meta       the footer: schema tree, row groups, chunks; read and written
 *   parquet_schema     Parquet's schema tree <-> sm_type; how wanted columns map on the file's
 *   parquet_page       one page: header, checksum, decompression
 *   parquet_encoding   runs, bit packing, delta and split encodings; both ways
 *   parquet_convert    physical values -> values of the wanted type
 *   parquet_leaf       one leaf column of one row group: pages -> levels and values
 *   parquet_assemble   levels and values of leaves -> columns
 *   parquet_stats      statistics of chunks <-> sm_range
 *   parquet_reader     open, plan, begin, pull
 *   parquet_column     a leaf column being written: levels, dictionary, pages
 *   parquet_writer     batches -> leaves, row groups, footer, statistics
 *
 * Words: a *node* is an element of the file's schema tree, a *leaf* one with values. A value of a
 * leaf stands with a definition level (how much of its path is there) and a repetition level (at
 * which list of its path it goes on): Dremel, Melnik et al., VLDB 2010. */
#ifndef SM_FORMAT_PARQUET_INT_H
#define SM_FORMAT_PARQUET_INT_H

#include "format/format.h"

#define SMI_PQ_MAGIC "PAR1"
/* Deepest path in a schema. Spark and Arrow stop earlier; levels stay within a byte. */
#define SMI_PQ_MAX_DEPTH 100

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

/* Failure is kept in `failed` and makes every later answer zero, so that callers check once. */
typedef struct smi_thrift_in {
    const uint8_t *p, *end;
    bool failed;
} smi_thrift_in;

/** The next field of a struct; *id starts as 0 and stays the caller's. False at the struct's end
 * and after a failure. */
bool smi_thrift_field(smi_thrift_in *in, int16_t *id, smi_thrift_type *type);
/** The value of an integer field of any width, or (TRUE, FALSE) of a boolean one. */
int64_t smi_thrift_i64(smi_thrift_in *in, smi_thrift_type type);
/** The same, failing outside of 32 bits. */
int32_t smi_thrift_i32(smi_thrift_in *in, smi_thrift_type type);
bool smi_thrift_bool(smi_thrift_in *in, smi_thrift_type type);
sm_str smi_thrift_binary(smi_thrift_in *in, smi_thrift_type type); /* borrowed */
/** Enters a list: its length, at most the bytes that are left, its elements of type `element`. */
int64_t smi_thrift_list(smi_thrift_in *in, smi_thrift_type type, smi_thrift_type element);
/** An element of a list of SMI_T_TRUE, which stands for booleans: a byte. */
bool smi_thrift_list_bool(smi_thrift_in *in);
/** Fails unless the field is a struct; then fields follow. */
void smi_thrift_struct(smi_thrift_in *in, smi_thrift_type type);
void smi_thrift_skip(smi_thrift_in *in, smi_thrift_type type);

#define SMI_THRIFT_OUT_DEPTH 16
typedef struct smi_thrift_out {
    sm_buf *to; /* without bound and budget: appending cannot fail */
    int16_t last[SMI_THRIFT_OUT_DEPTH];
    int depth;
} smi_thrift_out;

void smi_thrift_put_bool(smi_thrift_out *o, int16_t id, bool v);
void smi_thrift_put_i8(smi_thrift_out *o, int16_t id, int8_t v);
void smi_thrift_put_i32(smi_thrift_out *o, int16_t id, int32_t v);
void smi_thrift_put_i64(smi_thrift_out *o, int16_t id, int64_t v);
void smi_thrift_put_binary(smi_thrift_out *o, int16_t id, sm_str v);
/** Begins a struct as a field, or (id 0) as an element of a list or the whole. */
void smi_thrift_begin(smi_thrift_out *o, int16_t id);
void smi_thrift_end(smi_thrift_out *o);
void smi_thrift_put_list(smi_thrift_out *o, int16_t id, smi_thrift_type element, int64_t n);
/** Elements of a list: */
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

/* What a type means: LogicalType, or else ConvertedType in its words. */
typedef enum smi_pq_logical {
    SMI_PQ_PLAIN_TYPE, /* none, or one that this reader does not know: the physical type counts */
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
    /* no type here is these: smi_pq_schema_of */
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
    uint8_t max_def, max_rep; /* levels that this node reaches */
} smi_pq_node;

/* Statistics of a chunk as they stand in the footer. data NULL: absent. */
typedef struct smi_pq_stats {
    sm_str min, max;             /* min_value, max_value */
    sm_str old_min, old_max;     /* min, max: ordered as signed bytes whatever the type */
    int64_t n_nulls;             /* −1: unknown */
    int64_t n_nans;              /* −1: unknown */
    bool min_is_cut, max_is_cut; /* written only: not exact */
} smi_pq_stats;

typedef struct smi_pq_span { /* of the file */
    uint64_t off_bytes, len;
} smi_pq_span;

typedef struct smi_pq_chunk {
    smi_pq_codec codec;
    int64_t n_values; /* levels, nulls included */
    uint64_t off_bytes;
    size_t size_bytes; /* of all its pages, within the file */
    smi_pq_stats stats;
    smi_pq_span column_index, offset_index; /* len 0: none, or not within the file */
} smi_pq_chunk;

typedef struct smi_pq_group {
    int64_t n_rows;
    smi_pq_chunk *chunks; /* one a leaf */
} smi_pq_group;

typedef struct smi_pq_footer {
    smi_pq_node *root;
    const smi_pq_node **leaves;
    int32_t n_leaves;
    smi_pq_group *groups;
    int64_t n_groups;
    int64_t n_rows;
    bool *has_order; /* a leaf: may min_value and max_value be believed? */
} smi_pq_footer;

/** Reads and checks the footer of an open file. The footer lives in the arena. */
sm_status smi_pq_footer_read(sm_blob *blob, sm_arena *a, smi_pq_footer **out,
                             sm_error *e) SM_MUST_USE;

typedef struct smi_pq_written_page {
    int64_t n_rows;
    size_t bytes; /* with its header */
    bool is_null, has_nan;
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
    const smi_pq_written_page *pages; /* data pages; until the file is written */
    int64_t n_pages;
    smi_pq_span index[2]; /* ColumnIndex and OffsetIndex */
} smi_pq_written_chunk;

typedef struct smi_pq_written_group {
    int64_t n_rows;
    smi_pq_written_chunk *chunks;
} smi_pq_written_group;

/** Appends footer, its length and the magic. */
void smi_pq_footer_write(const smi_pq_node *root, const smi_pq_written_group *groups,
                         int64_t n_groups, int32_t n_leaves, int64_t n_rows, sm_buf *out);

/* ---- the page index (parquet_index.c) -------------------------------------------------------- */

/* Data pages of a chunk. */
typedef struct smi_pq_index {
    int64_t n_pages;
    uint64_t *off_bytes, *bytes;
    int64_t *first_row;  /* of the row group; one more at the end */
    smi_pq_stats *stats; /* NULL: not known */
} smi_pq_index;

/** Appends the indexes of all chunks, the first at off_bytes of the file, and notes where they
 * stand. */
void smi_pq_index_write(smi_pq_written_group *groups, int64_t n_groups, int32_t n_leaves,
                        uint64_t off_bytes, sm_buf *out);
/** The index of a chunk from bytes of the file, those of the span `at` (strings are borrowed from
 * them); wants_ends: stats too. false where there is none that can be used. */
bool smi_pq_index_read(const smi_pq_chunk *c, int64_t n_rows, const uint8_t *bytes, smi_pq_span at,
                       bool wants_ends, sm_arena *a, smi_pq_index *out);

/* ---- schemas (parquet_schema.c) -------------------------------------------------------------- */

/* From the values of a leaf as stored to those of the wanted type (parquet_convert.c). */
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
    SMI_PQ_SHAPE_LIST, /* and MAP, which has two children */
} smi_pq_shape_kind;

/* How a wanted type stands in the file: a tree in the shape of the type. A *slot* is a place where
 * a value of it could be: one in each row, or one in each element of the innermost list around. */
typedef struct smi_pq_shape smi_pq_shape;
struct smi_pq_shape {
    smi_pq_shape_kind kind;
    const sm_type *type;
    int32_t leaf; /* the file's leaf; else one below whose levels tell of this one; −1: none */
    uint8_t def;  /* there is a value from this definition level on */
    uint8_t slot_def; /* there is a slot from this definition level on */
    uint8_t slot_rep; /* up to this repetition level a new slot begins */
    uint8_t item_def; /* LIST: there is an element from this definition level on */
    uint8_t item_rep; /* LIST: at this repetition level the list goes on */
    bool is_flat;     /* a leaf that is a column of its own: at most one definition level */
    int32_t n_children;
    smi_pq_shape *children;
    smi_pq_convert convert; /* LEAF */
};

/** The type of a column by its node: what a sample gives. */
sm_status smi_pq_schema_of(const smi_pq_footer *f, sm_arena *a, const sm_type **out,
                           sm_error *e) SM_MUST_USE;
/** Maps one wanted field on the file; `file` names it in errors. */
sm_status smi_pq_shape_of(const smi_pq_footer *f, const sm_field *want, sm_str file, sm_arena *a,
                          smi_pq_shape *out, sm_error *e) SM_MUST_USE;
/** Paths of the file's columns that no field takes, of rows and structs that are taken whole. */
void smi_pq_unknown(const smi_pq_footer *f, const sm_type *schema, const sm_projection *want,
                    sm_arena *a, sm_str **out, int64_t *n);
/** The tree to write a schema as; leaves numbered in order. */
sm_status smi_pq_tree_of(const sm_type *schema, sm_arena *a, smi_pq_node **root,
                         const smi_pq_node ***leaves, int32_t *n_leaves, sm_error *e) SM_MUST_USE;

/* ---- encodings (parquet_encoding.c) ---------------------------------------------------------- */

/* Runs and bit-packed groups: Encodings.md, "Run Length Encoding / Bit-Packing Hybrid". Memory
 * after `end` must be readable for SM_PAD_BYTES, as it is in blocks. */
typedef struct smi_pq_runs {
    const uint8_t *p, *end;
    const uint8_t *packed; /* of the current bit-packed run */
    uint64_t packed_bit;   /* next bit in it */
    uint64_t run_left;     /* values left in the current run */
    uint32_t value;        /* of a repeated run */
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
static inline int smi_pq_width(uint32_t max)
{
    return max == 0 ? 0 : 32 - __builtin_clz(max);
}

/* Encodings.md, "Delta Encoding". */
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

bool smi_pq_delta_init(smi_pq_delta *d, const uint8_t *p, const uint8_t *end);
bool smi_pq_delta_i64(smi_pq_delta *d, int64_t *out, int64_t n);
bool smi_pq_delta_i32(smi_pq_delta *d, int32_t *out, int64_t n);
/** Where the encoding ends; NULL where it is malformed. Leaves *d as it is. */
const uint8_t *smi_pq_delta_end(const smi_pq_delta *d);
void smi_pq_delta_write_i64(const int64_t *v, int64_t n, sm_buf *out);
void smi_pq_delta_write_i32(const int32_t *v, int64_t n, sm_buf *out);

/* ---- pages (parquet_page.c) ------------------------------------------------------------------ */

typedef struct smi_pq_codecs smi_pq_codecs; /* decompression contexts, reused; one at a time */
smi_pq_codecs *smi_pq_codecs_new(void);
void smi_pq_codecs_free(smi_pq_codecs *c); /* takes NULL */

typedef struct smi_pq_page {
    bool is_dictionary;
    smi_pq_encoding encoding;
    smi_pq_encoding rep_encoding, def_encoding;
    int64_t n_values; /* levels, nulls included; of a dictionary its entries */
    const uint8_t *rep, *rep_end;
    const uint8_t *def, *def_end;
    const uint8_t *values, *values_end;
    sm_block *block; /* all of these lie in it; borrowed from the pages */
} smi_pq_page;

/* Some whole pages in memory. */
typedef struct smi_pq_piece {
    sm_block *block; /* borrowed */
    const uint8_t *bytes;
    size_t len;
    uint64_t off_bytes; /* in the file, for messages */
} smi_pq_piece;

/* The pages of a chunk, one after another. */
typedef struct smi_pq_pages {
    sm_block *source; /* borrowed */
    const uint8_t *p, *end;
    const uint8_t *start;
    smi_pq_piece then;  /* goes on here; len 0: no */
    const char *file;   /* for messages */
    uint64_t off_bytes; /* of start in the file, likewise */
    smi_pq_codec codec;
    uint8_t max_def, max_rep;
    sm_budget *budget;
    smi_pq_codecs *codecs;
    sm_block *block;   /* the current page, decompressed (or source, retained) */
    bool block_shared; /* someone else keeps it: not to be written again */
} smi_pq_pages;

/** The next data or dictionary page; SM_END where there is none. Valid until the next call, its
 * block as long as it is retained; who retains it sets block_shared. */
sm_status smi_pq_pages_next(smi_pq_pages *p, smi_pq_page *out, sm_error *e) SM_MUST_USE;
void smi_pq_pages_release(smi_pq_pages *p);

/* Compression for the writer: contexts shared by workers. */
typedef struct smi_pq_press smi_pq_press;
smi_pq_press *smi_pq_press_new(smi_pq_codec codec, int level);
void smi_pq_press_free(smi_pq_press *c); /* takes NULL */
/** Most bytes that n can become. */
size_t smi_pq_press_bound(const smi_pq_press *c, size_t n);
/** Returns the bytes written to out, which holds the bound. Threads: any. */
sm_status smi_pq_press_run(smi_pq_press *c, const void *in, size_t n, void *out, size_t cap,
                           size_t *n_out, sm_error *e) SM_MUST_USE;

/* ---- values of the wanted type (parquet_convert.c) ------------------------------------------- */

/* How decoded values of a leaf stand before conversion. */
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

/** How to get from a leaf to a type; false where values do not fit it. */
bool smi_pq_convert_find(const smi_pq_node *from, const sm_type *natural, const sm_type *to,
                         smi_pq_convert *out);
/** Is the value as decoded the value as wanted (so that it may be decoded into place)? */
bool smi_pq_convert_is_uuid(const smi_pq_convert *c); /* smi_pq_convert_run does not do it */
bool smi_pq_convert_is_copy(const smi_pq_convert *c);
/** Bytes of a value after conversion: those of the type; 1 for BOOL (a byte). */
int smi_pq_convert_bytes(const smi_pq_convert *c);
/** Converts n values; returns the index of the first that cannot be, or n. `heap` is that of
 * views. in and out do not overlap. */
int64_t smi_pq_convert_run(const smi_pq_convert *c, const void *in, const sm_heap_buf *heap,
                           void *out, int64_t n);

/* ---- one leaf of one row group (parquet_leaf.c) ---------------------------------------------- */

#define SMI_PQ_AHEAD 1024 /* levels that are decoded at a time */

/* A buffer under a budget that grows by doubling. */
typedef struct smi_pq_growing {
    uint8_t *data;
    size_t n_bytes, cap;
    sm_budget *budget;
} smi_pq_growing;

typedef struct smi_pq_leaf {
    const smi_pq_node *node;
    const smi_pq_chunk *chunk;
    const smi_pq_convert *convert; /* NULL: only levels are wanted */
    sm_budget *budget;
    smi_pq_raw raw;
    int value_bytes; /* after conversion; BOOL: 1 */
    smi_pq_pages pages;
    int64_t chunk_levels; /* in all pages that are read */
    int64_t chunk_left;   /* levels in pages not begun */

    /* the page */
    int64_t page_left; /* levels not read */
    smi_pq_runs rep, def;
    smi_pq_encoding encoding;
    sm_block *page_block;      /* borrowed from pages */
    const uint8_t *base;       /* of the page's values: what views count from */
    const uint8_t *p, *end;    /* values not read */
    bool is_ascii;             /* strings: no byte over 0x7F in the page */
    int64_t bool_bit;          /* PLAIN booleans: the next bit from base */
    int64_t split_n, split_at; /* BYTE_STREAM_SPLIT: values in the page, the next one */
    smi_pq_runs codes;         /* dictionary codes, RLE booleans */
    smi_pq_delta delta;        /* integers, lengths, prefix lengths */
    smi_pq_delta suffix;       /* DELTA_BYTE_ARRAY: suffix lengths */
    smi_pq_growing last;       /* DELTA_BYTE_ARRAY: the string before */
    int32_t heap_index;        /* of the page in this batch's heap; −1: not there yet */

    /* the dictionary, converted */
    sm_block *dict_values;
    sm_block *dict_heap; /* what its views point into */
    sm_block *dict_made; /* bytes that stand in no page; becomes dict_heap */
    const uint8_t *dict_base;
    int64_t dict_heap_bytes;
    int64_t n_dict;

    /* the batch that is being made */
    sm_batch *into;
    sm_heap_buf *heap; /* [0] is the dictionary's */
    int32_t n_heap, heap_cap;
    smi_pq_growing scratch, codes_buf, lengths;

    /* levels and values of the batch where the leaf is not flat */
    smi_pq_growing defs, reps, values;
    int64_t n_levels, n_values;
    uint8_t ahead_def[SMI_PQ_AHEAD], ahead_rep[SMI_PQ_AHEAD]; /* read, but not given yet */
    int32_t ahead_at, n_ahead;
} smi_pq_leaf;

/* What a leaf is read from. */
typedef struct smi_pq_leaf_source {
    const smi_pq_node *node;
    const smi_pq_chunk *chunk;
    const smi_pq_convert *convert; /* NULL: only levels are wanted */
    /* The chunk; or of its pages the dictionary (len 0: none) and some data pages with n_levels.
     * The blocks are borrowed for as long as the leaf reads. */
    smi_pq_piece first, then;
    int64_t n_levels;
    const char *file;
} smi_pq_leaf_source;

/** Begins a chunk; lets go of the one before. */
void smi_pq_leaf_begin(smi_pq_leaf *l, const smi_pq_leaf_source *from, smi_pq_codecs *codecs,
                       sm_budget *budget);
void smi_pq_leaf_release(smi_pq_leaf *l);
/** A flat leaf: rows into a column of `into`. */
sm_status smi_pq_leaf_flat(smi_pq_leaf *l, int64_t n_rows, sm_batch *into, sm_column *out,
                           sm_error *e) SM_MUST_USE;
/** Any other: levels and values (dense) of so many rows, until the next call. */
sm_status smi_pq_leaf_nested(smi_pq_leaf *l, int64_t n_rows, sm_batch *into,
                             sm_error *e) SM_MUST_USE;
/** Gives a column of strings the heap that the leaf's views of this batch point into. */
sm_status smi_pq_leaf_heap(const smi_pq_leaf *l, sm_column *out, sm_error *e) SM_MUST_USE;
/** Zeroed memory for n bits that copy_bits may overrun. */
sm_status smi_pq_alloc_bits(sm_batch *into, int64_t n, uint8_t **out, sm_error *e) SM_MUST_USE;
/** Moves n_set dense values to the places of the n bits that are set from `first` on; zeroes the
 * others. out may be in. */
void smi_pq_spread(const void *in, void *out, int value_bytes, const uint8_t *bits, int64_t first,
                   int64_t n, int64_t n_set);
/** Bytes that are 0 or 1 as a bitmap. */
void smi_pq_pack_bools(const uint8_t *in, int64_t n, uint8_t *out);

/* ---- columns (parquet_assemble.c) ------------------------------------------------------------ */

/** A column of n_rows rows from its leaves, which stand at leaves[shape->leaf] (−1: unused). */
sm_status smi_pq_assemble(const smi_pq_shape *shape, smi_pq_leaf *const *leaves, int64_t n_rows,
                          sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;

/* ---- statistics (parquet_stats.c) ------------------------------------------------------------ */

/** What the footer knows of a leaf in a row group, as values of the wanted type. Strings are
 * borrowed from the footer. */
void smi_pq_stats_range(const smi_pq_footer *f, const smi_pq_group *g, const smi_pq_shape *shape,
                        sm_range *out);
/** The same of one page of a leaf, of n_rows rows. */
void smi_pq_page_range(const smi_pq_footer *f, const smi_pq_stats *page, int64_t n_rows,
                       const smi_pq_shape *shape, sm_range *out);
/* What has been seen of a leaf's values, exactly; strings whole. */
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
/** n values as the writer stages them: 4, 8 or 16 bytes each, BOOL a byte; strings sm_str. */
void smi_pq_seen_add(smi_pq_seen *s, const void *values, int64_t n);
void smi_pq_seen_merge(smi_pq_seen *s, const smi_pq_seen *more);
/** As a footer has it; strings cut to 64 bytes. */
void smi_pq_seen_stats(const smi_pq_seen *s, const smi_pq_node *n, sm_arena *a, smi_pq_stats *out);
/** As a range of values; strings cut to 32 code points. */
void smi_pq_seen_range(const smi_pq_seen *s, int64_t n_rows, sm_arena *a, sm_range *out);

/* ---- a dictionary being made (parquet_dict.c) ------------------------------------------------ */

/* Entries are numbered as they come. */
typedef struct smi_pq_dict {
    int value_bytes; /* 4 or 8; 0: strings */
    uint32_t n, max_entries;
    size_t n_bytes, max_bytes; /* plain, as in a dictionary page */
    uint32_t *slots;           /* code + 1; 0: free */
    uint32_t n_slots;
    sm_buf values;  /* fixed: as they are; strings: one after another */
    sm_buf entries; /* strings: dict_entry */
} smi_pq_dict;

void smi_pq_dict_init(smi_pq_dict *d, int value_bytes);
void smi_pq_dict_reset(smi_pq_dict *d);
void smi_pq_dict_release(smi_pq_dict *d);
size_t smi_pq_dict_memory(const smi_pq_dict *d);
/** Codes of n values (numbers, or sm_str); returns how many there are codes for: fewer than n where
 * the dictionary is full. */
int64_t smi_pq_dict_codes(smi_pq_dict *d, const void *values, int64_t n, uint32_t *codes);
/** Would all of these texts fit besides, were they new? */
bool smi_pq_dict_has_room(const smi_pq_dict *d, const sm_column *texts);
sm_str smi_pq_dict_text(const smi_pq_dict *d, uint32_t code);

/** Texts that come by code: those of n > 0 codes. heads: scratch, kept with the dictionary. */
void smi_pq_seen_codes(smi_pq_seen *s, const smi_pq_dict *d, const uint32_t *codes, int64_t n,
                       sm_buf *heads);

/* ---- a leaf being written (parquet_column.c) ------------------------------------------------- */

/* A page that is encoded and waits to be compressed. */
typedef struct smi_pq_raw_page {
    smi_pq_encoding encoding;
    int64_t n_levels, n_nulls, n_rows;
    size_t off, rep_bytes, def_bytes, value_bytes; /* in the column's `raw` */
} smi_pq_raw_page;

typedef enum smi_pq_dict_state {
    SMI_PQ_DICT_TRIED, /* codes are made; whether it pays is not decided */
    SMI_PQ_DICT_ON,
    SMI_PQ_DICT_OFF, /* from this page on values are stored as they are */
} smi_pq_dict_state;

/* How a leaf's values are staged. */
typedef enum smi_pq_stage {
    SMI_PQ_STAGE_BOOL, /* a byte */
    SMI_PQ_STAGE_4,
    SMI_PQ_STAGE_8,
    SMI_PQ_STAGE_DECIMAL, /* sm_i128 */
    SMI_PQ_STAGE_TEXT,    /* sm_str */
} smi_pq_stage;

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
    bool has_left; /* its dictionary became full within it */
    sm_buf codes;  /* uint32, while a dictionary is used */
    sm_buf plain;  /* values: staged numbers; strings end to end */
    sm_buf lens;   /* strings: int32 lengths */
    sm_buf staged; /* scratch */
    sm_buf index;  /* scratch: rows of values */
    sm_buf memo;   /* scratch: codes of an incoming dictionary */
    sm_buf map;    /* scratch: from those to codes of `dict` */

    /* the chunk */
    smi_pq_dict dict;
    smi_pq_dict_state dict_state;
    bool has_coded_pages;
    bool has_choice; /* the next two, of values as they are, by the file's first such page */
    smi_pq_encoding choice;
    bool is_dense; /* compression gains nothing */
    sm_buf raw;    /* encoded pages */
    smi_pq_raw_page *pages;
    int64_t n_pages, pages_cap;
    sm_arena *mem;             /* of what the page index will say */
    smi_pq_written_page *done; /* all data pages of the chunk; bytes of those pressed */
    int64_t n_done, done_cap, n_pressed;
    sm_buf heads;         /* dictionary: the first 8 bytes of each text, as it sorts */
    sm_buf out;           /* compressed pages with their headers */
    sm_buf dict_out;      /* the dictionary's page */
    sm_buf trial, packed; /* scratch */
    uint32_t encodings;
    uint64_t plain_bytes; /* of pages and headers before compression */
    int64_t chunk_levels;
    smi_pq_seen seen;
    smi_pq_seen page_seen; /* not of text by code */
} smi_pq_column;

void smi_pq_column_init(smi_pq_column *c, const smi_pq_node *node, const sm_type *type,
                        smi_pq_press *press, smi_pq_codec codec, bool may_dict, sm_budget *budget);
void smi_pq_column_release(smi_pq_column *c);
size_t smi_pq_column_memory(const smi_pq_column *c);
/** Rows first … first + n − 1 of a column that stands at the top. */
sm_status smi_pq_column_add(smi_pq_column *c, const sm_column *from, int64_t first, int64_t n,
                            sm_error *e) SM_MUST_USE;
/* Levels of some rows of a leaf below structs and lists. */
typedef struct smi_pq_levels {
    const uint8_t *defs, *reps;
    int64_t n;           /* levels */
    const int32_t *rows; /* where the values of the full ones stand */
    int64_t n_full;      /* full ones */
    int64_t n_rows;      /* rows of the table */
    bool is_edge;        /* may a page end here? */
} smi_pq_levels;
/** Rows of a column below structs and lists. */
sm_status smi_pq_column_add_levels(smi_pq_column *c, const sm_column *from,
                                   const smi_pq_levels *levels, sm_error *e) SM_MUST_USE;
/** Compresses what waits. Threads: one a column. */
sm_status smi_pq_column_press(smi_pq_column *c, sm_error *e) SM_MUST_USE;
/** Ends the chunk: the last page and the dictionary; `out` and `dict_out` are whole. */
sm_status smi_pq_column_end(smi_pq_column *c, sm_error *e) SM_MUST_USE;
/** Empties it for the next row group. */
void smi_pq_column_reset(smi_pq_column *c);

/** Makes room in a buffer without bound: cannot fail. */
uint8_t *smi_pq_room(sm_buf *b, size_t more);

/* ---- the writer's door to vtable (parquet_reader.c, parquet_writer.c) ------------------------ */

typedef struct smi_pq_options {
    sm_str compression; /* zstd, snappy, none */
    int64_t level;
    int64_t row_group_rows;
    bool dictionary;
} smi_pq_options;

sm_sample *smi_pq_sample_new(const void *opts);
sm_status smi_pq_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                             sm_error *e) SM_MUST_USE;
const sm_type *smi_pq_sample_end(sm_sample *s, sm_arena *a);
void smi_pq_sample_free(sm_sample *s); /* takes NULL */
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
/** memcpy of a text, most of which are short: halves that overlap. */
static inline void smi_pq_copy_text(uint8_t *to, const void *text, size_t n)
{
    const uint8_t *from = text;
    unsigned __int128 wide[2];
    uint64_t word[2];
    uint32_t half[2];
    if (n > 32 || n < 4) {
        memcpy(to, from, n);
    } else if (n > 16) {
        memcpy(&wide[0], from, 16);
        memcpy(&wide[1], from + n - 16, 16);
        memcpy(to, &wide[0], 16);
        memcpy(to + n - 16, &wide[1], 16);
    } else if (n >= 8) {
        memcpy(&word[0], from, 8);
        memcpy(&word[1], from + n - 8, 8);
        memcpy(to, &word[0], 8);
        memcpy(to + n - 8, &word[1], 8);
    } else {
        memcpy(&half[0], from, 4);
        memcpy(&half[1], from + n - 4, 4);
        memcpy(to, &half[0], 4);
        memcpy(to + n - 4, &half[1], 4);
    }
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are copied as they stand");

#endif
