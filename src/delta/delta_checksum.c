/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checksum.c: version checksums: N.crc beside N.json says how many files and bytes
 * version N has, with its metadata and protocol. Called when a snapshot is opened, and after a
 * commit.
 *
 * Check    A version whose checksum says something else is refused: a commit or a checkpoint was
 *          changed or lost, and its rows would be wrong. Spark refuses it too. A checksum that is
 *          not there or cannot be read says nothing: it may be half written.
 * Write    A table that has checksums keeps them: the next version's is the base's with the commit
 *          applied, for one put. Where the base has none that counts files and bytes, or another
 *          version came between, there is none: to count all files again would cost a replay. A
 *          table with in-commit timestamps gets none either.
 * Source   PROTOCOL.md, "Version Checksum File" */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "delta/delta_int.h"

#define MOST_CHECKSUM_BYTES ((size_t)64 << 20) /* it may list all files */

static void checksum_key(int64_t version, char out[SMI_LOG_KEY_BYTES])
{
    SM_ASSERT(version >= 0);
    snprintf(out, SMI_LOG_KEY_BYTES, SMI_LOG "%020" PRId64 ".crc", version);
}

/* ---- check ----------------------------------------------------------------------------------- */

static sm_status fail_check(const sm_snapshot *s, const char *key, const char *what, int64_t said,
                            int64_t found, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = sm_fail(
        e, SM_CORRUPT, "version %" PRId64 " has %s %" PRId64 ", but its checksum says %" PRId64,
        s->version, what, found, said);
    sm_error_place(e, sm_store_uri_of(s->store, sm_str_of(key), a).data, 0, -1);
    sm_error_todo(e,
                  "The log was changed or is incomplete. Restore it, or read an earlier version; "
                  "if the checksum is wrong, delete it.");
    sm_arena_free(a);
    return st;
}

/* Holds what a checksum says against the snapshot. What it does not say is not checked. */
static sm_status compare(const sm_snapshot *s, const char *key, const sm_json *doc, sm_error *e)
{
    const sm_json *protocol = sm_json_get(doc, "protocol");
    const struct {
        const char *what;
        const sm_json *said;
        int64_t found;
    } facts[] = {
        {"the reader version", sm_json_get(protocol, "minReaderVersion"), s->protocol.min_reader},
        {"the writer version", sm_json_get(protocol, "minWriterVersion"), s->protocol.min_writer},
    };
    for (int i = 0; i < SM_COUNT(facts); i++) {
        int64_t said = 0;
        if (sm_json_i64(facts[i].said, &said) && said != facts[i].found) {
            return fail_check(s, key, facts[i].what, said, facts[i].found, e);
        }
    }
    return SM_OK;
}

static int64_t said_of(const sm_json *doc, const char *key)
{
    int64_t said = -1;

    return sm_json_i64(sm_json_get(doc, key), &said) ? said : -1;
}

/* The files are counted when they are read. */
static void note_files(sm_snapshot *s, const sm_json *doc)
{
    s->said_files = said_of(doc, "numFiles");
    s->said_bytes = said_of(doc, "tableSizeBytes");
}

sm_status smi_checksum_check_files(const sm_snapshot *s, int64_t n_files, int64_t bytes,
                                   sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];

    if (!s->has_checksum) {
        return SM_OK;
    }
    checksum_key(s->version, key);
    if (s->said_files >= 0 && s->said_files != n_files) {
        return fail_check(s, key, "a number of files of", s->said_files, n_files, e);
    }
    if (s->said_bytes >= 0 && s->said_bytes != bytes) {
        return fail_check(s, key, "a size in bytes of", s->said_bytes, bytes, e);
    }
    return SM_OK;
}

static void log_unread(const sm_snapshot *s, const char *key, const sm_error *e)
{
    sm_log(sm_store_log(s->store), SM_LOG_WARN, "%s of %.*s is not checked: %s", key,
           SM_STR_ARG(sm_store_uri(s->store)), e->what);
}

