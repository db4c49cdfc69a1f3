/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_report_json.c: the report of a run as one JSON object, which `smelt run --json` prints.
 * docs/cli.md shows it: members are added at the end of a group, never renamed. */
#include "base/time.h"
#include "flow/flow.h"

static void put_lines(sm_json_writer *w, const sm_run_report *r)
{
    const sm_scan_counts *c = &r->counts;

    SM_ASSERT(c->lines >= c->refused + c->blank);
    sm_json_set_object(w, "lines");
    sm_json_set_i64(w, "read", c->lines);
    sm_json_set_i64(w, "kept", c->lines - c->refused - c->blank);
    sm_json_set_i64(w, "quarantined", c->refused);
    sm_json_set_i64(w, "blank", c->blank);
    sm_json_end_object(w);
    sm_json_set_object(w, "unknown");
    sm_json_set_i64(w, "lines", c->unknown_lines);
    sm_json_set_object(w, "paths");
    for (int64_t i = 0; i < r->n_unknown; i++) {
        sm_json_key(w, r->unknown[i].path);
        sm_json_put_i64(w, r->unknown[i].lines);
    }
    sm_json_end_object(w);
    sm_json_end_object(w);
}

static void put_file_counts(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_object(w, "files");
    sm_json_set_i64(w, "read", r->files_read);
    sm_json_set_i64(w, "skipped", r->files_skipped);
    sm_json_set_i64(w, "ignored", r->files_ignored);
    sm_json_end_object(w);
}

static void put_missing_days(sm_json_writer *w, const sm_run_report *r)
{
    char day[SM_TIME_TEXT_BYTES];

    sm_json_set_array(w, "missing_days");
    for (int64_t i = 0; i < r->n_missing_days; i++) {
        sm_format_date(r->missing_days[i], day);
        sm_json_put_text(w, sm_str_of(day));
    }
    sm_json_end_array(w);
}

