/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_content.c: matches known contents with new paths: moved, grown and copied files.
 * Called by flow_match.c.
 *
 * Sources  of moves and growth are known files with lines whose path is not listed any more, holds
 *          another content, or has become another file's path.
 * Moves    If several files have the content of one source, the first in byte order has moved, and
 *          files of the source's date come before others: then no row changes. The rest are paired
 *          whatever their dates.
 * Growth   is looked for where a known content is nowhere: its path is gone, or another file has
 *          moved to it. The hash of the first 4 KiB selects candidates; then one hash is made for
 *          each length that a candidate with these bytes has. The longest one counts.
 * Copies   that are to be loaded are counted after the load, when all contents are known. Copies
 *          that are not to be loaded must be known before it: the first bytes of new files are
 *          read, and the whole file where two begin alike. A file of another root whose date is
 *          replaced counts only while it is there, because it is read again.
 * Method   Sorted arrays are merged, so that the cost is n log n whatever the files are. */
#include <stdlib.h>

#include "flow/flow_matching_int.h"

/* ---- contents in order ----------------------------------------------------------------------- */

/* A content and the file that has it. Sorted by content, then day, then path. */
typedef struct item {
    sm_content content;
    int64_t day;
    sm_str path;
    int64_t index;
} item;

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_contents(const item *a, const item *b)
{
    int c = compare_u64(a->content.hash.high, b->content.hash.high);
    c = c ? c : compare_u64(a->content.hash.low, b->content.hash.low);
    return c ? c : compare_u64((uint64_t)a->content.bytes, (uint64_t)b->content.bytes);
}

static int compare_days(const item *a, const item *b)
{
    const int c = compare_contents(a, b);
    return c ? c : (a->day > b->day) - (a->day < b->day);
}

static int by_content(const void *a, const void *b)
{
    const int c = compare_days(a, b);
    return c ? c : sm_str_cmp(((const item *)a)->path, ((const item *)b)->path);
}

static void sort_items(item *items, int64_t n, int (*by)(const void *, const void *))
{
    if (n > 1) {
        qsort(items, (size_t)n, sizeof(*items), by);
    }
}

typedef struct items {
    item *at;
    int64_t n;
} items;

static int64_t day_of(const smi_matching *j, bool has_date, int32_t date)
{
    return j->in->takes_date && has_date ? date : INT64_MIN;
}

/* ---- sources --------------------------------------------------------------------------------- */

/* Is the known file's content no longer at its path? */
static bool is_vacated(const smi_matching *j, int64_t k)
{
    const smi_flow_known *known = &j->in->known[k];
    const int64_t i = j->here[k];

    if (known->root != j->out->root || j->is_taken[k]) {
        return false;
    }
    if (i < 0 || j->is_open[i]) {
        return true;
    }
    return j->out->files[i].kind == SMI_MATCH_PASSED &&
           !smi_matching_is_content(&j->out->files[i], known);
}

static items find_sources(smi_matching *j)
{
    items out = {.at = SM_NEW_ARRAY(j->arena, item, j->in->n_known + 1)};

    for (int64_t k = 0; k < j->in->n_known; k++) {
        const smi_flow_known *known = &j->in->known[k];
        if (smi_known_is_recognisable(known) && is_vacated(j, k)) {
            out.at[out.n++] = (item){.content = smi_known_content(known),
                                     .day = day_of(j, known->has_date, known->date),
                                     .path = known->path,
                                     .index = k};
        }
    }
    return out;
}

/* ---- which contents to ask for --------------------------------------------------------------- */

/* Lengths and heads of contents that a file may have. */
typedef struct likely {
    uint64_t *lens, *heads;
    int64_t n;
    bool has_blind; /* the head of some is not known */
} likely;

static int by_u64(const void *a, const void *b)
{
    return compare_u64(*(const uint64_t *)a, *(const uint64_t *)b);
}

static bool has_u64(const uint64_t *sorted, int64_t n, uint64_t v)
{
    return n > 0 && bsearch(&v, sorted, (size_t)n, sizeof(v), by_u64);
}

