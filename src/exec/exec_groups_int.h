/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_groups_int.h: what a table of groups is made of: for exec_groups.c, which fills it, and
 * exec_groups_check.c, which looks it over. Others use it by exec_int.h. */
#ifndef SM_EXEC_GROUPS_INT_H
#define SM_EXEC_GROUPS_INT_H

#include "exec/exec_int.h"

#define SMI_GROUP_PAGE_LOG    3 /* of the first page: a table must cost little with few groups */
#define SMI_GROUP_PAGES       30
#define SMI_GROUP_FIRST_SLOTS 32

typedef union smi_group_str { /* a string key in a record */
    struct {
        int32_t len;
        uint8_t bytes[12]; /* 0 behind the string: two words are compared */
    } inlined;
    struct {
        int32_t len;
        uint8_t prefix[4];
        const uint8_t *data;
    } far;
    uint64_t words[2];
} smi_group_str;

typedef enum smi_key_kind {
    SMI_KEY_BITS, /* up to 8 bytes, compared as a word */
    SMI_KEY_F32,
    SMI_KEY_F64,
    SMI_KEY_WIDE, /* 16 bytes */
    SMI_KEY_STR,
    SMI_KEY_NESTED, /* encoded, then as a string */
} smi_key_kind;

typedef struct smi_group_key {
    const sm_type *type;
    smi_key_kind kind;
    int width;  /* bytes in the column; 0: a bit */
    size_t off; /* in the record */
} smi_group_key;

struct smi_groups {
    sm_budget *budget;
    smi_group_key *keys;
    int32_t n_keys;
    size_t nulls_off, state_off, record_bytes;
    uint64_t *slots; /* mask + 1 of them: low half of the hash, group number plus one; 0: free */
    sm_block *slots_block;
    uint32_t mask;
    int64_t count;
    sm_block *pages[SMI_GROUP_PAGES];
    sm_block **heap; /* copies of long strings */
    int64_t n_heap, heap_cap;
    size_t heap_used; /* of the last one */
    bool has_failed;  /* the record of the next group may be half made */
};

/* The page of a group's record. Page p has 2^(p + SMI_GROUP_PAGE_LOG) records. */
static inline int smi_group_page(int64_t id)
{
    return 63 - __builtin_clzll((uint64_t)id + (1u << SMI_GROUP_PAGE_LOG)) - SMI_GROUP_PAGE_LOG;
}

static inline uint8_t *smi_group_record(const smi_groups *g, int64_t id)
{
    SM_ASSERT(id >= 0 && id <= g->count); /* count: the one that is being made */
    const uint64_t n = (uint64_t)id + (1u << SMI_GROUP_PAGE_LOG);
    const int page = smi_group_page(id);
    const uint64_t first = (uint64_t)1 << (page + SMI_GROUP_PAGE_LOG);
    return g->pages[page]->data + (n - first) * g->record_bytes;
}

static inline bool smi_group_has_null(const smi_groups *g, const uint8_t *record, int32_t k)
{
    return sm_bit_get(record + g->nulls_off, k);
}

/* Is the table whole (exec_groups_check.c)? Else false, and what is wrong. Cost: a look at every
 * slot and at the keys of every group. */
bool smi_groups_validate(const smi_groups *g, const char **why);
/* Ends the process where it is not; nothing in release builds. */
void smi_groups_assert_valid(const smi_groups *g);

#endif
