/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_time.c: recognises dates and times in columns that nobody declared.
 *
 * Accepted   ISO 8601 with a year of four digits and hyphens: "2022-04-03" is a DATE; with a time
 *            of day after T or a space it is a TIMESTAMP; with a zone after that (Z, +02, +0200,
 *            +02:00, UTC, GMT) a TIMESTAMP WITH TIME ZONE. sm_parse_when() reads the value, so a
 *            cast of the text gives the same one.
 * Not        What sm_parse_when() reads besides: other separators and years, words ("infinity"),
 *            surrounding spaces, an incomplete time of day, 24:00:00. They are rare among dates and
 *            look like other texts. Nor digits below a microsecond, which would be lost.
 * Callers    json_infer.c for the values of a sample; json_row.c for all values of a column that
 *            was found that way, so that both agree. */
#include "base/time.h"
#include "format/json/json_int.h"

#define DAY_US INT64_C(86400000000)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A quick test that nearly all other texts fail: "2022-" first, and a digit or a zone last. */
static bool may_be_time(sm_str s)
{
    if (s.len < 8 || s.data[4] != '-') { /* 8: "2022-4-3" */
        return false;
    }
    for (int i = 0; i < 4; i++) {
        if (!is_digit(s.data[i])) {
            return false;
        }
    }
    const char last = s.data[s.len - 1];
    const char upper = (char)(last & ~0x20);
    return is_digit(last) || last == 'Z' || upper == 'C' || upper == 'T'; /* UTC, GMT */
}

sm_type_id smi_json_time(sm_str text, int64_t *value)
{
    sm_when when = {0};
    int32_t days = 0;
    int64_t us = 0;
    if (!may_be_time(text) || !sm_parse_when(text, &when) || when.is_cut || when.us >= DAY_US ||
        memchr(text.data, '(', text.len)) { /* "0045-03-15 (BC) 12:00" */
        return SM_TYPE_STRING;
    }
    const sm_type_id id = !when.has_clock ? SM_TYPE_DATE
                          : when.has_zone ? SM_TYPE_TIMESTAMP
                                          : SM_TYPE_TIMESTAMP_NTZ;
    const bool is_held = id == SM_TYPE_DATE
                             ? sm_when_date(&when, &days)
                             : sm_when_timestamp(&when, id == SM_TYPE_TIMESTAMP, &us);
    SM_ENSURE(is_held); /* these types hold all years of four digits */
    *value = id == SM_TYPE_DATE ? days : us;
    return id;
}
