/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_writer.c: writes a new object of S3, piece by piece.
 *
 * Callers  upload.c through the ops of s3.c, one call of a writer at a time.
 * Method   A writer collects blocks until they are enough for a part, which is sent at once, or by
 *          the next call where it would have to wait. Several parts are uploaded at a time, each
 *          with its checksum; a call that returns SM_WAIT is repeated. Each call frees what was
 *          uploaded meanwhile. A small object is one put. An upload that is not completed is
 *          aborted. If memory is short, parts are as small as S3 allows, one at a time.
 * Source   "Uploading and copying objects using multipart upload", Amazon S3 user guide. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "store/s3_int.h"

#define PART_BYTES       ((size_t)8 << 20) /* of an object, at most 10,000 */
#define PART_LEAST_BYTES ((size_t)5 << 20)
#define PARTS_MAX        10000
#define PARTS_AT_ONCE    4

/* A part that is being uploaded. */
typedef struct s3_part {
    smi_s3_call call;
    sm_arena *arena; /* memory of the request */
    sm_block **blocks;
    int n_blocks;
    int64_t number; /* from 1 */
    sm_pair checksum;
} s3_part;

/* A part that was uploaded, for the request that completes the upload. */
typedef struct s3_done {
    char etag[SM_HTTP_HEADER_BYTES];
    char crc[9];
} s3_done;

typedef struct s3_writer {
    smi_writer writer; /* first */
    sm_str key;        /* below the store's root */
    sm_arena *arena;
    sm_block **blocks; /* the blocks that are not in a part yet */
    sm_piece *pieces;  /* piece i is the start of block i */
    int n_pieces;
    int64_t cap_blocks, cap_pieces;
    size_t waiting_bytes, all_bytes;
    char *upload_id; /* NULL: no upload was begun */
    s3_part *going[PARTS_AT_ONCE];
    int n_going;
    s3_done *done; /* done[i] is part i + 1; its ETag is "" until it is uploaded */
    int64_t n_done, cap_done, n_parts; /* at most PARTS_MAX */
    smi_s3_call *call; /* begins or completes the upload, or puts the object; NULL: none */
} s3_writer;

sm_status smi_s3_writer_open(sm_store *store, sm_str key, smi_writer **out, sm_error *e)
{
    (void)e;
    (void)store;
    s3_writer *w = sm_alloc_zero(sizeof(*w));
    w->arena = sm_arena_new(NULL);
    w->key = sm_arena_str(w->arena, key);
    *out = &w->writer;
    return SM_OK;
}

static smi_s3 *store_of(const s3_writer *w)
{
    return (smi_s3 *)w->writer.store;
}

/* Steps the writer's call, which is made from `ask` if there is none. A call that has ended stays
 * in w->call until drop_call(). */
static sm_status step_call(s3_writer *w, const smi_s3_ask *ask, sm_waker waker, sm_error *e)
{
    if (!w->call) {
        w->call = sm_alloc(sizeof(*w->call));
        smi_s3_call_init(w->call, store_of(w), ask);
    }
    return smi_s3_call_step(w->call, waker, e);
}

static void drop_call(s3_writer *w)
{
    if (w->call) {
        smi_s3_call_release(w->call);
        sm_free(w->call);
        w->call = NULL;
    }
}

static void on_begin_element(void *ctx, sm_str parent, sm_str name, sm_str text)
{
    (void)parent;
    if (sm_str_is(name, "UploadId")) {
        char **id = ctx;
        sm_free(*id);
        *id = smi_str_dup(text);
    }
}

static sm_status begin_upload(s3_writer *w, sm_waker waker, sm_error *e)
{
    static const sm_piece nothing = {"", 0};
    static const sm_pair params[] = {{{"uploads", 7}, {"", 0}}};
    static const sm_pair headers[] = {{{"x-amz-checksum-algorithm", 24}, {"CRC32", 5}},
                                      {{"x-amz-checksum-type", 19}, {"FULL_OBJECT", 11}}};
    const smi_s3_ask ask = {.method = "POST",
                            .key = smi_s3_key(store_of(w), w->key, w->arena),
                            .params = params,
                            .n_params = 1,
                            .headers = headers,
                            .n_headers = SM_COUNT(headers),
                            .body = &nothing,
                            .n_body = 1,
                            .doing = "begin the upload"};
    sm_status st = step_call(w, &ask, waker, e);
    if (st == SM_WAIT) {
        return st;
    }
    if (st == SM_OK) {
        st = smi_xml_read(sm_buf_str(&w->call->x.text), on_begin_element, &w->upload_id, e);
    }
    drop_call(w);
    if (st == SM_OK && (!w->upload_id || w->upload_id[0] == '\0')) {
        st =
            sm_fail(e, SM_CORRUPT, "%.100s started an upload but gave it no id", store_of(w)->host);
    }
    return st;
}

