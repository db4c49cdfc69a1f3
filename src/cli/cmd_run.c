/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_run.c: `smelt run PIPELINE`: runs a pipeline and prints what was done: for people on
 * stderr, or with --json as one object on stdout. */
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_runs_int.h"

typedef struct options {
    smi_list vars;
    const char *date, *task, *refresh, *html, *run_id;
    bool no_retries, keep_old, same_root, other_root;
    size_t morsel_bytes;
} options;

static const smi_opt option_table[] = {
    {"--var", SMI_OPT_LIST, "K=V", "set a variable of the pipeline; can be repeated",
     offsetof(options, vars)},
    {"--date", SMI_OPT_TEXT, "D",
     "the run's logical date, like 2022-04-30 or 2022-04-30T06:00, in UTC (default: today)",
     offsetof(options, date)},
    {"--select --task", SMI_OPT_TEXT, "S",
     "run only these tasks: names, layer.*, @tag; T+ also those that need T, +T those that it "
     "needs",
     offsetof(options, task)},
    {"--full-refresh", SMI_OPT_TEXT, "TABLE",
     "rebuild this table; a loaded table from all files it was ever loaded from",
     offsetof(options, refresh)},
    {"--html", SMI_OPT_TEXT, "FILE",
     "write the verdicts of all contracts to FILE as a page, also of a run that fails",
     offsetof(options, html)},
    {"--no-retries", SMI_OPT_FLAG, NULL,
     "a task that failed is not done again, whatever the pipeline says",
     offsetof(options, no_retries)},
    {"--keep-old", SMI_OPT_FLAG, NULL,
     "if a load's SQL has changed, keep its rows and load new files by the new SQL",
     offsetof(options, keep_old)},
    {"--same-root", SMI_OPT_FLAG, NULL,
     "the source's folder is one that was loaded before and has moved",
     offsetof(options, same_root)},
    {"--other-root", SMI_OPT_FLAG, NULL, "the source's folder is a further one, with its own files",
     offsetof(options, other_root)},
    {"--run-id", SMI_OPT_TEXT, "ID",
     "the run's id; one that is queued, or whose process was killed, goes on (default: a new one)",
     offsetof(options, run_id)},
    {"--morsel-size", SMI_OPT_SIZE, "SIZE",
     "bytes of a log per unit of work, a multiple of 64KiB (default: 1MiB)",
     offsetof(options, morsel_bytes)},
    {0},
};

/* ---- for people ------------------------------------------------------------------------------ */

#define SHOWN_UNKNOWN_KEYS 5
#define SHOWN_FILES        20 /* of those that moved, of copies, and of those that are gone */
#define SHOWN_EXAMPLES     3  /* of each rule; --json has more */

static const char *count_text(int64_t n, char text[SM_SIZE_TEXT_BYTES])
{
    sm_format_count(n, text);
    return text;
}

static void print_lines(const sm_run_report *r)
{
    char read[SM_SIZE_TEXT_BYTES], kept[SM_SIZE_TEXT_BYTES], refused[SM_SIZE_TEXT_BYTES];
    char blank[SM_SIZE_TEXT_BYTES];
    const sm_scan_counts *c = &r->counts;

    SM_ASSERT(c->lines >= c->refused + c->blank + c->shape_lines);
    fprintf(stderr, "lines   %s read = %s kept + %s quarantined + %s blank\n",
            count_text(c->lines, read), count_text(c->lines - c->refused - c->blank, kept),
            count_text(c->refused, refused), count_text(c->blank, blank));
    fprintf(stderr,
            "files   %" PRId64 " read, %" PRId64 " unchanged and skipped, %" PRId64
            " ignored by name\n",
            r->files_read, r->files_skipped, r->files_ignored);
    if (c->shape_lines > 0) {
        fprintf(stderr, "parsed  %s by the shape of earlier lines, %s in full\n",
                count_text(c->shape_lines, kept),
                count_text(c->lines - c->blank - c->shape_lines, read));
    }
}

