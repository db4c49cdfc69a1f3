/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/generate_int.h: a viewing log's line while it is being made: what it says (want), how it
 * is spelt (the rest), and what a reader must make of it (verdict). Shared by generate.c, which
 * writes files, generate_line.c, which draws and spells lines, and generate_damage.c, which spoils
 * them. */
#ifndef SM_FLOW_GENERATE_INT_H
#define SM_FLOW_GENERATE_INT_H

#include "base/buf.h"

/* The columns of the table that the log becomes, in its order; the date is the file's. */
enum {
    SMI_GEN_INDEX,
    SMI_GEN_TYPE,
    SMI_GEN_ID,
    SMI_GEN_SCORE,
    SMI_GEN_APP,
    SMI_GEN_CONTRACT,
    SMI_GEN_MAC,
    SMI_GEN_DURATION,
    SMI_GEN_COLUMNS,
};
extern const char *const smi_gen_column_names[SMI_GEN_COLUMNS];

typedef struct smi_gen_value {
    bool is_null;
    sm_str text;    /* the string columns */
    int64_t number; /* SCORE and DURATION */
} smi_gen_value;

typedef enum smi_gen_verdict { SMI_GEN_KEPT, SMI_GEN_REFUSED, SMI_GEN_BLANK } smi_gen_verdict;

typedef struct smi_gen_line {
    smi_gen_value want[SMI_GEN_COLUMNS];

    /* How it is written. A token is JSON text in place of a value's usual one; empty: the usual. */
    sm_str token[SMI_GEN_COLUMNS];
    uint32_t missing; /* a bit for each column whose key is left out */
    bool is_source_missing;
    sm_str source_token; /* in place of the whole _source object */
    sm_str top_extra;    /* members before _source, each ended by a comma: "\"a\":1," */
    sm_str source_extra; /* the same within _source */
    sm_str whole;        /* in place of the whole line */
    int order;           /* of the keys, 0 … 3; 0 is the export's own */
    bool is_spaced;      /* white space between tokens */
    bool has_cr;         /* the line ends in CR LF */

    const char *damage; /* "" where there is none */
    smi_gen_verdict verdict;
    const char *reason; /* REFUSED */
    int column;         /* REFUSED: the offending column, or −1 */

    sm_buf scratch; /* for texts made for this line; reserved so that they do not move */
    char id[24], contract[32], mac[16];
} smi_gen_line;

/* A stream of 64-bit numbers, one for each line, so that a line does not depend on the one before
 * (SplitMix64: Steele et al., OOPSLA 2014). */
typedef struct smi_gen_random {
    uint64_t state;
} smi_gen_random;

static inline uint64_t smi_gen_next(smi_gen_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* Uniform in 0 … n − 1, n < 2^32 (the bias is below 2^-32). */
static inline uint64_t smi_gen_below(smi_gen_random *r, uint64_t n)
{
    SM_ASSERT(n > 0 && n <= UINT32_MAX);
    return ((smi_gen_next(r) >> 32) * n) >> 32;
}
static inline double smi_gen_unit(smi_gen_random *r)
{
    return (double)(smi_gen_next(r) >> 11) * 0x1p-53;
}

/** Formats into the line's scratch; good until the line is drawn anew. */
sm_str smi_gen_text(smi_gen_line *l, const char *fmt, ...) SM_PRINTF(2, 3);

/** Draws a line's values and, where mixed, its spelling. */
void smi_gen_draw(smi_gen_line *l, smi_gen_random *r, int64_t contracts, bool is_mixed);
/** Appends the line as it is spelt, without its end. */
void smi_gen_spell(const smi_gen_line *l, sm_buf *out);

/** Spoils a drawn line in one of the ways of the table in generate_damage.c; smi_gen_spoil() does
 * what must be done to its bytes (out from `start` on) after it was spelt. */
void smi_gen_damage(smi_gen_line *l, smi_gen_random *r);
void smi_gen_damage_too_long(smi_gen_line *l); /* of 16 MiB: the caller decides how rarely */
void smi_gen_spoil(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start);

/** Makes a drawn line one that can be read but breaks a rule of the shipped contracts: one of the
 * row, or that an Id comes once (all such lines have the same). */
void smi_gen_violate(smi_gen_line *l, smi_gen_random *r);
void smi_gen_repeat_id(smi_gen_line *l);

#endif
