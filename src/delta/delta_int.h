/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_int.h: what the files of the room share: actions as commits and checkpoints hold
 * them, the state that replaying them gives, and translations of schemas, statistics, partition
 * values and paths. */
#ifndef SM_DELTA_DELTA_INT_H
#define SM_DELTA_DELTA_INT_H

#include "base/hash.h"
#include "base/json_doc.h"
#include "base/json_write.h"
#include "base/map.h"
#include "delta/delta.h"

/* ---- actions --------------------------------------------------------------------------------- */

/* A removed file: checkpoints list those that were removed lately. */
typedef struct smi_tombstone {
    sm_str path;
    int64_t deleted_ms;
    const sm_delta_dv *dv;
    bool is_live_again; /* it was added again */
    int64_t version;    /* of the commit that removed it last; −1: not known */
    int64_t rank;       /* where the file stood among the adds; −1: it was not there … */
    int64_t anchor;     /* … but in the place of this file of the checkpoint; −1: in none */
} smi_tombstone;

/* The tag of an add that says where the file stands: in the place of a file that its commit
 * removes. Its value is smi_file_identity() of that file, with a line feed where that has a NUL. */
#define SMI_TAG_PLACE "smelt.place"

/* The domain with the highest row id that a table that tracks rows has given out. */
#define SMI_DOMAIN_ROWS "delta.rowTracking"

/* The table's own folder, by the names that absolute paths of its log may have for it: as plain
 * paths (smi_path_plain) with a final '/'; "" where there is no second one. */
typedef struct smi_home {
    sm_str names[2]; /* as it was opened, and without symbolic links */
} smi_home;

typedef enum smi_action_kind {
    SMI_ACTION_ADD,
    SMI_ACTION_REMOVE,
    SMI_ACTION_METADATA,
    SMI_ACTION_PROTOCOL,
    SMI_ACTION_TXN,
    SMI_ACTION_COMMIT_INFO,
    SMI_ACTION_SIDECAR, /* V2 checkpoints: a Parquet file of adds and removes */
    SMI_ACTION_DOMAIN,  /* domainMetadata */
    SMI_ACTION_CDC,     /* a file of changed rows: nothing of the snapshot */
    SMI_ACTION_OTHER,   /* checkpointMetadata: nothing of the snapshot */
} smi_action_kind;

/* A set of kinds. */
#define SMI_KIND(kind) (UINT32_C(1) << (kind))
#define SMI_FILES      (SMI_KIND(SMI_ACTION_ADD) | SMI_KIND(SMI_ACTION_REMOVE))

/* Its texts live in the arena that it was parsed into, or in the batch that it was read from. Only
 * what is of its kind may be looked at: a snapshot keeps one for each file that a commit adds. */
typedef struct smi_action {
    smi_action_kind kind;
    union {
        struct { /* ADD, REMOVE, CDC, SIDECAR; the longest first, so that {0} clears all */
            bool data_change;
            int32_t n_partition, n_tags;
            sm_str path;
            sm_hash128 path_hash;     /* of smi_file_identity() without a vector; 0: not computed */
            const sm_pair *partition; /* as text; a null has key and a value without data */
            uint64_t size_bytes;
            int64_t modified_ms; /* REMOVE: the time of deletion */
            sm_str stats_json;
            const sm_delta_dv *dv;
            const sm_pair *tags;
            int64_t base_row_id, row_version; /* −1: none */
            sm_str cluster_provider;
        };
        struct {                        /* METADATA */
            sm_delta_metadata metadata; /* its schema unset until smi_state_finish */
            sm_str schema_json;
            sm_str provider; /* of the format of data files; "": not said */
        };
        sm_delta_protocol protocol; /* its versions are 0 where they are none */
        sm_delta_txn txn;
        sm_delta_domain domain;
        const sm_json *info; /* COMMIT_INFO */
    };
} smi_action;

/* The version of a transaction that has none. */
#define SMI_NO_VERSION INT64_MIN
/** A version of the protocol, or 0 where the number is none: it must not pass as an old one, for
 * the table may need what this program does not know. */
int32_t smi_version_of(int64_t number);
/** Refuses an action that lacks what it must have, wherever it was read (size_bytes above INT64_MAX
 * is none), and gives a remove without a size the size 0. SM_CORRUPT, without a place. */
sm_status smi_action_settle(smi_action *action, sm_error *e) SM_MUST_USE;
/** A line of a commit. SM_CORRUPT, without a place, where it is no action. */
sm_status smi_action_parse(sm_str line, sm_arena *a, smi_action *out, sm_error *e) SM_MUST_USE;

/* ---- state ----------------------------------------------------------------------------------- */

