/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_match_test.c: every rule of matching and how they meet, as a table.
 *
 * Known and found files are words `[flags]path=content`:
 *   path     ends in _D: its day is D; .gz may follow
 *   content  letters; `A#5000` is 5,000 of them; `_` is a line feed
 *   known    ! dropped   ? passed   ~ without identity   ^ displaced   - only its mark is known
 *            . without a head   2 of root 2   / not there any more with that content
 *   found    * its mark is another   % an unfinished compressed file
 * The answer is written out in the same way: each file with its kind, <whose books, + where it is
 * read; then what there is of dates, gone, dropped, again, elsewhere, asked (contents). */
#include <ctype.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/flow_match_int.h"
#include "test.h"

#define MOST 16

typedef struct file {
    char path[64];
    char *text;
    size_t len;
    bool is_touched, is_unfinished, is_asked;
} file;

typedef struct world {
    sm_arena *arena;
    smi_flow_known known[MOST];
    smi_match_found found[MOST];
    file files[MOST];
    bool lists[4], is_here[4], has_lost[MOST];
    int64_t n_known, n_found;
} world;

/* ---- reading the table ----------------------------------------------------------------------- */

static void expand(world *w, const char *spec, file *f)
{
    f->text = sm_arena_alloc(w->arena, 20000);
    f->len = 0;
    for (const char *p = spec; *p; p++) {
        if (*p == '#') {
            const long n = strtol(p + 1, (char **)&p, 10);
            memset(f->text + f->len, f->text[f->len - 1], (size_t)n - 1);
            f->len += (size_t)n - 1;
            p--;
        } else {
            f->text[f->len++] = *p == '_' ? '\n' : *p;
        }
    }
}

static sm_content content_of(const char *text, size_t len)
{
    sm_content c = {.hash = sm_file_hash_piece(text, len, 0), .bytes = (int64_t)len};
    c.head = sm_hash64(text, len < SM_CONTENT_HEAD_BYTES ? len : SM_CONTENT_HEAD_BYTES);
    for (size_t i = 0; i < len; i++) {
        c.has_lines = c.has_lines || text[i] != '\n';
    }
    return c;
}

static bool is_packed(const char *path)
{
    return strstr(path, ".gz") || strstr(path, ".zst");
}

static smi_flow_mark mark_of(const file *f)
{
    const uint64_t h = sm_hash64(f->text, f->len);
    return (smi_flow_mark){
        .size_bytes = is_packed(f->path) ? 20 + h % 100 : f->len,
        .modified_us = 7,
        .changed_us = f->is_touched ? 9 : 8,
        .inode = h | 1,
        .etag = SM_STR(""),
    };
}

static int32_t day_of(const char *path)
{
    const char *at = strchr(path, '_');
    return at ? at[1] - '0' : 0;
}

/* Splits "path=content" behind its flags; NULL at the end. */
static const char *next_word(world *w, const char *spec, char *flags, file *f)
{
    char word[256];
    size_t n = 0;

    while (*spec == ' ') {
        spec++;
    }
    if (*spec == '\0') {
        return NULL;
    }
    while (*spec && *spec != ' ') {
        word[n++] = *spec++;
    }
    word[n] = '\0';
    const size_t n_flags = strspn(word, "!?~^-.*%2/");
    memcpy(flags, word, n_flags);
    flags[n_flags] = '\0';
    char *equals = strchr(word, '=');
    assert_non_null(equals);
    *equals = '\0';
    *f = (file){0};
    snprintf(f->path, sizeof(f->path), "%s", word + n_flags);
    expand(w, equals + 1, f);
    return spec;
}

static void read_known(world *w, const char *spec)
{
    char flags[16];
    file f;

    while ((spec = next_word(w, spec, flags, &f)) != NULL) {
        const sm_content c = content_of(f.text, f.len);
        w->has_lost[w->n_known] = strchr(flags, '/') != NULL;
        w->known[w->n_known++] = (smi_flow_known){
            .root = strchr(flags, '2') != NULL,
            .path = sm_arena_str(w->arena, sm_str_of(f.path)),
            .mark = mark_of(&f),
            .has_identity = !strchr(flags, '~'),
            .hash = c.hash,
            .content_bytes = strchr(flags, '-') ? -1 : c.bytes,
            .head = strchr(flags, '.') ? 0 : c.head,
            .n_lines = c.has_lines,
            .has_date = true,
            .date = day_of(f.path),
            .is_dropped = strchr(flags, '!') != NULL,
            .is_passed = strchr(flags, '?') != NULL,
            .is_displaced = strchr(flags, '^') != NULL,
        };
    }
}

static void read_found(world *w, const char *spec)
{
    char flags[16];

    while ((spec = next_word(w, spec, flags, &w->files[w->n_found])) != NULL) {
        file *f = &w->files[w->n_found];
        f->is_touched = strchr(flags, '*') != NULL;
        f->is_unfinished = strchr(flags, '%') != NULL;
        w->found[w->n_found++] = (smi_match_found){
            .path = sm_str_of(f->path),
            .mark = mark_of(f),
            .has_date = true,
            .date = day_of(f->path),
        };
    }
}

/* ---- what can be asked ----------------------------------------------------------------------- */

static sm_status ask_content(void *ctx, int64_t i, sm_content *out, bool *is_whole, sm_error *e)
{
    world *w = ctx;
    assert_false(w->files[i].is_asked); /* of each file once */
    w->files[i].is_asked = true;
    *out = content_of(w->files[i].text, w->files[i].len);
    *is_whole = !w->files[i].is_unfinished;
    return SM_OK;
}

static sm_status ask_head(void *ctx, int64_t i, uint8_t *out, size_t *n, sm_error *e)
{
    const file *f = &((world *)ctx)->files[i];
    *n = f->len < SM_CONTENT_HEAD_BYTES ? f->len : SM_CONTENT_HEAD_BYTES;
    memcpy(out, f->text, *n);
    return SM_OK;
}

static sm_status ask_prefixes(void *ctx, int64_t i, const int64_t *lens, int64_t n, sm_hash128 *out,
                              sm_error *e)
{
    const file *f = &((world *)ctx)->files[i];
    for (int64_t k = 0; k < n; k++) {
        assert_true(k == 0 || lens[k] > lens[k - 1]);
        out[k] = lens[k] <= (int64_t)f->len ? content_of(f->text, (size_t)lens[k]).hash
                                            : (sm_hash128){0};
    }
    return SM_OK;
}

