/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_snapshot.c: opens a version of a table: lists the log, picks the newest complete
 * checkpoint at or before the version, reads what it says apart from its files, and replays the
 * commits after it. delta_files.c reads the files.
 *
 * Checkpoints  classic (N.checkpoint.parquet), in parts (N.checkpoint.I.OF.parquet, complete where
 *              all OF parts exist), and V2 (N.checkpoint.UUID.json or .parquet, with sidecars). The
 *              listing shows which exist, so a broken _last_checkpoint does no harm.
 * Tail         Where _last_checkpoint names a checkpoint that is there, only what comes after it is
 *              listed, and a little before it: log compaction files that begin there and end after
 *              it tell of the end, too. Where that does not lead to the version, all is listed.
 * End          A log that was copied in part may end too soon. What lies beside it tells, where it
 *              is of a later version: _last_checkpoint, a checksum, a log compaction file.
 * Damage       A checkpoint only repeats what the commits before it say. So a damaged one is passed
 *              over where there is an older one (or the first commit) and all commits after that.
 *              Where the damage is found only when the files are read, the version is opened anew
 *              without that checkpoint.
 * Checksum     Where the version has one, it is held against it (delta_checksum.c).
 * Compaction   Log compaction files are read in place of their commits (delta_compacted.c). One
 *              that is damaged is passed over: the version is replayed anew without it.
 * Gaps         Where a commit after the checkpoint is missing, the log is damaged.
 * Order        The actions of a commit have no order. One that adds a file and removes it, or has
 *              two protocols or two schemas, says two things, and readers differ in which counts:
 *              it is refused.
 *
 * Source  PROTOCOL.md, "Checkpoints", "Action Reconciliation" */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"
#include "delta/delta_int.h"

#define MOST_HINT_BYTES ((size_t)1 << 20)
#define BEFORE_TAIL     100 /* versions that are listed before the last checkpoint: one S3 page */

/* ---- what the log's folder holds ------------------------------------------------------------- */

/* Says what the entries of a listing are. */
static void tell_entries(smi_log_listing *out, sm_arena *a)
{
    out->what = SM_NEW_ARRAY(a, smi_log_entry, out->n);
    for (int64_t i = 0; i < out->n; i++) {
        out->what[i] = smi_log_entry_of(out->entries[i].key);
        if (out->what[i].kind == SMI_ENTRY_COMMIT) {
            const int64_t version = out->what[i].version;
            out->first_commit = out->first_commit < 0 ? version : out->first_commit;
            out->last_commit = version;
        }
    }
}

