/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_int.h: inside the JSON format. What its files share, from the inside out:
 *
 *   json_number.c   exact numbers from their spelling
 *   json_schema.c   a schema made ready for lines: a tree of nodes with key tables
 *   json_row.c      one line -> a row in the builders, or why it is refused (the definition)
 *   json_shape.c    many lines that look like earlier ones -> rows, fast
 *   json_map.c      the members of an object that is read as a MAP
 *   json_foreign.c  files of another layout as a whole
 *   json_unknown.c  counting the keys that no column takes
 *   json.c          the format: options, planning, the reader over text_lines
 *   json_infer.c    a schema from the first lines
 *   json_time.c     texts that are dates and times, where nobody declared them
 *
 * The tokens are base's (base/json_scan.h). */
#ifndef SMI_FORMAT_JSON_INT_H
#define SMI_FORMAT_JSON_INT_H

#include "base/json_scan.h"
#include "format/format.h"
#include "format/text_int.h"

/* ---- reasons --------------------------------------------------------------------------------- */

/* Why a line is refused; in order of rank but for those that go by their place in the line. */
typedef enum smi_json_reason {
    SMI_JSON_FINE,
    SMI_JSON_TOO_LONG,
    SMI_JSON_INVALID_UTF8,
    SMI_JSON_SYNTAX, /* this and the next two: whichever comes first */
    SMI_JSON_TOO_DEEP,
    SMI_JSON_LONE_SURROGATE,
    SMI_JSON_NOT_OBJECT,
    SMI_JSON_OUT_OF_RANGE, /* this and the next: of the first offending column */
    SMI_JSON_TYPE_MISMATCH,
} smi_json_reason;

const char *smi_json_reason_name(smi_json_reason r);             /* "out_of_range" */
sm_status smi_json_reason_status(smi_json_reason r) SM_MUST_USE; /* SM_RANGE */

/* ---- numbers --------------------------------------------------------------------------------- */

typedef enum smi_json_verdict {
    SMI_JSON_OK,
    SMI_JSON_RANGE,
    SMI_JSON_INEXACT, /* in range, but the type cannot hold it exactly; told as out of range */
    SMI_JSON_TYPE,
} smi_json_verdict;

/** sm_json_exact, as a verdict. */
static inline smi_json_verdict smi_json_exact(const uint8_t *p, size_t n, int scale, sm_i128 *out)
{
    bool is_integer = false;
    return sm_json_exact(p, n, scale, out, &is_integer) ? SMI_JSON_OK
           : is_integer                                 ? SMI_JSON_RANGE
                                                        : SMI_JSON_TYPE;
}
/** Does FLOAT or DOUBLE hold the integer exactly? */
bool smi_json_fits_float(sm_i128 v, sm_type_id id);
/** Is it in full a number as JSON writes them? *is_odd: with fraction or exponent. */
bool smi_json_is_number(sm_str s, bool *is_odd);
/** The bounds of an integer type. */
void smi_json_int_bounds(sm_type_id id, sm_i128 *min, sm_i128 *max);

/* ---- times ----------------------------------------------------------------------------------- */

/** The type of a text in a column that nobody declared: DATE, TIMESTAMP (a zone is in the text) or
 * TIMESTAMP_NTZ, with what a cast makes of it in *value; else STRING, and *value is untouched. */
sm_type_id smi_json_time(sm_str text, int64_t *value);

/* ---- the schema, made ready ------------------------------------------------------------------ */

/* What a line had for a node: the token of the winner among repeated keys. It counts only where
 * `seen` is the `seen_open` of the object it stands in: nothing needs clearing between lines. */
typedef struct smi_json_slot {
    sm_json_token token;
    uint64_t seen;
    union {
        int64_t i; /* also the bits of U8 … U64 */
        double f;
    } as; /* set by judging: integers, dates, floats */
} smi_json_slot;

typedef struct smi_json_node smi_json_node;
struct smi_json_node {
    smi_json_slot slot;
    /* The key's first 16 bytes with its closing quote as two words under masks, for a compare in
     * place; key_len 0: the key is longer, or only an escape can spell it. */
    uint64_t key_words[2], key_masks[2];
    uint32_t key_len;
    sm_type_id id;
    bool is_wanted;  /* goes into a builder */
    bool is_checked; /* its type decides on the line */
    bool is_walked;  /* its value is looked at at all */
    bool is_in_list; /* below a LIST or MAP: checked again where it is appended */
    bool is_whole;   /* STRUCT: keys that are none of its fields are looked for */

    sm_builder *builder; /* wanted: borrowed from the column's builder */
    sm_block *bound;     /* the block that bound_index means, NULL: none yet in this batch */
    int32_t bound_index;

