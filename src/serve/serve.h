/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/serve.h: the serve room's door. Tables for those who ask elsewhere: ClickHouse, by its
 * DeltaLake engine over what lies in S3. Needs: base to table. Called by flow and cli.
 *
 * Never changes a Delta table. */
#ifndef SM_SERVE_SERVE_H
#define SM_SERVE_SERVE_H

#include "table/table.h"

typedef struct sm_clickhouse_publish {
    sm_str table_uri;      /* s3://… */
    sm_str to;             /* http(s)://HOST:PORT/DATABASE */
    sm_str table;          /* its name there */
    sm_str user, password; /* "": the server's default user */
} sm_clickhouse_publish;

typedef struct sm_clickhouse_published {
    int64_t version, rows;
    char server[64]; /* ClickHouse's version */
} sm_clickhouse_published;

/**
 * Makes a table in ClickHouse that reads a Delta table in S3, or replaces one that does.
 *
 * Compared first, in a table of another name: columns by name, rows, and for each column its
 * values that are not NULL, the sums of integers and days, the bytes of texts. A server that reads
 * anything else than smelt does is named, and nothing is published.
 *
 * Secrets   of the store go to the server in the statement's body; ClickHouse shows them to nobody,
 *           and no message here has them
 * Errors    SM_UNSUPPORTED: a table that is not in S3, keys that expire, a server without the
 *           engine; SM_EXISTS: a table of that name that reads something else; SM_DENIED, SM_NAME,
 *           SM_IO: user, database, connection; SM_CONFLICT: the table changed all the time;
 *           SM_SCHEMA, SM_CORRUPT: the server misreads it
 */
sm_status sm_clickhouse_publish_table(const sm_clickhouse_publish *p, const sm_exec_env *env,
                                      sm_clickhouse_published *out, sm_error *e) SM_MUST_USE;

#endif
