/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_kept.c: candidates that did not keep their contract, kept for a while: to be looked
 * at, and to be published where the contract was wrong. Called by flow (keep, drop), cli (read,
 * publish), the names (candidate.layer.table), vacuum and fsck.
 *
 * Object   LAKE/_smelt/candidates/layer/table/candidate.json:  a line of JSON, then the lines of
 *          the commit (sm_delta_prepare), which may be of any operation:
 *              {"smelt_candidate":1,"id":ID,"path":"silver/orders","base":12,"isolation":"nothing",
 *               "bytes":345,"kept_us":N,"rows":N,"left":N,"run":…,"contract":…,"hash":…,
 *               "report":[…],"info":…,"note_key":…,"note":…,"files":[…]}
 *          info: further members of commitInfo; note: the object that the commit names; files: what
 *          was written for the candidate, and goes with it.
 * Keep     after the files are durable; a later one takes its place. Dropped when the table is
 *          published by a run, when another is kept, and by vacuum when it is older than
 *          SM_KEPT_US.
 * Claim    …/table/ID/RANDOM.claim, while it is published. Who publishes puts a claim and reads the
 *          candidate again; who drops takes the candidate away first, and then looks for claims: it
 *          deletes the files only where there is none. So one of the two sees the other. A claim
 *          that a killed process left keeps the files, which may be live; vacuum knows whether they
 *          are.
 * Once     The publication, and so the commit, has the candidate's id. Whoever publishes it again,
 *          since the process that did was killed, finds the commit in the log. */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/json_doc.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"

#define FORMAT     1
#define MOST_BYTES ((size_t)1 << 30)

static sm_str object_of(sm_str path, sm_arena *a)
{
    return sm_arena_strf(a, SMI_KEPT_FOLDER "%.*s/candidate.json", SM_STR_ARG(path));
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put_files(const sm_candidate *c, sm_json_writer *w)
{
    const sm_delta_commit *r = &c->record;

    sm_json_set_array(w, "files");
    for (int64_t i = 0; i < r->n_adds; i++) {
        sm_json_put_text(w, r->adds[i].key);
    }
    for (int64_t i = 0; i < r->n_changes; i++) {
        sm_json_put_text(w, r->changes[i].key);
    }
    if (c->vectors_key.len > 0) {
        sm_json_put_text(w, c->vectors_key);
    }
    sm_json_end_array(w);
}

static void print_kept(const sm_candidate *c, const sm_keeping *k, const smi_part *part,
                       sm_buf *out)
{
    sm_json_writer w = {.out = out};

    SM_ASSERT(part->commit.id.len > 0 && part->path.len > 0);
    SM_ASSERT(k->now_us > 0 && k->n_left >= 0 && c->n_rows >= 0);
    SM_ASSERT(c->note_key.len > 0 || c->note_text.len == 0);
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "smelt_candidate", FORMAT);
    sm_json_set_text(&w, "id", part->commit.id);
    smi_part_print(part, &w);
    sm_json_set_i64(&w, "kept_us", k->now_us);
    sm_json_set_i64(&w, "rows", c->n_rows);
    sm_json_set_i64(&w, "left", k->n_left);
    sm_json_set_text(&w, "run", k->run);
    sm_json_set_text(&w, "contract", k->contract);
    sm_json_set_text(&w, "hash", k->hash);
    sm_json_set_raw(&w, "report", k->report);
    sm_json_set_text(&w, "info", c->note_info);
    sm_json_set_text(&w, "note_key", c->note_key);
    sm_json_set_text(&w, "note", c->note_text);
    put_files(c, &w);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    sm_buf_text(out, part->commit.text);
}

/* Only what a writer of data files makes may be deleted by what an object says. */
static bool is_file_key(sm_str key)
{
    const bool is_data = sm_str_ends(key, SM_STR(".parquet")) || sm_str_ends(key, SM_STR(".bin"));
    const bool leaves = key.len > 0 && (key.data[0] == '/' || memmem(key.data, key.len, "..", 2));

    return is_data && !leaves && !sm_str_starts(key, SM_STR("_delta_log/"));
}

static sm_status parse_files(const sm_json *list, sm_arena *a, smi_kept_commit *out, sm_error *e)
{
    out->files = SM_NEW_ARRAY(a, sm_str, list ? list->n_children + 1 : 1);
    for (const sm_json *o = list ? list->child : NULL; o; o = o->next) {
        if (!is_file_key(sm_json_text(o))) {
            return sm_fail(e, SM_CORRUPT, "\"%.*s\" is no data file of a table",
                           SM_STR_ARG(sm_json_text(o)));
        }
        out->files[out->n_files++] = sm_json_text(o);
    }
    return SM_OK;
}