    /* STRUCT: its fields; LIST: one, the element; MAP: two, key and value. */
    smi_json_node *fields;
    int32_t n_fields;
    smi_json_node **made; /* wanted STRUCT: the fields that go into its builder, in its order */
    int32_t n_made;
    uint64_t seen_open; /* STRUCT: the object that is being read or was read last */
    smi_json_node *first_seen, *next_seen; /* STRUCT with a table: its fields in that object; a
                                            * field: the one that came before it there */
    int32_t *follows; /* STRUCT: [i + 1]: which field came after field i last time; [0]: first */
    int32_t *table;   /* STRUCT: open addressing over names, −1 empty; size table_mask + 1 */
    uint32_t table_mask;

    sm_str name;
    const sm_type *type;
    smi_json_node *parent; /* NULL: the root, or the element of a list */
    sm_str path;           /* "a.b", for unknown keys; "" for the root */
    int32_t rank;          /* place in the column order; of a STRUCT its first field's */
    sm_str column;         /* whose name a refusal gives: of rank `rank` */
};

typedef struct smi_json_schema {
    sm_arena *arena;
    smi_json_node root; /* a STRUCT of the stored columns */
    const sm_type *row; /* the type of the batches: the wanted columns */
    sm_builder **builders;
    smi_json_node **wanted; /* n_wanted, in the order of `row` */
    int32_t n_wanted;
    smi_json_node **bindable; /* the wanted nodes of VARCHAR and BLOB, at any depth */
    int32_t n_bindable;
    bool looks_unknown; /* some object is whole */
    bool fails_unknown; /* a key that no column takes ends the scan; else they are counted */
    bool has_maps;
    bool is_found; /* the columns were found in a sample, not declared */
} smi_json_schema;

/** Makes it for the dataset's stored columns and what is wanted of them. `order`: the option
 * column_order. SM_NAME for a name in it that is no column; SM_UNSUPPORTED for a MAP whose keys are
 * not VARCHAR. */
sm_status smi_json_schema_new(const sm_dataset *d, const sm_projection *want, sm_str order,
                              sm_budget *budget, smi_json_schema **out, sm_error *e) SM_MUST_USE;
void smi_json_schema_free(smi_json_schema *s); /* takes NULL */

/** The field of that name, or NULL. */
smi_json_node *smi_json_find(const smi_json_node *object, sm_str key);

/* ---- unknown keys ---------------------------------------------------------------------------- */

typedef struct smi_json_unknown smi_json_unknown;

smi_json_unknown *smi_json_unknown_new(sm_budget *budget);
void smi_json_unknown_free(smi_json_unknown *u);  /* takes NULL */
void smi_json_unknown_reset(smi_json_unknown *u); /* a new morsel: forgets all counts */
/** Begins a line: forgets what the last one had. */
void smi_json_unknown_line(smi_json_unknown *u);
/** A key that `object` does not have; the token lives as long as the line. */
void smi_json_unknown_add(smi_json_unknown *u, const smi_json_node *object, sm_json_token key);
int32_t smi_json_unknown_mark(const smi_json_unknown *u);
/** An outermost object was read: of the keys since `mark`, forgets those in objects that a later
 * one of the same key replaced. */
void smi_json_unknown_settle(smi_json_unknown *u, int32_t mark);
/** The line is kept: counts its keys. true where it has some. */
bool smi_json_unknown_keep(smi_json_unknown *u);
/** Is a value one of brackets alone ({}, [{}]), so that nothing is lost with it? */
bool smi_json_holds_nothing(const uint8_t *value, size_t n);
/** Of the line that was kept: the first key by its place whose value holds something, and the
 * object that it stands in. false: none. */
bool smi_json_unknown_first(smi_json_unknown *u, const smi_json_node **object, sm_json_token *key);
/** Its path ("s.x"), in `a`. */
sm_str smi_json_unknown_path(smi_json_unknown *u, const smi_json_node *object, sm_json_token key,
                             sm_arena *a);
const sm_unknown_key *smi_json_unknown_counts(const smi_json_unknown *u, int64_t *n);

/* ---- a line ---------------------------------------------------------------------------------- */

/* Why and where a line was refused. */
typedef struct smi_json_refusal {
    smi_json_reason reason;
    int64_t byte;  /* 1-based in the line */
    sm_str column; /* {0} where the reason is of no column */
    char message[192];
} smi_json_refusal;

/* A worker's parser: the schema's slots and scratch. */
typedef struct smi_json_parser {
    smi_json_schema *schema;
    smi_json_unknown *unknown;           /* NULL: not counted */
    sm_buf scratch;                      /* unescaped keys and values */
    sm_buf members, key_text, key_table; /* of the MAPs that are being read: json_map.c */
    uint64_t opened;                     /* objects read so far: `seen` of the next is one more */
    bool is_counting;                    /* unknown keys are noted in this walk */

    /* the line */
    sm_json_scan scan;
    sm_block *block;
    /* the worst column so far: what judging found */
    smi_json_verdict verdict;
    const smi_json_node *worst;   /* whose rank and column count */
    const smi_json_node *culprit; /* whose type was not met: worst, or within it */
    sm_json_token worst_token;
    sm_status no_memory; /* SM_OK, or why a MAP's members could not be gathered */
    sm_error *error;     /* the caller's */
} smi_json_parser;

