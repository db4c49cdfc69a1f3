/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/serve.h: the serve room's door. Lets other servers read tables that smelt has written:
 * ClickHouse, by its DeltaLake engine over the files in S3. Needs: base to table. Called by flow (a
 * pipeline's publish: task) and cli (`smelt publish`).
 *
 * Never changes a Delta table; shows a secret. */
#ifndef SM_SERVE_SERVE_H
#define SM_SERVE_SERVE_H

#include "table/table.h"

typedef struct sm_clickhouse_publish {
    sm_str table_uri;      /* of the Delta table: s3://… */
    sm_str to;             /* http(s)://HOST:PORT/DATABASE */
    sm_str table;          /* the table's name in ClickHouse */
    sm_str user, password; /* "": the server's default user, no password */
} sm_clickhouse_publish;

typedef struct sm_clickhouse_published {
    int64_t version, rows; /* of the Delta table, as they were compared */
    char server[64];       /* ClickHouse's version */
} sm_clickhouse_published;

/**
 * Makes a table in ClickHouse that reads a Delta table in S3, or replaces one that does.
 *
 * First a table of another name is made and compared with what smelt reads: the names of the
 * columns, the number of rows, and for each column the number of values that are not NULL, the sum
 * of integers and days, and the bytes of texts. Where a server reads anything else, nothing is
 * published, and the error gives the server's version.
 *
 * Owner     borrows all; *out is whole where SM_OK comes back
 * Errors    SM_USAGE: `to` is no address; SM_UNSUPPORTED: a table that is not in S3, keys that
 *           expire, a server without the engine; SM_EXISTS: a table of that name that reads
 *           something else; SM_DENIED, SM_NAME, SM_IO, SM_TIMEOUT: user, database, connection;
 *           SM_CONFLICT: the table changed during each comparison; SM_SCHEMA, SM_CORRUPT: the
 *           server misreads it
 * Threads   one at a time for a table; blocks until the server has answered
 * Cost      both sides read the whole table
 * Secrets   of the store go to the server in the body of a statement; ClickHouse shows them to
 *           nobody, and no message here contains them
 */
sm_status sm_clickhouse_publish_table(const sm_clickhouse_publish *p, const sm_exec_env *env,
                                      sm_clickhouse_published *out, sm_error *e) SM_MUST_USE;

#endif
