/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena_test.c: memory, and strings in it. */
#include "test.h"

#include <stdlib.h>

#include "base/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

static void test_alloc(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_budget *budget = sm_budget_new(NULL, "arena", 0);
    sm_arena *a = sm_arena_new(budget);
    uint8_t *all[400];
    for (int round = 0; round < 2; round++) {
        size_t sum = 0;
        for (size_t i = 0; i < 400; i++) {
            const size_t n = i % 50 == 49 ? 100000 : i;
            all[i] = sm_arena_alloc(a, n);
            assert_non_null(all[i]);
            assert_int_equal((uintptr_t)all[i] % 16, 0);
            for (size_t k = 0; k < n; k++) {
                assert_int_equal(all[i][k], 0); /* also after a reset */
            }
            memset(all[i], (int)(i % 251) + 1, n);
            sum += n;
        }
        for (size_t i = 0; i < 400; i++) { /* nobody was given another's bytes */
            const size_t n = i % 50 == 49 ? 100000 : i;
            for (size_t k = 0; k < n; k++) {
                assert_int_equal(all[i][k], i % 251 + 1);
            }
        }
        assert_true(sm_budget_used(budget) >= sum);
        assert_true(sm_budget_used(budget) < 3 * sum); /* chunks double */
        sm_arena_reset(a);
        assert_true(sm_budget_used(budget) <= (size_t)1 << 20);
    }
    sm_arena_free(a);
    sm_arena_free(NULL);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_never_refused(void **state)
{
    sm_budget *budget = sm_budget_new(NULL, "tiny", 10);
    sm_arena *a = sm_arena_new(budget);
    assert_non_null(sm_arena_alloc(a, 5000));
    assert_true(sm_budget_used(budget) > 5000);
    sm_arena_reset(a);
    sm_arena_free(a);
    sm_budget_free(budget);
}

static void test_poison(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    sm_arena *a = sm_arena_new(NULL);
    uint8_t *p = sm_arena_alloc(a, 13);
    uint8_t *q = sm_arena_alloc(a, 16);
    assert_false(__asan_address_is_poisoned(p + 12));
    assert_true(__asan_address_is_poisoned(p + 13));
    assert_true(__asan_address_is_poisoned(q + 16));
    assert_true(q - p > 16);
    sm_arena_reset(a);
    assert_true(__asan_address_is_poisoned(p));
    sm_arena_free(a);
#else
    skip();
#endif
}

static void test_grow(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    int32_t *items = NULL;
    int64_t cap = 0;
    for (int64_t n = 0; n < 1000; n++) {
        items = sm_arena_grow(a, items, n, &cap, sizeof(*items));
        assert_true(cap > n);
        items[n] = (int32_t)(n * 3);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(items[i], i * 3);
    }
    assert_int_equal(cap, 1024);
    const int64_t *numbers = SM_NEW_ARRAY(a, int64_t, 3);
    assert_int_equal(numbers[2], 0);
    assert_int_equal(*SM_NEW(a, int), 0);
    sm_arena_free(a);
}

static void test_arena_text(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const char source[] = {'a', '\0', 'b', 'X'};
    const sm_str copy = sm_arena_str(a, (sm_str){source, 3});
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
    assert_string_equal(sm_arena_str(a, (sm_str){0}).data, "");

    char longer[1001];
    memset(longer, 'x', 1000);
    longer[1000] = '\0';
    static const int lens[] = {0, 254, 255, 256, 1000}; /* around the small buffer */
    for (int i = 0; i < SM_COUNT(lens); i++) {
        const sm_str s = sm_arena_strf(a, "%.*s", lens[i], longer);
        assert_int_equal(s.len, lens[i]);
        assert_int_equal(strlen(s.data), lens[i]);
    }
    assert_string_equal(sm_arena_printf(a, "%d-%s", 7, "z"), "7-z");
    sm_arena_free(a);
}

/* Of a text that is copied, and of one that is not. */
static void test_take(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, ((size_t)1 << 20) - 1, (size_t)1 << 20, 5000000};
    const int64_t before = sm_live_allocs();
    sm_budget *budget = sm_budget_new(NULL, "arena", 0);
    sm_arena *a = sm_arena_new(budget);

    for (int round = 0; round < 3; round++) {
        sm_str texts[SM_COUNT(sizes)];
        for (int i = 0; i < SM_COUNT(sizes); i++) {
            sm_buf b = {0};
            for (size_t k = 0; k < sizes[i]; k++) {
                sm_buf_text(&b, (sm_str){&"abcdefg"[(k + (size_t)i) % 7], 1});
            }
            texts[i] = sm_arena_take(a, &b);
            assert_int_equal(b.len, 0);
            assert_int_equal(b.cap, 0);
            sm_buf_text(&b, SM_STR("again")); /* it can be used */
            sm_buf_release(&b);
            (void)sm_arena_str(a, SM_STR("between"));
        }
        for (int i = 0; i < SM_COUNT(sizes); i++) {
            assert_int_equal(texts[i].len, sizes[i]);
            assert_int_equal(texts[i].data[sizes[i]], 0);
            for (size_t k = 0; k < sizes[i]; k++) {
                assert_int_equal(texts[i].data[k], "abcdefg"[(k + (size_t)i) % 7]);
            }
        }
        assert_true(sm_budget_used(budget) >= 7000000);
        sm_arena_reset(a);
        assert_true(sm_budget_used(budget) <= ((size_t)1 << 20) + 4096);
    }
    sm_arena_free(a);
    sm_budget_free(budget);
    assert_int_equal(sm_live_allocs(), before);
}

/* What was released, in order. */
typedef struct releases {
    int n;
    char names[8];
} releases;

typedef struct thing {
    releases *log;
    char name;
    const char *text; /* of the arena, and still there */
} thing;

static void release_thing(void *object)
{
    thing *const t = object;
    assert_string_equal(t->text, "text");
    assert_true(t->log->n < SM_COUNT(t->log->names));
    t->log->names[t->log->n++] = t->name;
    sm_free(t);
}

static void defer_thing(sm_arena *a, releases *log, char name)
{
    thing *const t = sm_alloc(sizeof(*t));
    *t = (thing){log, name, sm_arena_str(a, SM_STR("text")).data};
    sm_arena_defer(a, release_thing, t);
}

/* Objects go with the content, each once, the newest first. */
static void test_defer(void **state)
{
    const int64_t before = sm_live_allocs();
    releases log = {0};
    sm_arena *a = sm_arena_new(NULL);
    defer_thing(a, &log, 'a');
    defer_thing(a, &log, 'b');
    assert_int_equal(log.n, 0);
    sm_arena_reset(a);
    assert_int_equal(log.n, 2);
    assert_memory_equal(log.names, "ba", 2);
    sm_arena_reset(a);
    assert_int_equal(log.n, 2);
    defer_thing(a, &log, 'c');
    sm_arena_free(a);
    assert_int_equal(log.n, 3);
    assert_int_equal(log.names[2], 'c');
    assert_int_equal(sm_live_allocs(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),      cmocka_unit_test(test_never_refused),
        cmocka_unit_test(test_poison),     cmocka_unit_test(test_grow),
        cmocka_unit_test(test_arena_text), cmocka_unit_test(test_take),
        cmocka_unit_test(test_defer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
