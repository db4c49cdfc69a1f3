/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_page.c: verdicts as one page of HTML, for a browser or a mail. Called for
 * `smelt check --html`, which has one table, and `smelt run --html`, which has all of a run.
 *
 * Page      For each table a head, all rules as a table, then each column with its rules beside
 *           what its values look like (contract_page_draw.c), then the rules of the whole table.
 *           Examples and tables of numbers open by a click, without a script.
 * Safety    The page needs nothing from elsewhere and runs nothing: a Content-Security-Policy in it
 *           says so to the browser. All text of the data and of the contract goes through
 *           smi_html_text().
 * Style     One column on a telephone, two on a wide screen; colours for light and dark screens. An
 *           outcome is a word and a colour, never a colour alone. */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "contract/contract_int.h"

static const char style[] =
    ":root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1d2126;--soft:#5c646d;"
    "--line:#e3e3df;--bar:#7d9bbd;--faint:#cbd3dc;--bad:#b93a27;--warn:#8f5d00;--good:#28734a;"
    "--bad-tint:#fbebe8;--warn-tint:#faf1dd;--good-tint:#e6f2ea}"
    "@media(prefers-color-scheme:dark){:root{--page:#131518;--card:#1b1e22;--ink:#e6e7e8;"
    "--soft:#9aa2ab;--line:#2e3237;--bar:#6688b0;--faint:#424a54;--bad:#f0806c;--warn:#e2b055;"
    "--good:#74c294;--bad-tint:#3a211d;--warn-tint:#352a14;--good-tint:#1b3024}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"
    "\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif;-webkit-text-size-adjust:100%}"
    "main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}"
    "h1,h2,h3,p,dl,dd,figure,ul{margin:0;padding:0}"
    "h1{font-size:28px;line-height:1.25;font-weight:650;letter-spacing:-.01em}"
    "h2{font-size:18px;font-weight:650;margin:40px 0 12px}"
    "h3{font-size:16px;font-weight:650}"
    "h1,h2,h3,p,td,th,li,dd,summary{overflow-wrap:anywhere}"
    "a{color:inherit}article+article,.card+article{margin-top:64px}"
    ".soft,figcaption,dt,th,summary{color:var(--soft)}"
    ".head{display:flex;flex-wrap:wrap;align-items:center;gap:8px 14px}"
    ".badge{display:inline-block;font-size:13px;line-height:20px;font-weight:600;padding:1px 10px;"
    "border-radius:11px;white-space:nowrap}"
    ".passed{color:var(--good)}.warned{color:var(--warn)}.failed{color:var(--bad)}"
    ".unchecked{color:var(--soft)}"
    ".badge.passed{background:var(--good-tint)}.badge.warned{background:var(--warn-tint)}"
    ".badge.failed{background:var(--bad-tint)}.badge.unchecked{background:var(--line)}"
    ".uri{margin-top:4px;font-size:14px}"
    ".facts{display:flex;flex-wrap:wrap;gap:16px 40px;margin-top:24px}"
    "dt{font-size:13px}dd{font-size:16px;font-variant-numeric:tabular-nums}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px "
    "24px;"
    "margin-top:12px}"
    ".card.table{padding:6px 24px}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th{font-weight:400;font-size:13px;text-align:left}"
    "th,td{padding:8px 0 8px 20px;border-top:1px solid var(--line);vertical-align:baseline}"
    "thead th,.numbers tr:first-child th,.numbers tr:first-child td,"
    "tbody:first-child tr:first-child td{border-top:0}"
    "th:first-child,td:first-child{padding-left:0}"
    ".rules .wide,.rules th{white-space:nowrap}"
    ".rules td{font-size:15px}.rules td.n,.rules th.n,.numbers td,.numbers th+th{text-align:right;"
    "white-space:nowrap}"
    ".rules .n+.wide:not(.n){padding-left:36px}"
    ".rules td:last-child,.rules th:last-child{text-align:right;width:1%}"
    ".column{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,400px);gap:16px 48px}"
    ".column>div:only-child{grid-column:1/-1}"
    ".kind{font-size:14px;color:var(--soft);margin-top:2px}"
    "ul{list-style:none;margin-top:12px}"
    "li{border-top:1px solid var(--line);padding:9px 0}"
    ".card>ul{margin:-9px 0}.card>ul>li:first-child{border-top:0}"
    ".rule{display:flex;justify-content:space-between;align-items:baseline;gap:16px}"
    ".rule .badge{flex:none}"
    ".rule .what{font-size:15px}"
    ".tell{font-size:14px;color:var(--soft)}"
    "code,.examples,.value{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"
    "\"DejaVu Sans Mono\",monospace}"
    "code{font-size:13.5px;white-space:pre-wrap;unicode-bidi:isolate}"
    ".tell code{font-size:13px}"
    "summary{font-size:14px;cursor:pointer;width:max-content;max-width:100%}"
    "summary:hover{color:var(--ink)}"
    "details{margin-top:4px}"
    ".examples{font-size:13px;line-height:1.6;margin:6px 0 2px;white-space:pre-wrap;"
    "overflow-wrap:anywhere}"
    "figure+figure{margin-top:20px}"
    "figcaption{font-size:14px;margin-top:6px}"
    ".numbers{font-size:14px;margin-top:4px}.numbers th,.numbers td{padding-top:4px;"
    "padding-bottom:4px}.numbers tbody th{color:var(--ink);white-space:pre-wrap}"
    ".draw{display:block;width:100%;height:auto;overflow:visible}"
    ".draw text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums;white-space:pre;"
    "unicode-bidi:isolate}"
    ".draw .value{fill:var(--ink)}.draw .broken{fill:var(--bad)}"
    ".bar{fill:var(--bar)}.faint{fill:var(--faint)}.bad{fill:var(--bad)}"
    ".axis{stroke:var(--soft);stroke-width:1}"
    ".mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 2}"
    "footer{margin-top:40px;font-size:13px;color:var(--soft)}"
    "@media(max-width:720px){main{padding:24px 14px 40px}h1{font-size:24px}h2{margin-top:32px}"
    ".card{padding:16px}.card.table{padding:4px 16px}.facts{gap:12px 28px}"
    ".column{grid-template-columns:minmax(0,1fr)}.wide{display:none}"
    "th,td{padding-left:12px}}"
    "@media print{body{background:#fff}.card{break-inside:avoid}}";

