/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_convert.c: converts values as stored to values of the wanted type.
 *
 * Allowed    Each type to itself. Integers to wider ones, to DOUBLE if that is exact, and to a
 *            DECIMAL with room for all their digits. FLOAT to DOUBLE. DECIMAL to one with no fewer
 *            digits before and after the point. DATE to a local timestamp. Bytes and text to each
 *            other (text is checked). Instants and local timestamps to each other, because some
 *            writers have only one type for both. INT32 without annotation to smaller integers,
 *            each value checked. This includes what Delta's type widening allows.
 * Units      Milliseconds and nanoseconds become microseconds; nanoseconds are rounded down. The
 *            least and the greatest stored value, which stand for infinity, become infinity.
 * UUID       becomes text. parquet_leaf.c makes it, because no page has its bytes.
 * Method     One loop for each conversion, over many values. A loop that can fail returns the index
 *            of the value that does not fit.
 * Source     apache/parquet-format LogicalTypes.md; delta-io/delta PROTOCOL.md, "Type Widening"
 *
 * Called by parquet_schema.c (find), parquet_leaf.c and parquet_stats.c (values). */

#include "base/time.h"
#include "format/parquet/parquet_int.h"

typedef enum convert_kind {
    CONVERT_COPY,
    CONVERT_I32_I8,
    CONVERT_I32_I16,
    CONVERT_I32_U8,
    CONVERT_I32_U16,
    CONVERT_I32_I64,
    CONVERT_U32_I64, /* and U64 */
    CONVERT_I32_F64,
    CONVERT_U32_F64,
    CONVERT_F32_F64,
    CONVERT_I32_DECIMAL, /* all decimals: times factor */
    CONVERT_U32_DECIMAL,
    CONVERT_I64_DECIMAL,
    CONVERT_U64_DECIMAL,
    CONVERT_BYTES_DECIMAL,
    CONVERT_DATE_TIMESTAMP,
    CONVERT_I32_THOUSAND,   /* TIME in milliseconds */
    CONVERT_I64_THOUSAND,   /* milliseconds */
    CONVERT_I64_THOUSANDTH, /* nanoseconds */
    CONVERT_INT96,
    CONVERT_FLOAT16,
    CONVERT_FLOAT16_F64,
    CONVERT_UUID_TEXT, /* the last one: it has no loop here */
} convert_kind;

#define US_PER_DAY   INT64_C(86400000000)
#define JULIAN_EPOCH 2440588 /* the Julian day of 1970-01-01 */

smi_pq_raw smi_pq_raw_of(smi_pq_physical p)
{
    switch (p) {
    case SMI_PQ_BOOLEAN:
        return SMI_PQ_RAW_BOOL;
    case SMI_PQ_INT32:
    case SMI_PQ_FLOAT:
        return SMI_PQ_RAW_4;
    case SMI_PQ_INT64:
    case SMI_PQ_DOUBLE:
        return SMI_PQ_RAW_8;
    default:
        return SMI_PQ_RAW_VIEW;
    }
}

/* ---- finding --------------------------------------------------------------------------------- */

static sm_i128 ten_to(int n)
{
    sm_i128 v = 1;
    for (int i = 0; i < n; i++) {
        v *= 10;
    }
    return v;
}

static bool find_decimal(const smi_pq_node *from, const sm_type *natural, const sm_type *to,
                         smi_pq_convert *out)
{
    const bool is_integer = sm_type_is_integer(natural->id);
    const int scale = is_integer ? 0 : natural->scale;
    const int whole =
        is_integer ? sm_type_digits(natural->id) : natural->precision - natural->scale;
    if ((!is_integer && natural->id != SM_TYPE_DECIMAL) || to->scale < scale ||
        to->precision - to->scale < whole) {
        return false;
    }
    const bool is_unsigned = is_integer && !sm_type_is_signed(natural->id);
    out->factor = ten_to(to->scale - scale);
    out->limit = ten_to(to->precision);
    out->kind =
        from->physical == SMI_PQ_INT32   ? (is_unsigned ? CONVERT_U32_DECIMAL : CONVERT_I32_DECIMAL)
        : from->physical == SMI_PQ_INT64 ? (is_unsigned ? CONVERT_U64_DECIMAL : CONVERT_I64_DECIMAL)
                                         : CONVERT_BYTES_DECIMAL;
    return true;
}

