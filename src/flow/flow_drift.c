/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_drift.c: tells how the keys of a source's lines differ from those of the run before:
 * which came, which went, and which have values of another type. Called by loads.
 *
 * Seen     The keys of a run are those that its load has read: of columns, outside of lists and
 *          MAPs, and those that no column takes, each with the number of its lines. They are kept
 *          in the books of the table, so that rows and keys appear in one commit, and a RESTORE
 *          leads back to the keys of its version.
 * Came     It has lines now and had none. A field of an object that came is not told apart.
 * Went     It had lines and has none, in a run that kept lines.
 * Type     The values that no column takes are of another type than they were. Or of a column's
 *          values more than FEW_PERCENT do not fit its type, and before it were not so many; their
 *          lines are refused.
 * None     is told of the first run, of one without lines, of one that makes the table anew (it
 *          reads what earlier runs have read), and where unknown keys are not looked for in all
 *          objects. Of unknown keys the first 1,000 are known: where a run had so many, others are
 *          not told to come or go by it. */
#include <inttypes.h>

#include "flow/flow_int.h"

#define MOST_UNKNOWN 1000 /* that a scan names */
#define FEW_PERCENT  1

/* A key of the lines that a run has read. */
typedef struct seen_key {
    sm_str path;
    sm_str type; /* of its column; "": no column takes it */
    int64_t lines, misfits;
    uint32_t kinds; /* of a column: of the values that do not fit */
    bool is_new;    /* no column takes it, and it came after the first run */
} seen_key;

struct smi_flow_seen {
    seen_key *keys;
    int64_t n_keys, cap_keys;
    int64_t n_lines; /* that were kept */
    bool is_cut;     /* there are more unknown keys */
};

/* ---- what a run has seen --------------------------------------------------------------------- */

static void add_key(sm_arena *a, smi_flow_seen *s, seen_key key)
{
    SM_ASSERT(key.lines >= 0 && key.misfits >= 0);
    s->keys = sm_arena_grow(a, s->keys, s->n_keys, &s->cap_keys, sizeof(*s->keys));
    s->keys[s->n_keys++] = key;
}

void smi_flow_drift_take(sm_run *r, int32_t task, const sm_exec_report *x)
{
    sm_arena *a = r->arena;
    smi_flow_seen *s = SM_NEW(a, smi_flow_seen);

    SM_ASSERT(r->p->tasks[task].kind == SM_TASK_LOAD); /* it has one scan */
    s->n_lines = x->counts.rows;
    s->is_cut = x->n_unknown >= MOST_UNKNOWN;
    for (int64_t i = 0; i < x->n_keys; i++) {
        const sm_known_key *k = &x->keys[i];
        add_key(a, s,
                (seen_key){.path = sm_arena_str(a, k->path),
                           .type = sm_arena_str(a, k->type),
                           .lines = k->lines,
                           .misfits = k->misfits,
                           .kinds = k->misfit_kinds});
    }
    for (int64_t i = 0; i < x->n_unknown; i++) {
        const sm_unknown_key *k = &x->unknown[i];
        add_key(a, s,
                (seen_key){.path = sm_arena_str(a, k->path), .lines = k->lines, .kinds = k->kinds});
    }
    r->tasks[task].seen = x->n_keys > 0 ? s : NULL;
}

static bool is_there(const seen_key *k)
{
    return k && (k->lines > 0 || k->misfits > 0);
}

static bool is_unknown(const seen_key *k)
{
    return k->type.len == 0;
}

/* ---- in the books ---------------------------------------------------------------------------- */

static sm_str print_seen(const smi_flow_seen *s, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(s->n_lines > 0); /* a run without lines has seen nothing */
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "lines", s->n_lines);
    if (s->is_cut) {
        sm_json_set_bool(&w, "cut", true);
    }
    sm_json_set_array(&w, "keys");
    for (int64_t i = 0; i < s->n_keys; i++) {
        const seen_key *k = &s->keys[i];
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "path", k->path);
        if (k->type.len > 0) {
            sm_json_set_text(&w, "type", k->type);
        }
        sm_json_set_i64(&w, "lines", k->lines);
        if (k->misfits > 0) {
            sm_json_set_i64(&w, "misfits", k->misfits);
        }
        if (k->kinds) {
            sm_json_set_i64(&w, "kinds", k->kinds);
        }
        if (k->is_new) {
            sm_json_set_bool(&w, "new", true);
        }
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static int64_t number_of(const sm_json *o, const char *key)
{
    int64_t n = 0;
    return sm_json_i64(sm_json_get(o, key), &n) ? n : 0;
}

