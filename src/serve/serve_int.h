/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/serve_int.h: one ClickHouse server, as clickhouse_http.c asks it. */
#ifndef SM_SERVE_SERVE_INT_H
#define SM_SERVE_SERVE_INT_H

#include "net/net.h"
#include "serve/serve.h"

typedef struct smi_clickhouse {
    sm_http *http; /* borrowed */
    sm_arena *arena;
    const char *base; /* "http://host:port" */
    sm_str database;
    sm_str user, password;
    sm_str hidden; /* what no message may have: the store's secret */
} smi_clickhouse;

/** Takes "http(s)://HOST:PORT[/DATABASE]" apart. Makes no request. Borrows all, the wire of the
 * stores too: there is nothing to close. */
sm_status smi_clickhouse_open(const sm_clickhouse_publish *p, sm_stores *stores, sm_arena *a,
                              smi_clickhouse *out, sm_error *e) SM_MUST_USE;
/** Carries out a statement, more than once where an answer is lost: it must bear that. *answer is
 * what it printed, in the arena (NULL: not wanted). `doing` is for messages. */
sm_status smi_clickhouse_ask(const smi_clickhouse *c, const char *doing, sm_str statement,
                             sm_str *answer, sm_error *e) SM_MUST_USE;

/** As ClickHouse quotes them: `name` and 'text'. */
sm_str smi_clickhouse_name(sm_str name, sm_arena *a);
sm_str smi_clickhouse_text(sm_str text, sm_arena *a);

#endif
