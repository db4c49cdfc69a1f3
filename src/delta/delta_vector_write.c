/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_vector_write.c: the bytes of deletion vectors, and the file in which a commit puts
 * those that are too large for the log. Called by the table room (table_mark.c); delta_vector.c
 * reads them and describes both layouts.
 *
 * Calls    encode makes the bytes of one vector. A writer takes the vectors of a commit: new, put
 *          for each, finish, key, close.
 * Place    A vector of up to MOST_INLINE bytes is kept in the log itself: no request writes it, and
 *          none reads it. The others go into one file deletion_vector_UUID.bin in the table's
 *          folder, one after the other. It is begun with the first of them.
 * Source   PROTOCOL.md, "Deletion Vector File Storage Format", "Deletion Vector Format" */
#include "delta/delta_int.h"

#include "base/hash.h"
#include "base/random.h"
#include "base/roaring.h"

#define MAGIC       1681511377u
#define HEAD_BYTES  12 /* magic and number of sets */
#define UUID_BYTES  16
#define FRAME_BYTES 8   /* size before and CRC-32 behind the bytes */
#define MOST_INLINE 512 /* about 250 single rows, or any number in 120 runs */

struct sm_delta_vectors {
    sm_store *store;
    sm_budget *budget;
    sm_arena *arena;
    sm_upload *upload; /* NULL: no vector was too large so far */
    sm_str key, name;  /* of the file: in the store, and in the log */
    uint64_t size;     /* of what was put into it */
    bool is_finished;
};

static void put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* A set for each 2^32 rows: its number, then the rows in it. */
static sm_status encode_sets(const uint8_t *bits, int64_t n_rows, sm_buf *out, sm_error *e)
{
    const int64_t per_set = (int64_t)1 << 32;

    for (int64_t first = 0; first < n_rows; first += per_set) {
        const int64_t n = n_rows - first < per_set ? n_rows - first : per_set;
        uint8_t upper[4];
        put_le32(upper, (uint32_t)(first / per_set));
        SM_TRY(sm_buf_add(out, upper, sizeof(upper), e));
        SM_TRY(sm_roaring_write(bits + first / 8, n, out, e));
    }
    return SM_OK;
}

sm_status sm_delta_vector_encode(const uint8_t *bits, int64_t n_rows, sm_buf *out, sm_error *e)
{
    const int64_t n_sets = (n_rows + UINT32_MAX) >> 32;
    const size_t unpacked =
        2 * sm_bits_bytes(n_rows) + (size_t)(n_rows / 65536 + 1) * SM_ROARING_PART_BYTES;
    uint8_t head[HEAD_BYTES] = {0};

    SM_ASSERT(n_rows > 0 && bits && out->len == 0);
    put_le32(head, MAGIC);
    put_le32(head + 4, (uint32_t)n_sets);
    SM_TRY(sm_buf_add(out, head, sizeof(head), e));
    SM_TRY(sm_budget_take(out->budget, unpacked, e));
    const sm_status st = encode_sets(bits, n_rows, out, e);
    sm_budget_give(out->budget, unpacked);
    return st;
}

/* ---- the file -------------------------------------------------------------------------------- */

sm_delta_vectors *sm_delta_vectors_new(sm_store *s, sm_budget *budget, sm_arena *a)
{
    sm_delta_vectors *v = SM_NEW(a, sm_delta_vectors);

    *v = (sm_delta_vectors){.store = s, .budget = budget, .arena = a};
    return v;
}

void sm_delta_vectors_close(sm_delta_vectors *v)
{
    if (v) {
        sm_upload_close(v->upload);
        v->upload = NULL;
    }
}

sm_str sm_delta_vectors_key(const sm_delta_vectors *v)
{
    return v->key;
}

static sm_status open_file(sm_delta_vectors *v, sm_error *e)
{
    uint8_t id[UUID_BYTES];
    bool is_outside = false;

    sm_random_bytes(id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0F) | 0x40); /* a random UUID, RFC 4122 */
    id[8] = (uint8_t)((id[8] & 0x3F) | 0x80);
    v->name = smi_encode_base85(id, sizeof(id), v->arena);
    SM_TRY(smi_vector_key(v->name, v->arena, &v->key, &is_outside, e));
    SM_ASSERT(!is_outside);
    return sm_upload_open(v->store, v->key, v->budget, 0, &v->upload, e);
}

/* Puts the bytes into the file in their frame, and before the first the version of the file. */
static sm_status put_frame(sm_delta_vectors *v, const sm_buf *bytes, sm_error *e)
{
    const size_t before = v->size == 0 ? 1 : 0, n = before + bytes->len + FRAME_BYTES;
    sm_block *block = NULL;

    SM_TRY(sm_block_new(v->budget, n, &block, e));
    block->data[0] = 1;
    put_be32(block->data + before, (uint32_t)bytes->len);
    memcpy(block->data + before + 4, bytes->data, bytes->len);
    put_be32(block->data + n - 4, sm_crc32(0, bytes->data, bytes->len));
    const sm_status st = sm_upload_write_wait(v->upload, block, n, e);
    sm_block_release(block);
    v->size += st == SM_OK ? n : 0;
    return st;
}

sm_status sm_delta_vectors_put(sm_delta_vectors *v, const sm_buf *bytes, int64_t cardinality,
                               const sm_delta_dv **out, sm_error *e)
{
    sm_delta_dv *dv = SM_NEW(v->arena, sm_delta_dv);

    SM_ASSERT(bytes->len >= HEAD_BYTES && cardinality > 0 && !v->is_finished);
    if (bytes->len > INT32_MAX - FRAME_BYTES - 1) {
        return sm_fail(e, SM_LIMIT, "a deletion vector would have more than 2^31 bytes");
    }
    *dv =
        (sm_delta_dv){.offset = -1, .size_bytes = (int64_t)bytes->len, .cardinality = cardinality};
    if (bytes->len <= MOST_INLINE) {
        dv->storage_type = SM_STR("i");
        dv->path_or_inline = smi_encode_base85(bytes->data, bytes->len, v->arena);
    } else {
        SM_TRY(v->upload ? SM_OK : open_file(v, e));
        dv->storage_type = SM_STR("u");
        dv->path_or_inline = v->name;
        dv->offset = v->size == 0 ? 1 : (int64_t)v->size;
        SM_TRY(put_frame(v, bytes, e));
    }
    *out = dv;
    return SM_OK;
}

sm_status sm_delta_vectors_finish(sm_delta_vectors *v, sm_error *e)
{
    SM_ASSERT(!v->is_finished);
    SM_TRY(v->upload ? sm_upload_finish_wait(v->upload, e) : SM_OK);
    v->is_finished = true;
    return SM_OK;
}
