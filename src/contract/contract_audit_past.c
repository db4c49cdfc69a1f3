/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_audit_past.c: the rules of a contract that hold a table against the clock and
 * against its own past: how old its newest value is, and how many rows it had in earlier versions.
 * Called by contract_audit.c.
 *
 * Versions  A version counts if its commit may have changed rows, by the operation that it names.
 *           Its number of rows is the sum of what the statistics of its files say, so no file is
 *           read. The log may be cut: versions that are no longer there end the look back. */
#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "base/time.h"
#include "contract/contract_int.h"

#define S_US INT64_C(1000000)
#define D_US (86400 * S_US)

/* ---- the clock ------------------------------------------------------------------------------- */

double smi_age_unit_us(const sm_rule *r)
{
    static const struct {
        const char *end;
        int64_t us;
    } units[] = {
        {" s", S_US}, {" min", 60 * S_US}, {" h", 3600 * S_US}, {" d", D_US}, {" w", 7 * D_US}};

    for (int i = 0; i < SM_COUNT(units); i++) {
        if (sm_str_ends(r->text, sm_str_of(units[i].end))) {
            return (double)units[i].us;
        }
    }
    SM_ENSURE(false); /* smi_read_age() wrote it */
    return 1;
}

static sm_str print_time(int64_t us, sm_arena *a)
{
    char text[SM_TIME_TEXT_BYTES];

    sm_format_timestamp(us, text);
    return sm_arena_str(a, sm_str_of(text));
}

sm_status smi_audit_freshness(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    const sm_expr *x = u->columns[r->column], *is = NULL;
    const int64_t now_us = u->in->now_us ? u->in->now_us : sm_now_us();
    smi_items items = {.env = u->in->env, .a = u->a};
    sm_batch *row = NULL;
    sm_buf text = {0};
    int32_t at = 0;

    if (x->type->id != SM_TYPE_DATE && x->type->id != SM_TYPE_TIMESTAMP &&
        x->type->id != SM_TYPE_TIMESTAMP_NTZ) {
        return sm_fail(
            e, SM_TYPE, "freshness is of a DATE or TIMESTAMP, and column %.*s is of type %s",
            SM_STR_ARG(u->in->table->columns[r->column].path), sm_type_text(x->type, u->a).data);
    }
    SM_TRY(smi_is_finite(x, u->a, &is, e));
    SM_TRY(smi_items_add(&items, "max", x, is, &at, e));
    SM_TRY(smi_items_run(&items, u->in->rows, &row, NULL, e));
    const sm_value newest = sm_column_value_copy(&row->columns[at], 0, u->a);
    sm_batch_release(row);
    out->measure = NAN;
    out->detail = SM_STR("the column has no value");
    if (newest.is_null) {
        return SM_OK;
    }
    /* As DOUBLE: a DATE may be further from now than microseconds can say in 64 bits. */
    const double unit = x->type->id == SM_TYPE_DATE ? (double)D_US : 1;
    out->measure = ((double)now_us - (double)newest.as.i * unit) / smi_age_unit_us(r);
    sm_value_print(newest, &text);
    out->detail =
        sm_arena_strf(u->a, "the newest value is %.*s, and it is %.*s",
                      SM_STR_ARG(sm_buf_str(&text)), SM_STR_ARG(print_time(now_us, u->a)));
    sm_buf_release(&text);
    return SM_OK;
}

/* ---- the past -------------------------------------------------------------------------------- */

