/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_pin.c: finds which version of a table a command reads, so that it sees all tables of
 * a lake with the same publications (table_journal.c, "Read" and "Readers"). Called where a name
 * becomes a table, and by commands that show one.
 *
 * Pin     The first look at a lake lists its journal. For the whole command, publications up to
 *         the newest that is done are seen, and later ones are not.
 * Open    Open the table's newest version, then list the journal again. If it has nothing newer
 *         than the pin, that version is read. Else walk the table's log back to the first version
 *         of a later publication, and read the version before it. Where the later publication is
 *         the one right behind the pin, the journal says whether it has the table and on which
 *         version it is based, and the walk ends there; else it ends at a commit that is seen.
 * Denied  Who may read a table but not list the lake's journal sees the newest version, like
 *         readers that know of no journal. */
#include "table/table_journal_int.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/map.h"

#define MOST_LOOKS 10

typedef struct pin {
    bool is_blind; /* the journal may not be read */
    smi_journal journal;
    int64_t seen;         /* publications up to this number are seen */
    smi_publication next; /* number seen + 1, its first line; number 0: not read yet */
} pin;

void smi_pins_init(smi_pins *p, sm_budget *budget)
{
    *p = (smi_pins){.budget = budget, .arena = sm_arena_new(budget)};
    p->lakes = sm_map_new(p->arena);
}

void smi_pins_release(smi_pins *p)
{
    for (int64_t i = 0; p->lakes && i < sm_map_count(p->lakes); i++) {
        pin *of_lake = sm_map_value(p->lakes, i);
        smi_journal_close(&of_lake->journal);
    }
    sm_arena_free(p->arena);
    *p = (smi_pins){0};
}

/* The pin of a lake, which the first call makes. */
static sm_status find_pin(smi_pins *p, const sm_store *table, sm_str lake, pin **out, sm_error *e)
{
    pin *made = sm_map_get(p->lakes, lake);
    sm_error why = {0};

    if (made) {
        *out = made;
        return SM_OK;
    }
    made = SM_NEW(p->arena, pin);
    const sm_status st =
        smi_journal_open(sm_store_opener(table), lake, p->budget, &made->journal, &why);
    made->is_blind = st == SM_DENIED || st == SM_UNSUPPORTED;
    if (made->is_blind) {
        sm_log(sm_store_log(table), SM_LOG_INFO,
               "the journal of lake %.*s cannot be read, so each table is read at its newest "
               "version: %s",
               SM_STR_ARG(lake), why.what);
    } else if (st != SM_OK) {
        if (e) {
            *e = why;
        }
        return st;
    }
    made->seen = made->journal.newest - (smi_journal_is_open(&made->journal) ? 1 : 0);
    *sm_map_at(p->lakes, lake) = made;
    *out = made;
    return SM_OK;
}

/* ---- walking back ---------------------------------------------------------------------------- */

typedef struct walk {
    smi_pins *pins;
    const pin *pin;
    sm_store *table;
    sm_str lake_id;
    int64_t last; /* versions up to this one are seen: the walk ends there */
} walk;

/* Reads the mark of a version's commit; SM_NOT_FOUND where the log does not have it any more. */
static sm_status mark_of(const walk *w, int64_t version, sm_arena *a, bool *is_marked,
                         smi_mark *out, sm_error *e)
{
    sm_delta_commit_info info = {0};
    int64_t txn = 0;

    SM_TRY(sm_delta_info_read(w->table, version, SM_STR(""), a, &info, &txn, e));
    *is_marked = smi_mark_parse(info.json, a, out) && sm_str_eq(out->lake_id, w->lake_id);
    return SM_OK;
}