static void part_free(s3_part *p)
{
    smi_s3_call_release(&p->call);
    for (int i = 0; i < p->n_blocks; i++) {
        sm_block_release(p->blocks[i]);
    }
    sm_free(p->blocks);
    sm_arena_free(p->arena);
    sm_free(p);
}

/* Makes a part of the collected pieces. */
static void start_part(s3_writer *w)
{
    SM_ASSERT(w->upload_id && w->n_going < PARTS_AT_ONCE && w->n_parts < PARTS_MAX);
    SM_ASSERT(w->n_pieces > 0 && w->waiting_bytes > 0);
    s3_part *p = sm_alloc_zero(sizeof(*p));
    if (w->n_parts == w->cap_done) {
        w->cap_done = w->cap_done > 0 ? 2 * w->cap_done : 16;
        w->done = sm_realloc(w->done, (size_t)w->cap_done * sizeof(*w->done));
    }
    w->done[w->n_parts].etag[0] = '\0';
    p->arena = sm_arena_new(NULL);
    p->number = ++w->n_parts;
    p->n_blocks = w->n_pieces;
    p->blocks = w->blocks;
    sm_piece *pieces = SM_NEW_ARRAY(p->arena, sm_piece, w->n_pieces);
    memcpy(pieces, w->pieces, (size_t)w->n_pieces * sizeof(*pieces));
    sm_pair *params = SM_NEW_ARRAY(p->arena, sm_pair, 2);
    params[0] = (sm_pair){SM_STR("partNumber"), sm_arena_strf(p->arena, "%" PRId64, p->number)};
    params[1] = (sm_pair){SM_STR("uploadId"), sm_str_of(w->upload_id)};
    p->checksum = smi_s3_checksum(pieces, w->n_pieces, p->arena);
    const smi_s3_ask ask = {.method = "PUT",
                            .key = smi_s3_key(store_of(w), w->key, p->arena),
                            .params = params,
                            .n_params = 2,
                            .headers = &p->checksum,
                            .n_headers = 1,
                            .body = pieces,
                            .n_body = w->n_pieces,
                            .doing = "write a part of the object"};
    smi_s3_call_init(&p->call, store_of(w), &ask);
    w->going[w->n_going++] = p;
    w->blocks = NULL;
    w->cap_blocks = 0;
    w->n_pieces = 0;
    w->waiting_bytes = 0;
}

/* Notes what a part became, and frees it. */
static void end_part(s3_writer *w, int i)
{
    s3_part *p = w->going[i];
    s3_done *d = &w->done[p->number - 1];
    SM_ASSERT(p->number >= 1 && p->number <= w->n_parts && d->etag[0] == '\0');
    memcpy(d->etag, p->call.x.header[SM_HTTP_ETAG], sizeof(d->etag));
    memcpy(d->crc, p->checksum.value.data, 8);
    d->crc[8] = '\0';
    w->n_done++;
    w->n_going--;
    memmove(w->going + i, w->going + i + 1, (size_t)(w->n_going - i) * sizeof(w->going[0]));
    part_free(p);
}

/* Ends the parts that were uploaded, so that their blocks are free soon. */
static sm_status end_uploaded(s3_writer *w, sm_error *e)
{
    for (int i = w->n_going - 1; i >= 0; i--) {
        const sm_status st = smi_s3_call_step(&w->going[i]->call, (sm_waker){0}, e);
        if (st == SM_OK) {
            end_part(w, i);
        } else if (st != SM_WAIT) {
            return st;
        }
    }
    return SM_OK;
}

