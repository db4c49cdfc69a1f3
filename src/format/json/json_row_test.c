/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_row_test.c: what a line means: tables of lines and the rows or refusals they
 * become.
 */
#include "json_read.h"
#include "test.h"

#define NESTED                                                                                     \
    "STRUCT(_i VARCHAR, _n BIGINT, _s STRUCT(code VARCHAR, port VARCHAR, secs BIGINT, app "        \
    "VARCHAR))"
#define NESTED_ORDER "_i,_n,app,code,port,secs"

static const struct {
    const char *schema, *text;
    const char *rows, *refused; /* refused without messages */
} cases[] = {
    /* keys: order, repetition, escapes, unknown ones */
    {NESTED, "{\"_i\":\"h\",\"_n\":0,\"_s\":{\"code\":\"K7\",\"secs\":254,\"app\":\"a\"}}\n",
     "[\"h\",0,{\"code\":\"K7\",\"port\":null,\"secs\":254,\"app\":\"a\"}]\n", ""},
    {NESTED, "{\"_s\":{\"app\":\"a\",\"secs\":1},\"_n\":2}\r\n",
     "[null,2,{\"code\":null,\"port\":null,\"secs\":1,\"app\":\"a\"}]\n", ""},
    {NESTED, "{}", "[null,null,null]\n", ""},
    {NESTED, "{\"_s\":{}}",
     "[null,null,{\"code\":null,\"port\":null,\"secs\":null,\"app\":null}]\n", ""},
    {NESTED, "{\"_s\":null}", "[null,null,null]\n", ""},
    {NESTED, "{\"_s\":{\"code\":\"x\",\"secs\":1},\"_s\":{\"app\":\"y\"}}",
     "[null,null,{\"code\":null,\"port\":null,\"secs\":null,\"app\":\"y\"}]\n", ""},
    {NESTED, "{\"_s\":{\"secs\":\"bad\"},\"_s\":null}", "[null,null,null]\n", ""},
    {NESTED, "{\"_s\":5,\"_s\":{\"secs\":3}}",
     "[null,null,{\"code\":null,\"port\":null,\"secs\":3,\"app\":null}]\n", ""},
    {NESTED, "{\"_s\":{\"secs\":3},\"_s\":5}", "",
     "1@0 type_mismatch app <{\"_s\":{\"secs\":3},\"_s\":5}>\n"},
    {NESTED, "{\"_n\":true,\"_n\":7}", "[null,7,null]\n", ""},
    {NESTED, "{\"_n\":7,\"_n\":null}", "[null,null,null]\n", ""},
    {NESTED, "{\"\\u005f\\u006e\":7,\"\\u005Fs\":{\"s\\u0065cs\":9}}",
     "[null,7,{\"code\":null,\"port\":null,\"secs\":9,\"app\":null}]\n", ""},
    {NESTED, "{\"_N\":7,\"_nn\":7,\"_\":7,\"\":7}", "[null,null,null]\n", ""},
    {NESTED, " \t{ \"_n\" : 1 , \"_i\" : \"b\" } \r\n", "[\"b\",1,null]\n", ""},
    {"STRUCT(\"\" BIGINT, \"a b\" BIGINT, \"q\"\"q\" BIGINT, \"exactly_16_chars\" BIGINT, "
     "fifteen_chars__ BIGINT)",
     "{\"\":1,\"a b\":2,\"q\\\"q\":3,\"exactly_16_chars\":4,\"fifteen_chars__\":5}",
     "[1,2,3,4,5]\n", ""},
    /* strings */
    {"STRUCT(a VARCHAR)",
     "{\"a\":\"\"}\n{\"a\":\" x \"}\n{\"a\":null}\n{\"a\":-1.50e+3}\n{\"a\":false}\n",
     "[\"\"]\n[\" x \"]\n[null]\n[\"-1.50e+3\"]\n[\"false\"]\n", ""},
    {"STRUCT(a VARCHAR)", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\ud83d\\ude00\"}",
     "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\xc3\xa9\xf0\x9f\x98\x80\"]\n", ""},
    {"STRUCT(a VARCHAR)", "{\"a\":\"\xc3\xa9 over twelve bytes \xf0\x9f\x98\x80\"}",
     "[\"\xc3\xa9 over twelve bytes \xf0\x9f\x98\x80\"]\n", ""},
    {"STRUCT(a VARCHAR)", "{\"a\":[]}\n{\"a\":{}}\n", "",
     "1@0 type_mismatch a <{\"a\":[]}>\n2@9 type_mismatch a <{\"a\":{}}>\n"},
    {"STRUCT(a BLOB)", "{\"a\":\"xyz\"}\n{\"a\":1}\n", "[\"78797a\"]\n",
     "2@12 type_mismatch a <{\"a\":1}>\n"},
    /* long */
    {"STRUCT(n BIGINT)",
     "{\"n\":1e3}\n{\"n\":254.0}\n{\"n\":-0}\n{\"n\":0e500}\n{\"n\":1E+2}\n{\"n\":-0.0e-9}\n{\"n\":"
     "1230e-1}\n"
     "{\"n\":9223372036854775807}\n{\"n\":-9223372036854775808}\n{\"n\":9.223372036854775807e18}\n"
     "{\"n\":9007199254740993.0}\n{\"n\":0.00001e5}\n{\"n\":92233720368547758070e-1}\n",
     "[1000]\n[254]\n[0]\n[0]\n[100]\n[0]\n[123]\n[9223372036854775807]\n[-9223372036854775808]\n"
     "[9223372036854775807]\n[9007199254740993]\n[1]\n[9223372036854775807]\n",
     ""},
    {"STRUCT(n BIGINT)",
     "{\"n\":\"12\"}\n{\"n\":\"-0\"}\n{\"n\":\"0\"}\n{\"n\":\"-9223372036854775808\"}\n{\"n\":"
     "\"\\u0031\\u0032\"}\n",
     "[12]\n[0]\n[0]\n[-9223372036854775808]\n[12]\n", ""},
    {"STRUCT(n BIGINT)",
     "{\"n\":9223372036854775808}\n{\"n\":-9223372036854775809}\n{\"n\":1e19}\n{\"n\":"
     "1e999999999999999999999}\n"
     "{\"n\":\"9223372036854775808\"}\n{\"n\":\"-99999999999999999999999999999999999999999999\"}\n",
     "",
     "1@0 out_of_range n <{\"n\":9223372036854775808}>\n2@26 out_of_range n "
     "<{\"n\":-9223372036854775809}>\n"
     "3@53 out_of_range n <{\"n\":1e19}>\n4@64 out_of_range n <{\"n\":1e999999999999999999999}>\n"
     "5@94 out_of_range n <{\"n\":\"9223372036854775808\"}>\n"
     "6@122 out_of_range n <{\"n\":\"-99999999999999999999999999999999999999999999\"}>\n"},
    {"STRUCT(n BIGINT)",
     "{\"n\":254.5}\n{\"n\":\"12x\"}\n{\"n\":\"\"}\n{\"n\":true}\n{\"n\":[1]}\n{\"n\":{}}\n{\"n\":"
     "\" 1\"}\n{\"n\":\"01\"}\n"
     "{\"n\":\"1e3\"}\n{\"n\":\"1.0\"}\n{\"n\":\"+1\"}\n{\"n\":1e-1}\n{\"n\":99999999999999999999."
     "5}\n{\"n\":1e-999999999999}\n{\"n\":\"-\"}\n",
     "",
     "1@0 type_mismatch n <{\"n\":254.5}>\n2@12 type_mismatch n <{\"n\":\"12x\"}>\n3@24 "
     "type_mismatch n <{\"n\":\"\"}>\n"
     "4@33 type_mismatch n <{\"n\":true}>\n5@44 type_mismatch n <{\"n\":[1]}>\n6@54 type_mismatch "
     "n <{\"n\":{}}>\n"
     "7@63 type_mismatch n <{\"n\":\" 1\"}>\n8@74 type_mismatch n <{\"n\":\"01\"}>\n9@85 "
     "type_mismatch n <{\"n\":\"1e3\"}>\n"
     "10@97 type_mismatch n <{\"n\":\"1.0\"}>\n11@109 type_mismatch n <{\"n\":\"+1\"}>\n12@120 "
     "type_mismatch n <{\"n\":1e-1}>\n"
     "13@131 type_mismatch n <{\"n\":99999999999999999999.5}>\n14@160 type_mismatch n "
     "<{\"n\":1e-999999999999}>\n"
     "15@182 type_mismatch n <{\"n\":\"-\"}>\n"},
    /* other types */
    {"STRUCT(t TINYINT, u UTINYINT, w UBIGINT)",
     "{\"t\":-128,\"u\":255,\"w\":18446744073709551615}\n{\"t\":128}\n{\"u\":-1}\n{\"w\":"
     "18446744073709551616}\n{\"u\":\"-0\"}\n",
     "[-128,255,18446744073709551615]\n[null,0,null]\n",
     "2@44 out_of_range t <{\"t\":128}>\n3@54 out_of_range u <{\"u\":-1}>\n"
     "4@63 out_of_range w <{\"w\":18446744073709551616}>\n"},
    {"STRUCT(b BOOLEAN)", "{\"b\":true}\n{\"b\":false}\n{\"b\":1}\n{\"b\":\"true\"}\n",
     "[true]\n[false]\n",
     "3@23 type_mismatch b <{\"b\":1}>\n4@31 type_mismatch b <{\"b\":\"true\"}>\n"},
    {"STRUCT(f DOUBLE)",
     "{\"f\":0.5}\n{\"f\":\"-1.5e1\"}\n{\"f\":1e400}\n{\"f\":\"nan\"}\n{\"f\":1e-400}\n{\"f\":\"\"}"
     "\n{\"f\":3}\n",
     "[0.5]\n[-15.0]\n[0.0]\n[3.0]\n",
     "3@25 out_of_range f <{\"f\":1e400}>\n4@37 type_mismatch f <{\"f\":\"nan\"}>\n6@62 "
     "type_mismatch f <{\"f\":\"\"}>\n"},
    {"STRUCT(f FLOAT)", "{\"f\":0.5}\n{\"f\":1e39}\n{\"f\":3.4028234e38}\n",
     "[0.5]\n[3.4028235e+38]\n", "2@10 out_of_range f <{\"f\":1e39}>\n"},
    /* an integer is exact or refused, also beside fractions; those are rounded */
    {"STRUCT(f DOUBLE)",
     "{\"f\":9007199254740993}\n{\"f\":9007199254740992}\n{\"f\":-9007199254740993}\n"
     "{\"f\":\"9007199254740993\"}\n{\"f\":17293822569102704640}\n{\"f\":17293822569102704641}\n"
     "{\"f\":9007199254740993.0}\n{\"f\":1e23}\n{\"f\":100000000000000000000000000000000000000000}"
     "\n",
     "[9007199254740992.0]\n[1.7293822569102705e+19]\n[9007199254740992.0]\n[1e+23]\n",
     "1@0 out_of_range f <{\"f\":9007199254740993}>\n3@46 out_of_range f "
     "<{\"f\":-9007199254740993}>\n"
     "4@70 out_of_range f <{\"f\":\"9007199254740993\"}>\n6@122 out_of_range f "
     "<{\"f\":17293822569102704641}>\n"
     "9@185 out_of_range f <{\"f\":100000000000000000000000000000000000000000}>\n"},
    {"STRUCT(f FLOAT, l DOUBLE[])",
     "{\"f\":16777216}\n{\"f\":16777217}\n{\"l\":[0.1,9007199254740993]}\n{\"l\":[0.1,1e3]}\n",
     "[16777216.0,null]\n[null,[0.1,1000.0]]\n",
     "2@15 out_of_range f <{\"f\":16777217}>\n3@30 out_of_range l "
     "<{\"l\":[0.1,9007199254740993]}>\n"},
    {"STRUCT(u UBIGINT, d DECIMAL(38,0))",
     "{\"u\":1e3,\"d\":1e3}\n{\"u\":254.0,\"d\":254.0}\n{\"u\":18446744073709551615.0,"
     "\"d\":-99999999999999999999999999999999999999}\n"
     "{\"u\":\"18446744073709551615\",\"d\":\"18446744073709551616\"}\n"
     "{\"u\":-0,\"d\":0e99}\n{\"u\":-1}\n{\"u\":\"-1\"}\n{\"u\":\"1e3\"}\n{\"u\":0.5}\n"
     "{\"d\":100000000000000000000000000000000000000}\n{\"d\":1e38}\n{\"d\":0.5}\n"
     "{\"d\":999999999999999999999999999999999999990e-1}\n",
     "[1000,1000]\n[254,254]\n[18446744073709551615,-99999999999999999999999999999999999999]\n"
     "[18446744073709551615,18446744073709551616]\n[0,0]\n"
     "[null,99999999999999999999999999999999999999]\n",
     "6@187 out_of_range u <{\"u\":-1}>\n7@196 out_of_range u <{\"u\":\"-1\"}>\n"
     "8@207 type_mismatch u <{\"u\":\"1e3\"}>\n9@219 type_mismatch u <{\"u\":0.5}>\n"
     "10@229 out_of_range d <{\"d\":100000000000000000000000000000000000000}>\n"
     "11@275 out_of_range d <{\"d\":1e38}>\n12@286 type_mismatch d <{\"d\":0.5}>\n"},
    {"STRUCT(d DECIMAL(5,2))",
     "{\"d\":999.99}\n{\"d\":-0.1}\n{\"d\":\"1e2\"}\n{\"d\":1000}\n{\"d\":0.001}\n{\"d\":1e99}\n{"
     "\"d\":\"x\"}\n",
     "[999.99]\n[-0.10]\n[100.00]\n",
     "4@36 out_of_range d <{\"d\":1000}>\n5@47 type_mismatch d <{\"d\":0.001}>\n6@59 out_of_range "
     "d <{\"d\":1e99}>\n"
     "7@70 type_mismatch d <{\"d\":\"x\"}>\n"},
    {"STRUCT(d DATE, t TIMESTAMP)",
     "{\"d\":\"2022-04-30\",\"t\":\"2022-04-01T17:05:00\"}\n{\"d\":\"2022-04-31\"}\n{\"d\":"
     "20220401}\n{\"t\":\"noon\"}\n",
     "[\"2022-04-30\",\"2022-04-01 17:05:00\"]\n",
     "2@45 type_mismatch d <{\"d\":\"2022-04-31\"}>\n3@64 type_mismatch d <{\"d\":20220401}>\n4@79 "
     "type_mismatch t <{\"t\":\"noon\"}>\n"},
    /* a TIMESTAMP is the clock on the wall, TIMESTAMPTZ the instant; a DATE does not shift */
    {"STRUCT(z TIMESTAMPTZ, n TIMESTAMP, t TIME, d DATE)",
     "{\"z\":\"2022-04-01 17:05:00\",\"n\":\"2022-04-01T17:05:00.5+07:00\",\"t\":\"23:59:59\"}\n"
     "{\"z\":\"2022-04-01T01:05:00+0200\",\"n\":\"2022-04-01T01:05 UTC\",\"t\":\"1:05\","
     "\"d\":\"2022-04-01T01:05+02\"}\n"
     "{\"z\":\"infinity\",\"n\":\"-infinity\",\"d\":\"2022/4/1\"}\n",
     "[\"2022-04-01 17:05:00+00\",\"2022-04-01 17:05:00.5\",\"23:59:59\",null]\n"
     "[\"2022-03-31 23:05:00+00\",\"2022-04-01 01:05:00\",\"01:05:00\",\"2022-04-01\"]\n"
     "[\"infinity\",\"-infinity\",null,\"2022-04-01\"]\n",
     ""},
    /* lists and deeper structs */
    {"STRUCT(l BIGINT[])",
     "{\"l\":[1,\"2\",null, 3e0 ]}\n{\"l\":[]}\n{\"l\":null}\n{\"l\":[1,\"x\"]}\n{\"l\":{}}\n",
     "[[1,2,null,3]]\n[[]]\n[null]\n",
     "4@45 type_mismatch l <{\"l\":[1,\"x\"]}>\n5@59 type_mismatch l <{\"l\":{}}>\n"},
    {"STRUCT(l STRUCT(a VARCHAR, b BIGINT[])[])",
     "{\"l\":[{\"a\":\"x\",\"b\":[1,2]},{\"b\":[]},null,{\"a\":\"a long string "
     "here\",\"a\":\"\\t\"}]}\n{\"l\":[{\"b\":[1e400]}]}\n{\"l\":[[]]}\n",
     "[[{\"a\":\"x\",\"b\":[1,2]},{\"a\":null,\"b\":[]},null,{\"a\":\"\\t\",\"b\":null}]]\n",
     "2@78 out_of_range l <{\"l\":[{\"b\":[1e400]}]}>\n3@100 type_mismatch l <{\"l\":[[]]}>\n"},
    {"STRUCT(s STRUCT(u STRUCT(v BIGINT, w VARCHAR)))",
     "{\"s\":{\"u\":{\"w\":\"k\",\"v\":4}}}\n{\"s\":{\"u\":[]}}\n",
     "[{\"u\":{\"v\":4,\"w\":\"k\"}}]\n", "2@28 type_mismatch v <{\"s\":{\"u\":[]}}>\n"},
    {"STRUCT(l BIGINT[][])", "{\"l\":[[1],[],null,[2,3]]}\n", "[[[1],[],null,[2,3]]]\n", ""},
    /* maps: the last of a key wins, in the first one's place, and only it is checked */
    {"STRUCT(m MAP(VARCHAR, BIGINT))",
     "{\"m\":{\"a\":1,\"b\":\"2\",\"a\":3}}\n{\"m\":{}}\n{\"m\":null}\n{}\n"
     "{\"m\":{\"\\u0061\":1,\"a\":null,\"over twelve bytes \\u00e9\":1e1,\"\":0}}\n"
     "{\"m\":{\"a\":\"x\",\"a\":4}}\n{\"m\":[],\"m\":{\"k\":5}}\n",
     "[{\"a\":3,\"b\":2}]\n[{}]\n[null]\n[null]\n"
     "[{\"a\":null,\"over twelve bytes \xc3\xa9\":10,\"\":0}]\n[{\"a\":4}]\n[{\"k\":5}]\n",
     ""},
    {"STRUCT(m MAP(VARCHAR, BIGINT))",
     "{\"m\":{\"a\":1,\"b\":\"x\"}}\n{\"m\":[]}\n{\"m\":{\"a\":9223372036854775808}}\n{\"m\":5}\n",
     "",
     "1@0 type_mismatch m <{\"m\":{\"a\":1,\"b\":\"x\"}}>\n2@22 type_mismatch m <{\"m\":[]}>\n"
     "3@31 out_of_range m <{\"m\":{\"a\":9223372036854775808}}>\n4@63 type_mismatch m "
     "<{\"m\":5}>\n"},
    {"STRUCT(m MAP(VARCHAR, BIGINT))",
     "{\"m\":{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,"
     "\"k3\":33,\"\\u006b8\":88,\"k9\":9}}\n",
     "[{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":33,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":88,\"k9\":"
     "9}]"
     "\n",
     ""},
    {"STRUCT(m MAP(VARCHAR, STRUCT(a BIGINT, l VARCHAR[])))",
     "{\"m\":{\"x\":{\"a\":1,\"a\":2,\"z\":0},\"y\":null,\"w\":{\"l\":[\"p\",1]}}}\n"
     "{\"m\":{\"x\":{\"a\":1},\"x\":{\"l\":[]}}}\n{\"m\":{\"x\":{\"a\":[]}}}\n",
     "[{\"x\":{\"a\":2,\"l\":null},\"y\":null,\"w\":{\"a\":null,\"l\":[\"p\",\"1\"]}}]\n"
     "[{\"x\":{\"a\":null,\"l\":[]}}]\n",
     "3@92 type_mismatch m <{\"m\":{\"x\":{\"a\":[]}}}>\n"},
    {"STRUCT(l MAP(VARCHAR, MAP(VARCHAR, DOUBLE))[], s STRUCT(m MAP(VARCHAR, VARCHAR)))",
     "{\"l\":[{\"a\":{\"x\":1,\"x\":2.5,\"\\u0079\":3},\"b\":{},\"a\":{\"z\":4}},null,{}],"
     "\"s\":{\"m\":{\"t\":true,\"n\":-0.10}}}\n",
     "[[{\"a\":{\"z\":4.0},\"b\":{}},null,{}],{\"m\":{\"t\":\"true\",\"n\":\"-0.10\"}}]\n", ""},
    /* refused as a whole */
    {"STRUCT(a BIGINT)", "[]\n1\n\"x\"\nnull\n", "",
     "1@0 not_object - <[]>\n2@3 not_object - <1>\n3@5 not_object - <\"x\">\n4@9 not_object - "
     "<null>\n"},
    {"STRUCT(a BIGINT)",
     "{\"a\":1\n{a:1}\n{\"a\":NaN}\n{\"a\":1,}\n{\"a\":01}\n{} {}\n{\"a\":1}/*c*/\n[1,]\nx\n", "",
     "1@0 syntax - <{\"a\":1>\n2@7 syntax - <{a:1}>\n3@13 syntax - <{\"a\":NaN}>\n4@23 syntax - "
     "<{\"a\":1,}>\n"
     "5@32 syntax - <{\"a\":01}>\n6@41 syntax - <{} {}>\n7@47 syntax - <{\"a\":1}/*c*/>\n8@60 "
     "syntax - <[1,]>\n9@65 syntax - <x>\n"},
    {"STRUCT(a VARCHAR)",
     "{\"a\":\"\\ud800\"}\n{\"\\udc00\":1}\n{\"b\":\"\\ud800\\u0041\"}\n{\"a\":\"\\ud83d\\ude00\"}"
     "\n{\"a\":\"\\ud800\n",
     "[\"\xf0\x9f\x98\x80\"]\n",
     "1@0 lone_surrogate - <{\"a\":\"\\ud800\"}>\n2@15 lone_surrogate - <{\"\\udc00\":1}>\n"
     "3@28 lone_surrogate - <{\"b\":\"\\ud800\\u0041\"}>\n5@70 lone_surrogate - "
     "<{\"a\":\"\\ud800>\n"},
    /* whichever of the three comes first in the line */
    {"STRUCT(a BIGINT)", "{\"a\":\"\\ud800\",}\n{\"a\":,\"b\":\"\\ud800\"}\n", "",
     "1@0 lone_surrogate - <{\"a\":\"\\ud800\",}>\n2@16 syntax - <{\"a\":,\"b\":\"\\ud800\"}>\n"},
    /* not_object before columns, invalid_utf8 before syntax */
    {"STRUCT(a BIGINT)", "[\"x\",\xff\n{\"a\":\"x\"\xc3(\n\x80\n", "",
     "1@0 invalid_utf8 - <[\"x\",\xff>\n2@7 invalid_utf8 - <{\"a\":\"x\"\xc3(>\n3@18 invalid_utf8 "
     "- <\x80>\n"},
    /* an offence of an earlier column wins, and range or type is that column's */
    {"STRUCT(a BIGINT, b BIGINT)", "{\"b\":\"x\",\"a\":1e30}\n{\"a\":true,\"b\":1e30}\n", "",
     "1@0 out_of_range a <{\"b\":\"x\",\"a\":1e30}>\n2@19 type_mismatch a "
     "<{\"a\":true,\"b\":1e30}>\n"},
    {NESTED,
     "{\"_s\":[],\"_n\":\"x\"}\n{\"_s\":{\"secs\":1.5,\"app\":[]}}\n{\"_s\":{\"secs\":1.5,\"code\":"
     "[]}}\n",
     "",
     "1@0 type_mismatch _n <{\"_s\":[],\"_n\":\"x\"}>\n2@19 type_mismatch app "
     "<{\"_s\":{\"secs\":1.5,\"app\":[]}}>\n"
     "3@48 type_mismatch code <{\"_s\":{\"secs\":1.5,\"code\":[]}}>\n"},
    /* lines */
    {"STRUCT(a BIGINT)", "", "", ""},
    {"STRUCT(a BIGINT)", "\xef\xbb\xbf", "", ""},
    {"STRUCT(a BIGINT)", "\xef\xbb\xbf{\"a\":1}\nx", "[1]\n", "2@11 syntax - <x>\n"},
    {"STRUCT(a BIGINT)", "\xef\xbb\xbfx\n\xef\xbb\xbf{}\n", "",
     "1@3 syntax - <x>\n2@5 syntax - <\xef\xbb\xbf{}>\n"},
    {"STRUCT(a BIGINT)", "\n \r\n{\"a\":1}\n\t\t\n\nx\n \n", "[1]\n", "6@16 syntax - <x>\n"},
    {"STRUCT(a BIGINT)", "{\"a\":1}\r\nx\r\n{\"a\":2}\r", "[1]\n[2]\n", "2@9 syntax - <x\r>\n"},
};

