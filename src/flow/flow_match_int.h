/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_int.h: decides which files of a folder are the files that a table was loaded
 * from. A matching does no I/O of its own; it asks its caller for contents (smi_match_asks).
 *
 * Calls    smi_match before the load. smi_match_copies after it, with what was read. smi_match_next
 *          then gives the new books.
 * Order    Contents are matched before paths (docs/pipelines.md, "What a run does"), step by step:
 * root     The folder is a known root, a known root that has moved, or a new one.
 * twins    x beside x.gz or x.zst is one file if their contents are equal. An unfinished compressed
 *          file is passed over. Complete files whose contents differ are an error.
 * same     A known path that has its old content, by its mark or else by its hash.
 * moved    A known content whose old path is gone or holds something else. If the query takes the
 *          date or the name from the file name, and that differs, both dates are replaced.
 * grown    A new path that begins with the whole content of a file that is gone. Both dates are
 *          replaced. A path counts as new, too, if its own content has moved away; a file counts as
 *          gone, too, if another file has taken its path.
 * changed  A known path with another content. Its date is replaced.
 * new      All other files that were found.
 * gone     Known files in the period that no file was matched with.
 * copy     A new path whose content the table has already, or gets in this load, from a file that
 *          is still there.
 * Empty    Files without lines are never moved or copied.
 * Dates    A date is replaced from all of its files. It may lie outside the period: content that
 *          has moved into the period may be that of a file from outside it. */
#ifndef SM_FLOW_FLOW_MATCH_INT_H
#define SM_FLOW_FLOW_MATCH_INT_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/str.h"

/* By what a file is known to be unchanged without reading it. */
typedef struct smi_flow_mark {
    uint64_t size_bytes;
    int64_t modified_us, changed_us; /* changed_us 0: not known */
    uint64_t inode;                  /* 0: none */
    sm_str etag;                     /* "": none */
} smi_flow_mark;

/* A file as the books have it. */
typedef struct smi_flow_known {
    int32_t root;      /* index in the roots */
    sm_str path;       /* below the root */
    sm_str uri;        /* as the rows of quarantine have it */
    int64_t loaded_us; /* when the run began that read it: their time; 0: not known */
    int64_t version;   /* of its transaction */
    smi_flow_mark mark;
    bool has_identity;
    sm_hash128 hash;       /* of its decompressed content */
    int64_t content_bytes; /* decompressed; −1: not known, then only the mark counts */
    uint64_t head;         /* sm_content.head; 0: not known */
    int64_t n_lines;       /* not blank; −1: not known */
    int64_t n_rows;        /* in the table; −1: not known */
    bool has_date;
    int32_t date;
    bool is_dropped;   /* its rows have left the table: its date was replaced when it was gone */
    bool is_passed;    /* it has no rows: a twin or a skipped copy; without an identity: an
                          unfinished file */
    bool is_displaced; /* its rows are in the table, but another file has taken its path */
} smi_flow_known;

/** Does the table have the file's rows? */
static inline bool smi_known_has_rows(const smi_flow_known *k)
{
    return !k->is_dropped && !k->is_passed;
}

typedef struct smi_flow_root {
    sm_str uri; /* absolute, without a final '/'; "": not known, so the first folder is taken */
    sm_str pipeline; /* the one that loaded from it last */
    sm_str query;    /* canonical text of the load's query, see flow_query.c; "": not known */
    sm_str columns;  /* as a STRUCT in SQL: the columns that were found in its files; "": none */
    sm_str seen;     /* as JSON: the keys that its lines had in the last run; "": not known */
} smi_flow_root;

/* A file that was found in the folder. */
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
    SMI_MATCH_COPY,    /* loaded, but its content is another file's too (smi_match_copies) */
    SMI_MATCH_PASSED,  /* a twin, or a copy that is skipped: not read */
    SMI_MATCH_OUTSIDE, /* of the period, and of no date that is replaced: not matched */
} smi_match_kind;

typedef struct smi_match_file {
    smi_match_kind kind;
    int64_t
        known;  /* the known file whose rows it keeps or replaces; for a copy, the one whose content
                 * it has; −1: none */
    int64_t of; /* for a copy or a passed file: the file found whose content it has; −1: none */
    bool is_read;     /* it is to be loaded: it is new, or its date is replaced */
    bool has_content; /* `content` is known before the load */
    bool is_whole;    /* false: an unfinished compressed file, which is passed over */
    sm_content content;
} smi_match_file;

