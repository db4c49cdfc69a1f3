/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_format.c: the words of `format`, for texts and for integers. Called by
 * contract_read.c, which refuses other words, and contract_rule.c.
 *
 * Texts    Patterns never take back what they have matched where that could cost more than the
 *          length of the text.
 * Source   email: WHATWG HTML, "valid email address". ipv4, ipv6, uri: RFC 3986, section 3.2.2 and
 *          appendix A. hostname: RFC 1123, section 2.1. uuid: RFC 9562, section 4. date: RFC 3339,
 *          full-date. */
#include "contract/contract_int.h"

#define TEXT_FORMAT(word, pattern)                                                                 \
    {                                                                                              \
        {(word), sizeof(word) - 1},                                                                \
        {                                                                                          \
            (pattern), sizeof(pattern) - 1                                                         \
        }                                                                                          \
    }
#define BYTE_OF_4 "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4      BYTE_OF_4 "(?:\\." BYTE_OF_4 "){3}"
#define H16       "[0-9A-Fa-f]{1,4}"
#define LS32      "(?:" H16 ":" H16 "|" IPV4 ")"
#define LABEL     "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

const smi_text_format smi_text_formats[] = {
    TEXT_FORMAT("date", "[0-9]{4}-[0-9]{2}-[0-9]{2}"), /* and a day that there is */
    TEXT_FORMAT("uuid", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"),
    TEXT_FORMAT("email", "[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]++@" LABEL "(?:\\." LABEL ")*+"),
    TEXT_FORMAT("hostname", "(?=.{1,253}$)" LABEL "(?:\\." LABEL ")*+"),
    TEXT_FORMAT("ipv4", IPV4),
    TEXT_FORMAT("ipv6", "(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16
                        ":){4}" LS32 "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32
                        "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16
                        ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32
                        "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?::"),
    TEXT_FORMAT("uri", "[A-Za-z][A-Za-z0-9+.-]*+:"
                       "(?:[A-Za-z0-9._~:/?#\\[\\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})++"),
    TEXT_FORMAT("password", ""),
    TEXT_FORMAT("byte", ""),
    TEXT_FORMAT("binary", ""),
};
const int32_t smi_n_text_formats = SM_COUNT(smi_text_formats);

#define SIGNED(word, bits)                                                                         \
    {                                                                                              \
        {(word), sizeof(word) - 1}, -SMI_BITS((bits)-1), SMI_BITS((bits)-1) - 1, true, true        \
    }
#define UNSIGNED(word, bits)                                                                       \
    {                                                                                              \
        {(word), sizeof(word) - 1}, 0, SMI_BITS(bits) - 1, true, true                              \
    }

const smi_integer_format smi_integer_formats[] = {
    SIGNED("i8", 8),
    SIGNED("i16", 16),
    SIGNED("i32", 32),
    SIGNED("i64", 64),
    {{"i128", 4}, 0, 0, false, false}, /* all columns are */
    UNSIGNED("u8", 8),
    UNSIGNED("u16", 16),
    UNSIGNED("u32", 32),
    UNSIGNED("u64", 64),
    {{"u128", 4}, 0, 0, true, false},
};
const int32_t smi_n_integer_formats = SM_COUNT(smi_integer_formats);
