/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/conformance.h: where the programs here find the conformance data:
 * SMELT_CONFORMANCE, else ../shared/conformance beside the source tree. */
#ifndef SM_TESTS_CONFORMANCE_H
#define SM_TESTS_CONFORMANCE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** The path of a folder of the data ("parquet"), or ends the program as skipped (exit code 77)
 * where there is none. Lives as long as the program. */
static inline const char *conformance_folder(const char *name)
{
    static char path[4096];
    const char *data = getenv("SMELT_CONFORMANCE");
    const char *root = getenv("SMELT_SOURCE_ROOT");
    if (data && data[0] != '\0') {
        snprintf(path, sizeof(path), "%s/%s", data, name);
    } else {
        snprintf(path, sizeof(path), "%s/../shared/conformance/%s", root ? root : ".", name);
    }
    if (access(path, R_OK) != 0) {
        printf("SMELT_CONFORMANCE: no data at %s\n", path);
        exit(77);
    }
    return path;
}

#endif
