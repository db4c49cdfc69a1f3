/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_check.c: checks the rows at a URI: finds them and the other tables that the
 * contract speaks of, audits, judges. Called from outside the room, for one table. A verdict that
 * is kept beside the table (contract_kept.c) takes the place of the audit. For rows that were
 * judged as they were written it is kept without an audit.
 *
 * Others   Where another table lies, the first of these that says it:
 *            1. the caller, by the table's name
 *            2. a physicalName with a '/': that path
 *            3. a physicalName "layer.table": LAKE/layer/table
 *            4. beside the rows, by the physicalName, with the suffix of a file where these are one
 *          A table that the contract does not describe has its name as physicalName. */
#include "base/time.h"
#include "contract/contract_kept_int.h"

typedef struct checking {
    const sm_checked_rows *in;
    sm_names *names;
    sm_resolver resolver;
    const sm_snapshot *snapshot; /* of the rows; NULL: they are of no Delta table */
    sm_budget *budget;
    smi_kept kept;
    smi_kept_files *files; /* what was counted of each file; NULL: it is not kept */
    sm_str *notes;         /* sm_verdict.notes */
} checking;

/* ---- places ---------------------------------------------------------------------------------- */

static sm_str without_slash(sm_str uri)
{
    while (uri.len > 1 && uri.data[uri.len - 1] == '/') {
        uri.len--;
    }
    return uri;
}

/* The lake of a table that lies at LAKE/layer/table; "" where the URI has no such parts. */
static sm_str lake_of(sm_str uri)
{
    sm_str layer = {0}, lake = {0}, name = {0};

    sm_uri_split(without_slash(uri), &layer, &name);
    sm_uri_split(layer, &lake, &name);
    return lake;
}

/* ".json.gz" of a file with rows; "" of a folder. */
static sm_str suffix_of(sm_str name)
{
    static const sm_str suffixes[] = {{".json", 5},    {".ndjson", 7}, {".jsonl", 6},
                                      {".parquet", 8}, {".gz", 3},     {".zst", 4}};
    const char *dot = memchr(name.data, '.', name.len);

    for (int i = 0; dot && i < SM_COUNT(suffixes); i++) {
        if (sm_str_ends(name, suffixes[i])) {
            return (sm_str){dot, name.len - (size_t)(dot - name.data)};
        }
    }
    return (sm_str){0};
}

static sm_str physical_name(const sm_contract *c, sm_str table)
{
    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq(c->tables[i].name, table)) {
            return c->tables[i].physical;
        }
    }
    return table;
}

static sm_status place_of(const checking *k, sm_str table, sm_arena *a, sm_str *out, sm_error *e)
{
    const sm_str physical = physical_name(k->in->contract, table);
    sm_str folder = {0}, name = {0};

    for (int32_t i = 0; i < k->in->n_others; i++) {
        if (sm_str_eq(k->in->others[i].key, table)) {
            *out = k->in->others[i].value;
            return SM_OK;
        }
    }
    if (memchr(physical.data, '/', physical.len)) {
        *out = physical;
        return SM_OK;
    }
    if (memchr(physical.data, '.', physical.len)) {
        return sm_names_uri(k->names, physical, a, out, e);
    }
    if (sm_kept_is_name(k->in->uri, &folder, &name)) {
        return sm_names_uri(k->names,
                            sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(folder), SM_STR_ARG(physical)),
                            a, out, e);
    }
    sm_uri_split(without_slash(k->in->uri), &folder, &name);
    const sm_str suffix = suffix_of(name);
    *out = sm_arena_strf(a, "%.*s/%.*s%.*s", SM_STR_ARG(folder), SM_STR_ARG(physical),
                         SM_STR_ARG(suffix));
    return SM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* columns: NULL: as they are found. */
static sm_status rows_at(const checking *k, sm_str uri, const sm_type *columns, sm_arena *a,
                         sm_relation *out, sm_error *e)
{
    const sm_table_arg args[] = {
        {.value = sm_value_str(uri)},
        {.name = SM_STR("columns"),
         .value = columns ? sm_columns_value(columns, a) : sm_value_null(&sm_type_null)},
    };
    const sm_resolver *r = &k->resolver;

    const sm_status st = r->function(r->ctx, columns ? SM_STR("read_json") : SM_STR(""), args,
                                     columns ? 2 : 1, a, out, e);
    if (st != SM_OK) {
        if (e->object[0] == '\0') { /* a place in SQL that is none */
            e->byte = -1;
        }
        return sm_within(e, st, "the rows at %.*s", SM_STR_ARG(uri));
    }
    SM_ENSURE(out->dataset || out->node);
    return SM_OK;
}

