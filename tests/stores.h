/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/stores.h: the sm_stores of a test program, one for all of its cases, so that
 * "memory://name" is the same store wherever it is opened. It exists before the first case, so
 * that cases can compare what is allocated. At its end it finds stores that were never released. */
#ifndef SM_TEST_STORES_H
#define SM_TEST_STORES_H

#include "store/store.h"

static sm_stores *test_stores;

__attribute__((constructor)) static void test_stores_open(void)
{
    sm_http *http = sm_http_new(NULL, NULL);
    test_stores = sm_stores_new(http);
    sm_http_release(http);
}

__attribute__((destructor)) static void test_stores_close(void)
{
    sm_stores_release(test_stores);
}

#endif
