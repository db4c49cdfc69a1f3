/* SPDX-License-Identifier: Apache-2.0
 *
 * base/isa.h: which instruction sets kernels may use on this machine.
 *
 * A kernel has a reference version in C, which defines its meaning, and versions for instruction
 * sets in the same file, marked with SM_TARGET. A reader or operator calls sm_isa() once when it is
 * made and keeps a pointer to the best version, so that no call tests for the machine and no build
 * flag decides. SMELT_ISA=ref|avx2|avx512 lowers the choice; `smelt doctor` prints it. */
#ifndef SM_BASE_ISA_H
#define SM_BASE_ISA_H

#include <stdbool.h>

/* In rising order: a machine that has one level has all levels below it. */
typedef enum sm_isa_level {
    SM_ISA_REF,    /* C alone (and what the compiler's base target has) */
    SM_ISA_AVX2,   /* AVX2, BMI1, BMI2, LZCNT, POPCNT */
    SM_ISA_AVX512, /* F, BW, DQ, VL, VBMI, VBMI2 */
} sm_isa_level;

#if defined(__x86_64__)
#define SM_HAS_X86      1
#define SM_TARGET(sets) __attribute__((target(sets)))
#else
#define SM_HAS_X86 0
#endif
/* The sets of a level, for SM_TARGET. */
#define SM_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define SM_AVX512                                                                                  \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,lzcnt,popcnt"

/**
 * The highest level that the machine has and SMELT_ISA allows.
 *
 * Shape     a value of SMELT_ISA that names no level counts as not set
 * Threads   any thread
 * Cost      reads the environment: call it once for a reader, not for each call of a kernel
 */
sm_isa_level sm_isa(void);
/** "ref", "avx2", "avx512". */
const char *sm_isa_name(sm_isa_level level);
/** Finds the level of that name; false if there is none. */
bool sm_isa_parse(const char *name, sm_isa_level *out);

#endif