static const sm_plan_node *plan_of(const sm_relation *rows, sm_arena *a)
{
    return rows->dataset ? sm_plan_scan(rows, false, a) : rows->node;
}

/* smi_kept.other */
static sm_status other_rows(void *ctx, sm_str table, sm_arena *a, sm_relation *out, sm_error *e)
{
    const checking *k = ctx;
    sm_str uri = {0};

    SM_TRY(place_of(k, table, a, &uri, e));
    return rows_at(k, uri, NULL, a, out, e);
}

/* The rows that are checked: of a candidate that is kept, all that the table would have. */
static sm_status rows_checked(const checking *k, sm_arena *a, sm_relation *out, sm_error *e)
{
    const sm_str uri = k->in->uri;
    sm_str parts[] = {SM_STR(SM_CANDIDATE_NAME), {0}, {0}};

    if (!sm_kept_is_name(uri, &parts[1], &parts[2])) {
        return rows_at(k, uri, k->in->columns, a, out, e);
    }
    const sm_status st = k->resolver.table(k->resolver.ctx, parts, SM_COUNT(parts), a, out, e);
    return sm_within(e, st, "the rows of %.*s", SM_STR_ARG(uri));
}

/* sm_audit.other */
static sm_status find_other(void *ctx, sm_str table, sm_arena *a, const sm_plan_node **out,
                            sm_error *e)
{
    checking *k = ctx;
    sm_relation rows = {0};

    const sm_status st = other_rows(k, table, a, &rows, e);
    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "Say where it is: --table-at %.*s=URI.", SM_STR_ARG(table));
    }
    *out = st == SM_OK ? plan_of(&rows, a) : NULL;
    if (st == SM_OK) {
        smi_kept_saw(&k->kept, SMI_SOURCE_OTHER, &table, 1, &rows);
    }
    return sm_within(e, st, "table %.*s of the contract", SM_STR_ARG(table));
}

/* sm_audit.earlier */
static sm_status find_earlier(void *ctx, int32_t n, sm_arena *a, int64_t **out, int32_t *n_out,
                              sm_error *e)
{
    const checking *k = ctx;

    *n_out = 0;
    return k->snapshot ? sm_contract_earlier(sm_snapshot_store(k->snapshot),
                                             sm_snapshot_version(k->snapshot), n, k->budget, a, out,
                                             n_out, e)
                       : SM_OK;
}

/* ---- a check --------------------------------------------------------------------------------- */

/* smi_audit.count */
static sm_status count_files(smi_audit *u, const sm_bound_rule *rules, int64_t n, sm_error *e)
{
    checking *k = u->ctx;

    return smi_files_count(&k->kept, u, rules, n, &k->files, &k->notes[0], e);
}

/* smi_audit.narrow */
static sm_status narrow_keys(smi_audit *u, const sm_expr *const *exprs, int32_t n,
                             const sm_plan_node **rows, bool *is_none, sm_error *e)
{
    checking *k = u->ctx;

    return smi_keys_narrow(&k->kept, k->files, u, exprs, n, rows, is_none, k->notes, e);
}

/* The counts of an audit, which are kept if they can be. */
static sm_status count_anew(checking *k, const sm_audit *audit, sm_arena *a, smi_kept_counts *out,
                            sm_error *e)
{
    smi_audit u = {.in = audit, .a = a, .ctx = k, .count = count_files, .narrow = narrow_keys};

    k->notes = out->notes;
    SM_TRY(k->kept.table ? smi_audit_all(&u, e)
                         : sm_contract_audit(audit, a, &u.counts, &u.n_rows, e));
    out->counts = u.counts;
    out->n_rows = u.n_rows;
    out->time_us = audit->now_us;
    smi_files_put(k->files, &out->notes[1]);
    return smi_kept_put(&k->kept, out, e);
}

