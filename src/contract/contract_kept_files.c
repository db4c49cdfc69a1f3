/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_kept_files.c: keeps what row rules have counted in each data file of a table,
 * so that a check evaluates them only over files that are new. Called by contract_check.c where no
 * whole verdict holds (contract_kept.c).
 *
 * Object    TABLE/_smelt/verdicts/HASH.files; HASH is of the id of the contract and the name of its
 *           table, so that an edited contract finds it. Behind line 1 (contract_kept.c):
 *             a line   {"table": hash of columns and properties, "rules": [{"hash", "examples":
 *                      [file, row, …]}], "files": n}
 *             n times  16 bytes, the file's hash; then as LEB128: rows, number of rules that are
 *                      broken, and of each its place in "rules" and how many rows break it
 * Method    1 The log is listed: which files are known, and with the same rows.
 *           2 One scan over the others; behind it a sink that counts FALSE, batch by batch, since a
 *             batch is of one file. Where a rule is new, one more scan over the known files.
 *           3 The first ten rows that break a rule lie in at most ten files, and how many in each
 *             is known. What is not kept of them is read from these files alone.
 * Rules     are known by a hash of their bound expression and of what examples show, so that an
 *           edited rule does not spoil the others. Another schema, or other properties, of the
 *           table spoil all.
 * Size      some 20 bytes a file, and ten examples a rule: 2 MB for 100,000 files.
 * Writers   at the same time: the object is replaced whole, the last one stays. */
#include "contract/contract_kept_int.h"

#include <string.h>

#include "base/hash.h"
#include "base/json_doc.h"
#include "base/text.h"

#define ID_BYTES     sizeof(sm_hash128)
#define VARINT_BYTES 10

typedef struct broken {
    int32_t rule;
    int64_t n_rows;
} broken;

typedef struct counted_file {
    sm_hash128 id;
    uint64_t size_bytes;
    int64_t n_rows;
    broken *broken; /* rules that rows of it break, in no order */
    int64_t n_broken, cap_broken;
    const sm_delta_file *file; /* a copy; NULL: it was not needed so far */
    bool is_known;             /* its counts were kept */
    bool is_wanted;            /* a copy is needed */
} counted_file;

typedef struct example {
    sm_hash128 file;
    sm_str row;
} example;

typedef struct counted_rule {
    sm_str hash;
    example examples[SM_RULE_EXAMPLES];
    int32_t n_examples;
    int32_t kept; /* its place among the rules that were kept; −1: it is new */
} counted_rule;

struct smi_kept_files {
    smi_kept *k;
    sm_arena *a;
    sm_str metadata;
    sm_hash128 found; /* the hash of the body that was found … */
    bool is_aging;    /* … and is to be written again */

    counted_rule *old_rules; /* as they were kept */
    int32_t n_old_rules;
    sm_map *old_files; /* by their hashes: the bytes behind these */

    counted_rule *rules;
    int32_t n_rules;
    counted_file *files; /* of the table, in their order */
    int64_t n_files, cap_files;
};
typedef smi_kept_files kept_files;

/* ---- bytes ----------------------------------------------------------------------------------- */

void smi_put_varint(sm_buf *out, uint64_t v)
{
    char bytes[VARINT_BYTES];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) {
        bytes[n++] = (char)(v | 0x80);
    }
    bytes[n++] = (char)v;
    sm_buf_text(out, (sm_str){bytes, n});
}

bool smi_take_varint(sm_str *in, int64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < in->len && i < VARINT_BYTES - 1; i++) {
        const uint8_t byte = (uint8_t)in->data[i];
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *in = (sm_str){in->data + i + 1, in->len - i - 1};
            *out = (int64_t)v;
            return true;
        }
    }
    return false;
}

static sm_str id_str(const sm_hash128 *id)
{
    return (sm_str){(const char *)id, ID_BYTES};
}

static bool parse_id(sm_str hex, sm_hash128 *out)
{
    uint64_t words[2] = {0};

    for (size_t i = 0; i < hex.len; i++) {
        const char c = hex.data[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || i == 2 * ID_BYTES) {
            return false;
        }
        words[i / ID_BYTES] = words[i / ID_BYTES] << 4 | (uint64_t)digit;
    }
    *out = (sm_hash128){.high = words[0], .low = words[1]};
    return hex.len == 2 * ID_BYTES;
}

