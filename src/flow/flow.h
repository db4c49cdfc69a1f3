/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow.h: the flow room's door. Pipelines (project files, the graph of tasks, runs), and the
 * generator of sample logs. Needs: base to serve. Never touches rows, except in the generator. */
#ifndef SM_FLOW_FLOW_H
#define SM_FLOW_FLOW_H

#include "base/cron.h"
#include "base/json_write.h"
#include "contract/contract.h"
#include "table/table.h"

/* ---- pipelines ------------------------------------------------------------------------------- */

/* A pipeline file (YAML; docs/pipelines.md) as it was read: variables, sources, and tasks in the
 * order in which they need each other. */
typedef struct sm_pipeline sm_pipeline;

typedef enum sm_task_kind {
    SM_TASK_VIEW,     /* not stored: its SQL stands for its name */
    SM_TASK_TABLE,    /* its SQL's rows overwrite the table, or are added to it or merged into it */
    SM_TASK_LOAD,     /* its SQL's rows are added file by file, each file exactly once */
    SM_TASK_PUBLISH,  /* makes a table on a server that reads one of the lake */
    SM_TASK_CLUSTER,  /* sorts the rows of a table of the lake, so that filters read less */
    SM_TASK_OPTIMIZE, /* joins small files of a table of the lake */
    SM_TASK_VACUUM,   /* deletes files that no version of a table needs any more */
    SM_TASK_COMMAND,  /* runs a program */
} sm_task_kind;

/**
 * Reads a pipeline file and the SQL files beside it, and puts the tasks in order. Runs nothing.
 *
 * Owner     sm_pipeline_close() *out; borrows `stores` for the call
 * Errors    with line and column of the file: SM_SYNTAX (no YAML, a key is missing), SM_NAME (an
 *           unknown key, variable or source; the nearest name is told), SM_TYPE, SM_INVALID (tasks
 *           need each other in a circle); those of the SQL parser; SM_NOT_FOUND
 * Threads   any; a pipeline does not change once it is open, so that runs may share it
 */
sm_status sm_pipeline_open(sm_stores *stores, sm_str path, sm_pipeline **out,
                           sm_error *e) SM_MUST_USE;
void sm_pipeline_close(sm_pipeline *p); /* takes NULL */
/** Its name in the file; as long as the pipeline. */
sm_str sm_pipeline_name(const sm_pipeline *p);
/** How many tasks it has. They are numbered from 0 in the order in which a run does them. */
int32_t sm_pipeline_tasks(const sm_pipeline *p);
/** "layer.table", or "layer.table:cluster"; as long as the pipeline. */
sm_str sm_pipeline_task_name(const sm_pipeline *p, int32_t i);
/* The files that say what a task is. */
typedef struct sm_task_text {
    sm_sql sql;        /* its name is the file's; "": the task has none */
    bool adds_columns; /* a load with evolve: add */
    sm_str contract;   /* the file of its contract; "": none */
    sm_str contracted; /* the table there */
} sm_task_text;
/** Of task i; as long as the pipeline. */
sm_task_text sm_pipeline_task_text(const sm_pipeline *p, int32_t i);
/** What task i does. */
sm_task_kind sm_pipeline_task_kind(const sm_pipeline *p, int32_t i);
/** The word for it in a pipeline file: "load". */
const char *sm_task_kind_name(sm_task_kind kind);

/* How often a task that failed is done again, and how long to wait before the first time. */
typedef struct sm_task_tries {
    int32_t retries;
    int64_t wait_us;
} sm_task_tries;

/* What surrounds a task. */
typedef struct sm_task_place {
    const int32_t *needs; /* other tasks, which must be done first */
    int32_t n_needs;
    const sm_str *tags;
    int32_t n_tags;
    sm_str source; /* of a load: the source that it reads; "" */
    sm_task_tries tries;
    int64_t timeout_us; /* of an attempt; 0: none */
    bool is_after;      /* it runs once the tables of the run are published */
} sm_task_place;
/** Of task i; as long as the pipeline. */
sm_task_place sm_pipeline_task_place(const sm_pipeline *p, int32_t i);
/**
 * Which tasks a selection means.
 *
 * Shape     words between blanks or commas: "silver.orders", a pattern as of sm_glob_match()
 *           ("silver.*"), a tag ("@daily"); with "+" before it also all that these need, with "+"
 *           behind it all that need them. No word: all tasks
 * Owner     *out lives in `a`: one flag a task
 * Errors    SM_NAME: a word means no task; with the nearest name
 */