/* From an integer of at most 32 bits, stored as INT32. */
static bool find_from_i32(const smi_pq_node *from, const sm_type *natural, sm_type_id to,
                          smi_pq_convert *out)
{
    const int have = sm_type_bytes(natural->id);
    const int want = sm_type_bytes(to);
    if (to == SM_TYPE_F64) {
        out->kind = natural->id == SM_TYPE_U32 ? CONVERT_U32_F64 : CONVERT_I32_F64;
        return true;
    }
    if (!sm_type_is_integer(to)) {
        return false;
    }
    const bool is_signed = sm_type_is_signed(natural->id);
    const bool fits = is_signed == sm_type_is_signed(to) ? want >= have : !is_signed && want > have;
    const bool is_plain = from->logical != SMI_PQ_INTEGER && sm_type_is_signed(to);
    if (!fits && !is_plain) {
        return false;
    }
    switch (to) {
    case SM_TYPE_I8:
        out->kind = CONVERT_I32_I8;
        break;
    case SM_TYPE_I16:
        out->kind = CONVERT_I32_I16;
        break;
    case SM_TYPE_U8:
        out->kind = CONVERT_I32_U8;
        break;
    case SM_TYPE_U16:
        out->kind = CONVERT_I32_U16;
        break;
    case SM_TYPE_I64:
    case SM_TYPE_U64:
        out->kind = natural->id == SM_TYPE_U32 ? CONVERT_U32_I64 : CONVERT_I32_I64;
        break;
    default:
        out->kind = CONVERT_COPY;
    }
    return true;
}

