/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_leaf.c: reads one leaf of a row group, from pages to levels and values, a
 * batch at a time.
 *
 * Calls     smi_pq_leaf_begin for each row group, then smi_pq_leaf_flat or smi_pq_leaf_nested for
 *           each batch.
 * Flat      A leaf that is a column of its own. Definition levels are decoded straight into the
 *           validity bitmap. Values are decoded densely into the column, then moved to their rows
 *           from the back, with zeros in the rows between. A batch may take from several pages.
 * Nested    Levels and dense values go into buffers, for parquet_assemble.c. A row ends where the
 *           next repetition level is 0, so up to SMI_PQ_AHEAD levels are decoded ahead.
 * Strings   are views into the page, which the batch keeps. So no bytes are copied, except for
 *           DELTA_BYTE_ARRAY and UUIDs, whose texts are in no page. heap[0] is always the
 *           dictionary's page, so that views of its entries are made once for a row group. A page
 *           without a byte over 0x7F is UTF-8; in any other each string is checked.
 * Codes     A flat column of strings is returned as SM_DICT if all its values are codes of a
 *           dictionary with at most SM_BATCH_ROWS entries. With a larger one, work that is done for
 *           each entry would cost more than the dictionary saves.
 * Bounds    What a page says is checked before it is used: counts against the chunk's, codes
 *           against the dictionary, lengths against the page. Memory depends on the batch, not on
 *           the page.
 *
 * Called by parquet_reader.c and parquet_assemble.c. */

#include "base/text.h"
#include "format/parquet/parquet_int.h"

/* ---- buffers --------------------------------------------------------------------------------- */

/* Makes room for `more` bytes after the first n_bytes. */
static sm_status grow_buffer(smi_pq_growing *g, size_t more, sm_error *e)
{
    SM_ASSERT(g->n_bytes <= g->cap);
    size_t need = 0;
    if (!sm_add_size(g->n_bytes, more, &need) || !sm_add_size(need, SM_PAD_BYTES, &need)) {
        return sm_fail(e, SM_LIMIT, "a batch does not fit memory");
    }
    if (need <= g->cap) {
        return SM_OK;
    }
    const size_t cap = need < 4096 ? 4096 : need + need / 2;
    SM_TRY(sm_budget_take(g->budget, cap - g->cap, e));
    g->data = sm_realloc(g->data, cap);
    g->cap = cap;
    return SM_OK;
}

static void release_buffer(smi_pq_growing *g)
{
    if (g->cap > 0) {
        sm_budget_give(g->budget, g->cap);
    }
    sm_free(g->data);
    *g = (smi_pq_growing){.budget = g->budget};
}

/* Empties the buffer and makes room for n items. */
static sm_status make_room(smi_pq_growing *g, int64_t n, int item_bytes, sm_error *e)
{
    SM_ASSERT(n >= 0);
    g->n_bytes = 0;
    return grow_buffer(g, (size_t)n * (size_t)item_bytes, e);
}

