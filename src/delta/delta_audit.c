/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_audit.c: is a table's log sound? Called by table_fsck.c.
 *
 * Method   List the log. Replay the commits in their order into one state. Before the next commit
 *          after a checkpoint, read the checkpoint by itself and compare it with the state: both
 *          must have the same protocol, metadata, live files and transactions. Where the log has
 *          lost its first commits, its first readable checkpoint begins the state. What a log
 *          compaction file says is compared with what its commits say alone.
 * Flaws    a gap between two commits; a commit or a checkpoint that cannot be read; a checkpoint
 *          in parts of which one is missing, or that says something else than the commits; a log
 *          compaction file that does;
 *          _last_checkpoint that cannot be read or names a checkpoint that is not there.
 * No flaw  a log without its first commits, or without _last_checkpoint: both are optional. A
 *          checkpoint without statistics. One without a transaction, where the table lets them
 *          expire.
 * After    a flaw in the commits the next readable checkpoint begins the state anew.
 * Source   PROTOCOL.md, "Delta Log Entries", "Checkpoints", "Last Checkpoint File" */
#include <inttypes.h>

#include "delta/delta_int.h"

#define LAST_CHECKPOINT SMI_LOG "_last_checkpoint"
#define MOST_HINT_BYTES ((size_t)1 << 20)

typedef struct audit {
    sm_store *store;
    sm_budget *budget;
    sm_arena *arena; /* of the flaws */
    smi_log_listing log;
    smi_checkpoint *checkpoints; /* the complete ones, the oldest first */
    int64_t n_checkpoints;
    sm_snapshot *state; /* of version `at`; NULL: not known */
    int64_t at;
    sm_delta_audit *out;
    int64_t cap_flaws;
} audit;

/* ---- what is found --------------------------------------------------------------------------- */

static void add_flaw(audit *u, int64_t version, sm_str file, const char *what, const char *todo)
{
    sm_delta_audit *o = u->out;

    SM_ASSERT(what[0] && todo[0]);
    o->flaws = sm_arena_grow(u->arena, o->flaws, o->n_flaws, &u->cap_flaws, sizeof(*o->flaws));
    o->flaws[o->n_flaws++] = (sm_delta_flaw){
        .version = version,
        .file = sm_arena_str(u->arena, file),
        .what = sm_arena_str(u->arena, sm_str_of(what)),
        .todo = sm_arena_str(u->arena, sm_str_of(todo)),
    };
}

static sm_str commit_file(const audit *u, int64_t version)
{
    char key[SMI_LOG_KEY_BYTES];

    smi_commit_key(version, key);
    return sm_arena_str(u->arena, sm_str_of(key));
}

static const char gap_todo[] =
    "Put the commit back, if there is a copy of it. Versions that need it cannot be opened; those "
    "from the next checkpoint on can.";

static void find_gaps(audit *u)
{
    int64_t next = u->log.first_commit;

    for (int64_t i = 0; i < u->log.n; i++) {
        const int64_t version = u->log.what[i].version;
        if (u->log.what[i].kind != SMI_ENTRY_COMMIT) {
            continue;
        }
        SM_ASSERT(version >= next); /* the listing is in order */
        if (version > next) {
            const char *what =
                version == next + 1
                    ? sm_arena_printf(u->arena, "version %" PRId64 " is missing", next)
                    : sm_arena_printf(u->arena, "versions %" PRId64 " to %" PRId64 " are missing",
                                      next, version - 1);
            add_flaw(u, next, commit_file(u, next), what, gap_todo);
        }
        next = version + 1;
        u->out->n_commits++;
    }
}

/* A checkpoint in parts of which one is missing is named by its first part that is there. */
static void find_partial(audit *u)
{
    for (int64_t i = 0; i < u->log.n; i++) {
        const smi_log_entry *w = &u->log.what[i];
        int64_t n = 0, first = i;
        if (w->kind != SMI_ENTRY_PART) {
            continue;
        }
        for (int64_t k = i; k >= 0 && u->log.what[k].version == w->version; k--) {
            first = u->log.what[k].n_parts == w->n_parts ? k : first;
        }
        for (int64_t k = first; k < u->log.n && u->log.what[k].version == w->version; k++) {
            n += u->log.what[k].kind == SMI_ENTRY_PART && u->log.what[k].n_parts == w->n_parts;
        }
        SM_ASSERT(first <= i && n > 0);
        if (first == i && n < w->n_parts) {
            add_flaw(u, w->version, u->log.entries[i].key,
                     sm_arena_printf(u->arena,
                                     "the checkpoint has %" PRId64 " of its %" PRId64 " parts", n,
                                     w->n_parts),
                     "Readers pass over it. Delete its parts, unless it is being written now.");
        }
    }
}