static bool is_timestamp(sm_type_id id)
{
    return id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

static bool find_time(const smi_pq_node *from, const sm_type *natural, const sm_type *to,
                      smi_pq_convert *out)
{
    if (natural->id != to->id && !(is_timestamp(natural->id) && is_timestamp(to->id))) {
        return false;
    }
    out->kind = from->physical == SMI_PQ_INT96   ? CONVERT_INT96
                : from->physical == SMI_PQ_INT32 ? CONVERT_I32_THOUSAND
                : from->unit == SMI_PQ_MILLIS    ? CONVERT_I64_THOUSAND
                : from->unit == SMI_PQ_NANOS     ? CONVERT_I64_THOUSANDTH
                                                 : CONVERT_COPY;
    return true;
}

bool smi_pq_convert_find(const smi_pq_node *from, const sm_type *natural, const sm_type *to,
                         smi_pq_convert *out)
{
    *out = (smi_pq_convert){.from = from, .to = to, .kind = CONVERT_COPY, .factor = 1};
    if (to->id == SM_TYPE_DECIMAL) {
        return find_decimal(from, natural, to, out);
    }
    switch (natural->id) {
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return find_time(from, natural, to, out);
    case SM_TYPE_DATE:
        if (to->id == SM_TYPE_TIMESTAMP_NTZ) {
            out->kind = CONVERT_DATE_TIMESTAMP;
            return true;
        }
        return to->id == SM_TYPE_DATE;
    case SM_TYPE_F32:
        if (from->physical == SMI_PQ_FIXED) {
            out->kind = to->id == SM_TYPE_F64 ? CONVERT_FLOAT16_F64 : CONVERT_FLOAT16;
        } else if (to->id == SM_TYPE_F64) {
            out->kind = CONVERT_F32_F64;
        }
        return to->id == SM_TYPE_F32 || to->id == SM_TYPE_F64;
    case SM_TYPE_STRING:
        out->kind = from->logical == SMI_PQ_UUID && to->id == SM_TYPE_STRING ? CONVERT_UUID_TEXT
                                                                             : CONVERT_COPY;
        return sm_type_is_bytes(to->id);
    case SM_TYPE_BINARY:
        return sm_type_is_bytes(to->id);
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
        return find_from_i32(from, natural, to->id, out);
    default:
        return natural->id == to->id;
    }
}

bool smi_pq_convert_is_copy(const smi_pq_convert *c)
{
    return c->kind == CONVERT_COPY;
}

bool smi_pq_convert_is_uuid(const smi_pq_convert *c)
{
    return c->kind == CONVERT_UUID_TEXT;
}

int smi_pq_convert_bytes(const smi_pq_convert *c)
{
    return c->to->id == SM_TYPE_BOOL ? 1 : sm_type_bytes(c->to->id);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Every value fits. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define CONVERT(name, from_type, to_type, expression)                                              \
    static int64_t name(const smi_pq_convert *c, const void *in, const sm_heap_buf *heap,          \
                        void *out, int64_t n)                                                      \
    {                                                                                              \
        const from_type *const from = in;                                                          \
        to_type *const to = out;                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const from_type v = from[i];                                                           \
            to[i] = (to_type)(expression);                                                         \
        }                                                                                          \
        return n;                                                                                  \
    }

/* `ok` says of each value whether it did; it may set to[i]. */
#define CONVERT_CHECKED(name, from_type, to_type, ok)                                              \
    static int64_t name(const smi_pq_convert *c, const void *in, const sm_heap_buf *heap,          \
                        void *out, int64_t n)                                                      \
    {                                                                                              \
        const from_type *const from = in;                                                          \
        to_type *const to = out;                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const from_type v = from[i];                                                           \
            if (!(ok)) {                                                                           \
                return i;                                                                          \
            }                                                                                      \
        }                                                                                          \
        return n;                                                                                  \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

CONVERT_CHECKED(i32_i8, int32_t, int8_t, (to[i] = (int8_t)v) == v)
CONVERT_CHECKED(i32_i16, int32_t, int16_t, (to[i] = (int16_t)v) == v)
CONVERT_CHECKED(i32_u8, int32_t, uint8_t, (to[i] = (uint8_t)v) == v)
CONVERT_CHECKED(i32_u16, int32_t, uint16_t, (to[i] = (uint16_t)v) == v)
CONVERT(i32_i64, int32_t, int64_t, v)
CONVERT(u32_i64, uint32_t, int64_t, v)
CONVERT(i32_f64, int32_t, double, v)
CONVERT(u32_f64, uint32_t, double, v)
CONVERT(f32_f64, float, double, v)
/* Within the digits of the type? */
static bool scale_decimal(const smi_pq_convert *c, sm_i128 v, sm_i128 *out)
{
    return !__builtin_mul_overflow(v, c->factor, out) && *out<c->limit && * out> - c->limit;
}
CONVERT_CHECKED(i32_decimal, int32_t, sm_i128, scale_decimal(c, v, &to[i]))
CONVERT_CHECKED(u32_decimal, uint32_t, sm_i128, scale_decimal(c, v, &to[i]))
CONVERT_CHECKED(i64_decimal, int64_t, sm_i128, scale_decimal(c, v, &to[i]))
CONVERT_CHECKED(u64_decimal, uint64_t, sm_i128, scale_decimal(c, v, &to[i]))
/* v times factor; or infinity, if v stands for it. */
static bool to_us(int64_t v, int64_t factor, int64_t infinity, int64_t *out)
{
    const bool fits = !__builtin_mul_overflow(v, factor, out);
    if (v == infinity || v == -infinity) {
        *out = v > 0 ? SM_TIMESTAMP_INFINITY : -SM_TIMESTAMP_INFINITY;
        return true;
    }
    return fits;
}
CONVERT_CHECKED(date_timestamp, int32_t, int64_t, to_us(v, US_PER_DAY, SM_DATE_INFINITY, &to[i]))
CONVERT(i32_thousand, int32_t, int64_t, (int64_t)v * 1000)
CONVERT_CHECKED(i64_thousand, int64_t, int64_t, to_us(v, 1000, SM_TIMESTAMP_INFINITY, &to[i]))
CONVERT(i64_thousandth, int64_t, int64_t,
        v == INT64_MAX || v == -INT64_MAX ? v : v / 1000 - (v % 1000 < 0))

/* Big endian, two's complement; leading bytes beyond 16 must repeat the sign. */
static bool bytes_to_decimal(const smi_pq_convert *c, sm_str s, sm_i128 *out)
{
    const uint8_t *p = (const uint8_t *)s.data;
    if (s.len == 0) {
        *out = 0;
        return true;
    }
    unsigned __int128 v = p[0] & 0x80 ? ~(unsigned __int128)0 : 0;
    const uint8_t fill = (uint8_t)v;
    for (; s.len > 16; s.len--, p++) {
        if (*p != fill || ((p[1] ^ fill) & 0x80)) {
            return false;
        }
    }
    for (size_t i = 0; i < s.len; i++) {
        v = v << 8 | p[i];
    }
    return scale_decimal(c, (sm_i128)v, out);
}
CONVERT_CHECKED(bytes_decimal, sm_view, sm_i128, bytes_to_decimal(c, sm_view_str(&v, heap), &to[i]))

/* INT96: nanoseconds of the day, then the Julian day, little endian. Spark writes far timestamps
 * with a day that has wrapped in its 32 bits; wrapping back modulo 2^64 gives what was meant. */
static int64_t int96_to_us(const sm_view *v)
{
    int64_t ns;
    int32_t day;
    memcpy(&ns, v->inlined.bytes, 8);
    memcpy(&day, v->inlined.bytes + 8, 4);
    const int64_t in_day = ns / 1000 - (ns % 1000 < 0);
    const uint64_t midnight = (uint64_t)((int64_t)day - JULIAN_EPOCH) * (uint64_t)US_PER_DAY;
    return (int64_t)(midnight + (uint64_t)in_day);
}
CONVERT(int96_timestamp, sm_view, int64_t, int96_to_us(&v))

/* IEEE 754 binary16. */
static float float16(const sm_view *v)
{
    uint16_t half;
    memcpy(&half, v->inlined.bytes, 2);
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1F, fraction = half & 0x3FF, bits;
    if (exponent == 0x1F) {
        bits = 0x7F800000u | fraction << 13;
    } else if (exponent > 0) {
        bits = (exponent + 112) << 23 | fraction << 13;
    } else if (fraction == 0) {
        bits = 0;
    } else { /* subnormal: a float has room for it */
        for (exponent = 113; !(fraction & 0x400); exponent--) {
            fraction <<= 1;
        }
        bits = exponent << 23 | (fraction & 0x3FF) << 13;
    }
    bits |= sign;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
CONVERT(float16_f32, sm_view, float, float16(&v))
CONVERT(float16_f64, sm_view, double, float16(&v))
#undef CONVERT
#undef CONVERT_CHECKED

int64_t smi_pq_convert_values(const smi_pq_convert *c, const void *in, const sm_heap_buf *heap,
                              void *out, int64_t n)
{
    typedef int64_t (*loop_fn)(const smi_pq_convert *, const void *, const sm_heap_buf *, void *,
                               int64_t);
    static const loop_fn loops[] = {
        [CONVERT_I32_I8] = i32_i8,
        [CONVERT_I32_I16] = i32_i16,
        [CONVERT_I32_U8] = i32_u8,
        [CONVERT_I32_U16] = i32_u16,
        [CONVERT_I32_I64] = i32_i64,
        [CONVERT_U32_I64] = u32_i64,
        [CONVERT_I32_F64] = i32_f64,
        [CONVERT_U32_F64] = u32_f64,
        [CONVERT_F32_F64] = f32_f64,
        [CONVERT_I32_DECIMAL] = i32_decimal,
        [CONVERT_U32_DECIMAL] = u32_decimal,
        [CONVERT_I64_DECIMAL] = i64_decimal,
        [CONVERT_U64_DECIMAL] = u64_decimal,
        [CONVERT_BYTES_DECIMAL] = bytes_decimal,
        [CONVERT_DATE_TIMESTAMP] = date_timestamp,
        [CONVERT_I32_THOUSAND] = i32_thousand,
        [CONVERT_I64_THOUSAND] = i64_thousand,
        [CONVERT_I64_THOUSANDTH] = i64_thousandth,
        [CONVERT_INT96] = int96_timestamp,
        [CONVERT_FLOAT16] = float16_f32,
        [CONVERT_FLOAT16_F64] = float16_f64,
    };
    _Static_assert(SM_COUNT(loops) == CONVERT_UUID_TEXT, "a loop for each conversion before it");
    SM_ASSERT(n >= 0 && c->kind >= 0 && c->kind != CONVERT_UUID_TEXT);
    if (c->kind == CONVERT_COPY) {
        memcpy(out, in, (size_t)n * (size_t)smi_pq_convert_bytes(c));
        return n;
    }
    return loops[c->kind](c, in, heap, out, n);
}
