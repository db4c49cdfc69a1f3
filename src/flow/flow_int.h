/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_int.h: what the files of this room share: a pipeline as it was read, the state of a
 * run, and the calls between the files, in the order in which a run makes them. */
#ifndef SM_FLOW_FLOW_INT_H
#define SM_FLOW_FLOW_INT_H

#include "base/cron.h"
#include "base/map.h"
#include "base/policy.h"
#include "base/yaml.h"
#include "contract/contract.h"
#include "flow/flow.h"
#include "flow/flow_books_int.h"
#include "serve/serve.h"

/* ---- a pipeline as it was read (flow_yaml.c, flow_graph.c) ----------------------------------- */

/* A value in the file, or the name of an environment variable that has it. */
typedef struct smi_flow_setting {
    sm_str text; /* "": the file says nothing */
    bool is_env; /* `text` is the name of an environment variable */
    sm_yaml_place at;
} smi_flow_setting;

typedef enum smi_flow_server { SMI_SERVER_S3, SMI_SERVER_CLICKHOUSE } smi_flow_server;

/* The settings of connections: id, key in the file, server, the name that AWS tools have for it,
 * and whether it is a secret, which must not stand in the file. */
#define SMI_FLOW_SETTINGS(X)                                                                       \
    X(ENDPOINT, "endpoint", S3, "AWS_ENDPOINT_URL_S3", false)                                      \
    X(REGION, "region", S3, "AWS_REGION", false)                                                   \
    X(PROFILE, "profile", S3, "AWS_PROFILE", false)                                                \
    X(KEY_ID, "key_id", S3, "AWS_ACCESS_KEY_ID", false)                                            \
    X(SECRET, "secret", S3, "AWS_SECRET_ACCESS_KEY", true)                                         \
    X(TOKEN, "token", S3, "AWS_SESSION_TOKEN", true)                                               \
    X(CA_FILE, "ca_file", S3, "AWS_CA_BUNDLE", false)                                              \
    X(ANONYMOUS, "anonymous", S3, "AWS_SKIP_SIGNATURE", false)                                     \
    X(URL, "url", CLICKHOUSE, NULL, false)                                                         \
    X(USER, "user", CLICKHOUSE, NULL, false)                                                       \
    X(PASSWORD, "password", CLICKHOUSE, NULL, true)

#define SMI_FLOW_SETTING_ID(id, key, server, variable, is_secret) SMI_SETTING_##id,
enum { SMI_FLOW_SETTINGS(SMI_FLOW_SETTING_ID) SMI_N_SETTINGS };
#undef SMI_FLOW_SETTING_ID

typedef struct smi_flow_connection {
    smi_flow_server server;
    sm_str name;
    smi_flow_setting settings[SMI_N_SETTINGS];
} smi_flow_connection;

typedef enum smi_flow_var_type {
    SMI_VAR_URI,
    SMI_VAR_TEXT,
    SMI_VAR_MONTH, /* "2022-04"; by default the month of the logical date */
    SMI_VAR_DATE,  /* by default the logical date */
    SMI_VAR_INTEGER,
} smi_flow_var_type;

typedef struct smi_flow_var {
    sm_str name, default_text, help;
    bool has_default;
    smi_flow_var_type type;
    int32_t connection; /* of a URI in S3: how it is reached, or −1: as the environment says */
    sm_yaml_place at;
} smi_flow_var;

typedef struct smi_flow_source {
    sm_str name; /* of the variable that holds the folder */
    int32_t var;
    sm_str match;
    int32_t period;    /* `window:` in the file: a month variable, or −1: all files */
    sm_str quarantine; /* a table, or "" */
    sm_policy copies;  /* files with the content of another: KEEP, SKIP, FAIL */
    sm_policy gone; /* files that were loaded and are not there: KEEP, REMOVE (their rows), FAIL */
    bool has_unknown;  /* the file says what is done with keys that no column takes: */
    sm_policy unknown; /* IGNORE, KEEP (in a column), FAIL; else read_json decides */
    bool is_watched;   /* its files run the pipeline as they come */
    int64_t poll_us, settle_us;
    sm_yaml_place at;
} smi_flow_source;

/* SQL of an expression that stands in the file. */
typedef struct smi_flow_expression {
    sm_str text; /* "": the file says nothing */
    const char *key;
    sm_yaml_place at;
} smi_flow_expression;

/* Names of columns. */
typedef struct smi_flow_columns {
    const sm_str *names;
    int32_t n; /* 0: the file says nothing */
    sm_yaml_place at;
} smi_flow_columns;

/* How the rows of a table's SQL meet those that are there: `merge`, or `scd2`. */
typedef struct smi_flow_merge {
    bool is_history; /* scd2 */
    smi_flow_columns key;
    smi_flow_expression update_when, delete_when;
    smi_flow_columns columns; /* scd2: that are compared; none: all but the key */
    smi_flow_expression at;   /* scd2: since when a row is so; "": the run's date */
    sm_str valid_from, valid_to, is_current;
    bool closes_missing;
} smi_flow_merge;

/* A contract file that tasks name. */
typedef struct smi_flow_contract {
    sm_str name; /* of the file, for messages */
    const sm_contract *model;
    sm_str hash; /* of the model, as hex */
    struct smi_flow_contract *next;
} smi_flow_contract;

/* What a task runs that is a command. */
typedef struct smi_flow_command {
    const char *const *argv; /* ended by NULL */
    const sm_pair *env;
    int32_t n_env;
    size_t memory_bytes; /* of each of its processes; 0: no limit */
    int64_t cpu_seconds;
} smi_flow_command;