sm_status sm_pipeline_select(const sm_pipeline *p, sm_str which, sm_arena *a, bool **out,
                             sm_error *e) SM_MUST_USE;

/* When a pipeline is due by itself. */
typedef struct sm_pipeline_times {
    sm_str text; /* as the file has it: "0 6 * * *"; "": it has no schedule */
    sm_cron cron;
    const sm_zone *zone;
    bool catches_up;     /* all intervals are run that went by while no scheduler was up */
    int32_t max_runs;    /* of the pipeline at once */
    const sm_str *after; /* pipelines behind whose runs it runs */
    int32_t n_after;
} sm_pipeline_times;
/** As long as the pipeline. */
sm_pipeline_times sm_pipeline_schedule(const sm_pipeline *p);

/* A source that runs its pipeline as its files come. */
typedef struct sm_watched_source {
    sm_str folder, match; /* as the variable's default has it; the names that count */
    int64_t poll_us;      /* how often it is looked at, where the system does not tell of changes */
    int64_t settle_us;    /* a local file is taken when it was not changed for so long */
} sm_watched_source;
/** Those of a pipeline, in `a`; they live as long as both. */
void sm_pipeline_watched(const sm_pipeline *p, sm_arena *a, sm_watched_source **out, int32_t *n);

/* The files of a watched source that a run would take now. */
typedef struct sm_watched_files {
    int64_t n;
    uint64_t print;  /* another one where other files are there */
    int64_t next_us; /* when the next one has settled; 0: no file is too young */
} sm_watched_files;
/** Lists them; a folder that is not there has none. Errors: those of sm_files_find(). */
sm_status sm_watched_look(const sm_watched_source *s, sm_stores *stores, int64_t now_us,
                          sm_watched_files *out, sm_error *e) SM_MUST_USE;
/** That of tasks which say nothing else. */
sm_task_tries sm_pipeline_tries(const sm_pipeline *p);
/** How long a run may take, in microseconds; 0: as long as it wants. */
int64_t sm_pipeline_timeout(const sm_pipeline *p);

/* ---- what a run is asked for ----------------------------------------------------------------- */

/* The stretch of time whose data a run is for. */
typedef struct sm_interval {
    int64_t start_us, end_us; /* since 1970-01-01 00:00:00 UTC; the end is excluded */
} sm_interval;

/* An attempt at a task begins. */
typedef struct sm_task_begin {
    int32_t task, n_tasks; /* of the run */
    sm_str name;
    sm_task_kind kind;
    int32_t attempt;             /* 1: the first */
    const sm_progress *progress; /* counts from 0 while this attempt runs; any thread may read it
                                  * until the run is closed */
} sm_task_begin;

/* A rule of a contract, judged. */
typedef struct sm_rule_report {
    sm_str rule;
    sm_outcome outcome;
    int64_t n_broken;       /* rows that break it */
    sm_str text;            /* "4 of 1,000 rows break it, allowed: 0" */
    const sm_str *examples; /* rows that break it, as JSON objects */
    int32_t n_examples;
} sm_rule_report;

/* What was found of a table by its contract. */
typedef struct sm_contract_report {
    sm_str table; /* layer.table */
    sm_outcome outcome;
    const sm_rule_report *rules; /* all of the contract's table, in their order */
    int64_t n_rules, n_passed, n_warned, n_failed, n_unchecked;
    int64_t n_quarantined, n_nulled; /* rows that rules took away, values that they made NULL */
    sm_str json; /* members of an array: the rules as sm_verdict_json() has them */
} sm_contract_report;

