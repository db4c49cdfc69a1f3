/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_int.h: which files of a folder are the files that a table was loaded from. A
 * matching without I/O of its own: what must be read it asks of the caller.
 *
 * Calls    smi_match before the load; smi_match_copies after it, with what was read;
 *          smi_match_next gives the books as they are then.
 * Content is matched before paths (pipelines.md, "What a run does"). In this order:
 *   root      the folder is a root that is known, a known root elsewhere, or one more
 *   twins     x beside x.gz or x.zst: one file where their contents are equal; an unfinished one is
 *             passed over; whole but different is an error
 *   same      a known path with its content: by its mark, else by its hash
 *   moved     content that is known, whose old path is gone or holds other content; where what the
 *             query takes from the name differs, both dates are replaced
 *   grown     a new path that begins with the whole content of a file that is gone: both dates are
 *             replaced; new is also a path whose own content has moved, gone also a file whose path
 *             another has taken
 *   changed   a known path with other content: its date is replaced
 *   new       all others
 *   gone      known files in the period that none of these took
 *   copy      a new path with content that the table has, or gets, from a file that is there
 * Files without lines are never moved or copied.
 * A date is replaced from all files of that date, also where it lies outside the period: content
 * that came into the period from a file outside of it, which is not listed any more, has moved. */
#ifndef SM_FLOW_FLOW_MATCH_INT_H
#define SM_FLOW_FLOW_MATCH_INT_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/str.h"

/* What tells that a file was not written since, without reading it. */
typedef struct smi_flow_mark {
    uint64_t size_bytes;
    int64_t modified_us, changed_us; /* changed_us 0: not known */
    uint64_t inode;                  /* 0: none */
    sm_str etag;                     /* "": none */
} smi_flow_mark;

/* A file as the books have it. */
typedef struct smi_flow_known {
    int32_t root;    /* index in the roots */
    sm_str path;     /* below the root */
    sm_str uri;      /* as the rows of quarantine have it */
    int64_t version; /* of its transaction */
    smi_flow_mark mark;
    bool has_identity;
    sm_hash128 hash;       /* of its decompressed content */
    int64_t content_bytes; /* decompressed; −1: not known, then only the mark counts */
    uint64_t head;         /* sm_content.head; 0: not known */
    int64_t n_lines;       /* not blank; −1: not known */
    int64_t n_rows;        /* in the table; −1: not known */
    bool has_date;
    int32_t date;
    bool is_dropped;   /* its date was replaced when it was gone: its rows are no more there */
    bool is_passed;    /* it has no rows: a twin, or a copy that is skipped; without an identity: an
                          unfinished one */
    bool is_displaced; /* its rows are there, but its path has become another file's */
} smi_flow_known;

typedef struct smi_flow_root {
    sm_str uri;      /* absolute, without a final '/'; "": not known, the first that comes */
    sm_str pipeline; /* that loaded from it last */
    sm_str query;    /* canonical text of the load's query, see flow_query.c; "": not known */
} smi_flow_root;

/* A file that is there. */
typedef struct smi_match_found {
    sm_str path;
    smi_flow_mark mark;
    bool has_date;
    int32_t date;
} smi_match_found;

typedef enum smi_match_kind {
    SMI_MATCH_NEW,
    SMI_MATCH_SAME,
    SMI_MATCH_MOVED,
    SMI_MATCH_GROWN,
    SMI_MATCH_CHANGED,
    SMI_MATCH_COPY,    /* by smi_match_copies: loaded all the same */
    SMI_MATCH_PASSED,  /* a twin, or a copy that is skipped: not read */
    SMI_MATCH_OUTSIDE, /* of the period, and of no date that is replaced: not matched */
} smi_match_kind;

typedef struct smi_match_file {
    smi_match_kind kind;
    int64_t
        known;  /* whose rows it goes on with, or replaces; of a copy: whose content it has; −1 */
    int64_t of; /* of a copy, or one passed over: the file found whose content it has; −1 */
    bool is_read;     /* to be loaded: new, or of a date that is replaced */
    bool has_content; /* known without loading it */
    bool is_whole;    /* false: an unfinished compressed file, passed over */
    sm_content content;
} smi_match_file;

typedef enum smi_match_left {
    SMI_KNOWN_HERE,      /* its rows are a file's that was found, or are replaced by it */
    SMI_KNOWN_ELSEWHERE, /* of another root, or outside the period: not matched */
    SMI_KNOWN_AGAIN,     /* of another root, but its rows leave too: to be read again there */
    SMI_KNOWN_GONE,      /* its rows stay */
    SMI_KNOWN_DROPPED,   /* gone, and its rows leave (or have left) */
} smi_match_left;