/* What the books say of the run before; NULL: nothing. */
static const smi_flow_seen *read_seen(const sm_run *r, const smi_flow_books *b, sm_arena *a)
{
    const sm_json *doc = NULL;
    sm_error ignored = {0};
    sm_str text = {0};

    for (int32_t i = 0; i < b->n_roots && text.len == 0; i++) {
        text = sm_str_eq(b->roots[i].pipeline, r->p->name) ? b->roots[i].seen : text;
    }
    if (text.len == 0 || sm_json_parse(text, a, &doc, &ignored) != SM_OK) {
        return NULL; /* no run has counted yet */
    }
    smi_flow_seen *s = SM_NEW(a, smi_flow_seen);
    const sm_json *list = sm_json_get(doc, "keys");
    s->n_lines = number_of(doc, "lines");
    s->is_cut = sm_json_get(doc, "cut") != NULL;
    for (const sm_json *o = list ? list->child : NULL; o; o = o->next) {
        add_key(a, s,
                (seen_key){.path = sm_json_text(sm_json_get(o, "path")),
                           .type = sm_json_text(sm_json_get(o, "type")),
                           .lines = number_of(o, "lines"),
                           .misfits = number_of(o, "misfits"),
                           .kinds = (uint32_t)number_of(o, "kinds"),
                           .is_new = sm_json_get(o, "new") != NULL});
    }
    return s;
}

/* ---- the comparison -------------------------------------------------------------------------- */

typedef struct comparing {
    sm_run *run;
    int32_t task;
    sm_key_drift *out;
    int64_t n, cap;
} comparing;

/* Is it a field of an object of which the same was told? */
static bool is_told(const comparing *c, sm_str path, sm_drift_change change)
{
    for (int64_t i = 0; i < c->n; i++) {
        const sm_str outer = c->out[i].path;
        if (c->out[i].change == change && path.len > outer.len && sm_str_starts(path, outer) &&
            path.data[outer.len] == '.') {
            return true;
        }
    }
    return false;
}

static void tell(comparing *c, sm_str path, sm_drift_change change, sm_str was, sm_str is,
                 int64_t lines)
{
    if (change != SM_DRIFT_TYPE && is_told(c, path, change)) {
        return;
    }
    c->out = sm_arena_grow(c->run->arena, c->out, c->n, &c->cap, sizeof(*c->out));
    c->out[c->n++] = (sm_key_drift){.table = c->run->p->tasks[c->task].name,
                                    .path = path,
                                    .change = change,
                                    .was = was,
                                    .is = is,
                                    .lines = lines};
}

static sm_str kinds_type(uint32_t kinds)
{
    const char *type = sm_key_type(kinds);
    return sm_str_of(type ? type : "mixed");
}

static sm_str type_of(const seen_key *k)
{
    return is_unknown(k) ? kinds_type(k->kinds) : k->type;
}

/* Do more than a few of the values not fit the column? */
static bool is_misfit(const seen_key *k)
{
    return !is_unknown(k) && k->misfits * 100 > (k->lines + k->misfits) * FEW_PERCENT;
}

static void compare_types(comparing *c, const seen_key *was, const seen_key *is)
{
    SM_ASSERT(sm_str_eq(was->path, is->path));
    const bool are_unknown = is_unknown(was) && is_unknown(is);
    const bool has_nulls_only = (was->kinds | is->kinds) == 0 ||
                                (was->kinds & ~(uint32_t)SM_KEY_NULL) == 0 ||
                                (is->kinds & ~(uint32_t)SM_KEY_NULL) == 0;

    if (are_unknown && !has_nulls_only && !sm_str_eq(type_of(was), type_of(is))) {
        tell(c, is->path, SM_DRIFT_TYPE, type_of(was), type_of(is), is->lines);
    } else if (is_misfit(is) && !is_misfit(was)) {
        tell(c, is->path, SM_DRIFT_TYPE, is->type, kinds_type(is->kinds), is->misfits);
    }
}

