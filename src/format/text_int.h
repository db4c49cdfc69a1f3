/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_int.h: what line-based formats share:
 *
 *   text_codec.c    decompresses .gz and .zst as a stream
 *   text_lines.c    cuts a file into morsels and returns the lines of a morsel
 *   text_refused.c  collects refused lines and makes a batch of them
 *
 * Never looks at what a line says. */
#ifndef SMI_FORMAT_TEXT_INT_H
#define SMI_FORMAT_TEXT_INT_H

#include "column/builder.h"
#include "format/format.h"

/* A longer line is refused; its LF does not count. */
#define SMI_LINE_MAX_BYTES ((size_t)16777216)
/* How much of such a line is kept. */
#define SMI_LINE_HEAD_BYTES ((size_t)65536)
/* How far a morsel's first range goes beyond its end: most lines that cross the end are then whole.
 */
#define SMI_LINE_BEYOND_BYTES ((size_t)4096)
/* A compressed file is read in ranges of this size, a multiple of SM_FILE_HASH_CHUNK. */
#define SMI_CODEC_RANGE_BYTES ((size_t)1 << 20)

/* ---- compressed files ------------------------------------------------------------------------ */

typedef enum smi_codec_kind { SMI_CODEC_NONE, SMI_CODEC_GZIP, SMI_CODEC_ZSTD } smi_codec_kind;

/** Tells the kind by the suffix of a file's name: .gz, .zst, or none. */
smi_codec_kind smi_codec_of_name(sm_str name);

typedef struct smi_codec smi_codec;
/** Makes a decoder. What zlib or libzstd allocates is taken from `budget`. SM_BUDGET. */
sm_status smi_codec_new(smi_codec_kind kind, sm_budget *budget, smi_codec **out,
                        sm_error *e) SM_MUST_USE;
void smi_codec_free(smi_codec *c); /* takes NULL */
/** Forgets the stream so far: the next input begins another file of the same kind. */
void smi_codec_reset(smi_codec *c);

/* Input and output of one call. The call advances in_pos and out_pos. */
typedef struct smi_codec_step {
    const uint8_t *in;
    size_t in_len, in_pos;
    uint8_t *out;
    size_t out_len, out_pos;
} smi_codec_step;
/**
 * Decodes until the input is used up or the output is full. Gzip members and zstd frames that
 * follow one another are one stream.
 *
 * Errors    SM_CORRUPT, without a place: only the caller knows the offset in the file; SM_BUDGET
 */
sm_status smi_codec_decode(smi_codec *c, smi_codec_step *step, sm_error *e) SM_MUST_USE;
/** Is the decoder between two members or frames, so that the input may end here? */
bool smi_codec_is_between(const smi_codec *c);

/* ---- lines ----------------------------------------------------------------------------------- */

/* A line that is not blank. */
typedef struct smi_line {
    const uint8_t *data; /* data[len] is an LF, but for a head; SM_PAD_BYTES readable after it */
    size_t len;          /* without the LF; where it is too long, the length of its head */
    uint64_t full_bytes; /* the line's own length, also where only its head is here */
    uint64_t off_bytes;  /* of the line's first byte in the (decompressed) file */
    int64_t number;      /* 1-based in the morsel */
    sm_block *block;     /* holds the bytes; borrowed until the next call */
    bool is_too_long;
} smi_line;

/* A text file, and how it is compressed. */
typedef struct smi_text_file {
    sm_str uri;
    uint64_t size_bytes; /* as stored */
    smi_codec_kind codec;
    bool is_lines;      /* sm_datafile */
    bool wants_content; /* compressed only: hash the decoded bytes while they are read */
    size_t morsel_bytes;
} smi_text_file;

/** Cuts a file into morsels of morsel_bytes. A compressed file is one morsel; an empty file is one
 * morsel without ranges. SM_LIMIT where the file is too large. */
sm_status smi_text_plan(const smi_text_file *f, int64_t file, sm_arena *a, sm_morsel **out,
                        int64_t *n, sm_error *e) SM_MUST_USE;

typedef enum smi_lines_state {
    SMI_LINES_DONE, /* no morsel has begun, or all lines of this one were returned */
    SMI_LINES_BOM,  /* at the start of the file */
    SMI_LINES_SEEK, /* looking for the first line that starts in the morsel */
    SMI_LINES_OPEN, /* at the start of a line */
    SMI_LINES_LONG, /* inside a line that is over the limit, whose head was kept */
} smi_lines_state;

