/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_mark.c: the marks of clustered files. Called by table_cluster_choose.c, which
 * chooses files by them, and by table_out.c, which gives them to new files.
 *
 * Where    in the tags of a file's add action, which every writer of the log keeps as long as the
 *          file lives:
 *            smelt.cluster      the curve and its columns: zorder ["day","name"]
 *            smelt.clusterSet   the set that the file is of: files that were sorted together
 *            smelt.clusterKeys  the least and the greatest key of its rows, 16 hex digits each
 * Meaning  The rows of a marked file are sorted by the curve's key, and the files of a set share no
 *          stretch of keys. Keys of two sets are not comparable: each has ranks of its own.
 * Provider The add's clusteringProvider says to other engines that the file is clustered by the
 *          columns of delta.clustering (table_cluster_domain.c). Files with another provider are
 *          not ours. It is only written to tables with the feature.
 * Cut      Rows that are taken out of a file leave the others in order, so what is written of them
 *          keeps the mark. */
#include "table/table_int.h"

#include <inttypes.h>

#define TAG_BY   SM_STR("smelt.cluster")
#define TAG_SET  SM_STR("smelt.clusterSet")
#define TAG_KEYS SM_STR("smelt.clusterKeys")

static sm_str tag_of(const sm_delta_file *f, sm_str key)
{
    for (int32_t i = 0; i < f->n_tags; i++) {
        if (sm_str_eq(f->tags[i].key, key)) {
            return f->tags[i].value;
        }
    }
    return SM_STR("");
}

smi_cluster_mark smi_cluster_mark_of(const sm_delta_file *f)
{
    const smi_cluster_mark m = {.by = tag_of(f, TAG_BY), .set = tag_of(f, TAG_SET)};
    const bool is_whole = m.by.len > 0 && m.set.len > 0;

    return is_whole ? m : (smi_cluster_mark){0};
}

sm_str smi_cluster_mark_text(sm_curve curve, const sm_str *by, int32_t n, sm_arena *a)
{
    static const char *const names[] = {
        [SM_CURVE_ZORDER] = "zorder", [SM_CURVE_HILBERT] = "hilbert"};
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_ASSERT(curve == SM_CURVE_ZORDER || curve == SM_CURVE_HILBERT);
    sm_buf_printf(&text, "%s ", names[curve]);
    sm_json_begin_array(&w);
    for (int32_t i = 0; i < n; i++) {
        sm_json_put_text(&w, by[i]);
    }
    sm_json_end_array(&w);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static void set_tags(sm_delta_add *add, const smi_cluster_mark *m, sm_str keys, sm_arena *a)
{
    const sm_pair tags[] = {{TAG_BY, m->by}, {TAG_SET, m->set}, {TAG_KEYS, keys}};

    SM_ASSERT(add->n_tags == 0 && m->by.len > 0 && m->set.len > 0);
    add->n_tags = SM_COUNT(tags);
    add->tags = memcpy(sm_arena_alloc(a, sizeof(tags)), tags, sizeof(tags));
}

void smi_cluster_mark_put(sm_delta_add *add, const smi_cluster_mark *m, uint64_t least,
                          uint64_t greatest, sm_arena *a)
{
    SM_ASSERT(least <= greatest);
    add->cluster_provider = m->is_told ? SMI_CLUSTER_PROVIDER : SM_STR("");
    set_tags(add, m, sm_arena_strf(a, "%016" PRIx64 "-%016" PRIx64, least, greatest), a);
}

void smi_cluster_mark_keep(sm_delta_add *add, const sm_delta_file *of, sm_arena *a)
{
    const smi_cluster_mark m = smi_cluster_mark_of(of);

    add->cluster_provider = of->cluster_provider;
    if (m.by.len > 0) {
        set_tags(add, &m, tag_of(of, TAG_KEYS), a); /* of the base, which the candidate holds */
    }
}
