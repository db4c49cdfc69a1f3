/* SPDX-License-Identifier: Apache-2.0
 *
 * store/fault.c: a store around another that fails, tears, kills and is slow by a plan.
 *
 * Counted  Each call that reaches the store counts: list, stat, get, put, delete, opening a blob,
 *          reading a range (sm_blob_read, or a read of a fetch when it is carried out), a piece of
 *          an upload, its end. Opening an upload and refused keys reach no store. With writes_only
 *          only put, delete, a piece and the end count. Two I/O threads carry out the reads of a
 *          fetch, so which of them gets a number is not fixed; pieces of an upload are in order.
 * Faults   happen to the plan's call, and to no other:
 *            ERROR, DISK_FULL   fails and does nothing
 *            LOST               is carried out, then fails with SM_IO
 *            TORN               half of the bytes are moved, then SM_IO; a torn object is never
 *                               visible. For calls without bytes (list, stat, delete, open): ERROR.
 *            KILL, KILL_AFTER   SIGKILL before or after it is carried out
 *            STOP               SIGSTOP before it is carried out: the process is slow
 *            LATE               is carried out delay_ms later, so that others overtake it
 * Wire     delay_ms (but of LATE) is the time there and back; bytes_per_s is the rate of one line
 *          that all requests of a plan share. The bytes of a read follow the delay, those of a
 *          write go first; the line carries them in the order of the calls. The time of the
 *          response is computed, and the caller waits for it (smi_due_ns); so requests overlap as
 *          they do over a network.
 * Plans    A store of sm_store_fault() has a count and a line of its own. All stores of one root
 *          (stores.c) that SMELT_FAULT wraps share them: in a program with one root, call 7 is the
 *          program's 7th. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "base/time.h"
#include "store/store_int.h"

typedef struct smi_fault_state {
    _Atomic int32_t refs;
    sm_fault_plan plan;
    _Atomic int64_t calls;
    atomic_bool has_fired;

    sm_mutex line;           /* guards the next */
    int64_t line_free_at_ns; /* the wire is busy until then */
} fault_state;

typedef struct fault_store {
    sm_store store;
    sm_store *inner;
    fault_state *state;
} fault_store;

typedef struct fault_blob {
    sm_blob blob;
    sm_blob *inner;
} fault_blob;

typedef struct fault_writer {
    smi_writer writer;
    smi_writer *inner;
} fault_writer;

/* What is to happen to one call. */
typedef enum fault_hit {
    CARRY_OUT,
    FAIL,
    FAIL_FULL,
    LOSE,
    TEAR,
    DIE,
    DIE_AFTER,
    STOP,
    DELAY
} fault_hit;

static const fault_hit hit_of_kind[] = {
    [SM_FAULT_ERROR] = FAIL,          [SM_FAULT_LOST] = LOSE,  [SM_FAULT_TORN] = TEAR,
    [SM_FAULT_DISK_FULL] = FAIL_FULL, [SM_FAULT_KILL] = DIE,   [SM_FAULT_KILL_AFTER] = DIE_AFTER,
    [SM_FAULT_STOP] = STOP,           [SM_FAULT_LATE] = DELAY,
};
_Static_assert(SM_COUNT(hit_of_kind) == SM_FAULT_LATE + 1, "each kind of fault has its hit");

/* ---- one call -------------------------------------------------------------------------------- */

