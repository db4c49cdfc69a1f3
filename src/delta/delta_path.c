/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_path.c: translates paths of data files between the log, where they are
 * percent-encoded URIs, and the store, where they are plain keys. Knows the names of the log's own
 * files.
 *
 * A relative path that would leave the table's root is damage, whoever wrote it. It is refused
 * before it reaches a store.
 *
 * A file may be spelt in several ways: "a b", "a%20b", "%61%20b", "./a b" and, where the table lies
 * in /t, "file:/t/a%20b" are one file, which is in the table once and which any of them removes. So
 * files are known by their plain path: decoded, without parts ".", without the scheme of local
 * files, and relative to the table's folder wherever they lie below it. An absolute path does not
 * move with the table: after that it names a file elsewhere.
 *
 * A file of the log is known by its whole name. A copy or a half-written one beside it (….bak,
 * ….tmp) has another name and means nothing.
 *
 * Source  PROTOCOL.md, "Add File and Remove File", "Delta Log Entries", "Checkpoints"; RFC 3986,
 *         sections 2.1 and 2.3 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/text.h"
#include "delta/delta_int.h"

static_assert(sizeof(SMI_LOG "00000000000000000000.json") <= SMI_LOG_KEY_BYTES, "a key fits");

void smi_commit_key(int64_t version, char out[SMI_LOG_KEY_BYTES])
{
    SM_ASSERT(version >= 0);
    snprintf(out, SMI_LOG_KEY_BYTES, SMI_LOG "%020" PRId64 ".json", version);
}

/* ---- names of the log's files ---------------------------------------------------------------- */

/* Takes n digits off the front; false where there are fewer. */
static bool take_digits(sm_str *s, size_t n, int64_t *out)
{
    const sm_str digits = {s->data, n};

    for (size_t i = 0; i < n; i++) {
        if (i >= s->len || s->data[i] < '0' || s->data[i] > '9') {
            return false;
        }
    }
    if (!sm_parse_i64(digits, out)) {
        return false;
    }
    *s = (sm_str){s->data + n, s->len - n};
    return true;
}

static bool take_text(sm_str *s, const char *text)
{
    const size_t n = strlen(text);

    if (!sm_str_starts(*s, (sm_str){text, n})) {
        return false;
    }
    *s = (sm_str){s->data + n, s->len - n};
    return true;
}

static bool take_uuid(sm_str *s)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const size_t n = sizeof(form) - 1;

    for (size_t i = 0; i < n; i++) {
        if (i >= s->len || (form[i] == '-' ? s->data[i] != '-' : sm_hex_digit(s->data[i]) < 0)) {
            return false;
        }
    }
    *s = (sm_str){s->data + n, s->len - n};
    return true;
}