/* ---- what a rule is -------------------------------------------------------------------------- */

/* With its length, so that what follows cannot be taken for a part of it. */
static void put_part(sm_buf *out, sm_str text)
{
    sm_buf_printf(out, "%zu:", text.len);
    sm_buf_text(out, text);
}

static void put_value(sm_buf *out, sm_value v)
{
    sm_buf text = {0};

    sm_value_print(v, &text);
    sm_buf_text(out, v.is_null ? SM_STR("null") : SM_STR("value"));
    put_part(out, sm_buf_str(&text));
    sm_buf_release(&text);
}

void smi_put_expr(sm_buf *out, const sm_expr *x, const sm_type *schema)
{
    sm_buf type = {0};

    sm_type_print(x->type, &type);
    put_part(out, sm_buf_str(&type));
    sm_buf_release(&type);
    sm_buf_printf(out, "%d,%d,%d;", (int)x->kind, x->kind == SM_EXPR_FIELD ? (int)x->index : 0,
                  (int)x->is_try);
    if (x->kind == SM_EXPR_COLUMN) {
        put_part(out, schema->fields[x->index].name);
    } else if (x->kind == SM_EXPR_CONST) {
        put_value(out, x->value);
    } else if (x->kind == SM_EXPR_CALL) {
        put_part(out, sm_str_of(x->fn->name));
        put_part(out, sm_str_of(x->fn->signature));
    }
    sm_buf_printf(out, "%d(", (int)x->n_args);
    for (int32_t i = 0; i < x->n_args; i++) {
        smi_put_expr(out, x->args[i], schema);
    }
}

/* What it counts, and what its examples show. */
static sm_str rule_hash(smi_audit *u, const sm_bound_rule *b, sm_arena *a)
{
    const sm_type *schema = u->in->rows->schema;
    const smi_picks p = smi_audit_picks(u, b);
    sm_buf text = {0};

    smi_put_expr(&text, b->holds, schema);
    for (int32_t i = 0; i < p.n; i++) {
        put_part(&text, p.names[i]);
        smi_put_expr(&text, p.exprs[i], schema);
    }
    const sm_str out = smi_kept_hash(sm_buf_str(&text), a);
    sm_buf_release(&text);
    return out;
}

/* ---- what was kept --------------------------------------------------------------------------- */

static bool read_rule(const sm_json *o, counted_rule *out)
{
    const sm_json *examples = sm_json_get(o, "examples");

    out->hash = sm_json_text(sm_json_get(o, "hash"));
    for (const sm_json *x = examples ? examples->child : NULL; x; x = x->next->next) {
        if (!x->next || out->n_examples == SM_RULE_EXAMPLES) {
            return false;
        }
        example *to = &out->examples[out->n_examples++];
        to->row = sm_json_text(x->next);
        if (!parse_id(sm_json_text(x), &to->file)) {
            return false;
        }
    }
    return true;
}

static bool read_rules(kept_files *f, const sm_json *o)
{
    const sm_json *rules = sm_json_get(o, "rules");

    if (!rules || rules->type != SM_JSON_ARRAY || rules->n_children > INT32_MAX) {
        return false;
    }
    f->old_rules = SM_NEW_ARRAY(f->a, counted_rule, rules->n_children + 1);
    for (const sm_json *r = rules->child; r; r = r->next) {
        if (!read_rule(r, &f->old_rules[f->n_old_rules++])) {
            return false;
        }
    }
    return true;
}

/* Takes what stands behind a file's hash. `to` NULL: only looks whether it is whole. */
static bool take_counts(const kept_files *f, sm_str *in, counted_file *to, const int32_t *places)
{
    int64_t n_rows = 0, n = 0;

    if (!smi_take_varint(in, &n_rows) || !smi_take_varint(in, &n) || n > f->n_old_rules) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        broken b = {0};
        int64_t rule = 0;
        if (!smi_take_varint(in, &rule) || rule >= f->n_old_rules ||
            !smi_take_varint(in, &b.n_rows)) {
            return false;
        }
        b.rule = to ? places[rule] : -1;
        if (b.rule >= 0) {
            to->broken = sm_arena_grow(f->a, to->broken, to->n_broken, &to->cap_broken, sizeof(b));
            to->broken[to->n_broken++] = b;
        }
    }
    if (to) {
        to->n_rows = n_rows;
    }
    return true;
}