static bool ask_is_here(void *ctx, int32_t root)
{
    return ((world *)ctx)->is_here[root];
}

static sm_status ask_lists(void *ctx, int32_t root, bool *out, sm_error *e)
{
    *out = ((world *)ctx)->lists[root];
    return SM_OK;
}

static sm_status ask_keeps(void *ctx, int64_t k, bool *out, sm_error *e)
{
    const world *w = ctx;
    assert_true(w->known[k].root == 1); /* others are found */
    *out = !w->has_lost[k];
    return SM_OK;
}

static smi_match_in input_of(world *w)
{
    static const smi_flow_root roots[] = {{.uri = {"/one", 4}}, {.uri = {"/two", 4}}};
    int32_t n_roots = w->n_known > 0;

    for (int64_t k = 0; k < w->n_known; k++) {
        n_roots = w->known[k].root + 1 > n_roots ? w->known[k].root + 1 : n_roots;
    }
    return (smi_match_in){
        .root = SM_STR("/one"),
        .roots = roots,
        .n_roots = n_roots,
        .known = w->known,
        .n_known = w->n_known,
        .found = w->found,
        .n_found = w->n_found,
        .takes_date = true,
        .asks = {w, ask_content, ask_head, ask_prefixes, ask_is_here, ask_lists, ask_keeps},
    };
}

/* ---- writing the answer ---------------------------------------------------------------------- */

static const char *const kinds[] = {"new",     "same", "moved",  "grown",
                                    "changed", "copy", "passed", "outside"};

static void write_left(const world *w, const smi_match_out *out, smi_match_left which,
                       const char *name, sm_buf *to)
{
    bool has_some = false;
    for (int64_t k = 0; k < w->n_known; k++) {
        const smi_flow_known *known = &w->known[k];
        if (out->left[k] == which && !known->is_passed && !known->is_dropped) {
            sm_buf_printf(to, "%s %s%.*s", has_some ? "" : name, known->is_displaced ? "^" : "",
                          SM_STR_ARG(known->path));
            has_some = true;
        }
    }
}

static const char *written(const world *w, const smi_match_out *out)
{
    sm_buf to = {0};

    for (int64_t i = 0; i < w->n_found; i++) {
        const smi_match_file *f = &out->files[i];
        sm_buf_printf(&to, "%s%s:%s", i ? " " : "", w->files[i].path, kinds[f->kind]);
        if (f->known >= 0 && !sm_str_is(w->known[f->known].path, w->files[i].path)) {
            sm_buf_printf(&to, "<%.*s", SM_STR_ARG(w->known[f->known].path));
        }
        sm_buf_text(&to, f->is_read ? SM_STR("+") : SM_STR(""));
    }
    for (int64_t i = 0; i < out->n_dates; i++) {
        sm_buf_printf(&to, "%s%d", i ? "," : " | dates ", out->dates[i]);
    }
    write_left(w, out, SMI_KNOWN_GONE, " | gone", &to);
    write_left(w, out, SMI_KNOWN_DROPPED, " | dropped", &to);
    write_left(w, out, SMI_KNOWN_AGAIN, " | again", &to);
    write_left(w, out, SMI_KNOWN_ELSEWHERE, " | elsewhere", &to);
    bool has_some = false;
    for (int64_t i = 0; i < w->n_found; i++) {
        if (w->files[i].is_asked) {
            sm_buf_printf(&to, "%s %s", has_some ? "" : " | asked", w->files[i].path);
            has_some = true;
        }
    }
    const sm_str text = sm_arena_str(w->arena, sm_buf_str(&to));
    sm_buf_release(&to);
    return text.data;
}

/* ---- the rules ------------------------------------------------------------------------------- */

enum {
    NAME = 1,
    PERIOD = 2,
    SKIP = 4,
    FAIL_COPIES = 8,
    REMOVE = 16,
    FAIL_GONE = 32,
    COPIES = 64,
    RELOAD = 128
};

