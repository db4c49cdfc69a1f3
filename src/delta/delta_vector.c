/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_vector.c: deletion vectors: where a vector's bytes are, and which rows of its data
 * file they delete. Called by delta_dataset.c, and through sm_deletes by the reader of the file.
 *
 * Calls     smi_vector_deletes() when a dataset is made: it finds the place and reads nothing. The
 *           reader calls read() when it opens the data file.
 * Place     u  PREFIX/deletion_vector_UUID.bin below the table's root; the log has the prefix (or
 *              none) and the UUID's 16 bytes in 20 characters of base 85
 *           p  an absolute path, in the store that delta_outside.c finds
 *              (below the table's root it is the same vector as by its relative text)
 *           i  in the log itself, in base 85 and padded to 4 bytes
 * File      big endian:  0 u8 version 1   at the vector's offset: u32 size, the bytes, u32 CRC-32
 * Bytes     little endian:  0 u32 magic 1681511377   4 u64 number of sets   then for each: u32 the
 *           upper half of its row numbers, and a Roaring set of the lower halves
 * Trust     none in what is read: rows must rise, be in the data file, and be as many as the log
 *           says. Nothing is allocated by a size that is not checked against the object's.
 * Source    PROTOCOL.md, "Deletion Vectors", "Deletion Vector Format"; ZeroMQ RFC 32 (Z85) */
#include "delta/delta_int.h"

#include "base/hash.h"
#include "base/hex.h"
#include "base/roaring.h"

#include <inttypes.h>
#include <stdio.h>

#define MAGIC       1681511377u
#define HEAD_BYTES  12 /* magic and number of sets */
#define UUID_CHARS  20 /* in base 85 */
#define UUID_BYTES  16
#define FRAME_BYTES 8 /* size before and CRC-32 behind the bytes */

/* Of one data file. */
typedef struct vector {
    sm_deletes deletes; /* first: the reader knows this only */
    const sm_snapshot *snapshot;
    const sm_delta_file *file;
    sm_store *store;
    sm_str key; /* of the file of vectors; "": inline */
} vector;

/* ---- base 85 --------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             ".-:+=^!/*?&<>()[]{}@%$#";

sm_str smi_encode_base85(const uint8_t *bytes, size_t n, sm_arena *a)
{
    const size_t n_words = (n + 3) / 4;
    char *out = sm_arena_alloc(a, n_words * 5 + 1);

    for (size_t i = 0; i < n_words; i++) {
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            word = word << 8 | (i * 4 + k < n ? bytes[i * 4 + k] : 0u);
        }
        for (int k = 4; k >= 0; k--) {
            out[i * 5 + (size_t)k] = digits[word % 85];
            word /= 85;
        }
    }
    return (sm_str){out, n_words * 5};
}

static int digit_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes text.len / 5 × 4 bytes; false where the text is not base 85. */
static bool decode_base85(sm_str text, uint8_t *out)
{
    if (text.len % 5 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 5) {
        uint64_t word = 0;
        for (size_t k = 0; k < 5; k++) {
            const int digit = digit_of(text.data[i + k]);
            if (digit < 0) {
                return false;
            }
            word = word * 85 + (uint64_t)digit;
        }
        if (word > UINT32_MAX) {
            return false;
        }
        for (int k = 3; k >= 0; k--) {
            *out++ = (uint8_t)(word >> (8 * k));
        }
    }
    return true;
}

/* ---- place ----------------------------------------------------------------------------------- */

sm_status smi_vector_key(sm_str text, sm_arena *a, sm_str *key, bool *is_outside, sm_error *e)
{
    uint8_t id[UUID_BYTES];
    char name[UUID_BYTES * 2 + 5] = "";
    size_t n = 0;

    if (text.len < UUID_CHARS ||
        !decode_base85((sm_str){text.data + text.len - UUID_CHARS, UUID_CHARS}, id)) {
        return sm_fail(e, SM_CORRUPT, "\"%.*s\" names no file of deletion vectors",
                       SM_STR_ARG(text));
    }
    for (int i = 0; i < UUID_BYTES; i++) {
        const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
        n += (size_t)snprintf(name + n, sizeof(name) - n, "%s%02x", dash, id[i]);
    }
    SM_ASSERT(n == sizeof(name) - 1);
    const sm_str prefix = {text.data, text.len - UUID_CHARS};
    const sm_str path = sm_arena_strf(a, "%.*s%sdeletion_vector_%s.bin", SM_STR_ARG(prefix),
                                      prefix.len > 0 ? "/" : "", name);
    return smi_path_key(NULL, path, a, key, is_outside, e);
}

/* The text that names "ab/deletion_vector_….bin"; "" where it is no such name. */
static sm_str text_of_name(sm_str key, sm_arena *a)
{
    static const char form[] = "deletion_vector_xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.bin";
    uint8_t id[UUID_BYTES] = {0};
    size_t n_digits = 0;

    if (key.len < sizeof(form) - 1) {
        return SM_STR("");
    }
    const size_t n_folder = key.len - (sizeof(form) - 1);
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        const char c = key.data[n_folder + i];
        const int digit = form[i] == 'x' ? sm_hex_digit(c) : 0;
        if (digit < 0 || (form[i] != 'x' && form[i] != c)) {
            return SM_STR("");
        }
        if (form[i] == 'x') {
            id[n_digits / 2] = (uint8_t)(id[n_digits / 2] << 4 | digit);
            n_digits++;
        }
    }
    SM_ASSERT(n_digits == (size_t)UUID_BYTES * 2);
    const sm_str folder = {key.data, n_folder > 0 ? n_folder - 1 : 0}; /* without its '/' */
    return sm_arena_strf(a, "%.*s%.*s", SM_STR_ARG(folder),
                         SM_STR_ARG(smi_encode_base85(id, UUID_BYTES, a)));
}

