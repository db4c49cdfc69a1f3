/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_shape.c: reads lines that look like earlier ones, many times as fast as
 * json_row.c. That file defines what is right: a line that this one is not sure of goes there.
 *
 * Calls    json.c calls smi_json_shapes_read, which reads as many lines as it can. The next line
 *          then goes to json_row.c; if it is kept, smi_json_shapes_learn learns it. And so on.
 * Shapes   Lines are read by an automaton. A *state* stands for a value in a line: of a column, or
 *          of a key that no column takes. An *edge* is the text between two values, byte for byte:
 *          closing and opening braces, comma, white space, key and colon. The last edge of a line
 *          ends with its LF. So reading a line means: compare bytes, read a value, compare bytes,
 *          and so on. A state first tries the edge that it took last, then its others. Another
 *          order of keys, a missing key or another kind of line costs an edge or two, not a new
 *          shape.
 * Correct  At a value, the open objects are always the same: those around its column. So every path
 *          along edges is valid JSON. What is left to check: that no key comes twice (each state
 *          and each object has a bit, which may be set once in a line), that each value fits its
 *          type, and that the line is not too long.
 * Values   ASCII strings without escapes and integers of up to 15 digits are read here. All other
 *          values are read by json_row.c's functions, one at a time. Nulls and missing keys are
 *          noted, and written when smi_json_shapes_read ends. This file refuses no line: one that
 *          may be wrong goes to json_row.c.
 * Limits   MAX_STATES values, MAX_EDGES edges of a state, MAX_EDGE_BYTES in an edge. Shapes are not
 *          used for a schema with more columns, or if a LIST or MAP is wanted. */
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
#define KEY_SETS       64 /* that are counted apart */
/* After so many lines in a row that taught nothing new, only one line in 16 is learnt. */
#define BARREN_LINES 64

#define STATE_START 0
#define STATE_END   (-1)

typedef unsigned __int128 state_set;
_Static_assert(8 * sizeof(state_set) >= MAX_STATES, "a bit for each state");
_Static_assert(MAX_NULLS > MAX_STATES, "a line's nulls are noted as a whole");
_Static_assert(HEAD_BYTES == 64 && HEAD_BYTES <= SM_PAD_BYTES, "a head is compared by 64 bits");

/* How a value is read. The first two accept a string as it is. */
typedef enum value_kind {
    VALUE_ANY,   /* any value: no column takes it, or its column is not checked */
    VALUE_TEXT,  /* VARCHAR */
    VALUE_I64,   /* BIGINT */
    VALUE_OTHER, /* by json_row.c's functions */
    VALUE_EMPTY, /* of an unknown key, where such keys are errors: a value that holds nothing */
    VALUE_UNFIT, /* nested: no line that has it is learnt */
} value_kind;
_Static_assert(VALUE_ANY < VALUE_TEXT && VALUE_TEXT < VALUE_I64, "LINE_NAME tests <= VALUE_TEXT");

typedef struct shape_edge {
    uint8_t head[HEAD_BYTES]; /* its first bytes, padded with zeros */
    uint64_t head_mask;       /* a bit for each byte of `head` that counts */
    uint8_t tail[MAX_EDGE_BYTES - HEAD_BYTES];
    uint32_t len;
    struct shape_state *to;    /* NULL: the end of the line */
    state_set passes;          /* that state, and the objects that the edge opens */
    uint32_t key_off, key_len; /* of the last key in the edge, without its quotes */
    bool key_is_odd;           /* it has escapes */
} shape_edge;

typedef struct shape_state {
    shape_edge *last; /* the edge that was taken last */
    shape_edge **edges;
    int32_t n_edges;
    value_kind kind;
    bool is_wanted;  /* its value goes into a builder */
    bool is_unknown; /* no column takes its key */
    /* set for each call of smi_json_shapes_read */
    int32_t bound_index; /* of the lines' block in the builder */
    uint8_t *values;     /* where the first row's value goes; BOOL: the builder's first */
    int64_t first_row;   /* index of the first row in the builder */

    smi_json_node *node;         /* NULL: is_unknown, or STATE_START */
    const smi_json_node *object; /* in which the key stands */
    sm_str key;                  /* is_unknown: unescaped */
    int depth;                   /* objects around it */
} shape_state;

/* A value that is null or missing. */
typedef struct null_value {
    int32_t state;
    uint32_t row; /* from the first row of this call */
} null_value;

/* Lines that have the same keys. */
typedef struct key_set {
    state_set seen;
    int64_t n_lines;
} key_set;

