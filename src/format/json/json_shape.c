/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_shape.c: lines that look like earlier ones, read many times as fast as
 * json_row.c does, which stays the definition: what is not certain here goes back to it, line by
 * line.
 *
 * Calls    json.c: smi_json_shapes_run for as many lines as it can, then one line by json_row.c,
 *          and smi_json_shapes_learn where that line was kept; and so on.
 * Shapes   An automaton. A *state* is a value that a line may have: of a column, or of a key that
 *          no column takes. An *edge* is what stands between two values: the closing and opening
 *          braces, comma, white space, key and colon, byte for byte; the last one of a line ends
 *          with its LF. So a line is: compare bytes, read a value, compare bytes, … . A state tries
 *          the edge that it took last, then its others: orders of keys, missing keys and several
 *          kinds of lines each cost an edge, not a shape of their own.
 * Right    The objects that are open at a value are always the same ones, those around its column;
 *          so any path along edges is valid JSON. What is left to see: no key twice (a bit a state
 *          and object, which an edge may set once a line); each value by its type; the length.
 * Values   Strings without escapes, in ASCII, and integers to 15 digits are read here. All others
 *          by json_row.c's own functions, one value at a time. Null, missing: noted, and made null
 *          when the run ends. A refusal is not told here: the line goes to json_row.c.
 * Bounds   MAX_STATES values, MAX_EDGES edges a state, MAX_EDGE_BYTES each. A schema of more
 *          columns, or with a LIST or MAP that is asked for, has no shapes. */
#include <stdlib.h>

#include "base/isa.h"
#include "base/text.h"
#include "format/json/json_int.h"

#if SM_HAS_X86
#include <immintrin.h>
#endif

#define MAX_STATES     128 /* bits of a state_set */
#define MAX_EDGES      32
#define MAX_EDGE_BYTES 256
#define HEAD_BYTES     64 /* of an edge that are compared at once */
#define MAX_NULLS      4096
/* So many lines in a row taught nothing: from then on one in 16 is looked at. */
#define BARREN_LINES 64

#define STATE_START 0
#define STATE_END   (-1)

typedef unsigned __int128 state_set;

/* How a value is read; the first two take strings as they stand. */
typedef enum value_way {
    WAY_ANY,   /* of no column, or of one that is not checked: any value */
    WAY_TEXT,  /* VARCHAR */
    WAY_I64,   /* BIGINT */
    WAY_OTHER, /* by json_row.c */
    WAY_EMPTY, /* of a key that no column takes, where that is an error: what holds nothing */
    WAY_UNFIT, /* nested: no line that has it is learnt */
} value_way;

typedef struct shape_edge {
    uint8_t head[HEAD_BYTES]; /* zero behind the end */
    uint64_t head_mask;       /* the bytes of it that count */
    uint8_t tail[MAX_EDGE_BYTES - HEAD_BYTES];
    uint32_t len;
    struct shape_state *to;    /* NULL: the line's end */
    state_set passes;          /* that state, and the objects that are opened on the way */
    uint32_t key_off, key_len; /* of the last key, without its quotes */
    bool key_is_odd;           /* with escapes */
} shape_edge;

typedef struct shape_state {
    shape_edge *last; /* taken */
    shape_edge **edges;
    int32_t n_edges;
    value_way way;
    bool is_wanted, is_unknown;
    int32_t bound_index; /* of the run's block in the column's builder */
    uint8_t *values;     /* of the run's first row; BOOL: of the builder's */
    int64_t first_row;   /* of the run in the builder */
    smi_json_node *node; /* NULL: of no column */
    const smi_json_node *object;
    sm_str key; /* of no column: unescaped */
    int depth;  /* objects around it */
} shape_state;

typedef struct null_value {
    int32_t state;
    uint32_t row;
} null_value;

typedef const uint8_t *(*line_fn)(smi_json_shapes *s, const uint8_t *p, uint32_t n);

