/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_int.h: what the files of the JSON format share:
 *
 *   json.c          the format's table: options, planning, the reader
 *   json_schema.c   turns a schema into a tree of nodes, ready for reading lines
 *   json_row.c      reads one line into a row, or says why it is refused; it defines what is right
 *   json_shape.c    reads many lines that look like earlier ones, fast
 *   json_map.c      collects the members of an object that is read as a MAP
 *   json_number.c   which numbers a type can hold
 *   json_time.c     recognises dates and times in columns that nobody declared
 *   json_unknown.c  counts the keys that no column takes
 *   json_rescue.c   keeps them, as the text of a column
 *   json_keys.c     counts the keys that columns take
 *   json_foreign.c  recognises JSON files that are not one object a line
 *   json_infer.c    finds a schema by a sample of lines
 *
 * The tokens are base's (base/json_scan.h). */
#ifndef SMI_FORMAT_JSON_INT_H
#define SMI_FORMAT_JSON_INT_H

#include "base/json_scan.h"
#include "format/format.h"
#include "format/text_int.h"

/* ---- reasons --------------------------------------------------------------------------------- */

/* Why a line is refused. Where several reasons apply, the first in this order is given. */
typedef enum smi_json_reason {
    SMI_JSON_FINE,
    SMI_JSON_TOO_LONG,
    SMI_JSON_INVALID_UTF8,
    SMI_JSON_SYNTAX, /* of this and the next two, the one that comes first in the line */
    SMI_JSON_TOO_DEEP,
    SMI_JSON_LONE_SURROGATE,
    SMI_JSON_NOT_OBJECT,
    SMI_JSON_OUT_OF_RANGE, /* of this and the next, that of the first column in the column order */
    SMI_JSON_TYPE_MISMATCH,
} smi_json_reason;

const char *smi_json_reason_name(smi_json_reason r);             /* "out_of_range" */
sm_status smi_json_reason_status(smi_json_reason r) SM_MUST_USE; /* SM_RANGE */

/* ---- numbers --------------------------------------------------------------------------------- */

/* Does a value fit its column's type? */
typedef enum smi_json_verdict {
    SMI_JSON_OK,
    SMI_JSON_RANGE,   /* no: it is out of the type's range */
    SMI_JSON_INEXACT, /* no: the type cannot hold it exactly; the line's reason is out_of_range */
    SMI_JSON_TYPE,    /* no: it is of another type */
} smi_json_verdict;

/** sm_json_exact, with its answer as a verdict. */
static inline smi_json_verdict smi_json_exact(const uint8_t *p, size_t n, int scale, sm_i128 *out)
{
    bool is_integer = false;
    return sm_json_exact(p, n, scale, out, &is_integer) ? SMI_JSON_OK
           : is_integer                                 ? SMI_JSON_RANGE
                                                        : SMI_JSON_TYPE;
}
/** Does FLOAT or DOUBLE hold the integer exactly? */
bool smi_json_fits_float(sm_i128 v, sm_type_id id);
/** Is all of the text one number as JSON writes it? *is_odd: it has a fraction or an exponent. */
bool smi_json_is_number(sm_str s, bool *is_odd);
/** The least and the greatest value of an integer type. */
void smi_json_int_bounds(sm_type_id id, sm_i128 *min, sm_i128 *max);

/* ---- times ----------------------------------------------------------------------------------- */

/** The type of a text in a column that nobody declared: DATE, TIMESTAMP (the text has a zone) or
 * TIMESTAMP_NTZ, with the value that a cast gives in *value; else STRING, and *value is unchanged.
 */
sm_type_id smi_json_time(sm_str text, int64_t *value);

/* ---- the schema, ready for reading ----------------------------------------------------------- */

/* What the current line has for a node; of a repeated key the last value. Each object that is read
 * gets a number, which counts up: the object's node keeps it in `seen_open`, and its fields' slots
 * in `seen`. A slot is valid only where the two are equal, so that slots of missing keys and of
 * earlier lines need not be cleared. */
typedef struct smi_json_slot {
    sm_json_token token;
    uint64_t seen;
    union {
        int64_t i; /* also the bits of U8 … U64 */
        double f;
    } as; /* the converted value, set when the token is checked: integers, dates, floats */
} smi_json_slot;

