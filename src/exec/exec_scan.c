/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_scan.c: the source of a pipe that reads a dataset's files.
 *
 * Calls    step, by the drivers. Each call takes in the bytes that have arrived, requests more, and
 *          decodes one morsel, or opens one file, or returns SM_WAIT.
 * Method   Morsels are admitted in the order of files, at most ahead_max of them beyond the oldest
 *          unfinished one. Their ranges are requested until as many bytes are in flight as the
 *          store wants, or until the budget has no more room. A morsel whose ranges have all
 *          arrived is ready, and a driver takes the oldest ready one, or waits for one that is
 *          older still (is_kept_for_oldest). A reader that needs bytes
 *          beyond its ranges returns SM_MORE; then the morsel requests them and waits again, with
 *          its reader, while the driver turns to another.
 * Files    are opened ahead of need, since opening blocks. So many are kept open that their bytes
 *          are what the store wants in flight, but at most FILES_OPEN_MAX: each holds a handle, and
 *          files may be small. A file is closed when its last morsel is accounted (exec_tally.c).
 *          One that its constants or statistics exclude is never opened. One that cannot be opened
 *          fails the task that would have been its first.
 * Far      Where stores are behind a network, many objects are asked for at a time, with the ends
 *          of those whose footers are read; drivers open the files of those that have come. A small
 *          file comes whole.
 * States   WANTS -> READY -> RUNNING -> (WANTS -> …)* -> DONE -> FREE, under the scan's lock.
 * Tally    exec_tally.c: counts, unknown keys, hashes, refused lines, in the order of morsels. */
#include "exec/exec_memory_int.h"
#include "exec/exec_scan_int.h"

#include <inttypes.h>
#include <stdio.h>

/* With two drivers and a local disk 18 morsels may be ahead, so that 64 files are enough even where
 * each is one morsel. A process may have as few as 256 handles. */
#define FILES_OPEN_MAX 64

/* A file of at most so many times the bytes that are read of its end comes whole with its object:
 * another request takes longer than these bytes. */
#define TAILS_WHOLE 4

/* Marks the tag of an object. That of a range is number of the morsel << 20 | number of the range.
 */
#define TAG_OBJECT ((uint64_t)1 << 63)

static inline smi_morsel *morsel_at(smi_scan *s, int64_t n)
{
    return &s->ring[n % SMI_AHEAD_MAX];
}

/* A morsel without ranges is ready at once. A morsel wants more bytes only when it has run. */
static bool may_move(smi_morsel_state from, smi_morsel_state to)
{
    switch (from) {
    case MORSEL_FREE:
        return to == MORSEL_WANTS || to == MORSEL_READY;
    case MORSEL_WANTS:
        return to == MORSEL_READY;
    case MORSEL_READY:
        return to == MORSEL_RUNNING;
    case MORSEL_RUNNING:
        return to == MORSEL_WANTS || to == MORSEL_DONE || to == MORSEL_GIVEN_UP;
    case MORSEL_DONE:
        return to == MORSEL_FREE;
    case MORSEL_GIVEN_UP:
        return false;
    }
    return false;
}

void smi_morsel_move(smi_morsel *m, smi_morsel_state to)
{
    SM_ASSERT(may_move(m->state, to));
    m->state = to;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A file of a table has the size that the log says, or it is another file. Of text the morsels were
 * planned by the size that the listing gave: the file must still have it. */
static sm_status check_size(const sm_datafile *df, bool is_text, const sm_blob *blob, sm_error *e)
{
    const uint64_t bytes = sm_blob_bytes(blob);
    sm_status st = SM_OK;

    if (df->is_size_said && bytes != df->size_bytes) {
        st = sm_fail(e, SM_CORRUPT,
                     "the file has %" PRIu64 " bytes, the log of its table says %" PRIu64, bytes,
                     df->size_bytes);
        sm_error_todo(e, "Another program has changed it. Put it back, if there is a copy; smelt "
                         "table fsck tells which files of a table are damaged.");
    } else if (is_text && bytes < df->size_bytes) {
        st = sm_fail(e, SM_CORRUPT,
                     "the file shrank: it had %" PRIu64
                     " bytes when it was listed, and has %" PRIu64,
                     df->size_bytes, bytes);
        sm_error_todo(e, "Run it again when nobody writes to the file.");
    }
    return st;
}

/* Says what the file is of, where its dataset knows. */
static sm_status told_within(const sm_datafile *df, sm_status st, sm_error *e)
{
    return df->within.len > 0 ? sm_within(e, st, "%.*s", SM_STR_ARG(df->within)) : st;
}

/* It was there when the files were listed, or the log of its table names it. */
static sm_status advised_if_gone(sm_status st, sm_error *e)
{
    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "Another program has deleted it. A vacuum does so with files that only "
                         "earlier versions of a table have; smelt table fsck checks the newest.");
    }
    return st;
}