static _Noreturn void kill_process(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static sm_store *inner_of(const sm_store *s)
{
    return ((const fault_store *)s)->inner;
}

static int64_t planned_call(const sm_store *s)
{
    return ((const fault_store *)s)->state->plan.at_call;
}

/* Counts a call and returns what is to happen to it. Does not return if the plan kills before it.
 * */
static fault_hit count_call(sm_store *s, bool is_write)
{
    fault_state *f = ((fault_store *)s)->state;
    if (f->plan.writes_only && !is_write) {
        return CARRY_OUT;
    }
    const int64_t call = atomic_fetch_add(&f->calls, 1) + 1;
    if (call != f->plan.at_call) {
        return CARRY_OUT;
    }
    atomic_store(&f->has_fired, true);
    SM_ASSERT((int)f->plan.kind >= 0 && (int)f->plan.kind < SM_COUNT(hit_of_kind));
    const fault_hit hit = hit_of_kind[f->plan.kind];
    if (hit == DIE) {
        kill_process();
    }
    if (hit == STOP) {
        kill(getpid(), SIGSTOP);
        return CARRY_OUT;
    }
    if (hit == DELAY) {
        sm_sleep_ms(f->plan.delay_ms);
        return CARRY_OUT;
    }
    return hit;
}

/* Called before a call: fails it if it is not to be carried out. */
static sm_status fail_before(const sm_store *s, fault_hit hit, sm_error *e)
{
    if (hit == FAIL || hit == TEAR) {
        return sm_fail(e, SM_IO, "planned fault: call %" PRId64 " failed", planned_call(s));
    }
    if (hit == FAIL_FULL) {
        return sm_fail(e, SM_DISK_FULL, "planned fault: no space left at call %" PRId64,
                       planned_call(s));
    }
    return SM_OK;
}

/* Called after a call was carried out: fails it, or kills the process. */
static sm_status fail_after(const sm_store *s, fault_hit hit, sm_status st, sm_error *e)
{
    if (hit == DIE_AFTER) {
        kill_process();
    }
    if (hit == LOSE && st == SM_OK) {
        return sm_fail(e, SM_IO, "planned fault: the answer of call %" PRId64 " was lost",
                       planned_call(s));
    }
    return st;
}

static sm_status fail_torn(const sm_store *s, size_t done, size_t len, sm_error *e)
{
    return sm_fail(e, SM_IO, "planned fault: call %" PRId64 " was torn after %zu of %zu bytes",
                   planned_call(s), done, len);
}

/* ---- objects --------------------------------------------------------------------------------- */

static sm_status fault_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out,
                            int64_t *n, sm_error *e)
{
    const fault_hit hit = count_call(s, false);
    SM_TRY(fail_before(s, hit, e));
    sm_entry *items = NULL;
    int64_t n_items = 0;
    SM_TRY(fail_after(s, hit, smi_list(inner_of(s), what, a, &items, &n_items, e), e));
    *out = items;
    *n = n_items;
    return SM_OK;
}

static sm_status fault_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    const fault_hit hit = count_call(s, false);
    SM_TRY(fail_before(s, hit, e));
    sm_entry entry = {0};
    SM_TRY(fail_after(s, hit, smi_stat(inner_of(s), key, a, &entry, e), e));
    *out = entry;
    return SM_OK;
}

static sm_status fault_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e)
{
    const fault_hit hit = count_call(s, false);
    const size_t start = out->len;
    SM_TRY(fail_before(s, hit == TEAR ? CARRY_OUT : hit, e));
    sm_status st = smi_get(inner_of(s), key, out, e);
    if (hit == TEAR && st == SM_OK) {
        st = fail_torn(s, (out->len - start) / 2, out->len - start, e);
    }
    st = fail_after(s, hit, st, e);
    if (st != SM_OK) {
        out->len = start;
    }
    return st;
}

/* Writes half of the object and gives it no name, like a process that is killed. */
static sm_status put_torn(sm_store *s, sm_str key, const void *bytes, size_t n, sm_error *e)
{
    smi_writer *w = NULL;
    sm_block *half = NULL;
    sm_budget *budget = sm_budget_new(NULL, "half an object", 0);
    sm_status st = sm_block_new(budget, n / 2, &half, e);
    st = st == SM_OK ? smi_writer_open(inner_of(s), key, &w, e) : st;
    if (st == SM_OK) {
        memcpy(half->data, bytes, n / 2);
        st = smi_writer_write(w, half, n / 2, (sm_waker){0}, e);
    }
    smi_writer_free(w);
    sm_block_release(half);
    sm_budget_free(budget);
    return st == SM_OK ? fail_torn(s, n / 2, n, e) : st;
}

static sm_status fault_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                           sm_error *e)
{
    const fault_hit hit = count_call(s, true);
    if (hit == TEAR) {
        return put_torn(s, key, bytes, n, e);
    }
    SM_TRY(fail_before(s, hit, e));
    return fail_after(s, hit, smi_put(inner_of(s), key, bytes, n, mode, e), e);
}

static sm_status fault_check_put(sm_store *s, sm_error *e)
{
    return sm_store_check_put(inner_of(s), e);
}

