/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_map.c: the members of an object that is read as a MAP. Called by json_row.c, to
 * check a line and again to append it.
 *
 * Method   The object's span was checked when the line was scanned; its members are gathered in the
 *          parser's list, which goes on behind what is there (a MAP may stand in another's value),
 *          and let go by the caller. Of a key given twice the last value wins, in the first one's
 *          place: keys are looked up by text, few of them one by one, more by a hash table. */
#include "format/json/json_int.h"

/* To so many keys, comparing all of them beats hashing. */
#define FEW_KEYS 8

static bool is_same_key(const smi_json_member *x, const smi_json_member *y)
{
    return x->hash == y->hash && sm_str_eq(x->name, y->name);
}

/* The place of a key like m's among the first n members, or n. Where there are many the table, of
 * indices + 1, is asked, and told of n where it has none. */
static int64_t find_key(const smi_json_member *all, int64_t n, const smi_json_member *m,
                        int32_t *table, uint64_t mask)
{
    if (!table) {
        int64_t i = 0;
        while (i < n && !is_same_key(&all[i], m)) {
            i++;
        }
        return i;
    }
    uint64_t at = m->hash & mask;
    for (; table[at] != 0; at = (at + 1) & mask) {
        if (is_same_key(&all[table[at] - 1], m)) {
            return table[at] - 1;
        }
    }
    table[at] = (int32_t)n + 1;
    return n;
}

/* Lets later members of a key take the place of earlier ones; *n becomes less. */
static sm_status drop_repeated(smi_json_parser *p, smi_json_member *all, int64_t *n, sm_error *e)
{
    int32_t *table = NULL;
    uint64_t size = FEW_KEYS;
    if (*n > FEW_KEYS) {
        while (size < 2 * (uint64_t)*n) {
            size *= 2;
        }
        sm_buf_reset(&p->key_table);
        SM_TRY(sm_buf_reserve(&p->key_table, size * sizeof(*table), e));
        table = (int32_t *)(void *)p->key_table.data;
        memset(table, 0, size * sizeof(*table));
    }
    int64_t n_kept = 0;
    for (int64_t i = 0; i < *n; i++) {
        const smi_json_member m = all[i];
        const int64_t at = find_key(all, n_kept, &m, table, size - 1);
        if (at == n_kept) {
            all[n_kept++] = m;
        } else {
            all[at].value = m.value;
        }
    }
    *n = n_kept;
    return SM_OK;
}

/* The key's text: in the line, or unescaped behind the other keys', where there is room for it. */
static sm_str key_text(smi_json_parser *p, sm_json_token key)
{
    if (!key.is_odd) {
        return (sm_str){(const char *)key.at, key.len};
    }
    uint8_t *to = p->key_text.data + p->key_text.len;
    const size_t len = sm_json_unescape(key.at, key.len, to);
    p->key_text.len += len;
    return (sm_str){(const char *)to, len};
}

sm_status smi_json_members_open(smi_json_parser *p, sm_json_token object, smi_json_members *out,
                                sm_error *e)
{
    sm_json_scan *s = &p->scan;
    *out = (smi_json_members){.first_byte = p->members.len, .first_text = p->key_text.len};
    s->depth = 0;
    const uint8_t *q = sm_json_skip_space(s, object.at + 1);
    bool more = *q != '}';
    while (more) {
        smi_json_member m;
        q = sm_json_scan_colon(s, sm_json_scan_string(s, q, &m.key));
        q = sm_json_scan_value(s, q, &m.value);
        q = sm_json_scan_next(s, q, '}', &more);
        m.name = key_text(p, m.key);
        m.hash = sm_hash64(m.name.data, m.name.len);
        SM_TRY(sm_buf_add(&p->members, &m, sizeof(m), e));
        out->n++;
    }
    smi_json_member *all = (smi_json_member *)(void *)(p->members.data + out->first_byte);
    SM_TRY(drop_repeated(p, all, &out->n, e));
    p->members.len = out->first_byte + (size_t)out->n * sizeof(*all);
    return SM_OK;
}

smi_json_member smi_json_member_at(const smi_json_parser *p, const smi_json_members *m, int64_t i)
{
    return ((const smi_json_member *)(const void *)(p->members.data + m->first_byte))[i];
}

void smi_json_members_close(smi_json_parser *p, const smi_json_members *m)
{
    p->members.len = m->first_byte;
    p->key_text.len = m->first_text;
}