/* ---- what a checkpoint says, against the commits --------------------------------------------- */

static bool has_text(const sm_str *items, int32_t n, sm_str wanted)
{
    bool has = false;

    for (int32_t i = 0; i < n && !has; i++) {
        has = sm_str_eq(items[i], wanted);
    }
    return has;
}

/* As sets. */
static bool are_same_texts(const sm_str *x, int32_t n_x, const sm_str *y, int32_t n_y)
{
    bool is_same = n_x == n_y;

    for (int32_t i = 0; i < n_x && is_same; i++) {
        is_same = has_text(y, n_y, x[i]);
    }
    return is_same;
}

/* As sets; a null is a value without data. */
static bool are_same_pairs(const sm_pair *x, int32_t n_x, const sm_pair *y, int32_t n_y)
{
    bool is_same = n_x == n_y;

    for (int32_t i = 0; i < n_x && is_same; i++) {
        bool has = false;
        for (int32_t k = 0; k < n_y && !has; k++) {
            has = sm_str_eq(x[i].key, y[k].key) && sm_str_eq(x[i].value, y[k].value);
        }
        is_same = has;
    }
    return is_same;
}

static bool are_same_protocols(const sm_delta_protocol *x, const sm_delta_protocol *y)
{
    return x->min_reader == y->min_reader && x->min_writer == y->min_writer &&
           are_same_texts(x->reader_features, x->n_reader_features, y->reader_features,
                          y->n_reader_features) &&
           are_same_texts(x->writer_features, x->n_writer_features, y->writer_features,
                          y->n_writer_features);
}

/* The texts may be spelt differently. */
static bool are_same_schemas(sm_str x, sm_str y)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *left = NULL, *right = NULL;
    sm_buf left_text = {0}, right_text = {0};

    bool is_same = sm_str_eq(x, y);
    if (!is_same && sm_delta_schema_parse(x, a, &left, NULL) == SM_OK &&
        sm_delta_schema_parse(y, a, &right, NULL) == SM_OK) {
        is_same = sm_delta_schema_json(left, &left_text, NULL) == SM_OK &&
                  sm_delta_schema_json(right, &right_text, NULL) == SM_OK &&
                  sm_str_eq(sm_buf_str(&left_text), sm_buf_str(&right_text));
    }
    sm_buf_release(&left_text);
    sm_buf_release(&right_text);
    sm_arena_free(a);
    return is_same;
}

/* The member of the metadata that differs, or NULL. */
static const char *other_metadata(const sm_snapshot *x, const sm_snapshot *y)
{
    const sm_delta_metadata *m = &x->metadata, *o = &y->metadata;

    if (x->has_metadata != y->has_metadata || !sm_str_eq(m->id, o->id)) {
        return "the table's id";
    }
    if (!are_same_schemas(x->schema_json, y->schema_json)) {
        return "the schema";
    }
    if (!are_same_texts(m->partition_columns, m->n_partition_columns, o->partition_columns,
                        o->n_partition_columns)) {
        return "the partition columns";
    }
    return are_same_pairs(m->config, m->n_config, o->config, o->n_config) ? NULL : "the properties";
}

/* numRecords of statistics; −1 where they do not say it. */
static int64_t rows_of(sm_str stats_json, sm_arena *a)
{
    const sm_json *stats = NULL;
    int64_t n = -1;

    if (stats_json.len == 0 || sm_json_parse(stats_json, a, &stats, NULL) != SM_OK ||
        !sm_json_i64(sm_json_get(stats, "numRecords"), &n)) {
        return -1;
    }
    return n;
}

/* Does the checkpoint's add say something else of the same file? Statistics may be missing. */
static bool differs(const smi_action *x, const smi_action *y, sm_arena *a)
{
    sm_arena_reset(a);
    const int64_t n_x = rows_of(x->stats_json, a), n_y = rows_of(y->stats_json, a);

    return x->size_bytes != y->size_bytes || (n_x >= 0 && n_y >= 0 && n_x != n_y) ||
           !are_same_pairs(x->partition, x->n_partition, y->partition, y->n_partition);
}

