/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_matching_int.h: one matching under way: what flow_match.c (files) and
 * flow_match_root.c (whose folder it is) share. */
#ifndef SM_FLOW_MATCHING_INT_H
#define SM_FLOW_MATCHING_INT_H

#include "flow/flow_match_int.h"

typedef struct smi_matching {
    const smi_match_in *in;
    sm_arena *arena;
    smi_match_out *out;
    int64_t *at_path; /* of each file found: the known one of its path; −1 */
    bool *is_open;    /* of each file found: to be matched, and not matched yet */
    int64_t *here;    /* of each known file: the one found at its path; −1 */
    bool *is_taken;   /* of each known file: a file found goes on with it */
    int64_t cap_dates;
} smi_matching;

/* ---- what is known --------------------------------------------------------------------------- */

static inline bool smi_known_has_rows(const smi_flow_known *k)
{
    return !k->is_dropped && !k->is_passed;
}

static inline bool smi_known_has_content(const smi_flow_known *k)
{
    return k->has_identity && k->content_bytes >= 0;
}

/* Has it rows, and lines by which a file can be known again? */
static inline bool smi_known_is_telling(const smi_flow_known *k)
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

/** Tells the root: out->root, out->is_root_moved. */
sm_status smi_match_root(smi_matching *j, sm_error *e) SM_MUST_USE;

/** Moves and growth, of the files that are open. */
sm_status smi_matching_by_content(smi_matching *j, sm_error *e) SM_MUST_USE;
/** Copies that are not to be loaded. Known are what is read and out->left. */
sm_status smi_matching_copies(smi_matching *j, sm_error *e) SM_MUST_USE;

/* ---- what the steps share -------------------------------------------------------------------- */

bool smi_match_is_plain(sm_str path); /* not compressed, by its name */
bool smi_match_is_in_period(const smi_match_in *in, bool has_date, int32_t date);
/** The content of a file found, into out->files. */
sm_status smi_match_ask(smi_matching *j, int64_t i, sm_error *e) SM_MUST_USE;
/** Was the content asked for, and is it the known one's? */
bool smi_matching_is_content(const smi_match_file *f, const smi_flow_known *k);
/** The known file of this path with rows in the table; NULL where there is none. */
const smi_flow_known *smi_matching_rows_at(const smi_matching *j, int64_t i);
/** The file goes on with the known one's rows, or replaces them. */
void smi_matching_take(smi_matching *j, int64_t i, int64_t k, smi_match_kind kind);

#endif
