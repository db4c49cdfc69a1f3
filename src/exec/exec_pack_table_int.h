/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pack_table_int.h: how records are laid out: for exec_pack.c, which makes those of rows,
 * and exec_pack_table.c, which groups them. */
#ifndef SM_EXEC_PACK_TABLE_INT_H
#define SM_EXEC_PACK_TABLE_INT_H

#include "exec/exec_pack_int.h"

#define MAX_ITEMS   24
#define MAX_KEYS    8
#define KEY_NULL(k) ((uint32_t)1 << (MAX_ITEMS + (k)))
#define MAX_WORDS   64

typedef enum pack_op { OP_COUNT, OP_SUM, OP_MIN, OP_MAX, OP_DISTINCT } pack_op;

typedef struct pack_key {
    const sm_expr *expr;
    bool is_str;
    int32_t word;
} pack_key;

typedef struct pack_item {
    pack_op op;
    bool is_unsigned;
    int32_t arg;    /* its number; −1: none, count(*) */
    int32_t word;   /* of the group */
    int32_t others; /* OP_DISTINCT: the word that counts what is outside of the bits */
    int32_t rule;   /* number of the FILTER; −1: none */
    const sm_expr *call;
    _Atomic int64_t base; /* OP_DISTINCT: of the 64 values that are bits; INT64_MIN: none yet */
} pack_item;

struct smi_pack {
    smi_execution *exec;
    pack_key keys[MAX_KEYS];
    int32_t n_keys;
    bool is_one_str; /* the only key is a string */
    const sm_expr *args[MAX_ITEMS];
    int32_t n_args;
    const sm_expr *rules[MAX_ITEMS];
    int32_t n_rules;
    pack_item items[MAX_ITEMS];
    int32_t n_items;
    int32_t key_words, group_words;
    int32_t hot_words;   /* of a group, which stand by themselves: keys, header, the first states */
    uint32_t cold_items; /* those whose state is not among them, as bits */
};

/** 8-byte words of a record. */
static inline size_t smi_pack_words(const smi_pack *k, smi_pack_kind kind)
{
    const int32_t args = kind == SMI_PACK_NARROW_ROWS ? (k->n_args + 1) / 2 : k->n_args;
    return (size_t)(kind == SMI_PACK_GROUPS ? k->group_words : k->key_words + 1 + args);
}

#endif
