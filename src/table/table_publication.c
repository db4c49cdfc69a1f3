/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_publication.c: a publication as text, and the mark that its commits carry.
 *
 * Text    a line of JSON:
 *             {"smelt_journal":1,"lake":ID,"number":7,"publication":ID,"tables":[
 *              {"path":"silver/totals","base":12,"isolation":"all","read":[…],"bytes":345}, …]}
 *         then, table after table, as many bytes as "bytes" says: the very lines that the table's
 *         new version will have. So whoever reads it makes the same commit, whatever the operation.
 * Format  the number of smelt_journal. A later smelt that writes more raises it; path, base, lake
 *         and number stay where they are, for readers need no more than them. The rules by which a
 *         commit may go behind those of others belong to the format too: two versions of smelt must
 *         not come to different outcomes for one publication.
 * Mark    {"lake":ID,"number":7[,"undoes":13]}, the member "publication" of commitInfo. It is a
 *         member of its own beside what the caller says there, so that no JSON has to be taken
 *         apart to add it. */
#include "base/json_doc.h"
#include "base/json_write.h"
#include "table/table_journal_int.h"

/* 1: without row ids and timestamps that the versions before a commit decide; 2: without commits by
 * which a table begins to have them */
#define FORMAT 3

static const char *const isolations[] = {
    [SM_READ_NOTHING] = "nothing",
    [SM_READ_FILES] = "files",
    [SM_READ_ALL] = "all",
    [SM_READ_LAYOUT] = "layout",
};
_Static_assert(SM_COUNT(isolations) == SM_READ_LAYOUT + 1, "a word for each isolation");

sm_str smi_part_id(const smi_publication *p, int32_t part, sm_arena *a)
{
    SM_ASSERT(part >= 0 && part < p->n_parts && p->id.len > 0);
    return sm_arena_strf(a, "%.*s.%d", SM_STR_ARG(p->id), part);
}

/* ---- writing --------------------------------------------------------------------------------- */

void smi_part_print(const smi_part *part, sm_json_writer *w)
{
    const sm_delta_prepared *c = &part->commit;

    SM_ASSERT(c->base >= -1 && part->path.len > 0);
    SM_ASSERT(c->text.len > 0 && c->text.data[c->text.len - 1] == '\n'); /* whole lines */
    sm_json_set_text(w, "path", part->path);
    sm_json_set_i64(w, "base", c->base);
    sm_json_set_text(w, "isolation", sm_str_of(isolations[c->isolation]));
    if (c->read.len > 0) {
        sm_json_set_raw(w, "read", c->read);
    }
    sm_json_set_u64(w, "bytes", c->text.len);
}