typedef struct smi_flow_task {
    sm_task_kind kind;
    sm_str name;           /* layer.table */
    sm_sql sql;            /* "" of what is published */
    sm_str from, as;       /* what is published, and its name there; what is sorted, or kept */
    bool is_after;         /* it runs once the tables of the run are published */
    int64_t timeout_us;    /* of an attempt; 0: none */
    int64_t retain_us;     /* of vacuum; −1: as the table says */
    uint64_t target_bytes; /* of optimize; 0: as the table says */
    const smi_flow_command *command;
    const sm_str *wanted; /* tasks that the file says it needs */
    int32_t n_wanted;
    sm_yaml_place wanted_at;
    const sm_str *columns; /* by which it is sorted */
    int32_t n_columns;
    const sm_curve *curve; /* NULL: not said */
    int32_t connection;    /* where */
    int32_t source;        /* of a load, or −1 */
    sm_str by;             /* of a load: the column that holds the file's date */
    bool adds_columns;     /* a load: columns that its SQL has and the table has not are added */
    int32_t replace; /* of a table: the variable whose value's rows are replaced; −1: all are */
    const smi_flow_merge *merge; /* of a table; NULL: its rows are not merged */
    int32_t append; /* of a table: the variable for each of whose values rows are added once; −1 */
    const sm_str *partition_by; /* of a load or table; none: a table that is there keeps its own */
    int32_t n_partition_by;
    sm_yaml_place partition_at;
    bool replaces_partitions;  /* of a table: only the partitions that its rows have */
    const sm_pair *properties; /* of a load or table: those that its table has after each run */
    int32_t n_properties;
    sm_yaml_place properties_at;
    const smi_flow_contract *contract;   /* of a load, table or view; NULL: it has none */
    const sm_contract_table *contracted; /* what the contract says of it */
    sm_str quarantine;    /* where rows go that its contract takes away: a source's quarantine or
                           * one of its own; "": no rule does */
    const sm_str *checks; /* the other tables that the contract's rules speak of, layer.table */
    int32_t n_checks;
    const sm_table_name *tables;
    int32_t n_tables;
    int32_t *needs; /* other tasks that its SQL names */
    int32_t n_needs;
    const sm_str *tags; /* words by which it is selected */
    int32_t n_tags;
    sm_task_tries tries;
    sm_yaml_place at;
} smi_flow_task;

struct sm_pipeline {
    sm_arena *arena;
    sm_stores *stores; /* while it is read */
    sm_yaml_doc yaml;  /* of the file */
    sm_str path, folder, name, description;
    sm_str schedule_text; /* "": it has none */
    sm_cron schedule;
    const sm_zone *zone; /* of the schedule */
    bool catches_up;
    int32_t max_runs;
    const sm_str *after; /* pipelines */
    int32_t n_after;
    smi_flow_connection *connections;
    int32_t n_connections;
    smi_flow_var *vars;
    int32_t n_vars;
    int32_t lake; /* a variable, or −1 */
    smi_flow_source *sources;
    int32_t n_sources;
    sm_task_tries tries;          /* of tasks that say nothing else */
    int64_t timeout_us;           /* of a run; 0: none */
    int64_t quarantine_us;        /* rows stay in quarantines for so long; 0: for ever */
    smi_flow_contract *contracts; /* each once */
    smi_flow_task *tasks;         /* in the order in which they run */
    int32_t n_tasks;
};

/** Reads the file and the SQL beside it; the tasks stand in the order of the file. */
sm_status smi_flow_yaml_read(sm_pipeline *p, sm_error *e) SM_MUST_USE;
/** A length of time, like 30 days, of at least least_us; *us stays as it is where the key is
 * missing. */
sm_status smi_flow_yaml_duration(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                                 int64_t least_us, int64_t *us, sm_error *e) SM_MUST_USE;
/** One name, or a list of at least one. `kind`: what they are, for messages. */
sm_status smi_flow_yaml_names(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                              const char *kind, const sm_str **out, int32_t *n,
                              sm_error *e) SM_MUST_USE;
/** Keys of a file that say when runs are due (flow_yaml_times.c): `schedule` and the one behind it;
 * `catchup` and the two behind it; `watch` of a source and the two behind it. */
sm_status smi_flow_yaml_schedule(sm_pipeline *p, const sm_yaml_fields *f, int schedule,
                                 sm_error *e) SM_MUST_USE;
sm_status smi_flow_yaml_runs(sm_pipeline *p, const sm_yaml_fields *f, int catchup,
                             sm_error *e) SM_MUST_USE;
sm_status smi_flow_yaml_watch(const sm_pipeline *p, const sm_yaml_fields *f, int watch,
                              smi_flow_source *s, sm_error *e) SM_MUST_USE;
/** Reads a text beside the pipeline file, unless its path is absolute. *name: the whole path. Both
 * live in the pipeline's arena. SM_LIMIT: it is longer than max_bytes. */
sm_status smi_flow_read_text(const sm_pipeline *p, sm_str path, size_t max_bytes, sm_str *name,
                             sm_str *out, sm_error *e) SM_MUST_USE;
/** Reads the contract that key number `key` of a task names (flow_contract.c). Errors with the
 * place in the contract's file or the pipeline's: those of sm_contract_read(); SM_NAME: the
 * contract has no such table. */
sm_status smi_flow_contract_read(sm_pipeline *p, const sm_yaml_fields *f, int key, smi_flow_task *t,
                                 sm_error *e) SM_MUST_USE;
/** What a task's contract calls by that name: `layer.table`, or a path. In `a`. */
sm_str smi_flow_contract_place(const sm_pipeline *p, const smi_flow_task *t, sm_str name,
                               sm_arena *a);
/** Finds the tables that the rules of a task's contract speak of: t->checks. When all tasks are
 * read. Errors with the place of the rule: those of sm_query_tables(). */
sm_status smi_flow_contract_find(const sm_pipeline *p, smi_flow_task *t, sm_error *e) SM_MUST_USE;
/** Finds what each task needs, and puts the tasks in order. SM_INVALID: tasks need each other. */
sm_status smi_flow_graph_order(sm_pipeline *p, sm_error *e) SM_MUST_USE;
/** The task of that name, ASCII case aside, or −1. */
int32_t smi_flow_task_find(const sm_pipeline *p, sm_str name);
/** Adds a place in the pipeline file to an error; returns st. */
sm_status smi_flow_at(const sm_pipeline *p, sm_yaml_place at, sm_status st,
                      sm_error *e) SM_MUST_USE;