static void lines_become_rows_or_refusals(void **state)
{
    int n_wrong = 0;
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const bool is_nested = strcmp(cases[i].schema, NESTED) == 0;
        const json_read how = {
            .schema = cases[i].schema,
            .order = is_nested ? NESTED_ORDER : NULL,
            .is_terse = true,
        };
        json_result r;
        sm_error e = {0};
        const size_t n = strlen(cases[i].text);
        assert_ok(json_read_bytes(&how, cases[i].text, n, &r, &e), &e);
        sm_buf_add(&r.rows, "", 1, &e) == SM_OK ? (void)0 : fail();
        sm_buf_add(&r.refused, "", 1, &e) == SM_OK ? (void)0 : fail();
        if (strcmp((char *)r.rows.data, cases[i].rows) != 0 ||
            strcmp((char *)r.refused.data, cases[i].refused) != 0) {
            print_error("case %d, %s\n%s\ngot rows\n%swant\n%sgot refused\n%swant\n%s", i,
                        cases[i].schema, cases[i].text, r.rows.data, cases[i].rows, r.refused.data,
                        cases[i].refused);
            n_wrong++;
        }
        assert_int_equal(r.counts.lines, r.counts.rows + r.counts.refused + r.counts.blank);
        json_result_release(&r);
    }
    assert_int_equal(n_wrong, 0);
}

