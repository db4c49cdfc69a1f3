/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_compare.c: do two states of a table say the same? One is what its commits say, the
 * other what a checkpoint or a log compaction file says in their place. Called by delta_audit.c.
 *
 * Method   Protocol, metadata, domains and transactions are compared one by one. Of the files,
 *          of which there may be a million, each state gives sums of their hashes: where they are
 *          equal, so are the files, and nothing was kept of them. Only where they differ the hashes
 *          of one state's files are kept, to name what the other lacks or has otherwise; if there
 *          are many files, of one part of them at a time.
 * No       a checkpoint without statistics; the order of files, of partition values and of
 * differ-  properties; another spelling of a path or of the schema.
 * ence */
#include <inttypes.h>

#include "base/hash_set.h"
#include "delta/delta_int.h"

/* ---- protocol and metadata ------------------------------------------------------------------- */

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

    SM_ASSERT(n_x >= 0 && n_y >= 0);
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

bool smi_are_same_schemas(sm_str x, sm_str y)
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
    if (!smi_are_same_schemas(x->schema_json, y->schema_json)) {
        return "the schema";
    }
    if (!are_same_texts(m->partition_columns, m->n_partition_columns, o->partition_columns,
                        o->n_partition_columns)) {
        return "the partition columns";
    }
    return are_same_pairs(m->config, m->n_config, o->config, o->n_config) ? NULL : "the properties";
}

/* ---- files ----------------------------------------------------------------------------------- */

/* What is compared of a file, as hashes. */
typedef struct marks {
    sm_hash128 id;       /* path and deletion vector */
    sm_hash128 said;     /* and size, and partition values */
    sm_hash128 rows;     /* and the number of rows, … */
    sm_hash128 any_rows; /* … as if it were not known */
    bool knows_rows;
} marks;

static void add_hash(sm_hash128 *sum, sm_hash128 h)
{
    sum->low += h.low;
    sum->high += h.high;
}

static bool are_equal(sm_hash128 x, sm_hash128 y)
{
    return x.low == y.low && x.high == y.high;
}

/* A hash of a hash and a number: never one of another kind of mark. */
static sm_hash128 with_number(sm_hash128 h, uint64_t kind, int64_t number)
{
    const uint64_t words[] = {h.low, h.high, kind, (uint64_t)number};

    return sm_hash128_of(words, sizeof(words), 0);
}

/* Of a set of pairs; a null is "" in partition values. */
static sm_hash128 hash_pairs(const sm_pair *items, int32_t n, sm_buf *text)
{
    sm_hash128 sum = {0};

    for (int32_t i = 0; i < n; i++) {
        sm_buf_reset(text);
        sm_buf_text(text, items[i].key);
        sm_buf_text(text, (sm_str){"\0", 1});
        sm_buf_text(text, items[i].value);
        add_hash(&sum, sm_hash128_of(text->data, text->len, 0));
    }
    return sum;
}

static marks marks_of(const smi_home *home, const smi_action *add, sm_buf *text)
{
    const sm_str id = smi_file_identity(home, add->path, add->dv, text);
    const int64_t n_rows = smi_stats_rows(add->stats_json);
    marks m = {.id = sm_hash128_of(id.data, id.len, 0), .knows_rows = n_rows >= 0};

    sm_hash128 of = hash_pairs(add->partition, add->n_partition, text);
    SM_ASSERT(add->kind == SMI_ACTION_ADD && add->path.len > 0);
    add_hash(&of, m.id);
    m.said = with_number(of, 1, (int64_t)add->size_bytes);
    m.rows = with_number(m.said, 2, n_rows);
    m.any_rows = with_number(m.said, 2, -1);
    return m;
}

/* All live files of a state. */
typedef struct tally {
    const smi_home *home;
    int64_t n, n_known; /* those whose number of rows is known */
    sm_hash128 said, rows;
    sm_buf text;
} tally;

