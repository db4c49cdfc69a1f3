/* SPDX-License-Identifier: Apache-2.0
 *
 * base/yaml.c: YAML documents, over libfyaml. Its document is copied into a tree of the arena,
 * so that nobody else deals with its types or frees anything.
 *
 * Places    libfyaml counts lines and columns from 0, and columns in characters. A text in quotes
 *           begins behind the quote.
 * Depth     libfyaml refuses more than 64 levels by itself, in the text; the copy checks again,
 *           since its recursion must not depend on another library's default. */
#include "base/yaml.h"

#include <libfyaml.h>
#include <stdio.h>

#include "base/text.h"

#define MAX_DEPTH 64

/* ---- errors ---------------------------------------------------------------------------------- */

sm_status sm_yaml_at(const sm_yaml_doc *d, sm_yaml_place at, sm_status st, sm_error *e)
{
    if (st != SM_OK) {
        sm_error_place(e, d->name.data, at.line, at.line > 0 ? at.byte : -1);
    }
    return st;
}

sm_status sm_yaml_fail_word(const sm_yaml_doc *d, sm_yaml_place at, const char *what, sm_str word,
                            const sm_str *names, int32_t n, sm_error *e)
{
    char list[160] = "";
    const sm_status st = sm_fail(e, SM_NAME, "%s \"%.*s\"", what, SM_STR_ARG(word));
    const char *near = sm_nearest_name(word, names, n);

    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    } else {
        for (int32_t i = 0; i < n; i++) {
            const size_t used = strlen(list);
            snprintf(list + used, sizeof(list) - used, "%s%.*s", i ? ", " : "",
                     SM_STR_ARG(names[i]));
        }
        sm_error_todo(e, "It may have: %s.", list);
    }
    return sm_yaml_at(d, at, st, e);
}

