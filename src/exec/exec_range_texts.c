/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_texts.c: numbers the texts of the columns of a sort that have few different ones.
 *
 * Calls    smi_texts_codes() for each dictionary whose rows are packed, by several threads; when
 *          all rows are there smi_texts_finish(), then smi_texts_of() for each range. By
 *          exec_range.c and exec_range_pack.c.
 * Numbers  are given in the order in which texts come, which depends on threads. So they must not
 *          be seen in what the sort gives: a dictionary's order is not.
 * Limits   A column whose texts are more than MOST_ENTRIES, or do not fit into what is left of
 *          MOST_BYTES, gets no new codes; those that were given stay good.
 * Why      A dictionary in each parcel would be larger than its codes: a parcel has some hundred
 *          rows. Written out, a text of 8 bytes takes 9 in a parcel and a view of 16 when it is
 *          sorted, and is hashed again for the dictionary of the file that it is written to; a code
 *          takes 1 or 2, and 4. */
#include "exec/exec_range_int.h"

#include "base/map.h"

#define MOST_ENTRIES 4096
#define MOST_BYTES   ((size_t)1 << 20)

typedef struct text_set {
    sm_map *codes; /* text -> code + 1; NULL: there are none yet */
    size_t bytes;
    bool is_over;
    sm_block *block; /* of the entries */
    sm_column entries;
} text_set;

struct smi_texts {
    sm_mutex lock;
    sm_arena *arena;
    size_t bytes;
    int32_t n;
    text_set *sets; /* one a column */
};

smi_texts *smi_texts_new(int32_t n_columns, sm_budget *budget)
{
    smi_texts *t = sm_alloc_zero(sizeof(*t));

    sm_mutex_init(&t->lock);
    t->arena = sm_arena_new(budget);
    t->n = n_columns;
    t->sets = SM_NEW_ARRAY(t->arena, text_set, n_columns + 1);
    return t;
}

void smi_texts_free(smi_texts *t)
{
    if (!t) {
        return;
    }
    for (int32_t k = 0; k < t->n; k++) {
        sm_block_release(t->sets[k].block);
    }
    sm_arena_free(t->arena);
    sm_mutex_release(&t->lock);
    sm_free(t);
}

/* The code of a text; −1 where it is new and there is no room. With the lock. */
static int32_t code_of(smi_texts *t, text_set *s, sm_str text)
{
    const uintptr_t known = (uintptr_t)sm_map_get(s->codes, text);

    if (known > 0) {
        return (int32_t)(known - 1);
    }
    if (sm_map_count(s->codes) == MOST_ENTRIES || t->bytes + text.len > MOST_BYTES) {
        s->is_over = true;
        return -1;
    }
    *sm_map_at(s->codes, text) = (void *)(uintptr_t)(sm_map_count(s->codes) + 1);
    s->bytes += text.len;
    t->bytes += text.len;
    return (int32_t)sm_map_count(s->codes) - 1;
}

bool smi_texts_codes(smi_texts *t, int32_t column, const sm_column *texts, int64_t n,
                     uint16_t *codes)
{
    text_set *s = &t->sets[column];
    bool fits = true;

    SM_ASSERT(column < t->n && n <= texts->n_rows);
    sm_mutex_lock(&t->lock);
    s->codes = s->codes ? s->codes : sm_map_new(t->arena);
    fits = !s->is_over && n <= MOST_ENTRIES;
    for (int64_t i = 0; i < n && fits; i++) {
        const int32_t code = code_of(t, s, sm_column_str(texts, i));
        fits = code >= 0;
        codes[i] = (uint16_t)code;
    }
    sm_mutex_unlock(&t->lock);
    return fits;
}

/* Lays the texts out as a flat column: its heap, its views, its bytes. */
static sm_status lay_out(text_set *s, const sm_type *type, sm_budget *budget, sm_error *e)
{
    const int64_t n = sm_map_count(s->codes);
    const size_t head_bytes = sizeof(sm_heap_buf) + (size_t)n * sizeof(sm_view);
    int32_t off = 0;

    SM_TRY(sm_block_new(budget, head_bytes + s->bytes, &s->block, e));
    sm_heap_buf *heap = (sm_heap_buf *)(void *)s->block->data;
    sm_view *views = (sm_view *)(void *)(heap + 1);
    uint8_t *text = s->block->data + head_bytes;
    *heap = (sm_heap_buf){.data = text, .size_bytes = (int64_t)s->bytes};
    for (int64_t i = 0; i < n; i++) {
        const sm_str one = sm_map_key(s->codes, i);
        memcpy(text + off, one.data, one.len);
        views[i] = sm_view_make(text + off, (int32_t)one.len, 0, off);
        off += (int32_t)one.len;
    }
    s->entries = (sm_column){.type = type, .n_rows = n, .values = views, .heap = heap, .n_heap = 1};
    return SM_OK;
}

sm_status smi_texts_finish(smi_texts *t, const sm_type *schema, sm_budget *budget, sm_error *e)
{
    SM_ASSERT(t->n <= schema->n_fields);
    for (int32_t k = 0; k < t->n; k++) {
        if (t->sets[k].codes && sm_map_count(t->sets[k].codes) > 0) {
            SM_TRY(lay_out(&t->sets[k], schema->fields[k].type, budget, e));
        }
    }
    return SM_OK;
}

const sm_column *smi_texts_of(const smi_texts *t, int32_t column, sm_block **block)
{
    SM_ASSERT(column < t->n);
    *block = t->sets[column].block;
    return *block ? &t->sets[column].entries : NULL;
}
