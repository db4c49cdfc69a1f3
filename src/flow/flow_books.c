/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books.c: what a table knows of the files that it was loaded from, so that each is
 * loaded exactly once. Called by loads and quarantines (flow_load.c, flow_quarantine.c).
 *
 * Loaded      A file is loaded where the table has a transaction `smelt:<pipeline>:<file>`; its
 *             version counts the loads. Rows and transaction come by the same commit.
 * Identity    size and time of change, then a 128-bit hash, as they were when it was loaded. They
 *             stand in the commit's information, member "smelt":
 *               {"pipeline": …, "run": …, "files": [{"name", "uri", "version", "size",
 *                "modified_us", "hash", "lines", "date"} …]}
 *             A commit tells of every file of its window that the table holds, not only of those it
 *             loaded: so the newest commit of a window says all, and log entries that were cleaned
 *             up take nothing with them as long as the window is in use.
 * Not found   A file with a transaction whose identity no commit tells any more counts as changed:
 *             its Date is replaced from its files, which is right whatever happened to it.
 * Gone        A file that is no longer there keeps its rows. Where its Date is replaced they go;
 *             "dropped" then stands for its identity, so that it is loaded if it comes back.
 * Judging     Same name, size and time: the same. Same size: the hash decides. Else changed, and
 *             then all files of its date are loaded again. */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define HASH_HEX_BYTES 32

/* ---- names ---------------------------------------------------------------------------------- */

sm_str smi_flow_app_id(const smi_flow_run *r, sm_str file)
{
    return sm_arena_strf(r->arena, "smelt:%.*s:%.*s", SM_STR_ARG(r->p->name), SM_STR_ARG(file));
}

/* The only run of exactly eight digits in the name, as a date (as sm_files_find has it: a file that
 * is gone cannot be asked there). */
static bool date_of_name(sm_str name, int32_t *date)
{
    size_t at = 0;
    int n_runs = 0;

    for (size_t i = 0, end = 0; i < name.len; i = end + 1) {
        for (end = i; end < name.len && name.data[end] >= '0' && name.data[end] <= '9'; end++) {
        }
        if (end - i == 8) {
            at = i;
            n_runs++;
        }
    }
    if (n_runs != 1) {
        return false;
    }
    const char *d = name.data + at;
    const char text[] = {d[0], d[1], d[2], d[3], '-', d[4], d[5], '-', d[6], d[7]};
    return sm_parse_date((sm_str){text, sizeof(text)}, date);
}