struct smi_json_shapes {
    sm_arena *arena;
    smi_json_parser *parser;
    line_fn read_line;
    shape_state states[MAX_STATES];
    int32_t n_states;
    shape_edge nowhere; /* passes all, so that no line takes it */
    state_set wanted;   /* leaves that are asked for, and objects around them */
    state_set objects;  /* states that stand for objects */
    int32_t barren;     /* lines in a row that taught nothing */

    /* the run */
    sm_block *block;
    const uint8_t *end; /* of the bytes at hand */
    int32_t n_nulls;
    null_value nulls[MAX_NULLS];
    bool has_unknown; /* the line */
};

static state_set bit_of(int32_t state)
{
    return (state_set)1 << state;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Eight characters of which the first n are digits. */
static inline uint64_t eight_digits(uint64_t chars, int n)
{
    chars = n < 8 ? chars << (8 * (8 - n)) : chars; /* zeroes in front; n > 0 */
    chars &= 0x0f0f0f0f0f0f0f0f;
    chars = (chars * 10) + (chars >> 8);
    return (((chars & 0x000000ff000000ff) * 0x000f424000000064) +
            (((chars >> 16) & 0x000000ff000000ff) * 0x0000271000000001)) >>
           32;
}

/* How many of eight characters are digits before the first that is none. */
static inline int count_digits(uint64_t chars)
{
    const uint64_t below = chars - 0x3030303030303030; /* borrows spoil only what comes later */
    const uint64_t above = chars + 0x4646464646464646;
    const uint64_t others = (below | above | chars) & 0x8080808080808080;
    return others == 0 ? 8 : __builtin_ctzll(others) / 8;
}

/* An integer of at most 15 digits as JSON writes it, or NULL. Whether the number ends there the
 * next edge says: none begins with a digit, '.' or 'e'. */
static inline const uint8_t *read_i64(const uint8_t *p, int64_t *out)
{
    static const uint64_t powers[] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    const bool is_negative = *p == '-';
    uint64_t chars;
    p += is_negative;
    memcpy(&chars, p, 8);
    int n = count_digits(chars);
    if (n == 0 || (n > 1 && *p == '0')) {
        return NULL;
    }
    uint64_t v = eight_digits(chars, n);
    p += n;
    if (n == 8) {
        memcpy(&chars, p, 8);
        n = count_digits(chars);
        if (n == 8) {
            return NULL;
        }
        v = n > 0 ? v * powers[n] + eight_digits(chars, n) : v;
        p += n;
    }
    *out = is_negative ? -(int64_t)v : (int64_t)v;
    return p;
}

static inline void write_ref(sm_view *to, const uint8_t *q, size_t len, int32_t index,
                             const sm_block *block)
{
    uint32_t prefix;
    memcpy(&prefix, q, 4);
    to->words[0] = (uint32_t)len | (uint64_t)prefix << 32;
    to->words[1] = (uint32_t)index | (uint64_t)(q - block->data) << 32;
}

/* A value that was checked, not null, into its row. A switch over the types. */
static bool put_value(smi_json_shapes *s, shape_state *st, uint32_t n)
{
    const smi_json_slot *slot = &st->node->slot;
    const size_t width = (size_t)sm_type_bytes(st->node->id);
    const float f = (float)slot->as.f;
    sm_error e = {0};
    sm_i128 d = 0;
    switch (st->node->id) {
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        if (sm_buf_reserve(&s->parser->scratch, slot->token.len, &e) != SM_OK) {
            return false; /* json_row.c will ask again, and tell */
        }
        ((sm_view *)(void *)st->values)[n] =
            sm_builder_keep_str(st->node->builder, smi_json_text(s->parser, slot->token));
        return true;
    case SM_TYPE_BOOL:
        if (slot->token.kind == SM_JSON_IS_TRUE) {
            sm_bit_set(st->values, st->first_row + n);
        } else {
            sm_bit_clear(st->values, st->first_row + n);
        }
        return true;
    case SM_TYPE_F64:
        memcpy(st->values + n * width, &slot->as.f, width);
        return true;
    case SM_TYPE_F32:
        memcpy(st->values + n * width, &f, width);
        return true;
    case SM_TYPE_DECIMAL:
        (void)smi_json_decimal(s->parser, st->node, slot->token, &d);
        memcpy(st->values + n * width, &d, width);
        return true;
    default:
        memcpy(st->values + n * width, &slot->as.i, width);
        return true;
    }
}

static void note_null(smi_json_shapes *s, const shape_state *st, uint32_t n)
{
    if (st->is_wanted) {
        s->nulls[s->n_nulls++] = (null_value){.state = (int32_t)(st - s->states), .row = n};
    }
}

/* Any value, by the careful path's functions: behind it, or NULL where the line should go there. */
static const uint8_t *odd_value(smi_json_shapes *s, shape_state *st, const uint8_t *p, uint32_t n)
{
    sm_json_token token = {0};
    const uint8_t *lf = memchr(p, '\n', (size_t)(s->end - p));
    sm_json_scan scan = {.start = p, .end = lf, .depth = st->depth};
    const uint8_t *q = sm_json_scan_value(&scan, p, &token);
    if (!q || sm_utf8_check(p, (size_t)(q - p)) < (size_t)(q - p)) {
        return NULL;
    }
    if (st->way == WAY_ANY) {
        return q;
    }
    if (st->way == WAY_EMPTY) {
        return smi_json_holds_nothing(p, (size_t)(q - p)) ? q : NULL;
    }
    if (token.kind == SM_JSON_IS_NULL) {
        note_null(s, st, n);
        return q;
    }
    if (sm_buf_reserve(&s->parser->scratch, token.len, &(sm_error){0}) != SM_OK) {
        return NULL;
    }
    st->node->slot.token = token;
    if (smi_json_check(s->parser, st->node) != SMI_JSON_OK ||
        (st->is_wanted && !put_value(s, st, n))) {
        return NULL;
    }
    return q;
}

/* A key of no column: the line's token for its count. */
static void note_unknown(smi_json_shapes *s, const shape_state *st, const shape_edge *e,
                         const uint8_t *p)
{
    smi_json_unknown *u = s->parser->unknown;
    if (!u || !st->object->is_whole || st->way == WAY_EMPTY) {
        return;
    }
    if (!s->has_unknown) {
        smi_json_unknown_line(u);
        s->has_unknown = true;
    }
    const sm_json_token key = {
        .at = p + e->key_off,
        .len = e->key_len,
        .kind = SM_JSON_IS_STRING,
        .is_odd = e->key_is_odd,
    };
    smi_json_unknown_add(u, st->object, key);
}

/* What the line did not have becomes null; of an object that is not there its columns are missing
 * as well. */
static void note_missing(smi_json_shapes *s, state_set missing, uint32_t n)
{
    while (missing != 0) {
        const uint64_t low = (uint64_t)missing;
        const int i =
            low != 0 ? __builtin_ctzll(low) : 64 + __builtin_ctzll((uint64_t)(missing >> 64));
        missing &= missing - 1;
        note_null(s, &s->states[i], n);
    }
}

/* ---- a line, by instruction set -------------------------------------------------------------- */

static inline bool is_tail(const shape_edge *e, const uint8_t *p)
{
    return e->len <= HEAD_BYTES || memcmp(p + HEAD_BYTES, e->tail, e->len - HEAD_BYTES) == 0;
}

static inline bool is_edge_ref(const shape_edge *e, const uint8_t *p)
{
    return memcmp(p, e->head, e->len < HEAD_BYTES ? e->len : HEAD_BYTES) == 0 && is_tail(e, p);
}

static inline const uint8_t *string_end_ref(const uint8_t *q)
{
    while (*q != '"' && *q != '\\' && *q >= 0x20 && *q < 0x80) {
        q++;
    }
    return q;
}

static inline void write_view_ref(sm_view *to, const uint8_t *q, size_t len, int32_t index,
                                  const sm_block *block)
{
    *to = sm_view_make(q, (int32_t)len, index, (int32_t)(q - block->data));
}

#define LINE_NAME       read_line_ref
#define LINE_TARGET     /* the base's own */
#define LINE_IS         is_edge_ref
#define LINE_STRING_END string_end_ref
#define LINE_VIEW       write_view_ref
#include "format/json/json_shape_line_int.h"

#if SM_HAS_X86
/* The bytes of a string to 12, behind its length. */
SM_TARGET(SM_AVX2)
static inline void write_view_avx2(sm_view *to, const uint8_t *q, size_t len, int32_t index,
                                   const sm_block *block)
{
    static const uint8_t masks[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                      255, 255, 255, 255, 255, 255, 255, 255};
    if (len > SM_VIEW_INLINE) {
        write_ref(to, q, len, index, block);
        return;
    }
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)q);
    v = _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(const void *)(masks + 16 - len)));
    v = _mm_insert_epi32(_mm_slli_si128(v, 4), (int)len, 0);
    _mm_storeu_si128((__m128i *)(void *)to, v);
}

