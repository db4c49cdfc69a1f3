/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_connection.c: a pipeline's connections: buckets in S3 that are reached otherwise than
 * the environment says, and servers that tables are published to. Called by flow_run.c.
 *
 * Secrets  never stand in the file, only the names of environment variables. These are read when a
 *          run needs them, go to the store or the server, and appear in no message. */
#include "base/text.h"
#include "flow/flow_int.h"

/* What a setting says; "" for nothing. SM_USAGE where it names a variable that is not set. */
static sm_status read_setting(const sm_pipeline *p, const smi_flow_setting *s, sm_str *out,
                              sm_error *e)
{
    *out = s->text;
    if (!s->is_env) {
        return SM_OK;
    }
    const char *value = sm_env(s->text.data);
    if (!value) {
        const sm_status st =
            sm_fail(e, SM_USAGE, "the environment variable %.*s is not set", SM_STR_ARG(s->text));
        return smi_flow_at(p, s->at, st, e);
    }
    *out = sm_str_of(value);
    return SM_OK;
}

/* ---- places in S3 ---------------------------------------------------------------------------- */

#define VARIABLE_OF(id, key, server, variable, is_secret) variable,

sm_status smi_flow_connect_place(const sm_run *r, int32_t var, sm_str uri, sm_error *e)
{
    static const char *const variables[] = {SMI_FLOW_SETTINGS(VARIABLE_OF)};
    sm_pair settings[SMI_N_SETTINGS];
    int32_t n = 0;

    if (r->p->vars[var].connection < 0 || !sm_str_starts(uri, SM_STR("s3://"))) {
        return SM_OK;
    }
    const smi_flow_connection *c = &r->p->connections[r->p->vars[var].connection];
    for (int i = 0; i < SMI_N_SETTINGS; i++) {
        sm_str value;
        SM_TRY(read_setting(r->p, &c->settings[i], &value, e));
        if (value.len > 0) {
            SM_ASSERT(variables[i]); /* the YAML reader refuses settings of another server */
            settings[n++] = (sm_pair){sm_str_of(variables[i]), value};
        }
    }
    const sm_status st = sm_stores_connect(r->env->stores, uri, c->name, settings, n, e);
    return smi_flow_at(r->p, r->p->vars[var].at, st, e);
}

sm_status smi_flow_connect(const sm_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        if (r->p->vars[i].connection >= 0) { /* a URI */
            SM_TRY(smi_flow_connect_place(r, i, r->vars[i].as.s, e));
        }
    }
    return SM_OK;
}

/* ---- servers --------------------------------------------------------------------------------- */

static sm_status read_server(const sm_run *r, const smi_flow_task *t, sm_clickhouse_publish *out,
                             sm_error *e)
{
    const smi_flow_setting *s = r->p->connections[t->connection].settings;
    SM_ASSERT(r->p->connections[t->connection].server == SMI_SERVER_CLICKHOUSE);

    SM_TRY(read_setting(r->p, &s[SMI_SETTING_URL], &out->to, e));
    SM_TRY(read_setting(r->p, &s[SMI_SETTING_USER], &out->user, e));
    return read_setting(r->p, &s[SMI_SETTING_PASSWORD], &out->password, e);
}

sm_status smi_flow_publish_check(sm_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        sm_clickhouse_publish unused = {0};
        if (!r->tasks[i].is_chosen || r->p->tasks[i].kind != SM_TASK_PUBLISH) {
            continue;
        }
        SM_TRY(read_server(r, &r->p->tasks[i], &unused, e));
        const sm_str lake = r->vars[r->p->lake].as.s;
        if (!sm_str_starts(lake, SM_STR("s3://"))) {
            const sm_status st = sm_fail(
                e, SM_UNSUPPORTED, "ClickHouse can read tables only from S3, and the lake is %.*s",
                SM_STR_ARG(lake));
            return smi_flow_at(r->p, r->p->tasks[i].at, st, e);
        }
    }
    return SM_OK;
}

sm_status smi_flow_publish_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_clickhouse_publish what = {.table = t->as};

    SM_TRY(read_server(r, t, &what, e));
    SM_TRY(sm_names_uri(r->names, t->from, r->arena, &what.table_uri, e));
    return sm_clickhouse_publish_table(&what, r->env, &r->tasks[task].published, e);
}
