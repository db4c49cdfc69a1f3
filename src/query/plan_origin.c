/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_origin.c: plans whose rows say from which line of which file they come. */
#include "query/query_int.h"

static const sm_field origin_fields[] = {
    {.name = {"smelt.file", 10}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"smelt.line", 10}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"smelt.byte_offset", 17}, .type = &sm_type_i64, .is_nullable = true},
};
const sm_type sm_origin_schema = {
    .id = SM_TYPE_STRUCT, .fields = origin_fields, .n_fields = SM_COUNT(origin_fields)};

_Static_assert(SM_COUNT(origin_fields) == SM_ORIGIN_COLUMNS, "they are named there");
