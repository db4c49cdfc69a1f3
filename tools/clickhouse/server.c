/* SPDX-License-Identifier: Apache-2.0
 *
 * tools/clickhouse/server.c: a ClickHouse server out of ClickHouse's own library, for tests and
 * `make up` on machines without Docker. Built by tools/setup; no part of smelt.
 *
 *   clickhouse-server LIBRARY DATA HTTP_PORT TCP_PORT [MORE ARGUMENTS]
 *
 * Library  @chdb/lib-linux-x64-gnu@26.7.3-stable.1
 *
 * The library exports the main function of clickhouse-local, whose session can be told to listen. It
 * then answers HTTP and its native protocol like any server, on loopback, with its tables in DATA,
 * until it gets SIGTERM. The session's own query never ends. */
#include <dlfcn.h>
#include <stdio.h>

typedef void *(*main_fn)(int argc, char **argv);

#define ARGUMENTS_MAX 64

int main(int argc, char **argv)
{
    static char query[] =
        "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
        "SELECT sleepEachRow(3) FROM system.numbers SETTINGS max_block_size = 1, "
        "function_sleep_max_microseconds_per_block = 0, max_execution_time = 0 FORMAT Null";
    if (argc < 5 || argc > ARGUMENTS_MAX - 16) {
        fprintf(stderr, "usage: %s LIBRARY DATA HTTP_PORT TCP_PORT [MORE]\n", argv[0]);
        return 2;
    }
    char *args[ARGUMENTS_MAX] = {"clickhouse-local", "--path",      argv[2], "--listen_host",
                                 "127.0.0.1",        "--http_port", argv[3], "--tcp_port",
                                 argv[4],            "--query",     query};
    int n = 11;
    for (int i = 5; i < argc; i++) {
        args[n++] = argv[i];
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    main_fn run = NULL;
    if (library) {
        *(void **)&run = dlsym(library, "query_stable_v2");
    }
    if (!run) {
        fprintf(stderr, "%s: %s\n", argv[1], dlerror());
        return 1;
    }
    return run(n, args) ? 0 : 1;
}
