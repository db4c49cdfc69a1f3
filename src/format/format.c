/* SPDX-License-Identifier: Apache-2.0
 *
 * format/format.c: the registry of formats, made from formats.def; the schema of refused lines; and
 * the advice for columns that were found in a sample. */
#include "format/format.h"

#define SM_FORMAT(name) extern const sm_format sm_format_##name;
#include "format/formats.def"
#undef SM_FORMAT

const sm_format *const sm_formats[] = {
#define SM_FORMAT(name) &sm_format_##name,
#include "format/formats.def"
#undef SM_FORMAT
    NULL,
};

const sm_type sm_type_unseen = {.id = SM_TYPE_STRING};

static const sm_field refused_fields[] = {
    [SM_REFUSED_LINE] = {.name = {"line", 4}, .type = &sm_type_i64},
    [SM_REFUSED_BYTE_OFFSET] = {.name = {"byte_offset", 11}, .type = &sm_type_i64},
    [SM_REFUSED_COLUMN] = {.name = {"column", 6}, .type = &sm_type_string, .is_nullable = true},
    [SM_REFUSED_REASON] = {.name = {"reason", 6}, .type = &sm_type_string},
    [SM_REFUSED_MESSAGE] = {.name = {"message", 7}, .type = &sm_type_string},
    [SM_REFUSED_RAW] = {.name = {"raw", 3}, .type = &sm_type_binary},
    [SM_REFUSED_RAW_BYTES] = {.name = {"raw_bytes", 9}, .type = &sm_type_i64},
};
_Static_assert(SM_COUNT(refused_fields) == SM_REFUSED_COLUMNS, "a field for each refused column");

const sm_type sm_refused_schema = {
    .id = SM_TYPE_STRUCT,
    .fields = refused_fields,
    .n_fields = SM_REFUSED_COLUMNS,
};

const sm_format *sm_format_named(sm_str name)
{
    for (int i = 0; sm_formats[i]; i++) {
        if (sm_str_is(name, sm_formats[i]->name)) {
            return sm_formats[i];
        }
    }
    return NULL;
}

/* Does the name end in one of the words of `suffixes`, with something before it? */
static bool has_suffix(const char *suffixes, sm_str name)
{
    while (*suffixes != '\0') {
        const size_t len = strcspn(suffixes, " ");
        SM_ASSERT(len == 0 || suffixes[0] == '.');
        if (len > 0 && name.len > len && sm_str_ends(name, (sm_str){suffixes, len})) {
            return true;
        }
        suffixes += len + strspn(suffixes + len, " ");
    }
    return false;
}

const sm_format *sm_format_of_name(sm_str file_name)
{
    for (int i = 0; sm_formats[i]; i++) {
        if (has_suffix(sm_formats[i]->suffixes, file_name)) {
            return sm_formats[i];
        }
    }
    return NULL;
}

const sm_format *sm_format_to_write(sm_str file_name)
{
    size_t dot = file_name.len;

    while (dot > 0 && file_name.data[dot - 1] != '.' && file_name.data[dot - 1] != '/') {
        dot--;
    }
    if (dot == 0 || file_name.data[dot - 1] != '.') {
        return NULL;
    }
    const sm_format *f = sm_format_named((sm_str){file_name.data + dot, file_name.len - dot});
    return f && f->writer ? f : NULL;
}

sm_status sm_format_infer(const sm_format *f, sm_blob *blob, const void *opts, sm_arena *a,
                          const sm_type **out, sm_error *e)
{
    SM_ASSERT(sm_format_is_read(f));
    sm_sample *sample = f->sample_new(opts);
    sm_sampled all = {0};
    const sm_status st = f->sample_file(sample, blob, -1, &all, e);
    if (st == SM_OK) {
        *out = f->sample_end(sample, NULL, a);
        SM_ASSERT((*out)->id == SM_TYPE_STRUCT && !all.skips_rows && !all.skips_files);
    }
    f->sample_free(sample);
    return st;
}

void sm_unknown_advise(const sm_sampled *s, sm_error *e)
{
    const char *options = s ? sm_sampled_options(s) : "";
    SM_ASSERT(e->status != SM_OK);
    sm_error_todo(e, "Take it with %s%scolumns => {…}, or leave it out with unknown => 'ignore'.",
                  options, options[0] != '\0' ? " or " : "");
}

const char *sm_key_type(uint32_t kinds)
{
    const uint32_t numbers = SM_KEY_SHORT | SM_KEY_LONG | SM_KEY_HUGE | SM_KEY_FRACTION;
    const uint32_t scalars = numbers | SM_KEY_BOOLEAN | SM_KEY_TEXT;
    const uint32_t of = kinds & ~(uint32_t)SM_KEY_NULL;

    if (of == SM_KEY_LIST || of == SM_KEY_OBJECT) {
        return of == SM_KEY_LIST ? "LIST" : "STRUCT";
    }
    return of == 0                                                   ? "NULL"
           : (of & ~scalars) != 0                                    ? NULL
           : of == SM_KEY_BOOLEAN                                    ? "BOOLEAN"
           : (of & ~(uint32_t)(SM_KEY_SHORT | SM_KEY_LONG)) == 0     ? "BIGINT"
           : (of & ~(uint32_t)(SM_KEY_SHORT | SM_KEY_FRACTION)) == 0 ? "DOUBLE"
                                                                     : "VARCHAR";
}

const char *sm_sampled_options(const sm_sampled *s)
{
    return s->skips_rows && s->skips_files ? "sample_size => -1, maximum_sample_files => -1"
           : s->skips_rows                 ? "sample_size => -1"
           : s->skips_files                ? "maximum_sample_files => -1"
                                           : "";
}