/* Consecutive days are one line: "missing 2022-04-07 to 2022-04-30 have no lines". */
static void print_missing_days(const sm_run_report *r)
{
    char first[SM_TIME_TEXT_BYTES], last[SM_TIME_TEXT_BYTES];

    for (int64_t i = 0; i < r->n_missing_days;) {
        int64_t end = i + 1;
        while (end < r->n_missing_days && r->missing_days[end] == r->missing_days[end - 1] + 1) {
            end++;
        }
        sm_format_date(r->missing_days[i], first);
        sm_format_date(r->missing_days[end - 1], last);
        if (end == i + 1) {
            fprintf(stderr, "missing %s has no lines\n", first);
        } else {
            fprintf(stderr, "missing %s to %s have no lines\n", first, last);
        }
        i = end;
    }
}

static void print_odd(const sm_run_report *r)
{
    char kept[SM_COUNTED_TEXT_BYTES], lines[SM_SIZE_TEXT_BYTES];

    if (r->counts.unknown_lines) {
        sm_format_counted(r->counts.unknown_lines, "kept line", kept);
        fprintf(stderr, "unknown %s %s keys that no column takes:", kept,
                r->counts.unknown_lines == 1 ? "has" : "have");
        for (int64_t i = 0; i < r->n_unknown && i < SHOWN_UNKNOWN_KEYS; i++) {
            fprintf(stderr, "%s %.*s (%s)", i ? "," : "", SM_STR_ARG(r->unknown[i].path),
                    count_text(r->unknown[i].lines, lines));
        }
        fprintf(stderr, "%s\n", r->n_unknown > SHOWN_UNKNOWN_KEYS ? ", ..." : "");
    }
    print_missing_days(r);
}

/* Says how many files of a kind were not named. */
static void print_others(const char *kind, int64_t n)
{
    char text[SM_COUNTED_TEXT_BYTES];

    if (n > SHOWN_FILES) {
        sm_format_counted(n - SHOWN_FILES, "other", text);
        fprintf(stderr, "%-7s %s\n", kind, text);
    }
}

static void print_moved(const sm_run_report *r)
{
    for (int64_t i = 0; i < r->n_moved_files && i < SHOWN_FILES; i++) {
        fprintf(stderr, "moved   %.*s is %.*s now\n", SM_STR_ARG(r->moved_files[i].from),
                SM_STR_ARG(r->moved_files[i].to));
    }
    print_others("moved", r->n_moved_files);
}

/* A rule that did not pass, with the rows that break it. */
static void print_rule(const sm_contract_report *c, const sm_rule_report *rule)
{
    fprintf(stderr, "%s %.*s %.*s: %.*s\n",
            rule->outcome == SM_OUTCOME_FAILED ? "failed " : "warning", SM_STR_ARG(c->table),
            SM_STR_ARG(rule->rule), SM_STR_ARG(rule->text));
    for (int32_t i = 0; i < rule->n_examples && i < SHOWN_EXAMPLES; i++) {
        fprintf(stderr, "        %.*s\n", SM_STR_ARG(rule->examples[i]));
    }
}

/* The rules of all contracts that did not pass. */
static void print_broken(const sm_run_report *r)
{
    for (int64_t i = 0; i < r->n_contracts; i++) {
        for (int64_t k = 0; k < r->contracts[i]->n_rules; k++) {
            if (r->contracts[i]->rules[k].outcome != SM_OUTCOME_PASSED) {
                print_rule(r->contracts[i], &r->contracts[i]->rules[k]);
            }
        }
    }
}

static void print_contracts(const sm_run_report *r)
{
    char count[SM_COUNTED_TEXT_BYTES];

    for (int64_t i = 0; i < r->n_contracts; i++) {
        const sm_contract_report *c = r->contracts[i];
        sm_format_counted(c->n_passed, "rule", count);
        fprintf(stderr, "contract %.*s: %s passed", SM_STR_ARG(c->table), count);
        if (c->n_warned > 0) {
            fprintf(stderr, ", %" PRId64 " warned", c->n_warned);
        }
        if (c->n_unchecked > 0) {
            fprintf(stderr, ", %" PRId64 " not checked", c->n_unchecked);
        }
        if (c->n_quarantined > 0) {
            sm_format_counted(c->n_quarantined, "row", count);
            fprintf(stderr, ", %s quarantined", count);
        }
        if (c->n_nulled > 0) {
            sm_format_counted(c->n_nulled, "value", count);
            fprintf(stderr, ", %s made NULL", count);
        }
        SM_ASSERT(c->n_failed == 0); /* else the run has failed */
        fputc('\n', stderr);
    }
}