/* The message and its place, and the same as an error where refused lines are not kept. */
static const struct {
    const char *line;
    sm_status status;
    int64_t byte;
    const char *message;
} places[] = {
    {"{\"a\":1", SM_SYNTAX, 7, "expected ',' or '}', found the end"},
    {"{\"a\":1]", SM_SYNTAX, 7, "expected ',' or '}', found ']'"},
    {"{\"a\" 1}", SM_SYNTAX, 6, "expected ':', found '1'"},
    {"{\"a\":1,}", SM_SYNTAX, 8, "expected a key in quotes, found '}'"},
    {"{\"a\":tru}", SM_SYNTAX, 9, "expected true, found '}'"},
    {"{\"a\":\"\t\"}", SM_SYNTAX, 7, "expected an escape for a control character, found byte 0x09"},
    {"{\"a\":\"\\x\"}", SM_SYNTAX, 8, "expected one of \"\\/bfnrtu after a backslash, found 'x'"},
    {"{\"a\":\"\\u12G4\"}", SM_SYNTAX, 11, "expected a hexadecimal digit, found 'G'"},
    {"{\"a\":\"x", SM_SYNTAX, 8, "expected the string's closing '\"', found the end"},
    {"{\"a\":-}", SM_SYNTAX, 7, "expected a digit, found '}'"},
    {"{} x", SM_SYNTAX, 4, "expected the end of the line, found 'x'"},
    {"{\"a\":\"x\\udbff\"}", SM_SYNTAX, 8, "the escape '\\udbff' is half of a surrogate pair"},
    {"{\"b\":\"\xe2\x82\"}", SM_SYNTAX, 7, "byte 0xe2 begins no UTF-8 character"},
    {" [1]", SM_TYPE, 2, "a line is an object, not an array"},
    {"{\"b\":1, \"a\": 1.5}", SM_TYPE, 14, "1.5 cannot be read as BIGINT"},
    {"{\"a\":\"12x\"}", SM_TYPE, 6, "\"12x\" cannot be read as BIGINT"},
    {"{\"a\":{\"k\":1}}", SM_TYPE, 6, "{\"k\":1} cannot be read as BIGINT"},
    {"{\"a\":\"99999999999999999999\"}", SM_RANGE, 6,
     "\"99999999999999999999\" is out of the range of BIGINT"},
};

