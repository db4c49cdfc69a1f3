/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_verdict.c: counts of rules become a verdict: limits applied, as JSON and as a
 * table for people (contract_page.c: as a page). A function of contract and counts alone, so it is
 * the same at any number of threads.
 *
 * Shares   A share is one division of two whole numbers, and a limit the decimal number nearest to
 *          what the file says. So 1 of 1,000 rows is not more than "0.1%". */
#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "contract/contract_int.h"

/* ---- judging --------------------------------------------------------------------------------- */

bool smi_is_whole(sm_rule_kind kind)
{
    return kind == SM_RULE_ROW_COUNT || kind == SM_RULE_QUERY || kind == SM_RULE_FRESHNESS ||
           kind == SM_RULE_VOLUME;
}

static bool compares(const sm_rule_limit *l, double v)
{
    switch (l->op) {
    case SM_MUST_BE:
        return v == l->value;
    case SM_MUST_NOT_BE:
        return v != l->value;
    case SM_MUST_BE_GREATER:
        return v > l->value;
    case SM_MUST_BE_GREATER_OR_EQUAL:
        return v >= l->value;
    case SM_MUST_BE_LESS:
        return v < l->value;
    case SM_MUST_BE_LESS_OR_EQUAL:
        return v <= l->value;
    case SM_MUST_BE_BETWEEN:
        return v >= l->value && v <= l->to;
    case SM_MUST_NOT_BE_BETWEEN:
        return v < l->value || v > l->to;
    }
    return false;
}

static double percent_of(const sm_rule_count *c)
{
    const int64_t n_broken = c->worst.data ? c->worst_broken : c->n_broken;
    const int64_t n_rows = c->worst.data ? c->worst_rows : c->n_rows;

    return n_rows > 0 ? 100.0 * (double)n_broken / (double)n_rows : 0;
}

static bool keeps(const sm_rule_limit *l, const sm_rule_count *c)
{
    return compares(l, l->is_percent ? percent_of(c) : (double)c->n_broken);
}

static sm_outcome outcome_of(const sm_rule *r, const sm_rule_count *c, bool holds)
{
    if (holds) {
        return SM_OUTCOME_PASSED;
    }
    if (r->has_fail_above) {
        return keeps(&r->fail_above, c) ? SM_OUTCOME_FAILED : SM_OUTCOME_WARNED;
    }
    return r->action == SM_POLICY_WARN ? SM_OUTCOME_WARNED : SM_OUTCOME_FAILED;
}

/* Does the limit say how many rows may break it? `mustBe: 0` only says that some do. */
static bool bounds(const sm_rule_limit *l)
{
    return l->op != SM_MUST_BE || l->value != 0;
}

/* Rows that break the rule were taken away or changed: that is told, and it is a failure only where
 * they are more than the contract allows. */
static sm_outcome outcome_of_mended(const sm_rule *r, const sm_rule_count *c)
{
    if (bounds(&r->limit) || r->has_fail_above) {
        const bool holds = bounds(&r->limit) ? keeps(&r->limit, c) : c->n_broken == 0;
        if (outcome_of(r, c, holds) == SM_OUTCOME_FAILED) {
            return SM_OUTCOME_FAILED;
        }
    }
    return c->n_broken > 0 ? SM_OUTCOME_WARNED : SM_OUTCOME_PASSED;
}

static void judge(const sm_rule *r, const sm_rule_count *count, bool is_written,
                  sm_rule_verdict *out)
{
    bool holds = false;

    *out = (sm_rule_verdict){.rule = r, .count = *count};
    SM_ASSERT(count->n_broken >= 0 && count->n_examples <= SM_RULE_EXAMPLES);
    if (count->is_unchecked) {
        out->count.n_rows = 1;
        out->outcome = SM_OUTCOME_UNCHECKED;
        return;
    }
    if (smi_is_whole(r->kind)) {
        holds = !isnan(count->measure) && compares(&r->limit, count->measure);
        out->count.n_broken = !holds;
        out->count.n_rows = 1;
    } else {
        /* Not asserted: no more rows are broken than there are. Rules are counted one after the
         * other, and files may grow meanwhile. */
        holds = keeps(&r->limit, count);
    }
    out->share = percent_of(&out->count) / 100;
    out->outcome = is_written && smi_mends(r->action) ? outcome_of_mended(r, &out->count)
                                                      : outcome_of(r, &out->count, holds);
}

