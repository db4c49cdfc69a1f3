/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_kept.c: keeps the verdict of a check beside its table, so that a table which
 * did not change is not read again. Called by contract_check.c.
 *
 * Object    TABLE/_smelt/verdicts/HASH.json; HASH is of what was asked: the contract as it is
 *           understood, the table of it, the lake, the places of other tables, variables.
 *             line 1  {"format", "smelt", "written", "hash"}: the version that has counted, the
 *                     time when it was written, the hash of line 2
 *             line 2  {"time", "state", "sources": [{"kind", "parts", "state"}], "keys": [names of
 *                     objects], "rows", "rules":
 *                     [counts]}, rules in the order of the contract
 * State     of a table: a hash over its id, columns and properties, then file by file, in their
 *           order, over what is the same of a file as long as its rows are. It is made as the log
 *           is read, so memory does not grow with the number of files.
 * Sources   Other tables that the audit has read, by the names that it used. The names are asked
 *           again, so a table that now lies elsewhere, or is gone, counts as changed. One that the
 *           contract cannot name is not asked for: whoever may write the object could make smelt
 *           open other places.
 * Taken     if the states of the table and of all sources are what they were. Deltas of files are
 *           not looked at: one file more, and all is counted anew.
 * Not kept  rules that depend on more than that: on the time (freshness), on earlier versions
 *           (volume), on rows without a snapshot (files, tables AT a version). SQL has no function
 *           of time or chance; contract_kept_test.c holds that.
 * Writers   at the same time: the object is replaced whole, the last one stays.
 * Age       A vacuum deletes objects that nobody has written for the retention, as nobody can know
 *           which contracts are still checked. One that is taken a day later is written again. */
#include "contract/contract_kept_int.h"

#include <math.h>

#include "base/hash.h"
#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"

#define FORMAT    2 /* grows too where a rule counts otherwise within one version of smelt */
#define AGING_US  INT64_C(86400000000) /* a day; a retention is longer, as a rule */
#define HEX_BYTES 33

static const char *const kinds[] = {
    [SMI_SOURCE_OTHER] = "other", [SMI_SOURCE_TABLE] = "table", [SMI_SOURCE_CALL] = "call"};

sm_str smi_kept_hash(sm_str bytes, sm_arena *a)
{
    char hex[HEX_BYTES];

    sm_hash128_hex(sm_hash128_of(bytes.data, bytes.len, 0), hex);
    return sm_arena_strf(a, "%s", hex);
}

/* ---- what was asked -------------------------------------------------------------------------- */

bool sm_contract_depends_on_more(const sm_contract_table *t)
{
    for (int64_t i = 0; i < t->n_rules; i++) {
        if (t->rules[i].kind == SM_RULE_FRESHNESS || t->rules[i].kind == SM_RULE_VOLUME) {
            return true;
        }
    }
    return false;
}

static void put_pairs(sm_json_writer *w, const char *key, const sm_pair *pairs, int32_t n)
{
    sm_json_set_array(w, key);
    for (int32_t i = 0; i < n; i++) {
        sm_json_put_text(w, pairs[i].key);
        sm_json_put_text(w, pairs[i].value);
    }
    sm_json_end_array(w);
}

static sm_str key_of(const sm_checked_rows *in, sm_arena *a)
{
    sm_buf contract = {0}, text = {0};
    sm_json_writer w = {.out = &text};

    sm_contract_write(in->contract, a, &contract);
    sm_json_begin_object(&w);
    sm_json_set_text(&w, "contract", sm_buf_str(&contract));
    sm_json_set_text(&w, "table", in->table->name);
    sm_json_set_text(&w, "lake", in->lake);
    put_pairs(&w, "others", in->others, in->n_others);
    put_pairs(&w, "vars", in->vars, in->n_vars);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_strf(a, SM_VERDICTS_FOLDER "%.*s.json",
                                     SM_STR_ARG(smi_kept_hash(sm_buf_str(&text), a)));
    sm_buf_release(&contract);
    sm_buf_release(&text);
    return out;
}

/* An edited contract has the same. */
static sm_str files_key_of(const sm_checked_rows *in, sm_arena *a)
{
    const sm_str both =
        sm_arena_strf(a, "%.*s\n%.*s", SM_STR_ARG(in->contract->id), SM_STR_ARG(in->table->name));

    return sm_arena_strf(a, SM_VERDICTS_FOLDER "%.*s.files", SM_STR_ARG(smi_kept_hash(both, a)));
}