sm_status smi_pq_alloc_bits(sm_batch *into, int64_t n, uint8_t **out, sm_error *e)
{
    void *p = NULL;
    SM_TRY(sm_batch_alloc(into, sm_bits_bytes(n) + 8, &p, e));
    *out = p;
    return SM_OK;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define SPREAD(name, type)                                                                         \
    static void name(const type *in, type *out, const uint8_t *bits, int64_t first, int64_t n,     \
                     int64_t n_set)                                                                \
    {                                                                                              \
        int64_t at = n_set;                                                                        \
        for (int64_t i = n - 1; i >= 0; i--) {                                                     \
            const bool is_set = sm_bit_get(bits, first + i);                                       \
            at -= is_set;                                                                          \
            const type v = in[at];                                                                 \
            out[i] = is_set ? v : 0;                                                               \
        }                                                                                          \
        SM_ASSERT(at == 0); /* n_set of the bits are set */                                        \
    }
SPREAD(spread_1, uint8_t)
SPREAD(spread_2, uint16_t)
SPREAD(spread_4, uint32_t)
SPREAD(spread_8, uint64_t)
SPREAD(spread_16, unsigned __int128)
#undef SPREAD
/* NOLINTEND(bugprone-macro-parentheses) */

void smi_pq_spread(const void *in, void *out, int value_bytes, const uint8_t *bits, int64_t first,
                   int64_t n, int64_t n_set)
{
    SM_ASSERT(n_set >= 0 && n_set <= n);
    if (n_set == n) {
        if (in != out && n > 0) {
            memcpy(out, in, (size_t)n * (size_t)value_bytes);
        }
        return;
    }
    if (n_set == 0) {
        memset(out, 0, (size_t)n * (size_t)value_bytes);
        return;
    }
    switch (value_bytes) {
    case 1:
        spread_1(in, out, bits, first, n, n_set);
        return;
    case 2:
        spread_2(in, out, bits, first, n, n_set);
        return;
    case 4:
        spread_4(in, out, bits, first, n, n_set);
        return;
    case 8:
        spread_8(in, out, bits, first, n, n_set);
        return;
    default:
        spread_16(in, out, bits, first, n, n_set);
    }
}

void smi_pq_pack_bools(const uint8_t *in, int64_t n, uint8_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        /* The lowest bits of 8 bytes, gathered into the highest byte. */
        out[i >> 3] = (uint8_t)((smi_pq_le64(in + i) * 0x0102040810204080u) >> 56);
    }
    for (; i < n; i++) {
        if (in[i]) {
            sm_bit_set(out, i);
        }
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static sm_status fail_corrupt(const smi_pq_leaf *l, sm_error *e, const char *what)
{
    const sm_status st =
        sm_fail(e, SM_CORRUPT, "column \"%.*s\": %s", SM_STR_ARG(l->node->name), what);
    sm_error_place(e, l->pages.file, 0,
                   (int64_t)(l->pages.off_bytes + (uint64_t)(l->pages.p - l->pages.start)));
    return st;
}

static sm_status fail_encoding(const smi_pq_leaf *l, sm_error *e)
{
    return sm_fail(e, SM_UNSUPPORTED, "column \"%.*s\": encoding %d of a page",
                   SM_STR_ARG(l->node->name), (int)l->encoding);
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Is there no byte over 0x7F? */
static bool is_ascii(const uint8_t *p, const uint8_t *end)
{
    uint64_t any = 0;
    for (; end - p >= 32; p += 32) {
        any |= smi_pq_le64(p) | smi_pq_le64(p + 8) | smi_pq_le64(p + 16) | smi_pq_le64(p + 24);
    }
    for (; p < end; p++) {
        any |= *p;
    }
    return (any & 0x8080808080808080u) == 0;
}

static bool wants_text(const smi_pq_leaf *l)
{
    return l->convert->to->id == SM_TYPE_STRING && !smi_pq_convert_is_uuid(l->convert);
}

static sm_status check_text(const smi_pq_leaf *l, const sm_view *v, int64_t n,
                            const sm_heap_buf *heap, sm_error *e)
{
    if (!wants_text(l) || l->is_ascii) {
        return SM_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        const sm_str s = sm_view_str(&v[i], heap);
        if (sm_utf8_check(s.data, s.len) != s.len) {
            return fail_corrupt(l, e, "a string is not UTF-8");
        }
    }
    return SM_OK;
}

static sm_status add_heap(smi_pq_leaf *l, sm_block *block, const uint8_t *data, int64_t bytes,
                          int32_t *index, sm_error *e)
{
    SM_ASSERT(l->n_heap <= l->heap_cap && bytes >= 0 && (data || bytes == 0));
    if (l->n_heap == l->heap_cap) {
        l->heap_cap = l->heap_cap * 2 + 8;
        l->heap = sm_realloc(l->heap, (size_t)l->heap_cap * sizeof(*l->heap));
    }
    if (bytes > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "column \"%.*s\": strings of a batch take over 2 GiB",
                       SM_STR_ARG(l->node->name));
    }
    if (l->into && block) {
        sm_batch_keep(l->into, block);
    }
    l->heap[l->n_heap] = (sm_heap_buf){.data = data, .size_bytes = bytes};
    *index = l->n_heap++;
    return SM_OK;
}

/* Adds the page to the batch's heap buffers, unless it is there. */
static sm_status heap_page(smi_pq_leaf *l, sm_error *e)
{
    if (l->heap_index < 0) {
        l->pages.block_shared = true;
        SM_TRY(add_heap(l, l->page_block, l->base, l->end - l->base, &l->heap_index, e));
    }
    return SM_OK;
}

sm_status smi_pq_leaf_heap(const smi_pq_leaf *l, sm_column *out, sm_error *e)
{
    void *heap = NULL;
    SM_ASSERT(l->into && l->n_heap > 0);
    SM_TRY(sm_batch_alloc(l->into, (size_t)l->n_heap * sizeof(*l->heap), &heap, e));
    memcpy(heap, l->heap, (size_t)l->n_heap * sizeof(*l->heap));
    out->heap = heap;
    out->n_heap = l->n_heap;
    return SM_OK;
}

/* ---- values as stored ------------------------------------------------------------------------ */

static sm_status raw_plain_bytes(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    const uint8_t *p = l->p;
    SM_TRY(heap_page(l, e));
    for (int64_t i = 0; i < n; i++) {
        if (l->end - p < 4) {
            return fail_corrupt(l, e, "a page ends before its values");
        }
        const uint32_t len = smi_pq_le32(p);
        p += 4;
        if (len > (uint64_t)(l->end - p)) {
            return fail_corrupt(l, e, "a string is longer than its page");
        }
        out[i] = sm_view_read(p, len, l->heap_index, p - l->base);
        p += len;
    }
    l->p = p;
    return check_text(l, out, n, l->heap, e);
}

static sm_status raw_plain_fixed(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    const uint32_t len = l->node->physical == SMI_PQ_INT96 ? 12 : (uint32_t)l->node->fixed_bytes;
    if ((uint64_t)n > (uint64_t)(l->end - l->p) / len) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    SM_TRY(heap_page(l, e));
    for (int64_t i = 0; i < n; i++) {
        out[i] = sm_view_read(l->p, len, l->heap_index, l->p - l->base);
        l->p += len;
    }
    return check_text(l, out, n, l->heap, e);
}

/* DELTA_LENGTH_BYTE_ARRAY: the lengths, then the strings end to end. */
static sm_status raw_delta_length(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    SM_TRY(make_room(&l->lengths, n, sizeof(int32_t), e));
    int32_t *len = (int32_t *)(void *)l->lengths.data;
    if (!smi_pq_delta_i32(&l->delta, len, n)) {
        return fail_corrupt(l, e, "lengths of strings are damaged");
    }
    SM_TRY(heap_page(l, e));
    for (int64_t i = 0; i < n; i++) {
        if (len[i] < 0 || len[i] > l->end - l->p) {
            return fail_corrupt(l, e, "a string is longer than its page");
        }
        out[i] = sm_view_read(l->p, (uint32_t)len[i], l->heap_index, l->p - l->base);
        l->p += len[i];
    }
    return check_text(l, out, n, l->heap, e);
}

/* DELTA_BYTE_ARRAY: each string is a prefix of the one before and a suffix. They are written out
 * one after another into a block of their own. */
static sm_status raw_delta_bytes(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    sm_block *block = NULL;
    int32_t heap_index = 0;
    uint64_t total = 0;
    SM_TRY(make_room(&l->lengths, n * 2, sizeof(int32_t), e));
    int32_t *prefix = (int32_t *)(void *)l->lengths.data, *suffix = prefix + n;
    if (!smi_pq_delta_i32(&l->delta, prefix, n) || !smi_pq_delta_i32(&l->suffix, suffix, n)) {
        return fail_corrupt(l, e, "lengths of strings are damaged");
    }
    uint64_t before = l->last.n_bytes, left = (uint64_t)(l->end - l->p);
    for (int64_t i = 0; i < n; i++) {
        if (prefix[i] < 0 || suffix[i] < 0 || (uint64_t)prefix[i] > before ||
            (uint64_t)suffix[i] > left) {
            return fail_corrupt(l, e, "a string is longer than its page");
        }
        left -= (uint64_t)suffix[i];
        before = (uint64_t)prefix[i] + (uint64_t)suffix[i];
        total += before;
    }
    if (n == 0) {
        return SM_OK;
    }
    if (total > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "column \"%.*s\": strings of a batch take over 2 GiB",
                       SM_STR_ARG(l->node->name));
    }
    SM_TRY(sm_block_new(l->budget, (size_t)total, &block, e));
    sm_status st = add_heap(l, block, block->data, (int64_t)total, &heap_index, e);
    const uint8_t *last = l->last.data;
    uint8_t *at = block->data;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        sm_str_copy(at, last, (size_t)prefix[i]);
        sm_str_copy(at + prefix[i], l->p, (size_t)suffix[i]);
        l->p += suffix[i];
        last = at;
        at += prefix[i] + suffix[i];
    }
    SM_ASSERT(st != SM_OK || (uint64_t)(at - block->data) == total);
    at = block->data;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        const uint32_t len = (uint32_t)prefix[i] + (uint32_t)suffix[i];
        out[i] = sm_view_read(at, len, heap_index, at - block->data);
        at += len;
    }
    if (st == SM_OK) {
        l->last.n_bytes = 0;
        st = grow_buffer(&l->last, (size_t)before, e);
    }
    if (st == SM_OK) {
        memcpy(l->last.data, last, (size_t)before);
        l->last.n_bytes = (size_t)before;
        st = check_text(l, out, n, l->heap, e);
    }
    sm_block_release(block);
    return st;
}