sm_status smi_audit_volume(smi_audit *u, const sm_rule *r, sm_rule_count *out, sm_error *e)
{
    const sm_audit *in = u->in;
    char rows[SM_COUNTED_TEXT_BYTES], mean_rows[SM_SIZE_TEXT_BYTES];
    int64_t *earlier = NULL, n_wanted = 0;
    int32_t n = 0;
    double sum = 0;

    SM_ENSURE(sm_parse_i64(r->text, &n_wanted)); /* looked at when it was read */
    SM_TRY(in->earlier ? in->earlier(in->ctx, (int32_t)n_wanted, u->a, &earlier, &n, e) : SM_OK);
    out->is_unchecked = n == 0;
    out->detail = SM_STR("there is no earlier version whose number of rows is known");
    if (n == 0) {
        return SM_OK;
    }
    for (int32_t i = 0; i < n; i++) {
        sum += (double)earlier[i];
    }
    const double mean = sum / n, more = (double)u->n_rows - mean;
    out->measure = mean > 0 ? 100 * more / mean : u->n_rows > 0 ? (double)INFINITY : 0;
    sm_format_counted(u->n_rows, "row", rows);
    sm_format_count((int64_t)round(mean), mean_rows);
    out->detail = n == 1 ? sm_arena_strf(u->a, "%s, and %s in the version before", rows, mean_rows)
                         : sm_arena_strf(u->a, "%s, and %s on average in %d versions before", rows,
                                         mean_rows, n);
    return SM_OK;
}

/* The versions of a log that may have changed rows, while they are gathered. */
typedef struct versions {
    int64_t before; /* these are not wanted */
    int64_t *items;
    int32_t n, cap;
} versions;

/* Does a commit leave the rows as they are, by the name of its operation? */
static bool keeps_rows(sm_str operation)
{
    static const char *const words[] = {
        "OPTIMIZE", "VACUUM", "REORG",   "SET",     "UNSET",   "ADD",     "DROP",    "CHANGE",
        "RENAME",   "ALTER",  "UPGRADE", "COMPUTE", "CLUSTER", "ANALYZE", "COMMENT",
    };
    const char *blank = memchr(operation.data, ' ', operation.len);
    const sm_str first = {operation.data, blank ? (size_t)(blank - operation.data) : operation.len};

    for (int i = 0; i < SM_COUNT(words); i++) {
        if (sm_str_is(first, words[i])) {
            return true;
        }
    }
    /* A table is created without rows but for … AS SELECT. */
    return (sm_str_is(first, "CREATE") && !sm_str_ends(operation, SM_STR("AS SELECT"))) ||
           sm_str_ends(operation, SM_STR(" SCHEMA")) || sm_str_ends(operation, SM_STR(" METADATA"));
}

/* sm_delta_each_info */
static sm_status add_version(void *ctx, const sm_delta_commit_info *info, sm_error *e)
{
    versions *v = ctx;

    if (info->version >= v->before || keeps_rows(info->operation)) {
        return SM_OK;
    }
    v->items[v->n++] = info->version;
    return v->n < v->cap ? SM_OK : SM_END;
}

/* *out: −1: not known. SM_NOT_FOUND: the version is no longer there. */
static sm_status rows_of(sm_store *table, int64_t version, sm_budget *budget, int64_t *out,
                         sm_error *e)
{
    sm_snapshot *s = NULL;
    sm_delta_totals totals = {0};

    SM_TRY(sm_snapshot_open_head(table, version, budget, &s, e));
    const sm_status st = sm_snapshot_totals(s, &totals, e);
    sm_snapshot_release(s);
    *out = totals.n_rows;
    return st;
}

sm_status sm_contract_earlier(sm_store *table, int64_t before, int32_t n, sm_budget *budget,
                              sm_arena *a, int64_t **out, int32_t *n_out, sm_error *e)
{
    versions v = {.before = before, .items = SM_NEW_ARRAY(a, int64_t, n), .cap = n};
    int64_t *rows = SM_NEW_ARRAY(a, int64_t, n);
    sm_error gone = {0};

    SM_ASSERT(n > 0);
    sm_status st = sm_delta_history_each(table, -1, budget, add_version, &v, e);
    *n_out = 0;
    if (st == SM_NOT_FOUND) {
        return SM_OK;
    }
    if (st != SM_OK && st != SM_END) {
        return st;
    }
    for (int32_t i = 0; i < v.n; i++) {
        st = rows_of(table, v.items[i], budget, &rows[*n_out], &gone);
        if (st == SM_NOT_FOUND) {
            break;
        }
        if (st != SM_OK) {
            *e = gone;
            return st;
        }
        *n_out += rows[*n_out] >= 0;
    }
    *out = rows;
    return SM_OK;
}