sm_status smi_log_list(sm_store *s, sm_arena *a, smi_log_listing *out, sm_error *e)
{
    *out = (smi_log_listing){.first_commit = -1, .last_commit = -1, .told = -1};
    const sm_status st = sm_store_list(s, SM_STR(SMI_LOG), true, a, &out->entries, &out->n, e);

    tell_entries(out, a);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

sm_status smi_log_list_after(sm_store *s, int64_t version, sm_arena *a, smi_log_listing *out,
                             sm_error *e)
{
    char after[SMI_LOG_KEY_BYTES] = SMI_LOG;

    if (version >= 0) {
        smi_commit_key(version, after);
    }
    *out = (smi_log_listing){
        .first_commit = -1, .last_commit = -1, .told = -1, .is_tail = version >= 0};
    const sm_status st = sm_store_list_after(s, SM_STR(SMI_LOG), sm_str_of(after), true, a,
                                             &out->entries, &out->n, e);
    tell_entries(out, a);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* Is entry `p` that part of the checkpoint whose last part is `last`? */
static bool is_part(const smi_log_listing *l, int64_t p, const smi_log_entry *last, int64_t part)
{
    const smi_log_entry *w = &l->what[p];

    return w->kind == SMI_ENTRY_PART && w->n_parts == last->n_parts && w->part == part;
}

/* The parts of the checkpoint whose last part is entry `i`: goes back through the sorted listing,
 * from the last part to the first. Parts of checkpoints with another number of parts may stand
 * between them; where an earlier part stands, the one that is looked for does not come. Leaves *out
 * empty where a part is missing, and takes no memory then: a name may promise as many parts as it
 * likes. */
static void find_parts(const smi_log_listing *l, int64_t i, sm_arena *a, smi_checkpoint *out)
{
    const smi_log_entry last = l->what[i];
    int64_t missing = last.part == last.n_parts ? last.n_parts : 0, p = i;

    if (missing == 0 || missing > l->n) {
        return;
    }
    for (; p >= 0 && missing > 0 && l->what[p].version == last.version; p--) {
        if (l->what[p].kind == SMI_ENTRY_PART && l->what[p].part < missing) {
            return;
        }
        missing -= is_part(l, p, &last, missing);
    }
    SM_ASSERT(missing >= 0);
    if (missing > 0) {
        return;
    }
    out->keys = SM_NEW_ARRAY(a, sm_str, last.n_parts);
    for (p = p + 1; p <= i; p++) {
        if (is_part(l, p, &last, out->n_keys + 1)) {
            out->keys[out->n_keys++] = l->entries[p].key;
        }
    }
    SM_ASSERT(out->n_keys == last.n_parts);
}

smi_checkpoint smi_next_checkpoint(const smi_log_listing *l, int64_t at, int64_t *i, sm_arena *a)
{
    SM_ASSERT(*i <= l->n);
    while (--*i >= 0) {
        const smi_log_entry *w = &l->what[*i];
        smi_checkpoint found = {.version = w->version, .is_json = w->is_json};
        if (w->version > at) {
            continue;
        }
        if (w->kind == SMI_ENTRY_CHECKPOINT) {
            found.keys = &l->entries[*i].key;
            found.n_keys = 1;
        } else if (w->kind == SMI_ENTRY_PART) {
            find_parts(l, *i, a, &found);
        }
        if (found.n_keys > 0) {
            return found;
        }
    }
    return (smi_checkpoint){.version = -1};
}

/* The newest version that the log has, or −1. */
static int64_t end_of(const smi_log_listing *l, sm_arena *a)
{
    int64_t i = l->n;
    const smi_checkpoint newest = smi_next_checkpoint(l, INT64_MAX, &i, a);

    return l->last_commit > newest.version ? l->last_commit : newest.version;
}

/* The oldest checkpoint after a version; −1: none. */
static int64_t first_after(const smi_log_listing *l, int64_t version, sm_arena *a)
{
    int64_t i = l->n, first = -1;

    for (;;) {
        const smi_checkpoint c = smi_next_checkpoint(l, INT64_MAX, &i, a);
        if (c.version <= version) {
            return first;
        }
        first = c.version;
    }
}

/* The first version after `from`, up to `to`, whose commit is missing, or −1. */
static int64_t missing_commit(const smi_log_listing *l, int64_t from, int64_t to)
{
    int64_t next = from + 1;

    for (int64_t i = 0; i < l->n && next <= to; i++) {
        next += l->what[i].kind == SMI_ENTRY_COMMIT && l->what[i].version == next;
    }
    return next <= to ? next : -1;
}

bool smi_has_commit(const smi_log_listing *l, int64_t version)
{
    return missing_commit(l, version - 1, version) < 0;
}

/* ---- replay ---------------------------------------------------------------------------------- */

sm_status smi_sidecar_key(sm_str path, sm_arena *a, sm_str *key, sm_error *e)
{
    sm_str name = {0};
    bool is_outside = false;

    SM_TRY(smi_path_key(NULL, path, a, &name, &is_outside, e));
    if (is_outside) {
        return sm_fail(e, SM_UNSUPPORTED, "sidecar \"%.*s\" lies outside the log",
                       SM_STR_ARG(path));
    }
    *key = sm_arena_strf(a, SMI_LOG_SIDECARS "%.*s", SM_STR_ARG(name));
    return SM_OK;
}

static sm_status add_sidecar(sm_snapshot *s, const smi_action *sidecar, sm_error *e)
{
    smi_checkpoint *b = &s->base;
    SM_ASSERT(b->version >= 0); /* only checkpoints have sidecars */
    sm_str key = {0};

    SM_TRY(smi_sidecar_key(sidecar->path, s->arena, &key, e));
    b->sidecars =
        sm_arena_grow(s->arena, b->sidecars, b->n_sidecars, &b->cap_sidecars, sizeof(*b->sidecars));
    b->sidecars[b->n_sidecars++] = (smi_sidecar){key, sidecar->size_bytes};
    return SM_OK;
}

/* Of a checkpoint. */
static sm_status replay_action(void *ctx, const smi_action *action, sm_error *e)
{
    if (action->kind == SMI_ACTION_SIDECAR) {
        return add_sidecar(ctx, action, e);
    }
    return smi_state_apply(ctx, action, e);
}

/* All but files. */
static sm_status replay_head_action(void *ctx, const smi_action *action, sm_error *e)
{
    return SMI_KIND(action->kind) & SMI_FILES ? SM_OK : replay_action(ctx, action, e);
}

/* The actions of those kinds of the checkpoint, but not of its sidecars. */
static sm_status replay_keys(sm_snapshot *s, uint32_t kinds, smi_each_action each, sm_error *e)
{
    const smi_checkpoint *b = &s->base;
    const smi_log_reading text = {.budget = s->budget, .each = each, .ctx = s};

    SM_ASSERT((b->version >= 0) == (b->n_keys > 0) && b->n_sidecars == 0);
    for (int64_t i = 0; i < b->n_keys; i++) {
        if (b->is_json) {
            SM_TRY(smi_log_text_read(s->store, b->keys[i], &text, e));
        } else {
            const smi_checkpoint_reading what = {.kinds = kinds, .each = each, .ctx = s};
            SM_TRY(smi_checkpoint_read(s->store, b->keys[i], &what, s->budget, e));
        }
    }
    return SM_OK;
}

/* One that says nothing of the table is damaged. Where it lacks only the protocol or only the
 * metadata, whoever wrote it lost them, and the table is refused, as others do. */
sm_status smi_replay_head(sm_snapshot *s, const smi_checkpoint *c, sm_error *e)
{
    s->base = *c;
    SM_TRY(replay_keys(s, ~SMI_FILES, replay_head_action, e));
    return c->version < 0 || s->has_protocol || s->has_metadata
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "the log has no protocol and no metadata");
}

/* Does the commit add the file of its remove, or remove that of its add? */
static bool is_undone(const sm_snapshot *s, const smi_action *action)
{
    sm_buf text = {0};
    const sm_str id = smi_file_identity(&s->home, action->path, action->dv, &text);
    const bool is_add = action->kind == SMI_ACTION_ADD;
    const int64_t at = smi_place_of(is_add ? s->tombstone_by_path : s->by_path, id);

    sm_buf_release(&text);
    SM_ASSERT(at < (is_add ? s->n_tombstones : s->n_adds));
    return at >= 0 && (is_add ? s->tombstones[at].version == s->replaying.version
                              : at >= s->replaying.first_add);
}

/* Of a commit: there sidecars mean nothing. */
static sm_status replay_commit_action(void *ctx, const smi_action *action, sm_error *e)
{
    sm_snapshot *s = ctx;
    bool *has = action->kind == SMI_ACTION_METADATA   ? &s->replaying.has_metadata
                : action->kind == SMI_ACTION_PROTOCOL ? &s->replaying.has_protocol
                                                      : NULL;

    if (has && *has) {
        return sm_fail(e, SM_CORRUPT, "the commit has two actions %s: which counts is not said",
                       action->kind == SMI_ACTION_METADATA ? "metaData" : "protocol");
    }
    if (has) {
        *has = true;
    }
    if ((SMI_KIND(action->kind) & SMI_FILES) && is_undone(s, action)) {
        return sm_fail(e, SM_CORRUPT,
                       "the commit adds and removes the file \"%.*s\": which counts is not said",
                       SM_STR_ARG(action->path));
    }
    return smi_state_apply(s, action, e);
}

static sm_status fail_gap(const sm_snapshot *s, int64_t version, sm_error *e)
{
    return sm_fail(e, SM_CORRUPT, "version %" PRId64 " is missing from the log of %.*s", version,
                   SM_STR_ARG(sm_store_uri(s->store)));
}

sm_status smi_replay_commits(sm_snapshot *s, int64_t from, int64_t to, sm_error *e)
{
    const smi_log_reading what = {.budget = s->budget, .each = replay_commit_action, .ctx = s};
    sm_status st = SM_OK;

    for (int64_t version = from; st == SM_OK && version <= to; version++) {
        s->replaying = (struct smi_replaying){.version = version, .first_add = s->n_adds};
        s->respelt = (struct smi_respelt){0};
        st = sm_check_cancel(s->budget, e);
        st = st == SM_OK ? smi_commit_read(s->store, version, &what, e) : st;
        if (st == SM_NOT_FOUND) { /* deleted since the log was listed */
            st = fail_gap(s, version, e);
        }
    }
    s->replaying = (struct smi_replaying){.version = -1};
    return st;
}

/* The version that is asked for; SM_NOT_FOUND where the log does not reach it. */
static sm_status choose_version(sm_store *s, int64_t last, int64_t asked, int64_t *version,
                                sm_error *e)
{
    if (last < 0) {
        const sm_status st =
            sm_fail(e, SM_NOT_FOUND, "no Delta table in %.*s", SM_STR_ARG(sm_store_uri(s)));
        sm_error_todo(e, "A table is a folder with a folder _delta_log in it.");
        return st;
    }
    *version = asked == SM_VERSION_LATEST ? last : asked;
    if (*version < 0 || *version > last) {
        return sm_fail(e, SM_NOT_FOUND,
                       "no version %" PRId64 " of table %.*s: its latest is %" PRId64, asked,
                       SM_STR_ARG(sm_store_uri(s)), last);
    }
    return SM_OK;
}

/* ---- the end of the log ---------------------------------------------------------------------- */

sm_status smi_last_checkpoint(sm_store *s, sm_arena *a, int64_t *version, sm_error *e)
{
    sm_buf text = {.max_bytes = MOST_HINT_BYTES};
    const sm_json *doc = NULL;
    sm_status st = sm_store_get(s, SM_STR(SMI_LAST_CHECKPOINT), &text, e);

    *version = -1;
    if (st == SM_OK && (sm_json_parse(sm_buf_str(&text), a, &doc, NULL) != SM_OK ||
                        !sm_json_i64(sm_json_get(doc, "version"), version))) {
        *version = -1;
    }
    sm_buf_release(&text);
    return st;
}

/* The newest version that a file of the log is of, or −1. */
static sm_status version_told(sm_store *s, const smi_log_listing *l, int64_t i, sm_arena *a,
                              int64_t *version, sm_error *e)
{
    const smi_log_entry *what = &l->what[i];

    SM_ASSERT(i >= 0 && i < l->n);
    *version = what->kind == SMI_ENTRY_COMPACTED  ? what->last
               : what->kind == SMI_ENTRY_CHECKSUM ? what->version
                                                  : -1;
    if (sm_str_is(l->entries[i].key, SMI_LAST_CHECKPOINT) && l->told >= 0) {
        *version = l->told;
    } else if (sm_str_is(l->entries[i].key, SMI_LAST_CHECKPOINT)) {
        sm_error bad = {0};
        const sm_status st = smi_last_checkpoint(s, a, version, &bad);
        if (st != SM_OK && !smi_is_damage(st)) {
            if (e) {
                *e = bad;
            }
            return st;
        }
    }
    return SM_OK;
}

/* Fails where a file of the log is of a later version than the log has. There may be commits since
 * the log was listed: what is of a version was written after it, so another listing has it. */
static sm_status check_end(sm_store *s, smi_log_listing *l, sm_arena *a, sm_error *e)
{
    int64_t told = -1;
    sm_str by = {0};

    SM_ASSERT(l->n >= 0 && l->last_commit >= -1);
    for (int64_t i = 0; i < l->n; i++) {
        int64_t version = -1;
        SM_TRY(version_told(s, l, i, a, &version, e));
        if (version > told) {
            told = version;
            by = l->entries[i].key;
        }
    }
    if (told > end_of(l, a)) {
        SM_TRY(smi_log_list(s, a, l, e));
    }
    const int64_t last = end_of(l, a);
    SM_ASSERT(told < 0 || by.len > 0);
    if (told <= last) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_CORRUPT,
                                 "commits are missing at the end of the log: %.*s is of version "
                                 "%" PRId64 ", and the log ends at version %" PRId64,
                                 SM_STR_ARG(by), told, last);
    sm_error_todo(e, "Put them back, if there is a copy. If the table shall end there, delete that "
                     "file.");
    return st;
}

