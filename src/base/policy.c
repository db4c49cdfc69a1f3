/* SPDX-License-Identifier: Apache-2.0
 *
 * base/policy.c: the words of policies. Called by flow_yaml.c for keys, by table_function.c for
 * arguments and by contract_read.c. */
#include "base/policy.h"

#include <stdio.h>

static const char *const names[SM_POLICIES] = {
    [SM_POLICY_FAIL] = "fail", [SM_POLICY_IGNORE] = "ignore",
    [SM_POLICY_SKIP] = "skip", [SM_POLICY_QUARANTINE] = "quarantine",
    [SM_POLICY_KEEP] = "keep", [SM_POLICY_REMOVE] = "remove",
    [SM_POLICY_WARN] = "warn", [SM_POLICY_NULL] = "null",
};

_Static_assert(SM_POLICIES <= 32, "a set of policies is an unsigned");

const char *sm_policy_name(sm_policy p)
{
    SM_ASSERT((int)p >= 0 && p < SM_POLICIES);
    return names[p];
}

static bool find_policy(sm_str word, sm_policy *out)
{
    for (int i = 0; i < SM_POLICIES; i++) {
        if (sm_str_is(word, names[i])) {
            *out = (sm_policy)i;
            return true;
        }
    }
    *out = SM_POLICY_FAIL;
    return sm_str_is(word, "error"); /* the older word for fail */
}

/* Advises to use one of the set's words: "Use 'fail', 'skip' or 'quarantine'." */
static void advise_words(unsigned takes, sm_error *e)
{
    char text[sizeof(e->todo)] = "";
    size_t len = 0;
    int n_left = __builtin_popcount(takes);
    for (int i = 0; i < SM_POLICIES; i++) {
        if ((takes & SM_TAKES(i)) != 0) {
            n_left--;
            len += (size_t)snprintf(text + len, sizeof(text) - len, "'%s'%s", names[i],
                                    n_left > 1    ? ", "
                                    : n_left == 1 ? " or "
                                                  : "");
        }
    }
    SM_ASSERT(n_left == 0 && len < sizeof(text));
    sm_error_todo(e, "Use %s.", text);
}

sm_status sm_policy_parse(const char *what, sm_str word, unsigned takes, sm_policy *out,
                          sm_error *e)
{
    SM_ASSERT(takes != 0 && takes < SM_TAKES(SM_POLICIES));
    sm_policy found = SM_POLICY_FAIL;
    if (find_policy(word, &found) && (takes & SM_TAKES(found)) != 0) {
        *out = found;
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_INVALID, "%s cannot be '%.*s'", what, SM_STR_ARG(word));
    advise_words(takes, e);
    return st;
}
