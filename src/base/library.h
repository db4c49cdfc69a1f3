/* SPDX-License-Identifier: Apache-2.0
 *
 * base/library.h: shared libraries that are opened when they are first needed. A library that only
 * some commands use (libcurl, libcrypto) then costs the other commands no memory and no time. */
#ifndef SM_BASE_LIBRARY_H
#define SM_BASE_LIBRARY_H

#include "base/status.h"

/* A function to look up: its address is written to the function pointer at `to`. */
typedef struct sm_symbol {
    const char *name;
    void *to;
} sm_symbol;

typedef struct sm_library {
    const char *const *files; /* names to try in turn, ended by NULL: "libcurl.so.4" */
    const char *package;      /* the package to install, named in the error's advice */
    const sm_symbol *symbols;
    int n_symbols;
} sm_library;

/**
 * Opens a library and fills in all of its function pointers. It stays open until the process ends.
 *
 * Errors    SM_UNSUPPORTED if no file can be opened or a function is missing; no pointer was set
 * Threads   one at a time for a library; the caller must hold a lock
 */
sm_status sm_library_open(const sm_library *l, sm_error *e) SM_MUST_USE;

#endif
