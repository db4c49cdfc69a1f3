/* SPDX-License-Identifier: Apache-2.0
 *
 * base/library.c: opens shared libraries by dlopen. Callers list the functions that they need:
 * net.c of net, s3_crypto.c and s3_xml.c of store. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

static void *open_first(const sm_library *l)
{
    void *handle = NULL;
    for (int i = 0; l->files[i] && !handle; i++) {
        handle = dlopen(l->files[i], RTLD_NOW | RTLD_LOCAL);
    }
    return handle;
}

sm_status sm_library_open(const sm_library *l, sm_error *e)
{
    void *handle = open_first(l);
    if (!handle) {
        const char *why = dlerror();
        const sm_status st = sm_fail(e, SM_UNSUPPORTED, "the library \"%s\" cannot be opened: %s",
                                     l->files[0], why ? why : "the system gives no reason");
        sm_error_todo(e, "Install %s.", l->package);
        return st;
    }
    for (int pass = 0; pass < 2; pass++) { /* no pointer is set before all functions are found */
        for (int i = 0; i < l->n_symbols; i++) {
            void *address = dlsym(handle, l->symbols[i].name);
            if (!address) {
                dlclose(handle);
                const sm_status st =
                    sm_fail(e, SM_UNSUPPORTED, "the library \"%s\" has no function \"%s\"",
                            l->files[0], l->symbols[i].name);
                sm_error_todo(e, "Install a newer %s.", l->package);
                return st;
            }
            if (pass == 1) {
                memcpy(l->symbols[i].to, &address, sizeof(address));
            }
        }
    }
    return SM_OK;
}