static likely make_likely(smi_matching *j, const items *of)
{
    likely out = {
        .lens = SM_NEW_ARRAY(j->arena, uint64_t, of->n + 1),
        .heads = SM_NEW_ARRAY(j->arena, uint64_t, of->n + 1),
        .n = of->n,
    };

    for (int64_t i = 0; i < of->n; i++) {
        out.lens[i] = (uint64_t)of->at[i].content.bytes;
        out.heads[i] = of->at[i].content.head;
        out.has_blind = out.has_blind || out.heads[i] == 0;
    }
    if (of->n > 1) {
        qsort(out.lens, (size_t)of->n, sizeof(*out.lens), by_u64);
        qsort(out.heads, (size_t)of->n, sizeof(*out.heads), by_u64);
    }
    return out;
}

/* The hash of its first bytes, into f->content.head. */
static sm_status ask_head(smi_matching *j, int64_t i, sm_error *e)
{
    smi_match_file *f = &j->out->files[i];
    const smi_match_asks *asks = &j->in->asks;
    uint8_t bytes[SM_CONTENT_HEAD_BYTES];
    size_t n = 0;

    if (f->content.head == 0) {
        SM_TRY(asks->head(asks->ctx, i, bytes, &n, e));
        f->content.head = sm_hash64(bytes, n);
    }
    return SM_OK;
}

static sm_status ask_likely(smi_matching *j, int64_t i, const likely *l, sm_error *e)
{
    const smi_match_found *found = &j->in->found[i];
    bool is_likely = l->has_blind;

    if (j->out->files[i].has_content) {
        return SM_OK;
    }
    if (smi_match_is_plain(found->path)) {
        is_likely = has_u64(l->lens, l->n, found->mark.size_bytes);
    } else if (!is_likely) {
        SM_TRY(ask_head(j, i, e));
        is_likely = has_u64(l->heads, l->n, j->out->files[i].content.head);
    }
    return is_likely ? smi_match_ask(j, i, e) : SM_OK;
}

/* ---- moves ----------------------------------------------------------------------------------- */

/* Pairs sources and files of equal content and day, in their order. Those without a partner stay in
 * the two lists. */
static void pair_contents(smi_matching *j, items *sources, items *files)
{
    int64_t s = 0, f = 0, n_sources = 0, n_files = 0;
    const int64_t n_more = sources->n - files->n;

    sort_items(sources->at, sources->n, by_content);
    sort_items(files->at, files->n, by_content);
    while (s < sources->n || f < files->n) {
        const int c = s == sources->n ? 1
                      : f == files->n ? -1
                                      : compare_days(&sources->at[s], &files->at[f]);
        if (c == 0) {
            smi_matching_take(j, files->at[f++].index, sources->at[s++].index, SMI_MATCH_MOVED);
        } else if (c < 0) {
            sources->at[n_sources++] = sources->at[s++];
        } else {
            files->at[n_files++] = files->at[f++];
        }
    }
    SM_ASSERT(n_sources - n_files == n_more); /* a pair takes one of each */
    sources->n = n_sources;
    files->n = n_files;
}

static sm_status match_moves(smi_matching *j, items *sources, sm_error *e)
{
    items files = {.at = SM_NEW_ARRAY(j->arena, item, j->in->n_found + 1)};

    if (sources->n == 0) {
        return SM_OK;
    }
    const likely l = make_likely(j, sources);
    for (int64_t i = 0; i < j->in->n_found; i++) {
        const smi_match_found *found = &j->in->found[i];
        const smi_match_file *f = &j->out->files[i];
        if (!j->is_open[i]) {
            continue;
        }
        SM_TRY(ask_likely(j, i, &l, e));
        if (f->has_content && f->is_whole && f->content.has_lines) {
            files.at[files.n++] = (item){.content = f->content,
                                         .day = day_of(j, found->has_date, found->date),
                                         .path = found->path,
                                         .index = i};
        }
    }
    pair_contents(j, sources, &files); /* equal days first: then no row changes */
    for (int64_t i = 0; i < sources->n; i++) {
        sources->at[i].day = 0;
    }
    for (int64_t i = 0; i < files.n; i++) {
        files.at[i].day = 0;
    }
    pair_contents(j, sources, &files);
    return SM_OK;
}

