/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_index_test.c: a page index that contradicts itself or its chunk is not
 * used. */
#include "test.h"

#include "format/parquet/parquet_int.h"

#define PAGES      3
#define PAGE_ROWS  10
#define PAGE_BYTES 100

static const struct index_case {
    const char *what;
    struct {
        bool is_null;
        int64_t n_nulls;
    } pages[PAGES];
    int64_t chunk_nulls; /* −1: the footer does not say */
    bool is_used;
} cases[] = {
    {"as it is", {{false, 0}, {true, 10}, {false, 4}}, 14, true},
    {"the chunk does not say", {{false, 0}, {true, 10}, {false, 4}}, -1, true},
    {"no page is NULL", {{false, 0}, {false, 0}, {false, 9}}, 9, true},
    {"a NULL page without nulls", {{false, 0}, {true, 0}, {false, 0}}, 0, false},
    {"the same, and the chunk does not say", {{false, 0}, {true, 0}, {false, 0}}, -1, false},
    {"a NULL page of which one is not", {{false, 0}, {true, 9}, {false, 0}}, 9, false},
    {"a page of nulls that is none", {{false, 0}, {false, 10}, {false, 0}}, 10, false},
    {"more nulls than rows", {{false, 11}, {false, 0}, {false, 0}}, 11, false},
    {"more than in the chunk", {{false, 0}, {true, 10}, {false, 0}}, 3, false},
    {"fewer than in the chunk", {{false, 0}, {true, 10}, {false, 0}}, 11, false},
};

static void an_index_that_contradicts_itself_is_not_used(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        smi_pq_written_page pages[PAGES] = {0};
        smi_pq_written_chunk written = {
            .pages = pages, .n_pages = PAGES, .compressed_bytes = PAGES * PAGE_BYTES};
        smi_pq_written_group group = {.n_rows = PAGES * PAGE_ROWS, .chunks = &written};
        sm_buf bytes = {0};
        smi_pq_index index;
        for (int p = 0; p < PAGES; p++) {
            pages[p] = (smi_pq_written_page){
                .n_rows = PAGE_ROWS,
                .bytes = PAGE_BYTES,
                .is_null = cases[i].pages[p].is_null,
                .stats = {.min = {"\0\0\0\0", 4},
                          .max = {"\7\0\0\0", 4},
                          .n_nulls = cases[i].pages[p].n_nulls},
            };
        }
        smi_pq_index_write(&group, 1, 1, 0, &bytes);
        const smi_pq_chunk chunk = {.size_bytes = PAGES * PAGE_BYTES,
                                    .stats = {.n_nulls = cases[i].chunk_nulls},
                                    .column_index = written.index[0],
                                    .offset_index = written.index[1]};
        assert_true(smi_pq_index_read(&chunk, PAGES * PAGE_ROWS, bytes.data,
                                      (smi_pq_span){0, bytes.len}, true, a, &index));
        if ((index.stats != NULL) != cases[i].is_used) {
            fail_msg("%s: %s", cases[i].what, index.stats ? "used" : "not used");
        }
        sm_buf_release(&bytes);
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_that_contradicts_itself_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
