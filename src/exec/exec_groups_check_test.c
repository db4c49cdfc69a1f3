/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_groups_check_test.c: a table of groups is whole while it is filled, and each way in
 * which it is broken is told by its own words. */
#include "test.h"

#include "column/builder.h"
#include "exec/exec_groups_int.h"

#define ROWS 200

typedef struct fixture {
    sm_budget *budget;
    sm_batch *rows; /* number, text (some NULL, some long), list */
    uint64_t hashes[ROWS];
    const sm_type *schema;
    sm_arena *arena;
    smi_groups *g;
} fixture;

static void make_rows(fixture *f)
{
    sm_error e = {0};
    sm_builder *columns[3];

    assert_ok(sm_batch_new(f->budget, f->schema, &f->rows, &e), &e);
    for (int c = 0; c < SM_COUNT(columns); c++) {
        columns[c] = sm_builder_new(f->schema->fields[c].type, f->budget);
    }
    for (int i = 0; i < ROWS; i++) {
        const sm_str text =
            sm_arena_strf(f->arena, i % 2 ? "a text of more than twelve bytes, %d" : "short %d", i);
        sm_builder_i64(columns[0], i / 2);
        if (i % 5 == 0) {
            sm_builder_null(columns[1]);
        } else {
            sm_builder_str(columns[1], text);
        }
        sm_builder_i64(sm_builder_child(columns[2], 0), i % 3);
        sm_builder_list(columns[2]);
    }
    f->rows->n_rows = ROWS;
    for (int c = 0; c < SM_COUNT(columns); c++) {
        assert_ok(sm_builder_finish(columns[c], f->rows, &f->rows->columns[c], &e), &e);
        sm_builder_free(columns[c]);
        sm_column_hash(&f->rows->columns[c], f->hashes, c > 0);
    }
}

static void init(fixture *f)
{
    const sm_type *types[3];
    sm_error e = {0};
    uint32_t ids[ROWS];

    *f = (fixture){.budget = sm_budget_new(NULL, "test", 0), .arena = sm_arena_new(NULL)};
    assert_ok(sm_type_parse(SM_STR("STRUCT(number BIGINT, text VARCHAR, list BIGINT[])"), f->arena,
                            &f->schema, &e),
              &e);
    make_rows(f);
    for (int c = 0; c < SM_COUNT(types); c++) {
        types[c] = f->schema->fields[c].type;
    }
    f->g = smi_groups_new(types, SM_COUNT(types), 8, f->budget);
    for (int n = 1; n <= ROWS; n++) { /* row by row, the earlier ones anew */
        const char *why = "";
        assert_ok(smi_groups_find(f->g, f->rows->columns, f->hashes, NULL, n, ids, NULL, &e), &e);
        if (!smi_groups_validate(f->g, &why)) {
            fail_msg("%d rows: %s", n, why);
        }
        assert_int_equal(ids[n - 1], n - 1);
    }
    assert_int_equal(smi_groups_count(f->g), ROWS);
}

/* Without smi_groups_free(): the table is broken, which debug builds would tell. */
static void release(fixture *f)
{
    for (int i = 0; i < SMI_GROUP_PAGES; i++) {
        sm_block_release(f->g->pages[i]);
    }
    for (int64_t i = 0; i < f->g->n_heap; i++) {
        sm_block_release(f->g->heap[i]);
    }
    sm_block_release(f->g->slots_block);
    sm_free(f->g->heap);
    sm_free(f->g->keys);
    sm_free(f->g);
    sm_batch_release(f->rows);
    sm_arena_free(f->arena);
    sm_budget_free(f->budget);
}

static smi_group_str *text_of(fixture *f, int64_t id)
{
    return (smi_group_str *)(smi_group_record(f->g, id) + f->g->keys[1].off);
}

/* The slot of a group. */
static uint64_t *slot_of(fixture *f, int64_t id)
{
    uint32_t at = (uint32_t)f->hashes[id] & f->g->mask;

    while ((int64_t)(f->g->slots[at] >> 32) - 1 != id) {
        at = (at + 1) & f->g->mask;
    }
    return &f->g->slots[at];
}

/* Breaks the table in the i-th way; what is then said, NULL after the last. */
static const char *break_table(fixture *f, int i)
{
    static uint8_t elsewhere[64];
    smi_groups *g = f->g;

    switch (i) {
    case 0:
        g->keys[1].off = 16;
        return "a key of a group does not follow the one before it";
    case 1:
        g->state_off = g->nulls_off;
        return "keys, nulls and state of a group overlap";
    case 2:
        g->heap_used = g->heap[g->n_heap - 1]->size_bytes + 1;
        return "a block of long keys is filled beyond its end";
    case 3:
        g->mask--;
        return "the number of slots is no power of two";
    case 4:
        g->mask /= 2;
        return "more than half of the slots are full";
    case 5: /* a table that forgot its last page */
        g->count = 1 << 20;
        g->mask = (1 << 22) - 1;
        return "slots lie outside their block";
    case 6:
        *slot_of(f, 7) += (uint64_t)ROWS << 32;
        return "a slot names a group that there is not";
    case 7:
        *slot_of(f, 7) = *slot_of(f, 8);
        return "a group stands in two slots";
    case 8:
        *slot_of(f, 7) = 0;
        return "a group stands in no slot";
    case 9: { /* as a growth would leave it that takes the wrong half of the hash */
        uint64_t *slot = slot_of(f, 7);
        *slot ^= 1;
        return "a group is not reached from the slot of its hash";
    }
    case 10:
        text_of(f, 1)->far.data = elsewhere;
        return "a long key lies outside the table's blocks";
    case 11:
        text_of(f, 1)->far.prefix[0]++;
        return "a long key begins otherwise than its copy";
    case 12:
        text_of(f, 2)->inlined.bytes[11] = 1;
        return "a short key has bytes behind its end";
    case 13:
        sm_bit_set(smi_group_record(g, 2) + g->nulls_off, 1);
        return "a key that is NULL has a value";
    default:
        return NULL;
    }
}

static void test_broken_tables(void **state)
{
    bool is_last = false;

    for (int i = 0; !is_last; i++) {
        const char *why = "";
        fixture f;
        init(&f);
        const char *want = break_table(&f, i);
        is_last = !want;
        assert_int_equal(smi_groups_validate(f.g, &why), is_last);
        if (want) {
            assert_string_equal(why, want);
        }
        release(&f);
    }
}

/* Two groups of one key: the second in the slot where a search ends first. */
static void test_equal_groups(void **state)
{
    const char *why = "";
    fixture f;

    init(&f);
    const uint64_t slot = *slot_of(&f, 7);
    memcpy(smi_group_record(f.g, 8), smi_group_record(f.g, 7), f.g->record_bytes);
    *slot_of(&f, 8) = 0;
    uint32_t at = (uint32_t)slot & f.g->mask;
    while (f.g->slots[at] != 0) {
        at = (at + 1) & f.g->mask;
    }
    f.g->slots[at] = (uint64_t)9 << 32 | (uint32_t)slot;
    assert_false(smi_groups_validate(f.g, &why));
    assert_string_equal(why, "two groups have the same keys");
    release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_tables),
        cmocka_unit_test(test_equal_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
