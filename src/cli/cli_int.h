/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_int.h: what the commands share: their table, options as data, what a command runs with
 * (engine, memory, Ctrl-C, progress), and the ways to print rows and answers. Results go to stdout,
 * all else to stderr. */
#ifndef SM_CLI_CLI_INT_H
#define SM_CLI_CLI_INT_H

#include <stdio.h>

#include "base/json_write.h"
#include "exec/exec.h"
#include "table/table.h"

/* ---- commands as data ------------------------------------------------------------------------ */

typedef enum smi_opt_type {
    SMI_OPT_FLAG, /* bool */
    SMI_OPT_TEXT, /* const char *; NULL where it is not given */
    SMI_OPT_I64,  /* int64_t; SMI_NOT_GIVEN where it is not given */
    SMI_OPT_F64,  /* double */
    SMI_OPT_SIZE, /* size_t: "512MB" */
    SMI_OPT_LIST, /* smi_list: may be given again */
} smi_opt_type;

/* What an option of type SMI_OPT_I64 is where it is not given; 0 is a number that may be given. */
#define SMI_NOT_GIVEN INT64_MIN

/** The number that was given, or another one where none was. */
static inline int64_t smi_given_or(int64_t given, int64_t otherwise)
{
    return given == SMI_NOT_GIVEN ? otherwise : given;
}

/* The values of an option that may be repeated, in their order. */
typedef struct smi_list {
    const char **items;
    int32_t n;
} smi_list;

/* A row of a command's table of options. */
typedef struct smi_opt {
    const char *name; /* "--threads"; a second form after a space: "--output -o" */
    smi_opt_type type;
    const char *arg; /* what help calls its value, NULL for a flag */
    const char *help;
    size_t offset; /* of its value in the command's options struct */
} smi_opt;

typedef struct smi_cli smi_cli;

/* A command: the last lines of its cmd_*.c. */
typedef struct smi_command {
    const char *name;
    const char *usage;      /* "PIPELINE [--var K=V]..." */
    const char *summary;    /* one line */
    const char *details;    /* paragraphs and examples, ended by LF; "" */
    const smi_opt *options; /* ended by a row without a name */
    size_t opts_bytes;      /* of its options struct; 1 at least */
    int min_args, max_args;
    /* Does it, once the engine is there. `opts` is its options struct. */
    sm_status (*run)(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e);
    /* With --json: what is printed of a failure that came before run(). NULL: the error alone. */
    void (*print_failure)(const sm_error *e);
} smi_command;

extern const smi_command *const smi_commands[]; /* NULL-ended */

/* ---- what a command runs with ---------------------------------------------------------------- */

/* The options that every command has beside its own. */
typedef struct smi_globals {
    bool help, quiet, json;
    int64_t threads;
    size_t memory_limit;
    const char *spill_dir;
} smi_globals;

struct smi_cli {
    smi_globals globals;
    sm_engine *engine;
    sm_exec_env env; /* of the engine; a command uses one */
    sm_arena *arena; /* lives as long as the command */
    sm_progress progress;
    struct smi_painter *painter; /* NULL: no progress is shown */
    FILE *device;                /* that -o names: a device or a pipe; else NULL */
    bool has_answered;           /* stdout has its answer: a failure from here on adds none */
};

/**
 * Reads the words after the command's name.
 *
 * Shape     options go into `opts` (of c->opts_bytes, zeroed) and `globals`; all other words are
 *           moved to the front of `argv`, *n_args of them
 * Owner     `opts` borrows the words; lists live in `a`
 * Errors    SM_USAGE: an option that is not there (with the nearest one), a value that does not
 *           fit, too few or too many arguments
 */
sm_status smi_options_parse(const smi_command *c, int argc, char **argv, void *opts,
                            smi_globals *globals, int *n_args, sm_arena *a,
                            sm_error *e) SM_MUST_USE;
/** Cuts the values of an option at their first '=', into given->n pairs in cli->arena that borrow
 * the words. SM_USAGE names a value without '='. */
sm_status smi_options_pairs(smi_cli *cli, const char *option, const smi_list *given, sm_pair **out,
                            sm_error *e) SM_MUST_USE;
/** The day that begins with the --date, or with a date and a time; today without one (NULL).
 * SM_USAGE if it is none. */
sm_status smi_options_day(const char *date, int64_t *start_us, int64_t *end_us,
                          sm_error *e) SM_MUST_USE;
