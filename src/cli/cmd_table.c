/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_table.c: `smelt table VERB URI`: prints a Delta table's columns and properties, its
 * commits, or its data files; makes an earlier version's rows the table's again. The other verbs
 * have files of their own (cli_change.c, cli_optimize.c, cli_cluster.c, cli_vacuum.c, cli_fsck.c,
 * cli_diff.c). */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

typedef struct options {
    int64_t limit;
    const char *version_text, *time_text, *target_size, *partition_by;
    bool dry_run;
    const char *curve;
    smi_vacuum_opts vacuum;
    smi_fsck_opts fsck;
    smi_diff_opts diff;
    smi_alter_opts alter;
    const char *table;
    smi_change_opts change;
} options;

static const smi_opt option_table[] = {
    {"--version", SMI_OPT_TEXT, "N",
     "show, files, restore, clone: a version (default, but for restore: the latest)",
     offsetof(options, version_text)},
    {"--timestamp", SMI_OPT_TEXT, "T", "in its place: the newest version that is not later than T",
     offsetof(options, time_text)},
    {"--limit", SMI_OPT_I64, "N", "history, files, diff: print at most N",
     offsetof(options, limit)},
    {"--target-size", SMI_OPT_TEXT, "SIZE",
     "optimize: join files up to SIZE (default: delta.targetFileSize of the table, or 256MiB)",
     offsetof(options, target_size)},
    {"--curve", SMI_OPT_TEXT, "CURVE", "cluster: zorder or hilbert (default: zorder)",
     offsetof(options, curve)},
    {"--retention", SMI_OPT_TEXT, "TIME",
     "vacuum: keep what was removed less than TIME ago: 7d, 12h, 30m (default: as the table says)",
     offsetof(options, vacuum.retention)},
    {"--no-retention-check", SMI_OPT_FLAG, NULL,
     "vacuum: --retention may be shorter than the table's own",
     offsetof(options, vacuum.no_retention_check)},
    {"--lite", SMI_OPT_FLAG, NULL,
     "vacuum: do not list the folder; only files that the log removed",
     offsetof(options, vacuum.lite)},
    {"--dry-run", SMI_OPT_FLAG, NULL,
     "vacuum, restore, optimize, cluster, convert, fsck, alter, constrain: only print what would "
     "be done",
     offsetof(options, dry_run)},
    {"--repair", SMI_OPT_FLAG, NULL, "fsck: remove the entries of files that are gone from the log",
     offsetof(options, fsck.repair)},
    {"--damaged", SMI_OPT_FLAG, NULL, "fsck --repair: also those of files that are damaged",
     offsetof(options, fsck.damaged)},
    {"--rows", SMI_OPT_TEXT, "N",
     "fsck --repair: how many rows may go with them; fsck --repair says how many would",
     offsetof(options, fsck.rows)},
    {"--data", SMI_OPT_FLAG, NULL, "fsck: read all pages, and compare statistics with the values",
     offsetof(options, fsck.data)},
    {"--partition-by", SMI_OPT_TEXT, "'A TYPE, ...'",
     "convert: the columns in the names of folders (default: as their values look)",
     offsetof(options, partition_by)},
    {"--from", SMI_OPT_TEXT, "N", "diff: the earlier version", offsetof(options, diff.from)},
    {"--to", SMI_OPT_TEXT, "N", "diff: the later version (default: the latest)",
     offsetof(options, diff.to)},
    {"--by", SMI_OPT_TEXT, "KEY,...",
     "diff: columns by which rows belong together (default: whole rows are compared); cluster: "
     "columns to sort by (default: those of the last time)",
     offsetof(options, diff.by)},
    {"--format", SMI_OPT_TEXT, "NAME",
     "diff: table, csv, json, ndjson, md (default: table on a terminal, else csv)",
     offsetof(options, diff.format)},
    {"--table", SMI_OPT_TEXT, "NAME",
     "constrain: the table of the contract (default: its only one)", offsetof(options, table)},
    {"--enable", SMI_OPT_LIST, "FEATURE", "alter: turn on column-mapping or type-widening",
     offsetof(options, alter.enable)},
    {"--where", SMI_OPT_TEXT, "CONDITION", "delete, update: the rows that go or change, as in SQL",
     offsetof(options, change.where)},
    {"--set", SMI_OPT_TEXT, "'A = X, ...'", "update: their new values",
     offsetof(options, change.set)},
    {"--using", SMI_OPT_TEXT, "SOURCE", "merge: the new rows: a file, a table's folder or a query",
     offsetof(options, change.using)},
    {"--on", SMI_OPT_TEXT, "KEY,...", "merge: columns by which a new row takes the place of one",
     offsetof(options, change.on)},
    {"--readers", SMI_OPT_TEXT, "LIST",
     "alter: programs that must be able to read the table: clickhouse, delta-rs, duckdb, polars, "
     "spark",
     offsetof(options, alter.readers)},
    {0},
};