/* BYTE_STREAM_SPLIT: byte k of value i stands at k * (values in the page) + i. */
static sm_status split_into(smi_pq_leaf *l, int64_t n, int value_bytes, uint8_t *out, sm_error *e)
{
    if (n > l->split_n - l->split_at) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    for (int k = 0; k < value_bytes; k++) {
        const uint8_t *from = l->base + (int64_t)k * l->split_n + l->split_at;
        for (int64_t i = 0; i < n; i++) {
            out[i * value_bytes + k] = from[i];
        }
    }
    l->split_at += n;
    return SM_OK;
}

static sm_status raw_split_fixed(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    const int len = l->node->physical == SMI_PQ_INT96 ? 12 : l->node->fixed_bytes;
    sm_block *block = NULL;
    int32_t heap_index = 0;
    size_t bytes = 0;
    if (n > l->split_n - l->split_at || !sm_mul_size((size_t)n, (size_t)len, &bytes)) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    SM_TRY(sm_block_new(l->budget, bytes, &block, e));
    sm_status st = split_into(l, n, len, block->data, e);
    if (st == SM_OK) {
        st = add_heap(l, block, block->data, (int64_t)bytes, &heap_index, e);
    }
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        out[i] = sm_view_read(block->data + i * len, (uint32_t)len, heap_index, i * len);
    }
    if (st == SM_OK) {
        st = check_text(l, out, n, l->heap, e);
    }
    sm_block_release(block);
    return st;
}

static sm_status raw_bools(smi_pq_leaf *l, int64_t n, uint8_t *out, sm_error *e)
{
    if (l->encoding == SMI_PQ_RLE) {
        return smi_pq_runs_u8(&l->codes, out, n)
                   ? SM_OK
                   : fail_corrupt(l, e, "a page ends before its values");
    }
    if (n > (l->end - l->base) * 8 - l->bool_bit) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    for (int64_t i = 0; i < n; i++, l->bool_bit++) {
        out[i] = sm_bit_get(l->base, l->bool_bit);
    }
    return SM_OK;
}

static sm_status raw_numbers(smi_pq_leaf *l, int64_t n, uint8_t *out, sm_error *e)
{
    const int bytes = smi_pq_raw_bytes(l->raw);
    if (l->encoding == SMI_PQ_BYTE_STREAM_SPLIT) {
        return split_into(l, n, bytes, out, e);
    }
    if (l->encoding == SMI_PQ_DELTA_BINARY_PACKED) {
        const bool ok = bytes == 4 ? smi_pq_delta_i32(&l->delta, (int32_t *)(void *)out, n)
                                   : smi_pq_delta_i64(&l->delta, (int64_t *)(void *)out, n);
        return ok ? SM_OK : fail_corrupt(l, e, "a page ends before its values");
    }
    if (n > (l->end - l->p) / bytes) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    memcpy(out, l->p, (size_t)n * (size_t)bytes);
    l->p += n * bytes;
    return SM_OK;
}