/* A Parquet file of adds and removes that a checkpoint names. */
typedef struct smi_sidecar {
    sm_str key;
    uint64_t size_bytes; /* that the checkpoint says; 0: it does not */
} smi_sidecar;

/* A complete checkpoint. */
typedef struct smi_checkpoint {
    int64_t version; /* −1: none, the table is made of its commits */
    bool is_json;    /* V2 as JSON */
    sm_str *keys;
    int64_t n_keys;
    smi_sidecar *sidecars; /* found when it is replayed */
    int64_t n_sidecars, cap_sidecars;
    int64_t n_passed; /* newer ones that were passed over, since they are damaged */
} smi_checkpoint;

struct sm_snapshot {
    _Atomic int32_t refs;
    sm_arena *arena;
    sm_budget *budget;
    sm_store *store;
    int64_t version;
    const sm_delta_prepared *staged; /* the version is no version yet but this commit, behind its
                                      * base; NULL: it is one */
    bool has_protocol, has_metadata;
    bool has_checksum;              /* the log has one of this version, and it agrees, … */
    int64_t said_files, said_bytes; /* … and so should all files be; −1: it does not say */
    sm_delta_protocol protocol;
    sm_delta_metadata metadata;
    sm_str schema_json;

    smi_checkpoint base; /* that it begins with */
    int64_t n_compacted; /* how many log compaction files it is made of */
    struct smi_replaying {
        int64_t version; /* of the commit whose actions are applied; −1: those of another file */
        int64_t first_add;               /* how many adds there were before it */
        bool has_metadata, has_protocol; /* it had one already */
    } replaying;
    /* Files that the last commit calls otherwise than the commit before that added them: other
     * readers take them for other files. */
    struct smi_respelt {
        int64_t n;
        sm_str now;      /* the path of the first one, in the arena, … */
        int64_t was;     /* … and which of `adds` it is */
        bool is_removed; /* the commit removes it; else it adds it */
    } respelt;

    /* The adds of commits in their order, those of files that were removed since too. */
    smi_action *adds;
    bool *is_dead;    /* of adds[i]: removed, or added anew by a later one */
    int64_t *ranks;   /* of adds[i]: i, or the rank of the file whose place it takes */
    int64_t *anchors; /* of adds[i]: the file of the checkpoint whose place it takes, or −1 */
    int64_t n_adds, cap_adds, cap_dead, cap_ranks, cap_anchors;
    sm_map
        *anchor_by_path; /* smi_file_identity() of files of the checkpoint whose place an add takes
                             * -> a number + 1, by which `anchors` names them */
    sm_map *by_path;     /* smi_file_identity() of live files -> index in adds + 1 */

    smi_tombstone *tombstones; /* of commits */
    int64_t n_tombstones, cap_tombstones;
    sm_map *tombstone_by_path; /* smi_file_identity() of removed files -> index + 1 */

    sm_delta_txn *txns;
    int64_t n_txns, cap_txns;
    sm_map *txn_by_id; /* app id -> index + 1 */

    sm_delta_domain *domains; /* the latest of each name, those that were removed too */
    int64_t n_domains, cap_domains;
    sm_map *domain_by_name; /* index + 1 */

    /* The live files, where the snapshot was opened with them. The array is not in the arena, which
     * keeps what an array leaves behind when it grows. */
    bool is_listed;
    bool is_narrowed; /* only some of them are: those that were wanted */
    sm_delta_file *files;
    int64_t n_files, cap_files;
    smi_home home;                /* lives in the arena */
    struct smi_outsides *outside; /* the stores of absolute paths (delta_outside.c) */
};

/** Applies one action, in the order of the log; copies what it keeps. SM_BUDGET where what the log
 * says does not fit: how much that is only the table decides. */
sm_status smi_state_apply(sm_snapshot *s, const smi_action *action, sm_error *e) SM_MUST_USE;
/** The adds of commits that are live, in the table's order, as their indexes, in `a`. */
int64_t *smi_state_live(const sm_snapshot *s, sm_arena *a, int64_t *n);
/** Frees what smi_state_apply() made outside of the arena. */
void smi_state_release(sm_snapshot *s);
/** After the last action: checks the state and parses the schema. */
sm_status smi_state_finish(sm_snapshot *s, sm_error *e) SM_MUST_USE;
/** Are the partition columns columns of the schema with plain values, each named once? false with
 * *why, a static text. */