static void print_row(const char *name, const char *fmt, ...) SM_PRINTF(2, 3);
static void print_row(const char *name, const char *fmt, ...)
{
    va_list args;

    printf("%s%-13s%s", smi_bold(), name, smi_plain());
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

static int64_t limit_of(const options *o)
{
    return smi_given_or(o->limit, -1);
}

/* ---- show ------------------------------------------------------------------------------------ */

static void print_totals(const sm_delta_totals *t)
{
    char text[SM_SIZE_TEXT_BYTES], size[SM_SIZE_TEXT_BYTES];

    sm_format_count(t->n_rows, text);
    sm_format_size(t->bytes, size);
    print_row("rows", "%s", t->n_rows >= 0 ? text : "not in the statistics");
    print_row("files", "%" PRId64 ", %s", t->n_files, size);
}

static void print_columns(const sm_type *schema)
{
    sm_buf text = {0};

    for (int32_t i = 0; i < schema->n_fields; i++) {
        sm_buf_reset(&text);
        sm_type_print(schema->fields[i].type, &text);
        print_row(i ? "" : "columns", "%.*s %.*s%s", SM_STR_ARG(schema->fields[i].name),
                  SM_STR_ARG(sm_buf_str(&text)), schema->fields[i].is_nullable ? "" : " NOT NULL");
    }
    sm_buf_release(&text);
}

static void put_columns(sm_json_writer *w, const sm_type *schema)
{
    sm_buf text = {0};

    sm_json_set_array(w, "columns");
    for (int32_t i = 0; i < schema->n_fields; i++) {
        sm_buf_reset(&text);
        sm_type_print(schema->fields[i].type, &text);
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "name", schema->fields[i].name);
        sm_json_set_text_or_null(w, "type", sm_buf_str(&text));
        sm_json_set_bool(w, "nullable", schema->fields[i].is_nullable);
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
    sm_buf_release(&text);
}

static void put_details(sm_json_writer *w, const sm_delta_metadata *m)
{
    sm_json_set_array(w, "partitioned");
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        sm_json_put_text(w, m->partition_columns[i]);
    }
    sm_json_end_array(w);
    sm_json_set_object(w, "properties");
    for (int32_t i = 0; i < m->n_config; i++) {
        sm_json_key(w, m->config[i].key);
        sm_json_put_text(w, m->config[i].value);
    }
    sm_json_end_object(w);
}

