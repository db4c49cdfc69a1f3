/* SPDX-License-Identifier: Apache-2.0
 *
 * base/banned.h: names that only base may use, turned into compile errors for every other room. The
 * build puts it before each source of those rooms (-include); no source includes it by hand.
 *
 * Method   Poisoned identifiers. The system's headers that declare or use the names are read first:
 *          their text is older than the poison and stays good. A name is then refused wherever it
 *          stands, as a pointer and as a member too. A library whose header calls one of them is
 *          added to the list of headers here.
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

/* immintrin.h defines _mm_malloc with two of the names. To read it here, as the others, took half
 * of the time of each compilation; so those few that need it get it without its mm_malloc.h (this
 * is the guard of gcc's, this of clang's). */
#define _MM_MALLOC_H_INCLUDED
#define __MM_MALLOC_H

/* libfyaml.h frees and takes stack in macros that are read after the poison: it leaves them out
 * where this one is there already. What is built on them then does not compile, as it should. */
#define FY_ALLOCA_COPY_FREE(text, len) smelt_takes_no_stack_for(text, len)

#pragma GCC poison malloc calloc realloc reallocarray free posix_memalign aligned_alloc
#pragma GCC poison strdup strndup asprintf vasprintf
#pragma GCC poison strcpy stpcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r gets
#pragma GCC poison atoi atol atoll atof strerror
#pragma GCC poison localtime localtime_r gmtime gmtime_r ctime asctime mktime
#pragma GCC poison gettimeofday clock_gettime nanosleep usleep
#pragma GCC poison pthread_create pthread_mutex_lock pthread_cond_wait

#endif
