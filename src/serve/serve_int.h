/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/serve_int.h: one ClickHouse server, to which clickhouse_http.c sends statements. */
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
    sm_str hidden; /* the store's secret, which no message may contain */
} smi_clickhouse;

/** Parses "http(s)://HOST:PORT[/DATABASE]". Makes no request. *out borrows all, also the stores'
 * HTTP wire; there is nothing to close. SM_USAGE where the address is none. */
sm_status smi_clickhouse_open(const sm_clickhouse_publish *p, sm_stores *stores, sm_arena *a,
                              smi_clickhouse *out, sm_error *e) SM_MUST_USE;
/**
 * Sends a statement and waits for the answer. Sends it again where an answer was lost, so carrying
 * it out twice must do no harm.
 *
 * Owner     *answer is what the server printed, in c->arena; NULL: not wanted
 * Errors    what the server says, under a status of ours; `doing` is the action for the message
 */
sm_status smi_clickhouse_ask(const smi_clickhouse *c, const char *doing, sm_str statement,
                             sm_str *answer, sm_error *e) SM_MUST_USE;

/** Quoted as ClickHouse does: `name` and 'text'. They live in `a`. */
sm_str smi_clickhouse_name(sm_str name, sm_arena *a);
sm_str smi_clickhouse_text(sm_str text, sm_arena *a);

#endif