typedef enum smi_copies { SMI_COPIES_KEEP, SMI_COPIES_SKIP, SMI_COPIES_FAIL } smi_copies;
typedef enum smi_gone { SMI_GONE_KEEP, SMI_GONE_FAIL, SMI_GONE_REMOVE } smi_gone;
typedef enum smi_root_choice {
    SMI_ROOT_ASK,   /* fail where only the user can know */
    SMI_ROOT_SAME,  /* --same-root */
    SMI_ROOT_OTHER, /* --other-root */
} smi_root_choice;

/* What can be asked about a file that is there: content and prefixes once a file, the head at most
 * twice. */
typedef struct smi_match_asks {
    void *ctx;
    /* *is_whole false: an unfinished compressed file; *out is that of what there is. */
    sm_status (*content)(void *ctx, int64_t found, sm_content *out, bool *is_whole, sm_error *e);
    /* Its first decompressed bytes, *n of them: fewer than SM_CONTENT_HEAD_BYTES where it has not
     * more. */
    sm_status (*head)(void *ctx, int64_t found, uint8_t *out, size_t *n, sm_error *e);
    /* Hashes of its first lens[0 … n), ascending, decompressed bytes; one pass. Lengths beyond its
     * end: *out as {0}. */
    sm_status (*prefixes)(void *ctx, int64_t found, const int64_t *lens, int64_t n, sm_hash128 *out,
                          sm_error *e);
    /* Does a root that is not the one being read still list, with a file in it? (Where something
     * was mounted an empty folder stays; a bucket's prefix never does not exist.) */
    sm_status (*lists)(void *ctx, int32_t root, bool *out, sm_error *e);
    /* Has a known file of another root, whose rows leave, still its content? */
    sm_status (*keeps)(void *ctx, int64_t known, bool *out, sm_error *e);
} smi_match_asks;

typedef struct smi_match_in {
    sm_str root; /* absolute URI of the folder being read */
    const smi_flow_root *roots;
    int32_t n_roots;
    const smi_flow_known *known;
    int64_t n_known;
    const smi_match_found
        *found; /* all that match, also outside the period; in byte order of path */
    int64_t n_found;
    bool has_period;
    int32_t first_day, last_day;
    bool takes_date, takes_name; /* what the query takes from a file's name */
    bool is_reload; /* all rows leave: files outside the period and of other roots are read too */
    smi_copies copies;
    smi_gone gone;
    smi_root_choice choice;
    smi_match_asks asks;
} smi_match_in;

typedef struct smi_match_out {
    int32_t root;          /* of the roots; n_roots: one more */
    bool is_root_moved;    /* its place is now in->root */
    smi_match_file *files; /* one a file found */
    smi_match_left *left;  /* one a known file */
    int32_t *dates;        /* that are replaced as a whole, ascending; maybe by no file at all */
    int64_t n_dates;
    bool has_news;  /* the books change, even where no file is read */
    bool has_marks; /* only marks are others: what was compared need not be again */
} smi_match_out;

/** Judges a folder's files; *out lives in the arena. SM_INVALID with the two names where twins
 * differ, a copy or a gone file is not allowed, or a root cannot be told. */
sm_status smi_match(const smi_match_in *in, sm_arena *a, smi_match_out *out,
                    sm_error *e) SM_MUST_USE;

/** Is it as it was when it was loaded? Only true is sure: then it was not written since. */
bool smi_match_has_mark(const smi_flow_known *k, const smi_flow_mark *now);
/** Is it the known one's content? */
bool smi_match_is_content(const smi_flow_known *k, const sm_content *c);
/** The file found of that path, or −1. */
int64_t smi_match_find(const smi_match_in *in, sm_str path);
/** Is the date one of those that are replaced? */
bool smi_match_is_replaced(const smi_match_out *out, int32_t date);

/* What the load came to know of a file that it read. */
typedef struct smi_match_read {
    sm_content content;
    int64_t n_lines, n_rows, version;
    sm_str uri;
} smi_match_read;

/** After the load: new files whose content the table has already become copies. reads: one a file
 * found, good where is_read. SM_INVALID where copies are not allowed. */
sm_status smi_match_copies(const smi_match_in *in, const smi_match_read *reads, sm_arena *a,
                           smi_match_out *out, sm_error *e) SM_MUST_USE;

/** The books after the load, of all roots and periods: of each file found that is known, then of
 * each known file that is not there. Entries borrow their texts. */
void smi_match_next(const smi_match_in *in, const smi_match_out *out, const smi_match_read *reads,
                    sm_arena *a, smi_flow_known **next, int64_t *n_next);

#endif
