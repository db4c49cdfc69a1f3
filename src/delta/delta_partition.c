/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_partition.c: the values that a table is partitioned by: as texts of the log, as names
 * of folders, and as what they tell of a file's rows.
 *
 * Text     A value that would not be read back as itself from its text is refused before a file is
 *          written for it: an empty text, which the log reads as NULL; bytes that are not UTF-8;
 *          years beyond four digits; the text __HIVE_DEFAULT_PARTITION__, which readers that go by
 *          folders take for NULL (Polars, and Spark when it writes). So no value changes unnoticed.
 * Time     An instant is written in UTC, as ISO 8601 ("2022-04-01T17:05:00.000000Z"): without a
 *          zone, readers would take it for the time of their own zone.
 * Folder   column=value/ for each partition column, in their order. Names and values are escaped as
 *          Hive and Spark do, NULL is __HIVE_DEFAULT_PARTITION__. Readers of Delta take values from
 *          the log; Polars takes them from the names, and an instant as it stands there, as UTC,
 *          without a zone ("2022-04-01 17%3A05%3A00"): the form in which delta-rs writes them.
 * Callers  table_out.c and table_partition.c; delta's own files when they read and write actions
 * Source   PROTOCOL.md, "Partition Value Serialization"; apache/spark, ExternalCatalogUtils.scala
 *          (which characters are escaped) */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

#define MOST_FOLDER_BYTES 255 /* of a name, on all common file systems */
#define NULL_FOLDER       SM_STR("__HIVE_DEFAULT_PARTITION__")

int32_t sm_delta_partition_at(const sm_delta_metadata *m, int32_t field)
{
    SM_ASSERT(field >= 0 && field < m->schema->n_fields);
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        if (sm_type_find(m->schema, m->partition_columns[i]) == field) {
            return i;
        }
    }
    return -1;
}

/* ---- as text --------------------------------------------------------------------------------- */

sm_status smi_partition_value(const sm_type *t, sm_str text, sm_arena *a, sm_value *out,
                              sm_error *e)
{
    if (!text.data || text.len == 0) {
        *out = sm_value_null(t);
        return SM_OK;
    }
    bool is_exact = false;
    if (!smi_text_value(t, sm_arena_str(a, text), out, &is_exact) || !is_exact) {
        return sm_fail(e, SM_CORRUPT, "partition value \"%.*s\" cannot be read", SM_STR_ARG(text));
    }
    return SM_OK;
}

/* SQL prints a DECIMAL(2,2) as .50, which is no number in JSON. */
static void print_decimal(sm_value v, sm_buf *out)
{
    sm_buf text = {0};

    sm_value_print(v, &text);
    const sm_str s = sm_buf_str(&text);
    SM_ASSERT(s.len > 0);
    const size_t sign = s.data[0] == '-';
    sm_buf_text(out, (sm_str){s.data, sign});
    sm_buf_text(out, s.data[sign] == '.' ? SM_STR("0") : SM_STR(""));
    sm_buf_text(out, (sm_str){s.data + sign, s.len - sign});
    sm_buf_release(&text);
}

static void print_float(sm_value v, sm_buf *out)
{
    if (isnan(v.as.f)) {
        sm_buf_text(out, SM_STR("NaN"));
    } else if (isinf(v.as.f)) {
        sm_buf_text(out, v.as.f < 0 ? SM_STR("-Infinity") : SM_STR("Infinity"));
    } else {
        sm_value_print(v, out);
    }
}

static void print_instant(int64_t us, sm_buf *out)
{
    char text[SM_TIME_TEXT_BYTES];
    const sm_str s = {text, sm_format_timestamp(us, text)};
    const bool has_fraction = memchr(s.data, '.', s.len) != NULL;
    char *space = memchr(text, ' ', s.len);

    SM_ASSERT(space != NULL);
    *space = 'T';
    sm_buf_text(out, s);
    sm_buf_text(out, has_fraction ? SM_STR("Z") : SM_STR(".000000Z"));
}

void smi_partition_text(sm_value v, sm_buf *out)
{
    if (v.is_null) {
        return;
    }
    switch (v.type->id) {
    case SM_TYPE_DECIMAL:
        print_decimal(v, out);
        break;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        print_float(v, out);
        break;
    case SM_TYPE_TIMESTAMP:
        print_instant(v.as.i, out);
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        sm_buf_text(out, v.as.s);
        break;
    default:
        sm_value_print(v, out);
        break;
    }
}