/** The names of "A,B", in the command's arena. One that has a comma, or begins with a quote, stands
 * in double quotes, as in SQL. SM_USAGE: one is empty, or a quote is not closed; `option` is named
 * then. */
sm_status smi_options_names(smi_cli *cli, const char *option, const char *text, sm_str **out,
                            int32_t *n, sm_error *e) SM_MUST_USE;
/** Is --json among the words? For words that could not be read as a whole. */
bool smi_options_ask_json(int argc, char **argv);
/** Prints usage, details and options of a command to stdout. */
void smi_print_help(const smi_command *c);

/** Makes the engine and the environment, and lets Ctrl-C cancel the command; a second Ctrl-C ends
 * the process. SM_USAGE where a setting makes no sense. */
sm_status smi_cli_open(smi_cli *cli, sm_error *e) SM_MUST_USE;
/** Also after an open that failed. Progress is stopped before. */
void smi_cli_close(smi_cli *cli);

/** Shows progress on stderr while work runs, where stderr is a terminal that can move its cursor
 * (TERM is not "dumb") and not --quiet. Borrows both texts and counters until the stop. */
void smi_progress_start(smi_cli *cli, const char *what, const sm_progress *progress);
/** Takes the line away. Does nothing where no progress is shown. */
void smi_progress_stop(smi_cli *cli);

/** What makes stdout bold: "" where it is no terminal, or NO_COLOR is set. */
const char *smi_bold(void);
/** What ends bold; "" as above. */
const char *smi_plain(void);

/* ---- rows out -------------------------------------------------------------------------------- */

/**
 * Opens the way of rows to a file, or to stdout.
 *
 * Shape     `format`: table, csv, json, ndjson, md or parquet. NULL: by the file's suffix; without
 *           a file it is table on a terminal, else csv. `file` NULL: stdout
 * Owner     *out is the caller's, sm_output_close() it
 * Errors    SM_USAGE: no such format, or one that cannot go to stdout; those of sm_output_open()
 */
sm_status smi_output_open(smi_cli *cli, const sm_type *schema, const char *format, const char *file,
                          sm_output **out, sm_error *e) SM_MUST_USE;

/* ---- answers for machines (--json) ----------------------------------------------------------- */

/** Prints the answer, which is one whole value, and releases its buffer. `cli` is NULL before there
 * is one. A command prints one answer. */
void smi_answer_print(smi_cli *cli, sm_json_writer *w);
/** Writes a page of HTML (--html) to a file or URI, whole or not at all. Replaces what is there. */
sm_status smi_page_write(smi_cli *cli, sm_str page, const char *file, sm_error *e) SM_MUST_USE;

/* ---- smelt table vacuum (cli_vacuum.c) ------------------------------------------------------- */

typedef struct smi_vacuum_opts {
    const char *retention; /* NULL: the table's own */
    bool no_retention_check, lite;
} smi_vacuum_opts;

/** Deletes files that no version of the table needs, and prints what was done. SM_USAGE: the
 * retention is no time; those of sm_table_vacuum(), after the answer was printed where files could
 * not be deleted. */
sm_status smi_vacuum_run(smi_cli *cli, sm_str uri, const smi_vacuum_opts *o, bool is_dry,
                         sm_error *e) SM_MUST_USE;

/* ---- smelt table optimize (cli_optimize.c) --------------------------------------------------- */

/** Joins the table's small files, and prints what was done. target: a size as text; NULL: the
 * table's own. SM_USAGE: it is none; those of sm_table_optimize(), after the answer was printed
 * where something was committed before. */
sm_status smi_optimize_run(smi_cli *cli, sm_str uri, const char *target, bool is_dry,
                           sm_error *e) SM_MUST_USE;

/* ---- smelt table fsck (cli_fsck.c) ----------------------------------------------------------- */

typedef struct smi_fsck_opts {
    bool repair, damaged, data;
    const char *rows; /* that the user lets go; NULL: not given */
} smi_fsck_opts;

/** Checks a table, prints what was found, and repairs it where that is asked for. SM_CORRUPT where
 * something wrong is left, after all of it was printed; SM_USAGE for options without a meaning;
 * those of sm_table_fsck(). */
sm_status smi_fsck_run(smi_cli *cli, sm_store *store, const smi_fsck_opts *o, bool is_dry,
                       sm_error *e) SM_MUST_USE;