void smi_kept_begin(smi_kept *k, const sm_snapshot *rows)
{
    const bool keeps =
        rows && k->in->keeps && k->in->now_us == 0 && !sm_contract_depends_on_more(k->in->table);

    k->table = k->in->keeps ? rows : NULL;
    k->rows = keeps ? rows : NULL;
    k->files_key = k->table ? files_key_of(k->in, k->a) : (sm_str){0};
    k->key = keeps ? key_of(k->in, k->a) : (sm_str){0};
}

/* ---- the state of a table -------------------------------------------------------------------- */

/* A state while the files are given. */
typedef struct files_sum {
    sm_hash128 first, now;
} files_sum;

/* sm_delta_sink.begin */
static void begin_state(void *ctx)
{
    files_sum *s = ctx;

    s->now = s->first;
}

sm_hash128 smi_kept_file(const sm_delta_file *f)
{
    const sm_hash128 file = sm_delta_file_hash(f);
    const uint64_t parts[] = {
        file.low,
        file.high,
        f->size_bytes,
        (uint64_t)f->modified_ms,
        f->dv ? (uint64_t)f->dv->cardinality : UINT64_MAX,
        (uint64_t)f->base_row_id,
        (uint64_t)f->row_version,
    };

    return sm_hash128_of(parts, sizeof(parts), 0);
}

/* sm_delta_sink.file */
static sm_status add_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    files_sum *s = ctx;
    const sm_hash128 both[] = {s->now, smi_kept_file(f)};

    (void)e;
    s->now = sm_hash128_of(both, sizeof(both), 0);
    return SM_OK;
}

sm_status smi_kept_metadata(const sm_snapshot *s, sm_arena *a, sm_str *out, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(s);
    sm_buf schema = {0}, text = {0};
    sm_json_writer w = {.out = &text};

    const sm_status st = sm_delta_schema_json(m->schema, &schema, e);
    sm_json_begin_object(&w);
    sm_json_set_text(&w, "id", m->id);
    sm_json_set_text(&w, "schema", sm_buf_str(&schema));
    sm_json_set_array(&w, "partitions");
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        sm_json_put_text(&w, m->partition_columns[i]);
    }
    sm_json_end_array(&w);
    put_pairs(&w, "config", m->config, m->n_config);
    sm_json_end_object(&w);
    *out = smi_kept_hash(sm_buf_str(&text), a);
    sm_buf_release(&schema);
    sm_buf_release(&text);
    return st;
}

static sm_status state_of(const sm_snapshot *s, sm_arena *a, sm_str *out, sm_error *e)
{
    sm_str metadata = {0};
    char hex[HEX_BYTES];

    SM_TRY(smi_kept_metadata(s, a, &metadata, e));
    files_sum all = {.first = sm_hash128_of(metadata.data, metadata.len, 0)};
    all.now = all.first;
    const sm_delta_sink to = {.begin = begin_state, .file = add_file, .ctx = &all};
    SM_TRY(sm_snapshot_each(s, NULL, &to, e));
    sm_hash128_hex(all.now, hex);
    *out = sm_arena_strf(a, "%s", hex);
    return SM_OK;
}

/* The state of the rows, found once: the log may be long. */
static sm_status find_state(smi_kept *k, sm_error *e)
{
    return k->state.len > 0 ? SM_OK : state_of(k->rows, k->a, &k->state, e);
}

/* ---- what an audit reads --------------------------------------------------------------------- */

static bool is_same_source(const smi_source *s, smi_source_kind kind, const sm_str *parts,
                           int32_t n)
{
    bool same = s->kind == kind && s->n_parts == n;

    for (int32_t i = 0; same && i < n; i++) {
        same = sm_str_eq(s->parts[i], parts[i]);
    }
    return same;
}