/* ---- a run (flow_run.c) ---------------------------------------------------------------------- */

/* The rows of a file whose URI the rows of other files have, too: those of a time. */
typedef struct smi_flow_leaving_file {
    sm_str uri;
    int64_t time_us;
    bool is_whole; /* false: only its refused lines */
} smi_flow_leaving_file;

/* A quarantine table being written (flow_quarantine.c). */
typedef struct smi_flow_quarantine {
    smi_flow_books books; /* matched, even if there is no quarantine and so no table */
    sm_str name, uri;     /* "": no quarantine */
    sm_quarantine *table; /* NULL: not open */
    int64_t mark;         /* where the attempt at a task began in it; −1: it was not open */
    sm_candidate *candidate;
    int64_t n_rows_before; /* of the table; −1: there was none */
    int64_t wall_ns;
    const sm_str *paths;   /* of columns in the source's lines, */
    const sm_str *columns; /* and how the loaded table calls them */
    int32_t n_columns;
    bool *is_claimed; /* of each file found: a load reads it, so all its rows are replaced */
    const smi_flow_leaving_file *again; /* other files of which all are: of other roots */
    int64_t n_again;
} smi_flow_quarantine;

/* The quarantine of a task of its own, while the task is attempted (flow_quarantine_rows.c). */
typedef struct smi_flow_own_quarantine {
    sm_str uri;
    sm_quarantine *table;    /* NULL: not open */
    sm_candidate *candidate; /* NULL: no row came */
    int64_t wall_ns;
} smi_flow_own_quarantine;

struct smi_flow_source_state {
    const smi_flow_source *def;
    sm_str path;
    int32_t first_day, last_day; /* the period, both included */
    bool is_open;
    sm_files found;        /* all files whose names match */
    smi_flow_file *states; /* one for each file found */
    sm_map *by_uri;        /* URI -> smi_flow_file; files of other roots, too */
    sm_files files;        /* what plans read: the period's, each content once; `found`'s store */
    smi_flow_quarantine quarantine;
};

/* The keys of the lines that a load has read (flow_drift.c). */
typedef struct smi_flow_seen smi_flow_seen;

/* A task is WAITING, then RUNNING in each attempt, and after it FAILED or DONE. A FAILED task may
 * run again. */
typedef enum smi_flow_task_phase {
    SMI_TASK_WAITING,
    SMI_TASK_RUNNING,
    SMI_TASK_FAILED,
    SMI_TASK_DONE,
} smi_flow_task_phase;

typedef struct smi_flow_task_state {
    bool is_chosen;
    smi_flow_task_phase phase;
    int32_t attempt;      /* 0: it has not run */
    sm_progress progress; /* of the attempt */
    sm_clickhouse_published published;
    sm_cluster_report clustered;
    sm_optimize_report optimized;
    sm_vacuum_report vacuumed;
    sm_merged merged;          /* of a table whose rows are merged */
    smi_flow_seen *seen;       /* a load: the keys of the lines that it has read; NULL: none */
    const sm_key_drift *drift; /* and how they differ from those of the run before */
    int64_t n_drift;
    sm_candidate *candidate;
    smi_flow_own_quarantine own; /* {0}: its rows go to none, or to a source's */
    int64_t n_rows_before;       /* of the table; −1: there was none */
    const sm_verdict *judged;    /* of the last attempt; NULL: it was not judged */
    bool judged_as_stored; /* … the rows that the candidate adds, as its files have them … */
    bool judged_all;       /* … and they are all that the table will have */
    const sm_contract_report *verdict; /* the same, as the report has it */
    bool is_due;                       /* a view: its contract is still to be judged, … */
    int32_t judged_by;   /* … or the execution of this task has judged it; −1: no other one */
    bool judged_by_more; /* its rules have read files of no source, or a table by its place */
    bool is_counted;     /* a view: it is known how many rows it has, … */
    int64_t n_rows;
    int32_t counted_by; /* … from the execution of this task; −1: from a pass of its own */
    sm_str period;      /* a table: the month or date that all its rows are of; "" for none */
    int64_t wall_ns;
} smi_flow_task_state;

/* What the SQL asked for that was planned last (flow_plan.c). */
typedef struct smi_flow_asked {
    sm_str *tables; /* stored tables, as the SQL names them */
    int64_t n_tables, cap_tables;
    sm_buf text;         /* the variables, which decide the rows, too */
    bool reads_paths;    /* it reads files of no source, or a table by its place or at a version */
    uint32_t sources;    /* a bit for each source that it reads (SMI_MAX_SOURCES) */
    bool has_opened_one; /* planning opened a source */
    int32_t period;  /* the first variable of type month or date that decides the rows, or −1 */
    int32_t by_path; /* a task of this run whose table it names by its path, or −1 */
    const sm_statement *select; /* of a task's SQL: the query, as long as the plan */
} smi_flow_asked;

/* Names that note in r->asked what SQL asks for (flow_plan.c). */
typedef struct smi_flow_asking {
    sm_run *run;
    sm_names *names;
    sm_resolver inner;
    int32_t own;      /* the source whose files the caller has set, or −1 */
    bool has_counted; /* of views that the run has counted, the number of rows is known */
} smi_flow_asking;

#define SMI_MAX_SOURCES 16

/* The sink of the refused lines of all sources. */
typedef struct smi_flow_refuse {
    sm_run *run;
    int32_t task; /* the task whose plan is executed */
    sm_quarantine_router router;
} smi_flow_refuse;

/* A run is MAKING tables, then PUBLISHED; or, where publishing failed, CLOSED: it can only end. */
typedef enum smi_flow_run_phase {
    SMI_RUN_MAKING,
    SMI_RUN_PUBLISHED,
    SMI_RUN_CLOSED,
} smi_flow_run_phase;