/* "drift   x came into raw.orders (12 lines, VARCHAR)" */
static void print_drift(const sm_run_report *r)
{
    char lines[SM_COUNTED_TEXT_BYTES];

    for (int64_t i = 0; i < r->n_drift && i < SHOWN_FILES; i++) {
        const sm_key_drift *d = &r->drift[i];
        sm_format_counted(d->lines, "line", lines);
        fprintf(stderr, "drift   %.*s ", SM_STR_ARG(d->path));
        if (d->change == SM_DRIFT_TYPE) {
            fprintf(stderr, "of %.*s was %.*s, is %.*s (%s)\n", SM_STR_ARG(d->table),
                    SM_STR_ARG(d->was), SM_STR_ARG(d->is), lines);
        } else if (d->change == SM_DRIFT_CAME) {
            fprintf(stderr, "came into %.*s (%s, %.*s)\n", SM_STR_ARG(d->table), lines,
                    SM_STR_ARG(d->is));
        } else {
            fprintf(stderr, "went from %.*s (%s before, %.*s)\n", SM_STR_ARG(d->table), lines,
                    SM_STR_ARG(d->was));
        }
    }
    print_others("drift", r->n_drift);
}

/* What is printed with --json and --quiet too. */
static void print_warnings(const sm_run_report *r)
{
    print_broken(r);
    print_drift(r);
    for (int64_t i = 0; i < r->n_copied_files && i < SHOWN_FILES; i++) {
        fprintf(stderr, "copy    %.*s has the content of %.*s, and is %s\n",
                SM_STR_ARG(r->copied_files[i].name), SM_STR_ARG(r->copied_files[i].of),
                r->copied_files[i].is_skipped ? "not loaded" : "loaded too");
    }
    print_others("copy", r->n_copied_files);
    for (int64_t i = 0; i < r->n_gone_files && i < SHOWN_FILES; i++) {
        fprintf(stderr, "gone    %.*s was loaded before and is no longer there\n",
                SM_STR_ARG(r->gone_files[i]));
    }
    print_others("gone", r->n_gone_files);
    for (int64_t i = 0; i < r->n_warnings; i++) {
        fprintf(stderr, "warning %.*s\n", SM_STR_ARG(r->warnings[i]));
    }
}

/* The tables that hold one period only: "window  silver.a, gold.b hold 2022-04 only". */
static void print_periods(const sm_run_report *r)
{
    int n = 0;
    sm_str period = {0};

    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_table_report *t = &r->tables[i];
        if (t->period.len > 0) {
            fprintf(stderr, "%s%.*s", n++ ? ", " : "window  ", SM_STR_ARG(t->name));
            period = t->period;
        }
    }
    if (n > 0) {
        fprintf(stderr, " %s %.*s only\n", n == 1 ? "holds" : "hold", SM_STR_ARG(period));
    }
}

/* What is said of a table that was not written: of one that is sorted, whether it has rows that
 * wait until there are more. */
static const char *same_word(const sm_table_report *t)
{
    return !t->clustered ? "same" : t->clustered->n_waiting > 0 ? "waits" : "sorted";
}

/* The line of a table whose old files were deleted. */
static void print_vacuumed(const sm_vacuum_report *v)
{
    char files[SM_COUNTED_TEXT_BYTES], bytes[SM_SIZE_TEXT_BYTES];

    sm_format_counted(v->n_deleted, "file", files);
    sm_format_size((int64_t)v->size_bytes, bytes);
    fprintf(stderr, "%8s  %s deleted, %s\n", "vacuum", files, bytes);
}

/* Ends the line of a table; of one that was sorted it says how many files moved, of one into which
 * rows were merged what became of its rows. */
