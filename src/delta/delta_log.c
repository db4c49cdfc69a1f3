/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_log.c: reads the text files of the log: the actions of a commit, and the history
 * that all commits tell. Called by delta_snapshot.c, delta_attempt.c, delta_undo.c, flow's books
 * and `smelt table history`. */
#include <inttypes.h>

#include "base/json_scan.h"
#include "delta/delta_int.h"

/* Has it nothing but white space? Looks at no byte beyond it, of which there may be millions. */
static bool is_blank(sm_str s)
{
    size_t i = 0;

    while (i < s.len && sm_json_is_space((uint8_t)s.data[i])) {
        i++;
    }
    return i == s.len;
}

static sm_status read_lines(sm_str text, sm_arena *a, bool is_scratch, smi_each_action each,
                            void *ctx, sm_error *e)
{
    int64_t line_number = 0;

    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        const sm_str line = {text.data, end ? (size_t)(end - text.data) : text.len};
        const size_t step = line.len + (end ? 1 : 0);
        text = (sm_str){text.data + step, text.len - step};
        line_number++;
        if (is_blank(line)) {
            continue;
        }
        smi_action action;
        if (is_scratch) {
            sm_arena_reset(a);
        }
        sm_status st = smi_action_parse(line, a, &action, e);
        if (st != SM_OK) {
            if (e) {
                e->status = SM_CORRUPT;
                e->line = line_number;
            }
            return SM_CORRUPT;
        }
        SM_TRY(each(ctx, &action, e));
    }
    return SM_OK;
}

sm_status smi_log_lines(sm_str text, sm_arena *a, smi_each_action each, void *ctx, sm_error *e)
{
    if (a) {
        return read_lines(text, a, false, each, ctx, e);
    }
    sm_arena *scratch = sm_arena_new(NULL);
    const sm_status st = read_lines(text, scratch, true, each, ctx, e);
    sm_arena_free(scratch);
    return st;
}

/* A commit says at least who wrote it. One that says nothing is what is left of a file when a
 * machine has lost its power: taken for a commit, it would hide the rows that it added. */
static sm_status check_has_actions(sm_str key, sm_str text, sm_error *e)
{
    const smi_entry_kind kind = smi_log_entry_of(key).kind;
    const bool must_have = kind == SMI_ENTRY_COMMIT || kind == SMI_ENTRY_COMPACTED;

    if (must_have && is_blank(text)) {
        sm_fail(e, SM_CORRUPT, "the file is empty, and a commit has an action at least");
        sm_error_todo(e, "Put the commit back, if there is a copy of it.");
        return SM_CORRUPT;
    }
    return SM_OK;
}

sm_status smi_log_text_read(sm_store *s, sm_str key, const smi_log_reading *what, sm_error *e)
{
    sm_buf text = {.max_bytes = SMI_COMMIT_BYTES, .budget = what->budget};

    sm_status st = sm_store_get(s, key, &text, e);
    st = st == SM_OK ? sm_buf_add(&text, "", 1, e) : st; /* the NUL; actions copy what they keep */
    if (st == SM_OK) {
        const sm_str all = {(const char *)text.data, text.len - 1};
        st = check_has_actions(key, all, e);
        st = st == SM_OK ? smi_log_lines(all, what->arena, what->each, what->ctx, e) : st;
        if (st != SM_OK) {
            sm_arena *scratch = sm_arena_new(NULL);
            sm_error_place(e, sm_store_uri_of(s, key, scratch).data, 0, -1); /* beside line, byte */
            sm_arena_free(scratch);
        }
    }
    sm_buf_release(&text);
    return st;
}

sm_status smi_commit_read(sm_store *s, int64_t version, const smi_log_reading *what, sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];

    smi_commit_key(version, key);
    return smi_log_text_read(s, sm_str_of(key), what, e);
}

/* ---- history --------------------------------------------------------------------------------- */

/* The source text of an object or array, "" of anything else. */
static sm_str source_of(const sm_json *v)
{
    return v && (v->type == SM_JSON_OBJECT || v->type == SM_JSON_ARRAY) ? v->text : SM_STR("");
}

void smi_info_of(const smi_action *action, sm_delta_commit_info *out)
{
    int64_t timestamp_ms = 0;

    if (sm_json_i64(sm_json_get(action->info, "timestamp"), &timestamp_ms)) {
        out->timestamp_ms = timestamp_ms;
    }
    if (sm_json_i64(sm_json_get(action->info, "inCommitTimestamp"), &timestamp_ms)) {
        out->timestamp_ms = timestamp_ms;
    }
    out->operation = sm_json_text(sm_json_get(action->info, "operation"));
    out->parameters_json = source_of(sm_json_get(action->info, "operationParameters"));
    out->metrics_json = source_of(sm_json_get(action->info, "operationMetrics"));
    out->engine_info = sm_json_text(sm_json_get(action->info, "engineInfo"));
    out->user_metadata = sm_json_text(sm_json_get(action->info, "userMetadata"));
    out->json = action->info->text;
}

/* Copies the texts, which are those of a line that was read, into `a`. */
static void keep_info(sm_delta_commit_info *info, sm_arena *a)
{
    sm_str *texts[] = {&info->operation,   &info->parameters_json, &info->metrics_json,
                       &info->engine_info, &info->user_metadata,   &info->json};

    for (int i = 0; i < SM_COUNT(texts); i++) {
        *texts[i] = texts[i]->len > 0 ? sm_arena_str(a, *texts[i]) : SM_STR("");
    }
}