/* Opens and plans file i; without the lock. */
static sm_status open_file(smi_scan *s, smi_scan_file *f, int64_t i, sm_error *e)
{
    const sm_datafile *df = &s->dataset->files[i];
    const sm_format *format = s->dataset->format;
    sm_status st = SM_OK;
    f->arena = sm_arena_new(s->budget);
    if (!f->blob) {
        st = advised_if_gone(sm_blob_open(df->store, df->key, &f->blob, e), e);
    }
    if (st == SM_OK) {
        st = check_size(df, format->is_text, f->blob, e);
    }
    if (st == SM_OK) {
        f->is_plain = sm_name_plain(df->key).len == df->key.len;
        f->has_checksum = format->is_text && sm_blob_checksum(f->blob, &f->checksum);
        st = format->open(s->dataset, i, f->blob, &s->node->as.scan.want, s->budget, &f->file, e);
    }
    if (st == SM_OK) {
        st = format->plan(f->file, f->arena, &f->morsels, &f->n_morsels, &f->skipped, e);
    }
    return st;
}

/* Keeps why a file cannot be read until its turn comes. */
static void fail_file(smi_scan *s, smi_scan_file *f, sm_status st, sm_error *e)
{
    const sm_datafile *df = &s->dataset->files[f - s->files];
    char uri[1100];

    snprintf(uri, sizeof(uri), "%.*s", SM_STR_ARG(df->uri));
    sm_error_place(e, uri, 0, -1);
    (void)told_within(df, st, e);
    f->state = FILE_FAILED;
    f->failure = sm_alloc_zero(sizeof(*e));
    *f->failure = *e;
    f->failure->status = st;
    smi_scan_close_file(s, f);
}

void smi_scan_close_file(smi_scan *s, smi_scan_file *f)
{
    if (!f->arena && !f->blob) {
        return;
    }
    SM_ASSERT(s->n_open > 0);
    s->n_open--;
    s->dataset->format->close(f->file);
    sm_blob_close(f->blob);
    sm_arena_free(f->arena);
    f->file = NULL;
    f->blob = NULL;
    f->arena = NULL;
    f->morsels = NULL;
}

/* The first file from `i` on that is not pruned. */
static int64_t next_kept(const smi_scan *s, int64_t i)
{
    while (i < s->dataset->n_files && s->files[i].state == FILE_PRUNED) {
        i++;
    }
    return i;
}

/* Should file i be opened, so that enough morsels are at hand? */
static bool is_file_wanted(const smi_scan *s, int64_t i)
{
    return i < s->dataset->n_files && s->n_open < FILES_OPEN_MAX &&
           (s->ahead_bytes < s->inflight_wanted || i == s->next_file);
}

/* Can a driver open the next file now? */
static bool wants_file(smi_scan *s)
{
    s->next_open = next_kept(s, s->next_open);
    if (s->n_opening >= s->exec->n_drivers || s->next_open == s->dataset->n_files) {
        return false;
    }
    return s->is_far ? s->files[s->next_open].state == FILE_CAME : is_file_wanted(s, s->next_open);
}

/* A file is going to be open. */
static void count_open(smi_scan *s, int64_t i, smi_file_state state)
{
    SM_ASSERT(s->files[i].state == FILE_CLOSED && !s->files[i].arena && !s->files[i].blob);
    s->files[i].state = state;
    s->n_open++;
    s->ahead_bytes += (int64_t)s->dataset->files[i].size_bytes;
}

/* How many bytes of a file's end come with its object. */
static size_t tail_wanted(const smi_scan *s, const sm_datafile *df)
{
    const size_t footer = s->dataset->format->tail_bytes;
    const uint64_t all = df->size_bytes;
    const size_t tail = all <= (uint64_t)TAILS_WHOLE * footer ? (size_t)all : footer;

    return smi_memory_may_read(s->exec, tail) ? tail : 0;
}

/* Asks for the object of file i; without its tail where there is no memory for that. */
static sm_status ask_for_file(smi_scan *s, int64_t i, sm_error *e)
{
    const sm_datafile *df = &s->dataset->files[i];
    sm_fetch_opening o = {.store = df->store,
                          .key = df->key,
                          .size_bytes = df->size_bytes,
                          .tail_bytes = tail_wanted(s, df),
                          .tag = TAG_OBJECT | (uint64_t)i};
    sm_status st = sm_fetch_open(s->fetch, &o, e);

    if (st == SM_BUDGET && o.tail_bytes > 0) {
        o.tail_bytes = 0;
        st = sm_fetch_open(s->fetch, &o, e);
    }
    return st;
}

