/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_random_test.c: random operations on a folder, loads of it, and a model beside
 * them that knows what rows each date must then have. SMELT_SEED=n repeats a run.
 *
 * Folder   a few names over four days, with .1 and .gz, and a few contents of which some begin with
 *          others: so that nearly every step has files that could be taken for each other.
 * Table    rows are (day, name, text), one a file. A load matches the folder by smi_match, takes
 *          the rows of replaced dates away, appends those of the files that are read, and goes on
 *          with the books of smi_match_next.
 * Model    the rules of a load with loops over everything, by comparing texts: each row with the
 *          path of the file that it is from. It knows neither marks nor hashes.
 * Besides  of no file whose mark is that of the books is the content asked, and every file that is
 *          loaded has a row. */
#include <stdlib.h>

#include "base/text.h"
#include "flow/flow_match_int.h"
#include "test.h"

#define MOST       40
#define MOST_ROWS  (8 * MOST)
#define TEXT_BYTES 5200
#define MOST_TEXTS 4096
#define STEPS      30

static const char *const bases[] = {"a", "b", "c", "l"};
static const char *const first_texts[] = {"",  "\n", "A",   "AB",  "ABC", "B",   "BA",
                                          "C", "CC", "\nA", "ABD", "L",   "LONG"};

typedef struct file {
    char path[32];
    const char *text; /* of the pool: equal texts are one */
    bool is_unfinished;
    int64_t changed;
    /* the model's, of one load */
    bool is_in, is_passed, is_done, is_new, is_loaded;
    const char *name; /* that its row has */
} file;

typedef struct row {
    int32_t day;
    const char *name, *text;
    const char *path;  /* the model's: of the file it is from */
    bool is_displaced; /* the model's: that path is another file's */
    bool is_taken, is_vacated;
} row;

typedef struct rows {
    row at[MOST_ROWS];
    int n;
} rows;

typedef struct world {
    uint64_t random;
    int64_t clock;
    const char *pool[MOST_TEXTS];
    int n_pool;
    file files[MOST];
    int n_files;
    bool takes_name;
    smi_copies copies;
    smi_gone gone;
    bool has_period;
    int32_t first_day, last_day;

    sm_arena *arena;
    smi_flow_known *known;
    int64_t n_known;
    rows table, model;
    bool replaced[10]; /* the model's days */
} world;

static uint32_t pick(world *w, uint32_t n)
{
    w->random += 0x9e3779b97f4a7c15u;
    return (uint32_t)(sm_mix64(w->random) >> 33) % n;
}

static const char *pooled(world *w, const char *text)
{
    for (int i = 0; i < w->n_pool; i++) {
        if (strcmp(w->pool[i], text) == 0) {
            return w->pool[i];
        }
    }
    assert_true(w->n_pool < MOST_TEXTS);
    w->pool[w->n_pool] = sm_arena_str(w->arena, sm_str_of(text)).data;
    return w->pool[w->n_pool++];
}

static int32_t day_of(const char *path)
{
    return strchr(path, '_')[1] - '0';
}

static bool is_packed(const char *path)
{
    return sm_str_ends(sm_str_of(path), SM_STR(".gz"));
}

static bool has_lines(const char *text)
{
    return text[strspn(text, "\n")] != '\0';
}

/* ---- operations on the folder ---------------------------------------------------------------- */

static file *find(world *w, const char *path)
{
    for (int i = 0; i < w->n_files; i++) {
        if (strcmp(w->files[i].path, path) == 0) {
            return &w->files[i];
        }
    }
    return NULL;
}

static void remove_file(world *w, const char *path)
{
    file *f = find(w, path);
    if (f) {
        *f = w->files[--w->n_files];
    }
}

static void put_file(world *w, const char *path, const char *text, bool is_unfinished)
{
    char name[32];

    snprintf(name, sizeof(name), "%s", path);
    remove_file(w, name);
    if (w->n_files < MOST) {
        file *f = &w->files[w->n_files++];
        *f = (file){.text = pooled(w, text), .is_unfinished = is_unfinished, .changed = ++w->clock};
        snprintf(f->path, sizeof(f->path), "%s", name);
    }
}

static void rename_file(world *w, const char *from, const char *to)
{
    const file *f = find(w, from);

    if (f && strcmp(from, to) != 0) {
        const file copy = *f;
        remove_file(w, copy.path);
        put_file(w, to, copy.text, copy.is_unfinished);
    }
}