SM_TARGET(SM_AVX2)
static inline bool is_edge_avx2(const shape_edge *e, const uint8_t *p)
{
    const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)e->head);
    const uint32_t same = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b));
    if ((~same & (uint32_t)e->head_mask) != 0) {
        return false;
    }
    if (e->len <= 32) {
        return true;
    }
    const __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    const __m256i d = _mm256_loadu_si256((const __m256i *)(const void *)(e->head + 32));
    const uint32_t rest = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(c, d));
    return (~rest & (uint32_t)(e->head_mask >> 32)) == 0 && is_tail(e, p);
}

SM_TARGET(SM_AVX2)
static inline const uint8_t *string_end_avx2(const uint8_t *q)
{
    const __m256i quote = _mm256_set1_epi8('"'), back = _mm256_set1_epi8('\\');
    const __m256i space = _mm256_set1_epi8(0x20);
    for (;; q += 32) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)q);
        const __m256i other = _mm256_cmpgt_epi8(space, v); /* signed: above 0x7f too */
        const __m256i is_end =
            _mm256_or_si256(_mm256_cmpeq_epi8(v, quote), _mm256_cmpeq_epi8(v, back));
        const uint32_t hits = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(other, is_end));
        if (hits != 0) {
            return q + __builtin_ctz(hits);
        }
    }
}

