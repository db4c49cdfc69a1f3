/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_guard_int.h: what the files of a guard share. */
#ifndef SM_CONTRACT_GUARD_INT_H
#define SM_CONTRACT_GUARD_INT_H

#include "contract/contract_int.h"

/* One CHECK node of a guard. */
typedef struct smi_guard_checks {
    int32_t side;
    const sm_bound_rule *rules; /* one a check, in its order */
    int32_t n_rules;
    const sm_plan_node *node;
} smi_guard_checks;

struct sm_guard {
    sm_guarded in; /* its table may be the guard's own: that of the file, with more rules behind */
    const sm_contract_table *of_file; /* rules are at the same places in both */
    sm_arena *a;
    const sm_plan_node *rows; /* those that are left behind the checks so far */
    smi_guard_checks *checks; /* in the order in which rows come to them */
    int32_t n_checks;
    int32_t n_sides;
    int32_t next_side, next_silent; /* numbers of the next CHECK, by which rows leave or not */
    smi_searches searches; /* of rules about duplicates that only count, among the rows left */
};

/** An audit of some rows of the table. */
sm_audit smi_guard_audit(const sm_guard *g, const sm_plan_node *rows);
/** Puts a CHECK of n rules over `in`, whose first columns are those of the guard's rows; what it
 * leaves are then the guard's rows. Keeps `rules`. */
sm_status smi_guard_check(sm_guard *g, const sm_bound_rule *rules, int32_t n,
                          const sm_plan_node *in, sm_error *e) SM_MUST_USE;
/** Puts what the contract makes of values between the rows and all checks of the file's rules
 * (contract_guard_make.c). */
sm_status smi_guard_make(sm_guard *g, sm_error *e) SM_MUST_USE;
/** Puts a CHECK of a set rule over the rows of the guard (contract_guard_set.c). */
sm_status smi_guard_set(sm_guard *g, const sm_rule *r, sm_error *e) SM_MUST_USE;

#endif
