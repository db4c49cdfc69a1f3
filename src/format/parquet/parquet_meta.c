/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_meta.c: reads and writes the footer of a Parquet file.
 *
 * Layout   "PAR1" … pages … footer (FileMetaData in Thrift) | u32 its length | "PAR1".
 *          "PARE" at the end: the footer is encrypted. That and encrypted columns are refused.
 * Reading  The last SMI_PQ_TAIL_BYTES are read at once, the rest of a longer footer by a second
 *          read. Names and statistics are borrowed from these bytes, which stay in the arena. All
 *          that later steps use as an index or a size is checked here: the tree's shape and depth,
 *          one chunk for each leaf in each row group, chunks within the file, counts not negative.
 * Checksum The format has checksums of pages, but none of footers. smelt writes one as a key-value
 *          pair of the file, which other readers ignore.
 * Levels   A node has its parent's levels, plus one definition level if it is optional or repeated,
 *          plus one repetition level if it is repeated.
 * Source   apache/parquet-format, README.md "File format" and parquet.thrift (2.11)
 *
 * Called by parquet_reader.c and parquet_writer.c. */

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/json_doc.h"
#include "format/parquet/parquet_int.h"

/* Ten thousand columns in a thousand row groups; a longer one is a mistake or an attack. */
#define FOOTER_MAX_BYTES (256u << 20)
/* The key of the checksum in files that smelt writes. Its value is the CRC-32, in hexadecimal, of
 * the footer with CHECKSUM_NONE in its place. */
#define CHECKSUM_KEY  "smelt.footer.crc32"
#define CHECKSUM_NONE "00000000"
#define CHECKSUM_LEN  8
_Static_assert(sizeof(CHECKSUM_NONE) == CHECKSUM_LEN + 1, "as long as the checksum");

typedef struct meta_in {
    smi_thrift_in in;
    sm_arena *mem;
    smi_pq_footer *footer;
    uint64_t pages_end; /* where the footer begins: pages end before it */
    bool is_encrypted;
    sm_str checksum; /* of the footer, in its bytes; "": it has none */
    int32_t n_elements, next_element;
    smi_pq_node *elements;
    sm_error *e;
} meta_in;

/* ---- the schema ------------------------------------------------------------------------------ */

static void set_converted(smi_pq_node *n, int32_t converted)
{
    static const smi_pq_logical by_code[] = {
        [0] = SMI_PQ_STRING,    [1] = SMI_PQ_MAP,        [2] = SMI_PQ_MAP_KEY_VALUE,
        [3] = SMI_PQ_LIST,      [4] = SMI_PQ_STRING,     [5] = SMI_PQ_DECIMAL,
        [6] = SMI_PQ_DATE,      [7] = SMI_PQ_TIME,       [8] = SMI_PQ_TIME,
        [9] = SMI_PQ_TIMESTAMP, [10] = SMI_PQ_TIMESTAMP, [11] = SMI_PQ_INTEGER,
        [12] = SMI_PQ_INTEGER,  [13] = SMI_PQ_INTEGER,   [14] = SMI_PQ_INTEGER,
        [15] = SMI_PQ_INTEGER,  [16] = SMI_PQ_INTEGER,   [17] = SMI_PQ_INTEGER,
        [18] = SMI_PQ_INTEGER,  [19] = SMI_PQ_STRING,    [20] = SMI_PQ_PLAIN_TYPE, /* BSON */
        [21] = SMI_PQ_INTERVAL,
    };
    if (converted < 0 || converted >= SM_COUNT(by_code)) {
        return; /* one that is not known here: the physical type counts */
    }
    n->logical = by_code[converted];
    n->unit = converted == 7 || converted == 9 ? SMI_PQ_MILLIS : SMI_PQ_MICROS;
    n->is_utc = converted == 9 || converted == 10;
    if (n->logical == SMI_PQ_INTEGER) {
        n->is_signed = converted >= 15;
        n->bits = 8 << ((converted - 11) & 3);
    }
}

static smi_pq_unit read_unit(smi_thrift_in *in, smi_thrift_type type)
{
    int16_t id = 0;
    smi_pq_unit unit = SMI_PQ_MICROS;
    smi_thrift_struct(in, type);
    while (smi_thrift_field(in, &id, &type)) {
        if (id >= 1 && id <= 3) {
            unit = (smi_pq_unit)(id - 1);
        }
        smi_thrift_skip(in, type);
    }
    return unit;
}

