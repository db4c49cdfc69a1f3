/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_named.c: which files the log names beside the live ones, where deletion vectors lie,
 * for how long the table keeps what it removed, and how large it wants its files. Called by vacuum
 * (table_vacuum.c) and optimize (table_optimize.c).
 *
 * Removed   A checkpoint forgets removed files after a while, and writers differ in when. So all
 *           commits that the log still has are read too.
 * Changes   A file of changed rows counts as removed by the commit that names it.
 * Source    PROTOCOL.md, "Action Reconciliation", "Table Properties" */
#include "base/text.h"
#include "delta/delta_int.h"

#define DAY_US         ((int64_t)86400 * 1000000)
#define RETENTION_DAYS 7 /* PROTOCOL.md: of delta.deletedFileRetentionDuration */

/* ---- files that commits name ----------------------------------------------------------------- */

/* What is gathered; it lives in `arena`, while the commit's own texts end before. */
typedef struct names {
    sm_arena *arena;
    bool removes_only;
    int64_t commit_ms; /* the time of the commit that is read */
    int64_t begins_at; /* of the names that the checkpoint lists */
    sm_delta_named *items;
    int64_t n, cap;
} names;

static void add_name(names *k, sm_str path, int64_t deleted_ms, const sm_delta_dv *dv)
{
    SM_ASSERT(path.len > 0 && deleted_ms >= -1);
    sm_delta_named item = {.path = sm_arena_str(k->arena, path), .deleted_ms = deleted_ms};

    if (dv) {
        sm_delta_dv *copy = SM_NEW(k->arena, sm_delta_dv);
        *copy = *dv;
        copy->storage_type = sm_arena_str(k->arena, dv->storage_type);
        copy->path_or_inline = sm_arena_str(k->arena, dv->path_or_inline);
        copy->relative = (sm_str){0};
        item.dv = copy;
    }
    k->items = sm_arena_grow(k->arena, k->items, k->n, &k->cap, sizeof(*k->items));
    k->items[k->n++] = item;
}

static sm_status take_names(void *ctx, const smi_action *action, sm_error *e)
{
    names *k = ctx;

    (void)e;
    if (action->kind == SMI_ACTION_REMOVE) {
        const int64_t said_ms = action->modified_ms;
        add_name(k, action->path, said_ms > 0 ? said_ms : k->commit_ms, action->dv);
    } else if (action->kind == SMI_ACTION_CDC) { /* no version has it, once its commit is made */
        add_name(k, action->path, k->removes_only ? k->commit_ms : -1, NULL);
    } else if (action->kind == SMI_ACTION_ADD && !k->removes_only) {
        add_name(k, action->path, -1, action->dv);
    }
    return SM_OK;
}

static void begin_names(void *ctx)
{
    names *k = ctx;

    k->n = k->begins_at;
}

static sm_status read_commits(const sm_snapshot *s, const sm_entry *entries, int64_t n, names *k,
                              int64_t *n_read, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const smi_log_entry entry = smi_log_entry_of(entries[i].key);
        if (entry.kind != SMI_ENTRY_COMMIT || entry.version > s->version) {
            continue;
        }
        SM_TRY(sm_check_cancel(s->budget, e));
        SM_TRY(sm_budget_take(s->budget, 0, e)); /* refused where the names so far exceed it */
        sm_arena *scratch = sm_arena_new(s->budget);
        k->commit_ms = entries[i].modified_us > 0 ? entries[i].modified_us / 1000 : 0;
        const smi_log_reading what = {
            .arena = scratch, .budget = s->budget, .each = take_names, .ctx = k};
        const sm_status st = smi_commit_read(s->store, entry.version, &what, e);
        sm_arena_free(scratch);
        if (st != SM_NOT_FOUND) { /* else the log was cleaned up since it was listed */
            SM_TRY(st);
            (*n_read)++;
        }
    }
    return SM_OK;
}

sm_status sm_delta_removed_files(const sm_snapshot *s, sm_arena *a, sm_delta_named **out,
                                 int64_t *n, bool *is_whole, sm_error *e)
{
    names k = {.arena = a, .removes_only = true};
    sm_entry *entries = NULL;
    int64_t n_entries = 0, n_read = 0;

    SM_TRY(sm_store_list(s->store, SM_STR(SMI_LOG), true, a, &entries, &n_entries, e));
    SM_TRY(read_commits(s, entries, n_entries, &k, &n_read, e));
    k.commit_ms = 0;
    k.begins_at = k.n;
    SM_TRY(smi_removes_each(
        s, (smi_action_sink){.begin = begin_names, .each = take_names, .ctx = &k}, e));
    SM_ASSERT(n_read <= s->version + 1);
    *out = k.items;
    *n = k.n;
    *is_whole = n_read == s->version + 1;
    return SM_OK;
}