void smi_begin_replay(sm_snapshot *s)
{
    SM_ASSERT(!s->is_listed);
    s->has_protocol = s->has_metadata = false;
    s->n_adds = s->n_tombstones = s->n_txns = s->n_domains = 0;
    s->n_compacted = 0;
    s->replaying = (struct smi_replaying){.version = -1};
    s->respelt = (struct smi_respelt){0};
    s->by_path = sm_map_new(s->arena);
    s->tombstone_by_path = sm_map_new(s->arena);
    s->anchor_by_path = sm_map_new(s->arena);
    s->txn_by_id = sm_map_new(s->arena);
    s->domain_by_name = sm_map_new(s->arena);
}

bool smi_is_damage(sm_status st)
{
    return st == SM_CORRUPT || st == SM_SYNTAX || st == SM_SCHEMA || st == SM_UNSUPPORTED ||
           st == SM_LIMIT || st == SM_NOT_FOUND;
}

/* The version cannot be opened, since a commit after the checkpoint (or from 0 on) is missing. */
static sm_status fail_missing(const sm_snapshot *s, const smi_log_listing *l, int64_t missing,
                              const sm_error *damage, sm_error *e)
{
    if (damage->status != SM_OK) {
        if (e) {
            *e = *damage;
        }
        sm_error_todo(e,
                      "There is no older checkpoint, and there are too few commits to do without.");
        return damage->status;
    }
    const int64_t first = first_after(l, s->version, s->arena);
    if (missing == 0 && first >= 0) {
        const sm_status st =
            sm_fail(e, SM_NOT_FOUND, "version %" PRId64 " of table %.*s is no longer in its log",
                    s->version, SM_STR_ARG(sm_store_uri(s->store)));
        sm_error_todo(e, "The log was cleaned up: it begins at version %" PRId64 ".", first);
        return st;
    }
    if (missing == 0) {
        return sm_fail(e, SM_CORRUPT,
                       "version %" PRId64 " cannot be opened: the log begins at version %" PRId64
                       " and has no checkpoint before it",
                       s->version, l->first_commit);
    }
    return fail_gap(s, missing, e);
}