static void an_inexact_integer_says_so(void **state)
{
    const json_read how = {.schema = "STRUCT(f DOUBLE)", .stops_at_bad = true};
    static const char text[] = "{\"f\":9007199254740993}";
    json_result r;
    sm_error e = {0};
    assert_status(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), SM_RANGE, &e);
    assert_string_equal(e.what, "9007199254740993 is an integer that DOUBLE cannot hold exactly");
    json_result_release(&r);
}

static void refusals_say_why_and_where(void **state)
{
    for (int i = 0; i < SM_COUNT(places); i++) {
        json_read how = {.schema = "STRUCT(a BIGINT, b VARCHAR)", .stops_at_bad = true};
        char text[128], want[256];
        json_result r;
        sm_error e = {0};
        const int n = snprintf(text, sizeof(text), "{}\n\n%s\n{}\n", places[i].line);
        assert_status(json_read_bytes(&how, text, (size_t)n, &r, &e), places[i].status, &e);
        assert_string_equal(e.what, places[i].message);
        assert_string_equal(e.object, "lines.json");
        assert_int_equal(e.line, 3);
        assert_int_equal(e.byte, places[i].byte);
        json_result_release(&r);

        how.stops_at_bad = false;
        assert_ok(json_read_bytes(&how, text, (size_t)n, &r, &e), &e);
        snprintf(want, sizeof(want), "(%s at byte %d)", places[i].message, (int)places[i].byte);
        sm_buf_add(&r.refused, "", 1, &e) == SM_OK ? (void)0 : fail();
        assert_non_null(strstr((char *)r.refused.data, want));
        json_result_release(&r);
    }
}

