/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_journal.c: a lake's journal of publications, by which all tables of a run become
 * visible or none. This file reads and writes the journal's objects; table_publish.c begins a
 * publication, table_course.c completes it, table_pin.c decides what readers see.
 *
 * Objects  in LAKE/_smelt/journal/, N a number that grows by one for ever:
 *            N.json     the publication: the text of each table's commit (table_publication.c)
 *            N.verdict  "commit" or "abandon": the one decision that all obey
 *            N.done     nothing is left to do for it
 *          All are made by put-if-absent and never change. The newest N.json always stays; who ends
 *          N deletes what is older. Data files, and the objects that commits name, are durable
 *          before N.json is put.
 * Begin    List the journal. If its newest publication, N, is not done: give up where N+1 could not
 *          follow it, else complete it (any number of processes may do so at once). Look at each
 *          table: give up where one is in conflict. Then put N+1.json; if that exists, another
 *          process was first: begin again.
 * Complete LOOK     read each table's log to its end (delta_attempt.c). A table is in conflict, or
 *                   can be published as it stands.
 *          DECIDE   put the verdict, or read the one that is there.
 *          CONFIRM  list the journal: is N still the newest? If not, do nothing more for it.
 *          COMMIT   (verdict "commit") for each table, in the publication's order: put its commit
 *                   behind what others wrote there meanwhile, or find that it is there. If a table
 *                   is in conflict by now, take those before it back (REVERSE), each by a further
 *                   version.
 *          END      put N.done, delete what is older.
 * Read     A command that reads notes the newest number when it first looks at a lake. It sees the
 *          publications up to that one; if that one is not done, those before it. So of each table
 *          it reads the version before the first one that carries a later number. It never writes.
 *
 * Why it holds
 *   Newest   A number is taken only when the one before it is done, and the newest is never
 *            deleted. So if a listing shows N as the newest, there never was a later one, and
 *            nothing of N was ever deleted: what was read of N before that listing is what was put
 *            there first.
 *            A slow process may put something under a number that is over and deleted. That is
 *            older than the newest, so nobody looks at it, and the process itself finds at CONFIRM
 *            that it does not count.
 *   Once     There is one verdict (put-if-absent, and Newest), and a process commits only after it
 *            has confirmed "commit". A table's log has a publication's commit at most once, and all
 *            who walk the log come to the same end: its commit, or the same conflict
 *            (delta_attempt.c). So all agree on the first table in conflict, and thereby on what is
 *            taken back. Taking back is a commit of the same kind, with an id of its own.
 *   All      Who goes on after a kill does what the killed process would have done, from the same
 *            texts. All go in order, so tables behind the first conflict are never touched, and
 *            those before it are committed before they are taken back.
 *   None     No table is changed before the verdict: an abandoned publication changed nothing.
 *   Order    In a table's log numbers never fall: N+1 begins when N is done, and a slow process
 *            finds N's commits there. So "the version before the first with a number above P" is
 *            the table as the publications up to P (and all other writers) left it.
 *   Readers  All publications up to P were done before the command looked. It reads a table's log
 *            after that, so the log has them, and later ones are left out. That holds for each
 *            table, whenever it is read. A log is read before the journal is listed again: if P is
 *            still the newest then, the log can have nothing later, and no commit has to be read.
 *   Slow     A publisher that finds a later number than N at CONFIRM looks at its tables. If the
 *            first one has its commit, others have completed N. If not, N can never be committed:
 *            "commit" was never confirmed, or the first table was in conflict, or N.json was put
 *            under an old number.
 * Limits   Writers that are not smelt know of no journal, and may commit between two tables of a
 *          publication. Then it is taken back; where what they did forbids even that, what was
 *          committed stays and the error says so. If a log was cleaned up beyond a publication's
 *          base while that was open, how it ended cannot be seen: that is an error too. Readers
 *          that are not smelt see the commits one by one.
 * Model    tests/model/publication.pml has these steps for the model checker spin, which goes
 *          through all orders of them, with crashes; table_course_test.c runs the code in random
 *          orders. */