bool smi_partitions_validate(const sm_delta_metadata *m, const char **why);
/** A snapshot without a version and a state: smi_begin_replay() comes first. */
sm_snapshot *smi_snapshot_new(sm_store *store, sm_budget *budget);
/** Empties the state, also of what a damaged checkpoint left there. */
void smi_begin_replay(sm_snapshot *s);
const sm_delta_dv *smi_vector_copy(const sm_delta_dv *dv, sm_arena *a); /* of NULL: NULL */
/** A copy of an ADD, REMOVE or CDC that lives in `a`. */
smi_action smi_add_copy(const smi_action *add, sm_arena *a);
/** As sm_snapshot_open_head(), without log compaction files: for what others will rely on. */
sm_status smi_snapshot_open_commits(sm_store *store, int64_t version, sm_budget *budget,
                                    sm_snapshot **out, sm_error *e) SM_MUST_USE;
/** Opens the version of a snapshot anew without what may have damaged it: without log compaction
 * files, or else by an older checkpoint. Fails with the damage where there is none. */
sm_status smi_snapshot_open_older(const sm_snapshot *s, const sm_error *damage, sm_snapshot **out,
                                  sm_error *e) SM_MUST_USE;
/** Is a checkpoint itself at fault, and not the store or the memory? */
bool smi_is_damage(sm_status st);
/** Does a finished snapshot keep what is said of it here and in delta.h? false with *why, a static
 * text. Where not, that is a mistake in smelt, never in a log.
 *
 * Cost      a look at each add and file; deep: also at each of their names in the maps */
bool smi_snapshot_validate(const sm_snapshot *s, bool deep, const char **why);
/** Ends the process where it does not; nothing in release builds. */
void smi_snapshot_assert_valid(const sm_snapshot *s, bool deep);
/** What two adds or removes of the same file of a table have in common, in a buffer of the
 * caller's: smi_path_plain() of their path, and "\0vector" where they have one. */
sm_str smi_file_identity(const smi_home *home, sm_str path, const sm_delta_dv *dv, sm_buf *out);
/** That of the adds and removes that a file was made of (smi_file_of). */
sm_str smi_identity_of(const sm_delta_file *f, sm_buf *out);
/** The value of SMI_TAG_PLACE that stands for a file's identity, and back; in a buffer of the
 * caller's. */
void smi_tag_of_identity(sm_str identity, sm_buf *out);
void smi_identity_of_tag(const smi_home *home, sm_str tag, sm_buf *out);
/** The hash of smi_file_identity() of a file without a vector; never 0. */
sm_hash128 smi_path_hash(const smi_home *home, sm_str path);
/** The index that one of a snapshot's maps has for a name, or −1. */
int64_t smi_place_of(const sm_map *m, sm_str name);

/* ---- the files of a snapshot (delta_files.c) ------------------------------------------------- */

/* Tells which files cannot have rows within bounds, by partition values and statistics. */
typedef struct smi_pruner smi_pruner;
/** Borrows the metadata and the bounds, which are on the table's schema. */
smi_pruner *smi_pruner_new(const sm_delta_metadata *m, const sm_bounds *bounds, sm_budget *budget);
void smi_pruner_free(smi_pruner *p); /* takes NULL */
/** Is it certain that no row of the add is within the bounds? */
bool smi_pruner_excludes(smi_pruner *p, const smi_action *add);

/* Parses the partition values of files. */
typedef struct smi_partitions smi_partitions;
/** For files of a table with these partition columns; it and the values live in `a`. */
smi_partitions *smi_partitions_new(const sm_delta_metadata *m, sm_arena *a);
/** The file that an ADD, REMOVE or CDC of the snapshot's log names; only an ADD tells how many rows
 * it has. Borrows what the action points to; what else it needs lives in `a`. */
sm_status smi_file_of(const sm_snapshot *s, const smi_action *add, smi_partitions *p, sm_arena *a,
                      sm_delta_file *out, sm_error *e) SM_MUST_USE;

typedef sm_status (*smi_each_action)(void *ctx, const smi_action *action, sm_error *e);
/* What is read of each file. */
typedef enum smi_detail {
    SMI_WHOLE,
    SMI_BRIEF, /* path, size, statistics and deletion vector; the rest may be missing */
} smi_detail;
/* Who is given the actions of a checkpoint and of the commits after it. */
typedef struct smi_action_sink {
    void (*begin)(void *ctx); /* before the first, and when all begins anew; NULL: nothing to do */
    smi_each_action each;     /* what the action points to is borrowed for the call */
    /* Files of the checkpoint that are not given, as a later commit removes them or adds them anew;
     * NULL: nothing to do. */
    void (*passed)(void *ctx, const smi_action *action);
    void *ctx;
} smi_action_sink;
/** Gives the add of each live file in the order of the files, without those that the pruner
 * (NULL: none) excludes; with a pruner they are whole. Where the checkpoint turns out to be
 * damaged, an older one is taken and all begins anew. */
sm_status smi_live_each(const sm_snapshot *s, smi_pruner *p, smi_detail detail, smi_action_sink to,
                        sm_error *e) SM_MUST_USE;