static sm_verdict *judge_all(const sm_contract *c, const sm_contract_table *table, int64_t n_rows,
                             const sm_rule_count *counts, bool is_written, sm_arena *a)
{
    sm_verdict *v = SM_NEW(a, sm_verdict);

    *v = (sm_verdict){.contract = c, .table = table, .name = table->name, .n_rows = n_rows};
    v->rules = SM_NEW_ARRAY(a, sm_rule_verdict, table->n_rules + 1);
    for (int64_t i = 0; i < table->n_rules; i++) {
        judge(&table->rules[i], &counts[i], is_written, &v->rules[i]);
        v->n_failed += v->rules[i].outcome == SM_OUTCOME_FAILED;
        v->n_warned += v->rules[i].outcome == SM_OUTCOME_WARNED;
        if (table->rules[i].action == SM_POLICY_QUARANTINE) {
            v->n_quarantined += counts[i].n_mended;
        } else {
            v->n_nulled += counts[i].n_mended;
        }
    }
    v->outcome = v->n_failed   ? SM_OUTCOME_FAILED
                 : v->n_warned ? SM_OUTCOME_WARNED
                               : SM_OUTCOME_PASSED;
    return v;
}

sm_verdict *sm_contract_judge(const sm_contract *c, const sm_contract_table *table, int64_t n_rows,
                              const sm_rule_count *counts, sm_arena *a)
{
    return judge_all(c, table, n_rows, counts, false, a);
}

sm_verdict *smi_judge_written(const sm_contract *c, const sm_contract_table *table, int64_t n_rows,
                              const sm_rule_count *counts, sm_arena *a)
{
    return judge_all(c, table, n_rows, counts, true, a);
}

