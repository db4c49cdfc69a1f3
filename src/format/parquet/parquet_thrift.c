/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_thrift.c: reads and writes the part of Thrift's compact protocol that
 * Parquet uses.
 *
 * Layout   A struct is a sequence of fields and a zero byte. A field begins with one byte: in the
 *          upper four bits its id less the last field's id, in the lower four its type. If the
 *          upper bits are 0, the id follows as a zigzag varint. Integers are zigzag varints. A text
 *          is its length and its bytes. A list begins with one byte: its length in the upper four
 *          bits (15: the length follows as a varint), its elements' type in the lower four.
 * Bounds   A text or a list cannot be longer than the bytes that are left (an element takes at
 *          least one), and skipped values may be nested up to MAX_SKIP_DEPTH. So the work is linear
 *          in the input.
 * Source   apache/thrift, doc/specs/thrift-compact-protocol.md
 *
 * Called by parquet_meta.c, parquet_index.c, parquet_page.c and parquet_column.c. */

#include "format/parquet/parquet_int.h"

#define MAX_SKIP_DEPTH 32

/* ---- reading --------------------------------------------------------------------------------- */

static uint8_t read_byte(smi_thrift_in *in)
{
    if (in->failed || in->p >= in->end) {
        in->failed = true;
        return 0;
    }
    return *in->p++;
}

static uint64_t read_varint(smi_thrift_in *in)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t b = read_byte(in);
        v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80)) {
            return v;
        }
    }
    in->failed = true;
    return 0;
}