static const struct {
    const char *known, *found;
    int how;
    const char *want; /* of an error: "! " and a part of it */
} rules[] = {
    /* nothing known: nothing is asked */
    {"", "a_1=AA b_1=BB c_1.gz=CC", 0, "a_1:new+ b_1:new+ c_1.gz:new+"},
    {"", "a_1=AA b_1=AA", COPIES, "a_1:new+ b_1:copy+"},
    /* the same: by its mark, else by its content */
    {"a_1=AA", "a_1=AA", 0, "a_1:same"},
    {"a_1=AA", "*a_1=AA", 0, "a_1:same | asked a_1"},
    {"a_1.gz=AA", "*a_1.gz=AA", 0, "a_1.gz:same | asked a_1.gz"},
    {"-a_1.gz=AA", "a_1.gz=AA", 0, "a_1.gz:same"},
    {"-a_1.gz=AA", "*a_1.gz=AA", 0, "a_1.gz:changed+ | dates 1"},
    /* changed: the date's other files too */
    {"a_1=AA b_1=BB c_2=CC", "a_1=XYZ b_1=BB c_2=CC", 0,
     "a_1:changed+ b_1:same+ c_2:same | dates 1"},
    {"a_1=AA", "a_1=AB", 0, "a_1:changed+ | dates 1 | asked a_1"},
    {"~a_1=AA", "a_1=AA", 0, "a_1:changed+ | dates 1"},
    /* new beside known ones */
    {"a_1=AA", "a_1=AA b_1=B", 0, "a_1:same b_1:new+"},
    {"a_1=AA", "a_1=AA b_1.gz=AA", 0, "a_1:same b_1.gz:new+"},
    {"a_1=AA", "a_1=AA b_1.gz=AA", COPIES, "a_1:same b_1.gz:copy<a_1+"},
    /* moved */
    {"a_1=AA", "b_1=AA", 0, "b_1:moved<a_1 | asked b_1"},
    {"a_1=AA", "b_1=AB", 0, "b_1:new+ | gone a_1 | asked b_1"},
    {"a_1=AA", "b_1=ABC", 0, "b_1:new+ | gone a_1"},
    {"a_1=AA", "a_1.gz=AA", 0, "a_1.gz:moved<a_1 | asked a_1.gz"},
    {"a_1.gz=AA", "a_1=AA", 0, "a_1:moved<a_1.gz | asked a_1"},
    {"a_1=AA", "a_1.gz=BB", 0, "a_1.gz:new+ | gone a_1"},
    {".a_1=AA", "a_1.gz=BB", 0, "a_1.gz:new+ | gone a_1 | asked a_1.gz"},
    {".a_1=AA", "a_1.gz=AA", 0, "a_1.gz:moved<a_1 | asked a_1.gz"},
    {"a_1=AA", "b_1=AA", NAME, "b_1:moved<a_1+ | dates 1 | asked b_1"},
    {"a_1=AA b_2=BB", "b_2=BB c_2=AA", 0, "b_2:same+ c_2:moved<a_1+ | dates 1,2 | asked c_2"},
    {"-a_1.gz=AA", "b_1.gz=AA", 0, "b_1.gz:new+ | gone a_1.gz"},
    /* of two with one content the first has moved, that of its date before others */
    {"a_1=AA", "b_1=AA c_1=AA", 0, "b_1:moved<a_1 c_1:new+ | asked b_1 c_1"},
    {"a_1=AA", "b_1=AA c_1=AA", COPIES, "b_1:moved<a_1 c_1:copy<a_1+ | asked b_1 c_1"},
    {"a_2=AA", "b_1=AA c_2=AA", 0, "b_1:new+ c_2:moved<a_2 | asked b_1 c_2"},
    {"a_1=AA b_1=AA", "c_1=AA", 0, "c_1:moved<a_1 | gone b_1 | asked c_1"},
    {"a_1=AA b_2=AA", "c_2=AA d_1=AA", 0, "c_2:moved<b_2 d_1:moved<a_1 | asked c_2 d_1"},
    /* swaps and chains */
    {"a_1=AA b_1=BB", "a_1=BB b_1=AA", 0, "a_1:moved<b_1 b_1:moved<a_1 | asked a_1 b_1"},
    {"a_1=AA b_2=BB", "a_1=BB b_2=AA", 0,
     "a_1:moved<b_2+ b_2:moved<a_1+ | dates 1,2 | asked a_1 b_2"},
    {"a_1=AA b_1=BB", "a_1=BB b_1=AA", NAME,
     "a_1:moved<b_1+ b_1:moved<a_1+ | dates 1 | asked a_1 b_1"},
    {"l_1=CCC l_1.1=BB l_1.2=A", "l_1=DDDD l_1.1=CCC l_1.2=BB", 0,
     "l_1:new+ l_1.1:moved<l_1 l_1.2:moved<l_1.1 | gone l_1.2 | asked l_1.1 l_1.2"},
    {"l_1=CCC l_1.1=BB ^l_1.2=A", "l_1=CCC l_1.1=BB l_1.3=A", 0,
     "l_1:same l_1.1:same l_1.3:moved<l_1.2 | asked l_1.3"},
    {"a_1=AA b_1=BB", "a_1=BB", 0, "a_1:moved<b_1 | gone a_1 | asked a_1"},
    {"a_1=AA b_1=BB", "a_1=BB b_1=XYZ", 0, "a_1:moved<b_1 b_1:new+ | gone a_1 | asked a_1"},
    /* grown */
    {"a_1=AA", "b_1=AAB", 0, "b_1:grown<a_1+ | dates 1"},
    {"a_1=AA", "b_1.gz=AAB", 0, "b_1.gz:grown<a_1+ | dates 1"},
    {".a_1=AA", "b_1=AAB", 0, "b_1:grown<a_1+ | dates 1"},
    {"a_1=A#5000", "b_1=A#5000B", 0, "b_1:grown<a_1+ | dates 1"},
    {"a_1=A#5000", "b_1=A#4999BB", 0, "b_1:new+ | gone a_1"},
    {"a_1=AA", "b_2=AAB", 0, "b_2:grown<a_1+ | dates 1,2"},
    {"a_1=A b_1=AA c_1=AAX", "d_1=AAB", 0,
     "d_1:grown<b_1+ | dates 1 | dropped a_1 c_1 | asked d_1"},
    {"a_1=AA b_2=AA", "d_2=AAB", 0, "d_2:grown<b_2+ | dates 2 | gone a_1"},
    {"a_1=AA", "b_1=AAB c_1=AAC", 0, "b_1:grown<a_1+ c_1:new+ | dates 1"},
    {"a_1=AA", "a_1=AAB", 0, "a_1:changed+ | dates 1"},
    {"a_1=AA b_1=BB", "a_1=AA b_1=BB c_1=AAB", 0, "a_1:same b_1:same c_1:new+"},
    /* grown, where a path is another file's by now: of the source, of the grown file, of both */
    {"a_1=AA b_1=BB", "a_1=BB b_1=AAX", 0, "a_1:moved<b_1+ b_1:grown<a_1+ | dates 1 | asked a_1"},
    {"a_1=AA b_2=BB", "a_1=BB b_2=AAX", 0, "a_1:moved<b_2+ b_2:grown<a_1+ | dates 1,2 | asked a_1"},
    {"a_1=AA b_1=BB", "a_1=BB c_1=AAX", 0, "a_1:moved<b_1+ c_1:grown<a_1+ | dates 1 | asked a_1"},
    {"a_1=AA b_1=BB", "a_1=BBX b_1=AA", 0, "a_1:grown<b_1+ b_1:moved<a_1+ | dates 1 | asked b_1"},
    {"a_1=AA ^b_1=BB", "a_1=AA b_1=BBX", 0, "a_1:same+ b_1:grown+ | dates 1"},
    {"a_1=AA b_1=BB c_1=CC", "a_1=CCX b_1=AA", 0,
     "a_1:grown<c_1+ b_1:moved<a_1+ | dates 1 | dropped b_1 | asked b_1"},
    {"a_1=AA b_1=BB", "a_1=BBX b_1=AAX", 0, "a_1:changed+ b_1:changed+ | dates 1"},
    {"a_1=AA", "a_1=BB b_1=AAX", 0, "a_1:changed+ b_1:new+ | dates 1 | asked a_1"},
    /* without lines: never moved, grown or copied */
    {"a_1=", "b_1=", 0, "b_1:new+ | gone a_1"},
    {"a_1=_", "b_1=_", 0, "b_1:new+ | gone a_1"},
    {"a_1=_", "b_1=_AA", 0, "b_1:new+ | gone a_1"},
    {"a_1=_", "a_1=_ b_1=_", COPIES, "a_1:same b_1:new+"},
    {"a_1=_", "a_1=_ b_1=_ c_1=_", SKIP, "a_1:same b_1:new+ c_1:new+ | asked b_1 c_1"},
    /* gone, and what becomes of it */
    {"a_1=AA b_1=BB", "b_1=BB", 0, "b_1:same | gone a_1"},
    {"a_1=AA b_1=BB", "b_1=BB", REMOVE, "b_1:same+ | dates 1 | dropped a_1"},
    {"a_1=AA b_1=BB", "b_1=BB", FAIL_GONE, "! \"a_1\" was loaded and is no longer there"},
    {"a_1=AA c_1=CC", "b_1=BB", FAIL_GONE, "! \"a_1\" and 1 more were loaded"},
    {"c_1=CC a_1=AA", "b_1=BB", FAIL_GONE, "! \"a_1\" and 1 more were loaded"},
    {"a_1=", "b_1=BB", REMOVE, "b_1:new+ | dropped a_1"},
    {"a_1=AA b_1=BB", "b_1=XYZ", 0, "b_1:changed+ | dates 1 | dropped a_1"},
    {"a_1=AA", "b_1=AA", REMOVE, "b_1:moved<a_1 | asked b_1"},
    {"a_1=AA", "b_1=AA", FAIL_GONE, "b_1:moved<a_1 | asked b_1"},
    {"~a_1=AA", "b_1=AA", 0, "b_1:new+ | gone a_1"},
    {"~a_1=AA b_1=BB", "a_1=BB", 0, "a_1:moved<b_1+ | dates 1 | dropped a_1 | asked a_1"},
    /* dropped, and back */
    {"!a_1=AA b_1=BB", "a_1=AA b_1=BB", 0, "a_1:new+ b_1:same"},
    {"!a_1=AA b_1=BB", "b_1=BB c_1=AA", 0, "b_1:same c_1:new+"},
    {"!a_1=AA b_1=BB", "b_1=BB", FAIL_GONE, "b_1:same"},
    /* twins */
    {"", "a_1=AA a_1.gz=AA", 0, "a_1:new+ a_1.gz:passed | asked a_1 a_1.gz"},
    {"", "a_1=AA %a_1.gz=A", 0, "a_1:new+ a_1.gz:passed | asked a_1 a_1.gz"},
    {"", "a_1=AA a_1.gz=AB", 0, "! \"a_1\" and \"a_1.gz\" have the same name"},
    {"", "a_1.gz=AA a_1.zst=AA", 0, "a_1.gz:new+ a_1.zst:passed | asked a_1.gz a_1.zst"},
    {"", "%a_1.gz=A a_1.zst=AA", 0, "a_1.gz:passed a_1.zst:new+ | asked a_1.gz a_1.zst"},
    {"", "a_1=AA a_1.gz=AA a_1.zst=AB", 0, "! \"a_1\" and \"a_1.zst\" have the same name"},
    {"", "a_1.gz=BB a_1.gz.gz=AA", 0, "a_1.gz:new+ a_1.gz.gz:new+"},
    {"a_1=AA", "a_1=AA a_1.gz=AA", 0, "a_1:same a_1.gz:passed | asked a_1.gz"},
    {"a_1=AA ?a_1.gz=AA", "a_1=AA a_1.gz=AA", 0, "a_1:same a_1.gz:passed"},
    {"a_1=AA ?~a_1.gz=A", "a_1=AA %a_1.gz=A", 0, "a_1:same a_1.gz:passed"},
    {"a_1=AA ?a_1.gz=AA", "a_1.gz=AA", 0, "a_1.gz:moved<a_1"},
    {"a_1.gz=AA", "a_1=AA a_1.gz=AA", 0, "a_1:passed a_1.gz:same | asked a_1"},
    {"-a_1.gz=AA", "a_1=AA a_1.gz=AA", 0, "a_1:passed a_1.gz:same | asked a_1 a_1.gz"},
    {"a_1.gz=AA", "a_1=AA %a_1.gz=A", 0, "a_1:moved<a_1.gz a_1.gz:passed | asked a_1 a_1.gz"},
    {"a_1.gz=AA", "a_1=AAB %a_1.gz=AX", 0,
     "a_1:new+ a_1.gz:passed | dates 1 | dropped a_1.gz | asked a_1 a_1.gz"},
    {"a_1=AA a_1.gz=AA b_1=BB", "a_1=AA a_1.gz=AA b_1=BB", 0,
     "a_1:same+ a_1.gz:passed b_1:same+ | dates 1 | dropped a_1.gz"},
    {"a_1.gz= b_1=BB c_1=CC", "a_1=AA a_1.gz=AA b_1=BB", 0,
     "a_1:new+ a_1.gz:passed b_1:same | gone c_1 | dropped a_1.gz | asked a_1 a_1.gz"},
    {"b_1=AA", "a_1=AA a_1.gz=AA", 0, "a_1:moved<b_1 a_1.gz:passed | asked a_1 a_1.gz"},
    /* copies that are not loaded */
    {"a_1=AA", "a_1=AA b_1=AA", SKIP, "a_1:same b_1:passed<a_1 | asked b_1"},
    {"a_1=AA ?b_1=AA", "a_1=AA b_1=AA", SKIP, "a_1:same b_1:passed<a_1"},
    {"a_1=AA ?b_1=AA", "b_1=AA", SKIP, "b_1:moved<a_1"},
    {"a_1=AA ?b_1=AA", "a_1=AA b_1=AA", 0, "a_1:same b_1:new+"},
    {"a_1=AA ?b_1=AA", "a_1=AA b_1=AA", COPIES, "a_1:same b_1:copy<a_1+"},
    {"", "a_1=AA b_2=AA c_1=C", SKIP, "a_1:new+ b_2:passed c_1:new+ | asked a_1 b_2"},
    {"", "a_1=AA b_1.gz=AA c_1.gz=C", SKIP,
     "a_1:new+ b_1.gz:passed c_1.gz:new+ | asked a_1 b_1.gz"},
    {".a_1=AA", "a_1=AA b_1.gz=AA c_1=XYZ", SKIP,
     "a_1:same b_1.gz:passed<a_1 c_1:new+ | asked b_1.gz"},
    {"a_1=AA", "a_1=BB b_1=BB", SKIP, "a_1:changed+ b_1:passed<a_1 | dates 1 | asked a_1 b_1"},
    {"a_1=AA", "a_1=AA b_1=AA", FAIL_COPIES, "! \"b_1\" has the same content as \"a_1\""},
    {"", "a_1=AA b_1=AA c_1=CC d_1=CC", FAIL_COPIES, "! \"b_1\" has the same content as \"a_1\""},
    {"a_1=AA", "b_1=AA", FAIL_COPIES, "b_1:moved<a_1 | asked b_1"},
    {"a_1=AA", "a_1=AA b_1=AB", FAIL_COPIES, "a_1:same b_1:new+"},
    /* the period is days 2 to 4 */
    {"a_1=AA b_2=BB", "b_2=BB", PERIOD, "b_2:same | elsewhere a_1"},
    {"a_1=AA b_2=BB", "a_1=XY b_2=BB", PERIOD, "a_1:outside b_2:same | elsewhere a_1"},
    {"", "a_1=AA a_1.gz=X b_2=BB", PERIOD, "a_1:outside a_1.gz:outside b_2:new+"},
    {"a_1=AA", "a_1=AA b_2=AA", PERIOD, "a_1:outside b_2:new+ | elsewhere a_1"},
    {"a_1=AA", "a_1=AA b_2=AA", PERIOD | COPIES, "a_1:outside b_2:copy<a_1+ | elsewhere a_1"},
    {"a_1=AA", "a_1=AA b_2=AA", PERIOD | SKIP,
     "a_1:outside b_2:passed<a_1 | elsewhere a_1 | asked b_2"},
    {"a_1=AA", "b_2=AA", PERIOD, "b_2:moved<a_1+ | dates 1,2 | asked b_2"},
    {"a_1=AA c_1=CC d_1=DD e_1=", "b_2=AA c_1=CC f_1=FF", PERIOD,
     "b_2:moved<a_1+ c_1:changed+ f_1:new+ | dates 1,2 | dropped d_1 e_1 | asked b_2"},
    {"a_1=AA", "b_2=AA c_1=CC c_1.gz=CC", PERIOD,
     "b_2:moved<a_1+ c_1:new+ c_1.gz:passed | dates 1,2 | asked b_2 c_1 c_1.gz"},
    {"a_1=AA", "b_2=AAB", PERIOD, "b_2:grown<a_1+ | dates 1,2"},
    {"a_2=AA", "a_5=AA b_2=B", PERIOD, "a_5:outside b_2:new+ | gone a_2"},
    /* copies outside of it, of a date that is replaced, and files there that have changed since */
    {"a_1=AA b_2=BB", "b_2=BB c_1=BB d_3=AA", PERIOD | SKIP,
     "b_2:same c_1:passed<b_2 d_3:moved<a_1+ | dates 1,3 | asked c_1 d_3"},
    {"a_1=AA b_2=BB", "b_2=BB c_1=BB d_3=AA", PERIOD | FAIL_COPIES,
     "! \"c_1\" has the same content as \"b_2\""},
    {"a_1=AA b_2=XX ?c_1=XX", "b_2=XX c_1=XX d_3=AA", PERIOD | SKIP,
     "b_2:same c_1:passed<b_2 d_3:moved<a_1+ | dates 1,3 | asked d_3"},
    {"a_1=AA b_2=XX ?c_1=XX", "b_2=YY c_1=XX d_3=AA", PERIOD | SKIP,
     "b_2:changed+ c_1:new+ d_3:moved<a_1+ | dates 1,2,3 | asked b_2 d_3"},
    {"a_1=AA b_1=XX", "b_1=YY c_2=XX d_3=AA", PERIOD | SKIP,
     "b_1:changed+ c_2:new+ d_3:moved<a_1+ | dates 1,3 | asked c_2 d_3"},
    {"a_1=AA b_1=XX", "b_1=XX c_2=XX d_3=AA", PERIOD | SKIP,
     "b_1:changed+ c_2:passed<b_1 d_3:moved<a_1+ | dates 1,3 | asked c_2 d_3"},
    /* files of another root are its own, but for their dates and contents */
    {"a_1=AA 2b_1=BB", "a_1=AA", 0, "a_1:same | elsewhere b_1"},
    {"a_1=AA 2a_1=BB", "a_1=AA b_1=BB", COPIES, "a_1:same b_1:copy<a_1+ | elsewhere a_1"},
    {"a_1=AA 2b_1=BB 2c_2=CC", "a_1=XYZ", 0, "a_1:changed+ | dates 1 | again b_1 | elsewhere c_2"},
    /* what is read again there may be another content than the one that is known */
    {"a_1=AA 2b_1=BB", "a_1=XYZ c_3=BB", SKIP,
     "a_1:changed+ c_3:passed<b_1 | dates 1 | again b_1 | asked c_3"},
    {"a_1=AA 2/b_1=BB", "a_1=XYZ c_3=BB", SKIP,
     "a_1:changed+ c_3:new+ | dates 1 | again b_1 | asked c_3"},
    {"a_1=AA 2/b_1=BB", "a_1=XYZ c_3=BB", FAIL_COPIES,
     "a_1:changed+ c_3:new+ | dates 1 | again b_1 | asked c_3"},
    {"a_1=AA 2b_1=BB", "a_1=XYZ c_3=BB", COPIES,
     "a_1:changed+ c_3:copy<b_1+ | dates 1 | again b_1 | asked c_3"},
    {"a_1=AA 2/b_1=BB", "a_1=XYZ c_3=BB", COPIES,
     "a_1:changed+ c_3:new+ | dates 1 | again b_1 | asked c_3"},
    {"a_1=AA 2/b_1=BB", "a_1=AA c_3=BB", SKIP,
     "a_1:same c_3:passed<b_1 | elsewhere b_1 | asked c_3"},
    /* all that is known is read again, and an original is what it has by now */
    {"b_1=XX", "a_1=AA b_1=XX c_2=XX", PERIOD | SKIP | RELOAD,
     "a_1:outside b_1:changed+ c_2:passed<b_1 | dates 1 | asked c_2"},
    {"b_1=XX", "b_1=YY c_2=XX", PERIOD | SKIP | RELOAD, "b_1:changed+ c_2:new+ | dates 1"},
    {"b_1=XX", "b_1=YY c_2=YY", PERIOD | SKIP | RELOAD,
     "b_1:changed+ c_2:passed<b_1 | dates 1 | asked b_1 c_2"},
    {"b_1=XX", "c_2=ABC", PERIOD | RELOAD, "c_2:new+ | elsewhere b_1"},
    {"2b_1=BB", "c_3=BB", SKIP | RELOAD, "c_3:passed<b_1 | again b_1 | asked c_3"},
    {"2/b_1=BB", "c_3=BB", SKIP | RELOAD, "c_3:new+ | again b_1"},
};