/* Reads the line at p as row n: returns the place behind its LF, or NULL if it is unsure. */
typedef const uint8_t *(*line_fn)(smi_json_shapes *s, const uint8_t *p, uint32_t n);

struct smi_json_shapes {
    sm_arena *arena;
    smi_json_parser *parser;
    line_fn read_line;
    shape_state states[MAX_STATES];
    int32_t n_states;
    shape_edge nowhere; /* the first edge of a new state: it passes all states, so it never fits */
    state_set wanted;   /* wanted leaves and the objects around them */
    state_set objects;  /* states that stand for objects */
    int32_t barren;     /* lines in a row that taught nothing new */

    /* set for each call of smi_json_shapes_read */
    sm_block *block;
    const uint8_t *end; /* of its bytes */
    int32_t n_nulls;
    null_value nulls[MAX_NULLS];
    bool has_unknown;       /* the line has unknown keys that were noted */
    state_set seen;         /* the states of the line that was read last */
    key_set sets[KEY_SETS]; /* the lines of this morsel, by their keys */
};

static state_set bit_of(int32_t state)
{
    SM_ASSERT(state >= 0 && state < MAX_STATES);
    return (state_set)1 << state;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The value of eight characters, of which the first n are digits; n > 0. */
static inline uint64_t eight_digits(uint64_t chars, int n)
{
    chars = n < 8 ? chars << (8 * (8 - n)) : chars; /* zeros in front */
    chars &= 0x0f0f0f0f0f0f0f0f;
    chars = (chars * 10) + (chars >> 8);
    return (((chars & 0x000000ff000000ff) * 0x000f424000000064) +
            (((chars >> 16) & 0x000000ff000000ff) * 0x0000271000000001)) >>
           32;
}

/* How many of eight characters are digits, up to the first that is none. */
static inline int count_digits(uint64_t chars)
{
    const uint64_t below = chars - 0x3030303030303030; /* borrows spoil only what comes later */
    const uint64_t above = chars + 0x4646464646464646;
    const uint64_t others = (below | above | chars) & 0x8080808080808080;
    return others == 0 ? 8 : __builtin_ctzll(others) / 8;
}

/* Reads an integer of up to 15 digits; NULL where there is none. Does not look whether the number
 * ends there: the next edge tells, as no edge begins with a digit, '.' or 'e' (add_edge). */
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

/* Writes a value that was checked and is not null as row n. false: no memory. A switch over the
 * types. */
static bool put_value(smi_json_shapes *s, shape_state *st, uint32_t n)
{
    SM_ASSERT(st->is_wanted && st->node->slot.token.kind != SM_JSON_IS_NULL);
    const smi_json_slot *slot = &st->node->slot;
    const size_t width = (size_t)sm_type_bytes(st->node->id);
    const float f = (float)slot->as.f;
    sm_error e = {0};
    sm_i128 d = 0;
    switch (st->node->id) {
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        if (sm_buf_reserve(&s->parser->scratch, slot->token.len, &e) != SM_OK) {
            return false; /* json_row.c will try again and report it */
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
    SM_ASSERT(s->n_nulls < MAX_NULLS && !st->is_unknown);
    if (st->is_wanted) {
        s->nulls[s->n_nulls++] = (null_value){.state = (int32_t)(st - s->states), .row = n};
    }
}

/* Reads any value by json_row.c's functions. Returns the place behind it; NULL where the whole line
 * is to go to json_row.c. */
static const uint8_t *read_other_value(smi_json_shapes *s, shape_state *st, const uint8_t *p,
                                       uint32_t n)
{
    sm_json_token token = {0};
    const uint8_t *lf = memchr(p, '\n', (size_t)(s->end - p));
    sm_json_scan scan = {.start = p, .end = lf, .depth = st->depth};
    SM_ASSERT(lf && st->kind != VALUE_UNFIT);
    const uint8_t *q = sm_json_scan_value(&scan, p, &token);
    if (!q || sm_utf8_check(p, (size_t)(q - p)) < (size_t)(q - p)) {
        return NULL;
    }
    if (st->kind == VALUE_ANY) {
        return q;
    }
    if (st->kind == VALUE_EMPTY) {
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

/* Notes the unknown key that edge e at p ends with, to be counted if the line is kept. */
static void note_unknown(smi_json_shapes *s, const shape_state *st, const shape_edge *e,
                         const uint8_t *p)
{
    smi_json_unknown *u = s->parser->unknown;
    SM_ASSERT(st->is_unknown && p[e->key_off - 1] == '"' && p[e->key_off + e->key_len] == '"');
    if (!u || !st->object->is_whole || st->kind == VALUE_EMPTY) {
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

/* Notes as null what the line does not have. Where an object is missing, so are its fields, which
 * have bits of their own. */
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
/* Writes the view of q[0 … len): up to 12 bytes after the length, or a reference. */
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

/* ---- reading --------------------------------------------------------------------------------- */

/* Makes room for the rows in the builders, and notes where they start. false: no memory. */
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

/* Tells the builders that n rows were written, and makes null what was noted as null. */
static void end_rows(smi_json_shapes *s, int64_t n)
{
    for (int32_t i = 1; i < s->n_states; i++) {
        if (s->states[i].is_wanted) {
            sm_builder_advance(s->states[i].node->builder, n);
        }
    }
    for (int32_t i = 0; i < s->n_nulls; i++) {
        SM_ASSERT(s->nulls[i].row < n && s->states[s->nulls[i].state].is_wanted);
        sm_builder *b = s->states[s->nulls[i].state].node->builder;
        sm_builder_set_null(b, sm_builder_rows(b) - n + s->nulls[i].row);
    }
    s->n_nulls = 0;
}

/* Appends the unknown keys of a line, from p to behind its LF. false: no memory. */
static bool rescue_line(smi_json_shapes *s, const uint8_t *p, const uint8_t *next)
{
    smi_json_parser *parser = s->parser;
    sm_error e = {0};

    if (!s->has_unknown) {
        sm_builder_null(parser->schema->rescued);
        return true;
    }
    return smi_json_rescue(parser, p, (size_t)(next - p - 1), &e) == SM_OK;
}

/* ---- the keys of lines ----------------------------------------------------------------------- */

static void add_set(const smi_json_shapes *s, key_set *set)
{
    for (int32_t i = 1; set->n_lines > 0 && i < s->n_states; i++) {
        if ((set->seen & bit_of(i)) != 0 && s->states[i].node) {
            s->states[i].node->n_lines += set->n_lines;
        }
    }
    set->n_lines = 0;
}

/* Counts the line's set of keys. Lines have few different ones, so that most are counted by one
 * comparison; a set that takes the place of another adds that up. */
static void count_set(smi_json_shapes *s)
{
    const uint64_t mixed = ((uint64_t)s->seen ^ (uint64_t)(s->seen >> 64)) * 0x9e3779b97f4a7c15;
    key_set *set = &s->sets[mixed >> 58];
    _Static_assert(KEY_SETS == 1 << (64 - 58), "a place for each value of these bits");
    if (set->seen != s->seen) {
        add_set(s, set);
        set->seen = s->seen;
    }
    set->n_lines++;
}

void smi_json_shapes_count(smi_json_shapes *s)
{
    for (int i = 0; i < KEY_SETS && s->parser->schema->n_keyed > 0; i++) {
        add_set(s, &s->sets[i]);
    }
}

void smi_json_shapes_read(smi_json_shapes *s, smi_json_shape_lines *r)
{
    const smi_json_schema *schema = s->parser->schema;
    const uint8_t *p = r->at;
    uint32_t n = 0;
    r->n_rows = r->n_unknown_lines = 0;
    if (s->states[STATE_START].n_edges == 0 || p >= r->stop || r->max_rows <= 0) {
        return;
    }
    SM_ASSERT(r->stop <= r->end && r->end[-1] == '\n' && r->max_rows <= SM_BATCH_ROWS);
    SM_ASSERT(r->at >= r->block->data && r->end <= r->block->data + r->block->size_bytes);
    SM_ASSERT(s->n_nulls == 0);
    s->block = r->block;
    s->end = r->end;
    if (!begin_rows(s, r->max_rows)) {
        return;
    }
    size_t bytes = 0;
    while (p < r->stop && n < r->max_rows && bytes < r->max_bytes &&
           s->n_nulls <= MAX_NULLS - MAX_STATES) {
        const int32_t n_nulls = s->n_nulls;
        const uint8_t *next = s->read_line(s, p, n);
        if (!next) {
            break;
        }
        if (schema->rescued && !rescue_line(s, p, next)) {
            s->n_nulls = n_nulls;
            break; /* json_row.c will try again and report it */
        }
        SM_ASSERT(next > p && next <= r->end && next[-1] == '\n');
        if (schema->n_keyed > 0) {
            count_set(s);
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

/* A line that is being learnt. */
typedef struct lesson {
    smi_json_shapes *s;
    sm_json_scan scan;
    const uint8_t *from; /* the place behind the last value, where the next edge begins */
    int32_t at;          /* the state of that value */
    state_set seen;      /* states of the line so far */
    state_set opened;    /* objects that were opened since that value */
    bool is_new;         /* the line taught something */
} lesson;

static value_kind value_kind_of(const smi_json_node *n)
{
    if (!n->is_walked || (!n->is_checked && !n->is_wanted)) {
        return VALUE_ANY;
    }
    return n->id == SM_TYPE_STRING    ? VALUE_TEXT
           : n->id == SM_TYPE_I64     ? VALUE_I64
           : sm_type_is_nested(n->id) ? VALUE_UNFIT
                                      : VALUE_OTHER;
}

static shape_state *add_state(smi_json_shapes *s)
{
    SM_ASSERT(s->n_states < MAX_STATES);
    shape_state *st = &s->states[s->n_states++];
    st->edges = SM_NEW_ARRAY(s->arena, shape_edge *, MAX_EDGES);
    st->edges[0] = st->last = &s->nowhere; /* until there is one */
    return st;
}

/* The state of a node. add_nodes has made one for each. */
static int32_t state_of_node(const smi_json_shapes *s, const smi_json_node *n)
{
    int32_t i = 1;
    while (i < s->n_states && s->states[i].node != n) {
        i++;
    }
    SM_ASSERT(i < s->n_states);
    return i;
}

/* The state of an unknown key, made where it is new; −1 where there are too many states. */
static int32_t state_of_unknown(smi_json_shapes *s, const smi_json_node *object, sm_str key,
                                int depth)
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
    st->kind = object->is_whole && s->parser->schema->fails_unknown ? VALUE_EMPTY : VALUE_ANY;
    st->object = object;
    st->key = sm_arena_str(s->arena, key);
    st->depth = depth;
    return s->n_states - 1;
}

/* Adds the edge of the bytes from the last value to `end`, leading to state `to`. true also where
 * it is known already; false where it does not fit. */
static bool add_edge(lesson *l, const uint8_t *end, int32_t to, const sm_json_token *key)
{
    shape_state *st = &l->s->states[l->at];
    SM_ASSERT(end > l->from && (to == STATE_END) == (end[-1] == '\n'));
    SM_ASSERT(!(*l->from >= '0' && *l->from <= '9') && (*l->from | 0x20) != 'e');
    SM_ASSERT(*l->from != '.'); /* read_i64 relies on it */
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

/* Learns the value at q of a key: adds an edge to its state. Returns the place behind the value;
 * NULL where the rest of the line cannot be learnt. */
static const uint8_t *learn_value(lesson *l, const smi_json_node *object, smi_json_node *field,
                                  const sm_json_token *key, const uint8_t *q)
{
    smi_json_shapes *s = l->s;
    sm_json_token passed;
    const int32_t to =
        field ? state_of_node(s, field)
              : state_of_unknown(s, object, smi_json_text(s->parser, *key), l->scan.depth);
    if (to < 0 || (l->seen & bit_of(to)) != 0 || s->states[to].kind == VALUE_UNFIT ||
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

/* Learns an object, from its opening brace. Returns the place behind the closing one; NULL as
 * above. The line was kept, so it has no faults. */
static const uint8_t *learn_object(lesson *l, smi_json_node *object, const uint8_t *q)
{
    q = sm_json_scan_open(&l->scan, q);
    bool more = q && *q != '}';
    while (q && more) {
        sm_json_token key;
        q = sm_json_scan_string(&l->scan, q, &key);
        SM_ASSERT(q); /* the line was kept */
        smi_json_node *field = smi_json_find(object, smi_json_text(l->s->parser, key));
        q = sm_json_scan_colon(&l->scan, q);
        if (*q == '{' && field && field->id == SM_TYPE_STRUCT && field->is_walked) {
            const state_set bit = bit_of(state_of_node(l->s, field));
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
    SM_ASSERT(!line->is_too_long && line->data[line->len] == '\n');
    const uint8_t *q = sm_json_skip_space(&l.scan, line->data);
    if (learn_object(&l, &s->parser->schema->root, q)) {
        (void)add_edge(&l, line->data + line->len + 1, STATE_END, NULL);
    }
    s->barren = l.is_new ? 0 : s->barren + 1;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Makes a state for each node below n; false where shapes do not work for the schema. */
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
        st->kind = is_object ? VALUE_UNFIT : value_kind_of(field);
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
    SM_ASSERT(versions[SM_COUNT(versions) - 1].isa == SM_ISA_REF); /* ends the loop */
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