/* ---- growth ---------------------------------------------------------------------------------- */

/* Gone files of one content and day; those before `next` are matched. */
typedef struct gone_group {
    const item *first, *next, *end;
} gone_group;

typedef struct growth {
    gone_group *groups; /* by head, then length */
    int64_t n_groups, least_bytes;
    uint64_t *short_lens; /* below SM_CONTENT_HEAD_BYTES, ascending, each once */
    int64_t n_short;
    int64_t *lens; /* scratch, one a group */
    sm_hash128 *hashes;
    gone_group **likely;
} growth;

static int by_head(const void *a, const void *b)
{
    const item *x = a, *y = b;
    int c = compare_u64(x->content.head, y->content.head);
    c = c ? c : compare_u64((uint64_t)x->content.bytes, (uint64_t)y->content.bytes);
    return c ? c : by_content(a, b);
}

/* Is the known file's content nowhere? A file at its path may be one that moved there. */
static bool is_nowhere(const smi_matching *j, int64_t k)
{
    const int64_t i = j->here[k];

    return i < 0 || j->out->files[i].kind == SMI_MATCH_MOVED;
}

static growth make_growth(smi_matching *j, const items *sources)
{
    growth g = {0};
    items gone = {.at = SM_NEW_ARRAY(j->arena, item, sources->n + 1)};

    for (int64_t s = 0; s < sources->n; s++) {
        item *it = &sources->at[s];
        const smi_flow_known *k = &j->in->known[it->index];
        if (is_nowhere(j, it->index)) {
            gone.at[gone.n] = *it;
            gone.at[gone.n++].day = day_of(j, k->has_date, k->date);
        }
    }
    sort_items(gone.at, gone.n, by_head);
    g.groups = SM_NEW_ARRAY(j->arena, gone_group, gone.n + 1);
    g.short_lens = SM_NEW_ARRAY(j->arena, uint64_t, gone.n + 1);
    g.lens = SM_NEW_ARRAY(j->arena, int64_t, gone.n + 1);
    g.hashes = SM_NEW_ARRAY(j->arena, sm_hash128, gone.n + 1);
    g.likely = SM_NEW_ARRAY(j->arena, gone_group *, gone.n + 1);
    for (int64_t s = 0; s < gone.n; s++) {
        const item *it = &gone.at[s];
        if (s == 0 || compare_days(it, it - 1) != 0) {
            g.groups[g.n_groups++] = (gone_group){.first = it, .next = it};
        }
        g.groups[g.n_groups - 1].end = it + 1;
        g.least_bytes =
            s == 0 || it->content.bytes < g.least_bytes ? it->content.bytes : g.least_bytes;
        if (it->content.head && it->content.bytes < (int64_t)SM_CONTENT_HEAD_BYTES) {
            g.short_lens[g.n_short++] = (uint64_t)it->content.bytes;
        }
    }
    if (g.n_short > 1) {
        qsort(g.short_lens, (size_t)g.n_short, sizeof(*g.short_lens), by_u64);
        int64_t n = 1;
        for (int64_t s = 1; s < g.n_short; s++) {
            if (g.short_lens[s] != g.short_lens[n - 1]) {
                g.short_lens[n++] = g.short_lens[s];
            }
        }
        g.n_short = n;
    }
    return g;
}

/* The first group with that head and at least that length. */
static int64_t first_group(const growth *g, uint64_t head, int64_t bytes)
{
    int64_t low = 0, high = g->n_groups;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const sm_content *c = &g->groups[middle].first->content;
        const int order = compare_u64(c->head, head);
        const bool is_before = order < 0 || (order == 0 && c->bytes < bytes);
        low = is_before ? middle + 1 : low;
        high = is_before ? high : middle;
    }
    return low;
}

/* Adds the groups of one head with lengths in [from, to). */
static int64_t add_likely(const growth *g, uint64_t head, int64_t from, int64_t to, int64_t n)
{
    for (int64_t i = first_group(g, head, from); i < g->n_groups; i++) {
        gone_group *group = &g->groups[i];
        if (group->first->content.head != head || group->first->content.bytes >= to) {
            break;
        }
        if (group->next < group->end) {
            SM_ASSERT(n < g->n_groups); /* a group is likely once */
            g->likely[n++] = group;
        }
    }
    return n;
}