/* Asks for the objects of the next files. With the lock. */
static sm_status ask_for_files(smi_scan *s, sm_error *e)
{
    for (s->next_ask = next_kept(s, s->next_ask); is_file_wanted(s, s->next_ask);
         s->next_ask = next_kept(s, s->next_ask)) {
        SM_TRY(ask_for_file(s, s->next_ask, e));
        count_open(s, s->next_ask++, FILE_COMING);
        s->n_coming++;
    }
    return SM_OK;
}

/* An object has come, or could not be opened. With the lock. */
static void take_object(smi_scan *s, const sm_fetched *got, sm_status st, sm_error *e)
{
    smi_scan_file *f = &s->files[got->tag & ~TAG_OBJECT];

    SM_ASSERT(f->state == FILE_COMING && s->n_coming > 0 && (st == SM_OK) == (got->blob != NULL));
    s->n_coming--;
    f->state = FILE_CAME;
    f->blob = got->blob;
    if (st != SM_OK) {
        s->n_open--;
        fail_file(s, f, advised_if_gone(st, e), e);
    }
}

/* With the lock, which is released meanwhile. A failure is kept with the file until its turn. */
static void open_next_file(smi_scan *s, smi_driver *d)
{
    const int64_t i = s->next_open++;
    smi_scan_file *f = &s->files[i];
    sm_error err = {0};

    if (f->state == FILE_CLOSED) {
        count_open(s, i, FILE_OPENING);
    }
    SM_ASSERT(s->is_far ? f->state == FILE_CAME : f->state == FILE_OPENING);
    f->state = FILE_OPENING;
    s->n_opening++;
    sm_mutex_unlock(&s->lock);
    const sm_status st = open_file(s, f, i, &err);
    sm_mutex_lock(&s->lock);
    s->n_opening--;
    f->state = FILE_OPEN;
    if (st != SM_OK) {
        fail_file(s, f, st, &err);
    }
    f->n_left = f->n_morsels;
    sm_node_profile *p = smi_profile(s->exec, d->index, s->node);
    p->files++;
    p->morsels_skipped += f->skipped;
    smi_pipe_wake(d->pipe);
}

/* ---- admitting and requesting ---------------------------------------------------------------- */

/* The file whose morsels come next, or NULL: none left, or not open yet. */
static smi_scan_file *file_to_admit(smi_scan *s)
{
    while (s->next_file < s->dataset->n_files) {
        smi_scan_file *f = &s->files[s->next_file];
        if (f->state == FILE_OPEN && s->next_morsel == f->n_morsels) {
            s->ahead_bytes -= (int64_t)s->dataset->files[s->next_file].size_bytes;
            SM_ASSERT(s->ahead_bytes >= 0);
            if (f->n_morsels == 0) {
                smi_tally_file_done(s, s->next_file);
            }
        } else if (f->state != FILE_PRUNED) {
            return f->state == FILE_OPEN || f->state == FILE_FAILED ? f : NULL;
        }
        s->next_file++;
        s->next_morsel = 0;
    }
    atomic_store(&s->n_total, s->admitted);
    return NULL;
}

/* Sets the ranges that the morsel needs next. */
static void want_ranges(smi_morsel *m, const sm_byte_range *ranges, int32_t n)
{
    m->n_ranges = n;
    m->n_requested = m->n_arrived = 0;
    m->ranges = SM_NEW_ARRAY(m->arena, sm_byte_range, n + 1);
    m->blocks = SM_NEW_ARRAY(m->arena, sm_block *, n + 1);
    m->lens = SM_NEW_ARRAY(m->arena, size_t, n + 1);
    for (int32_t i = 0; i < n; i++) {
        m->ranges[i] = ranges[i];
    }
    smi_morsel_move(m, n == 0 ? MORSEL_READY : MORSEL_WANTS);
}

static void admit_morsel(smi_scan *s, smi_driver *d, smi_scan_file *f)
{
    smi_morsel *m = morsel_at(s, s->admitted);
    SM_ASSERT(m->state == MORSEL_FREE && !m->reader && m->refused.n == 0);
    SM_ASSERT(s->admitted - s->accounted < SMI_AHEAD_MAX && s->next_morsel < f->n_morsels);
    if (!m->arena) {
        m->arena = sm_arena_new(s->budget);
    }
    sm_arena_reset(m->arena);
    *m = (smi_morsel){.arena = m->arena,
                      .task = {.ordinal = d->pipe->base + (uint64_t)s->admitted},
                      .file = s->next_file,
                      .plan = &f->morsels[s->next_morsel]};
    want_ranges(m, m->plan->ranges, m->plan->n_ranges);
    s->admitted++;
    s->next_morsel++;
    s->n_to_admit--;
}