/* Finds the version before the first one of a later publication; `version` where there is none. */
static sm_status walk_back(const walk *w, int64_t version, int64_t *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(w->pins->budget);
    sm_status st = SM_OK;
    bool is_over = false;

    SM_ASSERT(w->last >= -1);
    *out = version;
    for (int64_t v = version; v > w->last && st == SM_OK && !is_over; v--) {
        smi_mark mark = {0};
        bool is_marked = false;
        st = mark_of(w, v, a, &is_marked, &mark, e);
        is_over = st == SM_NOT_FOUND || (is_marked && mark.number <= w->pin->seen);
        if (st == SM_OK && is_marked && mark.number > w->pin->seen) {
            *out = v - 1;
        }
        sm_arena_reset(a);
    }
    sm_arena_free(a);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* ---- what is behind the pin ------------------------------------------------------------------ */

/* Reads the lake's id from its newest publication. SM_NOT_FOUND: that was completed and deleted
 * since the listing. */
static sm_status lake_id_of(pin *p, sm_arena *a, sm_str *out, sm_error *e)
{
    smi_publication newest = {0};

    SM_TRY(smi_journal_read(&p->journal, p->journal.newest, true, a, &newest, e));
    *out = newest.lake_id;
    return SM_OK;
}

/* Sets up the walk. *is_needed is false where no later publication has the table. */
static sm_status prepare_walk(smi_pins *pins, pin *p, sm_str path, walk *w, bool *is_needed,
                              sm_error *e)
{
    SM_ASSERT(p->journal.newest > p->seen && !p->is_blind);
    *is_needed = true;
    if (p->journal.newest == p->seen + 1) {
        if (p->next.number == 0) {
            SM_TRY(smi_journal_read(&p->journal, p->seen + 1, true, pins->arena, &p->next, e));
        }
        const smi_part *part = smi_publication_part(&p->next, path);
        *is_needed = part != NULL;
        w->last = part ? part->commit.base : -1;
        w->lake_id = p->next.lake_id;
        return SM_OK;
    }
    w->last = -1;
    return lake_id_of(p, pins->arena, &w->lake_id, e);
}

static sm_status visible_version(smi_pins *pins, pin *p, sm_store *table, sm_str path,
                                 int64_t newest, int64_t *out, sm_error *e)
{
    walk w = {.pins = pins, .pin = p, .table = table};
    bool is_needed = false;
    sm_status st = SM_NOT_FOUND;

    *out = newest;
    for (int i = 0; i < MOST_LOOKS && st == SM_NOT_FOUND; i++) {
        SM_TRY(smi_journal_list(&p->journal, e));
        if (p->journal.newest <= p->seen) {
            return SM_OK;
        }
        st = prepare_walk(pins, p, path, &w, &is_needed, e);
    }
    SM_TRY(st);
    return is_needed ? walk_back(&w, newest, out, e) : SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status fail_not_yet(sm_store *table, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_NOT_FOUND, "no Delta table in %.*s", SM_STR_ARG(sm_store_uri(table)));
    sm_error_todo(
        e,
        "A publication that makes it is under way; the next smelt run into its lake completes it.");
    return st;
}

sm_status smi_pins_open(smi_pins *p, sm_store *table, sm_snapshot **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(p->budget);
    const smi_lake_place place = smi_lake_of(table, a);
    sm_snapshot *newest = NULL;
    pin *of_lake = NULL;
    int64_t version = -1;
    sm_status st = SM_OK;

    if (place.lake.len > 0) {
        SM_TRY_GOTO(st, done, find_pin(p, table, place.lake, &of_lake, e));
    }
    SM_TRY_GOTO(st, done, sm_snapshot_open_head(table, SM_VERSION_LATEST, p->budget, &newest, e));
    version = sm_snapshot_version(newest);
    if (of_lake && !of_lake->is_blind) {
        SM_TRY_GOTO(st, done,
                    visible_version(p, of_lake, table, place.path, sm_snapshot_version(newest),
                                    &version, e));
    }
    if (version < 0) {
        st = fail_not_yet(table, e);
    } else if (version < sm_snapshot_version(newest)) {
        st = sm_snapshot_open_head(table, version, p->budget, out, e);
    } else {
        *out = newest;
        newest = NULL;
    }
done:
    sm_snapshot_release(newest);
    sm_arena_free(a);
    return st;
}

sm_status smi_pins_open_at(smi_pins *p, sm_store *table, const sm_table_at *at, sm_snapshot **out,
                           sm_error *e)
{
    sm_snapshot *newest = NULL;
    int64_t version = at->version;

    if (at->kind == SM_AT_VERSION) {
        SM_ASSERT(version >= 0);
        return sm_snapshot_open_head(table, version, p->budget, out, e);
    }
    if (at->kind == SM_AT_NEWEST) {
        return smi_pins_open(p, table, out, e);
    }
    SM_TRY(smi_pins_open(p, table, &newest, e));
    sm_status st = sm_delta_version_at(newest, at->time_us, &version, e);
    if (st == SM_OK && version == sm_snapshot_version(newest)) {
        *out = newest;
        return SM_OK;
    }
    sm_snapshot_release(newest);
    return st == SM_OK ? sm_snapshot_open_head(table, version, p->budget, out, e) : st;
}
