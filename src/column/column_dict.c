/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_dict.c: turns a text column with few different values into a dictionary column, so
 * that operators work once for each value instead of once for each row.
 *
 * Method   A hash table of 128 slots over the two words of a view, for values of up to 12 bytes. It
 *          gives up at the first longer value, and when there are too many different ones; in a
 *          column with many different values that is after some forty rows. A value that equals the
 *          one before costs one comparison.
 * Callers  readers of formats without dictionaries (format/json/json.c). */
#include "column/column_int.h"

#define MOST_ENTRIES 32
#define FEWEST_ROWS  256 /* below, two arrays cost more than they save */
#define SLOTS        128

typedef struct few_values {
    sm_view entries[MOST_ENTRIES];
    int32_t n;
    uint8_t slots[SLOTS]; /* number of an entry + 1; 0: free */
} few_values;

_Static_assert(MOST_ENTRIES < SLOTS, "a free slot ends each search");
_Static_assert(MOST_ENTRIES < UINT8_MAX, "a slot holds the number of any entry + 1");

/* The code of a value; −1 if there are too many values. */
static inline int32_t code_of(few_values *f, sm_view v)
{
    const uint64_t mixed = (v.words[0] ^ (v.words[1] * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
    for (uint32_t at = (uint32_t)(mixed >> 57);; at = (at + 1) % SLOTS) {
        const int32_t code = f->slots[at] - 1;
        if (code < 0) {
            if (f->n == MOST_ENTRIES) {
                return -1;
            }
            f->entries[f->n] = v;
            f->slots[at] = (uint8_t)(f->n + 1);
            return f->n++;
        }
        if (f->entries[code].words[0] == v.words[0] && f->entries[code].words[1] == v.words[1]) {
            return code;
        }
    }
}

/* Finds a code for each row; false if there are too many values, or a long one. */
static bool find_codes(const sm_column *c, few_values *f, int32_t *codes)
{
    const sm_view *views = c->values;
    int32_t last = 0;
    for (int64_t i = 0; i < c->n_rows; i++) {
        const sm_view v = views[i];
        if (v.inlined.len > SM_VIEW_INLINE) {
            return false;
        }
        if (f->n == 0 || f->entries[last].words[0] != v.words[0] ||
            f->entries[last].words[1] != v.words[1]) {
            last = code_of(f, v);
            if (last < 0) {
                return false;
            }
        }
        codes[i] = last;
    }
    return true;
}

/* Sets the codes of null rows to 0: they were found for the empty text in these rows. */
static void clear_nulls(const sm_column *c, int32_t *codes)
{
    for (int64_t i = 0; c->validity && i < c->n_rows; i++) {
        codes[i] = sm_bit_get(c->validity, i) ? codes[i] : 0;
    }
}

sm_status sm_column_find_dict(sm_column *c, sm_batch *into, sm_error *e)
{
    few_values f = {.n = 0};
    void *codes = NULL, *child = NULL, *entries = NULL;
    if (c->type->id != SM_TYPE_STRING || c->layout != SM_FLAT || c->n_rows < FEWEST_ROWS) {
        return SM_OK;
    }
    int32_t first[FEWEST_ROWS]; /* most columns with many values show it here, and cost no memory */
    const sm_column head = {.type = c->type, .n_rows = FEWEST_ROWS, .values = c->values};
    if (!find_codes(&head, &f, first)) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc_raw(into, (size_t)c->n_rows * sizeof(int32_t), &codes, e));
    if (!find_codes(c, &f, codes)) {
        return SM_OK; /* the codes' memory goes with the batch */
    }
    clear_nulls(c, codes);
    const size_t bytes = (size_t)f.n * sizeof(sm_view);
    SM_TRY(sm_batch_alloc(into, sizeof(sm_column), &child, e));
    SM_TRY(sm_batch_alloc_raw(into, bytes, &entries, e));
    memcpy(entries, f.entries, bytes);
    *(sm_column *)child = (sm_column){.type = c->type, .n_rows = f.n, .values = entries};
    *c = (sm_column){.type = c->type,
                     .layout = SM_DICT,
                     .n_rows = c->n_rows,
                     .validity = c->validity,
                     .values = codes,
                     .children = child,
                     .n_children = 1};
    return SM_OK;
}