typedef struct smi_json_node smi_json_node;
/* A column, or a field, element, key or value inside one. */
struct smi_json_node {
    smi_json_slot slot;
    /* The key and its closing quote, if 16 bytes or less, as two words and the masks of the bytes
     * that count: so a key is compared where it stands. key_len 0: it is longer, or can only be
     * written with an escape. */
    uint64_t key_words[2], key_masks[2];
    uint32_t key_len; /* with the closing quote */
    sm_type_id id;
    bool is_wanted;  /* goes into a builder */
    bool is_checked; /* a value that does not fit its type makes the line refused */
    bool is_walked;  /* its value is looked into: it is checked, or may hold unknown keys */
    bool is_in_list; /* below a LIST or MAP: checked a second time when it is appended */
    bool is_whole;   /* STRUCT: its unknown keys are looked for */

    sm_builder *builder; /* wanted: borrowed from the column's builder */
    sm_block *bound;     /* the block that bound_index means; NULL: none yet in this batch */
    int32_t bound_index;

    /* STRUCT: its fields; LIST: one, the element; MAP: two, key and value. */
    smi_json_node *fields;
    int32_t n_fields;
    smi_json_node **made; /* wanted STRUCT: the fields that go into its builder, in its order */
    int32_t n_made;
    uint64_t seen_open; /* STRUCT: the number of the object that is being read or was read last */
    /* The fields that this object has, as a list, where the STRUCT has a table. first_seen is the
     * STRUCT's: the field that was read last; next_seen is a field's: the one read before it. */
    smi_json_node *first_seen, *next_seen;
    int32_t *follows; /* STRUCT: [i + 1]: the field that came after field i last time; [0]: first */
    int32_t *table;   /* STRUCT: open addressing over names, −1 empty; size table_mask + 1 */
    uint32_t table_mask;

    sm_str name;
    const sm_type *type;
    smi_json_node *parent; /* the STRUCT around it; NULL: the root, or an element, key or value */
    sm_str path;           /* "a.b", for unknown keys; "" for the root */
    sm_str opening;        /* STRUCT: "name":{ as json_rescue.c begins it */
    int32_t rank;          /* place in the column order; a STRUCT has its first field's */
    sm_str column;         /* the name that a refusal gives: of the column with this rank */

    /* Counted in a morsel: kept lines that have the key, refused ones whose value does not fit, and
     * the kinds of those values. */
    int64_t n_lines, n_misfits;
    uint32_t misfit_kinds;
};

/* A reader's schema, with its slots and builders. */
typedef struct smi_json_schema {
    sm_arena *arena;
    smi_json_node root;     /* a STRUCT of the stored columns that are keys */
    const sm_type *row;     /* the type of the batches: the wanted columns */
    sm_builder **builders;  /* n_builders, in the order of `row` */
    smi_json_node **wanted; /* n_wanted, of the first builders */
    int32_t n_wanted, n_builders;
    sm_builder *rescued;      /* the last of the builders, where unknown keys are kept; else NULL */
    smi_json_node **bindable; /* the wanted nodes of VARCHAR and BLOB, at any depth */
    int32_t n_bindable;
    bool looks_unknown; /* unknown keys are looked for in some object */
    bool fails_unknown; /* the first unknown key ends the scan; else they are counted */
    bool has_maps;
    smi_json_node **keyed; /* the nodes whose keys are counted, parents first */
    sm_known_key *keys;    /* and what is told of them */
    int32_t n_keyed;       /* 0: keys are not counted */
    bool is_found;         /* the columns were found in a sample, not declared */
} smi_json_schema;

/** Makes a schema for the dataset's stored columns and what is wanted of them. `order` is the
 * option column_order. SM_NAME where a name in it is no column; SM_UNSUPPORTED for a MAP whose keys
 * are not VARCHAR. */
sm_status smi_json_schema_new(const sm_dataset *d, const sm_projection *want, sm_str order,
                              sm_budget *budget, smi_json_schema **out, sm_error *e) SM_MUST_USE;
void smi_json_schema_free(smi_json_schema *s); /* takes NULL */

/** The field of a STRUCT's node that has the name, or NULL. */
smi_json_node *smi_json_find(const smi_json_node *object, sm_str key);

/** Forgets the counts of keys: a new morsel. */
void smi_json_keys_reset(smi_json_schema *s);
/** Counts the keys of the line that was read last, and kept. */
void smi_json_keys_count(smi_json_schema *s);
/** What was counted, borrowed until the next reset. */
const sm_known_key *smi_json_keys(smi_json_schema *s, int64_t *n);
/** The kind of the value that begins at p: one of SM_KEY_NULL, …. */
uint32_t smi_json_kind(const uint8_t *p);