static bool read_files(kept_files *f, sm_str in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (in.len < ID_BYTES) {
            return false;
        }
        const sm_str id = {in.data, ID_BYTES};
        in = (sm_str){in.data + ID_BYTES, in.len - ID_BYTES};
        *sm_map_at(f->old_files, id) = (void *)in.data;
        if (!take_counts(f, &in, NULL, NULL)) {
            return false;
        }
    }
    return in.len == 0;
}

static bool read_body(kept_files *f, sm_str body)
{
    const char *end = memchr(body.data, '\n', body.len);
    const size_t n_head = end ? (size_t)(end - body.data) : 0;
    const sm_json *o = NULL;
    int64_t n = 0;

    if (!end || sm_json_parse((sm_str){body.data, n_head}, f->a, &o, NULL) != SM_OK) {
        return false;
    }
    if (!sm_str_eq(sm_json_text(sm_json_get(o, "table")), f->metadata)) {
        return true; /* what was counted is of other columns */
    }
    const sm_str rest = {end + 1, body.len - n_head - 1};
    return read_rules(f, o) && sm_json_i64(sm_json_get(o, "files"), &n) && read_files(f, rest, n);
}

/* Finds what was kept, if something was. It lives in `found`. */
static void find(kept_files *f, smi_kept_object *found, sm_str *note)
{
    smi_kept_get(f->k, f->k->files_key, found, note);
    if (found->body.len == 0) {
        return;
    }
    f->found = sm_hash128_of(found->body.data, found->body.len, 0);
    f->is_aging = found->is_aging;
    if (!read_body(f, found->body)) { /* with the right hash: somebody has written it like that */
        f->n_old_rules = 0;
        f->old_files = sm_map_new(f->a);
    }
}

/* Gives each of the rules its place among those that were kept. */
static void match_rules(kept_files *f, smi_audit *u, const sm_bound_rule *rules, int32_t *places)
{
    for (int32_t i = 0; i < f->n_old_rules; i++) {
        places[i] = -1;
    }
    for (int32_t r = 0; r < f->n_rules; r++) {
        f->rules[r] = (counted_rule){.hash = rule_hash(u, &rules[r], f->a), .kept = -1};
        for (int32_t i = 0; i < f->n_old_rules; i++) {
            /* of two rules that say the same, each has one of its own */
            if (places[i] < 0 && f->rules[r].kept < 0 &&
                sm_str_eq(f->old_rules[i].hash, f->rules[r].hash)) {
                places[i] = r;
                f->rules[r].kept = i;
            }
        }
    }
}

/* ---- the files of the table ------------------------------------------------------------------ */

typedef struct listing {
    kept_files *f;
    const int32_t *places; /* of the rules that were kept */
    int64_t at;
} listing;

static void begin_listing(void *ctx)
{
    listing *l = ctx;

    l->at = 0;
}

static const sm_delta_file *copy_of(const kept_files *f, const sm_delta_file *file)
{
    sm_delta_file *copy = SM_NEW(f->a, sm_delta_file), brief = *file;

    brief.stats_json = SM_STR(""); /* all rows of it are read */
    *copy = sm_delta_file_copy(f->k->table, &brief, f->a);
    return copy;
}

/* sm_delta_sink.file: the next file, with what was kept of it */
static sm_status list_file(void *ctx, const sm_delta_file *file, sm_error *e)
{
    listing *l = ctx;
    kept_files *f = l->f;

    (void)e;
    f->n_files = l->at;
    f->files = sm_arena_grow(f->a, f->files, f->n_files, &f->cap_files, sizeof(*f->files));
    counted_file *to = &f->files[f->n_files++];
    *to = (counted_file){.id = smi_kept_file(file), .size_bytes = file->size_bytes};
    const char *kept = sm_map_get(f->old_files, id_str(&to->id));
    if (kept) { /* read_files() has seen that it is whole */
        sm_str in = {kept, SIZE_MAX / 2};
        to->is_known = take_counts(f, &in, to, l->places);
    }
    to->file = to->is_known ? NULL : copy_of(f, file);
    l->at = f->n_files;
    return SM_OK;
}

