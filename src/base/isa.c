/* SPDX-License-Identifier: Apache-2.0
 *
 * base/isa.c: finds the instruction sets of this machine and applies SMELT_ISA. Called when readers
 * and operators are made, and by `smelt doctor`. */
#include "base/isa.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"

static const char *const names[] = {
    [SM_ISA_REF] = "ref",
    [SM_ISA_AVX2] = "avx2",
    [SM_ISA_AVX512] = "avx512",
};
_Static_assert(SM_COUNT(names) == SM_ISA_AVX512 + 1, "each level has a name");

const char *sm_isa_name(sm_isa_level level)
{
    SM_ASSERT((int)level >= SM_ISA_REF && level <= SM_ISA_AVX512);
    return names[level];
}

bool sm_isa_parse(const char *name, sm_isa_level *out)
{
    for (int i = SM_ISA_REF; i <= SM_ISA_AVX512; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (sm_isa_level)i;
            return true;
        }
    }
    return false;
}

/* The compiler's answers include whether the operating system saves the wide registers. LZCNT is
 * not asked for: every processor with AVX2 has it. */
static sm_isa_level machine_level(void)
{
#if SM_HAS_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    const bool has_avx512 =
        has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
    return has_avx512 ? SM_ISA_AVX512 : has_avx2 ? SM_ISA_AVX2 : SM_ISA_REF;
#else
    return SM_ISA_REF;
#endif
}

sm_isa_level sm_isa(void)
{
    const sm_isa_level machine = machine_level();
    const char *word = sm_env("SMELT_ISA");
    sm_isa_level wanted = SM_ISA_AVX512;
    return word && sm_isa_parse(word, &wanted) && wanted < machine ? wanted : machine;
}