static void print_done(const sm_table_report *t)
{
    char moved[SM_COUNTED_TEXT_BYTES];
    const sm_cluster_report *c = t->clustered;
    const sm_optimize_report *o = t->optimized;
    const sm_merged *m = t->merged;

    if (m) {
        fprintf(stderr, "  %" PRId64 " added, %" PRId64 " changed, %" PRId64 " deleted", m->n_added,
                m->n_changed, m->n_deleted);
    }
    if (c) {
        sm_format_counted(c->n_removed, "file", moved);
        fprintf(stderr, "  %s sorted into %" PRId64 ", %" PRId64 " stayed", moved, c->n_added,
                c->n_kept);
    }
    if (o) {
        sm_format_counted(o->n_removed, "file", moved);
        fprintf(stderr, "  %s joined into %" PRId64, moved, o->n_added);
    }
    fputc('\n', stderr);
}

static void print_tables(const sm_run_report *r)
{
    char rows[SM_SIZE_TEXT_BYTES], bytes[SM_SIZE_TEXT_BYTES];

    fprintf(stderr, "\n%-28s %8s %14s %12s %9s\n", "table", "version", "rows", "written",
            "seconds");
    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_table_report *t = &r->tables[i];
        sm_format_size((int64_t)t->bytes, bytes);
        SM_ASSERT(t->kind != SM_TASK_VIEW || t->version < 0); /* a view has no versions */
        SM_ASSERT((t->server.len > 0) == (t->kind == SM_TASK_PUBLISH));
        fprintf(stderr, "%-28.*s ", SM_STR_ARG(t->name));
        if (t->kind == SM_TASK_VIEW) {
            fprintf(stderr, "%8s\n", "view");
        } else if (t->kind == SM_TASK_PUBLISH) {
            fprintf(stderr, "%8" PRId64 " %14s %12s %9.2f  %.*s\n", t->version,
                    count_text(t->rows, rows), "", (double)t->wall_ns / 1e9, SM_STR_ARG(t->server));
        } else if (t->vacuumed) {
            print_vacuumed(t->vacuumed);
        } else if (t->version < 0) {
            fprintf(stderr, "%8s\n", same_word(t));
        } else {
            fprintf(stderr, "%8" PRId64 " %14s %12s %9.2f", t->version, count_text(t->rows, rows),
                    bytes, (double)t->wall_ns / 1e9);
            print_done(t);
        }
    }
    for (int64_t i = 0; i < r->n_commands; i++) {
        const sm_command_report *c = &r->commands[i];
        fprintf(stderr, "%-28.*s %8s %14s %12s %9.2f\n", SM_STR_ARG(c->name), "command", "", "",
                (double)c->wall_ns / 1e9);
    }
}

/* How many tables were published as one, and for how long readers by path may have seen some of
 * them new and some old. */
static void print_publication(const sm_run_report *r)
{
    int64_t n = 0;

    for (int64_t i = 0; i < r->n_tables; i++) {
        const sm_task_kind kind = r->tables[i].kind;
        n += kind != SM_TASK_PUBLISH && kind != SM_TASK_CLUSTER && kind != SM_TASK_OPTIMIZE &&
             r->tables[i].version >= 0;
    }
    if (n > 1 && r->mixed_ns >= 0) {
        fprintf(stderr, "\npublished %" PRId64 " tables in %.1f ms\n", n,
                (double)r->mixed_ns / 1e6);
    } else if (n > 1) {
        fprintf(stderr, "\npublished %" PRId64 " tables, with another run's help\n", n);
    }
}

static void print_network(const sm_store_counts *n)
{
    char in[SM_SIZE_TEXT_BYTES], out[SM_SIZE_TEXT_BYTES];
    char requests[SM_COUNTED_TEXT_BYTES], again[SM_SIZE_TEXT_BYTES];

    if (n->requests > 0) {
        sm_format_size(n->read_bytes, in);
        sm_format_size(n->written_bytes, out);
        sm_format_counted(n->requests, "request", requests);
        fprintf(stderr, "\nnetwork %s, %s sent again; %s in, %s out\n", requests,
                count_text(n->retries, again), in, out);
    }
}