smi_log_entry smi_log_entry_of(sm_str key)
{
    smi_log_entry out = {.kind = SMI_ENTRY_OTHER, .part = 1, .n_parts = 1};
    const smi_log_entry other = out;
    sm_str rest = key;

    if (!take_text(&rest, SMI_LOG) || !take_digits(&rest, 20, &out.version)) {
        return other;
    }
    if (sm_str_is(rest, ".json")) {
        out.kind = SMI_ENTRY_COMMIT;
        return out;
    }
    if (sm_str_is(rest, ".crc")) {
        out.kind = SMI_ENTRY_CHECKSUM;
        return out;
    }
    if (sm_str_ends(rest, SM_STR(".compacted.json"))) {
        const bool is_range = take_text(&rest, ".") && take_digits(&rest, 20, &out.last) &&
                              sm_str_is(rest, ".compacted.json") && out.last >= out.version;
        out.kind = SMI_ENTRY_COMPACTED;
        return is_range ? out : other;
    }
    if (!take_text(&rest, ".checkpoint.")) {
        return other;
    }
    if (take_uuid(&rest)) {
        out.is_json = sm_str_is(rest, ".json");
        out.kind = out.is_json || sm_str_is(rest, ".parquet") ? SMI_ENTRY_CHECKPOINT : other.kind;
    } else if (take_digits(&rest, 10, &out.part)) {
        const bool is_part = take_text(&rest, ".") && take_digits(&rest, 10, &out.n_parts) &&
                             sm_str_is(rest, ".parquet");
        out.kind = is_part ? SMI_ENTRY_PART : other.kind;
    } else if (sm_str_is(rest, "parquet")) {
        out.kind = SMI_ENTRY_CHECKPOINT;
    }
    SM_ASSERT(out.kind == SMI_ENTRY_OTHER || out.version >= 0);
    return out.kind == SMI_ENTRY_OTHER ? other : out;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* Does the path begin with a scheme ("file:/x", "s3://b/x")? A relative path cannot have a colon
 * before its first '/'. A single letter is no scheme. */
static bool has_scheme(sm_str path)
{
    for (size_t i = 0; i < path.len && path.data[i] != '/'; i++) {
        if (path.data[i] == ':') {
            return i > 1;
        }
    }
    return false;
}

/* Where the part of a path that begins at `start` ends. */
static size_t part_end(sm_str path, size_t start)
{
    SM_ASSERT(start < path.len);
    const char *slash = memchr(path.data + start, '/', path.len - start);

    return slash ? (size_t)(slash - path.data) : path.len;
}

/* Has the path a part that says nothing: ".", or an empty one of an absolute path on the local
 * disk? In a bucket an empty part is a name. */
static bool has_spare_parts(sm_str path)
{
    SM_ASSERT(path.data || path.len == 0);
    for (size_t at = 0; at < path.len; at = part_end(path, at) + 1) {
        const bool is_dot = path.data[at] == '.' && at + 1 < path.len && path.data[at + 1] == '/';
        if (is_dot || (at > 0 && path.data[at] == '/' && path.data[0] == '/')) {
            return true;
        }
    }
    return false;
}

/* Takes the parts that say nothing out, in place: "./a/./b" -> "a/b", "//a" -> "/a". */
static sm_str drop_spare_parts(char *text, size_t len)
{
    const bool is_absolute = len > 0 && text[0] == '/';
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        const bool is_first = n == 0 || text[n - 1] == '/';
        if (is_first && text[i] == '.' && i + 1 < len && text[i + 1] == '/') {
            i++;
        } else if (!(is_first && n > 0 && is_absolute && text[i] == '/')) {
            text[n++] = text[i];
        }
    }
    SM_ASSERT(n <= len);
    return (sm_str){text, n};
}

/* Why a key is none of a file within the table's root; NULL: it may be one. */
static const char *wrong_with(sm_str key)
{
    for (size_t start = 0;;) {
        const size_t end = start < key.len ? part_end(key, start) : start;
        const sm_str part = {key.data + start, end - start};
        if (sm_str_is(part, "..")) {
            return "leaves the table's folder";
        }
        if (part.len == 0 || sm_str_is(part, ".")) {
            return end == key.len ? "names no file" : "has a part without a name";
        }
        if (end == key.len) {
            return memchr(key.data, '\0', key.len) ? "has a NUL in it" : NULL;
        }
        start = end + 1;
    }
}

sm_str smi_percent_decode(sm_str text, sm_arena *a)
{
    char *out = SM_NEW_ARRAY(a, char, text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;
        if (text.data[i] == '%' && i + 2 < text.len) {
            high = sm_hex_digit(text.data[i + 1]);
            low = sm_hex_digit(text.data[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = text.data[i];
        }
    }
    SM_ASSERT(n <= text.len);
    return (sm_str){out, n};
}

/* "file:/x" and "file:///x" as "/x"; another path as it is. */
static sm_str without_file_scheme(sm_str path)
{
    const sm_str scheme = SM_STR("file:");

    if (!sm_str_starts(path, scheme)) {
        return path;
    }
    path = (sm_str){path.data + scheme.len, path.len - scheme.len};
    while (path.len > 1 && path.data[0] == '/' && path.data[1] == '/') {
        path = (sm_str){path.data + 1, path.len - 1};
    }
    return path;
}

/* Appends a byte of a plain path. '%' itself, and the two bytes that part a file's identity, are
 * codes in it. They are spelt in one way: decoding them again changes nothing. */
static void add_plain(sm_buf *out, char c)
{
    if (c == '%' || c == '\0' || c == '\n') {
        sm_buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
    } else {
        sm_buf_text(out, (sm_str){&c, 1});
    }
}

static void add_decoded(sm_buf *out, sm_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%' && i + 2 < text.len && sm_hex_digit(text.data[i + 1]) >= 0 &&
            sm_hex_digit(text.data[i + 2]) >= 0) {
            c = (char)(sm_hex_digit(text.data[i + 1]) * 16 + sm_hex_digit(text.data[i + 2]));
            i += 2;
        }
        add_plain(out, c);
    }
}

