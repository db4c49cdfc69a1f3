/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_contract.c: `smelt contract infer|export|import|diff|examples|accept`: proposes a
 * contract for rows that are there; says a contract in another form; makes one of another form;
 * compares two; makes rows up; takes keys that came. What is made goes to stdout, all else to
 * stderr. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_contract_int.h"
#include "cli/cli_query_int.h"

typedef struct options {
    const char *table, *form, *breaks, *model, *broken;
    int64_t rows, seed;
    smi_list vars;
    bool writes;
} options;

enum { MOST_EXAMPLES = 100000 }; /* they are made in memory */

static const smi_opt option_table[] = {
    {"--table", SMI_OPT_TEXT, "NAME",
     "the table of the contract (default: its only one; infer: by the path)",
     offsetof(options, table)},
    {"--to", SMI_OPT_TEXT, "FORM", "export: jsonschema, ddl or delta", offsetof(options, form)},
    {"--model", SMI_OPT_TEXT, "NAME", "import dbt: this model alone (default: all of the file)",
     offsetof(options, model)},
    {"--rows", SMI_OPT_I64, "N", "examples: how many rows (default: 10)", offsetof(options, rows)},
    {"--seed", SMI_OPT_I64, "N", "examples: another number gives other rows (default: 1)",
     offsetof(options, seed)},
    {"--broken", SMI_OPT_TEXT, "RULE", "examples: rows that break this rule, and no other",
     offsetof(options, broken)},
    {"--for", SMI_OPT_TEXT, "WHOM",
     "diff: readers or writers, whose changes decide how it ends (default: those of both)",
     offsetof(options, breaks)},
    {"--var", SMI_OPT_LIST, "K=V", "accept: set a variable of the pipeline; can be repeated",
     offsetof(options, vars)},
    {"--write", SMI_OPT_FLAG, NULL, "accept: change the files (default: print what would change)",
     offsetof(options, writes)},
    {0},
};

/* ---- a contract on stdout -------------------------------------------------------------------- */

/* What was made, with what it cannot say. */
typedef struct made {
    sm_str text;
    sm_str file; /* that the notes have their places in */
    const sm_contract_note *notes;
    int64_t n_notes;
} made;

/* The notes go to stderr; with --json they are in the answer as well. */
static void print_made(smi_cli *cli, const made *m)
{
    sm_buf out = {0}, text = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(!cli->has_answered);
    sm_json_begin_object(&w);
    sm_json_set_text(&w, "text", m->text);
    sm_json_set_array(&w, "left_out");
    for (int64_t i = 0; i < m->n_notes; i++) {
        sm_buf_reset(&text);
        smi_note_put(&text, m->file, &m->notes[i]);
        sm_json_put_text(&w, sm_buf_str(&text));
    }
    smi_notes_tell(m->file, m->notes, m->n_notes);
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    sm_buf_release(&text);
    if (cli->globals.json) {
        smi_answer_print(cli, &w);
        return;
    }
    if (m->text.len > 0) { /* there may be no rule that the form can say */
        fwrite(m->text.data, 1, m->text.len, stdout);
    }
    sm_buf_release(&out);
}

/* What was made is read before it is given away: what a file cannot say (two columns whose names
 * differ in case alone, a name that is empty) is an error here, not for who uses the file. */
static sm_status print_contract(smi_cli *cli, const sm_contract *c, made m, sm_error *e)
{
    sm_buf out = {0};
    sm_contract *again = NULL;

    SM_ASSERT(c->n_tables > 0);
    sm_contract_write(c, cli->arena, &out);
    const sm_status st =
        sm_contract_read(SM_STR("the contract"), sm_buf_str(&out), cli->arena, &again, e);
    if (st == SM_OK) {
        m.text = sm_buf_str(&out);
        print_made(cli, &m);
    }
    sm_buf_release(&out);
    return sm_within(e, st, "what was made cannot be a contract");
}

/* ---- infer ----------------------------------------------------------------------------------- */