static void random_path(world *w, char out[32])
{
    snprintf(out, 32, "%s_%u%s%s", bases[pick(w, SM_COUNT(bases))], 1 + pick(w, 4),
             pick(w, 4) ? "" : ".1", pick(w, 5) ? "" : ".gz");
}

static const char *random_text(world *w)
{
    return w->pool[pick(w, SM_COUNT(first_texts))];
}

static void append(world *w, file *f)
{
    char text[TEXT_BYTES];

    if (strlen(f->text) + 2 < sizeof(text)) {
        snprintf(text, sizeof(text), "%s%c", f->text, "ABC"[pick(w, 3)]);
        f->text = pooled(w, text);
        f->changed = ++w->clock;
    }
}

static void swap(world *w, file *a, file *b)
{
    const char *text = a->text;
    const bool is_unfinished = a->is_unfinished;

    a->text = b->text;
    a->is_unfinished = b->is_unfinished;
    b->text = text;
    b->is_unfinished = is_unfinished;
    a->changed = ++w->clock;
    b->changed = ++w->clock;
}

static void compress(world *w, const file *f)
{
    char path[40];
    char part[TEXT_BYTES];
    const uint32_t how = pick(w, 3);
    const file plain = *f;

    snprintf(path, sizeof(path), "%s.gz", plain.path);
    if (is_packed(plain.path) || strlen(path) > 31) {
        return;
    }
    if (how == 0) { /* under way */
        snprintf(part, sizeof(part), "%.*s", (int)(strlen(plain.text) / 2), plain.text);
        put_file(w, path, part, true);
        return;
    }
    put_file(w, path, plain.text, false);
    if (how == 1) {
        remove_file(w, plain.path);
    }
}

static void operate(world *w)
{
    char path[32], to[40];
    file *f = w->n_files ? &w->files[pick(w, (uint32_t)w->n_files)] : NULL;
    const uint32_t what = f ? pick(w, 11) : 0;

    random_path(w, path);
    switch (what) {
    case 0:
    case 1:
        put_file(w, path, random_text(w), false);
        break;
    case 2:
        append(w, f);
        break;
    case 3:
        f->text = pooled(w, random_text(w));
        f->changed = ++w->clock;
        break;
    case 4:
        remove_file(w, f->path);
        break;
    case 5:
        rename_file(w, f->path, path);
        break;
    case 6:
        swap(w, f, &w->files[pick(w, (uint32_t)w->n_files)]);
        break;
    case 7:
        put_file(w, path, f->text, f->is_unfinished);
        break;
    case 8:
        compress(w, f);
        break;
    case 9: /* rotated, with what had been rotated before on top */
        snprintf(path, sizeof(path), "%s_%u", bases[3], 1 + pick(w, 2));
        snprintf(to, sizeof(to), "%s.1", path);
        rename_file(w, path, to);
        if (pick(w, 2)) {
            put_file(w, path, random_text(w), false);
        }
        break;
    default: /* touched */
        f->changed = ++w->clock;
        break;
    }
}

static bool is_base_of(const char *plain, const char *packed)
{
    return is_packed(packed) && strlen(plain) + 3 == strlen(packed) &&
           strncmp(plain, packed, strlen(plain)) == 0;
}

/* An unfinished file is read, and fails, where nothing stands for it: here it gets finished. */
static void finish_lone(world *w)
{
    for (int i = 0; i < w->n_files; i++) {
        bool is_lone = true;
        for (int k = 0; k < w->n_files; k++) {
            is_lone = is_lone && !is_base_of(w->files[k].path, w->files[i].path);
        }
        if (w->files[i].is_unfinished && (is_lone || !is_packed(w->files[i].path))) {
            w->files[i].is_unfinished = false;
            w->files[i].changed = ++w->clock;
        }
    }
}

/* ---- the model: which file is which ---------------------------------------------------------- */

static row *row_at(world *w, const char *path)
{
    for (int e = 0; e < w->model.n; e++) {
        if (strcmp(w->model.at[e].path, path) == 0 && !w->model.at[e].is_displaced) {
            return &w->model.at[e];
        }
    }
    return NULL;
}

static bool is_loaded_twin(world *w, const file *f)
{
    const row *e = row_at(w, f->path);
    return e && e->text == f->text && !f->is_unfinished;
}