const char *sm_outcome_name(sm_outcome o)
{
    return o == SM_OUTCOME_PASSED   ? "passed"
           : o == SM_OUTCOME_WARNED ? "warned"
           : o == SM_OUTCOME_FAILED ? "failed"
                                    : "unchecked";
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* A number of the file, shortest first: all its digits where it is whole. */
static void print_number(double v, sm_buf *out)
{
    char text[SM_COUNTED_TEXT_BYTES];

    if (v == floor(v) && fabs(v) < 1e15) {
        sm_format_count((int64_t)v, text);
        sm_buf_printf(out, "%s", text);
    } else {
        sm_buf_printf(out, "%.15g", v);
    }
}

/* The unit of a freshness' numbers, with a blank before it; "" of other rules. */
static sm_str unit_of(const sm_rule *r)
{
    const char *unit = r->kind == SM_RULE_FRESHNESS ? memchr(r->text.data, ' ', r->text.len) : NULL;

    return unit ? (sm_str){unit, r->text.len - (size_t)(unit - r->text.data)} : (sm_str){0};
}

static void print_limit(const sm_rule_limit *l, sm_buf *out)
{
    static const char *const before[] = {
        [SM_MUST_BE] = "",           [SM_MUST_NOT_BE] = "not ",
        [SM_MUST_BE_GREATER] = "> ", [SM_MUST_BE_GREATER_OR_EQUAL] = ">= ",
        [SM_MUST_BE_LESS] = "< ",    [SM_MUST_BE_LESS_OR_EQUAL] = "<= ",
        [SM_MUST_BE_BETWEEN] = "",   [SM_MUST_NOT_BE_BETWEEN] = "not ",
    };

    sm_buf_printf(out, "%s", before[l->op]);
    print_number(l->value, out);
    if (l->op == SM_MUST_BE_BETWEEN || l->op == SM_MUST_NOT_BE_BETWEEN) {
        sm_buf_printf(out, " to ");
        print_number(l->to, out);
    }
    sm_buf_printf(out, "%s", l->is_percent ? "%" : "");
}

void smi_print_allowed(const sm_rule *r, sm_buf *out)
{
    print_limit(&r->limit, out);
    sm_buf_text(out, unit_of(r));
    if (r->has_fail_above) {
        sm_buf_printf(out, ", fails ");
        print_limit(&r->fail_above, out);
    }
}

void smi_print_share(const sm_rule_count *c, sm_buf *out)
{
    const double percent = percent_of(c);

    if (c->worst.data) {
        sm_buf_printf(out, "%.*s: ", SM_STR_ARG(c->worst));
    }
    if (percent <= 0 || percent >= 100) {
        sm_buf_printf(out, "%.0f%%", percent);
    } else if (percent < 0.001) {
        sm_buf_printf(out, "< 0.001%%");
    } else if (percent > 99.9) {
        sm_buf_printf(out, "> 99.9%%");
    } else {
        sm_buf_printf(out, "%.3g%%", percent);
    }
}

void smi_print_measure(const sm_rule *r, double v, sm_buf *out)
{
    if (isnan(v)) {
        sm_buf_printf(out, "NULL");
    } else if (r->kind == SM_RULE_FRESHNESS || r->kind == SM_RULE_VOLUME) {
        if (fabs(v) < 1000) {
            sm_buf_printf(out, "%.6g", v);
        } else {
            print_number(round(v), out);
        }
        sm_buf_text(out, unit_of(r));
        sm_buf_text(out, r->kind == SM_RULE_VOLUME ? SM_STR("%") : SM_STR(""));
    } else {
        print_number(v, out);
    }
}

void sm_rule_verdict_print(const sm_rule_verdict *v, sm_buf *out)
{
    char rows[SM_COUNTED_TEXT_BYTES], broken[SM_SIZE_TEXT_BYTES];

    if (v->outcome == SM_OUTCOME_UNCHECKED) {
        sm_buf_printf(out, "it is not checked: %.*s", SM_STR_ARG(v->count.detail));
        return;
    }
    if (smi_is_whole(v->rule->kind)) {
        sm_buf_printf(out, "it is ");
        smi_print_measure(v->rule, v->count.measure, out);
        sm_buf_printf(out, ", allowed: ");
        smi_print_allowed(v->rule, out);
        sm_buf_printf(out, "%s%.*s", v->count.detail.len ? ": " : "", SM_STR_ARG(v->count.detail));
        return;
    }
    sm_format_counted(v->count.n_rows, v->rule->kind == SM_RULE_GROUP ? "group" : "row", rows);
    sm_format_count(v->count.n_broken, broken);
    sm_buf_printf(out, "%s of %s break%s it, ", broken, rows, v->count.n_broken == 1 ? "s" : "");
    if (v->count.worst.data) {
        sm_format_count(v->count.worst_broken, broken);
        sm_format_count(v->count.worst_rows, rows);
        sm_buf_printf(out, "of %.*s %s of %s, ", SM_STR_ARG(v->count.worst), broken, rows);
    }
    sm_buf_printf(out, "allowed: ");
    smi_print_allowed(v->rule, out);
}

bool sm_contract_is_of_table(const sm_contract_table *table)
{
    for (int64_t i = 0; i < table->n_rules; i++) {
        const sm_rule *r = &table->rules[i];
        const bool only_warns = r->action == SM_POLICY_WARN && !r->has_fail_above;
        if (!sm_rule_info_of(r->kind)->is_row && !only_warns) {
            return true;
        }
    }
    return false;
}

sm_status sm_verdict_status(const sm_verdict *v, sm_error *e)
{
    const sm_rule_verdict *broken = v->rules;
    sm_buf text = {0};

    if (v->n_failed == 0) {
        return SM_OK;
    }
    while (broken->outcome != SM_OUTCOME_FAILED) {
        broken++;
    }
    sm_rule_verdict_print(broken, &text);
    const sm_status st = sm_fail(e, SM_CONTRACT, "rule %.*s is broken: %.*s",
                                 SM_STR_ARG(broken->rule->name), SM_STR_ARG(sm_buf_str(&text)));
    sm_buf_release(&text);
    if (v->n_failed > 1) {
        sm_error_todo(e, "%d rules are broken in all.", (int)v->n_failed);
    }
    return sm_yaml_at(&v->contract->yaml, broken->rule->at, st, e);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

sm_str sm_verdict_brief(const sm_verdict *v, sm_str hash, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "contract", v->contract->id);
    sm_json_set_text_or_null(&w, "version", v->contract->version);
    sm_json_set_text(&w, "hash", hash);
    sm_json_set_text(&w, "outcome", sm_str_of(sm_outcome_name(v->outcome)));
    sm_json_set_i64(&w, "rows", v->n_rows);
    sm_json_set_object(&w, "violations");
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        sm_json_key(&w, v->rules[i].rule->name);
        sm_json_put_i64(&w, v->rules[i].count.n_broken);
    }
    sm_json_end_object(&w);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static void put_text_of(sm_json_writer *w, const char *key, const sm_rule *r)
{
    sm_buf text = {0};

    smi_print_allowed(r, &text);
    sm_json_set_text(w, key, sm_buf_str(&text));
    sm_buf_release(&text);
}

/* The number itself, which JSON has no NaN for. */
static void put_measure(sm_json_writer *w, double v)
{
    sm_json_key(w, SM_STR("value"));
    if (!isfinite(v)) {
        sm_json_put_null(w);
    } else if (v == floor(v) && fabs(v) < 0x1p53) {
        sm_json_put_i64(w, (int64_t)v);
    } else {
        sm_buf_printf(sm_json_value_out(w), "%.17g", v);
    }
}

/* The columns that a rule is of. */
static void put_columns(const sm_contract_table *t, const sm_rule *r, sm_json_writer *w)
{
    sm_json_set_array(w, "columns");
    for (int32_t i = 0; i < r->n_columns; i++) {
        sm_json_put_text(w, t->columns[r->columns[i]].path);
    }
    if (r->n_columns == 0 && r->column >= 0) {
        sm_json_put_text(w, t->columns[r->column].path);
    }
    sm_json_end_array(w);
}

static void put_rule(const sm_verdict *v, const sm_rule_verdict *r, sm_json_writer *w)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "table", v->name);
    sm_json_set_text(w, "rule", r->rule->name);
    sm_json_set_text(w, "kind", sm_str_of(sm_rule_info_of(r->rule->kind)->name));
    put_columns(v->table, r->rule, w);
    sm_json_set_text(w, "severity",
                     sm_str_of(r->rule->action == SM_POLICY_WARN ? "warning" : "error"));
    sm_json_set_text(w, "action", sm_str_of(sm_policy_name(r->rule->action)));
    sm_json_set_i64(w, "rows", smi_is_whole(r->rule->kind) ? v->n_rows : r->count.n_rows);
    sm_json_set_i64(w, "violations", r->count.n_broken);
    sm_json_key(w, SM_STR("share"));
    sm_json_put_fixed(w, r->share, 9);
    if (r->count.worst.data) {
        sm_json_set_object(w, "worst");
        sm_json_set_text(w, "group", r->count.worst);
        sm_json_set_i64(w, "rows", r->count.worst_rows);
        sm_json_set_i64(w, "violations", r->count.worst_broken);
        sm_json_end_object(w);
    }
    if (smi_is_whole(r->rule->kind)) {
        put_measure(w, r->outcome == SM_OUTCOME_UNCHECKED ? (double)NAN : r->count.measure);
    }
    put_text_of(w, "allowed", r->rule);
    sm_json_set_text(w, "outcome", sm_str_of(sm_outcome_name(r->outcome)));
    if (r->count.detail.len > 0) {
        sm_json_set_text(w, "detail", r->count.detail);
    }
    sm_json_set_array(w, "examples");
    for (int32_t i = 0; i < r->count.n_examples; i++) {
        sm_json_put_raw(w, r->count.examples[i]);
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

void sm_verdict_json(const sm_verdict *v, sm_json_writer *w)
{
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        put_rule(v, &v->rules[i], w);
    }
}

