/* contract/contract_testkit.h: what the contract room's tests share: a contract around what a test
 * is about. */
#ifndef SM_CONTRACT_TESTKIT_H
#define SM_CONTRACT_TESTKIT_H

#include "contract/contract_int.h"

#define KIT_HEAD "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\n"
#define KIT_OLD  "apiVersion: v3.0.2\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: draft\n"

static inline sm_status kit_read(const char *yaml, sm_arena *a, sm_contract **out, sm_error *e)
{
    return sm_contract_read(SM_STR("c.yaml"), sm_str_of(yaml), a, out, e);
}

/** A contract of table t with column c of that logicalType; `yaml` stands at c. */
static inline const char *kit_column(const char *logical, const char *yaml, sm_arena *a)
{
    return sm_arena_printf(a,
                           KIT_HEAD "schema:\n"
                                    "  - name: t\n"
                                    "    properties:\n"
                                    "      - name: c\n"
                                    "        logicalType: %s\n"
                                    "        %s\n",
                           logical, yaml);
}

/** A contract of table t; `yaml` has its properties and what else it has, in one line. */
static inline const char *kit_table(const char *yaml, sm_arena *a)
{
    return sm_arena_printf(a, KIT_HEAD "schema:\n  - {name: t, %s}\n", yaml);
}

/** The next random number below n, of a state that a seed begins. */
static inline uint64_t random_below(uint64_t *x, uint64_t n)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return (*x >> 33) % n;
}

#endif
