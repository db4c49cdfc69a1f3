/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_audit.c: is a table's log sound? Called by table_fsck.c.
 *
 * Method   List the log. Replay the commits in their order into one state. Before the next commit
 *          after a checkpoint, read the checkpoint by itself and compare it with the state
 *          (delta_compare.c): both must have the same protocol, metadata, live files and
 *          transactions. Where they do, the checkpoint is the state from there on, so that no more
 *          is kept than what commits say between two checkpoints; else what the commits say counts.
 *          Where the log has lost its first commits, its first readable checkpoint begins the
 *          state. What a log compaction file says is compared with what its commits say alone.
 * Flaws    a gap between two commits; a commit or a checkpoint that cannot be read; a checkpoint
 *          in parts of which one is missing, or that says something else than the commits; a log
 *          compaction file that does; a commit that adds a file twice, or gives the table another
 *          id and keeps files of the one before; files of a table without columns;
 *          _last_checkpoint that cannot be read or names a checkpoint that is not there.
 * No flaw  a log without its first commits, or without _last_checkpoint: both are optional. A
 *          checkpoint without statistics. One without a transaction, where the table lets them
 *          expire. Another id of a table that was replaced as a whole, as Spark does.
 * Advice   never deletes what may be all that is left of something: files that only a checkpoint
 *          names were perhaps lost from a commit.
 * After    a flaw in the commits the next readable checkpoint begins the state anew.
 * Source   PROTOCOL.md, "Delta Log Entries", "Checkpoints", "Last Checkpoint File" */
#include <inttypes.h>

#include "delta/delta_int.h"

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

/* The parts of a checkpoint that are there. */
typedef struct parts {
    int64_t first, n; /* the entry of the first one */
} parts;

static void tell_partial(audit *u, const parts *p)
{
    const smi_log_entry *w = &u->log.what[p->first];

    SM_ASSERT(w->kind == SMI_ENTRY_PART && p->n > 0);
    if (p->n < w->n_parts) {
        add_flaw(u, w->version, u->log.entries[p->first].key,
                 sm_arena_printf(u->arena,
                                 "the checkpoint has %" PRId64 " of its %" PRId64 " parts", p->n,
                                 w->n_parts),
                 "Readers pass over it, as they do while it is written. Put the missing parts "
                 "back, if there are copies of them.");
    }
}