static void log_passed(const sm_snapshot *s, const char *why)
{
    sm_log(sm_store_log(s->store), SM_LOG_WARN, "checkpoint %.*s of %.*s is passed over: %s",
           SM_STR_ARG(s->base.keys[0]), SM_STR_ARG(sm_store_uri(s->store)), why);
}

/* Replays the newest checkpoint that is not damaged, apart from its files, after n_passed ones that
 * are known to be. `damage` says what is wrong with the first of these. */
static sm_status replay_newest(sm_snapshot *s, const smi_log_listing *l, int64_t n_passed,
                               sm_error damage, sm_error *e)
{
    int64_t i = l->n;

    SM_ASSERT(n_passed >= 0 && (n_passed == 0) == (damage.status == SM_OK));
    for (int64_t n = 0;; n++) {
        const smi_checkpoint base = smi_next_checkpoint(l, s->version, &i, s->arena);
        SM_ASSERT(base.version <= s->version);
        if (n < n_passed && base.version >= 0) {
            continue;
        }
        const int64_t missing = missing_commit(l, base.version, s->version);
        if (missing >= 0) {
            return fail_missing(s, l, missing, &damage, e);
        }
        sm_error bad = {0};
        smi_begin_replay(s);
        const sm_status st = smi_replay_head(s, &base, &bad);
        s->base.n_passed = n;
        if (st == SM_OK) {
            return SM_OK;
        }
        if (!smi_is_damage(st) || l->is_tail) { /* an older one may be left out */
            if (e) {
                *e = bad;
            }
            return st;
        }
        log_passed(s, bad.what);
        damage = damage.status == SM_OK ? bad : damage;
    }
}

