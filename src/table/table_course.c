/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_course.c: completes a publication that is in the journal. Its publisher does so
 * (table_publish.c), and so does who finds it open later (smi_journal_settle). The protocol, and
 * why any number of processes may do so at once, are in table_journal.c.
 *
 * Calls    init; set, for each table that is open already; the publisher: weigh, look, and put the
 *          entry; run, or step again and again; then version, mixed_ns and told; release
 * States   LOOK -> DECIDE -> CONFIRM -> COMMIT (once a table) -> END -> OVER.
 *          COMMIT -> REVERSE (once a table) -> END where a table is in conflict.
 *          CONFIRM -> END where the publication was abandoned.
 *          CONFIRM -> OVER where a later one is the journal's newest: then this one is over, and
 *          its tables show the outcome. */
#include "table/table_journal_int.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"

#define N_OUTCOMES (SMI_OUTCOME_REVERSED + 1)

/* ---- life ------------------------------------------------------------------------------------ */

void smi_course_init(smi_course *c, smi_journal *j, const smi_publication *p, sm_budget *budget)
{
    SM_ASSERT(!p->is_newer && p->n_parts > 0);
    SM_ASSERT(j->newest == p->number || j->newest == p->number - 1);
    *c = (smi_course){.journal = j, .p = p, .budget = budget, .conflict = -1};
    c->arena = sm_arena_new(budget);
    c->parts = SM_NEW_ARRAY(c->arena, smi_course_part, p->n_parts);
}

void smi_course_set(smi_course *c, int32_t part, sm_store *store, sm_snapshot *base)
{
    SM_ASSERT(part >= 0 && part < c->p->n_parts);
    smi_course_part *t = &c->parts[part];
    SM_ASSERT(!t->attempt && !t->undo);

    t->store = sm_store_retain(store);
    t->attempt = sm_delta_attempt_new(store, base, &c->p->parts[part].commit, c->budget);
}

void smi_course_release(smi_course *c)
{
    for (int32_t i = 0; c->parts && i < c->p->n_parts; i++) {
        sm_delta_attempt_free(c->parts[i].attempt);
        sm_delta_attempt_free(c->parts[i].undo);
        sm_store_release(c->parts[i].store);
    }
    sm_arena_free(c->arena);
    *c = (smi_course){0};
}

/* "silver.totals", as users name it. In the course's arena. */
static sm_str name_of(const smi_course *c, int32_t part)
{
    const sm_str path = c->p->parts[part].path;
    char *name = SM_NEW_ARRAY(c->arena, char, path.len + 1);

    for (size_t i = 0; i < path.len; i++) {
        name[i] = path.data[i] == '/' ? '.' : path.data[i];
    }
    return (sm_str){name, path.len};
}

/* ---- tables ---------------------------------------------------------------------------------- */

static sm_status need_table(smi_course *c, int32_t part, sm_error *e)
{
    sm_store *store = NULL;

    if (c->parts[part].attempt) {
        return SM_OK;
    }
    const sm_str uri = sm_arena_strf(c->arena, "%.*s/%.*s", SM_STR_ARG(c->journal->lake),
                                     SM_STR_ARG(c->p->parts[part].path));
    SM_TRY(sm_store_open(sm_store_opener(c->journal->store), uri, &store, e));
    smi_course_set(c, part, store, NULL);
    sm_store_release(store);
    return SM_OK;
}

/* Reads the table's log from the base to its end; changes nothing. */
static sm_status look_at(smi_course *c, int32_t part, sm_error *e)
{
    sm_status st = need_table(c, part, e);
    if (st == SM_OK) {
        st = sm_delta_attempt_look(c->parts[part].attempt, e);
    }
    c->parts[part].has_looked = st == SM_OK;
    return sm_within(e, st, "table %.*s", SM_STR_ARG(name_of(c, part)));
}

static sm_delta_state state_of(const smi_course *c, int32_t part)
{
    return sm_delta_attempt_state(c->parts[part].attempt);
}

/* Refuses a log that was cleaned up: it cannot say whether the commit was in it. */
static sm_status check_log(const smi_course *c, const sm_delta_attempt *t, int32_t part,
                           sm_error *e)
{
    if (sm_delta_attempt_state(t) != SM_DELTA_LOST) {
        return SM_OK;
    }
    const sm_str name = name_of(c, part);
    const sm_status st = sm_fail(e, SM_CORRUPT,
                                 "how publication %" PRId64 " of the lake ended cannot be seen in "
                                 "%.*s: its log was cleaned up, or it was made anew",
                                 c->p->number, SM_STR_ARG(name));
    sm_error_todo(e, "To give that publication up, delete %.*s/_smelt/journal.",
                  SM_STR_ARG(c->journal->lake));
    return st;
}

