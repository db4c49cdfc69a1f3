/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/generate.c: the sample generator: viewing logs of a telecom's set-top boxes, one NDJSON file
 * a day, and a manifest of what was written. Called by `smelt generate logs`.
 *
 * Method    A day is cut into chunks of CHUNK_LINES lines. A wave of chunks is made in parallel on
 *           the pool, then written in order. Each line takes its random numbers from a stream
 *           seeded by (seed, day, line) alone, so the bytes depend on nothing else.
 * Manifest  If lines are damaged or break rules, MANIFEST.ndjson beside the logs has one object
 *           for each line of the logs: file, line, damage ("" for none), verdict (kept, refused,
 *           blank); for refused lines reason and column; for kept ones the nine columns. Its name
 *           does not look like a log's.
 * Files     With damage, the first day begins with a byte-order mark, and the second ends without a
 *           line feed. From 100,000 lines on, line 1000 of the first day is longer than 16 MiB.
 * Rules     With violations, one line in SAME_ID_EVERY has the Id of the others of that kind. */
#include <stdio.h>

#include "base/hash.h"
#include "base/time.h"
#include "flow/flow.h"
#include "flow/generate_int.h"

#define CHUNK_LINES         8192
#define TOO_LONG_LINE       999 /* 0-based */
#define TOO_LONG_FROM_LINES 100000
#define SAME_ID_EVERY       2048 /* half as often as the contract of the shipped pipeline allows */

typedef struct chunk {
    const struct maker *maker;
    int32_t day;      /* 0-based */
    int64_t first, n; /* lines */
    sm_buf log, manifest;
} chunk;

typedef struct maker {
    const sm_generate_opts *opts;
    char file_name[32];
    char date[SM_TIME_TEXT_BYTES];
    chunk *chunks;
} maker;

/* ---- one line ------------------------------------------------------------------------------- */

static void put_manifest_value(const smi_gen_line *l, int column, sm_json_writer *w)
{
    const smi_gen_value *v = &l->want[column];

    sm_json_key(w, sm_str_of(smi_gen_column_names[column]));
    if (v->is_null) {
        sm_json_put_null(w);
    } else if (column == SMI_GEN_SCORE || column == SMI_GEN_DURATION) {
        sm_json_put_i64(w, v->number);
    } else {
        sm_json_put_text(w, v->text);
    }
}

static void put_manifest(const maker *m, const smi_gen_line *l, int64_t line, sm_buf *out)
{
    static const char *const verdicts[] = {"kept", "refused", "blank"};
    sm_json_writer w = {.out = out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "file", sm_str_of(m->file_name));
    sm_json_set_i64(&w, "line", line + 1);
    sm_json_set_text(&w, "damage", sm_str_of(l->damage));
    sm_json_set_text(&w, "verdict", sm_str_of(verdicts[l->verdict]));
    SM_ASSERT((l->verdict == SMI_GEN_REFUSED) == (l->reason != NULL));
    if (l->verdict == SMI_GEN_REFUSED) {
        sm_json_set_text(&w, "reason", sm_str_of(l->reason));
        if (l->column >= 0) {
            sm_json_set_text(&w, "column", sm_str_of(smi_gen_column_names[l->column]));
        }
    } else if (l->verdict == SMI_GEN_KEPT) {
        for (int column = 0; column < SMI_GEN_COLUMNS; column++) {
            put_manifest_value(l, column, &w);
        }
        sm_json_set_text(&w, "Date", sm_str_of(m->date));
    }
    sm_json_end_object(&w);
    sm_json_end_line(&w);
}

static bool has_manifest(const sm_generate_opts *o)
{
    return o->damage > 0 || o->violations > 0;
}

static bool is_last_line_open(const sm_generate_opts *o, int32_t day, int64_t line)
{
    return o->damage > 0 && day == 1 && line == o->rows - 1;
}