/* sm_delta_sink.file: copies it where it is wanted */
static sm_status copy_file(void *ctx, const sm_delta_file *file, sm_error *e)
{
    listing *l = ctx;
    counted_file *to = &l->f->files[l->at++];

    (void)e;
    if (to->is_wanted && !to->file) {
        to->file = copy_of(l->f, file);
    }
    return SM_OK;
}

sm_status smi_files_rows(kept_files *f, const int64_t *at, int64_t n, const sm_plan_node **out,
                         sm_error *e)
{
    sm_delta_file *files = SM_NEW_ARRAY(f->a, sm_delta_file, n + 1);
    listing l = {.f = f};
    bool is_any = false;

    for (int64_t i = 0; i < n; i++) {
        f->files[at[i]].is_wanted = true;
        is_any = is_any || !f->files[at[i]].file;
    }
    if (is_any) {
        const sm_delta_sink to = {.begin = begin_listing, .file = copy_file, .ctx = &l};
        SM_TRY(sm_snapshot_each(f->k->table, NULL, &to, e));
    }
    for (int64_t i = 0; i < n; i++) {
        files[i] = *f->files[at[i]].file;
    }
    return sm_names_file_rows(f->k->tables, f->k->table, files, n, f->k->in->uri, out, e);
}

int64_t smi_files_n(const kept_files *f)
{
    return f->n_files;
}

const sm_hash128 *smi_files_id(const kept_files *f, int64_t i)
{
    return &f->files[i].id;
}

int64_t smi_files_rows_in(const kept_files *f, int64_t i)
{
    return f->files[i].n_rows;
}

uint64_t smi_files_bytes(const kept_files *f, int64_t i)
{
    return f->files[i].size_bytes;
}

sm_str smi_files_table(const kept_files *f)
{
    return f->metadata;
}

/* ---- counting -------------------------------------------------------------------------------- */

typedef struct counting {
    kept_files *f;
    const int64_t *at; /* the files that are read */
    const int32_t *rules;
    int32_t n_rules;
    bool counts_rows;
} counting;

/* How many rows of a BOOLEAN column are FALSE. */
static int64_t count_false(const sm_column *c, int64_t n_rows)
{
    const uint8_t *bits = c->values;
    int64_t n = 0, i = 0;

    if (c->layout == SM_CONST) {
        return n_rows > 0 && !sm_column_is_null(c, 0) && !sm_column_value(c, 0).as.b ? n_rows : 0;
    }
    for (; c->layout == SM_FLAT && i + 8 <= n_rows; i += 8) {
        const unsigned is_false = ~(unsigned)bits[i / 8] & 0xff;
        n += __builtin_popcount(c->validity ? is_false & c->validity[i / 8] : is_false);
    }
    for (; i < n_rows; i++) {
        n += !sm_column_is_null(c, i) && !sm_column_value(c, i).as.b;
    }
    return n;
}

static void add_broken(kept_files *f, counted_file *to, int32_t rule, int64_t n_rows)
{
    for (int64_t i = 0; i < to->n_broken; i++) {
        if (to->broken[i].rule == rule) {
            to->broken[i].n_rows += n_rows;
            return;
        }
    }
    to->broken = sm_arena_grow(f->a, to->broken, to->n_broken, &to->cap_broken, sizeof(broken));
    to->broken[to->n_broken++] = (broken){rule, n_rows};
}

/* Sink: the place of the file, then whether the rules hold. */
static sm_status take_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const counting *c = ctx;

    (void)waker;
    if (rows->n_rows == 0) {
        return SM_OK;
    }
    const int64_t file = sm_column_value(&rows->columns[0], 0).as.i;
    SM_ENSURE(sm_column_value(&rows->columns[0], rows->n_rows - 1).as.i == file);
    counted_file *to = &c->f->files[c->at[file]];
    to->n_rows += c->counts_rows ? rows->n_rows : 0;
    for (int32_t i = 0; i < c->n_rules; i++) {
        const int64_t n = count_false(&rows->columns[i + 1], rows->n_rows);
        if (n > 0) {
            add_broken(c->f, to, c->rules[i], n);
        }
    }
    return SM_OK;
}

