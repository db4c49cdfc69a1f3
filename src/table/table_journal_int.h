/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_journal_int.h: publications of several tables as one. What a publication is, the
 * lake's journal in which it stands, the course by which it is completed, and what readers see
 * meanwhile. The protocol, and why it holds, are in the head of table_journal.c. */
#ifndef SM_TABLE_TABLE_JOURNAL_INT_H
#define SM_TABLE_TABLE_JOURNAL_INT_H

#include "base/json_doc.h"
#include "base/json_write.h"
#include "base/map.h"
#include "table/table.h"

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
    bool is_newer;  /* written by a later smelt: the parts have paths and bases, no commits */
    smi_part *parts;
    int32_t n_parts;
} smi_publication;

/** Puts what a part is into an object: path, base, isolation, read, bytes. The lines of its commit
 * are to follow the JSON. */
void smi_part_print(const smi_part *part, sm_json_writer *w);
/** Reads that back, and cuts the commit's lines off *rest. *out borrows both; its commit has no id.
 * SM_CORRUPT. */
sm_status smi_part_parse(const sm_json *o, sm_str *rest, smi_part *out, sm_error *e) SM_MUST_USE;
/** Writes it as it stands in the journal: a line of JSON, then the lines of each part's commit. */
void smi_publication_print(const smi_publication *p, sm_buf *out);
/**
 * Reads it back. first_line: `text` may end after its first line; the parts get paths and bases,
 * no commits.
 *
 * Owner     *out lives in `a`; its texts are parts of the caller's `text`, which a NUL follows
 * Errors    SM_CORRUPT: no publication, or one that names a table outside its lake
 */
sm_status smi_publication_parse(sm_str text, bool first_line, sm_arena *a, smi_publication *out,
                                sm_error *e) SM_MUST_USE;
/** The txnId of a part's commit, which no other commit has; in `a`. */
sm_str smi_part_id(const smi_publication *p, int32_t part, sm_arena *a);
/** The part for the table at `path`, or NULL. */
const smi_part *smi_publication_part(const smi_publication *p, sm_str path);

/* Says by which publication a version was made. */
typedef struct smi_mark {
    sm_str lake_id;
    int64_t number;
} smi_mark;

/** The mark as a member of commitInfo, in `a`. undoes: the version that the commit takes back; −1:
 * none. */
sm_str smi_mark_json(const smi_publication *p, int64_t undoes, sm_arena *a);
/** The mark in the text of a commitInfo; false where it has none. *out lives in `a`. */
bool smi_mark_parse(sm_str commit_info, sm_arena *a, smi_mark *out);

/* ---- the journal (table_journal.c) ----------------------------------------------------------- */

/* Where a table belongs, by its place: two levels below its lake. */
typedef struct smi_lake_place {
    sm_str lake; /* "": to none */
    sm_str path; /* "layer/table" */
} smi_lake_place;
/** The lake of a table, and its path below it; in `a`. */
smi_lake_place smi_lake_of(const sm_store *table, sm_arena *a);

/* A lake's journal as it was when it was listed last. */
typedef struct smi_journal {
    sm_str lake;
    sm_store *store;
    sm_arena *arena;
    int64_t newest;            /* 0: there was no publication yet */
    bool has_verdict, is_done; /* of the newest publication */
    sm_str *old;               /* keys of objects of publications before it */
    int64_t n_old;
} smi_journal;

/** Opens the journal of a lake and lists it. *out is the caller's, smi_journal_close() it. */
sm_status smi_journal_open(sm_stores *stores, sm_str lake, sm_budget *budget, smi_journal *out,
                           sm_error *e) SM_MUST_USE;