static sm_status fault_remove(sm_store *s, sm_str key, sm_error *e)
{
    const fault_hit hit = count_call(s, true);
    SM_TRY(fail_before(s, hit, e));
    return fail_after(s, hit, smi_remove(inner_of(s), key, e), e);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static sm_status fault_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    const fault_hit hit = count_call(s, false);
    SM_TRY(fail_before(s, hit, e));
    sm_blob *inner = NULL;
    sm_status st = smi_blob_open(inner_of(s), key, &inner, e);
    st = fail_after(s, hit, st, e);
    if (st != SM_OK) {
        sm_blob_close(inner);
        return st;
    }
    fault_blob *b = sm_alloc_zero(sizeof(*b));
    b->inner = inner;
    b->blob.size_bytes = inner->size_bytes;
    b->blob.modified_us = inner->modified_us;
    b->blob.has_checksum = inner->has_checksum;
    b->blob.checksum = inner->checksum;
    *out = &b->blob;
    return SM_OK;
}

static sm_status fault_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    sm_store *s = b->store;
    const fault_hit hit = count_call(s, false);
    SM_TRY(fail_before(s, hit == TEAR ? CARRY_OUT : hit, e));
    sm_blob *inner = ((fault_blob *)b)->inner;
    if (hit == TEAR) {
        SM_TRY(smi_blob_read(inner, off_bytes, len / 2, out, e));
        return fail_torn(s, len / 2, len, e);
    }
    return fail_after(s, hit, smi_blob_read(inner, off_bytes, len, out, e), e);
}

static void fault_blob_free(sm_blob *b)
{
    sm_blob_close(((fault_blob *)b)->inner);
    sm_free(b);
}

/* ---- writing in pieces ----------------------------------------------------------------------- */

static sm_status fault_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    smi_writer *inner = NULL;
    SM_TRY(smi_writer_open(inner_of(s), key, &inner, e));
    fault_writer *w = sm_alloc_zero(sizeof(*w));
    w->inner = inner;
    *out = &w->writer;
    return SM_OK;
}

static sm_status fault_writer_write(smi_writer *writer, sm_block *block, size_t n, sm_waker waker,
                                    sm_error *e)
{
    const fault_writer *w = (const fault_writer *)writer;
    const fault_hit hit = count_call(writer->store, true);
    if (hit == TEAR) {
        SM_TRY(smi_writer_write(w->inner, block, n / 2, waker, e));
        return fail_torn(writer->store, n / 2, n, e);
    }
    SM_TRY(fail_before(writer->store, hit, e));
    return fail_after(writer->store, hit, smi_writer_write(w->inner, block, n, waker, e), e);
}

static sm_status fault_writer_finish(smi_writer *writer, sm_waker waker, sm_error *e)
{
    const fault_writer *w = (const fault_writer *)writer;
    const fault_hit hit = count_call(writer->store, true);
    SM_TRY(fail_before(writer->store, hit, e));
    return fail_after(writer->store, hit, smi_writer_finish(w->inner, waker, e), e);
}

static void fault_writer_free(smi_writer *writer)
{
    fault_writer *w = (fault_writer *)writer;
    smi_writer_free(w->inner);
    sm_free(w);
}

/* ---- the wire -------------------------------------------------------------------------------- */

/* How long so many bytes take. */
static int64_t line_ns(int64_t bytes_per_s, size_t bytes)
{
    return bytes_per_s > 0 ? (int64_t)((double)bytes * 1e9 / (double)bytes_per_s) : 0;
}

static int64_t delay_of_each(const sm_fault_plan *plan)
{
    return plan->kind == SM_FAULT_LATE ? 0 : plan->delay_ms;
}

static int64_t fault_due_ns(sm_store *s, size_t read_bytes, size_t written_bytes)
{
    fault_state *f = ((fault_store *)s)->state;
    const int64_t inner_due_ns = smi_due_ns(inner_of(s), read_bytes, written_bytes);
    const int64_t delay_ms = delay_of_each(&f->plan);
    if (delay_ms <= 0 && f->plan.bytes_per_s <= 0) {
        return inner_due_ns;
    }
    const int64_t delay_ns = delay_ms * 1000000;
    const int64_t now_ns = sm_monotonic_ns();
    int64_t due_ns = now_ns + delay_ns;
    if (f->plan.bytes_per_s > 0 && read_bytes + written_bytes > 0) {
        const int64_t way_ns = read_bytes > 0 ? delay_ns : 0; /* before the first byte */
        sm_mutex_lock(&f->line);
        int64_t at_ns = now_ns + way_ns;
        if (at_ns < f->line_free_at_ns) {
            at_ns = f->line_free_at_ns;
        }
        at_ns += line_ns(f->plan.bytes_per_s, read_bytes + written_bytes);
        f->line_free_at_ns = at_ns;
        sm_mutex_unlock(&f->line);
        due_ns = at_ns + delay_ns - way_ns;
    }
    return due_ns > inner_due_ns ? due_ns : inner_due_ns;
}