/* The first error that libfyaml found. */
static sm_status fail_yaml(const sm_yaml_doc *d, struct fy_diag *diag, sm_error *e)
{
    void *iterator = NULL;
    const struct fy_diag_error *found = fy_diag_errors_iterate(diag, &iterator);
    sm_yaml_place at = {0};

    if (found && found->line > 0) {
        at = (sm_yaml_place){found->line, found->column > 0 ? found->column : 1};
    }
    return sm_yaml_at(d, at,
                      sm_fail(e, SM_SYNTAX, "not YAML: %s",
                              found && found->msg ? found->msg : "it could not be parsed"),
                      e);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static sm_status copy_node(const sm_yaml_doc *d, struct fy_node *from, int depth, sm_yaml **out,
                           sm_error *e);

static void copy_scalar(const sm_yaml_doc *d, struct fy_node *from, sm_yaml *to)
{
    size_t len = 0;
    struct fy_token *token = fy_node_get_scalar_token(from);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    const char *text = fy_node_get_scalar(from, &len);

    to->type = fy_node_is_alias(from) ? SM_YAML_ALIAS : SM_YAML_TEXT;
    to->is_plain = fy_node_get_style(from) == FYNS_PLAIN;
    to->text = sm_arena_str(d->arena, (sm_str){text, text ? len : 0});
    to->at = mark ? (sm_yaml_place){mark->line + 1, mark->column + 1} : (sm_yaml_place){0};
}

static void add_child(sm_yaml *to, sm_yaml *child, sm_yaml **last)
{
    if (*last) {
        (*last)->next = child;
    } else {
        to->child = child;
        to->at = child->key ? child->key->at : child->at;
    }
    *last = child;
    to->n_children++;
}

static sm_status copy_list(const sm_yaml_doc *d, struct fy_node *from, int depth, sm_yaml *to,
                           sm_error *e)
{
    void *iterator = NULL;
    sm_yaml *last = NULL;

    to->type = SM_YAML_LIST;
    for (struct fy_node *item; (item = fy_node_sequence_iterate(from, &iterator));) {
        sm_yaml *child = NULL;
        SM_TRY(copy_node(d, item, depth, &child, e));
        add_child(to, child, &last);
    }
    return SM_OK;
}

static sm_status copy_map(const sm_yaml_doc *d, struct fy_node *from, int depth, sm_yaml *to,
                          sm_error *e)
{
    void *iterator = NULL;
    sm_yaml *last = NULL;

    to->type = SM_YAML_MAP;
    for (struct fy_node_pair *pair; (pair = fy_node_mapping_iterate(from, &iterator));) {
        sm_yaml *key = NULL, *child = NULL;
        SM_TRY(copy_node(d, fy_node_pair_key(pair), depth, &key, e));
        SM_TRY(copy_node(d, fy_node_pair_value(pair), depth, &child, e));
        child->key = key;
        add_child(to, child, &last);
    }
    return SM_OK;
}

static sm_status copy_node(const sm_yaml_doc *d, struct fy_node *from, int depth, sm_yaml **out,
                           sm_error *e)
{
    sm_yaml *to = SM_NEW(d->arena, sm_yaml);

    *out = to;
    if (!from) {
        return SM_OK;
    }
    if (depth == MAX_DEPTH) {
        return sm_yaml_at(d, (sm_yaml_place){0},
                          sm_fail(e, SM_LIMIT, "YAML is nested deeper than %d", MAX_DEPTH), e);
    }
    switch (fy_node_get_type(from)) {
    case FYNT_SEQUENCE:
        return copy_list(d, from, depth + 1, to, e);
    case FYNT_MAPPING:
        return copy_map(d, from, depth + 1, to, e);
    default:
        copy_scalar(d, from, to);
        return SM_OK;
    }
}

/* ---- the document ---------------------------------------------------------------------------- */

static sm_status fail_text(const sm_yaml_doc *d, const char *what, const char *is, sm_error *e)
{
    return sm_yaml_at(d, (sm_yaml_place){0}, sm_fail(e, SM_SYNTAX, "%s%s", what, is), e);
}

static sm_status parse_with(sm_yaml_doc *d, struct fy_diag *diag, sm_str text, sm_error *e)
{
    sm_yaml *root = NULL;
    const struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET, .diag = diag};
    struct fy_document *doc = fy_document_build_from_string(&cfg, text.data, text.len);

    if (!doc) {
        return fail_yaml(d, diag, e);
    }
    const sm_status st = copy_node(d, fy_document_root(doc), 0, &root, e);
    fy_document_destroy(doc);
    d->root = st == SM_OK ? root : NULL;
    return st;
}

/* Only blank lines and comments? */
static bool is_empty(sm_str text)
{
    bool is_comment = false;

    for (size_t i = 0; i < text.len; i++) {
        const char c = text.data[i];
        is_comment = (is_comment || c == '#') && c != '\n';
        if (!is_comment && !strchr(" \t\r\n", c)) {
            return false;
        }
    }
    return true;
}

/* What libfyaml would print to stderr. */
static void print_nothing(struct fy_diag *diag, void *user, const char *text, size_t n)
{
}

sm_status sm_yaml_parse(sm_yaml_doc *d, sm_str text, const char *what, sm_error *e)
{
    struct fy_diag_cfg quiet;

    const char *other = sm_utf_other(text.data, text.len);
    if (other) {
        const sm_status st = sm_fail(e, SM_SYNTAX, "%s is %s, not UTF-8", what, other);
        sm_error_todo(e, "Write it as UTF-8, as by iconv -f %s -t UTF-8.", other);
        return sm_yaml_at(d, (sm_yaml_place){0}, st, e);
    }
    if (sm_utf8_check(text.data, text.len) < text.len) {
        return fail_text(d, "not YAML: not UTF-8", "", e);
    }
    if (is_empty(text)) {
        return fail_text(d, what, " is empty", e);
    }
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.output_fn = print_nothing;
    quiet.colorize = false;
    struct fy_diag *diag = fy_diag_create(&quiet);
    if (!diag) {
        return sm_fail(e, SM_NOMEM, "no memory to read YAML");
    }
    fy_diag_set_collect_errors(diag, true);
    const sm_status st = parse_with(d, diag, text, e);
    fy_diag_destroy(diag);
    return st;
}

