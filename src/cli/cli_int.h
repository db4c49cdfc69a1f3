/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_int.h: what the commands share: their table, options as data, the environment of a run
 * (threads, memory, Ctrl-C, progress), and ways to print rows. Results go to stdout, all else to
 * stderr. */
#ifndef SM_CLI_CLI_INT_H
#define SM_CLI_CLI_INT_H

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

/* No number that a user could mean: 0 is one. */
#define SMI_NOT_GIVEN INT64_MIN

static inline int64_t smi_given_or(int64_t given, int64_t otherwise)
{
    return given == SMI_NOT_GIVEN ? otherwise : given;
}

typedef struct smi_list {
    const char **items;
    int32_t n;
} smi_list;

typedef struct smi_opt {
    const char *name; /* "--threads"; a second, short form after a space: "--output -o" */
    smi_opt_type type;
    const char *arg; /* what help calls its value, NULL for a flag */
    const char *help;
    size_t offset; /* in the command's options struct, which is zeroed before, numbers apart */
} smi_opt;

typedef struct smi_cli smi_cli;

typedef struct smi_command {
    const char *name;
    const char *usage;      /* "PIPELINE [--var K=V]..." */
    const char *summary;    /* one line */
    const char *details;    /* paragraphs and examples, ended by LF; "" */
    const smi_opt *options; /* ended by a row without a name */
    size_t opts_bytes;
    int min_args, max_args;
    sm_status (*run)(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e);
    /* With --json: what is printed of a failure that came before run(). NULL: the error alone. */
    void (*print_failure)(const sm_error *e);
} smi_command;

extern const smi_command *const smi_commands[]; /* NULL-ended */

/* ---- the environment of a run ---------------------------------------------------------------- */

/* Given to every command; beside its own ones. */
typedef struct smi_globals {
    bool help, quiet, json;
    int64_t threads;
    size_t memory_limit;
    const char *spill_dir;
} smi_globals;

struct smi_cli {
    smi_globals globals;
    sm_engine *engine;
    sm_exec_env env; /* the command is one run of it */
    sm_arena *arena; /* for the command's life */
    sm_progress progress;
    struct smi_painter *painter;
    bool has_answered; /* with --json: what stdout gets is there, of a failure too */
};

/** Parses `argv` after the command's name into `opts` and the positional `args` (n_args of them,
 * argv reordered). SM_USAGE with the nearest option. */
sm_status smi_options_parse(const smi_command *c, int argc, char **argv, void *opts,
                            smi_globals *globals, int *n_args, sm_arena *a,
                            sm_error *e) SM_MUST_USE;
/** The values of an option given as K=V, in the arena of `cli`, borrowing the words. SM_USAGE names
 * one that has no '='. */
sm_status smi_options_pairs(smi_cli *cli, const char *option, const smi_list *given, sm_pair **out,
                            sm_error *e) SM_MUST_USE;
/** Is --json among the words, where they could not be parsed? */
bool smi_options_ask_json(int argc, char **argv);
void smi_print_help(const smi_command *c);

/** Makes the engine, and lets Ctrl-C cancel (a second one ends the process). */
sm_status smi_cli_open(smi_cli *cli, sm_error *e) SM_MUST_USE;
void smi_cli_close(smi_cli *cli);

/** Shows progress on stderr while work runs, where stderr is a terminal that can move its cursor
 * (TERM is not "dumb") and not --quiet. Borrows both texts and counters until the stop. */
void smi_progress_start(smi_cli *cli, const char *what, const sm_progress *progress);
void smi_progress_stop(smi_cli *cli); /* also where it was not started */

/** Bold, for a terminal without NO_COLOR; else the empty string. */
const char *smi_bold(void);
const char *smi_plain(void);

/* ---- rows out -------------------------------------------------------------------------------- */

/** Rows as `format` (table, csv, json, ndjson, md, parquet) to a file, or to stdout where it is
 * NULL. NULL format: by the file's suffix, else table on a terminal and csv off it. */
sm_status smi_output_open(smi_cli *cli, const sm_type *schema, const char *format, const char *file,
                          sm_output **out, sm_error *e) SM_MUST_USE;

/* ---- answers for machines (--json) ----------------------------------------------------------- */

/** Prints one whole answer, on a line, and releases its buffer. The command must not print
 * another. */
void smi_answer_print(smi_cli *cli, sm_json_writer *w);

/* ---- text in --------------------------------------------------------------------------------- */

/** The file's whole text, in cli->arena; "-" is stdin, and a terminal is told what is expected.
 * SM_INTERRUPTED where Ctrl-C came first. */
sm_status smi_read_text(smi_cli *cli, const char *path, sm_str *out, sm_error *e) SM_MUST_USE;

#endif