static void print_summary(const sm_run_report *r)
{
    char peak[SM_SIZE_TEXT_BYTES];

    print_lines(r);
    print_odd(r);
    print_periods(r);
    print_moved(r);
    print_contracts(r);
    print_warnings(r);
    print_tables(r);
    print_publication(r);
    print_network(&r->network);
    sm_format_size(r->peak_bytes, peak);
    fprintf(stderr, "\n%.2f s, %s of memory at the peak\n", (double)r->wall_ns / 1e9, peak);
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void print_json(smi_cli *cli, const sm_run_report *r, const sm_error *e)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_run_report_json(r, e, &w);
    smi_answer_print(cli, &w);
}

/* A failure before the run: the same object, of a report in which nothing was done. */
static void print_failure(const sm_error *e)
{
    const sm_run_report nothing = {.peak_bytes = sm_peak_bytes()};

    print_json(NULL, &nothing, e);
}

/* ---- its options, and what it shows ---------------------------------------------------------- */

static sm_status read_options(smi_cli *cli, const options *o, sm_run_opts *out, sm_error *e)
{
    sm_pair *vars = NULL;

    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    out->vars = vars;
    out->n_vars = o->vars.n;
    out->task = sm_str_of(o->task);
    out->refresh = sm_str_of(o->refresh);
    out->no_retries = o->no_retries;
    out->wants_page = o->html != NULL;
    out->keep_old = o->keep_old;
    out->same_root = o->same_root;
    out->other_root = o->other_root;
    if (o->same_root && o->other_root) {
        return sm_fail(e, SM_USAGE,
                       "--same-root and --other-root exclude each other: give one of them");
    }
    out->morsel_bytes = o->morsel_bytes;
    if (o->morsel_bytes % SM_FILE_HASH_CHUNK != 0) {
        return sm_fail(e, SM_USAGE, "--morsel-size %zu is not a multiple of 64KiB",
                       o->morsel_bytes);
    }
    return smi_options_day(o->date, &out->interval.start_us, &out->interval.end_us, e);
}

/* Of the run's listener: progress is shown task by task. */
static void show_task(void *ctx, const sm_task_begin *begin)
{
    smi_cli *cli = ctx;

    smi_progress_start(cli,
                       sm_arena_printf(cli->arena, "%d/%d %.*s", begin->task + 1, begin->n_tasks,
                                       SM_STR_ARG(begin->name)),
                       begin->progress);
}

static void hide_task(void *ctx, const sm_task_report *report)
{
    (void)report;
    smi_progress_stop(ctx);
}

/* Printed with --quiet too: the run takes longer than it should. */
static void say_again(void *ctx, const sm_task_report *failed, const sm_error *why, int64_t wait_ms)
{
    smi_progress_stop(ctx);
    fprintf(stderr, "again   %.*s in %.1f s, as attempt %d failed: %s\n", SM_STR_ARG(failed->name),
            (double)wait_ms / 1000, failed->attempt, why->what);
}

/* Writes the page of a run that has ended so; its own failure counts more than one of the page. */
static sm_status write_page(smi_cli *cli, const sm_run_report *r, const char *file, sm_status run,
                            sm_error *e)
{
    sm_error why = {0};

    if (!file || r->page.len == 0) { /* it did not begin */
        return run;
    }
    const sm_status st = smi_page_write(cli, r->page, file, &why);
    if (st != SM_OK && run != SM_OK) {
        fprintf(stderr, "warning the page could not be written to %s: %s\n", file, why.what);
    } else if (st != SM_OK) {
        sm_error_todo(&why, "The run is done, and its tables are published.");
        *e = why;
    }
    return run != SM_OK ? run : st;
}

/* ---- what the history has of it -------------------------------------------------------------- */

static void put_option(sm_json_writer *w, const char *option, const char *value)
{
    if (value) {
        sm_json_put_text(w, sm_str_of(option));
        sm_json_put_text(w, sm_str_of(value));
    }
}

static void put_flag(sm_json_writer *w, const char *option, bool is_set)
{
    if (is_set) {
        sm_json_put_text(w, sm_str_of(option));
    }
}

