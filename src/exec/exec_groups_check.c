/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_groups_check.c: is a table of groups (exec_groups.c) whole?
 *
 * Calls    in debug and sanitizer builds, whenever a table has grown its slots and before it is
 *          freed: so that the cost stays in proportion to the groups. Tests break one on purpose.
 * Checks   the layout of a record; that each group stands in one slot, which a search from the
 *          slot of its hash reaches; that no two groups have the same keys; that keys are stored
 *          as the searches compare them; that long strings lie in the table's own heap. */
#include "exec/exec_groups_int.h"

#include <string.h>

#define REFUSE(cond, reason)                                                                       \
    do {                                                                                           \
        if (cond) {                                                                                \
            *why = (reason);                                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* ---- layout ---------------------------------------------------------------------------------- */

static bool check_layout(const smi_groups *g, const char **why)
{
    size_t end = 0;

    for (int32_t k = 0; k < g->n_keys; k++) {
        const smi_key_kind kind = g->keys[k].kind;
        REFUSE(g->keys[k].off != end, "a key of a group does not follow the one before it");
        end += kind == SMI_KEY_WIDE || kind == SMI_KEY_STR || kind == SMI_KEY_NESTED ? 16 : 8;
    }
    REFUSE(g->nulls_off != end || g->state_off < end + (size_t)((g->n_keys + 63) / 64) * 8 ||
               g->record_bytes < g->state_off || g->record_bytes == 0,
           "keys, nulls and state of a group overlap");
    REFUSE(g->n_heap < 0 || g->n_heap > g->heap_cap, "groups count blocks that they do not have");
    REFUSE(g->n_heap > 0 && g->heap_used > g->heap[g->n_heap - 1]->size_bytes,
           "a block of long keys is filled beyond its end");
    return true;
}

static bool check_room(const smi_groups *g, const char **why)
{
    const uint64_t n_slots = g->slots ? (uint64_t)g->mask + 1 : 0;

    REFUSE(g->count < 0, "a table has fewer groups than none");
    REFUSE((n_slots & (n_slots - 1)) != 0, "the number of slots is no power of two");
    REFUSE(g->count > 0 && (uint64_t)g->count * 2 > n_slots,
           "more than half of the slots are full");
    REFUSE(g->slots && (!g->slots_block || g->slots_block->size_bytes < n_slots * 8),
           "slots lie outside their block");
    for (int p = 0; g->count > 0 && p <= smi_group_page(g->count - 1); p++) {
        REFUSE(!g->pages[p] || g->pages[p]->size_bytes < g->record_bytes
                                                             << (p + SMI_GROUP_PAGE_LOG),
               "a group has no page for its record");
    }
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool is_in_heap(const smi_groups *g, const uint8_t *data, size_t n)
{
    for (int64_t i = g->n_heap - 1; i >= 0; i--) {
        const sm_block *b = g->heap[i];
        const size_t used = i == g->n_heap - 1 ? g->heap_used : b->size_bytes;
        if (data >= b->data && n <= used && (size_t)(data - b->data) <= used - n) {
            return true;
        }
    }
    return false;
}

static bool check_str(const smi_groups *g, const smi_group_str *s, const char **why)
{
    REFUSE(s->inlined.len < 0, "a key is shorter than nothing");
    if (s->inlined.len > SM_VIEW_INLINE) {
        REFUSE(!is_in_heap(g, s->far.data, (size_t)s->inlined.len),
               "a long key lies outside the table's blocks");
        REFUSE(memcmp(s->far.prefix, s->far.data, sizeof(s->far.prefix)) != 0,
               "a long key begins otherwise than its copy");
        return true;
    }
    for (int32_t i = s->inlined.len; i < SM_VIEW_INLINE; i++) {
        REFUSE(s->inlined.bytes[i] != 0, "a short key has bytes behind its end");
    }
    return true;
}

static bool check_keys(const smi_groups *g, int64_t id, const char **why)
{
    static const uint8_t zeros[16] = {0};
    const uint8_t *record = smi_group_record(g, id);

    for (int32_t k = 0; k < g->n_keys; k++) {
        const smi_group_key *key = &g->keys[k];
        const bool is_str = key->kind == SMI_KEY_STR || key->kind == SMI_KEY_NESTED;
        if (smi_group_has_null(g, record, k)) {
            const size_t n = is_str || key->kind == SMI_KEY_WIDE ? 16 : 8;
            REFUSE(memcmp(record + key->off, zeros, n) != 0, "a key that is NULL has a value");
        } else if (is_str && !check_str(g, (const smi_group_str *)(record + key->off), why)) {
            return false;
        }
    }
    return true;
}

/* Do two groups have the same keys? Equal floats may have other bytes, which then go unseen. */
static bool are_equal(const smi_groups *g, int64_t a, int64_t b)
{
    const uint8_t *x = smi_group_record(g, a), *y = smi_group_record(g, b);

    for (int32_t k = 0; k < g->n_keys; k++) {
        const smi_group_key *key = &g->keys[k];
        const smi_group_str *s = (const smi_group_str *)(x + key->off);
        const smi_group_str *t = (const smi_group_str *)(y + key->off);
        const bool is_str = key->kind == SMI_KEY_STR || key->kind == SMI_KEY_NESTED;
        if (smi_group_has_null(g, x, k) != smi_group_has_null(g, y, k)) {
            return false;
        }
        if (is_str && s->inlined.len > SM_VIEW_INLINE) {
            if (s->inlined.len != t->inlined.len ||
                memcmp(s->far.data, t->far.data, (size_t)s->inlined.len) != 0) {
                return false;
            }
        } else if (memcmp(s, t, is_str || key->kind == SMI_KEY_WIDE ? 16 : 8) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* From the slot of its hash on to slot `at` there is no free one, where a search would end, and no
 * other group of the same keys, at which it would end too early. */
static bool check_chain(const smi_groups *g, uint32_t at, const char **why)
{
    const uint64_t slot = g->slots[at];

    for (uint32_t i = (uint32_t)slot & g->mask; i != at; i = (i + 1) & g->mask) {
        REFUSE(g->slots[i] == 0, "a group is not reached from the slot of its hash");
        REFUSE((uint32_t)g->slots[i] == (uint32_t)slot &&
                   are_equal(g, (int64_t)(g->slots[i] >> 32) - 1, (int64_t)(slot >> 32) - 1),
               "two groups have the same keys");
    }
    return true;
}

/* `seen`: a bit for each group, all 0. */
static bool check_slots(const smi_groups *g, uint8_t *seen, const char **why)
{
    int64_t n = 0;

    for (uint64_t i = 0; g->slots && i <= g->mask; i++) {
        const int64_t id = (int64_t)(g->slots[i] >> 32) - 1;
        if (g->slots[i] == 0) {
            continue;
        }
        REFUSE(id < 0 || id >= g->count, "a slot names a group that there is not");
        REFUSE(sm_bit_get(seen, id), "a group stands in two slots");
        sm_bit_set(seen, id);
        n++;
    }
    REFUSE(n != g->count, "a group stands in no slot");
    for (uint64_t i = 0; g->slots && i <= g->mask; i++) {
        if (g->slots[i] != 0 && (!check_keys(g, (int64_t)(g->slots[i] >> 32) - 1, why) ||
                                 !check_chain(g, (uint32_t)i, why))) {
            return false;
        }
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool smi_groups_validate(const smi_groups *g, const char **why)
{
    if (!check_layout(g, why) || !check_room(g, why)) {
        return false;
    }
    uint8_t *seen = sm_alloc_zero((size_t)g->count / 8 + 1);
    const bool out = check_slots(g, seen, why);
    sm_free(seen);
    return out;
}

void smi_groups_assert_valid(const smi_groups *g)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (!smi_groups_validate(g, &why)) {
        sm_assert_failed(why, __FILE__, __LINE__);
    }
#else
    (void)g;
#endif
}