static bool has_checksum(const smi_log_listing *l, int64_t version)
{
    bool has = false;
    for (int64_t i = l->n - 1; i >= 0 && !has; i--) {
        has = l->what[i].kind == SMI_ENTRY_CHECKSUM && l->what[i].version == version;
    }
    return has;
}

/* ---- log compaction files -------------------------------------------------------------------- */

static void log_compacted(const sm_snapshot *s, sm_str keys, const char *why)
{
    sm_log(sm_store_log(s->store), SM_LOG_WARN,
           "%.*s of %.*s: passed over, the commits are read: %s", SM_STR_ARG(keys),
           SM_STR_ARG(sm_store_uri(s->store)), why);
}

/* Takes the log compaction files out of a listing. */
static void forget_compacted(smi_log_listing *l)
{
    for (int64_t i = 0; i < l->n; i++) {
        if (l->what[i].kind == SMI_ENTRY_COMPACTED) {
            l->what[i].kind = SMI_ENTRY_OTHER;
        }
    }
}

/* Replays a log compaction file. *again: it is passed over, and is no longer in the listing. */
static sm_status replay_compacted(sm_snapshot *s, smi_log_listing *l, int64_t i, bool *again,
                                  sm_error *e)
{
    sm_error bad = {0};
    const sm_status st = smi_compacted_replay(s, l, i, true, &bad);

    if (st != SM_OK && smi_is_damage(st)) {
        log_compacted(s, l->entries[i].key, bad.what);
        l->what[i].kind = SMI_ENTRY_OTHER;
        *again = true;
    }
    if (st != SM_OK && e) {
        *e = bad;
    }
    return st;
}