static sm_status match_in(world *w, const smi_match_in *in, smi_match_out *out, sm_error *e)
{
    smi_match_read reads[MOST] = {0};

    SM_TRY(smi_match(in, w->arena, out, e));
    for (int64_t i = 0; i < w->n_found; i++) {
        reads[i].content = content_of(w->files[i].text, w->files[i].len);
        reads[i].n_lines = reads[i].content.has_lines;
    }
    return smi_match_copies(in, reads, w->arena, out, e);
}

static void test_rules(void **state)
{
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        world w = {.arena = sm_arena_new(NULL)};
        smi_match_out out = {0};
        sm_error e = {0};
        const int how = rules[r].how;

        read_known(&w, rules[r].known);
        read_found(&w, rules[r].found);
        smi_match_in in = input_of(&w);
        in.takes_name = how & NAME;
        in.has_period = how & PERIOD;
        in.is_reload = how & RELOAD;
        in.first_day = 2;
        in.last_day = 4;
        in.copies = how & SKIP ? SMI_COPIES_SKIP : how & FAIL_COPIES ? SMI_COPIES_FAIL : 0;
        in.gone = how & REMOVE ? SMI_GONE_REMOVE : how & FAIL_GONE ? SMI_GONE_FAIL : 0;
        const sm_status st =
            how & COPIES ? match_in(&w, &in, &out, &e) : smi_match(&in, w.arena, &out, &e);
        if (rules[r].want[0] == '!') {
            if (st != SM_INVALID || !strstr(e.what, rules[r].want + 2)) {
                fail_msg("%s -> %s: %s", rules[r].known, rules[r].found, e.what);
            }
            assert_true(e.todo[0] != '\0');
        } else {
            assert_ok(st, &e);
            const char *got = written(&w, &out);
            if (strcmp(got, rules[r].want) != 0) {
                fail_msg("%s -> %s:\n  got  %s\n  want %s", rules[r].known, rules[r].found, got,
                         rules[r].want);
            }
        }
        sm_arena_free(w.arena);
    }
}

