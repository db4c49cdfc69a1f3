/* SPDX-License-Identifier: Apache-2.0
 *
 * base/memory_test.c: counting, refusal at each level, blocks and their pad. */
#include "test.h"

#include "base/memory.h"
#include "base/poison_int.h"
#include "base/thread.h"
#include "base/time.h"

/* A sanitizer has an allocator of its own. */
#if SM_HAS_ASAN || defined(__SANITIZE_THREAD__)
#define HAS_SYSTEM_HEAP 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_SYSTEM_HEAP 0
#endif
#endif
#ifndef HAS_SYSTEM_HEAP
#define HAS_SYSTEM_HEAP 1
#endif

static void test_live_allocs(void **state)
{
    const int64_t before = sm_live_allocs();
    uint8_t *p = sm_alloc(1000);
    assert_int_equal(sm_live_allocs(), before + 1);
    memset(p, 7, 1000);
    p = sm_realloc(p, 100000);
    assert_int_equal(sm_live_allocs(), before + 1);
    assert_int_equal(p[999], 7);
    uint8_t *z = sm_alloc_zero(64);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(z[i], 0);
    }
    void *none = sm_alloc(0);
    assert_non_null(none);
    none = sm_realloc(none, 0);
    assert_non_null(none);
    void *fresh = sm_realloc(NULL, 8);
    sm_free(fresh);
    sm_free(none);
    sm_free(z);
    sm_free(p);
    sm_free(NULL);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_sizes(void **state)
{
    size_t out = 0;
    assert_true(sm_mul_size(1u << 20, 1u << 20, &out));
    assert_true(out == (size_t)1 << 40);
    assert_false(sm_mul_size(SIZE_MAX, 2, &out));
    assert_true(sm_add_size(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_false(sm_add_size(SIZE_MAX, 1, &out));
}

static void test_budget_tree(void **state)
{
    sm_error e = {0};
    sm_budget *root = sm_budget_new(NULL, "process", 1000);
    sm_budget *query = sm_budget_new(root, "query", 0);
    sm_budget *sort = sm_budget_new(query, "sort", 600);

    assert_int_equal(sm_budget_room(sort), 600);
    assert_int_equal(sm_budget_room(query), 1000);
    assert_ok(sm_budget_take(sort, 600, &e), &e);
    assert_int_equal(sm_budget_used(sort), 600);
    assert_int_equal(sm_budget_used(query), 600);
    assert_int_equal(sm_budget_used(root), 600);
    assert_int_equal(sm_budget_room(sort), 0);
    assert_int_equal(sm_budget_room(query), 400);

    assert_status(sm_budget_take(sort, 1, &e), SM_BUDGET, &e); /* refused by itself */
    assert_string_equal(e.what, "memory budget \"sort\" refused 1 bytes: 600 of 600 are in use");
    assert_string_equal(e.todo, "Raise the memory limit of sort to 900 bytes or more.");
    assert_status(sm_budget_take(query, 401, &e), SM_BUDGET, &e); /* refused two levels up */
    assert_string_equal(e.what,
                        "memory budget \"process\" refused 401 bytes: 600 of 1000 are in use");
    assert_int_equal(sm_budget_used(query), 600); /* rolled back */
    assert_int_equal(sm_budget_used(root), 600);
    assert_int_equal(sm_budget_peak(query), 600);
    assert_ok(sm_budget_take(query, 400, &e), &e);

    sm_budget_force(query, 50);
    assert_int_equal(sm_budget_used(root), 1050);
    assert_int_equal(sm_budget_peak(root), 1050);
    assert_int_equal(sm_budget_room(query), 0); /* over the limit is no room, not a wrap */
    assert_status(sm_budget_take(query, 1, &e), SM_BUDGET, &e);
    assert_ok(sm_budget_take(NULL, 5, &e), &e);

    sm_budget_give(query, 450);
    sm_budget_give(sort, 600);
    assert_int_equal(sm_budget_used(root), 0);
    assert_int_equal(sm_budget_peak(root), 1050);
    sm_budget_free(sort);
    sm_budget_free(query);
    sm_budget_free(root);
    sm_budget_free(NULL);
}

static void test_budget_extremes(void **state)
{
    sm_error e = {0};
    sm_budget *b = sm_budget_new(NULL, "b", 0);
    assert_true(sm_budget_room(b) == SIZE_MAX);
    assert_ok(sm_budget_take(b, 10, &e), &e);
    assert_status(sm_budget_take(b, SIZE_MAX, &e), SM_BUDGET, &e); /* would wrap */
    assert_string_equal(e.todo, "");
    sm_budget_give(b, 10);
    sm_budget_free(b);

    b = sm_budget_new(NULL, "b", 1500000);
    assert_ok(sm_budget_take(b, 1500000, &e), &e);
    assert_status(sm_budget_take(b, 500001, &e), SM_BUDGET, &e);
    assert_string_equal(e.todo, "Raise the memory limit of b to 3MB or more.");

    /* In the user's terms: 8% and 5 MB of their limit are not this budget's. */
    sm_budget_set_overhead(b, 5000000, 8);
    assert_status(sm_budget_take(b, 4200000, &e), SM_BUDGET, &e); /* (1.5 + 4.2 + 5) / 0.92 */
    assert_string_equal(e.todo, "Raise the memory limit of b to 12MB or more.");
    sm_budget_give(b, 1500000);
    sm_budget_free(b);
}

typedef struct taker {
    sm_budget *budget;
    int64_t taken, refused;
} taker;

static void take_and_give(void *ctx)
{
    taker *t = ctx;
    for (int i = 0; i < 20000; i++) {
        const size_t bytes = (size_t)(i % 7 + 1);
        if (sm_budget_take(t->budget, bytes, NULL) == SM_OK) {
            t->taken++;
            sm_budget_give(t->budget, bytes);
        } else {
            t->refused++;
        }
    }
}

static void test_budget_threads(void **state)
{
    sm_error e = {0};
    sm_budget *root = sm_budget_new(NULL, "root", 10);
    taker t[3] = {0};
    sm_thread *threads[3];
    for (int i = 0; i < 3; i++) {
        t[i].budget = sm_budget_new(root, "leaf", 0);
        assert_ok(sm_thread_start(take_and_give, &t[i], "taker", &threads[i], &e), &e);
    }
    for (int i = 0; i < 3; i++) {
        sm_thread_join(threads[i]);
        assert_int_equal(t[i].taken + t[i].refused, 20000);
        assert_int_equal(sm_budget_used(t[i].budget), 0);
        sm_budget_free(t[i].budget);
    }
    assert_int_equal(sm_budget_used(root), 0);
    assert_in_range(sm_budget_peak(root), 7, 10);
    sm_budget_free(root);
}

static void test_blocks(void **state)
{
    sm_error e = {0};
    const int64_t before = sm_live_allocs();
    sm_budget *b = sm_budget_new(NULL, "blocks", 1 << 20);
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000};
    for (int i = 0; i < SM_COUNT(sizes); i++) {
        sm_block *block = NULL;
        assert_ok(sm_block_new(b, sizes[i], &block, &e), &e);
        assert_int_equal((uintptr_t)block->data % 64, 0);
        assert_int_equal(block->size_bytes, sizes[i]);
        assert_in_range(sm_budget_used(b), sizes[i] + SM_PAD_BYTES,
                        sizes[i] + sizes[i] / 8 + 64 * 3);
        memset(block->data, 0xFF, sizes[i]);
        for (size_t k = 0; k < SM_PAD_BYTES; k++) {
            assert_int_equal(block->data[sizes[i] + k], 0);
        }
        assert_ptr_equal(sm_block_retain(block), block);
        sm_block_release(block);
        assert_true(sm_budget_used(b) > 0);
        sm_block_release(block);
        assert_int_equal(sm_budget_used(b), 0);
    }
    sm_block *block = NULL;
    assert_status(sm_block_new(b, 1 << 20, &block, &e), SM_BUDGET, &e);
    assert_null(block);
    assert_int_equal(sm_budget_used(b), 0);
    assert_status(sm_block_new(b, SIZE_MAX - 10, &block, &e), SM_NOMEM, &e);
    assert_ok(sm_block_new(NULL, 10, &block, &e), &e); /* uncounted */
    sm_block_release(block);
    sm_block_release(NULL);
    sm_budget_free(b);
    assert_int_equal(sm_live_allocs(), before);
}

/* A slice has the bytes of its block, and the block goes with the last of them. */
static void test_slices(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_budget *b = sm_budget_new(NULL, "slices", 0);
    sm_block *block = NULL;
    sm_error e = {0};

    assert_ok(sm_block_new(b, 100, &block, &e), &e);
    for (int i = 0; i < 100; i++) {
        block->data[i] = (uint8_t)i;
    }
    const size_t used = sm_budget_used(b);
    sm_block *slice = sm_block_slice(block, 30, 20), *part = sm_block_slice(slice, 5, 15);
    sm_block *none = sm_block_slice(block, 100, 0);
    assert_int_equal(sm_budget_used(b), used);
    sm_block_release(none);
    sm_block_release(block);
    sm_block_release(slice);
    assert_int_equal(part->size_bytes, 15);
    assert_int_equal(part->data[0], 35);
    assert_int_equal(sm_block_retain(part)->data[14], 49);
    sm_block_release(part);
    assert_int_equal(sm_budget_used(b), used);
    sm_block_release(part);
    assert_int_equal(sm_budget_used(b), 0);
    sm_budget_free(b);
    assert_int_equal(sm_live_allocs(), before);
}

/* A released block is the next one of its size under the same root, whatever the budget below. */
static void test_reuse(void **state)
{
    enum { BYTES = 1 << 20 };
    sm_error e = {0};
    const int64_t before = sm_live_allocs();
    sm_budget *root = sm_budget_new(NULL, "root", (size_t)BYTES * 40);
    sm_budget *one = sm_budget_new(root, "one", 0);
    sm_budget *two = sm_budget_new(root, "two", BYTES * 2);
    const int64_t with_budgets = sm_live_allocs();
    sm_block *a = NULL, *b = NULL, *c = NULL;

    assert_ok(sm_block_new(one, BYTES, &a, &e), &e);
    const uint8_t *where = a->data;
    memset(a->data, 0xFF, BYTES + SM_PAD_BYTES);
    sm_block_release(a);
    assert_int_equal(sm_live_allocs(), with_budgets);
    assert_int_equal(sm_budget_used(root), 0);
    assert_int_equal(sm_budget_room(two), BYTES * 2);

    assert_ok(sm_block_new(two, BYTES - 100, &b, &e), &e);
    assert_ptr_equal(b->data, where);
    assert_int_equal(b->size_bytes, BYTES - 100);
    for (int i = 0; i < SM_PAD_BYTES; i++) {
        assert_int_equal(b->data[BYTES - 100 + i], 0);
    }
    assert_true(sm_budget_used(two) >= BYTES && sm_budget_used(root) == sm_budget_used(two));
    /* two may not have another; what the root kept for it goes back. */
    assert_ok(sm_block_new(one, BYTES, &a, &e), &e);
    sm_block_release(a);
    assert_status(sm_block_new(two, BYTES, &c, &e), SM_BUDGET, &e);
    assert_int_equal(sm_budget_used(root), sm_budget_used(two));
    sm_block_release(b);

    /* All that is kept makes room for who needs it. */
    assert_ok(sm_block_new(one, (size_t)BYTES * 39, &c, &e), &e);
    sm_block_release(c);
    assert_int_equal(sm_budget_used(root), 0);
    sm_budget_free(one);
    sm_budget_free(two);
    sm_budget_free(root);
    assert_int_equal(sm_live_allocs(), before);
}

#if HAS_SYSTEM_HEAP
enum { SMALL_BYTES = 1500, N_SMALL = 16384, LARGE_BYTES = 24 << 20 };

/* What the process holds more than before, when small blocks were freed, but for allocations
 * between them that live on, and a large one has followed. */
static size_t resident_with_holes(size_t may_hold_more)
{
    static sm_block *blocks[N_SMALL];
    static void *between[N_SMALL];
    const size_t before = (size_t)sm_resident_bytes();
    sm_error e = {0};
    sm_budget *root = sm_budget_new(NULL, "process", 0);
    sm_block *large = NULL;

    sm_budget_set_resident(root, may_hold_more ? before + may_hold_more : 0);
    for (int i = 0; i < N_SMALL; i++) {
        assert_ok(sm_block_new(root, SMALL_BYTES, &blocks[i], &e), &e);
        memset(blocks[i]->data, 1, SMALL_BYTES);
        between[i] = i % 32 == 0 ? sm_alloc(64) : NULL;
    }
    for (int i = 0; i < N_SMALL; i++) {
        sm_block_release(blocks[i]);
    }
    assert_ok(sm_block_new(root, LARGE_BYTES, &large, &e), &e);
    memset(large->data, 1, LARGE_BYTES);
    const size_t more = (size_t)sm_resident_bytes() - before;
    sm_block_release(large);
    for (int i = 0; i < N_SMALL; i++) {
        sm_free(between[i]);
    }
    sm_budget_free(root);
    return more;
}

static void test_holes(void **state)
{
    const size_t holes = (size_t)SMALL_BYTES * N_SMALL;

    assert_true(resident_with_holes(0) > LARGE_BYTES + holes / 4 * 3);
    assert_true(resident_with_holes(LARGE_BYTES + holes / 2) < LARGE_BYTES + holes / 4);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_allocs),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_budget_tree),
        cmocka_unit_test(test_budget_extremes),
        cmocka_unit_test(test_budget_threads),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_reuse),
#if HAS_SYSTEM_HEAP
        cmocka_unit_test(test_holes),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