/* ---- text ------------------------------------------------------------------------------------ */

/* Is it a character that is not seen, or that moves others? */
static bool is_hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe007f);
}

/* Is it as wide as two letters, about? Scripts of East Asia, and pictures. */
static bool is_wide(uint32_t c)
{
    return (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) ||
           (c >= 0xac00 && c < 0xd7b0) || (c >= 0xf900 && c < 0xfb00) ||
           (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
           (c >= 0x1f000 && c < 0x40000);
}

/* Appends a character; returns how many letters wide it is. */
static int put_char(sm_buf *out, uint32_t c)
{
    char utf8[4];

    switch (c) {
    case '&':
        sm_buf_printf(out, "&amp;");
        return 1;
    case '<':
        sm_buf_printf(out, "&lt;");
        return 1;
    case '>':
        sm_buf_printf(out, "&gt;");
        return 1;
    case '"':
        sm_buf_printf(out, "&quot;");
        return 1;
    case '\'':
        sm_buf_printf(out, "&#39;");
        return 1;
    case '\n':
        sm_buf_printf(out, "\\n");
        return 2;
    case '\t':
        sm_buf_printf(out, "\\t");
        return 2;
    default:
        if (is_hidden(c)) {
            sm_buf_printf(out, "\\u%04x", (unsigned)c);
            return 6;
        }
        sm_buf_text(out, (sm_str){utf8, (size_t)sm_utf8_put(c, utf8)});
        return is_wide(c) ? 2 : 1;
    }
}

void smi_html_short(sm_buf *out, sm_str s, int64_t most)
{
    size_t at = 0;

    while (at < s.len) {
        const sm_str rest = {s.data + at, s.len - at};
        const size_t len_before = out->len;
        const size_t n_valid = sm_utf8_check(rest.data, rest.len < 4 ? rest.len : 4);
        size_t next = at + 1;
        if (n_valid == 0) {
            sm_buf_printf(out, "\\x%02x", (unsigned)(uint8_t)rest.data[0]);
            most -= 4;
        } else {
            next = at;
            most -= put_char(out, sm_utf8_next(s, &next));
        }
        if (most < 0) {
            out->len = len_before;
            sm_buf_printf(out, "\xe2\x80\xa6");
            return;
        }
        at = next;
    }
}

void smi_html_text(sm_buf *out, sm_str s)
{
    smi_html_short(out, s, INT64_MAX);
}

void smi_html_put(smi_html *h, const char *html)
{
    sm_buf_printf(h->out, "%s", html);
}

/* A text between two pieces of HTML. */
static void put_in(smi_html *h, const char *before, sm_str text, const char *after)
{
    smi_html_put(h, before);
    smi_html_text(h->out, text);
    smi_html_put(h, after);
}

void smi_html_count(smi_html *h, int64_t n)
{
    char text[SM_SIZE_TEXT_BYTES];

    sm_format_count(n, text);
    smi_html_put(h, text);
}

void smi_html_counted(smi_html *h, int64_t n, const char *one)
{
    char text[SM_COUNTED_TEXT_BYTES];

    sm_format_counted(n, one, text);
    smi_html_put(h, text);
}

/* What a function of contract_verdict.c has printed. */
static void put_printed(smi_html *h, sm_buf *text)
{
    smi_html_text(h->out, sm_buf_str(text));
    sm_buf_release(text);
}

static void put_badge(smi_html *h, sm_outcome o)
{
    const char *const name = sm_outcome_name(o);

    sm_buf_printf(h->out, "<span class=\"badge %s\">%s</span>", name, name);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static void print_columns(const sm_contract_table *t, const sm_rule *r, sm_buf *out)
{
    for (int32_t i = 0; i < r->n_columns; i++) {
        sm_buf_text(out, i ? SM_STR(", ") : SM_STR(""));
        sm_buf_text(out, t->columns[r->columns[i]].path);
    }
}

/* Each value stands alone, whatever the direction of its script. */
static void put_values(smi_html *h, const sm_rule *r)
{
    for (int32_t i = 0; i < r->n_values; i++) {
        put_in(h, i ? ", <bdi>" : "<bdi>", r->values[i].text, "</bdi>");
    }
    smi_html_put(h, !r->takes_null ? "" : r->n_values == 0 ? "NULL" : ", NULL");
}

/* What a rule is given that is no list of values. */
static void print_argument(const sm_contract_table *t, const sm_rule *r, sm_buf *out)
{
    switch (sm_rule_info_of(r->kind)->argument) {
    case SM_ARGUMENT_NONE:
    case SM_ARGUMENT_VALUES:
        break;
    case SM_ARGUMENT_COLUMNS:
        if (r->n_columns > 1) { /* else it stands at its column */
            print_columns(t, r, out);
        }
        break;
    case SM_ARGUMENT_TARGET:
        sm_buf_text(out, r->other_table);
        for (int32_t i = 0; i < r->n_columns; i++) {
            sm_buf_printf(out, "%s%.*s", i ? ", " : ".", SM_STR_ARG(r->other_columns[i]));
        }
        break;
    case SM_ARGUMENT_VOLUME:
        sm_buf_printf(out, "within %.15g%% of %.*s versions", r->limit.to, SM_STR_ARG(r->text));
        break;
    case SM_ARGUMENT_GROUP_SQL:
        print_columns(t, r, out);
        sm_buf_printf(out, ": %.*s", SM_STR_ARG(r->text));
        break;
    default:
        sm_buf_text(out, r->text);
    }
}

/* "minimum 0"; of a rule with a name of its own this too. */
static void put_rule(smi_html *h, const sm_verdict *v, const sm_rule *r)
{
    const char *const kind = sm_rule_info_of(r->kind)->name;
    sm_buf text = {0};
    char suffix[64];

    snprintf(suffix, sizeof(suffix), ":%s", kind);
    if (!sm_str_ends(r->name, sm_str_of(suffix)) && !sm_str_is(r->name, kind)) {
        put_in(h, "<bdi>", r->name, "</bdi> <span class=\"soft\">");
        sm_buf_printf(h->out, "%s</span>", kind);
    } else {
        smi_html_put(h, kind);
    }
    if (sm_rule_info_of(r->kind)->argument == SM_ARGUMENT_VALUES) {
        smi_html_put(h, " <code>");
        put_values(h, r);
        smi_html_put(h, "</code>");
    }
    print_argument(v->table, r, &text);
    if (text.len > 0) {
        smi_html_put(h, " <code>");
        put_printed(h, &text);
        smi_html_put(h, "</code>");
    }
}

static void put_examples(smi_html *h, const sm_rule_verdict *r)
{
    if (r->count.n_examples == 0 || r->outcome == SM_OUTCOME_PASSED) {
        return;
    }
    smi_html_put(h, "<details><summary>");
    smi_html_counted(h, r->count.n_examples, "example");
    smi_html_put(h, "</summary><div class=\"examples\">");
    for (int32_t i = 0; i < r->count.n_examples; i++) {
        put_in(h, "<div><bdi>", r->count.examples[i], "</bdi></div>");
    }
    smi_html_put(h, "</div></details>");
}

/* A rule with all that is known of it. */
static void put_rule_item(smi_html *h, const sm_verdict *v, const sm_rule_verdict *r)
{
    sm_buf text = {0};

    smi_html_put(h, "<li><div class=\"rule\"><span class=\"what\">");
    put_rule(h, v, r->rule);
    smi_html_put(h, "</span>");
    put_badge(h, r->outcome);
    smi_html_put(h, "</div>");
    if (r->rule->description.len > 0) {
        put_in(h, "<p class=\"tell\"><bdi>", r->rule->description, "</bdi></p>");
    }
    smi_html_put(h, "<p class=\"tell\">");
    if (r->outcome == SM_OUTCOME_PASSED && r->count.n_broken == 0 && !smi_is_whole(r->rule->kind)) {
        smi_html_put(h, r->rule->kind == SM_RULE_GROUP ? "no group breaks it" : "no row breaks it");
    } else {
        sm_rule_verdict_print(r, &text);
        put_printed(h, &text);
    }
    smi_html_put(h, "</p>");
    put_examples(h, r);
    smi_html_put(h, "</li>");
}

static void put_rule_row(smi_html *h, const sm_rule_verdict *r)
{
    const bool is_whole = smi_is_whole(r->rule->kind);
    sm_buf text = {0};

    put_in(h, "<tr><td><bdi>", r->rule->name, "</bdi></td><td class=\"n wide\">");
    if (r->outcome != SM_OUTCOME_UNCHECKED && is_whole) {
        smi_print_measure(r->rule, r->count.measure, &text);
        put_printed(h, &text);
    } else if (!is_whole) {
        smi_html_count(h, r->count.n_rows);
    }
    smi_html_put(h, "</td><td class=\"n\">");
    if (!is_whole) {
        smi_html_count(h, r->count.n_broken);
    }
    smi_html_put(h, "</td><td class=\"n wide\">");
    if (!is_whole) {
        smi_print_share(&r->count, &text);
        put_printed(h, &text);
    }
    smi_html_put(h, "</td><td class=\"wide\">");
    smi_print_allowed(r->rule, &text);
    put_printed(h, &text);
    sm_buf_printf(h->out, "</td><td class=\"wide\">%s</td><td class=\"wide\">%s</td><td>",
                  r->rule->action == SM_POLICY_WARN ? "warning" : "error",
                  sm_policy_name(r->rule->action));
    put_badge(h, r->outcome);
    smi_html_put(h, "</td></tr>");
}

static void put_rules(smi_html *h, const sm_verdict *v)
{
    smi_html_put(h, "<h2>Rules</h2>");
    if (v->table->n_rules == 0) {
        smi_html_put(h, "<p class=\"soft\">The contract has no rules for this table.</p>");
        return;
    }
    smi_html_put(
        h,
        "<div class=\"card table\"><table class=\"rules\"><thead><tr><th scope=\"col\">rule</th>"
        "<th scope=\"col\" class=\"n wide\">rows</th><th scope=\"col\" class=\"n\">broken</th>"
        "<th scope=\"col\" class=\"n wide\">share</th><th scope=\"col\" class=\"wide\">allowed</th>"
        "<th scope=\"col\" class=\"wide\">severity</th>"
        "<th scope=\"col\" class=\"wide\">action</th>"
        "<th scope=\"col\">verdict</th></tr></thead><tbody>");
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        put_rule_row(h, &v->rules[i]);
    }
    smi_html_put(h, "</tbody></table></div>");
}

/* ---- columns --------------------------------------------------------------------------------- */

/* "BIGINT, 2.5% NULL (30 of 1,200)". */
static void put_kind(smi_html *h, const sm_column_profile *p)
{
    const sm_rule_count nulls = {.n_rows = p->n_rows, .n_broken = p->n_null};
    sm_buf text = {0};

    put_in(h, "<p class=\"kind\">", p->type, "");
    if (p->n_null == 0) {
        smi_html_put(h, ", no NULL");
    } else {
        smi_html_put(h, ", ");
        smi_print_share(&nulls, &text);
        put_printed(h, &text);
        smi_html_put(h, " NULL (");
        smi_html_counted(h, p->n_null, "row");
        smi_html_put(h, ")");
    }
    if (p->n_odd > 0) {
        smi_html_put(h, ", NaN or infinite: ");
        smi_html_count(h, p->n_odd);
    }
    smi_html_put(h, "</p>");
}

/* The column that a rule stands at; −1: none. */
static int32_t column_of(const sm_rule *r)
{
    return r->column >= 0 ? r->column : r->n_columns == 1 ? r->columns[0] : -1;
}

/* The rules of a column, of −1 those of none. */
static int64_t count_rules(const sm_verdict *v, int32_t column)
{
    int64_t n = 0;

    for (int64_t i = 0; i < v->table->n_rules; i++) {
        n += column_of(v->rules[i].rule) == column;
    }
    return n;
}

static void put_rules_of(smi_html *h, const sm_verdict *v, int32_t column)
{
    if (count_rules(v, column) == 0) {
        return;
    }
    smi_html_put(h, "<ul>");
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        if (column_of(v->rules[i].rule) == column) {
            put_rule_item(h, v, &v->rules[i]);
        }
    }
    smi_html_put(h, "</ul>");
}

