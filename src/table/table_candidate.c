/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_candidate.c: candidates: the staged next versions of tables, and who owns them.
 *
 * The last release of a candidate deletes its files, unless it was published or may have been: a
 * commit whose answer was lost may stand in the log, and a file too many does less harm than a
 * version whose files are gone. */
#include "table/table_int.h"

#include "base/log.h"

/* ---- life ------------------------------------------------------------------------------------ */

sm_candidate *sm_candidate_retain(sm_candidate *c)
{
    const int32_t before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);

    SM_ASSERT(before > 0);
    (void)before; /* of the assert alone */
    return c;
}

static void delete_vectors(sm_candidate *c)
{
    sm_error e = {0};

    if (c->vectors_key.len > 0 && sm_store_delete(c->store, c->vectors_key, &e) != SM_OK) {
        sm_log(sm_store_log(c->store), SM_LOG_WARN, "%.*s could not be deleted: %s",
               SM_STR_ARG(c->vectors_key), e.what);
    }
}

static void delete_note(sm_candidate *c)
{
    sm_error e = {0};

    if (c->has_note && sm_store_delete(c->store, c->note_key, &e) != SM_OK) {
        sm_log(sm_store_log(c->store), SM_LOG_WARN, "%.*s could not be deleted: %s",
               SM_STR_ARG(c->note_key), e.what);
    }
}

void sm_candidate_release(sm_candidate *c)
{
    if (!c) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    if (!c->keeps_files) {
        smi_delete_files(c->store, c->record.adds, c->record.n_adds);
        smi_delete_files(c->store, c->record.changes, c->record.n_changes);
        delete_vectors(c);
        delete_note(c);
    }
    sm_snapshot_release(c->staged);
    sm_snapshot_release(c->base);
    sm_store_release(c->store);
    sm_arena_free(c->arena);
    sm_free(c);
}

/* ---- what it is ------------------------------------------------------------------------------ */

sm_str sm_candidate_uri(const sm_candidate *c)
{
    return c->uri;
}

const sm_type *sm_candidate_schema(const sm_candidate *c)
{
    return c->schema;
}

int64_t sm_candidate_rows(const sm_candidate *c)
{
    return c->n_rows;
}

uint64_t sm_candidate_bytes(const sm_candidate *c)
{
    return c->bytes;
}

const sm_delta_add *sm_candidate_new_files(const sm_candidate *c, int64_t *n)
{
    *n = c->record.n_adds - c->n_moved;
    return c->record.adds + c->n_moved;
}

bool sm_candidate_is_next(const sm_candidate *c, int64_t version)
{
    return version == (c->base ? sm_snapshot_version(c->base) : -1) + 1;
}

sm_str sm_candidate_table_id(const sm_candidate *c)
{
    return smi_candidate_metadata(c)->id;
}

bool sm_candidate_is_empty(const sm_candidate *c)
{
    const sm_delta_commit *r = &c->record;
    return !c->is_always_made && r->n_adds == 0 && r->n_removes == 0 && r->n_restores == 0 &&
           r->n_txns == 0;
}

bool sm_candidate_keeps_rows(const sm_candidate *c)
{
    const sm_delta_commit *r = &c->record;
    return c->base && c->schema == sm_snapshot_metadata(c->base)->schema &&
           (r->keeps_rows || (r->n_adds == 0 && r->n_removes == 0 && r->n_restores == 0));
}

static const sm_delta_txn *copy_txns(sm_arena *a, const sm_delta_txn *txns, int64_t n)
{
    sm_delta_txn *copy = SM_NEW_ARRAY(a, sm_delta_txn, n + 1);
    for (int64_t i = 0; i < n; i++) {
        copy[i] = txns[i];
        copy[i].app_id = sm_arena_str(a, txns[i].app_id);
    }
    return copy;
}

/* The members of commitInfo: those of the note, with the verdict in its member "smelt". */
static void settle_info(sm_candidate *c)
{
    const sm_str smelt = SM_STR("\"smelt\":{");
    const sm_str info = c->note_info;
    const bool has_smelt = sm_str_starts(info, smelt);
    const sm_str rest = {info.data + (has_smelt ? smelt.len : 0),
                         info.len - (has_smelt ? smelt.len : 0)};
    sm_buf text = {0};

    if (c->verdict.len == 0) {
        c->record.info_json = info;
        return;
    }
    SM_ASSERT(has_smelt || info.len == 0 || !memmem(info.data, info.len, smelt.data, smelt.len));
    sm_buf_text(&text, SM_STR("\"smelt\":{\"verdict\":"));
    sm_buf_text(&text, c->verdict); /* both may be long */
    sm_buf_text(&text, has_smelt ? SM_STR("") : SM_STR("}"));
    sm_buf_text(&text, rest.len == 0 || rest.data[0] == '}' ? SM_STR("") : SM_STR(","));
    sm_buf_text(&text, rest);
    c->record.info_json = sm_arena_str(c->arena, sm_buf_str(&text));
    sm_buf_release(&text);
}