static sm_status count_files(counting *c, smi_audit *u, const sm_bound_rule *rules, int64_t n_files,
                             sm_error *e)
{
    sm_arena *a = c->f->a;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, c->n_rules + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, c->n_rules + 1);
    const sm_sink sink = {.ctx = c, .push = take_rows};
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    SM_TRY(smi_files_rows(c->f, c->at, n_files, &rows, e));
    exprs[0] = sm_expr_column(rows->schema, rows->schema->n_fields - 1, a);
    names[0] = SM_STR("file");
    for (int32_t i = 0; i < c->n_rules; i++) {
        exprs[i + 1] = rules[c->rules[i]].holds;
        names[i + 1] = rules[c->rules[i]].rule->name;
    }
    rows = sm_plan_project(rows, exprs, names, c->n_rules + 1, a);
    SM_TRY(sm_plan_finish(rows, a, &plan, e));
    return sm_exec_run(plan, u->in->env, &sink, NULL, NULL, e);
}

/* Counts all rules over files that are new, or over the others the rules that are new. */
static sm_status count_some(kept_files *f, smi_audit *u, const sm_bound_rule *rules, bool of_known,
                            sm_error *e)
{
    int64_t *at = SM_NEW_ARRAY(f->a, int64_t, f->n_files + 1), n_files = 0;
    int32_t *which = SM_NEW_ARRAY(f->a, int32_t, f->n_rules + 1), n_rules = 0;

    for (int64_t i = 0; i < f->n_files; i++) {
        if (f->files[i].is_known == of_known) {
            at[n_files++] = i;
        }
    }
    for (int32_t i = 0; i < f->n_rules; i++) {
        if (!of_known || f->rules[i].kept < 0) {
            which[n_rules++] = i;
        }
    }
    if (n_files == 0 || (of_known && n_rules == 0)) {
        return SM_OK;
    }
    counting c = {.f = f, .at = at, .rules = which, .n_rules = n_rules, .counts_rows = !of_known};
    return count_files(&c, u, rules, n_files, e);
}

/* ---- examples -------------------------------------------------------------------------------- */

/* The first rows that break a rule lie in these files. */
typedef struct segment {
    int64_t at;     /* of the file */
    int64_t n;      /* rows of it that are shown */
    int32_t n_kept; /* of them, first ones that were kept … */
    int32_t first;  /* … from here on among those of the rule */
} segment;

static int64_t broken_in(const counted_file *file, int32_t rule)
{
    for (int64_t i = 0; i < file->n_broken; i++) {
        if (file->broken[i].rule == rule) {
            return file->broken[i].n_rows;
        }
    }
    return 0;
}

static void find_kept(const counted_rule *old, const sm_hash128 *id, segment *s)
{
    for (int32_t i = 0; i < old->n_examples && s->n_kept < s->n; i++) {
        if (memcmp(&old->examples[i].file, id, ID_BYTES) == 0) {
            s->first = s->n_kept == 0 ? i : s->first;
            s->n_kept++;
        }
    }
}

static int32_t find_segments(const kept_files *f, int32_t rule, segment *out)
{
    const int32_t kept = f->rules[rule].kept;
    int64_t left = SM_RULE_EXAMPLES;
    int32_t n = 0;

    for (int64_t i = 0; i < f->n_files && left > 0; i++) {
        const int64_t n_broken = broken_in(&f->files[i], rule);
        if (n_broken > 0) {
            out[n] = (segment){.at = i, .n = n_broken < left ? n_broken : left};
            if (kept >= 0) {
                find_kept(&f->old_rules[kept], &f->files[i].id, &out[n]);
            }
            left -= out[n++].n;
        }
    }
    return n;
}

/* Reads the rows of those segments that are not kept whole. */
static sm_status read_segments(kept_files *f, smi_audit *u, const sm_bound_rule *b,
                               const segment *segments, int32_t n, sm_rule_count *out, sm_error *e)
{
    int64_t at[SM_RULE_EXAMPLES];
    int64_t n_files = 0, n_rows = 0;
    const sm_plan_node *rows = NULL;

    for (int32_t i = 0; i < n; i++) {
        if (segments[i].n_kept < segments[i].n) {
            at[n_files++] = segments[i].at;
            n_rows += segments[i].n;
        }
    }
    if (n_files == 0 || smi_audit_picks(u, b).n == 0) { /* no row says why a constant is FALSE */
        return SM_OK;
    }
    /* Of each file but the last all rows are shown that break the rule. */
    SM_TRY(smi_files_rows(f, at, n_files, &rows, e));
    return smi_audit_show_first(u, b, rows, (int32_t)n_rows, out, e);
}