static void begin_tally(void *ctx)
{
    tally *t = ctx;

    t->n = t->n_known = 0;
    t->said = t->rows = (sm_hash128){0};
}

static sm_status tally_file(void *ctx, const smi_action *add, sm_error *e)
{
    tally *t = ctx;
    const marks m = marks_of(t->home, add, &t->text);

    (void)e;
    t->n++;
    t->n_known += m.knows_rows;
    SM_ASSERT(t->n_known <= t->n);
    add_hash(&t->said, m.said);
    add_hash(&t->rows, m.rows);
    return SM_OK;
}

static sm_status tally_files(const sm_snapshot *s, tally *out, sm_error *e)
{
    const smi_action_sink to = {.begin = begin_tally, .each = tally_file, .ctx = out};

    out->home = &s->home;
    const sm_status st = smi_live_each_strictly(s, to, e);

    sm_buf_release(&out->text);
    return st;
}

static bool are_same_files(const tally *x, const tally *y)
{
    return x->n == y->n && are_equal(x->said, y->said) &&
           (are_equal(x->rows, y->rows) || x->n_known == 0 || y->n_known == 0);
}

/* Files whose marks are kept at a time, two or three a file: 32 MB at most. */
#define PART_FILES 250000

/* The files of one state that another has not, or has otherwise. */
typedef struct naming {
    const smi_home *home;
    sm_hash_set known; /* marks of the other's files */
    bool wants_said;   /* of those without the number of rows, since some of the first lack it */
    uint64_t part, n_parts;
    int64_t n_missing, n_other;
    int64_t n_seen, first_at; /* the place of `first` among the files */
    sm_str first;             /* in `arena`; no data: none yet */
    sm_arena *arena;
    sm_buf text;
} naming;

static bool is_in_part(const naming *k, sm_hash128 id)
{
    return id.high % k->n_parts == k->part;
}

static sm_status know_file(void *ctx, const smi_action *add, sm_error *e)
{
    naming *k = ctx;
    const marks m = marks_of(k->home, add, &k->text);

    if (!is_in_part(k, m.id)) {
        return SM_OK;
    }
    SM_TRY(sm_hash_set_add(&k->known, m.id, NULL, e));
    if (k->wants_said) {
        SM_TRY(sm_hash_set_add(&k->known, m.said, NULL, e));
    }
    return sm_hash_set_add(&k->known, m.rows, NULL, e);
}

static sm_status name_file(void *ctx, const smi_action *add, sm_error *e)
{
    naming *k = ctx;
    const marks m = marks_of(k->home, add, &k->text);
    const int64_t at = k->n_seen++;

    (void)e;
    if (!is_in_part(k, m.id)) {
        return SM_OK;
    }
    const bool is_missing = !sm_hash_set_has(&k->known, m.id);
    const bool is_same =
        m.knows_rows ? sm_hash_set_has(&k->known, m.rows) || sm_hash_set_has(&k->known, m.any_rows)
                     : sm_hash_set_has(&k->known, m.said);
    const bool is_other = !is_missing && !is_same;

    SM_ASSERT(m.knows_rows || k->wants_said);
    if ((is_missing || is_other) && (!k->first.data || at < k->first_at)) {
        k->first = sm_arena_str(k->arena, add->path);
        k->first_at = at;
    }
    k->n_missing += is_missing;
    k->n_other += is_other;
    return SM_OK;
}

/* A state and its tally. */
typedef struct side {
    const sm_snapshot *state;
    tally all;
} side;

/* Of x against y. */
static sm_status name_files(const side *x, const side *y, naming *k, sm_error *e)
{
    sm_status st = SM_OK;

    k->wants_said = x->all.n_known < x->all.n;
    k->n_parts = (uint64_t)(y->all.n / PART_FILES) + 1;
    for (k->part = 0; st == SM_OK && k->part < k->n_parts; k->part++) {
        const smi_action_sink know = {.each = know_file, .ctx = k};
        const smi_action_sink name = {.each = name_file, .ctx = k};
        k->n_seen = 0;
        st = smi_live_each_strictly(y->state, know, e);
        st = st == SM_OK ? smi_live_each_strictly(x->state, name, e) : st;
        sm_hash_set_release(&k->known);
    }
    sm_buf_release(&k->text);
    return st;
}