struct sm_run {
    const sm_pipeline *p;
    const sm_run_opts *opts; /* own_opts */
    const sm_exec_env *env;  /* own_env */
    sm_run_opts own_opts;
    sm_exec_env own_env;   /* the caller's, with stores and a cancel of the run's own */
    sm_cancel cancel;      /* by the caller's, and by time */
    int64_t deadline_ns;   /* of the run; 0: none */
    sm_progress *progress; /* the caller's, or NULL */
    smi_flow_run_phase phase;
    int32_t *order;          /* the pipeline's numbers of the chosen tasks, in the run's order */
    sm_run_step *steps;      /* one for each of them */
    int32_t n_steps, n_made; /* the first n_made make tables and views */
    sm_arena *arena;
    sm_str id;
    int64_t start_us, start_ns;
    sm_value *vars;
    sm_names *names;
    smi_flow_source_state *sources;
    smi_flow_task_state *tasks;
    smi_flow_refuse refuse;
    smi_flow_asked asked;
    sm_map *counted;       /* URIs of text files whose lines are in the report */
    sm_run_report *report; /* own_report */
    sm_run_report own_report;
    bool has_told_sources;
    int64_t cap_contracts, cap_unknown, cap_warnings, cap_gone, cap_moved, cap_copied;
    sm_map *told; /* what the report has of files, and its warnings, so that each is told once */
};

/** The logical date as run ids and messages have it: "2022-04-30", with a time where it is not
 * midnight: "2022-04-30T06:00:00Z". In `a`. */
sm_str smi_flow_logical_date(const sm_run *r, sm_arena *a);
/** The day in which the run's interval begins. */
int32_t smi_flow_logical_day(const sm_run *r);
/** Gives each variable its value. SM_USAGE: --var names none of the pipeline's, a value is not of
 * its variable's type, or a variable without a default was given none. */
sm_status smi_flow_variables_bind(sm_run *r, sm_error *e) SM_MUST_USE;
/** The value of a variable as text, in the run's arena. */
sm_str smi_flow_value_text(const sm_run *r, int32_t var);
/** The first day of "2022-04". */
bool smi_flow_parse_month(sm_str text, int32_t *first_day);
/** Makes the states of the sources: their folders and periods. After the variables. Opens none. */
void smi_flow_sources_init(sm_run *r);
/** Makes the states of the tasks, and marks those that the run does. SM_NAME, SM_USAGE: --task or
 * --full-refresh names none of them. */
sm_status smi_flow_choose_tasks(sm_run *r, sm_error *e) SM_MUST_USE;
/** What a commit says of its run, as JSON, for its user metadata; with what it was made of. */
sm_str smi_flow_metadata(const sm_run *r);
sm_str smi_flow_metadata_with(const sm_run *r, sm_str inputs);
/** Have rows of one type all that others have, also within structs? They may have more. */
bool smi_flow_has_all(const sm_type *rows, const sm_type *there);
/* The rows that a write replaces: those in which a column has one of these values. */
typedef struct smi_flow_rows {
    sm_str column;
    const sm_value *values;
    int64_t n; /* 0: none */
} smi_flow_rows;

/* The contract of a view, judged by the execution of a plan that reads it (flow_watch.c). */
typedef struct smi_flow_watching smi_flow_watching;

/* The rows of a task on their way into its table, guarded by its contract (flow_guard.c). It stays
 * where it is from its opening on. */
typedef struct smi_flow_guard {
    sm_run *run;
    int32_t task;
    const sm_plan *plan;      /* to be executed: of the rows that are left */
    const sm_plan_node *rows; /* these rows; NULL: those of the SQL */
    sm_exec_report report;    /* of that */
    smi_flow_rows replaced;
    sm_guard *guard;             /* NULL: the task has no contract */
    sm_arena *arena;             /* of the guard and the plan; the caller's */
    smi_flow_watching *watching; /* contracts of views that are judged by the same execution */
    int32_t n_watching;
    sm_names *names;  /* what rules name now, … */
    sm_names *before; /* … and what they named before the rows were staged; NULL: the same */
    smi_flow_asking asking;
    sm_resolver resolver;
} smi_flow_guard;

/* The rows of a table that stay beside those of a write. */
typedef struct smi_flow_staying {
    sm_snapshot *base;             /* NULL: none do */
    const smi_flow_rows *replaced; /* … but for these; NULL: all do */
} smi_flow_staying;

/** A new set of names with the run's variables, views and candidates. */
sm_names *smi_flow_names(const sm_run *r);
/** A resolver of these names that opens sources; *k is borrowed as long as it is used. */
sm_resolver smi_flow_asking_init(smi_flow_asking *k, sm_run *r, sm_names *names);
/** Empties r->asked, and lets the names read open sources by their files. Before SQL is planned,
 * and again where that has opened a source (r->asked.has_opened_one): then it is planned anew. */
void smi_flow_asking_reset(smi_flow_asking *k);
/** Plans a task's SQL; r->asked is what it asked for. Opens sources that it reads. `names`: NULL
 * for the run's own, which read a source's whole period; else those of a load, in which the files
 * of its source are set. */
sm_status smi_flow_plan(sm_run *r, sm_names *names, const smi_flow_task *t, sm_arena *a,
                        const sm_plan **out, sm_error *e) SM_MUST_USE;
/* The side outputs of a guard's plan on their way into a quarantine (flow_quarantine_rows.c). */
typedef struct smi_flow_sides {
    sm_quarantine_rows **rows; /* one a side output */
    sm_sink *sinks;
    const sm_sink **to;
    int32_t *lines; /* sm_outputs.side_lines */
    int32_t n;
} smi_flow_sides;

/** Is it a load whose table gets the keys that no column takes? */
static inline bool smi_flow_keeps_unknown(const sm_run *r, const smi_flow_task *t)
{
    return t->kind == SM_TASK_LOAD && r->p->sources[t->source].has_unknown &&
           r->p->sources[t->source].unknown == SM_POLICY_KEEP;
}
/** Runs the plan that r->asked is of, for a task; its counts go to the report, refused lines to
 * quarantine. `main` NULL: its rows are dropped; `sides` NULL: rows that leave are, too. *report
 * (may be NULL) is the caller's, also after a failure. */