/* What an attempt at a task did. */
typedef struct sm_task_report {
    int32_t task;
    sm_str name;
    sm_task_kind kind;
    int32_t attempt;
    sm_status status;
    int64_t rows;   /* written into its table; 0 for a view, and where nothing had changed */
    uint64_t bytes; /* of the data files that were written */
    const sm_contract_report *contract; /* NULL: it was not judged; as long as the run's report */
    int64_t wall_ns;
} sm_task_report;

/* Who is told of a run's tasks. Called in the thread that calls sm_run_task; each may be NULL. */
typedef struct sm_run_listener {
    void *ctx;
    void (*begin)(void *ctx, const sm_task_begin *begin);
    void (*end)(void *ctx, const sm_task_report *report); /* of each that began */
    /* The attempt has failed, and sm_pipeline_run() makes another one after wait_ms. */
    void (*again)(void *ctx, const sm_task_report *failed, const sm_error *why, int64_t wait_ms);
} sm_run_listener;

/* What earlier processes of a run may have finished; {0}: this is its first. */
typedef struct sm_run_earlier {
    int64_t since_us;   /* when the run was asked for; 0: this is its first process */
    const sm_str *done; /* tasks that succeeded; those that make tables may be missing */
    int32_t n_done;
} sm_run_earlier;

typedef struct sm_run_opts {
    const sm_pair *vars; /* --var K=V */
    int32_t n_vars;
    sm_interval interval;   /* its start is the run's logical date */
    sm_str task;            /* which, as sm_pipeline_select() takes it; "": all */
    sm_str refresh;         /* this table is made anew, whatever it has; "": none */
    bool same_root;         /* a source's folder at a new place is the one that was loaded */
    bool other_root;        /* it is another one */
    bool no_retries;        /* a task that failed is not done again */
    bool keep_old;          /* loads whose query has changed keep the rows that the old one made */
    bool wants_page;        /* the report has a page of all verdicts */
    sm_str run_id;          /* "": made from pipeline, date and time */
    sm_run_earlier earlier; /* its texts are borrowed until the run is closed */
    size_t morsel_bytes;    /* tests; 0 */
    sm_run_listener listener;
} sm_run_opts;

/* ---- what a run did -------------------------------------------------------------------------- */

typedef struct sm_table_report {
    sm_str name;
    int64_t version; /* −1: nothing was written */
    int64_t rows;    /* of the table */
    uint64_t bytes;  /* written */
    sm_task_kind kind;
    sm_str period; /* all its rows belong to this month or date; "": it keeps others, too */
    sm_str server; /* of a published one: "ClickHouse 26.7.1" */
    const sm_cluster_report *clustered;  /* what a task did that sorts a table; else NULL */
    const sm_optimize_report *optimized; /* … that joins its files; … */
    const sm_vacuum_report *vacuumed;    /* … that deletes old ones, without their names */
    const sm_merged *merged; /* what became of the rows of a table into which rows were merged; else
                              * NULL */
    const sm_contract_report *contract; /* NULL: it was not judged */
    int64_t wall_ns;
} sm_table_report;

/* A file under a new path, and a file with the content of another one. */
typedef struct sm_moved_file {
    sm_str from, to;
} sm_moved_file;
typedef struct sm_copied_file {
    sm_str name, of;
    bool is_skipped; /* as the source's policy says; else it was loaded, too */
} sm_copied_file;

/* A command that was run, and went well. */
typedef struct sm_command_report {
    sm_str name;
    int64_t wall_ns;
} sm_command_report;

typedef enum sm_drift_change { SM_DRIFT_CAME, SM_DRIFT_WENT, SM_DRIFT_TYPE } sm_drift_change;
/* How a key of a source's lines differs from the run before (flow_drift.c). */
typedef struct sm_key_drift {
    sm_str table; /* of the load that has read them */
    sm_str path;  /* "_source.x" */
    sm_drift_change change;
    sm_str was, is; /* types: of the column, or of the values where no column takes them; "": the
                     * key was not there, or is not */
    int64_t lines;  /* that have it; TYPE of a column: that were refused; WENT: that had it */
} sm_key_drift;