/** As smi_live_each(), whole and without a pruner, for who judges the log: a damaged checkpoint, or
 * one that has a file twice, is an error. */
sm_status smi_live_each_strictly(const sm_snapshot *s, smi_action_sink to, sm_error *e) SM_MUST_USE;
/** Gives the removes that the checkpoint and the commits after it list, without those of files that
 * are live again. Begins anew as smi_live_each(). */
sm_status smi_removes_each(const sm_snapshot *s, smi_action_sink to, sm_error *e) SM_MUST_USE;

/* ---- two states compared (delta_compare.c) --------------------------------------------------- */

typedef struct smi_difference {
    const char *what; /* the first thing in which they differ; NULL: they say the same */
    bool has_more;    /* the file names files, transactions or domains that the commits lack: who
                       * deletes it may lose them */
} smi_difference;
/**
 * Compares what commits say with what a checkpoint or a log compaction file says, which is called
 * `file`. Neither state is finished.
 *
 * Owner     out->what lives in `a`
 * Errors    those of reading the checkpoints that the states begin with, damage too; SM_BUDGET
 * Cost      reads the checkpoints that both begin with, and, where files differ, again for each
 *           250,000 files; memory as sm_snapshot_each(), and then 32 MB more
 */
sm_status smi_compare_states(const sm_snapshot *commits, const sm_snapshot *seen, const char *file,
                             sm_arena *a, smi_difference *out, sm_error *e) SM_MUST_USE;
/** Reads all live files of a state that is not finished, and counts them. */
sm_status smi_count_live(const sm_snapshot *s, int64_t *n, sm_error *e) SM_MUST_USE;

/* ---- the log's files ------------------------------------------------------------------------- */

#define SMI_LOG             "_delta_log/"
#define SMI_LAST_CHECKPOINT SMI_LOG "_last_checkpoint"
#define SMI_LOG_SIDECARS    SMI_LOG "_sidecars/"
#define SMI_LOG_KEY_BYTES   64
void smi_commit_key(int64_t version, char out[SMI_LOG_KEY_BYTES]);

/* A longer commit is not read. */
#define SMI_COMMIT_BYTES ((size_t)1 << 30)

/* Who is given the actions of a JSON file of the log, and in which memory. */
typedef struct smi_log_reading {
    sm_arena *arena;   /* what actions point to lives here; NULL: it is good for the call, and no
                        * more memory is taken than one line needs, beside the text */
    sm_budget *budget; /* the text is counted here while it is read; NULL: nowhere */
    smi_each_action each;
    void *ctx;
} smi_log_reading;

/** Reads a commit and calls each(ctx, action) in order. SM_NOT_FOUND where there is no such
 * version; SM_LIMIT over SMI_COMMIT_BYTES; SM_BUDGET where the text does not fit; SM_CORRUPT, with
 * file and line, where a line is no action, or there is none. */
sm_status smi_commit_read(sm_store *s, int64_t version, const smi_log_reading *what,
                          sm_error *e) SM_MUST_USE;

/** Calls each(ctx, action) for the lines of a commit's text; `a` as smi_log_reading.arena. The byte
 * after the text must be readable (a NUL). SM_CORRUPT with the line's number. */
sm_status smi_log_lines(sm_str text, sm_arena *a, smi_each_action each, void *ctx,
                        sm_error *e) SM_MUST_USE;

/** What a COMMIT_INFO says. */
void smi_info_of(const smi_action *action, sm_delta_commit_info *out);

/** As smi_commit_read(), of any JSON file of the log (a V2 checkpoint). */
sm_status smi_log_text_read(sm_store *s, sm_str key, const smi_log_reading *what,
                            sm_error *e) SM_MUST_USE;

/* What a file of the log is; its whole name decides. */
typedef enum smi_entry_kind {
    SMI_ENTRY_OTHER,      /* not read */
    SMI_ENTRY_COMMIT,     /* N.json */
    SMI_ENTRY_CHECKPOINT, /* N.checkpoint.parquet, or N.checkpoint.UUID.json or .parquet */
    SMI_ENTRY_PART,       /* N.checkpoint.PART.PARTS.parquet */
    SMI_ENTRY_CHECKSUM,   /* N.crc */
    SMI_ENTRY_COMPACTED,  /* N.M.compacted.json: what the commits N to M say together */
} smi_entry_kind;

typedef struct smi_log_entry {
    smi_entry_kind kind;
    bool is_json; /* CHECKPOINT */
    int64_t version;
    int64_t part, n_parts; /* from 1 */
    int64_t last;          /* COMPACTED: the M */
} smi_log_entry;

smi_log_entry smi_log_entry_of(sm_str key);