/* The options by which the run is made again, but for the date. */
static sm_str arguments_of(smi_cli *cli, const options *o)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_array(&w);
    for (int32_t i = 0; i < o->vars.n; i++) {
        put_option(&w, "--var", o->vars.items[i]);
    }
    put_option(&w, "--select", o->task);
    put_option(&w, "--full-refresh", o->refresh);
    put_flag(&w, "--no-retries", o->no_retries);
    put_flag(&w, "--keep-old", o->keep_old);
    put_flag(&w, "--same-root", o->same_root);
    put_flag(&w, "--other-root", o->other_root);
    sm_json_end_array(&w);
    SM_ASSERT(w.depth == 0);
    return sm_arena_take(cli->arena, &text);
}

#define DAY_US INT64_C(86400000000)

/* The logical date is as --date takes it again, and as ids of runs have it. */
static sm_run_new new_run(smi_cli *cli, const options *o, const sm_pipeline *p,
                          const sm_run_opts *opts)
{
    char date[SM_TIME_TEXT_BYTES];
    const int64_t us = opts->interval.start_us;

    if (us % DAY_US == 0) {
        sm_format_date((int32_t)(us / DAY_US), date);
    } else {
        sm_format_instant(us, date);
    }
    return (sm_run_new){
        .pipeline = p ? sm_pipeline_name(p) : SM_STR(""),
        .date = sm_arena_str(cli->arena, sm_str_of(date)),
        .interval = opts->interval,
        .kind = SM_RUN_MANUAL,
        .arguments = arguments_of(cli, o),
    };
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status run_and_note(smi_cli *cli, const options *o, const char *file,
                              sm_run_opts *run_opts, sm_run_report *report, sm_error *e)
{
    sm_pipeline *pipeline = NULL;
    smi_history history = {0};
    sm_error why = {0};
    sm_status st = sm_pipeline_open(cli->env.stores, sm_str_of(file), &pipeline, e);

    /* A run that waits for this process must know, too, that its pipeline cannot be read. */
    if (st == SM_OK || o->run_id) {
        const sm_status noted = smi_history_begin(
            cli, file, o->run_id, new_run(cli, o, pipeline, run_opts), run_opts, &history, &why);
        if (st == SM_OK && noted != SM_OK) {
            *e = why;
            st = noted;
        }
    }
    if (st == SM_OK) {
        st = sm_pipeline_run(pipeline, run_opts, &cli->env, report, e);
    }
    /* All that the command asked for, the pipeline's own files too. */
    report->network = sm_stores_network_count(cli->env.stores);
    smi_history_end(cli, &history, report, st, e);
    sm_pipeline_close(pipeline);
    return st;
}

static sm_status run_pipeline(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_run_opts run_opts = {
        .listener = {.ctx = cli, .begin = show_task, .end = hide_task, .again = say_again}};
    sm_run_report report = {.peak_bytes = sm_peak_bytes()};

    SM_TRY(read_options(cli, o, &run_opts, e));
    sm_status st = run_and_note(cli, o, args[0], &run_opts, &report, e);
    if (st == SM_OK && (cli->globals.json || cli->globals.quiet)) {
        print_warnings(&report);
    } else if (st == SM_OK) {
        print_summary(&report);
    } else {
        print_broken(&report);
    }
    st = write_page(cli, &report, o->html, st, e);
    if (cli->globals.json) {
        print_json(cli, &report, st == SM_OK ? NULL : e);
    }
    sm_run_report_release(&report);
    return st;
}

const smi_command smi_command_run = {
    .name = "run",
    .usage = "PIPELINE [--date D] [--var K=V]... [--task T | --task T+]",
    .summary = "Runs a pipeline.",
    .details =
        "All tables are made before the first is published, and all become visible, or none.\n"
        "Lines that cannot be read are counted and kept in a quarantine table.\n"
        "\n"
        "  smelt run pipelines/sales/delta.yaml --var logs=./logs --var month=2022-04\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1,
    .run = run_pipeline,
    .print_failure = print_failure,
};
