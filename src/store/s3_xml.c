/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_xml.c: reads the XML of S3's responses, element by element, by expat, which is opened on
 * first use. Called by s3_call.c, s3_list.c, s3_batch.c, s3_writer.c and s3_keys.c.
 *
 * Hostile responses: a document type is refused, so there are no entities to expand. The depth is
 * bounded here, the length by the caller that fetched the text. */
#include <expat.h>

#include "base/library.h"
#include "store/s3_int.h"

#define DEPTH_MAX 16

typedef struct expat_api {
    XML_Parser (*create)(const XML_Char *encoding);
    void (*drop)(XML_Parser p);
    void (*set_user_data)(XML_Parser p, void *ctx);
    void (*set_elements)(XML_Parser p, XML_StartElementHandler start, XML_EndElementHandler end);
    void (*set_text)(XML_Parser p, XML_CharacterDataHandler text);
    void (*set_doctype)(XML_Parser p, XML_StartDoctypeDeclHandler start);
    enum XML_Status (*parse)(XML_Parser p, const char *text, int n, int is_final);
    enum XML_Status (*stop)(XML_Parser p, XML_Bool is_resumable);
} expat_api;

static expat_api api; /* filled in once, under the_lock */
static sm_mutex the_lock = {PTHREAD_MUTEX_INITIALIZER};

static sm_status open_expat(sm_error *e)
{
    static const sm_symbol symbols[] = {
        {"XML_ParserCreate", &api.create},
        {"XML_ParserFree", &api.drop},
        {"XML_SetUserData", &api.set_user_data},
        {"XML_SetElementHandler", &api.set_elements},
        {"XML_SetCharacterDataHandler", &api.set_text},
        {"XML_SetStartDoctypeDeclHandler", &api.set_doctype},
        {"XML_Parse", &api.parse},
        {"XML_StopParser", &api.stop},
    };
    static const char *const files[] = {"libexpat.so.1", NULL};
    static const sm_library library = {.files = files,
                                       .package = "expat (Debian: libexpat1)",
                                       .symbols = symbols,
                                       .n_symbols = SM_COUNT(symbols)};
    sm_mutex_lock(&the_lock);
    const sm_status st = api.create ? SM_OK : sm_library_open(&library, e);
    sm_mutex_unlock(&the_lock);
    return st;
}

typedef struct reading {
    XML_Parser parser;
    smi_xml_fn on_element;
    void *ctx;
    sm_buf text; /* the texts of all open elements, one after the other */
    size_t text_at[DEPTH_MAX];
    char name[DEPTH_MAX][64];
    int depth;
    bool is_stopped; /* expat still ends an empty element in whose start it was stopped */
} reading;

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    reading *r = ctx;
    (void)attributes;
    if (r->depth == DEPTH_MAX || strlen(name) >= sizeof(r->name[0])) {
        r->is_stopped = true;
        api.stop(r->parser, XML_FALSE);
        return;
    }
    memcpy(r->name[r->depth], name, strlen(name) + 1);
    r->text_at[r->depth++] = r->text.len;
}

static void on_end(void *ctx, const XML_Char *name)
{
    reading *r = ctx;
    if (r->is_stopped) {
        return;
    }
    SM_ASSERT(r->depth > 0);
    const int d = --r->depth;
    SM_ASSERT(strcmp(r->name[d], name) == 0 && r->text.len >= r->text_at[d]);
    const sm_str text = {(const char *)r->text.data + r->text_at[d], r->text.len - r->text_at[d]};
    r->on_element(r->ctx, d > 0 ? sm_str_of(r->name[d - 1]) : SM_STR(""), sm_str_of(r->name[d]),
                  text.len > 0 ? text : SM_STR(""));
    r->text.len = r->text_at[d];
}

static void on_text(void *ctx, const XML_Char *text, int n)
{
    sm_buf_text(&((reading *)ctx)->text, (sm_str){text, (size_t)n});
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal;
    api.stop(((reading *)ctx)->parser, XML_FALSE);
}

sm_status smi_xml_read(sm_str text, smi_xml_fn on_element, void *ctx, sm_error *e)
{
    SM_TRY(open_expat(e));
    reading r = {.on_element = on_element, .ctx = ctx, .parser = api.create(NULL)};
    if (!r.parser) {
        sm_out_of_memory(0);
    }
    api.set_user_data(r.parser, &r);
    api.set_elements(r.parser, on_start, on_end);
    api.set_text(r.parser, on_text);
    api.set_doctype(r.parser, on_doctype);
    const bool is_good =
        text.len <= INT32_MAX && api.parse(r.parser, text.data, (int)text.len, 1) == XML_STATUS_OK;
    api.drop(r.parser);
    sm_buf_release(&r.text);
    return is_good ? SM_OK : sm_fail(e, SM_CORRUPT, "the response is not XML of S3");
}
