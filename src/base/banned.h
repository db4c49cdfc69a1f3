/* SPDX-License-Identifier: Apache-2.0
 *
 * base/banned.h: turns names that only base may use into compile errors for every other room. The
 * build includes it before each source of those rooms (-include); no source includes it by hand.
 *
 * Method   Poisoned identifiers. The system headers that declare or use the names are included
 *          first, because text before the poison is not affected. After it the compiler rejects a
 *          name everywhere, as a pointer or a struct's member too. If a library's header uses one
 *          of the names, it has to be added to the headers here.
 * Instead  memory: sm_alloc, sm_arena, sm_block (memory.h, arena.h); copying and printing: sm_str
 *          (str.h), sm_buf (buf.h), snprintf; numbers: sm_parse_i64 (text.h); clocks and dates:
 *          time.h; threads: thread.h; texts of errno: sm_fail_errno (status.h). */
#ifndef SM_BASE_BANNED_H
#define SM_BASE_BANNED_H

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* immintrin.h defines _mm_malloc by two of the names. Including it here like the others took half
 * of the time of each compilation. So the few sources that need it get it without its mm_malloc.h:
 * the first of these is the include guard of gcc's, the second that of clang's. */
#define _MM_MALLOC_H_INCLUDED
#define __MM_MALLOC_H

#pragma GCC poison malloc calloc realloc reallocarray free posix_memalign aligned_alloc
#pragma GCC poison strdup strndup asprintf vasprintf
#pragma GCC poison strcpy stpcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r gets
#pragma GCC poison atoi atol atoll atof strerror
#pragma GCC poison localtime localtime_r gmtime gmtime_r ctime asctime mktime
#pragma GCC poison gettimeofday clock_gettime nanosleep usleep
#pragma GCC poison pthread_create pthread_mutex_lock pthread_cond_wait

#endif