sm_status sm_delta_prepared_files(const sm_delta_prepared *c, sm_arena *a, sm_delta_named **out,
                                  int64_t *n, sm_error *e)
{
    names k = {.arena = a};

    SM_TRY(smi_log_lines(c->text, a, take_names, &k, e));
    *out = k.items;
    *n = k.n;
    return SM_OK;
}

/* ---- where they lie -------------------------------------------------------------------------- */

sm_str sm_delta_path_key(const sm_snapshot *s, sm_str path, sm_arena *a)
{
    sm_error unused = {0};
    sm_str key = {0};
    bool is_outside = false;

    const sm_status st = smi_path_key(&s->home, path, a, &key, &is_outside, &unused);
    return st == SM_OK && !is_outside ? sm_arena_str(a, key) : SM_STR("");
}

sm_str sm_delta_dv_key(const sm_delta_dv *dv, sm_arena *a, sm_str *absolute)
{
    sm_str key = {0};
    sm_error unused = {0};
    bool is_outside = false;

    *absolute = SM_STR("");
    if (sm_str_is(dv->storage_type, "p")) {
        *absolute = dv->path_or_inline;
    } else if (sm_str_is(dv->storage_type, "u") &&
               smi_vector_key(dv->path_or_inline, a, &key, &is_outside, &unused) == SM_OK &&
               !is_outside) {
        SM_ASSERT(key.len > 0);
        return key;
    }
    return SM_STR("");
}

/* ---- for how long ---------------------------------------------------------------------------- */

/* The next word of the text, which loses it; "" at its end. */
static sm_str take_word(sm_str *text)
{
    while (text->len > 0 && text->data[0] == ' ') {
        *text = (sm_str){text->data + 1, text->len - 1};
    }
    size_t n = 0;
    while (n < text->len && text->data[n] != ' ') {
        n++;
    }
    const sm_str word = {text->data, n};
    *text = (sm_str){text->data + n, text->len - n};
    return word;
}

static int64_t unit_us(sm_str word)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {
        {"week", 7 * DAY_US},      {"day", DAY_US},     {"hour", DAY_US / 24},
        {"minute", DAY_US / 1440}, {"second", 1000000}, {"millisecond", 1000},
        {"microsecond", 1},
    };

    if (word.len > 1 && (word.data[word.len - 1] == 's' || word.data[word.len - 1] == 'S')) {
        word.len--;
    }
    for (int i = 0; i < SM_COUNT(units); i++) {
        if (sm_str_eq_nocase(word, sm_str_of(units[i].name))) {
            return units[i].us;
        }
    }
    return -1;
}

int64_t sm_delta_retention_us(const sm_delta_metadata *m)
{
    return smi_duration_us(m, "delta.deletedFileRetentionDuration", RETENTION_DAYS * DAY_US);
}

int64_t smi_duration_us(const sm_delta_metadata *m, const char *key, int64_t absent_us)
{
    sm_str text = smi_config(m, key);
    int64_t sum = 0, n = 0;

    if (!text.data) {
        return absent_us;
    }
    sm_str word = take_word(&text);
    if (sm_str_eq_nocase(word, SM_STR("interval"))) {
        word = take_word(&text);
    }
    do { /* "1 week 2 days" */
        const int64_t us = unit_us(take_word(&text));
        if (us < 0 || !sm_parse_i64(word, &n) || n < 0 || n > 100000) {
            return -1;
        }
        sum += n * us; /* a few words of at most 100,000 weeks: far from 2^63 */
        word = take_word(&text);
    } while (word.len > 0 && sum < INT64_MAX / 4);
    SM_ASSERT(sum >= 0);
    return word.len > 0 ? -1 : sum;
}

/* ---- the size of data files ------------------------------------------------------------------ */

/* As Spark reads it: a whole number, and a unit that is a power of 1,024. */
sm_status sm_delta_target_bytes(const sm_delta_metadata *m, uint64_t *out, sm_error *e)
{
    static const char units[] = "kmgt";
    sm_str text = smi_config(m, "delta.targetFileSize");
    const sm_str said = text;
    int64_t n = 0;
    int shift = 0;

    *out = 0;
    if (!said.data) {
        return SM_OK;
    }
    if (text.len > 1 && (text.data[text.len - 1] == 'b' || text.data[text.len - 1] == 'B')) {
        text.len--;
    }
    for (int i = 0; text.len > 1 && units[i]; i++) {
        const char last = text.data[text.len - 1];
        shift = last == units[i] || last == units[i] - 'a' + 'A' ? 10 * (i + 1) : shift;
    }
    text.len -= shift > 0;
    if (!sm_parse_i64(text, &n) || n < 1 || n > INT64_MAX >> shift) {
        return sm_fail(e, SM_INVALID,
                       "the table's property delta.targetFileSize is not understood: \"%.*s\"",
                       SM_STR_ARG(said));
    }
    *out = (uint64_t)n << shift;
    SM_ASSERT(*out > 0);
    return SM_OK;
}