#define LINE_NAME       read_line_avx2
#define LINE_TARGET     SM_TARGET(SM_AVX2)
#define LINE_IS         is_edge_avx2
#define LINE_STRING_END string_end_avx2
#define LINE_VIEW       write_view_avx2
#include "format/json/json_shape_line_int.h"

SM_TARGET(SM_AVX512)
static inline bool is_edge_avx512(const shape_edge *e, const uint8_t *p)
{
    const __m512i a = _mm512_loadu_si512(p);
    const __mmask64 other =
        _mm512_mask_cmpneq_epi8_mask(e->head_mask, a, _mm512_loadu_si512(e->head));
    return other == 0 && is_tail(e, p);
}

SM_TARGET(SM_AVX512)
static inline const uint8_t *string_end_avx512(const uint8_t *q)
{
    const __m256i quote = _mm256_set1_epi8('"'), back = _mm256_set1_epi8('\\');
    const __m256i space = _mm256_set1_epi8(0x20);
    for (;; q += 32) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)q);
        const uint32_t hits = _mm256_cmplt_epi8_mask(v, space) | _mm256_cmpeq_epi8_mask(v, quote) |
                              _mm256_cmpeq_epi8_mask(v, back);
        if (hits != 0) {
            return q + __builtin_ctz(hits);
        }
    }
}