static sm_status run_check(checking *k, const sm_exec_env *env, sm_arena *a, sm_verdict **out,
                           sm_error *e)
{
    sm_audit audit = {.contract = k->in->contract,
                      .table = k->in->table,
                      .names = smi_kept_names(&k->kept),
                      .other = find_other,
                      .ctx = k,
                      .env = env,
                      .now_us = k->in->now_us ? k->in->now_us : sm_now_us(),
                      .earlier = find_earlier};
    smi_kept_counts found = {0};
    sm_relation rows = {0};
    sm_str layer = {0}, name = {0};

    SM_TRY(rows_checked(k, a, &rows, e));
    audit.rows = plan_of(&rows, a);
    k->snapshot = sm_names_snapshot(&rows);
    /* What a candidate would make is no version that a verdict could be kept of. */
    smi_kept_begin(&k->kept, sm_kept_is_name(k->in->uri, &layer, &name) ? NULL : k->snapshot);
    SM_TRY(smi_kept_find(&k->kept, &found, e));
    const bool is_kept = found.counts != NULL;
    SM_TRY(is_kept ? SM_OK : count_anew(k, &audit, a, &found, e));
    *out = sm_contract_judge(audit.contract, audit.table, found.n_rows, found.counts, a);
    (*out)->now_us = found.time_us;
    (*out)->is_kept = is_kept;
    memcpy((*out)->notes, found.notes, sizeof(found.notes));
    return k->in->wants_profile ? sm_contract_profile(&audit, a, &(*out)->profile, e) : SM_OK;
}

static void checking_open(checking *k, const sm_checked_rows *in, const sm_exec_env *env,
                          sm_arena *a)
{
    *k = (checking){.in = in, .budget = env->budget};
    k->names = sm_names_new(env->stores, in->lake.len ? in->lake : lake_of(in->uri), env->budget);
    k->resolver = sm_names_resolver(k->names);
    k->kept = (smi_kept){
        .in = in, .tables = k->names, .names = k->resolver, .other = other_rows, .ctx = k, .a = a};
}

sm_status sm_contract_check(const sm_checked_rows *in, const sm_exec_env *env, sm_arena *a,
                            sm_verdict **out, sm_error *e)
{
    checking k;
    sm_str layer = {0}, name = {0};

    checking_open(&k, in, env, a);
    for (int32_t i = 0; i < in->n_vars; i++) {
        sm_names_set_variable(k.names, in->vars[i].key, sm_value_str(in->vars[i].value));
    }
    if (sm_kept_is_name(in->uri, &layer, &name)) { /* the table's own name means its candidate */
        const sm_str table = sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(layer), SM_STR_ARG(name));
        sm_names_set_kept(k.names, table);
    }
    const sm_status st = run_check(&k, env, a, out, e);
    sm_names_free(k.names);
    return st;
}

/* ---- rows that were judged as they were written ---------------------------------------------- */

/* Does no row that was written break a row rule? Those that a rule took away are not written. */
static bool keep_row_rules(const sm_verdict *v)
{
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        const sm_rule_verdict *r = &v->rules[i];
        if (sm_rule_info_of(r->rule->kind)->is_row && r->count.n_broken > 0 &&
            r->rule->action != SM_POLICY_QUARANTINE) {
            return false;
        }
    }
    return true;
}

static const sm_rule_verdict *verdict_of(const sm_verdict *v, sm_str rule)
{
    for (int64_t i = 0; i < v->table->n_rules; i++) {
        if (sm_str_eq(v->rules[i].rule->name, rule)) {
            return &v->rules[i];
        }
    }
    return NULL;
}

/* What a check would count of all rules. Rows of a set rule that broke it may have left, or are
 * shown in another order: that is counted by the check. */
static bool count_whole(const sm_checked_rows *in, const sm_verdict *v, int64_t n_rows, sm_arena *a,
                        smi_kept_counts *out)
{
    const int64_t n = in->table->n_rules;

    *out = (smi_kept_counts){.n_rows = n_rows, .time_us = v->now_us};
    out->counts = SM_NEW_ARRAY(a, sm_rule_count, n + 1);
    for (int64_t i = 0; i < n; i++) {
        const sm_rule *r = &in->table->rules[i];
        const sm_rule_verdict *judged = verdict_of(v, r->name);
        if (sm_rule_info_of(r->kind)->is_row) {
            out->counts[i] = (sm_rule_count){.n_rows = n_rows};
            continue;
        }
        if (!judged || judged->count.is_unchecked || judged->count.n_mended > 0 ||
            (judged->count.n_broken > 0 && !smi_is_whole(r->kind))) {
            return false;
        }
        out->counts[i] = judged->count;
    }
    return true;
}