/* Requests the ranges that a morsel still needs. SM_BUDGET: there is no room now. */
static sm_status request_ranges(smi_scan *s, smi_morsel *m, int64_t n, sm_error *e)
{
    while (m->n_requested < m->n_ranges) {
        const sm_byte_range r = m->ranges[m->n_requested];
        /* Decoded rows need room too: only the oldest morsel may take the last of it. */
        if (n != s->accounted && !smi_memory_may_read(s->exec, r.len)) {
            return SM_BUDGET;
        }
        const sm_range_read read = {.blob = s->files[m->file].blob,
                                    .off_bytes = r.off_bytes,
                                    .len = r.len,
                                    .tag = ((uint64_t)n << 20) | (uint32_t)m->n_requested};
        SM_TRY(sm_fetch_request(s->fetch, &read, e));
        m->n_requested++;
        s->inflight += (int64_t)r.len;
        s->n_inflight++;
        s->held += (int64_t)r.len;
        m->held += (int64_t)r.len;
        s->peak = s->held > s->peak ? s->held : s->peak;
    }
    return SM_OK;
}

/* Should a morsel be admitted? For a store that prefers large requests, as many morsels at a time
 * as make one request, when it fits in what may be in flight; else one by one. */
static bool is_hungry(smi_scan *s)
{
    const int64_t room = s->inflight_wanted - s->inflight;
    const bool may_begin = s->n_ready < s->exec->n_drivers + 2 + s->request_morsels &&
                           (s->n_inflight == 0 || (room > 0 && room >= s->request_bytes));
    if (s->n_to_admit == 0 && may_begin) {
        s->n_to_admit = s->request_morsels > 0 ? s->request_morsels : 1;
    }
    return s->n_to_admit > 0;
}

/* Is something under way that will free memory? Not a task that waits for its turn, nor a morsel
 * that is not started before that. */
static bool is_moving(smi_scan *s, const smi_driver *d)
{
    const int64_t n_on_leave = atomic_load(&d->pipe->n_on_leave);
    const bool is_ready =
        n_on_leave > 0 ? morsel_at(s, s->accounted)->state == MORSEL_READY : s->n_ready > 0;
    return s->n_inflight > 0 || is_ready || s->n_running > n_on_leave ||
           !smi_pipe_is_empty(d->pipe);
}

/* Admits morsels and requests their ranges, as many as are wanted. */
static sm_status request_ahead(smi_scan *s, smi_driver *d, sm_error *e)
{
    const int64_t before = s->n_inflight + s->n_coming;
    const uint64_t turn = smi_pipe_turn(d->pipe) - d->pipe->base;
    sm_status st = s->is_far ? ask_for_files(s, e) : SM_OK;
    for (int64_t n = s->accounted; st == SM_OK; n++) {
        if (smi_pipe_is_past(d->pipe, d->pipe->base + (uint64_t)n)) {
            break;
        }
        if (n == s->admitted) {
            if (!is_hungry(s) || n >= s->accounted + s->ahead_max ||
                (uint64_t)n >= turn + (uint64_t)s->ahead_max) {
                break;
            }
            smi_scan_file *f = file_to_admit(s);
            if (!f) {
                break;
            }
            if (f->state == FILE_FAILED) {
                smi_task nobody = {.ordinal = d->pipe->base + (uint64_t)n};
                smi_task *mine = d->task;
                d->task = &nobody;
                smi_task_failed(d, f->failure->status, f->failure);
                d->task = mine;
                break;
            }
            admit_morsel(s, d, f);
        }
        smi_morsel *m = morsel_at(s, n);
        if (m->state == MORSEL_WANTS && m->n_requested < m->n_ranges) {
            st = request_ranges(s, m, n, e);
        }
        s->n_ready += m->state == MORSEL_READY && !m->is_counted_ready;
        m->is_counted_ready = m->state == MORSEL_READY;
    }
    sm_fetch_send(s->fetch);
    if (before == 0 && s->n_inflight + s->n_coming > 0) {
        smi_pipe_wake(
            d->pipe); /* a driver that waits for nothing in flight left no waker with fetch */
    }
    SM_ASSERT(s->admitted <= s->accounted + s->ahead_max);
    return st == SM_BUDGET && is_moving(s, d) ? SM_OK : st;
}

