/* SPDX-License-Identifier: Apache-2.0
 *
 * store/scratch_store.c: ranges of a scratch file as objects, for texts that are made by the way
 * and that a format is to read. Called by flow's replay.
 *
 * A key is a range: "OFFSET-BYTES.json". So the store remembers nothing; what was written by
 * sm_scratch_write() can be opened. All else is refused. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "store/store_int.h"

typedef struct scratch_store {
    sm_store store;
    sm_scratch *scratch;
} scratch_store;

typedef struct scratch_blob {
    sm_blob blob;
    sm_scratch *scratch; /* the store's */
    uint64_t off_bytes;
} scratch_blob;

sm_str sm_scratch_key(uint64_t off_bytes, uint64_t bytes, sm_arena *a)
{
    return sm_arena_strf(a, "%" PRIu64 "-%" PRIu64 ".json", off_bytes, bytes);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void scratch_close(sm_store *s)
{
    sm_scratch_free(((scratch_store *)s)->scratch);
    sm_free(s);
}

static size_t scratch_inflight(const sm_store *s)
{
    (void)s;
    return (size_t)8 << 20; /* as of a local disk */
}

static sm_status scratch_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    uint64_t off = 0, bytes = 0;
    char text[64];

    snprintf(text, sizeof(text), "%.*s", SM_STR_ARG(key));
    if (sscanf(text, "%" SCNu64 "-%" SCNu64 ".json", &off, &bytes) != 2) {
        return sm_fail(e, SM_NOT_FOUND, "it is no range of a scratch file");
    }
    scratch_blob *b = sm_alloc_zero(sizeof(*b));
    b->scratch = ((scratch_store *)s)->scratch;
    b->off_bytes = off;
    b->blob.size_bytes = bytes;
    *out = &b->blob;
    return SM_OK;
}

static sm_status scratch_read(sm_blob *blob, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    const scratch_blob *b = (scratch_blob *)blob;

    SM_ASSERT(off_bytes + len <= b->blob.size_bytes);
    return sm_scratch_read(b->scratch, b->off_bytes + off_bytes, len, out, e);
}

static void scratch_blob_free(sm_blob *b)
{
    sm_free(b);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static sm_status refuse(sm_error *e)
{
    return sm_fail(e, SM_UNSUPPORTED, "ranges of a scratch file can only be read");
}

static sm_status scratch_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out,
                              int64_t *n, sm_error *e)
{
    return refuse(e);
}

static sm_status scratch_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    return refuse(e);
}

static sm_status scratch_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                             sm_error *e)
{
    return refuse(e);
}

static sm_status scratch_remove(sm_store *s, sm_str key, sm_error *e)
{
    return refuse(e);
}

static sm_status scratch_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    return refuse(e);
}

static const sm_store_ops scratch_ops = {
    .close = scratch_close,
    .inflight_bytes = scratch_inflight,
    .list = scratch_list,
    .stat = scratch_stat,
    .put = scratch_put,
    .remove = scratch_remove,
    .blob_open = scratch_open,
    .blob_read = scratch_read,
    .blob_free = scratch_blob_free,
    .writer_open = scratch_writer_open,
};

sm_store *sm_store_of_scratch(sm_stores *stores, sm_scratch *taken)
{
    scratch_store *s = sm_alloc_zero(sizeof(*s));

    smi_store_init(&s->store, stores, &scratch_ops, SM_STR("scratch://file"));
    s->scratch = taken;
    return &s->store;
}