#include "table/table_journal_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json_doc.h"
#include "base/json_write.h"
#include "base/map.h"
#include "base/random.h"
#include "base/text.h"

#define JOURNAL          "_smelt/journal/"
#define NUMBER_DIGITS    20
#define FIRST_READ_BYTES ((size_t)1 << 16)

/* ---- places ---------------------------------------------------------------------------------- */

smi_lake_place smi_lake_of(const sm_store *table, sm_arena *a)
{
    const sm_str place = sm_store_place(table, a);
    sm_str folder, lake, layer, name;

    sm_uri_split(place, &folder, &name);
    sm_uri_split(folder, &lake, &layer);
    if (name.len == 0 || layer.len == 0 || sm_str_is(lake, "/") || sm_str_is(lake, ".")) {
        return (smi_lake_place){.lake = SM_STR(""), .path = SM_STR("")};
    }
    return (smi_lake_place){
        .lake = sm_arena_str(a, lake),
        .path = sm_arena_strf(a, "%.*s/%.*s", SM_STR_ARG(layer), SM_STR_ARG(name)),
    };
}

/* ---- its objects ----------------------------------------------------------------------------- */

static sm_str key_of(const smi_journal *j, int64_t number, const char *what)
{
    SM_ASSERT(number > 0);
    return sm_arena_strf(j->arena, JOURNAL "%0*" PRId64 ".%s", NUMBER_DIGITS, number, what);
}

typedef enum object_kind { OBJECT_OTHER, OBJECT_ENTRY, OBJECT_VERDICT, OBJECT_DONE } object_kind;

static object_kind kind_of(sm_str key, int64_t *number)
{
    static const struct {
        const char *end;
        object_kind kind;
    } rows[] = {{".json", OBJECT_ENTRY}, {".verdict", OBJECT_VERDICT}, {".done", OBJECT_DONE}};
    const size_t head = strlen(JOURNAL);

    if (!sm_str_starts(key, SM_STR(JOURNAL))) {
        return OBJECT_OTHER; /* a server may list what was not asked for */
    }
    const sm_str name = {key.data + head, key.len - head};
    if (name.len <= NUMBER_DIGITS || name.data[0] == '-' ||
        !sm_parse_i64((sm_str){name.data, NUMBER_DIGITS}, number)) {
        return OBJECT_OTHER;
    }
    for (int i = 0; i < SM_COUNT(rows); i++) {
        if (sm_str_is((sm_str){name.data + NUMBER_DIGITS, name.len - NUMBER_DIGITS}, rows[i].end)) {
            return rows[i].kind;
        }
    }
    return OBJECT_OTHER;
}

sm_status smi_journal_open(sm_stores *stores, sm_str lake, sm_budget *budget, smi_journal *out,
                           sm_error *e)
{
    SM_ASSERT(lake.len > 0);
    smi_journal j = {.arena = sm_arena_new(budget)};

    j.lake = sm_arena_str(j.arena, lake);
    sm_status st = sm_store_open(stores, j.lake, &j.store, e);
    if (st == SM_OK) {
        st = smi_journal_list(&j, e);
    }
    if (st != SM_OK) {
        smi_journal_close(&j);
        return st;
    }
    *out = j;
    return SM_OK;
}

void smi_journal_close(smi_journal *j)
{
    sm_store_release(j->store);
    sm_arena_free(j->arena);
    *j = (smi_journal){0};
}

