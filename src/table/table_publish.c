/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_publish.c: makes candidates visible, all or none. It begins a publication and says
 * what came of it; the protocol is in table_journal.c, its steps are in table_course.c.
 *
 * Order   Complete the publication that is open in the lake's journal, if any. Look whether a table
 *         is in conflict. Put the objects that commits name. Put this one's entry into the journal.
 *         Take its course.
 * Losing  is cheap: who is in conflict with the open publication neither helps nor waits, and who
 *         is in conflict puts nothing. If losing took longer than winning, the loser of two writers
 *         would begin its next run behind the winner's, and lose for ever.
 * Crowds  Who finds that another entry was faster waits for a part of the time that the winner may
 *         need, and then lists anew. Measured with eight writers and 30 ms for each request to S3:
 *         a fifth less time for all of them and for the slowest, a sixth fewer requests.
 * Files   From the moment at which the entry may be in the journal anybody may complete the
 *         publication, so the candidates' files stay. They are deleted where it is certain that no
 *         version has them.
 * One     candidate alone goes the same way: else two smelts that write into one lake would be
 *         foreign to each other. Only a table that belongs to no lake is committed by itself. */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/random.h"
#include "base/time.h"

#define MOST_TRIES   100
#define TURN_PUTS    4 /* how many puts' time the winner needs for its course, about */
#define MOST_WAIT_MS 2000

typedef struct publishing {
    sm_budget *budget;
    sm_arena *arena;
    sm_candidate **items; /* the candidates that are not empty */
    int32_t *at;          /* their places among those that the caller gave */
    int32_t n;
    smi_lake_place *places; /* of their tables */
    int64_t *versions;      /* the caller's, one for each candidate that it gave */
    int64_t mixed_ns;
    int64_t lost_ns; /* what the put of an entry took that came too late; 0: none did */
    smi_journal journal;
    smi_publication p; /* of this try */
    sm_arena *texts;   /* of the commits of this try: of many files they are long */
    bool is_settled;   /* its commits are in the tables' logs, or never will be */
} publishing;

/* ---- the objects that commits name ----------------------------------------------------------- */

/* Where the object exists, this put may have made it, and its answer was lost: then it has our own
 * text. */
static sm_status put_note(sm_candidate *c, sm_error *e)
{
    sm_buf there = {0};
    sm_error unused = {0};

    if (c->note_key.len == 0 || c->has_note) {
        return SM_OK;
    }
    sm_status st = sm_store_put(c->store, c->note_key, c->note_text.data, c->note_text.len,
                                SM_PUT_IF_ABSENT, e);
    if (st == SM_EXISTS) {
        if (sm_store_get(c->store, c->note_key, &there, &unused) == SM_OK &&
            sm_str_eq(sm_buf_str(&there), c->note_text)) {
            st = SM_OK;
        } else {
            st = sm_fail(e, SM_CONFLICT, "another writer has made %.*s already",
                         SM_STR_ARG(c->note_key));
            sm_error_todo(e, "Nothing was published: it is safe to run again.");
        }
    }
    c->has_note = st == SM_OK;
    sm_buf_release(&there);
    return st;
}

static sm_status put_notes(const publishing *w, sm_error *e)
{
    for (int32_t i = 0; i < w->n; i++) {
        SM_TRY(sm_within(e, put_note(w->items[i], e), "table %.*s", SM_STR_ARG(w->items[i]->uri)));
    }
    return SM_OK;
}

/* ---- a table that belongs to no lake --------------------------------------------------------- */

/* Did a commit with this status certainly make no version? Only then may its files be deleted. */
static bool is_certain(sm_status st)
{
    return st == SM_CONFLICT || st == SM_UNSUPPORTED || st == SM_SCHEMA || st == SM_INVALID ||
           st == SM_DENIED || st == SM_CORRUPT;
}