/* Live files of x that y has not (*n_missing) or has otherwise (*n_other), and the first one. */
static void compare_files(const sm_snapshot *x, const sm_snapshot *y, int64_t *n_missing,
                          int64_t *n_other, sm_str *first)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_buf id = {0};

    *n_missing = *n_other = 0;
    SM_ASSERT(!x->files && !y->files); /* neither is finished: nothing of them is parsed yet */
    for (int64_t i = 0; i < x->n_adds; i++) {
        if (x->is_dead[i]) {
            continue;
        }
        const smi_action *add = &x->adds[i];
        const int64_t at = smi_place_of(y->by_path, smi_file_identity(add->path, add->dv, &id));
        SM_ASSERT(at < y->n_adds && (at < 0 || !y->is_dead[at]));
        const bool is_other = at >= 0 && differs(add, &y->adds[at], a);
        if ((at < 0 || is_other) && *n_missing + *n_other == 0) {
            *first = add->path;
        }
        *n_missing += at < 0;
        *n_other += is_other;
    }
    sm_buf_release(&id);
    sm_arena_free(a);
}

/* The first transaction of x that y has not, or with another version; "" where there is none. */
static sm_str other_txn(const sm_snapshot *x, const sm_snapshot *y, bool may_miss)
{
    for (int64_t i = 0; i < x->n_txns; i++) {
        const int64_t at = smi_place_of(y->txn_by_id, x->txns[i].app_id);
        SM_ASSERT(at < y->n_txns);
        if (at >= 0 ? y->txns[at].version != x->txns[i].version : !may_miss) {
            return x->txns[i].app_id;
        }
    }
    return (sm_str){0};
}

/* Does x have a domain that y has not, or with another text? */
static bool has_other_domain(const sm_snapshot *x, const sm_snapshot *y)
{
    bool has = false;

    for (int64_t i = 0; i < x->n_domains && !has; i++) {
        const sm_delta_domain *d = sm_snapshot_domain(y, x->domains[i].name);
        has = !x->domains[i].is_removed &&
              (!d || !sm_str_eq(d->configuration, x->domains[i].configuration));
    }
    return has;
}

static const char checkpoint_todo[] =
    "Delete the checkpoint: the commits are enough, and what they say counts.";

/* What a file says otherwise than the commits, in the arena; NULL where nothing. `file`: what it is
 * called. */
static const char *disagreement(const audit *u, const sm_snapshot *commits, const sm_snapshot *seen,
                                const char *file)
{
    int64_t missing = 0, other = 0, more = 0, unused = 0;
    sm_str first = {0}, first_more = {0};

    if (commits->has_protocol != seen->has_protocol ||
        !are_same_protocols(&commits->protocol, &seen->protocol)) {
        return sm_arena_printf(u->arena, "the %s has another protocol than the commits", file);
    }
    const char *of = other_metadata(commits, seen);
    if (of) {
        return sm_arena_printf(u->arena, "%s in the %s %s not what the commits say", of, file,
                               of[strlen(of) - 1] == 's' ? "are" : "is");
    }
    compare_files(commits, seen, &missing, &other, &first);
    if (missing > 0 || other > 0) {
        return sm_arena_printf(u->arena,
                               "the %s lacks %" PRId64 " of the commits' files and says "
                               "something else of %" PRId64 ", the first is \"%.*s\"",
                               file, missing, other, SM_STR_ARG(first));
    }
    compare_files(seen, commits, &more, &unused, &first_more);
    if (more > 0) {
        return sm_arena_printf(u->arena,
                               "the commits lack %" PRId64 " of the %s's files, the first "
                               "is \"%.*s\"",
                               more, file, SM_STR_ARG(first_more));
    }
    if (has_other_domain(commits, seen) || has_other_domain(seen, commits)) {
        return sm_arena_printf(u->arena, "the %s has other domain metadata than the commits", file);
    }
    const bool may_miss =
        smi_config(&commits->metadata, "delta.setTransactionRetentionDuration").len > 0;
    sm_str txn = other_txn(commits, seen, may_miss);
    txn = txn.len > 0 ? txn : other_txn(seen, commits, false);
    return txn.len > 0
               ? sm_arena_printf(u->arena, "the %s and the commits differ in transaction \"%.*s\"",
                                 file, SM_STR_ARG(txn))
               : NULL;
}