static void put_column(smi_html *h, const sm_verdict *v, int32_t column)
{
    const sm_contract_column *c = &v->table->columns[column];
    const sm_column_profile *p = v->profile ? &v->profile[column] : NULL;

    put_in(h, "<section class=\"card column\"><div><h3><bdi>", c->path, "</bdi></h3>");
    if (p) {
        put_kind(h, p);
    }
    if (c->description.len > 0) {
        put_in(h, "<p class=\"tell\"><bdi>", c->description, "</bdi></p>");
    }
    put_rules_of(h, v, column);
    smi_html_put(h, "</div>");
    if (p && (p->histogram || p->frequent)) {
        smi_html_put(h, "<div>");
        smi_html_draw(h, c->path, p);
        smi_html_put(h, "</div>");
    }
    smi_html_put(h, "</section>");
}

static void put_columns(smi_html *h, const sm_verdict *v)
{
    if (v->table->n_columns > 0) {
        smi_html_put(h, "<h2>Columns</h2>");
    }
    for (int32_t i = 0; i < v->table->n_columns; i++) {
        put_column(h, v, i);
    }
    if (count_rules(v, -1) > 0) {
        smi_html_put(h, "<h2>The whole table</h2><section class=\"card\">");
        put_rules_of(h, v, -1);
        smi_html_put(h, "</section>");
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void put_time(smi_html *h, int64_t now_us)
{
    char text[SM_TIME_TEXT_BYTES];

    sm_format_timestamp(now_us - now_us % 1000000, text);
    sm_buf_printf(h->out, "%s UTC", text);
}

static void put_facts(smi_html *h, const sm_verdict *v)
{
    smi_html_put(h, "<dl class=\"facts\"><div><dt>Rows</dt><dd>");
    smi_html_count(h, v->n_rows);
    smi_html_put(h, "</dd></div><div><dt>Rules</dt><dd>");
    smi_html_count(h, v->table->n_rules);
    smi_html_put(h, "</dd></div><div><dt>Failed</dt><dd>");
    smi_html_count(h, v->n_failed);
    smi_html_put(h, "</dd></div><div><dt>Warned</dt><dd>");
    smi_html_count(h, v->n_warned);
    if (v->n_quarantined > 0) {
        smi_html_put(h, "</dd></div><div><dt>Quarantined</dt><dd>");
        smi_html_count(h, v->n_quarantined);
    }
    if (v->n_nulled > 0) {
        smi_html_put(h, "</dd></div><div><dt>Made NULL</dt><dd>");
        smi_html_count(h, v->n_nulled);
    }
    put_in(h, "</dd></div><div><dt>Data contract</dt><dd>", v->contract->id, "");
    put_in(h, " <span class=\"soft\">", v->contract->version, "</span>");
    smi_html_put(h, "</dd></div><div><dt>Checked</dt><dd>");
    put_time(h, v->now_us);
    smi_html_put(h, "</dd></div></dl>");
}

static void put_notes(smi_html *h, const sm_contract *c)
{
    if (c->n_notes == 0) {
        return;
    }
    smi_html_put(h, "<h2>Not checked</h2><section class=\"card\"><ul>");
    for (int64_t i = 0; i < c->n_notes; i++) {
        put_in(h, "<li class=\"tell\">", c->notes[i].text, "</li>");
    }
    smi_html_put(h, "</ul></section>");
}

static void put_table(smi_html *h, const sm_page_table *t, int32_t i)
{
    const sm_verdict *v = t->verdict;

    sm_buf_printf(h->out, "<article id=\"table%d\"><header><div class=\"head\">", (int)i);
    put_in(h, "<h1><bdi>", v->name, "</bdi></h1>");
    put_badge(h, v->outcome);
    smi_html_put(h, "</div>");
    put_in(h, "<p class=\"uri soft\"><bdi>", t->uri, "</bdi></p>");
    if (v->table->description.len > 0) {
        put_in(h, "<p class=\"uri\"><bdi>", v->table->description, "</bdi></p>");
    }
    put_facts(h, v);
    smi_html_put(h, "</header>");
    put_rules(h, v);
    put_columns(h, v);
    put_notes(h, v->contract);
    smi_html_put(h, "</article>");
}

/* The head of a run: which tables it has judged, with a way to each. */
static void put_contents(smi_html *h, sm_str title, sm_str told, const sm_page_table *tables,
                         int32_t n)
{
    put_in(h, "<h1>", title, "</h1>");
    if (told.len > 0) {
        put_in(h, "<p class=\"uri soft\">", told, "</p>");
    }
    if (n == 0) {
        return;
    }
    smi_html_put(h, "<div class=\"card table\"><table class=\"rules\"><tbody>");
    for (int32_t i = 0; i < n; i++) {
        sm_buf_printf(h->out, "<tr><td><a href=\"#table%d\"><bdi>", (int)i);
        put_in(h, "", tables[i].verdict->name, "</bdi></a></td><td class=\"n\">");
        smi_html_counted(h, tables[i].verdict->n_rows, "row");
        smi_html_put(h, "</td><td>");
        put_badge(h, tables[i].verdict->outcome);
        smi_html_put(h, "</td></tr>");
    }
    smi_html_put(h, "</tbody></table></div>");
}

void sm_verdict_page(sm_str title, sm_str told, const sm_page_table *tables, int32_t n, sm_buf *out)
{
    smi_html h = {.out = out};

    SM_ASSERT(n == 1 || title.len > 0);
    smi_html_put(&h, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'\">"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                     "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    smi_html_text(out, title.len ? title : tables[0].verdict->name);
    smi_html_put(&h, "</title><style>");
    sm_buf_text(out, (sm_str){style, sizeof(style) - 1});
    smi_html_put(&h, "</style></head>\n<body><main>");
    if (title.len > 0) {
        put_contents(&h, title, told, tables, n);
    }
    for (int32_t i = 0; i < n; i++) {
        put_table(&h, &tables[i], i);
    }
    smi_html_put(&h, "</main></body></html>\n");
}