/* Of x and x.gz one; false where they differ. Of files for which `is_in` holds. */
static bool model_twins(world *w)
{
    for (int i = 0; i < w->n_files; i++) {
        for (int k = 0; k < w->n_files; k++) {
            file *plain = &w->files[i], *packed = &w->files[k];
            if (!plain->is_in || !packed->is_in || !is_base_of(plain->path, packed->path)) {
                continue;
            }
            if (!packed->is_unfinished && packed->text != plain->text) {
                return false;
            }
            const bool is_packed_one = is_loaded_twin(w, packed) && !is_loaded_twin(w, plain);
            (is_packed_one ? plain : packed)->is_passed = true;
        }
    }
    return true;
}

static bool is_in_period(const world *w, int32_t day)
{
    return !w->has_period || (day >= w->first_day && day <= w->last_day);
}

static void find_vacated(world *w)
{
    for (int e = 0; e < w->model.n; e++) {
        row *r = &w->model.at[e];
        const file *f = r->is_displaced ? NULL : find(w, r->path);
        const bool is_elsewhere = f && !f->is_in;
        const bool is_there = f && f->text == r->text && !f->is_unfinished;
        r->is_taken = false;
        r->is_vacated = has_lines(r->text) && !is_elsewhere && !is_there;
    }
}

static void replace(world *w, const file *f, const row *r)
{
    w->replaced[r->day] = true;
    if (f) {
        w->replaced[day_of(f->path)] = true;
    }
}

static void model_same(world *w)
{
    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        row *r = row_at(w, f->path);
        if (f->is_in && !f->is_passed && r && r->text == f->text) {
            r->is_taken = f->is_done = true;
            f->name = r->name;
        }
    }
}

static void model_moves(world *w)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < w->n_files; i++) {
            file *f = &w->files[i];
            for (int e = 0; e < w->model.n && f->is_in && !f->is_passed && !f->is_done; e++) {
                row *r = &w->model.at[e];
                if (r->is_taken || !r->is_vacated || r->text != f->text ||
                    (pass == 0 && r->day != day_of(f->path))) {
                    continue;
                }
                r->is_taken = f->is_done = true;
                f->name = r->name;
                if (r->day != day_of(f->path) || (w->takes_name && strcmp(f->path, r->path) != 0)) {
                    replace(w, f, r);
                }
            }
        }
    }
}

static bool is_better_start(const file *f, const row *r, const row *best)
{
    const size_t n = strlen(r->text), n_best = best ? strlen(best->text) : 0;

    if (n >= strlen(f->text) || strncmp(r->text, f->text, n) != 0) {
        return false;
    }
    if (!best || n != n_best) {
        return n > n_best;
    }
    const bool is_mine = r->day == day_of(f->path), is_best_mine = best->day == day_of(f->path);
    return is_mine != is_best_mine ? is_mine : r->day < best->day;
}

/* Is its content at no path, and did no file come instead of it? What moved onto its path was
 * another file before. */
static bool is_nowhere(world *w, const row *r)
{
    const file *f = r->is_displaced ? NULL : find(w, r->path);
    return r->is_vacated && !r->is_taken && (!f || f->is_done);
}

static void model_growth(world *w)
{
    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        row *best = NULL;
        const row *own = row_at(w, f->path);
        if (!f->is_in || f->is_passed || f->is_done || (own && !own->is_taken)) {
            continue;
        }
        for (int e = 0; e < w->model.n; e++) {
            row *r = &w->model.at[e];
            if (is_nowhere(w, r) && is_better_start(f, r, best)) {
                best = r;
            }
        }
        if (best) {
            best->is_taken = f->is_done = true;
            replace(w, f, best);
        }
    }
}

static void model_rest(world *w)
{
    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        row *r = row_at(w, f->path);
        if (!f->is_in || f->is_done || f->is_passed) {
            continue;
        }
        if (r && !r->is_taken) {
            r->is_taken = true;
            replace(w, f, r);
        } else {
            f->is_new = true;
        }
        f->is_done = true;
    }
}

/* ---- the model: which rows there are --------------------------------------------------------- */

static bool is_elsewhere(world *w, const row *r)
{
    const file *f = r->is_displaced ? NULL : find(w, r->path);
    return (f && !f->is_in) || (!r->is_taken && !is_in_period(w, r->day));
}