sm_status smi_flow_execute(sm_run *r, int32_t task, const sm_plan *plan, const sm_sink *main,
                           const smi_flow_sides *sides, sm_exec_report *report,
                           sm_error *e) SM_MUST_USE;
/** Forgets what a failed task read: the next attempt reads it again. */
void smi_flow_sources_undo(sm_run *r, int32_t task);
/** Lists a source, once, and settles what its quarantine has to do. */
sm_status smi_flow_source_open(sm_run *r, int32_t source, sm_error *e) SM_MUST_USE;
/** Types that were found by looking may be too narrow: these files may have only dates where others
 * had other text, only integers, or only null. The table's types count where they take all that was
 * found. `names`: the plan's, of no other plan. `table` NULL: nothing is fitted.
 *
 * Returns   true where this changes what the names stand for: the SQL is to be planned again */
bool smi_flow_fit(sm_names *names, const sm_plan *plan, const sm_snapshot *table, sm_arena *a);
/** The rows of a plan do not have the types of the table: places the error at the first file whose
 * values of such a column do not fit. false, and no place: the columns were not found in files. */
bool smi_flow_place_unlike(const sm_plan *plan, const sm_snapshot *table, sm_error *e);
/** Where an output column of a plan comes from: the column of its one scan's rows, a field of it
 * and so on, with a dot between the names; false where it is computed or there is more than one
 * scan below. */
bool smi_flow_plan_path(const sm_plan *plan, int32_t column, sm_arena *a, sm_str *out);
/** May its rows hold more of a file's name than its date? Only by the option `filename`, which then
 * stands in its SQL or in a view's. Known without a plan: what a load plans depends on the answer.
 * Where the word is there for another reason, files that moved are read once more. */
bool smi_flow_may_take_name(const sm_pipeline *p, const smi_flow_task *t);
/** The one scan of a plan of projections and filters, or NULL. */
const sm_plan_node *smi_flow_plan_scan(const sm_plan *plan);

/** A task's SQL as the text that its table remembers (flow_query.c). *names (may be NULL): for each
 * variable, whether the text has its name, because it may have another value in another run. */
sm_status smi_flow_query_text(sm_run *r, const smi_flow_task *t, sm_str *out, bool **names,
                              sm_error *e) SM_MUST_USE;
/** May the load go on by the query `now`, if the rows in the table were loaded by `old` ("": not
 * known)? SM_INVALID with what differs and what to do. */
sm_status smi_flow_query_check(sm_run *r, int32_t task, sm_str old, sm_str now,
                               sm_error *e) SM_MUST_USE;
/** Adds SQL, and the views that it uses, as a text that is the same for queries that mean the same.
 * After it was planned: the errors are the same. */
sm_status smi_flow_query_same(sm_run *r, const sm_sql *sql, sm_buf *out, sm_error *e) SM_MUST_USE;
/** `rows` as the condition of a write, which borrows it until its stage is open. */
sm_condition smi_flow_condition(const smi_flow_rows *rows);
/** Opens the write of a task's table, partitioned as the task says: sm_stage_open() with the place
 * in the pipeline file where `partition_by` is the mistake. */
sm_status smi_flow_stage_open(sm_run *r, const smi_flow_task *t, sm_write *w, const sm_type *schema,
                              sm_stage **out, sm_error *e) SM_MUST_USE;
/** Runs the plan of the rows, which r->asked is of, into the stage, in the order in which that
 * wants them. */
sm_status smi_flow_execute_into(smi_flow_guard *rows, sm_stage *stage, sm_error *e) SM_MUST_USE;
/** What the searches for keys that come again may take of the memory together while a run writes
 * rows (contract.h): of what the run itself can spare. 0: they read the rows afterwards. */
size_t smi_flow_search_room(const sm_run *r);
/**
 * Puts the rules of a task's contract, if it has one, around the rows of its SQL.
 *
 * Shape     plan: of the SQL, which r->asked is of; out->plan may have other columns
 * Owner     *out is the caller's, smi_flow_guard_close() it; it keeps `a`. `stays` is borrowed
 * Errors    those of sm_guard_new, with the place in the contract; SM_UNSUPPORTED: a rule that
 *           cannot take rows away from such a write
 */
sm_status smi_flow_guard_open(sm_run *r, int32_t task, const sm_plan *plan,
                              const smi_flow_staying *stays, sm_arena *a, smi_flow_guard *out,
                              sm_error *e) SM_MUST_USE;
/** The same around other rows, which have the columns of the SQL that r->asked is of, and may have
 * an origin behind them. */
sm_status smi_flow_guard_over(sm_run *r, int32_t task, const sm_plan_node *rows,
                              const smi_flow_staying *stays, sm_arena *a, smi_flow_guard *out,
                              sm_error *e) SM_MUST_USE;
/** Judges what the execution of the guard's plan has staged: c is the task's candidate, `written`
 * the one that has its rows, mostly the same. The verdict goes to the candidate and the report.
 * SM_CONTRACT: a rule of severity error is broken. */
sm_status smi_flow_guard_judge(smi_flow_guard *g, sm_candidate *written, sm_candidate *c,
                               sm_error *e) SM_MUST_USE;
/** Judges a candidate that takes rows away and adds none. */
sm_status smi_flow_guard_leaving(sm_run *r, int32_t task, sm_candidate *c, sm_error *e) SM_MUST_USE;
/** Names for the rules, which see the task's table as the candidate leaves it; NULL: as it is. */
void smi_flow_guard_names(smi_flow_guard *g, sm_candidate *c);
/** The audit of the view g->task, whose SQL is `select`, with the guard's names. SM_UNSUPPORTED. */
sm_status smi_flow_guard_audit(smi_flow_guard *g, const sm_statement *select, sm_audit *out,
                               sm_error *e) SM_MUST_USE;