/* ---- whose folder it is ---------------------------------------------------------------------- */

enum { ONE = 1, TWO = 2, HERE = 4 }; /* old places that still list; /two is the folder itself */

static const struct {
    const char *known, *found, *place;
    int lists, how;
    smi_root_choice choice;
    const char *want; /* the root, + where it has moved; then as above; or "! " and an error */
} folders[] = {
    {"", "a_1=AA", "/new", 0, 0, 0, "0 a_1:new+"},
    {"a_1=AA", "a_1=AA", "/one", 0, 0, 0, "0 a_1:same"},
    {"a_1=AA 2a_1=AB", "a_1=AB", "/two", ONE | TWO, 0, 0, "1 a_1:same | elsewhere a_1"},
    /* the same folder under another name, whatever its files have become */
    {"a_1=AA 2a_1=AB", "a_1=ABC", "/new", ONE | TWO | HERE, 0, 0,
     "1+ a_1:changed+ | dates 1 | again a_1"},
    {"a_1=AA 2a_1=AB", "b_2=BB", "/new", ONE | TWO | HERE, 0, SMI_ROOT_OTHER,
     "1+ b_2:new+ | gone a_1 | elsewhere a_1 | asked b_2"},
    {"a_1=AA 2a_1=AB", "a_1=AA", "/one", ONE | TWO | HERE, 0, 0, "0 a_1:same | elsewhere a_1"},
    /* folders in one another: a file of both is refused */
    {"a_1=AA", "one/a_1=AA", "/", ONE, 0, 0, "! the file was loaded before, as one of \"/one\""},
    {"x/a_1=AA", "a_1=AAA", "/one/x", ONE, 0, 0,
     "! the file was loaded before, as one of \"/one\""},
    {"x/a_1=AA", "a_1=AAA", "/one/x", ONE, 0, SMI_ROOT_OTHER,
     "! the file was loaded before, as one of \"/one\""},
    {"!x/a_1=AA", "a_1=AA", "/one/x", ONE, 0, 0, "1 a_1:new+"},
    {"x/a_1=AA", "b_1=BB", "/one/x", ONE, 0, 0, "1 b_1:new+ | elsewhere x/a_1"},
    {"x/a_1=AA", "a_1=BB", "/one/y", ONE, 0, 0, "1 a_1:new+ | elsewhere x/a_1"},
    {"x/a_1=AA", "a_1=BB", "/onex", ONE, 0, 0, "1 a_1:new+ | elsewhere x/a_1"},
    /* all that both have is equal */
    {"a_1=AA", "*a_1=AA b_1=BB", "/new", ONE, 0, 0, "0+ a_1:same b_1:new+ | asked a_1"},
    {"a_1=AA", "*a_1=AA", "/new", 0, 0, 0, "0+ a_1:same | asked a_1"},
    {"a_1=AA b_1=BB", "*a_1=AA", "/new", 0, 0, 0, "0+ a_1:same | gone b_1 | asked a_1"},
    {"a_1=AA", "a_1=AA", "/new", ONE, 0, 0, "0+ a_1:same"},
    {"a_1.gz=AA", "*a_1.gz=AA", "/new", ONE, 0, 0, "0+ a_1.gz:same | asked a_1.gz"},
    {"a_1=AA 2b_1=BB", "*b_1=BB", "/new", 0, 0, 0, "1+ b_1:same | elsewhere a_1 | asked b_1"},
    {"?a_1.gz=AA a_1=AA", "*a_1.gz=AA", "/new", 0, 0, 0, "0+ a_1.gz:moved<a_1 | asked a_1.gz"},
    /* some differ: nothing is read where a length says it */
    {"a_1=AA", "a_1=ABC b_1=BB", "/new", ONE, 0, 0, "1 a_1:new+ b_1:new+ | elsewhere a_1"},
    {"a_1=AA", "*a_1=AB", "/new", ONE, 0, 0, "1 a_1:new+ | elsewhere a_1 | asked a_1"},
    {"a_1=AA b_1=BB", "a_1=AAA *b_1=BB", "/new", 0, 0, 0,
     "! \"/new\" has other files than \"/one\" under the same names"},
    {"a_1=AA 2a_1=AB", "a_1=AAAA", "/new", ONE, 0, 0, "! \"/new\" has other files than \"/two\""},
    {"a_1=AA 2a_1=AB", "a_1=AAAA", "/new", ONE | TWO, 0, 0, "2 a_1:new+ | elsewhere a_1 a_1"},
    /* none in common */
    {"a_1=AA", "b_1=BB", "/new", ONE, 0, 0, "1 b_1:new+ | elsewhere a_1"},
    {"a_1=AA", "b_1=BB", "/new", 0, 0, 0, "0+ b_1:new+ | gone a_1 | asked b_1"},
    {"a_1=AA", "b_1=AA", "/new", 0, 0, 0, "0+ b_1:moved<a_1 | asked b_1"},
    {"a_1=AA 2b_1=BB", "c_1=CC", "/new", ONE, 0, 0,
     "1+ c_1:new+ | gone b_1 | elsewhere a_1 | asked c_1"},
    {"a_1=AA 2b_1=BB", "c_1=CC", "/new", 0, 0, 0, "! \"/new\" may be \"/two\", or another folder"},
    {"a_1= b_1=_", "a_1= b_1=_", "/new", ONE, 0, 0, "1 a_1:new+ b_1:new+ | elsewhere a_1 b_1"},
    {"~a_1=AA", "a_1=AA", "/new", ONE, 0, 0, "1 a_1:new+ | elsewhere a_1"},
    /* only the mark is known */
    {"-a_1.gz=AA", "a_1.gz=AA", "/new", ONE, 0, 0, "0+ a_1.gz:same"},
    {"-a_1.gz=AA", "a_1.gz=AB", "/new", ONE, 0, 0, "1 a_1.gz:new+ | elsewhere a_1.gz"},
    /* outside the period lengths count, and the contents of a few */
    {"a_1=AA", "*a_1=AA b_2=BB", "/new", ONE, PERIOD, 0,
     "0+ a_1:outside b_2:new+ | elsewhere a_1 | asked a_1"},
    {"a_1=AA", "*a_1=AB b_2=BB", "/new", ONE, PERIOD, 0,
     "1 a_1:outside b_2:new+ | elsewhere a_1 | asked a_1"},
    {"a_1=AA b_2=BB", "*a_1=AB *b_2=BB", "/new", ONE, PERIOD, 0,
     "0+ a_1:outside b_2:same | elsewhere a_1 | asked b_2"},
    {"a_1=AA b_2=BB", "*a_1=ABC *b_2=BB", "/new", ONE, PERIOD, 0,
     "1 a_1:outside b_2:new+ | elsewhere a_1 b_2"},
    /* the user says */
    {"a_1=AA", "a_1=AAA", "/new", 0, 0, SMI_ROOT_SAME, "0+ a_1:changed+ | dates 1"},
    {"a_1=AA", "a_1=AAA", "/new", ONE, 0, SMI_ROOT_SAME, "0+ a_1:changed+ | dates 1"},
    {"a_1=AA", "a_1=AAA", "/new", 0, 0, SMI_ROOT_OTHER, "1 a_1:new+ | elsewhere a_1"},
    {"a_1=AA", "a_1=AA", "/new", 0, 0, SMI_ROOT_OTHER, "1 a_1:new+ | elsewhere a_1"},
    {"a_1=AA", "a_1=AA", "/one", 0, 0, SMI_ROOT_OTHER, "0 a_1:same"},
    {"", "a_1=AA", "/new", 0, 0, SMI_ROOT_SAME, "0 a_1:new+"},
    {"a_1=AA 2a_1=AB", "a_1=AAAA", "/new", ONE, 0, SMI_ROOT_SAME,
     "1+ a_1:changed+ | dates 1 | again a_1"},
    {"a_1=AA 2a_1=AB", "*a_1=AA", "/new", ONE | TWO, 0, SMI_ROOT_SAME,
     "0+ a_1:same | elsewhere a_1 | asked a_1"},
    {"a_1=AA 2a_1=AB", "a_1=AAAA", "/new", ONE | TWO, 0, SMI_ROOT_SAME,
     "! \"/new\" may be any of 2 folders"},
};