/* "logs/2022/orders.json.gz" is orders, and "logs/ *.json" logs: the last part of the path that is
 * no pattern, without its suffixes. */
static sm_str name_of_path(sm_str path)
{
    while (path.len > 0) {
        size_t start = path.len, end = path.len;
        while (start > 0 && path.data[start - 1] != '/') {
            start--;
        }
        const sm_str part = {path.data + start, end - start};
        if (part.len > 0 && !memchr(part.data, '*', part.len) &&
            !memchr(part.data, '?', part.len)) {
            const char *dot = memchr(part.data, '.', part.len);
            return dot && dot > part.data ? (sm_str){part.data, (size_t)(dot - part.data)} : part;
        }
        path.len = start > 0 ? start - 1 : 0;
    }
    return SM_STR("rows");
}

/* The rows of a Delta table, a file or a pattern. */
static sm_status open_rows(const smi_cli *cli, sm_names *names, sm_str uri,
                           const sm_plan_node **out, sm_error *e)
{
    const sm_resolver resolver = sm_names_resolver(names);
    const sm_table_arg arg = {.value = sm_value_str(uri)};
    sm_relation r = {0};

    SM_TRY(resolver.function(resolver.ctx, SM_STR(""), &arg, 1, cli->arena, &r, e));
    SM_ASSERT(uri.data);
    SM_ENSURE(r.dataset || r.node); /* a path is never a view */
    *out = r.dataset ? sm_plan_scan(&r, true, cli->arena) : r.node;
    return SM_OK;
}

static sm_status infer(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    const sm_str uri = sm_str_of(args[0]);
    const sm_str name = o->table ? sm_str_of(o->table) : name_of_path(uri);
    sm_names *names = sm_names_new(cli->env.stores, SM_STR(""), cli->env.budget);
    const sm_plan_node *rows = NULL;
    sm_contract *c = NULL;
    sm_exec_report report = {0};

    sm_status st = open_rows(cli, names, uri, &rows, e);
    if (st == SM_OK) {
        smi_progress_start(cli, "profile", &cli->progress);
        st = sm_contract_infer(rows, name, uri, &cli->env, cli->arena, &c, &report, e);
        smi_progress_stop(cli);
    }
    if (st == SM_OK) {
        smi_tell_lines(&report);
        st = print_contract(cli, c, (made){0}, e);
    }
    sm_exec_report_release(&report);
    sm_names_free(names);
    return st;
}

/* ---- export ---------------------------------------------------------------------------------- */

static sm_status read_form(const options *o, sm_contract_form *out, sm_error *e)
{
    static const char *const words[] = {
        [SM_FORM_JSON_SCHEMA] = "jsonschema",
        [SM_FORM_DDL] = "ddl",
        [SM_FORM_DELTA] = "delta",
    };

    for (int i = 0; o->form && i < SM_COUNT(words); i++) {
        if (strcmp(o->form, words[i]) == 0) {
            *out = (sm_contract_form)i;
            return SM_OK;
        }
    }
    const sm_status st = o->form ? sm_fail(e, SM_USAGE, "--to cannot be \"%s\"", o->form)
                                 : sm_fail(e, SM_USAGE, "smelt contract export needs --to");
    sm_error_todo(e, "Use jsonschema, ddl or delta.");
    return st;
}

static sm_status export(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    sm_contract_form form = SM_FORM_DDL;
    sm_contract *c = NULL;
    const sm_contract_table *table = NULL;
    sm_contract_note *notes = NULL;
    int64_t n_notes = 0;
    sm_buf out = {0};

    SM_TRY(read_form(o, &form, e));
    SM_TRY(smi_contract_read(cli, args[0], &c, e));
    SM_TRY(sm_contract_find(c, sm_str_of(o->table ? o->table : ""), cli->arena, &table, e));
    const sm_status st = sm_contract_export(c, table, form, cli->arena, &out, &notes, &n_notes, e);
    if (st == SM_OK) {
        print_made(cli, &(made){sm_buf_str(&out), sm_str_of(args[0]), notes, n_notes});
    }
    sm_buf_release(&out);
    return st;
}

