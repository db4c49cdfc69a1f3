/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_profile.c: settings in the way of AWS tools: variables of a connection or of the
 * environment, else the profile (AWS_PROFILE, or "default") in ~/.aws/credentials and
 * ~/.aws/config, or in the files that AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name. Called
 * by s3.c, s3_credentials.c and s3_keys.c.
 *
 * Source   "Configuration and credential file settings", AWS CLI user guide. A line belongs to the
 *          section above it. A line that begins with a blank belongs to a nested setting and is
 *          skipped. If a name comes twice, the last one counts. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/text.h"
#include "store/s3_int.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)

static sm_str trimmed(sm_str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 &&
           (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t' || s.data[s.len - 1] == '\r')) {
        s.len--;
    }
    return s;
}

/* The whole file; "" if it cannot be read, as then nothing is set. */
static sm_str read_file(const char *path, sm_arena *a)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return SM_STR("");
    }
    struct stat s = {0};
    size_t n = fstat(fileno(f), &s) == 0 && s.st_size > 0 ? (size_t)s.st_size : 0;
    n = n < FILE_MAX_BYTES ? n : FILE_MAX_BYTES;
    char *bytes = sm_arena_alloc(a, n + 1);
    n = fread(bytes, 1, n, f);
    fclose(f);
    return (sm_str){bytes, n};
}

/* Is "[profile name]" or "[name]" the section of the profile? */
static bool is_section(sm_str line, sm_str profile)
{
    sm_str name = trimmed((sm_str){line.data + 1, line.len - 1});
    if (name.len == 0 || name.data[name.len - 1] != ']') {
        return false;
    }
    name = trimmed((sm_str){name.data, name.len - 1});
    if (sm_str_starts(name, SM_STR("profile "))) {
        name = trimmed((sm_str){name.data + 8, name.len - 8});
    }
    return sm_str_eq(name, profile);
}

/* Removes the first line from the text. */
static bool next_line(sm_str *text, sm_str *line)
{
    if (text->len == 0) {
        return false;
    }
    const char *end = memchr(text->data, '\n', text->len);
    line->data = text->data;
    line->len = end ? (size_t)(end - text->data) : text->len;
    text->data += end ? line->len + 1 : line->len;
    text->len -= end ? line->len + 1 : line->len;
    return true;
}

static sm_str find_setting(sm_str text, sm_str profile, const char *name)
{
    bool is_in = false;
    sm_str found = SM_STR(""), line;
    while (next_line(&text, &line)) {
        if (line.len == 0 || memchr("#; \t\r", line.data[0], 5)) {
            continue;
        }
        if (line.data[0] == '[') {
            is_in = is_section(trimmed(line), profile);
            continue;
        }
        const char *equals = memchr(line.data, '=', line.len);
        if (!is_in || !equals) {
            continue;
        }
        const size_t name_len = (size_t)(equals - line.data);
        if (sm_str_eq_nocase(trimmed((sm_str){line.data, name_len}), sm_str_of(name))) {
            found = trimmed((sm_str){equals + 1, line.len - name_len - 1});
        }
    }
    return found;
}

static bool has_section(sm_str text, sm_str profile)
{
    sm_str line;
    while (next_line(&text, &line)) {
        if (line.len > 0 && line.data[0] == '[' && is_section(trimmed(line), profile)) {
            return true;
        }
    }
    return false;
}

static const char *file_path(const char *variable, const char *in_home, sm_arena *a)
{
    const char *path = sm_env(variable);
    const char *home = sm_env("HOME");
    return path ? path : sm_arena_printf(a, "%s/.aws/%s", home ? home : "", in_home);
}

sm_str smi_aws_profile(const smi_connection *c)
{
    const char *name = smi_aws_env(c, "AWS_PROFILE");
    return name ? sm_str_of(name) : SM_STR("default");
}

sm_str smi_aws_profile_setting(const smi_connection *c, const char *name, sm_arena *a)
{
    const sm_str profile = smi_aws_profile(c);
    const char *path = file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", a);
    const sm_str found = find_setting(read_file(path, a), profile, name);
    if (found.len > 0) {
        return found;
    }
    return find_setting(read_file(file_path("AWS_CONFIG_FILE", "config", a), a), profile, name);
}

bool smi_aws_has_profile(const smi_connection *c, sm_arena *a)
{
    const sm_str profile = smi_aws_profile(c);
    return has_section(read_file(file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", a), a),
                       profile) ||
           has_section(read_file(file_path("AWS_CONFIG_FILE", "config", a), a), profile);
}

sm_str smi_aws_section_setting(sm_str section, const char *name, sm_arena *a)
{
    return find_setting(read_file(file_path("AWS_CONFIG_FILE", "config", a), a), section, name);
}

sm_str smi_aws_setting(const smi_connection *c, const char *variable, const char *name, sm_arena *a)
{
    const char *value = smi_aws_env(c, variable);
    return value ? sm_str_of(value) : smi_aws_profile_setting(c, name, a);
}