/* n opening brackets around a 1, closed again. */
static void deep_line(int n, bool in_object, sm_buf *out)
{
    sm_buf_reset(out);
    sm_buf_printf(out, in_object ? "{\"z\":" : "");
    for (int i = 0; i < n; i++) {
        sm_buf_printf(out, "[");
    }
    for (int i = 0; i < n; i++) {
        sm_buf_printf(out, "]");
    }
    sm_buf_printf(out, in_object ? "}" : "");
}

static void nesting_ends_at_128(void **state)
{
    const json_read how = {.schema = "STRUCT(a BIGINT)", .stops_at_bad = true};
    const struct {
        int n;
        sm_status want;
        int64_t byte;
    } depths[] = {{127, SM_OK, 0}, {128, SM_LIMIT, 6 + 127}, {5000, SM_LIMIT, 6 + 127}};
    sm_buf text = {0};
    for (int i = 0; i < SM_COUNT(depths); i++) {
        json_result r;
        sm_error e = {0};
        deep_line(depths[i].n, true, &text);
        assert_status(json_read_bytes(&how, text.data, text.len, &r, &e), depths[i].want, &e);
        if (depths[i].want != SM_OK) {
            assert_int_equal(e.byte, depths[i].byte);
            assert_string_equal(e.what, "nested deeper than 128");
        }
        json_result_release(&r);
    }
    sm_buf_release(&text);
}