/* ---- what is decided ------------------------------------------------------------------------- */

/* Finds the first table that cannot be published. */
static sm_status look_at_all(smi_course *c, sm_error *e)
{
    c->conflict = -1;
    for (int32_t i = 0; i < c->p->n_parts && c->conflict < 0; i++) {
        SM_TRY(look_at(c, i, e));
        const sm_delta_state state = state_of(c, i);
        c->conflict = state == SM_DELTA_CONFLICT || state == SM_DELTA_LOST ? i : -1;
    }
    return SM_OK;
}

/* Puts the verdict, or reads the one that is there. */
static sm_status settle_verdict(smi_course *c, sm_error *e)
{
    sm_error why = {0}, unused = {0};
    sm_status st = SM_EXISTS;

    if (!c->journal->has_verdict) {
        c->is_commit = c->conflict < 0 || sm_delta_attempt_conflict(c->parts[c->conflict].attempt,
                                                                    &why) != SM_CONFLICT;
        SM_ASSERT(c->is_commit == (c->conflict < 0));
        st = smi_journal_decide(c->journal, c->p->number, c->is_commit, sm_str_of(why.what), e);
    }
    if (st == SM_OK || (st != SM_EXISTS && !sm_status_retry(st))) {
        return st;
    }
    c->is_commit = false;
    const sm_status seen = smi_journal_verdict(c->journal, c->p->number, &c->is_commit, &c->why,
                                               st == SM_EXISTS ? e : &unused);
    if (st == SM_EXISTS) {
        return seen == SM_NOT_FOUND ? SM_OK : seen; /* it was deleted: CONFIRM finds out why */
    }
    return seen == SM_OK ? SM_OK : st; /* the answer was lost: it may have been put all the same */
}

/* Is the publication still the journal's newest? */
static sm_status confirm_newest(smi_course *c, sm_error *e)
{
    SM_TRY(smi_journal_list(c->journal, e));
    c->is_passed = c->journal->newest != c->p->number;
    if (!c->is_passed && !c->journal->has_verdict) {
        return sm_fail(e, SM_CORRUPT, "the verdict on publication %" PRId64 " of lake %.*s is gone",
                       c->p->number, SM_STR_ARG(c->journal->lake));
    }
    return SM_OK;
}

/* ---- committing and taking back -------------------------------------------------------------- */

/* Puts a commit, or a further try of one, and notes the time. */
static sm_status put_timed(smi_course *c, sm_delta_attempt *t, sm_error *e)
{
    c->first_ns = c->first_ns > 0 ? c->first_ns : sm_monotonic_ns();
    const sm_status st = sm_delta_attempt_put(t, e);
    c->last_ns = sm_monotonic_ns();
    return st;
}

static sm_status commit_table(smi_course *c, int32_t part, sm_error *e)
{
    if (!c->parts[part].has_looked) { /* the verdict was there before: LOOK was left out */
        SM_TRY(look_at(c, part, e));
    }
    sm_delta_attempt *const t = c->parts[part].attempt;
    SM_TRY(check_log(c, t, part, e));
    const sm_status st = put_timed(c, t, e);
    return sm_within(e, st, "table %.*s", SM_STR_ARG(name_of(c, part)));
}

static sm_status need_undo(smi_course *c, int32_t part, sm_error *e)
{
    smi_course_part *t = &c->parts[part];

    if (t->undo) {
        return SM_OK;
    }
    SM_ASSERT(state_of(c, part) == SM_DELTA_DONE);
    const int64_t version = sm_delta_attempt_version(t->attempt);
    const sm_str id = sm_arena_strf(c->arena, "%.*s.undo", SM_STR_ARG(c->p->parts[part].commit.id));
    SM_TRY(sm_delta_prepare_undo(t->store, &c->p->parts[part].commit, version, id,
                                 smi_mark_json(c->p, version, c->arena), c->budget, c->arena,
                                 &t->undo_commit, e));
    t->undo = sm_delta_attempt_new(t->store, NULL, &t->undo_commit, c->budget);
    return SM_OK;
}