/** Holds a finished snapshot, apart from its files, against its checksum, which the log has, and
 * notes what that says of the files. SM_CORRUPT where it says something else. */
sm_status smi_checksum_check(sm_snapshot *s, sm_error *e) SM_MUST_USE;
/** Holds the number and the size of all files against what the checksum says. */
sm_status smi_checksum_check_files(const sm_snapshot *s, int64_t n_files, int64_t bytes,
                                   sm_error *e) SM_MUST_USE;
/* What the log's folder holds. */
typedef struct smi_log_listing {
    sm_entry *entries;
    smi_log_entry *what; /* what each entry is */
    int64_t n;
    int64_t first_commit, last_commit; /* −1: none */
    bool is_tail;                      /* older files are left out */
    int64_t told; /* the version that _last_checkpoint names, where it was read; else −1 */
} smi_log_listing;
/** Lists the log, in `a`; empty where there is no such folder. */
sm_status smi_log_list(sm_store *s, sm_arena *a, smi_log_listing *out, sm_error *e) SM_MUST_USE;
/** The same, of what comes after the commit of a version; −1: all. */
sm_status smi_log_list_after(sm_store *s, int64_t version, sm_arena *a, smi_log_listing *out,
                             sm_error *e) SM_MUST_USE;
/** The version that _last_checkpoint names, −1 where it is not understood. SM_NOT_FOUND. */
sm_status smi_last_checkpoint(sm_store *s, sm_arena *a, int64_t *version, sm_error *e) SM_MUST_USE;
/** Does the log have the commit of that version? */
bool smi_has_commit(const smi_log_listing *l, int64_t version);

/** The newest complete checkpoint at or before version `at` among the entries before *i, which is
 * l->n at first. Moves *i there, so that the next call gives an older one. */
smi_checkpoint smi_next_checkpoint(const smi_log_listing *l, int64_t at, int64_t *i, sm_arena *a);
/** The key of a sidecar that a checkpoint names, in `a`. Errors: as smi_path_key(); SM_UNSUPPORTED
 * where it is not in the log's own folder. */
sm_status smi_sidecar_key(sm_str path, sm_arena *a, sm_str *key, sm_error *e) SM_MUST_USE;
/** Applies what a checkpoint says but of its files, which smi_live_each() reads. SM_CORRUPT where
 * it says nothing of the table. Its keys outlive the state. */
sm_status smi_replay_head(sm_snapshot *s, const smi_checkpoint *c, sm_error *e) SM_MUST_USE;
/** Applies the actions of commits, in place of what a log compaction file says. SM_CORRUPT where
 * one is missing. */
sm_status smi_replay_commits(sm_snapshot *s, int64_t from, int64_t to, sm_error *e) SM_MUST_USE;

/* Log compaction files (delta_compacted.c). */

/**
 * Chooses the files that say what the versions `from` to `to` say: the fewest.
 *
 * Shape     an entry of the listing for each version from `from` on: the log compaction file that
 *           begins with it, or −1 for its commit; NULL: commits only
 * Owner     the result lives in `a`
 */
int64_t *smi_compacted_choose(const smi_log_listing *l, int64_t from, int64_t to, sm_arena *a);
/** Applies the actions of a log compaction file, an entry of the listing. After a failure the
 * state is to be replayed anew, without that file. SM_CORRUPT: it is damaged; is_doubted: or it is
 * another writer's, and may not say all that its commits say. */
sm_status smi_compacted_replay(sm_snapshot *s, const smi_log_listing *l, int64_t i, bool is_doubted,
                               sm_error *e) SM_MUST_USE;
/** Writes the log compaction file of the versions `first` to `last`, of which there are two or
 * more. It is not written where it could not keep the order of the files, or where there is one. */
sm_status smi_compacted_write(sm_store *store, int64_t first, int64_t last, sm_budget *budget,
                              sm_error *e) SM_MUST_USE;

/* What is read of a Parquet checkpoint or sidecar, and who is given it. */
typedef struct smi_checkpoint_reading {
    uint32_t kinds; /* of actions: SMI_KIND */
    smi_detail detail;
    uint64_t size_bytes;   /* that the file must have; 0: any */
    const sm_type *schema; /* of the table, or NULL: not known yet */
    smi_each_action each;  /* what an action points to is borrowed for the call */
    const smi_home *home;  /* of the table, for announce() */
    /* NULL: nothing is to be done. Some rows ahead of each(): the path_hash of a file that may
     * come, so that memory can be fetched for it. */
    void (*announce)(void *ctx, sm_hash128 path_hash);
    void *ctx;
} smi_checkpoint_reading;
/** Reads the actions of a Parquet checkpoint or sidecar. SM_CORRUPT: it is damaged, or has another
 * size. */