/* Decodes n values in the form of l->raw. */
static sm_status raw_values(smi_pq_leaf *l, int64_t n, void *out, sm_error *e)
{
    if (l->raw == SMI_PQ_RAW_BOOL) {
        return raw_bools(l, n, out, e);
    }
    if (l->raw != SMI_PQ_RAW_VIEW) {
        return raw_numbers(l, n, out, e);
    }
    switch (l->encoding) {
    case SMI_PQ_DELTA_LENGTH_BYTE_ARRAY:
        return raw_delta_length(l, n, out, e);
    case SMI_PQ_DELTA_BYTE_ARRAY:
        return raw_delta_bytes(l, n, out, e);
    case SMI_PQ_BYTE_STREAM_SPLIT:
        return raw_split_fixed(l, n, out, e);
    default:
        return l->node->physical == SMI_PQ_BYTE_ARRAY ? raw_plain_bytes(l, n, out, e)
                                                      : raw_plain_fixed(l, n, out, e);
    }
}

#define UUID_BYTES      16
#define UUID_TEXT_BYTES 36

/* "550e8400-e29b-41d4-a716-446655440000" */
static void put_uuid(const uint8_t *bytes, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *out++ = '-';
        }
        *out++ = (uint8_t)digits[bytes[i] >> 4];
        *out++ = (uint8_t)digits[bytes[i] & 15];
    }
}

/* Decodes n UUIDs and writes their texts to a new block, which the batch keeps; or, where a
 * dictionary is loaded, l->dict_made. */
static sm_status uuid_values(smi_pq_leaf *l, int64_t n, sm_view *out, sm_error *e)
{
    SM_ASSERT(n > 0 && !l->dict_made);
    sm_block *block = NULL;
    int32_t heap_index = 0;
    size_t bytes = 0;
    SM_TRY(raw_values(l, n, out, e));
    for (int64_t i = 0; i < n; i++) {
        if (sm_view_str(&out[i], l->heap).len != UUID_BYTES) { /* of DELTA_BYTE_ARRAY */
            return fail_corrupt(l, e, "a UUID that is not 16 bytes");
        }
    }
    if (!sm_mul_size((size_t)n, UUID_TEXT_BYTES, &bytes)) {
        return fail_corrupt(l, e, "a page has too many values");
    }
    SM_TRY(sm_block_new(l->budget, bytes, &block, e));
    for (int64_t i = 0; i < n; i++) {
        put_uuid((const uint8_t *)sm_view_str(&out[i], l->heap).data,
                 block->data + i * UUID_TEXT_BYTES);
    }
    const sm_status st =
        l->into ? add_heap(l, block, block->data, (int64_t)bytes, &heap_index, e) : SM_OK;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        out[i] = sm_view_read(block->data + i * UUID_TEXT_BYTES, UUID_TEXT_BYTES, heap_index,
                              i * UUID_TEXT_BYTES);
    }
    if (!l->into) {
        l->dict_made = block;
        return SM_OK;
    }
    sm_block_release(block);
    return st;
}

/* Decodes n values that are not codes, and converts them to the wanted type. */
static sm_status stored_values(smi_pq_leaf *l, int64_t n, void *out, sm_error *e)
{
    if (n == 0) {
        return SM_OK;
    }
    if (smi_pq_convert_is_copy(l->convert)) {
        return raw_values(l, n, out, e);
    }
    if (smi_pq_convert_is_uuid(l->convert)) {
        return uuid_values(l, n, out, e);
    }
    SM_TRY(make_room(&l->scratch, n, smi_pq_raw_bytes(l->raw), e));
    SM_TRY(raw_values(l, n, l->scratch.data, e));
    if (smi_pq_convert_values(l->convert, l->scratch.data, l->heap, out, n) != n) {
        sm_buf type = {0};
        sm_type_print(l->convert->to, &type);
        const sm_status st = sm_fail(e, SM_RANGE, "column \"%.*s\": a value does not fit %.*s",
                                     SM_STR_ARG(l->node->name), SM_STR_ARG(sm_buf_str(&type)));
        sm_buf_release(&type);
        return st;
    }
    return SM_OK;
}

/* ---- codes of a dictionary ------------------------------------------------------------------- */

static bool is_coded(smi_pq_encoding e)
{
    return e == SMI_PQ_PLAIN_DICTIONARY || e == SMI_PQ_RLE_DICTIONARY;
}

static sm_status read_codes(smi_pq_leaf *l, int64_t n, uint32_t *out, sm_error *e)
{
    if (!smi_pq_runs_u32(&l->codes, out, n)) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    uint32_t max = 0;
    for (int64_t i = 0; i < n; i++) {
        max = out[i] > max ? out[i] : max;
    }
    if (n > 0 && max >= l->n_dict) {
        return fail_corrupt(l, e, "a value is not in the dictionary");
    }
    return SM_OK;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define LOOK_UP(type)                                                                              \
    do {                                                                                           \
        const type *const entries = (const type *)(const void *)l->dict_values->data;              \
        type *const to = out;                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                          \
            to[i] = entries[codes[i]];                                                             \
        }                                                                                          \
    } while (0)
/* NOLINTEND(bugprone-macro-parentheses) */

/* Writes the dictionary's entries of n codes, which read_codes has checked. */
static void look_up_codes(const smi_pq_leaf *l, const uint32_t *codes, int64_t n, void *out)
{
    SM_ASSERT(n == 0 || l->n_dict > 0);
    switch (l->value_bytes) {
    case 1:
        LOOK_UP(uint8_t);
        return;
    case 2:
        LOOK_UP(uint16_t);
        return;
    case 4:
        LOOK_UP(uint32_t);
        return;
    case 8:
        LOOK_UP(uint64_t);
        return;
    default:
        LOOK_UP(unsigned __int128);
    }
}
#undef LOOK_UP