/* When all else is known: rows that stay, and files that are read, also outside the period. */
static void model_copies(world *w)
{
    for (int i = 0; i < w->n_files && w->copies == SMI_COPIES_SKIP; i++) {
        file *f = &w->files[i];
        for (int k = 0; k < w->n_files && f->is_new && has_lines(f->text); k++) {
            const file *o = &w->files[k];
            const bool is_owner = o->is_in && !o->is_passed && (!o->is_new || k < i);
            if (is_owner && k != i && o->text == f->text) {
                f->is_passed = true;
            }
        }
        for (int e = 0; e < w->model.n && f->is_new; e++) {
            const row *r = &w->model.at[e];
            const bool stays = is_elsewhere(w, r) && !w->replaced[r->day];
            if (stays && r->text == f->text && has_lines(f->text)) {
                f->is_passed = true;
            }
        }
    }
}

static bool is_superseded(world *w, const row *r)
{
    const file *f = r->is_displaced ? NULL : find(w, r->path);
    return f && f->is_passed;
}

static void model_gone(world *w)
{
    for (int e = 0; e < w->model.n; e++) {
        row *r = &w->model.at[e];
        if (!r->is_taken && !is_elsewhere(w, r) && has_lines(r->text) &&
            (is_superseded(w, r) || w->gone == SMI_GONE_REMOVE)) {
            w->replaced[r->day] = true;
        }
    }
}

/* Files outside the period, of days that are replaced. */
static bool model_outside(world *w)
{
    bool has_some = false;

    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        if (!f->is_in && w->replaced[day_of(f->path)]) {
            f->is_in = has_some = true;
        }
    }
    if (has_some && !model_twins(w)) {
        return false;
    }
    model_rest(w);
    return true;
}

static void model_rows(world *w)
{
    rows next = {0};

    for (int e = 0; e < w->model.n; e++) {
        row r = w->model.at[e];
        const file *f = find(w, r.path);
        const bool is_removed = w->gone == SMI_GONE_REMOVE && !is_elsewhere(w, &r);
        if (r.is_taken || w->replaced[r.day] || is_removed) {
            continue;
        }
        r.is_displaced = r.is_displaced || (f && f->is_in);
        next.at[next.n++] = r;
    }
    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        if (!f->is_in || f->is_passed) {
            continue;
        }
        const bool is_read = f->is_new || !f->name || w->replaced[day_of(f->path)];
        const char *path = pooled(w, f->path);
        assert_true(next.n < MOST_ROWS);
        next.at[next.n++] = (row){.day = day_of(f->path),
                                  .name = is_read ? path : f->name,
                                  .text = f->text,
                                  .path = path};
    }
    w->model = next;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const file *)a)->path, ((const file *)b)->path);
}

static int by_row_path(const void *a, const void *b)
{
    const row *x = a, *y = b;
    const int c = strcmp(x->path, y->path);
    return c ? c : (int)x->is_displaced - (int)y->is_displaced;
}

/* false: an error, and nothing changes. */
static bool model_load(world *w)
{
    const rows before = w->model;

    memset(w->replaced, 0, sizeof(w->replaced));
    qsort(w->files, (size_t)w->n_files, sizeof(file), by_path);
    qsort(w->model.at, (size_t)w->model.n, sizeof(row), by_row_path);
    for (int i = 0; i < w->n_files; i++) {
        file *f = &w->files[i];
        f->is_passed = f->is_done = f->is_new = f->is_loaded = false;
        f->name = NULL;
        f->is_in = is_in_period(w, day_of(f->path));
    }
    if (!model_twins(w)) {
        return false;
    }
    find_vacated(w);
    model_same(w);
    model_moves(w);
    model_growth(w);
    model_rest(w);
    model_gone(w);
    if (!model_outside(w)) {
        w->model = before;
        return false;
    }
    model_copies(w);
    model_rows(w);
    return true;
}

/* ---- what is tested -------------------------------------------------------------------------- */

static sm_content content_of(const char *text, size_t len)
{
    return (sm_content){
        .hash = sm_file_hash_piece(text, len, 0),
        .bytes = (int64_t)len,
        .head = sm_hash64(text, len < SM_CONTENT_HEAD_BYTES ? len : SM_CONTENT_HEAD_BYTES),
        .has_lines = has_lines(text),
    };
}

static smi_flow_mark mark_of(const file *f)
{
    const size_t n = strlen(f->text);
    return (smi_flow_mark){
        .size_bytes = is_packed(f->path) ? 20 + sm_hash64(f->text, n) % 50 : n,
        .modified_us = 1, /* says nothing: what it is must come from the others */
        .changed_us = f->changed,
        .etag = SM_STR(""),
    };
}