/* Replays what the log says after the checkpoint. *again: after a failure, all is to be replayed
 * anew by the listing as it is now. */
static sm_status replay_log(sm_snapshot *s, smi_log_listing *l, bool *again, sm_error *e)
{
    const int64_t from = s->base.version + 1;
    sm_arena *a = sm_arena_new(s->budget);
    const int64_t *chosen = smi_compacted_choose(l, from, s->version, a);
    sm_status st = SM_OK;

    SM_ASSERT(s->n_compacted == 0 && from <= s->version + 1);
    for (int64_t v = from, next; st == SM_OK && v <= s->version; v = next) {
        const int64_t i = chosen ? chosen[v - from] : -1;
        next = i >= 0 ? l->what[i].last + 1 : v + 1;
        if (i >= 0) {
            st = replay_compacted(s, l, i, again, e);
            continue;
        }
        while (next <= s->version && (!chosen || chosen[next - from] < 0)) {
            next++;
        }
        st = smi_replay_commits(s, v, next - 1, e);
    }
    sm_arena_free(a);
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* How a version is opened. */
typedef struct opening {
    int64_t version;
    bool with_files;
    bool without_compacted; /* by the commits alone */
    const sm_delta_prepared
        *staged;      /* a commit behind the version, of which there is only the text;
                                      * NULL: none */
    int64_t n_passed; /* so many of the newest checkpoints are damaged, … */
    sm_error damage;  /* … the first one so */
} opening;

/* The names of the checkpoint's files outlive the listing. */
static void keep_keys(sm_snapshot *s)
{
    smi_checkpoint *b = &s->base;
    sm_str *keys = SM_NEW_ARRAY(s->arena, sm_str, b->n_keys + 1);

    for (int64_t i = 0; i < b->n_keys; i++) {
        keys[i] = sm_arena_str(s->arena, b->keys[i]);
    }
    b->keys = keys;
}

/* As a commit of the log; the text was checked when it was made. */
static sm_status replay_staged(sm_snapshot *s, const sm_delta_prepared *c, sm_error *e)
{
    s->replaying = (struct smi_replaying){.version = c->base + 1, .first_add = s->n_adds};
    s->respelt = (struct smi_respelt){0};
    const sm_status st = smi_log_lines(c->text, NULL, replay_commit_action, s, e);
    s->replaying = (struct smi_replaying){.version = -1};
    return st == SM_OK ? smi_state_finish(s, e) : st;
}

static sm_status replay_all(sm_snapshot *s, smi_log_listing *l, const opening *o, bool *again,
                            sm_error *e)
{
    SM_TRY(replay_newest(s, l, o->n_passed, o->damage, e));
    SM_ASSERT(s->base.version >= -1 && s->base.version <= s->version);
    keep_keys(s);
    SM_TRY(replay_log(s, l, again, e));
    if (o->staged) {
        return replay_staged(s, o->staged, e);
    }
    SM_TRY(smi_state_finish(s, e));
    return has_checksum(l, s->version) ? smi_checksum_check(s, e) : SM_OK;
}

static sm_status load_listed(sm_snapshot *s, smi_log_listing *l, const opening *o, sm_arena *a,
                             sm_error *e)
{
    SM_TRY(choose_version(s->store, end_of(l, a), o->version, &s->version, e));
    if (o->without_compacted) {
        forget_compacted(l);
    }
    for (;;) {
        sm_error bad = {0};
        bool again = false;
        const sm_status st = replay_all(s, l, o, &again, &bad);
        if (st != SM_OK && !again && s->n_compacted > 0 && smi_is_damage(st)) {
            log_compacted(s, SM_STR("log compaction files"), bad.what);
            forget_compacted(l);
            again = true;
        }
        if (!again) {
            if (e) {
                *e = bad;
            }
            return st;
        }
    }
}

/* Lists what opening needs: from a little before the checkpoint that _last_checkpoint names, where
 * it is there and not later than the version; else the whole log. */
static sm_status list_needed(sm_store *s, int64_t version, sm_arena *a, smi_log_listing *out,
                             sm_error *e)
{
    sm_error bad = {0};
    int64_t told = -1;

    const sm_status said = smi_last_checkpoint(s, a, &told, &bad);
    const bool is_said = said == SM_OK;
    if (!is_said && !smi_is_damage(said)) {
        if (e) {
            *e = bad;
        }
        return said;
    }
    const bool is_wanted = version == SM_VERSION_LATEST || version >= told;
    bool is_whole = !is_said || told <= BEFORE_TAIL || !is_wanted;
    if (!is_whole) {
        SM_TRY(smi_log_list_after(s, told - BEFORE_TAIL - 1, a, out, e));
        int64_t i = out->n; /* it was deleted, or never was: */
        is_whole = smi_next_checkpoint(out, told, &i, a).version != told;
    }
    if (is_whole) {
        SM_TRY(smi_log_list(s, a, out, e));
    }
    SM_ASSERT(out->told < 0 && out->is_tail == !is_whole);
    out->told = is_said ? told : -1;
    return SM_OK;
}

static sm_status load_from(sm_snapshot *s, smi_log_listing *l, const opening *o, sm_arena *a,
                           sm_error *e)
{
    if (o->version == SM_VERSION_LATEST) {
        SM_TRY(check_end(s->store, l, a, e));
    }
    return load_listed(s, l, o, a, e);
}

/* Where the tail of the log does not lead to the version, all of the log decides. */
static sm_status load_version(sm_snapshot *s, const opening *o, sm_error *e)
{
    sm_arena *a = sm_arena_new(s->budget); /* of the listing */
    smi_log_listing l = {0};
    sm_error bad = {0};

    sm_status st = o->n_passed == 0 ? list_needed(s->store, o->version, a, &l, &bad)
                                    : smi_log_list(s->store, a, &l, &bad);
    st = st == SM_OK ? load_from(s, &l, o, a, &bad) : st;
    if (st != SM_OK && l.is_tail && smi_is_damage(st)) {
        bad = (sm_error){0};
        st = smi_log_list(s->store, a, &l, &bad);
        st = st == SM_OK ? load_from(s, &l, o, a, &bad) : st;
    }
    if (st != SM_OK && e) {
        *e = bad;
    }
    sm_arena_free(a);
    return st;
}

sm_snapshot *smi_snapshot_new(sm_store *store, sm_budget *budget)
{
    sm_snapshot *s = sm_alloc_zero(sizeof(*s));

    s->refs = 1;
    s->budget = budget;
    s->arena = sm_arena_new(budget);
    s->store = sm_store_retain(store);
    s->home = smi_home_of(store, s->arena);
    s->outside = smi_outsides_new(budget);
    s->base.version = -1;
    return s;
}

static sm_status open_version(sm_store *store, const opening *o, sm_budget *budget,
                              sm_snapshot **out, sm_error *e)
{
    sm_snapshot *s = smi_snapshot_new(store, budget);
    sm_status st = SM_OK;

    if (o->staged && o->staged->base < 0) { /* of a table that is not there */
        smi_begin_replay(s);
        st = replay_staged(s, o->staged, e);
    } else {
        st = load_version(s, o, e);
    }
    s->staged = o->staged;
    s->version = o->staged ? o->staged->base + 1 : s->version;
    st = st == SM_OK && o->with_files ? sm_snapshot_list(s, e) : st;
    if (st != SM_OK) {
        const sm_status told =
            sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(store)));
        sm_snapshot_release(s);
        return told;
    }
    smi_snapshot_assert_valid(s, true);
    *out = s;
    return SM_OK;
}