static void answer_show(smi_cli *cli, const sm_snapshot *s, const sm_delta_totals *t)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(s);
    const sm_delta_protocol *p = sm_snapshot_protocol(s);
    const char *const *readers = NULL;
    int32_t n_readers = 0;
    int64_t n_txns = 0;
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_snapshot_txns(s, &n_txns);
    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", sm_store_uri(sm_snapshot_store(s)));
    sm_json_set_i64_or_null(&w, "version", sm_snapshot_version(s));
    sm_json_set_i64_or_null(&w, "rows", t->n_rows);
    sm_json_set_i64_or_null(&w, "files", t->n_files);
    sm_json_set_i64_or_null(&w, "bytes", t->bytes);
    put_columns(&w, m->schema);
    put_details(&w, m);
    sm_json_set_object(&w, "protocol");
    sm_json_set_i64(&w, "reader", p->min_reader);
    sm_json_set_i64(&w, "writer", p->min_writer);
    sm_json_end_object(&w);
    sm_json_set_array(&w, "features");
    for (int32_t i = 0; i < p->n_writer_features; i++) {
        sm_json_put_text(&w, p->writer_features[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_array(&w, "read_by");
    n_readers = sm_delta_readers_of(p, &readers, cli->arena);
    for (int32_t i = 0; i < n_readers; i++) {
        sm_json_put_text(&w, sm_str_of(readers[i]));
    }
    sm_json_end_array(&w);
    sm_json_set_i64_or_null(&w, "transactions", n_txns);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* Of a table whose protocol lists features: those, and the programs that know them. */
static void print_features(const sm_delta_protocol *p, sm_arena *a)
{
    const char *const *readers = NULL;
    const int32_t n = sm_delta_readers_of(p, &readers, a);

    for (int32_t i = 0; i < p->n_writer_features; i++) {
        print_row(i ? "" : "features", "%.*s", SM_STR_ARG(p->writer_features[i]));
    }
    for (int32_t i = 0; p->n_writer_features > 0 && i < n; i++) {
        print_row(i ? "" : "read by", "%s", readers[i]);
    }
}

static sm_status show_table(smi_cli *cli, const sm_snapshot *s, const options *o, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(s);
    const sm_delta_protocol *p = sm_snapshot_protocol(s);
    sm_delta_totals t = {0};
    int64_t n_txns = 0;

    SM_TRY(sm_snapshot_totals(s, &t, e));
    if (cli->globals.json) {
        answer_show(cli, s, &t);
        return SM_OK;
    }
    print_row("table", "%.*s", SM_STR_ARG(sm_store_uri(sm_snapshot_store(s))));
    print_row("version", "%" PRId64, sm_snapshot_version(s));
    print_totals(&t);
    print_columns(m->schema);
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        print_row(i ? "" : "partitioned", "%.*s", SM_STR_ARG(m->partition_columns[i]));
    }
    for (int32_t i = 0; i < m->n_config; i++) {
        print_row(i ? "" : "properties", "%.*s = %.*s", SM_STR_ARG(m->config[i].key),
                  SM_STR_ARG(m->config[i].value));
    }
    print_row("protocol", "reader %d, writer %d", p->min_reader, p->min_writer);
    print_features(p, cli->arena);
    sm_snapshot_txns(s, &n_txns);
    print_row("transactions", "%" PRId64, n_txns);
    return SM_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The text that lists files. It is printed at its end: until then all may begin anew. */
typedef struct file_list {
    sm_buf text;
    sm_json_writer json;
    bool is_json;
    int64_t n, limit; /* limit −1: none */
} file_list;

static void begin_files(void *ctx)
{
    file_list *l = ctx;

    sm_buf_reset(&l->text);
    l->n = 0;
    l->json = (sm_json_writer){.out = &l->text};
    if (l->is_json) {
        sm_json_begin_object(&l->json);
        sm_json_set_array(&l->json, "files");
    }
}

static sm_status add_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    file_list *l = ctx;
    char size[SM_SIZE_TEXT_BYTES], rows[SM_SIZE_TEXT_BYTES];
    const int64_t n_rows = sm_delta_file_rows(f);

    (void)e;
    if (l->limit >= 0 && l->n >= l->limit) {
        return SM_END;
    }
    l->n++;
    if (l->is_json) {
        sm_json_begin_object(&l->json);
        sm_json_set_text_or_null(&l->json, "path", f->path);
        sm_json_set_i64_or_null(&l->json, "rows", n_rows);
        sm_json_set_i64_or_null(&l->json, "bytes", (int64_t)f->size_bytes);
        sm_json_end_object(&l->json);
        return SM_OK;
    }
    sm_format_size((int64_t)f->size_bytes, size);
    sm_format_count(n_rows, rows);
    sm_buf_printf(&l->text, "%12s rows  %9s  %.*s\n", n_rows < 0 ? "?" : rows, size,
                  SM_STR_ARG(f->path));
    return SM_OK;
}

static sm_status list_files(smi_cli *cli, const sm_snapshot *s, const options *o, sm_error *e)
{
    file_list l = {.is_json = cli->globals.json, .limit = limit_of(o)};
    sm_error ended = {0};

    const sm_status st = sm_snapshot_each(
        s, NULL, &(sm_delta_sink){.begin = begin_files, .file = add_file, .ctx = &l}, &ended);
    if (st != SM_OK && st != SM_END) {
        sm_buf_release(&l.text);
        *e = ended;
        return st;
    }
    if (l.is_json) {
        sm_json_end_array(&l.json);
        sm_json_end_object(&l.json);
        smi_answer_print(cli, &l.json);
        return SM_OK;
    }
    fwrite(l.text.data, 1, l.text.len, stdout);
    sm_buf_release(&l.text);
    return SM_OK;
}

/* ---- history --------------------------------------------------------------------------------- */

/* The text that lists commits. */
typedef struct commit_list {
    sm_buf text;
    sm_json_writer json;
    bool is_json;
    int64_t last; /* the version before in the list; −1: none */
} commit_list;

static sm_status add_commit(void *ctx, const sm_delta_commit_info *c, sm_error *e)
{
    commit_list *l = ctx;
    char when[SM_TIME_TEXT_BYTES];

    (void)e;
    SM_ASSERT(l->last < 0 || c->version < l->last); /* the newest first */
    l->last = c->version;
    if (!l->is_json) {
        sm_format_timestamp(c->timestamp_ms / 1000 * 1000000, when);
        sm_buf_printf(&l->text, "%s%6" PRId64 "%s  %s  %-14.*s %.*s%s%.*s\n", smi_bold(),
                      c->version, smi_plain(), when, SM_STR_ARG(c->operation),
                      SM_STR_ARG(c->metrics_json), c->user_metadata.len ? "  " : "",
                      SM_STR_ARG(c->user_metadata));
        return SM_OK;
    }
    sm_format_timestamp(c->timestamp_ms * 1000, when);
    sm_json_begin_object(&l->json);
    sm_json_set_i64_or_null(&l->json, "version", c->version);
    sm_json_set_text_or_null(&l->json, "time", sm_str_of(when));
    sm_json_set_text_or_null(&l->json, "operation", c->operation);
    sm_json_set_raw(&l->json, "metrics", c->metrics_json.len ? c->metrics_json : SM_STR("null"));
    sm_json_set_text_or_null(&l->json, "user_metadata", c->user_metadata);
    sm_json_end_object(&l->json);
    return SM_OK;
}

static sm_status list_commits(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    commit_list l = {.is_json = cli->globals.json, .last = -1};

    l.json = (sm_json_writer){.out = &l.text};
    if (l.is_json) {
        sm_json_begin_object(&l.json);
        sm_json_set_array(&l.json, "commits");
    }
    const sm_status st =
        sm_delta_history_each(store, limit_of(o), cli->env.budget, add_commit, &l, e);
    if (st == SM_OK && l.is_json) {
        sm_json_end_array(&l.json);
        sm_json_end_object(&l.json);
        smi_answer_print(cli, &l.json);
        return SM_OK;
    }
    if (st == SM_OK && l.text.len > 0) {
        fwrite(l.text.data, 1, l.text.len, stdout);
    }
    sm_buf_release(&l.text);
    return st;
}

/* ---- which version --------------------------------------------------------------------------- */

/* What --version or --timestamp says. */
static sm_status read_at(const options *o, sm_table_at *out, sm_error *e)
{
    *out = (sm_table_at){.kind = SM_AT_NEWEST};
    if (o->version_text && o->time_text) {
        return sm_fail(e, SM_USAGE, "--version and --timestamp exclude each other");
    }
    if (o->version_text) {
        out->kind = SM_AT_VERSION;
        if (!sm_parse_i64(sm_str_of(o->version_text), &out->version) || out->version < 0) {
            return sm_fail(e, SM_USAGE,
                           "--version \"%s\" is not a version, which is a number from 0 on",
                           o->version_text);
        }
    }
    if (o->time_text) {
        out->kind = SM_AT_TIME;
        if (!sm_parse_instant(sm_str_of(o->time_text), &out->time_us)) {
            const sm_status st =
                sm_fail(e, SM_USAGE, "--timestamp \"%s\" is not a time", o->time_text);
            sm_error_todo(e, "It is like 2022-04-30 or 2022-04-30T17:05:00, in UTC where it names "
                             "no zone.");
            return st;
        }
    }
    return SM_OK;
}

/* ---- restore --------------------------------------------------------------------------------- */

static void answer_restore(smi_cli *cli, sm_store *store, const sm_restored *r)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", sm_store_uri(store));
    sm_json_set_i64_or_null(&w, "from", r->from);
    sm_json_set_i64_or_null(&w, "restored", r->version);
    sm_json_set_i64_or_null(&w, "version", r->made);
    sm_json_set_i64_or_null(&w, "removed_files", r->n_removed);
    sm_json_set_i64_or_null(&w, "removed_bytes", r->removed_bytes);
    sm_json_set_i64_or_null(&w, "restored_files", r->n_restored);
    sm_json_set_i64_or_null(&w, "restored_bytes", r->restored_bytes);
    sm_json_set_i64_or_null(&w, "files", r->n_files);
    sm_json_set_i64_or_null(&w, "bytes", r->bytes);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static sm_status restore_table(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    sm_restore opts = {.is_trial = o->dry_run};
    sm_restored r = {0};
    char removed[SM_SIZE_TEXT_BYTES], restored[SM_SIZE_TEXT_BYTES], files[SM_COUNTED_TEXT_BYTES];

    SM_TRY(read_at(o, &opts.at, e));
    if (opts.at.kind == SM_AT_NEWEST) {
        const sm_status st = sm_fail(e, SM_USAGE, "smelt table restore needs a version");
        sm_error_todo(e, "Name it with --version or --timestamp; smelt table history lists them.");
        return st;
    }
    SM_TRY(sm_table_restore(store, &opts, cli->env.budget, &r, e));
    SM_ASSERT((r.made < 0) == (o->dry_run || r.is_same));
    if (cli->globals.json) {
        answer_restore(cli, store, &r);
        return SM_OK;
    }
    sm_format_size(r.removed_bytes, removed);
    sm_format_size(r.restored_bytes, restored);
    print_row("restored", "version %" PRId64, r.version);
    if (r.is_same) {
        print_row("version", "%" PRId64 " stays: the table is as at version %" PRId64, r.from,
                  r.version);
    } else if (o->dry_run) {
        print_row("version", "%" PRId64 " stays: this was a dry run", r.from);
    } else {
        print_row("version", "%" PRId64, r.made);
    }
    sm_format_counted(r.n_removed, "file", files);
    print_row("removed", "%s, %s", files, removed);
    sm_format_counted(r.n_restored, "file", files);
    print_row("brought back", "%s, %s", files, restored);
    return SM_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status vacuum_table(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_vacuum_run(cli, sm_store_uri(store), &o->vacuum, o->dry_run, e);
}

static sm_status check_table(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    SM_TRY(o->fsck.repair && !o->dry_run ? smi_settle_first(cli, store, e) : SM_OK);
    return smi_fsck_run(cli, store, &o->fsck, o->dry_run, e);
}

static sm_status optimize_table(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_optimize_run(cli, sm_store_uri(store), o->target_size, o->dry_run, e);
}

static sm_status convert_folder(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_convert_run(cli, store, o->partition_by, o->dry_run, e);
}

static sm_status compare_versions(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_diff_run(cli, store, &o->diff, limit_of(o), e);
}

static sm_status cluster_table(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    const smi_cluster_opts opts = {.by = o->diff.by, .curve = o->curve};

    return smi_cluster_run(cli, sm_store_uri(store), &opts, o->dry_run, e);
}

static sm_status clone_table(smi_cli *cli, char **args, int n_args, const options *o, sm_error *e)
{
    sm_table_at at;

    if (n_args != 2) {
        return sm_fail(e, SM_USAGE, "smelt table clone needs a source and a target");
    }
    SM_TRY(read_at(o, &at, e));
    return smi_clone_run(cli, args[0], args[1], &at, e);
}

static sm_status alter_table(smi_cli *cli, char **args, int n_args, const options *o, sm_error *e)
{
    return smi_alter_table(cli, args, n_args, &o->alter, o->dry_run, e);
}

static sm_status constrain_table(smi_cli *cli, char **args, int n_args, const options *o,
                                 sm_error *e)
{
    return n_args == 2 ? smi_constrain_run(cli, args[0], args[1], o->table, o->dry_run, e)
                       : sm_fail(e, SM_USAGE, "smelt table constrain needs a table and a contract");
}

static sm_status delete_rows(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_change_table(cli, "delete", sm_store_uri(store), &o->change, e);
}

static sm_status update_rows(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_change_table(cli, "update", sm_store_uri(store), &o->change, e);
}

static sm_status merge_rows(smi_cli *cli, sm_store *store, const options *o, sm_error *e)
{
    return smi_change_table(cli, "merge", sm_store_uri(store), &o->change, e);
}

/* Each verb looks at one version of the table, or at its store; or it has more arguments. */
static const struct verb {
    const char *name;
    sm_status (*of_snapshot)(smi_cli *cli, const sm_snapshot *s, const options *o, sm_error *e);
    sm_status (*of_store)(smi_cli *cli, sm_store *store, const options *o, sm_error *e);
    sm_status (*of_args)(smi_cli *cli, char **args, int n_args, const options *o, sm_error *e);
    const char *options; /* that it has, a space before and behind each */
    bool settles;        /* it completes an open publication before it changes the table */
} verbs[] = {
    {"show", show_table, NULL, NULL, " --version --timestamp "},
    {"files", list_files, NULL, NULL, " --version --timestamp --limit "},
    {"history", NULL, list_commits, NULL, " --limit "},
    {"restore", NULL, restore_table, NULL, " --version --timestamp --dry-run ", true},
    {"optimize", NULL, optimize_table, NULL, " --target-size --dry-run ", true},
    {"cluster", NULL, cluster_table, NULL, " --by --curve --dry-run ", true},
    {"vacuum", NULL, vacuum_table, NULL, " --retention --no-retention-check --lite --dry-run ",
     true},
    {"fsck", NULL, check_table, NULL, " --repair --damaged --rows --data --dry-run "},
    {"convert", NULL, convert_folder, NULL, " --partition-by --dry-run ", true},
    {"clone", NULL, NULL, clone_table, " --version --timestamp "},
    {"diff", NULL, compare_versions, NULL, " --from --to --by --format --limit "},
    {"delete", NULL, delete_rows, NULL, " --where "},
    {"update", NULL, update_rows, NULL, " --set --where "},
    {"merge", NULL, merge_rows, NULL, " --using --on "},
    {"alter", NULL, NULL, alter_table, " --enable --readers --dry-run "},
    {"constrain", NULL, NULL, constrain_table, " --table --dry-run "},
};

static bool is_given(const options *o, const smi_opt *opt)
{
    const void *at = (const char *)o + opt->offset;

    switch (opt->type) {
    case SMI_OPT_FLAG:
        return *(const bool *)at;
    case SMI_OPT_TEXT:
        return *(const char *const *)at != NULL;
    case SMI_OPT_LIST:
        return ((const smi_list *)at)->n > 0;
    default:
        SM_ASSERT(opt->type == SMI_OPT_I64); /* the table has no others */
        return *(const int64_t *)at != SMI_NOT_GIVEN;
    }
}

/* An option of another verb would be passed over, and the user would not know. */
static sm_status check_options(const struct verb *v, const options *o, sm_arena *a, sm_error *e)
{
    for (const smi_opt *opt = option_table; opt->name; opt++) {
        if (is_given(o, opt) && !strstr(v->options, sm_arena_printf(a, " %s ", opt->name))) {
            return sm_fail(e, SM_USAGE, "smelt table %s has no option %s", v->name, opt->name);
        }
    }
    return SM_OK;
}

static sm_status run_verb(smi_cli *cli, const struct verb *v, sm_store *store, const options *o,
                          sm_error *e)
{
    sm_snapshot *snapshot = NULL;
    sm_table_at at;

    SM_ASSERT((v->of_store == NULL) != (v->of_snapshot == NULL)); /* else it has arguments */
    if (v->of_store) {
        SM_TRY(v->settles && !o->dry_run ? smi_settle_first(cli, store, e) : SM_OK);
        return v->of_store(cli, store, o, e);
    }
    SM_TRY(read_at(o, &at, e));
    sm_status st = sm_table_open_at(store, &at, cli->env.budget, &snapshot, e);
    if (st == SM_OK) {
        st = v->of_snapshot(cli, snapshot, o, e);
    }
    sm_snapshot_release(snapshot);
    return st;
}

/* args: behind the verb. */
static sm_status run_with_args(smi_cli *cli, const struct verb *v, char **args, int n_args,
                               const options *o, sm_error *e)
{
    sm_store *store = NULL;

    if (v->of_args) {
        return v->of_args(cli, args, n_args, o, e);
    }
    if (n_args != 1) {
        return sm_fail(e, SM_USAGE, "smelt table %s takes one table", v->name);
    }
    SM_TRY(sm_store_open(cli->env.stores, sm_str_of(args[0]), &store, e));
    const sm_status st = run_verb(cli, v, store, o, e);
    sm_store_release(store);
    return st;
}

static sm_status run_table_verb(smi_cli *cli, const void *opts, char **args, int n_args,
                                sm_error *e)
{
    for (int i = 0; i < SM_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, args[0]) == 0) {
            SM_TRY(check_options(&verbs[i], opts, cli->arena, e));
            return run_with_args(cli, &verbs[i], args + 1, n_args - 1, opts, e);
        }
    }
    const sm_status st = sm_fail(e, SM_USAGE, "smelt table has no command \"%s\"", args[0]);
    sm_error_todo(e, "Use show, history, files, diff, delete, update, merge, alter, constrain, "
                     "restore, optimize, cluster, vacuum, fsck, convert or clone.");
    return st;
}

const smi_command smi_command_table = {
    .name = "table",
    .usage = "show|history|files|diff|delete|update|merge|restore|optimize|cluster|vacuum|fsck|"
             "convert URI, alter URI CHANGE..., constrain URI CONTRACT, or clone SOURCE TARGET",
    .summary = "Shows, changes, checks, restores, optimizes, sorts or vacuums a Delta table.",
    .details = "  smelt table history ./lake/gold/orders --limit 5\n"
               "  smelt table restore ./lake/gold/orders --version 3 --dry-run\n"
               "  smelt table optimize ./lake/gold/orders --target-size 256MB\n"
               "  smelt table cluster ./lake/silver/orders --by day,customer\n"
               "  smelt table vacuum ./lake/gold/orders --dry-run\n"
               "  smelt table fsck ./lake/gold/orders --data\n"
               "  smelt table diff ./lake/gold/orders --from 3 --by id\n"
               "  smelt table alter ./lake/gold/orders 'ADD COLUMN note VARCHAR AFTER id'\n"
               "  smelt table constrain ./lake/gold/orders orders.yaml --dry-run\n"
               "  smelt table delete ./lake/gold/orders --where \"day < '2022-04-01'\"\n"
               "  smelt table merge ./lake/gold/orders --using new.parquet --on id\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 100,
    .run = run_table_verb,
};
