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

#include "base/hash_set.h"
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
    int64_t *ends; /* how many adds the state had after each commit, … */
    int64_t n_ends, cap_ends;
    int64_t first_end; /* … from that version on */
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
    u->n_ends = 0;
}

/* What a commit is looked at with: the state before it. */
typedef struct before {
    int64_t n_adds;
    bool has_metadata;
    sm_str id; /* of the table */
} before;

/* The path of the add that stands for the file of the i-th one, which is dead. */
static sm_str last_path(const sm_snapshot *s, int64_t i)
{
    sm_buf id = {0};
    const int64_t last =
        smi_place_of(s->by_path, smi_file_identity(&s->home, s->adds[i].path, s->adds[i].dv, &id));

    SM_ASSERT(last > i && last < s->n_adds);
    sm_buf_release(&id);
    return s->adds[last].path;
}

static void find_added_twice(audit *u, const before *b)
{
    const sm_snapshot *s = u->state;

    SM_ASSERT(b->n_adds <= s->n_adds);
    for (int64_t i = b->n_adds; i < s->n_adds; i++) {
        if (s->is_dead[i]) { /* nor has it removed the file: such a commit cannot be read */
            const sm_str path = s->adds[i].path, last = last_path(s, i);
            const char *as =
                sm_str_eq(path, last)
                    ? ""
                    : sm_arena_printf(u->arena, ", the last time as \"%.*s\"", SM_STR_ARG(last));
            add_flaw(u, u->at, commit_file(u, u->at),
                     sm_arena_printf(u->arena, "the commit adds the file \"%.*s\" twice%s",
                                     SM_STR_ARG(path), as),
                     "Its rows are there once, by what the later line says of it. Other readers "
                     "may refuse the table: a checkpoint ends that, as it has the file once.");
            return;
        }
    }
}

/* ---- files that are spelt in two ways -------------------------------------------------------- */

/* The version whose commit added the i-th of the state's adds. */
static int64_t version_of_add(const audit *u, int64_t i)
{
    int64_t low = 0, high = u->n_ends;

    SM_ASSERT(i >= 0 && i < u->state->n_adds);
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (u->ends[middle] > i) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return u->first_end + low;
}

/* A file that a commit calls otherwise than what the log says before. */
typedef struct respelling {
    int64_t version; /* of the commit */
    sm_str now, was;
    const char *where; /* the file is `was`: "version", "the checkpoint of version" … */
    int64_t since;     /* … this */
    bool is_removed;
    int64_t n; /* that many files of the commit */
} respelling;

static void add_respelling(audit *u, const respelling *r)
{
    const char *more =
        r->n > 1
            ? sm_arena_printf(u->arena, ", and %" PRId64 " more are spelt in two ways", r->n - 1)
            : "";

    SM_ASSERT(r->n > 0 && r->version > r->since);
    add_flaw(
        u, r->version, commit_file(u, r->version),
        sm_arena_printf(u->arena,
                        "the commit %s \"%.*s\", which is the file \"%.*s\" of %s %" PRId64 "%s",
                        r->is_removed ? "removes" : "adds", SM_STR_ARG(r->now), SM_STR_ARG(r->was),
                        r->where, r->since, more),
        r->is_removed
            ? "Its rows are gone. Readers that take it for two files still read them: a "
              "checkpoint ends that, as it has the file no more."
            : "Its rows are there once, by what the later commit says of it. Readers that take "
              "it for two files read them twice: a checkpoint ends that, as it has the file "
              "once.");
}

/* Of files that earlier commits of the state have added. */
static void find_respelt(audit *u)
{
    const struct smi_respelt *r = &u->state->respelt;

    if (r->n > 0) {
        const respelling found = {
            .version = u->at,
            .now = r->now,
            .was = u->state->adds[r->was].path,
            .where = "version",
            .since = version_of_add(u, r->was),
            .is_removed = r->is_removed,
            .n = r->n,
        };
        add_respelling(u, &found);
    }
}

/* Of files of the checkpoint with which the state begins. */
typedef struct base_names {
    audit *audit;
    sm_hash_set said; /* hashes of the paths that the commits have, as they are spelt there */
    respelling first;
    sm_buf text;
} base_names;

