/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_domain.c: the columns by which a table says to every engine that it is
 * clustered: the domain delta.clustering, in tables with the feature "clustering". Called by
 * table_cluster.c, and by table_alter_column.c, which leaves such columns alone.
 *
 * Form     {"clusteringColumns":[["day"],["shop","city"]]}: a column each, by its names in files
 *          from the outside in. Other members are kept by nobody, and none is known
 * Source   PROTOCOL.md, "Clustered Table" */
#include "base/json_doc.h"
#include "base/json_write.h"
#include "table/table_cluster_int.h"

#define FEATURE "clustering"
#define DOMAIN  SM_STR("delta.clustering")

bool smi_cluster_has_domain(const sm_snapshot *s)
{
    const sm_delta_protocol *p = sm_snapshot_protocol(s);

    return sm_delta_has_feature(p, FEATURE) && sm_delta_has_feature(p, "domainMetadata");
}

/* The column with a name in files; "" where there is none. */
static sm_str column_in_files(const sm_type *schema, sm_str name, sm_arena *a)
{
    const sm_type *files = sm_delta_file_schema(schema, a);

    SM_ASSERT(files->n_fields == schema->n_fields);
    for (int32_t i = 0; i < files->n_fields; i++) {
        if (sm_str_eq(files->fields[i].name, name)) {
            return schema->fields[i].name;
        }
    }
    return SM_STR("");
}

static sm_status fail_domain(sm_str text, sm_error *e)
{
    return sm_fail(e, SM_INVALID, "the table's domain delta.clustering is not understood: %.*s",
                   SM_STR_ARG(text));
}

static sm_status read_column(const sm_snapshot *s, const sm_json *path, sm_str text, sm_arena *a,
                             sm_str *out, sm_error *e)
{
    if (path->type != SM_JSON_ARRAY || path->n_children < 1) {
        return fail_domain(text, e);
    }
    if (path->n_children > 1) {
        return sm_fail(e, SM_TYPE, "rows cannot be sorted by the nested column \"%.*s.%.*s\"",
                       SM_STR_ARG(sm_json_text(path->child)),
                       SM_STR_ARG(sm_json_text(path->child->next)));
    }
    *out = column_in_files(sm_snapshot_metadata(s)->schema, sm_json_text(path->child), a);
    return out->len > 0 ? SM_OK : fail_domain(text, e);
}

sm_status smi_cluster_domain_read(const sm_snapshot *s, sm_arena *a, sm_str **out, int32_t *n,
                                  sm_error *e)
{
    const sm_delta_domain *d = smi_cluster_has_domain(s) ? sm_snapshot_domain(s, DOMAIN) : NULL;
    const sm_json *doc = NULL;
    sm_error ignored = {0};

    *n = 0;
    if (!d) {
        return SM_OK;
    }
    if (sm_json_parse(d->configuration, a, &doc, &ignored) != SM_OK) {
        return fail_domain(d->configuration, e);
    }
    const sm_json *list = sm_json_get(doc, "clusteringColumns");
    if (!list || list->type != SM_JSON_ARRAY) {
        return fail_domain(d->configuration, e);
    }
    *out = SM_NEW_ARRAY(a, sm_str, list->n_children + 1);
    for (const sm_json *path = list->child; path; path = path->next) {
        SM_TRY(read_column(s, path, d->configuration, a, &(*out)[*n], e));
        (*n)++;
    }
    return SM_OK;
}

sm_delta_domain smi_cluster_domain_make(const sm_type *schema, const int32_t *columns, int32_t n,
                                        sm_arena *a)
{
    const sm_type *files = sm_delta_file_schema(schema, a);
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(n > 0);
    sm_json_begin_object(&w);
    sm_json_set_array(&w, "clusteringColumns");
    for (int32_t i = 0; i < n; i++) {
        sm_json_begin_array(&w);
        sm_json_put_text(&w, files->fields[columns[i]].name);
        sm_json_end_array(&w);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    const sm_delta_domain out = {.name = DOMAIN,
                                 .configuration = sm_arena_str(a, sm_buf_str(&text))};
    sm_buf_release(&text);
    return out;
}