void smi_publication_print(const smi_publication *p, sm_buf *out)
{
    SM_ASSERT(p->number > 0 && p->lake_id.len > 0 && p->id.len > 0 && p->n_parts > 0);
    sm_json_writer w = {.out = out};

    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "smelt_journal", FORMAT);
    sm_json_set_text(&w, "lake", p->lake_id);
    sm_json_set_i64(&w, "number", p->number);
    sm_json_set_text(&w, "publication", p->id);
    sm_json_set_array(&w, "tables");
    for (int32_t i = 0; i < p->n_parts; i++) {
        sm_json_begin_object(&w);
        smi_part_print(&p->parts[i], &w);
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    for (int32_t i = 0; i < p->n_parts; i++) {
        sm_buf_text(out, p->parts[i].commit.text);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_part(sm_str s)
{
    return s.len > 0 && !memchr(s.data, '/', s.len) && !memchr(s.data, 0, s.len) &&
           !sm_str_is(s, ".") && !sm_str_is(s, "..");
}

/* "layer/table", and nothing that leaves the lake. */
static bool is_path(sm_str path)
{
    const char *slash = path.len > 0 ? memchr(path.data, '/', path.len) : NULL;
    const size_t layer = slash ? (size_t)(slash - path.data) : path.len;

    return slash && is_part((sm_str){path.data, layer}) &&
           is_part((sm_str){slash + 1, path.len - layer - 1});
}

static bool parse_isolation(sm_str word, sm_delta_isolation *out)
{
    for (int i = 0; i < SM_COUNT(isolations); i++) {
        if (sm_str_is(word, isolations[i])) {
            *out = (sm_delta_isolation)i;
            return true;
        }
    }
    return false;
}

static sm_status parse_place(const sm_json *o, smi_part *out, sm_error *e)
{
    out->path = sm_json_text(sm_json_get(o, "path"));
    if (!is_path(out->path) || !sm_json_i64(sm_json_get(o, "base"), &out->commit.base) ||
        out->commit.base < -1) {
        return sm_fail(e, SM_CORRUPT,
                       "a commit is of a table without a path in the lake or without a base");
    }
    return SM_OK;
}

/* Cuts the part's commit off *rest, the lines of all commits that follow. */
static sm_status parse_commit(const sm_json *o, sm_str *rest, smi_part *out, sm_error *e)
{
    sm_delta_prepared *c = &out->commit;
    const sm_json *read = sm_json_get(o, "read");
    int64_t bytes = 0;

    c->read = read ? read->text : SM_STR("");
    if (!parse_isolation(sm_json_text(sm_json_get(o, "isolation")), &c->isolation) ||
        (read && read->type != SM_JSON_ARRAY) || !sm_json_i64(sm_json_get(o, "bytes"), &bytes) ||
        bytes <= 0 || (uint64_t)bytes > rest->len) {
        return sm_fail(e, SM_CORRUPT, "the text of the commit of %.*s is damaged",
                       SM_STR_ARG(out->path));
    }
    c->text = (sm_str){rest->data, (size_t)bytes};
    *rest = (sm_str){rest->data + bytes, rest->len - (size_t)bytes};
    return SM_OK;
}

sm_status smi_part_parse(const sm_json *o, sm_str *rest, smi_part *out, sm_error *e)
{
    SM_TRY(parse_place(o, out, e));
    return parse_commit(o, rest, out, e);
}

static sm_status parse_tables(const sm_json *list, bool has_commits, sm_str rest, sm_arena *a,
                              smi_publication *out, sm_error *e)
{
    out->parts = SM_NEW_ARRAY(a, smi_part, list ? list->n_children + 1 : 1);
    for (const sm_json *o = list ? list->child : NULL; o; o = o->next) {
        smi_part *part = &out->parts[out->n_parts++];
        SM_TRY(parse_place(o, part, e));
        if (has_commits) {
            part->commit.id = smi_part_id(out, out->n_parts - 1, a);
            SM_TRY(parse_commit(o, &rest, part, e));
        }
    }
    if (out->n_parts == 0 || (has_commits && rest.len > 0)) {
        return sm_fail(e, SM_CORRUPT,
                       "the publication's commits are not of the length that it says");
    }
    return SM_OK;
}

sm_status smi_publication_parse(sm_str text, bool first_line, sm_arena *a, smi_publication *out,
                                sm_error *e)
{
    const char *lf = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
    const size_t first = lf ? (size_t)(lf - text.data) : text.len;
    const sm_str rest = {text.data + first + (lf ? 1 : 0), text.len - first - (lf ? 1 : 0)};
    const sm_json *o = NULL;
    int64_t format = 0;

    *out = (smi_publication){0};
    SM_TRY(sm_json_parse((sm_str){text.data, first}, a, &o, e));
    out->lake_id = sm_json_text(sm_json_get(o, "lake"));
    out->id = sm_json_text(sm_json_get(o, "publication"));
    const sm_json *tables = sm_json_get(o, "tables");
    if (!sm_json_i64(sm_json_get(o, "smelt_journal"), &format) || format < 1 ||
        !sm_json_i64(sm_json_get(o, "number"), &out->number) || out->number < 1 ||
        out->lake_id.len == 0 || out->id.len == 0 || (tables && tables->type != SM_JSON_ARRAY)) {
        return sm_fail(e, SM_CORRUPT, "this is not a publication of a lake");
    }
    out->is_newer = format > FORMAT;
    return parse_tables(tables, !out->is_newer && !first_line, rest, a, out, e);
}

const smi_part *smi_publication_part(const smi_publication *p, sm_str path)
{
    for (int32_t i = 0; i < p->n_parts; i++) {
        if (sm_str_eq(p->parts[i].path, path)) {
            return &p->parts[i];
        }
    }
    return NULL;
}

/* ---- the mark -------------------------------------------------------------------------------- */

sm_str smi_mark_json(const smi_publication *p, int64_t undoes, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(p->number > 0 && p->lake_id.len > 0);
    sm_json_set_object(&w, "publication");
    sm_json_set_text(&w, "lake", p->lake_id);
    sm_json_set_i64(&w, "number", p->number);
    if (undoes >= 0) {
        sm_json_set_i64(&w, "undoes", undoes);
    }
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

bool smi_mark_parse(sm_str commit_info, sm_arena *a, smi_mark *out)
{
    const sm_json *info = NULL;
    sm_error ignored = {0};

    if (commit_info.len == 0 || sm_json_parse(commit_info, a, &info, &ignored) != SM_OK) {
        return false; /* what other writers say there need not be JSON */
    }
    const sm_json *mark = sm_json_get(info, "publication");
    if (!mark || mark->type != SM_JSON_OBJECT) {
        return false;
    }
    out->lake_id = sm_json_text(sm_json_get(mark, "lake"));
    return out->lake_id.len > 0 && sm_json_i64(sm_json_get(mark, "number"), &out->number);
}