/* ---- a table for people ---------------------------------------------------------------------- */

enum { COLUMN_RULE, COLUMN_ROWS, COLUMN_BROKEN, COLUMN_SHARE, COLUMN_ALLOWED, COLUMN_ACTION };
#define N_COLUMNS  (COLUMN_ACTION + 1)
#define LINE_CHARS 80 /* of a terminal */

static const char *const heads[N_COLUMNS] = {"rule",  "rows",    "broken",
                                             "share", "allowed", "action"};

static void print_cell(const sm_rule_verdict *v, int column, sm_buf *out)
{
    const bool whole = smi_is_whole(v->rule->kind);
    char count[SM_SIZE_TEXT_BYTES];

    switch (column) {
    case COLUMN_RULE:
        sm_buf_text(out, v->rule->name);
        break;
    case COLUMN_ROWS:
        if (v->outcome == SM_OUTCOME_UNCHECKED) {
            break;
        }
        if (whole) {
            smi_print_measure(v->rule, v->count.measure, out);
            break;
        }
        sm_format_count(v->count.n_rows, count);
        sm_buf_printf(out, "%s", count);
        break;
    case COLUMN_BROKEN:
        sm_format_count(v->count.n_broken, count);
        sm_buf_printf(out, "%s", whole ? "" : count);
        break;
    case COLUMN_SHARE:
        if (!whole) {
            smi_print_share(&v->count, out);
        }
        break;
    case COLUMN_ALLOWED:
        smi_print_allowed(v->rule, out);
        break;
    default:
        sm_buf_printf(out, "%s", sm_policy_name(v->rule->action));
    }
}

