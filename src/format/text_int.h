/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_int.h: what the formats of lines share (text_lines.c, text_codec.c, text_refused.c):
 * cutting a file into morsels, giving the lines of a morsel, decompressing, and the batch of
 * refused lines. Knows nothing of what a line says. */
#ifndef SMI_FORMAT_TEXT_INT_H
#define SMI_FORMAT_TEXT_INT_H

#include "column/builder.h"
#include "format/format.h"

/* A line over this is refused (its LF does not count)… */
#define SMI_LINE_MAX_BYTES ((size_t)16777216)
/* … and of it so much is kept. */
#define SMI_LINE_HEAD_BYTES ((size_t)65536)
/* Read beyond a morsel's end at once: most lines that cross it end there. */
#define SMI_LINE_BEYOND_BYTES ((size_t)4096)
/* Ranges in which a compressed file is read; a multiple of SM_FILE_HASH_CHUNK. */
#define SMI_CODEC_RANGE_BYTES ((size_t)1 << 20)

/* ---- compressed files ------------------------------------------------------------------------ */

typedef enum smi_codec_kind { SMI_CODEC_NONE, SMI_CODEC_GZIP, SMI_CODEC_ZSTD } smi_codec_kind;

/** By the name's suffix. */
smi_codec_kind smi_codec_of_name(sm_str name);

typedef struct smi_codec smi_codec;
/** Memory of the library is taken from the budget as it asks for it. */
sm_status smi_codec_new(smi_codec_kind kind, sm_budget *budget, smi_codec **out,
                        sm_error *e) SM_MUST_USE;
void smi_codec_free(smi_codec *c); /* takes NULL */
/** Ready for another file. */
void smi_codec_reset(smi_codec *c);

typedef struct smi_codec_step {
    const uint8_t *in;
    size_t in_len, in_pos; /* in_pos moves on */
    uint8_t *out;
    size_t out_len, out_pos; /* out_pos moves on */
} smi_codec_step;
/** Decodes until the input is used up or the output is full. Members and frames that follow one
 * another are one stream. SM_CORRUPT (no place: the caller knows the offset), SM_BUDGET. */
sm_status smi_codec_run(smi_codec *c, smi_codec_step *step, sm_error *e) SM_MUST_USE;
/** May the input end here? */
bool smi_codec_is_between(const smi_codec *c);

/* ---- lines ----------------------------------------------------------------------------------- */

/* A line that is not blank. */
typedef struct smi_line {
    const uint8_t *data; /* data[len] is an LF, then SM_PAD_BYTES readable bytes */
    size_t len;          /* without LF; where it is too long, of its head */
    uint64_t full_bytes;
    uint64_t off_bytes; /* of its first byte in the (decompressed) file */
    int64_t number;     /* 1-based in the morsel */
    sm_block *block;    /* holds the bytes; borrowed until the next call */
    bool is_too_long;
} smi_line;

/* A file of lines, and whether and how it is compressed. */
typedef struct smi_text_file {
    sm_str uri;
    uint64_t size_bytes;
    smi_codec_kind codec;
    bool wants_content; /* of a compressed one: it is summed up while it is decoded */
    size_t morsel_bytes;
} smi_text_file;

/** Cuts it into morsels: byte ranges; a compressed one is one. An empty file is one without ranges.
 */
sm_status smi_text_plan(const smi_text_file *f, int64_t file, sm_arena *a, sm_morsel **out,
                        int64_t *n, sm_error *e) SM_MUST_USE;

typedef enum smi_lines_state {
    SMI_LINES_DONE, /* no morsel, or all its lines given */
    SMI_LINES_BOM,  /* at the file's start */
    SMI_LINES_SEEK, /* looking for the first line that starts in the morsel */
    SMI_LINES_OPEN, /* at a line's start */
    SMI_LINES_LONG, /* within a line over the limit, whose head was kept */
} smi_lines_state;

/* The lines of one morsel after another. The window is the bytes at hand: data[pos …) is not given
 * yet, data[pos … scanned) has no LF. */
typedef struct smi_lines {
    sm_budget *budget;
    const smi_text_file *file;
    smi_codec *codec; /* NULL: plain */
    smi_codec_kind codec_kind;
    sm_content_sum *content; /* of what was decoded; NULL: never wanted */
    smi_lines_state state;
    uint64_t end_off; /* lines that start before it are the morsel's */
    bool is_first;    /* the file's first line has not been given */

    sm_block *window;
    const uint8_t *data;
    size_t len, pos, scanned;
    uint64_t base_off; /* of data[0] */
    size_t lf_end;     /* behind the window's last LF, where has_lf_end */
    bool has_lf_end;
    bool is_all;       /* nothing follows the window */
    size_t more_bytes; /* plain: how much to ask for next */

    sm_block *input; /* compressed bytes */
    size_t input_len, input_pos;
    uint64_t input_off;  /* of the input's first byte */
    bool is_input_empty; /* the codec wants more input */

    sm_block *head; /* of a line over the limit */
    uint64_t long_bytes, long_off;
    bool is_long_blank;

    int64_t n_lines, n_blank;
} smi_lines;

/* Decoded bytes of a whole compressed file. */
sm_content smi_lines_content(const smi_lines *l);

void smi_lines_init(smi_lines *l, sm_budget *budget);
void smi_lines_release(smi_lines *l);
sm_status smi_lines_begin(smi_lines *l, const smi_text_file *f, const sm_morsel *m,
                          sm_block *const *blocks, const size_t *lens, sm_error *e) SM_MUST_USE;
/** The next line that is not blank. SM_MORE with the range to feed; SM_END; SM_CORRUPT, SM_BUDGET.
 */
sm_status smi_lines_next(smi_lines *l, smi_line *out, sm_byte_range *more, sm_error *e) SM_MUST_USE;
sm_status smi_lines_feed(smi_lines *l, sm_block *block, size_t len, sm_error *e) SM_MUST_USE;

/* Whole lines at hand, without looking for their ends one by one. */
typedef struct smi_lines_ahead {
    const uint8_t *at;   /* a line starts here */
    const uint8_t *stop; /* from here on lines are not the morsel's */
    const uint8_t *end;  /* behind the last LF */
} smi_lines_ahead;

/** false where there is none: smi_lines_next knows why. */
bool smi_lines_look_ahead(smi_lines *l, smi_lines_ahead *out);
/** n_lines of them, none blank or too long, up to `to` (behind an LF) were read. */
void smi_lines_pass(smi_lines *l, const uint8_t *to, int64_t n_lines);

/** The end of the bytes at hand, of which the line that smi_lines_next gave last is a part.
 * *is_all: the file ends there. Not of a line that is too long. */
const uint8_t *smi_lines_at_hand(const smi_lines *l, bool *is_all);

/* ---- refused lines --------------------------------------------------------------------------- */

typedef struct smi_refused {
    sm_builder *columns[SM_REFUSED_COLUMNS];
    int64_t n_rows;
    sm_budget *budget;
    sm_block *bound; /* the block that bound_index means */
    int32_t bound_index;
} smi_refused;

void smi_refused_init(smi_refused *r, sm_budget *budget);
void smi_refused_release(smi_refused *r);
void smi_refused_reset(smi_refused *r); /* forgets what was not taken */
void smi_refused_add(smi_refused *r, const smi_line *line, sm_str column, const char *reason,
                     const char *message);
/** The rows so far as a batch; empty afterwards. */
sm_status smi_refused_take(smi_refused *r, sm_batch **out, sm_error *e) SM_MUST_USE;

#endif