void sm_candidate_note(sm_candidate *c, const sm_note *note)
{
    SM_ASSERT(!c->has_note && !c->keeps_files); /* not published yet */
    SM_ASSERT(note->n_txns == 0 || note->txns);
    SM_ASSERT(note->key.len > 0 || note->text.len == 0);
    c->record.txns = copy_txns(c->arena, note->txns, note->n_txns);
    c->record.n_txns = note->n_txns;
    c->note_info = sm_arena_str(c->arena, note->info_json);
    settle_info(c);
    c->note_key = sm_arena_str(c->arena, note->key);
    c->note_text = sm_arena_str(c->arena, note->text);
}

/* ---- its contract ---------------------------------------------------------------------------- */

void sm_candidate_guard(sm_candidate *c)
{
    SM_ASSERT(!c->has_note && !c->keeps_files); /* not published yet */
    c->is_guarded = true;
}

void sm_candidate_judge(sm_candidate *c, const sm_judged *v)
{
    SM_ASSERT(c->is_guarded && !c->has_note && !c->keeps_files);
    SM_ASSERT(v->json.len > 0 && v->json.data[0] == '{');
    c->passes = v->passes;
    c->verdict = sm_arena_str(c->arena, v->json);
    c->is_of_table = v->is_of_table;
    settle_info(c);
}

/* Who makes a table is in conflict with everybody, and who has read which files there are with more
 * than a change of rows. */
sm_delta_commit smi_candidate_record(const sm_candidate *c)
{
    sm_delta_commit out = c->record;

    if (c->is_of_table && c->base && out.isolation != SM_READ_LAYOUT) {
        out.isolation = SM_READ_ALL;
    }
    return out;
}

sm_status smi_candidate_check_verdict(const sm_candidate *c, sm_error *e)
{
    if (!c->is_guarded || c->passes) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_CONTRACT, "table %.*s %s", SM_STR_ARG(c->uri),
                                 c->verdict.len > 0 ? "does not keep its contract"
                                                    : "was not judged by its contract");
    sm_error_todo(e, "Nothing was published.");
    return st;
}

/* ---- its rows -------------------------------------------------------------------------------- */

/* What the base has without the files that go; −1: not known. */
static int64_t kept_rows(const sm_candidate *c)
{
    sm_delta_totals t = {0};
    sm_error e = {0};

    if (!c->base || c->removes_all) {
        return 0;
    }
    if (sm_snapshot_totals(c->base, &t, &e) != SM_OK) {
        sm_log(sm_store_log(c->store), SM_LOG_WARN, "the rows of %.*s are not counted: %s",
               SM_STR_ARG(c->uri), e.what);
        return -1;
    }
    SM_ASSERT(c->record.n_restores == 0); /* what a restore makes is published at once */
    for (int64_t i = 0; t.n_rows >= 0 && i < c->record.n_removes; i++) {
        t.n_rows -= sm_delta_file_rows(c->record.removes[i]);
    }
    return t.n_rows;
}

int64_t sm_candidate_table_rows(sm_candidate *c)
{
    if (!c->has_kept_rows) {
        c->kept_rows = kept_rows(c);
        c->has_kept_rows = true;
    }
    int64_t rows = c->kept_rows;
    for (int64_t i = 0; rows >= 0 && i < c->record.n_adds; i++) {
        rows += c->record.adds[i].n_rows;
    }
    for (int64_t i = 0; rows >= 0 && i < c->record.n_marks; i++) {
        rows += c->record.marks[i].file->n_rows - c->record.marks[i].dv->cardinality;
    }
    return rows;
}

const sm_delta_metadata *smi_candidate_metadata(const sm_candidate *c)
{
    SM_ASSERT(c->record.metadata || c->base);
    return c->record.metadata ? c->record.metadata : sm_snapshot_metadata(c->base);
}