/** r->asked as it was; a task's plan may be asked for something else meanwhile. */
smi_flow_asked smi_flow_asked_keep(sm_run *r);
void smi_flow_asked_restore(sm_run *r, const smi_flow_asked *kept);

/** Keeps the candidate of a task that fails by its verdict, if that is why. e: the failure, which
 * is to say where its rows are, or why they are not kept. */
void smi_flow_keep(sm_run *r, int32_t task, sm_error *e);
/** After the publication: keeps the verdicts of tables for the next check of them
 * (flow_judged.c). */
void smi_flow_judged_keep(sm_run *r);
/** After the publication: of tables that keep their contract again no older candidate is kept. */
void smi_flow_drop_kept(sm_run *r);

/** Draws what the columns of rows look like that were judged, if the run is to have a page. Where
 * that cannot be, a warning says why. */
void smi_flow_page_profile(smi_flow_guard *g, const sm_plan_node *rows, sm_verdict *v);
/** The page of all verdicts, for the report. At the end of the run. */
void smi_flow_page_print(sm_run *r);

/* ---- views (flow_watch.c) -------------------------------------------------------------------- */

/** Does a view, if it has a contract: its rules are bound. Its rows are judged where no table task
 * of the run reads it; else that is due. */
sm_status smi_flow_view_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
/** Puts the checks of views that are due and read by the guard's task into its plan, and counts the
 * rows of those that a rule of the run names. Where the checks cannot be there, the views stay due,
 * and uncounted. */
sm_status smi_flow_watch_open(smi_flow_guard *g, sm_error *e) SM_MUST_USE;
/** Judges these views by what the execution of the guard's plan has reported; the views are counted
 * then. SM_CONTRACT. */
sm_status smi_flow_watch_judge(smi_flow_guard *g, sm_error *e) SM_MUST_USE;
void smi_flow_watch_close(smi_flow_guard *g);
/** Judges the views that are still due, by passes of their own. When all tables are made. */
sm_status smi_flow_views_finish(sm_run *r, sm_error *e) SM_MUST_USE;
/** Is the view's contract due, and judged by the execution of the task's plan if that can be? */
bool smi_flow_is_watched(const sm_run *r, int32_t task, int32_t view);
/** The views that a failed attempt at a task has judged are due again; what it has counted is
 * forgotten. */
void smi_flow_watch_undo(sm_run *r, int32_t task);
/** After the candidate is judged, or never will be. Takes {0}. */
void smi_flow_guard_close(smi_flow_guard *g);
/** Adds to a fingerprint what decides the verdict of a task, but for the tables that its rules
 * speak of (smi_flow_task.checks). */
void smi_flow_guard_text(const sm_run *r, const smi_flow_task *t, sm_buf *out);

/** Is the task's table to be made anew (--full-refresh)? */
bool smi_flow_is_refreshed(const sm_run *r, int32_t task);
/** Does a load of this source make its table anew? */
bool smi_flow_is_source_refreshed(const sm_run *r, const smi_flow_source_state *s);

/* ---- what has not changed (flow_inputs.c, flow_unchanged.c) ---------------------------------- */

/* What decides the rows of a table, and the verdicts of the views that are judged with it. */
typedef struct smi_flow_inputs {
    sm_buf text;      /* all of it, for the fingerprint */
    sm_buf json;      /* tables and sources, for the commit's user metadata */
    bool reads_paths; /* there is more, of which nobody knows whether it has changed */
} smi_flow_inputs;
/** Adds what decides the rows of a table task to *in, {0} at first; r->asked is what its SQL asked
 * for. Errors: those of planning the views that its rules speak of. */
sm_status smi_flow_inputs_gather(sm_run *r, int32_t task, smi_flow_inputs *in,
                                 sm_error *e) SM_MUST_USE;
void smi_flow_inputs_release(smi_flow_inputs *in); /* takes {0} */
/** The text of a key in the member "smelt" of the newest commit that changed rows of a table in the
 * lake; "": none. In the run's arena. */
sm_status smi_flow_stored_word(sm_run *r, sm_str table, const char *key, sm_str *out,
                               sm_error *e) SM_MUST_USE;

/** Adds members to what the commit of a table task says, for a run in which nothing has changed.
 * After the task is judged; r->asked is what its SQL asked for. */
void smi_flow_unchanged_put(const sm_run *r, int32_t task, sm_json_writer *w);
/** Have the quarantines the refused lines of all files that such a commit was made from? false also
 * where one is gone. `said`: its member "smelt", or NULL. */
bool smi_flow_unchanged_is_refused(const sm_run *r, const sm_json *said);
/** Tells of a task that is not done again what its commit says: files that are skipped, verdicts of
 * views. */
void smi_flow_unchanged_tell(sm_run *r, int32_t task, const sm_json *said);

/* ---- what a table's log says of earlier runs (flow_past.c) ----------------------------------- */

typedef enum smi_flow_past_kind {
    SMI_PAST_NONE,        /* no commit of these rows says it */
    SMI_PAST_FOUND,       /* `version` says it */
    SMI_PAST_OVERWRITTEN, /* `version` has put other rows in their place, and does not say it */
    SMI_PAST_UNSEEN,      /* the log no longer has all commits of these rows */
} smi_flow_past_kind;

/* What a commit said that made rows which the table still has. */
typedef struct smi_flow_past {
    smi_flow_past_kind kind;
    int64_t version;
    bool is_ours;        /* a run of smelt made the version */
    sm_str text;         /* of the key */
    const sm_json *said; /* FOUND: the member */
} smi_flow_past;

/** Looks for the newest commit at or below `version` whose member "smelt" has this key with this
 * text ("": any), RESTORE followed. The texts of *out live in the run's arena. */
sm_status smi_flow_past_find(sm_run *r, sm_store *table, int64_t version, const char *key,
                             sm_str text, smi_flow_past *out, sm_error *e) SM_MUST_USE;