static sm_map *map_of(const smi_flow_seen *s, sm_arena *a)
{
    sm_map *out = sm_map_new(a);
    for (int64_t i = 0; i < s->n_keys; i++) {
        *sm_map_at(out, s->keys[i].path) = &s->keys[i];
    }
    return out;
}

static void compare_seen(comparing *c, const smi_flow_seen *was, smi_flow_seen *is, sm_arena *a)
{
    const sm_map *before = map_of(was, a), *now = map_of(is, a);
    SM_ASSERT(sm_map_count(now) == is->n_keys); /* no two keys have one path */

    for (int64_t i = 0; i < is->n_keys; i++) {
        seen_key *k = &is->keys[i];
        const seen_key *old = sm_map_get(before, k->path);
        const bool came = is_there(k) && !is_there(old) && !(was->is_cut && is_unknown(k));
        k->is_new = is_unknown(k) && (came || (old && old->is_new));
        if (came) {
            tell(c, k->path, SM_DRIFT_CAME, (sm_str){0}, type_of(k), k->lines + k->misfits);
        } else if (is_there(k) && is_there(old)) {
            compare_types(c, old, k);
        }
    }
    for (int64_t i = 0; i < was->n_keys && is->n_lines > 0; i++) {
        const seen_key *old = &was->keys[i];
        if (is_there(old) && !is_there(sm_map_get(now, old->path)) &&
            !(is->is_cut && is_unknown(old))) {
            tell(c, old->path, SM_DRIFT_WENT, type_of(old), (sm_str){0}, old->lines + old->misfits);
        }
    }
}

/* A table that is made anew has the keys of all its files: only which are new is remembered. */
static void keep_new(const smi_flow_seen *was, smi_flow_seen *is, sm_arena *a)
{
    const sm_map *before = map_of(was, a);

    for (int64_t i = 0; i < is->n_keys; i++) {
        const seen_key *old = sm_map_get(before, is->keys[i].path);
        is->keys[i].is_new = is_unknown(&is->keys[i]) && old && old->is_new;
    }
}

void smi_flow_drift_settle(sm_run *r, int32_t task, smi_flow_books *b)
{
    smi_flow_task_state *t = &r->tasks[task];
    SM_ASSERT(t->candidate && t->n_drift == 0);
    comparing c = {.run = r, .task = task};

    if (!t->seen || t->seen->n_lines == 0) {
        return; /* the books keep what they have */
    }
    const smi_flow_seen *was = read_seen(r, b, r->arena);
    if (was && smi_flow_is_refreshed(r, task)) {
        keep_new(was, t->seen, r->arena);
    } else if (was) {
        compare_seen(&c, was, t->seen, r->arena);
    }
    b->seen = print_seen(t->seen, r->arena);
    t->drift = c.out;
    t->n_drift = c.n;
}

/* ---- new keys -------------------------------------------------------------------------------- */

static sm_status read_new(sm_run *r, int32_t task, sm_arena *a, sm_new_key **out, int64_t *n,
                          int64_t *cap, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_books b = {0};
    sm_str uri = {0};

    SM_TRY(sm_names_uri(r->names, t->name, r->arena, &uri, e));
    const sm_status st = smi_flow_books_open(r, t->name, uri, true, &b, e);
    const smi_flow_seen *seen = st == SM_OK ? read_seen(r, &b, r->arena) : NULL;
    for (int64_t i = 0; seen && i < seen->n_keys; i++) {
        const seen_key *k = &seen->keys[i];
        if (k->is_new) {
            *out = sm_arena_grow(a, *out, *n, cap, sizeof(**out));
            (*out)[(*n)++] = (sm_new_key){.task = task,
                                          .path = sm_arena_str(a, k->path),
                                          .kinds = k->kinds,
                                          .lines = k->lines};
        }
    }
    smi_flow_books_release(&b);
    return st;
}

sm_status sm_run_new_keys(sm_run *r, sm_arena *a, sm_new_key **out, int64_t *n, sm_error *e)
{
    int64_t cap = 0;

    *out = NULL;
    *n = 0;
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->p->tasks[i].kind == SM_TASK_LOAD && r->tasks[i].is_chosen) {
            SM_TRY(read_new(r, i, a, out, n, &cap, e));
        }
    }
    return SM_OK;
}