/* Are the values the same for a partition? −0 and 0 are equal numbers with different texts. */
bool sm_delta_partition_eq(sm_value a, sm_value b)
{
    const bool is_float = a.type->id == SM_TYPE_F32 || a.type->id == SM_TYPE_F64;

    return sm_value_eq(a, b) &&
           (!is_float || a.is_null || isnan(a.as.f) || signbit(a.as.f) == signbit(b.as.f));
}

/* ---- as folders ------------------------------------------------------------------------------ */

static void put_escaped(sm_str text, sm_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = (uint8_t)text.data[i];
        if (c < 0x20 || c == 0x7F || strchr("\"#%'*/:=?\\{[]^", c)) {
            sm_buf_printf(out, "%%%02X", (unsigned)c);
        } else {
            sm_buf_text(out, (sm_str){text.data + i, 1});
        }
    }
}

void sm_delta_folder_of(sm_str column, sm_buf *out)
{
    put_escaped(column, out);
    sm_buf_text(out, SM_STR("="));
}

static sm_status fail_value(const sm_field *column, sm_value v, sm_error *e)
{
    sm_buf text = {0};

    if (sm_type_is_bytes(v.type->id) && v.as.s.len == 0) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "partition column \"%.*s\" has an empty text in a row",
                    SM_STR_ARG(column->name));
        sm_error_todo(e, "A Delta log cannot tell it from NULL: write nullif(\"%.*s\", '').",
                      SM_STR_ARG(column->name));
        return st;
    }
    sm_value_print(v, &text);
    const sm_status st =
        sm_fail(e, SM_INVALID, "partition column \"%.*s\" has the value %.*s in a row",
                SM_STR_ARG(column->name), SM_STR_ARG(sm_buf_str(&text)));
    sm_error_todo(e,
                  "Readers would take it for another value, so it cannot be that of a partition.");
    sm_buf_release(&text);
    return st;
}

/* Appends the value as a part of a name, if it can be read back from a log. */
static sm_status put_value(const sm_field *column, sm_value v, sm_arena *a, sm_buf *out,
                           sm_error *e)
{
    sm_value back = {0};
    sm_error unused = {0};
    sm_buf text = {0};

    smi_partition_text(v, &text);
    const sm_str said = sm_buf_str(&text);
    const bool is_said = sm_utf8_check(said.data, said.len) == said.len && smi_is_printable(v) &&
                         !sm_str_eq(said, NULL_FOLDER) &&
                         smi_partition_value(v.type, said, a, &back, &unused) == SM_OK &&
                         sm_delta_partition_eq(v, back);
    if (v.type->id == SM_TYPE_TIMESTAMP) {
        char local[SM_TIME_TEXT_BYTES];
        put_escaped((sm_str){local, sm_format_timestamp(v.as.i, local)}, out);
    } else {
        put_escaped(said, out);
    }
    sm_buf_release(&text);
    return is_said ? SM_OK : fail_value(column, v, e);
}

static sm_status put_folder(const sm_field *column, sm_value v, sm_arena *a, sm_buf *out,
                            sm_error *e)
{
    const size_t start = out->len;

    sm_delta_folder_of(smi_physical_name(column, a), out);
    if (v.is_null) {
        sm_buf_text(out, NULL_FOLDER);
    } else {
        SM_TRY(put_value(column, v, a, out, e));
    }
    if (out->len - start > MOST_FOLDER_BYTES) {
        const sm_status st = sm_fail(
            e, SM_LIMIT, "partition column \"%.*s\" has a value whose folder's name has %zu bytes",
            SM_STR_ARG(column->name), out->len - start);
        sm_error_todo(e, "At most %d are possible; partition by a shorter value.",
                      MOST_FOLDER_BYTES);
        return st;
    }
    sm_buf_text(out, SM_STR("/"));
    return SM_OK;
}

sm_status sm_delta_partition_folder(const sm_delta_metadata *m, const sm_value *values, sm_arena *a,
                                    sm_str *out, sm_error *e)
{
    sm_buf text = {0};
    sm_status st = SM_OK;

    for (int32_t i = 0; i < m->n_partition_columns && st == SM_OK; i++) {
        const int32_t field = sm_type_find(m->schema, m->partition_columns[i]);
        SM_ASSERT(field >= 0 && sm_type_eq(values[i].type, m->schema->fields[field].type));
        st = put_folder(&m->schema->fields[field], values[i], a, &text, e);
    }
    *out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return st;
}