/* ---- connections (flow_connection.c) --------------------------------------------------------- */

/** Connects the run's stores to the places in S3 that the variables name. */
sm_status smi_flow_connect(const sm_run *r, sm_error *e) SM_MUST_USE;
/** Connects a place that the variable had in another run, if it is in S3. */
sm_status smi_flow_connect_place(const sm_run *r, int32_t var, sm_str uri, sm_error *e) SM_MUST_USE;
/** Checks the settings of the servers that chosen tasks publish to, and that they can read the
 * lake, so that a mistake there ends a run before its work. */
sm_status smi_flow_publish_check(sm_run *r, sm_error *e) SM_MUST_USE;
/** Makes the table on the server. After the lake's tables are published. */
sm_status smi_flow_publish_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;

/** Does step i of a run, again where that can help (flow_retry.c). As sm_run_task(). */
sm_status smi_flow_task_try(sm_run *r, int32_t i, sm_error *e) SM_MUST_USE;

/* ---- the kinds of work ----------------------------------------------------------------------- */

/** Does a load (flow_load.c) or a table task (flow_table.c): its candidate, or none if nothing has
 * changed. */
sm_status smi_flow_load_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
sm_status smi_flow_table_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;

/* A merge as it is bound. */
typedef struct smi_flow_merging {
    sm_merge merge; /* without its write and rows */
    sm_history history;
    sm_str text;      /* all that it is made from */
    sm_str order;     /* the time that the rows are of, or the month or date that the SQL asks for;
                       * "": not known */
    int64_t order_us; /* of a time */
    bool is_next;     /* it comes after the last time, which is to be remembered */
} smi_flow_merging;

/* The transaction of a history. Its version is the time to which that goes, in microseconds since
 * 1970, or more: versions of a transaction grow. */
#define SMI_HISTORY_APP "smelt-scd2"

/** Binds what the task says of a merge to the columns of its SQL and of the table (`there`, NULL:
 * there is none). Errors with the place in the pipeline file: SM_NAME, SM_TYPE, SM_INVALID; those
 * of sm_query_expr. *out lives in `a`. */
sm_status smi_flow_merge_bind(sm_run *r, int32_t task, const sm_plan *plan, sm_snapshot *there,
                              sm_arena *a, smi_flow_merging *out, sm_error *e) SM_MUST_USE;
/** Compares the time of the rows with that of the last merge, for a history, which is not told out
 * of order; a warning where older rows may take the place of newer ones. */
sm_status smi_flow_merge_order(sm_run *r, int32_t task, sm_snapshot *there, smi_flow_merging *g,
                               sm_error *e) SM_MUST_USE;
/** Runs the plan of the rows, which r->asked is of, and stages their merge: the task's candidate,
 * which is judged. */
sm_status smi_flow_merge_rows(smi_flow_guard *guarded, const smi_flow_merging *g, const sm_write *w,
                              sm_error *e) SM_MUST_USE;
/** The same in two steps, for rows that the caller runs into the stage. */
sm_status smi_flow_merge_open(sm_run *r, const smi_flow_task *t, const sm_write *w,
                              const sm_type *schema, sm_stage **out, sm_error *e) SM_MUST_USE;
sm_status smi_flow_merge_staged(smi_flow_guard *guarded, const smi_flow_merging *g,
                                const sm_write *w, sm_candidate *rows, sm_error *e) SM_MUST_USE;
/** Binds an expression of the pipeline file over a schema; its variables are added to r->asked. */
sm_status smi_flow_bind(sm_run *r, const smi_flow_expression *x, const sm_type *schema, sm_arena *a,
                        const sm_expr **out, sm_error *e) SM_MUST_USE;

/** Runs a program, and waits for its end (flow_command.c). SM_IO: it failed. */
sm_status smi_flow_command_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
/** Joins the files of a table, or deletes old ones (flow_upkeep.c). After the run's tables are
 * published. */
sm_status smi_flow_optimize_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
sm_status smi_flow_vacuum_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
/** Has the run taken longer than it may? */
bool smi_flow_run_is_late(const sm_run *r);
/** Leaves out the tasks that an earlier process of the run has finished (flow_earlier.c). When the
 * lake is settled, before the steps are made. */
sm_status smi_flow_leave_out_done(sm_run *r, sm_error *e) SM_MUST_USE;
/** The newest version that this run has written of a table since opts->earlier.since_us, but for
 * sorted rows; −1: none. The lake is settled. */
sm_status smi_flow_find_commit(const sm_run *r, sm_store *table, int64_t *version,
                               sm_error *e) SM_MUST_USE;