static sm_hash128 spelling_of(sm_str path)
{
    return sm_hash128_of(path.data, path.len, 0);
}

/* The first add of a file, dead or not; −1: it has none. Looks at all: asked once. */
static int64_t first_add_of(const sm_snapshot *s, sm_str id)
{
    sm_buf text = {0};
    int64_t first = -1;

    for (int64_t i = 0; i < s->n_adds && first < 0; i++) {
        const sm_str own = smi_file_identity(&s->home, s->adds[i].path, s->adds[i].dv, &text);
        first = sm_str_eq(own, id) ? i : -1;
    }
    sm_buf_release(&text);
    return first;
}

/* smi_action_sink.passed: what a commit added anew or removed, by its own name or another one. */
static void compare_spelling(void *ctx, const smi_action *action)
{
    base_names *k = ctx;
    const audit *u = k->audit;
    const sm_snapshot *s = u->state;

    if (sm_hash_set_has(&k->said, spelling_of(action->path)) || k->first.n++ > 0) {
        return;
    }
    const sm_str id = smi_file_identity(&s->home, action->path, action->dv, &k->text);
    const int64_t add = first_add_of(s, id), gone = smi_place_of(s->tombstone_by_path, id);
    SM_ASSERT(add >= 0 || gone >= 0);
    k->first = (respelling){
        .version = add >= 0 ? version_of_add(u, add) : s->tombstones[gone].version,
        .now = add >= 0 ? s->adds[add].path : s->tombstones[gone].path,
        .was = sm_arena_str(u->arena, action->path),
        .where = "the checkpoint of version",
        .since = s->base.version,
        .is_removed = add < 0,
        .n = 1,
    };
}

static sm_status pass_file(void *ctx, const smi_action *add, sm_error *e)
{
    (void)ctx;
    (void)add;
    (void)e;
    return SM_OK;
}

static sm_status know_spellings(base_names *k, const sm_snapshot *s, sm_error *e)
{
    for (int64_t i = 0; i < s->n_adds; i++) {
        SM_TRY(sm_hash_set_add(&k->said, spelling_of(s->adds[i].path), NULL, e));
    }
    for (int64_t i = 0; i < s->n_tombstones; i++) {
        SM_TRY(sm_hash_set_add(&k->said, spelling_of(s->tombstones[i].path), NULL, e));
    }
    return SM_OK;
}

static sm_status find_respelt_of_base(audit *u, sm_error *e)
{
    const sm_snapshot *s = u->state;
    base_names k = {.audit = u, .said = {.budget = u->budget}};
    const smi_action_sink to = {.each = pass_file, .passed = compare_spelling, .ctx = &k};
    sm_error bad = {0};

    if (s->base.version < 0 || s->n_adds + s->n_tombstones == 0) {
        return SM_OK;
    }
    sm_status st = know_spellings(&k, s, &bad);
    st = st == SM_OK ? smi_live_each_strictly(s, to, &bad) : st;
    if (st == SM_OK && k.first.n > 0) {
        add_respelling(u, &k.first);
    }
    sm_hash_set_release(&k.said);
    sm_buf_release(&k.text);
    if (st == SM_OK || smi_is_damage(st)) { /* which other looks tell */
        return SM_OK;
    }
    if (e) {
        *e = bad;
    }
    return st;
}

/* The state is known no more, or another one takes its place. */
static sm_status end_state(audit *u, sm_error *e)
{
    const sm_status st = u->state ? find_respelt_of_base(u, e) : SM_OK;

    drop_state(u);
    return st;
}

/* ---- commits --------------------------------------------------------------------------------- */

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
    u->ends = sm_arena_grow(u->arena, u->ends, u->n_ends, &u->cap_ends, sizeof(*u->ends));
    u->first_end = u->n_ends == 0 ? u->at : u->first_end;
    u->ends[u->n_ends++] = u->state->n_adds;
    find_added_twice(u, b);
    find_respelt(u);
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
        SM_TRY(end_state(u, e));
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
    const sm_status ended = end_state(u, e);
    u->state = seen;
    u->at = c->version;
    return ended;
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
    SM_TRY(look_at_columns(u, e));
    return end_state(u, e);
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
    drop_state(&u); /* after a failure */
    return st;
}