static sm_status publish_alone(const publishing *w, sm_error *e)
{
    sm_candidate *c = w->items[0];

    if (w->n > 1) {
        const sm_status st = sm_fail(
            e, SM_UNSUPPORTED, "%d tables that are in no lake cannot be published as one", w->n);
        sm_error_todo(e, "Put them into one lake, at LAKE/layer/table.");
        return st;
    }
    SM_TRY(put_notes(w, e));
    const sm_delta_commit record = smi_candidate_record(c);
    const sm_status st =
        sm_delta_commit_write(c->store, c->base, &record, w->budget, &w->versions[w->at[0]], e);
    c->keeps_files = !is_certain(st);
    return sm_within(e, st, "table %.*s", SM_STR_ARG(c->uri));
}

/* ---- the publication ------------------------------------------------------------------------- */

static sm_status check_lakes(const publishing *w, sm_error *e)
{
    for (int32_t i = 1; i < w->n; i++) {
        for (int32_t j = 0; j < i; j++) { /* one table has one next version */
            SM_ASSERT(!sm_str_eq(w->items[j]->uri, w->items[i]->uri));
        }
        if (!sm_str_eq(w->places[i].lake, w->places[0].lake)) {
            return sm_fail(e, SM_UNSUPPORTED,
                           "tables of two lakes cannot be published as one: %.*s and %.*s",
                           SM_STR_ARG(w->items[0]->uri), SM_STR_ARG(w->items[i]->uri));
        }
    }
    return SM_OK;
}

static sm_str new_uuid(sm_arena *a)
{
    char text[SM_UUID_BYTES];

    sm_uuid(text);
    return sm_arena_str(a, sm_str_of(text));
}