/* ---- single values --------------------------------------------------------------------------- */

sm_status sm_yaml_text(const sm_yaml_doc *d, const sm_yaml *n, const char *what, sm_str *out,
                       sm_error *e)
{
    if (!n || n->type != SM_YAML_TEXT) {
        return sm_yaml_at(d, sm_yaml_place_of(n), sm_fail(e, SM_SYNTAX, "%s is not a text", what),
                          e);
    }
    *out = n->text;
    return SM_OK;
}

sm_status sm_yaml_want(const sm_yaml_doc *d, const sm_yaml *n, sm_yaml_place at, sm_yaml_type type,
                       const char *what, sm_error *e)
{
    SM_ASSERT(type == SM_YAML_MAP || type == SM_YAML_LIST);
    if (n && n->type == type) {
        return SM_OK;
    }
    return sm_yaml_at(d, at,
                      sm_fail(e, SM_SYNTAX, "%s is not a %s", what,
                              type == SM_YAML_MAP ? "mapping (key: value)" : "list (- item)"),
                      e);
}

/* ---- mappings -------------------------------------------------------------------------------- */

static sm_status fail_key(const sm_yaml_doc *d, const sm_yaml_fields *f, const sm_yaml *key,
                          const char *what, sm_error *e)
{
    sm_str names[SM_YAML_KEYS];
    int32_t n = 0;

    for (; f->keys[n]; n++) {
        names[n] = sm_str_of(f->keys[n]);
    }
    return sm_yaml_fail_word(d, key->at, sm_arena_printf(d->arena, "%s has no key", what),
                             key->text, names, n, e);
}

sm_status sm_yaml_fields_read(const sm_yaml_doc *d, const sm_yaml *map, const char *what,
                              const char *const *keys, sm_yaml_fields *f, sm_error *e)
{
    *f = (sm_yaml_fields){.keys = keys, .at = sm_yaml_place_of(map)};
    SM_TRY(sm_yaml_want(d, map, f->at, SM_YAML_MAP, what, e));
    for (const sm_yaml *item = map->child; item; item = item->next) {
        sm_str key = {0};
        int i = 0;
        SM_TRY(sm_yaml_text(d, item->key, "a key", &key, e));
        while (keys[i] && !sm_str_is(key, keys[i])) {
            i++;
        }
        SM_ENSURE(i < SM_YAML_KEYS);
        if (!keys[i]) {
            return fail_key(d, f, item->key, what, e);
        }
        f->values[i] = item;
        f->places[i] = item->key->at;
        f->has[i] = true;
    }
    return SM_OK;
}

sm_status sm_yaml_fields_text(const sm_yaml_doc *d, const sm_yaml_fields *f, int key,
                              const char *what, bool must, sm_str *out, sm_error *e)
{
    if (!f->has[key]) {
        return must ? sm_yaml_at(d, f->at,
                                 sm_fail(e, SM_SYNTAX, "%s has no %s", what, f->keys[key]), e)
                    : SM_OK;
    }
    const sm_yaml_type type = f->values[key]->type;
    if (type != SM_YAML_TEXT && type != SM_YAML_ALIAS) {
        return sm_yaml_at(d, f->places[key],
                          sm_fail(e, SM_SYNTAX, "%s is not a text", f->keys[key]), e);
    }
    SM_TRY(sm_yaml_text(d, f->values[key], f->keys[key], out, e));
    if (must && out->len == 0) {
        return sm_yaml_at(d, f->places[key], sm_fail(e, SM_SYNTAX, "%s is empty", f->keys[key]), e);
    }
    return SM_OK;
}