/* ---- smelt table diff (cli_diff.c) ----------------------------------------------------------- */

typedef struct smi_diff_opts {
    const char *from, *to, *by, *format; /* NULL: not given */
} smi_diff_opts;

/** Prints how two versions of a table differ: at most `limit` rows (−1: as the format does), and
 * the number of all. SM_USAGE for options without a meaning; those of sm_diff_open() and of the
 * run. */
sm_status smi_diff_run(smi_cli *cli, sm_store *store, const smi_diff_opts *o, int64_t limit,
                       sm_error *e) SM_MUST_USE;

/* ---- smelt table cluster (cli_cluster.c) ----------------------------------------------------- */

typedef struct smi_cluster_opts {
    const char *by, *curve; /* columns with commas between; NULL: as the table says */
} smi_cluster_opts;

/** Sorts the rows of a table by a curve, and prints what was moved. SM_USAGE: no such curve, an
 * empty name; those of sm_table_cluster(). */
sm_status smi_cluster_run(smi_cli *cli, sm_str uri, const smi_cluster_opts *o, bool is_dry,
                          sm_error *e) SM_MUST_USE;

/* ---- smelt table alter (cli_alter.c) --------------------------------------------------------- */

typedef struct smi_alter_opts {
    smi_list enable;
    const char *readers; /* NULL: not given; "": none are declared any more */
} smi_alter_opts;

/** Changes columns, properties or constraints of the table args[0] as the other arguments say, and
 * prints what was done. SM_USAGE: no change; those of sm_query_alter() and sm_table_alter(). */
sm_status smi_alter_table(smi_cli *cli, char **args, int n_args, const smi_alter_opts *o,
                          bool is_dry, sm_error *e) SM_MUST_USE;

/* ---- smelt table constrain (cli_constrain.c) ------------------------------------------------- */

/** Makes the row rules of a contract file constraints of a table, and prints which. table: of the
 * contract; NULL: its only one. SM_EXISTS: the table has another constraint of that name; those of
 * sm_contract_constraints() and sm_table_alter(). */
sm_status smi_constrain_run(smi_cli *cli, const char *uri, const char *contract, const char *table,
                            bool is_dry, sm_error *e) SM_MUST_USE;

/* ---- what another command has left open (cli_change.c) --------------------------------------- */

/** For a command that changes a table: completes what is open in its lake, and
 * says so on stderr. */
sm_status smi_settle_first(smi_cli *cli, sm_store *table, sm_error *e) SM_MUST_USE;

/* ---- smelt table delete, update, merge (cli_change.c) ---------------------------------------- */

typedef struct smi_change_opts {
    const char *where, *set, *using, *on; /* NULL: not given */
} smi_change_opts;

/** Makes a statement of the options and runs it; `verb` is one of the three. SM_USAGE: an option
 * is missing; those of the statement. */
sm_status smi_change_table(smi_cli *cli, const char *verb, sm_str uri, const smi_change_opts *o,
                           sm_error *e) SM_MUST_USE;

/* ---- smelt table convert (cli_convert.c) ----------------------------------------------------- */

/** Makes a table of a folder of Parquet files, and prints what it is. partition_by: NULL where it
 * is not given. Errors: those of sm_table_convert(). */
sm_status smi_convert_run(smi_cli *cli, sm_store *folder, const char *partition_by, bool is_dry,
                          sm_error *e) SM_MUST_USE;

/* ---- smelt table clone (cli_clone.c) --------------------------------------------------------- */

/** Makes a table that names the files of another, and prints what it is. Errors: those of
 * sm_table_clone(). */
sm_status smi_clone_run(smi_cli *cli, const char *source, const char *target, const sm_table_at *at,
                        sm_error *e) SM_MUST_USE;

/* ---- text in --------------------------------------------------------------------------------- */

/** Reads the whole text of a file into cli->arena. "-" is stdin; where that is a terminal, a line
 * on stderr says what is expected. SM_INTERRUPTED after Ctrl-C, SM_LIMIT over 1 GiB. */
sm_status smi_read_text(smi_cli *cli, const char *path, sm_str *out, sm_error *e) SM_MUST_USE;
/** The file of tests beside a pipeline file: tests.yaml in its folder. In the command's arena. */
sm_str smi_tests_file(smi_cli *cli, const char *pipeline);

#endif
