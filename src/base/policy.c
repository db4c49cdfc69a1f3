/* SPDX-License-Identifier: Apache-2.0
 *
 * base/policy.c: the words of policies, and which of them a place takes. */
#include "base/policy.h"

#include <stdio.h>

static const char *const names[SM_POLICIES] = {
    [SM_POLICY_FAIL] = "fail", [SM_POLICY_IGNORE] = "ignore",         [SM_POLICY_NULL] = "null",
    [SM_POLICY_SKIP] = "skip", [SM_POLICY_QUARANTINE] = "quarantine", [SM_POLICY_RESCUE] = "rescue",
    [SM_POLICY_KEEP] = "keep", [SM_POLICY_REMOVE] = "remove",
};

const char *sm_policy_name(sm_policy p)
{
    return names[p];
}

static bool find_word(sm_str word, sm_policy *out)
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

/* "It takes 'fail', 'skip' or 'quarantine'." */
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
    sm_error_todo(e, "It takes %s.", text);
}

sm_status sm_policy_parse(const char *what, sm_str word, unsigned takes, sm_policy *out,
                          sm_error *e)
{
    sm_policy found = SM_POLICY_FAIL;
    const bool is_word = find_word(word, &found);
    if (is_word && (takes & SM_TAKES(found)) != 0) {
        *out = found;
        return SM_OK;
    }
    if (is_word) {
        (void)sm_fail(e, SM_INVALID, "%s does not take '%s'", what, names[found]);
    } else {
        (void)sm_fail(e, SM_INVALID, "'%.*s' is no word for %s", SM_STR_ARG(word), what);
    }
    advise_words(takes, e);
    return SM_INVALID;
}