/* A checkpoint in parts of which one is missing is named by its first part that is there. */
static void find_partial(audit *u)
{
    sm_arena *scratch = sm_arena_new(u->budget);
    sm_map *found = sm_map_new(scratch); /* version and number of parts -> parts */

    for (int64_t i = 0; i < u->log.n; i++) {
        const smi_log_entry *w = &u->log.what[i];
        if (w->kind != SMI_ENTRY_PART) {
            continue;
        }
        const int64_t name[] = {w->version, w->n_parts};
        void **at = sm_map_at(found, (sm_str){(const char *)name, sizeof(name)});
        parts *p = *at ? *at : SM_NEW(scratch, parts);
        p->first = *at ? p->first : i;
        p->n++;
        *at = p;
    }
    for (int64_t i = 0; i < sm_map_count(found); i++) {
        tell_partial(u, sm_map_value(found, i));
    }
    sm_arena_free(scratch);
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
            smi_place_of(seen->tombstone_by_path,
                         smi_file_identity(&seen->home, t->path, t->dv, &id)) < 0) {
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

static const char spare_todo[] =
    "Move it out of the log: the commits are enough, and what they say counts.";
static const char only_todo[] =
    "Keep it: what only it names may have been lost from a commit. Put the commits back, if there "
    "are copies of them.";

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
    smi_difference d = {0};
    sm_error bad = {0};

    SM_ASSERT(w->kind == SMI_ENTRY_COMPACTED);
    sm_status st = smi_replay_commits(commits, w->version, w->last, &bad);
    if (st == SM_OK) { /* else what is wrong with the commits is said already */
        st = smi_compacted_replay(seen, &u->log, i, false, &bad);
        st = st == SM_OK
                 ? smi_compare_states(commits, seen, "log compaction file", u->arena, &d, &bad)
                 : st;
        const sm_str lost = st == SM_OK && !d.what ? lost_removal(commits, seen) : (sm_str){0};
        if (lost.len > 0) {
            d.what =
                sm_arena_printf(u->arena, "the log compaction file lacks the removal of \"%.*s\"",
                                SM_STR_ARG(lost));
        }
        d.what = st != SM_OK ? bad.what : d.what;
    }
    const bool is_failed = st != SM_OK && !smi_is_damage(st);
    if (is_failed && e) {
        *e = bad;
    } else if (!is_failed && d.what) {
        add_flaw(u, w->last, u->log.entries[i].key, d.what, d.has_more ? only_todo : spare_todo);
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

/* What a commit is looked at with: the state before it. */
typedef struct before {
    int64_t n_adds;
    bool has_metadata;
    sm_str id; /* of the table */
} before;

static void find_added_twice(audit *u, const before *b)
{
    const sm_snapshot *s = u->state;

    SM_ASSERT(b->n_adds <= s->n_adds);
    for (int64_t i = b->n_adds; i < s->n_adds; i++) {
        if (s->is_dead[i]) { /* nor has it removed the file: such a commit cannot be read */
            add_flaw(u, u->at, commit_file(u, u->at),
                     sm_arena_printf(u->arena, "the commit adds the file \"%.*s\" twice",
                                     SM_STR_ARG(s->adds[i].path)),
                     "Its rows are there once, by what the later line says of it. Other readers "
                     "may refuse the table: a checkpoint ends that, as it has the file once.");
            return;
        }
    }
}

/* Files that were live before the commit. */
typedef struct staying {
    const smi_action *first, *end; /* the adds of the commit */
    int64_t n;
} staying;

static sm_status count_staying(void *ctx, const smi_action *add, sm_error *e)
{
    staying *k = ctx;

    (void)e;
    k->n += add < k->first || add >= k->end;
    return SM_OK;
}

/* A table that is replaced as a whole may get another id. */
static sm_status find_other_id(audit *u, const before *b, sm_error *e)
{
    const sm_snapshot *s = u->state;
    staying k = {.first = s->adds + b->n_adds, .end = s->adds + s->n_adds};

    if (!b->has_metadata || sm_str_eq(b->id, s->metadata.id)) {
        return SM_OK;
    }
    SM_TRY(smi_live_each_strictly(s, (smi_action_sink){.each = count_staying, .ctx = &k}, e));
    if (k.n > 0) {
        add_flaw(u, u->at, commit_file(u, u->at),
                 sm_arena_printf(u->arena,
                                 "the table's id was \"%.*s\" and becomes \"%.*s\", and %" PRId64
                                 " of its files stay",
                                 SM_STR_ARG(b->id), SM_STR_ARG(s->metadata.id), k.n),
                 "Perhaps it is a commit of another table: put the right one back, if there is a "
                 "copy of it.");
    }
    return SM_OK;
}

static sm_status look_at_commit(audit *u, const before *b, sm_error *e)
{
    find_added_twice(u, b);
    return find_other_id(u, b, e);
}

/* Replays the commits up to `to`, one by one, so that one that cannot be read is named. */
static sm_status advance(audit *u, int64_t to, sm_error *e)
{
    while (u->state && u->at < to) {
        sm_error bad = {0};
        const int64_t version = u->at + 1;
        const before b = {.n_adds = u->state->n_adds,
                          .has_metadata = u->state->has_metadata,
                          .id = u->state->metadata.id};
        SM_ASSERT(version >= 0 && version <= to);
        SM_TRY(sm_check_cancel(u->budget, e));
        const sm_status st = smi_replay_commits(u->state, version, version, &bad);
        u->at = version;
        if (st == SM_OK) {
            SM_TRY(look_at_commit(u, &b, e));
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

/* Reads all of a checkpoint, and compares it with the commits where they are known. */
static sm_status read_checkpoint(audit *u, const smi_checkpoint *c, sm_snapshot *seen,
                                 smi_difference *d, sm_error *e)
{
    int64_t unused = 0;

    SM_TRY(smi_replay_head(seen, c, e));
    SM_ASSERT(!u->state || u->at == c->version);
    return u->state ? smi_compare_states(u->state, seen, "checkpoint", u->arena, d, e)
                    : smi_count_live(seen, &unused, e);
}

static sm_status look_at_checkpoint(audit *u, const smi_checkpoint *c, sm_error *e)
{
    sm_snapshot *seen = new_state(u);
    smi_difference d = {0};
    sm_error bad = {0};

    SM_ASSERT(c->n_keys > 0);
    const sm_status st = read_checkpoint(u, c, seen, &d, &bad);
    const bool is_failed = st != SM_OK && !smi_is_damage(st);
    u->out->n_checkpoints++;
    u->out->n_compared += st == SM_OK && u->state != NULL;
    if (is_failed && e) {
        *e = bad;
    } else if (st != SM_OK && !is_failed) {
        add_flaw(u, c->version, c->keys[0], bad.what,
                 u->state ? "Readers pass over it, as the commits are enough. Move it out of the "
                            "log."
                          : "There are no commits that could stand for it: put it back, if there "
                            "is a copy of it.");
    } else if (d.what) {
        add_flaw(u, c->version, c->keys[0], d.what, d.has_more ? only_todo : spare_todo);
    }
    if (st != SM_OK || d.what) {
        sm_snapshot_release(seen);
        return is_failed ? st : SM_OK;
    }
    drop_state(u);
    u->state = seen;
    u->at = c->version;
    return SM_OK;
}

/* Queries of such a table have no columns, so that nothing tells that it has rows. */
static sm_status look_at_columns(audit *u, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *schema = NULL;
    int64_t n = 0;

    const bool is_empty =
        u->state && u->state->has_metadata &&
        (u->state->schema_json.len == 0 ||
         (sm_delta_schema_parse(u->state->schema_json, a, &schema, NULL) == SM_OK &&
          schema->n_fields == 0));
    sm_arena_free(a);
    if (!is_empty) {
        return SM_OK;
    }
    SM_TRY(smi_count_live(u->state, &n, e));
    if (n > 0) {
        add_flaw(u, u->at, commit_file(u, u->at),
                 sm_arena_printf(u->arena, "the table has %" PRId64 " files and no columns", n),
                 "Its rows cannot be read. Put the commit with the schema back, if there is a copy "
                 "of it; smelt table restore goes back to a version that has one.");
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
    SM_TRY(advance(u, u->log.last_commit, e));
    return look_at_columns(u, e);
}

/* ---- the pointer ----------------------------------------------------------------------------- */

static sm_status look_at_pointer(audit *u, sm_error *e)
{
    int64_t version = -1;
    bool is_there = false;

    const sm_status st = smi_last_checkpoint(u->store, u->arena, &version, e);
    if (st == SM_OK) {
        for (int64_t i = 0; i < u->n_checkpoints; i++) {
            is_there = is_there || u->checkpoints[i].version == version;
        }
        if (version < 0) {
            add_flaw(u, -1, SM_STR(SMI_LAST_CHECKPOINT), "it names no version",
                     "Delete it: readers then list the whole log.");
        } else if (!is_there) {
            add_flaw(u, version, SM_STR(SMI_LAST_CHECKPOINT),
                     sm_arena_printf(u->arena,
                                     "it names the checkpoint of version %" PRId64
                                     ", which is not there",
                                     version),
                     "Delete it: readers then list the whole log.");
        }
    }
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