static void make_line(const maker *m, const chunk *c, int64_t line, smi_gen_line *l, sm_buf *log,
                      sm_buf *manifest)
{
    const sm_generate_opts *o = m->opts;
    const uint64_t stream[3] = {o->seed, (uint64_t)c->day, (uint64_t)line};
    smi_gen_random r = {.state = sm_hash64(stream, sizeof(stream))};

    smi_gen_draw(l, &r, o->contracts, o->is_mixed);
    if (o->damage > 0 && c->day == 0 && line == TOO_LONG_LINE &&
        o->rows * o->n_days >= TOO_LONG_FROM_LINES) {
        smi_gen_damage_too_long(l);
    } else if (o->damage > 0 && smi_gen_unit(&r) < o->damage) {
        smi_gen_damage(l, &r);
    } else if (o->violations > 0 && line % SAME_ID_EVERY == SAME_ID_EVERY - 1) {
        smi_gen_repeat_id(l);
    } else if (o->violations > 0 && smi_gen_unit(&r) < o->violations) {
        smi_gen_violate(l, &r);
    }
    const size_t start = log->len;
    smi_gen_spell(l, log);
    smi_gen_spoil(l, &r, log, start);
    if (l->has_cr) {
        sm_buf_text(log, SM_STR("\r"));
    }
    if (!is_last_line_open(o, c->day, line)) {
        sm_buf_text(log, SM_STR("\n"));
    }
    if (has_manifest(o)) {
        put_manifest(m, l, line, manifest);
    }
}

