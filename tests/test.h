/* tests/test.h: what every unit test includes, in the one order cmocka needs. */
#ifndef SM_TEST_H
#define SM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

/* Fails with the error's whole text, so that a broken test says why. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        const sm_status assert_ok_status = (call);                                                 \
        if (assert_ok_status != SM_OK) {                                                           \
            char assert_ok_text[4096];                                                             \
            sm_error_format((err), assert_ok_text, sizeof(assert_ok_text));                        \
            fail_msg("%s: %s: %s", #call, sm_status_name(assert_ok_status), assert_ok_text);       \
        }                                                                                          \
    } while (0)

/* The status, and that the error says so too. */
#define assert_status(call, want, err)                                                             \
    do {                                                                                           \
        const sm_status assert_got = (call);                                                       \
        if (assert_got != (want)) {                                                                \
            fail_msg("%s: got %s, want %s (%s)", #call, sm_status_name(assert_got),                \
                     sm_status_name(want), (err)->what);                                           \
        }                                                                                          \
    } while (0)

#endif
