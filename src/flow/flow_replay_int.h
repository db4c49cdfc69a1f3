/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_replay_int.h: what flow_replay.c (a replay) and flow_replay_rows.c (the rows of the
 * quarantine, their texts and their outcomes) share. */
#ifndef SM_FLOW_FLOW_REPLAY_INT_H
#define SM_FLOW_FLOW_REPLAY_INT_H

#include "flow/flow_int.h"

/* What becomes of a row of the quarantine. */
typedef enum smi_outcome {
    SMI_LEFT_OUT, /* it cannot be tried */
    SMI_REFUSED,  /* again */
    SMI_TAKEN_IN,
} smi_outcome;

/* Why rows are left out. */
typedef enum smi_left_out {
    SMI_WHY_CUT,
    SMI_WHY_OTHER_COLUMNS,
    SMI_WHY_OTHER_RUN,
    SMI_WHY_OTHER_FILE,
    SMI_WHY_UNKNOWN_RUN,
    SMI_WHY_EARLIER,
    SMI_WHY_NO_LOAD,
    SMI_WHY_BYTES,
    SMI_N_WHYS,
    SMI_WHY_NONE = -1,
} smi_left_out;

/* The columns of a quarantine that are looked at. */
enum {
    SMI_REPLAY_FILE,
    SMI_REPLAY_OFFSET,
    SMI_REPLAY_REASON,
    SMI_REPLAY_RAW,
    SMI_REPLAY_RAW_BYTES,
    SMI_REPLAY_RUN,
    SMI_REPLAY_TIME,
    SMI_REPLAY_LOOKED_AT,
};

/* Texts of the quarantine that are read as one file: of each of its rows a line, empty where the
 * row is not tried by it. So line n is of the row first + n − 1. */
typedef struct smi_replay_text {
    sm_str uri;
    uint64_t off_bytes, bytes; /* in the scratch file */
    int64_t first, n;          /* rows */
} smi_replay_text;

/* A scratch file that texts are written to, one after another. */
typedef struct smi_replay_out {
    sm_scratch *scratch; /* the store's */
    sm_store *store;     /* NULL: nothing was written */
    sm_buf buf;          /* not written yet */
    uint64_t at;         /* where it goes */
} smi_replay_out;

typedef struct smi_replay {
    sm_run *run;
    int32_t task;
    const smi_flow_task *t;
    sm_replay_report *out;
    smi_flow_books table, quarantine; /* of the one and the other */
    sm_str last;                      /* the run whose rows the table got last, before the replay */
    sm_str made_by; /* the run of the table's rows; "": several, or it is a load */
    sm_str order;   /* the date that a history has of the round's run; "": it has none */
    int64_t left_out[SMI_N_WHYS];

    /* of one round */
    sm_arena *a;
    sm_names *names;
    sm_str of_run;                    /* the run whose rows are tried; "": all */
    smi_left_out why_none;            /* why none of them is */
    int32_t at[SMI_REPLAY_LOOKED_AT]; /* places of columns */
    int64_t n;                        /* rows, in one order in all passes over them */
    sm_buf outcomes;                  /* of each row, a byte */
    const sm_type *columns;           /* that the SQL gives; NULL: they are not known yet */
    bool has_inner_bytes;             /* one of them */
    sm_map *whose; /* of a load, the files of which it has rows, by URI; else runs, as they come */
    smi_replay_text **files; /* of lines, one a file */
    int64_t n_files, cap_files;
    smi_replay_text *rows; /* of rows; NULL: none */
    sm_map *texts;         /* by URI */
    smi_replay_out line_out, row_out;
    sm_arena *scratch; /* of one row */
    sm_str open_uri;   /* the file from which a line was read last, … */
    sm_blob *open;     /* … NULL: it is not the one that was loaded */
} smi_replay;

/** Tries lines: gives those of a load their texts, by file. The first pass. */
sm_status smi_replay_sort_lines(smi_replay *p, sm_error *e) SM_MUST_USE;
/** Tries rows, of which p->columns are known, and those that the first pass left. */
sm_status smi_replay_sort_rows(smi_replay *p, sm_error *e) SM_MUST_USE;
/** Counts the rows that no run has taken in by their runs, the first ones first. In the run's
 * arena. */
sm_status smi_replay_runs(smi_replay *p, sm_str **out, int64_t *n, sm_error *e) SM_MUST_USE;
/** Sets the outcome of the row that a line of a text is of. Any thread, of different rows. */
void smi_replay_refuse(smi_replay *p, sm_str uri, int64_t line);
/** The text as a file. */
sm_datafile smi_replay_file(const smi_replay *p, const smi_replay_out *out,
                            const smi_replay_text *text);
/** Values that JSON has no word for are texts that a cast reads (sm_json_writer.is_exact). */
bool smi_replay_is_cast(const sm_type *t);
/** Writes the rows of the quarantine anew, those that were taken in with the run. */
sm_status smi_replay_mark(smi_replay *p, sm_candidate **out, sm_error *e) SM_MUST_USE;
void smi_replay_rows_release(smi_replay *p); /* what a round has of rows */

#endif