/* Takes a table's commit back; is_put false: only sees whether that was done. */
static sm_status reverse_table(smi_course *c, int32_t part, bool is_put, sm_error *e)
{
    SM_ASSERT(part >= 0 && part < c->conflict);
    sm_status st = need_undo(c, part, e);
    if (st == SM_OK) {
        st = sm_delta_attempt_look(c->parts[part].undo, e);
    }
    if (st == SM_OK) {
        st = check_log(c, c->parts[part].undo, part, e);
    }
    if (st == SM_OK && is_put) {
        st = put_timed(c, c->parts[part].undo, e);
    }
    return sm_within(e, st, "table %.*s", SM_STR_ARG(name_of(c, part)));
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Nobody needs what is older than the newest publication. */
static void delete_old_entries(smi_course *c)
{
    smi_journal *j = c->journal;
    sm_error e = {0};

    if (j->n_old > 0 && sm_store_delete_many(j->store, j->old, j->n_old, &e) != SM_OK) {
        sm_log(sm_store_log(j->store), SM_LOG_WARN,
               "old publications of lake %.*s could not be deleted: %s", SM_STR_ARG(j->lake),
               e.what);
    }
    j->n_old = 0;
}

static sm_status end_publication(smi_course *c, sm_error *e)
{
    static const char *const words[] = {
        [SMI_OUTCOME_NONE] = "abandoned",
        [SMI_OUTCOME_COMMITTED] = "committed",
        [SMI_OUTCOME_REVERSED] = "reversed",
    };
    _Static_assert(SM_COUNT(words) == N_OUTCOMES, "a word for each outcome");

    SM_ASSERT(c->outcome != SMI_OUTCOME_COMMITTED || c->at == c->p->n_parts);
    SM_ASSERT(c->outcome != SMI_OUTCOME_REVERSED || c->at == 0);
    SM_TRY(smi_journal_end(c->journal, c->p, words[c->outcome], e));
    c->journal->is_done = true;
    delete_old_entries(c);
    return SM_OK;
}

/* Of a publication that was over before: its tables show how it ended. */
static sm_status find_outcome(smi_course *c, sm_error *e)
{
    c->outcome = SMI_OUTCOME_NONE;
    c->conflict = -1;
    for (int32_t i = 0; i < c->p->n_parts; i++) {
        SM_TRY(look_at(c, i, e));
        SM_TRY(check_log(c, c->parts[i].attempt, i, e));
        if (state_of(c, i) != SM_DELTA_DONE) {
            c->conflict = i;
            break;
        }
    }
    if (c->conflict == 0) {
        return SM_OK;
    }
    if (c->conflict > 0 && state_of(c, c->conflict) != SM_DELTA_CONFLICT) {
        return sm_fail(e, SM_CORRUPT, "publication %" PRId64 " of lake %.*s is over without %.*s",
                       c->p->number, SM_STR_ARG(c->journal->lake),
                       SM_STR_ARG(name_of(c, c->conflict)));
    }
    c->outcome = c->conflict < 0 ? SMI_OUTCOME_COMMITTED : SMI_OUTCOME_REVERSED;
    for (int32_t i = c->conflict - 1; i >= 0; i--) {
        SM_TRY(reverse_table(c, i, false, e));
    }
    return SM_OK;
}

/* ---- what came of it ------------------------------------------------------------------------- */

int64_t smi_course_version(const smi_course *c, int32_t part)
{
    SM_ASSERT(c->state == SMI_COURSE_OVER && part >= 0 && part < c->p->n_parts);
    const smi_course_part *t = &c->parts[part];
    const bool is_committed = c->outcome == SMI_OUTCOME_COMMITTED ||
                              (c->outcome == SMI_OUTCOME_REVERSED && part < c->conflict &&
                               sm_delta_attempt_state(t->undo) != SM_DELTA_DONE);

    return is_committed ? sm_delta_attempt_version(t->attempt) : -1;
}

int64_t smi_course_mixed_ns(const smi_course *c)
{
    SM_ASSERT(c->state == SMI_COURSE_OVER);
    SM_ASSERT(c->last_ns >= c->first_ns);
    if (c->p->n_parts == 1 || c->outcome == SMI_OUTCOME_NONE) {
        return 0;
    }
    return c->first_ns > 0 && !c->is_passed ? c->last_ns - c->first_ns : -1;
}

/* The tables that were taken back, as "bronze.lines@v7 by v8, …"; not is_done: those that could not
 * be, as "bronze.lines@v7, …". */
static sm_str list_reversed(const smi_course *c, bool is_done)
{
    const int32_t n = c->outcome == SMI_OUTCOME_REVERSED ? c->conflict : 0;
    sm_buf text = {0};

    for (int32_t i = 0; i < n; i++) {
        const smi_course_part *t = &c->parts[i];
        if ((sm_delta_attempt_state(t->undo) == SM_DELTA_DONE) != is_done) {
            continue;
        }
        sm_buf_printf(&text, "%s%.*s@v%" PRId64, text.len > 0 ? ", " : "",
                      SM_STR_ARG(name_of(c, i)), sm_delta_attempt_version(t->attempt));
        if (is_done) {
            sm_buf_printf(&text, " by v%" PRId64, sm_delta_attempt_version(t->undo));
        }
    }
    const sm_str out = sm_arena_str(c->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static void advise_after_conflict(const smi_course *c, sm_error *e)
{
    const sm_str back = list_reversed(c, true), kept = list_reversed(c, false);

    if (kept.len > 0) {
        sm_error_todo(e,
                      "Published, and not taken back because of what others wrote since: %.*s. "
                      "The same run again does the rest.",
                      SM_STR_ARG(kept));
    } else if (back.len > 0) {
        sm_error_todo(e, "Taken back: %.*s. It is safe to run again.", SM_STR_ARG(back));
    } else {
        sm_error_todo(e, "Nothing was published: it is safe to run again.");
    }
}

sm_status smi_course_told(const smi_course *c, sm_error *e)
{
    SM_ASSERT(c->state == SMI_COURSE_OVER);
    if (c->outcome == SMI_OUTCOME_COMMITTED) {
        return SM_OK;
    }
    sm_status st = SM_OK;
    if (c->conflict >= 0) {
        st = sm_delta_attempt_conflict(c->parts[c->conflict].attempt, e);
    }
    if (st == SM_OK) { /* another process has seen the conflict, and decided */
        st = sm_fail(e, SM_CONFLICT, "%.*s",
                     SM_STR_ARG(c->why.len > 0 ? c->why : SM_STR("another writer was first")));
    }
    if (e) {
        e->todo[0] = '\0'; /* the advice was for that table alone */
        advise_after_conflict(c, e);
    }
    return c->conflict < 0 ? st
                           : sm_within(e, st, "table %.*s", SM_STR_ARG(name_of(c, c->conflict)));
}

/* ---- before it is in the journal ------------------------------------------------------------- */

/* Ends a course that never came into the journal. */
static void give_up(smi_course *c, int32_t conflict)
{
    c->conflict = conflict;
    c->outcome = SMI_OUTCOME_NONE;
    c->state = SMI_COURSE_OVER;
}

sm_status smi_course_weigh(smi_course *c, const smi_publication *open, sm_error *e)
{
    SM_ASSERT(c->state == SMI_COURSE_LOOK && open->number == c->p->number - 1 && !open->is_newer);
    for (int32_t i = 0; i < c->p->n_parts; i++) {
        const smi_part *other = smi_publication_part(open, c->p->parts[i].path);
        sm_status st = other ? need_table(c, i, e) : SM_OK;
        if (st == SM_OK && other) {
            st = sm_delta_attempt_weigh(c->parts[i].attempt, &other->commit, e);
        }
        if (st == SM_CONFLICT) {
            give_up(c, i);
            advise_after_conflict(c, e);
        }
        SM_TRY(sm_within(e, st, "table %.*s", SM_STR_ARG(name_of(c, i))));
    }
    return SM_OK;
}

sm_status smi_course_look(smi_course *c, sm_error *e)
{
    SM_ASSERT(c->state == SMI_COURSE_LOOK && c->journal->newest == c->p->number - 1);
    SM_TRY(look_at_all(c, e));
    if (c->conflict < 0) {
        c->state = SMI_COURSE_DECIDE;
        return SM_OK;
    }
    give_up(c, c->conflict);
    return smi_course_told(c, e);
}

/* ---- step by step ---------------------------------------------------------------------------- */

static sm_status step_confirm(smi_course *c, sm_error *e)
{
    SM_TRY(confirm_newest(c, e));
    if (c->is_passed) {
        SM_TRY(find_outcome(c, e));
        c->state = SMI_COURSE_OVER;
    } else if (c->is_commit) {
        c->at = 0;
        c->conflict = -1;
        c->state = SMI_COURSE_COMMIT;
    } else {
        c->outcome = SMI_OUTCOME_NONE;
        c->state = SMI_COURSE_END;
    }
    return SM_OK;
}

static sm_status step_commit(smi_course *c, sm_error *e)
{
    SM_ASSERT(c->is_commit && c->conflict < 0 && c->at < c->p->n_parts);
    SM_TRY(commit_table(c, c->at, e));
    if (state_of(c, c->at) == SM_DELTA_CONFLICT) {
        c->conflict = c->at;
        c->outcome = SMI_OUTCOME_REVERSED;
        c->state = SMI_COURSE_REVERSE;
    } else if (++c->at == c->p->n_parts) {
        c->outcome = SMI_OUTCOME_COMMITTED;
        c->state = SMI_COURSE_END;
    }
    return SM_OK;
}

static sm_status step_reverse(smi_course *c, sm_error *e)
{
    SM_ASSERT(c->outcome == SMI_OUTCOME_REVERSED && c->at <= c->conflict);
    if (c->at > 0) {
        SM_TRY(reverse_table(c, c->at - 1, true, e));
        c->at--;
    }
    c->state = c->at > 0 ? SMI_COURSE_REVERSE : SMI_COURSE_END;
    return SM_OK;
}

sm_status smi_course_step(smi_course *c, sm_error *e)
{
    SM_ASSERT(c->state != SMI_COURSE_OVER && c->journal->newest >= c->p->number);
    switch (c->state) {
    case SMI_COURSE_LOOK:
        if (!c->journal->has_verdict) {
            SM_TRY(look_at_all(c, e));
        }
        c->state = SMI_COURSE_DECIDE;
        return SM_OK;
    case SMI_COURSE_DECIDE:
        SM_TRY(settle_verdict(c, e));
        c->state = SMI_COURSE_CONFIRM;
        return SM_OK;
    case SMI_COURSE_CONFIRM:
        return step_confirm(c, e);
    case SMI_COURSE_COMMIT:
        return step_commit(c, e);
    case SMI_COURSE_REVERSE:
        return step_reverse(c, e);
    case SMI_COURSE_END:
        SM_TRY(end_publication(c, e));
        c->state = SMI_COURSE_OVER;
        return SM_OK;
    case SMI_COURSE_OVER:
        break;
    }
    return SM_OK;
}

sm_status smi_course_run(smi_course *c, sm_error *e)
{
    sm_status st = SM_OK;

    while (st == SM_OK && c->state != SMI_COURSE_OVER) {
        st = smi_course_step(c, e);
    }
    return st;
}

/* ---- a publication that another process has left open ---------------------------------------- */

/* What became of it, as part of a sentence. */
static sm_str describe_outcome(const smi_course *c, sm_arena *a)
{
    static const char *const ends[] = {
        [SMI_OUTCOME_NONE] = "was abandoned, for another writer was first; nothing was changed",
        [SMI_OUTCOME_COMMITTED] = "was completed",
        [SMI_OUTCOME_REVERSED] = "was taken back, for another writer stood in its way",
    };
    _Static_assert(SM_COUNT(ends) == N_OUTCOMES, "a text for each outcome");
    sm_buf text = {0};

    for (int32_t i = 0; i < c->p->n_parts; i++) {
        sm_buf_printf(&text, "%s%.*s", i > 0 ? ", " : "", SM_STR_ARG(name_of(c, i)));
    }
    const sm_str out = sm_arena_strf(a, "a publication that was left open (%.*s) %s",
                                     SM_STR_ARG(sm_buf_str(&text)), ends[c->outcome]);
    sm_buf_release(&text);
    return out;
}

static sm_status refuse_newer(const smi_journal *j, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_UNSUPPORTED,
                "publication %" PRId64 " of lake %.*s was begun by a later version of smelt",
                j->newest, SM_STR_ARG(j->lake));
    sm_error_todo(e, "Let that smelt finish it, or use its version here.");
    return st;
}

sm_status smi_journal_settle(smi_journal *j, sm_budget *budget, sm_arena *a, sm_str *told,
                             sm_error *e)
{
    smi_publication p = {0};
    smi_course c = {0};

    *told = (sm_str){0};
    while (smi_journal_is_open(j)) {
        const sm_status read = smi_journal_read(j, j->newest, false, a, &p, e);
        if (read == SM_NOT_FOUND) { /* it is over, and a later one was begun */
            SM_TRY(smi_journal_list(j, e));
            continue;
        }
        SM_TRY(read);
        if (p.is_newer) {
            return refuse_newer(j, e);
        }
        smi_course_init(&c, j, &p, budget);
        const sm_status st = smi_course_run(&c, e);
        if (st == SM_OK && !c.is_passed) {
            *told = describe_outcome(&c, a);
        }
        smi_course_release(&c);
        if (st != SM_OK) {
            return sm_within(e, st, "finishing publication %" PRId64 " of lake %.*s", p.number,
                             SM_STR_ARG(j->lake));
        }
    }
    return SM_OK;
}