sm_status smi_candidate_base(const sm_candidate *c, const sm_delta_file *files, int64_t n_files,
                             sm_arena *a, sm_dataset *out, int32_t **columns, sm_error *e)
{
    sm_dataset wider = {0};

    SM_TRY(sm_snapshot_dataset_picked(c->base, files, n_files, a, out, columns, e));
    if (!c->record.metadata) {
        return SM_OK;
    }
    SM_TRY(sm_delta_dataset(smi_candidate_metadata(c), a, &wider, columns, e));
    if (sm_type_eq(out->schema, wider.schema)) {
        return SM_OK;
    }
    SM_ASSERT(out->schema->n_fields <= wider.schema->n_fields); /* else no file of the base stays */
    SM_ASSERT(wider.n_constants == out->n_constants); /* an overwrite alone changes them */
    out->schema = wider.schema;
    for (int64_t i = 0; i < out->n_files; i++) {
        out->files[i].ranges = NULL; /* they have none of the new columns */
    }
    return SM_OK;
}

/* ---- of a record ----------------------------------------------------------------------------- */

sm_candidate *smi_candidate_of_record(sm_store *table, sm_snapshot *base,
                                      const sm_delta_commit *record, sm_budget *budget)
{
    sm_candidate *c = sm_alloc_zero(sizeof(*c));

    SM_ASSERT(base || record->metadata);
    SM_ASSERT(record->n_adds == 0); /* else the last release might delete them */
    atomic_init(&c->refs, 1);
    c->arena = sm_arena_new(budget);
    c->store = sm_store_retain(table);
    c->uri = sm_arena_str(c->arena, sm_store_uri(c->store));
    c->base = base ? sm_snapshot_retain(base) : NULL;
    c->record = *record;
    c->schema = (record->metadata ? record->metadata : sm_snapshot_metadata(base))->schema;
    c->is_always_made = true;
    smi_candidate_assert_valid(c);
    return c;
}

sm_status smi_publish_record(sm_store *table, sm_snapshot *base, const sm_delta_commit *record,
                             sm_budget *budget, int64_t *version, sm_error *e)
{
    sm_candidate *c = smi_candidate_of_record(table, base, record, budget);
    const sm_status st = sm_publish(&c, 1, budget, version, NULL, e);

    sm_candidate_release(c);
    return st;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* Does a metric of that name say another number? */
static bool metric_differs(const sm_delta_commit *r, const char *name, int64_t n)
{
    for (int32_t i = 0; i < r->n_metrics; i++) {
        if (sm_str_is(r->metrics[i].key, name)) {
            return r->metrics[i].value.as.i != n;
        }
    }
    return false;
}

static bool counts_agree(const sm_candidate *c, const char **why)
{
    const sm_delta_commit *r = &c->record;
    int64_t n_rows = 0;
    uint64_t bytes = 0;

    for (int64_t i = 0; i < r->n_adds; i++) {
        n_rows += r->adds[i].n_rows;
        bytes += r->adds[i].size_bytes;
    }
    *why = "the candidate has other rows or bytes than its files";
    if (c->n_rows < 0 || c->n_rows > n_rows || c->bytes != bytes) {
        return false;
    }
    *why = "a metric differs from what it counts";
    return !metric_differs(r, "numFiles", r->n_adds) &&
           !metric_differs(r, "numOutputRows", n_rows) &&
           !metric_differs(r, "numOutputBytes", (int64_t)bytes) &&
           !metric_differs(r, "numRemovedFiles", r->n_removes - r->n_marks) &&
           !metric_differs(r, "numRestoredFiles", r->n_restores) &&
           !metric_differs(r, "numCopiedRows", n_rows - c->n_rows);
}

bool smi_candidate_validate(const sm_candidate *c, bool deep, const char **why)
{
    const sm_delta_commit *r = &c->record;

    if (!c->store || c->uri.len == 0 || r->operation.len == 0) {
        *why = "the candidate is of no table, or does nothing that has a name";
        return false;
    }
    if (!c->schema || (r->metadata && r->metadata->schema != c->schema)) {
        *why = "the candidate's schema is not that of its metadata";
        return false;
    }
    if (c->has_note && c->note_key.len == 0) {
        *why = "the candidate's note is there and has no name";
        return false;
    }
    return counts_agree(c, why) && sm_delta_commit_validate(r, c->base, deep, why);
}

void smi_candidate_assert_valid(const sm_candidate *c)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (!smi_candidate_validate(c, true, &why)) {
        sm_assert_failed(why, "table: a candidate", 0);
    }
#else
    (void)c;
#endif
}
