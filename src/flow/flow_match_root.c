/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_root.c: finds out whether a folder is one that a table was loaded from, such a
 * folder at a new place, or one more. Called by flow_match.c.
 *
 * By place  if it is the place of a known root, or the same folder under another name.
 * By paths  that both a known root and the folder have. If all are equal, it is that root at a new
 *           place. If some differ, or there are none, and the old place can still be listed, it is
 *           one more. If the old place cannot be listed: with differing paths the user must say
 *           which, with none it has moved. --same-root and --other-root answer this beforehand;
 *           they change nothing if the place is known.
 * Equal     means an equal mark or else an equal content. A different length saves reading the
 *           content. Files outside the period are not opened: only their lengths are compared. Only
 *           if no path in the period is common are the contents of the few shortest of them
 *           compared.
 * Empty     files prove nothing.
 * Overlap   A root is the folder before a pattern's first wildcard, so a file may lie below two of
 *           them. Loaded from both, its rows would be there twice: such a folder is refused. */
#include <inttypes.h>

#include "flow/flow_matching_int.h"

#define MOST_OUTSIDE 8 /* files outside the period whose contents are compared */

typedef struct evidence {
    int64_t n_equal, n_other; /* paths */
    bool lists, is_asked;     /* can its old place be listed; was that asked? */
} evidence;