static void expect_text(sm_buf *got, const char *want)
{
    sm_buf_printf(got, "%c", '\0');
    assert_string_equal((char *)got->data, want);
}

/* Which columns decide: those asked for, or all. Syntax decides always. */
static void only_columns_asked_for_are_checked(void **state)
{
    static const char text[] =
        "{\"a\":\"bad\",\"b\":1}\n{\"b\":\"bad\"}\n{\"s\":[]}\n{\"b\":2}\n{\n";
    static const int32_t only_b[] = {1};
    json_read how = {
        .schema = "STRUCT(a BIGINT, b BIGINT, s STRUCT(c BIGINT))",
        .columns = only_b,
        .n_columns = 1,
        .is_terse = true,
    };
    json_result r;
    sm_error e = {0};
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    expect_text(&r.rows, "[1]\n[null]\n[2]\n");
    expect_text(&r.refused, "2@18 type_mismatch b <{\"b\":\"bad\"}>\n5@47 syntax - <{>\n");
    json_result_release(&r);

    how.validate_all = true;
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    expect_text(&r.rows, "[2]\n");
    expect_text(&r.refused, "1@0 type_mismatch a <{\"a\":\"bad\",\"b\":1}>\n"
                            "2@18 type_mismatch b <{\"b\":\"bad\"}>\n"
                            "3@30 type_mismatch c <{\"s\":[]}>\n5@47 syntax - <{>\n");
    json_result_release(&r);

    how.n_columns = 0; /* count(*) */
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    expect_text(&r.rows, "[]\n");
    assert_int_equal(r.counts.rows, 1);
    json_result_release(&r);
}

/* Of a struct only some fields are made; all are checked, and their keys known. */
static void fields_that_are_not_made(void **state)
{
    static const char text[] =
        "{\"s\":{\"a\":1,\"b\":\"x\",\"t\":{\"u\":1,\"v\":2},\"l\":[1]},\"w\":{\"k9\":9}}\n"
        "{\"s\":{\"t\":null,\"l\":[]},\"w\":{}}\n{\"s\":null,\"w\":null}\n{}\n"
        "{\"s\":{\"t\":{\"v\":3}},\"w\":{\"k9\":1,\"k0\":2,\"k9\":3}}\n"
        "{\"s\":{\"a\":\"bad\",\"b\":\"x\"}}\n{\"s\":{\"l\":[1,\"x\"]}}\n"
        "{\"w\":{\"k5\":\"y\",\"k9\":1,\"k3\":\"x\"}}\n{\"w\":{\"k8\":1},\"w\":{\"k9\":4}}\n"
        "{\"w\":{\"k7\":\"bad\"},\"w\":{\"new\":1}}\n";
    const json_read how = {
        .schema =
            "STRUCT(s STRUCT(a BIGINT, b VARCHAR, t STRUCT(u BIGINT, v BIGINT), l BIGINT[]), w "
            "STRUCT(k0 BIGINT, k1 BIGINT, k2 BIGINT, k3 BIGINT, k4 BIGINT, k5 BIGINT, k6 BIGINT, "
            "k7 BIGINT, k8 BIGINT, k9 BIGINT))",
        .made = "STRUCT(s STRUCT(b VARCHAR, t STRUCT(v BIGINT)), w STRUCT(k9 BIGINT))",
        .counts_unknown = true,
        .is_terse = true,
    };
    json_result r;
    sm_error e = {0};
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    expect_text(&r.rows, "[{\"b\":\"x\",\"t\":{\"v\":2}},{\"k9\":9}]\n"
                         "[{\"b\":null,\"t\":null},{\"k9\":null}]\n[null,null]\n[null,null]\n"
                         "[{\"b\":null,\"t\":{\"v\":3}},{\"k9\":3}]\n[null,{\"k9\":4}]\n"
                         "[null,{\"k9\":null}]\n");
    expect_text(&r.refused,
                "6@162 type_mismatch a <{\"s\":{\"a\":\"bad\",\"b\":\"x\"}}>\n"
                "7@188 type_mismatch l <{\"s\":{\"l\":[1,\"x\"]}}>\n"
                "8@208 type_mismatch k3 <{\"w\":{\"k5\":\"y\",\"k9\":1,\"k3\":\"x\"}}>\n");
    assert_int_equal(r.n_unknown, 1);
    assert_string_equal(r.unknown[0].path, "w.new");
    json_result_release(&r);
}