/* Hands the bytes that have arrived to their morsels. */
static sm_status take_arrived(smi_scan *s, smi_driver *d, sm_error *e)
{
    for (;;) {
        sm_fetched got;
        const sm_status st = sm_fetch_next(s->fetch, d->waker, &got, e);
        if (st == SM_WAIT || st == SM_END) {
            return SM_OK;
        }
        if (got.tag & TAG_OBJECT) {
            take_object(s, &got, st, e);
            continue;
        }
        SM_TRY(st);
        smi_morsel *m = morsel_at(s, (int64_t)(got.tag >> 20));
        const uint32_t i = (uint32_t)(got.tag & 0xFFFFF);
        /* The morsel still waits for this range, so its place in the ring has not been used again.
         * */
        SM_ASSERT((int64_t)(got.tag >> 20) >= s->accounted);
        SM_ASSERT((int64_t)(got.tag >> 20) < s->admitted);
        SM_ASSERT(m->state == MORSEL_WANTS && i < (uint32_t)m->n_requested && !m->blocks[i]);
        SM_ASSERT(got.len <= m->ranges[i].len);
        m->blocks[i] = got.block;
        m->lens[i] = got.len;
        s->inflight -= (int64_t)got.len;
        s->n_inflight--;
        SM_ASSERT(s->inflight >= 0 && s->n_inflight >= 0);
        if (++m->n_arrived == m->n_ranges) {
            smi_morsel_move(m, MORSEL_READY);
            m->is_counted_ready = true;
            s->n_ready++;
        }
    }
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Makes a batch of the scan's output: stored columns as they were read, constants of the file.
 * Takes rows. */
static sm_status shape_rows(smi_scan *s, const smi_morsel *m, sm_batch *rows, sm_batch **out,
                            sm_error *e)
{
    const sm_plan_node *node = s->node;
    const int32_t n_stored = s->dataset->schema->n_fields - s->dataset->n_constants;
    sm_batch *b = NULL;
    sm_status st = sm_batch_new(s->budget, node->schema, &b, e);
    if (st != SM_OK) {
        goto done;
    }
    sm_batch_keep_all(b, rows);
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        const int32_t c = node->as.scan.columns[i];
        if (c < n_stored) {
            b->columns[i] = rows->columns[s->place[i]];
        } else if (s->dataset->numbers_rows && c == s->dataset->schema->n_fields - 1) {
            b->columns[i] = rows->columns[rows->n_columns - 1];
        } else if (s->dataset->has_origin && c == s->dataset->schema->n_fields - 1) {
            b->columns[i] = rows->columns[rows->n_columns - 1];
        } else if (s->dataset->has_origin && c == s->dataset->schema->n_fields - 2) {
            SM_TRY_GOTO(st, done,
                        smi_origin_mark(&rows->columns[rows->n_columns - 2], m->task.ordinal, b,
                                        &b->columns[i], e));
        } else {
            const sm_value v = s->dataset->files[m->file].constants[c - n_stored];
            SM_TRY_GOTO(st, done, sm_column_constant(v, rows->n_rows, b, &b->columns[i], e));
        }
    }
    b->n_rows = rows->n_rows;
    b->ordinal = m->task.ordinal;
    b->seq = m->n_batches;
done:
    sm_batch_release(rows);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

/* Gives the bytes that have arrived to the reader, which holds them now. */
static sm_status give_bytes(smi_scan *s, smi_morsel *m, sm_error *e)
{
    const sm_format *format = s->dataset->format;
    sm_status st = SM_OK;
    if (!m->reader) {
        st = format->reader_new(s->dataset, &s->node->as.scan.want, s->budget, &m->reader, e);
    }
    if (st == SM_OK) {
        smi_tally_hash(s, m);
        st = !m->has_begun
                 ? format->begin(m->reader, s->files[m->file].file, m->plan, m->blocks, m->lens, e)
                 : format->feed(m->reader, m->blocks[0], m->lens[0], e);
        m->has_begun = true;
    }
    for (int32_t i = 0; i < m->n_ranges; i++) {
        m->bytes += (int64_t)m->lens[i];
        sm_block_release(m->blocks[i]);
        m->blocks[i] = NULL;
    }
    m->n_ranges = m->n_requested = m->n_arrived = 0;
    return st;
}

/* Pulls batches until the morsel ends, needs more bytes (SM_MORE), or is past what the pipe wants.
 * */
static sm_status pull_rows(smi_scan *s, smi_driver *d, smi_morsel *m, sm_error *e)
{
    const sm_format *format = s->dataset->format;
    while (!smi_pipe_is_past(d->pipe, m->task.ordinal)) {
        sm_batch *rows = NULL, *refused = NULL, *out = NULL;
        const sm_status st = format->pull(m->reader, &rows, &refused, &m->more, e);
        if (refused) {
            smi_tally_refused(s, m, refused);
        }
        if (st != SM_OK) {
            m->failed_in_reader = !sm_status_is_answer(st);
            return st;
        }
        if (rows) {
            SM_TRY(shape_rows(s, m, rows, &out, e));
            m->n_batches++;
            SM_TRY(smi_give(d, s->node, d->pipe->first, out, e));
        }
    }
    return SM_OK;
}

static void keep_reader(smi_scan *s, smi_morsel *m)
{
    if (s->n_readers == s->readers_cap) {
        s->readers_cap = s->readers_cap ? s->readers_cap * 2 : 8;
        s->readers = sm_realloc(s->readers, (size_t)s->readers_cap * sizeof(*s->readers));
    }
    s->readers[s->n_readers++] = m->reader;
    m->reader = NULL;
}

/* Decodes a morsel that this driver has taken; without the lock. */
static sm_status decode_morsel(smi_scan *s, smi_driver *d, smi_morsel *m, bool *is_done,
                               sm_error *e)
{
    sm_status st = give_bytes(s, m, e);
    if (st != SM_OK) {
        m->failed_in_reader = true;
        return st;
    }
    st = pull_rows(s, d, m, e);
    if (st != SM_END) {
        return st;
    }
    smi_tally_close(s, m);
    sm_mutex_lock(&s->lock);
    keep_reader(s, m);
    smi_morsel_move(m, MORSEL_DONE);
    *is_done = true; /* from here on another morsel may take its place in the ring */
    st = smi_tally_bring_up(s, e);
    sm_mutex_unlock(&s->lock);
    SM_TRY(st);
    return smi_task_close(d, e);
}

/* Decodes a morsel as far as its bytes go. A failure is reported to the pipe. */
static void run_morsel(smi_scan *s, smi_driver *d, smi_morsel *m)
{
    sm_error err = {0};
    bool is_done = false;
    const int64_t held = m->held;
    smi_task task = m->task;
    d->task = &task;
    const int32_t before = smi_clock(d, s->node->id);
    const sm_status st = decode_morsel(s, d, m, &is_done, &err);
    smi_clock(d, before);
    sm_mutex_lock(&s->lock);
    s->n_running--;
    s->held -= held;
    SM_ASSERT(s->n_running >= 0 && s->held >= 0);
    if (!is_done) {
        m->held -= held;
        m->task = task;
        if (st == SM_MORE) {
            want_ranges(m, &m->more, 1);
        } else {
            smi_morsel_move(m, MORSEL_GIVEN_UP);
        }
    }
    sm_mutex_unlock(&s->lock);
    if (!sm_status_is_answer(st)) {
        smi_task_failed(d, st, &err);
    }
    d->task = NULL;
    smi_pipe_wake(d->pipe);
}

/* ---- the step -------------------------------------------------------------------------------- */

/* Must a free driver wait for the oldest morsel, whose bytes are on their way? It must where all
 * others are at work on later ones: their rows, as many as they are, wait in the end until the
 * oldest morsel is through. */
static bool is_kept_for_oldest(smi_scan *s, const smi_driver *d)
{
    const smi_morsel *oldest = morsel_at(s, s->accounted);
    return d->pipe->end->keeps_order && s->accounted < s->admitted &&
           oldest->state == MORSEL_WANTS && oldest->n_requested == oldest->n_ranges &&
           s->n_running + 1 >= s->exec->n_drivers;
}

/* The oldest ready morsel; where tasks wait for their turn, only the one that they wait for. */
static smi_morsel *take_ready(smi_scan *s, smi_driver *d, int64_t n_on_leave)
{
    const bool is_oldest_only = n_on_leave > 0 || is_kept_for_oldest(s, d);
    const int64_t end = is_oldest_only ? s->accounted + 1 : s->admitted;
    for (int64_t n = s->accounted; n < s->admitted && n < end; n++) {
        smi_morsel *m = morsel_at(s, n);
        if (m->state == MORSEL_READY && !smi_pipe_is_past(d->pipe, m->task.ordinal)) {
            smi_morsel_move(m, MORSEL_RUNNING);
            m->is_counted_ready = false;
            s->n_ready--;
            SM_ASSERT(s->n_ready >= 0 && m->n_arrived == m->n_ranges);
            s->n_running++;
            if (!m->reader && s->n_readers > 0) {
                m->reader = s->readers[--s->n_readers];
            }
            return m;
        }
    }
    return NULL;
}

static sm_status scan_step(smi_source *source, smi_driver *d, sm_error *e)
{
    smi_scan *s = (smi_scan *)source;
    smi_morsel *m = NULL;
    if (s->gives_refused) {
        const sm_status st = smi_outlet_drain(&s->refused, d, e);
        if (st != SM_OK && st != SM_END) {
            return st;
        }
    }
    sm_mutex_lock(&s->lock);
    sm_status st = take_arrived(s, d, e);
    if (st == SM_OK) {
        st = request_ahead(s, d, e);
    }
    if (st == SM_OK && wants_file(s) && (s->inflight < s->inflight_wanted / 2 || !s->n_ready)) {
        open_next_file(s, d);
        sm_mutex_unlock(&s->lock);
        return SM_OK;
    }
    const int64_t n_on_leave = atomic_load(&d->pipe->n_on_leave);
    if (st == SM_OK && smi_memory_is_tight(s->exec, s->n_running - n_on_leave)) {
        st = SM_WAIT; /* a morsel's end wakes */
    }
    if (st == SM_OK) {
        m = take_ready(s, d, n_on_leave);
        if (!m) {
            const int64_t n = atomic_load(&s->n_total);
            st = n >= 0 && s->accounted == n ? SM_END : SM_WAIT;
        }
    }
    sm_mutex_unlock(&s->lock);
    if (m) {
        run_morsel(s, d, m);
    }
    return st;
}

static int64_t scan_count(smi_source *source)
{
    smi_scan *s = (smi_scan *)source;
    if (s->gives_refused && !smi_outlet_is_empty(&s->refused)) {
        return -1;
    }
    return atomic_load(&s->n_total);
}

/* A reader's error counts lines from its morsel's start. The number of lines before it is known
 * now. */
static void scan_locate(smi_source *source, uint64_t ordinal, sm_error *e)
{
    smi_scan *s = (smi_scan *)source;
    sm_mutex_lock(&s->lock);
    for (int64_t n = s->accounted; n < s->admitted; n++) {
        const smi_morsel *m = morsel_at(s, n);
        if (m->task.ordinal == ordinal && m->failed_in_reader) {
            char uri[1100];
            snprintf(uri, sizeof(uri), "%.*s", SM_STR_ARG(s->dataset->files[m->file].uri));
            if (e->line > 0) {
                e->line += s->files[m->file].counts.lines;
            }
            sm_error_place(e, uri, e->line, e->byte);
            (void)told_within(&s->dataset->files[m->file], e->status, e);
        }
    }
    sm_mutex_unlock(&s->lock);
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static void prune_files(smi_scan *s)
{
    const sm_dataset *ds = s->dataset;
    const sm_bounds *bounds = &s->node->as.scan.want.bounds;
    const int32_t n_stored = ds->schema->n_fields - ds->n_constants;
    for (int64_t i = 0; i < ds->n_files; i++) {
        const sm_datafile *f = &ds->files[i];
        bool is_excluded = false;
        for (int32_t k = 0; k < bounds->n && !is_excluded; k++) {
            const sm_bound *b = &bounds->items[k];
            if (b->n_path != 1) {
                continue;
            }
            if (b->path[0] >= n_stored) {
                const sm_range r = sm_range_of_value(f->constants[b->path[0] - n_stored]);
                is_excluded = sm_bound_excludes(b, &r);
            } else if (f->ranges) {
                is_excluded = sm_bound_excludes(b, &f->ranges[b->path[0]]);
            }
        }
        if (is_excluded) {
            s->files[i].state = FILE_PRUNED;
        } else if (s->exec->env->progress) {
            atomic_fetch_add(&s->exec->env->progress->total_bytes, (int64_t)f->size_bytes);
        }
    }
}

/* Finds for each stored output column its place among the columns that are read. */
static void map_columns(smi_scan *s)
{
    const sm_projection *want = &s->node->as.scan.want;
    s->place = SM_NEW_ARRAY(s->exec->arena, int32_t, s->node->schema->n_fields + 1);
    for (int32_t i = 0; i < s->node->schema->n_fields; i++) {
        s->place[i] = -1;
        for (int32_t k = 0; k < want->n_columns; k++) {
            if (want->columns[k] == s->node->as.scan.columns[i]) {
                s->place[i] = k;
            }
        }
        /* A stored column that is not read would have the place before the first. */
        SM_ASSERT(s->place[i] >= 0 || s->node->as.scan.columns[i] >=
                                          s->dataset->schema->n_fields - s->dataset->n_constants);
    }
}

/* Bounds the bytes in flight by a share of the memory, or operators would have to spill for them.
 * */
static void bound_by_memory(smi_scan *s)
{
    const size_t share = smi_memory_share(s->exec);
    if (share < (size_t)s->inflight_wanted) {
        s->inflight_wanted = share > 0 ? (int64_t)share : 1;
    }
    const int64_t request = smi_memory_request(s->inflight_wanted);
    s->request_bytes = s->request_bytes > request ? request : s->request_bytes;
}

/* The dataset of a scan with its files, which a lister finds now that the bounds are known. */
static sm_status listed_dataset(smi_execution *exec, const sm_plan_node *node,
                                const sm_dataset **out, sm_error *e)
{
    const sm_dataset *from = node->as.scan.dataset;

    *out = from;
    if (!from->lister) {
        return SM_OK;
    }
    sm_dataset *ds = SM_NEW(exec->arena, sm_dataset);
    *ds = *from;
    SM_TRY(from->lister->list(from->lister, &node->as.scan.want.bounds, exec->arena, &ds->files,
                              &ds->n_files, e));
    ds->lister = NULL;
    *out = ds;
    return SM_OK;
}

sm_status smi_scan_new(smi_execution *exec, const sm_plan_node *node, smi_source **out, sm_error *e)
{
    const sm_dataset *ds = NULL;
    SM_TRY(listed_dataset(exec, node, &ds, e));
    smi_scan *s = sm_alloc_zero(sizeof(*s));
    s->source = (smi_source){.step = scan_step, .n_tasks = scan_count, .locate = scan_locate};
    s->exec = exec;
    s->node = node;
    s->dataset = ds;
    s->budget = exec->env->budget;
    s->n_total = -1;
    s->files = sm_alloc_zero((size_t)(ds->n_files + 1) * sizeof(*s->files));
    s->ring = sm_alloc_zero(SMI_AHEAD_MAX * sizeof(*s->ring));
    sm_mutex_init(&s->lock);
    s->inflight_wanted = 1;
    for (int64_t i = 0; i < ds->n_files; i++) { /* as much as the most distant store wants */
        const int64_t wanted = (int64_t)sm_store_inflight_bytes(ds->files[i].store);
        s->inflight_wanted = wanted > s->inflight_wanted ? wanted : s->inflight_wanted;
        const int64_t request = (int64_t)sm_store_request_bytes(ds->files[i].store);
        s->request_bytes = request > s->request_bytes ? request : s->request_bytes;
        s->is_far = s->is_far || sm_store_is_far(ds->files[i].store);
    }
    bound_by_memory(s);
    const size_t morsel = ds->morsel_bytes ? ds->morsel_bytes : ds->format->morsel_bytes;
    const int64_t in_flight = s->inflight_wanted / (int64_t)(morsel ? morsel : 1);
    s->request_morsels = s->request_bytes / (int64_t)(morsel ? morsel : 1);
    s->ahead_max = 4 * exec->n_drivers + in_flight + 2;
    s->ahead_max = s->ahead_max > SMI_AHEAD_MAX ? SMI_AHEAD_MAX : s->ahead_max;
    smi_tally_begin(s);
    map_columns(s);
    prune_files(s);
    const sm_status st = sm_fetch_new(exec->env->stores, s->budget, &s->fetch, e);
    if (st != SM_OK) {
        smi_scan_free(&s->source);
        return st;
    }
    *out = &s->source;
    return SM_OK;
}

void smi_scan_free(smi_source *source)
{
    smi_scan *s = (smi_scan *)source;
    if (!s) {
        return;
    }
    sm_fetch_free(s->fetch);
    for (int64_t i = 0; i < SMI_AHEAD_MAX; i++) {
        smi_morsel *m = &s->ring[i];
        for (int32_t k = 0; k < m->n_ranges; k++) {
            sm_block_release(m->blocks[k]);
        }
        smi_batches_release(&m->refused);
        s->dataset->format->reader_free(m->reader);
        sm_arena_free(m->arena);
    }
    for (int64_t i = 0; i < s->n_readers; i++) {
        s->dataset->format->reader_free(s->readers[i]);
    }
    for (int64_t i = 0; i < s->dataset->n_files; i++) {
        smi_scan_close_file(s, &s->files[i]);
        sm_free(s->files[i].failure);
    }
    smi_tally_end(s);
    smi_profile(s->exec, 0, s->node)->peak_bytes = s->peak;
    sm_mutex_release(&s->lock);
    sm_free(s->readers);
    sm_free(s->ring);
    sm_free(s->files);
    sm_free(s);
}