/* ---- unknown keys ---------------------------------------------------------------------------- */

typedef struct smi_json_unknown smi_json_unknown;

/* An unknown key of the current line. */
typedef struct smi_json_note {
    const smi_json_node *object;
    uint64_t seen; /* the number of the object that it stands in */
    sm_json_token key;
} smi_json_note;

smi_json_unknown *smi_json_unknown_new(sm_budget *budget);
void smi_json_unknown_free(smi_json_unknown *u);  /* takes NULL */
void smi_json_unknown_reset(smi_json_unknown *u); /* a new morsel: drops all counts */
/** Begins a line: drops the keys that were noted of the last one. */
void smi_json_unknown_line(smi_json_unknown *u);
/** Notes a key that is no field of `object`. The token is borrowed as long as the line. */
void smi_json_unknown_add(smi_json_unknown *u, const smi_json_node *object, sm_json_token key);
/** How many keys were noted so far: the mark for smi_json_unknown_settle. */
int32_t smi_json_unknown_mark(const smi_json_unknown *u);
/** Called when an outermost object (a line's, an element's or a member's) was read: drops the keys
 * noted since `mark` that stand in an object which a later value of the same key replaced. */
void smi_json_unknown_settle(smi_json_unknown *u, int32_t mark);
/** The keys that are noted of the line, at most 4,096; borrowed until the next line. */
const smi_json_note *smi_json_unknown_notes(const smi_json_unknown *u, int32_t *n);
/** The text of the value behind a noted key. The line has no faults. */
sm_str smi_json_unknown_value(sm_json_token key);
/** Counts the noted keys of a line that is kept. true where it has some. */
bool smi_json_unknown_keep(smi_json_unknown *u);
/** Is a value made of brackets alone ({}, [{}]), so that nothing is lost without it? */
bool smi_json_holds_nothing(const uint8_t *value, size_t n);
/** Of a line that was kept: the first noted key in the line whose value holds something, and the
 * object in which it stands. false: there is none. */
bool smi_json_unknown_first(smi_json_unknown *u, const smi_json_node **object, sm_json_token *key);
/** The path of such a key ("s.x"), in `a`. */
sm_str smi_json_unknown_path(smi_json_unknown *u, const smi_json_node *object, sm_json_token key,
                             sm_arena *a);
/** What was counted since the last reset; borrowed until the next one. */
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
    sm_buf rescued;                      /* the text of a line's unknown keys: json_rescue.c */
    uint64_t opened;                     /* the number of the object that was opened last */
    bool is_counting;                    /* unknown keys are noted in this walk */

    /* the line */
    sm_json_scan scan;
    sm_block *block;
    /* Of the values that do not fit, the one whose column has the least rank. */
    smi_json_verdict verdict;
    smi_json_node *worst;         /* its column; NULL: all fit */
    const smi_json_node *culprit; /* the node whose type it does not fit: `worst`, or inside it */
    sm_json_token worst_token;
    sm_status no_memory; /* SM_OK, or why a MAP's members could not be gathered */
    sm_error *error;     /* the caller's */
} smi_json_parser;

void smi_json_parser_init(smi_json_parser *p, smi_json_schema *schema, smi_json_unknown *unknown,
                          sm_budget *budget);
void smi_json_parser_release(smi_json_parser *p);

/**
 * Reads a line (not blank) and appends a row to the builders, or says why it is refused. A refused
 * line leaves nothing in the builders.
 *
 * Returns   SM_OK with *is_kept true, or with *is_kept false and *why filled
 * Errors    SM_BUDGET where there is no memory for unescaped text or for a MAP's members
 */
sm_status smi_json_line(smi_json_parser *p, const smi_line *line, bool *is_kept,
                        smi_json_refusal *why, sm_error *e) SM_MUST_USE;

/** Forgets which blocks the builders hold: call it when the batch was taken or dropped. */
void smi_json_parser_unbind(smi_json_parser *p);

/* ---- the members of a MAP -------------------------------------------------------------------- */

typedef struct smi_json_member {
    sm_str name; /* the key, unescaped */
    uint64_t hash;
    sm_json_token key, value;
} smi_json_member;

/* The members of one object: a part of the parser's buffers `members` and `key_text`. */
typedef struct smi_json_members {
    int64_t n;
    size_t first_byte, first_text; /* where they begin there */
} smi_json_members;

