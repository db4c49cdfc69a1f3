/* SPDX-License-Identifier: Apache-2.0
 *
 * base/library.h: shared libraries that are opened when they are first needed. What only some
 * commands use (a network, cryptography) costs the others neither time at the start nor memory. */
#ifndef SM_BASE_LIBRARY_H
#define SM_BASE_LIBRARY_H

#include "base/status.h"

/* A function to be found: its address is written to the pointer at `to`. */
typedef struct sm_symbol {
    const char *name;
    void *to;
} sm_symbol;

typedef struct sm_library {
    const char *const *files; /* names to try in turn, ended by NULL: "libcurl.so.4" */
    const char *package;      /* what to install, for the advice */
    const sm_symbol *symbols;
    int n_symbols;
} sm_library;

/**
 * Opens a library and fills in all of its functions. It stays open for the process's life.
 *
 * Errors    SM_UNSUPPORTED where none of the files can be opened, or one lacks a function: nothing
 *           was filled in
 * Threads   one at a time for a library: the caller has a lock or a once
 */
sm_status sm_library_open(const sm_library *l, sm_error *e) SM_MUST_USE;

#endif