/* ---- import ---------------------------------------------------------------------------------- */

static sm_status import(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    const sm_str file = sm_str_of(args[1]), table = sm_str_of(o->table ? o->table : "");
    const sm_str model = sm_str_of(o->model ? o->model : "");
    const bool is_dbt = strcmp(args[0], "dbt") == 0;
    made m = {.file = file};
    sm_contract *c = NULL;
    sm_contract_note *notes = NULL;
    sm_str text = {0};
    sm_status st = SM_OK;

    if (!is_dbt && strcmp(args[0], "patito") != 0) {
        st = sm_fail(e, SM_USAGE, "smelt contract cannot import \"%s\"", args[0]);
        sm_error_todo(e, "Use patito, with the file of a model's JSON Schema, or dbt.");
        return st;
    }
    if (is_dbt ? o->table != NULL : o->model != NULL) {
        return sm_fail(e, SM_USAGE, "smelt contract import %s has no option %s", args[0],
                       is_dbt ? "--table" : "--model");
    }
    SM_TRY(smi_read_text(cli, args[1], &text, e));
    st = is_dbt ? sm_contract_import_dbt(file, model, text, cli->arena, &c, &notes, &m.n_notes, e)
                : sm_contract_import_patito(table, text, cli->arena, &c, &notes, &m.n_notes, e);
    if (st != SM_OK) {
        sm_error_place_str(e, file, e->line, e->byte);
        return st;
    }
    m.notes = notes;
    return print_contract(cli, c, m, e);
}

/* ---- examples -------------------------------------------------------------------------------- */

static sm_status examples(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    sm_example_order order = {.n_rows = smi_given_or(o->rows, 10),
                              .seed = (uint64_t)smi_given_or(o->seed, 1),
                              .broken = sm_str_of(o->broken ? o->broken : "")};
    sm_contract *c = NULL;
    sm_example made_up = {0};

    if (order.n_rows < 1 || order.n_rows > MOST_EXAMPLES) {
        return sm_fail(e, SM_USAGE, "--rows is a number from 1 to %d", MOST_EXAMPLES);
    }
    SM_TRY(smi_contract_read(cli, args[0], &c, e));
    SM_ASSERT(c);
    order.contract = c;
    SM_TRY(sm_contract_find(c, sm_str_of(o->table ? o->table : ""), cli->arena, &order.table, e));
    SM_TRY(sm_contract_example(&order, &cli->env, cli->arena, &made_up, e));
    print_made(cli, &(made){made_up.text, sm_str_of(args[0]), made_up.notes, made_up.n_notes});
    return SM_OK;
}

/* ---- diff ------------------------------------------------------------------------------------ */

static sm_status diff(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    sm_contract *before = NULL, *after = NULL;
    unsigned whom = SM_BREAKS_WRITERS | SM_BREAKS_READERS;

    if (o->breaks) {
        whom = strcmp(o->breaks, "writers") == 0   ? SM_BREAKS_WRITERS
               : strcmp(o->breaks, "readers") == 0 ? SM_BREAKS_READERS
                                                   : 0;
    }
    if (!whom) {
        const sm_status st = sm_fail(e, SM_USAGE, "--for cannot be \"%s\"", o->breaks);
        sm_error_todo(e, "Use readers or writers.");
        return st;
    }
    SM_TRY(smi_contract_read(cli, args[0], &before, e));
    SM_TRY(smi_contract_read(cli, args[1], &after, e));
    return smi_contract_diff_print(cli, before, after, whom, e);
}

/* ---- accept ---------------------------------------------------------------------------------- */

static sm_status accept(smi_cli *cli, const options *o, char **args, sm_error *e)
{
    return smi_contract_accept(
        cli,
        &(smi_accept){.pipeline = args[0], .table = args[1], .vars = o->vars, .writes = o->writes},
        e);
}