/* Reads the struct inside of a LogicalType; what its fields 1 and 2 mean depends on the kind. */
static void read_logical_body(smi_thrift_in *in, smi_pq_logical kind, smi_pq_node *n)
{
    int16_t id = 0;
    smi_thrift_type type;
    while (smi_thrift_field(in, &id, &type)) {
        if (kind == SMI_PQ_DECIMAL && id == 1) {
            n->scale = smi_thrift_i32(in, type);
        } else if (kind == SMI_PQ_DECIMAL && id == 2) {
            n->precision = smi_thrift_i32(in, type);
        } else if ((kind == SMI_PQ_TIME || kind == SMI_PQ_TIMESTAMP) && id == 1) {
            n->is_utc = smi_thrift_bool(in, type);
        } else if ((kind == SMI_PQ_TIME || kind == SMI_PQ_TIMESTAMP) && id == 2) {
            n->unit = read_unit(in, type);
        } else if (kind == SMI_PQ_INTEGER && id == 1) {
            n->bits = smi_thrift_i32(in, type);
        } else if (kind == SMI_PQ_INTEGER && id == 2) {
            n->is_signed = smi_thrift_bool(in, type);
        } else {
            smi_thrift_skip(in, type);
        }
    }
}

static void read_logical(smi_thrift_in *in, smi_thrift_type type, smi_pq_node *n)
{
    static const smi_pq_logical by_field[] = {
        [1] = SMI_PQ_STRING,     [2] = SMI_PQ_MAP,       [3] = SMI_PQ_LIST,
        [4] = SMI_PQ_STRING,     [5] = SMI_PQ_DECIMAL,   [6] = SMI_PQ_DATE,
        [7] = SMI_PQ_TIME,       [8] = SMI_PQ_TIMESTAMP, [10] = SMI_PQ_INTEGER,
        [11] = SMI_PQ_UNKNOWN,   [12] = SMI_PQ_STRING,   [14] = SMI_PQ_UUID,
        [15] = SMI_PQ_FLOAT16,   [16] = SMI_PQ_VARIANT,  [17] = SMI_PQ_GEOMETRY,
        [18] = SMI_PQ_GEOGRAPHY,
    };
    int16_t id = 0;
    smi_thrift_struct(in, type);
    while (smi_thrift_field(in, &id, &type)) {
        n->logical = SMI_PQ_PLAIN_TYPE;
        if (id > 0 && id < SM_COUNT(by_field)) {
            n->logical = by_field[id];
        }
        smi_thrift_struct(in, type);
        if (!in->failed) {
            read_logical_body(in, n->logical, n);
        }
    }
}

static void read_element(smi_thrift_in *in, smi_pq_node *n)
{
    int16_t id = 0;
    smi_thrift_type type;
    bool has_logical = false;
    int32_t repetition = SMI_PQ_REQUIRED, physical = -1;
    n->leaf = -1;
    while (smi_thrift_field(in, &id, &type)) {
        switch (id) {
        case 1:
            physical = smi_thrift_i32(in, type);
            in->failed = in->failed || physical < 0 || physical > SMI_PQ_FIXED;
            break;
        case 2:
            n->fixed_bytes = smi_thrift_i32(in, type);
            break;
        case 3:
            repetition = smi_thrift_i32(in, type);
            break;
        case 4:
            n->name = smi_thrift_binary(in, type);
            break;
        case 5:
            n->n_children = smi_thrift_i32(in, type);
            break;
        case 6: {
            const int32_t converted = smi_thrift_i32(in, type);
            if (!has_logical) {
                set_converted(n, converted);
            }
            break;
        }
        case 7:
            n->scale = smi_thrift_i32(in, type);
            break;
        case 8:
            n->precision = smi_thrift_i32(in, type);
            break;
        case 9:
            n->field_id = smi_thrift_i32(in, type);
            n->has_field_id = true;
            break;
        case 10:
            read_logical(in, type, n);
            has_logical = true;
            break;
        default:
            smi_thrift_skip(in, type);
        }
    }
    if (n->n_children < 0 || n->name.data == NULL || repetition < SMI_PQ_REQUIRED ||
        repetition > SMI_PQ_REPEATED) {
        in->failed = true;
    }
    /* A group without fields is written with 0 children and no type. */
    n->physical = physical < 0 ? SMI_PQ_GROUP : (smi_pq_physical)physical;
    n->repetition = (smi_pq_repetition)repetition;
    if ((n->physical != SMI_PQ_GROUP && n->n_children > 0) ||
        (n->physical == SMI_PQ_FIXED && n->fixed_bytes < 1)) {
        in->failed = true;
    }
}

/* Links a node with its children, which follow it in the list of elements, depth first. Sets their
 * levels and the numbers of leaves. */
