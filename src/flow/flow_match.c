/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match.c: matches the files of a folder against the books, in the order that
 * flow_match_int.h gives. Called by flow_books_match.c. flow_match_root.c finds the root;
 * flow_match_content.c matches by contents.
 *
 * Reading      A content is asked for only where it can decide something. Never for a file whose
 *              mark is the one in the books. For a plain file, whose size is the length of its
 *              content, only if a known content has that length. For a compressed file, only if its
 *              first 4 KiB are those of a known content. A first load asks for twins only.
 * Overwritten  If a known file has moved to the path of another known file, that other file is
 *              gone, not changed. So a log that rotation removed keeps its rows, as a deleted one
 *              does.
 * Passed       The contents of twins and of skipped copies stay in the books. So they are read
 *              once, and such a file takes over when the file with the same content is gone.
 * Dates        All files of a replaced date are read, and known files of that date that are not
 *              there any more lose their rows. Each file without a date stands for itself.
 * Cost         n log n in files and known files. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "flow/flow_matching_int.h"
#include "format/format.h"

/* ---- what is known of a file ----------------------------------------------------------------- */

bool smi_match_is_plain(sm_str path)
{
    return sm_name_plain(path).len == path.len;
}

bool smi_match_is_content(const smi_flow_known *k, const sm_content *c)
{
    return smi_known_has_content(k) && k->content_bytes == c->bytes && k->hash.low == c->hash.low &&
           k->hash.high == c->hash.high;
}

bool smi_match_has_mark(const smi_flow_known *k, const smi_flow_mark *now)
{
    const smi_flow_mark *then = &k->mark;

    if (then->size_bytes != now->size_bytes || (then->etag.len > 0 && now->etag.len == 0)) {
        return false;
    }
    if (then->etag.len > 0) {
        return sm_str_eq(then->etag, now->etag);
    }
    return then->modified_us == now->modified_us &&
           (!then->changed_us || !now->changed_us || then->changed_us == now->changed_us) &&
           (!then->inode || !now->inode || then->inode == now->inode);
}

bool smi_match_is_in_period(const smi_match_in *in, bool has_date, int32_t date)
{
    return !in->has_period || (has_date && date >= in->first_day && date <= in->last_day);
}

/* Is the known file not matched: has it another root, or is it outside the period and not needed
 * for what is in it? */
static bool is_elsewhere(const smi_matching *j, int64_t k)
{
    const smi_flow_known *known = &j->in->known[k];

    return known->root != j->out->root ||
           (j->here[k] >= 0 && j->out->files[j->here[k]].kind == SMI_MATCH_OUTSIDE) ||
           (!j->is_taken[k] && !smi_match_is_in_period(j->in, known->has_date, known->date));
}

const smi_flow_known *smi_matching_rows_at(const smi_matching *j, int64_t i)
{
    const int64_t k = j->at_path[i];
    return k >= 0 && smi_known_has_rows(&j->in->known[k]) ? &j->in->known[k] : NULL;
}

sm_status smi_match_ask(smi_matching *j, int64_t i, sm_error *e)
{
    smi_match_file *f = &j->out->files[i];
    const smi_match_asks *asks = &j->in->asks;

    if (!f->has_content) {
        SM_TRY(asks->content(asks->ctx, i, &f->content, &f->is_whole, e));
        SM_ASSERT(!f->is_whole || f->content.bytes >= 0);
        f->has_content = true;
    }
    return SM_OK;
}

bool smi_matching_is_content(const smi_match_file *f, const smi_flow_known *k)
{
    return f->has_content && f->is_whole && smi_match_is_content(k, &f->content);
}

/* ---- dates that are replaced ----------------------------------------------------------------- */