/* What a run did. */
typedef struct sm_run_report {
    sm_arena *arena; /* what the rest lives in */
    sm_scan_counts counts;
    sm_unknown_key *unknown;
    int64_t n_unknown;
    int64_t files_read, files_skipped, files_ignored;
    int32_t *missing_days; /* days of the period without a file, or with an empty one */
    int64_t n_missing_days;
    sm_str *gone_files; /* loaded before, no longer in the folder */
    int64_t n_gone_files;
    sm_moved_file *moved_files; /* renamed, rotated, compressed: known by their contents */
    int64_t n_moved_files;
    sm_copied_file *copied_files;
    int64_t n_copied_files;
    sm_key_drift *drift;
    int64_t n_drift;
    sm_str *warnings;
    int64_t n_warnings;
    const sm_contract_report **contracts; /* of tables that were judged, in that order; also of
                                           * one that failed */
    int64_t n_contracts;
    sm_str page; /* of HTML: their verdicts, with what their columns look like; "": it was not asked
                  * for, or the run did not begin */
    sm_table_report *tables;
    int64_t n_tables;
    sm_command_report *commands;
    int64_t n_commands;
    int64_t mixed_ns;        /* as sm_publish gives it */
    sm_store_counts network; /* what went over it for this run */
    int64_t wall_ns;
    int64_t
        peak_bytes; /* resident, of the process so far, with all that runs in it: what its memory
                         * limit is compared with */
    int64_t held_bytes; /* the most that the budget of this run's environment counted at once: its
                         * own share of that */
} sm_run_report;
/** Frees what it points to and makes it {0}. Takes {0}. */
void sm_run_report_release(sm_run_report *r);
/**
 * Writes a report as one JSON object, a value of `w`.
 *
 * Shape     the members of `smelt run --json` (docs/cli.md). `e` is the failure of the run, which
 *           becomes the member "error"; NULL: it went well
 */
void sm_run_report_json(const sm_run_report *r, const sm_error *e, sm_json_writer *w);

/* What a publication made visible. */
typedef struct sm_publication {
    const sm_table_report
        *tables; /* the lake's tables of the run: of its tasks, views too, then its
                                    * quarantines; as long as the run */
    int64_t n_tables;
    int64_t wall_ns;
    int64_t mixed_ns; /* as sm_publish gives it */
} sm_publication;

/* ---- a run, step by step --------------------------------------------------------------------- */

/* One run of a pipeline. Open it, do its tasks, publish, do the tasks that publish elsewhere,
 * close it. Tasks make candidates, which the tasks after them read and nobody else sees. */
typedef struct sm_run sm_run;

/* One task of a run. */
typedef struct sm_run_step {
    sm_str name;
    sm_task_kind kind;
    const int32_t *needs; /* other tasks of the run, which must be done first */
    int32_t n_needs;
} sm_run_step;

/**
 * Plans a run: gives the variables their values, chooses the tasks, connects to their stores, and
 * completes a publication that another run left open in the lake. Reads no data.
 *
 * Owner     sm_run_close() *out; borrows the pipeline, what `env` points to, and the texts and the
 *           listener's ctx of `opts` until then
 * Errors    SM_USAGE, SM_NAME: a variable, a task or a setting is wrong or missing; what settling
 *           the lake fails with
 * Threads   one thread at a time a run; several runs at once, each with an environment of its own
 */
sm_status sm_run_open(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                      sm_run **out, sm_error *e) SM_MUST_USE;
/** How many tasks it has. Those that publish elsewhere or sort a table come last; else a task
 * stands behind those that it needs. */