static sm_status link_node(meta_in *m, smi_pq_node *n, int depth)
{
    if (depth > SMI_PQ_MAX_DEPTH) {
        return sm_fail(m->e, SM_LIMIT, "schema is nested more than %d deep", SMI_PQ_MAX_DEPTH);
    }
    if (n->physical != SMI_PQ_GROUP) {
        SM_ASSERT(m->footer->n_leaves < m->n_elements);
        n->leaf = m->footer->n_leaves;
        m->footer->leaves[m->footer->n_leaves++] = n;
        return SM_OK;
    }
    if (n->n_children > m->n_elements - m->next_element) {
        return sm_fail(m->e, SM_CORRUPT, "schema names more columns than it has");
    }
    n->children = SM_NEW_ARRAY(m->mem, smi_pq_node *, n->n_children);
    for (int32_t i = 0; i < n->n_children; i++) {
        if (m->next_element >= m->n_elements) {
            return sm_fail(m->e, SM_CORRUPT, "schema names more columns than it has");
        }
        smi_pq_node *child = &m->elements[m->next_element++];
        child->max_def = (uint8_t)(n->max_def + (child->repetition != SMI_PQ_REQUIRED));
        child->max_rep = (uint8_t)(n->max_rep + (child->repetition == SMI_PQ_REPEATED));
        n->children[i] = child;
        SM_TRY(link_node(m, child, depth + 1));
    }
    return SM_OK;
}

static sm_status read_schema(meta_in *m, smi_thrift_type type)
{
    const int64_t n = smi_thrift_list(&m->in, type, SMI_T_STRUCT);
    if (m->in.failed || n < 1 || n > INT32_MAX) {
        return sm_fail(m->e, SM_CORRUPT, "footer has no schema");
    }
    m->n_elements = (int32_t)n;
    m->elements = SM_NEW_ARRAY(m->mem, smi_pq_node, n);
    for (int64_t i = 0; i < n; i++) {
        read_element(&m->in, &m->elements[i]);
        if (m->in.failed) {
            return sm_fail(m->e, SM_CORRUPT, "footer is damaged in the schema");
        }
    }
    smi_pq_footer *f = m->footer;
    f->root = &m->elements[0];
    f->root->repetition = SMI_PQ_REQUIRED;
    f->leaves = SM_NEW_ARRAY(m->mem, const smi_pq_node *, n);
    m->next_element = 1;
    if (f->root->physical != SMI_PQ_GROUP) {
        return sm_fail(m->e, SM_CORRUPT, "the schema's root is no group");
    }
    SM_TRY(link_node(m, f->root, 0));
    if (m->next_element != m->n_elements) {
        return sm_fail(m->e, SM_CORRUPT, "schema has columns that belong to no group");
    }
    f->has_order = SM_NEW_ARRAY(m->mem, bool, f->n_leaves);
    return SM_OK;
}

/* ---- row groups ------------------------------------------------------------------------------ */

static void read_stats(smi_thrift_in *in, smi_thrift_type type, smi_pq_stats *s)
{
    int16_t id = 0;
    smi_thrift_struct(in, type);
    while (smi_thrift_field(in, &id, &type)) {
        switch (id) {
        case 1:
            s->old_max = smi_thrift_binary(in, type);
            break;
        case 2:
            s->old_min = smi_thrift_binary(in, type);
            break;
        case 3:
            s->n_nulls = smi_thrift_i64(in, type);
            break;
        case 5:
            s->max = smi_thrift_binary(in, type);
            break;
        case 6:
            s->min = smi_thrift_binary(in, type);
            break;
        case 7:
            s->max_is_cut = !smi_thrift_bool(in, type);
            break;
        case 8:
            s->min_is_cut = !smi_thrift_bool(in, type);
            break;
        case 9:
            s->n_nans = smi_thrift_i64(in, type);
            break;
        default:
            smi_thrift_skip(in, type);
        }
    }
}

static uint32_t read_encodings(smi_thrift_in *in, smi_thrift_type type)
{
    uint32_t out = 0;
    const int64_t n = smi_thrift_list(in, type, SMI_T_I32);

    for (int64_t i = 0; i < n && !in->failed; i++) {
        const int64_t encoding = smi_thrift_i64(in, SMI_T_I32);
        out |= encoding >= 0 && encoding < 32 ? UINT32_C(1) << encoding : 0;
    }
    return out;
}

