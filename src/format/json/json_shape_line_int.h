/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_shape_line_int.h: the function that reads one line by learnt shapes, written
 * once for all instruction sets. Included by json_shape.c only, with
 *   LINE_NAME, LINE_TARGET      the function and its SM_TARGET
 *   LINE_IS(e, p)               do the bytes at p begin with edge e?
 *   LINE_STRING_END(q)          the first `"`, `\`, byte below 0x20 or above 0x7f at or after q
 *   LINE_VIEW(to, q, len, i, b) writes the view of q[0 … len), bytes of block b with the index i */

/* Reads the line at p as row n. Returns the place behind its LF; NULL where json_row.c is to read
 * it, and then nothing of it counts. */
LINE_TARGET static const uint8_t *LINE_NAME(smi_json_shapes *s, const uint8_t *p, uint32_t n)
{
    const uint8_t *const start = p;
    const int32_t n_nulls = s->n_nulls;
    shape_state *st = &s->states[STATE_START];
    state_set seen = 0;
    s->has_unknown = false;
    for (;;) {
        shape_edge *e = st->last;
        if (!LINE_IS(e, p)) {
            int32_t i = 0;
            while (i < st->n_edges && !LINE_IS(st->edges[i], p)) {
                i++;
            }
            if (i == st->n_edges) {
                goto other;
            }
            e = st->last = st->edges[i];
        }
        if ((seen & e->passes) != 0) {
            goto other; /* a key comes twice, or the edge is `nowhere` */
        }
        seen |= e->passes;
        if (!e->to) {
            p += e->len;
            break;
        }
        st = e->to;
        if (st->is_unknown) {
            note_unknown(s, st, e, p);
        }
        p += e->len;
        if (*p == '"' && st->kind <= VALUE_TEXT) {
            const uint8_t *q = LINE_STRING_END(p + 1);
            if (*q == '"') {
                if (st->is_wanted) {
                    sm_view *to = (sm_view *)(void *)st->values + n;
                    LINE_VIEW(to, p + 1, (size_t)(q - p - 1), st->bound_index, s->block);
                }
                p = q + 1;
                continue;
            }
        } else if (st->kind == VALUE_I64) {
            int64_t v = 0;
            const uint8_t *q = read_i64(p, &v);
            if (q) {
                if (st->is_wanted) {
                    memcpy(st->values + (size_t)n * 8, &v, 8);
                }
                p = q;
                continue;
            }
        }
        p = read_other_value(s, st, p, n);
        if (!p) {
            goto other;
        }
    }
    if ((s->wanted & ~seen) != 0) {
        note_missing(s, s->wanted & ~seen, n);
    }
    if ((size_t)(p - start) <= SMI_LINE_MAX_BYTES + 1) {
        s->seen = seen;
        return p;
    }
other:
    s->n_nulls = n_nulls;
    return NULL;
}
#undef LINE_NAME
#undef LINE_TARGET
#undef LINE_IS
#undef LINE_STRING_END
#undef LINE_VIEW