/* One cell and the blanks up to its column's width: numbers on the right. */
static void pad_cell(sm_str text, int column, int width, sm_buf *out)
{
    const int blanks = width - (int)sm_utf8_count(text);
    const bool is_right = column >= COLUMN_ROWS && column <= COLUMN_SHARE;

    SM_ASSERT(blanks >= 0);
    if (!is_right) {
        sm_buf_text(out, text);
    }
    sm_buf_printf(out, "%*s", blanks, "");
    if (is_right) {
        sm_buf_text(out, text);
    }
    sm_buf_printf(out, "  ");
}

/* The widths of columns. That of names is cut so that a line has at most 80 characters. */
static void measure_columns(const sm_verdict *v, int *widths)
{
    const int least = (int)strlen(heads[COLUMN_RULE]);
    int outcome = (int)strlen("verdict"), rest = LINE_CHARS;
    sm_buf text = {0};

    for (int c = 0; c < N_COLUMNS; c++) {
        widths[c] = (int)strlen(heads[c]);
        for (int64_t i = 0; i < v->table->n_rules; i++) {
            sm_buf_reset(&text);
            print_cell(&v->rules[i], c, &text);
            const int width = (int)sm_utf8_count(sm_buf_str(&text));
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    sm_buf_release(&text);
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        const int width = (int)strlen(sm_outcome_name(v->rules[i].outcome));
        outcome = width > outcome ? width : outcome;
    }
    for (int c = COLUMN_RULE + 1; c < N_COLUMNS; c++) {
        rest -= widths[c] + 2;
    }
    rest -= 2 + outcome;
    if (widths[COLUMN_RULE] > rest) {
        widths[COLUMN_RULE] = rest > least ? rest : least;
    }
}

/* A line of the table. A name that is too long for its column has a line of its own above. */
static void print_rule(const sm_rule_verdict *v, const int *widths, sm_buf *out)
{
    sm_buf text = {0};

    for (int c = 0; c < N_COLUMNS; c++) {
        sm_buf_reset(&text);
        print_cell(v, c, &text);
        if (sm_utf8_count(sm_buf_str(&text)) > widths[c]) {
            sm_buf_text(out, sm_buf_str(&text));
            sm_buf_printf(out, "\n");
            sm_buf_reset(&text);
        }
        pad_cell(sm_buf_str(&text), c, widths[c], out);
    }
    sm_buf_printf(out, "%s\n", sm_outcome_name(v->outcome));
    sm_buf_release(&text);
}

static void print_examples(const sm_rule_verdict *v, sm_buf *out)
{
    if (v->outcome == SM_OUTCOME_PASSED || v->count.n_examples == 0) {
        return;
    }
    sm_buf_printf(out, "\n%.*s:\n", SM_STR_ARG(v->rule->name));
    for (int32_t i = 0; i < v->count.n_examples; i++) {
        sm_buf_printf(out, "  %.*s\n", SM_STR_ARG(v->count.examples[i]));
    }
}

static void print_sum(const sm_verdict *v, sm_buf *out)
{
    char rows[SM_COUNTED_TEXT_BYTES], rules[SM_COUNTED_TEXT_BYTES];

    sm_format_counted(v->n_rows, "row", rows);
    sm_format_counted(v->table->n_rules, "rule", rules);
    sm_buf_printf(out, "\n%.*s %s: %s, %s, %" PRId64 " failed, %" PRId64 " warned\n",
                  SM_STR_ARG(v->name), sm_outcome_name(v->outcome), rows, rules, v->n_failed,
                  v->n_warned);
}

void sm_verdict_print(const sm_verdict *v, sm_buf *out)
{
    int widths[N_COLUMNS];

    measure_columns(v, widths);
    for (int c = 0; c < N_COLUMNS; c++) {
        pad_cell(sm_str_of(heads[c]), c, widths[c], out);
    }
    sm_buf_printf(out, "verdict\n");
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        print_rule(&v->rules[i], widths, out);
    }
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        print_examples(&v->rules[i], out);
    }
    print_sum(v, out);
}