SM_TARGET(SM_AVX512)
static inline void write_view_avx512(sm_view *to, const uint8_t *q, size_t len, int32_t index,
                                     const sm_block *block)
{
    if (len > SM_VIEW_INLINE) {
        write_ref(to, q, len, index, block);
        return;
    }
    const __m128i v = _mm_maskz_loadu_epi8((__mmask16)((1u << len) - 1), q);
    _mm_storeu_si128((__m128i *)(void *)to, _mm_insert_epi32(_mm_slli_si128(v, 4), (int)len, 0));
}

#define LINE_NAME       read_line_avx512
#define LINE_TARGET     SM_TARGET(SM_AVX512)
#define LINE_IS         is_edge_avx512
#define LINE_STRING_END string_end_avx512
#define LINE_VIEW       write_view_avx512
#include "format/json/json_shape_line_int.h"
#endif

static const struct {
    sm_isa_level isa;
    line_fn fn;
} versions[] = {
#if SM_HAS_X86
    {SM_ISA_AVX512, read_line_avx512},
    {SM_ISA_AVX2, read_line_avx2},
#endif
    {SM_ISA_REF, read_line_ref},
};

/* ---- running --------------------------------------------------------------------------------- */

/* Room for the run's rows, and where they start. false where it was refused. */
static bool begin_rows(smi_json_shapes *s, int64_t max_rows)
{
    smi_json_schema *schema = s->parser->schema;
    for (int32_t i = 0; i < schema->n_wanted; i++) {
        if (!sm_builder_reserve(schema->builders[i], max_rows)) {
            return false;
        }
    }
    for (int32_t i = 1; i < s->n_states; i++) {
        shape_state *st = &s->states[i];
        if (!st->is_wanted || (s->objects & bit_of(i)) != 0) {
            continue;
        }
        const size_t width = (size_t)sm_type_bytes(st->node->id);
        st->first_row = sm_builder_rows(st->node->builder);
        st->values = sm_builder_values(st->node->builder);
        st->values += st->node->id == SM_TYPE_BOOL ? 0 : (size_t)st->first_row * width;
        if (sm_type_is_bytes(st->node->id)) {
            st->bound_index = smi_json_bind(st->node, s->block);
        }
    }
    return true;
}

static void end_rows(smi_json_shapes *s, int64_t n)
{
    for (int32_t i = 1; i < s->n_states; i++) {
        if (s->states[i].is_wanted) {
            sm_builder_advance(s->states[i].node->builder, n);
        }
    }
    for (int32_t i = 0; i < s->n_nulls; i++) {
        sm_builder *b = s->states[s->nulls[i].state].node->builder;
        sm_builder_set_null(b, sm_builder_rows(b) - n + s->nulls[i].row);
    }
    s->n_nulls = 0;
}

void smi_json_shapes_run(smi_json_shapes *s, smi_json_shape_run *r)
{
    const uint8_t *p = r->at;
    uint32_t n = 0;
    r->n_rows = r->n_unknown_lines = 0;
    if (s->states[STATE_START].n_edges == 0 || p >= r->stop || r->max_rows <= 0) {
        return;
    }
    s->block = r->block;
    s->end = r->end;
    if (!begin_rows(s, r->max_rows)) {
        return;
    }
    size_t bytes = 0;
    while (p < r->stop && n < r->max_rows && bytes < r->max_bytes &&
           s->n_nulls <= MAX_NULLS - MAX_STATES) {
        const uint8_t *next = s->read_line(s, p, n);
        if (!next) {
            break;
        }
        bytes += (size_t)(next - p - 1);
        if (s->has_unknown) {
            r->n_unknown_lines += smi_json_unknown_keep(s->parser->unknown);
        }
        p = next;
        n++;
    }
    end_rows(s, n);
    r->at = p;
    r->n_rows = n;
    r->n_bytes = bytes;
}

/* ---- learning -------------------------------------------------------------------------------- */