int32_t sm_run_tasks(const sm_run *r);
/** Task i, 0 to sm_run_tasks() − 1; as long as the run. */
sm_run_step sm_run_step_of(const sm_run *r, int32_t i);
/**
 * Does task i: makes its candidate, publishes its table elsewhere, or sorts it.
 *
 * Shape     once for each task, in any order in which what it needs comes first: those that publish
 *           elsewhere or sort after sm_run_publish(), all others before it. Another order is
 *           asserted.
 * Returns   what the task failed with. It may then be called again for this task, as often as
 *           wanted: what the failed attempt made is thrown away
 * Owner     *report (may be NULL) is filled after a failure too; its name lives as long as the run
 * Errors    SM_INTERRUPTED where the environment's flag was set
 */
sm_status sm_run_task(sm_run *r, int32_t i, sm_task_report *report, sm_error *e) SM_MUST_USE;
/**
 * Makes the candidates of all tasks and of the quarantines visible, all or none (sm_publish). Once,
 * after all tasks that make tables are done; where it fails the run can only be closed.
 *
 * Owner     *publication may be NULL; written on success
 */
sm_status sm_run_publish(sm_run *r, sm_publication *publication, sm_error *e) SM_MUST_USE;
/* A key that came into a source after the first run of a load, and that no column takes yet. */
typedef struct sm_new_key {
    int32_t task; /* the load, as the pipeline numbers it */
    sm_str path;
    uint32_t kinds; /* of its values in the last run that read lines: sm_key_type() */
    int64_t lines;
} sm_new_key;
/** The new keys of the run's loads, as their tables have them now, whether or not tasks of it were
 * done. *out lives in `a`. Errors: those of opening a table; what its books fail with. */
sm_status sm_run_new_keys(sm_run *r, sm_arena *a, sm_new_key **out, int64_t *n,
                          sm_error *e) SM_MUST_USE;
/* A table that a run has published, taken back. */
typedef struct sm_rolled_back {
    sm_str table;
    int64_t version; /* that the run made */
    int64_t to;      /* the version before, whose rows are the table's again */
    int64_t made;    /* the version with them; −1: of a trial, or where it is_same */
    bool is_same;    /* it was taken back before */
} sm_rolled_back;
/**
 * Takes back what the run of opts->run_id has published since opts->earlier.since_us: its tables
 * and quarantines have the rows of the versions before it again, all or none.
 *
 * Shape     is_trial: only find out what would be done, and whether it can be
 * Owner     *out lives in `a`, its names as long as the pipeline
 * Errors    SM_NOT_FOUND: there is nothing of it in the lake; SM_CONFLICT: others have written a
 *           table since (they are named); SM_UNSUPPORTED: it has made a table; those of
 *           sm_tables_restore()
 */
sm_status sm_run_roll_back(sm_run *r, bool is_trial, sm_arena *a, sm_rolled_back **out, int32_t *n,
                           sm_error *e) SM_MUST_USE;
/** Ends a run at any point. What was not published is deleted. *report (may be NULL) is what the
 * run did; sm_run_report_release() it. Takes NULL: an empty report. */
void sm_run_close(sm_run *r, sm_run_report *report);

/** A whole run: opens it, does its steps in their order up to the first that fails, closes it. A
 * task that failed is done again as often as the pipeline says, where that can help. *report is the
 * caller's, also after a failure. */
sm_status sm_pipeline_run(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                          sm_run_report *report, sm_error *e) SM_MUST_USE;

/* ---- tests of a pipeline's SQL --------------------------------------------------------------- */

/* A file of tests (YAML; docs/tests.md) as it was read. */
typedef struct sm_unit_tests sm_unit_tests;

/* What a test came to. Texts are JSON objects with the columns that are expected. */
typedef struct sm_unit_result {
    int64_t n_rows, n_expected;
    const sm_str *missing; /* rows that are expected and did not come; where the order counts, those
                            * that did not come in their place */
    int64_t n_missing;
    const sm_str *unexpected; /* rows that came and are not expected, likewise */
    int64_t n_unexpected;
} sm_unit_result;

/**
 * Reads a file of tests for a pipeline.
 *
 * Shape     name: of the file, for messages; files of rows that it names lie beside it
 * Owner     *out lives in `a`; borrows the pipeline, and `stores` for the call
 * Errors    with their place: SM_SYNTAX: no YAML, a key is missing; SM_NAME: another key, no task
 *           with SQL of that name, no such variable; SM_EXISTS: two tests of one name; SM_NOT_FOUND
 */