sm_status smi_checkpoint_read(sm_store *s, sm_str key, const smi_checkpoint_reading *what,
                              sm_budget *budget, sm_error *e) SM_MUST_USE;

/* ---- printing actions (delta_commit.c) ------------------------------------------------------- */

/** Can the text be read back? Asserted: a log with a line that cannot would never open again. */
bool smi_is_readable(const sm_delta_prepared *p);

/** Begins and ends an action, which is a line: {"add":{…}}. */
void smi_begin_action(sm_json_writer *w, const char *name);
void smi_end_action(sm_json_writer *w);
/** The last members of commitInfo: who wrote it, its txnId, `info_json`. */
void smi_put_provenance(sm_json_writer *w, sm_str id, sm_str info_json);
/** The whole action. Errors: SM_UNSUPPORTED for a type that Delta does not have. */
sm_status smi_print_metadata(const sm_delta_metadata *m, sm_json_writer *w,
                             sm_error *e) SM_MUST_USE;
/** Metadata and protocol, each as a member of an object. */
void smi_put_metadata(sm_json_writer *w, const char *key, const sm_delta_metadata *m,
                      sm_str schema_json);
void smi_put_protocol(sm_json_writer *w, const char *key, const sm_delta_protocol *p);
/** A key with an object of texts; a value without data is null. */
void smi_put_pairs(sm_json_writer *w, const char *key, const sm_pair *items, int32_t n);
/** The whole action. */
void smi_print_domain(const sm_delta_domain *d, sm_json_writer *w);
void smi_print_txn(const sm_delta_txn *t, sm_json_writer *w);
/** A value: a text, or null where it has no data. */
void smi_put_text_or_null(sm_json_writer *w, sm_str text);
/** A file's row id and row version, as members of an action, where it has them. */
void smi_put_rows(sm_json_writer *w, int64_t base_row_id, int64_t row_version);
/** A deletion vector, as a member of an action. */
void smi_put_vector(sm_json_writer *w, const sm_delta_dv *dv);

/* ---- what depends on the versions before (delta_late.c) -------------------------------------- */

/** Do the table's commits have timestamps of their own? */
bool smi_has_stamps(const sm_delta_protocol *p, const sm_delta_metadata *m);
/** Do new files get row ids? */
bool smi_gives_row_ids(const sm_delta_protocol *p, const sm_delta_metadata *m);
/** Do rows keep their ids where they are written into other files? */
bool smi_keeps_row_ids(const sm_delta_protocol *p, const sm_delta_metadata *m);
/** Metadata by which commits have timestamps of their own since the version after `base` (NULL: of
 * a new table, since its first). In `a`. */
sm_delta_metadata smi_stamped_since(const sm_delta_metadata *m, const sm_snapshot *base,
                                    int64_t now_ms, sm_arena *a);
/** The highest row id that was given out, by the domain SMI_DOMAIN_ROWS (NULL: none is there); −1:
 * none was. */
int64_t smi_high_row(const sm_delta_domain *d);
/** A member of commitInfo, and the action that says up to where row ids are given out. */
void smi_put_stamp(sm_json_writer *w, int64_t now_ms);
void smi_print_high_row(sm_json_writer *w, int64_t high);

/** Has the text of a commit a timestamp, or row ids, to be filled in? */
bool smi_wants_stamp(sm_str text);
bool smi_wants_rows(sm_str text);
/* What the versions before a commit say. */
typedef struct smi_before {
    int64_t base; /* the version that the commit was made for; −1: a new table */
    bool has_stamp;
    int64_t stamp_ms; /* of the version right before; where it has no timestamp of its own, that of
                       * its file */
    bool has_rows;
    int64_t base_high_row, high_row; /* at the commit's base, and right before it */
} smi_before;
/** Appends the text as it is put as that version. */
void smi_late_fill(sm_str text, int64_t version, const smi_before *before, sm_buf *out);

/** Parses sm_delta_prepared.read into bounds on the schema, which live in `a`. */
sm_status smi_read_parse(sm_str json, const sm_type *schema, sm_arena *a, sm_bounds *out,
                         sm_error *e) SM_MUST_USE;

/* ---- translations ---------------------------------------------------------------------------- */

/** Decodes a path of the log ("a%20b") to a key. SM_CORRUPT where it leaves the table's root.
 * *is_outside: it is an absolute path or a URI that does not lead below `home` (NULL: none does),
 * and *key is empty. Where nothing is encoded, *key is the path itself; else it lives in `a`. */
sm_status smi_path_key(const smi_home *home, sm_str path, sm_arena *a, sm_str *key,
                       bool *is_outside, sm_error *e) SM_MUST_USE;