/* What is wanted of a commit. */
typedef struct version_info {
    sm_delta_commit_info info;
    sm_arena *arena; /* of its texts */
    sm_str app_id;
    int64_t txn;
} version_info;

static sm_status take_version_info(void *ctx, const smi_action *action, sm_error *e)
{
    version_info *k = ctx;

    (void)e;
    if (action->kind == SMI_ACTION_TXN && sm_str_eq(action->txn.app_id, k->app_id)) {
        k->txn = action->txn.version;
    }
    if (action->kind == SMI_ACTION_COMMIT_INFO) {
        smi_info_of(action, &k->info);
        keep_info(&k->info, k->arena);
    }
    return SM_OK;
}

static sm_status read_info(sm_store *s, version_info *k, sm_error *e)
{
    const smi_log_reading what = {
        .budget = sm_arena_budget(k->arena), .each = take_version_info, .ctx = k};

    return smi_commit_read(s, k->info.version, &what, e);
}

sm_status sm_delta_info_read(sm_store *s, int64_t version, sm_str app_id, sm_arena *a,
                             sm_delta_commit_info *out, int64_t *txn, sm_error *e)
{
    SM_ASSERT(version >= 0);
    version_info k = {.info = {.version = version}, .arena = a, .app_id = app_id, .txn = -1};

    SM_TRY(read_info(s, &k, e));
    *out = k.info;
    *txn = k.txn;
    return SM_OK;
}

/* Gives the commit of one entry. */
static sm_status give_info(sm_store *s, const sm_entry *entry, sm_arena *scratch,
                           sm_delta_each_info each, void *ctx, sm_error *e)
{
    version_info k = {
        .info = {.version = smi_log_entry_of(entry->key).version,
                 .timestamp_ms = entry->modified_us / 1000},
        .arena = scratch,
    };

    sm_arena_reset(scratch);
    SM_TRY(sm_check_cancel(sm_arena_budget(scratch), e));
    SM_TRY(read_info(s, &k, e));
    return each(ctx, &k.info, e);
}

static int64_t count_commits(const smi_log_listing *l)
{
    int64_t n = 0;

    for (int64_t i = 0; i < l->n; i++) {
        n += l->what[i].kind == SMI_ENTRY_COMMIT;
    }
    return n;
}

/* Lists the log, or only its end, where that has as many commits: it begins so far before the
 * checkpoint that _last_checkpoint names. */
static sm_status list_newest(sm_store *s, int64_t n_commits, sm_arena *a, smi_log_listing *out,
                             sm_error *e)
{
    sm_error bad = {0};
    int64_t told = -1;

    SM_ASSERT(n_commits > 0);
    const sm_status st = smi_last_checkpoint(s, a, &told, &bad);
    if (st != SM_OK && !smi_is_damage(st)) {
        if (e) {
            *e = bad;
        }
        return st;
    }
    if (told >= n_commits) {
        SM_TRY(smi_log_list_after(s, told - n_commits, a, out, e));
        if (count_commits(out) >= n_commits) {
            return SM_OK;
        }
    }
    return smi_log_list(s, a, out, e);
}

sm_status sm_delta_history_each(sm_store *s, int64_t limit, sm_budget *budget,
                                sm_delta_each_info each, void *ctx, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget), *scratch = sm_arena_new(budget);
    smi_log_listing l = {0};
    int64_t n = 0;

    sm_status st =
        limit < 0 ? smi_log_list(s, a, &l, e) : list_newest(s, limit > 0 ? limit : 1, a, &l, e);
    for (int64_t i = l.n - 1; st == SM_OK && i >= 0 && (limit < 0 || n < limit); i--) {
        if (l.what[i].kind == SMI_ENTRY_COMMIT) {
            st = give_info(s, &l.entries[i], scratch, each, ctx, e);
            n++;
        }
    }
    if (st == SM_OK && count_commits(&l) == 0) {
        st = sm_fail(e, SM_NOT_FOUND, "no Delta table in %.*s", SM_STR_ARG(sm_store_uri(s)));
        sm_error_todo(e, "A table is a folder with a folder _delta_log in it.");
    }
    sm_arena_free(scratch);
    sm_arena_free(a);
    return st;
}

typedef struct info_list {
    sm_arena *arena;
    sm_delta_commit_info *items;
    int64_t n, cap;
} info_list;

static sm_status list_info(void *ctx, const sm_delta_commit_info *info, sm_error *e)
{
    info_list *l = ctx;

    (void)e;
    l->items = sm_arena_grow(l->arena, l->items, l->n, &l->cap, sizeof(*l->items));
    l->items[l->n] = *info;
    keep_info(&l->items[l->n++], l->arena);
    return SM_OK;
}

sm_status sm_delta_history(sm_store *s, int64_t limit, sm_arena *a, sm_delta_commit_info **out,
                           int64_t *n, sm_error *e)
{
    info_list l = {.arena = a};

    SM_TRY(sm_delta_history_each(s, limit, sm_arena_budget(a), list_info, &l, e));
    *out = l.items;
    *n = l.n;
    return SM_OK;
}