static sm_status ask_content(void *ctx, int64_t i, sm_content *out, bool *is_whole, sm_error *e)
{
    world *w = ctx;
    const file *f = &w->files[i];
    const smi_flow_mark mark = mark_of(f);

    for (int64_t k = 0; k < w->n_known; k++) {
        const smi_flow_known *known = &w->known[k];
        if (!known->is_displaced && known->has_identity && sm_str_is(known->path, f->path)) {
            assert_false(known->mark.size_bytes == mark.size_bytes &&
                         known->mark.changed_us == mark.changed_us);
        }
    }
    *out = content_of(f->text, strlen(f->text));
    *is_whole = !f->is_unfinished;
    return SM_OK;
}

static sm_status ask_head(void *ctx, int64_t i, uint8_t *out, size_t *n, sm_error *e)
{
    const char *text = ((world *)ctx)->files[i].text;
    *n = strnlen(text, SM_CONTENT_HEAD_BYTES);
    memcpy(out, text, *n);
    return SM_OK;
}

static sm_status ask_prefixes(void *ctx, int64_t i, const int64_t *lens, int64_t n, sm_hash128 *out,
                              sm_error *e)
{
    const char *text = ((world *)ctx)->files[i].text;
    for (int64_t k = 0; k < n; k++) {
        out[k] = lens[k] <= (int64_t)strlen(text) ? content_of(text, (size_t)lens[k]).hash
                                                  : (sm_hash128){0};
    }
    return SM_OK;
}

static void load_rows(world *w, const smi_match_out *out)
{
    rows next = {0};

    for (int r = 0; r < w->table.n; r++) {
        if (!smi_match_is_replaced(out, w->table.at[r].day)) {
            next.at[next.n++] = w->table.at[r];
        }
    }
    for (int i = 0; i < w->n_files; i++) {
        const file *f = &w->files[i];
        if (out->files[i].is_read && has_lines(f->text)) {
            assert_true(next.n < MOST_ROWS);
            next.at[next.n++] =
                (row){.day = day_of(f->path), .name = pooled(w, f->path), .text = f->text};
        }
    }
    w->table = next;
}

/* Each known file goes on in one file at most, and each path stands in the books once. */
static void check_books(const world *w, const smi_match_out *out, const smi_flow_known *known,
                        int64_t n)
{
    for (int i = 0; i < w->n_files; i++) {
        const bool is_copy = out->files[i].kind == SMI_MATCH_COPY ||
                             out->files[i].kind == SMI_MATCH_PASSED ||
                             out->files[i].kind == SMI_MATCH_OUTSIDE;
        for (int k = 0; k < i && !is_copy && out->files[i].known >= 0; k++) {
            const smi_match_kind kind = out->files[k].kind;
            assert_true(kind == SMI_MATCH_COPY || kind == SMI_MATCH_PASSED ||
                        kind == SMI_MATCH_OUTSIDE || out->files[k].known != out->files[i].known);
        }
    }
    for (int64_t k = 1; k < n; k++) {
        assert_true(known[k].is_displaced || !sm_str_eq(known[k].path, known[k - 1].path));
    }
}

static bool real_load(world *w)
{
    static const smi_flow_root root = {.uri = {"/logs", 5}};
    smi_match_found found[MOST];
    smi_match_read reads[MOST] = {0};
    smi_match_out out = {0};
    sm_error e = {0};

    for (int i = 0; i < w->n_files; i++) {
        const file *f = &w->files[i];
        found[i] = (smi_match_found){.path = sm_str_of(pooled(w, f->path)),
                                     .mark = mark_of(f),
                                     .has_date = true,
                                     .date = day_of(f->path)};
        reads[i].content = content_of(f->text, strlen(f->text));
        reads[i].n_lines = reads[i].content.has_lines;
    }
    const smi_match_in in = {
        .root = root.uri,
        .roots = &root,
        .n_roots = 1,
        .known = w->known,
        .n_known = w->n_known,
        .found = found,
        .n_found = w->n_files,
        .has_period = w->has_period,
        .first_day = w->first_day,
        .last_day = w->last_day,
        .takes_date = true,
        .takes_name = w->takes_name,
        .copies = w->copies,
        .gone = w->gone,
        .asks = {.ctx = w, .content = ask_content, .head = ask_head, .prefixes = ask_prefixes},
    };
    const sm_status st = smi_match(&in, w->arena, &out, &e);
    if (st != SM_OK) {
        assert_status(st, SM_INVALID, &e);
        assert_non_null(strstr(e.what, "different contents"));
        return false;
    }
    assert_ok(smi_match_copies(&in, reads, w->arena, &out, &e), &e);
    for (int i = 0; i < w->n_files; i++) {
        w->files[i].is_loaded =
            out.files[i].kind != SMI_MATCH_PASSED && out.files[i].kind != SMI_MATCH_OUTSIDE;
    }
    load_rows(w, &out);
    smi_match_next(&in, &out, reads, w->arena, &w->known, &w->n_known);
    check_books(w, &out, w->known, w->n_known);
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    const row *x = a, *y = b;
    int c = (x->day > y->day) - (x->day < y->day);
    c = c ? c : strcmp(x->text, y->text);
    return c ? c : strcmp(x->name, y->name);
}

