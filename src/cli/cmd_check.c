/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_check.c: `smelt check CONTRACT URI`: checks rows that are there against a contract, and
 * prints the verdict. Writes nothing but the verdict of a Delta table, beside it, and with
 * --publish a version of a table: the candidate that is kept of it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/cli_int.h"
#include "contract/contract.h"

#define SECOND_US INT64_C(1000000)

typedef struct options {
    const char *table, *lake, *html, *now;
    bool publish;
    smi_list others, vars;
    bool no_cache;
} options;

static const smi_opt option_table[] = {
    {"--table", SMI_OPT_TEXT, "NAME",
     "the table of the contract that the rows are (default: its only one)",
     offsetof(options, table)},
    {"--table-at", SMI_OPT_LIST, "NAME=URI",
     "where another table is that a rule speaks of; can be repeated", offsetof(options, others)},
    {"--lake", SMI_OPT_TEXT, "DIR",
     "folder of the lake's tables (default: two above URI, as in lake/layer/table)",
     offsetof(options, lake)},
    {"--publish", SMI_OPT_FLAG, NULL, "publish the candidate if it keeps the contract",
     offsetof(options, publish)},
    {"--html", SMI_OPT_TEXT, "FILE",
     "write the verdict to FILE as a page too, with a drawing of each column",
     offsetof(options, html)},
    {"--now", SMI_OPT_TEXT, "TIME", "check as if it were that time, in UTC (default: the clock's)",
     offsetof(options, now)},
    {"--no-cache", SMI_OPT_FLAG, NULL,
     "read the rows even if a verdict of them is kept, and keep none", offsetof(options, no_cache)},
    {"--var", SMI_OPT_LIST, "K=V", "value of var('K') in rules, as text; can be repeated",
     offsetof(options, vars)},
    {0},
};

/* ---- telling --------------------------------------------------------------------------------- */

/* What of the file is not checked. */
static void tell_notes(const sm_contract *c, const sm_contract_table *t)
{
    for (int64_t i = 0; i < c->n_notes; i++) {
        const sm_contract_note *n = &c->notes[i];
        fprintf(stderr, "smelt: warning: %.*s:%d:%d: %.*s\n", SM_STR_ARG(c->yaml.name),
                (int)n->at.line, (int)n->at.byte, SM_STR_ARG(n->text));
    }
    if (t->n_rules == 0) {
        fprintf(stderr, "smelt: warning: table %.*s of the contract has no rules\n",
                SM_STR_ARG(t->name));
    }
}

/* Rules that warn, and those that could not be checked. */
static void tell_warnings(const sm_verdict *v)
{
    sm_buf text = {0};

    SM_ASSERT(!v->is_kept || v->notes[1].len == 0); /* nothing was to be kept */
    for (int i = 0; i < SM_COUNT(v->notes); i++) {
        if (v->notes[i].len > 0) {
            fprintf(stderr, "smelt: warning: %.*s\n", SM_STR_ARG(v->notes[i]));
        }
    }
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        if (v->rules[i].outcome == SM_OUTCOME_WARNED ||
            v->rules[i].outcome == SM_OUTCOME_UNCHECKED) {
            sm_buf_reset(&text);
            sm_rule_verdict_print(&v->rules[i], &text);
            fprintf(stderr, "smelt: warning: rule %.*s: %.*s\n", SM_STR_ARG(v->rules[i].rule->name),
                    SM_STR_ARG(sm_buf_str(&text)));
        }
    }
    sm_buf_release(&text);
}