int64_t smi_match_find(const smi_match_in *in, sm_str path)
{
    int64_t low = 0, high = in->n_found;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = sm_str_cmp(in->found[middle].path, path);
        if (order == 0) {
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return -1;
}

/* ---- common paths ---------------------------------------------------------------------------- */

/* Pairs whose contents are to be compared. */
typedef struct pairs {
    int64_t *known, *found;
    int64_t n;
    int64_t outside[MOST_OUTSIDE]; /* known files outside the period, the shortest first */
    int n_outside;
} pairs;

static void add_outside(const smi_match_in *in, pairs *p, int64_t k)
{
    int at = p->n_outside;

    while (at > 0 && in->known[p->outside[at - 1]].content_bytes > in->known[k].content_bytes) {
        at--;
    }
    if (at == MOST_OUTSIDE) {
        return;
    }
    const int n_moved = (p->n_outside < MOST_OUTSIDE ? p->n_outside : MOST_OUTSIDE - 1) - at;
    SM_ASSERT(n_moved >= 0 && at + 1 + n_moved <= MOST_OUTSIDE);
    memmove(&p->outside[at + 1], &p->outside[at], (size_t)n_moved * sizeof(p->outside[0]));
    p->outside[at] = k;
    p->n_outside += p->n_outside < MOST_OUTSIDE;
}

/* Compares marks and lengths at a common path. If these do not decide, the pair is added to `p`. */
static void compare_marks(const smi_match_in *in, int64_t k, int64_t i, pairs *p, evidence *out)
{
    const smi_flow_known *known = &in->known[k];
    const smi_match_found *found = &in->found[i];

    const bool is_sure =
        known->mark.etag.len > 0 || (known->mark.changed_us && found->mark.changed_us);

    if (is_sure && smi_match_has_mark(known, &found->mark)) {
        out->n_equal++;
    } else if (known->content_bytes < 0) {
        out->n_equal += smi_match_has_mark(known, &found->mark);
        out->n_other += known->mark.size_bytes != found->mark.size_bytes;
    } else if (smi_match_is_plain(found->path) &&
               found->mark.size_bytes != (uint64_t)known->content_bytes) {
        out->n_other++;
    } else if (smi_match_is_in_period(in, found->has_date, found->date)) {
        SM_ASSERT(p->n < in->n_found); /* a path is compared once */
        p->known[p->n] = k;
        p->found[p->n++] = i;
    } else {
        add_outside(in, p, k);
    }
}

static sm_status compare_contents(smi_matching *j, int64_t k, int64_t i, evidence *out, sm_error *e)
{
    const smi_match_file *f = &j->out->files[i];

    SM_TRY(smi_match_ask(j, i, e));
    const bool is_equal = f->is_whole && smi_match_is_content(&j->in->known[k], &f->content);
    out->n_equal += is_equal;
    out->n_other += !is_equal;
    return SM_OK;
}

static sm_status compare_root(smi_matching *j, int32_t root, evidence *out, sm_error *e)
{
    const smi_match_in *in = j->in;
    pairs p = {.known = SM_NEW_ARRAY(j->arena, int64_t, in->n_found + 1),
               .found = SM_NEW_ARRAY(j->arena, int64_t, in->n_found + 1)};

    for (int64_t k = 0; k < in->n_known; k++) {
        const smi_flow_known *known = &in->known[k];
        if (known->root != root || !known->has_identity || known->is_displaced ||
            known->content_bytes == 0 || known->n_lines == 0) {
            continue;
        }
        const int64_t i = smi_match_find(in, known->path);
        if (i >= 0) {
            compare_marks(in, k, i, &p, out);
        }
    }
    for (int64_t n = 0; n < p.n && out->n_other == 0; n++) {
        SM_TRY(compare_contents(j, p.known[n], p.found[n], out, e));
    }
    for (int n = 0; n < p.n_outside && p.n == 0 && out->n_other == 0; n++) {
        const int64_t k = p.outside[n];
        SM_TRY(compare_contents(j, k, smi_match_find(in, in->known[k].path), out, e));
    }
    return SM_OK;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static sm_status ask_lists(smi_matching *j, int32_t root, evidence *of, sm_error *e)
{
    const smi_match_asks *asks = &j->in->asks;

    if (!of->is_asked) {
        SM_TRY(asks->lists(asks->ctx, root, &of->lists, e));
        of->is_asked = true;
    }
    return SM_OK;
}

static sm_status fail_root(const smi_match_in *in, int32_t root, const evidence *of, sm_error *e)
{
    const sm_str old = in->roots[root].uri;
    SM_ASSERT(of->is_asked && !of->lists);
    if (of->n_other > 0) {
        (void)sm_fail(
            e, SM_INVALID,
            "\"%.*s\" has other files than \"%.*s\" under the same names, and that folder "
            "cannot be listed",
            SM_STR_ARG(in->root), SM_STR_ARG(old));
    } else {
        (void)sm_fail(e, SM_INVALID,
                      "\"%.*s\" may be \"%.*s\", or another folder that was loaded and cannot be "
                      "listed",
                      SM_STR_ARG(in->root), SM_STR_ARG(old));
    }
    sm_error_todo(e, "Say --same-root if it is that folder at a new place, --other-root if it is "
                     "one more.");
    return SM_INVALID;
}

/* The root that --same-root means. */
static sm_status choose_same(smi_matching *j, evidence *all, int32_t *out, sm_error *e)
{
    const smi_match_in *in = j->in;
    int32_t lost = -1, best = 0;
    int n_lost = 0, n_best = 0;

    for (int32_t r = 0; r < in->n_roots && in->n_roots > 1; r++) {
        SM_TRY(ask_lists(j, r, &all[r], e));
        lost = all[r].lists ? lost : r;
        n_lost += !all[r].lists;
        if (all[r].n_equal > all[best].n_equal) {
            best = r;
        }
    }
    for (int32_t r = 0; r < in->n_roots; r++) {
        n_best += all[r].n_equal == all[best].n_equal;
    }
    if (in->n_roots > 1 && n_lost != 1 && n_best > 1) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "\"%.*s\" may be any of %" PRId32 " folders that were loaded",
                    SM_STR_ARG(in->root), in->n_roots);
        sm_error_todo(e, "Load it from its old place, or say --other-root.");
        return st;
    }
    *out = n_lost == 1 ? lost : best;
    return SM_OK;
}

/* The root whose common paths are all equal, and most in number; −1: none. */
static int32_t choose_equal(const smi_match_in *in, const evidence *all)
{
    int32_t best = -1;

    for (int32_t r = 0; r < in->n_roots; r++) {
        if (all[r].n_equal > 0 && all[r].n_other == 0 &&
            (best < 0 || all[r].n_equal > all[best].n_equal)) {
            best = r;
        }
    }
    return best;
}