static void column_order_is_checked(void **state)
{
    static const struct {
        const char *order;
        sm_status want;
        const char *what, *todo;
    } orders[] = {
        {" b , s.a,a ", SM_OK, "", ""},
        {"s", SM_OK, "", ""},
        {"c", SM_NAME, "no column \"c\" for column_order", ""},
        {"coode", SM_NAME, "no column \"coode\" for column_order", "Did you mean \"code\"?"},
        {"x", SM_NAME, "\"x\" in column_order names 2 columns: write its path", ""},
    };
    for (int i = 0; i < SM_COUNT(orders); i++) {
        const json_read how = {
            .schema = "STRUCT(a BIGINT, b BIGINT, code BIGINT, s STRUCT(a BIGINT, x BIGINT), t "
                      "STRUCT(x BIGINT))",
            .order = orders[i].order,
            .is_terse = true,
        };
        json_result r;
        sm_error e = {0};
        assert_status(json_read_bytes(&how, "", 0, &r, &e), orders[i].want, &e);
        assert_string_equal(e.what, orders[i].what);
        if (orders[i].todo[0] != '\0') {
            assert_string_equal(e.todo, orders[i].todo);
        }
        json_result_release(&r);
    }
}

static void a_maps_keys_are_text(void **state)
{
    const json_read how = {.schema = "STRUCT(m MAP(BIGINT, BIGINT))"};
    json_result r;
    sm_error e = {0};
    assert_status(json_read_bytes(&how, "{}", 2, &r, &e), SM_UNSUPPORTED, &e);
    assert_string_equal(e.frame[0], "column m");
    json_result_release(&r);
}

/* What stands before the bad line is given; the next morsel begins anew. */
static void a_reader_goes_on_after_an_error(void **state)
{
    static const char text[] = "{\"b\":\"a string of many bytes\",\"a\":1}\n{bad\n"
                               "{\"b\":\"another string of many bytes\",\"a\":2}\n";
    const json_read how = {
        .schema = "STRUCT(a BIGINT, b VARCHAR)",
        .stops_at_bad = true,
        .goes_on = true,
        .cut = 42, /* the end of the bad line */
        .beyond = 100,
    };
    json_result r;
    sm_error e = {0};
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    assert_int_equal(e.status, SM_SYNTAX); /* of the first */
    expect_text(&r.rows, "[1,\"a string of many bytes\"]\n[2,\"another string of many bytes\"]\n");
    assert_int_equal(r.counts.lines, 1);
    json_result_release(&r);
}

/* Of kept lines only; each key once a line; not of objects that were replaced. */
static void unknown_keys_are_counted(void **state)
{
    static const char text[] = "{\"a\":1,\"new\":1,\"new\":2}\n"
                               "{\"s\":{\"x\":{\"deep\":1},\"c\":\"\"},\"n\\u0065w\":{}}\n"
                               "{\"s\":{\"gone\":1},\"s\":{\"c\":1}}\n"
                               "{\"s\":{\"gone\":1},\"s\":null}\n"
                               "{\"a\":\"refused\",\"lost\":1}\n"
                               "{\"l\":[{\"y\":1},{\"k\":1,\"z\":1},{\"y\":2}]}\n"
                               "{\"l\":[{\"gone\":1}],\"l\":[]}\n"
                               "{\"a\":2}\n"
                               "{\"s\":5,\"s\":{\"x\":1}}\n";
    json_read how = {
        .schema = "STRUCT(a BIGINT, s STRUCT(c VARCHAR), l STRUCT(k BIGINT)[])",
        .counts_unknown = true,
        .is_terse = true,
    };
    static const json_unknown_sum want[] = {{"new", 2}, {"s.x", 2}, {"l.y", 1}, {"l.z", 1}};
    static const int32_t only_a[] = {0};
    for (int i = 0; i < 2; i++) {
        json_result r;
        sm_error e = {0};
        assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
        assert_int_equal(r.counts.unknown_lines, 4);
        assert_int_equal(r.n_unknown, SM_COUNT(want));
        for (int k = 0; k < SM_COUNT(want); k++) {
            assert_string_equal(r.unknown[k].path, want[k].path);
            assert_int_equal(r.unknown[k].lines, want[k].lines);
        }
        json_result_release(&r);
        how.columns = only_a; /* the same whatever columns are read */
        how.n_columns = 1;
    }
}