void smi_kept_saw(smi_kept *k, smi_source_kind kind, const sm_str *parts, int32_t n,
                  const sm_relation *rows)
{
    const sm_snapshot *snapshot = sm_names_snapshot(rows);

    if (!k->rows || !snapshot) {
        k->is_open = true;
        return;
    }
    for (int64_t i = 0; i < k->n_sources; i++) {
        if (is_same_source(&k->sources[i], kind, parts, n)) {
            return;
        }
    }
    sm_str *copies = SM_NEW_ARRAY(k->a, sm_str, n);
    for (int32_t i = 0; i < n; i++) {
        copies[i] = sm_arena_str(k->a, parts[i]);
    }
    k->sources =
        sm_arena_grow(k->a, k->sources, k->n_sources, &k->cap_sources, sizeof(*k->sources));
    k->sources[k->n_sources++] =
        (smi_source){.kind = kind, .parts = copies, .n_parts = n, .snapshot = snapshot};
}

/* sm_resolver.table */
static sm_status see_table(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                           sm_relation *out, sm_error *e)
{
    smi_kept *k = ctx;

    SM_TRY(k->names.table(k->names.ctx, parts, n_parts, a, out, e));
    smi_kept_saw(k, SMI_SOURCE_TABLE, parts, n_parts, out);
    return SM_OK;
}

/* sm_resolver.table_at */
static sm_status see_table_at(void *ctx, const sm_str *parts, int32_t n_parts,
                              const sm_table_arg *at, sm_arena *a, sm_relation *out, sm_error *e)
{
    smi_kept *k = ctx;

    k->is_open = true;
    return k->names.table_at(k->names.ctx, parts, n_parts, at, a, out, e);
}

/* sm_resolver.function */
static sm_status see_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                              sm_arena *a, sm_relation *out, sm_error *e)
{
    smi_kept *k = ctx;
    const bool is_place = n_args == 1 && args[0].name.len == 0 && !args[0].value.is_null &&
                          args[0].value.type->id == SM_TYPE_STRING;

    SM_TRY(k->names.function(k->names.ctx, name, args, n_args, a, out, e));
    if (is_place) {
        const sm_str parts[] = {name, args[0].value.as.s};
        smi_kept_saw(k, SMI_SOURCE_CALL, parts, SM_COUNT(parts), out);
    } else {
        k->is_open = true;
    }
    return SM_OK;
}

/* sm_resolver.variable */
static sm_status see_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    const sm_resolver *r = &((const smi_kept *)ctx)->names;

    return r->variable(r->ctx, name, a, out, e);
}

sm_resolver smi_kept_names(smi_kept *k)
{
    return (sm_resolver){.ctx = k,
                         .table = see_table,
                         .table_at = see_table_at,
                         .function = see_function,
                         .variable = see_variable};
}