static int by_length(const void *a, const void *b)
{
    const gone_group *x = *(gone_group *const *)a, *y = *(gone_group *const *)b;
    const int c = compare_u64((uint64_t)x->first->content.bytes, (uint64_t)y->first->content.bytes);
    return c ? c : (x > y) - (x < y); /* groups of one content are in the order of their days */
}

/* Finds by its first bytes the groups with whose content the file may begin. */
static sm_status find_likely(smi_matching *j, const growth *g, int64_t i, int64_t *n_likely,
                             sm_error *e)
{
    const smi_match_asks *asks = &j->in->asks;
    const smi_match_file *f = &j->out->files[i];
    uint8_t bytes[SM_CONTENT_HEAD_BYTES];
    size_t len = 0;
    int64_t n = 0;
    int64_t size = INT64_MAX;

    if (smi_match_is_plain(j->in->found[i].path)) {
        size = (int64_t)j->in->found[i].mark.size_bytes;
    } else if (f->has_content) {
        size = f->content.bytes;
    }
    *n_likely = 0;
    if (size <= g->least_bytes) {
        return SM_OK;
    }
    SM_TRY(asks->head(asks->ctx, i, bytes, &len, e));
    for (int64_t s = 0; s < g->n_short && g->short_lens[s] <= len; s++) {
        const int64_t want = (int64_t)g->short_lens[s];
        if (want < size) {
            n = add_likely(g, sm_hash64(bytes, (size_t)want), want, want + 1, n);
        }
    }
    if (len == SM_CONTENT_HEAD_BYTES) {
        n = add_likely(g, sm_hash64(bytes, len), (int64_t)len, size, n);
    }
    n = add_likely(g, 0, 0, size, n);
    if (n > 1) {
        qsort(g->likely, (size_t)n, sizeof(gone_group *), by_length);
    }
    *n_likely = n;
    return SM_OK;
}

/* The group whose content is the file's longest beginning; among groups of one content the one of
 * the file's day. NULL: none. */
static sm_status find_grown(smi_matching *j, const growth *g, int64_t i, gone_group **out,
                            sm_error *e)
{
    const smi_match_asks *asks = &j->in->asks;
    const smi_match_found *found = &j->in->found[i];
    const int64_t day = day_of(j, found->has_date, found->date);
    int64_t n = 0, n_lens = 0;

    *out = NULL;
    SM_TRY(find_likely(j, g, i, &n, e));
    for (int64_t l = 0; l < n; l++) {
        const int64_t bytes = g->likely[l]->first->content.bytes;
        SM_ASSERT(n_lens == 0 || g->lens[n_lens - 1] <= bytes);
        if (n_lens == 0 || g->lens[n_lens - 1] != bytes) {
            g->lens[n_lens++] = bytes;
        }
    }
    if (n_lens == 0) {
        return SM_OK;
    }
    SM_TRY(asks->prefixes(asks->ctx, i, g->lens, n_lens, g->hashes, e));
    for (int64_t l = 0, at = 0; l < n; l++) {
        const item *it = g->likely[l]->first;
        at += g->lens[at] != it->content.bytes;
        SM_ASSERT(at < n_lens && g->lens[at] == it->content.bytes);
        const bool is_prefix = g->hashes[at].low == it->content.hash.low &&
                               g->hashes[at].high == it->content.hash.high;
        const bool is_longer = !*out || (*out)->first->content.bytes < it->content.bytes;
        if (is_prefix && (is_longer || it->day == day)) {
            *out = g->likely[l];
        }
    }
    return SM_OK;
}

static sm_status match_growth(smi_matching *j, const items *sources, sm_error *e)
{
    const growth g = make_growth(j, sources);

    for (int64_t i = 0; i < j->in->n_found && g.n_groups > 0; i++) {
        gone_group *from = NULL;
        /* A file at a known path is new only if the content that was there has moved away. */
        if (!j->is_open[i] || (smi_matching_rows_at(j, i) && !j->is_taken[j->at_path[i]])) {
            continue;
        }
        SM_TRY(find_grown(j, &g, i, &from, e));
        if (from) {
            SM_ASSERT(from->first <= from->next && from->next < from->end);
            smi_matching_take(j, i, from->next->index, SMI_MATCH_GROWN);
            from->next++;
        }
    }
    return SM_OK;
}