/* Of kept lines, whatever the value; of refused ones only what did not fit. */
static void known_keys_are_counted(void **state)
{
    static const char text[] = "{\"a\":1,\"s\":{\"c\":\"x\",\"t\":{\"u\":1}}}\n"
                               "{\"a\":null,\"a\":2,\"s\":{\"t\":null},\"l\":[{\"k\":1}]}\n"
                               "{\"s\":{\"c\":\"gone\"},\"s\":{}}\n{\"s\":null}\n{}\n"
                               "{\"a\":\"no\",\"l\":[]}\n{\"a\":1.5,\"s\":{\"c\":[]}}\n"
                               "{\"s\":{\"t\":{\"u\":\"x\"}}}\n{\"l\":[{\"k\":true}]}\nbroken\n";
    static const json_known_sum want[] = {
        {2, 2, SM_KEY_TEXT | SM_KEY_FRACTION},
        {4, 0, 0}, /* s, s.c, s.t, s.t.u */
        {1, 0, 0},
        {2, 0, 0},
        {1, 1, SM_KEY_TEXT},
        {1, 1, SM_KEY_LIST}, /* l */
    };
    const json_read how = {
        .schema = "STRUCT(a BIGINT, s STRUCT(c VARCHAR, t STRUCT(u BIGINT)), l STRUCT(k BIGINT)[])",
        .counts_unknown = true,
    };
    json_result r;
    sm_error e = {0};
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    for (int i = 0; i < SM_COUNT(want); i++) {
        assert_int_equal(r.known[i].lines, want[i].lines);
        assert_int_equal(r.known[i].misfits, want[i].misfits);
        assert_int_equal(r.known[i].kinds, want[i].kinds);
    }
    assert_int_equal(r.known[SM_COUNT(want)].lines, 0);
    json_result_release(&r);
}

/* What a value is tells the type of a column that takes it. */
static void kinds_tell_a_type(void **state)
{
    static const struct {
        const char *values, *type;
    } kinds[] = {
        {"1 -2 999999999999999", "BIGINT"},
        {"9223372036854775807 -9223372036854775808", "BIGINT"},
        {"9223372036854775808", "VARCHAR"},
        {"1.0", "DOUBLE"},
        {"1e3 7", "DOUBLE"},
        {"0.5 1234567890123456", "VARCHAR"}, /* which DOUBLE may not hold */
        {"true false null", "BOOLEAN"},
        {"true 1", "VARCHAR"},
        {"\"\" 1 null", "VARCHAR"},
        {"null", "NULL"},
        {"{} {\"a\":1}", "STRUCT"},
        {"[]", "LIST"},
        {"[] 1", NULL},
        {"{} []", NULL},
    };
    for (int i = 0; i < SM_COUNT(kinds); i++) {
        const json_read how = {.schema = "STRUCT(a BIGINT)", .counts_unknown = true};
        sm_buf text = {0};
        json_result r;
        sm_error e = {0};
        char values[128];
        char *rest = NULL;
        snprintf(values, sizeof(values), "%s", kinds[i].values);
        for (char *v = strtok_r(values, " ", &rest); v; v = strtok_r(NULL, " ", &rest)) {
            sm_buf_printf(&text, "{\"x\" : %s}\n", v);
        }
        assert_ok(json_read_bytes(&how, text.data, text.len, &r, &e), &e);
        const char *type = sm_key_type(r.unknown_kinds);
        assert_true(type == kinds[i].type || strcmp(type, kinds[i].type) == 0);
        json_result_release(&r);
        sm_buf_release(&text);
    }
}

/* A MAP takes every key; the objects that are its values have columns like any other. */
static void a_map_has_no_unknown_keys(void **state)
{
    static const char text[] =
        "{\"m\":{\"x\":1,\"y\":2},\"v\":{\"p\":{\"a\":1,\"new\":1},\"q\":{\"new\":2}}}\n"
        "{\"v\":{\"p\":{\"gone\":1},\"p\":{\"a\":1}}}\n";
    json_read how = {
        .schema = "STRUCT(m MAP(VARCHAR, BIGINT), v MAP(VARCHAR, STRUCT(a BIGINT)))",
        .counts_unknown = true,
    };
    static const int32_t only_m[] = {0};
    for (int i = 0; i < 2; i++) {
        json_result r;
        sm_error e = {0};
        assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
        assert_int_equal(r.counts.unknown_lines, 1);
        assert_int_equal(r.n_unknown, 1);
        assert_string_equal(r.unknown[0].path, "v.new");
        json_result_release(&r);
        how.columns = only_m;
        how.n_columns = 1;
    }
}

/* A key may hold a NUL: its path is as long as it is. (The sums here show paths up to it.) */
static void unknown_keys_with_nul(void **state)
{
    static const char text[] = "{\"s\":{\"\\u0000ab\":1}}\n{\"s\":{\"\\u0000ab\":1}}\n"
                               "{\"s\":{\"\\u0000cd\":1}}\n{\"\\u0000\":1}\n";
    const json_read how = {.schema = "STRUCT(a BIGINT, s STRUCT(c VARCHAR))",
                           .counts_unknown = true};
    json_result r;
    sm_error e = {0};
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    assert_int_equal(r.counts.unknown_lines, 4);
    assert_int_equal(r.n_unknown, 2);
    assert_string_equal(r.unknown[0].path, "s.");
    assert_int_equal(r.unknown[0].lines, 3);
    assert_string_equal(r.unknown[1].path, "");
    json_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_rows_or_refusals),
        cmocka_unit_test(an_inexact_integer_says_so),
        cmocka_unit_test(refusals_say_why_and_where),
        cmocka_unit_test(nesting_ends_at_128),
        cmocka_unit_test(only_columns_asked_for_are_checked),
        cmocka_unit_test(fields_that_are_not_made),
        cmocka_unit_test(column_order_is_checked),
        cmocka_unit_test(a_maps_keys_are_text),
        cmocka_unit_test(a_reader_goes_on_after_an_error),
        cmocka_unit_test(unknown_keys_are_counted),
        cmocka_unit_test(known_keys_are_counted),
        cmocka_unit_test(kinds_tell_a_type),
        cmocka_unit_test(a_map_has_no_unknown_keys),
        cmocka_unit_test(unknown_keys_with_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