/* Adds the publication's mark to the members that a record has for commitInfo. */
static sm_str add_mark(const publishing *w, sm_str info_json)
{
    sm_buf text = {0};

    sm_buf_text(&text, info_json);
    sm_buf_text(&text, info_json.len > 0 ? SM_STR(",") : SM_STR(""));
    sm_buf_text(&text, smi_mark_json(&w->p, -1, w->arena));
    const sm_str out = sm_arena_str(w->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static sm_status prepare_part(publishing *w, int32_t i, sm_error *e)
{
    const sm_candidate *c = w->items[i];
    sm_delta_commit record = smi_candidate_record(c);
    sm_delta_prepared *out = &w->p.parts[i].commit;

    record.id = smi_part_id(&w->p, i, w->arena);
    record.info_json = add_mark(w, record.info_json);
    w->p.parts[i].path = w->places[i].path;
    const sm_status st = c->kept ? sm_delta_prepare_again(c->kept, record.id, record.info_json,
                                                          sm_now_us(), w->texts, out, e)
                                 : sm_delta_prepare(c->base, &record, w->texts, out, e);
    if (c->kept) {
        out->isolation = record.isolation; /* that of the new verdict */
        out->read = record.isolation == SM_READ_FILES ? out->read : SM_STR("");
    }
    return sm_within(e, st, "table %.*s", SM_STR_ARG(c->uri));
}

/* The lake's id. Where a publication is open, it is read too: *open. SM_EXISTS: begin again.
 * Another one was begun and ended since the journal was listed, and deleted what the listing
 * shows. */
static sm_status read_newest(publishing *w, smi_publication *open, sm_str *lake_id, sm_error *e)
{
    sm_status st = SM_OK;

    if (!smi_journal_is_open(&w->journal)) {
        st = smi_journal_lake_id(&w->journal, w->arena, lake_id, e);
    } else {
        st = smi_journal_read(&w->journal, w->journal.newest, false, w->arena, open, e);
        *lake_id = open->lake_id;
    }
    return st == SM_NOT_FOUND ? SM_EXISTS : st;
}

/* Makes the lake's next publication. */
static sm_status prepare_publication(publishing *w, sm_str lake_id, sm_error *e)
{
    SM_ASSERT(w->n > 0);
    const sm_candidate *first = w->items[0];
    w->p = (smi_publication){
        .number = w->journal.newest + 1,
        .lake_id = lake_id.len > 0 ? lake_id : new_uuid(w->arena),
        /* That of a kept candidate is always the same: it is committed once, whoever does it. */
        .id = first->kept ? first->kept->id : new_uuid(w->arena),
        .parts = SM_NEW_ARRAY(w->arena, smi_part, w->n),
        .n_parts = w->n,
    };
    for (int32_t i = 0; i < w->n; i++) {
        SM_TRY(prepare_part(w, i, e));
    }
    return SM_OK;
}

static void keep_files(const publishing *w, int32_t from, bool keeps)
{
    for (int32_t i = from; i < w->n; i++) {
        w->items[i]->keeps_files = keeps;
    }
}

/* In the place of advice that the store gave. */
static sm_status advise(sm_status st, const char *todo, sm_error *e)
{
    if (e) {
        e->todo[0] = '\0';
    }
    sm_error_todo(e, "%s", todo);
    return st;
}

/* SM_EXISTS: another publication has the number, begin again. */
static sm_status put_entry(publishing *w, sm_error *e)
{
    const int64_t start_ns = sm_monotonic_ns();

    keep_files(w, 0, true);
    const sm_status st = smi_journal_put(&w->journal, &w->p, e);
    w->lost_ns = st == SM_EXISTS ? sm_monotonic_ns() - start_ns : 0;
    if (st == SM_OK) {
        w->journal.newest = w->p.number;
        w->journal.has_verdict = w->journal.is_done = false;
        return SM_OK;
    }
    if (st == SM_EXISTS || st == SM_DISK_FULL || !sm_status_retry(st)) {
        keep_files(w, 0, false); /* the entry is certainly not there */
        return st;
    }
    return advise(st,
                  "Perhaps the publication was begun: then the next run into this lake completes "
                  "it, and says so. Look before you run again what adds rows.",
                  e);
}

static void settle_files(publishing *w, const smi_course *c)
{
    for (int32_t i = 0; i < w->n; i++) {
        w->versions[w->at[i]] = smi_course_version(c, i);
    }
    if (c->outcome == SMI_OUTCOME_NONE) {
        keep_files(w, 0, false);
    } else if (c->outcome == SMI_OUTCOME_REVERSED) {
        SM_ASSERT(c->conflict >= 0 && c->conflict < w->n);
        keep_files(w, c->conflict, false);
    }
}

/* Must versions before `first_kept` stay for a publication that is open meanwhile? It may have read
 * one of them, and walks the log from there. */
static bool is_log_needed(publishing *w, int32_t i, int64_t first_kept)
{
    smi_publication open;
    sm_error e = {0};

    if (smi_journal_list(&w->journal, &e) != SM_OK) {
        return true;
    }
    if (!smi_journal_is_open(&w->journal)) {
        return false;
    }
    if (smi_journal_read(&w->journal, w->journal.newest, true, w->arena, &open, &e) != SM_OK) {
        return true;
    }
    const smi_part *part = smi_publication_part(&open, w->places[i].path);
    return part && part->commit.base < first_kept;
}

/* Deletes what of a table's log has expired. */
static void clean_log(publishing *w, int32_t i, const sm_delta_metadata *m)
{
    sm_store *store = w->items[i]->store;
    sm_delta_expired expired;
    sm_error e = {0};

    if (sm_delta_log_expired(store, m, sm_now_us(), w->arena, &expired, &e) == SM_OK &&
        expired.n > 0 && !is_log_needed(w, i, expired.first_kept)) {
        sm_delta_log_delete(store, &expired);
    }
}

/* What follows a commit, which stands without it. */
static void tend_logs(publishing *w)
{
    for (int32_t i = 0; i < w->n; i++) {
        const sm_candidate *c = w->items[i];
        const int64_t version = w->versions[w->at[i]];
        if (version < 0) {
            continue;
        }
        if (!c->kept) { /* its record does not say what changed */
            sm_delta_checksum_follow(c->store, c->base, &c->record, version);
        }
        if (sm_delta_checkpoint_if_due(c->store, c->base, &c->record, version, w->budget)) {
            clean_log(w, i,
                      c->record.metadata ? c->record.metadata : sm_snapshot_metadata(c->base));
        }
    }
}

/* SM_EXISTS: the publication never counted, begin again. */
static sm_status take_course(publishing *w, smi_course *c, sm_error *e)
{
    const sm_status st = smi_course_run(c, e);

    if (st != SM_OK) {
        return advise(st,
                      "The publication was begun: the next run into this lake completes it, and "
                      "until then readers see the tables as they were.",
                      e);
    }
    settle_files(w, c);
    w->mixed_ns = smi_course_mixed_ns(c);
    w->is_settled = true;
    return c->is_passed && c->outcome == SMI_OUTCOME_NONE ? SM_EXISTS : smi_course_told(c, e);
}

/* Lets the open publication go first: completes it, unless this one could not follow it. SM_EXISTS:
 * more than that one came. */
static sm_status give_way(publishing *w, smi_course *c, const smi_publication *open, sm_error *e)
{
    sm_str told = {0};

    if (!smi_journal_is_open(&w->journal)) {
        return SM_OK;
    }
    if (!open->is_newer && !sm_str_eq(open->id, w->p.id)) {
        SM_TRY(smi_course_weigh(c, open, e));
    }
    SM_TRY(smi_journal_settle(&w->journal, w->budget, w->arena, &told, e));
    return w->journal.newest == w->p.number - 1 ? SM_OK : SM_EXISTS;
}

static sm_status try_to_publish(publishing *w, sm_error *e)
{
    smi_publication open = {0};
    sm_str lake_id = {0};
    smi_course c = {0};
    sm_status st = SM_OK;

    SM_TRY(read_newest(w, &open, &lake_id, e));
    SM_TRY(prepare_publication(w, lake_id, e));
    smi_course_init(&c, &w->journal, &w->p, w->budget);
    for (int32_t i = 0; i < w->n; i++) {
        smi_course_set(&c, i, w->items[i]->store, w->items[i]->base);
    }
    SM_TRY_GOTO(st, done, give_way(w, &c, &open, e));
    SM_TRY_GOTO(st, done, smi_course_look(&c, e));
    SM_TRY_GOTO(st, done, put_notes(w, e));
    SM_TRY_GOTO(st, done, put_entry(w, e));
    st = take_course(w, &c, e);
done:
    smi_course_release(&c);
    return st;
}

static sm_status publish_once(publishing *w, sm_error *e)
{
    w->texts = sm_arena_new(w->budget);
    w->is_settled = false;
    const sm_status st = try_to_publish(w, e);
    sm_arena_free(w->texts); /* checkpoints need the memory */
    w->texts = NULL;
    w->p = (smi_publication){0};
    if (w->is_settled) {
        tend_logs(w);
    }
    return st;
}

/* Lets who was faster complete its publication: it is at work, and the others would only do the
 * same requests beside it. Waits for some part of the time that it may need, by what a put to this
 * store takes: next to nothing on a disk. The parts are random, or all would come back at once;
 * they do not grow, or who has waited longest would wait longer than who comes new. */
static void wait_turn(publishing *w)
{
    const int64_t turn_ms = w->lost_ns * TURN_PUTS / 1000000;
    const int64_t most_ms = turn_ms < MOST_WAIT_MS ? turn_ms : MOST_WAIT_MS;
    uint32_t random = 0;

    SM_ASSERT(most_ms >= 0);
    if (most_ms > 0) {
        sm_random_bytes(&random, sizeof(random));
        sm_sleep_ms((int64_t)random % (most_ms + 1));
    }
    w->lost_ns = 0;
}

static sm_status publish_in_lake(publishing *w, sm_error *e)
{
    sm_status st = SM_EXISTS;

    SM_TRY(smi_journal_open(sm_store_opener(w->items[0]->store), w->places[0].lake, w->budget,
                            &w->journal, e));
    for (int tries = 0; tries < MOST_TRIES && st == SM_EXISTS; tries++) {
        wait_turn(w);
        st = tries > 0 ? smi_journal_list(&w->journal, e) : SM_OK;
        st = st == SM_OK ? publish_once(w, e) : st;
    }
    if (st == SM_EXISTS) {
        st = sm_fail(e, SM_CONFLICT, "other publications of lake %.*s were first %d times",
                     SM_STR_ARG(w->places[0].lake), MOST_TRIES);
        sm_error_todo(e, "Nothing was published: it is safe to run again.");
    }
    smi_journal_close(&w->journal);
    return st;
}

/* A table that breaks its contract, or was not judged by it, is never seen. */
static sm_status check_verdicts(const publishing *w, sm_error *e)
{
    for (int32_t i = 0; i < w->n; i++) {
        SM_TRY(smi_candidate_check_verdict(w->items[i], e));
    }
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

sm_status sm_publish(sm_candidate *const *candidates, int32_t n, sm_budget *budget,
                     int64_t *versions, int64_t *mixed_ns, sm_error *e)
{
    publishing w = {.budget = budget, .arena = sm_arena_new(budget), .versions = versions};
    sm_status st = SM_OK;

    w.items = SM_NEW_ARRAY(w.arena, sm_candidate *, n + 1);
    w.at = SM_NEW_ARRAY(w.arena, int32_t, n + 1);
    w.places = SM_NEW_ARRAY(w.arena, smi_lake_place, n + 1);
    for (int32_t i = 0; i < n; i++) {
        versions[i] = -1;
        if (!sm_candidate_is_empty(candidates[i])) {
            w.items[w.n] = candidates[i];
            w.places[w.n] = smi_lake_of(candidates[i]->store, w.arena);
            w.at[w.n++] = i;
        }
    }
    if (w.n > 0) {
        SM_TRY_GOTO(st, done, check_verdicts(&w, e));
        SM_TRY_GOTO(st, done, check_lakes(&w, e));
        st = w.places[0].lake.len > 0 ? publish_in_lake(&w, e) : publish_alone(&w, e);
    }
    if (mixed_ns) {
        *mixed_ns = w.mixed_ns;
    }
done:
    sm_arena_free(w.arena);
    return st;
}

sm_status sm_lake_settle(sm_stores *stores, sm_str lake, sm_budget *budget, sm_arena *a,
                         sm_str *told, sm_error *e)
{
    smi_journal j = {0};

    *told = (sm_str){0};
    if (sm_str_is(lake, "/")) {
        return SM_OK; /* the root is no lake, see smi_lake_of */
    }
    SM_TRY(smi_journal_open(stores, lake, budget, &j, e));
    const sm_status st = smi_journal_settle(&j, budget, a, told, e);
    smi_journal_close(&j);
    return st;
}

sm_status sm_table_open_at(sm_store *table, const sm_table_at *at, sm_budget *budget,
                           sm_snapshot **out, sm_error *e)
{
    smi_pins pins;

    smi_pins_init(&pins, budget);
    const sm_status st = smi_pins_open_at(&pins, table, at, out, e);
    smi_pins_release(&pins);
    return st;
}

sm_status sm_table_open(sm_store *table, sm_budget *budget, sm_snapshot **out, sm_error *e)
{
    return sm_table_open_at(table, &(sm_table_at){.kind = SM_AT_NEWEST}, budget, out, e);
}

sm_status sm_table_settle(sm_store *table, sm_budget *budget, sm_arena *a, sm_str *told,
                          sm_error *e)
{
    const smi_lake_place place = smi_lake_of(table, a);

    *told = (sm_str){0};
    return place.lake.len > 0
               ? sm_lake_settle(sm_store_opener(table), place.lake, budget, a, told, e)
               : SM_OK;
}

sm_status smi_open_settled(sm_store *table, bool is_dry, sm_budget *budget, sm_snapshot **out,
                           sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    sm_snapshot *s = NULL;
    sm_str told = {0};
    sm_status st = is_dry ? SM_OK : sm_table_settle(table, budget, a, &told, e);

    sm_arena_free(a);
    st = st == SM_OK ? sm_table_open(table, budget, &s, e) : st;
    if (st != SM_OK) {
        sm_snapshot_release(s);
        return st;
    }
    *out = s;
    return SM_OK;
}