/* Twice the bytes that fit the line between a request and its response, so that it is always busy.
 * A plan without a rate counts as a line of 1 Gbit/s. At most 64 MiB. */
static size_t fault_inflight_bytes(const sm_store *s)
{
    const sm_fault_plan *plan = &((const fault_store *)s)->state->plan;
    const size_t inner_bytes = sm_store_inflight_bytes(inner_of(s));
    const int64_t rate = plan->bytes_per_s > 0 ? plan->bytes_per_s : 125000000;
    const double held = 2.0 * (double)rate * (double)delay_of_each(plan) / 1000.0;
    const size_t most = (size_t)64 << 20;
    const size_t bytes = held > (double)most ? most : (size_t)held;
    return bytes > inner_bytes ? bytes : inner_bytes;
}

/* A delay makes it as far away as a network is. */
static bool fault_is_far(const sm_store *s)
{
    const fault_store *f = (const fault_store *)s;
    return delay_of_each(&f->state->plan) > 0 || sm_store_is_far(inner_of(s));
}

static sm_status fault_access(sm_store *s, sm_arena *a, sm_store_access *out, sm_error *e)
{
    return sm_store_access_of(inner_of(s), a, out, e);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void state_release(fault_state *f)
{
    const int32_t before =
        f ? atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) : INT32_MAX;
    SM_ASSERT(before > 0);
    if (before == 1) {
        sm_mutex_release(&f->line);
        sm_free(f);
    }
}

static fault_state *state_new(const sm_fault_plan *plan)
{
    fault_state *f = sm_alloc_zero(sizeof(*f));
    atomic_init(&f->refs, 1);
    f->plan = *plan;
    sm_mutex_init(&f->line);
    return f;
}

static void fault_close(sm_store *store)
{
    fault_store *s = (fault_store *)store;
    sm_store_release(s->inner);
    state_release(s->state);
    sm_free(s);
}

static const sm_store_ops fault_ops = {
    .close = fault_close,
    .is_far = fault_is_far,
    .inflight_bytes = fault_inflight_bytes,
    .access = fault_access,
    .list = fault_list,
    .stat = fault_stat,
    .get = fault_get,
    .put = fault_put,
    .check_put = fault_check_put,
    .remove = fault_remove,
    .blob_open = fault_blob_open,
    .blob_read = fault_blob_read,
    .blob_free = fault_blob_free,
    .writer_open = fault_writer_open,
    .writer_write = fault_writer_write,
    .writer_finish = fault_writer_finish,
    .writer_free = fault_writer_free,
    .due_ns = fault_due_ns,
};

/* Takes the state; retains the inner store. */
static sm_store *wrap_store(sm_store *inner, fault_state *state)
{
    fault_store *s = sm_alloc_zero(sizeof(*s));
    smi_store_init(&s->store, inner->stores, &fault_ops, sm_store_uri(inner));
    s->inner = sm_store_retain(inner);
    s->state = state;
    return &s->store;
}

sm_status sm_store_fault(sm_store *inner, const sm_fault_plan *plan, sm_store **out, sm_error *e)
{
    const bool is_kind = (int)plan->kind >= 0 && (int)plan->kind < SM_COUNT(hit_of_kind);
    if (!is_kind || plan->at_call < 0 || plan->delay_ms < 0 || plan->bytes_per_s < 0) {
        return sm_fail(e, SM_INVALID, "the plan of faults has a value out of range");
    }
    *out = wrap_store(inner, state_new(plan));
    return SM_OK;
}

int64_t sm_fault_calls(const sm_store *s)
{
    return s->ops == &fault_ops ? atomic_load(&((const fault_store *)s)->state->calls) : 0;
}