/* Decodes n values of the wanted type from the page. */
static sm_status read_values(smi_pq_leaf *l, int64_t n, void *out, sm_error *e)
{
    SM_ASSERT(l->convert && n >= 0);
    if (!is_coded(l->encoding)) {
        return stored_values(l, n, out, e);
    }
    if (n == 0) {
        return SM_OK;
    }
    SM_TRY(make_room(&l->codes_buf, n, sizeof(uint32_t), e));
    uint32_t *codes = (uint32_t *)(void *)l->codes_buf.data;
    SM_TRY(read_codes(l, n, codes, e));
    look_up_codes(l, codes, n, out);
    return SM_OK;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Makes a page's values those that are decoded next. */
static void set_values(smi_pq_leaf *l, const smi_pq_page *page)
{
    l->page_block = page->block;
    l->base = l->p = page->values;
    l->end = page->values_end;
    l->encoding = page->encoding;
    l->heap_index = -1;
    l->bool_bit = 0;
    l->is_ascii = false;
}

/* Decodes and converts the entries of a dictionary page. */
static sm_status load_dictionary(smi_pq_leaf *l, const smi_pq_page *page, sm_error *e)
{
    SM_ASSERT(l->page_left == 0 && (l->n_dict == 0 || l->dict_values));
    if (l->dict_values || l->chunk_left != l->chunk_levels) {
        return fail_corrupt(l, e, "a dictionary that is not the first page");
    }
    if (!l->convert) {
        return SM_OK;
    }
    if (page->encoding != SMI_PQ_PLAIN && page->encoding != SMI_PQ_PLAIN_DICTIONARY) {
        l->encoding = page->encoding;
        return fail_encoding(l, e);
    }
    set_values(l, page);
    l->encoding = SMI_PQ_PLAIN;
    l->is_ascii = l->raw == SMI_PQ_RAW_VIEW && is_ascii(page->values, page->values_end);
    /* An entry takes at least a byte (a boolean a bit), so the page's size limits their number. */
    const int64_t most = (page->values_end - page->values) * (l->raw == SMI_PQ_RAW_BOOL ? 8 : 1);
    if (page->n_values > most) {
        return fail_corrupt(l, e, "a dictionary is shorter than its entries");
    }
    size_t bytes = 0;
    if (!sm_mul_size((size_t)page->n_values, (size_t)l->value_bytes, &bytes)) {
        return fail_corrupt(l, e, "a dictionary is too long");
    }
    SM_TRY(sm_block_new(l->budget, bytes, &l->dict_values, e));
    /* The leaf keeps the page, not the batch (into is NULL): it becomes heap buffer 0. */
    sm_batch *const into = l->into;
    l->into = NULL;
    l->n_heap = 0;
    const sm_status st = stored_values(l, page->n_values, l->dict_values->data, e);
    l->into = into;
    l->heap[0] = (sm_heap_buf){0}; /* renew_dictionary_heap sets it */
    l->n_heap = 1;
    if (st == SM_OK) {
        l->n_dict = page->n_values;
    }
    if (l->dict_made) {
        l->dict_heap = l->dict_made;
        l->dict_base = l->dict_made->data;
        l->dict_heap_bytes = page->n_values * UUID_TEXT_BYTES;
        l->dict_made = NULL;
    } else if (st == SM_OK && sm_type_is_bytes(l->convert->to->id)) {
        l->dict_heap = sm_block_retain(page->block);
        l->dict_base = l->base;
        l->dict_heap_bytes = l->end - l->base;
        l->pages.block_shared = true;
    }
    return st;
}

static sm_status begin_codes(smi_pq_leaf *l, sm_error *e)
{
    const bool is_empty = l->p == l->end; /* all null: some writers leave out the width too */
    if (!is_empty && *l->p > 32) {
        return fail_corrupt(l, e, "codes of a page are wider than 32 bits");
    }
    smi_pq_runs_init(&l->codes, is_empty ? l->end : l->p + 1, l->end, is_empty ? 1 : *l->p);
    return SM_OK;
}

/* Booleans as runs, after the length of their bytes. */
static sm_status begin_bools(smi_pq_leaf *l, sm_error *e)
{
    if (l->node->physical != SMI_PQ_BOOLEAN) {
        return fail_encoding(l, e);
    }
    if (l->p == l->end) {
        smi_pq_runs_init(&l->codes, l->end, l->end, 1);
        return SM_OK;
    }
    if (l->end - l->p < 4 || smi_pq_le32(l->p) > l->end - l->p - 4) {
        return fail_corrupt(l, e, "a page ends before its values");
    }
    smi_pq_runs_init(&l->codes, l->p + 4, l->p + 4 + smi_pq_le32(l->p), 1);
    return SM_OK;
}

static sm_status begin_split(smi_pq_leaf *l, sm_error *e)
{
    const smi_pq_physical t = l->node->physical;
    if (t == SMI_PQ_BOOLEAN || t == SMI_PQ_BYTE_ARRAY || t == SMI_PQ_INT96) {
        return fail_encoding(l, e);
    }
    l->split_at = 0;
    l->split_n =
        (l->end - l->p) / (t == SMI_PQ_FIXED ? l->node->fixed_bytes : smi_pq_raw_bytes(l->raw));
    return SM_OK;
}

/* Delta-encoded numbers, or the delta-encoded lengths before strings. */
static sm_status begin_deltas(smi_pq_leaf *l, sm_error *e)
{
    const smi_pq_physical t = l->node->physical;
    const bool fits = l->encoding == SMI_PQ_DELTA_BINARY_PACKED
                          ? t == SMI_PQ_INT32 || t == SMI_PQ_INT64
                          : t == SMI_PQ_BYTE_ARRAY ||
                                (t == SMI_PQ_FIXED && l->encoding == SMI_PQ_DELTA_BYTE_ARRAY);
    if (!fits) {
        return fail_encoding(l, e);
    }
    l->last.n_bytes = 0;
    l->delta = l->suffix = (smi_pq_delta){0};
    if (l->p == l->end) {
        return SM_OK;
    }
    if (!smi_pq_delta_init(&l->delta, l->p, l->end)) {
        return fail_corrupt(l, e, "a page of differences is damaged");
    }
    if (l->encoding != SMI_PQ_DELTA_BINARY_PACKED) {
        l->p = smi_pq_delta_end(&l->delta);
    }
    if (l->encoding == SMI_PQ_DELTA_BYTE_ARRAY) {
        const bool ok = l->p && smi_pq_delta_init(&l->suffix, l->p, l->end);
        l->p = ok ? smi_pq_delta_end(&l->suffix) : NULL;
    }
    return l->p ? SM_OK : fail_corrupt(l, e, "lengths of strings are damaged");
}

static sm_status begin_encoding(smi_pq_leaf *l, sm_error *e)
{
    switch (l->encoding) {
    case SMI_PQ_PLAIN:
        return SM_OK;
    case SMI_PQ_PLAIN_DICTIONARY:
    case SMI_PQ_RLE_DICTIONARY:
        return begin_codes(l, e);
    case SMI_PQ_RLE:
        return begin_bools(l, e);
    case SMI_PQ_BYTE_STREAM_SPLIT:
        return begin_split(l, e);
    case SMI_PQ_DELTA_BINARY_PACKED:
    case SMI_PQ_DELTA_LENGTH_BYTE_ARRAY:
    case SMI_PQ_DELTA_BYTE_ARRAY:
        return begin_deltas(l, e);
    default:
        return fail_encoding(l, e);
    }
}

/* Begins the next data page that has levels. Loads a dictionary page before it. */
static sm_status begin_next_page(smi_pq_leaf *l, sm_error *e)
{
    smi_pq_page page = {0};
    SM_ASSERT(l->page_left == 0 && l->chunk_left >= 0 && l->chunk_left <= l->chunk_levels);
    while (l->page_left == 0) {
        const sm_status st = smi_pq_pages_next(&l->pages, &page, e);
        if (st == SM_END) {
            return fail_corrupt(l, e, "a column chunk ends before its rows");
        }
        if (st != SM_OK) {
            return sm_within(e, st, "column \"%.*s\"", SM_STR_ARG(l->node->name));
        }
        if (page.is_dictionary) {
            SM_TRY(load_dictionary(l, &page, e));
            continue;
        }
        if (page.n_values > l->chunk_left) {
            return fail_corrupt(l, e, "a column chunk has more values than its row group");
        }
        l->page_left = page.n_values;
        l->chunk_left -= page.n_values;
        smi_pq_runs_init(&l->rep, page.rep, page.rep_end, smi_pq_width(l->node->max_rep));
        smi_pq_runs_init(&l->def, page.def, page.def_end, smi_pq_width(l->node->max_def));
        l->rep.is_msb = page.rep_encoding == SMI_PQ_BIT_PACKED;
        l->def.is_msb = page.def_encoding == SMI_PQ_BIT_PACKED;
        if (l->convert) {
            set_values(l, &page);
            SM_TRY(begin_encoding(l, e));
            l->is_ascii = l->raw == SMI_PQ_RAW_VIEW && wants_text(l) && !is_coded(l->encoding) &&
                          is_ascii(l->p, l->end); /* lengths that lie before are no text */
        }
    }
    return SM_OK;
}

/* ---- flat ------------------------------------------------------------------------------------ */

/* Begins a batch, whose heap buffer 0 is the dictionary's. */
static sm_status begin_batch(smi_pq_leaf *l, sm_batch *into, sm_error *e)
{
    int32_t index = 0;
    SM_ASSERT(into && (l->dict_heap != NULL || l->dict_heap_bytes == 0));
    l->into = into;
    l->heap_index = -1;
    l->n_heap = 0;
    return add_heap(l, l->dict_heap, l->dict_base, l->dict_heap_bytes, &index, e);
}

/* Sets heap buffer 0 where the page that was just begun has brought a dictionary. */
static void renew_dictionary_heap(smi_pq_leaf *l)
{
    SM_ASSERT(l->into && l->n_heap > 0);
    if (l->heap[0].data != l->dict_base) {
        sm_batch_keep(l->into, l->dict_heap);
        l->heap[0] = (sm_heap_buf){.data = l->dict_base, .size_bytes = l->dict_heap_bytes};
    }
}

/* Reads codes of rows up to the first page without codes; *n_done rows in all. */
static sm_status read_coded_rows(smi_pq_leaf *l, int64_t n_rows, uint32_t *codes, uint8_t *validity,
                                 int64_t *n_done, int64_t *n_set, sm_error *e)
{
    while (*n_done < n_rows) {
        if (l->page_left == 0) {
            SM_TRY(begin_next_page(l, e));
        }
        if (!is_coded(l->encoding)) {
            return SM_OK;
        }
        const int64_t take = n_rows - *n_done < l->page_left ? n_rows - *n_done : l->page_left;
        int64_t set = take;
        if (validity && !smi_pq_runs_bits(&l->def, validity, *n_done, take, &set)) {
            return fail_corrupt(l, e, "definition levels are damaged");
        }
        SM_TRY(read_codes(l, set, codes + *n_done, e));
        smi_pq_spread(codes + *n_done, codes + *n_done, 4, validity, *n_done, take, set);
        l->page_left -= take;
        *n_done += take;
        *n_set += set;
    }
    return SM_OK;
}

/* Reads values of rows done … n_rows − 1. */
static sm_status read_plain_rows(smi_pq_leaf *l, int64_t n_rows, uint8_t *out, uint8_t *validity,
                                 int64_t done, int64_t *n_set, sm_error *e)
{
    while (done < n_rows) {
        if (l->page_left == 0) {
            SM_TRY(begin_next_page(l, e));
            renew_dictionary_heap(l);
        }
        const int64_t take = n_rows - done < l->page_left ? n_rows - done : l->page_left;
        uint8_t *const at = out + done * l->value_bytes;
        int64_t set = take;
        if (validity && !smi_pq_runs_bits(&l->def, validity, done, take, &set)) {
            return fail_corrupt(l, e, "definition levels are damaged");
        }
        SM_TRY(read_values(l, set, at, e));
        smi_pq_spread(at, at, l->value_bytes, validity, done, take, set);
        l->page_left -= take;
        done += take;
        *n_set += set;
    }
    return SM_OK;
}

/* Makes a column of codes and the dictionary. */
static sm_status give_coded(smi_pq_leaf *l, const uint32_t *codes, sm_column *out, sm_error *e)
{
    void *child = NULL;
    SM_ASSERT(codes && l->n_dict > 0 && l->n_dict <= SM_BATCH_ROWS);
    SM_TRY(sm_batch_alloc(l->into, sizeof(sm_column), &child, e));
    sm_column *entries = child;
    *entries = (sm_column){.type = out->type, .n_rows = l->n_dict, .values = l->dict_values->data};
    l->n_heap = 1;
    SM_TRY(smi_pq_leaf_heap(l, entries, e));
    sm_batch_keep(l->into, l->dict_values);
    out->layout = SM_DICT;
    out->values = codes;
    out->children = entries;
    out->n_children = 1;
    return SM_OK;
}

sm_status smi_pq_leaf_flat(smi_pq_leaf *l, int64_t n_rows, sm_batch *into, sm_column *out,
                           sm_error *e)
{
    void *rows = NULL, *codes = NULL;
    uint8_t *validity = NULL, *bools = NULL;
    int64_t done = 0, n_set = 0;
    const sm_type *type = l->convert->to;

    SM_ASSERT(l->node->max_rep == 0 && l->node->max_def <= 1 && n_rows >= 0);
    SM_TRY(begin_batch(l, into, e));
    *out = (sm_column){.type = type, .n_rows = n_rows};
    if (n_rows == 0) {
        return SM_OK;
    }
    if (l->page_left == 0) {
        SM_TRY(begin_next_page(l, e));
    }
    renew_dictionary_heap(l);
    if (l->node->max_def > 0) {
        SM_TRY(smi_pq_alloc_bits(into, n_rows, &validity, e));
    }
    if (sm_type_is_bytes(type->id) && is_coded(l->encoding) && l->n_dict > 0 &&
        l->n_dict <= SM_BATCH_ROWS) {
        SM_TRY(sm_batch_alloc_raw(into, (size_t)n_rows * sizeof(uint32_t), &codes, e));
        SM_TRY(read_coded_rows(l, n_rows, codes, validity, &done, &n_set, e));
    }
    if (done < n_rows) {
        if (type->id == SM_TYPE_BOOL) {
            SM_TRY(make_room(&l->values, n_rows, 1, e));
            rows = l->values.data;
        } else {
            SM_TRY(sm_batch_alloc_raw(into, (size_t)n_rows * (size_t)l->value_bytes, &rows, e));
        }
        if (done > 0) { /* only the first rows are codes. Nulls have code 0 and become empty */
            look_up_codes(l, codes, done, rows);
            if (validity) {
                sm_view *v = rows;
                for (int64_t i = 0; i < done; i++) {
                    v[i] = sm_bit_get(validity, i) ? v[i] : (sm_view){0};
                }
            }
        }
        SM_TRY(read_plain_rows(l, n_rows, rows, validity, done, &n_set, e));
    }
    SM_ASSERT(n_set >= 0 && n_set <= n_rows && (validity || n_set == n_rows));
    out->validity = n_set < n_rows ? validity : NULL;
    if (done >= n_rows) {
        return give_coded(l, codes, out, e);
    }
    out->values = rows;
    if (type->id == SM_TYPE_BOOL) {
        SM_TRY(smi_pq_alloc_bits(into, n_rows, &bools, e));
        smi_pq_pack_bools(rows, n_rows, bools);
        out->values = bools;
    }
    return sm_type_is_bytes(type->id) ? smi_pq_leaf_heap(l, out, e) : SM_OK;
}

/* ---- nested ---------------------------------------------------------------------------------- */

static bool are_at_most(const uint8_t *levels, int64_t n, uint8_t max)
{
    uint8_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = levels[i] > most ? levels[i] : most;
    }
    return most <= max;
}

