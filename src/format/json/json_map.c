/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_map.c: collects the members of an object that is read as a MAP.
 *
 * Calls    open, member_at, close. MAPs may be nested: what was opened last is closed first.
 * Method   The line was scanned before, so the object has no faults. Its members are appended to
 *          the parser's buffer `members`, a stack, which close cuts back. A key that comes twice
 *          has its last value, at the place of the first. Up to FEW_KEYS keys are compared one by
 *          one, more are looked up in a hash table.
 * Callers  json_row.c, when it checks a line and again when it appends it. */
#include "format/json/json_int.h"

/* Up to so many keys, comparing all of them beats hashing. */
#define FEW_KEYS 8

static bool is_same_key(const smi_json_member *x, const smi_json_member *y)
{
    return x->hash == y->hash && sm_str_eq(x->name, y->name);
}

/* The index of the member with m's key among the first n, or n where there is none. `table`, if not
 * NULL, has the index + 1 of each of them; m is added to it as number n. */
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
    SM_ASSERT((mask & (mask + 1)) == 0 && n < (int64_t)mask); /* a place stays empty */
    uint64_t at = m->hash & mask;
    for (; table[at] != 0; at = (at + 1) & mask) {
        if (is_same_key(&all[table[at] - 1], m)) {
            return table[at] - 1;
        }
    }
    table[at] = (int32_t)n + 1;
    return n;
}

/* Keeps of each key one member, with the last value, and sets *n to their number. */
static sm_status drop_repeated_keys(smi_json_parser *p, smi_json_member *all, int64_t *n,
                                    sm_error *e)
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

/* The key's text: in the line, or unescaped into key_text behind the texts of other keys. */
static sm_str key_text(smi_json_parser *p, sm_json_token key)
{
    if (!key.is_odd) {
        return (sm_str){(const char *)key.at, key.len};
    }
    SM_ASSERT(p->key_text.len + key.len <=
              p->key_text.cap); /* no two keys share bytes of the line */
    uint8_t *to = p->key_text.data + p->key_text.len;
    const size_t len = sm_json_unescape(key.at, key.len, to);
    p->key_text.len += len;
    return (sm_str){(const char *)to, len};
}

sm_status smi_json_members_open(smi_json_parser *p, sm_json_token object, smi_json_members *out,
                                sm_error *e)
{
    sm_json_scan *s = &p->scan;
    SM_ASSERT(object.kind == SM_JSON_IS_OBJECT && *object.at == '{');
    *out = (smi_json_members){.first_byte = p->members.len, .first_text = p->key_text.len};
    s->depth = 0;
    const uint8_t *q = sm_json_skip_space(s, object.at + 1);
    bool more = *q != '}';
    while (more) {
        smi_json_member m;
        q = sm_json_scan_colon(s, sm_json_scan_string(s, q, &m.key));
        q = sm_json_scan_value(s, q, &m.value);
        q = sm_json_scan_next(s, q, '}', &more);
        SM_ASSERT(q); /* the object was scanned before */
        m.name = key_text(p, m.key);
        m.hash = sm_hash64(m.name.data, m.name.len);
        SM_TRY(sm_buf_add(&p->members, &m, sizeof(m), e));
        out->n++;
    }
    smi_json_member *all = (smi_json_member *)(void *)(p->members.data + out->first_byte);
    SM_TRY(drop_repeated_keys(p, all, &out->n, e));
    p->members.len = out->first_byte + (size_t)out->n * sizeof(*all);
    return SM_OK;
}

smi_json_member smi_json_member_at(const smi_json_parser *p, const smi_json_members *m, int64_t i)
{
    SM_ASSERT(i >= 0 && i < m->n);
    return ((const smi_json_member *)(const void *)(p->members.data + m->first_byte))[i];
}

void smi_json_members_close(smi_json_parser *p, const smi_json_members *m)
{
    SM_ASSERT(p->no_memory != SM_OK || /* all that was opened later is closed */
              p->members.len == m->first_byte + (size_t)m->n * sizeof(smi_json_member));
    SM_ASSERT(p->key_text.len >= m->first_text);
    p->members.len = m->first_byte;
    p->key_text.len = m->first_text;
}