static int64_t read_zigzag(smi_thrift_in *in)
{
    const uint64_t v = read_varint(in);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

bool smi_thrift_field(smi_thrift_in *in, int16_t *id, smi_thrift_type *type)
{
    SM_ASSERT(in->p <= in->end);
    const uint8_t head = read_byte(in);
    if (in->failed || (head & 0x0F) == SMI_T_STOP) {
        return false;
    }
    int64_t next = *id + (head >> 4);
    if (head >> 4 == 0) {
        next = read_zigzag(in);
    }
    if (in->failed || next < INT16_MIN || next > INT16_MAX || (head & 0x0F) > SMI_T_STRUCT) {
        in->failed = true;
        return false;
    }
    *id = (int16_t)next;
    *type = (smi_thrift_type)(head & 0x0F);
    return true;
}

int64_t smi_thrift_i64(smi_thrift_in *in, smi_thrift_type type)
{
    switch (type) {
    case SMI_T_TRUE:
        return 1;
    case SMI_T_FALSE:
        return 0;
    case SMI_T_I8:
        return (int8_t)read_byte(in);
    case SMI_T_I16:
    case SMI_T_I32:
    case SMI_T_I64:
        return read_zigzag(in);
    default:
        in->failed = true;
        return 0;
    }
}

int32_t smi_thrift_i32(smi_thrift_in *in, smi_thrift_type type)
{
    const int64_t v = smi_thrift_i64(in, type);
    if (v < INT32_MIN || v > INT32_MAX) {
        in->failed = true;
        return 0;
    }
    return (int32_t)v;
}

bool smi_thrift_bool(smi_thrift_in *in, smi_thrift_type type)
{
    if (type != SMI_T_TRUE && type != SMI_T_FALSE) {
        in->failed = true;
    }
    return type == SMI_T_TRUE;
}

sm_str smi_thrift_binary(smi_thrift_in *in, smi_thrift_type type)
{
    const uint64_t len = type == SMI_T_BINARY ? read_varint(in) : UINT64_MAX;
    if (in->failed || len > (uint64_t)(in->end - in->p)) {
        in->failed = true;
        return (sm_str){"", 0};
    }
    const sm_str s = {(const char *)in->p, (size_t)len};
    in->p += len;
    return s;
}

/* Reads the head of a list or set. Returns its length, at most the number of bytes left. */
static int64_t read_list_head(smi_thrift_in *in, smi_thrift_type *element)
{
    const uint8_t head = read_byte(in);
    uint64_t n = head >> 4;
    if (n == 15) {
        n = read_varint(in);
    }
    *element = (smi_thrift_type)(head & 0x0F);
    if (in->failed || n > (uint64_t)(in->end - in->p) || (head & 0x0F) > SMI_T_STRUCT) {
        in->failed = true;
        return 0;
    }
    return (int64_t)n;
}

int64_t smi_thrift_list(smi_thrift_in *in, smi_thrift_type type, smi_thrift_type element)
{
    smi_thrift_type got = SMI_T_STOP;
    if (type != SMI_T_LIST) {
        in->failed = true;
        return 0;
    }
    const int64_t n = read_list_head(in, &got);
    got = got == SMI_T_FALSE ? SMI_T_TRUE : got; /* either may stand for booleans */
    if (n > 0 && got != element) {
        in->failed = true;
        return 0;
    }
    return n;
}

bool smi_thrift_list_bool(smi_thrift_in *in)
{
    return read_byte(in) == SMI_T_TRUE;
}

void smi_thrift_struct(smi_thrift_in *in, smi_thrift_type type)
{
    if (type != SMI_T_STRUCT) {
        in->failed = true;
    }
}

static void skip_bytes(smi_thrift_in *in, uint64_t n)
{
    if (in->failed || n > (uint64_t)(in->end - in->p)) {
        in->failed = true;
        return;
    }
    in->p += n;
}

/* is_element: a boolean in a list takes a byte; in a field its type is its value. */
static void skip_value(smi_thrift_in *in, smi_thrift_type type, bool is_element, int depth)
{
    if (depth > MAX_SKIP_DEPTH || in->failed) {
        in->failed = true;
        return;
    }
    smi_thrift_type a = SMI_T_STOP, b = SMI_T_STOP;
    int64_t n = 0;
    int16_t id = 0;
    switch (type) {
    case SMI_T_TRUE:
    case SMI_T_FALSE:
        skip_bytes(in, is_element ? 1 : 0);
        return;
    case SMI_T_I8:
        skip_bytes(in, 1);
        return;
    case SMI_T_I16:
    case SMI_T_I32:
    case SMI_T_I64:
        (void)read_varint(in);
        return;
    case SMI_T_DOUBLE:
        skip_bytes(in, 8);
        return;
    case SMI_T_BINARY:
        (void)smi_thrift_binary(in, type);
        return;
    case SMI_T_LIST:
    case SMI_T_SET:
        n = read_list_head(in, &a);
        for (int64_t i = 0; i < n && !in->failed; i++) {
            skip_value(in, a, true, depth + 1);
        }
        return;
    case SMI_T_MAP:
        n = (int64_t)read_varint(in);
        if (n == 0) {
            return;
        }
        a = (smi_thrift_type)read_byte(in);
        b = (smi_thrift_type)(a & 0x0F);
        a = (smi_thrift_type)(a >> 4);
        if (n < 0 || n > in->end - in->p) {
            in->failed = true;
            return;
        }
        for (int64_t i = 0; i < n && !in->failed; i++) {
            skip_value(in, a, true, depth + 1);
            skip_value(in, b, true, depth + 1);
        }
        return;
    case SMI_T_STRUCT:
        while (smi_thrift_field(in, &id, &a)) {
            skip_value(in, a, false, depth + 1);
        }
        return;
    default:
        in->failed = true;
    }
}

void smi_thrift_skip(smi_thrift_in *in, smi_thrift_type type)
{
    skip_value(in, type, false, 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_byte(smi_thrift_out *o, uint8_t b)
{
    sm_buf_text(o->to, (sm_str){(const char *)&b, 1});
}

static void put_varint(smi_thrift_out *o, uint64_t v)
{
    while (v >= 0x80) {
        put_byte(o, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    put_byte(o, (uint8_t)v);
}

static void put_zigzag(smi_thrift_out *o, int64_t v)
{
    put_varint(o, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void put_head(smi_thrift_out *o, int16_t id, smi_thrift_type type)
{
    int16_t *last = &o->last[o->depth];
    const int distance = id - *last;
    SM_ASSERT(o->depth > 0 && distance > 0); /* each field once, in the order of their ids */
    if (distance > 0 && distance <= 15) {
        put_byte(o, (uint8_t)(distance << 4 | (int)type));
    } else {
        put_byte(o, (uint8_t)type);
        put_zigzag(o, id);
    }
    *last = id;
}

void smi_thrift_put_bool(smi_thrift_out *o, int16_t id, bool v)
{
    put_head(o, id, v ? SMI_T_TRUE : SMI_T_FALSE);
}

void smi_thrift_put_i8(smi_thrift_out *o, int16_t id, int8_t v)
{
    put_head(o, id, SMI_T_I8);
    put_byte(o, (uint8_t)v);
}

void smi_thrift_put_i32(smi_thrift_out *o, int16_t id, int32_t v)
{
    put_head(o, id, SMI_T_I32);
    put_zigzag(o, v);
}

void smi_thrift_put_i64(smi_thrift_out *o, int16_t id, int64_t v)
{
    put_head(o, id, SMI_T_I64);
    put_zigzag(o, v);
}

void smi_thrift_put_binary(smi_thrift_out *o, int16_t id, sm_str v)
{
    put_head(o, id, SMI_T_BINARY);
    smi_thrift_element_binary(o, v);
}

void smi_thrift_begin(smi_thrift_out *o, int16_t id)
{
    if (id != 0) {
        put_head(o, id, SMI_T_STRUCT);
    }
    o->depth++;
    SM_ENSURE(o->depth < SMI_THRIFT_OUT_DEPTH);
    o->last[o->depth] = 0;
}

void smi_thrift_end(smi_thrift_out *o)
{
    SM_ENSURE(o->depth > 0);
    put_byte(o, SMI_T_STOP);
    o->depth--;
}

void smi_thrift_put_list(smi_thrift_out *o, int16_t id, smi_thrift_type element, int64_t n)
{
    SM_ASSERT(n >= 0 && element <= SMI_T_STRUCT);
    put_head(o, id, SMI_T_LIST);
    if (n < 15) {
        put_byte(o, (uint8_t)(n << 4 | (int64_t)element));
    } else {
        put_byte(o, (uint8_t)(0xF0 | (int)element));
        put_varint(o, (uint64_t)n);
    }
}

void smi_thrift_element_i32(smi_thrift_out *o, int32_t v)
{
    put_zigzag(o, v);
}

void smi_thrift_element_i64(smi_thrift_out *o, int64_t v)
{
    put_zigzag(o, v);
}

void smi_thrift_element_bool(smi_thrift_out *o, bool v)
{
    put_byte(o, v ? SMI_T_TRUE : SMI_T_FALSE);
}

void smi_thrift_element_binary(smi_thrift_out *o, sm_str v)
{
    put_varint(o, v.len);
    sm_buf_text(o->to, v);
}