sm_status smi_checksum_check(sm_snapshot *s, sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_arena *a = sm_arena_new(s->budget);
    sm_buf text = {.max_bytes = MOST_CHECKSUM_BYTES};
    const sm_json *doc = NULL;
    sm_error unread = {0};

    SM_ASSERT(s->metadata.schema && !s->has_checksum);
    checksum_key(s->version, key);
    sm_status st = sm_store_get(s->store, sm_str_of(key), &text, &unread);
    if (st == SM_OK) {
        st = sm_json_parse(sm_buf_str(&text), a, &doc, &unread);
    }
    if (st == SM_OK) {
        st = compare(s, key, doc, e);
        s->has_checksum = st == SM_OK;
        note_files(s, doc);
    } else if (st != SM_BUDGET && st != SM_INTERRUPTED) {
        log_unread(s, key, &unread);
        st = SM_OK;
    } else if (e) {
        *e = unread;
    }
    sm_buf_release(&text);
    sm_arena_free(a);
    return st;
}

/* ---- write ----------------------------------------------------------------------------------- */

/* What the files are together after the commit; false where the base's checksum, which is believed
 * here, cannot be right. */
static bool totals_after(const sm_snapshot *base, const sm_delta_commit *c, int64_t *n_files,
                         int64_t *bytes)
{
    *n_files = base->said_files + c->n_adds + c->n_restores + c->n_marks - c->n_removes;
    *bytes = base->said_bytes;
    for (int64_t i = 0; i < c->n_adds; i++) {
        *bytes += (int64_t)c->adds[i].size_bytes;
    }
    for (int64_t i = 0; i < c->n_restores; i++) {
        *bytes += (int64_t)c->restores[i]->size_bytes;
    }
    for (int64_t i = 0; i < c->n_marks; i++) {
        *bytes += (int64_t)c->marks[i].file->size_bytes;
    }
    for (int64_t i = 0; i < c->n_removes && !c->removes_all; i++) {
        *bytes -= (int64_t)c->removes[i]->size_bytes;
    }
    *bytes -= c->removes_all ? c->removes_all->bytes : 0;
    return base->said_files >= 0 && base->said_bytes >= 0 && *n_files >= 0 && *bytes >= 0;
}

static void print_totals(int64_t n_files, int64_t bytes, sm_json_writer *w)
{
    SM_ASSERT(n_files >= 0 && bytes >= 0);
    sm_json_set_i64(w, "tableSizeBytes", bytes);
    sm_json_set_i64(w, "numFiles", n_files);
    sm_json_set_i64(w, "numMetadata", 1);
    sm_json_set_i64(w, "numProtocol", 1);
}

/* The schema of unchanged metadata stays as its writer printed it: it is compared as text. */
static sm_status print_checksum(const sm_snapshot *base, const sm_delta_commit *c, int64_t n_files,
                                int64_t bytes, sm_buf *out, sm_error *e)
{
    sm_json_writer w = {.out = out};
    sm_buf schema = {0};

    SM_ASSERT(base->has_checksum && out->len == 0);
    if (c->metadata) {
        SM_TRY(sm_delta_schema_json(c->metadata->schema, &schema, e));
    } else {
        sm_buf_text(&schema, base->schema_json);
    }
    sm_json_begin_object(&w);
    print_totals(n_files, bytes, &w);
    smi_put_metadata(&w, "metadata", c->metadata ? c->metadata : &base->metadata,
                     sm_buf_str(&schema));
    smi_put_protocol(&w, "protocol", c->protocol ? c->protocol : &base->protocol);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    sm_buf_release(&schema);
    return SM_OK;
}

static bool has_stamps_after(const sm_snapshot *base, const sm_delta_commit *c)
{
    return smi_has_stamps(c->protocol ? c->protocol : &base->protocol,
                          c->metadata ? c->metadata : &base->metadata);
}

void sm_delta_checksum_follow(sm_store *store, const sm_snapshot *base, const sm_delta_commit *c,
                              int64_t version)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_buf text = {0};
    sm_error e = {0};

    int64_t n_files = 0, bytes = 0;

    if (!base || has_stamps_after(base, c) || /* it would have to say them */
        !base->has_checksum || version != base->version + 1 ||
        !totals_after(base, c, &n_files, &bytes)) {
        return;
    }
    checksum_key(version, key);
    sm_status st = print_checksum(base, c, n_files, bytes, &text, &e);
    if (st == SM_OK) {
        st = sm_store_put(store, sm_str_of(key), text.data, text.len, SM_PUT_IF_ABSENT, &e);
    }
    if (st != SM_OK && st != SM_EXISTS) {
        sm_log(sm_store_log(store), SM_LOG_WARN, "could not write %s: %s", key, e.what);
    }
    sm_buf_release(&text);
}