static bool is_in_window(const smi_flow_source_state *s, sm_str name, int32_t *date)
{
    *date = 0;
    const bool has_date = date_of_name(name, date);
    return s->def->window < 0 || (has_date && *date >= s->first_day && *date <= s->last_day);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool parse_hash(sm_str hex, sm_hash128 *out)
{
    uint64_t words[2] = {0, 0};

    if (hex.len != HASH_HEX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < HASH_HEX_BYTES; i++) {
        const char c = hex.data[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) {
            return false;
        }
        words[i / 16] = words[i / 16] << 4 | (uint64_t)digit;
    }
    *out = (sm_hash128){.high = words[0], .low = words[1]};
    return true;
}

/* One file as a commit tells of it. Only the newest word on a load counts: of an older load's
 * identity nothing follows. */
static void read_identity(const sm_json *file, smi_flow_known *k, sm_arena *a)
{
    int64_t version = -1, size = -1;

    k->n_lines = -1;
    k->is_dropped = sm_json_get(file, "dropped") != NULL;
    k->uri = sm_arena_str(a, sm_json_text(sm_json_get(file, "uri")));
    k->has_identity = !k->is_dropped && sm_json_i64(sm_json_get(file, "version"), &version) &&
                      version == k->version && sm_json_i64(sm_json_get(file, "size"), &size) &&
                      size >= 0 && sm_json_i64(sm_json_get(file, "modified_us"), &k->modified_us) &&
                      parse_hash(sm_json_text(sm_json_get(file, "hash")), &k->hash);
    k->size_bytes = (uint64_t)size;
    if (k->has_identity && !sm_json_i64(sm_json_get(file, "lines"), &k->n_lines)) {
        k->n_lines = -1;
    }
}

const sm_json *smi_flow_smelt_member(sm_str commit_info, sm_arena *a)
{
    const sm_json *info = NULL;
    sm_error ignored = {0};

    if (commit_info.len == 0 || sm_json_parse(commit_info, a, &info, &ignored) != SM_OK) {
        return NULL; /* another writer's affair: it tells nothing of our files */
    }
    return sm_json_get(info, "smelt");
}

/* Goes through commits, newest first, until all files are told of; *n_open are not yet. */
static void read_commit(const smi_flow_run *r, sm_str commit_info, smi_flow_books *b, sm_map *told,
                        int64_t *n_open, sm_arena *a)
{
    const sm_json *smelt = smi_flow_smelt_member(commit_info, a);

    if (!sm_str_eq(sm_json_text(sm_json_get(smelt, "pipeline")), r->p->name)) {
        return;
    }
    const sm_json *files = sm_json_get(smelt, "files");
    for (const sm_json *f = files ? files->child : NULL; f; f = f->next) {
        const sm_str name = sm_json_text(sm_json_get(f, "name"));
        smi_flow_known *k = sm_map_get(b->files, name);
        void **is_told = k ? sm_map_at(told, name) : NULL;
        if (k && !*is_told) {
            *is_told = k;
            read_identity(f, k, r->arena);
            (*n_open)--;
        }
    }
}

static sm_status read_history(smi_flow_run *r, sm_store *store, smi_flow_books *b, sm_error *e)
{
    static const int64_t depths[] = {4, 64, -1}; /* mostly the newest commit says all */
    int64_t n_open = sm_map_count(b->files);
    sm_status st = SM_OK;

    for (int i = 0; i < SM_COUNT(depths) && n_open > 0 && st == SM_OK; i++) {
        sm_arena *scratch = sm_arena_new(r->env->budget);
        sm_delta_commit_info *infos = NULL;
        int64_t n = 0;
        sm_map *told = sm_map_new(scratch);
        n_open = sm_map_count(b->files);
        st = sm_delta_history(store, depths[i], scratch, &infos, &n, e);
        for (int64_t k = 0; st == SM_OK && k < n && n_open > 0; k++) {
            read_commit(r, infos[k].json, b, told, &n_open, scratch);
        }
        sm_arena_free(scratch);
        if (n < depths[i]) {
            break; /* that was the whole history */
        }
    }
    return st;
}

static void read_txns(const smi_flow_run *r, const smi_flow_source_state *s, smi_flow_books *b)
{
    int64_t n = 0;
    int32_t date = 0;
    const sm_delta_txn *txns = sm_snapshot_txns(b->snapshot, &n);
    const sm_str prefix = smi_flow_app_id(r, SM_STR(""));

    b->files = sm_map_new(r->arena);
    for (int64_t i = 0; i < n; i++) {
        if (!sm_str_starts(txns[i].app_id, prefix)) {
            continue;
        }
        const sm_str name = {txns[i].app_id.data + prefix.len, txns[i].app_id.len - prefix.len};
        if (is_in_window(s, name, &date)) {
            smi_flow_known *k = SM_NEW(r->arena, smi_flow_known);
            k->version = txns[i].version;
            k->n_lines = -1;
            *sm_map_at(b->files, name) = k;
        }
    }
}

sm_status smi_flow_books_open(smi_flow_run *r, const smi_flow_source_state *s, sm_str uri,
                              smi_flow_books *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_store *store = NULL;
    bool is_there = false;
    smi_flow_books b = {0};

    SM_TRY_GOTO(st, done, sm_store_open(uri, &store, e));
    SM_TRY_GOTO(st, done, sm_delta_exists(store, &is_there, e));
    if (is_there) {
        SM_TRY_GOTO(st, done,
                    sm_snapshot_open(store, SM_VERSION_LATEST, r->env->budget, &b.snapshot, e));
        read_txns(r, s, &b);
        SM_TRY_GOTO(st, done, read_history(r, store, &b, e));
    }
    *out = b;
    b = (smi_flow_books){0};
done:
    smi_flow_books_release(&b);
    sm_store_release(store);
    return st;
}

void smi_flow_books_release(smi_flow_books *b)
{
    sm_snapshot_release(b->snapshot);
    *b = (smi_flow_books){0};
}

const smi_flow_known *smi_flow_books_find(const smi_flow_books *b, sm_str name)
{
    return b->files ? sm_map_get(b->files, name) : NULL;
}

int64_t smi_flow_books_version(const smi_flow_books *b, sm_str name)
{
    const smi_flow_known *k = smi_flow_books_find(b, name);
    return k ? k->version : -1;
}

int64_t smi_flow_snapshot_rows(const sm_snapshot *s)
{
    int64_t n = 0, sum = 0;

    if (!s) {
        return -1;
    }
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    for (int64_t i = 0; i < n; i++) {
        if (files[i].n_rows < 0 || files[i].dv) {
            return -1;
        }
        sum += files[i].n_rows;
    }
    return sum;
}

/* ---- judging -------------------------------------------------------------------------------- */

static sm_status judge_one(smi_flow_run *r, const smi_flow_source_state *s, int64_t i,
                           const smi_flow_books *b, smi_flow_verdict *out, sm_error *e)
{
    const sm_found_file *f = &s->files.items[i];
    smi_flow_file *state = &s->states[i];
    const smi_flow_known *k = smi_flow_books_find(b, f->name);

    if (!k) {
        *out = SMI_FILE_NEW;
        return SM_OK;
    }
    *out = SMI_FILE_AGAIN;
    if (!k->has_identity || k->size_bytes != f->file.size_bytes) {
        return SM_OK;
    }
    if (k->modified_us != f->file.modified_us) {
        if (!state->is_hashed) {
            bool is_whole = false;
            SM_TRY(sm_file_content(&f->file, r->env->budget, &state->content, &is_whole, e));
            state->is_hashed = true;
        }
        if (k->hash.low != state->content.hash.low || k->hash.high != state->content.hash.high) {
            return SM_OK;
        }
    }
    *out = SMI_FILE_SAME;
    state->n_lines = k->n_lines;
    return SM_OK;
}

bool smi_flow_is_again(const smi_flow_source_state *s, const smi_flow_verdict *verdicts,
                       int32_t date)
{
    for (int64_t i = 0; i < s->files.n; i++) {
        if (verdicts[i] == SMI_FILE_AGAIN && s->files.items[i].date == date) {
            return true;
        }
    }
    return false;
}

sm_status smi_flow_books_judge(smi_flow_run *r, smi_flow_source_state *s, const smi_flow_books *b,
                               smi_flow_verdict *verdicts, sm_error *e)
{
    for (int64_t i = 0; i < s->files.n; i++) {
        SM_TRY(judge_one(r, s, i, b, &verdicts[i], e));
    }
    for (int64_t i = 0; i < s->files.n; i++) {
        if (verdicts[i] == SMI_FILE_SAME &&
            smi_flow_is_again(s, verdicts, s->files.items[i].date)) {
            verdicts[i] = SMI_FILE_AGAIN;
        }
    }
    return SM_OK;
}

static bool is_in_folder(const smi_flow_source_state *s, sm_str name)
{
    int64_t low = 0, high = s->found.n;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = sm_str_cmp(s->found.items[middle].name, name);
        if (order == 0) {
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return false;
}

void smi_flow_books_gone(const smi_flow_source_state *s, const smi_flow_books *b,
                         void (*fn)(void *ctx, sm_str name, const smi_flow_known *k, int32_t date),
                         void *ctx)
{
    int32_t date = 0;

    for (int64_t i = 0; b->files && i < sm_map_count(b->files); i++) {
        const sm_str name = sm_map_key(b->files, i);
        if (!is_in_folder(s, name) && is_in_window(s, name, &date)) {
            fn(ctx, name, sm_map_value(b->files, i), date);
        }
    }
}

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct info_writer {
    const smi_flow_source_state *source;
    const smi_flow_verdict *verdicts;
    sm_buf text;
    bool has_files;
} info_writer;

static void put_file(info_writer *w, sm_str name, const smi_flow_known *k, int32_t date)
{
    char hex[HASH_HEX_BYTES + 1], day[SM_TIME_TEXT_BYTES];

    sm_hash128_hex(k->hash, hex);
    sm_format_date(date, day);
    sm_buf_text(&w->text, w->has_files ? SM_STR(",{\"name\":") : SM_STR("{\"name\":"));
    w->has_files = true;
    sm_buf_json_str(&w->text, name);
    sm_buf_text(&w->text, SM_STR(",\"uri\":"));
    sm_buf_json_str(&w->text, k->uri);
    sm_buf_printf(&w->text, ",\"version\":%" PRId64, k->version);
    if (k->is_dropped) {
        sm_buf_text(&w->text, SM_STR(",\"dropped\":true}"));
        return;
    }
    sm_buf_printf(&w->text,
                  ",\"size\":%" PRIu64 ",\"modified_us\":%" PRId64
                  ",\"hash\":\"%s\",\"lines\":%" PRId64 ",\"date\":\"%s\"}",
                  k->size_bytes, k->modified_us, hex, k->n_lines, day);
}

static void put_gone(void *ctx, sm_str name, const smi_flow_known *k, int32_t date)
{
    info_writer *w = ctx;
    smi_flow_known now = *k;

    now.is_dropped = k->is_dropped || smi_flow_is_again(w->source, w->verdicts, date);
    if (now.is_dropped || now.has_identity) {
        put_file(w, name, &now, date);
    }
}

sm_str smi_flow_books_info(smi_flow_run *r, const smi_flow_source_state *s, const smi_flow_books *b,
                           const smi_flow_verdict *verdicts, const int64_t *versions)
{
    info_writer w = {.source = s, .verdicts = verdicts};

    sm_buf_text(&w.text, SM_STR("\"smelt\":{\"pipeline\":"));
    sm_buf_json_str(&w.text, r->p->name);
    sm_buf_text(&w.text, SM_STR(",\"run\":"));
    sm_buf_json_str(&w.text, r->id);
    sm_buf_text(&w.text, SM_STR(",\"files\":["));
    for (int64_t i = 0; i < s->files.n; i++) {
        const sm_found_file *f = &s->files.items[i];
        const smi_flow_file *state = &s->states[i];
        const smi_flow_known *old = smi_flow_books_find(b, f->name);
        smi_flow_known now = {.version = versions[i],
                              .uri = f->file.uri,
                              .size_bytes = f->file.size_bytes,
                              .modified_us = f->file.modified_us,
                              .hash = state->content.hash,
                              .n_lines = state->n_lines};
        if (verdicts[i] == SMI_FILE_SAME && old) {
            now.version = old->version; /* the time may be another: the bytes were compared */
            now.hash = old->hash;
            now.uri = old->uri; /* as its rows have it */
        } else if (versions[i] < 0 && old && (old->has_identity || old->is_dropped)) {
            now = *old;
        } else if (versions[i] < 0) {
            continue;
        }
        put_file(&w, f->name, &now, f->date);
    }
    smi_flow_books_gone(s, b, put_gone, &w);
    sm_buf_text(&w.text, SM_STR("]}"));
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&w.text));
    sm_buf_release(&w.text);
    return out;
}

/* ---- the newest commit ---------------------------------------------------------------------- */

sm_status smi_flow_books_last(smi_flow_run *r, sm_store *s, const char *key, sm_str *out,
                              sm_error *e)
{
    sm_arena *scratch = sm_arena_new(r->env->budget);
    sm_delta_commit_info *infos = NULL;
    int64_t n = 0, i = 0;

    const sm_status st = sm_delta_history(s, 8, scratch, &infos, &n, e);
    if (st == SM_OK) {
        while (i < n && sm_str_is(infos[i].operation, "OPTIMIZE")) {
            i++; /* other files, the same rows */
        }
        const sm_json *smelt = i < n ? smi_flow_smelt_member(infos[i].json, scratch) : NULL;
        *out = sm_arena_str(r->arena, sm_json_text(sm_json_get(smelt, key)));
    }
    sm_arena_free(scratch);
    return st;
}