sm_status sm_unit_tests_read(const sm_pipeline *p, sm_stores *stores, sm_str name, sm_str text,
                             sm_arena *a, sm_unit_tests **out, sm_error *e) SM_MUST_USE;
/** How many tests it has. */
int32_t sm_unit_tests_n(const sm_unit_tests *t);
/** The name of test i; as long as the tests. */
sm_str sm_unit_test_name(const sm_unit_tests *t, int32_t i);
/** The name of the task whose SQL test i runs; as long as the pipeline. */
sm_str sm_unit_test_model(const sm_unit_tests *t, int32_t i);
/**
 * Runs the SQL of test i's task over the rows that are given, and compares what comes.
 *
 * Shape     Nothing of the lake or of a source is read: a table or source that the SQL reads must
 *           be given, or be a view. Columns have the types that the pipeline gives them, as far as
 *           these are known without its data
 * Owner     *out lives in `a`
 * Errors    SM_NAME: the SQL reads what is not given, a column is given or expected that there is
 *           not; those of the SQL and of reading the rows, with the name of the test
 * Threads   blocks; not from a worker
 */
sm_status sm_unit_test_run(const sm_unit_tests *t, int32_t i, const sm_exec_env *env, sm_arena *a,
                           sm_unit_result *out, sm_error *e) SM_MUST_USE;

/* ---- a replay -------------------------------------------------------------------------------- */

/* What became of the lines and rows of a quarantine that no run had taken in. */
typedef struct sm_replay_report {
    int64_t n_replayed;                  /* taken in: what they make is in the table now */
    int64_t n_refused;                   /* they cannot be read still, or break a rule */
    int64_t n_not_replayed;              /* not tried: why, is in the warnings */
    int64_t version, quarantine_version; /* that were published; −1: none */
    int64_t n_rows;                      /* that were added to the table */
    int64_t n_changed, n_deleted;        /* of a table into which they were merged */
    sm_str quarantine;                   /* its name; in the arena */
    sm_run_report run;                   /* warnings, contracts; its arena has all texts */
} sm_replay_report;
/** Frees what it points to. Takes {0}. */
void sm_replay_report_release(sm_replay_report *r);
/**
 * Tries the lines and rows again that a run has put into the quarantine of a table: lines by the
 * load's SQL, as if in their file, rows as they were after it; all by the table's contract. What
 * passes is added to the table, and marked in the quarantine, in one publication.
 *
 * Shape     opts as of a run, whose `task` is the table; no refresh
 * Owner     *report is the caller's, also after a failure; sm_replay_report_release() it
 * Errors    SM_NOT_FOUND: no quarantine; SM_UNSUPPORTED: a view, or a table that rows cannot be
 *           added to: it merges, or replaces some; those of a run
 */
sm_status sm_pipeline_replay(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                             sm_replay_report *report, sm_error *e) SM_MUST_USE;

/* ---- the sample generator -------------------------------------------------------------------- */

typedef struct sm_generate_opts {
    sm_str folder; /* a URI */
    int32_t month; /* days of its first day */
    int32_t n_days;
    int64_t rows;      /* a day */
    int64_t contracts; /* how many customers; 1,000,000 */
    double damage;     /* share of damaged lines, 0 … 1 */
    double violations; /* share of lines that break a shipped contract, 0 … 1 */
    bool is_mixed;
    uint64_t seed;
} sm_generate_opts;

/** Writes one NDJSON file a day and, if lines are damaged or break rules, MANIFEST.ndjson beside
 * them (generate.c), which says what a reader must make of each line. The bytes do not depend on
 * the number of threads.
 * SM_USAGE: an option is out of its range. */
sm_status sm_generate_logs(const sm_generate_opts *opts, const sm_exec_env *env, int64_t *lines,
                           int64_t *bytes, sm_error *e) SM_MUST_USE;

#endif
