/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_read.c: what reads objects of a bucket: looks them up, opens them, reads ranges of them.
 *
 * Objects  A blob is one version: reads have If-Match with its ETag. So if an object is replaced
 *          while it is read, that is an error and never a mixture.
 * Looking  A HEAD tells the size and the ETag of an object. A response to HEAD has no body, so if
 *          it is refused, the first byte is asked for, to hear why.
 * Tail     Who will read the end of an object first (the footer of a Parquet file) asks for it when
 *          opening. Then a GET of these bytes stands in for the HEAD: its headers tell the same,
 *          and reads of the tail need no request of their own. If that did not go well at the first
 *          attempt, or the object has another size than was thought, the HEAD comes after all: the
 *          parts of a response that broke off need not be of one version.
 * Checksum Without TLS only TCP's 16 bits guard a body, so its checksum is requested and compared.
 *
 * Called through the store's ops (s3.c) and by s3_writer.c. */
#include <inttypes.h>

#include "base/text.h"
#include "store/s3_int.h"

static const sm_pair wants_checksum = {{"x-amz-checksum-mode", 19}, {"ENABLED", 7}};

static bool can_change(const smi_s3 *s)
{
    return !s->is_encrypted && !s->is_web;
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef enum look_phase {
    LOOK_TAIL,
    LOOK_HEAD,
    LOOK_WHY,   /* a HEAD was refused */
    LOOK_AGAIN, /* and then not, because expired keys were renewed */
} look_phase;

/* An object is being looked up. */
typedef struct s3_look {
    smi_s3_call call; /* first; of the phase */
    smi_s3 *s3;
    look_phase phase;
    sm_arena *arena; /* of the key and the ETag */
    sm_str key;      /* in the bucket */
    sm_into into;
    uint8_t byte;
    smi_opening want;
    /* The answer: */
    sm_entry entry;
    uint32_t crc32;
    bool has_crc32;
    size_t tail_len;
} s3_look;

static void begin_phase(s3_look *l, look_phase phase)
{
    smi_s3_ask ask = {.method = "HEAD", .key = l->key, .doing = "look at the object"};

    l->phase = phase;
    if (phase == LOOK_TAIL) {
        SM_ASSERT(l->want.tail_len > 0 && l->want.tail_len <= l->want.size_bytes);
        SM_ASSERT(l->want.tail_len <= l->want.tail->size_bytes);
        l->into = (sm_into){.to = l->want.tail->data, .len = l->want.tail_len};
        ask.off_bytes = l->want.size_bytes - l->want.tail_len;
    } else if (phase == LOOK_WHY) {
        l->into = (sm_into){.to = &l->byte, .len = 1};
    } else {
        ask.headers = &wants_checksum;
        ask.n_headers = can_change(l->s3);
    }
    if (phase == LOOK_TAIL || phase == LOOK_WHY) {
        ask.method = "GET";
        ask.into = &l->into;
        ask.n_into = 1;
        ask.into_len = l->into.len;
    }
    smi_s3_call_init(&l->call, l->s3, &ask);
}

/* want: its key is one below the store's root; a tail of no bytes is none. */
static s3_look *look_new(smi_s3 *s, const smi_opening *want)
{
    s3_look *l = sm_alloc_zero(sizeof(*l));

    l->s3 = s;
    l->arena = sm_arena_new(NULL);
    l->key = smi_s3_key(s, want->key, l->arena);
    l->want = *want;
    begin_phase(l, want->tail_len > 0 && !s->is_web ? LOOK_TAIL : LOOK_HEAD);
    return l;
}

static void look_free(s3_look *l)
{
    smi_s3_call_release(&l->call);
    sm_arena_free(l->arena);
    sm_free(l);
}

static sm_entry read_entry(const s3_look *l, uint64_t size_bytes)
{
    const sm_exchange *x = &l->call.x;
    sm_entry out = {.size_bytes = size_bytes,
                    .etag = sm_arena_str(l->arena, sm_str_of(x->header[SM_HTTP_ETAG]))};

    (void)sm_http_date(x->header[SM_HTTP_MODIFIED], &out.modified_us);
    return out;
}

/* "bytes 100-199/1234": begins it at `off`, and is the whole of `size` bytes? */
static bool is_range_of(const char *text, uint64_t off, uint64_t end, uint64_t size)
{
    char want[96];

    snprintf(want, sizeof(want), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, off, end - 1, size);
    return strcmp(text, want) == 0;
}

/* Takes the answer to LOOK_TAIL; false where a HEAD is still needed. */
static bool take_tail(s3_look *l)
{
    const smi_opening *w = &l->want;
    const sm_exchange *x = &l->call.x;

    if (l->call.n_attempts != 1 || x->header[SM_HTTP_ETAG][0] == '\0' ||
        !is_range_of(x->header[SM_HTTP_RANGE], w->size_bytes - w->tail_len, w->size_bytes,
                     w->size_bytes)) {
        return false;
    }
    l->entry = read_entry(l, w->size_bytes);
    l->tail_len = w->tail_len;
    return true;
}

static sm_status take_head(s3_look *l, sm_error *e)
{
    const sm_exchange *x = &l->call.x;
    int64_t size = 0;

    if (!sm_parse_i64(sm_str_of(x->header[SM_HTTP_LENGTH]), &size) || size < 0) {
        return sm_fail(e, SM_CORRUPT, "the response of %.100s does not say how long the object is",
                       l->s3->host);
    }
    l->entry = read_entry(l, (uint64_t)size);
    l->has_crc32 = can_change(l->s3) && smi_s3_checksum_read(x, &l->crc32);
    return SM_OK;
}

/* Does the answer to LOOK_TAIL say that the object has another size, or that the server sends no
 * ranges? */
static bool is_other_size(const s3_look *l)
{
    return l->call.x.status == 416 || l->call.x.failure == SM_HTTP_TOO_LONG;
}

/* What a phase ended with. True: it was the last, and *st is that of the look. */
static bool end_phase(s3_look *l, sm_status *st, look_phase *next, sm_error *e)
{
    const int status = l->call.x.status;

    switch (l->phase) {
    case LOOK_TAIL:
        *next = LOOK_HEAD;
        return *st == SM_OK ? take_tail(l) : !is_other_size(l);
    case LOOK_HEAD:
    case LOOK_AGAIN:
        *next = LOOK_WHY;
        *st = *st == SM_OK ? take_head(l, e) : *st;
        return l->phase == LOOK_AGAIN || status < 400 || status >= 500;
    case LOOK_WHY:
        *next = LOOK_AGAIN;
        return *st != SM_OK && status != 416; /* 416: an empty object has no first byte */
    }
    return true;
}

static sm_status look_step(s3_look *l, sm_waker waker, sm_error *e)
{
    for (;;) {
        look_phase next = LOOK_HEAD;
        sm_status st = smi_s3_call_step(&l->call, waker, e);
        if (st == SM_WAIT || end_phase(l, &st, &next, e)) {
            return st;
        }
        smi_s3_call_release(&l->call);
        begin_phase(l, next);
    }
}

static sm_status look_wait(s3_look *l, sm_error *e)
{
    sm_status st = SM_OK;
    sm_pause pause;

    sm_pause_init(&pause);
    while ((st = look_step(l, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

sm_status smi_s3_stat(sm_store *store, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    s3_look *l = look_new((smi_s3 *)store, &(smi_opening){.key = key});
    const sm_status st = look_wait(l, e);

    if (st == SM_OK) {
        *out = l->entry;
        out->key = sm_arena_str(a, key);
        out->etag = sm_arena_str(a, l->entry.etag);
    }
    look_free(l);
    return st;
}

sm_status smi_s3_get(sm_store *store, sm_str key, sm_buf *out, sm_error *e)
{
    smi_s3 *s = (smi_s3 *)store;
    sm_arena *a = sm_arena_new(NULL);
    const size_t most = out->max_bytes > 0 ? out->max_bytes - out->len : SIZE_MAX;
    const smi_s3_ask ask = {.method = "GET",
                            .key = smi_s3_key(s, key, a),
                            .headers = &wants_checksum,
                            .n_headers = can_change(s),
                            .is_object = true,
                            .text_max = most,
                            .doing = "read the object"};
    smi_s3_call c;
    smi_s3_call_init(&c, s, &ask);
    c.x.text.budget = out->budget;
    sm_status st = smi_s3_call_wait(&c, e);
    if (st == SM_OK) {
        st = sm_buf_add(out, c.x.text.data, c.x.text.len, e);
    }
    smi_s3_call_release(&c);
    sm_arena_free(a);
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct s3_blob {
    sm_blob blob; /* first */
    char *key;    /* in the bucket */
    char *etag;
} s3_blob;

static sm_blob *blob_of(const s3_look *l)
{
    s3_blob *b = sm_alloc_zero(sizeof(*b));

    b->blob.size_bytes = l->entry.size_bytes;
    b->blob.modified_us = l->entry.modified_us;
    b->blob.has_checksum = l->has_crc32;
    b->blob.checksum = l->crc32;
    b->blob.tail_len = l->tail_len;
    b->blob.tail = l->tail_len > 0 ? sm_block_retain(l->want.tail) : NULL;
    b->key = smi_str_dup(l->key);
    b->etag = smi_str_dup(l->entry.etag);
    return &b->blob;
}

sm_status smi_s3_blob_open(sm_store *store, sm_str key, sm_blob **out, sm_error *e)
{
    s3_look *l = look_new((smi_s3 *)store, &(smi_opening){.key = key});
    const sm_status st = look_wait(l, e);

    if (st == SM_OK) {
        *out = blob_of(l);
    }
    look_free(l);
    return st;
}

sm_status smi_s3_blob_open_step(sm_store *store, const smi_opening *want, sm_waker waker,
                                void **state, sm_blob **out, sm_error *e)
{
    s3_look *l = *state ? *state : look_new((smi_s3 *)store, want);
    const sm_status st = look_step(l, waker, e);

    *state = st == SM_WAIT ? l : NULL;
    if (st == SM_OK) {
        *out = blob_of(l);
    }
    if (st != SM_WAIT) {
        look_free(l);
    }
    return st;
}

void smi_s3_open_hasten(void *state)
{
    smi_s3_call_hasten(&((s3_look *)state)->call);
}

void smi_s3_open_free(void *state)
{
    look_free(state);
}

void smi_s3_blob_free(sm_blob *blob)
{
    s3_blob *b = (s3_blob *)blob;
    sm_free(b->key);
    sm_free(b->etag);
    sm_free(b);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* A request that reads some ranges. */
typedef struct s3_read {
    smi_s3_call call;
    sm_pair match;  /* If-Match */
    sm_into into[]; /* one for each range */
} s3_read;

static s3_read *read_new(const sm_blob *blob, const smi_read *reads, int n)
{
    const s3_blob *b = (const s3_blob *)blob;
    const size_t len = smi_reads_bytes(reads, n);
    SM_ASSERT(len > 0); /* HTTP has no empty range */
    SM_ASSERT(reads[0].off_bytes <= blob->size_bytes &&
              len <= blob->size_bytes - reads[0].off_bytes);
    s3_read *r = sm_alloc_zero(sizeof(*r) + (size_t)n * sizeof(r->into[0]));
    for (int i = 0; i < n; i++) {
        r->into[i] = (sm_into){.to = reads[i].out,
                               .off = (size_t)(reads[i].off_bytes - reads[0].off_bytes),
                               .len = reads[i].len};
    }
    const bool is_whole = reads[0].off_bytes == 0 && len == blob->size_bytes;
    r->match = (sm_pair){SM_STR("if-match"), sm_str_of(b->etag)};
    const smi_s3_ask ask = {.method = "GET",
                            .key = sm_str_of(b->key),
                            .headers = &r->match,
                            .n_headers = b->etag[0] != '\0' ? 1 : 0,
                            .into = r->into,
                            .n_into = n,
                            .off_bytes = reads[0].off_bytes,
                            .into_len = len,
                            .has_checksum = is_whole && blob->has_checksum,
                            .checksum = blob->checksum,
                            .doing = "read the object"};
    smi_s3_call_init(&r->call, (smi_s3 *)blob->store, &ask);
    return r;
}

void smi_s3_read_free(void *state)
{
    s3_read *r = state;
    smi_s3_call_release(&r->call);
    sm_free(r);
}

void smi_s3_read_hasten(void *state)
{
    smi_s3_call_hasten(&((s3_read *)state)->call);
}

sm_status smi_s3_blob_read_step(sm_blob *b, const smi_read *reads, int n, sm_waker waker,
                                void **state, sm_error *e)
{
    if (!*state) {
        *state = read_new(b, reads, n);
    }
    const sm_status st = smi_s3_call_step(&((s3_read *)*state)->call, waker, e);
    if (st != SM_WAIT) {
        smi_s3_read_free(*state);
        *state = NULL;
    }
    return st;
}

sm_status smi_s3_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    const smi_read read = {.off_bytes = off_bytes, .len = len, .out = out};
    s3_read *r = read_new(b, &read, 1);
    const sm_status st = smi_s3_call_wait(&r->call, e);
    smi_s3_read_free(r);
    return st;
}