/* No root is equal. One that cannot be listed may have moved; n_roots: the folder is a new one. */
static sm_status choose_lost(smi_matching *j, evidence *all, int32_t *out, sm_error *e)
{
    const smi_match_in *in = j->in;
    int32_t lost = in->n_roots;

    for (int32_t r = 0; r < in->n_roots; r++) {
        SM_TRY(ask_lists(j, r, &all[r], e));
        if (all[r].lists) {
            continue;
        }
        if (all[r].n_other > 0 || lost < in->n_roots) {
            return fail_root(in, r, &all[r], e);
        }
        lost = r;
    }
    *out = lost;
    return SM_OK;
}

/* The root of that place, else the one that is the same folder under another name, else the first
 * one whose place is not known; −1: none. */
static int32_t choose_by_place(const smi_match_in *in)
{
    int32_t unknown = -1;

    for (int32_t r = 0; r < in->n_roots; r++) {
        if (sm_str_eq(in->roots[r].uri, in->root)) {
            return r;
        }
        unknown = in->roots[r].uri.len == 0 && unknown < 0 ? r : unknown;
    }
    for (int32_t r = 0; r < in->n_roots; r++) {
        if (in->roots[r].uri.len > 0 && in->asks.is_here(in->asks.ctx, r)) {
            return r;
        }
    }
    return unknown;
}

/* ---- folders in one another ------------------------------------------------------------------ */

/* What follows a folder in the name of something below it; {0} if it is not below. */
static sm_str below(sm_str folder, sm_str uri)
{
    const bool has_slash = folder.data[folder.len - 1] == '/'; /* the root of the disk */
    const size_t start = folder.len + !has_slash;

    return uri.len > start && sm_str_starts(uri, folder) && uri.data[start - 1] == '/'
               ? (sm_str){uri.data + start, uri.len - start}
               : (sm_str){0};
}

static sm_status fail_overlap(const smi_match_in *in, sm_str uri, sm_str other, sm_error *e)
{
    SM_ASSERT(!sm_str_eq(in->root, other));
    const sm_status st =
        sm_fail(e, SM_INVALID, "the file was loaded before, as one of \"%.*s\"", SM_STR_ARG(other));
    sm_error_todo(e, "Its rows would be there twice. Name the files by the folder or pattern of "
                     "before, or load into a new table.");
    sm_error_place(e, uri.data, 0, -1);
    return st;
}

/* Has a file that was found been loaded as one of another root? */
static sm_status check_overlap(const smi_matching *j, sm_error *e)
{
    const smi_match_in *in = j->in;

    for (int64_t k = 0; k < in->n_known; k++) {
        const smi_flow_known *known = &in->known[k];
        const sm_str other = in->roots[known->root].uri;
        if (known->root == j->out->root || other.len == 0 || !smi_known_has_rows(known) ||
            known->is_displaced ||
            (below(other, in->root).len == 0 && below(in->root, other).len == 0)) {
            continue;
        }
        const bool has_slash = other.data[other.len - 1] == '/';
        const sm_str uri = sm_arena_strf(j->arena, "%.*s%s%.*s", SM_STR_ARG(other),
                                         has_slash ? "" : "/", SM_STR_ARG(known->path));
        const sm_str path = below(in->root, uri);
        if (path.len > 0 && smi_match_find(in, path) >= 0) {
            return fail_overlap(in, uri, other, e);
        }
    }
    return SM_OK;
}

sm_status smi_match_root(smi_matching *j, sm_error *e)
{
    const smi_match_in *in = j->in;
    smi_match_out *out = j->out;
    evidence *all = SM_NEW_ARRAY(j->arena, evidence, in->n_roots + 1);

    out->root = choose_by_place(in);
    if (out->root < 0 && in->choice != SMI_ROOT_OTHER) {
        for (int32_t r = 0; r < in->n_roots; r++) {
            SM_TRY(compare_root(j, r, &all[r], e));
        }
        out->root = choose_equal(in, all);
        if (in->choice == SMI_ROOT_SAME && in->n_roots > 0) {
            SM_TRY(choose_same(j, all, &out->root, e));
        } else if (out->root < 0) {
            SM_TRY(choose_lost(j, all, &out->root, e));
        }
    }
    out->root = out->root < 0 ? in->n_roots : out->root;
    SM_ASSERT(out->root >= 0 && out->root <= in->n_roots);
    out->is_root_moved = out->root < in->n_roots && !sm_str_eq(in->roots[out->root].uri, in->root);
    return check_overlap(j, e);
}