static sm_status read_chunk_meta(meta_in *m, smi_thrift_type type, const smi_pq_node *leaf,
                                 smi_pq_chunk *c)
{
    smi_thrift_in *in = &m->in;
    int16_t id = 0;
    int64_t codec = -1, physical = -1, bytes = -1, data_off = -1, dict_off = 0;
    c->n_values = -1;
    smi_thrift_struct(in, type);
    while (smi_thrift_field(in, &id, &type)) {
        switch (id) {
        case 1:
            physical = smi_thrift_i64(in, type);
            break;
        case 2:
            c->encodings = read_encodings(in, type);
            break;
        case 4:
            codec = smi_thrift_i64(in, type);
            break;
        case 6:
            c->plain_bytes = (uint64_t)smi_thrift_i64(in, type);
            break;
        case 5:
            c->n_values = smi_thrift_i64(in, type);
            break;
        case 7:
            bytes = smi_thrift_i64(in, type);
            break;
        case 9:
            data_off = smi_thrift_i64(in, type);
            break;
        case 11:
            dict_off = smi_thrift_i64(in, type);
            break;
        case 12:
            read_stats(in, type, &c->stats);
            break;
        default:
            smi_thrift_skip(in, type);
        }
    }
    if (in->failed || physical != (int64_t)leaf->physical || c->n_values < 0 || bytes < 0) {
        return sm_fail(m->e, SM_CORRUPT, "footer is damaged in a chunk of column \"%.*s\"",
                       SM_STR_ARG(leaf->name));
    }
    if (codec < 0 || codec > SMI_PQ_LZ4_RAW) {
        return sm_fail(m->e, SM_UNSUPPORTED, "compression codec %" PRId64 " of column \"%.*s\"",
                       codec, SM_STR_ARG(leaf->name));
    }
    c->codec = (smi_pq_codec)codec;
    /* Some writers say 0 where there is no dictionary. */
    const int64_t off = dict_off > 0 && dict_off < data_off ? dict_off : data_off;
    if (off < 0 || (uint64_t)off > m->pages_end || (uint64_t)bytes > m->pages_end - (uint64_t)off) {
        return sm_fail(m->e, SM_CORRUPT, "a chunk of column \"%.*s\" is not within the file",
                       SM_STR_ARG(leaf->name));
    }
    c->off_bytes = (uint64_t)off;
    c->data_off = (uint64_t)data_off;
    c->size_bytes = (size_t)bytes;
    return SM_OK;
}

/* The span of an index; empty where it is not within the file. */
static smi_pq_span index_span(const meta_in *m, int64_t off, int64_t len)
{
    const bool is_within = off > 0 && len > 0 && (uint64_t)off <= m->pages_end &&
                           (uint64_t)len <= m->pages_end - (uint64_t)off;
    return is_within ? (smi_pq_span){(uint64_t)off, (uint64_t)len} : (smi_pq_span){0};
}

static sm_status read_chunk(meta_in *m, const smi_pq_node *leaf, smi_pq_chunk *c)
{
    smi_thrift_in *in = &m->in;
    int16_t id = 0;
    smi_thrift_type type;
    bool has_meta = false;
    int64_t index[4] = {0}; /* OffsetIndex: offset, length; ColumnIndex: the same */
    c->stats.n_nulls = c->stats.n_nans = -1;
    while (smi_thrift_field(in, &id, &type)) {
        if (id == 1) {
            if (smi_thrift_binary(in, type).len > 0) {
                return sm_fail(m->e, SM_UNSUPPORTED, "column \"%.*s\" stands in another file",
                               SM_STR_ARG(leaf->name));
            }
        } else if (id == 3) {
            has_meta = true;
            SM_TRY(read_chunk_meta(m, type, leaf, c));
        } else if (id >= 4 && id <= 7) {
            index[id - 4] = smi_thrift_i64(in, type);
        } else {
            m->is_encrypted = m->is_encrypted || id == 8 || id == 9;
            smi_thrift_skip(in, type);
        }
    }
    c->offset_index = index_span(m, index[0], index[1]);
    c->column_index = index_span(m, index[2], index[3]);
    if (in->failed || (!has_meta && !m->is_encrypted)) {
        return sm_fail(m->e, SM_CORRUPT, "footer is damaged in a chunk of column \"%.*s\"",
                       SM_STR_ARG(leaf->name));
    }
    return SM_OK;
}

static sm_status read_group(meta_in *m, smi_pq_group *g)
{
    smi_thrift_in *in = &m->in;
    int16_t id = 0;
    smi_thrift_type type;
    const int32_t n_leaves = m->footer->n_leaves;
    g->n_rows = -1;
    while (smi_thrift_field(in, &id, &type)) {
        if (id == 1) {
            const int64_t n = smi_thrift_list(in, type, SMI_T_STRUCT);
            if (in->failed || n != n_leaves || g->chunks != NULL) {
                return sm_fail(m->e, SM_CORRUPT, "a row group has %" PRId64 " columns, not %d", n,
                               n_leaves);
            }
            g->chunks = SM_NEW_ARRAY(m->mem, smi_pq_chunk, n);
            for (int64_t i = 0; i < n; i++) {
                SM_TRY(read_chunk(m, m->footer->leaves[i], &g->chunks[i]));
            }
        } else if (id == 3) {
            g->n_rows = smi_thrift_i64(in, type);
        } else {
            smi_thrift_skip(in, type);
        }
    }
    if (in->failed || g->n_rows < 0 || (g->chunks == NULL && n_leaves > 0)) {
        return sm_fail(m->e, SM_CORRUPT, "footer is damaged in a row group");
    }
    for (int32_t i = 0; i < n_leaves && !m->is_encrypted; i++) {
        const smi_pq_node *leaf = m->footer->leaves[i];
        const int64_t n = g->chunks[i].n_values;
        if (n < g->n_rows || (leaf->max_rep == 0 && n != g->n_rows)) {
            return sm_fail(m->e, SM_CORRUPT,
                           "column \"%.*s\" has %" PRId64 " values in %" PRId64 " rows",
                           SM_STR_ARG(leaf->name), n, g->n_rows);
        }
    }
    return SM_OK;
}