/* Does it begin with "s3a://" or "s3n://", as Spark calls S3? */
static bool is_hadoop_s3(sm_str path)
{
    return sm_str_starts(path, SM_STR("s3a://")) || sm_str_starts(path, SM_STR("s3n://"));
}

/* The part of a plain path behind the table's own folder; all of it where it lies elsewhere. */
static sm_str below_home(const smi_home *home, sm_str plain)
{
    for (int i = 0; home && i < SM_COUNT(home->names); i++) {
        const sm_str name = home->names[i];
        SM_ASSERT(name.len == 0 || name.data[name.len - 1] == '/');
        if (name.len > 0 && sm_str_starts(plain, name)) {
            const sm_str below = {plain.data + name.len, plain.len - name.len};
            return wrong_with(below) ? plain : below;
        }
    }
    return plain;
}

/* The plain path, relative to nothing. */
static sm_str plain_of(sm_str path, sm_buf *out)
{
    const bool is_hadoop = is_hadoop_s3(path);
    const sm_str rest = without_file_scheme(path);

    sm_buf_reset(out);
    if (rest.len == 0 ||
        (!is_hadoop && !memchr(rest.data, '%', rest.len) && !has_spare_parts(rest))) {
        return rest; /* as are most paths */
    }
    sm_buf_text(out, is_hadoop ? SM_STR("s3") : SM_STR(""));
    add_decoded(out, is_hadoop ? (sm_str){rest.data + 3, rest.len - 3} : rest);
    const sm_str plain = drop_spare_parts((char *)out->data, out->len);
    SM_ASSERT(plain.len <= out->len && !has_spare_parts(plain));
    out->len = plain.len;
    return plain;
}

sm_str smi_path_plain(const smi_home *home, sm_str path, sm_buf *out)
{
    const sm_str plain = plain_of(path, out), below = below_home(home, plain);

    if (below.len == plain.len || plain.data != (const char *)out->data) {
        return below;
    }
    memmove(out->data, below.data, below.len); /* the buffer begins with it */
    out->len = below.len;
    return (sm_str){(const char *)out->data, below.len};
}

void smi_path_of_key(sm_str key, sm_buf *out)
{
    SM_ASSERT(key.len > 0);
    sm_buf_reset(out);
    for (size_t i = 0; i < key.len; i++) {
        add_plain(out, key.data[i]);
    }
}

/* The key that an absolute path has in the table's own folder; "" where it lies elsewhere. */
static sm_str absolute_key(const smi_home *home, sm_str path, sm_arena *a)
{
    sm_buf text = {0};
    sm_str key = SM_STR("");

    const sm_str plain = plain_of(path, &text);
    const sm_str below = below_home(home, plain);
    if (below.len < plain.len) {
        key = smi_percent_decode(below, a);
        SM_ASSERT(key.len > 0);
    }
    sm_buf_release(&text);
    return key;
}

sm_status smi_path_key(const smi_home *home, sm_str path, sm_arena *a, sm_str *key,
                       bool *is_outside, sm_error *e)
{
    if (path.len > 0 && (path.data[0] == '/' || has_scheme(path))) {
        *key = absolute_key(home, path, a);
        *is_outside = key->len == 0;
        return SM_OK;
    }
    *is_outside = false;
    /* Most paths encode nothing. */
    *key = path.len > 0 && memchr(path.data, '%', path.len) ? smi_percent_decode(path, a) : path;
    if (has_spare_parts(*key)) {
        const sm_str copy = sm_arena_str(a, *key);
        *key = drop_spare_parts((char *)copy.data, copy.len);
    }
    const char *why = wrong_with(*key);
    return why ? sm_fail(e, SM_CORRUPT, "path \"%.*s\" of the log %s", SM_STR_ARG(path), why)
               : SM_OK;
}

sm_str smi_path_encode(sm_str key, sm_arena *a)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-_.~/=+,@!$&'()*;";
    char *out = SM_NEW_ARRAY(a, char, key.len * 3 + 1);
    size_t n = 0;

    for (size_t i = 0; i < key.len; i++) {
        const char c = key.data[i];
        if (c && strchr(plain, c)) {
            out[n++] = c;
        } else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(uint8_t)c);
        }
    }
    SM_ASSERT(n <= key.len * 3 && !has_scheme((sm_str){out, n})); /* it is read as relative */
    return (sm_str){out, n};
}
