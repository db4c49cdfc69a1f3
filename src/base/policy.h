/* SPDX-License-Identifier: Apache-2.0
 *
 * base/policy.h: what is done with what does not fit, in one vocabulary for SQL's arguments and
 * YAML's keys. A place takes some of the words; the others it refuses by name. */
#ifndef SM_BASE_POLICY_H
#define SM_BASE_POLICY_H

#include "base/str.h"

typedef enum sm_policy {
    SM_POLICY_FAIL,   /* "fail", or "error": the work ends with an error */
    SM_POLICY_IGNORE, /* left out and counted; what it stands in is kept */
    SM_POLICY_NULL,
    SM_POLICY_SKIP, /* what it stands in is left out and counted */
    SM_POLICY_QUARANTINE,
    SM_POLICY_RESCUE,
    SM_POLICY_KEEP, /* what is there already stays as it is */
    SM_POLICY_REMOVE,
    SM_POLICIES,
} sm_policy;

/* A set of policies, for `takes`. */
#define SM_TAKES(policy) (1u << (policy))

const char *sm_policy_name(sm_policy p);
/** The policy of that word. SM_INVALID where it is none of those that `what` (an argument, a key)
 * takes, with the words that it does take. */
sm_status sm_policy_parse(const char *what, sm_str word, unsigned takes, sm_policy *out,
                          sm_error *e) SM_MUST_USE;

#endif