/* What is known of the line that teaches. */
typedef struct lesson {
    smi_json_shapes *s;
    sm_json_scan scan;
    const uint8_t *from; /* behind the last value */
    int32_t at;          /* its state */
    state_set seen;
    state_set opened; /* since the last value */
    bool is_new;      /* something was learnt */
} lesson;

static value_way way_of(const smi_json_node *n)
{
    if (!n->is_walked || (!n->is_checked && !n->is_wanted)) {
        return WAY_ANY;
    }
    return n->id == SM_TYPE_STRING    ? WAY_TEXT
           : n->id == SM_TYPE_I64     ? WAY_I64
           : sm_type_is_nested(n->id) ? WAY_UNFIT
                                      : WAY_OTHER;
}

static shape_state *add_state(smi_json_shapes *s)
{
    shape_state *st = &s->states[s->n_states++];
    st->edges = SM_NEW_ARRAY(s->arena, shape_edge *, MAX_EDGES);
    st->edges[0] = st->last = &s->nowhere; /* until there is one */
    return st;
}

static int32_t find_node(const smi_json_shapes *s, const smi_json_node *n)
{
    int32_t i = 1;
    while (i < s->n_states && s->states[i].node != n) {
        i++;
    }
    return i;
}

/* The state of a key that no column takes; −1 where there are too many. */
static int32_t unknown_state(smi_json_shapes *s, const smi_json_node *object, sm_str key, int depth)
{
    for (int32_t i = 1; i < s->n_states; i++) {
        const shape_state *st = &s->states[i];
        if (st->is_unknown && st->object == object && sm_str_eq(st->key, key)) {
            return i;
        }
    }
    if (s->n_states == MAX_STATES) {
        return -1;
    }
    shape_state *st = add_state(s);
    st->is_unknown = true;
    st->way = object->is_whole && s->parser->schema->fails_unknown ? WAY_EMPTY : WAY_ANY;
    st->object = object;
    st->key = sm_arena_str(s->arena, key);
    st->depth = depth;
    return s->n_states - 1;
}

/* The bytes from the last value to `end` lead to a state. */
static bool add_edge(lesson *l, const uint8_t *end, int32_t to, const sm_json_token *key)
{
    shape_state *st = &l->s->states[l->at];
    const size_t len = (size_t)(end - l->from);
    if (len > MAX_EDGE_BYTES) {
        return false;
    }
    for (int32_t i = 0; i < st->n_edges; i++) {
        if (st->edges[i]->len == len && is_edge_ref(st->edges[i], l->from)) {
            return true;
        }
    }
    if (st->n_edges == MAX_EDGES) {
        return false;
    }
    shape_edge *e = SM_NEW(l->s->arena, shape_edge);
    const size_t head = len < HEAD_BYTES ? len : HEAD_BYTES;
    memcpy(e->head, l->from, head);
    memcpy(e->tail, l->from + head, len - head);
    e->head_mask = head < 64 ? ((uint64_t)1 << head) - 1 : UINT64_MAX;
    e->len = (uint32_t)len;
    e->to = to == STATE_END ? NULL : &l->s->states[to];
    e->passes = l->opened | (to == STATE_END ? 0 : bit_of(to));
    if (key) {
        e->key_off = (uint32_t)(key->at - l->from);
        e->key_len = key->len;
        e->key_is_odd = key->is_odd;
    }
    st->edges[st->n_edges++] = e;
    l->is_new = true;
    return true;
}

/* The value at q of a key: an edge to its state, then behind it. NULL: the line teaches no more. */
static const uint8_t *learn_value(lesson *l, const smi_json_node *object, smi_json_node *field,
                                  const sm_json_token *key, const uint8_t *q)
{
    smi_json_shapes *s = l->s;
    sm_json_token passed;
    const int32_t to =
        field ? find_node(s, field)
              : unknown_state(s, object, smi_json_text(s->parser, *key), l->scan.depth);
    if (to < 0 || (l->seen & bit_of(to)) != 0 || s->states[to].way == WAY_UNFIT ||
        !add_edge(l, q, to, key)) {
        return NULL;
    }
    l->seen |= bit_of(to);
    l->opened = 0;
    l->at = to;
    q = sm_json_scan_value(&l->scan, q, &passed);
    l->from = q;
    return q;
}