static sm_status make_chunk(void *ctx, int64_t i, sm_error *e)
{
    chunk *c = &((chunk *)ctx)[i];
    smi_gen_line l = {0};

    SM_ASSERT(c->n > 0 && c->n <= CHUNK_LINES && c->first + c->n <= c->maker->opts->rows);
    SM_TRY(sm_buf_reserve(&l.scratch, 65536, e)); /* so that the line's texts do not move */
    sm_buf_reset(&c->log);
    sm_buf_reset(&c->manifest);
    for (int64_t line = c->first; line < c->first + c->n; line++) {
        make_line(c->maker, c, line, &l, &c->log, &c->manifest);
    }
    sm_buf_release(&l.scratch);
    return SM_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Hands a buffer to an upload as a block; waits if too much is in flight. */
static sm_status put_bytes(sm_upload *up, const sm_buf *bytes, sm_budget *budget, sm_error *e)
{
    sm_block *block = NULL;

    if (bytes->len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_block_new(budget, bytes->len, &block, e));
    memcpy(block->data, bytes->data, bytes->len);
    const sm_status st = sm_upload_write_wait(up, block, bytes->len, e);
    sm_block_release(block);
    return st;
}

static sm_status write_wave(maker *m, int n_chunks, const sm_exec_env *env, sm_upload *log,
                            sm_upload *manifest, int64_t *bytes, sm_error *e)
{
    SM_TRY(sm_pool_for(env->pool, n_chunks, make_chunk, m->chunks, e));
    for (int i = 0; i < n_chunks; i++) {
        SM_TRY(put_bytes(log, &m->chunks[i].log, env->budget, e));
        *bytes += (int64_t)m->chunks[i].log.len;
        if (manifest) {
            SM_TRY(put_bytes(manifest, &m->chunks[i].manifest, env->budget, e));
        }
    }
    return SM_OK;
}

static sm_status write_day(maker *m, int32_t day, sm_store *store, const sm_exec_env *env,
                           sm_upload *manifest, int64_t *bytes, sm_error *e)
{
    const sm_generate_opts *o = m->opts;
    const int n_wave = 2 * sm_pool_threads(env->pool);
    sm_status st = SM_OK;
    sm_upload *up = NULL;

    const sm_civil date = sm_civil_from_days(o->month + day);
    snprintf(m->file_name, sizeof(m->file_name), "%04d%02d%02d.json", (int)date.year, date.month,
             date.day);
    sm_format_date(o->month + day, m->date);
    SM_TRY(sm_upload_open(store, sm_str_of(m->file_name), env->budget, 0, &up, e));
    if (o->damage > 0 && day == 0) {
        sm_buf mark = {.data = (uint8_t *)"\xef\xbb\xbf", .len = 3};
        SM_TRY_GOTO(st, done, put_bytes(up, &mark, env->budget, e));
        *bytes += 3;
    }
    for (int64_t line = 0; line < o->rows;) {
        int n = 0;
        for (; n < n_wave && line < o->rows; n++) {
            chunk *c = &m->chunks[n];
            c->day = day;
            c->first = line;
            c->n = o->rows - line < CHUNK_LINES ? o->rows - line : CHUNK_LINES;
            line += c->n;
        }
        if (sm_cancel_is_set(env->cancel)) {
            st = sm_fail(e, SM_INTERRUPTED, "interrupted");
            goto done;
        }
        SM_TRY_GOTO(st, done, write_wave(m, n, env, up, manifest, bytes, e));
    }
    st = sm_upload_finish_wait(up, e);
done:
    sm_upload_close(up);
    return sm_within(e, st, "file %s", m->file_name);
}

static sm_status check_generate_opts(const sm_generate_opts *o, sm_error *e)
{
    const sm_civil first = sm_civil_from_days(o->month);
    const int days = sm_days_in_month(first.year, first.month);

    if (o->n_days < 1 || o->n_days > days) {
        return sm_fail(e, SM_USAGE, "--days %d is not in 1 … %d, the days of that month",
                       (int)o->n_days, days);
    }
    if (o->rows < 0 || o->rows > 100000000) {
        return sm_fail(e, SM_USAGE, "--rows %lld is not in 0 … 100,000,000", (long long)o->rows);
    }
    if (o->contracts < 1 || o->contracts > 100000000) {
        return sm_fail(e, SM_USAGE, "--contracts %lld is not in 1 … 100,000,000",
                       (long long)o->contracts);
    }
    if (!(o->damage >= 0 && o->damage <= 1)) {
        return sm_fail(e, SM_USAGE, "--damage %g is not a share between 0 and 1", o->damage);
    }
    if (!(o->violations >= 0 && o->violations <= 1)) {
        return sm_fail(e, SM_USAGE, "--violations %g is not a share between 0 and 1",
                       o->violations);
    }
    return SM_OK;
}

sm_status sm_generate_logs(const sm_generate_opts *opts, const sm_exec_env *env, int64_t *lines,
                           int64_t *bytes, sm_error *e)
{
    const int n_wave = 2 * sm_pool_threads(env->pool);
    sm_status st = SM_OK;
    sm_store *store = NULL;
    sm_upload *manifest = NULL;
    maker m = {.opts = opts};

    SM_TRY(check_generate_opts(opts, e));
    *lines = *bytes = 0;
    m.chunks = sm_alloc_zero((size_t)n_wave * sizeof(chunk));
    for (int i = 0; i < n_wave; i++) {
        m.chunks[i].maker = &m;
    }
    SM_TRY_GOTO(st, done, sm_store_open(env->stores, opts->folder, &store, e));
    if (has_manifest(opts)) {
        SM_TRY_GOTO(st, done,
                    sm_upload_open(store, SM_STR("MANIFEST.ndjson"), env->budget, 0, &manifest, e));
    }
    for (int32_t day = 0; day < opts->n_days; day++) {
        SM_TRY_GOTO(st, done, write_day(&m, day, store, env, manifest, bytes, e));
        *lines += opts->rows;
    }
    if (manifest) {
        st = sm_upload_finish_wait(manifest, e);
    }
done:
    for (int i = 0; i < n_wave; i++) {
        sm_buf_release(&m.chunks[i].log);
        sm_buf_release(&m.chunks[i].manifest);
    }
    sm_free(m.chunks);
    sm_upload_close(manifest);
    sm_store_release(store);
    return st;
}