static void test_folders(void **state)
{
    for (size_t r = 0; r < sizeof(folders) / sizeof(folders[0]); r++) {
        world w = {.arena = sm_arena_new(NULL),
                   .lists = {folders[r].lists & ONE, folders[r].lists & TWO},
                   .is_here = {false, folders[r].lists & HERE}};
        smi_match_out out = {0};
        sm_error e = {0};
        const char *want = folders[r].want;

        read_known(&w, folders[r].known);
        read_found(&w, folders[r].found);
        smi_match_in in = input_of(&w);
        in.root = sm_str_of(folders[r].place);
        in.choice = folders[r].choice;
        in.has_period = folders[r].how & PERIOD;
        in.first_day = 2;
        in.last_day = 4;
        const sm_status st = smi_match(&in, w.arena, &out, &e);
        if (want[0] == '!') {
            if (st != SM_INVALID || !strstr(e.what, want + 2)) {
                fail_msg("%s at %s: %s", folders[r].found, folders[r].place, e.what);
            }
            assert_true(e.todo[0] != '\0');
        } else {
            assert_ok(st, &e);
            const char *got = sm_arena_printf(w.arena, "%d%s %s", out.root,
                                              out.is_root_moved ? "+" : "", written(&w, &out));
            if (strcmp(got, want) != 0) {
                fail_msg("%s -> %s at %s:\n  got  %s\n  want %s", folders[r].known,
                         folders[r].found, folders[r].place, got, want);
            }
        }
        sm_arena_free(w.arena);
    }
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* size, modified, changed, inode, etag */
static const struct {
    smi_flow_mark then, now;
    bool is_same;
} marks[] = {
    {{5, 1, 2, 3, {"", 0}}, {5, 1, 2, 3, {"", 0}}, true},
    {{5, 1, 2, 3, {"", 0}}, {6, 1, 2, 3, {"", 0}}, false},
    {{5, 1, 2, 3, {"", 0}}, {5, 9, 2, 3, {"", 0}}, false},
    {{5, 1, 2, 3, {"", 0}}, {5, 1, 9, 3, {"", 0}}, false}, /* cp -p over it, touch -r */
    {{5, 1, 2, 3, {"", 0}}, {5, 1, 2, 9, {"", 0}}, false},
    {{5, 1, 0, 0, {"", 0}}, {5, 1, 2, 3, {"", 0}}, true}, /* of older books */
    {{5, 1, 0, 0, {"", 0}}, {5, 2, 2, 3, {"", 0}}, false},
    {{5, 1, 0, 0, {"ab", 2}}, {5, 9, 0, 0, {"ab", 2}}, true}, /* put again, the same */
    {{5, 1, 0, 0, {"ab", 2}}, {5, 1, 0, 0, {"cd", 2}}, false},
    {{5, 1, 0, 0, {"ab", 2}}, {6, 1, 0, 0, {"ab", 2}}, false},
    {{5, 1, 0, 0, {"", 0}}, {5, 1, 0, 0, {"ab", 2}}, true},
    {{5, 1, 0, 0, {"ab", 2}}, {5, 1, 2, 3, {"", 0}}, false}, /* from S3 to a disk */
};

static void test_marks(void **state)
{
    for (size_t m = 0; m < sizeof(marks) / sizeof(marks[0]); m++) {
        world w = {.arena = sm_arena_new(NULL)};
        smi_match_out out = {0};
        sm_error e = {0};

        read_known(&w, "a_1=AAAAA");
        read_found(&w, "a_1=AAAAA");
        w.known[0].mark = marks[m].then;
        w.found[0].mark = marks[m].now;
        const smi_match_in in = input_of(&w);
        assert_ok(smi_match(&in, w.arena, &out, &e), &e);
        const bool is_size = marks[m].then.size_bytes == marks[m].now.size_bytes;
        assert_int_equal(out.files[0].kind, is_size ? SMI_MATCH_SAME : SMI_MATCH_CHANGED);
        assert_int_equal(w.files[0].is_asked, is_size && !marks[m].is_same);
        assert_int_equal(out.has_marks, is_size && !marks[m].is_same);
        assert_int_equal(out.has_news, !is_size);
        sm_arena_free(w.arena);
    }
}

/* ---- many files ------------------------------------------------------------------------------ */

#define MANY 100000

/* What loops over files for each file would not end with here: all renamed, with contents of their
 * own or all alike; all gone beside new ones; all new, and copies not wanted. */
typedef enum crowd { RENAMED, RENAMED_ALIKE, GONE, ALL_NEW } crowd;

static const struct {
    crowd what;
    int64_t n_found, n_asked, n_heads;
    smi_match_kind kind;
} crowds[] = {
    {RENAMED, MANY, MANY, 0, SMI_MATCH_MOVED},
    {RENAMED_ALIKE, MANY, MANY, 0, SMI_MATCH_MOVED},
    {GONE, 100, 0, 100, SMI_MATCH_NEW},
    {ALL_NEW, MANY, 0, MANY, SMI_MATCH_NEW},
};

typedef struct many {
    bool is_alike;
    int64_t n_asked, n_heads;
} many;

static sm_content nth_content(int64_t i, int64_t bytes)
{
    return (sm_content){.hash = {.low = sm_mix64((uint64_t)i), .high = 1},
                        .bytes = bytes,
                        .head = sm_hash64(&i, sizeof(i)),
                        .has_lines = true};
}

static sm_status nth_asked(void *ctx, int64_t i, sm_content *out, bool *is_whole, sm_error *e)
{
    many *m = ctx;
    m->n_asked++;
    *out = nth_content(m->is_alike ? 0 : i, 5000);
    *is_whole = true;
    return SM_OK;
}

static sm_status nth_head(void *ctx, int64_t i, uint8_t *out, size_t *n, sm_error *e)
{
    many *m = ctx;
    m->n_heads++;
    i += 2 * MANY; /* none that is known */
    memcpy(out, &i, sizeof(i));
    *n = sizeof(i);
    return SM_OK;
}

static void test_crowds(void **state)
{
    static const smi_flow_root root = {.uri = {"/one", 4}};

    for (size_t c = 0; c < sizeof(crowds) / sizeof(crowds[0]); c++) {
        sm_arena *a = sm_arena_new(NULL);
        many m = {.is_alike = crowds[c].what == RENAMED_ALIKE};
        smi_flow_known *known = SM_NEW_ARRAY(a, smi_flow_known, MANY);
        smi_match_found *found = SM_NEW_ARRAY(a, smi_match_found, MANY);
        smi_match_out out = {0};
        smi_flow_known *next = NULL;
        int64_t n_next = 0;
        sm_error e = {0};

        for (int64_t i = 0; i < MANY; i++) {
            const sm_content content = nth_content(m.is_alike ? 0 : i, 5000);
            known[i] = (smi_flow_known){.path = sm_arena_strf(a, "a%08d", (int)i),
                                        .mark = {.size_bytes = 5000},
                                        .has_identity = true,
                                        .hash = content.hash,
                                        .content_bytes = content.bytes,
                                        .head = content.head,
                                        .n_lines = 1,
                                        .has_date = true,
                                        .date = (int32_t)(i % 365)};
            found[i] =
                (smi_match_found){.path = sm_arena_strf(a, "b%08d", (int)i),
                                  .mark = {.size_bytes = crowds[c].what == GONE ? 7000 : 5000},
                                  .has_date = true,
                                  .date = (int32_t)(i % 365)};
        }
        const smi_match_in in = {
            .root = root.uri,
            .roots = &root,
            .n_roots = 1,
            .known = known,
            .n_known = crowds[c].what == ALL_NEW ? 0 : MANY,
            .found = found,
            .n_found = crowds[c].n_found,
            .takes_date = true,
            .copies = crowds[c].what == ALL_NEW ? SMI_COPIES_SKIP : SMI_COPIES_KEEP,
            .asks = {&m, nth_asked, nth_head, ask_prefixes, NULL},
        };
        assert_ok(smi_match(&in, a, &out, &e), &e);
        assert_int_equal(m.n_asked, crowds[c].n_asked);
        assert_int_equal(m.n_heads, crowds[c].n_heads);
        for (int64_t i = 0; i < in.n_found; i++) {
            assert_int_equal(out.files[i].kind, crowds[c].kind);
        }
        smi_match_read *reads = SM_NEW_ARRAY(a, smi_match_read, MANY);
        smi_match_next(&in, &out, reads, a, &next, &n_next);
        assert_int_equal(n_next, crowds[c].what == GONE ? MANY + 100 : MANY);
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_crowds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