/* From an object's brace to behind the closing one; NULL as above. The line was kept, so that
 * nothing in it can be wrong. */
static const uint8_t *learn_object(lesson *l, smi_json_node *object, const uint8_t *q)
{
    q = sm_json_scan_open(&l->scan, q);
    bool more = q && *q != '}';
    while (q && more) {
        sm_json_token key;
        q = sm_json_scan_string(&l->scan, q, &key);
        smi_json_node *field = smi_json_find(object, smi_json_text(l->s->parser, key));
        q = sm_json_scan_colon(&l->scan, q);
        if (*q == '{' && field && field->id == SM_TYPE_STRUCT && field->is_walked) {
            const state_set bit = bit_of(find_node(l->s, field));
            if ((l->seen & bit) != 0) {
                return NULL;
            }
            l->seen |= bit;
            l->opened |= bit;
            q = learn_object(l, field, q);
        } else {
            q = learn_value(l, object, field, &key, q);
        }
        q = q ? sm_json_scan_next(&l->scan, q, '}', &more) : NULL;
    }
    l->scan.depth--;
    return q ? q + 1 : NULL;
}

void smi_json_shapes_learn(smi_json_shapes *s, const smi_line *line)
{
    if (s->barren > BARREN_LINES && (s->barren++ & 15) != 0) {
        return;
    }
    lesson l = {
        .s = s,
        .scan = sm_json_scan_of(line->data, line->len),
        .from = line->data,
        .at = STATE_START,
    };
    const uint8_t *q = sm_json_skip_space(&l.scan, line->data);
    if (learn_object(&l, &s->parser->schema->root, q)) {
        (void)add_edge(&l, line->data + line->len + 1, STATE_END, NULL);
    }
    s->barren = l.is_new ? 0 : s->barren + 1;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* A state for n and those below; false where the schema has no shapes. */
static bool add_nodes(smi_json_shapes *s, smi_json_node *n, int depth)
{
    for (int32_t i = 0; i < n->n_fields; i++) {
        smi_json_node *field = &n->fields[i];
        const bool is_object = field->id == SM_TYPE_STRUCT && field->is_walked;
        const bool is_list = sm_type_is_nested(field->id) && field->id != SM_TYPE_STRUCT;
        if (s->n_states == MAX_STATES || (field->is_wanted && is_list)) {
            return false;
        }
        const state_set bit = bit_of(s->n_states);
        shape_state *st = add_state(s);
        st->node = field;
        st->object = n;
        st->depth = depth;
        st->is_wanted = field->is_wanted;
        st->way = is_object ? WAY_UNFIT : way_of(field);
        s->objects |= is_object ? bit : 0;
        s->wanted |= field->is_wanted ? bit : 0;
        if (is_object && !add_nodes(s, field, depth + 1)) {
            return false;
        }
    }
    return true;
}

smi_json_shapes *smi_json_shapes_new(smi_json_parser *parser, sm_budget *budget)
{
    sm_arena *arena = sm_arena_new(budget);
    smi_json_shapes *s = SM_NEW(arena, smi_json_shapes);
    const sm_isa_level isa = sm_isa();
    int i = 0;
    while (versions[i].isa > isa) {
        i++;
    }
    s->arena = arena;
    s->parser = parser;
    s->read_line = versions[i].fn;
    s->nowhere = (shape_edge){
        .head_mask = 1, .len = 1, .passes = ~(state_set)0, .to = &s->states[STATE_START]};
    (void)add_state(s);
    if (!add_nodes(s, &parser->schema->root, 1)) {
        smi_json_shapes_free(s);
        return NULL;
    }
    return s;
}

void smi_json_shapes_free(smi_json_shapes *s)
{
    if (s) {
        sm_arena_free(s->arena);
    }
}