/* ---- transactions and domains ---------------------------------------------------------------- */

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

/* ---- all of it ------------------------------------------------------------------------------- */

/* What is said of the files; NULL: the same. */
static sm_status compare_files(const sm_snapshot *commits, const sm_snapshot *seen,
                               const char *file, sm_arena *a, smi_difference *out, sm_error *e)
{
    side x = {.state = commits}, y = {.state = seen};
    naming lost = {.home = &commits->home, .known = {.budget = commits->budget}, .arena = a};
    naming more = {.home = &commits->home, .known = {.budget = commits->budget}, .arena = a};

    SM_TRY(tally_files(seen, &y.all, e));
    SM_TRY(tally_files(commits, &x.all, e));
    if (are_same_files(&x.all, &y.all)) {
        return SM_OK;
    }
    SM_TRY(name_files(&x, &y, &lost, e));
    SM_TRY(name_files(&y, &x, &more, e));
    out->has_more = more.n_missing > 0;
    if (lost.n_missing > 0 || lost.n_other > 0) {
        out->what = sm_arena_printf(a,
                                    "the %s lacks %" PRId64 " of the commits' files and says "
                                    "something else of %" PRId64 ", the first is \"%.*s\"%s",
                                    file, lost.n_missing, lost.n_other, SM_STR_ARG(lost.first),
                                    more.n_missing > 0 ? "; it has others" : "");
    } else if (more.n_missing > 0) {
        out->what = sm_arena_printf(a,
                                    "the commits lack %" PRId64 " of the %s's files, the first "
                                    "is \"%.*s\"",
                                    more.n_missing, file, SM_STR_ARG(more.first));
    }
    return SM_OK;
}

sm_status smi_compare_states(const sm_snapshot *commits, const sm_snapshot *seen, const char *file,
                             sm_arena *a, smi_difference *out, sm_error *e)
{
    SM_ASSERT(commits != seen && file[0]);
    *out = (smi_difference){0};
    SM_TRY(compare_files(commits, seen, file, a, out, e));
    const char *of = other_metadata(commits, seen);
    const bool may_miss =
        smi_config(&commits->metadata, "delta.setTransactionRetentionDuration").len > 0;
    const sm_str lost = other_txn(commits, seen, may_miss), more = other_txn(seen, commits, false);
    const bool has_domain = has_other_domain(seen, commits);

    out->has_more = out->has_more || more.len > 0 || has_domain;
    if (commits->has_protocol != seen->has_protocol ||
        !are_same_protocols(&commits->protocol, &seen->protocol)) {
        out->what = sm_arena_printf(a, "the %s has another protocol than the commits", file);
    } else if (of) {
        out->what = sm_arena_printf(a, "%s in the %s %s not what the commits say", of, file,
                                    of[strlen(of) - 1] == 's' ? "are" : "is");
    } else if (!out->what && (has_domain || has_other_domain(commits, seen))) {
        out->what = sm_arena_printf(a, "the %s has other domain metadata than the commits", file);
    } else if (!out->what && (lost.len > 0 || more.len > 0)) {
        out->what = sm_arena_printf(a, "the %s and the commits differ in transaction \"%.*s\"",
                                    file, SM_STR_ARG(lost.len > 0 ? lost : more));
    }
    return SM_OK;
}

sm_status smi_count_live(const sm_snapshot *s, int64_t *n, sm_error *e)
{
    tally t = {0};

    SM_TRY(tally_files(s, &t, e));
    *n = t.n;
    return SM_OK;
}