static sm_status read_groups(meta_in *m, smi_thrift_type type)
{
    const int64_t n = smi_thrift_list(&m->in, type, SMI_T_STRUCT);
    if (m->in.failed || m->footer->root == NULL) {
        return sm_fail(m->e, SM_CORRUPT, "footer has row groups before a schema");
    }
    m->footer->groups = SM_NEW_ARRAY(m->mem, smi_pq_group, n);
    m->footer->n_groups = n;
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(read_group(m, &m->footer->groups[i]));
    }
    return SM_OK;
}

/* Reads the order of each leaf's min_value and max_value (ColumnOrder). Values are compared here by
 * TYPE_ORDER (1); IEEE_754_TOTAL_ORDER (2) is the same, NaN apart. By another order, the two values
 * are not used. */
static void read_orders(meta_in *m, smi_thrift_type type)
{
    const int64_t n = smi_thrift_list(&m->in, type, SMI_T_STRUCT);
    for (int64_t i = 0; i < n && !m->in.failed; i++) {
        int16_t id = 0;
        bool is_known = false;
        while (smi_thrift_field(&m->in, &id, &type)) {
            is_known = id == 1 || id == 2;
            smi_thrift_skip(&m->in, type);
        }
        if (i < m->footer->n_leaves) {
            m->footer->has_order[i] = is_known;
        }
    }
}

/* GeoParquet names its columns of geometries in a key of the file, as JSON. */
static void mark_geometry(meta_in *m, sm_str json)
{
    const sm_json *doc = NULL;
    sm_error unused = {0};
    if (!m->footer->root || sm_json_parse(json, m->mem, &doc, &unused) != SM_OK) {
        return;
    }
    const sm_json *const columns = sm_json_get(doc, "columns");
    for (const sm_json *c = columns ? columns->child : NULL; c; c = c->next) {
        for (int32_t i = 0; i < m->footer->root->n_children; i++) {
            smi_pq_node *const n = m->footer->root->children[i];
            if (sm_str_eq(n->name, c->key) && n->physical == SMI_PQ_BYTE_ARRAY) {
                n->logical = SMI_PQ_GEOMETRY;
            }
        }
    }
}

/* Reads the key-value pairs that matter here: the checksum (put_checksum) and "geo". */
static void read_keys(meta_in *m, smi_thrift_type type)
{
    const int64_t n = smi_thrift_list(&m->in, type, SMI_T_STRUCT);
    for (int64_t i = 0; i < n && !m->in.failed; i++) {
        int16_t id = 0;
        sm_str key = {0}, value = {0};
        while (smi_thrift_field(&m->in, &id, &type)) {
            if (id == 1) {
                key = smi_thrift_binary(&m->in, type);
            } else if (id == 2) {
                value = smi_thrift_binary(&m->in, type);
            } else {
                smi_thrift_skip(&m->in, type);
            }
        }
        if (sm_str_is(key, CHECKSUM_KEY) && value.len == CHECKSUM_LEN) {
            m->checksum = value;
        } else if (sm_str_is(key, "geo")) {
            mark_geometry(m, value);
        }
    }
}

static sm_status read_file_meta(meta_in *m)
{
    int16_t id = 0;
    smi_thrift_type type;
    bool has_groups = false;
    while (smi_thrift_field(&m->in, &id, &type)) {
        if (id == 2 && m->footer->root == NULL) {
            SM_TRY(read_schema(m, type));
        } else if (id == 3) {
            m->footer->n_rows = smi_thrift_i64(&m->in, type);
        } else if (id == 4 && !has_groups) {
            has_groups = true;
            SM_TRY(read_groups(m, type));
        } else if (id == 5) {
            read_keys(m, type);
        } else if (id == 7 && m->footer->root != NULL) {
            read_orders(m, type);
        } else {
            m->is_encrypted = m->is_encrypted || id == 8;
            smi_thrift_skip(&m->in, type);
        }
    }
    if (m->in.failed || !has_groups || m->footer->n_rows < 0) {
        return sm_fail(m->e, SM_CORRUPT, "footer is damaged");
    }
    if (m->is_encrypted) {
        return sm_fail(m->e, SM_UNSUPPORTED, "file is encrypted");
    }
    return SM_OK;
}

/* ---- its bytes ------------------------------------------------------------------------------- */

/* Computes the checksum of a footer, as text. `value`: where its own checksum is in it. */
static void checksum_of(sm_str footer, const char *value, char out[CHECKSUM_LEN + 1])
{
    const size_t before = (size_t)(value - footer.data);
    SM_ASSERT(value >= footer.data && before + CHECKSUM_LEN <= footer.len);
    uint32_t crc = sm_crc32(0, footer.data, before);
    crc = sm_crc32(crc, CHECKSUM_NONE, CHECKSUM_LEN);
    crc = sm_crc32(crc, value + CHECKSUM_LEN, footer.len - before - CHECKSUM_LEN);
    snprintf(out, CHECKSUM_LEN + 1, "%08" PRIx32, crc);
}