/* The first removal of the commits, of a file or a domain, that `seen` lacks; "" where there is
 * none. */
static sm_str lost_removal(const sm_snapshot *commits, const sm_snapshot *seen)
{
    sm_buf id = {0};
    sm_str lost = {0};

    for (int64_t i = 0; i < commits->n_tombstones && lost.len == 0; i++) {
        const smi_tombstone *t = &commits->tombstones[i];
        if (!t->is_live_again &&
            smi_place_of(seen->tombstone_by_path, smi_file_identity(t->path, t->dv, &id)) < 0) {
            lost = t->path;
        }
    }
    for (int64_t i = 0; i < commits->n_domains && lost.len == 0; i++) {
        const sm_delta_domain *d = &commits->domains[i];
        if (d->is_removed && smi_place_of(seen->domain_by_name, d->name) < 0) {
            lost = d->name;
        }
    }
    sm_buf_release(&id);
    return lost;
}

/* ---- log compaction files -------------------------------------------------------------------- */

static const char compacted_todo[] =
    "Delete the file: the commits are enough, and what they say counts.";

/* A state of its own: what some commits, or the file in their place, say alone. */
static sm_snapshot *new_state(const audit *u)
{
    sm_snapshot *s = smi_snapshot_new(u->store, u->budget);

    smi_begin_replay(s);
    return s;
}

static sm_status look_at_compacted(audit *u, int64_t i, sm_error *e)
{
    const smi_log_entry *w = &u->log.what[i];
    sm_snapshot *commits = new_state(u), *seen = new_state(u);
    const char *what = NULL;
    sm_error bad = {0};

    SM_ASSERT(w->kind == SMI_ENTRY_COMPACTED);
    sm_status st = smi_replay_commits(commits, w->version, w->last, &bad);
    if (st == SM_OK) { /* else what is wrong with the commits is said already */
        st = smi_compacted_replay(seen, &u->log, i, false, &bad);
        what = st != SM_OK ? bad.what : disagreement(u, commits, seen, "log compaction file");
        const sm_str lost = st == SM_OK && !what ? lost_removal(commits, seen) : (sm_str){0};
        if (lost.len > 0) {
            what =
                sm_arena_printf(u->arena, "the log compaction file lacks the removal of \"%.*s\"",
                                SM_STR_ARG(lost));
        }
    }
    const bool is_failed = st != SM_OK && !smi_is_damage(st);
    if (is_failed && e) {
        *e = bad;
    } else if (!is_failed && what) {
        add_flaw(u, w->last, u->log.entries[i].key, what, compacted_todo);
    }
    sm_snapshot_release(commits);
    sm_snapshot_release(seen);
    return is_failed ? st : SM_OK;
}

/* Those whose range has one version only are never read. */
static sm_status look_at_all_compacted(audit *u, sm_error *e)
{
    for (int64_t i = 0; i < u->log.n; i++) {
        const smi_log_entry *w = &u->log.what[i];
        if (w->kind == SMI_ENTRY_COMPACTED && w->last > w->version) {
            SM_TRY(look_at_compacted(u, i, e));
        }
    }
    return SM_OK;
}

/* ---- replaying ------------------------------------------------------------------------------- */

static void drop_state(audit *u)
{
    sm_snapshot_release(u->state);
    u->state = NULL;
}

/* Replays the commits up to `to`, one by one, so that one that cannot be read is named. */
static sm_status advance(audit *u, int64_t to, sm_error *e)
{
    while (u->state && u->at < to) {
        sm_error bad = {0};
        const int64_t version = u->at + 1;
        SM_ASSERT(version >= 0 && version <= to);
        SM_TRY(sm_check_cancel(u->budget, e));
        const sm_status st = smi_replay_commits(u->state, version, version, &bad);
        u->at = version;
        if (st == SM_OK) {
            continue;
        }
        if (!smi_is_damage(st)) {
            if (e) {
                *e = bad;
            }
            return st;
        }
        if (smi_has_commit(&u->log, version)) { /* else it is one of the gaps */
            add_flaw(u, version, commit_file(u, version), bad.what,
                     "Put the commit back, if there is a copy of it; smelt table restore goes back "
                     "to a version before it only while that can be opened.");
        }
        drop_state(u);
    }
    return SM_OK;
}