/** Sorts a table of the lake (flow_cluster.c). After the run's tables are published. */
sm_status smi_flow_cluster_run(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;

/** Matches the source's files for its quarantine table. When the source is opened. */
sm_status smi_flow_quarantine_match(sm_run *r, smi_flow_source_state *s, sm_error *e) SM_MUST_USE;
/** Opens the table if lines may have to be written. Before a plan is executed that reads the
 * source. */
sm_status smi_flow_quarantine_open(sm_run *r, smi_flow_source_state *s, sm_error *e) SM_MUST_USE;
/** The sink of refused lines, for a task; after the quarantines of its sources are open. */
sm_sink smi_flow_quarantine_sink(sm_run *r, int32_t task);
/** Remembers what the table has. Before each attempt at a task. */
void smi_flow_quarantine_mark(smi_flow_source_state *s);
/** Ends the data file of the attempt's lines, if it has one. After an attempt that succeeded; if
 * this fails, the attempt has failed. */
sm_status smi_flow_quarantine_keep(smi_flow_source_state *s, sm_error *e) SM_MUST_USE;
/** Throws the lines of a failed attempt away. Those of tasks that are done stay. */
void smi_flow_quarantine_undo(const sm_run *r, smi_flow_source_state *s, int32_t task);
/** Ends the table: makes its candidate, or none if nothing changes. After all tasks. */
sm_status smi_flow_quarantine_finish(sm_run *r, smi_flow_source_state *s, sm_error *e) SM_MUST_USE;
void smi_flow_quarantine_release(smi_flow_quarantine *q); /* takes {0} */
/** A load is going to read the files that its books say, under a contract or not: what quarantine
 * has of them is replaced, and so are rows that its contract takes away. Before its plan is
 * executed. SM_UNSUPPORTED: an earlier task has written the quarantine of these files. */
sm_status smi_flow_quarantine_claim(sm_run *r, int32_t task, const smi_flow_books *b,
                                    sm_error *e) SM_MUST_USE;
/* The rows of a quarantine table that a write deletes (flow_quarantine.c). */
typedef struct smi_flow_leaving {
    smi_flow_rows files; /* all rows of these, by URI */
    smi_flow_rows lines; /* only the refused lines of these */
    const smi_flow_leaving_file *shared;
    int64_t n_shared;
    bool has_before; /* and, of all, … */
    sm_value before; /* … those of a time before this */
} smi_flow_leaving;
/** Adds the rows that are older than the pipeline keeps, if the table has any; `there` may be
 * NULL. */
sm_status smi_flow_quarantine_age(const sm_run *r, sm_snapshot *there, smi_flow_leaving *out,
                                  sm_error *e) SM_MUST_USE;
/** The mode and condition of a write that deletes them; *l is borrowed until its stage is open. */
void smi_flow_quarantine_leave(const smi_flow_leaving *l, sm_write *w);

/** Says where the rows go that contracts take away: t->quarantine. When all tasks are read. With
 * the place of the task: SM_EXISTS: to where those of another task or source go; SM_INVALID with
 * the rule's place: its name is a reason of refused lines. */
sm_status smi_flow_quarantine_name(sm_pipeline *p, sm_error *e) SM_MUST_USE;
/** Which quarantine has rows of the task, or had them when its contract still took some away; "":
 * none, or it is another's now. */
sm_str smi_flow_quarantine_of(const sm_pipeline *p, const smi_flow_task *t);
/** Opens the quarantine of a task whose guard has side outputs, and the way of each into it; of
 * others *out is {0}. In `a`; smi_flow_sides_close() it behind the execution, whatever became of
 * that. */
sm_status smi_flow_sides_open(const smi_flow_guard *g, sm_arena *a, smi_flow_sides *out,
                              sm_error *e) SM_MUST_USE;
void smi_flow_sides_close(smi_flow_sides *s); /* takes {0} */
/** Ends the quarantine of a task's own: its candidate, if rows came. After an attempt that
 * succeeded; if this fails, the attempt has failed. */
sm_status smi_flow_own_keep(sm_run *r, int32_t task, sm_error *e) SM_MUST_USE;
/** Throws away what an attempt has put into it. Takes {0}. */
void smi_flow_own_undo(smi_flow_own_quarantine *o);

/* ---- tests of SQL (flow_unit_yaml.c, flow_unit.c) -------------------------------------------- */

/* Rows as a test has them. */
typedef struct smi_unit_rows {
    sm_str name;          /* given: the table or source; "": expected */
    sm_str file;          /* that a source has them in */
    sm_str text;          /* NDJSON */
    const sm_type *types; /* that the test says; NULL: it does not */
    const sm_str *keys;   /* of all rows, each once */
    const sm_yaml_place *key_places;
    int32_t n_keys; /* −1: not known, as the rows are in a file */
    int64_t n_rows;
    sm_yaml_place at;
} smi_unit_rows;

typedef struct smi_unit_test {
    sm_str name;
    int32_t task; /* whose SQL it runs */
    smi_unit_rows *given;
    int32_t n_given;
    smi_unit_rows expected;
    bool is_ordered;
    const sm_pair *vars;
    int32_t n_vars;
    sm_str date; /* the run's logical date; "": today */
    sm_yaml_place at;
} smi_unit_test;

struct sm_unit_tests {
    const sm_pipeline *p;
    sm_yaml_doc yaml;
    smi_unit_test *tests;
    int32_t n;
};

/* ---- keys that come and go (flow_drift.c) ---------------------------------------------------- */

/** Takes the keys of the lines that a load has read into its table. */
void smi_flow_drift_take(sm_run *r, int32_t task, const sm_exec_report *x);
/** Compares them with those in the books, and has the books remember them. Before enter. */
void smi_flow_drift_settle(sm_run *r, int32_t task, smi_flow_books *b);

/* ---- the report (flow_report.c) -------------------------------------------------------------- */

void smi_flow_report_exec(sm_run *r, int32_t task, const sm_exec_report *x);
/** What was found of a task's contract. Only the last attempt at the task counts. */
void smi_flow_report_verdict(sm_run *r, int32_t task, const sm_verdict *v);
/** The same, as the report has it; it lives in the report's arena. */
void smi_flow_report_contract(sm_run *r, int32_t task, const sm_contract_report *own);
/** Warns of what smelt does not check of a task's contract. */
void smi_flow_report_notes(sm_run *r, const smi_flow_task *t);
/** The same text counts once. */
void smi_flow_report_warn(sm_run *r, const char *fmt, ...) SM_PRINTF(2, 3);
/* Of several loads' words on the same file the first counts. */
void smi_flow_report_gone(sm_run *r, sm_str name);
void smi_flow_report_moved(sm_run *r, sm_str from, sm_str to);
void smi_flow_report_copy(sm_run *r, sm_str name, sm_str of, bool is_skipped);
void smi_flow_report_sources(sm_run *r, bool is_done);
/** `versions` as sm_publish gave them to the candidates of `order`. */
void smi_flow_report_tables(sm_run *r, sm_candidate *const *published, const int64_t *versions,
                            int32_t n);
/** How keys differ from the run before, once that is published. */
void smi_flow_report_drift(sm_run *r);
/** A command that went well. */
void smi_flow_report_command(sm_run *r, int32_t task);
/** A task that was published, or has kept a table in order. */
void smi_flow_report_after(sm_run *r, int32_t task);

#endif
