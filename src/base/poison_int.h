/* SPDX-License-Identifier: Apache-2.0
 *
 * base/poison_int.h: tells AddressSanitizer which bytes of allocated memory are unused, so that an
 * access to them is reported. For base alone. */
#ifndef SM_BASE_POISON_INT_H
#define SM_BASE_POISON_INT_H

#if defined(__SANITIZE_ADDRESS__)
#define SM_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SM_HAS_ASAN 1
#endif
#endif

#if SM_HAS_ASAN
#include <sanitizer/asan_interface.h>
#define SM_POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define SM_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define SM_HAS_ASAN       0
#define SM_POISON(p, n)   ((void)(p), (void)(n))
#define SM_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#endif
