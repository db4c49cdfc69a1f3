/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_output.c: the rows of a query into one file, or into bytes that the caller takes.
 *
 * Calls    open, then the sink's push and finish by exec, close. Each of the sink's calls may say
 *          SM_WAIT and is then made again: what is done stands in `state`.
 * States   OPEN -> UPLOADING (all is written, the file's end is under way) -> DONE. Only with the
 *          last step is there a file; closed before it, there is none.
 * See      table_out.c of table, which makes the data files of a table. */
#include "exec/exec.h"

#include "base/arena.h"

typedef enum output_state { OPEN, UPLOADING, DONE } output_state;

struct sm_output {
    sm_arena *arena; /* of the options */
    const struct sm_writer_ops *ops;
    sm_writer *writer;
    sm_store *store;   /* NULL: the bytes are the caller's */
    sm_upload *upload; /* the same */
    int64_t n_rows;
    output_state state;
};

static sm_status push_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    sm_output *o = ctx;

    SM_ASSERT(o->state == OPEN);
    SM_TRY(o->ops->write(o->writer, rows, waker, e));
    o->n_rows += rows->n_rows;
    return SM_OK;
}

static sm_status finish_rows(void *ctx, sm_waker waker, sm_error *e)
{
    sm_output *o = ctx;
    sm_written written = {0};

    SM_ASSERT(o->state != DONE);
    if (o->state == OPEN) {
        SM_TRY(o->ops->finish(o->writer, waker, &written, e));
        SM_ASSERT(written.n_rows == o->n_rows);
        SM_ASSERT(!o->upload || written.size_bytes == sm_upload_bytes(o->upload));
        o->state = UPLOADING;
    }
    if (o->upload) {
        SM_TRY(sm_upload_finish(o->upload, waker, e));
    }
    o->state = DONE;
    return SM_OK;
}

sm_sink sm_output_sink(sm_output *o)
{
    return (sm_sink){.ctx = o, .push = push_rows, .finish = finish_rows};
}

int64_t sm_output_rows(const sm_output *o)
{
    return o->n_rows;
}

/* ---- open and close -------------------------------------------------------------------------- */

static sm_status write_upload(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_upload_write(ctx, block, len, waker, e);
}

static sm_status open_file(sm_output *o, sm_str uri, const sm_exec_env *env, sm_error *e)
{
    sm_str folder, name;

    sm_uri_split(uri, &folder, &name);
    SM_TRY(sm_store_open(env->stores, folder, &o->store, e));
    return sm_upload_open(o->store, name, env->budget, 0, &o->upload, e);
}

sm_status sm_output_open(const sm_output_opts *opts, const sm_type *schema, const sm_exec_env *env,
                         sm_output **out, sm_error *e)
{
    const sm_format *f = opts->format;
    const void *options = opts->options;
    sm_output *o = sm_alloc_zero(sizeof(*o));
    sm_bytes_out to = opts->bytes;
    sm_status st = SM_OK;

    SM_ASSERT(f->writer);
    SM_ASSERT(!opts->bytes.write || opts->uri.len == 0); /* one of the two */
    o->ops = f->writer;
    o->arena = sm_arena_new(env->budget);
    if (!opts->bytes.write) {
        SM_TRY_GOTO(st, done, open_file(o, opts->uri, env, e));
        to = (sm_bytes_out){.write = write_upload, .ctx = o->upload};
    }
    if (!options && f->opts_bytes > 0) {
        void *defaults = sm_arena_alloc(o->arena, f->opts_bytes);
        SM_TRY_GOTO(st, done, sm_options_default(f->options, defaults, e));
        options = defaults;
    }
    st = f->writer->open(schema, options, to, env->pool, env->budget, &o->writer, e);
done:
    if (st != SM_OK) {
        sm_output_close(o);
        return st;
    }
    *out = o;
    return SM_OK;
}

void sm_output_close(sm_output *o)
{
    if (!o) {
        return;
    }
    if (o->writer) {
        o->ops->close(o->writer);
    }
    sm_upload_close(o->upload);
    sm_store_release(o->store);
    sm_arena_free(o->arena);
    sm_free(o);
}