/* version: that a candidate became; −1: none. failure: what the command ends with; NULL: well. */
static void print_json(smi_cli *cli, const sm_verdict *v, sm_str uri, int64_t version,
                       const sm_error *failure)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};
    char now[SM_TIME_TEXT_BYTES];

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "contract", v->contract->id);
    sm_json_set_text_or_null(&w, "version", v->contract->version);
    sm_json_set_text(&w, "table", v->table->name);
    sm_json_set_text(&w, "uri", uri);
    sm_json_set_i64(&w, "rows", v->n_rows);
    sm_format_timestamp(v->now_us, now);
    sm_json_set_text(&w, "checked_at", sm_str_of(now));
    sm_json_set_bool(&w, "cached", v->is_kept);
    sm_json_set_text(&w, "outcome", sm_str_of(sm_outcome_name(v->outcome)));
    sm_json_set_array(&w, "contracts");
    sm_verdict_json(v, &w);
    sm_json_end_array(&w);
    sm_json_set_array(&w, "not_checked");
    for (int64_t i = 0; i < v->contract->n_notes; i++) {
        sm_json_put_text(&w, v->contract->notes[i].text);
    }
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        if (v->rules[i].outcome == SM_OUTCOME_UNCHECKED) {
            sm_json_put_text(&w, sm_arena_strf(cli->arena, "rule %.*s is not checked: %.*s",
                                               SM_STR_ARG(v->rules[i].rule->name),
                                               SM_STR_ARG(v->rules[i].count.detail)));
        }
    }
    sm_json_end_array(&w);
    if (version >= 0) {
        sm_json_set_i64(&w, "published", version);
    }
    if (failure) {
        sm_json_set_error(&w, failure);
    }
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_table(const sm_verdict *v)
{
    sm_buf text = {0};
    char time[SM_TIME_TEXT_BYTES];

    sm_verdict_print(v, &text);
    SM_ASSERT(text.len > 0);
    if (v->is_kept) {
        SM_ASSERT(v->now_us > 0); /* the clock's: a check of another time is not kept */
        sm_format_timestamp(v->now_us - v->now_us % SECOND_US, time);
        sm_buf_printf(&text, "The table has not changed: the verdict was kept from %s.\n", time);
    }
    fwrite(text.data, 1, text.len, stdout);
    sm_buf_release(&text);
}

static sm_status write_page(smi_cli *cli, const sm_verdict *v, sm_str uri, const char *file,
                            sm_error *e)
{
    const sm_page_table table = {.verdict = v, .uri = uri};
    sm_buf page = {0};

    SM_ASSERT(v->profile); /* it was asked for */
    sm_verdict_page((sm_str){0}, (sm_str){0}, &table, 1, &page);
    const sm_status st = smi_page_write(cli, sm_buf_str(&page), file, e);
    sm_buf_release(&page);
    return st;
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status read_contract(smi_cli *cli, const char *file, sm_contract **out, sm_error *e)
{
    sm_str text = {0};

    SM_TRY(smi_read_text(cli, file, &text, e));
    return sm_contract_read(sm_str_of(file), text, cli->arena, out, e);
}

/* A contract of several tables does not say which of them the rows are. */
static sm_status check_table_named(const sm_contract *c, const options *o, sm_error *e)
{
    if (o->table || c->n_tables == 1) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "the contract has %d tables", (int)c->n_tables);
    if (c->n_tables > 1) {
        sm_error_todo(e, "Say which of them the rows are: --table %.*s.",
                      SM_STR_ARG(c->tables[0].name));
    }
    return st;
}

/* A candidate that is kept, with what it is called in its lake. */
typedef struct candidate {
    bool is_one;
    sm_str lake, table;
    sm_kept kept;
    int64_t version; /* that it became; −1: it was not published */
} candidate;

/* Finds it before its rows are judged: another one may take its place. */
static sm_status find_candidate(smi_cli *cli, const options *o, sm_checked_rows *check,
                                candidate *c, sm_error *e)
{
    sm_str layer = {0}, name = {0}, told = {0};

    c->version = -1;
    c->is_one = sm_kept_is_name(check->uri, &layer, &name);
    if (!c->is_one) {
        return o->publish ? sm_fail(e, SM_USAGE,
                                    "--publish is of a candidate, candidate.layer.table, not of "
                                    "\"%.*s\"",
                                    SM_STR_ARG(check->uri))
                          : SM_OK;
    }
    SM_ASSERT(layer.len > 0 && name.len > 0);
    c->lake = check->lake = check->lake.len > 0 ? check->lake : SM_STR("./lake");
    c->table = sm_arena_strf(cli->arena, "%.*s.%.*s", SM_STR_ARG(layer), SM_STR_ARG(name));
    if (o->publish) {
        SM_TRY(sm_lake_settle(cli->env.stores, c->lake, cli->env.budget, cli->arena, &told, e));
    }
    if (told.len > 0) {
        fprintf(stderr, "smelt: %.*s\n", SM_STR_ARG(told));
    }
    return sm_kept_read(cli->env.stores, c->lake, c->table, cli->arena, &c->kept, e);
}