static void print_rows(const char *name, rows *of)
{
    print_message("%s:", name);
    for (int i = 0; i < of->n; i++) {
        print_message(" %d/%s=%.9s", of->at[i].day, of->at[i].name, of->at[i].text);
    }
    print_message("\n");
}

static void compare(world *w, uint64_t seed, int step)
{
    rows table = w->table, model = {0};

    for (int i = 0; i < w->model.n; i++) {
        if (has_lines(w->model.at[i].text)) {
            model.at[model.n++] = w->model.at[i];
        }
    }
    bool is_equal = table.n == model.n;
    qsort(table.at, (size_t)table.n, sizeof(row), by_row);
    qsort(model.at, (size_t)model.n, sizeof(row), by_row);
    for (int i = 0; i < table.n && is_equal; i++) {
        is_equal = table.at[i].day == model.at[i].day && table.at[i].text == model.at[i].text &&
                   (!w->takes_name || table.at[i].name == model.at[i].name);
    }
    for (int i = 0; i < w->n_files; i++) {
        const file *f = &w->files[i];
        bool has_row = !f->is_loaded || !has_lines(f->text);
        for (int r = 0; r < table.n; r++) {
            has_row =
                has_row || (table.at[r].day == day_of(f->path) && table.at[r].text == f->text);
        }
        is_equal = is_equal && has_row;
    }
    if (!is_equal) {
        print_rows("table", &table);
        print_rows("model", &model);
        fail_msg("SMELT_SEED=%llu, step %d: other rows", (unsigned long long)seed, step);
    }
}

static void run_seed(uint64_t seed, int64_t *n_errors)
{
    static world w; /* too large for the stack */
    char text[TEXT_BYTES];

    w = (world){.random = seed, .arena = sm_arena_new(NULL)};
    for (int i = 0; i < (int)SM_COUNT(first_texts); i++) {
        snprintf(text, sizeof(text), "%s", first_texts[i]);
        if (strcmp(text, "LONG") == 0) { /* longer than a head */
            memset(text, 'L', SM_CONTENT_HEAD_BYTES + 9);
            text[SM_CONTENT_HEAD_BYTES + 9] = '\0';
        }
        (void)pooled(&w, text);
    }
    w.takes_name = pick(&w, 3) == 0;
    w.copies = pick(&w, 3) == 0 ? SMI_COPIES_SKIP : SMI_COPIES_KEEP;
    w.gone = pick(&w, 3) == 0 ? SMI_GONE_REMOVE : SMI_GONE_KEEP;
    for (int step = 0; step < STEPS; step++) {
        const uint32_t n = 1 + pick(&w, 6);
        for (uint32_t i = 0; i < n; i++) {
            operate(&w);
        }
        finish_lone(&w);
        w.has_period = pick(&w, 2);
        w.first_day = (int32_t)(1 + pick(&w, 3));
        w.last_day = w.first_day + (int32_t)pick(&w, 3);
        const bool is_loaded = model_load(&w);
        assert_int_equal(real_load(&w), is_loaded);
        *n_errors += !is_loaded;
        if (!is_loaded) { /* twins that differ */
            for (int i = w.n_files - 1; i >= 0; i--) {
                if (is_packed(w.files[i].path)) {
                    remove_file(&w, w.files[i].path);
                }
            }
            continue;
        }
        compare(&w, seed, step);
    }
    sm_arena_free(w.arena);
}

static void test_random(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    int64_t seed = 1, n_errors = 0;

    if (given) {
        assert_true(sm_parse_i64(sm_str_of(given), &seed));
    }
    print_message("SMELT_SEED=%lld\n", (long long)seed);
    for (int64_t s = seed; s < seed + (given ? 1 : 400); s++) {
        run_seed((uint64_t)s, &n_errors);
    }
    print_message("%lld loads refused for twins\n", (long long)n_errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