static void parse_about(const sm_json *o, smi_kept_commit *out)
{
    const sm_json *report = sm_json_get(o, "report");
    sm_kept *k = &out->kept;

    k->about = (sm_keeping){.run = sm_json_text(sm_json_get(o, "run")),
                            .contract = sm_json_text(sm_json_get(o, "contract")),
                            .hash = sm_json_text(sm_json_get(o, "hash")),
                            .report = report ? report->text : SM_STR("[]")};
    k->id = sm_json_text(sm_json_get(o, "id"));
    k->base = out->part.commit.base;
    out->info = sm_json_text(sm_json_get(o, "info"));
    out->note_key = sm_json_text(sm_json_get(o, "note_key"));
    out->note_text = sm_json_text(sm_json_get(o, "note"));
}

static sm_status parse_kept(sm_str text, sm_arena *a, smi_kept_commit *out, sm_error *e)
{
    const char *lf = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
    const size_t first = lf ? (size_t)(lf - text.data) : text.len;
    sm_str rest = {text.data + first + (lf ? 1 : 0), text.len - first - (lf ? 1 : 0)};
    const sm_json *o = NULL;
    int64_t format = 0;

    SM_TRY(sm_json_parse((sm_str){text.data, first}, a, &o, e));
    if (!sm_json_i64(sm_json_get(o, "smelt_candidate"), &format) || format < 1) {
        return sm_fail(e, SM_CORRUPT, "this is not a candidate that was kept");
    }
    if (format > FORMAT) {
        return sm_fail(e, SM_UNSUPPORTED, "a newer smelt has kept this candidate");
    }
    SM_TRY(smi_part_parse(o, &rest, &out->part, e));
    SM_TRY(parse_files(sm_json_get(o, "files"), a, out, e));
    parse_about(o, out);
    if (rest.len > 0 || out->kept.id.len == 0 ||
        !sm_json_i64(sm_json_get(o, "kept_us"), &out->kept.about.now_us) ||
        !sm_json_i64(sm_json_get(o, "left"), &out->kept.about.n_left) ||
        !sm_json_i64(sm_json_get(o, "rows"), &out->kept.n_rows)) {
        return sm_fail(e, SM_CORRUPT, "the candidate that was kept is damaged");
    }
    out->part.commit.id = out->kept.id;
    return SM_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

sm_status smi_kept_commit_read(sm_store *lake, sm_str path, sm_arena *a, smi_kept_commit *out,
                               sm_error *e)
{
    sm_buf bytes = {.max_bytes = MOST_BYTES};
    const sm_str key = object_of(path, a);

    *out = (smi_kept_commit){0};
    sm_status st = sm_store_get(lake, key, &bytes, e);
    if (st != SM_OK) {
        sm_buf_release(&bytes);
        return st;
    }
    st = parse_kept(sm_arena_take(a, &bytes), a, out, e);
    if (st == SM_OK && !sm_str_eq(out->part.path, path)) {
        st = sm_fail(e, SM_CORRUPT, "the candidate that was kept is of %.*s",
                     SM_STR_ARG(out->part.path));
    }
    if (st != SM_OK) {
        sm_error_place(e, sm_store_uri_of(lake, key, a).data, 0, -1);
        sm_error_todo(e, "Delete it: vacuum takes its files.");
    }
    return st;
}

/* "silver/orders" of "silver.orders". */
static sm_str path_of(sm_str table, sm_arena *a)
{
    const char *dot = memchr(table.data, '.', table.len);

    SM_ASSERT(dot && dot > table.data);
    const sm_str layer = {table.data, (size_t)(dot - table.data)};
    return sm_arena_strf(a, "%.*s/%.*s", SM_STR_ARG(layer), (int)(table.len - layer.len - 1),
                         dot + 1);
}

static sm_status fail_none(sm_str table, sm_str lake, sm_error *e)
{
    const sm_status st = sm_fail(e, SM_NOT_FOUND, "no candidate of %.*s is kept in %.*s",
                                 SM_STR_ARG(table), SM_STR_ARG(lake));
    sm_error_todo(e,
                  "One is kept where a run fails by the contract of the table, until the table is "
                  "published, or vacuumed after %d days.",
                  (int)(SM_KEPT_US / SM_DAY_US));
    return st;
}

/* Opens the lake and reads; *store is the caller's, also after a failure. */
static sm_status open_kept(sm_stores *stores, sm_str lake, sm_str table, sm_arena *a,
                           sm_store **store, smi_kept_commit *out, sm_error *e)
{
    *store = NULL;
    SM_TRY(sm_store_open(stores, lake, store, e));
    const sm_status st = smi_kept_commit_read(*store, path_of(table, a), a, out, e);
    out->kept.table = table;
    return st == SM_NOT_FOUND ? fail_none(table, lake, e) : st;
}

bool sm_kept_is_name(sm_str name, sm_str *layer, sm_str *table)
{
    const size_t head = strlen(SM_CANDIDATE_NAME ".");

    if (name.len <= head || memchr(name.data, '/', name.len) ||
        !sm_str_eq_nocase((sm_str){name.data, head}, SM_STR(SM_CANDIDATE_NAME "."))) {
        return false;
    }
    const sm_str rest = {name.data + head, name.len - head};
    const char *dot = memchr(rest.data, '.', rest.len);
    if (!dot || dot == rest.data || dot + 1 == rest.data + rest.len) {
        return false;
    }
    *layer = (sm_str){rest.data, (size_t)(dot - rest.data)};
    *table = (sm_str){dot + 1, rest.len - layer->len - 1};
    return !memchr(table->data, '.', table->len);
}

sm_status sm_kept_read(sm_stores *stores, sm_str lake, sm_str table, sm_arena *a, sm_kept *out,
                       sm_error *e)
{
    sm_store *store = NULL;
    smi_kept_commit k;

    const sm_status st = open_kept(stores, lake, table, a, &store, &k, e);
    sm_store_release(store);
    *out = st == SM_OK ? k.kept : (sm_kept){0};
    return st;
}

sm_status smi_kept_commit_open(sm_names *n, sm_str table, sm_snapshot **out, sm_error *e)
{
    smi_kept_commit *k = SM_NEW(n->arena, smi_kept_commit);
    sm_store *lake = NULL, *store = NULL;
    sm_str uri = {0};

    if (n->lake.len == 0) {
        return sm_fail(e, SM_NAME, "no candidate of \"%.*s\", and no lake is given",
                       SM_STR_ARG(table));
    }
    SM_TRY(sm_names_uri(n, table, n->arena, &uri, e));
    const sm_status st = open_kept(n->stores, n->lake, table, n->arena, &lake, k, e);
    sm_store_release(lake);
    SM_TRY(st);
    SM_TRY(sm_store_open(n->stores, uri, &store, e));
    smi_names_hold_store(n, store);
    return sm_within(e, sm_snapshot_open_staged(store, &k->part.commit, n->budget, out, e),
                     "candidate of %.*s", SM_STR_ARG(table));
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* Is somebody publishing the candidate, or was killed at it? Who cannot see it says yes. */
static bool is_claimed(sm_store *lake, const smi_kept_commit *k, sm_arena *a)
{
    const sm_str prefix = sm_arena_strf(a, SMI_KEPT_FOLDER "%.*s/%.*s/", SM_STR_ARG(k->part.path),
                                        SM_STR_ARG(k->kept.id));
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_error e = {0};

    const sm_status st = sm_store_list(lake, prefix, true, a, &entries, &n, &e);
    return st != SM_NOT_FOUND && (st != SM_OK || n > 0);
}

/* The object is gone, or another's: nobody can claim the candidate any more. */
static void delete_files(sm_store *lake, const smi_kept_commit *k, sm_arena *a)
{
    const sm_str uri =
        sm_arena_strf(a, "%.*s/%.*s", SM_STR_ARG(sm_store_uri(lake)), SM_STR_ARG(k->part.path));
    sm_store *table = NULL;
    sm_error e = {0};

    SM_ASSERT(k->kept.id.len > 0 && k->n_files >= 0);
    if (is_claimed(lake, k, a)) {
        return;
    }
    sm_status st = sm_store_open(sm_store_opener(lake), uri, &table, &e);
    st = st == SM_OK ? sm_store_delete_many(table, k->files, k->n_files, &e) : st;
    if (st != SM_OK) {
        sm_log(sm_store_log(lake), SM_LOG_WARN,
               "files in %.*s, which no version names, could not be deleted: %s", SM_STR_ARG(uri),
               e.what);
    }
    sm_store_release(table);
}

sm_status smi_kept_commit_drop(sm_store *lake, const smi_kept_commit *k, sm_arena *a, sm_error *e)
{
    SM_TRY(sm_store_delete(lake, object_of(k->part.path, a), e));
    delete_files(lake, k, a);
    return SM_OK;
}

sm_status sm_kept_drop(sm_stores *stores, sm_str lake, sm_str table, sm_budget *budget, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    sm_store *store = NULL;
    smi_kept_commit k;

    sm_status st = open_kept(stores, lake, table, a, &store, &k, e);
    st = st == SM_OK ? smi_kept_commit_drop(store, &k, a, e) : st;
    sm_store_release(store);
    sm_arena_free(a);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* A put whose answer was lost may have been done. *is_sure: whether it was is known. */
static sm_status put_kept(sm_store *lake, sm_str key, sm_str text, bool *is_sure, sm_error *e)
{
    sm_buf there = {0};
    sm_error unused = {0};

    *is_sure = true;
    sm_status st = sm_store_put(lake, key, text.data, text.len, SM_PUT_REPLACE, e);
    if (st != SM_OK && st != SM_DISK_FULL && sm_status_retry(st)) {
        const sm_status seen = sm_store_get(lake, key, &there, &unused);
        *is_sure = seen == SM_OK || seen == SM_NOT_FOUND;
        st = seen == SM_OK && sm_str_eq(sm_buf_str(&there), text) ? SM_OK : st;
        sm_buf_release(&there);
    }
    return st;
}

static sm_status keep_in(sm_store *lake, sm_str path, sm_candidate *c, const sm_keeping *k,
                         sm_arena *a, sm_error *e)
{
    sm_delta_commit record = c->record;
    smi_part part = {.path = path};
    smi_kept_commit before;
    sm_error unused = {0};
    sm_buf text = {0};
    bool is_sure = true;

    record.info_json = SM_STR("");
    SM_TRY(sm_delta_prepare(c->base, &record, a, &part.commit, e));
    const bool has_before = smi_kept_commit_read(lake, path, a, &before, &unused) == SM_OK;
    print_kept(c, k, &part, &text);
    c->keeps_files = true; /* from here on it may be there */
    const sm_status st = put_kept(lake, object_of(path, a), sm_buf_str(&text), &is_sure, e);
    SM_ASSERT(is_sure || st != SM_OK);
    c->keeps_files = st == SM_OK || !is_sure;
    sm_buf_release(&text);
    if (st == SM_OK && has_before) {
        delete_files(lake, &before, a);
    }
    return st;
}

sm_status sm_candidate_keep(sm_candidate *c, const sm_keeping *k, sm_budget *budget, bool *is_kept,
                            sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    const smi_lake_place place = smi_lake_of(c->store, a);
    sm_store *lake = NULL;
    sm_status st = SM_OK;

    SM_ASSERT(!c->passes && !c->keeps_files && !c->has_note);
    SM_ASSERT(k->report.len > 0 && k->report.data[0] == '[');
    *is_kept = false;
    if (place.lake.len > 0 && !sm_candidate_is_empty(c)) {
        st = sm_store_open(sm_store_opener(c->store), place.lake, &lake, e);
        st = st == SM_OK ? keep_in(lake, place.path, c, k, a, e) : st;
        *is_kept = st == SM_OK;
    }
    sm_store_release(lake);
    sm_arena_free(a);
    return st;
}

/* ---- publishing ------------------------------------------------------------------------------ */

static sm_str claim_of(const smi_kept_commit *k, sm_arena *a)
{
    char random[SM_UUID_BYTES];

    SM_ASSERT(k->kept.id.len > 0); /* else it would lie among those of others */
    sm_uuid(random);
    return sm_arena_strf(a, SMI_KEPT_FOLDER "%.*s/%.*s/%s.claim", SM_STR_ARG(k->part.path),
                         SM_STR_ARG(k->kept.id), random);
}

static void give_claim(sm_store *lake, sm_str claim)
{
    sm_error e = {0};

    if (sm_store_delete(lake, claim, &e) != SM_OK) {
        sm_log(sm_store_log(lake), SM_LOG_WARN, "%.*s could not be deleted: %s", SM_STR_ARG(claim),
               e.what);
    }
}

/* The candidate as one that can be published; it owns no file. */
static sm_status revive(sm_store *lake, smi_kept_commit *k, const sm_judged *v, sm_budget *budget,
                        sm_candidate **out, sm_error *e)
{
    sm_candidate *c = sm_alloc_zero(sizeof(*c));
    sm_status st = SM_OK;

    atomic_init(&c->refs, 1);
    c->arena = sm_arena_new(budget);
    c->uri = sm_arena_strf(c->arena, "%.*s/%.*s", SM_STR_ARG(sm_store_uri(lake)),
                           SM_STR_ARG(k->part.path));
    SM_TRY_GOTO(st, done, sm_store_open(sm_store_opener(lake), c->uri, &c->store, e));
    SM_TRY_GOTO(st, done,
                sm_snapshot_open_staged(c->store, &k->part.commit, budget, &c->staged, e));
    if (k->kept.base >= 0) {
        SM_TRY_GOTO(st, done, sm_snapshot_open_head(c->store, k->kept.base, budget, &c->base, e));
    }
    c->kept = &k->part.commit;
    c->record = (sm_delta_commit){.operation = SM_STR("WRITE"),
                                  .isolation = k->part.commit.isolation,
                                  .metadata = sm_snapshot_metadata(c->staged)};
    c->schema = c->record.metadata->schema;
    c->n_rows = k->kept.n_rows;
    c->is_always_made = true;
    c->note_info = k->info;
    c->note_key = k->note_key;
    c->note_text = k->note_text;
    sm_candidate_guard(c);
    sm_candidate_judge(c, v);
done:
    if (st != SM_OK) {
        sm_candidate_release(c);
        return st;
    }
    *out = c;
    return SM_OK;
}

/* Holds a claim. `was` is what was judged. */
static sm_status publish_claimed(sm_store *lake, const smi_kept_commit *was, const sm_judged *v,
                                 sm_budget *budget, sm_arena *a, int64_t *version, sm_error *e)
{
    smi_kept_commit k;
    sm_candidate *c = NULL;

    sm_status st = smi_kept_commit_read(lake, was->part.path, a, &k, e);
    if (st == SM_NOT_FOUND || (st == SM_OK && !sm_str_eq(k.kept.id, was->kept.id))) {
        st = sm_fail(e, SM_CONFLICT, "another run has %s the candidate meanwhile",
                     st == SM_OK ? "replaced" : "dropped");
        sm_error_todo(e, "Nothing was published: it is safe to run again.");
    }
    SM_TRY(st);
    if (k.kept.about.n_left > 0) {
        st = sm_fail(e, SM_UNSUPPORTED,
                     "rules have taken %" PRId64 " row%s out of the candidate, which are in no "
                     "quarantine",
                     k.kept.about.n_left, k.kept.about.n_left == 1 ? "" : "s");
        sm_error_todo(e, "Run the pipeline again, with a contract that the table keeps.");
        return st;
    }
    SM_TRY(revive(lake, &k, v, budget, &c, e));
    SM_ASSERT(c->kept &&
              c->record.n_adds == 0); /* whatever comes of it, its files are not deleted */
    st = sm_publish(&c, 1, budget, version, NULL, e);
    sm_candidate_release(c);
    return st;
}

/* Is it certain that the candidate was not published, and will not be? */
static bool is_refused(sm_status st)
{
    return st == SM_CONFLICT || st == SM_CONTRACT || st == SM_NOT_FOUND || st == SM_CORRUPT ||
           st == SM_UNSUPPORTED || st == SM_SCHEMA || st == SM_DENIED || st == SM_INVALID;
}

sm_status sm_kept_publish(sm_stores *stores, sm_str lake, const sm_kept *kept, const sm_judged *v,
                          sm_budget *budget, int64_t *version, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    sm_store *store = NULL;
    smi_kept_commit k;

    SM_ASSERT(kept->id.len > 0 && kept->table.len > 0);
    *version = -1;
    sm_status st = open_kept(stores, lake, kept->table, a, &store, &k, e);
    if (st == SM_OK) {
        const sm_str claim = claim_of(&k, a);
        k.kept.id = kept->id;
        st = sm_store_put(store, claim, "\n", 1, SM_PUT_REPLACE, e);
        st = st == SM_OK ? publish_claimed(store, &k, v, budget, a, version, e) : st;
        if (st == SM_OK) {
            st = sm_store_delete(store, object_of(k.part.path, a), e);
        }
        if (st == SM_OK || is_refused(st)) {
            give_claim(store, claim);
        }
    }
    sm_store_release(store);
    sm_arena_free(a);
    return st;
}