void smi_journal_close(smi_journal *j); /* takes {0} */
/** Lists it anew. */
sm_status smi_journal_list(smi_journal *j, sm_error *e) SM_MUST_USE;
/** Is its newest publication still under way? */
static inline bool smi_journal_is_open(const smi_journal *j)
{
    return j->newest > 0 && !j->is_done;
}
/**
 * Reads a publication. first_line: only which tables it has, with their bases.
 *
 * Owner     *out lives in `a`
 * Errors    SM_NOT_FOUND: it is over, and a later one was begun
 */
sm_status smi_journal_read(smi_journal *j, int64_t number, bool first_line, sm_arena *a,
                           smi_publication *out, sm_error *e) SM_MUST_USE;
/** The lake's id, from its newest publication, which is done; "" where there was none yet. In `a`.
 * SM_NOT_FOUND: a later one was begun and ended since the listing. */
sm_status smi_journal_lake_id(smi_journal *j, sm_arena *a, sm_str *out, sm_error *e) SM_MUST_USE;
/**
 * Puts the publication into the journal, under its number.
 *
 * Returns   SM_OK; SM_EXISTS where another publication has that number
 * Errors    SM_DISK_FULL, or one of which a retry makes no sense: it is certainly not there. After
 *           others it may be there
 */
sm_status smi_journal_put(smi_journal *j, const smi_publication *p, sm_error *e) SM_MUST_USE;
/** Puts the verdict; `why` goes with "abandon". SM_EXISTS: there is one already, and it counts. */
sm_status smi_journal_decide(smi_journal *j, int64_t number, bool is_commit, sm_str why,
                             sm_error *e) SM_MUST_USE;
/** Reads the verdict. *why, set of "abandon" only, lives as long as the journal. */
sm_status smi_journal_verdict(smi_journal *j, int64_t number, bool *is_commit, sm_str *why,
                              sm_error *e) SM_MUST_USE;
/** Says that nothing is left to do for it; SM_OK where that is said already. */
sm_status smi_journal_end(smi_journal *j, const smi_publication *p, const char *outcome,
                          sm_error *e) SM_MUST_USE;

/* ---- the course of a publication (table_course.c) -------------------------------------------- */

typedef enum smi_course_state {
    SMI_COURSE_LOOK,    /* see at each table whether it can be published */
    SMI_COURSE_DECIDE,  /* put the verdict, or read the one that is there */
    SMI_COURSE_CONFIRM, /* see whether this is still the journal's newest */
    SMI_COURSE_COMMIT,  /* commit table `at`, and on to the last */
    SMI_COURSE_REVERSE, /* take table `at` − 1 back, and down to the first */
    SMI_COURSE_END,     /* say in the journal that it is done */
    SMI_COURSE_OVER,    /* its outcome is known */
} smi_course_state;

typedef enum smi_outcome {
    SMI_OUTCOME_NONE,      /* it never counted, or was abandoned: no table was changed */
    SMI_OUTCOME_COMMITTED, /* all tables were changed */
    SMI_OUTCOME_REVERSED,  /* a table was in conflict: those before it were taken back */
} smi_outcome;

/* One table of a publication under way. */
typedef struct smi_course_part {
    sm_store *store;
    sm_delta_attempt *attempt; /* NULL: the table is not open yet */
    bool has_looked;           /* the attempt has seen the log, from the base to its end */
    sm_delta_attempt *undo;    /* NULL: it was not to be taken back so far */
    sm_delta_prepared undo_commit;
} smi_course_part;

/* The completion of a publication. Its publisher runs one, begun before the publication is in the
 * journal, and so does who finds it open there; any number may run at once, and all come to the
 * same outcome. */
typedef struct smi_course {
    smi_journal *journal; /* borrowed */
    const smi_publication *p;
    sm_budget *budget;
    sm_arena *arena;
    smi_course_state state;
    smi_outcome outcome;
    bool is_commit;   /* the verdict */
    bool is_passed;   /* it was over before this course confirmed it: a later one is the newest */
    int32_t at;       /* the table in work */
    int32_t conflict; /* the first table that cannot be published, or −1 */
    sm_str why;       /* the reason in a verdict that another process has put */
    int64_t first_ns; /* sm_monotonic_ns before the first put to a table's log; 0: none yet */
    int64_t last_ns;  /* and after the last */
    smi_course_part *parts;
} smi_course;