sm_status smi_matching_by_content(smi_matching *j, sm_error *e)
{
    items sources = find_sources(j);

    SM_TRY(match_moves(j, &sources, e));
    return match_growth(j, &sources, e);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static sm_status fail_copy(sm_str path, sm_str of, sm_error *e)
{
    const sm_status st = sm_fail(e, SM_INVALID, "\"%.*s\" has the same content as \"%.*s\"",
                                 SM_STR_ARG(path), SM_STR_ARG(of));

    sm_error_todo(e, "Remove one of them, or set copies: keep or copies: skip on the source.");
    return st;
}

/* Marks new files as copies (`kind`) whose content an owner has, or a new file before them. */
static sm_status find_copies(const smi_match_in *in, const items *owners, const items *news,
                             smi_match_kind kind, smi_match_out *out, sm_error *e)
{
    SM_ASSERT(kind == SMI_MATCH_COPY || kind == SMI_MATCH_PASSED);
    int64_t o = 0;
    const item *refused = NULL, *refused_of = NULL; /* the first in byte order */

    sort_items(owners->at, owners->n, by_content);
    sort_items(news->at, news->n, by_content);
    for (int64_t i = 0, first = 0; i < news->n; i++) {
        const item *it = &news->at[i];
        first = i > 0 && compare_contents(it, &news->at[i - 1]) == 0 ? first : i;
        while (o < owners->n && compare_contents(&owners->at[o], it) < 0) {
            o++;
        }
        const bool has_owner = o < owners->n && compare_contents(&owners->at[o], it) == 0;
        const item *of = has_owner ? &owners->at[o] : i > first ? &news->at[first] : NULL;
        if (!of) {
            continue;
        }
        if (!refused || sm_str_cmp(it->path, refused->path) < 0) {
            refused = it;
            refused_of = of;
        }
        smi_match_file *f = &out->files[it->index];
        SM_ASSERT(f->kind == SMI_MATCH_NEW && of->index != it->index);
        f->kind = kind;
        f->is_read = f->is_read && kind == SMI_MATCH_COPY;
        f->of = has_owner && of->index < 0 ? -1 : of->index;
        f->known = has_owner && of->index < 0 ? -of->index - 1 : out->files[of->index].known;
    }
    if (refused && in->copies == SMI_COPIES_FAIL) {
        return fail_copy(refused->path, refused_of->path, e);
    }
    return SM_OK;
}

/* Adds the owners that were not matched, as index −1 − k for known file k. */
static sm_status add_known_owners(const smi_match_in *in, const smi_match_out *out, items *owners,
                                  sm_error *e)
{
    for (int64_t k = 0; k < in->n_known; k++) {
        const smi_flow_known *known = &in->known[k];
        const bool is_again = out->left[k] == SMI_KNOWN_AGAIN;
        bool is_owner = is_again || out->left[k] == SMI_KNOWN_ELSEWHERE;
        if (!is_owner || !smi_known_is_recognisable(known)) {
            continue;
        }
        if (is_again) {
            SM_TRY(in->asks.keeps(in->asks.ctx, k, &is_owner, e));
        }
        if (is_owner) {
            owners->at[owners->n++] =
                (item){.content = smi_known_content(known), .path = known->path, .index = -1 - k};
        }
    }
    return SM_OK;
}

static item found_item(const smi_match_in *in, int64_t i, const sm_content *content)
{
    return (item){.content = *content, .path = in->found[i].path, .index = i};
}

/* Asks for the contents of files that begin as another file does or, if the other one's beginning
 * is not known, have its length. */
static sm_status ask_suspects(smi_matching *j, const items *owners, sm_error *e)
{
    const int64_t n_found = j->in->n_found;
    const likely known = make_likely(j, owners);
    uint64_t *heads = SM_NEW_ARRAY(j->arena, uint64_t, n_found + 1);
    int64_t n = 0;

    for (int64_t i = 0; i < n_found; i++) {
        if (j->out->files[i].is_read && j->in->found[i].mark.size_bytes > 0) {
            SM_TRY(ask_head(j, i, e));
            heads[n++] = j->out->files[i].content.head;
        }
    }
    if (n > 1) {
        qsort(heads, (size_t)n, sizeof(*heads), by_u64);
    }
    int64_t n_twice = 0; /* heads of more than one file */
    for (int64_t i = 1; i < n; i++) {
        if (heads[i] == heads[i - 1] && (n_twice == 0 || heads[n_twice - 1] != heads[i])) {
            heads[n_twice++] = heads[i];
        }
    }
    SM_ASSERT(n_twice <= n / 2);
    for (int64_t i = 0; i < n_found; i++) {
        const smi_match_file *f = &j->out->files[i];
        const uint64_t size = j->in->found[i].mark.size_bytes;
        if (!f->is_read || size == 0) {
            continue;
        }
        const bool is_plain = smi_match_is_plain(j->in->found[i].path);
        const bool is_blind = known.has_blind && (!is_plain || has_u64(known.lens, known.n, size));
        if (is_blind || has_u64(known.heads, known.n, f->content.head) ||
            has_u64(heads, n_twice, f->content.head)) {
            SM_TRY(smi_match_ask(j, i, e));
        }
    }
    return SM_OK;
}

/* Copies that are not to be loaded must be known before the load. */
sm_status smi_matching_copies(smi_matching *j, sm_error *e)
{
    const smi_match_in *in = j->in;
    items owners = {.at = SM_NEW_ARRAY(j->arena, item, in->n_known + in->n_found + 1)};
    items news = {.at = SM_NEW_ARRAY(j->arena, item, in->n_found + 1)};

    if (in->copies == SMI_COPIES_KEEP) {
        return SM_OK;
    }
    SM_TRY(add_known_owners(in, j->out, &owners, e));
    for (int64_t i = 0; i < in->n_found; i++) {
        const smi_match_file *f = &j->out->files[i];
        const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
        if (is_kept && smi_known_is_recognisable(&in->known[f->known])) {
            const sm_content c = smi_known_content(&in->known[f->known]);
            owners.at[owners.n++] = found_item(in, i, &c);
        }
    }
    SM_TRY(ask_suspects(j, &owners, e));
    for (int64_t i = 0; i < in->n_found; i++) {
        const smi_match_file *f = &j->out->files[i];
        if (!f->is_read || !f->has_content || !f->is_whole || !f->content.has_lines) {
            continue;
        }
        if (f->kind == SMI_MATCH_NEW) {
            news.at[news.n++] = found_item(in, i, &f->content);
        } else if (f->kind == SMI_MATCH_CHANGED || f->kind == SMI_MATCH_GROWN) {
            owners.at[owners.n++] = found_item(in, i, &f->content);
        }
    }
    return find_copies(in, &owners, &news, SMI_MATCH_PASSED, j->out, e);
}

sm_status smi_match_copies(const smi_match_in *in, const smi_match_read *reads, sm_arena *a,
                           smi_match_out *out, sm_error *e)
{
    items owners = {.at = SM_NEW_ARRAY(a, item, in->n_known + in->n_found + 1)};
    items news = {.at = SM_NEW_ARRAY(a, item, in->n_found + 1)};

    SM_TRY(add_known_owners(in, out, &owners, e));
    for (int64_t i = 0; i < in->n_found; i++) {
        const smi_match_file *f = &out->files[i];
        const bool is_kept = f->kind == SMI_MATCH_SAME || f->kind == SMI_MATCH_MOVED;
        if (f->is_read && reads[i].n_lines > 0) {
            items *to = f->kind == SMI_MATCH_NEW ? &news : &owners;
            to->at[to->n++] = found_item(in, i, &reads[i].content);
        } else if (!f->is_read && is_kept && smi_known_is_recognisable(&in->known[f->known])) {
            const sm_content c = smi_known_content(&in->known[f->known]);
            owners.at[owners.n++] = found_item(in, i, &c);
        }
    }
    return find_copies(in, &owners, &news, SMI_MATCH_COPY, out, e);
}