typedef enum smi_match_left {
    SMI_KNOWN_HERE,      /* a file that was found keeps its rows or replaces them */
    SMI_KNOWN_ELSEWHERE, /* it was not matched: it has another root, or is outside the period */
    SMI_KNOWN_AGAIN,     /* it has another root, but its rows leave: it is to be read again there */
    SMI_KNOWN_GONE,      /* it is gone, and its rows stay */
    SMI_KNOWN_DROPPED,   /* it is gone, and its rows leave or have left */
} smi_match_left;

typedef enum smi_copies { SMI_COPIES_KEEP, SMI_COPIES_SKIP, SMI_COPIES_FAIL } smi_copies;
typedef enum smi_gone { SMI_GONE_KEEP, SMI_GONE_FAIL, SMI_GONE_REMOVE } smi_gone;
typedef enum smi_root_choice {
    SMI_ROOT_ASK,   /* fail where only the user can know */
    SMI_ROOT_SAME,  /* --same-root */
    SMI_ROOT_OTHER, /* --other-root */
} smi_root_choice;

/* What a matching asks about files that were found: content and prefixes once for each file, the
 * first bytes at most twice. */
typedef struct smi_match_asks {
    void *ctx;
    /* *is_whole false: a compressed file that is not finished; *out is the content so far. */
    sm_status (*content)(void *ctx, int64_t found, sm_content *out, bool *is_whole, sm_error *e);
    /* Its first SM_CONTENT_HEAD_BYTES decompressed bytes; *n is less if it is shorter. */
    sm_status (*head)(void *ctx, int64_t found, uint8_t *out, size_t *n, sm_error *e);
    /* The hashes of its first lens[i] decompressed bytes, for 0 <= i < n, lens ascending; {0} for a
     * length beyond its end. */
    sm_status (*prefixes)(void *ctx, int64_t found, const int64_t *lens, int64_t n, sm_hash128 *out,
                          sm_error *e);
    /* Is a root the folder being read, under another name? */
    bool (*is_here)(void *ctx, int32_t root);
    /* Can another root still be listed, and has it a file? (After an unmount an empty folder stays,
     * and a prefix of a bucket always exists.) */
    sm_status (*lists)(void *ctx, int32_t root, bool *out, sm_error *e);
    /* A known file of another root, whose rows leave: has it still its content? */
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
    bool is_reload; /* all rows are made anew: files of other dates and roots are read too */
    smi_copies copies;
    smi_gone gone;
    smi_root_choice choice;
    smi_match_asks asks;
} smi_match_in;

typedef struct smi_match_out {
    int32_t root;          /* the folder's index in the roots; n_roots: it is a new one */
    bool is_root_moved;    /* the root's place has become in->root */
    smi_match_file *files; /* one for each file found */
    smi_match_left *left;  /* one for each known file */
    int32_t *dates;        /* dates replaced as a whole, ascending; some by no file at all */
    int64_t n_dates;
    bool has_news;  /* the books change, even if no file is read */
    bool has_marks; /* marks changed and contents did not: the new marks save comparing again */
} smi_match_out;

/** Matches a folder's files; *out lives in the arena. SM_INVALID, with the names, if twins differ,
 * a copy or a gone file is not allowed, or only the user can say which root the folder is. */
sm_status smi_match(const smi_match_in *in, sm_arena *a, smi_match_out *out,
                    sm_error *e) SM_MUST_USE;

/** Is its mark the one that it was loaded with? If so, it has not been written since; if not, it
 * may still have the same content. */
bool smi_match_has_mark(const smi_flow_known *k, const smi_flow_mark *now);
/** Is it the content of the known file? */
bool smi_match_is_content(const smi_flow_known *k, const sm_content *c);
/** The index of the file found with that path, or −1. */
int64_t smi_match_find(const smi_match_in *in, sm_str path);
/** Is the date replaced? Not before the dates are sorted. */
bool smi_match_is_replaced(const smi_match_out *out, int32_t date);

/* What a load found out about a file by reading it. */
typedef struct smi_match_read {
    sm_content content;
    int64_t n_lines, n_rows, version, loaded_us;
    sm_str uri;
} smi_match_read;

/** After the load: new files whose content the table has already become copies. `reads`: one for
 * each file found, set if its is_read. SM_INVALID if copies are not allowed. */
sm_status smi_match_copies(const smi_match_in *in, const smi_match_read *reads, sm_arena *a,
                           smi_match_out *out, sm_error *e) SM_MUST_USE;

/** The books after the load, for all roots and dates: the files found, and known files that were
 * not found but are still to be remembered. Sorted by root and path. Entries borrow their texts. */
void smi_match_next(const smi_match_in *in, const smi_match_out *out, const smi_match_read *reads,
                    sm_arena *a, smi_flow_known **next, int64_t *n_next);

#endif