/* Did the run read all other tables as they are now? */
static bool read_as_they_are(checking *k, smi_audit *u, const sm_written_rows *in)
{
    const sm_contract_table *t = k->in->table;
    sm_error unused = {0}; /* a rule that means nothing to a check without the run's variables */

    for (int64_t i = 0; i < t->n_rules; i++) {
        if (!sm_rule_info_of(t->rules[i].kind)->is_row &&
            smi_audit_ask(u, &t->rules[i], &unused) != SM_OK) {
            return false;
        }
    }
    for (int64_t i = 0; i < k->kept.n_sources; i++) {
        const sm_snapshot *s = k->kept.sources[i].snapshot;
        if (!in->was_read(in->ctx, sm_snapshot_metadata(s)->id, sm_snapshot_version(s))) {
            return false;
        }
    }
    return !k->kept.is_open;
}

static sm_status keep_written(checking *k, const sm_written_rows *in, const sm_exec_env *env,
                              sm_arena *a, sm_str notes[2], sm_error *e)
{
    sm_audit audit = {.contract = k->in->contract,
                      .table = k->in->table,
                      .names = smi_kept_names(&k->kept),
                      .other = find_other,
                      .ctx = k,
                      .env = env};
    smi_audit u = {.in = &audit, .a = a};
    smi_kept_files *files = NULL;
    smi_kept_counts counts;
    sm_bound_rule *rules = NULL;
    sm_relation rows = {0};
    sm_error unused = {0};
    int64_t n = 0;
    bool is_all = false;

    SM_TRY(rows_checked(k, a, &rows, e));
    audit.rows = plan_of(&rows, a);
    k->snapshot = sm_names_snapshot(&rows);
    if (!k->snapshot || sm_snapshot_version(k->snapshot) != in->version ||
        smi_bind_columns(audit.contract, audit.table, audit.rows->schema, a, &u.columns, &unused) !=
            SM_OK ||
        sm_contract_bind(audit.contract, audit.table, audit.rows->schema, &audit.names, a, &rules,
                         &n, &unused) != SM_OK) {
        return SM_OK;
    }
    smi_kept_begin(&k->kept, k->snapshot);
    SM_TRY(smi_files_written(&k->kept, &u, rules, n, in->files, in->n_files, &files, &is_all,
                             &u.n_rows, &notes[0], e));
    smi_files_put(files, &notes[1]);
    if (!is_all || !in->are_all || !k->kept.rows ||
        !count_whole(k->in, in->verdict, u.n_rows, a, &counts) || !read_as_they_are(k, &u, in)) {
        return SM_OK;
    }
    counts.notes[1] = notes[1];
    SM_TRY(smi_kept_put(&k->kept, &counts, e));
    notes[1] = counts.notes[1];
    return SM_OK;
}

sm_status sm_contract_keep(const sm_written_rows *in, const sm_exec_env *env, sm_arena *a,
                           sm_str notes[2], sm_error *e)
{
    const sm_contract *judged = in->verdict->contract;
    sm_contract c = *judged; /* as a check has it */
    sm_checked_rows rows = {.contract = &c, .uri = in->uri, .keeps = true};
    checking k;

    notes[0] = notes[1] = (sm_str){0};
    if (!keep_row_rules(in->verdict)) {
        return SM_OK;
    }
    c.tables = SM_NEW_ARRAY(a, sm_contract_table, c.n_tables);
    memcpy(c.tables, judged->tables, (size_t)c.n_tables * sizeof(*c.tables));
    sm_contract_leave_files(&c, a);
    SM_TRY(sm_contract_find(&c, in->verdict->table->name, a, &rows.table, e));
    checking_open(&k, &rows, env, a);
    const sm_status st = keep_written(&k, in, env, a, notes, e);
    sm_names_free(k.names);
    return st;
}
