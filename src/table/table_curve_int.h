/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_curve_int.h: space-filling curves over a table's rows (table_curve.c), for
 * table_cluster.c.
 *
 * A *rank* says where a row stands among all rows by one column, as a share of 2^bits. A *key* puts
 * the ranks of several columns on one curve, so that rows with near keys are near in each column.
 *
 * Never      reads or writes a file; keeps state between two tables */
#ifndef SM_TABLE_CURVE_INT_H
#define SM_TABLE_CURVE_INT_H

#include "table/table.h"

#define SMI_CURVE_COLUMNS 8 /* the most that one curve goes through */

/* Where a key begins with the number of a bin, so many bits are left for the place on the curve. */
#define SMI_CURVE_BIN_SHIFT 54

/** The key of a point, by the definition of the curve.
 *
 * Shape     ranks[i] < 2^bits; n × bits at most 64 */
uint64_t smi_curve_key(sm_curve kind, const uint32_t *ranks, int32_t n, int bits);

/* ---- a sample of the rows -------------------------------------------------------------------- */

/* Some rows of a table, each as likely as any other. Which ones depends on the rows and their order
 * alone. One thread at a time. */
typedef struct smi_sample smi_sample;

/**
 * An empty sample of rows of n columns.
 *
 * Shape     types: none is nested
 * Owner     the caller's, smi_sample_free() it; keeps `budget` and the types
 */
smi_sample *smi_sample_new(const sm_type *const *types, int32_t n, sm_budget *budget);
void smi_sample_free(smi_sample *s); /* takes NULL */
/** Shows it a batch of exactly the n columns. It takes what it needs; the rows come in their
 * order. */
void smi_sample_add(smi_sample *s, const sm_batch *rows);
/** Before the first row: there will be so many, so that fewer are taken and left again. Where there
 * are far fewer, the sample is smaller. */
void smi_sample_expect(smi_sample *s, int64_t n_rows);
/** How many rows it was shown. */
int64_t smi_sample_rows(const smi_sample *s);

/* ---- a curve --------------------------------------------------------------------------------- */

/* The boundaries of the ranks, and what makes keys of them. It never changes once it is made. */
typedef struct smi_curve smi_curve;

/**
 * Makes the curve of a table from a sample of its rows, which may be empty.
 *
 * Shape     a key has at most key_bits bits: one for each column at least, 64 at most
 * Owner     lives in `a`; borrows nothing of the sample
 */
const smi_curve *smi_curve_new(sm_curve kind, smi_sample *s, int key_bits, sm_arena *a);
/** The rank of a value, or of NULL, which comes first. Equal values have equal ranks, and a greater
 * value never has a smaller one. */
uint32_t smi_curve_rank(const smi_curve *c, int32_t column, sm_value v);
/**
 * Keys that cut the rows of the sample, by which the curve was made, into n + 1 parts of about as
 * many rows; ascending, some of them equal where many rows have one key.
 *
 * Shape     out: n keys
 */
void smi_curve_quantiles(const smi_curve *c, const smi_sample *s, int32_t n, uint64_t *out);
/** How many bits a rank has. */
int smi_curve_bits(const smi_curve *c);
/**
 * The key of a row as an expression (UBIGINT, never NULL) over n columns of the schema. SQL has no
 * name for it.
 *
 * Shape     bin: a column (BIGINT) of numbers below 2^10 that keys begin with; then the curve's
 *           keys have at most SMI_CURVE_BIN_SHIFT bits. −1: there is none
 * Owner     *out lives in `a`; the curve must outlive the plan
 */
const sm_expr *smi_curve_expr(const smi_curve *c, const sm_type *schema, const int32_t *columns,
                              int32_t bin, sm_arena *a);

#endif