bool sm_fault_has_fired(const sm_store *s)
{
    return s->ops == &fault_ops && atomic_load(&((const fault_store *)s)->state->has_fired);
}

/* ---- SMELT_FAULT ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    sm_fault_kind kind;
} kind_names[] = {
    {"error", SM_FAULT_ERROR},         {"lost", SM_FAULT_LOST}, {"torn", SM_FAULT_TORN},
    {"disk_full", SM_FAULT_DISK_FULL}, {"kill", SM_FAULT_KILL}, {"kill_after", SM_FAULT_KILL_AFTER},
    {"stop", SM_FAULT_STOP},           {"late", SM_FAULT_LATE},
};
_Static_assert(SM_COUNT(kind_names) == SM_COUNT(hit_of_kind), "SMELT_FAULT can name each kind");

static bool parse_kind(sm_str text, sm_fault_kind *out)
{
    for (int i = 0; i < SM_COUNT(kind_names); i++) {
        if (sm_str_is(text, kind_names[i].name)) {
            *out = kind_names[i].kind;
            return true;
        }
    }
    return false;
}

static bool parse_setting(sm_str name, sm_str value, sm_fault_plan *plan)
{
    if (sm_str_is(name, "kind")) {
        return parse_kind(value, &plan->kind);
    }
    int64_t n = 0;
    if (!sm_parse_i64(value, &n) || n < 0) {
        return false;
    }
    if (sm_str_is(name, "at")) {
        plan->at_call = n;
    } else if (sm_str_is(name, "writes")) {
        plan->writes_only = n != 0;
    } else if (sm_str_is(name, "delay_ms")) {
        plan->delay_ms = n;
    } else if (sm_str_is(name, "bytes_per_s")) {
        plan->bytes_per_s = n;
    } else {
        return false;
    }
    return true;
}

static sm_status parse_plan(sm_str text, sm_fault_plan *plan, sm_error *e)
{
    *plan = (sm_fault_plan){0};
    while (text.len > 0) {
        const char *comma = memchr(text.data, ',', text.len);
        const sm_str item = {text.data, comma ? (size_t)(comma - text.data) : text.len};
        const char *equals = memchr(item.data, '=', item.len);
        const size_t name_len = equals ? (size_t)(equals - item.data) : item.len;
        const sm_str value = {item.data + name_len + 1, equals ? item.len - name_len - 1 : 0};
        if (!equals || !parse_setting((sm_str){item.data, name_len}, value, plan)) {
            const sm_status st = sm_fail(
                e, SM_USAGE, "SMELT_FAULT: \"%.*s\" is not one of its settings", SM_STR_ARG(item));
            sm_error_todo(e,
                          "Write at=N, kind=error|lost|torn|disk_full|kill|kill_after|stop|late, "
                          "writes=0|1, delay_ms=N, bytes_per_s=N with commas between them.");
            return st;
        }
        const size_t used = item.len + (comma ? 1 : 0);
        text = (sm_str){text.data + used, text.len - used};
    }
    return SM_OK;
}

static bool is_same_plan(const sm_fault_plan *a, const sm_fault_plan *b)
{
    return a->at_call == b->at_call && a->writes_only == b->writes_only && a->kind == b->kind &&
           a->delay_ms == b->delay_ms && a->bytes_per_s == b->bytes_per_s;
}

/* The state of this plan, retained: stores that are opened one after the other share its count. A
 * plan that has changed (in tests) starts a new count. */
static fault_state *env_state_of(smi_shared *shared, const sm_fault_plan *plan)
{
    sm_mutex_lock(&shared->lock);
    if (!shared->fault || !is_same_plan(&shared->fault->plan, plan)) {
        state_release(shared->fault);
        shared->fault = state_new(plan);
    }
    fault_state *f = shared->fault;
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    sm_mutex_unlock(&shared->lock);
    return f;
}

void smi_fault_release(smi_shared *shared)
{
    state_release(shared->fault);
}

sm_status smi_fault_from_env(sm_store **s, sm_error *e)
{
    const char *text = sm_env("SMELT_FAULT");
    if (!text) {
        return SM_OK;
    }
    sm_fault_plan plan;
    SM_TRY(parse_plan(sm_str_of(text), &plan, e));
    sm_store *inner = *s;
    *s = wrap_store(inner, env_state_of(inner->stores->shared, &plan));
    sm_store_release(inner);
    return SM_OK;
}