sm_str smi_vector_relative(const smi_home *home, const sm_delta_dv *dv, sm_arena *a)
{
    sm_str key = {0}, named = {0};
    bool is_outside = false;
    sm_error unused = {0};

    SM_ASSERT(sm_str_is(dv->storage_type, "p"));
    if (smi_path_key(home, dv->path_or_inline, a, &key, &is_outside, &unused) != SM_OK ||
        is_outside) {
        return SM_STR("");
    }
    const sm_str text = text_of_name(key, a);
    /* Not where it would lead elsewhere: of a name with large letters, or with a '%'. */
    const bool leads_there = text.len > 0 &&
                             smi_vector_key(text, a, &named, &is_outside, &unused) == SM_OK &&
                             !is_outside && sm_str_eq(named, key);
    return leads_there ? text : SM_STR("");
}

static sm_status find_place(vector *v, sm_arena *a, sm_error *e)
{
    const sm_delta_dv *dv = v->file->dv;
    bool is_outside = false;

    v->store = v->snapshot->store;
    if (sm_str_is(dv->storage_type, "u")) {
        SM_TRY(smi_vector_key(dv->path_or_inline, a, &v->key, &is_outside, e));
    } else if (sm_str_is(dv->storage_type, "p")) {
        return smi_outside_place(v->snapshot, dv->path_or_inline, a, &v->store, &v->key, e);
    } else if (!sm_str_is(dv->storage_type, "i")) {
        return sm_fail(e, SM_UNSUPPORTED, "deletion vectors of storage type \"%.*s\" are not known",
                       SM_STR_ARG(dv->storage_type));
    }
    if (is_outside) {
        return sm_fail(e, SM_UNSUPPORTED,
                       "deletion vector \"%.*s\" lies outside the table, which is not supported",
                       SM_STR_ARG(dv->path_or_inline));
    }
    return SM_OK;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static sm_status read_inline(const sm_delta_dv *dv, sm_budget *budget, sm_block **out, sm_error *e)
{
    const sm_str text = dv->path_or_inline;
    const int64_t n = (int64_t)(text.len / 5 * 4);
    sm_block *bytes = NULL;

    if (dv->size_bytes > n || n - dv->size_bytes > 3) {
        return sm_fail(e, SM_CORRUPT,
                       "it has %" PRId64 " bytes in the log, which says that it has %" PRId64, n,
                       dv->size_bytes);
    }
    SM_TRY(sm_block_new(budget, (size_t)n, &bytes, e));
    if (!decode_base85(text, bytes->data)) {
        sm_block_release(bytes);
        return sm_fail(e, SM_CORRUPT, "its bytes in the log are not base 85");
    }
    *out = bytes;
    return SM_OK;
}

/* Reads a vector from an open file of vectors, with its frame; its bytes are behind the first 4. */
static sm_status read_frame(sm_blob *blob, const sm_delta_dv *dv, sm_budget *budget, sm_block **out,
                            sm_error *e)
{
    const uint64_t off_bytes = (uint64_t)(dv->offset < 0 ? SMI_FIRST_VECTOR : dv->offset);
    const uint64_t size = (uint64_t)dv->size_bytes, all = sm_blob_bytes(blob);
    sm_block *bytes = NULL;
    uint8_t version = 0;

    if (off_bytes < SMI_FIRST_VECTOR || off_bytes > all || all - off_bytes < FRAME_BYTES ||
        size > all - off_bytes - FRAME_BYTES) {
        return sm_fail(e, SM_CORRUPT,
                       "%" PRIu64 " bytes at %" PRIu64 " are not in a file of %" PRIu64, size,
                       off_bytes, all);
    }
    SM_TRY(sm_blob_read(blob, 0, 1, &version, e));
    if (version != 1) {
        return sm_fail(e, SM_UNSUPPORTED, "files of deletion vectors of version %d are not known",
                       version);
    }
    SM_TRY(sm_block_new(budget, (size_t)size + FRAME_BYTES, &bytes, e));
    sm_status st = sm_blob_read(blob, off_bytes, (size_t)size + FRAME_BYTES, bytes->data, e);
    if (st == SM_OK && be32(bytes->data) != size) {
        st = sm_fail(e, SM_CORRUPT, "its file says that it has %" PRIu32 " bytes, the log %" PRIu64,
                     be32(bytes->data), size);
    }
    if (st == SM_OK && sm_crc32(0, bytes->data + 4, (size_t)size) != be32(bytes->data + 4 + size)) {
        st = sm_fail(e, SM_CORRUPT, "its checksum differs");
    }
    if (st != SM_OK) {
        sm_block_release(bytes);
        return st;
    }
    *out = bytes;
    return SM_OK;
}

static sm_status read_bytes(const vector *v, sm_budget *budget, sm_block **out, size_t *skip,
                            sm_error *e)
{
    const sm_delta_dv *dv = v->file->dv;
    sm_blob *blob = NULL;

    if (dv->size_bytes < HEAD_BYTES || dv->size_bytes > UINT32_MAX) {
        return sm_fail(e, SM_CORRUPT, "it has %" PRId64 " bytes", dv->size_bytes);
    }
    if (v->key.len == 0) {
        *skip = 0;
        return read_inline(dv, budget, out, e);
    }
    *skip = 4;
    SM_TRY(sm_blob_open(v->store, v->key, &blob, e));
    const sm_status st = read_frame(blob, dv, budget, out, e);
    sm_blob_close(blob);
    return st;
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct marking {
    uint8_t *bits;
    int64_t n_rows, n_marked;
    uint64_t upper; /* half of the row numbers, in place */
    uint64_t least; /* that the next row may be */
} marking;

/* sm_roaring_each: marks one row. */
static bool mark_row(uint32_t lower, void *ctx)
{
    marking *m = ctx;
    const uint64_t row = m->upper | lower;

    if (row < m->least || row >= (uint64_t)m->n_rows) {
        return false;
    }
    m->least = row + 1;
    m->n_marked++;
    sm_bit_set(m->bits, (int64_t)row);
    return true;
}

sm_status smi_vector_decode(const uint8_t *bytes, size_t len, int64_t n_rows, int64_t n_deleted,
                            uint8_t *bits, sm_error *e)
{
    marking m = {.bits = bits, .n_rows = n_rows};
    size_t at = HEAD_BYTES;

    SM_ASSERT(n_rows >= 0 && (bits || n_rows == 0));
    if (len < HEAD_BYTES || le32(bytes) != MAGIC) {
        return sm_fail(e, SM_CORRUPT, "it does not begin as a deletion vector");
    }
    const uint64_t n_sets = (uint64_t)le32(bytes + 8) << 32 | le32(bytes + 4);
    for (uint64_t i = 0; i < n_sets; i++) {
        size_t used = 0;
        if (len - at < 4) {
            return sm_fail(e, SM_CORRUPT, "it is cut off");
        }
        m.upper = (uint64_t)le32(bytes + at) << 32;
        at += 4;
        if (!sm_roaring_read(bytes + at, len - at, mark_row, &m, &used)) {
            return sm_fail(e, SM_CORRUPT,
                           "it is damaged, or deletes rows that a file of %" PRId64
                           " rows does not have",
                           n_rows);
        }
        at += used;
        SM_ASSERT(at <= len);
    }
    if (m.n_marked != n_deleted || at != len) {
        return sm_fail(e, SM_CORRUPT,
                       "it deletes %" PRId64 " rows, and the log says that it deletes %" PRId64,
                       m.n_marked, n_deleted);
    }
    return SM_OK;
}

/* With the memory for what CRoaring unpacks. */
static sm_status decode_counted(const vector *v, const uint8_t *bytes, int64_t n_rows,
                                sm_budget *budget, uint8_t *bits, sm_error *e)
{
    const sm_delta_dv *dv = v->file->dv;
    const size_t len = (size_t)dv->size_bytes;
    const size_t unpacked = len + (size_t)(n_rows / 65536 + 1) * SM_ROARING_PART_BYTES;

    SM_TRY(sm_budget_take(budget, unpacked, e));
    const sm_status st = smi_vector_decode(bytes, len, n_rows, dv->cardinality, bits, e);
    sm_budget_give(budget, unpacked);
    return st;
}

static sm_status read_rows(const vector *v, int64_t n_rows, sm_budget *budget, sm_block **out,
                           sm_error *e)
{
    const sm_delta_dv *dv = v->file->dv;
    sm_block *bytes = NULL, *bits = NULL;
    size_t skip = 0;

    if (dv->cardinality < 0 || dv->cardinality > n_rows) {
        return sm_fail(e, SM_CORRUPT, "it deletes %" PRId64 " of %" PRId64 " rows", dv->cardinality,
                       n_rows);
    }
    SM_TRY(read_bytes(v, budget, &bytes, &skip, e));
    sm_status st = sm_block_new(budget, sm_bits_bytes(n_rows), &bits, e);
    if (st == SM_OK) {
        memset(bits->data, 0, sm_bits_bytes(n_rows));
        st = decode_counted(v, bytes->data + skip, n_rows, budget, bits->data, e);
    }
    sm_block_release(bytes);
    if (st != SM_OK) {
        sm_block_release(bits);
        return st;
    }
    *out = bits;
    return SM_OK;
}

/* ---- for the dataset ------------------------------------------------------------------------- */

static sm_status of_file(const vector *v, sm_status st, sm_error *e)
{
    return st == SM_OK ? st
                       : sm_within(e, st, "deletion vector of file \"%.*s\" in version %" PRId64,
                                   SM_STR_ARG(v->file->path), v->snapshot->version);
}

/* sm_deletes.read */
static sm_status vector_read(const sm_deletes *d, int64_t n_rows, sm_budget *budget, sm_block **out,
                             sm_error *e)
{
    const vector *v = (const vector *)(const void *)d;

    SM_ASSERT(v->file->dv && n_rows >= 0);
    return of_file(v, read_rows(v, n_rows, budget, out, e), e);
}

sm_status sm_delta_mark_deletes(const sm_snapshot *s, const sm_delta_mark *m, sm_arena *a,
                                const sm_deletes **out, sm_error *e)
{
    sm_delta_file *f = SM_NEW(a, sm_delta_file);

    *f = *m->file;
    f->dv = m->dv;
    return smi_vector_deletes(s, f, a, out, e);
}

sm_status smi_vector_deletes(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                             const sm_deletes **out, sm_error *e)
{
    vector *v = SM_NEW(a, vector);

    SM_ASSERT(f->dv);
    *v = (vector){.deletes = {.read = vector_read}, .snapshot = s, .file = f};
    SM_TRY(of_file(v, find_place(v, a, e), e));
    *out = &v->deletes;
    return SM_OK;
}
