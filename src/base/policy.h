/* SPDX-License-Identifier: Apache-2.0
 *
 * base/policy.h: policies, the words that say what to do with input that does not fit ("fail",
 * "skip", "quarantine"). SQL arguments, YAML keys and contracts share them. Each argument or key
 * accepts a set of these words and refuses the others by name. */
#ifndef SM_BASE_POLICY_H
#define SM_BASE_POLICY_H

#include "base/str.h"

typedef enum sm_policy {
    SM_POLICY_FAIL,       /* "fail", or "error": the work ends with an error */
    SM_POLICY_IGNORE,     /* the field is left out and counted; its row is kept */
    SM_POLICY_SKIP,       /* the whole line or file is left out and counted */
    SM_POLICY_QUARANTINE, /* the line goes to the quarantine table */
    SM_POLICY_KEEP,       /* it stays: rows that are in the table, keys that no column takes */
    SM_POLICY_REMOVE,     /* rows that are in the table already are removed */
    SM_POLICY_WARN,       /* the row is kept and counted, and the user is told */
    SM_POLICY_NULL,       /* the row is kept and counted; the value becomes NULL */
    SM_POLICIES,
} sm_policy;

/* One member of a set of policies; `takes` is several of them combined by |. */
#define SM_TAKES(policy) (1u << (policy))

/** The word of a policy: "skip". */
const char *sm_policy_name(sm_policy p);
/**
 * Finds the policy of a word.
 *
 * Shape     `what` names the argument or key in messages; `takes` is the set that it accepts
 * Errors    SM_INVALID if the word is not in that set; the advice lists the words that are
 */
sm_status sm_policy_parse(const char *what, sm_str word, unsigned takes, sm_policy *out,
                          sm_error *e) SM_MUST_USE;

#endif