static sm_status check_checksum(const meta_in *m, sm_str footer)
{
    char want[CHECKSUM_LEN + 1];
    if (m->checksum.len == 0) {
        return SM_OK;
    }
    checksum_of(footer, m->checksum.data, want);
    return sm_str_is(m->checksum, want)
               ? SM_OK
               : sm_fail(m->e, SM_CORRUPT, "footer is damaged: its checksum does not match");
}

/* Reads the end of a file, into the arena. */
static sm_status read_end(sm_blob *blob, sm_arena *a, sm_str *out, sm_error *e)
{
    const uint64_t size = sm_blob_bytes(blob);
    const size_t n = size < SMI_PQ_TAIL_BYTES ? (size_t)size : SMI_PQ_TAIL_BYTES;
    uint8_t *bytes = sm_arena_alloc(a, n);

    *out = (sm_str){(const char *)bytes, n};
    return sm_blob_read(blob, size - n, n, bytes, e);
}

static sm_status read_footer_bytes(sm_blob *blob, sm_arena *a, sm_str *out, sm_error *e)
{
    const uint64_t size = sm_blob_bytes(blob);
    if (size < 12) {
        return sm_fail(e, SM_CORRUPT, "file of %" PRIu64 " bytes is too short for Parquet", size);
    }
    sm_str end = sm_blob_tail(blob);
    const bool has_come = end.len >= 12;
    SM_TRY(has_come ? SM_OK : read_end(blob, a, &end, e));
    const uint8_t *tail = (const uint8_t *)end.data;
    const size_t n_tail = end.len;
    const uint8_t *magic = tail + n_tail - 4;
    if (memcmp(magic, "PARE", 4) == 0) {
        return sm_fail(e, SM_UNSUPPORTED, "file is encrypted");
    }
    if (memcmp(magic, SMI_PQ_MAGIC, 4) != 0) {
        return sm_fail(e, SM_CORRUPT, "no Parquet file: it does not end in \"PAR1\"");
    }
    const uint32_t len = smi_pq_le32(magic - 4);
    if (len > size - 12) {
        return sm_fail(e, SM_CORRUPT,
                       "footer length %" PRIu32 " does not fit the file of %" PRIu64 " bytes", len,
                       size);
    }
    if (len > FOOTER_MAX_BYTES) {
        return sm_fail(e, SM_LIMIT, "footer of %" PRIu32 " bytes", len);
    }
    if (len + 8 <= n_tail) {
        const sm_str footer = {(const char *)magic - 4 - len, len};
        *out = has_come ? sm_arena_str(a, footer) : footer;
        return SM_OK;
    }
    uint8_t *all = sm_arena_alloc(a, len);
    const size_t n_have = n_tail - 8;
    SM_TRY(sm_blob_read(blob, size - 8 - len, len - n_have, all, e));
    memcpy(all + (len - n_have), tail, n_have);
    *out = (sm_str){(const char *)all, len};
    return SM_OK;
}