/* Reads the lines of a morsel; used again for the next one. The buffer holds the bytes at hand:
 * data[pos … len) was not returned yet, and data[pos … scanned) has no LF. */
typedef struct smi_lines {
    sm_budget *budget;
    const smi_text_file *file;
    smi_codec *codec; /* kept from file to file; NULL: none was compressed */
    smi_codec_kind codec_kind;
    sm_content_sum *content; /* hash of the decoded bytes; NULL: never wanted */
    smi_lines_state state;
    uint64_t end_off; /* the morsel's lines start before this offset */
    bool is_first;    /* the file's first line was not returned yet */

    sm_block *buffer;
    const uint8_t *data;
    size_t len, pos, scanned;
    uint64_t base_off; /* of data[0] in the (decompressed) file */
    size_t lf_end;     /* the place behind the buffer's last LF; set where has_lf_end */
    bool has_lf_end;
    bool is_all;       /* the file ends where the buffer ends */
    size_t more_bytes; /* plain: the size of the next range to ask for */

    sm_block *input; /* compressed bytes */
    size_t input_len, input_pos;
    uint64_t input_off;  /* of the input's first byte */
    bool is_input_empty; /* the codec needs more input */

    sm_block *head; /* the first bytes of a line over the limit */
    uint64_t long_bytes, long_off;
    bool is_long_blank;

    int64_t n_lines, n_blank;
} smi_lines;

void smi_lines_init(smi_lines *l, sm_budget *budget);
void smi_lines_release(smi_lines *l);
/** Begins a morsel of `f` (borrowed until the next begin), with the bytes of its ranges. */
sm_status smi_lines_begin(smi_lines *l, const smi_text_file *f, const sm_morsel *m,
                          sm_block *const *blocks, const size_t *lens, sm_error *e) SM_MUST_USE;
/**
 * The next line of the morsel that is not blank.
 *
 * Returns   SM_OK with *out, which is good until the next call; SM_MORE with the range whose bytes
 *           smi_lines_feed must be given before the next call; SM_END
 * Errors    SM_UNSUPPORTED where the file is no text, SM_CORRUPT, SM_BUDGET
 */
sm_status smi_lines_next(smi_lines *l, smi_line *out, sm_byte_range *more, sm_error *e) SM_MUST_USE;
/** Gives the bytes that the last SM_MORE asked for, or more of the file. Keeps the block. */
sm_status smi_lines_feed(smi_lines *l, sm_block *block, size_t len, sm_error *e) SM_MUST_USE;

/** After SM_END, for a compressed file with wants_content: what its decoded bytes are known by. */
sm_content smi_lines_content(const smi_lines *l);

/* The whole lines that are at hand, for a reader that finds their ends by itself. */
typedef struct smi_lines_ahead {
    const uint8_t *at;   /* a line starts here */
    const uint8_t *stop; /* lines that start here or later are not the morsel's */
    const uint8_t *end;  /* behind the last LF */
} smi_lines_ahead;

/** Finds the whole lines at hand. false: there are none, and smi_lines_next must be called. */
bool smi_lines_look_ahead(smi_lines *l, smi_lines_ahead *out);
/** Tells that the caller read n_lines of them, none blank or too long, up to `to` (behind an LF).
 */
void smi_lines_pass(smi_lines *l, const uint8_t *to, int64_t n_lines);

/** The end of the buffer in which the line stands that smi_lines_next returned last. *is_all: the
 * file ends there. Not for a line that is too long: its head is in a block of its own. */
const uint8_t *smi_lines_at_hand(const smi_lines *l, bool *is_all);

/* ---- refused lines --------------------------------------------------------------------------- */

/* Refused lines, as rows of sm_refused_schema in builders. */
typedef struct smi_refused {
    sm_builder *columns[SM_REFUSED_COLUMNS];
    int64_t n_rows;
    sm_budget *budget;
    sm_block *bound; /* the block that bound_index means; NULL: none in this batch */
    int32_t bound_index;
} smi_refused;

void smi_refused_init(smi_refused *r, sm_budget *budget);
void smi_refused_release(smi_refused *r);
void smi_refused_reset(smi_refused *r); /* drops the rows that were not taken */
/** Adds a line; its bytes are not copied, its block is kept. `column` {0}: of no column. */
void smi_refused_add(smi_refused *r, const smi_line *line, sm_str column, const char *reason,
                     const char *message);
/** Makes a batch of the rows so far and is empty again. SM_BUDGET. */
sm_status smi_refused_take(smi_refused *r, sm_batch **out, sm_error *e) SM_MUST_USE;

#endif