void smi_json_parser_init(smi_json_parser *p, smi_json_schema *schema, smi_json_unknown *unknown,
                          sm_budget *budget);
void smi_json_parser_release(smi_json_parser *p);

/**
 * Judges a line (not blank) and appends a row to the builders, or says why not.
 *
 * Returns   SM_OK with *is_kept; then *why is untouched, else filled. SM_BUDGET where a string's
 *           unescaped text found no memory
 */
sm_status smi_json_line(smi_json_parser *p, const smi_line *line, bool *is_kept,
                        smi_json_refusal *why, sm_error *e) SM_MUST_USE;

/** The batch was taken: the builders know no blocks any more. */
void smi_json_parser_unbind(smi_json_parser *p);

/* ---- the members of a MAP -------------------------------------------------------------------- */

typedef struct smi_json_member {
    sm_str name; /* the key, unescaped */
    uint64_t hash;
    sm_json_token key, value;
} smi_json_member;

typedef struct smi_json_members {
    int64_t n;
    size_t first_byte, first_text;
} smi_json_members;

/** Gathers the members of an object of the line, each key once with its last value. Close what was
 * opened last first. The parser's key_text has room for the line. SM_BUDGET: nothing is read. */
sm_status smi_json_members_open(smi_json_parser *p, sm_json_token object, smi_json_members *out,
                                sm_error *e) SM_MUST_USE;
smi_json_member smi_json_member_at(const smi_json_parser *p, const smi_json_members *m, int64_t i);
void smi_json_members_close(smi_json_parser *p, const smi_json_members *m);

/* ---- values ---------------------------------------------------------------------------------- */

/* What a line's values are made with; for json_shape.c. */

/** The text of a string token: its span, or unescaped into scratch (good until the next call),
 * which has room for it. */
sm_str smi_json_text(smi_json_parser *p, sm_json_token t);
/** A value of a scalar type, not null, that stands in n's slot: converts it there. */
smi_json_verdict smi_json_check(smi_json_parser *p, smi_json_node *n);
/** A number's token as the unscaled value of n's DECIMAL. */
smi_json_verdict smi_json_decimal(smi_json_parser *p, const smi_json_node *n, sm_json_token t,
                                  sm_i128 *out);
/** The number of a block that strings stand in, in the builder of n. */
int32_t smi_json_bind(smi_json_node *n, sm_block *block);

/* ---- lines that look like earlier ones ------------------------------------------------------- */

typedef struct smi_json_shapes smi_json_shapes;

/** NULL where the schema has no shapes: LISTs or MAPs that are asked for, over 127 columns. Borrows
 * the parser, whose builders it fills. */
smi_json_shapes *smi_json_shapes_new(smi_json_parser *parser, sm_budget *budget);
void smi_json_shapes_free(smi_json_shapes *s); /* takes NULL */

/* Lines one after another. */
typedef struct smi_json_shape_run {
    const uint8_t *at;   /* the first; moves on behind the last that was read */
    const uint8_t *stop; /* lines that start here are not the caller's */
    const uint8_t *end;  /* of the bytes: behind an LF, SM_PAD_BYTES readable */
    sm_block *block;     /* holds them */
    int64_t max_rows;
    size_t max_bytes; /* of lines without their LF; the one that reaches it is the last */
    /* filled in */
    int64_t n_rows, n_unknown_lines;
    size_t n_bytes;
} smi_json_shape_run;

/** Appends a row for each line up to the first one that it is not certain of; that one, whatever it
 * is, is for smi_json_line. */
void smi_json_shapes_run(smi_json_shapes *s, smi_json_shape_run *r);
/** A line that smi_json_line kept: others like it will be read by run. */
void smi_json_shapes_learn(smi_json_shapes *s, const smi_line *line);

/** A file's first line, given last by `lines`, is no object: SM_UNSUPPORTED with what the file is
 * and what to do, where it is of another layout as a whole. */
sm_status smi_json_foreign(const smi_lines *lines, const smi_line *line, sm_error *e) SM_MUST_USE;

/* ---- the rest of the format ------------------------------------------------------------------ */

sm_sample *smi_json_sample_new(const void *opts);
sm_status smi_json_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                               sm_error *e) SM_MUST_USE;
const sm_type *smi_json_sample_end(sm_sample *s, sm_arena *a);
void smi_json_sample_free(sm_sample *s); /* takes NULL */

extern const struct sm_writer_ops smi_json_writer; /* json_writer.c: one array of objects */

#endif