/** Collects the members of an object of the line, each key once, with its last value. What was
 * opened last is closed first. The parser's key_text must have room for the line. SM_BUDGET. */
sm_status smi_json_members_open(smi_json_parser *p, sm_json_token object, smi_json_members *out,
                                sm_error *e) SM_MUST_USE;
smi_json_member smi_json_member_at(const smi_json_parser *p, const smi_json_members *m, int64_t i);
/** Gives the part of the buffers back; also after smi_json_members_open has failed. */
void smi_json_members_close(smi_json_parser *p, const smi_json_members *m);

/* ---- unknown keys that are kept -------------------------------------------------------------- */

/** Appends to the schema's `rescued` what is noted of a line that was kept: a row. SM_BUDGET. */
sm_status smi_json_rescue(smi_json_parser *p, const uint8_t *line, size_t n,
                          sm_error *e) SM_MUST_USE;

/* ---- values ---------------------------------------------------------------------------------- */

/* How json_row.c checks and converts values; json_shape.c uses the same functions. */

/** The text of a string's token: a span of the line, or unescaped into the parser's scratch, which
 * must have room for it. Good until the next call. */
sm_str smi_json_text(smi_json_parser *p, sm_json_token t);
/** Checks the token in n's slot (a scalar type, not null) and converts it into the slot. */
smi_json_verdict smi_json_check(smi_json_parser *p, smi_json_node *n);
/** Converts a number's token to the unscaled value of n's DECIMAL. */
smi_json_verdict smi_json_decimal(smi_json_parser *p, const smi_json_node *n, sm_json_token t,
                                  sm_i128 *out);
/** The index of `block` in n's builder, for strings that are not copied; makes the builder keep it.
 */
int32_t smi_json_bind(smi_json_node *n, sm_block *block);

/* ---- lines that look like earlier ones ------------------------------------------------------- */

typedef struct smi_json_shapes smi_json_shapes;

/** NULL where shapes do not work for the schema: a LIST or MAP is wanted, or there are over 127
 * columns and fields. Borrows the parser and appends to its builders. */
smi_json_shapes *smi_json_shapes_new(smi_json_parser *parser, sm_budget *budget);
void smi_json_shapes_free(smi_json_shapes *s); /* takes NULL */

/* The lines that smi_json_shapes_read may read. */
typedef struct smi_json_shape_lines {
    const uint8_t *at;   /* the first line; moves on behind the last one that was read */
    const uint8_t *stop; /* lines that start here or later are not to be read */
    const uint8_t *end;  /* of the bytes: behind an LF, with SM_PAD_BYTES readable after it */
    sm_block *block;     /* holds them */
    int64_t max_rows;
    size_t max_bytes; /* of lines without their LFs; the line that reaches it is the last */
    /* filled in: what was read */
    int64_t n_rows, n_unknown_lines;
    size_t n_bytes;
} smi_json_shape_lines;

/** Appends a row for each line, up to the first line that does not look like one it has learnt.
 * That line, be it right or wrong, is for smi_json_line. */
void smi_json_shapes_read(smi_json_shapes *s, smi_json_shape_lines *r);
/** Learns a line that smi_json_line kept: smi_json_shapes_read then knows others like it. */
void smi_json_shapes_learn(smi_json_shapes *s, const smi_line *line);
/** Adds the keys of the lines that smi_json_shapes_read has read to the counts of their nodes. At
 * the end of a morsel. */
void smi_json_shapes_count(smi_json_shapes *s);

/* ---- files of another layout ----------------------------------------------------------------- */

/** The file's first line, which `lines` returned last, is no object. SM_UNSUPPORTED, with what the
 * file is and what to do, if the file as a whole is JSON in another layout; else SM_OK. */
sm_status smi_json_foreign(const smi_lines *lines, const smi_line *line, sm_error *e) SM_MUST_USE;

/* ---- the rest of the format ------------------------------------------------------------------ */

sm_sample *smi_json_sample_new(const void *opts);
sm_status smi_json_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                               sm_error *e) SM_MUST_USE;
const sm_type *smi_json_sample_end(sm_sample *s, const sm_type *known, sm_arena *a);
void smi_json_sample_free(sm_sample *s); /* takes NULL */

extern const struct sm_writer_ops smi_json_writer; /* json_writer.c: one array of objects */

#endif