sm_status sm_snapshot_open(sm_store *store, int64_t version, sm_budget *budget, sm_snapshot **out,
                           sm_error *e)
{
    const opening o = {.version = version, .with_files = true};

    return open_version(store, &o, budget, out, e);
}

sm_status sm_snapshot_open_head(sm_store *store, int64_t version, sm_budget *budget,
                                sm_snapshot **out, sm_error *e)
{
    const opening o = {.version = version};

    return open_version(store, &o, budget, out, e);
}

sm_status sm_snapshot_open_staged(sm_store *store, const sm_delta_prepared *c, sm_budget *budget,
                                  sm_snapshot **out, sm_error *e)
{
    const opening o = {.version = c->base, .staged = c};

    SM_ASSERT(c->base >= -1);
    return open_version(store, &o, budget, out, e);
}

sm_status smi_snapshot_open_commits(sm_store *store, int64_t version, sm_budget *budget,
                                    sm_snapshot **out, sm_error *e)
{
    const opening o = {.version = version, .without_compacted = true};

    return open_version(store, &o, budget, out, e);
}

sm_status smi_snapshot_open_older(const sm_snapshot *s, const sm_error *damage, sm_snapshot **out,
                                  sm_error *e)
{
    SM_ASSERT((s->base.version >= 0 || s->n_compacted > 0) && damage->status != SM_OK);
    opening o = {.version = s->staged ? s->staged->base : s->version,
                 .staged = s->staged,
                 .n_passed = s->base.n_passed};

    if (s->n_compacted > 0) {
        o.without_compacted = true;
        log_compacted(s, SM_STR("log compaction files"), damage->what);
    } else {
        o.n_passed++;
        log_passed(s, damage->what);
    }
    if (o.n_passed > 0) {
        o.damage = *damage;
    }
    return open_version(s->store, &o, s->budget, out, e);
}

