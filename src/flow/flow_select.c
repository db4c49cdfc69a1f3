/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_select.c: which tasks a selection means (`--select`). Called by runs and by commands
 * that list tasks.
 *
 * Words  of a selection stand between blanks or commas; a task is chosen where one of them means
 * it:
 *          silver.orders   that task; `silver.*`: all whose names fit the pattern
 *          @daily          all with that tag
 *          +WORD, WORD+    also all that these need, and all that need them, however far away
 *        A word that means no task is a mistake: nothing would be done, without a word. */
#include "base/text.h"
#include "flow/flow_int.h"

/* One word of a selection. */
typedef struct word {
    sm_str name; /* without its marks */
    bool is_tag, with_needs, with_users;
} word;

static word read_word(sm_str text)
{
    word w = {.name = text};

    if (sm_str_starts(w.name, SM_STR("+"))) {
        w.with_needs = true;
        w.name = (sm_str){w.name.data + 1, w.name.len - 1};
    }
    if (sm_str_ends(w.name, SM_STR("+"))) {
        w.with_users = true;
        w.name.len--;
    }
    if (sm_str_starts(w.name, SM_STR("@"))) {
        w.is_tag = true;
        w.name = (sm_str){w.name.data + 1, w.name.len - 1};
    }
    return w;
}

static bool has_tag(const smi_flow_task *t, sm_str tag)
{
    for (int32_t i = 0; i < t->n_tags; i++) {
        if (sm_str_eq_nocase(t->tags[i], tag)) {
            return true;
        }
    }
    return false;
}

static bool is_meant(const smi_flow_task *t, const word *w)
{
    return w->is_tag ? has_tag(t, w->name)
                     : sm_str_eq_nocase(t->name, w->name) || sm_glob_match(w->name, t->name);
}

/* SM_NAME: a word that means no task; with the nearest name or tag. */
static sm_status fail_word(const sm_pipeline *p, const word *w, sm_arena *a, sm_error *e)
{
    int32_t n = 0, n_most = p->n_tasks;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        n_most += p->tasks[i].n_tags;
    }
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n_most);
    for (int32_t i = 0; i < p->n_tasks; i++) {
        for (int32_t k = 0; k < p->tasks[i].n_tags && w->is_tag; k++) {
            names[n++] = p->tasks[i].tags[k];
        }
        if (!w->is_tag) {
            names[n++] = p->tasks[i].name;
        }
    }
    const sm_status st =
        sm_fail(e, SM_NAME, "no task %s\"%.*s\" in pipeline %.*s", w->is_tag ? "has the tag " : "",
                SM_STR_ARG(w->name), SM_STR_ARG(p->name));
    const char *near = sm_nearest_name(w->name, names, n);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

/* Adds what a word means. Tasks stand behind those that they need. */
static sm_status add_word(const sm_pipeline *p, const word *w, bool *chosen, sm_arena *a,
                          sm_error *e)
{
    bool *meant = SM_NEW_ARRAY(a, bool, p->n_tasks), *needed = SM_NEW_ARRAY(a, bool, p->n_tasks);
    bool is_any = false;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        meant[i] = needed[i] = is_meant(&p->tasks[i], w);
        is_any = is_any || meant[i];
    }
    for (int32_t i = 0; i < p->n_tasks && w->with_users; i++) {
        for (int32_t k = 0; k < p->tasks[i].n_needs; k++) {
            SM_ASSERT(p->tasks[i].needs[k] < i);
            meant[i] = meant[i] || meant[p->tasks[i].needs[k]];
        }
    }
    for (int32_t i = p->n_tasks - 1; i >= 0 && w->with_needs; i--) {
        for (int32_t k = 0; k < p->tasks[i].n_needs && needed[i]; k++) {
            needed[p->tasks[i].needs[k]] = true;
        }
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        chosen[i] = chosen[i] || meant[i] || needed[i];
    }
    return is_any ? SM_OK : fail_word(p, w, a, e);
}

static bool is_between(char c)
{
    return c == ' ' || c == ',' || c == '\t' || c == '\n';
}

sm_status sm_pipeline_select(const sm_pipeline *p, sm_str which, sm_arena *a, bool **out,
                             sm_error *e)
{
    bool *chosen = SM_NEW_ARRAY(a, bool, p->n_tasks);
    int32_t n_words = 0;

    SM_ASSERT(p->n_tasks > 0 && (which.len == 0 || which.data));

    for (size_t at = 0; at < which.len;) {
        size_t end = at;
        while (end < which.len && !is_between(which.data[end])) {
            end++;
        }
        if (end > at) {
            const word w = read_word((sm_str){which.data + at, end - at});
            SM_TRY(add_word(p, &w, chosen, a, e));
            n_words++;
        }
        at = end + 1;
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        chosen[i] = chosen[i] || n_words == 0;
    }
    *out = chosen;
    return SM_OK;
}
