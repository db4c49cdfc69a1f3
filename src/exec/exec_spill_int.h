/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_spill_int.h: where an operator puts what its budget has no room for.
 *
 * A *spill* is one file of one operator, without a name from its first moment on (it is gone
 * however the process ends). Pieces go in and come back whole; each is LZ4 compressed where that
 * pays and carries a checksum. The place of a dropped piece is used again. The bytes on disk are
 * bounded for the whole run: SM_LIMIT, naming the folder, before the disk is full.
 * Threads: every function may be called from any thread. Blocks its caller: a local disk. */
#ifndef SM_EXEC_SPILL_INT_H
#define SM_EXEC_SPILL_INT_H

#include "exec/exec_int.h"

typedef struct smi_spill smi_spill;

/* A piece in the file. */
typedef struct smi_extent {
    uint64_t off_bytes;
    uint64_t check;      /* XXH3 of the stored bytes */
    size_t stored_bytes; /* in the file; room is kept in whole 4 KiB pages */
    size_t plain_bytes;
} smi_extent;

/** Makes the file in env->spill_dir ("" : TMPDIR, or /tmp). `node`: whose spilled_bytes count. */
sm_status smi_spill_new(smi_run *run, const sm_plan_node *node, smi_spill **out,
                        sm_error *e) SM_MUST_USE;
void smi_spill_free(smi_spill *s); /* takes NULL */

/** Writes len > 0 bytes; compressing takes a small fixed scratch that was reserved by new. */
sm_status smi_spill_put(smi_spill *s, const void *bytes, size_t len, smi_extent *out,
                        sm_error *e) SM_MUST_USE;
/** Reads a piece back into plain_bytes bytes at `out`. SM_CORRUPT where the check fails. */
sm_status smi_spill_get(smi_spill *s, const smi_extent *x, void *out, sm_error *e) SM_MUST_USE;
/** Its place may be used again. */
void smi_spill_drop(smi_spill *s, const smi_extent *x);

/** The same for a batch, any layout and type; it comes back flat, compact and from `budget`, with
 * its ordinal and seq. */
sm_status smi_spill_put_batch(smi_spill *s, const sm_batch *rows, smi_extent *out,
                              sm_error *e) SM_MUST_USE;
sm_status smi_spill_get_batch(smi_spill *s, const smi_extent *x, const sm_type *schema,
                              sm_budget *budget, sm_batch **out, sm_error *e) SM_MUST_USE;

#endif