static sm_status look_at_checkpoint(audit *u, const smi_checkpoint *c, sm_error *e)
{
    sm_snapshot *seen = new_state(u);
    sm_error bad = {0};

    SM_ASSERT(c->n_keys > 0);
    const sm_status st = smi_replay_checkpoint(seen, c, &bad);
    u->out->n_checkpoints++;
    if (st != SM_OK) {
        sm_snapshot_release(seen);
        if (!smi_is_damage(st)) {
            if (e) {
                *e = bad;
            }
            return st;
        }
        add_flaw(u, c->version, c->keys[0], bad.what,
                 u->state
                     ? checkpoint_todo
                     : "There are no commits that could stand for it: put it back, if there is "
                       "a copy of it.");
        return SM_OK;
    }
    if (u->state) {
        SM_ASSERT(u->at == c->version);
        const char *what = disagreement(u, u->state, seen, "checkpoint");
        if (what) {
            add_flaw(u, c->version, c->keys[0], what, checkpoint_todo);
        }
        u->out->n_compared++;
        sm_snapshot_release(seen);
    } else {
        u->state = seen;
        u->at = c->version;
    }
    return SM_OK;
}

static sm_status replay_all(audit *u, sm_error *e)
{
    if (u->log.first_commit == 0) {
        u->state = new_state(u);
        u->at = -1;
    }
    for (int64_t i = 0; i < u->n_checkpoints; i++) {
        SM_TRY(advance(u, u->checkpoints[i].version, e));
        SM_TRY(look_at_checkpoint(u, &u->checkpoints[i], e));
    }
    return advance(u, u->log.last_commit, e);
}

/* ---- the pointer ----------------------------------------------------------------------------- */

static sm_status look_at_pointer(audit *u, sm_error *e)
{
    sm_buf text = {.max_bytes = MOST_HINT_BYTES};
    const sm_json *doc = NULL;
    int64_t version = -1;
    bool is_there = false;

    const sm_status st = sm_store_get(u->store, SM_STR(LAST_CHECKPOINT), &text, e);
    if (st == SM_OK) {
        const bool is_read = sm_json_parse(sm_buf_str(&text), u->arena, &doc, NULL) == SM_OK &&
                             sm_json_i64(sm_json_get(doc, "version"), &version);
        for (int64_t i = 0; i < u->n_checkpoints; i++) {
            is_there = is_there || u->checkpoints[i].version == version;
        }
        if (!is_read) {
            add_flaw(u, -1, SM_STR(LAST_CHECKPOINT), "it names no version",
                     "Delete it: readers then list the log, as smelt always does.");
        } else if (!is_there) {
            add_flaw(u, version, SM_STR(LAST_CHECKPOINT),
                     sm_arena_printf(u->arena,
                                     "it names the checkpoint of version %" PRId64
                                     ", which is not there",
                                     version),
                     "Delete it: readers then list the log, as smelt always does.");
        }
    }
    sm_buf_release(&text);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* ---- the door -------------------------------------------------------------------------------- */

/* The listing gives the newest first. */
static void find_checkpoints(audit *u)
{
    int64_t i = u->log.n;

    u->checkpoints = SM_NEW_ARRAY(u->arena, smi_checkpoint, u->log.n + 1);
    for (;;) {
        const smi_checkpoint c = smi_next_checkpoint(&u->log, INT64_MAX, &i, u->arena);
        if (c.version < 0) {
            break;
        }
        SM_ASSERT(u->n_checkpoints < u->log.n);
        u->checkpoints[u->n_checkpoints++] = c;
    }
    for (int64_t k = 0; k < u->n_checkpoints / 2; k++) {
        const smi_checkpoint c = u->checkpoints[k];
        u->checkpoints[k] = u->checkpoints[u->n_checkpoints - 1 - k];
        u->checkpoints[u->n_checkpoints - 1 - k] = c;
    }
}

sm_status sm_delta_audit_log(sm_store *s, sm_budget *budget, sm_arena *a, sm_delta_audit *out,
                             sm_error *e)
{
    audit u = {.store = s, .budget = budget, .arena = a, .out = out};

    *out = (sm_delta_audit){0};
    SM_TRY(smi_log_list(s, a, &u.log, e));
    find_gaps(&u);
    find_partial(&u);
    find_checkpoints(&u);
    sm_status st = replay_all(&u, e);
    st = st == SM_OK ? look_at_all_compacted(&u, e) : st;
    st = st == SM_OK ? look_at_pointer(&u, e) : st;
    sm_snapshot_release(u.state);
    return st;
}