static void add_example(kept_files *f, int32_t rule, const segment *s, sm_str row,
                        sm_rule_count *out)
{
    counted_rule *r = &f->rules[rule];

    SM_ASSERT(out->n_examples < SM_RULE_EXAMPLES && r->n_examples == out->n_examples);
    out->examples[out->n_examples++] = row;
    r->examples[r->n_examples++] = (example){f->files[s->at].id, row};
}

static sm_status show(kept_files *f, smi_audit *u, const sm_bound_rule *b, int32_t rule,
                      sm_rule_count *out, sm_error *e)
{
    segment segments[SM_RULE_EXAMPLES];
    const int32_t n = find_segments(f, rule, segments);
    sm_rule_count read = {0};
    int32_t next = 0;

    SM_TRY(read_segments(f, u, b, segments, n, &read, e));
    out->examples = SM_NEW_ARRAY(f->a, sm_str, SM_RULE_EXAMPLES);
    for (int32_t i = 0; i < n; i++) {
        const segment *s = &segments[i];
        const bool is_kept = s->n_kept == s->n;
        for (int32_t k = 0; k < s->n && (is_kept || next < read.n_examples); k++) {
            add_example(f, rule, s,
                        is_kept ? f->old_rules[f->rules[rule].kept].examples[s->first + k].row
                                : read.examples[next++],
                        out);
        }
    }
    return SM_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static sm_status sum_up(kept_files *f, smi_audit *u, const sm_bound_rule *rules, sm_error *e)
{
    int64_t *sums = SM_NEW_ARRAY(f->a, int64_t, f->n_rules + 1);

    u->n_rows = 0;
    for (int64_t i = 0; i < f->n_files; i++) {
        u->n_rows += f->files[i].n_rows;
        for (int64_t k = 0; k < f->files[i].n_broken; k++) {
            sums[f->files[i].broken[k].rule] += f->files[i].broken[k].n_rows;
        }
    }
    for (int32_t r = 0; r < f->n_rules; r++) {
        sm_rule_count *out = &u->counts[rules[r].rule - u->in->table->rules];
        *out = (sm_rule_count){.n_rows = u->n_rows, .n_broken = sums[r]};
        SM_TRY(sums[r] > 0 ? show(f, u, &rules[r], r, out, e) : SM_OK);
    }
    return SM_OK;
}

static kept_files *files_new(smi_kept *k, int64_t n_rules)
{
    kept_files *f = SM_NEW(k->a, kept_files);

    *f = (kept_files){.k = k,
                      .a = k->a,
                      .old_files = sm_map_new(k->a),
                      .rules = SM_NEW_ARRAY(k->a, counted_rule, n_rules + 1),
                      .n_rules = (int32_t)n_rules};
    return f;
}

/* Lists the files of the table, with what was kept of them. */
static sm_status list_files(kept_files *f, smi_audit *u, const sm_bound_rule *rules, sm_str *note,
                            sm_error *e)
{
    smi_kept_object found = {0};

    SM_TRY(smi_kept_metadata(f->k->table, f->a, &f->metadata, e));
    find(f, &found, note);
    int32_t *places = SM_NEW_ARRAY(f->a, int32_t, f->n_old_rules + 1);
    match_rules(f, u, rules, places);
    listing l = {.f = f, .places = places};
    const sm_delta_sink to = {.begin = begin_listing, .file = list_file, .ctx = &l};
    const sm_status st = sm_snapshot_each(f->k->table, NULL, &to, e);
    f->n_files = l.at;
    sm_buf_release(&found.bytes);
    return st;
}

sm_status smi_files_count(smi_kept *k, smi_audit *u, const sm_bound_rule *rules, int64_t n,
                          kept_files **out, sm_str *note, sm_error *e)
{
    kept_files *f = files_new(k, n);

    SM_TRY(list_files(f, u, rules, note, e));
    SM_TRY(count_some(f, u, rules, false, e));
    SM_TRY(count_some(f, u, rules, true, e));
    SM_TRY(sum_up(f, u, rules, e));
    *out = f;
    return SM_OK;
}

/* ---- files that were judged as they were written --------------------------------------------- */

static bool is_new_rule(const kept_files *f)
{
    for (int32_t i = 0; i < f->n_rules; i++) {
        if (f->rules[i].kept < 0) {
            return true;
        }
    }
    return false;
}

/* Leaves only files whose counts are known, and the examples of rules that were kept. */
static void leave_known(kept_files *f)
{
    int64_t n = 0;

    for (int64_t i = 0; i < f->n_files; i++) {
        if (f->files[i].is_known) {
            f->files[n++] = f->files[i];
        }
    }
    f->n_files = n;
    for (int32_t i = 0; i < f->n_rules; i++) {
        counted_rule *r = &f->rules[i];
        if (r->kept >= 0) {
            const counted_rule *old = &f->old_rules[r->kept];
            memcpy(r->examples, old->examples, sizeof(r->examples));
            r->n_examples = old->n_examples;
        }
    }
}

sm_status smi_files_written(smi_kept *k, smi_audit *u, const sm_bound_rule *rules, int64_t n,
                            const sm_delta_add *added, int64_t n_added, kept_files **out,
                            bool *is_all, int64_t *n_rows, sm_str *note, sm_error *e)
{
    kept_files *f = files_new(k, n);
    sm_map *by_key = sm_map_new(k->a);
    int64_t n_here = 0, n_old = 0;

    *out = NULL;
    *n_rows = 0;
    for (int64_t i = 0; i < n_added; i++) {
        *sm_map_at(by_key, added[i].key) = (void *)&added[i];
    }
    SM_TRY(list_files(f, u, rules, note, e));
    for (int64_t i = 0; i < f->n_files; i++) {
        counted_file *to = &f->files[i];
        const sm_delta_add *one = to->file ? sm_map_get(by_key, to->file->key) : NULL;
        n_old += to->is_known;
        if (one && !to->file->dv && one->n_rows >= 0) {
            to->is_known = true;
            to->n_rows = one->n_rows;
            *n_rows += one->n_rows;
            n_here++;
        }
    }
    *is_all = n_here == f->n_files;
    if (n_here > 0 && !(n_old > 0 && is_new_rule(f))) {
        leave_known(f);
        *out = f;
    }
    return SM_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void print_head(const kept_files *f, sm_buf *out)
{
    sm_json_writer w = {.out = out};
    char hex[2 * ID_BYTES + 1];

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "table", f->metadata);
    sm_json_set_array(&w, "rules");
    for (int32_t r = 0; r < f->n_rules; r++) {
        const counted_rule *rule = &f->rules[r];
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "hash", rule->hash);
        sm_json_set_array(&w, "examples");
        for (int32_t i = 0; i < rule->n_examples; i++) {
            sm_hash128_hex(rule->examples[i].file, hex);
            sm_json_put_text(&w, sm_str_of(hex));
            sm_json_put_text(&w, rule->examples[i].row);
        }
        sm_json_end_array(&w);
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "files", f->n_files);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
}

static void print_body(const kept_files *f, sm_buf *out)
{
    print_head(f, out);
    for (int64_t i = 0; i < f->n_files; i++) {
        const counted_file *file = &f->files[i];
        sm_buf_text(out, id_str(&file->id));
        smi_put_varint(out, (uint64_t)file->n_rows);
        smi_put_varint(out, (uint64_t)file->n_broken);
        for (int64_t k = 0; k < file->n_broken; k++) {
            smi_put_varint(out, (uint64_t)file->broken[k].rule);
            smi_put_varint(out, (uint64_t)file->broken[k].n_rows);
        }
    }
}

void smi_files_put(kept_files *f, sm_str *note)
{
    sm_buf body = {0};

    if (!f) {
        return;
    }
    print_body(f, &body);
    const sm_hash128 hash = sm_hash128_of(body.data, body.len, 0);
    const bool is_found = memcmp(&hash, &f->found, ID_BYTES) == 0;
    if (!is_found || f->is_aging) {
        smi_kept_replace(f->k, f->k->files_key, sm_buf_str(&body), note);
    }
    sm_buf_release(&body);
}