/** Begins the course of the journal's newest publication, or of the one that is to be put next.
 * Borrows all. */
void smi_course_init(smi_course *c, smi_journal *j, const smi_publication *p, sm_budget *budget);
/** Gives a part's table, where it is open already. Once a part, before the first step. Keeps both;
 * `base` may be NULL. */
void smi_course_set(smi_course *c, int32_t part, sm_store *store, sm_snapshot *base);
/**
 * Sees, before the publication is put into the journal, whether it can follow `open`, which another
 * process is completing.
 *
 * Returns   SM_OK: it can. SM_CONFLICT, as smi_course_told: the course is over
 */
sm_status smi_course_weigh(smi_course *c, const smi_publication *open, sm_error *e) SM_MUST_USE;
/**
 * Looks at the tables before the publication is put into the journal, which is at rest; once,
 * before the first step. So who has lost already learns it without a word in the journal.
 *
 * Returns   SM_OK: all can be published, as it stands. SM_CONFLICT, as smi_course_told: the course
 *           is over, and the publication is not to be put
 */
sm_status smi_course_look(smi_course *c, sm_error *e) SM_MUST_USE;
/** Goes one state further, or one table; the publication is in the journal. Makes at most one
 * change to the store, the deletion of old entries aside. Not once it is OVER. */
sm_status smi_course_step(smi_course *c, sm_error *e) SM_MUST_USE;
/** Goes to its end. After a failure it may be run again, by this process or another. */
sm_status smi_course_run(smi_course *c, sm_error *e) SM_MUST_USE;
/** The version that part i has become, once it is over; −1: none, or one that was taken back. */
int64_t smi_course_version(const smi_course *c, int32_t part);
/** For how long readers who know of no journal may have seen some tables with the publication and
 * some without: from before the first put to a log to the end of the last. 0 for a single table; −1
 * where others did it. Once it is over. */
int64_t smi_course_mixed_ns(const smi_course *c);
/** SM_OK where all tables were committed; else SM_CONFLICT with the reason, what was taken back and
 * what could not be. Once it is over. */
sm_status smi_course_told(const smi_course *c, sm_error *e) SM_MUST_USE;
void smi_course_release(smi_course *c); /* takes {0} */

/** Completes the journal's open publication, whoever began it; the journal is at rest then. *told
 * (in `a`): what was done; "" where nothing was open. */
sm_status smi_journal_settle(smi_journal *j, sm_budget *budget, sm_arena *a, sm_str *told,
                             sm_error *e) SM_MUST_USE;

/* ---- what readers see (table_pin.c) ---------------------------------------------------------- */

/* Up to which publication a command sees the tables of each lake that it reads from. */
typedef struct smi_pins {
    sm_budget *budget;
    sm_arena *arena;
    sm_map *lakes; /* -> its pin */
} smi_pins;

void smi_pins_init(smi_pins *p, sm_budget *budget);
void smi_pins_release(smi_pins *p); /* takes {0} */
/**
 * Opens the newest version of a table that the command sees: not one of a publication that was
 * under way when the command first looked at the lake, or that has come since.
 *
 * Owner     *out is the caller's, sm_snapshot_release() it
 * Errors    SM_NOT_FOUND: no table, or not one yet; those of sm_snapshot_open
 */
sm_status smi_pins_open(smi_pins *p, sm_store *table, sm_snapshot **out, sm_error *e) SM_MUST_USE;
/** The same for any version (sm_table_open_at): a time is looked up among the versions that the
 * command sees, a number is taken as it is. */
sm_status smi_pins_open_at(smi_pins *p, sm_store *table, const sm_table_at *at, sm_snapshot **out,
                           sm_error *e) SM_MUST_USE;

#endif
