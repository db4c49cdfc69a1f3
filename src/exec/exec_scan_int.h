/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_scan_int.h: what exec_scan.c (reading) and exec_tally.c (counting) share of a scan. */
#ifndef SM_EXEC_SCAN_INT_H
#define SM_EXEC_SCAN_INT_H

#include "exec/exec_int.h"

typedef enum smi_file_state {
    FILE_CLOSED, /* not opened yet */
    FILE_COMING, /* its object has been asked for */
    FILE_CAME,   /* its object is open */
    FILE_OPENING,
    FILE_OPEN,
    FILE_FAILED,
    FILE_PRUNED,
} smi_file_state;

typedef struct smi_scan_file {
    smi_file_state state;
    sm_blob *blob;
    sm_file *file;
    sm_arena *arena; /* of its morsels */
    sm_morsel *morsels;
    int64_t n_morsels, skipped;
    int64_t n_left; /* morsels not accounted yet */
    sm_error *failure;
    sm_scan_counts counts; /* of the morsels accounted */
    sm_content content;    /* of the morsels accounted */
    bool is_plain;         /* its bytes are its content */
    bool has_checksum;     /* its bytes' CRC-32 is to be `checksum` */
    uint32_t checksum, crc32;
    uint64_t n_hashed; /* bytes that are in `crc32`, and in `content` of a plain one */
    int64_t bytes;     /* told to the progress */
} smi_scan_file;

typedef enum smi_morsel_state {
    MORSEL_FREE,
    MORSEL_WANTS, /* needs ranges, which may have been requested */
    MORSEL_READY,
    MORSEL_RUNNING,
    MORSEL_DONE,     /* waits for its turn to be accounted */
    MORSEL_GIVEN_UP, /* failed, or behind one that did */
} smi_morsel_state;

typedef struct smi_morsel {
    smi_task task;
    smi_morsel_state state;
    bool is_counted_ready, has_begun, failed_in_reader;
    int64_t file;
    const sm_morsel *plan;
    sm_arena *arena; /* of what follows; reset when the place is used again */
    sm_byte_range *ranges;
    sm_block **blocks;
    size_t *lens;
    int32_t n_ranges, n_requested, n_arrived;
    sm_byte_range more;
    sm_reader *reader;
    uint32_t n_batches;
    int64_t bytes, held;
    uint64_t hashed_to; /* own bytes below this are in `crc32`, and in `content` of a plain file */
    sm_content content;
    uint32_t crc32; /* their part of the file's */
    smi_batches refused;
    sm_scan_counts counts;
    sm_unknown_key *unknown;
    int64_t n_unknown;
    sm_known_key *keys;
    int64_t n_keys;
} smi_morsel;

typedef struct smi_scan {
    smi_source source;
    smi_execution *exec;
    const sm_plan_node *node;
    const sm_dataset *dataset;
    sm_budget *budget;
    int32_t *place; /* of each output column among those read; −1: a constant one */
    sm_fetch *fetch;
    bool is_first; /* of this dataset in the execution: its lines are counted */
    bool gives_refused;
    smi_outlet refused;
    sm_mutex lock;
    /* under the lock */
    smi_scan_file *files;
    smi_morsel *ring; /* [accounted, admitted), by number modulo SMI_AHEAD_MAX */
    int64_t accounted, admitted;
    int64_t next_file, next_morsel; /* to be admitted */
    int64_t next_open;
    int64_t next_ask; /* whose object is asked for next, where these are far; never below next_open
                       */
    bool is_far;      /* some store is: objects are asked for before files are opened */
    int n_opening, n_coming;
    int n_open;          /* files asked for, opened or opening, and not closed yet */
    int64_t ahead_bytes; /* of files opened and not yet wholly admitted */
    int64_t ahead_max;
    int64_t inflight_wanted, inflight, n_inflight;
    int64_t request_bytes, request_morsels; /* of a store that likes large requests; else 0 */
    int64_t n_to_admit;                     /* morsels that are still to be admitted together */
    int64_t n_ready, n_running;
    int64_t held, peak;  /* bytes requested and not decoded yet */
    sm_reader **readers; /* idle ones */
    int64_t n_readers, readers_cap;
    _Atomic int64_t n_total; /* morsels, −1 until the last is admitted */
} smi_scan;

/** Changes the state; asserts that the change is one that exec_scan.c names. With the lock. */
void smi_morsel_move(smi_morsel *m, smi_morsel_state to);

/** Releases what an open file holds; does nothing where it is not open. With the lock. */
void smi_scan_close_file(smi_scan *s, smi_scan_file *f);

/* exec_tally.c */
void smi_tally_begin(smi_scan *s);
void smi_tally_end(smi_scan *s);
/* By the driver that has the morsel, without the lock. */
void smi_tally_hash(smi_scan *s, smi_morsel *m); /* the bytes that have arrived */
void smi_tally_refused(smi_scan *s, smi_morsel *m, sm_batch *taken);
void smi_tally_close(smi_scan *s, smi_morsel *m); /* its counts, from the reader */
/* Accounts all morsels whose turn it is; with the lock. */
sm_status smi_tally_bring_up(smi_scan *s, sm_error *e) SM_MUST_USE;
void smi_tally_file_done(smi_scan *s, int64_t file);

#endif
