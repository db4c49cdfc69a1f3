/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_journal_int.h: publications of several tables as one: what they are, the lake's
 * journal of them, the course that one takes, and what readers see meanwhile. The protocol and why
 * it holds are told in table_journal.c. */
#ifndef SM_TABLE_TABLE_JOURNAL_INT_H
#define SM_TABLE_TABLE_JOURNAL_INT_H

#include "base/map.h"
#include "delta/delta.h"

/* ---- a publication and its text (table_publication.c) ---------------------------------------- */

/* What a publication does to one table. */
typedef struct smi_part {
    sm_str path; /* "layer/table", below the lake */
    sm_delta_prepared commit;
} smi_part;

typedef struct smi_publication {
    int64_t number; /* from 1 */
    sm_str lake_id; /* random, made with a lake's first publication */
    sm_str id;      /* random */
    bool is_newer;  /* of a later smelt: the parts have paths and bases, no commits */
    smi_part *parts;
    int32_t n_parts;
} smi_publication;

/** As it stands in the journal: a line of JSON, then the lines of each part's commit. */
void smi_publication_print(const smi_publication *p, sm_buf *out);
/**
 * Reads it back; of the first line only paths and bases.
 *
 * Owner     *out lives in `a`, its texts are the caller's `text`, which a NUL follows
 * Errors    SM_CORRUPT: no publication, or one that names a table outside its lake
 */
sm_status smi_publication_parse(sm_str text, bool first_line, sm_arena *a, smi_publication *out,
                                sm_error *e) SM_MUST_USE;
/** The txnId of a part's commit, which is no other commit's. */
sm_str smi_part_id(const smi_publication *p, int32_t part, sm_arena *a);
/** The part of a table, or NULL. */
const smi_part *smi_publication_part(const smi_publication *p, sm_str path);

/* By what publication a version was made. */
typedef struct smi_mark {
    sm_str lake_id;
    int64_t number;
} smi_mark;

/** Members for commitInfo that say it. undoes: the version that is taken back, or −1. */
sm_str smi_mark_json(const smi_publication *p, int64_t undoes, sm_arena *a);
/** What a commitInfo says; false where that is nothing. */
bool smi_mark_parse(sm_str commit_info, sm_arena *a, smi_mark *out);

/* ---- the journal (table_journal.c) ----------------------------------------------------------- */

/* Where a table belongs, by its place: two levels below its lake. */
typedef struct smi_lake_place {
    sm_str lake; /* "": to none */
    sm_str path; /* "layer/table" */
} smi_lake_place;
smi_lake_place smi_lake_of(const sm_store *table, sm_arena *a);

/* A lake's journal as it was when it was listed. */
typedef struct smi_journal {
    sm_str lake;
    sm_store *store;
    sm_arena *arena;
    int64_t newest; /* 0: there was no publication yet */
    bool has_verdict, is_done;
    sm_str *old; /* keys of publications before it */
    int64_t n_old;
} smi_journal;

/** Opens and lists it. Owner: *out is the caller's, smi_journal_close() it. */
sm_status smi_journal_open(sm_stores *stores, sm_str lake, sm_budget *budget, smi_journal *out,
                           sm_error *e) SM_MUST_USE;
void smi_journal_close(smi_journal *j); /* takes {0} */
sm_status smi_journal_list(smi_journal *j, sm_error *e) SM_MUST_USE;
/** Is its newest publication under way? */
static inline bool smi_journal_is_open(const smi_journal *j)
{
    return j->newest > 0 && !j->is_done;
}
/**
 * Reads a publication, or its first line only.
 *
 * Owner     *out lives in `a`
 * Errors    SM_NOT_FOUND: it is over, and a later one too
 */
sm_status smi_journal_read(smi_journal *j, int64_t number, bool first_line, sm_arena *a,
                           smi_publication *out, sm_error *e) SM_MUST_USE;
/** The lake's id; "" where it has none yet. Of the newest publication, which is over. SM_NOT_FOUND:
 * a later one is over too. */
sm_status smi_journal_lake_id(smi_journal *j, sm_arena *a, sm_str *out, sm_error *e) SM_MUST_USE;
/**
 * Makes an entry of the publication, under its number.
 *
 * Returns   SM_OK; SM_EXISTS where somebody else has that number; SM_DISK_FULL: it is certainly not
 *           there; another failure leaves that open
 */
sm_status smi_journal_put(smi_journal *j, const smi_publication *p, sm_error *e) SM_MUST_USE;
/** Puts the verdict; `why`: of "abandon". SM_EXISTS where there is one: that is the verdict. */
sm_status smi_journal_decide(smi_journal *j, int64_t number, bool is_commit, sm_str why,
                             sm_error *e) SM_MUST_USE;
