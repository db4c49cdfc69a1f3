/* SPDX-License-Identifier: Apache-2.0
 *
 * base/yaml_write.h: writes a YAML document into a buffer, line by line, such that yaml.h and every
 * other reader of YAML 1.1 and 1.2 reads the same texts back. Maps and lists stand in block style;
 * a list of single values may stand in one line.
 *
 *     sm_yaml_writer w = {.out = &text};
 *     sm_yaml_set_text(&w, "name", name);
 *     sm_yaml_set_list(&w, "sizes");
 *     sm_yaml_begin_item(&w);
 *     sm_yaml_set_plain(&w, "id", SM_STR("17"));
 *     sm_yaml_end_item(&w);
 *     sm_yaml_end(&w);
 *
 * The document is a map, which needs no call. No map, item or list may be empty (asserted): YAML
 * would read nothing there. The buffer must have no bound and no budget, so nothing here can fail.
 * Threads: one at a time for a writer. */
#ifndef SM_BASE_YAML_WRITE_H
#define SM_BASE_YAML_WRITE_H

#include "base/buf.h"

/* `{.out = &buffer}` starts a document, which is appended to the buffer. */
typedef struct sm_yaml_writer {
    sm_buf *out; /* borrowed */
    int32_t depth;
    bool is_open;    /* a map, item or list was begun, and has nothing yet */
    bool after_dash; /* the next key stands behind the dash of its item */
    bool is_line;    /* within a list in one line */
} sm_yaml_writer;

/** A comment of whole lines, at the place of the next key. LF in the text begins a new line; other
 * bytes that YAML forbids are passed over. */
void sm_yaml_comment(sm_yaml_writer *w, sm_str text);

/* ---- a key and its value --------------------------------------------------------------------- */

/* Keys are words of letters, digits and dots. */

/** A text, in quotes where YAML would read anything else than this text. A byte that is not UTF-8
 * becomes U+FFFD, because YAML cannot express it. */
void sm_yaml_set_text(sm_yaml_writer *w, const char *key, sm_str text);
/** A number, true, false or null, as it is. */
void sm_yaml_set_plain(sm_yaml_writer *w, const char *key, sm_str word);

/* ---- maps and lists -------------------------------------------------------------------------- */

void sm_yaml_set_map(sm_yaml_writer *w, const char *key);  /* keys come next, then sm_yaml_end() */
void sm_yaml_set_list(sm_yaml_writer *w, const char *key); /* items come next, then sm_yaml_end() */
void sm_yaml_end(sm_yaml_writer *w);                       /* ends the innermost map or list */
/** A map as an item of the list: keys come next, then sm_yaml_end_item(). */
void sm_yaml_begin_item(sm_yaml_writer *w);
void sm_yaml_end_item(sm_yaml_writer *w); /* ends the map */

/** A list in one line: values come next, then sm_yaml_end_line(). It may be empty. */
void sm_yaml_set_line(sm_yaml_writer *w, const char *key);
void sm_yaml_put_text(sm_yaml_writer *w, sm_str text);  /* as sm_yaml_set_text() */
void sm_yaml_put_plain(sm_yaml_writer *w, sm_str word); /* as sm_yaml_set_plain() */
void sm_yaml_end_line(sm_yaml_writer *w);               /* ends it */

/** Is the text a number as JSON writes it? Then it may stand without quotes as that number. */
bool sm_yaml_is_number(sm_str text);

#endif