sm_status smi_pq_footer_read(sm_blob *blob, sm_arena *a, smi_pq_footer **out, sm_error *e)
{
    sm_str raw = {0};
    sm_status st = read_footer_bytes(blob, a, &raw, e);
    smi_pq_footer *f = SM_NEW(a, smi_pq_footer);
    if (st == SM_OK) {
        meta_in m = {
            .in = {(const uint8_t *)raw.data, (const uint8_t *)raw.data + raw.len, false},
            .mem = a,
            .footer = f,
            .pages_end = sm_blob_bytes(blob) - 8 - raw.len,
            .e = e,
        };
        st = read_file_meta(&m);
        st = st == SM_OK ? check_checksum(&m, raw) : st;
    }
    if (st != SM_OK) {
        sm_error_place_str(e, sm_blob_uri(blob), 0, -1);
        return sm_within(e, st, "Parquet footer");
    }
    *out = f;
    return SM_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_time_type(smi_thrift_out *o, const smi_pq_node *n)
{
    smi_thrift_put_bool(o, 1, n->is_utc);
    smi_thrift_begin(o, 2);
    smi_thrift_begin(o, 2); /* MICROS, the only unit that is written */
    smi_thrift_end(o);
    smi_thrift_end(o);
}

static void put_logical(smi_thrift_out *o, const smi_pq_node *n)
{
    static const int16_t field[] = {
        [SMI_PQ_STRING] = 1,    [SMI_PQ_MAP] = 2,      [SMI_PQ_LIST] = 3,
        [SMI_PQ_DECIMAL] = 5,   [SMI_PQ_DATE] = 6,     [SMI_PQ_TIME] = 7,
        [SMI_PQ_TIMESTAMP] = 8, [SMI_PQ_INTEGER] = 10, [SMI_PQ_UNKNOWN] = 11,
    };
    if (n->logical == SMI_PQ_PLAIN_TYPE) {
        return;
    }
    SM_ASSERT((int)n->logical < SM_COUNT(field) && field[n->logical] > 0);
    smi_thrift_begin(o, 10);
    smi_thrift_begin(o, field[n->logical]);
    if (n->logical == SMI_PQ_DECIMAL) {
        smi_thrift_put_i32(o, 1, n->scale);
        smi_thrift_put_i32(o, 2, n->precision);
    } else if (n->logical == SMI_PQ_TIME || n->logical == SMI_PQ_TIMESTAMP) {
        put_time_type(o, n);
    } else if (n->logical == SMI_PQ_INTEGER) {
        smi_thrift_put_i8(o, 1, (int8_t)n->bits);
        smi_thrift_put_bool(o, 2, n->is_signed);
    }
    smi_thrift_end(o);
    smi_thrift_end(o);
}

/* The ConvertedType of the same meaning, for older readers; −1: there is none. A local timestamp
 * has none, because TIMESTAMP_MICROS means an instant. */
static int32_t converted_of(const smi_pq_node *n)
{
    switch (n->logical) {
    case SMI_PQ_STRING:
        return 0;
    case SMI_PQ_MAP:
        return 1;
    case SMI_PQ_LIST:
        return 3;
    case SMI_PQ_DECIMAL:
        return 5;
    case SMI_PQ_DATE:
        return 6;
    case SMI_PQ_TIMESTAMP:
        return n->is_utc ? 10 : -1;
    case SMI_PQ_INTEGER:
        SM_ASSERT(n->bits == 8 || n->bits == 16 || n->bits == 32 || n->bits == 64);
        return (n->is_signed ? 15 : 11) + __builtin_ctz((unsigned)n->bits / 8);
    default:
        return -1;
    }
}

static void put_element(smi_thrift_out *o, const smi_pq_node *n, bool is_root)
{
    smi_thrift_begin(o, 0);
    if (n->physical != SMI_PQ_GROUP) {
        smi_thrift_put_i32(o, 1, (int32_t)n->physical);
    }
    if (n->physical == SMI_PQ_FIXED) {
        smi_thrift_put_i32(o, 2, n->fixed_bytes);
    }
    if (!is_root) {
        smi_thrift_put_i32(o, 3, (int32_t)n->repetition);
    }
    smi_thrift_put_binary(o, 4, n->name);
    if (n->physical == SMI_PQ_GROUP) {
        smi_thrift_put_i32(o, 5, n->n_children);
    }
    if (converted_of(n) >= 0) {
        smi_thrift_put_i32(o, 6, converted_of(n));
    }
    if (n->logical == SMI_PQ_DECIMAL) {
        smi_thrift_put_i32(o, 7, n->scale);
        smi_thrift_put_i32(o, 8, n->precision);
    }
    if (n->has_field_id) {
        smi_thrift_put_i32(o, 9, n->field_id);
    }
    put_logical(o, n);
    smi_thrift_end(o);
    for (int32_t i = 0; i < n->n_children; i++) {
        put_element(o, n->children[i], false);
    }
}

static int64_t count_elements(const smi_pq_node *n)
{
    int64_t total = 1;
    for (int32_t i = 0; i < n->n_children; i++) {
        total += count_elements(n->children[i]);
    }
    return total;
}

static void put_stats(smi_thrift_out *o, int16_t id, const smi_pq_stats *s)
{
    smi_thrift_begin(o, id);
    smi_thrift_put_i64(o, 3, s->n_nulls);
    if (s->max.data) {
        smi_thrift_put_binary(o, 5, s->max);
    }
    if (s->min.data) {
        smi_thrift_put_binary(o, 6, s->min);
    }
    if (s->max.data) {
        smi_thrift_put_bool(o, 7, !s->max_is_cut);
    }
    if (s->min.data) {
        smi_thrift_put_bool(o, 8, !s->min_is_cut);
    }
    smi_thrift_end(o);
}

static void put_chunk(smi_thrift_out *o, const smi_pq_written_chunk *c)
{
    SM_ASSERT(c->encodings != 0 && c->n_path > 0 && c->data_off >= c->dictionary_off);
    smi_thrift_begin(o, 0);
    smi_thrift_put_i64(o, 2, 0);
    smi_thrift_begin(o, 3);
    smi_thrift_put_i32(o, 1, (int32_t)c->node->physical);
    smi_thrift_put_list(o, 2, SMI_T_I32, __builtin_popcount(c->encodings));
    for (int32_t i = 0; i < 32; i++) {
        if (c->encodings >> i & 1) {
            smi_thrift_element_i32(o, i);
        }
    }
    smi_thrift_put_list(o, 3, SMI_T_BINARY, c->n_path);
    for (int32_t i = 0; i < c->n_path; i++) {
        smi_thrift_element_binary(o, c->path[i]);
    }
    smi_thrift_put_i32(o, 4, (int32_t)c->codec);
    smi_thrift_put_i64(o, 5, c->n_values);
    smi_thrift_put_i64(o, 6, (int64_t)c->plain_bytes);
    smi_thrift_put_i64(o, 7, (int64_t)c->compressed_bytes);
    smi_thrift_put_i64(o, 9, (int64_t)c->data_off);
    if (c->dictionary_off > 0) {
        smi_thrift_put_i64(o, 11, (int64_t)c->dictionary_off);
    }
    put_stats(o, 12, &c->stats);
    smi_thrift_end(o);
    if (c->index[1].len > 0) {
        smi_thrift_put_i64(o, 4, (int64_t)c->index[1].off_bytes);
        smi_thrift_put_i32(o, 5, (int32_t)c->index[1].len);
    }
    if (c->index[0].len > 0) {
        smi_thrift_put_i64(o, 6, (int64_t)c->index[0].off_bytes);
        smi_thrift_put_i32(o, 7, (int32_t)c->index[0].len);
    }
    smi_thrift_end(o);
}

static void put_group(smi_thrift_out *o, const smi_pq_written_group *g, int32_t n_leaves)
{
    uint64_t plain = 0, compressed = 0;
    smi_thrift_begin(o, 0);
    smi_thrift_put_list(o, 1, SMI_T_STRUCT, n_leaves);
    for (int32_t i = 0; i < n_leaves; i++) {
        put_chunk(o, &g->chunks[i]);
        plain += g->chunks[i].plain_bytes;
        compressed += g->chunks[i].compressed_bytes;
    }
    smi_thrift_put_i64(o, 2, (int64_t)plain);
    smi_thrift_put_i64(o, 3, g->n_rows);
    if (n_leaves > 0) {
        const smi_pq_written_chunk *c = &g->chunks[0];
        smi_thrift_put_i64(o, 5, (int64_t)(c->dictionary_off ? c->dictionary_off : c->data_off));
    }
    smi_thrift_put_i64(o, 6, (int64_t)compressed);
    smi_thrift_end(o);
}

/* Puts the key-value pair of the checksum, with CHECKSUM_NONE as its value. Returns the offset of
 * the value in the bytes. */
static size_t put_checksum(smi_thrift_out *o)
{
    smi_thrift_put_list(o, 5, SMI_T_STRUCT, 1);
    smi_thrift_begin(o, 0);
    smi_thrift_put_binary(o, 1, SM_STR(CHECKSUM_KEY));
    smi_thrift_put_binary(o, 2, SM_STR(CHECKSUM_NONE));
    const size_t at = o->to->len - CHECKSUM_LEN;
    smi_thrift_end(o);
    return at;
}

void smi_pq_footer_write(const smi_pq_node *root, const smi_pq_written_group *groups,
                         int64_t n_groups, int32_t n_leaves, int64_t n_rows, sm_buf *out)
{
    const size_t start = out->len;
    smi_thrift_out o = {.to = out};
    int64_t group_rows = 0;
    smi_thrift_begin(&o, 0);
    smi_thrift_put_i32(&o, 1, 2);
    smi_thrift_put_list(&o, 2, SMI_T_STRUCT, count_elements(root));
    put_element(&o, root, true);
    smi_thrift_put_i64(&o, 3, n_rows);
    smi_thrift_put_list(&o, 4, SMI_T_STRUCT, n_groups);
    for (int64_t i = 0; i < n_groups; i++) {
        put_group(&o, &groups[i], n_leaves);
        group_rows += groups[i].n_rows;
    }
    SM_ASSERT(group_rows == n_rows);
    const size_t checksum_at = put_checksum(&o);
    smi_thrift_put_binary(&o, 6, SM_STR("smelt version " SMELT_VERSION));
    smi_thrift_put_list(&o, 7, SMI_T_STRUCT, n_leaves);
    for (int32_t i = 0; i < n_leaves; i++) {
        smi_thrift_begin(&o, 0);
        smi_thrift_begin(&o, 1); /* TYPE_ORDER */
        smi_thrift_end(&o);
        smi_thrift_end(&o);
    }
    smi_thrift_end(&o);
    SM_ASSERT(o.depth == 0); /* each struct was ended */
    const uint32_t len = (uint32_t)(out->len - start);
    char checksum[CHECKSUM_LEN + 1];
    checksum_of((sm_str){(const char *)out->data + start, len},
                (const char *)out->data + checksum_at, checksum);
    memcpy(out->data + checksum_at, checksum, CHECKSUM_LEN);
    sm_buf_text(out, (sm_str){(const char *)&len, 4});
    sm_buf_text(out, SM_STR(SMI_PQ_MAGIC));
}
