/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_matching_int.h: the state of one matching, which flow_match.c (files),
 * flow_match_root.c (the root) and flow_match_content.c (contents) share. */
#ifndef SM_FLOW_MATCHING_INT_H
#define SM_FLOW_MATCHING_INT_H

#include "flow/flow_match_int.h"

typedef struct smi_matching {
    const smi_match_in *in;
    sm_arena *arena;
    smi_match_out *out;
    int64_t *at_path; /* for each file found: the known file of its path, or −1 */
    bool *is_open;    /* for each file found: it is to be matched, and is not matched yet */
    int64_t *here;    /* for each known file: the file found at its path, or −1 */
    bool *is_taken;   /* for each known file: a file found keeps or replaces its rows */
    int64_t cap_dates;
} smi_matching;

/* ---- what is known --------------------------------------------------------------------------- */

static inline bool smi_known_has_content(const smi_flow_known *k)
{
    return k->has_identity && k->content_bytes >= 0;
}

/* Has it rows, and a content by which a file can be recognised? An empty one could be any. */
static inline bool smi_known_is_recognisable(const smi_flow_known *k)
{
    return smi_known_has_rows(k) && smi_known_has_content(k) && k->content_bytes > 0 &&
           k->n_lines != 0;
}

static inline sm_content smi_known_content(const smi_flow_known *k)
{
    return (sm_content){
        .hash = k->hash,
        .bytes = k->content_bytes,
        .head = k->head,
        .has_lines = k->n_lines != 0,
    };
}

/* ---- steps ----------------------------------------------------------------------------------- */

/** Finds the root: out->root, out->is_root_moved. */
sm_status smi_match_root(smi_matching *j, sm_error *e) SM_MUST_USE;

/** Matches open files that were moved or have grown. */
sm_status smi_matching_by_content(smi_matching *j, sm_error *e) SM_MUST_USE;
/** Finds copies that are not to be loaded. After is_read and out->left are set. */
sm_status smi_matching_copies(smi_matching *j, sm_error *e) SM_MUST_USE;

/* ---- what the steps share -------------------------------------------------------------------- */

bool smi_match_is_plain(sm_str path); /* not compressed, by its name */
bool smi_match_is_in_period(const smi_match_in *in, bool has_date, int32_t date);
/** Asks for the content of a file found, once, into out->files. */
sm_status smi_match_ask(smi_matching *j, int64_t i, sm_error *e) SM_MUST_USE;
/** Is the file's content known, and is it the content of the known file? */
bool smi_matching_is_content(const smi_match_file *f, const smi_flow_known *k);
/** The known file with the path of file i, if it has rows in the table; else NULL. */
const smi_flow_known *smi_matching_rows_at(const smi_matching *j, int64_t i);
/** Matches file i with known file k: it keeps the known file's rows, or replaces them. */
void smi_matching_take(smi_matching *j, int64_t i, int64_t k, smi_match_kind kind);

#endif
