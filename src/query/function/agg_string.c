/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_string.c: string_agg.
 *
 * State     The values joined, each with its separator before it, the first one too. So a merge
 *           appends the later range's text as it is, and finish skips the first separator.
 * Memory    The text grows in the heap, by doubling.
 * NULL      A row whose value or separator is NULL is left out. */
#include "query/function/agg_int.h"

#define MAX_TEXT_BYTES INT32_MAX /* of one value of a column */
#define MIN_TEXT_BYTES 32

typedef struct string_state {
    uint8_t *bytes; /* NULL: no value yet */
    uint32_t len, cap;
    uint32_t skip; /* the first separator */
} string_state;

/* Makes room for `more` bytes behind the text. */
static sm_status reserve(const sm_expr *call, string_state *s, size_t more, sm_agg_heap *heap,
                         sm_error *e)
{
    const size_t need = s->len + more;
    void *bytes = NULL;
    if (s->bytes && need <= s->cap) {
        return SM_OK;
    }
    if (need > MAX_TEXT_BYTES) {
        return smi_expr_fail(call, e, SM_LIMIT, "string_agg of more than %d bytes", MAX_TEXT_BYTES);
    }
    size_t cap = MIN_TEXT_BYTES;
    while (cap < need) {
        cap *= 2;
    }
    SM_TRY(smi_heap_alloc(heap, cap, &bytes, e));
    if (s->bytes) {
        memcpy(bytes, s->bytes, s->len);
    }
    SM_ASSERT(cap >= need && cap <= UINT32_MAX);
    s->bytes = bytes;
    s->cap = (uint32_t)cap;
    return SM_OK;
}

static void append_text(string_state *s, sm_str text)
{
    if (text.len > 0) {
        SM_ASSERT(s->bytes && s->len + text.len <= s->cap); /* reserve() was called */
        memcpy(s->bytes + s->len, text.data, text.len);
        s->len += (uint32_t)text.len;
    }
}

static sm_status append_rows(const sm_expr *call, const sm_column *c, const sm_column *separator,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        string_state *const s = states[i];
        if (!smi_valid(c, i) || !smi_valid(separator, i)) {
            continue;
        }
        const sm_str value = smi_str_at(c, i), before = smi_str_at(separator, i);
        if (!s->bytes) {
            s->skip = (uint32_t)before.len;
        }
        SM_TRY(reserve(call, s, value.len + before.len, heap, e));
        append_text(s, before);
        append_text(s, value);
    }
    return SM_OK;
}

/* DISTINCT gives the values alone (agg_set.c): the separator must be a constant of the call. */
static sm_status constant_separator(const sm_expr *call, sm_view *view, sm_heap_buf *heap,
                                    sm_column *out, sm_error *e)
{
    const sm_expr *const x = call->args[1];
    if (x->kind != SM_EXPR_CONST || x->value.is_null) {
        smi_expr_fail(x, e, SM_UNSUPPORTED,
                      "string_agg of distinct values needs a constant separator");
        return SM_UNSUPPORTED;
    }
    const sm_str s = x->value.as.s;
    *heap = (sm_heap_buf){.data = (const uint8_t *)s.data, .size_bytes = (int64_t)s.len};
    *view = sm_view_make(heap->data, (int32_t)s.len, 0, 0);
    *out = (sm_column){
        .type = &sm_type_string, .layout = SM_CONST, .values = view, .heap = heap, .n_heap = 1};
    return SM_OK;
}

static sm_status string_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                               int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    sm_column c = {0}, separator = {0};
    sm_view view;
    sm_heap_buf bytes;
    sm_block *c_mem = NULL, *separator_mem = NULL;
    sm_status st = SM_OK;
    if (args[0].type->id == SM_TYPE_NULL || (n_args > 1 && args[1].type->id == SM_TYPE_NULL)) {
        return SM_OK;
    }
    SM_TRY_GOTO(st, done, smi_flat(&args[0], smi_heap_budget(heap), &c, &c_mem, e));
    st = n_args > 1 ? smi_flat(&args[1], smi_heap_budget(heap), &separator, &separator_mem, e)
                    : constant_separator(call, &view, &bytes, &separator, e);
    if (st == SM_OK) {
        st = append_rows(call, &c, &separator, n_rows, states, heap, e);
    }
done:
    sm_block_release(c_mem);
    sm_block_release(separator_mem);
    return st;
}

static sm_status string_merge(const sm_expr *call, void *const *into, const void *const *from,
                              int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        string_state *const s = into[i];
        const string_state *const more = from[i];
        if (!more->bytes) {
            continue;
        }
        if (!s->bytes) {
            s->skip = more->skip;
        }
        SM_TRY(reserve(call, s, more->len, heap, e));
        append_text(s, (sm_str){(const char *)more->bytes, more->len});
    }
    return SM_OK;
}

static sm_status string_finish(const sm_expr *call, const void *const *states, int64_t n,
                               sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const string_state *const s = states[i];
        SM_ASSERT(s->skip <= s->len);
        if (s->bytes) {
            sm_builder_str(out, (sm_str){(const char *)s->bytes + s->skip, s->len - s->skip});
        } else {
            sm_builder_null(out);
        }
    }
    return SM_OK;
}

const sm_aggregate agg_string = {
    .state_bytes = sizeof(string_state),
    .update = string_update,
    .merge = string_merge,
    .finish = string_finish,
};