sm_status smi_journal_list(smi_journal *j, sm_error *e)
{
    sm_entry *entries = NULL;
    int64_t n = 0, number = 0;

    sm_status st = sm_store_list(j->store, SM_STR(JOURNAL), true, j->arena, &entries, &n, e);
    if (st != SM_OK && st != SM_NOT_FOUND) {
        return sm_within(e, st, "the journal of lake %.*s", SM_STR_ARG(j->lake));
    }
    n = st == SM_OK ? n : 0;
    j->newest = 0;
    j->has_verdict = j->is_done = false;
    j->old = SM_NEW_ARRAY(j->arena, sm_str, n + 1);
    j->n_old = 0;
    for (int64_t i = 0; i < n; i++) {
        if (kind_of(entries[i].key, &number) == OBJECT_ENTRY && number > j->newest) {
            j->newest = number;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const object_kind kind = kind_of(entries[i].key, &number);
        if (kind != OBJECT_OTHER && number < j->newest) {
            j->old[j->n_old++] = entries[i].key;
        }
        j->has_verdict = j->has_verdict || (kind == OBJECT_VERDICT && number == j->newest);
        j->is_done = j->is_done || (kind == OBJECT_DONE && number == j->newest);
    }
    return SM_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads an object: all of it, or at least its first line. */
static sm_status read_text(const smi_journal *j, sm_str key, bool first_line, sm_arena *a,
                           sm_str *out, sm_error *e)
{
    sm_blob *blob = NULL;

    SM_TRY(sm_blob_open(j->store, key, &blob, e));
    const size_t size = (size_t)sm_blob_bytes(blob);
    size_t n = first_line && size > FIRST_READ_BYTES ? FIRST_READ_BYTES : size;
    char *text = SM_NEW_ARRAY(a, char, size + 1);
    sm_status st = sm_blob_read(blob, 0, n, text, e);
    if (st == SM_OK && n < size && !memchr(text, '\n', n)) {
        st = sm_blob_read(blob, n, size - n, text + n, e);
        n = size;
    }
    sm_blob_close(blob);
    *out = (sm_str){text, n};
    return st;
}

sm_status smi_journal_read(smi_journal *j, int64_t number, bool first_line, sm_arena *a,
                           smi_publication *out, sm_error *e)
{
    SM_ASSERT(number > 0);
    const sm_str key = key_of(j, number, "json");
    sm_str text = {0};

    SM_TRY(read_text(j, key, first_line, a, &text, e));
    sm_status st = smi_publication_parse(text, first_line, a, out, e);
    if (st == SM_OK && out->number != number) {
        st =
            sm_fail(e, SM_CORRUPT, "the publication says that its number is %" PRId64, out->number);
    }
    if (st != SM_OK) {
        sm_error_place(e, sm_store_uri_of(j->store, key, j->arena).data, 0, -1);
    }
    return st;
}

/* Reads a member of a verdict or of what says that a publication is done; "" where there is none.
 * In the arena of `j`. */
static sm_status read_word(smi_journal *j, const char *what, int64_t number, const char *member,
                           sm_str *out, sm_error *e)
{
    sm_buf text = {.max_bytes = FIRST_READ_BYTES};
    const sm_json *o = NULL;

    const sm_str key = key_of(j, number, what);
    sm_status st = sm_store_get(j->store, key, &text, e);
    if (st == SM_OK) {
        st = sm_json_parse(sm_arena_str(j->arena, sm_buf_str(&text)), j->arena, &o, e);
        if (st != SM_OK) {
            sm_error_place(e, sm_store_uri_of(j->store, key, j->arena).data, 0, -1);
        }
    }
    *out = sm_json_text(sm_json_get(o, member));
    sm_buf_release(&text);
    return st;
}

sm_status smi_journal_lake_id(smi_journal *j, sm_arena *a, sm_str *out, sm_error *e)
{
    SM_ASSERT(!smi_journal_is_open(j));
    sm_str id = {0};

    if (j->newest > 0) {
        SM_TRY(read_word(j, "done", j->newest, "lake", &id, e));
        if (id.len == 0) {
            return sm_fail(e, SM_CORRUPT, "%s of lake %.*s has no id of the lake",
                           key_of(j, j->newest, "done").data, SM_STR_ARG(j->lake));
        }
    }
    *out = sm_arena_str(a, id);
    return SM_OK;
}

sm_status smi_journal_verdict(smi_journal *j, int64_t number, bool *is_commit, sm_str *why,
                              sm_error *e)
{
    sm_str word = {0};

    SM_TRY(read_word(j, "verdict", number, "verdict", &word, e));
    *is_commit = sm_str_is(word, "commit");
    if (!*is_commit && !sm_str_is(word, "abandon")) {
        return sm_fail(e, SM_CORRUPT, "%s of lake %.*s is no verdict",
                       key_of(j, number, "verdict").data, SM_STR_ARG(j->lake));
    }
    return *is_commit ? SM_OK : read_word(j, "verdict", number, "why", why, e);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* After a put that failed: SM_OK where the object is there with that very text, SM_EXISTS with
 * another one, SM_NOT_FOUND: it is not there. */
static sm_status compare_object(const smi_journal *j, sm_str key, sm_str text, sm_error *e)
{
    sm_buf there = {0};

    sm_status st = sm_store_get(j->store, key, &there, e);
    if (st == SM_OK && !sm_str_eq(sm_buf_str(&there), text)) {
        st = SM_EXISTS;
    }
    sm_buf_release(&there);
    return st;
}

sm_status smi_journal_put(smi_journal *j, const smi_publication *p, sm_error *e)
{
    sm_buf text = {0};
    sm_error unused = {0};
    size_t text_bytes = 0; /* of the commits, which are long where they name many files */

    SM_ASSERT(p->number == j->newest + 1 && !smi_journal_is_open(j));
    for (int32_t i = 0; i < p->n_parts; i++) {
        text_bytes += p->parts[i].commit.text.len;
    }
    SM_TRY(sm_budget_take(sm_arena_budget(j->arena), text_bytes, e));
    smi_publication_print(p, &text);
    const sm_str key = key_of(j, p->number, "json");
    sm_status st = sm_store_put(j->store, key, text.data, text.len, SM_PUT_IF_ABSENT, e);
    if (st == SM_EXISTS || sm_status_retry(st)) {
        const sm_status seen = compare_object(j, key, sm_buf_str(&text), &unused);
        if (seen == SM_OK || seen == SM_EXISTS) {
            st = seen;
        } else if (st == SM_EXISTS && seen == SM_NOT_FOUND) {
            st = SM_OK; /* it was completed and deleted: its course finds out whether it was ours */
        } else if (seen != SM_NOT_FOUND && (st == SM_EXISTS || st == SM_DISK_FULL)) {
            st = sm_fail(e, SM_IO, "could not see whether the publication was begun: %s",
                         unused.what);
        }
    }
    sm_buf_release(&text);
    sm_budget_give(sm_arena_budget(j->arena), text_bytes);
    return sm_within(e, st, "the journal of lake %.*s", SM_STR_ARG(j->lake));
}

static sm_status put_word(smi_journal *j, int64_t number, const char *what, const sm_buf *text,
                          sm_error *e)
{
    return sm_store_put(j->store, key_of(j, number, what), text->data, text->len, SM_PUT_IF_ABSENT,
                        e);
}

sm_status smi_journal_decide(smi_journal *j, int64_t number, bool is_commit, sm_str why,
                             sm_error *e)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(number == j->newest && !j->has_verdict && !j->is_done);
    SM_ASSERT(!is_commit || why.len == 0);
    sm_json_begin_object(&w);
    sm_json_set_text(&w, "verdict", is_commit ? SM_STR("commit") : SM_STR("abandon"));
    if (!is_commit) {
        sm_json_set_text(&w, "why", why);
    }
    sm_json_end_object(&w);
    const sm_status st = put_word(j, number, "verdict", &text, e);
    sm_buf_release(&text);
    return st;
}

sm_status smi_journal_end(smi_journal *j, const smi_publication *p, const char *outcome,
                          sm_error *e)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "lake", p->lake_id);
    sm_json_set_i64(&w, "number", p->number);
    sm_json_set_text(&w, "outcome", sm_str_of(outcome));
    sm_json_end_object(&w);
    const sm_status st = put_word(j, p->number, "done", &text, e);
    sm_buf_release(&text);
    return st == SM_EXISTS ? SM_OK : st; /* whoever put it came to the same outcome */
}
