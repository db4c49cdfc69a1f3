/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet.c: the format parquet: its options, and sm_format_parquet, the table by
 * which other rooms use it. */

#include "format/parquet/parquet_int.h"

static bool parquet_probe(const uint8_t *head, size_t n)
{
    return n >= 4 && memcmp(head, SMI_PQ_MAGIC, 4) == 0;
}

static const sm_option parquet_options[] = {
    {"compression", SM_OPT_TEXT, "zstd", offsetof(smi_pq_options, compression),
     "Codec of the pages that are written: zstd, snappy or none."},
    {"level", SM_OPT_I64, "1", offsetof(smi_pq_options, level),
     "Level of zstd, 1 to 19; higher ones take longer and save little."},
    {"row_group_rows", SM_OPT_I64, "262144", offsetof(smi_pq_options, row_group_rows),
     "Rows in a row group that is written."},
    {"dictionary", SM_OPT_BOOL, "true", offsetof(smi_pq_options, dictionary),
     "Write columns of few values by dictionary."},
    {0},
};

const sm_format sm_format_parquet = {
    .name = "parquet",
    .suffixes = ".parquet",
    .summary = "Apache Parquet, read and written.",
    .options = parquet_options,
    .opts_bytes = sizeof(smi_pq_options),
    .morsel_bytes = 0, /* a morsel is a row group, whatever its size */
    .tail_bytes = SMI_PQ_TAIL_BYTES,
    .probe = parquet_probe,
    .sample_new = smi_pq_sample_new,
    .sample_file = smi_pq_sample_file,
    .sample_end = smi_pq_sample_end,
    .sample_free = smi_pq_sample_free,
    .look = smi_pq_look,
    .open = smi_pq_open,
    .close = smi_pq_close,
    .plan = smi_pq_plan,
    .reader_new = smi_pq_reader_new,
    .reader_free = smi_pq_reader_free,
    .begin = smi_pq_begin,
    .pull = smi_pq_pull,
    .feed = smi_pq_feed,
    .counts = smi_pq_counts,
    .writer = &smi_pq_writer,
};