/** Decodes "%20" and the like. What is not such a code stays as it is. */
sm_str smi_percent_decode(sm_str text, sm_arena *a);
/** The one spelling by which a file is known, however a log spells its path: decoded, without parts
 * ".", without "file:", and relative where it lies below `home` (NULL: it may lie anywhere); s3a:
 * and s3n: are s3:. It is the path itself, from some byte on, or lives in the caller's buffer. */
sm_str smi_path_plain(const smi_home *home, sm_str path, sm_buf *out);
/** The plain path of the file with that key in the table's folder, in the caller's buffer. */
void smi_path_of_key(sm_str key, sm_buf *out);
/** Encodes a key as a path of the log: bytes that URIs reserve are percent-encoded. */
sm_str smi_path_encode(sm_str key, sm_arena *a);

/** Parses a text, all of it, as a value of a scalar type in the forms that Delta's logs use
 * (delta_text.c); false where it is no such value. *is_exact is false where a decimal has more
 * digits than the type and was rounded. Strings are borrowed. */
bool smi_text_value(const sm_type *t, sm_str text, sm_value *out, bool *is_exact);

/** Parses a partition value ("" or no data: NULL); SM_CORRUPT where it is no value of the type. */
sm_status smi_partition_value(const sm_type *t, sm_str text, sm_arena *a, sm_value *out,
                              sm_error *e) SM_MUST_USE;
/** Appends a partition value as the log writes it; nothing for NULL. The value is one for which
 * sm_delta_partition_folder() made a folder, or was read from a log. */
void smi_partition_text(sm_value v, sm_buf *out);

/* A column whose statistics are wanted, by its name there. */
typedef struct smi_stats_column {
    sm_str name;
    const sm_type *type;
    bool was_float; /* smi_was_float() of its field */
} smi_stats_column;
/** Finds the number of rows of a file and the ranges of some columns in its statistics, without
 * parsing the others. Gives what smi_stats_parse() would: *n_rows is −1 and nothing is known of the
 * ranges where it would have none. What the ranges point to lives in `a` or is borrowed from the
 * text. */
void smi_stats_pick(sm_str json, const smi_stats_column *columns, int32_t n, sm_arena *a,
                    int64_t *n_rows, sm_range *ranges);
/** The number of rows that statistics tell, or −1. */
int64_t smi_stats_rows(sm_str json);
/** Parses statistics; what is not understood is left out. *n_rows is −1 and *ranges NULL where not
 * even the number of rows is known; else there is one range for each field. */
void smi_stats_parse(sm_str json, const sm_type *schema, sm_arena *a, int64_t *n_rows,
                     const sm_range **ranges);
/** The fields of the struct stats_parsed of a checkpoint that are read, in `a`; NULL: none. */
const sm_type *smi_stats_fields(const sm_type *t, sm_arena *a);
/** Statistics that a checkpoint has as a struct, as JSON, in `a`. schema: of the table, or NULL. */
sm_str smi_stats_of_columns(const sm_column *c, int64_t row, const sm_type *schema, sm_arena *a);
/** The statistics of a file of which rows are to be deleted, in `a`: the values of the columns are
 * then bounds only (tightBounds is false). */
sm_str smi_stats_loosen(sm_str json, sm_arena *a);
/** Appends the statistics of a file of n_rows as JSON. `ranges` (NULL: not known) has one for each
 * field; those of partition columns are not used. */
void smi_stats_print(const sm_delta_metadata *m, const sm_range *ranges, int64_t n_rows,
                     sm_buf *out);
/** Can all readers read the value in a log? Years have four digits there. */
bool smi_is_printable(sm_value v);

/** Is it a list of names of readers.def, with commas between? */
bool smi_are_readers(sm_str list);
/** Is it a double that once was a float? Its older statistics are texts of floats. */
bool smi_was_float(const sm_field *f);
/** Prints the name of a type that is not nested, as a schema has it: "long", "decimal(10,2)". */
void smi_put_type_name(const sm_type *t, sm_json_writer *w);

/** The value of a table property, whose name may be in any case; no data where it is not set. */
sm_str smi_config(const sm_delta_metadata *m, const char *key);
/** A table property that is a duration ("interval 1 week 2 days"): absent_us where it is not set,
 * −1 where its text is not understood. */
int64_t smi_duration_us(const sm_delta_metadata *m, const char *key, int64_t absent_us);
/** Removes from the schema's metadata what the table's mode of column mapping does not use. */
sm_status smi_mapping_settle(const sm_delta_protocol *p, sm_delta_metadata *m, sm_arena *a,
                             sm_error *e) SM_MUST_USE;
/** The key of a field's metadata as the log has it: metadata that the mode does not use has another
 * one in a snapshot's schema. */
sm_str smi_meta_key(sm_str key);
/** May a table's metadata become `m`? SM_UNSUPPORTED where ids of its columns would be used twice,
 * or columns had none. */
