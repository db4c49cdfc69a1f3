/* SPDX-License-Identifier: Apache-2.0
 *
 * format/content.c: hashes a file's content without reading its lines, to tell whether the file was
 * read before. A scan hashes what it reads on the way (exec_tally.c, text_lines.c); the results are
 * the same.
 *
 * Method   walk_bytes reads the file in steps, decompresses them where its name says so, and hands
 *          the bytes in order to one of three takers: of the whole file, of its head, of prefixes.
 *          A taker that has enough ends the walk. */
#include "format/text_int.h"

#define STEP_BYTES ((size_t)1 << 20)
#define HEAD_BYTES ((size_t)16384) /* read at once for a head: 4 KiB hardly compress to more */

_Static_assert(HEAD_BYTES >= SM_CONTENT_HEAD_BYTES, "a plain file's head is one read");

/* Takes bytes in order. Returns false when it needs no more. */
typedef bool taker(void *ctx, const uint8_t *bytes, size_t n);

typedef struct walk {
    const sm_content_source *from;
    size_t step_bytes;
    taker *take;
    void *ctx;
} walk;

static sm_status check_cancel(const walk *w, sm_error *e)
{
    return sm_cancel_is_set(w->from->cancel) ? sm_fail(e, SM_INTERRUPTED, "interrupted") : SM_OK;
}

/* Decodes a range and hands the result to the taker. *is_done: it needs no more. */
static sm_status decode_range(const walk *w, smi_codec *codec, const uint8_t *in, size_t n,
                              sm_block *room, bool *is_done, sm_error *e)
{
    SM_ASSERT(!*is_done && room->size_bytes >= STEP_BYTES);
    smi_codec_step step = {.in = in, .in_len = n, .out = room->data, .out_len = STEP_BYTES};

    for (bool is_full = true; is_full && !*is_done;) {
        step.out_pos = 0;
        SM_TRY(check_cancel(w, e)); /* a range may decode to a thousand times as much */
        SM_TRY(smi_codec_decode(codec, &step, e));
        *is_done = !w->take(w->ctx, room->data, step.out_pos);
        is_full = step.out_pos == step.out_len;
    }
    return SM_OK;
}

/* Gives the decompressed bytes to w->take. *is_whole is only set right where it took all of them.
 */
static sm_status walk_bytes(const walk *w, bool *is_whole, sm_error *e)
{
    sm_status st = SM_OK;
    smi_codec *codec = NULL;
    sm_block *in = NULL, *out = NULL;
    bool is_done = false;
    const uint64_t size = sm_blob_bytes(w->from->blob);
    const smi_codec_kind kind = smi_codec_of_name(sm_blob_uri(w->from->blob));

    SM_TRY_GOTO(st, done, sm_block_new(w->from->budget, w->step_bytes, &in, e));
    if (kind != SMI_CODEC_NONE) {
        SM_TRY_GOTO(st, done, sm_block_new(w->from->budget, STEP_BYTES, &out, e));
        SM_TRY_GOTO(st, done, smi_codec_new(kind, w->from->budget, &codec, e));
    }
    for (uint64_t at = 0; at < size && !is_done; at += w->step_bytes) {
        const size_t len = size - at < w->step_bytes ? (size_t)(size - at) : w->step_bytes;
        SM_TRY_GOTO(st, done, check_cancel(w, e));
        SM_TRY_GOTO(st, done, sm_blob_read(w->from->blob, at, len, in->data, e));
        if (codec) {
            st = decode_range(w, codec, in->data, len, out, &is_done, e);
            if (st != SM_OK) {
                sm_error_place(e, sm_blob_uri(w->from->blob).data, 0, (int64_t)at);
                goto done;
            }
        } else {
            is_done = !w->take(w->ctx, in->data, len);
        }
    }
    /* A compressed file of no bytes is still being written: its tool has only created it. */
    *is_whole = !codec || (size > 0 && smi_codec_is_between(codec));
done:
    smi_codec_free(codec);
    sm_block_release(in);
    sm_block_release(out);
    return st;
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool add_to_sum(void *ctx, const uint8_t *bytes, size_t n)
{
    sm_content_sum_add(ctx, bytes, n);
    return true;
}

sm_status sm_content_read(const sm_content_source *from, sm_content *out, bool *is_whole,
                          sm_error *e)
{
    sm_content_sum *sum = sm_content_sum_new();
    const walk w = {from, STEP_BYTES, add_to_sum, sum};

    const sm_status st = walk_bytes(&w, is_whole, e);
    if (st == SM_OK) {
        *out = sm_content_sum_get(sum);
    }
    sm_content_sum_free(sum);
    return st;
}

/* ---- the beginning --------------------------------------------------------------------------- */

typedef struct head {
    uint8_t *to;
    size_t n;
} head;

static bool add_to_head(void *ctx, const uint8_t *bytes, size_t n)
{
    head *h = ctx;
    const size_t room = SM_CONTENT_HEAD_BYTES - h->n;
    const size_t len = n < room ? n : room;

    SM_ASSERT(h->n < SM_CONTENT_HEAD_BYTES); /* a taker that has enough is not called again */
    memcpy(h->to + h->n, bytes, len);
    h->n += len;
    return h->n < SM_CONTENT_HEAD_BYTES;
}

sm_status sm_content_head(const sm_content_source *from, uint8_t *out, size_t *n, sm_error *e)
{
    head h = {.to = out};
    bool is_whole = false;
    const walk w = {from, HEAD_BYTES, add_to_head, &h};

    SM_TRY(walk_bytes(&w, &is_whole, e));
    *n = h.n;
    return SM_OK;
}

typedef struct prefixes {
    sm_content_sum *sum;
    const int64_t *lens;
    int64_t n, n_done, at;
    sm_hash128 *out;
} prefixes;

static bool add_to_prefixes(void *ctx, const uint8_t *bytes, size_t n)
{
    prefixes *p = ctx;

    for (size_t used = 0; p->n_done < p->n && used < n;) {
        SM_ASSERT(p->lens[p->n_done] >= p->at); /* ascending */
        const uint64_t left = (uint64_t)(p->lens[p->n_done] - p->at);
        const size_t len = n - used < left ? n - used : (size_t)left;
        sm_content_sum_add(p->sum, bytes + used, len);
        p->at += (int64_t)len;
        used += len;
        if (p->at == p->lens[p->n_done]) {
            p->out[p->n_done++] = sm_content_sum_get(p->sum).hash;
        }
    }
    return p->n_done < p->n;
}

sm_status sm_content_prefixes(const sm_content_source *from, const int64_t *lens, int64_t n,
                              sm_hash128 *out, sm_error *e)
{
    prefixes p = {.sum = sm_content_sum_new(), .lens = lens, .n = n, .out = out};
    bool is_whole = false;
    const walk w = {from, STEP_BYTES, add_to_prefixes, &p};

    memset(out, 0, (size_t)n * sizeof(*out));
    const sm_status st = walk_bytes(&w, &is_whole, e);
    sm_content_sum_free(p.sum);
    return st;
}