/* Waits until fewer than n parts are under way, for the oldest first: it calls the waker. */
static sm_status await_parts(s3_writer *w, int n, sm_waker waker, sm_error *e)
{
    SM_ASSERT(n > 0);
    SM_TRY(end_uploaded(w, e));
    while (w->n_going >= n) {
        SM_TRY(smi_s3_call_step(&w->going[0]->call, waker, e));
        end_part(w, 0);
    }
    return SM_OK;
}

/* Sends the collected pieces as a part, as soon as fewer than at_once parts are under way. */
static sm_status send_part(s3_writer *w, int at_once, sm_waker waker, sm_error *e)
{
    if (!w->upload_id) {
        SM_TRY(begin_upload(w, waker, e));
    }
    SM_TRY(await_parts(w, at_once, waker, e));
    if (w->n_parts == PARTS_MAX) {
        return sm_fail(e, SM_LIMIT, "an object cannot have more than %d parts", PARTS_MAX);
    }
    start_part(w);
    const sm_status st = smi_s3_call_step(&w->going[w->n_going - 1]->call, (sm_waker){0}, e);
    return st == SM_WAIT ? SM_OK : st;
}

/* Is memory short? Then parts are as small as S3 allows, one at a time. */
static bool is_short(const sm_block *block)
{
    const size_t limit = block->budget ? sm_budget_limit(block->budget) : SIZE_MAX;
    return limit != SIZE_MAX && sm_budget_room(block->budget) < limit / 2;
}

static int parts_at_once(const sm_block *block)
{
    return is_short(block) ? 1 : PARTS_AT_ONCE;
}

/* Parts grow with the object, so that 10,000 of them are enough for 5 TB. */
static size_t part_bytes(const s3_writer *w, const sm_block *block)
{
    const size_t least = is_short(block) ? PART_LEAST_BYTES : PART_BYTES;
    const size_t grown = w->all_bytes / (PARTS_MAX / 10);
    return grown > least ? grown : least;
}

sm_status smi_s3_writer_write(smi_writer *writer, sm_block *block, size_t n, sm_waker waker,
                              sm_error *e)
{
    s3_writer *w = (s3_writer *)writer;
    SM_ASSERT(n > 0 && n <= block->size_bytes);
    SM_TRY(end_uploaded(w, e));
    if (w->waiting_bytes >= part_bytes(w, block)) {
        SM_TRY(send_part(w, parts_at_once(block), waker, e));
    }
    if (w->n_pieces == w->cap_blocks) {
        w->cap_blocks = w->cap_blocks > 0 ? 2 * w->cap_blocks : 16;
        w->blocks = sm_realloc(w->blocks, (size_t)w->cap_blocks * sizeof(sm_block *));
    }
    if (w->n_pieces == w->cap_pieces) {
        w->cap_pieces = w->cap_pieces > 0 ? 2 * w->cap_pieces : 16;
        w->pieces = sm_realloc(w->pieces, (size_t)w->cap_pieces * sizeof(*w->pieces));
    }
    w->blocks[w->n_pieces] = sm_block_retain(block);
    w->pieces[w->n_pieces++] = (sm_piece){block->data, n};
    w->waiting_bytes += n;
    w->all_bytes += n;
    if (w->upload_id && w->waiting_bytes >= part_bytes(w, block) &&
        w->n_going < parts_at_once(block)) {
        return send_part(w, parts_at_once(block), waker, e); /* it need not wait: the block is in */
    }
    return SM_OK;
}

static sm_str list_of_parts(const s3_writer *w, sm_arena *a)
{
    sm_buf text = {0};
    sm_buf_text(&text, SM_STR("<CompleteMultipartUpload>"));
    for (int64_t i = 0; i < w->n_done; i++) {
        sm_buf_printf(&text,
                      "<Part><PartNumber>%" PRId64 "</PartNumber><ETag>%s</ETag>"
                      "<ChecksumCRC32>%s</ChecksumCRC32></Part>",
                      i + 1, w->done[i].etag, w->done[i].crc);
    }
    sm_buf_text(&text, SM_STR("</CompleteMultipartUpload>"));
    const sm_str list = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return list;
}

static sm_pair *upload_param(const s3_writer *w)
{
    sm_pair *p = SM_NEW(w->arena, sm_pair);
    *p = (sm_pair){SM_STR("uploadId"), sm_str_of(w->upload_id)};
    return p;
}