static sm_status publish_candidate(smi_cli *cli, const sm_verdict *v, candidate *c, sm_error *e)
{
    const sm_str hash = sm_contract_hash(v->contract, cli->arena);
    const sm_judged judged = {.passes = true,
                              .is_of_table = sm_contract_is_of_table(v->table),
                              .json = sm_verdict_brief(v, hash, cli->arena)};
    SM_ASSERT(c->is_one && c->version < 0 && v->outcome != SM_OUTCOME_FAILED);
    return sm_kept_publish(cli->env.stores, c->lake, &c->kept, &judged, cli->env.budget,
                           &c->version, e);
}

static sm_status run_check(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_checked_rows check = {.uri = sm_str_of(args[1]),
                             .lake = o->lake ? sm_str_of(o->lake) : (sm_str){0},
                             .n_others = o->others.n,
                             .n_vars = o->vars.n,
                             .wants_profile = o->html != NULL,
                             .keeps = !o->no_cache};
    sm_contract *contract = NULL;
    sm_verdict *verdict = NULL;
    sm_pair *others = NULL, *vars = NULL;
    candidate c = {0};

    SM_ASSERT(n_args == 2);
    if (o->now && !sm_parse_instant(sm_str_of(o->now), &check.now_us)) {
        return sm_fail(e, SM_USAGE, "--now is a time, as 2022-04-01T12:00:00, not \"%s\"", o->now);
    }
    SM_TRY(smi_options_pairs(cli, "--table-at", &o->others, &others, e));
    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    SM_TRY(read_contract(cli, args[0], &contract, e));
    sm_contract_leave_files(contract, cli->arena);
    SM_TRY(check_table_named(contract, o, e));
    SM_TRY(sm_contract_find(contract, o->table ? sm_str_of(o->table) : (sm_str){0}, cli->arena,
                            &check.table, e));
    check.contract = contract;
    check.others = others;
    check.vars = vars;
    tell_notes(contract, check.table);
    SM_TRY(find_candidate(cli, o, &check, &c, e));
    smi_progress_start(cli, "check", &cli->progress);
    const sm_status st = sm_contract_check(&check, &cli->env, cli->arena, &verdict, e);
    smi_progress_stop(cli);
    SM_TRY(st);
    SM_ASSERT(verdict && verdict->table == check.table);
    SM_ASSERT(!verdict->is_kept || (check.keeps && !o->now)); /* else the rows were wanted */
    sm_status failure = o->html ? write_page(cli, verdict, check.uri, o->html, e) : SM_OK;
    failure = failure == SM_OK ? sm_verdict_status(verdict, e) : failure;
    if (failure == SM_OK && o->publish) {
        failure = publish_candidate(cli, verdict, &c, e);
    }
    if (cli->globals.json) {
        print_json(cli, verdict, check.uri, c.version, failure == SM_OK ? NULL : e);
    } else {
        print_table(verdict);
    }
    fflush(stdout); /* where both are one, warnings stand behind the table */
    tell_warnings(verdict);
    SM_ASSERT(c.version < 0 || o->publish);
    if (c.version >= 0 && !cli->globals.quiet) {
        fprintf(stderr, "smelt: published %.*s, version %" PRId64 "\n", SM_STR_ARG(c.table),
                c.version);
    }
    return failure;
}

const smi_command smi_command_check = {
    .name = "check",
    .usage = "CONTRACT URI [--publish] [--html FILE] [--table NAME] [--table-at NAME=URI]... "
             "[--lake DIR] [--now TIME] [--var K=V]... [--no-cache]",
    .summary = "Checks rows against a data contract.",
    .details = "CONTRACT is a file of the standard for open data contracts (ODCS, v3). URI is a "
               "Delta table, a\n"
               "file or a pattern of files. Each rule is counted exactly. Of a Delta\n"
               "table the verdict is kept in its folder _smelt/verdicts: as long as neither the "
               "table nor\n"
               "what its rules read has changed, it is told again without reading the rows.\n"
               "candidate.layer.table is a table as a failed run would have made it; --publish\n"
               "publishes it where it keeps the contract.\n"
               "\n"
               "  smelt check contracts/orders.yaml lake/silver/orders\n"
               "  smelt check contracts/orders.yaml 'logs/*.json' --table orders --json\n"
               "  smelt check contracts/orders.yaml candidate.silver.orders --lake lake --publish\n"
               "\n"
               "It ends with 3 where a rule is broken, with 0 where rules only warn.\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 2,
    .run = run_check,
};