/* Decodes the next levels. *has_more: there were some. */
static sm_status read_ahead(smi_pq_leaf *l, bool *has_more, sm_error *e)
{
    SM_ASSERT(l->ahead_at == l->n_ahead);
    *has_more = l->page_left > 0 || l->chunk_left > 0;
    if (!*has_more) {
        return SM_OK;
    }
    if (l->page_left == 0) {
        SM_TRY(begin_next_page(l, e));
        renew_dictionary_heap(l);
    }
    const int64_t n = l->page_left < SMI_PQ_AHEAD ? l->page_left : SMI_PQ_AHEAD;
    if (!smi_pq_runs_u8(&l->rep, l->ahead_rep, n) || !smi_pq_runs_u8(&l->def, l->ahead_def, n) ||
        !are_at_most(l->ahead_rep, n, l->node->max_rep) ||
        !are_at_most(l->ahead_def, n, l->node->max_def)) {
        return fail_corrupt(l, e, "levels are damaged");
    }
    l->page_left -= n;
    l->ahead_at = 0;
    l->n_ahead = (int32_t)n;
    return SM_OK;
}

/* Takes levels that were decoded ahead, up to the end of row n_rows, and reads their values. *rows:
 * how many rows have begun. */
static sm_status take_levels(smi_pq_leaf *l, int64_t n_rows, int64_t *rows, sm_error *e)
{
    SM_ASSERT(l->ahead_at < l->n_ahead && l->n_ahead <= SMI_PQ_AHEAD && *rows <= n_rows);
    const uint8_t *rep = l->ahead_rep + l->ahead_at, *def = l->ahead_def + l->ahead_at;
    const int64_t have = l->n_ahead - l->ahead_at;
    int64_t n = 0, n_set = 0;
    while (n < have && (rep[n] != 0 || *rows < n_rows)) {
        *rows += rep[n] == 0;
        n_set += def[n] == l->node->max_def;
        n++;
    }
    if (*rows == 0 && n > 0) {
        return fail_corrupt(l, e, "a column chunk begins within a row");
    }
    SM_TRY(grow_buffer(&l->defs, (size_t)n, e));
    SM_TRY(grow_buffer(&l->reps, (size_t)n, e));
    memcpy(l->defs.data + l->defs.n_bytes, def, (size_t)n);
    memcpy(l->reps.data + l->reps.n_bytes, rep, (size_t)n);
    l->defs.n_bytes += (size_t)n;
    l->reps.n_bytes += (size_t)n;
    l->n_levels += n;
    l->ahead_at += (int32_t)n;
    if (l->convert && n_set > 0) {
        const size_t bytes = (size_t)n_set * (size_t)l->value_bytes;
        SM_TRY(grow_buffer(&l->values, bytes, e));
        SM_TRY(read_values(l, n_set, l->values.data + l->values.n_bytes, e));
        l->values.n_bytes += bytes;
        l->n_values += n_set;
    }
    SM_ASSERT(l->defs.n_bytes == (size_t)l->n_levels && l->reps.n_bytes == l->defs.n_bytes);
    SM_ASSERT(l->values.n_bytes == (size_t)l->n_values * (size_t)l->value_bytes);
    return SM_OK;
}