sm_snapshot *sm_snapshot_retain(sm_snapshot *s)
{
    const int32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);

    SM_ASSERT(before > 0); /* who retains it holds it */
    (void)before;          /* of the assert alone */
    return s;
}

void sm_snapshot_release(sm_snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    smi_outsides_free(s->outside);
    sm_store_release(s->store);
    sm_free(s->files);
    sm_budget_give(s->budget, (size_t)s->cap_files * sizeof(*s->files));
    smi_state_release(s);
    sm_arena_free(s->arena);
    sm_free(s);
}

sm_status sm_delta_exists(sm_store *s, bool *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    smi_log_listing l;

    sm_status st = list_needed(s, SM_VERSION_LATEST, a, &l, e);
    if (st == SM_OK && end_of(&l, a) < 0) { /* or a new table would never open */
        st = check_end(s, &l, a, e);
    }
    *out = st == SM_OK && end_of(&l, a) >= 0;
    sm_arena_free(a);
    return st;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int64_t sm_snapshot_version(const sm_snapshot *s)
{
    return s->version;
}
sm_store *sm_snapshot_store(const sm_snapshot *s)
{
    return s->store;
}
const sm_delta_protocol *sm_snapshot_protocol(const sm_snapshot *s)
{
    return &s->protocol;
}
const sm_delta_metadata *sm_snapshot_metadata(const sm_snapshot *s)
{
    return &s->metadata;
}
const sm_delta_txn *sm_snapshot_txns(const sm_snapshot *s, int64_t *n)
{
    *n = s->n_txns;
    return s->txns;
}
int64_t sm_snapshot_txn(const sm_snapshot *s, sm_str app_id)
{
    const int64_t i = smi_place_of(s->txn_by_id, app_id);

    SM_ASSERT(i < s->n_txns);
    return i < 0 ? -1 : s->txns[i].version;
}
const sm_delta_domain *sm_snapshot_domains(const sm_snapshot *s, int64_t *n)
{
    *n = s->n_domains;
    return s->domains;
}
const sm_delta_domain *sm_snapshot_domain(const sm_snapshot *s, sm_str name)
{
    const int64_t i = smi_place_of(s->domain_by_name, name);

    SM_ASSERT(i < s->n_domains);
    return i < 0 || s->domains[i].is_removed ? NULL : &s->domains[i];
}
