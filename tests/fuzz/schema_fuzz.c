/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/schema_fuzz.c: any bytes as the schema string of a table. It is refused with words;
 * or it is a schema, which printed and read again is the same. */
#include <stdio.h>
#include <stdlib.h>

#include "delta/delta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "schema_fuzz: %s\n", what);
        abort();
    }
}

/* Reads the text that was printed of a schema; it must print as the same text. */
static void check_again(sm_str text, sm_arena *a)
{
    const sm_type *again = NULL;
    sm_buf printed = {0};
    sm_error e = {0};

    expect(sm_delta_schema_parse(text, a, &again, &e) == SM_OK, "what it prints is refused");
    expect(sm_delta_schema_json(again, &printed, &e) == SM_OK, "it cannot be printed again");
    expect(sm_str_eq(text, sm_buf_str(&printed)), "it prints as another text");
    sm_buf_release(&printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > 65536) {
        return 0;
    }
    sm_budget *budget = sm_budget_new(NULL, "fuzz", 64 << 20);
    sm_arena *a = sm_arena_new(budget);
    const sm_str text = sm_arena_str(a, (sm_str){(const char *)data, n}); /* ends with a NUL */
    const sm_type *schema = NULL;
    sm_buf printed = {0};
    sm_error e = {0};

    const sm_status st = sm_delta_schema_parse(text, a, &schema, &e);
    expect(st == SM_OK || e.what[0] != '\0', "an error without words");
    if (st == SM_OK && sm_delta_schema_json(schema, &printed, &e) == SM_OK) {
        check_again(sm_buf_str(&printed), a);
    }
    sm_buf_release(&printed);
    sm_arena_free(a);
    expect(sm_budget_used(budget) == 0, "memory was not given back");
    sm_budget_free(budget);
    return 0;
}