/* The upload is gone. Was it completed by an attempt whose response was lost? */
static bool is_there(s3_writer *w)
{
    sm_entry entry;
    return smi_s3_stat(&store_of(w)->store, w->key, w->arena, &entry, NULL) == SM_OK &&
           entry.size_bytes == w->all_bytes;
}

static sm_status end_upload(s3_writer *w, sm_waker waker, sm_error *e)
{
    smi_s3_ask ask = {0};
    SM_ASSERT(w->n_going == 0 && w->n_pieces == 0 && w->n_done == w->n_parts);
    if (!w->call) {
        sm_piece *body = SM_NEW(w->arena, sm_piece);
        const sm_str list = list_of_parts(w, w->arena);
        *body = (sm_piece){list.data, list.len};
        ask = (smi_s3_ask){.method = "POST",
                           .key = smi_s3_key(store_of(w), w->key, w->arena),
                           .params = upload_param(w),
                           .n_params = 1,
                           .body = body,
                           .n_body = 1,
                           .doing = "complete the upload"};
    }
    sm_status st = step_call(w, &ask, waker, e);
    if (st == SM_WAIT) {
        return st;
    }
    const bool was_lost = st == SM_NOT_FOUND && w->call->n_attempts > 1;
    drop_call(w);
    if (was_lost && is_there(w)) {
        st = SM_OK;
    }
    if (st == SM_OK) {
        sm_free(w->upload_id);
        w->upload_id = NULL;
    }
    return st;
}

static sm_status put_whole(s3_writer *w, sm_waker waker, sm_error *e)
{
    smi_s3_ask ask = {0};
    if (!w->call) {
        sm_pair *checksum = SM_NEW(w->arena, sm_pair);
        static const sm_piece nothing = {"", 0};
        *checksum = smi_s3_checksum(w->pieces, w->n_pieces, w->arena);
        ask = (smi_s3_ask){.method = "PUT",
                           .key = smi_s3_key(store_of(w), w->key, w->arena),
                           .headers = checksum,
                           .n_headers = 1,
                           .body = w->n_pieces > 0 ? w->pieces : &nothing,
                           .n_body = w->n_pieces > 0 ? w->n_pieces : 1,
                           .doing = "write the object"};
    }
    const sm_status st = step_call(w, &ask, waker, e);
    if (st != SM_WAIT) {
        drop_call(w);
    }
    return st;
}

sm_status smi_s3_writer_finish(smi_writer *writer, sm_waker waker, sm_error *e)
{
    s3_writer *w = (s3_writer *)writer;
    if (!w->upload_id) {
        return put_whole(w, waker, e);
    }
    if (w->n_pieces > 0) {
        SM_TRY(send_part(w, PARTS_AT_ONCE, waker, e));
    }
    SM_TRY(await_parts(w, 1, waker, e));
    return end_upload(w, waker, e);
}

/* An upload that is not completed costs space and money until it is aborted. */
static void abort_upload(s3_writer *w)
{
    const smi_s3_ask ask = {.method = "DELETE",
                            .key = smi_s3_key(store_of(w), w->key, w->arena),
                            .params = upload_param(w),
                            .n_params = 1,
                            .doing = "abort the upload"};
    sm_error e = {0};
    smi_s3_call c;
    smi_s3_call_init(&c, store_of(w), &ask);
    const sm_status st = smi_s3_call_wait(&c, &e);
    smi_s3_call_release(&c);
    if (st != SM_OK && st != SM_NOT_FOUND) {
        sm_log(sm_store_log(&store_of(w)->store), SM_LOG_WARN,
               "s3: an unfinished upload of %.*s is left in %s: %s", SM_STR_ARG(w->key),
               store_of(w)->bucket, e.what);
    }
}

void smi_s3_writer_free(smi_writer *writer)
{
    s3_writer *w = (s3_writer *)writer;
    drop_call(w);
    for (int i = 0; i < w->n_going; i++) {
        part_free(w->going[i]);
    }
    if (w->upload_id) {
        abort_upload(w);
        sm_free(w->upload_id);
    }
    for (int i = 0; i < w->n_pieces; i++) {
        sm_block_release(w->blocks[i]);
    }
    sm_free(w->blocks);
    sm_free(w->pieces);
    sm_free(w->done);
    sm_arena_free(w->arena);
    sm_free(w);
}
