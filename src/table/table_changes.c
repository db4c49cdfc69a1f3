/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_changes.c: the table function table_changes(place, from, to): the change data feed of
 * a Delta table as a relation. Called by table_function.c.
 *
 * Versions  `from` and `to` are numbers or times. A time as `from` means the first version that is
 *           not earlier, as `to` the last that is not later, as in Spark. Without `to` it is the
 *           newest version that readers see (table_pin.c).
 * Nothing   Two times between which there is no version give no row. A `from` that is not there
 *           yet is an error.
 * Columns   Those of the table in version `to`, then SM_CHANGE_TYPE, SM_CHANGE_VERSION and
 *           SM_CHANGE_TIMESTAMP: a projection over the scan of sm_delta_changes(). */
#include "table/table_int.h"

#include <inttypes.h>

typedef struct changes_call {
    const sm_table_arg *place, *from, *to; /* NULL: not given */
    sm_table_at from_at, to_at;
} changes_call;

/* ---- arguments ------------------------------------------------------------------------------- */

static sm_status no_such_argument(const sm_table_arg *arg, sm_error *e)
{
    static const sm_str names[] = {{"from", 4}, {"to", 2}};
    const sm_status st = smi_arg_fail(arg, e, SM_NAME, "table_changes has no argument \"%.*s\"",
                                      SM_STR_ARG(arg->name));
    const char *nearest = sm_nearest_name(arg->name, names, SM_COUNT(names));

    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_status take_argument(changes_call *c, const sm_table_arg *arg, sm_error *e)
{
    const sm_table_arg **at = NULL;

    if (arg->name.len == 0) { /* by their order */
        at = !c->place ? &c->place : !c->from ? &c->from : &c->to;
    } else if (sm_str_eq_nocase(arg->name, SM_STR("from"))) {
        at = &c->from;
    } else if (sm_str_eq_nocase(arg->name, SM_STR("to"))) {
        at = &c->to;
    } else {
        return no_such_argument(arg, e);
    }
    if (*at) {
        return smi_arg_fail(arg, e, SM_INVALID,
                            "table_changes takes one place, and from and to once each");
    }
    *at = arg;
    return SM_OK;
}

static sm_status take_arguments(changes_call *c, const sm_table_arg *args, int32_t n_args,
                                sm_error *e)
{
    for (int32_t i = 0; i < n_args; i++) {
        SM_TRY(take_argument(c, &args[i], e));
    }
    if (!c->place || !c->from) {
        const sm_status st =
            sm_fail(e, SM_INVALID,
                    "table_changes needs the place of a table and the version to begin with");
        sm_error_todo(e, "For example: table_changes('lake/silver/orders', 5).");
        return st;
    }
    SM_TRY(smi_arg_version(c->from, &c->from_at, e));
    return c->to ? smi_arg_version(c->to, &c->to_at, e) : SM_OK;
}

/* ---- versions -------------------------------------------------------------------------------- */

static sm_status fail_late(const changes_call *c, int64_t newest, sm_error *e)
{
    if (c->from_at.kind == SM_AT_TIME) {
        return smi_arg_fail(c->from, e, SM_NOT_FOUND,
                            "there is no version since then: version %" PRId64 " is earlier",
                            newest);
    }
    return smi_arg_fail(c->from, e, SM_NOT_FOUND,
                        "there is no version %" PRId64 " up to version %" PRId64,
                        c->from_at.version, newest);
}

/* The first version whose changes are asked for; that after `to` where there is none. */
static sm_status first_version(const changes_call *c, const sm_snapshot *to, int64_t *out,
                               sm_error *e)
{
    const int64_t newest = sm_snapshot_version(to);
    const bool are_times = c->from_at.kind == SM_AT_TIME && c->to_at.kind == SM_AT_TIME;

    SM_ASSERT(c->from_at.kind != SM_AT_NEWEST && newest >= 0);
    *out = c->from_at.version;
    if (c->from_at.kind == SM_AT_TIME) {
        SM_TRY(smi_arg_place(c->from, e, sm_delta_version_since(to, c->from_at.time_us, out, e)));
    }
    SM_ASSERT(*out >= 0);
    if (*out > newest && !(are_times && c->from_at.time_us <= c->to_at.time_us)) {
        return fail_late(c, newest, e);
    }
    return SM_OK;
}

/* ---- the relation ---------------------------------------------------------------------------- */

/* The type of a change: that of the whole file, else what the file has. */
static sm_status type_of(const sm_plan_node *scan, const int32_t *more, sm_arena *a,
                         const sm_expr **out, sm_error *e)
{
    const sm_expr *const both[] = {
        sm_expr_column(scan->schema, more[SM_CHANGES_SAID], a),
        sm_expr_column(scan->schema, more[SM_CHANGES_STORED], a),
    };

    return sm_expr_call("coalesce", both, SM_COUNT(both), a, out, e);
}

static sm_status project(const sm_relation *from, const sm_type *table, const int32_t *columns,
                         sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *scan = sm_plan_scan(from, false, a);
    const int32_t n = table->n_fields, *more = columns + n;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 3);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + 3);

    SM_ASSERT(scan->schema->n_fields == n + SM_CHANGES_COLUMNS);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(columns[i] >= 0 && columns[i] < scan->schema->n_fields);
        exprs[i] = sm_expr_column(scan->schema, columns[i], a);
        names[i] = table->fields[i].name;
    }
    SM_TRY(type_of(scan, more, a, &exprs[n], e));
    exprs[n + 1] = sm_expr_column(scan->schema, more[SM_CHANGES_VERSION], a);
    exprs[n + 2] = sm_expr_column(scan->schema, more[SM_CHANGES_TIMESTAMP], a);
    names[n] = SM_STR(SM_CHANGE_TYPE);
    names[n + 1] = SM_STR(SM_CHANGE_VERSION);
    names[n + 2] = SM_STR(SM_CHANGE_TIMESTAMP);
    *out = sm_plan_project(scan, exprs, names, n + 3, a);
    return SM_OK;
}

static sm_status relation_of(sm_names *n, const changes_call *c, sm_str uri, sm_relation *out,
                             sm_error *e)
{
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);
    sm_snapshot *to = NULL;
    int32_t *columns = NULL;
    int64_t from = 0;
    bool is_there = false;

    SM_TRY(smi_arg_place(c->to ? c->to : c->place, e,
                         smi_names_open(n, uri, &c->to_at, &is_there, &to, e)));
    SM_TRY(first_version(c, to, &from, e));
    SM_TRY(smi_arg_place(c->from, e, sm_delta_changes(to, from, n->arena, d, &columns, e)));
    const sm_relation scan = {
        .dataset = d,
        .label = sm_arena_strf(n->arena, "changes of %.*s@v%" PRId64 "-v%" PRId64, SM_STR_ARG(uri),
                               from, sm_snapshot_version(to)),
    };
    *out = (sm_relation){.label = scan.label};
    return project(&scan, sm_snapshot_metadata(to)->schema, columns, n->arena, &out->node, e);
}

sm_status smi_changes_relation(sm_names *n, const sm_table_arg *args, int32_t n_args,
                               sm_relation *out, sm_error *e)
{
    changes_call c = {.to_at = {.kind = SM_AT_NEWEST}};
    sm_str uri = {0};

    SM_TRY(take_arguments(&c, args, n_args, e));
    SM_ASSERT(c.place && c.from && c.from_at.kind != SM_AT_NEWEST);
    SM_TRY(smi_arg_text(c.place, "a table's place", &uri, e));
    return relation_of(n, &c, sm_arena_str(n->arena, uri), out, e);
}