sm_status smi_mapping_check(const sm_snapshot *base, const sm_delta_metadata *m,
                            sm_error *e) SM_MUST_USE;
/** Do two texts of schemas, which may be spelt differently, say the same? (delta_compare.c) */
bool smi_are_same_schemas(sm_str x, sm_str y);
/** The name a field has in files and statistics: its physical name under column mapping. */
sm_str smi_physical_name(const sm_field *f, sm_arena *a);

/* ---- files at absolute paths (delta_outside.c) ----------------------------------------------- */

/** The names of the folder of a table; they live in `a`. */
smi_home smi_home_of(const sm_store *s, sm_arena *a);
/** The stores of absolute paths, for a new snapshot. */
struct smi_outsides *smi_outsides_new(sm_budget *budget);
void smi_outsides_free(struct smi_outsides *all);
/** Where an absolute path leads: a store that is borrowed of the snapshot, and a key in `a`.
 * SM_UNSUPPORTED: the table may not name it, or smelt has no such store; SM_CORRUPT: it is no plain
 * path; what opening the store failed with. */
sm_status smi_outside_place(const sm_snapshot *s, sm_str path, sm_arena *a, sm_store **store,
                            sm_str *key, sm_error *e) SM_MUST_USE;

/* ---- datasets (delta_dataset.c) -------------------------------------------------------------- */

/** A file as a scan reads it, without the rows that its deletion vector deletes. Borrows its key
 * and partition values, which must outlive *out, as must the snapshot; its ranges are not set. */
sm_status smi_datafile_of(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                          sm_datafile *out, sm_error *e) SM_MUST_USE;

/* ---- the change data feed (delta_changes.c) -------------------------------------------------- */

/** May a table with these columns record changes? SM_SCHEMA: one has the name of one of changes. */
sm_status smi_check_change_names(const sm_type *schema, sm_error *e) SM_MUST_USE;

/* ---- times of versions (delta_time.c) -------------------------------------------------------- */

typedef struct smi_version_time {
    int64_t version;
    bool is_in_commit; /* it is the inCommitTimestamp of the version's commit; else … */
    int64_t ms;        /* … it is this */
} smi_version_time;
/** The times of the versions up to the snapshot's that the log has and that can be opened, the
 * oldest first. *out lives in `a`. SM_NOT_FOUND where there are none. */
sm_status smi_version_times(const sm_snapshot *newest, sm_arena *a, smi_version_time **out,
                            int64_t *n, sm_error *e) SM_MUST_USE;

/* ---- deletion vectors (delta_vector.c) ------------------------------------------------------- */

/** The file of vectors that the text of storage type "u" names: "ab" and a UUID in base 85 become
 * "ab/deletion_vector_….bin", in `a`. *is_outside as of smi_path_key(). SM_CORRUPT where it names
 * none. */
sm_status smi_vector_key(sm_str text, sm_arena *a, sm_str *key, bool *is_outside,
                         sm_error *e) SM_MUST_USE;
/** The text of storage type "u" for a vector whose absolute path ("p") leads below the table's
 * folder, in `a`; "" where none leads there. home NULL: it does not. */
sm_str smi_vector_relative(const smi_home *home, const sm_delta_dv *dv, sm_arena *a);
/* Where the first vector of a file begins, behind the version byte. */
#define SMI_FIRST_VECTOR 1
/** Bytes in base 85 (Z85), padded with zeros to a multiple of 4; in `a`. */
sm_str smi_encode_base85(const uint8_t *bytes, size_t n, sm_arena *a);
/** Finds where the deletion vector of a file is; its reader reads it. *out lives in `a` and borrows
 * the snapshot and the file. SM_CORRUPT: no place at all; those of smi_outside_place(). */
sm_status smi_vector_deletes(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                             const sm_deletes **out, sm_error *e) SM_MUST_USE;
/** Sets the bit of each row that a vector's bytes delete. `bits` has n_rows bits, all clear; some
 * are set after a failure. SM_CORRUPT where the bytes are damaged, or delete other than n_deleted
 * of the rows. */
sm_status smi_vector_decode(const uint8_t *bytes, size_t len, int64_t n_rows, int64_t n_deleted,
                            uint8_t *bits, sm_error *e) SM_MUST_USE;

/* ---- what a table may ask for ---------------------------------------------------------------- */

/** May the table be read, may it be written? SM_UNSUPPORTED naming a feature that is not known. */
sm_status smi_check_reader(const sm_delta_protocol *p, sm_error *e) SM_MUST_USE;
sm_status smi_check_writer(const sm_delta_protocol *p, const sm_delta_metadata *m,
                           sm_error *e) SM_MUST_USE;

#endif