sm_status smi_pq_leaf_nested(smi_pq_leaf *l, int64_t n_rows, sm_batch *into, sm_error *e)
{
    int64_t rows = 0;
    SM_TRY(begin_batch(l, into, e));
    l->defs.n_bytes = l->reps.n_bytes = l->values.n_bytes = 0;
    l->n_levels = l->n_values = 0;
    for (;;) {
        if (l->ahead_at < l->n_ahead) {
            SM_TRY(take_levels(l, n_rows, &rows, e));
        }
        if (l->ahead_at < l->n_ahead) {
            SM_ASSERT(rows == n_rows && l->ahead_rep[l->ahead_at] == 0);
            return SM_OK; /* the next level begins a row of the next batch */
        }
        if (rows == n_rows && l->node->max_rep == 0) {
            return SM_OK;
        }
        bool has_more = false;
        SM_TRY(read_ahead(l, &has_more, e));
        if (!has_more) {
            return rows == n_rows ? SM_OK
                                  : fail_corrupt(l, e, "a column chunk ends before its rows");
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Drops the chunk, but keeps the buffers for the next one. */
static void drop_chunk(smi_pq_leaf *l)
{
    smi_pq_pages_release(&l->pages);
    sm_block_release(l->dict_values);
    sm_block_release(l->dict_heap);
    l->dict_values = l->dict_heap = NULL;
    l->dict_base = NULL;
    l->dict_heap_bytes = l->n_dict = 0;
    l->page_left = l->chunk_left = 0;
    l->ahead_at = l->n_ahead = 0;
    l->into = NULL;
}

void smi_pq_leaf_begin(smi_pq_leaf *l, const smi_pq_leaf_source *from, smi_pq_codecs *codecs,
                       sm_budget *budget)
{
    const smi_pq_node *node = from->node;
    const smi_pq_chunk *chunk = from->chunk;
    const smi_pq_convert *convert = from->convert;
    SM_ASSERT(from->n_levels >= 0 && from->n_levels <= chunk->n_values);
    SM_ASSERT(from->then.len == 0 || from->first.len > 0);
    SM_ASSERT(!convert || convert->from == node);
    drop_chunk(l);
    l->node = node;
    l->chunk = chunk;
    l->convert = convert;
    l->budget = budget;
    l->raw = smi_pq_raw_of(node->physical);
    l->value_bytes = convert ? smi_pq_convert_bytes(convert) : 0;
    l->chunk_left = l->chunk_levels = from->n_levels;
    l->pages = (smi_pq_pages){
        .source = from->first.block,
        .p = from->first.bytes,
        .start = from->first.bytes,
        .end = from->first.len > 0 ? from->first.bytes + from->first.len : from->first.bytes,
        .then = from->then,
        .file = from->file,
        .off_bytes = from->first.off_bytes,
        .codec = chunk->codec,
        .max_def = node->max_def,
        .max_rep = node->max_rep,
        .budget = budget,
        .codecs = codecs,
    };
    smi_pq_growing *const buffers[] = {&l->last, &l->scratch, &l->codes_buf, &l->lengths,
                                       &l->defs, &l->reps,    &l->values};
    for (int i = 0; i < SM_COUNT(buffers); i++) {
        buffers[i]->budget = budget;
    }
}

void smi_pq_leaf_release(smi_pq_leaf *l)
{
    smi_pq_growing *const buffers[] = {&l->last, &l->scratch, &l->codes_buf, &l->lengths,
                                       &l->defs, &l->reps,    &l->values};
    drop_chunk(l);
    for (int i = 0; i < SM_COUNT(buffers); i++) {
        release_buffer(buffers[i]);
    }
    sm_free(l->heap);
    l->heap = NULL;
    l->n_heap = l->heap_cap = 0;
}