/** The verdict that is there. *why lives as long as the journal. */
sm_status smi_journal_verdict(smi_journal *j, int64_t number, bool *is_commit, sm_str *why,
                              sm_error *e) SM_MUST_USE;
/** Says that nothing is left to do for it; SM_OK where that is said already. */
sm_status smi_journal_end(smi_journal *j, const smi_publication *p, const char *outcome,
                          sm_error *e) SM_MUST_USE;

/* ---- the course of a publication (table_course.c) -------------------------------------------- */

typedef enum smi_course_state {
    SMI_COURSE_LOOK,    /* at each table: may it be published? */
    SMI_COURSE_DECIDE,  /* the verdict, once for all */
    SMI_COURSE_CONFIRM, /* is this still the journal's newest? */
    SMI_COURSE_COMMIT,  /* table `at` */
    SMI_COURSE_REVERSE, /* table `at` − 1, and down */
    SMI_COURSE_END,     /* it is over: say so */
    SMI_COURSE_OVER,    /* its outcome is known */
} smi_course_state;

typedef enum smi_outcome {
    SMI_OUTCOME_NONE,      /* it never counted, or was abandoned: no table was changed */
    SMI_OUTCOME_COMMITTED, /* all tables */
    SMI_OUTCOME_REVERSED,  /* a table was in conflict: those before it were taken back */
} smi_outcome;

/* One table on its way. */
typedef struct smi_course_part {
    sm_store *store;
    sm_delta_attempt *attempt;
    bool has_looked;        /* at the log, from the base on */
    sm_delta_attempt *undo; /* once it is to be taken back */
    sm_delta_prepared undo_commit;
} smi_course_part;

/* What somebody does for a publication that is in the journal: its publisher, or who comes later.
 * Any number may do the same at once. */
typedef struct smi_course {
    smi_journal *journal; /* borrowed */
    const smi_publication *p;
    sm_budget *budget;
    sm_arena *arena;
    smi_course_state state;
    smi_outcome outcome;
    bool is_commit;   /* the verdict */
    bool is_passed;   /* it was over before, and is not the newest any more */
    int32_t at;       /* the table in work */
    int32_t conflict; /* the first table that cannot be published, or −1 */
    sm_str why;       /* of a verdict that another one has put */
    int64_t first_ns; /* sm_monotonic_ns before the first put to a table's log; 0: none yet */
    int64_t last_ns;  /* and after the last */
    smi_course_part *parts;
} smi_course;

/** The journal is one that lists the publication. */
void smi_course_init(smi_course *c, smi_journal *j, const smi_publication *p, sm_budget *budget);
/** A part's table, where it is open already. Keeps both; `base` may be NULL. */
void smi_course_set(smi_course *c, int32_t part, sm_store *store, sm_snapshot *base);
/** One state further, or one table: at most one change to the store. */
sm_status smi_course_step(smi_course *c, sm_error *e) SM_MUST_USE;
/** To its end. After a failure it may be run again, by whomever. */
sm_status smi_course_run(smi_course *c, sm_error *e) SM_MUST_USE;
/** The version that stands for part i once it is over; −1: none does. */
int64_t smi_course_version(const smi_course *c, int32_t part);
/** How long the tables may have been seen some with the publication and some without it, by readers
 * who know of no journal: from before its first put to a log to the end of the last. 0 for a single
 * table; −1 where others did it. Once it is over. */
int64_t smi_course_mixed_ns(const smi_course *c);
/** Why it was not all committed: SM_CONFLICT, with what was taken back and what could not be. SM_OK
 * where it was. */
sm_status smi_course_told(const smi_course *c, sm_error *e) SM_MUST_USE;
void smi_course_release(smi_course *c); /* takes {0} */

/** Brings an open publication of the journal to its end, whoever began it; then the journal is
 * listed anew. *told (in `a`): what was done, "" where nothing was open. */
sm_status smi_journal_settle(smi_journal *j, sm_budget *budget, sm_arena *a, sm_str *told,
                             sm_error *e) SM_MUST_USE;

/* ---- what readers see (table_pin.c) ---------------------------------------------------------- */

/* For each lake that a command reads from, up to which publication it sees. */
typedef struct smi_pins {
    sm_budget *budget;
    sm_arena *arena;
    sm_map *lakes; /* -> its pin */
} smi_pins;

void smi_pins_init(smi_pins *p, sm_budget *budget);
void smi_pins_release(smi_pins *p);
/**
 * Opens the newest version of a table that belongs to what the command sees: none of a publication
 * that was under way when the command first looked at the lake, or that has come since.
 *
 * Errors    SM_NOT_FOUND: no table, or not one yet; those of sm_snapshot_open
 */
sm_status smi_pins_open(smi_pins *p, sm_store *table, sm_snapshot **out, sm_error *e) SM_MUST_USE;

#endif