/* ---- the command ----------------------------------------------------------------------------- */

enum { MOST_ARGS = 4 };

static const struct verb {
    const char *name, *args;
    int n_args, n_more; /* that it must have, and may have behind them */
    sm_status (*run)(smi_cli *cli, const options *o, char **args, sm_error *e);
    const char *options; /* that it has, a space before and behind each */
} verbs[] = {
    {"infer", "URI", 1, 0, infer, " --table "},
    {"export", "CONTRACT", 1, 0, export, " --table --to "},
    {"import", "patito FILE, or dbt FILE", 2, 0, import, " --table --model "},
    {"diff", "OLD NEW", 2, 0, diff, " --for "},
    {"examples", "CONTRACT", 1, 0, examples, " --table --rows --seed --broken "},
    {"accept", "PIPELINE [TABLE]", 1, 1, accept, " --var --write "},
};

static sm_status check_call(const struct verb *v, const options *o, int n_args, sm_error *e)
{
    SM_ASSERT(v->run && v->n_args > 0);
    if (n_args < v->n_args || n_args > v->n_args + v->n_more) {
        return sm_fail(e, SM_USAGE, "smelt contract %s takes %s", v->name, v->args);
    }
    const char *const given[] = {o->table ? "--table" : NULL,
                                 o->form ? "--to" : NULL,
                                 o->model ? "--model" : NULL,
                                 o->breaks ? "--for" : NULL,
                                 o->rows != SMI_NOT_GIVEN ? "--rows" : NULL,
                                 o->seed != SMI_NOT_GIVEN ? "--seed" : NULL,
                                 o->broken ? "--broken" : NULL,
                                 o->vars.n > 0 ? "--var" : NULL,
                                 o->writes ? "--write" : NULL};
    for (int i = 0; i < SM_COUNT(given); i++) {
        if (given[i] && !strstr(v->options, given[i])) {
            return sm_fail(e, SM_USAGE, "smelt contract %s has no option %s", v->name, given[i]);
        }
    }
    return SM_OK;
}

static sm_status run_contract(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    char *own[MOST_ARGS] = {NULL}; /* NULL: not given */

    SM_ASSERT(n_args <= MOST_ARGS);
    for (int i = 0; i < SM_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, args[0]) == 0) {
            SM_TRY(check_call(&verbs[i], opts, n_args - 1, e));
            memcpy(own, args + 1, (size_t)(n_args - 1) * sizeof(*own));
            return verbs[i].run(cli, opts, own, e);
        }
    }
    const sm_status st = sm_fail(e, SM_USAGE, "smelt contract has no command \"%s\"", args[0]);
    sm_error_todo(e, "Use infer, export, import, diff, examples or accept.");
    return st;
}

const smi_command smi_command_contract = {
    .name = "contract",
    .usage = "infer URI, export --to FORM CONTRACT, import patito|dbt FILE,\n"
             "       diff OLD NEW, examples CONTRACT, or accept PIPELINE [TABLE]",
    .summary = "Proposes a contract for rows that are there; exports, imports, compares contracts.",
    .details = "The contract is YAML, as the standard ODCS v3.1 has it, and goes to stdout.\n"
               "\n"
               "  smelt contract infer ./lake/silver/orders > orders.yaml\n"
               "  smelt contract infer 'logs/*.json' --table orders\n"
               "  smelt contract export --to jsonschema orders.yaml\n"
               "  smelt contract import patito model.json > orders.yaml\n"
               "  smelt contract import dbt models/schema.yml --model orders > orders.yaml\n"
               "  smelt contract diff old.yaml orders.yaml\n"
               "  smelt contract examples orders.yaml --rows 100 > orders.ndjson\n"
               "  smelt contract accept shop.yaml raw.orders --write\n"
               "\n"
               "diff ends with 3 where a change breaks those who write or read the rows.\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = MOST_ARGS,
    .run = run_contract,
};