/* What became of the files that were loaded before, and which files have the content of another. */
static void put_file_changes(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_array(w, "gone");
    for (int64_t i = 0; i < r->n_gone_files; i++) {
        sm_json_put_text(w, r->gone_files[i]);
    }
    sm_json_end_array(w);
    sm_json_set_array(w, "moved");
    for (int64_t i = 0; i < r->n_moved_files; i++) {
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "from", r->moved_files[i].from);
        sm_json_set_text_or_null(w, "to", r->moved_files[i].to);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
    sm_json_set_array(w, "copies");
    for (int64_t i = 0; i < r->n_copied_files; i++) {
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "name", r->copied_files[i].name);
        sm_json_set_text_or_null(w, "of", r->copied_files[i].of);
        sm_json_set_bool(w, "loaded", !r->copied_files[i].is_skipped);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

/* The keys that came, went, or have values of another type. */
static void put_drift(sm_json_writer *w, const sm_run_report *r)
{
    static const char *const words[] = {
        [SM_DRIFT_CAME] = "came", [SM_DRIFT_WENT] = "went", [SM_DRIFT_TYPE] = "type"};

    sm_json_set_array(w, "drift");
    for (int64_t i = 0; i < r->n_drift; i++) {
        const sm_key_drift *d = &r->drift[i];
        sm_json_begin_object(w);
        sm_json_set_text(w, "table", d->table);
        sm_json_set_text(w, "path", d->path);
        sm_json_set_text(w, "change", sm_str_of(words[d->change]));
        sm_json_set_text_or_null(w, "was", d->was);
        sm_json_set_text_or_null(w, "is", d->is);
        sm_json_set_i64(w, "lines", d->lines);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

static void put_merged(sm_json_writer *w, const sm_merged *m)
{
    sm_json_set_object(w, "merged");
    sm_json_set_i64(w, "rows", m->n_rows);
    sm_json_set_i64(w, "added", m->n_added);
    sm_json_set_i64(w, "changed", m->n_changed);
    sm_json_set_i64(w, "deleted", m->n_deleted);
    sm_json_end_object(w);
}

/* Did a task only keep the table in order? */
static bool is_upkeep(const sm_table_report *t)
{
    return t->clustered || t->optimized || t->vacuumed;
}

/* The tables of the lake, or those of servers elsewhere that were published from it. */
static void put_tables(sm_json_writer *w, const sm_run_report *r, bool published)
{
    sm_json_set_array(w, published ? "published" : "tables");
    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_table_report *t = &r->tables[i];
        if (t->kind == SM_TASK_VIEW || is_upkeep(t) || (t->kind == SM_TASK_PUBLISH) != published) {
            continue;
        }
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "name", t->name);
        sm_json_set_i64_or_null(w, "version", t->version); /* null: nothing was written */
        sm_json_set_i64_or_null(w, "rows", t->rows);
        if (published) {
            sm_json_set_text_or_null(w, "server", t->server);
        } else {
            sm_json_set_i64_or_null(w, "bytes", (int64_t)t->bytes);
            if (t->period.len > 0) {
                sm_json_set_text_or_null(w, "window", t->period);
            }
            if (t->merged) {
                put_merged(w, t->merged);
            }
            if (t->contract) {
                sm_json_set_i64(w, "quarantined", t->contract->n_quarantined);
                sm_json_set_i64(w, "nulled", t->contract->n_nulled);
            }
        }
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

/* The tables whose files were joined, and those of which old ones were deleted. */
static void put_upkeep(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_array(w, "optimized");
    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_optimize_report *o = r->tables[i].optimized;
        if (o) {
            sm_json_begin_object(w);
            sm_json_set_text_or_null(w, "name", r->tables[i].name);
            sm_json_set_i64_or_null(w, "version", o->version); /* null: nothing was to join */
            sm_json_set_i64(w, "removed_files", o->n_removed);
            sm_json_set_i64(w, "added_files", o->n_added);
            sm_json_set_i64(w, "added_bytes", (int64_t)o->added_bytes);
            sm_json_end_object(w);
        }
    }
    sm_json_end_array(w);
    sm_json_set_array(w, "vacuumed");
    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_vacuum_report *v = r->tables[i].vacuumed;
        if (v) {
            sm_json_begin_object(w);
            sm_json_set_text_or_null(w, "name", r->tables[i].name);
            sm_json_set_i64(w, "deleted_files", v->n_deleted);
            sm_json_set_i64(w, "deleted_bytes", (int64_t)v->size_bytes);
            sm_json_end_object(w);
        }
    }
    sm_json_end_array(w);
}

static void put_commands(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_array(w, "commands");
    for (int64_t i = 0; i < r->n_commands; i++) {
        sm_json_begin_object(w);
        sm_json_set_text(w, "name", r->commands[i].name);
        sm_json_key(w, SM_STR("seconds"));
        sm_json_put_fixed(w, (double)r->commands[i].wall_ns / 1e9, 3);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

/* The tables that were sorted: what moved. */
static void put_clustered(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_array(w, "clustered");
    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_cluster_report *c = r->tables[i].clustered;
        SM_ASSERT((c != NULL) == (r->tables[i].kind == SM_TASK_CLUSTER));
        if (!c) {
            continue;
        }
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "name", r->tables[i].name);
        sm_json_set_i64_or_null(w, "version", c->version); /* null: nothing had to move */
        sm_json_set_i64(w, "removed_files", c->n_removed);
        sm_json_set_i64(w, "removed_bytes", (int64_t)c->removed_bytes);
        sm_json_set_i64(w, "added_files", c->n_added);
        sm_json_set_i64(w, "added_bytes", (int64_t)c->added_bytes);
        sm_json_set_i64(w, "rows", c->n_rows);
        sm_json_set_i64(w, "kept_files", c->n_kept);
        sm_json_set_i64(w, "waiting_files", c->n_waiting);
        sm_json_set_i64(w, "sets", c->n_sets);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

/* The rules of all tables that were judged. */
static void put_contracts(sm_json_writer *w, const sm_run_report *r)
{
    sm_json_set_array(w, "contracts");
    for (int64_t i = 0; i < r->n_contracts; i++) {
        if (r->contracts[i]->json.len > 0) {
            sm_json_put_raw(w, r->contracts[i]->json);
        }
    }
    sm_json_end_array(w);
}

static void put_network(sm_json_writer *w, const sm_store_counts *network)
{
    sm_json_set_object(w, "network");
    sm_json_set_i64(w, "requests", network->requests);
    sm_json_set_i64(w, "retries", network->retries);
    sm_json_set_i64(w, "read_bytes", network->read_bytes);
    sm_json_set_i64(w, "written_bytes", network->written_bytes);
    sm_json_end_object(w);
}

void sm_run_report_json(const sm_run_report *r, const sm_error *e, sm_json_writer *w)
{
    sm_json_begin_object(w);
    put_lines(w, r);
    put_file_counts(w, r);
    put_missing_days(w, r);
    put_file_changes(w, r);
    put_tables(w, r, false);
    put_tables(w, r, true);
    put_clustered(w, r);
    put_upkeep(w, r);
    put_commands(w, r);
    put_drift(w, r);
    sm_json_key(w, SM_STR("mixed_seconds"));
    if (r->mixed_ns < 0) {
        sm_json_put_null(w); /* another smelt has published them */
    } else {
        sm_json_put_fixed(w, (double)r->mixed_ns / 1e9, 6);
    }
    put_contracts(w, r);
    put_network(w, &r->network);
    sm_json_key(w, SM_STR("seconds"));
    sm_json_put_fixed(w, (double)r->wall_ns / 1e9, 3);
    sm_json_set_i64(w, "peak_bytes", r->peak_bytes);
    if (e) {
        sm_json_set_error(w, e);
    }
    sm_json_end_object(w);
}