/* The rows that the name of a source means at this check. */
static sm_status ask_again(const smi_kept *k, const smi_source *s, sm_relation *out, sm_error *e)
{
    switch (s->kind) {
    case SMI_SOURCE_OTHER:
        return k->other(k->ctx, s->parts[0], k->a, out, e);
    case SMI_SOURCE_TABLE:
        return k->names.table(k->names.ctx, s->parts, s->n_parts, k->a, out, e);
    default: {
        const sm_table_arg place = {.value = sm_value_str(s->parts[1])};
        return k->names.function(k->names.ctx, s->parts[0], &place, 1, k->a, out, e);
    }
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_i64(const sm_json *o, const char *key, int64_t *out)
{
    return sm_json_i64(sm_json_get(o, key), out);
}

/* Can the contract name such a source? An object that somebody else has written must not make
 * smelt open whatever it says. */
static bool is_nameable(const smi_kept *k, const smi_source *s)
{
    const sm_contract *c = k->in->contract;
    bool is_named = s->kind == SMI_SOURCE_TABLE && s->n_parts > 0;

    for (int64_t i = 0; s->kind == SMI_SOURCE_OTHER && s->n_parts == 1 && i < c->n_tables; i++) {
        is_named = is_named || sm_str_eq(c->tables[i].name, s->parts[0]);
    }
    for (int64_t i = 0; i < k->in->table->n_rules; i++) {
        const sm_rule *r = &k->in->table->rules[i];
        is_named = is_named ||
                   (s->kind == SMI_SOURCE_OTHER && s->n_parts == 1 &&
                    sm_str_eq(r->other_table, s->parts[0])) ||
                   (s->kind == SMI_SOURCE_CALL && s->n_parts == 2 && r->text.len > 0 &&
                    memmem(r->text.data, r->text.len, s->parts[1].data, s->parts[1].len));
    }
    return is_named;
}

/* A source as line 2 has it. */
static bool read_source(const sm_json *o, sm_arena *a, smi_source *out)
{
    const sm_str kind = sm_json_text(sm_json_get(o, "kind"));
    const sm_json *parts = sm_json_get(o, "parts");
    bool is_kind = false;

    if (!parts || parts->type != SM_JSON_ARRAY) {
        return false;
    }
    for (int i = 0; i < SM_COUNT(kinds); i++) {
        if (sm_str_is(kind, kinds[i])) {
            out->kind = (smi_source_kind)i;
            is_kind = true;
        }
    }
    sm_str *texts = SM_NEW_ARRAY(a, sm_str, parts->n_children + 1);
    for (const sm_json *p = parts->child; p; p = p->next) {
        texts[out->n_parts++] = sm_json_text(p);
    }
    out->parts = texts;
    return is_kind;
}

/* Is the state of a source what it was? */
static bool is_unchanged(const smi_kept *k, const sm_json *o)
{
    smi_source s = {0};
    sm_relation rows = {0};
    sm_str now = {0};
    sm_error unused = {0}; /* the audit that follows meets it again */

    return read_source(o, k->a, &s) && is_nameable(k, &s) &&
           ask_again(k, &s, &rows, &unused) == SM_OK && sm_names_snapshot(&rows) &&
           state_of(sm_names_snapshot(&rows), k->a, &now, &unused) == SM_OK &&
           sm_str_eq(now, sm_json_text(sm_json_get(o, "state")));
}

static bool read_count(const sm_json *o, sm_arena *a, sm_rule_count *out)
{
    const sm_json *worst = sm_json_get(o, "worst"), *examples = sm_json_get(o, "examples");

    *out = (sm_rule_count){.detail = sm_json_text(sm_json_get(o, "detail"))};
    out->worst = worst ? sm_json_text(worst) : (sm_str){0}; /* "" is a group, NULL none */
    out->examples = SM_NEW_ARRAY(a, sm_str, SM_RULE_EXAMPLES);
    for (const sm_json *x = examples ? examples->child : NULL; x; x = x->next) {
        if (out->n_examples == SM_RULE_EXAMPLES) {
            return false;
        }
        out->examples[out->n_examples++] = x->text;
    }
    return read_i64(o, "rows", &out->n_rows) && read_i64(o, "broken", &out->n_broken) &&
           read_i64(o, "worst_rows", &out->worst_rows) &&
           read_i64(o, "worst_broken", &out->worst_broken) && out->n_broken >= 0 &&
           sm_parse_f64(sm_json_text(sm_json_get(o, "measure")), true, &out->measure);
}

static bool read_counts(const smi_kept *k, const sm_json *o, smi_kept_counts *out)
{
    const sm_json *rules = sm_json_get(o, "rules");
    const int64_t n = k->in->table->n_rules;
    int64_t i = 0;

    if (!rules || rules->n_children != n || !read_i64(o, "rows", &out->n_rows) ||
        !read_i64(o, "time", &out->time_us)) {
        return false;
    }
    out->counts = SM_NEW_ARRAY(k->a, sm_rule_count, n + 1);
    for (const sm_json *r = rules->child; r; r = r->next) {
        if (!read_count(r, k->a, &out->counts[i++])) {
            out->counts = NULL;
            return false;
        }
    }
    return true;
}

/* What stands behind line 1, if that says that it is whole and by this smelt; else *why. */
static bool open_object(const smi_kept *k, smi_kept_object *out, const char **why)
{
    const sm_str bytes = sm_buf_str(&out->bytes);
    const char *end = bytes.len > 0 ? memchr(bytes.data, '\n', bytes.len) : NULL;
    const size_t n = end ? (size_t)(end - bytes.data) : 0;
    const sm_json *head = NULL;
    int64_t format = 0, written_us = 0;

    *why = "is damaged";
    if (!end || sm_json_parse((sm_str){bytes.data, n}, k->a, &head, NULL) != SM_OK) {
        return false;
    }
    const sm_str body = {end + 1, bytes.len - n - 1};
    if (!sm_str_eq(smi_kept_hash(body, k->a), sm_json_text(sm_json_get(head, "hash")))) {
        return false;
    }
    if (!read_i64(head, "format", &format) || format != FORMAT ||
        !sm_str_is(sm_json_text(sm_json_get(head, "smelt")), SMELT_VERSION)) {
        *why = "is of another version of smelt";
        return false;
    }
    out->body = body;
    out->is_aging = !read_i64(head, "written", &written_us) || written_us < sm_now_us() - AGING_US;
    return true;
}

/* Says something of an object, unless something is said already. */
static void tell(const smi_kept *k, sm_str key, const char *what, const char *why, sm_str *note)
{
    const sm_str uri = sm_store_uri_of(sm_snapshot_store(k->table), key, k->a);

    if (note->len == 0) {
        *note = sm_arena_strf(k->a, "the verdict %s %.*s %s", what, SM_STR_ARG(uri), why);
    }
}

static void tell_unused(const smi_kept *k, sm_str key, const char *why, sm_str *note)
{
    tell(k, key, "at", sm_arena_printf(k->a, "%s, so it is made anew", why), note);
}

void smi_kept_get(const smi_kept *k, sm_str key, smi_kept_object *out, sm_str *note)
{
    sm_error e = {0};
    const char *why = NULL;

    *out = (smi_kept_object){.bytes = {.max_bytes = SMI_KEPT_BYTES}};
    const sm_status st = sm_store_get(sm_snapshot_store(k->table), key, &out->bytes, &e);
    out->is_there = st != SM_NOT_FOUND;
    if (st == SM_OK && !open_object(k, out, &why)) {
        tell_unused(k, key, why, note);
    } else if (st != SM_OK && st != SM_NOT_FOUND) {
        tell_unused(k, key, sm_arena_printf(k->a, "could not be read (%s)", e.what), note);
    }
}

/* Does all that the verdict depends on stand as it did? */
static sm_status is_current(smi_kept *k, const sm_json *o, bool *out, sm_error *e)
{
    const sm_json *sources = sm_json_get(o, "sources");

    SM_TRY(find_state(k, e));
    *out = sources && sm_str_eq(k->state, sm_json_text(sm_json_get(o, "state")));
    for (const sm_json *s = *out ? sources->child : NULL; s && *out; s = s->next) {
        *out = is_unchanged(k, s);
    }
    return SM_OK;
}

/* Writes an object again as it is; false: there is none. */
static bool renew(const smi_kept *k, sm_str key)
{
    smi_kept_object found = {0};
    sm_str unused = {0}; /* who may not write is not told each day */

    smi_kept_get(k, key, &found, &unused);
    if (found.body.len > 0) {
        smi_kept_replace(k, key, found.body, &unused);
    }
    sm_buf_release(&found.bytes);
    return found.is_there;
}

/* Writes all again that a check of this contract will use once the table has changed. o: line 2 of
 * the verdict, which names the objects of keys. */
static void renew_all(const smi_kept *k, const sm_json *o)
{
    const sm_json *keys = sm_json_get(o, "keys");

    (void)renew(k, k->key);
    (void)renew(k, k->files_key);
    for (const sm_json *x = keys ? keys->child : NULL; x; x = x->next) {
        const sm_str name = sm_json_text(x);
        int i = 0;
        while (name.len == HEX_BYTES - 1 && !memchr(name.data, '/', name.len) &&
               renew(k, sm_arena_strf(k->a, SMI_KEYS_OBJECT, SM_STR_ARG(name), i))) {
            i++;
        }
    }
}

sm_status smi_kept_find(smi_kept *k, smi_kept_counts *out, sm_error *e)
{
    smi_kept_object found = {0};
    const sm_json *o = NULL;
    bool is_there = false;
    sm_status st = SM_OK;

    *out = (smi_kept_counts){0};
    if (!k->rows) {
        return SM_OK;
    }
    smi_kept_get(k, k->key, &found, &out->notes[0]);
    if (found.body.len == 0) {
        goto done;
    }
    if (sm_json_parse(found.body, k->a, &o, NULL) != SM_OK) {
        tell_unused(k, k->key, "is damaged", &out->notes[0]);
        goto done;
    }
    SM_TRY_GOTO(st, done, is_current(k, o, &is_there, e));
    if (is_there && !read_counts(k, o, out)) {
        tell_unused(k, k->key, "is damaged", &out->notes[0]);
    }
    if (out->counts && found.is_aging) {
        renew_all(k, o);
    }
done:
    sm_buf_release(&found.bytes);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_count(const sm_rule_count *c, sm_json_writer *w)
{
    char measure[SM_F64_TEXT_BYTES];

    snprintf(measure, sizeof(measure), "%.17g", isnan(c->measure) ? (double)NAN : c->measure);
    sm_json_begin_object(w);
    sm_json_set_i64(w, "rows", c->n_rows);
    sm_json_set_i64(w, "broken", c->n_broken);
    sm_json_set_text(w, "measure", sm_str_of(measure));
    if (c->worst.data) {
        sm_json_set_text(w, "worst", c->worst);
    }
    sm_json_set_i64(w, "worst_rows", c->worst_rows);
    sm_json_set_i64(w, "worst_broken", c->worst_broken);
    sm_json_set_text(w, "detail", c->detail);
    sm_json_set_array(w, "examples");
    for (int32_t i = 0; i < c->n_examples; i++) {
        sm_json_put_text(w, c->examples[i]);
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

static sm_status put_source(const smi_kept *k, const smi_source *s, sm_json_writer *w, sm_error *e)
{
    sm_str state = {0};

    SM_TRY(state_of(s->snapshot, k->a, &state, e));
    sm_json_begin_object(w);
    sm_json_set_text(w, "kind", sm_str_of(kinds[s->kind]));
    sm_json_set_array(w, "parts");
    for (int32_t i = 0; i < s->n_parts; i++) {
        sm_json_put_text(w, s->parts[i]);
    }
    sm_json_end_array(w);
    sm_json_set_text(w, "state", state);
    sm_json_end_object(w);
    return SM_OK;
}

static sm_status print_body(smi_kept *k, const smi_kept_counts *counts, sm_buf *out, sm_error *e)
{
    sm_json_writer w = {.out = out};

    SM_TRY(find_state(k, e));
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "time", counts->time_us);
    sm_json_set_text(&w, "state", k->state);
    sm_json_set_array(&w, "sources");
    for (int64_t i = 0; i < k->n_sources; i++) {
        SM_TRY(put_source(k, &k->sources[i], &w, e));
    }
    sm_json_end_array(&w);
    sm_json_set_array(&w, "keys");
    for (int64_t i = 0; i < k->n_keys; i++) {
        sm_json_put_text(&w, k->keys[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "rows", counts->n_rows);
    sm_json_set_array(&w, "rules");
    for (int64_t i = 0; i < k->in->table->n_rules; i++) {
        put_count(&counts->counts[i], &w);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    return SM_OK;
}

static sm_status put_object(const smi_kept *k, sm_str key, sm_str body, sm_error *e)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    if (body.len > SMI_KEPT_BYTES / 2) { /* examples of very long texts */
        return sm_fail(e, SM_LIMIT, "it has over %d MiB", (int)(SMI_KEPT_BYTES >> 21));
    }
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "format", FORMAT);
    sm_json_set_text(&w, "smelt", SM_STR(SMELT_VERSION));
    sm_json_set_i64(&w, "written", sm_now_us());
    sm_json_set_text(&w, "hash", smi_kept_hash(body, k->a));
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    sm_buf_text(&text, body);
    const sm_status st =
        sm_store_put(sm_snapshot_store(k->table), key, text.data, text.len, SM_PUT_REPLACE, e);
    sm_buf_release(&text);
    return st;
}

void smi_kept_replace(const smi_kept *k, sm_str key, sm_str body, sm_str *note)
{
    sm_error why = {0};

    if (put_object(k, key, body, &why) != SM_OK) {
        tell(k, key, "could not be kept at", sm_arena_printf(k->a, "(%s)", why.what), note);
    }
}

sm_status smi_kept_put(smi_kept *k, smi_kept_counts *counts, sm_error *e)
{
    sm_buf body = {0};

    if (!k->rows || k->is_open) {
        return SM_OK;
    }
    SM_ASSERT(counts->counts && k->key.len > 0);
    const sm_status st = print_body(k, counts, &body, e);
    if (st == SM_OK) {
        smi_kept_replace(k, k->key, sm_buf_str(&body), &counts->notes[1]);
    }
    sm_buf_release(&body);
    return st;
}