static void mark_date(smi_matching *j, bool has_date, int32_t date)
{
    smi_match_out *out = j->out;

    if (has_date && (out->n_dates == 0 || out->dates[out->n_dates - 1] != date)) {
        out->dates =
            sm_arena_grow(j->arena, out->dates, out->n_dates, &j->cap_dates, sizeof(*out->dates));
        out->dates[out->n_dates++] = date;
    }
}

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void sort_dates(smi_match_out *out)
{
    int64_t n = 0;

    if (out->n_dates > 0) {
        qsort(out->dates, (size_t)out->n_dates, sizeof(*out->dates), by_number);
    }
    for (int64_t i = 0; i < out->n_dates; i++) {
        if (n == 0 || out->dates[n - 1] != out->dates[i]) {
            out->dates[n++] = out->dates[i];
        }
    }
    out->n_dates = n;
}

bool smi_match_is_replaced(const smi_match_out *out, int32_t date)
{
    SM_ASSERT(out->n_dates < 2 || out->dates[0] < out->dates[out->n_dates - 1]); /* sorted */
    return out->n_dates > 0 &&
           bsearch(&date, out->dates, (size_t)out->n_dates, sizeof(date), by_number);
}

void smi_matching_take(smi_matching *j, int64_t i, int64_t k, smi_match_kind kind)
{
    const smi_match_found *f = &j->in->found[i];
    const smi_flow_known *known = &j->in->known[k];
    smi_match_file *out = &j->out->files[i];
    const bool is_same_day =
        !j->in->takes_date || (f->has_date == known->has_date && f->date == known->date);
    const bool is_same_name = !j->in->takes_name || sm_str_eq(f->path, known->path);

    SM_ASSERT(kind == SMI_MATCH_SAME || kind == SMI_MATCH_MOVED || kind == SMI_MATCH_GROWN ||
              kind == SMI_MATCH_CHANGED);
    SM_ASSERT(j->is_open[i] && !j->is_taken[k]);
    SM_ASSERT(known->root == j->out->root && smi_known_has_rows(known));
    out->kind = kind;
    out->known = k;
    j->is_taken[k] = true;
    j->is_open[i] = false;
    if (kind == SMI_MATCH_SAME || (kind == SMI_MATCH_MOVED && is_same_day && is_same_name)) {
        return;
    }
    out->is_read = true;
    mark_date(j, known->has_date, known->date);
    mark_date(j, f->has_date, f->date);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void link_paths(smi_matching *j)
{
    const smi_match_in *in = j->in;

    for (int64_t k = 0; k < in->n_known; k++) {
        const smi_flow_known *known = &in->known[k];
        SM_ASSERT(known->root >= 0 && known->root < in->n_roots);
        j->here[k] = -1;
        if (known->root == j->out->root && !known->is_displaced) {
            const int64_t i = smi_match_find(in, known->path);
            j->here[k] = i;
            if (i >= 0) {
                SM_ASSERT(j->at_path[i] < 0); /* the books have a path once */
                j->at_path[i] = k;
            }
        }
    }
    for (int64_t i = 0; i < in->n_found; i++) {
        smi_match_file *f = &j->out->files[i];
        const int64_t k = j->at_path[i];
        j->is_open[i] = smi_match_is_in_period(in, in->found[i].has_date, in->found[i].date);
        f->kind = j->is_open[i] ? SMI_MATCH_NEW : SMI_MATCH_OUTSIDE;
        if (k < 0 || f->has_content || !smi_match_has_mark(&in->known[k], &in->found[i].mark)) {
            continue;
        }
        f->is_whole = smi_known_has_content(&in->known[k]);
        f->has_content = f->is_whole || (in->known[k].is_passed && !in->known[k].has_identity);
        f->content = f->is_whole ? smi_known_content(&in->known[k]) : (sm_content){0};
    }
}

/* ---- twins ----------------------------------------------------------------------------------- */

#define TWINS_MAX 3 /* x, x.gz, x.zst */

static sm_status fail_twins(const smi_matching *j, int64_t a, int64_t b, sm_error *e)
{
    const sm_str one = j->in->found[a].path, other = j->in->found[b].path;
    const sm_status st =
        sm_fail(e, SM_INVALID, "\"%.*s\" and \"%.*s\" have the same name and different contents",
                SM_STR_ARG(one), SM_STR_ARG(other));

    sm_error_todo(e, "Remove or rename the one that you do not want.");
    return st;
}

/* The twin that stands for all: the one whose rows are in the table, else the plain one, else the
 * first. */
static int choose_twin(const smi_matching *j, const int64_t *group, int n)
{
    int best = 0, best_rank = 4;

    for (int m = 0; m < n; m++) {
        const int64_t i = group[m];
        const smi_match_file *f = &j->out->files[i];
        const smi_flow_known *k = smi_matching_rows_at(j, i);
        const bool is_loaded = k && (smi_match_has_mark(k, &j->in->found[i].mark) ||
                                     smi_match_is_content(k, &f->content));
        const int rank = !f->is_whole                               ? 3
                         : is_loaded                                ? 0
                         : smi_match_is_plain(j->in->found[i].path) ? 1
                                                                    : 2;
        if (rank < best_rank) {
            best = m;
            best_rank = rank;
        }
    }
    return best;
}

static sm_status match_group(smi_matching *j, const int64_t *group, int n, sm_error *e)
{
    int64_t first = -1;

    for (int m = 0; m < n; m++) {
        const smi_match_file *f = &j->out->files[group[m]];
        SM_TRY(smi_match_ask(j, group[m], e));
        if (f->is_whole && first >= 0) {
            const sm_content *a = &j->out->files[first].content, *b = &f->content;
            if (a->bytes != b->bytes || a->hash.low != b->hash.low ||
                a->hash.high != b->hash.high) {
                return fail_twins(j, first, group[m], e);
            }
        }
        first = first < 0 && f->is_whole ? group[m] : first;
    }
    const int chosen = choose_twin(j, group, n);
    SM_ASSERT(first < 0 || j->out->files[group[chosen]].is_whole);
    for (int m = 0; m < n; m++) {
        if (m != chosen) {
            j->out->files[group[m]].kind = SMI_MATCH_PASSED;
            j->out->files[group[m]].of = group[chosen];
            j->is_open[group[m]] = false;
        }
    }
    return SM_OK;
}

/* Groups the open files by their names without the suffix of a compression. */
static sm_status match_twins(smi_matching *j, sm_error *e)
{
    sm_map *by_name = sm_map_new(j->arena);
    int64_t *next = SM_NEW_ARRAY(j->arena, int64_t, j->in->n_found + 1); /* 1 + its index */

    for (int64_t i = j->in->n_found - 1; i >= 0; i--) {
        if (j->is_open[i]) {
            void **place = sm_map_at(by_name, sm_name_plain(j->in->found[i].path));
            next[i] = (int64_t)(intptr_t)*place;
            *place = (void *)(intptr_t)(i + 1);
        }
    }
    for (int64_t g = 0; g < sm_map_count(by_name); g++) {
        int64_t group[TWINS_MAX];
        int n = 0;
        for (int64_t i = (int64_t)(intptr_t)sm_map_value(by_name, g); i > 0; i = next[i - 1]) {
            SM_ENSURE(n < TWINS_MAX);
            group[n++] = i - 1;
        }
        if (n > 1) {
            SM_TRY(match_group(j, group, n, e));
        }
    }
    return SM_OK;
}

/* ---- the same -------------------------------------------------------------------------------- */

static sm_status match_same(smi_matching *j, sm_error *e)
{
    for (int64_t i = 0; i < j->in->n_found; i++) {
        const smi_match_found *found = &j->in->found[i];
        const smi_flow_known *k = j->is_open[i] ? smi_matching_rows_at(j, i) : NULL;
        if (!k || !k->has_identity) {
            continue;
        }
        if (!smi_match_has_mark(k, &found->mark)) {
            const bool is_plain = smi_match_is_plain(found->path);
            if (!smi_known_has_content(k) ||
                (is_plain && found->mark.size_bytes != (uint64_t)k->content_bytes)) {
                continue;
            }
            SM_TRY(smi_match_ask(j, i, e));
            if (!smi_matching_is_content(&j->out->files[i], k)) {
                continue;
            }
            j->out->has_marks = true;
        }
        smi_matching_take(j, i, j->at_path[i], SMI_MATCH_SAME);
    }
    return SM_OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void match_rest(smi_matching *j)
{
    for (int64_t i = 0; i < j->in->n_found; i++) {
        const smi_flow_known *k = smi_matching_rows_at(j, i);
        smi_match_file *f = &j->out->files[i];
        if (!j->is_open[i]) {
            continue;
        }
        if (k && !j->is_taken[j->at_path[i]]) {
            smi_matching_take(j, i, j->at_path[i], SMI_MATCH_CHANGED);
            continue;
        }
        j->is_open[i] = false;
        f->kind = SMI_MATCH_NEW;
        f->is_read = true;
        f->known = k ? -1 : j->at_path[i]; /* a file that moved away took its entry along */
    }
}

/* ---- what is gone ---------------------------------------------------------------------------- */

/* Has a known file of this root and period rows, and is not there any more? */
static bool is_gone(const smi_matching *j, int64_t k)
{
    return smi_known_has_rows(&j->in->known[k]) && !j->is_taken[k] && !is_elsewhere(j, k);
}

/* Is a file at its path read, or passed over, in its place? */
static bool is_superseded(const smi_matching *j, int64_t k)
{
    const int64_t i = j->here[k];

    return i >= 0 && (j->out->files[i].kind == SMI_MATCH_PASSED || !j->in->known[k].has_identity);
}

static sm_status match_gone(smi_matching *j, sm_error *e)
{
    int64_t n = 0,
            first = -1; /* the first by path: books that several files make up have no order */

    for (int64_t k = 0; k < j->in->n_known; k++) {
        const smi_flow_known *known = &j->in->known[k];
        if (!is_gone(j, k)) {
            continue;
        }
        const bool is_removed = is_superseded(j, k) || j->in->gone == SMI_GONE_REMOVE;
        if (is_removed && known->n_lines != 0) {
            mark_date(j, known->has_date, known->date);
        } else if (!is_removed && j->in->gone == SMI_GONE_FAIL) {
            const bool is_first = n++ == 0 || sm_str_cmp(known->path, j->in->known[first].path) < 0;
            first = is_first ? k : first;
        }
    }
    if (n == 0) {
        return SM_OK;
    }
    const sm_str path = j->in->known[first].path;
    const sm_status st =
        n == 1
            ? sm_fail(e, SM_INVALID, "\"%.*s\" was loaded and is no longer there", SM_STR_ARG(path))
            : sm_fail(e, SM_INVALID,
                      "\"%.*s\" and %" PRId64 " more were loaded and are no longer there",
                      SM_STR_ARG(path), n - 1);
    sm_error_todo(e, "Bring them back, or set gone: keep or gone: remove on the source.");
    return st;
}

/* ---- all of a date --------------------------------------------------------------------------- */

/* Is a file outside the period to be read? */
static bool is_needed(const smi_matching *j, int64_t i)
{
    return smi_match_is_replaced(j->out, j->in->found[i].date) ||
           (j->in->is_reload && smi_matching_rows_at(j, i));
}

/* Reads files outside the period, too, if their rows leave. They are no copies. */
static sm_status match_outside(smi_matching *j, sm_error *e)
{
    const smi_match_in *in = j->in;
    bool has_some = false;

    for (int64_t i = 0; i < in->n_found; i++) {
        if (j->out->files[i].kind == SMI_MATCH_OUTSIDE && is_needed(j, i)) {
            j->out->files[i].kind = SMI_MATCH_NEW;
            j->is_open[i] = true;
            has_some = true;
        }
    }
    if (has_some) {
        SM_TRY(match_twins(j, e));
        match_rest(j);
    }
    return SM_OK;
}

static void read_dates(smi_matching *j)
{
    for (int64_t i = 0; i < j->in->n_found && j->out->n_dates > 0; i++) {
        const smi_match_found *found = &j->in->found[i];
        smi_match_file *f = &j->out->files[i];
        if (f->kind != SMI_MATCH_PASSED && f->kind != SMI_MATCH_OUTSIDE && found->has_date &&
            smi_match_is_replaced(j->out, found->date)) {
            f->is_read = true;
        }
    }
}

/* ---- what has become of known files ---------------------------------------------------------- */

static smi_match_left left_of(const smi_matching *j, int64_t k)
{
    const smi_flow_known *known = &j->in->known[k];
    const bool is_replaced = known->has_date && smi_match_is_replaced(j->out, known->date);
    const int64_t i = j->here[k];

    if (known->root != j->out->root) {
        const bool is_again = smi_known_has_rows(known) && (is_replaced || j->in->is_reload);
        return is_again ? SMI_KNOWN_AGAIN : SMI_KNOWN_ELSEWHERE;
    }
    if (j->is_taken[k]) {
        return SMI_KNOWN_HERE;
    }
    if (i >= 0 && j->out->files[i].kind == SMI_MATCH_OUTSIDE) {
        return SMI_KNOWN_ELSEWHERE;
    }
    if (!smi_known_has_rows(known)) {
        const bool is_matched =
            i >= 0 || smi_match_is_in_period(j->in, known->has_date, known->date);
        return i >= 0 ? SMI_KNOWN_HERE : is_matched ? SMI_KNOWN_DROPPED : SMI_KNOWN_ELSEWHERE;
    }
    if (is_replaced || is_superseded(j, k)) {
        return SMI_KNOWN_DROPPED;
    }
    if (is_elsewhere(j, k)) {
        return SMI_KNOWN_ELSEWHERE;
    }
    return j->in->gone == SMI_GONE_REMOVE ? SMI_KNOWN_DROPPED : SMI_KNOWN_GONE;
}

static bool is_passed_before(const smi_matching *j, int64_t i)
{
    const int64_t k = j->at_path[i];
    return k >= 0 && j->in->known[k].is_passed &&
           smi_match_has_mark(&j->in->known[k], &j->in->found[i].mark);
}

/* Copies that are passed over later do not change this: if there is a known file at the path of a
 * new file, it has no rows or has moved. */
static void set_left(smi_matching *j)
{
    for (int64_t k = 0; k < j->in->n_known; k++) {
        j->out->left[k] = left_of(j, k);
    }
}

static void find_news(smi_matching *j)
{
    smi_match_out *out = j->out;

    for (int64_t k = 0; k < j->in->n_known; k++) {
        out->has_news = out->has_news ||
                        (out->left[k] == SMI_KNOWN_DROPPED && smi_known_has_rows(&j->in->known[k]));
    }
    for (int64_t i = 0; i < j->in->n_found; i++) {
        const smi_match_file *f = &out->files[i];
        out->has_news = out->has_news || f->kind == SMI_MATCH_MOVED ||
                        (f->kind == SMI_MATCH_PASSED && !is_passed_before(j, i));
    }
    out->has_news = out->has_news || out->is_root_moved || out->n_dates > 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What must hold of each file that was found. */
static void check_file(const smi_matching *j, int64_t i)
{
    const smi_match_file *f = &j->out->files[i];
    const bool goes_on = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED ||
                         f->kind == SMI_MATCH_GROWN || f->kind == SMI_MATCH_CHANGED;

    SM_ASSERT(!j->is_open[i]);
    SM_ASSERT(!goes_on || (f->known >= 0 && j->is_taken[f->known]));
    SM_ASSERT(f->known < j->in->n_known && f->of < j->in->n_found && f->of != i);
    SM_ASSERT(f->is_read || f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED ||
              f->kind == SMI_MATCH_PASSED || f->kind == SMI_MATCH_OUTSIDE);
    SM_ASSERT(!f->is_read || (f->kind != SMI_MATCH_PASSED && f->kind != SMI_MATCH_OUTSIDE));
    SM_ASSERT(f->kind != SMI_MATCH_COPY); /* these are known after the load */
}

/* What must hold of each known file. */
static void check_known(const smi_matching *j, int64_t k)
{
    const smi_flow_known *known = &j->in->known[k];
    const smi_match_left left = j->out->left[k];

    SM_ASSERT(!j->is_taken[k] || left == SMI_KNOWN_HERE);
    SM_ASSERT(left != SMI_KNOWN_AGAIN || known->root != j->out->root);
    SM_ASSERT(left != SMI_KNOWN_GONE || (smi_known_has_rows(known) && !is_elsewhere(j, k)));
}

/* A caller that reads fewer files than this says loses rows; one that reads more doubles them. */
static void check_matching(const smi_matching *j)
{
    for (int64_t i = 0; i < j->in->n_found; i++) {
        check_file(j, i);
    }
    for (int64_t k = 0; k < j->in->n_known; k++) {
        check_known(j, k);
    }
    for (int64_t i = 1; i < j->out->n_dates; i++) {
        SM_ASSERT(j->out->dates[i - 1] < j->out->dates[i]);
    }
}

static void init_matching(smi_matching *j)
{
    const smi_match_in *in = j->in;

    j->out->files = SM_NEW_ARRAY(j->arena, smi_match_file, in->n_found + 1);
    j->out->left = SM_NEW_ARRAY(j->arena, smi_match_left, in->n_known + 1);
    j->at_path = SM_NEW_ARRAY(j->arena, int64_t, in->n_found + 1);
    j->is_open = SM_NEW_ARRAY(j->arena, bool, in->n_found + 1);
    j->here = SM_NEW_ARRAY(j->arena, int64_t, in->n_known + 1);
    j->is_taken = SM_NEW_ARRAY(j->arena, bool, in->n_known + 1);
    for (int64_t i = 0; i < in->n_found; i++) {
        SM_ASSERT(i == 0 || sm_str_cmp(in->found[i - 1].path, in->found[i].path) < 0);
        j->out->files[i] = (smi_match_file){.known = -1, .of = -1};
        j->at_path[i] = -1;
    }
}

sm_status smi_match(const smi_match_in *in, sm_arena *a, smi_match_out *out, sm_error *e)
{
    smi_match_out found = {0};
    smi_matching j = {.in = in, .arena = a, .out = &found};

    SM_ASSERT(!in->has_period || in->first_day <= in->last_day);
    SM_ASSERT(in->copies <= SMI_COPIES_FAIL && in->gone <= SMI_GONE_REMOVE);
    init_matching(&j);
    SM_TRY(smi_match_root(&j, e));
    link_paths(&j);
    SM_TRY(match_twins(&j, e));
    SM_TRY(match_same(&j, e));
    SM_TRY(smi_matching_by_content(&j, e));
    match_rest(&j);
    SM_TRY(match_gone(&j, e));
    sort_dates(&found);
    SM_TRY(match_outside(&j, e));
    sort_dates(&found); /* files outside the period add none but their own */
    set_left(&j);
    SM_TRY(smi_matching_copies(&j, e)); /* last: whose rows stay must be known */
    read_dates(&j);
    find_news(&j);
    check_matching(&j);
    *out = found;
    return SM_OK;
}

/* ---- the books afterwards -------------------------------------------------------------------- */

static smi_flow_known entry_of(const smi_match_in *in, const smi_match_out *out, int64_t i,
                               const smi_match_read *read, const smi_flow_known *at_path)
{
    const smi_match_found *found = &in->found[i];
    const smi_match_file *f = &out->files[i];
    const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
    smi_flow_known now;

    SM_ASSERT(!f->is_read || (read && read->content.bytes >= 0));
    SM_ASSERT(!is_kept || f->known >= 0);
    if (f->is_read) {
        now = (smi_flow_known){.uri = read->uri,
                               .loaded_us = read->loaded_us,
                               .version = read->version,
                               .has_identity = true,
                               .hash = read->content.hash,
                               .content_bytes = read->content.bytes,
                               .head = read->content.head,
                               .n_lines = read->n_lines,
                               .n_rows = read->n_rows};
    } else if (is_kept) {
        now = in->known[f->known];
    } else {
        now = (smi_flow_known){.version = at_path ? at_path->version : -1,
                               .has_identity = f->has_content && f->is_whole,
                               .hash = f->content.hash,
                               .content_bytes = f->is_whole ? f->content.bytes : -1,
                               .head = f->content.head,
                               .n_lines = f->content.has_lines ? -1 : 0,
                               .is_passed = true};
    }
    now.root = out->root;
    now.path = found->path;
    now.mark = found->mark;
    now.has_date = found->has_date;
    now.date = found->date;
    now.is_displaced = false;
    return now;
}

/* The new entry of a known file that was not found; false: it has none. */
static bool keep_known(const smi_match_out *out, const smi_flow_known *k, smi_match_left left,
                       int64_t here, smi_flow_known *now)
{
    const bool is_anothers =
        k->is_displaced || (here >= 0 && out->files[here].kind != SMI_MATCH_OUTSIDE);

    *now = *k;
    if (left == SMI_KNOWN_GONE) {
        now->is_displaced = is_anothers;
    } else if (left == SMI_KNOWN_DROPPED) {
        now->is_dropped = true;
        return !k->is_passed && !is_anothers;
    }
    return left != SMI_KNOWN_HERE;
}

static int by_path(const void *a, const void *b)
{
    const smi_flow_known *x = a, *y = b;

    if (x->root != y->root) {
        return x->root < y->root ? -1 : 1;
    }
    const int c = sm_str_cmp(x->path, y->path);
    return c ? c : (int)x->is_displaced - (int)y->is_displaced;
}

void smi_match_next(const smi_match_in *in, const smi_match_out *out, const smi_match_read *reads,
                    sm_arena *a, smi_flow_known **next, int64_t *n_next)
{
    smi_flow_known *books = SM_NEW_ARRAY(a, smi_flow_known, in->n_known + in->n_found + 1);
    const smi_flow_known **at_path = SM_NEW_ARRAY(a, const smi_flow_known *, in->n_found + 1);
    int64_t n = 0;

    for (int64_t k = 0; k < in->n_known; k++) {
        const smi_flow_known *known = &in->known[k];
        const bool is_mine = known->root == out->root && !known->is_displaced;
        const int64_t here = is_mine ? smi_match_find(in, known->path) : -1;
        if (here >= 0) {
            at_path[here] = known;
        }
        n += keep_known(out, known, out->left[k], here, &books[n]);
    }
    for (int64_t i = 0; i < in->n_found; i++) {
        if (out->files[i].kind != SMI_MATCH_OUTSIDE) {
            books[n++] = entry_of(in, out, i, reads ? &reads[i] : NULL, at_path[i]);
        }
    }
    SM_ASSERT(n <= in->n_known + in->n_found);
    if (n > 1) {
        qsort(books, (size_t)n, sizeof(*books), by_path);
    }
    for (int64_t i = 1; i < n; i++) { /* a path once, but for files that others took it from */
        SM_ASSERT(books[i].is_displaced || by_path(&books[i - 1], &books[i]) < 0);
    }
    *next = books;
    *n_next = n;
}
